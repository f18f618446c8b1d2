//! Which slots a statistics call means: from the texts of StartTime, EndTime and Interval to a
//! range and a step, by the rules of the DCDN OpenAPI 2018-01-15. Pure: the time comes in.
//!
//! Not here: the codes and messages of the errors (`dcdn`, `api`), the slots themselves (`Store`).

use super::{DAY, HOUR, SLOT, Step};

/// Days for which slots of each length can be asked for, back from now.
const FIVE_MINUTES_KEPT: i64 = 93 * DAY;
const HOURS_KEPT: i64 = 186 * DAY;
const DAYS_KEPT: i64 = 366 * DAY;
/// Ranges from these lengths on have no five-minute slots, and no hours.
const FIVE_MINUTES_BELOW: i64 = 3 * DAY;
const HOURS_BELOW: i64 = 31 * DAY;
/// The longest range that the product's page on WebSocket lets one ask for: three months.
pub const THREE_MONTHS: i64 = 93 * DAY;
/// The longest range; the shorter ones follow from the two bounds above.
const RANGE_MAX: i64 = 366 * DAY;

/// A range of slots: those that begin in `start..end`, in ascending order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Seconds since the Unix epoch; the start is on a boundary of `step`, the end is as asked for.
    /// Both are what an answer gives back as its StartTime and EndTime.
    pub start: i64,
    pub end: i64,
    pub step: Step,
}

/// What a caller wrote; a text that is absent or empty was not given.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Asked<'a> {
    pub start: Option<&'a str>,
    pub end: Option<&'a str>,
    pub interval: Option<&'a str>,
}

/// To whom a range of exactly 3 or 31 days belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edges {
    /// DCDN OpenAPI 2018-01-15: to the longer ranges.
    Wire,
    /// The product's page on WebSocket ("within 3 days", "4 - 31 days"): to the shorter ones.
    Page,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TimeError {
    #[error("start and end belong together: give both, or neither for the last 24 hours")]
    OnlyOne,
    #[error("the start is not a time of the form 2026-11-01T00:00:00Z (UTC)")]
    StartMalformed,
    #[error("the end is not a time of the form 2026-11-01T00:00:00Z (UTC)")]
    EndMalformed,
    #[error("the end is not after the start")]
    EndNotAfterStart,
    /// Older than slots of this length are kept, or a range that is too long.
    #[error("the start is too early: at the earliest {}", format(*.earliest))]
    StartUnsupported { earliest: i64 },
}

impl Window {
    /// `day_offset`: seconds by which days begin before midnight UTC.
    ///
    /// # Errors
    /// In the order of [`TimeError`].
    pub fn of(
        asked: Asked<'_>,
        now: i64,
        day_offset: i64,
        edges: Edges,
    ) -> Result<Window, TimeError> {
        let (start, end) = match (present(asked.start), present(asked.end)) {
            (None, None) => (now - DAY, now),
            (Some(start), Some(end)) => {
                let start = parse(start).ok_or(TimeError::StartMalformed)?;
                (start, parse(end).ok_or(TimeError::EndMalformed)?)
            }
            _ => return Err(TimeError::OnlyOne),
        };
        if end <= start {
            return Err(TimeError::EndNotAfterStart);
        }
        let range = match edges {
            Edges::Wire => end - start,
            Edges::Page => end - start - 1,
        };
        let step = step(range, present(asked.interval), day_offset);
        let earliest = earliest(step, now).max(end - RANGE_MAX);
        if start < earliest {
            return Err(TimeError::StartUnsupported { earliest });
        }
        Ok(Window { start: step.floor(start), end, step })
    }
}

/// Seconds of the slots that the product's page on WebSocket offers for a range of so many seconds:
/// within 3 days, 4 to 31 days, 32 days and more.
pub fn offered(range: i64) -> &'static [i64] {
    match (range - 1).div_euclid(DAY) + 1 {
        ..=3 => &[SLOT, HOUR],
        4..=31 => &[HOUR, DAY],
        _ => &[DAY],
    }
}

/// The first slot of this length that can be asked for. By whole slots, so that a caller who asks
/// for all that is kept is not too late by the seconds that the call took.
pub fn earliest(step: Step, now: i64) -> i64 {
    step.floor(now - kept(step))
}

/// As the wire format writes times: `2026-11-01T00:00:00Z`.
pub fn format(time: i64) -> String {
    match jiff::Timestamp::from_second(time) {
        Ok(time) => time.to_string(),
        Err(_) => time.to_string(),
    }
}

fn present(text: Option<&str>) -> Option<&str> {
    text.filter(|text| !text.is_empty())
}

/// `yyyy-MM-ddTHH:mm:ssZ` and nothing else.
pub fn parse(text: &str) -> Option<i64> {
    const SHAPE: &[u8; 20] = b"0000-00-00T00:00:00Z";
    let alike = |(is, shall): (u8, &u8)| match shall {
        b'0' => is.is_ascii_digit(),
        other => is == *other,
    };
    // A leap second is no time that a slot could have.
    let shaped = text.len() == SHAPE.len() && text.bytes().zip(SHAPE).all(alike);
    if !shaped || &text[17..19] == "60" {
        return None;
    }
    text.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_second)
}

/// DCDN: an interval that is absent or not allowed for the range silently becomes the shortest
/// that is.
fn step(range: i64, interval: Option<&str>, day_offset: i64) -> Step {
    let day = Step::Day { offset: day_offset };
    let shortest = match range {
        ..FIVE_MINUTES_BELOW => Step::FiveMinutes,
        FIVE_MINUTES_BELOW..HOURS_BELOW => Step::Hour,
        _ => day,
    };
    let wanted = match interval {
        Some("300") => Step::FiveMinutes,
        Some("3600") => Step::Hour,
        Some("86400") => day,
        _ => shortest,
    };
    if wanted.seconds() < shortest.seconds() { shortest } else { wanted }
}

fn kept(step: Step) -> i64 {
    match step {
        Step::FiveMinutes => FIVE_MINUTES_KEPT,
        Step::Hour => HOURS_KEPT,
        Step::Day { .. } => DAYS_KEPT,
    }
}

const _: () = assert!(SLOT < HOUR && HOUR < DAY);

#[cfg(test)]
mod tests {
    use super::*;

    const BEIJING: i64 = 8 * HOUR;

    fn at(text: &str) -> i64 {
        parse(text).unwrap()
    }

    fn window(start: &str, end: &str, interval: &str, now: &str) -> Result<Window, TimeError> {
        let asked = Asked { start: Some(start), end: Some(end), interval: Some(interval) };
        Window::of(asked, at(now), BEIJING, Edges::Wire)
    }

    // DCDN OpenAPI 2018-01-15, table of spans and intervals.
    #[test]
    fn an_interval_that_is_absent_or_not_allowed_becomes_the_default_of_the_range() {
        let table = [
            // seconds of the range, and the step for: none, 300, 3600, 86400, 60, "x"
            (1, [300, 300, 3600, 86_400, 300, 300]),
            (3 * DAY - 1, [300, 300, 3600, 86_400, 300, 300]),
            (3 * DAY, [3600, 3600, 3600, 86_400, 3600, 3600]),
            (31 * DAY - 1, [3600, 3600, 3600, 86_400, 3600, 3600]),
            (31 * DAY, [86_400; 6]),
            (366 * DAY, [86_400; 6]),
        ];
        let now = at("2026-11-23T00:00:00Z");
        for (range, steps) in table {
            let (start, end) = (format(now - range), format(now));
            let intervals = ["", "300", "3600", "86400", "60", "x"];
            for (interval, step) in intervals.into_iter().zip(steps) {
                let found = window(&start, &end, interval, "2026-11-23T00:00:00Z").unwrap();
                assert_eq!(found.step.seconds(), step, "{range} {interval:?}");
            }
        }
    }

    // The product's page on WebSocket: granularity by time dimension.
    #[test]
    fn what_the_page_offers() {
        let table: [(i64, &[i64]); 11] = [
            (1, &[300, 3600]),
            (DAY, &[300, 3600]),
            (3 * DAY, &[300, 3600]),
            (3 * DAY + 1, &[3600, 86_400]),
            (4 * DAY, &[3600, 86_400]),
            (31 * DAY - 1, &[3600, 86_400]),
            (31 * DAY, &[3600, 86_400]),
            (31 * DAY + 1, &[86_400]),
            (32 * DAY, &[86_400]),
            (93 * DAY, &[86_400]),
            (366 * DAY, &[86_400]),
        ];
        let now = at("2026-11-23T00:00:00Z");
        for (range, intervals) in table {
            assert_eq!(offered(range), intervals, "{range}");
            let (start, end) = (format(now - range), format(now));
            for interval in intervals {
                let text = interval.to_string();
                let asked = Asked { start: Some(&start), end: Some(&end), interval: Some(&text) };
                let found = Window::of(asked, now, BEIJING, Edges::Page).unwrap();
                assert_eq!(found.step.seconds(), *interval, "{range}");
            }
        }
    }

    // DCDN OpenAPI 2018-01-15: stamps are the starts of slots; days begin at T16:00:00Z.
    #[test]
    fn the_start_is_the_start_of_a_slot_and_the_end_is_as_asked() {
        let table = [
            ("300", "2026-11-20T10:04:59Z", "2026-11-20T10:00:00Z"),
            ("300", "2026-11-20T10:05:00Z", "2026-11-20T10:05:00Z"),
            ("3600", "2026-11-20T10:59:59Z", "2026-11-20T10:00:00Z"),
            ("86400", "2026-11-20T15:59:59Z", "2026-11-19T16:00:00Z"),
            ("86400", "2026-11-20T16:00:00Z", "2026-11-20T16:00:00Z"),
        ];
        for (interval, start, aligned) in table {
            let end = "2026-11-21T11:22:33Z";
            let found = window(start, end, interval, "2026-11-23T00:00:00Z").unwrap();
            assert_eq!((&*format(found.start), found.end), (aligned, at(end)), "{interval}");
        }
    }

    #[test]
    fn days_begin_where_the_offset_says() {
        let now = at("2026-11-23T00:00:00Z");
        let asked = Asked {
            start: Some("2026-11-20T20:00:00Z"),
            end: Some("2026-11-21T20:00:00Z"),
            interval: Some("86400"),
        };
        let table = [
            (0, "2026-11-20T00:00:00Z"),
            (8 * HOUR, "2026-11-20T16:00:00Z"),
            (5 * HOUR + HOUR / 2, "2026-11-20T18:30:00Z"),
            (-3 * HOUR, "2026-11-20T03:00:00Z"),
            (-12 * HOUR, "2026-11-20T12:00:00Z"),
            (14 * HOUR, "2026-11-20T10:00:00Z"),
        ];
        for (offset, start) in table {
            assert_eq!(
                format(Window::of(asked, now, offset, Edges::Wire).unwrap().start),
                start,
                "{offset}"
            );
        }
    }

    // DCDN OpenAPI 2018-01-15: neither of both is the last 24 hours.
    #[test]
    fn nothing_given_is_the_last_day() {
        let now = at("2026-11-23T10:07:09Z");
        for given in [None, Some("")] {
            let asked = Asked { start: given, end: given, interval: None };
            let found = Window::of(asked, now, BEIJING, Edges::Wire).unwrap();
            let expected =
                Window { start: at("2026-11-22T10:05:00Z"), end: now, step: Step::FiveMinutes };
            assert_eq!(found, expected);
        }
        let asked = Asked { interval: Some("86400"), ..Asked::default() };
        let found = Window::of(asked, now, BEIJING, Edges::Wire).unwrap();
        assert_eq!(format(found.start), "2026-11-21T16:00:00Z");
    }

    // DCDN OpenAPI 2018-01-15: MissingTimeParameter, Invalid{Start,End}Time.Malformed,
    // InvalidEndTime.Mismatch.
    #[test]
    fn times_that_are_none() {
        use TimeError::{EndMalformed, EndNotAfterStart, OnlyOne, StartMalformed};
        let (good, later) = ("2026-11-20T00:00:00Z", "2026-11-20T00:00:01Z");
        let table = [
            (good, "", OnlyOne),
            ("", good, OnlyOne),
            ("x", "", OnlyOne),
            ("x", "x", StartMalformed),
            ("2026-11-20", later, StartMalformed),
            ("2026-11-20T00:00Z", later, StartMalformed),
            ("2026-11-20 00:00:00Z", later, StartMalformed),
            ("2026-11-20T00:00:00", later, StartMalformed),
            ("2026-11-20T00:00:00z", later, StartMalformed),
            ("2026-11-20T08:00:00+08:00", later, StartMalformed),
            ("2026-11-20T00:00:00.0Z", later, StartMalformed),
            ("2026-13-20T00:00:00Z", later, StartMalformed),
            ("2026-02-29T00:00:00Z", later, StartMalformed),
            ("2026-11-20T24:00:00Z", later, StartMalformed),
            ("2026-11-20T00:60:00Z", later, StartMalformed),
            ("2026-11-19T23:59:60Z", later, StartMalformed),
            ("２０26-11-2T00:00Z", later, StartMalformed),
            (good, "2026-11-31T00:00:00Z", EndMalformed),
            (good, good, EndNotAfterStart),
            (later, good, EndNotAfterStart),
        ];
        for (start, end, error) in table {
            let found = window(start, end, "", "2026-11-23T00:00:00Z");
            assert_eq!(found, Err(error), "{start:?} {end:?}");
        }
    }

    // DCDN OpenAPI 2018-01-15, history kept: 93, 186 and 366 days;
    // InvalidStartTime.ValueNotSupported.
    #[test]
    fn a_start_older_than_its_slots_are_kept() {
        let now = at("2026-11-23T10:07:09Z");
        for (interval, days, slot) in [("300", 93, 300), ("3600", 186, 3600), ("86400", 366, DAY)] {
            let earliest = match interval {
                "86400" => at("2025-11-21T16:00:00Z"),
                _ => (now - days * DAY).div_euclid(slot) * slot,
            };
            for (start, fits) in [(now - days * DAY, true), (earliest, true), (earliest - 1, false)]
            {
                let end = format(start + HOUR);
                let found = window(&format(start), &end, interval, &format(now));
                let expected = match fits {
                    true => Ok(earliest),
                    false => Err(TimeError::StartUnsupported { earliest }),
                };
                assert_eq!(found.map(|w| w.start), expected, "{interval} {start}");
            }
        }
    }

    // DCDN OpenAPI 2018-01-15, maximal range: 366 days.
    #[test]
    fn a_range_that_is_too_long() {
        let (start, end) = ("2025-11-23T00:00:00Z", "2026-11-24T00:00:00Z");
        assert!(window(start, end, "", "2026-11-23T00:00:00Z").is_ok());
        let earliest = at(start) + 1;
        assert_eq!(
            window(start, "2026-11-24T00:00:01Z", "", "2026-11-23T00:00:00Z"),
            Err(TimeError::StartUnsupported { earliest })
        );
        let said = TimeError::StartUnsupported { earliest }.to_string();
        assert_eq!(said, "the start is too early: at the earliest 2025-11-23T00:00:01Z");
    }
}
