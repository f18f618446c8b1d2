//! `hawser run`: the edge itself.

use super::{Exit, Which};

/// Run the edge
///
/// Runs in the foreground until it is told to stop. SIGTERM or SIGQUIT drain and then exit with 0,
/// a second one stops at once; SIGHUP checks the configuration and takes it over, or keeps the old
/// one and says why; SIGUSR1 reopens the log files.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    which: Which,
    /// Check the configuration and exit, like `hawser check`
    #[arg(short = 't', long = "test", conflicts_with = "print")]
    test: bool,
    /// Check the configuration, print the effective one with every default filled in, and exit
    #[arg(short = 'T', long = "print")]
    print: bool,
    /// Say more
    #[arg(short, long)]
    verbose: bool,
}

pub fn run(args: Args) -> anyhow::Result<Exit> {
    let Args { which: _, test: _, print: _, verbose: _ } = args;
    anyhow::bail!("this verb is not in this build")
}
