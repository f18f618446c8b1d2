//! The edge's own frames never fall inside a frame of a peer, whatever else is going on: random
//! fragmented traffic in tiny writes, pauses in the middle of frames that make Pings due, and a
//! kill or a drain at the end. Every byte of both directions is checked against the same random
//! source.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::harness::road::{Legs, Road};
use crate::harness::{DomainFile, Edge, Frame, Op, Tunnel, Wire};

/// The frames of one direction: the writer and the reader each make their own copy.
struct Script {
    random: StdRng,
    masked: bool,
    in_message: bool,
}

impl Script {
    fn new(seed: u64, masked: bool) -> Script {
        Script { random: StdRng::seed_from_u64(seed), masked, in_message: false }
    }

    fn next(&mut self) -> Frame {
        let random = &mut self.random;
        let control = random.random_range(0..8) == 0;
        let size = match random.random_range(0..10) {
            _ if control => random.random_range(0..126),
            0 => 0,
            1..=6 => random.random_range(1..200),
            7 | 8 => random.random_range(200..5_000),
            _ => random.random_range(60_000..70_000),
        };
        let mut payload = vec![0; size];
        random.fill(&mut payload[..]);
        let mut frame = if control {
            let op = if random.random_range(0..2) == 0 { Op::PING } else { Op::PONG };
            Frame::new(op, &payload)
        } else {
            let op = if self.in_message { Op::CONTINUE } else { Op::BINARY };
            let mut frame = Frame::new(op, &payload);
            frame.fin = random.random_range(0..3) == 0;
            self.in_message = !frame.fin;
            frame
        };
        if self.masked {
            frame.mask = Some(random.random());
        }
        frame
    }
}

/// Writes the script in tiny pieces until the peer is gone. Pongs that the reader of this side owes
/// go in between frames.
fn write(mut wire: Wire, mut script: Script, owed: &Receiver<Vec<u8>>, shared: &Shared) {
    let mut random = StdRng::seed_from_u64(7);
    let mut writes = 0_u32;
    let mut sent = 0;
    loop {
        let bytes = script.next().bytes();
        sent += bytes.len();
        // What waits in socket buffers would delay a Ping for as long as it takes to read it.
        while sent > shared.read[usize::from(script.masked)].load(Ordering::SeqCst) + AHEAD {
            if shared.gone.load(Ordering::SeqCst) {
                return;
            }
            thread::sleep(Duration::from_millis(1));
        }
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let n = random.random_range(1..=rest.len().min(1_400));
            if !wire.try_send(&rest[..n]) {
                return;
            }
            rest = &rest[n..];
            writes += 1;
            if writes.is_multiple_of(350) {
                shared.pause(script.masked);
            }
        }
        for payload in owed.try_iter() {
            let pong = Frame::pong(payload);
            let pong = if script.masked { pong.masked() } else { pong };
            if !wire.try_send(pong.bytes()) {
                return;
            }
        }
    }
}

/// Silences in the middle of frames, of one side after the other: a Ping to the silent one has to
/// find its place in the traffic of the other.
#[derive(Default)]
struct Shared {
    turn_of_client: AtomicBool,
    /// No more pauses.
    over: AtomicBool,
    /// A reader has seen the end.
    gone: AtomicBool,
    /// Bytes that arrived of the origin's script, and of the client's.
    read: [AtomicUsize; 2],
}

/// Bytes that a writer may be ahead of the reader of its script.
const AHEAD: usize = 300_000;

impl Shared {
    /// Longer than the heartbeat, but not so long that the side is given up.
    fn pause(&self, client: bool) {
        if self.turn_of_client.load(Ordering::SeqCst) != client {
            return;
        }
        let started = Instant::now();
        while started.elapsed() < Duration::from_millis(2_400) {
            if self.over.load(Ordering::SeqCst) {
                return;
            }
            thread::sleep(Duration::from_millis(5));
        }
        self.turn_of_client.store(!client, Ordering::SeqCst);
    }
}

struct Seen {
    frames: usize,
    pings: usize,
    close: Option<(u16, String)>,
}

/// Compares everything that arrives with the script; frames that are not in it must be the edge's.
fn read(
    mut wire: Wire,
    mut script: Script,
    owe: &SyncSender<Vec<u8>>,
    tell: &SyncSender<bool>,
    shared: &Shared,
) -> Seen {
    let mut seen = Seen { frames: 0, pings: 0, close: None };
    let mut expected = script.next();
    loop {
        let Ok(frame) = wire.try_frame() else {
            shared.gone.store(true, Ordering::SeqCst);
            let (rest, _) = wire.rest();
            assert!(rest.is_empty(), "half a frame before the end: {} bytes", rest.len());
            return seen;
        };
        assert!(seen.close.is_none(), "a frame behind the Close: {frame:?}");
        if frame == expected {
            seen.frames += 1;
            let arrived = &shared.read[usize::from(script.masked)];
            arrived.fetch_add(frame.bytes().len(), Ordering::SeqCst);
            expected = script.next();
        } else if frame.op == Op::PING {
            assert_eq!(frame.mask.is_some(), script.masked);
            seen.pings += 1;
            let _ = owe.send(frame.payload);
            let _ = tell.send(script.masked);
        } else {
            assert_eq!(frame.op, Op::CLOSE, "neither sent nor the edge's: {frame:?}");
            seen.close = frame.close_code();
        }
    }
}

/// Runs the traffic until both sides were asked a few times, then lets `end` end it.
fn under_load(legs: Legs, end: impl FnOnce(&mut Edge), codes: &[u16]) {
    let seed = u64::from(rand::random::<u32>());
    let beat = |domain: DomainFile| domain.websocket("heartbeat = 2");
    let mut road = Road::with(legs, beat, |edge| edge.drain_window("0s"));
    let Tunnel { client, origin: server } = road.tunnel();
    let (tell, told) = sync_channel(1_024);
    let shared = Arc::new(Shared::default());
    let mut sides = Vec::new();
    for (wire, masked) in [(client, true), (server, false)] {
        let own = seed * 2 + u64::from(masked);
        let theirs = seed * 2 + u64::from(!masked);
        let (owe, owed) = sync_channel(1_024);
        let (out, tell) = (wire.also(), tell.clone());
        let (of_writer, of_reader) = (Arc::clone(&shared), Arc::clone(&shared));
        thread::spawn(move || write(out, Script::new(own, masked), &owed, &of_writer));
        let theirs = Script::new(theirs, !masked);
        sides.push(thread::spawn(move || read(wire, theirs, &owe, &tell, &of_reader)));
    }
    let mut asked = [0, 0];
    while asked[0] < 2 || asked[1] < 2 {
        let ping = told.recv_timeout(crate::harness::DEADLINE);
        asked[usize::from(ping.expect("a Ping in the middle of the traffic"))] += 1;
    }
    // From here on frames end in time: one that does not is cut, as it should be.
    shared.over.store(true, Ordering::SeqCst);
    end(&mut road.edge);
    for side in sides {
        let seen = side.join().expect("every byte as it was sent");
        assert!(seen.frames > 20 && seen.pings > 0, "{} {}", seen.frames, seen.pings);
        let (code, _) = seen.close.expect("a Close between two frames");
        assert!(codes.contains(&code), "seed {seed}: {code}");
    }
}

fn killed_under_load(legs: Legs) {
    let kill = |edge: &mut Edge| {
        edge.hawser_done(&["kill", "--domain", "a.test", "--code", "1012"]);
    };
    under_load(legs, kill, &[1012]);
}

fn drained_under_load(legs: Legs) {
    let drain = |edge: &mut Edge| edge.signal("TERM");
    under_load(legs, drain, &[1001]);
}

#[test]
fn a_kill_under_load_falls_between_frames() {
    killed_under_load(Legs::Plain);
}

#[test]
fn a_kill_under_load_falls_between_frames_of_wss_to_wss() {
    killed_under_load(Legs::Both);
}

#[test]
fn a_drain_under_load_falls_between_frames() {
    drained_under_load(Legs::Plain);
}

#[test]
fn a_drain_under_load_falls_between_frames_of_wss_to_ws() {
    drained_under_load(Legs::Client);
}

#[test]
fn a_drain_under_load_falls_between_frames_of_ws_to_wss() {
    drained_under_load(Legs::Origin);
}
