//! `hawser conns`: what is connected.

use super::{Exit, Which};

/// List the live tunnels of the running edge
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    which: Which,
    /// Only tunnels of this domain
    #[arg(short, long, value_name = "NAME")]
    domain: Option<String>,
    /// Only tunnels of this client address
    #[arg(short, long, value_name = "ADDRESS")]
    ip: Option<std::net::IpAddr>,
    /// Only tunnels to this origin address
    #[arg(short, long, value_name = "ADDRESS:PORT")]
    origin: Option<std::net::SocketAddr>,
    /// At most this many rows
    #[arg(long, value_name = "N", default_value_t = 1000)]
    limit: usize,
    /// Show the list anew every second until interrupted
    #[arg(short, long, conflicts_with = "json")]
    watch: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub fn run(args: Args) -> anyhow::Result<Exit> {
    let Args { which: _, .. } = args;
    anyhow::bail!("this verb is not in this build")
}
