//! Counts instructions of the pure parts (`benches/cases`) under valgrind and compares them with
//! `benches/counts/baseline.txt`: what a change made dearer is seen here, on any machine, however
//! busy. Accepted with `HAWSER_WRITE_COUNTS=1 cargo test --test counts`; benches/README.md has the
//! rest. Not here: the cases, and time.

#[path = "counts/baseline.rs"]
mod baseline;
#[path = "counts/run.rs"]
mod run;

use std::io::Write as _;
use std::path::PathBuf;

use baseline::{Counts, Judgement};

/// Asks to write the baseline instead of comparing with it.
const WRITE: &str = "HAWSER_WRITE_COUNTS";

#[test]
fn instruction_counts_are_those_of_the_baseline() {
    let (counted, program) = match run::count() {
        Ok(counted) => counted,
        Err(run::NoValgrind) => {
            say("COUNTS SKIPPED: there is no valgrind here; `apt-get install valgrind` has it");
            return;
        }
    };
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("benches/counts/baseline.txt");
    if std::env::var_os(WRITE).is_some_and(|value| value == "1") {
        std::fs::write(&file, counted.to_string()).expect("the baseline can be written");
        say(&counted.to_string());
        say(&format!("{} is written; the commit says why each count changed", file.display()));
        return;
    }
    let text = std::fs::read_to_string(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    let baseline: Counts = text.parse().unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    let judgement = baseline.judge(&counted);
    say(judgement.said());
    say(&format!("of {}", program.display()));
    assert!(!matches!(judgement, Judgement::Differs(_)), "{}", judgement.said());
}

/// Past the test runner, which keeps what a test prints until it fails.
fn say(text: &str) {
    let mut out = std::io::stderr().lock();
    for line in text.lines() {
        let _ = writeln!(out, "counts: {line}");
    }
}
