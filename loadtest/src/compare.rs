//! Rounds: every proxy is busy once in each, in a turned order, and ratios are made within a round,
//! so that what slows the machine down for a while hits both sides of them. Not here: what a
//! figure is.

use serde_json::{Map, Value, json};

use crate::proxy::Kind;

/// Figures of every round, in the order of `kinds`; less is better.
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

    /// The first proxy's figure over each other one's, and over that of the other proxy with the
    /// least median; the floor is none of these.
    pub fn ratios(&self) -> Value {
        let first = self.kinds[0].name();
        let mut ratios = Map::new();
        for (i, kind) in self.kinds.iter().enumerate().skip(1) {
            let ratio = self.spread(|round| round[0] / round[i]);
            ratios.insert(format!("{first}_to_{kind}"), ratio);
        }
        let others = (1..self.kinds.len()).filter(|i| self.kinds[*i] != Kind::Floor);
        let median = |i: &usize| sorted(self.rounds.iter().map(|round| round[*i]))[self.middle()];
        if let Some(best) = others.min_by(|a, b| median(a).total_cmp(&median(b))) {
            ratios.insert("best_other".into(), json!(self.kinds[best].name()));
        }
        Value::Object(ratios)
    }

    fn middle(&self) -> usize {
        self.rounds.len() / 2
    }

    fn spread(&self, figure: impl Fn(&[f64]) -> f64) -> Value {
        let values = sorted(self.rounds.iter().map(|round| figure(round)));
        json!({
            "min": rounded(values[0]),
            "lower_quarter": rounded(values[values.len() / 4]),
            "median": rounded(values[self.middle()]),
            "upper_quarter": rounded(values[values.len() * 3 / 4]),
            "max": rounded(values[values.len() - 1]),
        })
    }
}

pub fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values
}
