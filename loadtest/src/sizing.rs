//! What a load needs, from slopes that were measured: memory, processors, addresses, hosts. The
//! slopes of `loadtest/slopes.json` are those of docs/sizing.md, which a test holds against them.
//! Not here: measuring, see `slopes`.

mod text;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use crate::figures::Machine;

pub use text::sized;

/// What one more of something costs.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Slopes {
    /// User memory of a process with one worker and no connection.
    pub base_bytes: f64,
    /// User memory of an idle connection, both legs.
    pub user_ws_bytes: f64,
    pub user_wss_bytes: f64,
    /// Kernel memory of a connection: two sockets, and what the ring keeps of them.
    pub kernel_bytes: f64,
    /// Kernel memory of one TCP socket of a program on epoll, to see what the ring's part is.
    pub socket_bytes: f64,
    /// CPU of a forwarded message of 64 bytes, all cores of the worker busy.
    pub message_ws_us: f64,
    pub message_wss_us: f64,
    /// CPU of each further KiB of a message.
    pub kib_ws_us: f64,
    pub kib_wss_us: f64,
    /// CPU of one connection's heartbeat: a Ping and a Pong on either leg.
    pub heartbeat_us: f64,
    /// CPU from the accepted socket to the open tunnel; full handshakes under TLS.
    pub handshake_ws_us: f64,
    pub handshake_wss_us: f64,
}

/// Slopes and where they come from.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Recorded {
    pub measured: jiff::Timestamp,
    pub machine: Machine,
    pub hawser: String,
    pub slopes: Slopes,
}

/// A row of the tables, and how to reach its value.
pub struct Row {
    pub name: &'static str,
    pub unit: &'static str,
    pub value: fn(&Slopes) -> f64,
    /// A measurement that differs by more than this factor, either way, is another assumption.
    pub factor: f64,
    /// What it most likely means when it differs.
    pub differs: &'static str,
}

const CPU_DIFFERS: &str = "another processor, other mitigations, a slower or faster kernel path";
const TLS_DIFFERS: &str = "a processor with other instructions for AES or elliptic curves";
const KERNEL_DIFFERS: &str = "a kernel with other sizes of its objects, or with slab debugging";
const USER_DIFFERS: &str = "another release of Hawser, or huge pages that make memory resident";

pub const ROWS: [Row; 12] = [
    Row {
        name: "process without connections, one worker",
        unit: "bytes",
        value: |s| s.base_bytes,
        factor: 1.5,
        differs: USER_DIFFERS,
    },
    Row {
        name: "user memory per ws connection",
        unit: "bytes",
        value: |s| s.user_ws_bytes,
        factor: 1.3,
        differs: USER_DIFFERS,
    },
    Row {
        name: "user memory per wss connection",
        unit: "bytes",
        value: |s| s.user_wss_bytes,
        factor: 1.3,
        differs: USER_DIFFERS,
    },
    Row {
        name: "kernel memory per connection",
        unit: "bytes",
        value: |s| s.kernel_bytes,
        factor: 1.3,
        differs: KERNEL_DIFFERS,
    },
    Row {
        name: "kernel memory per TCP socket on epoll",
        unit: "bytes",
        value: |s| s.socket_bytes,
        factor: 1.3,
        differs: KERNEL_DIFFERS,
    },
    Row {
        name: "CPU per message of 64 bytes, ws",
        unit: "µs",
        value: |s| s.message_ws_us,
        factor: 1.5,
        differs: CPU_DIFFERS,
    },
    Row {
        name: "CPU per message of 64 bytes, wss",
        unit: "µs",
        value: |s| s.message_wss_us,
        factor: 1.5,
        differs: TLS_DIFFERS,
    },
    Row {
        name: "CPU per further KiB of a message, ws",
        unit: "µs",
        value: |s| s.kib_ws_us,
        factor: 2.0,
        differs: "other speeds of memory and caches",
    },
    Row {
        name: "CPU per further KiB of a message, wss",
        unit: "µs",
        value: |s| s.kib_wss_us,
        factor: 2.0,
        differs: TLS_DIFFERS,
    },
    Row {
        name: "CPU per heartbeat of a connection, both legs",
        unit: "µs",
        value: |s| s.heartbeat_us,
        factor: 1.5,
        differs: CPU_DIFFERS,
    },
    Row {
        name: "CPU per handshake, ws",
        unit: "µs",
        value: |s| s.handshake_ws_us,
        factor: 1.5,
        differs: CPU_DIFFERS,
    },
    Row {
        name: "CPU per handshake, wss, full",
        unit: "µs",
        value: |s| s.handshake_wss_us,
        factor: 1.5,
        differs: TLS_DIFFERS,
    },
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    Ws,
    Wss,
}

/// What is wanted of one or more hosts together.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    pub connections: f64,
    pub transport: Transport,
    /// Forwarded ones, in both directions together.
    pub messages_per_second: f64,
    pub message_bytes: f64,
    pub heartbeat_seconds: f64,
}

#[derive(Clone, Copy, Debug)]
pub struct Host {
    pub cores: f64,
    pub memory_bytes: f64,
}

/// Of a core, how much steady work may use: the rest is for peaks and for those who come back.
pub const CORE_SHARE: f64 = 0.6;
/// Of a host's memory, how much connections may use: the rest is for bytes under way in sockets,
/// the system, and what else runs.
pub const MEMORY_SHARE: f64 = 0.75;
/// Two registered files each, of at most 1,048,576 for a worker, some of which are listeners'.
pub const CONNECTIONS_PER_WORKER: f64 = 524_000.0;
/// Ports of one source address towards one address and port of an origin, with
/// `net.ipv4.ip_local_port_range = 10240 65535`, as 90-hawser.conf sets it.
pub const PORTS: f64 = 55_296.0;
/// A tracked connection of the kernel's firewall; two for each of ours.
pub const CONNTRACK_BYTES: f64 = 384.0;

/// What a load needs in all, whatever the number of hosts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Need {
    pub user_bytes: f64,
    pub kernel_bytes: f64,
    pub cores_messages: f64,
    pub cores_heartbeats: f64,
    /// Core-seconds until everybody is back after all were lost.
    pub come_back_core_seconds: f64,
    /// Pairs of a source address and an origin's address and port.
    pub routes: f64,
    pub conntrack_bytes: f64,
}

impl Need {
    pub fn of(load: &Load, slopes: &Slopes) -> Need {
        let n = load.connections;
        let (user, message, kib, handshake) = match load.transport {
            Transport::Ws => {
                let s = slopes;
                (s.user_ws_bytes, s.message_ws_us, s.kib_ws_us, s.handshake_ws_us)
            }
            Transport::Wss => {
                let s = slopes;
                (s.user_wss_bytes, s.message_wss_us, s.kib_wss_us, s.handshake_wss_us)
            }
        };
        let further = (load.message_bytes - 64.0).max(0.0) / 1024.0;
        Need {
            user_bytes: slopes.base_bytes + n * user,
            kernel_bytes: n * slopes.kernel_bytes,
            cores_messages: load.messages_per_second * (message + further * kib) / 1e6,
            cores_heartbeats: n / load.heartbeat_seconds * slopes.heartbeat_us / 1e6,
            come_back_core_seconds: n * handshake / 1e6,
            routes: (n / PORTS).ceil(),
            conntrack_bytes: n * 2.0 * CONNTRACK_BYTES,
        }
    }

    pub fn memory_bytes(&self) -> f64 {
        self.user_bytes + self.kernel_bytes
    }

    /// Cores that steady work keeps busy.
    pub fn cores(&self) -> f64 {
        self.cores_messages + self.cores_heartbeats
    }

    /// Workers for the steady work and for the tables, on all hosts together.
    pub fn workers(&self, load: &Load) -> f64 {
        let by_cores = (self.cores() / CORE_SHARE).ceil();
        by_cores.max((load.connections / CONNECTIONS_PER_WORKER).ceil()).max(1.0)
    }

    /// Hosts by each limit, the one that comes first in front.
    pub fn hosts(&self, load: &Load, host: &Host) -> [(&'static str, f64); 2] {
        let mut hosts = [
            ("memory", self.memory_bytes() / MEMORY_SHARE / host.memory_bytes),
            ("processors", self.workers(load) / host.cores),
        ];
        hosts.sort_by(|a, b| b.1.total_cmp(&a.1));
        hosts
    }
}

/// What the release was measured with.
pub fn recorded() -> anyhow::Result<Recorded> {
    serde_json::from_str(include_str!("../slopes.json")).context("loadtest/slopes.json")
}

#[cfg(test)]
mod tests;
