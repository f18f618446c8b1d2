//! `slow-readers`: many clients that never read while their origin pushes as fast as it can, and
//! one healthy connection whose round trips are timed before and meanwhile. Memory must not grow,
//! and the healthy one must not notice.

use std::net::Ipv4Addr;
use std::thread::sleep;
use std::time::Duration;

use anyhow::ensure;
use serde_json::{Value, json};

use crate::admin::Metrics;
use crate::children::{Client, Connects, Origin};
use crate::measure;
use crate::proxy::{Kind, Proxy, Setup};

#[derive(clap::Args)]
pub struct Options {
    #[arg(long, default_value_t = 2_000)]
    readers: usize,
    /// Length of either phase in seconds; stays below the limit on stalled writes (60 s).
    #[arg(long, default_value_t = 15)]
    seconds: u64,
}

pub fn run(options: &Options) -> anyhow::Result<Value> {
    let origin = Origin::start(Ipv4Addr::LOCALHOST, None)?;
    let origins = [origin.addr];
    let proxy = Proxy::start(Kind::Hawser, &Setup { origins: &origins, ..Setup::default() })?;
    let connects = |path, silent| Connects { path, silent, ..Connects::to(proxy.addr) };
    let mut healthy = Client::start(&connects("/echo", false))?;
    healthy.open(1)?;
    let calm = probe(&mut healthy, options.seconds)?;
    let before = measure::pss_bytes(proxy.id())?;

    let mut slow = Client::start(&connects("/firehose", true))?;
    slow.open(options.readers)?;
    sleep(Duration::from_secs(2));
    let early = measure::pss_bytes(proxy.id())?;
    let meanwhile = probe(&mut healthy, options.seconds)?;
    let late = measure::pss_bytes(proxy.id())?;
    let status = slow.ask("status")?;
    Ok(json!({
        "scenario": "slow-readers",
        "readers": options.readers,
        "readers_open_at_the_end": status["open"],
        "readers_ended": status["ended"],
        "latency_us_alone": calm,
        "latency_us_meanwhile": meanwhile,
        "pss_bytes_before": before,
        "pss_bytes_at_first": early,
        "pss_bytes_at_the_end": late,
        "buffer_shortages": Metrics::read(proxy.admin)?.sum("hawser_buffer_shortages_total"),
    }))
}

fn probe(client: &mut Client, seconds: u64) -> anyhow::Result<Value> {
    client.ask("pingpong 64")?;
    sleep(Duration::from_secs(seconds));
    let answer = client.ask("stop")?;
    ensure!(answer["wrong_bytes"] == 0 && answer["open"] == 1, "the healthy one failed: {answer}");
    Ok(answer["latency"].clone())
}
