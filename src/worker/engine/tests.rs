//! The engine between real sockets on loopback: bytes arrive whatever their number and split, slow
//! readers hold little, ends are clean.

mod secured;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use super::*;
use crate::limits::LOG_RING_EVENTS;
use crate::net::runtime::Runtime;
use crate::proto::ws::Header;
use crate::snapshot::command::Progress;
use crate::snapshot::domain::{Access, AccessLog, DomainHttp, SendProxy};
use crate::snapshot::{
    Balance, CoreHandle, Filter, HeartbeatMode, Listed, Order, Origin, OriginRule, OriginScheme,
    Pace, WebSocket,
};
use crate::stats::admission::Allowance;
use crate::stats::{Cause, Event as LogEvent};
use crate::worker::mailbox::Mailbox;

/// An engine on a thread of its own.
struct Core {
    stats: Arc<Stats>,
    handle: CoreHandle,
    adopt: SyncSender<Upgraded>,
    events: rtrb::Consumer<LogEvent>,
    thread: Option<JoinHandle<()>>,
}

impl Core {
    fn start() -> Core {
        Core::with(FileKind::Registered)
    }

    fn with(files: FileKind) -> Core {
        let stats = Stats::new(1);
        let (producer, events) = rtrb::RingBuffer::new(LOG_RING_EVENTS);
        let (adopt, adopted) = sync_channel::<Upgraded>(64);
        let (tell, told) = sync_channel(64);
        let shared = Arc::clone(&stats);
        let run = move || {
            let (mut runtime, _) = Runtime::new().unwrap();
            runtime.block_on(serve(files, shared, producer, adopted, tell));
        };
        let thread = Some(std::thread::spawn(run));
        Core { stats, handle: told.recv().unwrap(), adopt, events, thread }
    }

    /// A tunnel: its client and its origin, as seen from outside.
    fn tunnel(&self, domain: &Arc<Domain>) -> (TcpStream, TcpStream) {
        self.tunnel_with(domain, vec![], vec![])
    }

    fn tunnel_with(
        &self,
        domain: &Arc<Domain>,
        early_from_client: Vec<u8>,
        early_from_origin: Vec<u8>,
    ) -> (TcpStream, TcpStream) {
        self.tunnel_over(domain, [early_from_client, early_from_origin], [None, None])
    }

    fn tunnel_over(
        &self,
        domain: &Arc<Domain>,
        [early_from_client, early_from_origin]: [Vec<u8>; 2],
        secured: [Option<crate::net::tls::Secured>; 2],
    ) -> (TcpStream, TcpStream) {
        self.tunnel_between(
            [pair(), pair()],
            domain,
            [early_from_client, early_from_origin],
            secured,
        )
    }

    /// Between the near ends of a client's and an origin's connection; answers the far ones.
    fn tunnel_between(
        &self,
        [(client, near_client), (origin, near_origin)]: [(TcpStream, TcpStream); 2],
        domain: &Arc<Domain>,
        [early_from_client, early_from_origin]: [Vec<u8>; 2],
        secured: [Option<crate::net::tls::Secured>; 2],
    ) -> (TcpStream, TcpStream) {
        let endpoint = Endpoint { addr: origin.local_addr().unwrap(), state: Arc::default() };
        let client_addr = client.local_addr().unwrap();
        let allowance = domain.websocket.allowance;
        let admission = self.stats.admission(domain.slot);
        let admitted = admission.enter(allowance, client_addr.ip(), Duration::ZERO).unwrap();
        let upgraded = Upgraded {
            client: near_client.into(),
            origin: near_origin.into(),
            client_addr,
            endpoint,
            early_from_client,
            early_from_origin,
            secured,
            domain: Arc::clone(domain),
            series: 0,
            admitted,
            reserved_bits: 0,
        };
        self.adopt.send(upgraded).unwrap();
        self.wake();
        (client, origin)
    }

    /// Any command makes the thread look for tunnels to adopt.
    fn wake(&self) -> Vec<crate::snapshot::ConnRow> {
        let (reply, rows) = sync_channel(64);
        let reply = Box::new(move |listed: Listed| reply.send(listed.rows).unwrap());
        let filter = Filter::default();
        assert!(self.handle.send(Command::List { filter, order: None, limit: 100, reply }));
        rows.recv().unwrap()
    }

    /// Waits until it has adopted so many tunnels.
    fn has(&self, n: usize) {
        while self.wake().len() < n {
            std::thread::yield_now();
        }
    }

    /// Waits for the line of the next end.
    fn closed(&mut self) -> crate::stats::event::Closed {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            match self.events.pop() {
                Ok(LogEvent::Close(closed)) => return *closed,
                Ok(_) => {}
                Err(_) => {
                    assert!(Instant::now() < deadline, "no end was logged");
                    std::thread::sleep(Duration::from_millis(5));
                }
            }
        }
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        self.handle.send(Command::Stop);
        if let Some(thread) = self.thread.take()
            && !std::thread::panicking()
        {
            thread.join().unwrap();
        }
    }
}

async fn serve(
    files: FileKind,
    stats: Arc<Stats>,
    producer: rtrb::Producer<LogEvent>,
    adopted: Receiver<Upgraded>,
    tell: SyncSender<CoreHandle>,
) {
    let log = Log::new(producer, Arc::clone(&stats.cores()[0]));
    let config = EngineConfig { core: 0, files, tunnels: 64, stats, log, boot: Instant::now() };
    let engine = Engine::new(config).unwrap();
    let (mailbox, handle) = Mailbox::new().unwrap();
    tell.send(handle).unwrap();
    let (driver, ticker) = (engine.clone(), engine.clone());
    runtime::spawn(async move { driver.drive().await.unwrap() }, || std::process::abort());
    runtime::spawn(ticker.tick(), || std::process::abort());
    let snapshot = Snapshot::default();
    loop {
        mailbox.wait().await.unwrap();
        while let Ok(upgraded) = adopted.try_recv() {
            engine.adopt(upgraded).unwrap();
        }
        while let Some(command) = mailbox.take() {
            match command {
                Command::Stop => return,
                other => engine.command(other, &snapshot),
            }
        }
    }
}

fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let far = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (near, _) = listener.accept().unwrap();
    for socket in [&far, &near] {
        socket.set_nodelay(true).unwrap();
    }
    far.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    (far, near)
}

fn domain(websocket: WebSocket) -> Arc<Domain> {
    let origin = Origin {
        address: "127.0.0.1".into(),
        priority: 20,
        weight: 10,
        endpoints: Box::new([]),
        tls_endpoints: Box::default(),
        former: Box::default(),
    };
    Arc::new(Domain {
        name: "a.test".into(),
        slot: 0,
        websocket,
        http: DomainHttp {
            connect_timeout: Duration::from_secs(5),
            response_timeout: Duration::from_secs(5),
            body_timeout: Duration::from_secs(5),
            max_body: 1 << 30,
            host: None,
            send_proxy: SendProxy::Off,
        },
        origins: Box::new([Arc::new(origin)]),
        origin_tls: None,
        client_auth: crate::snapshot::ClientAuth::Off,
        balance: Balance::Weighted,
        close_on_origin_down: None,
        access: Access::default(),
        log: AccessLog { enabled: true, interval: None },
    })
}

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

/// A frame header of a binary message of `n` bytes; a client's mask is zero, so payload is what it
/// is.
fn header(n: usize, masked: bool) -> Vec<u8> {
    let bit = if masked { 0x80 } else { 0 };
    let mut out = vec![0x82, bit | 127];
    out.extend((n as u64).to_be_bytes());
    if n < 126 {
        out = vec![0x82, bit | n as u8];
    } else if n <= 0xffff {
        out = vec![0x82, bit | 126];
        out.extend((n as u16).to_be_bytes());
    }
    if masked {
        out.extend([0; 4]);
    }
    out
}

fn message(payload: &[u8], masked: bool) -> Vec<u8> {
    [header(payload.len(), masked), payload.to_vec()].concat()
}

fn expect(stream: &mut TcpStream, bytes: &[u8]) {
    let mut got = vec![0; bytes.len()];
    stream.read_exact(&mut got).unwrap();
    assert!(got == bytes, "{} bytes differ", bytes.len());
}

/// Reads one frame: first byte and unmasked payload.
fn frame(stream: &mut TcpStream) -> (u8, Vec<u8>) {
    let mut head = vec![];
    loop {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
        if let Some(header) = Header::parse(&head).unwrap() {
            let mut payload = vec![0; header.payload as usize];
            stream.read_exact(&mut payload).unwrap();
            crate::proto::ws::mask::apply(header.mask.unwrap_or_default(), &mut payload);
            return (head[0], payload);
        }
    }
}

fn pattern(n: usize) -> Vec<u8> {
    (0..n as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

#[test]
fn messages_go_both_ways_and_are_counted() {
    let mut core = Core::start();
    let (mut client, mut origin) = core.tunnel(&domain(websocket()));
    for n in [0, 1, 125, 126, 4000, 4032, 4033, 70_000] {
        let (up, down) = (message(&pattern(n), true), message(&pattern(n), false));
        client.write_all(&up).unwrap();
        expect(&mut origin, &up);
        origin.write_all(&down).unwrap();
        expect(&mut client, &down);
    }
    let row = core.wake().remove(0);
    assert_eq!((row.figures.messages_in, row.figures.messages_out), (8, 8));
    drop((client, origin));
    let closed = core.closed();
    assert!(matches!(closed.outcome.cause, Cause::PeerEof | Cause::PeerReset));
    assert_eq!(core.wake().len(), 0);
    assert_eq!(core.stats.admission(0).active(), 0);
}

#[test]
fn early_bytes_go_first() {
    let core = Core::start();
    let (up, down) = (message(&pattern(9000), true), message(b"hello", false));
    let (first, rest) = up.split_at(5000);
    let (mut client, mut origin) =
        core.tunnel_with(&domain(websocket()), first.to_vec(), down.clone());
    client.write_all(rest).unwrap();
    expect(&mut origin, &up);
    expect(&mut client, &down);
}

const MASKED_CLOSE: [u8; 8] = [0x88, 0x82, 0, 0, 0, 0, 3, 232];
const CLOSE: [u8; 4] = [0x88, 2, 3, 232];

/// As on a kernel that holds closed registered files back.
#[test]
fn sockets_that_are_descriptors_carry_and_end_the_same() {
    let mut core = Core::with(FileKind::Descriptors);
    // The same slots again and again.
    for _ in 0..3 {
        let (mut client, mut origin) = core.tunnel(&domain(websocket()));
        for n in [0, 126, 4033, 70_000] {
            let (up, down) = (message(&pattern(n), true), message(&pattern(n), false));
            client.write_all(&up).unwrap();
            expect(&mut origin, &up);
            origin.write_all(&down).unwrap();
            expect(&mut client, &down);
        }
        client.write_all(&MASKED_CLOSE).unwrap();
        expect(&mut origin, &MASKED_CLOSE);
        origin.write_all(&CLOSE).unwrap();
        expect(&mut client, &CLOSE);
        drop(origin);
        assert_eq!(client.read(&mut [0]).unwrap(), 0);
        assert_eq!(core.closed().outcome.cause, Cause::PeerClose);
    }
    let (client, mut origin) = core.tunnel(&domain(websocket()));
    core.has(1);
    drop(client);
    let mut rest = vec![];
    origin.read_to_end(&mut rest).unwrap();
    drop(origin);
    assert!(matches!(core.closed().outcome.cause, Cause::PeerEof | Cause::PeerReset));
}

#[test]
fn a_close_that_came_together_with_the_fin_arrives_before_the_end() {
    let core = Core::start();
    let (client, mut origin) = (pair(), pair());
    // Behind the client's own Close, so that the next batch has all that is left.
    origin.0.write_all(&CLOSE).unwrap();
    origin.0.shutdown(std::net::Shutdown::Write).unwrap();
    let early = [MASKED_CLOSE.to_vec(), vec![]];
    let (mut client, mut origin) =
        core.tunnel_between([client, origin], &domain(websocket()), early, [None, None]);
    for (far, expected) in [(&mut client, &CLOSE[..]), (&mut origin, &MASKED_CLOSE)] {
        let mut got = vec![];
        far.read_to_end(&mut got).unwrap();
        assert_eq!(got, expected);
    }
}

#[test]
fn the_second_close_does_not_wait_for_a_fin() {
    let mut core = Core::start();
    let early = [MASKED_CLOSE.to_vec(), CLOSE.to_vec()];
    let (mut client, mut origin) = core.tunnel_over(&domain(websocket()), early, [None, None]);
    expect(&mut client, &CLOSE);
    expect(&mut origin, &MASKED_CLOSE);
    assert_eq!(core.wake().len(), 1, "nobody has left");
    drop(origin);
    let mut rest = vec![];
    client.read_to_end(&mut rest).unwrap();
    assert!(rest.is_empty());
    assert_eq!(core.closed().outcome.cause, Cause::PeerClose);
}

#[test]
fn every_split_of_a_header_arrives_unchanged() {
    let core = Core::start();
    let (mut client, mut origin) = core.tunnel(&domain(websocket()));
    let up = message(&pattern(300), true);
    for cut in 1..20 {
        client.write_all(&up[..cut]).unwrap();
        // The listing goes through the core's loop, so the first part was most likely taken by
        // itself.
        core.wake();
        client.write_all(&up[cut..]).unwrap();
        expect(&mut origin, &up);
    }
}

#[test]
fn a_long_message_streams_through_a_slow_reader_with_few_buffers() {
    const N: usize = 64 << 20;
    let core = Core::start();
    let (client, mut origin) = core.tunnel(&domain(websocket()));
    let mut client_writer = client.try_clone().unwrap();
    let writer = std::thread::spawn(move || {
        client_writer.write_all(&header(N, true)).unwrap();
        let chunk = pattern(1 << 20);
        for _ in 0..N >> 20 {
            client_writer.write_all(&chunk).unwrap();
        }
    });
    // Until the reader starts, the peer's socket buffers and a few pooled ones fill, and then
    // nothing moves.
    std::thread::sleep(Duration::from_millis(300));
    let used = core.stats.cores()[0].core.buffers_used.value();
    assert!(used <= 40, "{used} buffers for one slow reader");
    expect(&mut origin, &header(N, true));
    let chunk = pattern(1 << 20);
    for _ in 0..N >> 20 {
        expect(&mut origin, &chunk);
    }
    writer.join().unwrap();
}

#[test]
fn a_kill_reaches_both_sides_with_its_code() {
    let mut core = Core::start();
    let (mut client, mut origin) = core.tunnel(&domain(websocket()));
    let (reply, count) = sync_channel(64);
    core.handle.send(Command::Close {
        filter: Filter::default(),
        cause: Cause::Killed,
        code: 4000,
        reason: "moved".into(),
        pace: None,
        number: 0,
        reply: Box::new(move |n| reply.send(n).unwrap()),
    });
    assert_eq!(count.recv().unwrap(), 1);
    assert_eq!(frame(&mut client), (0x88, b"\x0f\xa0moved".to_vec()));
    assert_eq!(frame(&mut origin), (0x88, b"\x0f\xa0moved".to_vec()));
    let mut rest = vec![];
    assert_eq!(client.read_to_end(&mut rest).unwrap(), 0, "FIN after the Close");
    drop((client, origin));
    let closed = core.closed();
    assert_eq!((closed.outcome.cause, closed.outcome.close_code), (Cause::Killed, 4000));
}

#[test]
fn the_first_by_an_order_are_listed_and_all_that_match_are_counted() {
    let core = Core::start();
    let domain = domain(websocket());
    let mut tunnels: Vec<_> = (0..5).map(|_| core.tunnel(&domain)).collect();
    for (i, (client, origin)) in tunnels.iter_mut().enumerate() {
        let bytes = [&header(i + 1, true)[..], &vec![7; i + 1]].concat();
        client.write_all(&bytes).unwrap();
        expect(origin, &bytes);
    }
    let list = |filter: Filter, order, limit| {
        let (reply, listed) = sync_channel(1);
        let reply = Box::new(move |answer: Listed| reply.send(answer).unwrap());
        assert!(core.handle.send(Command::List { filter, order, limit, reply }));
        listed.recv().unwrap()
    };
    let all = Filter::default();
    let listed = list(all.clone(), Some(Order::BytesIn), 2);
    let mut bytes: Vec<u64> = listed.rows.iter().map(|row| row.figures.bytes_in).collect();
    bytes.sort_unstable();
    assert_eq!((listed.matched, bytes), (5, vec![10, 11]));
    assert_eq!((list(all.clone(), None, 0).matched, list(all, None, 3).rows.len()), (5, 3));
    for order in [None, Some(Order::Bytes), Some(Order::Age)] {
        for limit in 0..7 {
            let listed = list(Filter::default(), order, limit);
            assert_eq!((listed.rows.len(), listed.matched), (limit.min(5), 5), "{order:?}");
        }
    }
    let count = |filter| list(filter, None, 9).matched;
    let origin = Some(listed.rows[0].origin);
    for (filter, matched) in [
        (Filter { client: Some("127.0.0.0/8".parse().unwrap()), ..Filter::default() }, 5),
        (Filter { client: Some("10.0.0.0/8".parse().unwrap()), ..Filter::default() }, 0),
        (
            Filter {
                region: Some("unknown".into()),
                isp: Some("unknown".into()),
                ..Filter::default()
            },
            5,
        ),
        (Filter { region: Some("x".into()), ..Filter::default() }, 0),
        (Filter { min_age_ms: Some(0), min_idle_ms: Some(0), ..Filter::default() }, 5),
        (Filter { min_age_ms: Some(3_600_000), ..Filter::default() }, 0),
        (Filter { min_idle_ms: Some(3_600_000), ..Filter::default() }, 0),
        (Filter { origin, ..Filter::default() }, 1),
    ] {
        assert_eq!(count(filter.clone()), matched, "{filter:?}");
    }
}

#[test]
fn a_closing_at_a_pace_says_how_many_are_left_and_can_be_stopped() {
    let core = Core::start();
    let domain = domain(websocket());
    let mut tunnels: Vec<_> = (0..3).map(|_| core.tunnel(&domain)).collect();
    core.has(3);
    let (reply, count) = sync_channel(1);
    core.handle.send(Command::Close {
        filter: Filter::default(),
        cause: Cause::Killed,
        code: 1012,
        reason: "slowly".into(),
        // One at once, the next in a quarter of an hour.
        pace: Some(Pace { per_second_e6: Pace::ONE / 900, saved_e6: Pace::ONE }),
        number: 7,
        reply: Box::new(move |n| reply.send(n).unwrap()),
    });
    assert_eq!(count.recv().unwrap(), 3);
    let closing = |number, ask| {
        let (reply, left) = sync_channel(1);
        let reply = Box::new(move |n| reply.send(n).unwrap());
        assert!(core.handle.send(Command::Closing { number, ask, reply }));
        left.recv().unwrap()
    };
    assert_eq!(frame(&mut tunnels[0].0), (0x88, b"\x03\xf4slowly".to_vec()));
    assert_eq!(closing(7, Progress::Look), 2);
    assert_eq!(closing(8, Progress::Stop), 0);
    assert_eq!(closing(7, Progress::Stop), 2);
    assert_eq!(closing(7, Progress::Look), 0);
    for (client, origin) in &mut tunnels[1..] {
        client.write_all(&[0x81, 0x80, 0, 0, 0, 0]).unwrap();
        expect(origin, &[0x81, 0x80, 0, 0, 0, 0]);
    }
}

#[test]
fn a_slow_closing_does_not_wait_for_what_ended_by_itself() {
    let mut core = Core::start();
    let domain = domain(websocket());
    let gone = core.tunnel(&domain);
    let _stays = core.tunnel(&domain);
    core.has(2);
    let (reply, count) = sync_channel(1);
    core.handle.send(Command::Close {
        filter: Filter::default(),
        cause: Cause::Killed,
        code: 1012,
        reason: "slowly".into(),
        pace: Some(Pace { per_second_e6: Pace::ONE / 900, saved_e6: 0 }),
        number: 7,
        reply: Box::new(move |n| reply.send(n).unwrap()),
    });
    assert_eq!(count.recv().unwrap(), 2);
    drop(gone);
    assert_ne!(core.closed().outcome.cause, Cause::Killed);
    let (reply, left) = sync_channel(1);
    let reply = Box::new(move |n| reply.send(n).unwrap());
    let (number, ask) = (7, Progress::Look);
    assert!(core.handle.send(Command::Closing { number, ask, reply }));
    assert_eq!(left.recv().unwrap(), 1);
}

#[test]
fn a_drain_closes_everything_and_says_when() {
    let core = Core::start();
    let domain = domain(websocket());
    let mut tunnels: Vec<_> = (0..10).map(|_| core.tunnel(&domain)).collect();
    let (reply, over) = sync_channel(64);
    core.handle.send(Command::Drain {
        window: Duration::from_millis(500),
        code: 1001,
        reason: "going away".into(),
        reply: Box::new(move |()| reply.send(()).unwrap()),
    });
    for (client, origin) in &mut tunnels {
        assert_eq!(frame(client).1[..2], 1001_u16.to_be_bytes());
        assert_eq!(frame(origin).1[..2], 1001_u16.to_be_bytes());
    }
    drop(tunnels);
    over.recv_timeout(Duration::from_secs(20)).unwrap();
}

// RFC 6455 7.1.1: the edge is the server of the one and the client of the other.
#[test]
fn after_the_answers_to_a_drain_both_sockets_are_closed() {
    let mut core = Core::start();
    let (mut client, mut origin) = core.tunnel(&domain(websocket()));
    core.handle.send(Command::Drain {
        window: Duration::ZERO,
        code: 1001,
        reason: "going away".into(),
        reply: Box::new(|()| {}),
    });
    frame(&mut client);
    client.write_all(&[0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe9]).unwrap();
    frame(&mut origin);
    origin.write_all(&[0x88, 2, 0x03, 0xe9]).unwrap();
    for peer in [&mut client, &mut origin] {
        assert_eq!(peer.read(&mut [0; 1]).unwrap(), 0, "a FIN came, not a reset");
    }
    assert_eq!(core.closed().outcome.cause, Cause::Drain);
}

#[test]
fn a_violation_is_not_passed_on() {
    let mut core = Core::start();
    let (mut client, mut origin) = core.tunnel(&domain(websocket()));
    let good = message(b"good", true);
    client.write_all(&[good.clone(), message(b"unmasked", false)].concat()).unwrap();
    expect(&mut origin, &good);
    assert_eq!(frame(&mut origin).1[..2], 1001_u16.to_be_bytes());
    assert_eq!(frame(&mut client).1[..2], 1002_u16.to_be_bytes());
    drop((client, origin));
    assert_eq!(core.closed().outcome.cause, Cause::ProtocolError);
}

#[test]
fn keys_are_used_again_only_when_free() {
    let mut core = Core::start();
    let domain = domain(websocket());
    for round in 0..200 {
        let (mut client, mut origin) = core.tunnel(&domain);
        let up = message(&pattern(round), true);
        client.write_all(&up).unwrap();
        expect(&mut origin, &up);
        drop((client, origin));
        core.closed();
    }
}

#[test]
fn a_ping_under_load_stands_between_frames() {
    let core = Core::start();
    let (client, mut origin) =
        core.tunnel(&domain(WebSocket { heartbeat: Duration::from_secs(1), ..websocket() }));
    // The origin only sends; its own silence as a receiver makes no difference, the client's
    // silence is what is pinged.
    let mut reader = client.try_clone().unwrap();
    let sender = std::thread::spawn(move || {
        let down = message(&pattern(100_000), false);
        let end = Instant::now() + Duration::from_millis(2500);
        let mut sent = 0;
        while Instant::now() < end {
            origin.write_all(&down).unwrap();
            sent += 1;
        }
        origin.write_all(&message(b"last", false)).unwrap();
        (sent, origin)
    });
    let (mut pings, mut messages) = (0, 0);
    let expected = pattern(100_000);
    loop {
        match frame(&mut reader) {
            (0x89, payload) => {
                pings += 1;
                let mut pong = message(&payload, true);
                pong[0] = 0x8a;
                reader.write_all(&pong).unwrap();
            }
            (0x82, payload) if payload == b"last" => break,
            (0x82, payload) => {
                assert!(payload == expected);
                messages += 1;
            }
            (other, payload) => panic!("frame {other:#x} of {} bytes", payload.len()),
        }
    }
    let (sent, _origin) = sender.join().unwrap();
    assert_eq!(messages, sent);
    assert!(pings >= 1, "the client was pinged");
    assert!(core.wake()[0].figures.client_rtt_us > 0);
}

/// Fills the path towards a reader that does not read, until nothing moves any more.
fn stuff(stream: &mut TcpStream, bytes: &[u8]) {
    stream.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
    while stream.write(bytes).is_ok_and(|n| n > 0) {}
}

#[test]
fn many_slow_readers_do_not_starve_a_healthy_tunnel() {
    let core = Core::start();
    let domain = domain(websocket());
    let down = message(&pattern(100), false).repeat(200);
    let stalled: Vec<_> = (0..40)
        .map(|_| {
            let (client, mut origin) = core.tunnel(&domain);
            let down = down.clone();
            (client, std::thread::spawn(move || stuff(&mut origin, &down)))
        })
        .collect();
    let clients: Vec<TcpStream> = stalled
        .into_iter()
        .map(|(client, pusher)| {
            pusher.join().unwrap();
            client
        })
        .collect();
    let used = core.stats.cores()[0].core.buffers_used.value();
    assert!(used <= 40 * 40, "{used} buffers for 40 slow readers");
    let (mut client, mut origin) = core.tunnel(&domain);
    for n in [1, 1000, 100_000] {
        let up = message(&pattern(n), true);
        client.write_all(&up).unwrap();
        expect(&mut origin, &up);
    }
    drop(clients);
}

#[test]
fn a_reset_in_the_middle_of_a_stream_ends_the_tunnel_and_frees_everything() {
    let mut core = Core::start();
    let domain = domain(websocket());
    for _ in 0..3 {
        let (client, mut origin) = core.tunnel(&domain);
        stuff(&mut origin, &message(&pattern(5000), false));
        // Unread bytes make the kernel answer with a reset.
        drop(client);
        let closed = core.closed();
        assert!(matches!(closed.outcome.cause, Cause::PeerReset | Cause::PeerEof));
        drop(origin);
    }
    let deadline = Instant::now() + Duration::from_secs(20);
    while core.stats.cores()[0].core.buffers_used.value() > 0 {
        assert!(Instant::now() < deadline, "buffers were lost");
        core.wake();
    }
}

// RFC 6455 7.1.1
#[test]
fn after_both_closes_a_tunnel_ends_with_the_first_who_leaves() {
    let mut core = Core::start();
    let (mut client, mut origin) = core.tunnel(&domain(websocket()));
    client.write_all(&[0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8]).unwrap();
    assert_eq!(frame(&mut origin), (0x88, vec![0x03, 0xe8]));
    origin.write_all(&[0x88, 2, 0x03, 0xe8]).unwrap();
    assert_eq!(frame(&mut client), (0x88, vec![0x03, 0xe8]));
    drop(origin);
    assert_eq!(core.closed().outcome.cause, Cause::PeerClose);
    assert_eq!(client.read(&mut [0; 1]).unwrap(), 0, "a FIN came, not a reset");
}

#[test]
fn a_reader_that_stands_still_is_given_up() {
    let mut core = Core::start();
    let patience = WebSocket { stalled_write: Duration::from_secs(1), ..websocket() };
    let (client, mut origin) = core.tunnel(&domain(patience));
    stuff(&mut origin, &message(&pattern(50_000), false));
    let closed = core.closed();
    assert_eq!(closed.outcome.cause, Cause::StalledWrite);
    drop(client);
}

#[test]
fn a_piece_cut_into_thousands_of_parts_by_forged_pongs_arrives() {
    let core = Core::start();
    let beating = WebSocket { heartbeat: Duration::from_secs(1), ..websocket() };
    let (mut client, mut origin) = core.tunnel(&domain(beating));
    let (opcode, payload) = frame(&mut client);
    assert_eq!(opcode, 0x89);
    let mut pong = message(&payload, true);
    pong[0] = 0x8a;
    let data = message(b"x", true);
    let forged = [pong, data].concat().repeat(10_000);
    let writer = std::thread::spawn(move || {
        client.write_all(&forged).unwrap();
        client
    });
    let mut seen = 0;
    while seen < 10_000 {
        match frame(&mut origin) {
            (0x82, payload) => {
                assert_eq!(payload, b"x");
                seen += 1;
            }
            (0x89, payload) => {
                let mut pong = message(&payload, false);
                pong[0] = 0x8a;
                origin.write_all(&pong).unwrap();
            }
            (other, _) => panic!("frame {other:#x}"),
        }
    }
    writer.join().unwrap();
}
