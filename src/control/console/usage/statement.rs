//! The statement of a month, what the month would cost by each method, and prices. Not here: making
//! them (`billing`).

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::tz::Offset;
use maud::{Markup, html};
use serde::Deserialize;

use super::plan::{Plans, name};
use crate::control::console::parts::{self, Column, Field, Tone};
use crate::control::console::rest::{Refusal, part};
use crate::control::console::units;
use crate::control::console::viewer::Fields;

/// Months that can be chosen: the statistics keep their bytes for so long.
const MONTHS: usize = 13;
/// Lines by day and domain that a page shows; the export has all.
const LINES_MAX: usize = 1_000;

/// What the page is about.
pub struct Asked {
    /// Such as `2026-11`; empty for the current one.
    month: String,
    domain: String,
}

/// As `GET /usage` has it.
#[derive(Deserialize)]
pub struct Statement {
    month: String,
    as_of: String,
    closed_until: Option<String>,
    currency: Option<String>,
    overhead: String,
    lines: Vec<Line>,
    days: Vec<Day>,
    totals: Totals,
}

#[derive(Deserialize)]
struct Line {
    day: String,
    domain: String,
    bytes: u64,
    billed_bytes: u64,
    open_bytes: u64,
    adjusted_bytes: u64,
    amount: Option<String>,
}

#[derive(Deserialize)]
struct Day {
    day: String,
    peak_bps: f64,
    peak_at: String,
    closed: bool,
    tier_from_mbps: Option<u64>,
    price: Option<String>,
    amount: Option<String>,
}

#[derive(Deserialize)]
struct Totals {
    bytes: u64,
    billed_bytes: u64,
    open_bytes: u64,
    adjusted_bytes: u64,
    amount: Option<String>,
}

/// As `GET /usage/what-if` has it.
#[derive(Deserialize)]
pub struct WhatIfs {
    items: Vec<WhatIf>,
}

#[derive(Deserialize)]
struct WhatIf {
    method: String,
    billed_bytes: Option<u64>,
    bps: Option<f64>,
    dropped_points: Option<u64>,
    days: u64,
    days_of_month: u64,
    slices: Vec<Slice>,
    amount: Option<String>,
}

#[derive(Deserialize)]
struct Slice {
    from_gb: u64,
    bytes: u64,
    price: String,
}

/// As `GET /plan/prices` has it.
#[derive(Deserialize)]
pub struct Prices {
    currency: Option<String>,
    items: Vec<Price>,
}

#[derive(Deserialize)]
struct Price {
    method: String,
    unit: String,
    rule: String,
    tiers: Vec<Tier>,
}

#[derive(Deserialize)]
struct Tier {
    from: u64,
    price: String,
}

impl Asked {
    pub fn of(fields: &Fields) -> Asked {
        let text = |name| fields.text(name).to_owned();
        Asked { month: text("month"), domain: text("domain") }
    }

    /// Of `GET /usage`.
    pub fn api_query(&self) -> String {
        let fields = [("month", &self.month), ("domain", &self.domain)];
        let set = fields.into_iter().filter(|(_, value)| !value.is_empty());
        set.map(|(name, value)| format!("{name}={}", part(value))).collect::<Vec<_>>().join("&")
    }
}

/// Which month, and of which domain.
pub fn choice(plans: &Plans, asked: &Asked, wrong: Option<&Refusal>) -> Markup {
    let month = Field { name: "month", label: "Month", hint: "", unit: "", pointer: "?month" };
    let domain = Field { name: "domain", label: "Domain", hint: "", unit: "", pointer: "?domain" };
    let mut months = months(Timestamp::now(), plans.offset_s());
    let known = asked.month.is_empty() || months.contains(&asked.month);
    if !known {
        months.insert(0, asked.month.clone());
    }
    parts::filters(
        "/usage",
        html! {
            (month.around(wrong, |tie| html! {
                select id=(tie.id) name="month"
                    aria-describedby=(tie.described) aria-invalid=[tie.invalid] {
                    @for month in &months {
                        option value=(month) selected[*month == asked.month] { (month) }
                    }
                }
            }))
            (domain.around(wrong, |tie| html! {
                input id=(tie.id) type="text" name="domain" value=(asked.domain)
                    placeholder="all" autocomplete="off" autocapitalize="off" spellcheck="false"
                    aria-describedby=(tie.described) aria-invalid=[tie.invalid];
            }))
        },
    )
}

/// This month and those before it, in the node's offset.
fn months(now: Timestamp, offset_s: i32) -> Vec<String> {
    let zone = Offset::from_seconds(offset_s).unwrap_or(Offset::UTC);
    let today = zone.to_datetime(now).date();
    let (mut year, mut month) = (today.year(), today.month());
    let mut all = Vec::with_capacity(MONTHS);
    for _ in 0..MONTHS {
        all.push(format!("{year:04}-{month:02}"));
        (year, month) = if month == 1 { (year - 1, 12) } else { (year, month - 1) };
    }
    all
}

pub fn month(plans: &Plans, statement: &Statement, what_ifs: &WhatIfs, asked: &Asked) -> Markup {
    let query = Asked { month: statement.month.clone(), domain: asked.domain.clone() }.api_query();
    let export = |format: &str| format!("/api/v1/usage?{query}&format={format}");
    let file = |ending: &str| format!("hawser-usage-{}.{ending}", statement.month);
    let of = match &*asked.domain {
        "" => format!("Statement of {}", statement.month),
        domain => format!("Statement of {} for {domain}", statement.month),
    };
    html! {
        (parts::card_with(&of, html! {
            a.button.small href=(export("csv")) download=(file("csv")) { "Export CSV" }
            a.button.small href=(export("json")) download=(file("json")) { "Export JSON" }
        }, html! {
            (totals(statement))
            (notes(plans, statement))
            @if statement.lines.is_empty() {
                (parts::empty("Nothing was sent to clients", html! {
                    p { "What WebSocket sends to clients in this month is stated here by day and \
                         domain." }
                }))
            } @else { (by_day(plans, statement)) }
        }))
        @if !statement.lines.is_empty() {
            (parts::card("By day and domain", lines(statement)))
        }
        @let compared = what_if(plans, statement, what_ifs);
        (parts::card("What this month would cost by each method", compared))
    }
}

fn totals(statement: &Statement) -> Markup {
    let totals = &statement.totals;
    let bytes = |label, n: u64| parts::figure(label, &units::count(n), "bytes", "");
    let (amount, unit) = match &totals.amount {
        Some(amount) => (short(amount), statement.currency.as_deref().unwrap_or_default()),
        None => ("–".to_owned(), ""),
    };
    parts::figures(html! {
        (parts::figure("Amount stated", &amount, unit, ""))
        (bytes("Sent to clients", totals.bytes))
        (bytes("Billed", totals.billed_bytes))
        (bytes("Not in a statement yet", totals.open_bytes))
        @if totals.adjusted_bytes > 0 { (bytes("Adjustments", totals.adjusted_bytes)) }
    })
}

fn notes(plans: &Plans, statement: &Statement) -> Markup {
    let at = |text: &str| units::moment(text, plans.offset_s());
    html! {
        p.soft.small {
            "As of " time datetime=(statement.as_of) { (at(&statement.as_of)) } ". "
            @if let Some(until) = &statement.closed_until {
                "Hours are closed until " time datetime=(until) { (at(until)) } ". "
            }
            "Billed bytes are those of closed hours times " (statement.overhead)
            "; a GB of the prices is 2" sup { "30" } " bytes, a Mbps 10" sup { "6" } " bit/s."
            @if statement.currency.is_none() { " Without a price file there are no amounts." }
        }
    }
}

/// Bytes of each day, with its peak and what they cost.
fn by_day(plans: &Plans, statement: &Statement) -> Markup {
    let mut bytes: BTreeMap<&str, (u64, Vec<&String>)> = BTreeMap::new();
    for line in &statement.lines {
        let day = bytes.entry(&line.day).or_default();
        day.0 += line.bytes;
        day.1.extend(&line.amount);
    }
    let peaks: BTreeMap<&str, &Day> = statement.days.iter().map(|day| (&*day.day, day)).collect();
    let mut days: Vec<&str> = bytes.keys().chain(peaks.keys()).copied().collect();
    days.sort_unstable();
    days.dedup();
    let columns = [
        Column::Text("Day"),
        Column::Number("Bytes to clients"),
        Column::Number("Peak"),
        Column::Text("Peak at"),
        Column::Text("Tier reached"),
        Column::Number("Amount"),
        Column::Text("State"),
    ];
    let currency = statement.currency.as_deref().unwrap_or_default();
    parts::table_of(
        "By day",
        &columns,
        html! {
            @for day in days {
                @let (sent, amounts) = bytes.get(day).cloned().unwrap_or_default();
                @let peak = peaks.get(day).copied();
                tr data-day=(day) {
                    th scope="row" { (day) }
                    td.num { (units::count(sent)) }
                    @if let Some(peak) = peak {
                        td.num { (units::bits_per_second(peak.peak_bps)) }
                        td { time datetime=(peak.peak_at) {
                            (units::moment(&peak.peak_at, plans.offset_s()))
                        } }
                        td { (tier(peak, currency)) }
                    } @else { td.num { "–" } td { "–" } td { "–" } }
                    @let of_peak = peak.and_then(|peak| peak.amount.as_ref());
                    @let all = amounts.into_iter().chain(of_peak);
                    td.num { (money(sum(all).as_deref(), currency)) }
                    td {
                        @match peak.map(|peak| peak.closed) {
                            Some(true) => (parts::badge(Tone::Good, "closed")),
                            _ => (parts::badge(Tone::Plain, "open")),
                        }
                    }
                }
            }
        },
    )
}

fn tier(day: &Day, currency: &str) -> Markup {
    html! {
        @match (day.tier_from_mbps, &day.price) {
            (Some(from), Some(price)) => {
                "from " (units::count(from)) " Mbps: " (short(price)) " " (currency) " per Mbps"
            }
            _ => span.soft { "–" },
        }
    }
}

fn lines(statement: &Statement) -> Markup {
    let columns = [
        Column::Text("Day"),
        Column::Text("Domain"),
        Column::Number("Bytes to clients"),
        Column::Number("Billed bytes"),
        Column::Number("Not stated yet"),
        Column::Number("Adjustments"),
        Column::Number("Amount"),
    ];
    let currency = statement.currency.as_deref().unwrap_or_default();
    let totals = &statement.totals;
    html! {
        @if statement.lines.len() > LINES_MAX {
            p.soft {
                "The first " (units::count(LINES_MAX as u64)) " of "
                (units::count(statement.lines.len() as u64)) " lines: choose a domain, or export."
            }
        }
        (parts::table_of("By day and domain", &columns, html! {
            @for line in statement.lines.iter().take(LINES_MAX) {
                tr data-line {
                    th scope="row" { (line.day) }
                    td { (line.domain) }
                    td.num { (units::count(line.bytes)) }
                    td.num { (units::count(line.billed_bytes)) }
                    td.num { (units::count(line.open_bytes)) }
                    td.num { (units::count(line.adjusted_bytes)) }
                    td.num { (money(line.amount.as_deref(), currency)) }
                }
            }
            tr.total {
                th scope="row" { "Total" }
                td {}
                td.num { (units::count(totals.bytes)) }
                td.num { (units::count(totals.billed_bytes)) }
                td.num { (units::count(totals.open_bytes)) }
                td.num { (units::count(totals.adjusted_bytes)) }
                td.num { (money(totals.amount.as_deref(), currency)) }
            }
        }))
    }
}

fn what_if(plans: &Plans, statement: &Statement, what_ifs: &WhatIfs) -> Markup {
    let currency = statement.currency.as_deref().unwrap_or_default();
    let value = |item: &WhatIf| item.amount.as_deref().and_then(|a| a.parse::<f64>().ok());
    let most = what_ifs.items.iter().filter_map(value).fold(0.0, f64::max);
    let columns = [
        Column::Text("Method"),
        Column::Number("Quantity"),
        Column::Text("How it is counted"),
        Column::Number("Days"),
        Column::Number("Amount"),
        Column::Text("Compared"),
    ];
    html! {
        p.soft.small {
            "The month so far, priced by every method. Those by the month are for comparison: \
             WebSocket itself is charged by traffic or by daily peaks."
        }
        (parts::table_of("By each method", &columns, html! {
            @for item in &what_ifs.items {
                tr data-method=(item.method) {
                    th scope="row" {
                        (name(&item.method))
                        @if plans.websocket() == Some(&item.method) {
                            " " (parts::badge(Tone::Good, "in effect"))
                        }
                    }
                    td.num { (quantity(item)) }
                    td { (how(item, currency)) }
                    td.num { (item.days) " of " (item.days_of_month) }
                    td.num { (money(item.amount.as_deref(), currency)) }
                    td.compared {
                        @if let (Some(amount), true) = (value(item), most > 0.0) {
                            (parts::meter(
                                Tone::Plain,
                                amount / most,
                                &format!("{:.0} % of the dearest", amount / most * 100.0),
                            ))
                        }
                    }
                }
            }
        }))
    }
}

fn quantity(item: &WhatIf) -> String {
    match (item.billed_bytes, item.bps) {
        (Some(bytes), _) => format!("{} bytes", units::count(bytes)),
        (None, Some(bps)) => units::bits_per_second(bps),
        (None, None) => "–".to_owned(),
    }
}

fn how(item: &WhatIf, currency: &str) -> Markup {
    html! {
        @match &*item.method {
            "websockettraffic" if item.slices.is_empty() => "bytes of the month, with overhead",
            "websockettraffic" => {
                @for slice in &item.slices {
                    div {
                        (units::count(slice.bytes)) " bytes from " (units::count(slice.from_gb))
                        " GB on: " (short(&slice.price)) " " (currency) " per GB"
                    }
                }
            }
            "websocketbps" => "the sum over days of each peak at its tier; shown is the largest",
            "PayByBandwidth_monthavg" => "mean of the daily peaks",
            "PayByBandwidth_month4th" => "the fourth largest daily peak",
            "PayByBandwidth_monthday95avg" => "mean of the 95th percentiles of the days",
            "PayByBandwidth_nighthalf95" => {
                "95th percentile, 00:00 to 08:00 at half" (dropped(item))
            }
            _ => { "95th percentile of all five-minute points" (dropped(item)) }
        }
    }
}

fn dropped(item: &WhatIf) -> String {
    let n = item.dropped_points.unwrap_or_default();
    format!("; the largest {} do not count", units::count(n))
}

pub fn prices(prices: &Prices) -> Markup {
    let Some(currency) = &prices.currency else {
        return parts::card(
            "Prices",
            parts::empty(
                "There is no price file",
                html! {
                    p {
                        "Statements have quantities and no amounts. Set " code { "prices" }
                        " under " code { "[billing]" } " in hawser.toml to a file such as \
                        examples/prices.toml, and reload."
                    }
                },
            ),
        );
    };
    let is_own = |price: &&Price| price.method.starts_with("websocket");
    let (own, others): (Vec<&Price>, Vec<&Price>) = prices.items.iter().partition(is_own);
    let body = html! {
        @if prices.items.is_empty() { p.soft { "The price file prices nothing." } }
        div.columns { @for price in own { (tiers(price, currency)) } }
        @if !others.is_empty() {
            details.more {
                summary { "Prices of the methods that are only compared" }
                div.columns { @for price in others { (tiers(price, currency)) } }
            }
        }
    };
    parts::card("Prices", body)
}

fn tiers(price: &Price, currency: &str) -> Markup {
    // Statistics have decimal units; bills count by 2^30.
    let unit = if price.unit == "GB" { "GB of 2³⁰ bytes" } else { &price.unit };
    let from = format!("From {unit}");
    let each = format!("{currency} per {}", price.unit);
    let columns = [Column::Number(&from), Column::Number(&each)];
    let rows = html! {
        @for tier in &price.tiers {
            tr {
                td.num { (units::count(tier.from)) }
                td.num { (short(&tier.price)) }
            }
        }
    };
    html! {
        div.stack {
            h3 { (name(&price.method)) }
            p.soft.small { (rule(&price.rule)) }
            (parts::table_of(&format!("Prices of {}", name(&price.method)), &columns, rows))
        }
    }
}

fn rule(rule: &str) -> &'static str {
    match rule {
        "progressive" => {
            "Progressive: each part of the month's bytes at the price of its own tier."
        }
        _ => "Reach: the whole bandwidth at the price of the tier that it reaches.",
    }
}

fn money(amount: Option<&str>, currency: &str) -> Markup {
    html! {
        @match amount {
            Some(amount) => { (short(amount)) " " (currency) }
            None => span.soft { "–" },
        }
    }
}

/// Without zeros at its end, but for two places: `19.600000` as `19.60`.
fn short(amount: &str) -> String {
    let (units, places) = amount.split_once('.').unwrap_or((amount, ""));
    let places = places.trim_end_matches('0');
    format!("{units}.{places:0<2}")
}

/// Decimal texts of six places, added without loss.
fn sum<'a>(amounts: impl Iterator<Item = &'a String>) -> Option<String> {
    let micro = |text: &String| text.replace('.', "").parse::<i128>().ok();
    let all: Vec<i128> = amounts.filter_map(micro).collect();
    let total: i128 = all.iter().sum();
    let (sign, size) = (if total < 0 { "-" } else { "" }, total.unsigned_abs());
    (!all.is_empty()).then(|| format!("{sign}{}.{:06}", size / 1_000_000, size % 1_000_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_lose_nothing_but_zeros() {
        for (amount, text) in [
            ("19.600000", "19.60"),
            ("0.000001", "0.000001"),
            ("7.000000", "7.00"),
            ("-1.250000", "-1.25"),
            ("3", "3.00"),
        ] {
            assert_eq!(short(amount), text);
        }
        let texts = ["0.100000", "-0.300000", "12.000001"].map(str::to_owned);
        assert_eq!(sum(texts.iter()).as_deref(), Some("11.800001"));
        assert_eq!(sum(texts[1..2].iter()).as_deref(), Some("-0.300000"));
        assert_eq!(sum([].iter()), None);
    }

    #[test]
    fn the_months_of_the_nodes_own_calendar() {
        let now: Timestamp = "2026-01-31T17:00:00Z".parse().unwrap();
        let all = months(now, 28_800);
        assert_eq!((&*all[0], &*all[1], &*all[2]), ("2026-02", "2026-01", "2025-12"));
        assert_eq!(months(now, 0)[0], "2026-01");
        assert_eq!(all.len(), MONTHS);
    }
}
