//! One round of all slopes. Everything is between two counts of what grows: connections, messages,
//! heartbeats; what does not grow falls out.

use std::fs;
use std::net::Ipv4Addr;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

use crate::bench::{Bench, Load, Window};
use crate::certificate::Certificate;
use crate::children::{Client, Connects, Origin, brief};
use crate::figures::Spread;
use crate::measure::{self, ran_ns};
use crate::proxy::{Kind, Proxy, Setup};

/// Connections between which memory is measured.
const FEW: usize = 1_000;
const MANY: usize = 9_000;
/// Messages between whose lengths the slope of bytes is measured.
const SMALL: usize = 64;
const LARGE: usize = 16 * 1024;
const HEARTBEAT_SECONDS: u32 = 5;
const HEARTBEATS_WATCHED: Duration = Duration::from_secs(15);
/// Until memory of handshakes and messages has gone back.
const SETTLE: Duration = Duration::from_secs(5);
/// Turns of a busy load; the median counts.
const TURNS: usize = 5;
const TURN: Duration = Duration::from_millis(500);
/// With fewer in a turn, what stands beside messages is no longer small.
const MESSAGES_LEAST: f64 = 500.0;

pub type Named = Vec<(&'static str, f64)>;

/// Every slope once, by the names of its field.
pub fn round(round: usize, rounds: usize) -> anyhow::Result<Named> {
    // Addresses of their own for the measurements of a round: closed connections keep their ports
    // for a minute.
    let mut nets = (1 + (round % 40) as u8 * 6)..;
    let mut net = || nets.next().context("more measurements than addresses");
    let say = |what: &str| eprintln!("round {} of {rounds}: {what}", round + 1);
    let certificate = Certificate::make()?;
    let mut values = Named::new();

    say("sockets without a proxy");
    let direct = direct(net()?)?;
    values.push(("socket_bytes", direct / 2.0));
    say("connections, ws");
    let ws = connections(net()?, None)?;
    values.push(("base_bytes", ws.base));
    values.push(("user_ws_bytes", ws.user));
    // Client and origin have a socket each, with or without a proxy between them.
    values.push(("kernel_bytes", ws.kernel - direct));
    values.push(("handshake_ws_us", ws.handshake_us));
    say("connections, wss");
    let wss = connections(net()?, Some(&certificate))?;
    values.push(("user_wss_bytes", wss.user));
    values.push(("handshake_wss_us", wss.handshake_us));
    say("heartbeats");
    values.push(("heartbeat_us", heartbeat(net()?)?));
    say("messages, ws");
    let (small, kib) = messages(None)?;
    values.extend([("message_ws_us", small), ("kib_ws_us", kib)]);
    say("messages, wss");
    let (small, kib) = messages(Some(&certificate))?;
    values.extend([("message_wss_us", small), ("kib_wss_us", kib)]);
    Ok(values)
}

/// Kernel memory of a connection between our own client and origin.
fn direct(net: u8) -> anyhow::Result<f64> {
    let origin = Origin::start(Ipv4Addr::new(127, 1, net, 1), None)?;
    let source = Ipv4Addr::new(127, 2, net, 1);
    let mut client = Client::start(&Connects { source, ..Connects::to(origin.addr) })?;
    client.open(FEW)?;
    sleep(SETTLE);
    let before = slab_bytes()?;
    client.open(MANY)?;
    sleep(SETTLE);
    Ok((slab_bytes()? - before) / (MANY - FEW) as f64)
}

struct PerConnection {
    base: f64,
    user: f64,
    kernel: f64,
    handshake_us: f64,
}

/// Everything that grows with connections, from `FEW` to `MANY`, each after a message.
fn connections(net: u8, certificate: Option<&Certificate>) -> anyhow::Result<PerConnection> {
    let origin = Origin::start(Ipv4Addr::new(127, 1, net, 1), None)?;
    let origins = [origin.addr];
    let setup =
        Setup { origins: &origins, heartbeat_seconds: 300, certificate, ..Setup::default() };
    let proxy = Proxy::start(Kind::Hawser, &setup)?;
    let source = Ipv4Addr::new(127, 2, net, 1);
    let authority = certificate.map(Certificate::authority);
    let connects = Connects { source, authority: authority.as_deref(), ..Connects::to(proxy.addr) };
    let mut client = Client::start(&connects)?;
    let mut seen = Vec::new();
    for n in [FEW, MANY] {
        let cpu = measure::cpu_ns(proxy.id())?;
        client.open(n)?;
        let opened_us = ran_ns(cpu, measure::cpu_ns(proxy.id())?)? as f64 / 1000.0;
        let echo = client.ask(&format!("echo {SMALL} 256"))?;
        ensure!(echo["wrong_bytes"] == 0 && echo["open"] == n, "{echo}");
        sleep(SETTLE);
        seen.push((measure::pss_bytes(proxy.id())? as f64, slab_bytes()?, opened_us));
    }
    let ((few_user, few_kernel, _), (user, kernel, opened_us)) = (seen[0], seen[1]);
    let more = (MANY - FEW) as f64;
    let per_connection = (user - few_user) / more;
    Ok(PerConnection {
        base: few_user - per_connection * FEW as f64,
        user: per_connection,
        kernel: (kernel - few_kernel) / more,
        handshake_us: opened_us / more,
    })
}

/// CPU of the proxy for one heartbeat of one tunnel, both legs.
fn heartbeat(net: u8) -> anyhow::Result<f64> {
    let origin = Origin::start(Ipv4Addr::new(127, 1, net, 1), None)?;
    let origins = [origin.addr];
    let setup =
        Setup { origins: &origins, heartbeat_seconds: HEARTBEAT_SECONDS, ..Setup::default() };
    let proxy = Proxy::start(Kind::Hawser, &setup)?;
    let source = Ipv4Addr::new(127, 2, net, 1);
    let mut client = Client::start(&Connects { source, ..Connects::to(proxy.addr) })?;
    client.open(MANY)?;
    // Until the first of every tunnel is due.
    sleep(Duration::from_secs(u64::from(HEARTBEAT_SECONDS) + 1));
    let (before, since) = (measure::cpu_ns(proxy.id())?, Instant::now());
    sleep(HEARTBEATS_WATCHED);
    let us = ran_ns(before, measure::cpu_ns(proxy.id())?)? as f64 / 1000.0;
    let intervals = since.elapsed().as_secs_f64() / f64::from(HEARTBEAT_SECONDS);
    let end = client.ask("status")?;
    ensure!(end["open"] == MANY, "connections ended under heartbeats: {end}");
    Ok(us / intervals / MANY as f64)
}

/// CPU of a small message, and of each further KiB.
fn messages(certificate: Option<&Certificate>) -> anyhow::Result<(f64, f64)> {
    let (small, large) = (message(SMALL, certificate)?, message(LARGE, certificate)?);
    Ok((small, (large - small) / ((LARGE - SMALL) as f64 / 1024.0)))
}

/// CPU of a forwarded message while the proxy's core is busy.
fn message(bytes: usize, certificate: Option<&Certificate>) -> anyhow::Result<f64> {
    let load = Load {
        connections: if bytes > 1024 { 50 } else { 200 },
        path: "/echo",
        certificate,
        large_messages: false,
        cpu: 0,
        load_cpu: 1,
    };
    let mut bench = Bench::start(Kind::Hawser, &load)?;
    let (mut turns, mut poor) = (Vec::new(), 0);
    while turns.len() < TURNS {
        let Window { cpu_ns, echoed_bytes, end, .. } =
            bench.window(&format!("pingpong {bytes}"), TURN)?;
        ensure!(end["wrong_bytes"] == 0, "bytes came back wrong: {}", brief(end));
        let messages = 2.0 * echoed_bytes as f64 / bytes as f64;
        if messages >= MESSAGES_LEAST {
            turns.push(cpu_ns as f64 / 1000.0 / messages);
            continue;
        }
        // Somebody else had the cores.
        poor += 1;
        ensure!(
            poor < TURNS,
            "only {messages} messages of {bytes} bytes in {TURN:?}, several times: \
             measure again when this host is quiet"
        );
    }
    Ok(Spread::of(&turns).median)
}

/// What the kernel has in its object caches, where sockets and files are.
fn slab_bytes() -> anyhow::Result<f64> {
    let text = fs::read_to_string("/proc/meminfo")?;
    let bytes = measure::bytes_of(&text, "Slab").context("/proc/meminfo has no line `Slab:`")?;
    Ok(bytes as f64)
}
