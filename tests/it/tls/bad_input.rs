//! Records behind the handshake that are not what they should be: an alert, an end of that
//! connection alone, a cause, and no growth.

use rustls::{AlertDescription, CipherSuite};

use super::Site;
use crate::harness::crooked::{ALERT, CHANGE_CIPHER_SPEC, DATA, HANDSHAKE, Sealer, record};
use crate::harness::tls_peer::crooked_server;
use crate::harness::{
    Authority, DomainFile, Edge, End, Frame, Op, Origin, TlsClient, Tunnel, Wire,
};

/// Where a connection stands when it goes wrong.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Phase {
    /// Behind the handshake, before a request.
    Request,
    Tunnel,
}

const PHASES: [Phase; 2] = [Phase::Request, Phase::Tunnel];

/// Bytes that a client might send behind its handshake, made with its own keys.
type Make = fn(&mut Sealer) -> Vec<u8>;

fn frame() -> Vec<u8> {
    Frame::text("hello").masked().bytes()
}

/// RFC 8446 5 and 6: what is wrong, and the alert that says so.
const WRONG: &[(&str, Make, AlertDescription)] = &[
    ("a flipped bit in the body", |s| flip(s.record(DATA, frame()), 7), BAD_MAC),
    ("a flipped bit in the tag", |s| flip(s.record(DATA, frame()), 25), BAD_MAC),
    ("a flipped bit in the type", |s| flip(s.record(DATA, frame()), 0), UNEXPECTED),
    ("a record twice", |s| s.record(DATA, b"").repeat(2), BAD_MAC),
    (
        "a record left out",
        |s| {
            s.sequence += 1;
            s.record(DATA, frame())
        },
        BAD_MAC,
    ),
    (
        "two records in the wrong order",
        |s| {
            let (first, second) = (s.record(DATA, b"a"), s.record(DATA, b"b"));
            [second, first].concat()
        },
        BAD_MAC,
    ),
    ("a record of 2^14 + 257", |_| announced(16_641), OVERFLOW),
    ("a record of 2^16 - 1", |_| announced(65_535), OVERFLOW),
    ("2^14 + 1 bytes of plaintext", |s| s.record(DATA, vec![0x82; 16_385]), OVERFLOW),
    ("nothing but zeros", |s| s.inner(vec![0; 50]), UNEXPECTED),
    ("a tag around nothing", |s| s.inner(vec![]), UNEXPECTED),
    ("too short for a tag", |_| vec![DATA, 3, 3, 0, 5, 1, 2, 3, 4, 5], BAD_MAC),
    ("data in the clear", |_| record(DATA, b"GET / HTTP/1.1\r\n\r\n"), BAD_MAC),
    ("an alert in the clear", |_| record(ALERT, &[2, 40]), UNEXPECTED),
    ("a hello in the clear", |_| record(HANDSHAKE, &[1, 0, 0, 0]), UNEXPECTED),
    ("change_cipher_spec", |_| record(CHANGE_CIPHER_SPEC, &[1]), UNEXPECTED),
    ("change_cipher_spec inside", |s| s.record(CHANGE_CIPHER_SPEC, [1]), UNEXPECTED),
    ("an inner type of 99", |s| s.record(99, b"hello"), UNEXPECTED),
    ("heartbeats (CVE-2014-0160)", |s| s.record(24, [1, 0x40, 0]), UNEXPECTED),
    ("a ClientHello", |s| s.record(HANDSHAKE, [1, 0, 0, 2, 3, 3]), UNEXPECTED),
    ("Finished", |s| s.record(HANDSHAKE, [20, 0, 0, 1, 0]), UNEXPECTED),
    ("a ticket from a client", |s| s.record(HANDSHAKE, [4, 0, 0, 1, 0]), UNEXPECTED),
    (
        "a Certificate nobody asked for",
        |s| s.record(HANDSHAKE, [11, 0, 0, 4, 0, 0, 0, 0]),
        UNEXPECTED,
    ),
    (
        "a KeyUpdate of 2",
        |s| s.record(HANDSHAKE, [24, 0, 0, 1, 2]),
        AlertDescription::IllegalParameter,
    ),
    (
        "a KeyUpdate of two bytes",
        |s| s.record(HANDSHAKE, [24, 0, 0, 2, 0, 0]),
        AlertDescription::DecodeError,
    ),
    ("an empty KeyUpdate", |s| s.record(HANDSHAKE, [24, 0, 0, 0]), AlertDescription::DecodeError),
    (
        "a KeyUpdate and more behind it",
        |s| s.record(HANDSHAKE, [24, 0, 0, 1, 0, 24, 0, 0, 1, 0]),
        UNEXPECTED,
    ),
    (
        "a message in two parts with data between",
        |s| [s.record(HANDSHAKE, [24, 0]), s.record(DATA, frame())].concat(),
        UNEXPECTED,
    ),
    ("a handshake message of 16 MiB", |s| s.record(HANDSHAKE, [24, 0xff, 0xff, 0xff]), UNEXPECTED),
    ("an empty handshake record", |s| s.record(HANDSHAKE, b""), UNEXPECTED),
    ("an alert of one byte", |s| s.record(ALERT, [1]), AlertDescription::DecodeError),
    (
        "a thousand records without content",
        |s| (0..1_000).flat_map(|_| s.record(DATA, b"")).collect(),
        UNEXPECTED,
    ),
    ("a thousand KeyUpdates", |s| (0..1_000).flat_map(|_| s.key_update(0)).collect(), UNEXPECTED),
];

const BAD_MAC: AlertDescription = AlertDescription::BadRecordMac;
const OVERFLOW: AlertDescription = AlertDescription::RecordOverflow;
const UNEXPECTED: AlertDescription = AlertDescription::UnexpectedMessage;

fn flip(mut record: Vec<u8>, at: usize) -> Vec<u8> {
    record[at] ^= 1;
    record
}

/// A record of TLS 1.2 that nobody sealed.
fn clear(kind: u8) -> Vec<u8> {
    let mut bytes = record(kind, b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    bytes[2] = 3;
    bytes
}

/// A record that announces this much, and as many bytes.
fn announced(length: u16) -> Vec<u8> {
    let header = [&[DATA, 3, 3][..], &length.to_be_bytes()].concat();
    [header, vec![0x77; usize::from(length)]].concat()
}

fn client_of(site: &Site) -> TlsClient {
    TlsClient::only_suite(&site.authority, CipherSuite::TLS13_AES_128_GCM_SHA256)
}

#[test]
fn wrong_records_end_their_connection_with_an_alert() {
    let site = Site::new();
    let client = client_of(&site);
    for phase in PHASES {
        for (what, make, alert) in WRONG {
            let (mut wire, origin, sent) = match phase {
                Phase::Request => (site.edge.connect_tls(&client, "a.test"), None, 0),
                Phase::Tunnel => {
                    let Tunnel { client, origin } = site.tunnel_of(&client);
                    (client, Some(origin), 1)
                }
            };
            let mut sealer = Sealer::client(client.seen(), sent);
            let mut raw = wire.socket().try_clone().expect("a handle");
            // The edge may be gone before it has read all.
            let _ = std::io::Write::write_all(&mut raw, &make(&mut sealer));
            let (said, end) = wire.rest();
            assert!(said.is_empty(), "{phase:?} {what}: {}", said.escape_ascii());
            assert_eq!(end, End::Alert(*alert), "{phase:?} {what}");
            if let Some(mut origin) = origin {
                told(&mut origin, what);
            }
        }
    }
    // The peers hear of an end before the edge has accounted for it.
    let (labels, all) = ([("domain", "a.test"), ("cause", "tls_error")], WRONG.len() as f64);
    site.edge.await_metric("hawser_tunnels_closed_total", &labels, all);
    let line = site.edge.await_log("its cause", |line| line["cause"] == "tls_error");
    assert_eq!(line["side"], "client", "{line}");
    site.serves();
}

/// The other side is told that it is over, behind what was right before.
fn told(origin: &mut Wire, what: &str) {
    while let Ok(frame) = origin.try_frame() {
        if frame.op == Op::CLOSE {
            let code = frame.close_code().map(|(code, _)| code);
            assert!(matches!(code, Some(1001 | 1002 | 1006..=1015)), "{what}: {frame:?}");
            assert_ne!(code, Some(1006), "{what}");
            return;
        }
    }
}

/// Nothing behind a wrong record is believed, and what stood before it is delivered.
#[test]
fn what_came_before_a_wrong_record_is_delivered_and_nothing_behind_it() {
    let site = Site::new();
    let client = client_of(&site);
    let mut tunnel = site.tunnel_of(&client);
    let mut sealer = Sealer::client(client.seen(), 1);
    let good = Frame::text("before").masked();
    let records = [
        sealer.record(DATA, good.bytes()),
        flip(sealer.record(DATA, frame()), 9),
        sealer.record(DATA, Frame::text("behind").masked().bytes()),
    ];
    tunnel.client.send_raw(records.concat());
    assert_eq!(tunnel.origin.frame(), good);
    let next = tunnel.origin.try_frame();
    assert!(next.as_ref().map_or(true, |f| f.op == Op::CLOSE), "{next:?}");
    assert_eq!(tunnel.client.rest().1, End::Alert(BAD_MAC));
}

/// A fatal alert of the client is an end without an answer.
#[test]
fn fatal_alerts_of_the_client_end_the_tunnel() {
    let site = Site::new();
    let client = client_of(&site);
    for description in [20, 40, 80, 200] {
        let mut tunnel = site.tunnel_of(&client);
        let mut sealer = Sealer::client(client.seen(), 1);
        tunnel.client.send_raw(sealer.record(ALERT, [2, description]));
        let (said, end) = tunnel.client.rest();
        assert!(said.is_empty(), "{description}: {}", said.escape_ascii());
        assert!(matches!(end, End::Fin | End::Reset | End::Truncated), "{description}: {end:?}");
        told(&mut tunnel.origin, "a fatal alert");
    }
    site.edge.await_metric("hawser_tunnels_closed_total", &[("cause", "tls_error")], 4.0);
}

/// RFC 8446 6.1: without close_notify it is unknown whether there was more.
#[test]
fn a_fin_in_the_middle_of_a_record_is_no_orderly_end() {
    let site = Site::new();
    for cut in [0, 3, 5, 30] {
        let mut tunnel = site.tunnel();
        let record = tunnel.client.tls().sealed(&Frame::text("never whole").masked().bytes());
        tunnel.client.send_raw(&record[..cut]);
        tunnel.client.socket().shutdown(std::net::Shutdown::Write).expect("FIN");
        while tunnel.origin.try_frame().is_ok_and(|f| f.op == Op::CLOSE) {}
        tunnel.origin.finish();
        tunnel.client.rest();
        let line = site
            .edge
            .await_log("its end", |line| line["event"] == "close" || line.get("cause").is_some());
        assert_ne!(line["cause"], "peer_close", "{line}");
    }
    site.serves();
}

#[test]
fn wrong_records_cost_no_memory() {
    let site = Site::new();
    let client = client_of(&site);
    site.serves();
    for _ in 0..50 {
        flood(&site, &client);
    }
    let before = site.edge.resident();
    for _ in 0..300 {
        flood(&site, &client);
    }
    let after = site.edge.resident();
    assert!(after < before + 4096, "grew from {before} to {after} KiB");
}

fn flood(site: &Site, client: &TlsClient) {
    let tunnel = site.tunnel_of(client);
    let mut sealer = Sealer::client(client.seen(), 1);
    let mut bytes = sealer.record(HANDSHAKE, [24, 0]);
    bytes.extend(announced(16_000));
    let mut wire = tunnel.client;
    wire.try_send_raw(&bytes);
    wire.rest();
}

/// RFC 5246 7.2.2; the sequence number is part of what is authenticated (RFC 5288 3).
#[test]
fn wrong_records_of_tls_1_2_end_their_connection_with_an_alert() {
    let site = Site::new();
    type Twist = fn([Vec<u8>; 2]) -> Vec<u8>;
    let rows: &[(&str, Twist, AlertDescription)] = &[
        ("a flipped bit in the nonce", |[a, _]| flip(a, 6), BAD_MAC),
        ("a flipped bit in the body", |[a, _]| flip(a, 15), BAD_MAC),
        ("a record twice", |[a, _]| a.repeat(2), BAD_MAC),
        ("a record left out", |[_, b]| b, BAD_MAC),
        ("two records in the wrong order", |[a, b]| [b, a].concat(), BAD_MAC),
        ("a record of 2^14 + 257", |_| announced(16_641), OVERFLOW),
        ("too short for nonce and tag", |_| vec![DATA, 3, 3, 0, 5, 1, 2, 3, 4, 5], BAD_MAC),
        ("data in the clear", |_| clear(DATA), BAD_MAC),
        ("a type of 99", |_| clear(99), UNEXPECTED),
        ("another version", |_| record(DATA, &[9; 40]), AlertDescription::ProtocolVersion),
    ];
    let suite = CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256;
    let client = TlsClient::only_suite(&site.authority, suite);
    for (what, twist, alert) in rows {
        let Tunnel { client: mut wire, mut origin } = site.tunnel_of(&client);
        let records = [(); 2].map(|()| wire.tls().sealed(&frame()));
        wire.try_send_raw(twist(records));
        let (said, end) = wire.rest();
        assert!(said.is_empty(), "{what}: {}", said.escape_ascii());
        assert_eq!(end, End::Alert(*alert), "{what}");
        told(&mut origin, what);
    }
    site.serves();
}

// === The origin's side ===

#[test]
fn wrong_records_of_an_origin_end_the_tunnel_with_a_close_for_the_client() {
    let authority = Authority::new("root");
    let pair = authority.pair(&["a.test"]);
    let suite = CipherSuite::TLS13_AES_128_GCM_SHA256;
    let (config, seen) = crooked_server(&pair, suite);
    let origin = Origin::bind_tls(config);
    let domain = DomainFile::new("a.test").tls_origin(&origin, &authority);
    let edge = Edge::with(domain);
    for (what, make, alert) in WRONG {
        if *what == "a ticket from a client" {
            continue;
        }
        let mut tunnel = Tunnel::open(&edge, &origin, "a.test");
        // A ticket, and the 101.
        let mut sealer = Sealer::server(&seen, 2);
        tunnel.origin.try_send_raw(make(&mut sealer));
        assert_eq!(tunnel.origin.rest().1, End::Alert(*alert), "{what}");
        let close = tunnel.client.frame();
        assert_eq!(close.close_code().map(|(code, _)| code), Some(1011), "{what}: {close:?}");
    }
    let line = edge.await_log("its cause", |line| line["cause"] == "tls_error");
    assert_eq!(line["side"], "origin", "{line}");
}
