//! `cpu`: what a forwarded message costs, Hawser beside others, on one core with busy connections,
//! in the clear or with TLS between client and proxy.
//!
//! All proxies stand ready from the start, each with a load of its own; one at a time is busy, for
//! a fraction of a second. Not here: goals, see `compare`.

use std::time::Duration;

use anyhow::ensure;
use serde_json::{Value, json};

use crate::bench::{Bench, Load};
use crate::certificate::Certificate;
use crate::children::brief;
use crate::peers;
use crate::proxy::Kind;
use crate::rounds::Rounds;

#[derive(clap::Args)]
pub struct Options {
    #[arg(long, default_value_t = 60)]
    rounds: usize,
    /// Measured time of each proxy in each round, in milliseconds.
    #[arg(long, default_value_t = 400)]
    millis: u64,
    /// Busy connections; fewer for large messages unless it is said.
    #[arg(long)]
    connections: Option<usize>,
    /// Length of a message.
    #[arg(long, visible_alias = "size", default_value_t = 64)]
    bytes: usize,
    /// TLS 1.3 (AES-128-GCM) between client and proxy.
    #[arg(long)]
    tls: bool,
    /// Whom to measure; ratios are those of the first to each other one. Without it, hawser,
    /// nginx, haproxy and io_uring_floor, or envoy under TLS.
    #[arg(long, value_delimiter = ',', value_parser = Kind::named)]
    proxies: Vec<Kind>,
    /// Core of the proxy; origin and client share another.
    #[arg(long, default_value_t = 0)]
    cpu: usize,
    #[arg(long, default_value_t = 1)]
    load_cpu: usize,
}

impl Options {
    fn connections(&self) -> usize {
        self.connections.unwrap_or(busy_connections(self.bytes))
    }

    fn proxies(&self) -> &[Kind] {
        match (self.proxies.is_empty(), self.tls) {
            (false, _) => &self.proxies,
            (true, false) => &Kind::IN_THE_CLEAR,
            (true, true) => &Kind::UNDER_TLS,
        }
    }
}

/// Fewer bytes under way than the machine's last-level cache, so that it is not memory that is
/// measured.
pub fn busy_connections(bytes: usize) -> usize {
    match bytes {
        0..4096 => 200,
        4096..65_536 => 50,
        65_536..524_288 => 24,
        _ => 8,
    }
}

pub fn run(options: &Options) -> anyhow::Result<Value> {
    let kinds = options.proxies();
    let certificate = options.tls.then(Certificate::make).transpose()?;
    let load = Load {
        connections: options.connections(),
        path: "/echo",
        certificate: certificate.as_ref(),
        large_messages: is_large(options.bytes),
        cpu: options.cpu,
        load_cpu: options.load_cpu,
    };
    let start = |kind: &Kind| Bench::start(*kind, &load);
    let mut benches: Vec<Bench> = kinds.iter().map(start).collect::<Result<_, _>>()?;
    let (bytes, length) = (options.bytes, Duration::from_millis(options.millis));
    let rounds = Rounds::run(kinds, options.rounds, |i| {
        us_per_message(kinds[i], &mut benches[i], &load, (bytes, None), length)
    })?;
    Ok(json!({
        "scenario": "cpu",
        "tls": options.tls,
        "connections": options.connections(),
        "bytes": options.bytes,
        "rounds": options.rounds,
        "millis": options.millis,
        "us_per_message": rounds.figures(),
        "ratio": rounds.ratios(),
        "versions": peers::versions(kinds),
    }))
}

/// Proxies that have to be told get larger buffers from this length on.
pub fn is_large(bytes: usize) -> bool {
    bytes >= 4096
}

/// CPU of the proxy per forwarded message of so many bytes, in microseconds, when all connections
/// are busy or only some. A message counts each way.
pub fn us_per_message(
    kind: Kind,
    bench: &mut Bench,
    load: &Load,
    (bytes, busy): (usize, Option<usize>),
    length: Duration,
) -> anyhow::Result<f64> {
    let line = match busy {
        None => format!("pingpong {bytes}"),
        Some(busy) => format!("pingpong {bytes} {busy}"),
    };
    let window = bench.window(&line, length)?;
    let end = brief(window.end);
    ensure!(end["wrong_bytes"] == 0 && end["open"] == load.connections, "{kind}: {end}");
    let messages = 2.0 * window.echoed_bytes as f64 / bytes as f64;
    // Below that a window is so short of messages that its ends weigh.
    let enough = if bytes < 65_536 { 2.5 } else { 0.05 } * length.as_millis() as f64;
    ensure!(messages > enough, "{kind} forwarded only {messages} messages: {end}");
    Ok(window.cpu_ns as f64 / 1000.0 / messages)
}
