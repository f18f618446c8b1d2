//! One non-blocking connection with what still has to be written to it, in the clear or under TLS.
//! Not here: what the bytes mean.

use std::cell::RefCell;
use std::io::{self, ErrorKind, Read as _, Write as _};

use mio::event::Event;
use mio::net::TcpStream;

use crate::tls::Layer;

/// Size of the buffers that links are read into.
pub const READ_BYTES: usize = 64 * 1024;

thread_local! {
    /// Records as they come from a socket. One for all links of the thread, since none keeps more
    /// than the beginning of a record between two events.
    static SEALED: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_BYTES]);
}

pub struct Link {
    pub stream: TcpStream,
    out: Vec<u8>,
    written: usize,
    tls: Option<Box<Tls>>,
}

/// A link's TLS. Its `out` is plaintext that waits to be sealed.
struct Tls {
    layer: Layer,
    /// The beginning of a record.
    received: Vec<u8>,
    sealed: Vec<u8>,
    written: usize,
}

pub enum Got {
    /// `drained`: nothing more was there to be read.
    Bytes {
        count: usize,
        drained: bool,
    },
    /// Nothing for now.
    Later,
    End,
}

/// How far to read after an event, since events come only when something changes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Drain {
    /// A short read emptied the socket, and what comes later is a new event: one call less.
    UntilShort,
    /// The end was announced with this event, so it has to be read too.
    UntilEnd,
}

impl Drain {
    pub fn after(event: &Event) -> Drain {
        match event.is_read_closed() || event.is_error() {
            true => Drain::UntilEnd,
            false => Drain::UntilShort,
        }
    }

    pub fn is_done(self, drained: bool) -> bool {
        self == Drain::UntilShort && drained
    }
}

impl Link {
    pub fn new(stream: TcpStream) -> Link {
        Link { stream, out: Vec::new(), written: 0, tls: None }
    }

    /// A connection that begins with a TLS handshake.
    pub fn secured(stream: TcpStream, mut layer: Layer) -> io::Result<Link> {
        let mut sealed = Vec::new();
        layer.digest(&mut [], &mut [], &mut sealed).map_err(io::Error::other)?;
        let tls = Tls { layer, received: Vec::new(), sealed, written: 0 };
        Ok(Link { tls: Some(Box::new(tls)), ..Link::new(stream) })
    }

    pub fn layer(&self) -> Option<&Layer> {
        self.tls.as_ref().map(|tls| &tls.layer)
    }

    /// Where to append what is to be sent; [`Link::flush`] sends it.
    pub fn out(&mut self) -> &mut Vec<u8> {
        &mut self.out
    }

    /// Bytes that were appended and not yet sent.
    pub fn waiting(&self) -> usize {
        let sealed = self.tls.as_ref().map_or(0, |tls| tls.sealed.len() - tls.written);
        self.out.len() - self.written + sealed
    }

    /// Gives back the buffer if nothing waits in it.
    pub fn shrink(&mut self) {
        if self.out.is_empty() {
            self.out = Vec::new();
        }
    }

    /// Sends what it can; true when nothing is left.
    pub fn flush(&mut self) -> io::Result<bool> {
        let Some(tls) = &mut self.tls else {
            return send(&mut self.stream, &mut self.out, &mut self.written);
        };
        if tls.layer.ready && !self.out.is_empty() {
            tls.layer.seal(&self.out, &mut tls.sealed).map_err(io::Error::other)?;
            empty(&mut self.out);
        }
        let sent = send(&mut self.stream, &mut tls.sealed, &mut tls.written)?;
        Ok(sent && self.out.is_empty())
    }

    /// Announces the end of what is sent: close_notify where there is TLS, and a FIN behind what
    /// was flushed.
    pub fn finish(&mut self) -> io::Result<()> {
        if let Some(tls) = &mut self.tls {
            tls.layer.close(&mut tls.sealed).map_err(io::Error::other)?;
        }
        self.flush()?;
        self.stream.shutdown(std::net::Shutdown::Write)
    }

    /// Reads up to [`READ_BYTES`], the size of `buffer`.
    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<Got> {
        if self.tls.is_none() {
            return Ok(match receive(&mut self.stream, buffer)? {
                None => Got::Later,
                Some(0) => Got::End,
                Some(count) => Got::Bytes { count, drained: count < buffer.len() },
            });
        }
        SEALED.with_borrow_mut(|room| self.open(room, buffer))
    }

    /// Reads records into `room` and what they hold into `buffer`.
    fn open(&mut self, room: &mut [u8], buffer: &mut [u8]) -> io::Result<Got> {
        while let Some(tls) = &mut self.tls {
            if tls.layer.peer_closed {
                return Ok(Got::End);
            }
            let held = tls.received.len();
            room[..held].copy_from_slice(&tls.received);
            let count = match receive(&mut self.stream, &mut room[held..])? {
                None => return Ok(Got::Later),
                Some(0) => return Ok(Got::End),
                Some(count) => count,
            };
            let drained = held + count < room.len();
            let received = &mut room[..held + count];
            let done =
                tls.layer.digest(received, buffer, &mut tls.sealed).map_err(io::Error::other)?;
            empty(&mut tls.received);
            tls.received.extend_from_slice(&received[done.used..]);
            let drained = drained && !tls.layer.peer_closed;
            if !tls.sealed.is_empty() || (tls.layer.ready && !self.out.is_empty()) {
                self.flush()?;
            }
            if done.plain > 0 {
                return Ok(Got::Bytes { count: done.plain, drained });
            }
        }
        Ok(Got::Later)
    }
}

fn receive(stream: &mut TcpStream, buffer: &mut [u8]) -> io::Result<Option<usize>> {
    loop {
        match stream.read(buffer) {
            Ok(n) => return Ok(Some(n)),
            Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(None),
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}

fn send(stream: &mut TcpStream, out: &mut Vec<u8>, written: &mut usize) -> io::Result<bool> {
    while *written < out.len() {
        match stream.write(&out[*written..]) {
            Ok(n) => *written += n,
            Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    *written = 0;
    empty(out);
    Ok(true)
}

/// An idle connection keeps no buffer: the generator holds tens of thousands.
fn empty(buffer: &mut Vec<u8>) {
    match buffer.capacity() > 1024 {
        true => *buffer = Vec::new(),
        false => buffer.clear(),
    }
}
