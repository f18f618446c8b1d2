//! Request smuggling and its relatives: each row says something that two parsers may read
//! differently. The verdict rests on both ends: the client got one refusal and the end of the
//! connection, and nothing at all crossed to the origin.

use crate::harness::{Edge, End, Origin, Wire, show};

mod answers;
mod chunks;
mod requests;

/// Stands for a sound Host line in the tables.
const HOST: &[u8] = b"<H>";
const HOST_LINE: &[u8] = b"Host: a.test";
/// A second request behind the first: what an attacker wants the origin to see.
const SMUGGLED: &[u8] = b"GET /smuggled HTTP/1.1\r\nHost: a.test\r\n\r\n";

/// One thing to say, and the codes with which it may be refused.
struct Row {
    name: &'static str,
    says: Vec<u8>,
    refused_with: &'static [u16],
}

fn row(name: &'static str, says: impl AsRef<[u8]>, refused_with: &'static [u16]) -> Row {
    Row { name, says: expand(says.as_ref()), refused_with }
}

fn bad(name: &'static str, says: impl AsRef<[u8]>) -> Row {
    row(name, says, &[400])
}

fn expand(says: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = says;
    while let Some(at) = rest.windows(HOST.len()).position(|w| w == HOST) {
        out.extend([&rest[..at], HOST_LINE].concat());
        rest = &rest[at + HOST.len()..];
    }
    out.extend(rest);
    out
}

/// What is wrong about what the client saw, if anything.
fn client_verdict(client: &mut Wire, refused_with: &[u16]) -> Result<(), String> {
    let (bytes, end) = client.rest();
    let text = show(&bytes);
    let Some(head_end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") else {
        return Err(format!("no answer ({end:?}): {text}"));
    };
    let head = crate::harness::Head::parse(&bytes[..head_end + 4]);
    let body = &bytes[head_end + 4..];
    let status = head.status();
    if !refused_with.contains(&status) {
        return Err(format!("answered {status}, not one of {refused_with:?}: {text}"));
    }
    if head.content_length() != Some(body.len()) {
        return Err(format!("more than one answer, or half of one: {text}"));
    }
    if !head.lists("connection", "close") {
        return Err(format!("the end is not announced: {text}"));
    }
    if body.is_empty() && head.method() != "HEAD" {
        return Err(format!("the refusal names no cause: {text}"));
    }
    if end != End::Fin {
        return Err(format!("ended by {end:?}"));
    }
    Ok(())
}

fn none_crosses(rows: Vec<Row>) {
    let (crossed, seen) = std::sync::mpsc::channel();
    let origin = Origin::serving(move |mut wire| {
        let first = wire.try_head().map(|head| head.raw).unwrap_or_default();
        let _ = crossed.send(first);
        wire.try_send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\nLEAK");
    });
    let mut edge = Edge::to(&origin);
    let mut wrong = Vec::new();
    for row in rows {
        let mut client = edge.connect();
        client.try_send(&row.says);
        client.try_send(SMUGGLED);
        if let Err(why) = client_verdict(&mut client, row.refused_with) {
            wrong.push(format!("{}: {why}", row.name));
        }
        if let Ok(bytes) = seen.try_recv() {
            wrong.push(format!("{}: crossed: {}", row.name, show(&bytes)));
        }
    }
    edge.kill();
    origin.settle();
    wrong.extend(seen.try_iter().map(|bytes| format!("some row crossed: {}", show(&bytes))));
    assert!(wrong.is_empty(), "{} rows are wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(origin.spoken(), 0, "bytes crossed");
}
