//! What doctor finds on this machine, what there is to do about it first.

use maud::{Markup, html};
use serde::Deserialize;

use super::super::parts::{self, Column, Tone};
use super::super::units;
use super::super::viewer::Viewer;

#[derive(Debug, Deserialize)]
struct Report {
    state: State,
    size: Size,
    connections: Option<Allowed>,
    items: Vec<Item>,
}

/// How many connections the findings are about.
#[derive(Debug, Deserialize)]
struct Size {
    connections: u64,
}

/// How many connections the machine can carry, and what says so.
#[derive(Debug, Deserialize)]
struct Allowed {
    allowed: u64,
    by: String,
}

#[derive(Debug, Deserialize)]
struct Item {
    name: String,
    state: State,
    /// Nothing: it could not be read.
    seen: Option<String>,
    wanted: String,
    fix: Option<String>,
    why: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Problem,
    Notice,
    Ok,
}

impl State {
    fn badge(self) -> Markup {
        match self {
            State::Problem => parts::badge(Tone::Bad, "Problem"),
            State::Notice => parts::badge(Tone::Notice, "Notice"),
            State::Ok => parts::badge(Tone::Good, "Ok"),
        }
    }
}

/// A machine that cannot be looked at leaves the rest of the page as it is.
pub async fn card(viewer: &Viewer) -> Markup {
    match viewer.rest.read::<Report>("/doctor").await {
        Ok(report) => shown(report),
        Err(refusal) => parts::card("This machine", parts::refusal(&refusal, &[])),
    }
}

fn shown(mut report: Report) -> Markup {
    // Within a state as doctor has them, which is by topic.
    report.items.sort_by_key(|item| item.state);
    let fine = report.items.iter().position(|item| item.state == State::Ok);
    let (findings, fine) = report.items.split_at(fine.unwrap_or(report.items.len()));
    let body = html! {
        p {
            "Judged for " (units::count(report.size.connections)) " connections. "
            @if let Some(Allowed { allowed, by }) = &report.connections {
                "What is set allows " strong { (units::count(*allowed)) " connections" }
                ": " (by) "."
            }
        }
        @if findings.is_empty() {
            p { "Everything that was looked at is as it should be." }
        } @else {
            (table("What there is to do", findings))
        }
        @if !fine.is_empty() {
            details.more {
                summary { (units::count(fine.len() as u64)) " that are as they should be" }
                (table("What is as it should be", fine))
            }
        }
    };
    parts::card_with("This machine", report.state.badge(), body)
}

fn table(caption: &str, items: &[Item]) -> Markup {
    let columns = [
        Column::Text("State"),
        Column::Text("What"),
        Column::Text("Seen"),
        Column::Text("Wanted"),
        Column::Text("What to do"),
    ];
    let rows = html! {
        @for item in items {
            tr {
                td { (item.state.badge()) }
                th scope="row" { (item.name) p.hint { (item.why) } }
                td { (item.seen.as_deref().unwrap_or("not readable")) }
                td { (item.wanted) }
                td { @if let Some(fix) = &item.fix { code { (fix) } } @else { "Nothing" } }
            }
        }
    };
    html! { div.whole { (parts::table_of(caption, &columns, rows)) } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_stand_first_and_the_rest_is_put_away() {
        let item = |name: &str, state: &str| {
            format!(
                r#"{{"name": "{name}", "topic": "limits", "state": "{state}", "seen": null,
                    "wanted": "more", "fix": "do {name}", "why": "so"}}"#
            )
        };
        let items = [item("fine", "ok"), item("odd", "notice"), item("broken", "problem")];
        let text = format!(
            r#"{{"state": "problem", "size": {{"connections": 50000, "from": "assumed"}},
                "connections": {{"allowed": 19980, "by": "memory"}}, "items": [{}]}}"#,
            items.join(",")
        );
        let shown = shown(serde_json::from_str(&text).unwrap()).into_string();
        let at = |word: &str| shown.find(word).unwrap_or_else(|| panic!("{word}: {shown}"));
        assert!(at("do broken") < at("do odd") && at("do odd") < at("<details"), "{shown}");
        assert!(at("<details") < at("do fine"), "{shown}");
        assert!(shown.contains("19,980 connections"), "{shown}");
        assert!(shown.contains("not readable"), "{shown}");
    }
}
