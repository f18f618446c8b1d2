//! `slopes`: measures on this host what docs/sizing.md is made of, says where the two differ, and
//! sizes a load with it. Takes about two minutes. Not here: the model, see `sizing`.

mod bench;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};
use indexmap::IndexMap;
use serde_json::json;

use crate::children;
use crate::figures::{Machine, Spread, write_whole};
use crate::report::look::number;
use crate::sizing::{Host, Load, ROWS, Recorded, Slopes, Transport, recorded, sized};

#[derive(clap::Args)]
pub struct Options {
    /// Size this many connections with what is measured.
    #[arg(long)]
    connections: Option<f64>,
    /// Forwarded messages of the load that is sized, both directions together.
    #[arg(long, default_value_t = 0.0, requires = "connections")]
    messages_per_second: f64,
    /// Their length.
    #[arg(long, default_value_t = 64.0, requires = "connections")]
    message_bytes: f64,
    /// Clients come by wss.
    #[arg(long, requires = "connections")]
    tls: bool,
    /// Seconds between heartbeats of a silent connection.
    #[arg(long, default_value_t = 60.0, requires = "connections")]
    heartbeat: f64,
    /// Cores of a host that is thought of.
    #[arg(long, default_value_t = 16.0, requires = "connections")]
    host_cores: f64,
    /// Its memory.
    #[arg(long, default_value_t = 64.0, requires = "connections")]
    host_gib: f64,
    /// Measure nothing: size with the document's values.
    #[arg(long, requires = "connections")]
    recorded: bool,
    /// Write what was measured to this file; docs/sizing.md is made from loadtest/slopes.json.
    #[arg(long, conflicts_with = "recorded")]
    record: Option<PathBuf>,
    /// Print one JSON document instead of tables.
    #[arg(long)]
    json: bool,
    /// Measurements of each slope; the median counts.
    #[arg(long, default_value_t = 1)]
    rounds: usize,
}

pub fn run(options: &Options) -> anyhow::Result<()> {
    let document = recorded()?;
    let measured = match options.recorded {
        true => None,
        false => Some(measure(options.rounds)?),
    };
    if let (Some(path), Some(slopes)) = (&options.record, measured) {
        record(path, slopes)?;
    }
    let slopes = measured.unwrap_or(document.slopes);
    let remarks = [measured.map(|m| differences(&m, &document.slopes)), Some(circumstances())];
    let remarks: Vec<String> = remarks.into_iter().flatten().flatten().collect();
    if options.json {
        let (document, machine) = (document.slopes, Machine::here());
        let result = json!({
            "slopes": slopes, "document": document, "machine": machine, "remarks": remarks,
        });
        println!("{result:#}");
        return Ok(());
    }
    if let Some(slopes) = &measured {
        print!("{}", beside(slopes, &document.slopes));
    }
    for remark in &remarks {
        println!("! {remark}");
    }
    if let Some(load) = options.load()? {
        print!("\n{}", sized(&load, &slopes, &options.host()));
    }
    Ok(())
}

impl Options {
    fn load(&self) -> anyhow::Result<Option<Load>> {
        let Some(connections) = self.connections else { return Ok(None) };
        let numbers = [
            ("--connections", connections, 1.0),
            ("--messages-per-second", self.messages_per_second, 0.0),
            ("--message-bytes", self.message_bytes, 0.0),
            ("--heartbeat", self.heartbeat, 1.0),
            ("--host-cores", self.host_cores, 1.0),
            ("--host-gib", self.host_gib, 1.0),
        ];
        for (name, value, least) in numbers {
            ensure!(value.is_finite() && value >= least, "{name} {value}: at least {least}");
        }
        Ok(Some(Load {
            connections,
            transport: if self.tls { Transport::Wss } else { Transport::Ws },
            messages_per_second: self.messages_per_second,
            message_bytes: self.message_bytes,
            heartbeat_seconds: self.heartbeat,
        }))
    }

    fn host(&self) -> Host {
        Host { cores: self.host_cores, memory_bytes: self.host_gib * f64::from(1 << 30) }
    }
}

/// Medians over the rounds.
fn measure(rounds: usize) -> anyhow::Result<Slopes> {
    ensure!((1..=100).contains(&rounds), "--rounds {rounds}: 1 to 100");
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    ensure!(
        processors >= 2,
        "one processor: the proxy and its load each need one of their own; \
         size with the document's values by --recorded --connections N"
    );
    let mut all: IndexMap<&str, Vec<f64>> = IndexMap::new();
    for round in 0..rounds {
        for (name, value) in bench::round(round, rounds)? {
            all.entry(name).or_default().push(value);
        }
    }
    let median = |name: &str| -> anyhow::Result<f64> {
        let values = all.get(name).with_context(|| format!("{name} was not measured"))?;
        // Four figures are more than a measurement has.
        Ok((Spread::of(values).median * 1000.0).round() / 1000.0)
    };
    Ok(Slopes {
        base_bytes: median("base_bytes")?.round(),
        user_ws_bytes: median("user_ws_bytes")?.round(),
        user_wss_bytes: median("user_wss_bytes")?.round(),
        kernel_bytes: median("kernel_bytes")?.round(),
        socket_bytes: median("socket_bytes")?.round(),
        message_ws_us: median("message_ws_us")?,
        message_wss_us: median("message_wss_us")?,
        kib_ws_us: median("kib_ws_us")?,
        kib_wss_us: median("kib_wss_us")?,
        heartbeat_us: median("heartbeat_us")?,
        handshake_ws_us: median("handshake_ws_us")?,
        handshake_wss_us: median("handshake_wss_us")?,
    })
}

fn record(path: &Path, slopes: Slopes) -> anyhow::Result<()> {
    let now = jiff::Timestamp::from_second(jiff::Timestamp::now().as_second())?;
    let program = children::beside("hawser")?;
    let said = Command::new(&program).arg("--version").output();
    let said = said.with_context(|| format!("{} --version", program.display()))?.stdout;
    let hawser = String::from_utf8_lossy(&said).lines().next().unwrap_or("hawser").to_owned();
    let recorded = Recorded { measured: now, machine: Machine::here(), hawser, slopes };
    let text = serde_json::to_string_pretty(&recorded)? + "\n";
    write_whole(path, text.as_bytes())
}

/// A table with the document's values beside those of this host.
fn beside(here: &Slopes, document: &Slopes) -> String {
    let mut text = format!("{:46} {:>14} {:>14} {:>7}\n", "", "this host", "document", "ratio");
    for row in &ROWS {
        let (here, there) = ((row.value)(here), (row.value)(document));
        let (seen, recorded) = (number(here), number(there));
        let (name, unit) = (row.name, row.unit);
        let line = format!(
            "{name:46} {:>14} {:>14} {:>7.2}\n",
            format!("{seen} {unit}"),
            format!("{recorded} {unit}"),
            here / there
        );
        text.push_str(&line);
    }
    text
}

/// Assumptions of the document that do not hold for these slopes.
fn differences(here: &Slopes, document: &Slopes) -> Vec<String> {
    let differs = ROWS.iter().filter_map(|row| {
        let ratio = (row.value)(here) / (row.value)(document);
        let within = (1.0 / row.factor..=row.factor).contains(&ratio);
        (!within).then(|| {
            let (name, reason) = (row.name, row.differs);
            format!("{name} is {ratio:.2} of the document's: {reason}. Size with these values.")
        })
    });
    differs.collect()
}

/// What the document assumes of a host besides its slopes.
fn circumstances() -> Vec<String> {
    let line = |path: &str| fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    let mut found = Vec::new();
    if line("/proc/sys/net/netfilter/nf_conntrack_count").parse::<u64>().is_ok_and(|n| n > 0) {
        found.push(
            "connections are tracked (nf_conntrack): each needs two entries and CPU for every \
             packet; see the bypass in tuning/"
                .to_owned(),
        );
    }
    if line("/sys/kernel/mm/transparent_hugepage/enabled").contains("[always]") {
        found.push(
            "transparent huge pages are `always`: sparse memory becomes resident; set `madvise`"
                .to_owned(),
        );
    }
    let clock = line("/sys/devices/system/clocksource/clocksource0/current_clocksource");
    if ["hpet", "acpi_pm", "jiffies"].contains(&clock.as_str()) {
        found.push(format!("the clock source is {clock}: every timer costs microseconds"));
    }
    let governor = line("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor");
    if ["powersave", "conservative"].contains(&governor.as_str()) {
        found.push(format!("the governor is {governor}: CPU times depend on how idle the host is"));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slope_far_from_the_documents_is_named_with_a_reason() {
        let document = recorded().unwrap().slopes;
        assert_eq!(differences(&document, &document), [""; 0]);
        let slower = Slopes { message_ws_us: document.message_ws_us * 2.0, ..document };
        let said = differences(&slower, &document);
        assert_eq!(said.len(), 1);
        assert!(said[0].starts_with("CPU per message of 64 bytes, ws is 2.00 of"), "{}", said[0]);
        let smaller = Slopes { socket_bytes: document.socket_bytes / 2.0, ..document };
        assert!(differences(&smaller, &document)[0].contains("per TCP socket on epoll is 0.50"));
        assert_eq!(beside(&slower, &document).lines().count(), ROWS.len() + 1);
    }
}
