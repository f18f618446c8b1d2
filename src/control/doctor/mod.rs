//! What of this host would keep the edge from its size, or slow it down: every check once, in one
//! table, from which `hawser doctor`, the REST API and the pages of `tuning/` are made.
//!
//! Values are read, never guessed; what cannot be read is said to be so. Not here: what is looked
//! at (`table`) and where it is read (`host`).

mod host;
#[cfg(test)]
mod manual;
mod table;
#[cfg(test)]
mod tests;

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use self::host::{Host, Process};
use self::table::{Breaks, Check, Seen, TABLE, Wanted};
use super::certs::Served;
use super::config::{Loaded, OriginAddress};
use crate::limits::REGISTERED_FILES_MAX;
use crate::net::probe::FileKind;

/// How bad a finding is, the best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum State {
    Ok,
    /// It costs, or could not be read; nothing is broken by it.
    Notice,
    /// It keeps the edge from its size, or from serving at all.
    Problem,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Topic {
    Kernel,
    Limits,
    Accepting,
    Origins,
    Memory,
    Conntrack,
    State,
}

impl Topic {
    pub fn name(self) -> &'static str {
        match self {
            Topic::Kernel => "kernel",
            Topic::Limits => "limits",
            Topic::Accepting => "accepting",
            Topic::Origins => "origins",
            Topic::Memory => "memory",
            Topic::Conntrack => "conntrack",
            Topic::State => "state",
        }
    }
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Finding {
    /// As an operator knows it.
    #[schema(example = "net.core.somaxconn")]
    pub name: String,
    pub topic: Topic,
    pub state: State,
    /// Null: it could not be read, and `why` says what kept it.
    #[schema(example = "128")]
    pub seen: Option<String>,
    #[schema(example = "at least 4,096")]
    pub wanted: String,
    /// The line that fixes it; null when there is nothing to do.
    #[schema(example = "net.core.somaxconn = 65535")]
    pub fix: Option<String>,
    /// What it does, or why it could not be judged.
    pub why: String,
    /// How to see that it holds.
    pub verify: String,
    /// When to leave it alone, and what else to know; null when there is nothing.
    pub care: Option<String>,
}

/// For how many connections the host is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Size {
    /// WebSocket connections, each of two sockets.
    #[schema(example = 100_000)]
    pub connections: u64,
    pub from: SizeFrom,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum SizeFrom {
    Asked,
    /// The sum of `max_connections` of all domains, when each of them has one.
    Configured,
    /// Nobody says: falling short of it is no problem.
    Assumed,
}

/// What the present limits allow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Allowed {
    #[schema(example = 20_000)]
    pub allowed: u64,
    /// What allows no more.
    #[schema(example = "LimitNOFILE= 20,000")]
    pub by: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Report {
    /// The worst of all findings.
    pub state: State,
    pub size: Size,
    pub workers: u64,
    /// Whose limits were read: that of the running edge, or null for those of the command itself.
    pub pid: Option<u32>,
    /// Null: none of what bounds it could be read.
    pub connections: Option<Allowed>,
    pub items: Vec<Finding>,
}

/// What the configuration says that checks depend on.
#[derive(Debug, Clone)]
pub struct Facts {
    pub state_dir: PathBuf,
    pub workers: u64,
    pub size: Size,
    /// Addresses and ports of origins, times source addresses: each pair has all local ports.
    pub endpoints: u64,
    /// Ports that the edge listens on.
    pub ports: Vec<u16>,
    pub certificates: Vec<Certificate>,
    /// Unix time.
    pub now: i64,
}

#[derive(Debug, Clone)]
pub struct Certificate {
    pub domain: String,
    pub not_after: i64,
}

/// When neither the configuration nor the operator names a size: what a small edge host carries.
const ASSUMED: u64 = 100_000;

impl Facts {
    /// `asked`: what the operator wants to know of, instead of what is configured.
    pub fn of(
        loaded: &Loaded,
        served: &[Served],
        workers: usize,
        asked: Option<u64>,
        now: i64,
    ) -> Facts {
        let domains = || loaded.domains.iter().filter(|domain| domain.enabled);
        let limits = domains().map(|domain| domain.websocket.allowance.connections.map(u64::from));
        let configured: Option<u64> = limits.sum();
        let size = match (asked, configured.filter(|sum| *sum > 0)) {
            (Some(connections), _) => Size { connections, from: SizeFrom::Asked },
            (None, Some(connections)) => Size { connections, from: SizeFrom::Configured },
            (None, None) => Size { connections: ASSUMED, from: SizeFrom::Assumed },
        };
        let mut endpoints: Vec<(&OriginAddress, u16)> = domains()
            .flat_map(|domain| &domain.origins)
            .map(|origin| (&origin.address, origin.port))
            .collect();
        endpoints.sort_unstable_by_key(|(address, port)| (address.to_string(), *port));
        endpoints.dedup();
        let certificate = |served: &Served| Certificate {
            domain: served.domain.to_string(),
            not_after: served.pair.facts.not_after,
        };
        let server = &loaded.server;
        let listening = server.listen.iter().chain(&server.listen_tls).chain(&server.admin.listen);
        let mut ports: Vec<u16> = listening.map(SocketAddr::port).collect();
        ports.sort_unstable();
        ports.dedup();
        Facts {
            state_dir: loaded.server.state_dir.clone(),
            workers: workers.max(1) as u64,
            size,
            endpoints: (endpoints.len().max(1) * server.http.source_addresses.len().max(1)) as u64,
            ports,
            certificates: served.iter().map(certificate).collect(),
            now,
        }
    }
}

/// Looks at everything. Blocks.
pub fn examine(host: &Host, facts: &Facts) -> Report {
    let files = host.io_uring.as_ref().map_or(FileKind::Registered, |report| report.files);
    let scale = Scale { connections: facts.size.connections, workers: facts.workers, files };
    let looked = Looked { host, facts, scale };
    let (mut items, mut allowed) = (Vec::with_capacity(TABLE.len()), None::<Allowed>);
    for check in TABLE {
        let seen = (check.read)(&looked);
        if let (Some(bound), Ok(Seen::Number(number))) = (check.bounds, &seen) {
            let at = bound(&looked, *number);
            if allowed.as_ref().is_none_or(|least| at < least.allowed) {
                let by = format!("{} {}", check.name, grouped(*number));
                allowed = Some(Allowed { allowed: at, by });
            }
        }
        items.push(finding(check, &looked, seen));
    }
    Report {
        state: items.iter().map(|item| item.state).max().unwrap_or(State::Ok),
        size: facts.size,
        workers: facts.workers,
        pid: host.process.pid(),
        connections: allowed,
        items,
    }
}

/// How much a host is to carry.
#[derive(Debug, Clone, Copy)]
struct Scale {
    connections: u64,
    workers: u64,
    /// Where the sockets of tunnels are.
    files: FileKind,
}

impl Scale {
    /// The limit that gives each worker room for its share and a quarter more, because connections
    /// do not spread evenly over workers. It bounds each worker's table of registered files by
    /// itself; of descriptors all workers' tunnels take three quarters together.
    fn descriptors(self) -> u64 {
        let sockets = 2 * self.connections;
        let (even, most) = match self.files {
            FileKind::Registered => (sockets.div_ceil(self.workers), REGISTERED_FILES_MAX),
            FileKind::Descriptors => (sockets + sockets / 3, u64::MAX >> 1),
        };
        (even + even / 4).next_power_of_two().clamp(65_536, most)
    }
}

/// What a check may look at.
struct Looked<'a> {
    host: &'a Host,
    facts: &'a Facts,
    scale: Scale,
}

fn finding(check: &Check, looked: &Looked<'_>, seen: Result<Seen, String>) -> Finding {
    let wanted = (check.wanted)(looked.scale);
    let (state, text, fix, why) = match seen {
        Err(unread) => (State::Notice, None, None, format!("it cannot be judged: {unread}")),
        Ok(Seen::Judged { state, seen, fix }) => (state, Some(seen), fix, check.does.to_owned()),
        Ok(Seen::Absent(why)) => (State::Ok, Some(why.to_owned()), None, check.does.to_owned()),
        Ok(seen) => {
            let state = state(check, looked, &wanted, &seen);
            let fix = (state != State::Ok).then(|| (check.fix)(looked.scale));
            (state, Some(seen.to_string()), fix, check.does.to_owned())
        }
    };
    Finding {
        name: check.name.to_owned(),
        topic: check.topic,
        state,
        seen: text,
        wanted: wanted.to_string(),
        fix,
        why,
        verify: check.verify.to_owned(),
        care: Some(check.care.to_owned()).filter(|care| !care.is_empty()),
    }
}

fn state(check: &Check, looked: &Looked<'_>, wanted: &Wanted, seen: &Seen) -> State {
    if wanted.is_met(seen) {
        return State::Ok;
    }
    let falls_short = |number: u64| {
        let allows = check.bounds.map(|bound| bound(looked, number));
        allows.is_some_and(|allows| allows < looked.scale.connections)
    };
    match (check.breaks, seen) {
        (Breaks::Always, _) => State::Problem,
        (Breaks::Size, Seen::Number(number))
            if looked.facts.size.from != SizeFrom::Assumed && falls_short(*number) =>
        {
            State::Problem
        }
        _ => State::Notice,
    }
}

/// Thousands apart, for people.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let groups = digits.as_bytes().rchunks(3).rev();
    groups.map(|group| String::from_utf8_lossy(group)).collect::<Vec<_>>().join(",")
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let from = match self.from {
            SizeFrom::Asked => "asked for",
            SizeFrom::Configured => "the sum of max_connections",
            SizeFrom::Assumed => "assumed: not every domain has max_connections",
        };
        write!(f, "{} connections ({from})", grouped(self.connections))
    }
}
