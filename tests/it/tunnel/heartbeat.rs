//! Heartbeats: who is asked, when, what of it the other side sees, and what silence leads to.

use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::harness::tunnel::{closes, closes_with};
use crate::harness::{Frame, Op, Wire};

use super::open;

/// The edge's Ping; it must carry a payload, which marks it as the edge's own.
fn pinged(wire: &mut Wire) -> Frame {
    let frame = wire.frame();
    assert_eq!(frame.op, Op::PING, "{frame:?}");
    assert!(!frame.payload.is_empty(), "nothing marks it as the edge's");
    frame
}

#[test]
fn a_silent_side_is_pinged_and_its_pong_is_consumed() {
    let (edge, _origin, mut tunnel) = open(&["heartbeat = 1"]);
    let opened = Instant::now();
    let to_client = pinged(&mut tunnel.client);
    assert!(to_client.mask.is_none(), "towards a client nothing is masked");
    let to_origin = pinged(&mut tunnel.origin);
    assert!(to_origin.mask.is_some(), "towards an origin the edge is a client: RFC 6455 5.1");
    assert!(opened.elapsed() >= Duration::from_millis(500), "asked far too early");
    tunnel.client.send_frame(&Frame::pong(&to_client.payload).masked());
    tunnel.origin.send_frame(&Frame::pong(&to_origin.payload));
    // The next thing that either side sees is a message: the Pongs stayed at the edge.
    tunnel.check();
    let row = &edge.conns()[0];
    for name in ["client_rtt_us", "origin_rtt_us"] {
        assert!(row[name].as_u64().is_some_and(|us| us > 0), "{name} in {row}");
    }
    edge.await_metric("hawser_rtt_seconds_count", &[("leg", "client")], 1.0);
}

#[test]
fn the_heartbeat_goes_on_for_as_long_as_pongs_come() {
    let (_edge, _origin, mut tunnel) = open(&["heartbeat = 1"]);
    for _ in 0..3 {
        let ping = pinged(&mut tunnel.client);
        tunnel.client.send_frame(&Frame::pong(&ping.payload).masked());
        let ping = pinged(&mut tunnel.origin);
        tunnel.origin.send_frame(&Frame::pong(&ping.payload));
    }
    tunnel.check();
}

#[test]
fn pings_and_pongs_of_the_peers_pass_untouched() {
    let (_edge, _origin, mut tunnel) = open(&[]);
    for frame in [Frame::ping(""), Frame::ping("mine"), Frame::pong("mine"), Frame::pong("")] {
        tunnel.client.send_frame(&frame.clone().masked());
        assert_eq!(tunnel.origin.frame(), frame.clone().masked());
        tunnel.origin.send_frame(&frame);
        assert_eq!(tunnel.client.frame(), frame);
    }
}

#[test]
fn a_pong_that_is_not_the_answer_to_the_edges_ping_passes() {
    let (_edge, _origin, mut tunnel) = open(&["heartbeat = 1"]);
    let ping = pinged(&mut tunnel.client);
    let mut other = ping.payload;
    other[0] ^= 1;
    let theirs = Frame::pong(&other).masked();
    tunnel.client.send_frame(&theirs);
    let mut seen = tunnel.origin.frame();
    if seen.op == Op::PING {
        seen = tunnel.origin.frame();
    }
    assert_eq!(seen, theirs);
}

#[test]
fn a_side_that_speaks_is_not_pinged() {
    let (_edge, _origin, mut tunnel) = open(&["heartbeat = 2"]);
    let started = Instant::now();
    let mut origin_pings = 0;
    while origin_pings < 2 {
        assert!(started.elapsed() < crate::harness::DEADLINE);
        let message = Frame::text("busy").masked();
        tunnel.client.send_frame(&message);
        match tunnel.origin.frame() {
            frame if frame.op == Op::PING => {
                tunnel.origin.send_frame(&Frame::pong(&frame.payload));
                origin_pings += 1;
                assert_eq!(tunnel.origin.frame(), message);
            }
            frame => assert_eq!(frame, message),
        }
        sleep(Duration::from_millis(100));
    }
    // Two intervals are over. Had the client been asked, its Ping would come first.
    let down = Frame::text("down");
    tunnel.origin.send_frame(&down);
    assert_eq!(tunnel.client.frame(), down);
}

#[test]
fn a_dead_client_is_given_up_and_the_origin_is_told() {
    let (edge, _origin, mut tunnel) = open(&["heartbeat = 1"]);
    pinged(&mut tunnel.client);
    let told = loop {
        let frame = tunnel.origin.frame();
        if frame.op != Op::PING {
            break frame;
        }
        tunnel.origin.send_frame(&Frame::pong(&frame.payload));
    };
    closes_with(&mut tunnel.origin, &told, 1001);
    let line = edge.await_log("the end", |line| line["cause"] == "heartbeat_timeout");
    assert_eq!(line["side"], "client", "{line}");
    // It may live after all, and then learns why.
    closes(&mut tunnel.client, 1001);
}

#[test]
fn a_dead_origin_is_given_up_and_the_client_is_told() {
    let (edge, _origin, mut tunnel) = open(&["heartbeat = 1"]);
    pinged(&mut tunnel.origin);
    let told = loop {
        let frame = tunnel.client.frame();
        if frame.op != Op::PING {
            break frame;
        }
        tunnel.client.send_frame(&Frame::pong(&frame.payload).masked());
    };
    closes_with(&mut tunnel.client, &told, 1001);
    let line = edge.await_log("the end", |line| line["cause"] == "heartbeat_timeout");
    assert_eq!(line["side"], "origin", "{line}");
}

#[test]
fn any_byte_is_a_sign_of_life_even_without_a_pong() {
    let (_edge, _origin, mut tunnel) = open(&["heartbeat = 1"]);
    for round in 0..4 {
        pinged(&mut tunnel.client);
        let alive = Frame::text(format!("{round}")).masked();
        tunnel.client.send_frame(&alive);
        loop {
            let frame = tunnel.origin.frame();
            if frame.op == Op::PING {
                tunnel.origin.send_frame(&Frame::pong(&frame.payload));
                continue;
            }
            assert_eq!(frame, alive);
            break;
        }
    }
}

#[test]
fn a_ping_waits_for_the_end_of_a_frame_that_is_under_way() {
    let (_edge, _origin, mut tunnel) = open(&["heartbeat = 1"]);
    let long = Frame::binary(vec![9; 1000]);
    let bytes = long.bytes();
    tunnel.origin.send(&bytes[..500]);
    tunnel.client.expect(&bytes[..500]);
    // The client has been silent for as long as the origin, so both Pings are due now.
    let ping = pinged(&mut tunnel.origin);
    tunnel.origin.send(&bytes[500..]);
    tunnel.origin.send_frame(&Frame::pong(&ping.payload));
    tunnel.client.expect(&bytes[500..]);
    let ping = pinged(&mut tunnel.client);
    tunnel.client.send_frame(&Frame::pong(&ping.payload).masked());
    tunnel.check();
}

/// Sent all the same, it once started the clock of a side that had just spoken, and ended tunnels
/// whose peers were silent for little more than one interval.
#[test]
fn a_ping_that_waited_is_not_sent_to_a_side_that_has_spoken_meanwhile() {
    let (_edge, _origin, mut tunnel) = open(&["heartbeat = 1"]);
    let bytes = Frame::binary(vec![9; 1000]).bytes();
    tunnel.origin.send(&bytes[..500]);
    tunnel.client.expect(&bytes[..500]);
    // Both Pings are due; the one to the client has to wait.
    let ping = pinged(&mut tunnel.origin);
    let spoken = Frame::text("I am here").masked();
    tunnel.client.send_frame(&spoken);
    assert_eq!(tunnel.origin.frame(), spoken);
    let down = Frame::text("down");
    let pong = Frame::pong(&ping.payload);
    tunnel.origin.send([&bytes[500..], &pong.bytes(), &down.bytes()].concat());
    tunnel.client.expect(&bytes[500..]);
    assert_eq!(tunnel.client.frame(), down);
}

#[test]
fn a_ping_may_stand_between_the_fragments_of_a_message() {
    let (_edge, _origin, mut tunnel) = open(&["heartbeat = 1"]);
    let first = Frame::text("one ").unfinished();
    tunnel.origin.send_frame(&first);
    assert_eq!(tunnel.client.frame(), first);
    let ping = pinged(&mut tunnel.client);
    tunnel.client.send_frame(&Frame::pong(&ping.payload).masked());
    let last = Frame::new(Op::CONTINUE, "two");
    tunnel.origin.send_frame(&last);
    assert_eq!(tunnel.client.frame(), last);
}

#[test]
fn passive_mode_closes_when_no_byte_moves() {
    let (edge, _origin, tunnel) = open(&["heartbeat = 1", "heartbeat_mode = \"passive\""]);
    tunnel.closed_by_edge(1001, 1001);
    edge.await_log("the end", |line| line["cause"] == "idle_timeout");
}

#[test]
fn passive_mode_counts_a_byte_of_either_side() {
    let (_edge, _origin, mut tunnel) = open(&["heartbeat = 2", "heartbeat_mode = \"passive\""]);
    let started = Instant::now();
    // Only the client ever speaks; for two intervals nothing is closed, and nobody is pinged.
    while started.elapsed() < Duration::from_millis(4_500) {
        let message = Frame::text("tick").masked();
        tunnel.client.send_frame(&message);
        assert_eq!(tunnel.origin.frame(), message);
        sleep(Duration::from_millis(100));
    }
    tunnel.check();
}
