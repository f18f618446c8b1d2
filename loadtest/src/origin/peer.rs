//! One client of an origin: its requests, and what it gets for them. Not here: when pushes are due.

use std::io;
use std::net::Shutdown;
use std::time::Duration;

use mio::net::TcpStream;

use super::pusher;
use crate::link::{Drain, Got, Link};
use crate::pattern;
use crate::ws::{self, Piece, Reader};

const FIREHOSE_PAYLOAD: [u8; 1024] = [0x5a; 1024];
const HEAD_MAX: usize = 64 * 1024;
/// A long body is put together in such pieces while it is sent.
const PIECE: usize = 256 * 1024;
/// Reads, or writes of pieces, of one peer in a turn of the loop.
const STEPS_PER_TURN: usize = 64;

pub struct Peer {
    pub link: Link,
    /// Told apart from whoever had its key before.
    pub id: u64,
    state: State,
}

enum State {
    Head(Vec<u8>),
    /// A body of which this much was sent.
    Body {
        len: usize,
        sent: usize,
    },
    Echo(Reader),
    /// Pushes, `next` the number of the next one.
    Push {
        reader: Reader,
        next: u64,
    },
    Firehose,
    /// Our half is closed; the peer's end is awaited.
    Closing,
}

pub enum Pumped {
    /// Nothing can be read or written for now.
    Dry,
    /// Something may; no event says so again.
    More,
    /// Wants pushes.
    Subscribed {
        bytes: usize,
        interval: Duration,
    },
    AskedForCounts,
}

/// The connection is over.
pub struct Over;

impl From<io::Error> for Over {
    fn from(_: io::Error) -> Over {
        Over
    }
}

impl Peer {
    pub fn new(stream: TcpStream, id: u64) -> Peer {
        Peer { link: Link::new(stream), id, state: State::Head(Vec::new()) }
    }

    /// Reads and answers for as long as there is something to read and room to answer.
    pub fn pump(&mut self, drain: Drain, buffer: &mut [u8]) -> Result<Pumped, Over> {
        for _ in 0..STEPS_PER_TURN {
            if !self.link.flush()? {
                return Ok(Pumped::Dry);
            }
            if self.produce() {
                continue;
            }
            match self.link.read(buffer)? {
                Got::Later => return Ok(Pumped::Dry),
                Got::End => return Err(Over),
                Got::Bytes { count, drained } => {
                    if let Some(wish) = self.take(&mut buffer[..count])? {
                        return Ok(wish);
                    }
                    let talks = matches!(self.state, State::Echo(_) | State::Push { .. });
                    if talks && drain.is_done(drained) {
                        self.link.flush()?;
                        return Ok(Pumped::Dry);
                    }
                }
            }
        }
        Ok(Pumped::More)
    }

    pub fn answer_with(&mut self, body: &str) {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        self.link.out().extend_from_slice(head.as_bytes());
    }

    /// The number of the next push, if it wants any.
    pub fn next_push(&self) -> Option<u64> {
        match self.state {
            State::Push { next, .. } => Some(next),
            _ => None,
        }
    }

    pub fn pushed(&mut self) {
        if let State::Push { next, .. } = &mut self.state {
            *next += 1;
        }
    }

    /// Appends what is sent without being asked for; false when that is nothing.
    fn produce(&mut self) -> bool {
        match &mut self.state {
            State::Firehose => {
                ws::frame(self.link.out(), ws::BINARY, &FIREHOSE_PAYLOAD, None);
                true
            }
            State::Body { len, sent } if *sent < *len => {
                let piece = PIECE.min(*len - *sent);
                pattern::append(0, *sent, piece, self.link.out());
                *sent += piece;
                true
            }
            State::Body { .. } => {
                self.state = State::Head(Vec::new());
                false
            }
            _ => false,
        }
    }

    fn take(&mut self, bytes: &mut [u8]) -> Result<Option<Pumped>, Over> {
        match &mut self.state {
            State::Head(head) => {
                head.extend_from_slice(bytes);
                let Some(end) = head.windows(4).position(|w| w == b"\r\n\r\n") else {
                    return if head.len() > HEAD_MAX { Err(Over) } else { Ok(None) };
                };
                let mut rest = head.split_off(end + 4);
                let head = String::from_utf8_lossy(head).into_owned();
                let wish = self.answer(&head);
                if wish.is_some() || rest.is_empty() { Ok(wish) } else { self.take(&mut rest) }
            }
            State::Echo(reader) => {
                let out = self.link.out();
                let closing = answer_frames(reader, bytes, out, true)?;
                self.close_if(closing)
            }
            State::Push { reader, .. } => {
                let closing = answer_frames(reader, bytes, self.link.out(), false)?;
                self.close_if(closing)
            }
            // Of a client that sends its next request before it has the last answer.
            State::Body { .. } => Err(Over),
            State::Firehose | State::Closing => Ok(None),
        }
    }

    fn close_if(&mut self, closing: bool) -> Result<Option<Pumped>, Over> {
        if closing {
            self.link.flush()?;
            self.link.stream.shutdown(Shutdown::Write)?;
            self.state = State::Closing;
        }
        Ok(None)
    }

    fn answer(&mut self, head: &str) -> Option<Pumped> {
        let path = head.split(' ').nth(1).unwrap_or_default();
        let Some(answer) = ws::answer(head) else { return self.answer_plainly(path) };
        self.link.out().extend_from_slice(answer.as_bytes());
        self.state = match path {
            _ if path.starts_with("/firehose") => State::Firehose,
            _ if path.starts_with("/push") => {
                self.state = State::Push { reader: Reader::of_client(), next: 0 };
                let bytes = parameter(path, "bytes").unwrap_or(64).max(pusher::HEAD);
                let interval = Duration::from_millis(parameter(path, "interval_ms").unwrap_or(0));
                return Some(Pumped::Subscribed { bytes, interval });
            }
            _ => State::Echo(Reader::of_client()),
        };
        None
    }

    fn answer_plainly(&mut self, path: &str) -> Option<Pumped> {
        self.state = State::Head(Vec::new());
        match path.strip_prefix("/bytes/").and_then(|len| len.parse().ok()) {
            Some(len) => {
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {len}\r\n\r\n");
                self.link.out().extend_from_slice(head.as_bytes());
                self.state = State::Body { len, sent: 0 };
            }
            None if path == "/counts" => return Some(Pumped::AskedForCounts),
            None => self.answer_with("ok"),
        }
        None
    }
}

/// Answers the frames of a client; true when the last was a Close.
fn answer_frames(
    reader: &mut Reader,
    bytes: &mut [u8],
    out: &mut Vec<u8>,
    echoes: bool,
) -> Result<bool, Over> {
    let mut closing = false;
    let fed = reader.feed(bytes, |piece| match piece {
        Piece::Start { fin, opcode, len } if echoes => ws::header(out, fin, opcode, len, None),
        Piece::Data(bytes) if echoes => out.extend_from_slice(bytes),
        Piece::Control { opcode: ws::PING, payload } => ws::frame(out, ws::PONG, payload, None),
        Piece::Control { opcode: ws::CLOSE, payload } => {
            ws::frame(out, ws::CLOSE, payload, None);
            closing = true;
        }
        _ => {}
    });
    fed.map_err(|_| Over)?;
    Ok(closing)
}

/// A number of the path's query.
fn parameter<T: std::str::FromStr>(path: &str, name: &str) -> Option<T> {
    let (_, query) = path.split_once('?')?;
    query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('=')?.parse().ok())
}
