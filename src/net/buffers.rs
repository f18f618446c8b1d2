//! The pooled buffers of one core, lent to the kernel through provided-buffer rings.
//!
//! ```text
//!   free list ──refill──► provided ring ──receive──► Buffer (a share) ──recycle──► free list
//!       └────────take────────────────────────────────────┘     └─ send holds a share of its own
//! ```
//!
//! The free lists are last-in first-out and only a window of buffers is in a ring, that of the
//! large ones no wider than the traffic of the last seconds took at a time: so the touched memory
//! stays as small as the traffic needs, however large the pool may grow. Not here: what is in the
//! bytes.

use std::io;
use std::ops::Range;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::types::BufRingEntry;

use crate::limits::{BUFFER_HEADROOM, BUFFER_TAILROOM};

/// The kinds of buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// Many, for messages.
    Small = 0,
    /// Few, for bulk.
    Large = 1,
    /// For one TLS record that came in pieces; never lent to the kernel.
    Record = 2,
}

impl Size {
    pub const ALL: [Size; 3] = [Size::Small, Size::Large, Size::Record];
    /// What receives choose from.
    pub const LENT: [Size; 2] = [Size::Small, Size::Large];
}

/// Number and size of one kind.
#[derive(Clone, Copy, Debug)]
pub struct Class {
    /// Bytes of one buffer, head and tail room included; a multiple of 64.
    pub stride: usize,
    /// Bytes that one receive may put into it; 0 for buffers that are not received into.
    pub lent: usize,
    pub count: u16,
    /// Most buffers lent to the kernel at a time; a power of two, or 0.
    pub window: u16,
    /// Fewest.
    pub window_min: u16,
}

/// A share of one buffer. Give it back with [`Pool::recycle`]; a lost one is lost to the pool until
/// the process ends.
#[derive(Debug)]
#[must_use]
pub struct Buffer(u16);

impl Buffer {
    pub(super) fn id(&self) -> u16 {
        self.0
    }
}

/// All buffers of one core.
#[derive(Debug)]
pub struct Pool {
    classes: [ClassState; Size::ALL.len()],
    /// Shares of each buffer, by class: 0 = free or lent to the kernel.
    shares: Box<[u16]>,
}

#[derive(Debug)]
struct ClassState {
    memory: Mapping,
    ring: Mapping,
    class: Class,
    first_id: u16,
    /// The last in is the first out, so what lies at the bottom has not been used for longest.
    free: Vec<u16>,
    /// Fewest free buffers since [`Pool::give_back`] last looked: those below were not used since.
    low: usize,
    /// Free buffers, from the bottom, whose pages the kernel has.
    returned: usize,
    /// Buffers lent to the kernel now.
    provided: u16,
    /// Buffers to be lent: doubled when the kernel took all, halved in a second in which it never
    /// took a quarter. A ring is a queue, so with a constant number of them even little traffic
    /// would touch them all in turn.
    depth: u16,
    /// Taken by the kernel since the last refill, and most of that since [`Pool::give_back`].
    claimed: u16,
    claimed_max: u16,
    tail: u16,
}

impl Pool {
    /// # Errors
    /// When the memory cannot be mapped.
    pub fn new([small, large, record]: [Class; Size::ALL.len()]) -> io::Result<Pool> {
        let first_record = small.count + large.count;
        let shares = vec![0; usize::from(first_record) + usize::from(record.count)];
        let classes = [
            ClassState::new(small, 0)?,
            ClassState::new(large, small.count)?,
            ClassState::new(record, first_record)?,
        ];
        Ok(Pool { classes, shares: shares.into_boxed_slice() })
    }

    /// Bytes that one receive can put into a buffer of this size.
    pub fn capacity(&self, size: Size) -> usize {
        self.classes[size as usize].class.lent
    }

    /// Bytes between head and tail room of a buffer of this size.
    pub fn room(&self, size: Size) -> usize {
        self.classes[size as usize].class.stride - BUFFER_HEADROOM - BUFFER_TAILROOM
    }

    /// A buffer for bytes of our own; `None` when there is none left of this size.
    pub fn take(&mut self, size: Size) -> Option<Buffer> {
        let id = self.classes[size as usize].pop()?;
        self.shares[usize::from(id)] = 1;
        Some(Buffer(id))
    }

    /// One more share of the same buffer.
    #[inline]
    pub fn share(&mut self, buffer: &Buffer) -> Buffer {
        Buffer(self.hold(buffer))
    }

    /// Gives a share back; with the last one the buffer is free again.
    #[inline]
    pub fn recycle(&mut self, buffer: Buffer) {
        let shares = &mut self.shares[usize::from(buffer.0)];
        *shares -= 1;
        if *shares == 0 {
            let class = self.class_of(buffer.0);
            self.classes[class].free.push(buffer.0);
        }
    }

    /// All bytes of a buffer; those received start at [`BUFFER_HEADROOM`].
    #[inline]
    pub fn bytes(&self, buffer: &Buffer) -> &[u8] {
        let class = &self.classes[self.class_of(buffer.0)];
        let at = class.offset(buffer.0);
        // SAFETY: the range is inside the mapping (offset() keeps it there), and the kernel writes
        // only to buffers that are in a provided ring, for which no `Buffer` exists: claim() and
        // take() make one only after it left the ring.
        unsafe { std::slice::from_raw_parts(class.memory.at(at), class.class.stride) }
    }

    /// The same, to write to.
    ///
    /// # Panics
    /// When there is another share: it may be under way to a socket.
    #[inline]
    pub fn bytes_mut(&mut self, buffer: &Buffer) -> &mut [u8] {
        assert_eq!(self.shares[usize::from(buffer.0)], 1, "a shared buffer is not written to");
        let class = &self.classes[self.class_of(buffer.0)];
        let at = class.offset(buffer.0);
        // SAFETY: as in bytes(); the only share is the caller's, so neither a send nor another
        // slice reads it, and `&mut self` excludes a second slice.
        unsafe { std::slice::from_raw_parts_mut(class.memory.at(at), class.class.stride) }
    }

    /// Copies `range` of one buffer to `at` of another.
    ///
    /// # Panics
    /// When the target has another share, or either range is not inside its buffer.
    pub fn copy(&mut self, from: &Buffer, range: Range<usize>, to: &Buffer, at: usize) {
        assert_ne!(from.0, to.0, "within a buffer, copy_within does it");
        let source = self.address(from.0, &range);
        let target = &mut self.bytes_mut(to)[at..at + range.len()];
        // SAFETY: address() checked the source's range; two buffers never overlap, and the kernel
        // writes to neither, for both are held by a `Buffer`.
        unsafe { std::ptr::copy_nonoverlapping(source, target.as_mut_ptr(), target.len()) }
    }

    /// Gives the memory of buffers that were not used since the last call back to the kernel: a
    /// burst would keep its megabytes otherwise.
    pub fn give_back(&mut self) {
        for class in &mut self.classes {
            class.give_back();
        }
    }

    /// Buffers that are neither free nor lent to the kernel, and all of them, of the small kind.
    pub fn usage(&self) -> (usize, usize) {
        let class = &self.classes[Size::Small as usize];
        let count = usize::from(class.class.count);
        (count - class.free.len() - usize::from(class.provided), count)
    }

    /// Buffers of a size that can still be received into or taken.
    pub fn available(&self, size: Size) -> usize {
        let class = &self.classes[size as usize];
        class.free.len() + usize::from(class.provided)
    }

    /// Tops up the kernel's windows.
    #[inline]
    pub(super) fn refill(&mut self) {
        for class in &mut self.classes {
            class.refill();
        }
    }

    /// The kernel filled buffer `id`: it left its ring.
    #[inline]
    pub(super) fn claim(&mut self, id: u16) -> Buffer {
        let class = self.class_of(id);
        self.classes[class].note_claim();
        self.shares[usize::from(id)] = 1;
        Buffer(id)
    }

    /// Address of `range` of a buffer, for a send. The caller keeps a share for as long as the
    /// kernel may read.
    #[inline]
    pub(super) fn address(&self, id: u16, range: &Range<usize>) -> *const u8 {
        let class = &self.classes[self.class_of(id)];
        assert!(range.start <= range.end && range.end <= class.class.stride);
        class.memory.at(class.offset(id) + range.start)
    }

    /// One more share, for a send; [`Pool::release`] gives it back.
    #[inline]
    pub(super) fn hold(&mut self, buffer: &Buffer) -> u16 {
        let shares = &mut self.shares[usize::from(buffer.0)];
        // A peer may make us cut a piece around every forged Pong in it: thousands of parts.
        *shares = shares.checked_add(1).expect("a part has at least ten bytes, a buffer 256 KiB");
        buffer.0
    }

    /// The share of a send that is over.
    #[inline]
    pub(super) fn release(&mut self, id: u16) {
        self.recycle(Buffer(id));
    }

    /// Ring address and entries of one kind, for the registration.
    pub(super) fn ring(&self, size: Size) -> (u64, u16) {
        let class = &self.classes[size as usize];
        (class.ring.at(0) as u64, class.class.window)
    }

    #[inline]
    fn class_of(&self, id: u16) -> usize {
        let [_, large, record] = &self.classes;
        usize::from(id >= large.first_id) + usize::from(id >= record.first_id)
    }
}

impl ClassState {
    fn new(class: Class, first_id: u16) -> io::Result<ClassState> {
        assert!(
            (class.window.is_power_of_two() || class.lent == 0) && class.stride.is_multiple_of(64)
        );
        assert!(class.stride >= class.lent + BUFFER_HEADROOM + BUFFER_TAILROOM);
        assert!(class.window_min <= class.window && (class.window_min > 0 || class.lent == 0));
        let memory = Mapping::new(class.stride * usize::from(class.count))?;
        let ring = Mapping::new(size_of::<BufRingEntry>() * usize::from(class.window.max(1)))?;
        // Reversed, so that the first buffers are used first and the rest stays untouched.
        let free = (first_id..first_id + class.count).rev().collect();
        let all = usize::from(class.count);
        let (low, returned) = (all, all);
        let depth = class.window_min;
        Ok(ClassState {
            memory,
            ring,
            class,
            first_id,
            free,
            low,
            returned,
            provided: 0,
            depth,
            claimed: 0,
            claimed_max: 0,
            tail: 0,
        })
    }

    #[inline]
    fn pop(&mut self) -> Option<u16> {
        let id = self.free.pop()?;
        self.low = self.low.min(self.free.len());
        Some(id)
    }

    fn give_back(&mut self) {
        self.returned = self.returned.min(self.low);
        for i in self.returned..self.low {
            self.memory.forget(self.offset(self.free[i]), self.class.stride);
        }
        self.returned = self.low;
        self.low = self.free.len();
        if self.claimed_max < self.depth / 4 {
            self.depth = (self.depth / 2).max(self.class.window_min);
        }
        self.claimed_max = 0;
    }

    #[inline]
    fn note_claim(&mut self) {
        self.provided -= 1;
        self.claimed += 1;
        if self.provided == 0 {
            self.depth = self.depth.saturating_mul(2).min(self.class.window);
        }
    }

    fn offset(&self, id: u16) -> usize {
        let index = id.checked_sub(self.first_id).filter(|i| *i < self.class.count);
        usize::from(index.expect("an id belongs to its class")) * self.class.stride
    }

    #[inline]
    fn refill(&mut self) {
        self.claimed_max = self.claimed_max.max(self.claimed);
        self.claimed = 0;
        if self.provided >= self.depth || self.free.is_empty() {
            return;
        }
        while self.provided < self.depth {
            let Some(id) = self.pop() else { break };
            self.write_entry(id);
            self.tail = self.tail.wrapping_add(1);
            self.provided += 1;
        }
        self.publish();
    }

    fn write_entry(&self, id: u16) {
        let address = self.memory.at(self.offset(id) + BUFFER_HEADROOM) as u64;
        let length = self.class.lent;
        let index = usize::from(self.tail & (self.class.window - 1));
        let entry = self.ring.at(index * size_of::<BufRingEntry>()).cast::<BufRingEntry>();
        // SAFETY: the entry is inside the ring's mapping (index < window) and page alignment suits
        // it. The kernel reads entries only below the published tail, and this one is at or above
        // it until publish(); fewer than `window` are outstanding.
        unsafe {
            (*entry).set_addr(address);
            (*entry).set_len(length as u32);
            (*entry).set_bid(id);
        }
    }

    /// Makes the entries written so far visible to the kernel.
    fn publish(&self) {
        let base = self.ring.at(0).cast::<BufRingEntry>();
        // SAFETY: `base` is the ring's page-aligned start; the tail lies in the reserved field of
        // its first entry, is two-byte aligned there, and is written by this thread only.
        let tail = unsafe { &*BufRingEntry::tail(base).cast::<AtomicU16>() };
        tail.store(self.tail, Ordering::Release);
    }
}

/// The smallest page; where pages are larger, less is given back.
const PAGE: usize = 4096;

/// Anonymous memory that is never moved; untouched pages cost nothing.
#[derive(Debug)]
struct Mapping {
    start: NonNull<u8>,
    len: usize,
}

impl Mapping {
    fn new(len: usize) -> io::Result<Mapping> {
        // SAFETY: a fresh private anonymous mapping; no existing memory is touched.
        let start = unsafe {
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
            libc::mmap(std::ptr::null_mut(), len, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0)
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Mapping { start, len })
    }

    fn at(&self, offset: usize) -> *mut u8 {
        assert!(offset <= self.len);
        // SAFETY: the offset was just checked to stay inside the mapping.
        unsafe { self.start.as_ptr().add(offset) }
    }
}

impl Mapping {
    /// Lets the kernel have the whole pages of a range; they are zero when they are next touched.
    fn forget(&self, offset: usize, len: usize) {
        let start = offset.next_multiple_of(PAGE);
        let end = (offset + len) / PAGE * PAGE;
        if start >= end || end > self.len {
            return;
        }
        // SAFETY: the pages are inside the mapping and belong to a free buffer alone: there is no
        // `Buffer` for it, no share under way to a socket, and it is in no provided ring. Failure
        // changes nothing.
        unsafe {
            libc::madvise(self.at(start).cast(), end - start, libc::MADV_DONTNEED);
        }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours and whole. The ring that the kernel knows it by is dropped
        // first (`net::ring::Ring` declares it before the pool).
        unsafe {
            libc::munmap(self.start.as_ptr().cast(), self.len);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool() -> Pool {
        let small = Class { stride: 256, lent: 192, count: 8, window: 4, window_min: 4 };
        let large = Class { stride: 1024, lent: 960, count: 2, window: 2, window_min: 2 };
        let record = Class { stride: 512, lent: 0, count: 2, window: 0, window_min: 0 };
        Pool::new([small, large, record]).unwrap()
    }

    #[test]
    fn a_buffer_is_free_after_its_last_share() {
        let mut pool = pool();
        let first = pool.take(Size::Small).unwrap();
        assert_eq!(first.id(), 0);
        let second = pool.share(&first);
        pool.recycle(first);
        assert_eq!(pool.usage(), (1, 8));
        pool.recycle(second);
        assert_eq!(pool.usage(), (0, 8));
    }

    #[test]
    fn the_kernel_gets_a_window_and_the_rest_stays() {
        let mut pool = pool();
        pool.refill();
        assert_eq!((pool.available(Size::Small), pool.available(Size::Large)), (8, 2));
        let mine: Vec<_> = std::iter::from_fn(|| pool.take(Size::Small)).collect();
        assert_eq!(mine.len(), 4, "the other four are lent");
        let received = pool.claim(0);
        pool.bytes_mut(&received)[BUFFER_HEADROOM] = 7;
        assert_eq!(pool.bytes(&received)[BUFFER_HEADROOM], 7);
        pool.recycle(received);
        pool.refill();
        for buffer in mine {
            pool.recycle(buffer);
        }
        assert_eq!(pool.usage(), (0, 8));
    }

    #[test]
    fn what_a_burst_touched_goes_back_when_it_lies_idle() {
        let class =
            |count| Class { stride: 4096, lent: 4096 - 64, count, window: 1, window_min: 1 };
        let mut pool = Pool::new([class(8), class(1), class(1)]).unwrap();
        let burst: Vec<_> = std::iter::from_fn(|| pool.take(Size::Small)).collect();
        for buffer in &burst {
            pool.bytes_mut(buffer).fill(7);
        }
        burst.into_iter().for_each(|buffer| pool.recycle(buffer));
        pool.give_back();
        let written = |pool: &mut Pool| {
            let all: Vec<_> = std::iter::from_fn(|| pool.take(Size::Small)).collect();
            let written = all.iter().filter(|buffer| pool.bytes(buffer)[0] == 7).count();
            all.into_iter().for_each(|buffer| pool.recycle(buffer));
            written
        };
        assert_eq!(written(&mut pool), 8, "they were in use until just now");
        pool.give_back();
        let hot = pool.take(Size::Small).unwrap();
        pool.recycle(hot);
        pool.give_back();
        assert_eq!(written(&mut pool), 1, "but for the one that is in use");
    }

    #[test]
    fn as_many_are_lent_as_were_taken_at_a_time() {
        let class = Class { stride: 256, lent: 192, count: 64, window: 32, window_min: 8 };
        let mut pool =
            Pool::new([class, class, Class { lent: 0, window: 0, window_min: 0, ..class }])
                .unwrap();
        pool.refill();
        let lent = |pool: &Pool| -> Vec<u16> {
            (0..64).filter(|id| !pool.classes[0].free.contains(id)).collect()
        };
        assert_eq!(lent(&pool).len(), 8);
        let burst = |pool: &mut Pool, size: usize| {
            let ids = lent(pool).into_iter().take(size);
            let taken: Vec<_> = ids.map(|id| pool.claim(id)).collect();
            taken.into_iter().for_each(|buffer| pool.recycle(buffer));
            pool.refill();
        };
        for (size, then) in [(7, 8), (8, 16), (16, 32), (32, 32), (3, 32)] {
            burst(&mut pool, size);
            assert_eq!(lent(&pool).len(), then, "after a burst of {size}");
        }
        pool.give_back();
        burst(&mut pool, 20);
        assert_eq!(lent(&pool).len(), 32, "the second had a burst of 32");
        for _ in 0..4 {
            pool.give_back();
        }
        burst(&mut pool, 28);
        assert_eq!(lent(&pool).len(), 8, "seconds without traffic");
    }

    #[test]
    fn every_size_has_its_own_memory() {
        let mut pool = pool();
        let [small, large, record] = Size::ALL.map(|size| pool.take(size).unwrap());
        assert_eq!([&small, &large, &record].map(|b| pool.bytes(b).len()), [256, 1024, 512]);
        assert_eq!(Size::ALL.map(|size| pool.capacity(size)), [192, 960, 0]);
        assert_eq!(pool.room(Size::Record), 448);
        assert_eq!(Size::ALL.map(|size| pool.available(size)), [7, 1, 1]);
        [small, large, record].into_iter().for_each(|buffer| pool.recycle(buffer));
        assert_eq!(Size::ALL.map(|size| pool.available(size)), [8, 2, 2]);
    }

    #[test]
    #[should_panic(expected = "a shared buffer is not written to")]
    fn a_shared_buffer_is_not_written_to() {
        let mut pool = pool();
        let buffer = pool.take(Size::Small).unwrap();
        let _other = pool.share(&buffer);
        pool.bytes_mut(&buffer);
    }
}
