//! The page "Overview".

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use maud::{Markup, html};

use super::layout::{Page, Section};
use super::rest::Refusal;
use super::viewer::Viewer;
use super::{Console, parts};

pub fn routes() -> Router<Console> {
    Router::new().route("/", get(show))
}

async fn show(State(console): State<Console>, viewer: Viewer) -> Result<Markup, Refusal> {
    let body = parts::heading("Overview", "", html! {});
    let page = Page {
        section: Some(Section::Overview),
        title: "Overview",
        files: &[],
        charts: false,
        body,
    };
    Ok(page.show(&console, &viewer))
}
