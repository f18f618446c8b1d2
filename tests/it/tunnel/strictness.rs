//! RFC 6455 5: what breaks framing closes with 1002 towards who did it, and the other side is told
//! with 1001 or 1011. Nothing of the wrong frame crosses.

use std::time::{Duration, Instant};

use crate::harness::frame::Length;
use crate::harness::tunnel::closes_with;
use crate::harness::{DomainFile, Edge, End, Frame, Op, Origin, Tunnel, Wire, show};

/// Wrong for either side; not masked yet.
fn wrong_frames() -> Vec<(String, Vec<Frame>)> {
    let mut rows = Vec::new();
    for rsv in [0x40, 0x20, 0x10, 0x70] {
        rows.push((format!("reserved bits {rsv:#x}"), vec![Frame::text("x").rsv(rsv)]));
        rows.push((format!("reserved bits {rsv:#x}, ping"), vec![Frame::ping("x").rsv(rsv)]));
    }
    for op in [3, 4, 5, 6, 7, 11, 12, 13, 14, 15] {
        rows.push((format!("opcode {op}"), vec![Frame::new(Op(op), "x")]));
    }
    for op in [Op::PING, Op::PONG, Op::CLOSE] {
        let payload = if op == Op::CLOSE { &[3, 232][..] } else { &b"x"[..] };
        rows.push((format!("fragmented {op:?}"), vec![Frame::new(op, payload).unfinished()]));
        rows.push((format!("{op:?} of 126 bytes"), vec![Frame::new(op, [3; 126])]));
        rows.push((format!("{op:?} of 70000 bytes"), vec![Frame::new(op, vec![3; 70_000])]));
    }
    rows.push(("close of one byte".into(), vec![Frame::new(Op::CLOSE, [3])]));
    for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535] {
        rows.push((format!("close code {code}"), vec![Frame::close(code, "")]));
    }
    let fragment = Frame::text("a").unfinished();
    rows.push(("continuation of nothing".into(), vec![Frame::new(Op::CONTINUE, "x")]));
    let open = Frame::new(Op::CONTINUE, "x").unfinished();
    rows.push(("open continuation of nothing".into(), vec![open]));
    rows.push(("text in a message".into(), vec![fragment.clone(), Frame::text("b")]));
    rows.push(("binary in a message".into(), vec![fragment, Frame::binary("b")]));
    rows
}

/// The same as bytes of the side that sends them, plus what only one side can do wrong.
fn wrong_bytes(from_client: bool) -> Vec<(String, Vec<u8>, Vec<u8>)> {
    let dress = |f: &Frame| if from_client { f.clone().masked() } else { f.clone() };
    let mut rows: Vec<(String, Vec<u8>, Vec<u8>)> = wrong_frames()
        .into_iter()
        .map(|(name, frames)| {
            let (last, before) = frames.split_last().expect("a frame");
            let sound = before.iter().flat_map(|f| dress(f).bytes()).collect();
            (name, sound, dress(last).bytes())
        })
        .collect();
    let small = dress(&Frame::text("x"));
    let middle = dress(&Frame::binary(vec![1; 200]));
    for (name, bytes) in [
        ("16 bits for a small length", small.bytes_with(Length::Bits16)),
        ("64 bits for a small length", small.bytes_with(Length::Bits64)),
        ("64 bits for a middle length", middle.bytes_with(Length::Bits64)),
        ("highest bit of the length", Frame::header(Op::BINARY, small.mask, 1 << 63)),
        ("all bits of the length", Frame::header(Op::BINARY, small.mask, u64::MAX)),
    ] {
        rows.push((name.into(), vec![], bytes));
    }
    let undressed = if from_client { Frame::text("x") } else { Frame::text("x").masked() };
    rows.push(("mask of the wrong side".into(), vec![], undressed.bytes()));
    let control = if from_client { Frame::ping("x") } else { Frame::ping("x").masked() };
    rows.push(("mask of the wrong side, ping".into(), vec![], control.bytes()));
    rows
}

fn judged(wire: &mut Wire, codes: &[u16]) -> Result<(), String> {
    let frame = match wire.try_frame() {
        Ok(frame) if frame.op == Op::CLOSE => frame,
        other => return Err(format!("{other:?} instead of a Close")),
    };
    match frame.close_code() {
        Some((code, _)) if codes.contains(&code) => {
            closes_with(wire, &frame, code);
            Ok(())
        }
        other => Err(format!("closed by {other:?}, not one of {codes:?}")),
    }
}

fn violations_end_the_tunnel(from_client: bool) {
    let (origin, edge) = Edge::and_origin();
    let mut wrong = Vec::new();
    for (name, sound, bad) in wrong_bytes(from_client) {
        let Tunnel { client, origin: server } = Tunnel::open(&edge, &origin, "a.test");
        let (mut sinner, mut other) = if from_client { (client, server) } else { (server, client) };
        sinner.send(&sound);
        other.expect(&sound);
        sinner.send(&bad);
        // What comes behind is not looked at.
        sinner.try_send(b"\x81\x05after");
        if let Err(why) = judged(&mut other, &[1001, 1011]) {
            wrong.push(format!("{name}: the other side: {why}"));
        }
        if let Err(why) = judged(&mut sinner, &[1002]) {
            wrong.push(format!("{name}: the side that did it: {why}"));
        }
    }
    assert!(wrong.is_empty(), "{} rows are wrong:\n{}", wrong.len(), wrong.join("\n"));
    let rows = wrong_bytes(from_client).len() as f64;
    edge.await_metric("hawser_tunnels_closed_total", &[("cause", "protocol_error")], rows);
    let side = if from_client { "client" } else { "origin" };
    edge.await_log("whose fault", |l| l["cause"] == "protocol_error" && l["side"] == side);
}

#[test]
fn violations_of_a_client_end_the_tunnel() {
    violations_end_the_tunnel(true);
}

#[test]
fn violations_of_an_origin_end_the_tunnel() {
    violations_end_the_tunnel(false);
}

#[test]
fn a_violation_is_seen_however_the_header_is_split() {
    let (origin, edge) = Edge::and_origin();
    let bad = Frame::text("x").masked().bytes_with(Length::Bits64);
    for cut in 1..14 {
        let Tunnel { mut client, origin: mut server } = Tunnel::open(&edge, &origin, "a.test");
        client.send(&bad[..cut]);
        client.try_send(&bad[cut..]);
        judged(&mut server, &[1001, 1011]).unwrap_or_else(|e| panic!("cut at {cut}: {e}"));
        judged(&mut client, &[1002]).unwrap_or_else(|e| panic!("cut at {cut}: {e}"));
    }
}

/// Nothing that it still says can be read, so its own Close is not waited for: the suite of
/// Autobahn calls an edge that keeps the connection open for a second behind its 1002 failed.
#[test]
fn who_broke_framing_is_ended_as_soon_as_the_other_side_has_answered() {
    let (origin, edge) = Edge::and_origin();
    for _ in 0..5 {
        let mut tunnel = Tunnel::open(&edge, &origin, "a.test");
        tunnel.client.send_frame(&Frame::text("x").rsv(0x40).masked());
        assert_eq!(tunnel.client.frame().op, Op::CLOSE);
        assert_eq!(tunnel.origin.frame().op, Op::CLOSE);
        let answered = Instant::now();
        tunnel.origin.send_frame(&Frame::close(1001, ""));
        tunnel.origin.finish();
        assert_eq!(tunnel.client.ends(), End::Fin);
        if answered.elapsed() < Duration::from_millis(700) {
            return;
        }
    }
    panic!("every time about a second late");
}

#[test]
fn sound_codes_of_close_pass() {
    let (origin, edge) = Edge::and_origin();
    let sound = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014];
    for code in sound.into_iter().chain([3000, 3999, 4000, 4999]) {
        let mut tunnel = Tunnel::open(&edge, &origin, "a.test");
        let close = Frame::close(code, "");
        tunnel.client.send_frame(&close.clone().masked());
        assert_eq!(tunnel.origin.frame(), close.masked());
    }
}

#[test]
fn reserved_bits_of_an_agreed_extension_pass_and_no_others() {
    let (origin, edge) = Edge::and_origin();
    let deflate = "Sec-WebSocket-Extensions: permessage-deflate\r\n";
    let compressed = Frame::text([0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00]).rsv(0x40);
    let mut tunnel = Tunnel::open_with(&edge, &origin, "a.test", deflate, deflate);
    tunnel.client.send_frame(&compressed.clone().masked());
    assert_eq!(tunnel.origin.frame(), compressed.clone().masked());
    tunnel.origin.send_frame(&compressed);
    assert_eq!(tunnel.client.frame(), compressed);
    tunnel.client.send_frame(&Frame::text("x").rsv(0x20).masked());
    judged(&mut tunnel.origin, &[1001, 1011]).expect("the origin is told");
    judged(&mut tunnel.client, &[1002]).expect("the client is told");
    // Offered and not agreed is not agreed.
    let mut tunnel = Tunnel::open_with(&edge, &origin, "a.test", deflate, "");
    tunnel.client.send_frame(&compressed.masked());
    judged(&mut tunnel.origin, &[1001, 1011]).expect("the origin is told");
    judged(&mut tunnel.client, &[1002]).expect("the client is told");
}

#[test]
fn without_strictness_what_can_be_framed_passes_unchanged() {
    let origin = Origin::bind();
    let edge = Edge::with(DomainFile::to("a.test", &origin).websocket("strict_frames = false"));
    let passes = [
        Frame::text("x").rsv(0x70),
        Frame::new(Op(3), "x"),
        Frame::new(Op(15), "x"),
        Frame::ping("x").unfinished(),
        Frame::ping([1; 126]),
        Frame::new(Op::CONTINUE, "x"),
    ];
    for frame in passes {
        let mut tunnel = Tunnel::open(&edge, &origin, "a.test");
        for sent in [frame.clone().masked(), frame.clone()] {
            tunnel.client.send_frame(&sent);
            tunnel.origin.expect(sent.bytes());
            tunnel.origin.send_frame(&sent);
            tunnel.client.expect(sent.bytes());
        }
        tunnel.check();
    }
    let mut tunnel = Tunnel::open(&edge, &origin, "a.test");
    let long_way = Frame::text("x").masked().bytes_with(Length::Bits64);
    tunnel.client.send(&long_way);
    tunnel.origin.expect(&long_way);
    tunnel.check();
}

#[test]
fn garbage_instead_of_frames_reaches_nobody() {
    let (origin, edge) = Edge::and_origin();
    let mut tunnel = Tunnel::open(&edge, &origin, "a.test");
    tunnel.client.send("GET /smuggled HTTP/1.1\r\nHost: a.test\r\n\r\n");
    let (seen, end) = tunnel.origin.rest();
    assert!(!seen.windows(4).any(|w| w == b"HTTP"), "{}", show(&seen));
    assert_eq!(end, End::Fin);
}
