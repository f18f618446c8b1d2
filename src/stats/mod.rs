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
pub mod table;

use std::sync::Arc;

pub use admission::{Admission, Admitted};
pub use counters::{CoreCounters, Counter, DomainCounters};
pub use event::Event;
pub use histogram::Histogram;
pub use key::ConnId;
pub use outcome::{Cause, Outcome, Refusal, Side, TlsFailure};
pub use rate::Rate;
pub use table::Table;

use crate::limits::DOMAINS_MAX;

/// All numbers of one node: one block per core, and the admission state that the cores share.
#[derive(Debug)]
pub struct Stats {
    cores: Box<[Arc<CoreStats>]>,
    admission: Table<Admission>,
    tls_handshakes: Rate,
}

/// The numbers that one core writes.
#[derive(Debug)]
pub struct CoreStats {
    pub core: CoreCounters,
    domains: Table<DomainCounters>,
}

impl Stats {
    pub fn new(cores: usize) -> Arc<Stats> {
        let core = |_| {
            Arc::new(CoreStats { core: CoreCounters::default(), domains: Table::new(DOMAINS_MAX) })
        };
        Arc::new(Stats {
            cores: (0..cores).map(core).collect(),
            admission: Table::new(DOMAINS_MAX),
            tls_handshakes: Rate::default(),
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

impl CoreStats {
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
