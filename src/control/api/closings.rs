//! Closing many tunnels: `/connections/close` begins, `/connections/closings` says how far each is
//! and stops it. Not here: remembering them (`control::closings`), closing (`cores`).

use std::net::SocketAddr;
use std::num::NonZeroU32;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Shared;
use super::auth::Caller;
use super::connections::{
    CLOSE_CODE, CLOSE_REASON, CODES_ACCEPTED, REASON_ACCEPTED, YEAR_MS, note_done,
};
use super::extract::{Body, Bounded, PathPart};
use super::problem::{Kind, Problem};
use crate::control::closings::{Kept, State as Stage};
use crate::control::control_socket::{is_sendable, reason_fits};
use crate::control::cores::Closing;
use crate::limits::CLOSINGS_KEPT_MAX;
use crate::snapshot::{Cidr, Filter};
use crate::stats::Cause;

const RATE_MAX: u32 = 1_000_000;

pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(close_connections))
        .routes(routes!(list_closings))
        .routes(routes!(show_closing, stop_closing))
}

/// Which tunnels to close, and how. At least one of the parameters of the listing is needed; all
/// that are there must match.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "domain": "live.example.com", "min_idle_ms": 3_600_000,
    "code": 1012, "reason": "moving", "rate_per_second": 100
}))]
pub struct CloseWanted {
    /// Of this domain, as configured.
    #[schema(value_type = Option<String>, max_length = 253)]
    domain: Option<Bounded<253>>,
    /// From this address, or from this range.
    #[schema(value_type = Option<String>, example = "203.0.113.0/24")]
    ip: Option<Range>,
    /// To this endpoint.
    #[schema(value_type = Option<String>)]
    origin: Option<SocketAddr>,
    /// Clients of this region.
    #[schema(value_type = Option<String>, max_length = 64)]
    region: Option<Bounded<64>>,
    /// Clients of this provider.
    #[schema(value_type = Option<String>, max_length = 64)]
    isp: Option<Bounded<64>>,
    /// Open for so long now.
    #[schema(maximum = 31_622_400_000_i64)]
    min_age_ms: Option<u64>,
    /// No byte moved for so long now.
    #[schema(maximum = 31_622_400_000_i64)]
    min_idle_ms: Option<u64>,
    /// RFC 6455 7.4: 1000 to 1003, 1007 to 1014, 3000 to 4999.
    #[schema(minimum = 1000, maximum = 4999, default = 1012)]
    code: Option<u16>,
    /// For the peers, at most 123 bytes.
    #[schema(max_length = 123)]
    reason: Option<String>,
    /// All at once without it.
    #[schema(value_type = Option<u32>, minimum = 1, maximum = 1_000_000)]
    rate_per_second: Option<NonZeroU32>,
}

#[derive(Debug, Clone, Copy)]
struct Range(Cidr);

impl<'de> Deserialize<'de> for Range {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Range, D::Error> {
        let text = String::deserialize(deserializer)?;
        let wrong = |accepted| format!("{text:?}; accepted is {accepted}");
        text.parse().map(Range).map_err(|accepted| serde::de::Error::custom(wrong(accepted)))
    }
}

impl CloseWanted {
    fn check(&self) -> Result<(), Problem> {
        let wrong = |pointer: &str, detail: String, accepted: &str| {
            Err(Problem::at(Kind::Invalid, pointer, detail, accepted))
        };
        for (pointer, ms) in [("/min_age_ms", self.min_age_ms), ("/min_idle_ms", self.min_idle_ms)]
        {
            if let Some(ms) = ms.filter(|ms| *ms > YEAR_MS) {
                let accepted = format!("a number from 0 to {YEAR_MS}");
                return wrong(pointer, format!("{ms} is too much"), &accepted);
            }
        }
        if let Some(code) = self.code.filter(|code| !is_sendable(*code)) {
            return wrong("/code", format!("{code} must not be sent"), CODES_ACCEPTED);
        }
        if let Some(reason) = self.reason.as_deref().filter(|reason| !reason_fits(reason)) {
            return wrong("/reason", format!("{} bytes", reason.len()), REASON_ACCEPTED);
        }
        if let Some(rate) = self.rate_per_second.filter(|rate| rate.get() > RATE_MAX) {
            let accepted = format!("a number from 1 to {RATE_MAX}");
            return wrong("/rate_per_second", format!("{rate} is too much"), &accepted);
        }
        if self.filter() == Filter::default() {
            let detail = "nothing says which ones; nothing was closed".to_owned();
            let accepted = "a domain, an ip, an origin, a region, an isp, a min_age_ms or a \
                            min_idle_ms";
            return wrong("", detail, accepted);
        }
        Ok(())
    }

    fn filter(&self) -> Filter {
        Filter {
            id: None,
            domain: self.domain.as_deref().map(Into::into),
            client: self.ip.map(|range| range.0),
            origin: self.origin,
            region: self.region.as_deref().map(Into::into),
            isp: self.isp.as_deref().map(Into::into),
            // 0 says nothing: it must not be taken for a word about which ones.
            min_age_ms: self.min_age_ms.filter(|ms| *ms > 0),
            min_idle_ms: self.min_idle_ms.filter(|ms| *ms > 0),
        }
    }

    /// Which ones, for people.
    fn about(&self) -> String {
        let ms = |ms: u64| format!("{}.{:03} s", ms / 1000, ms % 1000);
        let parts = [
            self.domain.as_deref().map(|domain| format!("domain {domain}")),
            self.ip.map(|range| format!("ip {}", range.0)),
            self.origin.map(|origin| format!("origin {origin}")),
            self.region.as_deref().map(|region| format!("region {region}")),
            self.isp.as_deref().map(|isp| format!("isp {isp}")),
            self.min_age_ms.map(|age| format!("open for {}", ms(age))),
            self.min_idle_ms.map(|idle| format!("idle for {}", ms(idle))),
        ];
        parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
    }
}

/// Tunnels that are being closed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct CloseBegun {
    /// Tunnels that matched.
    pub closing: usize,
    /// Of this closing, for `/connections/closings/{id}`.
    pub id: u64,
}

/// How far a closing is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ClosingProgress {
    pub id: u64,
    /// Which ones.
    #[schema(example = "domain live.example.com, idle for 3600.000 s")]
    pub about: String,
    pub code: u16,
    pub reason: String,
    pub rate_per_second: Option<u32>,
    /// Tunnels that matched when it began.
    pub matched: usize,
    /// Of those, told to close, or gone by themselves.
    pub told: usize,
    /// `running`, `done` or `stopped`.
    #[schema(example = "running")]
    pub state: &'static str,
    /// RFC 3339, UTC.
    pub begun: String,
    /// Id of the access key.
    pub by: String,
}

/// Closings since the process began, the newest first; the last 64.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ClosingList {
    pub items: Vec<ClosingProgress>,
}

impl From<Kept> for ClosingProgress {
    fn from(kept: Kept) -> ClosingProgress {
        ClosingProgress {
            id: kept.number,
            told: kept.told(),
            about: kept.about,
            code: kept.code,
            reason: kept.reason.into(),
            rate_per_second: kept.per_second,
            matched: kept.matched,
            state: match kept.state {
                Stage::Running(_) => "running",
                Stage::Done => "done",
                Stage::Stopped(_) => "stopped",
            },
            begun: kept.begun.to_string(),
            by: kept.by,
        }
    }
}

/// Close the tunnels that match
///
/// Those that match now: what opens later is left alone, what wakes up meanwhile is closed.
#[utoipa::path(post, path = "/connections/close", tag = "connections", request_body = CloseWanted,
    responses((status = 202, description = "They are being closed", body = CloseBegun)))]
async fn close_connections(
    State(edge): State<Shared>,
    caller: Caller,
    Body(wanted): Body<CloseWanted>,
) -> Result<(StatusCode, Json<CloseBegun>), Problem> {
    wanted.check()?;
    let about = wanted.about();
    let closing = Closing {
        filter: wanted.filter(),
        cause: Cause::Killed,
        code: wanted.code.unwrap_or(CLOSE_CODE),
        reason: wanted.reason.as_deref().unwrap_or(CLOSE_REASON).into(),
        per_second: wanted.rate_per_second.map(NonZeroU32::get),
    };
    let begun = edge.closings.begin(&edge.cores, &closing, about.clone(), &caller.key.id).await;
    let begun = begun.ok_or_else(|| {
        Problem::conflict(format!(
            "{CLOSINGS_KEPT_MAX} closings are running; wait for one, or stop one \
             (DELETE /connections/closings/ID)"
        ))
    })?;
    let about = format!("{about}: {}", begun.matched);
    note_done(&edge, &caller, "close connections", about).await;
    let begun = CloseBegun { closing: begun.matched, id: begun.number };
    Ok((StatusCode::ACCEPTED, Json(begun)))
}

/// List closings of many tunnels
#[utoipa::path(get, path = "/connections/closings", tag = "connections",
    responses((status = 200, description = "The last ones", body = ClosingList)))]
async fn list_closings(State(edge): State<Shared>) -> Json<ClosingList> {
    let all = edge.closings.all(&edge.cores).await;
    Json(ClosingList { items: all.into_iter().map(ClosingProgress::from).collect() })
}

/// Show how far a closing is
#[utoipa::path(get, path = "/connections/closings/{id}", tag = "connections",
    params(("id" = u64, Path, description = "Its id, as its beginning answered it")),
    responses((status = 200, description = "The closing", body = ClosingProgress)))]
async fn show_closing(
    State(edge): State<Shared>,
    PathPart(id): PathPart<u64>,
) -> Result<Json<ClosingProgress>, Problem> {
    let kept = edge.closings.find(&edge.cores, id).await;
    Ok(Json(kept.ok_or_else(|| unknown(id))?.into()))
}

/// Stop a closing
///
/// What it has not come to stays open. Nothing changes when it is over.
#[utoipa::path(delete, path = "/connections/closings/{id}", tag = "connections",
    params(("id" = u64, Path, description = "Its id, as its beginning answered it")),
    responses((status = 200, description = "How far it came", body = ClosingProgress)))]
async fn stop_closing(
    State(edge): State<Shared>,
    caller: Caller,
    PathPart(id): PathPart<u64>,
) -> Result<Json<ClosingProgress>, Problem> {
    let stopped = edge.closings.stop(&edge.cores, id).await.ok_or_else(|| unknown(id))?;
    let kept = stopped.map_err(|silent| {
        let detail = format!("{} of the cores did not answer; ask again", silent.0);
        Problem::new(Kind::Unavailable, detail)
    })?;
    let about = format!("{}: {} of {}", kept.about, kept.told(), kept.matched);
    note_done(&edge, &caller, "stop closing connections", about).await;
    Ok(Json(kept.into()))
}

fn unknown(id: u64) -> Problem {
    let detail = format!("there is no closing {id}; the last {CLOSINGS_KEPT_MAX} are remembered");
    Problem::unknown(detail)
}
