//! The floor of the CPU comparison: bytes from one socket to the other on an io_uring with the
//! flags of Hawser's engine, and nothing else. No HTTP, no frames, no limits, no end of a
//! connection: what it costs is what any relay on such a ring costs.
//!
//! `relay_floor LISTEN ORIGIN`; runs until it is killed.

use std::alloc::{Layout, alloc_zeroed};
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::types::{BufRingEntry, Fd, Fixed};
use io_uring::{IoUring, cqueue, opcode, squeue};

const FILES: u32 = 4096;
const BUFFERS: u16 = 4096;
const BUFFER_BYTES: usize = 2048;
const GROUP: u16 = 0;

const ACCEPTED: u64 = 0;
const RECEIVED: u64 = 1;
const SENT: u64 = 2;

fn main() -> io::Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, listen, origin] = &arguments[..] else {
        return Err(io::Error::other("usage: relay_floor LISTEN ORIGIN"));
    };
    let origin = origin.parse().map_err(io::Error::other)?;
    Relay::new(TcpListener::bind(listen)?, origin)?.run()
}

struct Relay {
    ring: IoUring,
    buffers: Buffers,
    origin: SocketAddr,
    listener: TcpListener,
    /// Legs `i` and `i ^ 1` belong together; the number is their place in the file table too.
    legs: u32,
}

impl Relay {
    fn new(listener: TcpListener, origin: SocketAddr) -> io::Result<Relay> {
        let ring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_submit_all()
            .setup_cqsize(8192)
            .build(1024)?;
        let buffers = Buffers::new();
        // SAFETY: `Buffers` allocates the ring page-aligned for BUFFERS entries and never frees it.
        unsafe {
            ring.submitter().register_buf_ring_with_flags(
                buffers.entries as u64,
                BUFFERS,
                GROUP,
                0,
            )?;
        }
        ring.submitter().register_files_sparse(FILES)?;
        Ok(Relay { ring, buffers, origin, listener, legs: 0 })
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
                    _ => self.buffers.give(buffer),
                }
            }
            self.buffers.publish();
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
        for stream in [&client, &origin] {
            stream.set_nodelay(true)?;
        }
        let pair = [client.as_raw_fd(), origin.as_raw_fd()];
        self.ring.submitter().register_files_update(self.legs, &pair)?;
        for leg in [self.legs, self.legs + 1] {
            self.receive(leg);
        }
        self.legs += 2;
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
            let send = opcode::Send::new(Fixed(leg ^ 1), self.buffers.at(buffer), length as u32)
                .flags(libc::MSG_WAITALL | libc::MSG_NOSIGNAL)
                .build();
            self.push(send.user_data(tag(SENT, leg ^ 1, buffer)));
        }
        let alive = length > 0 || length == -libc::ENOBUFS;
        if alive && !cqueue::more(completion.flags()) {
            self.receive(leg);
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
        for buffer in 0..BUFFERS {
            buffers.give(buffer);
        }
        buffers.publish();
        buffers
    }

    fn at(&self, buffer: u16) -> *mut u8 {
        // SAFETY: the kernel and `new` name only buffers below BUFFERS, so it stays inside the
        // allocation.
        unsafe { self.data.add(usize::from(buffer) * BUFFER_BYTES) }
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
