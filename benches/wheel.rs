//! What a timer costs: a deadline that moves, and a visit. Not here: what is done at a deadline.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use hawser::worker::wheel::Wheel;

const TUNNELS: u32 = 100_000;
/// A heartbeat of 60 s in ticks of 100 ms.
const HEARTBEAT: u32 = 600;

fn armed() -> Wheel {
    let mut wheel = Wheel::new(TUNNELS, 0);
    for key in 0..TUNNELS {
        wheel.arm(key, 1 + key % HEARTBEAT);
    }
    wheel
}

fn wheel(c: &mut Criterion) {
    let mut group = c.benchmark_group("wheel");
    group.throughput(Throughput::Elements(1));
    group.bench_function("move a deadline on", |b| {
        let mut wheel = armed();
        let mut key = 0;
        b.iter(|| {
            key = (key + 7919) % TUNNELS;
            wheel.arm(black_box(key), HEARTBEAT);
        });
    });
    group.throughput(Throughput::Elements(u64::from(TUNNELS)));
    group.bench_function("100,000 tunnels, one heartbeat", |b| {
        b.iter_batched_ref(
            armed,
            |wheel| {
                let mut due = Vec::new();
                for tick in 1..=HEARTBEAT {
                    wheel.advance(tick, &mut due);
                    for key in due.drain(..) {
                        wheel.arm(key, tick + HEARTBEAT);
                    }
                }
            },
            BatchSize::LargeInput,
        );
    });
    group.finish();
}

criterion_group!(benches, wheel);
criterion_main!(benches);
