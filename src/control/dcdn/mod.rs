//! The DCDN wire API (version 2018-01-15) at `/` of the admin listener, so that the official SDKs
//! drive Hawser with nothing changed but the endpoint.
//!
//! Not here: what the operations do (`changes`, `statistics`, `billing`, `certs`).

mod answer;
mod attributes;
mod error;
mod gateway;
mod operations;
mod replay;
mod request;
mod signature;
mod throttle;

#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, Response, Uri, header};
use axum::response::{IntoResponse, Redirect};
use axum::routing::any;
use jiff::Timestamp;
use serde_json::Value;
use tracing::debug;
use uuid::Uuid;

use answer::{Envelope, Format};
use attributes::Book;
pub use attributes::SCHEMA;
use error::Failure;
use gateway::{Caller, Received};
use operations::{Answer, Call, Operation};
use replay::Nonces;
use request::Parameters;
use throttle::Throttle;

use super::changes::{Author, Via};
use super::edge::Edge;
use super::keys::Role;
use super::sign_ins;
use crate::limits::DCDN_FORM_BYTES_MAX;

/// The whole API of one edge.
#[derive(Debug)]
struct Dcdn {
    edge: Arc<Edge>,
    nonces: Nonces,
    throttle: Throttle,
    book: Book,
}

pub fn router(edge: Arc<Edge>) -> Router {
    let dcdn = Dcdn {
        edge,
        nonces: Nonces::default(),
        throttle: Throttle::default(),
        book: Book::default(),
    };
    Router::new().route("/", any(respond)).with_state(Arc::new(dcdn))
}

async fn respond(State(dcdn): State<Arc<Dcdn>>, request: Request) -> Response<Body> {
    let (parts, body) = request.into_parts();
    if is_a_look(&parts.method, &parts.uri, &parts.headers) {
        if prefers_html(text_of(&parts.headers, header::ACCEPT.as_str())) {
            return Redirect::to("/console/").into_response();
        }
        let text = "hawser: /healthz /readyz /metrics /api/v1 /api/openapi.json, and the DCDN API \
                    here (?Action=)\n";
        return text.into_response();
    }
    let envelope = Envelope {
        format: format(&parts.uri, &parts.headers),
        request_id: Uuid::new_v4().to_string().to_uppercase(),
        host_id: text_of(&parts.headers, header::HOST.as_str()).to_owned(),
    };
    let address = sign_ins::address(&parts.extensions);
    let answered = match to_bytes(body, DCDN_FORM_BYTES_MAX).await {
        Ok(body) => dcdn.call(&parts.method, &parts.uri, &parts.headers, body, address).await,
        Err(_) => Err((envelope.format, error::BODY.into())),
    };
    match answered {
        Ok((format, action, body)) => Envelope { format, ..envelope }.success(action, body),
        Err((format, failure)) => {
            // Never the request: its query may hold keys.
            debug!(code = %failure.code, id = envelope.request_id, "a DCDN call was refused");
            Envelope { format, ..envelope }.failure(&failure)
        }
    }
}

impl Dcdn {
    async fn call(
        self: &Arc<Dcdn>,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
        body: Bytes,
        address: Option<IpAddr>,
    ) -> Result<(Format, &'static str, Value), (Format, Failure)> {
        let fallback = format(uri, headers);
        let received = Received::new(method, uri, headers, &body);
        let received = received.map_err(|failure| (fallback, failure))?;
        let format = named_format(received.parameters.text("Format")).unwrap_or(fallback);
        let now = Timestamp::now();
        let admitted = gateway::admit(self, &received, address, now.as_second()).await;
        let Caller { key, operation } = admitted.map_err(|failure| (format, failure))?;
        let author = Author { name: key.id, via: Via::Dcdn, address };
        let answer = self.perform(operation, received.parameters, author, now).await;
        let answer = answer.map_err(|failure| (format, failure))?;
        Ok((format, operation.name, answer))
    }

    /// Whoever changes something does so one after another, and to the end: also when the caller
    /// does not wait for the answer.
    async fn perform(
        self: &Arc<Dcdn>,
        operation: &'static Operation,
        parameters: Parameters,
        author: Author,
        now: Timestamp,
    ) -> Answer {
        let dcdn = Arc::clone(self);
        let changes = operation.role > Role::Read;
        let work = async move {
            let turn = if changes { Some(dcdn.book.turn().await) } else { None };
            let (parameters, author, action) = (&parameters, &author, operation.name);
            let call = Call { dcdn: &dcdn, parameters, author, action, now, turn };
            (operation.run)(&call).await
        };
        if !changes {
            return work.await;
        }
        match tokio::spawn(work).await {
            Ok(answer) => answer,
            Err(panic) => Err(Failure::internal(&panic)),
        }
    }
}

/// A person who looks what is here.
fn is_a_look(method: &Method, uri: &Uri, headers: &HeaderMap) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
        && uri.query().is_none_or(str::is_empty)
        && !headers.contains_key("x-acs-action")
}

/// RFC 9110 12.5.1: a browser asks for HTML before all else; a command line takes anything.
fn prefers_html(accept: &str) -> bool {
    let weight = |kind: &str| {
        let mut ranges = accept.split(',').map(|range| range.split(';').map(str::trim));
        let mut parameters = ranges
            .find_map(|mut parts| parts.next()?.eq_ignore_ascii_case(kind).then_some(parts))?;
        let weight = parameters.find_map(|parameter| parameter.strip_prefix("q="));
        Some(weight.map_or(1.0, |weight| weight.parse::<f32>().unwrap_or(0.0)))
    };
    let html = weight("text/html").unwrap_or(0.0);
    html > 0.0 && html >= weight("text/plain").unwrap_or(0.0)
}

/// What is answered when `Format` is not given: XML in version 1, JSON in version 3 unless only XML
/// is accepted.
fn format(uri: &Uri, headers: &HeaderMap) -> Format {
    let query = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
    let named = query.into_iter().find(|(name, _)| name == "Format");
    if let Some(format) = named_format(named.as_ref().map(|(_, value)| &**value)) {
        return format;
    }
    let is_v3 = text_of(headers, header::AUTHORIZATION.as_str()).starts_with("ACS3-");
    let accept = text_of(headers, header::ACCEPT.as_str());
    let wants_xml = accept.contains("xml") && !accept.contains("json");
    if is_v3 && !wants_xml { Format::Json } else { Format::Xml }
}

fn named_format(name: Option<&str>) -> Option<Format> {
    match name?.to_ascii_lowercase().as_str() {
        "json" => Some(Format::Json),
        "xml" => Some(Format::Xml),
        _ => None,
    }
}

fn text_of<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}
