//! What the REST API answers, as charts, figures and tables take it: lines of one value per slot.
//!
//! Not here: which series (`question`), how it looks (`drawing`, `tables`).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::super::rest::{Refusal, Rest};
use super::super::units;
use super::question::{Question, View};

/// What a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    Bytes,
    Bps,
    Count,
    Micros,
}

impl Unit {
    pub fn text(self, value: f64) -> String {
        match self {
            Unit::Bytes => units::bytes(value),
            Unit::Bps => units::bits_per_second(value),
            Unit::Count => units::count(value.round() as u64),
            Unit::Micros => match value {
                us if us < 999.5 => format!("{us:.0} µs"),
                us if us < 999_500.0 => format!("{:.1} ms", us / 1e3),
                us => format!("{:.2} s", us / 1e6),
            },
        }
    }
}

/// One value for each slot; `None` where there is none: nothing was measured, or it has not come.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Line {
    pub label: String,
    /// A custom property of the styles, without its dashes.
    pub colour: &'static str,
    pub dashed: bool,
    /// Whether the values of slots add up to one of the range.
    pub adds: bool,
    #[serde(serialize_with = "short")]
    pub values: Vec<Option<f64>>,
}

/// Two decimals are more than a chart shows, and whole numbers have none.
fn short<S: serde::Serializer>(values: &[Option<f64>], serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    #[serde(untagged)]
    enum Number {
        Whole(u64),
        Other(f64),
    }
    let number = |value: &f64| match value.fract() == 0.0 {
        true => Number::Whole(*value as u64),
        false => Number::Other((value * 100.0).round() / 100.0),
    };
    serializer.collect_seq(values.iter().map(|value| value.as_ref().map(number)))
}

impl Line {
    fn new(label: &str, colour: &'static str, values: Vec<Option<f64>>) -> Line {
        Line { label: label.to_owned(), colour, dashed: false, adds: false, values }
    }

    fn dashed(self) -> Line {
        Line { dashed: true, ..self }
    }

    fn adding(self) -> Line {
        Line { adds: true, ..self }
    }

    pub fn total(&self) -> f64 {
        self.values.iter().flatten().sum()
    }

    /// The largest value and the slot it is in.
    pub fn peak(&self) -> Option<(usize, f64)> {
        let values = self.values.iter().enumerate();
        let values = values.filter_map(|(slot, value)| value.map(|value| (slot, value)));
        // The first of equals.
        values.rev().max_by(|(_, a), (_, b)| a.total_cmp(b))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Lines,
    Stack,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Chart {
    pub title: &'static str,
    pub unit: Unit,
    pub kind: Kind,
    /// Start of the first slot, length of one, and by how much days begin before midnight UTC, in
    /// seconds.
    pub start: i64,
    pub step: i64,
    pub offset: i64,
    /// When this was asked.
    pub now: i64,
    pub lines: Vec<Line>,
    /// What a line is the sum of, for those who want to know.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<Detail>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Detail {
    /// The place of its line.
    pub of: usize,
    pub label: String,
    #[serde(serialize_with = "short")]
    pub values: Vec<Option<f64>>,
}

/// Parts of a whole over the range, the largest first.
pub struct Shares {
    pub title: &'static str,
    pub what: &'static str,
    pub parts: Vec<(String, &'static str, u64)>,
}

/// All that one view shows of its series.
pub struct Answer {
    pub charts: Vec<Chart>,
    /// Columns of the table of values, with their units.
    pub columns: Vec<(Unit, Line)>,
    pub shares: Option<Shares>,
    /// The calls that these figures come from, as CSV has them.
    pub sources: Vec<&'static str>,
}

impl Answer {
    pub fn slots(&self) -> usize {
        self.charts.first().and_then(|chart| chart.lines.first()).map_or(0, |l| l.values.len())
    }

    pub fn is_empty(&self) -> bool {
        !self.columns.iter().any(|(_, line)| line.values.iter().flatten().any(|n| *n > 0.0))
    }
}

#[derive(Deserialize)]
struct Series<T> {
    items: Vec<T>,
}

/// Makes charts of one question.
struct Maker<'a> {
    rest: &'a Rest,
    question: &'a Question,
    now: i64,
}

pub async fn of(rest: &Rest, question: &Question, now: i64) -> Result<Answer, Refusal> {
    let maker = Maker { rest, question, now };
    match question.view {
        View::Traffic => maker.traffic().await,
        View::Codes => maker.codes().await,
        View::Connections => maker.connections().await,
        View::Messages => maker.messages().await,
        View::Times => maker.times().await,
    }
}

#[derive(Deserialize)]
struct Traffic {
    bytes_out: u64,
    bytes_in: u64,
}

#[derive(Deserialize)]
struct Bandwidth {
    bps_out: f64,
    bps_in: f64,
}

#[derive(Deserialize)]
struct HttpCodes {
    codes: Vec<CodeCount>,
}

#[derive(Deserialize)]
struct CodeCount {
    code: u16,
    count: u64,
}

#[derive(Deserialize)]
struct Connections {
    peak: u64,
    opened: u64,
    closed: u64,
    closed_by_cause: BTreeMap<String, u64>,
}

#[derive(Deserialize)]
struct Messages {
    messages_out: u64,
    messages_in: u64,
}

#[derive(Deserialize)]
struct Times {
    mean_us: Option<u64>,
    p50_us: Option<u64>,
    p90_us: Option<u64>,
    p99_us: Option<u64>,
}

impl Maker<'_> {
    async fn items<T: serde::de::DeserializeOwned>(&self, what: &str) -> Result<Vec<T>, Refusal> {
        Ok(self.rest.read::<Series<T>>(&self.question.series(what)).await?.items)
    }

    /// One value of each item; none of slots that have not begun.
    fn values<T>(&self, items: &[T], value: impl Fn(&T) -> Option<f64>) -> Vec<Option<f64>> {
        let (start, _) = self.question.slots();
        let begun = |slot: usize| start + self.question.step * slot as i64 <= self.now;
        let values = items.iter().enumerate();
        values.map(|(slot, item)| value(item).filter(|_| begun(slot))).collect()
    }

    fn counts<T>(&self, items: &[T], count: impl Fn(&T) -> u64) -> Vec<Option<f64>> {
        self.values(items, |item| Some(count(item) as f64))
    }

    fn chart(&self, title: &'static str, unit: Unit, kind: Kind, lines: Vec<Line>) -> Chart {
        let Question { step, offset, .. } = *self.question;
        let (start, _) = self.question.slots();
        let details = Vec::new();
        Chart { title, unit, kind, start, step, offset, now: self.now, lines, details }
    }

    async fn traffic(&self) -> Result<Answer, Refusal> {
        let rates: Vec<Bandwidth> = self.items("bandwidth").await?;
        let bytes: Vec<Traffic> = self.items("traffic").await?;
        let (out, back) = ("To clients", "From clients");
        let bandwidth = vec![
            Line::new(out, "series-1", self.values(&rates, |item| Some(item.bps_out))),
            Line::new(back, "series-2", self.values(&rates, |item| Some(item.bps_in))).dashed(),
        ];
        let traffic = vec![
            Line::new(out, "series-1", self.counts(&bytes, |item| item.bytes_out)).adding(),
            Line::new(back, "series-2", self.counts(&bytes, |i| i.bytes_in)).dashed().adding(),
        ];
        let column = |unit: Unit, line: &Line, label: &str| {
            (unit, Line { label: label.to_owned(), ..line.clone() })
        };
        let columns = vec![
            column(Unit::Bps, &bandwidth[0], "Bandwidth to clients"),
            column(Unit::Bps, &bandwidth[1], "Bandwidth from clients"),
            column(Unit::Bytes, &traffic[0], "Traffic to clients"),
            column(Unit::Bytes, &traffic[1], "Traffic from clients"),
        ];
        let charts = vec![
            self.chart("Bandwidth", Unit::Bps, Kind::Lines, bandwidth),
            self.chart("Traffic", Unit::Bytes, Kind::Lines, traffic),
        ];
        Ok(Answer { charts, columns, shares: None, sources: vec!["bandwidth", "traffic"] })
    }

    async fn codes(&self) -> Result<Answer, Refusal> {
        let items: Vec<HttpCodes> = self.items("http-codes").await?;
        let mut totals: BTreeMap<u16, u64> = BTreeMap::new();
        for CodeCount { code, count } in items.iter().flat_map(|item| &item.codes) {
            *totals.entry(*code).or_default() += count;
        }
        let in_class = |class: u16, code: u16| code / 100 == class;
        let classes = (1..=5).filter(|class| totals.keys().any(|code| in_class(*class, *code)));
        let sum = |item: &HttpCodes, fits: &dyn Fn(u16) -> bool| -> u64 {
            item.codes.iter().filter(|c| fits(c.code)).map(|c| c.count).sum()
        };
        let mut chart = self.chart("Answers to upgrade requests", Unit::Count, Kind::Stack, vec![]);
        let mut columns = Vec::new();
        for (place, class) in classes.enumerate() {
            let values = self.counts(&items, |item| sum(item, &|code| in_class(class, code)));
            chart.lines.push(Line::new(class_text(class), class_colour(class), values).adding());
            for code in totals.keys().copied().filter(|code| in_class(class, *code)) {
                let values = self.counts(&items, |item| sum(item, &|other| other == code));
                let label = code_text(code);
                chart.details.push(Detail {
                    of: place,
                    label: label.clone(),
                    values: values.clone(),
                });
                columns
                    .push((Unit::Count, Line::new(&label, class_colour(class), values).adding()));
            }
        }
        if chart.lines.is_empty() {
            let none = self.counts(&items, |_| 0);
            chart.lines.push(Line::new("No answers", "soft", none).adding());
        }
        let mut parts: Vec<_> = totals
            .into_iter()
            .map(|(code, n)| (code_text(code), class_colour(code / 100), n))
            .collect();
        parts.sort_by(|(_, _, a), (_, _, b)| b.cmp(a));
        let shares = Some(Shares { title: "Share by code", what: "Code", parts });
        Ok(Answer { charts: vec![chart], columns, shares, sources: vec!["http-codes"] })
    }

    async fn connections(&self) -> Result<Answer, Refusal> {
        let items: Vec<Connections> = self.items("connections").await?;
        let open = Line::new("Most open at once", "series-1", self.counts(&items, |i| i.peak));
        let opened = Line::new("Opened", "series-3", self.counts(&items, |i| i.opened)).adding();
        let closed = Line::new("Closed", "series-2", self.counts(&items, |i| i.closed)).adding();
        let flows = vec![opened, closed.dashed()];
        let columns = [&open, &flows[0], &flows[1]];
        let columns = columns.map(|line| (Unit::Count, line.clone())).into();
        let mut causes: BTreeMap<&str, u64> = BTreeMap::new();
        for (cause, n) in items.iter().flat_map(|item| &item.closed_by_cause) {
            *causes.entry(cause).or_default() += n;
        }
        let mut parts: Vec<_> =
            causes.iter().map(|(cause, n)| (cause.replace('_', " "), "accent", *n)).collect();
        parts.sort_by(|(_, _, a), (_, _, b)| b.cmp(a));
        let charts = vec![
            self.chart("Open connections", Unit::Count, Kind::Lines, vec![open]),
            self.chart("Opened and closed", Unit::Count, Kind::Lines, flows),
        ];
        let shares = Some(Shares { title: "Closed by cause", what: "Cause", parts });
        Ok(Answer { charts, columns, shares, sources: vec!["connections"] })
    }

    async fn messages(&self) -> Result<Answer, Refusal> {
        let items: Vec<Messages> = self.items("messages").await?;
        let out = Line::new("To clients", "series-1", self.counts(&items, |i| i.messages_out));
        let back = Line::new("From clients", "series-2", self.counts(&items, |i| i.messages_in));
        let lines = vec![out.adding(), back.dashed().adding()];
        let columns = lines.iter().map(|line| (Unit::Count, line.clone())).collect();
        let charts = vec![self.chart("Messages", Unit::Count, Kind::Lines, lines)];
        Ok(Answer { charts, columns, shares: None, sources: vec!["messages"] })
    }

    async fn times(&self) -> Result<Answer, Refusal> {
        type Pick = fn(&Times) -> Option<u64>;
        let items: Vec<Times> = self.items("handshake-times").await?;
        let picks: [(&str, &'static str, Pick); 4] = [
            ("Mean", "series-1", |times| times.mean_us),
            ("Half are below", "series-3", |times| times.p50_us),
            ("90 % are below", "series-2", |times| times.p90_us),
            ("99 % are below", "series-5", |times| times.p99_us),
        ];
        let line = |(label, colour, pick): (&str, &'static str, Pick)| {
            Line::new(label, colour, self.values(&items, |item| pick(item).map(|us| us as f64)))
        };
        let lines: Vec<Line> = picks.map(line).into();
        let columns = lines.iter().map(|line| (Unit::Micros, line.clone())).collect();
        let charts = vec![self.chart("Handshake times", Unit::Micros, Kind::Lines, lines)];
        Ok(Answer { charts, columns, shares: None, sources: vec!["handshake-times"] })
    }
}

fn class_text(class: u16) -> &'static str {
    match class {
        1 => "1xx switched",
        2 => "2xx no upgrade",
        3 => "3xx elsewhere",
        4 => "4xx refused",
        _ => "5xx failed",
    }
}

fn class_colour(class: u16) -> &'static str {
    match class {
        1 => "ok",
        2 => "series-1",
        3 => "series-4",
        4 => "notice",
        _ => "bad",
    }
}

/// Rare codes of a class are counted under these (`statistics::Measures`).
fn code_text(code: u16) -> String {
    match code {
        100 | 299 | 399 | 498 | 599 => format!("other {}xx", code / 100),
        code => code.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_and_peaks_leave_out_what_is_not_there() {
        let line = Line::new("x", "ok", vec![Some(1.0), None, Some(4.0), Some(4.0), None]);
        assert_eq!((line.total(), line.peak()), (9.0, Some((2, 4.0))));
        assert_eq!(Line::new("x", "ok", vec![None]).peak(), None);
    }

    #[test]
    fn values_are_short_and_gaps_are_null() {
        let line = Line::new("x", "ok", vec![Some(3.0), None, Some(26.666_666_6)]);
        let text = serde_json::to_string(&line).unwrap();
        assert!(text.ends_with(r#""values":[3,null,26.67]}"#), "{text}");
    }

    #[test]
    fn every_value_has_its_unit() {
        for (unit, value, text) in [
            (Unit::Bytes, 1500.0, "1.50 KB"),
            (Unit::Bps, 0.0, "0 bit/s"),
            (Unit::Count, 1234.0, "1,234"),
            (Unit::Micros, 250.0, "250 µs"),
            (Unit::Micros, 12_340.0, "12.3 ms"),
            (Unit::Micros, 1_500_000.0, "1.50 s"),
        ] {
            assert_eq!(unit.text(value), text);
        }
    }
}
