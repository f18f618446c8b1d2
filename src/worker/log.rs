//! The core's end of the access log: a bounded ring to the writer. Not here: the lines.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use rtrb::Producer;

use crate::stats::{CoreStats, Event};

/// Shared by everything on one core that has something to tell.
#[derive(Clone)]
pub struct Log(Rc<Inner>);

struct Inner {
    producer: RefCell<Producer<Event>>,
    stats: Arc<CoreStats>,
}

impl Log {
    pub fn new(producer: Producer<Event>, stats: Arc<CoreStats>) -> Log {
        Log(Rc::new(Inner { producer: RefCell::new(producer), stats }))
    }

    /// Never waits: a full ring loses the event, and that is counted.
    pub fn push(&self, event: Event) {
        if self.0.producer.borrow_mut().push(event).is_err() {
            self.0.stats.core.log_drops.add(1);
        }
    }
}

/// Microseconds since the Unix epoch, for events.
pub fn wall_us() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::event::FailedHandshake;
    use crate::stats::{Stats, TlsFailure};

    #[test]
    fn a_full_ring_loses_events_and_counts_them() {
        let stats = Stats::new(1);
        let (producer, mut events) = rtrb::RingBuffer::new(2);
        let log = Log::new(producer, Arc::clone(&stats.cores()[0]));
        for at_us in 0..5 {
            log.push(Event::Handshake(Box::new(FailedHandshake {
                at_us,
                client: [192, 0, 2, 1].into(),
                failure: TlsFailure::Closed,
                detail: "".into(),
                duration_us: 0,
            })));
        }
        assert_eq!(stats.cores()[0].core.log_drops.value(), 3);
        for kept in 0..2 {
            assert!(matches!(events.pop(), Ok(Event::Handshake(h)) if h.at_us == kept));
        }
    }
}
