//! `/live/node` and `/live/events`: the node as a whole, once or every second. Not here: looking at
//! the counters (`live::sampler`).

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::State;
use axum::http::request::Parts;
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use futures_util::stream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Shared;
use super::auth::{self, Caller, Gate};
use super::problem::{Kind, Problem};
use crate::control::edge::Phase;
use crate::control::live::sampler::{Follower, Sample};
use crate::limits::{LIVE_STREAM_LIFE, LIVE_STREAM_RETRY, LIVE_STREAMS_MAX};

/// Where the stream is, below the root of the API.
pub const PATH: &str = "/live/events";

pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(show_node)).routes(routes!(follow_node))
}

/// Show what the node does right now, with rates
///
/// Rates are averages of the last second or, when nobody looked meanwhile, of the last ten.
#[utoipa::path(get, path = "/live/node", tag = "statistics",
    responses((status = 200, description = "The node now", body = Sample)))]
async fn show_node(State(edge): State<Shared>) -> Json<Arc<Sample>> {
    Json(edge.sampler.latest().await)
}

/// Follow what the node does, once a second
///
/// Server-sent events: `data` is what `/live/node` answers, `id` its number. A stream ends after a
/// while, when its key is no longer in force, and when the node begins to drain; the client comes
/// again, and misses nothing.
#[utoipa::path(get, path = "/live/events", tag = "statistics",
    responses((status = 200, description = "One event a second", content(
        (String = "text/event-stream")))))]
async fn follow_node(
    State(edge): State<Shared>,
    Extension(gate): Extension<Gate>,
    caller: Caller,
    request: Parts,
) -> Result<Response, Problem> {
    let Some(follower) = edge.sampler.follow() else {
        let busy = format!("{LIVE_STREAMS_MAX} others follow the live figures already");
        return Err(Problem { retry_after_s: Some(5), ..Problem::new(Kind::Unavailable, busy) });
    };
    let stream = Stream {
        follower,
        begun: edge.phase(),
        phase: edge.phase.subscribe(),
        until: Instant::now() + LIVE_STREAM_LIFE,
        key: caller.key.id,
        gate,
        request,
    };
    let events = stream::unfold(stream, |mut stream| async move {
        let event = stream.next().await?;
        Some((Ok::<Event, Infallible>(event), stream))
    });
    Ok(Sse::new(events).into_response())
}

/// One who follows.
struct Stream {
    follower: Follower,
    /// As it was when the stream began.
    begun: Phase,
    phase: watch::Receiver<Phase>,
    until: Instant,
    key: String,
    gate: Gate,
    request: Parts,
}

impl Stream {
    async fn next(&mut self) -> Option<Event> {
        let begun = self.begun;
        let sample = tokio::select! {
            sample = self.follower.next() => sample?,
            () = sleep_until(self.until) => return None,
            // Whoever comes again finds the next process, if there is one.
            _ = self.phase.wait_for(|phase| *phase != begun) => return None,
        };
        auth::still_in_force(&self.gate, &self.request).await.filter(|key| key.id == self.key)?;
        let event = Event::default().id(sample.number.to_string()).retry(LIVE_STREAM_RETRY);
        event.json_data(&*sample).ok()
    }
}
