//! Plans and bills: which plan is in effect, when the next one is, and what is owed under it.
//!
//! Plans stand in an append-only table: what is current at a moment follows from what was submitted
//! when, so nothing has to happen at the moment a plan takes effect. Not here: what was counted
//! (`statistics`), the words of an API (`api`, `dcdn`).

pub mod calendar;
pub mod gate;
pub mod ledger;
pub mod live;
pub mod prices;
pub mod quantity;
mod settings;
pub mod statement;
#[cfg(test)]
mod tests;

use std::sync::{Arc, PoisonError, RwLock};

use jiff::Timestamp;
use rusqlite::Connection;
use serde::{Deserialize, Serialize};

pub use settings::{Overhead, Pending, Settings};

use super::changes::{Author, note_within};
use super::database::{Database, Schema};
use super::statistics::StatisticsError;
use calendar::Offset;

pub const SCHEMA: Schema = Schema {
    part: "billing",
    steps: &[
        "
    CREATE TABLE billing_plans (
        id INTEGER PRIMARY KEY,
        effective_from INTEGER NOT NULL,
        charge TEXT NOT NULL,
        websocket TEXT NOT NULL,
        submitted INTEGER NOT NULL,
        author TEXT NOT NULL
    ) STRICT",
        ledger::TABLES,
    ],
};

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

impl ChargeType {
    pub const ALL: [ChargeType; 7] = [
        ChargeType::PayByTraffic,
        ChargeType::PayByBandwidth,
        ChargeType::PayByBandwidth95,
        ChargeType::MonthAverage,
        ChargeType::MonthFourth,
        ChargeType::MonthDay95Average,
        ChargeType::NightHalf95,
    ];

    /// As DescribeDcdnService says it (DCDN OpenAPI 2018-01-15).
    pub fn name(self) -> &'static str {
        match self {
            ChargeType::PayByTraffic => "PayByTraffic",
            ChargeType::PayByBandwidth => "PayByBandwidth",
            ChargeType::PayByBandwidth95 => "PayByBandwidth95",
            ChargeType::MonthAverage => "PayByBandwidth_monthavg",
            ChargeType::MonthFourth => "PayByBandwidth_month4th",
            ChargeType::MonthDay95Average => "PayByBandwidth_monthday95avg",
            ChargeType::NightHalf95 => "PayByBandwidth_nighthalf95",
        }
    }

    /// As DescribeDcdnUserBillType says it (DCDN OpenAPI 2018-01-15).
    pub fn bill_type(self) -> &'static str {
        match self {
            ChargeType::PayByTraffic => "hour_flow",
            ChargeType::PayByBandwidth => "day_bandwidth",
            ChargeType::PayByBandwidth95 => "month_95",
            ChargeType::MonthAverage => "month_avg_day_bandwidth",
            ChargeType::MonthFourth => "month_4th_day_bandwidth",
            ChargeType::MonthDay95Average => "month_avg_day_95",
            ChargeType::NightHalf95 => "month_95_night_half",
        }
    }

    /// How often a bill is made.
    pub fn billing_cycle(self) -> &'static str {
        match self {
            ChargeType::PayByTraffic => "hour",
            ChargeType::PayByBandwidth => "day",
            _ => "month",
        }
    }

    /// When a change that is made at `now` takes effect: 00:00 of the next day, or of the 1st of
    /// the next month (product page, "Activate Websocket").
    pub fn next_change(self, now: i64, offset: Offset) -> i64 {
        match self {
            ChargeType::PayByTraffic | ChargeType::PayByBandwidth => offset.next_day(now),
            _ => offset.month(now).end(offset),
        }
    }
}

impl std::str::FromStr for ChargeType {
    type Err = String;

    fn from_str(text: &str) -> Result<ChargeType, String> {
        let names = ChargeType::ALL.map(ChargeType::name).join(", ");
        let known = ChargeType::ALL.into_iter().find(|charge| charge.name() == text);
        known.ok_or_else(|| format!("{text:?} is not one of {names}"))
    }
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

impl WebsocketBillType {
    pub const ALL: [WebsocketBillType; 2] =
        [WebsocketBillType::WebsocketTraffic, WebsocketBillType::WebsocketBps];

    pub fn name(self) -> &'static str {
        match self {
            WebsocketBillType::WebsocketTraffic => "websockettraffic",
            WebsocketBillType::WebsocketBps => "websocketbps",
        }
    }

    /// As DescribeDcdnUserBillType says it, for its dimension `websocket`.
    pub fn bill_type(self) -> &'static str {
        match self {
            WebsocketBillType::WebsocketTraffic => "hour_flow",
            WebsocketBillType::WebsocketBps => "day_bandwidth",
        }
    }

    /// How often a bill is made.
    pub fn billing_cycle(self) -> &'static str {
        match self {
            WebsocketBillType::WebsocketTraffic => "hour",
            WebsocketBillType::WebsocketBps => "day",
        }
    }
}

impl std::str::FromStr for WebsocketBillType {
    type Err = String;

    fn from_str(text: &str) -> Result<WebsocketBillType, String> {
        let known = WebsocketBillType::ALL.into_iter().find(|method| method.name() == text);
        known.ok_or_else(|| format!("{text:?} is not one of websockettraffic, websocketbps"))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    pub effective_from: Timestamp,
    pub charge: ChargeType,
    pub websocket: WebsocketBillType,
    pub submitted: Timestamp,
}

impl std::fmt::Display for Plan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Plan { effective_from, charge, websocket, submitted: _ } = self;
        write!(f, "{}, {}, from {effective_from}", charge.name(), websocket.name())
    }
}

impl Plan {
    /// The same method, whenever chosen.
    fn is_like(&self, other: &Plan) -> bool {
        (self.charge, self.websocket) == (other.charge, other.websocket)
    }
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
        "the service is open since {0}: change its plan instead (POST /api/v1/plan/change or \
         `hawser plan change`)"
    )]
    AlreadyOpen(Timestamp),
    #[error(
        "the service is not open: choose a plan first (OpenDcdnService, POST /api/v1/plan or \
         `hawser plan open`)"
    )]
    NotOpen,
    #[error(
        "a change of plan is pending and takes effect at {0}; another one can be made after that \
         (or set [billing] pending = \"replace\" in hawser.toml)"
    )]
    Pending(Timestamp),
    #[error("this is the plan that is in effect: nothing was changed")]
    SamePlan,
    #[error("database: {0}")]
    Database(#[from] rusqlite::Error),
    #[error(transparent)]
    Statistics(#[from] StatisticsError),
    #[error("{0}")]
    Refused(String),
}

/// Plans of one state directory; cheap to clone. All calls but `settings` block.
#[derive(Debug, Clone)]
pub struct Billing {
    database: Database,
    settings: Arc<RwLock<Arc<Settings>>>,
}

impl Billing {
    pub fn new(database: Database, settings: Settings) -> Billing {
        Billing { database, settings: Arc::new(RwLock::new(Arc::new(settings))) }
    }

    pub fn database(&self) -> &Database {
        &self.database
    }

    /// Those of the configuration that was taken over last.
    pub fn settings(&self) -> Arc<Settings> {
        Arc::clone(&self.settings.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn take_over(&self, settings: &Settings) {
        if *self.settings() != *settings {
            *self.settings.write().unwrap_or_else(PoisonError::into_inner) =
                Arc::new(settings.clone());
        }
    }

    /// Chooses the first plan, in effect at once.
    ///
    /// # Errors
    /// There is one already. Nothing was changed.
    pub fn open(
        &self,
        charge: ChargeType,
        websocket: WebsocketBillType,
        now: Timestamp,
        author: &Author,
    ) -> Result<Plans, BillingError> {
        let now = whole_second(now);
        let plan = Plan { effective_from: now, charge, websocket, submitted: now };
        self.database.write(|work| {
            if let Some(opened) = history(work)?.opened() {
                return Err(BillingError::AlreadyOpen(opened));
            }
            submit(work, &plan, author)?;
            note_within(work, author, "plan open", &plan.to_string())?;
            Ok(history(work)?.at(now))
        })
    }

    /// Chooses another plan, in effect when the cycle of the current one ends. What is `None`
    /// stays as it is.
    ///
    /// # Errors
    /// There is no plan, another change is pending, or it is the plan in effect. Nothing was
    /// changed.
    pub fn change(
        &self,
        charge: Option<ChargeType>,
        websocket: Option<WebsocketBillType>,
        now: Timestamp,
        author: &Author,
    ) -> Result<Plans, BillingError> {
        let now = whole_second(now);
        let settings = self.settings();
        self.database.write(|work| {
            let Plans { current, next, .. } = history(work)?.at(now);
            let current = current.ok_or(BillingError::NotOpen)?;
            if let (Some(next), Pending::Refuse) = (&next, settings.pending) {
                return Err(BillingError::Pending(next.effective_from));
            }
            let at = current.charge.next_change(now.as_second(), settings.utc_offset);
            let plan = Plan {
                effective_from: Timestamp::from_second(at).unwrap_or(Timestamp::MAX),
                charge: charge.unwrap_or(current.charge),
                websocket: websocket.unwrap_or(current.websocket),
                submitted: now,
            };
            // With a change pending, the plan in effect is asked for to call that change off.
            if next.is_none() && plan.is_like(&current) {
                return Err(BillingError::SamePlan);
            }
            submit(work, &plan, author)?;
            note_within(work, author, "plan change", &plan.to_string())?;
            Ok(history(work)?.at(now))
        })
    }

    /// As of `now`: a plan whose moment has come is current, however long nobody looked.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn plans(&self, now: Timestamp) -> Result<Plans, BillingError> {
        self.database.read(|reader| Ok(history(reader)?.at(now)))
    }

    /// Whether WebSocket may be enabled: a plan is in effect, or billing is off.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn plan_in_effect(&self, now: Timestamp) -> Result<bool, BillingError> {
        Ok(!self.settings().enabled || self.plans(now)?.current.is_some())
    }
}

/// The tables know seconds; so does the product.
fn whole_second(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}

fn submit(work: &Connection, plan: &Plan, author: &Author) -> rusqlite::Result<()> {
    let insert = "INSERT INTO billing_plans (effective_from, charge, websocket, submitted, author) \
                  VALUES (?1, ?2, ?3, ?4, ?5)";
    let (effective_from, submitted) = (plan.effective_from.as_second(), plan.submitted.as_second());
    let names = (plan.charge.name(), plan.websocket.name());
    work.execute(insert, (effective_from, names.0, names.1, submitted, &author.name)).map(drop)
}

/// Every plan that was or will be in effect, in order.
#[derive(Debug, Default)]
struct History(Vec<Plan>);

impl History {
    fn opened(&self) -> Option<Timestamp> {
        self.0.first().map(|plan| plan.effective_from)
    }

    fn at(&self, now: Timestamp) -> Plans {
        let past = self.0.iter().rev().find(|plan| plan.effective_from <= now);
        // The first one is in effect from its beginning on, also by a clock that was set back.
        let current = past.or(self.0.first()).copied();
        // A change back to what is in effect changes nothing: it called another one off.
        let differs = |plan: &&Plan| current.is_none_or(|current| !plan.is_like(&current));
        let later = self.0.iter().skip(1).find(|plan| plan.effective_from > now);
        let next = later.filter(differs).copied();
        Plans { opened: self.opened(), current, next }
    }
}

/// Reads all plans. One that was still to come when another was submitted never took effect.
fn history(reader: &Connection) -> rusqlite::Result<History> {
    let mut plans: Vec<Plan> = Vec::new();
    let all = "SELECT effective_from, charge, websocket, submitted FROM billing_plans ORDER BY id";
    let mut all = reader.prepare_cached(all)?;
    let mut rows = all.query([])?;
    while let Some(row) = rows.next()? {
        let plan = Plan {
            effective_from: moment(row.get(0)?),
            charge: named(1, row.get_ref(1)?.as_str()?)?,
            websocket: named(2, row.get_ref(2)?.as_str()?)?,
            submitted: moment(row.get(3)?),
        };
        // The first one was in effect when it was submitted, whatever the clock says since.
        let first = plans.first().copied();
        plans.retain(|earlier| Some(*earlier) == first || earlier.effective_from <= plan.submitted);
        plans.push(plan);
    }
    Ok(History(plans))
}

fn moment(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX)
}

/// A name of a table's column.
fn named<T: std::str::FromStr<Err = String>>(column: usize, text: &str) -> rusqlite::Result<T> {
    let failed = |error: String| {
        let kind = rusqlite::types::Type::Text;
        rusqlite::Error::FromSqlConversionFailure(column, kind, error.into())
    };
    text.parse().map_err(failed)
}
