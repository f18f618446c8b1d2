//! Limits of the process and of patience: descriptors, slow heads, slow bodies, slow readers.

use std::time::{Duration, Instant};

use crate::harness::{DomainFile, Edge, EdgeBuilder, End, Origin, Tunnel, Wire, eventually, show};

fn impatient(origin: &Origin) -> EdgeBuilder {
    Edge::builder()
        .domain(DomainFile::to("a.test", origin).set("http", "body_timeout = \"1s\""))
        .table("[timeouts]\nhead = \"1s\"\nkeepalive = \"1s\"")
}

const GET: &str = "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n";

#[test]
fn a_slow_head_is_408_after_its_deadline_however_it_trickles() {
    let origin = Origin::bind();
    let edge = impatient(&origin).start();
    let mut silent = edge.connect();
    let mut half = edge.connect();
    half.send("GET / HTTP/1.1\r\nHost: a.test\r\n");
    let mut trickling = edge.connect();
    let started = Instant::now();
    let mut drip = trickling.also();
    let dripping = std::thread::spawn(move || {
        let lines = std::iter::repeat_n("X-A: b\r\n", 400);
        drip.send("GET / HTTP/1.1\r\nHost: a.test\r\n");
        for line in lines {
            if !drip.try_send(line) {
                break;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    });
    let (answer, body) = half.answer();
    assert_eq!(answer.status(), 408, "{}", show(&body));
    assert!(answer.lists("connection", "close"));
    assert_eq!(half.ends(), End::Fin);
    // The deadline is absolute: every new line does not buy more time.
    let (said, _) = trickling.rest();
    assert!(said.starts_with(b"HTTP/1.1 408") || said.is_empty(), "{}", show(&said));
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    // A connection on which nothing was said may end without an answer.
    let (said, _) = silent.rest();
    assert!(said.is_empty() || said.starts_with(b"HTTP/1.1 408"), "{}", show(&said));
    drop(trickling);
    dripping.join().expect("dripped");
    assert_eq!(origin.spoken(), 0);
}

#[test]
fn a_slow_head_on_a_kept_connection_is_408_too() {
    let origin = Origin::answering("x");
    let edge = impatient(&origin).start();
    let mut client = edge.connect();
    client.send(GET);
    assert_eq!(client.answer().1, b"x");
    client.send("GET / HT");
    assert_eq!(client.answer().0.status(), 408);
    assert_eq!(client.ends(), End::Fin);
}

#[test]
fn a_body_that_stalls_is_408_and_the_origin_sees_no_whole_request() {
    let origin = Origin::bind();
    let edge = impatient(&origin).start();
    let mut client = edge.connect();
    client.send("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 100\r\n\r\nstart");
    let mut at = origin.accept();
    at.head();
    at.expect("start");
    assert_eq!(client.answer().0.status(), 408);
    let (seen, _) = at.rest();
    assert!(seen.is_empty());
}

#[test]
fn an_answer_that_stalls_ends_the_connection() {
    let origin = Origin::bind();
    let edge = impatient(&origin).start();
    let mut client = edge.connect();
    client.send(GET);
    let mut at = origin.accept();
    at.head();
    at.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nstart");
    assert_eq!(client.head().status(), 200);
    let (said, _) = client.rest();
    assert_eq!(said, b"start");
    at.ends();
}

#[test]
fn a_client_that_never_reads_its_answer_is_given_up() {
    let origin = Origin::bind();
    let edge = impatient(&origin).start();
    let mut client = Wire::connect_small(edge.addr(), 4096);
    client.send(GET);
    let mut at = origin.accept();
    at.head();
    at.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n");
    let block = vec![b'x'; 1 << 20];
    let mut sent = 0;
    while at.try_send(&block) {
        sent += block.len();
        assert!(sent < 64 << 20, "swallowed {sent} bytes for a client that never reads");
    }
    eventually("the set-up is over", || {
        (edge.metrics().sum("hawser_setups", &[]) == 0.0).then_some(())
    });
}

/// With room for few connections in set-up: the rest wait in the kernel's queue, tunnels live, the
/// pause is counted, and everybody is served in the end.
#[test]
fn at_the_limit_the_edge_stops_accepting_keeps_serving_counts_and_recovers() {
    let origin = Origin::answering("served");
    let ws = Origin::bind();
    let edge = Edge::builder()
        .domain(DomainFile::to("a.test", &origin))
        .domain(DomainFile::to("ws.test", &ws))
        .wrapped(&["prlimit", "--nofile=100:100"])
        .start();
    let mut tunnels: Vec<_> = (0..5).map(|_| Tunnel::open(&edge, &ws, "ws.test")).collect();
    let mut waiting: Vec<_> = (0..60)
        .map(|_| {
            let mut client = edge.connect();
            client.send("GET /waits HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n");
            client
        })
        .collect();
    eventually("the pause is counted", || {
        (edge.metrics().sum("hawser_accept_pauses_total", &[]) > 0.0).then_some(())
    });
    tunnels.iter_mut().for_each(Tunnel::check);
    for client in &mut waiting {
        client.send("\r\n");
    }
    for client in &mut waiting {
        assert_eq!(client.answer().1, b"served");
    }
    tunnels.iter_mut().for_each(Tunnel::check);
    Tunnel::open(&edge, &ws, "ws.test").check();
}

/// The limit is lowered under a running edge, so that the kernel refuses what the edge planned
/// with.
#[test]
fn when_the_kernel_has_no_descriptor_left_nothing_spins_and_tunnels_live() {
    let origin = Origin::answering("served");
    let ws = Origin::bind();
    let edge = Edge::builder()
        .domain(DomainFile::to("a.test", &origin))
        .domain(DomainFile::to("ws.test", &ws))
        .start();
    let mut tunnels: Vec<_> = (0..5).map(|_| Tunnel::open(&edge, &ws, "ws.test")).collect();
    let open = std::fs::read_dir(format!("/proc/{}/fd", edge.pid)).expect("fds").count();
    limit_descriptors(edge.pid, open + 4);
    let mut starved: Vec<_> = (0..40)
        .map(|_| {
            let mut client = edge.connect();
            client.send("GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n");
            client
        })
        .collect();
    tunnels.iter_mut().for_each(Tunnel::check);
    let before = cpu_ticks(edge.pid);
    std::thread::sleep(Duration::from_secs(1));
    let used = cpu_ticks(edge.pid) - before;
    assert!(used < 50, "{used} of 100 ticks: it spins");
    tunnels.iter_mut().for_each(Tunnel::check);
    limit_descriptors(edge.pid, 4096);
    for client in &mut starved {
        // Those that were accepted when no descriptor was left for an origin were told so.
        let (head, _) = client.answer();
        assert!(matches!(head.status(), 200 | 502 | 503), "{}", head.start);
    }
    Tunnel::open(&edge, &ws, "ws.test").check();
    tunnels.iter_mut().for_each(Tunnel::check);
}

fn limit_descriptors(pid: u32, limit: usize) {
    let done = std::process::Command::new("prlimit")
        .arg(format!("--pid={pid}"))
        .arg(format!("--nofile={limit}:"))
        .status();
    assert!(done.is_ok_and(|s| s.success()), "prlimit");
}

fn cpu_ticks(pid: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("a living process");
    let fields: Vec<_> = text.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    [11, 12].iter().filter_map(|&i| fields.get(i)?.parse::<u64>().ok()).sum()
}

/// Sockets of tunnels are in the rings: the limit bounds each worker's table, not the process.
#[test]
fn more_tunnels_than_descriptors() {
    let origin = Origin::echoing();
    let edge = Edge::builder()
        .workers(4)
        .domain(DomainFile::to("a.test", &origin))
        .wrapped(&["prlimit", "--nofile=200:200"])
        .start();
    let mut clients: Vec<_> = (0..240)
        .map(|_| {
            let mut client = edge.connect();
            client.send(crate::harness::upgrade_request("a.test", ""));
            assert_eq!(client.head().status(), 101);
            client
        })
        .collect();
    for client in &mut clients {
        let frame = crate::harness::Frame::text("x");
        client.send_frame(&frame.clone().masked());
        assert_eq!(client.frame(), frame);
    }
    edge.await_metric("hawser_tunnels_active", &[("domain", "a.test")], 240.0);
}

/// Two handshakes for the last place of a table: both were asked of the origin, one is carried. The
/// other one once got its 101 and then the end of the connection.
#[test]
fn a_101_is_not_followed_by_the_end_when_the_table_was_full() {
    let origin = Origin::bind();
    let edge = Edge::builder()
        .workers(1)
        .domain(DomainFile::to("a.test", &origin))
        .wrapped(&["prlimit", "--nofile=200:200"])
        .start();
    let mut tunnels: Vec<_> = (0..99).map(|_| Tunnel::open(&edge, &origin, "a.test")).collect();
    let mut clients = [edge.connect(), edge.connect()];
    let mut asked = clients.each_mut().map(|client| {
        client.send(crate::harness::upgrade_request("a.test", ""));
        let mut wire = origin.accept();
        let request = wire.head();
        (wire, request)
    });
    for (wire, request) in &mut asked {
        wire.send(crate::harness::tunnel::switching_with(request, ""));
    }
    let mut statuses = clients.each_mut().map(|client| client.head().status());
    statuses.sort_unstable();
    assert_eq!(statuses, [101, 503]);
    tunnels.iter_mut().for_each(Tunnel::check);
}
