//! `hawser domain`: the domain files, one by one or many at a time. Not here: how a text is changed
//! and stored (`control::config::{edit, store}`).

pub(super) mod change;
mod show;

use std::path::Path;

use clap::Subcommand;
use hyper::Method;

use super::control_client::{self, ClientError};
use super::{Exit, say};

/// List, show and change domains
///
/// A domain is a file, STATE_DIR/domains/NAME.toml. These verbs edit the same files as people do:
/// comments are kept, a change that would be invalid changes nothing, and a file is always the old
/// one or the new one. When an edge is running, it takes the change over at once.
#[derive(Debug, clap::Args)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    List(show::List),
    Show(show::Show),
    Export(show::Export),
    Set(change::Set),
    Remove(change::Remove),
    Apply(change::Apply),
}

pub fn run(args: Args) -> anyhow::Result<Exit> {
    match args.verb {
        Verb::List(args) => show::list(args),
        Verb::Show(args) => show::show(args),
        Verb::Export(args) => show::export(args),
        Verb::Set(args) => change::set(args),
        Verb::Remove(args) => change::remove(args),
        Verb::Apply(args) => change::apply(args),
    }
}

/// What a running edge made of what was written.
pub enum Taken {
    Generation(u64),
    NobodyRuns,
    /// Why; it keeps its old configuration.
    Refused(String),
}

/// Asks a running edge to take over what was written.
pub fn reload_running(state_dir: &Path) -> anyhow::Result<Taken> {
    match control_client::request(state_dir, Method::POST, "/v1/reload", None) {
        Ok(answer) if answer.is_success() => {
            let loaded: serde_json::Value = answer.json()?;
            Ok(Taken::Generation(loaded["generation"].as_u64().unwrap_or_default()))
        }
        Ok(answer) => Ok(Taken::Refused(answer.text())),
        Err(ClientError::NotRunning(_)) => Ok(Taken::NobodyRuns),
        Err(error) => Err(anyhow::Error::new(error)
            .context("the files are written, but the edge could not be told to reload")),
    }
}

impl Taken {
    /// Says what came of it. What was refused, the caller has put back.
    pub fn told(&self) -> anyhow::Result<Exit> {
        match self {
            Taken::Generation(generation) => {
                say(&format!("the edge runs with it: generation {generation}\n"))?;
            }
            Taken::NobodyRuns => say("no edge is running; it will be used at the next start\n")?,
            Taken::Refused(why) => {
                eprintln!(
                    "hawser: the edge keeps its old configuration, and what was written is put \
                     back:\n{why}"
                );
                return Ok(Exit::BadConfig);
            }
        }
        Ok(Exit::Done)
    }
}
