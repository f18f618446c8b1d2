//! TLS handshakes on set-up connections, with rustls' unbuffered API: bytes are held only while there
//! are some. What follows the handshake is [`super::records`]'s. Not here: which pair answers which
//! name (`snapshot::certs`), and what is said over the connection.

use super::records::Session;

/// A TLS connection that leaves the set-up.
#[derive(Debug)]
pub struct Secured {
    pub session: Box<Session>,
    /// Received bytes of a record that is not whole yet.
    pub undigested: Vec<u8>,
}
