//! How long a body may keep the edge waiting for one of its sides. Not here: moving it.

use std::time::{Duration, Instant};

use crate::limits::BODY_WINDOW_BYTES_MIN;
use crate::net::stream::Patience;

/// In every `window` of waiting for this side at least `least` bytes have to move, or all that are
/// left. Time in which the other side is waited for does not count: who is slow only because of
/// that is not to blame.
#[derive(Debug)]
pub struct Pace {
    window: Duration,
    least: u64,
    /// Of this window so far.
    waited: Duration,
    moved: u64,
}

impl Pace {
    /// A client that sends or takes a byte now and then only holds a place.
    pub fn of_client(window: Duration) -> Pace {
        Pace { window, least: BODY_WINDOW_BYTES_MIN, waited: Duration::ZERO, moved: 0 }
    }

    /// An origin may be as slow as it likes while it does anything: events come when they happen.
    pub fn of_origin(window: Duration) -> Pace {
        Pace { window, least: 1, waited: Duration::ZERO, moved: 0 }
    }

    /// For a wait that begins now.
    pub fn patience(&self, now: Instant) -> Patience {
        Patience::Until(self.deadline(now))
    }

    pub fn deadline(&self, now: Instant) -> Instant {
        now + self.window.saturating_sub(self.waited)
    }

    /// So many bytes moved after so long a wait.
    pub fn moved(&mut self, bytes: usize, waited: Duration) {
        self.moved += bytes as u64;
        self.waited += waited;
        if self.moved >= self.least {
            (self.moved, self.waited) = (0, Duration::ZERO);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_secs(30);

    /// What is left of a window after such moves: bytes, and seconds waited for them.
    fn left(mut pace: Pace, moves: &[(usize, u64)]) -> u64 {
        let now = Instant::now();
        for (bytes, seconds) in moves {
            pace.moved(*bytes, Duration::from_secs(*seconds));
        }
        (pace.deadline(now) - now).as_secs()
    }

    #[test]
    fn a_window_ends_only_when_enough_moved() {
        let least = BODY_WINDOW_BYTES_MIN as usize;
        for (moves, client, origin) in [
            ([(0, 0), (0, 0)].as_slice(), 30, 30),
            (&[(1, 29)], 1, 30),
            (&[(1, 10), (1, 10), (1, 9)], 1, 30),
            (&[(1, 29), (1, 29)], 0, 30),
            (&[(least - 1, 29)], 1, 30),
            (&[(least, 29)], 30, 30),
            (&[(least - 1, 20), (1, 9)], 30, 30),
            (&[(least * 100, 29), (1, 5)], 25, 30),
        ] {
            assert_eq!(left(Pace::of_client(WINDOW), moves), client, "client {moves:?}");
            assert_eq!(left(Pace::of_origin(WINDOW), moves), origin, "origin {moves:?}");
        }
    }
}
