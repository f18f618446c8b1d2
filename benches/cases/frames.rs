//! What following a frame stream costs, for small messages and for bulk: by the scanner alone, and
//! with all that the engine does for a piece from one completion to the other. Not here: the ring.

use std::hint::black_box;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hawser::limits::BUFFER_HEADROOM;
use hawser::net::buffers::{Class, Pool, Size};
use hawser::proto::ws::{Header, Rules, Scanner, Stop};
use hawser::stats::{SeriesName, Stats};
use hawser::tunnel::{Action, Leg, Now, Tunnel};
use hawser::worker::table::{Entry, Fin, Io, Life, Piece, Receiving, Table};

use super::Case;
use super::snapshot::snapshot_of;

const RULES: Rules = Rules {
    masked: true,
    reserved_allowed: 0,
    strict: true,
    max_frame: u64::MAX >> 1,
    max_message: u64::MAX >> 1,
    each_message: false,
};
/// Pieces in one run.
const PIECES: u64 = 1000;
/// As `net::ring` has its small ones; fewer.
const SMALL: Class = Class { stride: 4096, lent: 4032, count: 64, window: 1, window_min: 1 };

pub fn cases() -> Vec<Case> {
    vec![
        scanned("scan one message of 64 bytes", 1, 64),
        headers("parse its header"),
        scanned("scan 32 messages of 64 bytes in one piece", 32, 64),
        scanned("scan one message of 1 MiB in one piece", 1, 1 << 20),
        followed("forward one message of 64 bytes from the client", Leg::Client, 1),
        followed("forward one message of 64 bytes from the origin", Leg::Origin, 1),
        followed("forward 32 messages of 64 bytes in one piece", Leg::Client, 32),
    ]
}

/// `count` binary messages of `length` bytes, masked as those of a client.
fn messages(from: Leg, count: usize, length: usize) -> Vec<u8> {
    let mut stream = Vec::new();
    let masked = if from == Leg::Client { 0x80 } else { 0 };
    for _ in 0..count {
        stream.push(0x82);
        match length {
            0..=125 => stream.push(masked | length as u8),
            126..=0xffff => {
                stream.push(masked | 126);
                stream.extend_from_slice(&(length as u16).to_be_bytes());
            }
            _ => {
                stream.push(masked | 127);
                stream.extend_from_slice(&(length as u64).to_be_bytes());
            }
        }
        if from == Leg::Client {
            stream.extend_from_slice(&[1, 2, 3, 4]);
        }
        stream.resize(stream.len() + length, 0x55);
    }
    stream
}

fn scanned(name: &str, count: u32, length: usize) -> Case {
    Case::new(name, (PIECES * u64::from(count), "message"), move || {
        let stream = messages(Leg::Client, count as usize, length);
        move || {
            for _ in 0..PIECES {
                let advance = Scanner::default().advance(black_box(&stream), &RULES, true);
                assert_eq!((advance.messages, advance.stop), (count, Stop::End));
            }
        }
    })
}

fn headers(name: &str) -> Case {
    let case = Case::new(name, (PIECES, "message"), || {
        let stream = messages(Leg::Client, 1, 64);
        move || {
            for _ in 0..PIECES {
                assert!(black_box(Header::parse(black_box(&stream))).is_ok());
            }
        }
    });
    case.floor()
}

fn followed(name: &str, from: Leg, count: u32) -> Case {
    Case::new(name, (PIECES * u64::from(count), "message"), move || {
        let stream = messages(from, count as usize, 64);
        let mut core = Core::receiving(&stream);
        move || {
            for _ in 0..PIECES {
                core.receive(from, black_box(stream.len()), count);
                core.sent(from.peer(), black_box(stream.len()));
            }
        }
    })
}

/// What the engine has around its tunnels, the ring left out.
struct Core {
    table: Table,
    pool: Pool,
    stats: Arc<Stats>,
    actions: Vec<Action>,
    now: Now,
    key: u32,
}

impl Core {
    /// One open tunnel, and a pool whose next buffer holds `bytes`.
    fn receiving(bytes: &[u8]) -> Core {
        let stats = Stats::new(1);
        let now = Now::from_us(1_000_000);
        let mut table = Table::new(1);
        let key = table.insert(|generation| open_tunnel(&stats, generation, now));
        let unused = Class { stride: 64, lent: 0, count: 1, window: 0, window_min: 0 };
        let mut pool = Pool::new([SMALL, unused, unused]).expect("there is memory");
        let buffer = pool.take(Size::Small).expect("none is in use");
        pool.bytes_mut(&buffer)[BUFFER_HEADROOM..][..bytes.len()].copy_from_slice(bytes);
        // The last in is the first out.
        pool.recycle(buffer);
        Core { table, pool, stats, actions: Vec::with_capacity(64), now, key }
    }

    /// A completion of a receive: `n` bytes are judged, counted, and queued towards the other leg.
    fn receive(&mut self, from: Leg, n: usize, expected: u32) {
        self.now = Now::from_us(self.now.us + 1000);
        let buffer = self.pool.take(Size::Small).expect("one at a time is in use");
        let capacity = self.pool.capacity(Size::Small);
        let entry = self.table.entry(self.key).expect("it stays open");
        assert!(entry.life == Life::Open && entry.is_plain());
        entry.io[from as usize].bulk.note(n, capacity);
        let held = entry.tunnel.held(from);
        let start = BUFFER_HEADROOM - held.len();
        let bytes = &self.pool.bytes(&buffer)[start..BUFFER_HEADROOM + n];
        let websocket = &entry.domain.websocket;
        let messages = entry.tunnel.received(from, bytes, self.now, websocket, &mut self.actions);
        assert_eq!(messages, expected);
        self.count(from, n, messages);
        let mut actions = std::mem::take(&mut self.actions);
        for action in actions.drain(..) {
            let Action::Forward(range) = action else { panic!("{action:?}") };
            let buffer = self.pool.share(&buffer);
            let range = start + range.start..start + range.end;
            self.queue(from.peer(), Piece { buffer, range, framing: 0 });
        }
        self.actions = actions;
        self.follow_ending();
        self.pool.recycle(buffer);
    }

    fn count(&mut self, from: Leg, n: usize, messages: u32) {
        let entry = self.table.entry(self.key).expect("it stays open");
        let counters = self.stats.cores()[0].series(entry.series);
        match from {
            Leg::Client => {
                counters.bytes_in.add(n as u64);
                counters.messages_in.add(u64::from(messages));
            }
            Leg::Origin => counters.messages_out.add(u64::from(messages)),
        }
        assert_eq!(entry.tunnel.take_rtt(from), None);
    }

    fn queue(&mut self, to: Leg, piece: Piece) {
        self.table.enqueue(self.key, to as usize, piece);
        let segment = self.table.front(self.key, to as usize).expect("it was just queued");
        black_box((&segment.buffer, segment.start, segment.end));
        let tick = self.now.tick;
        let entry = self.table.entry(self.key).expect("it stays open");
        entry.in_flight += 1;
        entry.io[to as usize].sending = true;
        entry.io[to as usize].progress_at = tick;
    }

    /// A completion of a send: all `n` bytes have left.
    fn sent(&mut self, to: Leg, n: usize) {
        let entry = self.table.entry(self.key).expect("it stays open");
        entry.in_flight -= 1;
        entry.io[to as usize].sending = false;
        let segment = self.table.front(self.key, to as usize).expect("it is being sent");
        let counted = segment.sent(n);
        assert!(segment.is_done());
        let buffer = self.table.pop(self.key, to as usize).expect("it was just seen");
        self.pool.recycle(buffer);
        let entry = self.table.entry(self.key).expect("it stays open");
        entry.tunnel.sent(to, counted);
        if to == Leg::Client {
            self.stats.cores()[0].series(entry.series).bytes_out.add(counted as u64);
        }
        assert_eq!((entry.io[to as usize].queued, entry.io[to as usize].fin), (0, Fin::No));
        assert_eq!(entry.io[to.peer() as usize].receive, Receiving::Multi);
        self.follow_ending();
    }

    fn follow_ending(&mut self) {
        let entry = self.table.entry(self.key).expect("it stays open");
        assert_eq!(entry.tunnel.end_deadline(), None);
    }
}

fn open_tunnel(stats: &Stats, generation: u32, now: Now) -> Entry {
    let snapshot = snapshot_of(std::iter::once("live.example.com".to_owned()));
    let domain = Arc::clone(snapshot.hosts.iter().next().expect("there is one"));
    let unknown: Arc<str> = "unknown".into();
    let name = Arc::clone(&domain.name);
    let series = SeriesName { domain: name, region: Arc::clone(&unknown), isp: unknown };
    let client = SocketAddr::from(([192, 0, 2, 1], 50_000));
    let admission = stats.admission(domain.slot);
    let admitted = admission.enter(domain.websocket.allowance, client.ip(), Duration::ZERO);
    let io = || {
        let mut io = Io::new(now.tick);
        io.receive = Receiving::Multi;
        io
    };
    Entry {
        tunnel: Tunnel::new(&domain.websocket, 0, 7, now),
        io: [io(), io()],
        secured: [None, None],
        generation,
        life: Life::Open,
        in_flight: 2,
        log_at: 0,
        series: stats.cores()[0].begin_series(series, None, 0).expect("it is the first"),
        admitted: Some(admitted.expect("it is the first")),
        endpoint: domain.origins[0].endpoints[0].clone(),
        client,
        domain,
    }
}
