//! Latency at fixed rates, as many messages a second whatever the proxy does: half of what each
//! peer can forward at most. What the same load takes without a proxy is subtracted.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use indexmap::IndexMap;

use super::{Findings, Run};
use crate::bench::{Bench, Load};
use crate::children::brief;
use crate::figures::{Against, Better, Bound, Curve, Spread};
use crate::proxy::Kind;
use crate::rounds::{Contest, Rows, column};

const NAME: &str = "latency-ws";
const BYTES: usize = 64;
const CONNECTIONS: usize = 200;
/// A proxy is left out of rates beyond this part of what it can do at most.
const USED_MOST: f64 = 0.8;
/// Less than that is not told apart from nothing, and no ratio is made of it.
const LEAST_US: f64 = 1.0;

const QUANTILES: [(&str, &str); 3] = [("p50", "median"), ("p99", "p99"), ("p999", "p99.9")];

pub fn added(run: &Run) -> anyhow::Result<Findings> {
    let load = Load {
        connections: CONNECTIONS,
        path: "/echo",
        certificate: None,
        large_messages: false,
        cpu: run.cpu,
        load_cpu: run.load_cpu,
    };
    let with_direct = [&run.kinds[..], &[Kind::Direct]].concat();
    let mut contest = Contest::begin(&with_direct, |kind| Bench::start(kind, &load));
    let mut findings = Findings::default();
    let saturations = saturations(run, &mut contest);
    findings.admit(NAME, &mut contest);
    // Slowest first.
    let mut rates: Vec<(Kind, f64)> =
        saturations.iter().filter(|(kind, _)| kind.is_peer()).map(|(k, s)| (*k, s / 2.0)).collect();
    if rates.is_empty() {
        // Nobody to be compared with: half of its own.
        rates.extend(saturations.first().map(|(kind, most)| (*kind, most / 2.0)));
    }
    rates.sort_by(|(_, a), (_, b)| a.total_cmp(b));

    let mut lines: [Lines; 3] = Default::default();
    for (place, (peer, rate)) in rates.iter().enumerate() {
        let can = |kind: Kind| {
            kind == Kind::Direct || saturations.get(&kind).is_some_and(|s| *rate <= USED_MOST * s)
        };
        let rows = contest.rounds(can, run.pace.long_rounds, |_, bench| {
            steady(bench, *rate, run.pace.window * 2)
        });
        for (quantile, lines) in lines.iter_mut().enumerate() {
            for (kind, values) in column(&rows, quantile) {
                let median = Spread::of(&values).median;
                lines.entry(kind).or_default().push([rate.round(), median]);
            }
        }
        findings.admit(NAME, &mut contest);
        let slowest = place == 0;
        report(&mut findings, &rows, *peer, *rate, slowest).with_context(|| peer.to_string())?;
    }
    for ((short, long), lines) in QUANTILES.iter().zip(lines).filter(|(_, l)| !l.is_empty()) {
        findings.curves.push(Curve {
            name: format!("{NAME}-{short}-by-rate"),
            title: format!("Round trip of 64 B messages ({long}) over rate, {CONNECTIONS} ws"),
            x_label: "messages per second, there and back".into(),
            y_label: "µs".into(),
            lines,
        });
    }
    let rates: Vec<String> =
        rates.iter().map(|(peer, rate)| format!("{peer} {rate:.0}/s")).collect();
    findings.notes.push(format!("{NAME}: half of the most of {}", rates.join(", ")));
    Ok(findings)
}

type Lines = IndexMap<String, Vec<[f64; 2]>>;

/// Messages a second, there and back, that pass when every connection sends the next as soon as
/// the last is back: what this load can get through the proxy at most.
fn saturations<S: FnMut(Kind) -> anyhow::Result<Bench>>(
    run: &Run,
    contest: &mut Contest<Bench, S>,
) -> IndexMap<Kind, f64> {
    let rows = contest.rounds(
        |kind| kind != Kind::Direct,
        3,
        |kind, bench| {
            let window = bench.window(&format!("pingpong {BYTES}"), run.pace.window)?;
            let end = brief(window.end);
            ensure!(end["wrong_bytes"] == 0 && end["open"] == CONNECTIONS, "{kind}: {end}");
            let messages = window.echoed_bytes as f64 / BYTES as f64;
            Ok(vec![messages / window.length.as_secs_f64()])
        },
    );
    let median = |rows: &Vec<Vec<f64>>| {
        Spread::of(&rows.iter().map(|row| row[0]).collect::<Vec<_>>()).median
    };
    rows.iter().map(|(kind, rows)| (*kind, median(rows))).collect()
}

/// Quantiles of the round trip from when each message was due, in microseconds.
fn steady(bench: &mut Bench, rate: f64, length: Duration) -> anyhow::Result<Vec<f64>> {
    let line = format!("steady {BYTES} {}", rate.round());
    let (_, mut end) = bench.whole(&line, length)?;
    let latency = end["latency"].take();
    let end = brief(end);
    ensure!(end["wrong_bytes"] == 0 && end["lost"] == 0, "messages were lost: {end}");
    ensure!(end["open"] == CONNECTIONS, "connections ended: {end}");
    ensure!(end["unsent"] == 0, "not all could be sent at {rate:.0} a second: {end}");
    let quantile = |(name, _): &(&str, &str)| {
        latency[*name].as_f64().with_context(|| format!("no {name} in {latency}"))
    };
    QUANTILES.iter().map(quantile).collect()
}

/// What the proxies add at half of what `peer` can do.
fn report(
    findings: &mut Findings,
    rows: &Rows,
    peer: Kind,
    rate: f64,
    slowest: bool,
) -> anyhow::Result<()> {
    let failed = || format!("the load failed without a proxy: {}", findings.notes.join("; "));
    let direct = rows.get(&Kind::Direct).with_context(failed)?;
    for (quantile, (short, long)) in QUANTILES.iter().enumerate() {
        let base: Vec<f64> = direct.iter().map(|row| row[quantile]).collect();
        // Of all rounds, since the tail of one is as uneven as that of the proxies.
        let base = Spread::of(&base).median;
        let mut figures = column(rows, quantile);
        figures.shift_remove(Kind::Direct.name());
        for values in figures.values_mut().flatten() {
            *values = (*values - base).max(LEAST_US);
        }
        if figures.is_empty() {
            continue;
        }
        let mut goals = Vec::new();
        if *short != "p50" {
            goals.push((Against::Proxy(peer.name().to_owned()), Bound::AtMost(1.0)));
            if slowest {
                goals.push((Against::BestPeer, Bound::AtMost(1.0)));
            }
        }
        let name = format!("{NAME}-{short}-at-half-{peer}");
        let title = format!(
            "Added latency ({long}) at {rate:.0} messages/s, half of what {peer} can do, ws"
        );
        findings.add((&name, &title, "µs"), Better::Less, figures, &goals)?;
    }
    Ok(())
}
