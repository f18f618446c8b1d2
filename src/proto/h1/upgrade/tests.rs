//! Tables of RFC 6455 4.1, 4.2 and 10.2, and of RFC 7692 7.1.

use super::super::framing::AnswerTo;
use super::super::head::{parse_request, parse_response};
use super::*;

const KEY: &str = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
const VERSION: &str = "Sec-WebSocket-Version: 13\r\n";
const TOKENS: &str = "Upgrade: websocket\r\nConnection: Upgrade\r\n";

/// Of a request with these lines: the upgrade as one word.
fn verdict(start: &str, lines: &str) -> &'static str {
    let head = format!("{start}\r\nHost: a\r\n{lines}\r\n");
    let request = parse_request(head.as_bytes(), Scheme::Http).expect("a sound head");
    match request.upgrade {
        Upgrade::None => "none",
        Upgrade::WebSocket { key } => {
            assert_eq!(key.len(), 24);
            "websocket"
        }
        Upgrade::Invalid(e) if e.kind == HeadErrorKind::UpgradeVersion => "426",
        Upgrade::Invalid(e) => {
            assert_eq!(e.kind, HeadErrorKind::Bad);
            "400"
        }
    }
}

#[test]
fn who_asks_rfc6455_4_2_1() {
    let rest = format!("{KEY}{VERSION}");
    for (lines, expected) in [
        ("Upgrade: websocket\r\nConnection: Upgrade\r\n", "websocket"),
        ("Upgrade: WebSocket\r\nConnection: upgrade\r\n", "websocket"),
        ("Upgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n", "websocket"),
        ("Upgrade: websocket\r\nConnection: keep-alive\r\nConnection: upgrade\r\n", "websocket"),
        ("Upgrade: h2c, websocket\r\nConnection: Upgrade, HTTP2-Settings\r\n", "websocket"),
        ("Upgrade: h2c\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n", "websocket"),
        ("Upgrade: websocket\r\n", "none"),
        ("Upgrade: websocket\r\nConnection: keep-alive\r\n", "none"),
        ("Upgrade: websocket\r\nConnection: X-Upgrade\r\n", "none"),
        ("Upgrade: websocket\r\nProxy-Connection: Upgrade\r\n", "none"),
        ("Connection: Upgrade\r\n", "none"),
        ("Upgrade:\r\nConnection: Upgrade\r\n", "none"),
        ("Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\n", "none"),
        ("Upgrade: TLS/1.0\r\nConnection: Upgrade\r\n", "none"),
        ("Upgrade: websocket/13\r\nConnection: Upgrade\r\n", "none"),
        ("Upgrade: xwebsocket\r\nConnection: Upgrade\r\n", "none"),
        ("Upgrade: web socket\r\nConnection: Upgrade\r\n", "none"),
        ("Upgrade: \"websocket\"\r\nConnection: Upgrade\r\n", "none"),
    ] {
        assert_eq!(verdict("GET / HTTP/1.1", &format!("{lines}{rest}")), expected, "{lines}");
    }
    // RFC 9110 7.8: ignored in HTTP/1.0.
    assert_eq!(verdict("GET / HTTP/1.0", &format!("{TOKENS}{rest}")), "none");
}

#[test]
fn what_is_asked_rfc6455_4_2_1() {
    let key = |value: &str| format!("{VERSION}Sec-WebSocket-Key: {value}\r\n");
    let version = |value: &str| format!("{KEY}Sec-WebSocket-Version: {value}\r\n");
    for (lines, expected) in [
        (format!("{KEY}{VERSION}"), "websocket"),
        (key("AQIDBAUGBwgJCgsMDQ4PEC=="), "websocket"),
        (key("////////////////////+/=="), "websocket"),
        (format!("{KEY}{VERSION}Content-Length: 0\r\n"), "websocket"),
        // Rule 5: the key.
        (VERSION.to_owned(), "400"),
        (format!("{KEY}{KEY}{VERSION}"), "400"),
        (format!("{KEY}{VERSION}Sec-WebSocket-Key: AQIDBAUGBwgJCgsMDQ4PEC==\r\n"), "400"),
        (key(""), "400"),
        (key("dGhlIHNhbXBsZSBub25jZQ"), "400"),
        (key("dGhlIHNhbXBsZSBub25jZQ="), "400"),
        (key("dGhlIHNhbXBsZSBub25jZQ==="), "400"),
        (key("dGhlIHNhbXBsZSBub25jZ==="), "400"),
        (key("dGhlIHNhbXBsZSBub25jZQ==, a"), "400"),
        (key("dGhlIHNhbXBsZSBub25j"), "400"),
        (key("dGhlIHNhbXBsZSBub25jZXM="), "400"),
        (key("dGhlIHNhbXBsZSBub25jZXNh"), "400"),
        (key("dGhlIHNhbXBsZSBub25-_w=="), "400"),
        (key("dGhlIHNhbX sZSBub25jZQ=="), "400"),
        // Rule 6: the version.
        (KEY.to_owned(), "426"),
        (version("12"), "426"),
        (version("8"), "426"),
        (version("0"), "426"),
        (version("14"), "426"),
        (version("013"), "426"),
        (version("+13"), "426"),
        (version("13, 8"), "426"),
        (version(""), "426"),
        (version("a"), "426"),
        (format!("{KEY}{VERSION}{VERSION}"), "426"),
        // No body.
        (format!("{KEY}{VERSION}Content-Length: 1\r\n"), "400"),
        (format!("{KEY}{VERSION}Transfer-Encoding: chunked\r\n"), "400"),
    ] {
        assert_eq!(verdict("GET / HTTP/1.1", &format!("{TOKENS}{lines}")), expected, "{lines}");
    }
    // Rule 1: GET.
    for method in ["POST", "HEAD", "PUT", "OPTIONS", "get", "DELETE"] {
        let lines = format!("{TOKENS}{KEY}{VERSION}");
        assert_eq!(verdict(&format!("{method} / HTTP/1.1"), &lines), "400", "{method}");
    }
}

#[test]
fn accept_value_rfc6455_1_3() {
    assert_eq!(accept("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

const ACCEPT: &str = "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";

/// `Ok` with the reserved bits, or the error's text.
fn answered(offer: &str, lines: &str) -> Result<u8, &'static str> {
    let request = format!("GET / HTTP/1.1\r\nHost: a\r\n{TOKENS}{KEY}{VERSION}{offer}\r\n");
    let request = parse_request(request.as_bytes(), Scheme::Http).unwrap();
    let answer = format!("HTTP/1.1 101 Switching Protocols\r\n{lines}\r\n");
    let answer = parse_response(answer.as_bytes(), AnswerTo::WebSocket).unwrap();
    verify_answer(&request, &answer).map(|agreed| agreed.reserved_bits).map_err(|e| e.detail)
}

#[test]
fn answers_rfc6455_4_1() {
    let upgrade = "Upgrade: websocket\r\n";
    let connection = "Connection: Upgrade\r\n";
    for lines in [
        format!("{upgrade}{connection}{ACCEPT}"),
        format!("Upgrade: WEBSOCKET\r\n{connection}{ACCEPT}"),
        format!("{upgrade}Connection: keep-alive, upgrade\r\n{ACCEPT}"),
        format!("{upgrade}{connection}{ACCEPT}Content-Length: 0\r\n"),
        format!("{upgrade}{connection}{ACCEPT}Sec-WebSocket-Extensions:\r\n"),
    ] {
        assert_eq!(answered("", &lines), Ok(0), "{lines}");
    }
    for (lines, why) in [
        (String::new(), "Upgrade of the 101"),
        (format!("{connection}{ACCEPT}"), "Upgrade of the 101"),
        (format!("Upgrade: h2c\r\n{connection}{ACCEPT}"), "Upgrade of the 101"),
        (format!("Upgrade: websocket, h2c\r\n{connection}{ACCEPT}"), "Upgrade of the 101"),
        (format!("{upgrade}{upgrade}{connection}{ACCEPT}"), "Upgrade of the 101"),
        (format!("{upgrade}{ACCEPT}"), "Connection of the 101"),
        (format!("{upgrade}Connection: keep-alive\r\n{ACCEPT}"), "Connection of the 101"),
        (format!("{upgrade}{connection}"), "Sec-WebSocket-Accept"),
        (format!("{upgrade}{connection}{ACCEPT}{ACCEPT}"), "Sec-WebSocket-Accept"),
        (
            format!("{upgrade}{connection}Sec-WebSocket-Accept: S3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"),
            "Sec-WebSocket-Accept",
        ),
        (
            format!("{upgrade}{connection}Sec-WebSocket-Accept: dGhlIHNhbXBsZSBub25jZQ==\r\n"),
            "Sec-WebSocket-Accept",
        ),
        (format!("{upgrade}{connection}Sec-WebSocket-Accept:\r\n"), "Sec-WebSocket-Accept"),
    ] {
        let error = answered("", &lines).expect_err(&lines);
        assert!(error.starts_with(why), "{lines}: {error}");
    }
}

#[test]
fn subprotocols_rfc6455_4_1_rule_6() {
    let two = "Sec-WebSocket-Protocol: chat\r\nSec-WebSocket-Protocol: superchat , v1.x\r\n";
    for (offer, answer, sound) in [
        (two, "", true),
        (two, "Sec-WebSocket-Protocol: chat\r\n", true),
        (two, "Sec-WebSocket-Protocol: v1.x\r\n", true),
        (two, "Sec-WebSocket-Protocol: Chat\r\n", false),
        (two, "Sec-WebSocket-Protocol: other\r\n", false),
        (two, "Sec-WebSocket-Protocol: chat, superchat\r\n", false),
        (two, "Sec-WebSocket-Protocol: chat\r\nSec-WebSocket-Protocol: chat\r\n", false),
        (two, "Sec-WebSocket-Protocol:\r\n", false),
        ("", "Sec-WebSocket-Protocol: chat\r\n", false),
    ] {
        let verdict = answered(offer, &format!("{TOKENS}{ACCEPT}{answer}"));
        assert_eq!(verdict.is_ok(), sound, "{offer} {answer}");
    }
}

#[test]
fn extensions_rfc6455_4_1_rule_5_and_rfc7692_7_1() {
    let deflate = "permessage-deflate";
    let window = "permessage-deflate; client_max_window_bits";
    let both = "x-bundle, permessage-deflate; client_max_window_bits=\"15\"";
    for (offer, answer, bits) in [
        (deflate, "permessage-deflate", Some(0x40)),
        (deflate, "PerMessage-Deflate", Some(0x40)),
        (deflate, "permessage-deflate; server_no_context_takeover", Some(0x40)),
        (
            deflate,
            "permessage-deflate;client_no_context_takeover ; server_max_window_bits=8",
            Some(0x40),
        ),
        (deflate, "permessage-deflate; server_max_window_bits=\"15\"", Some(0x40)),
        (window, "permessage-deflate; client_max_window_bits=15", Some(0x40)),
        (both, "permessage-deflate; client_max_window_bits=10", Some(0x40)),
        (both, "x-bundle", Some(0x70)),
        (both, "x-bundle; a=b, permessage-deflate", Some(0x70)),
        ("x-bundle; a=\"b,permessage-deflate\"", "permessage-deflate", None),
        ("", "permessage-deflate", None),
        ("x-bundle", "permessage-deflate", None),
        (deflate, "x-bundle", None),
        (deflate, "permessage-deflate, permessage-deflate", None),
        (deflate, "permessage-deflate; client_max_window_bits=15", None),
        (window, "permessage-deflate; client_max_window_bits", None),
        (window, "permessage-deflate; client_max_window_bits=7", None),
        (window, "permessage-deflate; client_max_window_bits=16", None),
        (window, "permessage-deflate; client_max_window_bits=010", None),
        (window, "permessage-deflate; server_max_window_bits=\"\"", None),
        (deflate, "permessage-deflate; server_no_context_takeover=1", None),
        (
            deflate,
            "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
            None,
        ),
        (deflate, "permessage-deflate; frob", None),
        (deflate, "permessage-deflate;", None),
        (deflate, "permessage-deflate; a=\"b", None),
        (deflate, "permessage deflate", None),
        (deflate, "; a", None),
    ] {
        let field = |value: &str| format!("Sec-WebSocket-Extensions: {value}\r\n");
        let offer = if offer.is_empty() { String::new() } else { field(offer) };
        let verdict = answered(&offer, &format!("{TOKENS}{ACCEPT}{}", field(answer)));
        assert_eq!(verdict.ok(), bits, "{offer} {answer}");
    }
    let many = format!("Sec-WebSocket-Extensions: {}\r\n", "a,".repeat(EXTENSIONS_AGREED_MAX + 1));
    assert!(answered(&many, &format!("{TOKENS}{ACCEPT}{many}")).is_err());
}

#[test]
fn an_answer_to_a_plain_request_never_opens_a_tunnel() {
    let head = format!("HTTP/1.1 101 Switching Protocols\r\n{TOKENS}{ACCEPT}\r\n");
    let answer = parse_response(head.as_bytes(), AnswerTo::WebSocket).unwrap();
    let plain = parse_request(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", Scheme::Http).unwrap();
    assert!(verify_answer(&plain, &answer).is_err());
    let ok = parse_response(b"HTTP/1.1 200 OK\r\n\r\n", AnswerTo::WebSocket).unwrap();
    let head = format!("GET / HTTP/1.1\r\nHost: a\r\n{TOKENS}{KEY}{VERSION}\r\n");
    let request = parse_request(head.as_bytes(), Scheme::Http).unwrap();
    assert!(verify_answer(&request, &ok).is_err());
}

fn allowed(host: &str, origin: &str, policy: OriginPolicy<'_>) -> bool {
    let head = format!("GET / HTTP/1.1\r\nHost: {host}\r\n{origin}\r\n");
    origin_allowed(&parse_request(head.as_bytes(), Scheme::Http).unwrap(), policy)
}

#[test]
fn origin_same_host_rfc6455_10_2() {
    for (host, origin, expected) in [
        ("a.example", "Origin: http://a.example\r\n", true),
        ("a.example", "Origin: https://a.example\r\n", true),
        ("A.example.:80", "Origin: HTTP://a.Example\r\n", true),
        ("a.example:8080", "Origin: http://a.example:8080\r\n", true),
        ("[::1]:8080", "Origin: http://[0::1]:8080\r\n", true),
        ("a.example", "", false),
        ("a.example", "Origin:\r\n", false),
        ("a.example", "Origin: null\r\n", false),
        ("a.example", "Origin: a.example\r\n", false),
        ("a.example", "Origin: http://b.example\r\n", false),
        ("a.example", "Origin: http://a.example.b\r\n", false),
        ("a.example", "Origin: http://x.a.example\r\n", false),
        ("a.example", "Origin: http://a.example@b\r\n", false),
        ("a.example", "Origin: http://b@a.example\r\n", false),
        ("a.example", "Origin: http://a.example/\r\n", false),
        ("a.example", "Origin: http://a.example:8080\r\n", false),
        ("a.example:8080", "Origin: http://a.example\r\n", false),
        ("a.example", "Origin: file://a.example\r\n", false),
        ("a.example", "Origin: http://a.example http://b\r\n", false),
        ("a.example", "Origin: http://a.example\r\nOrigin: http://a.example\r\n", false),
        ("a.example", "Origin: http://\r\n", false),
    ] {
        assert_eq!(
            allowed(host, origin, OriginPolicy::SameHost(Scheme::Http)),
            expected,
            "{origin}"
        );
        assert!(allowed(host, origin, OriginPolicy::Any), "{origin}");
    }
}

#[test]
fn origin_list_rfc6455_10_2() {
    let list = ["https://app.example.com".into(), "http://localhost:3000".into(), "null".into()];
    for (origin, expected) in [
        ("Origin: https://app.example.com\r\n", true),
        ("Origin: HTTPS://App.example.com\r\n", true),
        ("Origin: http://localhost:3000\r\n", true),
        ("Origin: null\r\n", true),
        ("Origin: http://app.example.com\r\n", false),
        ("Origin: https://app.example.com:8443\r\n", false),
        ("Origin: https://app.example.com.evil\r\n", false),
        ("Origin: https://x.app.example.com\r\n", false),
        ("", false),
        ("Origin: null\r\nOrigin: null\r\n", false),
    ] {
        assert_eq!(allowed("a", origin, OriginPolicy::List(&list)), expected, "{origin}");
    }
}
