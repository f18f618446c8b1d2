//! The client side of TLS: how origins are verified, and what they are shown. Not here: reading the
//! files.

use std::sync::{Arc, LazyLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::SingleCertAndKey;
use rustls::{
    ClientConfig, DigitallySignedStruct, Error as TlsError, RootCertStore, SignatureScheme,
};

use super::pair::Pair;
use super::{ALPN_HTTP_1_1, provider};
use crate::limits::ORIGIN_SESSIONS_MAX;

/// What an origin has to prove.
#[derive(Clone)]
pub enum Trust {
    /// A name under the public roots.
    Public,
    /// A name under these roots.
    Roots(Arc<RootCertStore>),
    /// Nothing but that it has the key of the certificate that it sends.
    Anybody,
}

/// Makes the configuration; `Err` says why rustls will not have it.
pub fn client_config(trust: &Trust, shown: Option<&Pair>) -> Result<ClientConfig, String> {
    let verifier: Arc<dyn ServerCertVerifier> = match trust {
        Trust::Public => PUBLIC.clone().map_err(|error| error.to_string())?,
        Trust::Roots(roots) => verifier(roots).map_err(|error| error.to_string())?,
        Trust::Anybody => Arc::new(AnyCertificate),
    };
    let builder = ClientConfig::builder_with_provider(Arc::clone(provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let mut config = match shown {
        None => builder.with_no_client_auth(),
        Some(pair) => {
            let pair = SingleCertAndKey::from(rustls::sign::CertifiedKey::clone(&pair.certified));
            builder.with_client_cert_resolver(Arc::new(pair))
        }
    };
    config.alpn_protocols = vec![ALPN_HTTP_1_1.to_vec()];
    config.enable_secret_extraction = true;
    config.enable_early_data = false;
    config.resumption = Resumption::in_memory_sessions(ORIGIN_SESSIONS_MAX);
    Ok(config)
}

type Built = Result<Arc<WebPkiServerVerifier>, rustls::client::VerifierBuilderError>;

/// One for all domains: the public roots are 150.
static PUBLIC: LazyLock<Built> = LazyLock::new(|| {
    let roots = webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect();
    verifier(&Arc::new(roots))
});

fn verifier(roots: &Arc<RootCertStore>) -> Built {
    WebPkiServerVerifier::builder_with_provider(Arc::clone(roots), Arc::clone(provider())).build()
}

/// Takes every chain and every name. Signatures of the handshake are verified all the same: a peer
/// without the key of its certificate is no peer at all.
#[derive(Debug)]
struct AnyCertificate;

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        let known = &provider().signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        let known = &provider().signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}
