//! `hold`: one Hawser process that may open 20,000 descriptors holds up to a million connections
//! with heartbeats, its clients and origins beside it, carries messages over them and closes every
//! one in order. Says on standard error how far it is, and stops by itself before the machine is
//! out of memory.
//!
//! Not here: what a connection costs elsewhere (`docs/sizing.md`), and traffic (`run`).

mod budget;
pub mod crew;

use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use self::crew::{Member, Watch, ask, ask_each};
use crate::children::{DESCRIPTORS, sum};
use crate::edge::{Edge, Plan};
use crate::hawser::Domain;
use crate::line::Line;
use crate::measure;

#[derive(clap::Args)]
pub struct Options {
    #[arg(long, default_value_t = 50_000, value_parser = clap::value_parser!(u32).range(1..=MOST))]
    connections: u32,
    /// Seconds between pings to a silent side. With 60, both sides of a million connections are
    /// pinged 35,000 times a second.
    #[arg(long, default_value_t = 60)]
    heartbeat: u32,
    /// Seconds for which they are held; by default as long as every one is pinged once.
    #[arg(long)]
    hold: Option<u64>,
    /// Seconds over which they are closed; by default 8,000 a second are, and not less than 10 s.
    #[arg(long)]
    drain: Option<u32>,
    /// Workers of Hawser, each with a table of 10,000; by default as many as are needed.
    #[arg(long)]
    workers: Option<usize>,
    /// Memory in MiB that stays available on this machine whatever happens.
    #[arg(long, default_value_t = 1536)]
    leave: u64,
}

/// 64 origins of a domain, each as full as it gets.
const MOST: i64 = 64 * OF_ONE_PROCESS as i64;
/// Connections of one process of the crowd, below its own limit of descriptors.
const OF_ONE_PROCESS: usize = 18_500;
/// Handshakes under way at once, over all clients.
const HANDSHAKES: usize = 768;
const STEPS: usize = 10;
/// User memory of both processes of the crowd for one connection.
const CROWD_BYTES: f64 = 150.0;
/// What a connection takes of the machine before anything was measured: four sockets, two armed
/// receives, three processes' state.
const EXPECTED_BYTES: f64 = 18_500.0;
/// Addresses that Hawser's connections to origins come from, so that each pair of addresses uses a
/// sixth of its ports: beyond a half the kernel searches for long.
const SOURCES: u8 = 4;
/// Slower than any answer on a machine that is busy with all of this.
const PATIENCE: Duration = Duration::from_secs(400);
const GIB: f64 = (1u64 << 30) as f64;

pub fn run(options: &Options) -> anyhow::Result<Value> {
    let connections = options.connections as usize;
    let leave = options.leave << 20;
    let mut watch = Watch::begin(leave)?;
    budget::fits(connections, EXPECTED_BYTES, watch.available()?, leave)
        .map_err(anyhow::Error::msg)?;
    check_open_files(connections)?;
    let mut hold = Hold::begin(options, watch)?;
    hold.open_all(leave)?;
    let held = hold.hold(options)?;
    let said = hold.talk()?;
    let closed = hold.drain()?;
    let passed = held["lost"] == 0 && said["wrong_bytes"] == 0 && closed["passed"] == true;
    Ok(json!({
        "scenario": "hold",
        "connections": connections,
        "sockets_of_hawser": 2 * connections,
        "descriptor_limit": DESCRIPTORS,
        "workers": hold.workers,
        "processes_beside": hold.clients.len() + hold.origins.len(),
        "heartbeat_seconds": options.heartbeat,
        "steps": hold.steps.iter().map(Step::shown).collect::<Vec<_>>(),
        "bytes_per_connection": hold.slopes(),
        "held": held,
        "messages": said,
        "closed": closed,
        "least_memory_available": hold.watch.least_available,
        "seconds": hold.began.elapsed().as_secs(),
        "passed": passed,
    }))
}

/// The kernel bounds open files of all processes together, root's apart.
fn check_open_files(connections: usize) -> anyhow::Result<()> {
    let most: u64 = fs::read_to_string("/proc/sys/fs/file-max")?.trim().parse()?;
    let needed = 4 * connections as u64 + 10_000;
    let is_root =
        fs::metadata("/proc/self").is_ok_and(|of| std::os::unix::fs::MetadataExt::uid(&of) == 0);
    ensure!(
        is_root || needed <= most,
        "{connections} connections are {needed} open files, and fs.file-max is {most}: run it as \
         root, who is not bound by it, raise it, or ask for fewer --connections"
    );
    Ok(())
}

struct Hold {
    began: Instant,
    watch: Watch,
    workers: usize,
    connections: usize,
    drain_seconds: u32,
    // Ended in this order: what closes last has no one left to tell.
    clients: Vec<Member>,
    edge: Edge,
    origins: Vec<Member>,
    steps: Vec<Step>,
}

/// What there was when so many were open.
struct Step {
    connections: usize,
    since_start: Duration,
    hawser_pss: u64,
    available: u64,
    slabs: BTreeMap<String, u64>,
}

impl Step {
    fn look(
        connections: usize,
        began: Instant,
        edge: &Edge,
        watch: &mut Watch,
    ) -> anyhow::Result<Step> {
        Ok(Step {
            connections,
            since_start: began.elapsed(),
            hawser_pss: measure::pss_bytes(edge.id())?,
            available: watch.available()?,
            // Only root may read it; then there are no figures by name.
            slabs: fs::read_to_string("/proc/slabinfo")
                .map_or_else(|_| BTreeMap::new(), |text| budget::slabs(&text)),
        })
    }

    fn slab_bytes(&self) -> u64 {
        self.slabs.values().sum()
    }

    fn shown(&self) -> Value {
        json!({
            "connections": self.connections,
            "seconds": (self.since_start.as_secs_f64() * 10.0).round() / 10.0,
            "hawser_pss": self.hawser_pss,
            "kernel_slabs": self.slab_bytes(),
            "memory_available": self.available,
        })
    }
}

impl Hold {
    fn begin(options: &Options, mut watch: Watch) -> anyhow::Result<Hold> {
        let connections = options.connections as usize;
        let processes = connections.div_ceil(OF_ONE_PROCESS);
        let address = |net: u8, i: usize| Ipv4Addr::new(127, net, (i >> 8) as u8, 1 + i as u8);
        let (mut origins, mut addresses) = (Vec::new(), Vec::new());
        for i in 0..processes {
            let (member, addr) = Member::origin(address(71, i))?;
            origins.push(member);
            addresses.push(addr);
        }
        let table = DESCRIPTORS as usize / 2;
        let workers = options.workers.unwrap_or_else(|| budget::workers(connections, table));
        // With a million and everybody on two cores, 8,000 a second left 4 % without their Close.
        let rest = (connections / 4_000).max(10) as u32;
        let drain_seconds = options.drain.unwrap_or(rest);
        let edge = start(workers, options.heartbeat, drain_seconds, addresses)?;
        let began = Instant::now();
        let clients = (0..processes)
            .map(|i| Member::client(edge.addr, address(72, i)))
            .collect::<anyhow::Result<Vec<_>>>()?;
        eprintln!(
            "{connections} connections: Hawser with {workers} workers, {processes} processes of \
             clients and {processes} of origins, {:.1} GiB of memory available",
            watch.available()? as f64 / GIB
        );
        // They are all waiting when they answer.
        let mut hold = Hold {
            began,
            workers,
            connections,
            drain_seconds,
            steps: Vec::new(),
            watch,
            clients,
            edge,
            origins,
        };
        ask(&mut hold.clients, "status", &mut hold.watch, PATIENCE)?;
        hold.step(0)?;
        Ok(hold)
    }

    fn step(&mut self, connections: usize) -> anyhow::Result<()> {
        let step = Step::look(connections, self.began, &self.edge, &mut self.watch)?;
        self.steps.push(step);
        Ok(())
    }

    /// Opens a tenth after the other, each spread over all clients, and looks after each whether
    /// the rest will fit.
    fn open_all(&mut self, leave: u64) -> anyhow::Result<()> {
        let processes = self.clients.len();
        let at_once = (HANDSHAKES / processes).max(4);
        for step in 1..=STEPS {
            let total = self.connections * step / STEPS;
            let since = Instant::now();
            let share = |i: usize| total / processes + usize::from(i < total % processes);
            let line = |i: usize| format!("open {} {at_once}", share(i));
            let answers = ask_each(&mut self.clients, line, &mut self.watch, PATIENCE)?;
            let open = sum(&answers, "open") as usize;
            ensure!(open == total, "{open} of {total} connections opened: {}", failure(&answers));
            let opened = total - self.steps.last().map_or(0, |step| step.connections);
            let rate = opened as f64 / since.elapsed().as_secs_f64();
            self.step(total)?;
            self.tell_progress(rate);
            let each = self.own_slope().unwrap_or(EXPECTED_BYTES);
            let available = self.watch.available()?;
            budget::fits(self.connections - total, each, available, leave)
                .map_err(anyhow::Error::msg)
                .with_context(|| format!("stopped with {total} connections open"))?;
        }
        Ok(())
    }

    fn tell_progress(&self, rate: f64) {
        let (Some(first), Some(last)) = (self.steps.first(), self.steps.last()) else { return };
        let each = |now: u64, then: u64| (now as f64 - then as f64) / last.connections as f64;
        eprintln!(
            "{:>7.1} s  {:>9} open  {:>6.0} a second  Hawser {:>4.0} B each  \
             kernel {:>6.0} B each  {:>5.1} GiB available",
            last.since_start.as_secs_f64(),
            last.connections,
            rate,
            each(last.hawser_pss, first.hawser_pss),
            each(last.slab_bytes(), first.slab_bytes()),
            last.available as f64 / GIB,
        );
    }

    /// What one more connection takes of the machine, told by what is ours: what others do with
    /// their memory meanwhile shows in `machine_slope`.
    fn own_slope(&self) -> Option<f64> {
        let kernel = self.slope(|step| step.slab_bytes() as f64).filter(|slope| *slope > 0.0)?;
        Some(kernel + self.slope(|step| step.hawser_pss as f64)? + CROWD_BYTES)
    }

    /// The same by all memory of the machine.
    fn machine_slope(&self) -> Option<f64> {
        self.slope(|step| -(step.available as f64))
    }

    fn slope(&self, figure: impl Fn(&Step) -> f64) -> Option<f64> {
        let points = self.steps.iter().map(|step| (step.connections as f64, figure(step)));
        Line::through(&points.collect::<Vec<_>>()).map(|line| line.slope)
    }

    fn slopes(&self) -> Value {
        let rounded = |slope: Option<f64>| slope.map(f64::round);
        let (Some(first), Some(last)) = (self.steps.first(), self.steps.last()) else {
            return Value::Null;
        };
        let named = budget::growth(&first.slabs, &last.slabs, self.connections, 16.0);
        let named: serde_json::Map<String, Value> =
            named.into_iter().map(|(name, bytes)| (name, json!(bytes.round()))).collect();
        let fixed = last.hawser_pss.saturating_sub(first.hawser_pss) / self.connections as u64;
        json!({
            "hawser_user_slope": rounded(self.slope(|step| step.hawser_pss as f64)),
            "hawser_user_since_empty": fixed,
            "kernel_slabs_slope": rounded(self.slope(|step| step.slab_bytes() as f64)),
            "kernel_slabs_by_name": named,
            "all_slope": rounded(self.own_slope()),
            "machine_slope": rounded(self.machine_slope()),
        })
    }

    /// Nothing but heartbeats.
    fn hold(&mut self, options: &Options) -> anyhow::Result<Value> {
        let time = Duration::from_secs(options.hold.unwrap_or(u64::from(options.heartbeat) + 5));
        eprintln!("holding them for {} s", time.as_secs());
        self.watch.sleep(Duration::from_secs(3))?;
        let before = self.heartbeats()?;
        let (hawser, machine) = (measure::cpu_ns(self.edge.id())?, machine_busy()?);
        let since = Instant::now();
        self.watch.sleep(time)?;
        let held = since.elapsed();
        let hawser = measure::ran_ns(hawser, measure::cpu_ns(self.edge.id())?)?;
        let busy = machine_busy()? - machine;
        let pss = measure::pss_bytes(self.edge.id())?;
        let after = self.heartbeats()?;
        let crowd = self.crowd_pss()?;
        let of_a_core =
            |time: Duration| (time.as_secs_f64() / held.as_secs_f64() * 1000.0).round() / 1000.0;
        let threads = fs::read_dir(format!("/proc/{}/task", self.edge.id()))?.count();
        Ok(json!({
            "seconds": held.as_secs_f64().round(),
            "lost": (self.connections as u64).saturating_sub(after.open),
            "pings_to_clients": after.clients - before.clients,
            "pings_to_origins": after.origins - before.origins,
            "answered_in_time": after.answered - before.answered,
            "cores_of_hawser": of_a_core(Duration::from_nanos(hawser)),
            "cores_of_the_machine": of_a_core(busy),
            "hawser_pss": pss,
            "hawser_threads": threads,
            "hawser_descriptors": measure::descriptors(self.edge.id())?,
            "crowd_pss": crowd,
            "tcp": tcp_line()?,
        }))
    }

    fn heartbeats(&mut self) -> anyhow::Result<Heartbeats> {
        let clients = ask(&mut self.clients, "status", &mut self.watch, PATIENCE)?;
        let origins = ask(&mut self.origins, "status", &mut self.watch, PATIENCE)?;
        Ok(Heartbeats {
            open: sum(&clients, "open"),
            clients: sum(&clients, "pings"),
            origins: sum(&origins, "pings"),
            answered: self.edge.metrics()?.sum("hawser_rtt_seconds_count") as u64,
        })
    }

    fn crowd_pss(&self) -> anyhow::Result<u64> {
        let members = self.clients.iter().chain(&self.origins);
        members.map(|member| measure::pss_bytes(member.id())).sum()
    }

    /// A message over a few of each client's, one at a time, and then one over each.
    fn talk(&mut self) -> anyhow::Result<Value> {
        eprintln!("a message over a sample, then one over each");
        let sample = 10;
        let few =
            ask(&mut self.clients, &format!("echo 64 {sample} 1"), &mut self.watch, PATIENCE)?;
        let since = Instant::now();
        let line = format!("echo 64 {} 32", usize::MAX);
        let all = ask(&mut self.clients, &line, &mut self.watch, PATIENCE)?;
        let seconds = since.elapsed().as_secs_f64();
        let echoed = sum(&all, "echoed") - sum(&few, "echoed");
        ensure!(
            echoed == self.connections as u64,
            "{echoed} of {} messages came back: {}",
            self.connections,
            failure(&all)
        );
        let worst = few.iter().filter_map(|answer| answer["echo_us"]["max"].as_u64()).max();
        let mut medians: Vec<u64> =
            few.iter().filter_map(|answer| answer["echo_us"]["p50"].as_u64()).collect();
        medians.sort_unstable();
        Ok(json!({
            "sample": sum(&few, "echoed"),
            "sample_us_median": medians.get(medians.len() / 2),
            "sample_us_max": worst,
            "all": echoed,
            "all_seconds": (seconds * 10.0).round() / 10.0,
            "wrong_bytes": sum(&all, "wrong_bytes"),
            "hawser_pss_after": measure::pss_bytes(self.edge.id())?,
        }))
    }

    /// SIGTERM, and what everybody saw of it.
    fn drain(&mut self) -> anyhow::Result<Value> {
        eprintln!("closing them over {} s", self.drain_seconds);
        let cpu = measure::cpu_ns(self.edge.id())?;
        let since = Instant::now();
        self.edge.process.signal("TERM")?;
        let time = Duration::from_secs(u64::from(self.drain_seconds) + 60);
        let line = format!("await-end {}", time.as_secs());
        let clients = ask(&mut self.clients, &line, &mut self.watch, time + PATIENCE)?;
        let clients_seconds = since.elapsed().as_secs_f64();
        let pss = measure::pss_bytes(self.edge.id()).ok();
        let origins = ask(&mut self.origins, &line, &mut self.watch, time + PATIENCE)?;
        // Less than before, when it has ended.
        let cpu = measure::cpu_ns(self.edge.id()).ok().and_then(|now| now.checked_sub(cpu));
        let mut code = None;
        while code.is_none() && since.elapsed() < time {
            self.watch.look()?;
            code = self.edge.process.wait(Duration::from_millis(200))?;
        }
        let (clients, origins) = (ends(&clients), ends(&origins));
        let in_order = |ends: &BTreeMap<String, u64>| {
            ends.len() == 1 && ends.get("1001") == Some(&(self.connections as u64))
        };
        Ok(json!({
            "clients": clients,
            "origins": origins,
            "clients_seconds": (clients_seconds * 10.0).round() / 10.0,
            "seconds": (since.elapsed().as_secs_f64() * 10.0).round() / 10.0,
            "hawser_pss_then": pss,
            "hawser_cpu_seconds": cpu.map(|ns| (ns as f64 / 1e8).round() / 10.0),
            "exit_code": code,
            "passed": in_order(&clients) && in_order(&origins) && code == Some(0),
        }))
    }
}

struct Heartbeats {
    open: u64,
    /// Pings that clients and origins got.
    clients: u64,
    origins: u64,
    /// Pongs that Hawser could tell the time of.
    answered: u64,
}

fn start(
    workers: usize,
    heartbeat_seconds: u32,
    drain_seconds: u32,
    origins: Vec<SocketAddr>,
) -> anyhow::Result<Edge> {
    let sources = (1..=SOURCES).map(|i| Ipv4Addr::new(127, 73, 0, i)).collect();
    let stalled_write_seconds = Some(60);
    let domain = Domain { name: "load.test", heartbeat_seconds, stalled_write_seconds, origins };
    let domains = vec![domain];
    Edge::start(&Plan { workers, descriptors: DESCRIPTORS, sources, drain_seconds, domains })
}

/// How many connections ended with which code, over all processes.
fn ends(answers: &[Value]) -> BTreeMap<String, u64> {
    let mut all = BTreeMap::new();
    for (code, count) in answers.iter().filter_map(|answer| answer["ended"].as_object()).flatten() {
        *all.entry(code.clone()).or_default() += count.as_u64().unwrap_or(0);
    }
    all
}

fn failure(answers: &[Value]) -> String {
    let said = answers.iter().find(|answer| answer["failed"] != 0 || answer["ended"] != json!({}));
    said.map_or("no process says why".into(), Value::to_string)
}

/// Time that all processors of the machine were busy.
fn machine_busy() -> anyhow::Result<Duration> {
    let text = fs::read_to_string("/proc/stat")?;
    let line = text.lines().next().context("/proc/stat is empty")?;
    let ticks: Vec<u64> =
        line.split_whitespace().skip(1).take(8).filter_map(|word| word.parse().ok()).collect();
    // Of user, nice, system, idle, iowait, irq, softirq and steal, idle and iowait are not busy.
    let busy = ticks.iter().enumerate().filter(|(i, _)| !matches!(i, 3 | 4)).map(|(_, n)| n);
    Ok(Duration::from_millis(busy.sum::<u64>() * 10))
}

/// What the kernel counts of TCP sockets: in use, orphaned, in TIME_WAIT, pages of buffers.
fn tcp_line() -> anyhow::Result<String> {
    let text = fs::read_to_string("/proc/net/sockstat")?;
    let line = text.lines().find_map(|line| line.strip_prefix("TCP: "));
    Ok(line.unwrap_or_default().to_owned())
}
