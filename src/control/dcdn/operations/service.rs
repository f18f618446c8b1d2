//! The service and its plan (DCDN OpenAPI 2018-01-15). ModifyDcdnService is ours: DCDN changes
//! plans in its console only.

use serde_json::{Value, json};

use super::super::error::{self, Failure};
use super::{Answer, Call};
use crate::control::billing::{BillingError, ChargeType, Plans, WebsocketBillType};
use crate::limits::DOMAINS_MAX;

const CHARGE_TYPES: &[&str] = &[
    "PayByTraffic",
    "PayByBandwidth",
    "PayByBandwidth95",
    "PayByBandwidth_monthavg",
    "PayByBandwidth_month4th",
    "PayByBandwidth_monthday95avg",
    "PayByBandwidth_nighthalf95",
];
/// OpenDcdnService knows these; the others are for a later change.
const OPENING: &[&str] = &["PayByTraffic", "PayByBandwidth"];
const WEBSOCKET_TYPES: &[&str] = &["websockettraffic", "websocketbps"];

pub async fn describe(call: &Call<'_>) -> Answer {
    let plans = call.dcdn.edge.plans().await?;
    let (Some(opened), Some(current)) = (plans.opened, plans.current) else {
        return Err(error::NOT_OPEN.into());
    };
    let node = call.dcdn.edge.publisher.configured().server.http.node.clone();
    let mut answer = json!({
        "InstanceId": node,
        "OpeningTime": stamp(opened),
        "InternetChargeType": current.charge.name(),
        "WebsocketType": current.websocket.name(),
        "ChangingChargeType": "",
        "ChangingAffectTime": "",
        "WebsocketChangingType": "",
        "WebsocketChangingTime": "",
        "OperationLocks": {"LockReason": []},
    });
    // Shown only while it is to come.
    if let Some(next) = plans.next {
        answer["ChangingChargeType"] = Value::from(next.charge.name());
        answer["ChangingAffectTime"] = Value::from(stamp(next.effective_from));
        answer["WebsocketChangingType"] = Value::from(next.websocket.name());
        answer["WebsocketChangingTime"] = Value::from(stamp(next.effective_from));
    }
    Ok(answer)
}

pub async fn open(call: &Call<'_>) -> Answer {
    call.parameters.required("BillType")?;
    call.parameters.required("WebsocketBillType")?;
    let charge = call.parameters.choice("BillType", OPENING)?;
    let websocket = call.parameters.choice("WebsocketBillType", WEBSOCKET_TYPES)?;
    let (charge, websocket) = (charge_type(charge)?, websocket_type(websocket)?);
    let (Some(charge), Some(websocket)) = (charge, websocket) else {
        return Err(Failure::missing("BillType"));
    };
    call.dcdn.edge.open_plan(charge, websocket, call.author).await?;
    Ok(json!({}))
}

/// An extension: in effect at the next 00:00 on a daily cycle, at 00:00 of the 1st on a monthly
/// one.
pub async fn modify(call: &Call<'_>) -> Answer {
    let charge = charge_type(call.parameters.choice("BillType", CHARGE_TYPES)?)?;
    let websocket = websocket_type(call.parameters.choice("WebsocketBillType", WEBSOCKET_TYPES)?)?;
    if charge.is_none() && websocket.is_none() {
        return Err(Failure::missing("BillType"));
    }
    let plans: Plans = call.dcdn.edge.change_plan(charge, websocket, call.author).await?;
    let at = plans.next.map(|next| stamp(next.effective_from)).unwrap_or_default();
    Ok(json!({"ChangingAffectTime": at}))
}

/// Nothing is owed to anybody here.
pub async fn status(call: &Call<'_>) -> Answer {
    let plans = call.dcdn.edge.plans().await?;
    Ok(json!({
        "Enabled": plans.opened.is_some(),
        "OnService": call.dcdn.edge.is_ready(),
        "InDebt": false,
        "InDebtOverdue": false,
    }))
}

/// There is no cache here, so there is nothing to refresh or to fetch ahead.
pub async fn quota(_: &Call<'_>) -> Answer {
    Ok(json!({
        "DomainQuota": DOMAINS_MAX,
        "BlockQuota": 0,
        "BlockRemain": 0,
        "IgnoreParamsQuota": 0,
        "IgnoreParamsRemain": 0,
        "PreloadQuota": 0,
        "PreloadRemain": 0,
        "RefreshDirQuota": 0,
        "RefreshDirRemain": 0,
        "RefreshUrlQuota": 0,
        "RefreshUrlRemain": 0,
    }))
}

fn charge_type(name: Option<&str>) -> Result<Option<ChargeType>, Failure> {
    let read = |name: &str| name.parse().map_err(|_| Failure::unsupported("BillType", name));
    name.map(read).transpose()
}

fn websocket_type(name: Option<&str>) -> Result<Option<WebsocketBillType>, Failure> {
    let read =
        |name: &str| name.parse().map_err(|_| Failure::unsupported("WebsocketBillType", name));
    name.map(read).transpose()
}

/// To the second, as all times of this API.
fn stamp(time: jiff::Timestamp) -> String {
    crate::control::statistics::window::format(time.as_second())
}

impl From<BillingError> for Failure {
    fn from(error: BillingError) -> Failure {
        match error {
            BillingError::AlreadyOpen(_) => error::HAS_OPENED.into(),
            BillingError::NotOpen => error::NOT_OPEN.into(),
            BillingError::Statistics(error) => error.into(),
            BillingError::Pending(_) | BillingError::SamePlan | BillingError::Refused(_) => {
                Failure::bad("InvalidParameter", error.to_string())
            }
            other => Failure::internal(&other),
        }
    }
}
