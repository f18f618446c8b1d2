//! The tunnels of one core as plain data: a slab entry each, and the pieces queued towards their
//! legs.
//!
//! An idle tunnel is exactly one [`Entry`] and one timer: no buffer, no task, no future. Not here:
//! what happens to them.

use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;

use slab::Slab;

use crate::net::buffers::Buffer;
use crate::net::records::Session;
use crate::snapshot::{Domain, Endpoint};
use crate::stats::Admitted;
use crate::tunnel::{Leg, LegIo, Phase, Tunnel};

/// All tunnels of one core.
pub struct Table {
    entries: Slab<Entry>,
    segments: Slab<Segment>,
    capacity: u32,
    next_generation: u32,
}

/// One tunnel.
pub struct Entry {
    pub tunnel: Tunnel,
    pub io: [Io; 2],
    /// TLS of each leg; in a box, so that a plain leg costs 8 bytes.
    pub secured: [Option<Box<SecuredLeg>>; 2],
    /// Tells uses of a key apart; see `net::ring::Token` and `stats::ConnId`.
    pub generation: u32,
    pub life: Life,
    /// Operations that the kernel has not completed.
    pub in_flight: u8,
    /// Tick of the next interval line of the access log.
    pub log_at: u32,
    /// Where this core counts it (`stats::CoreStats::series`).
    pub series: u32,
    pub domain: Arc<Domain>,
    /// Taken when the place is given back.
    pub admitted: Option<Admitted>,
    pub endpoint: Endpoint,
    pub client: SocketAddr,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    Open,
    /// Accounted for and logged; waits for the kernel's last completions.
    Ending,
    /// The two closes are under way.
    Closing,
}

/// What goes on at one leg's socket.
#[derive(Debug)]
pub struct Io {
    /// First and last segment queued towards this leg; `NONE` when nothing is.
    head: u32,
    tail: u32,
    /// Tick at which the send under way began or last made progress.
    pub progress_at: u32,
    /// Segments queued, the one being sent included.
    pub queued: u16,
    pub receive: Receiving,
    pub sending: bool,
    pub fin: Fin,
    pub bulk: Bulk,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Receiving {
    /// Nothing is armed, because the other leg is slow or the pool is empty.
    Idle,
    Multi,
    Once,
    /// The kernel was asked to end it and still may deliver.
    Cancelling,
    /// FIN, reset, or no longer wanted.
    Over,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fin {
    No,
    /// To be sent when the queue is empty.
    Wanted,
    Sent,
}

/// Whether a leg delivers so much at a time that large buffers pay: counts full small buffers up,
/// small pieces down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bulk(u8);

impl Bulk {
    const ON: u8 = 4;
    const MAX: u8 = 8;

    pub fn note(&mut self, bytes: usize, small: usize) {
        self.0 = match bytes >= small {
            true => (self.0 + 2).min(Self::MAX),
            false => self.0.saturating_sub(1),
        };
    }

    pub fn is_on(self) -> bool {
        self.0 >= Self::ON
    }
}

/// TLS of one leg.
#[derive(Debug)]
pub struct SecuredLeg {
    pub session: Session,
    /// What came of a record that is not whole yet.
    pub partial: Option<Partial>,
    pub inbound: Inbound,
    /// Whether the engine's list of warm sessions has it.
    pub listed: bool,
    /// Tick of the last record, opened or sealed.
    pub used_at: u32,
}

/// Bytes `start..end` of a buffer that holds nothing else.
#[derive(Debug)]
pub struct Partial {
    pub buffer: Buffer,
    pub start: u32,
    pub end: u32,
}

/// Whether records of a leg are still looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inbound {
    Open,
    /// close_notify came (RFC 8446 6.1): what follows it is not read.
    Closed,
    /// It broke TLS.
    Broken,
}

/// A piece queued towards a leg: part of a pooled buffer.
#[derive(Debug)]
pub struct Segment {
    pub buffer: Buffer,
    pub start: u32,
    pub end: u32,
    /// Bytes of it that are TLS' own and not counted as sent yet.
    framing: u32,
    next: u32,
}

/// A piece to be queued.
#[derive(Debug)]
pub struct Piece {
    pub buffer: Buffer,
    pub range: Range<usize>,
    /// Bytes of it that are TLS' own: headers, tags, whole alerts.
    pub framing: usize,
}

const NONE: u32 = u32::MAX;

// === impl Table ===

impl Table {
    /// For `capacity` tunnels. The memory is reserved at once and touched as it is used, so entries
    /// never move.
    pub fn new(capacity: u32) -> Table {
        Table {
            entries: Slab::with_capacity(capacity as usize),
            segments: Slab::with_capacity(64),
            capacity,
            next_generation: 0,
        }
    }

    pub fn has_room(&self) -> bool {
        self.entries.len() < self.capacity as usize
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The key that the next [`Table::insert`] will use.
    pub fn vacant_key(&self) -> u32 {
        self.entries.vacant_key() as u32
    }

    pub fn insert(&mut self, make: impl FnOnce(u32) -> Entry) -> u32 {
        let generation = self.next_generation;
        self.next_generation = self.next_generation.wrapping_add(1);
        self.entries.insert(make(generation)) as u32
    }

    #[inline]
    pub fn entry(&mut self, key: u32) -> Option<&mut Entry> {
        self.entries.get_mut(key as usize)
    }

    pub fn look(&self, key: u32) -> Option<&Entry> {
        self.entries.get(key as usize)
    }

    pub fn remove(&mut self, key: u32) {
        self.entries.remove(key as usize);
    }

    pub fn iter(&self) -> impl Iterator<Item = (u32, &Entry)> {
        self.entries.iter().map(|(key, entry)| (key as u32, entry))
    }

    /// Appends a piece to the queue towards `leg` of `key`.
    #[inline]
    pub fn enqueue(&mut self, key: u32, leg: usize, piece: Piece) {
        let segment = Segment {
            buffer: piece.buffer,
            start: piece.range.start as u32,
            end: piece.range.end as u32,
            framing: piece.framing as u32,
            next: NONE,
        };
        let id = self.segments.insert(segment) as u32;
        let io = &mut self.entries[key as usize].io[leg];
        match io.tail {
            NONE => io.head = id,
            tail => self.segments[tail as usize].next = id,
        }
        io.tail = id;
        io.queued += 1;
    }

    /// The piece that is or will be sent next.
    #[inline]
    pub fn front(&mut self, key: u32, leg: usize) -> Option<&mut Segment> {
        match self.entries[key as usize].io[leg].head {
            NONE => None,
            head => Some(&mut self.segments[head as usize]),
        }
    }

    #[inline]
    pub fn pop(&mut self, key: u32, leg: usize) -> Option<Buffer> {
        let io = &mut self.entries[key as usize].io[leg];
        if io.head == NONE {
            return None;
        }
        let segment = self.segments.remove(io.head as usize);
        io.head = segment.next;
        io.queued -= 1;
        if io.head == NONE {
            io.tail = NONE;
        }
        Some(segment.buffer)
    }
}

// === impl Segment ===

impl Segment {
    /// `n` bytes of it left; answers how many of them count. TLS' own bytes are taken to leave
    /// first, so that the sum is right when the last has left.
    #[inline]
    pub fn sent(&mut self, n: usize) -> usize {
        self.start += n as u32;
        let framing = (n as u32).min(self.framing);
        self.framing -= framing;
        n - framing as usize
    }

    #[inline]
    pub fn is_done(&self) -> bool {
        self.start >= self.end
    }
}

// === impl SecuredLeg ===

impl SecuredLeg {
    pub fn new(session: Session, now: u32) -> SecuredLeg {
        SecuredLeg { session, partial: None, inbound: Inbound::Open, listed: false, used_at: now }
    }
}

// === impl Entry ===

impl Entry {
    /// What the tunnel has to know when its timer fires.
    pub fn leg_io(&self) -> [LegIo; 2] {
        [0, 1].map(|leg| LegIo {
            paused: matches!(self.io[leg].receive, Receiving::Idle | Receiving::Cancelling),
            stalled_since: self.io[leg].sending.then_some(self.io[leg].progress_at),
        })
    }

    /// Whether neither leg is encrypted.
    #[inline]
    pub fn is_plain(&self) -> bool {
        self.secured.iter().all(Option::is_none)
    }

    /// Whether everything queued has left and its sockets may be closed: both directions are over,
    /// or what is still open can bring nothing but a FIN. An encrypted leg may bring an alert.
    pub fn is_finished(&self) -> bool {
        let over = self.tunnel.phase() == Phase::Done || self.is_plain() && self.tunnel.is_parted();
        over && self.io.iter().all(|io| io.queued == 0)
    }

    /// Whether nothing is left to do once the one piece that waits for `leg` was sent.
    pub fn ends_with(&self, leg: Leg) -> bool {
        let waiting = self.io.each_ref().map(|io| io.queued);
        self.is_plain()
            && self.tunnel.is_parted()
            && waiting[leg as usize] == 1
            && waiting[leg.peer() as usize] == 0
    }

    pub fn is_paused(&self) -> bool {
        self.io.iter().any(|io| io.receive == Receiving::Idle)
    }
}

impl Io {
    pub fn new(now: u32) -> Io {
        Io {
            head: NONE,
            tail: NONE,
            progress_at: now,
            queued: 0,
            receive: Receiving::Idle,
            sending: false,
            fin: Fin::No,
            bulk: Bulk::default(),
        }
    }
}

/// design.md 1.3: at most 512 bytes of user memory for an idle ws connection, both legs, the timer
/// (12) included.
pub const IDLE_BYTES: usize = size_of::<Entry>() + 8 + 12;
const _: () = assert!(IDLE_BYTES <= 480);
/// A class of the allocator: the goal is at most 1,536 bytes for an idle wss connection.
const _: () = assert!(size_of::<SecuredLeg>() <= 768);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_tunnel_is_at_most_480_bytes() {
        const { assert!(IDLE_BYTES <= 480) };
        const { assert!(size_of::<Tunnel>() <= 256) };
    }

    #[test]
    fn bulk_needs_two_full_buffers_and_is_lost_slowly() {
        let mut bulk = Bulk::default();
        bulk.note(4032, 4032);
        assert!(!bulk.is_on());
        bulk.note(4032, 4032);
        assert!(bulk.is_on());
        for _ in 0..2 {
            bulk.note(10, 4032);
        }
        assert!(!bulk.is_on());
    }
}
