//! Counts as they are written down, and what is said of two of them. Not here: how they are made.

use std::fmt::{self, Write as _};
use std::str::FromStr;

/// Per cent by which a count may differ from its baseline, either way.
const LET_THROUGH: f64 = 5.0;

const HEAD: &str = "\
# Instructions of each case of benches/cases, from one run under valgrind. Compared with and written
# by `cargo test --test counts`; what to do when it differs stands in benches/README.md.
";
const ACCEPT: &str = "\
A count that has changed, be it for the better, is accepted with the baseline of
    HAWSER_WRITE_COUNTS=1 cargo test --test counts
in the same commit, whose message says why it changed (benches/README.md).
";

#[derive(Debug, Clone, PartialEq)]
pub struct Counts {
    pub made: Made,
    pub counts: Vec<Count>,
}

/// What counts depend on beside the code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    pub rustc: String,
    pub target: String,
    pub cpu: String,
    pub libc: String,
    pub valgrind: String,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Count {
    pub name: String,
    /// A unit of its work, one word.
    pub per: String,
    /// Instructions for one unit.
    pub each: f64,
}

/// What is to be said of a run.
#[derive(Debug, PartialEq)]
pub enum Judgement {
    Same(String),
    Differs(String),
    /// Another compiler, target or CPU: another's counts.
    NotCompared(String),
}

impl Judgement {
    pub fn said(&self) -> &str {
        let (Judgement::Same(said) | Judgement::Differs(said) | Judgement::NotCompared(said)) =
            self;
        said
    }
}

impl Counts {
    /// What is to be said of `now`, this being the baseline.
    pub fn judge(&self, now: &Counts) -> Judgement {
        let (was, is) = (&self.made, &now.made);
        let compiler =
            |made: &Made| format!("rustc {} for {} ({})", made.rustc, made.target, made.cpu);
        if compiler(was) != compiler(is) {
            return Judgement::NotCompared(format!(
                "NOT COMPARED: the baseline is of {}, this is {}. Whoever moves the compiler of \
                 the tests on writes the baseline anew in the same commit:\n    \
                 HAWSER_WRITE_COUNTS=1 cargo test --test counts\n{}",
                compiler(was),
                compiler(is),
                self.table(now),
            ));
        }
        let mut said = self.differences(now);
        if said.is_empty() {
            return Judgement::Same(self.table(now));
        }
        if (&was.libc, &was.valgrind) != (&is.libc, &is.valgrind) {
            let _ = writeln!(
                said,
                "The baseline was made with {} and {}, this with {} and {}: what allocates or \
                 copies may differ for that alone.",
                was.libc, was.valgrind, is.libc, is.valgrind
            );
        }
        Judgement::Differs(format!("{said}{ACCEPT}"))
    }

    /// A line for each case that is not as it was.
    fn differences(&self, now: &Counts) -> String {
        let mut said = String::new();
        for was in &self.counts {
            let Count { name, per, each: old } = was;
            let Some(is) = now.find(was) else {
                let _ = writeln!(said, "GONE: {name}: was {old:.3} instructions per {per}");
                continue;
            };
            let more = is.more_than(was);
            if more.abs() > LET_THROUGH {
                let (new, more) = (is.each, in_words(more));
                let _ = writeln!(
                    said,
                    "DIFFERENT: {name}: {old:.3} before, {new:.3} now, instructions per {per}: \
                     {more} ({LET_THROUGH} % are let through)"
                );
            }
        }
        for is in now.counts.iter().filter(|is| self.find(is).is_none()) {
            let Count { name, per, each } = is;
            let _ = writeln!(said, "NEW: {name}: {each:.3} instructions per {per}");
        }
        said
    }

    fn table(&self, now: &Counts) -> String {
        let mut table = String::new();
        for is in &now.counts {
            let than = self.find(is).map(|was| in_words(is.more_than(was)));
            let than = than.unwrap_or_else(|| "new".to_owned());
            let _ = writeln!(table, "{is}: {than}");
        }
        table
    }

    fn find(&self, other: &Count) -> Option<&Count> {
        self.counts.iter().find(|count| (&count.name, &count.per) == (&other.name, &other.per))
    }
}

impl Count {
    /// Per cent of the other.
    fn more_than(&self, other: &Count) -> f64 {
        (self.each - other.each) / other.each * 100.0
    }
}

fn in_words(more: f64) -> String {
    match format!("{:.1}", more.abs()).as_str() {
        "0.0" => "the same".to_owned(),
        percent => format!("{percent} % {}", if more > 0.0 { "more" } else { "less" }),
    }
}

// === As text ===

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>12.3} per {:<8} {}", self.each, self.per, self.name)
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Made { rustc, target, cpu, libc, valgrind } = &self.made;
        write!(f, "{HEAD}rustc {rustc}\ntarget {target}\ncpu {cpu}\n")?;
        write!(f, "libc {libc}\nvalgrind {valgrind}\n\n")?;
        self.counts.iter().try_for_each(|count| writeln!(f, "{count}"))
    }
}

impl FromStr for Counts {
    type Err = String;

    fn from_str(text: &str) -> Result<Counts, String> {
        let lines = || text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
        let made = |name: &str| {
            let found = lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            found.map(str::to_owned).ok_or(format!("no line `{name} ...`; write it anew"))
        };
        let made = Made {
            rustc: made("rustc")?,
            target: made("target")?,
            cpu: made("cpu")?,
            libc: made("libc")?,
            valgrind: made("valgrind")?,
        };
        let counts: Result<Vec<Count>, String> =
            lines().filter(|line| line.starts_with(' ')).map(str::parse).collect();
        Ok(Counts { made, counts: counts? })
    }
}

impl FromStr for Count {
    type Err = String;

    fn from_str(line: &str) -> Result<Count, String> {
        let wrong = || format!("{line:?} is not `COUNT per UNIT NAME`");
        let (each, rest) = line.trim().split_once(" per ").ok_or_else(wrong)?;
        let (per, name) = rest.split_once(' ').ok_or_else(wrong)?;
        let each = each.parse().map_err(|_| wrong())?;
        Ok(Count { name: name.trim().to_owned(), per: per.to_owned(), each })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(rustc: &str, libc: &str, cases: &[(&str, f64)]) -> Counts {
        let made = Made {
            rustc: rustc.to_owned(),
            target: "x86_64-unknown-linux-gnu".to_owned(),
            cpu: "avx2".to_owned(),
            libc: libc.to_owned(),
            valgrind: "valgrind-3.19.0".to_owned(),
        };
        let count = |(name, each): &(&str, f64)| Count {
            name: (*name).to_owned(),
            per: "frame".to_owned(),
            each: *each,
        };
        Counts { made, counts: cases.iter().map(count).collect() }
    }

    #[test]
    fn five_per_cent_are_let_through_either_way() {
        let baseline = counts("1.95.0", "glibc 2.36", &[("scan", 200.0)]);
        for (now, said) in [
            (200.0, None),
            (210.0, None),
            (190.0, None),
            (210.2, Some("200.000 before, 210.200 now, instructions per frame: 5.1 % more")),
            (212.0, Some("200.000 before, 212.000 now, instructions per frame: 6.0 % more")),
            (189.8, Some("200.000 before, 189.800 now, instructions per frame: 5.1 % less")),
            (0.0, Some("200.000 before, 0.000 now, instructions per frame: 100.0 % less")),
        ] {
            let judged = baseline.judge(&counts("1.95.0", "glibc 2.36", &[("scan", now)]));
            match said {
                None => assert!(matches!(judged, Judgement::Same(_)), "{judged:?}"),
                Some(said) => {
                    let said = format!("DIFFERENT: scan: {said} (5 % are let through)\n{ACCEPT}");
                    assert_eq!(judged, Judgement::Differs(said));
                }
            }
        }
    }

    #[test]
    fn cases_that_came_or_went_have_to_be_accepted_too() {
        let baseline = counts("1.95.0", "glibc 2.36", &[("scan", 200.0), ("mask", 3.5)]);
        let now = counts("1.95.0", "glibc 2.41", &[("unmask", 3.5), ("scan", 201.0)]);
        let said = format!(
            "GONE: mask: was 3.500 instructions per frame\n\
             NEW: unmask: 3.500 instructions per frame\n\
             The baseline was made with glibc 2.36 and valgrind-3.19.0, this with glibc 2.41 and \
             valgrind-3.19.0: what allocates or copies may differ for that alone.\n{ACCEPT}"
        );
        assert_eq!(baseline.judge(&now), Judgement::Differs(said));
    }

    #[test]
    fn another_compiler_is_not_compared_and_said_loudly() {
        let baseline = counts("1.95.0", "glibc 2.36", &[("scan", 200.0)]);
        let judged = baseline.judge(&counts("1.96.0", "glibc 2.36", &[("scan", 300.0)]));
        let Judgement::NotCompared(said) = &judged else { panic!("{judged:?}") };
        for part in [
            "NOT COMPARED: the baseline is of rustc 1.95.0 for x86_64-unknown-linux-gnu (avx2), \
             this is rustc 1.96.0 for",
            "HAWSER_WRITE_COUNTS=1 cargo test --test counts",
            "300.000 per frame    scan: 50.0 % more",
        ] {
            assert!(said.contains(part), "{part:?} is not in\n{said}");
        }
    }

    #[test]
    fn what_is_written_reads_back() {
        let counts = counts("1.95.0", "glibc 2.36", &[("scan one per cent", 200.125), ("m", 0.5)]);
        assert_eq!(counts.to_string().parse(), Ok(counts));
        for (text, problem) in [
            ("", "no line `rustc ...`; write it anew"),
            (
                "rustc 1\ntarget t\ncpu c\nlibc l\nvalgrind v\n x",
                "\" x\" is not `COUNT per UNIT NAME`",
            ),
            (
                "rustc 1\ntarget t\ncpu c\nlibc l\nvalgrind v\n x per y z",
                "\" x per y z\" is not `COUNT per UNIT NAME`",
            ),
        ] {
            assert_eq!(text.parse::<Counts>(), Err(problem.to_owned()), "{text:?}");
        }
    }
}
