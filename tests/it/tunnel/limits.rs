//! Limits of a domain: on frames, messages, connections, handshakes, rate and life.

use std::time::{Duration, Instant};

use crate::harness::tunnel::closes_with;
use crate::harness::{
    DomainFile, Edge, Frame, Head, Op, Origin, Tunnel, Wire, eventually, upgrade_request,
};

use super::open;

fn closed_with(wire: &mut Wire, codes: &[u16]) {
    let frame = wire.frame();
    let (code, reason) = frame.close_code().expect("a code");
    assert!(codes.contains(&code), "{code} {reason}");
    closes_with(wire, &frame, code);
}

#[test]
fn a_frame_of_max_frame_passes_and_one_more_byte_is_1009() {
    for from_client in [true, false] {
        let (edge, _origin, mut tunnel) = open(&["max_frame = 1000"]);
        let fits = Frame::binary(vec![1; 1000]);
        let over = Frame::binary(vec![1; 1001]);
        let (sinner, other) = if from_client {
            tunnel.client.send_frame(&fits.clone().masked());
            assert_eq!(tunnel.origin.frame(), fits.masked());
            tunnel.client.send_frame(&over.masked());
            (&mut tunnel.client, &mut tunnel.origin)
        } else {
            tunnel.origin.send_frame(&fits);
            assert_eq!(tunnel.client.frame(), fits);
            tunnel.origin.send_frame(&over);
            (&mut tunnel.origin, &mut tunnel.client)
        };
        closed_with(other, &[1001, 1009, 1011]);
        closed_with(sinner, &[1009]);
        edge.await_log("the end", |line| line["cause"] == "frame_too_big");
    }
}

#[test]
fn only_the_announced_length_is_needed_to_refuse_a_frame() {
    // Tomcat CVE-2020-13935, gorilla CVE-2020-27813: a length near 2^63 and not one byte of it.
    let (edge, _origin, mut tunnel) = open(&["max_frame = 1000000"]);
    tunnel.client.send(Frame::header(Op::BINARY, Some([1, 2, 3, 4]), i64::MAX as u64));
    closed_with(&mut tunnel.origin, &[1001, 1009, 1011]);
    closed_with(&mut tunnel.client, &[1009]);
    edge.await_log("the end", |line| line["cause"] == "frame_too_big");
}

#[test]
fn max_message_counts_every_fragment() {
    let (edge, _origin, mut tunnel) = open(&["max_message = 1000"]);
    let first = Frame::binary(vec![1; 600]).unfinished().masked();
    let fits = Frame::new(Op::CONTINUE, vec![1; 400]).masked();
    for _ in 0..2 {
        for frame in [&first, &Frame::ping("not counted").masked(), &fits] {
            tunnel.client.send_frame(frame);
            assert_eq!(&tunnel.origin.frame(), frame);
        }
    }
    tunnel.client.send_frame(&first);
    assert_eq!(tunnel.origin.frame(), first);
    tunnel.client.send_frame(&Frame::new(Op::CONTINUE, vec![1; 401]).masked());
    closed_with(&mut tunnel.origin, &[1001, 1009, 1011]);
    closed_with(&mut tunnel.client, &[1009]);
    edge.await_log("the end", |line| line["cause"] == "message_too_big");
}

#[test]
fn more_messages_per_second_than_allowed_is_1008() {
    let (edge, _origin, mut tunnel) = open(&["messages_per_second = 10"]);
    // The other direction is the origin's business.
    for i in 0..30 {
        let down = Frame::text(format!("{i}"));
        tunnel.origin.send_frame(&down);
        assert_eq!(tunnel.client.frame(), down);
    }
    // Each has arrived before the next is sent, so none shares a read with another.
    let message = Frame::text("flood").masked();
    let mut passed = 0;
    let close = loop {
        tunnel.client.try_send(message.bytes());
        match tunnel.origin.frame() {
            frame if frame == message => passed += 1,
            frame => break frame,
        }
        assert!(passed < 1_000, "never limited");
    };
    assert!(passed >= 10, "a burst of one second's worth passes: {passed}");
    let (code, _) = close.close_code().expect("a code");
    assert!(matches!(code, 1001 | 1008 | 1011), "{code}");
    closed_with(&mut tunnel.client, &[1008]);
    edge.await_log("the end", |line| line["cause"] == "message_rate");
}

fn refused(edge: &Edge) -> Head {
    let mut client = edge.connect();
    client.send(upgrade_request("a.test", ""));
    let (answer, body) = client.answer();
    assert_eq!(answer.status(), 429, "{answer:?}");
    assert!(answer.field("retry-after").is_some_and(|v| v.parse::<u32>().is_ok()), "{answer:?}");
    assert!(!body.is_empty());
    answer
}

#[test]
fn max_connections_is_429_and_a_place_comes_back() {
    let origin = Origin::bind();
    let edge = Edge::builder()
        .workers(2)
        .domain(DomainFile::to("a.test", &origin).websocket("max_connections = 2"))
        .start();
    let first = Tunnel::open(&edge, &origin, "a.test");
    let mut second = Tunnel::open(&edge, &origin, "a.test");
    for _ in 0..4 {
        refused(&edge);
    }
    assert_eq!(origin.spoken(), 2, "a refused handshake reached the origin");
    drop(first);
    eventually("the place is free", || {
        let mut client = edge.connect();
        client.send(upgrade_request("a.test", ""));
        let mut at = origin.accept_within(Duration::from_millis(300))?;
        let head = at.head();
        at.send(crate::harness::switching(&head));
        assert_eq!(client.head().status(), 101);
        Some(())
    });
    second.check();
}

#[test]
fn a_failed_handshake_gives_its_place_back() {
    let origin = Origin::bind();
    let edge = Edge::with(DomainFile::to("a.test", &origin).websocket("max_connections = 1"));
    for _ in 0..5 {
        let mut client = edge.connect();
        client.send(upgrade_request("a.test", ""));
        let mut at = origin.accept();
        at.head();
        at.send("HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n");
        assert_eq!(client.answer().0.status(), 403);
    }
    Tunnel::open(&edge, &origin, "a.test").check();
}

#[test]
fn max_connections_per_ip_counts_addresses_apart() {
    let origin = Origin::bind();
    let edge = Edge::builder()
        .listen(&["0.0.0.0:0"])
        .server("proxy_protocol = \"v1\"\ntrusted_proxies = [\"127.0.0.0/8\"]")
        .domain(DomainFile::to("a.test", &origin).websocket("max_connections_per_ip = 1"))
        .start();
    let port = edge.addr().port();
    let from = |ip: &str| {
        let mut client = Wire::connect(([127, 0, 0, 1], port).into());
        client.send(format!("PROXY TCP4 {ip} 10.0.0.1 1000 80\r\n"));
        client
    };
    let mut one = Tunnel::over(from("192.0.2.1"), &origin, "a.test", "", "");
    let mut two = Tunnel::over(from("192.0.2.2"), &origin, "a.test", "", "");
    let mut third = from("192.0.2.1");
    third.send(upgrade_request("a.test", ""));
    assert_eq!(third.answer().0.status(), 429);
    one.check();
    two.check();
}

#[test]
fn handshakes_per_second_is_429_with_retry_after() {
    let origin = Origin::echoing();
    let edge = Edge::with(DomainFile::to("a.test", &origin).websocket("handshakes_per_second = 3"));
    let mut codes = Vec::new();
    let mut kept = Vec::new();
    for _ in 0..30 {
        let mut client = edge.connect();
        client.send(upgrade_request("a.test", ""));
        let answer = client.head();
        codes.push(answer.status());
        if answer.status() == 429 {
            assert!(answer.has("retry-after"), "{answer:?}");
        }
        kept.push(client);
    }
    let passed = codes.iter().filter(|&&c| c == 101).count();
    assert_eq!(codes.iter().filter(|&&c| c == 429).count() + passed, 30, "{codes:?}");
    assert!((3..30).contains(&passed), "{codes:?}");
    assert_eq!(codes[..3], [101, 101, 101], "a burst of one second's worth passes");
    eventually("the budget comes back", || {
        let mut client = edge.connect();
        client.send(upgrade_request("a.test", ""));
        (client.head().status() == 101).then_some(())
    });
    let refused = edge.metrics().sum("hawser_handshakes_total", &[("code", "429")]);
    assert!(refused >= (30 - passed) as f64, "{refused} of {}", 30 - passed);
}

#[test]
fn a_tunnel_ends_at_max_lifetime_with_jitter() {
    let origin = Origin::bind();
    let edge = Edge::with(DomainFile::to("a.test", &origin).websocket("max_lifetime = \"2s\""));
    let opened = Instant::now();
    let tunnels: Vec<_> = (0..8).map(|_| Tunnel::open(&edge, &origin, "a.test")).collect();
    for tunnel in tunnels {
        tunnel.closed_by_edge(1001, 1001);
    }
    assert!(opened.elapsed() >= Duration::from_millis(1_700), "{:?}", opened.elapsed());
    for line in edge.log().iter().filter(|line| line["event"] == "close") {
        assert_eq!(line["cause"], "lifetime", "{line}");
    }
}

#[test]
fn a_reader_that_never_reads_ends_after_stalled_write() {
    let origin = Origin::bind();
    let edge = Edge::with(DomainFile::to("a.test", &origin).websocket("stalled_write = \"1s\""));
    let client = Wire::connect_small(edge.addr(), 4096);
    let Tunnel { client: _kept_unread, origin: mut server } =
        Tunnel::over(client, &origin, "a.test", "", "");
    let block = Frame::binary(vec![1; 60_000]).bytes();
    // It goes on until the edge ends it; more than all socket buffers hold never gets through.
    let mut sent = 0;
    while server.try_send(&block) {
        sent += block.len();
        assert!(sent < 64 << 20, "the edge swallows {sent} bytes for a client that never reads");
    }
    let line = edge.await_log("the end", |line| line["cause"] == "stalled_write");
    assert_eq!(line["side"], "client", "{line}");
}
