//! Where a domain's connections go, and how one is chosen.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use super::certs::Transport;

/// One `[[origin]]` of a domain, with the addresses that it stands for now.
#[derive(Debug)]
pub struct Origin {
    /// As configured: an address or a name.
    pub address: Arc<str>,
    /// 20 primary, 30 backup; a higher number is used only when no lower one is up.
    pub priority: u16,
    /// Share among equals, 1 to 100.
    pub weight: u16,
    /// For plain connections: `port`. Empty while a name has never been resolved, and where the
    /// domain's `origin_scheme` never comes to it.
    pub endpoints: Box<[Endpoint]>,
    /// For TLS: the same addresses with `https_port`.
    pub tls_endpoints: Box<[Endpoint]>,
    /// Of earlier answers of a name: nothing new goes there, but tunnels may still be there.
    pub former: Box<[Endpoint]>,
}

impl Origin {
    pub fn endpoints(&self, transport: Transport) -> &[Endpoint] {
        match transport {
            Transport::Plain => &self.endpoints,
            Transport::Tls => &self.tls_endpoints,
        }
    }

    /// Of both transports.
    pub fn all_endpoints(&self) -> impl Iterator<Item = &Endpoint> {
        self.endpoints.iter().chain(&self.tls_endpoints)
    }

    /// Those and the former ones.
    pub fn known_endpoints(&self) -> impl Iterator<Item = &Endpoint> {
        self.all_endpoints().chain(&self.former)
    }
}

/// One address of an origin. Its state lives across snapshots, so that counts and health outlast a
/// reload.
#[derive(Debug, Clone)]
pub struct Endpoint {
    pub addr: SocketAddr,
    pub state: Arc<EndpointState>,
}

/// The two words about an endpoint that change under a snapshot: health, written by the control
/// plane, and the number of live tunnels, written when one opens or ends.
#[derive(Debug)]
pub struct EndpointState {
    up: AtomicBool,
    tunnels: AtomicU32,
}

impl Default for EndpointState {
    fn default() -> EndpointState {
        EndpointState { up: AtomicBool::new(true), tunnels: AtomicU32::new(0) }
    }
}

impl EndpointState {
    pub fn is_up(&self) -> bool {
        self.up.load(Ordering::Relaxed)
    }

    /// Returns what it was.
    pub fn set_up(&self, up: bool) -> bool {
        self.up.swap(up, Ordering::Relaxed)
    }

    pub fn tunnels(&self) -> u32 {
        self.tunnels.load(Ordering::Relaxed)
    }

    pub fn tunnel_opened(&self) {
        self.tunnels.fetch_add(1, Ordering::Relaxed);
    }

    pub fn tunnel_ended(&self) {
        self.tunnels.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How an endpoint is chosen among those of the best priority that is up.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Balance {
    /// By weight, at random.
    #[default]
    Weighted,
    /// Fewest live tunnels per weight.
    LeastConnections,
    /// The same key goes to the same endpoint while it is up (rendezvous hashing by weight).
    Hash(HashKey),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HashKey {
    ClientAddress,
    /// Lower-case header name. A request without it is hashed by client address.
    Header(Box<str>),
    Cookie(Box<str>),
}
