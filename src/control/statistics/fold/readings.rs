//! What was counted since the last look: differences of the cores' counters, added up by series
//! and layer.
//!
//! Not here: when to look, and where the rows go. The clock is an argument.

use std::collections::BTreeMap;

use crate::control::statistics::{Measures, Row, SLOT};
use crate::stats::counters::CODES;
use crate::stats::histogram::BOUNDS_US;
use crate::stats::{Cause, Layer, SeriesCounters, SeriesName, Stats};

const SLOT_MS: i64 = SLOT * 1000;

/// The counters as they were at the last look.
#[derive(Debug)]
pub struct Readings {
    /// By core and series.
    last: Vec<Vec<Reading>>,
    at_ms: i64,
}

#[derive(Debug, Clone)]
struct Reading {
    bytes_out: u64,
    bytes_in: u64,
    messages_out: u64,
    messages_in: u64,
    opened: u64,
    active: u64,
    closed: [u64; Cause::COUNT],
    handshakes: [u64; CODES.len()],
    handshake_us: u64,
    handshake_times: [u64; BOUNDS_US.len() + 1],
}

impl Readings {
    /// Nothing was read yet; the first look finds all that was counted since `now_ms`.
    pub fn new(now_ms: i64) -> Readings {
        Readings { last: Vec::new(), at_ms: now_ms }
    }

    /// A row for each series that counted something or had tunnels since the last look, and begins
    /// the next period. `now_ms` are milliseconds since the Unix epoch.
    pub fn take(&mut self, stats: &Stats, now_ms: i64) -> Vec<Row> {
        let slot = self.slot(now_ms);
        let period = stats.period();
        let mut sums: BTreeMap<(SeriesName, Option<Layer>), Measures> = BTreeMap::new();
        self.last.resize_with(stats.cores().len(), Vec::new);
        for (core, last) in stats.cores().iter().zip(&mut self.last) {
            last.resize_with(core.series_used() as usize, Reading::none);
            for (index, before) in last.iter_mut().enumerate() {
                let counters = core.series(index as u32);
                let Some(name) = counters.name() else { continue };
                let peak = counters.peak_in(period, before.active);
                let reading = Reading::of(counters);
                // A tunnel may have opened between the two looks.
                let peak = peak.max(reading.active);
                let measures = reading.since(before, peak);
                *before = reading;
                if measures == Measures::default() {
                    continue;
                }
                *sums.entry((name.clone(), counters.layer())).or_default() += &measures;
            }
        }
        stats.next_period();
        self.at_ms = now_ms;
        sums.into_iter()
            .map(|((series, layer), measures)| Row { slot, series, layer, measures })
            .collect()
    }

    /// The slot of what was counted since the last look: the one in which that was, for slots end
    /// with a look. Unless the clock was set meanwhile, or nobody looked for longer than a slot:
    /// then the time of before means nothing.
    fn slot(&self, now_ms: i64) -> i64 {
        let normal = (0..SLOT_MS).contains(&(now_ms - self.at_ms));
        let at_ms = if normal { self.at_ms } else { now_ms };
        at_ms.div_euclid(SLOT_MS) * SLOT
    }
}

impl Reading {
    fn none() -> Reading {
        Reading {
            bytes_out: 0,
            bytes_in: 0,
            messages_out: 0,
            messages_in: 0,
            opened: 0,
            active: 0,
            closed: [0; Cause::COUNT],
            handshakes: [0; CODES.len()],
            handshake_us: 0,
            handshake_times: [0; BOUNDS_US.len() + 1],
        }
    }

    fn of(counters: &SeriesCounters) -> Reading {
        Reading {
            bytes_out: counters.bytes_out.value(),
            bytes_in: counters.bytes_in.value(),
            messages_out: counters.messages_out.value(),
            messages_in: counters.messages_in.value(),
            opened: counters.opened.value(),
            active: counters.active.value(),
            closed: counters.closed.each_ref().map(|counter| counter.value()),
            handshakes: counters.handshakes.values(),
            handshake_us: counters.handshake_us.sum_us(),
            handshake_times: counters.handshake_us.counts(),
        }
    }

    fn since(&self, before: &Reading, peak: u64) -> Measures {
        let differences = |now: &[u64], before: &[u64]| -> Vec<u64> {
            now.iter().zip(before).map(|(now, before)| now.wrapping_sub(*before)).collect()
        };
        let codes = differences(&self.handshakes, &before.handshakes);
        let causes = differences(&self.closed, &before.closed);
        let mut handshake_times = [0; BOUNDS_US.len() + 1];
        let times = self.handshake_times.iter().zip(before.handshake_times);
        for (difference, (now, before)) in handshake_times.iter_mut().zip(times) {
            *difference = now.wrapping_sub(before);
        }
        Measures {
            bytes_out: self.bytes_out.wrapping_sub(before.bytes_out),
            bytes_in: self.bytes_in.wrapping_sub(before.bytes_in),
            messages_out: self.messages_out.wrapping_sub(before.messages_out),
            messages_in: self.messages_in.wrapping_sub(before.messages_in),
            opened: self.opened.wrapping_sub(before.opened),
            peak,
            handshakes: CODES.into_iter().zip(codes).filter(|(_, n)| *n > 0).collect(),
            closed: (0..).zip(causes).filter(|(_, n)| *n > 0).collect(),
            handshake_us: self.handshake_us.wrapping_sub(before.handshake_us),
            handshake_times,
        }
    }
}
