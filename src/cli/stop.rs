//! `hawser stop`: end the running edge now.

use super::{Exit, Which};

/// Make the running edge exit at once; tunnels end without a Close (see drain)
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    which: Which,
}

pub fn run(args: Args) -> anyhow::Result<Exit> {
    let Args { which: _, .. } = args;
    anyhow::bail!("this verb is not in this build")
}
