//! The page "Audit log": who did what on this node, when and from where; one entry with its
//! difference, and for admins the way back to it. Not here: the log (the API), the history of one
//! domain and what going back does (`domains`).

use std::collections::HashMap;

use axum::Router;
use axum::extract::{Path, Query, State};
use axum::routing::get;
use maud::{Markup, html};
use serde::Deserialize;

use super::layout::{Page, Section};
use super::node::Node;
use super::parts::{Column, Field};
use super::rest::{Refusal, part};
use super::viewer::Viewer;
use super::{Console, ROOT, parts};
use crate::control::keys::{Key, Role};

const PATH: &str = "/audit";
/// Entries of one page.
const ENTRIES: usize = 50;

pub fn routes() -> Router<Console> {
    Router::new().route(PATH, get(show)).route("/audit/{id}", get(show_one))
}

#[derive(Deserialize, Default)]
struct Asked {
    domain: Option<String>,
    author: Option<String>,
    before: Option<String>,
}

#[derive(Deserialize)]
struct Log {
    items: Vec<Entry>,
    next: Option<i64>,
}

#[derive(Deserialize)]
struct Entry {
    id: i64,
    change: i64,
    at: String,
    author: Author,
    action: String,
    domain: Option<String>,
    about: Option<String>,
    before_revision: Option<String>,
    revision: Option<String>,
    diff: Option<String>,
}

#[derive(Deserialize)]
struct Author {
    name: String,
    via: String,
    address: Option<String>,
}

/// What names the keys that authors are known by; empty for whoever may not see them.
struct Names(HashMap<String, String>);

impl Names {
    async fn read(viewer: &Viewer) -> Result<Names, Refusal> {
        #[derive(Deserialize)]
        struct Keys {
            items: Vec<Key>,
        }
        if !viewer.may(Role::Admin) {
            let Key { id, name, .. } = viewer.key().clone();
            return Ok(Names(HashMap::from([(id, name)])));
        }
        let Keys { items } = viewer.rest.read("/keys").await?;
        Ok(Names(items.into_iter().map(|key| (key.id, key.name)).collect()))
    }

    fn who(&self, author: &Author) -> Markup {
        html! {
            @match self.0.get(&author.name) {
                Some(name) => { span title=(author.name) { (name) } }
                None => { span.mono { (author.name) } }
            }
        }
    }
}

async fn show(
    State(console): State<Console>,
    Query(asked): Query<Asked>,
    viewer: Viewer,
) -> Result<Markup, Refusal> {
    let Asked { domain, author, before } = asked;
    let of = query(&[("domain", domain.as_deref()), ("author", author.as_deref())]);
    let from = query(&[("before", before.as_deref())]);
    let log: Log = viewer.rest.read(&format!("{PATH}?limit={ENTRIES}{of}{from}")).await?;
    let (node, names) = (Node::read(&viewer).await?, Names::read(&viewer).await?);
    let link =
        |before: &str| format!("{ROOT}{PATH}?{}", format!("{of}{before}").trim_start_matches('&'));
    let lead = "Every change of this node: who, when, from where, and what exactly.";
    let body = html! {
        (parts::heading("Audit log", lead, html! {}))
        (filters(domain.as_deref(), author.as_deref(), !of.is_empty()))
        @if log.items.is_empty() {
            (nothing(!of.is_empty() || !from.is_empty()))
        } @else {
            (table(&log, node, &names))
            nav.pager aria-label="Pages" {
                span { "The newest first." }
                div.actions {
                    @if !from.is_empty() { a.button href=(link("")) { "Newest" } }
                    @if let Some(next) = log.next {
                        a.button href=(link(&format!("&before={next}"))) rel="next" { "Older" }
                    }
                }
            }
        }
    };
    Ok(framed(&console, &viewer, "Audit log", body))
}

/// What follows `?` and something else, for the values that there are.
fn query(pairs: &[(&str, Option<&str>)]) -> String {
    let given = pairs.iter().filter_map(|(name, value)| Some((name, value.map(str::trim)?)));
    given
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| format!("&{name}={}", part(value)))
        .collect()
}

fn framed(console: &Console, viewer: &Viewer, title: &str, body: Markup) -> Markup {
    Page { section: Some(Section::Audit), title, files: &[], charts: false, body }
        .show(console, viewer)
}

fn filters(domain: Option<&str>, author: Option<&str>, filtered: bool) -> Markup {
    let field = |name, label, value: Option<&str>| {
        Field { name, label, hint: "", unit: "", pointer: "" }.input(
            "search",
            value.unwrap_or_default(),
            None,
        )
    };
    parts::filters(
        PATH,
        html! {
            (field("domain", "Domain name", domain))
            (field("author", "Key id or user", author))
            @if filtered { a.button.quiet href={ (ROOT) (PATH) } { "Clear" } }
        },
    )
}

fn nothing(filtered: bool) -> Markup {
    if filtered {
        let body = html! {
            p { "Domain names and authors are compared as a whole." }
            a.button href={ (ROOT) (PATH) } { "Show all entries" }
        };
        return parts::empty("No entry is like that", body);
    }
    parts::empty(
        "Nothing happened yet",
        html! {
            p { "Changes of domains, certificates, keys and plans are listed here." }
        },
    )
}

fn table(log: &Log, node: Node, names: &Names) -> Markup {
    let columns = [
        Column::Text("When"),
        Column::Text("Action"),
        Column::Text("About"),
        Column::Text("Who"),
        Column::Text("By way of"),
        Column::Number("Lines"),
    ];
    let rows = html! {
        @for entry in &log.items {
            tr {
                td { (node.time(&entry.at)) }
                th.fixed scope="row" {
                    a.row href={ (ROOT) (PATH) "/" (entry.id) } { (entry.action) }
                }
                td.wide { (entry.subject()) }
                td { (names.who(&entry.author)) }
                td { (entry.author.via) }
                td.num { (entry.lines()) }
            }
        }
    };
    parts::table_of("Audit log, the newest first", &columns, rows)
}

async fn show_one(
    State(console): State<Console>,
    Path(id): Path<String>,
    viewer: Viewer,
) -> Result<Markup, Refusal> {
    let unknown = || Refusal::unknown("There is no such entry in the audit log.");
    let id: i64 = id.parse().map_err(|_| unknown())?;
    let path = format!("{PATH}?limit=1&before={}", id.saturating_add(1));
    let mut log: Log = viewer.rest.read(&path).await?;
    let Some(entry) = log.items.pop().filter(|entry| entry.id == id) else {
        return Err(unknown());
    };
    let (node, names) = (Node::read(&viewer).await?, Names::read(&viewer).await?);
    let body = html! {
        (parts::trail(&[("Audit log", PATH)]))
        (parts::heading(&format!("Entry {id}: {}", entry.action), "", back(&viewer, &entry)))
        (parts::card("What happened", entry.facts(node, &names)))
        @if let Some(diff) = &entry.diff {
            (parts::card("Difference", parts::difference(diff)))
        }
    };
    Ok(framed(&console, &viewer, &format!("Entry {id}"), body))
}

/// The way back: what it would change is shown there first.
fn back(viewer: &Viewer, entry: &Entry) -> Markup {
    let texts = entry.revision.is_some() || entry.before_revision.is_some();
    html! {
        @if let Some(domain) = entry.domain.as_ref().filter(|_| texts && viewer.may(Role::Admin)) {
            (parts::form(viewer, &format!("/domains/{}/history/{}", part(domain), entry.id), html! {
                button { "Roll back to this" }
            }))
        }
    }
}

impl Entry {
    fn subject(&self) -> Markup {
        html! {
            @if let Some(domain) = &self.domain { (domain) }
            @if let (Some(_), Some(_)) = (&self.domain, &self.about) { " · " }
            @if let Some(about) = &self.about { span.soft { (about) } }
        }
    }

    fn facts(&self, node: Node, names: &Names) -> Markup {
        let Author { name, via, address } = &self.author;
        let text = |text: &Option<String>| html! { (text.as_deref().unwrap_or("none")) };
        let mut rows = vec![
            ("When", node.time(&self.at)),
            (
                "Who",
                html! {
                    (names.who(&self.author)) " "
                    a.small href={ (ROOT) (PATH) "?author=" (part(name)) } { "all by this author" }
                },
            ),
            ("By way of", html! { (via) }),
            ("From", text(address)),
            ("Change set", html! { (self.change) }),
        ];
        if let Some(domain) = &self.domain {
            let path = format!("{ROOT}/domains/{}", part(domain));
            rows.push(("Domain", html! { a href=(path) { (domain) } }));
            let revisions = html! {
                code { (text(&self.before_revision)) } " → " code { (text(&self.revision)) }
            };
            rows.push(("Revision", revisions));
        }
        if self.about.is_some() {
            rows.push(("About", text(&self.about)));
        }
        parts::facts(&rows)
    }

    /// How many lines of the file it put in and took out.
    fn lines(&self) -> Markup {
        let Some(diff) = &self.diff else { return html! {} };
        let count = |sign| diff.lines().filter(|line| line.starts_with(sign)).count();
        html! { span.good-ink { "+" (count('+')) } " " span.bad-ink { "−" (count('-')) } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_given_is_not_asked_for() {
        assert_eq!(query(&[("domain", None), ("author", Some(" "))]), "");
        assert_eq!(query(&[("domain", Some("a b&c")), ("author", None)]), "&domain=a%20b%26c");
    }
}
