//! What a timer costs, with a million tunnels on the wheel. Not here: what is done at a deadline.

#[allow(dead_code, reason = "the cases of all benches; this times some of them")]
#[path = "cases/mod.rs"]
mod cases;
#[path = "cases/timed.rs"]
mod timed;

use criterion::{Criterion, criterion_group, criterion_main};

fn wheel(c: &mut Criterion) {
    timed::measure(c, "wheel", cases::wheel::cases());
}

criterion_group!(benches, wheel);
criterion_main!(benches);
