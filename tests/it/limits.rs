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

/// At the limit of descriptors: newcomers wait, tunnels live, nothing spins, and all is well once
/// descriptors are there again. Tunnels themselves cost none.
#[test]
fn out_of_descriptors_the_edge_stops_accepting_keeps_serving_and_recovers() {
    let origin = Origin::bind();
    let edge = Edge::builder().domain(DomainFile::to("a.test", &origin)).start();
    let mut tunnels: Vec<_> = (0..5).map(|_| Tunnel::open(&edge, &origin, "a.test")).collect();
    let open = std::fs::read_dir(format!("/proc/{}/fd", edge.pid)).expect("fds").count();
    limit_descriptors(edge.pid, open + 4);
    let mut starved: Vec<_> = (0..40)
        .map(|_| {
            let mut client = edge.connect();
            client.send("GET /starved HTTP/1.1\r\nHost: a.test\r\n");
            client
        })
        .collect();
    eventually("the pause is counted", || (edge_pauses(&edge)? > 0.0).then_some(()));
    tunnels.iter_mut().for_each(Tunnel::check);
    let before = cpu_ticks(edge.pid);
    std::thread::sleep(Duration::from_secs(1));
    let used = cpu_ticks(edge.pid) - before;
    assert!(used < 40, "{used} of 100 ticks: it spins");
    tunnels.iter_mut().for_each(Tunnel::check);
    limit_descriptors(edge.pid, 4096);
    // Everybody who waited is served, and so are newcomers.
    for client in &mut starved {
        client.try_send("\r\n");
    }
    let answers = std::thread::spawn(move || {
        for client in starved {
            let mut client = client;
            // Those that were accepted during the drought may have been told 503.
            if let Ok(head) = client.try_head() {
                assert!(matches!(head.status(), 200 | 408 | 502 | 503), "{}", head.start);
            }
        }
    });
    while !answers.is_finished() {
        if let Some(mut at) = origin.accept_within(Duration::from_millis(50)) {
            std::thread::spawn(move || {
                while at.try_head().is_ok() {
                    at.try_send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
                }
            });
        }
    }
    answers.join().expect("answers");
    Tunnel::open(&edge, &origin, "a.test").check();
    tunnels.iter_mut().for_each(Tunnel::check);
}

fn limit_descriptors(pid: u32, limit: usize) {
    let done = std::process::Command::new("prlimit")
        .arg(format!("--pid={pid}"))
        .arg(format!("--nofile={limit}:"))
        .status();
    assert!(done.is_ok_and(|s| s.success()), "prlimit");
}

/// The admin listener may be starved itself.
fn edge_pauses(edge: &Edge) -> Option<f64> {
    let mut wire = Wire::connect(edge.admin());
    wire.socket().set_read_timeout(Some(Duration::from_secs(1))).expect("a time-out");
    wire.try_send("GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    let mut text = String::new();
    let _ = std::io::Read::read_to_string(&mut wire.socket(), &mut text);
    let line = text.lines().find(|l| l.starts_with("hawser_accept_pauses_total{"))?;
    line.rsplit(' ').next()?.parse().ok()
}

fn cpu_ticks(pid: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("a living process");
    let fields: Vec<_> = text.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    [11, 12].iter().filter_map(|&i| fields.get(i)?.parse::<u64>().ok()).sum()
}

/// With room for fewer than the tunnels need, were they in the descriptor table.
#[test]
fn more_tunnels_than_descriptors() {
    let origin = Origin::echoing();
    let edge = Edge::builder()
        .domain(DomainFile::to("a.test", &origin))
        .wrapped(&["prlimit", "--nofile=200:200"])
        .start();
    let mut clients: Vec<_> = (0..400)
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
    edge.await_metric("hawser_tunnels_active", &[("domain", "a.test")], 400.0);
}
