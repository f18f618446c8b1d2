//! The ledger: statements of closed periods, in tables that are only ever added to.
//!
//! A period is closed when it is over and its statistics can no longer change. Its statements and
//! the mark that it is closed are one transaction under a key that exists once, so closing twice,
//! in two processes, or being killed in between changes nothing. Bytes that turn up later become
//! an adjustment: a further revision of the same statement, with what is new.
//!
//! Hours are metered for every domain and days for all of them together, whatever the plan; only
//! what the plan of that time charges has an amount. Not here: reading it (`statement`).

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension};

use super::calendar::{DAY, Offset};
use super::prices::{Bandwidth, Money, Slice};
use super::quantity::{MonthFigures, Points};
use super::{Billing, BillingError, History, Settings, WebsocketBillType, history};
use crate::control::statistics::{Query, SLOT, Selection, StatisticsError, Step, Store, Wanted};
use crate::limits::{LEDGER_PERIODS_PER_PASS, STATISTICS_SETTLED_AFTER};

pub(super) const TABLES: &str = "
    CREATE TABLE billing_periods (
        kind TEXT NOT NULL,
        start INTEGER NOT NULL,
        until INTEGER NOT NULL,
        closed INTEGER NOT NULL,
        PRIMARY KEY (kind, start)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE billing_hours (
        hour INTEGER NOT NULL,
        domain TEXT NOT NULL,
        revision INTEGER NOT NULL,
        month TEXT NOT NULL,
        method TEXT NOT NULL,
        bytes INTEGER NOT NULL,
        billed INTEGER NOT NULL,
        position INTEGER NOT NULL,
        slices TEXT NOT NULL,
        currency TEXT,
        amount INTEGER,
        closed INTEGER NOT NULL,
        PRIMARY KEY (hour, domain, revision)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX billing_position ON billing_hours (month, method, position);
    CREATE TABLE billing_days (
        day INTEGER NOT NULL,
        revision INTEGER NOT NULL,
        month TEXT NOT NULL,
        method TEXT NOT NULL,
        bytes INTEGER NOT NULL,
        points INTEGER NOT NULL,
        peak_bytes INTEGER NOT NULL,
        peak_at INTEGER NOT NULL,
        overhead INTEGER NOT NULL,
        tier_mbps INTEGER,
        price INTEGER,
        currency TEXT,
        amount INTEGER,
        closed INTEGER NOT NULL,
        PRIMARY KEY (day, revision)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE billing_months (
        start INTEGER NOT NULL,
        revision INTEGER NOT NULL,
        month TEXT NOT NULL,
        bytes INTEGER NOT NULL,
        points INTEGER NOT NULL,
        days INTEGER NOT NULL,
        dropped INTEGER NOT NULL,
        percentile_95 INTEGER NOT NULL,
        mean_daily_peak INTEGER NOT NULL,
        fourth_peak INTEGER NOT NULL,
        mean_daily_95 INTEGER NOT NULL,
        night_half_95 INTEGER NOT NULL,
        closed INTEGER NOT NULL,
        PRIMARY KEY (start, revision)
    ) STRICT, WITHOUT ROWID;
    CREATE TRIGGER billing_plans_stay BEFORE UPDATE ON billing_plans
        BEGIN SELECT raise(ABORT, 'the ledger is only added to'); END;
    CREATE TRIGGER billing_plans_keep BEFORE DELETE ON billing_plans
        BEGIN SELECT raise(ABORT, 'the ledger is only added to'); END;
    CREATE TRIGGER billing_hours_stay BEFORE UPDATE ON billing_hours
        BEGIN SELECT raise(ABORT, 'the ledger is only added to'); END;
    CREATE TRIGGER billing_hours_keep BEFORE DELETE ON billing_hours
        BEGIN SELECT raise(ABORT, 'the ledger is only added to'); END;
    CREATE TRIGGER billing_days_stay BEFORE UPDATE ON billing_days
        BEGIN SELECT raise(ABORT, 'the ledger is only added to'); END;
    CREATE TRIGGER billing_days_keep BEFORE DELETE ON billing_days
        BEGIN SELECT raise(ABORT, 'the ledger is only added to'); END;
    CREATE TRIGGER billing_months_stay BEFORE UPDATE ON billing_months
        BEGIN SELECT raise(ABORT, 'the ledger is only added to'); END;
    CREATE TRIGGER billing_months_keep BEFORE DELETE ON billing_months
        BEGIN SELECT raise(ABORT, 'the ledger is only added to'); END";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Hour,
    Day,
    Month,
}

impl Kind {
    pub const ALL: [Kind; 3] = [Kind::Hour, Kind::Day, Kind::Month];

    fn name(self) -> &'static str {
        match self {
            Kind::Hour => "hour",
            Kind::Day => "day",
            Kind::Month => "month",
        }
    }

    /// Where the period that `start` is in ends.
    fn end(self, start: i64, offset: Offset) -> i64 {
        match self {
            Kind::Hour => offset.hour_start(start) + super::calendar::HOUR,
            Kind::Day => offset.next_day(start),
            Kind::Month => offset.month(start).end(offset),
        }
    }
}

/// `start..until`. The first begins when the service was opened, each other where the one before
/// it ended: there is no gap and no overlap, whatever becomes of the offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period {
    pub kind: Kind,
    pub start: i64,
    pub until: i64,
}

/// What one pass did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pass {
    pub hours: usize,
    pub days: usize,
    pub months: usize,
    /// Statements of before that got a revision.
    pub adjustments: usize,
    /// There is more to do at once.
    pub more: bool,
}

/// Bytes by domain of one period.
type ByDomain = BTreeMap<Arc<str>, u64>;

/// Statements of one state directory. All calls block.
#[derive(Debug, Clone)]
pub struct Ledger {
    pub(super) billing: Billing,
    pub(super) store: Arc<dyn Store>,
}

impl Ledger {
    pub fn new(billing: &Billing, store: Arc<dyn Store>) -> Ledger {
        Ledger { billing: billing.clone(), store }
    }

    /// Closes what is due at `now`, some of it if there is much, and looks for late bytes.
    ///
    /// # Errors
    /// The database or the statistics cannot be used; what was closed is closed.
    pub fn close_due(&self, now: Timestamp) -> Result<Pass, BillingError> {
        let mut pass = Pass::default();
        for kind in Kind::ALL {
            let mut closed = 0;
            while closed < LEDGER_PERIODS_PER_PASS && self.close_next(kind, now.as_second())? {
                closed += 1;
            }
            pass.more |= closed == LEDGER_PERIODS_PER_PASS;
            match kind {
                Kind::Hour => pass.hours = closed,
                Kind::Day => pass.days = closed,
                Kind::Month => pass.months = closed,
            }
        }
        // A disk that was full for weeks is rare: once a day is soon enough for it.
        let look_back = match pass {
            Pass { days: 1.., .. } => 35 * DAY,
            Pass { hours: 1.., .. } => DAY,
            _ => return Ok(pass),
        };
        if !pass.more {
            pass.adjustments = self.adjust(now.as_second() - look_back, now.as_second())?;
        }
        Ok(pass)
    }

    /// Returns whether a period was due.
    fn close_next(&self, kind: Kind, now: i64) -> Result<bool, BillingError> {
        let settings = self.billing.settings();
        let offset = settings.utc_offset;
        let next = self.billing.database.read(|reader| next_period(reader, kind, offset))?;
        let settled = STATISTICS_SETTLED_AFTER.as_secs() as i64;
        let Some(period) = next.filter(|period| period.until + settled <= now) else {
            return Ok(false);
        };
        let counted = self.counted(period)?;
        self.billing.database.write(|work| {
            // Another process may have been here since.
            if next_period(work, kind, offset)? != Some(period) {
                return Ok(());
            }
            let terms = Terms { settings: &settings, plans: history(work)?, now };
            let mark = "INSERT INTO billing_periods VALUES (?1, ?2, ?3, ?4)";
            work.execute(mark, (kind.name(), period.start, period.until, now))?;
            match (kind, &counted) {
                (_, Counted::ByDomain(counted)) => {
                    state_hour(work, &terms, period, counted, 0).map(drop)
                }
                (Kind::Month, Counted::Points(points)) => state_month(work, &terms, period, points),
                (_, Counted::Points(points)) => state_day(work, &terms, period, points),
            }
        })?;
        Ok(true)
    }

    fn counted(&self, period: Period) -> Result<Counted, StatisticsError> {
        let Period { kind, start, until } = period;
        Ok(match kind {
            Kind::Hour => {
                let mut by_domain = ByDomain::new();
                for (domain, _, bytes) in self.store.bytes_by_domain(start, until)? {
                    *by_domain.entry(domain).or_default() += bytes;
                }
                Counted::ByDomain(by_domain)
            }
            Kind::Day | Kind::Month => Counted::Points(self.points(None, start, until)?),
        })
    }

    /// Points of one domain, or of all together.
    pub(super) fn points(
        &self,
        domain: Option<&str>,
        start: i64,
        end: i64,
    ) -> Result<Points, StatisticsError> {
        let mut points = Points::new(start, end);
        let selection = Selection {
            domains: domain.into_iter().map(Arc::from).collect(),
            ..Selection::default()
        };
        let (step, wanted) = (Step::FiveMinutes, Wanted::Traffic);
        let query = Query { selection, start, end, step, wanted };
        for slot in self.store.query(&query)? {
            points.add(slot.start, slot.measures.bytes_out);
        }
        Ok(points)
    }

    /// States what was counted for closed periods since `since` and is not in their statements yet.
    /// Returns the number of statements that got a revision.
    ///
    /// # Errors
    /// As of [`Ledger::close_due`].
    pub fn adjust(&self, since: i64, now: i64) -> Result<usize, BillingError> {
        let settings = self.billing.settings();
        let mut revised = 0;
        let closed = |kind| self.billing.database.read(|reader| closed_since(reader, kind, since));
        for day in by_day(closed(Kind::Hour)?) {
            revised += self.adjust_hours(&settings, &day, now)?;
        }
        for period in closed(Kind::Day)?.into_iter().chain(closed(Kind::Month)?) {
            let points = self.points(None, period.start, period.until)?;
            revised += self.billing.database.write(|work| {
                // Statistics that are no longer kept take nothing back.
                if points.total() <= stated_bytes(work, period)? {
                    return Ok(0);
                }
                let terms = Terms { settings: &settings, plans: history(work)?, now };
                match period.kind {
                    Kind::Month => state_month(work, &terms, period, &points)?,
                    Kind::Hour | Kind::Day => state_day(work, &terms, period, &points)?,
                }
                Ok::<_, BillingError>(1)
            })?;
        }
        Ok(revised)
    }

    /// Hours of about a day: domain by domain, so that only sums are in memory.
    fn adjust_hours(
        &self,
        settings: &Settings,
        hours: &[Period],
        now: i64,
    ) -> Result<usize, BillingError> {
        let (Some(first), Some(last)) = (hours.first(), hours.last()) else { return Ok(0) };
        let mut counted = vec![ByDomain::new(); hours.len()];
        let [domains, ..] = self.store.names()?;
        for domain in domains {
            let points = self.points(Some(&domain), first.start, last.until)?;
            for (hour, counted) in hours.iter().zip(&mut counted) {
                let bytes = points.total_of(hour.start, hour.until);
                if bytes > 0 {
                    counted.insert(Arc::clone(&domain), bytes);
                }
            }
        }
        self.billing.database.write(|work| {
            let terms = Terms { settings, plans: history(work)?, now };
            let states = hours.iter().zip(&counted);
            states.map(|(hour, counted)| state_hour(work, &terms, *hour, counted, 1)).sum()
        })
    }
}

/// What the statistics say of one period.
enum Counted {
    ByDomain(ByDomain),
    Points(Points),
}

/// What a statement is made under.
struct Terms<'a> {
    settings: &'a Settings,
    plans: History,
    now: i64,
}

impl Terms<'_> {
    /// The method that charges a period: a plan takes effect between two of them. `None`: billing
    /// is off, and what is closed meanwhile is only metered.
    fn method(&self, period: Period) -> Option<WebsocketBillType> {
        let at = Timestamp::from_second(period.until - 1).unwrap_or(Timestamp::MAX);
        let current = self.plans.at(at).current.filter(|_| self.settings.enabled);
        current.map(|plan| plan.websocket)
    }

    fn month(&self, period: Period) -> String {
        self.settings.utc_offset.month(period.start).to_string()
    }

    fn currency(&self) -> Option<&str> {
        self.settings.prices.as_ref().map(|prices| prices.currency.as_str())
    }
}

/// States an hour, or what of it is not in its statements yet. Domains in the order of their names
/// take their places in the month. Revision 0 is of the closing: adjustments begin at
/// `first_revision` 1. Returns the number of statements.
fn state_hour(
    work: &Connection,
    terms: &Terms<'_>,
    period: Period,
    counted: &ByDomain,
    first_revision: i64,
) -> Result<usize, BillingError> {
    let (month, method) = (terms.month(period), terms.method(period));
    let mut position = month_position(work, &month, method)?;
    let stated = "SELECT coalesce(sum(bytes), 0), count(*) FROM billing_hours \
                  WHERE hour = ?1 AND domain = ?2";
    let mut stated = work.prepare_cached(stated)?;
    let insert = "INSERT INTO billing_hours VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, \
                  ?12)";
    let mut insert = work.prepare_cached(insert)?;
    let mut made = 0;
    for (domain, bytes) in counted {
        let found = stated.query_row((period.start, &**domain), |row| {
            Ok((row.get::<_, i64>(0)? as u64, row.get::<_, i64>(1)?))
        })?;
        let (before, revision) = found;
        // Fewer: statistics that are no longer kept, or read before another process wrote.
        let Some(bytes) = bytes.checked_sub(before).filter(|more| *more > 0) else { continue };
        let billed = terms.settings.overhead.of(bytes);
        let charge = Charge::of(terms.settings, method, position, billed);
        let slices = serde_json::to_string(&charge.slices).unwrap_or_default();
        let amount = charge.amount.map(|money| money.0);
        insert.execute(rusqlite::params![
            period.start,
            &**domain,
            revision.max(first_revision),
            month,
            method_name(method),
            bytes as i64,
            billed as i64,
            position as i64,
            slices,
            amount.and(terms.currency()),
            amount,
            terms.now
        ])?;
        position += billed;
        made += 1;
    }
    Ok(made)
}

/// As the tables have it.
fn method_name(method: Option<WebsocketBillType>) -> &'static str {
    method.map_or("none", WebsocketBillType::name)
}

/// What bytes at a place in the month cost.
pub(super) struct Charge {
    pub slices: Vec<Slice>,
    pub amount: Option<Money>,
}

impl Charge {
    pub fn of(
        settings: &Settings,
        method: Option<WebsocketBillType>,
        position: u64,
        billed: u64,
    ) -> Charge {
        let tiers = settings.prices.as_ref().and_then(|prices| prices.traffic.as_ref());
        match (method, tiers) {
            (Some(WebsocketBillType::WebsocketTraffic), Some(tiers)) => Charge {
                slices: tiers.slices(position, billed).map(Slice::from).collect(),
                amount: Some(tiers.progressive(position + billed) - tiers.progressive(position)),
            },
            _ => Charge { slices: Vec::new(), amount: None },
        }
    }
}

/// Billed bytes of the month so far. Every statement has some, so the last place is the highest.
fn month_position(
    reader: &Connection,
    month: &str,
    method: Option<WebsocketBillType>,
) -> rusqlite::Result<u64> {
    let last = "SELECT position + billed FROM billing_hours WHERE month = ?1 AND method = ?2 \
                ORDER BY position DESC LIMIT 1";
    let mut last = reader.prepare_cached(last)?;
    let found =
        last.query_row((month, method_name(method)), |row| row.get::<_, i64>(0)).optional()?;
    Ok(found.unwrap_or(0) as u64)
}

/// States a day: its first statement has the whole amount, a revision the difference.
fn state_day(
    work: &Connection,
    terms: &Terms<'_>,
    period: Period,
    points: &Points,
) -> Result<(), BillingError> {
    let before = "SELECT count(*), coalesce(sum(amount), 0) FROM billing_days WHERE day = ?1";
    let (revision, stated): (i64, i64) =
        work.query_row(before, [period.start], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let (peak, method) = (points.peak(), terms.method(period));
    let overhead = terms.settings.overhead;
    let tiers = terms.settings.prices.as_ref().and_then(|prices| prices.daily_peak.as_ref());
    let charged = tiers.filter(|_| method == Some(WebsocketBillType::WebsocketBps));
    let charged =
        charged.map(|tiers| tiers.reached(Bandwidth::mean(peak.bytes.into(), 1, overhead)));
    work.execute(
        "INSERT INTO billing_days VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, \
         ?14)",
        rusqlite::params![
            period.start,
            revision,
            terms.month(period),
            method_name(method),
            points.total() as i64,
            points.len() as i64,
            peak.bytes as i64,
            peak.at,
            overhead.thousandths(),
            charged.map(|(tier, _)| tier.from as i64),
            charged.map(|(tier, _)| tier.price.0),
            charged.and(terms.currency()),
            charged.map(|(_, amount)| amount.0 - stated),
            terms.now
        ],
    )?;
    Ok(())
}

/// States what methods by the month would charge; WebSocket itself has none of them.
fn state_month(
    work: &Connection,
    terms: &Terms<'_>,
    period: Period,
    points: &Points,
) -> Result<(), BillingError> {
    let before = "SELECT count(*) FROM billing_months WHERE start = ?1";
    let revision: i64 = work.query_row(before, [period.start], |row| row.get(0))?;
    let figures = MonthFigures::of(points, terms.settings.utc_offset);
    let mean = |sum: u128| (sum / u128::from(figures.days.max(1))) as i64;
    work.execute(
        "INSERT INTO billing_months VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, \
         ?13)",
        rusqlite::params![
            period.start,
            revision,
            terms.month(period),
            points.total() as i64,
            figures.points as i64,
            figures.days as i64,
            figures.percentile_95.dropped as i64,
            figures.percentile_95.bytes as i64,
            mean(figures.daily_peaks),
            figures.fourth_peak as i64,
            mean(figures.daily_percentiles),
            (figures.night_half_95.bytes / 2) as i64,
            terms.now
        ],
    )?;
    Ok(())
}

/// Bytes in the last revision of a statement.
fn stated_bytes(reader: &Connection, period: Period) -> rusqlite::Result<u64> {
    let last = match period.kind {
        Kind::Month => {
            "SELECT bytes FROM billing_months WHERE start = ?1 ORDER BY revision DESC LIMIT 1"
        }
        _ => "SELECT bytes FROM billing_days WHERE day = ?1 ORDER BY revision DESC LIMIT 1",
    };
    let bytes = reader.query_row(last, [period.start], |row| row.get::<_, i64>(0)).optional()?;
    Ok(bytes.unwrap_or(0) as u64)
}

/// The first period that is not closed; `None` before the service was opened.
fn next_period(
    reader: &Connection,
    kind: Kind,
    offset: Offset,
) -> rusqlite::Result<Option<Period>> {
    let start = match closed_until(reader, kind)? {
        Some(until) => Some(until),
        None => first_slot(reader)?,
    };
    Ok(start.map(|start| Period { kind, start, until: kind.end(start, offset) }))
}

/// The slot in which the service was opened.
pub(super) fn first_slot(reader: &Connection) -> rusqlite::Result<Option<i64>> {
    let opened = history(reader)?.opened();
    Ok(opened.map(|opened| opened.as_second().div_euclid(SLOT) * SLOT))
}

pub(super) fn closed_until(reader: &Connection, kind: Kind) -> rusqlite::Result<Option<i64>> {
    let last = "SELECT until FROM billing_periods WHERE kind = ?1 ORDER BY start DESC LIMIT 1";
    reader.prepare_cached(last)?.query_row([kind.name()], |row| row.get(0)).optional()
}

/// Closed periods that end after `since`.
fn closed_since(reader: &Connection, kind: Kind, since: i64) -> rusqlite::Result<Vec<Period>> {
    let all =
        "SELECT start, until FROM billing_periods WHERE kind = ?1 AND until > ?2 ORDER BY start";
    let mut all = reader.prepare_cached(all)?;
    let rows = all.query_map((kind.name(), since), |row| {
        Ok(Period { kind, start: row.get(0)?, until: row.get(1)? })
    })?;
    rows.collect()
}

/// Hours in groups of a day at most.
fn by_day(hours: Vec<Period>) -> Vec<Vec<Period>> {
    let mut days: Vec<Vec<Period>> = Vec::new();
    for hour in hours {
        match days.last_mut() {
            Some(day) if hour.until - day[0].start <= DAY => day.push(hour),
            _ => days.push(vec![hour]),
        }
    }
    days
}

#[cfg(test)]
mod tests;
