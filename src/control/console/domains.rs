//! The page "Domain names".

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use maud::{Markup, html};

use super::layout::{Page, Section};
use super::rest::Refusal;
use super::viewer::Viewer;
use super::{Console, parts};

pub fn routes() -> Router<Console> {
    Router::new().route("/domains", get(show))
}

async fn show(State(console): State<Console>, viewer: Viewer) -> Result<Markup, Refusal> {
    let body = parts::heading("Domain names", "", html! {});
    let page = Page {
        section: Some(Section::Domains),
        title: "Domain names",
        files: &[],
        charts: false,
        body,
    };
    Ok(page.show(&console, &viewer))
}
