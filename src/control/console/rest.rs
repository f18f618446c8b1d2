//! Asks Hawser's own REST API, within the process, in the name of who looks at a page.
//!
//! Roles, rates, conditions and errors are those of the API; what it refuses comes back as the
//! problem document that any client gets. Not here: what is asked.

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tracing::error;

use crate::control::api::{self, Caller};
use crate::limits::CONSOLE_ANSWER_BYTES_MAX;

/// Instead of a revision: there was none.
pub const ABSENT: &str = "";

/// The API as one caller may use it. Paths are those below `/api/v1`, such as `/domains?limit=1`.
#[derive(Clone)]
pub struct Rest {
    pub api: Router,
    pub caller: Caller,
}

/// Why the API, or the console itself, did not do something (RFC 9457).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Refusal {
    #[serde(rename = "type")]
    pub kind: String,
    pub title: String,
    pub status: u16,
    pub detail: String,
    #[serde(default)]
    pub errors: Vec<Wrong>,
}

/// One part that is wrong.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Wrong {
    /// RFC 6901: the place in the JSON that was sent; of a parameter of a query, `?` and its name.
    pub pointer: Option<String>,
    pub parameter: Option<String>,
    pub file: Option<String>,
    pub line: Option<u64>,
    pub detail: String,
    pub accepted: Option<String>,
}

impl Refusal {
    pub fn unknown(detail: &str) -> Refusal {
        Refusal::new(StatusCode::NOT_FOUND, "There is no such thing", detail)
    }

    pub fn new(status: StatusCode, title: &str, detail: &str) -> Refusal {
        Refusal {
            kind: String::new(),
            title: title.to_owned(),
            status: status.as_u16(),
            detail: detail.to_owned(),
            errors: Vec::new(),
        }
    }

    /// What is wrong at this place of what was sent.
    pub fn at(&self, pointer: &str) -> Option<&Wrong> {
        self.errors.iter().find(|wrong| wrong.pointer.as_deref() == Some(pointer))
    }
}

/// As the answer to a page's request: `dressed` makes a page of it.
impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::BAD_GATEWAY);
        let mut response = (status, self.detail.clone()).into_response();
        response.extensions_mut().insert(self);
        response
    }
}

impl Rest {
    pub async fn read<T: DeserializeOwned>(&self, path: &str) -> Result<T, Refusal> {
        self.ask(Method::GET, path, None, None).await
    }

    /// Sends something that changes something. `if_match`: the revision that was shown, without
    /// quotes, `*` for whatever there is, [`ABSENT`] when there must be nothing; `None` for what
    /// takes no condition.
    pub async fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        if_match: Option<&str>,
        body: Option<&Value>,
    ) -> Result<T, Refusal> {
        self.ask(method, path, if_match, body).await
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        if_match: Option<&str>,
        body: Option<&Value>,
    ) -> Result<T, Refusal> {
        let bytes = self.answer(method, path, if_match, body).await?;
        let text: &[u8] = if bytes.is_empty() { b"null" } else { &bytes };
        serde_json::from_slice(text).map_err(|error| {
            error!(%error, path, "the console does not understand the REST API");
            broken("the API answered something that this page does not understand")
        })
    }

    async fn answer(
        &self,
        method: Method,
        path: &str,
        if_match: Option<&str>,
        body: Option<&Value>,
    ) -> Result<Vec<u8>, Refusal> {
        let mut request = hyper::Request::builder()
            .method(method)
            .uri(format!("{}{path}", api::ROOT))
            .extension(self.caller.clone());
        request = match if_match {
            None => request,
            Some(ABSENT) => request.header(header::IF_NONE_MATCH, "*"),
            Some("*") => request.header(header::IF_MATCH, "*"),
            Some(revision) => request.header(header::IF_MATCH, format!("\"{revision}\"")),
        };
        let body = match body {
            Some(value) => {
                request = request.header(header::CONTENT_TYPE, "application/json");
                Body::from(value.to_string())
            }
            None => Body::empty(),
        };
        let request = request.body(body).map_err(|_| broken("the page asked for nonsense"))?;
        let Ok(response) = TowerToHyperService::new(self.api.clone()).call(request).await;
        let status = response.status();
        let bytes = to_bytes(response.into_body(), CONSOLE_ANSWER_BYTES_MAX).await;
        let bytes = bytes.map_err(|_| broken("the answer is too long for a page"))?;
        if status.is_success() {
            return Ok(bytes.into());
        }
        let mut refusal: Refusal =
            serde_json::from_slice(&bytes).unwrap_or_else(|_| broken("the API refused"));
        for wrong in &mut refusal.errors {
            let parameter = wrong.parameter.take().map(|name| format!("?{name}"));
            wrong.pointer = wrong.pointer.take().or(parameter);
        }
        Err(refusal)
    }
}

fn broken(detail: &str) -> Refusal {
    Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "It cannot be shown now", detail)
}

/// A value as one part of a path or of a query.
pub fn part(value: &str) -> String {
    const KEPT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'.').remove(b'-').remove(b'_').remove(b'~');
    utf8_percent_encode(value, KEPT).to_string()
}
