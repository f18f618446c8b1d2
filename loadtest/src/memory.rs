//! `memory`: bytes of user memory for one more idle tunnel, both legs: the slope of the process's
//! PSS from 1,000 to 9,000 tunnels, once as they were opened and once after messages went both
//! ways. In the clear, or with TLS between client and proxy. Not here: goals, see `compare`.

use std::net::Ipv4Addr;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::{Map, Value, json};

use crate::certificate::Certificate;
use crate::children::{Client, Connects, Origin};
use crate::peers;
use crate::proxy::{Kind, Proxy, Setup};

const STEPS: [usize; 5] = [1_000, 3_000, 5_000, 7_000, 9_000];

#[derive(clap::Args)]
pub struct Options {
    /// Workers of Hawser, and threads of Caddy and Traefik that run at a time; others have one.
    #[arg(long, default_value_t = 1)]
    workers: usize,
    /// TLS 1.3 (AES-128-GCM) between client and proxy; the origin is plain.
    #[arg(long)]
    tls: bool,
    /// The proxies to measure.
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
        "versions": peers::versions(&options.proxies),
    }))
}

fn slope(
    kind: Kind,
    net: u8,
    options: &Options,
    certificate: Option<&Certificate>,
    messages: &[usize],
) -> anyhow::Result<Value> {
    let points = climb(
        kind,
        net,
        &Climb {
            steps: &STEPS,
            workers: options.workers,
            certificate,
            messages,
            at_once: options.at_once,
            settle: Duration::from_secs(options.settle),
            cpus: None,
        },
    )?;
    let pss: Value = points.iter().map(|(n, pss)| (n.to_string(), json!(pss))).collect();
    Ok(json!({ "bytes_per_tunnel": slope_of(&points).round(), "pss_bytes": pss }))
}

/// How connections are opened for a slope.
pub struct Climb<'a> {
    /// Numbers of connections at which memory is read, rising.
    pub steps: &'a [usize],
    pub workers: usize,
    pub certificate: Option<&'a Certificate>,
    /// Lengths of the messages that all carried before memory is read.
    pub messages: &'a [usize],
    /// So many have one under way at a time.
    pub at_once: usize,
    pub settle: Duration,
    /// Cores of the proxy and of the load.
    pub cpus: Option<(usize, usize)>,
}

/// Opens connections through a proxy, or to the origin itself, step by step. `net` is a part of the
/// addresses: closed connections keep their ports for a minute.
fn climb(kind: Kind, net: u8, how: &Climb<'_>) -> anyhow::Result<Vec<Point>> {
    let mut climber = Climber::start(kind, net, how)?;
    let mut points = Vec::new();
    for &connections in how.steps {
        climber.step(connections, how)?;
        sleep(how.settle);
        points.push((connections, climber.user_bytes()?));
    }
    climber.finish()?;
    Ok(points)
}

/// Connections that stay open, through a proxy or to the origin itself.
pub struct Climber {
    kind: Kind,
    _origin: Origin,
    /// Nobody under [`Kind::Direct`].
    proxy: Option<Proxy>,
    client: Client,
    open: usize,
}

impl Climber {
    pub fn start(kind: Kind, net: u8, how: &Climb<'_>) -> anyhow::Result<Climber> {
        let load_cpu = how.cpus.map(|(_, load)| load);
        let origin = Origin::start(Ipv4Addr::new(127, 1, net, 1), load_cpu)?;
        let origins = [origin.addr];
        let setup = Setup {
            origins: &origins,
            workers: how.workers,
            certificate: how.certificate,
            cpu: how.cpus.map(|(proxy, _)| proxy),
            ..Setup::default()
        };
        let proxy = match kind {
            Kind::Direct => None,
            _ => Some(Proxy::start(kind, &setup)?),
        };
        let authority = how.certificate.filter(|_| proxy.is_some()).map(Certificate::authority);
        let target = proxy.as_ref().map_or(origin.addr, |proxy| proxy.addr);
        let source = Ipv4Addr::new(127, 2, net, 1);
        let (authority, cpu) = (authority.as_deref(), load_cpu);
        let client = Client::start(&Connects { source, authority, cpu, ..Connects::to(target) })?;
        Ok(Climber { kind, _origin: origin, proxy, client, open: 0 })
    }

    /// Opens connections until so many are open, and sends messages on all of them.
    pub fn step(&mut self, connections: usize, how: &Climb<'_>) -> anyhow::Result<()> {
        self.client.open(connections)?;
        self.open = connections;
        for bytes in how.messages {
            let answer = self.client.ask(&format!("echo {bytes} {}", how.at_once))?;
            let kind = self.kind;
            ensure!(
                answer["wrong_bytes"] == 0 && answer["open"] == connections,
                "{kind}: {answer}"
            );
        }
        Ok(())
    }

    pub fn user_bytes(&self) -> anyhow::Result<u64> {
        self.proxy.as_ref().map_or(Ok(0), Proxy::pss_bytes)
    }

    pub fn finish(mut self) -> anyhow::Result<()> {
        let (kind, end) = (self.kind, self.client.ask("close")?);
        let orderly = json!({ "1000": self.open });
        ensure!(end["ended"] == orderly, "{kind}: not all closed in order: {end}");
        Ok(())
    }
}

/// Numbers of connections, and bytes at each.
pub type Point = (usize, u64);

/// Bytes for one more connection, from the first point to the last.
pub fn slope_of(points: &[Point]) -> f64 {
    let ((least, first), (most, last)) = (points[0], points[points.len() - 1]);
    (last as f64 - first as f64) / (most - least) as f64
}
