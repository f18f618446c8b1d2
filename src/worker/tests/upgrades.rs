//! Requests for a WebSocket: opened, refused, passed on as HTTP.

use std::net::IpAddr;

use super::*;
use crate::snapshot::{Geo, Listed, Locate, Place};

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

/// What a series counted, waited for: bytes in and out, opened, open, closed; handshakes by code.
fn counted(edge: &Edge, series: u32, code: u16) -> SeriesCounts {
    let counters = edge.stats.cores()[0].series(series);
    let handshakes = counters.handshakes.iter().find(|(name, _)| name.code() == code);
    SeriesCounts {
        bytes_in: counters.bytes_in.value(),
        bytes_out: counters.bytes_out.value(),
        messages_out: counters.messages_out.value(),
        opened: counters.opened.value(),
        active: counters.active.value(),
        closed: counters.closed.iter().map(|counter| counter.value()).sum(),
        handshakes: handshakes.map_or(0, |(_, n)| n),
        timed: counters.handshake_us.counts().iter().sum(),
    }
}

#[derive(Debug, PartialEq, Eq)]
struct SeriesCounts {
    bytes_in: u64,
    bytes_out: u64,
    messages_out: u64,
    opened: u64,
    active: u64,
    closed: u64,
    handshakes: u64,
    timed: u64,
}

#[test]
fn a_tunnel_counts_in_its_series_and_nowhere_else() {
    let addr = origin(move |mut peer| {
        peer.head();
        peer.0.get_mut().write_all(&[SWITCH.as_bytes(), &[0x81, 2, b'y', b'o']].concat()).unwrap();
        let _ = peer.0.fill_buf();
    });
    let edge = edge(domain(&[addr]));
    let mut client = edge.client();
    client.send(UPGRADE);
    let head = client.head();
    client.0.read_exact(&mut [0; 4]).unwrap();
    let open = SeriesCounts {
        bytes_in: UPGRADE.len() as u64,
        bytes_out: (head.len() + 4) as u64,
        messages_out: 1,
        opened: 1,
        active: 1,
        closed: 0,
        handshakes: 1,
        timed: 1,
    };
    await_counts(&edge, 0, 101, &open);
    drop(client);
    await_counts(&edge, 0, 101, &SeriesCounts { active: 0, closed: 1, ..open });
    let core = &edge.stats.cores()[0];
    assert_eq!(core.series_used(), 1);
    let name = core.series(0).name().unwrap();
    assert_eq!([&*name.domain, &*name.region, &*name.isp], [HOST, "unknown", "unknown"]);
    let plain = core.domain(0);
    assert_eq!((plain.http_bytes_in.value(), plain.http_bytes_out.value()), (0, 0));
}

fn await_counts(edge: &Edge, series: u32, code: u16, expected: &SeriesCounts) {
    let until = Instant::now() + WAIT;
    while counted(edge, series, code) != *expected {
        let found = counted(edge, series, code);
        assert!(Instant::now() < until, "{found:?} instead of {expected:?}");
        thread::yield_now();
    }
}

#[test]
fn refused_upgrades_count_in_the_series_and_those_of_a_switched_off_domain_do_not() {
    let (addr, _seen) = scripted("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi");
    let mut denied = domain(&[addr]);
    denied.access.deny = Box::new(["127.0.0.0/8".parse().unwrap()]);
    let mut off = domain(&[addr]);
    off.websocket.enabled = false;
    let invalid = UPGRADE.replace("Version: 13", "Version: 8");
    for (domain, request, code, in_series) in [
        (denied, UPGRADE, 403, true),
        (domain(&[addr]), &*invalid, 426, true),
        (domain(&[addr]), UPGRADE, 200, true),
        (off, UPGRADE, 200, false),
    ] {
        let mut edge = edge(domain);
        let answer = edge.client().send(request).answer();
        assert_eq!(answer.status, code);
        edge.logged();
        let core = &edge.stats.cores()[0];
        let (sent, received) = match in_series {
            true => (&core.series(0).bytes_out, &core.series(0).bytes_in),
            false => (&core.domain(0).http_bytes_out, &core.domain(0).http_bytes_in),
        };
        let whole = answer.head.len() + answer.body.len();
        assert_eq!(
            (sent.value(), received.value()),
            (whole as u64, request.len() as u64),
            "{code}"
        );
        assert_eq!(counted(&edge, 0, code).handshakes, u64::from(in_series), "{code}");
        let requests: u64 = core.domain(0).requests.iter().map(|(_, n)| n).sum();
        assert_eq!(requests, u64::from(!in_series), "{code}");
    }
}

/// 192.0.2.7 is in x; of anybody else nothing is known.
#[derive(Debug)]
struct OneAddress;

impl Locate for OneAddress {
    fn place(&self, ip: IpAddr) -> Place {
        Place { region: u16::from(ip == IpAddr::from([192, 0, 2, 7])), isp: 0 }
    }
}

#[test]
fn the_place_is_that_of_the_client_in_the_proxy_header() {
    let (addr, _seen) = scripted(SWITCH);
    let regions = Box::new(["unknown".into(), "x".into()]);
    let geo = Arc::new(Geo::new(regions, Box::new(["unknown".into()]), Box::new(OneAddress)));
    let http = Http {
        proxy_protocol: crate::snapshot::ProxyProtocol::V1,
        trusted_proxies: Arc::new(["127.0.0.0/8".parse().unwrap()]),
        ..Http::default()
    };
    let hosts = Hosts::new([Arc::new(domain(&[addr]))]);
    let edge = edge_of(Transport::Plain, Snapshot { hosts, http, geo, ..Snapshot::default() });
    let mut clients = Vec::new();
    for (i, (source, region)) in [("192.0.2.7", "x"), ("192.0.2.8", "unknown")].iter().enumerate() {
        let mut client = edge.client();
        let forwarded = UPGRADE.replace("\r\n\r\n", "\r\nX-Forwarded-For: 192.0.2.7\r\n\r\n");
        client.send(&format!("PROXY TCP4 {source} 198.51.100.1 4711 80\r\n{forwarded}"));
        assert!(client.head().starts_with("HTTP/1.1 101"));
        clients.push(client);
        let name = edge.stats.cores()[0].series(i as u32).name().unwrap();
        assert_eq!((&*name.domain, &*name.region), (HOST, *region));
    }
    let (listed, rows) = channel();
    edge.worker.handle.send(Command::List {
        filter: Default::default(),
        order: None,
        limit: 10,
        reply: Box::new(move |answer: Listed| listed.send(answer.rows).unwrap()),
    });
    let rows = rows.recv_timeout(WAIT).unwrap();
    let shown: Vec<_> = rows.iter().map(|row| (row.client.to_string(), &*row.region)).collect();
    let expected = [("192.0.2.7:4711".to_owned(), "x"), ("192.0.2.8:4711".to_owned(), "unknown")];
    assert_eq!(shown, expected);
}
