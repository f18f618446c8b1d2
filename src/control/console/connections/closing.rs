//! Closing all connections that match: how many there are, with what and how fast, and how far it
//! is. Not here: the filter (`wanted`), one connection (`details`).

use axum::Router;
use axum::extract::{Path, RawQuery, State};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::Value;

use super::details::{self, Closing, no_code};
use super::wanted::Wanted;
use super::{FILES, Listing};
use crate::control::console::layout::{Page, Section};
use crate::control::console::node::Node;
use crate::control::console::parts::{self, Column, Field, Tone};
use crate::control::console::rest::{Refusal, Wrong, part};
use crate::control::console::viewer::{Fields, Submitted, Viewer};
use crate::control::console::{Console, ROOT, units};
use crate::control::keys::Role;

/// Connections per second, where nobody typed another number: 10,000 clients come back over almost
/// two minutes.
const RATE: &str = "100";

pub fn routes() -> Router<Console> {
    Router::new()
        .route("/connections/close", get(ask).post(begin))
        .route("/connections/closings", get(list))
        .route("/connections/closings/{id}", get(show))
        .route("/connections/closings/{id}/stop", post(stop))
}

/// As `GET /connections/closings` has them.
#[derive(Deserialize)]
struct Closings {
    items: Vec<Progress>,
}

#[derive(Deserialize)]
struct Progress {
    id: u64,
    about: String,
    code: u16,
    reason: String,
    rate_per_second: Option<u64>,
    matched: u64,
    told: u64,
    state: String,
    /// RFC 3339.
    begun: String,
    by: String,
}

#[derive(Deserialize)]
struct Begun {
    id: u64,
}

/// What the form holds beside the filter.
struct Typed<'a> {
    with: Closing<'a>,
    rate: &'a str,
}

/// A line for each closing that is under way.
pub async fn running(viewer: &Viewer) -> Markup {
    let all = match viewer.rest.read::<Closings>("/connections/closings").await {
        Ok(all) => all,
        // The list is worth more than this line of it.
        Err(why) => {
            let text = format!("Closings under way cannot be shown: {}", why.detail);
            return parts::banner(Tone::Notice, html! { p { (text) } });
        }
    };
    let running = all.items.iter().filter(|progress| progress.state == "running");
    html! {
        @for progress in running {
            (parts::banner(Tone::Notice, html! {
                p {
                    "Closing " (progress.about) ": " (units::count(progress.told)) " of "
                    (units::count(progress.matched)) " told. "
                    a href={ (ROOT) "/connections/closings/" (progress.id) } { "Follow or stop it" }
                }
            }))
        }
    }
}

// === Before ===

async fn ask(
    State(console): State<Console>,
    viewer: Viewer,
    RawQuery(query): RawQuery,
) -> Result<Response, Refusal> {
    let wanted = Wanted::of(&Fields::read(query.unwrap_or_default().as_bytes()));
    let typed = Typed { with: Closing::DEFAULT, rate: RATE };
    form_page(&console, &viewer, &wanted, &typed, None).await
}

async fn form_page(
    console: &Console,
    viewer: &Viewer,
    wanted: &Wanted,
    typed: &Typed<'_>,
    refusal: Option<&Refusal>,
) -> Result<Response, Refusal> {
    if !viewer.may(Role::Operate) {
        let detail = "Your key may look at connections; closing them needs the role operate.";
        return Err(Refusal::new(StatusCode::FORBIDDEN, "This key may not do that", detail));
    }
    let matched = match wanted.is_everything() {
        true => None,
        false => {
            let query = wanted.api_query()?;
            let listing: Listing =
                viewer.rest.read(&format!("/connections?{query}&limit=1")).await?;
            Some(listing.matched as u64)
        }
    };
    let status = refusal.map_or(200, |refusal| refusal.status);
    let body = html! {
        (parts::trail(&[
            ("Live connections", "/connections"),
            ("This filter", &format!("/connections?{}", wanted.query())),
        ]))
        (parts::heading("Close connections", "", html! {}))
        @if let Some(refusal) = refusal {
            (parts::refusal(refusal, &["/code", "/reason", "/rate_per_second"]))
        }
        @match matched {
            None => (parts::empty("Say which ones first", html! {
                p {
                    "Set a filter on the list, then close what it shows. To empty the whole edge, \
                     drain it: " code { "hawser drain" } "."
                }
                p { a href={ (ROOT) "/connections" } { "Go to the list" } }
            })),
            Some(0) => (parts::empty("Nothing to close", html! {
                p { "No connection is open " (wanted.words()) "." }
                p { a href={ (ROOT) "/connections?" (wanted.query()) } { "Back to the list" } }
            })),
            Some(n) => (form(viewer, wanted, n, typed, refusal)),
        }
    };
    Ok((code_of(status), shown(console, viewer, "Close connections", body)).into_response())
}

fn form(
    viewer: &Viewer,
    wanted: &Wanted,
    matched: u64,
    typed: &Typed<'_>,
    refusal: Option<&Refusal>,
) -> Markup {
    let rate = Field {
        name: "rate",
        label: "Pace",
        hint: "1 to 1,000,000, all cores together. Empty: all at once.",
        unit: "per second",
        pointer: "/rate_per_second",
    };
    let these = connections(matched);
    let question = format!("Close {these} {}?", wanted.words());
    let form = parts::form(
        viewer,
        "/connections/close",
        html! {
            div.stack {
                p {
                    strong { (these) } " open now "
                    (if matched == 1 { "is" } else { "are" }) " " (wanted.words())
                    ". Those that match when it begins are closed; what opens later is left alone."
                }
                @for (name, value) in wanted.fields() {
                    @if !value.is_empty() { input type="hidden" name=(name) value=(value); }
                }
                (details::fields(&typed.with, refusal, ["/code", "/reason"]))
                (rate.around(refusal, |tie| html! {
                    input id=(tie.id) type="text" inputmode="numeric" name="rate" size="8"
                        value=(typed.rate) autocomplete="off" aria-describedby=(tie.described)
                        aria-invalid=[tie.invalid] autofocus[tie.invalid.is_some()];
                }))
                div.actions {
                    button.danger.primary data-confirm=(question) { "Close " (these) }
                    a.button href={ (ROOT) "/connections?" (wanted.query()) } { "Cancel" }
                }
            }
        },
    );
    parts::card("What is closed, and how", form)
}

fn connections(n: u64) -> String {
    match n {
        1 => "1 connection".to_owned(),
        n => format!("{} connections", units::count(n)),
    }
}

async fn begin(State(console): State<Console>, form: Submitted) -> Result<Response, Refusal> {
    let Submitted { viewer, fields } = form;
    let wanted = Wanted::of(&fields);
    let with = Closing { code: fields.text("code"), reason: fields.text("reason") };
    let typed = Typed { with, rate: fields.text("rate") };
    let body = match body(&wanted, &typed) {
        Ok(body) => body,
        Err(refusal) => {
            return form_page(&console, &viewer, &wanted, &typed, Some(&refusal)).await;
        }
    };
    if !fields.is_on(parts::CONFIRMED) {
        return Ok(sure(&console, &viewer, &wanted, &typed).into_response());
    }
    let path = "/connections/close";
    match viewer.rest.send::<Begun>(Method::POST, path, None, Some(&body)).await {
        Ok(begun) => {
            let to = format!("{ROOT}/connections/closings/{}", begun.id);
            Ok(Redirect::to(&to).into_response())
        }
        Err(refusal) if matches!(refusal.status, 409 | 422) => {
            form_page(&console, &viewer, &wanted, &typed, Some(&refusal)).await
        }
        Err(refusal) => Err(refusal),
    }
}

fn sure(console: &Console, viewer: &Viewer, wanted: &Wanted, typed: &Typed<'_>) -> Markup {
    let pace = match typed.rate {
        "" => "all at once".to_owned(),
        rate => format!("{rate} per second"),
    };
    let text = format!(
        "Connections {} are closed with {} \"{}\", {pace}. This cannot be taken back.",
        wanted.words(),
        typed.with.code,
        typed.with.reason
    );
    let mut fields = wanted.fields().to_vec();
    fields.extend([("code", typed.with.code), ("reason", typed.with.reason), ("rate", typed.rate)]);
    let back = format!("/connections/close?{}", wanted.query());
    let title = "Close these connections?";
    let body = parts::confirmation(
        viewer,
        title,
        &text,
        "/connections/close",
        "Close connections",
        &back,
        &fields,
    );
    shown(console, viewer, title, body)
}

/// Of `POST /connections/close`.
fn body(wanted: &Wanted, typed: &Typed<'_>) -> Result<Value, Refusal> {
    let mut body = wanted.api_body()?;
    let Ok(code) = typed.with.code.parse::<u16>() else {
        return Err(no_code(typed.with.code, "/code"));
    };
    body.insert("code".to_owned(), code.into());
    body.insert("reason".to_owned(), typed.with.reason.into());
    if !typed.rate.is_empty() {
        let rate = typed.rate.parse::<u32>().ok().filter(|rate| (1..=1_000_000).contains(rate));
        let rate = rate.ok_or_else(|| no_rate(typed.rate))?;
        body.insert("rate_per_second".to_owned(), rate.into());
    }
    Ok(body.into())
}

fn no_rate(typed: &str) -> Refusal {
    let wrong = Wrong {
        pointer: Some("/rate_per_second".to_owned()),
        detail: format!("{typed:?} is no pace"),
        accepted: Some("a number from 1 to 1,000,000, or nothing: all at once".to_owned()),
        ..Wrong::default()
    };
    let detail = "The pace cannot be read; nothing was closed.";
    let status = StatusCode::UNPROCESSABLE_ENTITY;
    let refusal = Refusal::new(status, "The content is not accepted", detail);
    Refusal { errors: vec![wrong], ..refusal }
}

// === While it runs, and after ===

async fn show(
    State(console): State<Console>,
    viewer: Viewer,
    Path(id): Path<String>,
) -> Result<Markup, Refusal> {
    let progress: Progress =
        viewer.rest.read(&format!("/connections/closings/{}", part(&id))).await?;
    let node = Node::read(&viewer).await?;
    let runs = progress.state == "running";
    let pace = match progress.rate_per_second {
        Some(rate) => format!("{} per second", units::count(rate)),
        None => "all at once".to_owned(),
    };
    let body = html! {
        (parts::trail(&[
            ("Live connections", "/connections"),
            ("Closings", "/connections/closings"),
        ]))
        (parts::heading(&format!("Closing {}", progress.id), &progress.about, html! {}))
        div.stack data-closing=[runs.then_some(progress.id)] {
            (parts::card_with("Progress", html! {
                @if runs && viewer.may(Role::Operate) {
                    (parts::form(
                        &viewer,
                        &format!("/connections/closings/{}/stop", progress.id),
                        html! { button.danger data-stop { "Stop it" } },
                    ))
                }
            }, html! {
                progress.wide max=(progress.matched.max(1)) value=(progress.told)
                    aria-label="Connections told to close" {}
                p data-told { (told(&progress)) }
                p.unseen role="status" data-said {}
                @if runs {
                    noscript {
                        p {
                            a href={ (ROOT) "/connections/closings/" (progress.id) } {
                                "Look again"
                            }
                        }
                    }
                }
            }))
            (parts::card("What was ordered", parts::facts(&[
                ("Which ones", html! { (progress.about) }),
                ("Close frame", html! { (progress.code) " \"" (progress.reason) "\"" }),
                ("Pace", html! { (pace) }),
                ("By", html! { "key " code { (progress.by) } }),
                ("Begun", node.time(&progress.begun)),
            ])))
        }
    };
    Ok(shown(&console, &viewer, &format!("Closing {}", progress.id), body))
}

/// `connections.js` writes the same.
fn told(progress: &Progress) -> String {
    let (told, matched) = (units::count(progress.told), units::count(progress.matched));
    match &*progress.state {
        "running" => format!("{told} of {matched} connections told to close."),
        "stopped" => format!("Stopped: {told} of {matched} connections were told to close."),
        _ => format!("Done: {matched} of {matched} connections were told to close."),
    }
}

async fn list(State(console): State<Console>, viewer: Viewer) -> Result<Markup, Refusal> {
    let all: Closings = viewer.rest.read("/connections/closings").await?;
    let columns = [
        Column::Text("Closing"),
        Column::Text("Which ones"),
        Column::Text("State"),
        Column::Number("Told"),
        Column::Number("Matched"),
    ];
    let body = html! {
        (parts::trail(&[("Live connections", "/connections")]))
        (parts::heading("Closings", "The last 64 since the edge started.", html! {}))
        @if all.items.is_empty() {
            (parts::empty("Nothing was closed in bulk", html! {
                p { "Set a filter on the list of live connections, then close what it shows." }
                p { a href={ (ROOT) "/connections" } { "Go to the list" } }
            }))
        } @else {
            (parts::table_of("Closings", &columns, html! {
                @for progress in &all.items {
                    tr {
                        td {
                            a.row href={ (ROOT) "/connections/closings/" (progress.id) } {
                                (progress.id)
                            }
                        }
                        td { (progress.about) }
                        td { (stage(&progress.state)) }
                        td.num { (units::count(progress.told)) }
                        td.num { (units::count(progress.matched)) }
                    }
                }
            }))
        }
    };
    Ok(shown(&console, &viewer, "Closings", body))
}

fn stage(state: &str) -> Markup {
    let tone = match state {
        "running" => Tone::Notice,
        "done" => Tone::Good,
        _ => Tone::Plain,
    };
    parts::badge(tone, state)
}

async fn stop(
    State(console): State<Console>,
    Path(id): Path<String>,
    form: Submitted,
) -> Result<Redirect, Refusal> {
    let viewer = form.viewer;
    let path = format!("/connections/closings/{}", part(&id));
    let progress: Progress = viewer.rest.send(Method::DELETE, &path, None, None).await?;
    console.sessions.leave_notice(&viewer.token, told(&progress));
    Ok(Redirect::to(&format!("{ROOT}{path}")))
}

fn shown(console: &Console, viewer: &Viewer, title: &str, body: Markup) -> Markup {
    let section = Some(Section::Connections);
    Page { section, title, files: FILES, charts: false, body }.show(console, viewer)
}

fn code_of(status: u16) -> StatusCode {
    StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_typed_becomes_an_order_or_an_error_beside_its_field() {
        let wanted = Wanted { domain: "a.test".to_owned(), ..Wanted::default() };
        let typed = |code, rate| Typed { with: Closing { code, reason: "moving" }, rate };
        let order = body(&wanted, &typed("4001", "50")).unwrap();
        let expected = serde_json::json!({ "domain": "a.test", "code": 4001, "reason": "moving",
                                           "rate_per_second": 50 });
        assert_eq!(order, expected);
        assert_eq!(body(&wanted, &typed("4001", "")).unwrap().get("rate_per_second"), None);
        for (code, rate, pointer) in [
            ("x", "1", "/code"),
            ("70000", "1", "/code"),
            ("1012", "0", "/rate_per_second"),
            ("1012", "fast", "/rate_per_second"),
            ("1012", "1000001", "/rate_per_second"),
        ] {
            let refusal = body(&wanted, &typed(code, rate)).unwrap_err();
            assert!(
                refusal.at(pointer).is_some_and(|wrong| wrong.accepted.is_some()),
                "{code} {rate}"
            );
        }
    }
}
