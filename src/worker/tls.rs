//! TLS with clients during the set-up: whose turn a handshake is, what becomes of it, and which
//! domain the connection is for then. Not here: the handshake itself (`net::tls`).

use std::time::Instant;

use super::connection::{After, Client};
use super::core::Core;
use super::http;
use super::log::wall_us;
use super::record::Refused;
use crate::net::runtime::{now, sleep};
use crate::net::stream::{Patience, Queue};
use crate::net::tls::{AcceptFailure, AcceptTlsError, AcceptedTls};
use crate::snapshot::{ClientAuth, Domain, Hosts};
use crate::stats::event::{Event, FailedHandshake};
use crate::stats::{Refusal, TlsFailure};

/// Takes a fresh connection to the end of its handshake.
pub async fn secure(core: &Core, mut client: Client) -> After {
    let deadline = now() + core.snapshot().tls.handshake_timeout;
    // Nothing is begun, and no turn taken, for a client that says nothing.
    if let Err(failure) = hello_came(&client, deadline).await {
        count_failed(core, failure);
        return After::Done;
    }
    let began = now();
    if !turn_came(core, deadline).await {
        // Whoever is over the rate costs as little as can be: no alert and no line in the log.
        count_failed(core, TlsFailure::Rate);
        return After::Done;
    }
    let snapshot = core.snapshot();
    let patience = Patience::Until(deadline);
    match client.stream.accept_tls(&mut client.buf, &snapshot.certificates, patience).await {
        Ok(accepted) => opened(core, client, accepted, began),
        Err(error) => failed(core, client, &error, began).await,
    }
}

async fn hello_came(client: &Client, deadline: Instant) -> Result<(), TlsFailure> {
    if !client.buf.is_empty() {
        return Ok(());
    }
    match client.stream.readable(Patience::Until(deadline)).await {
        Err(e) if e.kind() == std::io::ErrorKind::TimedOut => Err(TlsFailure::Timeout),
        Err(_) => Err(TlsFailure::Closed),
        Ok(()) => match client.stream.peek() {
            Queue::Ended | Queue::Broken => Err(TlsFailure::Closed),
            Queue::Bytes | Queue::Empty => Ok(()),
        },
    }
}

/// False when it would come too late for this handshake to end in time.
async fn turn_came(core: &Core, deadline: Instant) -> bool {
    let Some(per_second) = core.snapshot().tls.handshakes_per_second else { return true };
    let patience = deadline.saturating_duration_since(now());
    match core.stats.tls_handshakes().take(per_second, core.uptime(), patience) {
        Ok(wait) if wait.is_zero() => true,
        Ok(wait) => {
            sleep(wait).await;
            true
        }
        Err(_) => false,
    }
}

fn opened(core: &Core, mut client: Client, accepted: AcceptedTls, began: Instant) -> After {
    let counters = &core.own().core;
    match accepted.resumed {
        true => counters.tls_resumed.add(1),
        false => counters.tls_full.add(1),
    }
    counters.tls_handshake_us.record_us((now() - began).as_micros() as u64);
    if accepted.challenge {
        return After::Close(client);
    }
    client.secured(accepted);
    After::KeepAlive(client)
}

async fn failed(core: &Core, client: Client, error: &AcceptTlsError, began: Instant) -> After {
    let failure = failure(error.reason);
    count_failed(core, failure);
    if failure == TlsFailure::PlainHttp {
        let detail = "this port speaks TLS: use https:// or wss://";
        let refused = Refused::new(Refusal::PlainHttp, detail);
        return http::refuse_head(core, client, refused, began).await;
    }
    core.log.push(Event::Handshake(Box::new(FailedHandshake {
        at_us: wall_us(),
        client: client.addr.ip(),
        failure,
        detail: error.detail.clone(),
        duration_us: (now() - began).as_micros() as u64,
    })));
    // The alert is on its way; a reset would destroy it.
    After::Close(client)
}

fn count_failed(core: &Core, failure: TlsFailure) {
    core.own().core.tls_failed[failure as usize].add(1);
}

fn failure(reason: AcceptFailure) -> TlsFailure {
    match reason {
        AcceptFailure::UnknownName => TlsFailure::UnknownName,
        AcceptFailure::NoName => TlsFailure::NoName,
        AcceptFailure::PlainHttp => TlsFailure::PlainHttp,
        AcceptFailure::NotTls => TlsFailure::NotTls,
        AcceptFailure::NothingInCommon => TlsFailure::NothingInCommon,
        AcceptFailure::ClientCertificate => TlsFailure::ClientCertificate,
        AcceptFailure::Protocol => TlsFailure::Protocol,
        AcceptFailure::Alert => TlsFailure::Alert,
        AcceptFailure::Closed => TlsFailure::Closed,
        AcceptFailure::Timeout => TlsFailure::Timeout,
        AcceptFailure::Internal => TlsFailure::Internal,
    }
}

/// RFC 9110 7.4: whether requests for `domain` have come to the right place. What a handshake was
/// for decides which client certificates were asked for, and one name must not open another's door.
///
/// The default pair stands for every domain that has none of its own and needs none.
pub fn is_directed(
    tls: Option<&AcceptedTls>,
    domain: &Domain,
    hosts: &Hosts,
) -> Result<(), Refused> {
    let misdirected = |detail| Err(Refused::new(Refusal::Misdirected, detail));
    // Also after a reload that began to ask for certificates. One whose subject cannot be told is
    // as good as none.
    if domain.client_auth == ClientAuth::Required && tls.is_none_or(|tls| tls.subject.is_none()) {
        return misdirected("this domain is served only over TLS with a client certificate");
    }
    let Some(tls) = tls else { return Ok(()) };
    let right = match (&tls.server.domain, &tls.asked_for) {
        (Some(name), _) => *name == domain.name,
        (None, _) if domain.client_auth != ClientAuth::Off => false,
        (None, Some(name)) => hosts.find(name).is_some_and(|named| named.name == domain.name),
        (None, None) => true,
    };
    match right {
        true => Ok(()),
        false => misdirected("the TLS handshake of this connection was for another name"),
    }
}
