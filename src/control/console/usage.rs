//! The page "Usage and billing": the plan and its change, the statement of a month, what it would
//! be by other methods, prices. Not here: the forms of the plan (`plan`), the statement's tables
//! (`statement`).

mod plan;
mod statement;

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use maud::{Markup, html};

use self::plan::{Chosen, Plans};
use self::statement::{Asked, Prices, Statement, WhatIfs};
use super::layout::{Page, Section};
use super::parts::Tone;
use super::rest::Refusal;
use super::viewer::{Fields, Viewer};
use super::{Console, parts};

const FILES: &[&str] = &["usage.css", "usage.js"];

pub fn routes() -> Router<Console> {
    Router::new().route("/usage", get(show)).route("/usage/plan", post(plan::choose))
}

async fn show(
    State(console): State<Console>,
    viewer: Viewer,
    RawQuery(query): RawQuery,
) -> Result<Response, Refusal> {
    let asked = Asked::of(&Fields::read(query.unwrap_or_default().as_bytes()));
    page(&console, &viewer, &asked, None, None).await
}

/// The page, with what was typed into the form of the plan and why it was refused.
async fn page(
    console: &Console,
    viewer: &Viewer,
    asked: &Asked,
    chosen: Option<Chosen<'_>>,
    refusal: Option<&Refusal>,
) -> Result<Response, Refusal> {
    let plans: Plans = viewer.rest.read("/plan").await?;
    let prices: Prices = viewer.rest.read("/plan/prices").await?;
    let query = asked.api_query();
    let (month, wrong) = match viewer.rest.read::<Statement>(&format!("/usage?{query}")).await {
        Ok(statement) => {
            let what_ifs: WhatIfs = viewer.rest.read(&format!("/usage/what-if?{query}")).await?;
            (statement::month(&plans, &statement, &what_ifs, asked), None)
        }
        // A month that is none, or a statement with too many lines.
        Err(wrong) if matches!(wrong.status, 400 | 422) => (html! {}, Some(wrong)),
        Err(other) => return Err(other),
    };
    let status = refusal.or(wrong.as_ref()).map_or(200, |refusal| refusal.status);
    let body = html! {
        (parts::heading("Usage and billing", "", html! {}))
        @if !plans.billing { (off()) }
        @if let Some(refusal) = refusal { (parts::refusal(refusal, plan::POINTERS)) }
        (plan::card(viewer, &plans, chosen, refusal))
        @if let Some(wrong) = &wrong { (parts::refusal(wrong, &["?month"])) }
        (statement::choice(&plans, asked, wrong.as_ref()))
        (month)
        (statement::prices(&prices))
    };
    let page = Page {
        section: Some(Section::Usage),
        title: "Usage and billing",
        files: FILES,
        charts: false,
        body,
    };
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
    Ok((status, page.show(console, viewer)).into_response())
}

fn off() -> Markup {
    parts::banner(
        Tone::Notice,
        html! {
            p {
                strong { "Billing is off." } " No plan is needed for WebSocket, and nothing is \
                charged. To switch it on, set " code { "enabled = true" } " under "
                code { "[billing]" } " in hawser.toml and reload."
            }
        },
    )
}
