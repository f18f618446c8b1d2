//! The server side of TLS: one configuration of rustls per domain. Not here: reading the pairs.

use std::fmt;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::server::{
    ClientHello, NoServerSessionStorage, ProducesTickets, ResolvesServerCert, WebPkiClientVerifier,
};
use rustls::sign::CertifiedKey;
use rustls::version::TLS13;
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};

use super::pair::Pair;
use super::{ALPN_HTTP_1_1, provider};
use crate::control::config::tls::MinVersion;
use crate::snapshot::ClientAuth;

/// RFC 8446 4.6.1: tickets that a client gets for one handshake. Each costs bytes on the wire, and
/// one is all that a client which comes back once needs.
const TICKETS: usize = 1;

/// A pair with the staple that goes with it.
pub struct Stapled {
    pub pair: Arc<Pair>,
    pub ocsp: Option<Vec<u8>>,
}

/// How clients are asked for certificates.
pub struct ClientPolicy {
    pub auth: ClientAuth,
    /// There unless `auth` is off.
    pub roots: Option<Arc<RootCertStore>>,
}

/// Makes the configuration; `Err` says why rustls will not have it.
pub fn server_config(
    pairs: Vec<Stapled>,
    clients: &ClientPolicy,
    min_version: MinVersion,
    tickets: Arc<dyn ProducesTickets>,
) -> Result<ServerConfig, String> {
    let builder = ServerConfig::builder_with_provider(Arc::clone(provider()))
        .with_protocol_versions(versions(min_version))
        .map_err(|error| error.to_string())?;
    let builder = match (&clients.roots, clients.auth) {
        (Some(roots), auth @ (ClientAuth::Optional | ClientAuth::Required)) => {
            let verifier = WebPkiClientVerifier::builder_with_provider(
                Arc::clone(roots),
                Arc::clone(provider()),
            );
            let verifier = match auth {
                ClientAuth::Optional => verifier.allow_unauthenticated(),
                _ => verifier,
            };
            builder.with_client_cert_verifier(verifier.build().map_err(|e| e.to_string())?)
        }
        _ => builder.with_no_client_auth(),
    };
    let mut config = builder.with_cert_resolver(Arc::new(BySignature::new(pairs)));
    config.alpn_protocols = vec![ALPN_HTTP_1_1.to_vec()];
    // Ours is the side that does this for everybody.
    config.ignore_client_order = true;
    config.enable_secret_extraction = true;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.ticketer = tickets;
    config.send_tls13_tickets = TICKETS;
    config.max_early_data_size = 0;
    Ok(config)
}

/// Keys for stateless tickets: random, renewed every six hours, good for twelve (RFC 5077 5.5).
pub fn ticketer() -> Result<Arc<dyn ProducesTickets>, String> {
    Ticketer::new().map_err(|error| format!("no keys for tickets: {error}"))
}

fn versions(min: MinVersion) -> &'static [&'static SupportedProtocolVersion] {
    static ONLY_TLS13: [&SupportedProtocolVersion; 1] = [&TLS13];
    match min {
        MinVersion::Tls12 => rustls::ALL_VERSIONS,
        MinVersion::Tls13 => &ONLY_TLS13,
    }
}

/// Chooses among pairs of several kinds by the signatures that a client understands.
struct BySignature {
    /// The cheapest to sign with first.
    keys: Box<[Arc<CertifiedKey>]>,
}

impl BySignature {
    fn new(mut pairs: Vec<Stapled>) -> BySignature {
        pairs.sort_by_key(|stapled| stapled.pair.facts.kind);
        let key = |Stapled { pair, ocsp }: Stapled| match ocsp {
            None => Arc::clone(&pair.certified),
            Some(_) => Arc::new(CertifiedKey { ocsp, ..CertifiedKey::clone(&pair.certified) }),
        };
        BySignature { keys: pairs.into_iter().map(key).collect() }
    }
}

impl ResolvesServerCert for BySignature {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let known = hello.signature_schemes();
        let fits = |key: &&Arc<CertifiedKey>| key.key.choose_scheme(known).is_some();
        // Where none fits, rustls says so to the client better than a missing pair would.
        self.keys.iter().find(fits).or(self.keys.first()).cloned()
    }
}

impl fmt::Debug for BySignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BySignature({})", self.keys.len())
    }
}
