//! A request for a WebSocket: may it be, does the origin agree, and then into the engine. Nothing
//! but a verified 101 opens a tunnel, and until then the client's further bytes are held. Not here:
//! the tunnel.

use std::cell::Cell;
use std::io;
use std::time::Duration;

use bytes::Bytes;

use super::body::Begun;
use super::connection::{After, Client};
use super::dial::{Candidates, HeadFailure, OriginConnection, Want, bad_answer, read_head};
use super::engine::Upgraded;
use super::forward::{Undelivered, client_gone, deliver, forward_interim, refused_answer_body};
use super::http::{Exchange, Served};
use super::record::{Refused, Tunnel};
use crate::limits::INTERIM_RESPONSES_MAX;
use crate::net::runtime::now;
use crate::net::stream::Patience;
use crate::proto::h1::rewrite::{ForwardUpgrade, write_request, write_switching};
use crate::proto::h1::upgrade::{origin_allowed, verify_answer};
use crate::proto::h1::{Agreed, AnswerTo, OriginPolicy, Persistence, ResponseHead, parse_response};
use crate::snapshot::OriginRule;
use crate::stats::{Admission, Admitted, Refusal};

/// `series` is where the request counts, and the tunnel will.
pub async fn upgrade(x: &Exchange<'_>, client: Client, series: u32) -> Served {
    let place = match admit(x, &client) {
        Ok(place) => place,
        Err(refused) => return Served::Refuse(client, refused),
    };
    let mut candidates = match x.route(&client) {
        Ok(route) => Candidates::new(route),
        Err(refused) => return Served::Refuse(client, refused),
    };
    let mut silent = None;
    loop {
        let mut origin = match candidates.connect(x.core, Want::Fresh).await {
            Ok(origin) => origin,
            Err(refused) => return Served::Refuse(client, silent.unwrap_or(refused)),
        };
        x.record.goes_to(&origin);
        let (head, to) = match handshake(x, &client, &mut origin).await {
            Ok(answered) => answered,
            // It accepted and closed without a word: as good as a refused connection, so the next
            // address may do better.
            Err(Failure::Head(failure @ HeadFailure::Silent)) => {
                silent = Some(failure.refused());
                continue;
            }
            Err(Failure::Head(failure)) => return Served::Refuse(client, failure.refused()),
            Err(Failure::Broken(refused)) => {
                x.record.refuse(&refused);
                return Served::Answered(After::Done);
            }
        };
        let answer = match parse_response(&head, to) {
            Ok(answer) => answer,
            Err(error) => return Served::Refuse(client, bad_answer(&error)),
        };
        if answer.status != 101 {
            return pass_on(x, client, origin, &answer, to).await;
        }
        return match verify_answer(x.request, &answer) {
            Ok(agreed) => open(x, client, origin, &answer, agreed, (place, series)).await,
            Err(error) => Served::Refuse(client, bad_answer(&error)),
        };
    }
}

/// Everything that can be known before an origin is asked.
fn admit<'a>(x: &Exchange<'a>, client: &Client) -> Result<Place<'a>, Refused> {
    let policy = match &x.domain.websocket.origin_rule {
        OriginRule::Any => OriginPolicy::Any,
        OriginRule::SameHost => OriginPolicy::SameHost(client.scheme()),
        OriginRule::List(list) => OriginPolicy::List(list),
    };
    if !origin_allowed(x.request, policy) {
        let detail = "the Origin of this request may not open a WebSocket here";
        return Err(Refused::new(Refusal::OriginHeader, detail));
    }
    let soon = Duration::from_secs(1);
    if x.core.draining.is_set() {
        let detail = "this server is going away";
        return Err(Refused::new(Refusal::Draining, detail).retry_after(soon));
    }
    if !x.core.engine.has_room() {
        return Err(no_room());
    }
    let admission = x.core.stats.admission(x.domain.slot);
    let allowance = x.domain.websocket.allowance;
    match admission.enter(allowance, client.addr.ip(), x.core.uptime()) {
        Ok(admitted) => Ok(Place { admission, admitted: Some(admitted) }),
        Err((refusal, wait)) => {
            let detail = match refusal {
                Refusal::ConnectionLimit => "this domain has as many connections as it may have",
                Refusal::AddressLimit => {
                    "this address has as many connections to this domain as it may have"
                }
                _ => "this domain takes no more handshakes right now",
            };
            Err(Refused::new(refusal, detail).retry_after(wait))
        }
    }
}

fn no_room() -> Refused {
    let detail = "this server holds as many connections as it can";
    Refused::new(Refusal::EdgeCapacity, detail).retry_after(Duration::from_secs(1))
}

/// An admission that is given back unless a tunnel takes it over.
struct Place<'a> {
    admission: &'a Admission,
    admitted: Option<Admitted>,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if let Some(admitted) = self.admitted.take() {
            self.admission.leave(admitted);
        }
    }
}

enum Failure {
    /// Nothing has gone to the client.
    Head(HeadFailure),
    /// A 1xx may have gone out by half.
    Broken(Refused),
}

/// Sends the request and reads the final head of its answer.
async fn handshake(
    x: &Exchange<'_>,
    client: &Client,
    origin: &mut OriginConnection<'_>,
) -> Result<(Bytes, AnswerTo), Failure> {
    let rules = &x.domain.http;
    let mut out = Vec::with_capacity(1024);
    let to = write_request(&mut out, x.request, &x.to_origin(client, ForwardUpgrade::Yes));
    let patience = Patience::Until(now() + rules.response_timeout);
    if origin.stream.write_all(&out, patience).await.is_err() {
        return Err(Failure::Head(HeadFailure::Silent));
    }
    origin.stream.expect_wait();
    let moved = Cell::new(now());
    for _ in 0..=INTERIM_RESPONSES_MAX {
        let (read, limit) = (&mut origin.buf, rules.response_timeout);
        let head = read_head(&origin.stream, read, &moved, limit, &client.stream)
            .await
            .map_err(Failure::Head)?;
        let answer = parse_response(&head, to)
            .map_err(|error| Failure::Head(HeadFailure::Malformed(error)))?;
        if !answer.is_interim() {
            return Ok((head, to));
        }
        forward_interim(x, &answer, &client.stream)
            .await
            .map_err(|error| Failure::Broken(client_gone(&error)))?;
        moved.set(now());
    }
    let detail = "the origin sent too many interim answers";
    Err(Failure::Broken(Refused::new(Refusal::OriginAnswer, detail)))
}

/// An origin that says no says it in plain HTTP. Its connection carried an Upgrade and is never
/// pooled.
async fn pass_on(
    x: &Exchange<'_>,
    client: Client,
    mut origin: OriginConnection<'_>,
    answer: &ResponseHead<'_>,
    to: AnswerTo,
) -> Served {
    // Bytes behind the request were meant for a tunnel: read as HTTP they would be a request that
    // nobody checked.
    let wanted = match x.request.persistence {
        Persistence::KeepAlive if client.buf.is_empty() => client.persistence(x.core),
        _ => Persistence::Close,
    };
    let (from, to_client) = (&origin.stream, &client.stream);
    match deliver(x, answer, to, wanted, from, &mut origin.buf, to_client).await {
        Ok(delivered) => Served::Answered(match delivered.client {
            Persistence::KeepAlive => After::KeepAlive(client),
            Persistence::Close => After::Close(client),
        }),
        Err(Undelivered { error, begun: Begun::No }) => {
            Served::Refuse(client, refused_answer_body(&error))
        }
        Err(Undelivered { error, begun: Begun::Yes }) => {
            x.record.refuse(&refused_answer_body(&error));
            Served::Answered(After::Done)
        }
    }
}

async fn open(
    x: &Exchange<'_>,
    client: Client,
    origin: OriginConnection<'_>,
    answer: &ResponseHead<'_>,
    agreed: Agreed,
    (mut place, series): (Place<'_>, u32),
) -> Served {
    // Others may have taken the last places while the origin was asked, and a 101 cannot be taken
    // back.
    if !x.core.engine.has_room() {
        return Served::Refuse(client, no_room());
    }
    let mut out = Vec::with_capacity(512);
    write_switching(&mut out, answer, &x.to_client(Persistence::KeepAlive, AnswerTo::WebSocket));
    let patience = Patience::Until(now() + x.domain.websocket.stalled_write);
    x.record.status.set(101);
    if let Err(error) = client.stream.write_all(&out, patience).await {
        let refused = client_gone(&error);
        x.record.status.set(refused.refusal.status());
        x.record.refuse(&refused);
        return Served::Answered(After::Done);
    }
    x.record.sent(out.len());
    let handshake_us = x.record.duration_us();
    let subprotocol = answer.field("sec-websocket-protocol");
    let subprotocol = subprotocol.map(|value| String::from_utf8_lossy(value).into());
    let (client_addr, origin_addr) = (client.addr, origin.endpoint.addr);
    let (from_client, from_origin) = match (client.stream.detach(), origin.stream.detach()) {
        (Ok(client), Ok(origin)) => (client, origin),
        (Err(error), _) => return no_tunnel(x, &error, Refusal::ClientClosed),
        (_, Err(error)) => return no_tunnel(x, &error, Refusal::OriginClosed),
    };
    let Some(admitted) = place.admitted.take() else {
        return full(x, "the place of this tunnel was given away");
    };
    let upgraded = Upgraded {
        client: from_client.fd,
        origin: from_origin.fd,
        client_addr,
        endpoint: origin.endpoint.clone(),
        early_from_client: [&client.buf[..], &from_client.unread].concat(),
        early_from_origin: [&origin.buf[..], &from_origin.unread].concat(),
        secured: [from_client.secured, from_origin.secured],
        domain: std::sync::Arc::clone(x.domain),
        series,
        admitted,
        reserved_bits: agreed.reserved_bits,
    };
    match x.core.engine.adopt(upgraded) {
        Ok(id) => Served::Opened(Tunnel {
            id,
            client: client_addr,
            origin: origin_addr,
            subprotocol,
            handshake_us,
        }),
        Err(_) => full(x, "the table of tunnels was full"),
    }
}

/// The 101 is out, but there is no tunnel behind it: all that is left is to close.
fn no_tunnel(x: &Exchange<'_>, error: &io::Error, whose: Refusal) -> Served {
    match error.kind() {
        // Of TLS: it said that it would say no more, or broke the protocol.
        io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData => {
            let detail = "this side ended before the tunnel had opened";
            x.record.refuse(&Refused::new(whose, detail));
            Served::Answered(After::Done)
        }
        _ => full(x, "no descriptor was left for the tunnel"),
    }
}

fn full(x: &Exchange<'_>, detail: &'static str) -> Served {
    x.record.refuse(&Refused::new(Refusal::EdgeCapacity, detail));
    Served::Answered(After::Done)
}
