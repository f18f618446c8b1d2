//! The page "Access keys": who may ask, as what; keys are made and revoked. Their secrets are shown
//! once, in the answer that makes them. Not here: keys themselves.

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::json;

use super::layout::{Page, Section};
use super::node::Node;
use super::parts::{CONFIRMED, Column, Field, Tone};
use super::rest::{Refusal, part};
use super::viewer::{Fields, Submitted, Viewer};
use super::{Console, ROOT, parts};
use crate::control::keys::{Key, NAMES, Role};

const PATH: &str = "/keys";
const NAME: Field<'static> = Field {
    name: "name",
    label: "Name",
    hint: "Whose it is, for people: 1 to 64 bytes; most letters beyond English take two or three.",
    unit: "",
    pointer: "/name",
};

pub fn routes() -> Router<Console> {
    Router::new().route(PATH, get(show).post(create)).route("/keys/{id}/revoke", post(revoke))
}

#[derive(Deserialize)]
struct Keys {
    items: Vec<Key>,
}

/// Never in a log, a link or a notice: only in the page that answers.
#[derive(Deserialize)]
struct Made {
    access_key_id: String,
    access_key_secret: String,
    bearer: String,
    name: String,
    role: Role,
}

/// Above the list: what just happened.
#[derive(Default)]
struct News<'a> {
    made: Option<Made>,
    refusal: Option<&'a Refusal>,
    /// What was typed.
    typed: Fields,
}

async fn show(State(console): State<Console>, viewer: Viewer) -> Result<Markup, Refusal> {
    page(&console, &viewer, News::default()).await
}

async fn create(
    State(console): State<Console>,
    Submitted { viewer, fields }: Submitted,
) -> Result<Response, Refusal> {
    let wanted = json!({ "name": fields.text("name"), "role": fields.text("role") });
    let (status, news) = match viewer.rest.send(Method::POST, PATH, None, Some(&wanted)).await {
        Ok(made) => (StatusCode::CREATED, News { made: Some(made), ..News::default() }),
        Err(refusal) => return again(&console, &viewer, &refusal, fields).await,
    };
    Ok((status, page(&console, &viewer, news).await?).into_response())
}

async fn revoke(
    State(console): State<Console>,
    Path(id): Path<String>,
    Submitted { viewer, fields }: Submitted,
) -> Result<Response, Refusal> {
    if !fields.is_on(CONFIRMED) {
        let body = parts::confirmation(
            &viewer,
            "Revoke an access key",
            &question(&viewer, &id),
            &format!("{PATH}/{}/revoke", part(&id)),
            "Revoke",
            PATH,
            &[],
        );
        return Ok(framed(&console, &viewer, "Revoke an access key", body).into_response());
    }
    let path = format!("{PATH}/{}", part(&id));
    match viewer.rest.send::<Key>(Method::DELETE, &path, None, None).await {
        Ok(key) => {
            let notice = format!("Key {} ({}) is revoked.", key.id, key.name);
            console.sessions.leave_notice(&viewer.token, notice);
            Ok(Redirect::to(&format!("{ROOT}{PATH}")).into_response())
        }
        Err(refusal) => again(&console, &viewer, &refusal, Fields::default()).await,
    }
}

fn question(viewer: &Viewer, id: &str) -> String {
    let own = if viewer.key().id == id {
        " You are signed in with it: your own session ends too."
    } else {
        ""
    };
    format!("Key {id} will be refused from now on, for ever; its sessions end at once.{own}")
}

/// The page as it was, with what is wrong.
async fn again(
    console: &Console,
    viewer: &Viewer,
    refusal: &Refusal,
    typed: Fields,
) -> Result<Response, Refusal> {
    if refusal.status == StatusCode::FORBIDDEN {
        return Err(refusal.clone());
    }
    let news = News { made: None, refusal: Some(refusal), typed };
    let status = StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::BAD_GATEWAY);
    Ok((status, page(console, viewer, news).await?).into_response())
}

async fn page(console: &Console, viewer: &Viewer, news: News<'_>) -> Result<Markup, Refusal> {
    // A secret that was made is shown, whatever else cannot be.
    let (used, gone) = match lists(viewer).await {
        Ok(lists) => lists,
        Err(refusal) if news.made.is_some() => (parts::refusal(&refusal, &[]), html! {}),
        Err(refusal) => return Err(refusal),
    };
    let lead = "Who may use the API, this console and the DCDN API, and as what.";
    let body = html! {
        (parts::heading("Access keys", lead, html! {}))
        @if let Some(refusal) = news.refusal { (parts::refusal(refusal, &["/name", "/role"])) }
        @if let Some(made) = &news.made { (secrets(made)) }
        (used)
        (parts::card("Create a key", form(viewer, &news)))
        (gone)
    };
    Ok(framed(console, viewer, "Access keys", body))
}

/// The keys in force, and those that were revoked.
async fn lists(viewer: &Viewer) -> Result<(Markup, Markup), Refusal> {
    let Keys { items } = viewer.rest.read(PATH).await?;
    let node = Node::read(viewer).await?;
    let (gone, used): (Vec<Key>, Vec<Key>) = items.into_iter().partition(|k| k.revoked.is_some());
    let gone = html! { @if !gone.is_empty() { (revoked(node, &gone)) } };
    Ok((in_force(viewer, node, &used), gone))
}

fn framed(console: &Console, viewer: &Viewer, title: &str, body: Markup) -> Markup {
    Page { section: Some(Section::Keys), title, files: &[], charts: false, body }
        .show(console, viewer)
}

fn secrets(made: &Made) -> Markup {
    parts::card(
        &format!("Key {:?} is made", made.name),
        html! {
            (parts::banner(Tone::Notice, html! {
                "This is the only moment at which its secret can be read: copy it now."
            }))
            (parts::facts(&[
                ("Access key id", parts::secret("made-id", &made.access_key_id)),
                ("Access key secret", parts::secret("made-secret", &made.access_key_secret)),
                ("As a bearer key", parts::secret("made-bearer", &made.bearer)),
                ("Role", role(made.role)),
            ]))
        },
    )
}

fn in_force(viewer: &Viewer, node: Node, keys: &[Key]) -> Markup {
    let columns = [
        Column::Text("Name"),
        Column::Text("Id"),
        Column::Text("Role"),
        Column::Text("Created"),
        Column::Unseen("Actions"),
    ];
    let rows = html! {
        @for key in keys {
            tr {
                th scope="row" {
                    span.line {
                        (key.name)
                        @if key.id == viewer.key().id { span.badge.accent { "this session" } }
                    }
                }
                td.mono { (key.id) }
                td { (role(key.role)) }
                td { (node.time(&key.created)) }
                td.actions-cell {
                    (parts::form(viewer, &format!("{PATH}/{}/revoke", part(&key.id)), html! {
                        button.danger.small data-confirm=(question(viewer, &key.id))
                            aria-label={ "Revoke " (key.name) } { "Revoke" }
                    }))
                }
            }
        }
    };
    parts::card("In force", parts::table_of("Access keys in force", &columns, rows))
}

fn revoked(node: Node, keys: &[Key]) -> Markup {
    let rows = html! {
        @for key in keys.iter().rev() {
            tr {
                th scope="row" { (key.name) }
                td.mono { (key.id) }
                td { (role(key.role)) }
                td { @if let Some(at) = &key.revoked { (node.time(at)) } }
            }
        }
    };
    let heads = ["Name", "Id", "Role", "Revoked"];
    parts::card("Revoked lately", parts::table("Access keys that were revoked", &heads, rows))
}

fn form(viewer: &Viewer, news: &News<'_>) -> Markup {
    let wanted = match news.typed.text("role") {
        "" => Role::Read.name(),
        wanted => wanted,
    };
    let wrong = news.refusal.and_then(|refusal| refusal.at("/role"));
    let body = html! {
        div.stack {
            (NAME.around(news.refusal, |tie| html! {
                input id=(tie.id) name="name" value=(news.typed.text("name")) required
                    autocomplete="off" aria-describedby=(tie.described) aria-invalid=[tie.invalid]
                    autofocus[tie.invalid.is_some()] title=(NAMES);
            }))
            fieldset.field {
                legend { "Role" }
                @for role in Role::ALL {
                    label.choice.rich {
                        input type="radio" name="role" value=(role.name()) required
                            checked[wanted == role.name()];
                        span { strong { (role.name()) } " " span.soft { (allows(role)) } }
                    }
                }
                @if let Some(wrong) = wrong { p.error { (wrong.detail) } }
            }
            div.actions { button.primary { "Create key" } }
        }
    };
    parts::form(viewer, PATH, body)
}

fn allows(role: Role) -> &'static str {
    match role {
        Role::Read => "sees everything but access keys, and changes nothing",
        Role::Operate => "also domains, certificates, connections, reload and drain",
        Role::Admin => "also access keys, billing plans and rollback",
    }
}

fn role(role: Role) -> Markup {
    let class = if role == Role::Admin { "accent" } else { "plain" };
    html! { span.badge.(class) { (role.name()) } }
}
