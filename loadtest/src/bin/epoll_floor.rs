//! The floor of the comparison for proxies on epoll: bytes from one socket to the other, level
//! triggered, one receive and one send a message, and nothing else. No HTTP, no frames, no limits:
//! what it costs is what any relay on epoll costs.
//!
//! `epoll_floor LISTEN ORIGIN [BUFFER_BYTES]`; runs until it is killed. A pair whose one side ends
//! is closed on both, and its place is not used again.

#[path = "floor/arguments.rs"]
mod arguments;

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd, RawFd};

use arguments::Arguments;

/// What one receive takes at most. No more, since it is written once and read once, and should
/// stay in the core's own cache meanwhile.
const BUFFER_BYTES: usize = 64 * 1024;
const EVENTS: usize = 1024;
const LISTENER: u64 = u64::MAX;

const READ: u32 = libc::EPOLLIN as u32;
const WRITE: u32 = libc::EPOLLOUT as u32;

fn main() -> io::Result<()> {
    let arguments = Arguments::read(BUFFER_BYTES)?;
    let (listener, origin) = (arguments.listener()?, arguments.origin);
    let relay = Relay { epoll: Epoll::new()?, legs: Vec::new(), listener, origin };
    relay.run(arguments.buffer_bytes)
}

struct Relay {
    epoll: Epoll,
    /// Legs `i` and `i ^ 1` belong together; `None` when they have ended.
    legs: Vec<Option<Leg>>,
    listener: TcpListener,
    origin: SocketAddr,
}

struct Leg {
    stream: TcpStream,
    /// What it did not take at once. Its peer is not read meanwhile.
    rest: Vec<u8>,
}

impl Relay {
    fn run(mut self, buffer_bytes: usize) -> io::Result<()> {
        self.epoll.add(self.listener.as_raw_fd(), LISTENER)?;
        let mut events = vec![libc::epoll_event { events: 0, u64: 0 }; EVENTS];
        let mut buffer = vec![0; buffer_bytes];
        loop {
            let count = self.epoll.wait(&mut events)?;
            for event in &events[..count] {
                let (token, what) = (event.u64, event.events);
                if token == LISTENER {
                    self.connect()?;
                    continue;
                }
                let leg = token as usize;
                let done = match what & WRITE != 0 {
                    true => self.resume(leg),
                    false => self.forward(leg, &mut buffer),
                };
                if done.is_err() {
                    (self.legs[leg], self.legs[leg ^ 1]) = (None, None);
                }
            }
        }
    }

    fn connect(&mut self) -> io::Result<()> {
        let (client, _) = self.listener.accept()?;
        let origin = TcpStream::connect(self.origin)?;
        for stream in [client, origin] {
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
            self.epoll.add(stream.as_raw_fd(), self.legs.len() as u64)?;
            self.legs.push(Some(Leg { stream, rest: Vec::new() }));
        }
        Ok(())
    }

    fn forward(&mut self, leg: usize, buffer: &mut [u8]) -> io::Result<()> {
        let (Some(from), Some(to)) = pair(&mut self.legs, leg) else { return Ok(()) };
        let count = match from.stream.read(buffer) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(count) => count,
            Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(e) => return Err(e),
        };
        let sent = to.send(&buffer[..count])?;
        if sent < count {
            to.rest.extend_from_slice(&buffer[sent..count]);
            self.epoll.change(from.stream.as_raw_fd(), leg as u64, 0)?;
            self.epoll.change(to.stream.as_raw_fd(), leg as u64 ^ 1, WRITE)?;
        }
        Ok(())
    }

    /// Goes on with what `leg` did not take at once. It is not read itself while it waits: one
    /// direction at a time is all that a load of echoes needs.
    fn resume(&mut self, leg: usize) -> io::Result<()> {
        let (Some(to), Some(from)) = pair(&mut self.legs, leg) else { return Ok(()) };
        let rest = std::mem::take(&mut to.rest);
        let sent = to.send(&rest)?;
        to.rest = rest[sent..].to_vec();
        if to.rest.is_empty() {
            self.epoll.change(to.stream.as_raw_fd(), leg as u64, READ)?;
            self.epoll.change(from.stream.as_raw_fd(), leg as u64 ^ 1, READ)?;
        }
        Ok(())
    }
}

impl Leg {
    fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.stream.write(bytes) {
            Err(e) if e.kind() == ErrorKind::WouldBlock => Ok(0),
            other => other,
        }
    }
}

/// A leg and the one that it belongs to.
fn pair(legs: &mut [Option<Leg>], leg: usize) -> (Option<&mut Leg>, Option<&mut Leg>) {
    let (low, high) = legs.split_at_mut(leg | 1);
    let (low, high) = (low[leg & !1].as_mut(), high[0].as_mut());
    if leg & 1 == 0 { (low, high) } else { (high, low) }
}

struct Epoll(OwnedFd);

impl Epoll {
    fn new() -> io::Result<Epoll> {
        // SAFETY: takes no pointers.
        let fd = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: just made, and nobody else has it.
        Ok(Epoll(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    fn add(&self, fd: RawFd, token: u64) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, fd, token, READ)
    }

    fn change(&self, fd: RawFd, token: u64, what: u32) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_MOD, fd, token, what)
    }

    fn control(&self, verb: i32, fd: RawFd, token: u64, what: u32) -> io::Result<()> {
        let mut event = libc::epoll_event { events: what, u64: token };
        // SAFETY: the event lives through the call, which copies it.
        match unsafe { libc::epoll_ctl(self.0.as_raw_fd(), verb, fd, &raw mut event) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }

    fn wait(&self, events: &mut [libc::epoll_event]) -> io::Result<usize> {
        let (room, most) = (events.as_mut_ptr(), events.len() as i32);
        // SAFETY: the kernel writes at most `most` events into `room`, which has as many.
        match unsafe { libc::epoll_wait(self.0.as_raw_fd(), room, most, -1) } {
            count @ 0.. => Ok(count as usize),
            _ => match io::Error::last_os_error() {
                e if e.kind() == ErrorKind::Interrupted => Ok(0),
                e => Err(e),
            },
        }
    }
}
