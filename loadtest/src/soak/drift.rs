//! Whether a figure grows over a long run: the line through its samples, how certain its slope is,
//! and whether that matters. Not here: taking samples.

use serde_json::{Value, json};

use crate::line::Line;

/// A slope this many standard errors above nothing is no chance any more.
const CERTAIN: f64 = 3.0;
/// With fewer samples nothing can be said.
const SAMPLES_MIN: usize = 5;

#[derive(Debug, PartialEq)]
pub struct Drift {
    /// Growth in an hour, and the standard error of that.
    pub an_hour: f64,
    pub error: f64,
    /// Over all the time that was looked at.
    pub in_all: f64,
}

impl Drift {
    /// Of (seconds, figure), by least squares; `None` of too few samples.
    pub fn of(samples: &[(f64, f64)]) -> Option<Drift> {
        if samples.len() < SAMPLES_MIN {
            return None;
        }
        let Line { slope, error } = Line::through(samples)?;
        let seconds = samples[samples.len() - 1].0 - samples[0].0;
        let hour = 3600.0;
        Some(Drift { an_hour: slope * hour, error: error * hour, in_all: slope * seconds })
    }

    /// Grows for certain, and by more than `tolerated` over the run.
    pub fn is_leak(&self, tolerated: f64) -> bool {
        self.an_hour > CERTAIN * self.error && self.in_all > tolerated
    }

    pub fn shown(&self) -> Value {
        json!({
            "an_hour": self.an_hour.round(),
            "standard_error": self.error.round(),
            "in_all": self.in_all.round(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drift(values: &[f64]) -> Drift {
        let samples: Vec<_> =
            values.iter().enumerate().map(|(i, y)| (i as f64 * 60.0, *y)).collect();
        Drift::of(&samples).expect("there are enough samples")
    }

    #[test]
    fn a_leak_is_growth_that_is_certain_and_large() {
        for (values, tolerated, leak) in [
            ([100.0; 8], 0.0, false),
            ([10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0], 60.0, true),
            ([10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0], 80.0, false),
            ([80.0, 70.0, 60.0, 50.0, 40.0, 30.0, 20.0, 10.0], 0.0, false),
            ([50.0, 90.0, 10.0, 95.0, 5.0, 90.0, 15.0, 99.0], 5.0, false),
            // The first is low by warm-up: that alone is no trend.
            ([10.0, 50.0, 50.0, 50.0, 50.0, 50.0, 50.0, 50.0], 10.0, false),
        ] {
            assert_eq!(drift(&values).is_leak(tolerated), leak, "{values:?}: {:?}", drift(&values));
        }
    }

    #[test]
    fn the_slope_is_by_the_hour() {
        let drift = drift(&[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
        assert!((drift.an_hour - 60.0).abs() < 1e-6 && drift.error < 1e-6, "{drift:?}");
        assert!((drift.in_all - 5.0).abs() < 1e-6);
    }

    #[test]
    fn few_samples_say_nothing() {
        assert_eq!(Drift::of(&[(0.0, 1.0), (1.0, 2.0), (2.0, 3.0)]), None);
    }
}
