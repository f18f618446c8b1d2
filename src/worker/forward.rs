//! Plain HTTP: one request to an origin and its answer back, both bodies flowing at once. Not here:
//! which request may go.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::task::Poll;
use std::time::Instant;

use bytes::BytesMut;

use super::body::{self, Begun, BodyError, Sink, Source};
use super::connection::{After, Client};
use super::dial::{Age, Candidates, HeadFailure, OriginConnection, Want, bad_answer, read_head};
use super::http::{Exchange, Served, too_large};
use super::pace::Pace;
use super::record::Refused;
use crate::limits::INTERIM_RESPONSES_MAX;
use crate::net::runtime::now;
use crate::net::stream::{Patience, Stream};
use crate::proto::h1::rewrite::{
    Coding, ForwardUpgrade, write_interim, write_request, write_response,
};
use crate::proto::h1::{
    AnswerTo, BodyLength, Expect, Persistence, ResponseHead, Version, parse_response,
};
use crate::snapshot::domain::SendProxy;
use crate::stats::Refusal;

pub async fn forward(x: &Exchange<'_>, mut client: Client) -> Served {
    let mut candidates = match x.route(&client) {
        Ok(route) => Candidates::new(route),
        Err(refused) => return Served::Refuse(client, refused),
    };
    // A PROXY header speaks for a whole connection, so such a connection serves one client.
    let want = match x.domain.http.send_proxy {
        SendProxy::Off => Want::Any,
        SendProxy::V1 | SendProxy::V2 => Want::Fresh,
    };
    let mut origin = match candidates.connect(x.core, want).await {
        Ok(origin) => origin,
        Err(refused) => return Served::Refuse(client, refused),
    };
    loop {
        x.record.goes_to(&origin);
        match attempt(x, &mut client, &mut origin).await {
            Outcome::Delivered(delivered) => {
                if delivered.origin == AfterAnswer::Reusable && want == Want::Any {
                    x.core.pool.give(origin.endpoint.addr, origin.stream, origin.tls, now());
                }
                return Served::Answered(match delivered.client {
                    Persistence::KeepAlive => After::KeepAlive(client),
                    Persistence::Close => After::Close(client),
                });
            }
            Outcome::Stale => match candidates.reconnect(origin.endpoint, x.core).await {
                Ok(fresh) => origin = fresh,
                Err(refused) => return Served::Refuse(client, refused),
            },
            Outcome::Refused(refused) => return Served::Refuse(client, refused),
            Outcome::Broken(refused) => {
                x.record.refuse(&refused);
                return Served::Answered(After::Done);
            }
        }
    }
}

enum Outcome {
    Delivered(Delivered),
    /// A pooled connection that its origin had closed; the request may be sent again.
    Stale,
    /// Nothing of an answer has gone out.
    Refused(Refused),
    /// Some of an answer has: the connection cannot be used any more.
    Broken(Refused),
}

/// A whole answer went out.
pub struct Delivered {
    pub client: Persistence,
    pub origin: AfterAnswer,
}

pub struct Undelivered {
    pub error: BodyError,
    /// Nothing went out: the edge may still answer itself.
    pub begun: Begun,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterAnswer {
    Reusable,
    Spent,
}

/// What the two directions of an exchange know of each other.
struct Flow {
    /// When the request last moved towards the origin.
    moved: Cell<Instant>,
    upload: Cell<Upload>,
    /// Bytes of a head have gone to the client, so nothing else may.
    answer: Cell<Begun>,
    /// Body bytes taken from the client's buffer: none of them can be sent again.
    taken: Cell<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Upload {
    Flowing,
    Complete,
    /// The origin takes no more; what it has to say about that may be on its way.
    Stopped,
}

async fn attempt(
    x: &Exchange<'_>,
    client: &mut Client,
    origin: &mut OriginConnection<'_>,
) -> Outcome {
    let flow = Flow {
        moved: Cell::new(now()),
        upload: Cell::new(Upload::Flowing),
        answer: Cell::new(Begun::No),
        taken: Cell::new(0),
    };
    let wanted = match x.request.persistence {
        Persistence::KeepAlive => client.persistence(x.core),
        Persistence::Close => Persistence::Close,
    };
    let mut head = Vec::with_capacity(1024);
    let to = write_request(&mut head, x.request, &x.to_origin(client, ForwardUpgrade::No));
    let (age, idempotent) = (origin.age, x.request.is_idempotent());
    let (from_client, held) = (&client.stream, &mut client.buf);
    let (to_origin, read) = (&origin.stream, &mut origin.buf);
    let upload = send(x, head, from_client, held, to_origin, &flow);
    let answer = receive(x, to, wanted, to_origin, read, from_client, &flow);
    let ended = both(upload, answer, &flow).await;
    x.record.received(flow.taken.get());
    match ended {
        Ok(delivered) => Outcome::Delivered(delivered),
        Err(Failure::Head(HeadFailure::Silent))
            if age == Age::Reused && idempotent && flow.taken.get() == 0 =>
        {
            Outcome::Stale
        }
        Err(failure) if flow.answer.get() == Begun::Yes => Outcome::Broken(failure.refused()),
        Err(failure) => Outcome::Refused(failure.refused()),
    }
}

/// Runs both directions; the exchange is over when the answer is, or when the request turns out to
/// be none.
async fn both(
    upload: impl Future<Output = Result<(), BodyError>>,
    answer: impl Future<Output = Result<Delivered, Failure>>,
    flow: &Flow,
) -> Result<Delivered, Failure> {
    let (mut upload, mut answer) = (pin!(upload), pin!(answer));
    poll_fn(|cx| {
        if flow.upload.get() == Upload::Flowing
            && let Poll::Ready(ended) = upload.as_mut().poll(cx)
        {
            match ended {
                Ok(()) => flow.upload.set(Upload::Complete),
                // RFC 9112 9.5: an origin may answer and close before it has read all; look at what
                // it says.
                Err(BodyError::Sink(_)) => flow.upload.set(Upload::Stopped),
                Err(error) => return Poll::Ready(Err(Failure::Upload(error))),
            }
        }
        answer.as_mut().poll(cx)
    })
    .await
}

async fn send(
    x: &Exchange<'_>,
    head: Vec<u8>,
    client: &Stream,
    held: &mut BytesMut,
    origin: &Stream,
    flow: &Flow,
) -> Result<(), BodyError> {
    let rules = &x.domain.http;
    // RFC 9110 10.1.1: such a client waits for the origin's word before its body, and the origin
    // has its own time for that.
    let window = match x.request.expect {
        Expect::Nothing => rules.body_timeout,
        Expect::Continue => rules.body_timeout + rules.response_timeout,
    };
    let pace = Pace::of_client(window);
    let mut source = Source { stream: client, buf: held, pace, count: &flow.taken, reader: None };
    let coding = match x.request.body {
        BodyLength::Chunked => Coding::Chunked,
        _ => Coding::Identity,
    };
    let mut sink = Sink {
        stream: origin,
        coding,
        pace: Pace::of_origin(rules.body_timeout),
        record: None,
        moved: &flow.moved,
        pending: head,
        begun: Begun::No,
    };
    body::copy(x.request.body, rules.max_body, &mut source, &mut sink).await
}

async fn receive(
    x: &Exchange<'_>,
    to: AnswerTo,
    wanted: Persistence,
    origin: &Stream,
    read: &mut BytesMut,
    client: &Stream,
    flow: &Flow,
) -> Result<Delivered, Failure> {
    let limit = x.domain.http.response_timeout;
    for _ in 0..=INTERIM_RESPONSES_MAX {
        let head =
            read_head(origin, read, &flow.moved, limit, client).await.map_err(Failure::Head)?;
        let malformed = |error| Failure::Head(HeadFailure::Malformed(error));
        let answer = parse_response(&head, to).map_err(malformed)?;
        if answer.is_interim() {
            flow.answer.set(Begun::Yes);
            forward_interim(x, &answer, client).await.map_err(Failure::Interim)?;
            flow.answer.set(Begun::No);
            flow.moved.set(now());
            continue;
        }
        flow.answer.set(Begun::Yes);
        // RFC 9112 9.3: the rest of an unread body would be taken for the next request.
        let kept = flow.upload.get() == Upload::Complete && !x.core.draining.is_set();
        let persistence = if kept { wanted } else { Persistence::Close };
        let mut delivered = deliver(x, &answer, to, persistence, origin, read, client)
            .await
            .map_err(|undelivered| {
                flow.answer.set(undelivered.begun);
                Failure::Body(undelivered.error)
            })?;
        if flow.upload.get() != Upload::Complete {
            delivered.origin = AfterAnswer::Spent;
        }
        return Ok(delivered);
    }
    Err(Failure::TooManyInterim)
}

/// Passes a 1xx on, complete and at once.
pub async fn forward_interim(
    x: &Exchange<'_>,
    answer: &ResponseHead<'_>,
    client: &Stream,
) -> io::Result<()> {
    let mut out = Vec::with_capacity(256);
    let to_client = x.to_client(Persistence::KeepAlive, AnswerTo::Other);
    write_interim(&mut out, answer, &to_client);
    let patience = Patience::Until(now() + x.domain.http.body_timeout);
    client.write_all(&out, patience).await?;
    x.record.sent(out.len());
    Ok(())
}

/// Writes a final answer and its body to the client.
pub async fn deliver(
    x: &Exchange<'_>,
    answer: &ResponseHead<'_>,
    to: AnswerTo,
    persistence: Persistence,
    origin: &Stream,
    read: &mut BytesMut,
    client: &Stream,
) -> Result<Delivered, Undelivered> {
    let window = x.domain.http.body_timeout;
    x.record.status.set(answer.status);
    let mut pending = Vec::with_capacity(1024);
    let announced = write_response(&mut pending, answer, &x.to_client(persistence, to));
    let count = &Cell::new(0);
    let pace = Pace::of_origin(window);
    let mut source = Source { stream: origin, buf: read, pace, count, reader: Some(client) };
    let mut sink = Sink {
        stream: client,
        coding: announced.body,
        pace: Pace::of_client(window),
        record: Some(x.record),
        moved: &Cell::new(now()),
        pending,
        begun: Begun::No,
    };
    let copied = body::copy(answer.body, u64::MAX, &mut source, &mut sink).await;
    if let Err(error) = copied {
        if is_ended_by_close(answer, x.request.version) && !matches!(error, BodyError::Sink(_)) {
            client.reset_on_close();
        }
        if sink.begun == Begun::No {
            x.record.status.set(0);
        }
        return Err(Undelivered { error, begun: sink.begun });
    }
    let reusable = answer.persistence == Persistence::KeepAlive
        && answer.body != BodyLength::UntilClose
        && read.is_empty();
    let origin = if reusable { AfterAnswer::Reusable } else { AfterAnswer::Spent };
    Ok(Delivered { client: announced.persistence, origin })
}

/// The client sees the end of the body only by the end of the connection.
fn is_ended_by_close(answer: &ResponseHead<'_>, client: Version) -> bool {
    client == Version::Http10 && matches!(answer.body, BodyLength::Chunked | BodyLength::UntilClose)
}

enum Failure {
    /// Of the request body, on the client's side.
    Upload(BodyError),
    Head(HeadFailure),
    Interim(io::Error),
    TooManyInterim,
    /// Of the answer's body, on either side.
    Body(BodyError),
}

impl Failure {
    fn refused(&self) -> Refused {
        match self {
            Failure::Upload(error) => refused_upload(error),
            Failure::Head(failure) => failure.refused(),
            Failure::Interim(error) => client_gone(error),
            Failure::TooManyInterim => {
                Refused::new(Refusal::OriginAnswer, "the origin sent too many interim answers")
            }
            Failure::Body(error) => refused_answer_body(error),
        }
    }
}

fn refused_upload(error: &BodyError) -> Refused {
    match error {
        BodyError::Source(e) if e.kind() == io::ErrorKind::TimedOut => {
            Refused::new(Refusal::BodyTimeout, "the request body did not come in time")
        }
        // Of whatever kind: the statuses of heads do not fit chunks and trailers.
        BodyError::Malformed(error) => Refused::new(Refusal::BadRequest, error.detail),
        BodyError::TooLarge => too_large(),
        BodyError::Ended | BodyError::Source(_) | BodyError::Sink(_) => {
            Refused::new(Refusal::ClientClosed, "the client closed within its request")
        }
    }
}

pub fn refused_answer_body(error: &BodyError) -> Refused {
    match error {
        BodyError::Sink(e) => client_gone(e),
        BodyError::Source(e) if e.kind() == io::ErrorKind::TimedOut => {
            Refused::new(Refusal::OriginTimeout, "the origin stopped within its answer")
        }
        BodyError::Malformed(error) => bad_answer(error),
        BodyError::Ended | BodyError::Source(_) | BodyError::TooLarge => {
            Refused::new(Refusal::OriginClosed, "the origin closed within its answer")
        }
    }
}

pub fn client_gone(error: &io::Error) -> Refused {
    match error.kind() {
        io::ErrorKind::TimedOut => {
            Refused::new(Refusal::BodyTimeout, "the client read the answer too slowly")
        }
        _ => {
            Refused::new(Refusal::ClientClosed, "the client closed before the answer was complete")
        }
    }
}
