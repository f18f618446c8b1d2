//! `memory`: bytes of user memory for one more idle tunnel, both legs: the slope of the process's
//! PSS from 1,000 to 9,000 tunnels, once as they were opened and once after messages went both
//! ways.

use std::net::Ipv4Addr;
use std::thread::sleep;
use std::time::Duration;

use anyhow::ensure;
use serde_json::{Value, json};

use crate::children::{Client, Connects, Origin};
use crate::measure;
use crate::proxy::{Kind, Proxy, Setup};

const STEPS: [usize; 5] = [1_000, 3_000, 5_000, 7_000, 9_000];

#[derive(clap::Args)]
pub struct Options {
    #[arg(long, default_value_t = 1)]
    workers: usize,
    /// The proxy to measure: hawser, nginx, haproxy or floor.
    #[arg(long, default_value = "hawser", value_parser = Kind::named)]
    proxy: Kind,
}

pub fn run(options: &Options) -> anyhow::Result<Value> {
    let fresh = slope(options, 0)?;
    let used = slope(options, 3)?;
    Ok(json!({
        "scenario": "memory",
        "proxy": options.proxy.name(),
        "workers": options.workers,
        "before_traffic": fresh,
        "after_traffic": used,
        "goal": { "bytes_per_tunnel": 512 },
    }))
}

fn slope(options: &Options, messages: usize) -> anyhow::Result<Value> {
    let origin = Origin::start(Ipv4Addr::LOCALHOST, None)?;
    let origins = [origin.addr];
    let setup = Setup { origins: &origins, workers: options.workers, ..Setup::default() };
    let proxy = Proxy::start(options.proxy, &setup)?;
    let mut client = Client::start(&Connects {
        target: proxy.addr,
        source: Ipv4Addr::LOCALHOST,
        path: "/echo",
        silent: false,
        serve: None,
        cpu: None,
    })?;
    let mut points = Vec::new();
    for step in STEPS {
        client.open(step)?;
        for _ in 0..messages {
            let answer = client.ask("echo 64")?;
            ensure!(answer["wrong_bytes"] == 0, "{answer}");
        }
        sleep(Duration::from_secs(2));
        points.push((step, measure::pss_bytes(proxy.id())?));
    }
    let end = client.ask("close")?;
    ensure!(end["ended"] == json!({ "1000": STEPS[4] }), "not all closed in order: {end}");
    let (first, last) = (points[0], points[points.len() - 1]);
    let bytes = (last.1 as f64 - first.1 as f64) / (last.0 - first.0) as f64;
    let pss: Value = points.iter().map(|(n, pss)| (n.to_string(), json!(pss))).collect();
    Ok(json!({ "bytes_per_tunnel": bytes.round(), "pss_bytes": pss }))
}
