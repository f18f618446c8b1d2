//! What is billed, and the metering behind it (DCDN OpenAPI 2018-01-15). There is one billing area
//! here, called `CN` as DCDN's default is; the areas beside it are empty. All of it is WebSocket:
//! dynamic traffic.

use std::sync::Arc;

use serde_json::{Value, json};

use super::super::error::{self, Failure};
use super::super::request::time;
use super::statistics::{bits_per_second, joined, layers, own_domains, slots, window_of};
use super::{Answer, Call, names};
use crate::control::billing::BillingError;
use crate::control::billing::ledger::Ledger;
use crate::control::billing::statement::PlanSpan;
use crate::control::statistics::window::{self, Asked, Edges, Window};
use crate::control::statistics::{
    Dimension, Query, Selection, Slot, StatisticsError, Step, Wanted,
};
use crate::limits::DCDN_USAGE_DOMAINS_MAX;

const AREA: &str = "CN";
const AREAS: &[&str] = &["CN", "OverSeas", "AP1", "AP2", "AP3", "NA", "SA", "EU", "MEAA", "all"];
/// Longest range of DescribeDcdnDomainUsageData, in seconds.
const USAGE_RANGE_MAX: i64 = 31 * 86_400;
/// The same of DescribeDcdnDomainMultiUsageData, and what it covers when no times are given.
const METERING_RANGE_MAX: i64 = 3_600;
const METERING_DEFAULT: i64 = 600;

/// The methods of billing that are in effect, or will be, in the range.
pub async fn bill_types(call: &Call<'_>) -> Answer {
    let (start, end) = required_times(call)?;
    let spans = of_ledger(call, move |ledger| ledger.spans(start, end)).await?;
    let mut items = Vec::new();
    for PlanSpan { plan, start, end } in spans {
        let (charge, websocket) = (plan.charge, plan.websocket);
        for (dimension, method, cycle) in [
            ("flow", charge.bill_type(), charge.billing_cycle()),
            ("websocket", websocket.bill_type(), websocket.billing_cycle()),
        ] {
            items.push(json!({
                "Product": "dcdn",
                "Dimension": dimension,
                "BillType": method,
                "BillingCycle": cycle,
                "StartTime": window::format(start),
                "EndTime": window::format(end),
            }));
        }
    }
    Ok(json!({"BillTypeData": {"BillTypeDataItem": items}}))
}

/// Closed statements of hours, billed by traffic, and of days, billed by their peak.
pub async fn bill_history(call: &Call<'_>) -> Answer {
    let (start, end) = required_times(call)?;
    if end - start > USAGE_RANGE_MAX {
        return Err(error::START_UNSUPPORTED.into());
    }
    let bills = of_ledger(call, move |ledger| ledger.bills(start, end)).await?;
    let items: Vec<Value> = bills
        .iter()
        .map(|bill| {
            let mut item = json!({"CdnRegion": AREA, "Flow": bill.bytes as f64});
            if let Some(peak) = bill.peak_bps {
                item["Bandwidth"] = json!(peak);
            }
            json!({
                "BillTime": window::format(bill.start),
                "BillType": bill.method.bill_type(),
                "Dimension": "websocket",
                "BillingData": {"BillingDataItem": [item]},
            })
        })
        .collect();
    Ok(json!({"BillHistoryData": {"BillHistoryDataItem": items}}))
}

async fn of_ledger<T: Send + 'static>(
    call: &Call<'_>,
    ask: impl FnOnce(&Ledger) -> Result<T, BillingError> + Send + 'static,
) -> Result<T, Failure> {
    call.ask(move |edge| ask(&Ledger::new(&edge.billing, Arc::clone(&edge.statistics)))).await
}

fn required_times(call: &Call<'_>) -> Result<(i64, i64), Failure> {
    let start = call.parameters.required("StartTime")?;
    let end = call.parameters.required("EndTime")?;
    let start = time(start).ok_or(error::START_MALFORMED)?;
    let end = time(end).ok_or(error::END_MALFORMED)?;
    match start < end {
        true => Ok((start, end)),
        false => Err(error::END_MISMATCH.into()),
    }
}

pub async fn usage(call: &Call<'_>) -> Answer {
    let parameters = call.parameters;
    parameters.required("Field")?;
    let field = parameters.choice("Field", &["bps", "traf", "acc"])?.unwrap_or_default();
    let domains = own_domains(call, "DomainName")?;
    if domains.len() > DCDN_USAGE_DOMAINS_MAX {
        return Err(error::DOMAINS_EXCEED.into());
    }
    let area = parameters.choice("Area", AREAS)?.unwrap_or(AREA);
    let kind = parameters.choice("Type", &["static", "dynamic", "all"])?.unwrap_or("all");
    let protocol = parameters.choice("DataProtocol", &["quic", "https", "http", "all"])?;
    required_times(call)?;
    let Window { start, end, step } = window_of(call)?;
    if end - start > USAGE_RANGE_MAX {
        return Err(error::START_UNSUPPORTED.into());
    }
    let has_any = matches!(area, AREA | "all") && kind != "static" && protocol != Some("quic");
    let (wanted, unit) = match field {
        "acc" => (Wanted::Handshakes, step),
        // Older ones are kept in longer slots only, with their peaks but not the times of those.
        "bps" if has_five_minutes(start, call.now.as_second()) => {
            (Wanted::Traffic, Step::FiveMinutes)
        }
        _ => (Wanted::Traffic, step),
    };
    let layers = layers(protocol.unwrap_or("all")).to_vec();
    let selection = Selection { domains: domains.clone(), layers, ..Selection::default() };
    let found = slots(call, Query { selection, start, end, step: unit, wanted }).await?;
    let rows = match field {
        "bps" => peaks(&found, step),
        _ => found.iter().map(|slot| (slot.start, slot.start, amount(slot, field))).collect(),
    };
    let modules: Vec<Value> = rows
        .into_iter()
        .map(|(start, peak, value)| {
            json!({
                "TimeStamp": window::format(start),
                "PeakTime": window::format(peak),
                "Value": if has_any { value } else { "0".to_owned() },
                "SpecialValue": "0",
            })
        })
        .collect();
    Ok(json!({
        "DomainName": joined(&domains),
        "StartTime": window::format(start),
        "EndTime": window::format(end),
        "DataInterval": step.seconds().to_string(),
        "Type": kind,
        "Area": area,
        "UsageDataPerInterval": {"DataModule": modules},
    }))
}

fn has_five_minutes(start: i64, now: i64) -> bool {
    let asked = Asked {
        start: Some(&window::format(start)),
        end: Some(&window::format(start + 1)),
        interval: Some("300"),
    };
    Window::of(asked, now, 0, Edges::Wire).is_ok()
}

fn amount(slot: &Slot, field: &str) -> String {
    match field {
        "acc" => slot.measures.handshakes.values().sum::<u64>().to_string(),
        _ => slot.measures.bytes_out.to_string(),
    }
}

/// The largest five-minute bandwidth of each slot of `step`, and when it was.
fn peaks(slots: &[Slot], step: Step) -> Vec<(i64, i64, String)> {
    let mut rows: Vec<(i64, i64, u64)> = Vec::new();
    for slot in slots {
        let (start, bytes) = (step.floor(slot.start), slot.most_bytes_out);
        match rows.last_mut() {
            Some(row) if row.0 == start => {
                if bytes > row.2 {
                    (row.1, row.2) = (slot.start, bytes);
                }
            }
            _ => rows.push((start, slot.start, bytes)),
        }
    }
    let written = |(start, peak, bytes)| (start, peak, bits_per_second(bytes).to_string());
    rows.into_iter().map(written).collect()
}

/// The metering feed: bandwidth and requests by domain and five-minute slot, only where there were
/// any.
pub async fn multi_usage(call: &Call<'_>) -> Answer {
    let window = metering_window(call)?;
    let Window { start, end, .. } = window;
    let domains = own_domains(call, "DomainName")?;
    let rows = call.ask(move |edge| edge.statistics.bytes_by_domain(start, end)).await?;
    let is_asked = |name: &Arc<str>| domains.is_empty() || domains.contains(name);
    let traffic: Vec<Value> = rows
        .iter()
        .filter(|(name, _, _)| is_asked(name))
        .map(|(name, slot, bytes)| {
            json!({
                "Domain": names::wire(name),
                "TimeStamp": window::format(*slot),
                "Type": "WebSocket",
                "Area": AREA,
                "Bps": bits_per_second(*bytes),
            })
        })
        .collect();
    let requests = requests_by_domain(call, window, domains).await?;
    Ok(json!({
        "StartTime": window::format(start),
        "EndTime": window::format(end),
        "TrafficPerInterval": {"TrafficDataModule": traffic},
        "RequestPerInterval": {"RequestDataModule": requests},
    }))
}

async fn requests_by_domain(
    call: &Call<'_>,
    window: Window,
    domains: Vec<Arc<str>>,
) -> Result<Vec<Value>, Failure> {
    let Window { start, end, step } = window;
    let step = step.seconds();
    let selection = Selection { domains, ..Selection::default() };
    let found = call.ask(move |edge| {
        let mut slots = Vec::new();
        for at in (start..end).step_by(usize::try_from(step).unwrap_or(1)) {
            let (wanted, by) = (Wanted::Handshakes, Dimension::Domain);
            let counted = edge.statistics.totals(&selection, at, at + step, wanted, by)?;
            slots.extend(counted.into_iter().map(|(name, slot)| (name, at, slot)));
        }
        Ok::<_, StatisticsError>(slots)
    });
    let counted = found.await?.into_iter().filter_map(|(name, at, slot)| {
        let count: u64 = slot.measures.handshakes.values().sum();
        let row = json!({
            "Domain": names::wire(&name),
            "TimeStamp": window::format(at),
            "Type": "WebSocket",
            "Request": count,
        });
        (count > 0).then_some(row)
    });
    Ok(counted.collect())
}

fn metering_window(call: &Call<'_>) -> Result<Window, Failure> {
    let now = call.now.as_second();
    let (from, to) = (window::format(now - METERING_DEFAULT), window::format(now));
    let (start, end) = (call.parameters.text("StartTime"), call.parameters.text("EndTime"));
    let (start, end) = match (start, end) {
        (None, None) => (Some(&*from), Some(&*to)),
        given => given,
    };
    let asked = Asked { start, end, interval: Some("300") };
    let window = super::statistics::read_window(call, asked)?;
    match window.end - window.start > METERING_RANGE_MAX + window.step.seconds() {
        true => Err(error::START_UNSUPPORTED.into()),
        false => Ok(window),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peaks_have_their_time() {
        let slot = |start, bytes_out| {
            let mut slot = Slot { start, ..Slot::default() };
            slot.most_bytes_out = bytes_out;
            slot
        };
        let slots = [slot(3_000, 300), slot(3_300, 900), slot(3_600, 600), slot(3_900, 600)];
        let rows = peaks(&slots, Step::Hour);
        let expected = [(0, 3_300, "24".to_owned()), (3_600, 3_600, "16".to_owned())];
        assert_eq!(rows, expected);
    }
}
