//! `/connections`: the tunnels that are open now: list, show, close one, and how one ended that is
//! gone. Not here: closing many (`closings`), asking the cores (`cores`).

use std::net::SocketAddr;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tracing::error;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::auth::Caller;
use super::extract::{Bounded, Params, PathPart};
use super::node::note;
use super::problem::Problem;
use super::{Shared, page};
use crate::control::control_socket::{is_sendable, reason_fits};
use crate::control::cores::Closing;
use crate::snapshot::command::{CloseState, LegRow, StreamState};
use crate::snapshot::{Cidr, ConnRow, Filter, Order};
use crate::stats::event::Closed;
use crate::stats::{Cause, ConnId, Outcome, Side};

/// RFC 6455 7.4.1, as extended by the IANA registry: service restart, the client may come again.
pub const CLOSE_CODE: u16 = 1012;
pub const CLOSE_REASON: &str = "closed by the operator";
pub const CODES_ACCEPTED: &str = "1000 to 1003, 1007 to 1014 or, for applications, 3000 to 4999";
pub const REASON_ACCEPTED: &str = "at most 123 bytes of UTF-8";

pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(list_connections))
        .routes(routes!(show_connection, close_connection))
        .routes(routes!(show_end))
}

/// One tunnel. Out is towards the client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ConnectionShown {
    #[schema(example = "00000000000003e9")]
    pub id: String,
    pub domain: String,
    #[schema(value_type = String, example = "203.0.113.7:51514")]
    pub client: SocketAddr,
    /// Where the client is counted.
    pub region: String,
    pub isp: String,
    #[schema(value_type = String, example = "10.0.0.5:80")]
    pub origin: SocketAddr,
    /// Version and cipher suite of the client's leg; null where it is plain.
    pub client_tls: Option<&'static str>,
    pub origin_tls: Option<&'static str>,
    pub age_ms: u64,
    /// Since the last byte either way.
    pub idle_ms: u64,
    pub bytes_out: u64,
    pub bytes_in: u64,
    pub messages_out: u64,
    pub messages_in: u64,
    /// From Ping to Pong; null where none was measured yet.
    pub client_rtt_us: Option<u32>,
    pub origin_rtt_us: Option<u32>,
    /// `open`, `half_closed`, `closing` or `paused` (a side does not read).
    pub state: &'static str,
    pub client_leg: LegShown,
    pub origin_leg: LegShown,
}

/// One leg of a tunnel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct LegShown {
    /// Since the last byte from this peer.
    pub idle_ms: u64,
    /// The last frame that began to come from it, control frames included; null before the first.
    pub last_frame: Option<FrameShown>,
    /// The close handshake (RFC 6455 7.1.2) with this peer.
    pub close: &'static str,
    /// Code of the Close that it sent; null when it sent none, or one without a code.
    pub close_code: Option<u16>,
    /// The byte stream below: which side sent FIN, or `failed`.
    pub stream: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct FrameShown {
    /// `continuation`, `text`, `binary`, `close`, `ping`, `pong` or, where frames are not checked
    /// strictly, `reserved`.
    #[schema(example = "text")]
    pub opcode: &'static str,
    /// Of its payload; 4,294,967,295 stands for so many or more.
    pub bytes: u32,
    /// Of those, not here yet; 0 when it is complete.
    pub missing_bytes: u64,
}

/// How a tunnel ended that is gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct EndShown {
    #[schema(example = "00000000000003e9")]
    pub id: String,
    /// RFC 3339, UTC.
    pub ended: String,
    pub domain: String,
    #[schema(value_type = String, example = "203.0.113.7:51514")]
    pub client: SocketAddr,
    #[schema(value_type = String, example = "10.0.0.5:80")]
    pub origin: SocketAddr,
    /// Who ended it: `client`, `origin` or `edge`.
    #[schema(example = "client")]
    pub side: &'static str,
    /// As in the access log.
    #[schema(example = "peer_close")]
    pub cause: &'static str,
    /// Null when there was none.
    pub close_code: Option<u16>,
    /// All that in words.
    #[schema(example = "The client closed it, with code 1000.")]
    pub detail: String,
    pub age_ms: u64,
    pub bytes_out: u64,
    pub bytes_in: u64,
    pub messages_out: u64,
    pub messages_in: u64,
}

impl From<LegRow> for LegShown {
    fn from(row: LegRow) -> LegShown {
        let (close, code) = match row.close {
            CloseState::None => ("none", 0),
            CloseState::Sent => ("sent", 0),
            CloseState::Received(code) => ("received", code),
            CloseState::Both(code) => ("both", code),
        };
        LegShown {
            idle_ms: row.idle_ms,
            last_frame: row.last_frame.map(|frame| FrameShown {
                opcode: frame.opcode,
                bytes: frame.payload,
                missing_bytes: frame.missing,
            }),
            close,
            close_code: Some(code).filter(|code| *code != 0),
            stream: match row.stream {
                StreamState::Open => "open",
                StreamState::FinSent => "fin_sent",
                StreamState::FinReceived => "fin_received",
                StreamState::FinBoth => "closed",
                StreamState::Failed => "failed",
            },
        }
    }
}

impl From<ConnRow> for ConnectionShown {
    fn from(row: ConnRow) -> ConnectionShown {
        let measured = |us: u32| Some(us).filter(|us| *us != 0);
        let [client_leg, origin_leg] = row.legs.map(LegShown::from);
        ConnectionShown {
            id: row.id.to_string(),
            domain: row.domain.to_string(),
            client: row.client,
            region: row.region.to_string(),
            isp: row.isp.to_string(),
            origin: row.origin,
            client_tls: row.tls[0],
            origin_tls: row.tls[1],
            age_ms: row.age_ms,
            idle_ms: row.idle_ms,
            bytes_out: row.figures.bytes_out,
            bytes_in: row.figures.bytes_in,
            messages_out: row.figures.messages_out,
            messages_in: row.figures.messages_in,
            client_rtt_us: measured(row.figures.client_rtt_us),
            origin_rtt_us: measured(row.figures.origin_rtt_us),
            state: row.state,
            client_leg,
            origin_leg,
        }
    }
}

impl From<Closed> for EndShown {
    fn from(closed: Closed) -> EndShown {
        let at = Timestamp::from_microsecond(closed.at_us as i64).unwrap_or_default();
        EndShown {
            id: closed.id.to_string(),
            ended: at.to_string(),
            domain: closed.domain.to_string(),
            client: closed.client,
            origin: closed.origin,
            side: closed.outcome.side.name(),
            cause: closed.outcome.cause.name(),
            close_code: Some(closed.outcome.close_code).filter(|code| *code != 0),
            detail: words(closed.outcome),
            age_ms: closed.age_ms,
            bytes_out: closed.figures.bytes_out,
            bytes_in: closed.figures.bytes_in,
            messages_out: closed.figures.messages_out,
            messages_in: closed.figures.messages_in,
        }
    }
}

/// How a tunnel ended, for people.
fn words(outcome: Outcome) -> String {
    let side = match outcome.side {
        Side::Client => "The client",
        Side::Origin => "The origin",
        Side::Edge => "The edge",
    };
    let did = match outcome.cause {
        Cause::PeerClose => "closed it",
        Cause::PeerEof => "ended its stream without a Close frame",
        Cause::PeerReset => "was reset, or the network gave it up",
        Cause::HeartbeatTimeout => "did not answer a Ping",
        Cause::IdleTimeout => "ended it: no byte moved for the heartbeat interval",
        Cause::ProtocolError => "broke a rule of RFC 6455",
        Cause::FrameTooBig => "sent a frame larger than the domain allows",
        Cause::MessageTooBig => "sent a message larger than the domain allows",
        Cause::MessageRate => "sent more messages per second than the domain allows",
        Cause::StalledWrite => "did not read for longer than the domain allows",
        Cause::Lifetime => "ended it: its longest lifetime was reached",
        Cause::Killed => "closed it for an operator",
        Cause::Drain => "closed it because the process is going away",
        Cause::DomainRemoved => "closed it: the domain left the configuration, or was switched off",
        Cause::OriginDown => "closed it: the origin was removed, or went down",
        Cause::Overload => "closed it: it ran short of buffers",
        Cause::CloseTimeout => "began to close it, and the other side never finished",
        Cause::TlsError => "broke TLS",
        Cause::TlsKeysWorn => "ended it: its TLS 1.2 keys have encrypted as much as they may",
    };
    match outcome.close_code {
        0 => format!("{side} {did}."),
        code => format!("{side} {did}, with code {code}."),
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Connections {
    pub items: Vec<ConnectionShown>,
    /// How many match, listed or not.
    pub matched: usize,
    /// More match than are listed.
    pub truncated: bool,
    /// Cores that did not answer; their tunnels are missing.
    pub silent_cores: usize,
}

/// The longest time that is asked about: 366 days.
pub const YEAR_MS: u64 = 31_622_400_000;

#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ConnectionsAsked {
    /// Only of this domain, as configured.
    #[param(value_type = Option<String>, max_length = 253)]
    domain: Option<Bounded<253>>,
    /// Only from this address, or from this range.
    #[param(value_type = Option<String>, max_length = 49, example = "203.0.113.0/24")]
    ip: Option<Bounded<49>>,
    /// Only to this endpoint.
    #[param(value_type = Option<String>, max_length = 53, example = "10.0.0.5:80")]
    origin: Option<Bounded<53>>,
    /// Only clients of this region.
    #[param(value_type = Option<String>, max_length = 64)]
    region: Option<Bounded<64>>,
    /// Only clients of this provider.
    #[param(value_type = Option<String>, max_length = 64)]
    isp: Option<Bounded<64>>,
    /// Only those that are open for so long.
    #[param(maximum = 31_622_400_000_i64)]
    min_age_ms: Option<u64>,
    /// Only those on which no byte moved for so long.
    #[param(maximum = 31_622_400_000_i64)]
    min_idle_ms: Option<u64>,
    /// The largest first; without it, in no order.
    #[param(inline)]
    sort: Option<Sort>,
    /// Rows at most.
    #[param(minimum = 1, maximum = 500, default = 100)]
    limit: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Sort {
    Age,
    Idle,
    Bytes,
    BytesOut,
    BytesIn,
    Messages,
    MessagesOut,
    MessagesIn,
}

impl From<Sort> for Order {
    fn from(sort: Sort) -> Order {
        match sort {
            Sort::Age => Order::Age,
            Sort::Idle => Order::Idle,
            Sort::Bytes => Order::Bytes,
            Sort::BytesOut => Order::BytesOut,
            Sort::BytesIn => Order::BytesIn,
            Sort::Messages => Order::Messages,
            Sort::MessagesOut => Order::MessagesOut,
            Sort::MessagesIn => Order::MessagesIn,
        }
    }
}

impl ConnectionsAsked {
    fn filter(&self) -> Result<Filter, Problem> {
        for (name, ms) in [("min_age_ms", self.min_age_ms), ("min_idle_ms", self.min_idle_ms)] {
            if let Some(ms) = ms.filter(|ms| *ms > YEAR_MS) {
                let accepted = format!("a number from 0 to {YEAR_MS}");
                return Err(Problem::parameter(name, &ms.to_string(), &accepted));
            }
        }
        let wrong = |name: &str, text: &str, accepted: &str| {
            Problem::parameter(name, &format!("{text:?}"), accepted)
        };
        let range =
            |text: &str| text.parse::<Cidr>().map_err(|accepted| wrong("ip", text, &accepted));
        let endpoint = |text: &str| {
            let accepted = "an address with its port, such as 10.0.0.5:80 or [2001:db8::1]:443";
            text.parse::<SocketAddr>().map_err(|_| wrong("origin", text, accepted))
        };
        Ok(Filter {
            id: None,
            domain: self.domain.as_deref().map(Into::into),
            client: self.ip.as_deref().map(range).transpose()?,
            origin: self.origin.as_deref().map(endpoint).transpose()?,
            region: self.region.as_deref().map(Into::into),
            isp: self.isp.as_deref().map(Into::into),
            min_age_ms: self.min_age_ms,
            min_idle_ms: self.min_idle_ms,
        })
    }
}

/// List the tunnels that are open now
#[utoipa::path(get, path = "/connections", tag = "connections", params(ConnectionsAsked),
    responses((status = 200, description = "Those that match", body = Connections)))]
async fn list_connections(
    State(edge): State<Shared>,
    Params(asked): Params<ConnectionsAsked>,
) -> Result<Json<Connections>, Problem> {
    let limit = page::limit(asked.limit)?;
    let listing = edge.cores.list(&asked.filter()?, asked.sort.map(Order::from), limit).await;
    Ok(Json(Connections {
        matched: listing.matched,
        truncated: listing.is_truncated(),
        silent_cores: listing.silent,
        items: listing.rows.into_iter().map(ConnectionShown::from).collect(),
    }))
}

/// Show a tunnel
#[utoipa::path(get, path = "/connections/{id}", tag = "connections",
    params(("id" = String, Path, pattern = "^[0-9a-f]{16}$", example = "00000000000003e9",
        description = "Its id, as the list has it")),
    responses((status = 200, description = "The tunnel", body = ConnectionShown)))]
async fn show_connection(
    State(edge): State<Shared>,
    PathPart(id): PathPart<String>,
) -> Result<Json<ConnectionShown>, Problem> {
    let filter = Filter { id: Some(conn_id(&id)?), ..Filter::default() };
    let mut listing = edge.cores.list(&filter, None, 1).await;
    let row = listing.rows.pop().ok_or_else(|| gone(&id))?;
    Ok(Json(row.into()))
}

/// Show how a tunnel ended
///
/// Of the last 10,000 that ended, where the domain has an access log.
#[utoipa::path(get, path = "/connections/{id}/end", tag = "connections",
    params(("id" = String, Path, pattern = "^[0-9a-f]{16}$", example = "00000000000003e9",
        description = "Its id, as the list had it")),
    responses((status = 200, description = "Its end", body = EndShown)))]
async fn show_end(
    State(edge): State<Shared>,
    PathPart(id): PathPart<String>,
) -> Result<Json<EndShown>, Problem> {
    let end = edge.ends.find(conn_id(&id)?);
    let end =
        end.ok_or_else(|| Problem::unknown(format!("no end of a connection {id} is known")))?;
    Ok(Json(end.into()))
}

fn conn_id(text: &str) -> Result<ConnId, Problem> {
    text.parse().map_err(|why: String| Problem::malformed(format!("id {text:?}: {why}")))
}

fn gone(id: &str) -> Problem {
    Problem::unknown(format!("there is no connection {id}; it may have ended"))
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct CloseAsked {
    /// RFC 6455 7.4: 1000 to 1003, 1007 to 1014, 3000 to 4999.
    #[param(minimum = 1000, maximum = 4999, default = 1012)]
    code: Option<u16>,
    /// For the peers, at most 123 bytes.
    #[param(value_type = Option<String>, max_length = 123)]
    reason: Option<String>,
}

/// What is being closed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ClosingShown {
    /// Tunnels that matched.
    pub closing: usize,
}

/// Close a tunnel
///
/// Both sides get a Close frame with the code and the reason.
#[utoipa::path(delete, path = "/connections/{id}", tag = "connections",
    params(("id" = String, Path, pattern = "^[0-9a-f]{16}$", example = "00000000000003e9",
        description = "Its id, as the list has it"), CloseAsked),
    responses((status = 202, description = "It is being closed", body = ClosingShown)))]
async fn close_connection(
    State(edge): State<Shared>,
    caller: Caller,
    PathPart(id): PathPart<String>,
    Params(asked): Params<CloseAsked>,
) -> Result<(StatusCode, Json<ClosingShown>), Problem> {
    let code = asked.code.unwrap_or(CLOSE_CODE);
    let reason: Box<str> = asked.reason.as_deref().unwrap_or(CLOSE_REASON).into();
    // As what is wrong with a body: 422.
    let invalid = |name: &str, detail: &str, accepted: &str| {
        let problem = Problem::parameter(name, detail, accepted);
        Problem { errors: problem.errors, ..Problem::invalid(problem.detail) }
    };
    if !is_sendable(code) {
        return Err(invalid("code", &format!("{code} must not be sent"), CODES_ACCEPTED));
    }
    if !reason_fits(&reason) {
        return Err(invalid("reason", &format!("{} bytes", reason.len()), REASON_ACCEPTED));
    }
    let filter = Filter { id: Some(conn_id(&id)?), ..Filter::default() };
    let closing = Closing { filter, cause: Cause::Killed, code, reason, per_second: None };
    let closing = edge.cores.close(&closing).await.matched;
    if closing == 0 {
        return Err(gone(&id));
    }
    note_done(&edge, &caller, "close connection", id).await;
    Ok((StatusCode::ACCEPTED, Json(ClosingShown { closing })))
}

/// Notes what cannot be taken back: that it could not be noted is no reason to say it was not done.
pub async fn note_done(edge: &Shared, caller: &Caller, action: &'static str, about: String) {
    if let Err(problem) = note(edge, caller, action, about.clone()).await {
        let (key, why) = (&*caller.key.id, &*problem.detail);
        error!(action, about, key, why, "done, and not in the audit log");
    }
}
