//! `/doctor`: what of the host would keep the edge from its size. Not here: the checks
//! (`control::doctor`).

use std::path::PathBuf;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use jiff::Timestamp;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::extract::Params;
use super::problem::{Kind, Problem};
use super::{Shared, heavy};
use crate::control::doctor::{self, Facts, Host, Process, Report};
use crate::net::probe;

/// More than any host carries.
const CONNECTIONS_MAX: u64 = 100_000_000;

pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(examine))
}

#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Asked {
    /// Judge the host for so many connections, instead of as many as the domains allow.
    #[param(minimum = 1, maximum = 100_000_000)]
    connections: Option<u64>,
}

/// Check the host
///
/// Kernel, limits, control groups and sysctls as the edge's own process sees them, its state
/// directory and its certificates. Each finding has the line that fixes it.
#[utoipa::path(get, path = "/doctor", tag = "node", params(Asked),
    responses((status = 200, description = "Every finding", body = Report)))]
async fn examine(
    State(edge): State<Shared>,
    Params(asked): Params<Asked>,
) -> Result<Json<Report>, Problem> {
    if asked.connections.is_some_and(|n| !(1..=CONNECTIONS_MAX).contains(&n)) {
        let detail = format!("connections: accepted is a number from 1 to {CONNECTIONS_MAX}");
        return Err(Problem::new(Kind::Malformed, detail));
    }
    let reader = Arc::clone(&edge);
    let examine = move || {
        let (loaded, served) = (reader.publisher.configured(), reader.publisher.served());
        let now = Timestamp::now().as_second();
        let facts = Facts::of(&loaded, &served, reader.cores.len(), asked.connections, now);
        let host = Host {
            root: PathBuf::from("/"),
            process: Process::Edge(std::process::id()),
            io_uring: probe::probe(),
            free: probe::free_space,
        };
        doctor::examine(&host, &facts)
    };
    Ok(Json(heavy(&edge, examine).await?))
}
