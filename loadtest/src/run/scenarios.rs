//! What each scenario of `run` does, one after the other: open, work, stop, close. Not here: what
//! a client process makes of a line.

use std::time::Instant;

use serde_json::{Map, Value, json};

use super::Run;
use super::fleet::{Fleet, Heard};
use super::outcome;
use crate::children::sum;

/// Echoes under way at once where every connection has one.
const ECHOES_AT_ONCE: usize = 256;

impl Run {
    pub(super) fn idle(&mut self) -> anyhow::Result<()> {
        let mut fleet = self.open_all(&[])?;
        if self.goes_on() {
            let (began, bar) =
                (Instant::now(), self.display.timed("held", self.options.duration()));
            fleet.watch(self.options.duration(), |states| {
                bar.elapsed(format!(
                    "{} open, {} pings",
                    sum(states, "open"),
                    sum(states, "pings")
                ));
            })?;
            drop(bar);
            let held = fleet.say(|_| "status".into())?;
            let mut step = Map::new();
            step.insert("seconds".into(), json!(began.elapsed().as_secs_f64()));
            step.insert("open".into(), json!(sum(&held, "open")));
            step.insert("pings".into(), json!(sum(&held, "pings")));
            self.outcome.steps.push(step);
            if self.goes_on() {
                self.echo(&mut fleet)?;
            }
        }
        self.close(fleet)
    }

    pub(super) fn ping_pong(&mut self) -> anyhow::Result<()> {
        let (bytes, ramp) = (self.options.bytes(), self.ramp());
        let fleet = self.open_all(&[])?;
        self.steps(fleet, |rate| match rate {
            Some(rate) => format!("steady {bytes} {rate} {ramp}"),
            None => format!("pingpong {bytes}"),
        })
    }

    pub(super) fn http(&mut self) -> anyhow::Result<()> {
        let (bytes, ramp) = (self.options.bytes(), self.ramp());
        let fleet = self.open_all(&["--http"])?;
        self.steps(fleet, |rate| format!("http {} {bytes} {ramp}", rate.unwrap_or(0.0)))
    }

    pub(super) fn stream(&mut self) -> anyhow::Result<()> {
        let bytes = self.options.bytes();
        self.options.warm_up = std::time::Duration::ZERO;
        let fleet = self.open_all(&[])?;
        self.steps(fleet, |_| format!("pingpong {bytes}"))
    }

    pub(super) fn churn(&mut self) -> anyhow::Result<()> {
        let (bytes, connections) = (self.options.bytes(), self.options.connections());
        let path = self.options.path(&self.target);
        let fleet = self.fleet(self.processes, path.as_deref(), &[])?;
        let at_once = connections.div_ceil(self.processes);
        let ramp = self.ramp();
        self.steps(fleet, |rate| format!("churn {} {bytes} {at_once} {ramp}", rate.unwrap_or(0.0)))
    }

    pub(super) fn push(&mut self) -> anyhow::Result<()> {
        let path = self.options.path(&self.target);
        let mut fleet = self.fleet(self.processes, path.as_deref(), &[])?;
        // Before the first can come.
        fleet.say(|_| "listen".into())?;
        self.open(&mut fleet, self.options.connections())?;
        if self.goes_on() {
            let began = Instant::now();
            let bar = self.display.timed("pushes", self.options.duration());
            fleet.watch(self.options.duration(), |states| {
                bar.elapsed(format!("{} messages", sum(states, "pushed")));
            })?;
            drop(bar);
            let mut step = self.stop(&mut fleet, began)?;
            for (name, ours) in [("lost", "pushes_lost"), ("received", "pushed")] {
                let count = step.get(name).cloned().unwrap_or_default();
                step.insert(ours.into(), count);
            }
            if step.get("received").and_then(Value::as_u64) == Some(0) {
                self.outcome.wrong(
                    "nothing was pushed: the path has to lead to `/push?bytes=&interval_ms=` of an \
                     origin of this program (--origin), and --duration has to exceed --interval",
                );
            }
            self.outcome.steps.push(step);
        }
        self.close(fleet)?;
        self.compare_pushes()
    }

    /// Gaps are found by numbers; messages behind the last that came, by what our origins counted.
    fn compare_pushes(&mut self) -> anyhow::Result<()> {
        if self.unopened {
            return Ok(());
        }
        let mut pushed = 0;
        for origin in &self.origins {
            pushed += origin.counts()?.get("pushed").and_then(Value::as_u64).unwrap_or(0);
        }
        let known = self.outcome.total("lost");
        let missing = pushed.saturating_sub(self.outcome.total("pushed")).saturating_sub(known);
        if missing > 0 {
            self.outcome.wrong(format!("{missing} messages were pushed and never came"));
        }
        Ok(())
    }

    pub(super) fn herd(&mut self) -> anyhow::Result<()> {
        let mut fleet = self.open_all(&[])?;
        if self.goes_on() {
            self.echo(&mut fleet)?;
            let all = self.options.connections() as u64;
            let bar = self.display.counted("herd", all);
            let answers = fleet.ask(|_| "herd".into(), |states| bar.at(sum(states, "open")))?;
            drop(bar);
            if let Heard::Answers(answers) = answers {
                let mut step = outcome::step(&answers)?;
                let open = sum(&answers, "open");
                step.insert("open".into(), json!(open));
                self.outcome.steps.push(step);
                if open < all {
                    self.outcome.wrong(format!("only {open} of {all} connections came back"));
                }
            }
            if self.goes_on() {
                self.echo(&mut fleet)?;
            }
        }
        self.close(fleet)
    }

    pub(super) fn slow_readers(&mut self) -> anyhow::Result<()> {
        let readers = self.options.connections();
        let bytes = self.options.bytes();
        let mut healthy = self.fleet(1, Some("/echo"), &[])?;
        self.open(&mut healthy, 1)?;
        if !self.goes_on() {
            return self.close(healthy);
        }
        let line = match self.options.rate {
            Some(rate) => format!("steady {bytes} {rate}"),
            None => format!("pingpong {bytes}"),
        };
        let alone = self.work(&mut healthy, &line, "alone")?;
        self.outcome.steps.push(alone);
        let path = self.options.path(&self.target);
        let mut slow = self.fleet(self.processes, path.as_deref(), &["--silent"])?;
        self.open(&mut slow, readers)?;
        // Until all buffers on the way are full, the origin is busy with filling them.
        slow.watch(self.options.warm_up, |_| {})?;
        if self.goes_on() {
            let mut meanwhile = self.work(&mut healthy, &line, "beside slow readers")?;
            let states = slow.say(|_| "status".into())?;
            // The target may well end those who never read.
            meanwhile.insert("readers_open".into(), json!(sum(&states, "open")));
            self.outcome.steps.push(meanwhile);
        }
        self.close(healthy)
    }

    /// Seconds of the ramp.
    fn ramp(&self) -> f64 {
        self.options.ramp.unwrap_or_default().as_secs_f64()
    }

    fn goes_on(&self) -> bool {
        self.outcome.is_right() && !self.interrupt.is_set()
    }

    /// Several rates one after the other, or none, and the end.
    fn steps(
        &mut self,
        mut fleet: Fleet,
        line: impl Fn(Option<f64>) -> String,
    ) -> anyhow::Result<()> {
        let shares = self.processes as f64;
        let warm_up = self.options.warm_up;
        let steps = self.options.steps();
        if self.goes_on() && !warm_up.is_zero() {
            let first = line(steps[0].map(|rate| rate / shares));
            fleet.say(|_| first.clone())?;
            let bar = self.display.timed("warm-up", warm_up);
            fleet.watch(warm_up, |_| bar.elapsed("warm-up".into()))?;
            drop(bar);
            self.stop(&mut fleet, Instant::now())?;
        }
        for rate in steps {
            if !self.goes_on() {
                break;
            }
            let line = line(rate.map(|rate| rate / shares));
            let mut step = self.work(&mut fleet, &line, self.options.scenario.name())?;
            if let Some(rate) = rate {
                step.insert("rate".into(), json!(rate));
            }
            self.outcome.steps.push(step);
        }
        self.close(fleet)
    }

    /// Does what `line` says for the duration of a step.
    fn work(
        &self,
        fleet: &mut Fleet,
        line: &str,
        what: &str,
    ) -> anyhow::Result<Map<String, Value>> {
        let before = fleet.say(|_| "status".into())?;
        let began = Instant::now();
        fleet.say(|_| line.to_owned())?;
        let bar = self.display.timed(what, self.options.duration());
        fleet.watch(self.options.duration(), |states| {
            let (answered, wrong) = (sum(states, "echoed"), sum(states, "wrong_bytes"));
            bar.elapsed(format!("{what}: {answered} answers, {wrong} wrong bytes"));
        })?;
        drop(bar);
        let in_time = sum(&fleet.say(|_| "status".into())?, "echoed") - sum(&before, "echoed");
        let mut step = self.stop(fleet, began)?;
        let after = fleet.say(|_| "status".into())?;
        let count = |name: &str| sum(&after, name) - sum(&before, name);
        let seconds = step.get("seconds").and_then(Value::as_f64).unwrap_or_default();
        let received = match step.get("made").and_then(Value::as_u64) {
            // Connections of a churn are what it counts.
            Some(made) => made,
            None if self.options.duration().is_zero() => count("echoed"),
            // A backlog that comes while it is drained is no part of the rate.
            None => in_time,
        };
        step.insert("sent".into(), json!(count("sent")));
        step.insert("received".into(), json!(count("echoed")));
        step.insert("received_bytes".into(), json!(count("echoed_bytes")));
        step.insert("wrong_bytes".into(), json!(count("wrong_bytes")));
        step.insert("per_second".into(), json!((received as f64 / seconds).round()));
        Ok(step)
    }

    /// Ends what the clients do; its figures.
    fn stop(&self, fleet: &mut Fleet, began: Instant) -> anyhow::Result<Map<String, Value>> {
        let seconds = began.elapsed().as_secs_f64();
        let drain = self.options.drain().as_secs_f64();
        let large = self.options.bytes() >= 1 << 20;
        let all = (self.options.bytes() * self.options.connections()) as u64;
        let bar = large.then(|| self.display.counted("last answers", all));
        let answers = fleet.ask(
            |_| format!("stop {drain}"),
            |states| {
                if let Some(bar) = &bar {
                    bar.at(sum(states, "echoed_bytes") % all.max(1));
                }
            },
        )?;
        let Heard::Answers(answers) = answers else { return Ok(Map::new()) };
        let mut step = outcome::step(&answers)?;
        // The first answer of a message that takes longer than the whole step belongs to it.
        let seconds =
            if self.options.duration().is_zero() { began.elapsed().as_secs_f64() } else { seconds };
        step.insert("seconds".into(), json!(seconds));
        Ok(step)
    }

    /// One message on each connection.
    fn echo(&self, fleet: &mut Fleet) -> anyhow::Result<()> {
        let line = format!("echo {} {ECHOES_AT_ONCE}", self.options.bytes());
        let bar = self.display.counted("echoes", self.options.connections() as u64);
        fleet.ask(|_| line.clone(), |states| bar.at(sum(states, "echoed")))?;
        Ok(())
    }

    fn open_all(&mut self, more: &[&str]) -> anyhow::Result<Fleet> {
        let path = self.options.path(&self.target);
        let mut fleet = self.fleet(self.processes, path.as_deref(), more)?;
        self.open(&mut fleet, self.options.connections())?;
        Ok(fleet)
    }

    fn open(&mut self, fleet: &mut Fleet, count: usize) -> anyhow::Result<()> {
        let processes = fleet.size();
        let share = |i: usize| count / processes + usize::from(i < count % processes);
        let at_once = self.options.handshakes.div_ceil(processes);
        let bar = self.display.counted("opening", count as u64);
        let mut seen = 0;
        let heard = fleet.ask(
            |i| format!("open {} {at_once}", share(i)),
            |states| {
                seen = sum(states, "open");
                bar.at(seen);
            },
        )?;
        drop(bar);
        let (opened, mut figures) = match heard {
            Heard::Answers(answers) => (sum(&answers, "open"), outcome::step(&answers)?),
            Heard::Interrupted => {
                self.unopened = true;
                (seen, Map::new())
            }
        };
        figures.insert("count".into(), json!(opened));
        figures.insert("wanted".into(), json!(count));
        self.outcome.opened = figures;
        if opened < count as u64 && !self.interrupt.is_set() {
            self.outcome.wrong(format!("only {opened} of {count} connections opened"));
        }
        Ok(())
    }

    /// Close 1000 on all, and what they say of themselves at last.
    fn close(&mut self, mut fleet: Fleet) -> anyhow::Result<()> {
        self.outcome.interrupted = self.interrupt.is_set();
        if self.unopened {
            // Its answer is not worth waiting for.
            let mut answers = fleet.say(|_| "status".into())?;
            answers.iter_mut().for_each(|answer| answer["open"] = json!(0));
            self.outcome.conclude(&answers);
            return Ok(());
        }
        let patience = self.options.drain().as_secs_f64();
        let bar = self.display.counted("closing", self.options.connections() as u64);
        let all = self.options.connections() as u64;
        let heard = fleet.ask(
            |_| format!("close {patience}"),
            |states| bar.at(all.saturating_sub(sum(states, "open"))),
        )?;
        if let Heard::Answers(answers) = heard {
            self.outcome.conclude(&answers);
        }
        Ok(())
    }
}
