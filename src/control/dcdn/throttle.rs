//! How often a key may call an operation (DCDN OpenAPI 2018-01-15, QPS). Each operation counts by
//! itself.

use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use super::error::{self, Failure};
use super::operations::{Operation, Rate};
use crate::control::config::Rates;

/// Calls between two rounds of forgetting who has not called for long.
const TIDY_EVERY: u32 = 10_000;

type Who = (&'static str, String);
type Limiter = DefaultKeyedRateLimiter<Who>;

/// Follows the configured rates: a change begins anew.
#[derive(Default)]
pub struct Throttle(Mutex<Option<Limits>>);

struct Limits {
    rates: Rates,
    limiters: [(Rate, Limiter); 5],
    calls: u32,
}

impl Throttle {
    /// # Errors
    /// `Throttling.User`, with the time after which the next call is let through.
    pub fn pass(&self, rates: Rates, operation: &Operation, key: &str) -> Result<(), Failure> {
        let mut limits = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let limits = match &mut *limits {
            Some(limits) if limits.rates == rates => limits,
            stale => stale.insert(Limits::new(rates)),
        };
        limits.pass(operation, key)
    }
}

impl std::fmt::Debug for Throttle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Throttle").finish_non_exhaustive()
    }
}

impl Limits {
    fn new(rates: Rates) -> Limits {
        let all = [Rate::Statistics, Rate::Domains, Rate::Lists, Rate::Deletions, Rate::Service];
        Limits { rates, limiters: all.map(|rate| (rate, limiter(rate.of(&rates)))), calls: 0 }
    }

    fn pass(&mut self, operation: &Operation, key: &str) -> Result<(), Failure> {
        self.calls += 1;
        if self.calls >= TIDY_EVERY {
            self.calls = 0;
            self.limiters.iter().for_each(|(_, limiter)| limiter.retain_recent());
        }
        let found = self.limiters.iter().find(|(rate, _)| *rate == operation.rate);
        let Some((_, limiter)) = found else { return Ok(()) };
        limiter.check_key(&(operation.name, key.to_owned())).map_err(|until| {
            let wait = until.wait_time_from(DefaultClock::default().now()).as_millis();
            let retry_after = Some(u64::try_from(wait).unwrap_or(u64::MAX).max(1));
            Failure { retry_after, ..error::THROTTLING.into() }
        })
    }
}

fn limiter(per_second: NonZeroU32) -> Limiter {
    RateLimiter::keyed(Quota::per_second(per_second))
}

impl Rate {
    fn of(self, rates: &Rates) -> NonZeroU32 {
        match self {
            Rate::Statistics => rates.statistics,
            Rate::Domains => rates.domains,
            Rate::Lists => rates.lists,
            Rate::Deletions => rates.deletions,
            Rate::Service => rates.service,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::dcdn::operations::find;

    // DCDN OpenAPI 2018-01-15: Throttling.User, by key and operation.
    #[test]
    fn each_operation_of_each_key_has_its_own_rate() {
        let one = NonZeroU32::new(1).unwrap();
        let [statistics, domains, lists, deletions, service] = [one; 5];
        let rates = Rates { rest: one, statistics, domains, lists, deletions, service };
        let (open, describe) = (find("OpenDcdnService").unwrap(), find("AddDcdnDomain").unwrap());
        let throttle = Throttle::default();
        throttle.pass(rates, open, "a").unwrap();
        throttle.pass(rates, open, "b").unwrap();
        throttle.pass(rates, describe, "a").unwrap();
        let error = throttle.pass(rates, open, "a").unwrap_err();
        assert_eq!((error.status, &*error.code), (400, "Throttling.User"));
        assert!((1..=1000).contains(&error.retry_after.unwrap()), "{error:?}");
        let more = Rates { service: NonZeroU32::new(100).unwrap(), ..rates };
        throttle.pass(more, open, "a").unwrap();
    }
}
