//! The record layer of a TLS connection behind its handshake: opened and sealed in place, in the
//! buffer that the ring received into. Secrets and sequence numbers are rustls' (`rustls::kernel`),
//! AEAD is aws-lc-rs'. TLS 1.3 (RFC 8446 5) and 1.2 (RFC 5246 6.2.3.3, RFC 5288, RFC 7905).
//!
//! Not here: the handshake (`net::tls`), sockets, buffers.

use std::ops::Range;

use aws_lc_rs::aead::{Aad, LessSafeKey};
use rustls::ExtractedSecrets;
use rustls::SupportedCipherSuite;
use rustls::client::UnbufferedClientConnection;
use rustls::server::UnbufferedServerConnection;

use crate::limits::{
    EMPTY_RECORDS_MAX, LATE_HANDSHAKE_BYTES_MAX, LATE_HANDSHAKES_MAX, RECORD_EXPANSION_MAX,
    RECORD_PLAINTEXT_MAX,
};
use protection::{EXPLICIT_NONCE_BYTES, Keys, SUITES, Scheme, Suite, TAG_BYTES};
use schedule::Schedule;

pub mod fuzz;
mod protection;
mod schedule;
#[cfg(test)]
pub mod testing;
#[cfg(test)]
mod tests;

/// Bytes of a record's header.
pub const HEADER_BYTES: usize = 5;
/// The largest room that sealing needs in front of the plaintext (TLS 1.2 with AES-GCM) and behind
/// it (TLS 1.3).
pub const HEADROOM_MAX: usize = HEADER_BYTES + EXPLICIT_NONCE_BYTES;
pub const TAILROOM_MAX: usize = 1 + TAG_BYTES;
/// Bytes of any record that [`Session::seal_alert`] and [`Session::seal_key_update`] write.
pub const CONTROL_RECORD_BYTES_MAX: usize = HEADROOM_MAX + KEY_UPDATE.len() + TAILROOM_MAX;
/// Bytes of any record that [`Session::open`] takes, header included: no buffer for one has to be
/// larger.
pub const RECORD_BYTES_MAX: usize = HEADER_BYTES + RECORD_PLAINTEXT_MAX + RECORD_EXPANSION_MAX;

// RFC 8446 5.1: ContentType.
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const APPLICATION_DATA: u8 = 23;
// RFC 8446 4, RFC 5246 7.4: HandshakeType.
const HELLO_REQUEST: u8 = 0;
const CLIENT_HELLO: u8 = 1;
const NEW_SESSION_TICKET: u8 = 4;
const KEY_UPDATE_TYPE: u8 = 24;
/// RFC 8446 4.6.3, with `update_not_requested`: an answer must not ask back, and keys of ours that
/// are half worn say nothing about the peer's.
const KEY_UPDATE: [u8; 5] = [KEY_UPDATE_TYPE, 0, 0, 1, 0];
/// Records left to a TLS 1.2 connection when its close becomes due: what is under way may still
/// leave.
const CLOSE_RESERVE: u64 = 4096;
/// A bound for suites without a confidentiality limit, far from where sequence numbers end.
const LIMIT_LOG2_MAX: u8 = 62;

/// The state of one TLS connection behind its handshake: secrets, sequence numbers, and AEAD
/// contexts while it is busy. Packed: idle connections hold one each.
pub struct Session {
    /// Gives the next keys; TLS 1.2 has none.
    schedule: Option<Schedule>,
    /// What only a busy connection needs.
    working: Option<Box<Working>>,
    /// Sequence number of the next record of either direction (RFC 8446 5.3).
    sealed: u64,
    opened: u64,
    sealing: Keys,
    opening: Keys,
    /// Index in [`SUITES`].
    suite: u8,
    /// The sending keys are worn after two to the power of this many records.
    limit_log2: u8,
    /// Records that carried nothing, and handshake messages, since the last data.
    empties: u8,
    lates: u8,
    side: Side,
    inbound: Inbound,
    outbound: Outbound,
}

#[derive(Default)]
struct Working {
    seal: Option<LessSafeKey>,
    open: Option<LessSafeKey>,
    /// The beginning of a handshake message.
    partial: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Client,
    Server,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Inbound {
    Open,
    Closed,
    Failed(Fault),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outbound {
    Open,
    OwesKeyUpdate,
    OwesWarning,
    Closed,
}

/// What the first record of the input was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Opened {
    /// Not whole yet. `needed`: bytes of the record with its header, or 5 while not even that is
    /// there. Nothing was changed.
    Partial { needed: usize },
    /// Application data, now in the clear at this range of the input (may be empty).
    Data { plain: Range<usize>, record: usize },
    /// Dealt with in here: a ticket, a key update, a piece of either, a warning. See
    /// [`Session::duty`].
    Handled { record: usize },
    /// close_notify: nothing more will come, sending may go on (RFC 8446 6.1). Whatever stands
    /// behind it is ignored: further calls answer this for all of their input.
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
    pub const ILLEGAL_PARAMETER: Alert = Alert(47);
    pub const DECODE_ERROR: Alert = Alert(50);
    pub const PROTOCOL_VERSION: Alert = Alert(70);
    pub const INTERNAL_ERROR: Alert = Alert(80);
    pub const USER_CANCELED: Alert = Alert(90);
    pub const NO_RENEGOTIATION: Alert = Alert(100);
    pub const MISSING_EXTENSION: Alert = Alert(109);
    pub const UNRECOGNIZED_NAME: Alert = Alert(112);

    const WARNING: u8 = 1;
    const FATAL: u8 = 2;

    fn level(self) -> u8 {
        match self {
            Alert::CLOSE_NOTIFY | Alert::USER_CANCELED | Alert::NO_RENEGOTIATION => Alert::WARNING,
            _ => Alert::FATAL,
        }
    }
}

/// A record that the session itself has to send, before any further data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Duty {
    /// Call [`Session::seal_key_update`]: the peer asked for it, or our keys are half worn.
    KeyUpdate,
    /// Call [`Session::seal_alert`] with a warning (TLS 1.2: `no_renegotiation`).
    Warning(Alert),
    /// TLS 1.2 cannot renew its keys, and they are nearly worn: end the connection in order, with
    /// close_notify.
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
        let (secrets, kernel) = connection.dangerous_into_kernel_connection()?;
        let suite = kernel.negotiated_cipher_suite();
        Session::new(Side::Server, suite, &secrets, || Schedule::Server(kernel))
    }

    /// The same of a client connection.
    pub fn from_client(connection: UnbufferedClientConnection) -> Result<Session, rustls::Error> {
        let (secrets, kernel) = connection.dangerous_into_kernel_connection()?;
        let suite = kernel.negotiated_cipher_suite();
        Session::new(Side::Client, suite, &secrets, || Schedule::Client(kernel))
    }

    fn new(
        side: Side,
        suite: SupportedCipherSuite,
        secrets: &ExtractedSecrets,
        schedule: impl FnOnce() -> Schedule,
    ) -> Result<Session, rustls::Error> {
        let limit = match suite {
            SupportedCipherSuite::Tls13(suite) => suite.common.confidentiality_limit,
            SupportedCipherSuite::Tls12(suite) => suite.common.confidentiality_limit,
        };
        let index = Suite::find(suite.suite())
            .ok_or_else(|| rustls::Error::General("an unknown cipher suite".into()))?;
        let renews = SUITES[usize::from(index)].scheme == Scheme::Tls13;
        Ok(Session {
            schedule: renews.then(schedule),
            working: None,
            sealed: secrets.tx.0,
            opened: secrets.rx.0,
            sealing: Keys::from_secrets(&secrets.tx.1)?,
            opening: Keys::from_secrets(&secrets.rx.1)?,
            suite: index,
            limit_log2: (limit.ilog2() as u8).min(LIMIT_LOG2_MAX),
            empties: 0,
            lates: 0,
            side,
            inbound: Inbound::Open,
            outbound: Outbound::Open,
        })
    }

    /// Version and cipher suite, for people: `TLSv1.3 AES_128_GCM`.
    pub fn describe(&self) -> &'static str {
        self.suite().name
    }

    /// Room that [`Session::seal`] needs in front of the plaintext: 5, or 13 for TLS 1.2 AES-GCM.
    pub fn headroom(&self) -> usize {
        HEADER_BYTES + self.suite().scheme.prefix()
    }

    /// Room that it needs behind: 17, or 16 for TLS 1.2.
    pub fn tailroom(&self) -> usize {
        self.suite().scheme.suffix()
    }

    /// Opens the first record of `input` in place.
    ///
    /// # Errors
    /// [`Fault`]; the connection is over then, only an alert may still be sealed, and every further
    /// call answers the same.
    pub fn open(&mut self, input: &mut [u8]) -> Result<Opened, Fault> {
        match self.inbound {
            Inbound::Open => {}
            // RFC 8446 6.1: data behind a closure alert is ignored.
            Inbound::Closed => return Ok(Opened::Closed { record: input.len() }),
            Inbound::Failed(fault) => return Err(fault),
        }
        let opened = self.open_next(input);
        if let Err(fault) = opened {
            self.inbound = Inbound::Failed(fault);
            self.working = None;
        }
        opened
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
        debug_assert!(plain.len() <= RECORD_PLAINTEXT_MAX, "{} bytes in a record", plain.len());
        debug_assert!(self.outbound != Outbound::Closed, "data behind close_notify");
        if self.sealed >= 1 << self.limit_log2 {
            return Err(Worn);
        }
        Ok(self.seal_record(APPLICATION_DATA, buffer, plain))
    }

    /// Writes a record with an alert to the start of `out`; answers its length. Fatal but for
    /// close_notify, user_canceled and no_renegotiation.
    ///
    /// # Panics
    /// When `out` has less than [`CONTROL_RECORD_BYTES_MAX`] bytes.
    pub fn seal_alert(&mut self, alert: Alert, out: &mut [u8]) -> usize {
        match alert {
            Alert::USER_CANCELED => {}
            Alert::NO_RENEGOTIATION if self.outbound == Outbound::OwesWarning => {
                self.outbound = Outbound::Open;
            }
            Alert::NO_RENEGOTIATION => {}
            _ => self.outbound = Outbound::Closed,
        }
        self.seal_control(ALERT, &[alert.level(), alert.0], out)
    }

    /// Writes a KeyUpdate to the start of `out` and changes to the next sending keys (RFC 8446
    /// 4.6.3); answers its length.
    ///
    /// # Panics
    /// On TLS 1.2, which never asks for it; when `out` has less than [`CONTROL_RECORD_BYTES_MAX`]
    /// bytes.
    pub fn seal_key_update(&mut self, out: &mut [u8]) -> usize {
        let len = self.seal_control(HANDSHAKE, &KEY_UPDATE, out);
        let schedule = self.schedule.as_mut().expect("only TLS 1.3 owes a KeyUpdate");
        self.sealing = schedule.next_sealing().expect("rustls derives keys of any of its suites");
        self.sealed = 0;
        if let Some(working) = &mut self.working {
            working.seal = None;
        }
        if self.outbound == Outbound::OwesKeyUpdate {
            self.outbound = Outbound::Open;
        }
        len
    }

    /// What the session has to send now; look after every open and seal, until `None`.
    pub fn duty(&self) -> Option<Duty> {
        if matches!(self.inbound, Inbound::Failed(_)) {
            return None;
        }
        let limit = 1 << self.limit_log2;
        match (self.outbound, self.suite().scheme) {
            (Outbound::Closed, _) => None,
            (Outbound::OwesKeyUpdate, _) => Some(Duty::KeyUpdate),
            (Outbound::OwesWarning, _) => Some(Duty::Warning(Alert::NO_RENEGOTIATION)),
            (Outbound::Open, Scheme::Tls13) => {
                (self.sealed >= limit / 2).then_some(Duty::KeyUpdate)
            }
            (Outbound::Open, Scheme::Tls12Explicit | Scheme::Tls12Counted) => {
                let reserve = CLOSE_RESERVE.min(limit / 2);
                (self.sealed >= limit - reserve).then_some(Duty::Close)
            }
        }
    }

    /// Whether AEAD contexts are in memory.
    pub fn is_warm(&self) -> bool {
        self.working
            .as_ref()
            .is_some_and(|working| working.seal.is_some() || working.open.is_some())
    }

    /// Drops them; they come back by themselves.
    pub fn cool(&mut self) {
        match &mut self.working {
            Some(working) if !working.partial.is_empty() => {
                (working.seal, working.open) = (None, None);
            }
            _ => self.working = None,
        }
    }

    fn suite(&self) -> &'static Suite {
        &SUITES[usize::from(self.suite)]
    }

    fn open_next(&mut self, input: &mut [u8]) -> Result<Opened, Fault> {
        let Some(&header) = input.first_chunk::<HEADER_BYTES>() else {
            return Ok(Opened::Partial { needed: HEADER_BYTES });
        };
        let len = self.check_header(header)?;
        let record = HEADER_BYTES + len;
        let Some(body) = input.get_mut(HEADER_BYTES..record) else {
            return Ok(Opened::Partial { needed: record });
        };
        let (kind, plain) = self.unprotect(header, body)?;
        let content = &body[plain.clone()];
        match kind {
            APPLICATION_DATA => {
                self.note_data(content)?;
                let plain = plain.start + HEADER_BYTES..plain.end + HEADER_BYTES;
                Ok(Opened::Data { plain, record })
            }
            ALERT => self.take_alert(content, record),
            HANDSHAKE => self.take_handshake(content).map(|()| Opened::Handled { record }),
            // A change_cipher_spec too: behind the handshake it is unexpected, protected or not
            // (RFC 8446 5).
            _ => Err(Fault::Ours(Alert::UNEXPECTED_MESSAGE)),
        }
    }

    /// Answers the length of the record's body.
    fn check_header(&self, header: [u8; HEADER_BYTES]) -> Result<usize, Fault> {
        let [kind, major, minor, len @ ..] = header;
        let version_known = match self.suite().scheme {
            // RFC 8446 5.2: nothing goes in another type any more. Its version is authenticated
            // with the rest of the header, and otherwise ignored (5.1).
            Scheme::Tls13 => {
                if kind != APPLICATION_DATA {
                    return Err(Fault::Ours(Alert::UNEXPECTED_MESSAGE));
                }
                true
            }
            Scheme::Tls12Explicit | Scheme::Tls12Counted => {
                if !matches!(kind, ALERT | HANDSHAKE | APPLICATION_DATA) {
                    return Err(Fault::Ours(Alert::UNEXPECTED_MESSAGE));
                }
                (major, minor) == (3, 3)
            }
        };
        if !version_known {
            return Err(Fault::Ours(Alert::PROTOCOL_VERSION));
        }
        let len = usize::from(u16::from_be_bytes(len));
        // RFC 8446 5.2. RFC 5246 6.2.3 has 2^14 + 2048 here, but leaves our suites, which add 24
        // bytes at most, nothing above 2^14 + 24 that would not overflow once it is opened.
        if len > RECORD_PLAINTEXT_MAX + RECORD_EXPANSION_MAX {
            return Err(Fault::Ours(Alert::RECORD_OVERFLOW));
        }
        Ok(len)
    }

    /// Decrypts in place; answers the content type and where in `body` the content stands.
    fn unprotect(
        &mut self,
        header: [u8; HEADER_BYTES],
        body: &mut [u8],
    ) -> Result<(u8, Range<usize>), Fault> {
        let suite = self.suite();
        let prefix = suite.scheme.prefix();
        let Some(len) = body.len().checked_sub(prefix + TAG_BYTES) else {
            return Err(Fault::Ours(Alert::BAD_RECORD_MAC));
        };
        let (tls13, tls12);
        let additional: &[u8] = match suite.scheme {
            Scheme::Tls13 => {
                tls13 = header;
                &tls13
            }
            Scheme::Tls12Explicit | Scheme::Tls12Counted => {
                tls12 = protection::tls12_additional_data(self.opened, header[0], len);
                &tls12
            }
        };
        let nonce = match body.first_chunk() {
            Some(explicit) if suite.scheme == Scheme::Tls12Explicit => {
                self.opening.explicit_nonce(*explicit)
            }
            _ => self.opening.counted_nonce(self.opened),
        };
        let (ciphertext, tag) = body[prefix..].split_at_mut(len);
        let working = self.working.get_or_insert_default();
        let context = working.open.get_or_insert_with(|| suite.context(&self.opening));
        context
            .open_in_place_separate_tag(
                protection::nonce(nonce),
                Aad::from(additional),
                tag,
                ciphertext,
            )
            .map_err(|_| Fault::Ours(Alert::BAD_RECORD_MAC))?;
        self.opened += 1;
        if suite.scheme == Scheme::Tls13 {
            let (kind, len) = inner_content(ciphertext)?;
            return Ok((kind, 0..len));
        }
        if len > RECORD_PLAINTEXT_MAX {
            return Err(Fault::Ours(Alert::RECORD_OVERFLOW));
        }
        Ok((header[0], prefix..prefix + len))
    }

    fn note_data(&mut self, content: &[u8]) -> Result<(), Fault> {
        // RFC 8446 5.1: no other record inside a handshake message.
        if self.working.as_ref().is_some_and(|working| !working.partial.is_empty()) {
            return Err(Fault::Ours(Alert::UNEXPECTED_MESSAGE));
        }
        if content.is_empty() {
            return self.note_empty();
        }
        (self.empties, self.lates) = (0, 0);
        Ok(())
    }

    fn note_empty(&mut self) -> Result<(), Fault> {
        self.empties += 1;
        if self.empties > EMPTY_RECORDS_MAX {
            return Err(Fault::Ours(Alert::UNEXPECTED_MESSAGE));
        }
        Ok(())
    }

    fn take_alert(&mut self, content: &[u8], record: usize) -> Result<Opened, Fault> {
        let (level, alert) = match *content {
            [level, description] => (level, Alert(description)),
            // RFC 8446 5.1, RFC 5246 6.2.1: no empty ones.
            [] => return Err(Fault::Ours(Alert::UNEXPECTED_MESSAGE)),
            _ => return Err(Fault::Ours(Alert::DECODE_ERROR)),
        };
        if alert == Alert::CLOSE_NOTIFY {
            self.inbound = Inbound::Closed;
            return Ok(Opened::Closed { record });
        }
        let ignored = match self.suite().scheme {
            // RFC 8446 6: the level says nothing any more. user_canceled alone is no error (6.1).
            Scheme::Tls13 => alert == Alert::USER_CANCELED,
            Scheme::Tls12Explicit | Scheme::Tls12Counted => match level {
                Alert::WARNING => true,
                Alert::FATAL => false,
                _ => return Err(Fault::Ours(Alert::ILLEGAL_PARAMETER)),
            },
        };
        if !ignored {
            return Err(Fault::Peer(alert));
        }
        self.note_empty()?;
        Ok(Opened::Handled { record })
    }

    fn take_handshake(&mut self, content: &[u8]) -> Result<(), Fault> {
        // RFC 8446 5.1, RFC 5246 6.2.1: no empty fragments.
        if content.is_empty() {
            return Err(Fault::Ours(Alert::UNEXPECTED_MESSAGE));
        }
        let working = self.working.as_mut();
        let mut partial = working.map(|w| std::mem::take(&mut w.partial)).unwrap_or_default();
        if partial.is_empty() {
            let used = self.take_messages(content)?;
            partial.extend_from_slice(&content[used..]);
        } else {
            partial.extend_from_slice(content);
            let used = self.take_messages(&partial)?;
            partial.drain(..used);
        }
        if !partial.is_empty() {
            self.working.get_or_insert_default().partial = partial;
        }
        Ok(())
    }

    /// Answers the bytes of all whole messages.
    fn take_messages(&mut self, bytes: &[u8]) -> Result<usize, Fault> {
        let mut rest = bytes;
        while let Some(&kind) = rest.first() {
            if !self.expects(kind) {
                return Err(Fault::Ours(Alert::UNEXPECTED_MESSAGE));
            }
            let Some(&[_, len @ ..]) = rest.first_chunk::<4>() else { break };
            let len = usize::from(len[0]) << 16 | usize::from(len[1]) << 8 | usize::from(len[2]);
            if len > LATE_HANDSHAKE_BYTES_MAX {
                return Err(Fault::Ours(Alert::UNEXPECTED_MESSAGE));
            }
            let Some(body) = rest.get(4..4 + len) else { break };
            rest = &rest[4 + len..];
            self.take_message(kind, body, rest)?;
        }
        Ok(bytes.len() - rest.len())
    }

    /// Which messages may come behind the handshake.
    fn expects(&self, kind: u8) -> bool {
        match (self.suite().scheme, self.side) {
            (Scheme::Tls13, Side::Client) => matches!(kind, NEW_SESSION_TICKET | KEY_UPDATE_TYPE),
            (Scheme::Tls13, Side::Server) => kind == KEY_UPDATE_TYPE,
            (_, Side::Client) => kind == HELLO_REQUEST,
            (_, Side::Server) => kind == CLIENT_HELLO,
        }
    }

    fn take_message(&mut self, kind: u8, body: &[u8], behind: &[u8]) -> Result<(), Fault> {
        self.lates += 1;
        if self.lates > LATE_HANDSHAKES_MAX {
            return Err(Fault::Ours(Alert::UNEXPECTED_MESSAGE));
        }
        match kind {
            KEY_UPDATE_TYPE => {
                // RFC 8446 5.1: what follows a change of keys begins a record.
                if !behind.is_empty() {
                    return Err(Fault::Ours(Alert::UNEXPECTED_MESSAGE));
                }
                self.take_key_update(body)
            }
            NEW_SESSION_TICKET => match self.schedule.as_mut() {
                Some(schedule) => schedule.keep_ticket(body),
                None => Ok(()),
            },
            // A wish to renegotiate (RFC 5246 7.4.1): refused, and the connection goes on.
            _ => {
                if self.outbound == Outbound::Open {
                    self.outbound = Outbound::OwesWarning;
                }
                Ok(())
            }
        }
    }

    /// RFC 8446 4.6.3.
    fn take_key_update(&mut self, body: &[u8]) -> Result<(), Fault> {
        let asked = match *body {
            [0] => false,
            [1] => true,
            [_] => return Err(Fault::Ours(Alert::ILLEGAL_PARAMETER)),
            _ => return Err(Fault::Ours(Alert::DECODE_ERROR)),
        };
        self.opening = self
            .schedule
            .as_mut()
            .and_then(|schedule| schedule.next_opening().ok())
            .ok_or(Fault::Ours(Alert::INTERNAL_ERROR))?;
        self.opened = 0;
        if let Some(working) = &mut self.working {
            working.open = None;
        }
        // Several requests before our answer have one answer.
        if asked && self.outbound == Outbound::Open {
            self.outbound = Outbound::OwesKeyUpdate;
        }
        Ok(())
    }

    fn seal_control(&mut self, kind: u8, message: &[u8], out: &mut [u8]) -> usize {
        let from = self.headroom();
        out[from..from + message.len()].copy_from_slice(message);
        self.seal_record(kind, out, from..from + message.len()).len()
    }

    fn seal_record(&mut self, kind: u8, buffer: &mut [u8], plain: Range<usize>) -> Range<usize> {
        let suite = self.suite();
        let prefix = suite.scheme.prefix();
        let record = plain.start - prefix - HEADER_BYTES..plain.end + suite.scheme.suffix();
        let (header, body) = buffer[record.clone()].split_at_mut(HEADER_BYTES);
        let outer = match suite.scheme {
            Scheme::Tls13 => {
                body[plain.len()] = kind;
                APPLICATION_DATA
            }
            Scheme::Tls12Explicit | Scheme::Tls12Counted => kind,
        };
        let [high, low] = (body.len() as u16).to_be_bytes();
        header.copy_from_slice(&[outer, 3, 3, high, low]);
        let tls12 = protection::tls12_additional_data(self.sealed, kind, plain.len());
        let additional: &[u8] = match suite.scheme {
            Scheme::Tls13 => header,
            Scheme::Tls12Explicit | Scheme::Tls12Counted => &tls12,
        };
        let nonce = self.sealing.counted_nonce(self.sealed);
        let (explicit, body) = body.split_at_mut(prefix);
        explicit.copy_from_slice(&nonce[nonce.len() - prefix..]);
        let (text, tag) = body.split_at_mut(body.len() - TAG_BYTES);
        let working = self.working.get_or_insert_default();
        let context = working.seal.get_or_insert_with(|| suite.context(&self.sealing));
        let sealed = context
            .seal_in_place_separate_tag(protection::nonce(nonce), Aad::from(additional), text)
            .expect("a record is far shorter than AEAD allows");
        tag.copy_from_slice(sealed.as_ref());
        self.sealed += 1;
        record
    }
}

/// Content type and length of a TLSInnerPlaintext without its padding (RFC 8446 5.4).
fn inner_content(inner: &[u8]) -> Result<(u8, usize), Fault> {
    if inner.len() > RECORD_PLAINTEXT_MAX + 1 {
        return Err(Fault::Ours(Alert::RECORD_OVERFLOW));
    }
    match inner.iter().rposition(|&byte| byte != 0) {
        Some(at) => Ok((inner[at], at)),
        None => Err(Fault::Ours(Alert::UNEXPECTED_MESSAGE)),
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Session({})", self.describe())
    }
}
