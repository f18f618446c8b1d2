//! The billing plan: the one in effect, the one that comes, and the form that chooses, with the
//! moment at which the choice takes effect. Not here: when that is (`billing`).

use axum::extract::State;
use axum::http::Method;
use axum::response::{IntoResponse, Redirect, Response};
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::json;

use super::statement::Asked;
use crate::control::console::layout::{Page, Section};
use crate::control::console::parts::{self, Field};
use crate::control::console::rest::Refusal;
use crate::control::console::viewer::{Fields, Submitted, Viewer};
use crate::control::console::{Console, ROOT, units};
use crate::control::keys::Role;

/// Places of the form's fields in what the API refuses.
pub const POINTERS: &[&str] = &["/charge_type", "/websocket_bill_type"];

/// As `GET /plan` has them.
#[derive(Deserialize)]
pub struct Plans {
    pub billing: bool,
    current: Option<Plan>,
    next: Option<Plan>,
    change_effective_from: Option<String>,
    utc_offset: String,
    pending: String,
}

#[derive(Deserialize)]
struct Plan {
    charge_type: String,
    websocket_bill_type: String,
    effective_from: String,
}

/// What is chosen in the form.
#[derive(Clone, Copy)]
pub struct Chosen<'a> {
    charge: &'a str,
    websocket: &'a str,
}

/// Values of ChargeType with their names; those that are settled by the day, then by the month.
const BY_DAY: &[(&str, &str)] =
    &[("PayByTraffic", "Pay by traffic"), ("PayByBandwidth", "Pay by daily peak bandwidth")];
const BY_MONTH: &[(&str, &str)] = &[
    ("PayByBandwidth95", "Monthly 95th percentile"),
    ("PayByBandwidth_monthavg", "Monthly average of daily peaks"),
    ("PayByBandwidth_month4th", "Fourth largest daily peak of the month"),
    ("PayByBandwidth_monthday95avg", "Monthly average of daily 95th percentiles"),
    ("PayByBandwidth_nighthalf95", "Monthly 95th percentile, nights at half"),
];
const WEBSOCKET: &[(&str, &str)] =
    &[("websockettraffic", "By traffic"), ("websocketbps", "By daily peak bandwidth")];

/// What people call a method, of either kind.
pub fn name(method: &str) -> &str {
    let all = BY_DAY.iter().chain(BY_MONTH);
    match method {
        "websockettraffic" => "Traffic",
        "websocketbps" => "Daily peak bandwidth",
        other => all.into_iter().find(|(value, _)| *value == other).map_or(other, |(_, name)| name),
    }
}

impl Plans {
    pub fn offset_s(&self) -> i32 {
        offset_s(&self.utc_offset)
    }

    /// The method that WebSocket is charged by now.
    pub fn websocket(&self) -> Option<&str> {
        self.current.as_ref().map(|plan| &*plan.websocket_bill_type)
    }

    fn moment(&self, text: &str) -> String {
        units::moment(text, self.offset_s())
    }

    /// When a choice that is made now takes effect.
    fn takes_effect(&self) -> String {
        match &self.change_effective_from {
            Some(at) => self.moment(at),
            None => "at once".to_owned(),
        }
    }
}

/// `+08:00` in seconds.
fn offset_s(text: &str) -> i32 {
    let (hours, minutes) = text.get(1..).and_then(|t| t.split_once(':')).unwrap_or_default();
    let number = |text: &str| text.parse::<i32>().unwrap_or_default();
    let size = number(hours) * 3_600 + number(minutes) * 60;
    if text.starts_with('-') { -size } else { size }
}

pub fn card(
    viewer: &Viewer,
    plans: &Plans,
    chosen: Option<Chosen<'_>>,
    refusal: Option<&Refusal>,
) -> Markup {
    let body = html! {
        @match &plans.current {
            Some(current) => (in_effect(plans, current)),
            None if plans.billing => p {
                strong { "No plan is in effect." } " Until one is, no domain has WebSocket: its \
                toggle cannot be switched on. Activation is in effect at once."
            },
            None => p.soft { "No plan was chosen." },
        }
        @if plans.billing {
            @if viewer.may(Role::Admin) { (form(viewer, plans, chosen, refusal)) }
            @else { p.soft { "Choosing and changing the plan needs a key with the role admin." } }
        }
    };
    parts::card("Plan", body)
}

fn in_effect(plans: &Plans, current: &Plan) -> Markup {
    let facts = |plan: &Plan, since: &'static str| {
        let cycle = match BY_DAY.iter().any(|(value, _)| *value == plan.charge_type) {
            true => "settled by the day",
            false => "settled by the month",
        };
        parts::facts(&[
            ("Billing method", html! { (name(&plan.charge_type)) " (" (cycle) ")" }),
            ("WebSocket", html! { (name(&plan.websocket_bill_type)) }),
            (
                since,
                html! { time datetime=(plan.effective_from) {
                    (plans.moment(&plan.effective_from))
                } },
            ),
        ])
    };
    html! {
        div.columns {
            div.stack { h3 { "In effect" } (facts(current, "Since")) }
            div.stack {
                h3 { "Pending change" }
                @match &plans.next {
                    Some(next) => (facts(next, "Takes effect")),
                    None => p.soft { "None: the plan stays as it is." },
                }
            }
        }
    }
}

fn form(
    viewer: &Viewer,
    plans: &Plans,
    chosen: Option<Chosen<'_>>,
    refusal: Option<&Refusal>,
) -> Markup {
    let shown = plans.next.as_ref().or(plans.current.as_ref());
    let default =
        shown.map_or(Chosen { charge: "PayByTraffic", websocket: "websockettraffic" }, |plan| {
            Chosen { charge: &plan.charge_type, websocket: &plan.websocket_bill_type }
        });
    let chosen = chosen.unwrap_or(default);
    if plans.next.is_some() && plans.pending == "refuse" {
        return html! {
            p.soft {
                "While a change is pending, another one is refused; the next can be made after it \
                took effect. " code { "pending = \"replace\"" } " under " code { "[billing]" }
                " in hawser.toml lets it take its place."
            }
        };
    }
    let (verb, title) = match plans.current {
        Some(_) => ("Change plan", "Change billing method"),
        None => ("Activate", "Activate WebSocket"),
    };
    html! {
        hr;
        h3 { (title) }
        @if plans.next.is_some() {
            p {
                "Another change takes the place of the one that is pending; choosing the plan in \
                effect calls it off."
            }
        }
        (parts::form(viewer, "/usage/plan", html! {
            div.stack {
                div.fields {
                    (charge(chosen.charge, refusal))
                    (websocket(chosen.websocket, refusal))
                }
                p { "Takes effect: " strong { (plans.takes_effect()) } ". " (why(plans)) }
                div.actions {
                    button.primary data-confirm=(question(plans, chosen))
                        data-question=(ask(plans)) { (verb) }
                }
            }
        }))
    }
}

fn why(plans: &Plans) -> &'static str {
    match &plans.current {
        None => "Later changes take effect when the cycle of the billing method ends.",
        Some(plan) if BY_DAY.iter().any(|(value, _)| *value == plan.charge_type) => {
            "The present billing method is settled by the day, so a change comes with the next \
             midnight. Until then nothing changes."
        }
        Some(_) => {
            "The present billing method is settled by the month, so a change comes at 00:00 of \
             the 1st of the next month. Until then nothing changes."
        }
    }
}

fn charge(value: &str, refusal: Option<&Refusal>) -> Markup {
    let field = Field {
        name: "charge",
        label: "Billing method",
        hint: "Of the whole service. Its cycle decides when later changes take effect: the next \
               00:00, or 00:00 of the 1st of the next month.",
        unit: "",
        pointer: POINTERS[0],
    };
    let group = |label: &str, options: &[(&str, &str)]| {
        html! {
            optgroup label=(label) {
                @for (option, text) in options {
                    option value=(option) selected[*option == value] { (text) }
                }
            }
        }
    };
    field.around(refusal, |tie| {
        html! {
            select id=(tie.id) name="charge" aria-describedby=(tie.described)
                aria-invalid=[tie.invalid] {
                (group("By day", BY_DAY))
                (group("By month", BY_MONTH))
            }
        }
    })
}

fn websocket(value: &str, refusal: Option<&Refusal>) -> Markup {
    let field = Field {
        name: "websocket",
        label: "WebSocket is charged",
        hint: "By the bytes sent to clients, stated each hour, in progressive tiers over the \
               month; or by the peak of each day, at the price of the tier that it reaches.",
        unit: "",
        pointer: POINTERS[1],
    };
    field.select(WEBSOCKET, value, refusal)
}

/// A question with `{charge}` and `{websocket}`, for scripts to fill in.
fn ask(plans: &Plans) -> String {
    let at = plans.takes_effect();
    match plans.current {
        Some(_) => format!(
            "Change to \"{{charge}}\", WebSocket: \"{{websocket}}\"? It takes effect at {at}; the \
             present plan holds until then."
        ),
        None => {
            "Activate \"{charge}\", WebSocket: \"{websocket}\"? It is in effect at once.".to_owned()
        }
    }
}

fn question(plans: &Plans, chosen: Chosen<'_>) -> String {
    let ask = ask(plans).replace("{charge}", name(chosen.charge));
    ask.replace("{websocket}", name(chosen.websocket))
}

pub async fn choose(State(console): State<Console>, form: Submitted) -> Result<Response, Refusal> {
    let Submitted { viewer, fields } = form;
    let chosen = Chosen { charge: fields.text("charge"), websocket: fields.text("websocket") };
    let plans: Plans = viewer.rest.read("/plan").await?;
    if !fields.is_on(parts::CONFIRMED) {
        return Ok(sure(&console, &viewer, &plans, chosen).into_response());
    }
    let body = json!({ "charge_type": chosen.charge, "websocket_bill_type": chosen.websocket });
    let path = if plans.current.is_some() { "/plan/change" } else { "/plan" };
    match viewer.rest.send::<Plans>(Method::POST, path, None, Some(&body)).await {
        Ok(now) => {
            console.sessions.leave_notice(&viewer.token, done(&now));
            Ok(Redirect::to(&format!("{ROOT}/usage")).into_response())
        }
        Err(refusal) if matches!(refusal.status, 409 | 422) => {
            let asked = Asked::of(&Fields::default());
            super::page(&console, &viewer, &asked, Some(chosen), Some(&refusal)).await
        }
        Err(refusal) => Err(refusal),
    }
}

fn done(plans: &Plans) -> String {
    match (&plans.next, &plans.current) {
        (Some(next), _) => format!(
            "The change takes effect at {}; the present plan holds until then.",
            plans.moment(&next.effective_from)
        ),
        (None, Some(plan)) => format!(
            "{} is in effect since {}.",
            name(&plan.charge_type),
            plans.moment(&plan.effective_from)
        ),
        (None, None) => "Nothing was chosen.".to_owned(),
    }
}

fn sure(console: &Console, viewer: &Viewer, plans: &Plans, chosen: Chosen<'_>) -> Markup {
    let (title, verb) = match plans.current {
        Some(_) => ("Change the plan?", "Change plan"),
        None => ("Activate WebSocket?", "Activate"),
    };
    let fields = [("charge", chosen.charge), ("websocket", chosen.websocket)];
    let text = question(plans, chosen);
    let body = parts::confirmation(viewer, title, &text, "/usage/plan", verb, "/usage", &fields);
    let section = Some(Section::Usage);
    Page { section, title, files: &[], charts: false, body }.show(console, viewer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets() {
        for (text, seconds) in [("+08:00", 28_800), ("-03:30", -12_600), ("+00:00", 0)] {
            assert_eq!(offset_s(text), seconds);
        }
    }

    #[test]
    fn the_moment_is_said_before_anybody_confirms() {
        let plan = Plan {
            charge_type: "PayByBandwidth95".to_owned(),
            websocket_bill_type: "websocketbps".to_owned(),
            effective_from: "2026-11-01T00:00:00Z".to_owned(),
        };
        let plans = |current, change: Option<&str>| Plans {
            billing: true,
            current,
            next: None,
            change_effective_from: change.map(str::to_owned),
            utc_offset: "+08:00".to_owned(),
            pending: "refuse".to_owned(),
        };
        let chosen = Chosen { charge: "PayByTraffic", websocket: "websockettraffic" };
        let change = plans(Some(plan), Some("2026-11-30T16:00:00Z"));
        let asked = question(&change, chosen);
        assert!(asked.contains("2026-12-01 00:00:00 +08:00"), "{asked}");
        assert!(asked.contains("\"Pay by traffic\", WebSocket: \"Traffic\""), "{asked}");
        assert!(why(&change).contains("by the month"));
        assert!(question(&plans(None, None), chosen).ends_with("in effect at once."));
    }
}
