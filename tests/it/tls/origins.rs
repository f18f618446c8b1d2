//! Origins over TLS: which transport and port, what they are told, whom the edge believes, and what
//! clients hear when it does not.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use super::ask;
use crate::harness::{
    Authority, DomainFile, Edge, End, Frame, Origin, Pair, TlsClient, Tunnel, Wire, Wish,
    tls_server, tls_server_for,
};

/// A domain with an origin that listens twice, plain and TLS, and tells which one was used.
struct Two {
    authority: Authority,
    pairs: [Pair; 2],
    plain: Origin,
    tls: Origin,
}

fn two() -> Two {
    let authority = Authority::new("root");
    let pairs = [(); 2].map(|()| authority.pair(&["a.test"]));
    let plain = Origin::bind();
    let tls = Origin::bind_tls(tls_server(&pairs[1]));
    Two { authority, pairs, plain, tls }
}

impl Two {
    fn domain(&self, scheme: &str) -> DomainFile {
        let ports = format!("https_port = {}", self.tls.addr.port());
        DomainFile::new("a.test")
            .tls(&self.pairs[0])
            .websocket(&format!("origin_scheme = \"{scheme}\""))
            .set("origin_tls", &verify(&self.authority))
            .origin(self.plain.addr, &ports)
    }
}

fn verify(authority: &Authority) -> String {
    format!("verify = \"{}\"", authority.file().display())
}

#[test]
fn the_scheme_says_how_origins_are_reached() {
    let two = two();
    for (scheme, client_tls, origin_tls) in [
        ("http", false, false),
        ("http", true, false),
        ("https", false, true),
        ("https", true, true),
        ("follow", false, false),
        ("follow", true, true),
    ] {
        let edge = Edge::builder().tls().domain(two.domain(scheme)).start();
        let connect = || {
            if client_tls {
                edge.connect_tls(&TlsClient::trusting(&two.authority), "a.test")
            } else {
                edge.connect()
            }
        };
        let origin = if origin_tls { &two.tls } else { &two.plain };
        let mut tunnel = Tunnel::over(connect(), origin, "a.test", "", "");
        tunnel.check();
        // Plain requests go the same way.
        let mut client = connect();
        client.send("GET /plain HTTP/1.1\r\nHost: a.test\r\n\r\n");
        let mut at = origin.accept();
        assert_eq!(at.head().target(), "/plain", "{scheme} {client_tls}");
        at.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        assert_eq!(client.answer().1, b"ok");
    }
}

/// A connection to an origin is pooled with its transport: the next client's may be another.
#[test]
fn pooled_connections_are_not_mixed_up() {
    let two = two();
    let edge = Edge::builder().tls().domain(two.domain("follow")).start();
    let mut over_tls = edge.connect_tls(&TlsClient::trusting(&two.authority), "a.test");
    let mut plain = edge.connect();
    let mut ends: [Option<Wire>; 2] = [None, None];
    for i in 0..3 {
        for (client, origin, end) in [(&mut over_tls, &two.tls, 0), (&mut plain, &two.plain, 1)] {
            client.send(format!("GET /{i} HTTP/1.1\r\nHost: a.test\r\n\r\n"));
            let at = ends[end].get_or_insert_with(|| origin.accept());
            assert_eq!(at.head().target(), format!("/{i}"));
            at.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
            assert_eq!(client.answer().0.status(), 200);
        }
    }
    assert_eq!((two.tls.spoken(), two.plain.spoken()), (1, 1));
}

#[test]
fn sni_and_host_are_the_domains_own_or_as_set() {
    let authority = Authority::new("root");
    let pair = authority.pair(&["a.test", "inner.test", "host.test"]);
    let origin = Origin::bind_tls(tls_server(&pair));
    let base = || DomainFile::new("a.test").tls_origin(&origin, &authority);
    let rows = [
        (base(), "a.test", "a.test"),
        (base().set("origin_tls", "server_name = \"inner.test\""), "inner.test", "a.test"),
        (
            base()
                .set("origin_tls", "server_name = \"inner.test\"")
                .set("http", "host = \"host.test\""),
            "inner.test",
            "host.test",
        ),
    ];
    for (domain, sni, host) in rows {
        let edge = Edge::with(domain);
        let mut client = edge.connect();
        client.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
        let mut at = origin.accept();
        assert_eq!(at.agreed().server_name.as_deref(), Some(sni));
        assert_eq!(at.agreed().alpn.as_deref(), None, "the origin has none configured");
        assert_eq!(at.head().field("host"), Some(host));
    }
}

#[test]
fn a_wildcard_domain_asks_origins_for_the_host_of_the_request() {
    let authority = Authority::new("root");
    let pair = authority.pair(&["one.wild.test", "two.wild.test"]);
    let origin = Origin::bind_tls(tls_server(&pair));
    let edge = Edge::with(DomainFile::new("*.wild.test").tls_origin(&origin, &authority));
    for host in ["one.wild.test", "two.wild.test"] {
        let mut tunnel = Tunnel::open(&edge, &origin, host);
        assert_eq!(tunnel.origin.agreed().server_name.as_deref(), Some(host));
        tunnel.check();
    }
    let mut client = edge.connect();
    client.send("GET / HTTP/1.1\r\nHost: three.wild.test\r\n\r\n");
    assert_eq!(client.head().status(), 502, "the origin's certificate is not for that name");
}

#[test]
fn a_wildcard_domain_asks_origins_for_a_fixed_name() {
    let authority = Authority::new("root");
    let pair = authority.pair(&["inner.test"]);
    let origin = Origin::bind_tls(tls_server(&pair));
    let domain = DomainFile::new("*.wild.test")
        .tls_origin(&origin, &authority)
        .set("origin_tls", "server_name = \"inner.test\"");
    let edge = Edge::with(domain);
    for host in ["one.wild.test", "two.wild.test"] {
        let mut tunnel = Tunnel::open(&edge, &origin, host);
        assert_eq!(tunnel.origin.agreed().server_name.as_deref(), Some("inner.test"));
        tunnel.check();
    }
}

fn refused(edge: &Edge) -> String {
    let mut client = edge.connect();
    let (status, text) = ask(&mut client, "a.test");
    assert_eq!(status, 502, "{text}");
    text
}

#[test]
fn certificates_of_origins_are_verified() {
    let (authority, other) = (Authority::new("root"), Authority::new("other"));
    let rows = [
        ("another authority", other.pair(&["a.test"])),
        ("another name", authority.pair(&["b.test"])),
        ("expired", authority.issue(Wish::server(&["a.test"]).days_left(-1))),
        ("for clients", authority.issue(Wish::client("a.test"))),
    ];
    for (what, pair) in rows {
        let origin = Origin::bind_tls(tls_server(&pair));
        let edge = Edge::with(DomainFile::new("a.test").tls_origin(&origin, &authority));
        refused(&edge);
        edge.await_log(what, |line| line.to_string().contains("origin_tls"));
        let count =
            edge.metrics().sum("hawser_origin_tls_handshakes_total", &[("result", "failed")]);
        assert!(count >= 1.0, "{what}");
        crate::harness::eventually("the origin hears of it", || origin.failures().pop());
    }
    // The roots of the web do not know this one.
    let good = authority.pair(&["a.test"]);
    let origin = Origin::bind_tls(tls_server(&good));
    let https = format!("https_port = {}", origin.addr.port());
    let domain = || {
        DomainFile::new("a.test").websocket("origin_scheme = \"https\"").origin(origin.addr, &https)
    };
    refused(&Edge::with(domain()));
    refused(&Edge::with(domain().set("origin_tls", "verify = \"webpki\"")));
    // Off is off, and said loudly.
    let edge = Edge::with(domain().set("origin_tls", "verify = \"off\""));
    let mut tunnel = Tunnel::open(&edge, &origin, "a.test");
    tunnel.check();
    let said = edge.stderr();
    assert!(
        said.lines().any(|l| l.contains("WARN") && l.contains("a.test") && l.contains("verif")),
        "{said}"
    );
    // A chain with intermediates is followed to its root.
    let deep = authority.intermediate("one").intermediate("two").pair(&["a.test"]);
    let origin = Origin::bind_tls(tls_server(&deep));
    let edge = Edge::with(DomainFile::new("a.test").tls_origin(&origin, &authority));
    Tunnel::open(&edge, &origin, "a.test").check();
}

#[test]
fn origins_may_ask_for_a_certificate() {
    let (authority, clients) = (Authority::new("root"), Authority::new("clients"));
    let pair = authority.pair(&["a.test"]);
    let own = clients.issue(Wish::client("the edge"));
    let origin = Origin::bind_tls(tls_server_for(&pair, &clients));
    let domain = DomainFile::new("a.test").tls_origin(&origin, &authority);
    refused(&Edge::with(domain.clone()));
    let domain = domain
        .set("origin_tls", &format!("certificate = \"{}\"", own.certificate().display()))
        .set("origin_tls", &format!("key = \"{}\"", own.key().display()));
    let edge = Edge::with(domain);
    let mut tunnel = Tunnel::open(&edge, &origin, "a.test");
    assert_eq!(tunnel.origin.agreed().certificate, Some(own.chain[0].to_vec()));
    tunnel.check();
}

#[test]
fn connections_to_origins_resume() {
    let authority = Authority::new("root");
    let pair = authority.pair(&["a.test"]);
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        let origin = Origin::bind_tls(crate::harness::tls_peer::tls_server_only(&pair, version));
        let domain = DomainFile::new("a.test").tls_origin(&origin, &authority);
        let edge = Edge::with(domain.clone());
        let mut first = Tunnel::open(&edge, &origin, "a.test");
        assert!(!first.origin.agreed().resumed);
        first.check();
        for i in 0..5 {
            if i == 3 {
                edge.reload_with(&domain.clone().websocket("heartbeat = 33"));
            }
            let mut tunnel = Tunnel::open(&edge, &origin, "a.test");
            assert!(tunnel.origin.agreed().resumed, "{version:?}: {i}");
            tunnel.check();
        }
        edge.await_metric("hawser_origin_tls_handshakes_total", &[("result", "full")], 1.0);
        edge.await_metric("hawser_origin_tls_handshakes_total", &[("result", "resumed")], 5.0);
    }
}

/// An origin that is no TLS server, in a way of its own.
fn odd(serve: impl Fn(std::net::TcpStream) + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let addr = listener.local_addr().expect("bound");
    std::thread::spawn(move || listener.incoming().map_while(Result::ok).for_each(serve));
    addr
}

fn edge_to(addr: SocketAddr, authority: &Authority) -> Edge {
    let domain = DomainFile::new("a.test")
        .websocket("origin_scheme = \"https\"")
        .set("origin_tls", &verify(authority))
        .set("http", "connect_timeout = \"2s\"")
        .set("http", "response_timeout = \"2s\"")
        .origin(addr, &format!("https_port = {}", addr.port()));
    Edge::with(domain)
}

/// nginx CVE-2026-1642: bytes from before the handshake must never be taken for an answer.
#[test]
fn what_an_origin_says_in_the_clear_is_never_an_answer() {
    let authority = Authority::new("root");
    const FORGED: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged";
    let at_once = odd(|mut tcp| {
        let _ = tcp.write_all(FORGED);
        let _ = tcp.read_to_end(&mut Vec::new());
    });
    let after_the_hello = odd(|mut tcp| {
        let _ = tcp.read(&mut [0; 4096]);
        let _ = tcp.write_all(FORGED);
        let _ = tcp.read_to_end(&mut Vec::new());
    });
    for addr in [at_once, after_the_hello] {
        let edge = edge_to(addr, &authority);
        for _ in 0..10 {
            let said = refused(&edge);
            assert!(!said.contains("forged"), "{said}");
        }
        let mut client = edge.connect();
        client.send(crate::harness::upgrade_request("a.test", ""));
        assert_eq!(client.answer().0.status(), 502);
    }
    // Before a real handshake.
    let pair = authority.pair(&["a.test"]);
    let config = std::sync::Arc::new(tls_server(&pair));
    let injected = odd(move |mut tcp| {
        let _ = tcp.write_all(FORGED);
        if let Ok(mut wire) = crate::harness::tls_peer::accept_tls(tcp, &config) {
            let _ = wire.try_head();
            wire.try_send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nreal");
        }
    });
    let said = refused(&edge_to(injected, &authority));
    assert!(!said.contains("forged"), "{said}");
}

#[test]
fn origins_that_do_not_finish_a_handshake_are_an_answer_in_time() {
    let authority = Authority::new("root");
    let silent = odd(|tcp| {
        std::thread::spawn(move || {
            std::thread::sleep(Duration::from_secs(20));
            drop(tcp);
        });
    });
    let edge = edge_to(silent, &authority);
    let (status, text) = ask(&mut edge.connect(), "a.test");
    assert!(matches!(status, 502 | 504), "{status} {text}");
    let gone = odd(|mut tcp| {
        let _ = tcp.read(&mut [0; 4096]);
    });
    refused(&edge_to(gone, &authority));
    let noise = odd(|mut tcp| {
        let _ = tcp.write_all(&[0x16, 3, 3, 0xff, 0xff]);
        let _ = tcp.write_all(&[0x55; 70_000]);
        let _ = tcp.read_to_end(&mut Vec::new());
    });
    refused(&edge_to(noise, &authority));
}

#[test]
fn the_next_address_is_tried_when_a_handshake_fails() {
    let authority = Authority::new("root");
    let good = Origin::bind_tls(tls_server(&authority.pair(&["a.test"])));
    let bad = Origin::bind_tls(tls_server(&Authority::new("other").pair(&["a.test"])));
    let https = |o: &Origin| format!("https_port = {}\n", o.addr.port());
    let domain = DomainFile::new("a.test")
        .websocket("origin_scheme = \"https\"")
        .set("origin_tls", &verify(&authority))
        .origin(bad.addr, &(https(&bad) + "priority = 20"))
        .origin(good.addr, &(https(&good) + "priority = 30"));
    let edge = Edge::with(domain);
    Tunnel::open(&edge, &good, "a.test").check();
}

/// RFC 8446 4.4.2 sets no bound to a chain; the edge does.
#[test]
fn a_huge_chain_is_refused_and_costs_no_memory() {
    let authority = Authority::new("root");
    let fat = |bytes| authority.issue(Wish::server(&["a.test"]).ballast(bytes));
    let large = Origin::bind_tls(tls_server(&fat(20_000)));
    let domain = DomainFile::new("a.test").tls_origin(&large, &authority);
    Tunnel::open(&Edge::with(domain), &large, "a.test").check();
    let mut pair = fat(60_000);
    let more = pair.chain[0].clone();
    pair.chain.extend((0..20).map(|_| more.clone()));
    let huge = Origin::bind_tls(tls_server(&pair));
    let edge = Edge::with(DomainFile::new("a.test").tls_origin(&huge, &authority));
    refused(&edge);
    let before = edge.resident();
    for _ in 0..50 {
        refused(&edge);
    }
    let after = edge.resident();
    assert!(after < before + (8 << 10), "grew from {before} to {after} KiB");
}

#[test]
fn an_answer_cut_short_by_a_bare_fin_is_not_passed_on_as_whole() {
    let authority = Authority::new("root");
    let origin = Origin::bind_tls(tls_server(&authority.pair(&["a.test"])));
    let edge = Edge::with(DomainFile::new("a.test").tls_origin(&origin, &authority));
    let mut client = edge.connect();
    client.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    let mut at = origin.accept();
    at.head();
    // Framed by its end (RFC 9112 6.3 rule 8), which is no end without close_notify.
    at.send("HTTP/1.1 200 OK\r\n\r\nhalf of it");
    at.socket().shutdown(std::net::Shutdown::Write).expect("FIN");
    client.head();
    let (body, end) = client.rest();
    let whole =
        end == End::Fin && !body.windows(4).any(|w| w == b"half") || body.ends_with(b"0\r\n\r\n");
    assert!(!whole || end == End::Reset, "{end:?} {}", body.escape_ascii());
}

#[test]
fn an_origin_over_tls_echoes_through_a_plain_client() {
    let authority = Authority::new("root");
    let config = tls_server(&authority.pair(&["a.test"]));
    let origin = Origin::serving_tls(config, crate::harness::origin::echo);
    let edge = Edge::with(DomainFile::new("a.test").tls_origin(&origin, &authority));
    let mut client = edge.connect();
    client.send(crate::harness::upgrade_request("a.test", ""));
    assert_eq!(client.head().status(), 101);
    for size in [0, 1, 1_000, 100_000] {
        client.send_frame(&Frame::binary(vec![1; size]).masked());
        assert_eq!(client.frame(), Frame::binary(vec![1; size]));
    }
}
