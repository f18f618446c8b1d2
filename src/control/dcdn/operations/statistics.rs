//! Traffic, bandwidth and HTTP codes of WebSocket (DCDN OpenAPI 2018-01-15). Slots are in ascending
//! order, half open, and all there; which ones is decided by `statistics::window`.

use std::sync::Arc;

use serde_json::{Value, json};

use super::super::error::{self, Failure};
use super::{Answer, Call, names};
use crate::control::statistics::window::{self, Asked, Edges, TimeError, Window};
use crate::control::statistics::{Query, SLOT, Selection, Slot, Wanted};
use crate::stats::Layer;

pub async fn traffic(call: &Call<'_>) -> Answer {
    let asked = Question::of(call)?;
    let value = |slot: &Slot| json!(slot.measures.bytes_out as f64);
    let modules = asked.modules(call, Wanted::Traffic, "WebsocketTraffic", value).await?;
    Ok(asked.answer("TrafficDataPerInterval", modules))
}

pub async fn bandwidth(call: &Call<'_>) -> Answer {
    let asked = Question::of(call)?;
    let value = |slot: &Slot| json!(bits_per_second(slot.most_bytes_out));
    let modules = asked.modules(call, Wanted::Traffic, "WebsocketBps", value).await?;
    Ok(asked.answer("BpsDataPerInterval", modules))
}

pub async fn codes(call: &Call<'_>) -> Answer {
    if call.parameters.text("DomainName").is_none() {
        return Err(error::MISSING_PARAMETER.into());
    }
    let asked = Question::of(call)?;
    let modules = asked.modules(call, Wanted::Handshakes, "WebsocketHttpCode", shares).await?;
    Ok(asked.answer("HttpCodeDataPerInterval", modules))
}

/// Bandwidth and traffic of clients that came by one version of IP or one protocol. All of it is
/// WebSocket: dynamic.
pub async fn bandwidth_by_layer(call: &Call<'_>) -> Answer {
    let named = LAYERS.map(|(name, _)| name);
    let layer = call.parameters.choice("Layer", &named)?.unwrap_or("all");
    let mut asked = Question::of(call)?;
    asked.selection.layers = layers(layer).to_vec();
    let Window { start, end, step } = asked.window;
    // There is no QUIC here.
    let selection = Some(asked.selection).filter(|_| layer != "quic");
    let found = match selection {
        Some(selection) => {
            slots(call, Query { selection, start, end, step, wanted: Wanted::Traffic }).await?
        }
        None => (start..end)
            .step_by(step.seconds() as usize)
            .map(|start| Slot { start, ..Slot::default() })
            .collect(),
    };
    let module = |slot: &Slot| {
        let bits = bits_per_second(slot.most_bytes_out).to_string();
        let bytes = slot.measures.bytes_out.to_string();
        json!({
            "TimeStamp": window::format(slot.start),
            "Value": bits,
            "TrafficValue": bytes,
            "DynamicValue": bits,
            "DynamicTrafficValue": bytes,
            "StaticValue": "0",
            "StaticTrafficValue": "0",
        })
    };
    let modules: Vec<Value> = found.iter().map(module).collect();
    Ok(json!({
        "DataInterval": step.seconds().to_string(),
        "BpsDataInterval": {"DataModule": modules},
    }))
}

/// Which of ours DCDN means by the name of a layer; none of `all`, which is no choice.
pub fn layers(name: &str) -> &'static [Layer] {
    LAYERS.iter().find(|(known, _)| *known == name).map_or(&[], |(_, layers)| layers)
}

const LAYERS: [(&str, &[Layer]); 6] = [
    ("all", &[]),
    ("IPv4", &Layer::IPV4),
    ("IPv6", &Layer::IPV6),
    ("http", &Layer::HTTP),
    ("https", &Layer::HTTPS),
    ("quic", &[]),
];

/// Of one five-minute slot.
pub fn bits_per_second(bytes: u64) -> f64 {
    bytes as f64 * 8.0 / SLOT as f64
}

fn shares(slot: &Slot) -> Value {
    let counts = &slot.measures.handshakes;
    let all: u64 = counts.values().sum();
    let modules: Vec<Value> = counts
        .iter()
        .filter(|(_, count)| **count > 0)
        .map(|(code, count)| {
            let proportion = 100.0 * *count as f64 / all as f64;
            json!({"Code": code, "Count": *count as f64, "Proportion": proportion})
        })
        .collect();
    json!({"HttpCodeDataModule": modules})
}

/// What is asked, checked.
struct Question {
    domains: Vec<Arc<str>>,
    selection: Selection,
    window: Window,
}

impl Question {
    fn of(call: &Call<'_>) -> Result<Question, Failure> {
        let parameters = call.parameters;
        let domains = own_domains(call, "DomainName")?;
        let window = window_of(call)?;
        // A name that nobody has gives a series of zeros.
        let one = |name: &str| parameters.text(name).map(Arc::from).into_iter().collect();
        let selection = Selection {
            domains: domains.clone(),
            regions: one("LocationNameEn"),
            isps: one("IspNameEn"),
            layers: Vec::new(),
        };
        Ok(Question { domains, selection, window })
    }

    async fn modules(
        &self,
        call: &Call<'_>,
        wanted: Wanted,
        field: &str,
        value: impl Fn(&Slot) -> Value,
    ) -> Result<Vec<Value>, Failure> {
        let Window { start, end, step } = self.window;
        let query = Query { selection: self.selection.clone(), start, end, step, wanted };
        let slots = slots(call, query).await?;
        let module = |slot: &Slot| {
            let mut module = json!({"TimeStamp": window::format(slot.start)});
            module[field] = value(slot);
            module
        };
        Ok(slots.iter().map(module).collect())
    }

    fn answer(&self, wrapper: &str, modules: Vec<Value>) -> Value {
        let mut answer = json!({
            "DomainName": joined(&self.domains),
            "StartTime": window::format(self.window.start),
            "EndTime": window::format(self.window.end),
            "DataInterval": self.window.step.seconds().to_string(),
        });
        answer[wrapper] = json!({"DataModule": modules});
        answer
    }
}

/// Domains of this edge; none means all of them.
///
/// # Errors
/// `InvalidDomain.NotFound`.
pub fn own_domains(call: &Call<'_>, name: &str) -> Result<Vec<Arc<str>>, Failure> {
    let domains = names::list(call.parameters, name)?;
    let loaded = call.dcdn.edge.publisher.configured();
    let is_there = |name: &Arc<str>| loaded.domains.binary_search_by(|d| d.name.cmp(name)).is_ok();
    match domains.iter().all(is_there) {
        true => Ok(domains),
        false => Err(error::DOMAIN_NOT_FOUND.into()),
    }
}

pub fn window_of(call: &Call<'_>) -> Result<Window, Failure> {
    let asked = Asked {
        start: call.parameters.text("StartTime"),
        end: call.parameters.text("EndTime"),
        interval: call.parameters.text("Interval"),
    };
    read_window(call, asked)
}

pub fn read_window(call: &Call<'_>, asked: Asked<'_>) -> Result<Window, Failure> {
    let offset = call.dcdn.edge.billing.settings().utc_offset.seconds();
    Window::of(asked, call.now.as_second(), offset, Edges::Wire).map_err(|error| {
        let known = match error {
            TimeError::OnlyOne => error::MISSING_TIME,
            TimeError::StartMalformed => error::START_MALFORMED,
            TimeError::EndMalformed => error::END_MALFORMED,
            TimeError::EndNotAfterStart => error::END_MISMATCH,
            TimeError::StartUnsupported { .. } => error::START_UNSUPPORTED,
        };
        known.into()
    })
}

pub async fn slots(call: &Call<'_>, query: Query) -> Result<Vec<Slot>, Failure> {
    call.ask(move |edge| edge.statistics.query(&query)).await
}

/// As DCDN writes lists of domains.
pub fn joined(domains: &[Arc<str>]) -> String {
    domains.iter().map(|domain| names::wire(domain)).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    // DCDN OpenAPI 2018-01-15: Proportion is 100 times count by sum; an empty slot has an empty
    // list. Code is a whole number, the others are floating.
    #[test]
    fn shares_of_codes() {
        let mut slot = Slot::default();
        assert_eq!(shares(&slot), json!({"HttpCodeDataModule": []}));
        slot.measures.handshakes = [(101, 1), (403, 1), (502, 1), (504, 0)].into();
        let text = shares(&slot).to_string();
        assert_eq!(
            text,
            "{\"HttpCodeDataModule\":[\
             {\"Code\":101,\"Count\":1.0,\"Proportion\":33.333333333333336},\
             {\"Code\":403,\"Count\":1.0,\"Proportion\":33.333333333333336},\
             {\"Code\":502,\"Count\":1.0,\"Proportion\":33.333333333333336}]}"
        );
        assert!((bits_per_second(300) - 8.0).abs() < f64::EPSILON);
    }
}
