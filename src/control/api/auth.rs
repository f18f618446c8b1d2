//! Who asks: bearer keys and sessions of the console, what their roles may do, and how often. Not
//! here: keys and sessions themselves.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use governor::clock::{Clock, DefaultClock};
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};

use super::events;
use super::problem::{Kind, Problem};
use crate::control::changes::{Author, Via};
use crate::control::edge::Edge;
use crate::control::keys::{Key, Role};
use crate::control::sessions::{self, Sessions};
use crate::control::sign_ins::{self, Api, Denied};

/// Whoever sent a request, known by its key.
#[derive(Debug, Clone)]
pub struct Caller {
    pub key: Key,
    pub via: Via,
    pub address: Option<IpAddr>,
}

impl Caller {
    pub fn author(&self) -> Author {
        Author { name: self.key.id.clone(), via: self.via, address: self.address }
    }
}

/// What the check of requests needs.
#[derive(Clone)]
pub struct Gate {
    pub edge: Arc<Edge>,
    pub sessions: Arc<Sessions>,
    pub rates: Arc<Rates>,
}

/// Lets a request through with its [`Caller`], or says why not.
pub async fn check(State(gate): State<Gate>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    match admitted(&gate, &parts).await {
        Ok(caller) => {
            parts.extensions.insert(caller);
            parts.extensions.insert(gate.clone());
            next.run(Request::from_parts(parts, body)).await
        }
        Err(problem) => problem.into_response(),
    }
}

async fn admitted(gate: &Gate, request: &Parts) -> Result<Caller, Problem> {
    let caller = match request.extensions.get::<Caller>() {
        // From within: a page of the console that is being made. No request can bring one along.
        Some(caller) => caller.clone(),
        None => known(gate, request).await?,
    };
    let needed = needed(&request.method, request.uri.path());
    if caller.key.role < needed {
        let (has, needed) = (caller.key.role.name(), needed.name());
        let detail = format!("key {} has the role {has}; this needs {needed}", caller.key.id);
        return Err(Problem::new(Kind::Forbidden, detail));
    }
    gate.rates.take(&caller.key.id, gate.edge.publisher.access().admin.rates.rest)?;
    Ok(caller)
}

async fn known(gate: &Gate, request: &Parts) -> Result<Caller, Problem> {
    let address = sign_ins::address(&request.extensions);
    let failed = |api, denied: &Denied| gate.edge.sign_ins.failed(api, denied, address);
    if let Some(token) = bearer(&request.headers) {
        let (keys, token) = (gate.edge.keys.clone(), token.to_owned());
        let found = gate.edge.database.off_the_runtime(move |_| keys.bearer(&token)).await?;
        let key = found.map_err(|denied| {
            failed(Api::Rest, &denied);
            let detail = "no key in force has this id and secret; `hawser key list` shows those \
                          that there are";
            Problem::new(Kind::Unauthenticated, detail)
        })?;
        return Ok(Caller { key, via: Via::Api, address });
    }
    let Some(key) = signed_in(gate, request).await? else {
        match sessions::cookie(&request.headers, sessions::COOKIE) {
            Some(_) => failed(Api::Console, &Denied::Stale(None)),
            None => failed(Api::Rest, &Denied::Missing),
        }
        let detail = "send an access key: Authorization: Bearer ID.SECRET; the first one is in \
                      admin.key in the state directory, `hawser key create` makes others";
        return Err(Problem::new(Kind::Unauthenticated, detail));
    };
    Ok(Caller { key, via: Via::Console, address })
}

/// The key that came with a request, if it still is in force.
pub async fn still_in_force(gate: &Gate, request: &Parts) -> Option<Key> {
    let Some(token) = bearer(&request.headers) else {
        return signed_in(gate, request).await.ok()?;
    };
    let (keys, token) = (gate.edge.keys.clone(), token.to_owned());
    gate.edge.database.off_the_runtime(move |_| keys.bearer(&token)).await.ok()?.ok()
}

/// The key of a session of the console. A cookie comes along with whatever a browser sends, so what
/// changes something also has to bring what only a page of the console knows.
async fn signed_in(gate: &Gate, request: &Parts) -> Result<Option<Key>, Problem> {
    let Some(token) = sessions::cookie(&request.headers, sessions::COOKIE) else { return Ok(None) };
    let now = Instant::now();
    // A page that is left open follows the figures by itself: that keeps nobody signed in.
    let found = match is_background(request) {
        true => gate.sessions.look(&token, now),
        false => gate.sessions.find(&token, now),
    };
    let Some(session) = found else { return Ok(None) };
    if !reads(&request.method) {
        let sent = request.headers.get(sessions::CSRF_HEADER).and_then(|sent| sent.to_str().ok());
        if !sent.is_some_and(|sent| session.is_csrf(sent)) {
            let detail = "a session of the console changes something only with the X-Csrf-Token \
                          of its pages";
            return Err(Problem::new(Kind::Forbidden, detail));
        }
    }
    let keys = gate.edge.keys.clone();
    let find = move |_: &_| keys.in_force(&session.key_id);
    Ok(gate.edge.database.off_the_runtime(find).await?)
}

/// Whether a page asks by itself: for what moves, and never for a change.
fn is_background(request: &Parts) -> bool {
    let says_so = request.headers.contains_key(sessions::BACKGROUND_HEADER);
    request.uri.path() == events::PATH || (says_so && reads(&request.method))
}

/// RFC 6750 2.1: the token of `Authorization: Bearer`.
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// The least role that may send this request; `path` is that below the root of the API.
pub fn needed(method: &Method, path: &str) -> Role {
    let below = |part: &str| {
        path.strip_prefix(part).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    if below("/keys") || (!reads(method) && (below("/plan") || below("/audit"))) {
        Role::Admin
    } else if reads(method) {
        Role::Read
    } else {
        Role::Operate
    }
}

fn reads(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

type Limiter = RateLimiter<String, HashMapStateStore<String>, DefaultClock>;

/// Requests per second of each key. Only keys in force are counted, so their number is bounded.
#[derive(Debug, Default)]
pub struct Rates(Mutex<Option<(NonZeroU32, Arc<Limiter>)>>);

impl Rates {
    /// Counts a request. Another `rate` than last time begins anew.
    fn take(&self, key: &str, rate: NonZeroU32) -> Result<(), Problem> {
        let limiter = {
            let mut current = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            match &*current {
                Some((known, limiter)) if *known == rate => Arc::clone(limiter),
                _ => {
                    let limiter = Arc::new(RateLimiter::hashmap(Quota::per_second(rate)));
                    *current = Some((rate, Arc::clone(&limiter)));
                    limiter
                }
            }
        };
        limiter.check_key(&key.to_owned()).map_err(|until| {
            limiter.retain_recent();
            let wait = until.wait_time_from(DefaultClock::default().now());
            let detail = format!(
                "key {key} may send {rate} requests per second (admin.rate_rest in hawser.toml)"
            );
            let retry_after_s = Some(wait.as_secs().max(1));
            Problem { retry_after_s, ..Problem::new(Kind::TooMany, detail) }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens() {
        let token = |value: &str| {
            let headers = HeaderMap::from_iter([(header::AUTHORIZATION, value.parse().unwrap())]);
            bearer(&headers).map(str::to_owned)
        };
        // RFC 9110 11.1: the scheme in any case.
        for value in ["Bearer A.B", "bearer A.B", "BEARER  A.B"] {
            assert_eq!(token(value).as_deref(), Some("A.B"), "{value}");
        }
        for value in ["Basic A.B", "A.B", "Bearer", ""] {
            assert_eq!(token(value), None, "{value}");
        }
        assert_eq!(bearer(&HeaderMap::new()), None);
    }

    #[test]
    fn what_a_page_asks_by_itself() {
        for (method, path, says_so, background) in [
            (Method::GET, events::PATH, false, true),
            (Method::GET, "/connections", true, true),
            (Method::GET, "/connections", false, false),
            (Method::DELETE, "/connections/1", true, false),
        ] {
            let mut request = axum::http::Request::builder().method(method).uri(path);
            if says_so {
                request = request.header(sessions::BACKGROUND_HEADER, "1");
            }
            let (request, ()) = request.body(()).unwrap().into_parts();
            assert_eq!(is_background(&request), background, "{path} {says_so}");
        }
    }

    #[test]
    fn roles() {
        let cases = [
            (Method::GET, "/domains", Role::Read),
            (Method::GET, "/plan", Role::Read),
            (Method::GET, "/audit", Role::Read),
            (Method::GET, "/keys", Role::Admin),
            (Method::DELETE, "/keys/HK1", Role::Admin),
            (Method::GET, "/keyshape", Role::Read),
            (Method::POST, "/plan", Role::Admin),
            (Method::POST, "/plan/change", Role::Admin),
            (Method::POST, "/audit/3/rollback", Role::Admin),
            (Method::POST, "/domains", Role::Operate),
            (Method::POST, "/drain", Role::Operate),
            (Method::DELETE, "/connections/0-1-2", Role::Operate),
        ];
        for (method, path, role) in cases {
            assert_eq!(needed(&method, path), role, "{method} {path}");
        }
    }

    #[test]
    fn each_key_has_its_own_rate() {
        let rates = Rates::default();
        let two = NonZeroU32::new(2).unwrap();
        assert!(rates.take("a", two).is_ok() && rates.take("a", two).is_ok());
        let problem = rates.take("a", two).unwrap_err();
        assert_eq!((problem.status, problem.retry_after_s), (429, Some(1)));
        assert!(rates.take("b", two).is_ok());
        assert!(rates.take("a", NonZeroU32::MAX).is_ok(), "a new rate");
    }
}
