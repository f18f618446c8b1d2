//! One connection of a client: its handshake, what it sends and how what comes back is checked.
//! Idle, it is [`Conn`] and nothing on the heap, since a process holds tens of thousands. Not here:
//! which connections there are, and when they have to send.

use std::io;
use std::time::Instant;

use super::http::{Answer, Body, Request};
use super::pushed::Pushed;
use super::tally::Tally;
use super::trouble::Trouble;
use super::work::{Message, NO_SLOT, Opening, Work};
use crate::link::{Drain, Got, Link};
use crate::pattern;
use crate::ws::{self, Piece, Reader};

/// Reads of one connection in a turn of the loop, so that a large message does not keep others
/// waiting.
const READS_PER_TURN: usize = 16;
/// Messages that are longer are put together in such pieces while they are sent.
const PIECE: usize = 1 << 20;
const HEAD_MAX: usize = 16 * 1024;

pub struct Conn {
    pub link: Link,
    state: State,
    seed: u64,
    /// Length of the message whose answer is awaited; 0 when none is.
    awaited: usize,
    got: usize,
    /// When the awaited answer's message was due, and was sent; of the connection, as long as it
    /// is being made.
    due: Instant,
    sent: Instant,
    /// The part of a long message that is still to be put together.
    rest: Option<Box<Rest>>,
    pushed: Option<Box<Pushed>>,
    /// Its place in a schedule.
    pub slot: u32,
    closing: Closing,
    pub purpose: Purpose,
}

/// What a connection is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Echoes.
    Echoes,
    /// Messages of the origin.
    Pushes,
    /// Never to be read.
    Silence,
    /// Requests without an upgrade.
    Http,
    /// One message of that length, or none, and an end in order.
    Churn(Option<u32>),
}

enum State {
    /// Without any handshake but TLS.
    Connecting,
    /// The answer's head as far as it has come.
    Handshake(Vec<u8>),
    Open(Reader),
    /// Open, and never read again.
    Silent,
    Http(Answer),
}

/// Who sent a Close frame first, and the code of the other side's: 1005 where it had none.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Closing {
    No,
    ByUs,
    Answered(u16),
    Received(u16),
}

struct Rest {
    len: usize,
    at: usize,
    mask: [u8; 4],
}

/// What connections work on together.
pub struct Shared {
    pub tally: Tally,
    pub work: Work,
    pub opening: Option<Opening>,
    /// What is sent on connections without an upgrade.
    pub request: Option<Request>,
    /// Messages whose answers are awaited.
    pub under_way: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Pumped {
    /// There is nothing left to read for now.
    Dry,
    /// There may be; no event says so again.
    More,
}

/// How a connection came to its end.
pub struct End {
    /// Its close code, 1006 without one; none before it was open.
    pub code: Option<u16>,
    /// What was wrong about it.
    pub trouble: Option<Trouble>,
}

impl Conn {
    /// A connection that was due at that time, `request` its upgrade where it has one.
    pub fn new(mut link: Link, seed: u64, purpose: Purpose, due: Instant, request: &str) -> Conn {
        link.out().extend_from_slice(request.as_bytes());
        let state = match purpose {
            Purpose::Http => State::Connecting,
            _ => State::Handshake(Vec::new()),
        };
        Conn {
            link,
            state,
            seed,
            awaited: 0,
            got: 0,
            due,
            sent: Instant::now(),
            rest: None,
            pushed: (purpose == Purpose::Pushes).then(Box::default),
            slot: NO_SLOT,
            closing: Closing::No,
            purpose,
        }
    }

    pub fn is_open(&self) -> bool {
        !matches!(self.state, State::Connecting | State::Handshake(_))
    }

    /// Open, with nothing under way: another message can be sent.
    pub fn is_free(&self) -> bool {
        let talks = matches!(self.state, State::Open(_) | State::Http(_));
        talks && self.awaited == 0 && self.closing == Closing::No
    }

    /// It is there to stay, other than those of a churn.
    pub fn is_held(&self) -> bool {
        !matches!(self.purpose, Purpose::Churn(_))
    }

    pub fn is_waiting(&self) -> bool {
        self.awaited > 0
    }

    /// Counts pushes instead of echoes from now on.
    pub fn listen(&mut self) {
        self.pushed.get_or_insert_default();
    }

    /// Writes what waits and reads what has come, until there is neither.
    ///
    /// # Errors
    /// The connection is over.
    pub fn pump(
        &mut self,
        drain: Drain,
        buffer: &mut [u8],
        shared: &mut Shared,
    ) -> Result<Pumped, Trouble> {
        for _ in 0..READS_PER_TURN {
            self.flush()?;
            if matches!(self.state, State::Silent) {
                // Its end shows in an event, behind what is never read.
                return if drain == Drain::UntilEnd {
                    Err(Trouble::Ended)
                } else {
                    Ok(Pumped::Dry)
                };
            }
            let got = self.link.read(buffer)?;
            self.connected(shared);
            let (count, drained) = match got {
                Got::Later => {
                    self.flush()?;
                    return Ok(Pumped::Dry);
                }
                Got::End => return Err(Trouble::Ended),
                Got::Bytes { count, drained } => (count, drained),
            };
            self.take(&mut buffer[..count], shared)?;
            if drain.is_done(drained) {
                self.flush()?;
                return Ok(Pumped::Dry);
            }
        }
        Ok(Pumped::More)
    }

    /// Sends `message`.
    ///
    /// # Errors
    /// The connection is over.
    pub fn say(&mut self, message: Message, shared: &mut Shared) -> Result<(), Trouble> {
        self.begin(message, shared);
        self.flush()
    }

    /// Sends Close 1000.
    ///
    /// # Errors
    /// The connection is over.
    pub fn close(&mut self) -> Result<(), Trouble> {
        if matches!(self.state, State::Http(_)) {
            self.closing = Closing::ByUs;
            return Ok(self.link.finish()?);
        }
        let mask = self.mask();
        ws::frame(self.link.out(), ws::CLOSE, &1000u16.to_be_bytes(), Some(mask));
        self.closing = Closing::ByUs;
        self.flush()
    }

    /// What its end by `trouble` means.
    pub fn end(&self, trouble: Trouble) -> End {
        let trouble = Some(trouble);
        if !self.is_open() {
            return End { code: None, trouble };
        }
        match (self.closing, &self.state) {
            (Closing::Answered(code), _) => End { code: Some(code), trouble: None },
            (Closing::Received(code), _) => {
                End { code: Some(code), trouble: Some(Trouble::Closed(code)) }
            }
            // Between two requests a server may end the connection whenever it likes.
            (_, State::Http(_)) if self.awaited == 0 => End { code: Some(1000), trouble: None },
            (Closing::No | Closing::ByUs, _) => End { code: Some(1006), trouble },
        }
    }

    fn begin(&mut self, message: Message, shared: &mut Shared) {
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        self.sent = Instant::now();
        self.due = message.due.unwrap_or(self.sent);
        // An empty body is awaited too.
        (self.awaited, self.got) = (message.len.max(1), 0);
        shared.under_way += 1;
        shared.tally.sent += 1;
        if let (State::Http(_), Some(request)) = (&self.state, &shared.request) {
            self.link.out().extend_from_slice(&request.bytes);
            return;
        }
        let (seed, mask, len) = (self.seed, self.mask(), message.len);
        if len <= PIECE {
            ws::masked_frame(self.link.out(), len, mask, |out| pattern::append(seed, 0, len, out));
        } else {
            ws::header(self.link.out(), true, ws::BINARY, len as u64, Some(mask));
            self.rest = Some(Box::new(Rest { len, at: 0, mask }));
        }
    }

    fn flush(&mut self) -> Result<(), Trouble> {
        loop {
            match self.link.flush() {
                Ok(true) => {}
                Ok(false) => return Ok(()),
                Err(e) if e.kind() == io::ErrorKind::NotConnected => return Ok(()),
                Err(e) => return Err(e.into()),
            }
            let Some(rest) = &mut self.rest else { return Ok(()) };
            let (out, from) = (self.link.out(), rest.at);
            rest.at = rest.len.min(from + PIECE);
            let begin = out.len();
            pattern::append(self.seed, from, rest.at - from, out);
            ws::apply_mask(&mut out[begin..], rest.mask, from as u64);
            if rest.at == rest.len {
                self.rest = None;
            }
        }
    }

    /// A connection without an upgrade is open when its socket is, and its TLS.
    fn connected(&mut self, shared: &mut Shared) {
        let ready = self.link.layer().is_none_or(|layer| layer.ready);
        if matches!(self.state, State::Connecting) && ready && self.link.stream.peer_addr().is_ok()
        {
            self.opened(State::Http(Answer::default()), shared);
        }
    }

    fn opened(&mut self, state: State, shared: &mut Shared) {
        self.state = state;
        self.link.shrink();
        shared.tally.opened += 1;
        let (since_due, handshake) = (self.due.elapsed(), self.sent.elapsed());
        match (self.purpose, &mut shared.work) {
            (Purpose::Churn(_), Work::Churn(churn)) => {
                churn.latency.record(since_due);
                churn.service.record(handshake);
            }
            _ => {
                if let Some(opening) = &mut shared.opening {
                    opening.opened(handshake);
                }
            }
        }
    }

    fn take(&mut self, bytes: &mut [u8], shared: &mut Shared) -> Result<(), Trouble> {
        match &mut self.state {
            State::Handshake(head) => {
                head.extend_from_slice(bytes);
                let Some(end) = head.windows(4).position(|w| w == b"\r\n\r\n") else {
                    return match head.len() > HEAD_MAX {
                        true => Err(Trouble::Answer(format!("a head of over {HEAD_MAX} bytes"))),
                        false => Ok(()),
                    };
                };
                let mut rest = head.split_off(end + 4);
                let head = String::from_utf8_lossy(head).into_owned();
                accepted(&head, &ws::key(self.seed))?;
                self.upgraded(shared)?;
                if rest.is_empty() { Ok(()) } else { self.take(&mut rest, shared) }
            }
            State::Open(_) => self.frames(bytes, shared),
            State::Http(_) => self.answer(bytes, shared),
            State::Connecting | State::Silent => Ok(()),
        }
    }

    fn upgraded(&mut self, shared: &mut Shared) -> Result<(), Trouble> {
        match self.purpose {
            Purpose::Silence => self.opened(State::Silent, shared),
            _ => self.opened(State::Open(Reader::of_server()), shared),
        }
        // Its time as a whole counts from here on.
        self.due = self.sent;
        match self.purpose {
            Purpose::Churn(Some(len)) => {
                self.begin(Message { len: len as usize, due: Some(self.due) }, shared);
            }
            Purpose::Churn(None) => self.close()?,
            _ => {}
        }
        Ok(())
    }

    fn answer(&mut self, bytes: &[u8], shared: &mut Shared) -> Result<(), Trouble> {
        let State::Http(answer) = &mut self.state else { return Ok(()) };
        if self.awaited == 0 {
            return Err(Trouble::Answer("more than was asked for".into()));
        }
        let body = shared.request.as_ref().map_or(Body::Any, |request| request.body);
        let took = answer.feed(bytes, body)?;
        shared.tally.echoed_bytes += took.body_bytes;
        shared.tally.wrong_bytes += took.wrong_bytes;
        if took.complete && took.closes {
            self.completed(shared);
            return Err(Trouble::Ended);
        }
        if took.complete {
            self.answered(shared)?;
        }
        Ok(())
    }

    fn frames(&mut self, bytes: &mut [u8], shared: &mut Shared) -> Result<(), Trouble> {
        let mask = self.mask();
        let State::Open(reader) = &mut self.state else { return Ok(()) };
        let (out, expected, got) = (self.link.out(), self.seed, &mut self.got);
        let (awaited, closing, pushed) = (self.awaited, &mut self.closing, &mut self.pushed);
        let Shared { tally, work, .. } = shared;
        let mut complete = false;
        let fed = reader.feed(bytes, |piece| match (piece, &mut *pushed) {
            (Piece::Data(bytes), Some(pushed)) => pushed.data(bytes, tally),
            (Piece::End { fin: true }, Some(pushed)) => pushed.end(tally, work),
            // What was not asked for, or comes once more, is wrong from its first byte.
            (Piece::Data(bytes), None) if awaited == 0 || complete => {
                tally.wrong_bytes += bytes.len() as u64;
            }
            (Piece::Data(bytes), None) => {
                tally.wrong_bytes += pattern::wrong_bytes(expected, *got, bytes);
                tally.echoed_bytes += bytes.len() as u64;
                *got += bytes.len();
            }
            (Piece::End { fin: true }, None) if awaited == 0 || complete => tally.unasked += 1,
            (Piece::End { fin: true }, None) => {
                tally.wrong_bytes += awaited.abs_diff(*got) as u64;
                complete = true;
            }
            (Piece::Start { .. } | Piece::End { .. }, _) => {}
            (Piece::Control { opcode: ws::PING, payload }, _) => {
                tally.pings += 1;
                ws::frame(out, ws::PONG, payload, Some(mask));
            }
            (Piece::Control { opcode: ws::CLOSE, payload }, _) => {
                let code = payload.first_chunk().map_or(1005, |code| u16::from_be_bytes(*code));
                // The answer to our own Close needs no answer.
                *closing = match *closing {
                    Closing::ByUs => Closing::Answered(code),
                    Closing::No => {
                        ws::frame(out, ws::CLOSE, payload, Some(mask));
                        Closing::Received(code)
                    }
                    said => said,
                };
            }
            (Piece::Control { .. }, _) => {}
        });
        if complete {
            self.answered(shared)?;
        }
        fed.map_err(|why| {
            shared.tally.protocol_errors += 1;
            Trouble::Protocol(why)
        })
    }

    /// The awaited answer is whole.
    fn answered(&mut self, shared: &mut Shared) -> Result<(), Trouble> {
        self.completed(shared);
        if let Purpose::Churn(_) = self.purpose {
            return self.close();
        }
        if self.closing == Closing::No
            && let Some(message) = shared.work.next(self.slot)
        {
            self.begin(message, shared);
        }
        Ok(())
    }

    fn completed(&mut self, shared: &mut Shared) {
        let now = Instant::now();
        shared.tally.echoed += 1;
        shared.under_way -= 1;
        (self.awaited, self.got) = (0, 0);
        // Without a place it was said for earlier work, which gave up waiting for this answer.
        if self.slot != NO_SLOT {
            shared.work.answered(now - self.due, now - self.sent);
        }
    }

    fn mask(&self) -> [u8; 4] {
        ((self.seed >> 17) as u32 | 0x0101_0101).to_le_bytes()
    }

    /// When a connection of a churn was begun.
    pub fn began(&self) -> Instant {
        self.due
    }
}

/// RFC 6455 4.1: what the answer to an upgrade has to be.
fn accepted(head: &str, key: &str) -> Result<(), Trouble> {
    let first = head.lines().next().unwrap_or_default();
    let status = first.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
    match status {
        Some(101) if ws::is_accepted(head, key) => Ok(()),
        Some(101) => Err(Trouble::Answer("101 without the accept value of our key".into())),
        Some(status) => Err(Trouble::Status(status)),
        None => Err(Trouble::Answer(first.chars().take(80).collect())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_connection_is_small() {
        let bytes = size_of::<Conn>();
        assert!(bytes <= 256, "{bytes} bytes for each of tens of thousands");
    }
}
