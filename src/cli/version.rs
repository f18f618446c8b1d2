//! `hawser version`: what this program is, and what it finds here.

use std::fmt::Write;

use hyper::Method;

use super::control_client::{self, ClientError};
use super::{Exit, Which, say};
use crate::net::probe;

/// Print the version; with --verbose also the build, the kernel and the running edge
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    which: Which,
    /// Build, allocator, what the kernel offers, and what the running edge has loaded
    #[arg(short, long)]
    verbose: bool,
}

/// Set by whoever builds a release; a plain `cargo build` has none.
const COMMIT: Option<&str> = option_env!("HAWSER_COMMIT");

pub fn run(args: Args) -> anyhow::Result<Exit> {
    let mut text = format!("hawser {}\n", env!("CARGO_PKG_VERSION"));
    if args.verbose {
        let profile = if cfg!(debug_assertions) { "debug" } else { "release" };
        let (os, arch) = (std::env::consts::OS, std::env::consts::ARCH);
        let commit = COMMIT.unwrap_or("unknown (HAWSER_COMMIT was not set at build time)");
        let _ = writeln!(text, "commit:    {commit}");
        let _ = writeln!(text, "build:     {profile}, {arch}-{os}, no optional features");
        let _ = writeln!(text, "allocator: mimalloc");
        let _ = writeln!(text, "tls:       rustls 0.23 with aws-lc-rs; kernel TLS is not used");
        let kernel = probe::probe().map_or_else(|e| e.to_string(), |report| report.to_string());
        let _ = writeln!(text, "kernel:    {kernel}");
        let _ = writeln!(text, "running:   {}", running(&args.which));
    }
    say(&text)?;
    Ok(Exit::Done)
}

/// What the edge of this configuration says of itself.
fn running(which: &Which) -> String {
    let Ok(state_dir) = which.state_dir() else {
        return "unknown: the configuration does not say where (see hawser check)".to_owned();
    };
    let status = control_client::request(&state_dir, Method::GET, "/v1/status", None)
        .and_then(|response| response.json::<serde_json::Value>());
    match status {
        Ok(status) => format!(
            "version {}, process {}, {}, generation {}, hash {}, domains: {}, tunnels: {}",
            word(&status["version"]),
            word(&status["pid"]),
            word(&status["phase"]),
            word(&status["generation"]),
            word(&status["hash"]),
            word(&status["domains"]),
            word(&status["tunnels"]),
        ),
        Err(ClientError::NotRunning(dir)) => {
            format!("no edge with state directory {}", dir.display())
        }
        Err(error) => error.to_string(),
    }
}

fn word(value: &serde_json::Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
