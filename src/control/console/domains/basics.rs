//! The page "Basics" of a domain: what it is and does now; start, stop, delete. Not here: its
//! settings.

use axum::extract::{Path, State};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use maud::{Markup, html};
use serde::Deserialize;

use super::super::parts::{self, Field, Tone};
use super::super::rest::{Refusal, Wrong, part};
use super::super::viewer::{Submitted, Viewer};
use super::super::{Console, ROOT, units};
use super::frame::{Framed, Node, Subject, Tab, api, state_badge};
use super::history::{Entries, author};
use super::list::{Listed, health, protocol, toggle};
use super::preview::{self, Proposal, Step, Verb};
use super::settings::change;
use crate::control::keys::Role;

pub async fn show(
    State(console): State<Console>,
    Path(name): Path<String>,
    viewer: Viewer,
) -> Result<Response, Refusal> {
    page(&console, &viewer, &name, None).await
}

pub async fn start(
    State(console): State<Console>,
    Path(name): Path<String>,
    form: Submitted,
) -> Result<Response, Refusal> {
    let proposal = Proposal {
        title: format!("Start {name}"),
        note: html! { p.soft { "It is served again at once." } },
        verb: Verb { text: "Start", tone: Tone::Plain },
        done: format!("{name} is online."),
        ..switch(&name, "start")
    };
    submit(&console, &name, &form, proposal).await
}

pub async fn stop(
    State(console): State<Console>,
    Path(name): Path<String>,
    form: Submitted,
) -> Result<Response, Refusal> {
    let note = html! {
        p.soft {
            "Its tunnels are closed, and requests for it are answered 421 until it is started "
            "again. File and history stay."
        }
    };
    let proposal = Proposal {
        title: format!("Stop {name}"),
        note,
        verb: Verb { text: "Stop", tone: Tone::Bad },
        done: format!("{name} is stopped."),
        ..switch(&name, "stop")
    };
    submit(&console, &name, &form, proposal).await
}

fn switch(name: &str, verb: &str) -> Proposal {
    Proposal {
        method: Method::POST,
        path: format!("{}/{verb}", api(name)),
        body: None,
        action: format!("{}/{verb}", Tab::Basics.path(name)),
        ..change(name, Tab::Basics, serde_json::Value::Null)
    }
}

pub async fn delete(
    State(console): State<Console>,
    Path(name): Path<String>,
    form: Submitted,
) -> Result<Response, Refusal> {
    if Step::of(&form.fields) == Step::Preview && form.fields.text("confirm") != name {
        let refusal = unconfirmed(&name, form.fields.text("confirm"));
        return page(&console, &form.viewer, &name, Some(&refusal)).await;
    }
    let note = html! {
        p.soft {
            "Its tunnels are closed and its file is removed. The history stays, and can be rolled "
            "back to."
        }
    };
    let proposal = Proposal {
        method: Method::DELETE,
        body: None,
        action: format!("{}/delete", Tab::Basics.path(&name)),
        title: format!("Delete {name}"),
        note,
        verb: Verb { text: "Delete", tone: Tone::Bad },
        done: format!("{name} was deleted."),
        to: "/domains".to_owned(),
        ..change(&name, Tab::Basics, serde_json::Value::Null)
    };
    submit(&console, &name, &form, proposal).await
}

fn unconfirmed(name: &str, typed: &str) -> Refusal {
    let seen: String = typed.chars().take(64).collect();
    let wrong = Wrong {
        pointer: Some(CONFIRM.pointer.to_owned()),
        detail: format!("{seen:?} is not the name of this domain"),
        accepted: Some(name.to_owned()),
        ..Wrong::default()
    };
    let title = "The domain was not deleted";
    let detail = "To be sure that this one is meant, type its name.";
    Refusal { errors: vec![wrong], ..Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, title, detail) }
}

async fn submit(
    console: &Console,
    name: &str,
    form: &Submitted,
    proposal: Proposal,
) -> Result<Response, Refusal> {
    if Step::of(&form.fields) == Step::Back {
        let path = format!("{ROOT}{}", Tab::Basics.path(name));
        return Ok(Redirect::to(&path).into_response());
    }
    match preview::walk(console, form, &proposal).await {
        Ok(response) => Ok(response),
        Err(refusal) if refusal.status == 404 => Err(refusal),
        Err(refusal) => page(console, &form.viewer, name, Some(&refusal)).await,
    }
}

#[derive(Deserialize)]
struct Found {
    items: Vec<Listed>,
}

async fn page(
    console: &Console,
    viewer: &Viewer,
    name: &str,
    refusal: Option<&Refusal>,
) -> Result<Response, Refusal> {
    let subject = Subject::read(viewer, name).await?;
    let node = Node::read(viewer).await?;
    let asked = format!("/domains?name={}&today=true", part(name));
    let found: Found = viewer.rest.read(&asked).await?;
    let listed = found.items.into_iter().find(|domain| domain.name == name);
    let last: Entries = viewer.rest.read(&format!("{}/history?limit=1", api(name))).await?;
    let body = html! {
        @if let Some(refusal) = refusal { (parts::refusal(refusal, &[CONFIRM.pointer])) }
        @if let Some(listed) = &listed { (figures(listed)) }
        (facts(&subject, listed.as_ref(), node, &last))
        @if viewer.may(Role::Operate) { (danger(viewer, &subject, refusal)) }
    };
    let badges = state_badge(subject.is_online());
    Ok(Framed { domain: name, tab: Tab::Basics, badges, body }.answer(console, viewer, refusal))
}

fn figures(domain: &Listed) -> Markup {
    let today = domain.today.unwrap_or_default();
    let (sent, received) =
        (units::bytes(today.bytes_out as f64), units::bytes(today.bytes_in as f64));
    let split = |text: &str| {
        let (value, unit) = text.split_once(' ').unwrap_or((text, ""));
        (value.to_owned(), unit.to_owned())
    };
    let ((sent, sent_unit), (received, received_unit)) = (split(&sent), split(&received));
    parts::figures(html! {
        (parts::figure("Live connections", &units::count(domain.connections), "", ""))
        (parts::figure("Sent to clients today", &sent, &sent_unit, ""))
        (parts::figure("Received today", &received, &received_unit, ""))
    })
}

fn facts(subject: &Subject, listed: Option<&Listed>, node: Node, last: &Entries) -> Markup {
    let name = &subject.name;
    let created = match subject.document["created"].as_str() {
        Some(at) => node.time(at),
        None => html! { span.soft { "before the audit log began" } },
    };
    let changed = match last.items.first() {
        Some(entry) => html! {
            (node.time(&entry.at)) ", by " (author(&entry.author)) ", " (entry.action)
        },
        None => html! { span.soft { "never" } },
    };
    let to = |path: &str, text: &str| {
        html! {
            a href={ (ROOT) (path) "?domain=" (part(name)) } { (text) }
        }
    };
    let websocket = &subject.document["websocket"];
    let scheme = websocket["origin_scheme"].as_str().unwrap_or_default();
    parts::card(
        "Domain",
        parts::facts(&[
            ("State", state_badge(subject.is_online())),
            ("WebSocket", toggle(subject.has_websocket())),
            ("Heartbeat interval", html! { (websocket["heartbeat"]) " s" }),
            ("Back-to-origin protocol", html! { (protocol(scheme)) }),
            ("Origins up", html! { @if let Some(listed) = listed { (health(&listed.origins)) } }),
            ("Created", created),
            ("Last change", changed),
            ("Revision", html! { code { (subject.revision()) } }),
            (
                "Watch",
                html! {
                    (to("/connections", "Live connections")) ", " (to("/statistics", "statistics"))
                },
            ),
        ]),
    )
}

const CONFIRM: Field<'_> = Field {
    name: "confirm",
    label: "Name of the domain",
    hint: "Type the name, to be sure that this one is meant.",
    unit: "",
    pointer: "/confirm",
};

fn danger(viewer: &Viewer, subject: &Subject, refusal: Option<&Refusal>) -> Markup {
    let path = Tab::Basics.path(&subject.name);
    let (verb, text, what) = match subject.is_online() {
        true => ("stop", "Stop", "Tunnels are closed and requests are answered 421."),
        false => ("start", "Start", "The domain is served again."),
    };
    let seen = html! { input type="hidden" name="seen" value=(subject.revision()); };
    html! {
        section.card {
            header {
                div { h2 { (text) " this domain" } p.soft { (what) } }
                (parts::form(viewer, &format!("{path}/{verb}"), html! {
                    (seen)
                    button.danger[subject.is_online()] data-preview { (text) }
                }))
            }
        }
        section.card #delete {
            h2 { "Delete this domain" }
            p.soft { "Tunnels are closed and the file is removed; the history stays." }
            (parts::form(viewer, &format!("{path}/delete"), html! {
                div.stack {
                    (seen)
                    (CONFIRM.around(refusal, |tie| html! {
                        input id=(tie.id) name="confirm" autocomplete="off" autocapitalize="off"
                            spellcheck="false" placeholder=(subject.name)
                            aria-describedby=(tie.described) aria-invalid=[tie.invalid];
                    }))
                    div.actions { button.danger data-preview { "Delete" } }
                }
            }))
        }
    }
}
