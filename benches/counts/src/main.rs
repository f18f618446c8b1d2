//! Runs every case once for valgrind, and says in the same order what was run. With an argument
//! only the cases whose name has it. Not here: running valgrind, and judging the counts
//! (`tests/counts.rs`).

#[path = "../../cases/mod.rs"]
mod cases;

use std::hint::black_box;

use cases::Of;

fn main() {
    println!("cpu\t{}", cpu());
    let wanted = std::env::args().nth(1).unwrap_or_default();
    let counted = |case: &cases::Case| case.of == Of::Hawser && case.name.contains(&wanted);
    for case in cases::all().into_iter().filter(counted) {
        let mut work = (case.prepare)();
        // What is only done the first time, such as asking for memory, is not what a case is about.
        work();
        instructions_counted_in(&mut *work);
        println!("case\t{}\t{}\t{}", case.name, case.per, case.units);
    }
}

/// Valgrind counts from its begin to its end. What follows the call keeps the compiler from making
/// a jump of it, of which valgrind would not see the end.
#[inline(never)]
fn instructions_counted_in(work: &mut dyn FnMut()) {
    counts_written_behind(work);
    black_box(());
}

/// Valgrind writes a file of what it counted whenever this ends. Apart, because it does so only for
/// a function that was already being counted when it began.
#[inline(never)]
fn counts_written_behind(work: &mut dyn FnMut()) {
    work();
    black_box(());
}

/// What code that chooses at run time is told of the CPU, under valgrind by valgrind.
fn cpu() -> &'static str {
    #[cfg(target_arch = "x86_64")]
    {
        match (is_x86_feature_detected!("avx512f"), is_x86_feature_detected!("avx2")) {
            (true, _) => "avx512",
            (false, true) => "avx2",
            (false, false) => "sse2",
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    "any"
}
