//! `hawser demo`: the edge with an origin of its own, nothing to set up.

use std::net::SocketAddr;

use super::Exit;

/// Run the edge with a live demo origin on loopback; needs no file
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where the edge listens
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Where the admin listener listens
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9080")]
    admin: SocketAddr,
}

pub fn run(args: Args) -> anyhow::Result<Exit> {
    let Args { listen: _, admin: _ } = args;
    anyhow::bail!("this verb is not in this build")
}
