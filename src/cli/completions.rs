//! `hawser completions`: what a shell needs to complete the command line.

use clap::CommandFactory;
use clap_complete::Shell;

use super::{Cli, Exit, say};

/// Print the completions for a shell
///
/// For bash: hawser completions bash > /etc/bash_completion.d/hawser
#[derive(Debug, clap::Args)]
pub struct Args {
    shell: Shell,
}

pub fn run(args: Args) -> anyhow::Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "hawser", &mut script);
    say(&String::from_utf8(script)?)?;
    Ok(Exit::Done)
}
