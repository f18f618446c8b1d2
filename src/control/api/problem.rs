//! Why a request was not done, as problem documents (RFC 9457). Not here: finding it out.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tracing::error;
use utoipa::ToSchema;

use crate::control::billing::BillingError;
use crate::control::certs::upload;
use crate::control::changes::ChangeError;
use crate::control::changes::certificates::CertificateError;
use crate::control::config::Problems;
use crate::control::config::edit::EditError;
use crate::control::config::store::StoreError;
use crate::control::keys::{KeyError, NAMES};
use crate::control::publish::Rejected;
use crate::control::statistics::StatisticsError;

/// RFC 9457 3: why a request was not done. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(example = json!({
    "type": "urn:hawser:problem:invalid",
    "title": "The content is not accepted",
    "status": 422,
    "detail": "1 problem in 1 file",
    "errors": [{
        "pointer": "/websocket/heartbeat",
        "detail": "301 is not accepted",
        "accepted": "a whole number of seconds from 1 to 300, without a unit"
    }]
}))]
pub struct Problem {
    /// A URN that stands for the kind of problem.
    #[serde(rename = "type")]
    #[schema(value_type = String)]
    pub kind: Kind,
    /// The same for people.
    pub title: &'static str,
    /// The status of the response.
    #[schema(minimum = 400, maximum = 599)]
    pub status: u16,
    /// What is wrong with this request, and the way out.
    pub detail: String,
    /// The parts of the request, or of files, that are wrong.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub errors: Vec<Wrong>,
    /// Seconds until it may be tried again.
    #[serde(skip)]
    pub retry_after_s: Option<u64>,
}

/// One part that is wrong.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Wrong {
    /// RFC 6901: the place in the JSON body, or in the document of the domain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pointer: Option<String>,
    /// The parameter of the query.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parameter: Option<String>,
    /// The file, when it is not about the request; with its line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Of the file or, in the file of a domain, of the text that was sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// What is wrong, with the value seen.
    pub detail: String,
    /// What would be accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accepted: Option<String>,
}

/// Kinds of problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Malformed,
    Unauthenticated,
    Forbidden,
    Unknown,
    Method,
    Slow,
    Conflict,
    NoPlan,
    Precondition,
    TooLarge,
    MediaType,
    Misdirected,
    Invalid,
    PreconditionRequired,
    TooMany,
    Unavailable,
}

impl Kind {
    pub const ALL: [Kind; 16] = [
        Kind::Malformed,
        Kind::Unauthenticated,
        Kind::Forbidden,
        Kind::Unknown,
        Kind::Method,
        Kind::Slow,
        Kind::Conflict,
        Kind::NoPlan,
        Kind::Precondition,
        Kind::TooLarge,
        Kind::MediaType,
        Kind::Misdirected,
        Kind::Invalid,
        Kind::PreconditionRequired,
        Kind::TooMany,
        Kind::Unavailable,
    ];

    /// Status, last part of the type, title.
    fn facts(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Kind::Malformed => {
                (StatusCode::BAD_REQUEST, "malformed", "The request cannot be understood")
            }
            Kind::Unauthenticated => {
                (StatusCode::UNAUTHORIZED, "unauthenticated", "An access key is needed")
            }
            Kind::Forbidden => (StatusCode::FORBIDDEN, "forbidden", "This key may not do that"),
            Kind::Unknown => (StatusCode::NOT_FOUND, "unknown", "There is no such thing"),
            Kind::Method => (StatusCode::METHOD_NOT_ALLOWED, "method", "This cannot be done here"),
            Kind::Slow => (StatusCode::REQUEST_TIMEOUT, "slow", "The request did not arrive"),
            Kind::Conflict => (StatusCode::CONFLICT, "conflict", "The state does not allow it"),
            Kind::NoPlan => (StatusCode::CONFLICT, "no-plan", "No billing plan is in effect"),
            Kind::Precondition => (
                StatusCode::PRECONDITION_FAILED,
                "changed-meanwhile",
                "Somebody changed it meanwhile",
            ),
            Kind::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "too-large", "The body is too large"),
            Kind::MediaType => {
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, "media-type", "The body must be JSON")
            }
            Kind::Misdirected => {
                (StatusCode::MISDIRECTED_REQUEST, "misdirected", "Not a name of this listener")
            }
            Kind::Invalid => {
                (StatusCode::UNPROCESSABLE_ENTITY, "invalid", "The content is not accepted")
            }
            Kind::PreconditionRequired => {
                (StatusCode::PRECONDITION_REQUIRED, "precondition-required", "If-Match is needed")
            }
            Kind::TooMany => (StatusCode::TOO_MANY_REQUESTS, "too-many", "Too many requests"),
            Kind::Unavailable => {
                (StatusCode::SERVICE_UNAVAILABLE, "unavailable", "It cannot be done now")
            }
        }
    }

    pub fn status(self) -> StatusCode {
        self.facts().0
    }

    pub fn title(self) -> &'static str {
        self.facts().2
    }
}

impl Serialize for Kind {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("urn:hawser:problem:{}", self.facts().1))
    }
}

impl Problem {
    pub fn new(kind: Kind, detail: impl Into<String>) -> Problem {
        let (status, _, title) = kind.facts();
        Problem {
            kind,
            title,
            status: status.as_u16(),
            detail: detail.into(),
            errors: Vec::new(),
            retry_after_s: None,
        }
    }

    pub fn malformed(detail: impl Into<String>) -> Problem {
        Problem::new(Kind::Malformed, detail)
    }

    pub fn unknown(detail: impl Into<String>) -> Problem {
        Problem::new(Kind::Unknown, detail)
    }

    pub fn conflict(detail: impl Into<String>) -> Problem {
        Problem::new(Kind::Conflict, detail)
    }

    pub fn invalid(detail: impl Into<String>) -> Problem {
        Problem::new(Kind::Invalid, detail)
    }

    /// One part of the request is wrong.
    pub fn at(kind: Kind, pointer: &str, detail: String, accepted: &str) -> Problem {
        let wrong = Wrong {
            pointer: Some(pointer.to_owned()),
            detail: detail.clone(),
            accepted: Some(accepted.to_owned()),
            ..Wrong::default()
        };
        Problem { errors: vec![wrong], ..Problem::new(kind, detail) }
    }

    /// A query parameter is wrong.
    pub fn parameter(name: &str, detail: &str, accepted: &str) -> Problem {
        let wrong = Wrong {
            parameter: Some(name.to_owned()),
            detail: detail.to_owned(),
            accepted: Some(accepted.to_owned()),
            ..Wrong::default()
        };
        let whole = format!("parameter {name}: {detail}; accepted is {accepted}");
        Problem { errors: vec![wrong], ..Problem::malformed(whole) }
    }

    /// What broke is told to the operator's log in full, and to the caller.
    fn broken(kind: Kind, error: &dyn std::error::Error) -> Problem {
        error!(%error, "a request to the API was not done");
        Problem::new(kind, error.to_string())
    }

    /// Puts all pointers below `prefix`.
    pub fn below(mut self, prefix: &str) -> Problem {
        for wrong in &mut self.errors {
            wrong.pointer = wrong.pointer.take().map(|pointer| format!("{prefix}{pointer}"));
        }
        self
    }

    pub fn to_value(&self) -> serde_json::Value {
        serde_json::to_value(self).unwrap_or_default()
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = self.to_value().to_string();
        let mut response = (self.kind.status(), body).into_response();
        let headers = response.headers_mut();
        let json = HeaderValue::from_static("application/problem+json");
        headers.insert(header::CONTENT_TYPE, json);
        if self.kind == Kind::Unauthenticated {
            let challenge = HeaderValue::from_static("Bearer realm=\"hawser\"");
            headers.insert(header::WWW_AUTHENTICATE, challenge);
        }
        if let Some(seconds) = self.retry_after_s {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        response
    }
}

/// RFC 6901: `origin[1].port` as `/origin/1/port`.
pub fn pointer(path: &str) -> String {
    let mut pointer = String::new();
    for step in path.split(['.', '[']).map(|step| step.trim_end_matches(']')) {
        if !step.is_empty() {
            pointer.push('/');
            pointer.push_str(&step.replace('~', "~0").replace('/', "~1"));
        }
    }
    pointer
}

impl From<Problems> for Problem {
    fn from(problems: Problems) -> Problem {
        let wrong = |problem: &crate::control::config::Problem| Wrong {
            pointer: Some(pointer(&problem.path)),
            line: problem.at.as_ref().map(|at| at.line as u64),
            detail: problem.what.clone(),
            accepted: problem.accepted.clone(),
            ..Wrong::default()
        };
        let errors: Vec<Wrong> = problems.0.iter().map(wrong).collect();
        let first = errors.first().map_or(String::new(), |first| match &first.pointer {
            Some(pointer) if !pointer.is_empty() => format!("{pointer}: {}", first.detail),
            _ => first.detail.clone(),
        });
        let detail = match errors.len() {
            0 | 1 => first,
            n => format!("{first}, and {} more", n - 1),
        };
        Problem { errors, ..Problem::invalid(detail) }
    }
}

impl From<Rejected> for Problem {
    fn from(rejected: Rejected) -> Problem {
        let text = |problem: &serde_json::Value, key: &str| {
            problem.get(key).and_then(|value| value.as_str()).map(str::to_owned)
        };
        let wrong = |problem: &serde_json::Value| {
            let number = problem.get("line").and_then(|line| line.as_u64());
            let line = number.map(|line| format!(":{line}")).unwrap_or_default();
            Wrong {
                line: number,
                pointer: text(problem, "path").filter(|p| !p.is_empty()).map(|p| pointer(&p)),
                file: text(problem, "file")
                    .filter(|file| !file.is_empty())
                    .map(|file| format!("{file}{line}")),
                detail: text(problem, "what")
                    .or_else(|| text(problem, "message"))
                    .unwrap_or_default(),
                accepted: text(problem, "accepted"),
                ..Wrong::default()
            }
        };
        let errors = rejected.problems.iter().map(wrong).collect();
        Problem { errors, ..Problem::invalid(rejected.detail) }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Problem {
        match error {
            StoreError::Name { .. } => Problem::malformed(error.to_string()),
            StoreError::Unknown { name, .. } => {
                Problem::unknown(format!("there is no domain {name:?}"))
            }
            StoreError::Refused(problems) => problems.into(),
            StoreError::Raced(_) => Problem::new(Kind::Precondition, error.to_string()),
            StoreError::Io { .. } => Problem::broken(Kind::Unavailable, &error),
        }
    }
}

impl From<EditError> for Problem {
    fn from(error: EditError) -> Problem {
        Problem::invalid(error.to_string())
    }
}

impl From<ChangeError> for Problem {
    fn from(error: ChangeError) -> Problem {
        match error {
            ChangeError::Store(error) => error.into(),
            ChangeError::Rejected(rejected) => rejected.into(),
            ChangeError::Revision { .. } => Problem::new(Kind::Precondition, error.to_string()),
            ChangeError::NoPlan { .. } => Problem::new(Kind::NoPlan, error.to_string()),
            ChangeError::Refused(why) => Problem::conflict(why),
            ChangeError::NoEntry(_) => Problem::unknown(error.to_string()),
            error => Problem::broken(Kind::Unavailable, &error),
        }
    }
}

impl From<CertificateError> for Problem {
    fn from(error: CertificateError) -> Problem {
        match error {
            CertificateError::Refused(refused) => refused.into(),
            CertificateError::Change(error) => error.into(),
        }
    }
}

impl From<upload::Refused> for Problem {
    fn from(refused: upload::Refused) -> Problem {
        match refused {
            upload::Refused::Certificate { what, accepted } => {
                Problem::at(Kind::Invalid, "/certificate", what, &accepted)
            }
            upload::Refused::Key { what, accepted } => {
                Problem::at(Kind::Invalid, "/key", what, &accepted)
            }
            upload::Refused::Store(error) => error.into(),
        }
    }
}

impl From<KeyError> for Problem {
    fn from(error: KeyError) -> Problem {
        match error {
            KeyError::Unknown(_) => Problem::unknown(error.to_string()),
            KeyError::LastAdmin(_) => Problem::conflict(error.to_string()),
            KeyError::Name(name) => {
                Problem::at(Kind::Invalid, "/name", format!("{name:?} is no name of a key"), NAMES)
            }
            KeyError::Refused(why) => Problem::invalid(why),
            error => Problem::broken(Kind::Unavailable, &error),
        }
    }
}

impl From<BillingError> for Problem {
    fn from(error: BillingError) -> Problem {
        match error {
            BillingError::AlreadyOpen(_)
            | BillingError::NotOpen
            | BillingError::Pending(_)
            | BillingError::SamePlan => Problem::conflict(error.to_string()),
            BillingError::Refused(why) => Problem::invalid(why),
            BillingError::Statistics(error) => error.into(),
            error => Problem::broken(Kind::Unavailable, &error),
        }
    }
}

impl From<StatisticsError> for Problem {
    fn from(error: StatisticsError) -> Problem {
        match error {
            StatisticsError::TooMany { .. }
            | StatisticsError::TooLong { .. }
            | StatisticsError::LayersOfPlace => Problem::malformed(error.to_string()),
            StatisticsError::Busy => {
                let busy = Problem::new(Kind::Unavailable, error.to_string());
                Problem { retry_after_s: Some(1), ..busy }
            }
            error => Problem::broken(Kind::Unavailable, &error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_paths_become_pointers() {
        // RFC 6901 3.
        for (path, pointed) in [
            ("", ""),
            ("name", "/name"),
            ("origin[1].port", "/origin/1/port"),
            ("access.allow[12]", "/access/allow/12"),
            ("a/b.c~d", "/a~1b/c~0d"),
        ] {
            assert_eq!(pointer(path), pointed, "{path}");
        }
    }

    // RFC 9457 3.1.
    #[test]
    fn every_kind_has_a_type_of_its_own() {
        let types: std::collections::BTreeSet<_> =
            Kind::ALL.iter().map(|kind| kind.facts().1).collect();
        assert_eq!(types.len(), Kind::ALL.len());
        let problem = Problem::unknown("there is no domain \"x\"").to_value();
        let expected = serde_json::json!({
            "type": "urn:hawser:problem:unknown",
            "title": "There is no such thing",
            "status": 404,
            "detail": "there is no domain \"x\"",
        });
        assert_eq!(problem, expected);
    }

    #[test]
    fn a_refused_text_names_each_place() {
        let store = crate::control::config::store::Store::of(std::path::Path::new("/nowhere"));
        let text = "name = \"a.test\"\n[websocket]\nheartbeat = 301\n";
        let problem = Problem::from(store.checked("a.test", text).unwrap_err());
        let pointers: Vec<_> = problem.errors.iter().flat_map(|e| e.pointer.as_deref()).collect();
        assert!(pointers.contains(&"/websocket/heartbeat"), "{pointers:?}");
        assert!(problem.errors.iter().all(|wrong| wrong.accepted.is_some()), "{problem:?}");
        assert_eq!(problem.status, 422);
    }
}
