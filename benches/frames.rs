//! What following a frame stream costs, for small messages and for bulk. Not here: moving it.

#[allow(dead_code, reason = "the cases of all benches; this times some of them")]
#[path = "cases/mod.rs"]
mod cases;
#[path = "cases/timed.rs"]
mod timed;

use criterion::{Criterion, criterion_group, criterion_main};

fn frames(c: &mut Criterion) {
    timed::measure(c, "frames", cases::frames::cases());
}

criterion_group!(benches, frames);
criterion_main!(benches);
