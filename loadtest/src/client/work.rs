//! What the open connections have to do, message by message, and what came of it. Not here: the
//! connections.

use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use super::commands;
use super::schedule::Schedule;
use crate::latency::Latency;

/// Messages that fall due in one turn of the loop, so that answers are read in between.
const DUE_PER_TURN: usize = 1024;
/// Messages and connections that were never begun and are in the latency all the same.
const UNSENT_TIMED: usize = 1_000_000;

/// No place in a schedule.
pub const NO_SLOT: u32 = u32::MAX;

pub enum Work {
    Nothing,
    Pingpong(Pingpong),
    Steady(Box<Steady>),
    Listen(Box<Listen>),
    Churn(Box<Churn>),
}

/// What a connection sends next.
#[derive(Clone, Copy)]
pub struct Message {
    pub len: usize,
    /// When it should have been sent, where there is a schedule.
    pub due: Option<Instant>,
}

impl Work {
    /// What the connection in this place says, now that it waits for nothing.
    pub fn next(&mut self, slot: u32) -> Option<Message> {
        match self {
            Work::Pingpong(work) if work.stopped.is_none() && slot != NO_SLOT => {
                Some(Message { len: work.len, due: None })
            }
            Work::Steady(work) => work.take(slot),
            _ => None,
        }
    }

    pub fn answered(&mut self, latency: Duration, service: Duration) {
        match self {
            Work::Pingpong(work) => work.latency.record(latency),
            Work::Steady(work) => {
                work.received += 1;
                work.latency.record(latency);
                work.service.record(service);
            }
            _ => {}
        }
    }

    pub fn stop(&mut self, drain: Duration) {
        let now = Instant::now();
        match self {
            Work::Pingpong(work) => work.stopped = Some(now),
            Work::Steady(work) => work.stopped = Some((now, now + drain)),
            Work::Churn(work) => work.stopped = Some(now),
            Work::Nothing | Work::Listen(_) => {}
        }
    }

    /// When the loop has to look at the clock again.
    pub fn wakes_at(&self) -> Option<Instant> {
        match self {
            Work::Steady(work) => work.wakes_at(),
            Work::Churn(work) => work.wakes_at(),
            _ => None,
        }
    }

    /// After a stop: no connection is going to send or to be made.
    pub fn is_over(&self) -> bool {
        match self {
            Work::Steady(work) => work.is_over(),
            Work::Churn(work) => work.under_way == 0,
            Work::Nothing | Work::Pingpong(_) | Work::Listen(_) => true,
        }
    }

    /// The figures of what was stopped.
    pub fn report(&mut self) -> Map<String, Value> {
        let figures = match self {
            Work::Nothing => json!({}),
            Work::Pingpong(work) => json!({ "latency": work.latency.document() }),
            Work::Steady(work) => work.report(),
            Work::Listen(work) => work.report(),
            Work::Churn(work) => work.report(),
        };
        match figures {
            Value::Object(figures) => figures,
            _ => Map::new(),
        }
    }
}

/// The next message as soon as the last is back.
pub struct Pingpong {
    len: usize,
    stopped: Option<Instant>,
    latency: Latency,
}

impl Pingpong {
    pub fn new(len: usize) -> Pingpong {
        Pingpong { len, stopped: None, latency: Latency::default() }
    }
}

/// Messages at their own times, over the connections in turn: message n belongs to place n modulo
/// their number, and waits there while its connection still waits for an answer.
pub struct Steady {
    len: usize,
    schedule: Schedule,
    places: Vec<Place>,
    /// Places without a connection.
    vacant: Vec<u32>,
    /// The next message that falls due.
    next: u64,
    /// When no more fall due, and when those that did are given up.
    stopped: Option<(Instant, Instant)>,
    sent: u64,
    received: u64,
    latency: Latency,
    service: Latency,
    /// What of the latency is the generator's own: a free connection sent late.
    lag: Latency,
}

#[derive(Clone, Copy)]
struct Place {
    connection: Option<usize>,
    /// Messages that were sent, and those that are due.
    taken: u64,
    due: u64,
}

impl Steady {
    pub fn new(len: usize, schedule: Schedule, connections: &[usize]) -> Steady {
        let place = |key: &usize| Place { connection: Some(*key), taken: 0, due: 0 };
        Steady {
            len,
            schedule,
            places: connections.iter().map(place).collect(),
            vacant: Vec::new(),
            next: 0,
            stopped: None,
            sent: 0,
            received: 0,
            latency: Latency::default(),
            service: Latency::default(),
            lag: Latency::default(),
        }
    }

    /// The connections whose next message has fallen due, at most some of them; whether there may
    /// be more.
    pub fn fall_due(&mut self, now: Instant, ready: &mut Vec<usize>) -> bool {
        let until = self.stopped.map_or(now, |(stopped, _)| now.min(stopped));
        for _ in 0..DUE_PER_TURN {
            if self.places.is_empty() || self.schedule.due(self.next) > until {
                return false;
            }
            let place = (self.next % self.places.len() as u64) as usize;
            self.places[place].due += 1;
            self.next += 1;
            ready.extend(self.places[place].connection);
        }
        true
    }

    pub fn sent_late(&mut self, message: &Message) {
        if let Some(due) = message.due {
            self.lag.record(due.elapsed());
        }
    }

    fn take(&mut self, slot: u32) -> Option<Message> {
        let number = self.places.len() as u64;
        let place = self.places.get_mut(slot as usize)?;
        place.due = place.due.checked_sub(1)?;
        let due = self.schedule.due(place.taken * number + u64::from(slot));
        place.taken += 1;
        self.sent += 1;
        Some(Message { len: self.len, due: Some(due) })
    }

    /// The connection of this place is no more.
    pub fn leave(&mut self, slot: u32) {
        if let Some(place) = self.places.get_mut(slot as usize) {
            place.connection = None;
            self.vacant.push(slot);
        }
    }

    /// A place without a connection is this one's.
    pub fn settle(&mut self, key: usize) -> u32 {
        let Some(slot) = self.vacant.pop() else { return NO_SLOT };
        self.places[slot as usize].connection = Some(key);
        slot
    }

    fn wakes_at(&self) -> Option<Instant> {
        match self.stopped {
            None if self.places.is_empty() => None,
            None => Some(self.schedule.due(self.next)),
            Some((_, given_up)) => Some(given_up),
        }
    }

    /// Everything that fell due was sent, or can no longer be.
    fn is_over(&self) -> bool {
        let Some((stopped, given_up)) = self.stopped else { return false };
        let all_due = self.schedule.due(self.next) > stopped;
        let owed = |place: &Place| place.due > 0 && place.connection.is_some();
        Instant::now() >= given_up
            || self.places.is_empty()
            || (all_due && !self.places.iter().any(owed))
    }

    fn report(&mut self) -> Value {
        let (now, stopped) = (Instant::now(), self.stopped.map(|(stopped, _)| stopped));
        let scheduled = match self.places.is_empty() {
            true => 0,
            false => self.schedule.count(stopped.unwrap_or(now)),
        };
        let unsent = scheduled.saturating_sub(self.sent);
        self.time_unsent(now, scheduled);
        json!({
            "scheduled": scheduled,
            "sent": self.sent,
            "received": self.received,
            "lost": self.sent.saturating_sub(self.received),
            "unsent": unsent,
            "latency": self.latency.document(),
            "service": self.service.document(),
            "lag": self.lag.document(),
        })
    }

    /// A message that was never sent has waited since it was due, and no quantile may leave it out.
    fn time_unsent(&mut self, now: Instant, scheduled: u64) {
        let (number, mut timed) = (self.places.len() as u64, 0);
        for (slot, place) in self.places.iter().enumerate() {
            let mut n = place.taken * number + slot as u64;
            while n < scheduled && timed < UNSENT_TIMED {
                self.latency.record(now.saturating_duration_since(self.schedule.due(n)));
                (n, timed) = (n + number, timed + 1);
            }
        }
    }
}

/// Messages that the origin pushes.
#[derive(Default)]
pub struct Listen {
    pub received: u64,
    /// Numbers that were left out.
    pub lost: u64,
    /// Numbers that came again.
    pub repeated: u64,
    /// From the origin's sending to the last byte; both on one machine.
    pub latency: Latency,
}

impl Listen {
    fn report(&self) -> Value {
        json!({
            "received": self.received,
            "lost": self.lost,
            "repeated": self.repeated,
            "latency": self.latency.document(),
        })
    }
}

/// Connections that are made, used once and closed.
pub struct Churn {
    pub plan: commands::Churn,
    schedule: Option<Schedule>,
    began: Instant,
    /// The next connection that falls due.
    next: u64,
    pub under_way: usize,
    stopped: Option<Instant>,
    pub made: u64,
    pub failed: u64,
    /// Until it is open: from when it was due, and from when it was begun.
    pub latency: Latency,
    pub service: Latency,
    /// From its beginning to its end.
    pub cycle: Latency,
}

impl Churn {
    pub fn new(plan: commands::Churn, schedule: Option<Schedule>) -> Churn {
        Churn {
            plan,
            schedule,
            began: Instant::now(),
            next: 0,
            under_way: 0,
            stopped: None,
            made: 0,
            failed: 0,
            latency: Latency::default(),
            service: Latency::default(),
            cycle: Latency::default(),
        }
    }

    /// When the next connection was due, if it is to be begun now.
    pub fn take(&mut self, now: Instant) -> Option<Instant> {
        let due = self.schedule.map_or(now, |schedule| schedule.due(self.next));
        if self.stopped.is_some() || self.under_way >= self.plan.at_once || due > now {
            return None;
        }
        self.next += 1;
        self.under_way += 1;
        Some(due)
    }

    fn wakes_at(&self) -> Option<Instant> {
        match (self.stopped, self.schedule) {
            (None, Some(schedule)) if self.under_way < self.plan.at_once => {
                Some(schedule.due(self.next))
            }
            _ => None,
        }
    }

    fn report(&mut self) -> Value {
        let end = self.stopped.unwrap_or_else(Instant::now);
        let scheduled = self.schedule.map_or(self.next, |schedule| schedule.count(end));
        self.time_unsent(scheduled);
        json!({
            "scheduled": scheduled,
            "unsent": scheduled.saturating_sub(self.next),
            "made": self.made,
            "failed": self.failed,
            "seconds": (end - self.began).as_secs_f64(),
            "latency": self.latency.document(),
            "service": self.service.document(),
            "cycle": self.cycle.document(),
        })
    }

    /// A connection that was never begun has waited since it was due, like an unsent message.
    fn time_unsent(&mut self, scheduled: u64) {
        let Some(schedule) = self.schedule else { return };
        let now = Instant::now();
        for n in (self.next..scheduled).take(UNSENT_TIMED) {
            self.latency.record(now.saturating_duration_since(schedule.due(n)));
        }
    }
}

/// Connections that an `open` or a `herd` makes.
pub struct Opening {
    began: Instant,
    first: Option<Duration>,
    last: Duration,
    handshake: Latency,
}

impl Opening {
    pub fn new() -> Opening {
        Opening {
            began: Instant::now(),
            first: None,
            last: Duration::ZERO,
            handshake: Latency::default(),
        }
    }

    pub fn opened(&mut self, handshake: Duration) {
        self.last = self.began.elapsed();
        self.first.get_or_insert(self.last);
        self.handshake.record(handshake);
    }

    pub fn report(&self) -> Map<String, Value> {
        let ms = |time: Duration| (time.as_secs_f64() * 1e6).round() / 1e3;
        let mut figures = Map::new();
        figures.insert("ms_to_first".into(), json!(self.first.map(ms)));
        figures.insert("ms_to_all".into(), json!(ms(self.last)));
        figures.insert("handshake".into(), self.handshake.document());
        figures
    }
}
