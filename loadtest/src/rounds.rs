//! Rounds: every proxy is busy once in each, in a turned order, and ratios are made within a round,
//! so that what slows the machine down for a while hits both sides of them. A proxy that fails is
//! left out, the others go on. Not here: what a figure is.

use std::collections::BTreeSet;

use anyhow::{bail, ensure};
use indexmap::IndexMap;
use serde_json::{Map, Value, json};

use crate::figures::Spread;
use crate::proxy::Kind;

/// A proxy may fail so often and be started again.
const FAILURES_MAX: usize = 1;

/// One quantity of every proxy, a value for each round, in the order of `kinds`.
pub struct Rounds {
    kinds: Vec<Kind>,
    rounds: Vec<Vec<f64>>,
}

impl Rounds {
    /// `figure` measures the proxy of that index.
    pub fn run(
        kinds: &[Kind],
        rounds: usize,
        mut figure: impl FnMut(usize) -> anyhow::Result<f64>,
    ) -> anyhow::Result<Rounds> {
        ensure!(rounds > 0, "--rounds 0: at least one");
        let mut all = Vec::new();
        for round in 0..rounds {
            let mut figures = vec![0.0; kinds.len()];
            for turn in 0..kinds.len() {
                let proxy = (round + turn) % kinds.len();
                figures[proxy] = figure(proxy)?;
            }
            all.push(figures);
        }
        Ok(Rounds { kinds: kinds.to_vec(), rounds: all })
    }

    /// Figures of each proxy.
    pub fn figures(&self) -> Value {
        let each = self.kinds.iter().enumerate();
        each.map(|(i, kind)| (kind.name().to_owned(), self.spread(|round| round[i]))).collect()
    }

    /// The first proxy's figure over each other one's, and the other proxy to which that ratio is
    /// the greatest; the floors are none of these.
    pub fn ratios(&self) -> Value {
        let first = self.kinds[0].name();
        let mut ratios = Map::new();
        for (i, kind) in self.kinds.iter().enumerate().skip(1) {
            let ratio = self.spread(|round| round[0] / round[i]);
            ratios.insert(format!("{first}_to_{kind}"), ratio);
        }
        let others = (1..self.kinds.len()).filter(|i| !self.kinds[*i].is_floor());
        let median = |i: &usize| Spread::of(&self.values(|round| round[0] / round[*i])).median;
        if let Some(best) = others.max_by(|a, b| median(a).total_cmp(&median(b))) {
            ratios.insert("best_other".into(), json!(self.kinds[best].name()));
        }
        Value::Object(ratios)
    }

    fn values(&self, figure: impl Fn(&[f64]) -> f64) -> Vec<f64> {
        self.rounds.iter().map(|round| figure(round)).collect()
    }

    fn spread(&self, figure: impl Fn(&[f64]) -> f64) -> Value {
        let mut values = self.values(figure);
        values.sort_by(f64::total_cmp);
        let Spread { min, median, max } = Spread::of(&values);
        json!({
            "min": rounded(min),
            "lower_quarter": rounded(values[values.len() / 4]),
            "median": rounded(median),
            "upper_quarter": rounded(values[values.len() * 3 / 4]),
            "max": rounded(max),
        })
    }
}

/// Proxies that stand ready beside each other, each on a bench of its own.
pub struct Contest<B, S> {
    benches: Vec<(Kind, B)>,
    start: S,
    failed: Vec<Kind>,
    /// What went wrong, of whom.
    pub failures: Vec<String>,
}

/// Values of each proxy, a row for each round.
pub type Rows = IndexMap<Kind, Vec<Vec<f64>>>;

impl<B, S: FnMut(Kind) -> anyhow::Result<B>> Contest<B, S> {
    /// Those that do not start are left out.
    pub fn begin(kinds: &[Kind], start: S) -> Contest<B, S> {
        let mut contest =
            Contest { benches: Vec::new(), start, failed: Vec::new(), failures: Vec::new() };
        for kind in kinds {
            match (contest.start)(*kind) {
                Ok(bench) => contest.benches.push((*kind, bench)),
                Err(error) => contest.failures.push(format!("{kind}: {error:#}")),
            }
        }
        contest
    }

    /// Rounds of those that are among `who`. A proxy that fails is started again and has its turn
    /// again; one that fails too often is left out from then on, with all its values.
    pub fn rounds(
        &mut self,
        who: impl Fn(Kind) -> bool,
        rounds: usize,
        mut turn: impl FnMut(Kind, &mut B) -> anyhow::Result<Vec<f64>>,
    ) -> Rows {
        let kinds: Vec<Kind> =
            self.benches.iter().map(|(kind, _)| *kind).filter(|kind| who(*kind)).collect();
        let mut rows: Rows = kinds.iter().map(|kind| (*kind, Vec::new())).collect();
        let mut out = BTreeSet::new();
        for round in 0..rounds {
            for place in 0..kinds.len() {
                let kind = kinds[(round + place) % kinds.len()];
                if out.contains(kind.name()) {
                    continue;
                }
                match self.turn(kind, round, &mut turn) {
                    Ok(row) => rows[&kind].push(row),
                    Err(_) => {
                        out.insert(kind.name());
                        rows.shift_remove(&kind);
                    }
                }
            }
        }
        rows
    }

    fn turn(
        &mut self,
        kind: Kind,
        round: usize,
        turn: &mut impl FnMut(Kind, &mut B) -> anyhow::Result<Vec<f64>>,
    ) -> anyhow::Result<Vec<f64>> {
        loop {
            let Some(place) = self.benches.iter().position(|(other, _)| *other == kind) else {
                bail!("{kind} was left out before");
            };
            let error = match turn(kind, &mut self.benches[place].1) {
                Ok(row) if row.iter().all(|value| value.is_finite()) => return Ok(row),
                Ok(row) => anyhow::anyhow!("{row:?} are no figures"),
                Err(error) => error,
            };
            // What is left of it is ended before it is started again.
            drop(self.benches.remove(place));
            self.failed.push(kind);
            let again = self.failed.iter().filter(|other| **other == kind).count() <= FAILURES_MAX;
            let then = if again { "started again" } else { "left out" };
            self.failures.push(format!("{kind}, round {}: {error:#}; {then}", round + 1));
            if !again {
                return Err(error);
            }
            match (self.start)(kind) {
                Ok(bench) => self.benches.insert(place, (kind, bench)),
                Err(error) => {
                    self.failures.push(format!("{kind}: {error:#}"));
                    return Err(error);
                }
            }
        }
    }
}

/// One quantity of all rows.
pub fn column(rows: &Rows, quantity: usize) -> IndexMap<String, Vec<f64>> {
    let values = |rows: &Vec<Vec<f64>>| rows.iter().map(|row| row[quantity]).collect();
    rows.iter().map(|(kind, rows)| (kind.name().to_owned(), values(rows))).collect()
}

pub fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    const KINDS: [Kind; 3] = [Kind::Hawser, Kind::Nginx, Kind::Haproxy];

    #[test]
    fn every_proxy_has_its_turn_in_every_round_and_another_begins_each() {
        let order = RefCell::new(Vec::new());
        let mut contest = Contest::begin(&KINDS, |kind| Ok(kind.name().len() as f64));
        let rows = contest.rounds(
            |_| true,
            3,
            |kind, length| {
                order.borrow_mut().push(kind);
                Ok(vec![*length, 1.0])
            },
        );
        let [h, n, p] = KINDS;
        assert_eq!(order.into_inner(), [h, n, p, n, p, h, p, h, n]);
        assert_eq!(column(&rows, 0)["nginx"], [5.0, 5.0, 5.0]);
        assert_eq!(column(&rows, 1).keys().collect::<Vec<_>>(), ["hawser", "nginx", "haproxy"]);
        assert!(contest.failures.is_empty());
    }

    #[test]
    fn one_that_fails_is_started_again_once_and_then_left_out() {
        let starts = RefCell::new(Vec::new());
        let mut contest = Contest::begin(&KINDS, |kind| {
            starts.borrow_mut().push(kind);
            match kind {
                Kind::Haproxy => bail!("no such program"),
                _ => Ok(()),
            }
        });
        assert_eq!(contest.failures, ["haproxy: no such program"]);
        let mut turns = 0;
        let rows = contest.rounds(
            |_| true,
            4,
            |kind, ()| {
                turns += usize::from(kind == Kind::Nginx);
                match kind {
                    Kind::Nginx if turns >= 2 => bail!("closed early"),
                    _ => Ok(vec![1.0]),
                }
            },
        );
        assert_eq!(rows.keys().collect::<Vec<_>>(), [&Kind::Hawser]);
        assert_eq!(rows[&Kind::Hawser].len(), 4);
        assert_eq!(turns, 3);
        let again = starts.borrow().iter().filter(|kind| **kind == Kind::Nginx).count();
        assert_eq!(again, 2);
        assert_eq!(
            contest.failures[1..],
            [
                "nginx, round 2: closed early; started again",
                "nginx, round 2: closed early; left out"
            ]
        );
    }

    #[test]
    fn the_median_of_an_even_number_of_rounds_lies_between_two() {
        let mut next = [1.0, 4.0, 2.0, 9.0].into_iter();
        let rounds = Rounds::run(&KINDS[..1], 4, |_| Ok(next.next().expect("four rounds")));
        assert_eq!(rounds.expect("no figure fails").figures()["hawser"]["median"], 3.0);
        assert!(Rounds::run(&KINDS[..1], 0, |_| Ok(1.0)).is_err());
    }

    #[test]
    fn ratios_are_made_within_a_round() {
        let figures = [[2.0, 4.0], [30.0, 60.0], [1.0, 2.0]];
        let mut next = figures.iter();
        let mut round: &[f64; 2] = &figures[0];
        let mut turn = 0;
        let rounds = Rounds::run(&KINDS[..2], 3, |i| {
            if turn % 2 == 0 {
                round = next.next().expect("three rounds");
            }
            turn += 1;
            Ok(round[i])
        })
        .expect("no figure fails");
        let ratio = &rounds.ratios()["hawser_to_nginx"];
        assert_eq!((&ratio["min"], &ratio["max"]), (&json!(0.5), &json!(0.5)));
        assert_eq!(rounds.ratios()["best_other"], "nginx");
        assert_eq!(rounds.figures()["hawser"]["median"], 2.0);
    }
}
