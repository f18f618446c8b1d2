//! Requests for a WebSocket: opened, refused, passed on as HTTP.

use super::*;

pub(super) const UPGRADE: &str = "GET /chat HTTP/1.1\r\nHost: live.example.com\r\n\
    Upgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
pub(super) const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\n\
    Upgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

#[test]
fn a_verified_101_opens_a_tunnel_with_the_bytes_behind_both_heads() {
    let frame = [0x81, 0x82, 0, 0, 0, 0, b'h', b'i'];
    let addr = origin(move |mut peer| {
        peer.head();
        peer.0.get_mut().write_all(&[SWITCH.as_bytes(), &[0x81, 2, b'y', b'o']].concat()).unwrap();
        let mut got = [0; 8];
        peer.0.read_exact(&mut got).unwrap();
        assert_eq!(got, frame);
        peer.0.get_mut().write_all(&[0x81, 1, b'!']).unwrap();
        let _ = peer.0.fill_buf();
    });
    let mut edge = edge(domain(&[addr]));
    let mut client = edge.client();
    client.0.get_mut().write_all(&[UPGRADE.as_bytes(), &frame].concat()).unwrap();
    let head = client.head();
    assert!(head.starts_with("HTTP/1.1 101"), "{head}");
    assert_eq!(field(&head, "sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    let mut got = [0; 7];
    client.0.read_exact(&mut got).unwrap();
    assert_eq!(got, [0x81, 2, b'y', b'o', 0x81, 1, b'!']);
    let until = Instant::now() + WAIT;
    let opened = loop {
        match edge.events.pop() {
            Ok(Event::Open(opened)) => break opened,
            Ok(other) => panic!("{other:?}"),
            Err(_) => assert!(Instant::now() < until),
        }
    };
    assert_eq!((&*opened.target, opened.origin), ("/chat", addr));
}

#[test]
fn a_refusal_of_the_origin_is_passed_on() {
    let (addr, seen) = scripted("HTTP/1.1 401 Unauthorized\r\nContent-Length: 4\r\n\r\nwho?");
    let mut edge = edge(domain(&[addr]));
    let mut client = edge.client();
    for _ in 0..2 {
        let answer = client.send(UPGRADE).answer();
        assert_eq!((answer.status, answer.body.as_str()), (401, "who?"));
        let head = seen.recv_timeout(WAIT).unwrap();
        assert_eq!(field(&head, "upgrade"), Some("websocket"));
        assert_eq!(edge.logged(), (401, None, "/chat".into()));
    }
    // Bytes behind the request were meant for a tunnel and are never read as a request.
    client.send(&format!("{UPGRADE}{}", get("/smuggled")));
    assert_eq!(client.answer().status, 401);
    assert!(client.ended());
    assert_eq!(edge.stats.admission(0).active(), 0);
}

#[test]
fn a_false_101_reaches_nobody() {
    let (addr, _seen) = scripted(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\nX-Secret: 1\r\n\r\n",
    );
    let mut edge = edge(domain(&[addr]));
    let answer = edge.client().send(UPGRADE).answer();
    assert_eq!(answer.status, 502);
    assert_eq!(field(&answer.head, "x-secret"), None);
    assert_eq!(edge.logged().1, Some(Refusal::OriginAnswer));
}

#[test]
fn upgrades_the_edge_refuses() {
    let (addr, _seen) = scripted(SWITCH);
    let same_host = |mut d: Domain| {
        d.websocket.origin_rule = OriginRule::SameHost;
        d
    };
    let full = |mut d: Domain| {
        d.websocket.allowance.connections = Some(0);
        d
    };
    let cases: [(Domain, String, Refusal); 4] = [
        (
            same_host(domain(&[addr])),
            UPGRADE.replace("\r\n\r\n", "\r\nOrigin: http://evil.example\r\n\r\n"),
            Refusal::OriginHeader,
        ),
        (full(domain(&[addr])), UPGRADE.into(), Refusal::ConnectionLimit),
        (domain(&[addr]), UPGRADE.replace("Version: 13", "Version: 8"), Refusal::UpgradeVersion),
        (domain(&[refused_port()]), UPGRADE.into(), Refusal::OriginRefused),
    ];
    for (domain, request, refusal) in cases {
        let mut edge = edge(domain);
        let answer = edge.client().send(&request).answer();
        assert_eq!(answer.status, refusal.status(), "{answer:?}");
        assert_eq!(field(&answer.head, "retry-after").is_some(), refusal.status() == 429);
        assert_eq!(edge.logged().1, Some(refusal));
        assert_eq!(edge.stats.admission(0).active(), 0);
    }
}

#[test]
fn websocket_switched_off_is_plain_http() {
    let (addr, seen) = scripted("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi");
    let mut off = domain(&[addr]);
    off.websocket.enabled = false;
    let edge = edge(off);
    assert_eq!(edge.client().send(UPGRADE).answer().body, "hi");
    let head = seen.recv_timeout(WAIT).unwrap();
    assert_eq!((field(&head, "upgrade"), field(&head, "sec-websocket-key")), (None, None));
}

#[test]
fn an_origin_that_hangs_up_without_a_word_is_passed_over() {
    let mute = origin(|mut peer| {
        peer.head();
    });
    let (addr, _seen) = scripted(SWITCH);
    let edge = edge(domain(&[mute, addr]));
    assert!(edge.client().send(UPGRADE).head().starts_with("HTTP/1.1 101"));
}

#[test]
fn places_come_back_when_tunnels_end() {
    let (addr, _seen) = scripted(SWITCH);
    let mut one = domain(&[addr]);
    one.websocket.allowance.connections = Some(1);
    let edge = edge(one);
    let mut first = edge.client();
    assert!(first.send(UPGRADE).head().starts_with("HTTP/1.1 101"));
    assert_eq!(edge.client().send(UPGRADE).answer().status, 429);
    drop(first);
    let until = Instant::now() + WAIT;
    while edge.stats.admission(0).active() > 0 {
        assert!(Instant::now() < until, "the place did not come back");
        thread::yield_now();
    }
    assert!(edge.client().send(UPGRADE).head().starts_with("HTTP/1.1 101"));
}
