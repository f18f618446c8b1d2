//! The page "Live connections": the list. Not here: one of them (`details`), closing many
//! (`closing`), what is asked for (`wanted`).

mod closing;
mod details;
mod wanted;

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use maud::{Markup, html};
use serde::Deserialize;

use self::wanted::Wanted;
use super::layout::{Page, Section};
use super::parts::{Column, Field, Tone};
use super::rest::Refusal;
use super::viewer::{Fields, Viewer};
use super::{Console, ROOT, parts, units};
use crate::control::keys::Role;

const FILES: &[&str] = &["connections.css", "connections.js"];

pub fn routes() -> Router<Console> {
    Router::new().route("/connections", get(show)).merge(details::routes()).merge(closing::routes())
}

/// As `GET /connections` has them.
#[derive(Deserialize)]
struct Listing {
    items: Vec<Row>,
    matched: usize,
    silent_cores: usize,
}

#[derive(Deserialize)]
struct Row {
    id: String,
    domain: String,
    client: String,
    region: String,
    isp: String,
    origin: String,
    age_ms: u64,
    idle_ms: u64,
    bytes_out: u64,
    bytes_in: u64,
    messages_out: u64,
    messages_in: u64,
    state: String,
}

async fn show(
    State(console): State<Console>,
    viewer: Viewer,
    RawQuery(query): RawQuery,
) -> Result<Response, Refusal> {
    let wanted = Wanted::of(&Fields::read(query.unwrap_or_default().as_bytes()));
    let listing = match wanted.api_query() {
        Ok(query) => viewer.rest.read::<Listing>(&format!("/connections?{query}")).await,
        Err(refusal) => Err(refusal),
    };
    let running = closing::running(&viewer).await;
    let (status, body) = match &listing {
        Ok(listing) => (StatusCode::OK, page(&viewer, &wanted, Some(listing), None, running)),
        // Anything but the filter is a page of its own.
        Err(refusal) if refusal.status != 400 => return Err(refusal.clone()),
        Err(refusal) => {
            (StatusCode::BAD_REQUEST, page(&viewer, &wanted, None, Some(refusal), running))
        }
    };
    let page = Page {
        section: Some(Section::Connections),
        title: "Live connections",
        files: FILES,
        charts: false,
        body,
    };
    Ok((status, page.show(&console, &viewer)).into_response())
}

fn page(
    viewer: &Viewer,
    wanted: &Wanted,
    listing: Option<&Listing>,
    refusal: Option<&Refusal>,
    running: Markup,
) -> Markup {
    let may_close = viewer.may(Role::Operate);
    html! {
        (parts::heading("Live connections", "WebSocket connections that are open now.", html! {
            a.button.quiet href={ (ROOT) "/connections/closings" } { "Closings" }
            @if listing.is_some() {
                button type="button" data-pause hidden { "Pause" }
            }
            @if let (true, Some(listing)) = (may_close, listing) {
                @if !wanted.is_everything() && listing.matched > 0 {
                    a.button.danger href={ (ROOT) "/connections/close?" (wanted.query()) } {
                        "Close these…"
                    }
                }
            }
        }))
        (running)
        @if let Some(refusal) = refusal { (parts::refusal(refusal, wanted::POINTERS)) }
        (filters(wanted, listing, refusal))
        @if let Some(listing) = listing { (list(wanted, listing)) }
    }
}

fn filters(wanted: &Wanted, listing: Option<&Listing>, refusal: Option<&Refusal>) -> Markup {
    let rows = listing.map_or(&[][..], |listing| &listing.items);
    let known = |name: &str, of: fn(&Row) -> &str| {
        let mut all: Vec<&str> = rows.iter().map(of).collect();
        all.sort_unstable();
        all.dedup();
        html! { datalist id={ "known-" (name) } { @for value in all { option value=(value) {} } } }
    };
    let field = |name: &str, label: &str, pointer: &str, example: &str, value: &str| {
        let field = Field { name, label, hint: "", unit: "", pointer };
        field.around(refusal, |tie| {
            html! {
                input id=(tie.id) type="text" name=(name) value=(value) placeholder=(example)
                    list={ "known-" (name) } autocomplete="off" autocapitalize="off"
                    spellcheck="false" aria-describedby=(tie.described)
                    aria-invalid=[tie.invalid] autofocus[tie.invalid.is_some()];
            }
        })
    };
    html! {
        (parts::filters("/connections", html! {
            (field("domain", "Domain", "?domain", "any", &wanted.domain))
            (field("ip", "Client address or network", "?ip", "203.0.113.0/24", &wanted.ip))
            (field("origin", "Origin", "?origin", "10.0.0.5:80", &wanted.origin))
            (field("region", "Region", "?region", "any", &wanted.region))
            (field("isp", "ISP", "?isp", "any", &wanted.isp))
            (field("age", "Open for at least", "?min_age_ms", "10m", &wanted.age))
            (field("idle", "Idle for at least", "?min_idle_ms", "30s", &wanted.idle))
            input type="hidden" name="sort" value=(wanted.sort);
        }))
        (known("domain", |row| &row.domain))
        (known("origin", |row| &row.origin))
        (known("region", |row| &row.region))
        (known("isp", |row| &row.isp))
    }
}

fn list(wanted: &Wanted, listing: &Listing) -> Markup {
    let links: Vec<(&str, &str, String)> = SORTS
        .iter()
        .map(|(sort, text)| (*sort, *text, format!("{ROOT}/connections?{}", wanted.sorted(sort))))
        .collect();
    let sorted = links.iter().map(|(sort, text, href)| Column::Sorted {
        text,
        number: true,
        href,
        now: wanted.sort == *sort,
    });
    let mut columns =
        vec![Column::Text("Client"), Column::Text("Domain and origin"), Column::Text("State")];
    columns.extend(sorted);
    let none = listing.items.is_empty();
    html! {
        @if listing.silent_cores > 0 {
            (parts::banner(Tone::Notice, html! {
                (listing.silent_cores)
                " of the cores did not answer; their connections are missing."
            }))
        }
        div.stack data-connections=(wanted.api_query().unwrap_or_default()) {
            p.soft data-count { (counted(listing)) }
            div hidden[none] data-some {
                (parts::table_of("Live connections", &columns, html! {
                    @for row in &listing.items { (line(row)) }
                }))
            }
            div hidden[!none] data-none { (nobody(wanted)) }
            template data-line { (line(&Row::blank())) }
            p.unseen role="status" data-said {}
        }
    }
}

/// Values of `sort` with the heads of their columns.
const SORTS: &[(&str, &str)] = &[
    ("age", "Age"),
    ("idle", "Idle"),
    ("bytes_out", "To client"),
    ("bytes_in", "From client"),
    ("messages_out", "Messages to"),
    ("messages_in", "Messages from"),
];

/// `connections.js` writes the same.
fn counted(listing: &Listing) -> String {
    let (shown, matched) = (listing.items.len(), listing.matched);
    match matched {
        0 => "None match".to_owned(),
        1 => "1 connection".to_owned(),
        _ if shown < matched => {
            let (shown, matched) = (units::count(shown as u64), units::count(matched as u64));
            format!("{matched} connections match, the first {shown} are shown: filter more")
        }
        _ => format!("{} connections", units::count(matched as u64)),
    }
}

fn nobody(wanted: &Wanted) -> Markup {
    if wanted.is_everything() {
        return parts::empty(
            "Nobody is connected",
            html! { p { "A connection appears here as soon as a WebSocket handshake succeeds." } },
        );
    }
    parts::empty(
        "No connection matches",
        html! { p { a href={ (ROOT) "/connections" } { "Show all connections" } } },
    )
}

/// `connections.js` fills the same cells.
fn line(row: &Row) -> Markup {
    let place = format!("{} · {}", row.region, row.isp);
    html! {
        tr data-id=(row.id) {
            td {
                a.row.mono data-cell="client" href={ (ROOT) "/connections/" (row.id) } {
                    (row.client)
                }
                div.below data-cell="place" { (place) }
            }
            td {
                span data-cell="domain" { (row.domain) }
                div.below.mono data-cell="origin" { (row.origin) }
            }
            td { (state(&row.state)) }
            td.num data-cell="age" { (units::duration(row.age_ms)) }
            td.num data-cell="idle" { (units::duration(row.idle_ms)) }
            td.num data-cell="bytes_out" { (units::bytes(row.bytes_out as f64)) }
            td.num data-cell="bytes_in" { (units::bytes(row.bytes_in as f64)) }
            td.num data-cell="messages_out" { (units::count(row.messages_out)) }
            td.num data-cell="messages_in" { (units::count(row.messages_in)) }
        }
    }
}

fn state(state: &str) -> Markup {
    let tone = if state == "open" { Tone::Good } else { Tone::Notice };
    html! { span.badge.(tone.class()) data-cell="state" { (state.replace('_', " ")) } }
}

impl Row {
    /// For the template that scripts fill.
    fn blank() -> Row {
        let blank = String::new;
        Row {
            id: blank(),
            domain: blank(),
            client: blank(),
            region: blank(),
            isp: blank(),
            origin: blank(),
            age_ms: 0,
            idle_ms: 0,
            bytes_out: 0,
            bytes_in: 0,
            messages_out: 0,
            messages_in: 0,
            state: "open".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_that_is_cut_says_so() {
        let listing = |shown: usize, matched| Listing {
            items: (0..shown).map(|_| Row::blank()).collect(),
            matched,
            silent_cores: 0,
        };
        for (shown, matched, text) in [
            (0, 0, "None match"),
            (1, 1, "1 connection"),
            (2, 2, "2 connections"),
            (2, 1234, "1,234 connections match, the first 2 are shown: filter more"),
        ] {
            assert_eq!(counted(&listing(shown, matched)), text);
        }
    }
}
