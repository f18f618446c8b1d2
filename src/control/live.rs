//! What the cores counted so far, added up by domain: for the metrics and for whoever asks what
//! goes on right now.
//!
//! Not here: slots of time (`statistics`), and single connections (`cores`).

pub mod sampler;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::snapshot::{Domain, Snapshot};
use crate::stats::counters::{CodeCounters, CodeName};
use crate::stats::histogram::BOUNDS_US;
use crate::stats::{Cause, DomainCounters, Histogram, SeriesCounters, Stats};

/// Of one domain, all cores together, since the process began.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Figures {
    /// Plain HTTP.
    pub http_bytes_out: u64,
    pub http_bytes_in: u64,
    pub requests: BTreeMap<CodeName, u64>,
    /// WebSocket: upgrade requests and tunnels, from all regions and providers.
    pub bytes_out: u64,
    pub bytes_in: u64,
    pub messages_out: u64,
    pub messages_in: u64,
    pub opened: u64,
    /// Tunnels open now.
    pub active: u64,
    /// Tunnels closed, by cause (`Cause as usize`).
    pub closed: [u64; Cause::COUNT],
    pub handshakes: BTreeMap<CodeName, u64>,
    pub handshake_times: Times,
    /// From Ping to Pong.
    pub client_rtt: Times,
    pub origin_rtt: Times,
}

/// Histograms of several cores or series, added up.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Times {
    /// By the bounds of `stats::histogram`, the last above every bound.
    pub counts: [u64; BOUNDS_US.len() + 1],
    pub us: u64,
}

/// Figures of the domains of one snapshot, by name.
pub type ByDomain = HashMap<Arc<str>, Figures>;

/// Figures of every domain of `snapshot`.
pub fn by_domain(stats: &Stats, snapshot: &Snapshot) -> ByDomain {
    let mut all: ByDomain = HashMap::with_capacity(snapshot.hosts.len());
    for domain in snapshot.hosts.iter() {
        all.insert(Arc::clone(&domain.name), plain(stats, domain));
    }
    for core in stats.cores() {
        for (name, series) in core.all_series() {
            if let Some(figures) = all.get_mut(&name.domain) {
                figures.add_series(series);
            }
        }
    }
    all
}

/// What is not counted by series.
fn plain(stats: &Stats, domain: &Domain) -> Figures {
    let mut figures = Figures::default();
    for core in stats.cores() {
        if let Some(counters) = core.domain_if_used(domain.slot) {
            figures.add_plain(counters);
        }
    }
    figures
}

impl Figures {
    fn add_plain(&mut self, counters: &DomainCounters) {
        self.http_bytes_out += counters.http_bytes_out.value();
        self.http_bytes_in += counters.http_bytes_in.value();
        add_codes(&mut self.requests, &counters.requests);
        self.client_rtt.add(&counters.client_rtt_us);
        self.origin_rtt.add(&counters.origin_rtt_us);
    }

    fn add_series(&mut self, series: &SeriesCounters) {
        self.bytes_out += series.bytes_out.value();
        self.bytes_in += series.bytes_in.value();
        self.messages_out += series.messages_out.value();
        self.messages_in += series.messages_in.value();
        self.opened += series.opened.value();
        self.active += series.active.value();
        for (sum, counter) in self.closed.iter_mut().zip(&series.closed) {
            *sum += counter.value();
        }
        add_codes(&mut self.handshakes, &series.handshakes);
        self.handshake_times.add(&series.handshake_us);
    }

    /// Causes for which a tunnel ended, with how many did.
    pub fn closed_by_cause(&self) -> impl Iterator<Item = (Cause, u64)> + '_ {
        let all = Cause::ALL.iter().zip(self.closed);
        all.filter(|(_, n)| *n > 0).map(|(cause, n)| (*cause, n))
    }
}

impl Times {
    pub fn add(&mut self, histogram: &Histogram) {
        for (sum, n) in self.counts.iter_mut().zip(histogram.counts()) {
            *sum += n;
        }
        self.us += histogram.sum_us();
    }

    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Microseconds below which `share` (0 to 1) of all were, as far as the buckets tell: the upper
    /// bound of one. `None` when there were none, or it lies above every bound.
    pub fn quantile_us(&self, share: f64) -> Option<u64> {
        let wanted = (self.count() as f64 * share).ceil().max(1.0) as u64;
        let mut seen = 0;
        let bucket = self.counts.iter().position(|n| {
            seen += n;
            seen >= wanted
        });
        BOUNDS_US.get(bucket?).copied()
    }
}

/// Only codes that occurred: of many domains, most would be zero.
fn add_codes(sums: &mut BTreeMap<CodeName, u64>, counters: &CodeCounters) {
    for (code, n) in counters.iter().filter(|(_, n)| *n > 0) {
        *sums.entry(code).or_default() += n;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::publish::testing;
    use crate::stats::SeriesName;

    #[test]
    fn series_of_a_domain_are_added_up_over_places_and_cores() {
        let stats = Stats::new(2);
        let snapshot = testing::snapshot(&[("a.test", &[]), ("b.test", &[])]);
        for core in stats.cores() {
            for (domain, region) in [("a.test", "x"), ("a.test", "y"), ("gone.test", "x")] {
                let (region, isp) = (region.into(), "unknown".into());
                let name = SeriesName { domain: domain.into(), region, isp };
                let series = core.series(core.begin_series(name, None, 0).unwrap());
                series.bytes_out.add(10);
                series.open(1);
                series.open(1);
                series.close(Cause::Killed);
                series.handshakes.count(418);
                series.handshake_us.record_us(100);
            }
            core.domain(0).http_bytes_out.add(7);
        }
        let all = by_domain(&stats, &snapshot);
        assert_eq!(all.len(), 2);
        assert_eq!(all["b.test"], Figures::default());
        let a = &all["a.test"];
        assert_eq!((a.http_bytes_out, a.bytes_out, a.opened, a.active), (14, 40, 8, 4));
        assert_eq!(a.closed_by_cause().collect::<Vec<_>>(), [(Cause::Killed, 4)]);
        let codes: Vec<_> =
            a.handshakes.iter().map(|(c, n)| (c.code(), c.to_string(), *n)).collect();
        assert_eq!(codes, [(498, "4xx".to_owned(), 4)]);
        assert_eq!((a.handshake_times.count(), a.handshake_times.us), (4, 400));
    }

    #[test]
    fn quantiles_are_bounds_of_buckets() {
        let mut times = Times::default();
        assert_eq!(times.quantile_us(0.5), None);
        let histogram = Histogram::default();
        for us in [10, 100, 100, 1_000_000_000] {
            histogram.record_us(us);
        }
        times.add(&histogram);
        let quantiles = [0.0, 0.25, 0.5, 0.75, 1.0].map(|share| times.quantile_us(share));
        assert_eq!(quantiles, [Some(64), Some(64), Some(256), Some(256), None]);
    }
}
