//! The first few of many by rank, in memory for twice as many as are wanted however many there are:
//! a listing must not grow with the table. Not here: ranks, and what is listed (`orders`).

use std::cmp::Reverse;

/// Keeps the `limit` with the highest ranks; among equals the lowest.
pub(super) struct First<T> {
    limit: usize,
    kept: Vec<(u64, T)>,
}

impl<T: Copy + Ord> First<T> {
    pub(super) fn new(limit: usize) -> First<T> {
        First { limit, kept: Vec::new() }
    }

    pub(super) fn offer(&mut self, rank: u64, one: T) {
        if self.limit == 0 {
            return;
        }
        self.kept.push((rank, one));
        // Half of them go at once, so that each costs a few comparisons only.
        if self.kept.len() >= self.limit.saturating_mul(2) {
            self.cut();
        }
    }

    /// In no order.
    pub(super) fn take(mut self) -> impl Iterator<Item = T> {
        self.cut();
        self.kept.into_iter().map(|(_, one)| one)
    }

    fn cut(&mut self) {
        if self.kept.len() > self.limit {
            self.kept.select_nth_unstable_by_key(self.limit, |(rank, one)| (Reverse(*rank), *one));
            self.kept.truncate(self.limit);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_those_of_a_whole_sort_and_memory_does_not_grow() {
        // Many ties: 1,000 with 97 ranks, in an order that is none.
        let all: Vec<(u64, u32)> = (0..1000).map(|i| (i * 7919 % 97, i as u32)).collect();
        let mut sorted = all.clone();
        sorted.sort_unstable_by_key(|(rank, one)| (Reverse(*rank), *one));
        for limit in [0, 1, 2, 10, 499, 500, 501, 999, 1000, 5000] {
            let mut first = First::new(limit);
            for (rank, one) in &all {
                first.offer(*rank, *one);
                assert!(first.kept.len() < (2 * limit).max(1), "{limit}");
            }
            let mut seen: Vec<u32> = first.take().collect();
            let mut wanted: Vec<u32> = sorted.iter().take(limit).map(|(_, one)| *one).collect();
            seen.sort_unstable();
            wanted.sort_unstable();
            assert_eq!(seen, wanted, "{limit}");
        }
    }
}
