//! How traffic and handshakes are shared among domains, regions and providers (DCDN OpenAPI
//! 2018-01-15).

use std::sync::Arc;

use serde_json::{Value, json};

use super::super::error::Failure;
use super::places::chinese;
use super::statistics::{joined, own_domains, window_of};
use super::{Answer, Call, names};
use crate::control::geo::names::{ISPS, REGIONS};
use crate::control::statistics::window::{self, Window};
use crate::control::statistics::{Dimension, Selection, Slot, Wanted};
use crate::limits::DCDN_TOP_DOMAINS_MAX;

const TOP_DEFAULT: usize = 20;

pub async fn top_domains(call: &Call<'_>) -> Answer {
    let most = call.parameters.whole("Limit", 1, DCDN_TOP_DOMAINS_MAX)?.unwrap_or(TOP_DEFAULT);
    let window = window_of(call)?;
    let loaded = call.dcdn.edge.publisher.configured();
    let mut found = totals(call, Selection::default(), window, Dimension::Domain).await?;
    found.retain(|(name, _)| loaded.domains.iter().any(|config| config.name == *name));
    let sum: u64 = found.iter().map(|(_, slot)| slot.measures.bytes_out).sum();
    found.sort_by_key(|(_, slot)| std::cmp::Reverse(slot.measures.bytes_out));
    let rows = found.iter().take(most).enumerate().map(|(index, (name, slot))| {
        json!({
            "DomainName": names::wire(name),
            "Rank": index + 1,
            "TotalTraffic": slot.measures.bytes_out.to_string(),
            "TrafficPercent": percent(slot.measures.bytes_out, sum),
            "MaxBps": slot.most_bytes_out * 8 / 300,
            "MaxBpsTime": window::format(slot.most_bytes_out_at),
            "TotalAccess": requests(slot),
        })
    });
    Ok(json!({
        "StartTime": window::format(window.start),
        "EndTime": window::format(window.end),
        "DomainCount": loaded.domains.len(),
        "DomainOnlineCount": loaded.domains.iter().filter(|config| config.enabled).count(),
        "TopDomains": {"TopDomain": rows.collect::<Vec<Value>>()},
    }))
}

pub async fn regions(call: &Call<'_>) -> Answer {
    shares(
        call,
        Dimension::Region,
        "RegionProportionData",
        |name| json!({"Region": chinese(REGIONS, name), "RegionEname": name}),
    )
    .await
}

pub async fn isps(call: &Call<'_>) -> Answer {
    shares(
        call,
        Dimension::Isp,
        "IspProportionData",
        |name| json!({"Isp": chinese(ISPS, name), "IspEname": name}),
    )
    .await
}

async fn shares(
    call: &Call<'_>,
    by: Dimension,
    list: &str,
    named: impl Fn(&str) -> Value,
) -> Answer {
    let domains = own_domains(call, "DomainName")?;
    let window = window_of(call)?;
    let selection = Selection { domains: domains.clone(), ..Selection::default() };
    let mut found = totals(call, selection, window, by).await?;
    found.retain(|(_, slot)| slot.measures.bytes_out > 0 || requests(slot) > 0);
    let seconds = (window.end - window.start).max(1) as f64;
    let bytes: u64 = found.iter().map(|(_, slot)| slot.measures.bytes_out).sum();
    let all: u64 = found.iter().map(|(_, slot)| requests(slot)).sum();
    let rows = found.iter().map(|(name, slot)| {
        let mut row = named(name);
        let (own, count) = (slot.measures.bytes_out, requests(slot));
        let each = count.max(1) as f64;
        row["TotalBytes"] = json!(own.to_string());
        row["BytesProportion"] = json!(percent(own, bytes));
        row["Bps"] = json!((own as f64 * 8.0 / seconds).to_string());
        row["TotalQuery"] = json!(count.to_string());
        row["Proportion"] = json!(percent(count, all));
        row["Qps"] = json!((count as f64 / seconds).to_string());
        row["AvgObjectSize"] = json!((own as f64 / each).to_string());
        row["AvgResponseTime"] =
            json!((slot.measures.handshake_us as f64 / 1_000.0 / each).to_string());
        row
    });
    let rows: Vec<Value> = rows.collect();
    let mut answer = json!({
        "DomainName": joined(&domains),
        "StartTime": window::format(window.start),
        "EndTime": window::format(window.end),
        "DataInterval": (window.end - window.start).to_string(),
    });
    answer["Value"][list] = Value::from(rows);
    Ok(answer)
}

async fn totals(
    call: &Call<'_>,
    selection: Selection,
    window: Window,
    by: Dimension,
) -> Result<Vec<(Arc<str>, Slot)>, Failure> {
    let Window { start, end, .. } = window;
    call.ask(move |edge| edge.statistics.totals(&selection, start, end, Wanted::All, by)).await
}

fn requests(slot: &Slot) -> u64 {
    slot.measures.handshakes.values().sum()
}

fn percent(part: u64, whole: u64) -> String {
    (100.0 * part as f64 / whole.max(1) as f64).to_string()
}
