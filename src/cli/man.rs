//! `hawser man`: manual pages from the same definitions as the help.

use std::path::PathBuf;

use anyhow::Context;
use clap::CommandFactory;

use super::{Cli, Exit, say};
use crate::control::config::manual;

/// Print the manual page, or write all of them into a directory
///
/// To read it: hawser man | man -l -
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Write hawser.1, a page per verb and hawser.toml.5 here instead
    #[arg(value_name = "DIR")]
    dir: Option<PathBuf>,
}

pub fn run(args: Args) -> anyhow::Result<Exit> {
    let Some(dir) = args.dir else {
        let mut page = Vec::new();
        clap_mangen::Man::new(Cli::command()).render(&mut page)?;
        say(&String::from_utf8(page)?)?;
        return Ok(Exit::Done);
    };
    let writing = || format!("cannot write manual pages into {}", dir.display());
    std::fs::create_dir_all(&dir).with_context(writing)?;
    clap_mangen::generate_to(Cli::command(), &dir).with_context(writing)?;
    std::fs::write(dir.join("hawser.toml.5"), manual::roff()).with_context(writing)?;
    Ok(Exit::Done)
}
