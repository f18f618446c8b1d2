//! A rate per second that all cores share in one word (GCRA). Not here: what happens to those who
//! are over it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Time on the process clock at which the budget will be whole again, in nanoseconds. A burst of
/// one second's worth is let through at once.
#[derive(Debug, Default)]
pub struct Rate {
    due_ns: AtomicU64,
}

impl Rate {
    /// Takes one turn of `per_second` if it comes within `patience`, and answers how long it is
    /// until then.
    ///
    /// # Errors
    /// When the turn would come, if that is later; none was taken.
    pub fn take(
        &self,
        per_second: u32,
        now: Duration,
        patience: Duration,
    ) -> Result<Duration, Duration> {
        let per_second = u64::from(per_second.max(1));
        let step = 1_000_000_000 / per_second;
        let burst = step * per_second;
        let (now, patience) = (now.as_nanos() as u64, patience.as_nanos() as u64);
        let turn = |due: u64| {
            let due = due.max(now) + step;
            (due, due.saturating_sub(now + burst))
        };
        let take = |due: u64| {
            let (due, wait) = turn(due);
            (wait <= patience).then_some(due)
        };
        match self.due_ns.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take) {
            Ok(before) => Ok(Duration::from_nanos(turn(before).1)),
            Err(before) => Err(Duration::from_nanos(turn(before).1)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_burst_of_one_second_then_turns_as_far_as_patience_goes() {
        let rate = Rate::default();
        for _ in 0..10 {
            assert_eq!(rate.take(10, ms(5), ms(0)), Ok(ms(0)));
        }
        assert_eq!(rate.take(10, ms(5), ms(99)), Err(ms(100)));
        assert_eq!(rate.take(10, ms(5), ms(250)), Ok(ms(100)));
        assert_eq!(rate.take(10, ms(5), ms(250)), Ok(ms(200)));
        assert_eq!(rate.take(10, ms(5), ms(250)), Err(ms(300)));
        assert_eq!(rate.take(10, ms(305), ms(0)), Ok(ms(0)));
        assert_eq!(rate.take(10, ms(305), ms(0)), Err(ms(100)));
    }
}
