//! The tunnel engine's own ring beside monoio's: multishot receives out of pooled buffers, sends
//! straight from them, sockets in the slots of a table (`files`). A safe interface: whatever the
//! caller does, the kernel only touches buffers that nobody else holds.
//!
//! Not here: which operation when (`worker::engine`).

use std::io;
use std::ops::Range;
use std::os::fd::{AsRawFd, OwnedFd};

use io_uring::{IoUring, cqueue, opcode, squeue, types};

use super::buffers::{Buffer, Class, Pool, Size};
use super::event::{Event, Waker};
use super::files::{self, Table};
use super::probe::FileKind;
use super::records::RECORD_BYTES_MAX;
use crate::limits::{BUFFER_HEADROOM, BUFFER_TAILROOM};

/// Submission entries; a full queue is submitted early.
const SQ_ENTRIES: u32 = 1024;
/// Completion entries. The kernel keeps what does not fit, but at a cost:
/// `docs/decisions/001-second-ring.md`.
const CQ_ENTRIES: u32 = 16 * 1024;
const CLASSES: [Class; Size::ALL.len()] = [
    // As many at rest as in a burst: 1 MiB, which bursts would otherwise take and give back.
    Class { stride: 4096, lent: 4096 - ROOM, count: 8192, window: 256, window_min: 256 },
    // What was received may leave as 16 records, each with a header and a tag of its own.
    Class {
        stride: 256 * 1024 + ROOM + 384,
        lent: 256 * 1024,
        count: 512,
        window: 256,
        window_min: 8,
    },
    Class { stride: 16 * 1024 + 384, lent: 0, count: 4096, window: 0, window_min: 0 },
];
const ROOM: usize = BUFFER_HEADROOM + BUFFER_TAILROOM;
const _: () = assert!(16 * 1024 + 384 >= ROOM + RECORD_BYTES_MAX);

/// `IORING_RECVSEND_POLL_FIRST` of linux/io_uring.h.
const RECV_POLL_FIRST: u16 = 1;

/// Names one operation: what it is, for which leg of which connection. Comes back with its
/// completion.
///
/// Layout: operation in bits 61..64, leg in bit 60, generation in bits 40..60, key in bits 16..40,
/// buffer in bits 0..16.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token {
    pub op: Op,
    /// 0 or 1.
    pub leg: u8,
    /// Key of the connection, below 2^24.
    pub key: u32,
    /// Of the key's use, modulo 2^20: completions of an earlier use do not match.
    pub generation: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    Receive,
    Send,
    Shutdown,
    Cancel,
    Close,
}

impl Token {
    pub const GENERATION_MASK: u32 = (1 << 20) - 1;

    fn pack(self, buffer: u16) -> u64 {
        (self.op as u64) << 61
            | u64::from(self.leg & 1) << 60
            | u64::from(self.generation & Self::GENERATION_MASK) << 40
            | u64::from(self.key) << 16
            | u64::from(buffer)
    }

    fn unpack(data: u64) -> (Token, u16) {
        let op = match data >> 61 {
            0 => Op::Receive,
            1 => Op::Send,
            2 => Op::Shutdown,
            3 => Op::Cancel,
            _ => Op::Close,
        };
        let token = Token {
            op,
            leg: (data >> 60 & 1) as u8,
            key: (data >> 16 & 0xff_ffff) as u32,
            generation: (data >> 40) as u32 & Self::GENERATION_MASK,
        };
        (token, data as u16)
    }
}

/// How a socket is received from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Receive {
    /// Small buffers until cancelled, ended or out of buffers.
    Multi,
    /// One buffer, then nothing until asked again.
    Once(Size),
}

/// When what was handed to a socket leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Departure {
    AtOnce,
    /// In one segment with the FIN: the caller closes the socket when the send has completed. Left
    /// open it would hold the bytes back for 200 ms.
    WithFin,
}

impl Departure {
    fn flags(self) -> i32 {
        match self {
            Departure::AtOnce => libc::MSG_NOSIGNAL,
            Departure::WithFin => libc::MSG_NOSIGNAL | libc::MSG_MORE,
        }
    }
}

/// What became of an operation.
#[derive(Debug)]
pub struct Completion {
    pub token: Token,
    /// Bytes, or why not.
    pub result: Result<usize, Failure>,
    /// More completions of the same operation follow.
    pub more: bool,
    /// What was received, behind [`BUFFER_HEADROOM`](crate::limits::BUFFER_HEADROOM) bytes of room.
    pub buffer: Option<Buffer>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    Cancelled,
    NoBuffers,
    /// The socket failed; the error number.
    Socket(i32),
}

#[derive(Debug)]
pub struct Ring {
    // Dropped in this order: the kernel lets go of the memory before it is unmapped.
    ring: Box<IoUringDebug>,
    pool: Pool,
    sockets: Table,
    waker: Waker,
    flags: &'static str,
}

/// `IoUring` has no Debug of its own.
struct IoUringDebug(IoUring);

impl std::fmt::Debug for IoUringDebug {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("IoUring")
    }
}

/// An operation on the socket in a slot: the two kinds of file are different types to the crate.
macro_rules! on_socket {
    ($ring:ident, $slot:ident, |$file:ident| $entry:expr) => {
        match &$ring.sockets {
            Table::Registered => {
                let $file = types::Fixed($slot);
                $entry
            }
            Table::Descriptors(held) => {
                let $file = types::Fd(files::raw(held, $slot));
                $entry
            }
        }
    };
}

impl Ring {
    /// A ring on the calling thread, whose completions wake `event`, with `slots` for sockets.
    ///
    /// # Errors
    /// What the kernel refused: see `net::probe` for the likely cause.
    pub fn new(files: FileKind, slots: u32, event: &Event) -> io::Result<Ring> {
        let (ring, flags) = build()?;
        // One lookup of the descriptor less per enter; kernels without it go on with the
        // descriptor.
        let _ = ring.submitter().register_ring_fd();
        ring.submitter().register_eventfd(event.as_raw_fd())?;
        let sockets = Table::new(files, slots, &ring.submitter())?;
        let mut pool = Pool::new(CLASSES)?;
        pool.refill();
        for size in Size::LENT {
            let (address, entries) = pool.ring(size);
            // SAFETY: the ring memory is a page-aligned mapping of `entries` entries that `pool`
            // keeps until after the ring is dropped.
            unsafe {
                ring.submitter().register_buf_ring_with_flags(address, entries, size as u16, 0)?;
            }
        }
        let (ring, waker) = (Box::new(IoUringDebug(ring)), event.waker());
        Ok(Ring { ring, pool, sockets, waker, flags })
    }

    /// The set-up flags that the kernel took, for people.
    pub fn flags(&self) -> &'static str {
        self.flags
    }

    #[inline]
    pub fn pool(&mut self) -> &mut Pool {
        &mut self.pool
    }

    /// Moves two sockets into `slot` and `slot + 1`.
    ///
    /// # Errors
    /// When the table has no such slots; the sockets are closed then.
    pub fn install(&mut self, slot: u32, sockets: [OwnedFd; 2]) -> io::Result<()> {
        self.sockets.install(slot, sockets, &self.ring.0.submitter())
    }

    #[inline]
    pub fn receive(&mut self, slot: u32, how: Receive, token: Token) {
        let entry = on_socket!(self, slot, |file| match how {
            Receive::Multi => opcode::RecvMulti::new(file, Size::Small as u16).build(),
            // Armed before the next message is there: a look for bytes would take a large buffer
            // and put it back (`docs/decisions/010-small-settings-of-the-ring.md`).
            Receive::Once(size) => opcode::Recv::new(file, std::ptr::null_mut(), 0)
                .ioprio(RECV_POLL_FIRST)
                .buf_group(size as u16)
                .build()
                .flags(squeue::Flags::BUFFER_SELECT),
        });
        self.push(entry.user_data(token.pack(0)));
    }

    /// Sends `range` of the buffer. The ring keeps a share until the completion, so the caller may
    /// recycle its own.
    #[inline]
    pub fn send(
        &mut self,
        slot: u32,
        buffer: &Buffer,
        range: Range<usize>,
        departure: Departure,
        token: Token,
    ) {
        let address = self.pool.address(buffer.id(), &range);
        // The share of the send; Op::Send's completion releases it.
        let id = self.pool.hold(buffer);
        let (len, flags) = (range.len() as u32, departure.flags());
        let entry = on_socket!(self, slot, |file| {
            opcode::Send::new(file, address, len).flags(flags).build()
        });
        self.push(entry.user_data(token.pack(id)));
    }

    pub fn shutdown_write(&mut self, slot: u32, token: Token) {
        let how = libc::SHUT_WR;
        let entry = on_socket!(self, slot, |file| opcode::Shutdown::new(file, how).build());
        self.push(entry.user_data(token.pack(0)));
    }

    /// Cancels the receive that was given `receive`. Its last completion follows, and one of this.
    pub fn cancel_receive(&mut self, receive: Token, token: Token) {
        debug_assert_eq!(receive.op, Op::Receive);
        let entry = opcode::AsyncCancel::new(receive.pack(0)).build();
        self.push(entry.user_data(token.pack(0)));
    }

    /// Cancels the send that was given `send` with `buffer`.
    pub fn cancel_send(&mut self, send: Token, buffer: &Buffer, token: Token) {
        debug_assert_eq!(send.op, Op::Send);
        let entry = opcode::AsyncCancel::new(send.pack(buffer.id())).build();
        self.push(entry.user_data(token.pack(0)));
    }

    /// Closes the socket in `slot`; the slot is empty when the completion comes.
    pub fn close(&mut self, slot: u32, token: Token) {
        let entry = match &mut self.sockets {
            Table::Registered => opcode::Close::new(types::Fixed(slot)).build(),
            Table::Descriptors(held) => {
                opcode::Close::new(types::Fd(files::take(held, slot))).build()
            }
        };
        self.push(entry.user_data(token.pack(0)));
    }

    /// Submits what is queued, lets the kernel run what is ready, never blocks.
    #[inline]
    pub fn enter(&mut self) {
        let ring = &mut self.ring.0;
        let pending = ring.submission().len() as u32;
        const GETEVENTS: u32 = 1;
        // SAFETY: no signal mask and no argument are passed; all queued entries name memory that
        // `pool` owns.
        let entered =
            unsafe { ring.submitter().enter::<libc::sigset_t>(pending, 0, GETEVENTS, None) };
        if entered.is_err() {
            // EINTR, EAGAIN or EBUSY: nothing is lost, but nobody else would come back.
            self.waker.wake();
        }
    }

    /// Takes what completed, at most as much as `into` has room for; the buffers belong to the
    /// caller now.
    #[inline]
    pub fn reap(&mut self, into: &mut Vec<Completion>) {
        let room = into.capacity() - into.len();
        let pool = &mut self.pool;
        into.extend(self.ring.0.completion().take(room).map(|entry| complete(&entry, pool)));
        self.pool.refill();
    }

    /// Whether entering or reaping would bring anything on.
    #[inline]
    pub fn has_work(&mut self) -> bool {
        let queue = self.ring.0.submission();
        let to_enter = !queue.is_empty() || queue.taskrun() || queue.cq_overflow();
        drop(queue);
        to_enter || !self.ring.0.completion().is_empty()
    }

    /// While the caller looks for itself, completions need not signal the event. Every signal would
    /// cost a poll, a read and a turn of the loop that finds nothing.
    #[inline]
    pub fn hush(&mut self) {
        self.ring.0.completion().disable_eventfd();
    }

    /// Ends [`Ring::hush`]. What completed before this was not signalled: check [`Ring::has_work`]
    /// once more.
    #[inline]
    pub fn listen(&mut self) {
        self.ring.0.completion().enable_eventfd();
    }

    /// Completions that did not fit the queue so far; the kernel kept them.
    pub fn overflows(&mut self) -> u64 {
        u64::from(self.ring.0.completion().overflow())
    }

    /// Comes back to the core's loop at its next turn.
    pub fn wake(&self) {
        self.waker.wake();
    }

    #[inline]
    fn push(&mut self, entry: squeue::Entry) {
        // SAFETY: every entry built above names files, which the kernel checks, and buffers of
        // `pool`, of which a share is kept until the completion.
        while unsafe { self.ring.0.submission().push(&entry) }.is_err() {
            self.enter();
        }
    }
}

#[inline]
fn complete(entry: &cqueue::Entry, pool: &mut Pool) -> Completion {
    let (token, sent_buffer) = Token::unpack(entry.user_data());
    if token.op == Op::Send {
        pool.release(sent_buffer);
    }
    let buffer = cqueue::buffer_select(entry.flags()).map(|id| pool.claim(id));
    let result = match entry.result() {
        n if n >= 0 => Ok(n as usize),
        n if n == -libc::ECANCELED => Err(Failure::Cancelled),
        n if n == -libc::ENOBUFS => Err(Failure::NoBuffers),
        n => Err(Failure::Socket(-n)),
    };
    Completion { token, result, more: cqueue::more(entry.flags()), buffer }
}

/// The best flags first, degrading one by one where a kernel lacks them (EINVAL).
fn build() -> io::Result<(IoUring, &'static str)> {
    let mut last = io::Error::from_raw_os_error(libc::EINVAL);
    for step in [
        "SINGLE_ISSUER DEFER_TASKRUN TASKRUN_FLAG SUBMIT_ALL CQSIZE",
        "SINGLE_ISSUER COOP_TASKRUN TASKRUN_FLAG SUBMIT_ALL CQSIZE",
        "COOP_TASKRUN TASKRUN_FLAG CQSIZE",
        "CQSIZE",
    ] {
        let mut builder = IoUring::<squeue::Entry, cqueue::Entry>::builder();
        builder.setup_cqsize(CQ_ENTRIES);
        for flag in step.split(' ') {
            match flag {
                "SINGLE_ISSUER" => builder.setup_single_issuer(),
                "DEFER_TASKRUN" => builder.setup_defer_taskrun(),
                "COOP_TASKRUN" => builder.setup_coop_taskrun(),
                "TASKRUN_FLAG" => builder.setup_taskrun_flag(),
                "SUBMIT_ALL" => builder.setup_submit_all(),
                _ => &mut builder,
            };
        }
        match builder.build(SQ_ENTRIES) {
            Ok(ring) => return Ok((ring, step)),
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => last = error,
            Err(error) => return Err(error),
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_survives_its_bits() {
        for op in [Op::Receive, Op::Send, Op::Shutdown, Op::Cancel, Op::Close] {
            let token =
                Token { op, leg: 1, key: (1 << 24) - 1, generation: Token::GENERATION_MASK };
            assert_eq!(Token::unpack(token.pack(0xffff)), (token, 0xffff));
            let token = Token { op, leg: 0, key: 0, generation: 0 };
            assert_eq!(Token::unpack(token.pack(0)), (token, 0));
        }
    }
}
