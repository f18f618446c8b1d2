//! What holds for one domain.

use std::sync::Arc;
use std::time::Duration;

use super::Cidr;
use super::certs::{ClientAuth, OriginTls};
use super::origin::{Balance, Origin};
use crate::stats::admission::Allowance;

/// One domain with its policy. A tunnel keeps the `Domain` of its handshake for its whole life.
#[derive(Debug)]
pub struct Domain {
    /// Lower case, without a trailing dot; may begin with `*.`.
    pub name: Arc<str>,
    /// Index of its counters; stable for as long as the domain exists, reused later.
    pub slot: u32,
    pub websocket: WebSocket,
    pub http: DomainHttp,
    /// By priority, then as written. Never empty.
    pub origins: Box<[Arc<Origin>]>,
    /// How those are spoken to over TLS; `None` when `origin_scheme` never asks for it.
    pub origin_tls: Option<Arc<OriginTls>>,
    /// Whether clients have to prove who they are, so that a connection without SNI is not enough.
    pub client_auth: ClientAuth,
    pub balance: Balance,
    /// Close the tunnels of an origin that went down or was removed, with 1012, this many per
    /// second; `None` keeps them.
    pub close_on_origin_down: Option<u32>,
    pub access: Access,
    pub log: AccessLog,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebSocket {
    /// Off: Upgrade is stripped and the request goes on as plain HTTP.
    pub enabled: bool,
    /// 1 to 300 s.
    pub heartbeat: Duration,
    pub heartbeat_mode: HeartbeatMode,
    pub origin_scheme: OriginScheme,
    pub origin_rule: OriginRule,
    /// Enforce RFC 6455 5 on both sides. Off: only what framing needs is checked.
    pub strict_frames: bool,
    /// Payload bytes of one frame, and of one message over all its fragments; more ends the tunnel
    /// with 1009.
    pub max_frame: u64,
    pub max_message: u64,
    /// Messages per second from the client, with a burst of one second's worth; more ends the
    /// tunnel with 1008.
    pub messages_per_second: Option<u32>,
    /// Life of a tunnel; each gets up to a tenth less at random, so that they do not end together.
    pub max_lifetime: Option<Duration>,
    /// A write that makes no progress for this long ends the tunnel.
    pub stalled_write: Duration,
    pub allowance: Allowance,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeartbeatMode {
    /// Ping a silent side, close when it stays silent.
    Active,
    /// Close when no byte moved either way for the interval.
    Passive,
}

/// Back-to-origin protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OriginScheme {
    Http,
    Https,
    /// As the client came.
    Follow,
}

/// Which Origin headers may open a WebSocket (RFC 6455 10.2). A request without one is let through
/// only by `Any`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OriginRule {
    Any,
    /// Host and port of the Origin must equal those of the request.
    SameHost,
    /// Lower-case serialised origins, such as `https://app.example.com`.
    List(Box<[Box<str>]>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DomainHttp {
    /// TCP connect to one origin address.
    pub connect_timeout: Duration,
    /// From the sent request head to the answer's head.
    pub response_timeout: Duration,
    /// Waiting for one side of a body that does not move on.
    pub body_timeout: Duration,
    /// Bytes of a request body; more is answered 413.
    pub max_body: u64,
    /// Host sent to the origin; `None` sends the client's.
    pub host: Option<Box<str>>,
    /// PROXY header sent to origins.
    pub send_proxy: SendProxy,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SendProxy {
    Off,
    V1,
    V2,
}

/// Client addresses. Deny wins; an empty allow list allows all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Access {
    pub allow: Box<[Cidr]>,
    pub deny: Box<[Cidr]>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AccessLog {
    pub enabled: bool,
    /// A line per tunnel at this interval; `None` writes only open and close.
    pub interval: Option<Duration>,
}
