//! `/statistics/names`, `/statistics/top` and `/statistics/places`: what can be asked for, what is
//! the largest, and where it went. Not here: series by time (`statistics`).

use std::collections::BTreeMap;
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
use super::statistics::{range, selection, texts};
use super::table::{Format, Table};
use super::{Shared, heavy, page, time};
use crate::control::geo::names::{ISPS, REGIONS};
use crate::control::statistics::{
    Dimension, SLOT, Selection, Slot, StatisticsError, Store, Wanted,
};
use crate::limits::{API_NAMES_MAX, API_PROVIDERS_MAX, API_TOTALS_CELLS_MAX};

pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(show_names))
        .routes(routes!(show_top))
        .routes(routes!(show_places))
}

/// Names that occur in the statistics.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Names {
    pub domains: Vec<String>,
    pub regions: Vec<String>,
    pub isps: Vec<String>,
    /// There are more than are listed.
    pub truncated: bool,
    /// Chinese names of those regions and providers that have one.
    #[schema(example = json!({"beijing": "北京市", "telecom": "电信"}))]
    pub chinese: BTreeMap<String, &'static str>,
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
    let [domains, regions, isps]: [Vec<String>; 3] = found.map(texts);
    let known = |known: &'static [(&str, &'static str)], name: &String| {
        let found = known.iter().find(|(english, _)| english == name);
        found.map(|(_, chinese)| (name.clone(), *chinese))
    };
    let chinese = regions.iter().filter_map(|name| known(REGIONS, name));
    let chinese = chinese.chain(isps.iter().filter_map(|name| known(ISPS, name))).collect();
    Ok(Json(Names { domains, regions, isps, truncated, chinese }))
}

#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct TopAsked {
    /// What is compared.
    #[param(inline)]
    by: Option<By>,
    /// Domains, with commas between them; without it, all.
    #[param(example = "live.example.com")]
    domain: Option<String>,
    /// Regions of clients, with commas between them; without it, all.
    #[param(example = "beijing,us")]
    region: Option<String>,
    /// Providers of clients, with commas between them; without it, all.
    #[param(example = "telecom")]
    isp: Option<String>,
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

impl TopItem {
    fn of(name: &str, slot: &Slot, all: u64) -> TopItem {
        TopItem {
            name: name.to_owned(),
            bytes_out: slot.measures.bytes_out,
            bytes_in: slot.measures.bytes_in,
            share_percent: share(slot.measures.bytes_out, all),
            peak_bps_out: slot.most_bytes_out as f64 * 8.0 / SLOT as f64,
        }
    }
}

fn share(part: u64, all: u64) -> f64 {
    if all == 0 { 0.0 } else { part as f64 * 100.0 / all as f64 }
}

/// Names by bytes sent, the largest first.
fn largest(
    store: &dyn Store,
    selection: &Selection,
    (start, end): (i64, i64),
    by: Dimension,
) -> Result<Vec<(Arc<str>, Slot)>, StatisticsError> {
    bounded(store, selection, by)?;
    let mut found = store.totals(selection, start, end, Wanted::Traffic, by)?;
    found.sort_by(|(a, x), (b, y)| {
        y.measures.bytes_out.cmp(&x.measures.bytes_out).then_with(|| a.cmp(b))
    });
    Ok(found)
}

/// A filter multiplies the cells that every name is the sum of.
fn bounded(store: &dyn Store, selection: &Selection, by: Dimension) -> Result<(), StatisticsError> {
    let [domains, regions, isps] = store.names()?;
    let names = |of: Dimension, known: &[Arc<str>]| match selection.of(of).len() {
        0 if of == by => known.len(),
        listed => listed.max(1),
    };
    let (domains, regions, isps) = (
        names(Dimension::Domain, &domains),
        names(Dimension::Region, &regions),
        names(Dimension::Isp, &isps),
    );
    let asked = domains.saturating_mul(regions).saturating_mul(isps);
    let filtered = *selection != Selection::default();
    match filtered && asked > API_TOTALS_CELLS_MAX {
        true => Err(StatisticsError::TooMany { asked, most: API_TOTALS_CELLS_MAX }),
        false => Ok(()),
    }
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
    let (start, end) = range(&edge, asked.start.as_deref(), asked.end.as_deref())?;
    let (store, by) = (Arc::clone(&edge.statistics), asked.by.unwrap_or_default().into());
    let selection = selection([&asked.domain, &asked.region, &asked.isp])?;
    let find = move || largest(&*store, &selection, (start, end), by);
    let mut found = heavy(&edge, find).await??;
    let all: u64 = found.iter().map(|(_, slot)| slot.measures.bytes_out).sum();
    found.truncate(limit);
    let items = found.iter().map(|(name, slot)| TopItem::of(name, slot, all)).collect();
    let top = Top { start: time(start), end: time(end), bytes_out: all, items };
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

#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PlacesAsked {
    /// Domains, with commas between them; without it, all.
    #[param(example = "live.example.com")]
    domain: Option<String>,
    /// Regions of clients, with commas between them; without it, all.
    #[param(example = "beijing,us")]
    region: Option<String>,
    /// Providers of clients, with commas between them; without it, all.
    #[param(example = "telecom")]
    isp: Option<String>,
    /// `2026-11-01T00:00:00Z`. With `end`, or neither for the last 24 hours.
    #[param(value_type = Option<String>, max_length = 20, example = "2026-11-01T00:00:00Z")]
    start: Option<Bounded<20>>,
    /// Not included.
    #[param(value_type = Option<String>, max_length = 20, example = "2026-11-02T00:00:00Z")]
    end: Option<Bounded<20>>,
    /// Regions at most, fewer when many domains are named; of providers the 20 largest.
    #[param(minimum = 1, maximum = 500, default = 100)]
    limit: Option<usize>,
    /// Instead of the Accept header.
    #[param(inline)]
    format: Option<Format>,
}

/// Where traffic went: by region, by provider, and by both.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Places {
    /// RFC 3339, UTC.
    pub start: String,
    /// Not included.
    pub end: String,
    /// Of all places that match.
    pub bytes_out: u64,
    /// Regions by bytes sent to their clients, the largest first.
    pub regions: Vec<TopItem>,
    /// Providers, the same.
    pub isps: Vec<TopItem>,
    /// Those of these regions and providers between which anything moved, in their order.
    pub items: Vec<Place>,
    /// There are more regions or providers than are listed.
    pub truncated: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Place {
    pub region: String,
    pub isp: String,
    pub bytes_out: u64,
    pub bytes_in: u64,
    /// Part of the bytes sent to all places that match, in percent.
    pub share_percent: f64,
}

/// Show traffic by region and provider
#[utoipa::path(get, path = "/statistics/places", tag = "statistics", params(PlacesAsked),
    responses((status = 200, description = "The places", content(
        (Places = "application/json"), (String = "text/csv")))))]
async fn show_places(
    State(edge): State<Shared>,
    headers: HeaderMap,
    Params(asked): Params<PlacesAsked>,
) -> Result<Response, Problem> {
    let limit = page::limit(asked.limit)?;
    let format = Format::of(asked.format, &headers);
    let (start, end) = range(&edge, asked.start.as_deref(), asked.end.as_deref())?;
    let selection = selection([&asked.domain, &asked.region, &asked.isp])?;
    let store = Arc::clone(&edge.statistics);
    let find = move || places(&*store, &selection, (start, end), limit);
    let places = heavy(&edge, find).await??;
    Ok(match format {
        Format::Json => Json(places).into_response(),
        Format::Csv => places_table(&places.items).into_response(),
    })
}

/// The largest regions and providers first, so that only pairs of them are looked up.
fn places(
    store: &dyn Store,
    selection: &Selection,
    (start, end): (i64, i64),
    limit: usize,
) -> Result<Places, StatisticsError> {
    let mut regions = largest(store, selection, (start, end), Dimension::Region)?;
    let mut isps = largest(store, selection, (start, end), Dimension::Isp)?;
    let moved = |(_, slot): &(Arc<str>, Slot)| slot.measures.bytes_out + slot.measures.bytes_in > 0;
    regions.retain(moved);
    isps.retain(moved);
    let all = regions.iter().map(|(_, slot)| slot.measures.bytes_out).sum();
    let most_isps = API_PROVIDERS_MAX.min(isps.len());
    let fitting = API_TOTALS_CELLS_MAX / (selection.domains.len() * most_isps).max(1);
    let limit = limit.min(fitting);
    let truncated = regions.len() > limit || isps.len() > most_isps;
    regions.truncate(limit);
    isps.truncate(most_isps);
    let order: Vec<_> = isps.iter().map(|(name, _)| Arc::clone(name)).collect();
    let mut items = Vec::new();
    for (region, _) in regions.iter().filter(|_| !order.is_empty()) {
        let pairs = selection
            .with(Dimension::Region, vec![Arc::clone(region)])
            .with(Dimension::Isp, order.clone());
        let mut found = store.totals(&pairs, start, end, Wanted::Traffic, Dimension::Isp)?;
        found.retain(moved);
        found.sort_by_key(|(name, _)| order.iter().position(|known| known == name));
        items.extend(found.iter().map(|(isp, slot)| Place {
            region: region.to_string(),
            isp: isp.to_string(),
            bytes_out: slot.measures.bytes_out,
            bytes_in: slot.measures.bytes_in,
            share_percent: share(slot.measures.bytes_out, all),
        }));
    }
    let listed = |found: Vec<(Arc<str>, Slot)>| {
        found.iter().map(|(name, slot)| TopItem::of(name, slot, all)).collect()
    };
    Ok(Places {
        start: time(start),
        end: time(end),
        bytes_out: all,
        regions: listed(regions),
        isps: listed(isps),
        items,
        truncated,
    })
}

fn places_table(items: &[Place]) -> Table {
    let columns = ["region", "isp", "bytes_out", "bytes_in", "share_percent"];
    let mut table = Table::new(&texts(columns));
    for Place { region, isp, bytes_out, bytes_in, share_percent } in items {
        table.row(&[
            region.clone(),
            isp.clone(),
            bytes_out.to_string(),
            bytes_in.to_string(),
            share_percent.to_string(),
        ]);
    }
    table
}
