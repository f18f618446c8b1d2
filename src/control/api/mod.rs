//! Hawser's own REST API at `/api/v1`, described by `/api/openapi.json`.
//!
//! Not here: what the operations do, and the DCDN wire API (`dcdn`).
