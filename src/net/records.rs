//! The record layer of a TLS connection behind its handshake: opened and sealed in place, in the
//! buffer that the ring received into. Secrets and sequence numbers are rustls' (`rustls::kernel`),
//! AEAD is aws-lc-rs'. TLS 1.3 (RFC 8446 5) and 1.2 (RFC 5246 6.2.3.3, RFC 5288, RFC 7905).
//!
//! Not here: the handshake (`net::tls`), sockets, buffers.

use std::ops::Range;

use rustls::client::UnbufferedClientConnection;
use rustls::server::UnbufferedServerConnection;

/// Bytes of a record's header.
pub const HEADER_BYTES: usize = 5;
/// The largest room that sealing needs in front of the plaintext (TLS 1.2 with AES-GCM) and behind
/// it (TLS 1.3).
pub const HEADROOM_MAX: usize = 13;
pub const TAILROOM_MAX: usize = 17;
/// Bytes of any record that [`Session::seal_alert`] and [`Session::seal_key_update`] write.
pub const CONTROL_RECORD_BYTES_MAX: usize = 5 + 8 + 5 + 1 + 16;

/// The state of one TLS connection behind its handshake: secrets, sequence numbers, and AEAD
/// contexts while it is busy.
pub struct Session {
    _private: (),
}

/// What the first record of the input was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Opened {
    /// Not whole yet. `needed`: bytes of the record with its header, or 5 while not even that is
    /// there. Nothing was changed.
    Partial { needed: usize },
    /// Application data, now in the clear at this range of the input (may be empty).
    Data { plain: Range<usize>, record: usize },
    /// Dealt with in here: a ticket, a key update, a piece of either. See [`Session::duty`].
    Handled { record: usize },
    /// close_notify: nothing more will come, sending may go on (RFC 8446 6.1).
    Closed { record: usize },
}

/// Why a connection cannot go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The peer broke TLS: this alert, fatal, is due to it ([`Session::seal_alert`]).
    Ours(Alert),
    /// A fatal alert of the peer: nothing is due.
    Peer(Alert),
}

/// Description of an alert (RFC 8446 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Alert(pub u8);

impl Alert {
    pub const CLOSE_NOTIFY: Alert = Alert(0);
    pub const UNEXPECTED_MESSAGE: Alert = Alert(10);
    pub const BAD_RECORD_MAC: Alert = Alert(20);
    pub const RECORD_OVERFLOW: Alert = Alert(22);
    pub const HANDSHAKE_FAILURE: Alert = Alert(40);
    pub const DECODE_ERROR: Alert = Alert(50);
    pub const PROTOCOL_VERSION: Alert = Alert(70);
    pub const INTERNAL_ERROR: Alert = Alert(80);
    pub const USER_CANCELED: Alert = Alert(90);
    pub const NO_RENEGOTIATION: Alert = Alert(100);
    pub const MISSING_EXTENSION: Alert = Alert(109);
    pub const UNRECOGNIZED_NAME: Alert = Alert(112);
}

/// A record that the session itself has to send, before any further data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Duty {
    /// Call [`Session::seal_key_update`]: the peer asked for it, or our keys are half worn.
    KeyUpdate,
    /// Call [`Session::seal_alert`] with a warning (TLS 1.2: `no_renegotiation`).
    Warning(Alert),
    /// TLS 1.2 cannot renew its keys, and they are nearly worn: end the connection in order.
    Close,
}

/// The keys have encrypted as many records as they may; nothing was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Worn;

impl Session {
    /// Takes over a server connection whose handshake is over and whose output is all sent.
    ///
    /// # Errors
    /// The handshake is not over, or the configuration does not allow extraction.
    pub fn from_server(connection: UnbufferedServerConnection) -> Result<Session, rustls::Error> {
        let _ = connection;
        unimplemented!()
    }

    /// The same of a client connection.
    pub fn from_client(connection: UnbufferedClientConnection) -> Result<Session, rustls::Error> {
        let _ = connection;
        unimplemented!()
    }

    /// Version and cipher suite, for people: `TLSv1.3 AES_128_GCM`.
    pub fn describe(&self) -> &'static str {
        unimplemented!()
    }

    /// Room that [`Session::seal`] needs in front of the plaintext: 5, or 13 for TLS 1.2 AES-GCM.
    pub fn headroom(&self) -> usize {
        unimplemented!()
    }

    /// Room that it needs behind: 17, or 16 for TLS 1.2.
    pub fn tailroom(&self) -> usize {
        unimplemented!()
    }

    /// Opens the first record of `input` in place.
    ///
    /// # Errors
    /// [`Fault`]; the connection is over then, and only an alert may still be sealed.
    pub fn open(&mut self, input: &mut [u8]) -> Result<Opened, Fault> {
        let _ = input;
        unimplemented!()
    }

    /// Seals `plain` of `buffer`, at most 2^14 bytes, into one record around it; answers where the
    /// record stands. Records must be sent in the order in which they were sealed.
    ///
    /// # Errors
    /// [`Worn`].
    ///
    /// # Panics
    /// When there is less room than [`Session::headroom`] and [`Session::tailroom`] ask for.
    pub fn seal(&mut self, buffer: &mut [u8], plain: Range<usize>) -> Result<Range<usize>, Worn> {
        let _ = (buffer, plain);
        unimplemented!()
    }

    /// Writes a record with an alert to the start of `out`; answers its length. Fatal but for
    /// close_notify, user_canceled and no_renegotiation.
    pub fn seal_alert(&mut self, alert: Alert, out: &mut [u8]) -> usize {
        let _ = (alert, out);
        unimplemented!()
    }

    /// Writes a KeyUpdate to the start of `out` and changes to the next sending keys (RFC 8446
    /// 4.6.3); answers its length.
    pub fn seal_key_update(&mut self, out: &mut [u8]) -> usize {
        let _ = out;
        unimplemented!()
    }

    /// What the session has to send now; look after every open and seal, until `None`.
    pub fn duty(&self) -> Option<Duty> {
        unimplemented!()
    }

    /// Whether AEAD contexts are in memory.
    pub fn is_warm(&self) -> bool {
        unimplemented!()
    }

    /// Drops them; they come back by themselves.
    pub fn cool(&mut self) {
        unimplemented!()
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Session")
    }
}
