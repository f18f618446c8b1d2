//! What a client's connections are told to do, and the answers to its lines. Not here: the
//! connections themselves.

use std::io::{self, Write as _};
use std::time::{Duration, Instant};

use anyhow::ensure;
use serde_json::json;

use super::connection::Purpose;
use super::http::{Body, Request};
use super::schedule::Schedule;
use super::work::{Listen, Message, NO_SLOT, Pingpong, Steady, Work};
use super::{Client, Retry};

/// What the last line waits for.
pub(super) struct Goal {
    pub verb: String,
    pub kind: GoalKind,
    pub since: Instant,
    pub patience: Duration,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum GoalKind {
    Opened,
    Answered,
    Stopped,
    Ended,
}

impl Client {
    pub(super) fn echo(&mut self, len: usize, at_once: usize) {
        self.shared.work = Work::Nothing;
        (self.to_ask, self.asking) = (self.free(), (len, at_once));
    }

    pub(super) fn pingpong(&mut self, len: usize, connections: usize) {
        let mut keys = self.free();
        keys.truncate(connections);
        self.place(&keys);
        self.shared.work = Work::Pingpong(Pingpong::new(len));
        keys.into_iter().for_each(|key| self.send_next(key));
    }

    pub(super) fn steady(&mut self, len: usize, schedule: Schedule) -> anyhow::Result<()> {
        let keys = self.free();
        ensure!(!keys.is_empty(), "no connection is open: say `open N` first");
        self.place(&keys);
        self.shared.work = Work::Steady(Box::new(Steady::new(len, schedule, &keys)));
        Ok(())
    }

    pub(super) fn http(&mut self, len: usize, rate: f64, ramp: Duration) -> anyhow::Result<()> {
        self.shared.request = Some(self.request(len));
        // A server may end a connection between two requests.
        (self.wanted, self.at_once, self.retry) = (self.held(), usize::MAX, Retry::Now);
        match rate {
            0.0 => {
                self.pingpong(len, usize::MAX);
                Ok(())
            }
            rate => self.steady(len, Schedule::new(Instant::now(), rate, ramp)?),
        }
    }

    fn request(&self, len: usize) -> Request {
        let (path, body) = match &self.options.path {
            Some(path) => (path.clone(), Body::Any),
            None => (format!("/bytes/{len}"), Body::Pattern(len)),
        };
        let host = &self.options.host;
        Request { bytes: format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n").into(), body }
    }

    pub(super) fn listen(&mut self) {
        self.purpose = Purpose::Pushes;
        self.conns.iter_mut().for_each(|(_, conn)| conn.listen());
        self.shared.work = Work::Listen(Box::<Listen>::default());
    }

    /// Sends what has fallen due; true when there is more of it.
    pub(super) fn send_due(&mut self) -> bool {
        let Work::Steady(work) = &mut self.shared.work else { return false };
        let mut ready = std::mem::take(&mut self.ready);
        let more = work.fall_due(Instant::now(), &mut ready);
        for key in ready.drain(..) {
            self.send_next(key);
        }
        self.ready = ready;
        more
    }

    /// Sends the next message of this connection, if it is free and has one.
    pub(super) fn send_next(&mut self, key: usize) {
        let Some(conn) = self.conns.get_mut(key).filter(|conn| conn.is_free()) else { return };
        let Some(message) = self.shared.work.next(conn.slot) else { return };
        if let Work::Steady(work) = &mut self.shared.work {
            work.sent_late(&message);
        }
        if let Err(trouble) = conn.say(message, &mut self.shared) {
            self.end(key, trouble);
        }
    }

    /// Goes on with an `echo`, as far as its answers have come.
    pub(super) fn ask_more(&mut self) {
        let (len, at_once) = self.asking;
        while self.shared.under_way < at_once
            && let Some(key) = self.to_ask.pop()
        {
            let Some(conn) = self.conns.get_mut(key).filter(|conn| conn.is_free()) else {
                continue;
            };
            let message = Message { len, due: None };
            if let Err(trouble) = conn.say(message, &mut self.shared) {
                self.end(key, trouble);
            }
        }
    }

    pub(super) fn answer_if_done(&mut self) -> anyhow::Result<()> {
        let Some(goal) = &self.goal else { return Ok(()) };
        let nothing_under_way = self.shared.under_way == 0;
        let done = match goal.kind {
            GoalKind::Opened => {
                let given_up = self.retry == Retry::Never && self.shared.tally.failed > 0;
                self.connecting == 0 && (self.held() >= self.wanted || given_up)
            }
            GoalKind::Answered => self.to_ask.is_empty() && nothing_under_way,
            GoalKind::Stopped => nothing_under_way && self.shared.work.is_over(),
            GoalKind::Ended => self.conns.is_empty(),
        };
        if done || goal.since.elapsed() > goal.patience {
            // What ends from now on is not opened again.
            (self.wanted, self.retry) = (0, Retry::Never);
            self.to_ask.clear();
            if let Some(goal) = self.goal.take() {
                self.report(&goal.verb, Some(&goal))?;
            }
        }
        Ok(())
    }

    /// The answer to a line that had this goal, or none.
    pub(super) fn report(&mut self, verb: &str, goal: Option<&Goal>) -> anyhow::Result<()> {
        let mut figures = self.shared.tally.report();
        figures.insert("answers".into(), json!(verb));
        figures.insert("open".into(), json!(self.held() - self.connecting));
        figures.insert("under_way".into(), json!(self.shared.under_way));
        let ms = goal.map(|goal| goal.since.elapsed().as_millis() as u64);
        figures.insert("ms".into(), json!(ms));
        if let Some(origin) = &self.origin {
            figures.insert("origin".into(), origin.counts());
        }
        match goal.map(|goal| goal.kind) {
            Some(GoalKind::Stopped) => {
                figures.extend(self.shared.work.report());
                self.shared.work = Work::Nothing;
            }
            Some(GoalKind::Opened) => {
                figures.extend(self.shared.opening.take().into_iter().flat_map(|o| o.report()));
            }
            _ => {}
        }
        let mut out = io::stdout().lock();
        writeln!(out, "{}", serde_json::Value::Object(figures))?;
        Ok(out.flush()?)
    }

    /// Connections that can send at once.
    fn free(&self) -> Vec<usize> {
        self.conns.iter().filter(|(_, conn)| conn.is_free()).map(|(key, _)| key).collect()
    }

    /// Gives these connections places in their order, and none to others.
    fn place(&mut self, keys: &[usize]) {
        self.conns.iter_mut().for_each(|(_, conn)| conn.slot = NO_SLOT);
        for (slot, key) in keys.iter().enumerate() {
            self.conns[*key].slot = slot as u32;
        }
    }
}
