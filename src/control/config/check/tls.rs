//! The rules of the TLS tables. Not here: whether the files that they name are any good
//! (`control::certs`).

use std::path::PathBuf;

use super::super::DomainConfig;
use super::super::keys::{self, Key};
use super::super::tls::{Acme, Certificate, DomainTls, Files, OriginTls, ServerTls};
use super::Table;
use crate::snapshot::{self, ClientAuth};

pub fn server(table: &Table<'_>) -> ServerTls {
    use keys::tls as key;
    ServerTls {
        default: files(table, &key::DEFAULT_CERTIFICATE, &key::DEFAULT_KEY),
        handshakes: snapshot::Tls {
            handshake_timeout: table.read(&key::HANDSHAKE_TIMEOUT),
            handshakes_per_second: table.read(&key::HANDSHAKES_PER_SECOND),
        },
        min_version: table.read(&key::MIN_VERSION),
    }
}

/// Certificates, and keys that go with them.
pub fn files(table: &Table<'_>, certificate: &Key<Vec<PathBuf>>, key: &Key<Vec<PathBuf>>) -> Files {
    let files = Files { certificate: table.read(certificate), key: table.read(key) };
    beside(table, key, files.key.len(), files.certificate.len());
    files
}

pub fn acme(table: &Table<'_>) -> Acme {
    use keys::acme as key;
    Acme {
        directory: table.read(&key::DIRECTORY_KEY),
        contact: table.read(&key::CONTACT),
        root: table.read(&key::ROOT),
        challenge: table.read(&key::CHALLENGE),
    }
}

pub fn domain(table: &Table<'_>) -> DomainTls {
    use keys::domain_tls as key;
    let tls = DomainTls {
        certificate: table.read(&key::CERTIFICATE),
        key: table.read(&key::KEY),
        ocsp: table.read(&key::OCSP),
        client_auth: table.read(&key::CLIENT_AUTH),
        client_ca: table.read(&key::CLIENT_CA),
    };
    match &tls.certificate {
        Certificate::Files(files) => {
            beside(table, &key::KEY, tls.key.len(), files.len());
            beside(table, &key::OCSP, tls.ocsp.len(), files.len());
        }
        Certificate::Uploaded | Certificate::Acme => {
            for (key, files) in [(&key::KEY, &tls.key), (&key::OCSP, &tls.ocsp)] {
                if !files.is_empty() {
                    table.refuse(
                        key.name,
                        "has no effect: `certificate` names no file",
                        "certificate = \"PATH\" beside it, or no such key",
                    );
                }
            }
        }
    }
    match (tls.client_auth, &tls.client_ca) {
        (ClientAuth::Optional | ClientAuth::Required, None) => table.refuse(
            key::CLIENT_AUTH.name,
            "there is nothing to verify clients by",
            "client_ca = \"PATH\" beside it, or \"off\"",
        ),
        (ClientAuth::Off, Some(_)) => table.refuse(
            key::CLIENT_CA.name,
            "has no effect: client_auth is \"off\"",
            "client_auth = \"optional\" or \"required\", or no client_ca",
        ),
        _ => {}
    }
    tls
}

pub fn origin(table: &Table<'_>) -> OriginTls {
    use keys::origin_tls as key;
    let certificate = table.read(&key::CERTIFICATE);
    let private = table.read(&key::KEY);
    if certificate.is_none() && private.is_some() {
        table.refuse(
            key::KEY.name,
            "has no effect: there is no certificate",
            "certificate = \"PATH\" beside it, or no key",
        );
    }
    OriginTls {
        verify: table.read(&key::VERIFY_KEY),
        server_name: table.read(&key::SERVER_NAME_KEY),
        pair: Files {
            certificate: certificate.into_iter().collect(),
            key: private.into_iter().collect(),
        },
    }
}

/// What can be said only of a whole domain.
pub fn of_domain(config: &DomainConfig, client: &Table<'_>) {
    if config.tls.certificate == Certificate::Acme {
        let why = if config.name.starts_with("*.") {
            Some("a wildcard needs the challenge dns-01, which hawser does not answer")
        } else if is_address(&config.name) {
            Some("issuers know names, and this is an address")
        } else {
            None
        };
        if let Some(why) = why {
            client.refuse(keys::domain_tls::CERTIFICATE.name, why, "\"uploaded\" or files");
        }
    }
}

fn is_address(name: &str) -> bool {
    name.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok()
}

/// Files that belong to certificates, one to one.
fn beside<T>(table: &Table<'_>, key: &Key<T>, files: usize, certificates: usize) {
    if files == 0 || files == certificates {
        return;
    }
    let plural = |n: usize| if n == 1 { "" } else { "s" };
    table.refuse(
        key.name,
        &format!(
            "{files} file{} for {certificates} certificate{}",
            plural(files),
            plural(certificates)
        ),
        "one for each certificate, in the same order, or no such key",
    );
}
