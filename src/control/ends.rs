//! How tunnels ended that are gone: the last few, for whoever still looks at one. Not here: the
//! access log, which has them all.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use crate::limits::ENDS_KEPT_MAX;
use crate::stats::ConnId;
use crate::stats::event::Closed;

/// The last tunnels that ended, the newest last. Fed by the reader of the cores' events, so domains
/// without an access log are missing.
#[derive(Debug, Default)]
pub struct Ends(Mutex<VecDeque<Closed>>);

impl Ends {
    pub fn add(&self, closed: Closed) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= ENDS_KEPT_MAX {
            kept.pop_front();
        }
        kept.push_back(closed);
    }

    pub fn find(&self, id: ConnId) -> Option<Closed> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter().rev().find(|closed| closed.id == id).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::{Cause, Outcome, Side};

    #[test]
    fn the_oldest_is_forgotten_first() {
        let ends = Ends::default();
        let addr = "192.0.2.1:80".parse().unwrap();
        let id = |i: usize| ConnId::new(0, i as u32, 0);
        for i in 0..=ENDS_KEPT_MAX {
            ends.add(Closed {
                at_us: i as u64,
                id: id(i),
                domain: "a.test".into(),
                client: addr,
                origin: addr,
                age_ms: 0,
                figures: Default::default(),
                outcome: Outcome { side: Side::Client, cause: Cause::PeerClose, close_code: 1000 },
            });
        }
        assert!(ends.find(id(0)).is_none());
        assert_eq!(ends.find(id(1)).unwrap().at_us, 1);
        assert_eq!(ends.find(id(ENDS_KEPT_MAX)).unwrap().at_us, ENDS_KEPT_MAX as u64);
    }
}
