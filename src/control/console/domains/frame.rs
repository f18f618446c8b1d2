//! What all pages of one domain have in common: its name above, the navigation on the left. Not
//! here: the pages.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::Value;

use super::super::layout::{Page, Section};
use super::super::parts::{self, Tone};
use super::super::rest::{Refusal, part};
use super::super::viewer::Viewer;
use super::super::{Console, ROOT, units};
use super::FILES;
use crate::control::keys::Role;

/// The pages of a domain, in the order of the navigation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tab {
    Basics,
    Websocket,
    Origins,
    Certificates,
    Limits,
    Access,
    File,
    History,
}

impl Tab {
    const ALL: [Tab; 8] = [
        Tab::Basics,
        Tab::Websocket,
        Tab::Origins,
        Tab::Certificates,
        Tab::Limits,
        Tab::Access,
        Tab::File,
        Tab::History,
    ];

    /// Last part of the path, text.
    fn facts(self) -> (&'static str, &'static str) {
        match self {
            Tab::Basics => ("", "Basics"),
            Tab::Websocket => ("/websocket", "WebSocket"),
            Tab::Origins => ("/origins", "Origins"),
            Tab::Certificates => ("/certificates", "Certificates"),
            Tab::Limits => ("/limits", "Limits"),
            Tab::Access => ("/access", "Access"),
            Tab::File => ("/file", "File"),
            Tab::History => ("/history", "History"),
        }
    }

    pub fn text(self) -> &'static str {
        self.facts().1
    }

    /// Below `/console`.
    pub fn path(self, domain: &str) -> String {
        format!("/domains/{}{}", part(domain), self.facts().0)
    }
}

/// Where the API has a domain.
pub fn api(domain: &str) -> String {
    format!("/domains/{}", part(domain))
}

/// A domain as the API shows it.
pub struct Subject {
    pub name: String,
    pub document: Value,
}

impl Subject {
    pub async fn read(viewer: &Viewer, name: &str) -> Result<Subject, Refusal> {
        let document = viewer.rest.read::<Value>(&api(name)).await.map_err(|refusal| {
            if refusal.status != StatusCode::UNPROCESSABLE_ENTITY {
                return refusal;
            }
            let path = Tab::File.path(name);
            let way = format!("The domain's file is not accepted; mend it at {ROOT}{path}. ");
            Refusal { detail: way + &refusal.detail, ..refusal }
        })?;
        Ok(Subject { name: name.to_owned(), document })
    }

    pub fn revision(&self) -> &str {
        self.document["revision"].as_str().unwrap_or_default()
    }

    pub fn is_online(&self) -> bool {
        self.document["enabled"] == true
    }

    pub fn has_websocket(&self) -> bool {
        self.document["websocket"]["enabled"] == true
    }
}

/// What pages need to know of the node.
#[derive(Debug, Clone, Copy, Deserialize)]
pub struct Node {
    pub plan_in_effect: bool,
    pub utc_offset_s: i32,
}

impl Node {
    pub async fn read(viewer: &Viewer) -> Result<Node, Refusal> {
        viewer.rest.read("/status").await
    }

    /// RFC 3339 as people here read it.
    pub fn time(self, text: &str) -> Markup {
        match text.parse::<Timestamp>() {
            Ok(at) => html! {
                time datetime=(text) { (units::time(at.as_second(), self.utc_offset_s)) }
            },
            Err(_) => html! { (text) },
        }
    }
}

/// A page of a domain.
pub struct Framed<'a> {
    pub domain: &'a str,
    pub tab: Tab,
    /// Beside the heading.
    pub badges: Markup,
    pub body: Markup,
}

impl Framed<'_> {
    pub fn show(self, console: &Console, viewer: &Viewer) -> Markup {
        let Framed { domain, tab, badges, body } = self;
        let title = format!("{domain}: {}", tab.text());
        let body = html! {
            div.stack {
                (parts::trail(&[("Domain names", "/domains")]))
                header.heading {
                    div.line { h1.name { (domain) } (badges) }
                }
            }
            div.domain {
                nav.pages aria-label={ "Pages of " (domain) } {
                    @for one in Tab::ALL {
                        a href={ (ROOT) (one.path(domain)) }
                            aria-current=[(one == tab).then_some("page")] { (one.text()) }
                    }
                }
                div.stack { (body) }
            }
        };
        let page = Page {
            section: Some(Section::Domains),
            title: &title,
            files: FILES,
            charts: false,
            body,
        };
        page.show(console, viewer)
    }

    /// With the status of why a form was refused, where it was.
    pub fn answer(self, console: &Console, viewer: &Viewer, refusal: Option<&Refusal>) -> Response {
        (status(refusal), self.show(console, viewer)).into_response()
    }
}

pub fn status(refusal: Option<&Refusal>) -> StatusCode {
    let status = refusal.and_then(|refusal| StatusCode::from_u16(refusal.status).ok());
    status.unwrap_or(StatusCode::OK)
}

pub fn state_badge(is_online: bool) -> Markup {
    match is_online {
        true => parts::badge(Tone::Good, "online"),
        false => parts::badge(Tone::Notice, "stopped"),
    }
}

/// The end of a form: the way to its preview, or why there is none.
pub fn review(viewer: &Viewer) -> Markup {
    html! {
        @if viewer.may(Role::Operate) {
            div.actions { button.primary { "Review change" } }
        } @else {
            p.soft { "To change this needs a key with the role operate." }
        }
    }
}
