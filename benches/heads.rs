//! What one head costs: finding its end, parsing it, writing what the other side gets. Not here:
//! reading it from a socket.

#[allow(dead_code, reason = "the cases of all benches; this times some of them")]
#[path = "cases/mod.rs"]
mod cases;
#[path = "cases/timed.rs"]
mod timed;

use criterion::{Criterion, criterion_group, criterion_main};

fn heads(c: &mut Criterion) {
    timed::measure(c, "head", cases::heads::cases());
}

criterion_group!(benches, heads);
criterion_main!(benches);
