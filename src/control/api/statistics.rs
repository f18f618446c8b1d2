//! `/statistics`: what was counted of WebSocket, by time, as JSON or CSV; `/live`: what goes on
//! right now.
//!
//! Not here: which slots a call means (`statistics::window`), the slots themselves (the store).

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::extract::{Bounded, Params};
use super::problem::{Kind, Problem};
use super::table::{Format, Table};
use super::{Shared, heavy, page, time};
use crate::control::live::{Figures, Times};
use crate::control::statistics::window::{self, Edges, TimeError, Window};
use crate::control::statistics::{Query, SLOT, Selection, Slot, Step, Wanted, cause_name};
use crate::limits::API_SELECTED_MAX;
use crate::stats::{Cause, Layer};

pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(traffic))
        .routes(routes!(bandwidth))
        .routes(routes!(http_codes))
        .routes(routes!(connections))
        .routes(routes!(messages))
        .routes(routes!(handshake_times))
        .routes(routes!(live))
}

// === What is asked for ===

/// Which series, and when. Series that match are merged into one.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Asked {
    /// Domains, with commas between them; without it, all.
    #[param(example = "live.example.com")]
    domain: Option<String>,
    /// Regions of clients, with commas between them; without it, all.
    #[param(example = "beijing,us")]
    region: Option<String>,
    /// Providers of clients, with commas between them; without it, all.
    #[param(example = "telecom")]
    isp: Option<String>,
    /// Only clients that came over this version of IP, or by this protocol: `http` is ws, `https`
    /// is wss. Not together with `region` or `isp`.
    #[param(inline)]
    layer: Option<LayerName>,
    /// `2026-11-01T00:00:00Z`. With `end`, or neither for the last 24 hours.
    #[param(example = "2026-11-01T00:00:00Z")]
    start: Option<String>,
    /// Not included.
    #[param(example = "2026-11-02T00:00:00Z")]
    end: Option<String>,
    /// Seconds of a slot: 300, 3600 or 86400. What is absent, or too short for the range, becomes
    /// the shortest that is allowed: 300 up to 3 days, 3600 up to 31 days.
    #[param(example = "300")]
    interval: Option<String>,
    /// Instead of the Accept header.
    #[param(inline)]
    format: Option<Format>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum LayerName {
    Ipv4,
    Ipv6,
    Http,
    Https,
}

impl LayerName {
    fn layers(self) -> [Layer; 2] {
        match self {
            LayerName::Ipv4 => Layer::IPV4,
            LayerName::Ipv6 => Layer::IPV6,
            LayerName::Http => Layer::HTTP,
            LayerName::Https => Layer::HTTPS,
        }
    }
}

impl Asked {
    fn window(&self, edge: &Shared) -> Result<Window, Problem> {
        window(edge, self.start.as_deref(), self.end.as_deref(), self.interval.as_deref())
    }

    fn selection(&self) -> Result<Selection, Problem> {
        let layers = self.layer.map(|layer| layer.layers().to_vec()).unwrap_or_default();
        Ok(Selection { layers, ..selection([&self.domain, &self.region, &self.isp])? })
    }
}

/// Which series these lists of domains, regions and providers mean.
pub fn selection([domains, regions, isps]: [&Option<String>; 3]) -> Result<Selection, Problem> {
    Ok(Selection {
        domains: listed("domain", domains.as_deref())?,
        regions: listed("region", regions.as_deref())?,
        isps: listed("isp", isps.as_deref())?,
        layers: Vec::new(),
    })
}

/// Which slots these texts mean now.
pub fn window(
    edge: &Shared,
    start: Option<&str>,
    end: Option<&str>,
    interval: Option<&str>,
) -> Result<Window, Problem> {
    let offset = edge.billing.settings().utc_offset.seconds();
    let now = Timestamp::now().as_second();
    Ok(Window::of(window::Asked { start, end, interval }, now, offset, Edges::Page)?)
}

/// The range of totals, which have no slots but the shortest: it begins no earlier than it must.
pub fn range(edge: &Shared, start: Option<&str>, end: Option<&str>) -> Result<(i64, i64), Problem> {
    let found = window(edge, start, end, None)?;
    let asked = start.and_then(window::parse).map(|start| Step::FiveMinutes.floor(start));
    Ok((asked.unwrap_or(found.start), found.end))
}

fn listed(name: &str, text: Option<&str>) -> Result<Vec<Arc<str>>, Problem> {
    let items = text.unwrap_or_default().split(',').map(str::trim).filter(|item| !item.is_empty());
    let mut items: Vec<Arc<str>> = items.map(Into::into).collect();
    items.sort_unstable();
    items.dedup();
    if items.len() > API_SELECTED_MAX {
        let detail = format!("{} names", items.len());
        return Err(Problem::parameter(name, &detail, &format!("at most {API_SELECTED_MAX}")));
    }
    Ok(items)
}

impl From<TimeError> for Problem {
    fn from(error: TimeError) -> Problem {
        Problem::new(Kind::Malformed, error.to_string())
    }
}

// === Answers ===

/// Slots of a range, oldest first; empty ones too.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Series<T> {
    /// RFC 3339, UTC; on the start of a slot.
    #[schema(example = "2026-11-01T00:00:00Z")]
    pub start: String,
    /// Not included.
    pub end: String,
    /// Seconds of a slot.
    #[schema(example = 300)]
    pub interval_s: i64,
    pub items: Vec<T>,
}

/// One slot as an answer has it.
trait Item: Serialize {
    /// What the store has to look up.
    const WANTED: Wanted;
    fn of(slot: &Slot) -> Self;
    /// Columns of a table, the time first.
    fn columns() -> Vec<String>;
    fn rows(&self) -> Vec<Vec<String>>;
}

async fn series<T: Item>(
    edge: &Shared,
    headers: &HeaderMap,
    asked: &Asked,
) -> Result<Response, Problem> {
    let format = Format::of(asked.format, headers);
    let Window { start, end, step } = asked.window(edge)?;
    let query = Query { selection: asked.selection()?, start, end, step, wanted: T::WANTED };
    let store = Arc::clone(&edge.statistics);
    let slots = edge.database.off_the_runtime(move |_| store.query(&query)).await?;
    let items: Vec<T> = slots.iter().map(T::of).collect();
    if format == Format::Csv {
        let mut table = Table::new(&T::columns());
        for row in items.iter().flat_map(T::rows) {
            table.row(&row);
        }
        return Ok(table.into_response());
    }
    let interval_s = step.seconds();
    let series = Series { start: time(start), end: time(end), interval_s, items };
    Ok(Json(series).into_response())
}

pub fn texts<const N: usize>(names: [&str; N]) -> Vec<String> {
    names.map(str::to_owned).to_vec()
}

/// Bytes of WebSocket: handshakes and tunnels, TLS not counted.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Traffic {
    pub time: String,
    /// Sent to clients: the billed figure.
    pub bytes_out: u64,
    /// Received from clients.
    pub bytes_in: u64,
}

impl Item for Traffic {
    const WANTED: Wanted = Wanted::Traffic;

    fn of(slot: &Slot) -> Traffic {
        let measures = &slot.measures;
        Traffic {
            time: time(slot.start),
            bytes_out: measures.bytes_out,
            bytes_in: measures.bytes_in,
        }
    }

    fn columns() -> Vec<String> {
        texts(["time", "bytes_out", "bytes_in"])
    }

    fn rows(&self) -> Vec<Vec<String>> {
        vec![vec![self.time.clone(), self.bytes_out.to_string(), self.bytes_in.to_string()]]
    }
}

/// Show bytes by time
#[utoipa::path(get, path = "/statistics/traffic", tag = "statistics", params(Asked),
    responses((status = 200, description = "The slots", content(
        (Series<Traffic> = "application/json"), (String = "text/csv")))))]
async fn traffic(
    State(edge): State<Shared>,
    headers: HeaderMap,
    Params(asked): Params<Asked>,
) -> Result<Response, Problem> {
    series::<Traffic>(&edge, &headers, &asked).await
}

/// Bits per second over five minutes; of a longer slot, the largest five minutes of it.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Bandwidth {
    pub time: String,
    pub bps_out: f64,
    pub bps_in: f64,
}

impl Item for Bandwidth {
    const WANTED: Wanted = Wanted::Traffic;

    fn of(slot: &Slot) -> Bandwidth {
        let bps = |bytes: u64| bytes as f64 * 8.0 / SLOT as f64;
        Bandwidth {
            time: time(slot.start),
            bps_out: bps(slot.most_bytes_out),
            bps_in: bps(slot.most_bytes_in),
        }
    }

    fn columns() -> Vec<String> {
        texts(["time", "bps_out", "bps_in"])
    }

    fn rows(&self) -> Vec<Vec<String>> {
        vec![vec![self.time.clone(), self.bps_out.to_string(), self.bps_in.to_string()]]
    }
}

/// Show bandwidth by time
#[utoipa::path(get, path = "/statistics/bandwidth", tag = "statistics", params(Asked),
    responses((status = 200, description = "The slots", content(
        (Series<Bandwidth> = "application/json"), (String = "text/csv")))))]
async fn bandwidth(
    State(edge): State<Shared>,
    headers: HeaderMap,
    Params(asked): Params<Asked>,
) -> Result<Response, Problem> {
    series::<Bandwidth>(&edge, &headers, &asked).await
}

/// Answers to upgrade requests by status code.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct HttpCodes {
    pub time: String,
    pub codes: Vec<CodeCount>,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct CodeCount {
    /// 101 when it succeeded; rare ones of a class count under 100, 299, 399, 498 and 599.
    #[schema(example = 101)]
    pub code: u16,
    pub count: u64,
    /// Part of all in this slot, in percent.
    pub share_percent: f64,
}

impl Item for HttpCodes {
    const WANTED: Wanted = Wanted::Handshakes;

    fn of(slot: &Slot) -> HttpCodes {
        let all: u64 = slot.measures.handshakes.values().sum();
        let counted = slot.measures.handshakes.iter().filter(|(_, count)| **count > 0);
        let code = |(code, count): (&u16, &u64)| CodeCount {
            code: *code,
            count: *count,
            share_percent: *count as f64 * 100.0 / all as f64,
        };
        HttpCodes { time: time(slot.start), codes: counted.map(code).collect() }
    }

    fn columns() -> Vec<String> {
        texts(["time", "code", "count", "share_percent"])
    }

    fn rows(&self) -> Vec<Vec<String>> {
        let row = |code: &CodeCount| {
            let CodeCount { code, count, share_percent } = code;
            vec![self.time.clone(), code.to_string(), count.to_string(), share_percent.to_string()]
        };
        self.codes.iter().map(row).collect()
    }
}

/// Show the answers to upgrade requests by time and status code
#[utoipa::path(get, path = "/statistics/http-codes", tag = "statistics", params(Asked),
    responses((status = 200, description = "The slots", content(
        (Series<HttpCodes> = "application/json"), (String = "text/csv")))))]
async fn http_codes(
    State(edge): State<Shared>,
    headers: HeaderMap,
    Params(asked): Params<Asked>,
) -> Result<Response, Problem> {
    series::<HttpCodes>(&edge, &headers, &asked).await
}

/// Tunnels: most open at once, opened, closed by cause.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ConnectionCounts {
    pub time: String,
    /// Of a longer slot, the largest of its five minutes.
    pub peak: u64,
    pub opened: u64,
    pub closed: u64,
    /// Only causes that occurred.
    pub closed_by_cause: BTreeMap<&'static str, u64>,
}

impl Item for ConnectionCounts {
    const WANTED: Wanted = Wanted::Connections;

    fn of(slot: &Slot) -> ConnectionCounts {
        let measures = &slot.measures;
        let causes = measures.closed.iter().filter(|(_, count)| **count > 0);
        ConnectionCounts {
            time: time(slot.start),
            peak: measures.peak,
            opened: measures.opened,
            closed: measures.closed.values().sum(),
            closed_by_cause: causes.map(|(cause, count)| (cause_name(*cause), *count)).collect(),
        }
    }

    fn columns() -> Vec<String> {
        let causes = Cause::ALL.iter().map(|cause| format!("closed_{}", cause.name()));
        texts(["time", "peak", "opened", "closed"]).into_iter().chain(causes).collect()
    }

    fn rows(&self) -> Vec<Vec<String>> {
        let mut row = vec![self.time.clone()];
        row.extend([self.peak, self.opened, self.closed].map(|n| n.to_string()));
        let count = |cause: &Cause| self.closed_by_cause.get(cause.name()).copied().unwrap_or(0);
        row.extend(Cause::ALL.iter().map(|cause| count(cause).to_string()));
        vec![row]
    }
}

/// Show tunnels by time
#[utoipa::path(get, path = "/statistics/connections", tag = "statistics", params(Asked),
    responses((status = 200, description = "The slots", content(
        (Series<ConnectionCounts> = "application/json"), (String = "text/csv")))))]
async fn connections(
    State(edge): State<Shared>,
    headers: HeaderMap,
    Params(asked): Params<Asked>,
) -> Result<Response, Problem> {
    series::<ConnectionCounts>(&edge, &headers, &asked).await
}

/// Whole messages.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Messages {
    pub time: String,
    /// To clients.
    pub messages_out: u64,
    pub messages_in: u64,
}

impl Item for Messages {
    const WANTED: Wanted = Wanted::Traffic;

    fn of(slot: &Slot) -> Messages {
        let measures = &slot.measures;
        Messages {
            time: time(slot.start),
            messages_out: measures.messages_out,
            messages_in: measures.messages_in,
        }
    }

    fn columns() -> Vec<String> {
        texts(["time", "messages_out", "messages_in"])
    }

    fn rows(&self) -> Vec<Vec<String>> {
        vec![vec![self.time.clone(), self.messages_out.to_string(), self.messages_in.to_string()]]
    }
}

/// Show messages by time
#[utoipa::path(get, path = "/statistics/messages", tag = "statistics", params(Asked),
    responses((status = 200, description = "The slots", content(
        (Series<Messages> = "application/json"), (String = "text/csv")))))]
async fn messages(
    State(edge): State<Shared>,
    headers: HeaderMap,
    Params(asked): Params<Asked>,
) -> Result<Response, Problem> {
    series::<Messages>(&edge, &headers, &asked).await
}

/// From the first byte of an upgrade request to its answer.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct HandshakeTimes {
    pub time: String,
    #[serde(flatten)]
    pub times: Quantiles,
}

/// Times that were measured. Quantiles are upper bounds of buckets, each four times the one before.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Quantiles {
    pub count: u64,
    /// Null when there were none, here and below; below also when it is above every bound.
    pub mean_us: Option<u64>,
    pub p50_us: Option<u64>,
    pub p90_us: Option<u64>,
    pub p99_us: Option<u64>,
}

impl From<&Times> for Quantiles {
    fn from(times: &Times) -> Quantiles {
        let count = times.count();
        let [p50_us, p90_us, p99_us] = [0.5, 0.9, 0.99].map(|share| times.quantile_us(share));
        Quantiles { count, mean_us: times.us.checked_div(count), p50_us, p90_us, p99_us }
    }
}

impl Item for HandshakeTimes {
    const WANTED: Wanted = Wanted::Handshakes;

    fn of(slot: &Slot) -> HandshakeTimes {
        let measures = &slot.measures;
        let times = Times { counts: measures.handshake_times, us: measures.handshake_us };
        HandshakeTimes { time: time(slot.start), times: Quantiles::from(&times) }
    }

    fn columns() -> Vec<String> {
        texts(["time", "count", "mean_us", "p50_us", "p90_us", "p99_us"])
    }

    fn rows(&self) -> Vec<Vec<String>> {
        let Quantiles { count, mean_us, p50_us, p90_us, p99_us } = &self.times;
        let mut row = vec![self.time.clone(), count.to_string()];
        let text = |us: &Option<u64>| us.map(|us| us.to_string()).unwrap_or_default();
        row.extend([mean_us, p50_us, p90_us, p99_us].map(text));
        vec![row]
    }
}

/// Show how long upgrade requests took, by time
#[utoipa::path(get, path = "/statistics/handshake-times", tag = "statistics", params(Asked),
    responses((status = 200, description = "The slots", content(
        (Series<HandshakeTimes> = "application/json"), (String = "text/csv")))))]
async fn handshake_times(
    State(edge): State<Shared>,
    headers: HeaderMap,
    Params(asked): Params<Asked>,
) -> Result<Response, Problem> {
    series::<HandshakeTimes>(&edge, &headers, &asked).await
}

// === Now ===

#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct LiveAsked {
    /// Only domains with this in their name.
    #[param(value_type = Option<String>, max_length = 253)]
    search: Option<Bounded<253>>,
    /// Only names behind this one: `next` of the part before.
    #[param(value_type = Option<String>, max_length = 253)]
    after: Option<Bounded<253>>,
    /// Domains in one part.
    #[param(minimum = 1, maximum = 500, default = 100)]
    limit: Option<usize>,
}

/// What was counted since the start of the process: differences of two answers are rates.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Live {
    /// RFC 3339, UTC: of these figures.
    pub at: String,
    /// Of the node.
    pub uptime_s: u64,
    /// Of all domains that match, on all parts.
    pub total: LiveFigures,
    pub items: Vec<LiveDomain>,
    /// What to send as `after` for the next part; null when this was the last.
    pub next: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct LiveDomain {
    pub domain: String,
    #[serde(flatten)]
    pub figures: LiveFigures,
    pub closed_by_cause: BTreeMap<&'static str, u64>,
    /// By status code; the rest of a class as `4xx`.
    pub handshakes: BTreeMap<String, u64>,
    pub handshake_times: Quantiles,
    /// From Ping to Pong, on the client's leg and on the origin's.
    pub client_rtt: Quantiles,
    pub origin_rtt: Quantiles,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, ToSchema)]
pub struct LiveFigures {
    /// Tunnels that are open now.
    pub connections: u64,
    pub opened: u64,
    pub bytes_out: u64,
    pub bytes_in: u64,
    pub messages_out: u64,
    pub messages_in: u64,
    /// Of plain HTTP.
    pub http_bytes_out: u64,
    pub http_bytes_in: u64,
}

impl LiveFigures {
    fn add(&mut self, figures: &Figures) {
        self.connections += figures.active;
        self.opened += figures.opened;
        self.bytes_out += figures.bytes_out;
        self.bytes_in += figures.bytes_in;
        self.messages_out += figures.messages_out;
        self.messages_in += figures.messages_in;
        self.http_bytes_out += figures.http_bytes_out;
        self.http_bytes_in += figures.http_bytes_in;
    }
}

/// Show what goes on right now, by domain
#[utoipa::path(get, path = "/live", tag = "statistics", params(LiveAsked),
    responses((status = 200, description = "Figures since the start", body = Live)))]
async fn live(
    State(edge): State<Shared>,
    Params(asked): Params<LiveAsked>,
) -> Result<Json<Live>, Problem> {
    let limit = page::limit(asked.limit)?;
    let search = asked.search.as_deref().unwrap_or_default().to_ascii_lowercase();
    let counter = Arc::clone(&edge);
    let all = heavy(&edge, move || counter.live()).await?;
    let mut total = LiveFigures::default();
    let mut names: Vec<&Arc<str>> = Vec::new();
    for (name, figures) in all.iter().filter(|(name, _)| name.contains(&search)) {
        total.add(figures);
        names.push(name);
    }
    names.sort_unstable();
    let behind = |name: &&&Arc<str>| asked.after.as_deref().is_none_or(|after| &****name > after);
    let part: Vec<_> = names.iter().filter(behind).take(limit + 1).copied().collect();
    let (part, next) = page::cut(part, limit, |name| name.to_string());
    let items = part.into_iter().map(|name| live_domain(name, &all[name])).collect();
    let at = time(Timestamp::now().as_second());
    Ok(Json(Live { at, uptime_s: edge.started.elapsed().as_secs(), total, items, next }))
}

fn live_domain(name: &Arc<str>, of: &Figures) -> LiveDomain {
    let mut figures = LiveFigures::default();
    figures.add(of);
    LiveDomain {
        domain: name.to_string(),
        figures,
        closed_by_cause: of.closed_by_cause().map(|(cause, n)| (cause.name(), n)).collect(),
        handshakes: of.handshakes.iter().map(|(code, n)| (code.to_string(), *n)).collect(),
        handshake_times: Quantiles::from(&of.handshake_times),
        client_rtt: Quantiles::from(&of.client_rtt),
        origin_rtt: Quantiles::from(&of.origin_rtt),
    }
}
