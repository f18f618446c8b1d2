//! `hawser plan`: the billing plan, without which no domain has WebSocket. Not here: when a plan
//! takes effect (`control::billing`), what is owed (`usage`).

use std::path::Path;

use clap::Subcommand;
use hyper::Method;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::control_client::{ClientError, request};
use super::key::author;
use super::{Exit, Which, say};
use crate::control::billing::{
    Billing, BillingError, ChargeType, Plan, Plans, Settings, WebsocketBillType,
};
use crate::control::database::Database;
use crate::control::owner::make_dir;

/// Show, choose and change the billing plan
///
/// With [billing] enabled (the default), no domain has WebSocket before a plan was chosen. Plans
/// are in STATE_DIR/hawser.db; a running edge takes a change over at once.
#[derive(Debug, clap::Args)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Show(Show),
    Open(Open),
    Change(Change),
}

/// Show the plan in effect, and the one that comes after it
#[derive(Debug, clap::Args)]
struct Show {
    #[command(flatten)]
    which: Which,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Choose the first plan; it is in effect at once
#[derive(Debug, clap::Args)]
struct Open {
    #[command(flatten)]
    choice: Choice,
    #[command(flatten)]
    which: Which,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// How to pay, unless said otherwise.
#[derive(Debug, clap::Args)]
struct Choice {
    /// Billing method of the whole service; its cycle decides when a later change takes effect
    #[arg(long, value_name = "TYPE", default_value = "PayByTraffic")]
    charge: ChargeType,
    /// Billing method of WebSocket: websockettraffic or websocketbps
    #[arg(long, value_name = "TYPE", default_value = "websockettraffic")]
    websocket: WebsocketBillType,
}

/// Choose another plan, in effect when the cycle of the present one ends
///
/// That is the next 00:00 with PayByTraffic and PayByBandwidth, and 00:00 of the 1st of the next
/// month with all others, at [billing] utc_offset. This is Hawser's own: the DCDN API has no such
/// call, the product changes plans in its console only.
#[derive(Debug, clap::Args)]
struct Change {
    /// Billing method of the whole service: PayByTraffic, PayByBandwidth, PayByBandwidth95,
    /// PayByBandwidth_monthavg, PayByBandwidth_month4th, PayByBandwidth_monthday95avg or
    /// PayByBandwidth_nighthalf95
    #[arg(long, value_name = "TYPE", required_unless_present = "websocket")]
    charge: Option<ChargeType>,
    /// Billing method of WebSocket: websockettraffic or websocketbps
    #[arg(long, value_name = "TYPE")]
    websocket: Option<WebsocketBillType>,
    #[command(flatten)]
    which: Which,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub fn run(args: Args) -> anyhow::Result<Exit> {
    match args.verb {
        Verb::Show(Show { which, json }) => {
            let billing = open_billing(&which)?;
            let plans = billing.plans(Timestamp::now())?;
            say(&text(&plans, &billing.settings(), json)?)?;
            Ok(Exit::Done)
        }
        Verb::Open(Open { choice: Choice { charge, websocket }, which, json }) => {
            let billing = open_billing(&which)?;
            let plans = billing.open(charge, websocket, Timestamp::now(), &author())?;
            changed(&which, &billing, &plans, json)
        }
        Verb::Change(Change { charge, websocket, which, json }) => {
            let billing = open_billing(&which)?;
            match billing.change(charge, websocket, Timestamp::now(), &author()) {
                Ok(plans) => changed(&which, &billing, &plans, json),
                // The product page has it so: what is the same already is kept.
                Err(same @ BillingError::SamePlan) => {
                    eprintln!("hawser: {same}");
                    let plans = billing.plans(Timestamp::now())?;
                    say(&text(&plans, &billing.settings(), json)?)?;
                    Ok(Exit::Done)
                }
                Err(error) => Err(error.into()),
            }
        }
    }
}

pub(super) fn open_billing(which: &Which) -> anyhow::Result<Billing> {
    let server = which.source().server_config()?;
    make_dir(&server.state_dir, 0o750)?;
    let database = Database::open(&server.state_dir)?;
    Ok(Billing::new(database, server.billing))
}

/// Says what is so now, and lets a running edge know.
fn changed(which: &Which, billing: &Billing, plans: &Plans, json: bool) -> anyhow::Result<Exit> {
    say(&text(plans, &billing.settings(), json)?)?;
    told(&which.state_dir()?)
}

/// The edge looks by itself every few seconds; a reload makes it look now.
fn told(state_dir: &Path) -> anyhow::Result<Exit> {
    match request(state_dir, Method::POST, "/v1/reload", None) {
        Ok(answer) if !answer.is_success() => {
            let text = answer.text();
            eprintln!("hawser: the plan is on record, but the configuration is refused:\n{text}");
            Ok(Exit::BadConfig)
        }
        Ok(_) | Err(ClientError::NotRunning(_)) => Ok(Exit::Done),
        Err(error) => Err(anyhow::Error::new(error)
            .context("the plan is on record, but the edge could not be told")),
    }
}

fn text(plans: &Plans, settings: &Settings, as_json: bool) -> anyhow::Result<String> {
    if as_json {
        return Ok(serde_json::to_string_pretty(&as_value(plans, settings))? + "\n");
    }
    let mut text = match (&plans.current, settings.enabled) {
        (_, false) => "billing is off ([billing] enabled = false)\n".to_owned(),
        (None, true) => {
            "no plan: WebSocket is off everywhere until `hawser plan open`\n".to_owned()
        }
        (Some(_), true) => String::new(),
    };
    let mut line = |what: &str, said: String| text += &format!("{what:8}{said}\n");
    if let Some(opened) = plans.opened {
        line("opened", opened.to_string());
    }
    if let Some(current) = &plans.current {
        line("current", current.to_string());
    }
    if let Some(next) = &plans.next {
        line("next", format!("{next} (00:00 at {})", settings.utc_offset));
    }
    Ok(text)
}

fn as_value(plans: &Plans, settings: &Settings) -> Value {
    let plan = |plan: &Option<Plan>| {
        plan.map(|plan| {
            json!({
                "charge": plan.charge,
                "websocket": plan.websocket,
                "effective_from": plan.effective_from.to_string(),
                "submitted": plan.submitted.to_string(),
            })
        })
    };
    json!({
        "enabled": settings.enabled,
        "utc_offset": settings.utc_offset.to_string(),
        "opened": plans.opened.map(|opened| opened.to_string()),
        "current": plan(&plans.current),
        "next": plan(&plans.next),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_of_plans() {
        let at = |text: &str| text.parse().unwrap();
        let current = Plan {
            effective_from: at("2026-11-23T03:04:05Z"),
            charge: ChargeType::PayByTraffic,
            websocket: WebsocketBillType::WebsocketTraffic,
            submitted: at("2026-11-23T03:04:05Z"),
        };
        let next = Plan {
            effective_from: at("2026-11-23T16:00:00Z"),
            websocket: WebsocketBillType::WebsocketBps,
            ..current
        };
        let opened = Some(current.effective_from);
        let plans = Plans { opened, current: Some(current), next: Some(next) };
        let settings = Settings::default();
        assert_eq!(
            text(&plans, &settings, false).unwrap(),
            "opened  2026-11-23T03:04:05Z\n\
             current PayByTraffic, websockettraffic, from 2026-11-23T03:04:05Z\n\
             next    PayByTraffic, websocketbps, from 2026-11-23T16:00:00Z (00:00 at +08:00)\n"
        );
        let value = as_value(&plans, &settings);
        assert_eq!(value["next"]["websocket"], "websocketbps");
        assert_eq!(value["current"]["effective_from"], "2026-11-23T03:04:05Z");
        let none = text(&Plans::default(), &settings, false).unwrap();
        assert!(none.contains("hawser plan open"), "{none}");
        let off = Settings { enabled: false, ..settings };
        assert!(text(&Plans::default(), &off, false).unwrap().contains("off"));
    }
}
