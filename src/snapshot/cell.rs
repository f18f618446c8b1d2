//! The atomic pointer that cores read: one compare per look-up, no counter bump, no lock.

use std::sync::Arc;

use arc_swap::{ArcSwap, Cache};

use super::Snapshot;

/// Where the control plane publishes; clones are handles to the same cell.
#[derive(Debug, Clone, Default)]
pub struct SnapshotCell(Arc<ArcSwap<Snapshot>>);

impl SnapshotCell {
    pub fn new(first: Snapshot) -> SnapshotCell {
        SnapshotCell(Arc::new(ArcSwap::from_pointee(first)))
    }

    pub fn publish(&self, next: Arc<Snapshot>) {
        self.0.store(next);
    }

    pub fn current(&self) -> Arc<Snapshot> {
        self.0.load_full()
    }

    /// A core's own view.
    pub fn reader(&self) -> Reader {
        Reader(Cache::new(Arc::clone(&self.0)))
    }
}

/// Keeps the last snapshot seen; [`Reader::snapshot`] costs one pointer compare while nothing
/// changed.
#[derive(Debug)]
pub struct Reader(Cache<Arc<ArcSwap<Snapshot>>, Arc<Snapshot>>);

impl Reader {
    pub fn snapshot(&mut self) -> &Arc<Snapshot> {
        self.0.load()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_sees_what_was_published_and_may_keep_the_old_one() {
        let cell = SnapshotCell::new(Snapshot::default());
        let mut reader = cell.reader();
        let old = Arc::clone(reader.snapshot());
        cell.publish(Arc::new(Snapshot { generation: 2, ..Snapshot::default() }));
        assert_eq!((old.generation, reader.snapshot().generation), (0, 2));
    }
}
