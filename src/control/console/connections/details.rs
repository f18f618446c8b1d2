//! One connection: both legs, what passed, how far its end is, and the form that closes it. Not
//! here: closing many (`closing`).

use std::time::Duration;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::Value;

use super::{FILES, Row, state};
use crate::control::console::layout::{Page, Section};
use crate::control::console::node::Node;
use crate::control::console::parts::{self, Field, Tone};
use crate::control::console::rest::{Refusal, part};
use crate::control::console::viewer::{Submitted, Viewer};
use crate::control::console::{Console, ROOT, units};
use crate::control::keys::Role;

pub fn routes() -> Router<Console> {
    Router::new()
        .route("/connections/{id}", get(show))
        .route("/connections/{id}/close", post(close))
}

/// As `GET /connections/{id}` has it.
#[derive(Deserialize)]
struct Connection {
    #[serde(flatten)]
    row: Row,
    client_tls: Option<String>,
    origin_tls: Option<String>,
    client_rtt_us: Option<u64>,
    origin_rtt_us: Option<u64>,
    client_leg: Leg,
    origin_leg: Leg,
}

#[derive(Deserialize)]
struct Leg {
    idle_ms: u64,
    last_frame: Option<Frame>,
    close: String,
    close_code: Option<u16>,
    stream: String,
}

#[derive(Deserialize)]
struct Frame {
    opcode: String,
    bytes: u64,
    missing_bytes: u64,
}

/// As `GET /connections/{id}/end` has it.
#[derive(Deserialize)]
struct End {
    /// RFC 3339.
    ended: String,
    domain: String,
    client: String,
    origin: String,
    cause: String,
    close_code: Option<u16>,
    detail: String,
    age_ms: u64,
    bytes_out: u64,
    bytes_in: u64,
    messages_out: u64,
    messages_in: u64,
}

/// What a form that closes holds.
pub struct Closing<'a> {
    pub code: &'a str,
    pub reason: &'a str,
}

impl Closing<'static> {
    /// The API's own defaults: service restart, the client may come again.
    pub const DEFAULT: Closing<'static> =
        Closing { code: "1012", reason: "closed by the operator" };
}

async fn show(
    State(console): State<Console>,
    viewer: Viewer,
    Path(id): Path<String>,
) -> Result<Response, Refusal> {
    page(&console, &viewer, &id, &Closing::DEFAULT, None).await
}

async fn page(
    console: &Console,
    viewer: &Viewer,
    id: &str,
    typed: &Closing<'_>,
    refusal: Option<&Refusal>,
) -> Result<Response, Refusal> {
    let path = format!("/connections/{}", part(id));
    let (status, body) = match viewer.rest.read::<Connection>(&path).await {
        Ok(connection) => {
            let status = refusal.map_or(StatusCode::OK, |refusal| code_of(refusal.status));
            (status, open(viewer, &connection, typed, refusal))
        }
        Err(gone) if gone.status == 404 => {
            let end = end(viewer, &path).await?;
            let node = Node::read(viewer).await?;
            let found = if end.is_some() { StatusCode::OK } else { StatusCode::NOT_FOUND };
            (found, over(id, end.as_ref(), node))
        }
        Err(other) => return Err(other),
    };
    let title = format!("Connection {id}");
    let page = Page {
        section: Some(Section::Connections),
        title: &title,
        files: FILES,
        charts: false,
        body,
    };
    Ok((status, page.show(console, viewer)).into_response())
}

/// How it ended. What just ended is known after a look at the cores' events.
async fn end(viewer: &Viewer, path: &str) -> Result<Option<End>, Refusal> {
    const LOOK: Duration = Duration::from_millis(250);
    for wait in [LOOK, Duration::ZERO] {
        match viewer.rest.read::<End>(&format!("{path}/end")).await {
            Ok(end) => return Ok(Some(end)),
            Err(unknown) if unknown.status == 404 => tokio::time::sleep(wait).await,
            Err(other) => return Err(other),
        }
    }
    Ok(None)
}

fn code_of(status: u16) -> StatusCode {
    StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY)
}

fn open(
    viewer: &Viewer,
    connection: &Connection,
    typed: &Closing<'_>,
    refusal: Option<&Refusal>,
) -> Markup {
    let row = &connection.row;
    let way = |label, way: &str, bytes: u64, messages: u64| {
        let note = html! {
            p.note {
                "messages: " span data-live={ "messages_" (way) } { (units::count(messages)) }
            }
        };
        let bytes = units::bytes(bytes as f64);
        parts::figure_with(label, &bytes, "", &format!("bytes_{way}"), note)
    };
    let time = |name, label, ms| parts::figure(label, &units::duration(ms), "", name);
    html! {
        (parts::trail(&[("Live connections", "/connections")]))
        (parts::heading(&format!("Connection {}", row.id), "", html! {
            (state(&row.state))
            button type="button" data-pause hidden { "Pause" }
        }))
        @if let Some(refusal) = refusal { (parts::refusal(refusal, &["?code", "?reason"])) }
        div.stack data-connection=(row.id) {
            div role="status" data-ended {}
            (parts::figures(html! {
                (time("age", "Open for", row.age_ms))
                (time("idle", "Idle for", row.idle_ms))
                (way("To client", "out", row.bytes_out, row.messages_out))
                (way("From client", "in", row.bytes_in, row.messages_in))
            }))
            div.columns.even {
                (parts::card("Client", leg("client", &connection.client_leg, &[
                    ("Address", html! { span.mono { (row.client) } }),
                    ("Region and ISP", html! { (row.region) " · " (row.isp) }),
                    ("TLS", tls(connection.client_tls.as_deref())),
                    ("Round trip", rtt("client", connection.client_rtt_us)),
                ])))
                (parts::card("Origin", leg("origin", &connection.origin_leg, &[
                    ("Address", html! { span.mono { (row.origin) } }),
                    ("Domain", html! {
                        a href={ (ROOT) "/domains/" (part(&row.domain)) } { (row.domain) }
                    }),
                    ("TLS", tls(connection.origin_tls.as_deref())),
                    ("Round trip", rtt("origin", connection.origin_rtt_us)),
                ])))
            }
        }
        @if viewer.may(Role::Operate) {
            (parts::card("Close this connection", form(viewer, row, typed, refusal)))
        }
    }
}

fn form(viewer: &Viewer, row: &Row, typed: &Closing<'_>, refusal: Option<&Refusal>) -> Markup {
    let question = format!("Close the connection of {} with {}?", row.client, row.domain);
    parts::form(
        viewer,
        &format!("/connections/{}/close", row.id),
        html! {
            div.stack {
                p.soft { "Client and origin each get a Close frame with this code and reason." }
                (fields(typed, refusal, ["?code", "?reason"]))
                div.actions {
                    button.danger data-confirm=(question) { "Close connection" }
                }
            }
        },
    )
}

/// The inputs of a code and of a reason; `pointers` are their places in what the API refuses.
pub fn fields(typed: &Closing<'_>, refusal: Option<&Refusal>, pointers: [&str; 2]) -> Markup {
    let code = Field {
        name: "code",
        label: "Close code",
        hint: "1012 lets clients come again. 1000 to 1003, 1007 to 1014 or, for applications, 3000 \
               to 4999.",
        unit: "",
        pointer: pointers[0],
    };
    let reason = Field {
        name: "reason",
        label: "Reason",
        hint: "For the peers: at most 123 bytes.",
        unit: "",
        pointer: pointers[1],
    };
    html! {
        div.fields {
            (code.around(refusal, |tie| html! {
                input id=(tie.id) type="text" inputmode="numeric" name="code" value=(typed.code)
                    size="6" autocomplete="off" aria-describedby=(tie.described)
                    aria-invalid=[tie.invalid] autofocus[tie.invalid.is_some()];
            }))
            (reason.input("text", typed.reason, refusal))
        }
    }
}

fn leg(name: &str, leg: &Leg, facts: &[(&str, Markup)]) -> Markup {
    let live = |what: &str, text: String| {
        html! { span data-live={ (name) "_" (what) } { (text) } }
    };
    let mut rows: Vec<(&str, Markup)> =
        facts.iter().map(|(name, what)| (*name, what.clone())).collect();
    rows.push(("Last heard", live("heard", format!("{} ago", units::duration(leg.idle_ms)))));
    rows.push(("Last frame from it", live("frame", frame(leg.last_frame.as_ref()))));
    rows.push(("Close handshake", live("close", handshake(leg))));
    rows.push(("Byte stream", live("stream", stream(&leg.stream).to_owned())));
    parts::facts(&rows)
}

/// `connections.js` writes the same, as the four that follow.
fn frame(frame: Option<&Frame>) -> String {
    match frame {
        None => "none yet".to_owned(),
        Some(Frame { opcode, bytes, missing_bytes: 0 }) => {
            format!("{opcode}, {}", units::bytes(*bytes as f64))
        }
        Some(Frame { opcode, bytes, missing_bytes }) => {
            let (bytes, missing) = (*bytes as f64, *missing_bytes as f64);
            format!("{opcode}, {}, {} to come", units::bytes(bytes), units::bytes(missing))
        }
    }
}

fn handshake(leg: &Leg) -> String {
    let code = leg.close_code.map_or("without a code".to_owned(), |code| format!("code {code}"));
    match &*leg.close {
        "none" => "not begun".to_owned(),
        "sent" => "Close sent to it, no answer yet".to_owned(),
        "received" => format!("Close came from it, {code}"),
        _ => format!("done: Close both ways, {code} from it"),
    }
}

fn stream(stream: &str) -> &'static str {
    match stream {
        "open" => "open both ways",
        "fin_sent" => "ended towards it (FIN sent)",
        "fin_received" => "ended by it (FIN received)",
        "closed" => "ended both ways",
        _ => "failed: reset, or given up",
    }
}

fn rtt(name: &str, us: Option<u64>) -> Markup {
    html! { span data-live={ (name) "_rtt" } { (round_trip(us)) } }
}

fn round_trip(us: Option<u64>) -> String {
    us.map_or("none yet: heartbeats measure it".to_owned(), |us| {
        format!("{:.2} ms", us as f64 / 1000.0)
    })
}

fn tls(tls: Option<&str>) -> Markup {
    html! { @match tls { Some(tls) => { (tls) } None => { "none: in the clear" } } }
}

fn over(id: &str, end: Option<&End>, node: Node) -> Markup {
    html! {
        (parts::trail(&[("Live connections", "/connections")]))
        (parts::heading(&format!("Connection {id}"), "", parts::badge(Tone::Plain, "ended")))
        @if let Some(end) = end {
            (parts::banner(Tone::Notice, html! { p { (end.detail) } }))
            (parts::card("How it ended", parts::facts(&[
                ("When", html! {
                    (node.time(&end.ended))
                }),
                ("Cause", html! { code { (end.cause) } }),
                ("Close code", html! {
                    @match end.close_code { Some(code) => { (code) } None => { "none" } }
                }),
                ("Was open for", html! { (units::duration(end.age_ms)) }),
                ("Domain", html! {
                    a href={ (ROOT) "/domains/" (part(&end.domain)) } { (end.domain) }
                }),
                ("Client", html! { span.mono { (end.client) } }),
                ("Origin", html! { span.mono { (end.origin) } }),
                ("To client", html! {
                    (units::bytes(end.bytes_out as f64)) " in " (units::count(end.messages_out))
                    " messages"
                }),
                ("From client", html! {
                    (units::bytes(end.bytes_in as f64)) " in " (units::count(end.messages_in))
                    " messages"
                }),
            ])))
        } @else {
            (parts::empty("This connection is not open", html! {
                p {
                    "How it ended is not known any more: the last 10,000 are, of domains with an \
                     access log."
                }
                p { a href={ (ROOT) "/connections" } { "Show live connections" } }
            }))
        }
    }
}

async fn close(
    State(console): State<Console>,
    Path(id): Path<String>,
    form: Submitted,
) -> Result<Response, Refusal> {
    let Submitted { viewer, fields } = form;
    let typed = Closing { code: fields.text("code"), reason: fields.text("reason") };
    if !fields.is_on(parts::CONFIRMED) {
        let path = format!("/connections/{}", part(&id));
        let text = format!(
            "Connection {id} is closed with {} \"{}\". This cannot be taken back.",
            typed.code, typed.reason
        );
        let body = parts::confirmation(
            &viewer,
            "Close this connection?",
            &text,
            &format!("{path}/close"),
            "Close connection",
            &path,
            &[("code", typed.code), ("reason", typed.reason)],
        );
        let page = Page {
            section: Some(Section::Connections),
            title: "Close this connection?",
            files: FILES,
            charts: false,
            body,
        };
        return Ok(page.show(&console, &viewer).into_response());
    }
    let path = format!(
        "/connections/{}?code={}&reason={}",
        part(&id),
        part(typed.code),
        part(typed.reason)
    );
    let done: Result<Value, Refusal> = match typed.code.parse::<u16>() {
        Ok(_) => viewer.rest.send(Method::DELETE, &path, None, None).await,
        Err(_) => Err(no_code(typed.code, "?code")),
    };
    match done {
        Ok(_) => {
            let notice = format!("Connection {id} is being closed.");
            console.sessions.leave_notice(&viewer.token, notice);
            Ok(Redirect::to(&format!("{ROOT}/connections/{}", part(&id))).into_response())
        }
        // It ended meanwhile: the page says how.
        Err(refusal) if refusal.status == 404 => {
            Ok(Redirect::to(&format!("{ROOT}/connections/{}", part(&id))).into_response())
        }
        Err(refusal) if refusal.status == 422 => {
            page(&console, &viewer, &id, &typed, Some(&refusal)).await
        }
        Err(refusal) => Err(refusal),
    }
}

/// What is typed for a code is not even a number.
pub fn no_code(typed: &str, pointer: &str) -> Refusal {
    use crate::control::console::rest::Wrong;
    let refusal = Refusal::new(
        StatusCode::UNPROCESSABLE_ENTITY,
        "The content is not accepted",
        "The close code is not a number.",
    );
    let wrong = Wrong {
        pointer: Some(pointer.to_owned()),
        detail: format!("{typed:?} is not a number"),
        accepted: Some("1000 to 1003, 1007 to 1014 or, for applications, 3000 to 4999".to_owned()),
        ..Wrong::default()
    };
    Refusal { errors: vec![wrong], ..refusal }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leg_in_words() {
        let of = |opcode: &str, bytes, missing_bytes| {
            frame(Some(&Frame { opcode: opcode.to_owned(), bytes, missing_bytes }))
        };
        assert_eq!(frame(None), "none yet");
        assert_eq!(of("text", 5, 0), "text, 5 B");
        assert_eq!(of("binary", 70_000, 20), "binary, 70.0 KB, 20 B to come");
        let leg = |close: &str, close_code| {
            let (close, stream) = (close.to_owned(), "open".to_owned());
            handshake(&Leg { idle_ms: 0, last_frame: None, close, close_code, stream })
        };
        for (close, code, text) in [
            ("none", None, "not begun"),
            ("sent", None, "Close sent to it, no answer yet"),
            ("received", Some(1000), "Close came from it, code 1000"),
            ("both", None, "done: Close both ways, without a code from it"),
        ] {
            assert_eq!(leg(close, code), text);
        }
        assert_eq!(round_trip(Some(1_234)), "1.23 ms");
    }
}
