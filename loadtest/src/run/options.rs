//! What the command line of `run` says, and what follows from it for a scenario. Not here: the
//! scenarios.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use clap::ValueEnum;

use super::target::{Owner, Target};
use crate::client::dial::Sources;

/// Descriptors of a client process that are not connections.
const OTHER_DESCRIPTORS: u64 = 64;

#[derive(clap::Args, Clone)]
#[command(after_help = "Results: JSON on standard output, a table on standard error. Exit code 0 \
                        when nothing was lost or wrong, 1 when something was, 2 when it could not \
                        run. Times are in microseconds.")]
pub struct Options {
    /// What the connections do.
    pub scenario: Scenario,
    /// Where they go, as ws://HOST:PORT/PATH or wss://; without it, to an origin of its own.
    #[arg(long)]
    pub target: Option<Target>,
    /// Start an echoing and pushing origin here, for the target to forward to; may be repeated.
    #[arg(long, visible_alias = "origin-listen", value_name = "ADDR:PORT")]
    pub origin: Vec<SocketAddr>,
    /// Certificates (PEM) of the authorities that the target's may come from; with wss://.
    #[arg(long, value_name = "FILE")]
    pub authority: Option<PathBuf>,
    /// Host header, and the name that the certificate is for; that of the target without it.
    #[arg(long)]
    pub host: Option<String>,
    /// Connections that are open at once, or of a churn under way at once. Without it, as many as
    /// are usual for the scenario: 1 to 1000.
    #[arg(long)]
    pub connections: Option<usize>,
    /// Messages, requests, or connections of a churn, per second over all connections, each at its
    /// own time whatever came back. Without it each connection sends the next as soon as it has
    /// the answer.
    #[arg(long)]
    pub rate: Option<f64>,
    /// Several rates, one after the other, each for the whole duration.
    #[arg(long, value_delimiter = ',', conflicts_with = "rate")]
    pub rates: Vec<f64>,
    /// Rise to the rate in a straight line for so long, which is part of the duration.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub ramp: Option<Duration>,
    /// Length of a message or body: 64, or 1 GiB for stream, 1024 for slow-readers and http, none
    /// for churn.
    #[arg(long)]
    pub bytes: Option<usize>,
    /// How long is measured, as 500ms, 30s, 5m or 2h. [default: 10s; stream: one message each]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub duration: Option<Duration>,
    /// How long messages go back and forth before they are counted.
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "1s")]
    pub warm_up: Duration,
    /// How long answers are awaited at the end. [default: 10s; stream: 10m]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub drain: Option<Duration>,
    /// Time between two pushes.
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "1s")]
    pub interval: Duration,
    /// Client processes; as many as the descriptor limit asks for without it.
    #[arg(long)]
    pub processes: Option<usize>,
    /// Source addresses, as 127.0.0.2-127.0.0.40; each has some 28,000 ports for a target.
    #[arg(long, value_name = "RANGE")]
    pub sources: Option<Sources>,
    /// Handshakes that are under way at once while connections are opened.
    #[arg(long, default_value_t = 256)]
    pub handshakes: usize,
    /// Bars on a terminal and nothing elsewhere, or never any.
    #[arg(long, default_value = "auto")]
    pub progress: Progress,
    /// The target may have a public address, since it is mine.
    #[arg(long)]
    pub i_own_this_host: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Scenario {
    /// Opens connections, holds them, and has one message echoed on each at the end.
    Idle,
    /// Messages there and back, as fast as they come or at a rate.
    PingPong,
    /// Messages of the origin, each with its number and time.
    Push,
    /// Large messages, checked while they pass.
    Stream,
    /// Handshake, a message if it has bytes, Close, again.
    Churn,
    /// Resets all connections and opens them all at once.
    Herd,
    /// Clients that never read, beside one that does.
    SlowReaders,
    /// Plain GETs on connections that are kept open.
    Http,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Progress {
    Auto,
    Never,
}

impl Scenario {
    pub fn name(self) -> &'static str {
        match self {
            Scenario::Idle => "idle",
            Scenario::PingPong => "ping-pong",
            Scenario::Push => "push",
            Scenario::Stream => "stream",
            Scenario::Churn => "churn",
            Scenario::Herd => "herd",
            Scenario::SlowReaders => "slow-readers",
            Scenario::Http => "http",
        }
    }
}

impl Options {
    pub fn owner(&self) -> Owner {
        if self.i_own_this_host { Owner::Us } else { Owner::Unknown }
    }

    pub fn connections(&self) -> usize {
        self.connections.unwrap_or(match self.scenario {
            Scenario::Idle | Scenario::Herd => 1000,
            Scenario::PingPong | Scenario::Push | Scenario::SlowReaders => 100,
            Scenario::Churn | Scenario::Http => 64,
            Scenario::Stream => 1,
        })
    }

    pub fn bytes(&self) -> usize {
        self.bytes.unwrap_or(match self.scenario {
            Scenario::Stream => 1 << 30,
            Scenario::SlowReaders | Scenario::Http => 1024,
            Scenario::Churn => 0,
            _ => 64,
        })
    }

    /// The rates of the steps, none for as fast as answers come.
    pub fn steps(&self) -> Vec<Option<f64>> {
        match self.rates.is_empty() {
            true => vec![self.rate],
            false => self.rates.iter().copied().map(Some).collect(),
        }
    }

    pub fn duration(&self) -> Duration {
        self.duration.unwrap_or(match self.scenario {
            Scenario::Stream => Duration::ZERO,
            _ => Duration::from_secs(10),
        })
    }

    pub fn drain(&self) -> Duration {
        self.drain.unwrap_or(match self.scenario {
            Scenario::Stream => Duration::from_secs(600),
            _ => Duration::from_secs(10),
        })
    }

    /// The path of requests, where the target does not say one.
    pub fn path(&self, target: &Target) -> Option<String> {
        let pushes = || {
            let (bytes, ms) = (self.bytes(), self.interval.as_millis());
            format!("/push?bytes={bytes}&interval_ms={ms}")
        };
        match (self.scenario, &target.path) {
            (_, Some(path)) => Some(path.clone()),
            (Scenario::Http, None) => None,
            (Scenario::Push, None) => Some(pushes()),
            (Scenario::SlowReaders, None) => Some("/firehose".into()),
            (_, None) => Some("/echo".into()),
        }
    }

    /// What can be said to be wrong before anything is begun.
    pub fn check(&self) -> anyhow::Result<()> {
        ensure!(self.connections() > 0, "--connections 0: at least 1");
        for rate in self.steps().into_iter().flatten() {
            ensure!(
                rate.is_finite() && rate > 0.0 && rate <= 1e9,
                "rate {rate}: more than 0 and at most 1000000000 per second"
            );
        }
        let (name, rates) = (self.scenario.name(), self.steps().into_iter().flatten().count());
        let stepped =
            matches!(self.scenario, Scenario::PingPong | Scenario::Http | Scenario::Churn);
        let rated = stepped || (self.scenario == Scenario::SlowReaders && self.rates.is_empty());
        ensure!(rated || rates == 0, "{name} has no such rate: ping-pong, churn and http have");
        ensure!(
            self.ramp.is_none() || (rates > 0 && stepped),
            "--ramp wants a --rate to rise to, of ping-pong, churn or http"
        );
        ensure!(
            self.bytes() > 0 || matches!(self.scenario, Scenario::Churn | Scenario::Http),
            "--bytes 0: at least 1, so that there is one to check"
        );
        let least = crate::origin::pusher::HEAD;
        ensure!(
            self.scenario != Scenario::Push || self.bytes() >= least,
            "--bytes {}: pushes have at least {least}, for number and time",
            self.bytes()
        );
        ensure!(
            self.scenario != Scenario::Push || self.interval.as_millis() > 0,
            "--interval below 1ms: pushes are at least so far apart"
        );
        self.check_ports()
    }

    /// Client processes, each of which can hold its share.
    pub fn processes(&self, descriptors: u64) -> anyhow::Result<usize> {
        let room = descriptors.saturating_sub(OTHER_DESCRIPTORS);
        ensure!(room > 0, "a process may open {descriptors} files only: raise `ulimit -Hn`");
        ensure!(
            self.target.is_some() || self.connections() as u64 <= room,
            "{} connections to an origin of its own, which may open {descriptors} files: give a \
             --target, or raise `ulimit -Hn`",
            self.connections()
        );
        let least = (self.connections() as u64).div_ceil(room) as usize;
        let processes = self.processes.unwrap_or(least).min(self.connections());
        ensure!(
            processes >= least,
            "{} connections in {processes} processes: a process may open {descriptors} files, so \
             give --processes {least} or raise `ulimit -Hn`",
            self.connections()
        );
        Ok(processes)
    }

    fn check_ports(&self) -> anyhow::Result<()> {
        let text = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range");
        let Ok(text) = text else { return Ok(()) };
        let mut ends = text.split_whitespace().map(str::parse::<u64>);
        let (Some(Ok(first)), Some(Ok(last))) = (ends.next(), ends.next()) else { return Ok(()) };
        let ports = (last + 1).saturating_sub(first);
        let sources = self.sources.map_or(1, |sources| u64::from(sources.count()));
        let wanted = self.connections() as u64;
        ensure!(
            wanted <= ports * sources,
            "{wanted} connections from {sources} address(es): each has {ports} ports for one \
             target, so give --sources with {} or more (127.0.0.2-127.0.0.40 for a target on \
             loopback), or widen net.ipv4.ip_local_port_range",
            wanted.div_ceil(ports)
        );
        Ok(())
    }
}

/// 500ms, 30s, 5m, 2h, or seconds.
pub fn duration(text: &str) -> anyhow::Result<Duration> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        unit => anyhow::bail!("{unit:?} is no unit of time: ms, s, m or h"),
    };
    let number: f64 = digits.parse().with_context(|| format!("{text:?} is not like 30s"))?;
    Duration::try_from_secs_f64(number * unit).with_context(|| format!("{text:?} is no time"))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        options: Options,
    }

    fn options(line: &str) -> Options {
        Line::try_parse_from(["run"].into_iter().chain(line.split(' '))).expect(line).options
    }

    #[test]
    fn times_have_units() {
        for (text, ms) in [("500ms", 500), ("30s", 30_000), ("2", 2000), ("1.5m", 90_000)] {
            assert_eq!(duration(text).expect(text).as_millis(), ms);
        }
        for text in ["", "s", "5 s", "3d", "-1s", "nans"] {
            assert!(duration(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn what_cannot_be_is_said_with_the_way_out() {
        for (line, named) in [
            ("idle --connections 0", "at least 1"),
            ("ping-pong --rate 0", "more than 0"),
            ("ping-pong --ramp 1s", "--rate to rise to"),
            ("push --rate 5", "ping-pong, churn and http"),
            ("push --bytes 15", "at least 16"),
            ("push --interval 0.5ms", "1ms"),
            ("stream --bytes 0", "at least 1"),
            ("idle --connections 10000000", "--sources with"),
        ] {
            let error = options(line).check().expect_err(line).to_string();
            assert!(error.contains(named), "{line}: {error}");
        }
        for line in ["churn --rates 10,20", "http --bytes 0 --rate 5 --ramp 1s", "stream"] {
            options(line).check().expect(line);
        }
    }

    #[test]
    fn there_are_as_many_processes_as_descriptors_ask_for() {
        let idle =
            |more: &str| options(&format!("idle --target ws://[::1] --connections 40000{more}"));
        assert_eq!(idle("").processes(20_000).expect("no number was given"), 3);
        assert_eq!(idle(" --processes 4").processes(20_000).expect("enough"), 4);
        let error = idle(" --processes 2").processes(20_000).expect_err("too few").to_string();
        assert!(error.contains("--processes 3"), "{error}");
        let alone = options("idle --connections 40000").processes(20_000).expect_err("one origin");
        assert!(alone.to_string().contains("--target"), "{alone}");
        assert_eq!(options("stream --processes 9").processes(1000).expect("one is enough"), 1);
    }
}
