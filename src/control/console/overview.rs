//! The page "Overview": the node at a glance. It is complete as it comes; `assets/overview.js`
//! keeps the figures up to date. The hour and the state of the node are those of its making.
//!
//! Not here: figures by time and place (`statistics`), single connections (`connections`), findings
//! with their fixes (`health`).

mod hour;
mod state;

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use jiff::Timestamp;
use maud::{Markup, html};
use serde::Deserialize;

use self::hour::{Hour, Track};
use super::layout::{Page, Section};
use super::parts::{self, Column, Tone};
use super::rest::{Refusal, part};
use super::viewer::Viewer;
use super::{Console, ROOT, units};
use crate::control::keys::Role;

pub fn routes() -> Router<Console> {
    Router::new().route("/", get(show))
}

/// `/live/node`.
#[derive(Debug, Default, Deserialize)]
struct Now {
    period_ms: u64,
    connections: u64,
    bytes_out_per_s: f64,
    bytes_in_per_s: f64,
    messages_out_per_s: f64,
    messages_in_per_s: f64,
    handshakes_per_s: f64,
    handshakes: Vec<CodeRate>,
    closes: Vec<CauseRate>,
    domains: Vec<DomainRate>,
    cores: Vec<CoreLoad>,
}

#[derive(Debug, Default, Deserialize)]
struct CodeRate {
    code: String,
    count: u64,
    per_s: f64,
}

#[derive(Debug, Default, Deserialize)]
struct CauseRate {
    cause: String,
    count: u64,
    per_s: f64,
}

#[derive(Debug, Default, Deserialize)]
struct DomainRate {
    domain: String,
    connections: u64,
    bytes_out_per_s: f64,
    bytes_in_per_s: f64,
}

#[derive(Debug, Default, Deserialize)]
struct CoreLoad {
    load_percent: Option<f64>,
    connections: u64,
}

/// How many domains there are, as far as it matters, and how many of them have WebSocket on.
#[derive(Debug, Clone, Copy)]
struct Domains {
    all: usize,
    websocket: usize,
}

async fn show(State(console): State<Console>, viewer: Viewer) -> Result<Markup, Refusal> {
    let rest = &viewer.rest;
    let (now, hour, domains, state) = tokio::join!(
        rest.read::<Now>("/live/node"),
        Hour::before(rest, Timestamp::now().as_second()),
        domains(&viewer),
        state::State::read(rest),
    );
    let (now, domains, state) = (now?, domains?, state?);
    let offset_s = state.offset_s();
    let body = html! {
        (parts::heading("Overview", "What this node does right now.", following(&now)))
        (introduction(&viewer, domains))
        (tiles(&now, hour.as_ref(), offset_s))
        (minutes())
        div.halves {
            (busiest(&now.domains))
            (cores(&now.cores))
            (handshakes(&now))
            (closes(&now))
        }
        (state::card(&viewer, &state))
    };
    let files = &["overview.css", "overview.js"];
    let page =
        Page { section: Some(Section::Overview), title: "Overview", files, charts: true, body };
    Ok(page.show(&console, &viewer))
}

async fn domains(viewer: &Viewer) -> Result<Domains, Refusal> {
    #[derive(Deserialize)]
    struct Listed {
        total: usize,
    }
    let websocket = viewer.rest.read::<Listed>("/domains?limit=1&websocket=true").await?.total;
    let all = match websocket {
        0 => viewer.rest.read::<Listed>("/domains?limit=1").await?.total,
        some => some,
    };
    Ok(Domains { all, websocket })
}

/// Whether figures are moving, and the button that stops them; a script shows both.
fn following(now: &Now) -> Markup {
    html! {
        span.soft.small data-averaged { "Averages of the last " (units::duration(now.period_ms)) }
        span.state role="status" data-live-state hidden {}
        button type="button" data-live-pause hidden { "Pause" }
    }
}

/// What to do on a node that has nothing to show yet.
fn introduction(viewer: &Viewer, domains: Domains) -> Markup {
    let may = viewer.may(Role::Operate);
    html! {
        @match domains {
            Domains { all: 0, .. } => (parts::empty("No domain yet", html! {
                p { "Clients reach their origins through a domain of this node." }
                @if may {
                    a.button.primary href={ (ROOT) "/add-domain" } { "Add a domain" }
                } @else {
                    p { "A key with the role operate can add one." }
                }
            })),
            Domains { websocket: 0, .. } => (parts::banner(Tone::Notice, html! {
                p {
                    "WebSocket is off for every domain: upgrade requests reach origins as plain "
                    "requests. Turn it on under "
                    a href={ (ROOT) "/domains" } { "Domain names" } " → Configure → WebSocket."
                }
            })),
            _ => {}
        }
    }
}

// === Figures ===

/// A figure with what it did in the last hour.
struct Tile<'a> {
    label: &'a str,
    live: &'a str,
    /// With its unit behind a space, where it has one.
    text: String,
    hour: Option<&'a Track>,
    format: fn(f64) -> String,
    /// All of the hour, where a sum of it means something.
    total: Option<String>,
}

fn tiles(now: &Now, hour: Option<&Hour>, offset_s: i32) -> Markup {
    let bits = |bytes: f64| units::bits_per_second(bytes * 8.0);
    let all = [
        Tile {
            label: "Live connections",
            live: "connections",
            text: units::count(now.connections),
            hour: hour.map(|hour| &hour.connections),
            format: |n| units::count(n as u64),
            total: hour.map(|hour| format!("{} opened", units::count(hour.opened))),
        },
        Tile {
            label: "Messages",
            live: "messages",
            text: rate(now.messages_out_per_s + now.messages_in_per_s),
            hour: hour.map(|hour| &hour.messages),
            format: rate,
            total: hour.map(|hour| format!("{} in all", units::count(hour.messages_sum))),
        },
        Tile {
            label: "Bandwidth to clients",
            live: "out",
            text: bits(now.bytes_out_per_s),
            hour: hour.map(|hour| &hour.bits_out),
            format: units::bits_per_second,
            total: hour.map(|hour| format!("{} in all", units::bytes(hour.bytes_out as f64))),
        },
        Tile {
            label: "Bandwidth from clients",
            live: "in",
            text: bits(now.bytes_in_per_s),
            hour: hour.map(|hour| &hour.bits_in),
            format: units::bits_per_second,
            total: hour.map(|hour| format!("{} in all", units::bytes(hour.bytes_in as f64))),
        },
        Tile {
            label: "Handshakes",
            live: "handshakes",
            text: rate(now.handshakes_per_s),
            hour: hour.map(|hour| &hour.handshakes),
            format: rate,
            total: hour.map(|hour| format!("{} in all", units::count(hour.handshakes_sum))),
        },
    ];
    html! {
        section aria-label="Figures" .stack {
            (parts::figures(html! { @for tile in &all { (tile.show()) } }))
            p.soft.small {
                @match hour {
                    Some(hour) => { "Lines, peaks and sums: " (hour.words(offset_s)) "." }
                    None => "The last hour is not shown: statistics cannot be read now."
                }
            }
        }
    }
}

impl Tile<'_> {
    fn show(&self) -> Markup {
        let (value, unit) = self.text.rsplit_once(' ').unwrap_or((&self.text, ""));
        let under = html! {
            @if let (Some(track), Some(total)) = (self.hour, &self.total) {
                @let peak = (self.format)(track.peak());
                @let label = format!("{}, last hour: peak {peak}, {total}", self.label);
                (parts::sparkline(&label, &track.0))
                p.note { (together(&format!("Peak {peak}"))) " · " (together(total)) }
            }
        };
        parts::figure_with(self.label, value, unit, self.live, under)
    }
}

/// A number is not parted from its unit at the end of a line.
fn together(text: &str) -> String {
    text.replace(' ', "\u{a0}")
}

/// `0.4 /s`, `12 /s`, `1,234 /s`.
fn rate(n: f64) -> String {
    match n {
        n if n > 0.0 && n < 0.05 => "< 0.1 /s".to_owned(),
        n if n > 0.0 && n < 9.95 => format!("{n:.1} /s"),
        n => format!("{} /s", units::count(n.round() as u64)),
    }
}

/// Where a script draws what happens from now on, second by second.
fn minutes() -> Markup {
    html! {
        section.card #minutes hidden {
            header {
                h2 { "Second by second" }
                div.actions {
                    div.segments role="group" aria-label="What is drawn" {
                        button type="button" data-draw="bandwidth" aria-pressed="true" {
                            "Bandwidth"
                        }
                        button type="button" data-draw="messages" aria-pressed="false" {
                            "Messages"
                        }
                        button type="button" data-draw="connections" aria-pressed="false" {
                            "Connections"
                        }
                    }
                }
            }
            div.minutes data-chart role="img" aria-label="Nothing drawn yet" {}
            ul.legend data-legend {}
        }
    }
}

// === Lists ===

fn busiest(domains: &[DomainRate]) -> Markup {
    let columns = [
        Column::Text("Domain"),
        Column::Number("Connections"),
        Column::Number("To clients"),
        Column::Number("From clients"),
    ];
    let bits = |bytes: f64| units::bits_per_second(bytes * 8.0);
    let row = |domain: &DomainRate| {
        let name = part(&domain.domain);
        html! {
            tr data-key=(domain.domain) {
                th scope="row" {
                    a data-cell="name" href={ (ROOT) "/domains/" (name) } { (domain.domain) }
                }
                td.num {
                    a data-cell="connections" href={ (ROOT) "/connections?domain=" (name) } {
                        (units::count(domain.connections))
                    }
                }
                td.num data-cell="out" { (bits(domain.bytes_out_per_s)) }
                td.num data-cell="in" { (bits(domain.bytes_in_per_s)) }
            }
        }
    };
    let rows = html! { @for domain in domains { (row(domain)) } };
    list(
        "Busiest domains",
        "domains",
        &columns,
        rows,
        &row(&DomainRate::default()),
        html! {
            (parts::empty("No WebSocket traffic now", html! {
                p { "Domains stand here while they have connections or traffic." }
            }))
        },
    )
}

fn handshakes(now: &Now) -> Markup {
    let columns = [Column::Text("Answer"), Column::Number("Since start"), Column::Number("Now")];
    let row = |code: &CodeRate| {
        let (tone, text) = meaning(&code.code);
        html! {
            tr data-key=(code.code) {
                th scope="row" {
                    span.line {
                        span data-cell="name" { (code.code) }
                        span.badge.(tone.class()) data-cell="meaning" { (text) }
                    }
                }
                td.num data-cell="count" { (units::count(code.count)) }
                td.num data-cell="now" { (rate(code.per_s)) }
            }
        }
    };
    let rows = html! { @for code in &now.handshakes { (row(code)) } };
    list(
        "Handshakes by code",
        "codes",
        &columns,
        rows,
        &row(&CodeRate::default()),
        html! {
            (parts::empty("No handshake yet", html! {
                p { "Answers to upgrade requests are counted here by status code." }
            }))
        },
    )
}

/// What an answer to an upgrade request means, by its class.
fn meaning(code: &str) -> (Tone, &'static str) {
    match (code, code.as_bytes().first()) {
        ("101", _) => (Tone::Good, "opened"),
        (_, Some(b'4')) => (Tone::Notice, "refused"),
        (_, Some(b'5')) => (Tone::Bad, "failed"),
        _ => (Tone::Plain, "not upgraded"),
    }
}

fn closes(now: &Now) -> Markup {
    let columns = [Column::Text("Cause"), Column::Number("Since start"), Column::Number("Now")];
    let row = |close: &CauseRate| {
        html! {
            tr data-key=(close.cause) {
                th scope="row" data-cell="name" { (words(&close.cause)) }
                td.num data-cell="count" { (units::count(close.count)) }
                td.num data-cell="now" { (rate(close.per_s)) }
            }
        }
    };
    let rows = html! { @for close in &now.closes { (row(close)) } };
    let title = "Closes by cause";
    list(
        title,
        "causes",
        &columns,
        rows,
        &row(&CauseRate::default()),
        html! {
            (parts::empty("No connection has ended yet", html! {
                p {
                    "Why connections end is counted here: by a peer, a heartbeat, a limit, an "
                    "operator."
                }
            }))
        },
    )
}

/// `heartbeat_timeout` as `Heartbeat timeout`, `tls_error` as `TLS error`.
fn words(cause: &str) -> String {
    let word = |word: &str| match word {
        "eof" | "tls" => word.to_ascii_uppercase(),
        word => word.to_owned(),
    };
    let mut text = cause.split('_').map(word).collect::<Vec<_>>().join(" ");
    if let Some(first) = text.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    text
}

/// A table that a script keeps up to date: rows by `data-key`, new ones from the template.
fn list(
    title: &str,
    live: &str,
    columns: &[Column<'_>],
    rows: Markup,
    template: &Markup,
    empty: Markup,
) -> Markup {
    let is_empty = rows.0.is_empty();
    html! {
        section.card data-list=(live) {
            h2 { (title) }
            div.middle data-empty hidden[!is_empty] { (empty) }
            div data-rows hidden[is_empty] { (parts::table_of(title, columns, rows)) }
            template { (template) }
        }
    }
}

/// Load that is worth a look, in percent.
const LOAD_NOTICE: f64 = 70.0;
/// Load at which latency suffers.
const LOAD_BAD: f64 = 90.0;

fn cores(cores: &[CoreLoad]) -> Markup {
    html! {
        section.card {
            h2 { "Load of the cores" }
            ul.cores data-cores {
                @for (i, core) in cores.iter().enumerate() { (load(i, core)) }
            }
            p.soft.small {
                "Part of its time that each pinned thread ran in the last second."
            }
        }
    }
}

fn load(i: usize, core: &CoreLoad) -> Markup {
    let text = match core.load_percent {
        Some(percent) => format!("{percent:.1} %"),
        None => "no answer".to_owned(),
    };
    let percent = core.load_percent.unwrap_or_default();
    let tone = match percent {
        n if n >= LOAD_BAD => Tone::Bad,
        n if n >= LOAD_NOTICE => Tone::Notice,
        _ => Tone::Plain,
    };
    html! {
        li {
            span.line.apart {
                span { "Core " (i) }
                strong data-cell="load" { (text) }
            }
            (parts::meter(tone, percent / 100.0, &format!("Core {i}: {text}")))
            span.soft.small data-cell="connections" {
                (units::count(core.connections))
                @if core.connections == 1 { " connection" } @else { " connections" }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // `assets/overview.js` writes the same.
    #[test]
    fn rates_have_a_digit_behind_the_point_while_they_are_small() {
        for (n, text) in [
            (0.0, "0 /s"),
            (0.01, "< 0.1 /s"),
            (0.4, "0.4 /s"),
            (9.94, "9.9 /s"),
            (9.96, "10 /s"),
            (1_234.5, "1,235 /s"),
        ] {
            assert_eq!(rate(n), text);
        }
    }

    #[test]
    fn causes_and_codes_are_said_in_words() {
        assert_eq!(words("heartbeat_timeout"), "Heartbeat timeout");
        assert_eq!(words("peer_eof"), "Peer EOF");
        assert_eq!(words("tls_keys_worn"), "TLS keys worn");
        assert_eq!(words(""), "");
        for (code, text) in
            [("101", "opened"), ("200", "not upgraded"), ("4xx", "refused"), ("502", "failed")]
        {
            assert_eq!(meaning(code).1, text, "{code}");
        }
    }

    #[test]
    fn a_list_without_rows_says_why() {
        let shown = busiest(&[]).into_string();
        assert!(shown.contains("<div class=\"middle\" data-empty>"), "{shown}");
        assert!(shown.contains("<div data-rows hidden>"), "{shown}");
        let domain = DomainRate { domain: "*.a.test".into(), ..DomainRate::default() };
        let shown = busiest(&[domain]).into_string();
        assert!(shown.contains("href=\"/console/domains/%2A.a.test\""), "{shown}");
        assert!(shown.contains("<div class=\"middle\" data-empty hidden>"), "{shown}");
    }
}
