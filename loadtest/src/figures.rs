//! The document that measurements write and reports are made from: figures with the values of
//! every round, curves, goals, and what machine and versions they belong to. Not here: how
//! anything is measured, and how it is shown.

mod document;
mod machine;

pub use document::{Document, write_whole};
pub use machine::Machine;

use std::fmt;

use anyhow::{Context as _, ensure};
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

/// What relays nothing but bytes; never a peer.
pub const FLOORS: [&str; 2] = ["io_uring_floor", "epoll_floor"];

/// One quantity of every proxy, measured in interleaved rounds. The order of the proxies is that
/// of the measurement; the first is the one that is compared with the others.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Figure {
    /// Group, then details, joined by `-`: `cpu-ws-64`.
    pub name: String,
    pub title: String,
    pub unit: String,
    pub better: Better,
    /// Values of each proxy, one a round, in the order of the rounds.
    pub rounds: IndexMap<String, Vec<f64>>,
    pub spread: IndexMap<String, Spread>,
    /// First proxy over each other one, made within each round.
    pub ratios: IndexMap<String, Spread>,
    pub goals: Vec<Goal>,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Better {
    Less,
    More,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Spread {
    pub min: f64,
    pub median: f64,
    pub max: f64,
}

/// What the first proxy should reach, and whether its median did.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
pub struct Goal {
    pub against: Against,
    #[serde(flatten)]
    pub bound: Bound,
    /// Median that was held against the bound: of the figure itself, or of the ratio. Nothing
    /// when the other proxy was left out.
    pub seen: Option<f64>,
    pub met: Option<bool>,
}

#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
#[serde(from = "String", into = "String")]
pub enum Against {
    /// The figure itself, in its unit.
    Absolute,
    /// The ratio to the best of the other proxies, floors left out.
    BestPeer,
    /// The ratio to this proxy.
    Proxy(String),
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize, PartialEq)]
#[serde(rename_all = "snake_case")]
pub enum Bound {
    AtMost(f64),
    AtLeast(f64),
}

/// A quantity over another one, a line for each proxy.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Curve {
    /// Like a figure's name: the first part is the group.
    pub name: String,
    pub title: String,
    pub x_label: String,
    pub y_label: String,
    pub lines: IndexMap<String, Vec<[f64; 2]>>,
}

impl Figure {
    /// Refuses rounds that are empty, of unequal number, or not finite.
    pub fn new(
        (name, title, unit): (&str, &str, &str),
        better: Better,
        rounds: IndexMap<String, Vec<f64>>,
        goals: &[(Against, Bound)],
    ) -> anyhow::Result<Figure> {
        check_rounds(&rounds).with_context(|| format!("figure {name}"))?;
        let (_, first) = rounds.first().expect("checked: there are rounds");
        let spread =
            rounds.iter().map(|(proxy, values)| (proxy.clone(), Spread::of(values))).collect();
        let ratio = |other: &[f64]| -> Vec<f64> {
            first.iter().zip(other).map(|(own, other)| own / other).collect()
        };
        let ratios = rounds
            .iter()
            .skip(1)
            // Nothing is so many times zero.
            .filter(|(_, values)| values.iter().all(|value| *value != 0.0))
            .map(|(proxy, values)| (proxy.clone(), Spread::of(&ratio(values))))
            .collect();
        let mut figure = Figure {
            name: name.into(),
            title: title.into(),
            unit: unit.into(),
            better,
            rounds,
            spread,
            ratios,
            goals: Vec::new(),
        };
        figure.goals =
            goals.iter().map(|(against, bound)| figure.judged(against, *bound)).collect();
        Ok(figure)
    }

    pub fn group(&self) -> &str {
        group(&self.name)
    }

    /// The one that the others are compared with.
    pub fn first(&self) -> &str {
        self.rounds.keys().next().map_or("", String::as_str)
    }

    /// The other proxy beside which the first one looks worst; floors are no peers. By the ratios
    /// within rounds: the best median of a machine whose speed drifts may be of lucky rounds.
    pub fn best_peer(&self) -> Option<&str> {
        let peers = self.ratios.iter().filter(|(name, _)| !FLOORS.contains(&name.as_str()));
        let sign = match self.better {
            Better::Less => 1.0,
            Better::More => -1.0,
        };
        let best = peers.max_by(|(_, a), (_, b)| (sign * a.median).total_cmp(&(sign * b.median)));
        best.map(|(name, _)| name.as_str())
    }

    fn judged(&self, against: &Against, bound: Bound) -> Goal {
        let ratio = |proxy: &str| self.ratios.get(proxy).map(|ratio| ratio.median);
        let seen = match against {
            Against::Absolute => self.spread.first().map(|(_, spread)| spread.median),
            Against::BestPeer => self.best_peer().and_then(ratio),
            Against::Proxy(proxy) => ratio(proxy),
        };
        let met = seen.map(|seen| match bound {
            Bound::AtMost(most) => seen <= most,
            Bound::AtLeast(least) => seen >= least,
        });
        Goal { against: against.clone(), bound, seen, met }
    }

    /// Whether what was computed from the rounds is still what the rounds say.
    fn check(&self) -> anyhow::Result<()> {
        let goals: Vec<_> = self.goals.iter().map(|g| (g.against.clone(), g.bound)).collect();
        let texts = (&*self.name, &*self.title, &*self.unit);
        let again = Figure::new(texts, self.better, self.rounds.clone(), &goals)?;
        let name = &self.name;
        ensure!(close(&self.spread, &again.spread), "figure {name}: spread is not of its rounds");
        ensure!(close(&self.ratios, &again.ratios), "figure {name}: ratios are not of its rounds");
        let met = |goals: &[Goal]| goals.iter().map(|goal| goal.met).collect::<Vec<_>>();
        ensure!(
            met(&self.goals) == met(&again.goals),
            "figure {name}: goals are not of its rounds"
        );
        Ok(())
    }
}

impl Spread {
    /// The median of an even number is the mean of the two in the middle. Of no values there is
    /// none; callers have some.
    pub fn of(values: &[f64]) -> Spread {
        let mut values = values.to_vec();
        values.sort_by(f64::total_cmp);
        let (least, most) = (values[0], values[values.len() - 1]);
        let median = f64::midpoint(values[(values.len() - 1) / 2], values[values.len() / 2]);
        Spread { min: least, median, max: most }
    }
}

impl Curve {
    pub fn group(&self) -> &str {
        group(&self.name)
    }

    fn check(&self) -> anyhow::Result<()> {
        let name = &self.name;
        ensure!(!self.lines.is_empty(), "curve {name}: no line");
        for (proxy, points) in &self.lines {
            ensure!(!points.is_empty(), "curve {name}: {proxy} has no point");
            let finite = points.iter().flatten().all(|value| value.is_finite());
            ensure!(finite, "curve {name}: {proxy} has a point that is no number");
        }
        Ok(())
    }
}

impl From<String> for Against {
    fn from(name: String) -> Against {
        match name.as_str() {
            "absolute" => Against::Absolute,
            "best_peer" => Against::BestPeer,
            _ => Against::Proxy(name),
        }
    }
}

impl From<Against> for String {
    fn from(against: Against) -> String {
        against.to_string()
    }
}

impl fmt::Display for Against {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Against::Absolute => "absolute",
            Against::BestPeer => "best_peer",
            Against::Proxy(name) => name,
        })
    }
}

fn group(name: &str) -> &str {
    name.split('-').next().unwrap_or(name)
}

fn check_rounds(rounds: &IndexMap<String, Vec<f64>>) -> anyhow::Result<()> {
    let (first, values) = rounds.first().context("no proxy was measured")?;
    ensure!(!values.is_empty(), "{first} has no rounds");
    for (proxy, others) in rounds {
        let (n, m) = (values.len(), others.len());
        ensure!(n == m, "{first} has {n} rounds, {proxy} has {m}; a round has all of them");
        let wrong = others.iter().find(|value| !value.is_finite());
        ensure!(wrong.is_none(), "{proxy} has a round that is no number");
    }
    Ok(())
}

/// Equal but for what was rounded when it was written.
fn close(some: &IndexMap<String, Spread>, others: &IndexMap<String, Spread>) -> bool {
    let near = |a: f64, b: f64| (a - b).abs() <= 1e-3 * a.abs().max(b.abs()) + 1e-9;
    let same = |a: &Spread, b: &Spread| {
        near(a.min, b.min) && near(a.median, b.median) && near(a.max, b.max)
    };
    some.len() == others.len()
        && some.iter().all(|(name, a)| others.get(name).is_some_and(|b| same(a, b)))
}

#[cfg(test)]
mod tests;
