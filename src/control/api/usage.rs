//! `/usage`: what is owed for a month, as JSON or CSV, and what it would be by other methods. Not
//! here: statements (`billing`).

use std::str::FromStr;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::extract::{Bounded, Params};
use super::problem::Problem;
use super::table::{Format, csv_answer};
use super::{Shared, heavy};
use crate::control::billing::calendar::Month;
use crate::control::billing::ledger::Ledger;
use crate::control::billing::statement::{Statement, WhatIf};

pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(show_usage)).routes(routes!(what_if))
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct UsageAsked {
    /// Such as `2026-11`, in the time zone of the bills; without it, the current one.
    #[param(value_type = Option<String>, max_length = 7, example = "2026-11")]
    month: Option<Bounded<7>>,
    /// Only of this domain.
    #[param(value_type = Option<String>, max_length = 253)]
    domain: Option<Bounded<253>>,
    /// Instead of the Accept header.
    #[param(inline)]
    format: Option<Format>,
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct WhatIfAsked {
    /// Such as `2026-11`, in the time zone of the bills; without it, the current one.
    #[param(value_type = Option<String>, max_length = 7, example = "2026-11")]
    month: Option<Bounded<7>>,
    /// As if there were only this domain.
    #[param(value_type = Option<String>, max_length = 253)]
    domain: Option<Bounded<253>>,
}

/// The month so far, by each billing method.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct WhatIfs {
    #[schema(example = "2026-11")]
    pub month: String,
    pub domain: Option<String>,
    pub currency: Option<String>,
    pub items: Vec<WhatIf>,
}

/// Show the statement of a month
///
/// Of hours that are closed, and what came since; totals equal those of the statistics.
#[utoipa::path(get, path = "/usage", tag = "plans", params(UsageAsked),
    responses((status = 200, description = "The statement", content(
        (Statement = "application/json"), (String = "text/csv")))))]
async fn show_usage(
    State(edge): State<Shared>,
    headers: HeaderMap,
    Params(asked): Params<UsageAsked>,
) -> Result<Response, Problem> {
    let UsageAsked { month, domain, format } = asked;
    let format = Format::of(format, &headers);
    let statement = statement(&edge, month, domain, false).await?;
    Ok(match format {
        Format::Json => Json(statement).into_response(),
        Format::Csv => csv_answer(statement.csv().into_bytes()),
    })
}

/// Show what a month would cost by each billing method
#[utoipa::path(get, path = "/usage/what-if", tag = "plans", params(WhatIfAsked),
    responses((status = 200, description = "The month by each method", body = WhatIfs)))]
async fn what_if(
    State(edge): State<Shared>,
    Params(asked): Params<WhatIfAsked>,
) -> Result<Json<WhatIfs>, Problem> {
    let WhatIfAsked { month, domain } = asked;
    let statement = statement(&edge, month, domain, true).await?;
    Ok(Json(WhatIfs {
        month: statement.month,
        domain: statement.domain,
        currency: statement.currency,
        items: statement.what_if,
    }))
}

async fn statement(
    edge: &Shared,
    month: Option<Bounded<7>>,
    domain: Option<Bounded<253>>,
    what_if: bool,
) -> Result<Statement, Problem> {
    let now = Timestamp::now();
    let month = match month {
        Some(month) => Month::from_str(&month).map_err(|_| {
            Problem::parameter("month", &format!("{:?} is no month", &*month), "such as 2026-11")
        })?,
        None => edge.billing.settings().utc_offset.month(now.as_second()),
    };
    let reader = Arc::clone(edge);
    let read = move || {
        let ledger = Ledger::new(&reader.billing, Arc::clone(&reader.statistics));
        ledger.statement(month, domain.as_deref(), now, what_if)
    };
    Ok(heavy(edge, read).await??)
}
