//! What it costs to find a domain among 100,000. Not here: parsing the Host field.

#[allow(dead_code, reason = "the cases of all benches; this times some of them")]
#[path = "cases/mod.rs"]
mod cases;
#[path = "cases/timed.rs"]
mod timed;

use criterion::{Criterion, criterion_group, criterion_main};

fn hosts(c: &mut Criterion) {
    timed::measure(c, "hosts", cases::hosts::cases());
}

criterion_group!(benches, hosts);
criterion_main!(benches);
