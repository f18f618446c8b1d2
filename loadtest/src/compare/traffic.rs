//! Messages through open connections: what they cost back and forth, pushed to many, and how many
//! bytes a core forwards.

use std::time::Duration;

use anyhow::ensure;

use super::{Findings, Run};
use crate::bench::{Bench, Load};
use crate::cpu::{busy_connections, is_large, us_per_message};
use crate::figures::{Against, Better, Bound};
use crate::proxy::Kind;
use crate::rounds::{Contest, column};

/// Echoes of one length.
pub struct Messages {
    pub name: &'static str,
    pub bytes: usize,
    /// Connections that are busy; all that are open without it.
    pub busy: Option<usize>,
    pub tls: bool,
}

impl Messages {
    pub fn clear(name: &'static str, bytes: usize) -> Messages {
        Messages { name, bytes, busy: None, tls: false }
    }

    pub fn secured(name: &'static str, bytes: usize) -> Messages {
        Messages { tls: true, ..Messages::clear(name, bytes) }
    }

    fn load<'a>(&self, run: &'a Run) -> Load<'a> {
        Load {
            connections: busy_connections(self.bytes),
            path: "/echo",
            certificate: self.tls.then_some(&run.certificate),
            large_messages: is_large(self.bytes),
            cpu: run.cpu,
            load_cpu: run.load_cpu,
        }
    }

    fn kinds(&self, run: &Run) -> Vec<Kind> {
        if self.tls { run.edges() } else { run.kinds.clone() }
    }

    fn said(&self) -> String {
        let speech = if self.tls { "wss" } else { "ws" };
        let open = busy_connections(self.bytes);
        let length = match self.bytes {
            bytes @ 0..1024 => format!("{bytes} B"),
            bytes @ 1024..1_048_576 => format!("{} KiB", bytes / 1024),
            bytes => format!("{} MiB", bytes >> 20),
        };
        match self.busy {
            None => format!("{length} messages, {open} busy connections, {speech}"),
            Some(busy) => format!("{length} messages, {busy} busy of {open} connections, {speech}"),
        }
    }
}

/// CPU of the proxy per forwarded message.
pub fn cpu(run: &Run, messages: &Messages, goals: &[(Against, Bound)]) -> anyhow::Result<Findings> {
    let title = format!("CPU per message: {}", messages.said());
    let unit = (messages.name, title.as_str(), "µs");
    echoes(run, messages, unit, Better::Less, goals, |us| us)
}

/// Payload that one core of the proxy forwards in a second of its time, each way counted.
pub fn throughput(run: &Run, messages: &Messages) -> anyhow::Result<Findings> {
    let title = format!("Throughput of one core: {}", messages.said());
    let unit = (messages.name, title.as_str(), "MB/s");
    let goals = [(Against::BestPeer, Bound::AtLeast(1.0))];
    // Bytes in a microsecond are megabytes in a second.
    let bytes = messages.bytes as f64;
    echoes(run, messages, unit, Better::More, &goals, |us| bytes / us)
}

fn echoes(
    run: &Run,
    messages: &Messages,
    texts: (&str, &str, &str),
    better: Better,
    goals: &[(Against, Bound)],
    of_us: impl Fn(f64) -> f64,
) -> anyhow::Result<Findings> {
    let load = messages.load(run);
    let mut contest = Contest::begin(&messages.kinds(run), |kind| Bench::start(kind, &load));
    let what = (messages.bytes, messages.busy);
    let rows = contest.rounds(
        |_| true,
        run.pace.rounds,
        |kind, bench| {
            let us = us_per_message(kind, bench, &load, what, run.pace.window)?;
            Ok(vec![of_us(us)])
        },
    );
    let mut findings = Findings::default();
    findings.admit(messages.name, &mut contest);
    findings.add(texts, better, column(&rows, 0), goals)?;
    Ok(findings)
}

const PUSHED_CLIENTS: usize = 5_000;
const PUSHED_BYTES: usize = 64;
/// The first push comes after this time, and the measurement ends before the second: the slowest
/// proxy has that long to deliver it.
const PUSH_EVERY: Duration = Duration::from_millis(500);
const PUSHED_ONCE: Duration = Duration::from_millis(975);

/// One small message to each of many clients, all due at the same moment.
pub fn push(run: &Run, goals: &[(Against, Bound)]) -> anyhow::Result<Findings> {
    let name = "push-5000";
    let load = Load {
        connections: PUSHED_CLIENTS,
        path: "/push?bytes=64&interval_ms=0",
        certificate: None,
        large_messages: false,
        cpu: run.cpu,
        load_cpu: run.load_cpu,
    };
    let mut contest = Contest::begin(&run.kinds, |kind| Bench::start(kind, &load));
    let line = format!("push {PUSHED_BYTES} {}", PUSH_EVERY.as_millis());
    let rows = contest.rounds(
        |_| true,
        run.pace.rounds,
        |_, bench| {
            let (ns, mut end) = bench.whole(&line, PUSHED_ONCE)?;
            let latency = end["latency"].take();
            ensure!(end["wrong_bytes"] == 0 && end["lost"] == 0, "messages were lost: {end}");
            ensure!(end["repeated"] == 0, "messages came again: {end}");
            ensure!(end["open"] == PUSHED_CLIENTS, "connections ended: {end}");
            ensure!(end["received"] == PUSHED_CLIENTS, "not each client has one message: {end}");
            let p99 = latency["p99"].as_f64().unwrap_or(f64::NAN) / 1000.0;
            Ok(vec![ns as f64 / 1000.0 / PUSHED_CLIENTS as f64, p99])
        },
    );
    let mut findings = Findings::default();
    findings.admit(name, &mut contest);
    let title = "CPU per message: one of 64 B pushed to each of 5,000 clients at once, ws";
    findings.add((name, title, "µs"), Better::Less, column(&rows, 0), goals)?;
    let title = "Until 99 % of 5,000 clients have a message that was sent to all at once, ws";
    findings.add(("push-5000-p99", title, "ms"), Better::Less, column(&rows, 1), &[])?;
    Ok(findings)
}
