//! What the control plane asks of one core: a mailbox message each, answered by calling back.
//!
//! The types stand here, where both planes may see them; the mailbox itself is `worker::mailbox`.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use crate::stats::event::Figures;
use crate::stats::{Cause, ConnId};

/// Sends commands to one core. Never blocks; wakes the core.
#[derive(Clone)]
pub struct CoreHandle {
    send: Arc<dyn Fn(Command) -> bool + Send + Sync>,
}

impl CoreHandle {
    pub fn new(send: impl Fn(Command) -> bool + Send + Sync + 'static) -> CoreHandle {
        CoreHandle { send: Arc::new(send) }
    }

    /// False when the core is gone, or its mailbox full: then nothing was done.
    pub fn send(&self, command: Command) -> bool {
        (self.send)(command)
    }
}

impl std::fmt::Debug for CoreHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CoreHandle")
    }
}

pub type Reply<T> = Box<dyn FnOnce(T) + Send>;

pub enum Command {
    /// Rows of the tunnels that match, at most `limit`, and whether there were more.
    List { filter: Filter, limit: usize, reply: Reply<(Vec<ConnRow>, bool)> },
    /// Close the tunnels that match, and answer with their number at once; `per_second` bounds the
    /// pace of this core.
    Close {
        filter: Filter,
        cause: Cause,
        code: u16,
        reason: Box<str>,
        per_second: Option<u32>,
        reply: Reply<usize>,
    },
    /// A new snapshot was published: close the tunnels of domains that vanished.
    SnapshotChanged,
    /// Stop accepting; close every tunnel, spread over `window`; answer when none is left, or
    /// `window` and the close handshakes are over.
    Drain { window: Duration, code: u16, reason: Box<str>, reply: Reply<()> },
    /// End the thread. Nothing is sent to anybody.
    Stop,
}

/// All that is set must match.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    pub id: Option<ConnId>,
    /// Domain name as configured.
    pub domain: Option<Box<str>>,
    pub client_ip: Option<IpAddr>,
    pub origin: Option<SocketAddr>,
}

/// One tunnel, for people.
#[derive(Debug, Clone)]
pub struct ConnRow {
    pub id: ConnId,
    pub domain: Arc<str>,
    pub client: SocketAddr,
    /// Where the client is counted.
    pub region: Arc<str>,
    pub isp: Arc<str>,
    pub origin: SocketAddr,
    /// Version and cipher suite of the client's leg and of the origin's; `None` where it is plain.
    pub tls: [Option<&'static str>; 2],
    pub age_ms: u64,
    /// Since the last byte either way.
    pub idle_ms: u64,
    pub figures: Figures,
    /// `open`, `half_closed`, `closing` or `paused` (a side does not read).
    pub state: &'static str,
}
