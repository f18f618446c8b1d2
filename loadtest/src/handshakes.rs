//! `handshakes`: what a TLS connection costs the proxy until it is ready, and with one request on
//! it, with a full handshake (ECDSA P-256) and with a resumed one (ticket); Hawser beside others,
//! on one core. TLS 1.3, X25519 and AES-128-GCM everywhere. Not here: goals, see `compare`.

use std::thread::sleep;
use std::time::Duration;

use anyhow::ensure;
use serde_json::{Map, Value, json};

use crate::certificate::Certificate;
use crate::children::Client;
use crate::measure::ran_ns;
use crate::peers;
use crate::proxy::{Kind, Proxy, Setup, free_address};
use crate::rounds::{Rounds, rounded};
use crate::tls::TICKETS_MAX;

#[derive(clap::Args)]
pub struct Options {
    #[arg(long, default_value_t = 30)]
    rounds: usize,
    /// Measured time of each proxy in each round, in milliseconds.
    #[arg(long, default_value_t = 400)]
    millis: u64,
    /// Connections under way at once.
    #[arg(long, default_value_t = 32)]
    connections: usize,
    /// What connections do: full or resumed, then -close or -get.
    #[arg(long, value_delimiter = ',',
          default_values = ["full-close", "full-get", "resumed-close", "resumed-get"])]
    variants: Vec<String>,
    /// Whom to measure; ratios are those of the first to each other one.
    #[arg(long, value_delimiter = ',', value_parser = Kind::named,
          default_values_t = Kind::UNDER_TLS)]
    proxies: Vec<Kind>,
    /// Core of the proxy; origin and client share another.
    #[arg(long, default_value_t = 0)]
    cpu: usize,
    #[arg(long, default_value_t = 1)]
    load_cpu: usize,
}

pub fn run(options: &Options) -> anyhow::Result<Value> {
    let certificate = Certificate::make()?;
    let cpus = (options.cpu, options.load_cpu);
    let start = |kind: &Kind| Bench::start(*kind, &certificate, cpus);
    let mut benches: Vec<Bench> = options.proxies.iter().map(start).collect::<Result<_, _>>()?;
    let mut variants = Map::new();
    for variant in &options.variants {
        let rounds = Rounds::run(&options.proxies, options.rounds, |i| {
            benches[i].us_per_handshake(variant, (options.connections, options.millis))
        })?;
        let figures = rounds.figures();
        let per_core_second: Value = figures
            .as_object()
            .into_iter()
            .flatten()
            .filter_map(|(name, cost)| {
                Some((name.clone(), json!(rounded(1e6 / cost["median"].as_f64()?).round())))
            })
            .collect();
        let result = json!({
            "us_per_connection": figures,
            "median_per_core_second": per_core_second,
            "ratio": rounds.ratios(),
        });
        variants.insert(variant.clone(), result);
    }
    Ok(json!({
        "scenario": "handshakes",
        "rounds": options.rounds,
        "millis": options.millis,
        "connections": options.connections,
        "variants": variants,
        "versions": peers::versions(&options.proxies),
    }))
}

/// A proxy between its own knocking client and origin.
pub struct Bench {
    kind: Kind,
    client: Client,
    proxy: Proxy,
}

impl Bench {
    pub fn start(
        kind: Kind,
        certificate: &Certificate,
        (cpu, load_cpu): (usize, usize),
    ) -> anyhow::Result<Bench> {
        let (origin, listen) = (free_address()?, free_address()?);
        let authority = certificate.authority();
        let mut client = Client::knocker(listen, origin, &authority, load_cpu)?;
        client.ask("status")?;
        let setup = Setup {
            listen: Some(listen),
            origins: &[origin],
            cpu: Some(cpu),
            certificate: Some(certificate),
            ..Setup::default()
        };
        Ok(Bench { kind, client, proxy: Proxy::start(kind, &setup)? })
    }

    /// With so many connections under way at once, for so many milliseconds.
    pub fn us_per_handshake(
        &mut self,
        variant: &str,
        (connections, millis): (usize, u64),
    ) -> anyhow::Result<f64> {
        let full = variant.starts_with("full");
        if !full {
            // More than can be used up in this round, as far as they can be kept.
            let tickets = (20 * (millis + 200)).min(TICKETS_MAX as u64);
            let stocked = self.client.ask(&format!("stock {tickets}"))?;
            ensure!(stocked["failed"] == 0, "{}, tickets for {variant}: {stocked}", self.kind);
        }
        self.client.ask(&format!("{variant} {connections}"))?;
        sleep(Duration::from_millis(100));
        let before = (self.client.ask("status")?, self.proxy.cpu_ns()?);
        sleep(Duration::from_millis(millis));
        let after = (self.client.ask("status")?, self.proxy.cpu_ns()?);
        let end = self.client.ask("stop")?;
        let kind = self.kind;
        ensure!(end["failed"] == 0, "{kind}, {variant}: {end}");
        let count = |figure: &str| {
            let of = |answer: &Value| answer[figure].as_u64().unwrap_or(0);
            of(&after.0) - of(&before.0)
        };
        let (wanted, other) = match full {
            true => (count("full"), count("resumed")),
            false => (count("resumed"), count("full")),
        };
        ensure!(wanted > 50 && other == 0, "{kind}, {variant}: {wanted} as wanted, {other} not");
        Ok(ran_ns(before.1, after.1)? as f64 / 1000.0 / wanted as f64)
    }
}
