//! `hawser doctor`: what of this host would keep the edge from its size. Not here: the checks
//! (`control::doctor`).

use std::fmt::Write;
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};

use hyper::Method;
use jiff::Timestamp;
use serde::Deserialize;

use super::{Exit, Which, control_client, say};
use crate::control::certs::Keyring;
use crate::control::certs::keyring::{Circumstances, Occasion};
use crate::control::config::{Loaded, Workers};
use crate::control::doctor::{Facts, Finding, Host, Process, Report, State, examine, grouped};
use crate::net::{probe, runtime};

/// Check this host: kernel, limits, sysctls, state directory and certificates
///
/// Prints what is not as it should be, each with the line that fixes it, and how many connections
/// the present limits allow. Limits are those of the running edge, or of this command when no edge
/// runs. Ends with 1 when something keeps the edge from serving, or from as many connections as are
/// asked for. Changes nothing; tuning/README.md explains every line.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    which: Which,
    /// Judge for so many connections [default: the sum of max_connections of all domains; when not
    /// every domain has it, 100000, and falling short is no problem]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    connections: Option<u64>,
    /// Print what is fine too
    #[arg(short, long)]
    verbose: bool,
    /// Print JSON, as GET /api/v1/doctor answers
    #[arg(long, conflicts_with = "verbose")]
    json: bool,
}

pub fn run(args: Args) -> anyhow::Result<Exit> {
    let loaded = args.which.source().load()?;
    let process = running(&args.which.state_dir()?);
    let now = Timestamp::now();
    // As at a start: what is out of its time is what is looked for.
    let listening = !loaded.server.listen_tls.is_empty();
    let circumstances = Circumstances { occasion: Occasion::Start, now, listening };
    let reading = Keyring::read(&loaded, &Keyring::default(), circumstances);
    let served = reading.keyring.served();
    let facts = Facts::of(&loaded, served, workers(&loaded), args.connections, now.as_second());
    let host = Host {
        root: PathBuf::from("/"),
        process,
        io_uring: probe::probe(),
        free: probe::free_space,
    };
    let report = examine(&host, &facts);
    if args.json {
        say(&(serde_json::to_string_pretty(&report)? + "\n"))?;
    } else {
        say(&text(&report, args.verbose))?;
    }
    Ok(if report.state == State::Problem { Exit::Failed } else { Exit::Done })
}

fn workers(loaded: &Loaded) -> usize {
    match loaded.server.workers {
        Workers::Auto => runtime::allowed_cores().len(),
        Workers::Count(n) => n.get() as usize,
    }
}

/// What is asked of the status of a running edge.
#[derive(Deserialize)]
struct Running {
    pid: NonZeroU64,
}

fn running(state_dir: &Path) -> Process {
    let answer = control_client::request(state_dir, Method::GET, "/v1/status", None);
    let status = answer.ok().and_then(|answer| answer.json::<Running>().ok());
    let pid = status.and_then(|status| u32::try_from(status.pid.get()).ok());
    pid.map_or(Process::Asking, Process::Edge)
}

fn text(report: &Report, verbose: bool) -> String {
    let count = |state| report.items.iter().filter(|item| item.state == state).count();
    let whose = match report.pid {
        Some(pid) => format!("the running edge (pid {pid})"),
        None => "this command: no edge runs".to_owned(),
    };
    let mut text =
        format!("size: {}, {} workers; limits of {whose}\n", report.size, grouped(report.workers));
    for state in [State::Problem, State::Notice, State::Ok] {
        let shown = verbose || state != State::Ok;
        for item in report.items.iter().filter(|item| shown && item.state == state) {
            finding(&mut text, item);
        }
    }
    let _ = writeln!(
        text,
        "{} problems, {} notices, {} fine",
        count(State::Problem),
        count(State::Notice),
        count(State::Ok)
    );
    match &report.connections {
        Some(allowed) => {
            let _ = writeln!(text, "{} connections: {}", grouped(allowed.allowed), allowed.by);
        }
        None => text += "how many connections the limits allow could not be read\n",
    }
    text
}

fn finding(text: &mut String, item: &Finding) {
    let state = match item.state {
        State::Problem => "problem",
        State::Notice => "notice",
        State::Ok => "ok",
    };
    let Finding { name, seen, wanted, fix, why, care, .. } = item;
    let seen = seen.as_deref().unwrap_or("unknown");
    let _ = writeln!(text, "{state:7}  {name}: {seen}; wanted: {wanted}\n         {why}");
    if let Some(fix) = fix {
        let _ = writeln!(text, "         fix: {fix}");
        if let Some(care) = care {
            let _ = writeln!(text, "         care: {care}");
        }
    }
}
