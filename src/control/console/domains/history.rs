//! The page "History" of a domain: who changed it, when and how, each change as a difference, and
//! back to what it was after any of them. Not here: the log (the API).

use axum::extract::{Path, Query, State};
use axum::http::Method;
use axum::response::{IntoResponse, Redirect, Response};
use maud::{Markup, html};
use serde::Deserialize;

use super::super::parts::{self, Tone};
use super::super::rest::Refusal;
use super::super::viewer::{Submitted, Viewer};
use super::super::{Console, ROOT};
use super::frame::{Framed, Node, Tab, api};
use super::preview::{self, Proposal, Step, Verb};
use super::settings::change;
use crate::control::keys::Role;

/// Entries of one page.
const ENTRIES: usize = 20;

#[derive(Deserialize)]
pub struct Entries {
    pub items: Vec<Entry>,
    next: Option<i64>,
}

#[derive(Deserialize)]
pub struct Entry {
    id: i64,
    pub at: String,
    pub author: Author,
    pub action: String,
    about: Option<String>,
    revision: Option<String>,
    before_revision: Option<String>,
    diff: Option<String>,
}

#[derive(Deserialize)]
pub struct Author {
    name: String,
    via: String,
    address: Option<String>,
}

/// Who it was, as one phrase.
pub fn author(author: &Author) -> Markup {
    html! {
        code { (author.name) } " via " (author.via)
        @if let Some(address) = &author.address { " from " (address) }
    }
}

#[derive(Deserialize)]
pub struct Asked {
    before: Option<i64>,
}

pub async fn show(
    State(console): State<Console>,
    Path(name): Path<String>,
    Query(asked): Query<Asked>,
    viewer: Viewer,
) -> Result<Response, Refusal> {
    page(&console, &viewer, &name, asked.before, None).await
}

/// Back to what the domain was after an entry.
pub async fn roll_back(
    State(console): State<Console>,
    Path((name, id)): Path<(String, i64)>,
    form: Submitted,
) -> Result<Response, Refusal> {
    if Step::of(&form.fields) == Step::Back {
        let path = format!("{ROOT}{}", Tab::History.path(&name));
        return Ok(Redirect::to(&path).into_response());
    }
    let note = html! {
        p.soft {
            "The file becomes what it was after entry " (id) ". This is a change of its own, with "
            "an entry of its own."
        }
    };
    let proposal = Proposal {
        method: Method::POST,
        path: format!("/audit/{id}/rollback"),
        body: None,
        action: format!("{}/{id}", Tab::History.path(&name)),
        title: format!("Roll {name} back"),
        note,
        verb: Verb { text: "Roll back", tone: Tone::Bad },
        done: format!("{name} is what it was after entry {id}."),
        ..change(&name, Tab::History, serde_json::Value::Null)
    };
    match preview::walk(&console, &form, &proposal).await {
        Ok(response) => Ok(response),
        Err(refusal) => page(&console, &form.viewer, &name, None, Some(&refusal)).await,
    }
}

async fn page(
    console: &Console,
    viewer: &Viewer,
    name: &str,
    before: Option<i64>,
    refusal: Option<&Refusal>,
) -> Result<Response, Refusal> {
    let mut path = format!("{}/history?limit={ENTRIES}", api(name));
    if let Some(before) = before {
        path.push_str(&format!("&before={before}"));
    }
    let entries: Entries = viewer.rest.read(&path).await?;
    let node = Node::read(viewer).await?;
    let here = format!("{ROOT}{}", Tab::History.path(name));
    let older = entries.next.map(|next| format!("{here}?before={next}"));
    let body = html! {
        @if let Some(refusal) = refusal { (parts::refusal(refusal, &[])) }
        @if entries.items.is_empty() {
            (parts::empty("Nothing happened yet", html! {
                p { "Changes are listed here, with who made them and what they changed." }
            }))
        } @else {
            ol.history {
                @for entry in &entries.items { li.card { (entry.show(viewer, name, node)) } }
            }
            nav.pager aria-label="Pages" {
                span {}
                div.actions {
                    @if before.is_some() { a.button href=(here) { "Newest" } }
                    @if let Some(href) = older { a.button href=(href) rel="next" { "Older" } }
                }
            }
        }
    };
    let badges = html! {};
    Ok(Framed { domain: name, tab: Tab::History, badges, body }.answer(console, viewer, refusal))
}

impl Entry {
    fn show(&self, viewer: &Viewer, name: &str, node: Node) -> Markup {
        let what = match (&self.before_revision, &self.revision) {
            (None, Some(_)) => Some((Tone::Good, "new")),
            (Some(_), None) => Some((Tone::Bad, "removed")),
            _ => None,
        };
        let action = format!("{}/{}", Tab::History.path(name), self.id);
        let is_text = self.revision.is_some() || self.before_revision.is_some();
        html! {
            header {
                div {
                    div.line {
                        h2 { (self.action) }
                        @if let Some((tone, text)) = what { (parts::badge(tone, text)) }
                        @if let Some(about) = &self.about { span.soft { (about) } }
                    }
                    p.soft.small { (node.time(&self.at)) ", by " (author(&self.author)) }
                }
                div.line {
                    span.soft.small { "entry " (self.id) }
                    @if is_text && viewer.may(Role::Admin) {
                        (parts::form(viewer, &action, html! {
                            button.small data-preview {
                                "Roll back to this" span.unseen { " entry, " (self.id) }
                            }
                        }))
                    }
                }
            }
            @if let Some(diff) = &self.diff {
                details.more {
                    summary { "Difference" span.unseen { " of entry " (self.id) } }
                    (parts::difference(diff))
                }
            }
        }
    }
}
