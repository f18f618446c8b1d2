//! Hawser's own REST API at `/api/v1`, described by `/api/openapi.json`.
//!
//! One file per resource, each with its routes, its types and their schemas. Not here: what the
//! operations do, and the DCDN wire API (`dcdn`).

mod access_keys;
mod audit;
mod auth;
mod certificates;
mod closings;
mod connections;
mod doctor;
mod domains;
mod events;
mod extract;
mod node;
mod openapi;
mod page;
mod plans;
pub mod problem;
mod schema;
mod statistics;
mod table;
mod top;
mod usage;
mod writes;

#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::{Arc, LazyLock};

use axum::Router;
use axum::http::header;
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use jiff::Timestamp;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use utoipa_axum::router::OpenApiRouter;

use self::auth::Gate;
use self::problem::{Kind, Problem};
use super::bodies::{self, Bound, Words};
use super::config::store::Store;
use super::edge::Edge;
use super::sessions::Sessions;
use crate::limits::{API_READ_WAIT, API_READS_MAX, REST_BODY_BYTES_MAX};

pub use self::auth::{Caller, bearer};

/// Where all of it is.
pub const ROOT: &str = "/api/v1";

/// What handlers work on.
type Shared = Arc<Edge>;

/// What the API answers, its description included.
pub fn router(edge: Arc<Edge>, sessions: Arc<Sessions>) -> Router {
    let (routes, _) = all().split_for_parts();
    let body = Bound { bytes: REST_BODY_BYTES_MAX, words: Words::Problem };
    let gate = Gate { edge: Arc::clone(&edge), sessions, rates: Arc::default() };
    let resources = routes
        .method_not_allowed_fallback(|| async {
            Problem::new(Kind::Method, "the path is known, this method of it is not")
        })
        .fallback(unknown)
        // Whoever has no key is not read from.
        .layer(middleware::from_fn_with_state(body, bodies::bounded))
        .layer(middleware::from_fn_with_state(gate, auth::check))
        .with_state(edge);
    Router::new().route("/api/openapi.json", get(description)).nest(ROOT, resources)
}

/// Every route with its description.
fn all() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .merge(domains::routes())
        .merge(certificates::routes())
        .merge(connections::routes())
        .merge(closings::routes())
        .merge(statistics::routes())
        .merge(top::routes())
        .merge(events::routes())
        .merge(plans::routes())
        .merge(usage::routes())
        .merge(audit::routes())
        .merge(access_keys::routes())
        .merge(node::routes())
        .merge(doctor::routes())
}

async fn unknown() -> Problem {
    Problem::unknown("there is no such path; /api/openapi.json describes those that there are")
}

async fn description() -> Response {
    static TEXT: LazyLock<String> = LazyLock::new(|| {
        serde_json::to_string_pretty(&openapi::document(&all().into_openapi())).unwrap_or_default()
    });
    ([(header::CONTENT_TYPE, "application/json")], TEXT.as_str()).into_response()
}

/// The domain files of the edge.
fn store(edge: &Edge) -> Store {
    Store::of(edge.database.path().parent().unwrap_or(Path::new("/")))
}

/// Reads that take a while: few at once, however many ask, and also when they have given up.
async fn heavy<T: Send + 'static>(
    edge: &Edge,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Problem> {
    static PLACES: Semaphore = Semaphore::const_new(API_READS_MAX);
    let Ok(Ok(place)) = timeout(API_READ_WAIT, PLACES.acquire()).await else {
        let busy = Problem::new(Kind::Unavailable, "too many others read at the same time");
        return Err(Problem { retry_after_s: Some(1), ..busy });
    };
    let work = move |_: &_| {
        let value = work();
        drop(place);
        value
    };
    Ok(edge.database.off_the_runtime(work).await)
}

/// RFC 3339, UTC.
fn time(unix: i64) -> String {
    Timestamp::from_second(unix).map_or_else(|_| unix.to_string(), |time| time.to_string())
}
