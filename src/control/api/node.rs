//! The node as a whole: `/status`, `/snapshot`, `/reload`, `/drain`, `/certificates`, `/origins`.
//! Not here: what they do (`publish`, `lifecycle`).

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::auth::Caller;
use super::extract::{Bounded, OptionalBody, Params};
use super::problem::{Kind, Problem};
use super::{Shared, heavy, page, time, writes};
use crate::control::certs::Served;
use crate::control::changes::certificates::fingerprint;
use crate::control::config::{Loaded, WouldBe, render};
use crate::control::edge::{Files, Order};
use crate::control::statistics::fold::Progress;
use crate::limits::{API_DIFFERENCES_MAX, API_PAGE_DEFAULT};
use crate::snapshot::{Domain, Transport};

/// Longer than any certificate lives.
const DAYS_MAX: u32 = 36_500;

pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(show_status))
        .routes(routes!(show_snapshot))
        .routes(routes!(compare_snapshot))
        .routes(routes!(reload))
        .routes(routes!(drain))
        .routes(routes!(list_certificates))
        .routes(routes!(list_origins))
}

// === Status ===

#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Status {
    pub version: &'static str,
    pub pid: u32,
    pub phase: &'static str,
    pub uptime_s: u64,
    /// Where clients connect.
    #[schema(value_type = Vec<String>, example = json!(["0.0.0.0:80"]))]
    pub listen: Vec<SocketAddr>,
    #[schema(value_type = Vec<String>)]
    pub listen_tls: Vec<SocketAddr>,
    pub generation: u64,
    #[schema(example = "3f8a1c0b9d2e4f57")]
    pub hash: String,
    /// Served now.
    pub domains: usize,
    pub cores: usize,
    /// Tunnels that are open now.
    pub connections: u64,
    /// Whether the WebSocket of domains may be on.
    pub plan_in_effect: bool,
    /// Where days of statistics and bills begin: seconds east of UTC.
    #[schema(example = 28800)]
    pub utc_offset_s: i64,
    pub access_log: AccessLogStatus,
    pub statistics: StatisticsStatus,
}

/// The access log since the start of the process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct AccessLogStatus {
    pub lines_written: u64,
    /// Lost because the destination failed: a full disk, a pipe that closed.
    pub lines_lost: u64,
    /// Dropped before they became lines, because there were more than could be written.
    pub events_dropped: u64,
}

/// The writing of statistics since the start of the process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct StatisticsStatus {
    /// When all that was counted was written last: RFC 3339, UTC; null: not yet.
    #[schema(example = "2026-11-30T16:00:10Z")]
    pub last_written: Option<String>,
    /// Writes that failed; what they had waits in memory for the next one.
    pub writes_failed: u64,
    pub rows_waiting: u64,
    /// Rows that were merged, without region and provider, because too many waited.
    pub rows_coarsened: u64,
}

impl AccessLogStatus {
    fn of(edge: &Shared) -> AccessLogStatus {
        let (lines_written, lines_lost) = edge.access_log.lines();
        let cores = edge.stats.cores().iter();
        let events_dropped = cores.map(|core| core.core.log_drops.value()).sum();
        AccessLogStatus { lines_written, lines_lost, events_dropped }
    }
}

impl StatisticsStatus {
    fn of(progress: &Progress) -> StatisticsStatus {
        let written_at = progress.written_at.load(Ordering::Relaxed);
        StatisticsStatus {
            last_written: (written_at > 0).then(|| time(written_at)),
            writes_failed: progress.failed.load(Ordering::Relaxed),
            rows_waiting: progress.waiting_rows.load(Ordering::Relaxed),
            rows_coarsened: progress.coarsened_rows.load(Ordering::Relaxed),
        }
    }
}

/// Show how the node does
#[utoipa::path(get, path = "/status", tag = "node",
    responses((status = 200, description = "The node now", body = Status)))]
async fn show_status(State(edge): State<Shared>) -> Json<Status> {
    let snapshot = edge.publisher.cell().current();
    Json(Status {
        version: env!("CARGO_PKG_VERSION"),
        pid: std::process::id(),
        phase: edge.phase().name(),
        uptime_s: edge.started.elapsed().as_secs(),
        listen: edge.listen.clone(),
        listen_tls: edge.listen_tls.clone(),
        generation: snapshot.generation,
        hash: snapshot.hash.to_string(),
        domains: snapshot.hosts.len(),
        cores: edge.cores.len(),
        connections: edge.stats.cores().iter().map(|core| core.core.tunnels.value()).sum(),
        plan_in_effect: edge.plan_in_effect(),
        utc_offset_s: edge.billing.settings().utc_offset.seconds(),
        access_log: AccessLogStatus::of(&edge),
        statistics: StatisticsStatus::of(&edge.fold.progress),
    })
}

// === Snapshots ===

/// One whole configuration as the cores see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct SnapshotShown {
    /// Counts published snapshots since the start.
    pub generation: u64,
    /// Of the configuration that it was made from.
    pub hash: String,
    pub domains: usize,
    /// The generation that each core uses: all are equal a moment after a change.
    pub generation_by_core: Vec<u64>,
}

/// Show which configuration is live
#[utoipa::path(get, path = "/snapshot", tag = "node",
    responses((status = 200, description = "The snapshot", body = SnapshotShown)))]
async fn show_snapshot(State(edge): State<Shared>) -> Json<SnapshotShown> {
    let snapshot = edge.publisher.cell().current();
    let cores = edge.stats.cores().iter();
    Json(SnapshotShown {
        generation: snapshot.generation,
        hash: snapshot.hash.to_string(),
        domains: snapshot.hosts.len(),
        generation_by_core: cores.map(|core| core.core.snapshot_generation.value()).collect(),
    })
}

/// What a reload of the files as they are would change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Differences {
    /// Of the live configuration and of the files: equal when nothing would change.
    pub hash: String,
    pub file_hash: String,
    /// Whether a key of hawser.toml would change.
    pub server: Option<String>,
    pub added: Vec<String>,
    pub removed: Vec<String>,
    pub changed: Vec<DomainDifference>,
    /// More domains differ than are listed.
    pub truncated: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct DomainDifference {
    pub name: String,
    /// Of what the files mean, with every default filled in, as `diff -u` has it.
    pub diff: String,
}

/// Show what a reload would change
///
/// Reads and checks the files, and changes nothing.
#[utoipa::path(get, path = "/snapshot/diff", tag = "node",
    responses((status = 200, description = "The differences", body = Differences)))]
async fn compare_snapshot(State(edge): State<Shared>) -> Result<Json<Differences>, Problem> {
    let (live, Files(read)) = (edge.publisher.configured(), edge.files.clone());
    let compare = move || read(&WouldBe::new()).map(|files| differences(&live, &files));
    Ok(Json(heavy(&edge, compare).await??))
}

fn differences(live: &Loaded, files: &Loaded) -> Differences {
    let mut all = Differences {
        hash: live.hash.to_string(),
        file_hash: files.hash.to_string(),
        server: None,
        added: Vec::new(),
        removed: Vec::new(),
        changed: Vec::new(),
        truncated: false,
    };
    if live.server != files.server {
        let [before, after] = [live, files].map(|of| render::server(&of.server));
        all.server = Some(writes::diff(&before, &after)).filter(|diff| !diff.is_empty());
    }
    let find = |list: &Loaded, name: &str| {
        list.domains.binary_search_by(|domain| (*domain.name).cmp(name)).ok()
    };
    let gone = live.domains.iter().filter(|d| find(files, &d.name).is_none());
    all.removed = gone.map(|domain| domain.name.to_string()).collect();
    for domain in &files.domains {
        match find(live, &domain.name).map(|at| &live.domains[at]) {
            None => all.added.push(domain.name.to_string()),
            Some(before) if before != domain && all.changed.len() < API_DIFFERENCES_MAX => {
                let text = |config| render::domain(config, render::Form::File);
                let diff = writes::diff(&text(before), &text(domain));
                all.changed.push(DomainDifference { name: domain.name.to_string(), diff });
            }
            Some(before) => all.truncated |= before != domain,
        }
    }
    for list in [&mut all.added, &mut all.removed] {
        all.truncated |= list.len() > API_DIFFERENCES_MAX;
        list.truncate(API_DIFFERENCES_MAX);
    }
    all
}

/// A configuration was taken over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Reloaded {
    pub generation: u64,
    pub hash: String,
    pub domains: usize,
    pub added: Vec<String>,
    pub removed: Vec<String>,
    /// Settings that differ from the running ones and need a restart; the running ones stay.
    pub restart_needed: Vec<String>,
}

/// Check the files and take them over
///
/// Files that are not accepted change nothing: 422 has every problem.
#[utoipa::path(post, path = "/reload", tag = "node",
    responses((status = 200, description = "Live for new handshakes", body = Reloaded)))]
async fn reload(State(edge): State<Shared>, caller: Caller) -> Result<Json<Reloaded>, Problem> {
    let reloaded = edge.reload().await?;
    note(&edge, &caller, "reload", format!("generation {}", reloaded.generation)).await?;
    let texts = |list: &[Arc<str>]| list.iter().map(|name| name.to_string()).collect();
    Ok(Json(Reloaded {
        generation: reloaded.generation,
        hash: reloaded.hash.to_string(),
        domains: reloaded.domains,
        added: texts(&reloaded.added),
        removed: texts(&reloaded.removed),
        restart_needed: reloaded.restart_needed.iter().map(|name| name.to_string()).collect(),
    }))
}

/// Puts what is not about the text of a domain into the audit log.
pub async fn note(
    edge: &Shared,
    caller: &Caller,
    action: &'static str,
    about: String,
) -> Result<(), Problem> {
    let (author, noter) = (caller.author(), Arc::clone(edge));
    let note = move |_: &_| noter.changes.note(&author, action, &about);
    Ok(edge.database.off_the_runtime(note).await?)
}

/// How long a drain may last.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "window_ms": 30_000 }))]
pub struct Drain {
    /// Tunnels are closed at random moments of it; without it, `drain.window` of hawser.toml.
    #[schema(minimum = 0, maximum = 3_600_000)]
    pub window_ms: Option<u64>,
}

/// Stop accepting, close every tunnel within a window, and end
#[utoipa::path(post, path = "/drain", tag = "node", request_body = Option<Drain>,
    responses((status = 202, description = "Draining, with the window that holds", body = Drain)))]
async fn drain(
    State(edge): State<Shared>,
    caller: Caller,
    OptionalBody(asked): OptionalBody<Option<Drain>>,
) -> Result<(StatusCode, Json<Drain>), Problem> {
    const WINDOW_MS_MAX: u64 = 3_600_000;
    let window_ms = asked.unwrap_or_default().window_ms;
    if let Some(ms) = window_ms.filter(|ms| *ms > WINDOW_MS_MAX) {
        let accepted = format!("a number from 0 to {WINDOW_MS_MAX}");
        return Err(Problem::at(
            Kind::Invalid,
            "/window_ms",
            format!("{ms} is too much"),
            &accepted,
        ));
    }
    let window = window_ms.map(Duration::from_millis);
    let holds = match window {
        Some(window) => window,
        None => edge.publisher.drain_window().await,
    };
    note(&edge, &caller, "drain", format!("window {} ms", holds.as_millis())).await?;
    let ending = |_| Problem::conflict("the edge is ending already");
    edge.orders.try_send(Order::Drain { window }).map_err(ending)?;
    let window_ms = u64::try_from(holds.as_millis()).ok();
    Ok((StatusCode::ACCEPTED, Json(Drain { window_ms })))
}

// === Certificates ===

#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Certificates {
    pub items: Vec<Certificate>,
    /// What to send as `after` for the next part; null when this was the last.
    pub next: Option<String>,
}

/// A certificate in use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Certificate {
    /// `*` for the default one, `[admin]` for that of the admin listener.
    pub domain: String,
    /// `uploaded`, `acme`, `files`, `default`, `origins` (shown to origins) or `admin`.
    pub source: &'static str,
    /// Names and addresses that it is for.
    pub names: Vec<String>,
    /// SHA-256 of the leaf, hexadecimal.
    pub fingerprint: String,
    pub issuer: String,
    /// Kind of its key: `ecdsa`, `ed25519`, `rsa` or `other`.
    pub kind: &'static str,
    /// RFC 3339, UTC.
    pub not_before: String,
    pub not_after: String,
    /// Whole days until it ends; negative once it has.
    pub days_left: i64,
}

impl Certificate {
    pub fn of(served: &Served, now: Timestamp) -> Certificate {
        let facts = &served.pair.facts;
        Certificate {
            domain: served.domain.to_string(),
            source: served.source.name(),
            names: facts.names.clone(),
            fingerprint: fingerprint(&served.pair),
            issuer: facts.issuer.clone(),
            kind: facts.kind.name(),
            not_before: time(facts.not_before),
            not_after: time(facts.not_after),
            days_left: facts.days_left(now),
        }
    }
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct CertificatesAsked {
    /// Only those that end within so many days, or have ended.
    #[param(minimum = 0, maximum = 36_500)]
    ends_within_days: Option<u32>,
    /// Only those behind this place: `next` of the part before.
    after: Option<usize>,
    /// Certificates in one part.
    #[param(minimum = 1, maximum = 500, default = 100)]
    limit: Option<usize>,
}

/// List the certificates in use, with their ends
#[utoipa::path(get, path = "/certificates", tag = "certificates", params(CertificatesAsked),
    responses((status = 200, description = "One part of the list", body = Certificates)))]
async fn list_certificates(
    State(edge): State<Shared>,
    Params(asked): Params<CertificatesAsked>,
) -> Result<Json<Certificates>, Problem> {
    let limit = page::limit(asked.limit)?;
    if let Some(days) = asked.ends_within_days.filter(|days| *days > DAYS_MAX) {
        let accepted = format!("a number from 0 to {DAYS_MAX}");
        return Err(Problem::parameter("ends_within_days", &days.to_string(), &accepted));
    }
    let now = Timestamp::now();
    let served = edge.publisher.served();
    let ends = |served: &&Served| {
        asked
            .ends_within_days
            .is_none_or(|days| served.pair.facts.days_left(now) <= i64::from(days))
    };
    let skip = asked.after.unwrap_or(0);
    let found = served.iter().filter(ends).skip(skip).take(limit + 1);
    let items: Vec<_> = found.map(|served| Certificate::of(served, now)).collect();
    let (items, next) = page::cut(items, limit, |_| skip.saturating_add(limit).to_string());
    Ok(Json(Certificates { items, next }))
}

// === Origins ===

#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Origins {
    pub items: Vec<Endpoint>,
    /// What to send as `after` for the next part; null when this was the last.
    pub next: Option<String>,
}

/// One address of an origin of a domain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Endpoint {
    pub domain: String,
    /// As configured: an address or a name.
    pub origin: String,
    #[schema(value_type = String, example = "10.0.0.5:80")]
    pub address: SocketAddr,
    pub tls: bool,
    pub priority: u16,
    pub weight: u16,
    /// Whether it gets new connections.
    pub up: bool,
    /// Tunnels to it, of all domains.
    pub connections: u32,
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct OriginsAsked {
    /// Only of this domain.
    #[param(value_type = Option<String>, max_length = 253)]
    domain: Option<Bounded<253>>,
    /// Only those that are up, or down.
    up: Option<bool>,
    /// Only domains behind this one: `next` of the part before.
    #[param(value_type = Option<String>, max_length = 253)]
    after: Option<Bounded<253>>,
}

/// List the addresses of origins, with their health
///
/// A part ends with the last address of a domain.
#[utoipa::path(get, path = "/origins", tag = "origins", params(OriginsAsked),
    responses((status = 200, description = "One part of the list", body = Origins)))]
async fn list_origins(
    State(edge): State<Shared>,
    Params(asked): Params<OriginsAsked>,
) -> Json<Origins> {
    let snapshot = edge.publisher.cell().current();
    let wanted = |domain: &&Arc<Domain>| {
        asked.domain.as_deref().is_none_or(|name| *domain.name == *name)
            && asked.after.as_deref().is_none_or(|after| &*domain.name > after)
    };
    let mut domains: Vec<&Arc<Domain>> = snapshot.hosts.iter().filter(wanted).collect();
    domains.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    let mut items = Vec::new();
    let mut next = None;
    for domain in domains {
        if items.len() >= API_PAGE_DEFAULT {
            next = items.last().map(|last: &Endpoint| last.domain.clone());
            break;
        }
        let endpoints = endpoints(domain).filter(|one| asked.up.is_none_or(|up| up == one.up));
        items.extend(endpoints);
    }
    Json(Origins { items, next })
}

fn endpoints(domain: &Domain) -> impl Iterator<Item = Endpoint> + '_ {
    domain.origins.iter().flat_map(move |origin| {
        let of = move |transport: Transport| {
            origin.endpoints(transport).iter().map(move |endpoint| Endpoint {
                domain: domain.name.to_string(),
                origin: origin.address.to_string(),
                address: endpoint.addr,
                tls: transport == Transport::Tls,
                priority: origin.priority,
                weight: origin.weight,
                up: endpoint.state.is_up(),
                connections: endpoint.state.tunnels(),
            })
        };
        of(Transport::Plain).chain(of(Transport::Tls))
    })
}
