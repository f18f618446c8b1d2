//! `/connections`: the tunnels that are open now: list, show, close. Not here: asking the cores
//! (`cores`).

use std::cmp::Reverse;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::auth::Caller;
use super::extract::{Body, Bounded, Params, PathPart};
use super::node::note;
use super::problem::{Kind, Problem};
use super::{Shared, page};
use crate::control::control_socket::close_problem;
use crate::control::cores::Closing;
use crate::limits::API_CONNECTIONS_LOOKED_AT_MAX;
use crate::snapshot::{ConnRow, Filter};
use crate::stats::{Cause, ConnId};

/// RFC 6455 7.4.1, as extended by the IANA registry: service restart, the client may come again.
const CLOSE_CODE: u16 = 1012;
const RATE_MAX: u32 = 1_000_000;
const CLOSE_REASON: &str = "closed by the operator";

pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(list_connections))
        .routes(routes!(show_connection, close_connection))
        .routes(routes!(close_connections))
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
}

impl From<ConnRow> for ConnectionShown {
    fn from(row: ConnRow) -> ConnectionShown {
        let measured = |us: u32| Some(us).filter(|us| *us != 0);
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
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Connections {
    pub items: Vec<ConnectionShown>,
    /// More match than are listed, or were looked at: filter more.
    pub truncated: bool,
    /// Cores that did not answer; their tunnels are missing.
    pub silent_cores: usize,
}

/// The longest time that is asked about: 366 days.
const YEAR_MS: u64 = 31_622_400_000;

#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ConnectionsAsked {
    /// Only of this domain, as configured.
    #[param(value_type = Option<String>, max_length = 253)]
    domain: Option<Bounded<253>>,
    /// Only from this address.
    #[param(value_type = Option<String>, example = "203.0.113.7")]
    ip: Option<IpAddr>,
    /// Only to this endpoint.
    #[param(value_type = Option<String>, example = "10.0.0.5:80")]
    origin: Option<SocketAddr>,
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
    BytesOut,
    BytesIn,
    MessagesOut,
    MessagesIn,
}

impl Sort {
    fn of(self, row: &ConnRow) -> u64 {
        match self {
            Sort::Age => row.age_ms,
            Sort::Idle => row.idle_ms,
            Sort::BytesOut => row.figures.bytes_out,
            Sort::BytesIn => row.figures.bytes_in,
            Sort::MessagesOut => row.figures.messages_out,
            Sort::MessagesIn => row.figures.messages_in,
        }
    }
}

impl ConnectionsAsked {
    fn times_fit(&self) -> Result<(), Problem> {
        for (name, ms) in [("min_age_ms", self.min_age_ms), ("min_idle_ms", self.min_idle_ms)] {
            if let Some(ms) = ms.filter(|ms| *ms > YEAR_MS) {
                let accepted = format!("a number from 0 to {YEAR_MS}");
                return Err(Problem::parameter(name, &ms.to_string(), &accepted));
            }
        }
        Ok(())
    }

    /// What the cores do not look at themselves.
    fn fits(&self, row: &ConnRow) -> bool {
        self.region.as_deref().is_none_or(|region| *row.region == *region)
            && self.isp.as_deref().is_none_or(|isp| *row.isp == *isp)
            && self.min_age_ms.is_none_or(|ms| row.age_ms >= ms)
            && self.min_idle_ms.is_none_or(|ms| row.idle_ms >= ms)
    }

    /// How many rows the cores have to give so that `limit` of them are those that are wanted.
    fn looked_at(&self, limit: usize) -> usize {
        let ConnectionsAsked { region, isp, min_age_ms, min_idle_ms, sort, .. } = self;
        let here = region.is_some() || isp.is_some() || min_age_ms.or(*min_idle_ms).is_some();
        if here || sort.is_some() { API_CONNECTIONS_LOOKED_AT_MAX } else { limit }
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
    asked.times_fit()?;
    let filter = Filter {
        id: None,
        domain: asked.domain.as_deref().map(Into::into),
        client_ip: asked.ip,
        origin: asked.origin,
    };
    let listing = edge.cores.list(&filter, asked.looked_at(limit)).await;
    let mut rows = listing.rows;
    rows.retain(|row| asked.fits(row));
    if let Some(sort) = asked.sort {
        rows.sort_by_key(|row| Reverse(sort.of(row)));
    }
    let truncated = listing.truncated || rows.len() > limit;
    rows.truncate(limit);
    let items = rows.into_iter().map(ConnectionShown::from).collect();
    Ok(Json(Connections { items, truncated, silent_cores: listing.silent }))
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
    let mut listing = edge.cores.list(&filter, 1).await;
    let row = listing.rows.pop().ok_or_else(|| gone(&id))?;
    Ok(Json(row.into()))
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
    reason: Option<Bounded<123>>,
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
    let filter = Filter { id: Some(conn_id(&id)?), ..Filter::default() };
    let closing = close(&edge, filter, asked.code, asked.reason, None).await?;
    if closing == 0 {
        return Err(gone(&id));
    }
    note(&edge, &caller, "close connection", id).await?;
    Ok((StatusCode::ACCEPTED, Json(ClosingShown { closing })))
}

/// Which tunnels to close, and how. At least one of the first three is needed.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "domain": "live.example.com", "code": 1012, "reason": "moving", "rate_per_second": 100
}))]
pub struct CloseWanted {
    /// Of this domain, as configured.
    #[schema(value_type = Option<String>, max_length = 253)]
    domain: Option<Bounded<253>>,
    /// From this address.
    #[schema(value_type = Option<String>)]
    ip: Option<IpAddr>,
    /// To this endpoint.
    #[schema(value_type = Option<String>)]
    origin: Option<SocketAddr>,
    /// RFC 6455 7.4: 1000 to 1003, 1007 to 1014, 3000 to 4999.
    #[schema(minimum = 1000, maximum = 4999, default = 1012)]
    code: Option<u16>,
    /// For the peers, at most 123 bytes.
    #[schema(value_type = Option<String>, max_length = 123)]
    reason: Option<Bounded<123>>,
    /// All at once without it.
    #[schema(value_type = Option<u32>, minimum = 1, maximum = 1_000_000)]
    rate_per_second: Option<NonZeroU32>,
}

/// Close the tunnels that match
#[utoipa::path(post, path = "/connections/close", tag = "connections", request_body = CloseWanted,
    responses((status = 202, description = "They are being closed", body = ClosingShown)))]
async fn close_connections(
    State(edge): State<Shared>,
    caller: Caller,
    Body(wanted): Body<CloseWanted>,
) -> Result<(StatusCode, Json<ClosingShown>), Problem> {
    let CloseWanted { domain, ip, origin, code, reason, rate_per_second } = wanted;
    if domain.is_none() && ip.is_none() && origin.is_none() {
        let detail = "nothing says which ones; nothing was closed".to_owned();
        return Err(Problem::at(Kind::Invalid, "", detail, "a domain, an ip or an origin"));
    }
    let about = [
        domain.as_deref().map(|domain| format!("domain {domain}")),
        ip.map(|ip| format!("ip {ip}")),
        origin.map(|origin| format!("origin {origin}")),
    ];
    let about: Vec<String> = about.into_iter().flatten().collect();
    let filter =
        Filter { id: None, domain: domain.as_deref().map(Into::into), client_ip: ip, origin };
    let rate = rate_per_second.map(NonZeroU32::get);
    if let Some(rate) = rate.filter(|rate| *rate > RATE_MAX) {
        let accepted = format!("a number from 1 to {RATE_MAX}");
        let detail = format!("{rate} is too much");
        return Err(Problem::at(Kind::Invalid, "/rate_per_second", detail, &accepted));
    }
    let closing = close(&edge, filter, code, reason, rate).await?;
    let about = format!("{}: {closing}", about.join(", "));
    note(&edge, &caller, "close connections", about).await?;
    Ok((StatusCode::ACCEPTED, Json(ClosingShown { closing })))
}

async fn close(
    edge: &Shared,
    filter: Filter,
    code: Option<u16>,
    reason: Option<Bounded<123>>,
    per_second: Option<u32>,
) -> Result<usize, Problem> {
    let code = code.unwrap_or(CLOSE_CODE);
    let reason: Box<str> = reason.as_deref().unwrap_or(CLOSE_REASON).into();
    if let Some(problem) = close_problem(code, &reason) {
        return Err(Problem::invalid(problem));
    }
    let closing = Closing { filter, cause: Cause::Killed, code, reason, per_second };
    Ok(edge.cores.close(&closing).await)
}
