//! Times of many round trips in fixed memory. Not here: clocks.

use std::time::Duration;

use serde_json::{Value, json};

/// Buckets grow by an eighth, so a quantile is at most that much too high.
const STEPS_PER_DOUBLING: f64 = 6.0;
const BUCKETS: usize = 160;

pub struct Latency {
    counts: [u64; BUCKETS],
    max: Duration,
}

impl Default for Latency {
    fn default() -> Latency {
        Latency { counts: [0; BUCKETS], max: Duration::ZERO }
    }
}

impl Latency {
    pub fn record(&mut self, time: Duration) {
        let us = (time.as_nanos() as f64 / 1000.0).max(1.0);
        let bucket = ((us.log2() * STEPS_PER_DOUBLING).ceil() as usize).min(BUCKETS - 1);
        self.counts[bucket] += 1;
        self.max = self.max.max(time);
    }

    /// Median, 99th percentile and the longest, in microseconds.
    pub fn summary(&self) -> Value {
        json!({
            "p50": self.quantile(0.5),
            "p99": self.quantile(0.99),
            "max": self.max.as_micros() as u64,
        })
    }

    fn quantile(&self, q: f64) -> u64 {
        let all: u64 = self.counts.iter().sum();
        let rank = (all as f64 * q).ceil() as u64;
        let mut seen = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank && *count > 0 {
                return 2f64.powf(bucket as f64 / STEPS_PER_DOUBLING) as u64;
            }
        }
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_close_from_above() {
        let mut latency = Latency::default();
        for us in 1..=1000 {
            latency.record(Duration::from_micros(us));
        }
        for (q, exact) in [(0.5, 500), (0.99, 990)] {
            let found = latency.quantile(q);
            assert!((exact..=exact * 9 / 8 + 1).contains(&found), "{q}: {found}");
        }
    }
}
