//! Who looks at a page, and what they sent with a form. Nobody gets further without a session of a
//! key that is in force. Not here: signing in (`sign_in`), what a key may do (`api`).

use std::net::SocketAddr;
use std::time::Instant;

use axum::body::Bytes;
use axum::extract::{ConnectInfo, FromRequest, FromRequestParts, Request, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};

use super::Console;
use super::rest::{Refusal, Rest, part};
use crate::control::api::Caller;
use crate::control::changes::Via;
use crate::control::keys::{Key, Role};
use crate::control::sessions::{self, Session};

/// The cookie that holds the wish for light or dark.
pub const THEME_COOKIE: &str = "hawser_theme";

/// Who looks.
#[derive(Clone)]
pub struct Viewer {
    pub session: Session,
    pub token: zeroize::Zeroizing<String>,
    pub rest: Rest,
    pub theme: Theme,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Theme {
    /// As the system has it.
    #[default]
    Auto,
    Light,
    Dark,
}

impl Theme {
    pub const ALL: [Theme; 3] = [Theme::Auto, Theme::Light, Theme::Dark];

    pub fn name(self) -> &'static str {
        match self {
            Theme::Auto => "auto",
            Theme::Light => "light",
            Theme::Dark => "dark",
        }
    }

    /// For people.
    pub fn text(self) -> &'static str {
        match self {
            Theme::Auto => "Auto",
            Theme::Light => "Light",
            Theme::Dark => "Dark",
        }
    }

    /// What a browser may paint with before it has the styles (CSS Color Adjustment 2.2).
    pub fn schemes(self) -> &'static str {
        match self {
            Theme::Auto => "light dark",
            Theme::Light => "light",
            Theme::Dark => "dark",
        }
    }

    pub fn of(parts: &Parts) -> Theme {
        let name = sessions::cookie(&parts.headers, THEME_COOKIE).unwrap_or_default();
        Theme::ALL.into_iter().find(|theme| theme.name() == name).unwrap_or_default()
    }
}

impl Viewer {
    pub fn key(&self) -> &Key {
        &self.rest.caller.key
    }

    /// Whether to offer what needs this role; the API checks it in any case.
    pub fn may(&self, role: Role) -> bool {
        self.key().role >= role
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Viewer {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Viewer, Refusal> {
        // `required` stands before every page.
        parts.extensions.get::<Viewer>().cloned().ok_or_else(|| Refusal::unknown("Sign in first."))
    }
}

/// A form that came from a page of this session.
pub struct Submitted {
    pub viewer: Viewer,
    pub fields: Fields,
}

/// What a form holds: names and values in their order.
#[derive(Default)]
pub struct Fields(Vec<(String, String)>);

impl Fields {
    pub fn read(bytes: &[u8]) -> Fields {
        Fields(form_urlencoded::parse(bytes).into_owned().collect())
    }

    /// The first value of this name without space around it; empty when there is none.
    pub fn text<'a>(&'a self, name: &'a str) -> &'a str {
        self.all(name).next().unwrap_or_default().trim()
    }

    /// Whether a box is ticked.
    pub fn is_on(&self, name: &str) -> bool {
        self.all(name).next().is_some()
    }

    /// All of them, in their order.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

impl<S: Send + Sync> FromRequest<S> for Submitted {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Submitted, Refusal> {
        let (mut parts, body) = request.into_parts();
        let viewer = Viewer::from_request_parts(&mut parts, state).await?;
        let bytes = Bytes::from_request(Request::from_parts(parts, body), state).await;
        let bytes = bytes.map_err(|error| {
            Refusal::new(error.status(), "The form did not arrive", &error.body_text())
        })?;
        let fields = Fields::read(&bytes);
        if !viewer.session.is_csrf(fields.text("csrf")) {
            let detail = "This form is of an earlier session, or of another site. Nothing was \
                          done: open the page again and send it from there.";
            return Err(Refusal::new(
                StatusCode::FORBIDDEN,
                "The form is not of this page",
                detail,
            ));
        }
        Ok(Submitted { viewer, fields })
    }
}

/// Lets a request through with its [`Viewer`], or sends it to sign in first.
pub async fn required(State(console): State<Console>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    match find(&console, &parts).await {
        Ok(Some(viewer)) => {
            parts.extensions.insert(viewer);
            next.run(Request::from_parts(parts, body)).await
        }
        Ok(None) => {
            // Below `/console`: the router has taken that away.
            let wanted = parts.uri.path_and_query().map_or("/", |target| target.as_str());
            let wanted = if parts.method.is_safe() { wanted } else { "/" };
            let next = part(&format!("{}{wanted}", super::ROOT));
            Redirect::to(&format!("{}/sign-in?next={next}", super::ROOT)).into_response()
        }
        Err(refusal) => refusal.into_response(),
    }
}

/// Whose session a request brings along; `None`: of nobody, or of a key that was revoked.
pub async fn find(console: &Console, parts: &Parts) -> Result<Option<Viewer>, Refusal> {
    let Some(token) = sessions::cookie(&parts.headers, sessions::COOKIE) else { return Ok(None) };
    let Some(session) = console.sessions.find(&token, Instant::now()) else { return Ok(None) };
    let (keys, id) = (console.edge.keys.clone(), session.key_id.clone());
    let find = move |_: &_| keys.in_force(&id);
    let key = console.edge.database.off_the_runtime(find).await.map_err(|error| {
        let title = "Access keys cannot be read";
        Refusal::new(StatusCode::SERVICE_UNAVAILABLE, title, &error.to_string())
    })?;
    let Some(key) = key else { return Ok(None) };
    let address = parts.extensions.get::<ConnectInfo<SocketAddr>>();
    let address = address.map(|peer| peer.0.ip().to_canonical());
    let caller = Caller { key, via: Via::Console, address };
    let rest = Rest { api: console.api.clone(), caller };
    Ok(Some(Viewer { session, token: token.into(), rest, theme: Theme::of(parts) }))
}
