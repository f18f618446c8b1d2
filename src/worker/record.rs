//! What becomes of one request: its counters and its line in the access log. Not here: what was
//! decided.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::connection::Client;
use super::core::Core;
use super::dial::OriginConnection;
use super::log::wall_us;
use crate::limits::LOG_TEXT_BYTES_MAX;
use crate::net::runtime::now;
use crate::proto::h1::RequestHead;
use crate::snapshot::Domain;
use crate::stats::event::{Event, Opened, Request};
use crate::stats::{ConnId, Refusal};

/// Why the edge answers a request itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    pub refusal: Refusal,
    /// One sentence without a full stop; goes into the body of the answer and into the log.
    pub detail: Cow<'static, str>,
    pub retry_after: Option<Duration>,
}

impl Refused {
    pub fn new(refusal: Refusal, detail: impl Into<Cow<'static, str>>) -> Refused {
        Refused { refusal, detail: detail.into(), retry_after: None }
    }

    pub fn retry_after(self, wait: Duration) -> Refused {
        Refused { retry_after: Some(wait), ..self }
    }
}

/// Where a request counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Account {
    /// No domain is known.
    Nobody,
    Plain {
        /// Of the domain.
        slot: u32,
    },
    /// It asks for a WebSocket, of a domain that has it switched on.
    Upgrade { series: u32 },
}

/// Figures of one request, gathered while it is served.
pub struct Record<'a> {
    core: &'a Core,
    started: Instant,
    client: IpAddr,
    account: Cell<Account>,
    bytes_in: Cell<u64>,
    bytes_out: Cell<u64>,
    origin: Cell<Option<SocketAddr>>,
    /// Version and cipher suite of either side.
    client_tls: Option<&'static str>,
    origin_tls: Cell<Option<&'static str>>,
    pub status: Cell<u16>,
    pub refused: RefCell<Option<Refused>>,
}

/// What a request was, for the log; nothing of it is known of one that could not be parsed.
#[derive(Clone, Copy)]
pub struct Subject<'a> {
    pub domain: Option<&'a Arc<Domain>>,
    pub request: Option<&'a RequestHead<'a>>,
    pub request_id: &'a str,
}

impl<'a> Record<'a> {
    pub fn new(core: &'a Core, started: Instant, client: &Client, head_bytes: usize) -> Record<'a> {
        Record {
            core,
            started,
            client: client.addr.ip(),
            client_tls: client.stream.tls_description(),
            origin_tls: Cell::new(None),
            account: Cell::new(Account::Nobody),
            bytes_in: Cell::new(head_bytes as u64),
            bytes_out: Cell::new(0),
            origin: Cell::new(None),
            status: Cell::new(0),
            refused: RefCell::new(None),
        }
    }

    pub fn account(&self) -> Account {
        self.account.get()
    }

    /// Where the request counts from now on, with what there was of it; to be said once.
    pub fn count_at(&self, account: Account) {
        debug_assert_eq!(self.account.get(), Account::Nobody);
        self.account.set(account);
        self.count_bytes(self.bytes_in.get(), self.bytes_out.get());
    }

    /// `n` further bytes came from the client.
    pub fn received(&self, n: u64) {
        self.bytes_in.set(self.bytes_in.get() + n);
        self.count_bytes(n, 0);
    }

    /// `n` further bytes went to the client. They count at once: an answer may last for hours.
    pub fn sent(&self, n: usize) {
        self.bytes_out.set(self.bytes_out.get() + n as u64);
        self.count_bytes(0, n as u64);
    }

    fn count_bytes(&self, received: u64, sent: u64) {
        let (bytes_in, bytes_out) = match self.account.get() {
            Account::Nobody => return,
            Account::Plain { slot } => {
                let domain = self.core.domain(slot);
                (&domain.http_bytes_in, &domain.http_bytes_out)
            }
            Account::Upgrade { series } => {
                let series = self.core.own().series(series);
                (&series.bytes_in, &series.bytes_out)
            }
        };
        bytes_in.add(received);
        bytes_out.add(sent);
    }

    /// The request goes to this one; a later call replaces an earlier one.
    pub fn goes_to(&self, origin: &OriginConnection<'_>) {
        self.origin.set(Some(origin.endpoint.addr));
        self.origin_tls.set(origin.stream.tls_description());
    }

    pub fn duration_us(&self) -> u64 {
        now().saturating_duration_since(self.started).as_micros() as u64
    }

    /// The edge answers, or would if anybody were there. The first reason stays.
    pub fn refuse(&self, refused: &Refused) {
        let mut place = self.refused.borrow_mut();
        if place.is_none() {
            *place = Some(refused.clone());
        }
        if self.status.get() == 0 {
            self.status.set(refused.refusal.status());
        }
    }

    /// Counts and logs a request that is over, but for one that became a tunnel.
    pub fn finish(self, subject: Subject<'_>) {
        self.count();
        if subject.domain.is_some_and(|domain| !domain.log.enabled) {
            return;
        }
        let refusal = self.refused.into_inner();
        self.core.log.push(Event::Request(Box::new(Request {
            at_us: wall_us(),
            domain: subject.domain.map(|domain| Arc::clone(&domain.name)),
            client: self.client,
            origin: self.origin.get(),
            client_tls: self.client_tls,
            origin_tls: self.origin_tls.get(),
            method: subject.request.map_or("", |request| request.method).into(),
            target: subject.request.map_or("", |request| shown(request.target.as_str())).into(),
            request_id: subject.request_id.into(),
            status: self.status.get(),
            refusal: refusal.map(|r| (r.refusal, r.detail.into())),
            upgrade: matches!(self.account.get(), Account::Upgrade { .. }),
            bytes_out: self.bytes_out.get(),
            bytes_in: self.bytes_in.get(),
            duration_us: now().saturating_duration_since(self.started).as_micros() as u64,
        })));
    }

    /// Counts and logs a request that became a tunnel.
    pub fn opened(self, subject: Subject<'_>, tunnel: Tunnel) {
        self.count();
        let (Some(domain), Some(request)) = (subject.domain, subject.request) else { return };
        if !domain.log.enabled {
            return;
        }
        self.core.log.push(Event::Open(Box::new(Opened {
            at_us: wall_us(),
            id: tunnel.id,
            domain: Arc::clone(&domain.name),
            client: tunnel.client,
            origin: tunnel.origin,
            client_tls: self.client_tls,
            origin_tls: self.origin_tls.get(),
            target: shown(request.target.as_str()).into(),
            request_id: subject.request_id.into(),
            subprotocol: tunnel.subprotocol,
            user_agent: request
                .field("user-agent")
                .map(|agent| shown(&String::from_utf8_lossy(agent)).into()),
            handshake_us: tunnel.handshake_us,
        })));
    }

    fn count(&self) {
        match self.account.get() {
            Account::Nobody => {
                if let Some(refused) = &*self.refused.borrow() {
                    self.core.count_refused(refused.refusal);
                }
            }
            Account::Plain { slot } => self.core.domain(slot).requests.count(self.status.get()),
            Account::Upgrade { series } => {
                let counters = self.core.own().series(series);
                counters.handshakes.count(self.status.get());
                counters.handshake_us.record_us(self.duration_us());
            }
        }
    }
}

/// What the log says about an opened tunnel beyond its request.
pub struct Tunnel {
    pub id: ConnId,
    pub client: SocketAddr,
    pub origin: SocketAddr,
    pub subprotocol: Option<Box<str>>,
    pub handshake_us: u64,
}

fn shown(text: &str) -> &str {
    if text.len() <= LOG_TEXT_BYTES_MAX {
        return text;
    }
    let end = (0..=LOG_TEXT_BYTES_MAX).rev().find(|&end| text.is_char_boundary(end));
    &text[..end.unwrap_or(0)]
}
