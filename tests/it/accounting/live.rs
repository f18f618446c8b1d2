//! What is counted while a connection is open, and over the end of a process.

use crate::harness::{
    Api, Dcdn, DomainFile, Edge, Frame, Origin, Tunnel, eventually, switching, upgrade_request,
};

use super::{Seen, by_dcdn, by_rest, flush};

/// Item 26: bytes count when they are sent, not when the connection closes.
#[test]
fn bytes_of_an_open_connection_are_seen_before_it_closes() {
    let (origin, edge) = Edge::and_origin();
    let mut tunnel = Tunnel::open(&edge, &origin, "a.test");
    let (dcdn, api) = (Dcdn::of(&edge), Api::of(&edge));
    let first = awaited(&edge, &api, "the handshake", |seen| seen.codes.get(&101) == Some(&1));
    assert!(first.bytes_out > 0 && first.bytes_in > 0, "the heads: {first:?}");
    let mut sent = 0;
    for size in [1000, 100_000, 3] {
        let frame = Frame::binary(vec![0; size]);
        tunnel.origin.send_frame(&frame);
        assert_eq!(tunnel.client.frame(), frame);
        sent += frame.bytes().len() as u64;
        let wanted = first.bytes_out + sent;
        let what = format!("{size} more, {wanted} in all");
        let seen = awaited(&edge, &api, &what, |seen| seen.bytes_out >= wanted);
        assert_eq!((seen.bytes_out, seen.bytes_in), (wanted, first.bytes_in));
        let (bytes, _) = by_dcdn(&dcdn, &[("DomainName", "a.test")]);
        assert_eq!(bytes as u64, seen.bytes_out);
    }
}

/// What is counted once it is as it should be: a client sees bytes a moment before the core that
/// sent them has counted them.
fn awaited(edge: &Edge, api: &Api, what: &str, fits: impl Fn(&Seen) -> bool) -> Seen {
    eventually(what, || {
        flush(edge);
        let seen = by_rest(api, "");
        fits(&seen).then_some(seen)
    })
}

/// Half a message counts as the bytes that it is, and as no message yet.
#[test]
fn a_message_on_its_way_counts_by_its_bytes() {
    let (origin, edge) = Edge::and_origin();
    let mut tunnel = Tunnel::open(&edge, &origin, "a.test");
    let api = Api::of(&edge);
    let first = awaited(&edge, &api, "the handshake", |seen| seen.codes.get(&101) == Some(&1));
    let bytes = Frame::binary(vec![0; 10_000]).bytes();
    tunnel.origin.send(&bytes[..4000]);
    tunnel.client.exactly(4000);
    let wanted = first.bytes_out + 4000;
    let half = awaited(&edge, &api, "a part", |seen| seen.bytes_out >= wanted);
    assert_eq!(half.bytes_out, wanted);
    assert_eq!(half.messages_out, first.messages_out);
    tunnel.origin.send(&bytes[4000..]);
    tunnel.client.exactly(bytes.len() - 4000);
    let wanted = first.bytes_out + bytes.len() as u64;
    let whole = awaited(&edge, &api, "the whole", |seen| seen.bytes_out >= wanted);
    assert_eq!(whole.bytes_out, wanted);
    assert_eq!(whole.messages_out, first.messages_out + 1);
}

/// Within the flush period, with nobody asking for it.
#[test]
fn statistics_are_brought_up_to_date_without_being_asked() {
    let (origin, edge) = Edge::and_origin();
    Tunnel::open(&edge, &origin, "a.test").check();
    let api = Api::of(&edge);
    eventually("the bytes are there", || (by_rest(&api, "").bytes_out > 0).then_some(()));
}

/// An orderly end loses nothing, and the next process goes on where this one was.
#[test]
fn a_stop_and_a_start_lose_nothing() {
    let (origin, mut edge) = Edge::and_origin();
    let mut wanted = 0;
    for round in 1..4 {
        let mut tunnel = Tunnel::open(&edge, &origin, "a.test");
        let is_open = |seen: &Seen| seen.codes.get(&101) == Some(&round);
        let opened = awaited(&edge, &Api::of(&edge), "the handshake", is_open).bytes_out;
        let frame = Frame::binary(vec![0; 5000]);
        tunnel.origin.send_frame(&frame);
        assert_eq!(tunnel.client.frame(), frame);
        // Nothing of it was flushed when the end begins; what follows is the edge's Close.
        edge.signal("TERM");
        let close = tunnel.client.frame();
        tunnel.client.finish();
        edge.exit();
        edge.start_again();
        wanted = opened + (frame.bytes().len() + close.bytes().len()) as u64;
        assert_eq!(by_rest(&Api::of(&edge), "").bytes_out, wanted);
    }
    assert!(wanted > 3 * 5000);
}

/// A successor counts on from what was, and the old process adds what its tunnels still did.
#[test]
fn a_handover_counts_everything_once() {
    let (origin, edge) = Edge::and_origin();
    let mut old = Tunnel::open(&edge, &origin, "a.test");
    let is_open = |seen: &Seen| seen.codes.get(&101) == Some(&1);
    let before = awaited(&edge, &Api::of(&edge), "the handshake", is_open).bytes_out;
    let frame = Frame::binary(vec![0; 7000]);
    old.origin.send_frame(&frame);
    assert_eq!(old.client.frame(), frame);
    edge.signal("USR2");
    let close = old.client.frame();
    old.client.finish();
    eventually("the successor answers", || {
        let status = edge.control("GET", "/v1/status", None);
        (status["pid"].as_u64().is_some_and(|pid| pid != u64::from(edge.pid))).then_some(())
    });
    let mut client = edge.connect();
    client.send(upgrade_request("a.test", ""));
    let mut at = origin.accept();
    let request = at.head();
    at.send(switching(&request));
    let opened = client.head().raw.len();
    let wanted = before + (frame.bytes().len() + close.bytes().len() + opened) as u64;
    let what = format!("both processes' bytes, {wanted}");
    let seen = awaited(&edge, &Api::of(&edge), &what, |seen| seen.bytes_out >= wanted);
    assert_eq!((seen.bytes_out, seen.codes.get(&101)), (wanted, Some(&2)));
}

/// Domains that come, go and come again under the same name keep one history.
#[test]
fn a_domain_that_was_away_goes_on_counting() {
    let (origin, edge) = Edge::and_origin();
    let api = Api::of(&edge);
    let mut first = Tunnel::open(&edge, &origin, "a.test");
    first.check();
    edge.write_domain(&DomainFile::to("b.test", &origin));
    edge.remove_domain("a.test");
    edge.hawser_done(&["reload"]);
    let close = first.client.frame();
    first.client.finish();
    first.origin.finish();
    let frame = Frame::text("down");
    let least = (frame.bytes().len() + close.bytes().len()) as u64;
    let has = |seen: &Seen| seen.codes.get(&101) == Some(&1) && seen.bytes_out > least;
    let away = awaited(&edge, &api, "the time before it went", has).bytes_out;
    edge.reload_with(&DomainFile::to("a.test", &origin));
    Tunnel::open(&edge, &origin, "a.test").check();
    let has = |seen: &Seen| seen.codes.get(&101) == Some(&2) && seen.bytes_out > away;
    awaited(&edge, &api, "both times", has);
}

/// Answers of an origin that is spoken to as plain HTTP are no traffic of WebSocket.
#[test]
fn plain_requests_are_not_counted_here() {
    let origin = Origin::answering("hello");
    let edge = Edge::to(&origin);
    for _ in 0..3 {
        let mut client = edge.connect();
        client.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
        assert_eq!(client.answer().0.status(), 200);
    }
    flush(&edge);
    let seen = by_rest(&Api::of(&edge), "");
    assert_eq!(seen, Seen::default());
}
