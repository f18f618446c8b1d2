//! The console: the edge in a browser, at `/console` of the admin listener.
//!
//! Pages are made here and complete without scripts; small ES modules (`assets/`) add what moves.
//! Every figure comes from Hawser's own REST API and every change goes to it (`rest`), by pages and
//! scripts alike, so roles, rates and errors are the API's. One file per page. Not here: the API
//! (`api`), sessions (`sessions`).

mod assets;
mod audit;
mod connections;
mod domains;
mod health;
mod icons;
mod keys;
mod layout;
mod node;
mod overview;
mod parts;
mod rest;
mod sign_in;
mod statistics;
mod units;
mod usage;
mod viewer;

use std::sync::Arc;

use axum::Router;
use axum::extract::{FromRef, Request, State};
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;

use self::rest::Refusal;
use self::viewer::Viewer;
use super::bodies::{self, Bound, Words};
use super::edge::Edge;
use super::sessions::Sessions;
use crate::limits::CONSOLE_FORM_BYTES_MAX;

/// Where all of it is.
pub const ROOT: &str = "/console";

/// What pages are made of.
#[derive(Clone)]
struct Console {
    edge: Arc<Edge>,
    sessions: Arc<Sessions>,
    /// The REST API, asked within the process.
    api: Router,
}

impl FromRef<Console> for Arc<Edge> {
    fn from_ref(console: &Console) -> Arc<Edge> {
        Arc::clone(&console.edge)
    }
}

pub fn router(edge: Arc<Edge>, sessions: Arc<Sessions>, api: Router) -> Router {
    let console = Console { edge, sessions, api };
    let form = Bound { bytes: CONSOLE_FORM_BYTES_MAX, words: Words::Text };
    let pages = Router::new()
        .merge(overview::routes())
        .merge(domains::routes())
        .merge(statistics::routes())
        .merge(connections::routes())
        .merge(usage::routes())
        .merge(health::routes())
        .merge(keys::routes())
        .merge(audit::routes())
        .merge(layout::routes())
        .fallback(unknown)
        .layer(middleware::from_fn_with_state(console.clone(), dressed))
        .layer(middleware::from_fn_with_state(console.clone(), viewer::required))
        .merge(sign_in::routes())
        .merge(assets::routes())
        .layer(middleware::from_fn_with_state(form, bodies::bounded))
        .layer(middleware::from_fn(fenced))
        .with_state(console);
    Router::new()
        .route(ROOT, get(|| async { Redirect::permanent("/console/") }))
        .nest("/console/", pages)
}

async fn unknown() -> Refusal {
    Refusal::unknown("There is no such page.")
}

/// Gives a refusal the shape of a page.
async fn dressed(State(console): State<Console>, request: Request, next: Next) -> Response {
    let viewer = request.extensions().get::<Viewer>().cloned();
    let response = next.run(request).await;
    match (response.extensions().get::<Refusal>(), viewer) {
        (Some(refusal), Some(viewer)) => {
            let status = response.status();
            (status, layout::refused(&console, &viewer, refusal)).into_response()
        }
        _ => response,
    }
}

/// CSP 3, Fetch and HTML: a page loads what comes from here, runs no inline script or style, sends
/// forms here only, and is in nobody's frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
                      connect-src 'self'; form-action 'self'; base-uri 'none'; \
                      frame-ancestors 'none'; require-trusted-types-for 'script'; \
                      trusted-types 'none'";

async fn fenced(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let fence: [(HeaderName, &'static str); 5] = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::REFERRER_POLICY, "same-origin"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ];
    for (name, value) in fence {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}
