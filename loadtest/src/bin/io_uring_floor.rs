//! The floor of the CPU comparison: bytes from one socket to the other on an io_uring with the
//! flags of Hawser's engine, and nothing else. No HTTP, no frames, no limits, no end of a
//! connection: what it costs is what any relay on such a ring costs.
//!
//! `io_uring_floor LISTEN ORIGIN [BUFFER_BYTES]`; runs until it is killed. A pair that ends keeps
//! its two places in the file table.

use std::alloc::{Layout, alloc_zeroed};
use std::collections::VecDeque;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::types::{BufRingEntry, Fd, Fixed};
use io_uring::{IoUring, cqueue, opcode, squeue};

/// Two for each of 8,000 pairs; the kernel allows no more than RLIMIT_NOFILE.
const FILES: u32 = 16 * 1024;
/// All buffers together, no more than what a core's own caches and a share of the last one hold.
const POOL_BYTES: usize = 8 << 20;
/// Messages of 64 bytes need no more.
const BUFFER_BYTES: usize = 2048;
const GROUP: u16 = 0;

const ACCEPTED: u64 = 0;
const RECEIVED: u64 = 1;
const SENT: u64 = 2;

fn main() -> io::Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    let (listen, origin, bytes) = match &arguments[..] {
        [_, listen, origin] => (listen, origin, BUFFER_BYTES),
        [_, listen, origin, bytes] => (listen, origin, bytes.parse().map_err(io::Error::other)?),
        _ => {
            return Err(io::Error::other("usage: io_uring_floor LISTEN ORIGIN [BUFFER_BYTES]"));
        }
    };
    if !(1024..=1 << 20).contains(&bytes) || !bytes.is_power_of_two() {
        return Err(io::Error::other(format!(
            "{bytes} bytes: not a power of two from 1024 to 1048576"
        )));
    }
    let origin = origin.parse().map_err(io::Error::other)?;
    Relay::new(listen_on(listen.parse().map_err(io::Error::other)?)?, origin, bytes)?.run()
}

fn listen_on(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&addr.into())?;
    socket.listen(4096)?;
    Ok(socket.into())
}

struct Relay {
    ring: IoUring,
    buffers: Buffers,
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
    fn new(listener: TcpListener, origin: SocketAddr, bytes: usize) -> io::Result<Relay> {
        let ring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_submit_all()
            .setup_cqsize(8192)
            .build(1024)?;
        let buffers = Buffers::new(bytes);
        // SAFETY: `Buffers` allocates the ring page-aligned for `count` entries and never frees it.
        unsafe {
            ring.submitter().register_buf_ring_with_flags(
                buffers.entries as u64,
                buffers.count,
                GROUP,
                0,
            )?;
        }
        ring.submitter().register_files_sparse(FILES)?;
        Ok(Relay { ring, buffers, origin, listener, legs: Vec::new(), starved: Vec::new() })
    }

    fn run(mut self) -> io::Result<()> {
        let accept = opcode::AcceptMulti::new(Fd(self.listener.as_raw_fd())).build();
        self.push(accept.user_data(tag(ACCEPTED, 0, 0)));
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
                let (kind, leg, buffer) = untag(completion.user_data());
                match kind {
                    ACCEPTED => self.connect(completion.result())?,
                    RECEIVED => self.forward(leg, completion),
                    _ => self.sent(leg, buffer),
                }
            }
            if self.buffers.publish() {
                for leg in std::mem::take(&mut self.starved) {
                    self.receive(leg);
                }
            }
        }
    }

    fn connect(&mut self, accepted: i32) -> io::Result<()> {
        if accepted < 0 {
            return Err(io::Error::from_raw_os_error(-accepted));
        }
        // SAFETY: a multishot accept that succeeded hands over a new descriptor, which nobody else
        // owns.
        let client = TcpStream::from(unsafe { OwnedFd::from_raw_fd(accepted) });
        let origin = TcpStream::connect(self.origin)?;
        let first = self.legs.len() as u32;
        let pair = [client.as_raw_fd(), origin.as_raw_fd()];
        self.ring.submitter().register_files_update(first, &pair)?;
        for (leg, stream) in (first..).zip([client, origin]) {
            stream.set_nodelay(true)?;
            self.legs.push(Leg { _stream: stream, sending: false, waiting: VecDeque::new() });
            self.receive(leg);
        }
        Ok(())
    }

    fn receive(&mut self, leg: u32) {
        let entry = opcode::RecvMulti::new(Fixed(leg), GROUP).build();
        self.push(entry.user_data(tag(RECEIVED, leg, 0)));
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
        let send = opcode::Send::new(Fixed(leg), self.buffers.at(buffer), length)
            .flags(libc::MSG_WAITALL | libc::MSG_NOSIGNAL)
            .build();
        self.push(send.user_data(tag(SENT, leg, buffer)));
    }

    fn sent(&mut self, leg: u32, buffer: u16) {
        self.buffers.give(buffer);
        let next = self.legs[leg as usize].waiting.pop_front();
        self.legs[leg as usize].sending = next.is_some();
        if let Some((buffer, length)) = next {
            self.send(leg, buffer, length);
        }
    }

    fn push(&mut self, entry: squeue::Entry) {
        // SAFETY: what an entry points to are pool buffers, which live as long as the process.
        while unsafe { self.ring.submission().push(&entry) }.is_err() {
            self.ring.submit().expect("a full submission queue can be submitted");
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

/// Buffers that the kernel takes from for receives.
struct Buffers {
    entries: *mut BufRingEntry,
    data: *mut u8,
    /// Of each buffer; a power of two.
    bytes: usize,
    /// A power of two too.
    count: u16,
    tail: u16,
    published: u16,
}

impl Buffers {
    fn new(bytes: usize) -> Buffers {
        let count = (POOL_BYTES / bytes) as u16;
        let page = |bytes| Layout::from_size_align(bytes, 4096).expect("a page is a power of two");
        // SAFETY: both sizes are more than zero. Never freed: the kernel may write until the
        // process ends.
        let (entries, data) = unsafe {
            (
                alloc_zeroed(page(usize::from(count) * size_of::<BufRingEntry>())),
                alloc_zeroed(page(usize::from(count) * bytes)),
            )
        };
        assert!(!entries.is_null() && !data.is_null(), "no memory for {count} buffers");
        let entries = entries.cast();
        let mut buffers = Buffers { entries, data, bytes, count, tail: 0, published: 0 };
        for buffer in 0..count {
            buffers.give(buffer);
        }
        buffers.publish();
        buffers
    }

    fn at(&self, buffer: u16) -> *mut u8 {
        // SAFETY: the kernel and `new` name only buffers below `count`, so it stays inside the
        // allocation.
        unsafe { self.data.add(usize::from(buffer) * self.bytes) }
    }

    /// Puts a buffer back; the kernel sees it after [`Buffers::publish`].
    fn give(&mut self, buffer: u16) {
        let address = self.at(buffer) as u64;
        // SAFETY: the index is below `count` by the mask; the kernel reads entries only up to the
        // published tail.
        let entry = unsafe { &mut *self.entries.add(usize::from(self.tail & (self.count - 1))) };
        entry.set_addr(address);
        entry.set_len(self.bytes as u32);
        entry.set_bid(buffer);
        self.tail = self.tail.wrapping_add(1);
    }

    /// True when there was something to publish.
    fn publish(&mut self) -> bool {
        // SAFETY: the tail word lies inside the first entry, aligned for a u16; this thread alone
        // writes it.
        let tail = unsafe { AtomicU16::from_ptr(BufRingEntry::tail(self.entries).cast_mut()) };
        tail.store(self.tail, Ordering::Release);
        std::mem::replace(&mut self.published, self.tail) != self.tail
    }
}
