//! `cpu`: what a forwarded 64-byte message costs, Hawser beside others, on one core with 200 busy
//! connections.
//!
//! All proxies stand ready from the start, each with a load of its own; one at a time is busy, for
//! a fraction of a second, in a turned order. Ratios are made within such a round, so what slows
//! the machine down for a while hits both sides of them, and there are many rounds.

use std::net::Ipv4Addr;
use std::thread::sleep;
use std::time::Duration;

use anyhow::ensure;
use serde_json::{Value, json};

use crate::children::{Client, Connects};
use crate::measure;
use crate::proxy::{Kind, Proxy, Setup, free_address};

#[derive(clap::Args)]
pub struct Options {
    #[arg(long, default_value_t = 60)]
    rounds: usize,
    /// Measured time of each proxy in each round, in milliseconds.
    #[arg(long, default_value_t = 400)]
    millis: u64,
    #[arg(long, default_value_t = 200)]
    connections: usize,
    #[arg(long, default_value_t = 64)]
    bytes: usize,
    /// Whom to measure; ratios are those of the first to each other one.
    #[arg(long, value_delimiter = ',', value_parser = Kind::named,
          default_values_t = Kind::ALL)]
    proxies: Vec<Kind>,
    /// Core of the proxy; origin and client share another.
    #[arg(long, default_value_t = 0)]
    cpu: usize,
    #[arg(long, default_value_t = 1)]
    load_cpu: usize,
}

pub fn run(options: &Options) -> anyhow::Result<Value> {
    let proxies = &options.proxies;
    let mut benches: Vec<Bench> =
        proxies.iter().map(|kind| Bench::start(*kind, options)).collect::<Result<_, _>>()?;
    let mut rounds: Vec<Vec<f64>> = Vec::new();
    for round in 0..options.rounds {
        let mut costs = vec![0.0; proxies.len()];
        for turn in 0..proxies.len() {
            let proxy = (round + turn) % proxies.len();
            costs[proxy] = benches[proxy].us_per_message(options)?;
        }
        rounds.push(costs);
    }
    let over_rounds = |figure: &dyn Fn(&[f64]) -> f64| spread(rounds.iter().map(|r| figure(r)));
    let mut costs = serde_json::Map::new();
    let mut ratios = serde_json::Map::new();
    for (i, proxy) in proxies.iter().enumerate() {
        costs.insert(proxy.name().to_owned(), over_rounds(&|round| round[i]));
        if i > 0 {
            let name = format!("{}_to_{}", proxies[0].name(), proxy.name());
            ratios.insert(name, over_rounds(&|round| round[0] / round[i]));
        }
    }
    Ok(json!({
        "scenario": "cpu",
        "connections": options.connections,
        "bytes": options.bytes,
        "rounds": options.rounds,
        "millis": options.millis,
        "us_per_message": costs,
        "ratio": ratios,
        "goal": { "hawser_to_nginx": 0.95, "hawser_to_haproxy": 0.75, "hawser_to_floor": 1.10 },
    }))
}

/// A proxy between its own client and origin.
struct Bench {
    kind: Kind,
    client: Client,
    proxy: Proxy,
}

impl Bench {
    fn start(kind: Kind, options: &Options) -> anyhow::Result<Bench> {
        // One thread is client and origin, so that the core of the load always has something to do
        // and the proxy seldom has to wake it.
        let (origin, listen) = (free_address()?, free_address()?);
        let mut client = Client::start(&Connects {
            target: listen,
            source: Ipv4Addr::LOCALHOST,
            path: "/echo",
            silent: false,
            serve: Some(origin),
            cpu: Some(options.load_cpu),
        })?;
        client.ask("status")?;
        let setup = Setup {
            listen: Some(listen),
            origins: &[origin],
            cpu: Some(options.cpu),
            ..Setup::default()
        };
        let proxy = Proxy::start(kind, &setup)?;
        client.open(options.connections)?;
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
        ensure!(end["wrong_bytes"] == 0 && end["open"] == options.connections, "{kind}: {end}");
        let count = |answer: &Value| answer["echoed"].as_u64().unwrap_or(0);
        let messages = 2 * (count(&after.0) - count(&before.0));
        ensure!(messages > 1000, "{kind} forwarded only {messages} messages: {end}");
        Ok((after.1 - before.1) as f64 / 1000.0 / messages as f64)
    }
}

fn spread(values: impl Iterator<Item = f64>) -> Value {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let round = |value: f64| (value * 1000.0).round() / 1000.0;
    json!({
        "min": round(values[0]),
        "lower_quarter": round(values[values.len() / 4]),
        "median": round(values[values.len() / 2]),
        "upper_quarter": round(values[values.len() * 3 / 4]),
        "max": round(values[values.len() - 1]),
    })
}
