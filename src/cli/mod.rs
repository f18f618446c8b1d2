//! The command line: one file per verb, each with its `Args` and a `run`. Not here: what the verbs
//! ask of a running edge (`control` answers on the control socket).

pub mod control_client;

mod conns;
mod demo;
mod drain;
mod kill;
mod reload;
mod run;
mod stop;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

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
#[command(name = "hawser", version, max_term_width = 100, propagate_version = true)]
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
    Reload(reload::Args),
    Drain(drain::Args),
    Stop(stop::Args),
    Conns(conns::Args),
    Kill(kill::Args),
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
            eprintln!("hawser: {error:#}");
            Exit::Failed
        }
    }
}

fn run_verb(verb: Verb) -> anyhow::Result<Exit> {
    match verb {
        Verb::Run(args) => run::run(args),
        Verb::Demo(args) => demo::run(args),
        Verb::Reload(args) => reload::run(args),
        Verb::Drain(args) => drain::run(args),
        Verb::Stop(args) => stop::run(args),
        Verb::Conns(args) => conns::run(args),
        Verb::Kill(args) => kill::run(args),
    }
}

/// `hawser conns | head` is a success: the reader had enough.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause
            .downcast_ref::<std::io::Error>()
            .is_some_and(|e| e.kind() == std::io::ErrorKind::BrokenPipe)
    })
}
