//! `/plan`: the billing plan in effect, and the next one. Not here: when plans change (`billing`).

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Shared;
use super::auth::Caller;
use super::extract::Body;
use super::problem::Problem;
use crate::control::billing::{ChargeType, Plan, Plans, WebsocketBillType};

pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(show_plan, open_plan)).routes(routes!(change_plan))
}

/// Plans as they stand now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct PlansShown {
    /// False: `[billing] enabled = false`, and no plan is needed for anything.
    pub billing: bool,
    /// RFC 3339, UTC; null when no plan was ever chosen.
    pub opened: Option<String>,
    pub current: Option<PlanShown>,
    /// Null when no change is pending.
    pub next: Option<PlanShown>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct PlanShown {
    pub charge_type: ChargeType,
    pub websocket_bill_type: WebsocketBillType,
    /// RFC 3339, UTC.
    #[schema(example = "2026-11-30T16:00:00Z")]
    pub effective_from: String,
    /// When it was chosen.
    pub submitted: String,
}

/// The first plan.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "charge_type": "PayByTraffic", "websocket_bill_type": "websockettraffic"
}))]
pub struct PlanWanted {
    charge_type: ChargeType,
    websocket_bill_type: WebsocketBillType,
}

/// Another plan; what is absent stays.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "websocket_bill_type": "websocketbps" }))]
pub struct PlanChange {
    charge_type: Option<ChargeType>,
    websocket_bill_type: Option<WebsocketBillType>,
}

/// Show the plan in effect, and the next one
#[utoipa::path(get, path = "/plan", tag = "plans",
    responses((status = 200, description = "The plans", body = PlansShown)))]
async fn show_plan(State(edge): State<Shared>) -> Result<Json<PlansShown>, Problem> {
    Ok(Json(shown(&edge, edge.plans().await?)))
}

/// Choose the first plan, in effect at once
///
/// Until then WebSocket cannot be enabled on any domain.
#[utoipa::path(post, path = "/plan", tag = "plans", request_body = PlanWanted,
    responses((status = 201, description = "In effect", body = PlansShown)))]
async fn open_plan(
    State(edge): State<Shared>,
    caller: Caller,
    Body(wanted): Body<PlanWanted>,
) -> Result<(StatusCode, Json<PlansShown>), Problem> {
    let PlanWanted { charge_type, websocket_bill_type } = wanted;
    let plans = edge.open_plan(charge_type, websocket_bill_type, &caller.author()).await?;
    Ok((StatusCode::CREATED, Json(shown(&edge, plans))))
}

/// Choose another plan
///
/// It takes effect when the cycle of the current one ends: at the next midnight, or on the first of
/// the next month.
#[utoipa::path(post, path = "/plan/change", tag = "plans", request_body = PlanChange,
    responses((status = 200, description = "Pending, or nothing differed", body = PlansShown)))]
async fn change_plan(
    State(edge): State<Shared>,
    caller: Caller,
    Body(wanted): Body<PlanChange>,
) -> Result<Json<PlansShown>, Problem> {
    let PlanChange { charge_type, websocket_bill_type } = wanted;
    if charge_type.is_none() && websocket_bill_type.is_none() {
        let detail = "name a charge_type, a websocket_bill_type or both";
        return Err(Problem::invalid(detail));
    }
    let plans = edge.change_plan(charge_type, websocket_bill_type, &caller.author()).await?;
    Ok(Json(shown(&edge, plans)))
}

fn shown(edge: &Shared, plans: Plans) -> PlansShown {
    let plan = |plan: Plan| PlanShown {
        charge_type: plan.charge,
        websocket_bill_type: plan.websocket,
        effective_from: plan.effective_from.to_string(),
        submitted: plan.submitted.to_string(),
    };
    PlansShown {
        billing: edge.billing.settings().enabled,
        opened: plans.opened.map(|opened| opened.to_string()),
        current: plans.current.map(plan),
        next: plans.next.map(plan),
    }
}
