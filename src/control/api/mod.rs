//! Hawser's own REST API at `/api/v1`, described by `/api/openapi.json`.
//!
//! Not here: what the operations do, and the DCDN wire API (`dcdn`).

use std::sync::Arc;

use axum::Router;
use axum::http::{HeaderMap, header};

use super::edge::Edge;

pub fn router(_edge: Arc<Edge>) -> Router {
    Router::new()
}

/// RFC 6750 2.1: the token of `Authorization: Bearer`.
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}
