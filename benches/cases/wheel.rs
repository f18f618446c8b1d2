//! A million tunnels on the wheel of one core. Not here: what is done at a deadline.

use std::collections::BinaryHeap;
use std::hint::black_box;

use hawser::worker::wheel::Wheel;

use super::{Case, mix};

const TUNNELS: u32 = 1_000_000;
/// A heartbeat of 60 s in ticks of 100 ms.
const HEARTBEAT: u32 = 600;
/// Deadlines moved in one run.
const MOVES: u64 = 10_000;

pub fn cases() -> Vec<Case> {
    vec![inserted(), written(), moved_on(), moved_forward(), beaten(), popped()]
}

fn armed() -> Wheel {
    let mut wheel = Wheel::new(TUNNELS, 0);
    for key in 0..TUNNELS {
        wheel.arm(key, 1 + key % HEARTBEAT);
    }
    wheel
}

fn inserted() -> Case {
    let units = (u64::from(TUNNELS), "tunnel");
    Case::new("insert 1,000,000 tunnels", units, || || drop(black_box(armed())))
}

fn written() -> Case {
    let work = || {
        let mut timers = Vec::with_capacity(TUNNELS as usize);
        timers.extend((0..TUNNELS).map(|key| [1 + key % HEARTBEAT, key, key]));
        drop(black_box(timers));
    };
    let units = (u64::from(TUNNELS), "tunnel");
    Case::new("write an array of as many entries", units, move || work).floor()
}

/// What each message does to its tunnel's timer: nothing but a look, as later is soon enough.
fn moved_on() -> Case {
    Case::new("move a deadline on", (MOVES, "move"), || {
        let mut wheel = armed();
        let mut key = 0;
        move || {
            for _ in 0..MOVES {
                key = (key + 7919) % TUNNELS;
                wheel.arm(black_box(key), HEARTBEAT);
            }
        }
    })
}

/// An earlier deadline: one tunnel out of its slot and into another.
fn moved_forward() -> Case {
    Case::new("move a deadline forward, and end it", (MOVES, "move"), || {
        let mut wheel = armed();
        let mut round = 0;
        move || {
            round += 1;
            for i in 0..MOVES {
                let key = (mix(round << 32 | i) % u64::from(TUNNELS)) as u32;
                wheel.arm(black_box(key), HEARTBEAT);
                wheel.arm(black_box(key), 1);
                wheel.disarm(black_box(key));
                wheel.arm(black_box(key), 1 + key % HEARTBEAT);
            }
        }
    })
}

/// Everybody is visited once and armed anew.
fn beaten() -> Case {
    let units = (u64::from(TUNNELS), "visit");
    Case::new("visit 1,000,000 tunnels in one heartbeat", units, || {
        let (mut wheel, mut due, mut tick) = (armed(), Vec::new(), 0);
        move || {
            for _ in 0..HEARTBEAT {
                tick += 1;
                wheel.advance(tick, &mut due);
                for key in due.drain(..) {
                    wheel.arm(key, tick + HEARTBEAT);
                }
            }
        }
    })
}

/// The same with the structure of a textbook.
fn popped() -> Case {
    let units = (u64::from(TUNNELS), "visit");
    let case = Case::new("the same with a binary heap", units, || {
        let mut heap: BinaryHeap<_> =
            (0..TUNNELS).map(|key| due_at(1 + key % HEARTBEAT, key)).collect();
        let mut tick = 0;
        move || {
            for _ in 0..HEARTBEAT {
                tick += 1;
                while heap.peek().is_some_and(|first| first.0.0 <= tick) {
                    let key = heap.pop().expect("it was just seen").0.1;
                    heap.push(due_at(tick + HEARTBEAT, key));
                }
            }
        }
    });
    case.floor()
}

fn due_at(tick: u32, key: u32) -> std::cmp::Reverse<(u32, u32)> {
    std::cmp::Reverse((tick, key))
}
