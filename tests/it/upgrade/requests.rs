//! RFC 6455 4.2.1, what a client must have said, and what the best proxies still let through.

use crate::harness::{Edge, KEY, Origin, show, upgrade_request};

const SOUND: &str = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n";

/// The request, what it may be answered with; nothing of it crosses.
fn refused(rows: Vec<(&str, String, &[u16])>) {
    let origin = Origin::bind();
    let mut edge = Edge::to(&origin);
    let mut wrong = Vec::new();
    for (name, request, codes) in rows {
        let mut client = edge.connect();
        client.send(&request);
        let (answer, body) = client.answer();
        if !codes.contains(&answer.status()) || body.is_empty() {
            wrong.push(format!("{name}: {} {}", answer.start, show(&body)));
        }
        if answer.status() == 426 && answer.field("sec-websocket-version") != Some("13") {
            wrong.push(format!("{name}: 426 names no version: {answer:?}"));
        }
        if let Some(mut at) = origin.accept_within(std::time::Duration::ZERO) {
            wrong.push(format!("{name}: crossed: {:?}", at.try_head()));
        }
    }
    edge.kill();
    origin.settle();
    assert!(wrong.is_empty(), "{} rows are wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(origin.spoken(), 0, "bytes crossed");
}

fn with_key_lines(lines: &str) -> String {
    format!("GET /chat HTTP/1.1\r\nHost: a.test\r\n{SOUND}{lines}\r\n")
}

fn with_version(lines: &str) -> String {
    format!(
        "GET /chat HTTP/1.1\r\nHost: a.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: {KEY}\r\n{lines}\r\n"
    )
}

#[test]
fn keys() {
    let key = |name, value: &str| {
        (name, with_key_lines(&format!("Sec-WebSocket-Key: {value}\r\n")), &[400][..])
    };
    refused(vec![
        ("none", with_key_lines(""), &[400]),
        (
            "two",
            with_key_lines(&format!("Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Key: {KEY}\r\n")),
            &[400],
        ),
        (
            "two, different",
            with_key_lines(&format!(
                "Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
            )),
            &[400],
        ),
        key("empty", ""),
        key("15 bytes", "AAAAAAAAAAAAAAAAAAAA"),
        key("17 bytes", "AAAAAAAAAAAAAAAAAAAAAAA="),
        key("18 bytes", "AAAAAAAAAAAAAAAAAAAAAAAA"),
        key("no padding", "AAAAAAAAAAAAAAAAAAAAAA"),
        key("half the padding", "AAAAAAAAAAAAAAAAAAAAAA="),
        key("no base64", "dGhlIHNhbXBsZSBub25jZ!=="),
        key("the other alphabet", "-_hlIHNhbXBsZSBub25jZQ=="),
        key("a space in it", "dGhlIHNhbXBs ZSBub25jZQ=="),
        key("a list", &format!("{KEY}, {KEY}")),
        key("quoted", &format!("\"{KEY}\"")),
    ]);
}

#[test]
fn versions() {
    refused(vec![
        ("8", with_version("Sec-WebSocket-Version: 8\r\n"), &[426]),
        ("7", with_version("Sec-WebSocket-Version: 7\r\n"), &[426]),
        ("0", with_version("Sec-WebSocket-Version: 0\r\n"), &[426]),
        ("14", with_version("Sec-WebSocket-Version: 14\r\n"), &[426]),
        ("255", with_version("Sec-WebSocket-Version: 255\r\n"), &[426]),
        ("none", with_version(""), &[400, 426]),
        ("013", with_version("Sec-WebSocket-Version: 013\r\n"), &[400, 426]),
        ("a list", with_version("Sec-WebSocket-Version: 13, 8\r\n"), &[400, 426]),
        (
            "two",
            with_version("Sec-WebSocket-Version: 13\r\nSec-WebSocket-Version: 8\r\n"),
            &[400, 426],
        ),
        ("no number", with_version("Sec-WebSocket-Version: x\r\n"), &[400, 426]),
    ]);
}

#[test]
fn methods_versions_and_bodies() {
    let line = |line: &str, more: &str| {
        format!("{line}\r\nHost: a.test\r\n{SOUND}Sec-WebSocket-Key: {KEY}\r\n{more}\r\n")
    };
    refused(vec![
        ("POST", line("POST /chat HTTP/1.1", "Content-Length: 0\r\n"), &[400, 405]),
        ("PUT", line("PUT /chat HTTP/1.1", "Content-Length: 0\r\n"), &[400, 405]),
        ("HEAD with an answer", line("DELETE /chat HTTP/1.1", ""), &[400, 405]),
        ("OPTIONS", line("OPTIONS /chat HTTP/1.1", ""), &[400, 405]),
        // nghttpx CVE-2026-58055
        ("a length", line("GET /chat HTTP/1.1", "Content-Length: 5\r\n") + "hello", &[400]),
        (
            "a chunked body",
            line("GET /chat HTTP/1.1", "Transfer-Encoding: chunked\r\n") + "0\r\n\r\n",
            &[400],
        ),
        (
            "a length and a request in it",
            line("GET /chat HTTP/1.1", "Content-Length: 42\r\n")
                + "GET /smuggled HTTP/1.1\r\nHost: a.test\r\n\r\n",
            &[400],
        ),
    ]);
}

/// These are no WebSocket upgrades: they go on as plain HTTP, without a trace of the Upgrade.
#[test]
fn what_is_no_websocket_upgrade_is_stripped() {
    let ws = format!("Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n");
    let rows: [(&str, &str, String); 12] = [
        (
            "h2c",
            "HTTP/1.1",
            "Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\n\
             HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n"
                .into(),
        ),
        (
            "h2c, settings not named",
            "HTTP/1.1",
            "Upgrade: h2c\r\nConnection: Upgrade\r\n\
             HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n"
                .into(),
        ),
        ("h2c, not named at all", "HTTP/1.1", "Upgrade: h2c\r\nHTTP2-Settings: AAMA\r\n".into()),
        ("TLS/1.0", "HTTP/1.1", "Upgrade: TLS/1.0\r\nConnection: Upgrade\r\n".into()),
        ("HTTP/2.0", "HTTP/1.1", "Upgrade: HTTP/2.0\r\nConnection: Upgrade\r\n".into()),
        ("anything", "HTTP/1.1", "Upgrade: anything\r\nConnection: Upgrade\r\n".into()),
        ("websocket/13", "HTTP/1.1", "Upgrade: xwebsocket\r\nConnection: Upgrade\r\n".into()),
        ("no Connection", "HTTP/1.1", format!("Upgrade: websocket\r\n{ws}")),
        (
            "Connection names another",
            "HTTP/1.1",
            format!("Upgrade: websocket\r\nConnection: keep-alive\r\n{ws}"),
        ),
        (
            "named only in another header",
            "HTTP/1.1",
            format!("Upgrade: websocket\r\nProxy-Connection: Upgrade\r\n{ws}"),
        ),
        ("HTTP/1.0", "HTTP/1.0", format!("Upgrade: websocket\r\nConnection: Upgrade\r\n{ws}")),
        (
            "HTTP/1.0 with keep-alive",
            "HTTP/1.0",
            format!("Upgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n{ws}"),
        ),
    ];
    let (origin, edge) = Edge::and_origin();
    for (name, version, lines) in rows {
        let mut client = edge.connect();
        client.send(format!("GET /x {version}\r\nHost: a.test\r\n{lines}\r\n"));
        let mut at = origin.accept();
        let request = at.head();
        for gone in ["upgrade", "http2-settings"] {
            assert!(!request.has(gone), "{name}: {gone} crossed: {}", show(&request.raw));
        }
        assert!(!request.lists("connection", "upgrade"), "{name}: {}", show(&request.raw));
        at.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nplain");
        assert_eq!(client.answer().1, b"plain", "{name}");
    }
}

/// The origin switches although it was not asked to, to a protocol that nobody sees through.
#[test]
fn a_101_to_a_request_that_was_no_websocket_upgrade_is_502() {
    let (origin, edge) = Edge::and_origin();
    for protocol in ["h2c", "websocket", "TLS/1.0"] {
        let mut client = edge.connect();
        client.send(format!(
            "GET /x HTTP/1.1\r\nHost: a.test\r\nUpgrade: {protocol}\r\n\
             Connection: keep-alive\r\n\r\nSECRET"
        ));
        let mut at = origin.accept();
        at.head();
        at.send(format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: {protocol}\r\n\
             Connection: Upgrade\r\n\r\nLEAK"
        ));
        let (said, _) = client.rest();
        let text = String::from_utf8_lossy(&said);
        assert!(text.starts_with("HTTP/1.1 502 "), "{protocol}: {text}");
        assert!(!text.contains("LEAK"), "{protocol}: {text}");
        assert!(!at.rest().0.windows(6).any(|w| w == b"SECRET"), "{protocol}");
    }
}

#[test]
fn tokens_are_compared_without_case_and_in_lists() {
    let (origin, edge) = Edge::and_origin();
    for (upgrade, connection) in [
        ("WebSocket", "upgrade"),
        ("WEBSOCKET", "keep-alive, Upgrade"),
        ("websocket", "Upgrade,keep-alive"),
        ("websocket", "  UPGRADE  "),
    ] {
        let mut client = edge.connect();
        client.send(format!(
            "GET /chat HTTP/1.1\r\nHost: a.test\r\nUpgrade: {upgrade}\r\n\
             Connection: {connection}\r\nSec-WebSocket-Key: {KEY}\r\n\
             Sec-WebSocket-Version: 13\r\n\r\n"
        ));
        let mut at = origin.accept();
        let request = at.head();
        assert!(request.lists("upgrade", "websocket"), "{upgrade} {connection}: {request:?}");
        at.send(crate::harness::switching(&request));
        assert_eq!(client.head().status(), 101, "{upgrade} {connection}");
    }
}

#[test]
fn only_the_token_websocket_is_forwarded_from_a_list() {
    let (origin, edge) = Edge::and_origin();
    let mut client = edge.connect();
    client.send(format!(
        "GET /chat HTTP/1.1\r\nHost: a.test\r\nUpgrade: h2c, websocket\r\n\
         Connection: Upgrade\r\nSec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n\r\n"
    ));
    // Either it is refused, or the origin is asked for nothing but websocket.
    let Some(mut at) = origin.accept_within(std::time::Duration::from_secs(2)) else {
        assert_eq!(client.answer().0.status(), 400);
        return;
    };
    let request = at.head();
    assert!(!request.lists("upgrade", "h2c"), "{request:?}");
    at.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(client.answer().0.status(), 200);
}

// Envoy PR 44525, Apache CVE-2022-31813: what Connection names is removed on upgrades too, and a
// nomination never removes what the edge itself sets.
#[test]
fn nominated_headers_are_stripped_on_upgrades_too() {
    let (origin, edge) = Edge::and_origin();
    let mut client = edge.connect();
    client.send(format!(
        "GET /chat HTTP/1.1\r\nHost: a.test\r\nUpgrade: websocket\r\n\
         Connection: Upgrade, X-Auth, X-Forwarded-For, X-Forwarded-Proto, Host, Via, Forwarded\r\n\
         X-Auth: yes\r\nSec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n\r\n"
    ));
    let Some(mut at) = origin.accept_within(std::time::Duration::from_secs(2)) else {
        assert_eq!(client.answer().0.status(), 400);
        return;
    };
    let request = at.head();
    assert!(!request.has("x-auth"), "{request:?}");
    for name in ["host", "x-forwarded-for", "x-forwarded-proto", "via", "forwarded"] {
        assert!(request.has(name), "{name} in {request:?}");
    }
}

#[test]
fn an_upgrade_for_an_unknown_domain_is_421() {
    let (origin, edge) = Edge::and_origin();
    let mut client = edge.connect();
    client.send(upgrade_request("b.test", ""));
    assert!(matches!(client.answer().0.status(), 404 | 421));
    assert_eq!(origin.spoken(), 0);
}
