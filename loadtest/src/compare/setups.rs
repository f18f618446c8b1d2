//! Connections that are made: what each costs, and how long it takes when all come at once.

use anyhow::ensure;

use super::space::Speech;
use super::{Findings, Run};
use crate::bench::{Bench, Load};
use crate::children::brief;
use crate::figures::{Against, Better, Bound};
use crate::handshakes;
use crate::measure::ran_ns;
use crate::rounds::{Contest, column};

/// Connections under way at once.
const AT_ONCE: usize = 64;

fn load(run: &Run, speech: Speech, connections: usize) -> Load<'_> {
    Load {
        connections,
        path: "/echo",
        certificate: speech.certificate(run),
        large_messages: false,
        cpu: run.cpu,
        load_cpu: run.load_cpu,
    }
}

/// WebSocket connections that are opened and closed in order, each with a connection to the origin.
pub fn upgrades(run: &Run, speech: Speech, goals: &[(Against, Bound)]) -> anyhow::Result<Findings> {
    let name = format!("handshakes-{speech}");
    let load = load(run, speech, 0);
    let mut contest = Contest::begin(&run.edges(), |kind| Bench::start(kind, &load));
    let line = format!("churn 0 0 {AT_ONCE}");
    let rows = contest.rounds(
        |_| true,
        run.pace.rounds,
        |_, bench| {
            let (ns, end) = bench.whole(&line, run.pace.window)?;
            let end = brief(end);
            let made = end["made"].as_f64().unwrap_or(0.0);
            ensure!(made > 50.0 && end["failed"] == 0, "{end}");
            Ok(vec![made * 1e9 / ns as f64])
        },
    );
    let mut findings = Findings::default();
    findings.admit(&name, &mut contest);
    let title = format!("{speech} connections opened and closed per second of one core");
    findings.add((&name, &title, "1/s"), Better::More, column(&rows, 0), goals)?;
    Ok(findings)
}

/// TLS alone, full and resumed.
pub fn handshakes(run: &Run, goals: &[(Against, Bound)]) -> anyhow::Result<Findings> {
    let name = "handshakes-tls";
    let cpus = (run.cpu, run.load_cpu);
    let mut contest =
        Contest::begin(&run.edges(), |kind| handshakes::Bench::start(kind, &run.certificate, cpus));
    let millis = run.pace.window.as_millis() as u64;
    let mut findings = Findings::default();
    for variant in ["full", "resumed"] {
        let rows = contest.rounds(
            |_| true,
            run.pace.rounds,
            |_, bench| {
                let us = bench.us_per_handshake(&format!("{variant}-close"), (32, millis))?;
                Ok(vec![1e6 / us])
            },
        );
        findings.admit(name, &mut contest);
        let name = format!("{name}-{variant}");
        let title = format!("TLS 1.3 handshakes ({variant}) per second of one core");
        findings.add((&name, &title, "1/s"), Better::More, column(&rows, 0), goals)?;
    }
    Ok(findings)
}

/// Clients whose connections were all reset come again, all at once.
pub fn herd(run: &Run, speech: Speech) -> anyhow::Result<Findings> {
    let name = format!("herd-{speech}");
    let clients = run.pace.herd;
    let load = load(run, speech, clients);
    let mut contest = Contest::begin(&run.edges(), |kind| Bench::start(kind, &load));
    let rows = contest.rounds(
        |_| true,
        run.pace.long_rounds,
        |_, bench| {
            let before = bench.cpu_ns()?;
            let mut end = bench.client.ask("herd")?;
            let ns = ran_ns(before, bench.cpu_ns()?)?;
            let handshake = end["handshake"].take();
            let end = brief(end);
            ensure!(end["open"] == clients && end["failed"] == 0, "not all came again: {end}");
            let ms = end["ms_to_all"].as_f64().unwrap_or(f64::NAN);
            let p99 = handshake["p99"].as_f64().unwrap_or(f64::NAN) / 1000.0;
            Ok(vec![ms, p99, ns as f64 / 1e3 / clients as f64])
        },
    );
    let mut findings = Findings::default();
    findings.admit(&name, &mut contest);
    let goals = [(Against::BestPeer, Bound::AtMost(1.0))];
    let texts = [
        ("", format!("Until {clients} {speech} clients that were reset at once are open"), "ms"),
        ("-p99", format!("Handshake of {clients} {speech} clients that come at once, p99"), "ms"),
        ("-cpu", format!("CPU per client of {clients} that come at once, {speech}"), "µs"),
    ];
    for (quantity, (suffix, title, unit)) in texts.iter().enumerate() {
        let goals = if quantity == 0 { &goals[..] } else { &[] };
        let name = format!("{name}{suffix}");
        let rounds = column(&rows, quantity);
        findings.add((&name, title, unit), Better::Less, rounds, goals)?;
    }
    Ok(findings)
}
