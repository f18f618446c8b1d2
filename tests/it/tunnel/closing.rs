//! How tunnels end: by a peer's Close, by its silence on the wire, or by the edge.

use crate::harness::tunnel::{closes, closes_with};
use crate::harness::{Edge, End, Frame, Op, Tunnel, show};

use super::open;

#[test]
fn a_close_of_the_client_passes_with_code_and_reason() {
    for (code, reason) in [(1000, "bye"), (1001, ""), (3000, "x"), (4999, "grüße")] {
        let (edge, _origin, mut tunnel) = open(&[]);
        let close = Frame::close(code, reason);
        tunnel.client.send_frame(&close.clone().masked());
        assert_eq!(tunnel.origin.frame(), close.clone().masked());
        tunnel.origin.send_frame(&close);
        tunnel.origin.finish();
        assert_eq!(tunnel.client.frame(), close);
        assert_eq!(tunnel.client.ends(), End::Fin);
        tunnel.client.finish();
        assert_eq!(tunnel.origin.ends(), End::Fin);
        let line = edge.await_log("the end", |line| line["cause"] == "peer_close");
        assert_eq!(line["side"], "client", "{line}");
        assert_eq!(line["close_code"], code, "{line}");
    }
}

#[test]
fn a_close_of_the_origin_passes_with_code_and_reason() {
    let (edge, _origin, mut tunnel) = open(&[]);
    let close = Frame::close(4321, "enough");
    tunnel.origin.send_frame(&close);
    assert_eq!(tunnel.client.frame(), close);
    tunnel.client.send_frame(&close.clone().masked());
    assert_eq!(tunnel.origin.frame(), close.masked());
    tunnel.origin.finish();
    assert_eq!(tunnel.client.ends(), End::Fin);
    tunnel.client.finish();
    let line = edge.await_log("the end", |line| line["cause"] == "peer_close");
    assert_eq!((line["side"].as_str(), line["close_code"].as_u64()), (Some("origin"), Some(4321)));
}

#[test]
fn a_close_without_a_code_passes_without_one() {
    let (_edge, _origin, mut tunnel) = open(&[]);
    let close = Frame::new(Op::CLOSE, "");
    tunnel.client.send_frame(&close.clone().masked());
    assert_eq!(tunnel.origin.frame(), close.clone().masked());
    tunnel.origin.send_frame(&close);
    assert_eq!(tunnel.client.frame(), close);
}

#[test]
fn what_an_origin_still_says_behind_the_clients_close_arrives() {
    let (_edge, _origin, mut tunnel) = open(&[]);
    tunnel.client.send_frame(&Frame::close(1000, "").masked());
    assert_eq!(tunnel.origin.frame().op, Op::CLOSE);
    let last = Frame::text("last words");
    tunnel.origin.send_frame(&last);
    assert_eq!(tunnel.client.frame(), last);
    tunnel.origin.send_frame(&Frame::close(1000, ""));
    assert_eq!(tunnel.client.frame().op, Op::CLOSE);
}

#[test]
fn a_half_close_is_passed_on_and_the_other_direction_lives() {
    let (edge, _origin, mut tunnel) = open(&[]);
    let last = Frame::text("that was all").masked();
    tunnel.client.send_frame(&last);
    tunnel.client.finish();
    assert_eq!(tunnel.origin.frame(), last);
    assert_eq!(tunnel.origin.ends(), End::Fin);
    for i in 0..3 {
        let answer = Frame::text(format!("still here {i}"));
        tunnel.origin.send_frame(&answer);
        assert_eq!(tunnel.client.frame(), answer);
    }
    tunnel.origin.finish();
    assert_eq!(tunnel.client.ends(), End::Fin);
    edge.await_log("the end", |line| line["cause"] == "peer_eof");
}

#[test]
fn a_half_close_of_the_origin_is_passed_on_too() {
    let (_edge, _origin, mut tunnel) = open(&[]);
    tunnel.origin.finish();
    assert_eq!(tunnel.client.ends(), End::Fin);
    let more = Frame::text("to the end").masked();
    tunnel.client.send_frame(&more);
    assert_eq!(tunnel.origin.frame(), more);
    tunnel.client.finish();
    assert_eq!(tunnel.origin.ends(), End::Fin);
}

#[test]
fn everything_sent_before_a_fin_arrives() {
    let (_edge, _origin, mut tunnel) = open(&[]);
    let frames: Vec<u8> =
        (0..300u32).flat_map(|i| Frame::binary(vec![i as u8; 9_000]).bytes()).collect();
    let mut origin = tunnel.origin;
    let sent = frames.clone();
    let push = std::thread::spawn(move || {
        origin.send(&sent);
        origin.finish();
        origin
    });
    let (seen, end) = tunnel.client.rest();
    assert!(seen == frames, "{} of {} bytes", seen.len(), frames.len());
    assert_eq!(end, End::Fin);
    push.join().expect("pushed");
}

#[test]
fn a_reset_of_the_origin_is_1011_for_the_client() {
    let (edge, _origin, mut tunnel) = open(&[]);
    tunnel.origin.reset();
    let frame = tunnel.client.frame();
    let (code, _) = frame.close_code().expect("a code");
    assert!(matches!(code, 1011 | 1001), "{code}");
    closes_with(&mut tunnel.client, &frame, code);
    let line = edge.await_log("the end", |line| line["cause"] == "peer_reset");
    assert_eq!(line["side"], "origin", "{line}");
}

#[test]
fn a_reset_of_the_client_is_told_to_the_origin() {
    let (edge, _origin, mut tunnel) = open(&[]);
    tunnel.client.reset();
    let frame = tunnel.origin.frame();
    let (code, _) = frame.close_code().expect("a code");
    assert!(matches!(code, 1001 | 1011), "{code}");
    closes_with(&mut tunnel.origin, &frame, code);
    let line = edge.await_log("the end", |line| line["cause"] == "peer_reset");
    assert_eq!(line["side"], "client", "{line}");
}

#[test]
fn nothing_is_put_into_a_frame_whose_sender_is_gone() {
    let (_edge, _origin, mut tunnel) = open(&[]);
    let bytes = Frame::binary(vec![1; 1000]).bytes();
    tunnel.origin.send(&bytes[..400]);
    tunnel.client.expect(&bytes[..400]);
    tunnel.origin.reset();
    let (rest, _) = tunnel.client.rest();
    assert!(rest.is_empty(), "inside a frame: {}", show(&rest));
}

#[test]
fn a_kill_waits_for_the_end_of_a_frame_that_is_under_way() {
    let (edge, _origin, mut tunnel) = open(&[]);
    let bytes = Frame::binary(vec![1; 1000]).bytes();
    tunnel.origin.send(&bytes[..400]);
    tunnel.client.expect(&bytes[..400]);
    edge.hawser_done(&["kill", "--domain", "a.test", "--code", "4000", "--reason", "enough"]);
    // Nothing of the origin's is in a frame of the client's direction, so it is told at once.
    let told = tunnel.origin.frame();
    assert_eq!(told.close_code(), Some((4000, "enough".into())));
    tunnel.origin.send(&bytes[400..]);
    tunnel.client.expect(&bytes[400..]);
    closes(&mut tunnel.client, 4000);
}

#[test]
fn a_killed_tunnel_whose_frame_never_ends_is_cut_after_a_second() {
    let (edge, _origin, mut tunnel) = open(&[]);
    let bytes = Frame::binary(vec![1; 1000]).bytes();
    tunnel.origin.send(&bytes[..400]);
    tunnel.client.expect(&bytes[..400]);
    edge.hawser_done(&["kill", "--domain", "a.test"]);
    let (rest, _) = tunnel.client.rest();
    assert!(rest.is_empty(), "inside a frame: {}", show(&rest));
    edge.await_metric("hawser_tunnels_active", &[("domain", "a.test")], 0.0);
}

#[test]
fn no_code_that_must_not_be_sent_is_ever_sent() {
    for code in ["1005", "1006", "1015", "999", "5000"] {
        let (edge, _origin, mut tunnel) = open(&[]);
        let output = edge.hawser(&["kill", "--domain", "a.test", "--code", code]);
        assert!(!output.status.success(), "{code} was taken");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(error.contains(code), "names the value seen: {error}");
        tunnel.check();
    }
}

#[test]
fn a_peer_that_never_finishes_its_close_is_cut() {
    let (origin, edge) = Edge::and_origin();
    let mut tunnel = Tunnel::open(&edge, &origin, "a.test");
    edge.hawser_done(&["kill", "--domain", "a.test"]);
    assert_eq!(tunnel.client.frame().op, Op::CLOSE);
    assert_eq!(tunnel.origin.frame().op, Op::CLOSE);
    // Neither answers: after the second that they have, both are ended.
    let (_, _) = (tunnel.client.ends(), tunnel.origin.ends());
    edge.await_metric("hawser_tunnels_active", &[("domain", "a.test")], 0.0);
}
