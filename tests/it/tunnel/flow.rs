//! Back-pressure: a slow reader stops its own peer and nobody else, and nothing is ever lost.

use crate::harness::{Edge, Frame, Op, Tunnel, Wire, eventually};

#[test]
fn a_slow_reader_stops_its_peer_and_nobody_else() {
    let (origin, edge) = Edge::and_origin();
    let slow = Wire::connect_small(edge.addr(), 4096);
    let mut slow = Tunnel::over(slow, &origin, "a.test", "", "");
    let mut quick = Tunnel::open(&edge, &origin, "a.test");
    let frame = Frame::binary((0..50_000u32).map(|i| i as u8).collect::<Vec<_>>()).bytes();
    let pushed = slow.origin.push_until_it_stalls(&frame, 48 << 20);
    // Meanwhile the others of the same core go on, both ways and with more than a trickle.
    for _ in 0..20 {
        quick.check();
        let big = Frame::binary(vec![3; 200_000]);
        quick.origin.send_frame(&big);
        assert_eq!(quick.client.frame(), big);
    }
    // The direction of the slow one that is not blocked works too.
    let up = Frame::text("up").masked();
    slow.client.send_frame(&up);
    assert_eq!(slow.origin.frame(), up);
    // Once it reads, every byte is there.
    let cut = pushed % frame.len();
    if cut > 0 {
        let mut rest = slow.origin.also();
        let tail = frame[cut..].to_vec();
        std::thread::spawn(move || rest.send(tail));
    }
    for i in 0..pushed.div_ceil(frame.len()) {
        let got = slow.client.exactly(frame.len());
        assert!(got == frame, "frame {i} changed");
    }
    slow.check();
}

#[test]
fn a_slow_origin_stops_its_client() {
    let (origin, edge) = Edge::and_origin();
    let mut tunnel = Tunnel::open(&edge, &origin, "a.test");
    let frame = Frame::binary(vec![7; 50_000]).masked().bytes();
    let pushed = tunnel.client.push_until_it_stalls(&frame, 48 << 20);
    let mut rest = tunnel.client.also();
    let tail = frame[pushed % frame.len()..].to_vec();
    let cut = !pushed.is_multiple_of(frame.len());
    let push = std::thread::spawn(move || cut.then(|| rest.send(tail)));
    for _ in 0..pushed.div_ceil(frame.len()) {
        assert!(tunnel.origin.exactly(frame.len()) == frame);
    }
    push.join().expect("pushed");
    tunnel.check();
}

/// Many slow readers at once must not starve the core of its receive buffers.
#[test]
fn slow_readers_do_not_starve_the_core() {
    let (origin, edge) = Edge::and_origin();
    let frame = Frame::binary(vec![7; 60_000]).bytes();
    let slow: Vec<_> = (0..24)
        .map(|_| {
            let client = Wire::connect_small(edge.addr(), 4096);
            let tunnel = Tunnel::over(client, &origin, "a.test", "", "");
            let mut wire = tunnel.origin.also();
            let frame = frame.clone();
            let push = std::thread::spawn(move || wire.push_until_it_stalls(&frame, 48 << 20));
            (tunnel, push)
        })
        .collect();
    let slow: Vec<_> = slow.into_iter().map(|(t, p)| (t, p.join().expect("stalled"))).collect();
    let mut quick = Tunnel::open(&edge, &origin, "a.test");
    for _ in 0..20 {
        quick.check();
        let big = Frame::binary(vec![3; 300_000]);
        quick.origin.send_frame(&big);
        assert_eq!(quick.client.frame(), big);
    }
    for (mut tunnel, pushed) in slow {
        let whole = pushed / frame.len() * frame.len();
        for _ in 0..whole / frame.len() {
            assert!(tunnel.client.exactly(frame.len()) == frame);
        }
    }
    quick.check();
}

#[test]
fn a_huge_message_streams_through_with_constant_memory() {
    const BYTES: usize = 512 << 20;
    let (origin, edge) = Edge::and_origin();
    let mut tunnel = Tunnel::open(&edge, &origin, "a.test");
    tunnel.check();
    let before = edge.resident();
    let mut server = tunnel.origin.also();
    let push = std::thread::spawn(move || {
        server.send(Frame::header(Op::BINARY, None, BYTES as u64));
        let block = vec![0x5a; 1 << 20];
        (0..BYTES / block.len()).for_each(|_| server.send(&block));
    });
    tunnel.client.expect(Frame::header(Op::BINARY, None, BYTES as u64));
    let mut seen = 0;
    while seen < BYTES {
        let piece = tunnel.client.exactly((BYTES - seen).min(1 << 16));
        assert!(piece.iter().all(|&b| b == 0x5a));
        seen += piece.len();
    }
    push.join().expect("pushed");
    tunnel.check();
    let after = edge.peak_resident();
    assert!(after < before + (24 << 10), "grew from {before} to {after} KiB");
}

/// ws GHSA-96hv-2xvq-fx4p: a message of very many fragments of one byte.
#[test]
fn a_flood_of_fragments_costs_no_memory() {
    let (origin, edge) = Edge::and_origin();
    let mut tunnel = Tunnel::open(&edge, &origin, "a.test");
    tunnel.check();
    let before = edge.resident();
    let fragments = 200_000;
    let fragment = |op| Frame::new(op, "x").unfinished().masked().bytes();
    let (first, next) = (fragment(Op::TEXT), fragment(Op::CONTINUE));
    let mut client = tunnel.client.also();
    let (one, more) = (first.clone(), next.repeat(1000));
    let push = std::thread::spawn(move || {
        client.send(one);
        (0..fragments / 1000).for_each(|_| client.send(&more));
    });
    tunnel.origin.expect(&first);
    for _ in 0..fragments / 1000 {
        tunnel.origin.expect(next.repeat(1000));
    }
    push.join().expect("pushed");
    let after = edge.peak_resident();
    assert!(after < before + (24 << 10), "grew from {before} to {after} KiB");
}

#[test]
fn counters_follow_every_byte_and_message() {
    let (origin, edge) = Edge::and_origin();
    let mut tunnel = Tunnel::open(&edge, &origin, "a.test");
    let (up, down) = (Frame::text("12345").masked(), Frame::binary(vec![0; 1000]));
    for _ in 0..10 {
        tunnel.client.send_frame(&up);
        assert_eq!(tunnel.origin.frame(), up);
    }
    let part = Frame::text("a").unfinished();
    let end = Frame::new(Op::CONTINUE, "b");
    for frame in [&down, &part, &end] {
        tunnel.origin.send_frame(frame);
        assert_eq!(&tunnel.client.frame(), frame);
    }
    let row = eventually("the row has both directions", || {
        let row = edge.conns().first().cloned()?;
        (row["messages_out"] == 2 && row["messages_in"] == 10).then_some(row)
    });
    assert_eq!(row["bytes_in"], 10 * up.bytes().len() as u64, "{row}");
    let out = [&down, &part, &end].iter().map(|f| f.bytes().len() as u64).sum::<u64>();
    assert_eq!(row["bytes_out"], out, "{row}");
}
