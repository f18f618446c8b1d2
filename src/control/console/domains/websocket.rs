//! The page "WebSocket" of a domain: the toggle, the heartbeat, the protocol towards origins. Not
//! here: plans (`usage`), limits.

use axum::extract::{Path, Query, State};
use axum::response::Response;
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::json;

use super::super::parts::{self, Tone};
use super::super::rest::Refusal;
use super::super::viewer::{Submitted, Viewer};
use super::super::{Console, ROOT};
use super::fields::{self, Input, Kind, Options, Source};
use super::frame::{Framed, Node, Subject, Tab, review, state_badge};
use super::preview::{self, Proposal, Step, Verb};
use super::settings::{change, seen};
use crate::control::keys::Role;

/// As the product has it.
pub const SCHEMES: Options = &[("http", "HTTP"), ("https", "HTTPS"), ("follow", "Follow")];

pub const INPUTS: &[Input] = &[
    Input {
        key: "websocket.heartbeat",
        label: "Heartbeat interval",
        unit: "seconds",
        kind: Kind::Number,
        hint: "After so much silence a side is asked for a sign of life. Empty: 60.",
    },
    Input {
        key: "websocket.origin_scheme",
        label: "Back-to-origin protocol",
        unit: "",
        kind: Kind::Segments(SCHEMES),
        hint: "How origins are spoken to, for WebSocket and for plain requests. Follow: as the \
               client came. HTTP goes to the port of an origin, HTTPS to its HTTPS port.",
    },
    Input {
        key: "websocket.heartbeat_mode",
        label: "Heartbeat mode",
        unit: "",
        kind: Kind::Choice(&[
            ("active", "Active: a silent side gets a Ping"),
            ("passive", "Passive: a tunnel without traffic is closed"),
        ]),
        hint: "Active: the tunnel is closed when the side stays silent for another 10 seconds, or \
               the interval if that is shorter.",
    },
];

#[derive(Deserialize)]
pub struct Asked {
    /// The settings as a form.
    modify: Option<String>,
}

pub async fn show(
    State(console): State<Console>,
    Path(name): Path<String>,
    Query(asked): Query<Asked>,
    viewer: Viewer,
) -> Result<Response, Refusal> {
    let page = Shown::read(&viewer, &name).await?;
    let source = Source::Document(&page.subject.document);
    let form = asked.modify.is_some() && viewer.may(Role::Operate);
    Ok(page.answer(&console, &viewer, form.then_some(source), None))
}

pub async fn submit(
    State(console): State<Console>,
    Path(name): Path<String>,
    form: Submitted,
) -> Result<Response, Refusal> {
    let refusal = match Step::of(&form.fields) {
        Step::Back => None,
        _ => {
            let patch = fields::patch(INPUTS, &form.fields);
            let proposal = change(&name, Tab::Websocket, patch);
            match preview::walk(&console, &form, &proposal).await {
                Ok(response) => return Ok(response),
                Err(refusal) => Some(fields::told(refusal, INPUTS)),
            }
        }
    };
    let page = Shown::read(&form.viewer, &name).await?;
    let source = Source::Typed(&form.fields);
    Ok(page.answer(&console, &form.viewer, Some(source), refusal.as_ref()))
}

/// The toggle.
pub async fn toggle(
    State(console): State<Console>,
    Path(name): Path<String>,
    form: Submitted,
) -> Result<Response, Refusal> {
    let refusal = match Step::of(&form.fields) {
        Step::Back => None,
        _ => match preview::walk(&console, &form, &toggled(&name, form.fields.text("to"))).await {
            Ok(response) => return Ok(response),
            Err(refusal) => Some(refusal),
        },
    };
    let page = Shown::read(&form.viewer, &name).await?;
    Ok(page.answer(&console, &form.viewer, None, refusal.as_ref()))
}

fn toggled(name: &str, to: &str) -> Proposal {
    let on = to == "on";
    let patch = json!({ "websocket": { "enabled": on } });
    let note = html! {
        p.soft {
            @if on {
                "Handshakes are let through from now on."
            } @else {
                "Upgrade is taken out of requests from now on, and they go on as plain HTTP. "
                "Tunnels that are open stay open; Live connections can close them."
            }
        }
    };
    let (text, tone, state) = match on {
        true => ("Turn on", Tone::Plain, "on"),
        false => ("Turn off", Tone::Bad, "off"),
    };
    Proposal {
        action: format!("{}/toggle", Tab::Websocket.path(name)),
        title: format!("{text} WebSocket of {name}"),
        note,
        verb: Verb { text, tone },
        done: format!("WebSocket of {name} is {state}."),
        ..change(name, Tab::Websocket, patch)
    }
}

struct Shown {
    subject: Subject,
    node: Node,
}

impl Shown {
    async fn read(viewer: &Viewer, name: &str) -> Result<Shown, Refusal> {
        Ok(Shown { subject: Subject::read(viewer, name).await?, node: Node::read(viewer).await? })
    }

    fn answer(
        &self,
        console: &Console,
        viewer: &Viewer,
        form: Option<Source<'_>>,
        refusal: Option<&Refusal>,
    ) -> Response {
        let body = html! {
            (fields::refused(refusal, &fields::pointers(INPUTS)))
            (self.toggle(viewer))
            @match form {
                Some(source) => (self.form(viewer, source, refusal)),
                None => (self.settings(viewer)),
            }
        };
        let subject = &self.subject;
        let badges = state_badge(subject.is_online());
        Framed { domain: &subject.name, tab: Tab::Websocket, badges, body }
            .answer(console, viewer, refusal)
    }

    fn toggle(&self, viewer: &Viewer) -> Markup {
        let (subject, on) = (&self.subject, self.subject.has_websocket());
        let path = format!("{}/toggle", Tab::Websocket.path(&subject.name));
        let (tone, state) = if on { (Tone::Good, "on") } else { (Tone::Plain, "off") };
        let barred = !on && !self.node.plan_in_effect;
        html! {
            section.card {
                header {
                    div.line { h2 { "WebSocket" } (parts::badge(tone, state)) }
                    @if viewer.may(Role::Operate) {
                        (parts::form(viewer, &path, html! {
                            input type="hidden" name="to" value=(if on { "off" } else { "on" });
                            input type="hidden" name="seen" value=(subject.revision());
                            button.toggle role="switch" aria-label="WebSocket"
                                aria-checked=(if on { "true" } else { "false" })
                                disabled[barred] data-preview {
                                span.unseen { (if on { "Turn off" } else { "Turn on" }) }
                            }
                        }))
                    }
                }
                p.soft {
                    @if on {
                        "Handshakes to this domain are answered with 101 and become tunnels."
                    } @else {
                        "Requests to this domain go on as plain HTTP: Upgrade is taken out of them."
                    }
                }
                @if barred { (no_plan(viewer)) }
            }
        }
    }

    /// The settings for reading, with the way to change them.
    fn settings(&self, viewer: &Viewer) -> Markup {
        let document = &self.subject.document["websocket"];
        let of = |options: Options, key: &str| {
            let value = document[key].as_str().unwrap_or_default().to_owned();
            let found = options.iter().find(|(known, _)| *known == value);
            found.map_or(value.clone(), |(_, text)| (*text).to_owned())
        };
        let Kind::Choice(modes) = INPUTS[2].kind else { return html! {} };
        let modify = html! {
            @if viewer.may(Role::Operate) {
                a.button href={ (ROOT) (Tab::Websocket.path(&self.subject.name)) "?modify=1" } {
                    "Modify"
                }
            }
        };
        parts::card_with(
            "Settings",
            modify,
            parts::facts(&[
                ("Heartbeat interval", html! { (document["heartbeat"]) " s" }),
                ("Back-to-origin protocol", html! { (of(SCHEMES, "origin_scheme")) }),
                ("Heartbeat mode", html! { (of(modes, "heartbeat_mode")) }),
            ]),
        )
    }

    fn form(&self, viewer: &Viewer, source: Source<'_>, refusal: Option<&Refusal>) -> Markup {
        let path = Tab::Websocket.path(&self.subject.name);
        parts::card(
            "Settings",
            parts::form(
                viewer,
                &path,
                html! {
                    (seen(&self.subject, source))
                    fieldset.stack disabled[!viewer.may(Role::Operate)] {
                        (fields::inputs(INPUTS, source, refusal))
                        div.actions {
                            (review(viewer))
                            a.button.quiet href={ (ROOT) (path) } { "Cancel" }
                        }
                    }
                },
            ),
        )
    }
}

/// Why WebSocket cannot be turned on, and the way out.
pub fn no_plan(viewer: &Viewer) -> Markup {
    parts::banner(
        Tone::Notice,
        html! {
            p {
                "WebSocket cannot be turned on: no billing plan is in effect. "
                @if viewer.may(Role::Admin) {
                    a href={ (ROOT) "/usage" } { "Choose a plan" }
                    "; the first one takes effect at once."
                } @else {
                    "Somebody with the role admin chooses one at "
                    a href={ (ROOT) "/usage" } { "Usage and billing" } "."
                }
            }
        },
    )
}
