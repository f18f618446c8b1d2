//! One request: which domain it is for, whether it may pass, and which way it goes; and the answers
//! of the edge itself. Not here: the plain way ([`super::forward`]) and the way to a tunnel
//! ([`super::upgrade`]).

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use super::balance::{self, Choice};
use super::connection::{After, Client, refused_head};
use super::core::Core;
use super::dial::Route;
use super::record::{Account, Record, Refused, Subject};
use super::tls::is_directed;
use super::{forward, upgrade};
use crate::limits::DEFAULT_BODY_TIMEOUT;
use crate::net::runtime::now;
use crate::net::stream::Patience;
use crate::proto::h1::head::values;
use crate::proto::h1::rewrite::{
    Allow, ForwardUpgrade, OwnAnswer, Peer, ToClient, ToOrigin, request_id, write_own_answer,
};
use crate::proto::h1::{AnswerTo, BodyLength, Persistence, RequestHead, Upgrade, parse_request};
use crate::proto::proxy_protocol::{write_v1, write_v2};
use crate::snapshot::domain::{Access, Domain, SendProxy};
use crate::snapshot::{
    Balance, Endpoint, Geo, HashKey, Hosts, Http, OriginScheme, OriginTls, Transport,
};
use crate::stats::Refusal;

/// One request with all that decides about it.
pub struct Exchange<'a> {
    pub core: &'a Core,
    pub http: &'a Http,
    pub hosts: &'a Hosts,
    pub domain: &'a Arc<Domain>,
    pub request: &'a RequestHead<'a>,
    pub request_id: &'a str,
    pub peer: Peer,
    pub record: &'a Record<'a>,
}

/// How a request ended, and what is left of its connection.
pub enum Served {
    /// An origin's answer went out.
    Answered(After),
    /// The edge has to answer.
    Refuse(Client, Refused),
    /// It became a tunnel.
    Opened(super::record::Tunnel),
}

/// Serves the request whose head is the first `len` bytes of the client's buffer.
pub async fn exchange(core: &Core, mut client: Client, len: usize, started: Instant) -> After {
    let head = client.buf.split_to(len).freeze();
    let record = Record::new(core, started, &client, len);
    let snapshot = core.snapshot();
    let request = match parse_request(&head, client.scheme()) {
        Ok(request) => request,
        Err(error) => return refuse_unknown(core, client, refused_head(&error), record).await,
    };
    let peer = client.peer(&snapshot.http);
    let request_id = request_id(&request, peer, core.new_request_id());
    let domain = snapshot.hosts.find(&request.host.name);
    let subject = Subject { domain, request: Some(&request), request_id: &request_id };
    let served = match domain {
        None => {
            let unknown = Refused::new(Refusal::UnknownDomain, "this host is not served here");
            Served::Refuse(client, unknown)
        }
        Some(domain) => {
            record.count_at(account(core, &snapshot.geo, domain, &request, &client));
            let exchange = Exchange {
                core,
                http: &snapshot.http,
                hosts: &snapshot.hosts,
                domain,
                request: &request,
                request_id: &request_id,
                peer,
                record: &record,
            };
            match challenge(&snapshot.http_challenges, &request) {
                Some(authorization) => exchange.say(client, authorization, Allow::Unsaid).await,
                None => exchange.serve(client).await,
            }
        }
    };
    match served {
        Served::Answered(after) => {
            record.finish(subject);
            after
        }
        Served::Opened(tunnel) => {
            record.opened(subject, tunnel);
            After::Done
        }
        Served::Refuse(client, refused) => {
            let after = answer(core, client, &refused, &record, subject).await;
            record.finish(subject);
            after
        }
    }
}

/// Answers a head that was not even complete.
pub async fn refuse_head(core: &Core, client: Client, refused: Refused, started: Instant) -> After {
    let record = Record::new(core, started, &client, client.buf.len());
    refuse_unknown(core, client, refused, record).await
}

async fn refuse_unknown(
    core: &Core,
    client: Client,
    refused: Refused,
    record: Record<'_>,
) -> After {
    let subject = Subject { domain: None, request: None, request_id: "" };
    let after = answer(core, client, &refused, &record, subject).await;
    record.finish(subject);
    after
}

/// Says why the edge does not serve a request.
async fn answer(
    core: &Core,
    client: Client,
    refused: &Refused,
    record: &Record<'_>,
    subject: Subject<'_>,
) -> After {
    record.refuse(refused);
    if refused.refusal == Refusal::ClientClosed {
        return After::Done;
    }
    let text = format!("{}: {}", refused.refusal.name(), refused.detail);
    let retry_after = refused.retry_after.map(|wait| wait.as_millis().div_ceil(1000).max(1) as u32);
    // What an origin's nonsense was meant for is unknown, so nothing more is read behind it.
    let persistence = match refused.refusal {
        Refusal::OriginAnswer => Persistence::Close,
        _ => client.persistence(core),
    };
    let status = refused.refusal.status();
    let own = Own { status, text: &text, retry_after, allow: Allow::Unsaid, persistence };
    reply(core, client, own, record, subject).await
}

/// What the edge says itself.
struct Own<'a> {
    status: u16,
    text: &'a str,
    retry_after: Option<u32>,
    allow: Allow,
    persistence: Persistence,
}

/// Writes an answer of the edge itself. The connection lives on only if all of the request was
/// read.
async fn reply(
    core: &Core,
    client: Client,
    own: Own<'_>,
    record: &Record<'_>,
    subject: Subject<'_>,
) -> After {
    let complete = subject.request.is_some_and(|request| {
        matches!(request.body, BodyLength::None | BodyLength::Exact(0))
            && request.persistence == Persistence::KeepAlive
            && !matches!(request.upgrade, Upgrade::WebSocket { .. } | Upgrade::Invalid(_))
    });
    let persistence = if complete { own.persistence } else { Persistence::Close };
    let to = match subject.request {
        Some(request) if request.is_head() => AnswerTo::Head,
        _ => AnswerTo::Other,
    };
    let Own { status, text, retry_after, allow, .. } = own;
    let (request_id, date) = (subject.request_id, core.date());
    let mut out = Vec::with_capacity(512);
    let own = OwnAnswer { status, text, retry_after, allow, persistence, to, request_id, date };
    write_own_answer(&mut out, &own);
    let limit = subject.domain.map_or(DEFAULT_BODY_TIMEOUT, |d| d.http.body_timeout);
    let patience = Patience::Until(now() + limit);
    if client.stream.write_all(&out, patience).await.is_err() {
        return After::Done;
    }
    record.sent(out.len());
    match persistence {
        Persistence::KeepAlive => After::KeepAlive(client),
        Persistence::Close => After::Close(client),
    }
}

impl<'a> Exchange<'a> {
    async fn serve(&self, client: Client) -> Served {
        if let Err(refused) = self.check(&client) {
            return Served::Refuse(client, refused);
        }
        if self.request.max_forwards() == Some(0) {
            // RFC 9110 7.6.2: an OPTIONS request that may go no further asks the edge itself.
            return self.say(client, "this is the edge: Max-Forwards is 0", Allow::Said).await;
        }
        match (self.record.account(), &self.request.upgrade) {
            (Account::Upgrade { .. }, Upgrade::Invalid(error)) => {
                Served::Refuse(client, refused_head(error))
            }
            (Account::Upgrade { series }, _) => upgrade::upgrade(self, client, series).await,
            (Account::Nobody | Account::Plain { .. }, _) => {
                // Twice the size of the rest: a WebSocket should not carry it.
                Box::pin(forward::forward(self, client)).await
            }
        }
    }

    /// Answers 200 for the origin.
    async fn say(&self, client: Client, text: &str, allow: Allow) -> Served {
        let (request, request_id) = (Some(self.request), self.request_id);
        let subject = Subject { domain: Some(self.domain), request, request_id };
        let persistence = client.persistence(self.core);
        let own = Own { status: 200, text, retry_after: None, allow, persistence };
        self.record.status.set(own.status);
        Served::Answered(reply(self.core, client, own, self.record, subject).await)
    }

    fn check(&self, client: &Client) -> Result<(), Refused> {
        is_directed(client.tls(), self.domain, self.hosts)?;
        if !is_allowed(&self.domain.access, client) {
            let detail = "this address may not use this domain";
            return Err(Refused::new(Refusal::Address, detail));
        }
        match self.request.body {
            BodyLength::Exact(n) if n > self.domain.http.max_body => Err(too_large()),
            _ => Ok(()),
        }
    }

    /// Where it may go, best first, and how.
    pub fn route(&self, client: &Client) -> Result<Route<'a>, Refused> {
        let transport = match self.domain.websocket.origin_scheme {
            OriginScheme::Http => Transport::Plain,
            OriginScheme::Https => Transport::Tls,
            OriginScheme::Follow => client.stream.transport(),
        };
        let tls = match (transport, &self.domain.origin_tls) {
            (Transport::Plain, _) => None,
            (Transport::Tls, Some(tls)) if tls.server_name.is_some() => Some(Cow::Borrowed(tls)),
            (Transport::Tls, Some(tls)) => Some(Cow::Owned(self.for_host(tls)?)),
            (Transport::Tls, None) => {
                let detail = "this domain has no rules for TLS with its origins";
                return Err(Refused::new(Refusal::Internal, detail));
            }
        };
        let rules = &self.domain.http;
        let mut preamble = Vec::new();
        match rules.send_proxy {
            SendProxy::Off => {}
            SendProxy::V1 => write_v1(&mut preamble, client.addr, client.reached()),
            SendProxy::V2 => write_v2(&mut preamble, client.addr, client.reached()),
        }
        Ok(Route { endpoints: self.endpoints(transport, client), rules, tls, preamble })
    }

    /// A wildcard domain has no name of its own to ask origins for.
    fn for_host(&self, tls: &OriginTls) -> Result<Arc<OriginTls>, Refused> {
        let named = tls.for_host(&self.request.host.name).map(Arc::new);
        let detail = "no certificate of an origin can carry the name of this host";
        named.ok_or_else(|| Refused::new(Refusal::BadRequest, detail))
    }

    fn endpoints(&self, transport: Transport, client: &Client) -> Vec<&'a Endpoint> {
        let key = match &self.domain.balance {
            Balance::Hash(HashKey::Header(name)) => self.request.field(name),
            Balance::Hash(HashKey::Cookie(name)) => cookie(self.request, name),
            _ => None,
        };
        let choice = Choice::new(&self.domain.balance, client.addr.ip(), key, self.core.random());
        balance::order(&self.domain.origins, transport, choice)
    }

    pub fn to_origin<'b>(&'b self, client: &'b Client, websocket: ForwardUpgrade) -> ToOrigin<'b> {
        ToOrigin {
            client: client.addr.ip(),
            scheme: client.scheme(),
            peer: self.peer,
            node: &self.http.node,
            request_id: self.request_id,
            host: self.domain.http.host.as_deref(),
            certificate: client.tls().and_then(|tls| tls.subject.as_deref()),
            websocket,
        }
    }

    pub fn to_client(&self, persistence: Persistence, to: AnswerTo) -> ToClient<'a> {
        ToClient {
            version: self.request.version,
            persistence,
            to,
            node: &self.http.node,
            request_id: self.request_id,
            date: self.core.date(),
        }
    }
}

/// Where a request counts. One that asks for a WebSocket of a domain that has it switched off is
/// plain HTTP.
fn account(
    core: &Core,
    geo: &Arc<Geo>,
    domain: &Domain,
    request: &RequestHead<'_>,
    client: &Client,
) -> Account {
    match (domain.websocket.enabled, &request.upgrade) {
        (false, _) | (true, Upgrade::None) => Account::Plain { slot: domain.slot },
        (true, Upgrade::WebSocket { .. } | Upgrade::Invalid(_)) => {
            let series = core.series_of(domain, geo, client.addr.ip(), client.scheme());
            Account::Upgrade { series }
        }
    }
}

pub fn too_large() -> Refused {
    Refused::new(Refusal::BodyTooLarge, "the request body is larger than this domain allows")
}

/// RFC 8555 8.3: what a certificate authority asks of a domain that is being validated, by whatever
/// way it comes; access rules do not apply to it.
fn challenge<'a>(
    challenges: &'a HashMap<Box<str>, Box<str>>,
    request: &RequestHead<'_>,
) -> Option<&'a str> {
    if challenges.is_empty() || !matches!(request.method, "GET" | "HEAD") {
        return None;
    }
    let token = request.target.as_str().strip_prefix("/.well-known/acme-challenge/")?;
    challenges.get(token).map(|authorization| &**authorization)
}

/// Deny wins; an empty allow list allows all.
fn is_allowed(access: &Access, client: &Client) -> bool {
    let ip = client.addr.ip();
    !access.deny.iter().any(|range| range.contains(ip))
        && (access.allow.is_empty() || access.allow.iter().any(|range| range.contains(ip)))
}

/// Value of the first cookie of this name (RFC 6265 5.4: `name=value` pairs, separated by `; `).
fn cookie<'a>(request: &RequestHead<'a>, name: &str) -> Option<&'a [u8]> {
    values(&request.fields, "cookie").find_map(|line| {
        line.split(|&byte| byte == b';').find_map(|pair| {
            let pair = pair.trim_ascii_start();
            pair.strip_prefix(name.as_bytes())?.strip_prefix(b"=")
        })
    })
}
