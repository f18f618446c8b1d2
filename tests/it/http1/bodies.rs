//! Bodies: framed, streamed, bounded, and absent where they must be.

use std::time::Duration;

use crate::harness::{DomainFile, Edge, End, Origin};

use super::{OK, get};

#[test]
fn a_sized_body_streams_both_ways() {
    let (origin, edge) = Edge::and_origin();
    let mut client = edge.connect();
    client.send("POST /up HTTP/1.1\r\nHost: a.test\r\nContent-Length: 10\r\n\r\nhello");
    let mut at = origin.accept();
    let request = at.head();
    assert_eq!(request.content_length(), Some(10));
    // The first half is there before the client has sent the second.
    at.expect("hello");
    client.send("world");
    at.expect("world");
    at.send("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf");
    let head = client.head();
    assert_eq!(head.content_length(), Some(8));
    client.expect("half");
    at.send("rest");
    client.expect("rest");
}

#[test]
fn a_chunked_body_streams_both_ways_with_its_trailers() {
    let (origin, edge) = Edge::and_origin();
    let mut client = edge.connect();
    client.send(
        "POST /up HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\
         Trailer: X-Sum\r\n\r\n5;ext=1\r\nhello\r\n",
    );
    let mut at = origin.accept();
    let request = at.head();
    assert!(request.lists("transfer-encoding", "chunked") && request.content_length().is_none());
    let first = at.until(b"hello\r\n");
    assert!(!first.windows(3).any(|w| w == b"ext"), "an extension crossed");
    client.send("00003\r\n...\r\n0\r\nX-Sum: 7\r\nContent-Length: 3\r\nHost: b\r\n\r\n");
    let (body, trailers) = at.chunked();
    assert_eq!(body, b"...");
    for name in ["content-length", "host", "transfer-encoding"] {
        assert!(!trailers.iter().any(|t| t.to_ascii_lowercase().starts_with(name)), "{trailers:?}");
    }
    at.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n4\r\nhalf\r\n");
    let head = client.head();
    assert!(head.lists("transfer-encoding", "chunked") && head.content_length().is_none());
    client.until(b"half\r\n");
    at.send("4\r\nrest\r\n0\r\nX-Sum: 8\r\n\r\n");
    let (body, _) = client.chunked();
    assert_eq!(body, b"rest");
    // The connection is whole.
    client.send(get("/next"));
    assert_eq!(at.head().target(), "/next");
}

#[test]
fn chunks_may_be_split_anywhere() {
    let (origin, edge) = Edge::and_origin();
    let body = "1\r\na\r\nA\r\n0123456789\r\n000\r\nX-T: y\r\n\r\n";
    let mut client = edge.connect();
    let mut at = None;
    for cut in 1..body.len() {
        client.send("POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n");
        client.send(&body[..cut]);
        let at = at.get_or_insert_with(|| origin.accept());
        let head = at.head();
        client.send(&body[cut..]);
        assert_eq!(at.body(&head), b"a0123456789", "cut at {cut}");
        at.send(OK);
        assert_eq!(client.answer().1, b"ok");
    }
}

#[test]
fn heads_may_be_split_anywhere() {
    let (origin, edge) = Edge::and_origin();
    let request = "POST /s HTTP/1.1\r\nHost: a.test\r\nContent-Length: 3\r\n\r\nabc";
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    let mut client = edge.connect();
    let mut at = None;
    for cut in 1..request.len() {
        client.send(&request[..cut]);
        client.send(&request[cut..]);
        let at = at.get_or_insert_with(|| origin.accept());
        let head = at.head();
        assert_eq!(at.body(&head), b"abc");
        let (one, two) = answer.split_at(cut.min(answer.len() - 1));
        at.send(one);
        at.send(two);
        assert_eq!(client.answer().1, b"ok");
    }
}

#[test]
fn large_bodies_arrive_unchanged() {
    let body: Vec<u8> =
        (0..3_000_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let origin = Origin::serving(|mut wire| {
        while let Ok(head) = wire.try_head() {
            let body = wire.body(&head);
            wire.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()));
            wire.send(body);
        }
    });
    let edge = Edge::to(&origin);
    let mut client = edge.connect();
    for chunked in [false, true] {
        if chunked {
            client.send("POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n");
            for chunk in body.chunks(70_001) {
                client.send([format!("{:x}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat());
            }
            client.send("0\r\n\r\n");
        } else {
            let n = body.len();
            client.send(format!("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: {n}\r\n\r\n"));
            client.send(&body);
        }
        let (_, back) = client.answer();
        assert!(back == body, "chunked {chunked}: {} of {} bytes", back.len(), body.len());
    }
}

#[test]
fn no_body_where_there_is_none() {
    let (origin, edge) = Edge::and_origin();
    let mut client = edge.connect();
    // RFC 9112 6.3 rule 1: HEAD, 204 and 304 end with the head, whatever their fields say.
    client.send("HEAD /h HTTP/1.1\r\nHost: a.test\r\n\r\n");
    let mut at = origin.accept();
    assert_eq!(at.head().method(), "HEAD");
    at.send("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
    let head = client.head();
    assert_eq!(head.content_length(), Some(1000));
    for (status, lines) in [
        ("304 Not Modified", "Content-Length: 1000\r\nETag: \"x\"\r\n"),
        ("304 Not Modified", "Transfer-Encoding: chunked\r\n"),
        ("204 No Content", ""),
    ] {
        client.send(get("/n"));
        at.head();
        at.send(format!("HTTP/1.1 {status}\r\n{lines}\r\n"));
        assert_eq!(client.head().start, format!("HTTP/1.1 {status}"), "{lines}");
    }
    client.send("HEAD /c HTTP/1.1\r\nHost: a.test\r\n\r\n");
    at.head();
    at.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    assert_eq!(client.head().status(), 200);
    client.send(get("/last"));
    assert_eq!(at.head().target(), "/last");
    at.send(OK);
    assert_eq!(client.answer().1, b"ok");
}

#[test]
fn a_body_behind_the_answer_to_head_is_never_taken_for_the_next_answer() {
    let (origin, edge) = Edge::and_origin();
    let mut client = edge.connect();
    client.send("HEAD /h HTTP/1.1\r\nHost: a.test\r\n\r\n");
    let mut at = origin.accept();
    at.head();
    let evil = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nEVIL";
    at.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{evil}", evil.len()));
    assert_eq!(client.head().status(), 200);
    client.send(get("/next"));
    let mut next = origin.accept();
    assert_eq!(next.head().target(), "/next");
    next.send(OK);
    assert_eq!(client.answer().1, b"ok");
}

#[test]
fn an_answer_without_a_length_ends_with_the_connection() {
    let (origin, edge) = Edge::and_origin();
    let mut client = edge.connect();
    client.send(get("/"));
    let mut at = origin.accept();
    at.head();
    at.send("HTTP/1.1 200 OK\r\n\r\nuntil the end");
    at.finish();
    let (head, body) = client.answer();
    assert_eq!((head.status(), &body[..]), (200, &b"until the end"[..]));
    // RFC 9112 6.3 rule 8 or, better, chunked by the edge: either way the end can be told.
    assert!(head.lists("transfer-encoding", "chunked") || head.lists("connection", "close"));
}

#[test]
fn interim_answers_pass() {
    let (origin, edge) = Edge::and_origin();
    let mut client = edge.connect();
    client.send(get("/"));
    let mut at = origin.accept();
    at.head();
    at.send("HTTP/1.1 103 Early Hints\r\nLink: </s.css>\r\n\r\n");
    let hints = client.head();
    assert_eq!((hints.status(), hints.field("link")), (103, Some("</s.css>")));
    at.send(OK);
    assert_eq!(client.answer().1, b"ok");
}

#[test]
fn expect_100_continue_waits_for_the_origin() {
    let (origin, edge) = Edge::and_origin();
    let mut client = edge.connect();
    client.send(
        "POST / HTTP/1.1\r\nHost: a.test\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n",
    );
    let mut at = origin.accept();
    let request = at.head();
    assert_eq!(request.field("expect"), Some("100-continue"));
    at.send("HTTP/1.1 100 Continue\r\n\r\n");
    assert_eq!(client.head().status(), 100);
    client.send("hello");
    at.expect("hello");
    at.send(OK);
    assert_eq!(client.answer().1, b"ok");
}

#[test]
fn expect_100_continue_may_be_answered_by_a_refusal() {
    let (origin, edge) = Edge::and_origin();
    let mut client = edge.connect();
    client.send(
        "POST / HTTP/1.1\r\nHost: a.test\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n",
    );
    let mut at = origin.accept();
    at.head();
    at.send("HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(client.answer().0.status(), 413);
    // The body was never sent; the connection can only end, or carry the body that still comes.
    client.try_send("hello");
    client.finish();
    let (said, _) = client.rest();
    assert!(said.is_empty(), "{}", crate::harness::show(&said));
}

#[test]
fn another_expectation_is_417() {
    let (origin, edge) = Edge::and_origin();
    let mut client = edge.connect();
    client.send("POST / HTTP/1.1\r\nHost: a.test\r\nExpect: tea\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(client.answer().0.status(), 417);
    assert_eq!(origin.spoken(), 0);
}

#[test]
fn an_answer_may_come_before_the_body_is_whole() {
    let (origin, edge) = Edge::and_origin();
    let mut client = edge.connect();
    client.send("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1000000\r\n\r\nstart");
    let mut at = origin.accept();
    at.head();
    at.expect("start");
    at.send("HTTP/1.1 403 No\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno");
    at.finish();
    let (answer, body) = client.answer();
    assert_eq!((answer.status(), &body[..]), (403, &b"no"[..]));
    // What the client still sends is not taken for a request.
    client.try_send(get("/smuggled"));
    client.finish();
    let (said, _) = client.rest();
    assert!(said.is_empty(), "{}", crate::harness::show(&said));
}

#[test]
fn a_body_beyond_max_body_is_413() {
    let origin = Origin::bind();
    let edge = Edge::with(DomainFile::to("a.test", &origin).set("http", "max_body = 10"));
    let mut client = edge.connect();
    client.send("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 11\r\n\r\n");
    assert_eq!(client.answer().0.status(), 413);
    assert_eq!(origin.spoken(), 0);
    let mut client = edge.connect();
    client.send(
        "POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n\
         8\r\n12345678\r\n8\r\n12345678\r\n0\r\n\r\n",
    );
    assert_eq!(client.answer().0.status(), 413);
    if let Some(mut at) = origin.accept_within(Duration::from_millis(500)) {
        let (seen, _) = at.rest();
        assert!(!seen.ends_with(b"0\r\n\r\n"), "a whole body crossed");
    }
    let mut client = edge.connect();
    client.send("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 10\r\n\r\n0123456789");
    let mut at = origin.accept();
    at.head();
    at.expect("0123456789");
}

#[test]
fn a_client_that_leaves_in_a_body_leaves_no_whole_request() {
    let (origin, edge) = Edge::and_origin();
    for chunked in [false, true] {
        let mut client = edge.connect();
        client.send(if chunked {
            "POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"
        } else {
            "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 6\r\n\r\nabc"
        });
        let mut at = origin.accept();
        at.head();
        at.until(b"abc");
        client.reset();
        let (seen, end) = at.rest();
        assert!(!seen.ends_with(b"0\r\n\r\n"), "{chunked}: {seen:?}");
        assert!(matches!(end, End::Fin | End::Reset));
    }
}

#[test]
fn a_slow_reader_stops_the_origin() {
    let (origin, edge) = Edge::and_origin();
    let mut client = crate::harness::Wire::connect_small(edge.addr(), 4096);
    client.send(get("/big"));
    let mut at = origin.accept();
    at.head();
    let total = 64 << 20;
    at.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {total}\r\n\r\n"));
    // Nobody reads: the origin can push no more than socket buffers and the edge's few own ones.
    at.socket().set_write_timeout(Some(Duration::from_millis(500))).expect("a time-out");
    let block = vec![b'x'; 65_536];
    let mut pushed = 0;
    while let Ok(n) = std::io::Write::write(&mut at.socket(), &block) {
        pushed += n;
        assert!(
            pushed < 32 << 20,
            "the edge swallows {pushed} bytes for a client that never reads"
        );
    }
    at.socket().set_write_timeout(Some(crate::harness::DEADLINE)).expect("a time-out");
    let mut rest = at.also();
    let push = std::thread::spawn(move || rest.send(vec![b'x'; total - pushed]));
    let (_, body) = client.answer();
    push.join().expect("the rest goes through");
    assert_eq!(body.len(), total);
    assert!(body.iter().all(|&b| b == b'x'));
}
