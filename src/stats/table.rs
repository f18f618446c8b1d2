//! A growing array that is read without a lock: chunks made at first use and never moved or freed.
//!
//! Slots are dense small integers handed out by the control plane, so the directory stays short.
//! Not a map: there is no removal, a slot that a new domain takes over keeps counting from where it
//! stands.

use std::sync::OnceLock;

const CHUNK: usize = 32;

#[derive(Debug)]
pub struct Table<T> {
    chunks: Box<[OnceLock<Box<[T]>>]>,
}

impl<T: Default> Table<T> {
    pub fn new(slots_max: usize) -> Table<T> {
        Table { chunks: (0..slots_max.div_ceil(CHUNK)).map(|_| OnceLock::new()).collect() }
    }

    /// The element of `slot`, made at first use.
    ///
    /// # Panics
    /// When `slot` is not below the `slots_max` of [`Table::new`]: slots come from the control
    /// plane's registry, which never hands out more.
    pub fn at(&self, slot: u32) -> &T {
        let chunk = self.chunks[slot as usize / CHUNK]
            .get_or_init(|| (0..CHUNK).map(|_| T::default()).collect());
        &chunk[slot as usize % CHUNK]
    }

    pub fn if_used(&self, slot: u32) -> Option<&T> {
        Some(&self.chunks.get(slot as usize / CHUNK)?.get()?[slot as usize % CHUNK])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[test]
    fn elements_stay_where_they_are_and_unused_chunks_cost_nothing() {
        let table = Table::<AtomicU32>::new(1000);
        assert!(table.if_used(999).is_none());
        let first = table.at(3);
        first.store(7, Ordering::Relaxed);
        table.at(999).store(1, Ordering::Relaxed);
        assert!(std::ptr::eq(first, table.at(3)));
        assert_eq!(table.if_used(3).unwrap().load(Ordering::Relaxed), 7);
        assert!(table.if_used(500).is_none());
        assert!(table.if_used(5000).is_none());
    }
}
