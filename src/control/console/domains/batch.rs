//! One change to several domains: all of them or none. Not here: the list they are ticked in.

use axum::extract::State;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use maud::html;
use serde_json::{Value, json};

use super::super::layout::{Page, Section};
use super::super::parts;
use super::super::rest::Refusal;
use super::super::viewer::{Submitted, Viewer};
use super::super::{Console, ROOT};
use super::frame::status;
use super::preview::{APPLY, Changed, Proposal, Sheet, Step};
use super::{BATCH, FILES};
use crate::limits::API_BATCH_MAX;

/// Value of the button, what is done to each, text of the button.
pub const ACTIONS: [(&str, Done, &str); 4] = [
    ("start", Done::Start, "Start"),
    ("stop", Done::Stop, "Stop"),
    ("websocket-on", Done::Websocket(true), "WebSocket on"),
    ("websocket-off", Done::Websocket(false), "WebSocket off"),
];

#[derive(Debug, Clone, Copy)]
pub enum Done {
    Start,
    Stop,
    Websocket(bool),
}

impl Done {
    fn item(self, name: &str) -> Value {
        match self {
            Done::Start => json!({ "action": "start", "name": name }),
            Done::Stop => json!({ "action": "stop", "name": name }),
            Done::Websocket(on) => {
                let document = json!({ "websocket": { "enabled": on } });
                json!({ "action": "patch", "name": name, "document": document })
            }
        }
    }

    fn note(self) -> &'static str {
        match self {
            Done::Stop => {
                "Their tunnels are closed, and requests for them are answered 421 until they are \
                 started again."
            }
            Done::Start | Done::Websocket(_) => "It holds for new handshakes at once.",
        }
    }
}

pub async fn submit(State(console): State<Console>, form: Submitted) -> Response {
    let step = Step::of(&form.fields);
    if step == Step::Back {
        return to_list(form.fields.text("list"));
    }
    match change(&console, &form, step).await {
        Ok(response) => response,
        Err(refusal) => refused(&console, &form.viewer, &refusal),
    }
}

async fn change(console: &Console, form: &Submitted, step: Step) -> Result<Response, Refusal> {
    let names: Vec<&str> = form.fields.all("domain").collect();
    let wanted = form.fields.text("action");
    let action = ACTIONS.into_iter().find(|(value, ..)| *value == wanted);
    let Some((_, done, text)) = action else {
        return Err(invalid("Say what is to be done: start, stop, WebSocket on or off."));
    };
    if names.is_empty() {
        return Err(invalid("No domain was ticked. Tick those that are meant, then choose again."));
    }
    if names.len() > API_BATCH_MAX {
        let detail = format!(
            "{} domains were ticked; at most {API_BATCH_MAX} can be changed at once.",
            names.len()
        );
        return Err(invalid(&detail));
    }
    let rest = &form.viewer.rest;
    let seen: Vec<&str> = form.fields.all("revision").collect();
    let mut moved = false;
    if step == Step::Apply {
        let item = |(name, revision): (&&str, &&str)| {
            let mut item = done.item(name);
            item["if_match"] = (*revision).into();
            item
        };
        let changes: Vec<Value> = names.iter().zip(&seen).map(item).collect();
        let body = json!({ "changes": changes });
        match rest.send::<Value>(Method::POST, "/changes", None, Some(&body)).await {
            Ok(_) => {
                let notice = format!("{text}: {} changed.", plural(names.len()));
                console.sessions.leave_notice(&form.viewer.token, notice);
                return Ok(to_list(form.fields.text("list")));
            }
            Err(refusal) if refusal.status == StatusCode::PRECONDITION_FAILED => moved = true,
            Err(refusal) => return Err(refusal),
        }
    }
    let changes: Vec<Value> = names.iter().map(|name| done.item(name)).collect();
    let body = json!({ "changes": changes });
    let changed: Changed =
        rest.send(Method::POST, "/changes?dry_run=true", None, Some(&body)).await?;
    let proposal = Proposal {
        domain: String::new(),
        method: Method::POST,
        path: String::new(),
        body: None,
        action: BATCH.to_owned(),
        title: format!("{text}: {}", plural(names.len())),
        note: html! { p.soft { (done.note()) } },
        verb: APPLY,
        done: String::new(),
        to: String::new(),
    };
    // In the order of the names, as they are sent with the change.
    let revision = |name: &&str| {
        let domain = changed.domains.iter().find(|domain| domain.name == **name);
        domain.and_then(|domain| domain.before_revision.as_deref()).unwrap_or_default()
    };
    let fields: Vec<(&str, &str)> = names.iter().map(|name| ("revision", revision(name))).collect();
    let sheet = Sheet { changed: &changed, proposal: &proposal, form, fields: &fields, moved };
    let status = if moved { StatusCode::PRECONDITION_FAILED } else { StatusCode::OK };
    Ok((status, sheet.page(console)).into_response())
}

/// The list as it was asked for.
fn to_list(query: &str) -> Response {
    let mut written = form_urlencoded::Serializer::new(String::new());
    let query = written.extend_pairs(form_urlencoded::parse(query.as_bytes())).finish();
    Redirect::to(&format!("{ROOT}/domains?{query}")).into_response()
}

fn plural(n: usize) -> String {
    if n == 1 { "1 domain".to_owned() } else { format!("{n} domains") }
}

fn invalid(detail: &str) -> Refusal {
    Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, "Nothing was changed", detail)
}

fn refused(console: &Console, viewer: &Viewer, refusal: &Refusal) -> Response {
    let body = html! {
        (parts::trail(&[("Domain names", "/domains")]))
        (parts::heading("Nothing was changed", "", html! {}))
        (parts::refusal(refusal, &[]))
        @if refusal.kind.ends_with(":no-plan") { (super::websocket::no_plan(viewer)) }
        p { a.button href={ (ROOT) "/domains" } { "Back to the list" } }
    };
    let page = Page {
        section: Some(Section::Domains),
        title: "Nothing was changed",
        files: FILES,
        charts: false,
        body,
    };
    (status(Some(refusal)), page.show(console, viewer)).into_response()
}
