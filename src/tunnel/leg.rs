//! One leg of a tunnel: what was received from one peer and written to it. Not here: decisions.

use super::Now;
use crate::limits::HELD_BYTES_MAX;
use crate::proto::ws::Scanner;
use crate::snapshot::command::{CloseState, StreamState};
use crate::stats::Side;

/// One of the two peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leg {
    Client = 0,
    Origin = 1,
}

impl Leg {
    pub const BOTH: [Leg; 2] = [Leg::Client, Leg::Origin];

    pub fn peer(self) -> Leg {
        match self {
            Leg::Client => Leg::Origin,
            Leg::Origin => Leg::Client,
        }
    }

    pub fn side(self) -> Side {
        match self {
            Leg::Client => Side::Client,
            Leg::Origin => Side::Origin,
        }
    }
}

/// A fact about a leg that, once true, mostly stays so.
#[derive(Clone, Copy, Debug)]
#[repr(u16)]
pub(super) enum Mark {
    /// FIN received: nothing more will come.
    Eof = 1,
    /// Reset or given up: nothing can be written either.
    Dead = 1 << 1,
    /// A Close frame began to arrive.
    CloseReceived = 1 << 2,
    /// A Close frame was written to it as a whole, a peer's or ours.
    CloseWritten = 1 << 3,
    /// FIN was asked for towards it.
    FinSent = 1 << 4,
    /// What it still sends is not looked at: behind its Close, or behind a broken rule.
    Ignored = 1 << 5,
    /// A Ping of ours waits for a frame boundary.
    PingWanted = 1 << 6,
    /// A Ping of ours has no Pong yet, so one will tell the round-trip time.
    PingOut = 1 << 7,
    /// A Ping of ours was ever sent, so a Pong may be ours.
    Pinged = 1 << 8,
    /// A round-trip time was measured and not yet taken.
    RttFresh = 1 << 9,
    /// Not a byte came since our last Ping.
    Unheard = 1 << 10,
}

#[derive(Debug)]
pub(super) struct LegState {
    pub(super) scanner: Scanner,
    /// Received from it.
    pub(super) bytes: u64,
    pub(super) messages: u64,
    /// When our last Ping left, microseconds.
    pub(super) ping_us: u64,
    pub(super) rtt_us: u32,
    /// Tick of the last received byte.
    pub(super) last_rx: u32,
    /// Code of its Close; 0 when it had none.
    pub(super) close_code: u16,
    marks: u16,
    held_len: u8,
    held: [u8; HELD_BYTES_MAX],
}

impl LegState {
    pub(super) fn new(now: Now) -> LegState {
        LegState {
            scanner: Scanner::default(),
            bytes: 0,
            messages: 0,
            ping_us: 0,
            rtt_us: 0,
            last_rx: now.tick,
            close_code: 0,
            marks: 0,
            held_len: 0,
            held: [0; HELD_BYTES_MAX],
        }
    }

    #[inline]
    pub(super) fn has(&self, mark: Mark) -> bool {
        self.marks & mark as u16 != 0
    }

    pub(super) fn set(&mut self, mark: Mark) {
        self.marks |= mark as u16;
    }

    /// Clears the mark and says whether it was set.
    pub(super) fn take(&mut self, mark: Mark) -> bool {
        let was = self.has(mark);
        self.marks &= !(mark as u16);
        was
    }

    /// Whether frames may still be written to it.
    #[inline]
    pub(super) fn is_writable(&self) -> bool {
        const OVER: u16 = Mark::CloseWritten as u16 | Mark::FinSent as u16 | Mark::Dead as u16;
        self.marks & OVER == 0
    }

    /// Whether anything may still come from it.
    pub(super) fn is_over(&self) -> bool {
        self.has(Mark::Eof) || self.has(Mark::Dead)
    }

    pub(super) fn close_state(&self) -> CloseState {
        match (self.has(Mark::CloseReceived), self.has(Mark::CloseWritten)) {
            (false, false) => CloseState::None,
            (false, true) => CloseState::Sent,
            (true, false) => CloseState::Received(self.close_code),
            (true, true) => CloseState::Both(self.close_code),
        }
    }

    pub(super) fn stream_state(&self) -> StreamState {
        match (self.has(Mark::Eof), self.has(Mark::FinSent)) {
            _ if self.has(Mark::Dead) => StreamState::Failed,
            (false, false) => StreamState::Open,
            (false, true) => StreamState::FinSent,
            (true, false) => StreamState::FinReceived,
            (true, true) => StreamState::FinBoth,
        }
    }

    /// Books a piece of `len` bytes that starts with the held ones.
    #[inline]
    pub(super) fn received(&mut self, len: usize, now: Now) {
        self.bytes += (len - usize::from(self.held_len)) as u64;
        self.held_len = 0;
        self.last_rx = now.tick;
        // A Ping that still waits for a boundary would start the clock of a side that has spoken.
        self.marks &= !(Mark::Unheard as u16 | Mark::PingWanted as u16);
    }

    pub(super) fn held(&self) -> &[u8] {
        &self.held[..usize::from(self.held_len)]
    }

    pub(super) fn hold(&mut self, bytes: &[u8]) {
        self.held[..bytes.len()].copy_from_slice(bytes);
        self.held_len = bytes.len() as u8;
    }
}
