//! Statistics of WebSocket by domain, region, provider and time: from the cores' counters to slots
//! that can be asked for.
//!
//! Not here: the counters (`stats`), the words of an API (`api`, `dcdn`), bills (`billing`).

pub mod fold;
pub mod sqlite;
pub mod window;

use std::collections::BTreeMap;
use std::ops::AddAssign;
use std::sync::Arc;

use crate::stats::histogram::BOUNDS_US;
use crate::stats::{Cause, Layer, SeriesName};

use super::database::Schema;

pub const SCHEMA: Schema = Schema { part: "statistics", steps: &[sqlite::TABLES] };

/// Seconds of the shortest slot.
pub const SLOT: i64 = 300;
pub const HOUR: i64 = 3600;
pub const DAY: i64 = 86_400;

/// What was counted in one slot.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Measures {
    /// Bytes sent to clients (the billed figure) and received from them.
    pub bytes_out: u64,
    pub bytes_in: u64,
    pub messages_out: u64,
    pub messages_in: u64,
    /// Tunnels opened.
    pub opened: u64,
    /// Most tunnels open at once.
    pub peak: u64,
    /// Answers to upgrade requests by status code; the answers of rare codes count under 100, 299,
    /// 399, 498 and 599.
    pub handshakes: BTreeMap<u16, u64>,
    /// Tunnels closed by cause (`Cause as usize`).
    pub closed: BTreeMap<u8, u64>,
    /// Of handshakes: microseconds in all, and counts by the buckets of `stats::histogram`.
    pub handshake_us: u64,
    pub handshake_times: [u64; BOUNDS_US.len() + 1],
}

impl AddAssign<&Measures> for Measures {
    /// Peaks add up: two series of the same slot.
    fn add_assign(&mut self, other: &Measures) {
        self.bytes_out += other.bytes_out;
        self.bytes_in += other.bytes_in;
        self.messages_out += other.messages_out;
        self.messages_in += other.messages_in;
        self.opened += other.opened;
        self.peak += other.peak;
        for (code, n) in &other.handshakes {
            *self.handshakes.entry(*code).or_default() += n;
        }
        for (cause, n) in &other.closed {
            *self.closed.entry(*cause).or_default() += n;
        }
        self.handshake_us += other.handshake_us;
        for (mine, theirs) in self.handshake_times.iter_mut().zip(other.handshake_times) {
            *mine += theirs;
        }
    }
}

/// What one series counted of one layer in one slot, or in a part of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Start, in seconds since the Unix epoch; a multiple of [`SLOT`].
    pub slot: i64,
    pub series: SeriesName,
    /// How the clients came, where that was counted.
    pub layer: Option<Layer>,
    pub measures: Measures,
}

/// Which series; all that match are merged into one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// Empty: all.
    pub domains: Vec<Arc<str>>,
    pub regions: Vec<Arc<str>>,
    pub isps: Vec<Arc<str>>,
    /// Empty: all, and what was counted under no layer too. Kept by domain, not by place.
    pub layers: Vec<Layer>,
}

/// One of the three parts of a series' name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dimension {
    Domain,
    Region,
    Isp,
}

impl Selection {
    /// The names listed of one kind; empty for all.
    pub fn of(&self, dimension: Dimension) -> &[Arc<str>] {
        match dimension {
            Dimension::Domain => &self.domains,
            Dimension::Region => &self.regions,
            Dimension::Isp => &self.isps,
        }
    }

    /// The same with other names of one kind.
    pub fn with(&self, dimension: Dimension, names: Vec<Arc<str>>) -> Selection {
        let mut selection = self.clone();
        match dimension {
            Dimension::Domain => selection.domains = names,
            Dimension::Region => selection.regions = names,
            Dimension::Isp => selection.isps = names,
        }
        selection
    }
}

/// The length of slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    FiveMinutes,
    Hour,
    /// Days begin at midnight of this offset from UTC, in seconds.
    Day {
        offset: i64,
    },
}

impl Step {
    pub fn seconds(self) -> i64 {
        match self {
            Step::FiveMinutes => SLOT,
            Step::Hour => HOUR,
            Step::Day { .. } => DAY,
        }
    }

    /// Start of the slot that `time` is in.
    pub fn floor(self, time: i64) -> i64 {
        let offset = match self {
            Step::FiveMinutes | Step::Hour => 0,
            Step::Day { offset } => offset,
        };
        (time + offset).div_euclid(self.seconds()) * self.seconds() - offset
    }
}

/// Which part of [`Measures`] is wanted; the others may stay zero, and cost nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// `bytes_out`, `bytes_in`, and messages.
    Traffic,
    /// `handshakes`, `handshake_us`, `handshake_times`.
    Handshakes,
    /// `opened`, `peak`, `closed`.
    Connections,
    All,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    pub selection: Selection,
    /// Seconds since the Unix epoch, half open; slots that begin in `start..end`. `start` is on a
    /// boundary of `step`.
    pub start: i64,
    pub end: i64,
    pub step: Step,
    pub wanted: Wanted,
}

/// One slot of an answer. Every slot of the range is there, in order, empty ones too.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Slot {
    pub start: i64,
    /// Sums; `peak` is the largest of its five-minute slots.
    pub measures: Measures,
    /// Largest bytes of one five-minute slot of the merged series, for bandwidth: `* 8 / 300`.
    pub most_bytes_out: u64,
    /// The first five-minute slot with that many, or `start`.
    pub most_bytes_out_at: i64,
    pub most_bytes_in: u64,
}

/// Where statistics are kept. All calls block.
pub trait Store: Send + Sync + std::fmt::Debug {
    /// Adds to what there is of the same slot and series; all rows, or none. Peaks of the rows of
    /// one call add up where series are merged; of later calls the larger one counts.
    ///
    /// # Errors
    /// Nothing was added; the caller keeps the rows and tries again.
    fn add(&self, rows: &[Row]) -> Result<(), StatisticsError>;

    /// # Errors
    /// The store cannot be read or too many ask at once, or what is asked for is too much or
    /// damaged.
    fn query(&self, query: &Query) -> Result<Vec<Slot>, StatisticsError>;

    /// What was counted in `start..end` by domain, region or provider: one slot of the whole range
    /// for each name in the selection, in order of names, with `most_bytes_out` of the whole range.
    ///
    /// # Errors
    /// As [`Store::query`].
    fn totals(
        &self,
        selection: &Selection,
        start: i64,
        end: i64,
        wanted: Wanted,
        by: Dimension,
    ) -> Result<Vec<(Arc<str>, Slot)>, StatisticsError>;

    /// Bytes out by domain and five-minute slot in `start..end`, for the ledger and tables by
    /// domain: only slots with any, by domain and then by slot.
    ///
    /// # Errors
    /// As [`Store::query`].
    fn bytes_by_domain(
        &self,
        start: i64,
        end: i64,
    ) -> Result<Vec<(Arc<str>, i64, u64)>, StatisticsError>;

    /// Names that occur in what is kept: domains, regions, providers, each in order.
    ///
    /// # Errors
    /// The store cannot be read.
    fn names(&self) -> Result<[Vec<Arc<str>>; 3], StatisticsError>;

    /// Closes slots, rolls up and forgets what is older than is kept; called now and then.
    ///
    /// # Errors
    /// The first that was met. What could be done was done; the next call goes on.
    fn tidy(&self, now: i64) -> Result<(), StatisticsError>;

    /// Seconds by which days begin before midnight UTC, from now on. Days that were rolled up under
    /// another offset keep it.
    fn days_begin(&self, offset: i64);
}

#[derive(Debug, thiserror::Error)]
pub enum StatisticsError {
    #[error("statistics: {0}")]
    Sqlite(#[from] rusqlite::Error),
    #[error(
        "statistics: {what} is damaged: {why}; the rest is not affected, and docs/statistics.md \
         says how to take it out"
    )]
    Damaged { what: String, why: String },
    #[error(
        "statistics: the selection names {asked} combinations of domain, region and provider, at \
         most {most} can be asked for at once; leave a list out to mean all of them"
    )]
    TooMany { asked: usize, most: usize },
    #[error(
        "statistics: what is asked for by layer is not kept by region and provider; leave the \
         layer out, or these"
    )]
    LayersOfPlace,
    #[error("statistics: too many questions at once; ask again in a few seconds")]
    Busy,
    #[error("statistics: a range of {asked} s, at most {most} s can be asked for at once")]
    TooLong { asked: i64, most: i64 },
}

/// The name of a cause by its index, as it is kept.
pub fn cause_name(index: u8) -> &'static str {
    Cause::ALL.get(usize::from(index)).map_or("unknown", |cause| cause.name())
}
