//! `hawser usage`: what WebSocket used in a month, and what it costs. Not here: the figures
//! (`control::billing`).

use std::fmt::Write;
use std::sync::Arc;

use hyper::Method;
use jiff::Timestamp;

use super::control_client::{ClientError, request};
use super::plan::open_billing;
use super::{Exit, Which, say};
use crate::control::billing::calendar::Month;
use crate::control::billing::ledger::Ledger;
use crate::control::billing::prices::Money;
use crate::control::billing::statement::{Statement, WhatIf};
use crate::control::statistics::sqlite::SqliteStore;

/// Show what WebSocket used in a month, and what it costs
///
/// Bytes are those sent to clients, by day and domain; days begin at 00:00 of [billing] utc_offset.
/// Amounts need a file of prices ([billing] prices) and are those of closed statements: hours close
/// 15 minutes after they are over.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    which: Which,
    /// Such as 2026-11 [default: this month]
    #[arg(short, long, value_name = "YYYY-MM")]
    month: Option<Month>,
    /// Only this domain
    #[arg(short, long, value_name = "NAME")]
    domain: Option<String>,
    /// What the month would cost by each billing method
    #[arg(long)]
    what_if: bool,
    /// Print CSV
    #[arg(long, conflicts_with_all = ["json", "what_if"])]
    csv: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub fn run(args: Args) -> anyhow::Result<Exit> {
    let Args { which, month, domain, what_if, csv, json } = args;
    let billing = open_billing(&which)?;
    let flushed = request(&which.state_dir()?, Method::POST, "/v1/flush", None);
    match flushed {
        Ok(answer) if answer.is_success() => {}
        Err(ClientError::NotRunning(_)) => {}
        Ok(answer) => eprintln!("hawser: the last seconds are missing: {}", answer.text()),
        Err(error) => eprintln!("hawser: the last seconds are missing: {error}"),
    }
    let (now, offset) = (Timestamp::now(), billing.settings().utc_offset);
    let month = month.unwrap_or_else(|| offset.month(now.as_second()));
    let store = SqliteStore::new(billing.database().clone(), offset.seconds());
    let ledger = Ledger::new(&billing, Arc::new(store));
    let statement = ledger.statement(month, domain.as_deref(), now, what_if)?;
    say(&match (csv, json) {
        (true, _) => statement.csv(),
        (_, true) => serde_json::to_string_pretty(&statement)? + "\n",
        _ => text(&statement),
    })?;
    Ok(Exit::Done)
}

fn text(statement: &Statement) -> String {
    let currency = statement.currency.as_deref().unwrap_or_default();
    let mut out =
        format!("{} ({}), as of {}\n", statement.month, statement.utc_offset, statement.as_of);
    for plan in &statement.plans {
        let (charge, websocket) = (plan.charge.name(), plan.websocket.name());
        let _ = writeln!(out, "plan {charge}, {websocket}: {} to {}", plan.from, plan.to);
    }
    let heading = ["DAY", "DOMAIN", "BYTES", "BILLED", "OPEN", "AMOUNT"].map(str::to_owned);
    let mut rows = vec![heading];
    for line in &statement.lines {
        rows.push([
            line.day.clone(),
            line.domain.clone(),
            line.bytes.to_string(),
            line.billed_bytes.to_string(),
            line.open_bytes.to_string(),
            amount(line.amount),
        ]);
    }
    let totals = &statement.totals;
    rows.push([
        "total".to_owned(),
        String::new(),
        totals.bytes.to_string(),
        totals.billed_bytes.to_string(),
        totals.open_bytes.to_string(),
        with_currency(totals.amount, currency),
    ]);
    out += &table(&rows, 2);
    let peaks = statement.days.iter().filter(|day| day.peak_bps > 0.0);
    let peaks = peaks.map(|day| {
        let state = if day.closed { "closed" } else { "open" };
        let peak = mbps(day.peak_bps);
        [day.day.clone(), peak, day.peak_at.clone(), state.to_owned(), amount(day.amount)]
    });
    let heading = ["DAY", "PEAK MBPS", "AT", "STATE", "AMOUNT"].map(str::to_owned);
    let rows: Vec<[String; 5]> = std::iter::once(heading).chain(peaks).collect();
    if rows.len() > 1 {
        out += &format!("\n{}", table(&rows, 1));
    }
    if !statement.what_if.is_empty() {
        out += &format!("\n{}", what_if_table(&statement.what_if, currency));
    }
    out
}

fn what_if_table(what_if: &[WhatIf], currency: &str) -> String {
    let heading = ["WHAT IF", "BYTES", "MBPS", "DAYS", "AMOUNT"].map(str::to_owned);
    let mut rows = vec![heading];
    for WhatIf { method, billed_bytes, bps, days, days_of_month, amount: cost, .. } in what_if {
        rows.push([
            (*method).to_owned(),
            billed_bytes.map_or_else(String::new, |bytes| bytes.to_string()),
            bps.map_or_else(String::new, mbps),
            format!("{days}/{days_of_month}"),
            with_currency(*cost, currency),
        ]);
    }
    table(&rows, 1)
}

fn amount(amount: Option<Money>) -> String {
    amount.map_or_else(|| "-".to_owned(), |amount| amount.to_string())
}

fn with_currency(sum: Option<Money>, currency: &str) -> String {
    sum.map_or_else(|| amount(None), |sum| format!("{sum} {currency}"))
}

fn mbps(bps: f64) -> String {
    format!("{:.3}", bps / 1e6)
}

/// Columns as wide as they need to be; from `right` on they hold numbers.
fn table<const N: usize>(rows: &[[String; N]], right: usize) -> String {
    let width = |i: usize| rows.iter().map(|row| row[i].chars().count()).max().unwrap_or(0);
    let widths: [usize; N] = std::array::from_fn(width);
    let mut out = String::new();
    for row in rows {
        let mut line = String::new();
        for (i, cell) in row.iter().enumerate() {
            let width = widths[i];
            let _ = match i >= right {
                true => write!(line, "{cell:>width$}  "),
                false => write!(line, "{cell:<width$}  "),
            };
        }
        out += line.trim_end();
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::billing::statement::{DayLine, Line, PlanOfMonth, Totals};
    use crate::control::billing::{ChargeType, WebsocketBillType};

    #[test]
    fn a_statement_for_people() {
        let line = Line {
            day: "2026-11-23".to_owned(),
            domain: "live.example.com".to_owned(),
            bytes: 1_500,
            billed_bytes: 1_000,
            open_bytes: 500,
            adjusted_bytes: 0,
            amount: Some(Money(250_000)),
        };
        let totals = Totals {
            bytes: 3_000,
            billed_bytes: 2_000,
            open_bytes: 1_000,
            adjusted_bytes: 0,
            amount: Some(Money(500_000)),
        };
        let what_if = |method, billed_bytes, bps, amount| WhatIf {
            method,
            billed_bytes,
            bps,
            dropped_points: None,
            days: 23,
            days_of_month: 30,
            slices: Vec::new(),
            amount,
        };
        let (from, to) = ("2026-11-01T00:00:00Z".to_owned(), "2026-11-30T16:00:00Z".to_owned());
        let statement = Statement {
            month: "2026-11".to_owned(),
            utc_offset: "+08:00".to_owned(),
            from: from.clone(),
            to: to.clone(),
            as_of: "2026-11-23T03:04:05Z".to_owned(),
            domain: None,
            closed_until: None,
            currency: Some("CNY".to_owned()),
            overhead: "1.00".to_owned(),
            plans: vec![PlanOfMonth {
                charge: ChargeType::PayByTraffic,
                websocket: WebsocketBillType::WebsocketTraffic,
                from,
                to,
            }],
            lines: vec![Line { domain: "a.test".to_owned(), ..line.clone() }, line],
            days: vec![DayLine {
                day: "2026-11-23".to_owned(),
                points: 37,
                peak_bps: 1_234_567.0,
                peak_at: "2026-11-23T01:00:00Z".to_owned(),
                closed: false,
                tier_from_mbps: None,
                price: None,
                amount: None,
            }],
            totals,
            what_if: vec![
                what_if("websockettraffic", Some(1_500), None, Some(Money(400_000))),
                what_if("PayByBandwidth95", None, Some(8e5), None),
            ],
        };
        insta::assert_snapshot!(text(&statement));
    }
}
