//! TLS handshakes on set-up connections, with rustls' unbuffered API: bytes are held only while there
//! are some. What follows the handshake is [`super::records`]'s. Not here: which pair answers which
//! name (`snapshot::certs`), and what is said over the connection.

use std::fmt;
use std::sync::Arc;

use super::records::Session;
use crate::snapshot::certs::ServerTls;

/// A TLS connection that leaves the set-up.
#[derive(Debug)]
pub struct Secured {
    pub session: Box<Session>,
    /// Received bytes that were not opened yet: records, the last of them perhaps not whole.
    pub undigested: Vec<u8>,
    /// Records that the session had to send and that found no room in the socket: they go before
    /// anything else.
    pub unsent: Vec<u8>,
}

/// A client behind its handshake.
#[derive(Debug)]
pub struct AcceptedTls {
    /// The pair that it was served with.
    pub server: Arc<ServerTls>,
    /// The name that it asked for (SNI), in lower case.
    pub asked_for: Option<Box<str>>,
    pub resumed: bool,
    /// Of its verified certificate: RFC 4514 text in ASCII, bounded.
    pub subject: Option<Box<str>>,
    /// A validation server's TLS-ALPN-01 look (RFC 8737 3): nothing is said over it, close it.
    pub challenge: bool,
}

/// A handshake with a client that failed. What TLS wants to be said was said: the alert is sent and
/// the writing half is shut down, but for plain HTTP, where nothing was sent.
#[derive(Debug)]
pub struct AcceptTlsError {
    pub reason: AcceptFailure,
    /// What happened, for people.
    pub detail: Box<str>,
}

/// Why a handshake with a client failed; `stats::TlsFailure` says more of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AcceptFailure {
    UnknownName,
    NoName,
    /// Its bytes are back in `received`, for an answer in the clear.
    PlainHttp,
    NotTls,
    NothingInCommon,
    ClientCertificate,
    Protocol,
    Alert,
    Closed,
    Timeout,
    Internal,
}

/// An origin behind its handshake.
#[derive(Debug, Clone, Copy)]
pub struct ConnectedTls {
    pub resumed: bool,
}

/// A handshake with an origin that failed.
#[derive(Debug)]
pub struct ConnectTlsError {
    pub reason: ConnectFailure,
    /// What happened, for people.
    pub detail: Box<str>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectFailure {
    /// It sent bytes before our hello (CVE-2026-1642).
    SpokeFirst,
    NotTls,
    /// Expired, of an unknown issuer, for another name.
    Certificate,
    /// It answered with a fatal alert.
    Alert,
    /// It broke TLS, or has nothing in common with us.
    Protocol,
    /// More bytes in one flight than [`crate::limits::ORIGIN_FLIGHT_BYTES_MAX`].
    TooLarge,
    Closed,
    Timeout,
    Internal,
}

impl fmt::Display for AcceptTlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

impl fmt::Display for ConnectTlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}
