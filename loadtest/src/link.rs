//! One non-blocking connection with what still has to be written to it. Not here: what the bytes
//! mean.

use std::io::{self, ErrorKind, Read as _, Write as _};

use mio::event::Event;
use mio::net::TcpStream;

pub struct Link {
    pub stream: TcpStream,
    out: Vec<u8>,
    written: usize,
}

pub enum Got {
    Bytes(usize),
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

    pub fn is_done(self, read: usize, room: usize) -> bool {
        self == Drain::UntilShort && read < room
    }
}

impl Link {
    pub fn new(stream: TcpStream) -> Link {
        Link { stream, out: Vec::new(), written: 0 }
    }

    /// Where to append what is to be sent; [`Link::flush`] sends it.
    pub fn out(&mut self) -> &mut Vec<u8> {
        &mut self.out
    }

    /// Sends what it can; true when nothing is left.
    pub fn flush(&mut self) -> io::Result<bool> {
        while self.written < self.out.len() {
            match self.stream.write(&self.out[self.written..]) {
                Ok(n) => self.written += n,
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        self.written = 0;
        // An idle connection keeps no buffer: the generator holds tens of thousands.
        if self.out.capacity() > 1024 {
            self.out = Vec::new()
        } else {
            self.out.clear()
        }
        Ok(true)
    }

    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<Got> {
        loop {
            match self.stream.read(buffer) {
                Ok(0) => return Ok(Got::End),
                Ok(n) => return Ok(Got::Bytes(n)),
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(Got::Later),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
    }
}
