//! What a snapshot of many domains costs, at first and at a reload. Not here: reading their files.

#[allow(dead_code, reason = "the cases of all benches; this times some of them")]
#[path = "cases/mod.rs"]
mod cases;
#[path = "cases/timed.rs"]
mod timed;

use criterion::{Criterion, criterion_group, criterion_main};

fn snapshot(c: &mut Criterion) {
    timed::measure(c, "snapshot", cases::snapshot::cases());
}

criterion_group!(benches, snapshot);
criterion_main!(benches);
