//! Answers to a CA that wants to see who owns a name, for as long as it may ask: put up by an
//! order, taken over into every snapshot by `publish`, served by the cores. Not here: talking to
//! the CA (`order`), and serving (`worker`).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use rcgen::{CertificateParams, CustomExtension, DistinguishedName, KeyPair};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::sign::any_ecdsa_type;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};

/// ALPN protocol of TLS-ALPN-01 (RFC 8737 6.2).
const ACME_TLS: &[u8] = b"acme-tls/1";

/// What every core has to answer now. Clones are handles to the same set.
#[derive(Debug, Clone, Default)]
pub struct Challenges(Arc<Mutex<Answers>>);

#[derive(Debug, Default)]
struct Answers {
    /// Key authorizations by token (RFC 8555 8.3).
    http: HashMap<Box<str>, Box<str>>,
    /// By the name that is being validated (RFC 8737 3).
    tls: HashMap<Box<str>, Arc<ServerConfig>>,
}

/// One answer; taken down when this is dropped, which the next snapshot shows.
#[must_use]
#[derive(Debug)]
pub struct Posted {
    challenges: Challenges,
    at: Place,
}

#[derive(Debug)]
enum Place {
    Token(Box<str>),
    Name(Box<str>),
}

impl Challenges {
    /// For `Snapshot::http_challenges`.
    pub fn http(&self) -> HashMap<Box<str>, Box<str>> {
        self.lock().http.clone()
    }

    /// For `Certificates::new`.
    pub fn tls(&self) -> HashMap<Box<str>, Arc<ServerConfig>> {
        self.lock().tls.clone()
    }

    /// The answer to HTTP-01.
    pub fn post_token(&self, token: &str, key_authorization: &str) -> Posted {
        self.lock().http.insert(token.into(), key_authorization.into());
        Posted { challenges: self.clone(), at: Place::Token(token.into()) }
    }

    /// The answer to TLS-ALPN-01.
    pub fn post_certificate(&self, name: &str, config: Arc<ServerConfig>) -> Posted {
        self.lock().tls.insert(name.into(), config);
        Posted { challenges: self.clone(), at: Place::Name(name.into()) }
    }

    fn lock(&self) -> MutexGuard<'_, Answers> {
        self.0.lock().expect("nothing under this lock can panic")
    }
}

impl Drop for Posted {
    fn drop(&mut self) {
        let mut answers = self.challenges.lock();
        match &self.at {
            Place::Token(token) => drop(answers.http.remove(token)),
            Place::Name(name) => drop(answers.tls.remove(name)),
        }
    }
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

    #[test]
    fn an_answer_stands_until_it_is_dropped() {
        let challenges = Challenges::default();
        let token = challenges.post_token("token", "token.thumb");
        let config = tls_alpn("a.test", &[7; 32]).unwrap();
        let name = challenges.post_certificate("a.test", Arc::clone(&config));
        assert_eq!(challenges.http().get("token").map(|text| &**text), Some("token.thumb"));
        assert!(Arc::ptr_eq(&challenges.tls()["a.test"], &config));
        drop(token);
        assert!(challenges.http().is_empty() && challenges.tls().len() == 1);
        drop(name);
        assert!(challenges.tls().is_empty());
    }

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
