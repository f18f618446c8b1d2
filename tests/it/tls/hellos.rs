//! What is said first on a TLS port, rightly in odd pieces, or wrongly.

use super::{Site, ask, await_failures};
use crate::harness::crooked::{
    ALERT, CHANGE_CIPHER_SPEC, DATA, HANDSHAKE, Hello, alert_in_the_clear, record, server_name,
};
use crate::harness::{End, Pieces, Wire};

const HANDSHAKE_FAILURE: u8 = 40;
const PROTOCOL_VERSION: u8 = 70;

/// What the edge says to these first bytes, up to its end.
fn said_to(site: &Site, bytes: &[u8]) -> (Vec<u8>, End) {
    let mut wire = Wire::connect(site.edge.tls_addr());
    wire.try_send(bytes);
    wire.rest()
}

fn alert_to(site: &Site, bytes: &[u8]) -> u8 {
    let (said, _) = said_to(site, bytes);
    let (level, description) =
        alert_in_the_clear(&said).unwrap_or_else(|| panic!("no alert: {}", said.escape_ascii()));
    assert_eq!(level, 2, "fatal");
    description
}

fn failures(site: &Site) -> f64 {
    site.edge.metrics().sum("hawser_tls_handshake_failures_total", &[])
}

#[test]
fn a_hello_may_be_cut_at_every_byte() {
    let site = Site::new();
    let length = site.client().hello("a.test").len();
    for at in 1..length {
        let client = site.client().in_pieces(Pieces::CutAt(at));
        site.edge.connect_tls(&client, "a.test");
    }
    let bytes = site.client().in_pieces(Pieces::Bytes);
    let mut wire = site.edge.connect_tls(&bytes, "a.test");
    assert_eq!(ask(&mut wire, "nobody.test").0, 421);
    assert_eq!(failures(&site), 0.0);
}

/// RFC 8446 5.1: a message may be spread over records of any size.
#[test]
fn a_hello_may_be_spread_over_small_records() {
    let site = Site::new();
    for size in [1, 2, 3, 5, 7, 40, 100] {
        let mut wire = Wire::connect(site.edge.tls_addr());
        wire.send(Hello::tls12("a.test").records(size));
        assert_eq!(wire.exactly(6)[..2], [HANDSHAKE, 3], "{size}");
        assert_eq!(wire.exactly(1).len(), 1);
    }
}

#[test]
fn old_versions_are_refused() {
    let site = Site::new();
    for version in [0x0300, 0x0301, 0x0302] {
        let hello = Hello::tls12("a.test").version(version).record();
        assert_eq!(alert_to(&site, &hello), PROTOCOL_VERSION, "{version:#06x}");
        // The same, said the way of TLS 1.3.
        let [high, low] = version.to_be_bytes();
        let hello = Hello::tls12("a.test").extension(43, &[2, high, low]).record();
        assert_eq!(alert_to(&site, &hello), PROTOCOL_VERSION, "{version:#06x}");
    }
    await_failures(&site.edge, "nothing_in_common", 6);
}

#[test]
fn nothing_in_common_is_said_and_counted() {
    let site = Site::new();
    let sound = Hello::tls12("a.test");
    let rows = [
        // RSA key exchange, CBC, and a number that nobody has.
        Hello { suites: vec![0x002f, 0x003c, 0x009c], ..sound.clone() },
        Hello { suites: vec![0xc013, 0xc014], ..sound.clone() },
        Hello { suites: vec![0x5678], ..sound },
    ];
    for (i, hello) in rows.iter().enumerate() {
        assert_eq!(alert_to(&site, &hello.record()), HANDSHAKE_FAILURE, "{i}");
        await_failures(&site.edge, "nothing_in_common", i + 1);
    }
    site.serves();
}

#[test]
fn plain_http_is_answered_in_the_clear() {
    let site = Site::new();
    let requests = [
        "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n",
        "POST /x HTTP/1.1\r\nHost: a.test\r\nContent-Length: 3\r\n\r\nabc",
        "OPTIONS * HTTP/1.1\r\nHost: a.test\r\n\r\n",
        "PUT /x HTTP/1.0\r\n\r\n",
    ];
    for (i, request) in requests.iter().enumerate() {
        let mut wire = Wire::connect(site.edge.tls_addr());
        wire.send(request);
        let (head, body) = wire.answer();
        assert_eq!(head.status(), 400, "{request:?}");
        assert_eq!(head.field("connection"), Some("close"));
        let body = String::from_utf8_lossy(&body).into_owned();
        assert!(body.to_lowercase().contains("tls") || body.contains("https"), "{body}");
        assert_eq!(wire.ends(), End::Fin);
        await_failures(&site.edge, "plain_http", i + 1);
    }
    site.serves();
}

/// A TLS hello on the plain port is no HTTP.
#[test]
fn tls_on_the_plain_port_is_answered_in_the_clear() {
    let site = Site::new();
    let mut wire = site.edge.connect();
    wire.send(site.client().hello("a.test"));
    let (said, _) = wire.rest();
    assert!(said.is_empty() || said.starts_with(b"HTTP/1.1 400"), "{}", said.escape_ascii());
    site.serves();
}

#[test]
fn an_sslv2_hello_is_not_tls() {
    let site = Site::new();
    // Version 3.1 in the clothes of SSL 2: two suites, no session, a challenge of 16 bytes.
    let body = [&[1, 3, 1, 0, 6, 0, 0, 0, 16, 0, 0, 0x2f, 0, 0, 0x35][..], &[9; 16]].concat();
    let hello = [&[0x80, u8::try_from(body.len()).expect("short")][..], &body].concat();
    let (_, end) = said_to(&site, &hello);
    assert!(matches!(end, End::Fin | End::Reset), "{end:?}");
    await_failures(&site.edge, "not_tls", 1);
    site.serves();
}

/// Neither crash nor hang nor a word too much; each is counted once, under some reason.
#[test]
fn first_bytes_that_are_nothing_are_ended_and_counted() {
    let site = Site::new();
    let hello = Hello::tls12("a.test");
    let sound = hello.record();
    let mut cut_short = sound.clone();
    cut_short[8] = 0xff;
    let twice = hello.clone().extension(0, &server_name("a.test"));
    let rows: &[(&str, Vec<u8>)] = &[
        ("an alert", record(ALERT, &[1, 0])),
        ("change_cipher_spec", record(CHANGE_CIPHER_SPEC, &[1])),
        ("application data", record(DATA, b"hello")),
        ("a content type of 99", record(99, b"hello")),
        ("heartbeat", record(24, &[1, 0x40, 0])),
        ("a record of 2^14 + 1", [&[HANDSHAKE, 3, 1, 0x40, 1][..], &[1; 20_000]].concat()),
        ("a record of 2^16 - 1", [&[HANDSHAKE, 3, 1, 0xff, 0xff][..], &[1; 66_000]].concat()),
        ("an empty handshake record", record(HANDSHAKE, &[])),
        ("a ServerHello", record(HANDSHAKE, &[&[2][..], &hello.message()[1..]].concat())),
        ("Finished", record(HANDSHAKE, &[20, 0, 0, 12, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12])),
        ("a KeyUpdate", record(HANDSHAKE, &[24, 0, 0, 1, 0])),
        ("a hello of 16 MiB", record(HANDSHAKE, &[&[1, 0xff, 0xff, 0xff][..], &[1; 100]].concat())),
        ("a hello whose lengths disagree", record(HANDSHAKE, &[1, 0, 0, 3, 3, 3, 0])),
        ("a name twice", twice.record()),
        ("compression only", Hello { compression: vec![1], ..hello.clone() }.record()),
        ("no compression at all", Hello { compression: vec![], ..hello }.record()),
        ("a version of 9.9", [&[HANDSHAKE, 9, 9][..], &sound[3..]].concat()),
        ("a name that is an address", Hello::tls12("127.0.0.1").record()),
        ("a name with NUL", Hello::tls12("a\0.test").record()),
        ("an empty name", Hello::tls12("").extension(0, &server_name("")).record()),
        ("zeros", vec![0; 64]),
        ("SSH", b"SSH-2.0-OpenSSH_9.2\r\n".to_vec()),
        ("noise", (0..200u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect()),
        ("the PRI of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec()),
    ];
    let mut counted = 0.0;
    for (what, bytes) in rows {
        let mut wire = Wire::connect(site.edge.tls_addr());
        wire.try_send(bytes);
        wire.finish();
        let (said, _) = wire.rest();
        let alert = alert_in_the_clear(&said).is_some();
        let plain = said.starts_with(b"HTTP/1.1 400");
        assert!(alert || plain || said.is_empty(), "{what}: {}", said.escape_ascii());
        counted += 1.0;
        crate::harness::eventually(&format!("{what} is counted"), || {
            (failures(&site) == counted).then_some(())
        });
    }
    site.serves();
}

/// What a client sends before it is known must not be kept beyond its bound, nor after its end.
#[test]
fn endless_hellos_cost_no_memory() {
    let site = Site::new();
    site.serves();
    let before = site.edge.resident();
    // A hello that announces 16 MiB, in whole records.
    let mut flood = record(HANDSHAKE, &[&[1, 0xff, 0xff, 0xff][..], &[1; 16_000]].concat());
    for _ in 0..20 {
        flood.extend(record(HANDSHAKE, &[1; 16_000]));
    }
    for _ in 0..200 {
        let mut wire = Wire::connect(site.edge.tls_addr());
        wire.try_send(&flood);
        wire.rest();
    }
    let after = site.edge.peak_resident();
    assert!(after < before + (16 << 10), "grew from {before} to {after} KiB");
    site.serves();
}
