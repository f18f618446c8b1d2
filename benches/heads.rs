//! What one head costs: finding its end, and parsing it. Not here: reading it from a socket.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use hawser::proto::h1::{AnswerTo, HeadScanner, Scheme, parse_request, parse_response};

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

fn heads(c: &mut Criterion) {
    let mut group = c.benchmark_group("head");
    group.throughput(Throughput::Bytes(UPGRADE.len() as u64));
    group.bench_function("find the end of an upgrade request", |b| {
        b.iter(|| {
            let end = HeadScanner::request().find(black_box(UPGRADE));
            assert_eq!(end, Ok(Some(UPGRADE.len())));
        });
    });
    group.bench_function("parse an upgrade request", |b| {
        b.iter(|| parse_request(black_box(UPGRADE), Scheme::Http).expect("is sound"));
    });
    group.throughput(Throughput::Bytes(SWITCHING.len() as u64));
    group.bench_function("parse a 101", |b| {
        b.iter(|| parse_response(black_box(SWITCHING), AnswerTo::WebSocket).expect("is sound"));
    });
    group.finish();
}

criterion_group!(benches, heads);
criterion_main!(benches);
