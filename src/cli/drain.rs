//! `hawser drain`: end the running edge gently.

use super::{Exit, Which};

/// Make the running edge stop accepting, close its tunnels over the drain window, and exit
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    which: Which,
    /// Spread the closing over this long, such as 30s or 5m [default: drain.window]
    #[arg(long, value_name = "DURATION", value_parser = crate::control::config::duration)]
    window: Option<std::time::Duration>,
}

pub fn run(args: Args) -> anyhow::Result<Exit> {
    let Args { which: _, .. } = args;
    anyhow::bail!("this verb is not in this build")
}
