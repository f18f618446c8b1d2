//! The page "Origins" of a domain: their health, the list of them, how they are chosen and reached.
//! Not here: rows of a form (`rows`).

use axum::extract::{Path, State};
use axum::response::Response;
use maud::{Markup, html};
use serde::Deserialize;

use super::super::parts::{self, Column, Tone};
use super::super::rest::{Refusal, part};
use super::super::viewer::{Submitted, Viewer};
use super::super::{Console, units};
use super::fields::{self, Group, Input, Kind, Source};
use super::frame::{Framed, Subject, Tab, review, state_badge};
use super::preview::{self, Step};
use super::rows::{self, Rows};
use super::settings::{change, seen};
use crate::control::keys::Role;

const GROUPS: &[Group] = &[CHOICE, WAY, TLS];

const CHOICE: Group = Group {
    title: "Choice and failure",
    lead: "Each address is checked by a TCP connect; how often stands in [health] of hawser.toml.",
    inputs: &[
        Input {
            key: "balance.mode",
            label: "Choose by",
            unit: "",
            kind: Kind::Choice(&[
                ("weighted", "Weight, at random"),
                ("least_connections", "Least connections per weight"),
                ("hash", "Hash: the same key, the same address"),
            ]),
            hint: "Among those of the best priority that are up.",
        },
        Input {
            key: "balance.key",
            label: "Key of the hash",
            unit: "",
            kind: Kind::Text,
            hint: "",
        },
        Input {
            key: "close_on_origin_down",
            label: "When an address goes down, close",
            unit: "tunnels per second",
            kind: Kind::Number,
            hint: "With 1012, so that clients move to one that is up.",
        },
    ],
};

const WAY: Group = Group {
    title: "Requests to origins",
    lead: "",
    inputs: &[
        Input {
            key: "http.host",
            label: "Host header",
            unit: "",
            kind: Kind::Text,
            hint: "What origins get as Host.",
        },
        Input {
            key: "http.connect_timeout",
            label: "Connect timeout",
            unit: "",
            kind: Kind::Text,
            hint: "",
        },
        Input {
            key: "http.send_proxy",
            label: "PROXY protocol",
            unit: "",
            kind: Kind::Choice(&[("off", "Off"), ("v1", "Version 1"), ("v2", "Version 2")]),
            hint: "",
        },
    ],
};

const TLS: Group = Group {
    title: "TLS to origins",
    lead: "Where the back-to-origin protocol comes to HTTPS.",
    inputs: &[
        Input {
            key: "origin_tls.verify",
            label: "Verify certificates",
            unit: "",
            kind: Kind::Text,
            hint: "webpki: the public roots; a PEM file: these roots; off: nothing at all, so that \
                   anybody on the way can read and change everything.",
        },
        Input {
            key: "origin_tls.server_name",
            label: "Server name",
            unit: "",
            kind: Kind::Text,
            hint: "Asked for (SNI), and what an origin's certificate must carry.",
        },
        Input {
            key: "origin_tls.certificate",
            label: "Certificate shown to origins",
            unit: "",
            kind: Kind::Text,
            hint: "A PEM file, for origins that ask for one.",
        },
        Input {
            key: "origin_tls.key",
            label: "Its private key",
            unit: "",
            kind: Kind::Text,
            hint: "A PEM file.",
        },
    ],
};

fn inputs() -> impl Iterator<Item = &'static Input> {
    GROUPS.iter().flat_map(|group| group.inputs)
}

pub async fn show(
    State(console): State<Console>,
    Path(name): Path<String>,
    viewer: Viewer,
) -> Result<Response, Refusal> {
    let subject = Subject::read(&viewer, &name).await?;
    let source = Source::Document(&subject.document);
    let rows = Rows::of_document(&subject.document);
    page(&console, &viewer, &subject, (source, rows), None).await
}

pub async fn submit(
    State(console): State<Console>,
    Path(name): Path<String>,
    form: Submitted,
) -> Result<Response, Refusal> {
    let rows = Rows::typed(&form.fields);
    let (rows, refusal) = match Step::of(&form.fields) {
        Step::Back => (rows, None),
        Step::Row => (rows.with_one_more(), None),
        Step::Preview | Step::Apply => {
            let mut patch = fields::patch(inputs(), &form.fields);
            if let Some(list) = rows::patch(&form.fields) {
                patch["origin"] = list;
            }
            match preview::walk(&console, &form, &change(&name, Tab::Origins, patch)).await {
                Ok(response) => return Ok(response),
                Err(refusal) => {
                    let told = rows.told(fields::told(refusal, inputs()));
                    (rows, Some(told))
                }
            }
        }
    };
    let subject = Subject::read(&form.viewer, &name).await?;
    let source = Source::Typed(&form.fields);
    page(&console, &form.viewer, &subject, (source, rows), refusal.as_ref()).await
}

async fn page(
    console: &Console,
    viewer: &Viewer,
    subject: &Subject,
    (source, rows): (Source<'_>, Rows),
    refusal: Option<&Refusal>,
) -> Result<Response, Refusal> {
    let name = &subject.name;
    let health: Health = viewer.rest.read(&format!("/origins?domain={}", part(name))).await?;
    let shown: Vec<String> =
        rows.pointers().into_iter().chain(fields::pointers(inputs())).collect();
    let was = match source {
        Source::Document(_) => rows.json().to_string(),
        Source::Typed(fields) => fields.text("was.origin").to_owned(),
    };
    let body = html! {
        (fields::refused(refusal, &shown))
        (health.show(subject))
        (parts::form(viewer, &Tab::Origins.path(name), html! {
            (seen(subject, source))
            input type="hidden" name="was.origin" value=(was);
            // What Enter in a field sends, rather than one row more.
            button.unseen tabindex="-1" aria-hidden="true" { "Review change" }
            fieldset.stack disabled[!viewer.may(Role::Operate)] {
                (parts::card("Origins", rows.show(refusal)))
                @for group in GROUPS { (group.show(source, refusal)) }
                (review(viewer))
            }
        }))
    };
    let badges = state_badge(subject.is_online());
    Ok(Framed { domain: name, tab: Tab::Origins, badges, body }.answer(console, viewer, refusal))
}

#[derive(Deserialize)]
struct Health {
    items: Vec<Endpoint>,
}

#[derive(Deserialize)]
struct Endpoint {
    origin: String,
    address: String,
    tls: bool,
    priority: u16,
    weight: u16,
    up: bool,
    connections: u32,
}

impl Health {
    fn show(&self, subject: &Subject) -> Markup {
        const COLUMNS: [Column<'_>; 7] = [
            Column::Text("Health"),
            Column::Text("Origin"),
            Column::Text("Address"),
            Column::Text("Protocol"),
            Column::Text("Role"),
            Column::Number("Weight"),
            Column::Number("Connections"),
        ];
        let body = match (self.items.is_empty(), subject.is_online()) {
            (false, _) => parts::table_of("Health of origins", &COLUMNS, self.rows()),
            (true, true) => parts::empty(
                "No address yet",
                html! { p { "The names of the origins have not been resolved so far." } },
            ),
            (true, false) => parts::empty(
                "Not checked",
                html! { p { "The domain is stopped; its origins are checked when it is online." } },
            ),
        };
        parts::card("Health", body)
    }

    fn rows(&self) -> Markup {
        html! {
            @for one in &self.items {
                tr {
                    td {
                        @if one.up { (parts::badge(Tone::Good, "up")) }
                        @else { (parts::badge(Tone::Bad, "down")) }
                    }
                    td { (one.origin) " " span.soft.small { (rows::kind(&one.origin)) } }
                    td.mono { (one.address) }
                    td { (if one.tls { "HTTPS" } else { "HTTP" }) }
                    td { (if one.priority <= 20 { "primary" } else { "backup" }) }
                    td.num { (one.weight) }
                    td.num { (units::count(u64::from(one.connections))) }
                }
            }
        }
    }
}
