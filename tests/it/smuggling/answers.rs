//! Answers of an origin that break RFC 9112: the client gets a 502 of the edge's own and nothing of
//! what the origin said; where the answer was already under way, the client can tell that it is
//! cut.

use crate::harness::{Edge, End, show};

fn nonsense() -> Vec<(&'static str, Vec<u8>)> {
    let row = |name, text: &str| (name, text.as_bytes().to_vec());
    let ok = |name, lines: &str| {
        (name, format!("HTTP/1.1 200 OK\r\n{lines}\r\n\r\nLEAKLEAK").into_bytes())
    };
    let many: String = (0..200).map(|i| format!("X-{i}: y\r\n")).collect();
    let interim = "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(20);
    vec![
        ok("length and coding", "Content-Length: 8\r\nTransfer-Encoding: chunked"),
        ok("coding and length", "Transfer-Encoding: chunked\r\nContent-Length: 8"),
        ok("length twice", "Content-Length: 8\r\nContent-Length: 4"),
        ok("length twice the same", "Content-Length: 8\r\nContent-Length: 8"),
        ok("length list", "Content-Length: 4, 8"),
        ok("length with a sign", "Content-Length: +8"),
        ok("length empty", "Content-Length:"),
        ok("length with a letter", "Content-Length: 8x"),
        ok("length beyond 64 bits", "Content-Length: 18446744073709551616"),
        ok("coding gzip", "Transfer-Encoding: gzip"),
        ok("coding gzip, chunked", "Transfer-Encoding: gzip, chunked"),
        ok("coding twice", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"),
        ok("obs-fold", "X: LEAK\r\n b"),
        ok("bare LF", "X: LEAK\nContent-Length: 8"),
        ok("bare CR", "X: LEAK\rContent-Length: 8"),
        ok("NUL", "X: LEAK\0\r\nContent-Length: 8"),
        ok("control byte", "X: LEAK\x01\r\nContent-Length: 8"),
        ok("no colon", "LEAK\r\nContent-Length: 8"),
        ok("space before the colon", "LEAK : x\r\nContent-Length: 8"),
        ok("empty name", ": LEAK\r\nContent-Length: 8"),
        ok("space in a name", "LE AK: x\r\nContent-Length: 8"),
        ok("too many headers", &format!("{many}Content-Length: 8")),
        ok("a header too long", &format!("X: {}\r\nContent-Length: 8", "y".repeat(20_000))),
        row("coding in 1.0", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nLEAK\r\n"),
        row("status of two digits", "HTTP/1.1 20 LEAK\r\nContent-Length: 0\r\n\r\n"),
        row("status of four digits", "HTTP/1.1 2000 LEAK\r\nContent-Length: 0\r\n\r\n"),
        row("status below 100", "HTTP/1.1 099 LEAK\r\nContent-Length: 0\r\n\r\n"),
        row("no status", "HTTP/1.1 LEAK\r\nContent-Length: 0\r\n\r\n"),
        row("two spaces", "HTTP/1.1  200 LEAK\r\nContent-Length: 0\r\n\r\n"),
        row("another version", "HTTP/2.0 200 LEAK\r\nContent-Length: 0\r\n\r\n"),
        row("another protocol", "ICY 200 LEAK\r\nContent-Length: 0\r\n\r\n"),
        row("a request", "GET /LEAK HTTP/1.1\r\nHost: x\r\n\r\n"),
        row("no HTTP", "LEAK\r\n\r\n"),
        row("the status line ends with LF", "HTTP/1.1 200 LEAK\nContent-Length: 0\r\n\r\n"),
        row(
            "a 101 that nobody asked for",
            "HTTP/1.1 101 LEAK\r\nUpgrade: websocket\r\n\
             Connection: Upgrade\r\n\r\n",
        ),
        row("a bare 101", "HTTP/1.1 101 LEAK\r\n\r\n"),
        row("half a head", "HTTP/1.1 200 OK\r\nX: LEAK\r\n"),
        row(
            "an empty line first",
            "\r\n\r\n\r\n\r\nHTTP/1.1 200 LEAK\r\nContent-Length: 0\r\n\r\n",
        ),
        row("nothing", ""),
        ("interim answers without an end", interim.into_bytes()),
    ]
}

#[test]
fn nonsense_is_answered_by_502_and_nothing_of_it_reaches_the_client() {
    let (origin, edge) = Edge::and_origin();
    let mut wrong = Vec::new();
    for (name, answer) in nonsense() {
        let mut client = edge.connect();
        client.send("POST /a HTTP/1.1\r\nHost: a.test\r\nContent-Length: 0\r\n\r\n");
        let mut at = origin.accept();
        at.head();
        at.try_send(&answer);
        at.finish();
        client.finish();
        let (said, end) = client.rest();
        let text = String::from_utf8_lossy(&said);
        // Interim answers are sound one by one, so those within the bound may have passed.
        let text = text.trim_start_matches("HTTP/1.1 103 Early Hints\r\n\r\n");
        if !text.starts_with("HTTP/1.1 502 ") || text.contains("LEAK") || end != End::Fin {
            wrong.push(format!("{name}: {end:?} {}", show(&said)));
        }
    }
    assert!(wrong.is_empty(), "{} rows are wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn a_body_that_breaks_is_cut_so_that_the_client_can_tell() {
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nsafe\r\n";
    let sized = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nsafe";
    let rows = [
        ("space behind the size", chunked, "5 \r\nhello\r\n0\r\n\r\n"),
        ("prefix 0x", chunked, "0x5\r\nhello\r\n0\r\n\r\n"),
        ("size ends with LF", chunked, "5\nhello\r\n0\r\n\r\n"),
        ("data longer than its size", chunked, "5\r\nhelloX\r\n0\r\n\r\n"),
        ("overflow", chunked, "10000000000000005\r\nhello\r\n0\r\n\r\n"),
        ("bad trailer", chunked, "0\r\nX\r\n\r\n"),
        ("the origin ends in a chunk", chunked, "5\r\nhe"),
        ("the origin ends between chunks", chunked, ""),
        ("the origin ends before its length", sized, ""),
    ];
    let (origin, edge) = Edge::and_origin();
    for (name, head, rest) in rows {
        let mut client = edge.connect();
        client.send("GET /a HTTP/1.1\r\nHost: a.test\r\n\r\n");
        let mut at = origin.accept();
        at.head();
        at.send(head);
        let answer = client.head();
        assert_eq!(answer.status(), 200, "{name}");
        at.try_send(rest);
        at.finish();
        let (said, _) = client.rest();
        assert!(!said.ends_with(b"0\r\n\r\n"), "{name}: looks whole: {}", show(&said));
        assert!(said.len() < 100, "{name}: looks whole: {}", show(&said));
        assert!(!said.windows(5).any(|w| w == b"HTTP/"), "{name}: {}", show(&said));
    }
}
