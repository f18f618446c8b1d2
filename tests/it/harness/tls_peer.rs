//! Who speaks TLS with the edge: clients with every choice that a test makes for them, and the
//! configuration of origins.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::{
    CipherSuite, ClientConfig, DigitallySignedStruct, RootCertStore, ServerConfig, SignatureScheme,
    SupportedProtocolVersion, version,
};

use super::pki::{Authority, Pair};
use super::tls::{Pieces, TlsStream};
use super::{DEADLINE, Wire};

/// How a client speaks TLS. Connections of one client share its tickets.
#[derive(Debug, Clone)]
pub struct TlsClient {
    config: ClientConfig,
    seen: Arc<Seen>,
    pieces: Pieces,
}

/// What crossed the handshakes of a client, for tests to look at.
#[derive(Debug, Default)]
pub struct Seen {
    /// The last stapled OCSP response.
    pub staple: Mutex<Vec<u8>>,
    /// Traffic secrets of the last connection by their names (RFC 8446 7.1).
    pub secrets: Mutex<Vec<(String, Vec<u8>)>>,
}

impl TlsClient {
    pub fn trusting(authority: &Authority) -> TlsClient {
        TlsClient::trusting_roots(authority.roots())
    }

    pub fn trusting_roots(roots: RootCertStore) -> TlsClient {
        TlsClient::build(roots, aws_lc_rs::default_provider(), Trust::default())
    }

    /// One version only.
    pub fn only(authority: &Authority, version: &'static SupportedProtocolVersion) -> TlsClient {
        let trust = Trust { versions: vec![version], ..Trust::default() };
        TlsClient::build(authority.roots(), aws_lc_rs::default_provider(), trust)
    }

    /// One cipher suite only, and so one version.
    pub fn only_suite(authority: &Authority, suite: CipherSuite) -> TlsClient {
        let mut provider = aws_lc_rs::default_provider();
        provider.cipher_suites.retain(|s| s.suite() == suite);
        let versions = vec![provider.cipher_suites[0].version()];
        TlsClient::build(authority.roots(), provider, Trust { versions, ..Trust::default() })
    }

    /// Understands these signatures and no others.
    pub fn schemes(authority: &Authority, schemes: &[SignatureScheme]) -> TlsClient {
        let trust = Trust { schemes: Some(schemes.to_vec()), ..Trust::default() };
        TlsClient::build(authority.roots(), aws_lc_rs::default_provider(), trust)
    }

    fn build(roots: RootCertStore, provider: CryptoProvider, trust: Trust) -> TlsClient {
        let seen = Arc::new(Seen::default());
        let provider = Arc::new(provider);
        let inner =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
        let inner = inner.build().expect("a verifier");
        let verifier = Verifier { inner, schemes: trust.schemes, seen: Arc::clone(&seen) };
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&trust.versions)
            .expect("versions of the provider")
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config.key_log = Arc::clone(&seen) as Arc<dyn rustls::KeyLog>;
        TlsClient { config, seen, pieces: Pieces::Whole }
    }

    pub fn alpn(mut self, names: &[&str]) -> TlsClient {
        self.config.alpn_protocols = names.iter().map(|n| n.as_bytes().to_vec()).collect();
        self
    }

    pub fn without_sni(mut self) -> TlsClient {
        self.config.enable_sni = false;
        self
    }

    pub fn resuming(mut self, resumption: Resumption) -> TlsClient {
        self.config.resumption = resumption;
        self
    }

    pub fn early_data(mut self) -> TlsClient {
        self.config.enable_early_data = true;
        self
    }

    pub fn presenting(mut self, pair: &Pair) -> TlsClient {
        let key = self.config.crypto_provider().key_provider.load_private_key(pair.private_key());
        let certified =
            rustls::sign::CertifiedKey::new(pair.chain.clone(), key.expect("a key of its own"));
        self.config.client_auth_cert_resolver =
            Arc::new(rustls::sign::SingleCertAndKey::from(certified));
        self
    }

    /// The handshake leaves in these pieces.
    pub fn in_pieces(mut self, pieces: Pieces) -> TlsClient {
        self.pieces = pieces;
        self
    }

    pub fn seen(&self) -> &Arc<Seen> {
        &self.seen
    }

    pub fn config(&self) -> Arc<ClientConfig> {
        Arc::new(self.config.clone())
    }

    pub fn connect(&self, addr: SocketAddr, name: &str) -> Wire {
        self.try_connect(addr, name)
            .unwrap_or_else(|e| panic!("TLS handshake with {name} at {addr}: {e}"))
    }

    pub fn try_connect(&self, addr: SocketAddr, name: &str) -> io::Result<Wire> {
        self.over(Wire::connect(addr), name)
    }

    /// Over a connection that may have carried something before, such as a PROXY header.
    pub fn over(&self, wire: Wire, name: &str) -> io::Result<Wire> {
        let tcp = wire.socket().try_clone()?;
        Ok(Wire::secured(TlsStream::connect(tcp, self.config(), name, self.pieces)?))
    }

    /// The first flight of a handshake with this name.
    pub fn hello(&self, name: &str) -> Vec<u8> {
        let name = ServerName::try_from(name.to_owned()).expect("a server name");
        let mut connection =
            rustls::ClientConnection::new(self.config(), name).expect("a connection");
        let mut hello = Vec::new();
        connection.write_tls(&mut hello).expect("into memory");
        hello
    }

    /// The alert that refuses a handshake with this name.
    pub fn refused(&self, addr: SocketAddr, name: &str) -> rustls::AlertDescription {
        let failed = match self.try_connect(addr, name) {
            // A client of TLS 1.3 is done before the server has judged its certificate.
            Ok(wire) => wire.read_error(),
            Err(e) => e,
        };
        super::tls::alert_in(&failed).unwrap_or_else(|| panic!("no alert but {failed}"))
    }
}

struct Trust {
    versions: Vec<&'static SupportedProtocolVersion>,
    schemes: Option<Vec<SignatureScheme>>,
}

impl Default for Trust {
    fn default() -> Trust {
        Trust { versions: vec![&version::TLS13, &version::TLS12], schemes: None }
    }
}

/// Verifies as usual, and keeps what it saw.
#[derive(Debug)]
struct Verifier {
    inner: Arc<WebPkiServerVerifier>,
    schemes: Option<Vec<SignatureScheme>>,
    seen: Arc<Seen>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        staple: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        *self.seen.staple.lock().expect("unpoisoned") = staple.to_vec();
        self.inner.verify_server_cert(certificate, chain, name, &[], now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes.clone().unwrap_or_else(|| self.inner.supported_verify_schemes())
    }
}

impl rustls::KeyLog for Seen {
    fn log(&self, label: &str, _client_random: &[u8], secret: &[u8]) {
        let mut secrets = self.secrets.lock().expect("unpoisoned");
        secrets.retain(|(name, _)| name != label);
        secrets.push((label.to_owned(), secret.to_vec()));
    }
}

/// How an origin speaks TLS: any version, tickets, no client certificate.
pub fn tls_server(pair: &Pair) -> ServerConfig {
    server(pair, aws_lc_rs::default_provider(), &[&version::TLS13, &version::TLS12])
}

/// The same in one version.
pub fn tls_server_only(pair: &Pair, version: &'static SupportedProtocolVersion) -> ServerConfig {
    server(pair, aws_lc_rs::default_provider(), &[version])
}

/// One cipher suite of TLS 1.3, one ticket, and secrets for [`super::crooked::Sealer`].
pub fn crooked_server(pair: &Pair, suite: CipherSuite) -> (ServerConfig, Arc<Seen>) {
    let mut provider = aws_lc_rs::default_provider();
    provider.cipher_suites.retain(|s| s.suite() == suite);
    let mut config = server(pair, provider, &[&version::TLS13]);
    let seen = Arc::new(Seen::default());
    config.key_log = Arc::clone(&seen) as Arc<dyn rustls::KeyLog>;
    config.send_tls13_tickets = 1;
    (config, seen)
}

fn server(
    pair: &Pair,
    provider: CryptoProvider,
    versions: &[&'static SupportedProtocolVersion],
) -> ServerConfig {
    let config = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(versions)
        .expect("versions of the provider")
        .with_no_client_auth()
        .with_single_cert(pair.chain.clone(), pair.private_key());
    with_tickets(config.expect("a pair"))
}

/// The same, which takes nobody who has no certificate of this authority.
pub fn tls_server_for(pair: &Pair, clients: &Authority) -> ServerConfig {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let roots = Arc::new(clients.roots());
    let verifier = WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(&provider));
    let config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&version::TLS13, &version::TLS12])
        .expect("versions of the provider")
        .with_client_cert_verifier(verifier.build().expect("a verifier"))
        .with_single_cert(pair.chain.clone(), pair.private_key());
    with_tickets(config.expect("a pair"))
}

fn with_tickets(mut config: ServerConfig) -> ServerConfig {
    config.ticketer = aws_lc_rs::Ticketer::new().expect("a ticketer");
    config
}

/// A TCP connection on which the origin's part of a handshake is played.
pub fn accept_tls(tcp: TcpStream, config: &Arc<ServerConfig>) -> io::Result<Wire> {
    tcp.set_read_timeout(Some(DEADLINE))?;
    tcp.set_nodelay(true)?;
    Ok(Wire::secured(TlsStream::accept(tcp, Arc::clone(config))?))
}
