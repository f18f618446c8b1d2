//! Answers to the CA's question whose a name is. Not here: asking for the question (`order`), and
//! giving the answer on a connection (`worker`).

use std::sync::Arc;

use rcgen::{CertificateParams, CustomExtension, DistinguishedName, KeyPair};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::sign::any_ecdsa_type;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};

/// ALPN protocol of TLS-ALPN-01 (RFC 8737 6.2).
const ACME_TLS: &[u8] = b"acme-tls/1";

/// What every core has to answer while the CA may ask.
#[derive(Debug, Clone)]
pub enum Answer {
    /// RFC 8555 8.3: the key authorization is asked for by token.
    Http01 { token: Box<str>, key_authorization: Box<str> },
    /// RFC 8737 3: a handshake is asked for by name.
    TlsAlpn01 { name: Box<str>, config: Arc<ServerConfig> },
}

/// Where answers are shown.
pub trait Board: Send + Sync {
    /// Returns when every core gives this answer.
    fn put_up(&self, answer: Answer) -> impl Future<Output = Result<(), String>> + Send;

    /// Takes down what was put up before.
    fn take_down(&self, answers: Vec<Answer>) -> impl Future<Output = ()> + Send;
}

/// How a validation server of TLS-ALPN-01 is answered (RFC 8737 3): a certificate of our own for
/// exactly `name`, with the critical acmeIdentifier, and `acme-tls/1` as the only protocol.
///
/// # Errors
/// `name` cannot stand in a certificate.
pub fn tls_alpn(name: &str, digest: &[u8; 32]) -> Result<Arc<ServerConfig>, String> {
    let words = |error| format!("no certificate for the challenge can be made: {error}");
    let (certificate, key) = certificate(name, digest).map_err(|e| words(e.to_string()))?;
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let key = any_ecdsa_type(&key).map_err(|e| words(e.to_string()))?;
    // Not `with_single_cert`: it looks at the certificate as a client would, and to a client the
    // critical extension is unknown.
    let pair = SingleCertAndKey::from(CertifiedKey::new(vec![certificate], key));
    let mut config =
        ServerConfig::builder().with_no_client_auth().with_cert_resolver(Arc::new(pair));
    config.alpn_protocols = vec![ACME_TLS.to_vec()];
    config.enable_secret_extraction = true;
    Ok(Arc::new(config))
}

fn certificate(
    name: &str,
    digest: &[u8; 32],
) -> Result<(CertificateDer<'static>, KeyPair), rcgen::Error> {
    let mut params = CertificateParams::new([name.to_owned()])?;
    params.distinguished_name = DistinguishedName::new();
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    Ok((certificate.into(), key))
}

#[cfg(test)]
mod tests {
    use x509_parser::prelude::*;

    use super::*;

    /// RFC 8737 3: one dNSName with the name, and the digest as an octet string in a critical
    /// extension.
    #[test]
    fn the_certificate_of_tls_alpn_is_the_one_that_is_asked_for() {
        assert_eq!(tls_alpn("a.test", &[7; 32]).unwrap().alpn_protocols, [b"acme-tls/1"]);
        let (der, _) = certificate("a.test", &[7; 32]).unwrap();
        let (_, certificate) = X509Certificate::from_der(&der).unwrap();
        let names = certificate.subject_alternative_name().unwrap().unwrap();
        assert_eq!(names.value.general_names, [GeneralName::DNSName("a.test")]);
        let identifier = certificate
            .extensions()
            .iter()
            .find(|extension| extension.oid.to_id_string() == "1.3.6.1.5.5.7.1.31")
            .unwrap();
        assert!(identifier.critical);
        assert_eq!(identifier.value, [&[0x04, 32][..], &[7; 32]].concat());
    }
}
