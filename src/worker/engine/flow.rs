//! The way of bytes: receive, judge, queue, send; and back-pressure, by not receiving. Not here:
//! what bytes mean.

use super::{State, interval_ticks, slot};
use crate::limits::{BUFFER_HEADROOM, QUEUED_BUFFERS_MAX};
use crate::net::buffers::{Buffer, Size};
use crate::net::records::Alert;
use crate::net::ring::{Completion, Departure, Failure, Op, Receive, Token};
use crate::proto::ws::Opcode;
use crate::proto::ws::frame::{write_close, write_control};
use crate::stats::event::{Event, Progress};
use crate::stats::{Cause, ConnId};
use crate::tunnel::{Action, Control, Leg, Phase, TICK_MS};
use crate::worker::log::wall_us;
use crate::worker::table::{Fin, Life, Piece, Receiving};

use rand::RngExt;

impl State {
    #[inline]
    pub(super) fn on_received(&mut self, key: u32, leg: Leg, completion: Completion) {
        let Some(entry) = self.table.entry(key) else { return };
        let io = &mut entry.io[leg as usize];
        if !completion.more {
            entry.in_flight -= 1;
            io.receive = Receiving::Idle;
        }
        if entry.life != Life::Open {
            if let Some(buffer) = completion.buffer {
                self.ring.pool().recycle(buffer);
            }
            self.settle_end(key);
            return;
        }
        match (completion.result, completion.buffer) {
            (Ok(n), Some(buffer)) if n > 0 => {
                io.bulk.note(n, self.ring.pool().capacity(Size::Small));
                match entry.is_plain() {
                    true => self.deliver(key, leg, buffer, n),
                    false => self.deliver_secured(key, leg, buffer, n),
                }
                self.adjust_receive(key, leg);
            }
            (result, buffer) => {
                if let Some(buffer) = buffer {
                    self.ring.pool().recycle(buffer);
                }
                self.on_receive_ended(key, leg, result);
            }
        }
    }

    fn on_receive_ended(&mut self, key: u32, leg: Leg, result: Result<usize, Failure>) {
        match result {
            Ok(_) => {
                let now = self.now;
                if let Some(entry) = self.table.entry(key) {
                    entry.io[leg as usize].receive = Receiving::Over;
                    entry.tunnel.eof(leg, now, &mut self.actions);
                    self.apply(key, None);
                }
            }
            Err(Failure::Cancelled) => self.arm_receive(key, leg),
            // More came at a time than were lent; by now they are lent.
            Err(Failure::NoBuffers) if self.ring.pool().available(Size::Small) > 0 => {
                self.arm_receive(key, leg);
            }
            Err(Failure::NoBuffers) => {
                self.stats.cores()[self.core].core.buffer_shortages.add(1);
                if let Some(entry) = self.table.entry(key) {
                    self.starved.push_back((key, entry.generation, leg));
                }
            }
            Err(Failure::Socket(_)) => self.fail(key, leg),
        }
    }

    /// Hands `n` bytes received into `buffer` to the tunnel and does what it says.
    #[inline]
    pub(super) fn deliver(&mut self, key: u32, leg: Leg, buffer: Buffer, n: usize) {
        let now = self.now;
        let pool = self.ring.pool();
        let Some(entry) = self.table.entry(key) else {
            pool.recycle(buffer);
            return;
        };
        let held = entry.tunnel.held(leg);
        let start = BUFFER_HEADROOM - held.len();
        if !held.is_empty() {
            pool.bytes_mut(&buffer)[start..BUFFER_HEADROOM].copy_from_slice(held);
        }
        let bytes = &pool.bytes(&buffer)[start..BUFFER_HEADROOM + n];
        let websocket = &entry.domain.websocket;
        let messages = entry.tunnel.received(leg, bytes, now, websocket, &mut self.actions);
        self.count_received(key, leg, n, messages);
        self.apply(key, Some((leg, &buffer, start)));
        self.ring.pool().recycle(buffer);
    }

    #[inline]
    pub(super) fn count_received(&mut self, key: u32, leg: Leg, n: usize, messages: u32) {
        let Some(entry) = self.table.entry(key) else { return };
        let core = &self.stats.cores()[self.core];
        let counters = core.series(entry.series);
        match leg {
            Leg::Client => {
                counters.bytes_in.add(n as u64);
                counters.messages_in.add(u64::from(messages));
            }
            Leg::Origin => counters.messages_out.add(u64::from(messages)),
        }
        if let Some(rtt) = entry.tunnel.take_rtt(leg) {
            let counters = core.domain(entry.domain.slot);
            let legs = [&counters.client_rtt_us, &counters.origin_rtt_us];
            legs[leg as usize].record_us(u64::from(rtt));
        }
    }

    /// Does what the tunnel wished; `piece` is what it was handed: from which leg, in which buffer,
    /// from where on.
    #[inline]
    pub(super) fn apply(&mut self, key: u32, piece: Option<(Leg, &Buffer, usize)>) {
        let mut actions = std::mem::take(&mut self.actions);
        for action in actions.drain(..) {
            match (action, piece) {
                (Action::Forward(range), Some((from, buffer, start))) => {
                    let buffer = self.ring.pool().share(buffer);
                    let range = start + range.start..start + range.end;
                    self.queue(key, from.peer(), Piece { buffer, range, framing: 0 });
                }
                (Action::Forward(_), None) => debug_assert!(false, "only a piece is forwarded"),
                (Action::Send { to, frame }, _) => self.queue_control(key, to, frame),
                (Action::ShutdownWrite(leg), _) => self.want_fin(key, leg),
            }
        }
        self.actions = actions;
        self.follow_ending(key);
    }

    pub(super) fn queue(&mut self, key: u32, to: Leg, piece: Piece) {
        self.table.enqueue(key, to as usize, piece);
        let Some(entry) = self.table.entry(key) else { return };
        if entry.is_plain() && entry.tunnel.is_closed_by_peers() {
            self.last_words.push((key, entry.generation, to));
            return;
        }
        self.send_next(key, to);
        let Some(entry) = self.table.entry(key) else { return };
        let full = usize::from(entry.io[to as usize].queued) >= QUEUED_BUFFERS_MAX;
        if full && entry.io[to.peer() as usize].receive == Receiving::Multi {
            self.cancel_receive(key, to.peer());
            self.watch_stall(key);
        }
    }

    /// Comes back when a write that stands still from now on would have to be given up: in its own
    /// time, not in the heartbeat's.
    fn watch_stall(&mut self, key: u32) {
        let Some(entry) = self.table.entry(key) else { return };
        let limit = interval_ticks(entry.domain.websocket.stalled_write);
        self.wheel.arm(key, self.now.tick.wrapping_add(limit));
    }

    fn queue_control(&mut self, key: u32, to: Leg, frame: Control) {
        // A lost Ping looks like a silent peer and a lost Close like a vanished edge: both end in
        // order.
        if let Some(piece) = self.control_piece(key, to, frame) {
            self.queue(key, to, piece);
        }
    }

    /// A frame of the edge's own, ready to be sent; `None` when no buffer is left.
    pub(super) fn control_piece(&mut self, key: u32, to: Leg, frame: Control) -> Option<Piece> {
        let mask = (to == Leg::Origin).then(|| self.rng.random());
        let buffer = self.take_buffer(Size::Small)?;
        let Some(entry) = self.table.entry(key) else {
            self.ring.pool().recycle(buffer);
            return None;
        };
        let room = &mut self.ring.pool().bytes_mut(&buffer)[BUFFER_HEADROOM..];
        let n = match frame {
            Control::Ping(payload) => write_control(room, Opcode::Ping, mask, &payload),
            Control::Close(code) => write_close(room, mask, code, entry.tunnel.close_reason()),
        };
        self.sealed(key, to, buffer, BUFFER_HEADROOM..BUFFER_HEADROOM + n)
    }

    /// A buffer for bytes of our own; a shortage is counted.
    pub(super) fn take_buffer(&mut self, size: Size) -> Option<Buffer> {
        let taken = self.ring.pool().take(size);
        if taken.is_none() {
            self.stats.cores()[self.core].core.buffer_shortages.add(1);
        }
        taken
    }

    /// Sends the second Close of each tunnel whose peers have both said theirs, once the whole
    /// batch is seen: mostly the FIN came right behind it, and then ours leaves in the same
    /// segment (`docs/decisions/014-what-a-connection-costs.md`).
    pub(super) fn say_last_words(&mut self) {
        while let Some((key, generation, leg)) = self.last_words.pop() {
            if self.table.entry(key).is_some_and(|entry| entry.generation == generation) {
                self.send_next(key, leg);
            }
        }
    }

    /// Sends the first queued piece unless one is under way: two at once could overtake each other.
    fn send_next(&mut self, key: u32, leg: Leg) {
        let Some(entry) = self.table.entry(key) else { return };
        if entry.io[leg as usize].sending || entry.life != Life::Open {
            return;
        }
        let generation = entry.generation;
        let departure = match entry.ends_with(leg) {
            true => Departure::WithFin,
            false => Departure::AtOnce,
        };
        let Some(segment) = self.table.front(key, leg as usize) else { return };
        let range = segment.start as usize..segment.end as usize;
        let token = Token { op: Op::Send, leg: leg as u8, key, generation };
        self.ring.send(slot(key, leg), &segment.buffer, range, departure, token);
        let tick = self.now.tick;
        if let Some(entry) = self.table.entry(key) {
            entry.in_flight += 1;
            entry.io[leg as usize].sending = true;
            entry.io[leg as usize].progress_at = tick;
            // In bulk one piece at a time is under way, so no queue shows that it is stuck.
            if entry.io[leg.peer() as usize].bulk.is_on() {
                self.watch_stall(key);
            }
        }
    }

    #[inline]
    pub(super) fn on_sent(&mut self, key: u32, leg: Leg, result: Result<usize, Failure>) {
        let Some(entry) = self.table.entry(key) else { return };
        entry.in_flight -= 1;
        entry.io[leg as usize].sending = false;
        if entry.life != Life::Open {
            self.settle_end(key);
            return;
        }
        match result {
            Ok(n) if n > 0 => self.advance_queue(key, leg, n),
            _ => self.fail(key, leg),
        }
    }

    fn advance_queue(&mut self, key: u32, leg: Leg, sent: usize) {
        let Some(segment) = self.table.front(key, leg as usize) else { return };
        let counted = segment.sent(sent);
        if segment.is_done()
            && let Some(buffer) = self.table.pop(key, leg as usize)
        {
            self.ring.pool().recycle(buffer);
        }
        let Some(entry) = self.table.entry(key) else { return };
        entry.tunnel.sent(leg, counted);
        if leg == Leg::Client {
            let counters = self.stats.cores()[self.core].series(entry.series);
            counters.bytes_out.add(counted as u64);
        }
        if entry.io[leg as usize].queued > 0 {
            self.send_next(key, leg);
            return;
        }
        if entry.io[leg as usize].fin == Fin::Wanted {
            self.send_fin(key, leg);
        }
        self.arm_receive(key, leg.peer());
        self.follow_ending(key);
    }

    pub(super) fn want_fin(&mut self, key: u32, leg: Leg) {
        let Some(entry) = self.table.entry(key) else { return };
        if entry.io[leg as usize].fin != Fin::No {
            return;
        }
        entry.io[leg as usize].fin = Fin::Wanted;
        if entry.secured[leg as usize].is_some() {
            // RFC 8446 6.1: the end of what we send, told from a cut by somebody in between.
            self.queue_alert(key, leg, Alert::CLOSE_NOTIFY);
        }
        let Some(entry) = self.table.entry(key) else { return };
        if entry.io[leg as usize].queued == 0 {
            self.send_fin(key, leg);
        }
    }

    pub(super) fn send_fin(&mut self, key: u32, leg: Leg) {
        let Some(entry) = self.table.entry(key) else { return };
        entry.io[leg as usize].fin = Fin::Sent;
        // Closing the socket, which follows at once, sends it too, and a shutdown of a registered
        // file takes a kernel worker thread: `docs/decisions/011-ends-without-a-shutdown.md`.
        if entry.is_finished() {
            return;
        }
        entry.in_flight += 1;
        let generation = entry.generation;
        let token = Token { op: Op::Shutdown, leg: leg as u8, key, generation };
        self.ring.shutdown_write(slot(key, leg), token);
    }

    /// Receives from `leg` again, unless it is over, its peer is slow or something is armed.
    pub(super) fn arm_receive(&mut self, key: u32, leg: Leg) {
        let Some(entry) = self.table.entry(key) else { return };
        let large_left = self.ring.pool().available(Size::Large) > 0;
        let queued = usize::from(entry.io[leg.peer() as usize].queued);
        let io = &mut entry.io[leg as usize];
        if entry.life != Life::Open || io.receive != Receiving::Idle {
            return;
        }
        // One large buffer at a time: the next is asked for when the last has left, so a slow
        // reader holds one.
        let how = match io.bulk.is_on() {
            true if queued > 0 => return,
            true if large_left => Receive::Once(Size::Large),
            true => Receive::Once(Size::Small),
            false if queued >= QUEUED_BUFFERS_MAX => return,
            false => Receive::Multi,
        };
        io.receive = match how {
            Receive::Multi => Receiving::Multi,
            Receive::Once(_) => Receiving::Once,
        };
        entry.in_flight += 1;
        let generation = entry.generation;
        let token = Token { op: Op::Receive, leg: leg as u8, key, generation };
        self.ring.receive(slot(key, leg), how, token);
    }

    /// After a piece: arm what is idle, and leave the stream of small buffers when large ones pay.
    fn adjust_receive(&mut self, key: u32, leg: Leg) {
        let Some(entry) = self.table.entry(key) else { return };
        let io = &entry.io[leg as usize];
        match io.receive {
            Receiving::Idle => self.arm_receive(key, leg),
            Receiving::Multi if io.bulk.is_on() => self.cancel_receive(key, leg),
            _ => {}
        }
    }

    pub(super) fn cancel_receive(&mut self, key: u32, leg: Leg) {
        let Some(entry) = self.table.entry(key) else { return };
        entry.io[leg as usize].receive = Receiving::Cancelling;
        entry.in_flight += 1;
        let (generation, leg) = (entry.generation, leg as u8);
        let receive = Token { op: Op::Receive, leg, key, generation };
        self.ring.cancel_receive(receive, Token { op: Op::Cancel, ..receive });
    }

    /// Receives that found no buffer go on, as far as there are buffers again.
    pub(super) fn feed_starved(&mut self) {
        let mut room = self.ring.pool().available(Size::Small) / 2;
        while room > 0 {
            let Some((key, generation, leg)) = self.starved.pop_front() else { return };
            if self.table.entry(key).is_some_and(|entry| entry.generation == generation) {
                self.arm_receive(key, leg);
                room -= 1;
            }
        }
    }

    /// `leg` was reset or cannot be written to.
    pub(super) fn fail(&mut self, key: u32, leg: Leg) {
        while let Some(buffer) = self.table.pop(key, leg as usize) {
            self.ring.pool().recycle(buffer);
        }
        let now = self.now;
        if let Some(entry) = self.table.entry(key) {
            entry.io[leg as usize].fin = Fin::Sent;
            entry.tunnel.failed(leg, Cause::PeerReset, now, &mut self.actions);
            self.apply(key, None);
        }
    }

    /// What is due for a tunnel; arms its next visit.
    pub(super) fn on_timer(&mut self, key: u32) {
        let now = self.now;
        let Some(entry) = self.table.entry(key) else { return };
        if entry.life != Life::Open {
            return;
        }
        if entry.tunnel.phase() == Phase::Done {
            self.end_or_flush(key);
            return;
        }
        let io = entry.leg_io();
        let next = entry.tunnel.timer(now, &entry.domain.websocket, io, &mut self.actions);
        self.apply(key, None);
        let next = self.log_interval(key, next);
        if self.table.entry(key).is_some_and(|entry| entry.life == Life::Open) {
            self.wheel.arm(key, next);
        }
    }

    /// Writes the interval line if it is due; answers the earlier of `next` and its next time.
    fn log_interval(&mut self, key: u32, next: u32) -> u32 {
        let (now, core) = (self.now.tick, self.core as u32);
        let Some(entry) = self.table.entry(key) else { return next };
        let Some(interval) = entry.domain.log.interval.filter(|_| entry.domain.log.enabled) else {
            return next;
        };
        if now.wrapping_sub(entry.log_at) < 1 << 31 {
            entry.log_at = now.wrapping_add(interval_ticks(interval));
            self.log.push(Event::Interval(Box::new(Progress {
                at_us: wall_us(),
                id: ConnId::new(core, entry.generation, key),
                domain: entry.domain.name.clone(),
                age_ms: u64::from(now.wrapping_sub(entry.tunnel.opened())) * TICK_MS,
                figures: entry.tunnel.figures(),
            })));
        }
        let log_at = entry.log_at;
        if next.wrapping_sub(log_at) < 1 << 31 { log_at } else { next }
    }
}
