//! Events for the access log: made by a core, written by the control plane. Not here: their JSON.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::key::ConnId;
use super::outcome::{Outcome, Refusal, TlsFailure};

/// One line of the access log. Times are microseconds since the Unix epoch.
#[derive(Debug)]
pub enum Event {
    /// A tunnel opened.
    Open(Box<Opened>),
    /// A tunnel is still open (`access_log.interval`).
    Interval(Box<Progress>),
    /// A tunnel ended.
    Close(Box<Closed>),
    /// A plain request was answered, by an origin or by the edge.
    Request(Box<Request>),
    /// A client began a TLS handshake that failed. Not for connections that said nothing, nor for
    /// those over the rate of handshakes: both are only counted.
    Handshake(Box<FailedHandshake>),
}

#[derive(Debug)]
pub struct Opened {
    pub at_us: u64,
    pub id: ConnId,
    pub domain: Arc<str>,
    pub client: SocketAddr,
    pub origin: SocketAddr,
    /// Version and cipher suite of either leg; `None`: in the clear.
    pub client_tls: Option<&'static str>,
    pub origin_tls: Option<&'static str>,
    pub target: Box<str>,
    pub request_id: Box<str>,
    pub subprotocol: Option<Box<str>>,
    pub user_agent: Option<Box<str>>,
    pub handshake_us: u64,
}

/// Figures of one tunnel, since it opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    pub bytes_out: u64,
    pub bytes_in: u64,
    pub messages_out: u64,
    pub messages_in: u64,
    /// Last round-trip time of each leg in microseconds; 0 where none was measured.
    pub client_rtt_us: u32,
    pub origin_rtt_us: u32,
}

#[derive(Debug)]
pub struct Progress {
    pub at_us: u64,
    pub id: ConnId,
    pub domain: Arc<str>,
    pub age_ms: u64,
    pub figures: Figures,
}

#[derive(Debug, Clone)]
pub struct Closed {
    pub at_us: u64,
    pub id: ConnId,
    pub domain: Arc<str>,
    pub client: SocketAddr,
    pub origin: SocketAddr,
    pub age_ms: u64,
    pub figures: Figures,
    pub outcome: Outcome,
}

#[derive(Debug)]
pub struct Request {
    pub at_us: u64,
    /// Absent when no domain was found for the request.
    pub domain: Option<Arc<str>>,
    pub client: IpAddr,
    pub origin: Option<SocketAddr>,
    /// Version and cipher suite of either side; `None`: in the clear.
    pub client_tls: Option<&'static str>,
    pub origin_tls: Option<&'static str>,
    pub method: Box<str>,
    pub target: Box<str>,
    pub request_id: Box<str>,
    pub status: u16,
    /// Set when the edge answered itself: why, with the detail that the answer's body names.
    pub refusal: Option<(Refusal, Box<str>)>,
    pub upgrade: bool,
    pub bytes_out: u64,
    pub bytes_in: u64,
    pub duration_us: u64,
}

#[derive(Debug)]
pub struct FailedHandshake {
    pub at_us: u64,
    pub client: IpAddr,
    pub failure: TlsFailure,
    /// What happened, for people.
    pub detail: Box<str>,
    pub duration_us: u64,
}
