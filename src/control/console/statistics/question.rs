//! What the page is asked for: from the texts of its URL to series, range and granularity, by the
//! rules of the product's page, and back to a URL that means the same for ever.
//!
//! Not here: the answer (`answers`), the form (`form`).

use axum::http::StatusCode;
use jiff::civil::DateTime;
use jiff::tz::{Offset, TimeZone};
use jiff::{Span, Timestamp};

use super::super::rest::{Refusal, Wrong, part};
use super::super::viewer::Fields;
use crate::control::statistics::window::{THREE_MONTHS, earliest, format, offered};
use crate::control::statistics::{DAY, HOUR, SLOT, Step};
use crate::limits::CONSOLE_STATISTICS_DOMAINS_MAX;

/// Below `/console`.
pub const PATH: &str = "/statistics";

/// What is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum View {
    Traffic,
    Codes,
    Connections,
    Messages,
    Times,
}

impl View {
    pub const ALL: [View; 5] =
        [View::Traffic, View::Codes, View::Connections, View::Messages, View::Times];

    pub fn name(self) -> &'static str {
        match self {
            View::Traffic => "traffic",
            View::Codes => "codes",
            View::Connections => "connections",
            View::Messages => "messages",
            View::Times => "times",
        }
    }

    pub fn text(self) -> &'static str {
        match self {
            View::Traffic => "Bandwidth and traffic",
            View::Codes => "HTTP codes",
            View::Connections => "Connections",
            View::Messages => "Messages",
            View::Times => "Handshake times",
        }
    }
}

/// A range that ends now, or with a day, by one press.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preset {
    Hour,
    DayLong,
    Today,
    Yesterday,
    ThreeDays,
    SevenDays,
    ThirtyDays,
    Month,
    ThreeMonths,
}

impl Preset {
    pub const ALL: [Preset; 9] = [
        Preset::Hour,
        Preset::DayLong,
        Preset::Today,
        Preset::Yesterday,
        Preset::ThreeDays,
        Preset::SevenDays,
        Preset::ThirtyDays,
        Preset::Month,
        Preset::ThreeMonths,
    ];

    /// In the URL, and as people read it.
    pub fn facts(self) -> (&'static str, &'static str) {
        match self {
            Preset::Hour => ("hour", "Last hour"),
            Preset::DayLong => ("24h", "24 hours"),
            Preset::Today => ("today", "Today"),
            Preset::Yesterday => ("yesterday", "Yesterday"),
            Preset::ThreeDays => ("3d", "3 days"),
            Preset::SevenDays => ("7d", "7 days"),
            Preset::ThirtyDays => ("30d", "30 days"),
            Preset::Month => ("month", "This month"),
            Preset::ThreeMonths => ("3months", "3 months"),
        }
    }

    fn named(name: &str) -> Option<Preset> {
        Preset::ALL.into_iter().find(|preset| preset.facts().0 == name)
    }

    /// Start and end; the slot that is being counted is the last one of a range that ends now.
    fn range(self, now: i64, offset: i64) -> (i64, i64) {
        let end = Step::FiveMinutes.floor(now) + SLOT;
        let midnight = Step::Day { offset }.floor(now);
        match self {
            Preset::Hour => (end - HOUR, end),
            Preset::DayLong => (end - DAY, end),
            Preset::Today => (midnight, end),
            Preset::Yesterday => (midnight - DAY, midnight),
            Preset::ThreeDays => (end - 3 * DAY, end),
            Preset::SevenDays => (end - 7 * DAY, end),
            Preset::ThirtyDays => (end - 30 * DAY, end),
            Preset::Month => (months_before(midnight, offset, None), end),
            Preset::ThreeMonths => (months_before(midnight, offset, Some(3)), end),
        }
    }
}

/// The first day of the month, or the same day so many months ago.
fn months_before(midnight: i64, offset: i64, months: Option<i64>) -> i64 {
    let zone = zone(offset);
    let Ok(at) = Timestamp::from_second(midnight) else { return midnight };
    let date = at.to_zoned(zone.clone()).date();
    let date = match months {
        None => date.first_of_month(),
        Some(months) => date.saturating_sub(Span::new().months(months)),
    };
    date.to_zoned(zone).map_or(midnight, |day| day.timestamp().as_second())
}

pub fn zone(offset: i64) -> TimeZone {
    let offset = i32::try_from(offset).ok().and_then(|s| Offset::from_seconds(s).ok());
    offset.map_or(TimeZone::UTC, TimeZone::fixed)
}

/// What the URL says, as it says it: what the form shows again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    pub view: View,
    pub domains: Vec<String>,
    pub region: String,
    pub isp: String,
    /// A range that was just chosen, instead of times.
    pub last: Option<Preset>,
    /// The preset that the times were made from.
    pub range: Option<Preset>,
    pub from: String,
    pub to: String,
    pub interval: String,
    pub page: usize,
    /// Seconds of the range, where the times mean something and other fields do not.
    pub span: Option<i64>,
}

impl Asked {
    pub fn read(query: &str) -> Asked {
        let fields = Fields::read(query.as_bytes());
        let view = View::ALL.into_iter().find(|view| view.name() == fields.text("view"));
        let names = fields.all("domain").map(str::trim).filter(|name| !name.is_empty());
        let mut domains: Vec<String> = names.map(str::to_ascii_lowercase).collect();
        domains.sort_unstable();
        domains.dedup();
        Asked {
            view: view.unwrap_or(View::Traffic),
            domains,
            region: fields.text("region").to_owned(),
            isp: fields.text("isp").to_owned(),
            last: Preset::named(fields.text("last")),
            range: Preset::named(fields.text("range")),
            from: fields.text("from").to_owned(),
            to: fields.text("to").to_owned(),
            interval: fields.text("interval").to_owned(),
            page: fields.text("page").parse().unwrap_or(1).max(1),
            span: None,
        }
    }

    /// What is meant, or every field that means nothing. `offset`: seconds by which days begin
    /// before midnight UTC.
    pub fn question(&self, now: i64, offset: i64) -> Result<Question, Refusal> {
        let mut wrong = Vec::new();
        if self.domains.len() > CONSOLE_STATISTICS_DOMAINS_MAX {
            let detail = format!("{} domains", self.domains.len());
            let accepted =
                format!("at most {CONSOLE_STATISTICS_DOMAINS_MAX}; none of them means all");
            wrong.push(at("/domain", detail, accepted));
        }
        let times = match self.last {
            Some(preset) => Ok(preset.range(now, offset)),
            None => self.times(now, offset),
        };
        let (start, end) = times.unwrap_or_else(|mut found| {
            wrong.append(&mut found);
            (now, now)
        });
        let step = match offered(end - start) {
            _ if end <= start => SLOT,
            intervals => self.step(intervals, end - start).unwrap_or_else(|found| {
                wrong.push(*found);
                intervals[0]
            }),
        };
        let kept = earliest(length(step, offset), now);
        if wrong.is_empty() && length(step, offset).floor(start) < kept {
            let detail = format!("slots of {} are not kept for so long", granularity(step));
            wrong.push(at("/from", detail, format!("{} at the earliest", local(kept, offset))));
        }
        if !wrong.is_empty() {
            return Err(Refusal { errors: wrong, ..refusal() });
        }
        Ok(Question {
            view: self.view,
            domains: self.domains.clone(),
            region: self.region.clone(),
            isp: self.isp.clone(),
            preset: self.last.or(self.range),
            start,
            end,
            step,
            offset,
            page: self.page,
        })
    }

    pub fn times(&self, now: i64, offset: i64) -> Result<(i64, i64), Vec<Wrong>> {
        if self.from.is_empty() && self.to.is_empty() {
            return Ok(Preset::DayLong.range(now, offset));
        }
        let time = |pointer: &str, text: &str| match instant(text, offset) {
            Some(time) => Ok(time),
            None => {
                let now = now - now.rem_euclid(60);
                let example = local(now, offset);
                let detail = match text {
                    "" => "it is missing".to_owned(),
                    text => format!("{text:?} is not a time"),
                };
                let accepted = format!("a time such as {example}, or {} in UTC", format(now));
                Err(Box::new(at(pointer, detail, accepted)))
            }
        };
        let (start, end) = match (time("/from", &self.from), time("/to", &self.to)) {
            (Ok(start), Ok(end)) => (start, end),
            (start, end) => {
                return Err([start.err(), end.err()].into_iter().flatten().map(|w| *w).collect());
            }
        };
        if start > now {
            let detail = format!("{} has not come yet", local(start, offset));
            let accepted = format!("a time before {}", local(now, offset));
            return Err(vec![at("/from", detail, accepted)]);
        }
        if end <= start {
            let detail = format!("{} is not after the start", local(end, offset));
            let accepted = format!("a time after {}", local(start, offset));
            return Err(vec![at("/to", detail, accepted)]);
        }
        if end - start > THREE_MONTHS {
            let detail = format!("a range of {}", span(end - start));
            let accepted = format!(
                "three months (93 days) at most: {} or later, or another end",
                local(end - THREE_MONTHS, offset)
            );
            return Err(vec![at("/from", detail, accepted)]);
        }
        Ok((start, end))
    }

    fn step(&self, intervals: &[i64], range: i64) -> Result<i64, Box<Wrong>> {
        let wanted = intervals.iter().find(|step| step.to_string() == self.interval);
        match wanted {
            Some(step) => Ok(*step),
            // Who presses "30 days" has not asked for what it has no room for.
            None if self.interval.is_empty() || self.last.is_some() => Ok(intervals[0]),
            None => {
                let named = [SLOT, HOUR, DAY].into_iter().find(|s| s.to_string() == self.interval);
                let detail = match named {
                    Some(step) => {
                        format!(
                            "{} is not offered for a range of {}",
                            granularity(step),
                            span(range)
                        )
                    }
                    None => format!("{:?} is no granularity", self.interval),
                };
                let accepted: Vec<_> = intervals.iter().copied().map(granularity).collect();
                Err(Box::new(at("/interval", detail, accepted.join(" or "))))
            }
        }
    }
}

/// That something is wrong with the fields.
pub fn refusal() -> Refusal {
    let detail = "what is asked for is not accepted; correct what is marked, then apply.";
    Refusal::new(StatusCode::BAD_REQUEST, "Nothing is shown", detail)
}

fn at(pointer: &str, detail: String, accepted: String) -> Wrong {
    Wrong {
        pointer: Some(pointer.to_owned()),
        detail,
        accepted: Some(accepted),
        ..Wrong::default()
    }
}

/// `2026-11-23T12:00`, of the node's offset; or with an offset of its own, such as `Z`.
fn instant(text: &str, offset: i64) -> Option<i64> {
    if let Ok(time) = text.parse::<Timestamp>() {
        return Some(time.as_second());
    }
    let time = text.parse::<DateTime>().ok()?;
    Some(time.to_zoned(zone(offset)).ok()?.timestamp().as_second())
}

/// `2026-11-23T12:00`, as an input of a browser has it; with seconds when there are any.
pub fn local(time: i64, offset: i64) -> String {
    let Ok(at) = Timestamp::from_second(time) else { return time.to_string() };
    let shape = if time.rem_euclid(60) == 0 { "%Y-%m-%dT%H:%M" } else { "%Y-%m-%dT%H:%M:%S" };
    at.to_zoned(zone(offset)).strftime(shape).to_string()
}

pub fn length(step: i64, offset: i64) -> Step {
    match step {
        DAY => Step::Day { offset },
        HOUR => Step::Hour,
        _ => Step::FiveMinutes,
    }
}

pub fn granularity(step: i64) -> &'static str {
    match step {
        DAY => "1 day",
        HOUR => "1 hour",
        _ => "5 minutes",
    }
}

/// `3 d`, `3 d 1 s`.
fn span(seconds: i64) -> String {
    let parts = [(DAY, "d"), (HOUR, "h"), (60, "min"), (1, "s")];
    let mut left = seconds;
    let mut texts = Vec::new();
    for (length, unit) in parts {
        if left >= length {
            texts.push(format!("{} {unit}", left / length));
            left %= length;
        }
    }
    texts.join(" ")
}

/// What is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    pub view: View,
    pub domains: Vec<String>,
    pub region: String,
    pub isp: String,
    pub preset: Option<Preset>,
    /// As asked for: slots that begin in `start..end`, and the one that `start` is in.
    pub start: i64,
    pub end: i64,
    pub step: i64,
    /// Seconds by which days begin before midnight UTC.
    pub offset: i64,
    pub page: usize,
}

impl Question {
    /// Below `/console`: the same page, whenever it is opened.
    pub fn url(&self) -> String {
        let mut url = format!(
            "{PATH}?view={}&from={}&to={}&interval={}",
            self.view.name(),
            format(self.start),
            format(self.end),
            self.step,
        );
        if let Some(preset) = self.preset {
            url += &format!("&range={}", preset.facts().0);
        }
        for domain in &self.domains {
            url += &format!("&domain={}", part(domain));
        }
        for (name, value) in [("region", &self.region), ("isp", &self.isp)] {
            if !value.is_empty() {
                url += &format!("&{name}={}", part(value));
            }
        }
        if self.page > 1 {
            url += &format!("&page={}", self.page);
        }
        url
    }

    pub fn with_view(&self, view: View) -> Question {
        Question { view, page: 1, ..self.clone() }
    }

    pub fn with_page(&self, page: usize) -> Question {
        Question { page, ..self.clone() }
    }

    pub fn with_domain(&self, domain: &str) -> Question {
        Question { domains: vec![domain.to_owned()], page: 1, ..self.clone() }
    }

    /// Below `/api/v1`: a series of this range and granularity.
    pub fn series(&self, what: &str) -> String {
        let (start, end) = (format(self.start), format(self.end));
        let filters = self.filters();
        format!("/statistics/{what}?start={start}&end={end}&interval={}{filters}", self.step)
    }

    /// Below `/api/v1`: something about the whole of the slots.
    pub fn whole(&self, what: &str) -> String {
        let (start, end) = self.slots();
        let filters = self.filters();
        format!("/statistics/{what}start={}&end={}{filters}", format(start), format(end))
    }

    /// From the start of the first slot to the end of the last one.
    pub fn slots(&self) -> (i64, i64) {
        let length = length(self.step, self.offset);
        (length.floor(self.start), length.floor(self.end - 1) + self.step)
    }

    /// The start of the slot that `time` is in.
    pub fn slot_of(&self, time: i64) -> i64 {
        length(self.step, self.offset).floor(time)
    }

    fn filters(&self) -> String {
        let domains: Vec<_> = self.domains.iter().map(|domain| part(domain)).collect();
        let lists = [
            ("domain", domains.join(",")),
            ("region", part(&self.region)),
            ("isp", part(&self.isp)),
        ];
        let given = lists.iter().filter(|(_, list)| !list.is_empty());
        given.map(|(name, list)| format!("&{name}={list}")).collect()
    }

    /// A name that tells what is in the file.
    pub fn file_name(&self, what: &str) -> String {
        let domains = match &*self.domains {
            [] => "all-domains".to_owned(),
            [one] => one.replace('*', "any"),
            several => format!("{}-domains", several.len()),
        };
        let time = |time| match Timestamp::from_second(time) {
            Ok(at) => at.strftime("%Y%m%dT%H%MZ").to_string(),
            Err(_) => String::new(),
        };
        let (start, end) = self.slots();
        let mut parts = vec!["hawser".to_owned(), what.to_owned(), domains];
        parts.extend([&self.region, &self.isp].into_iter().filter(|s| !s.is_empty()).cloned());
        parts.extend([time(start), time(end), granularity(self.step).replace(' ', "")]);
        parts.join("-") + ".csv"
    }
}

#[cfg(test)]
#[path = "question_tests.rs"]
mod tests;
