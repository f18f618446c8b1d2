//! Going away: nothing accepted is lost, everybody is told, and the next process takes over.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::harness::road::{Legs, Road};
use crate::harness::tunnel::closes;
use crate::harness::{
    DomainFile, Edge, EdgeBuilder, End, Frame, OnDrop, Op, Origin, Tunnel, Wire, eventually,
};

fn get(addr: std::net::SocketAddr) -> Result<u16, End> {
    let stream = std::net::TcpStream::connect(addr).map_err(|_| End::Reset)?;
    let mut client = Wire::new(stream);
    client.try_send("GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n");
    client.try_head().map(|head| head.status())
}

#[test]
fn sigterm_closes_both_sides_with_1001_and_exits_0() {
    for name in ["TERM", "QUIT", "INT"] {
        let origin = Origin::bind();
        let mut edge = Edge::builder()
            .workers(2)
            .domain(DomainFile::to("a.test", &origin))
            .drain_window("0s")
            .start();
        let tunnels: Vec<_> = (0..5).map(|_| Tunnel::open(&edge, &origin, "a.test")).collect();
        edge.signal(name);
        for tunnel in tunnels {
            tunnel.closed_by_edge(1001, 1001);
        }
        assert_eq!(edge.exit(), Some(0), "{name}");
    }
}

#[test]
fn the_end_is_logged_with_its_cause() {
    let origin = Origin::bind();
    let mut edge = Edge::to(&origin);
    let tunnel = Tunnel::open(&edge, &origin, "a.test");
    edge.signal("TERM");
    tunnel.closed_by_edge(1001, 1001);
    assert_eq!(edge.exit(), Some(0));
    let log = edge.log();
    let close = log.iter().find(|line| line["event"] == "close").expect("a close line");
    assert_eq!((close["cause"].as_str(), close["side"].as_str()), (Some("drain"), Some("edge")));
}

#[test]
fn without_tunnels_the_exit_is_at_once() {
    let origin = Origin::answering("x");
    let mut edge =
        Edge::builder().domain(DomainFile::to("a.test", &origin)).drain_window("30m").start();
    assert_eq!(get(edge.addr()), Ok(200));
    edge.signal("TERM");
    assert_eq!(edge.exit(), Some(0));
}

#[test]
fn while_draining_readyz_is_503_and_nothing_new_is_accepted() {
    let origin = Origin::bind();
    let mut edge =
        Edge::builder().domain(DomainFile::to("a.test", &origin)).drain_window("30s").start();
    assert_eq!(edge.admin_get("/readyz").0, 200);
    // Among many, one at least is not closed in the first moment of the window.
    let mut tunnels: Vec<_> = (0..12).map(|_| Tunnel::open(&edge, &origin, "a.test")).collect();
    edge.signal("TERM");
    edge.notified("STOPPING=1");
    eventually("/readyz says 503", || (edge.admin_get("/readyz").0 == 503).then_some(()));
    assert_eq!(edge.admin_get("/healthz").0, 200, "alive all the same");
    eventually("new connections are refused", || {
        std::net::TcpStream::connect(edge.addr()).is_err().then_some(())
    });
    // Those that are not closed yet still work.
    let mut working = 0;
    for tunnel in &mut tunnels {
        let up = Frame::text("up").masked();
        if tunnel.client.try_send(up.bytes()) && tunnel.origin.try_frame() == Ok(up) {
            working += 1;
        }
    }
    assert!(working > 0, "all were closed at once in a window of 30 s");
    edge.signal("TERM");
    assert_eq!(edge.exit(), Some(0), "a second signal ends it at once");
}

#[test]
fn closing_is_spread_over_the_window() {
    let origin = Origin::bind();
    let mut edge = Edge::builder()
        .workers(2)
        .domain(DomainFile::to("a.test", &origin))
        .drain_window("3s")
        .start();
    let tunnels: Vec<_> = (0..30).map(|_| Tunnel::open(&edge, &origin, "a.test")).collect();
    let started = Instant::now();
    edge.signal("TERM");
    let ends: Vec<_> = tunnels
        .into_iter()
        .map(|mut tunnel| {
            std::thread::spawn(move || {
                closes(&mut tunnel.client, 1001);
                closes(&mut tunnel.origin, 1001);
                Instant::now()
            })
        })
        .collect();
    let mut ends: Vec<_> = ends.into_iter().map(|t| t.join().expect("closed") - started).collect();
    ends.sort_unstable();
    let (first, last) = (ends[0], ends[ends.len() - 1]);
    assert!(last - first > Duration::from_millis(1_000), "from {first:?} to {last:?}");
    assert_eq!(edge.exit(), Some(0));
}

#[test]
fn a_second_sigterm_stops_at_once() {
    let origin = Origin::bind();
    let mut edge =
        Edge::builder().domain(DomainFile::to("a.test", &origin)).drain_window("1h").start();
    let _tunnels: Vec<_> = (0..5).map(|_| Tunnel::open(&edge, &origin, "a.test")).collect();
    edge.signal("TERM");
    eventually("draining", || (edge.admin_get("/readyz").0 == 503).then_some(()));
    let second = Instant::now();
    edge.signal("TERM");
    assert_eq!(edge.exit(), Some(0));
    assert!(second.elapsed() < Duration::from_secs(10), "{:?}", second.elapsed());
}

#[test]
fn peers_that_never_answer_do_not_hold_up_the_exit() {
    let origin = Origin::bind();
    let mut edge = Edge::to(&origin);
    let mut tunnel = Tunnel::open(&edge, &origin, "a.test");
    tunnel.client.send(&Frame::binary([1; 100]).masked().bytes()[..50]);
    edge.signal("TERM");
    assert_eq!(tunnel.client.frame().op, Op::CLOSE);
    assert_eq!(edge.exit(), Some(0));
}

#[test]
fn a_plain_request_that_is_under_way_is_finished() {
    let origin = Origin::bind();
    let mut edge =
        Edge::builder().domain(DomainFile::to("a.test", &origin)).drain_window("20s").start();
    let mut client = edge.connect();
    client.send("GET /slow HTTP/1.1\r\nHost: a.test\r\n\r\n");
    let mut at = origin.accept();
    at.head();
    edge.signal("TERM");
    eventually("draining", || (edge.admin_get("/readyz").0 == 503).then_some(()));
    at.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    let (head, body) = client.answer();
    assert_eq!(body, b"ok");
    assert!(head.lists("connection", "close"), "{head:?}");
    assert_eq!(client.ends(), End::Fin);
    assert_eq!(edge.exit(), Some(0));
}

#[test]
fn the_verbs_drain_and_stop_do_the_same() {
    let origin = Origin::bind();
    let mut edge =
        Edge::builder().domain(DomainFile::to("a.test", &origin)).drain_window("1h").start();
    let tunnel = Tunnel::open(&edge, &origin, "a.test");
    edge.hawser_done(&["drain", "--window", "0s"]);
    tunnel.closed_by_edge(1001, 1001);
    assert_eq!(edge.exit(), Some(0));
    let mut edge =
        Edge::builder().domain(DomainFile::to("a.test", &origin)).drain_window("1h").start();
    let _tunnel = Tunnel::open(&edge, &origin, "a.test");
    edge.hawser_done(&["stop"]);
    assert_eq!(edge.exit(), Some(0));
    let output = edge.hawser(&["drain"]);
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(error.contains("no edge is running"), "{error}");
}

/// The process once ended before the answer to the one who asked for it was written.
#[test]
fn stop_and_drain_answer_before_they_end() {
    let origin = Origin::bind();
    for verb in ["stop", "drain"] {
        for _ in 0..8 {
            let mut edge = Edge::to(&origin);
            edge.hawser_done(&[verb]);
            assert_eq!(edge.exit(), Some(0));
        }
    }
}

/// A second edge shares the address: whatever the kernel had queued for the one that goes is
/// served, by one or the other. A handshake that is under way in the very moment in which a
/// listener closes is reset by the kernel itself, unless net.ipv4.tcp_migrate_req is 1
/// (tuning/README.md); that is at most one of each client.
#[test]
fn no_connection_in_the_accept_queue_is_lost_while_another_process_listens() {
    let origin = Origin::answering("x");
    let mut first = Edge::builder().workers(2).domain(DomainFile::to("a.test", &origin)).start();
    let addr = first.addr().to_string();
    let second = Edge::builder()
        .listen(&[&addr])
        .workers(2)
        .domain(DomainFile::to("a.test", &origin))
        .start();
    assert_eq!(first.addr(), second.addr());
    let migrates = std::fs::read_to_string("/proc/sys/net/ipv4/tcp_migrate_req");
    let lost_by_the_kernel = if migrates.is_ok_and(|v| v.trim() == "1") { 0 } else { CLIENTS };
    none_lost(second.addr(), lost_by_the_kernel, || {
        first.signal("TERM");
        assert_eq!(first.exit(), Some(0));
    });
}

const CLIENTS: usize = 3;

/// Asks as fast as clients can, before, while and after `change`; every request is answered, but
/// for `tolerated` that were reset before they were accepted.
fn none_lost(addr: std::net::SocketAddr, tolerated: usize, change: impl FnOnce()) {
    let (stop, served) = (AtomicBool::new(false), AtomicUsize::new(0));
    let ask = || {
        let mut lost = Vec::new();
        while !stop.load(Ordering::Relaxed) {
            match get(addr) {
                Ok(200) => drop(served.fetch_add(1, Ordering::Relaxed)),
                other => lost.push(other),
            }
        }
        lost
    };
    let more = |n| {
        let so_far = served.load(Ordering::Relaxed);
        eventually("traffic goes on", || {
            (served.load(Ordering::Relaxed) >= so_far + n).then_some(())
        });
    };
    let lost: Vec<_> = std::thread::scope(|scope| {
        // However this ends, the clients must be told, or the scope never does.
        let told = OnDrop(|| stop.store(true, Ordering::Relaxed));
        let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(ask)).collect();
        more(100);
        change();
        more(100);
        drop(told);
        clients.into_iter().flat_map(|c| c.join().expect("a client")).collect()
    });
    let served = served.into_inner();
    let other = lost.iter().any(|lost| *lost != Err(End::Reset));
    let total = served + lost.len();
    assert!(lost.len() <= tolerated && !other, "{} of {total} lost: {lost:?}", lost.len());
}

/// Below the range from which the kernel picks ports for everybody else.
fn free_port() -> u16 {
    let candidates = (0..).map(|_| rand::random_range(20_000..30_000));
    let free = |port: &u16| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok();
    candidates.take(1_000).find(free).expect("a free port")
}

#[test]
fn usr2_hands_over_to_a_new_process_without_losing_a_connection() {
    let (origin, ws) = (Origin::answering("x"), Origin::bind());
    // A successor takes over the addresses that the configuration names, so the port is a real one.
    let addr = format!("127.0.0.1:{}", free_port());
    let mut edge = Edge::builder()
        .listen(&[&addr])
        .workers(2)
        .domain(DomainFile::to("a.test", &origin))
        .domain(DomainFile::to("ws.test", &ws))
        .drain_window("0s")
        .start();
    let first = edge.pid;
    let old = Tunnel::open(&edge, &ws, "ws.test");
    none_lost(edge.addr(), 0, || {
        edge.signal("USR2");
        old.closed_by_edge(1012, 1012);
        assert_eq!(edge.exit(), Some(0), "the old process goes when it is empty");
    });
    // The new one can be operated like the first: a tunnel, a reload, an end.
    let status = edge.control("GET", "/v1/status", None);
    let successor = status["pid"].as_u64().expect("a pid");
    assert_ne!(successor, u64::from(first));
    Tunnel::open(&edge, &ws, "ws.test").check();
    edge.hawser_done(&["reload"]);
    edge.hawser_done(&["stop"]);
    eventually("nobody listens any more", || {
        std::net::TcpStream::connect(edge.addr()).is_err().then_some(())
    });
}

#[test]
fn tunnels_of_a_process_that_handed_over_are_seen_and_closed_until_it_is_gone() {
    let ws = Origin::bind();
    let addr = format!("127.0.0.1:{}", free_port());
    let domain = DomainFile::to("ws.test", &ws);
    let mut edge = Edge::builder().listen(&[&addr]).domain(domain).drain_window("600s").start();
    let (first, pid) = (edge.pid, edge.pid.to_string());
    // A drain tells at least one tunnel per tick to go, the last opened first.
    let mut old: Vec<Tunnel> = (0..200).map(|_| Tunnel::open(&edge, &ws, "ws.test")).collect();
    let socket = edge.dir().join(format!("control.{pid}.sock"));
    edge.signal("USR2");
    eventually("the old process answers apart", || socket.exists().then_some(()));
    let fresh = Tunnel::open(&edge, &ws, "ws.test");

    let rows = edge.conns();
    let row_of = |tunnel: &Tunnel| {
        let client = tunnel.client.local().to_string();
        rows.iter().find(|row| row["client"] == client.as_str()).expect("a row")
    };
    let (gone_soon, stays) = (row_of(&old[0]), row_of(&fresh));
    assert_eq!(gone_soon["process"], first);
    assert_ne!(stays["process"], first);
    let text = edge.hawser_done(&["conns", "--process", &pid]);
    assert!(text.contains(&format!("process {pid} handed over")), "{text}");
    assert!(!text.contains(&fresh.client.local().to_string()), "{text}");
    assert_eq!(edge.hawser(&["conns", "--process", "1"]).status.code(), Some(1));

    // Each process numbers its own: an id alone may mean two tunnels.
    let id = gone_soon["id"].as_str().expect("an id");
    assert_eq!(stays["id"], id);
    let refused = edge.hawser(&["kill", id]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("--process"), "{refused:?}");
    edge.hawser_done(&["kill", id, "--process", &pid, "--code", "4001"]);
    old.remove(0).closed_by_edge(4001, 4001);
    edge.hawser_done(&["kill", "--domain", "ws.test", "--code", "4002"]);
    fresh.closed_by_edge(4002, 4002);
    assert_eq!(edge.exit(), Some(0), "the old process goes when it is empty");
    assert!(!socket.exists());
    eventually("nothing is left", || edge.conns().is_empty().then_some(()));
    edge.hawser_done(&["stop"]);
}

#[test]
fn usr2_hands_the_tls_listeners_over_too() {
    let [listen, listen_tls] = [(); 2].map(|()| format!("127.0.0.1:{}", free_port()));
    let legs = |edge: EdgeBuilder| edge.listen(&[&listen]).tls_at(&listen_tls);
    let mut road = Road::with(Legs::Both, |domain| domain, legs);
    let old = road.tunnel();
    road.edge.signal("USR2");
    old.closed_by_edge(1012, 1012);
    assert_eq!(road.edge.exit(), Some(0), "the old process goes when it is empty");
    road.tunnel().check();
    road.edge.hawser_done(&["stop"]);
}

#[test]
fn usr2_with_a_configuration_that_is_bad_by_now_changes_nothing() {
    let origin = Origin::bind();
    let mut edge = Edge::to(&origin);
    let mut tunnel = Tunnel::open(&edge, &origin, "a.test");
    edge.write_domain(&DomainFile::to("b.test", &origin).websocket("heartbeat = 0"));
    edge.signal("USR2");
    eventually("the failure is logged", || edge.stderr().contains("keeps serving").then_some(()));
    assert!(edge.is_running());
    tunnel.check();
    Tunnel::open(&edge, &origin, "a.test").check();
}

#[test]
fn usr1_reopens_the_access_log() {
    let origin = Origin::answering("x");
    let edge = Edge::to(&origin);
    assert_eq!(get(edge.addr()), Ok(200));
    edge.await_log("the first request", |line| line["event"] == "request");
    let (log, moved) = (edge.dir().join("access.log"), edge.dir().join("access.log.1"));
    std::fs::rename(&log, &moved).expect("moved away");
    edge.signal("USR1");
    eventually("a new file", || {
        let _ = get(edge.addr());
        log.exists().then_some(())
    });
    edge.await_log("a request in the new file", |line| line["event"] == "request");
}
