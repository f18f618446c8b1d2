//! Chunked request bodies that must not come to a sound end. The head may have crossed before the
//! fault is seen, so the verdict is: the origin never sees a whole body, nor anything behind it.

use crate::harness::{Edge, Origin, show};

use super::{SMUGGLED, client_verdict};

const HEAD: &str = "POST /first HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n";

fn rows() -> Vec<(&'static str, Vec<u8>)> {
    let long = format!("5;{}\r\nhello\r\n0\r\n\r\n", "x".repeat(400));
    let trailers = format!("0\r\nX: {}\r\n\r\n", "y".repeat(20_000));
    let many: String = (0..300).map(|i| format!("X-{i}: y\r\n")).collect();
    let row = |name, body: &str| (name, body.as_bytes().to_vec());
    vec![
        row("space behind the size", "5 \r\nhello\r\n0\r\n\r\n"),
        row("space before the size", " 5\r\nhello\r\n0\r\n\r\n"),
        row("tab behind the size", "5\t\r\nhello\r\n0\r\n\r\n"),
        row("plus", "+5\r\nhello\r\n0\r\n\r\n"),
        row("minus", "-5\r\nhello\r\n0\r\n\r\n"),
        row("minus zero", "-0\r\n\r\n"),
        row("prefix 0x", "0x5\r\nhello\r\n0\r\n\r\n"),
        row("no digit", "g\r\nhello\r\n0\r\n\r\n"),
        row("a digit and more", "5g\r\nhello\r\n0\r\n\r\n"),
        row("empty", "\r\nhello\r\n0\r\n\r\n"),
        row("only an extension", ";x\r\nhello\r\n0\r\n\r\n"),
        row("underscore", "1_0\r\nhello\r\n0\r\n\r\n"),
        row("64 bits and one", "10000000000000005\r\nhello\r\n0\r\n\r\n"),
        row("64 bits and zeros", "00000000000000005\r\nhello\r\n0\r\n\r\n"),
        row("64 bits", "FFFFFFFFFFFFFFFF0\r\nhello\r\n0\r\n\r\n"),
        row("size ends with LF", "5\nhello\r\n0\r\n\r\n"),
        row("size ends with CR", "5\rhello\r\n0\r\n\r\n"),
        row("size ends with CR CR LF", "5\r\r\nhello\r\n0\r\n\r\n"),
        row("LF in an extension", "5;a\nb\r\nhello\r\n0\r\n\r\n"),
        row("CR in an extension", "5;a\rb\r\nhello\r\n0\r\n\r\n"),
        row("NUL in an extension", "5;a\0\r\nhello\r\n0\r\n\r\n"),
        row("line end in a quoted extension", "5;a=\"\n\"\r\nhello\r\n0\r\n\r\n"),
        row("data longer than its size", "5\r\nhelloX\r\n0\r\n\r\n"),
        row("data ends with LF", "5\r\nhello\n0\r\n\r\n"),
        row("data ends with CR", "5\r\nhello\r0\r\n\r\n"),
        row("data ends with nothing", "5\r\nhello0\r\n\r\n"),
        row("last chunk ends with LF", "0\n\r\n"),
        row("the end is LF", "0\r\n\n"),
        row("trailer without colon", "0\r\nX\r\n\r\n"),
        row("trailer with space before the colon", "0\r\nX : y\r\n\r\n"),
        row("trailer folded", "0\r\nX: y\r\n z\r\n\r\n"),
        row("trailer with NUL", "0\r\nX: \0\r\n\r\n"),
        row("trailer ends with LF", "0\r\nX: y\n\r\n"),
        ("extension too long", long.into_bytes()),
        ("trailers too long", trailers.into_bytes()),
        ("too many trailers", format!("0\r\n{many}\r\n").into_bytes()),
    ]
}

/// Runs every row with the head and the body in one piece, or the body once the head has crossed.
fn never_whole(after_the_head: bool) {
    let mut wrong = Vec::new();
    let (records, seen) = std::sync::mpsc::channel();
    let (arrived, head_crossed) = std::sync::mpsc::channel();
    let origin = Origin::serving(move |mut wire| {
        let first = wire.try_head().map(|h| h.raw).unwrap_or_default();
        let _ = arrived.send(());
        let (rest, _) = wire.rest();
        let _ = records.send((first, rest));
    });
    let edge = Edge::to(&origin);
    for (name, body) in rows() {
        while head_crossed.try_recv().is_ok() {}
        let mut client = edge.connect();
        if after_the_head {
            client.send(HEAD);
            client.send("4\r\nsafe\r\n");
            head_crossed.recv_timeout(crate::harness::DEADLINE).expect("the head crosses");
            client.try_send(&body);
        } else {
            client.try_send([HEAD.as_bytes(), &body].concat());
        }
        client.try_send(SMUGGLED);
        if let Err(why) = client_verdict(&mut client, &[400, 431]) {
            wrong.push(format!("{name}: {why}"));
        }
        let record = if after_the_head {
            seen.recv_timeout(crate::harness::DEADLINE).ok()
        } else {
            seen.try_recv().ok()
        };
        if let Some((_, rest)) = record
            && (rest.ends_with(b"0\r\n\r\n") || contains(&rest, b"smuggled"))
        {
            wrong.push(format!("{name}: the origin saw {}", show(&rest)));
        }
    }
    let leaked = |(first, rest): &(Vec<u8>, Vec<u8>)| {
        contains(first, b"smuggled") || contains(rest, b"smuggled") || rest.ends_with(b"0\r\n\r\n")
    };
    drop(edge);
    origin.settle();
    for (first, rest) in seen.try_iter().filter(leaked) {
        wrong.push(format!("some row: the origin saw {} {}", show(&first), show(&rest)));
    }
    assert!(wrong.is_empty(), "{} rows are wrong:\n{}", wrong.len(), wrong.join("\n"));
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|w| w == part)
}

#[test]
fn in_one_piece_with_the_head() {
    never_whole(false);
}

#[test]
fn after_the_head_has_crossed() {
    never_whole(true);
}
