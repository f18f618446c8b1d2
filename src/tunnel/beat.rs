//! Heartbeats (RFC 6455 5.5.2, 5.5.3) and every other deadline of a tunnel. Not here: the wheel
//! that calls.

use super::leg::{Leg, LegState, Mark};
use super::{
    Action, CloseOrder, Control, LegIo, Now, Phase, TICK_MS, Tunnel, earlier, reached, ticks,
};
use crate::limits::PONG_WAIT;
use crate::proto::ws::mask;
use crate::proto::ws::scan::PING_PAYLOAD_BYTES;
use crate::snapshot::{HeartbeatMode, WebSocket};
use crate::stats::Cause;

impl Tunnel {
    /// Does what is due at `now` and returns the tick at which to call again. Calling early is
    /// harmless; `received` never makes an earlier call necessary, [`Tunnel::close`] does.
    pub fn timer(
        &mut self,
        now: Now,
        websocket: &WebSocket,
        io: [LegIo; 2],
        out: &mut Vec<Action>,
    ) -> u32 {
        if self.phase() == Phase::Open {
            self.check_lifetime(now, out);
            self.check_stalled(now, websocket, io, out);
        }
        if self.phase() == Phase::Open {
            match websocket.heartbeat_mode {
                HeartbeatMode::Active => self.beat(now, websocket, io, out),
                HeartbeatMode::Passive => self.check_idle(now, websocket, out),
            }
        }
        self.settle(now, out);
        self.next_deadline(now, websocket, io)
    }

    /// The round-trip time of `leg` in microseconds, once after each of its Pongs to us.
    #[inline]
    pub fn take_rtt(&mut self, leg: Leg) -> Option<u32> {
        let state = &mut self.legs[leg as usize];
        state.take(Mark::RttFresh).then_some(state.rtt_us)
    }

    /// Whether `pong`, a whole frame from `leg`, answers a Ping of ours; then it is taken out of
    /// the stream.
    pub(super) fn take_pong(
        &mut self,
        leg: Leg,
        pong: &[u8],
        mask: Option<[u8; 4]>,
        now: Now,
    ) -> bool {
        let Some(&payload) = pong.last_chunk::<PING_PAYLOAD_BYTES>() else { return false };
        let mut payload = payload;
        mask::apply(mask.unwrap_or_default(), &mut payload);
        let tag = self.tag;
        let state = &mut self.legs[leg as usize];
        if payload[..4] != tag.to_be_bytes() {
            return false;
        }
        // A late Pong to an earlier Ping is ours too, but says nothing about the round trip of the
        // last.
        if payload == ping_payload(tag, state.ping_us) && state.take(Mark::PingOut) {
            state.rtt_us = u32::try_from(now.us - state.ping_us).unwrap_or(u32::MAX).max(1);
            state.set(Mark::RttFresh);
        }
        true
    }

    pub(super) fn send_ping(&mut self, to: Leg, now: Now, out: &mut Vec<Action>) {
        let state = &mut self.legs[to as usize];
        state.ping_us = now.us;
        state.set(Mark::PingOut);
        state.set(Mark::Pinged);
        state.set(Mark::Unheard);
        out.push(Action::Send { to, frame: Control::Ping(ping_payload(self.tag, now.us)) });
    }

    fn check_lifetime(&mut self, now: Now, out: &mut Vec<Action>) {
        if self.lifetime_end.is_some_and(|end| reached(now.tick, end)) {
            let order = CloseOrder::going_away(Cause::Lifetime, "maximum lifetime reached");
            self.close(order, now, out);
        }
    }

    fn check_stalled(
        &mut self,
        now: Now,
        websocket: &WebSocket,
        io: [LegIo; 2],
        out: &mut Vec<Action>,
    ) {
        let limit = ticks(websocket.stalled_write);
        for leg in Leg::BOTH {
            let since = io[leg as usize].stalled_since;
            if since.is_some_and(|since| reached(now.tick, since.wrapping_add(limit))) {
                // Nothing would reach it, so neither a frame's end nor an answer is waited for.
                self.legs[leg as usize].set(Mark::Dead);
                let order = CloseOrder::policy(Cause::StalledWrite, leg, "does not read");
                self.close(order, now, out);
                return;
            }
        }
    }

    /// Mode `active`: pings a leg that was silent for the interval, gives up one that stays silent.
    fn beat(&mut self, now: Now, websocket: &WebSocket, io: [LegIo; 2], out: &mut Vec<Action>) {
        for leg in Leg::BOTH {
            let io = io[leg as usize];
            let closing = Leg::BOTH.iter().any(|l| self.legs[*l as usize].has(Mark::CloseReceived));
            let interval = self.interval(websocket);
            let state = &mut self.legs[leg as usize];
            // What it sent waits in its socket, its Pong perhaps among it.
            if io.paused {
                state.last_rx = now.tick;
                state.take(Mark::Unheard);
            }
            // Behind bytes that do not move a Ping would measure the queue; `stalled_write` watches
            // those. During the peers' own close handshake nothing may be put in any more.
            let stuck = io
                .stalled_since
                .is_some_and(|since| reached(now.tick, since.wrapping_add(STUCK_TICKS)));
            if state.is_over() || closing || stuck {
                continue;
            }
            match pulse(state, websocket, interval) {
                Pulse::Unanswered { until } if reached(now.tick, until) => {
                    let order =
                        CloseOrder::dead(Cause::HeartbeatTimeout, leg, "no answer to pings");
                    self.close(order, now, out);
                    return;
                }
                Pulse::Heard { ping_at } if reached(now.tick, ping_at) => {
                    match self.may_inject(leg) {
                        true => self.send_ping(leg, now, out),
                        false => self.legs[leg as usize].set(Mark::PingWanted),
                    }
                }
                Pulse::Unanswered { .. } | Pulse::Heard { .. } => {}
            }
        }
        self.check_half_closed(now, websocket, out);
    }

    /// Mode `passive`, as DCDN does it: an idle timeout.
    fn check_idle(&mut self, now: Now, websocket: &WebSocket, out: &mut Vec<Action>) {
        if reached(now.tick, self.last_received().wrapping_add(ticks(websocket.heartbeat))) {
            let order = CloseOrder::going_away(Cause::IdleTimeout, "idle");
            self.close(order, now, out);
        }
    }

    /// A leg that sent FIN can answer no Ping; silence of the whole tunnel ends it.
    fn check_half_closed(&mut self, now: Now, websocket: &WebSocket, out: &mut Vec<Action>) {
        if Leg::BOTH.iter().any(|leg| self.legs[*leg as usize].is_over()) {
            self.check_idle(now, websocket, out);
        }
    }

    /// The heartbeat in ticks, up to a tenth less so that tunnels opened together do not beat
    /// together. Less and not more: a peer with the same idle timeout must not win the race.
    fn interval(&self, websocket: &WebSocket) -> u32 {
        let interval = ticks(websocket.heartbeat);
        interval - (u64::from(interval / 10) * u64::from(self.tag & 0xff) / 256) as u32
    }

    fn next_deadline(&self, now: Now, websocket: &WebSocket, io: [LegIo; 2]) -> u32 {
        if let Some(deadline) = self.end_deadline() {
            return deadline;
        }
        let mut next = self.lifetime_end.unwrap_or(now.tick.wrapping_add(1 << 30));
        for leg in Leg::BOTH {
            let (state, io) = (&self.legs[leg as usize], io[leg as usize]);
            if let Some(since) = io.stalled_since {
                next = earlier(next, since.wrapping_add(ticks(websocket.stalled_write)));
            }
            if websocket.heartbeat_mode == HeartbeatMode::Passive || state.is_over() {
                continue;
            }
            let beat = match pulse(state, websocket, self.interval(websocket)) {
                Pulse::Unanswered { until: beat } | Pulse::Heard { ping_at: beat } => beat,
            };
            // What was due just now and could not be done (a frame was in the way) is looked at
            // again soon.
            next = earlier(
                next,
                if reached(now.tick, beat) { now.tick.wrapping_add(10) } else { beat },
            );
        }
        if websocket.heartbeat_mode == HeartbeatMode::Passive || self.is_half_closed() {
            next = earlier(next, self.last_received().wrapping_add(ticks(websocket.heartbeat)));
        }
        if reached(now.tick, next) { now.tick.wrapping_add(1) } else { next }
    }
}

/// A write that made no progress for this long (1 s) holds up a Ping as well.
const STUCK_TICKS: u32 = 10;

/// What is known of a leg's life in mode `active`.
enum Pulse {
    /// Something came since the last Ping; the next one is due then.
    Heard { ping_at: u32 },
    /// Nothing came since the Ping; given up then.
    Unanswered { until: u32 },
}

fn pulse(state: &LegState, websocket: &WebSocket, interval: u32) -> Pulse {
    match state.has(Mark::Unheard) {
        true => {
            let pinged_at = (state.ping_us / (TICK_MS * 1000)) as u32;
            Pulse::Unanswered { until: pinged_at.wrapping_add(pong_wait(websocket)) }
        }
        false => Pulse::Heard { ping_at: state.last_rx.wrapping_add(interval) },
    }
}

/// How long a Ping may stay unanswered: min(H, 10 s).
fn pong_wait(websocket: &WebSocket) -> u32 {
    ticks(websocket.heartbeat.min(PONG_WAIT))
}

fn ping_payload(tag: u32, at_us: u64) -> [u8; PING_PAYLOAD_BYTES] {
    let mut payload = [0; PING_PAYLOAD_BYTES];
    payload[..4].copy_from_slice(&tag.to_be_bytes());
    payload[4..].copy_from_slice(&(at_us as u32).to_be_bytes());
    payload
}
