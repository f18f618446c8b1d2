//! Orders of the control plane: list, close at a pace, drain. Not here: how they reach the core
//! (`worker::mailbox`).

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::{State, interval_ticks};
use crate::limits::{CLOSE_BOUNDARY_WAIT, CLOSE_WAIT, CLOSES_PER_TICK_MAX};
use crate::snapshot::command::Reply;
use crate::snapshot::geo::UNKNOWN;
use crate::snapshot::{Command, ConnRow, Filter, Snapshot};
use crate::stats::{Cause, ConnId, Side};
use crate::tunnel::{CloseOrder, Phase, TICK_MS};
use crate::worker::table::{Entry, Life};

/// What is being carried out over several ticks.
#[derive(Default)]
pub(super) struct Orders {
    paced: VecDeque<Paced>,
    drain: Option<Drain>,
}

/// Tunnels to close, a few per tick.
struct Paced {
    ids: VecDeque<ConnId>,
    order: CloseOrder,
    /// Thousandths of a close that one tick allows, and those saved up.
    per_tick: u64,
    saved: u64,
}

struct Drain {
    order: CloseOrder,
    /// Tick at which the last tunnel is told to go, and at which nobody is waited for any more.
    last: u32,
    over: u32,
    reply: Option<Reply<()>>,
}

impl State {
    pub(super) fn command(&mut self, command: Command, snapshot: &Snapshot) {
        match command {
            Command::List { filter, limit, reply } => reply(self.list(&filter, limit)),
            Command::Close { filter, cause, code, reason, per_second, reply } => {
                let order = CloseOrder::both(Side::Edge, cause, code, &reason);
                let ids = self.matching(|entry, id| matches(&filter, entry, id));
                reply(ids.len());
                self.close_paced(ids, order, per_second);
            }
            Command::SnapshotChanged => {
                let order = CloseOrder::going_away(Cause::DomainRemoved, "domain was removed");
                let ids = self.matching(|entry, _| !snapshot.hosts.contains(&entry.domain.name));
                self.close_paced(ids, order, None);
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
            while order.saved >= 1000 {
                let Some(id) = order.ids.pop_front() else { break };
                order.saved -= 1000;
                self.close_one(id.key(), Some(id), &order.order);
            }
        }
        paced.retain(|order| !order.ids.is_empty());
        self.orders.paced = paced;
        self.carry_out_drain();
    }

    fn close_paced(&mut self, ids: Vec<ConnId>, order: CloseOrder, per_second: Option<u32>) {
        if ids.is_empty() {
            return;
        }
        let per_tick = match per_second {
            Some(rate) => u64::from(rate.max(1)) * TICK_MS,
            None => CLOSES_PER_TICK_MAX as u64 * 1000,
        };
        self.orders.paced.push_back(Paced { ids: ids.into(), order, per_tick, saved: 1000 });
        self.carry_out_orders();
    }

    fn close_one(&mut self, key: u32, id: Option<ConnId>, order: &CloseOrder) {
        let (now, core) = (self.now, self.core as u32);
        let Some(entry) = self.table.entry(key) else { return };
        let same = id.is_none_or(|id| id == ConnId::new(core, entry.generation, key));
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
        self.orders.drain = Some(Drain { order, last, over, reply: Some(reply) });
        self.carry_out_drain();
    }

    fn carry_out_drain(&mut self) {
        let now = self.now.tick;
        let Some(drain) = &self.orders.drain else { return };
        let left = drain.last.wrapping_sub(now);
        let left = if left > 1 << 31 { 0 } else { left };
        let over = now.wrapping_sub(drain.over) < 1 << 31;
        let order = drain.order.clone();
        let open: Vec<u32> = self
            .table
            .iter()
            .filter(|(_, e)| e.life == Life::Open && (over || e.tunnel.phase() == Phase::Open))
            .map(|(key, _)| key)
            .collect();
        let share = open.len().div_ceil(left as usize + 1);
        for key in open.into_iter().take(share) {
            self.close_one(key, None, &order);
            if over {
                self.end(key);
            }
        }
        if (self.table.is_empty() || over)
            && let Some(reply) = self.orders.drain.as_mut().and_then(|drain| drain.reply.take())
        {
            reply(());
        }
    }

    fn matching(&self, wanted: impl Fn(&Entry, ConnId) -> bool) -> Vec<ConnId> {
        let open = self.table.iter().filter(|(_, entry)| entry.life == Life::Open);
        open.map(|(key, entry)| (entry, ConnId::new(self.core as u32, entry.generation, key)))
            .filter(|(entry, id)| wanted(entry, *id))
            .map(|(_, id)| id)
            .collect()
    }

    fn list(&self, filter: &Filter, limit: usize) -> (Vec<ConnRow>, bool) {
        let ids = self.matching(|entry, id| matches(filter, entry, id));
        let more = ids.len() > limit;
        let shown = self.table.iter().filter_map(|(key, entry)| {
            let id = ConnId::new(self.core as u32, entry.generation, key);
            (entry.life == Life::Open && matches(filter, entry, id)).then(|| self.row(entry, id))
        });
        (shown.take(limit).collect(), more)
    }

    fn row(&self, entry: &Entry, id: ConnId) -> ConnRow {
        let age = |since: u32| u64::from(self.now.tick.wrapping_sub(since)) * TICK_MS;
        let state = match entry.tunnel.phase() {
            Phase::Open if entry.is_paused() => "paused",
            Phase::Open if entry.tunnel.is_half_closed() => "half_closed",
            Phase::Open => "open",
            Phase::Closing | Phase::Done => "closing",
        };
        let (region, isp) = match self.stats.cores()[self.core].series(entry.series).name() {
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
            age_ms: age(entry.tunnel.opened()),
            idle_ms: age(entry.tunnel.last_received()),
            figures: entry.tunnel.figures(),
            state,
        }
    }
}

fn matches(filter: &Filter, entry: &Entry, id: ConnId) -> bool {
    let Filter { id: wanted, domain, client_ip, origin } = filter;
    wanted.is_none_or(|wanted| wanted == id)
        && domain.as_deref().is_none_or(|name| name == &*entry.domain.name)
        && client_ip.is_none_or(|ip| ip.to_canonical() == entry.client.ip().to_canonical())
        && origin.is_none_or(|origin| origin == entry.endpoint.addr)
}
