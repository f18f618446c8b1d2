//! Through a running edge: however a valid stream is split on the way in, it comes out unchanged.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::harness::road::{Legs, Road};
use crate::harness::{Edge, Frame, Op, Tunnel, Wire, upgrade_request};

/// Frames of sound messages: fragments in order, controls between them.
fn streams() -> impl Strategy<Value = Vec<Frame>> {
    let size = prop_oneof![6 => 0..130usize, 2 => 130..3_000usize, 1 => 65_000..66_000usize];
    let message = (prop::collection::vec((size, any::<u8>(), any::<bool>()), 1..4), any::<bool>());
    prop::collection::vec(message, 1..8).prop_map(|messages| {
        messages.into_iter().flat_map(|(parts, text)| fragments(&parts, text)).collect()
    })
}

fn fragments(parts: &[(usize, u8, bool)], text: bool) -> Vec<Frame> {
    let first = if text { Op::TEXT } else { Op::BINARY };
    let mut out = Vec::new();
    for (i, &(size, fill, ping)) in parts.iter().enumerate() {
        let op = if i == 0 { first } else { Op::CONTINUE };
        let mut frame = Frame::new(op, vec![fill & 0x7f; size]);
        frame.fin = i + 1 == parts.len();
        out.push(frame);
        if ping {
            out.push(Frame::ping([fill; 5]));
        }
    }
    out
}

/// Sends `bytes` in pieces whose sizes cycle through `cuts`.
fn send_cut(wire: &mut Wire, bytes: &[u8], cuts: &[usize]) {
    let mut rest = bytes;
    for (i, cut) in cuts.iter().cycle().enumerate() {
        if rest.is_empty() {
            return;
        }
        let (piece, more) = rest.split_at((*cut).min(rest.len()));
        // Seldom enough for rustls, which counts them.
        if wire.is_tls() && i < 20 && cut % 7 == 3 {
            wire.tls().update_keys().expect("an open connection");
        }
        wire.send(piece);
        rest = more;
    }
}

/// Sizes of writes; a few small ones before larger ones, so that a case stays short.
fn cuts() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(prop_oneof![3 => 1..16usize, 2 => 16..5_000usize], 1..12).prop_map(
        |mut cuts| {
            cuts.push(3_000);
            cuts
        },
    )
}

fn runner(cases: u32) -> TestRunner {
    TestRunner::new(Config {
        cases,
        max_shrink_iters: 20,
        failure_persistence: None,
        ..Config::default()
    })
}

#[test]
fn any_split_of_a_stream_of_frames_arrives_unchanged() {
    splits_arrive_unchanged(Legs::Plain, 48);
}

/// Over TLS each piece is a record, and now and then the keys change.
#[test]
fn any_split_of_frames_into_records_arrives_unchanged() {
    for legs in Legs::TLS {
        splits_arrive_unchanged(legs, 24);
    }
}

fn splits_arrive_unchanged(legs: Legs, cases: u32) {
    let road = Road::new(legs);
    let streams = (streams(), streams(), cuts(), cuts());
    let outcome = runner(cases).run(&streams, |(up, down, up_cuts, down_cuts)| {
        let Tunnel { mut client, origin: mut server } = road.tunnel();
        let up: Vec<u8> = up.into_iter().flat_map(|f| f.masked().bytes()).collect();
        let down: Vec<u8> = down.iter().flat_map(Frame::bytes).collect();
        let (mut to, mut from) = (client.also(), server.also());
        std::thread::scope(|scope| {
            scope.spawn(|| send_cut(&mut to, &up, &up_cuts));
            scope.spawn(|| send_cut(&mut from, &down, &down_cuts));
            server.expect(&up);
            client.expect(&down);
        });
        Ok(())
    });
    outcome.unwrap_or_else(|e| panic!("{e}"));
}

/// Every single split point of one stream, both ways.
#[test]
fn a_split_at_every_byte_changes_nothing() {
    let (origin, edge) = Edge::and_origin();
    let frames = [
        Frame::text("ab").unfinished(),
        Frame::ping("p"),
        Frame::new(Op::CONTINUE, vec![b'c'; 126]),
        Frame::binary(""),
        Frame::pong(""),
    ];
    let up: Vec<u8> = frames.iter().flat_map(|f| f.clone().masked().bytes()).collect();
    let down: Vec<u8> = frames.iter().flat_map(Frame::bytes).collect();
    let Tunnel { mut client, origin: mut server } = Tunnel::open(&edge, &origin, "a.test");
    for at in 0..=up.len() {
        client.send(&up[..at]);
        client.send(&up[at..]);
        server.expect(&up);
    }
    for at in 0..=down.len() {
        server.send(&down[..at]);
        server.send(&down[at..]);
        client.expect(&down);
    }
    // Byte by byte.
    up.iter().for_each(|byte| client.send([*byte]));
    server.expect(&up);
    down.iter().for_each(|byte| server.send([*byte]));
    client.expect(&down);
}

/// The heads split anywhere, with frames right behind them.
#[test]
fn a_split_anywhere_in_the_handshake_changes_nothing() {
    let (origin, edge) = Edge::and_origin();
    let early = Frame::text("early").masked().bytes();
    let request = [upgrade_request("a.test", "").as_bytes(), &early].concat();
    for at in (1..request.len()).step_by(7) {
        let mut client = edge.connect();
        client.send(&request[..at]);
        client.send(&request[at..]);
        let mut server = origin.accept();
        let head = server.head();
        let greeting = Frame::text("hi").bytes();
        let answer = [crate::harness::switching(&head).as_bytes(), &greeting].concat();
        let cut = at % answer.len();
        server.send(&answer[..cut]);
        server.send(&answer[cut..]);
        assert_eq!(client.head().status(), 101, "cut at {at}");
        client.expect(&greeting);
        server.expect(&early);
    }
}

#[test]
fn any_split_of_a_chunked_body_carries_the_same_bytes() {
    let (origin, edge) = Edge::and_origin();
    let chunks = prop::collection::vec(prop::collection::vec(any::<u8>(), 1..300), 0..6);
    let outcome = runner(48).run(&(chunks, cuts()), |(chunks, cuts)| {
        let mut request =
            b"POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
        for chunk in &chunks {
            request.extend(format!("{:X};x=y\r\n", chunk.len()).bytes());
            request.extend(chunk);
            request.extend(b"\r\n");
        }
        request.extend(b"0\r\n\r\n");
        let mut client = edge.connect();
        send_cut(&mut client, &request, &cuts);
        let mut server = origin.accept();
        let head = server.head();
        prop_assert_eq!(server.body(&head), chunks.concat());
        server.send("HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");
        prop_assert_eq!(client.head().status(), 204);
        Ok(())
    });
    outcome.unwrap_or_else(|e| panic!("{e}"));
}
