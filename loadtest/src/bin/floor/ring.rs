//! The ring of the floors on io_uring: the flags of Hawser's engine, registered sockets, and the
//! buffers that the kernel takes from for receives. Not here: what is done with what was received.

use std::alloc::{Layout, alloc_zeroed};
use std::io;
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd, RawFd};
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::types::{BufRingEntry, Fd, Fixed};
use io_uring::{IoUring, cqueue, opcode, squeue};

/// Completions that the ring has room for.
pub const COMPLETIONS: u32 = 8192;
const SUBMISSIONS: u32 = 1024;
const GROUP: u16 = 0;

pub struct Ring {
    ring: IoUring,
    pub buffers: Buffers,
}

impl Ring {
    /// With places for `files` sockets, and `count` buffers of `bytes` each: a power of two.
    pub fn open(files: u32, count: u16, bytes: usize) -> io::Result<Ring> {
        let ring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_submit_all()
            .setup_cqsize(COMPLETIONS)
            .build(SUBMISSIONS)?;
        let buffers = Buffers::new(count, bytes);
        // SAFETY: `Buffers` allocates the ring page-aligned for `count` entries and never frees it.
        unsafe {
            ring.submitter().register_buf_ring_with_flags(
                buffers.entries as u64,
                buffers.count,
                GROUP,
                0,
            )?;
        }
        ring.submitter().register_files_sparse(files)?;
        Ok(Ring { ring, buffers })
    }

    /// Submits what was pushed, waits for a completion, and moves all that there are to `batch`.
    pub fn wait(&mut self, batch: &mut Vec<cqueue::Entry>) -> io::Result<()> {
        match self.ring.submit_and_wait(1) {
            Err(e) if !matches!(e.raw_os_error(), Some(libc::EINTR | libc::EBUSY)) => {
                return Err(e);
            }
            _ => {}
        }
        batch.clear();
        batch.extend(self.ring.completion());
        Ok(())
    }

    /// Every connection of the listener is a completion with this tag; see [`accepted`].
    pub fn accept(&mut self, listener: &TcpListener, tag: u64) {
        let accept = opcode::AcceptMulti::new(Fd(listener.as_raw_fd())).build();
        self.push(accept.user_data(tag));
    }

    /// Gives these sockets the places from `first` on.
    pub fn register(&self, first: u32, sockets: &[RawFd]) -> io::Result<()> {
        self.ring.submitter().register_files_update(first, sockets)?;
        Ok(())
    }

    /// Everything that the socket in this place receives comes in buffers, with this tag.
    pub fn receive(&mut self, place: u32, tag: u64) {
        let receive = opcode::RecvMulti::new(Fixed(place), GROUP).build();
        self.push(receive.user_data(tag));
    }

    /// What the entry points to has to be a pool buffer or static.
    pub fn push(&mut self, entry: squeue::Entry) {
        // SAFETY: pool buffers and statics, which is all that callers point to, live as long as the
        // process.
        while unsafe { self.ring.submission().push(&entry) }.is_err() {
            self.ring.submit().expect("a full submission queue can be submitted");
        }
    }
}

/// The connection of a completed accept.
pub fn accepted(result: i32) -> io::Result<TcpStream> {
    if result < 0 {
        return Err(io::Error::from_raw_os_error(-result));
    }
    // SAFETY: a multishot accept that succeeded hands over a new descriptor, which nobody else
    // owns.
    Ok(TcpStream::from(unsafe { OwnedFd::from_raw_fd(result) }))
}

/// Buffers that the kernel takes from for receives.
pub struct Buffers {
    entries: *mut BufRingEntry,
    data: *mut u8,
    /// Of each buffer.
    bytes: usize,
    count: u16,
    tail: u16,
    published: u16,
}

impl Buffers {
    fn new(count: u16, bytes: usize) -> Buffers {
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

    pub fn at(&self, buffer: u16) -> *mut u8 {
        // SAFETY: the kernel and `new` name only buffers below `count`, so it stays inside the
        // allocation.
        unsafe { self.data.add(usize::from(buffer) * self.bytes) }
    }

    /// Puts a buffer back; the kernel sees it after [`Buffers::publish`].
    pub fn give(&mut self, buffer: u16) {
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
    pub fn publish(&mut self) -> bool {
        // SAFETY: the tail word lies inside the first entry, aligned for a u16; this thread alone
        // writes it.
        let tail = unsafe { AtomicU16::from_ptr(BufRingEntry::tail(self.entries).cast_mut()) };
        tail.store(self.tail, Ordering::Release);
        std::mem::replace(&mut self.published, self.tail) != self.tail
    }
}
