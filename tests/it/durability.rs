//! What is left after an end that nobody chose: `kill -9`, a full disk.

use crate::harness::{Edge, Origin, Tunnel};

#[test]
fn after_a_crash_it_starts_again_on_what_it_left() {
    let (origin, mut edge) = Edge::and_origin();
    for _ in 0..3 {
        Tunnel::open(&edge, &origin, "a.test").check();
        edge.crash_and_start_again();
    }
    Tunnel::open(&edge, &origin, "a.test").check();
}
