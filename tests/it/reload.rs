//! New configuration: taken within a second or refused whole, and no tunnel notices.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::harness::{DomainFile, Edge, Frame, OnDrop, Origin, Tunnel, eventually};

fn answered(edge: &Edge, host: &str) -> (u16, Vec<u8>) {
    let mut client = edge.connect();
    client.send(format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"));
    let (head, body) = client.answer();
    (head.status(), body)
}

fn is_served(edge: &Edge, host: &str, text: &str) -> bool {
    answered(edge, host) == (200, text.as_bytes().to_vec())
}

/// The wait of people: one second, plus what a loaded machine needs to notice it.
const SOON: Duration = Duration::from_secs(5);

fn soon(what: &str, started: Instant, mut is: impl FnMut() -> bool) {
    eventually(what, || is().then_some(()));
    assert!(started.elapsed() < SOON, "{what}: took {:?}", started.elapsed());
}

#[test]
fn reload_adds_changes_and_removes_domains() {
    let (one, two) = (Origin::answering("one"), Origin::answering("two"));
    let edge = Edge::builder().workers(2).domain(DomainFile::to("a.test", &one)).start();
    assert!(is_served(&edge, "a.test", "one"));
    assert!(matches!(answered(&edge, "b.test").0, 404 | 421));
    edge.reload_with(&DomainFile::to("b.test", &one));
    assert!(is_served(&edge, "b.test", "one"));
    edge.reload_with(&DomainFile::to("b.test", &two));
    assert!(is_served(&edge, "b.test", "two"));
    edge.remove_domain("b.test");
    edge.hawser_done(&["reload"]);
    assert!(matches!(answered(&edge, "b.test").0, 404 | 421));
    assert!(is_served(&edge, "a.test", "one"));
}

#[test]
fn sighup_reloads_within_a_second() {
    let (one, two) = (Origin::answering("one"), Origin::answering("two"));
    let edge = Edge::with(DomainFile::to("a.test", &one));
    edge.write_domain(&DomainFile::to("a.test", &two));
    let started = Instant::now();
    edge.signal("HUP");
    soon("the new origin answers", started, || is_served(&edge, "a.test", "two"));
}

#[test]
fn domain_set_and_remove_apply_within_a_second() {
    let (one, two) = (Origin::answering("one"), Origin::answering("two"));
    let edge = Edge::with(DomainFile::to("a.test", &one));
    let file = edge.dir().join("new.toml");
    std::fs::write(&file, DomainFile::to("b.test", &two).text()).expect("a file");
    let path = file.to_str().expect("UTF-8");
    let started = Instant::now();
    edge.hawser_done(&["domain", "apply", path]);
    soon("the new domain answers", started, || is_served(&edge, "b.test", "two"));
    let listed = edge.hawser_done(&["domain", "list"]);
    assert!(listed.contains("a.test") && listed.contains("b.test"), "{listed}");
    let shown = edge.hawser_done(&["domain", "show", "b.test"]);
    assert!(shown.contains(&two.addr.port().to_string()), "{shown}");
    let started = Instant::now();
    edge.hawser_done(&["domain", "remove", "b.test"]);
    soon("it is gone", started, || matches!(answered(&edge, "b.test").0, 404 | 421));
}

#[test]
fn a_bad_file_changes_nothing_and_says_why() {
    let origin = Origin::answering("one");
    let edge = Edge::to(&origin);
    let before = edge.generation();
    edge.write_domain(&DomainFile::to("b.test", &origin));
    edge.write_domain(&DomainFile::to("c.test", &origin).websocket("heartbeat = 1000"));
    let output = edge.hawser(&["reload"]);
    assert_eq!(output.status.code(), Some(78));
    let said = String::from_utf8_lossy(&output.stderr) + String::from_utf8_lossy(&output.stdout);
    for part in ["c.test.toml", "heartbeat", "1000", "300"] {
        assert!(said.contains(part), "{part} in {said}");
    }
    assert_eq!(edge.generation(), before);
    assert!(is_served(&edge, "a.test", "one"));
    assert!(matches!(answered(&edge, "b.test").0, 404 | 421), "half of a bad set was taken");
    // By signal the same; the reason is in the log of the process.
    edge.signal("HUP");
    eventually("the refusal is logged", || edge.stderr().contains("c.test.toml").then_some(()));
    assert_eq!(edge.generation(), before);
    edge.await_metric("hawser_reloads_total", &[("result", "failure")], 2.0);
    // And once it is mended, all of it is taken.
    edge.remove_domain("c.test");
    edge.hawser_done(&["reload"]);
    assert!(is_served(&edge, "b.test", "one"));
}

#[test]
fn live_tunnels_survive_every_reload() {
    let (one, two) = (Origin::bind(), Origin::bind());
    let edge = Edge::builder().workers(2).domain(DomainFile::to("a.test", &one)).start();
    let mut tunnels: Vec<_> = (0..20).map(|_| Tunnel::open(&edge, &one, "a.test")).collect();
    for round in 0..5 {
        let origin = if round % 2 == 0 { &two } else { &one };
        let next =
            DomainFile::to("a.test", origin).websocket(&format!("heartbeat = {}", 30 + round));
        edge.reload_with(&next);
        tunnels.iter_mut().for_each(Tunnel::check);
    }
    assert_eq!(edge.conns().len(), 20);
}

#[test]
fn a_frame_that_is_under_way_during_a_reload_arrives() {
    let (origin, edge) = Edge::and_origin();
    let mut tunnel = Tunnel::open(&edge, &origin, "a.test");
    let frame = Frame::binary(vec![4; 5_000]).masked();
    let bytes = frame.bytes();
    tunnel.client.send(&bytes[..2_000]);
    edge.reload_with(&DomainFile::to("a.test", &origin).websocket("heartbeat = 5"));
    tunnel.client.send(&bytes[2_000..]);
    assert_eq!(tunnel.origin.frame(), frame);
}

#[test]
fn only_tunnels_of_a_domain_that_vanished_end() {
    let origin = Origin::bind();
    let edge = Edge::builder()
        .domain(DomainFile::to("a.test", &origin))
        .domain(DomainFile::to("b.test", &origin))
        .start();
    let mut stays = Tunnel::open(&edge, &origin, "a.test");
    let mut goes = Tunnel::open(&edge, &origin, "b.test");
    edge.remove_domain("b.test");
    edge.hawser_done(&["reload"]);
    let frame = goes.client.frame();
    let (code, _) = frame.close_code().expect("a code");
    assert!(matches!(code, 1001 | 1008 | 1012), "{code}");
    edge.await_log("the end", |line| line["cause"] == "domain_removed");
    stays.check();
}

#[test]
fn an_open_tunnel_keeps_its_policy_and_the_next_has_the_new_one() {
    let (origin, edge) = Edge::and_origin();
    let mut old = Tunnel::open(&edge, &origin, "a.test");
    edge.reload_with(&DomainFile::to("a.test", &origin).websocket("max_frame = 10"));
    let mut new = Tunnel::open(&edge, &origin, "a.test");
    let frame = Frame::binary([1; 100]).masked();
    old.client.send_frame(&frame);
    assert_eq!(old.origin.frame(), frame);
    new.client.send_frame(&frame);
    assert_eq!(new.client.frame().close_code().map(|(code, _)| code), Some(1009));
}

#[test]
fn generation_and_hash_are_told_everywhere() {
    let (origin, edge) = Edge::and_origin();
    let status = edge.control("GET", "/v1/status", None);
    let hash = status["hash"].as_str().expect("a hash").to_owned();
    assert_eq!(hash.len(), 16);
    let version = edge.hawser_done(&["version", "--verbose"]);
    assert!(version.contains(&hash), "{version}");
    let generation = edge.generation();
    assert!(edge.metrics().text.contains(&hash));
    edge.await_metric("hawser_snapshot_generation", &[], generation as f64);
    // Nothing changed but a comment: the same hash.
    let path = edge.dir().join("domains/a.test.toml");
    let text = std::fs::read_to_string(&path).expect("the file");
    std::fs::write(&path, format!("# a comment\n{text}")).expect("the file");
    edge.hawser_done(&["reload"]);
    assert_eq!(edge.control("GET", "/v1/status", None)["hash"], hash.as_str());
    edge.reload_with(&DomainFile::to("a.test", &origin).websocket("heartbeat = 7"));
    let status = edge.control("GET", "/v1/status", None);
    assert_ne!(status["hash"], hash.as_str());
    assert!(edge.generation() > generation);
    let new = edge.generation() as f64;
    edge.await_metric("hawser_core_snapshot_generation", &[("core", "0")], new);
    assert!(edge.stderr().contains(status["hash"].as_str().expect("a hash")), "not in the log");
}

#[test]
fn reload_under_traffic_loses_no_request() {
    let origin = Origin::answering("fine");
    let edge = Edge::builder().workers(2).domain(DomainFile::to("a.test", &origin)).start();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        // However this ends, the clients must be told, or the scope never does.
        let _told = OnDrop(|| stop.store(true, Ordering::Relaxed));
        for _ in 0..3 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    assert!(is_served(&edge, "a.test", "fine"));
                }
            });
        }
        for i in 0..10 {
            let more = DomainFile::to(&format!("x{i}.test"), &origin);
            edge.reload_with(&more);
        }
    });
}
