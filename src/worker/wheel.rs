//! The timer wheel of one core: one entry per connection, 12 bytes each, lazily re-armed.
//!
//! A connection is linked in the slot of its deadline. Later deadlines are not written here at all:
//! when the slot comes up, the connection says what is due and when to come again. Only an earlier
//! deadline moves the entry. Not here: what is due.

const SLOTS: usize = 1024;
const NIL: u32 = u32::MAX;

#[derive(Debug)]
pub struct Wheel {
    heads: Box<[u32; SLOTS]>,
    timers: Vec<Timer>,
    now: u32,
}

#[derive(Clone, Copy, Debug)]
struct Timer {
    deadline: u32,
    next: u32,
    /// The timer before it, `NIL` for the first of a slot, [`UNLINKED`] when it is in none.
    prev: u32,
}

const UNLINKED: u32 = u32::MAX - 1;

impl Wheel {
    /// For keys below `keys_max`, from tick `now` on. Memory is touched as keys are used.
    pub fn new(keys_max: u32, now: u32) -> Wheel {
        Wheel { heads: Box::new([NIL; SLOTS]), timers: Vec::with_capacity(keys_max as usize), now }
    }

    /// Makes sure that `key` comes up at `deadline` or earlier.
    pub fn arm(&mut self, key: u32, deadline: u32) {
        let deadline = if self.is_past(deadline) { self.now.wrapping_add(1) } else { deadline };
        let index = key as usize;
        if index >= self.timers.len() {
            self.timers.resize(index + 1, Timer { deadline: 0, next: NIL, prev: UNLINKED });
        }
        let timer = self.timers[index];
        if timer.prev != UNLINKED {
            let sooner = deadline.wrapping_sub(self.now) < timer.deadline.wrapping_sub(self.now);
            if !sooner {
                return;
            }
            self.unlink(key);
        }
        self.link(key, deadline);
    }

    pub fn disarm(&mut self, key: u32) {
        if self.timers.get(key as usize).is_some_and(|timer| timer.prev != UNLINKED) {
            self.unlink(key);
        }
    }

    /// Moves on to tick `now` and appends the keys that came up to `due`; they are disarmed.
    pub fn advance(&mut self, now: u32, due: &mut Vec<u32>) {
        // A jump of more than a turn (a suspended host) visits every slot once.
        let steps = now.wrapping_sub(self.now);
        let steps = if steps > 1 << 31 { 0 } else { steps.min(SLOTS as u32) };
        for step in (0..steps).rev() {
            let tick = now.wrapping_sub(step);
            let mut key = std::mem::replace(&mut self.heads[tick as usize % SLOTS], NIL);
            self.now = now;
            while key != NIL {
                let timer = self.timers[key as usize];
                self.timers[key as usize].prev = UNLINKED;
                if self.is_past(timer.deadline) {
                    due.push(key);
                } else {
                    self.link(key, timer.deadline);
                }
                key = timer.next;
            }
        }
    }

    fn is_past(&self, deadline: u32) -> bool {
        self.now.wrapping_sub(deadline) < 1 << 31
    }

    fn link(&mut self, key: u32, deadline: u32) {
        let slot = deadline as usize % SLOTS;
        let next = std::mem::replace(&mut self.heads[slot], key);
        self.timers[key as usize] = Timer { deadline, next, prev: NIL };
        if next != NIL {
            self.timers[next as usize].prev = key;
        }
    }

    fn unlink(&mut self, key: u32) {
        let Timer { deadline, next, prev } = self.timers[key as usize];
        match prev {
            NIL => self.heads[deadline as usize % SLOTS] = next,
            prev => self.timers[prev as usize].next = next,
        }
        if next != NIL {
            self.timers[next as usize].prev = prev;
        }
        self.timers[key as usize].prev = UNLINKED;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    #[test]
    fn an_entry_is_twelve_bytes() {
        assert_eq!(size_of::<Timer>(), 12);
    }

    #[test]
    fn a_deadline_a_turn_away_does_not_come_up_early() {
        let mut wheel = Wheel::new(4, 10);
        wheel.arm(1, 10 + SLOTS as u32 + 5);
        let mut due = vec![];
        wheel.advance(15, &mut due);
        assert!(due.is_empty());
        wheel.advance(10 + SLOTS as u32 + 5, &mut due);
        assert_eq!(due, [1]);
    }

    #[test]
    fn a_long_sleep_loses_nothing() {
        let mut wheel = Wheel::new(4, 0);
        for key in 0..4 {
            wheel.arm(key, key * 700 + 1);
        }
        let mut due = vec![];
        wheel.advance(1_000_000, &mut due);
        due.sort_unstable();
        assert_eq!(due, [0, 1, 2, 3]);
    }

    proptest! {
        /// Against an ordered map: every key comes up in the tick of its earliest armed deadline.
        #[test]
        fn agrees_with_an_ordered_map(
            start in prop_oneof![Just(0_u32), Just(u32::MAX - 500)],
            steps in prop::collection::vec(
                (0..20_u32, 0..3000_u32, 0..40_u32, any::<bool>()),
                1..200,
            ),
        ) {
            let mut wheel = Wheel::new(20, start);
            let mut model = BTreeMap::new();
            let mut now = 0_u32;
            for (key, delay, advance, disarm) in steps {
                if disarm {
                    wheel.disarm(key);
                    model.remove(&key);
                } else {
                    wheel.arm(key, start.wrapping_add(now + delay));
                    let at = now + delay.max(1);
                    let deadline = model.entry(key).or_insert(at);
                    *deadline = at.min(*deadline);
                }
                now += advance;
                let mut due = vec![];
                wheel.advance(start.wrapping_add(now), &mut due);
                due.sort_unstable();
                let expected: Vec<u32> =
                    model.iter().filter(|(_, at)| **at <= now).map(|(k, _)| *k).collect();
                for key in &expected {
                    model.remove(key);
                }
                prop_assert_eq!(due, expected);
            }
        }
    }
}
