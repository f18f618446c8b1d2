//! The page "Audit log".

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use maud::{Markup, html};

use super::layout::{Page, Section};
use super::rest::Refusal;
use super::viewer::Viewer;
use super::{Console, parts};

pub fn routes() -> Router<Console> {
    Router::new().route("/audit", get(show))
}

async fn show(State(console): State<Console>, viewer: Viewer) -> Result<Markup, Refusal> {
    let body = parts::heading("Audit log", "", html! {});
    let page =
        Page { section: Some(Section::Audit), title: "Audit log", files: &[], charts: false, body };
    Ok(page.show(&console, &viewer))
}
