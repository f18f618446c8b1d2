//! Reading: what was counted in a selection of cells, merged and by slots of the length asked for.
//!
//! Not here: which cells (`cells`), how they are written (`chunk`).

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension};

use super::cells::{self, describe};
use super::chunk::{self, Connections, Fault, Handshakes, Live, Part, Traffic};
use super::{chunk_id, day_of, slot_in_day};
use crate::control::statistics::window::format;
use crate::control::statistics::{
    DAY, Dimension, Query, SLOT, Selection, Slot, StatisticsError, Wanted,
};
use crate::limits::STATISTICS_RANGE_MAX;

/// A range cut into slots of equal length, filled cell by cell.
struct Answer {
    start: i64,
    step: i64,
    wanted: Wanted,
    slots: Vec<Sums>,
    /// Bytes out and in, and the peak, of each five-minute slot over all cells: the largest of them
    /// is only known when all have been added. Empty when none of it is wanted.
    merged: Vec<[u64; 3]>,
}

/// What was added to one slot. Lists of a few pairs: there are millions of additions, and one
/// [`Measures`] at the end.
#[derive(Clone, Default)]
struct Sums {
    traffic: Traffic,
    handshakes: Handshakes,
    connections: Connections,
}

/// # Errors
/// The database, or a chunk of the selection and range is damaged.
pub(super) fn slots(reader: &Connection, query: &Query) -> Result<Vec<Slot>, StatisticsError> {
    let mut answer = Answer::new(query.start, query.end, query.step.seconds(), query.wanted)?;
    answer.add(reader, &cells::selected(reader, &query.selection)?)?;
    Ok(answer.finish())
}

/// One slot of the whole range for every name, in order of the names.
pub(super) fn totals(
    reader: &Connection,
    selection: &Selection,
    (start, end): (i64, i64),
    wanted: Wanted,
    by: Dimension,
) -> Result<Vec<(Arc<str>, Slot)>, StatisticsError> {
    let names = match selection.of(by) {
        [] => cells::names(reader, by)?,
        listed => {
            let mut listed = listed.to_vec();
            listed.sort_unstable();
            listed.dedup();
            listed
        }
    };
    let start = whole_slots(start);
    let total = |name: Arc<str>| {
        let mut answer = Answer::new(start, end, end - start, wanted)?;
        let selection = selection.with(by, vec![name.clone()]);
        answer.add(reader, &cells::selected(reader, &selection)?)?;
        let slot = answer.finish().pop().unwrap_or_default();
        Ok((name, slot))
    };
    names.into_iter().map(total).collect()
}

/// Domain, slot and bytes out, by domain and then by slot.
pub(super) fn bytes_by_domain(
    reader: &Connection,
    start: i64,
    end: i64,
) -> Result<Vec<(Arc<str>, i64, u64)>, StatisticsError> {
    let mut found = Vec::new();
    let start = whole_slots(start);
    for name in cells::names(reader, Dimension::Domain)? {
        let mut answer = Answer::new(start, end, end - start, Wanted::Traffic)?;
        let selection = Selection { domains: vec![name.clone()], ..Selection::default() };
        answer.add(reader, &cells::selected(reader, &selection)?)?;
        for (slot, [bytes_out, ..]) in (start..).step_by(SLOT as usize).zip(answer.merged) {
            if bytes_out > 0 {
                found.push((name.clone(), slot, bytes_out));
            }
        }
    }
    Ok(found)
}

impl Answer {
    fn new(start: i64, end: i64, step: i64, wanted: Wanted) -> Result<Answer, StatisticsError> {
        let range = end.saturating_sub(start).max(0);
        if range > STATISTICS_RANGE_MAX {
            return Err(StatisticsError::TooLong { asked: range, most: STATISTICS_RANGE_MAX });
        }
        let step = step.max(SLOT);
        let slots = vec![Sums::default(); (range as usize).div_ceil(step as usize)];
        let five_minutes = match wanted {
            Wanted::Handshakes => 0,
            Wanted::Traffic | Wanted::Connections | Wanted::All => {
                slots.len() * (step as usize).div_ceil(SLOT as usize)
            }
        };
        Ok(Answer { start, step, wanted, slots, merged: vec![[0; 3]; five_minutes] })
    }

    fn end(&self) -> i64 {
        self.start + self.step * self.slots.len() as i64
    }

    fn add(&mut self, reader: &Connection, cells: &[i64]) -> Result<(), StatisticsError> {
        if self.slots.is_empty() {
            return Ok(());
        }
        if matches!(self.wanted, Wanted::Traffic | Wanted::All) {
            self.add_chunks(reader, cells, Answer::add_traffic)?;
        }
        if matches!(self.wanted, Wanted::Handshakes | Wanted::All) {
            self.add_chunks(reader, cells, Answer::add_handshakes)?;
        }
        if matches!(self.wanted, Wanted::Connections | Wanted::All) {
            self.add_chunks(reader, cells, Answer::add_connections)?;
        }
        self.add_live(reader, cells)
    }

    fn add_chunks<P: Part>(
        &mut self,
        reader: &Connection,
        cells: &[i64],
        add: fn(&mut Answer, i64, &P),
    ) -> Result<(), StatisticsError> {
        let query = format!("SELECT data FROM {} WHERE id = ?1", P::TABLE);
        let mut query = reader.prepare_cached(&query)?;
        let days = day_of(self.start)..=day_of(self.end() - 1);
        for (day, &cell) in days.flat_map(|day| cells.iter().map(move |cell| (day, cell))) {
            let mut rows = query.query([chunk_id(cell, day)])?;
            let Some(row) = rows.next()? else { continue };
            let bytes = row.get_ref(0)?.as_blob().map_err(rusqlite::Error::from)?;
            let decoded = chunk::decode(bytes, |slot, part: &P| {
                let slot = day * DAY + i64::from(slot) * SLOT;
                // A rolled-up slot that begins before the range belongs to what is before it.
                if (self.start..self.end()).contains(&slot) {
                    add(self, slot, part);
                }
            });
            decoded.map_err(|why| damaged_chunk::<P>(reader, cell, day, why))?;
        }
        Ok(())
    }

    fn add_live(&mut self, reader: &Connection, cells: &[i64]) -> Result<(), StatisticsError> {
        let mut next =
            reader.prepare_cached("SELECT min(slot) FROM statistics_live WHERE slot >= ?1")?;
        let mut find = reader
            .prepare_cached("SELECT data FROM statistics_live WHERE slot = ?1 AND cell = ?2")?;
        let mut from = self.start;
        while let Some(slot) = next.query_row([from], |row| row.get::<_, Option<i64>>(0))? {
            if slot >= self.end() {
                break;
            }
            for &cell in cells {
                let found = find
                    .query_row((slot, cell), |row| {
                        Ok(Live::decode(row.get_ref(0)?.as_blob().map_err(rusqlite::Error::from)?))
                    })
                    .optional()?;
                let Some(live) = found else { continue };
                let mut live = live.map_err(|why| damaged_live(reader, slot, cell, why))?;
                if matches!(self.wanted, Wanted::Connections | Wanted::All) {
                    // A late row: the peaks of one cell do not add up.
                    let kept = kept_peak(reader, cell, slot)?;
                    live.connections.peak = live.connections.peak.saturating_sub(kept);
                }
                self.add_traffic(slot, &live.traffic);
                self.add_handshakes(slot, &live.handshakes);
                self.add_connections(slot, &live.connections);
            }
            from = slot + 1;
        }
        Ok(())
    }

    fn add_traffic(&mut self, slot: i64, traffic: &Traffic) {
        self.slot(slot).traffic.join(traffic);
        if let Some([bytes_out, bytes_in, _]) = self.merged(slot) {
            *bytes_out += traffic.bytes_out;
            *bytes_in += traffic.bytes_in;
        }
    }

    fn add_handshakes(&mut self, slot: i64, handshakes: &Handshakes) {
        self.slot(slot).handshakes.join(handshakes);
    }

    fn add_connections(&mut self, slot: i64, connections: &Connections) {
        self.slot(slot).connections.join(connections);
        if let Some([.., peak]) = self.merged(slot) {
            *peak += connections.peak;
        }
    }

    fn slot(&mut self, slot: i64) -> &mut Sums {
        &mut self.slots[((slot - self.start) / self.step) as usize]
    }

    fn merged(&mut self, slot: i64) -> Option<&mut [u64; 3]> {
        self.merged.get_mut(((slot - self.start) / SLOT) as usize)
    }

    /// Traffic is the sum of its five-minute slots; bandwidth and peaks are the largest of them.
    fn finish(self) -> Vec<Slot> {
        let starts = (self.start..).step_by(self.step as usize);
        let slot = |(start, sums): (i64, &Sums)| {
            let mut slot = Slot { start, most_bytes_out_at: start, ..Slot::default() };
            sums.traffic.add_to(&mut slot.measures);
            sums.handshakes.add_to(&mut slot.measures);
            sums.connections.add_to(&mut slot.measures);
            slot.measures.peak = 0;
            slot
        };
        let mut slots: Vec<Slot> = starts.zip(&self.slots).map(slot).collect();
        for (i, [bytes_out, bytes_in, peak]) in (0i64..).zip(self.merged) {
            let slot = &mut slots[(i * SLOT / self.step) as usize];
            if bytes_out > slot.most_bytes_out {
                slot.most_bytes_out = bytes_out;
                slot.most_bytes_out_at = self.start + i * SLOT;
            }
            slot.most_bytes_in = slot.most_bytes_in.max(bytes_in);
            slot.measures.peak = slot.measures.peak.max(peak);
        }
        slots
    }
}

/// The peak of a slot that was closed before the row in hand came.
fn kept_peak(reader: &Connection, cell: i64, slot: i64) -> Result<u64, StatisticsError> {
    let day = day_of(slot);
    let Some(bytes) = chunk_bytes::<Connections>(reader, cell, day)? else { return Ok(0) };
    let entries = chunk::entries::<Connections>(&bytes)
        .map_err(|why| damaged_chunk::<Connections>(reader, cell, day, why))?;
    Ok(entries.get(&slot_in_day(slot)).map_or(0, |connections| connections.peak))
}

pub(super) fn chunk_bytes<P: Part>(
    reader: &Connection,
    cell: i64,
    day: i64,
) -> rusqlite::Result<Option<Vec<u8>>> {
    reader
        .prepare_cached(&format!("SELECT data FROM {} WHERE id = ?1", P::TABLE))?
        .query_row([chunk_id(cell, day)], |row| row.get(0))
        .optional()
}

pub(super) fn damaged_chunk<P: Part>(
    reader: &Connection,
    cell: i64,
    day: i64,
    why: Fault,
) -> StatisticsError {
    let (table, id) = (P::TABLE, chunk_id(cell, day));
    let what = format!("{table} of {} on {}, id {id}", describe(reader, cell), date(day));
    StatisticsError::Damaged { what, why: why.to_string() }
}

pub(super) fn damaged_live(
    reader: &Connection,
    slot: i64,
    cell: i64,
    why: Fault,
) -> StatisticsError {
    let what = format!("statistics_live of {} at {}", describe(reader, cell), format(slot));
    StatisticsError::Damaged { what, why: why.to_string() }
}

/// The first start of a slot from `start` on.
fn whole_slots(start: i64) -> i64 {
    start + (-start).rem_euclid(SLOT)
}

fn date(day: i64) -> String {
    let mut date = format(day * DAY);
    date.truncate(date.find('T').unwrap_or(date.len()));
    date
}
