//! One certificate chain with its private key: read, checked, ready to be served. Not here: which
//! domain has which (`keyring`).

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::digest::{Context, SHA256};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{Error as TlsError, InconsistentKeys, SignatureAlgorithm};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use super::{pem, provider};
use crate::control::config::Problem;

/// SHA-256 of what something was made from.
pub type Digest = [u8; 32];

/// Where one pair is, and the key of the configuration that says so.
#[derive(Debug, Clone)]
pub struct Place {
    pub certificate: PathBuf,
    /// `None`: in the certificate's file.
    pub key: Option<PathBuf>,
    pub ocsp: Option<PathBuf>,
    /// For messages: `tls.certificate of live.example.com`.
    pub named_by: String,
}

/// A pair that fits together. No private key in its Debug.
pub struct Pair {
    pub certified: Arc<CertifiedKey>,
    pub facts: Facts,
    /// Of chain and key.
    pub digest: Digest,
}

/// What people want to know of a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Lower-case names and addresses of subjectAltName.
    pub names: Vec<String>,
    pub issuer: String,
    pub serial: Vec<u8>,
    pub kind: Kind,
    /// Unix time.
    pub not_before: i64,
    pub not_after: i64,
}

/// Kind of key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Ecdsa,
    Ed25519,
    Rsa,
    Other,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Kind::Ecdsa => "ecdsa",
            Kind::Ed25519 => "ed25519",
            Kind::Rsa => "rsa",
            Kind::Other => "other",
        }
    }
}

/// How far a certificate is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Age {
    NotYetValid,
    Valid,
    Expired,
}

impl Pair {
    /// Reads and checks everything that does not depend on the time or on a name. `known` gives a
    /// pair that was checked before.
    pub fn load(
        place: &Place,
        known: impl Fn(&Digest) -> Option<Arc<Pair>>,
    ) -> Result<Arc<Pair>, Problem> {
        let Place { certificate, key, named_by, .. } = place;
        let text = pem::read(certificate, named_by)?;
        let other = key.as_deref().filter(|key| *key != certificate);
        let key_text = other.map(|key| pem::read(key, named_by)).transpose()?;
        let at = |path: &Path| {
            let path = path.to_owned();
            move |(what, accepted)| {
                Problem::of_file(&path, format!("{named_by}: {what}"), Some(accepted))
            }
        };
        let key_file = other.unwrap_or(certificate);
        Pair::of_texts(&text, key_text.as_deref().map_or(&text, |text| text), known).map_err(
            |wrong| match wrong {
                Wrong::Chain(said) => at(certificate)(said),
                Wrong::Key(said) => at(key_file)(said),
            },
        )
    }

    /// The same of texts that are in no file yet.
    pub fn of_texts(
        chain: &[u8],
        key: &[u8],
        known: impl Fn(&Digest) -> Option<Arc<Pair>>,
    ) -> Result<Arc<Pair>, Wrong> {
        let chain = pem::certificates(chain).map_err(Wrong::Chain)?;
        let Some(key) = pem::private_key(key).map_err(Wrong::Key)? else {
            let what = "holds no private key".to_owned();
            let accepted = "the key in PEM behind the certificates, or a file of its own (`key`)";
            return Err(Wrong::Key((what, accepted.to_owned())));
        };
        let digest = digest_of(&chain, &key);
        if let Some(pair) = known(&digest) {
            return Ok(pair);
        }
        let facts = Facts::of(&chain[0]).map_err(Wrong::Chain)?;
        let certified = certified(chain, key)?;
        let kind = match certified.key.algorithm() {
            SignatureAlgorithm::RSA => Kind::Rsa,
            SignatureAlgorithm::ECDSA => Kind::Ecdsa,
            SignatureAlgorithm::ED25519 => Kind::Ed25519,
            _ => Kind::Other,
        };
        let facts = Facts { kind, ..facts };
        Ok(Arc::new(Pair { certified: Arc::new(certified), facts, digest }))
    }
}

/// What is wrong with which half of a pair, and what is accepted.
#[derive(Debug)]
pub enum Wrong {
    Chain((String, String)),
    Key((String, String)),
}

fn certified(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<CertifiedKey, Wrong> {
    let key = provider().key_provider.load_private_key(key).map_err(|_| {
        let what = "holds a private key of a kind that is not supported, or a broken one";
        let accepted = "RSA of 2048 to 8192 bits, ECDSA on P-256, P-384 or P-521, or Ed25519";
        Wrong::Key((what.to_owned(), accepted.to_owned()))
    })?;
    let place = |leaf: &CertificateDer<'static>| {
        CertifiedKey::new(vec![leaf.clone()], Arc::clone(&key)).keys_match()
    };
    match place(&chain[0]) {
        Ok(()) | Err(TlsError::InconsistentKeys(InconsistentKeys::Unknown)) => {}
        Err(TlsError::InconsistentKeys(_)) => {
            let fits = chain.iter().position(|other| place(other).is_ok());
            let what = match fits {
                Some(i) => format!(
                    "the private key belongs to certificate {} of the chain, not to the first",
                    i + 1
                ),
                None => "the private key does not belong to the certificate".to_owned(),
            };
            let accepted = match fits {
                Some(_) => "the chain with its leaf first",
                None => "the key with which this certificate was ordered",
            };
            return Err(Wrong::Key((what, accepted.to_owned())));
        }
        Err(error) => {
            let what = format!("the first certificate cannot be used: {error}");
            return Err(Wrong::Chain((what, "a certificate of X.509 version 3".to_owned())));
        }
    }
    Ok(CertifiedKey::new(chain, key))
}

impl Facts {
    /// # Errors
    /// What is wrong, and what is accepted.
    pub fn of(certificate: &CertificateDer<'_>) -> Result<Facts, (String, String)> {
        let (_, parsed) = X509Certificate::from_der(certificate).map_err(|error| {
            let what = format!("the first certificate cannot be parsed: {error}");
            (what, "a certificate of X.509 version 3".to_owned())
        })?;
        let mut names = Vec::new();
        if let Ok(Some(alternative)) = parsed.subject_alternative_name() {
            names = alternative.value.general_names.iter().filter_map(name).collect();
        }
        Ok(Facts {
            names,
            issuer: parsed.issuer().to_string(),
            serial: parsed.raw_serial().to_vec(),
            kind: Kind::Other,
            not_before: parsed.validity().not_before.timestamp(),
            not_after: parsed.validity().not_after.timestamp(),
        })
    }

    /// Whether clients that ask for `domain` would accept the certificate's names (RFC 9525 6): a
    /// wildcard stands for one label.
    pub fn covers(&self, domain: &str) -> bool {
        let address = domain.trim_matches(['[', ']']).parse::<IpAddr>();
        self.names.iter().any(|name| match &address {
            Ok(address) => name.parse::<IpAddr>().is_ok_and(|name| name == *address),
            Err(_) if name == domain => true,
            Err(_) => {
                let below = domain.split_once('.').map(|(_, parent)| parent);
                !domain.starts_with("*.")
                    && name.strip_prefix("*.").is_some_and(|p| below == Some(p))
            }
        })
    }

    pub fn age(&self, now: Timestamp) -> Age {
        let now = now.as_second();
        if now < self.not_before {
            Age::NotYetValid
        } else if now > self.not_after {
            Age::Expired
        } else {
            Age::Valid
        }
    }

    /// Whole days until the end; negative once it is over.
    pub fn days_left(&self, now: Timestamp) -> i64 {
        (self.not_after - now.as_second()).div_euclid(86_400)
    }

    /// What is wrong with the certificate for `domain` at this time, and what is accepted.
    pub fn wrong_for(&self, domain: Option<&str>, now: Timestamp) -> Option<(String, String)> {
        let fresh = "a certificate that is valid now; is the clock of this host right?".to_owned();
        match self.age(now) {
            Age::Expired => {
                return Some((format!("the certificate expired {}", day(self.not_after)), fresh));
            }
            Age::NotYetValid => {
                let from = day(self.not_before);
                return Some((format!("the certificate is valid only from {from} on"), fresh));
            }
            Age::Valid => {}
        }
        self.wrong_name(domain?)
    }

    pub fn wrong_name(&self, domain: &str) -> Option<(String, String)> {
        if self.covers(domain) {
            return None;
        }
        let names = match &self.names[..] {
            [] => "no name at all (it has no subjectAltName)".to_owned(),
            names if names.len() > 8 => {
                format!("{} and {} more", names[..8].join(", "), names.len() - 8)
            }
            names => names.join(", "),
        };
        let what = format!("the certificate does not cover {domain}, but {names}");
        Some((what, format!("a certificate with {domain} in its subjectAltName")))
    }
}

impl fmt::Debug for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pair").field("facts", &self.facts).finish_non_exhaustive()
    }
}

/// A time for people, in UTC.
pub fn day(unix: i64) -> String {
    let time = Timestamp::from_second(unix).map(|time| time.to_zoned(TimeZone::UTC));
    time.map_or_else(|_| unix.to_string(), |time| time.strftime("%Y-%m-%d %H:%M UTC").to_string())
}

/// Of any parts; each is preceded by its length, so that no two lists of parts are the same bytes.
pub fn digest(parts: &[&[u8]]) -> Digest {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    context.finish().as_ref().try_into().expect("SHA-256 has 32 bytes")
}

fn digest_of(chain: &[CertificateDer<'_>], key: &PrivateKeyDer<'_>) -> Digest {
    let mut parts: Vec<&[u8]> = chain.iter().map(|certificate| &**certificate).collect();
    parts.push(key.secret_der());
    digest(&parts)
}

fn name(general: &GeneralName<'_>) -> Option<String> {
    match general {
        GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
        GeneralName::IPAddress(bytes) => {
            let v4 = <[u8; 4]>::try_from(*bytes).map(IpAddr::from);
            let v6 = <[u8; 16]>::try_from(*bytes).map(IpAddr::from);
            v4.or(v6).ok().map(|address| address.to_string())
        }
        _ => None,
    }
}
