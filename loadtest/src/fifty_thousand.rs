//! `fifty-thousand`: one process that may open 20,000 descriptors holds 50,000 tunnels (100,000
//! sockets) with heartbeats, carries a message on each, and on SIGTERM closes them all with 1001
//! and exits 0.

use std::net::{Ipv4Addr, SocketAddr};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::ensure;
use serde_json::{Value, json};

use crate::children::{self, Client, Connects, Origin, ask_all};
use crate::measure;
use crate::proxy::{Kind, Proxy, Setup};

#[derive(clap::Args)]
pub struct Options {
    #[arg(long, default_value_t = 50_000)]
    tunnels: usize,
    #[arg(long, default_value_t = 6)]
    workers: usize,
    #[arg(long, default_value_t = 10)]
    heartbeat: u32,
    /// How long they are held, in seconds.
    #[arg(long, default_value_t = 35)]
    hold: u64,
    #[arg(long, default_value_t = 20)]
    drain: u32,
}

/// Client processes, and origins; each stays below its own 20,000 descriptors, and each address has
/// some 28,000 ports.
const PROCESSES: usize = 4;

pub fn run(options: &Options) -> anyhow::Result<Value> {
    let ip = |net: u8, i: usize| Ipv4Addr::new(127, 0, net, 1 + i as u8);
    let origins: Vec<Origin> =
        (0..PROCESSES).map(|i| Origin::start(ip(1, i), None)).collect::<Result<_, _>>()?;
    let addresses: Vec<_> = origins.iter().map(|origin| origin.addr).collect();
    let mut proxy = Proxy::start(
        Kind::Hawser,
        &Setup {
            origins: &addresses,
            workers: options.workers,
            heartbeat_seconds: options.heartbeat,
            drain_seconds: options.drain,
            ..Setup::default()
        },
    )?;
    let mut clients: Vec<Client> = (0..PROCESSES)
        .map(|i| Client::start(&client(proxy.addr, ip(2, i))))
        .collect::<Result<_, _>>()?;

    let empty = measure::pss_bytes(proxy.id())?;
    let began = Instant::now();
    let opened = ask_all(&mut clients, &format!("open {}", options.tunnels / PROCESSES))?;
    let open_ms = began.elapsed().as_millis() as u64;
    let open = children::sum(&opened, "open") as usize;
    ensure!(open == options.tunnels / PROCESSES * PROCESSES, "opened {open}: {opened:?}");

    let (cpu, since) = (measure::cpu_ns(proxy.id())?, Instant::now());
    sleep(Duration::from_secs(options.hold));
    let busy = (measure::cpu_ns(proxy.id())? - cpu) as f64 / since.elapsed().as_nanos() as f64;
    let held = ask_all(&mut clients, "status")?;
    let idle = measure::pss_bytes(proxy.id())?;
    let echoed = ask_all(&mut clients, "echo 64")?;
    let descriptors = measure::descriptors(proxy.id())?;

    proxy.process.signal("TERM")?;
    let drained = Instant::now();
    let ended = ask_all(&mut clients, "await-end")?;
    let code = proxy.process.wait(Duration::from_secs(u64::from(options.drain) + 15))?;
    let codes: u64 = ended.iter().filter_map(|answer| answer["ended"]["1001"].as_u64()).sum();
    Ok(json!({
        "scenario": "fifty-thousand",
        "tunnels": open,
        "sockets": 2 * open,
        "workers": options.workers,
        "descriptor_limit": children::DESCRIPTORS,
        "descriptors_in_use": descriptors,
        "open_ms": open_ms,
        "held_seconds": options.hold,
        "open_after_hold": children::sum(&held, "open"),
        "pings_received": children::sum(&held, "pings"),
        "cores_busy_while_held": (busy * 1000.0).round() / 1000.0,
        "echoes": children::sum(&echoed, "echoed"),
        "wrong_bytes": children::sum(&echoed, "wrong_bytes"),
        "pss_bytes_empty": empty,
        "pss_bytes_held": idle,
        "pss_bytes_per_tunnel_with_pools": (idle - empty) / open as u64,
        "closed_with_1001": codes,
        "ended": ended.iter().map(|answer| answer["ended"].clone()).collect::<Vec<_>>(),
        "drain_ms": drained.elapsed().as_millis() as u64,
        "exit_code": code,
        "passed": codes as usize == open && code == Some(0),
    }))
}

fn client(target: SocketAddr, source: Ipv4Addr) -> Connects<'static> {
    Connects { source, ..Connects::to(target) }
}
