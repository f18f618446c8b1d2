//! `run`: one scenario against any server that speaks WebSocket or HTTP/1.1, for whoever wants to
//! know what it bears. Client processes do the work (`client`), at rates that nothing slows down;
//! every byte is checked, and what is lost or wrong is named. Not here: comparisons, see `compare`.

mod fleet;
mod options;
mod outcome;
mod progress;
mod scenarios;
mod target;

use std::net::SocketAddr;
use std::process::ExitCode;

use anyhow::Context as _;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::{Value, json};

use crate::children::Origin;
use crate::figures::Machine;
use fleet::{Fleet, Interrupt};
pub use options::Options;
use options::Scenario;
use outcome::Outcome;
use progress::Display;
use target::Target;

/// Runs a scenario and prints what came of it; fails when that is not right.
pub fn run(options: Options) -> anyhow::Result<ExitCode> {
    options.check()?;
    let machine = Machine::in_short();
    let began = jiff::Timestamp::now();
    let interrupt = Interrupt::install()?;
    let processes = options.processes(descriptors()?)?;
    let mut run = Run::prepare(options, processes, interrupt)?;
    run.play()?;
    let Run { options, target, outcome, origins, .. } = &run;
    let mut document = outcome.document();
    let counts: Result<Vec<_>, _> = origins.iter().map(Origin::counts).collect();
    let more = json!({
        "schema": 1,
        "scenario": options.scenario.name(),
        "target": target.to_string(),
        "began": began.to_string(),
        "connections": options.connections(),
        "processes": processes,
        "bytes": options.bytes(),
        "sources": options.sources.map(|sources| sources.to_string()),
        "origins": counts?,
        "machine": machine,
    });
    document.extend(more.as_object().into_iter().flatten().map(|(k, v)| (k.clone(), v.clone())));
    eprint!("{} {target}\n{}", options.scenario.name(), outcome.table());
    println!("{:#}", Value::Object(document));
    Ok(if outcome.is_right() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A scenario that is under way.
struct Run {
    options: Options,
    target: Target,
    addr: SocketAddr,
    processes: usize,
    interrupt: Interrupt,
    display: Display,
    origins: Vec<Origin>,
    outcome: Outcome,
    /// Ctrl-C came while connections were opened.
    unopened: bool,
}

impl Run {
    fn prepare(options: Options, processes: usize, interrupt: Interrupt) -> anyhow::Result<Run> {
        let mut origins: Vec<Origin> =
            options.origin.iter().map(|addr| fleet::origin(*addr)).collect::<Result<_, _>>()?;
        let target = match &options.target {
            Some(target) => target.clone(),
            None => {
                if origins.is_empty() {
                    origins.push(fleet::origin(SocketAddr::from(([127, 0, 0, 1], 0)))?);
                }
                Target::at(origins[0].addr)
            }
        };
        target.check_authority(options.authority.as_deref())?;
        let addr = target.resolve(options.owner())?;
        let (display, outcome) = (Display::new(options.progress), Outcome::default());
        Ok(Run {
            options,
            target,
            addr,
            processes,
            interrupt,
            display,
            origins,
            outcome,
            unopened: false,
        })
    }

    fn play(&mut self) -> anyhow::Result<()> {
        match self.options.scenario {
            Scenario::Idle => self.idle(),
            Scenario::PingPong => self.ping_pong(),
            Scenario::Push => self.push(),
            Scenario::Stream => self.stream(),
            Scenario::Churn => self.churn(),
            Scenario::Herd => self.herd(),
            Scenario::SlowReaders => self.slow_readers(),
            Scenario::Http => self.http(),
        }
    }

    /// Client processes for these connections: each has its own sources, where there are enough.
    fn fleet(&self, processes: usize, path: Option<&str>, more: &[&str]) -> anyhow::Result<Fleet> {
        let options = &self.options;
        let host = options.host.clone().unwrap_or_else(|| self.target.authority());
        let mut common = vec!["client".to_owned(), "--target".into(), self.addr.to_string()];
        common.extend(["--host".into(), host, "--offer".into(), "usual".into()]);
        common.extend(path.into_iter().flat_map(|path| ["--path".to_owned(), path.to_owned()]));
        common.extend(more.iter().map(|word| (*word).to_owned()));
        if let Some(authority) = &options.authority {
            let authority = authority.to_str().context("--authority: the path is not UTF-8")?;
            common.extend(["--authority".to_owned(), authority.to_owned()]);
        }
        let arguments = |part: usize| {
            let mut list = common.clone();
            if let Some(sources) = &options.sources {
                let part = sources.part(part as u32, processes as u32);
                list.extend(["--source".to_owned(), part.to_string()]);
            }
            list
        };
        let lists: Vec<Vec<String>> = (0..processes).map(arguments).collect();
        Fleet::start(&lists, &self.interrupt)
    }
}

/// Descriptors that a process may open, the soft limit raised to the hard one, for children too.
fn descriptors() -> anyhow::Result<u64> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })?;
    Ok(limit.maximum.unwrap_or(u64::MAX))
}
