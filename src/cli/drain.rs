//! `hawser drain`: end the running edge gently.

use std::time::Duration;

use hyper::Method;
use serde_json::json;

use super::control_client::request;
use super::key::noted;
use super::{Exit, Which, say};
use crate::control::control_socket::Drain;

/// Make the running edge stop accepting, close its tunnels over the drain window, and exit
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    which: Which,
    /// Spread the closing over this long, such as 30s or 5m [default: drain.window]
    #[arg(long, value_name = "DURATION", value_parser = crate::control::config::duration)]
    window: Option<Duration>,
}

pub fn run(args: Args) -> anyhow::Result<Exit> {
    let window = args.window.map(|window| window.as_millis() as u64);
    let body = json!({ "window_ms": window });
    let state_dir = args.which.state_dir()?;
    let answer = request(&state_dir, Method::POST, "/v1/drain", Some(&body))?;
    if !answer.is_success() {
        eprintln!("hawser: {}", answer.text());
        return Ok(Exit::Failed);
    }
    let Drain { window_ms } = answer.json()?;
    let window = Duration::from_millis(window_ms.unwrap_or_default());
    noted(&state_dir, "drain", &format!("within {window:?}"));
    say(&format!("draining; the edge exits when its last tunnel is closed, within {window:?}\n"))?;
    Ok(Exit::Done)
}
