//! The origin side of one exchange: a connection, pooled or fresh, and the heads that come back on
//! it. Not here: bodies, and what is done with an answer.

use std::borrow::Cow;
use std::cell::Cell;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};

use super::core::Core;
use super::pool::Verified;
use super::record::Refused;
use crate::limits::{CLIENT_WATCH, HEAD_READ_BYTES, HEALTH_INTERVAL};
use crate::net::connect::{ConnectError, Fault, connect};
use crate::net::runtime::now;
use crate::net::stream::{Patience, Queue, Stream};
use crate::net::tls::{ConnectFailure, ConnectTlsError, ConnectedTls};
use crate::proto::h1::{HeadError, HeadScanner};
use crate::snapshot::domain::DomainHttp;
use crate::snapshot::{Endpoint, OriginTls};
use crate::stats::Refusal;

pub struct OriginConnection<'a> {
    pub stream: Stream,
    /// Read and not yet used.
    pub buf: BytesMut,
    pub endpoint: &'a Endpoint,
    pub age: Age,
    pub tls: Verified,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Age {
    Fresh,
    /// From the pool: the origin may just be closing it.
    Reused,
}

/// Whether an idle connection will do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Want {
    Any,
    Fresh,
}

/// Where one request may go, and how connections to there begin.
pub struct Route<'a> {
    /// Best first.
    pub endpoints: Vec<&'a Endpoint>,
    pub rules: &'a DomainHttp,
    /// `None`: in the clear.
    pub tls: Option<Cow<'a, Arc<OriginTls>>>,
    /// A PROXY header, in the clear also where TLS follows; may be empty.
    pub preamble: Vec<u8>,
}

/// The endpoints still to be tried for one request.
pub struct Candidates<'a> {
    rest: std::vec::IntoIter<&'a Endpoint>,
    rules: &'a DomainHttp,
    tls: Option<Cow<'a, Arc<OriginTls>>>,
    preamble: Vec<u8>,
    /// Over all attempts together: many dead addresses must not keep a client for minutes.
    deadline: Instant,
    failure: Option<DialError>,
}

/// Why an address was no use.
enum DialError {
    Connect(ConnectError),
    Tls(ConnectTlsError),
}

impl From<ConnectError> for DialError {
    fn from(error: ConnectError) -> DialError {
        DialError::Connect(error)
    }
}

impl<'a> Candidates<'a> {
    pub fn new(route: Route<'a>) -> Candidates<'a> {
        let Route { endpoints, rules, tls, preamble } = route;
        let limit = rules.response_timeout.max(rules.connect_timeout);
        let (rest, deadline) = (endpoints.into_iter(), now() + limit);
        Candidates { rest, rules, tls, preamble, deadline, failure: None }
    }

    /// Connects to the next endpoint that accepts. Every address is tried before the request fails.
    pub async fn connect(
        &mut self,
        core: &Core,
        want: Want,
    ) -> Result<OriginConnection<'a>, Refused> {
        let wanted = self.tls.clone();
        let wanted = wanted.as_ref().map(|tls| &***tls);
        while let Some(endpoint) = self.rest.next() {
            if want == Want::Any
                && let Some((stream, tls)) = core.pool.take(endpoint.addr, wanted, now())
            {
                return Ok(OriginConnection::new(stream, endpoint, Age::Reused, tls));
            }
            match self.connect_to(endpoint, core).await {
                Ok(connection) => return Ok(connection),
                Err(error @ DialError::Connect(ConnectError::Descriptors(_))) => {
                    core.shed();
                    self.failure = Some(error);
                    break;
                }
                Err(error) => self.failure = Some(error),
            }
        }
        Err(self.refusal())
    }

    /// Connects anew to an endpoint that a pooled connection was for.
    pub async fn reconnect(
        &mut self,
        endpoint: &'a Endpoint,
        core: &Core,
    ) -> Result<OriginConnection<'a>, Refused> {
        match self.connect_to(endpoint, core).await {
            Ok(connection) => Ok(connection),
            Err(error) => {
                self.failure = Some(error);
                self.connect(core, Want::Fresh).await
            }
        }
    }

    async fn connect_to(
        &self,
        endpoint: &'a Endpoint,
        core: &Core,
    ) -> Result<OriginConnection<'a>, DialError> {
        let addr = endpoint.addr;
        let stream = connect(addr, core.next_source(addr), self.left()?).await?;
        if !self.preamble.is_empty() {
            let patience = Patience::Until(now() + self.left()?);
            stream.write_all(&self.preamble, patience).await.map_err(|e| match e.kind() {
                io::ErrorKind::TimedOut => ConnectError::TimedOut,
                _ => ConnectError::Refused(e),
            })?;
        }
        if let Some(tls) = &self.tls {
            self.secure(&stream, tls, core).await?;
        }
        let tls = self.tls.clone().map(Cow::into_owned);
        Ok(OriginConnection::new(stream, endpoint, Age::Fresh, tls))
    }

    async fn secure(&self, stream: &Stream, tls: &OriginTls, core: &Core) -> Result<(), DialError> {
        let patience = Patience::Until(now() + self.left()?);
        let counters = &core.own().core;
        match stream.connect_tls(tls, stream.peer_addr(), patience).await {
            Ok(ConnectedTls { resumed: true }) => counters.origin_tls_resumed.add(1),
            Ok(ConnectedTls { resumed: false }) => counters.origin_tls_full.add(1),
            Err(error) => {
                counters.origin_tls_failed.add(1);
                return Err(DialError::Tls(error));
            }
        }
        Ok(())
    }

    /// For the next step of an attempt.
    fn left(&self) -> Result<Duration, ConnectError> {
        match self.deadline.saturating_duration_since(now()).min(self.rules.connect_timeout) {
            Duration::ZERO => Err(ConnectError::TimedOut),
            left => Ok(left),
        }
    }

    fn refusal(&self) -> Refused {
        let error = match &self.failure {
            None => {
                return Refused::new(Refusal::NoHealthyOrigin, "no origin of this domain is up")
                    .retry_after(HEALTH_INTERVAL);
            }
            Some(DialError::Tls(error)) => {
                let refusal = match error.reason {
                    ConnectFailure::Internal => Refusal::Internal,
                    _ => Refusal::OriginTls,
                };
                return Refused::new(
                    refusal,
                    format!("no TLS connection with any origin: {error}"),
                );
            }
            Some(DialError::Connect(error)) => error,
        };
        match (error.fault(), error) {
            (Fault::Ours, _) => Refused::new(
                Refusal::EdgeCapacity,
                format!("no connection to an origin can be made: {error}"),
            )
            .retry_after(Duration::from_secs(1)),
            (Fault::Origin, ConnectError::TimedOut) => Refused::new(
                Refusal::OriginConnectTimeout,
                "no address of any origin answered in time",
            ),
            (Fault::Origin, _) => Refused::new(
                Refusal::OriginRefused,
                "no address of any origin accepted the connection",
            ),
        }
    }
}

/// Why no head came.
#[derive(Debug)]
pub enum HeadFailure {
    /// FIN or reset before the first byte: of a pooled connection, what a stale one looks like.
    Silent,
    /// FIN or reset within the head.
    Cut,
    TimedOut,
    Malformed(HeadError),
    ClientGone,
}

impl HeadFailure {
    pub fn refused(&self) -> Refused {
        match self {
            HeadFailure::Silent => {
                Refused::new(Refusal::OriginClosed, "the origin closed without an answer")
            }
            HeadFailure::Cut => {
                Refused::new(Refusal::OriginClosed, "the origin closed within its answer")
            }
            HeadFailure::TimedOut => {
                Refused::new(Refusal::OriginTimeout, "the origin did not answer in time")
            }
            HeadFailure::Malformed(error) => bad_answer(error),
            HeadFailure::ClientGone => {
                Refused::new(Refusal::ClientClosed, "the client closed before there was an answer")
            }
        }
    }
}

pub fn bad_answer(error: &HeadError) -> Refused {
    Refused::new(Refusal::OriginAnswer, format!("the origin's answer is not valid: {error}"))
}

impl<'a> OriginConnection<'a> {
    fn new(
        stream: Stream,
        endpoint: &'a Endpoint,
        age: Age,
        tls: Verified,
    ) -> OriginConnection<'a> {
        OriginConnection { stream, buf: BytesMut::new(), endpoint, age, tls }
    }
}

/// Reads the next head. `limit` counts from `moved`, which is when the request last moved on: an
/// origin has to answer only what it was sent.
pub async fn read_head(
    origin: &Stream,
    buf: &mut BytesMut,
    moved: &Cell<Instant>,
    limit: Duration,
    client: &Stream,
) -> Result<Bytes, HeadFailure> {
    let ended = |buf: &BytesMut| match buf.is_empty() {
        true => HeadFailure::Silent,
        false => HeadFailure::Cut,
    };
    let mut scanner = HeadScanner::response();
    loop {
        match scanner.find(buf) {
            Ok(Some(end)) => return Ok(buf.split_to(end).freeze()),
            Ok(None) => {}
            Err(error) => return Err(HeadFailure::Malformed(error)),
        }
        match read_for(client, origin, buf, HEAD_READ_BYTES, moved.get() + limit).await {
            Ok(0) => return Err(ended(buf)),
            Ok(_) => {}
            Err(Interrupted::ClientGone) => return Err(HeadFailure::ClientGone),
            Err(Interrupted::Io(e)) if e.kind() == io::ErrorKind::TimedOut => {
                if moved.get() + limit <= now() {
                    return Err(HeadFailure::TimedOut);
                }
            }
            Err(Interrupted::Io(_)) => return Err(ended(buf)),
        }
    }
}

#[derive(Debug)]
pub enum Interrupted {
    /// Nobody is left to read an answer: the origin need not go on.
    ClientGone,
    Io(io::Error),
}

/// Reads from an origin on behalf of a client, and now and then looks whether that is still there.
///
/// A FIN counts as gone, as with most proxies: a client that closed looks the same as one that only
/// ended its half, and one that does the latter mostly has its answer before the first look.
pub async fn read_for(
    client: &Stream,
    origin: &Stream,
    buf: &mut BytesMut,
    room: usize,
    deadline: Instant,
) -> Result<usize, Interrupted> {
    loop {
        let look = now() + CLIENT_WATCH;
        let patience = Patience::Until(look.min(deadline));
        match origin.read(buf, room, patience).await {
            Err(e) if e.kind() == io::ErrorKind::TimedOut && look < deadline => {
                if matches!(client.peek(), Queue::Ended | Queue::Broken) {
                    return Err(Interrupted::ClientGone);
                }
            }
            other => return other.map_err(Interrupted::Io),
        }
    }
}
