//! `hawser kill`: close tunnels.

use super::{Exit, Which};

/// Close tunnels of the running edge, by id, domain, client address or origin
///
/// All that is given must match. Both sides get a Close frame with the code and the reason.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    which: Which,
    /// Connection ids, as `hawser conns` prints them
    #[arg(value_name = "ID", required_unless_present_any = ["domain", "ip", "origin"])]
    ids: Vec<crate::stats::ConnId>,
    /// Tunnels of this domain
    #[arg(short, long, value_name = "NAME")]
    domain: Option<String>,
    /// Tunnels of this client address
    #[arg(short, long, value_name = "ADDRESS")]
    ip: Option<std::net::IpAddr>,
    /// Tunnels to this origin address
    #[arg(short, long, value_name = "ADDRESS:PORT")]
    origin: Option<std::net::SocketAddr>,
    /// Close code of RFC 6455 7.4 that both sides get
    #[arg(long, value_name = "CODE", default_value_t = 1012,
          value_parser = clap::value_parser!(u16).range(1000..=4999))]
    code: u16,
    /// Close reason, at most 123 bytes
    #[arg(long, value_name = "TEXT", default_value = "closed by operator")]
    reason: String,
    /// Close at most this many per second [default: all at once]
    #[arg(long, value_name = "N")]
    rate: Option<std::num::NonZeroU32>,
}

pub fn run(args: Args) -> anyhow::Result<Exit> {
    let Args { which: _, .. } = args;
    anyhow::bail!("this verb is not in this build")
}
