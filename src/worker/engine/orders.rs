//! Orders of the control plane: list, close at a pace, drain. Not here: how they reach the core
//! (`worker::mailbox`).

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::first::First;
use super::{State, interval_ticks};
use crate::limits::{CLOSE_BOUNDARY_WAIT, CLOSE_WAIT, CLOSES_PER_TICK_MAX};
use crate::snapshot::command::{Progress, Reply};
use crate::snapshot::geo::UNKNOWN;
use crate::snapshot::{Command, ConnRow, Filter, Listed, Order, Pace, Snapshot};
use crate::stats::{Cause, ConnId, SeriesName, Side};
use crate::tunnel::{CloseOrder, Leg, Phase, TICK_MS};
use crate::worker::table::{Entry, Life};

/// What is being carried out over several ticks.
#[derive(Default)]
pub(super) struct Orders {
    paced: VecDeque<Paced>,
    drain: Option<Drain>,
}

/// Number of what nobody asks about.
const NOBODYS: u64 = u64::MAX;

/// Tunnels to close, a few per tick.
struct Paced {
    number: u64,
    ids: VecDeque<ConnId>,
    order: CloseOrder,
    /// Millionths of a close that one tick allows, and those saved up.
    per_tick: u64,
    saved: u64,
}

struct Drain {
    order: CloseOrder,
    /// Tunnels that have not been told yet. Found out once and not in every tick: a table of half a
    /// million entries takes longer to walk through than those of one tick take to close.
    waiting: Vec<ConnId>,
    /// Tick at which the last tunnel is told to go, and at which nobody is waited for any more.
    last: u32,
    over: u32,
    reply: Option<Reply<()>>,
}

impl State {
    pub(super) fn command(&mut self, command: Command, snapshot: &Snapshot) {
        match command {
            Command::List { filter, order, limit, reply } => {
                reply(self.list(&filter, order, limit));
            }
            Command::Close { filter, cause, code, reason, pace, number, reply } => {
                let order = CloseOrder::both(Side::Edge, cause, code, &reason);
                let ids = self.matching(|entry, id| self.matches(&filter, entry, id));
                reply(ids.len());
                self.close_paced(number, ids, order, pace);
            }
            Command::Closing { number, ask, reply } => reply(self.closing(number, ask)),
            Command::SnapshotChanged => {
                let order = CloseOrder::going_away(Cause::DomainRemoved, "domain was removed");
                let ids = self.matching(|entry, _| !snapshot.hosts.contains(&entry.domain.name));
                self.close_paced(NOBODYS, ids, order, None);
            }
            Command::Drain { window, code, reason, reply } => {
                let order = CloseOrder::both(Side::Edge, Cause::Drain, code, &reason);
                self.drain(window, order, reply);
            }
            // The thread ends elsewhere; nothing is sent to anybody.
            Command::Stop => {}
        }
    }

    /// The part of every order that belongs to this tick.
    pub(super) fn carry_out_orders(&mut self) {
        let mut paced = std::mem::take(&mut self.orders.paced);
        for order in &mut paced {
            order.saved += order.per_tick;
            self.close_allowed(order);
        }
        paced.retain(|order| !order.ids.is_empty());
        self.orders.paced = paced;
        self.carry_out_drain();
    }

    fn close_paced(
        &mut self,
        number: u64,
        ids: Vec<ConnId>,
        order: CloseOrder,
        pace: Option<Pace>,
    ) {
        let most = CLOSES_PER_TICK_MAX as u64 * Pace::ONE;
        let (per_tick, saved) = match pace {
            Some(pace) => ((pace.per_second_e6 * TICK_MS / 1000).clamp(1, most), pace.saved_e6),
            None => (most, most),
        };
        let mut paced = Paced { number, ids: ids.into(), order, per_tick, saved };
        self.close_allowed(&mut paced);
        if !paced.ids.is_empty() {
            self.orders.paced.push_back(paced);
        }
    }

    fn close_allowed(&mut self, paced: &mut Paced) {
        while paced.saved >= Pace::ONE {
            let Some(id) = paced.ids.pop_front() else { break };
            paced.saved -= Pace::ONE;
            self.close_one(id, &paced.order);
        }
    }

    fn closing(&mut self, number: u64, ask: Progress) -> usize {
        let (table, core) = (&self.table, self.core as u32);
        // Those that ended by themselves need no turn.
        let is_open = |id: &ConnId| {
            let entry = table.look(id.key()).filter(|entry| entry.life == Life::Open);
            entry.is_some_and(|entry| ConnId::new(core, entry.generation, id.key()) == *id)
        };
        let mut left = 0;
        self.orders.paced.retain_mut(|paced| {
            if paced.number != number {
                return true;
            }
            paced.ids.retain(is_open);
            left += paced.ids.len();
            ask == Progress::Look && !paced.ids.is_empty()
        });
        left
    }

    fn close_one(&mut self, id: ConnId, order: &CloseOrder) {
        let (now, core, key) = (self.now, self.core as u32, id.key());
        let Some(entry) = self.table.entry(key) else { return };
        let same = id == ConnId::new(core, entry.generation, key);
        if same && entry.life == Life::Open {
            entry.tunnel.close(order.clone(), now, &mut self.actions);
            self.apply(key, None);
        }
    }

    fn drain(&mut self, window: Duration, order: CloseOrder, reply: Reply<()>) {
        let now = self.now.tick;
        let last = now.wrapping_add((window.as_millis() as u64 / TICK_MS) as u32);
        // The end of a frame, Close, FIN, and a tick each for the wheel.
        let wait = interval_ticks(CLOSE_BOUNDARY_WAIT) + 2 * interval_ticks(CLOSE_WAIT);
        let over = last.wrapping_add(wait + 3);
        let reply = Some(reply);
        self.orders.drain = Some(Drain { order, waiting: Vec::new(), last, over, reply });
        self.carry_out_drain();
    }

    fn carry_out_drain(&mut self) {
        let now = self.now.tick;
        let Some(mut drain) = self.orders.drain.take() else { return };
        let left = drain.last.wrapping_sub(now);
        let left = if left > 1 << 31 { 0 } else { left };
        let over = now.wrapping_sub(drain.over) < 1 << 31;
        if over || drain.waiting.is_empty() {
            // Those that opened meanwhile too, and in the end whatever is left.
            drain.waiting = self.matching(|e, _| over || e.tunnel.phase() == Phase::Open);
        }
        let share = drain.waiting.len().div_ceil(left as usize + 1);
        for id in drain.waiting.split_off(drain.waiting.len() - share) {
            self.close_one(id, &drain.order);
            if over {
                self.end(id.key());
            }
        }
        if (self.table.is_empty() || over)
            && let Some(reply) = drain.reply.take()
        {
            reply(());
        }
        self.orders.drain = Some(drain);
    }

    fn matching(&self, wanted: impl Fn(&Entry, ConnId) -> bool) -> Vec<ConnId> {
        let open = self.table.iter().filter(|(_, entry)| entry.life == Life::Open);
        open.map(|(key, entry)| (entry, ConnId::new(self.core as u32, entry.generation, key)))
            .filter(|(entry, id)| wanted(entry, *id))
            .map(|(_, id)| id)
            .collect()
    }

    fn list(&self, filter: &Filter, order: Option<Order>, limit: usize) -> Listed {
        let mut first = First::new(limit);
        let mut matched = 0;
        for (key, entry) in self.table.iter() {
            let id = ConnId::new(self.core as u32, entry.generation, key);
            if entry.life != Life::Open || !self.matches(filter, entry, id) {
                continue;
            }
            matched += 1;
            match order {
                Some(order) => {
                    let figures = entry.tunnel.figures();
                    first.offer(order.of(self.age_ms(entry), self.idle_ms(entry), &figures), id);
                }
                // Any will do.
                None if matched <= limit => first.offer(0, id),
                None => {}
            }
        }
        // Rows are many times the size of an id: only those that are listed are made.
        let row = |id: ConnId| Some(self.row(self.table.look(id.key())?, id));
        Listed { rows: first.take().filter_map(row).collect(), matched }
    }

    fn age_ms(&self, entry: &Entry) -> u64 {
        u64::from(self.now.tick.wrapping_sub(entry.tunnel.opened())) * TICK_MS
    }

    fn idle_ms(&self, entry: &Entry) -> u64 {
        u64::from(self.now.tick.wrapping_sub(entry.tunnel.last_received())) * TICK_MS
    }

    fn row(&self, entry: &Entry, id: ConnId) -> ConnRow {
        let state = match entry.tunnel.phase() {
            Phase::Open if entry.is_paused() => "paused",
            Phase::Open if entry.tunnel.is_half_closed() => "half_closed",
            Phase::Open => "open",
            Phase::Closing | Phase::Done => "closing",
        };
        let (region, isp) = match self.place(entry) {
            Some(name) => (Arc::clone(&name.region), Arc::clone(&name.isp)),
            None => (UNKNOWN.into(), UNKNOWN.into()),
        };
        ConnRow {
            id,
            domain: entry.domain.name.clone(),
            client: entry.client,
            region,
            isp,
            origin: entry.endpoint.addr,
            tls: entry.secured.each_ref().map(|leg| leg.as_ref().map(|s| s.session.describe())),
            age_ms: self.age_ms(entry),
            idle_ms: self.idle_ms(entry),
            figures: entry.tunnel.figures(),
            state,
            legs: Leg::BOTH.map(|leg| entry.tunnel.leg_row(leg, self.now.tick)),
        }
    }

    fn place(&self, entry: &Entry) -> Option<&SeriesName> {
        self.stats.cores()[self.core].series(entry.series).name()
    }

    fn matches(&self, filter: &Filter, entry: &Entry, id: ConnId) -> bool {
        let Filter { id: wanted, domain, client, origin, region, isp, min_age_ms, min_idle_ms } =
            filter;
        let is_at = |region: Option<&str>, isp: Option<&str>| {
            let place = self.place(entry);
            let of = |wanted: Option<&str>, seen: Option<&Arc<str>>| {
                wanted.is_none_or(|wanted| wanted == seen.map_or(UNKNOWN, |seen| seen))
            };
            of(region, place.map(|place| &place.region)) && of(isp, place.map(|place| &place.isp))
        };
        wanted.is_none_or(|wanted| wanted == id)
            && domain.as_deref().is_none_or(|name| name == &*entry.domain.name)
            && client.is_none_or(|range| range.contains(entry.client.ip()))
            && origin.is_none_or(|origin| origin == entry.endpoint.addr)
            && min_age_ms.is_none_or(|ms| self.age_ms(entry) >= ms)
            && min_idle_ms.is_none_or(|ms| self.idle_ms(entry) >= ms)
            && is_at(region.as_deref(), isp.as_deref())
    }
}
