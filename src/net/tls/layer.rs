//! TLS of a set-up connection behind its handshake: records are opened when somebody reads and
//! sealed when somebody writes, and bytes are held only while there are some. Everything here is
//! done without a wait, so a wait that is dropped loses nothing. Not here: waiting.

use std::io;
use std::ops::Range;

use bytes::BytesMut;
use socket2::SockRef;

use super::Secured;
use crate::limits::RECORD_PLAINTEXT_MAX;
use crate::net::records::{
    Alert, CONTROL_RECORD_BYTES_MAX, Duty, Fault, Opened, RECORD_BYTES_MAX, Session,
};
use crate::net::stream::{Queue, advance, receive_now, send_now};

pub(crate) struct Layer {
    session: Box<Session>,
    /// What came, up to the end of a record or a piece of the next.
    received: Vec<u8>,
    /// Where in it the first record that was not opened begins.
    next: usize,
    /// Where in it the bytes stand that were opened and not read; never behind `next`.
    plain: Range<usize>,
    /// Sealed and not sent, in the order in which it was sealed.
    unsent: Vec<u8>,
    inbound: Inbound,
    outbound: Outbound,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Inbound {
    Open,
    /// close_notify came.
    Ended,
    Failed(Fault),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outbound {
    Open,
    /// close_notify or a fatal alert was sealed.
    Ended,
}

/// How far a reader may go for the rest of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    Socket,
    /// Not beyond what was received already.
    Held,
}

/// What there is for a reader.
enum Ready {
    Bytes,
    /// Not a byte, though a part of a record may be here.
    Nothing,
    /// close_notify.
    Ended,
    /// FIN without it.
    Cut,
}

impl Layer {
    pub(crate) fn new(secured: Secured) -> Layer {
        Layer {
            session: secured.session,
            received: secured.undigested,
            next: 0,
            plain: 0..0,
            unsent: secured.unsent,
            inbound: Inbound::Open,
            outbound: Outbound::Open,
        }
    }

    pub(crate) fn describe(&self) -> &'static str {
        self.session.describe()
    }

    pub(crate) fn rest(&mut self) {
        self.session.cool();
    }

    pub(crate) fn read_now(
        &mut self,
        socket: &SockRef<'_>,
        into: &mut BytesMut,
        max: usize,
    ) -> io::Result<Option<usize>> {
        self.read(socket, Reach::Socket, into, max)
    }

    /// The same of what has been received already and no more: a peer that never stops sending
    /// records without data cannot keep a caller from waiting.
    pub(crate) fn read_held(
        &mut self,
        socket: &SockRef<'_>,
        into: &mut BytesMut,
        max: usize,
    ) -> io::Result<Option<usize>> {
        self.read(socket, Reach::Held, into, max)
    }

    fn read(
        &mut self,
        socket: &SockRef<'_>,
        reach: Reach,
        into: &mut BytesMut,
        max: usize,
    ) -> io::Result<Option<usize>> {
        match self.digest(socket, reach)? {
            Ready::Bytes => {
                let n = self.plain.len().min(max);
                into.extend_from_slice(&self.received[self.plain.start..][..n]);
                self.plain.start += n;
                self.release();
                Ok(Some(n))
            }
            Ready::Nothing => Ok(None),
            Ready::Ended => Ok(Some(0)),
            Ready::Cut => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    /// Seals one record of what is to be written, and sends as much of it as there is room for.
    /// `None` until all of it is gone; `taken` keeps what it holds until then.
    pub(crate) fn write_now<const N: usize>(
        &mut self,
        socket: &SockRef<'_>,
        parts: &mut [&[u8]; N],
        taken: &mut usize,
    ) -> io::Result<Option<usize>> {
        if !self.flush(socket)? {
            return Ok(None);
        }
        if *taken > 0 {
            return Ok(Some(*taken));
        }
        self.settle();
        if let Inbound::Failed(fault) = self.inbound {
            return Err(broken(fault));
        }
        if self.outbound == Outbound::Ended {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let len = parts.iter().map(|part| part.len()).sum::<usize>().min(RECORD_PLAINTEXT_MAX);
        if len == 0 {
            return Ok(Some(0));
        }
        self.seal(parts, len)?;
        advance(parts, len);
        *taken = len;
        Ok(self.flush(socket)?.then_some(len))
    }

    pub(crate) fn peek(&mut self, socket: &SockRef<'_>) -> Queue {
        match self.digest(socket, Reach::Socket) {
            Ok(Ready::Bytes) => Queue::Bytes,
            // Part of a record may be part of an answer: not quiet.
            Ok(Ready::Nothing) if self.received.is_empty() => Queue::Empty,
            Ok(Ready::Nothing) => Queue::Bytes,
            Ok(Ready::Ended | Ready::Cut) => Queue::Ended,
            Err(_) => Queue::Broken,
        }
    }

    /// Whether a read would not wait.
    pub(crate) fn is_readable(&mut self, socket: &SockRef<'_>) -> bool {
        !matches!(self.digest(socket, Reach::Socket), Ok(Ready::Nothing))
    }

    #[cfg(test)]
    pub(crate) fn bytes_held(&self) -> usize {
        self.received.capacity() + self.unsent.capacity() + usize::from(self.session.is_warm())
    }

    /// close_notify, as far as there is room for it.
    pub(crate) fn end(&mut self, socket: &SockRef<'_>) {
        if self.outbound == Outbound::Open {
            self.say(Alert::CLOSE_NOTIFY);
            self.outbound = Outbound::Ended;
        }
        // Only who did not read all that was written before misses it.
        let _ = self.flush(socket);
    }

    /// Leaves the set-up: what whoever comes next needs, and what was opened for nobody.
    pub(crate) fn into_secured(mut self, socket: &SockRef<'_>) -> io::Result<(Secured, Vec<u8>)> {
        match self.inbound {
            Inbound::Open => {}
            Inbound::Ended => return Err(io::ErrorKind::UnexpectedEof.into()),
            Inbound::Failed(fault) => return Err(broken(fault)),
        }
        if self.outbound == Outbound::Ended {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        self.flush(socket)?;
        let unread = self.received[self.plain].to_vec();
        let undigested = self.received.split_off(self.next);
        Ok((Secured { session: self.session, undigested, unsent: self.unsent }, unread))
    }

    /// Opens what is there until there is something for a reader, or nothing is left.
    fn digest(&mut self, socket: &SockRef<'_>, reach: Reach) -> io::Result<Ready> {
        if !self.plain.is_empty() {
            return Ok(Ready::Bytes);
        }
        loop {
            match self.inbound {
                Inbound::Open => {}
                Inbound::Ended => return Ok(Ready::Ended),
                Inbound::Failed(fault) => return Err(broken(fault)),
            }
            match self.session.open(&mut self.received[self.next..]) {
                Ok(Opened::Data { plain, record }) => {
                    self.plain = self.next + plain.start..self.next + plain.end;
                    self.next += record;
                    self.answer(socket);
                    if !self.plain.is_empty() {
                        return Ok(Ready::Bytes);
                    }
                }
                Ok(Opened::Handled { record }) => {
                    self.next += record;
                    self.answer(socket);
                }
                Ok(Opened::Closed { .. }) => {
                    self.inbound = Inbound::Ended;
                    // RFC 8446 6.1: what comes behind it is to be ignored.
                    self.forget_received();
                }
                Ok(Opened::Partial { .. }) if reach == Reach::Held => {
                    self.drop_opened();
                    self.received.shrink_to_fit();
                    return Ok(Ready::Nothing);
                }
                Ok(Opened::Partial { .. }) => match self.receive(socket)? {
                    Some(0) => return Ok(Ready::Cut),
                    Some(_) => {}
                    None => return Ok(Ready::Nothing),
                },
                Err(fault) => return Err(self.fail(fault, socket)),
            }
        }
    }

    /// Takes more bytes from the socket, as many as the largest record still lacks.
    fn receive(&mut self, socket: &SockRef<'_>) -> io::Result<Option<usize>> {
        self.drop_opened();
        let room = RECORD_BYTES_MAX.saturating_sub(self.received.len()).max(1);
        self.received.reserve_exact(room);
        let result = receive_now(socket, &mut self.received, room);
        if !matches!(result, Ok(Some(1..))) {
            // It will be waited for: nothing more than what is here is held meanwhile.
            self.received.shrink_to_fit();
        }
        result
    }

    fn drop_opened(&mut self) {
        self.received.drain(..self.next);
        (self.next, self.plain) = (0, 0..0);
    }

    fn release(&mut self) {
        if self.plain.is_empty() && self.next == self.received.len() {
            self.forget_received();
        }
    }

    fn forget_received(&mut self) {
        self.received = Vec::new();
        (self.next, self.plain) = (0, 0..0);
    }

    /// Sends what the session owes for a record that was opened. While there is no room for it, it
    /// waits for the next write; more of the kind does not add up.
    fn answer(&mut self, socket: &SockRef<'_>) {
        if self.unsent.is_empty() && self.session.duty().is_some() {
            self.settle();
        }
        // A peer that is gone shows in the next read or write.
        let _ = self.flush(socket);
    }

    /// Seals what the session owes, once nothing is left from before: so it is bounded.
    fn settle(&mut self) {
        while self.unsent.len() < CONTROL_RECORD_BYTES_MAX
            && self.outbound == Outbound::Open
            && let Some(duty) = self.session.duty()
        {
            match duty {
                Duty::KeyUpdate => {
                    let mut record = [0; CONTROL_RECORD_BYTES_MAX];
                    let len = self.session.seal_key_update(&mut record);
                    self.unsent.extend_from_slice(&record[..len]);
                }
                Duty::Warning(alert) => self.say(alert),
                Duty::Close => {
                    self.say(Alert::CLOSE_NOTIFY);
                    self.outbound = Outbound::Ended;
                }
            }
        }
    }

    fn say(&mut self, alert: Alert) {
        let mut record = [0; CONTROL_RECORD_BYTES_MAX];
        let len = self.session.seal_alert(alert, &mut record);
        self.unsent.extend_from_slice(&record[..len]);
    }

    fn seal(&mut self, parts: &[&[u8]], len: usize) -> io::Result<()> {
        let (before, behind) = (self.session.headroom(), self.session.tailroom());
        let start = self.unsent.len();
        self.unsent.reserve_exact(before + len + behind);
        self.unsent.resize(start + before, 0);
        let mut left = len;
        for part in parts {
            let n = left.min(part.len());
            self.unsent.extend_from_slice(&part[..n]);
            left -= n;
        }
        self.unsent.resize(start + before + len + behind, 0);
        match self.session.seal(&mut self.unsent[start..], before..before + len) {
            Ok(record) => {
                self.unsent.truncate(start + record.end);
                self.unsent.drain(start..start + record.start);
                Ok(())
            }
            Err(_) => {
                self.unsent.truncate(start);
                Err(io::Error::other("the keys of this TLS connection are worn"))
            }
        }
    }

    /// Sends what is sealed. False: there is no room for all of it.
    fn flush(&mut self, socket: &SockRef<'_>) -> io::Result<bool> {
        while !self.unsent.is_empty() {
            match send_now(socket, &[&self.unsent])? {
                Some(n) if n == self.unsent.len() => self.unsent = Vec::new(),
                Some(n) => drop(self.unsent.drain(..n)),
                None => return Ok(false),
            }
        }
        Ok(true)
    }

    /// The end of a connection whose peer broke TLS, or says that we did. The alert goes out as far
    /// as there is room, with a FIN behind it.
    fn fail(&mut self, fault: Fault, socket: &SockRef<'_>) -> io::Error {
        self.inbound = Inbound::Failed(fault);
        self.forget_received();
        if let (Fault::Ours(alert), Outbound::Open) = (fault, self.outbound) {
            self.say(alert);
        }
        self.outbound = Outbound::Ended;
        if let Ok(true) = self.flush(socket) {
            let _ = socket.shutdown(std::net::Shutdown::Write);
        }
        broken(fault)
    }
}

fn broken(fault: Fault) -> io::Error {
    let detail = match fault {
        Fault::Ours(Alert(description)) => format!("the peer broke TLS (alert {description})"),
        Fault::Peer(Alert(description)) => format!("the peer ended TLS with alert {description}"),
    };
    io::Error::new(io::ErrorKind::InvalidData, detail)
}
