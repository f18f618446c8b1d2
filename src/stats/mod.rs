//! What happened: the contract from the data plane to the control plane. Plain numbers and events.
//!
//! Every counter has one writer, its core; the control plane only reads. The exceptions are
//! [`admission`] and [`rate`], whose few words are written by every core, but only when a handshake
//! begins or a tunnel ends, never for a message. Not here: time series, storage, text formats (all
//! of that is `control/`).

pub mod admission;
pub mod counters;
pub mod event;
pub mod histogram;
pub mod key;
pub mod outcome;
pub mod rate;
pub mod series;
pub mod table;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

pub use admission::{Admission, Admitted};
pub use counters::{CoreCounters, Counter, DomainCounters};
pub use event::Event;
pub use histogram::Histogram;
pub use key::ConnId;
pub use outcome::{Cause, Outcome, Refusal, Side, TlsFailure};
pub use rate::Rate;
pub use series::{Layer, SeriesCounters, SeriesName};
pub use table::Table;

use crate::limits::{DOMAINS_MAX, SERIES_MAX};

/// All numbers of one node: one block per core, and the admission state that the cores share.
#[derive(Debug)]
pub struct Stats {
    cores: Box<[Arc<CoreStats>]>,
    admission: Table<Admission>,
    tls_handshakes: Rate,
    /// Counts readings of the series; written by the control plane, read when a tunnel opens.
    period: AtomicU64,
}

/// The numbers that one core writes.
#[derive(Debug)]
pub struct CoreStats {
    pub core: CoreCounters,
    domains: Table<DomainCounters>,
    series: Table<SeriesCounters>,
    /// Series in use, from 0 on. Written by the core after the series has its name.
    series_used: AtomicU32,
}

impl Stats {
    pub fn new(cores: usize) -> Arc<Stats> {
        let core = |_| {
            Arc::new(CoreStats {
                core: CoreCounters::default(),
                domains: Table::new(DOMAINS_MAX),
                series: Table::new(SERIES_MAX as usize),
                series_used: AtomicU32::new(0),
            })
        };
        Arc::new(Stats {
            cores: (0..cores).map(core).collect(),
            admission: Table::new(DOMAINS_MAX),
            tls_handshakes: Rate::default(),
            period: AtomicU64::new(0),
        })
    }

    pub fn cores(&self) -> &[Arc<CoreStats>] {
        &self.cores
    }

    /// Admission state of the domain that holds `slot` (`snapshot::Domain::slot`).
    pub fn admission(&self, slot: u32) -> &Admission {
        self.admission.at(slot)
    }

    /// The rate of TLS handshakes with clients, for the node (`snapshot::Tls`).
    pub fn tls_handshakes(&self) -> &Rate {
        &self.tls_handshakes
    }
}

impl Stats {
    /// The period between two readings of the series.
    pub fn period(&self) -> u64 {
        self.period.load(Ordering::Relaxed)
    }

    /// Begins the next period. Only whoever reads the series calls it.
    pub fn next_period(&self) {
        self.period.fetch_add(1, Ordering::Relaxed);
    }
}

impl CoreStats {
    /// A new series, to be called by its core only; `None` when there is room only for
    /// `reserved` more.
    pub fn begin_series(
        &self,
        name: SeriesName,
        layer: Option<Layer>,
        reserved: u32,
    ) -> Option<u32> {
        let index = self.series_used.load(Ordering::Relaxed);
        if index >= SERIES_MAX.saturating_sub(reserved) {
            return None;
        }
        self.series.at(index).begin(name, layer);
        self.series_used.store(index + 1, Ordering::Release);
        Some(index)
    }

    /// The counters that [`CoreStats::begin_series`] gave.
    #[inline]
    pub fn series(&self, index: u32) -> &SeriesCounters {
        self.series.at(index)
    }

    /// How many series this core counts.
    pub fn series_used(&self) -> u32 {
        self.series_used.load(Ordering::Acquire)
    }

    /// Every series that this core ever counted, in the order in which they began.
    pub fn all_series(&self) -> impl Iterator<Item = (&SeriesName, &SeriesCounters)> {
        let used = self.series_used();
        let named = |index| {
            let counters = self.series.if_used(index)?;
            Some((counters.name()?, counters))
        };
        (0..used).filter_map(named)
    }

    /// Counters of the domain that holds `slot`; made at first use, kept for the life of the
    /// process.
    pub fn domain(&self, slot: u32) -> &DomainCounters {
        self.domains.at(slot)
    }

    /// The same without making them: `None` where this core never counted anything for that slot.
    pub fn domain_if_used(&self, slot: u32) -> Option<&DomainCounters> {
        self.domains.if_used(slot)
    }
}
