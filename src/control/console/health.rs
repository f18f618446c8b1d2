//! The page "Health": how the process does, what is live on its cores and what a reload would
//! change, which origins are down, which certificates end, what was lost; and the way to its end.
//!
//! Not here: each of its parts (`health/`), what is looked at (`api`).

mod answers;
mod configuration;
mod findings;
mod lists;

use axum::Router;
use axum::extract::{Query, State};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use maud::{Markup, html};
use serde_json::json;

use self::answers::{Drained, Reloaded, Status};
use self::lists::Asked;
use super::layout::{Page, Section};
use super::parts::{self, Field, Tone};
use super::rest::{Refusal, Wrong};
use super::viewer::{Submitted, Viewer};
use super::{Console, ROOT, units};
use crate::control::keys::Role;

const PAGE: &str = "/health";

const WINDOW: Field<'_> = Field {
    name: "window",
    label: "Window",
    hint: "From 0 to 3600 seconds; empty: drain.window of hawser.toml. Each connection is closed \
           at a random moment of it, so that clients do not come back all at once.",
    unit: "seconds",
    pointer: "/window_ms",
};

pub fn routes() -> Router<Console> {
    Router::new()
        .route("/health", get(show))
        .route("/health/reload", post(reload))
        .route("/health/drain", post(drain))
}

async fn show(
    State(console): State<Console>,
    Query(asked): Query<Asked>,
    viewer: Viewer,
) -> Result<Markup, Refusal> {
    Ok(page(&viewer, &asked, None).await?.show(&console, &viewer))
}

/// What a form sent here came to, to be shown where it stands.
struct Refused {
    refusal: Refusal,
    form: Form,
    window: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Reload,
    Drain,
}

async fn page<'a>(
    viewer: &Viewer,
    asked: &Asked,
    refused: Option<Refused>,
) -> Result<Page<'a>, Refusal> {
    let status: Status = viewer.rest.read("/status").await?;
    let of = |form| refused.as_ref().filter(|refused| refused.form == form);
    let reload = of(Form::Reload).map(|refused| &refused.refusal);
    let body = html! {
        (parts::heading("Health", "How this node does, and what needs somebody.", html! {}))
        (figures(&status))
        (findings::card(viewer).await)
        (configuration::card(viewer, &status, reload).await?)
        (lists::origins(viewer, asked).await?)
        (lists::certificates(viewer, asked, &status).await?)
        div.columns {
            (access_log(&status))
            (statistics(&status))
        }
        (process(viewer, &status, of(Form::Drain)))
    };
    let section = Some(Section::Health);
    Ok(Page { section, title: "Health", files: &[], charts: false, body })
}

fn figures(status: &Status) -> Markup {
    let uptime = units::duration(status.uptime_s.saturating_mul(1000));
    let note = html! { p.note { (status.phase_words()) } };
    parts::figures(html! {
        (parts::figure_with("State", status.phase_title(), "", "", note))
        (parts::figure("Up for", &uptime, "", ""))
        (parts::figure("Open connections", &units::count(status.connections), "", ""))
        (parts::figure("Domains served", &units::count(status.domains), "", ""))
        (parts::figure("Version", &status.version, "", ""))
    })
}

fn access_log(status: &Status) -> Markup {
    let log = &status.access_log;
    let lost = log.lines_lost + log.events_dropped;
    let rows = [
        ("Lines written", html! { (units::count(log.lines_written)) }),
        ("Lines lost", html! { (counted(log.lines_lost)) }),
        ("Events dropped", html! { (counted(log.events_dropped)) }),
    ];
    let body = html! {
        (parts::facts(&rows))
        @if log.lines_lost > 0 {
            p.hint { "Lines are lost while their destination cannot be written: a full disk, a \
                      pipe that nobody reads. Make room; writing goes on by itself." }
        }
        @if log.events_dropped > 0 {
            p.hint { "Events are dropped when cores make more of them than can be written: a \
                      faster disk for the access log, or less of it." }
        }
    };
    let badge = if lost == 0 { ("Nothing lost", Tone::Good) } else { ("Lines lost", Tone::Bad) };
    parts::card_with("Access log", parts::badge(badge.1, badge.0), body)
}

fn statistics(status: &Status) -> Markup {
    let of = &status.statistics;
    let written = match &of.last_written {
        Some(at) => html! { (status.time(at)) },
        None => html! { "Not yet; it is done every 10 seconds" },
    };
    let rows = [
        ("Last written", written),
        ("Failed writes", html! { (counted(of.writes_failed)) }),
        ("Rows waiting", html! { (units::count(of.rows_waiting)) }),
        ("Rows coarsened", html! { (counted(of.rows_coarsened)) }),
    ];
    let body = html! {
        (parts::facts(&rows))
        @if of.writes_failed > 0 {
            p.hint { "What could not be written waits in memory and is written later; the log of \
                      the process says why it failed. When too many rows wait, they are merged \
                      without region and provider." }
        }
    };
    let badge = match (of.rows_waiting, of.rows_coarsened) {
        (_, 1..) => ("Detail lost", Tone::Bad),
        (1.., _) if of.writes_failed > 0 => ("Waiting", Tone::Notice),
        _ => ("Written", Tone::Good),
    };
    parts::card_with("Statistics", parts::badge(badge.1, badge.0), body)
}

/// A count that should be nothing.
fn counted(n: u64) -> Markup {
    html! { @if n == 0 { "0" } @else { strong.bad-ink { (units::count(n)) } } }
}

fn process(viewer: &Viewer, status: &Status, refused: Option<&Refused>) -> Markup {
    let addresses = |list: &[String]| {
        html! {
            @if list.is_empty() { span.soft { "none" } }
            @for (n, address) in list.iter().enumerate() {
                @if n > 0 { ", " }
                code { (address) }
            }
        }
    };
    let rows = [
        ("Listens", addresses(&status.listen)),
        ("Listens with TLS", addresses(&status.listen_tls)),
        ("Cores", html! { (units::count(status.cores)) }),
        ("Process id", html! { (status.pid) }),
    ];
    let body = html! {
        (parts::facts(&rows))
        @if viewer.may(Role::Operate) { (ending(viewer, status, refused)) }
    };
    parts::card("Process", body)
}

fn ending(viewer: &Viewer, status: &Status, refused: Option<&Refused>) -> Markup {
    let question = "Drain this node? It accepts nothing new, closes every connection within the \
                    window, and ends. Nothing but a start brings it back.";
    html! {
        hr;
        h3 { "Drain" }
        p { "A drain ends the process in order: it accepts no more connections, closes those that \
             are open (1001, going away), and exits. Whatever watches the process starts it again \
             or not, by its own rules. For a new version or a restart without a gap, "
            "SIGUSR2 hands the listeners over instead." }
        @if status.is_serving() {
            @let wrong = refused.map(|refused| &refused.refusal);
            @if let Some(wrong) = wrong { (parts::refusal(wrong, &[WINDOW.pointer])) }
            (parts::form(viewer, "/health/drain", html! {
                div.stack {
                    (WINDOW.input("number", refused.map_or("", |r| &r.window), wrong))
                    div.actions {
                        button.danger data-confirm=(question) { "Drain this node" }
                    }
                }
            }))
        } @else {
            p { "It is on its way out already." }
        }
    }
}

async fn reload(State(console): State<Console>, form: Submitted) -> Result<Response, Refusal> {
    let viewer = form.viewer;
    match viewer.rest.send::<Reloaded>(Method::POST, "/reload", None, None).await {
        Ok(reloaded) => {
            console.sessions.leave_notice(&viewer.token, reloaded.words());
            Ok(Redirect::to(&format!("{ROOT}{PAGE}")).into_response())
        }
        Err(refusal) => {
            let refused = Refused { refusal, form: Form::Reload, window: String::new() };
            again(&console, &viewer, refused).await
        }
    }
}

async fn drain(State(console): State<Console>, form: Submitted) -> Result<Response, Refusal> {
    let viewer = form.viewer;
    let window = form.fields.text("window").to_owned();
    let refuse = |refusal| Refused { refusal, form: Form::Drain, window: window.clone() };
    let Some(wanted) = milliseconds(&window) else {
        return again(&console, &viewer, refuse(not_a_window(&window))).await;
    };
    // Who may not is told so at once.
    if viewer.may(Role::Operate) && !form.fields.is_on(parts::CONFIRMED) {
        return Ok(ask(&console, &viewer, &window).into_response());
    }
    let body = json!({ "window_ms": wanted });
    match viewer.rest.send::<Drained>(Method::POST, "/drain", None, Some(&body)).await {
        Ok(drained) => Ok(begun(&console, &viewer, &drained).into_response()),
        Err(refusal) => again(&console, &viewer, refuse(refusal)).await,
    }
}

/// There may be nobody to ask for another page.
fn begun(console: &Console, viewer: &Viewer, drained: &Drained) -> Markup {
    let body = html! {
        (parts::heading("Draining", &drained.words(), html! {}))
        p { "This page answers until the process ends. Then it is up to whatever watches the \
             process, or to " code { "hawser run" } ", to start it again; sessions of the console \
             end with it." }
        p { a href={ (ROOT) (PAGE) } { "Look how it goes" } }
    };
    let section = Some(Section::Health);
    Page { section, title: "Draining", files: &[], charts: false, body }.show(console, viewer)
}

fn ask(console: &Console, viewer: &Viewer, window: &str) -> Markup {
    let body = parts::confirmation(
        viewer,
        "Drain this node?",
        "It accepts nothing new, closes every connection within the window, and ends. Nothing but \
         a start brings it back.",
        "/health/drain",
        "Drain this node",
        PAGE,
        &[("window", window)],
    );
    let section = Some(Section::Health);
    Page { section, title: "Drain", files: &[], charts: false, body }.show(console, viewer)
}

/// The page once more, with what was not done and why.
async fn again(console: &Console, viewer: &Viewer, refused: Refused) -> Result<Response, Refusal> {
    let status = StatusCode::from_u16(refused.refusal.status).unwrap_or(StatusCode::BAD_GATEWAY);
    let page = page(viewer, &Asked::default(), Some(refused)).await?;
    Ok((status, page.show(console, viewer)).into_response())
}

/// `Some(None)`: as configured.
fn milliseconds(seconds: &str) -> Option<Option<u64>> {
    if seconds.is_empty() {
        return Some(None);
    }
    let seconds: f64 = seconds.parse().ok()?;
    let range = 0.0..=3600.0;
    range.contains(&seconds).then(|| Some((seconds * 1000.0).round() as u64))
}

fn not_a_window(text: &str) -> Refusal {
    let wrong = Wrong {
        pointer: Some(WINDOW.pointer.to_owned()),
        detail: format!("{text:?} is not accepted"),
        accepted: Some("a number of seconds from 0 to 3600, or nothing".to_owned()),
        ..Wrong::default()
    };
    let (status, title) = (StatusCode::UNPROCESSABLE_ENTITY, "The window is not accepted");
    Refusal { errors: vec![wrong], ..Refusal::new(status, title, "Nothing was done.") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_of_a_drain() {
        for (text, wanted) in [
            ("", Some(None)),
            ("0", Some(Some(0))),
            ("1.5", Some(Some(1500))),
            ("3600", Some(Some(3_600_000))),
            ("3600.1", None),
            ("-1", None),
            ("NaN", None),
            ("soon", None),
        ] {
            assert_eq!(milliseconds(text), wanted, "{text:?}");
        }
    }
}
