//! The DCDN wire API (version 2018-01-15) at `/` of the admin listener, so that the official SDKs
//! drive Hawser with nothing changed but the endpoint.
//!
//! Not here: what the operations do (`changes`, `statistics`, `billing`, `certs`).

use super::database::Schema;

pub const SCHEMA: Schema = Schema { part: "dcdn", steps: &[] };
