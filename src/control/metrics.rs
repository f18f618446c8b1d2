//! Metrics in OpenMetrics text, put together when somebody asks. Every metric is declared once,
//! below: name, help, unit.
//!
//! Labels hold names of configured domains, of causes and of codes only, so their number is bounded
//! by the configuration, never by what clients send. Regions and providers are no labels: domains
//! times regions times providers are too many series for a scrape, and whoever asks by place asks
//! about time too, which is what the statistics are for. Not here: the counters themselves
//! (`stats`).

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::SystemTime;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};

use super::certs::Served;
use super::live::{self, Figures, Times};
use super::publish::Reloads;
use super::sign_ins::SignIns;
use super::statistics::fold::Progress;
use crate::snapshot::{Domain, Snapshot, SnapshotCell};
use crate::stats::counters::CodeName;
use crate::stats::histogram::BOUNDS_US;
use crate::stats::{CoreCounters, Counter, Refusal, Stats, TlsFailure};

/// What [`text`] sends as Content-Type.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// One metric: what it is called, and what it means. The unit is appended to the name, `_total` to
/// that of a counter.
struct Metric {
    name: &'static str,
    help: &'static str,
    unit: Option<Unit>,
    kind: MetricType,
}

const fn counter(name: &'static str, help: &'static str) -> Metric {
    Metric { name, help, unit: None, kind: MetricType::Counter }
}

const fn gauge(name: &'static str, help: &'static str) -> Metric {
    Metric { name, help, unit: None, kind: MetricType::Gauge }
}

const fn info(name: &'static str, help: &'static str) -> Metric {
    Metric { name, help, unit: None, kind: MetricType::Info }
}

const fn histogram(name: &'static str, help: &'static str) -> Metric {
    Metric { name, help, unit: Some(Unit::Seconds), kind: MetricType::Histogram }
}

const fn counter_of(unit: Unit, name: &'static str, help: &'static str) -> Metric {
    Metric { name, help, unit: Some(unit), kind: MetricType::Counter }
}

const fn gauge_of(unit: Unit, name: &'static str, help: &'static str) -> Metric {
    Metric { name, help, unit: Some(unit), kind: MetricType::Gauge }
}

// The node.
const BUILD: Metric = info("hawser_build", "Version of the running program.");
const READY: Metric = gauge("hawser_ready", "1 while /readyz answers 200.");
const SNAPSHOT: Metric =
    info("hawser_snapshot", "Generation and hash of the published configuration.");
const SNAPSHOT_GENERATION: Metric =
    gauge("hawser_snapshot_generation", "Generation of the published configuration.");
const RELOADS: Metric = counter(
    "hawser_reloads",
    "Reloads that were taken (result=success) or refused with nothing changed (result=failure).",
);
const DOMAINS: Metric = gauge("hawser_domains", "Domains of the published configuration.");
const LOG_LINES: Metric = counter("hawser_access_log_lines", "Access-log lines written.");
const LOG_LOST: Metric = counter(
    "hawser_access_log_lost_lines",
    "Access-log lines lost because the destination failed (disk full, pipe closed).",
);
const REFUSED: Metric = counter(
    "hawser_refused",
    "Requests or connections that the edge refused before their domain was known, by reason.",
);
const SIGN_INS_FAILED: Metric = counter(
    "hawser_sign_ins_failed",
    "Requests to the admin listener that came without a key in force, by API and reason.",
);

const FLUSHES: Metric = counter(
    "hawser_statistics_flushes",
    "Times that the statistics were brought up to date (result=success) or waited because the \
     database could not be written (result=failure).",
);
const LAST_FLUSH: Metric = gauge_of(
    Unit::Seconds,
    "hawser_statistics_last_flush",
    "The last time that all statistics were written, since the Unix epoch; 0: never.",
);
const WAITING_ROWS: Metric = gauge(
    "hawser_statistics_waiting_rows",
    "Rows of statistics that wait in memory because the database could not be written.",
);
const COARSENED_ROWS: Metric = counter(
    "hawser_statistics_coarsened_rows",
    "Rows of statistics that lost region and provider because too many waited.",
);

// TLS of the node, in handshakes.
const TLS_HANDSHAKES: Metric = counter(
    "hawser_tls_handshakes",
    "TLS handshakes with clients: with certificates (result=full), from a ticket (result=resumed) \
     or without success (result=failed).",
);
const TLS_FAILURES: Metric =
    counter("hawser_tls_handshake_failures", "TLS handshakes with clients that failed, by reason.");
const TLS_HANDSHAKE_TIME: Metric = histogram(
    "hawser_tls_handshake",
    "From the first byte of a client's hello to the end of its handshake.",
);
const ORIGIN_TLS_HANDSHAKES: Metric =
    counter("hawser_origin_tls_handshakes", "TLS handshakes with origins, by result as above.");

// One value per core.
const ACCEPTED: Metric =
    counter("hawser_connections_accepted", "Connections taken from the listeners.");
const SETUPS: Metric =
    gauge("hawser_setups", "Connections in accept, HTTP or handshake right now, without tunnels.");
const TUNNELS: Metric = gauge("hawser_tunnels", "Tunnels right now.");
const ACCEPT_PAUSES: Metric = counter(
    "hawser_accept_pauses",
    "Moments at which the core stopped accepting because a limit was reached.",
);
const ACCEPT_QUEUE: Metric =
    gauge("hawser_accept_queue", "Connections waiting to be accepted, when last looked at.");
const CORE_BUSY: Metric = counter_of(
    Unit::Seconds,
    "hawser_core_busy",
    "Time the core was not waiting; divide by hawser_core_elapsed.",
);
const CORE_ELAPSED: Metric =
    counter_of(Unit::Seconds, "hawser_core_elapsed", "Time since the core started.");
const CORE_GENERATION: Metric = gauge(
    "hawser_core_snapshot_generation",
    "Generation of the configuration that the core uses; behind hawser_snapshot_generation for \
     longer than a second means a stuck core.",
);
const LOG_DROPS: Metric = counter(
    "hawser_access_log_dropped_events",
    "Access-log events dropped because the core's ring was full.",
);
const BUFFER_SHORTAGES: Metric =
    counter("hawser_buffer_shortages", "Receives that found no free buffer in the core's ring.");
const RING_OVERFLOWS: Metric =
    counter("hawser_ring_overflows", "Completions that overflowed the core's io_uring.");
const BUFFERS_USED: Metric =
    gauge("hawser_buffers_used", "Pooled buffers that hold bytes on their way.");
const BUFFERS: Metric = gauge("hawser_buffers", "Pooled buffers of the core.");
const SERIES: Metric = gauge(
    "hawser_series",
    "Combinations of domain, region and provider that the core counts apart.",
);
const SERIES_SHORTAGES: Metric = counter(
    "hawser_series_shortages",
    "Upgrade requests counted under an unknown region and provider, or under no domain, because \
     the core has no room for another series.",
);
const PANICS: Metric =
    counter("hawser_panics", "Panics caught; each closed one connection and is a fault to report.");

// One value per domain.
const SENT: Metric = counter_of(
    Unit::Bytes,
    "hawser_client_sent",
    "Bytes sent to clients, tunnels and plain HTTP, heads included.",
);
const RECEIVED: Metric = counter_of(
    Unit::Bytes,
    "hawser_client_received",
    "Bytes received from clients, tunnels and plain HTTP, heads included.",
);
const MESSAGES_SENT: Metric =
    counter("hawser_client_sent_messages", "Whole WebSocket messages sent to clients.");
const MESSAGES_RECEIVED: Metric =
    counter("hawser_client_received_messages", "Whole WebSocket messages received from clients.");
const OPENED: Metric = counter("hawser_tunnels_opened", "Tunnels opened.");
const ACTIVE: Metric = gauge("hawser_tunnels_active", "Tunnels of the domain right now.");
const CLOSED: Metric = counter("hawser_tunnels_closed", "Tunnels ended, by cause.");
const HANDSHAKES: Metric =
    counter("hawser_handshakes", "Answers to upgrade requests, by status code.");
const REQUESTS: Metric = counter("hawser_requests", "Answers to plain requests, by status code.");
const HANDSHAKE_TIME: Metric =
    histogram("hawser_handshake", "From the first byte of an upgrade request to its answer.");
const RTT: Metric =
    histogram("hawser_rtt", "From Hawser's Ping to its Pong, on the client's leg or the origin's.");

// One value per domain (`*`: the default certificate), source and kind of key.
const NOT_AFTER: Metric = gauge_of(
    Unit::Seconds,
    "hawser_certificate_not_after",
    "End of a certificate since the Unix epoch, by domain, source and kind of key; of several the \
     one that ends first.",
);

// One value per endpoint.
const ENDPOINT_UP: Metric =
    gauge("hawser_endpoint_up", "1 while the health check finds the endpoint listening.");
const ENDPOINT_TUNNELS: Metric = gauge("hawser_endpoint_tunnels", "Tunnels to the endpoint now.");

// The process, under the names that every Prometheus client library uses.
const RESIDENT: Metric =
    gauge_of(Unit::Bytes, "process_resident_memory", "Resident memory of the process.");
const VIRTUAL: Metric =
    gauge_of(Unit::Bytes, "process_virtual_memory", "Virtual memory of the process.");
const OPEN_FDS: Metric = gauge(
    "process_open_fds",
    "Open descriptors; sockets of tunnels are in the rings and are not among them.",
);
const MAX_FDS: Metric = gauge("process_max_fds", "Limit of open descriptors.");
const START_TIME: Metric =
    gauge_of(Unit::Seconds, "process_start_time", "Start of the process since the Unix epoch.");

/// Where the numbers come from.
pub struct Sources {
    pub cell: SnapshotCell,
    pub stats: Arc<Stats>,
    pub reloads: Arc<Reloads>,
    pub statistics: Arc<Progress>,
    /// Those in use.
    pub certificates: Box<dyn Fn() -> Arc<[Served]> + Send + Sync>,
    pub sign_ins: Arc<SignIns>,
    /// Access-log lines written and lost.
    pub log_lines: Box<dyn Fn() -> (u64, u64) + Send + Sync>,
    pub ready: Box<dyn Fn() -> bool + Send + Sync>,
    pub started: SystemTime,
}

impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sources")
    }
}

/// All metrics as text; kept ready to be asked any number of times.
#[derive(Debug)]
pub struct Metrics(Registry);

impl Metrics {
    pub fn new(sources: Sources) -> Metrics {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(sources));
        Metrics(registry)
    }

    pub fn text(&self) -> Result<String, fmt::Error> {
        let mut text = String::with_capacity(16 * 1024);
        encode(&mut text, &self.0)?;
        Ok(text)
    }
}

impl Collector for Sources {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let mut page = Page(&mut encoder);
        let snapshot = self.cell.current();
        self.node(&mut page, &snapshot)?;
        self.statistics(&mut page)?;
        self.tls(&mut page)?;
        self.certificates(&mut page)?;
        self.per_core(&mut page)?;
        self.per_domain(&mut page, &snapshot)?;
        endpoints(&mut page, &snapshot)?;
        self.process(&mut page)
    }
}

impl Sources {
    fn node(&self, page: &mut Page<'_, '_>, snapshot: &Snapshot) -> fmt::Result {
        page.info(&BUILD, &[("version", env!("CARGO_PKG_VERSION"))])?;
        page.number(&READY, u64::from((self.ready)()))?;
        let generation = snapshot.generation.to_string();
        page.info(&SNAPSHOT, &[("generation", &*generation), ("hash", &snapshot.hash)])?;
        page.number(&SNAPSHOT_GENERATION, snapshot.generation)?;
        page.number(&DOMAINS, snapshot.hosts.len() as u64)?;
        page.family(&RELOADS, |family| {
            family.counter(
                &[("result", "success")],
                self.reloads.succeeded.load(Ordering::Relaxed),
            )?;
            family.counter(&[("result", "failure")], self.reloads.failed.load(Ordering::Relaxed))
        })?;
        let (written, lost) = (self.log_lines)();
        page.number(&LOG_LINES, written)?;
        page.number(&LOG_LOST, lost)?;
        page.family(&REFUSED, |family| {
            for reason in Refusal::ALL {
                let cores = self.stats.cores().iter();
                let sum = cores.map(|core| core.core.refused[*reason as usize].value()).sum();
                family.counter(&[("reason", reason.name())], sum)?;
            }
            Ok(())
        })?;
        page.family(&SIGN_INS_FAILED, |family| {
            for (api, reason, count) in self.sign_ins.counts() {
                family.counter(&[("api", api.name()), ("reason", reason)], count)?;
            }
            Ok(())
        })
    }

    fn statistics(&self, page: &mut Page<'_, '_>) -> fmt::Result {
        let progress = &self.statistics;
        page.family(&FLUSHES, |family| {
            let results = [("success", &progress.succeeded), ("failure", &progress.failed)];
            for (result, count) in results {
                family.counter(&[("result", result)], count.load(Ordering::Relaxed))?;
            }
            Ok(())
        })?;
        let written_at = progress.written_at.load(Ordering::Relaxed);
        page.family(&LAST_FLUSH, |family| family.0.encode_gauge(&written_at))?;
        page.number(&WAITING_ROWS, progress.waiting_rows.load(Ordering::Relaxed))?;
        page.number(&COARSENED_ROWS, progress.coarsened_rows.load(Ordering::Relaxed))
    }

    fn tls(&self, page: &mut Page<'_, '_>) -> fmt::Result {
        type Field = fn(&CoreCounters) -> u64;
        let sum = |field: Field| self.stats.cores().iter().map(|core| field(&core.core)).sum();
        let by_result = |family: &mut Family<'_>, fields: [Field; 3]| {
            for (result, field) in ["full", "resumed", "failed"].into_iter().zip(fields) {
                family.counter(&[("result", result)], sum(field))?;
            }
            Ok(())
        };
        page.family(&TLS_HANDSHAKES, |family| {
            let failed: Field = |c| c.tls_failed.iter().map(Counter::value).sum();
            by_result(family, [|c| c.tls_full.value(), |c| c.tls_resumed.value(), failed])
        })?;
        page.family(&TLS_FAILURES, |family| {
            for reason in TlsFailure::ALL {
                let cores = self.stats.cores().iter();
                let sum = cores.map(|core| core.core.tls_failed[*reason as usize].value()).sum();
                family.counter(&[("reason", reason.name())], sum)?;
            }
            Ok(())
        })?;
        page.family(&TLS_HANDSHAKE_TIME, |family| {
            let mut times = Times::default();
            self.stats.cores().iter().for_each(|core| times.add(&core.core.tls_handshake_us));
            encode_times(&times, &mut family.0)
        })?;
        page.family(&ORIGIN_TLS_HANDSHAKES, |family| {
            let full: Field = |c| c.origin_tls_full.value();
            by_result(
                family,
                [full, |c| c.origin_tls_resumed.value(), |c| c.origin_tls_failed.value()],
            )
        })
    }

    fn per_core(&self, page: &mut Page<'_, '_>) -> fmt::Result {
        type Field = fn(&CoreCounters) -> &Counter;
        let whole: [(&Metric, Field); 15] = [
            (&ACCEPTED, |c| &c.accepted),
            (&SETUPS, |c| &c.setups),
            (&TUNNELS, |c| &c.tunnels),
            (&ACCEPT_PAUSES, |c| &c.accept_pauses),
            (&ACCEPT_QUEUE, |c| &c.accept_queue),
            (&CORE_GENERATION, |c| &c.snapshot_generation),
            (&LOG_DROPS, |c| &c.log_drops),
            (&BUFFER_SHORTAGES, |c| &c.buffer_shortages),
            (&RING_OVERFLOWS, |c| &c.ring_overflows),
            (&BUFFERS_USED, |c| &c.buffers_used),
            (&BUFFERS, |c| &c.buffers_total),
            (&PANICS, |c| &c.panics),
            (&SERIES_SHORTAGES, |c| &c.series_shortages),
            (&CORE_ELAPSED, |c| &c.elapsed_ns),
            (&CORE_BUSY, |c| &c.busy_ns),
        ];
        for (metric, field) in whole {
            page.family(metric, |family| {
                for (i, core) in self.stats.cores().iter().enumerate() {
                    let value = field(&core.core).value();
                    let labels = [("core", i.to_string())];
                    match metric.unit {
                        Some(_) => family.seconds(&labels, value as f64 / 1e9)?,
                        None => family.number(&labels, value)?,
                    }
                }
                Ok(())
            })?;
        }
        page.family(&SERIES, |family| {
            for (i, core) in self.stats.cores().iter().enumerate() {
                family.number(&[("core", i.to_string())], u64::from(core.series_used()))?;
            }
            Ok(())
        })
    }

    fn certificates(&self, page: &mut Page<'_, '_>) -> fmt::Result {
        page.family(&NOT_AFTER, |family| {
            for ((domain, source, kind), end) in ends(&(self.certificates)()) {
                let labels = [("domain", &*domain), ("source", source), ("kind", kind)];
                family.0.encode_family(&labels)?.encode_gauge(&end)?;
            }
            Ok(())
        })
    }

    fn per_domain(&self, page: &mut Page<'_, '_>, snapshot: &Snapshot) -> fmt::Result {
        let mut domains: Vec<&Domain> = snapshot.hosts.iter().map(|domain| &**domain).collect();
        domains.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        let figures = live::by_domain(&self.stats, snapshot);
        let of = |domain: &&Domain| &figures[&domain.name];
        type Field = fn(&Figures) -> u64;
        let sums: [(&Metric, Field); 6] = [
            (&SENT, |f| f.http_bytes_out + f.bytes_out),
            (&RECEIVED, |f| f.http_bytes_in + f.bytes_in),
            (&MESSAGES_SENT, |f| f.messages_out),
            (&MESSAGES_RECEIVED, |f| f.messages_in),
            (&OPENED, |f| f.opened),
            (&ACTIVE, |f| f.active),
        ];
        for (metric, field) in sums {
            page.family(metric, |family| {
                for domain in &domains {
                    family.number(&[("domain", &*domain.name)], field(of(domain)))?;
                }
                Ok(())
            })?;
        }
        page.family(&CLOSED, |family| {
            for domain in &domains {
                for (cause, n) in of(domain).closed_by_cause() {
                    family.counter(&[("domain", &*domain.name), ("cause", cause.name())], n)?;
                }
            }
            Ok(())
        })?;
        type Codes = fn(&Figures) -> &BTreeMap<CodeName, u64>;
        let codes: [(&Metric, Codes); 2] =
            [(&HANDSHAKES, |f| &f.handshakes), (&REQUESTS, |f| &f.requests)];
        for (metric, field) in codes {
            page.family(metric, |family| {
                for domain in &domains {
                    for (code, n) in field(of(domain)) {
                        let code = code.to_string();
                        family.counter(&[("domain", &*domain.name), ("code", &*code)], *n)?;
                    }
                }
                Ok(())
            })?;
        }
        page.family(&HANDSHAKE_TIME, |family| {
            for domain in &domains {
                let times = &of(domain).handshake_times;
                family.histogram(&[("domain", &*domain.name)], times)?;
            }
            Ok(())
        })?;
        page.family(&RTT, |family| {
            for domain in &domains {
                let legs = [("client", &of(domain).client_rtt), ("origin", &of(domain).origin_rtt)];
                for (leg, times) in legs {
                    family.histogram(&[("domain", &*domain.name), ("leg", leg)], times)?;
                }
            }
            Ok(())
        })
    }

    fn process(&self, page: &mut Page<'_, '_>) -> fmt::Result {
        let process = Process::read();
        page.number(&RESIDENT, process.resident)?;
        page.number(&VIRTUAL, process.virtual_size)?;
        page.number(&OPEN_FDS, process.open_fds)?;
        page.number(&MAX_FDS, process.max_fds)?;
        let started = self.started.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        page.family(&START_TIME, |family| family.0.encode_gauge(&started.as_secs_f64()))
    }
}

/// When certificates end, by what they are told apart by.
fn ends(served: &[Served]) -> BTreeMap<(Arc<str>, &'static str, &'static str), i64> {
    let mut ends = BTreeMap::new();
    for Served { domain, source, pair } in served {
        let key = (Arc::clone(domain), source.name(), pair.facts.kind.name());
        let end = ends.entry(key).or_insert(i64::MAX);
        *end = pair.facts.not_after.min(*end);
    }
    ends
}

/// Endpoints of all domains by address, each once.
fn endpoints(page: &mut Page<'_, '_>, snapshot: &Snapshot) -> fmt::Result {
    let origins = snapshot.hosts.iter().flat_map(|domain| &domain.origins);
    let mut all: Vec<_> = origins.flat_map(|origin| origin.all_endpoints()).collect();
    all.sort_unstable_by_key(|endpoint| endpoint.addr);
    all.dedup_by_key(|endpoint| endpoint.addr);
    page.family(&ENDPOINT_UP, |family| {
        for endpoint in &all {
            let up = u64::from(endpoint.state.is_up());
            family.number(&[("endpoint", endpoint.addr.to_string())], up)?;
        }
        Ok(())
    })?;
    page.family(&ENDPOINT_TUNNELS, |family| {
        for endpoint in &all {
            let tunnels = u64::from(endpoint.state.tunnels());
            family.number(&[("endpoint", endpoint.addr.to_string())], tunnels)?;
        }
        Ok(())
    })
}

/// The text being written.
struct Page<'a, 'b>(&'a mut DescriptorEncoder<'b>);

impl Page<'_, '_> {
    fn family(
        &mut self,
        metric: &Metric,
        write: impl FnOnce(&mut Family<'_>) -> fmt::Result,
    ) -> fmt::Result {
        let Metric { name, help, unit, kind } = metric;
        let encoder = self.0.encode_descriptor(name, help, unit.as_ref(), *kind)?;
        write(&mut Family(encoder, *kind))
    }

    /// A metric without labels.
    fn number(&mut self, metric: &Metric, value: u64) -> fmt::Result {
        self.family(metric, |family| match family.1 {
            MetricType::Counter => family.0.encode_counter::<NoLabelSet, _, u64>(&value, None),
            _ => family.0.encode_gauge(&value),
        })
    }

    fn info<const N: usize>(&mut self, metric: &Metric, labels: &[(&str, &str); N]) -> fmt::Result {
        self.family(metric, |family| family.0.encode_info(labels))
    }
}

/// One metric being written, value by value.
struct Family<'a>(MetricEncoder<'a>, MetricType);

impl Family<'_> {
    /// A counter or a gauge, whichever the metric is.
    fn number(&mut self, labels: &impl EncodeLabelSet, value: u64) -> fmt::Result {
        match self.1 {
            MetricType::Counter => self.counter(labels, value),
            _ => self.0.encode_family(labels)?.encode_gauge(&value),
        }
    }

    fn counter(&mut self, labels: &impl EncodeLabelSet, value: u64) -> fmt::Result {
        self.0.encode_family(labels)?.encode_counter::<NoLabelSet, _, u64>(&value, None)
    }

    fn seconds(&mut self, labels: &impl EncodeLabelSet, value: f64) -> fmt::Result {
        self.0.encode_family(labels)?.encode_counter::<NoLabelSet, _, u64>(&value, None)
    }

    fn histogram(&mut self, labels: &impl EncodeLabelSet, times: &Times) -> fmt::Result {
        encode_times(times, &mut self.0.encode_family(labels)?)
    }
}

fn encode_times(times: &Times, encoder: &mut MetricEncoder<'_>) -> fmt::Result {
    let bounds = BOUNDS_US.iter().map(|&us| us as f64 / 1e6).chain([f64::INFINITY]);
    let buckets: Vec<(f64, u64)> = bounds.zip(times.counts).collect();
    encoder.encode_histogram::<NoLabelSet>(times.us as f64 / 1e6, times.count(), &buckets, None)
}

/// What /proc says about this process; 0 where it says nothing.
struct Process {
    resident: u64,
    virtual_size: u64,
    open_fds: u64,
    max_fds: u64,
}

impl Process {
    fn read() -> Process {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let kib = |key: &str| -> u64 {
            let line = status.lines().find_map(|line| line.strip_prefix(key));
            line.and_then(|l| l.split_whitespace().next()?.parse().ok()).unwrap_or(0)
        };
        let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
        let max_fds = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
        // The listing itself holds one descriptor.
        let fds = std::fs::read_dir("/proc/self/fd").map_or(0, |dir| dir.count() as u64 - 1);
        Process {
            resident: kib("VmRSS:") * 1024,
            virtual_size: kib("VmSize:") * 1024,
            open_fds: fds,
            max_fds: max_fds.and_then(|l| l.split_whitespace().next()?.parse().ok()).unwrap_or(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::publish::testing;
    use crate::stats::{Cause, SeriesName};

    fn page() -> String {
        let stats = Stats::new(2);
        let snapshot = testing::snapshot(&[("a.test", &["192.0.2.1"]), ("b.test", &["192.0.2.1"])]);
        for core in stats.cores() {
            core.domain(0).http_bytes_out.add(30);
            for (region, bytes) in [("x", 20), ("y", 50)] {
                let (domain, region, isp) = ("a.test".into(), region.into(), "z".into());
                let name = SeriesName { domain, region, isp };
                let a = core.series(core.begin_series(name, None, 0).unwrap());
                a.bytes_out.add(bytes);
                a.handshake_us.record_us(2_000);
            }
            let a = core.series(0);
            a.handshakes.count(101);
            a.closed[Cause::Drain as usize].add(2);
            core.core.busy_ns.add(1_500_000_000);
            core.core.tls_resumed.add(1);
            core.core.tls_failed[TlsFailure::NoName as usize].add(3);
            core.core.tls_handshake_us.record_us(2_000);
            core.core.origin_tls_full.add(1);
        }
        let metrics = Metrics::new(Sources {
            cell: SnapshotCell::new(snapshot),
            stats,
            reloads: Arc::default(),
            statistics: Arc::default(),
            certificates: Box::new(|| Arc::new([])),
            sign_ins: Arc::default(),
            log_lines: Box::new(|| (7, 1)),
            ready: Box::new(|| true),
            started: SystemTime::UNIX_EPOCH,
        });
        metrics.text().unwrap()
    }

    /// Dashboards and alerts depend on these names: a change belongs into the CHANGELOG.
    #[test]
    fn names_and_help() {
        let declared: Vec<_> =
            page().lines().filter(|line| line.starts_with('#')).map(str::to_owned).collect();
        insta::assert_snapshot!(declared.join("\n"));
    }

    #[test]
    fn cores_are_added_up_and_zeros_are_left_out() {
        let page = page();
        for line in [
            "hawser_client_sent_bytes_total{domain=\"a.test\"} 200",
            "hawser_client_sent_bytes_total{domain=\"b.test\"} 0",
            "hawser_handshakes_total{domain=\"a.test\",code=\"101\"} 2",
            "hawser_tunnels_closed_total{domain=\"a.test\",cause=\"drain\"} 4",
            "hawser_handshake_seconds_count{domain=\"a.test\"} 4",
            "hawser_handshake_seconds_bucket{le=\"0.004096\",domain=\"a.test\"} 4",
            "hawser_core_busy_seconds_total{core=\"1\"} 1.5",
            "hawser_tls_handshakes_total{result=\"resumed\"} 2",
            "hawser_tls_handshakes_total{result=\"failed\"} 6",
            "hawser_tls_handshake_failures_total{reason=\"no_name\"} 6",
            "hawser_tls_handshake_seconds_count 2",
            "hawser_origin_tls_handshakes_total{result=\"full\"} 2",
            "hawser_endpoint_up{endpoint=\"192.0.2.1:80\"} 1",
            "hawser_snapshot_info{generation=\"1\",hash=\"0123\"} 1",
        ] {
            assert_eq!(page.lines().filter(|l| *l == line).count(), 1, "{line}\n{page}");
        }
        assert!(!page.contains("code=\"502\""));
        assert!(page.ends_with("# EOF\n"));
    }
}
