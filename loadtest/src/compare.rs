//! `compare`: Hawser and its peers in one go, interleaved, each on one core with the load on
//! another; every figure goes into the document as soon as it is there. The figures are in the
//! folder beside this file, tables and plots are made by `report`.

mod curves;
mod latency;
mod plan;
mod setups;
mod space;
mod traffic;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use indexmap::IndexMap;

use crate::certificate::Certificate;
use crate::figures::{Against, Better, Bound, Curve, Document, Figure};
use crate::peers;
use crate::proxy::Kind;
use crate::rounds::Contest;

#[derive(clap::Args)]
pub struct Options {
    /// Folder of `result.json`.
    #[arg(long)]
    out: PathBuf,
    /// A smoke of everything in a few minutes: three short rounds.
    #[arg(long)]
    quick: bool,
    /// Only these, such as cpu-ws-64,push; a name is the beginning of all that continue it.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Whom to measure; ratios are those of the first to each other one. All without it.
    #[arg(long, value_delimiter = ',', value_parser = Kind::named)]
    proxies: Vec<Kind>,
    /// Rounds of every figure; each has its own number without it.
    #[arg(long)]
    rounds: Option<usize>,
    /// Keep what result.json has, and measure what it lacks or what --only names.
    #[arg(long)]
    resume: bool,
    /// Say what would be measured, and nothing else.
    #[arg(long)]
    list: bool,
    /// Core of the proxies; origins and clients share another.
    #[arg(long, default_value_t = 0)]
    cpu: usize,
    #[arg(long, default_value_t = 1)]
    load_cpu: usize,
}

/// One run: who is measured, and how thoroughly.
struct Run {
    kinds: Vec<Kind>,
    pace: Pace,
    certificate: Certificate,
    cpu: usize,
    load_cpu: usize,
}

/// How much time is spent.
struct Pace {
    name: &'static str,
    /// Of each proxy in each round.
    window: Duration,
    rounds: usize,
    /// Of what takes a proxy many seconds each time.
    long_rounds: usize,
    memory_rounds: usize,
    /// Connections at which memory is read.
    memory_steps: &'static [usize],
    herd: usize,
}

const FULL: Pace = Pace {
    name: "full",
    window: Duration::from_millis(400),
    rounds: 11,
    long_rounds: 5,
    memory_rounds: 3,
    memory_steps: &[1_000, 5_000, 9_000],
    herd: 5_000,
};

const QUICK: Pace = Pace {
    name: "quick",
    window: Duration::from_millis(200),
    rounds: 3,
    long_rounds: 3,
    memory_rounds: 2,
    memory_steps: &[1_000, 7_000],
    herd: 2_000,
};

/// What one measurement found.
#[derive(Default)]
struct Findings {
    figures: Vec<Figure>,
    curves: Vec<Curve>,
    notes: Vec<String>,
}

/// A measurement: the names of its figures begin with its own.
struct Subject {
    name: &'static str,
    measure: fn(&Run) -> anyhow::Result<Findings>,
}

pub fn run(options: &Options) -> anyhow::Result<()> {
    let subjects = chosen(&options.only)?;
    if options.list {
        subjects.iter().for_each(|subject| println!("{}", subject.name));
        return Ok(());
    }
    let mut pace = if options.quick { QUICK } else { FULL };
    if let Some(rounds) = options.rounds {
        ensure!(rounds > 0, "--rounds 0: at least one");
        (pace.rounds, pace.long_rounds, pace.memory_rounds) = (rounds, rounds, rounds);
    }
    let kinds = match &options.proxies[..] {
        [] => Kind::ALL.to_vec(),
        named => named.to_vec(),
    };
    // Before anything is measured: all that are missing, each with the way to get it.
    let missing = kinds.iter().filter_map(|kind| peers::program(*kind).err());
    let missing: Vec<String> = missing.map(|error| error.to_string()).collect();
    ensure!(missing.is_empty(), "{}", missing.join("\n"));

    let path = options.out.join("result.json");
    let versions = peers::versions(&kinds);
    let mut document = match options.resume && path.exists() {
        true => Document::read(&path)?,
        false => Document::begun(Vec::new(), BTreeMap::new()),
    };
    if !document.commands.contains(&command_line()) {
        document.commands.push(command_line());
    }
    document.versions.extend(versions);
    let note = format!(
        "{} run: {} rounds of {} ms for each proxy and figure, {} where a turn takes seconds",
        pace.name,
        pace.rounds,
        pace.window.as_millis(),
        pace.long_rounds
    );
    if !document.notes.contains(&note) {
        document.notes.push(note);
    }
    let (cpu, load_cpu) = (options.cpu, options.load_cpu);
    let run = Run { kinds, pace, certificate: Certificate::make()?, cpu, load_cpu };
    let began = Instant::now();
    for (number, subject) in subjects.iter().enumerate() {
        let there = document.figures.iter().any(|figure| subject.has(&figure.name));
        if options.resume && options.only.is_empty() && there {
            continue;
        }
        let at = began.elapsed().as_secs();
        eprintln!("[{:>2}/{}, {at:>4} s] {}", number + 1, subjects.len(), subject.name);
        let findings = (subject.measure)(&run).unwrap_or_else(|error| Findings {
            notes: vec![format!("{}: {error:#}", subject.name)],
            ..Findings::default()
        });
        tell(&findings);
        take(&mut document, subject, findings);
        curves::refresh(&mut document);
        document.write(&path)?;
    }
    eprintln!("{} after {} s", path.display(), began.elapsed().as_secs());
    Ok(())
}

/// In the order of the plan.
fn chosen(only: &[String]) -> anyhow::Result<Vec<&'static Subject>> {
    let matches =
        |subject: &Subject, word: &str| is_of(subject.name, word) || is_of(word, subject.name);
    for word in only {
        if !plan::SUBJECTS.iter().any(|subject| matches(subject, word)) {
            let names: Vec<&str> = plan::SUBJECTS.iter().map(|subject| subject.name).collect();
            bail!("--only {word}: not one of {}, nor the beginning of one", names.join(", "));
        }
    }
    let wanted =
        |subject: &&Subject| only.is_empty() || only.iter().any(|word| matches(subject, word));
    Ok(plan::SUBJECTS.iter().filter(wanted).collect())
}

/// Whether `name` is this group or continues it: cpu-ws-64-of-200 is of cpu-ws-64, cpu-ws-640 not.
fn is_of(name: &str, group: &str) -> bool {
    name.strip_prefix(group).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

/// Replaces what the document had of this subject.
fn take(document: &mut Document, subject: &Subject, findings: Findings) {
    document.figures.retain(|figure| !subject.has(&figure.name));
    document.curves.retain(|curve| !subject.has(&curve.name));
    let own = format!("{}: ", subject.name);
    document.notes.retain(|note| !note.starts_with(&own));
    document.figures.extend(findings.figures);
    document.curves.extend(findings.curves);
    document.notes.extend(findings.notes);
    // As the plan has them, whatever was measured again later.
    let rank = |name: &str| plan::SUBJECTS.iter().rposition(|s| is_of(name, s.name));
    document.figures.sort_by_key(|figure| rank(&figure.name));
}

/// Medians, for who watches.
fn tell(findings: &Findings) {
    for figure in &findings.figures {
        let each = figure.spread.iter().map(|(proxy, spread)| {
            let ratio = figure.ratios.get(proxy).map(|ratio| format!(" ({:.2})", ratio.median));
            format!("{proxy} {:.4}{}", spread.median, ratio.unwrap_or_default())
        });
        let each: Vec<String> = each.collect();
        eprintln!("    {} [{}]: {}", figure.name, figure.unit, each.join(", "));
        for goal in figure.goals.iter().filter(|goal| goal.met == Some(false)) {
            eprintln!("        missed: {:?} of {} {:?}", goal.seen, goal.against, goal.bound);
        }
    }
    findings.notes.iter().for_each(|note| eprintln!("    {note}"));
}

/// What repeats this run, without where its results went.
fn command_line() -> String {
    let mut words = vec!["loadtest/compare".to_owned()];
    let mut arguments = std::env::args().skip(2);
    while let Some(word) = arguments.next() {
        match word.as_str() {
            "--out" => drop(arguments.next()),
            _ if word.starts_with("--out=") => {}
            _ => words.push(word),
        }
    }
    words.join(" ")
}

impl Subject {
    /// Whether a figure or curve of this name is its own, and not of one whose name is longer.
    fn has(&self, name: &str) -> bool {
        let mut longer = plan::SUBJECTS.iter().filter(|other| other.name.len() > self.name.len());
        is_of(name, self.name)
            && !longer.any(|other| is_of(other.name, self.name) && is_of(name, other.name))
    }
}

impl Run {
    /// All who speak HTTP, and TLS too: floors do not.
    fn edges(&self) -> Vec<Kind> {
        self.kinds.iter().copied().filter(|kind| !kind.is_floor()).collect()
    }
}

impl Findings {
    /// A figure of those who have all rounds. Goals against proxies that were left out stay open.
    fn add(
        &mut self,
        texts: (&str, &str, &str),
        better: Better,
        rounds: IndexMap<String, Vec<f64>>,
        goals: &[(Against, Bound)],
    ) -> anyhow::Result<()> {
        ensure!(!rounds.is_empty(), "no proxy has a figure: {}", self.notes.join("; "));
        let figure = Figure::new(texts, better, rounds, goals);
        self.figures.push(figure.with_context(|| texts.0.to_owned())?);
        Ok(())
    }

    /// Says what went wrong, and of which measurement.
    fn admit<B, S>(&mut self, subject: &str, contest: &mut Contest<B, S>) {
        for failure in std::mem::take(&mut contest.failures) {
            self.notes.push(format!("{subject}: {failure}"));
        }
    }
}

/// The figure's median of each proxy.
fn medians(figure: &Figure) -> BTreeMap<&str, f64> {
    figure.spread.iter().map(|(proxy, spread)| (proxy.as_str(), spread.median)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_choose_what_they_begin() {
        let names = |only: &[&str]| -> Vec<&str> {
            let only: Vec<String> = only.iter().map(|word| (*word).to_owned()).collect();
            chosen(&only).expect("known names").iter().map(|subject| subject.name).collect()
        };
        assert_eq!(names(&[]).len(), plan::SUBJECTS.len());
        assert_eq!(names(&["cpu-ws-1024"]), ["cpu-ws-1024"]);
        assert_eq!(names(&["cpu-ws-64"]), ["cpu-ws-64", "cpu-ws-64-8-of-200"]);
        // A figure's name chooses the measurement that makes it.
        assert_eq!(names(&["memory-wss-kernel"]), ["memory-wss"]);
        assert_eq!(names(&["push", "herd"]), ["push-5000", "herd-ws", "herd-wss"]);
        let error = chosen(&["cpu-ws-6".to_owned()]).err().expect("no such name").to_string();
        assert!(error.contains("cpu-ws-6") && error.contains("push-5000"), "{error}");
    }

    #[test]
    fn a_subject_that_is_measured_again_replaces_its_own_figures_alone() {
        let mut document = Document::begun(Vec::new(), BTreeMap::new());
        let figure = |name: &str, value: f64| {
            let rounds = [("hawser".to_owned(), vec![value])].into_iter().collect();
            Figure::new((name, "title", "unit"), Better::Less, rounds, &[]).expect("one round")
        };
        let put = |document: &mut Document, subject: &str, names: &[&str], value: f64| {
            let subject = plan::SUBJECTS.iter().find(|s| s.name == subject).expect("it is planned");
            let figures = names.iter().map(|name| figure(name, value)).collect();
            let notes = vec![format!("{}: {value}", subject.name)];
            take(document, subject, Findings { figures, curves: Vec::new(), notes });
        };
        put(&mut document, "push-5000", &["push-5000", "push-5000-p99"], 1.0);
        put(&mut document, "cpu-ws-64-8-of-200", &["cpu-ws-64-8-of-200"], 1.0);
        put(&mut document, "cpu-ws-64", &["cpu-ws-64"], 1.0);
        put(&mut document, "cpu-ws-64", &["cpu-ws-64"], 2.0);
        let seen: Vec<_> =
            document.figures.iter().map(|f| (&*f.name, f.spread["hawser"].median)).collect();
        let expected = [
            ("cpu-ws-64", 2.0),
            ("cpu-ws-64-8-of-200", 1.0),
            ("push-5000", 1.0),
            ("push-5000-p99", 1.0),
        ];
        assert_eq!(seen, expected);
        assert_eq!(document.notes, ["push-5000: 1", "cpu-ws-64-8-of-200: 1", "cpu-ws-64: 2"]);
    }

    #[test]
    fn a_figure_is_of_the_measurement_with_the_longest_name() {
        let of = |name: &str| -> Vec<&str> {
            let subjects = plan::SUBJECTS.iter().filter(|subject| subject.has(name));
            subjects.map(|subject| subject.name).collect()
        };
        assert_eq!(of("cpu-ws-64"), ["cpu-ws-64"]);
        // So that a run which is resumed does not take one for the other.
        assert_eq!(of("cpu-ws-64-8-of-200"), ["cpu-ws-64-8-of-200"]);
        assert_eq!(of("memory-ws-kernel"), ["memory-ws"]);
    }
}
