//! `hawser conns`: what is connected.

use std::fmt::Write as _;
use std::io::{IsTerminal, stdout};
use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use super::control_client::Process;
use super::{Exit, Which, processes, say};
use crate::control::control_socket::{Asked, Connection, Connections};

const WATCH_EVERY: Duration = Duration::from_secs(1);

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
    /// Only tunnels of this process; after a hand-over there is more than one
    #[arg(long, value_name = "PID")]
    process: Option<u32>,
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

/// The tunnels of all processes that were asked.
#[derive(Debug, Default, Serialize)]
struct Listing {
    #[serde(flatten)]
    all: Connections,
    /// Those among them that handed over to another.
    retiring: Vec<u32>,
}

pub fn run(args: Args) -> anyhow::Result<Exit> {
    let Args { which, domain, ip, origin, process, limit, watch, json } = args;
    let state_dir = which.state_dir()?;
    let asked = Asked { id: None, domain: domain.map(Into::into), ip, origin, limit: Some(limit) };
    if json {
        let listing = list(&state_dir, process, &asked)?;
        say(&(serde_json::to_string_pretty(&listing)? + "\n"))?;
        return Ok(Exit::Done);
    }
    if !watch {
        say(&table(&list(&state_dir, process, &asked)?))?;
        return Ok(Exit::Done);
    }
    loop {
        let table = table(&list(&state_dir, process, &asked)?);
        // Home and clear to the end of the screen; a pipe gets one table after the other.
        let clear = if stdout().is_terminal() { "\x1b[H\x1b[J" } else { "" };
        say(&format!("{clear}{table}"))?;
        std::thread::sleep(WATCH_EVERY);
    }
}

fn list(state_dir: &Path, process: Option<u32>, asked: &Asked) -> anyhow::Result<Listing> {
    let processes = processes::chosen(state_dir, process)?;
    let mut listing = Listing::default();
    let Listing { all, retiring } = &mut listing;
    for (process, listed) in processes::tunnels(state_dir, &processes, asked)? {
        all.connections.extend(listed.connections);
        all.matched += listed.matched;
        all.silent_cores += listed.silent_cores;
        if let Process::Retiring(pid) = process {
            retiring.push(pid);
        }
    }
    all.connections.truncate(asked.limit.unwrap_or(usize::MAX));
    all.truncated = all.matched > all.connections.len();
    Ok(listing)
}

const HEADINGS: [&str; 13] = [
    "ID", "PROCESS", "DOMAIN", "CLIENT", "ORIGIN", "TLS", "AGE", "IDLE", "OUT", "IN", "MESSAGES",
    "RTT", "STATE",
];
const PROCESS: usize = 1;
const NUMBERS: std::ops::RangeInclusive<usize> = 6..=11;

/// Columns as wide as they need to be, numbers to the right.
fn table(listing: &Listing) -> String {
    let Listing { all, retiring } = listing;
    let rows: Vec<[String; 13]> = all.connections.iter().map(row).collect();
    let width = |i: usize| rows.iter().map(|row| row[i].chars().count()).max().unwrap_or(0);
    let widths: [usize; 13] = std::array::from_fn(|i| width(i).max(HEADINGS[i].len()));
    let mut text = String::new();
    let headings = HEADINGS.map(str::to_owned);
    for row in std::iter::once(&headings).chain(&rows) {
        let mut line = String::new();
        for (i, cell) in row.iter().enumerate() {
            let width = widths[i];
            let _ = match i {
                // With one process there is nothing to tell apart.
                PROCESS if retiring.is_empty() => Ok(()),
                i if NUMBERS.contains(&i) => write!(line, "{cell:>width$}  "),
                _ => write!(line, "{cell:<width$}  "),
            };
        }
        text += line.trim_end();
        text.push('\n');
    }
    match all.connections.len() {
        0 => text = "no tunnels\n".to_owned(),
        n if all.truncated => text += &format!("first {n} of {}; see --limit\n", all.matched),
        _ => {}
    }
    for pid in retiring {
        text += &format!("process {pid} handed over and is going\n");
    }
    if all.silent_cores > 0 {
        text += &format!("{} cores did not answer: tunnels are missing\n", all.silent_cores);
    }
    text
}

fn row(c: &Connection) -> [String; 13] {
    let rtt = |us: Option<u32>| us.map_or("-".to_owned(), |us| millis(u64::from(us)));
    [
        c.id.clone(),
        c.process.to_string(),
        c.domain.clone(),
        c.client.to_string(),
        c.origin.to_string(),
        format!("{}/{}", version(c.client_tls.as_deref()), version(c.origin_tls.as_deref())),
        time(c.age_ms),
        time(c.idle_ms),
        bytes(c.bytes_out),
        bytes(c.bytes_in),
        format!("{}/{}", c.messages_out, c.messages_in),
        format!("{}/{}", rtt(c.client_rtt_us), rtt(c.origin_rtt_us)),
        c.state.clone(),
    ]
}

/// The version of a leg's TLS; `-` for a plain one.
fn version(tls: Option<&str>) -> &str {
    tls.map_or("-", |tls| tls.trim_start_matches("TLSv").split(' ').next().unwrap_or(tls))
}

fn time(ms: u64) -> String {
    let s = ms / 1000;
    match s {
        0..60 => format!("{s}s"),
        60..3600 => format!("{}m{:02}s", s / 60, s % 60),
        3600..86_400 => format!("{}h{:02}m", s / 3600, s / 60 % 60),
        _ => format!("{}d{:02}h", s / 86_400, s / 3600 % 24),
    }
}

fn millis(us: u64) -> String {
    match us {
        0..10_000 => format!("{:.2}ms", us as f64 / 1e3),
        _ => format!("{}ms", us / 1000),
    }
}

fn bytes(n: u64) -> String {
    const UNITS: [&str; 5] = ["B", "kB", "MB", "GB", "TB"];
    let mut value = n as f64;
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    match unit {
        0 => format!("{n} B"),
        _ if value < 10.0 => format!("{value:.1} {}", UNITS[unit]),
        _ => format!("{value:.0} {}", UNITS[unit]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_for_people() {
        let connection = |id: &str, bytes_out, rtt| Connection {
            id: id.to_owned(),
            process: 4242,
            domain: "live.example.com".to_owned(),
            client: "192.0.2.1:50123".parse().unwrap(),
            region: "beijing".to_owned(),
            isp: "unicom".to_owned(),
            origin: "[2001:db8::5]:8080".parse().unwrap(),
            client_tls: Some("TLSv1.3 AES_128_GCM".to_owned()),
            origin_tls: None,
            age_ms: 3_725_000,
            idle_ms: 400,
            bytes_out,
            bytes_in: 999,
            messages_out: 12,
            messages_in: 3,
            client_rtt_us: rtt,
            origin_rtt_us: Some(87_000),
            state: "open".to_owned(),
        };
        let all = Connections {
            connections: vec![
                connection("0000000001000001", 1_500, Some(420)),
                connection("0010000001000002", 123_456_789, None),
            ],
            matched: 1_000_000,
            truncated: true,
            silent_cores: 1,
        };
        let mut listing = Listing { all, retiring: Vec::new() };
        insta::assert_snapshot!(table(&listing));
        listing.retiring = vec![4242];
        insta::assert_snapshot!("one_of_two_processes_is_going", table(&listing));
        assert_eq!(table(&Listing::default()), "no tunnels\n");
    }
}
