//! Tunnels with TLS on one leg or both: every byte, both ways, and every way to end.

use crate::harness::road::{Legs, Road};
use crate::harness::tunnel::closes;
use crate::harness::{End, Frame, Op, Tunnel};

fn noise(size: usize, seed: u32) -> Vec<u8> {
    (0..size as u32).map(|i| ((i ^ seed).wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

#[test]
fn messages_of_every_size_pass_unchanged_both_ways() {
    for legs in Legs::TLS {
        let road = Road::new(legs);
        let mut tunnel = road.tunnel();
        let sizes = [0, 1, 125, 126, 1_380, 1_400, 16_000, 16_370, 16_384, 16_385, 65_535, 1 << 20];
        for (seed, size) in (0..).zip(sizes) {
            let frame = Frame::binary(noise(size, seed));
            let up = frame.clone().masked();
            tunnel.client.send_frame(&up);
            assert!(tunnel.origin.frame() == up, "{legs:?} {size} up");
            tunnel.origin.send_frame(&frame);
            assert!(tunnel.client.frame() == frame, "{legs:?} {size} down");
        }
    }
}

#[test]
fn both_directions_run_at_once() {
    for legs in Legs::TLS {
        let road = Road::new(legs);
        let Tunnel { mut client, mut origin } = road.tunnel();
        let message = |i: u32| Frame::binary(noise(i as usize * 37 % 5_000, i));
        let count = 1_000;
        let (mut up, mut down) = (client.also(), origin.also());
        std::thread::scope(|scope| {
            scope.spawn(move || (0..count).for_each(|i| up.send_frame(&message(i).masked())));
            scope.spawn(move || (0..count).for_each(|i| down.send_frame(&message(i))));
            scope.spawn(move || (0..count).for_each(|i| assert!(client.frame() == message(i))));
            scope.spawn(move || {
                (0..count).for_each(|i| assert!(origin.frame() == message(i).masked()));
            });
        });
    }
}

/// A close_notify is a FIN, and the other way round (RFC 8446 6.1): the other direction goes on.
#[test]
fn half_closes_pass_both_ways() {
    for legs in Legs::TLS {
        let road = Road::new(legs);
        let mut tunnel = road.tunnel();
        tunnel.client.finish();
        assert_eq!(tunnel.origin.ends(), End::Fin, "{legs:?}");
        let late = Frame::binary(noise(40_000, 1));
        tunnel.origin.send_frame(&late);
        assert!(tunnel.client.frame() == late, "{legs:?}");
        tunnel.origin.finish();
        assert_eq!(tunnel.client.ends(), End::Fin, "{legs:?}");
        road.edge.await_log("half-closed both ways", |line| line["cause"] == "peer_eof");
        // And begun by the origin.
        let mut tunnel = road.tunnel();
        tunnel.origin.finish();
        assert_eq!(tunnel.client.ends(), End::Fin, "{legs:?}");
        let late = Frame::binary(noise(40_000, 2)).masked();
        tunnel.client.send_frame(&late);
        assert!(tunnel.origin.frame() == late, "{legs:?}");
        tunnel.client.finish();
        assert_eq!(tunnel.origin.ends(), End::Fin, "{legs:?}");
    }
}

/// close_notify alone, while the socket stays open.
#[test]
fn close_notify_without_fin_is_an_end() {
    for legs in [Legs::Client, Legs::Both] {
        let road = Road::new(legs);
        let mut tunnel = road.tunnel();
        tunnel.client.tls().close_notify();
        assert_eq!(tunnel.origin.ends(), End::Fin, "{legs:?}");
        tunnel.origin.finish();
        assert_eq!(tunnel.client.ends(), End::Fin, "{legs:?}");
    }
}

#[test]
fn close_codes_pass_and_the_handshake_is_whole() {
    for legs in Legs::TLS {
        let road = Road::new(legs);
        for code in [1000, 1001, 3000, 4999] {
            let mut tunnel = road.tunnel();
            let close = Frame::close(code, "bye").masked();
            tunnel.client.send_frame(&close);
            assert_eq!(tunnel.origin.frame(), close);
            tunnel.origin.send_frame(&Frame::close(code, ""));
            tunnel.origin.finish();
            let answer = tunnel.client.frame();
            assert_eq!(answer.close_code().map(|(code, _)| code), Some(code), "{legs:?}");
            assert_eq!(tunnel.client.ends(), End::Fin, "{legs:?} {code}");
            road.edge.await_log("its end", |line| {
                line["cause"] == "peer_close" && line["close_code"] == code
            });
        }
    }
}

#[test]
fn drain_closes_with_1001_in_order() {
    for legs in Legs::TLS {
        let mut road = Road::with(legs, |domain| domain, |edge| edge.drain_window("5s"));
        let tunnels: Vec<_> = (0..4).map(|_| road.tunnel()).collect();
        road.edge.signal("TERM");
        for mut tunnel in tunnels {
            closes(&mut tunnel.client, 1001);
            closes(&mut tunnel.origin, 1001);
        }
        assert_eq!(road.edge.exit(), Some(0), "{legs:?}");
    }
}

#[test]
fn a_killed_tunnel_is_closed_in_order() {
    for legs in Legs::TLS {
        let road = Road::new(legs);
        let tunnel = road.tunnel();
        road.edge.hawser_done(&["kill", "--domain", "a.test", "--code", "1012"]);
        tunnel.closed_by_edge(1012, 1012);
    }
}

/// A Ping of the edge stands between frames, whatever records they came in.
#[test]
fn heartbeats_stand_between_frames_only() {
    for legs in Legs::TLS {
        let road = Road::with(legs, |domain| domain.websocket("heartbeat = 1"), |edge| edge);
        let mut tunnel = road.tunnel();
        let down = Frame::binary(noise(50_000, 3));
        let bytes = down.bytes();
        // A frame that stays half sent for longer than a heartbeat. The origin says nothing else,
        // so that it is pinged meanwhile, which nobody holds up.
        tunnel.origin.send(&bytes[..30_000]);
        let ping = tunnel.origin.frame();
        assert_eq!(ping.op, Op::PING, "{legs:?}");
        tunnel.origin.send(&bytes[30_000..]);
        tunnel.origin.send_frame(&Frame::pong(&ping.payload));
        assert!(tunnel.client.frame() == down, "{legs:?}: something stood in the frame");
        let ping = tunnel.client.frame();
        assert_eq!(ping.op, Op::PING, "{legs:?}");
        tunnel.client.send_frame(&Frame::pong(&ping.payload).masked());
        tunnel.check_with(|frame| frame.op != Op::PING);
    }
}

#[test]
fn a_silent_peer_is_found_dead_over_tls() {
    for legs in Legs::TLS {
        let road = Road::with(legs, |domain| domain.websocket("heartbeat = 1"), |edge| edge);
        let mut tunnel = road.tunnel();
        // The origin answers, the client does not.
        let mut origin = tunnel.origin.also();
        let answering = std::thread::spawn(move || {
            loop {
                let frame = origin.frame();
                match frame.op {
                    Op::PING => origin.send_frame(&Frame::pong(&frame.payload)),
                    _ => return frame,
                }
            }
        });
        assert_eq!(tunnel.client.frame().op, Op::PING);
        let close = answering.join().expect("no panic");
        assert_eq!(close.close_code().map(|(code, _)| code), Some(1001), "{legs:?}");
        road.edge.await_log("its end", |line| line["cause"] == "heartbeat_timeout");
    }
}

#[test]
fn a_slow_reader_stops_its_peer_and_loses_nothing() {
    for legs in Legs::TLS {
        let road = Road::new(legs);
        let mut slow = road.tunnel();
        let mut quick = road.tunnel();
        let frame = Frame::binary(noise(50_000, 4)).bytes();
        let pushed = slow.origin.push_until_it_stalls(&frame, 48 << 20);
        for _ in 0..10 {
            quick.check();
            let big = Frame::binary(noise(200_000, 5));
            quick.origin.send_frame(&big);
            assert!(quick.client.frame() == big);
        }
        let up = Frame::text("up").masked();
        slow.client.send_frame(&up);
        assert_eq!(slow.origin.frame(), up, "the other direction is not blocked");
        let (mut rest, tail) = (slow.origin.also(), frame[pushed % frame.len()..].to_vec());
        let cut = !pushed.is_multiple_of(frame.len());
        let push = std::thread::spawn(move || rest.send(if cut { &tail[..] } else { b"" }));
        for i in 0..pushed.div_ceil(frame.len()) {
            assert!(slow.client.exactly(frame.len()) == frame, "{legs:?}: frame {i} changed");
        }
        push.join().expect("pushed");
        slow.check();
    }
}

#[test]
fn bytes_and_messages_are_counted_as_plaintext() {
    for legs in Legs::TLS {
        let road = Road::new(legs);
        let mut tunnel = road.tunnel();
        let (up, down) = (Frame::text("12345").masked(), Frame::binary(vec![0; 20_000]));
        for _ in 0..10 {
            tunnel.client.send_frame(&up);
            assert_eq!(tunnel.origin.frame(), up);
        }
        tunnel.origin.send_frame(&down);
        assert_eq!(tunnel.client.frame(), down);
        let row = crate::harness::eventually("the row has both directions", || {
            let row = road.edge.conns().first().cloned()?;
            (row["messages_out"] == 1 && row["messages_in"] == 10).then_some(row)
        });
        assert_eq!(row["bytes_in"], 10 * up.bytes().len() as u64, "{legs:?} {row}");
        assert_eq!(row["bytes_out"], down.bytes().len() as u64, "{legs:?} {row}");
    }
}

/// Bytes right behind the heads belong to the tunnel, also when they are one record with them.
#[test]
fn early_bytes_of_both_sides_arrive() {
    for legs in Legs::TLS {
        let road = Road::new(legs);
        let mut client = road.connect();
        let (early, late) = (Frame::text("early").masked(), Frame::binary(noise(30_000, 6)));
        let request = crate::harness::upgrade_request("a.test", "");
        client.send([request.as_bytes(), &early.bytes(), &late.clone().masked().bytes()].concat());
        let mut origin = road.origin.accept();
        let head = origin.head();
        let answer = crate::harness::switching(&head);
        origin.send([answer.as_bytes(), &late.bytes()].concat());
        assert_eq!(client.head().status(), 101);
        assert!(client.frame() == late, "{legs:?}");
        assert_eq!(origin.frame(), early, "{legs:?}");
        assert!(origin.frame() == late.masked(), "{legs:?}");
    }
}
