//! The admin listener: /healthz, /readyz, /metrics. Only reads.
//!
//! Not here: commands, which go through the control socket.

use std::net::IpAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tracing::error;

use super::edge::{Edge, Phase};
use super::metrics::{self, Metrics};

#[derive(Clone)]
struct Shown {
    edge: Arc<Edge>,
    metrics: Arc<Metrics>,
}

/// What the admin listener answers.
pub fn router(edge: Arc<Edge>, metrics: Arc<Metrics>) -> Router {
    Router::new()
        .route("/", get(index))
        .route("/healthz", get(healthy))
        .route("/readyz", get(ready))
        .route("/metrics", get(page))
        .with_state(Shown { edge, metrics })
        .layer(middleware::from_fn(guard))
}

/// A page of somebody else's that a browser on this host shows may send requests here, by a name of
/// its own that it lets resolve to a loopback address (DNS rebinding). Such a request names that
/// host; ours name an address or `localhost`.
async fn guard(request: Request, next: Next) -> Response {
    let host = request.headers().get(header::HOST).map(HeaderValue::to_str);
    let mut response = match host {
        // HTTP/1.0 without a Host: no browser.
        None => next.run(request).await,
        Some(Ok(host)) if is_local_name(host) => next.run(request).await,
        Some(_) => {
            let text = "421: ask the admin listener by its address or as localhost\n";
            (StatusCode::MISDIRECTED_REQUEST, text).into_response()
        }
    };
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// An IP literal or `localhost`, with or without a port.
fn is_local_name(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok()
}

async fn index() -> &'static str {
    "hawser: /healthz /readyz /metrics\n"
}

/// Alive: this very answer.
async fn healthy() -> &'static str {
    "ok\n"
}

/// 200 while new connections are welcome.
async fn ready(State(shown): State<Shown>) -> (StatusCode, &'static str) {
    if shown.edge.is_ready() {
        return (StatusCode::OK, "ready\n");
    }
    let why = match shown.edge.phase() {
        Phase::Draining => "draining\n",
        Phase::Starting | Phase::Serving => "starting\n",
    };
    (StatusCode::SERVICE_UNAVAILABLE, why)
}

async fn page(State(shown): State<Shown>) -> Response {
    match shown.metrics.text() {
        Ok(text) => ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response(),
        Err(error) => {
            error!(%error, "metrics cannot be written");
            (StatusCode::INTERNAL_SERVER_ERROR, "metrics cannot be written\n").into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_and_localhost_are_answered() {
        let local = ["localhost", "LOCALHOST:9080", "127.0.0.1", "127.0.0.1:9080", "[::1]:9080"];
        for host in local.into_iter().chain(["192.0.2.1", "[2001:db8::1]"]) {
            assert!(is_local_name(host), "{host}");
        }
        for host in ["evil.test", "evil.test:9080", "localhost.evil.test", "", "[evil]", "::x"] {
            assert!(!is_local_name(host), "{host}");
        }
    }
}
