//! The bill of a month is the statistics of that month, to the byte.

use jiff::tz::{Offset, TimeZone};
use serde_json::Value;

use super::Town;
use crate::harness::{Api, Dcdn};

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
