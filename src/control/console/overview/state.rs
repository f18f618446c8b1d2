//! The state of the node on the page "Overview": how it runs, and what needs somebody soon.

use std::collections::BTreeMap;

use maud::{Markup, html};
use serde::Deserialize;

use crate::control::console::parts::{self, Tone};
use crate::control::console::rest::{Refusal, Rest};
use crate::control::console::viewer::Viewer;
use crate::control::console::{ROOT, units};
use crate::control::keys::Role;

/// Certificates that end within so many days are shown.
const DAYS: u32 = 30;
/// Names of a list that are shown; the page that is linked has all.
const NAMED: usize = 3;

pub struct State {
    status: Status,
    plans: Plans,
    /// That are down.
    origins: Part<Origin>,
    /// That end soon.
    certificates: Part<Certificate>,
}

#[derive(Deserialize)]
struct Status {
    version: String,
    phase: String,
    uptime_s: u64,
    generation: u64,
    hash: String,
    domains: usize,
    utc_offset_s: i32,
}

#[derive(Deserialize)]
struct Plans {
    billing: bool,
    current: Option<Plan>,
    next: Option<Plan>,
}

#[derive(Deserialize)]
struct Plan {
    charge_type: String,
    websocket_bill_type: String,
}

/// One part of a list.
#[derive(Deserialize)]
struct Part<T> {
    items: Vec<T>,
    next: Option<String>,
}

#[derive(Deserialize)]
struct Origin {
    domain: String,
    address: String,
}

#[derive(Deserialize)]
struct Certificate {
    domain: String,
    days_left: i64,
}

impl State {
    pub async fn read(rest: &Rest) -> Result<State, Refusal> {
        let certificates = format!("/certificates?ends_within_days={DAYS}");
        let (status, plans, origins, certificates) = tokio::join!(
            rest.read("/status"),
            rest.read("/plan"),
            rest.read("/origins?up=false"),
            rest.read(&certificates),
        );
        Ok(State { status: status?, plans: plans?, origins: origins?, certificates: certificates? })
    }

    /// Seconds east of UTC of the node's days.
    pub fn offset_s(&self) -> i32 {
        self.status.utc_offset_s
    }
}

pub fn card(viewer: &Viewer, state: &State) -> Markup {
    let Status { version, phase, uptime_s, generation, hash, domains, .. } = &state.status;
    let tone = if phase == "serving" { Tone::Good } else { Tone::Notice };
    let rows = [
        ("Phase", html! { span.state.(tone.class()) data-phase { (phase) } }),
        ("Uptime", html! { span data-live="uptime" { (units::duration(uptime_s * 1_000)) } }),
        (
            "Configuration",
            html! {
                "generation " span data-live="generation" { (units::count(*generation)) } ", "
                code { (hash) } ", " (domains) @if *domains == 1 { " domain" } @else { " domains" }
            },
        ),
        ("Origins", origins(&state.origins)),
        ("Certificates", certificates(&state.certificates)),
        ("Billing plan", plan(viewer, &state.plans)),
        ("Version", html! { (version) }),
    ];
    parts::card_with(
        "State of the node",
        html! { a.button.small href={ (ROOT) "/health" } { "Health" } },
        parts::facts(&rows),
    )
}

/// By address: several domains may have the same.
fn origins(down: &Part<Origin>) -> Markup {
    let mut all: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for Origin { domain, address } in &down.items {
        all.entry(address).or_default().push(domain);
    }
    let link = |(address, domains): &(&str, Vec<&str>)| {
        html! {
            (address) " of " (domains.first().unwrap_or(&""))
            @match domains.len() {
                ..2 => {}
                2 => " and another domain",
                n => { " and " (n - 1) " other domains" }
            }
        }
    };
    let all: Vec<_> = all.into_iter().collect();
    match all.len() {
        0 => html! { (parts::badge(Tone::Good, "all up")) },
        n => html! {
            (parts::badge(Tone::Bad, &format!("{} down", number(n, down))))
            " " (named(&all, link))
        },
    }
}

fn certificates(ending: &Part<Certificate>) -> Markup {
    let ended = ending.items.iter().any(|certificate| certificate.days_left < 0);
    let tone = if ended { Tone::Bad } else { Tone::Notice };
    let when = |certificate: &Certificate| {
        html! {
            (certificate.domain)
            @match certificate.days_left {
                ..0 => " has ended",
                0 => " ends today",
                1 => " ends tomorrow",
                days => { " ends in " (days) " days" }
            }
        }
    };
    match ending.items.len() {
        0 => html! { "none ends within " (DAYS) " days" },
        n => html! {
            (parts::badge(tone, &format!("{} within {DAYS} days", number(n, ending))))
            " " (named(&ending.items, when))
        },
    }
}

/// How many there are, as far as one part of the list tells.
fn number<T>(n: usize, part: &Part<T>) -> String {
    let more = if part.next.is_some() { "+" } else { "" };
    format!("{n}{more}")
}

fn named<T>(all: &[T], text: impl Fn(&T) -> Markup) -> Markup {
    html! {
        @for (i, item) in all.iter().take(NAMED).enumerate() {
            @if i > 0 { "; " }
            (text(item))
        }
        @if all.len() > NAMED { "; " a href={ (ROOT) "/health" } { "all of them" } }
    }
}

fn plan(viewer: &Viewer, plans: &Plans) -> Markup {
    let words = |plan: &Plan| {
        html! { code { (plan.charge_type) } " with " code { (plan.websocket_bill_type) } }
    };
    html! {
        @match (&plans.current, plans.billing) {
            (Some(plan), _) => (words(plan)),
            (None, false) => "billing is off, no plan is needed",
            (None, true) => {
                (parts::badge(Tone::Notice, "none in effect")) " "
                @if viewer.may(Role::Admin) {
                    a href={ (ROOT) "/usage" } { "Choose a plan" }
                } @else {
                    "a key with the role admin can choose one"
                }
            }
        }
        @if let Some(next) = &plans.next { "; next: " (words(next)) }
    }
}
