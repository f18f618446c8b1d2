//! When messages of a fixed rate are due: reckoned from the beginning alone, so that nothing that
//! is late moves what comes after it. Not here: who sends them.

use std::time::{Duration, Instant};

use anyhow::ensure;

/// Message n is due n / rate after the beginning; with a ramp, which rises from 0 to the rate in a
/// straight line, later.
#[derive(Clone, Copy)]
pub struct Schedule {
    began: Instant,
    rate: f64,
    ramp: Duration,
}

impl Schedule {
    /// # Errors
    /// The rate is not a number of messages per second.
    pub fn new(began: Instant, rate: f64, ramp: Duration) -> anyhow::Result<Schedule> {
        ensure!(
            rate.is_finite() && rate > 0.0 && rate <= 1e9,
            "rate {rate}: give messages per second, more than 0 and at most 1000000000"
        );
        Ok(Schedule { began, rate, ramp })
    }

    pub fn due(&self, n: u64) -> Instant {
        self.began + self.after(n)
    }

    /// How many are due by then.
    pub fn count(&self, at: Instant) -> u64 {
        let t = at.saturating_duration_since(self.began).as_secs_f64();
        let ramp = self.ramp.as_secs_f64();
        let due = match t < ramp {
            true => self.rate * t * t / (2.0 * ramp),
            false => self.rate * (t - ramp / 2.0),
        };
        let near = due as u64;
        // The two formulas may differ in their last digit.
        let from = near.saturating_sub(1);
        (from..=near + 1).take_while(|n| self.due(*n) <= at).count() as u64 + from
    }

    fn after(&self, n: u64) -> Duration {
        let (n, ramp) = (n as f64, self.ramp.as_secs_f64());
        // What is due by then is the area below the line.
        let in_ramp = self.rate * ramp / 2.0;
        Duration::from_secs_f64(match n < in_ramp {
            true => (2.0 * n * ramp / self.rate).sqrt(),
            false => ramp + (n - in_ramp) / self.rate,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after_ms(rate: f64, ramp_ms: u64, n: u64) -> u128 {
        let schedule = Schedule::new(Instant::now(), rate, Duration::from_millis(ramp_ms));
        schedule.expect("the rate is a rate").after(n).as_millis()
    }

    #[test]
    fn messages_are_due_by_their_number_alone() {
        for (rate, ramp_ms, n, ms) in [
            (1000.0, 0, 0, 0),
            (1000.0, 0, 1, 1),
            (1000.0, 0, 86_400_000, 86_400_000),
            (0.5, 0, 3, 6000),
            // 500 messages within the ramp of a second, a quarter of them in its first half.
            (1000.0, 1000, 125, 500),
            (1000.0, 1000, 500, 1000),
            (1000.0, 1000, 1500, 2000),
        ] {
            assert_eq!(after_ms(rate, ramp_ms, n), ms, "{rate} after {ramp_ms} ms, message {n}");
        }
    }

    #[test]
    fn what_is_counted_is_what_is_due() {
        for (rate, ramp_ms) in [(1000.0, 0), (3.0, 0), (977.0, 1500), (0.25, 10)] {
            let ramp = Duration::from_millis(ramp_ms);
            let schedule = Schedule::new(Instant::now(), rate, ramp).expect("the rate is a rate");
            for n in [0, 1, 7, 400, 733, 12_345] {
                assert_eq!(schedule.count(schedule.due(n)), n + 1, "{rate}, message {n}");
            }
        }
    }

    #[test]
    fn what_is_no_rate_is_refused() {
        for rate in [0.0, -1.0, f64::NAN, f64::INFINITY, 2e9] {
            assert!(Schedule::new(Instant::now(), rate, Duration::ZERO).is_err(), "{rate}");
        }
    }
}
