//! `soak`: traffic for hours beside everything that happens to a proxy meanwhile: reloads, an
//! origin that dies and comes back, clients that never read, clients that come and go. Nothing may
//! be lost on tunnels whose origin stays, memory and descriptors may not drift, and what Hawser
//! counted has to be what its clients saw.
//!
//! | domain | clients | what may happen to them |
//! |---|---|---|
//! | calm.test | messages at a steady rate, each echoed | nothing |
//! | push.test | listen to what the origin pushes | nothing |
//! | churn.test | connect, one echo, Close, again | nothing |
//! | flap.test | like calm.test, on an origin that is killed | end as causes say, and come again |
//! | slow.test | never read what the origin pushes | are given up, or vanish |
//!
//! Not here: speed; see `compare`.

mod account;
mod drift;

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use self::account::{Account, Counts};
use self::drift::Drift;
use crate::children::{DESCRIPTORS, Origin, own_command};
use crate::edge::{Edge, Plan};
use crate::hawser::Domain;
use crate::hold::crew::{Member, Watch};
use crate::measure;

#[derive(clap::Args)]
pub struct Options {
    #[arg(long, conflicts_with = "minutes")]
    hours: Option<f64>,
    #[arg(long, default_value_t = 5.0)]
    minutes: f64,
    /// Connections that carry the steady messages.
    #[arg(long, default_value_t = 2_000)]
    connections: usize,
    /// Steady messages of 64 bytes a second, over all connections.
    #[arg(long, default_value_t = 500.0)]
    rate: f64,
    /// Connections a second that come and go.
    #[arg(long, default_value_t = 20.0)]
    churn: f64,
    /// Connections to the origin that dies.
    #[arg(long, default_value_t = 200)]
    flapping: usize,
    /// Clients that never read.
    #[arg(long, default_value_t = 20)]
    slow: usize,
    #[arg(long, default_value_t = 2)]
    workers: usize,
    /// Seconds from one reload, death and return to the next; by default a tenth of the run,
    /// from 20 to 300.
    #[arg(long)]
    cycle: Option<u64>,
    /// Growth of memory over the run, in KiB, that is not called a leak.
    #[arg(long, default_value_t = 2_048)]
    tolerated: u64,
}

const HEARTBEAT: u32 = 10;
const STALLED_WRITE: u32 = 10;
const PATIENCE: Duration = Duration::from_secs(60);
/// Tunnels that are gone and still known to Hawser (its `ENDS_KEPT_MAX`), some 2 MB of them.
const ENDS_KEPT: u64 = 10_000;
/// Time for an origin that came back to be found.
const RECOVERY: Duration = Duration::from_secs(60);

pub fn run(options: &Options) -> anyhow::Result<Value> {
    let length =
        Duration::from_secs_f64(options.hours.map_or(options.minutes * 60.0, |h| h * 3600.0));
    let cycle = options.cycle.unwrap_or((length.as_secs() / 10).clamp(20, 300));
    let mut soak = Soak::begin(options)?;
    let until = soak.began + length;
    while Instant::now() < until {
        soak.cycle(options, Duration::from_secs(cycle))?;
    }
    soak.finish(options)
}

/// A list that is still filling looks like a leak, so it is filled before the first sample.
fn fill_list_of_ends(churn: &mut Member, watch: &mut Watch) -> anyhow::Result<()> {
    churn.ask("churn 0 64", watch, PATIENCE)?;
    let since = Instant::now();
    loop {
        watch.sleep(Duration::from_millis(200))?;
        let answer = churn.ask("status", watch, PATIENCE)?;
        let opened = answer["opened"].as_u64().context("a client does not say what it opened")?;
        if opened > ENDS_KEPT {
            break;
        }
        ensure!(since.elapsed() < PATIENCE, "{ENDS_KEPT} tunnels do not come and go: {answer}");
    }
    let stopped = churn.ask("stop", watch, PATIENCE)?;
    ensure!(stopped["failed"] == 0, "tunnels that come and go failed: {stopped}");
    Ok(())
}

/// One look at Hawser at rest: at the same place of every cycle, so that cycles compare.
struct Sample {
    seconds: f64,
    pss: u64,
    descriptors: usize,
    tunnels: f64,
}

struct Soak {
    began: Instant,
    watch: Watch,
    calm: Member,
    push: Member,
    churn: Member,
    flap: Member,
    slow: Option<Member>,
    edge: Edge,
    steady_origin: Origin,
    flapping_origin: Option<Origin>,
    flapping_addr: SocketAddr,
    samples: Vec<Sample>,
    faults: Vec<String>,
    reloads: u32,
    flaps: u32,
    /// Tunnels that slow readers opened.
    slow_opened: u64,
    /// Steady messages on the dying origin's tunnels that had no answer when it died.
    cut_off: u64,
}

impl Soak {
    fn begin(options: &Options) -> anyhow::Result<Soak> {
        let mut watch = Watch::begin(512 << 20)?;
        let steady_origin = Origin::start(ORIGINS, None)?;
        let flapping_origin = Origin::start(FLAPPING, None)?;
        let flapping_addr = flapping_origin.addr;
        let names = ["calm.test", "push.test", "churn.test", "flap.test", "slow.test"];
        let domains = names
            .map(|name| match name {
                "flap.test" => domain(name, HEARTBEAT, flapping_addr),
                name => domain(name, HEARTBEAT, steady_origin.addr),
            })
            .into();
        let workers = options.workers;
        let sources = vec![Ipv4Addr::new(127, 73, 0, 1), Ipv4Addr::new(127, 73, 0, 2)];
        let plan = Plan { workers, descriptors: DESCRIPTORS, sources, drain_seconds: 5, domains };
        let edge = Edge::start(&plan)?;
        let client = |host, more: &[&str]| client(edge.addr, host, more);
        let mut calm = client("calm.test", &[])?;
        let mut push = client("push.test", &["--path", "/push?bytes=64&interval_ms=1000"])?;
        let mut churn = client("churn.test", &[])?;
        let mut flap = client("flap.test", &[])?;
        open(&mut calm, options.connections, &mut watch)?;
        open(&mut push, (options.connections / 10).max(1), &mut watch)?;
        open(&mut flap, options.flapping, &mut watch)?;
        calm.ask(&format!("steady 64 {}", options.rate), &mut watch, PATIENCE)?;
        flap.ask(&format!("steady 64 {}", flap_rate(options)), &mut watch, PATIENCE)?;
        push.ask("listen", &mut watch, PATIENCE)?;
        fill_list_of_ends(&mut churn, &mut watch)?;
        churn.ask(&format!("churn {} 64", options.churn), &mut watch, PATIENCE)?;
        Ok(Soak {
            began: Instant::now(),
            watch,
            calm,
            push,
            churn,
            flap,
            slow: None,
            edge,
            steady_origin,
            flapping_origin: Some(flapping_origin),
            flapping_addr,
            samples: Vec::new(),
            faults: Vec::new(),
            reloads: 0,
            flaps: 0,
            slow_opened: 0,
            cut_off: 0,
        })
    }

    /// Slow readers, a reload, a death and a return, and then rest until its end.
    fn cycle(&mut self, options: &Options, length: Duration) -> anyhow::Result<()> {
        let until = Instant::now() + length;
        self.replace_slow_readers(options)?;
        self.reload()?;
        self.kill_origin()?;
        self.watch.sleep(length / 10)?;
        self.bring_origin_back(options)?;
        self.watch.sleep(until.saturating_duration_since(Instant::now()))?;
        self.sample()
    }

    /// Those of the last cycle were given up by now, or go without a word.
    fn replace_slow_readers(&mut self, options: &Options) -> anyhow::Result<()> {
        self.slow = None;
        if options.slow > 0 {
            let mut slow =
                client(self.edge.addr, "slow.test", &["--silent", "--path", "/firehose"])?;
            open(&mut slow, options.slow, &mut self.watch)?;
            self.slow_opened += options.slow as u64;
            self.slow = Some(slow);
        }
        Ok(())
    }

    fn reload(&mut self) -> anyhow::Result<()> {
        self.reloads += 1;
        let heartbeat = HEARTBEAT + self.reloads % 2;
        self.edge.reload(&domain("calm.test", heartbeat, self.steady_origin.addr))
    }

    fn kill_origin(&mut self) -> anyhow::Result<()> {
        self.flaps += 1;
        // Dropped means killed; every connection of it is closed or reset by the kernel.
        self.flapping_origin = None;
        let ended = self.flap.ask("await-end", &mut self.watch, PATIENCE)?;
        if ended["open"] != 0 {
            self.faults.push(format!("flap.test: open after its origin had died: {ended}"));
        }
        let refused = self.flap.ask("open 1", &mut self.watch, PATIENCE)?;
        if refused["open"] != 0 {
            self.faults.push("flap.test: opened without an origin".into());
        }
        let stopped = self.flap.ask("stop 0", &mut self.watch, PATIENCE)?;
        self.cut_off += stopped["lost"].as_u64().unwrap_or(0);
        Ok(())
    }

    fn bring_origin_back(&mut self, options: &Options) -> anyhow::Result<()> {
        let origin = Origin::listen(own_command(None)?, self.flapping_addr)?;
        self.flapping_origin = Some(origin);
        let since = Instant::now();
        loop {
            let line = format!("open {}", options.flapping);
            let answer = self.flap.ask(&line, &mut self.watch, PATIENCE)?;
            if answer["open"] == options.flapping {
                break;
            }
            ensure!(since.elapsed() < RECOVERY, "flap.test does not come back: {answer}");
            self.watch.sleep(Duration::from_millis(200))?;
        }
        let line = format!("steady 64 {}", flap_rate(options));
        self.flap.ask(&line, &mut self.watch, PATIENCE)?;
        Ok(())
    }

    fn sample(&mut self) -> anyhow::Result<()> {
        let sample = Sample {
            seconds: self.began.elapsed().as_secs_f64(),
            pss: measure::pss_bytes(self.edge.id())?,
            descriptors: measure::descriptors(self.edge.id())?,
            tunnels: self.edge.metrics()?.sum("hawser_tunnels"),
        };
        let calm = self.calm.ask("status", &mut self.watch, PATIENCE)?;
        eprintln!(
            "{:>7.0} s  {:>6} tunnels  {:>6} KiB  {:>4} descriptors  {} messages echoed  {} lost  \
             {} faults",
            sample.seconds,
            sample.tunnels,
            sample.pss >> 10,
            sample.descriptors,
            calm["echoed"],
            calm["lost"],
            self.faults.len(),
        );
        self.samples.push(sample);
        Ok(())
    }

    fn finish(mut self, options: &Options) -> anyhow::Result<Value> {
        let watch = &mut self.watch;
        let steady = self.calm.ask("stop", watch, PATIENCE)?;
        let pushed = self.push.ask("stop", watch, PATIENCE)?;
        let churned = self.churn.ask("stop", watch, PATIENCE)?;
        let flapped = self.flap.ask("stop", watch, PATIENCE)?;
        self.slow = None;
        let calm = self.calm.ask("close", watch, PATIENCE)?;
        let push = self.push.ask("close", watch, PATIENCE)?;
        let churn = self.churn.ask("close", watch, PATIENCE)?;
        let flap = self.flap.ask("close", watch, PATIENCE)?;
        self.await_empty()?;
        let accounts = self.accounts(&[&calm, &push, &churn, &flap])?;
        self.faults.extend(accounts.iter().flat_map(Account::differences));
        self.compare_ends(&flap)?;
        self.compare_pushes(&push)?;
        for (name, answer) in [("calm", &steady), ("push", &pushed)] {
            self.expect_nothing(name, answer, &["lost", "unsent", "repeated"]);
        }
        self.expect_nothing("churn", &churned, &["failed"]);
        self.expect_nothing("flap", &flapped, &["lost", "unsent"]);
        for (name, answer) in [("calm", &calm), ("push", &push), ("churn", &churn), ("flap", &flap)]
        {
            self.expect_nothing(name, answer, &["wrong_bytes", "protocol_errors"]);
        }
        for (name, answer) in [("calm", &calm), ("push", &push), ("churn", &churn)] {
            self.expect_orderly_ends(name, answer);
        }
        let (memory, descriptors) =
            (self.drift(|s| s.pss as f64), self.drift(|s| s.descriptors as f64));
        if memory.as_ref().is_some_and(|drift| drift.is_leak((options.tolerated << 10) as f64)) {
            self.faults.push(format!("memory grows: {memory:?}"));
        }
        if descriptors.as_ref().is_some_and(|drift| drift.is_leak(1.0)) {
            self.faults.push(format!("descriptors grow: {descriptors:?}"));
        }
        self.end_in_order()?;
        for fault in &self.faults {
            eprintln!("fault: {fault}");
        }
        let verdict = match (self.faults.is_empty(), &memory) {
            (false, _) => "failed",
            (true, Some(_)) => "nothing lost, nothing leaked",
            (true, None) => "nothing lost; too few cycles to tell a leak from warm-up",
        };
        let minutes = self.began.elapsed().as_secs_f64() / 60.0;
        eprintln!(
            "{minutes:.1} minutes, {} reloads, {} deaths: {verdict}",
            self.reloads, self.flaps
        );
        Ok(json!({
            "scenario": "soak",
            "minutes": (minutes * 10.0).round() / 10.0,
            "connections": options.connections,
            "reloads": self.reloads,
            "origin_deaths": self.flaps,
            "steady": steady_figures(&steady),
            "pushed": steady_figures(&pushed),
            "churned": churned["made"],
            "flapping": { "ended": flap["ended"], "messages_cut_off": self.cut_off },
            "slow_readers": self.slow_opened,
            "memory_drift_bytes": memory.as_ref().map(Drift::shown),
            "descriptor_drift": descriptors.as_ref().map(Drift::shown),
            "samples": self.samples.iter().map(Sample::shown).collect::<Vec<_>>(),
            "accounts": accounts.iter().map(Account::shown).collect::<Vec<_>>(),
            "faults": self.faults,
            "passed": self.faults.is_empty(),
        }))
    }

    fn expect_nothing(&mut self, name: &str, answer: &Value, figures: &[&str]) {
        for figure in figures {
            let count = answer[*figure].as_u64().unwrap_or(0);
            if count != 0 {
                self.faults.push(format!("{name}.test: {figure}: {count}"));
            }
        }
    }

    fn expect_orderly_ends(&mut self, name: &str, answer: &Value) {
        let ended = answer["ended"].as_object().into_iter().flatten();
        for (code, count) in ended.filter(|(code, _)| *code != "1000") {
            self.faults.push(format!("{name}.test: {count} ended with {code}"));
        }
    }

    /// Until Hawser knows of every end: slow readers take as long as a stalled write may.
    fn await_empty(&mut self) -> anyhow::Result<()> {
        let since = Instant::now();
        let patience = Duration::from_secs(u64::from(2 * STALLED_WRITE + 2 * HEARTBEAT));
        while self.edge.metrics()?.sum("hawser_tunnels_active") > 0.0 && since.elapsed() < patience
        {
            self.watch.sleep(Duration::from_millis(200))?;
        }
        Ok(())
    }

    /// `answers` are those of calm, push, churn and flap.
    fn accounts(&self, answers: &[&Value; 4]) -> anyhow::Result<Vec<Account>> {
        let metrics = self.edge.metrics()?;
        let count = |answer: &Value, figure: &str| answer[figure].as_u64();
        let account = |domain: &'static str, clients: Counts| {
            let label = format!("domain=\"{domain}\"");
            let of = |name: &str| metrics.of(name, &label) as u64;
            let hawser = Counts {
                opened: of("hawser_tunnels_opened_total"),
                from_clients: Some(of("hawser_client_received_messages_total")),
                to_clients: Some(of("hawser_client_sent_messages_total")),
            };
            let active = of("hawser_tunnels_active");
            let closed = metrics.by("hawser_tunnels_closed_total", &label, "cause");
            Account { domain, clients, hawser, active, closed }
        };
        let opened = |answer: &Value| count(answer, "opened").unwrap_or(0);
        let echoing = |answer: &Value| Counts {
            opened: opened(answer),
            from_clients: count(answer, "sent"),
            to_clients: count(answer, "echoed"),
        };
        let [calm, push, churn, flap] = answers;
        let uncounted = |opened| Counts { opened, from_clients: None, to_clients: None };
        Ok(vec![
            account("calm.test", echoing(calm)),
            account("push.test", uncounted(opened(push))),
            account("churn.test", echoing(churn)),
            account("flap.test", uncounted(opened(flap))),
            account("slow.test", uncounted(self.slow_opened)),
        ])
    }

    /// Gaps are found by numbers; messages behind the last that came, by what the origin counted.
    fn compare_pushes(&mut self, push: &Value) -> anyhow::Result<()> {
        let pushed = self.steady_origin.counts()?.get("pushed").and_then(Value::as_u64);
        let received = push["pushed"].as_u64();
        if pushed.is_none() || pushed != received {
            let fault = format!("push.test: {pushed:?} were pushed, {received:?} received");
            self.faults.push(fault);
        }
        Ok(())
    }

    /// Every end that a client of the dying origin saw has a cause that leads to it: where the
    /// origin's end was a FIN it is passed on and there is no code (1006), after a reset there is.
    fn compare_ends(&mut self, flap: &Value) -> anyhow::Result<()> {
        let metrics = self.edge.metrics()?;
        let closed = "hawser_tunnels_closed_total{domain=\"flap.test\",";
        for (code, cause) in [("1000", "peer_close"), ("1006", "peer_eof"), ("1011", "peer_reset")]
        {
            let seen = flap["ended"][code].as_u64().unwrap_or(0);
            let counted = metrics.exact(&format!("{closed}cause=\"{cause}\"}}")) as u64;
            if seen != counted {
                let fault =
                    format!("flap.test: {code} seen {seen} times, {cause} counted {counted}");
                self.faults.push(fault);
            }
        }
        let known = ["1000", "1006", "1011"];
        let others = flap["ended"].as_object().into_iter().flatten();
        for (code, count) in others.filter(|(code, _)| !known.contains(&code.as_str())) {
            self.faults.push(format!("flap.test: {count} ended with {code}"));
        }
        Ok(())
    }

    /// Of the samples after warm-up: the first fifth, and not less than two.
    fn drift(&self, figure: impl Fn(&Sample) -> f64) -> Option<Drift> {
        let warm = self.samples.len().div_ceil(5).max(2).min(self.samples.len());
        let points = self.samples[warm..].iter().map(|sample| (sample.seconds, figure(sample)));
        Drift::of(&points.collect::<Vec<_>>())
    }

    fn end_in_order(&mut self) -> anyhow::Result<()> {
        self.edge.process.signal("TERM")?;
        match self.edge.process.wait(Duration::from_secs(30))? {
            Some(0) => {}
            code => self.faults.push(format!("Hawser ended with {code:?} and not with 0")),
        }
        Ok(())
    }
}

impl Sample {
    fn shown(&self) -> Value {
        json!({
            "seconds": self.seconds.round(),
            "pss": self.pss,
            "descriptors": self.descriptors,
            "tunnels": self.tunnels,
        })
    }
}

const ORIGINS: Ipv4Addr = Ipv4Addr::new(127, 71, 0, 1);
const FLAPPING: Ipv4Addr = Ipv4Addr::new(127, 71, 0, 2);

fn flap_rate(options: &Options) -> f64 {
    options.rate / 10.0
}

fn domain(name: &'static str, heartbeat_seconds: u32, origin: SocketAddr) -> Domain {
    let stalled_write_seconds = Some(STALLED_WRITE);
    Domain { name, heartbeat_seconds, stalled_write_seconds, origins: vec![origin] }
}

fn client(edge: SocketAddr, host: &str, more: &[&str]) -> anyhow::Result<Member> {
    let target = edge.to_string();
    let mut arguments = vec!["client", "--target", &target, "--host", host];
    arguments.extend(more);
    Member::start(&arguments)
}

fn open(client: &mut Member, n: usize, watch: &mut Watch) -> anyhow::Result<()> {
    let answer = client.ask(&format!("open {n}"), watch, PATIENCE)?;
    ensure!(answer["open"] == n, "{n} connections were wanted: {answer}");
    Ok(())
}

/// Without the histograms.
fn steady_figures(answer: &Value) -> Value {
    let times = |name: &str| {
        let mut times = answer[name].clone();
        times.as_object_mut().map(|times| times.remove("hdr"));
        times
    };
    json!({
        "scheduled": answer["scheduled"],
        "received": answer["received"],
        "lost": answer["lost"],
        "latency": times("latency"),
    })
}
