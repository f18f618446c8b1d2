//! The floor of idle CPU: holds WebSocket connections on an io_uring with the flags of Hawser's
//! engine, sends each a Ping once an interval, spread over ticks as Hawser's are, and receives what
//! comes back. No tunnels, no timers, no frames are read: what it costs is what so many pings cost
//! anybody.
//!
//! `ping_floor LISTEN INTERVAL_SECONDS`; runs until it is killed.

use std::alloc::{Layout, alloc_zeroed};
use std::io::{self, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::sync::atomic::{AtomicU16, Ordering};

use base64::Engine as _;
use io_uring::types::{BufRingEntry, Fd, Fixed, Timespec};
use io_uring::{IoUring, cqueue, opcode, squeue};
use sha1::{Digest as _, Sha1};

const FILES: u32 = 20_000;
const BUFFERS: u16 = 1024;
const BUFFER_BYTES: usize = 2048;
const GROUP: u16 = 0;

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
    ring: IoUring,
    buffers: Buffers,
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
        let ring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_submit_all()
            .setup_cqsize(8192)
            .build(1024)?;
        let buffers = Buffers::new();
        // SAFETY: `Buffers` allocates the ring page-aligned for BUFFERS entries and never frees it.
        unsafe {
            let entries = buffers.entries as u64;
            ring.submitter().register_buf_ring_with_flags(entries, BUFFERS, GROUP, 0)?;
        }
        ring.submitter().register_files_sparse(FILES)?;
        Ok(Floor { ring, buffers, listener, conns: Vec::new(), interval, tick: 0 })
    }

    fn run(mut self) -> io::Result<()> {
        let accept = opcode::AcceptMulti::new(Fd(self.listener.as_raw_fd())).build();
        self.push(accept.user_data(ACCEPTED));
        self.await_tick();
        let mut batch: Vec<cqueue::Entry> = Vec::with_capacity(8192);
        loop {
            match self.ring.submit_and_wait(1) {
                Err(e) if !matches!(e.raw_os_error(), Some(libc::EINTR | libc::EBUSY)) => {
                    return Err(e);
                }
                _ => {}
            }
            batch.clear();
            batch.extend(self.ring.completion());
            for completion in &batch {
                let place = (completion.user_data() >> 8) as u32;
                match completion.user_data() & 0xff {
                    ACCEPTED => self.accept(completion.result())?,
                    RECEIVED => self.received(place, completion)?,
                    TICKED => self.ping_some(),
                    _ => {}
                }
            }
            self.buffers.publish();
        }
    }

    fn accept(&mut self, accepted: i32) -> io::Result<()> {
        if accepted < 0 {
            return Err(io::Error::from_raw_os_error(-accepted));
        }
        // SAFETY: a multishot accept that succeeded hands over a new descriptor, which nobody else
        // owns.
        let stream = TcpStream::from(unsafe { OwnedFd::from_raw_fd(accepted) });
        stream.set_nodelay(true)?;
        let place = self.conns.len() as u32;
        self.ring.submitter().register_files_update(place, &[stream.as_raw_fd()])?;
        self.conns.push(Conn { stream, is_open: false });
        self.receive(place);
        Ok(())
    }

    fn receive(&mut self, place: u32) {
        let entry = opcode::RecvMulti::new(Fixed(place), GROUP).build();
        self.push(entry.user_data(RECEIVED | u64::from(place) << 8));
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
                conn.stream
                    .write_all(answer(self.buffers.bytes(buffer, length as usize)).as_bytes())?;
                conn.is_open = true;
            }
        }
        if let Some(buffer) = buffer {
            self.buffers.give(buffer);
        }
        let alive = length > 0 || length == -libc::ENOBUFS;
        if alive && !cqueue::more(completion.flags()) {
            self.buffers.publish();
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
                self.push(send.user_data(SENT | u64::from(place) << 8));
            }
        }
        self.tick = (self.tick + 1) % self.interval;
        self.await_tick();
    }

    fn await_tick(&mut self) {
        self.push(opcode::Timeout::new(&raw const TICK).build().user_data(TICKED));
    }

    fn push(&mut self, entry: squeue::Entry) {
        // SAFETY: what an entry points to are pool buffers, which live as long as the process, and
        // statics.
        while unsafe { self.ring.submission().push(&entry) }.is_err() {
            self.ring.submit().expect("a full submission queue can be submitted");
        }
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

/// Buffers that the kernel takes from for receives.
struct Buffers {
    entries: *mut BufRingEntry,
    data: *mut u8,
    tail: u16,
}

impl Buffers {
    fn new() -> Buffers {
        let page = |bytes| Layout::from_size_align(bytes, 4096).expect("a page is a power of two");
        // SAFETY: both sizes are more than zero. Never freed: the kernel may write until the
        // process ends.
        let (entries, data) = unsafe {
            (
                alloc_zeroed(page(usize::from(BUFFERS) * size_of::<BufRingEntry>())),
                alloc_zeroed(page(usize::from(BUFFERS) * BUFFER_BYTES)),
            )
        };
        assert!(!entries.is_null() && !data.is_null(), "no memory for {BUFFERS} buffers");
        let mut buffers = Buffers { entries: entries.cast(), data, tail: 0 };
        (0..BUFFERS).for_each(|buffer| buffers.give(buffer));
        buffers.publish();
        buffers
    }

    fn at(&self, buffer: u16) -> *mut u8 {
        // SAFETY: the kernel and `new` name only buffers below BUFFERS, so it stays inside the
        // allocation.
        unsafe { self.data.add(usize::from(buffer) * BUFFER_BYTES) }
    }

    fn bytes(&self, buffer: u16, length: usize) -> &[u8] {
        // SAFETY: the kernel gave this buffer back with so many bytes in it, and writes to it again
        // only after `give`, which needs `self` for itself.
        unsafe { std::slice::from_raw_parts(self.at(buffer), length.min(BUFFER_BYTES)) }
    }

    /// Puts a buffer back; the kernel sees it after [`Buffers::publish`].
    fn give(&mut self, buffer: u16) {
        let address = self.at(buffer) as u64;
        // SAFETY: the index is below BUFFERS by the mask; the kernel reads entries only up to the
        // published tail.
        let entry = unsafe { &mut *self.entries.add(usize::from(self.tail & (BUFFERS - 1))) };
        entry.set_addr(address);
        entry.set_len(BUFFER_BYTES as u32);
        entry.set_bid(buffer);
        self.tail = self.tail.wrapping_add(1);
    }

    fn publish(&self) {
        // SAFETY: the tail word lies inside the first entry, aligned for a u16; this thread alone
        // writes it.
        let tail = unsafe { AtomicU16::from_ptr(BufRingEntry::tail(self.entries).cast_mut()) };
        tail.store(self.tail, Ordering::Release);
    }
}
