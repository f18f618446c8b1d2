//! `idle`: CPU of Hawser while 9,000 connections say nothing and every side of each is pinged every
//! 10 s, as a share of a core: what so many pings cost anybody (`ping_floor`, at the same time, on
//! the other core), and the rest, which is Hawser's own. Not here: memory, see `memory` and `hold`.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::ensure;
use indexmap::IndexMap;
use serde_json::{Value, json};

use crate::children::{self, DESCRIPTORS, Process, sum};
use crate::edge::{Edge, Plan};
use crate::figures::{Against, Better, Bound, Figure};
use crate::hawser::Domain;
use crate::hold::crew::{Member, Watch, ask};
use crate::{measure, proxy};

#[derive(clap::Args)]
pub struct Options {
    #[arg(long, default_value_t = 9_000, value_parser = at_most_one_table())]
    connections: u32,
    /// Seconds between pings to a silent side.
    #[arg(long, default_value_t = 10)]
    heartbeat: u32,
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Length of a round in seconds; not less than a heartbeat.
    #[arg(long, default_value_t = 20)]
    seconds: u64,
}

const PATIENCE: Duration = Duration::from_secs(120);
/// What the rest may be, in percent of a core.
const GOAL: f64 = 1.0;

fn at_most_one_table() -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(100..=9_900)
}

pub fn run(options: &Options) -> anyhow::Result<Value> {
    let rounds = measured(options)?;
    let figures = figures(options, &rounds)?;
    let passed = figures.iter().flat_map(|figure| &figure.goals).all(|goal| goal.met == Some(true));
    Ok(json!({
        "scenario": "idle",
        "connections": options.connections,
        "heartbeat_seconds": options.heartbeat,
        "pings_a_second": rounds.iter().map(|round| round.pings.round()).collect::<Vec<_>>(),
        "figures": figures,
        "passed": passed,
    }))
}

/// The figures of `compare`: all of it beside the floor, and the rest.
pub fn figure(rounds: usize) -> anyhow::Result<Vec<Figure>> {
    let options = Options { connections: 9_000, heartbeat: 10, rounds, seconds: 20 };
    figures(&options, &measured(&options)?)
}

/// In percent of a core.
struct Round {
    hawser: f64,
    /// Of as many pings as Hawser sent.
    floor: f64,
    /// Pings a second.
    pings: f64,
}

/// A proxy and what is shown of it.
type Column = (&'static str, fn(&Round) -> f64);

fn figures(options: &Options, rounds: &[Round]) -> anyhow::Result<Vec<Figure>> {
    let n = options.connections;
    let rows = |named: &[Column]| -> IndexMap<String, Vec<f64>> {
        let row = |of: fn(&Round) -> f64| rounds.iter().map(of).collect();
        named.iter().map(|(name, of)| ((*name).to_owned(), row(*of))).collect()
    };
    let seconds = options.heartbeat;
    let all = Figure::new(
        (
            &format!("idle-cpu-{n}"),
            &format!("CPU while {n} connections are idle, heartbeat {seconds} s"),
            "% of a core",
        ),
        Better::Less,
        rows(&[("hawser", |round| round.hawser), ("io_uring_floor", |round| round.floor)]),
        &[],
    )?;
    let rest = Figure::new(
        (
            &format!("idle-rest-{n}"),
            &format!("the same without what {n} x 2 pings cost the floor"),
            "% of a core",
        ),
        Better::Less,
        rows(&[("hawser", |round| round.hawser - round.floor)]),
        &[(Against::Absolute, Bound::AtMost(GOAL))],
    )?;
    Ok(vec![all, rest])
}

fn measured(options: &Options) -> anyhow::Result<Vec<Round>> {
    let mut watch = Watch::begin(512 << 20)?;
    let n = options.connections as usize;
    let address = |net: u8, i: u8| Ipv4Addr::new(127, net, 1, i);
    let (origin, origin_addr) = Member::origin(address(71, 1))?;
    let edge = Edge::start(&Plan {
        workers: 1,
        descriptors: DESCRIPTORS,
        sources: vec![address(73, 1), address(73, 2)],
        drain_seconds: 5,
        domains: vec![Domain {
            name: "load.test",
            heartbeat_seconds: options.heartbeat,
            stalled_write_seconds: Some(60),
            origins: vec![origin_addr],
        }],
    })?;
    let (floor, floor_addr) = start_floor(options.heartbeat)?;
    let mut of_hawser = [Member::client(edge.addr, address(72, 1))?, origin];
    let mut of_floor = [Member::client(floor_addr, address(72, 2))?];
    for (members, wanted) in [(&mut of_hawser[..1], n), (&mut of_floor[..], 2 * n)] {
        let answers = ask(members, &format!("open {wanted} 64"), &mut watch, PATIENCE)?;
        let open = sum(&answers, "open");
        ensure!(open == wanted as u64, "{open} of {wanted} opened: {answers:?}");
    }
    // Until every one has been pinged once, and what opening left is gone.
    watch.sleep(Duration::from_secs(u64::from(options.heartbeat) + 5))?;
    let mut rounds = Vec::new();
    for _ in 0..options.rounds {
        let mut look = |watch: &mut Watch| -> anyhow::Result<(Instant, [u64; 4])> {
            let counts = [
                measure::cpu_ns(edge.id())?,
                measure::cpu_ns(floor.id())?,
                sum(&ask(&mut of_hawser, "status", watch, PATIENCE)?, "pings"),
                sum(&ask(&mut of_floor, "status", watch, PATIENCE)?, "pings"),
            ];
            Ok((Instant::now(), counts))
        };
        let (since, before) = look(&mut watch)?;
        watch.sleep(Duration::from_secs(options.seconds))?;
        let (until, after) = look(&mut watch)?;
        let seconds = (until - since).as_secs_f64();
        let [hawser, floor] = [0_usize, 1].map(|i| measure::ran_ns(before[i], after[i]));
        let [hawser, floor] = [hawser? as f64, floor? as f64];
        let [pings, floor_pings] = [2_usize, 3].map(|i| (after[i] - before[i]) as f64);
        ensure!(pings > 0.0 && floor_pings > 0.0, "nobody was pinged: make --seconds longer");
        let percent = |ns: f64| ns / (seconds * 1e9) * 100.0;
        rounds.push(Round {
            hawser: percent(hawser),
            floor: percent(floor / floor_pings * pings),
            pings: pings / seconds,
        });
    }
    Ok(rounds)
}

fn start_floor(interval: u32) -> anyhow::Result<(Process, SocketAddr)> {
    let addr = proxy::free_address()?;
    // Hawser's one worker has the first core.
    let mut command = children::command(last_cpu(), DESCRIPTORS, &children::beside("ping_floor")?);
    command.arg(addr.to_string()).arg(interval.to_string());
    let process = Process::start(command)?;
    let since = Instant::now();
    while std::net::TcpStream::connect(addr).is_err() {
        ensure!(since.elapsed() < Duration::from_secs(10), "ping_floor does not listen");
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok((process, addr))
}

fn last_cpu() -> Option<usize> {
    std::thread::available_parallelism().ok().map(|cpus| cpus.get() - 1)
}
