//! What masking costs beside a copy. Not here: whose payload is masked.

#[allow(dead_code, reason = "the cases of all benches; this times some of them")]
#[path = "cases/mod.rs"]
mod cases;
#[path = "cases/timed.rs"]
mod timed;

use criterion::{Criterion, criterion_group, criterion_main};

fn mask(c: &mut Criterion) {
    timed::measure(c, "mask", cases::mask::cases());
}

criterion_group!(benches, mask);
criterion_main!(benches);
