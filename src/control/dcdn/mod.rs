//! The DCDN wire API (version 2018-01-15) at `/` of the admin listener, so that the official SDKs
//! drive Hawser with nothing changed but the endpoint.
//!
//! Not here: what the operations do (`changes`, `statistics`, `billing`, `certs`).

use std::sync::Arc;

use axum::Router;
use axum::routing::get;

use super::database::Schema;
use super::edge::Edge;

pub const SCHEMA: Schema = Schema { part: "dcdn", steps: &[] };

pub fn router(edge: Arc<Edge>) -> Router {
    Router::new().route("/", get(index)).with_state(edge)
}

async fn index() -> &'static str {
    "hawser: /healthz /readyz /metrics\n"
}
