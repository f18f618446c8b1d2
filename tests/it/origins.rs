//! Where connections go: priority, weight, counts, hashes, health, and every address before a
//! refusal.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::harness::name_server::{Answer, name_server};
use crate::harness::tunnel::{closes, closes_with};
use crate::harness::{
    DomainFile, Edge, EdgeBuilder, Frame, Op, Origin, Tunnel, Wire, eventually, upgrade_request,
};

const HEALTH: &str = "[health]\ninterval = \"100ms\"\ntimeout = \"100ms\"\nfailures = 3";

fn answered(edge: &Edge, more: &str) -> String {
    let mut client = edge.connect();
    client.send(format!("GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n{more}\r\n"));
    String::from_utf8(client.answer().1).expect("text")
}

fn edge(domain: DomainFile) -> EdgeBuilder {
    Edge::builder().domain(domain).table(HEALTH)
}

/// A port on which nobody listens, and nobody else will: kept bound without listening.
fn dead_port() -> (socket2::Socket, std::net::SocketAddr) {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
    let socket = socket.expect("a socket");
    let any: std::net::SocketAddr = ([127, 0, 0, 1], 0).into();
    socket.bind(&any.into()).expect("a free port");
    let addr = socket.local_addr().expect("bound").as_socket().expect("an IP address");
    (socket, addr)
}

fn endpoint_is(edge: &Edge, origin: std::net::SocketAddr, up: bool) {
    let endpoint = origin.to_string();
    edge.await_metric("hawser_endpoint_up", &[("endpoint", &endpoint)], f64::from(u8::from(up)));
}

#[test]
fn a_backup_is_used_only_while_no_primary_is_up() {
    let (primary, backup) = (Origin::answering_once("primary"), Origin::answering_once("backup"));
    let edge = edge(
        DomainFile::new("a.test")
            .origin(backup.addr, "priority = 30")
            .origin(primary.addr, "priority = 20"),
    )
    .start();
    for _ in 0..20 {
        assert_eq!(answered(&edge, ""), "primary");
    }
    primary.close();
    // At once, by trying every address; then by health.
    assert_eq!(answered(&edge, ""), "backup");
    endpoint_is(&edge, primary.addr, false);
    assert_eq!(answered(&edge, ""), "backup");
    let again = Origin::bind_to(&primary.addr.to_string());
    endpoint_is(&edge, primary.addr, true);
    let mut client = edge.connect();
    client.send("GET /back HTTP/1.1\r\nHost: a.test\r\n\r\n");
    assert_eq!(again.accept().head().target(), "/back");
}

#[test]
fn weights_share_the_load() {
    let (heavy, light) = (Origin::answering_once("heavy"), Origin::answering_once("light"));
    let edge = edge(
        DomainFile::new("a.test")
            .origin(heavy.addr, "weight = 90")
            .origin(light.addr, "weight = 10"),
    )
    .start();
    let mut counts = BTreeMap::new();
    for _ in 0..300 {
        *counts.entry(answered(&edge, "")).or_insert(0) += 1;
    }
    // Expected 30 of 300; the bounds are more than five standard deviations away.
    let light = counts.get("light").copied().unwrap_or(0);
    assert!((4..=60).contains(&light), "{counts:?}");
}

#[test]
fn every_address_is_tried_before_a_handshake_fails() {
    let live = Origin::bind();
    let dead: Vec<_> = (0..5).map(|_| dead_port()).collect();
    let mut domain = DomainFile::new("a.test");
    for (_, addr) in &dead {
        domain = domain.origin(*addr, "");
    }
    domain = domain.origin(live.addr, "priority = 30");
    // Health is too slow to help here.
    let edge = Edge::builder().domain(domain).table("[health]\ninterval = \"1h\"").start();
    for _ in 0..5 {
        let mut client = edge.connect();
        client.send(upgrade_request("a.test", ""));
        let mut at = live.accept();
        let head = at.head();
        at.send(crate::harness::switching(&head));
        assert_eq!(client.head().status(), 101);
    }
}

/// A handshake is an idempotent GET: an origin that ends without a word has not answered it.
#[test]
fn an_origin_that_ends_without_a_word_is_passed_over() {
    let (one, two) = (Origin::bind(), Origin::bind());
    let domain = DomainFile::new("a.test").origin(one.addr, "").origin(two.addr, "priority = 30");
    let edge = edge(domain).start();
    let mut client = edge.connect();
    client.send(upgrade_request("a.test", ""));
    let mut at = one.accept();
    at.head();
    at.reset();
    let mut at = two.accept();
    let head = at.head();
    at.send(crate::harness::switching(&head));
    assert_eq!(client.head().status(), 101);
}

#[test]
fn never_a_second_origin_once_the_first_has_begun_to_answer() {
    let (one, two) = (Origin::bind(), Origin::bind());
    let domain = DomainFile::new("a.test").origin(one.addr, "").origin(two.addr, "priority = 30");
    let edge = edge(domain).start();
    let mut client = edge.connect();
    client.send(upgrade_request("a.test", ""));
    let mut at = one.accept();
    at.head();
    at.send("HTTP/1.1 1");
    at.finish();
    assert_eq!(client.answer().0.status(), 502);
    // Nor after a 101: that tunnel ends, and its client connects anew.
    let tunnel = Tunnel::open(&edge, &one, "a.test");
    tunnel.origin.reset();
    let mut client = tunnel.client;
    assert_eq!(client.frame().op, Op::CLOSE);
    assert_eq!(two.spoken(), 0);
}

#[test]
fn no_origin_up_is_503() {
    let (_kept, addr) = dead_port();
    let edge = edge(DomainFile::new("a.test").origin(addr, "")).start();
    endpoint_is(&edge, addr, false);
    let mut client = edge.connect();
    client.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    let (answer, body) = client.answer();
    assert_eq!(answer.status(), 503, "{}", String::from_utf8_lossy(&body));
}

/// A listener whose queue is full drops SYNs: a connect neither succeeds nor fails.
#[test]
fn an_origin_that_never_accepts_is_504_after_connect_timeout() {
    let full =
        socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    let any: std::net::SocketAddr = ([127, 0, 0, 1], 0).into();
    full.bind(&any.into()).expect("a free port");
    full.listen(0).expect("a listener");
    let addr = full.local_addr().expect("bound").as_socket().expect("an IP address");
    let fillers: Vec<_> = (0..4)
        .map(|_| {
            let filler = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)
                .expect("a socket");
            filler.set_nonblocking(true).expect("non-blocking");
            let _ = filler.connect(&addr.into());
            filler
        })
        .collect();
    let edge = Edge::builder()
        .domain(
            DomainFile::new("a.test").origin(addr, "").set("http", "connect_timeout = \"500ms\""),
        )
        .table("[health]\ninterval = \"1h\"\ntimeout = \"60s\"")
        .start();
    let mut client = edge.connect();
    let started = Instant::now();
    client.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    assert_eq!(client.answer().0.status(), 504);
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    drop(fillers);
}

#[test]
fn three_failures_mean_down_and_one_success_means_up() {
    let origin = Origin::answering_once("x");
    let addr = origin.addr;
    let edge = edge(DomainFile::to("a.test", &origin)).start();
    endpoint_is(&edge, addr, true);
    origin.close();
    endpoint_is(&edge, addr, false);
    let _listener = TcpListener::bind(addr).expect("the same port");
    endpoint_is(&edge, addr, true);
}

fn opened_at(edge: &Edge, origins: &[&Origin]) -> (usize, Wire, Wire) {
    let mut client = edge.connect();
    client.send(upgrade_request("a.test", ""));
    let (i, mut at) = eventually("the request reaches one of the origins", || {
        origins
            .iter()
            .enumerate()
            .find_map(|(i, o)| Some((i, o.accept_within(Duration::from_millis(2))?)))
    });
    let head = at.head();
    at.send(crate::harness::switching(&head));
    assert_eq!(client.head().status(), 101);
    (i, client, at)
}

#[test]
fn least_connections_counts_live_tunnels_across_reloads() {
    let (one, two) = (Origin::bind(), Origin::bind());
    let only = DomainFile::to("a.test", &one).set("balance", "mode = \"least_connections\"");
    let edge = edge(only).workers(2).start();
    let mut kept: Vec<_> = (0..4).map(|_| Tunnel::open(&edge, &one, "a.test")).collect();
    let both = DomainFile::new("a.test")
        .origin(one.addr, "")
        .origin(two.addr, "")
        .set("balance", "mode = \"least_connections\"");
    edge.reload_with(&both);
    // Four are open at the first, so the next four go to the second.
    let mut more = Vec::new();
    for _ in 0..4 {
        let (i, client, at) = opened_at(&edge, &[&one, &two]);
        assert_eq!(i, 1);
        more.push((client, at));
    }
    // Even now; what ends makes room.
    drop(kept.split_off(1));
    let endpoint = one.addr.to_string();
    edge.await_metric("hawser_endpoint_tunnels", &[("endpoint", &endpoint)], 1.0);
    for _ in 0..3 {
        let (i, client, at) = opened_at(&edge, &[&one, &two]);
        assert_eq!(i, 0);
        more.push((client, at));
    }
}

#[test]
fn least_connections_counts_per_weight() {
    let (one, two) = (Origin::bind(), Origin::bind());
    let edge = edge(
        DomainFile::new("a.test")
            .origin(one.addr, "weight = 30")
            .origin(two.addr, "weight = 10")
            .set("balance", "mode = \"least_connections\""),
    )
    .start();
    let all: Vec<_> = (0..12).map(|_| opened_at(&edge, &[&one, &two])).collect();
    assert_eq!(all.iter().filter(|(i, ..)| *i == 0).count(), 9, "3 to 1");
}

#[test]
fn the_same_hash_key_goes_to_the_same_origin() {
    let names = ["one", "two", "three", "four"];
    let origins: Vec<_> = names.iter().map(|&name| Origin::answering_once(name)).collect();
    for (key, first, second) in
        [("header:X-User", "X-User: u", ""), ("cookie:session", "Cookie: a=b; session=u", "; c=d")]
    {
        let mut domain = DomainFile::new("a.test")
            .set("balance", "mode = \"hash\"")
            .set("balance", &format!("key = \"{key}\""));
        for origin in &origins {
            domain = domain.origin(origin.addr, "");
        }
        let edge = edge(domain).start();
        let mut used = std::collections::BTreeSet::new();
        for user in 0..40 {
            let line = format!("{first}{user}{second}\r\n");
            let at = answered(&edge, &line);
            for _ in 0..3 {
                assert_eq!(answered(&edge, &line), at, "{line}");
            }
            used.insert(at);
        }
        assert!(used.len() >= 3, "{key}: only {used:?}");
    }
}

#[test]
fn hash_by_client_address_and_its_stability_when_an_origin_goes() {
    let names = ["one", "two", "three"];
    let origins: Vec<_> = names.iter().map(|&name| Origin::answering_once(name)).collect();
    let mut domain = DomainFile::new("a.test").set("balance", "mode = \"hash\"");
    for origin in &origins {
        domain = domain.origin(origin.addr, "");
    }
    let edge =
        edge(domain).server("proxy_protocol = \"v1\"\ntrusted_proxies = [\"127.0.0.0/8\"]").start();
    let ask = |n: u8| {
        let mut client = edge.connect();
        client.send(format!(
            "PROXY TCP4 192.0.2.{n} 10.0.0.1 1000 80\r\n\
             GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n"
        ));
        String::from_utf8(client.answer().1).expect("text")
    };
    let before: Vec<String> = (0..60).map(ask).collect();
    assert_eq!((0..60).map(ask).collect::<Vec<_>>(), before);
    origins[0].close();
    endpoint_is(&edge, origins[0].addr, false);
    for (n, old) in (0..60).zip(&before) {
        let new = ask(n);
        assert!(new == *old || old == "one", "{n} moved from {old} to {new}");
    }
}

#[test]
fn tunnels_of_an_origin_that_goes_down_are_closed_with_1012_if_the_domain_says_so() {
    for closes_them in [true, false] {
        let origin = Origin::bind();
        let top = if closes_them { "close_on_origin_down = 1000" } else { "" };
        let edge = edge(DomainFile::to("a.test", &origin).top(top)).start();
        let mut tunnel = Tunnel::open(&edge, &origin, "a.test");
        origin.close();
        endpoint_is(&edge, origin.addr, false);
        if closes_them {
            tunnel.closed_by_edge(1012, 1012);
            edge.await_log("the end", |line| line["cause"] == "origin_down");
        } else {
            tunnel.check();
        }
    }
}

#[test]
fn tunnels_of_a_removed_origin_are_closed_paced() {
    let (leaves, stays) = (Origin::bind(), Origin::bind());
    let domain = |origins: &[&Origin]| {
        let start = DomainFile::new("a.test").top("close_on_origin_down = 4");
        origins.iter().fold(start, |d, o| d.origin(o.addr, ""))
    };
    let edge = edge(domain(&[&leaves])).start();
    let tunnels: Vec<_> = (0..9).map(|_| Tunnel::open(&edge, &leaves, "a.test")).collect();
    let started = Instant::now();
    edge.reload_with(&domain(&[&stays]));
    // In whatever order; nine at four per second take more than a second.
    let all: Vec<_> = tunnels
        .into_iter()
        .map(|mut tunnel| {
            std::thread::spawn(move || {
                let frame = tunnel.client.frame();
                assert_eq!(frame.op, Op::CLOSE);
                let at = Instant::now();
                closes_with(&mut tunnel.client, &frame, 1012);
                closes(&mut tunnel.origin, 1012);
                at
            })
        })
        .collect();
    let last = all.into_iter().map(|t| t.join().expect("closed")).max().expect("some");
    let took = last.duration_since(started);
    assert!(took > Duration::from_millis(1_000), "all at once: {took:?}");
}

#[test]
fn names_are_resolved_to_every_address() {
    // localhost may be both; the origin listens on one of them only.
    let origin = Origin::answering_once("by name");
    let domain = DomainFile::new("a.test").origin_named("localhost", origin.addr.port(), "");
    let edge = edge(domain).start();
    assert_eq!(answered(&edge, ""), "by name");
    let ws = Origin::echoing();
    edge.reload_with(&DomainFile::new("a.test").origin_named("localhost", ws.addr.port(), ""));
    let mut client = edge.connect();
    client.send(upgrade_request("a.test", ""));
    assert_eq!(client.head().status(), 101);
    client.send_frame(&Frame::text("x").masked());
    assert_eq!(client.frame(), Frame::text("x"));
}

#[test]
fn a_name_is_asked_again_and_its_last_good_answer_is_kept() {
    let first = Origin::answering_once("first");
    let second = TcpListener::bind(("127.0.0.2", first.addr.port())).expect("the same port");
    let second = Origin::listening(second, "second");
    let answer = Answer::shared([127, 0, 0, 1]);
    let servers = format!("[dns]\nservers = [\"{}\"]", name_server(Arc::clone(&answer)));
    let domain = DomainFile::new("a.test").origin_named("origin.example", first.addr.port(), "");
    let edge = edge(domain).table(&servers).start();
    assert_eq!(answered(&edge, ""), "first");
    *answer.lock().expect("unpoisoned") = Answer::Address([127, 0, 0, 2]);
    eventually("the new address is used", || (answered(&edge, "") == "second").then_some(()));
    // Its server fails from now on: asked again, and again in vain.
    *answer.lock().expect("unpoisoned") = Answer::Failure;
    eventually("the failure is told", || edge.stderr().contains("does not resolve").then_some(()));
    assert_eq!(answered(&edge, ""), "second");
    drop(second);
}

#[test]
fn an_address_that_left_the_answer_for_a_name_keeps_its_tunnels_while_it_is_up() {
    let first = Origin::bind();
    let second = Origin::bind_to(&format!("127.0.0.2:{}", first.addr.port()));
    let answer = Answer::shared([127, 0, 0, 1]);
    let servers = format!("[dns]\nservers = [\"{}\"]", name_server(Arc::clone(&answer)));
    let start = DomainFile::new("a.test").top("close_on_origin_down = 1000");
    let domain = start.clone().origin_named("origin.example", first.addr.port(), "");
    let edge = edge(domain.clone()).table(&servers).start();
    let [mut old, mut other] = [(); 2].map(|()| Tunnel::open(&edge, &first, "a.test"));
    *answer.lock().expect("unpoisoned") = Answer::Address([127, 0, 0, 2]);
    endpoint_is(&edge, second.addr, true);
    let mut new = Tunnel::open(&edge, &second, "a.test");
    // A reload makes a snapshot of its own, with the same names.
    edge.reload_with(&domain.websocket("heartbeat = 30"));
    [&mut old, &mut other, &mut new].into_iter().for_each(Tunnel::check);
    assert!(edge.log().iter().all(|line| line["cause"] != "origin_down"));

    // It is looked after still: when it goes down, they go.
    first.close();
    old.closed_by_edge(1012, 1012);
    other.closed_by_edge(1012, 1012);
    edge.await_log("the end", |line| line["cause"] == "origin_down");
    new.check();
    // And the end of the name is the end of what it stood for.
    edge.reload_with(&start.origin(Origin::bind().addr, ""));
    new.closed_by_edge(1012, 1012);
}

#[test]
fn a_name_that_does_not_exist_is_503_and_harms_nobody() {
    let origin = Origin::answering_once("fine");
    let edge = edge(DomainFile::to("a.test", &origin))
        .domain(DomainFile::new("b.test").origin_named("nowhere.invalid", 80, ""))
        .start();
    let mut client = edge.connect();
    client.send("GET / HTTP/1.1\r\nHost: b.test\r\n\r\n");
    assert!(matches!(client.answer().0.status(), 502 | 503));
    assert_eq!(answered(&edge, ""), "fine");
}

#[test]
fn ipv6_origins_are_reached() {
    let origin = Origin::bind_to("[::1]:0");
    let edge = edge(DomainFile::to("a.test", &origin)).start();
    let mut tunnel = Tunnel::open(&edge, &origin, "a.test");
    tunnel.check();
}

#[test]
fn source_addresses_are_used_in_turn_and_a_strange_one_is_named() {
    let origin = Origin::bind();
    let edge = Edge::builder()
        .workers(1)
        .domain(DomainFile::to("a.test", &origin))
        .server("source_addresses = [\"127.0.0.2\", \"::1\", \"127.0.0.3\"]")
        .start();
    let seen: Vec<String> = (0..4)
        .map(|_| Tunnel::open(&edge, &origin, "a.test").origin.peer().ip().to_string())
        .collect();
    assert_eq!(seen, ["127.0.0.2", "127.0.0.3", "127.0.0.2", "127.0.0.3"]);
    let strange = Edge::builder()
        .domain(DomainFile::to("a.test", &origin))
        .server("source_addresses = [\"192.0.2.1\"]")
        .start();
    let body = answered(&strange, "");
    assert!(body.contains("source address 192.0.2.1 cannot be used"), "{body}");
    assert!(body.contains("server.source_addresses"), "{body}");
}
