//! The log of the process itself, for people and journals: rare events by `tracing`, to stderr.
//!
//! Not here: the access log, which cores feed through rings.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

/// Text on a terminal, one JSON object per line elsewhere. `HAWSER_LOG` overrides the level
/// (`debug`, or per module as tracing-subscriber's `EnvFilter` has it).
pub fn start(level: LevelFilter) {
    // hickory and hyper have much to say about ordinary events at info and warn.
    let default = format!("error,hawser={level}");
    let filter = EnvFilter::try_from_env("HAWSER_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    // A second start in one process (tests) keeps the first.
    let _ = if io::stderr().is_terminal() {
        builder.with_target(false).try_init()
    } else {
        builder.with_ansi(false).json().flatten_event(true).with_target(false).try_init()
    };
}
