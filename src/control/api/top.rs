//! `/statistics/names` and `/statistics/top`: what can be asked for, and what is the largest. Not
//! here: series by time (`statistics`).

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::extract::{Bounded, Params};
use super::problem::Problem;
use super::statistics::{texts, window};
use super::table::{Format, Table};
use super::{Shared, page, time};
use crate::control::statistics::window::Window;
use crate::control::statistics::{Dimension, SLOT, Selection, Wanted};
use crate::limits::API_NAMES_MAX;

pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(show_names)).routes(routes!(show_top))
}

/// Names that occur in the statistics.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Names {
    pub domains: Vec<String>,
    pub regions: Vec<String>,
    pub isps: Vec<String>,
    /// There are more than are listed.
    pub truncated: bool,
}

/// List the names that statistics can be asked for
#[utoipa::path(get, path = "/statistics/names", tag = "statistics",
    responses((status = 200, description = "The names", body = Names)))]
async fn show_names(State(edge): State<Shared>) -> Result<Json<Names>, Problem> {
    let store = Arc::clone(&edge.statistics);
    let found = edge.database.off_the_runtime(move |_| store.names()).await?;
    let truncated = found.iter().any(|names| names.len() > API_NAMES_MAX);
    let texts = |names: Vec<Arc<str>>| {
        names.iter().take(API_NAMES_MAX).map(|name| name.to_string()).collect()
    };
    let [domains, regions, isps] = found.map(texts);
    Ok(Json(Names { domains, regions, isps, truncated }))
}

#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct TopAsked {
    /// What is compared.
    #[param(inline)]
    by: Option<By>,
    /// `2026-11-01T00:00:00Z`. With `end`, or neither for the last 24 hours.
    #[param(value_type = Option<String>, max_length = 20, example = "2026-11-01T00:00:00Z")]
    start: Option<Bounded<20>>,
    /// Not included.
    #[param(value_type = Option<String>, max_length = 20, example = "2026-11-02T00:00:00Z")]
    end: Option<Bounded<20>>,
    /// Names at most.
    #[param(minimum = 1, maximum = 500, default = 100)]
    limit: Option<usize>,
    /// Instead of the Accept header.
    #[param(inline)]
    format: Option<Format>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum By {
    #[default]
    Domain,
    Region,
    Isp,
}

impl From<By> for Dimension {
    fn from(by: By) -> Dimension {
        match by {
            By::Domain => Dimension::Domain,
            By::Region => Dimension::Region,
            By::Isp => Dimension::Isp,
        }
    }
}

/// Names by bytes sent to clients, the largest first.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Top {
    /// RFC 3339, UTC.
    pub start: String,
    /// Not included.
    pub end: String,
    /// Of all names.
    pub bytes_out: u64,
    pub items: Vec<TopItem>,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct TopItem {
    pub name: String,
    pub bytes_out: u64,
    pub bytes_in: u64,
    /// Part of the bytes sent by all, in percent.
    pub share_percent: f64,
    /// Largest five minutes, in bits per second.
    pub peak_bps_out: f64,
}

/// List the domains, regions or providers with the most traffic
#[utoipa::path(get, path = "/statistics/top", tag = "statistics", params(TopAsked),
    responses((status = 200, description = "The largest", content(
        (Top = "application/json"), (String = "text/csv")))))]
async fn show_top(
    State(edge): State<Shared>,
    headers: HeaderMap,
    Params(asked): Params<TopAsked>,
) -> Result<Response, Problem> {
    let limit = page::limit(asked.limit)?;
    let format = Format::of(asked.format, &headers);
    let Window { start, end, .. } =
        window(&edge, asked.start.as_deref(), asked.end.as_deref(), None)?;
    let (store, by) = (Arc::clone(&edge.statistics), asked.by.unwrap_or_default().into());
    let find = move |_: &_| store.totals(&Selection::default(), start, end, Wanted::Traffic, by);
    let mut found = edge.database.off_the_runtime(find).await?;
    let all: u64 = found.iter().map(|(_, slot)| slot.measures.bytes_out).sum();
    found.sort_by(|(a, x), (b, y)| {
        y.measures.bytes_out.cmp(&x.measures.bytes_out).then_with(|| a.cmp(b))
    });
    found.truncate(limit);
    let items = found.into_iter().map(|(name, slot)| TopItem {
        name: name.to_string(),
        bytes_out: slot.measures.bytes_out,
        bytes_in: slot.measures.bytes_in,
        share_percent: match all {
            0 => 0.0,
            all => slot.measures.bytes_out as f64 * 100.0 / all as f64,
        },
        peak_bps_out: slot.most_bytes_out as f64 * 8.0 / SLOT as f64,
    });
    let top = Top { start: time(start), end: time(end), bytes_out: all, items: items.collect() };
    Ok(match format {
        Format::Json => Json(top).into_response(),
        Format::Csv => table(&top.items).into_response(),
    })
}

fn table(items: &[TopItem]) -> Table {
    let columns = ["name", "bytes_out", "bytes_in", "share_percent", "peak_bps_out"];
    let mut table = Table::new(&texts(columns));
    for TopItem { name, bytes_out, bytes_in, share_percent, peak_bps_out } in items {
        table.row(&[
            name.clone(),
            bytes_out.to_string(),
            bytes_in.to_string(),
            share_percent.to_string(),
            peak_bps_out.to_string(),
        ]);
    }
    table
}
