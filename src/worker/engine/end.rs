//! How a tunnel leaves the engine: accounted for, its operations cancelled, its sockets closed, its
//! key freed, in that order.
//!
//! A key is used again only after the kernel has completed every operation that names it. Not here:
//! close handshakes (`tunnel`).

use super::{State, interval_ticks, slot};
use std::time::Duration;

use crate::limits::{BUFFER_PRESSURE_SHARE, CLOSE_WAIT, OVERLOAD_STALL};
use crate::net::ring::{Op, Token};
use crate::proto::ws::close;
use crate::stats::event::{Closed, Event};
use crate::stats::{Cause, ConnId, Side};
use crate::tunnel::{CloseOrder, Leg, TICK_MS};
use crate::worker::log::wall_us;
use crate::worker::table::{Life, Receiving};

/// How often a tunnel that is only flushing is looked at.
const FLUSH_LOOK_TICKS: u32 = 5;

impl State {
    /// After anything happened to a tunnel: keeps its deadline while it ends, and ends it when it
    /// is done.
    #[inline]
    pub(super) fn follow_ending(&mut self, key: u32) {
        let Some(entry) = self.table.entry(key) else { return };
        let Some(deadline) = entry.tunnel.end_deadline() else { return };
        if entry.life != Life::Open {
            return;
        }
        match entry.is_finished() {
            true => self.end(key),
            false => self.wheel.arm(key, deadline),
        }
    }

    /// The time of a finished tunnel is over. What is queued may still leave towards a reader that
    /// reads: a peer's own end has the time of any stalled write, an order of ours a short one.
    pub(super) fn end_or_flush(&mut self, key: u32) {
        let now = self.now.tick;
        let Some(entry) = self.table.entry(key) else { return };
        let patience = match entry.tunnel.outcome().cause {
            Cause::PeerClose | Cause::PeerEof => entry.domain.websocket.stalled_write,
            Cause::StalledWrite | Cause::Overload => Duration::ZERO,
            _ => CLOSE_WAIT,
        };
        let patience = interval_ticks(patience);
        let flushing =
            entry.io.iter().any(|io| io.sending && now.wrapping_sub(io.progress_at) < patience);
        match flushing {
            true => self.wheel.arm(key, now.wrapping_add(FLUSH_LOOK_TICKS)),
            false => self.end(key),
        }
    }

    /// Accounts for the end of a tunnel and lets go of its sockets.
    pub(super) fn end(&mut self, key: u32) {
        let Some(entry) = self.table.entry(key) else { return };
        if entry.life != Life::Open {
            return;
        }
        entry.life = Life::Ending;
        self.wheel.disarm(key);
        self.account_end(key);
        for leg in Leg::BOTH {
            self.cancel_all(key, leg);
            while let Some(buffer) = self.table.pop(key, leg as usize) {
                self.ring.pool().recycle(buffer);
            }
            self.drop_partial(key, leg);
        }
        self.settle_end(key);
    }

    fn account_end(&mut self, key: u32) {
        let (now, core) = (self.now.tick, self.core);
        let Some(entry) = self.table.entry(key) else { return };
        let outcome = entry.tunnel.outcome();
        self.stats.cores()[core].series(entry.series).close(outcome.cause);
        let figures = entry.tunnel.figures();
        entry.endpoint.state.tunnel_ended();
        if let Some(admitted) = entry.admitted.take() {
            self.stats.admission(entry.domain.slot).leave(admitted);
        }
        if entry.domain.log.enabled {
            self.log.push(Event::Close(Box::new(Closed {
                at_us: wall_us(),
                id: ConnId::new(core as u32, entry.generation, key),
                domain: entry.domain.name.clone(),
                client: entry.client,
                origin: entry.endpoint.addr,
                age_ms: u64::from(now.wrapping_sub(entry.tunnel.opened())) * TICK_MS,
                figures,
                outcome,
            })));
        }
    }

    fn cancel_all(&mut self, key: u32, leg: Leg) {
        let Some(entry) = self.table.entry(key) else { return };
        let generation = entry.generation;
        let io = &entry.io[leg as usize];
        let sending = io.sending;
        if matches!(io.receive, Receiving::Multi | Receiving::Once) {
            self.cancel_receive(key, leg);
        }
        if sending && let Some(segment) = self.table.front(key, leg as usize) {
            let send = Token { op: Op::Send, leg: leg as u8, key, generation };
            self.ring.cancel_send(send, &segment.buffer, Token { op: Op::Cancel, ..send });
            if let Some(entry) = self.table.entry(key) {
                entry.in_flight += 1;
            }
        }
    }

    /// A cancel or a FIN is done.
    pub(super) fn on_settled(&mut self, key: u32) {
        let Some(entry) = self.table.entry(key) else { return };
        entry.in_flight -= 1;
        self.settle_end(key);
    }

    /// Closes both sockets once nothing else is in flight.
    pub(super) fn settle_end(&mut self, key: u32) {
        let Some(entry) = self.table.entry(key) else { return };
        if entry.life != Life::Ending || entry.in_flight > 0 {
            return;
        }
        entry.life = Life::Closing;
        entry.in_flight = 2;
        let generation = entry.generation;
        for leg in Leg::BOTH {
            let token = Token { op: Op::Close, leg: leg as u8, key, generation };
            self.ring.close(slot(key, leg), token);
        }
    }

    pub(super) fn on_closed(&mut self, key: u32) {
        let Some(entry) = self.table.entry(key) else { return };
        entry.in_flight -= 1;
        if entry.in_flight == 0 {
            self.table.remove(key);
        }
    }

    /// When the pool runs low, the tunnels whose readers stood still for longest give their buffers
    /// back.
    pub(super) fn relieve_pressure(&mut self) {
        let (used, total) = self.ring.pool().usage();
        let needed = (used + total / BUFFER_PRESSURE_SHARE).saturating_sub(total);
        if needed == 0 {
            return;
        }
        let now = self.now.tick;
        let patience = interval_ticks(OVERLOAD_STALL);
        let mut stalled: Vec<(u32, usize, u32)> = self
            .table
            .iter()
            .filter(|(_, entry)| entry.life == Life::Open)
            .flat_map(|(key, entry)| entry.io.iter().map(move |io| (key, io)))
            .filter(|(_, io)| io.sending && now.wrapping_sub(io.progress_at) >= patience)
            .map(|(key, io)| (now.wrapping_sub(io.progress_at), usize::from(io.queued), key))
            .collect();
        stalled.sort_unstable_by(|a, b| b.cmp(a));
        let mut freed = 0;
        for (_, queued, key) in stalled {
            if freed > needed {
                break;
            }
            freed += queued;
            self.shed(key);
        }
    }

    pub(super) fn shed(&mut self, key: u32) {
        let now = self.now;
        let Some(entry) = self.table.entry(key) else { return };
        let reason = "the edge is short of buffers";
        let order = CloseOrder::both(Side::Edge, Cause::Overload, close::TRY_LATER, reason);
        entry.tunnel.close(order, now, &mut self.actions);
        // The Close of the side that does read may leave; the one that does not is not waited for.
        self.apply(key, None);
        self.end(key);
    }
}
