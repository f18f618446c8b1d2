//! How many may read at once: questions cost time on a CPU that the cores could use, and whoever
//! asked may be long gone.
//!
//! Not here: rates of callers (`api`, `dcdn`), writing, which waits for nobody here.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::control::statistics::StatisticsError;
use crate::limits::{STATISTICS_READ_WAIT, STATISTICS_READS_MAX, STATISTICS_READS_WAITING_MAX};

#[derive(Debug, Default)]
pub(super) struct Turns {
    held: Mutex<Held>,
    freed: Condvar,
}

#[derive(Debug, Default)]
struct Held {
    reading: usize,
    waiting: usize,
}

/// Given back when it is dropped.
#[derive(Debug)]
pub(super) struct Turn<'a>(&'a Turns);

impl Turns {
    /// Blocks while others read, for a while.
    ///
    /// # Errors
    /// Too many wait already, or it took too long.
    pub(super) fn take(&self) -> Result<Turn<'_>, StatisticsError> {
        self.take_within(STATISTICS_READ_WAIT)
    }

    fn take_within(&self, wait: Duration) -> Result<Turn<'_>, StatisticsError> {
        let mut held = self.held();
        if held.reading >= STATISTICS_READS_MAX {
            if held.waiting >= STATISTICS_READS_WAITING_MAX {
                return Err(StatisticsError::Busy);
            }
            held.waiting += 1;
            let full = |held: &mut Held| held.reading >= STATISTICS_READS_MAX;
            let waited = self.freed.wait_timeout_while(held, wait, full);
            let (guard, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
            held = guard;
            held.waiting -= 1;
            if timeout.timed_out() {
                return Err(StatisticsError::Busy);
            }
        }
        held.reading += 1;
        Ok(Turn(self))
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.held().reading -= 1;
        self.0.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_read_some_wait_and_all_others_are_refused() {
        let turns = Turns::default();
        let reading: Vec<_> = (0..STATISTICS_READS_MAX).map(|_| turns.take().unwrap()).collect();
        assert!(matches!(turns.take_within(Duration::ZERO), Err(StatisticsError::Busy)));
        std::thread::scope(|scope| {
            let wait = || turns.take_within(Duration::from_secs(600)).map(drop).is_ok();
            let waiting: Vec<_> =
                (0..STATISTICS_READS_WAITING_MAX).map(|_| scope.spawn(wait)).collect();
            while turns.held().waiting < STATISTICS_READS_WAITING_MAX {
                std::thread::yield_now();
            }
            assert!(!wait(), "no room to wait");
            drop(reading);
            assert!(waiting.into_iter().all(|thread| thread.join().unwrap()));
        });
        let held = turns.held();
        assert_eq!((held.reading, held.waiting), (0, 0));
    }
}
