//! Which connections a client has: how they are made, what becomes of them, and their ends. Not
//! here: what they send.

use std::time::{Duration, Instant};

use mio::{Interest, Token};
use socket2::SockRef;

use super::connection::{Conn, End, Pumped, Purpose};
use super::dial;
use super::trouble::{Fault, Trouble};
use super::work::{NO_SLOT, Opening, Work};
use super::{Client, Retry};
use crate::link::{Drain, Link};
use crate::ws;

/// After a handshake of a herd or a churn failed, the next ones wait so long.
const RETRY_AFTER: Duration = Duration::from_millis(50);
/// Connections that are begun in one turn of the loop.
const CONNECTS_PER_TURN: usize = 512;

impl Client {
    /// From now on `count` connections are wanted.
    pub(super) fn open(&mut self, count: usize, at_once: usize, retry: Retry) {
        (self.wanted, self.at_once, self.retry) = (count, at_once, retry);
        self.shared.tally.failed = 0;
        self.shared.opening = Some(Opening::new());
    }

    /// Resets every connection, and wants them all again.
    pub(super) fn herd(&mut self) {
        let held: Vec<usize> =
            self.conns.iter().filter(|(_, conn)| conn.is_held()).map(|(key, _)| key).collect();
        for key in &held {
            let conn = self.conns.remove(*key);
            // Without waiting for what was not sent, a close is a reset. If that fails, it is still
            // a close.
            let _ = SockRef::from(&conn.link.stream).set_linger(Some(Duration::ZERO));
            self.depart(&conn);
            if !conn.is_open() {
                self.connecting -= 1;
            }
        }
        self.open(held.len(), usize::MAX, Retry::Now);
    }

    /// Connections that are open or being made, without those of a churn.
    pub(super) fn held(&self) -> usize {
        self.conns.len() - self.churning
    }

    /// Begins connections as they are wanted; true when more can be begun at once.
    pub(super) fn connect_more(&mut self) -> anyhow::Result<bool> {
        let now = Instant::now();
        match self.retry {
            Retry::At(time) if time > now => return Ok(false),
            Retry::At(_) => self.retry = Retry::Now,
            Retry::Never | Retry::Now => {}
        }
        for _ in 0..CONNECTS_PER_TURN {
            let may = match self.retry {
                Retry::Never => self.shared.tally.failed == 0,
                Retry::Now => true,
                Retry::At(_) => return Ok(false),
            };
            if may && self.connecting < self.at_once && self.held() < self.wanted {
                self.connecting += 1;
                self.connect(self.purpose, now)?;
            } else if let Work::Churn(churn) = &mut self.shared.work
                && let Some(due) = churn.take(now)
            {
                let len = churn.plan.len.map(|len| len as u32);
                self.connect(Purpose::Churn(len), due)?;
            } else {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn connect(&mut self, purpose: Purpose, due: Instant) -> anyhow::Result<()> {
        let source = self.sources.as_mut().map(dial::Sources::turn);
        let mut stream = match dial::connecting(source, self.options.target) {
            Ok(stream) => stream,
            Err(trouble) => {
                self.failed(purpose, &trouble);
                return Ok(());
            }
        };
        let entry = self.conns.vacant_entry();
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(&mut stream, Token(entry.key()), interest)?;
        let link = match &self.dialect {
            None => Link::new(stream),
            Some(dialect) => Link::secured(stream, dialect.layer()?)?,
        };
        self.begun += 1;
        let seed = self.begun << 20 | entry.key() as u64;
        let request = match purpose {
            Purpose::Http => String::new(),
            _ => self.options.upgrade(&ws::key(seed)),
        };
        self.churning += usize::from(matches!(purpose, Purpose::Churn(_)));
        entry.insert(Conn::new(link, seed, purpose, due, &request));
        Ok(())
    }

    /// Something happened to connection `key`.
    pub(super) fn advance(&mut self, key: usize, drain: Drain, buffer: &mut [u8]) {
        let Some(conn) = self.conns.get_mut(key) else { return };
        let was_open = conn.is_open();
        let pumped = conn.pump(drain, buffer, &mut self.shared);
        let held = !matches!(conn.purpose, Purpose::Churn(_));
        if held && !was_open && conn.is_open() {
            self.connecting -= 1;
            self.arrive(key);
        }
        match pumped {
            Ok(Pumped::Dry) => {}
            Ok(Pumped::More) => self.again.push(key),
            Err(trouble) => self.end(key, trouble),
        }
    }

    /// A connection is open and may take a place that another one left.
    fn arrive(&mut self, key: usize) {
        if self.purpose != Purpose::Http {
            return;
        }
        self.conns[key].slot = match &mut self.shared.work {
            Work::Steady(work) => work.settle(key),
            Work::Pingpong(_) => 0,
            _ => return,
        };
        self.send_next(key);
    }

    pub(super) fn end(&mut self, key: usize, trouble: Trouble) {
        let Some(conn) = self.conns.try_remove(key) else { return };
        self.churning -= usize::from(!conn.is_held());
        self.depart(&conn);
        let End { code, trouble } = conn.end(trouble);
        let Some(code) = code else {
            let trouble = trouble.unwrap_or(Trouble::Ended);
            self.failed(conn.purpose, &trouble);
            return;
        };
        let tally = &mut self.shared.tally;
        *tally.ended.entry(code).or_default() += 1;
        if let Some(trouble) = &trouble {
            tally.error(trouble);
        }
        if let (Purpose::Churn(_), Work::Churn(churn)) = (conn.purpose, &mut self.shared.work) {
            churn.under_way = churn.under_way.saturating_sub(1);
            match trouble {
                None => {
                    churn.made += 1;
                    churn.cycle.record(conn.began().elapsed());
                }
                Some(_) => churn.failed += 1,
            }
        }
    }

    /// A connection came to nothing.
    fn failed(&mut self, purpose: Purpose, trouble: &Trouble) {
        let mut paced = false;
        if let Purpose::Churn(_) = purpose {
            self.shared.tally.error(trouble);
            // One that was given up may still end.
            if let Work::Churn(churn) = &mut self.shared.work {
                churn.under_way = churn.under_way.saturating_sub(1);
                churn.failed += 1;
                paced = churn.plan.rate.is_some();
            }
        } else {
            self.connecting -= 1;
            self.shared.tally.handshake_failed(trouble);
        }
        // A churn with a rate goes on at its rate, unless it cannot.
        if self.retry != Retry::Never && (!paced || trouble.fault() == Fault::Generator) {
            self.retry = Retry::At(Instant::now() + RETRY_AFTER);
        }
    }

    /// What the connection had under way can no longer come.
    fn depart(&mut self, conn: &Conn) {
        if conn.is_waiting() {
            self.shared.under_way -= 1;
            self.shared.tally.lost += 1;
        }
        if conn.slot != NO_SLOT
            && let Work::Steady(work) = &mut self.shared.work
        {
            work.leave(conn.slot);
        }
    }

    pub(super) fn close_all(&mut self) {
        let keys: Vec<usize> = self.conns.iter().map(|(key, _)| key).collect();
        for key in keys {
            // What fails here shows as the end of the connection.
            let _ = self.conns[key].close();
        }
    }
}
