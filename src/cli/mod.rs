//! The command line: one file per verb, each with its `Args` and a `run`. Not here: what the verbs
//! ask of a running edge (`control` answers on the control socket).

pub mod control_client;

mod audit;
mod cert;
mod check;
mod completions;
mod conns;
mod demo;
mod doctor;
mod domain;
mod drain;
mod key;
mod kill;
mod man;
mod plan;
mod processes;
mod reload;
mod run;
mod serve;
mod stop;
#[cfg(test)]
mod tests;
mod usage;
mod version;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::control::changes::ChangeError;
use crate::control::config::edit::EditError;
use crate::control::config::store::StoreError;
use crate::control::config::{Problems, Source};
use crate::net::probe::ProbeError;

/// How the program ends; the numbers are a contract with service managers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    Done = 0,
    /// Something went wrong at run time.
    Failed = 1,
    Usage = 2,
    /// A permission or a kernel feature is missing.
    NotPermitted = 77,
    BadConfig = 78,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}

/// Hawser carries WebSocket and HTTP/1.1 connections from clients to origins.
#[derive(Debug, Parser)]
#[command(name = "hawser", version, max_term_width = 100)]
#[command(subcommand_required = true, arg_required_else_help = true)]
#[command(after_help = EXIT_CODES)]
pub struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

const EXIT_CODES: &str = "Exit codes: 0 done, 1 run-time failure, 2 usage, 77 missing permission \
or kernel feature, 78 bad configuration.";

#[derive(Debug, Subcommand)]
enum Verb {
    Run(run::Args),
    Demo(demo::Args),
    Check(check::Args),
    Doctor(doctor::Args),
    Reload(reload::Args),
    Drain(drain::Args),
    Stop(stop::Args),
    Conns(conns::Args),
    Kill(kill::Args),
    Domain(domain::Args),
    Cert(cert::Args),
    Key(key::Args),
    Audit(audit::Args),
    Plan(plan::Args),
    Usage(usage::Args),
    Version(version::Args),
    Completions(completions::Args),
    Man(man::Args),
}

/// Which configuration is meant; the same two flags for every verb.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Which {
    /// Configuration file [default: /etc/hawser/hawser.toml if it exists, else all defaults]
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// State directory, instead of the one that the configuration names
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
}

impl Which {
    pub fn source(&self) -> Source {
        Source { file: self.config.clone(), state_dir: self.state_dir.clone() }
    }

    /// Where the edge in question has its control socket and its domains.
    pub fn state_dir(&self) -> anyhow::Result<PathBuf> {
        Ok(self.source().state_dir()?)
    }
}

/// Parses the arguments, runs the verb, prints what went wrong.
pub fn main() -> Exit {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are "errors" that go to stdout; a closed pipe is nobody's fault.
            let _ = error.print();
            return if error.use_stderr() { Exit::Usage } else { Exit::Done };
        }
    };
    match run_verb(cli.verb) {
        Ok(exit) => exit,
        Err(error) if is_broken_pipe(&error) => Exit::Done,
        Err(error) => {
            let exit = exit_of(&error);
            eprintln!("{}", for_people(&error, exit));
            exit
        }
    }
}

fn run_verb(verb: Verb) -> anyhow::Result<Exit> {
    match verb {
        Verb::Run(args) => run::run(args),
        Verb::Demo(args) => demo::run(args),
        Verb::Check(args) => check::run(args),
        Verb::Doctor(args) => doctor::run(args),
        Verb::Reload(args) => reload::run(args),
        Verb::Drain(args) => drain::run(args),
        Verb::Stop(args) => stop::run(args),
        Verb::Conns(args) => conns::run(args),
        Verb::Kill(args) => kill::run(args),
        Verb::Domain(args) => domain::run(args),
        Verb::Cert(args) => cert::run(args),
        Verb::Key(args) => key::run(args),
        Verb::Audit(args) => audit::run(args),
        Verb::Plan(args) => plan::run(args),
        Verb::Usage(args) => usage::run(args),
        Verb::Version(args) => version::run(args),
        Verb::Completions(args) => completions::run(args),
        Verb::Man(args) => man::run(args),
    }
}

/// Problems begin their own lines, so that `FILE:LINE:COLUMN` leads an editor to the place.
fn for_people(error: &anyhow::Error, exit: Exit) -> String {
    if exit != Exit::BadConfig {
        return format!("hawser: {error:#}");
    }
    let mut parts: Vec<String> = error.chain().map(|cause| cause.to_string()).collect();
    let problems = parts.pop().unwrap_or_default();
    let context: String = parts.iter().map(|part| format!("hawser: {part}\n")).collect();
    context + &problems
}

/// Writes to standard output. Unlike `print!`, a reader that went away is an error and not a panic.
fn say(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}

/// The exit code that an error stands for.
fn exit_of(error: &anyhow::Error) -> Exit {
    for cause in error.chain() {
        if cause.is::<Problems>() {
            return Exit::BadConfig;
        }
        if cause.is::<ProbeError>() {
            return Exit::NotPermitted;
        }
        if cause.is::<EditError>() {
            return Exit::Usage;
        }
        let store = match cause.downcast_ref::<ChangeError>() {
            Some(ChangeError::Rejected(_)) => return Exit::BadConfig,
            Some(ChangeError::Store(error)) => Some(error),
            Some(_) => None,
            None => cause.downcast_ref::<StoreError>(),
        };
        match store {
            Some(StoreError::Refused(_)) => return Exit::BadConfig,
            Some(StoreError::Name { .. }) => return Exit::Usage,
            Some(_) | None => {}
        }
    }
    Exit::Failed
}

/// `hawser conns | head` is a success: the reader had enough.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause
            .downcast_ref::<io::Error>()
            .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
    })
}
