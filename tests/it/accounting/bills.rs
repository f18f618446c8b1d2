//! The bill of a month is the statistics of that month, to the byte.

use jiff::tz::{Offset, TimeZone};
use serde_json::Value;

use super::slots::Watched;
use super::{BPS, TRAFFIC, Town};
use crate::harness::{Api, Dcdn, eventually};

/// The month that it is now where days begin at +08:00.
fn month() -> String {
    let zone = TimeZone::fixed(Offset::constant(8));
    jiff::Timestamp::now().to_zoned(zone).strftime("%Y-%m").to_string()
}

/// Item 38, by the command line, by both APIs, and as CSV.
pub fn in_the_ledger(town: &Town, dcdn: &Dcdn, api: &Api) {
    let wanted = town.total(|_, _| true).bytes_out;
    let month = month();
    let words = ["usage", "--month", &month, "--json"];
    let said = town.edge.hawser_done(&words);
    let by_command: Value = serde_json::from_str(&said).unwrap_or_else(|e| panic!("{e}: {said}"));
    assert_eq!(total(&by_command), wanted, "hawser usage: {by_command:#}");
    let by_api = api.read(&format!("/api/v1/usage?month={month}"));
    assert_eq!(total(&by_api), wanted, "/api/v1/usage: {by_api:#}");
    let csv = api.get(&format!("/api/v1/usage?month={month}&format=csv"));
    assert_eq!(csv.status, 200);
    let content_type = csv.head.field("content-type").unwrap_or_default().to_owned();
    assert!(content_type.starts_with("text/csv"), "{content_type}");
    assert_eq!(csv_total(&csv.text(), "bytes"), wanted, "{}", csv.text());
    let csv = town.edge.hawser_done(&["usage", "--month", &month, "--csv"]);
    assert_eq!(csv_total(&csv, "bytes"), wanted, "{csv}");
    for domain in ["a.test", "b.test", "plain.test"] {
        let wanted = town.total(|name, _| name == domain).bytes_out;
        let one = api.read(&format!("/api/v1/usage?month={month}&domain={domain}"));
        assert_eq!(total(&one), wanted, "{domain}: {one:#}");
    }
    let (start, end) = super::around_now();
    let times = [("StartTime", start.as_str()), ("EndTime", end.as_str()), ("Field", "traf")];
    let usage = dcdn.ask("DescribeDcdnDomainUsageData", &times);
    let slots = usage["UsageDataPerInterval"]["DataModule"].as_array().expect("slots");
    let value = |slot: &Value| slot["Value"].as_str().and_then(|v| v.parse::<f64>().ok());
    let sum: f64 = slots.iter().map(|s| value(s).unwrap_or_else(|| panic!("{s}"))).sum();
    assert_eq!(sum as u64, wanted, "DescribeDcdnDomainUsageData");
}

/// The statement's bytes, which are those of its lines.
fn total(statement: &Value) -> u64 {
    let bytes = |value: &Value| value["bytes"].as_u64().unwrap_or_else(|| panic!("{value:#}"));
    let lines = statement["lines"].as_array().unwrap_or_else(|| panic!("{statement:#}"));
    let total = bytes(&statement["totals"]);
    assert_eq!(lines.iter().map(bytes).sum::<u64>(), total, "{statement:#}");
    total
}

/// Sum of a column over the lines that have it.
fn csv_total(text: &str, column: &str) -> u64 {
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let at = reader.headers().expect("a head").iter().position(|name| name == column);
    let at = at.unwrap_or_else(|| panic!("{column} in {text}"));
    reader
        .records()
        .map(|row| row.expect("a row")[at].to_owned())
        .filter(|cell| !cell.is_empty())
        .map(|cell| cell.parse::<u64>().unwrap_or_else(|e| panic!("{e}: {cell}")))
        .sum()
}

const DAY: [(&str, &str); 2] =
    [("StartTime", "2026-06-09T16:00:00Z"), ("EndTime", "2026-06-10T16:00:00Z")];

/// An hour of 10,000 bytes and the head before them, one of 5000, and the next day, to which the
/// process was not up.
fn used_for_a_day(websocket_type: &str) -> Option<Watched> {
    let mut watched = Watched::with("2026-06-10T12:10:00Z", "enabled = true")?;
    let plan = [("BillType", "PayByTraffic"), ("WebsocketBillType", websocket_type)];
    watched.dcdn().ask("OpenDcdnService", &plan);
    let mut tunnel = watched.open();
    watched.send(&mut tunnel, 10_000);
    watched.turn_to("2026-06-10T13:20:00Z");
    watched.send(&mut tunnel, 5000);
    watched.edge.kill();
    watched.clock.set("2026-06-10T22:00:00Z");
    watched.edge.start_again();
    Some(watched)
}

/// Rows of the bill: what they are about, when, and their item.
fn bill(dcdn: &Dcdn, kind: &str) -> Vec<(String, Value)> {
    let history = dcdn.ask("DescribeDcdnUserBillHistory", &DAY);
    let rows = history["BillHistoryData"]["BillHistoryDataItem"].as_array().expect("rows");
    let of_kind = rows.iter().filter(|row| row["BillType"] == kind);
    let row = |row: &Value| {
        assert_eq!(row["Dimension"], "websocket");
        let time = row["BillTime"].as_str().expect("a time").to_owned();
        (time, row["BillingData"]["BillingDataItem"][0].clone())
    };
    of_kind.map(row).collect()
}

fn by_hour(dcdn: &Dcdn, action: &str, list: &str, value: &str, interval: &str) -> Vec<f64> {
    let params = [&DAY[..], &[("DomainName", "a.test"), ("Interval", interval)]].concat();
    let slots = dcdn.ask(action, &params);
    let slots = slots[list]["DataModule"].as_array().expect("slots").clone();
    slots.iter().map(|slot| slot[value].as_f64().expect("a number")).collect()
}

/// Item 38: each hour that is closed is billed as the statistics have it.
#[test]
fn closed_hours_are_billed_to_the_byte() {
    let Some(watched) = used_for_a_day("websockettraffic") else { return };
    let dcdn = watched.dcdn();
    let hours = by_hour(&dcdn, TRAFFIC, "TrafficDataPerInterval", "WebsocketTraffic", "3600");
    let used: Vec<f64> = hours.into_iter().filter(|bytes| *bytes > 0.0).collect();
    assert_eq!((used.len(), used[1]), (2, 5000.0), "{used:?}");
    let billed = eventually("both hours are closed", || {
        let rows = bill(&dcdn, "hour_flow");
        let flow = |(at, item): &(String, Value)| (at.clone(), item["Flow"].as_f64());
        let rows: Vec<_> = rows.iter().map(flow).filter(|(_, n)| *n > Some(0.0)).collect();
        (rows.len() == 2).then_some(rows)
    });
    // The first one begins with the plan.
    let at = |time: &str, n: f64| (format!("2026-06-10T{time}:00Z"), Some(n));
    assert_eq!(billed, [at("12:10", used[0]), at("13:00", used[1])]);
}

/// A day's peak is the largest of its 288 points.
#[test]
fn a_closed_day_is_billed_by_its_largest_point() {
    let Some(watched) = used_for_a_day("websocketbps") else { return };
    let dcdn = watched.dcdn();
    let day = by_hour(&dcdn, BPS, "BpsDataPerInterval", "WebsocketBps", "86400");
    let points = by_hour(&dcdn, BPS, "BpsDataPerInterval", "WebsocketBps", "300");
    assert_eq!(points.len(), 288);
    let most = points.into_iter().fold(0.0, f64::max);
    assert_eq!(day, [most]);
    let rows = eventually("the day is closed", || {
        let rows = bill(&dcdn, "day_bandwidth");
        (!rows.is_empty()).then_some(rows)
    });
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert_eq!(rows[0].0, "2026-06-10T12:10:00Z", "it begins with the plan");
    assert_eq!(rows[0].1["Bandwidth"].as_f64(), Some(most), "{rows:?}");
}
