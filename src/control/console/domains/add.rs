//! The form that sets up a domain. Not here: what can be changed later (the pages of a domain).

use axum::extract::State;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};
use serde_json::{Map, Value, json};

use super::super::layout::{Page, Section};
use super::super::parts::{self, Field};
use super::super::rest::Refusal;
use super::super::viewer::{Fields, Submitted, Viewer};
use super::super::{Console, ROOT};
use super::fields::{self, Input, Source};
use super::frame::{Node, Tab, status};
use super::preview::{self, Proposal, Step, Verb};
use super::rows::Rows;
use super::websocket::{INPUTS as WEBSOCKET, no_plan};
use super::{ADD, FILES};
use crate::control::keys::Role;

/// Heartbeat and protocol; the rest has its place on the pages of the domain.
const INPUTS: &[Input] = WEBSOCKET.split_at(2).0;

pub async fn show(State(console): State<Console>, viewer: Viewer) -> Result<Response, Refusal> {
    if !viewer.may(Role::Operate) {
        let detail = "To add a domain needs a key with the role operate.";
        return Err(Refusal::new(StatusCode::FORBIDDEN, "This key may not do that", detail));
    }
    let node = Node::read(&viewer).await?;
    let new = json!({ "websocket": { "heartbeat": 60, "origin_scheme": "follow" } });
    let source = Source::Document(&new);
    let form = Form { name: "", websocket: node.plan_in_effect, source, rows: Rows::new() };
    Ok(form.page(&console, &viewer, node, None))
}

pub async fn submit(State(console): State<Console>, form: Submitted) -> Result<Response, Refusal> {
    let (name, rows) = (form.fields.text("name"), Rows::typed(&form.fields));
    let (rows, refusal) = match Step::of(&form.fields) {
        Step::Back => (rows, None),
        Step::Row => (rows.with_one_more(), None),
        Step::Preview | Step::Apply => {
            match preview::walk(&console, &form, &proposal(name, &form.fields, &rows)).await {
                Ok(response) => return Ok(response),
                Err(refusal) if refusal.status == StatusCode::FORBIDDEN => return Err(refusal),
                Err(refusal) => {
                    let told = rows.told(fields::told(refusal, INPUTS));
                    (rows, Some(told))
                }
            }
        }
    };
    let node = Node::read(&form.viewer).await?;
    let websocket = form.fields.is_on("websocket");
    let again = Form { name, websocket, source: Source::Typed(&form.fields), rows };
    Ok(again.page(&console, &form.viewer, node, refusal.as_ref()))
}

fn proposal(name: &str, typed: &Fields, rows: &Rows) -> Proposal {
    let mut websocket = Map::new();
    websocket.insert("enabled".to_owned(), typed.is_on("websocket").into());
    if let Value::Object(settings) = &fields::patch(INPUTS, typed)["websocket"] {
        websocket.extend(settings.clone());
    }
    websocket.retain(|_, value| !value.is_null());
    Proposal {
        domain: name.to_owned(),
        method: Method::POST,
        path: "/domains".to_owned(),
        body: Some(json!({ "name": name, "websocket": websocket, "origin": rows.json() })),
        action: ADD.to_owned(),
        title: format!("Add {name}"),
        note: html! {
            p.soft {
                "This becomes its file. It is served from then on; everything else has its default "
                "and can be set on its pages."
            }
        },
        verb: Verb { text: "Add domain", ..preview::APPLY },
        done: format!("{name} is served."),
        to: Tab::Basics.path(name),
    }
}

/// The form as it is shown.
struct Form<'a> {
    name: &'a str,
    websocket: bool,
    source: Source<'a>,
    rows: Rows,
}

impl Form<'_> {
    fn page(
        &self,
        console: &Console,
        viewer: &Viewer,
        node: Node,
        refusal: Option<&Refusal>,
    ) -> Response {
        let shown: Vec<String> = fields::pointers(INPUTS)
            .into_iter()
            .chain(self.rows.pointers())
            .chain(["/name".to_owned()])
            .collect();
        let body = html! {
            (parts::trail(&[("Domain names", "/domains")]))
            (parts::heading("Add domain", "", html! {}))
            (fields::refused(refusal, &shown))
            (parts::form(viewer, ADD, html! {
                // What Enter in a field sends, rather than one row more.
                button.unseen tabindex="-1" aria-hidden="true" { "Review change" }
                div.stack.wide-form {
                    (self.domain(refusal))
                    (self.websocket(viewer, node, refusal))
                    (parts::card("Origins", self.rows.show(refusal)))
                    div.actions {
                        button.primary { "Review change" }
                        a.button.quiet href={ (ROOT) "/domains" } { "Cancel" }
                    }
                }
            }))
        };
        let page = Page {
            section: Some(Section::Domains),
            title: "Add domain",
            files: FILES,
            charts: false,
            body,
        };
        (status(refusal), page.show(console, viewer)).into_response()
    }

    fn domain(&self, refusal: Option<&Refusal>) -> Markup {
        let name = Field {
            name: "name",
            label: "Host name",
            hint: "In lower case, such as live.example.com; or *.example.com for every name one \
                   label below. It cannot be changed later.",
            unit: "",
            pointer: "/name",
        };
        let input = name.around(refusal, |tie| {
            html! {
                input id=(tie.id) name="name" value=(self.name) maxlength="253" required
                    autocapitalize="off" spellcheck="false" autocomplete="off"
                    aria-describedby=(tie.described) aria-invalid=[tie.invalid];
            }
        });
        parts::card("Domain", input)
    }

    fn websocket(&self, viewer: &Viewer, node: Node, refusal: Option<&Refusal>) -> Markup {
        let barred = !node.plan_in_effect;
        let body = html! {
            @if barred { (no_plan(viewer)) }
            label.switch {
                input type="checkbox" role="switch" name="websocket" value="on"
                    checked[self.websocket && !barred] disabled[barred];
                "WebSocket"
            }
            (fields::inputs(INPUTS, self.source, refusal))
        };
        parts::card("WebSocket", body)
    }
}
