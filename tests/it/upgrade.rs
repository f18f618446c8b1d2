//! The handshake of RFC 6455 4 from both sides: only a verified 101 opens a tunnel, and a request
//! that is no sound upgrade never reaches an origin as one.

use crate::harness::tunnel::switching_with;
use crate::harness::{
    DomainFile, Edge, End, Frame, KEY, Op, Origin, Tunnel, accept_value, show, switching,
    upgrade_request,
};

mod answers;
mod requests;

#[test]
fn a_verified_101_opens_a_tunnel() {
    let (origin, edge) = Edge::and_origin();
    let mut client = edge.connect();
    client.send(upgrade_request("a.test", "Sec-WebSocket-Protocol: v2.chat, v1.chat\r\n"));
    let mut at = origin.accept();
    let request = at.head();
    assert_eq!(request.start, "GET /chat HTTP/1.1");
    assert_eq!(request.field("host"), Some("a.test"));
    assert!(request.lists("upgrade", "websocket") && request.lists("connection", "upgrade"));
    assert_eq!(request.field("sec-websocket-key"), Some(KEY));
    assert_eq!(request.field("sec-websocket-version"), Some("13"));
    assert_eq!(request.field("sec-websocket-protocol"), Some("v2.chat, v1.chat"));
    at.send(switching_with(&request, "Sec-WebSocket-Protocol: v1.chat\r\nX-App: 7\r\n"));
    let answer = client.head();
    assert_eq!(answer.status(), 101);
    assert!(answer.lists("upgrade", "websocket") && answer.lists("connection", "upgrade"));
    assert_eq!(answer.field("sec-websocket-accept"), Some(accept_value(KEY).as_str()));
    assert_eq!(answer.field("sec-websocket-protocol"), Some("v1.chat"));
    assert_eq!(answer.field("x-app"), Some("7"));
    assert!(!answer.has("content-length") && !answer.has("transfer-encoding"));
    Tunnel { client, origin: at }.check();
}

#[test]
fn bytes_right_behind_either_head_belong_to_the_tunnel() {
    let (origin, edge) = Edge::and_origin();
    let early = Frame::text("early").masked();
    let mut client = edge.connect();
    let request = upgrade_request("a.test", "");
    client.send([request.as_bytes(), &early.bytes()].concat());
    let mut at = origin.accept();
    let head = at.head();
    let greeting = Frame::text("welcome");
    at.send([switching(&head).as_bytes(), &greeting.bytes()].concat());
    assert_eq!(client.head().status(), 101);
    assert_eq!(client.frame(), greeting);
    assert_eq!(at.frame(), early);
    Tunnel { client, origin: at }.check();
}

#[test]
fn many_early_bytes_arrive_whole_and_in_order() {
    let (origin, edge) = Edge::and_origin();
    let frames: Vec<Frame> = (0..200).map(|i| Frame::binary(vec![i; 70])).collect();
    let stream: Vec<u8> = frames.iter().flat_map(|f| f.clone().masked().bytes()).collect();
    let mut client = edge.connect();
    client.send([upgrade_request("a.test", "").as_bytes(), &stream].concat());
    let mut at = origin.accept();
    let head = at.head();
    at.send(switching(&head));
    assert_eq!(client.head().status(), 101);
    for frame in &frames {
        assert_eq!(at.frame().payload, frame.payload);
    }
    let down: Vec<u8> = frames.iter().flat_map(Frame::bytes).collect();
    at.send(&down);
    client.expect(&down);
}

// Pingora CVE-2026-2833: a tunnel opened before the 101.
#[test]
fn early_bytes_wait_for_the_101() {
    let (origin, edge) = Edge::and_origin();
    let mut client = edge.connect();
    let smuggled = "GET /admin HTTP/1.1\r\nHost: a.test\r\n\r\n";
    client.send(format!("{}{smuggled}", upgrade_request("a.test", "")));
    let mut at = origin.accept();
    at.head();
    at.send("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno");
    at.finish();
    let (answer, body) = client.answer();
    assert_eq!((answer.status(), &body[..]), (403, &b"no"[..]));
    let (seen, _) = at.rest();
    assert!(seen.is_empty(), "crossed before a 101: {}", show(&seen));
    // What came behind was a request of its own, or the connection ended: it never was a tunnel.
    if let Ok(second) = client.try_head() {
        panic!("the second request was answered on a refused upgrade: {second:?}");
    }
}

#[test]
fn a_refusal_of_the_origin_passes_as_plain_http() {
    let (origin, edge) = Edge::and_origin();
    for (status, body) in
        [("401 Unauthorized", "who"), ("404 Not Found", "none"), ("200 OK", "page")]
    {
        let mut client = edge.connect();
        client.send(upgrade_request("a.test", ""));
        let mut at = origin.accept();
        at.head();
        at.send(format!(
            "HTTP/1.1 {status}\r\nContent-Length: {}\r\nX-App: 1\r\n\r\n{body}",
            body.len()
        ));
        let (answer, seen) = client.answer();
        assert_eq!(answer.start, format!("HTTP/1.1 {status}"));
        assert_eq!((answer.field("x-app"), &seen[..]), (Some("1"), body.as_bytes()));
        assert!(!answer.lists("upgrade", "websocket"), "no protocol was switched");
    }
}

#[test]
fn a_refused_upgrade_streams_a_chunked_body() {
    let (origin, edge) = Edge::and_origin();
    let mut client = edge.connect();
    client.send(upgrade_request("a.test", ""));
    let mut at = origin.accept();
    at.head();
    at.send("HTTP/1.1 426 Upgrade Required\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
    let head = client.head();
    assert_eq!(head.status(), 426);
    at.send("0\r\n\r\n");
    assert_eq!(client.body(&head), b"abc");
}

#[test]
fn an_interim_answer_may_come_before_the_101() {
    let (origin, edge) = Edge::and_origin();
    let mut client = edge.connect();
    client.send(upgrade_request("a.test", ""));
    let mut at = origin.accept();
    let head = at.head();
    at.send("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n");
    at.send(switching(&head));
    let mut answer = client.head();
    if answer.status() == 103 {
        answer = client.head();
    }
    assert_eq!(answer.status(), 101);
    Tunnel { client, origin: at }.check();
}

#[test]
fn the_edges_own_headers_stand_on_upgrades_too() {
    let (origin, edge) = Edge::and_origin();
    let mut client = edge.connect();
    client.send(upgrade_request("a.test", "X-Forwarded-For: 8.8.8.8\r\nTE: trailers\r\n"));
    let request = origin.accept().head();
    assert_eq!(request.field("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(request.field("x-forwarded-proto"), Some("http"));
    assert_eq!(request.field("x-forwarded-host"), Some("a.test"));
    assert!(request.has("forwarded") && request.has("via"));
    assert!(!request.has("te"));
}

#[test]
fn switched_off_upgrade_is_stripped_and_the_request_goes_on_as_plain_http() {
    let origin = Origin::bind();
    let edge = Edge::with(DomainFile::to("a.test", &origin).websocket("enabled = false"));
    let mut client = edge.connect();
    client.send(upgrade_request("a.test", ""));
    let mut at = origin.accept();
    let request = at.head();
    assert_eq!(request.start, "GET /chat HTTP/1.1");
    for name in ["upgrade", "sec-websocket-key", "sec-websocket-version"] {
        assert!(!request.has(name), "{name} in {request:?}");
    }
    assert!(!request.lists("connection", "upgrade"));
    at.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\npage");
    assert_eq!(client.answer().1, b"page");
    // The connection is still HTTP.
    client.send("GET /next HTTP/1.1\r\nHost: a.test\r\n\r\n");
    assert_eq!(at.head().target(), "/next");
    at.send("HTTP/1.1 204 No Content\r\n\r\n");
    assert_eq!(client.answer().0.status(), 204);
}

#[test]
fn switched_off_a_101_is_nonsense() {
    let origin = Origin::bind();
    let edge = Edge::with(DomainFile::to("a.test", &origin).websocket("enabled = false"));
    let mut client = edge.connect();
    client.send(upgrade_request("a.test", ""));
    let mut at = origin.accept();
    at.head();
    at.send(format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {}\r\n\r\n",
        accept_value(KEY)
    ));
    assert_eq!(client.answer().0.status(), 502);
}

#[test]
fn the_origin_header_can_be_restricted_to_a_list() {
    let origin = Origin::bind();
    let edge =
        Edge::with(DomainFile::to("a.test", &origin).websocket(
            "allowed_origins = [\"https://app.example.com\", \"http://localhost:3000\"]",
        ));
    let rows = [
        ("Origin: https://app.example.com\r\n", true),
        ("Origin: HTTPS://APP.example.com\r\n", true),
        ("Origin: http://localhost:3000\r\n", true),
        ("Origin: http://app.example.com\r\n", false),
        ("Origin: https://app.example.com.evil.test\r\n", false),
        ("Origin: https://app.example.com:444\r\n", false),
        ("Origin: null\r\n", false),
        ("", false),
        ("Origin: https://evil.test\r\nOrigin: https://app.example.com\r\n", false),
    ];
    restricted(&edge, &origin, &rows);
}

#[test]
fn the_origin_header_can_be_restricted_to_the_same_host() {
    let origin = Origin::bind();
    let edge =
        Edge::with(DomainFile::to("a.test", &origin).websocket("allowed_origins = \"same-host\""));
    let rows = [
        ("Origin: http://a.test\r\n", true),
        ("Origin: http://A.TEST\r\n", true),
        ("Origin: http://b.test\r\n", false),
        ("Origin: http://a.test:8080\r\n", false),
        ("Origin: http://a.test.evil.test\r\n", false),
        ("Origin: null\r\n", false),
        ("", false),
    ];
    restricted(&edge, &origin, &rows);
}

fn restricted(edge: &Edge, origin: &Origin, rows: &[(&str, bool)]) {
    for &(header, allowed) in rows {
        if allowed {
            let mut tunnel = Tunnel::open_with(edge, origin, "a.test", header, "");
            tunnel.check();
            continue;
        }
        let mut client = edge.connect();
        client.send(upgrade_request("a.test", header));
        let (answer, body) = client.answer();
        let two = header.matches("Origin:").count() > 1;
        assert!(
            answer.status() == 403 || two && answer.status() == 400,
            "{header:?}: {}",
            answer.start
        );
        assert!(!body.is_empty(), "{header:?}: names its cause");
    }
    let allowed = rows.iter().filter(|(_, allowed)| *allowed).count();
    assert_eq!(origin.spoken(), allowed, "a refused request reached the origin");
}

#[test]
fn a_client_that_leaves_during_the_handshake_frees_everything() {
    let (origin, edge) = Edge::and_origin();
    let mut client = edge.connect();
    client.send(upgrade_request("a.test", ""));
    let mut at = origin.accept();
    let head = at.head();
    client.reset();
    at.try_send(switching(&head));
    let (seen, _) = at.rest();
    // A tunnel may have opened for a moment; then it ends in order, and says nothing but a Close.
    assert!(Frame::parse_all(&seen).iter().all(|f| f.op == Op::CLOSE), "{}", show(&seen));
    assert!(
        edge.conns().is_empty() || {
            crate::harness::eventually("no tunnel is left", || {
                edge.conns().is_empty().then_some(())
            });
            true
        }
    );
}

#[test]
fn an_origin_that_ends_instead_of_answering_is_502() {
    let (origin, edge) = Edge::and_origin();
    for reset in [false, true] {
        let mut client = edge.connect();
        client.send(upgrade_request("a.test", ""));
        let mut at = origin.accept();
        at.head();
        if reset {
            at.reset();
        } else {
            at.finish();
        }
        assert_eq!(client.answer().0.status(), 502);
        assert_eq!(client.ends(), End::Fin);
        assert!(origin.accept_within(std::time::Duration::ZERO).is_none(), "asked again");
    }
}
