//! Heads as a browser and an origin send them. Not here: reading them from a socket, and the accept
//! value, whose SHA-1 is another one on each kind of CPU.

use std::hint::black_box;

use hawser::proto::h1::rewrite::{self, ForwardUpgrade, Peer, ToClient, ToOrigin};
use hawser::proto::h1::{
    AnswerTo, HeadScanner, Persistence, Scheme, Version, parse_request, parse_response,
};

use super::Case;

const UPGRADE: &[u8] = b"GET /live/quotes?symbols=ABC,DEF HTTP/1.1\r\n\
    Host: live.example.com\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n\
    Accept: */*\r\n\
    Accept-Language: en-US,en;q=0.5\r\n\
    Accept-Encoding: gzip, deflate, br\r\n\
    Origin: https://app.example.com\r\n\
    Cookie: session=0123456789abcdef0123456789abcdef; theme=dark; locale=en\r\n\
    Sec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Extensions: permessage-deflate\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Connection: keep-alive, Upgrade\r\n\
    Upgrade: websocket\r\n\
    \r\n";
const SWITCHING: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\n\
    Upgrade: websocket\r\n\
    Connection: Upgrade\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\
    \r\n";
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\n\
    Server: nginx\r\n\
    Date: Mon, 23 Nov 2026 10:32:00 GMT\r\n\
    Content-Type: application/json\r\n\
    Content-Length: 512\r\n\
    Connection: keep-alive\r\n\
    Cache-Control: no-store\r\n\
    ETag: \"0123456789abcdef\"\r\n\
    \r\n";

/// Heads in one run.
const HEADS: u64 = 100;

pub fn cases() -> Vec<Case> {
    let per_head = |name: &str, work: fn()| {
        Case::new(name, (HEADS, "head"), move || move || (0..HEADS).for_each(|_| work()))
    };
    vec![
        per_head("find the end of an upgrade request", || {
            let end = HeadScanner::request().find(black_box(UPGRADE));
            assert_eq!(end, Ok(Some(UPGRADE.len())));
        }),
        per_head("read each byte of it", || {
            black_box(black_box(UPGRADE).iter().fold(0, |seen: u8, byte| seen ^ byte));
        })
        .floor(),
        per_head("parse an upgrade request", || {
            black_box(parse_request(black_box(UPGRADE), Scheme::Http).expect("is sound"));
        }),
        written_for_the_origin(),
        per_head("parse a 101", || {
            let answer = parse_response(black_box(SWITCHING), AnswerTo::WebSocket);
            black_box(answer.expect("is sound"));
        }),
        per_head("parse an answer with a body", || {
            black_box(parse_response(black_box(ANSWER), AnswerTo::Other).expect("is sound"));
        }),
        written_for_the_client(),
    ]
}

fn written_for_the_origin() -> Case {
    Case::new("write an upgrade request for the origin", (HEADS, "head"), || {
        let head = parse_request(UPGRADE, Scheme::Http).expect("is sound");
        let mut out = Vec::with_capacity(4096);
        move || {
            let edge = ToOrigin {
                client: [192, 0, 2, 1].into(),
                scheme: Scheme::Http,
                peer: Peer::Untrusted,
                node: "edge",
                request_id: "0123456789abcdef0123456789abcdef",
                host: None,
                certificate: None,
                websocket: ForwardUpgrade::Yes,
            };
            for _ in 0..HEADS {
                out.clear();
                rewrite::write_request(&mut out, black_box(&head), &edge);
                black_box(&out);
            }
        }
    })
}

fn written_for_the_client() -> Case {
    Case::new("write an answer for the client", (HEADS, "head"), || {
        let head = parse_response(ANSWER, AnswerTo::Other).expect("is sound");
        let mut out = Vec::with_capacity(4096);
        move || {
            let client = ToClient {
                version: Version::Http11,
                persistence: Persistence::KeepAlive,
                to: AnswerTo::Other,
                node: "edge",
                request_id: "0123456789abcdef0123456789abcdef",
                date: None,
            };
            for _ in 0..HEADS {
                out.clear();
                rewrite::write_response(&mut out, black_box(&head), &client);
                black_box(&out);
            }
        }
    })
}
