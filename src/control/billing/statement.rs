//! The statement of a month: what each domain used on each day and what it costs, and what the
//! month would cost by every other method.
//!
//! Bytes are those of the statistics, to the byte, for as long as these are kept; then of the
//! ledger. Amounts are those of the ledger. What is not in it yet is shown as such. Not here:
//! making statements (`ledger`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use rusqlite::Connection;
use serde::Serialize;

use super::calendar::{Month, Offset, rfc3339};
use super::ledger::{Charge, Kind, Ledger, closed_until, first_slot};
use super::prices::{Bandwidth, Money, Prices, Slice, Tiers};
use super::quantity::{MonthFigures, Points};
use super::{BillingError, ChargeType, History, Plan, Settings, WebsocketBillType, history};
use crate::control::statistics::{Query, SLOT, Selection, Step, Wanted};
use crate::limits::STATEMENT_LINES_MAX;

/// One month. Amounts are decimal texts with six places; absent without prices.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Statement {
    /// Such as `2026-11`.
    pub month: String,
    pub utc_offset: String,
    /// RFC 3339, UTC; half open.
    pub from: String,
    pub to: String,
    pub as_of: String,
    /// Only this domain.
    pub domain: Option<String>,
    /// Until when hours are closed.
    pub closed_until: Option<String>,
    pub currency: Option<String>,
    /// Factor on bytes that makes billed bytes of them.
    pub overhead: String,
    pub plans: Vec<PlanOfMonth>,
    /// By day and domain.
    pub lines: Vec<Line>,
    pub days: Vec<DayLine>,
    pub totals: Totals,
    pub what_if: Vec<WhatIf>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct PlanOfMonth {
    pub charge: ChargeType,
    pub websocket: WebsocketBillType,
    pub from: String,
    pub to: String,
}

/// What one domain used on one day.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Line {
    pub day: String,
    pub domain: String,
    pub bytes: u64,
    /// With overhead; of what is in the ledger.
    pub billed_bytes: u64,
    /// Part of `bytes` that is in no statement yet.
    pub open_bytes: u64,
    /// Part of `bytes` that came after its hour was closed.
    pub adjusted_bytes: u64,
    /// Of the hours that are closed; absent where traffic is not what the plan charges.
    pub amount: Option<Money>,
}

/// Bandwidth of one day, of all domains together.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct DayLine {
    pub day: String,
    /// Points of five minutes, zeros included.
    pub points: u64,
    /// With overhead, and when it was.
    pub peak_bps: f64,
    pub peak_at: String,
    pub closed: bool,
    /// Where the tier begins that the peak reached, and its price per Mbps.
    pub tier_from_mbps: Option<u64>,
    pub price: Option<Money>,
    /// Absent where the peak is not what the plan charges.
    pub amount: Option<Money>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Totals {
    pub bytes: u64,
    pub billed_bytes: u64,
    pub open_bytes: u64,
    pub adjusted_bytes: u64,
    /// Of traffic and of daily peaks.
    pub amount: Option<Money>,
}

/// The month so far by one method.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct WhatIf {
    /// As WebsocketBillType, or as ChargeType for those by the month.
    pub method: &'static str,
    pub billed_bytes: Option<u64>,
    /// With overhead; for daily peaks, the largest of them.
    pub bps: Option<f64>,
    /// Largest points that do not count.
    pub dropped_points: Option<u64>,
    /// Days that are charged, of those of the month.
    pub days: u64,
    pub days_of_month: u64,
    pub slices: Vec<Slice>,
    pub amount: Option<Money>,
}

/// A plan and the time of a range in which it is in effect; half open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlanSpan {
    pub plan: Plan,
    pub start: i64,
    pub end: i64,
}

/// One closed statement over all domains, adjustments included: of an hour by traffic, of a day by
/// its peak.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bill {
    pub start: i64,
    pub end: i64,
    pub method: WebsocketBillType,
    pub bytes: u64,
    pub peak_bps: Option<f64>,
    pub peak_at: Option<i64>,
    pub amount: Option<Money>,
}

impl Ledger {
    /// The statement of `month`, of all domains or of one. The what-ifs of one domain are as if it
    /// were alone.
    ///
    /// # Errors
    /// The database or the statistics cannot be read, or it has too many lines.
    pub fn statement(
        &self,
        month: Month,
        domain: Option<&str>,
        now: Timestamp,
        what_if: bool,
    ) -> Result<Statement, BillingError> {
        let settings = self.billing.settings();
        let offset = settings.utc_offset;
        let (start, end) = (month.start(offset), month.end(offset));
        let now = now.as_second();
        let wanted = |name: &str| domain.is_none_or(|domain| domain == name);
        let stated = self.billing.database.read(|reader| {
            Ok::<_, BillingError>(Stated {
                lines: stated_lines(reader, month, offset, &wanted)?,
                days: if domain.is_none() { stated_days(reader, month, offset)? } else { vec![] },
                closed_until: closed_until(reader, Kind::Hour)?,
                first: first_slot(reader)?,
                plans: history(reader)?,
            })
        })?;
        // The slot that is under way is no point yet.
        let until = end.min(now.div_euclid(SLOT) * SLOT).max(start);
        let first = stated.first.filter(|_| settings.enabled).unwrap_or(start).clamp(start, until);
        let points = self.points(domain, first, until)?;
        let lines = self.lines(domain, (start, end), stated.lines)?;
        let days = days(&points, stated.days, &settings);
        let totals = totals(&lines, &days);
        let plans = spans(&stated.plans, start, end).into_iter().map(PlanOfMonth::from).collect();
        let what_if = what_if.then(|| what_ifs(&points, totals.bytes, month, &settings));
        Ok(Statement {
            month: month.to_string(),
            utc_offset: offset.to_string(),
            from: rfc3339(start),
            to: rfc3339(end),
            as_of: rfc3339(now),
            domain: domain.map(str::to_owned),
            closed_until: stated.closed_until.map(rfc3339),
            currency: settings.prices.as_ref().map(|prices| prices.currency.clone()),
            overhead: settings.overhead.to_string(),
            plans,
            lines,
            days,
            totals,
            what_if: what_if.unwrap_or_default(),
        })
    }

    /// Joins what was used and what is stated; the larger of the two is what there was.
    fn lines(
        &self,
        domain: Option<&str>,
        (start, end): (i64, i64),
        mut stated: BTreeMap<(String, String), Line>,
    ) -> Result<Vec<Line>, BillingError> {
        let offset = self.billing.settings().utc_offset;
        let step = Step::Day { offset: offset.seconds() };
        let domains = match domain {
            Some(domain) => vec![Arc::from(domain)],
            None => self.store.names()?[0].clone(),
        };
        for domain in domains {
            let selection = Selection { domains: vec![domain.clone()], ..Selection::default() };
            let query = Query { selection, start, end, step, wanted: Wanted::Traffic };
            for day in self.store.query(&query)? {
                let key = (offset.date(day.start).to_string(), domain.to_string());
                let bytes = day.measures.bytes_out;
                if bytes > 0 {
                    let line = stated.entry(key).or_default();
                    line.open_bytes = bytes.saturating_sub(line.bytes);
                    line.bytes += line.open_bytes;
                }
            }
            if stated.len() > STATEMENT_LINES_MAX {
                return Err(BillingError::Refused(format!(
                    "the statement has more than {STATEMENT_LINES_MAX} lines; ask for one domain \
                     at a time"
                )));
            }
        }
        let named = |((day, domain), line)| Line { day, domain, ..line };
        Ok(stated.into_iter().map(named).collect())
    }

    /// Which plan was or will be in effect when, in `start..end` (seconds since the Unix epoch).
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn spans(&self, start: i64, end: i64) -> Result<Vec<PlanSpan>, BillingError> {
        self.billing.database.read(|reader| Ok(spans(&history(reader)?, start, end)))
    }

    /// Closed statements of periods that begin in `start..end`, the oldest first; as many as a
    /// month has hours.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn bills(&self, start: i64, end: i64) -> Result<Vec<Bill>, BillingError> {
        self.billing.database.read(|reader| {
            let mut bills = hour_bills(reader, start, end)?;
            bills.extend(day_bills(reader, start, end)?);
            bills.sort_by_key(|bill| bill.start);
            bills.truncate(BILLS_MAX);
            Ok(bills)
        })
    }
}

/// Hours of the longest month.
const BILLS_MAX: usize = 31 * 24;

/// What the ledger has of a month.
struct Stated {
    lines: BTreeMap<(String, String), Line>,
    days: Vec<StatedDay>,
    closed_until: Option<i64>,
    first: Option<i64>,
    plans: History,
}

struct StatedDay {
    start: i64,
    line: DayLine,
}

fn stated_lines(
    reader: &Connection,
    month: Month,
    offset: Offset,
    wanted: &dyn Fn(&str) -> bool,
) -> rusqlite::Result<BTreeMap<(String, String), Line>> {
    let all = "SELECT hour, domain, bytes, billed, revision, amount FROM billing_hours \
               WHERE month = ?1";
    let mut all = reader.prepare_cached(all)?;
    let mut rows = all.query([month.to_string()])?;
    let mut lines: BTreeMap<(String, String), Line> = BTreeMap::new();
    while let Some(row) = rows.next()? {
        let domain: String = row.get(1)?;
        if !wanted(&domain) {
            continue;
        }
        let day = offset.date(row.get(0)?).to_string();
        let line = lines.entry((day, domain)).or_default();
        let (bytes, billed): (i64, i64) = (row.get(2)?, row.get(3)?);
        line.bytes += bytes as u64;
        line.billed_bytes += billed as u64;
        if row.get::<_, i64>(4)? > 0 {
            line.adjusted_bytes += bytes as u64;
        }
        line.amount = added(line.amount, row.get::<_, Option<i64>>(5)?.map(Money));
    }
    Ok(lines)
}

fn stated_days(
    reader: &Connection,
    month: Month,
    offset: Offset,
) -> rusqlite::Result<Vec<StatedDay>> {
    // With max(revision), SQLite takes the bare columns from the row that has it.
    let all = "SELECT day, points, peak_bytes, peak_at, overhead, tier_mbps, price, sum(amount), \
               max(revision) FROM billing_days WHERE month = ?1 GROUP BY day ORDER BY day";
    let mut all = reader.prepare_cached(all)?;
    let rows = all.query_map([month.to_string()], |row| {
        let start: i64 = row.get(0)?;
        let (points, peak): (i64, i64) = (row.get(1)?, row.get(2)?);
        let overhead =
            super::Overhead::from_thousandths(row.get(4)?).unwrap_or(super::Overhead::NONE);
        let line = DayLine {
            day: offset.date(start).to_string(),
            points: points as u64,
            peak_bps: Bandwidth::mean(peak as u128, 1, overhead).bps(),
            peak_at: rfc3339(row.get(3)?),
            closed: true,
            tier_from_mbps: row.get::<_, Option<i64>>(5)?.map(|from| from as u64),
            price: row.get::<_, Option<i64>>(6)?.map(Money),
            amount: row.get::<_, Option<i64>>(7)?.map(Money),
        };
        Ok(StatedDay { start, line })
    })?;
    rows.collect()
}

/// Days that are closed, and those that are not yet.
fn days(points: &Points, stated: Vec<StatedDay>, settings: &Settings) -> Vec<DayLine> {
    let closed: BTreeSet<String> = stated.iter().map(|day| day.line.day.clone()).collect();
    let mut days = stated;
    for day in points.days(settings.utc_offset) {
        let name = settings.utc_offset.date(day.start()).to_string();
        if closed.contains(&name) {
            continue;
        }
        let peak = day.peak();
        let line = DayLine {
            day: name,
            points: day.len() as u64,
            peak_bps: Bandwidth::mean(peak.bytes.into(), 1, settings.overhead).bps(),
            peak_at: rfc3339(peak.at),
            closed: false,
            tier_from_mbps: None,
            price: None,
            amount: None,
        };
        days.push(StatedDay { start: day.start(), line });
    }
    days.sort_by_key(|day| day.start);
    days.into_iter().map(|day| day.line).collect()
}

fn totals(lines: &[Line], days: &[DayLine]) -> Totals {
    let mut totals = Totals::default();
    for line in lines {
        totals.bytes += line.bytes;
        totals.billed_bytes += line.billed_bytes;
        totals.open_bytes += line.open_bytes;
        totals.adjusted_bytes += line.adjusted_bytes;
        totals.amount = added(totals.amount, line.amount);
    }
    for day in days {
        totals.amount = added(totals.amount, day.amount);
    }
    totals
}

fn added(sum: Option<Money>, more: Option<Money>) -> Option<Money> {
    match (sum, more) {
        (Some(sum), Some(more)) => Some([sum, more].into_iter().sum()),
        (sum, more) => sum.or(more),
    }
}

/// The month so far, by every method.
fn what_ifs(points: &Points, bytes: u64, month: Month, settings: &Settings) -> Vec<WhatIf> {
    let figures = MonthFigures::of(points, settings.utc_offset);
    let prices = settings.prices.as_deref();
    let days_of_month = month.days() as u64;
    let of = |method| WhatIf {
        method,
        billed_bytes: None,
        bps: None,
        dropped_points: None,
        days: figures.days,
        days_of_month,
        slices: Vec::new(),
        amount: None,
    };
    let billed = settings.overhead.of(bytes);
    let Charge { slices, amount } =
        Charge::of(settings, Some(WebsocketBillType::WebsocketTraffic), 0, billed);
    let traffic = WhatIf {
        billed_bytes: Some(billed),
        slices,
        amount,
        ..of(WebsocketBillType::WebsocketTraffic.name())
    };
    let bandwidth = |bytes, n| Bandwidth::mean(bytes, n, settings.overhead);
    let daily = prices.and_then(|prices| prices.daily_peak.as_ref());
    let price_of =
        |day: &Points, tiers: &Tiers| tiers.reached(bandwidth(day.peak().bytes.into(), 1)).1;
    let days = points.days(settings.utc_offset);
    let peaks = WhatIf {
        bps: Some(bandwidth(points.peak().bytes.into(), 1).bps()),
        amount: daily.map(|tiers| days.iter().map(|day| price_of(day, tiers)).sum()),
        ..of(WebsocketBillType::WebsocketBps.name())
    };
    let by_month = |charge: ChargeType, quantity: Bandwidth, dropped: Option<usize>| {
        let tiers = prices.and_then(|prices| month_tiers(prices, charge));
        let amount = tiers.map(|t| t.reached_in(quantity, figures.days, days_of_month).1);
        let dropped_points = dropped.map(|n| n as u64);
        WhatIf { bps: Some(quantity.bps()), dropped_points, amount, ..of(charge.name()) }
    };
    let (p95, night) = (figures.percentile_95, figures.night_half_95);
    use ChargeType::{MonthAverage, MonthDay95Average, MonthFourth, NightHalf95, PayByBandwidth95};
    vec![
        traffic,
        peaks,
        by_month(PayByBandwidth95, bandwidth(p95.bytes.into(), 1), Some(p95.dropped)),
        by_month(MonthAverage, bandwidth(figures.daily_peaks, figures.days), None),
        by_month(MonthFourth, bandwidth(figures.fourth_peak.into(), 1), None),
        by_month(MonthDay95Average, bandwidth(figures.daily_percentiles, figures.days), None),
        by_month(NightHalf95, bandwidth(night.bytes.into(), 2), Some(night.dropped)),
    ]
}

fn month_tiers(prices: &Prices, charge: ChargeType) -> Option<&Tiers> {
    match charge {
        ChargeType::PayByTraffic => prices.traffic.as_ref(),
        ChargeType::PayByBandwidth => prices.daily_peak.as_ref(),
        ChargeType::PayByBandwidth95 => prices.month_95.as_ref(),
        ChargeType::MonthAverage => prices.month_average.as_ref(),
        ChargeType::MonthFourth => prices.month_fourth.as_ref(),
        ChargeType::MonthDay95Average => prices.month_day_95.as_ref(),
        ChargeType::NightHalf95 => prices.month_night_half_95.as_ref(),
    }
}

fn spans(plans: &History, start: i64, end: i64) -> Vec<PlanSpan> {
    let ends = plans.0.iter().skip(1).map(|next| next.effective_from.as_second());
    let whole = plans.0.iter().zip(ends.chain([i64::MAX])).map(|(plan, until)| PlanSpan {
        plan: *plan,
        start: plan.effective_from.as_second().max(start),
        end: until.min(end),
    });
    whole.filter(|span| span.start < span.end).collect()
}

impl From<PlanSpan> for PlanOfMonth {
    fn from(PlanSpan { plan, start, end }: PlanSpan) -> PlanOfMonth {
        let Plan { charge, websocket, .. } = plan;
        PlanOfMonth { charge, websocket, from: rfc3339(start), to: rfc3339(end) }
    }
}

fn hour_bills(reader: &Connection, start: i64, end: i64) -> rusqlite::Result<Vec<Bill>> {
    let all = "SELECT p.start, p.until, sum(h.bytes), sum(h.amount) FROM billing_periods p \
               JOIN billing_hours h ON h.hour = p.start \
               WHERE p.kind = 'hour' AND p.start >= ?1 AND p.start < ?2 AND h.method = ?3 \
               GROUP BY p.start ORDER BY p.start LIMIT ?4";
    let method = WebsocketBillType::WebsocketTraffic;
    let mut all = reader.prepare_cached(all)?;
    let rows = all.query_map((start, end, method.name(), BILLS_MAX as i64), |row| {
        Ok(Bill {
            start: row.get(0)?,
            end: row.get(1)?,
            method,
            bytes: row.get::<_, i64>(2)? as u64,
            peak_bps: None,
            peak_at: None,
            amount: row.get::<_, Option<i64>>(3)?.map(Money),
        })
    })?;
    rows.collect()
}

fn day_bills(reader: &Connection, start: i64, end: i64) -> rusqlite::Result<Vec<Bill>> {
    let all = "SELECT p.start, p.until, d.bytes, d.peak_bytes, d.peak_at, d.overhead, \
               sum(d.amount), max(d.revision) FROM billing_periods p \
               JOIN billing_days d ON d.day = p.start \
               WHERE p.kind = 'day' AND p.start >= ?1 AND p.start < ?2 AND d.method = ?3 \
               GROUP BY p.start ORDER BY p.start LIMIT ?4";
    let method = WebsocketBillType::WebsocketBps;
    let mut all = reader.prepare_cached(all)?;
    let rows = all.query_map((start, end, method.name(), BILLS_MAX as i64), |row| {
        let (bytes, peak): (i64, i64) = (row.get(2)?, row.get(3)?);
        let overhead = super::Overhead::from_thousandths(row.get(5)?);
        let overhead = overhead.unwrap_or(super::Overhead::NONE);
        Ok(Bill {
            start: row.get(0)?,
            end: row.get(1)?,
            method,
            bytes: bytes as u64,
            peak_bps: Some(Bandwidth::mean(peak as u128, 1, overhead).bps()),
            peak_at: Some(row.get(4)?),
            amount: row.get::<_, Option<i64>>(6)?.map(Money),
        })
    })?;
    rows.collect()
}

impl Statement {
    /// RFC 4180: one record per day and domain, and one per day for its peak (with no domain).
    pub fn csv(&self) -> String {
        let mut out =
            csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(vec![]);
        let header = [
            "day",
            "domain",
            "bytes",
            "billed_bytes",
            "open_bytes",
            "adjusted_bytes",
            "peak_bps",
            "peak_at",
            "amount",
            "currency",
        ];
        let money = |amount: Option<Money>| amount.map(|a| a.to_string()).unwrap_or_default();
        let currency =
            |amount: Option<Money>| amount.and(self.currency.clone()).unwrap_or_default();
        let mut records = vec![header.map(str::to_owned)];
        for line in &self.lines {
            records.push([
                line.day.clone(),
                line.domain.clone(),
                line.bytes.to_string(),
                line.billed_bytes.to_string(),
                line.open_bytes.to_string(),
                line.adjusted_bytes.to_string(),
                String::new(),
                String::new(),
                money(line.amount),
                currency(line.amount),
            ]);
        }
        let none = String::new;
        for day in &self.days {
            records.push([
                day.day.clone(),
                none(),
                none(),
                none(),
                none(),
                none(),
                day.peak_bps.to_string(),
                day.peak_at.clone(),
                money(day.amount),
                currency(day.amount),
            ]);
        }
        for record in records {
            // A vector takes every byte.
            let _ = out.write_record(record);
        }
        let bytes = out.into_inner().unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}
