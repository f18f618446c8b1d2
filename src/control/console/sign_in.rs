//! Signing in with an access key. Not here: sessions, keys.

use std::time::Instant;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use maud::{Markup, html};
use serde::Deserialize;
use zeroize::Zeroizing;

use super::layout::Head;
use super::rest::Refusal;
use super::viewer::{self, Fields, Theme};
use super::{Console, ROOT, assets, parts};
use crate::control::admin;
use crate::control::server::Speech;
use crate::control::sessions::{self, COOKIE};
use crate::control::sign_ins::{self, Api};

pub fn routes() -> Router<Console> {
    Router::new().route("/sign-in", get(show).post(sign_in))
}

#[derive(Deserialize)]
struct Asked {
    next: Option<String>,
}

/// What stands on the page.
#[derive(Default)]
struct Shown<'a> {
    theme: Theme,
    next: &'a str,
    /// As it was typed; never a secret.
    id: &'a str,
    /// Why somebody is here again.
    notice: Option<&'static str>,
    wrong: Option<&'static str>,
}

async fn show(
    State(console): State<Console>,
    Query(asked): Query<Asked>,
    parts: Parts,
) -> Result<Response, Refusal> {
    let next = next(asked.next.as_deref().unwrap_or_default());
    if viewer::find(&console, &parts).await?.is_some() {
        return Ok(Redirect::to(next).into_response());
    }
    let had = sessions::cookie(&parts.headers, COOKIE).is_some();
    let notice = had.then_some("Your session is over. Sign in to go on where you were.");
    Ok(page(&Shown { theme: Theme::of(&parts), next, notice, ..Shown::default() }).into_response())
}

/// Only a page of the console: anything else would lend its name to another site.
fn next(wanted: &str) -> &str {
    let inside = wanted.strip_prefix(ROOT).is_some_and(|rest| rest.starts_with('/'));
    let plain = wanted.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    if inside && plain { wanted } else { "/console/" }
}

async fn sign_in(State(console): State<Console>, parts: Parts, body: Bytes) -> Response {
    let fields = Fields::read(&body);
    let (id, secret) = (fields.text("id"), fields.text("secret"));
    let (theme, next) = (Theme::of(&parts), next(fields.text("next")));
    // Whoever takes the first field for that of the whole key does not get it shown.
    let shown =
        Shown { theme, next, id: if id.contains('.') { "" } else { id }, ..Shown::default() };
    let token = match (id, secret) {
        ("", "") => {
            let wrong = Some("Enter the id and the secret of an access key.");
            let page = page(&Shown { wrong, ..shown });
            return (StatusCode::UNPROCESSABLE_ENTITY, page).into_response();
        }
        // The whole of admin.key, in either field.
        (whole, "") | ("", whole) => whole.to_owned(),
        (_, whole) if whole.contains('.') => whole.to_owned(),
        (id, secret) => format!("{id}.{secret}"),
    };
    let token = Zeroizing::new(token);
    let keys = console.edge.keys.clone();
    let found = console.edge.database.off_the_runtime(move |_| keys.bearer(&token)).await;
    match found {
        Ok(Ok(key)) => {
            // Whoever signs in anew leaves no session behind.
            if let Some(before) = sessions::cookie(&parts.headers, COOKIE) {
                console.sessions.end(&before);
            }
            let token = console.sessions.begin(&key.id, Instant::now());
            let secure = matches!(admin::speech(&console.edge), Speech::Tls(_));
            let secure = if secure { "; Secure" } else { "" };
            let cookie = format!("{COOKIE}={}; Path=/; HttpOnly; SameSite=Lax{secure}", *token);
            ([(header::SET_COOKIE, cookie)], Redirect::to(next)).into_response()
        }
        Ok(Err(denied)) => {
            let address = sign_ins::address(&parts.extensions);
            console.edge.sign_ins.failed(Api::Console, &denied, address);
            let wrong = Some("No access key in force has this id and secret.");
            (StatusCode::FORBIDDEN, page(&Shown { wrong, ..shown })).into_response()
        }
        Err(error) => {
            tracing::error!(%error, "access keys cannot be read");
            let wrong = Some("Access keys cannot be read at the moment; the edge's log says why.");
            (StatusCode::SERVICE_UNAVAILABLE, page(&Shown { wrong, ..shown })).into_response()
        }
    }
}

fn page(shown: &Shown<'_>) -> Markup {
    let wrong = shown.wrong;
    let invalid = wrong.map(|_| "true");
    let body = html! {
        main.sign-in #content {
            div.brand {
                img src=(assets::url("icon.svg")) width="32" height="32" alt="";
                "Hawser"
            }
            div.card {
                h1 { "Sign in" }
                @if let Some(notice) = shown.notice {
                    (parts::banner(parts::Tone::Notice, html! { (notice) }))
                }
                form method="post" action={ (ROOT) "/sign-in" } {
                    input type="hidden" name="next" value=(shown.next);
                    div.field {
                        label for="id" { "Access key id" }
                        div.control {
                            input #id name="id" value=(shown.id) autocomplete="username"
                                autocapitalize="none" spellcheck="false" aria-invalid=[invalid]
                                aria-describedby="wrong" autofocus[wrong.is_none()];
                        }
                    }
                    div.field {
                        label for="secret" { "Access key secret" }
                        div.control {
                            input #secret name="secret" type="password"
                                autocomplete="current-password" aria-invalid=[invalid]
                                aria-describedby="wrong hint" autofocus[wrong.is_some()];
                        }
                        p.error #wrong role="alert" { @if let Some(wrong) = wrong { (wrong) } }
                        p.hint #hint { "Or the whole key, ID.SECRET, here alone." }
                    }
                    button.primary { "Sign in" }
                }
            }
            p.hint {
                "The first key stands in " code { "admin.key" } " in the state directory; "
                code { "hawser key create" } " makes others."
            }
        }
    };
    Head { title: "Sign in", theme: shown.theme, csrf: None, charts: false }.around(&[], body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_sent_to_another_site() {
        for own in ["/console/", "/console/domains?search=a%20b&x=%2F%2Fevil.test#websocket"] {
            assert_eq!(next(own), own);
        }
        for foreign in [
            "",
            "/",
            "//evil.test",
            "https://evil.test/console/",
            "/consoles",
            "/console",
            "/console.evil.test/",
            "/api/v1/keys",
            "\\console/",
            "/console/\\evil.test",
            "/console/\t/evil.test",
            "/console/\r\nSet-Cookie: a=b",
            "/console/\u{e9}",
            " /console/",
        ] {
            assert_eq!(next(foreign), "/console/", "{foreign:?}");
        }
    }
}
