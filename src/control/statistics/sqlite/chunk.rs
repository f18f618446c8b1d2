//! How counted slots are written: the parts of [`Measures`] as entries of a chunk, which is one
//! cell on one UTC day. Pure.
//!
//! Not here: where chunks are kept and found (`read`, `upkeep`).

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::control::statistics::{DAY, HOUR, Measures, SLOT};
use crate::stats::histogram::BOUNDS_US;

pub(super) const SLOTS_PER_DAY: u16 = (DAY / SLOT) as u16;
const SLOTS_PER_HOUR: u16 = (HOUR / SLOT) as u16;

/// What is read together, and so kept together.
pub(super) trait Part: Default + Clone + Serialize + DeserializeOwned {
    const TABLE: &'static str;

    fn of(measures: &Measures) -> Self;

    /// Nothing was counted: it need not be written.
    fn is_empty(&self) -> bool;

    /// Adds what the same cell counted at another time: sums, and the larger peak.
    fn join(&mut self, later: &Self);

    fn add_to(&self, measures: &mut Measures);

    /// Reads itself from the front of `bytes`, into the room that it has.
    fn take(&mut self, bytes: &mut &[u8]) -> Result<(), Fault>;
}

/// Why bytes are none of ours.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    #[error(transparent)]
    Encoding(#[from] postcard::Error),
    #[error("a bucket of times that there is not")]
    Bucket,
    #[error("a slot behind the end of its day")]
    Slot,
    #[error("bytes behind its end")]
    Tail,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Traffic {
    pub bytes_out: u64,
    pub bytes_in: u64,
    pub messages_out: u64,
    pub messages_in: u64,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Handshakes {
    codes: Vec<(u16, u64)>,
    us: u64,
    /// Buckets that are not empty.
    times: Vec<(u8, u64)>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Connections {
    pub opened: u64,
    pub peak: u64,
    closed: Vec<(u8, u64)>,
}

/// A slot that is still open, with all its parts.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Live {
    pub traffic: Traffic,
    pub handshakes: Handshakes,
    pub connections: Connections,
}

/// Slots of one day, by their number in it, ascending.
pub(super) type Entries<P> = BTreeMap<u16, P>;

/// Units of a chunk that is older than its five-minute slots are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Hour,
    Day,
}

pub(super) fn encode<P: Part>(entries: &Entries<P>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut next = 0;
    for (&slot, part) in entries {
        bytes = postcard::to_extend(&(slot - next, part), bytes).expect("a Vec takes any byte");
        next = slot + 1;
    }
    bytes
}

/// Calls `each` with every entry, in order.
///
/// # Errors
/// Why these bytes are no chunk; entries before the fault have been seen by then.
pub(super) fn decode<P: Part>(
    mut bytes: &[u8],
    mut each: impl FnMut(u16, &P),
) -> Result<(), Fault> {
    let mut next = 0u16;
    let mut part = P::default();
    while !bytes.is_empty() {
        let slot = next.checked_add(take(&mut bytes)?).filter(|&slot| slot < SLOTS_PER_DAY);
        let slot = slot.ok_or(Fault::Slot)?;
        part.take(&mut bytes)?;
        each(slot, &part);
        next = slot + 1;
    }
    Ok(())
}

fn take<T: DeserializeOwned>(bytes: &mut &[u8]) -> Result<T, postcard::Error> {
    let (value, rest) = postcard::take_from_bytes(bytes)?;
    *bytes = rest;
    Ok(value)
}

pub(super) fn entries<P: Part>(bytes: &[u8]) -> Result<Entries<P>, Fault> {
    let mut entries = Entries::new();
    decode(bytes, |slot, part: &P| {
        entries.insert(slot, part.clone());
    })?;
    Ok(entries)
}

pub(super) fn join<P: Part>(entries: &mut Entries<P>, slot: u16, part: &P) {
    if !part.is_empty() {
        entries.entry(slot).or_default().join(part);
    }
}

/// Entries of whole hours or days. A local midnight always begins another one, so that days of
/// this offset stay exact.
pub(super) fn roll_up<P: Part>(entries: &Entries<P>, unit: Unit, day_offset: i64) -> Entries<P> {
    let midnight = ((-day_offset).rem_euclid(DAY) as u64).div_ceil(SLOT as u64) as u16;
    let mut rolled = Entries::new();
    for (&slot, part) in entries {
        let begin = match unit {
            Unit::Hour => slot - slot % SLOTS_PER_HOUR,
            Unit::Day => 0,
        };
        let begin = if (begin..=slot).contains(&midnight) { midnight } else { begin };
        join(&mut rolled, begin, part);
    }
    rolled
}

// === impl Part ===

impl Part for Traffic {
    const TABLE: &'static str = "statistics_traffic";

    fn of(measures: &Measures) -> Traffic {
        Traffic {
            bytes_out: measures.bytes_out,
            bytes_in: measures.bytes_in,
            messages_out: measures.messages_out,
            messages_in: measures.messages_in,
        }
    }

    fn is_empty(&self) -> bool {
        *self == Traffic::default()
    }

    fn join(&mut self, later: &Traffic) {
        self.bytes_out += later.bytes_out;
        self.bytes_in += later.bytes_in;
        self.messages_out += later.messages_out;
        self.messages_in += later.messages_in;
    }

    fn add_to(&self, measures: &mut Measures) {
        measures.bytes_out += self.bytes_out;
        measures.bytes_in += self.bytes_in;
        measures.messages_out += self.messages_out;
        measures.messages_in += self.messages_in;
    }

    fn take(&mut self, bytes: &mut &[u8]) -> Result<(), Fault> {
        *self = take(bytes)?;
        Ok(())
    }
}

impl Part for Handshakes {
    const TABLE: &'static str = "statistics_handshakes";

    fn of(measures: &Measures) -> Handshakes {
        let times = (0u8..).zip(measures.handshake_times).filter(|(_, n)| *n > 0);
        Handshakes {
            codes: measures.handshakes.iter().map(|(code, n)| (*code, *n)).collect(),
            us: measures.handshake_us,
            times: times.collect(),
        }
    }

    fn is_empty(&self) -> bool {
        *self == Handshakes::default()
    }

    fn join(&mut self, later: &Handshakes) {
        join_pairs(&mut self.codes, &later.codes);
        self.us += later.us;
        join_pairs(&mut self.times, &later.times);
    }

    fn add_to(&self, measures: &mut Measures) {
        for (code, n) in &self.codes {
            *measures.handshakes.entry(*code).or_default() += n;
        }
        measures.handshake_us += self.us;
        for (bucket, n) in &self.times {
            measures.handshake_times[usize::from(*bucket)] += n;
        }
    }

    fn take(&mut self, bytes: &mut &[u8]) -> Result<(), Fault> {
        take_pairs(&mut self.codes, bytes)?;
        self.us = take(bytes)?;
        take_pairs(&mut self.times, bytes)?;
        match self.times.iter().all(|(bucket, _)| usize::from(*bucket) <= BOUNDS_US.len()) {
            true => Ok(()),
            false => Err(Fault::Bucket),
        }
    }
}

impl Part for Connections {
    const TABLE: &'static str = "statistics_connections";

    fn of(measures: &Measures) -> Connections {
        Connections {
            opened: measures.opened,
            peak: measures.peak,
            closed: measures.closed.iter().map(|(cause, n)| (*cause, *n)).collect(),
        }
    }

    fn is_empty(&self) -> bool {
        *self == Connections::default()
    }

    fn join(&mut self, later: &Connections) {
        self.opened += later.opened;
        self.peak = self.peak.max(later.peak);
        join_pairs(&mut self.closed, &later.closed);
    }

    fn add_to(&self, measures: &mut Measures) {
        measures.opened += self.opened;
        measures.peak += self.peak;
        for (cause, n) in &self.closed {
            *measures.closed.entry(*cause).or_default() += n;
        }
    }

    fn take(&mut self, bytes: &mut &[u8]) -> Result<(), Fault> {
        (self.opened, self.peak) = take(bytes)?;
        take_pairs(&mut self.closed, bytes)?;
        Ok(())
    }
}

/// Few and ordered by their first: a search is cheaper than a map of its own for each entry.
fn join_pairs<K: Ord + Copy>(mine: &mut Vec<(K, u64)>, later: &[(K, u64)]) {
    for &(key, n) in later {
        match mine.binary_search_by_key(&key, |(key, _)| *key) {
            Ok(at) => mine[at].1 += n,
            Err(at) => mine.insert(at, (key, n)),
        }
    }
}

/// As serde writes a `Vec`, without making one.
fn take_pairs<K: DeserializeOwned>(
    pairs: &mut Vec<(K, u64)>,
    bytes: &mut &[u8],
) -> Result<(), postcard::Error> {
    pairs.clear();
    let length: usize = take(bytes)?;
    for _ in 0..length {
        pairs.push(take(bytes)?);
    }
    Ok(())
}

// === impl Live ===

impl Live {
    pub(super) fn of(measures: &Measures) -> Live {
        Live {
            traffic: Traffic::of(measures),
            handshakes: Handshakes::of(measures),
            connections: Connections::of(measures),
        }
    }

    pub(super) fn join(&mut self, later: &Live) {
        self.traffic.join(&later.traffic);
        self.handshakes.join(&later.handshakes);
        self.connections.join(&later.connections);
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        postcard::to_extend(self, Vec::new()).expect("a Vec takes any byte")
    }

    /// # Errors
    /// Why these bytes are none.
    pub(super) fn decode(mut bytes: &[u8]) -> Result<Live, Fault> {
        let mut live = Live::default();
        live.traffic.take(&mut bytes)?;
        live.handshakes.take(&mut bytes)?;
        live.connections.take(&mut bytes)?;
        match bytes.is_empty() {
            true => Ok(live),
            false => Err(Fault::Tail),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(opened: u64, peak: u64) -> Connections {
        Connections { opened, peak, closed: vec![(3, 1)] }
    }

    #[test]
    fn what_is_written_is_read() {
        let measures = Measures {
            bytes_out: u64::MAX,
            handshakes: BTreeMap::from([(101, 5), (502, 1)]),
            handshake_us: 700,
            handshake_times: std::array::from_fn(|i| if i == 11 { 6 } else { 0 }),
            peak: 4,
            closed: BTreeMap::from([(0, 5)]),
            ..Measures::default()
        };
        let live = Live::decode(&Live::of(&measures).encode()).unwrap();
        let mut found = Measures::default();
        live.traffic.add_to(&mut found);
        live.handshakes.add_to(&mut found);
        live.connections.add_to(&mut found);
        assert_eq!(found, measures);

        let chunk: Entries<Handshakes> =
            [0, 1, 287].into_iter().map(|slot| (slot, live.handshakes.clone())).collect();
        assert_eq!(entries(&encode(&chunk)).unwrap(), chunk);
    }

    #[test]
    fn a_quiet_slot_costs_few_bytes() {
        let traffic =
            Traffic { bytes_out: 3_000_000, bytes_in: 9000, messages_out: 700, messages_in: 90 };
        let chunk: Entries<Traffic> = (0..SLOTS_PER_DAY).map(|i| (i, traffic.clone())).collect();
        assert_eq!(encode(&chunk).len(), 288 * 10);
    }

    #[test]
    fn damage_is_told_and_never_panics() {
        let whole = encode(&Entries::from([(7, counted(1, 1)), (9, counted(2, 2))]));
        for end in 1..whole.len() {
            let _ = entries::<Connections>(&whole[..end]);
            let _ = entries::<Handshakes>(&whole[..end]);
            let _ = Live::decode(&whole[..end]);
        }
        assert!(entries::<Connections>(&whole[..whole.len() - 1]).is_err());
        let late = encode(&Entries::from([(SLOTS_PER_DAY - 1, counted(1, 1))]));
        let twice = [&late[..], &late].concat();
        let why = entries::<Connections>(&twice).unwrap_err();
        assert_eq!(why.to_string(), "a slot behind the end of its day");
        let bucket = Handshakes { times: vec![(12, 1)], ..Handshakes::default() };
        assert!(entries::<Handshakes>(&encode(&Entries::from([(0, bucket)]))).is_err());
    }

    // DCDN OpenAPI 2018-01-15: days of the configured offset; a half hour of India, too.
    #[test]
    fn hours_and_days_begin_anew_at_midnight() {
        let chunk: Entries<Connections> =
            (0..SLOTS_PER_DAY).map(|i| (i, counted(1, u64::from(i)))).collect();
        let begins = |unit, offset| -> Vec<(u16, u64, u64)> {
            let rolled = roll_up(&chunk, unit, offset);
            rolled.iter().map(|(slot, c)| (*slot, c.opened, c.peak)).collect()
        };
        assert_eq!(begins(Unit::Day, 0), [(0, 288, 287)]);
        assert_eq!(begins(Unit::Day, 8 * HOUR), [(0, 192, 191), (192, 96, 287)]);
        assert_eq!(begins(Unit::Hour, 8 * HOUR).len(), 24);
        let india = begins(Unit::Hour, 5 * HOUR + HOUR / 2);
        assert_eq!(india.len(), 25);
        assert_eq!(india[18..20], [(216, 6, 221), (222, 6, 227)]);
        let rolled = roll_up(&roll_up(&chunk, Unit::Hour, 8 * HOUR), Unit::Day, 8 * HOUR);
        assert_eq!(rolled, roll_up(&chunk, Unit::Day, 8 * HOUR));
        assert_eq!(rolled[&0].closed, [(3, 192)]);
    }
}
