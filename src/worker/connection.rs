//! One client connection: its PROXY header, the heads of its requests one after another, its end.
//! Not here: TLS with it ([`super::tls`]), and what is done with a request.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::time::Instant;

use bytes::BytesMut;

use super::core::Core;
use super::http;
use super::latch::{First, first};
use super::record::Refused;
use super::tls;
use crate::limits::{
    HEAD_READ_BYTES, LINGER_BYTES_MAX, LINGER_WAIT, PROXY_V2_BYTES_MAX, REQUESTS_PER_CONNECTION_MAX,
};
use crate::net::runtime::now;
use crate::net::stream::{Patience, Queue, Stream};
use crate::net::tls::AcceptedTls;
use crate::proto::h1::rewrite::Peer;
use crate::proto::h1::{HeadError, HeadErrorKind, HeadScanner, Persistence, Scheme};
use crate::proto::proxy_protocol::{Accepted, Decoded, Header, decode};
use crate::snapshot::{Http, ProxyProtocol, Transport};
use crate::stats::Refusal;

pub struct Client {
    pub stream: Stream,
    /// Read and not yet used: the rest of a body, pipelined requests, or the first bytes of a
    /// tunnel.
    pub buf: BytesMut,
    /// Who connected: of the PROXY header if there was one.
    pub addr: SocketAddr,
    /// What that header says it connected to.
    reached: Option<SocketAddr>,
    tls: Option<Box<AcceptedTls>>,
    /// When it could first send a request: at accept, or at the end of the TLS handshake.
    ready: Instant,
    served: u32,
}

/// What a served request leaves of its connection.
pub enum After {
    /// In order, and the next request may come.
    KeepAlive(Client),
    /// The answer is written, and was the last.
    Close(Client),
    /// Nothing is left to do: handed to the engine, or to be dropped as it is.
    Done,
}

enum Next {
    /// A head of so many bytes stands in the buffer; its first byte came at this time.
    Head(usize, Instant),
    Refused(Refused, Instant),
    /// Idle for too long, or gone, or unused when the process drains.
    Over,
}

/// Serves one connection to its end.
pub async fn serve(core: Rc<Core>, stream: Stream, transport: Transport) {
    let mut client = Client::new(stream);
    if core.snapshot().http.proxy_protocol != ProxyProtocol::Off
        && let Err(refused) = Box::pin(client.take_proxy_header(&core.snapshot().http)).await
    {
        // The bytes that came are of nobody who may speak HTTP here: there is no answer.
        return core.count_refused(refused.refusal);
    }
    let mut after = match transport {
        Transport::Plain => After::KeepAlive(client),
        Transport::Tls => Box::pin(tls::secure(&core, client)).await,
    };
    loop {
        let mut client = match after {
            After::KeepAlive(client) => client,
            After::Close(client) => return Box::pin(client.linger(&core)).await,
            After::Done => return,
        };
        after = match client.next(&core).await {
            Next::Head(len, started) => {
                client.served += 1;
                // In a box of its own, so that an idle connection keeps only this loop's few bytes.
                Box::pin(http::exchange(&core, client, len, started)).await
            }
            Next::Refused(refused, started) => {
                Box::pin(http::refuse_head(&core, client, refused, started)).await
            }
            Next::Over => return client.leave(),
        };
    }
}

impl Client {
    fn new(stream: Stream) -> Client {
        let (addr, buf, ready) = (stream.peer_addr(), BytesMut::new(), now());
        Client { stream, buf, addr, reached: None, tls: None, ready, served: 0 }
    }

    /// The handshake is over: requests may come.
    pub fn secured(&mut self, accepted: AcceptedTls) {
        (self.tls, self.ready) = (Some(Box::new(accepted)), now());
    }

    pub fn tls(&self) -> Option<&AcceptedTls> {
        self.tls.as_deref()
    }

    pub fn scheme(&self) -> Scheme {
        match self.stream.transport() {
            Transport::Plain => Scheme::Http,
            Transport::Tls => Scheme::Https,
        }
    }

    /// Whether this peer's word about others counts.
    pub fn peer(&self, http: &Http) -> Peer {
        if is_trusted(http, self.addr) { Peer::Trusted } else { Peer::Untrusted }
    }

    /// The address that the client connected to.
    pub fn reached(&self) -> SocketAddr {
        self.reached.or_else(|| self.stream.local_addr().ok()).unwrap_or(self.addr)
    }

    /// What the edge wants to happen with this connection behind the current request.
    pub fn persistence(&self, core: &Core) -> Persistence {
        if core.draining.is_set()
            || !core.room.is_set()
            || self.served >= REQUESTS_PER_CONNECTION_MAX
        {
            Persistence::Close
        } else {
            Persistence::KeepAlive
        }
    }

    async fn take_proxy_header(&mut self, http: &Http) -> Result<(), Refused> {
        let accepted = match http.proxy_protocol {
            ProxyProtocol::Off => return Ok(()),
            ProxyProtocol::V1 => Accepted::V1,
            ProxyProtocol::V2 => Accepted::V2,
            ProxyProtocol::Any => Accepted::Any,
        };
        let refused = |detail| Refused::new(Refusal::ProxyHeader, detail);
        if !is_trusted(http, self.addr) {
            return Err(refused("a PROXY header is required, and this peer may not send one"));
        }
        let patience = Patience::Until(self.ready + http.head_timeout);
        loop {
            match decode(&self.buf, accepted).map_err(|error| refused(error.0))? {
                Decoded::Complete { header, len } => {
                    drop(self.buf.split_to(len));
                    if let Header::Proxied { source, destination } = header {
                        (self.addr, self.reached) = (source, Some(destination));
                    }
                    return Ok(());
                }
                Decoded::Partial => {}
            }
            // The decoder gives a verdict before this is used up.
            let room = PROXY_V2_BYTES_MAX.saturating_sub(self.buf.len()).max(1);
            match self.stream.read(&mut self.buf, room, patience).await {
                Ok(n) if n > 0 => {}
                _ => return Err(refused("the PROXY header did not come")),
            }
        }
    }

    /// Waits for the next request head.
    async fn next(&mut self, core: &Core) -> Next {
        let http = Rc::clone(&core.snapshot());
        let (head_timeout, keepalive_timeout) =
            (http.http.head_timeout, http.http.keepalive_timeout);
        drop(http);
        // Of the first request the time to send a head counts from when it could be sent, of later
        // ones from their first byte.
        let mut started = (self.served == 0).then_some(self.ready);
        if self.served == 0 && self.buf.is_empty() && self.tls.is_none() {
            // Mostly the request is there by the time its connection is accepted. What fails here
            // looks like an end below.
            let _ = self.stream.read_now(&mut self.buf, HEAD_READ_BYTES);
        }
        if self.buf.is_empty() {
            self.buf = BytesMut::new();
            let patience = match started {
                Some(ready) => Patience::Until(ready + head_timeout),
                None => Patience::Stall(keepalive_timeout),
            };
            if !self.bytes_came(core, patience).await {
                return Next::Over;
            }
        }
        let deadline = started.get_or_insert_with(now).to_owned() + head_timeout;
        let began = if self.served == 0 { now() } else { deadline - head_timeout };
        let mut scanner = HeadScanner::request();
        loop {
            match scanner.find(&self.buf) {
                Ok(Some(end)) => return Next::Head(end, began),
                Ok(None) => {}
                Err(error) => return Next::Refused(refused_head(&error), began),
            }
            match self.stream.read(&mut self.buf, HEAD_READ_BYTES, Patience::Until(deadline)).await
            {
                Ok(n) if n > 0 => {}
                Err(e) if e.kind() == io::ErrorKind::TimedOut && !scanner.is_idle() => {
                    let late = "the request head did not come in time";
                    return Next::Refused(Refused::new(Refusal::HeadTimeout, late), began);
                }
                _ => return Next::Over,
            }
        }
    }

    /// Waits for a first byte without holding a buffer. False when this connection should end
    /// instead.
    async fn bytes_came(&self, core: &Core, patience: Patience) -> bool {
        if self.served == 0 {
            // A drain does not end what has not been served yet: its request may be on the way.
            return self.stream.readable(patience).await.is_ok();
        }
        // Pinned here, because a future that is passed on takes its room twice.
        let readable = pin!(self.stream.readable(patience));
        let unwanted = pin!(first(core.draining.wait(), core.idle.wait()));
        match first(readable, unwanted).await {
            First::Left(readable) => readable.is_ok(),
            First::Right(_) => false,
        }
    }

    /// Ends an idle connection. Without close_notify the end might be anybody's doing (RFC 8446
    /// 6.1).
    fn leave(self) {
        if self.tls.is_some() {
            // Failure means that the peer is gone already.
            let _ = self.stream.shutdown_write();
        }
    }

    /// Ends the connection so that the last answer is read: FIN, then what still comes is thrown
    /// away. Closing with unread bytes would send a reset, which destroys answers on their way.
    async fn linger(mut self, core: &Core) {
        if self.stream.shutdown_write().is_err() {
            return;
        }
        // While others wait for a place, nobody keeps one only because more bytes might come.
        if !core.room.is_set() && self.stream.peek() == Queue::Empty {
            return;
        }
        let patience = Patience::Until(now() + LINGER_WAIT);
        let mut thrown_away = 0;
        while thrown_away < LINGER_BYTES_MAX {
            self.buf.clear();
            match self.stream.read(&mut self.buf, HEAD_READ_BYTES, patience).await {
                Ok(n) if n > 0 => thrown_away += n,
                _ => return,
            }
        }
    }
}

/// What a head that cannot be served is answered.
pub fn refused_head(error: &HeadError) -> Refused {
    let refusal = match error.kind {
        HeadErrorKind::Bad => Refusal::BadRequest,
        HeadErrorKind::Method => Refusal::Method,
        HeadErrorKind::TargetTooLong => Refusal::TargetTooLong,
        HeadErrorKind::Expectation => Refusal::Expectation,
        HeadErrorKind::UpgradeVersion => Refusal::UpgradeVersion,
        HeadErrorKind::TooLarge => Refusal::HeadTooLarge,
        HeadErrorKind::Version => Refusal::HttpVersion,
    };
    Refused::new(refusal, error.detail)
}

fn is_trusted(http: &Http, addr: SocketAddr) -> bool {
    http.trusted_proxies.iter().any(|range| range.contains(addr.ip()))
}
#[cfg(test)]
mod tests {
    use super::*;

    fn size_of_future<A, B, C, F: Future>(_: fn(A, B, C) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn an_idle_connection_is_small() {
        // Timers and requests are in boxes of their own while they last.
        assert!(size_of_future(serve) <= 1792, "{} bytes", size_of_future(serve));
    }
}
