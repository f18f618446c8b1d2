//! Tunnels under a virtual clock: scenarios, and the property that nothing of the edge's own ever
//! falls inside a frame.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::proto::ws::frame::{self, CONTROL_BYTES_MAX};
use crate::proto::ws::{Header, Opcode};
use crate::snapshot::command::{CloseState, StreamState};
use crate::snapshot::{HeartbeatMode, OriginRule, OriginScheme};
use crate::stats::admission::Allowance;

fn websocket() -> WebSocket {
    WebSocket {
        enabled: true,
        heartbeat: Duration::from_secs(60),
        heartbeat_mode: HeartbeatMode::Active,
        origin_scheme: OriginScheme::Follow,
        origin_rule: OriginRule::Any,
        strict_frames: true,
        max_frame: u64::MAX >> 1,
        max_message: u64::MAX >> 1,
        messages_per_second: None,
        max_lifetime: None,
        stalled_write: Duration::from_secs(30),
        allowance: Allowance::default(),
    }
}

/// A tunnel, its clock, and what each leg was sent.
struct Sim {
    tunnel: Tunnel,
    websocket: WebSocket,
    now: Now,
    written: [Vec<u8>; 2],
    fin: [bool; 2],
}

impl Sim {
    fn new(websocket: WebSocket) -> Sim {
        let now = Now::from_us(5_000_000);
        let tunnel = Tunnel::new(&websocket, 0, 0x1234_5600, now);
        Sim { tunnel, websocket, now, written: [vec![], vec![]], fin: [false; 2] }
    }

    fn receive(&mut self, leg: Leg, fresh: &[u8]) {
        let bytes = [self.tunnel.held(leg), fresh].concat();
        let mut out = vec![];
        self.tunnel.received(leg, &bytes, self.now, &self.websocket, &mut out);
        self.apply(Some((leg, &bytes)), out);
    }

    fn apply(&mut self, piece: Option<(Leg, &[u8])>, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Forward(range) => {
                    let (leg, bytes) = piece.expect("only a piece can be forwarded");
                    let to = leg.peer() as usize;
                    assert!(!self.fin[to], "bytes behind FIN");
                    self.written[to].extend(&bytes[range]);
                }
                Action::Send { to, frame } => {
                    let mask = (to == Leg::Origin).then_some([1, 2, 3, 4]);
                    let mut bytes = [0; CONTROL_BYTES_MAX];
                    let n = match frame {
                        Control::Ping(payload) => {
                            frame::write_control(&mut bytes, Opcode::Ping, mask, &payload)
                        }
                        Control::Close(code) => {
                            frame::write_close(&mut bytes, mask, code, self.tunnel.close_reason())
                        }
                    };
                    assert!(!self.fin[to as usize], "a frame behind FIN");
                    self.written[to as usize].extend(&bytes[..n]);
                }
                Action::ShutdownWrite(leg) => self.fin[leg as usize] = true,
            }
        }
    }

    fn wait(&mut self, duration: Duration) {
        let end = Now::from_us(self.now.us + duration.as_micros() as u64);
        while self.now.tick < end.tick {
            self.now = Now::from_us(self.now.us + TICK_MS * 1000);
            let mut out = vec![];
            self.tunnel.timer(self.now, &self.websocket, [LegIo::default(); 2], &mut out);
            self.apply(None, out);
        }
    }

    fn close(&mut self, order: CloseOrder) {
        let mut out = vec![];
        self.tunnel.close(order, self.now, &mut out);
        self.apply(None, out);
    }

    fn eof(&mut self, leg: Leg) {
        let mut out = vec![];
        self.tunnel.eof(leg, self.now, &mut out);
        self.apply(None, out);
    }

    fn failed(&mut self, leg: Leg) {
        let mut out = vec![];
        self.tunnel.failed(leg, Cause::PeerReset, self.now, &mut out);
        self.apply(None, out);
    }

    /// The frames written to `leg`, which must be whole; opcode, and payload unmasked.
    fn take_frames(&mut self, leg: Leg) -> Vec<(Opcode, Vec<u8>)> {
        let bytes = std::mem::take(&mut self.written[leg as usize]);
        let frames = frames(&bytes);
        frames.expect("only whole frames were written")
    }

    fn close_code_to(&mut self, leg: Leg) -> Option<u16> {
        let frames = self.take_frames(leg);
        let close = frames.iter().find(|(opcode, _)| *opcode == Opcode::Close)?;
        Some(u16::from_be_bytes([close.1[0], close.1[1]]))
    }
}

/// Splits a stream into frames; `None` when it ends inside one.
fn frames(mut bytes: &[u8]) -> Option<Vec<(Opcode, Vec<u8>)>> {
    let mut frames = vec![];
    while !bytes.is_empty() {
        let header = Header::parse(bytes).expect("a sound header")?;
        let end = header.size + header.payload as usize;
        let mut payload = bytes.get(header.size..end)?.to_vec();
        crate::proto::ws::mask::apply(header.mask.unwrap_or_default(), &mut payload);
        frames.push((header.opcode, payload));
        bytes = &bytes[end..];
    }
    Some(frames)
}

fn message(leg: Leg, opcode: u8, payload: &[u8]) -> Vec<u8> {
    let bit = if leg == Leg::Client { 0x80 } else { 0 };
    let mut out = vec![opcode];
    match payload.len() {
        n @ 0..=125 => out.push(bit | n as u8),
        n => {
            out.push(bit | 126);
            out.extend((n as u16).to_be_bytes());
        }
    }
    if leg == Leg::Client {
        out.extend([0; 4]);
    }
    out.extend(payload);
    out
}

fn pong_to(leg: Leg, ping: &[u8]) -> Vec<u8> {
    message(leg, 0x8a, ping)
}

fn close_frame(leg: Leg, code: u16) -> Vec<u8> {
    message(leg, 0x88, &code.to_be_bytes())
}

#[test]
fn a_leg_shows_its_last_frame_and_how_far_its_end_is() {
    let mut sim = Sim::new(websocket());
    let row = |sim: &Sim, leg| sim.tunnel.leg_row(leg, sim.now.tick);
    let fresh = row(&sim, Leg::Client);
    assert_eq!((fresh.last_frame, fresh.close), (None, CloseState::None));
    sim.receive(Leg::Origin, &[0x82, 100, 1, 2, 3]);
    sim.wait(Duration::from_millis(700));
    let seen = row(&sim, Leg::Origin);
    let frame = LastFrame { opcode: "binary", payload: 100, missing: 97 };
    assert_eq!((seen.idle_ms, seen.last_frame), (700, Some(frame)));
    sim.receive(Leg::Origin, &[0; 97]);
    // RFC 6455 5.5.1: the client's Close passes, and the origin's answer.
    sim.receive(Leg::Client, &[0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8]);
    assert_eq!(row(&sim, Leg::Client).close, CloseState::Received(1000));
    assert_eq!(row(&sim, Leg::Origin).close, CloseState::Sent);
    sim.receive(Leg::Origin, &[0x88, 2, 0x03, 0xe8]);
    for leg in Leg::BOTH {
        assert_eq!(row(&sim, leg).close, CloseState::Both(1000), "{leg:?}");
        assert_eq!(row(&sim, leg).last_frame.map(|frame| frame.opcode), Some("close"));
    }
    let mut out = vec![];
    sim.tunnel.eof(Leg::Client, sim.now, &mut out);
    assert_eq!(row(&sim, Leg::Client).stream, StreamState::FinReceived);
    assert_eq!(row(&sim, Leg::Origin).stream, StreamState::FinSent);
    sim.tunnel.failed(Leg::Client, Cause::PeerReset, sim.now, &mut out);
    assert_eq!(row(&sim, Leg::Client).stream, StreamState::Failed);
}

// RFC 6455 5.5.2: a silent side is pinged, its Pong is ours and gives the round trip.
#[test]
fn a_silent_leg_is_pinged_and_its_pong_is_consumed() {
    let mut sim = Sim::new(websocket());
    sim.wait(Duration::from_secs(53));
    assert!(sim.take_frames(Leg::Client).is_empty());
    sim.wait(Duration::from_secs(7));
    let pings = sim.take_frames(Leg::Client);
    assert_eq!((pings.len(), pings[0].0), (1, Opcode::Ping));
    let to_origin = sim.take_frames(Leg::Origin);
    assert_eq!(to_origin[0].0, Opcode::Ping);
    sim.now.us += 1500;
    sim.receive(Leg::Client, &pong_to(Leg::Client, &pings[0].1));
    assert!(sim.take_frames(Leg::Origin).is_empty(), "the Pong stays here");
    assert!(sim.tunnel.figures().client_rtt_us >= 1500);
    assert!(sim.tunnel.take_rtt(Leg::Client).is_some_and(|us| us >= 1500));
    assert_eq!((sim.tunnel.take_rtt(Leg::Client), sim.tunnel.take_rtt(Leg::Origin)), (None, None));
    assert_eq!(sim.tunnel.figures().origin_rtt_us, 0);
}

#[test]
fn pings_and_pongs_of_the_peers_pass_through() {
    let mut sim = Sim::new(websocket());
    let stream = [message(Leg::Client, 0x89, b"12345678"), message(Leg::Client, 0x8a, b"12345678")];
    sim.wait(Duration::from_secs(61));
    sim.take_frames(Leg::Origin);
    sim.receive(Leg::Client, &stream.concat());
    let seen = sim.take_frames(Leg::Origin);
    assert_eq!(seen, [(Opcode::Ping, b"12345678".to_vec()), (Opcode::Pong, b"12345678".to_vec())]);
}

#[test]
fn a_leg_that_answers_no_ping_is_dead_and_both_get_1001() {
    let mut sim = Sim::new(websocket());
    sim.wait(Duration::from_secs(60));
    let ping = sim.take_frames(Leg::Origin).remove(0).1;
    sim.receive(Leg::Origin, &pong_to(Leg::Origin, &ping));
    sim.wait(Duration::from_secs(11));
    assert_eq!(sim.close_code_to(Leg::Origin), Some(1001));
    assert_eq!(sim.close_code_to(Leg::Client), Some(1001));
    let outcome = sim.tunnel.outcome();
    assert_eq!((outcome.side, outcome.cause), (Side::Client, Cause::HeartbeatTimeout));
    sim.wait(Duration::from_secs(3));
    assert_eq!((sim.fin, sim.tunnel.phase()), ([true, true], Phase::Done));
}

#[test]
fn traffic_keeps_a_leg_from_being_pinged() {
    let mut sim = Sim::new(websocket());
    for _ in 0..30 {
        sim.wait(Duration::from_secs(10));
        sim.receive(Leg::Client, &message(Leg::Client, 0x81, b"x"));
        sim.receive(Leg::Origin, &message(Leg::Origin, 0x81, b"x"));
    }
    let frames = sim.take_frames(Leg::Client);
    assert!(frames.iter().all(|(opcode, _)| *opcode == Opcode::Text), "{frames:?}");
}

#[test]
fn passive_closes_when_no_byte_moved_and_never_pings() {
    let mut sim = Sim::new(WebSocket { heartbeat_mode: HeartbeatMode::Passive, ..websocket() });
    sim.wait(Duration::from_secs(50));
    sim.receive(Leg::Origin, &message(Leg::Origin, 0x81, b"x"));
    sim.wait(Duration::from_secs(59));
    assert_eq!(sim.tunnel.phase(), Phase::Open);
    sim.wait(Duration::from_secs(2));
    assert_eq!(sim.close_code_to(Leg::Client), Some(1001));
    assert_eq!(sim.tunnel.outcome().cause, Cause::IdleTimeout);
}

// RFC 6455 7.1.2
#[test]
fn a_close_of_the_peers_passes_and_is_noted() {
    let mut sim = Sim::new(websocket());
    sim.receive(Leg::Client, &close_frame(Leg::Client, 4001));
    assert_eq!(sim.close_code_to(Leg::Origin), Some(4001));
    sim.receive(Leg::Client, &message(Leg::Client, 0x81, b"after its Close"));
    assert!(sim.take_frames(Leg::Origin).is_empty());
    sim.receive(Leg::Origin, &close_frame(Leg::Origin, 4001));
    assert_eq!(sim.close_code_to(Leg::Client), Some(4001));
    assert!(!sim.tunnel.is_parted(), "the origin leaves first");
    sim.eof(Leg::Origin);
    assert!(sim.tunnel.is_parted());
    assert_eq!(sim.fin, [true, false]);
    sim.eof(Leg::Client);
    assert_eq!(sim.tunnel.phase(), Phase::Done);
    let outcome = sim.tunnel.outcome();
    assert_eq!(outcome, Outcome { side: Side::Client, cause: Cause::PeerClose, close_code: 4001 });
}

#[test]
fn a_close_that_is_never_answered_ends_after_its_time() {
    let mut sim = Sim::new(websocket());
    sim.receive(Leg::Origin, &close_frame(Leg::Origin, 1000));
    sim.wait(Duration::from_secs(9));
    assert_eq!(sim.tunnel.phase(), Phase::Closing);
    sim.wait(Duration::from_secs(3));
    assert_eq!(sim.tunnel.phase(), Phase::Done);
    assert_eq!(sim.tunnel.outcome().cause, Cause::CloseTimeout);
}

// RFC 6455 7.1.7: who broke a rule gets 1002, the other side learns that it ends.
#[test]
fn a_violation_closes_1002_to_its_sender() {
    for (leg, other_code) in [(Leg::Client, 1001), (Leg::Origin, 1011)] {
        let mut sim = Sim::new(websocket());
        let bad = message(leg.peer(), 0x81, b"masked the wrong way");
        sim.receive(leg, &bad);
        assert_eq!(sim.close_code_to(leg), Some(1002), "{leg:?}");
        assert_eq!(sim.close_code_to(leg.peer()), Some(other_code), "{leg:?}");
        sim.receive(leg.peer(), &close_frame(leg.peer(), other_code));
        assert!(!sim.tunnel.is_parted(), "{leg:?} may still be sending");
        assert_eq!(sim.tunnel.outcome().cause, Cause::ProtocolError);
    }
}

#[test]
fn limits_close_with_their_codes() {
    let small = WebSocket { max_message: 10, ..websocket() };
    let mut sim = Sim::new(small);
    sim.receive(Leg::Origin, &message(Leg::Origin, 0x82, &[0; 11]));
    assert_eq!(
        (sim.close_code_to(Leg::Origin), sim.close_code_to(Leg::Client)),
        (Some(1009), Some(1011))
    );
    let mut sim = Sim::new(WebSocket { messages_per_second: Some(5), ..websocket() });
    for _ in 0..5 {
        sim.receive(Leg::Client, &message(Leg::Client, 0x81, b"x"));
    }
    assert_eq!(sim.tunnel.phase(), Phase::Open);
    sim.receive(Leg::Client, &message(Leg::Client, 0x81, b"x"));
    assert_eq!(sim.close_code_to(Leg::Client), Some(1008));
    assert_eq!(sim.tunnel.outcome().cause, Cause::MessageRate);
}

#[test]
fn a_lifetime_ends_with_1001() {
    let life = Duration::from_secs(100);
    let mut sim = Sim::new(WebSocket { max_lifetime: Some(life), ..websocket() });
    for _ in 0..10 {
        sim.wait(Duration::from_secs(10));
        sim.receive(Leg::Client, &message(Leg::Client, 0x81, b"x"));
        sim.receive(Leg::Origin, &message(Leg::Origin, 0x81, b"x"));
    }
    sim.wait(Duration::from_secs(1));
    assert_eq!(sim.close_code_to(Leg::Client), Some(1001));
    assert_eq!(sim.tunnel.outcome().cause, Cause::Lifetime);
}

#[test]
fn a_half_close_passes_and_the_other_direction_lives() {
    let mut sim = Sim::new(websocket());
    sim.eof(Leg::Client);
    assert_eq!((sim.fin, sim.tunnel.is_parted()), ([false, true], false));
    sim.receive(Leg::Origin, &message(Leg::Origin, 0x81, b"still here"));
    assert_eq!(sim.take_frames(Leg::Client).len(), 1);
    sim.eof(Leg::Origin);
    assert_eq!((sim.tunnel.phase(), sim.fin), (Phase::Done, [true, true]));
    assert_eq!(sim.tunnel.outcome().cause, Cause::PeerEof);
}

#[test]
fn a_reset_leg_ends_the_other_with_a_code() {
    let mut sim = Sim::new(websocket());
    sim.failed(Leg::Origin);
    assert_eq!(sim.close_code_to(Leg::Client), Some(1011));
    assert!(sim.written[Leg::Origin as usize].is_empty());
    assert!(!sim.tunnel.is_parted(), "the client has not answered");
    sim.receive(Leg::Client, &close_frame(Leg::Client, 1011));
    assert!(sim.tunnel.is_parted());
    sim.eof(Leg::Client);
    assert_eq!(sim.tunnel.phase(), Phase::Done);
    let outcome = sim.tunnel.outcome();
    assert_eq!((outcome.side, outcome.cause), (Side::Origin, Cause::PeerReset));
}

#[test]
fn an_order_waits_for_the_frame_boundary_and_drops_what_follows() {
    let mut sim = Sim::new(websocket());
    let long = message(Leg::Origin, 0x82, &[9; 100]);
    sim.receive(Leg::Origin, &long[..50]);
    sim.close(CloseOrder::both(Side::Edge, Cause::Killed, 1012, "restart"));
    assert_eq!(sim.written[0].len(), 50, "nothing inside the frame");
    sim.receive(Leg::Client, &close_frame(Leg::Client, 1012));
    sim.eof(Leg::Client);
    assert!(!sim.tunnel.is_parted(), "the client is owed the rest and a Close");
    assert_eq!(sim.close_code_to(Leg::Origin), Some(1012), "the other direction was at a boundary");
    let rest = [&long[50..], &message(Leg::Origin, 0x81, b"next")].concat();
    sim.receive(Leg::Origin, &rest);
    let frames = sim.take_frames(Leg::Client);
    assert_eq!(frames.len(), 2);
    assert_eq!(frames[1], (Opcode::Close, b"\x03\xf4restart".to_vec()));
}

#[test]
fn a_frame_that_never_ends_gets_no_close_only_a_fin() {
    let mut sim = Sim::new(websocket());
    sim.receive(Leg::Origin, &message(Leg::Origin, 0x82, &[9; 100])[..50]);
    sim.close(CloseOrder::going_away(Cause::Drain, "drain"));
    sim.wait(Duration::from_secs(9));
    assert_eq!((sim.written[0].len(), sim.fin), (50, [false, false]));
    sim.wait(Duration::from_secs(1));
    assert_eq!((sim.written[0].len(), sim.fin), (50, [true, true]));
}

#[test]
fn after_both_closes_the_fin_does_not_wait_for_the_peers() {
    let mut sim = Sim::new(websocket());
    sim.receive(Leg::Client, &close_frame(Leg::Client, 1000));
    sim.receive(Leg::Origin, &close_frame(Leg::Origin, 1000));
    sim.wait(Duration::from_millis(900));
    assert_eq!(sim.fin, [false, false], "the peers come first");
    sim.wait(Duration::from_secs(2));
    assert_eq!((sim.fin, sim.tunnel.phase()), ([true, true], Phase::Done));
    assert_eq!(sim.tunnel.outcome().cause, Cause::PeerClose);
}

#[test]
fn any_byte_is_a_sign_of_life_even_in_the_tick_of_the_ping() {
    let mut sim = Sim::new(WebSocket { heartbeat: Duration::from_secs(1), ..websocket() });
    for _ in 0..5 {
        while sim.take_frames(Leg::Client).is_empty() {
            sim.wait(Duration::from_millis(100));
            sim.receive(Leg::Origin, &message(Leg::Origin, 0x8a, b""));
            let quiet = sim.written[0].windows(2).all(|w| w != [0x89, 8]);
            if quiet {
                sim.take_frames(Leg::Client);
            }
        }
        sim.receive(Leg::Client, &message(Leg::Client, 0x8a, b"other"));
    }
    assert_eq!(sim.tunnel.phase(), Phase::Open);
}

#[test]
fn a_burst_in_one_piece_is_cut_at_the_rate() {
    let mut sim = Sim::new(WebSocket { messages_per_second: Some(10), ..websocket() });
    sim.receive(Leg::Client, &message(Leg::Client, 0x81, b"flood").repeat(40));
    let frames = sim.take_frames(Leg::Origin);
    let passed = frames.iter().filter(|(opcode, _)| *opcode == Opcode::Text).count();
    assert_eq!(passed, 11, "the one that went over is the last");
    assert_eq!(frames.last().map(|f| f.0), Some(Opcode::Close));
}

#[test]
fn a_ping_stands_between_fragments_never_inside_one() {
    let mut sim = Sim::new(WebSocket { heartbeat: Duration::from_secs(1), ..websocket() });
    let first = message(Leg::Origin, 0x01, &[1; 10]);
    let last = message(Leg::Origin, 0x80, &[2; 10]);
    sim.receive(Leg::Origin, &first[..5]);
    sim.wait(Duration::from_millis(1500));
    sim.receive(Leg::Origin, &[&first[5..], &last[..]].concat());
    let opcodes: Vec<_> = sim.take_frames(Leg::Client).into_iter().map(|f| f.0).collect();
    assert_eq!(opcodes, [Opcode::Text, Opcode::Ping, Opcode::Continuation]);
}

#[test]
fn a_leg_that_is_not_read_from_is_not_given_up() {
    let mut sim = Sim::new(WebSocket { heartbeat: Duration::from_secs(1), ..websocket() });
    sim.wait(Duration::from_millis(1100));
    assert_eq!(sim.take_frames(Leg::Client).len(), 1, "pinged, and then its receive is paused");
    let paused = LegIo { paused: true, stalled_since: None };
    let later = Now::from_us(sim.now.us + 5_000_000);
    let mut out = vec![];
    sim.tunnel.timer(later, &sim.websocket, [paused, paused], &mut out);
    assert_eq!(sim.tunnel.phase(), Phase::Open);
}

#[test]
fn a_stalled_reader_ends_the_tunnel() {
    let mut sim = Sim::new(websocket());
    let stalled = LegIo { stalled_since: Some(sim.now.tick), paused: false };
    let later = Now::from_us(sim.now.us + 31_000_000);
    let mut out = vec![];
    sim.tunnel.timer(later, &sim.websocket, [stalled, LegIo::default()], &mut out);
    let outcome = sim.tunnel.outcome();
    assert_eq!((outcome.side, outcome.cause), (Side::Client, Cause::StalledWrite));
}

proptest! {
    /// Whatever the split, the moment of a Ping or of an order, every leg is sent whole frames:
    /// those of its peer in order, and the edge's between them.
    #[test]
    fn injected_frames_never_fall_inside_a_frame(
        sizes in prop::collection::vec(0..300_usize, 1..12),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..30),
        ping_at in any::<prop::sample::Index>(),
        close_at in any::<prop::sample::Index>(),
        leg in prop_oneof![Just(Leg::Client), Just(Leg::Origin)],
    ) {
        let sent: Vec<Vec<u8>> =
            sizes.iter().map(|&n| message(leg, 0x82, &vec![n as u8; n])).collect();
        let stream = sent.concat();
        let mut cuts: Vec<usize> = cuts.iter().map(|c| c.index(stream.len())).collect();
        cuts.extend([0, stream.len()]);
        cuts.sort_unstable();
        let (ping_at, close_at) = (ping_at.index(cuts.len()), close_at.index(cuts.len()));
        let mut sim = Sim::new(WebSocket { heartbeat: Duration::from_secs(1), ..websocket() });
        for (i, pair) in cuts.windows(2).enumerate() {
            if i == ping_at {
                sim.wait(Duration::from_millis(1100));
            }
            if i == close_at {
                sim.close(CloseOrder::both(Side::Edge, Cause::Killed, 1012, "moved"));
            }
            sim.receive(leg, &stream[pair[0]..pair[1]]);
        }
        // A frame that was still under way when the order's time was over is cut by the FIN; only
        // then.
        let written = &sim.written[leg.peer() as usize];
        if sim.fin[leg.peer() as usize] && frames(written).is_none() {
            let whole = stream.starts_with(written);
            let pinged = ping_at <= close_at && !whole;
            prop_assert!(whole || pinged, "a prefix of the stream, and a Ping before the order");
            return Ok(());
        }
        let frames = sim.take_frames(leg.peer());
        let data: Vec<_> = frames.iter().filter(|f| f.0 == Opcode::Binary).collect();
        for (got, size) in data.iter().zip(&sizes) {
            prop_assert_eq!(got.1.len(), *size);
        }
        let closed = frames.iter().position(|f| f.0 == Opcode::Close);
        prop_assert!(closed.is_none_or(|at| at == frames.len() - 1), "nothing behind a Close");
        prop_assert!(closed.is_some() || data.len() == sizes.len());
    }
}
