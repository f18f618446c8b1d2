//! Cases against the clock, with criterion. Not here: the cases.

use criterion::{Criterion, Throughput};

use crate::cases::{Case, Of};

/// Times each case; floors carry their name.
pub fn measure(c: &mut Criterion, group: &str, cases: Vec<Case>) {
    let mut group = c.benchmark_group(group);
    for case in cases {
        let name = match case.of {
            Of::Hawser => case.name,
            Of::Floor => format!("(floor) {}", case.name),
        };
        group.throughput(Throughput::Elements(case.units));
        group.bench_function(name, |b| {
            let mut work = (case.prepare)();
            b.iter(&mut work);
        });
    }
    group.finish();
}
