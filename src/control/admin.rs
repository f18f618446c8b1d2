//! The admin listener: both APIs, the console, /healthz, /readyz and /metrics, and what holds for
//! all of them: who may ask by which name, how much, and for how long.
//!
//! Not here: what they answer (`dcdn`, `api`, `console`), connections and TLS (`server`), commands
//! of this host's own command line (`control_socket`).

use std::net::IpAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tracing::error;

use super::api::problem::Kind;
use super::bodies::{self, Bound, Words};
use super::edge::{Edge, Phase};
use super::keys::KeyError;
use super::metrics::{self, Metrics};
use super::server::Speech;
use super::sessions::Sessions;
use super::sign_ins::{self, Api, Denied};
use super::{api, console, dcdn};
use crate::limits::DCDN_FORM_BYTES_MAX;

#[derive(Clone)]
struct Shown {
    edge: Arc<Edge>,
    metrics: Arc<Metrics>,
}

/// What the admin listener answers.
pub fn router(edge: Arc<Edge>, metrics: Arc<Metrics>) -> Router {
    let form = Bound { bytes: DCDN_FORM_BYTES_MAX, words: Words::Text };
    let dcdn = dcdn::router(Arc::clone(&edge))
        .layer(middleware::from_fn_with_state(form, bodies::bounded));
    let sessions = Arc::new(Sessions::default());
    let api = api::router(Arc::clone(&edge), Arc::clone(&sessions));
    let console = console::router(Arc::clone(&edge), sessions, api.clone());
    Router::new()
        .route("/healthz", get(healthy))
        .route("/readyz", get(ready))
        .route("/metrics", get(page))
        .with_state(Shown { edge: Arc::clone(&edge), metrics })
        .merge(dcdn)
        .merge(api)
        .merge(console)
        .layer(middleware::from_fn_with_state(edge, guard))
}

/// How a connection that comes now is spoken to. A listener that others than this host can reach
/// speaks TLS or not at all, also when a reload took its certificate away.
pub fn speech(edge: &Edge) -> Speech {
    match edge.publisher.access().tls.clone() {
        Some(config) => Speech::Tls(config),
        None if is_local(edge) => Speech::Plain,
        None => Speech::Refused,
    }
}

/// Whether only this host can reach the admin listener.
fn is_local(edge: &Edge) -> bool {
    edge.admin.is_none_or(|addr| addr.ip().to_canonical().is_loopback())
}

/// Turns away what a browser sends for a page of somebody else's, before anybody reads it.
async fn guard(State(edge): State<Arc<Edge>>, request: Request, next: Next) -> Response {
    let words = words(request.uri());
    let mut response = match refused(&edge, &request) {
        Some((kind, text)) => words.refusal(kind, text),
        None => next.run(request).await,
    };
    let headers = response.headers_mut();
    // What an answer says itself stands: files of the console may be kept.
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// In whose words a refusal is said.
fn words(uri: &Uri) -> Words {
    if uri.path().starts_with("/api/") { Words::Problem } else { Words::Text }
}

fn refused(edge: &Edge, request: &Request) -> Option<(Kind, &'static str)> {
    let headers = request.headers();
    let host = match headers.get(header::HOST).map(HeaderValue::to_str) {
        // HTTP/1.0 without a Host: no browser.
        None => None,
        Some(Ok(host)) if is_own_name(host, &edge.publisher.access().admin.hosts) => Some(host),
        Some(_) => {
            let text = "ask the admin listener by its address, as localhost, or by a name of \
                        admin.hosts in hawser.toml";
            return Some((Kind::Misdirected, text));
        }
    };
    if may_change(request.method(), request.uri()) && is_cross_site(headers, host) {
        let text = "a page of another site sent this; nothing was done";
        return Some((Kind::Forbidden, text));
    }
    None
}

/// A page of somebody else's that a browser on this host shows may send requests here, by a name of
/// its own that it lets resolve to a loopback address (DNS rebinding). Such a request names that
/// host; ours name an address, `localhost`, or what the operator allows.
fn is_own_name(host: &str, allowed: &[Box<str>]) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<IpAddr>().is_ok()
        || allowed.iter().any(|own| own.eq_ignore_ascii_case(name))
}

/// Operations of the DCDN API are GET requests too.
fn may_change(method: &Method, uri: &Uri) -> bool {
    !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
        || (uri.path() == "/" && uri.query().is_some())
}

/// Fetch 3.2 (Origin) and Fetch Metadata 2.3 (Sec-Fetch-Site): only browsers send them.
fn is_cross_site(headers: &HeaderMap, host: Option<&str>) -> bool {
    let site = headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
    if site.is_some_and(|site| !matches!(site, b"same-origin" | b"none")) {
        return true;
    }
    let Some(origin) = headers.get(header::ORIGIN) else { return false };
    let authority = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
    !authority.is_some_and(|(_, authority)| host.is_some_and(|h| h.eq_ignore_ascii_case(authority)))
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

/// To this host's own scrapers without a key, to all others with one.
async fn page(State(shown): State<Shown>, request: Request) -> Response {
    if !is_local(&shown.edge) {
        let (headers, address) = (request.headers(), sign_ins::address(request.extensions()));
        match is_known(&shown.edge, headers, address).await {
            Ok(true) => {}
            Ok(false) => {
                let challenge = [(header::WWW_AUTHENTICATE, "Bearer realm=\"hawser\"")];
                let text =
                    "401: /metrics needs an access key here: Authorization: Bearer ID.SECRET\n";
                return (StatusCode::UNAUTHORIZED, challenge, text).into_response();
            }
            Err(error) => {
                error!(%error, "access keys cannot be read");
                let text = "503: access keys cannot be read\n";
                return (StatusCode::SERVICE_UNAVAILABLE, text).into_response();
            }
        }
    }
    match shown.metrics.text() {
        Ok(text) => ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response(),
        Err(error) => {
            error!(%error, "metrics cannot be written");
            (StatusCode::INTERNAL_SERVER_ERROR, "metrics cannot be written\n").into_response()
        }
    }
}

/// Whether a key of any role came along.
async fn is_known(
    edge: &Arc<Edge>,
    headers: &HeaderMap,
    address: Option<IpAddr>,
) -> Result<bool, KeyError> {
    let known = match api::bearer(headers) {
        Some(token) => {
            let (asked, token) = (Arc::clone(edge), token.to_owned());
            edge.database.off_the_runtime(move |_| asked.keys.bearer(&token)).await?
        }
        None => Err(Denied::Missing),
    };
    if let Err(denied) = &known {
        edge.sign_ins.failed(Api::Metrics, denied, address);
    }
    Ok(known.is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_localhost_and_allowed_names_are_answered() {
        let allowed = ["edge.example.com".into()];
        let local = ["localhost", "LOCALHOST:9080", "127.0.0.1", "127.0.0.1:9080", "[::1]:9080"];
        let own = ["192.0.2.1", "[2001:db8::1]", "edge.example.com:9080", "Edge.Example.com"];
        for host in local.into_iter().chain(own) {
            assert!(is_own_name(host, &allowed), "{host}");
        }
        let foreign = ["evil.test", "evil.test:9080", "localhost.evil.test", "", "[evil]", "::x"];
        for host in foreign.into_iter().chain(["x.edge.example.com", "example.com"]) {
            assert!(!is_own_name(host, &allowed), "{host}");
        }
    }

    #[test]
    fn pages_of_other_sites_change_nothing() {
        let host = Some("127.0.0.1:9080");
        let cases = [
            ("origin", "http://127.0.0.1:9080", false),
            ("origin", "https://127.0.0.1:9080", false),
            ("origin", "http://127.0.0.1", true),
            ("origin", "http://evil.test", true),
            ("origin", "null", true),
            ("origin", "http://127.0.0.1:9080.evil.test", true),
            ("sec-fetch-site", "same-origin", false),
            ("sec-fetch-site", "none", false),
            ("sec-fetch-site", "same-site", true),
            ("sec-fetch-site", "cross-site", true),
            ("accept", "*/*", false),
        ];
        for (name, value, foreign) in cases {
            let headers = HeaderMap::from_iter([(
                header::HeaderName::from_static(name),
                HeaderValue::from_static(value),
            )]);
            assert_eq!(is_cross_site(&headers, host), foreign, "{name}: {value}");
        }
    }

    #[test]
    fn what_may_change_something() {
        for (method, target, may) in [
            (Method::GET, "/", false),
            (Method::GET, "/?Action=DeleteDcdnDomain", true),
            (Method::GET, "/api/v1/domains?search=a", false),
            (Method::HEAD, "/metrics", false),
            (Method::POST, "/", true),
            (Method::DELETE, "/api/v1/domains/a.test", true),
        ] {
            assert_eq!(may_change(&method, &target.parse().unwrap()), may, "{method} {target}");
        }
    }
}
