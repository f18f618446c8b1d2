//! What a load needs, in words: the rows of the command line and of docs/sizing.md.

use std::fmt::Write as _;

use super::{Host, Load, MEMORY_SHARE, Need, Slopes, Transport};
use crate::report::look::thousands;

pub const GIB: f64 = (1_u64 << 30) as f64;

/// One load, for a terminal.
pub fn sized(load: &Load, slopes: &Slopes, host: &Host) -> String {
    let mut text = String::new();
    for (name, value) in rows(load, slopes, host) {
        writeln!(text, "{name:36} {value}").expect("a String takes it");
    }
    text
}

/// What is asked, then what it needs.
pub fn rows(load: &Load, slopes: &Slopes, host: &Host) -> Vec<(&'static str, String)> {
    let need = Need::of(load, slopes);
    let hosts = need.hosts(load, host);
    let (first, count) = (hosts[0].0, hosts[0].1.ceil().max(1.0));
    let transport = match load.transport {
        Transport::Ws => "ws",
        Transport::Wss => "wss",
    };
    vec![
        ("connections", format!("{} {transport}", thousands(load.connections))),
        ("messages per second", thousands(load.messages_per_second)),
        ("bytes of a message", thousands(load.message_bytes)),
        ("heartbeat", format!("{} s", load.heartbeat_seconds)),
        ("user memory", gib(need.user_bytes)),
        ("kernel memory", gib(need.kernel_bytes)),
        ("memory of the hosts, all together", gib(need.memory_bytes() / MEMORY_SHARE)),
        ("cores busy with messages", cores(need.cores_messages)),
        ("cores busy with heartbeats", cores(need.cores_heartbeats)),
        ("workers, all together", thousands(need.workers(load))),
        ("everybody comes back: core-seconds", thousands(need.come_back_core_seconds.ceil())),
        ("source address and origin pairs", thousands(need.routes)),
        ("more, where connections are tracked", gib(need.conntrack_bytes)),
        ("what comes first", first.to_owned()),
        (
            "hosts, and one more to spare",
            format!(
                "{} + 1 of {} cores, {}",
                thousands(count),
                thousands(host.cores),
                gib(host.memory_bytes)
            ),
        ),
    ]
}

fn gib(bytes: f64) -> String {
    let gib = bytes / GIB;
    if gib < 10.0 { format!("{gib:.2} GiB") } else { format!("{gib:.0} GiB") }
}

fn cores(cores: f64) -> String {
    if cores < 0.01 { "< 0.01".into() } else { format!("{cores:.2}") }
}
