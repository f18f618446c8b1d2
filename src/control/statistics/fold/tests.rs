//! From counters to rows: slots, clocks, peaks, and a store that fails.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use proptest::prelude::*;

use super::*;
use crate::control::statistics::{Dimension, Query, Selection, Slot, Wanted};
use crate::stats::{Cause, SeriesCounters};

/// Remembers each call of `add`; fails while it is told to.
#[derive(Debug, Default)]
struct Memory {
    failing: AtomicBool,
    added: Mutex<Vec<Vec<Row>>>,
    tidied: Mutex<Vec<i64>>,
}

impl Memory {
    fn rows(&self) -> Vec<Row> {
        self.added.lock().unwrap().concat()
    }

    /// What was added since the last call: slot, domain, region, bytes out, peak.
    fn news(&self) -> Vec<(i64, String, u64, u64)> {
        let rows: Vec<Row> = self.added.lock().unwrap().drain(..).flatten().collect();
        let shown = |row: Row| {
            let name = format!("{} {}", row.series.domain, row.series.region);
            (row.slot, name, row.measures.bytes_out, row.measures.peak)
        };
        rows.into_iter().map(shown).collect()
    }

    fn fail(&self, failing: bool) {
        self.failing.store(failing, Ordering::Relaxed);
    }
}

fn damaged() -> StatisticsError {
    StatisticsError::Damaged { what: "disk".into(), why: "full".into() }
}

impl Store for Memory {
    fn add(&self, rows: &[Row]) -> Result<(), StatisticsError> {
        assert!(rows.windows(2).all(|pair| pair[0].slot == pair[1].slot), "one slot at a time");
        if self.failing.load(Ordering::Relaxed) {
            return Err(damaged());
        }
        self.added.lock().unwrap().push(rows.to_vec());
        Ok(())
    }

    fn query(&self, _query: &Query) -> Result<Vec<Slot>, StatisticsError> {
        Err(damaged())
    }

    fn totals(
        &self,
        _selection: &Selection,
        _start: i64,
        _end: i64,
        _wanted: Wanted,
        _by: Dimension,
    ) -> Result<Vec<(Arc<str>, Slot)>, StatisticsError> {
        Err(damaged())
    }

    fn bytes_by_domain(
        &self,
        _start: i64,
        _end: i64,
    ) -> Result<Vec<(Arc<str>, i64, u64)>, StatisticsError> {
        Err(damaged())
    }

    fn names(&self) -> Result<[Vec<Arc<str>>; 3], StatisticsError> {
        Err(damaged())
    }

    fn days_begin(&self, _offset: i64) {}

    fn tidy(&self, now: i64) -> Result<(), StatisticsError> {
        self.tidied.lock().unwrap().push(now);
        Ok(())
    }
}

struct Bench {
    stats: Arc<Stats>,
    memory: Arc<Memory>,
    fold: Fold,
}

impl Bench {
    fn new(cores: usize, rows_max: usize, now_ms: i64) -> Bench {
        let (stats, memory) = (Stats::new(cores), Arc::new(Memory::default()));
        let store: Arc<dyn Store> = Arc::<Memory>::clone(&memory);
        let fold = Fold::with_room_for(rows_max, Arc::clone(&stats), store, now_ms);
        Bench { stats, memory, fold }
    }

    /// The series of a core; begun if need be.
    fn series(&self, core: usize, domain: &str, region: &str) -> &SeriesCounters {
        let core = &self.stats.cores()[core];
        let name = SeriesName { domain: domain.into(), region: region.into(), isp: "isp".into() };
        let known = core.all_series().find(|(known, _)| **known == name).map(|(_, found)| found);
        known.unwrap_or_else(|| core.series(core.begin_series(name.clone(), None, 0).unwrap()))
    }
}

const MINUTE: i64 = 60_000;

/// A slot begins here.
const T: i64 = 1_800_000_000_000;

#[test]
fn differences_are_added_up_over_cores() {
    let bench = Bench::new(2, 100, T);
    for core in 0..2 {
        let series = bench.series(core, "a.test", "x");
        series.bytes_out.add(10);
        series.bytes_in.add(1);
        series.messages_out.add(2);
        series.messages_in.add(3);
        series.open(0);
        series.close(Cause::Killed);
        series.handshakes.count(101);
        series.handshakes.count(418);
        series.handshake_us.record_us(100);
    }
    bench.series(1, "b.test", "x").handshakes.count(403);
    bench.fold.flush(T + 1).unwrap();
    let [a, b] = &*bench.memory.rows() else { panic!("{:?}", bench.memory.rows()) };
    let mut handshake_times = [0; 12];
    handshake_times[1] = 2;
    let expected = Measures {
        bytes_out: 20,
        bytes_in: 2,
        messages_out: 4,
        messages_in: 6,
        opened: 2,
        peak: 2,
        handshakes: [(101, 2), (498, 2)].into(),
        closed: [(Cause::Killed as u8, 2)].into(),
        handshake_us: 200,
        handshake_times,
    };
    assert_eq!((&*a.series.domain, &a.measures), ("a.test", &expected));
    let expected = Measures { handshakes: [(403, 1)].into(), ..Measures::default() };
    assert_eq!((&*b.series.domain, &b.measures), ("b.test", &expected));
    bench.fold.flush(T + 2).unwrap();
    assert_eq!(bench.memory.rows().len(), 2, "nothing happened since");
}

#[test]
fn layers_of_one_series_are_rows_of_their_own() {
    let bench = Bench::new(2, 4, T);
    let name = SeriesName { domain: "a.test".into(), region: "x".into(), isp: "i".into() };
    for (core, layer, bytes) in [
        (0, Some(Layer::Ipv4Http), 1),
        (1, Some(Layer::Ipv4Http), 2),
        (1, Some(Layer::Ipv6Https), 4),
        (1, None, 8),
    ] {
        let core = &bench.stats.cores()[core];
        core.series(core.begin_series(name.clone(), layer, 0).unwrap()).bytes_out.add(bytes);
    }
    bench.fold.flush(T + 1).unwrap();
    let rows = bench.memory.rows();
    let found: Vec<_> = rows.iter().map(|row| (row.layer, row.measures.bytes_out)).collect();
    assert_eq!(found, [(None, 8), (Some(Layer::Ipv4Http), 3), (Some(Layer::Ipv6Https), 4)]);
    assert!(rows.iter().all(|row| row.series == name));
}

#[test]
fn what_was_counted_before_the_end_of_a_slot_belongs_to_it() {
    let bench = Bench::new(1, 100, T);
    let series = bench.series(0, "a.test", "x");
    let slot = T / 1000;
    // At what time something is read, and the slot that it must be found in.
    for (i, (now, expected)) in [
        (T + 10_000, slot),
        (T + 299_999, slot),
        // The look at the end of the slot comes a little late.
        (T + 300_007, slot),
        (T + 310_000, slot + 300),
        // The clock is set back, then on by a day, by less than a slot, and before the epoch.
        (T + 100_000, slot),
        (T + 86_400_000, slot + 86_400),
        (T + 86_400_000 + 200_000, slot + 86_400),
        (-1, -300),
    ]
    .into_iter()
    .enumerate()
    {
        series.bytes_out.add(1);
        bench.fold.flush(now).unwrap();
        assert_eq!(bench.memory.news(), [(expected, "a.test x".to_owned(), 1, 0)], "step {i}");
    }
}

proptest! {
    /// Whatever the clock does and however often the store fails, what was counted is found once.
    #[test]
    fn nothing_is_lost_or_doubled(
        steps in prop::collection::vec(
            (0u64..1000, -4 * MINUTE..20 * MINUTE, prop::bool::ANY),
            1..60,
        )
    ) {
        let bench = Bench::new(2, 8, T);
        let (mut now, mut counted) = (T, 0);
        for (i, (bytes, ahead, failing)) in steps.into_iter().enumerate() {
            now += ahead;
            counted += bytes;
            let region = ["x", "y", "z"][i % 3];
            bench.series(i % 2, "a.test", region).bytes_out.add(bytes);
            bench.memory.fail(failing);
            prop_assert_eq!(bench.fold.flush(now).is_err(), failing && counted > sum(&bench));
        }
        bench.memory.fail(false);
        bench.fold.flush(now).unwrap();
        bench.fold.flush(now).unwrap();
        prop_assert_eq!(sum(&bench), counted);
    }
}

fn sum(bench: &Bench) -> u64 {
    bench.memory.rows().iter().map(|row| row.measures.bytes_out).sum()
}

#[test]
fn peaks_are_of_one_moment_and_carry_over() {
    let bench = Bench::new(2, 100, T);
    let (x0, x1) = (bench.series(0, "a.test", "x"), bench.series(1, "a.test", "x"));
    let slot = T / 1000;
    let flushed = |now| {
        bench.fold.flush(now).unwrap();
        bench.memory.news().into_iter().map(|(slot, _, _, peak)| (slot, peak)).collect::<Vec<_>>()
    };
    let period = || bench.stats.period();
    for _ in 0..3 {
        x0.open(period());
    }
    x1.open(period());
    x0.close(Cause::PeerClose);
    assert_eq!(flushed(T + 10_000), [(slot, 4)]);
    // Open all the time, in each slot.
    assert_eq!(flushed(T + 300_000), [(slot, 3)]);
    assert_eq!(flushed(T + 310_000), [(slot + 300, 3)]);
    x1.close(Cause::PeerClose);
    assert_eq!(flushed(T + 320_000), [(slot + 300, 3)], "open at the start of the period");
    x0.close(Cause::PeerClose);
    x0.close(Cause::PeerClose);
    assert_eq!(flushed(T + 330_000), [(slot + 300, 2)]);
    assert_eq!(flushed(T + 340_000), [], "nothing is open and nothing happened");
}

#[test]
fn rows_wait_while_the_store_fails() {
    let bench = Bench::new(1, 100, T);
    let series = bench.series(0, "a.test", "x");
    bench.memory.fail(true);
    let slot = T / 1000;
    for (now, open) in [(T + 10_000, 2), (T + 300_000, 0), (T + 310_000, 1)] {
        series.bytes_out.add(5);
        for _ in 0..open {
            series.open(bench.stats.period());
        }
        for _ in 0..open {
            series.close(Cause::PeerClose);
        }
        let error = bench.fold.flush(now).unwrap_err().to_string();
        assert!(error.contains("full"), "{error}");
    }
    assert_eq!(bench.fold.progress.waiting_rows.load(Ordering::Relaxed), 2);
    assert_eq!(bench.fold.progress.failed.load(Ordering::Relaxed), 3);
    assert_eq!(bench.fold.progress.written_at.load(Ordering::Relaxed), 0);
    bench.memory.fail(false);
    bench.fold.flush(T + 320_000).unwrap();
    // Each once, merged, in its own slot, with the highest peak that there was.
    let name = || "a.test x".to_owned();
    assert_eq!(bench.memory.news(), [(slot, name(), 10, 2), (slot + 300, name(), 5, 1)]);
    assert_eq!(bench.fold.progress.waiting_rows.load(Ordering::Relaxed), 0);
    assert_eq!(bench.fold.progress.written_at.load(Ordering::Relaxed), slot + 320);
}

#[test]
fn too_many_waiting_rows_lose_their_places_and_then_the_counters_wait() {
    let bench = Bench::new(1, 3, T);
    bench.memory.fail(true);
    let slot = T / 1000;
    for (now, region) in [(T + 1, "x"), (T + 2, "y"), (T + 3, "z"), (T + 4, "w")] {
        bench.series(0, "a.test", region).bytes_out.add(1);
        bench.fold.flush(now).unwrap_err();
    }
    assert_eq!(bench.fold.progress.coarsened_rows.load(Ordering::Relaxed), 2);
    for (now, domain) in [(T + 300_000, "b.test"), (T + 600_000, "c.test"), (T + 900_000, "d.test")]
    {
        bench.series(0, domain, "x").bytes_out.add(1);
        bench.fold.flush(now).unwrap_err();
    }
    bench.memory.fail(false);
    bench.fold.flush(T + 900_001).unwrap();
    bench.fold.flush(T + 900_001).unwrap();
    let found = bench.memory.news();
    assert_eq!(found.iter().map(|(_, _, bytes, _)| bytes).sum::<u64>(), 7, "{found:?}");
    assert_eq!(found[0], (slot, "a.test unknown".to_owned(), 4, 0), "{found:?}");
}

#[test]
fn it_looks_at_the_end_of_each_slot_and_tidies_once_a_minute() {
    assert_eq!(pause(T), Duration::from_secs(10));
    assert_eq!(pause(T + 299_999), Duration::from_millis(1));
    assert_eq!(pause(T + 290_001), Duration::from_millis(9_999));
    assert_eq!(pause(-1), Duration::from_millis(1));
    let bench = Bench::new(1, 100, T);
    // The clock is set back in between.
    for now in [T, T + 10_000, T + 59_999, T + 60_000, T + 70_000, T - 1000, T + 58_999] {
        bench.fold.turn(now);
        bench.fold.tidy(now);
    }
    let seconds = [T, T + 60_000, T - 1000].map(|ms| ms / 1000);
    assert_eq!(*bench.memory.tidied.lock().unwrap(), seconds);
    assert_eq!(bench.fold.progress.written_at.load(Ordering::Relaxed), (T + 58_999) / 1000);
}
