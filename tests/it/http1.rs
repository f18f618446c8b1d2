//! HTTP/1.1 as clients and origins see it (RFC 9110, 9112).

use crate::harness::{DomainFile, Edge, End, Origin, Wire};

mod bodies;
mod connections;
mod headers;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: a.test\r\n\r\n")
}

#[test]
fn a_request_reaches_its_origin_and_is_answered() {
    let (origin, edge) = Edge::and_origin();
    let mut client = edge.connect();
    client.send(get("/x?y=%20z"));
    let mut at = origin.accept();
    let request = at.head();
    assert_eq!(request.start, "GET /x?y=%20z HTTP/1.1");
    assert_eq!(request.field("host"), Some("a.test"));
    at.send("HTTP/1.1 200 Fine\r\nContent-Length: 2\r\nX-App: a, b\r\n\r\nhi");
    let (answer, body) = client.answer();
    assert_eq!((answer.start.as_str(), &body[..]), ("HTTP/1.1 200 Fine", &b"hi"[..]));
    assert_eq!(answer.field("x-app"), Some("a, b"));
}

#[test]
fn every_method_but_the_dangerous_ones_passes() {
    let (origin, edge) = Edge::and_origin();
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "x-own"] {
        let mut client = edge.connect();
        client.send(format!("{method} /m HTTP/1.1\r\nHost: a.test\r\nContent-Length: 0\r\n\r\n"));
        let mut at = origin.accept();
        assert_eq!(at.head().method(), method);
        at.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
        at.finish();
        assert_eq!(client.answer().0.status(), 200, "{method}");
    }
}

#[test]
fn absolute_form_is_forwarded_in_origin_form() {
    let (origin, edge) = Edge::and_origin();
    let mut client = edge.connect();
    client.send("GET http://A.test/x?y HTTP/1.1\r\nHost: a.test\r\n\r\n");
    let mut at = origin.accept();
    let request = at.head();
    assert_eq!((request.target(), request.field("host")), ("/x?y", Some("a.test")));
    at.send(OK);
    assert_eq!(client.answer().1, b"ok");
    client.send("OPTIONS * HTTP/1.1\r\nHost: a.test\r\n\r\n");
    assert_eq!(at.head().target(), "*");
}

#[test]
fn the_path_is_forwarded_byte_by_byte() {
    let (origin, edge) = Edge::and_origin();
    let mut client = edge.connect();
    let mut at: Option<Wire> = None;
    for target in ["/a/../b", "//a", "/%2e%2E/%2f", "/a;b=c", "/?", "/A%00", "/a//b/./"] {
        client.send(get(target));
        let at = at.get_or_insert_with(|| origin.accept());
        assert_eq!(at.head().target(), target);
        at.send(OK);
        assert_eq!(client.answer().1, b"ok");
    }
}

#[test]
fn hosts_are_matched_by_name_wildcard_and_spelling() {
    let (exact, wild) = (Origin::answering("exact"), Origin::answering("wild"));
    let edge = Edge::builder()
        .domain(DomainFile::to("a.test", &exact))
        .domain(DomainFile::to("*.a.test", &wild))
        .start();
    let rows: [(&str, Option<&str>); 9] = [
        ("a.test", Some("exact")),
        ("A.TEST", Some("exact")),
        ("a.test.", Some("exact")),
        ("a.test:8080", Some("exact")),
        ("x.a.test", Some("wild")),
        ("X.a.Test:1", Some("wild")),
        ("x.y.a.test", None),
        ("b.test", None),
        ("127.0.0.1", None),
    ];
    for (host, want) in rows {
        let mut client = edge.connect();
        client.send(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        let (answer, body) = client.answer();
        match want {
            Some(text) => assert_eq!(body, text.as_bytes(), "{host}"),
            None => assert!(matches!(answer.status(), 404 | 421), "{host}: {}", answer.start),
        }
    }
}

#[test]
fn every_address_is_listened_on_ipv4_and_ipv6() {
    let origin = Origin::answering("here");
    let edge = Edge::builder()
        .listen(&["127.0.0.1:0", "[::1]:0", "127.0.0.2:0"])
        .workers(2)
        .domain(DomainFile::to("a.test", &origin))
        .start();
    assert_eq!(edge.listen.len(), 3, "{:?}", edge.listen);
    for &addr in &edge.listen {
        let mut client = Wire::connect(addr);
        client.send(get("/"));
        assert_eq!(client.answer().1, b"here", "{addr}");
    }
}

#[test]
fn refused_by_every_address_is_502_with_its_cause() {
    let origin = Origin::bind();
    origin.close();
    let edge = Edge::to(&origin);
    let mut client = edge.connect();
    client.send(get("/"));
    let (answer, body) = client.answer();
    assert!(matches!(answer.status(), 502 | 503), "{}", answer.start);
    assert_eq!(body.iter().filter(|&&b| b == b'\n').count(), 1, "a one-line body: {body:?}");
}

#[test]
fn an_origin_that_never_answers_is_504() {
    let origin = Origin::bind();
    let edge =
        Edge::with(DomainFile::to("a.test", &origin).set("http", "response_timeout = \"1s\""));
    let mut client = edge.connect();
    client.send(get("/"));
    let mut at = origin.accept();
    at.head();
    assert_eq!(client.answer().0.status(), 504);
    assert_eq!(at.ends(), End::Fin);
}
