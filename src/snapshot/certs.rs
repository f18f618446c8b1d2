//! TLS as the cores see it: which pair answers which name, and how origins are spoken to. Built and
//! checked by the control plane, so that a handshake only looks up. Not here: files, expiry, ACME
//! (`control::certs`), and the handshakes themselves (`net::tls`).

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ServerConfig};

use crate::limits::{DEFAULT_TLS_HANDSHAKE_TIMEOUT, DEFAULT_TLS_HANDSHAKES_PER_SECOND};

/// Whether a connection is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Transport {
    Plain,
    Tls,
}

/// Rules for TLS with clients that hold for every domain and may change by reload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// From accept (or the end of the PROXY header) to the end of the handshake.
    pub handshake_timeout: Duration,
    /// Handshakes begun per second by all cores together, with a burst of one second's worth; those
    /// beyond it wait, and are closed when their time runs out first. `None`: no limit.
    pub handshakes_per_second: Option<u32>,
}

impl Default for Tls {
    fn default() -> Tls {
        Tls {
            handshake_timeout: DEFAULT_TLS_HANDSHAKE_TIMEOUT,
            handshakes_per_second: DEFAULT_TLS_HANDSHAKES_PER_SECOND,
        }
    }
}

/// Pairs by server name: exact first, then the wildcard one label up, then the default.
#[derive(Default)]
pub struct Certificates {
    exact: HashMap<Arc<str>, Arc<ServerTls>>,
    /// Keyed without the `*.`.
    wildcard: HashMap<Arc<str>, Arc<ServerTls>>,
    default: Option<Arc<ServerTls>>,
    /// Answers to TLS-ALPN-01 (RFC 8737), by the name that is being validated.
    challenges: HashMap<Box<str>, Arc<ServerConfig>>,
}

/// How clients of one domain are spoken to.
pub struct ServerTls {
    /// Everything rustls needs: pairs, tickets, client verification, ALPN, secret extraction on.
    pub config: Arc<ServerConfig>,
    /// The domain whose name the client asked for; `None` for the default pair.
    pub domain: Option<Arc<str>>,
}

/// Whether a domain asks its clients for a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ClientAuth {
    #[default]
    Off,
    /// Asked for; one that is sent must verify.
    Optional,
    /// No handshake without one.
    Required,
}

/// How the origins of one domain are spoken to over TLS.
pub struct OriginTls {
    /// Roots, client certificate, resumption, secret extraction on. The same `Arc` for as long as
    /// nothing in it changed, so that sessions and pooled connections outlive a reload.
    pub config: Arc<ClientConfig>,
    /// SNI, and the name that the origin's certificate must carry. `None`, of a wildcard domain:
    /// the host that a request is for ([`OriginTls::for_host`]).
    pub server_name: Option<ServerName<'static>>,
}

impl Certificates {
    pub fn new(
        domains: impl IntoIterator<Item = (Arc<str>, Arc<ServerTls>)>,
        default: Option<Arc<ServerTls>>,
        challenges: HashMap<Box<str>, Arc<ServerConfig>>,
    ) -> Certificates {
        let mut certificates = Certificates { default, challenges, ..Certificates::default() };
        for (name, tls) in domains {
            match name.strip_prefix("*.") {
                Some(parent) => certificates.wildcard.insert(parent.into(), tls),
                None => certificates.exact.insert(name, tls),
            };
        }
        certificates
    }

    /// `name`: lower case, as the client asked; `None` when it did not. `None` is answered with
    /// `unrecognized_name` (RFC 6066 3).
    pub fn find(&self, name: Option<&str>) -> Option<&Arc<ServerTls>> {
        let by_name = name.and_then(|name| {
            self.exact.get(name).or_else(|| {
                let (label, parent) = name.split_once('.')?;
                if label.is_empty() { None } else { self.wildcard.get(parent) }
            })
        });
        by_name.or(self.default.as_ref())
    }

    /// The answer for a validation server that offers `acme-tls/1` for `name`.
    pub fn challenge(&self, name: &str) -> Option<&Arc<ServerConfig>> {
        self.challenges.get(name)
    }

    pub fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.wildcard.is_empty() && self.default.is_none()
    }
}

impl OriginTls {
    /// The same rules for the origin of one host; `None` when no certificate can carry its name.
    pub fn for_host(&self, host: &str) -> Option<OriginTls> {
        let server_name = Some(ServerName::try_from(host.to_owned()).ok()?);
        Some(OriginTls { config: Arc::clone(&self.config), server_name })
    }
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificates")
            .field("exact", &self.exact.keys())
            .field("wildcard", &self.wildcard.keys())
            .field("default", &self.default.is_some())
            .field("challenges", &self.challenges.keys())
            .finish()
    }
}

impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ServerTls({:?})", self.domain)
    }
}

impl fmt::Debug for OriginTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OriginTls({:?})", self.server_name)
    }
}
