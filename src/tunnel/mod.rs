//! What should happen next to an upgraded connection: heartbeats, close handshakes, and where a
//! frame of the edge's own may be put in. Pure: bytes, time and chance come in as arguments, wishes
//! come out as [`Action`]s.
//!
//! ```text
//!            received(Client, bytes)                       received(Origin, bytes)
//!   client ───────────► [scanner of the client leg] ─Forward─► origin
//!   client ◄─Forward─ [scanner of the origin leg] ◄─────────── origin
//!            Send(Ping | Close) only where the scanner that feeds this leg is at a frame boundary
//! ```
//!
//! Not here: sockets, buffers, queues and timers (`worker::engine`); the byte rules of frames
//! (`proto::ws`).

mod beat;
mod ending;
mod leg;

use std::ops::Range;

pub use ending::{CloseOrder, Phase};
pub use leg::Leg;
use leg::{LegState, Mark};

use crate::proto::ws::scan::PING_PAYLOAD_BYTES;
use crate::proto::ws::{Rules, Stop};
use crate::snapshot::WebSocket;
use crate::snapshot::command::{LastFrame, LegRow};
use crate::stats::event::Figures;
use crate::stats::{Cause, Outcome, Side};

/// Length of one tick of [`Now`], in milliseconds.
pub const TICK_MS: u64 = 100;

/// The time, on a clock that starts with the process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// In steps of [`TICK_MS`]; wraps after 13 years.
    pub tick: u32,
    /// Microseconds.
    pub us: u64,
}

impl Now {
    pub fn from_us(us: u64) -> Now {
        Now { tick: (us / (TICK_MS * 1000)) as u32, us }
    }
}

/// What the caller has to do, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Queue these bytes of the piece that was handed in towards the other leg.
    Forward(Range<usize>),
    /// Queue a control frame towards `to`.
    Send { to: Leg, frame: Control },
    /// Send FIN to this leg once everything queued towards it has left.
    ShutdownWrite(Leg),
}

/// A frame of the edge's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    Ping([u8; PING_PAYLOAD_BYTES]),
    /// With [`Tunnel::close_reason`] as its text.
    Close(u16),
}

/// What the caller knows about the sockets when a timer fires.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LegIo {
    /// Nothing is read from this leg because the other one is slow: its silence means nothing.
    pub paused: bool,
    /// Since when a write towards this leg has made no progress; `None` when none is waiting.
    pub stalled_since: Option<u32>,
}

/// One upgraded connection, both legs.
#[derive(Debug)]
pub struct Tunnel {
    legs: [LegState; 2],
    /// Marks our Pings, and spreads deadlines; random.
    tag: u32,
    /// RSV bits of the agreed extensions.
    reserved_bits: u8,
    opened: u32,
    /// Tick at which `max_lifetime` ends.
    lifetime_end: Option<u32>,
    /// Bytes written towards the client.
    bytes_out: u64,
    /// When the client's message budget will be whole again, microseconds (GCRA).
    messages_due_us: u64,
    outcome: Option<Outcome>,
    /// Allocated only while the connection ends.
    ending: Option<Box<ending::Ending>>,
}

impl Tunnel {
    pub fn new(websocket: &WebSocket, reserved_bits: u8, tag: u32, now: Now) -> Tunnel {
        let life = |d: std::time::Duration| {
            let ticks = ticks(d);
            now.tick
                .wrapping_add(ticks - (u64::from(ticks / 10) * u64::from(tag >> 24) / 256) as u32)
        };
        Tunnel {
            legs: [LegState::new(now), LegState::new(now)],
            tag,
            reserved_bits,
            opened: now.tick,
            lifetime_end: websocket.max_lifetime.map(life),
            bytes_out: 0,
            messages_due_us: 0,
            outcome: None,
            ending: None,
        }
    }

    /// Bytes of `leg` that the last piece left to be judged: hand them in again in front of the
    /// next piece.
    pub fn held(&self, leg: Leg) -> &[u8] {
        self.legs[leg as usize].held()
    }

    /// Takes a piece received from `leg`, the held bytes in front. Actions are appended to `out`;
    /// answers how many data messages ended in it.
    pub fn received(
        &mut self,
        leg: Leg,
        bytes: &[u8],
        now: Now,
        websocket: &WebSocket,
        out: &mut Vec<Action>,
    ) -> u32 {
        let state = &mut self.legs[leg as usize];
        state.received(bytes.len(), now);
        if state.has(Mark::Ignored) {
            return 0;
        }
        let rules = self.rules(leg, websocket);
        let (mut at, mut messages) = (0, 0);
        while at < bytes.len() {
            let limit = match self.cut_before_injection(leg, now, out) {
                Some(to_boundary) => {
                    usize::try_from(to_boundary).map_or(bytes.len(), |n| bytes.len().min(at + n))
                }
                None => bytes.len(),
            };
            if self.legs[leg as usize].has(Mark::Ignored) {
                break;
            }
            let piece = &bytes[at..limit];
            let state = &mut self.legs[leg as usize];
            let own_pong = state.has(Mark::Pinged);
            let advance = state.scanner.advance(piece, &rules, own_pong);
            state.messages += u64::from(advance.messages);
            messages += advance.messages;
            self.forward(leg, at..at + advance.pass, out);
            at += advance.pass;
            if advance.messages > 0 && !self.spend_messages(leg, advance.messages, now, websocket) {
                let order = CloseOrder::policy(Cause::MessageRate, leg, "too many messages");
                self.close(order, now, out);
            }
            match advance.stop {
                Stop::End | Stop::Message => {}
                Stop::Held => {
                    self.legs[leg as usize].hold(&bytes[at..]);
                    break;
                }
                Stop::Pong { size, mask } => {
                    let pong = at..at + size;
                    if !self.take_pong(leg, &bytes[pong.clone()], mask, now) {
                        self.forward(leg, pong, out);
                    }
                    at += size;
                }
                Stop::Close { code } => self.note_close(leg, code, now),
                Stop::Violation(violation) => {
                    self.legs[leg as usize].set(Mark::Ignored);
                    let order = CloseOrder::violation(leg, violation);
                    self.close(order, now, out);
                    return messages;
                }
            }
        }
        // A piece that ended at a boundary may make room for what waits.
        let _ = self.cut_before_injection(leg, now, out);
        self.settle(now, out);
        messages
    }

    /// `n` bytes left towards `leg`.
    #[inline]
    pub fn sent(&mut self, leg: Leg, n: usize) {
        if leg == Leg::Client {
            self.bytes_out += n as u64;
        }
    }

    pub fn figures(&self) -> Figures {
        let [client, origin] = &self.legs;
        Figures {
            bytes_out: self.bytes_out,
            bytes_in: client.bytes,
            messages_out: origin.messages,
            messages_in: client.messages,
            client_rtt_us: client.rtt_us,
            origin_rtt_us: origin.rtt_us,
        }
    }

    /// One leg, for people.
    pub fn leg_row(&self, leg: Leg, now: u32) -> LegRow {
        let state = &self.legs[leg as usize];
        LegRow {
            idle_ms: u64::from(now.wrapping_sub(state.last_rx)) * TICK_MS,
            last_frame: state.scanner.last_frame().map(|(opcode, payload)| LastFrame {
                opcode: opcode.name(),
                payload,
                missing: state.scanner.bytes_to_boundary(),
            }),
            close: state.close_state(),
            stream: state.stream_state(),
        }
    }

    pub fn opened(&self) -> u32 {
        self.opened
    }

    /// Tick of the last byte received from either side.
    pub fn last_received(&self) -> u32 {
        let ages = self.legs.each_ref().map(|leg| leg.last_rx.wrapping_sub(self.opened));
        self.opened.wrapping_add(ages[0].max(ages[1]))
    }

    /// How it ended, or would be said to end if it ended now.
    pub fn outcome(&self) -> Outcome {
        self.outcome.unwrap_or(Outcome { side: Side::Edge, cause: Cause::Killed, close_code: 0 })
    }

    /// Counts the messages of a piece against `messages_per_second`; only the client's are limited.
    fn spend_messages(&mut self, leg: Leg, messages: u32, now: Now, websocket: &WebSocket) -> bool {
        let (Leg::Client, Some(rate)) = (leg, websocket.messages_per_second) else { return true };
        let step = 1_000_000 / u64::from(rate.max(1));
        self.messages_due_us = self.messages_due_us.max(now.us) + step * u64::from(messages);
        self.messages_due_us <= now.us + step * u64::from(rate.max(1))
    }

    fn rules(&self, leg: Leg, websocket: &WebSocket) -> Rules {
        Rules {
            masked: leg == Leg::Client,
            reserved_allowed: self.reserved_bits,
            strict: websocket.strict_frames,
            max_frame: websocket.max_frame,
            max_message: websocket.max_message,
            each_message: leg == Leg::Client && websocket.messages_per_second.is_some(),
        }
    }

    fn forward(&self, from: Leg, range: Range<usize>, out: &mut Vec<Action>) {
        if range.is_empty() || !self.legs[from.peer() as usize].is_writable() {
            return;
        }
        if let Some(Action::Forward(last)) = out.last_mut()
            && last.end == range.start
        {
            last.end = range.end;
            return;
        }
        out.push(Action::Forward(range));
    }

    /// Puts in what waits for the leg that `from` feeds, if this is a frame boundary. Else, if
    /// something waits, the bytes up to the next one: the caller must not go further at once.
    fn cut_before_injection(&mut self, from: Leg, now: Now, out: &mut Vec<Action>) -> Option<u64> {
        let to = from.peer();
        let scanner = self.legs[from as usize].scanner;
        let closing_frame = self.legs[from as usize].has(Mark::CloseReceived);
        let waits = self.legs[to as usize].has(Mark::PingWanted) || self.owes_close(to);
        if !closing_frame && !waits {
            return None;
        }
        if !scanner.at_boundary() {
            return Some(scanner.bytes_to_boundary());
        }
        if closing_frame {
            // The Close passed as a whole; RFC 6455 5.5.1: nothing may follow it.
            self.legs[from as usize].set(Mark::Ignored);
            self.legs[to as usize].set(Mark::CloseWritten);
            return None;
        }
        self.inject(to, now, out);
        None
    }

    /// Something of the edge's own for `to`, at a boundary of what it is sent.
    fn inject(&mut self, to: Leg, now: Now, out: &mut Vec<Action>) {
        if self.owes_close(to) {
            self.send_owed_close(to, out);
        } else if self.legs[to as usize].take(Mark::PingWanted) {
            self.send_ping(to, now, out);
        }
    }

    /// Whether the leg that `to` is fed from is at a frame boundary, so that a frame may be put in.
    fn may_inject(&self, to: Leg) -> bool {
        let feeder = &self.legs[to.peer() as usize];
        self.legs[to as usize].is_writable()
            && feeder.scanner.at_boundary()
            && !feeder.has(Mark::CloseReceived)
    }

    fn note_close(&mut self, leg: Leg, code: u16, now: Now) {
        self.legs[leg as usize].set(Mark::CloseReceived);
        self.legs[leg as usize].close_code = code;
        if self.outcome.is_none() {
            self.outcome =
                Some(Outcome { side: leg.side(), cause: Cause::PeerClose, close_code: code });
        }
        self.expect_end(now);
    }
}

/// A duration in ticks, at least one.
fn ticks(duration: std::time::Duration) -> u32 {
    (duration.as_millis() as u64).div_ceil(TICK_MS).clamp(1, 1 << 30) as u32
}

/// Whether tick `a` is at or after tick `b`, across the wrap.
fn reached(a: u32, b: u32) -> bool {
    a.wrapping_sub(b) < 1 << 31
}

/// The earlier of two ticks.
fn earlier(a: u32, b: u32) -> u32 {
    if reached(a, b) { b } else { a }
}

const _: () = assert!(std::mem::size_of::<Tunnel>() <= 256);

#[cfg(test)]
mod tests;
