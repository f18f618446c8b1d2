//! `hawser reload`: check the configuration and take it over.

use super::{Exit, Which};

/// Make the running edge check its configuration and take it over
///
/// A bad configuration changes nothing; its problems are printed and the exit code is 78.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    which: Which,
}

pub fn run(args: Args) -> anyhow::Result<Exit> {
    let Args { which: _, .. } = args;
    anyhow::bail!("this verb is not in this build")
}
