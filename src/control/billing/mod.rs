//! Plans and bills: which plan is in effect, when the next one is, and what is owed under it.
//!
//! Not here: what was counted (`statistics`), the words of an API (`api`, `dcdn`).

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::changes::Author;
use super::database::{Database, Schema};

pub const SCHEMA: Schema = Schema { part: "billing", steps: &[] };

/// Billing method of the whole service; its cycle decides when a change takes effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub enum ChargeType {
    PayByTraffic,
    PayByBandwidth,
    #[serde(rename = "PayByBandwidth95")]
    PayByBandwidth95,
    #[serde(rename = "PayByBandwidth_monthavg")]
    MonthAverage,
    #[serde(rename = "PayByBandwidth_month4th")]
    MonthFourth,
    #[serde(rename = "PayByBandwidth_monthday95avg")]
    MonthDay95Average,
    #[serde(rename = "PayByBandwidth_nighthalf95")]
    NightHalf95,
}

/// Billing method of WebSocket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum WebsocketBillType {
    /// `websockettraffic`: by bytes, settled hourly.
    WebsocketTraffic,
    /// `websocketbps`: by the daily peak.
    WebsocketBps,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    pub effective_from: Timestamp,
    pub charge: ChargeType,
    pub websocket: WebsocketBillType,
    pub submitted: Timestamp,
}

/// Plans as they stand at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plans {
    /// When the service was opened.
    pub opened: Option<Timestamp>,
    pub current: Option<Plan>,
    /// Takes effect at its `effective_from`.
    pub next: Option<Plan>,
}

#[derive(Debug, thiserror::Error)]
pub enum BillingError {
    #[error(
        "the service is open since {0}: change its plan instead (POST /api/v1/plan/change or `hawser plan change`)"
    )]
    AlreadyOpen(Timestamp),
    #[error(
        "the service is not open: choose a plan first (OpenDcdnService, POST /api/v1/plan or `hawser plan open`)"
    )]
    NotOpen,
    #[error(
        "a change of plan is pending and takes effect at {0}; another one can be made after that"
    )]
    Pending(Timestamp),
    #[error("this is the plan that is in effect: nothing was changed")]
    SamePlan,
    #[error("database: {0}")]
    Database(#[from] rusqlite::Error),
    #[error("{0}")]
    Refused(String),
}

/// Plans of one state directory.
#[derive(Debug, Clone)]
pub struct Billing {
    database: Database,
}

impl Billing {
    pub fn new(database: Database) -> Billing {
        Billing { database }
    }

    /// Chooses the first plan, in effect at once.
    pub fn open(
        &self,
        _charge: ChargeType,
        _websocket: WebsocketBillType,
        _author: &Author,
    ) -> Result<Plans, BillingError> {
        todo!("{:?}", self.database)
    }

    /// Chooses another plan, in effect when the cycle of the current one ends.
    pub fn change(
        &self,
        _charge: Option<ChargeType>,
        _websocket: Option<WebsocketBillType>,
        _author: &Author,
    ) -> Result<Plans, BillingError> {
        todo!()
    }

    /// As of `now`: a plan whose moment has come is current, however long nobody looked.
    pub fn plans(&self, _now: Timestamp) -> Result<Plans, BillingError> {
        Ok(Plans::default())
    }
}
