//! What happens to counted slots as they age: closed ones move from their rows into the chunk of
//! their day, chunks lose their fine slots, and go. In many short transactions, so that counting
//! never waits for long; what was interrupted is done again and changes nothing twice.
//!
//! Not here: when it is called (`fold`).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rusqlite::{OptionalExtension, Transaction};

use super::cells::CELL_BITS;
use super::chunk::{self, Connections, Entries, Handshakes, Live, Part, Traffic, Unit};
use super::read::{chunk_bytes, damaged_chunk, damaged_live};
use super::{chunk_id, day_of, slot_in_day};
use crate::control::database::Database;
use crate::control::statistics::{DAY, HOUR, SLOT, StatisticsError};
use crate::limits::{STATISTICS_CELLS_PER_TIDYING, STATISTICS_CHUNKS_PER_TIDYING as CHUNKS};

/// A slot is closed when its hour and this much more are over: later than any flush of it, and a
/// chunk is written twelve times less often than slots end.
const MARGIN: i64 = 60;
/// Between two transactions.
const PAUSE: Duration = Duration::from_millis(1);
/// The age in days from which on a UTC day has only hours of handshakes and connections, only days,
/// and nothing at all. What `now - 93 days` is in must be whole, and of `now - 366 days` the local
/// day, which may begin on the UTC day before.
const HOURS_FROM: i64 = 93 + 1;
const DAYS_FROM: i64 = 186 + 1;
const FORGOTTEN_FROM: i64 = 366 + 2;

pub(super) fn tidy(database: &Database, now: i64, day_offset: i64) -> Result<(), StatisticsError> {
    let mut met = Met::default();
    met.note(close_slots(database, now))?;
    let today = day_of(now);
    for (unit, age) in [(Unit::Hour, HOURS_FROM), (Unit::Day, DAYS_FROM)] {
        met.note(once_a_day(database, unit.work(), today - age, |days| {
            let mut met = Met::default();
            met.note(roll_up::<Handshakes>(database, days, unit, day_offset))?;
            met.note(roll_up::<Connections>(database, days, unit, day_offset))?;
            met.into_result()
        }))?;
    }
    met.note(once_a_day(database, "forget", today - FORGOTTEN_FROM, |(_, last)| {
        forget(database, last)
    }))?;
    met.into_result()
}

/// The first damage met on the way. It stops nothing else; any other error does.
#[derive(Debug, Default)]
struct Met(Option<StatisticsError>);

impl Met {
    fn note<T>(&mut self, result: Result<T, StatisticsError>) -> Result<(), StatisticsError> {
        match result {
            Ok(_) => Ok(()),
            Err(error @ StatisticsError::Damaged { .. }) => {
                self.0.get_or_insert(error);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    fn into_result(self) -> Result<(), StatisticsError> {
        self.0.map_or(Ok(()), Err)
    }
}

/// Moves the slots of hours that are over into the chunks of their days.
fn close_slots(database: &Database, now: i64) -> Result<(), StatisticsError> {
    let closed = (now - MARGIN).div_euclid(HOUR) * HOUR;
    let mut met = Met::default();
    let mut from = i64::MIN;
    let first = "SELECT min(slot) FROM statistics_live WHERE slot >= ?1 AND slot < ?2";
    while let Some(slot) = database.read(|reader| {
        reader.prepare_cached(first)?.query_row((from, closed), |row| row.get::<_, Option<i64>>(0))
    })? {
        let hour = slot.div_euclid(HOUR) * HOUR;
        let mut cell = Some(0);
        while let Some(first) = cell {
            let (next, found) = database.write(|work| close_some(work, hour, first))?;
            met.note(found.into_result())?;
            let_others_write();
            cell = next;
        }
        from = hour + HOUR;
    }
    met.into_result()
}

/// The same for some cells from `first` on, and from which it goes on.
fn close_some(
    work: &Transaction<'_>,
    hour: i64,
    first: i64,
) -> Result<(Option<i64>, Met), StatisticsError> {
    let mut next = work.prepare_cached(
        "SELECT cell FROM statistics_live WHERE slot = ?1 AND cell >= ?2 ORDER BY cell LIMIT ?3",
    )?;
    let slots = || (hour..hour + HOUR).step_by(SLOT as usize);
    let mut lowest: BTreeSet<i64> = BTreeSet::new();
    for slot in slots() {
        let found =
            next.query_map((slot, first, STATISTICS_CELLS_PER_TIDYING), |row| row.get(0))?;
        for cell in found {
            lowest.insert(cell?);
        }
    }
    let Some(&last) = lowest.iter().take(STATISTICS_CELLS_PER_TIDYING as usize).next_back() else {
        return Ok((None, Met::default()));
    };
    let end = last + 1;

    let mut met = Met::default();
    let mut cells: BTreeMap<i64, Vec<(i64, Live)>> = BTreeMap::new();
    let mut select = work.prepare_cached(
        "SELECT cell, data FROM statistics_live WHERE slot = ?1 AND cell >= ?2 AND cell < ?3",
    )?;
    for slot in slots() {
        let mut rows = select.query((slot, first, end))?;
        while let Some(row) = rows.next()? {
            let cell = row.get(0)?;
            let bytes = row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?;
            match Live::decode(bytes) {
                Ok(live) => cells.entry(cell).or_default().push((slot, live)),
                Err(why) => met.note::<()>(Err(damaged_live(work, slot, cell, why)))?,
            }
        }
    }
    let mut delete =
        work.prepare_cached("DELETE FROM statistics_live WHERE slot = ?1 AND cell = ?2")?;
    for (cell, slots) in cells {
        match append(work, cell, day_of(hour), &slots) {
            Ok(()) => {
                for (slot, _) in slots {
                    delete.execute((slot, cell))?;
                }
            }
            // Its slots stay where they are, and are read from there.
            damaged => met.note(damaged)?,
        }
    }
    Ok((Some(end), met))
}

/// Adds slots of one day to the chunks of a cell: to all three, or to none if one is damaged.
pub(super) fn append(
    work: &Transaction<'_>,
    cell: i64,
    day: i64,
    slots: &[(i64, Live)],
) -> Result<(), StatisticsError> {
    let mut traffic = load::<Traffic>(work, cell, day)?;
    let mut handshakes = load::<Handshakes>(work, cell, day)?;
    let mut connections = load::<Connections>(work, cell, day)?;
    for (slot, live) in slots {
        let slot = slot_in_day(*slot);
        chunk::join(&mut traffic, slot, &live.traffic);
        chunk::join(&mut handshakes, slot, &live.handshakes);
        chunk::join(&mut connections, slot, &live.connections);
    }
    work.prepare_cached(
        "UPDATE statistics_cell SET last_day = ?2 WHERE id = ?1 AND last_day < ?2",
    )?
    .execute((cell, day))?;
    save(work, cell, day, &traffic)?;
    save(work, cell, day, &handshakes)?;
    save(work, cell, day, &connections)?;
    Ok(())
}

fn load<P: Part>(
    work: &Transaction<'_>,
    cell: i64,
    day: i64,
) -> Result<Entries<P>, StatisticsError> {
    match chunk_bytes::<P>(work, cell, day)? {
        None => Ok(Entries::new()),
        Some(bytes) => {
            chunk::entries(&bytes).map_err(|why| damaged_chunk::<P>(work, cell, day, why))
        }
    }
}

pub(super) fn save<P: Part>(
    work: &Transaction<'_>,
    cell: i64,
    day: i64,
    entries: &Entries<P>,
) -> rusqlite::Result<()> {
    if entries.is_empty() {
        return Ok(());
    }
    work.prepare_cached(&format!(
        "INSERT INTO {} (id, data) VALUES (?1, ?2) \
         ON CONFLICT (id) DO UPDATE SET data = excluded.data",
        P::TABLE
    ))?
    .execute((chunk_id(cell, day), chunk::encode(entries)))?;
    Ok(())
}

fn roll_up<P: Part>(
    database: &Database,
    (first, last): (i64, i64),
    unit: Unit,
    day_offset: i64,
) -> Result<(), StatisticsError> {
    let ids =
        format!("SELECT id FROM {} WHERE id >= ?1 AND id < ?2 ORDER BY id LIMIT ?3", P::TABLE);
    let end = chunk_id(0, last + 1);
    let mut from = chunk_id(0, first);
    let mut met = Met::default();
    loop {
        let (next, found) = database.write(|work| -> Result<_, StatisticsError> {
            let ids: Vec<i64> = work
                .prepare_cached(&ids)?
                .query_map((from, end, CHUNKS), |row| row.get(0))?
                .collect::<Result<_, _>>()?;
            let mut met = Met::default();
            for id in &ids {
                let (cell, day) = (id & ((1 << CELL_BITS) - 1), id >> CELL_BITS);
                match load::<P>(work, cell, day) {
                    Ok(entries) => {
                        save(work, cell, day, &chunk::roll_up(&entries, unit, day_offset))?;
                    }
                    Err(error) => met.note::<()>(Err(error))?,
                }
            }
            Ok((ids.last().map(|id| id + 1), met))
        })?;
        met.note(found.into_result())?;
        let Some(next) = next else { return met.into_result() };
        from = next;
        let_others_write();
    }
}

/// Deletes the chunks up to a day, and the cells that had their last by then.
fn forget(database: &Database, last: i64) -> Result<(), StatisticsError> {
    for table in [Traffic::TABLE, Handshakes::TABLE, Connections::TABLE] {
        let some = format!(
            "DELETE FROM {table} WHERE id IN \
             (SELECT id FROM {table} WHERE id < ?1 ORDER BY id LIMIT ?2)"
        );
        let end = chunk_id(0, last + 1);
        while database.write(|work| work.prepare_cached(&some)?.execute((end, CHUNKS)))? > 0 {
            let_others_write();
        }
    }
    database.write(|work| {
        work.execute("DELETE FROM statistics_damaged WHERE slot < ?1", [last * DAY])?;
        work.execute(
            "DELETE FROM statistics_cell \
             WHERE last_day <= ?1 AND id NOT IN (SELECT cell FROM statistics_live)",
            [last],
        )
    })?;
    Ok(())
}

/// Does `work` for the days up to `last` that it was not done for, and remembers the day.
fn once_a_day(
    database: &Database,
    name: &str,
    last: i64,
    work: impl FnOnce((i64, i64)) -> Result<(), StatisticsError>,
) -> Result<(), StatisticsError> {
    let done = "SELECT day FROM statistics_progress WHERE work = ?1";
    let done: Option<i64> = database.read(|reader| {
        reader.prepare_cached(done)?.query_row([name], |row| row.get(0)).optional()
    })?;
    let first = match done {
        Some(day) if day == last => return Ok(()),
        Some(day) if day < last => day + 1,
        // The first time, or the clock was ahead then.
        _ => 0,
    };
    let mut met = Met::default();
    met.note(work((first, last)))?;
    database.write(|work| {
        work.execute("REPLACE INTO statistics_progress (work, day) VALUES (?1, ?2)", (name, last))
    })?;
    met.into_result()
}

/// A lock that is taken again at once leaves those who wait for it where they are.
fn let_others_write() {
    std::thread::sleep(PAUSE);
}

impl Unit {
    /// Its name in the table of what was done.
    fn work(self) -> &'static str {
        match self {
            Unit::Hour => "hours",
            Unit::Day => "days",
        }
    }
}

const _: () = assert!(DAY % HOUR == 0 && HOUR % SLOT == 0);
