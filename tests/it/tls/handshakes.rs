//! Handshakes that take too long, come too often, or end in the middle.

use std::time::Duration;

use super::{Site, await_failures};
use crate::harness::crooked::{ALERT, CHANGE_CIPHER_SPEC, Hello, record};
use crate::harness::{Authority, DomainFile, Edge, End, Origin, TlsClient, Wire};

fn hasty(line: &str) -> (Authority, Origin, Edge, crate::harness::Pair) {
    let authority = Authority::new("root");
    let pair = authority.pair(&["a.test"]);
    let origin = Origin::answering("fine");
    let domain = DomainFile::to("a.test", &origin).tls(&pair);
    let edge = Edge::builder().tls().tls_table(line).domain(domain).start();
    (authority, origin, edge, pair)
}

#[test]
fn a_handshake_that_does_not_end_is_ended() {
    let (authority, _origin, edge, _pair) = hasty("handshake_timeout = \"1s\"");
    let client = TlsClient::trusting(&authority);
    let hello = client.hello("a.test");
    let silent = Wire::connect(edge.tls_addr());
    let mut half = Wire::connect(edge.tls_addr());
    half.send(&hello[..hello.len() / 2]);
    let mut whole = Wire::connect(edge.tls_addr());
    whole.send(&hello);
    for mut wire in [silent, half, whole] {
        // What the edge said before is of no interest; that it ends is.
        let (_, end) = wire.rest();
        assert!(matches!(end, End::Fin | End::Reset), "{end:?}");
    }
    await_failures(&edge, "timeout", 3);
    client.connect(edge.tls_addr(), "a.test");
}

/// Slowloris over TLS: a byte now and then does not buy more time.
#[test]
fn a_hello_that_drips_is_ended_as_a_whole() {
    let (authority, _origin, edge, _pair) = hasty("handshake_timeout = \"1s\"");
    let hello = TlsClient::trusting(&authority).hello("a.test");
    let mut wire = Wire::connect(edge.tls_addr());
    let mut dripped = 0;
    for byte in hello.chunks(1) {
        if !wire.try_send(byte) {
            break;
        }
        dripped += 1;
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(dripped < hello.len(), "the whole hello was waited for");
    wire.rest();
    await_failures(&edge, "timeout", 1);
}

#[test]
fn handshakes_beyond_the_rate_wait_and_then_are_closed() {
    let (authority, _origin, edge, _pair) =
        hasty("handshake_timeout = \"1s\"\nhandshakes_per_second = 1");
    let client = TlsClient::trusting(&authority);
    let done = std::thread::scope(|scope| {
        let tries: Vec<_> = (0..12)
            .map(|_| scope.spawn(|| client.try_connect(edge.tls_addr(), "a.test").is_ok()))
            .collect();
        tries
            .into_iter()
            .filter(|_| true)
            .map(|t| t.join().expect("no panic"))
            .filter(|ok| *ok)
            .count()
    });
    assert!((1..=4).contains(&done), "{done} of 12 in about a second at one per second");
    await_failures(&edge, "rate", 12 - done);
}

#[test]
fn handshakes_beyond_the_rate_wait_their_turn() {
    let (authority, _origin, edge, _pair) = hasty("handshakes_per_second = 20");
    let client = TlsClient::trusting(&authority);
    std::thread::scope(|scope| {
        for _ in 0..40 {
            scope.spawn(|| client.connect(edge.tls_addr(), "a.test"));
        }
    });
    await_failures(&edge, "rate", 0);
}

/// rustls CVE-2024-32650 was a loop that never ended here.
#[test]
fn a_close_in_the_middle_ends_the_handshake() {
    let site = Site::new();
    let hello = site.client().hello("a.test");
    let mut wire = Wire::connect(site.edge.tls_addr());
    wire.send(&hello);
    wire.finish();
    wire.rest();
    await_failures(&site.edge, "closed", 1);
    for (level, description, count) in [(1, 0, 1), (2, 42, 2), (2, 48, 3)] {
        let mut wire = Wire::connect(site.edge.tls_addr());
        wire.send(&hello);
        wire.send(record(CHANGE_CIPHER_SPEC, &[1]));
        wire.send(record(ALERT, &[level, description]));
        wire.rest();
        await_failures(&site.edge, "alert", count);
    }
    site.serves();
}

/// TLS 1.2 handshakes end with two flights of the client.
#[test]
fn a_tls_1_2_handshake_left_alone_is_ended() {
    let (_authority, _origin, edge, _pair) = hasty("handshake_timeout = \"1s\"");
    let mut wire = Wire::connect(edge.tls_addr());
    wire.send(Hello::tls12("a.test").record());
    let (said, _) = wire.rest();
    assert_eq!(said.first(), Some(&22), "a ServerHello first");
    await_failures(&edge, "timeout", 1);
}
