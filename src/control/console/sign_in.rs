//! Signing in with an access key. Not here: sessions, keys.

use std::time::Instant;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::http::{Extensions, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use maud::{Markup, html};
use serde::Deserialize;

use super::layout::Head;
use super::viewer::{Fields, Theme};
use super::{Console, ROOT, parts};
use crate::control::admin;
use crate::control::server::Speech;
use crate::control::sessions::COOKIE;
use crate::control::sign_ins::{self, Api};

pub fn routes() -> Router<Console> {
    Router::new().route("/sign-in", get(show).post(sign_in))
}

#[derive(Deserialize)]
struct Asked {
    next: Option<String>,
}

async fn show(Query(asked): Query<Asked>, parts: axum::http::request::Parts) -> Markup {
    page(Theme::of(&parts), next(asked.next.as_deref().unwrap_or_default()), "")
}

/// Only a page of the console: anything else would lend its name to another site.
fn next(wanted: &str) -> &str {
    let inside = wanted.strip_prefix(ROOT).is_some_and(|rest| rest.starts_with('/'));
    let plain = !wanted.contains(['\\', '\n', '\r']);
    if inside && plain { wanted } else { "/console/" }
}

async fn sign_in(State(console): State<Console>, extensions: Extensions, body: Bytes) -> Response {
    let fields = Fields::read(&body);
    let next = next(fields.text("next")).to_owned();
    let (id, secret) = (fields.text("id"), fields.text("secret"));
    let token = match (id, secret) {
        // The whole of admin.key, in either field.
        (whole, "") | ("", whole) => whole.to_owned(),
        (_, whole) if whole.contains('.') => whole.to_owned(),
        (id, secret) => format!("{id}.{secret}"),
    };
    let keys = console.edge.keys.clone();
    let found = console.edge.database.off_the_runtime(move |_| keys.bearer(&token)).await;
    match found {
        Ok(Ok(key)) => {
            let token = console.sessions.begin(&key.id, Instant::now());
            let secure = matches!(admin::speech(&console.edge), Speech::Tls(_));
            let secure = if secure { "; Secure" } else { "" };
            let cookie = format!("{COOKIE}={}; Path=/; HttpOnly; SameSite=Lax{secure}", *token);
            ([(header::SET_COOKIE, cookie)], Redirect::to(&next)).into_response()
        }
        Ok(Err(denied)) => {
            let address = sign_ins::address(&extensions);
            console.edge.sign_ins.failed(Api::Console, &denied, address);
            let wrong = "No key in force has this id and secret.";
            (StatusCode::FORBIDDEN, page(Theme::Auto, &next, wrong)).into_response()
        }
        Err(error) => {
            tracing::error!(%error, "access keys cannot be read");
            let wrong = "Access keys cannot be read at the moment; the edge's log says why.";
            (StatusCode::SERVICE_UNAVAILABLE, page(Theme::Auto, &next, wrong)).into_response()
        }
    }
}

fn page(theme: Theme, next: &str, wrong: &str) -> Markup {
    let body = html! {
        main.sign-in #content {
            h1 { "Sign in to Hawser" }
            @if !wrong.is_empty() { (parts::banner(parts::Tone::Bad, html! { (wrong) })) }
            form method="post" action={ (ROOT) "/sign-in" } {
                input type="hidden" name="next" value=(next);
                div.field {
                    label for="id" { "Access key id" }
                    input #id name="id" autocomplete="username" autocapitalize="off"
                        spellcheck="false";
                }
                div.field {
                    label for="secret" { "Access key secret" }
                    input #secret name="secret" type="password" autocomplete="current-password";
                    p.hint { "Or the whole key, ID.SECRET, as it stands in admin.key." }
                }
                button.primary { "Sign in" }
            }
            p.hint {
                "The first key is in " code { "admin.key" } " in the state directory; "
                code { "hawser key create" } " makes others."
            }
        }
    };
    Head { title: "Sign in", theme, csrf: None, charts: false }.around(&[], body)
}
