//! The page "File" of a domain: its text as it is, for what has no form. Not here: what it means
//! (docs/configuration.md).

use axum::extract::{Path, State};
use axum::http::Method;
use axum::response::Response;
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::json;

use super::super::rest::{Refusal, Wrong};
use super::super::viewer::{Submitted, Viewer};
use super::super::{Console, parts};
use super::frame::{Framed, Tab, api, review};
use super::preview::{self, Proposal, Step};
use super::settings::change;
use crate::control::keys::Role;

#[derive(Deserialize)]
struct File {
    text: String,
    revision: String,
}

pub async fn show(
    State(console): State<Console>,
    Path(name): Path<String>,
    viewer: Viewer,
) -> Result<Response, Refusal> {
    let File { text, revision } = viewer.rest.read(&format!("{}/file", api(&name))).await?;
    Ok(page(&console, &viewer, &name, (&text, &revision), None))
}

pub async fn submit(
    State(console): State<Console>,
    Path(name): Path<String>,
    form: Submitted,
) -> Result<Response, Refusal> {
    let text = typed(&form);
    let refusal = match Step::of(&form.fields) {
        Step::Back => None,
        _ => {
            let proposal = Proposal {
                method: Method::PUT,
                path: format!("{}/file", api(&name)),
                body: Some(json!({ "text": text })),
                ..change(&name, Tab::File, json!({}))
            };
            match preview::walk(&console, &form, &proposal).await {
                Ok(response) => return Ok(response),
                Err(refusal) => Some(refusal),
            }
        }
    };
    let seen = form.fields.text("seen");
    Ok(page(&console, &form.viewer, &name, (&text, seen), refusal.as_ref()))
}

/// Browsers send lines with CR LF (URL, application/x-www-form-urlencoded).
fn typed(form: &Submitted) -> String {
    form.fields.all("text").next().unwrap_or_default().replace("\r\n", "\n")
}

fn page(
    console: &Console,
    viewer: &Viewer,
    name: &str,
    (text, seen): (&str, &str),
    refusal: Option<&Refusal>,
) -> Response {
    let rows = text.lines().count().clamp(12, 40) + 2;
    let may = viewer.may(Role::Operate);
    let body = html! {
        @if let Some(refusal) = refusal { (refused(refusal)) }
        section.card {
            header {
                h2 id="file" { "Text of the file" }
                button.small type="button" data-copy="text" hidden { "Copy" }
            }
            p.soft {
                "TOML. It is checked as a whole before anything is written; the keys stand in "
                code { "docs/configuration.md" } "."
            }
            (parts::form(viewer, &Tab::File.path(name), html! {
                input type="hidden" name="seen" value=(seen);
                fieldset.stack {
                    // The first line feed is not part of it.
                    textarea #text.code name="text" rows=(rows) spellcheck="false"
                        readonly[!may] aria-labelledby="file" wrap="off"
                        aria-invalid=[refusal.map(|_| "true")] { "\n" (text) }
                    (review(viewer))
                }
            }))
        }
    };
    let badges = html! {};
    Framed { domain: name, tab: Tab::File, badges, body }.answer(console, viewer, refusal)
}

fn refused(refusal: &Refusal) -> Markup {
    html! {
        div.banner.bad role="alert" {
            p { strong { (refusal.title) } ": " (refusal.detail) }
            @if !refusal.errors.is_empty() {
                ul { @for wrong in &refusal.errors { li { (place(wrong)) } } }
            }
        }
    }
}

fn place(wrong: &Wrong) -> Markup {
    let key = wrong.pointer.as_deref().unwrap_or_default();
    html! {
        @if let Some(line) = wrong.line { strong { "Line " (line) } ": " }
        @if !key.is_empty() { code { (key.trim_start_matches('/').replace('/', ".")) } ": " }
        (wrong.detail)
        @if let Some(accepted) = &wrong.accepted { "; accepted: " (accepted) }
    }
}
