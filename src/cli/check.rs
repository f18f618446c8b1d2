//! `hawser check`, and the same behind `hawser run -t` and `-T`.

use jiff::Timestamp;

use super::{Exit, Which, say};
use crate::control::certs::{Keyring, expiry};
use crate::control::config::{Loaded, Problems, render};
use crate::control::geo::Atlas;

/// Check the configuration and every domain file
///
/// Reports all problems at once, each with its file, line, column, key, value and what would be
/// accepted; certificates and keys are read and checked too. Warns of what is accepted and probably
/// not meant. Says nothing when there is nothing to say. A running edge is neither asked nor
/// changed.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    which: Which,
    /// Say so when the configuration is good
    #[arg(short, long)]
    verbose: bool,
    /// Print the effective configuration, with every default filled in
    #[arg(short = 'T', long)]
    print: bool,
    /// Print the problems as JSON, an empty list when there is none
    #[arg(long, conflicts_with_all = ["verbose", "print"])]
    json: bool,
}

/// What a good configuration is answered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    Nothing,
    OneLine,
    /// The effective configuration.
    Whole,
}

pub fn run(args: Args) -> anyhow::Result<Exit> {
    if args.json {
        return json(&args.which);
    }
    let answer = match (args.print, args.verbose) {
        (true, _) => Answer::Whole,
        (false, true) => Answer::OneLine,
        (false, false) => Answer::Nothing,
    };
    check(&args.which, answer)
}

/// Checks; problems are the error.
pub fn check(which: &Which, answer: Answer) -> anyhow::Result<Exit> {
    let source = which.source();
    let loaded = source.load()?;
    let keyring = checked(&loaded)?;
    warn(&keyring);
    match answer {
        Answer::Nothing => {}
        Answer::OneLine => {
            let domains = match loaded.domains.len() {
                1 => "1 domain".to_owned(),
                n => format!("{n} domains"),
            };
            say(&format!("configuration ok: {domains}, hash {}\n", loaded.hash))?;
        }
        Answer::Whole => say(&render::effective(&loaded, source.path()))?,
    }
    Ok(Exit::Done)
}

/// What the configuration names, read and judged.
fn checked(loaded: &Loaded) -> Result<Keyring, Problems> {
    match (Keyring::checked(loaded), Atlas::read(&loaded.server.geo, &Atlas::default())) {
        (Ok(keyring), Ok(_)) => Ok(keyring),
        (Err(problems), Ok(_)) | (Ok(_), Err(problems)) => Err(problems),
        (Err(Problems(mut all)), Err(Problems(others))) => {
            all.extend(others);
            Err(Problems(all))
        }
    }
}

/// What is accepted, and probably not as it was meant.
fn warn(keyring: &Keyring) {
    for warning in keyring.warnings() {
        eprintln!("warning: {warning}");
    }
    let now = Timestamp::now();
    for said in keyring.served().iter().filter_map(|served| expiry::said(served, now)) {
        eprintln!("warning: {said}");
    }
}

fn json(which: &Which) -> anyhow::Result<Exit> {
    let checked = which.source().load().and_then(|loaded| checked(&loaded));
    let (problems, exit) = match checked {
        Ok(_) => (Vec::new(), Exit::Done),
        Err(problems) => (problems.0, Exit::BadConfig),
    };
    say(&(serde_json::to_string_pretty(&problems)? + "\n"))?;
    Ok(exit)
}
