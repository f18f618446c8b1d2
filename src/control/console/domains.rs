//! The pages "Domain names": the list, one that adds, and those of each domain. Not here: what a
//! change does (the REST API).

mod access;
mod add;
mod basics;
mod batch;
mod certificates;
mod fields;
mod file;
mod frame;
mod history;
mod limits;
mod list;
mod origins;
mod preview;
mod rows;
mod settings;
mod websocket;

use axum::Router;
use axum::extract::{Path, State};
use axum::routing::{MethodRouter, get, post};

use self::settings::Settings;
use super::Console;
use super::viewer::{Submitted, Viewer};

const FILES: &[&str] = &["domains.css", "domains.js"];

/// Not below `/domains`: any name may be that of a domain.
const ADD: &str = "/add-domain";
const BATCH: &str = "/change-domains";

pub fn routes() -> Router<Console> {
    Router::new()
        .route("/domains", get(list::show))
        .route(ADD, get(add::show).post(add::submit))
        .route(BATCH, post(batch::submit))
        .route("/domains/{name}", get(basics::show))
        .route("/domains/{name}/start", post(basics::start))
        .route("/domains/{name}/stop", post(basics::stop))
        .route("/domains/{name}/delete", post(basics::delete))
        .route("/domains/{name}/websocket", get(websocket::show).post(websocket::submit))
        .route("/domains/{name}/websocket/toggle", post(websocket::toggle))
        .route("/domains/{name}/origins", get(origins::show).post(origins::submit))
        .route("/domains/{name}/certificates", get(certificates::show).post(certificates::submit))
        .route("/domains/{name}/certificates/upload", post(certificates::upload))
        .route("/domains/{name}/certificates/remove", post(certificates::remove))
        .route("/domains/{name}/limits", settings_page(&limits::PAGE))
        .route("/domains/{name}/access", settings_page(&access::PAGE))
        .route("/domains/{name}/file", get(file::show).post(file::submit))
        .route("/domains/{name}/history", get(history::show))
        .route("/domains/{name}/history/{id}", post(history::roll_back))
}

fn settings_page(page: &'static Settings) -> MethodRouter<Console> {
    type Of = State<Console>;
    type Named = Path<String>;
    let show = move |State(console): Of, Path(name): Named, viewer: Viewer| async move {
        page.show(&console, &viewer, &name).await
    };
    let submit = move |State(console): Of, Path(name): Named, form: Submitted| async move {
        page.submit(&console, &form, &name).await
    };
    get(show).post(submit)
}
