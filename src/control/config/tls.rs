//! What configurations say about TLS: the typed result, and the shapes of its values. Not here:
//! reading what the paths name (`control::certs`), rules that join keys (`check`).

use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::DeValue;

use super::shape::{Many, Parsed, Shape, Wrong, quoted};
use super::words::HOST;
use crate::limits;
use crate::snapshot::{self, ClientAuth};

/// `[tls]` of `hawser.toml`. Taken over by reload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerTls {
    /// For clients that ask for no known name; empty: they are refused.
    pub default: Files,
    pub handshakes: snapshot::Tls,
    pub min_version: MinVersion,
}

/// `[tls]` of a domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DomainTls {
    pub certificate: Certificate,
    /// Empty, or as many as there are certificates.
    pub key: Vec<PathBuf>,
    /// The same.
    pub ocsp: Vec<PathBuf>,
    pub client_auth: ClientAuth,
    /// Always there when clients are asked.
    pub client_ca: Option<PathBuf>,
}

/// Where a domain's pairs come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Certificate {
    /// `hawser cert set` or the API put it into the state directory; no TLS where nobody did.
    Uploaded,
    /// An ACME server.
    Acme,
    /// PEM files, each with a chain.
    Files(Vec<PathBuf>),
}

/// Pairs as files: certificates, and keys in the same order, or none where the certificates' files
/// hold them too.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Files {
    pub certificate: Vec<PathBuf>,
    pub key: Vec<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MinVersion {
    Tls12,
    Tls13,
}

/// `[origin_tls]` of a domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OriginTls {
    pub verify: Verify,
    /// `None`: the host of `http.host`, else the domain's name.
    pub server_name: Option<Box<str>>,
    /// What origins are shown, if they ask; at most one pair.
    pub pair: Files,
}

/// What an origin's certificate must lead to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verify {
    /// The roots of browsers, as the `webpki-roots` crate has them.
    Webpki,
    /// Nothing at all.
    Off,
    /// A PEM file of roots.
    Ca(PathBuf),
}

/// `[acme]` of `hawser.toml`. Taken over by reload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acme {
    pub directory: Box<str>,
    pub contact: Vec<Box<str>>,
    /// Roots for the directory's own certificate, instead of the public ones.
    pub root: Option<PathBuf>,
    pub challenge: AcmeChallenge,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AcmeChallenge {
    /// RFC 8555 8.3.
    Http01,
    /// RFC 8737.
    TlsAlpn01,
}

// === Shapes ===

pub static FILE: Parsed<PathBuf> = Parsed {
    accepts: "the absolute path of a file, such as \"/etc/hawser/tls/live.pem\"",
    read: file,
    write: |path| path.display().to_string(),
};

fn file(text: &str) -> Result<PathBuf, Option<String>> {
    if text.contains('\0') {
        return Err(Some("a path has no NUL in it".to_owned()));
    }
    if Path::new(text).is_absolute() {
        return Ok(text.into());
    }
    Err((!text.is_empty()).then(|| "not an absolute path".to_owned()))
}

static FILE_LIST: Many<PathBuf> = Many { shape: &FILE, min: 0, max: limits::PAIRS_PER_DOMAIN_MAX };
pub static FILES: OneOrMany<PathBuf> = OneOrMany { one: &FILE, many: &FILE_LIST };

/// One value by itself, or a list.
pub struct OneOrMany<T: 'static> {
    pub one: &'static dyn Shape<T>,
    pub many: &'static dyn Shape<Vec<T>>,
}

impl<T> Shape<Vec<T>> for OneOrMany<T> {
    fn accepts(&self) -> String {
        format!("{}, or {}", self.one.accepts(), self.many.accepts())
    }

    fn read(&self, value: &Spanned<DeValue<'_>>) -> Result<Vec<T>, Vec<Wrong>> {
        match value.get_ref() {
            DeValue::String(_) => self.one.read(value).map(|one| vec![one]),
            DeValue::Array(_) => self.many.read(value),
            _ => Err(Wrong::new(value, self.accepts())),
        }
    }

    fn write(&self, value: &Vec<T>) -> String {
        match &value[..] {
            [one] => self.one.write(one),
            _ => self.many.write(value),
        }
    }
}

/// `"uploaded"`, `"acme"`, or files.
pub struct CertificateShape;

static PAIRS: Many<PathBuf> = Many { shape: &FILE, min: 1, max: limits::PAIRS_PER_DOMAIN_MAX };

impl Shape<Certificate> for CertificateShape {
    fn accepts(&self) -> String {
        format!("\"uploaded\", \"acme\", {}, or {}", FILE.accepts, PAIRS.accepts())
    }

    fn read(&self, value: &Spanned<DeValue<'_>>) -> Result<Certificate, Vec<Wrong>> {
        match value.get_ref() {
            DeValue::String(word) if word == "uploaded" => Ok(Certificate::Uploaded),
            DeValue::String(word) if word == "acme" => Ok(Certificate::Acme),
            DeValue::String(path) => match file(path) {
                Ok(path) => Ok(Certificate::Files(vec![path])),
                Err(why) => Err(Wrong::because(value, why, self.accepts())),
            },
            DeValue::Array(_) => PAIRS.read(value).map(Certificate::Files),
            _ => Err(Wrong::new(value, self.accepts())),
        }
    }

    fn write(&self, value: &Certificate) -> String {
        match value {
            Certificate::Uploaded => quoted("uploaded"),
            Certificate::Acme => quoted("acme"),
            Certificate::Files(paths) => FILES.write(paths),
        }
    }
}

pub static VERIFY: Parsed<Verify> = Parsed {
    accepts: "\"webpki\", \"off\" or the absolute path of a PEM file with roots",
    read: |text| match text {
        "webpki" => Ok(Verify::Webpki),
        "off" => Ok(Verify::Off),
        path => file(path).map(Verify::Ca),
    },
    write: |verify| match verify {
        Verify::Webpki => "webpki".to_owned(),
        Verify::Off => "off".to_owned(),
        Verify::Ca(path) => path.display().to_string(),
    },
};

pub static SERVER_NAME: Parsed<Box<str>> = Parsed {
    accepts: "a host name in lower case or an IP address, without a port",
    read: |text| {
        let name = (HOST.read)(text)?;
        match host_of(&name) {
            host if host.len() == name.len() => Ok(name),
            _ => Err(Some("a server name has no port".to_owned())),
        }
    },
    write: |name| name.to_string(),
};

/// What stands before the port of a host that [`HOST`] accepts.
pub fn host_of(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, _)) if !host.ends_with(']') => name,
        _ => host,
    }
}

pub static DIRECTORY: Parsed<Box<str>> = Parsed {
    accepts: "the https URL of an ACME directory",
    read: |text| {
        let plain = text.bytes().all(|b| b.is_ascii_graphic());
        let host = text.strip_prefix("https://").and_then(|rest| rest.split('/').next());
        match host {
            Some(host) if plain => (HOST.read)(host).map(|_| text.into()),
            _ => Err(None),
        }
    },
    write: |url| url.to_string(),
};

static CONTACT: Parsed<Box<str>> = Parsed {
    accepts: "a mail address as a URL, such as \"mailto:ops@example.com\"",
    read: |text| {
        let address = text.strip_prefix("mailto:").and_then(|mail| mail.split_once('@'));
        let plain = text.bytes().all(|b| b.is_ascii_graphic() && !b"?,".contains(&b));
        match address {
            Some((local, domain)) if plain && !local.is_empty() && !domain.is_empty() => {
                Ok(text.into())
            }
            None if text.contains('@') => Err(Some("no mailto: in front".to_owned())),
            _ => Err(None),
        }
    },
    write: |contact| contact.to_string(),
};
static CONTACT_LIST: Many<Box<str>> = Many { shape: &CONTACT, min: 0, max: 8 };
pub static CONTACTS: OneOrMany<Box<str>> = OneOrMany { one: &CONTACT, many: &CONTACT_LIST };
