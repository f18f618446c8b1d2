//! Statistics in the node's SQLite database. The drawing:
//!
//! ```text
//!  add ──► statistics_live       a row for each open slot and cell, read and written by slot
//!             │ tidy, when the hour is over
//!             ▼
//!          statistics_traffic, _handshakes, _connections
//!                                a row for each cell and UTC day: its five-minute slots, packed
//!             │ tidy: after 93 days hours, after 186 days days (not of traffic), after 366 nothing
//! ```
//!
//! A question reads the day rows of the few cells that it is the sum of, and merges. Traffic stays
//! in five-minute slots to the end: the largest of a sum is not the sum of the largest, so there is
//! no other way to tell the bandwidth of domains, regions and providers that are merged later.
//!
//! Not here: where the numbers come from (`fold`), what a call means (`window`).

mod cells;
mod chunk;
mod read;
#[cfg(test)]
mod tests;
mod turns;
mod upkeep;

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use rusqlite::{OptionalExtension, Transaction};

use self::cells::{CELL_BITS, Cell, Room};
use self::chunk::Live;
use self::turns::Turns;
use super::{
    DAY, Dimension, Measures, Query, Row, SLOT, Selection, Slot, StatisticsError, Store, Wanted,
};
use crate::control::database::Database;
use crate::limits::STATISTICS_CELLS_MAX;
use crate::stats::{Layer, SeriesName};

/// Chunks are in tables by integer and not `WITHOUT ROWID`, where a row of their size would
/// overflow into pages of its own.
pub const TABLES: &str = "
CREATE TABLE statistics_cell (
    id INTEGER PRIMARY KEY,
    domain TEXT NOT NULL,
    region TEXT NOT NULL,
    isp TEXT NOT NULL,
    last_day INTEGER NOT NULL DEFAULT 0,
    UNIQUE (domain, region, isp)
) STRICT;
CREATE INDEX statistics_domain ON statistics_cell (domain) WHERE region = '*' AND isp = '*';
CREATE TABLE statistics_live (
    slot INTEGER NOT NULL,
    cell INTEGER NOT NULL,
    data BLOB NOT NULL,
    PRIMARY KEY (slot, cell)
) STRICT, WITHOUT ROWID;
CREATE TABLE statistics_traffic (id INTEGER PRIMARY KEY, data BLOB NOT NULL) STRICT;
CREATE TABLE statistics_handshakes (id INTEGER PRIMARY KEY, data BLOB NOT NULL) STRICT;
CREATE TABLE statistics_connections (id INTEGER PRIMARY KEY, data BLOB NOT NULL) STRICT;
CREATE TABLE statistics_progress (work TEXT PRIMARY KEY, day INTEGER NOT NULL) STRICT;
CREATE TABLE statistics_damaged (slot INTEGER NOT NULL, cell INTEGER NOT NULL, data BLOB) STRICT;
";

#[derive(Debug)]
pub struct SqliteStore {
    database: Database,
    /// Follows the configuration: see [`Store::days_begin`].
    day_offset: AtomicI64,
    turns: Turns,
}

impl SqliteStore {
    /// `day_offset`: as of [`Store::days_begin`].
    pub fn new(database: Database, day_offset: i64) -> SqliteStore {
        SqliteStore { database, day_offset: day_offset.into(), turns: Turns::default() }
    }

    /// Adds slots of days that are over, at once to where they end: for what is brought from
    /// elsewhere.
    ///
    /// # Errors
    /// Nothing was added.
    pub fn import(&self, rows: &[Row]) -> Result<(), StatisticsError> {
        self.database.write(|work| {
            let mut days: BTreeMap<(i64, i64), Vec<(i64, Live)>> = BTreeMap::new();
            for ((cell, slot), measures) in cube(work, rows)? {
                days.entry((cell, day_of(slot))).or_default().push((slot, Live::of(&measures)));
            }
            days.iter()
                .try_for_each(|((cell, day), slots)| upkeep::append(work, *cell, *day, slots))
        })
    }
}

impl Store for SqliteStore {
    fn add(&self, rows: &[Row]) -> Result<(), StatisticsError> {
        if rows.is_empty() {
            return Ok(());
        }
        self.database.write(|work| {
            for ((cell, slot), measures) in cube(work, rows)? {
                count(work, cell, slot, Live::of(&measures))?;
            }
            Ok(())
        })
    }

    fn query(&self, query: &Query) -> Result<Vec<Slot>, StatisticsError> {
        let _turn = self.turns.take()?;
        self.database.read(|reader| read::slots(reader, query))
    }

    fn totals(
        &self,
        selection: &Selection,
        start: i64,
        end: i64,
        wanted: Wanted,
        by: Dimension,
    ) -> Result<Vec<(Arc<str>, Slot)>, StatisticsError> {
        let _turn = self.turns.take()?;
        self.database.read(|reader| read::totals(reader, selection, (start, end), wanted, by))
    }

    fn bytes_by_domain(
        &self,
        start: i64,
        end: i64,
    ) -> Result<Vec<(Arc<str>, i64, u64)>, StatisticsError> {
        let _turn = self.turns.take()?;
        self.database.read(|reader| read::bytes_by_domain(reader, start, end))
    }

    fn names(&self) -> Result<[Vec<Arc<str>>; 3], StatisticsError> {
        self.database.read(|reader| {
            Ok([
                cells::names(reader, Dimension::Domain)?,
                cells::names(reader, Dimension::Region)?,
                cells::names(reader, Dimension::Isp)?,
            ])
        })
    }

    fn days_begin(&self, offset: i64) {
        self.day_offset.store(offset, Ordering::Relaxed);
    }

    fn tidy(&self, now: i64) -> Result<(), StatisticsError> {
        upkeep::tidy(&self.database, now, self.day_offset.load(Ordering::Relaxed))
    }
}

/// A cell, a slot, and what is added to it.
type Counted = ((i64, i64), Measures);

/// What the rows add to each cell and slot, in the order in which open slots are kept.
fn cube(work: &Transaction<'_>, rows: &[Row]) -> Result<Vec<Counted>, StatisticsError> {
    let mut places: HashMap<(&SeriesName, Option<Layer>), Vec<i64>> = HashMap::new();
    let mut known: HashMap<Cell, i64> = HashMap::new();
    let mut sums: HashMap<(i64, i64), Measures> = HashMap::new();
    let room = Room::of(work, STATISTICS_CELLS_MAX)?;
    for row in rows {
        let cells = match places.entry((&row.series, row.layer)) {
            Entry::Occupied(cells) => cells.into_mut(),
            Entry::Vacant(place) => {
                let series = cells::place(work, &row.series, room)?;
                let of_layer = row.layer.map(|layer| cells::of_layer(&series.domain, layer));
                let mut ids = Vec::new();
                for cell in cells::cube(&series).into_iter().chain(of_layer.into_iter().flatten()) {
                    ids.push(match known.get(&cell) {
                        Some(id) => *id,
                        None => {
                            let id = cells::find_or_make(work, &cell)?;
                            known.insert(cell, id);
                            id
                        }
                    });
                }
                place.insert(ids)
            }
        };
        let slot = row.slot.div_euclid(SLOT) * SLOT;
        for &cell in &*cells {
            *sums.entry((cell, slot)).or_default() += &row.measures;
        }
    }
    let mut sums: Vec<_> = sums.into_iter().collect();
    sums.sort_unstable_by_key(|((cell, slot), _)| (*slot, *cell));
    Ok(sums)
}

/// Adds to the row of an open slot.
fn count(
    work: &Transaction<'_>,
    cell: i64,
    slot: i64,
    counted: Live,
) -> Result<(), StatisticsError> {
    let mut find =
        work.prepare_cached("SELECT data FROM statistics_live WHERE slot = ?1 AND cell = ?2")?;
    let found: Option<Vec<u8>> = find.query_row((slot, cell), |row| row.get(0)).optional()?;
    let sum = match found.map(|bytes| Live::decode(&bytes)) {
        None => counted,
        Some(Ok(mut sum)) => {
            sum.join(&counted);
            sum
        }
        Some(Err(why)) => {
            // One bad row must not keep all others from being counted.
            tracing::error!("{}", read::damaged_live(work, slot, cell, why));
            work.execute(
                "INSERT INTO statistics_damaged (slot, cell, data) SELECT slot, cell, data \
                 FROM statistics_live WHERE slot = ?1 AND cell = ?2",
                (slot, cell),
            )?;
            counted
        }
    };
    work.prepare_cached(
        "INSERT INTO statistics_live (slot, cell, data) VALUES (?1, ?2, ?3) \
         ON CONFLICT (slot, cell) DO UPDATE SET data = excluded.data",
    )?
    .execute((slot, cell, sum.encode()))?;
    Ok(())
}

/// Days since the Unix epoch.
fn day_of(time: i64) -> i64 {
    time.div_euclid(DAY).clamp(0, (1 << 20) - 1)
}

fn slot_in_day(slot: i64) -> u16 {
    (slot.rem_euclid(DAY) / SLOT) as u16
}

/// Identifiers of chunks are the day, and the cell in the last bits: what is written, rolled up and
/// forgotten together stands together. By cell first, closing an hour dirtied a page for every
/// cell, fifteen times as much as it wrote.
fn chunk_id(cell: i64, day: i64) -> i64 {
    (day << CELL_BITS) + cell
}
