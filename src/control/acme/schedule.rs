//! When which domain is due: a certificate before it runs out, a failed order after a pause. Pure:
//! time and chance come in as arguments. Not here: ordering (`order`), and what is on disk
//! (`store`).

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::limits::{ACME_PAUSE_MAX, ACME_PAUSE_MIN, ACME_RETRY_AFTER_MAX};

/// How the orders of one domain went since the last one that succeeded.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempts {
    pub failures: u32,
    /// In words; the CA's own where it said any.
    pub last_error: Box<str>,
    /// Seconds since 1970.
    pub failed_at: u64,
    pub next_at: u64,
}

/// Every domain that wants a certificate from the CA.
#[derive(Debug, Default)]
pub struct Schedule {
    domains: BTreeMap<Arc<str>, Domain>,
}

#[derive(Debug)]
struct Domain {
    /// When the pair that is there should be renewed; the epoch where there is none.
    renewal: SystemTime,
    attempts: Attempts,
    under_way: bool,
}

impl Domain {
    fn due(&self) -> SystemTime {
        self.renewal.max(at(self.attempts.next_at))
    }
}

impl Schedule {
    /// Those of `names` that nothing is known of.
    pub fn unknown(&self, names: &[Arc<str>]) -> Vec<Arc<str>> {
        names.iter().filter(|name| !self.domains.contains_key(*name)).cloned().collect()
    }

    /// Makes `names` the ones that are looked after. `renewals` says when the pairs of the unknown
    /// ones are due, where they have any; `attempts` what an earlier process knew of them.
    pub fn want(
        &mut self,
        names: &[Arc<str>],
        renewals: &BTreeMap<Arc<str>, SystemTime>,
        attempts: &BTreeMap<Arc<str>, Attempts>,
    ) {
        let wanted: HashSet<&str> = names.iter().map(|name| &**name).collect();
        self.domains.retain(|name, domain| domain.under_way || wanted.contains(&**name));
        for name in names {
            self.domains.entry(Arc::clone(name)).or_insert_with(|| Domain {
                renewal: renewals.get(name).copied().unwrap_or(SystemTime::UNIX_EPOCH),
                attempts: attempts.get(name).cloned().unwrap_or_default(),
                under_way: false,
            });
        }
    }

    /// The operator may have repaired something: forgets the pauses, and what was known of the
    /// pairs.
    pub fn begin_anew(&mut self) {
        self.domains.retain(|_, domain| domain.under_way);
    }

    /// At most `room` domains whose time has come, those first that wait for longest; each is under
    /// way until [`Schedule::succeeded`] or [`Schedule::failed`].
    pub fn take_due(&mut self, now: SystemTime, room: usize) -> Vec<Arc<str>> {
        let mut due: Vec<_> = self
            .domains
            .iter()
            .filter(|(_, domain)| !domain.under_way && domain.due() <= now)
            .map(|(name, domain)| (domain.due(), Arc::clone(name)))
            .collect();
        due.sort_unstable();
        due.truncate(room);
        let names: Vec<_> = due.into_iter().map(|(_, name)| name).collect();
        for name in &names {
            if let Some(domain) = self.domains.get_mut(name) {
                domain.under_way = true;
            }
        }
        names
    }

    /// When the next domain is due, of those that are not under way.
    pub fn next(&self) -> Option<SystemTime> {
        self.domains.values().filter(|domain| !domain.under_way).map(Domain::due).min()
    }

    pub fn succeeded(&mut self, name: &str, renewal: SystemTime) {
        if let Some(domain) = self.domains.get_mut(name) {
            *domain = Domain { renewal, attempts: Attempts::default(), under_way: false };
        }
    }

    /// `retry_after`: the CA's own wish (RFC 8555 6.6). `chance` is from 0 to 1. Returns the pause.
    pub fn failed(
        &mut self,
        name: &str,
        error: &str,
        now: SystemTime,
        retry_after: Option<Duration>,
        chance: f64,
    ) -> Duration {
        let Some(domain) = self.domains.get_mut(name) else { return Duration::ZERO };
        let failures = domain.attempts.failures.saturating_add(1);
        let wished = retry_after.unwrap_or_default().min(ACME_RETRY_AFTER_MAX);
        let pause = pause(failures, chance).max(wished);
        domain.attempts = Attempts {
            failures,
            last_error: error.into(),
            failed_at: seconds(now),
            next_at: seconds(now + pause),
        };
        domain.under_way = false;
        pause
    }

    /// Domains whose last order failed.
    pub fn attempts(&self) -> BTreeMap<Arc<str>, Attempts> {
        let failed = self.domains.iter().filter(|(_, domain)| domain.attempts.failures > 0);
        failed.map(|(name, domain)| (Arc::clone(name), domain.attempts.clone())).collect()
    }
}

/// A third of the life is left, or up to a twentieth more: certificates that were ordered together
/// are not renewed together. `chance` is from 0 to 1, always the same for one certificate.
pub fn renewal(not_before: SystemTime, not_after: SystemTime, chance: f64) -> SystemTime {
    let life = not_after.duration_since(not_before).unwrap_or_default();
    let early = life / 3 + (life / 20).mul_f64(chance);
    not_after.checked_sub(early).unwrap_or(not_before)
}

/// After that many failures in a row: twice as long each time, between half of it and the whole.
fn pause(failures: u32, chance: f64) -> Duration {
    let doublings = failures.clamp(1, 16);
    let whole = ACME_PAUSE_MIN.saturating_mul(1 << doublings).min(ACME_PAUSE_MAX);
    whole / 2 + (whole / 2).mul_f64(chance)
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn at(seconds: u64) -> SystemTime {
    // Read from a file; one that is out of range is no time at all.
    SystemTime::UNIX_EPOCH
        .checked_add(Duration::from_secs(seconds))
        .unwrap_or(SystemTime::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 86_400;

    fn names(list: &[&str]) -> Vec<Arc<str>> {
        list.iter().map(|&name| name.into()).collect()
    }

    #[test]
    fn a_third_of_the_life_is_left_at_renewal() {
        let days = |n| at(n * DAY);
        // Issued, ends, chance, renewed.
        let cases = [
            (days(100), days(190), 0.0, days(160)),
            (days(100), days(160), 1.0, days(137)),
            (days(100), days(106), 0.0, days(104)),
            (days(100), days(100), 0.5, days(100)),
            (days(101), days(100), 0.5, days(100)),
        ];
        for (not_before, not_after, chance, want) in cases {
            assert_eq!(renewal(not_before, not_after, chance), want, "{not_after:?} {chance}");
        }
    }

    #[test]
    fn pauses_grow_from_a_minute_to_six_hours() {
        let minutes = |failures, chance| pause(failures, chance).as_secs_f64() / 60.0;
        let least: Vec<f64> = (1..=10).map(|n| minutes(n, 0.0)).collect();
        assert_eq!(least, [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 180.0, 180.0]);
        assert_eq!((minutes(1, 1.0), minutes(9, 1.0)), (2.0, 360.0));
        assert_eq!((minutes(u32::MAX, 1.0), minutes(0, 0.0)), (360.0, 1.0));
    }

    /// A year of one domain, by a clock that jumps from event to event.
    #[test]
    fn a_year_with_an_outage_of_the_ca() {
        let mut schedule = Schedule::default();
        let all = names(&["a.test"]);
        schedule.want(&all, &BTreeMap::new(), &BTreeMap::new());
        let outage = at(1_055 * DAY)..at(1_062 * DAY);
        let mut now = at(1_000 * DAY);
        let (mut ends, mut issued, mut failed) = (now, Vec::new(), 0);
        while now < at(1_365 * DAY) {
            assert_eq!(schedule.take_due(now, 4), all);
            assert!(issued.is_empty() || now < ends, "the old pair must not run out");
            if outage.contains(&now) {
                schedule.failed("a.test", "no answer", now, None, 0.5);
                failed += 1;
            } else {
                issued.push(now);
                ends = now + Duration::from_secs(90 * DAY);
                schedule.succeeded("a.test", renewal(now, ends, 0.5));
            }
            now = schedule.next().unwrap();
        }
        assert_eq!(issued.len(), 7, "{issued:?}");
        // Days 57.75 to 62, every four and a half hours once the pauses have grown.
        assert!((25..40).contains(&failed), "{failed}");
    }

    #[test]
    fn few_at_once_and_the_longest_waiting_first() {
        let mut schedule = Schedule::default();
        let all = names(&["a.test", "b.test", "c.test", "d.test"]);
        let renewal = |name: &Arc<str>| at(if &**name == "d.test" { 5 } else { 10 });
        let renewals = all.iter().map(|name| (Arc::clone(name), renewal(name))).collect();
        assert_eq!(schedule.unknown(&all), all);
        schedule.want(&all, &renewals, &BTreeMap::new());
        assert!(schedule.unknown(&all).is_empty());
        assert!(schedule.take_due(at(4), 2).is_empty());
        assert_eq!(schedule.take_due(at(20), 2), names(&["d.test", "a.test"]));
        assert_eq!(schedule.take_due(at(20), 2), names(&["b.test", "c.test"]));
        assert_eq!(schedule.next(), None, "all are under way");
        schedule.succeeded("d.test", at(100));
        assert_eq!(schedule.next(), Some(at(100)));
    }

    #[test]
    fn the_wish_of_the_ca_counts_within_bounds() {
        let mut schedule = Schedule::default();
        schedule.want(&names(&["a.test"]), &BTreeMap::new(), &BTreeMap::new());
        let now = at(1_000);
        let hours = |n: u64| Some(Duration::from_secs(n * 3_600));
        for (wished, pause) in [(hours(3), hours(3)), (hours(1_000), Some(ACME_RETRY_AFTER_MAX))] {
            assert_eq!(Some(schedule.failed("a.test", "slow down", now, wished, 0.0)), pause);
        }
        assert!(schedule.take_due(now + ACME_RETRY_AFTER_MAX / 2, 1).is_empty());
        assert_eq!(schedule.take_due(now + ACME_RETRY_AFTER_MAX, 1).len(), 1);
    }

    #[test]
    fn a_restart_keeps_the_pause_and_a_reload_ends_it() {
        let mut schedule = Schedule::default();
        let all = names(&["a.test"]);
        schedule.want(&all, &BTreeMap::new(), &BTreeMap::new());
        schedule.take_due(at(1_000), 1);
        schedule.failed("a.test", "refused", at(1_000), None, 0.0);
        let kept = schedule.attempts();
        assert_eq!(kept["a.test"].failed_at, 1_000);
        assert_eq!(kept["a.test"].next_at, 1_060);

        let mut restarted = Schedule::default();
        restarted.want(&all, &BTreeMap::new(), &kept);
        assert!(restarted.take_due(at(1_059), 1).is_empty());
        restarted.begin_anew();
        restarted.want(&all, &BTreeMap::new(), &BTreeMap::new());
        assert_eq!(restarted.take_due(at(1_059), 1).len(), 1);
        // Under way: neither forgotten nor begun twice.
        restarted.begin_anew();
        restarted.want(&[], &BTreeMap::new(), &BTreeMap::new());
        restarted.want(&all, &BTreeMap::new(), &BTreeMap::new());
        assert!(restarted.take_due(at(9_999), 1).is_empty());
        restarted.succeeded("a.test", at(20_000));
        assert_eq!((restarted.next(), restarted.attempts().len()), (Some(at(20_000)), 0));
    }
}
