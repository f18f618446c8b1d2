//! Which pair answers, with which version and protocol, and what the request behind it may name.

use rustls::{AlertDescription, CipherSuite, ProtocolVersion, SignatureScheme, version};

use super::{Site, ask, await_failures};
use crate::harness::{
    Authority, DomainFile, Edge, End, Frame, Origin, Pair, Pieces, TlsClient, Tunnel, Wish,
    switching, upgrade_request,
};

fn presented(edge: &Edge, client: &TlsClient, name: &str) -> Vec<u8> {
    edge.connect_tls(client, name).agreed().certificate.expect("a server has a certificate")
}

fn leaf(pair: &Pair) -> Vec<u8> {
    pair.chain[0].to_vec()
}

#[test]
fn the_pair_follows_the_name_exact_then_wildcard_then_default() {
    let authority = Authority::new("root");
    // Every pair is good for every name, so that what is presented is the edge's choice alone.
    let all = ["a.test", "b.test", "*.wild.test", "wild.test", "*.deep.wild.test", "unknown.test"];
    let [a, b, wild, exact, default] = [(); 5].map(|()| authority.pair(&all));
    let origin = Origin::bind();
    let domain = |name, pair| DomainFile::to(name, &origin).tls(pair);
    let edge = Edge::builder()
        .tls()
        .default_pair(&default)
        .domain(domain("a.test", &a))
        .domain(domain("b.test", &b))
        .domain(domain("*.wild.test", &wild))
        .domain(domain("exact.wild.test", &exact))
        .start();
    let client = TlsClient::trusting(&authority);
    let rows = [
        ("a.test", &a),
        ("A.TEST", &a),
        ("b.test", &b),
        ("one.wild.test", &wild),
        ("two.wild.test", &wild),
        ("exact.wild.test", &exact),
        // RFC 6125 6.4.3: a wildcard stands for one label.
        ("one.deep.wild.test", &default),
        ("wild.test", &default),
        ("unknown.test", &default),
    ];
    for (name, pair) in rows {
        assert!(presented(&edge, &client, name) == leaf(pair), "not the right pair for {name}");
    }
    let nameless = client.without_sni();
    assert!(presented(&edge, &nameless, "a.test") == leaf(&default), "not the default pair");
}

/// RFC 6066 3; RFC 8446 9.2.
#[test]
fn without_a_default_pair_unknown_names_and_none_are_refused() {
    let site = Site::new();
    let addr = site.edge.tls_addr();
    let refused = |client: TlsClient, name| client.refused(addr, name);
    assert_eq!(refused(site.client(), "b.test"), AlertDescription::UnrecognisedName);
    assert_eq!(refused(site.client(), "x.a.test"), AlertDescription::UnrecognisedName);
    await_failures(&site.edge, "unknown_name", 2);
    assert_eq!(refused(site.client().without_sni(), "a.test"), AlertDescription::MissingExtension);
    await_failures(&site.edge, "no_name", 1);
    let line = site.edge.await_log("the handshake", |line| line["failure"] == "unknown_name");
    assert_eq!(line["event"], "handshake", "{line}");
    assert_eq!(line["client"], "127.0.0.1", "{line}");
    site.serves();
}

#[test]
fn tls_1_3_and_1_2_carry_tunnels_with_every_cipher_suite() {
    use CipherSuite::*;
    let authority = Authority::new("root");
    let ecdsa = authority.pair(&["ecdsa.test"]);
    let rsa = authority.issue(Wish::server(&["rsa.test"]).rsa());
    let origin = Origin::bind();
    let edge = Edge::builder()
        .tls()
        .domain(DomainFile::to("ecdsa.test", &origin).tls(&ecdsa))
        .domain(DomainFile::to("rsa.test", &origin).tls(&rsa))
        .start();
    let rows = [
        ("ecdsa.test", TLS13_AES_128_GCM_SHA256, ProtocolVersion::TLSv1_3),
        ("ecdsa.test", TLS13_AES_256_GCM_SHA384, ProtocolVersion::TLSv1_3),
        ("ecdsa.test", TLS13_CHACHA20_POLY1305_SHA256, ProtocolVersion::TLSv1_3),
        ("ecdsa.test", TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, ProtocolVersion::TLSv1_2),
        ("ecdsa.test", TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, ProtocolVersion::TLSv1_2),
        ("ecdsa.test", TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, ProtocolVersion::TLSv1_2),
        ("rsa.test", TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, ProtocolVersion::TLSv1_2),
        ("rsa.test", TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, ProtocolVersion::TLSv1_2),
        ("rsa.test", TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256, ProtocolVersion::TLSv1_2),
    ];
    for (name, suite, version) in rows {
        let client = TlsClient::only_suite(&authority, suite);
        let client = edge.connect_tls(&client, name);
        assert_eq!(client.agreed().version, version, "{suite:?}");
        let mut tunnel = Tunnel::over(client, &origin, name, "", "");
        for size in [0, 1, 125, 16_000, 16_384, 70_000] {
            let up = Frame::binary(vec![1; size]).masked();
            tunnel.client.send_frame(&up);
            assert_eq!(tunnel.origin.frame(), up, "{suite:?} {size}");
            let down = Frame::binary(vec![2; size]);
            tunnel.origin.send_frame(&down);
            assert_eq!(tunnel.client.frame(), down, "{suite:?} {size}");
        }
    }
}

#[test]
fn min_version_1_3_refuses_1_2() {
    let authority = Authority::new("root");
    let pair = authority.pair(&["a.test"]);
    let origin = Origin::answering("fine");
    let edge = Edge::builder()
        .tls()
        .tls_table("min_version = \"1.3\"")
        .domain(DomainFile::to("a.test", &origin).tls(&pair))
        .start();
    let old = TlsClient::only(&authority, &version::TLS12);
    assert_eq!(old.refused(edge.tls_addr(), "a.test"), AlertDescription::ProtocolVersion);
    await_failures(&edge, "nothing_in_common", 1);
    let new = TlsClient::trusting(&authority);
    assert_eq!(ask(&mut edge.connect_tls(&new, "a.test"), "a.test"), (200, "fine".into()));
}

/// RFC 7301 3.2.
#[test]
fn alpn_is_http_1_1_or_nothing() {
    let site = Site::new();
    let agreed = |names: &[&str]| {
        let client = site.client().alpn(names);
        site.edge.connect_tls(&client, "a.test").agreed().alpn
    };
    assert_eq!(agreed(&["http/1.1"]).as_deref(), Some("http/1.1"));
    assert_eq!(agreed(&["h2", "http/1.1"]).as_deref(), Some("http/1.1"));
    assert_eq!(agreed(&[]), None);
    let h2 = site.client().alpn(&["h2"]);
    assert_eq!(h2.refused(site.edge.tls_addr(), "a.test"), AlertDescription::NoApplicationProtocol);
    await_failures(&site.edge, "nothing_in_common", 1);
}

#[test]
fn rsa_and_ecdsa_pairs_side_by_side_are_chosen_by_the_client() {
    let authority = Authority::new("root");
    let ecdsa = authority.pair(&["a.test"]);
    let rsa = authority.issue(Wish::server(&["a.test"]).rsa());
    let origin = Origin::answering("fine");
    let path = |p: std::path::PathBuf| p.display().to_string();
    let domain = DomainFile::to("a.test", &origin)
        .set("tls", &format!("certificate = {:?}", [&rsa, &ecdsa].map(|p| path(p.certificate()))))
        .set("tls", &format!("key = {:?}", [&rsa, &ecdsa].map(|p| path(p.key()))));
    let edge = Edge::builder().tls().domain(domain).start();
    let all = TlsClient::trusting(&authority);
    assert!(presented(&edge, &all, "a.test") == leaf(&ecdsa), "ECDSA costs the core less");
    // What signed the certificates is ECDSA either way.
    let chain = SignatureScheme::ECDSA_NISTP384_SHA384;
    let only_rsa = TlsClient::schemes(&authority, &[SignatureScheme::RSA_PSS_SHA256, chain]);
    assert!(presented(&edge, &only_rsa, "a.test") == leaf(&rsa), "it understands RSA only");
    let only_ecdsa = TlsClient::schemes(&authority, &[SignatureScheme::ECDSA_NISTP256_SHA256]);
    assert!(presented(&edge, &only_ecdsa, "a.test") == leaf(&ecdsa), "and ECDSA only");
    let suite = CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256;
    let old = TlsClient::only_suite(&authority, suite);
    assert!(presented(&edge, &old, "a.test") == leaf(&rsa), "TLS 1.2 says it by its suite");
}

#[test]
fn a_chain_is_sent_whole() {
    let root = Authority::rsa("root");
    let issuing = root.intermediate("one").intermediate("two");
    let pair = issuing.pair(&["a.test"]);
    assert_eq!(pair.chain.len(), 3);
    let origin = Origin::answering("fine");
    let edge = Edge::builder().tls().domain(DomainFile::to("a.test", &origin).tls(&pair)).start();
    let client = TlsClient::trusting(&root);
    assert_eq!(ask(&mut edge.connect_tls(&client, "a.test"), "a.test").0, 200);
}

/// RFC 6066 8: what the file holds is passed on as it is.
#[test]
fn an_ocsp_staple_is_delivered() {
    let authority = Authority::new("root");
    let pair = authority.pair(&["a.test"]);
    let staple = pair.dir().join("staple.der");
    let bytes = authority.ocsp_response(&pair);
    std::fs::write(&staple, &bytes).expect("staple.der");
    let origin = Origin::answering("fine");
    let domain = DomainFile::to("a.test", &origin)
        .tls(&pair)
        .set("tls", &format!("ocsp = \"{}\"", staple.display()));
    let edge = Edge::builder().tls().domain(domain).start();
    for version in [&version::TLS13, &version::TLS12] {
        let client = TlsClient::only(&authority, version);
        edge.connect_tls(&client, "a.test");
        assert_eq!(*client.seen().staple.lock().expect("unpoisoned"), bytes, "{version:?}");
    }
}

/// RFC 9110 7.4; nginx CVE-2025-23419, Traefik CVE-2022-23632, Caddy CVE-2026-27588.
#[test]
fn a_host_of_another_domain_than_the_handshake_is_misdirected() {
    let authority = Authority::new("root");
    let pair = |name| authority.pair(&[name, "a.test", "b.test", "x.wild.test"]);
    let (a, b, wild, default) = (pair("a.test"), pair("b.test"), pair("*.wild.test"), pair("d"));
    let origin = Origin::answering("fine");
    let edge = Edge::builder()
        .tls()
        .default_pair(&default)
        .domain(DomainFile::to("a.test", &origin).tls(&a))
        .domain(DomainFile::to("b.test", &origin).tls(&b))
        .domain(DomainFile::to("*.wild.test", &origin).tls(&wild))
        .start();
    let client = TlsClient::trusting(&authority);
    let rows = [
        ("a.test", "a.test", 200),
        ("a.test", "A.Test", 200),
        ("a.test", "a.test:443", 200),
        ("a.test", "a.test.", 200),
        ("a.test", "b.test", 421),
        ("a.test", "B.TEST", 421),
        ("b.test", "a.test", 421),
        ("x.wild.test", "y.wild.test", 200),
        ("x.wild.test", "a.test", 421),
        ("a.test", "x.wild.test", 421),
        ("a.test", "nobody.test", 421),
    ];
    for (name, host, status) in rows {
        let mut wire = edge.connect_tls(&client, name);
        assert_eq!(ask(&mut wire, host).0, status, "SNI {name} Host {host}");
    }
    // No name at all, and the default pair: Host alone says what is wanted.
    let mut nameless = edge.connect_tls(&client.clone().without_sni(), "a.test");
    assert_eq!(ask(&mut nameless, "b.test").0, 200);
    // An upgrade is judged as any request.
    let mut wire = edge.connect_tls(&client, "a.test");
    wire.send(upgrade_request("b.test", ""));
    assert_eq!(wire.answer().0.status(), 421);
}

#[test]
fn requests_keep_their_connection_and_origins_learn_that_it_was_tls() {
    let site = Site::new();
    let mut client = site.connect();
    let mut pooled = None;
    for i in 0..3 {
        client
            .send(format!("POST /{i} HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\n\r\nhello"));
        let origin = pooled.get_or_insert_with(|| site.origin.accept());
        let head = origin.head();
        assert_eq!(head.target(), format!("/{i}"));
        assert_eq!(head.field("x-forwarded-proto"), Some("https"));
        origin.expect("hello");
        origin.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nyes\r\n0\r\n\r\n");
        assert_eq!(client.answer().1, b"yes");
    }
    client.finish();
    assert_eq!(client.ends(), End::Fin, "close_notify answers close_notify");
}

/// An answer that ends with its connection is whole only behind a close_notify (RFC 8446 6.1).
#[test]
fn an_answer_without_length_ends_with_close_notify() {
    let site = Site::new();
    let mut client = site.connect();
    client.send("GET / HTTP/1.0\r\nHost: a.test\r\n\r\n");
    let mut origin = site.origin.accept();
    origin.head();
    origin.send("HTTP/1.1 200 OK\r\n\r\nuntil the end");
    origin.finish();
    client.head();
    assert_eq!(client.rest(), (b"until the end".to_vec(), End::Fin));
}

#[test]
fn a_proxy_header_comes_before_tls() {
    let authority = Authority::new("root");
    let pair = authority.pair(&["a.test"]);
    let origin = Origin::bind();
    let edge = Edge::builder()
        .tls()
        .server("proxy_protocol = \"v1\"\ntrusted_proxies = [\"127.0.0.1/32\"]")
        .domain(DomainFile::to("a.test", &origin).tls(&pair))
        .start();
    let client = TlsClient::trusting(&authority);
    let mut wire = crate::harness::Wire::connect(edge.tls_addr());
    wire.send("PROXY TCP4 203.0.113.9 203.0.113.1 4711 443\r\n");
    let wire = client.over(wire, "a.test").expect("a handshake behind the header");
    let mut tunnel = Tunnel::over(wire, &origin, "a.test", "", "");
    tunnel.check();
    let row = edge.conns().remove(0);
    assert!(row.to_string().contains("203.0.113.9"), "{row}");
}

/// A client may say the first things right behind its Finished, in the same segment.
#[test]
fn data_in_one_segment_with_the_end_of_the_handshake_arrives() {
    let site = Site::new();
    for version in [&version::TLS13, &version::TLS12] {
        let client = TlsClient::only(&site.authority, version).in_pieces(Pieces::WithData);
        let mut client = match version.version {
            // Here the server has the last word, and the client waits for it.
            ProtocolVersion::TLSv1_2 => {
                site.edge.connect_tls(&client.in_pieces(Pieces::Whole), "a.test")
            }
            _ => site.edge.connect_tls(&client, "a.test"),
        };
        let early = Frame::text("early").masked();
        let request = upgrade_request("a.test", "");
        client.send([request.as_bytes(), &early.bytes()].concat());
        let mut origin = site.origin.accept();
        let head = origin.head();
        origin.send(switching(&head));
        assert_eq!(client.head().status(), 101);
        assert_eq!(origin.frame(), early);
        Tunnel { client, origin }.check();
    }
}
