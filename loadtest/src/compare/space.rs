//! Memory of idle connections, the proxy's own and the kernel's.

use std::fmt;
use std::thread::sleep;
use std::time::Duration;

use anyhow::Context as _;
use indexmap::IndexMap;

use super::{Findings, Run};
use crate::certificate::Certificate;
use crate::figures::{Against, Better, Bound, Curve, Spread};
use crate::measure;
use crate::memory::{Climb, Climber, Point, slope_of};
use crate::proxy::Kind;

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Speech {
    Clear,
    Secured,
}

impl Speech {
    pub fn certificate(self, run: &Run) -> Option<&Certificate> {
        (self == Speech::Secured).then_some(&run.certificate)
    }
}

impl fmt::Display for Speech {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Speech::Clear => "ws",
            Speech::Secured => "wss",
        })
    }
}

/// Bytes for one more idle connection that has carried a message, both legs: the proxy's own, and
/// the kernel's for it. In a round all proxies stand beside each other and are given connections in
/// turn, so that they settle together; the kernel's memory is read before and after each turn.
pub fn memory(run: &Run, speech: Speech, goals: &[(Against, Bound)]) -> anyhow::Result<Findings> {
    let name = format!("memory-{speech}");
    let mut rounds = Climbs {
        kinds: [&run.edges()[..], &[Kind::Direct]].concat(),
        next_net: if speech == Speech::Clear { 1 } else { 101 },
        ..Climbs::default()
    };
    let how = Climb {
        steps: run.pace.memory_steps,
        workers: 1,
        certificate: speech.certificate(run),
        messages: &[64],
        at_once: 256,
        settle: Duration::from_secs(2),
        cpus: Some((run.cpu, run.load_cpu)),
    };
    for round in 0..run.pace.memory_rounds {
        rounds.climb(round, &how)?;
    }
    let mut findings = Findings::default();
    findings.notes.extend(rounds.failures.iter().map(|failure| format!("{name}: {failure}")));
    let slopes = |of: fn(&Climbed) -> &Vec<Point>| -> IndexMap<String, Vec<f64>> {
        let each = rounds.points.iter().map(|(kind, rounds)| {
            let slopes = rounds.iter().map(|points| slope_of(of(points)));
            (kind.name().to_owned(), slopes.collect())
        });
        each.collect()
    };
    let mut user = slopes(|climbed| &climbed.user);
    user.shift_remove(Kind::Direct.name());
    let title = format!("User memory per idle connection, {speech}");
    findings.add((&name, &title, "bytes"), Better::Less, user, goals)?;

    let mut kernel = slopes(|climbed| &climbed.kernel);
    let ends = kernel.shift_remove(Kind::Direct.name());
    let ends = Spread::of(&ends.context("the load failed without a proxy")?).median;
    kernel.values_mut().flatten().for_each(|bytes| *bytes -= ends);
    let title = format!("Kernel memory per idle connection, {speech}: what the proxy adds");
    let texts = (&*format!("{name}-kernel"), &*title, "bytes");
    findings.add(texts, Better::Less, kernel, &[])?;
    findings.notes.push(format!(
        "{name}: client and origin alone take {ends:.0} bytes of the kernel per connection"
    ));
    findings.curves.push(user_curve(&name, speech, &rounds));
    Ok(findings)
}

/// Memory at each step, of the proxy and of the kernel.
#[derive(Default)]
struct Climbed {
    user: Vec<Point>,
    kernel: Vec<Point>,
}

/// Rounds of connections that are opened step by step.
#[derive(Default)]
struct Climbs {
    kinds: Vec<Kind>,
    /// A climb for each round.
    points: IndexMap<Kind, Vec<Climbed>>,
    /// Part of the addresses; each climb has its own.
    next_net: u8,
    failures: Vec<String>,
}

impl Climbs {
    fn climb(&mut self, round: usize, how: &Climb<'_>) -> anyhow::Result<()> {
        let mut kinds = self.kinds.clone();
        let turn = round % kinds.len().max(1);
        kinds.rotate_left(turn);
        let mut climbers = Vec::new();
        for kind in kinds {
            self.next_net = self.next_net.wrapping_add(1);
            match Climber::start(kind, self.next_net, how) {
                Ok(climber) => climbers.push((kind, climber, Climbed::default())),
                Err(error) => self.give_up(kind, &error),
            }
        }
        for &connections in how.steps {
            // What one that has failed leaves behind is not another's.
            let mut standing = Vec::new();
            for (kind, mut climber, mut points) in climbers {
                let before = measure::kernel_bytes()?;
                match climber.step(connections, how) {
                    Ok(()) => {
                        let below: u64 = points.kernel.last().map_or(0, |(_, bytes)| *bytes);
                        let more = measure::kernel_bytes()?.saturating_sub(before);
                        points.kernel.push((connections, below + more));
                        standing.push((kind, climber, points));
                    }
                    Err(error) => self.give_up(kind, &error),
                }
            }
            sleep(how.settle);
            climbers = Vec::new();
            for (kind, climber, mut points) in standing {
                match climber.user_bytes() {
                    Ok(bytes) => {
                        points.user.push((connections, bytes));
                        climbers.push((kind, climber, points));
                    }
                    Err(error) => self.give_up(kind, &error),
                }
            }
        }
        for (kind, climber, points) in climbers {
            match climber.finish() {
                Ok(()) => self.points.entry(kind).or_default().push(points),
                Err(error) => self.give_up(kind, &error),
            }
        }
        // In the order of the kinds, whoever was first to end.
        let kinds = &self.kinds;
        self.points.sort_by_cached_key(|kind, _| kinds.iter().position(|other| other == kind));
        Ok(())
    }

    fn give_up(&mut self, kind: Kind, error: &anyhow::Error) {
        self.failures.push(format!("{kind}: {error:#}; left out"));
        self.kinds.retain(|other| *other != kind);
        self.points.shift_remove(&kind);
    }
}

fn user_curve(name: &str, speech: Speech, climbs: &Climbs) -> Curve {
    let line = |rounds: &Vec<Climbed>| -> Vec<[f64; 2]> {
        let median = |place: usize| {
            let megabytes: Vec<f64> =
                rounds.iter().map(|climbed| climbed.user[place].1 as f64 / 1e6).collect();
            [rounds[0].user[place].0 as f64, Spread::of(&megabytes).median]
        };
        (0..rounds[0].user.len()).map(median).collect()
    };
    let proxies = climbs.points.iter().filter(|(kind, _)| **kind != Kind::Direct);
    Curve {
        name: format!("{name}-by-connections"),
        title: format!("Memory of the proxy over idle {speech} connections"),
        x_label: "connections".into(),
        y_label: "MB".into(),
        lines: proxies.map(|(kind, rounds)| (kind.name().to_owned(), line(rounds))).collect(),
    }
}
