//! One test per class of attack that concerns plain HTTP and ws, named after it: the attack as it
//! was published, and what a correct edge does about it. The tables of every spelling are in
//! `smuggling` and `upgrade`.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use crate::harness::frame::Length;
use crate::harness::{
    DomainFile, Edge, End, Frame, Head, KEY, Op, Origin, Tunnel, Wire, accept_value, eventually,
    show, switching, upgrade_request,
};

const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: a.test\r\n\r\n";

/// Says it, and gives what came back until the edge ended the connection.
fn said_back(edge: &Edge, request: impl AsRef<[u8]>) -> String {
    let mut client = edge.connect();
    client.try_send(request);
    client.finish();
    String::from_utf8_lossy(&client.rest().0).into_owned()
}

fn refused_before_the_origin(request: &str, code: &str) {
    let origin = Origin::answering("LEAK");
    let mut edge = Edge::to(&origin);
    let said = said_back(&edge, format!("{request}{SMUGGLED}"));
    assert!(said.starts_with(&format!("HTTP/1.1 {code} ")), "{said}");
    assert!(!said.contains("LEAK"), "{said}");
    edge.kill();
    origin.settle();
    assert_eq!(origin.spoken(), 0);
}

// Pingora CVE-2026-2833, Varnish, old Envoy, Kemal #767
#[test]
fn tunnel_before_101() {
    let (origin, edge) = Edge::and_origin();
    for refusal in ["403 Forbidden", "426 Upgrade Required", "200 OK", "500 Oops"] {
        let mut client = edge.connect();
        client.send(format!("{}{SMUGGLED}", upgrade_request("a.test", "")));
        let mut at = origin.accept();
        at.head();
        at.send(format!("HTTP/1.1 {refusal}\r\nContent-Length: 0\r\n\r\n"));
        assert_eq!(client.answer().0.start, format!("HTTP/1.1 {refusal}"));
        // A pipe would carry it to this origin connection; HTTP sends it as a request of its own,
        // with the edge's headers, or not at all.
        if let Ok(head) = at.try_head() {
            assert!(head.has("x-forwarded-for"), "piped: {}", show(&head.raw));
        }
    }
}

// 0ang3el 1: the origin says 426, the proxy pipes anyway
#[test]
fn wrong_sec_websocket_version() {
    let origin = Origin::answering("LEAK");
    let edge = Edge::to(&origin);
    let old = upgrade_request("a.test", "").replace("Version: 13", "Version: 1337");
    let said = said_back(&edge, format!("{old}{SMUGGLED}"));
    assert!(said.starts_with("HTTP/1.1 426 "), "{said}");
    assert!(said.to_ascii_lowercase().contains("sec-websocket-version: 13"), "{said}");
    assert!(!said.contains("LEAK"), "{said}");
    assert_eq!(origin.spoken(), 0);
}

// 0ang3el 2: an endpoint that can be made to answer 101 to anything
#[test]
fn forged_101() {
    let (origin, edge) = Edge::and_origin();
    let forged = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
                  Connection: Upgrade\r\n";
    let accept = format!("Sec-WebSocket-Accept: {}\r\n", accept_value(KEY));
    let asked = upgrade_request("a.test", "");
    let plain = "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n".to_owned();
    let post = "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 0\r\n\r\n".to_owned();
    for (request, answer) in [
        (&asked, format!("{forged}\r\n")),
        (&asked, format!("{forged}Sec-WebSocket-Accept: {}\r\n\r\n", accept_value("x"))),
        (&plain, format!("{forged}{accept}\r\n")),
        (&post, format!("{forged}{accept}\r\n")),
    ] {
        let mut client = edge.connect();
        client.send(request);
        let mut at = origin.accept();
        at.head();
        at.send(format!("{answer}LEAK"));
        let (head, body) = client.answer();
        assert_eq!(head.status(), 502);
        assert!(!body.windows(4).any(|w| w == b"LEAK"), "{}", show(&body));
        client.try_send(Frame::text("as if in a tunnel").masked().bytes());
        assert!(at.rest().0.is_empty(), "bytes of a tunnel crossed");
    }
    assert!(edge.conns().is_empty());
}

// Bishop Fox, Traefik CVE-2026-88008, nginx #1472
#[test]
fn h2c_and_other_upgrade_smuggling() {
    let (origin, edge) = Edge::and_origin();
    let preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    for protocol in ["h2c", "h2", "HTTP/2.0", "TLS/1.2", "IRC/6.9", "connect-udp"] {
        let mut client = edge.connect();
        client.send(format!(
            "GET / HTTP/1.1\r\nHost: a.test\r\nUpgrade: {protocol}\r\n\
             Connection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABkAAQAoAAA\r\n\r\n"
        ));
        let mut at = origin.accept();
        let head = at.head();
        for name in ["upgrade", "http2-settings"] {
            assert!(!head.has(name), "{protocol}: {}", show(&head.raw));
        }
        // Even an origin that switches unasked opens nothing.
        at.send(format!(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\
             Upgrade: {protocol}\r\n\r\n"
        ));
        client.try_send(preface);
        let (said, _) = client.rest();
        assert!(said.starts_with(b"HTTP/1.1 502 "), "{protocol}: {}", show(&said));
        assert!(at.rest().0.is_empty(), "{protocol}: a pipe was opened");
    }
}

// nghttpx CVE-2026-58055
#[test]
fn upgrade_with_body() {
    let head = upgrade_request("a.test", "Content-Length: 40\r\n");
    refused_before_the_origin(&head, "400");
    let head = upgrade_request("a.test", "Transfer-Encoding: chunked\r\n");
    refused_before_the_origin(&format!("{head}0\r\n\r\n"), "400");
    // A connection that carried an Upgrade is not pooled, whatever became of it.
    let (origin, edge) = Edge::and_origin();
    let mut client = edge.connect();
    client.send(upgrade_request("a.test", ""));
    let mut at = origin.accept();
    at.head();
    at.send("HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno\r\n");
    assert_eq!(client.answer().0.status(), 403);
    let mut other = edge.connect();
    other.send("GET /other HTTP/1.1\r\nHost: a.test\r\n\r\n");
    assert_eq!(origin.accept().head().target(), "/other", "not over the first connection");
}

// HAProxy #2928
#[test]
fn upgrade_without_connection() {
    let (origin, edge) = Edge::and_origin();
    let mut client = edge.connect();
    client.send(format!(
        "GET / HTTP/1.1\r\nHost: a.test\r\nUpgrade: websocket\r\nSec-WebSocket-Key: {KEY}\r\n\
         Sec-WebSocket-Version: 13\r\n\r\n"
    ));
    let mut at = origin.accept();
    let head = at.head();
    assert!(!head.has("upgrade") && !head.lists("connection", "upgrade"), "{}", show(&head.raw));
    at.send(switching(&Head::parse(upgrade_request("a.test", "").as_bytes())));
    assert_eq!(client.answer().0.status(), 502);
}

// Envoy PR 44525, Apache CVE-2022-31813, Traefik CVE-2021-32813 and CVE-2024-45410
#[test]
fn nominated_headers() {
    let (origin, edge) = Edge::and_origin();
    let upgrade = upgrade_request("a.test", "X-Auth: forged\r\n")
        .replace("Connection: Upgrade", "Connection: Upgrade, X-Auth, X-Forwarded-For, Via");
    let plain = "GET / HTTP/1.1\r\nHost: a.test\r\nConnection: X-Auth, X-Forwarded-For, Via\r\n\
                 X-Auth: forged\r\n\r\n"
        .to_owned();
    for request in [upgrade, plain] {
        let mut client = edge.connect();
        client.send(&request);
        let head = origin.accept().head();
        assert!(!head.has("x-auth"), "{}", show(&head.raw));
        assert_eq!(head.field("x-forwarded-for"), Some("127.0.0.1"), "{}", show(&head.raw));
        assert!(head.has("via"), "{}", show(&head.raw));
    }
}

// HAProxy CVE-2023-40225, CVE-2023-25725, CVE-2021-40346, Pingora CVE-2026-2835
#[test]
fn length_and_transfer_coding_disagree() {
    let post = |lines: &str| format!("POST / HTTP/1.1\r\nHost: a.test\r\n{lines}\r\n0\r\n\r\n");
    for lines in [
        "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
        "Content-Length:\r\n",
        "Content-Length: 0, 5\r\n",
        "Content-Length: 0\r\nContent-Length: 5\r\n",
        ": x\r\nContent-Length: 5\r\n",
        "Transfer-Encoding: chunked, identity\r\n",
    ] {
        refused_before_the_origin(&post(lines), "400");
    }
    // CVE-2021-40346: a name so long that its length overflows and hides the next field.
    let name = format!("Content-Length{}", "0".repeat(255));
    let (origin, edge) = Edge::and_origin();
    let mut client = edge.connect();
    client.send(post(&format!("{name}:\r\nContent-Length: 23\r\n")) + "GET /smuggled HTTP");
    let mut at = origin.accept();
    let head = at.head();
    assert_eq!(head.content_length(), Some(23), "{}", show(&head.raw));
    let old = post("Transfer-Encoding: chunked\r\n").replace("HTTP/1.1", "HTTP/1.0");
    refused_before_the_origin(&old, "400");
}

// Jetty CVE-2026-2332
#[test]
fn chunk_framing() {
    let (origin, edge) = Edge::and_origin();
    for body in ["5;a=\"\r\nhello\r\n0\r\n\r\n", "5;a\nhello\r\n0\r\n\r\n", "0x5\r\nhello\r\n"] {
        let mut client = edge.connect();
        client.send("POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n");
        client.try_send(body);
        client.try_send(SMUGGLED);
        client.finish();
        let (said, _) = client.rest();
        // An extension that only looks open is plain text up to the line's end, and is dropped.
        if said.starts_with(b"HTTP/1.1 400 ") {
            continue;
        }
        panic!("{body:?}: {}", show(&said));
    }
    if let Some(mut at) = origin.accept_within(Duration::ZERO) {
        let (seen, _) = at.rest();
        assert!(!seen.windows(8).any(|w| w == b"smuggled"), "{}", show(&seen));
    }
}

#[test]
fn folded_bare_and_control_bytes() {
    for line in ["X: a\r\n b", "X: a\rb", "X: a\nb: c", "X: a\0b", "X: \x07", ": b", "X : b"] {
        refused_before_the_origin(
            &format!("GET / HTTP/1.1\r\nHost: a.test\r\n{line}\r\n\r\n"),
            "400",
        );
    }
}

#[test]
fn response_splitting_and_queue_poisoning() {
    let (origin, edge) = Edge::and_origin();
    let evil = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nEVIL";
    let rows = [
        ("GET", format!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok{evil}")),
        ("HEAD", format!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{evil}")),
        ("GET", format!("HTTP/1.1 204 No Content\r\n\r\n{evil}")),
        ("GET", format!("HTTP/1.1 304 Not Modified\r\n\r\n{evil}")),
        ("GET", format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{evil}")),
    ];
    for (method, poison) in rows {
        let mut victim = edge.connect();
        let mut attacker = edge.connect();
        attacker.send(format!("{method} /a HTTP/1.1\r\nHost: a.test\r\n\r\n"));
        let mut at = origin.accept();
        at.head();
        at.send(&poison);
        let head = attacker.head();
        assert!(head.status() < 400, "{poison:?}");
        victim.send("GET /v HTTP/1.1\r\nHost: a.test\r\n\r\n");
        // Whether over a fresh connection or the poisoned one: the victim's answer is its own.
        let mut fresh = origin.accept();
        assert_eq!(fresh.head().target(), "/v");
        fresh.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\nmine");
        assert_eq!(victim.answer().1, b"mine", "{method} {poison:?}");
    }
}

// Caddy CVE-2026-27588: the same host in two spellings had two policies
#[test]
fn one_spelling_of_a_host() {
    let (strict, lax) = (Origin::answering("strict"), Origin::answering("lax"));
    let mut builder = Edge::builder()
        .domain(DomainFile::to("private.test", &strict).set("access", "deny = [\"127.0.0.0/8\"]"))
        .domain(DomainFile::to("*.test", &lax));
    for i in 0..120 {
        builder = builder.domain(DomainFile::to(&format!("many{i}.example"), &lax));
    }
    let edge = builder.start();
    for host in ["private.test", "PRIVATE.test", "Private.TEST:80", "private.test."] {
        let said = said_back(&edge, format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        assert!(said.starts_with("HTTP/1.1 403 "), "{host}: {said}");
    }
    assert_eq!(strict.spoken() + lax.spoken(), 0);
}

// Envoy CVE-2019-9901, CVE-2021-29492, CVE-2021-32779, Caddy CVE-2026-27587
#[test]
fn path_confusion() {
    let (origin, edge) = Edge::and_origin();
    for target in ["/a/../admin", "/a/%2e%2e/admin", "//admin", "/a%2fadmin", "/ADMIN/./"] {
        let mut client = edge.connect();
        client.send(format!("GET {target} HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n"));
        assert_eq!(origin.accept().head().target(), target, "forwarded as it was judged");
    }
    for target in ["/admin#x", "/a\0", "/a\x01", "/a b"] {
        refused_before_the_origin(&format!("GET {target} HTTP/1.1\r\nHost: a.test\r\n\r\n"), "400");
    }
}

#[test]
fn slowloris() {
    let origin = Origin::answering("fine");
    let edge = Edge::builder()
        .domain(DomainFile::to("a.test", &origin))
        .table("[timeouts]\nhead = \"1s\"\nkeepalive = \"1s\"")
        .start();
    let started = Instant::now();
    let slow: Vec<_> = (0..50)
        .map(|i| {
            let mut client = edge.connect();
            client.send(&"GET / HTTP/1.1\r\nHost: a.test\r\nX: y\r\n"[..10 + i % 20]);
            client
        })
        .collect();
    // Others are served meanwhile.
    let said = said_back(&edge, "GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n");
    assert!(said.ends_with("fine"), "{said}");
    for mut client in slow {
        let (said, _) = client.rest();
        assert!(said.starts_with(b"HTTP/1.1 408"), "{}", show(&said));
    }
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    assert_eq!(origin.spoken(), 1);
}

// Tomcat CVE-2020-13935, gorilla CVE-2020-27813
#[test]
fn frame_bombs() {
    let (origin, edge) = Edge::and_origin();
    let before = rss_kib(edge.pid);
    let mask = Some([1, 2, 3, 4]);
    for length in [1 << 31, 1 << 32, i64::MAX as u64 - 1, i64::MAX as u64] {
        let mut tunnel = Tunnel::open(&edge, &origin, "a.test");
        let header = Frame::header(Op::BINARY, mask, length);
        tunnel.client.send(&header);
        tunnel.client.send([0x55; 1000]);
        tunnel.origin.expect(&header);
        tunnel.origin.expect([0x55; 1000]);
        // The other direction is not held up by it.
        let down = Frame::text("down");
        tunnel.origin.send_frame(&down);
        assert_eq!(tunnel.client.frame(), down);
    }
    for bad in [
        Frame::header(Op::BINARY, mask, 1 << 63),
        Frame::ping([0; 126]).masked().bytes_with(Length::Bits16),
    ] {
        let mut tunnel = Tunnel::open(&edge, &origin, "a.test");
        tunnel.client.send(&bad);
        let close = tunnel.client.frame().close_code();
        assert_eq!(close.map(|(code, _)| code), Some(1002));
    }
    assert!(rss_kib(edge.pid) < before + (16 << 10), "memory was reserved for what was announced");
}

fn rss_kib(pid: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("a living process");
    let line = text.lines().find(|line| line.starts_with("VmRSS:")).expect("VmRSS");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("KiB")
}

#[test]
fn ping_floods_are_passed_on_not_answered() {
    let (origin, edge) = Edge::and_origin();
    let mut tunnel = Tunnel::open(&edge, &origin, "a.test");
    let flood: Vec<u8> = (0..2_000).flat_map(|_| Frame::ping([7; 125]).masked().bytes()).collect();
    tunnel.client.send(&flood);
    tunnel.origin.expect(&flood);
    // Not one Pong of the edge's own.
    let down = Frame::text("down");
    tunnel.origin.send_frame(&down);
    assert_eq!(tunnel.client.frame(), down);
}

// ws GHSA-96hv-2xvq-fx4p
#[test]
fn fragment_flood() {
    let (origin, edge) = Edge::and_origin();
    let mut tunnel = Tunnel::open(&edge, &origin, "a.test");
    let before = rss_kib(edge.pid);
    let part = Frame::new(Op::CONTINUE, "").unfinished().masked().bytes();
    let flood = [Frame::text("").unfinished().masked().bytes(), part.repeat(20_000)].concat();
    let mut client = tunnel.client.also();
    let sent = flood.clone();
    let push = std::thread::spawn(move || client.send(sent));
    tunnel.origin.expect(&flood);
    push.join().expect("pushed");
    assert!(rss_kib(edge.pid) < before + (8 << 10));
}

// undici CVE-2026-1526, Python websockets CVE-2018-1000518
#[test]
fn compression_bombs_pass_compressed() {
    let (origin, edge) = Edge::and_origin();
    let deflate = "Sec-WebSocket-Extensions: permessage-deflate\r\n";
    let mut tunnel = Tunnel::open_with(&edge, &origin, "a.test", deflate, deflate);
    let before = rss_kib(edge.pid);
    // Stored blocks of a stream that would grow a thousandfold, or not inflate at all.
    let bomb = Frame::binary(vec![0; 1 << 20]).rsv(0x40).masked();
    let mut client = tunnel.client.also();
    let bytes = bomb.bytes();
    let push = std::thread::spawn(move || client.send(bytes));
    assert_eq!(tunnel.origin.frame(), bomb);
    push.join().expect("pushed");
    assert!(rss_kib(edge.pid) < before + (8 << 10));
}

// ws CVE-2024-37890, tungstenite CVE-2023-43669: a head parsed anew for every byte is quadratic
#[test]
fn header_floods() {
    let (origin, edge) = Edge::and_origin();
    let many: String = (0..150).map(|i| format!("X{i}: y\r\n")).collect();
    for request in [
        upgrade_request("a.test", &many),
        upgrade_request("a.test", &format!("X: {}\r\n", "y".repeat(20_000))),
    ] {
        let said = said_back(&edge, request);
        assert!(said.starts_with("HTTP/1.1 431 "), "{said}");
    }
    let started = Instant::now();
    let mut client = edge.connect();
    let long = upgrade_request("a.test", &format!("X: {}\r\n", "y".repeat(14_000)));
    long.as_bytes().iter().for_each(|byte| client.send([*byte]));
    origin.accept().head();
    assert!(started.elapsed() < Duration::from_secs(8), "{:?}", started.elapsed());
}

#[test]
fn half_open_peers() {
    let origin = Origin::bind();
    let edge = Edge::with(DomainFile::to("a.test", &origin).websocket("heartbeat = 1"));
    // Neither answers, as after a power cut; both ends are freed.
    let tunnel = Tunnel::open(&edge, &origin, "a.test");
    edge.await_log("the end", |line| line["cause"] == "heartbeat_timeout");
    eventually("nothing is left", || edge.conns().is_empty().then_some(()));
    drop(tunnel);
}

// puma CVE-2026-47736 and CVE-2026-47737
#[test]
fn proxy_protocol_spoofing() {
    let origin = Origin::bind();
    let header = "PROXY TCP4 10.1.1.1 10.0.0.1 1 80\r\n";
    let get = "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n";
    // Off: it is no request.
    let edge = Edge::to(&origin);
    assert!(said_back(&edge, format!("{header}{get}")).starts_with("HTTP/1.1 400 "));
    // Twice, or in front of a kept connection's next request: never taken again.
    let edge = Edge::builder()
        .server("proxy_protocol = \"any\"\ntrusted_proxies = [\"127.0.0.1\"]")
        .domain(DomainFile::to("a.test", &origin))
        .start();
    let said = said_back(&edge, format!("{header}{header}{get}"));
    assert!(said.is_empty() || said.starts_with("HTTP/1.1 400 "), "{said}");
    let mut client = edge.connect();
    client.send(format!("{header}{get}"));
    let mut at = origin.accept();
    assert_eq!(at.head().field("x-forwarded-for"), Some("10.1.1.1"));
    at.send("HTTP/1.1 204 No Content\r\n\r\n");
    assert_eq!(client.head().status(), 204);
    client.send(format!("{header}{get}"));
    assert_eq!(client.answer().0.status(), 400);
    // Never an end to it.
    let mut endless = edge.connect();
    endless.try_send(format!("PROXY TCP4 {}", "1".repeat(5_000)));
    let (said, _) = endless.rest();
    assert!(said.is_empty() || said.starts_with(b"HTTP/1.1 400 "), "{}", show(&said));
}

// Traefik CVE-2026-39858
#[test]
fn forwarded_headers_spoofing() {
    let (origin, edge) = Edge::and_origin();
    let mut client = edge.connect();
    client.send(
        "GET / HTTP/1.1\r\nHost: a.test\r\nX-Forwarded-For: 6.6.6.6\r\nx_forwarded_for: 6.6.6.6\r\n\
         X-Forwarded_Proto: https\r\nX_Forwarded_Host: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\n\r\n",
    );
    let head = origin.accept().head();
    let text = String::from_utf8_lossy(&head.raw).into_owned();
    assert!(!text.contains("6.6.6.6") && !text.contains("https"), "{text}");
    assert!(!head.fields.iter().any(|(name, _)| name.contains('_')), "{text}");
}

#[test]
fn ssrf_by_host_or_absolute_uri() {
    let inner = TcpListener::bind("127.0.0.1:0").expect("a port");
    inner.set_nonblocking(true).expect("non-blocking");
    let secret = inner.local_addr().expect("bound");
    let origin = Origin::answering("mine");
    let edge = Edge::to(&origin);
    for request in [
        format!("GET / HTTP/1.1\r\nHost: {secret}\r\n\r\n"),
        format!("GET http://{secret}/ HTTP/1.1\r\nHost: {secret}\r\n\r\n"),
        format!("GET http://{secret}/ HTTP/1.1\r\nHost: a.test\r\n\r\n"),
        upgrade_request(&secret.to_string(), ""),
    ] {
        let said = said_back(&edge, &request);
        assert!(
            ["400", "404", "421"].iter().any(|code| said[9..].starts_with(code)),
            "{request}: {said}"
        );
    }
    assert!(inner.accept().is_err(), "a target that is not configured was contacted");
    assert_eq!(origin.spoken(), 0);
}

#[test]
fn cross_site_websocket_hijacking() {
    let (origin, edge) = Edge::and_origin();
    let evil = "Origin: https://evil.test\r\nCookie: session=1\r\n";
    let mut client = edge.connect();
    client.send(upgrade_request("a.test", evil));
    let head = origin.accept().head();
    assert_eq!(head.field("origin"), Some("https://evil.test"), "the origin can judge it");
    let edge =
        Edge::with(DomainFile::to("a.test", &origin).websocket("allowed_origins = \"same-host\""));
    let said = said_back(&edge, upgrade_request("a.test", evil));
    assert!(said.starts_with("HTTP/1.1 403 "), "{said}");
}

#[test]
fn address_lists_refuse_before_anything_else() {
    let origin = Origin::answering("LEAK");
    for access in ["deny = [\"127.0.0.0/8\"]", "allow = [\"192.0.2.0/24\"]"] {
        let edge = Edge::with(DomainFile::to("a.test", &origin).set("access", access));
        for request in
            ["GET / HTTP/1.1\r\nHost: a.test\r\n\r\n".to_owned(), upgrade_request("a.test", "")]
        {
            let said = said_back(&edge, request);
            assert!(said.starts_with("HTTP/1.1 403 "), "{access}: {said}");
        }
    }
    assert_eq!(origin.spoken(), 0);
}

// Traefik and Caddy CONNECT desync
#[test]
fn connect_trace_and_expect_tricks() {
    let origin = Origin::answering("LEAK");
    let edge = Edge::to(&origin);
    for request in [
        "CONNECT a.test:80 HTTP/1.1\r\nHost: a.test:80\r\n\r\n",
        "CONNECT /x HTTP/1.1\r\nHost: a.test\r\nContent-Length: 40\r\n\r\n",
        "TRACE / HTTP/1.1\r\nHost: a.test\r\n\r\n",
    ] {
        let said = said_back(&edge, format!("{request}{SMUGGLED}"));
        assert!(
            ["400", "405", "501"].iter().any(|code| said[9..].starts_with(code)),
            "{request}: {said}"
        );
        assert!(!said.contains("LEAK"), "{said}");
    }
    let expect = "GET / HTTP/1.1\r\nHost: a.test\r\nExpect: 100-continue, tea\r\n\r\n";
    assert!(said_back(&edge, expect).starts_with("HTTP/1.1 417 "));
    assert_eq!(origin.spoken(), 0);
}

/// Bytes that an origin sends before it was asked are never an answer (the plain-HTTP side of nginx
/// CVE-2026-1642).
#[test]
fn an_answer_before_its_request() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let addr = listener.local_addr().expect("bound");
    let edge = Edge::builder()
        .domain(DomainFile::new("a.test").origin(addr, ""))
        .table("[health]\ninterval = \"1h\"")
        .start();
    let early = std::thread::spawn(move || {
        let evil = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nEVIL";
        // Health check or request: every connection is greeted so.
        for stream in listener.incoming().take(2).map_while(Result::ok) {
            let mut wire = Wire::new(stream);
            wire.try_send(evil);
            if wire.try_head().is_ok() {
                wire.try_send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nmine");
                let _ = wire.rest();
                return;
            }
        }
    });
    let mut first = edge.connect();
    first.send("GET /one HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n");
    let (said, end) = first.rest();
    // It cannot be told apart from a quick answer on this very connection; what must not be is that
    // the surplus answers anybody else.
    assert!(said.starts_with(b"HTTP/1.1 "), "{}", show(&said));
    assert_eq!(end, End::Fin);
    assert_eq!(said.windows(5).filter(|w| *w == b"HTTP/").count(), 1, "{}", show(&said));
    drop(edge);
    early.join().expect("the origin ends");
}
