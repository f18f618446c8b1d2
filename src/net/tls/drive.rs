//! Carries a handshake between a socket and rustls, one record at a time: rustls never sees a byte
//! behind the record that completes it, so what follows is whole for the record layer. Not here:
//! who is spoken to, and what a failure means.

use std::io;

use rustls::client::{ClientConnectionData, UnbufferedClientConnection};
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{ConnectionState, EncodeError, EncodeTlsData, UnbufferedStatus};

use crate::limits::HEAD_READ_BYTES;
use crate::net::records::{Alert, HEADER_BYTES};
use crate::net::stream::{Patience, Stream};

/// RFC 5246 6.2.3: the longest record on the wire; rustls knows which of its own versions allow
/// less.
const RECORD_BYTES_MAX: usize = (1 << 14) + 2048;

/// One side of a handshake in rustls.
pub(super) trait Handshake {
    type Side;

    fn process<'c, 'i>(&'c mut self, records: &'i mut [u8])
    -> UnbufferedStatus<'c, 'i, Self::Side>;

    fn is_handshaking(&self) -> bool;

    /// Whether something is queued that has not been encoded.
    fn has_output(&self) -> bool;
}

macro_rules! handshake {
    ($connection:ty, $side:ty) => {
        impl Handshake for $connection {
            type Side = $side;

            fn process<'c, 'i>(
                &'c mut self,
                records: &'i mut [u8],
            ) -> UnbufferedStatus<'c, 'i, $side> {
                self.process_tls_records(records)
            }

            fn is_handshaking(&self) -> bool {
                (**self).is_handshaking()
            }

            fn has_output(&self) -> bool {
                self.wants_write()
            }
        }
    };
}

handshake!(UnbufferedServerConnection, ServerConnectionData);
handshake!(UnbufferedClientConnection, ClientConnectionData);

/// Why a handshake went no further.
#[derive(Debug)]
pub(super) enum Stop {
    Rustls(rustls::Error),
    /// Not even the start of a record.
    NotTls,
    /// A flight beyond the bound.
    TooLarge,
    /// FIN.
    Closed,
    Io(io::Error),
    /// What rustls cannot answer here.
    Unexpected(&'static str),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Stop {
        Stop::Io(error)
    }
}

impl From<rustls::Error> for Stop {
    fn from(error: rustls::Error) -> Stop {
        Stop::Rustls(error)
    }
}

/// The bytes of a handshake on their way, in either direction.
pub(super) struct Wire<'a> {
    stream: &'a Stream,
    patience: Patience,
    /// Received and not used up. The first `fed` bytes are whole records that rustls has seen.
    pub(super) input: Vec<u8>,
    fed: usize,
    /// Bytes that the peer sent since it last had an answer.
    flight: usize,
    flight_max: usize,
    /// To be sent with the next flight.
    out: Vec<u8>,
    spoken: Spoken,
}

/// Whether the peer has been told anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Spoken {
    Nothing,
    Something,
}

enum Step {
    Again,
    /// Nothing goes on without further records.
    Starved,
    Done,
}

impl<'a> Wire<'a> {
    pub(super) fn new(
        stream: &'a Stream,
        patience: Patience,
        input: Vec<u8>,
        flight_max: usize,
    ) -> Wire<'a> {
        let (out, spoken) = (Vec::new(), Spoken::Nothing);
        Wire { stream, patience, input, fed: 0, flight: 0, flight_max, out, spoken }
    }

    /// Takes a handshake to its end, everything sent; what then stands in `input` belongs to the
    /// record layer. After an error the alert that is due is in the output already.
    pub(super) async fn drive<C: Handshake>(&mut self, connection: &mut C) -> Result<(), Stop> {
        loop {
            match self.step(connection) {
                Ok(Step::Again) => {}
                Ok(Step::Starved) => {
                    self.flush().await?;
                    self.feed().await?;
                }
                Ok(Step::Done) => return self.flush().await,
                Err(stop) => {
                    self.take_output(connection);
                    return Err(stop);
                }
            }
        }
    }

    fn step<C: Handshake>(&mut self, connection: &mut C) -> Result<Step, Stop> {
        let UnbufferedStatus { discard, state } = connection.process(&mut self.input[..self.fed]);
        let step = match state {
            Ok(ConnectionState::EncodeTlsData(data)) => {
                encode(data, &mut self.out).map(|()| Step::Again)
            }
            Ok(ConnectionState::TransmitTlsData(data)) => {
                // It is in `out`, and goes before anything else is waited for.
                data.done();
                Ok(Step::Again)
            }
            // Starved as well where a server could already send, which ours does not.
            Ok(ConnectionState::BlockedHandshake | ConnectionState::WriteTraffic(_)) => {
                Ok(Step::Starved)
            }
            Ok(ConnectionState::PeerClosed | ConnectionState::Closed) => Err(Stop::Closed),
            Ok(_) => Err(Stop::Unexpected("data within the handshake")),
            Err(error) => Err(Stop::Rustls(error)),
        };
        self.input.drain(..discard);
        self.fed -= discard;
        match step {
            Ok(Step::Starved) if !connection.is_handshaking() => match self.fed {
                0 => Ok(Step::Done),
                _ => Err(Stop::Unexpected("a record was left behind the handshake")),
            },
            step => step,
        }
    }

    /// What a failed connection still has to say, its alert above all. Nothing is read for it.
    fn take_output<C: Handshake>(&mut self, connection: &mut C) {
        while connection.has_output() {
            match connection.process(&mut self.input[..self.fed]).state {
                Ok(ConnectionState::EncodeTlsData(data)) => {
                    if encode(data, &mut self.out).is_err() {
                        return;
                    }
                }
                _ => return,
            }
        }
    }

    /// Gives rustls the next record, once it is there whole.
    async fn feed(&mut self) -> Result<(), Stop> {
        loop {
            let behind = &self.input[self.fed..];
            if let Some(len) = record_bytes(behind)
                && behind.len() >= len
            {
                self.flight += len;
                if self.flight > self.flight_max {
                    return Err(Stop::TooLarge);
                }
                self.fed += len;
                return Ok(());
            }
            self.receive().await?;
        }
    }

    /// Waits for further bytes of the peer.
    pub(super) async fn receive(&mut self) -> Result<(), Stop> {
        match self.stream.receive(&mut self.input, HEAD_READ_BYTES, self.patience).await? {
            0 => Err(Stop::Closed),
            _ => Ok(()),
        }
    }

    async fn flush(&mut self) -> Result<(), Stop> {
        if self.out.is_empty() {
            return Ok(());
        }
        let out = std::mem::take(&mut self.out);
        self.stream.write_all(&out, self.patience).await?;
        (self.spoken, self.flight) = (Spoken::Something, 0);
        Ok(())
    }

    /// Whether the peer's very first bytes are not even a record.
    pub(super) fn is_not_tls(&self) -> bool {
        self.flight <= HEADER_BYTES && !matches!(opening(&self.input), Some(Opening::Tls) | None)
    }

    /// Adds what another part of rustls wants to be sent.
    pub(super) fn push(&mut self, records: &[u8]) {
        self.out.extend_from_slice(records);
    }

    /// Ends a failed handshake: what is due is sent, or else `alert`, which is in the clear and so
    /// can only be the first thing that this peer hears; then FIN. What the peer still sends is
    /// left to whoever lingers.
    pub(super) async fn give_up(&mut self, alert: Option<Alert>) {
        if let (Some(Alert(description)), Spoken::Nothing, true) =
            (alert, self.spoken, self.out.is_empty())
        {
            // Content type alert, TLS 1.2 as in every record, two bytes: fatal, and which.
            self.out.extend_from_slice(&[21, 3, 3, 0, 2, 2, description]);
        }
        // A peer that is gone, or takes nothing, goes without.
        let _ = self.flush().await;
        let _ = self.stream.shutdown_write();
    }
}

fn encode<S>(mut data: EncodeTlsData<'_, S>, out: &mut Vec<u8>) -> Result<(), Stop> {
    let needed = match data.encode(&mut []) {
        Ok(_) => return Ok(()),
        Err(EncodeError::InsufficientSize(size)) => size.required_size,
        Err(EncodeError::AlreadyEncoded) => return Err(Stop::Unexpected("a record sent twice")),
    };
    let start = out.len();
    out.resize(start + needed, 0);
    match data.encode(&mut out[start..]) {
        Ok(_) => Ok(()),
        Err(_) => Err(Stop::Unexpected("a record that changed its size")),
    }
}

/// Bytes of the record at the start of `input`; only its header where that alone is wrong, which
/// rustls then says. `None`: the header is not there.
fn record_bytes(input: &[u8]) -> Option<usize> {
    let [kind, major, _, high, low] = *input.first_chunk::<HEADER_BYTES>()?;
    let body = usize::from(u16::from_be_bytes([high, low]));
    let whole = HEADER_BYTES + body;
    Some(if looks_right(kind, major) && body <= RECORD_BYTES_MAX { whole } else { HEADER_BYTES })
}

fn looks_right(kind: u8, major: u8) -> bool {
    matches!(kind, 20..=24) && major == 3
}

/// What the first bytes of a peer are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Opening {
    Tls,
    /// A method and a space.
    Http,
    /// RFC 5246 E.2: from before SSL 3.
    Sslv2,
    Other,
}

/// `None`: too few to tell.
pub(super) fn opening(input: &[u8]) -> Option<Opening> {
    /// Longer than any registered method.
    const METHOD_BYTES_MAX: usize = 20;
    match *input {
        [] => None,
        [20..=24] => None,
        [kind, major, ..] if looks_right(kind, major) => Some(Opening::Tls),
        [0x80..=0xff] | [0x80..=0xff, _] => None,
        [0x80..=0xff, _, 1, ..] => Some(Opening::Sslv2),
        _ => {
            let letters =
                input.iter().take_while(|b| b.is_ascii_uppercase() || **b == b'-').count();
            match input.get(letters) {
                None if letters <= METHOD_BYTES_MAX => None,
                Some(b' ') if (3..=METHOD_BYTES_MAX).contains(&letters) => Some(Opening::Http),
                _ => Some(Opening::Other),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_peer_opens_with() {
        for (input, expected) in [
            (b"".as_slice(), None),
            (b"\x16", None),
            (b"\x16\x03", Some(Opening::Tls)),
            (b"\x15\x03\x01", Some(Opening::Tls)),
            (b"\x16\x02\x00", Some(Opening::Other)),
            (b"\x80", None),
            (b"\x80\x2e", None),
            (b"\x80\x2e\x01\x00\x02", Some(Opening::Sslv2)),
            (b"\x80\x2e\x04", Some(Opening::Other)),
            (b"G", None),
            (b"GET", None),
            (b"GET ", Some(Opening::Http)),
            (b"PRI * HTTP/2.0\r\n", Some(Opening::Http)),
            (b"VERSION-CONTROL /x", Some(Opening::Http)),
            (b"GET/", Some(Opening::Other)),
            (b"A b", Some(Opening::Other)),
            (b"AAAAAAAAAAAAAAAAAAAA", None),
            (b"AAAAAAAAAAAAAAAAAAAAA", Some(Opening::Other)),
            (b"SSH-2.0-OpenSSH", Some(Opening::Other)),
            (b"\0\0", Some(Opening::Other)),
            (b"\x05\x01\x00", Some(Opening::Other)),
        ] {
            assert_eq!(opening(input), expected, "{input:?}");
        }
    }

    #[test]
    fn records_are_cut_by_their_headers() {
        for (input, expected) in [
            (b"".as_slice(), None),
            (b"\x16\x03\x01\x00", None),
            (b"\x16\x03\x01\x00\x05", Some(10)),
            (b"\x16\x03\x01\x48\x00", Some(5 + 0x4800)),
            (b"\x16\x03\x01\x48\x01", Some(5)),
            (b"\x16\x02\x01\x00\x05", Some(5)),
            (b"\x19\x03\x01\x00\x05", Some(5)),
        ] {
            assert_eq!(record_bytes(input), expected, "{input:?}");
        }
    }
}
