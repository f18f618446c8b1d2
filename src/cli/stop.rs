//! `hawser stop`: end the running edge now.

use hyper::Method;

use super::control_client::request;
use super::key::noted;
use super::{Exit, Which, say};

/// Make the running edge exit at once; tunnels end without a Close (see drain)
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    which: Which,
}

pub fn run(args: Args) -> anyhow::Result<Exit> {
    let state_dir = args.which.state_dir()?;
    let answer = request(&state_dir, Method::POST, "/v1/stop", None)?;
    if !answer.is_success() {
        eprintln!("hawser: {}", answer.text());
        return Ok(Exit::Failed);
    }
    noted(&state_dir, "stop", "at once");
    say("stopping\n")?;
    Ok(Exit::Done)
}
