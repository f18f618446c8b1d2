//! Days and months of bills: at a fixed offset from UTC, so that no day has 23 or 25 hours.
//!
//! Not here: which plan holds when (`billing`), slots of five minutes (`statistics`).

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

pub const HOUR: i64 = 3_600;
pub const DAY: i64 = 24 * HOUR;

/// Offset of the billing calendar from UTC, in seconds; east of Greenwich is positive. Whole
/// quarters of an hour from -12:00 to +14:00, as time zones have them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offset(i32);

impl Offset {
    /// The product's own (DCDN OpenAPI 2018-01-15: changes take effect at `T16:00:00Z`).
    pub const BEIJING: Offset = Offset(8 * 3_600);
    const RANGE: std::ops::RangeInclusive<i32> = -12 * 3_600..=14 * 3_600;
    const STEP: i32 = 15 * 60;

    pub fn seconds(self) -> i64 {
        i64::from(self.0)
    }

    /// Start of the hour, by the clocks of this offset, that `at` is in.
    pub fn hour_start(self, at: i64) -> i64 {
        self.floor(at, HOUR)
    }

    pub fn day_start(self, at: i64) -> i64 {
        self.floor(at, DAY)
    }

    /// The first midnight after `at`.
    pub fn next_day(self, at: i64) -> i64 {
        self.day_start(at) + DAY
    }

    pub fn month(self, at: i64) -> Month {
        let date = self.date(at);
        Month { year: date.year(), month: date.month() }
    }

    /// The date that clocks of this offset show at `at`.
    pub fn date(self, at: i64) -> Date {
        let days = (at + self.seconds()).div_euclid(DAY);
        // Any moment of this program is some years from 1970: the range of `Date` is far away.
        let epoch = Date::constant(1970, 1, 1);
        epoch.saturating_add(jiff::Span::new().days(days.clamp(-700_000, 2_900_000)))
    }

    fn floor(self, at: i64, step: i64) -> i64 {
        (at + self.seconds()).div_euclid(step) * step - self.seconds()
    }
}

impl FromStr for Offset {
    type Err = ();

    fn from_str(text: &str) -> Result<Offset, ()> {
        let two = |digits: &str| -> Result<i32, ()> {
            let plain = digits.len() == 2 && digits.bytes().all(|b| b.is_ascii_digit());
            if plain { digits.parse().map_err(drop) } else { Err(()) }
        };
        let (hours, minutes) = text.get(1..).ok_or(())?.split_once(':').ok_or(())?;
        let (hours, minutes) = (two(hours)?, two(minutes)?);
        let size = hours * 3_600 + minutes * 60;
        let seconds = match text.as_bytes()[0] {
            b'+' => size,
            b'-' => -size,
            _ => return Err(()),
        };
        let fits = minutes < 60 && seconds % Offset::STEP == 0 && Offset::RANGE.contains(&seconds);
        fits.then_some(Offset(seconds)).ok_or(())
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sign, size) = (if self.0 < 0 { '-' } else { '+' }, self.0.abs());
        write!(f, "{sign}{:02}:{:02}", size / 3_600, size / 60 % 60)
    }
}

/// A month of the billing calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Month {
    year: i16,
    month: i8,
}

impl Month {
    fn first(self) -> Date {
        Date::constant(self.year, self.month, 1)
    }

    pub fn start(self, offset: Offset) -> i64 {
        let days = (self.first() - Date::constant(1970, 1, 1)).get_days();
        i64::from(days) * DAY - offset.seconds()
    }

    pub fn end(self, offset: Offset) -> i64 {
        self.start(offset) + self.days() * DAY
    }

    pub fn days(self) -> i64 {
        i64::from(self.first().days_in_month())
    }
}

impl FromStr for Month {
    type Err = String;

    fn from_str(text: &str) -> Result<Month, String> {
        let wrong =
            || format!("{text:?} is not a month; write it as 2026-11 (from 1970-01 to 9990-12)");
        let (year, month) = text.split_once('-').ok_or_else(wrong)?;
        let plain = |part: &str, n| part.len() == n && part.bytes().all(|b| b.is_ascii_digit());
        if !plain(year, 4) || !plain(month, 2) {
            return Err(wrong());
        }
        let year: i16 = year.parse().map_err(|_| wrong())?;
        let month: i8 = month.parse().map_err(|_| wrong())?;
        if !(1970..=9990).contains(&year) || !(1..=12).contains(&month) {
            return Err(wrong());
        }
        Ok(Month { year, month })
    }
}

impl TryFrom<String> for Month {
    type Error = String;

    fn try_from(text: String) -> Result<Month, String> {
        text.parse()
    }
}

impl From<Month> for String {
    fn from(month: Month) -> String {
        month.to_string()
    }
}

impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.year, self.month)
    }
}

/// Seconds since the Unix epoch as RFC 3339, in UTC.
pub fn rfc3339(at: i64) -> String {
    Timestamp::from_second(at).map_or_else(|_| at.to_string(), |at| at.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> i64 {
        text.parse::<Timestamp>().unwrap().as_second()
    }

    #[test]
    fn offsets_are_written_as_clocks_show_them() {
        for (text, seconds) in [
            ("+08:00", 28_800),
            ("+00:00", 0),
            ("-03:30", -12_600),
            ("+05:45", 20_700),
            ("+14:00", 50_400),
            ("-12:00", -43_200),
        ] {
            let offset: Offset = text.parse().unwrap();
            assert_eq!((offset.seconds(), offset.to_string()), (seconds, text.to_owned()));
        }
        for text in [
            "", "+", "8", "08:00", "+8:00", "+08", "+08:60", "+08:10", "+14:15", "-12:15", "x08:00",
        ] {
            assert_eq!(text.parse::<Offset>(), Err(()), "{text}");
        }
        assert_eq!("+é8:00".parse::<Offset>(), Err(()));
    }

    #[test]
    fn days_and_months_begin_at_midnight_of_the_offset() {
        for (offset, now, day, next, month, month_end) in [
            // DCDN OpenAPI 2018-01-15: 1 April 00:00 at +08:00 is 2018-03-31T16:00:00Z.
            (
                "+08:00",
                "2018-03-31T15:59:59Z",
                "2018-03-30T16:00:00Z",
                "2018-03-31T16:00:00Z",
                "2018-03",
                "2018-03-31T16:00:00Z",
            ),
            (
                "+08:00",
                "2018-03-31T16:00:00Z",
                "2018-03-31T16:00:00Z",
                "2018-04-01T16:00:00Z",
                "2018-04",
                "2018-04-30T16:00:00Z",
            ),
            (
                "+00:00",
                "2026-12-31T23:59:59Z",
                "2026-12-31T00:00:00Z",
                "2027-01-01T00:00:00Z",
                "2026-12",
                "2027-01-01T00:00:00Z",
            ),
            (
                "-03:30",
                "2027-01-01T03:29:59Z",
                "2026-12-31T03:30:00Z",
                "2027-01-01T03:30:00Z",
                "2026-12",
                "2027-01-01T03:30:00Z",
            ),
            (
                "+05:45",
                "2028-02-29T18:14:59Z",
                "2028-02-28T18:15:00Z",
                "2028-02-29T18:15:00Z",
                "2028-02",
                "2028-02-29T18:15:00Z",
            ),
            (
                "+14:00",
                "2026-01-31T10:00:00Z",
                "2026-01-31T10:00:00Z",
                "2026-02-01T10:00:00Z",
                "2026-02",
                "2026-02-28T10:00:00Z",
            ),
        ] {
            let (offset, now): (Offset, i64) = (offset.parse().unwrap(), at(now));
            assert_eq!(offset.day_start(now), at(day), "{offset} {now}");
            assert_eq!(offset.next_day(now), at(next), "{offset} {now}");
            assert_eq!(offset.month(now).to_string(), month, "{offset} {now}");
            assert_eq!(offset.month(now).end(offset), at(month_end), "{offset} {now}");
            assert!(offset.month(now).start(offset) <= now);
        }
        let half: Offset = "+05:30".parse().unwrap();
        assert_eq!(half.hour_start(at("2026-11-01T10:29:59Z")), at("2026-11-01T09:30:00Z"));
    }

    #[test]
    fn months_have_their_days() {
        for (month, days) in [
            ("2026-01", 31),
            ("2026-02", 28),
            ("2028-02", 29),
            ("2100-02", 28),
            ("2026-04", 30),
            ("2026-12", 31),
            ("1970-01", 31),
        ] {
            let month: Month = month.parse().unwrap();
            assert_eq!(month.days(), days, "{month}");
            let (start, end) = (month.start(Offset::BEIJING), month.end(Offset::BEIJING));
            assert_eq!(Offset::BEIJING.month(start), month);
            assert_eq!(Offset::BEIJING.month(end - 1), month);
            assert_ne!(Offset::BEIJING.month(end), month);
        }
        for text in ["", "2026", "2026-13", "2026-00", "26-01", "2026-1", "+026-01", "9999-01"] {
            assert!(text.parse::<Month>().is_err(), "{text}");
        }
    }
}
