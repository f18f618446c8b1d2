//! Brings what the cores counted into the store: every 10 s, at the end of each slot, and when
//! somebody wants to know at once.
//!
//! Whatever cannot be written waits in memory and is tried again. Not here: how the store keeps it.

mod readings;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use tracing::{error, info, warn};

use self::readings::Readings;
use super::{Measures, Row, SLOT, StatisticsError, Store};
use crate::limits::{STATISTICS_FLUSH_PERIOD, STATISTICS_ROWS_WAITING_MAX, STATISTICS_TIDY_PERIOD};
use crate::snapshot::geo::UNKNOWN;
use crate::stats::{Layer, SeriesName, Stats};

const PERIOD_MS: i64 = STATISTICS_FLUSH_PERIOD.as_millis() as i64;
/// Readings are taken at multiples of the period, so that one is taken at the end of each slot.
const _: () = assert!(SLOT * 1000 % PERIOD_MS == 0);

/// The only reader of the series that moves their period on.
#[derive(Debug)]
pub struct Fold {
    stats: Arc<Stats>,
    store: Arc<dyn Store>,
    rows_max: usize,
    state: Mutex<State>,
    tidying: Mutex<Tidying>,
    pub progress: Arc<Progress>,
}

#[derive(Debug)]
struct State {
    readings: Readings,
    /// Not written yet: by slot, then series.
    waiting: Vec<Row>,
    health: Health,
}

/// Apart from the rest: once a day it takes seconds, after weeks out of service minutes, and what
/// is counted meanwhile is written as at any other time.
#[derive(Debug, Default)]
struct Tidying {
    last_ms: i64,
    /// The error that the log tells of.
    told: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Health {
    Working,
    /// The log says so already.
    Failing,
}

/// How it goes, for the metrics.
#[derive(Debug, Default)]
pub struct Progress {
    pub waiting_rows: AtomicU64,
    pub succeeded: AtomicU64,
    pub failed: AtomicU64,
    /// The last time that everything was written, in seconds since the Unix epoch; 0: never.
    pub written_at: AtomicI64,
    /// Rows that lost their region and provider, because too many waited.
    pub coarsened_rows: AtomicU64,
}

impl Fold {
    /// To be made before anything is counted.
    pub fn new(stats: Arc<Stats>, store: Arc<dyn Store>, now_ms: i64) -> Fold {
        Fold::with_room_for(STATISTICS_ROWS_WAITING_MAX, stats, store, now_ms)
    }

    fn with_room_for(
        rows_max: usize,
        stats: Arc<Stats>,
        store: Arc<dyn Store>,
        now_ms: i64,
    ) -> Fold {
        let readings = Readings::new(now_ms);
        let state = State { readings, waiting: Vec::new(), health: Health::Working };
        Fold {
            stats,
            store,
            rows_max,
            state: Mutex::new(state),
            tidying: Mutex::default(),
            progress: Arc::default(),
        }
    }

    /// Works for ever.
    pub async fn run(self: Arc<Fold>) {
        loop {
            tokio::time::sleep(pause(wall_ms())).await;
            let fold = Arc::clone(&self);
            let turn = tokio::task::spawn_blocking(move || fold.turn(wall_ms()));
            let fold = Arc::clone(&self);
            tokio::task::spawn_blocking(move || fold.tidy(wall_ms()));
            if let Err(panic) = turn.await {
                self.progress.failed.fetch_add(1, Ordering::Relaxed);
                error!(%panic, "statistics: a fault of our own; tried again in 10 s");
            }
        }
    }

    /// Writes all that was counted until now. Blocks.
    ///
    /// # Errors
    /// Of the store; what was counted waits for the next time.
    pub fn flush(&self, now_ms: i64) -> Result<(), StatisticsError> {
        let state = &mut *self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let result = self.write(state, now_ms);
        self.note(state, now_ms, &result);
        result
    }

    /// What is to be done every period. Errors are in the log.
    fn turn(&self, now_ms: i64) {
        let state = &mut *self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let result = self.write(state, now_ms);
        self.note(state, now_ms, &result);
    }

    /// Tidies the store if it is time, and nobody is at it.
    fn tidy(&self, now_ms: i64) {
        let Ok(mut tidying) = self.tidying.try_lock() else { return };
        let period = STATISTICS_TIDY_PERIOD.as_millis() as i64;
        if (0..period).contains(&(now_ms - tidying.last_ms)) {
            return;
        }
        tidying.last_ms = now_ms;
        let told = self.store.tidy(now_ms.div_euclid(1000)).err().map(|error| error.to_string());
        if let Some(error) = told.as_ref().filter(|_| told != tidying.told) {
            error!("tidying: {error}");
        }
        tidying.told = told;
    }

    fn write(&self, state: &mut State, now_ms: i64) -> Result<(), StatisticsError> {
        // Without room the numbers stay in the counters, and count when there is room again.
        if state.waiting.len() < self.rows_max {
            let rows = state.readings.take(&self.stats, now_ms);
            merge(&mut state.waiting, rows);
            if state.waiting.len() >= self.rows_max {
                self.coarsen(&mut state.waiting);
            }
        }
        // One slot at a time, whole: tunnels that were open at once are added up.
        while let Some(Row { slot, .. }) = state.waiting.first() {
            let end = state.waiting.partition_point(|row| row.slot == *slot);
            self.store.add(&state.waiting[..end])?;
            state.waiting.drain(..end);
        }
        Ok(())
    }

    /// Gives up where the clients of waiting rows were. What and when was counted for whom stays
    /// exact.
    fn coarsen(&self, waiting: &mut Vec<Row>) {
        let before = waiting.len();
        let mut sums = Sums::new();
        for Row { slot, series, layer, measures } in waiting.drain(..) {
            let (region, isp) = (UNKNOWN.into(), UNKNOWN.into());
            let series = SeriesName { region, isp, ..series };
            *sums.entry((slot, series, layer)).or_default() += &measures;
        }
        *waiting = rows_of(sums);
        let lost = before - waiting.len();
        self.progress.coarsened_rows.fetch_add(lost as u64, Ordering::Relaxed);
        if lost > 0 {
            warn!(
                rows = before,
                "statistics: too many rows wait for the store; regions and providers of those are \
                 given up"
            );
        }
    }

    fn note(&self, state: &mut State, now_ms: i64, result: &Result<(), StatisticsError>) {
        let waiting = state.waiting.len() as u64;
        self.progress.waiting_rows.store(waiting, Ordering::Relaxed);
        match result {
            Ok(()) => {
                self.progress.succeeded.fetch_add(1, Ordering::Relaxed);
                self.progress.written_at.store(now_ms.div_euclid(1000), Ordering::Relaxed);
                if state.health == Health::Failing {
                    info!("statistics are written again; nothing was lost");
                }
                state.health = Health::Working;
            }
            Err(error) => {
                self.progress.failed.fetch_add(1, Ordering::Relaxed);
                if state.health == Health::Working {
                    error!(
                        %error, waiting,
                        "statistics cannot be written; they wait in memory and are tried again \
                         every 10 s"
                    );
                }
                state.health = Health::Failing;
            }
        }
    }
}

type Sums = BTreeMap<(i64, SeriesName, Option<Layer>), Measures>;

/// Adds rows to those that wait. Of the same slot, series and layer, numbers add up, and the peak
/// is the higher one: the two were not at the same time.
fn merge(waiting: &mut Vec<Row>, rows: Vec<Row>) {
    if waiting.is_empty() {
        *waiting = rows;
        return;
    }
    let mut sums = Sums::new();
    for Row { slot, series, layer, measures } in waiting.drain(..).chain(rows) {
        let sum = sums.entry((slot, series, layer)).or_default();
        let peak = sum.peak.max(measures.peak);
        *sum += &measures;
        sum.peak = peak;
    }
    *waiting = rows_of(sums);
}

fn rows_of(sums: Sums) -> Vec<Row> {
    let row = |((slot, series, layer), measures)| Row { slot, series, layer, measures };
    sums.into_iter().map(row).collect()
}

/// Until the next reading.
fn pause(now_ms: i64) -> Duration {
    Duration::from_millis((PERIOD_MS - now_ms.rem_euclid(PERIOD_MS)) as u64)
}

/// The clock on the wall, in milliseconds since the Unix epoch.
pub fn wall_ms() -> i64 {
    match SystemTime::now().duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => since.as_millis() as i64,
        Err(before) => -(before.duration().as_millis() as i64),
    }
}
