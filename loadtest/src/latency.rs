//! Times of many events in histograms of fixed precision (three digits), which processes hand over
//! in HDR's own form, so that quantiles of several are those of all their events. Not here: clocks.

use std::time::Duration;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer, Serializer as _, V2Serializer};
use serde_json::{Value, json};

/// Longer times count as this one, so that a histogram has a greatest size (about 300 kB).
const LONGEST: Duration = Duration::from_secs(3600);

/// Counts nanoseconds; grows with the longest.
pub struct Latency(Histogram<u64>);

impl Default for Latency {
    fn default() -> Latency {
        Latency(Histogram::new(3).expect("three digits are within the crate's limits"))
    }
}

impl Latency {
    pub fn record(&mut self, time: Duration) {
        self.0 += time.min(LONGEST).as_nanos() as u64;
    }

    pub fn count(&self) -> u64 {
        self.0.len()
    }

    pub fn quantile_us(&self, quantile: f64) -> f64 {
        us(self.0.value_at_quantile(quantile) as f64)
    }

    /// Quantiles, in microseconds.
    pub fn summary(&self) -> Value {
        json!({
            "count": self.count(),
            "p50": self.quantile_us(0.5),
            "p90": self.quantile_us(0.9),
            "p99": self.quantile_us(0.99),
            "p999": self.quantile_us(0.999),
            "max": us(self.0.max() as f64),
            "mean": us(self.0.mean()),
        })
    }

    /// The summary with the histogram itself (V2, base64, nanoseconds).
    pub fn document(&self) -> Value {
        let mut bytes = Vec::new();
        V2Serializer::new().serialize(&self.0, &mut bytes).expect("memory takes all bytes");
        let mut document = self.summary();
        document["hdr"] = json!(STANDARD.encode(bytes));
        document
    }

    /// Adds what [`Latency::document`] holds.
    ///
    /// # Errors
    /// There is no histogram in it.
    pub fn add(&mut self, document: &Value) -> anyhow::Result<()> {
        let text = document["hdr"].as_str().context("a figure without its histogram (\"hdr\")")?;
        let bytes = STANDARD.decode(text).context("\"hdr\" is not base64")?;
        let other: Histogram<u64> =
            Deserializer::new().deserialize(&mut &bytes[..]).context("\"hdr\" is no histogram")?;
        Ok(self.0.add(other)?)
    }
}

/// The times called `figure` of several answers together.
pub fn merged<'a>(
    answers: impl IntoIterator<Item = &'a Value>,
    figure: &str,
) -> anyhow::Result<Latency> {
    let mut all = Latency::default();
    for answer in answers {
        all.add(&answer[figure]).with_context(|| format!("figure {figure}"))?;
    }
    Ok(all)
}

fn us(ns: f64) -> f64 {
    (ns / 100.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_of_two_processes_are_those_of_all_events() {
        let (mut low, mut high) = (Latency::default(), Latency::default());
        for us in 1..=1000 {
            let latency = if us <= 500 { &mut low } else { &mut high };
            latency.record(Duration::from_micros(us));
        }
        let answers = [json!({ "latency": low.document() }), json!({ "latency": high.document() })];
        let all = merged(&answers, "latency").expect("both have a histogram");
        assert_eq!(all.count(), 1000);
        for (quantile, exact) in [(0.5, 500.0), (0.99, 990.0), (1.0, 1000.0)] {
            let found = all.quantile_us(quantile);
            assert!((exact..=exact * 1.002).contains(&found), "{quantile}: {found}");
        }
        assert!(merged(&[json!({})], "latency").is_err());
    }

    #[test]
    fn a_time_without_end_is_counted_as_the_longest() {
        let mut latency = Latency::default();
        latency.record(Duration::MAX);
        let us = latency.quantile_us(1.0);
        assert!((3.6e9..3.61e9).contains(&us), "{us}");
    }
}
