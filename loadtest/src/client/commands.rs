//! The lines that a client obeys, as values. Not here: what they do.

use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};

/// Handshakes under way at once unless it is said; below every listen backlog, so that none waits
/// for a SYN retry.
const HANDSHAKES: usize = 256;
/// Connections of a churn with a rate that are under way at once unless it is said.
const CHURNING: usize = 1024;
/// The same for a churn that is as fast as they allow.
const CHURNING_UNPACED: usize = 64;
/// A command that has not come true after this long is answered as it stands.
pub const PATIENCE: Duration = Duration::from_secs(120);
/// How long a `stop` waits for what is under way.
const DRAIN: Duration = Duration::from_secs(10);

const ALL: &str = "open N [AT_ONCE], echo LEN [AT_ONCE], pingpong LEN [N], \
                   steady LEN RATE [RAMP], http RATE LEN [RAMP], herd, \
                   churn RATE [LEN [N [RAMP]]], listen, push LEN INTERVAL_MS, stop [SECONDS], \
                   close [SECONDS], await-end, status";

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Command {
    Open { count: usize, at_once: usize },
    Echo { len: usize, at_once: usize },
    Pingpong { len: usize, connections: usize },
    Steady { len: usize, rate: f64, ramp: Duration },
    Http { len: usize, rate: f64, ramp: Duration },
    Herd,
    Churn(Churn),
    Listen,
    Push { len: usize, interval: Duration },
    Stop { drain: Duration },
    Close { patience: Duration },
    AwaitEnd,
    Status,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Churn {
    /// Connections per second; as fast as `at_once` allows without it.
    pub rate: Option<f64>,
    /// Length of the one message on each, if there is one.
    pub len: Option<usize>,
    pub at_once: usize,
    /// Rises to the rate for so long.
    pub ramp: Duration,
}

impl FromStr for Command {
    type Err = anyhow::Error;

    fn from_str(line: &str) -> anyhow::Result<Command> {
        let mut words = line.split_whitespace();
        let verb = words.next().unwrap_or_default();
        let mut words = Words { line, words: words.collect(), at: 0 };
        let command = match verb {
            "open" => Command::Open {
                count: words.count("N")?,
                at_once: words.optional_count()?.unwrap_or(HANDSHAKES),
            },
            "echo" => Command::Echo {
                len: words.length()?,
                at_once: words.optional_count()?.unwrap_or(usize::MAX),
            },
            "pingpong" => Command::Pingpong {
                len: words.length()?,
                connections: words.optional_count()?.unwrap_or(usize::MAX),
            },
            "steady" => {
                let len = words.length()?;
                Command::Steady { len, rate: words.number("RATE")?, ramp: words.seconds()? }
            }
            "http" => {
                let rate = words.number("RATE")?;
                Command::Http { len: words.count("LEN")?, rate, ramp: words.seconds()? }
            }
            "herd" => Command::Herd,
            "churn" => Command::Churn(words.churn()?),
            "listen" => Command::Listen,
            "push" => {
                let len = words.length()?;
                let interval = Duration::from_millis(words.count("INTERVAL_MS")? as u64);
                ensure!(!interval.is_zero(), "interval 0 in {line:?}: at least 1 ms");
                Command::Push { len, interval }
            }
            "stop" => Command::Stop { drain: words.optional_seconds()?.unwrap_or(DRAIN) },
            "close" => Command::Close { patience: words.optional_seconds()?.unwrap_or(PATIENCE) },
            "await-end" => Command::AwaitEnd,
            "status" => Command::Status,
            _ => bail!("unknown command {line:?}: {ALL}"),
        };
        words.are_used()?;
        Ok(command)
    }
}

/// What stands behind the verb.
struct Words<'a> {
    line: &'a str,
    words: Vec<&'a str>,
    at: usize,
}

impl Words<'_> {
    fn optional<T: FromStr>(&mut self) -> anyhow::Result<Option<T>> {
        let Some(word) = self.words.get(self.at) else { return Ok(None) };
        self.at += 1;
        let Ok(value) = word.parse() else { bail!("no number in {:?}: {word:?}", self.line) };
        Ok(Some(value))
    }

    fn number(&mut self, name: &str) -> anyhow::Result<f64> {
        self.optional()?.with_context(|| format!("{name} is missing in {:?}", self.line))
    }

    fn count(&mut self, name: &str) -> anyhow::Result<usize> {
        self.optional()?.with_context(|| format!("{name} is missing in {:?}", self.line))
    }

    fn optional_count(&mut self) -> anyhow::Result<Option<usize>> {
        let count = self.optional()?;
        ensure!(count != Some(0), "0 in {:?}: at least 1", self.line);
        Ok(count)
    }

    /// Length of a message.
    fn length(&mut self) -> anyhow::Result<usize> {
        let len = self.count("LEN")?;
        ensure!(
            len > 0,
            "length 0 in {:?}: at least 1 byte, so that there is one to check",
            self.line
        );
        Ok(len)
    }

    fn seconds(&mut self) -> anyhow::Result<Duration> {
        Ok(self.optional_seconds()?.unwrap_or(Duration::ZERO))
    }

    fn optional_seconds(&mut self) -> anyhow::Result<Option<Duration>> {
        let seconds: Option<f64> = self.optional()?;
        let duration = seconds.map(Duration::try_from_secs_f64).transpose();
        duration.with_context(|| format!("no time in {:?}", self.line))
    }

    fn churn(&mut self) -> anyhow::Result<Churn> {
        let rate = Some(self.number("RATE")?).filter(|rate| *rate != 0.0);
        let len = self.optional()?.filter(|len| *len > 0);
        let usual = if rate.is_some() { CHURNING } else { CHURNING_UNPACED };
        let at_once = self.optional_count()?.unwrap_or(usual);
        Ok(Churn { rate, len, at_once, ramp: self.seconds()? })
    }

    fn are_used(&self) -> anyhow::Result<()> {
        let rest = &self.words[self.at..];
        ensure!(rest.is_empty(), "too much in {:?}: {}", self.line, rest.join(" "));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_become_commands() {
        let second = Duration::from_secs(1);
        let churn =
            |rate, len, at_once| Command::Churn(Churn { rate, len, at_once, ramp: Duration::ZERO });
        for (line, command) in [
            ("open 10", Command::Open { count: 10, at_once: HANDSHAKES }),
            ("open 10 2", Command::Open { count: 10, at_once: 2 }),
            ("echo 64", Command::Echo { len: 64, at_once: usize::MAX }),
            ("pingpong 64 8", Command::Pingpong { len: 64, connections: 8 }),
            ("steady 64 1.5 1", Command::Steady { len: 64, rate: 1.5, ramp: second }),
            ("http 100 0", Command::Http { len: 0, rate: 100.0, ramp: Duration::ZERO }),
            ("churn 0", churn(None, None, CHURNING_UNPACED)),
            ("churn 50 64", churn(Some(50.0), Some(64), CHURNING)),
            ("churn 0 0 3", churn(None, None, 3)),
            ("push 64 1000", Command::Push { len: 64, interval: second }),
            ("stop 1", Command::Stop { drain: second }),
        ] {
            assert_eq!(line.parse::<Command>().expect(line), command);
        }
    }

    #[test]
    fn what_is_wrong_with_a_line_is_said() {
        for (line, named) in [
            ("", "unknown command"),
            ("jump 3", "await-end"),
            ("open", "N is missing"),
            ("open many", "\"many\""),
            ("echo 0", "at least 1"),
            ("steady 64", "RATE is missing"),
            ("push 64 0", "at least 1 ms"),
            ("status now", "too much"),
            ("stop -1", "no time"),
        ] {
            let error = format!("{:#}", line.parse::<Command>().expect_err(line));
            assert!(error.contains(named), "{line:?}: {error}");
        }
    }
}
