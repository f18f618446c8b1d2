//! What handlers take from a request: JSON bodies, query parameters, names, preconditions. What is
//! wrong with them becomes a problem document.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};

use super::auth::Caller;
use super::problem::{Kind, Problem, pointer};
use crate::control::config::store::checked_name;

/// A JSON body.
pub struct Body<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Body<T>, Problem> {
        is_json(request.headers())?;
        let bytes = Bytes::from_request(request, state).await;
        let bytes = bytes.map_err(|error| Problem::malformed(error.body_text()))?;
        read(&bytes).map(Body)
    }
}

/// A JSON body of which nothing may be repeated, not even in what is wrong with it.
pub struct SecretBody<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for SecretBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<SecretBody<T>, Problem> {
        match Body::from_request(request, state).await {
            Ok(Body(value)) => Ok(SecretBody(value)),
            Err(mut problem) if !problem.errors.is_empty() => {
                let detail = "this is not what belongs here";
                problem.detail = detail.to_owned();
                for wrong in &mut problem.errors {
                    wrong.detail = detail.to_owned();
                }
                Err(problem)
            }
            Err(problem) => Err(problem),
        }
    }
}

/// A JSON body, or none, which is the default.
pub struct OptionalBody<T>(pub T);

impl<T: DeserializeOwned + Default, S: Send + Sync> FromRequest<S> for OptionalBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<OptionalBody<T>, Problem> {
        let typed = is_json(request.headers());
        let bytes = Bytes::from_request(request, state).await;
        let bytes = bytes.map_err(|error| Problem::malformed(error.body_text()))?;
        if bytes.is_empty() {
            return Ok(OptionalBody(T::default()));
        }
        typed?;
        read(&bytes).map(OptionalBody)
    }
}

/// `application/json`, or what is built on it (RFC 6839 3.1), such as merge patches.
fn is_json(headers: &HeaderMap) -> Result<(), Problem> {
    let written = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let written = written.unwrap_or_default();
    let essence = written.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let is_json = essence == "application/json"
        || (essence.starts_with("application/") && essence.ends_with("+json"));
    if is_json {
        return Ok(());
    }
    let detail = format!("Content-Type is {written:?}; send application/json");
    Err(Problem::new(Kind::MediaType, detail))
}

fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = match error.path().to_string() {
            // Syntax has no place in the document.
            path if matches!(&*path, "." | "?") => String::new(),
            path => path,
        };
        let inner = error.into_inner();
        let kind = if inner.is_data() { Kind::Invalid } else { Kind::Malformed };
        let what = inner.to_string();
        let wrong = super::problem::Wrong {
            pointer: Some(pointer(&path)),
            detail: what.clone(),
            ..Default::default()
        };
        let place = if path.is_empty() { "body".to_owned() } else { path };
        Problem { errors: vec![wrong], ..Problem::new(kind, format!("{place}: {what}")) }
    })?;
    reader.end().map_err(|error| Problem::malformed(format!("behind the JSON text: {error}")))?;
    Ok(value)
}

/// Query parameters.
pub struct Params<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Params<T>, Problem> {
        let query = Query::from_request_parts(parts, state).await;
        let Query(value) = query.map_err(|error| Problem::malformed(error.body_text()))?;
        Ok(Params(value))
    }
}

/// A text of at most `MAX` characters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bounded<const MAX: usize>(String);

impl<const MAX: usize> std::ops::Deref for Bounded<MAX> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl<'de, const MAX: usize> Deserialize<'de> for Bounded<MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Bounded<MAX>, D::Error> {
        let text = String::deserialize(deserializer)?;
        let n = text.chars().count();
        if n > MAX {
            return Err(D::Error::custom(format!("{n} characters, at most {MAX}")));
        }
        Ok(Bounded(text))
    }
}

/// The domain that the path names; not necessarily one that there is.
pub struct Name(pub Arc<str>);

impl<S: Send + Sync> FromRequestParts<S> for Name {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Name, Problem> {
        let PathPart(name): PathPart<String> = PathPart::from_request_parts(parts, state).await?;
        checked_name(&name)?;
        Ok(Name(name.into()))
    }
}

/// The one variable part of the path.
pub struct PathPart<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for PathPart<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<PathPart<T>, Problem> {
        let part = Path::from_request_parts(parts, state).await;
        let Path(value) = part.map_err(|error| Problem::malformed(error.body_text()))?;
        Ok(PathPart(value))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Caller, Problem> {
        // `auth::check` stands before every handler.
        let caller = parts.extensions.get::<Caller>().cloned();
        caller.ok_or_else(|| Problem::new(Kind::Unauthenticated, "send an access key"))
    }
}

/// RFC 9110 13.1: what must hold for a write to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// Nothing was asked for.
    None,
    /// `If-Match: *`.
    Present,
    /// `If-None-Match: *`.
    Absent,
    /// `If-Match` with entity tags: the revision is one of these.
    OneOf(Vec<String>),
}

impl Condition {
    /// # Errors
    /// 428: a write to something that others may write too needs a condition.
    pub fn required(self) -> Result<Condition, Problem> {
        if self != Condition::None {
            return Ok(self);
        }
        let detail = "send If-Match with the ETag of what you read, or If-Match: * for whatever \
                      there is";
        Err(Problem::new(Kind::PreconditionRequired, detail))
    }

    /// The one revision that it names, an empty one for none at all; `None` when anything will do.
    pub fn one(self) -> Result<Option<String>, Problem> {
        match self {
            Condition::None | Condition::Present => Ok(None),
            Condition::Absent => Ok(Some(String::new())),
            Condition::OneOf(mut tags) if tags.len() == 1 => Ok(tags.pop()),
            Condition::OneOf(_) => {
                Err(Problem::malformed("send If-Match with one entity tag, or none of these"))
            }
        }
    }

    /// Whether it holds for a domain at `revision`; `None` is no file.
    pub fn holds(&self, name: &str, revision: Option<&str>) -> Result<(), Problem> {
        let failed = |detail: String| Err(Problem::new(Kind::Precondition, detail));
        match (self, revision) {
            (Condition::Absent, Some(_)) => failed(format!("there is a domain {name:?} already")),
            (Condition::OneOf(known), Some(now)) if known.iter().all(|k| k != now) => {
                failed(format!(
                    "{name} is at revision {now:?}, not {}: somebody changed it; read it again",
                    known.iter().map(|k| format!("{k:?}")).collect::<Vec<_>>().join(" or ")
                ))
            }
            _ => Ok(()),
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Condition {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Condition, Problem> {
        let text = |name: header::HeaderName| -> Result<Option<String>, Problem> {
            let mut values = parts.headers.get_all(&name).iter().peekable();
            if values.peek().is_none() {
                return Ok(None);
            }
            let texts: Result<Vec<_>, _> = values.map(|value| value.to_str()).collect();
            let texts = texts.map_err(|_| Problem::malformed(format!("{name}: not text")))?;
            Ok(Some(texts.join(",")))
        };
        match (text(header::IF_MATCH)?, text(header::IF_NONE_MATCH)?) {
            (None, None) => Ok(Condition::None),
            (Some(list), None) if list.trim() == "*" => Ok(Condition::Present),
            (None, Some(list)) if list.trim() == "*" => Ok(Condition::Absent),
            (Some(list), None) => Ok(Condition::OneOf(tags(&list)?)),
            (None, Some(_)) => Err(Problem::malformed("If-None-Match: only * is understood here")),
            (Some(_), Some(_)) => Err(Problem::malformed("If-Match or If-None-Match, not both")),
        }
    }
}

/// RFC 9110 8.8.3. A weak tag never matches strongly.
fn tags(list: &str) -> Result<Vec<String>, Problem> {
    let tag = |item: &str| {
        let strong = item.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
        match strong {
            Some(tag) => Ok(Some(tag.to_owned())),
            None if item.starts_with("W/\"") => Ok(None),
            None => Err(Problem::malformed(format!(
                "If-Match: {item:?} is not an entity tag; send it with its quotes, as ETag has it"
            ))),
        }
    };
    let items = list.split(',').map(str::trim).filter(|item| !item.is_empty());
    items.filter_map(|item| tag(item).transpose()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn condition(fields: &[(&'static str, &str)]) -> Result<Condition, u16> {
        let mut request = axum::http::Request::builder();
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let (mut parts, ()) = request.body(()).unwrap().into_parts();
        let read = Condition::from_request_parts(&mut parts, &()).await;
        read.map_err(|problem| problem.status)
    }

    // RFC 9110 13.1.1, 13.1.2 and 8.8.3.
    #[tokio::test]
    async fn conditions() {
        let one_of =
            |tags: &[&str]| Ok(Condition::OneOf(tags.iter().map(|&tag| tag.to_owned()).collect()));
        assert_eq!(condition(&[]).await, Ok(Condition::None));
        assert_eq!(condition(&[("if-match", "*")]).await, Ok(Condition::Present));
        assert_eq!(condition(&[("if-none-match", "*")]).await, Ok(Condition::Absent));
        assert_eq!(condition(&[("if-match", "\"a\"")]).await, one_of(&["a"]));
        assert_eq!(condition(&[("if-match", "\"a\", W/\"b\",\"c\"")]).await, one_of(&["a", "c"]));
        assert_eq!(
            condition(&[("if-match", "\"a\""), ("if-match", "\"b\"")]).await,
            one_of(&["a", "b"])
        );
        assert_eq!(condition(&[("if-match", "a")]).await, Err(400));
        assert_eq!(condition(&[("if-none-match", "\"a\"")]).await, Err(400));
        assert_eq!(condition(&[("if-match", "*"), ("if-none-match", "*")]).await, Err(400));
        assert_eq!(Condition::None.required().unwrap_err().status, 428);
    }

    #[test]
    fn what_a_condition_lets_through() {
        let one = Condition::OneOf(vec!["a".into()]);
        for (condition, revision, holds) in [
            (&Condition::None, Some("a"), true),
            (&Condition::Present, Some("a"), true),
            (&Condition::Absent, Some("a"), false),
            (&Condition::Absent, None, true),
            (&one, Some("a"), true),
            (&one, Some("b"), false),
        ] {
            assert_eq!(condition.holds("x", revision).is_ok(), holds, "{condition:?} {revision:?}");
        }
    }

    #[test]
    fn a_body_says_where_it_is_wrong() {
        #[derive(Debug, serde::Deserialize)]
        struct Inner {
            #[allow(dead_code)]
            port: u16,
        }
        #[derive(Debug, serde::Deserialize)]
        struct Outer {
            #[allow(dead_code)]
            list: Vec<Inner>,
        }
        let wrong = |text: &str| read::<Outer>(text.as_bytes()).unwrap_err();
        let problem = wrong("{\"list\":[{\"port\":1},{\"port\":\"x\"}]}");
        assert_eq!(problem.errors[0].pointer.as_deref(), Some("/list/1/port"));
        assert_eq!(problem.status, 422);
        for text in ["", "{", "{\"list\":[]} x", "\u{feff}{}"] {
            assert_eq!(wrong(text).status, 400, "{text}");
        }
    }
}
