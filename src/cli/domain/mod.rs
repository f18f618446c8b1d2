//! `hawser domain`: the domain files, one by one or many at a time. Not here: how a text is changed
//! and stored (`control::config::{edit, store}`).

mod change;
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

/// Asks a running edge to take over what was written, and says what came of it.
pub fn reload_running(state_dir: &Path) -> anyhow::Result<Exit> {
    match control_client::request(state_dir, Method::POST, "/v1/reload", None) {
        Ok(answer) if answer.is_success() => {
            let loaded: serde_json::Value = answer.json()?;
            say(&format!("the edge runs with it: generation {}\n", loaded["generation"]))?;
            Ok(Exit::Done)
        }
        Ok(answer) => {
            eprintln!(
                "hawser: the files are written, but the edge keeps its old configuration:\n{}",
                answer.text()
            );
            Ok(Exit::BadConfig)
        }
        Err(ClientError::NotRunning(_)) => {
            say("no edge is running; it will be used at the next start\n")?;
            Ok(Exit::Done)
        }
        Err(error) => Err(anyhow::Error::new(error)
            .context("the files are written, but the edge could not be told to reload")),
    }
}
