//! What following a frame stream costs, for small messages and for bulk. Not here: moving it.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use hawser::proto::ws::{Rules, Scanner, Stop};

const RULES: Rules = Rules {
    masked: true,
    reserved_allowed: 0,
    strict: true,
    max_frame: u64::MAX >> 1,
    max_message: u64::MAX >> 1,
    each_message: false,
};

/// `count` masked binary messages of `length` bytes.
fn messages(count: usize, length: usize) -> Vec<u8> {
    let mut stream = Vec::new();
    for _ in 0..count {
        stream.push(0x82);
        match length {
            0..=125 => stream.push(0x80 | length as u8),
            126..=0xffff => {
                stream.push(0x80 | 126);
                stream.extend_from_slice(&(length as u16).to_be_bytes());
            }
            _ => {
                stream.push(0x80 | 127);
                stream.extend_from_slice(&(length as u64).to_be_bytes());
            }
        }
        stream.extend_from_slice(&[1, 2, 3, 4]);
        stream.resize(stream.len() + length, 0x55);
    }
    stream
}

fn frames(c: &mut Criterion) {
    let mut group = c.benchmark_group("frames");
    for (name, count, length) in [
        ("one message of 64 bytes", 1, 64),
        ("32 messages of 64 bytes in one piece", 32, 64),
        ("one message of 1 MiB in one piece", 1, 1 << 20),
    ] {
        let stream = messages(count, length);
        group.throughput(Throughput::Elements(count as u64));
        group.bench_function(name, |b| {
            b.iter(|| {
                let advance = Scanner::default().advance(black_box(&stream), &RULES, true);
                assert_eq!((advance.messages, advance.stop), (count as u32, Stop::End));
            });
        });
    }
    group.finish();
}

criterion_group!(benches, frames);
criterion_main!(benches);
