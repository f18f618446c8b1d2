//! The control socket: what the verbs of the command line ask of the running edge, as JSON over
//! HTTP. Its file mode lets only its owner in.
//!
//! Not here: the socket's file (`state_dir`), the client (`cli::control_client`).

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use tracing::info;

use super::cores::Closing;
use super::edge::{Edge, Order};
use super::publish::{Rejected, Reloaded};
use crate::limits::{CONTROL_PAYLOAD_MAX, LISTED_CONNECTIONS_MAX};
use crate::snapshot::{Cidr, ConnRow, Filter};
use crate::stats::{Cause, ConnId};

pub fn router(edge: Arc<Edge>) -> Router {
    Router::new()
        .route("/v1/status", get(status))
        .route("/v1/conns", get(conns))
        .route("/v1/kill", post(kill))
        .route("/v1/reload", post(reload))
        .route("/v1/drain", post(drain))
        .route("/v1/stop", post(stop))
        .route("/v1/flush", post(flush))
        .with_state(edge)
}

/// GET /v1/status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    pub pid: u32,
    pub version: String,
    /// `starting`, `serving` or `draining`.
    pub phase: String,
    pub uptime_s: u64,
    /// Where it listens; `admin` is null when there is no admin listener.
    pub listen: Vec<SocketAddr>,
    pub listen_tls: Vec<SocketAddr>,
    pub admin: Option<SocketAddr>,
    pub generation: u64,
    pub hash: String,
    pub domains: usize,
    pub cores: usize,
    pub tunnels: u64,
    /// Whether domains may have WebSocket.
    pub plan_in_effect: bool,
}

/// Which tunnels; all that is set must match.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<Box<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domain: Option<Box<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin: Option<SocketAddr>,
    /// Rows at most; [`LISTED_CONNECTIONS_MAX`] in any case.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
}

/// GET /v1/conns.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connections {
    pub connections: Vec<Connection>,
    /// How many match, listed or not.
    pub matched: usize,
    /// There are more than are listed.
    pub truncated: bool,
    /// Cores that did not answer; their tunnels are missing.
    pub silent_cores: usize,
}

/// One tunnel. Out is towards the client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connection {
    /// Unique within its process.
    pub id: String,
    /// Whose it is: after a hand-over there is more than one.
    pub process: u32,
    pub domain: String,
    pub client: SocketAddr,
    /// Where the client is, by `[geo]`.
    pub region: String,
    pub isp: String,
    pub origin: SocketAddr,
    /// Version and cipher suite; absent where the leg is plain.
    pub client_tls: Option<String>,
    pub origin_tls: Option<String>,
    pub age_ms: u64,
    pub idle_ms: u64,
    pub bytes_out: u64,
    pub bytes_in: u64,
    pub messages_out: u64,
    pub messages_in: u64,
    /// Absent where none was measured yet.
    pub client_rtt_us: Option<u32>,
    pub origin_rtt_us: Option<u32>,
    pub state: String,
}

/// POST /v1/kill. At least one of the first four is needed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kill {
    #[serde(default)]
    pub ids: Vec<String>,
    pub domain: Option<Box<str>>,
    pub ip: Option<IpAddr>,
    pub origin: Option<SocketAddr>,
    pub code: u16,
    pub reason: Box<str>,
    /// Per second; all at once without it.
    pub rate: Option<NonZeroU32>,
}

/// Its answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Killed {
    pub closing: usize,
}

/// POST /v1/drain, and its answer with the window that holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Drain {
    pub window_ms: Option<u64>,
}

/// An answer that is none: for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    pub detail: String,
}

type Refused = (StatusCode, Json<Problem>);

/// RFC 6455 7.4 and the IANA registry: codes that may stand in a Close frame. Not 1004 to 1006 and
/// 1015, which stand for the lack of one, nor the unassigned ones below 3000.
pub fn is_sendable(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

const REASON_MAX: usize = CONTROL_PAYLOAD_MAX - 2;

/// RFC 6455 5.5.1: a Close frame has room for it beside the code.
pub fn reason_fits(reason: &str) -> bool {
    reason.len() <= REASON_MAX
}

/// What is wrong with `code` or `reason`, for people.
pub fn close_problem(code: u16, reason: &str) -> Option<String> {
    if !is_sendable(code) {
        return Some(format!(
            "close code {code} must not be sent (RFC 6455 7.4); use 1000 to 1003, 1007 to 1014 \
             or, for applications, 3000 to 4999"
        ));
    }
    (!reason_fits(reason)).then(|| {
        format!("the reason has {} bytes; a Close frame has room for {REASON_MAX}", reason.len())
    })
}

async fn status(State(edge): State<Arc<Edge>>) -> Json<Status> {
    let snapshot = edge.publisher.cell().current();
    Json(Status {
        pid: std::process::id(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        phase: edge.phase().name().to_owned(),
        uptime_s: edge.started.elapsed().as_secs(),
        listen: edge.listen.clone(),
        listen_tls: edge.listen_tls.clone(),
        admin: edge.admin,
        generation: snapshot.generation,
        hash: snapshot.hash.to_string(),
        domains: snapshot.hosts.len(),
        cores: edge.cores.len(),
        tunnels: edge.stats.cores().iter().map(|core| core.core.tunnels.value()).sum(),
        plan_in_effect: edge.plan_in_effect(),
    })
}

async fn conns(
    State(edge): State<Arc<Edge>>,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<Json<Connections>, Refused> {
    let Query(asked) = asked.map_err(|error| refuse(StatusCode::BAD_REQUEST, error.body_text()))?;
    let limit = asked.limit.unwrap_or(LISTED_CONNECTIONS_MAX).min(LISTED_CONNECTIONS_MAX);
    let id = asked.id.map(|id| id.parse()).transpose();
    let filter = Filter {
        id: id.map_err(|error| refuse(StatusCode::BAD_REQUEST, error))?,
        domain: asked.domain,
        client: asked.ip.map(Cidr::host),
        origin: asked.origin,
        ..Filter::default()
    };
    let listing = edge.cores.list(&filter, None, limit).await;
    Ok(Json(Connections {
        matched: listing.matched,
        truncated: listing.is_truncated(),
        connections: listing.rows.into_iter().map(Connection::from).collect(),
        silent_cores: listing.silent,
    }))
}

async fn kill(
    State(edge): State<Arc<Edge>>,
    kill: Result<Json<Kill>, JsonRejection>,
) -> Result<Json<Killed>, Refused> {
    let bad = |detail: String| refuse(StatusCode::BAD_REQUEST, detail);
    let Json(kill) = kill.map_err(|error| bad(error.body_text()))?;
    if let Some(problem) = close_problem(kill.code, &kill.reason) {
        return Err(bad(problem));
    }
    if kill.ids.is_empty() && (&kill.domain, kill.ip, kill.origin) == (&None, None, None) {
        return Err(
            bad("name an id, a domain, an address or an origin; nothing was closed".into()),
        );
    }
    let ids: Vec<ConnId> =
        kill.ids.iter().map(|id| id.parse()).collect::<Result<_, _>>().map_err(bad)?;
    // Without ids: one question for all that match.
    let ids = if ids.is_empty() { vec![None] } else { ids.into_iter().map(Some).collect() };
    let mut closing = 0;
    for id in ids {
        let filter = Filter {
            id,
            domain: kill.domain.clone(),
            client: kill.ip.map(Cidr::host),
            origin: kill.origin,
            ..Filter::default()
        };
        let order = Closing {
            filter,
            cause: Cause::Killed,
            code: kill.code,
            reason: kill.reason.clone(),
            per_second: kill.rate.map(NonZeroU32::get),
        };
        closing += edge.cores.close(&order).await.matched;
    }
    info!(
        closing,
        ids = kill.ids.join(" "),
        domain = kill.domain.as_deref(),
        ip = kill.ip.map(tracing::field::display),
        origin = kill.origin.map(tracing::field::display),
        code = kill.code,
        reason = &*kill.reason,
        rate = kill.rate.map(NonZeroU32::get),
        "closing tunnels for the operator"
    );
    Ok(Json(Killed { closing }))
}

async fn reload(
    State(edge): State<Arc<Edge>>,
) -> Result<Json<Reloaded>, (StatusCode, Json<Rejected>)> {
    let rejected = |rejected| (StatusCode::UNPROCESSABLE_ENTITY, Json(rejected));
    edge.reload().await.map(Json).map_err(rejected)
}

async fn drain(
    State(edge): State<Arc<Edge>>,
    drain: Result<Json<Drain>, JsonRejection>,
) -> Result<Response, Refused> {
    let Json(drain) = drain.map_err(|e| refuse(StatusCode::BAD_REQUEST, e.body_text()))?;
    let window = drain.window_ms.map(Duration::from_millis);
    order(&edge, Order::Drain { window })?;
    let window = match window {
        Some(window) => window,
        None => edge.publisher.drain_window().await,
    };
    let window_ms = u64::try_from(window.as_millis()).ok();
    Ok((StatusCode::ACCEPTED, Json(Drain { window_ms })).into_response())
}

async fn stop(State(edge): State<Arc<Edge>>) -> Result<StatusCode, Refused> {
    order(&edge, Order::Stop)?;
    Ok(StatusCode::ACCEPTED)
}

/// Brings the statistics up to date.
async fn flush(State(edge): State<Arc<Edge>>) -> Result<StatusCode, Refused> {
    let failed = |error| refuse(StatusCode::SERVICE_UNAVAILABLE, format!("{error}"));
    edge.flush().await.map_err(failed)?;
    Ok(StatusCode::NO_CONTENT)
}

fn order(edge: &Edge, order: Order) -> Result<(), Refused> {
    let ending = |_| refuse(StatusCode::CONFLICT, "the edge is ending already".to_owned());
    edge.orders.try_send(order).map_err(ending)
}

fn refuse(status: StatusCode, detail: String) -> Refused {
    (status, Json(Problem { detail }))
}

impl From<ConnRow> for Connection {
    fn from(row: ConnRow) -> Connection {
        let measured = |us: u32| Some(us).filter(|&us| us != 0);
        Connection {
            id: row.id.to_string(),
            process: std::process::id(),
            domain: row.domain.to_string(),
            client: row.client,
            region: row.region.to_string(),
            isp: row.isp.to_string(),
            origin: row.origin,
            client_tls: row.tls[0].map(str::to_owned),
            origin_tls: row.tls[1].map(str::to_owned),
            age_ms: row.age_ms,
            idle_ms: row.idle_ms,
            bytes_out: row.figures.bytes_out,
            bytes_in: row.figures.bytes_in,
            messages_out: row.figures.messages_out,
            messages_in: row.figures.messages_in,
            client_rtt_us: measured(row.figures.client_rtt_us),
            origin_rtt_us: measured(row.figures.origin_rtt_us),
            state: row.state.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_that_may_be_sent() {
        // RFC 6455 7.4.1 and 7.4.2.
        for code in [1000, 1001, 1003, 1007, 1011, 1012, 1014, 3000, 4999] {
            assert_eq!(close_problem(code, "bye"), None, "{code}");
        }
        for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535] {
            assert!(close_problem(code, "").is_some_and(|p| p.contains("3000")), "{code}");
        }
        assert_eq!(close_problem(1000, &"x".repeat(123)), None);
        assert!(close_problem(1000, &"x".repeat(124)).unwrap().contains("123"));
    }
}
