//! Certificates: read, checked, and made into what cores hand to rustls. Whatever does not change
//! between two configurations keeps its identity, so that sessions, tickets and pooled connections
//! outlive a reload.
//!
//! Not here: handshakes (`net::tls`), orders to an ACME server (`acme`), when to read anew
//! (`publish`).

pub mod challenges;
pub mod expiry;
pub mod keyring;
mod ocsp;
mod origins;
pub mod pair;
mod pem;
pub mod request;
mod servers;
pub mod store;
pub mod upload;

#[cfg(test)]
mod tests;

use std::sync::{Arc, LazyLock};

use rustls::SupportedCipherSuite;
use rustls::crypto::{CryptoProvider, aws_lc_rs};

pub use challenges::Challenges;
pub use keyring::{Keyring, Reading, Served};
pub use pem::read as read_file;

/// The chain of a pair as PEM, without its key.
pub fn chain_pem(pair: &pair::Pair) -> String {
    pem::of_chain(&pair.certified.cert)
}

/// RFC 7301: the one protocol that is spoken behind TLS.
const ALPN_HTTP_1_1: &[u8] = b"http/1.1";

static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| {
    let mut provider = aws_lc_rs::default_provider();
    // AES-128 is strong enough for all and the cheapest for both sides wherever there is hardware
    // for AES; what follows keeps its order.
    let is_aes_128 = |suite: &SupportedCipherSuite| {
        let name = suite.suite().as_str().unwrap_or_default();
        name.contains("AES_128")
    };
    provider.cipher_suites.sort_by_key(|suite| !is_aes_128(suite));
    Arc::new(provider)
});

fn provider() -> &'static Arc<CryptoProvider> {
    &PROVIDER
}
