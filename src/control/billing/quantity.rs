//! Quantities that bandwidth is charged by, from points of five minutes.
//!
//! A point is the bytes that were sent in it, over all domains: its bandwidth is `bytes * 8 / 300`
//! bit/s. Points in which nothing was sent are zero, and count. Not here: prices, and which
//! quantity is charged.

use super::calendar::{DAY, HOUR, Offset};
use crate::control::statistics::SLOT;

/// By the clocks of the billing calendar: bandwidth of these hours weighs half in
/// `PayByBandwidth_nighthalf95`. The product's own hours are not public.
pub const NIGHT_ENDS: i64 = 8 * HOUR;

/// Every point of a range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Points {
    start: i64,
    bytes: Vec<u64>,
}

/// The largest point, the first of them if there are several.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Peak {
    pub at: i64,
    pub bytes: u64,
}

/// A 95th percentile.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Percentile {
    /// The largest points that do not count: 5 % of all, rounded down.
    pub dropped: usize,
    /// The largest that does.
    pub bytes: u64,
}

impl Points {
    /// Zeros for `start..end`; both are at the start of a slot.
    pub fn new(start: i64, end: i64) -> Points {
        let slots = (end - start).max(0) / SLOT;
        Points { start, bytes: vec![0; usize::try_from(slots).unwrap_or(0)] }
    }

    /// Points out of the range are left out.
    pub fn add(&mut self, slot: i64, bytes: u64) {
        let index = usize::try_from((slot - self.start).div_euclid(SLOT));
        if let Some(point) = index.ok().and_then(|index| self.bytes.get_mut(index)) {
            *point += bytes;
        }
    }

    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub fn total(&self) -> u64 {
        self.bytes.iter().sum()
    }

    /// Bytes of the points that begin in `start..end`.
    pub fn total_of(&self, start: i64, end: i64) -> u64 {
        let within = self.iter().filter(|(at, _)| (start..end).contains(at));
        within.map(|(_, bytes)| bytes).sum()
    }

    pub fn peak(&self) -> Peak {
        let first_largest = |best: Peak, (at, bytes): (i64, u64)| {
            if bytes > best.bytes { Peak { at, bytes } } else { best }
        };
        self.iter().fold(Peak { at: self.start, bytes: 0 }, first_largest)
    }

    pub fn percentile_95(&self) -> Percentile {
        percentile_95(self.bytes.clone())
    }

    /// As [`Points::percentile_95`], with nights at half their weight. In halves of a byte.
    pub fn night_half_95(&self, offset: Offset) -> Percentile {
        let weighted = self.iter().map(|(at, bytes)| {
            let night = at - offset.day_start(at) < NIGHT_ENDS;
            if night { bytes } else { bytes.saturating_mul(2) }
        });
        percentile_95(weighted.collect())
    }

    /// The points of each day of the calendar; the first and the last day may be cut.
    pub fn days(&self, offset: Offset) -> Vec<Points> {
        let end = self.start + self.bytes.len() as i64 * SLOT;
        let mut days = Vec::new();
        let mut at = self.start;
        while at < end {
            let next = offset.next_day(at).min(end);
            let index = |at: i64| usize::try_from((at - self.start) / SLOT).unwrap_or(0);
            days.push(Points { start: at, bytes: self.bytes[index(at)..index(next)].to_vec() });
            at = next;
        }
        days
    }

    pub fn start(&self) -> i64 {
        self.start
    }

    fn iter(&self) -> impl Iterator<Item = (i64, u64)> {
        (self.start..).step_by(SLOT as usize).zip(self.bytes.iter().copied())
    }
}

/// DCDN OpenAPI 2018-01-15, billing: sorted from the largest down, 5 % are dropped, the next is
/// charged.
fn percentile_95(mut points: Vec<u64>) -> Percentile {
    let dropped = points.len() / 20;
    points.sort_unstable_by(|a, b| b.cmp(a));
    Percentile { dropped, bytes: points.get(dropped).copied().unwrap_or(0) }
}

/// What the methods by the month charge.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MonthFigures {
    pub points: u64,
    /// Days that these points are of.
    pub days: u64,
    pub percentile_95: Percentile,
    /// Sum over days: divide by `days`.
    pub daily_peaks: u128,
    /// Of fewer than four days: the smallest.
    pub fourth_peak: u64,
    /// Sum over days: divide by `days`.
    pub daily_percentiles: u128,
    /// In halves of a byte.
    pub night_half_95: Percentile,
}

impl MonthFigures {
    pub fn of(points: &Points, offset: Offset) -> MonthFigures {
        let days = points.days(offset);
        let mut peaks: Vec<u64> = days.iter().map(|day| day.peak().bytes).collect();
        peaks.sort_unstable_by(|a, b| b.cmp(a));
        let percentiles = days.iter().map(|day| u128::from(day.percentile_95().bytes));
        MonthFigures {
            points: points.len() as u64,
            days: days.len() as u64,
            percentile_95: points.percentile_95(),
            daily_peaks: peaks.iter().map(|peak| u128::from(*peak)).sum(),
            fourth_peak: peaks.get(3).or(peaks.last()).copied().unwrap_or(0),
            daily_percentiles: percentiles.sum(),
            night_half_95: points.night_half_95(offset),
        }
    }
}

/// Points of a whole day.
pub const DAY_POINTS: i64 = DAY / SLOT;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::billing::calendar::Month;

    const OFFSET: Offset = Offset::BEIJING;

    fn month(text: &str) -> (i64, Points) {
        let month: Month = text.parse().unwrap();
        let start = month.start(OFFSET);
        (start, Points::new(start, month.end(OFFSET)))
    }

    #[test]
    fn ranks_of_the_95th_percentile() {
        // DCDN OpenAPI 2018-01-15, billing: 28 days drop 403 points and charge the 404th, 29 days
        // 417 and 418, 30 days 432 and 433, 31 days 446 and 447.
        for (text, days, dropped) in
            [("2027-02", 28, 403), ("2028-02", 29, 417), ("2026-11", 30, 432), ("2026-12", 31, 446)]
        {
            let (start, mut points) = month(text);
            assert_eq!(points.len(), 288 * days);
            // 1 to n, out of order: the k-th largest is n + 1 - k.
            let n = points.len() as u64;
            for i in 0..n {
                points.add(start + i as i64 * SLOT, (i * 7_919) % n + 1);
            }
            let charged = dropped as u64 + 1;
            let found = points.percentile_95();
            assert_eq!((found.dropped, found.bytes), (dropped, n + 1 - charged), "{text}");
        }
    }

    #[test]
    fn the_peak_of_a_day_is_the_largest_of_288_points() {
        let start = OFFSET.day_start(1_790_000_000);
        let mut day = Points::new(start, start + DAY);
        assert_eq!((day.len() as i64, day.peak()), (DAY_POINTS, Peak { at: start, bytes: 0 }));
        for (slot, bytes) in [(0, 5), (7, 40), (200, 40), (287, 39), (7, 1), (288, 99), (-1, 99)] {
            day.add(start + slot * SLOT, bytes);
        }
        assert_eq!(day.peak(), Peak { at: start + 7 * SLOT, bytes: 41 });
        assert_eq!(day.total(), 5 + 41 + 40 + 39);
        // 14 of 288 are dropped.
        assert_eq!(day.percentile_95(), Percentile { dropped: 14, bytes: 0 });
    }

    #[test]
    fn what_months_are_charged_by() {
        let (start, mut points) = month("2026-11");
        // Day d has 20 points of (d + 1) * 100 from noon on, and one of 10,000 at 03:00 of day 0.
        for day in 0..30 {
            for slot in 0..20 {
                points.add(start + day * DAY + 12 * HOUR + slot * SLOT, (day as u64 + 1) * 100);
            }
        }
        points.add(start + 3 * HOUR, 10_000);
        let figures = MonthFigures::of(&points, OFFSET);
        assert_eq!((figures.points, figures.days), (8_640, 30));
        let peaks: u128 = 10_000 + (2..=30).map(|d| d * 100).sum::<u128>();
        assert_eq!(figures.daily_peaks, peaks);
        assert_eq!(figures.fourth_peak, 2_800, "10000, 3000, 2900, 2800");
        // The 15th largest of each day: of its 20 equal ones.
        assert_eq!(figures.daily_percentiles, (1..=30).map(|d| d * 100).sum::<u128>());
        // 432 dropped of 601 that are not zero: the 10,000 and 431 of the days 30 down to 9.
        assert_eq!(figures.percentile_95, Percentile { dropped: 432, bytes: 900 });
        assert_eq!(figures.night_half_95, Percentile { dropped: 432, bytes: 1_800 });
        let mut night = Points::new(start, start + DAY);
        for slot in 0..30 {
            night.add(start + slot * SLOT, 100);
        }
        assert_eq!(night.night_half_95(OFFSET).bytes, 100, "half of 100, in halves");
        assert_eq!(night.percentile_95().bytes, 100);
    }

    #[test]
    fn a_month_that_has_just_begun() {
        let (start, _) = month("2026-11");
        let none = MonthFigures::of(&Points::new(start, start), OFFSET);
        assert_eq!(none, MonthFigures::default());
        let mut two = Points::new(start, start + DAY + HOUR);
        two.add(start, 7);
        two.add(start + DAY, 5);
        let figures = MonthFigures::of(&two, OFFSET);
        assert_eq!((figures.days, figures.daily_peaks, figures.fourth_peak), (2, 12, 5));
        assert_eq!(two.days(OFFSET)[1].len(), 12);
    }
}
