//! The floor of idle CPU: holds WebSocket connections on an io_uring with the flags of Hawser's
//! engine, sends each a Ping once an interval, spread over ticks as Hawser's are, and receives what
//! comes back. No tunnels, no timers, no frames are read: what it costs is what so many pings cost
//! anybody.
//!
//! `ping_floor LISTEN INTERVAL_SECONDS`; runs until it is killed.

#[path = "floor/ring.rs"]
mod ring;

use std::io::{self, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd as _;

use base64::Engine as _;
use io_uring::types::{Fixed, Timespec};
use io_uring::{cqueue, opcode};
use sha1::{Digest as _, Sha1};

use ring::Ring;

const FILES: u32 = 20_000;
const BUFFERS: u16 = 1024;
const BUFFER_BYTES: usize = 2048;

/// As often as Hawser looks for what is due.
static TICK: Timespec = Timespec::new().nsec(100_000_000);
const TICKS_PER_SECOND: usize = 10;
/// As long as Hawser's.
static PING: [u8; 10] = [0x89, 8, 1, 2, 3, 4, 5, 6, 7, 8];

const ACCEPTED: u64 = 0;
const RECEIVED: u64 = 1;
const SENT: u64 = 2;
const TICKED: u64 = 3;

fn main() -> io::Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, listen, seconds] = &arguments[..] else {
        return Err(io::Error::other("usage: ping_floor LISTEN INTERVAL_SECONDS"));
    };
    let seconds: usize = seconds.parse().map_err(io::Error::other)?;
    Floor::new(TcpListener::bind(listen)?, seconds.max(1) * TICKS_PER_SECOND)?.run()
}

struct Floor {
    ring: Ring,
    listener: TcpListener,
    conns: Vec<Conn>,
    /// Ticks from one Ping of a connection to its next.
    interval: usize,
    tick: usize,
}

struct Conn {
    stream: TcpStream,
    is_open: bool,
}

impl Floor {
    fn new(listener: TcpListener, interval: usize) -> io::Result<Floor> {
        let ring = Ring::open(FILES, BUFFERS, BUFFER_BYTES)?;
        Ok(Floor { ring, listener, conns: Vec::new(), interval, tick: 0 })
    }

    fn run(mut self) -> io::Result<()> {
        self.ring.accept(&self.listener, ACCEPTED);
        self.await_tick();
        let mut batch: Vec<cqueue::Entry> = Vec::with_capacity(ring::COMPLETIONS as usize);
        loop {
            self.ring.wait(&mut batch)?;
            for completion in &batch {
                let place = (completion.user_data() >> 8) as u32;
                match completion.user_data() & 0xff {
                    ACCEPTED => self.accept(completion.result())?,
                    RECEIVED => self.received(place, completion)?,
                    TICKED => self.ping_some(),
                    _ => {}
                }
            }
            self.ring.buffers.publish();
        }
    }

    fn accept(&mut self, accepted: i32) -> io::Result<()> {
        let stream = ring::accepted(accepted)?;
        stream.set_nodelay(true)?;
        let place = self.conns.len() as u32;
        self.ring.register(place, &[stream.as_raw_fd()])?;
        self.conns.push(Conn { stream, is_open: false });
        self.receive(place);
        Ok(())
    }

    fn receive(&mut self, place: u32) {
        self.ring.receive(place, RECEIVED | u64::from(place) << 8);
    }

    /// A request, and then nothing but Pongs.
    fn received(&mut self, place: u32, completion: &cqueue::Entry) -> io::Result<()> {
        let length = completion.result();
        let buffer = cqueue::buffer_select(completion.flags());
        if length > 0
            && let Some(buffer) = buffer
        {
            let conn = &mut self.conns[place as usize];
            if !conn.is_open {
                let length = BUFFER_BYTES.min(length as usize);
                // SAFETY: the kernel gave this buffer back with so many bytes in it, and writes to
                // it again only after `give`, below.
                let request =
                    unsafe { std::slice::from_raw_parts(self.ring.buffers.at(buffer), length) };
                conn.stream.write_all(answer(request).as_bytes())?;
                conn.is_open = true;
            }
        }
        if let Some(buffer) = buffer {
            self.ring.buffers.give(buffer);
        }
        let alive = length > 0 || length == -libc::ENOBUFS;
        if alive && !cqueue::more(completion.flags()) {
            self.ring.buffers.publish();
            self.receive(place);
        }
        if !alive {
            self.conns[place as usize].is_open = false;
        }
        Ok(())
    }

    /// Those whose turn it is in this tick.
    fn ping_some(&mut self) {
        for place in (self.tick..self.conns.len()).step_by(self.interval) {
            if self.conns[place].is_open {
                let place = place as u32;
                let send = opcode::Send::new(Fixed(place), PING.as_ptr(), PING.len() as u32)
                    .flags(libc::MSG_NOSIGNAL)
                    .build();
                self.ring.push(send.user_data(SENT | u64::from(place) << 8));
            }
        }
        self.tick = (self.tick + 1) % self.interval;
        self.await_tick();
    }

    fn await_tick(&mut self) {
        self.ring.push(opcode::Timeout::new(&raw const TICK).build().user_data(TICKED));
    }
}

/// RFC 6455 4.2.2. A request comes in one piece on loopback; without a key the client ends it.
fn answer(request: &[u8]) -> String {
    let request = String::from_utf8_lossy(request);
    let key = request.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: "));
    let mut hash = Sha1::new();
    hash.update(key.unwrap_or_default());
    hash.update(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    let accept = base64::engine::general_purpose::STANDARD.encode(hash.finalize());
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    )
}
