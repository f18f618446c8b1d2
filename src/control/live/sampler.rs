//! The node as a whole, with rates: one look at the counters serves everybody who wants to know.
//!
//! It looks once a second while somebody follows, and else now and then, so that whoever comes
//! finds rates of the last seconds. The cores do nothing for it. Not here: slots of time
//! (`statistics`), how samples reach those who follow (`api::events`).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, sleep_until};
use tracing::error;
use utoipa::ToSchema;

use super::Figures;
use crate::control::edge::{Edge, Phase};
use crate::limits::{LIVE_DOMAINS_MAX, LIVE_PERIOD, LIVE_PERIOD_ALONE, LIVE_STREAMS_MAX};
use crate::snapshot::Snapshot;
use crate::stats::counters::CodeName;
use crate::stats::{CoreCounters, SeriesCounters, Stats};

/// The node at one moment. Rates are averages over `period_ms`; bytes and messages are those of
/// WebSocket.
#[derive(Debug, Clone, Default, PartialEq, Serialize, ToSchema)]
pub struct Sample {
    /// Counts samples from 1.
    pub number: u64,
    /// RFC 3339, UTC.
    #[schema(example = "2026-11-01T00:00:00Z")]
    pub at: String,
    /// Since the sample before.
    pub period_ms: u64,
    /// `starting`, `serving` or `draining`.
    pub phase: &'static str,
    pub generation: u64,
    pub uptime_s: u64,
    /// Tunnels that are open now.
    pub connections: u64,
    /// To clients.
    pub bytes_out_per_s: f64,
    pub bytes_in_per_s: f64,
    /// Whole messages to clients.
    pub messages_out_per_s: f64,
    pub messages_in_per_s: f64,
    /// Answers to upgrade requests.
    pub handshakes_per_s: f64,
    /// By status code, only those that occurred; the rest of a class as `4xx`.
    pub handshakes: Vec<CodeRate>,
    pub closes_per_s: f64,
    /// By cause, only those that occurred.
    pub closes: Vec<CauseRate>,
    /// The ten with the most traffic now, the largest first; only those that have connections or
    /// traffic.
    pub domains: Vec<DomainRate>,
    pub cores: Vec<CoreLoad>,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct CodeRate {
    #[schema(example = "101")]
    pub code: String,
    /// Since the start of the process.
    pub count: u64,
    pub per_s: f64,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct CauseRate {
    #[schema(example = "peer_close")]
    pub cause: &'static str,
    /// Since the start of the process.
    pub count: u64,
    pub per_s: f64,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct DomainRate {
    pub domain: String,
    /// Tunnels that are open now.
    pub connections: u64,
    pub bytes_out_per_s: f64,
    pub bytes_in_per_s: f64,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct CoreLoad {
    /// Part of its time that the thread of the core ran, as the core measures it once a second;
    /// null until it has, and when it does not any more.
    pub load_percent: Option<f64>,
    /// Tunnels that it has now.
    pub connections: u64,
}

/// The one who looks, and those who follow.
#[derive(Debug)]
pub struct Sampler {
    samples: watch::Sender<Arc<Sample>>,
    wanted: Notify,
    places: Arc<Semaphore>,
}

impl Default for Sampler {
    fn default() -> Sampler {
        Sampler {
            samples: watch::Sender::default(),
            wanted: Notify::new(),
            places: Arc::new(Semaphore::new(LIVE_STREAMS_MAX)),
        }
    }
}

/// Who follows the samples. While one of them exists there is a new sample every second.
#[derive(Debug)]
pub struct Follower {
    samples: watch::Receiver<Arc<Sample>>,
    _place: OwnedSemaphorePermit,
}

impl Follower {
    /// The first sample is there at once, or as soon as the counters are read.
    pub async fn next(&mut self) -> Option<Arc<Sample>> {
        self.samples.changed().await.ok()?;
        Some(Arc::clone(&self.samples.borrow_and_update()))
    }
}

impl Sampler {
    /// `None` when [`LIVE_STREAMS_MAX`] follow already.
    pub fn follow(&self) -> Option<Follower> {
        let place = Arc::clone(&self.places).try_acquire_owned().ok()?;
        Some(Follower { samples: self.subscribed(), _place: place })
    }

    /// A sample that is at most as old as [`LIVE_PERIOD`].
    pub async fn latest(&self) -> Arc<Sample> {
        let mut samples = self.subscribed();
        // Only a process that ends looks no more: then the last one is as good as any.
        let _ = samples.changed().await;
        Arc::clone(&samples.borrow())
    }

    fn subscribed(&self) -> watch::Receiver<Arc<Sample>> {
        let mut samples = self.samples.subscribe();
        let last = Arc::clone(&samples.borrow_and_update());
        let age = last.at.parse::<Timestamp>().map(|at| Timestamp::now().duration_since(at));
        let is_fresh = age.is_ok_and(|age| age.unsigned_abs() < LIVE_PERIOD);
        if is_fresh {
            samples.mark_changed();
        }
        self.wanted.notify_one();
        samples
    }

    /// Looks for as long as the process lives.
    pub async fn run(&self, edge: Arc<Edge>) {
        let mut looks = Looks::default();
        let mut phase = edge.phase.subscribe();
        loop {
            let begun = Instant::now();
            let (stats, snapshot) = (Arc::clone(&edge.stats), edge.publisher.cell().current());
            let looking = tokio::task::spawn_blocking(move || {
                let sample = looks.next(&stats, &snapshot, Instant::now());
                (looks, sample)
            });
            looks = match looking.await {
                Ok((looks, sample)) => {
                    self.publish(&edge, sample);
                    looks
                }
                Err(panic) => {
                    error!(%panic, "live figures: a fault of our own; counting goes on");
                    Looks::default()
                }
            };
            self.pause(&edge, begun, &mut phase).await;
        }
    }

    async fn pause(&self, edge: &Edge, begun: Instant, phase: &mut watch::Receiver<Phase>) {
        loop {
            let followed = self.samples.receiver_count() > 0;
            let pause = if followed { LIVE_PERIOD } else { LIVE_PERIOD_ALONE };
            tokio::select! {
                () = sleep_until(begun + pause) => return,
                () = self.wanted.notified() => {}
                // Said at once, with the figures of the last look: a look too soon after another
                // one would give rates of next to no time.
                Ok(()) = phase.changed() => {
                    let last = Sample::clone(&self.samples.borrow());
                    self.publish(edge, last);
                }
            }
        }
    }

    fn publish(&self, edge: &Edge, sample: Sample) {
        let number = self.samples.borrow().number + 1;
        let (phase, uptime_s) = (edge.phase().name(), edge.started.elapsed().as_secs());
        self.samples.send_replace(Arc::new(Sample { number, phase, uptime_s, ..sample }));
    }
}

/// What the last look saw.
#[derive(Debug, Default)]
struct Looks {
    before: Option<Reading>,
    clocks: Vec<Clock>,
}

/// Sums since the start of the process.
#[derive(Debug)]
struct Reading {
    taken: Instant,
    all: Figures,
    domains: HashMap<Arc<str>, Volume>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Volume {
    connections: u64,
    bytes_out: u64,
    bytes_in: u64,
}

impl Reading {
    fn take(stats: &Stats, taken: Instant) -> Reading {
        let mut reading = Reading { taken, all: Figures::default(), domains: HashMap::new() };
        for core in stats.cores() {
            for (name, series) in core.all_series() {
                reading.all.add_series(series);
                match reading.domains.get_mut(&name.domain) {
                    Some(volume) => volume.add(series),
                    None => {
                        let mut volume = Volume::default();
                        volume.add(series);
                        reading.domains.insert(Arc::clone(&name.domain), volume);
                    }
                }
            }
        }
        reading
    }
}

impl Volume {
    fn add(&mut self, series: &SeriesCounters) {
        self.connections += series.active.value();
        self.bytes_out += series.bytes_out.value();
        self.bytes_in += series.bytes_in.value();
    }
}

/// Differences of two readings as rates.
struct Rates<'a> {
    now: &'a Reading,
    before: &'a Reading,
    seconds: f64,
}

impl Rates<'_> {
    fn of(&self, sum: impl Fn(&Figures) -> u64) -> f64 {
        self.per_s(sum(&self.now.all), sum(&self.before.all))
    }

    fn per_s(&self, now: u64, before: u64) -> f64 {
        if self.seconds == 0.0 {
            return 0.0;
        }
        rounded(now.saturating_sub(before) as f64 / self.seconds)
    }

    fn code(&self, code: CodeName, count: u64) -> CodeRate {
        let before = self.before.all.handshakes.get(&code).copied().unwrap_or(0);
        CodeRate { code: code.to_string(), count, per_s: self.per_s(count, before) }
    }

    /// Those that are configured: others lead nowhere.
    fn domains(&self, snapshot: &Snapshot) -> Vec<DomainRate> {
        let known = self.now.domains.iter().filter(|(name, _)| snapshot.hosts.contains(name));
        let rate = |(name, now): (&Arc<str>, &Volume)| {
            let before = self.before.domains.get(name).copied().unwrap_or_default();
            DomainRate {
                domain: name.to_string(),
                connections: now.connections,
                bytes_out_per_s: self.per_s(now.bytes_out, before.bytes_out),
                bytes_in_per_s: self.per_s(now.bytes_in, before.bytes_in),
            }
        };
        let volume = |rate: &DomainRate| rate.bytes_out_per_s + rate.bytes_in_per_s;
        let is_used = |rate: &DomainRate| rate.connections > 0 || volume(rate) > 0.0;
        let mut all: Vec<DomainRate> = known.map(rate).filter(is_used).collect();
        all.sort_by(|a, b| {
            let busier = volume(b).total_cmp(&volume(a));
            busier.then(b.connections.cmp(&a.connections)).then_with(|| a.domain.cmp(&b.domain))
        });
        all.truncate(LIVE_DOMAINS_MAX);
        all
    }
}

impl Looks {
    fn next(&mut self, stats: &Stats, snapshot: &Snapshot, taken: Instant) -> Sample {
        let now = Reading::take(stats, taken);
        let before = self.before.as_ref().unwrap_or(&now);
        let period = now.taken.duration_since(before.taken);
        let rates = Rates { now: &now, before, seconds: period.as_secs_f64() };
        let closes = now.all.closed_by_cause().map(|(cause, count)| CauseRate {
            cause: cause.name(),
            count,
            per_s: rates.per_s(count, before.all.closed[cause as usize]),
        });
        self.clocks.resize_with(stats.cores().len(), Clock::default);
        let cores = self.clocks.iter_mut().zip(stats.cores());
        let cores: Vec<_> = cores.map(|(clock, core)| clock.load(&core.core, taken)).collect();
        let sample = Sample {
            at: Timestamp::now().round(jiff::Unit::Millisecond).unwrap_or_default().to_string(),
            period_ms: period.as_millis() as u64,
            generation: snapshot.generation,
            connections: cores.iter().map(|core| core.connections).sum(),
            bytes_out_per_s: rates.of(|all| all.bytes_out),
            bytes_in_per_s: rates.of(|all| all.bytes_in),
            messages_out_per_s: rates.of(|all| all.messages_out),
            messages_in_per_s: rates.of(|all| all.messages_in),
            handshakes_per_s: rates.of(|all| all.handshakes.values().sum()),
            handshakes: now.all.handshakes.iter().map(|(c, n)| rates.code(*c, *n)).collect(),
            closes_per_s: rates.of(|all| all.closed.iter().sum()),
            closes: closes.collect(),
            domains: rates.domains(snapshot),
            cores,
            ..Sample::default()
        };
        self.before = Some(now);
        sample
    }
}

/// What a core last said of its time. It does so once a second by its own clock, so between two
/// looks there may be no news, or two.
#[derive(Debug, Default)]
struct Clock {
    busy_ns: u64,
    elapsed_ns: u64,
    load: Option<f64>,
    heard: Option<Instant>,
}

/// Without news for so long a core does not run any more.
const SILENCE: Duration = Duration::from_secs(5);

impl Clock {
    fn load(&mut self, core: &CoreCounters, now: Instant) -> CoreLoad {
        let (busy_ns, elapsed_ns) = (core.busy_ns.value(), core.elapsed_ns.value());
        let passed = elapsed_ns.saturating_sub(self.elapsed_ns);
        if passed > 0 {
            let busy = busy_ns.saturating_sub(self.busy_ns);
            let load = (busy as f64 * 100.0 / passed as f64).min(100.0);
            *self = Clock { busy_ns, elapsed_ns, load: Some(rounded(load)), heard: Some(now) };
        } else if self.heard.is_none_or(|heard| now.duration_since(heard) > SILENCE) {
            self.load = None;
        }
        CoreLoad { load_percent: self.load, connections: core.tunnels.value() }
    }
}

/// A digit behind the point is what anybody reads.
fn rounded(n: f64) -> f64 {
    (n * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::publish::testing;
    use crate::stats::{Cause, SeriesName};

    fn looked(looks: &mut Looks, stats: &Stats, snapshot: &Snapshot, at: Instant) -> Sample {
        let sample = looks.next(stats, snapshot, at);
        Sample { at: String::new(), ..sample }
    }

    #[test]
    fn rates_are_differences_over_the_time_between_two_looks() {
        let (stats, start) = (Stats::new(1), Instant::now());
        let snapshot = testing::snapshot(&[("a.test", &[]), ("b.test", &[])]);
        let core = &stats.cores()[0];
        let series = |domain: &str| {
            let (region, isp) = ("x".into(), "y".into());
            core.begin_series(SeriesName { domain: domain.into(), region, isp }, None, 0).unwrap()
        };
        let [a, b, gone] = ["a.test", "b.test", "gone.test"].map(|name| core.series(series(name)));
        let mut looks = Looks::default();
        a.bytes_out.add(1_000);
        let first = looked(&mut looks, &stats, &snapshot, start);
        assert_eq!((first.period_ms, first.bytes_out_per_s), (0, 0.0));
        a.bytes_out.add(500);
        b.bytes_in.add(5_000);
        gone.bytes_out.add(100);
        a.messages_in.add(3);
        for _ in 0..4 {
            a.open(1);
            a.handshakes.count(101);
        }
        a.close(Cause::Killed);
        b.handshakes.count(418);
        core.core.tunnels.set(3);
        let second = looked(&mut looks, &stats, &snapshot, start + Duration::from_secs(2));
        let expected = Sample {
            period_ms: 2_000,
            generation: 1,
            connections: 3,
            bytes_out_per_s: 300.0,
            bytes_in_per_s: 2_500.0,
            messages_in_per_s: 1.5,
            handshakes_per_s: 2.5,
            handshakes: vec![
                CodeRate { code: "101".into(), count: 4, per_s: 2.0 },
                CodeRate { code: "4xx".into(), count: 1, per_s: 0.5 },
            ],
            closes_per_s: 0.5,
            closes: vec![CauseRate { cause: "killed", count: 1, per_s: 0.5 }],
            domains: [("b.test", 0, 0.0, 2_500.0), ("a.test", 3, 250.0, 0.0)]
                .map(|(name, connections, bytes_out_per_s, bytes_in_per_s)| DomainRate {
                    domain: name.into(),
                    connections,
                    bytes_out_per_s,
                    bytes_in_per_s,
                })
                .to_vec(),
            cores: vec![CoreLoad { load_percent: None, connections: 3 }],
            ..Sample::default()
        };
        assert_eq!(second, expected);
        let third = looked(&mut looks, &stats, &snapshot, start + Duration::from_secs(3));
        assert_eq!((third.handshakes[0].count, third.handshakes[0].per_s), (4, 0.0));
    }

    #[test]
    fn only_the_busiest_domains_are_named() {
        let (stats, start) = (Stats::new(1), Instant::now());
        let names: Vec<String> = (0..LIVE_DOMAINS_MAX + 5).map(|i| format!("d{i}.test")).collect();
        let hosts: Vec<(&str, &[&str])> = names.iter().map(|name| (&**name, &[][..])).collect();
        let snapshot = testing::snapshot(&hosts);
        let core = &stats.cores()[0];
        let mut looks = Looks::default();
        looks.next(&stats, &snapshot, start);
        for (i, name) in names.iter().enumerate() {
            let (domain, region, isp) = (name.as_str().into(), "x".into(), "y".into());
            let series = core.begin_series(SeriesName { domain, region, isp }, None, 0).unwrap();
            core.series(series).bytes_out.add(i as u64 * 1_000);
        }
        let sample = looks.next(&stats, &snapshot, start + Duration::from_secs(1));
        let named: Vec<&str> = sample.domains.iter().map(|rate| &*rate.domain).collect();
        let busiest: Vec<&str> = names.iter().rev().take(10).map(|name| &**name).collect();
        assert_eq!(named, busiest);
    }

    #[test]
    fn a_core_tells_its_load_by_its_own_clock() {
        let (core, mut clock, start) = (CoreCounters::default(), Clock::default(), Instant::now());
        let mut after = |s: u64| clock.load(&core, start + Duration::from_secs(s)).load_percent;
        assert_eq!(after(0), None);
        core.elapsed_ns.set(1_000_000_000);
        core.busy_ns.set(250_000_000);
        assert_eq!(after(1), Some(25.0));
        assert_eq!(after(2), Some(25.0), "no news");
        core.elapsed_ns.set(3_000_000_000);
        core.busy_ns.set(2_250_000_000);
        assert_eq!(after(3), Some(100.0));
        assert_eq!(after(8), Some(100.0));
        assert_eq!(after(9), None, "a core that is stuck");
    }
}
