//! Answers to ACME challenges that are under way. They are in every snapshot until they are taken
//! out. Not here: who orders certificates (`acme`), and the cores that answer.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use rustls::ServerConfig;

#[derive(Clone, Default)]
pub struct Challenges {
    /// Key authorizations of HTTP-01 (RFC 8555 8.3), by token.
    pub http: HashMap<Box<str>, Box<str>>,
    /// Answers of TLS-ALPN-01 (RFC 8737), by name.
    pub tls_alpn: HashMap<Box<str>, Arc<ServerConfig>>,
}

impl fmt::Debug for Challenges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Challenges")
            .field("http", &self.http.len())
            .field("tls_alpn", &self.tls_alpn.keys())
            .finish()
    }
}
