//! `memory`: bytes of user memory for one more idle tunnel, both legs: the slope of the process's
//! PSS from 1,000 to 9,000 tunnels, once as they were opened and once after messages went both
//! ways. In the clear, or with TLS between client and proxy.

use std::net::Ipv4Addr;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::{Map, Value, json};

use crate::certificate::Certificate;
use crate::children::{Client, Connects, Origin};
use crate::measure;
use crate::proxy::{self, Kind, Proxy, Setup};

const STEPS: [usize; 5] = [1_000, 3_000, 5_000, 7_000, 9_000];

#[derive(clap::Args)]
pub struct Options {
    #[arg(long, default_value_t = 1)]
    workers: usize,
    /// TLS 1.3 (AES-128-GCM) between client and proxy; the origin is plain.
    #[arg(long)]
    tls: bool,
    /// The proxies to measure: hawser, nginx, haproxy, envoy or floor.
    #[arg(long, visible_alias = "proxy", value_delimiter = ',', default_value = "hawser",
          value_parser = Kind::named)]
    proxies: Vec<Kind>,
    /// Lengths of the messages that every tunnel carried, there and back.
    #[arg(long, value_delimiter = ',', default_values_t = [64, 64, 64])]
    messages: Vec<usize>,
    /// Tunnels that have a message under way at a time: memory that messages need is not that of
    /// idle tunnels.
    #[arg(long, default_value_t = 256)]
    at_once: usize,
    /// Silence before memory is read, in seconds.
    #[arg(long, default_value_t = 2)]
    settle: u64,
}

pub fn run(options: &Options) -> anyhow::Result<Value> {
    let certificate = options.tls.then(Certificate::make).transpose()?;
    let mut result = Map::new();
    // Addresses of its own for each slope: closed connections keep their ports for a minute.
    let mut nets = 1..;
    let mut slope = |kind, messages| {
        let net = nets.next().context("more slopes than addresses")?;
        slope(kind, net, options, certificate.as_ref(), messages)
    };
    for kind in &options.proxies {
        let slopes = json!({
            "before_traffic": slope(*kind, &[])?,
            "after_traffic": slope(*kind, &options.messages)?,
        });
        result.insert(kind.name().to_owned(), slopes);
    }
    Ok(json!({
        "scenario": "memory",
        "tls": options.tls,
        "workers": options.workers,
        "messages": options.messages,
        "at_once": options.at_once,
        "settle_seconds": options.settle,
        "proxies": result,
        "goal": { "hawser_bytes_per_tunnel": if options.tls { 1536 } else { 512 } },
        "versions": proxy::versions(&options.proxies),
    }))
}

fn slope(
    kind: Kind,
    net: u8,
    options: &Options,
    certificate: Option<&Certificate>,
    messages: &[usize],
) -> anyhow::Result<Value> {
    let origin = Origin::start(Ipv4Addr::new(127, 1, net, 1), None)?;
    let origins = [origin.addr];
    let workers = options.workers;
    let proxy =
        Proxy::start(kind, &Setup { origins: &origins, workers, certificate, ..Setup::default() })?;
    let authority = certificate.map(Certificate::authority);
    let source = Ipv4Addr::new(127, 2, net, 1);
    let connects = Connects { source, authority: authority.as_deref(), ..Connects::to(proxy.addr) };
    let mut client = Client::start(&connects)?;
    let mut points = Vec::new();
    for step in STEPS {
        client.open(step)?;
        for bytes in messages {
            let answer = client.ask(&format!("echo {bytes} {}", options.at_once))?;
            ensure!(answer["wrong_bytes"] == 0 && answer["open"] == step, "{kind}: {answer}");
        }
        sleep(Duration::from_secs(options.settle));
        points.push((step, measure::pss_bytes(proxy.id())?));
    }
    let end = client.ask("close")?;
    let (first, last) = (points[0], points[points.len() - 1]);
    ensure!(end["ended"] == json!({ "1000": last.0 }), "{kind}: not all closed in order: {end}");
    let bytes = (last.1 as f64 - first.1 as f64) / (last.0 - first.0) as f64;
    let pss: Value = points.iter().map(|(n, pss)| (n.to_string(), json!(pss))).collect();
    Ok(json!({ "bytes_per_tunnel": bytes.round(), "pss_bytes": pss }))
}
