//! `hawser kill`: close tunnels.

use hyper::Method;

use super::control_client::request;
use super::key::noted;
use super::{Exit, Which, say};
use crate::control::control_socket::{Kill, Killed, close_problem};

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

/// Exit code 1 when nothing matched, so that a script notices a wrong id or name.
pub fn run(args: Args) -> anyhow::Result<Exit> {
    let Args { which, ids, domain, ip, origin, code, reason, rate } = args;
    if let Some(problem) = close_problem(code, &reason) {
        eprintln!("hawser: {problem}");
        return Ok(Exit::Usage);
    }
    let kill = Kill {
        ids: ids.iter().map(ToString::to_string).collect(),
        domain: domain.map(Into::into),
        ip,
        origin,
        code,
        reason: reason.into(),
        rate,
    };
    let body = serde_json::to_value(kill)?;
    let state_dir = which.state_dir()?;
    let answer = request(&state_dir, Method::POST, "/v1/kill", Some(&body))?;
    if !answer.is_success() {
        eprintln!("hawser: {}", answer.text());
        return Ok(Exit::Failed);
    }
    let Killed { closing } = answer.json()?;
    let plural = if closing == 1 { "tunnel" } else { "tunnels" };
    let pace = rate.map(|rate| format!(", {rate} per second")).unwrap_or_default();
    if closing > 0 {
        noted(&state_dir, "connections close", &about(&body, closing));
    }
    say(&format!("closing {closing} {plural} with code {code}{pace}\n"))?;
    Ok(if closing == 0 { Exit::Failed } else { Exit::Done })
}

/// What the audit log says of it: what was asked for, without what was not.
fn about(asked: &serde_json::Value, closing: usize) -> String {
    let asked = asked.as_object().into_iter().flatten();
    let said = asked.filter(|(_, value)| !value.is_null() && **value != serde_json::json!([]));
    let said: Vec<String> = said.map(|(key, value)| format!("{key}={value}")).collect();
    format!("{closing} closing: {}", said.join(" "))
}
