//! Connections: kept, pooled, retried, pipelined, and ended.

use std::time::Duration;

use crate::harness::{DomainFile, Edge, End, Origin, eventually, show};

use super::{OK, get};

#[test]
fn one_connection_carries_many_requests_on_both_sides() {
    let (origin, edge) = Edge::and_origin();
    let mut client = edge.connect();
    let mut at = None;
    for i in 0..20 {
        client.send(get(&format!("/{i}")));
        let at = at.get_or_insert_with(|| origin.accept());
        assert_eq!(at.head().target(), format!("/{i}"));
        at.send(OK);
        assert_eq!(client.answer().1, b"ok");
    }
    assert_eq!(origin.spoken(), 1, "the origin connection is reused");
}

#[test]
fn an_idle_origin_connection_serves_another_client() {
    let (origin, edge) = Edge::and_origin();
    let mut at = None;
    for i in 0..3 {
        let mut client = edge.connect();
        client.send(get(&format!("/{i}")));
        let at = at.get_or_insert_with(|| origin.accept());
        assert_eq!(at.head().target(), format!("/{i}"));
        at.send(OK);
        assert_eq!(client.answer().1, b"ok");
    }
    assert_eq!(origin.spoken(), 1);
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let origin = Origin::serving(|mut wire| {
        while let Ok(head) = wire.try_head() {
            let body = [head.target().as_bytes(), &wire.body(&head)].concat();
            wire.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()));
            wire.send(body);
        }
    });
    let edge = Edge::to(&origin);
    let mut client = edge.connect();
    let mut all = String::new();
    for i in 0..50 {
        all += &get(&format!("/g{i}"));
        all += &format!("POST /p{i} HTTP/1.1\r\nHost: a.test\r\nContent-Length: 2\r\n\r\n!\n");
    }
    client.send(all);
    for i in 0..50 {
        assert_eq!(client.answer().1, format!("/g{i}").as_bytes());
        assert_eq!(client.answer().1, format!("/p{i}!\n").as_bytes());
    }
}

#[test]
fn a_close_asked_for_by_the_client_is_kept() {
    let (origin, edge) = Edge::and_origin();
    let mut client = edge.connect();
    client.send("GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n");
    let mut at = origin.accept();
    at.head();
    at.send(OK);
    let (answer, body) = client.answer();
    assert!(answer.lists("connection", "close"), "{answer:?}");
    assert_eq!(body, b"ok");
    assert_eq!(client.ends(), End::Fin);
}

#[test]
fn http_1_0_clients_are_served() {
    let (origin, edge) = Edge::and_origin();
    // Without keep-alive the connection ends, and a chunked answer is unwrapped (RFC 9112 7.1).
    let mut client = edge.connect();
    client.send("GET /old HTTP/1.0\r\nHost: a.test\r\n\r\n");
    let mut at = origin.accept();
    let request = at.head();
    assert_eq!(request.start, "GET /old HTTP/1.1");
    at.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
    let head = client.head();
    assert!(!head.has("transfer-encoding"), "{head:?}");
    assert_eq!(client.rest().0, b"abc");
    // With keep-alive it stays.
    let mut client = edge.connect();
    for _ in 0..2 {
        client.send("GET /old HTTP/1.0\r\nHost: a.test\r\nConnection: keep-alive\r\n\r\n");
        assert_eq!(at.head().target(), "/old");
        at.send(OK);
        let (head, body) = client.answer();
        assert_eq!(body, b"ok");
        assert!(head.lists("connection", "keep-alive") || head.lists("connection", "close"));
        if head.lists("connection", "close") {
            assert_eq!(client.ends(), End::Fin);
            client = edge.connect();
        }
    }
}

#[test]
fn http_1_0_origins_are_understood() {
    let (origin, edge) = Edge::and_origin();
    let mut client = edge.connect();
    client.send(get("/"));
    let mut at = origin.accept();
    at.head();
    at.send("HTTP/1.0 200 OK\r\n\r\nold");
    at.finish();
    let (head, body) = client.answer();
    assert_eq!((head.start.as_str(), &body[..]), ("HTTP/1.1 200 OK", &b"old"[..]));
}

#[test]
fn a_stale_pooled_connection_is_retried_for_idempotent_requests() {
    let (origin, edge) = Edge::and_origin();
    for method in ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"] {
        let mut client = edge.connect();
        client.send(get("/warm"));
        let mut at = origin.accept();
        at.head();
        at.send(OK);
        client.answer();
        // The origin takes the next request and ends without a word, as one does whose idle
        // time-out and the request crossed.
        client
            .send(format!("{method} /again HTTP/1.1\r\nHost: a.test\r\nContent-Length: 0\r\n\r\n"));
        assert_eq!(at.head().target(), "/again", "{method}");
        at.reset();
        let mut fresh = origin.accept();
        assert_eq!(fresh.head().method(), method);
        fresh.send("HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");
        assert_eq!(client.head().status(), 204, "{method}");
    }
}

#[test]
fn a_stale_pooled_connection_is_not_retried_for_others() {
    let (origin, edge) = Edge::and_origin();
    let mut client = edge.connect();
    client.send(get("/warm"));
    let mut at = origin.accept();
    at.head();
    at.send(OK);
    client.answer();
    client.send("POST /once HTTP/1.1\r\nHost: a.test\r\nContent-Length: 2\r\n\r\nhi");
    // Either over the pooled connection, whose end is then a 502, or over a fresh one.
    assert_eq!(at.try_head().map(|h| h.method().to_owned()), Ok("POST".into()));
    at.reset();
    assert_eq!(client.answer().0.status(), 502);
    assert_eq!(origin.spoken(), 1, "a POST was sent twice");
}

#[test]
fn a_pooled_connection_that_the_origin_closed_while_idle_is_not_used() {
    let (origin, edge) = Edge::and_origin();
    let mut client = edge.connect();
    client.send(get("/warm"));
    let mut at = origin.accept();
    at.head();
    at.send(OK);
    client.answer();
    at.finish();
    // The edge sees the end and closes its own side.
    assert_eq!(at.ends(), End::Fin);
    client.send("POST /once HTTP/1.1\r\nHost: a.test\r\nContent-Length: 2\r\n\r\nhi");
    let mut fresh = origin.accept();
    assert_eq!(fresh.head().method(), "POST");
    fresh.expect("hi");
    fresh.send(OK);
    assert_eq!(client.answer().1, b"ok");
}

#[test]
fn an_origin_connection_with_bytes_that_nobody_asked_for_is_never_reused() {
    let (origin, edge) = Edge::and_origin();
    let mut client = edge.connect();
    client.send(get("/one"));
    let mut at = origin.accept();
    at.head();
    at.send(format!("{OK}HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nEVIL"));
    assert_eq!(client.answer().1, b"ok");
    assert!(matches!(at.rest(), (said, _) if said.is_empty()));
    client.send(get("/two"));
    let mut fresh = origin.accept();
    assert_eq!(fresh.head().target(), "/two");
    fresh.send(OK);
    assert_eq!(client.answer().1, b"ok");
}

#[test]
fn bytes_that_come_while_idle_end_the_pooled_connection() {
    let (origin, edge) = Edge::and_origin();
    let mut client = edge.connect();
    client.send(get("/one"));
    let mut at = origin.accept();
    at.head();
    at.send(OK);
    assert_eq!(client.answer().1, b"ok");
    at.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nEVIL");
    client.send(get("/two"));
    // Whichever the edge saw first: the poisoned bytes answer nothing.
    if let Ok(head) = at.try_head() {
        assert_eq!(head.target(), "/two");
        let (answer, body) = client.answer();
        assert_ne!(body, b"EVIL", "{answer:?}");
        return;
    }
    let mut fresh = origin.accept();
    assert_eq!(fresh.head().target(), "/two");
    fresh.send(OK);
    assert_eq!(client.answer().1, b"ok");
}

#[test]
fn the_end_of_a_keep_alive_connection_is_orderly() {
    let origin = Origin::answering("x");
    let edge = Edge::builder()
        .table("[timeouts]\nkeepalive = \"1s\"")
        .domain(DomainFile::to("a.test", &origin))
        .start();
    let mut client = edge.connect();
    client.send(get("/"));
    client.answer();
    assert_eq!(client.ends(), End::Fin, "idle between two requests");
    let mut half_closed = edge.connect();
    half_closed.send(get("/"));
    half_closed.finish();
    assert_eq!(half_closed.answer().1, b"x", "a client may half-close behind its request");
    assert_eq!(half_closed.ends(), End::Fin);
}

#[test]
fn an_error_of_one_request_ends_the_connection_behind_the_earlier_answers() {
    let origin = Origin::answering("fine");
    let edge = Edge::to(&origin);
    let mut client = edge.connect();
    client.send(format!("{}GET /b ad HTTP/1.1\r\nHost: a.test\r\n\r\n{}", get("/a"), get("/c")));
    assert_eq!(client.answer().1, b"fine");
    let (answer, _) = client.answer();
    assert_eq!(answer.status(), 400);
    assert_eq!(client.ends(), End::Fin);
}

#[test]
fn empty_lines_before_a_request_are_skipped() {
    let origin = Origin::answering("fine");
    let edge = Edge::to(&origin);
    let mut client = edge.connect();
    client.send(format!("\r\n{}\r\n{}", get("/a"), get("/b")));
    assert_eq!(client.answer().1, b"fine");
    assert_eq!(client.answer().1, b"fine");
}

#[test]
fn connections_that_say_nothing_cost_nobody_anything() {
    let origin = Origin::answering("fine");
    let edge = Edge::to(&origin);
    for _ in 0..20 {
        drop(edge.connect());
        edge.connect().reset();
    }
    let mut client = edge.connect();
    client.send(get("/"));
    assert_eq!(client.answer().1, b"fine");
    eventually("set-ups are over", || {
        (edge.metrics().sum("hawser_setups", &[]) <= 1.0).then_some(())
    });
}

#[test]
fn a_client_that_ends_while_the_origin_works_frees_the_origin() {
    let (origin, edge) = Edge::and_origin();
    let mut client = edge.connect();
    client.send(get("/slow"));
    let mut at = origin.accept();
    at.head();
    client.reset();
    let (said, _) = at.rest();
    assert!(said.is_empty(), "{}", show(&said));
    assert!(origin.accept_within(Duration::ZERO).is_none());
}
