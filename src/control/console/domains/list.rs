//! The list of domains: search, what each does, start and stop, changes to several at once. Not
//! here: those changes (`batch`), one domain (`frame`).

use axum::extract::{Query, State};
use maud::{Markup, html};
use serde::{Deserialize, Serialize};

use super::super::layout::{Page, Section};
use super::super::parts::{self, Column, Tone};
use super::super::rest::Refusal;
use super::super::viewer::Viewer;
use super::super::{Console, ROOT, units};
use super::frame::{Tab, state_badge};
use super::websocket::SCHEMES;
use super::{ADD, BATCH, FILES};
use crate::control::keys::Role;
use crate::limits::API_BATCH_MAX;

/// What the list was asked for.
#[derive(Debug, Default, Deserialize, Serialize)]
pub struct Asked {
    #[serde(default)]
    search: String,
    /// `online`, `offline` or nothing.
    #[serde(default)]
    state: String,
    /// `true`, `false` or nothing.
    #[serde(default)]
    websocket: String,
    #[serde(default)]
    after: String,
}

const STATES: [(&str, &str); 3] = [("", "Any"), ("online", "Online"), ("offline", "Stopped")];
const TOGGLES: [(&str, &str); 3] = [("", "Any"), ("true", "On"), ("false", "Off")];

impl Asked {
    /// As a query, without what says nothing.
    fn query(&self, limit: Option<usize>) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        let fields = [
            ("search", self.search.trim()),
            ("state", &self.state),
            ("websocket", &self.websocket),
            ("after", &self.after),
        ];
        query.extend_pairs(fields.into_iter().filter(|(_, value)| !value.is_empty()));
        if let Some(limit) = limit {
            query.append_pair("limit", &limit.to_string()).append_pair("today", "true");
        }
        query.finish()
    }

    fn is_filtered(&self) -> bool {
        !(self.search.trim().is_empty() && self.state.is_empty() && self.websocket.is_empty())
    }

    /// The same from its beginning.
    fn first(&self) -> Asked {
        let Asked { search, state, websocket, .. } = self;
        Asked {
            search: search.clone(),
            state: state.clone(),
            websocket: websocket.clone(),
            after: String::new(),
        }
    }
}

#[derive(Deserialize)]
struct Domains {
    items: Vec<Listed>,
    next: Option<String>,
    total: usize,
}

/// A domain as the API lists it.
#[derive(Deserialize)]
pub struct Listed {
    pub name: String,
    pub enabled: bool,
    pub websocket: bool,
    pub heartbeat: u64,
    pub origin_scheme: String,
    pub origins: Origins,
    pub connections: u64,
    pub today: Option<Today>,
}

#[derive(Deserialize)]
pub struct Origins {
    pub configured: usize,
    pub up: Option<usize>,
}

#[derive(Deserialize, Default, Clone, Copy)]
pub struct Today {
    pub bytes_out: u64,
    pub bytes_in: u64,
}

pub async fn show(
    State(console): State<Console>,
    Query(asked): Query<Asked>,
    viewer: Viewer,
) -> Result<Markup, Refusal> {
    let path = format!("/domains?{}", asked.query(Some(API_BATCH_MAX)));
    let found: Domains = viewer.rest.read(&path).await?;
    let may = viewer.may(Role::Operate);
    let add = html! {
        @if may { a.button.primary href={ (ROOT) (ADD) } { "Add domain" } }
    };
    let body = html! {
        (parts::heading("Domain names", "", add))
        (filters(&asked))
        div.stack data-results { (results(&viewer, &asked, &found)) }
    };
    let page = Page {
        section: Some(Section::Domains),
        title: "Domain names",
        files: FILES,
        charts: false,
        body,
    };
    Ok(page.show(&console, &viewer))
}

fn filters(asked: &Asked) -> Markup {
    html! {
        form.filters role="search" action={ (ROOT) "/domains" } data-filters {
            div.field {
                label for="search" { "Name" }
                div.control {
                    input #search type="search" name="search" value=(asked.search)
                        maxlength="253" spellcheck="false" autocomplete="off"
                        placeholder="part of a name";
                }
            }
            (choice("state", "State", &STATES, &asked.state))
            (choice("websocket", "WebSocket", &TOGGLES, &asked.websocket))
            button { "Apply" }
        }
    }
}

fn choice(name: &str, label: &str, options: &[(&str, &str)], value: &str) -> Markup {
    html! {
        div.field {
            label for=(name) { (label) }
            div.control {
                select id=(name) name=(name) {
                    @for (option, text) in options {
                        option value=(option) selected[*option == value] { (text) }
                    }
                }
            }
        }
    }
}

fn results(viewer: &Viewer, asked: &Asked, found: &Domains) -> Markup {
    if found.items.is_empty() {
        return empty(viewer, asked);
    }
    let may = viewer.may(Role::Operate);
    let href = |asked: &Asked| format!("{ROOT}/domains?{}", asked.query(None));
    let next = found.next.clone().map(|after| href(&Asked { after, ..asked.first() }));
    let first = (!asked.after.is_empty()).then(|| href(&asked.first()));
    let shown = match found.items.len() == found.total {
        true => plural(found.total),
        false => format!("{} of {}", found.items.len(), plural(found.total)),
    };
    html! {
        @if may { (actions(viewer, &asked.query(None))) }
        (parts::table_of("Domains", columns(may), rows(&found.items, may)))
        nav.pager aria-label="Pages" {
            span role="status" { (shown) }
            div.actions {
                @if let Some(href) = first { a.button href=(href) { "First page" } }
                @if let Some(href) = next { a.button href=(href) rel="next" { "Next page" } }
            }
        }
    }
}

fn plural(n: usize) -> String {
    if n == 1 { "1 domain".to_owned() } else { format!("{} domains", units::count(n as u64)) }
}

fn empty(viewer: &Viewer, asked: &Asked) -> Markup {
    let all = html! { p { a href={ (ROOT) "/domains" } { "Show all domains" } } };
    match (asked.is_filtered(), viewer.may(Role::Operate)) {
        (true, _) => parts::empty("No domain is like that", all),
        (false, _) if !asked.after.is_empty() => parts::empty("The list ends before this", all),
        (false, true) => parts::empty(
            "No domain yet",
            html! {
                p { "A domain is a host name with the origins that its requests go to." }
                p { a.button.primary href={ (ROOT) (ADD) } { "Add domain" } }
            },
        ),
        (false, false) => parts::empty(
            "No domain yet",
            html! { p { "A key with the role operate can add one." } },
        ),
    }
}

/// What can be done to those that are ticked.
fn actions(viewer: &Viewer, query: &str) -> Markup {
    html! {
        form #batch .line.batch method="post" action={ (ROOT) (BATCH) } data-preview {
            input type="hidden" name="csrf" value=(*viewer.session.csrf);
            input type="hidden" name="list" value=(query);
            span.soft data-selected { "With those ticked:" }
            div.actions {
                @for (action, _, text) in super::batch::ACTIONS {
                    button.small name="action" value=(action) { (text) }
                }
            }
        }
        // For the buttons of rows, which name their own path.
        form #one hidden method="post" action={ (ROOT) "/domains" } data-preview {
            input type="hidden" name="csrf" value=(*viewer.session.csrf);
        }
    }
}

fn columns(may: bool) -> &'static [Column<'static>] {
    const ALL: [Column<'_>; 8] = [
        Column::Unseen("Ticked"),
        Column::Text("Domain"),
        Column::Text("State"),
        Column::Text("WebSocket"),
        Column::Number("Connections"),
        Column::Number("Sent today"),
        Column::Text("Origins"),
        Column::Unseen("Actions"),
    ];
    if may { &ALL } else { &ALL[1..] }
}

fn rows(items: &[Listed], may: bool) -> Markup {
    html! {
        @for domain in items {
            @let name = &domain.name;
            @let path = |tab: Tab| format!("{ROOT}{}", tab.path(name));
            tr {
                @if may {
                    td {
                        label.tick {
                            input type="checkbox" form="batch" name="domain" value=(name);
                            span.unseen { (name) }
                        }
                    }
                }
                th scope="row" { a.row href=(path(Tab::Basics)) { (name) } }
                td { (state_badge(domain.enabled)) }
                td {
                    (toggle(domain.websocket)) " "
                    span.soft { (domain.heartbeat) " s, " (protocol(&domain.origin_scheme)) }
                }
                td.num { (units::count(domain.connections)) }
                td.num { (sent(domain.today)) }
                td { (health(&domain.origins)) }
                td.actions-cell {
                    a.button.small href=(path(Tab::Websocket)) {
                        "Configure" span.unseen { " " (name) }
                    }
                    @if may { " " (switch(domain)) " " (remove(domain)) }
                }
            }
        }
    }
}

pub fn toggle(on: bool) -> Markup {
    if on { parts::badge(Tone::Good, "on") } else { parts::badge(Tone::Plain, "off") }
}

pub fn protocol(scheme: &str) -> &str {
    SCHEMES.iter().find(|(known, _)| *known == scheme).map_or(scheme, |(_, text)| text)
}

fn sent(today: Option<Today>) -> Markup {
    let Today { bytes_out, bytes_in } = today.unwrap_or_default();
    let received = format!("received {}", units::bytes(bytes_in as f64));
    html! { span title=(received) { (units::bytes(bytes_out as f64)) } }
}

pub fn health(origins: &Origins) -> Markup {
    let Origins { configured, up } = *origins;
    match up {
        None => html! { span.soft { "not checked" } },
        Some(up) => {
            let tone = match up {
                0 => Tone::Bad,
                up if up < configured => Tone::Notice,
                _ => Tone::Good,
            };
            parts::badge(tone, &format!("{up} of {configured} up"))
        }
    }
}

fn switch(domain: &Listed) -> Markup {
    let (verb, text) = if domain.enabled { ("stop", "Stop") } else { ("start", "Start") };
    let path = format!("{ROOT}{}/{verb}", Tab::Basics.path(&domain.name));
    html! {
        button.small form="one" formaction=(path) {
            (text) span.unseen { " " (domain.name) }
        }
    }
}

fn remove(domain: &Listed) -> Markup {
    html! {
        a.button.small.danger href={ (ROOT) (Tab::Basics.path(&domain.name)) "#delete" } {
            "Delete" span.unseen { " " (domain.name) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_says_what_was_asked_and_no_more() {
        let asked = Asked { search: " a&b ".into(), state: "online".into(), ..Asked::default() };
        assert_eq!(asked.query(None), "search=a%26b&state=online");
        assert_eq!(Asked::default().query(Some(50)), "limit=50&today=true");
        assert!(asked.is_filtered() && !Asked::default().is_filtered());
    }
}
