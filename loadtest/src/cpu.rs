//! `cpu`: what a forwarded message costs, Hawser beside others, on one core with busy connections,
//! in the clear or with TLS between client and proxy.
//!
//! All proxies stand ready from the start, each with a load of its own; one at a time is busy, for
//! a fraction of a second.

use std::thread::sleep;
use std::time::Duration;

use anyhow::ensure;
use serde_json::{Value, json};

use crate::certificate::Certificate;
use crate::children::{Client, Connects};
use crate::compare::Rounds;
use crate::measure;
use crate::proxy::{self, Kind, Proxy, Setup, free_address};

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
    /// nginx, haproxy and floor, or envoy under TLS.
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
        // Fewer bytes under way than the machine's last-level cache, so that it is not memory
        // that is measured.
        self.connections.unwrap_or(match self.bytes {
            0..4096 => 200,
            4096..65_536 => 50,
            _ => 8,
        })
    }

    fn proxies(&self) -> &[Kind] {
        match (self.proxies.is_empty(), self.tls) {
            (false, _) => &self.proxies,
            (true, false) => &Kind::IN_THE_CLEAR,
            (true, true) => &Kind::UNDER_TLS,
        }
    }
}

pub fn run(options: &Options) -> anyhow::Result<Value> {
    let kinds = options.proxies();
    let certificate = options.tls.then(Certificate::make).transpose()?;
    let start = |kind: &Kind| Bench::start(*kind, options, certificate.as_ref());
    let mut benches: Vec<Bench> = kinds.iter().map(start).collect::<Result<_, _>>()?;
    let rounds = Rounds::run(kinds, options.rounds, |i| benches[i].us_per_message(options))?;
    let goal = match options.tls {
        false => {
            json!({ "hawser_to_nginx": 0.95, "hawser_to_haproxy": 0.75, "hawser_to_floor": 1.10 })
        }
        true => json!({ "hawser_to_best_other": 1.0 }),
    };
    Ok(json!({
        "scenario": "cpu",
        "tls": options.tls,
        "connections": options.connections(),
        "bytes": options.bytes,
        "rounds": options.rounds,
        "millis": options.millis,
        "us_per_message": rounds.figures(),
        "ratio": rounds.ratios(),
        "goal": goal,
        "versions": proxy::versions(kinds),
    }))
}

/// A proxy between its own client and origin.
struct Bench {
    kind: Kind,
    client: Client,
    proxy: Proxy,
}

impl Bench {
    fn start(
        kind: Kind,
        options: &Options,
        certificate: Option<&Certificate>,
    ) -> anyhow::Result<Bench> {
        // One thread is client and origin, so that the core of the load always has something to do
        // and the proxy seldom has to wake it.
        let (origin, listen) = (free_address()?, free_address()?);
        let authority = certificate.map(Certificate::authority);
        let mut client = Client::start(&Connects {
            serve: Some(origin),
            cpu: Some(options.load_cpu),
            authority: authority.as_deref(),
            ..Connects::to(listen)
        })?;
        client.ask("status")?;
        let setup = Setup {
            listen: Some(listen),
            origins: &[origin],
            cpu: Some(options.cpu),
            certificate,
            large_messages: options.bytes >= 4096,
            ..Setup::default()
        };
        let proxy = Proxy::start(kind, &setup)?;
        client.open(options.connections())?;
        Ok(Bench { kind, client, proxy })
    }

    fn us_per_message(&mut self, options: &Options) -> anyhow::Result<f64> {
        self.client.ask(&format!("pingpong {}", options.bytes))?;
        sleep(Duration::from_millis(100));
        let before = (self.client.ask("status")?, measure::cpu_ns(self.proxy.id())?);
        sleep(Duration::from_millis(options.millis));
        let after = (self.client.ask("status")?, measure::cpu_ns(self.proxy.id())?);
        let end = self.client.ask("stop")?;
        let kind = self.kind;
        ensure!(end["wrong_bytes"] == 0 && end["open"] == options.connections(), "{kind}: {end}");
        // By bytes, since few large messages are whole within a round. What is under way towards
        // the origin is as much at its end as at its beginning.
        let count = |answer: &Value| answer["echoed_bytes"].as_u64().unwrap_or(0) as f64;
        let messages = 2.0 * (count(&after.0) - count(&before.0)) / options.bytes as f64;
        let enough = if options.bytes < 65_536 { 1000.0 } else { 20.0 };
        ensure!(messages > enough, "{kind} forwarded only {messages} messages: {end}");
        Ok((after.1 - before.1) as f64 / 1000.0 / messages)
    }
}
