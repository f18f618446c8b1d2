//! `/plan`: the billing plan in effect, and the next one. Not here: when plans change (`billing`).

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::auth::Caller;
use super::extract::Body;
use super::problem::Problem;
use super::{Shared, time};
use crate::control::billing::prices::{Money, Tier};
use crate::control::billing::{ChargeType, Pending, Plan, Plans, WebsocketBillType};

pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(show_plan, open_plan))
        .routes(routes!(change_plan))
        .routes(routes!(show_prices))
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
    /// When a change that is made now takes effect (RFC 3339, UTC); null without a plan: the first
    /// one is in effect at once.
    #[schema(example = "2026-11-30T16:00:00Z")]
    pub change_effective_from: Option<String>,
    /// Of the days and months of bills.
    #[schema(example = "+08:00")]
    pub utc_offset: String,
    /// Whether another change may take the place of one that is pending: `refuse` or `replace`.
    #[schema(example = "refuse")]
    pub pending: &'static str,
}

/// What the price file says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct PricesShown {
    /// Null without a price file: statements have quantities and no amounts.
    #[schema(example = "CNY")]
    pub currency: Option<String>,
    /// Of the methods that it prices.
    pub items: Vec<PriceShown>,
}

/// The tiers of one method.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct PriceShown {
    /// As in what-ifs.
    #[schema(example = "websockettraffic")]
    pub method: &'static str,
    /// `GB` (2^30 bytes), or `Mbps` (10^6 bit/s).
    #[schema(example = "GB")]
    pub unit: &'static str,
    /// `progressive`: each part at the price of its own tier; `reach`: all at that of the tier that
    /// is reached.
    #[schema(example = "progressive")]
    pub rule: &'static str,
    pub tiers: Vec<TierShown>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct TierShown {
    /// In units.
    #[schema(example = 10_240)]
    pub from: u64,
    /// Of one unit.
    pub price: Money,
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

/// Show the prices
#[utoipa::path(get, path = "/plan/prices", tag = "plans",
    responses((status = 200, description = "What the price file says", body = PricesShown)))]
async fn show_prices(State(edge): State<Shared>) -> Json<PricesShown> {
    let settings = edge.billing.settings();
    let Some(prices) = settings.prices.as_deref() else {
        return Json(PricesShown { currency: None, items: Vec::new() });
    };
    let by_month = |charge: ChargeType, tiers| (charge.name(), tiers);
    let all = [
        (WebsocketBillType::WebsocketTraffic.name(), &prices.traffic),
        (WebsocketBillType::WebsocketBps.name(), &prices.daily_peak),
        by_month(ChargeType::PayByBandwidth95, &prices.month_95),
        by_month(ChargeType::MonthAverage, &prices.month_average),
        by_month(ChargeType::MonthFourth, &prices.month_fourth),
        by_month(ChargeType::MonthDay95Average, &prices.month_day_95),
        by_month(ChargeType::NightHalf95, &prices.month_night_half_95),
    ];
    let priced = all.into_iter().filter_map(|(method, tiers)| {
        let (unit, rule) = match method {
            "websockettraffic" => ("GB", "progressive"),
            _ => ("Mbps", "reach"),
        };
        let tier = |tier: &Tier| TierShown { from: tier.from, price: tier.price };
        let tiers = tiers.as_ref()?.all().iter().map(tier).collect();
        Some(PriceShown { method, unit, rule, tiers })
    });
    Json(PricesShown { currency: Some(prices.currency.clone()), items: priced.collect() })
}

fn shown(edge: &Shared, plans: Plans) -> PlansShown {
    let settings = edge.billing.settings();
    let now = Timestamp::now().as_second();
    let change = plans.current.map(|plan| plan.charge.next_change(now, settings.utc_offset));
    let plan = |plan: Plan| PlanShown {
        charge_type: plan.charge,
        websocket_bill_type: plan.websocket,
        effective_from: plan.effective_from.to_string(),
        submitted: plan.submitted.to_string(),
    };
    PlansShown {
        billing: settings.enabled,
        change_effective_from: change.map(time),
        utc_offset: settings.utc_offset.to_string(),
        pending: match settings.pending {
            Pending::Refuse => "refuse",
            Pending::Replace => "replace",
        },
        opened: plans.opened.map(|opened| opened.to_string()),
        current: plans.current.map(plan),
        next: plans.next.map(plan),
    }
}
