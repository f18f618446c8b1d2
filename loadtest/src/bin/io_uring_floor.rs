//! The floor of the CPU comparison: bytes from one socket to the other on an io_uring with the
//! flags of Hawser's engine, and nothing else. No HTTP, no frames, no limits, no end of a
//! connection: what it costs is what any relay on such a ring costs.
//!
//! `io_uring_floor LISTEN ORIGIN [BUFFER_BYTES]`; runs until it is killed. A pair that ends keeps
//! its two places in the file table.

#[path = "floor/arguments.rs"]
mod arguments;
#[path = "floor/ring.rs"]
mod ring;

use std::collections::VecDeque;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd as _;

use io_uring::types::Fixed;
use io_uring::{cqueue, opcode};

use arguments::Arguments;
use ring::Ring;

/// Two for each of 8,000 pairs; the kernel allows no more than RLIMIT_NOFILE.
const FILES: u32 = 16 * 1024;
/// All buffers together, no more than what a core's own caches and a share of the last one hold.
const POOL_BYTES: usize = 8 << 20;
/// Messages of 64 bytes need no more.
const BUFFER_BYTES: usize = 2048;

const ACCEPTED: u64 = 0;
const RECEIVED: u64 = 1;
const SENT: u64 = 2;

fn main() -> io::Result<()> {
    let arguments = Arguments::read(BUFFER_BYTES)?;
    Relay::new(arguments.listener()?, &arguments)?.run()
}

struct Relay {
    ring: Ring,
    origin: SocketAddr,
    listener: TcpListener,
    /// Legs `i` and `i ^ 1` belong together; the number is their place in the file table too.
    legs: Vec<Leg>,
    /// Legs whose receive ended for want of a buffer.
    starved: Vec<u32>,
}

/// What goes out on one leg.
struct Leg {
    /// Keeps its descriptor open.
    _stream: TcpStream,
    /// One send at a time is under way, since two could overtake each other.
    sending: bool,
    /// Buffers, and bytes in them, that follow it.
    waiting: VecDeque<(u16, u32)>,
}

impl Relay {
    fn new(listener: TcpListener, arguments: &Arguments) -> io::Result<Relay> {
        let bytes = arguments.buffer_bytes;
        let ring = Ring::open(FILES, (POOL_BYTES / bytes) as u16, bytes)?;
        let origin = arguments.origin;
        Ok(Relay { ring, origin, listener, legs: Vec::new(), starved: Vec::new() })
    }

    fn run(mut self) -> io::Result<()> {
        self.ring.accept(&self.listener, tag(ACCEPTED, 0, 0));
        let mut batch: Vec<cqueue::Entry> = Vec::with_capacity(ring::COMPLETIONS as usize);
        loop {
            self.ring.wait(&mut batch)?;
            for completion in &batch {
                let (kind, leg, buffer) = untag(completion.user_data());
                match kind {
                    ACCEPTED => self.connect(completion.result())?,
                    RECEIVED => self.forward(leg, completion),
                    _ => self.sent(leg, buffer),
                }
            }
            if self.ring.buffers.publish() {
                for leg in std::mem::take(&mut self.starved) {
                    self.receive(leg);
                }
            }
        }
    }

    fn connect(&mut self, accepted: i32) -> io::Result<()> {
        let client = ring::accepted(accepted)?;
        let origin = TcpStream::connect(self.origin)?;
        let first = self.legs.len() as u32;
        self.ring.register(first, &[client.as_raw_fd(), origin.as_raw_fd()])?;
        for (leg, stream) in (first..).zip([client, origin]) {
            stream.set_nodelay(true)?;
            self.legs.push(Leg { _stream: stream, sending: false, waiting: VecDeque::new() });
            self.receive(leg);
        }
        Ok(())
    }

    fn receive(&mut self, leg: u32) {
        self.ring.receive(leg, tag(RECEIVED, leg, 0));
    }

    fn forward(&mut self, leg: u32, completion: &cqueue::Entry) {
        let length = completion.result();
        if length > 0 {
            let buffer = cqueue::buffer_select(completion.flags()).expect("a receive has a buffer");
            let to = &mut self.legs[(leg ^ 1) as usize];
            match to.sending {
                true => to.waiting.push_back((buffer, length as u32)),
                false => self.send(leg ^ 1, buffer, length as u32),
            }
        }
        if cqueue::more(completion.flags()) {
            return;
        }
        match length {
            1.. => self.receive(leg),
            _ if length == -libc::ENOBUFS => self.starved.push(leg),
            _ => {}
        }
    }

    fn send(&mut self, leg: u32, buffer: u16, length: u32) {
        self.legs[leg as usize].sending = true;
        let send = opcode::Send::new(Fixed(leg), self.ring.buffers.at(buffer), length)
            .flags(libc::MSG_WAITALL | libc::MSG_NOSIGNAL)
            .build();
        self.ring.push(send.user_data(tag(SENT, leg, buffer)));
    }

    fn sent(&mut self, leg: u32, buffer: u16) {
        self.ring.buffers.give(buffer);
        let next = self.legs[leg as usize].waiting.pop_front();
        self.legs[leg as usize].sending = next.is_some();
        if let Some((buffer, length)) = next {
            self.send(leg, buffer, length);
        }
    }
}

/// Kind in the low byte, then 32 bits of leg, then 16 of buffer.
fn tag(kind: u64, leg: u32, buffer: u16) -> u64 {
    kind | u64::from(leg) << 8 | u64::from(buffer) << 40
}

fn untag(tag: u64) -> (u64, u32, u16) {
    (tag & 0xff, (tag >> 8) as u32, (tag >> 40) as u16)
}
