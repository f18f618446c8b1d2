//! What the control plane asks of one core: a mailbox message each, answered by calling back.
//!
//! The types stand here, where both planes may see them; the mailbox itself is `worker::mailbox`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::Cidr;
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
    /// Rows of the tunnels that match, at most `limit`: the first by `order`, or any.
    List { filter: Filter, order: Option<Order>, limit: usize, reply: Reply<Listed> },
    /// Close the tunnels that match now, and answer with their number at once.
    Close {
        filter: Filter,
        cause: Cause,
        code: u16,
        reason: Box<str>,
        /// `None`: as fast as the core can.
        pace: Option<Pace>,
        /// What [`Command::Closing`] calls it.
        number: u64,
        reply: Reply<usize>,
    },
    /// How many tunnels a `Close` has not come to yet; with [`Progress::Stop`] it leaves them open.
    Closing { number: u64, ask: Progress, reply: Reply<usize> },
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
    pub client: Option<Cidr>,
    pub origin: Option<SocketAddr>,
    pub region: Option<Box<str>>,
    pub isp: Option<Box<str>>,
    pub min_age_ms: Option<u64>,
    pub min_idle_ms: Option<u64>,
}

/// What rows are listed by, the largest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    Age,
    Idle,
    /// Both ways.
    Bytes,
    BytesOut,
    BytesIn,
    Messages,
    MessagesOut,
    MessagesIn,
}

/// How fast one core closes, so that all cores together keep a rate below one per second and core.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Millionths of a close.
    pub per_second_e6: u64,
    /// Saved up at the start: with [`Pace::ONE`] the first closes at once.
    pub saved_e6: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    Look,
    Stop,
}

/// Answer to [`Command::List`].
#[derive(Debug, Default)]
pub struct Listed {
    pub rows: Vec<ConnRow>,
    /// How many match, listed or not.
    pub matched: usize,
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
    /// The client's and the origin's.
    pub legs: [LegRow; 2],
}

/// One leg of a tunnel, for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LegRow {
    /// Since the last byte from this peer.
    pub idle_ms: u64,
    /// The last frame that began to come from it.
    pub last_frame: Option<LastFrame>,
    pub close: CloseState,
    pub stream: StreamState,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastFrame {
    pub opcode: &'static str,
    /// Bytes; `u32::MAX` stands for so many or more.
    pub payload: u32,
    /// Bytes of it that have not come yet.
    pub missing: u64,
}

/// How far the close handshake with one peer is (RFC 6455 7.1.2). The code is that of the peer's
/// Close; 0 when it has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseState {
    None,
    /// To the peer.
    Sent,
    /// From the peer.
    Received(u16),
    Both(u16),
}

/// How far the end of the byte stream below is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamState {
    Open,
    FinSent,
    FinReceived,
    FinBoth,
    /// Reset, or given up.
    Failed,
}

// === impl Order ===

impl Order {
    pub fn of(self, age_ms: u64, idle_ms: u64, figures: &Figures) -> u64 {
        match self {
            Order::Age => age_ms,
            Order::Idle => idle_ms,
            Order::Bytes => figures.bytes_out + figures.bytes_in,
            Order::BytesOut => figures.bytes_out,
            Order::BytesIn => figures.bytes_in,
            Order::Messages => figures.messages_out + figures.messages_in,
            Order::MessagesOut => figures.messages_out,
            Order::MessagesIn => figures.messages_in,
        }
    }
}

// === impl Pace ===

impl Pace {
    /// One close.
    pub const ONE: u64 = 1_000_000;
}
