//! All measurements, in the order in which they are made. Not here: how.

use super::space::Speech;
use super::traffic::Messages;
use super::{Findings, Subject, latency, setups, space, traffic};
use crate::figures::Bound::{AtLeast, AtMost};
use crate::figures::{Against, Bound};
use crate::idle;
use crate::proxy::Kind;

pub const SUBJECTS: &[Subject] = &[
    Subject {
        name: "cpu-ws-64",
        measure: |run| {
            let goals = [
                against("nginx", AtMost(0.85)),
                against("haproxy", AtMost(0.65)),
                against("envoy", AtMost(0.5)),
                against("io_uring_floor", AtMost(1.05)),
            ];
            traffic::cpu(run, &Messages::clear("cpu-ws-64", 64), &goals)
        },
    },
    Subject {
        name: "cpu-ws-64-8-of-200",
        measure: |run| {
            let messages = Messages { busy: Some(8), ..Messages::clear("cpu-ws-64-8-of-200", 64) };
            traffic::cpu(run, &messages, &best_peer(AtMost(1.0)))
        },
    },
    Subject {
        name: "cpu-ws-1024",
        measure: |run| {
            let messages = Messages::clear("cpu-ws-1024", 1024);
            traffic::cpu(run, &messages, &best_peer(AtMost(1.0)))
        },
    },
    Subject {
        name: "cpu-ws-16384",
        measure: |run| {
            let messages = Messages::clear("cpu-ws-16384", 16 * 1024);
            traffic::cpu(run, &messages, &best_peer(AtMost(1.0)))
        },
    },
    Subject {
        name: "cpu-ws-1048576",
        measure: |run| {
            let messages = Messages::clear("cpu-ws-1048576", 1 << 20);
            traffic::cpu(run, &messages, &best_peer(AtMost(1.0)))
        },
    },
    Subject {
        name: "cpu-wss-64",
        measure: |run| {
            let messages = Messages::secured("cpu-wss-64", 64);
            traffic::cpu(run, &messages, &best_peer(AtMost(1.0)))
        },
    },
    Subject {
        name: "cpu-wss-16384",
        measure: |run| {
            let messages = Messages::secured("cpu-wss-16384", 16 * 1024);
            traffic::cpu(run, &messages, &best_peer(AtMost(1.0)))
        },
    },
    Subject {
        name: "cpu-wss-1048576",
        measure: |run| {
            let messages = Messages::secured("cpu-wss-1048576", 1 << 20);
            traffic::cpu(run, &messages, &best_peer(AtMost(1.0)))
        },
    },
    Subject {
        name: "throughput-ws",
        measure: |run| traffic::throughput(run, &Messages::clear("throughput-ws", 64 * 1024)),
    },
    Subject {
        name: "throughput-wss",
        measure: |run| traffic::throughput(run, &Messages::secured("throughput-wss", 64 * 1024)),
    },
    Subject { name: "push-5000", measure: |run| traffic::push(run, &best_peer(AtMost(0.7))) },
    Subject { name: "latency-ws", measure: |run| latency::added(run) },
    Subject {
        name: "handshakes-ws",
        measure: |run| setups::upgrades(run, Speech::Clear, &best_peer(AtLeast(1.0))),
    },
    Subject {
        name: "handshakes-wss",
        measure: |run| setups::upgrades(run, Speech::Secured, &best_peer(AtLeast(1.0))),
    },
    Subject {
        name: "handshakes-tls",
        measure: |run| setups::handshakes(run, &best_peer(AtLeast(1.0))),
    },
    Subject { name: "herd-ws", measure: |run| setups::herd(run, Speech::Clear) },
    Subject { name: "herd-wss", measure: |run| setups::herd(run, Speech::Secured) },
    Subject {
        name: "memory-ws",
        measure: |run| space::memory(run, Speech::Clear, &absolute(AtMost(512.0))),
    },
    Subject {
        name: "memory-wss",
        measure: |run| space::memory(run, Speech::Secured, &absolute(AtMost(1536.0))),
    },
    Subject {
        name: "idle",
        measure: |run| {
            // Peers send no pings: it stands beside what the pings cost anybody.
            let figures = match run.kinds.contains(&Kind::Hawser) {
                true => idle::figure(run.pace.memory_rounds)?,
                false => Vec::new(),
            };
            Ok(Findings { figures, ..Findings::default() })
        },
    },
];

fn against(proxy: &str, bound: Bound) -> (Against, Bound) {
    (Against::Proxy(proxy.to_owned()), bound)
}

fn best_peer(bound: Bound) -> [(Against, Bound); 1] {
    [(Against::BestPeer, bound)]
}

fn absolute(bound: Bound) -> [(Against, Bound); 1] {
    [(Against::Absolute, bound)]
}
