//! Request bodies of the admin listener, within bounds of size and time: whoever sends a long or a
//! slow one holds nothing but its connection, and handlers find all of it.
//!
//! Not here: connections (`server`), which requests are answered at all (`admin`).

use axum::body::{Body, HttpBody};
use axum::extract::{Request, State};
use axum::http::{HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use tokio::time::timeout;

use super::api::problem::{Kind, Problem};
use crate::limits::{ADMIN_BODY_TIMEOUT, CONTROL_REQUEST_TIMEOUT};

/// How much of a body is taken, and how a refusal is said.
#[derive(Debug, Clone, Copy)]
pub struct Bound {
    pub bytes: usize,
    pub words: Words,
}

/// In whose words a refusal is said.
#[derive(Debug, Clone, Copy)]
pub enum Words {
    /// RFC 9457.
    Problem,
    Text,
}

impl Words {
    pub fn refusal(self, kind: Kind, text: &str) -> Response {
        match self {
            Words::Problem => Problem::new(kind, text).into_response(),
            Words::Text => {
                let status = kind.status();
                (status, format!("{}: {text}\n", status.as_u16())).into_response()
            }
        }
    }
}

/// Reads the body, then lets the request go on, and ends what takes too long.
pub async fn bounded(State(bound): State<Bound>, request: Request, next: Next) -> Response {
    let Bound { bytes: most, words } = bound;
    let too_large = || {
        let text = format!("the body has more than {most} bytes");
        last(words.refusal(Kind::TooLarge, &text))
    };
    let (parts, body) = request.into_parts();
    if body.size_hint().lower() > most as u64 {
        return too_large();
    }
    let bytes = match timeout(ADMIN_BODY_TIMEOUT, Limited::new(body, most).collect()).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(error)) if error.is::<LengthLimitError>() => return too_large(),
        Ok(Err(_)) => return words.refusal(Kind::Malformed, "the body is cut off"),
        Err(_) => return last(words.refusal(Kind::Slow, "the body did not arrive in time")),
    };
    let request = Request::from_parts(parts, Body::from(bytes));
    match timeout(CONTROL_REQUEST_TIMEOUT, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            let text = "no answer in time; a change that was asked for may still come";
            words.refusal(Kind::Unavailable, text)
        }
    }
}

/// The rest of the body is not read: the connection ends with the answer.
fn last(mut response: Response) -> Response {
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}
