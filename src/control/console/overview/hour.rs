//! The last hour in slots of five minutes, as the statistics have it. The slot that is under way is
//! left out: a part of it would look like a fall.

use jiff::Timestamp;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::control::console::rest::{Refusal, Rest, part};
use crate::control::console::units;
use crate::control::statistics::SLOT;

/// Values of the slots, the oldest first.
#[derive(Debug, Default)]
pub struct Track(pub Vec<f64>);

impl Track {
    pub fn peak(&self) -> f64 {
        self.0.iter().copied().fold(0.0, f64::max)
    }
}

#[derive(Debug, Default)]
pub struct Hour {
    end: i64,
    pub connections: Track,
    pub opened: u64,
    /// Per second, as all below.
    pub messages: Track,
    pub messages_sum: u64,
    pub bits_out: Track,
    pub bytes_out: u64,
    pub bits_in: Track,
    pub bytes_in: u64,
    pub handshakes: Track,
    pub handshakes_sum: u64,
}

#[derive(Deserialize)]
struct Series<T> {
    items: Vec<T>,
}

#[derive(Deserialize)]
struct Traffic {
    bytes_out: u64,
    bytes_in: u64,
}

#[derive(Deserialize)]
struct Messages {
    messages_out: u64,
    messages_in: u64,
}

#[derive(Deserialize)]
struct Connections {
    peak: u64,
    opened: u64,
}

#[derive(Deserialize)]
struct Codes {
    codes: Vec<CodeCount>,
}

#[derive(Deserialize)]
struct CodeCount {
    count: u64,
}

impl Hour {
    /// `None` when the statistics cannot be read: the page has enough without them.
    pub async fn before(rest: &Rest, now: i64) -> Option<Hour> {
        let end = now - now.rem_euclid(SLOT);
        let (traffic, messages, connections, codes) = tokio::join!(
            slots::<Traffic>(rest, "traffic", end),
            slots::<Messages>(rest, "messages", end),
            slots::<Connections>(rest, "connections", end),
            slots::<Codes>(rest, "http-codes", end),
        );
        let (traffic, messages) = (traffic.ok()?, messages.ok()?);
        let (connections, codes) = (connections.ok()?, codes.ok()?);
        let messages: Vec<u64> =
            messages.iter().map(|slot| slot.messages_out + slot.messages_in).collect();
        let handshakes: Vec<u64> =
            codes.iter().map(|slot| slot.codes.iter().map(|code| code.count).sum()).collect();
        let per_s = |all: &[u64], of_each: f64| {
            Track(all.iter().map(|n| *n as f64 * of_each / SLOT as f64).collect())
        };
        let [bytes_out, bytes_in]: [Vec<u64>; 2] = [
            traffic.iter().map(|slot| slot.bytes_out).collect(),
            traffic.iter().map(|slot| slot.bytes_in).collect(),
        ];
        Some(Hour {
            end,
            connections: Track(connections.iter().map(|slot| slot.peak as f64).collect()),
            opened: connections.iter().map(|slot| slot.opened).sum(),
            messages: per_s(&messages, 1.0),
            messages_sum: messages.iter().sum(),
            bits_out: per_s(&bytes_out, 8.0),
            bytes_out: bytes_out.iter().sum(),
            bits_in: per_s(&bytes_in, 8.0),
            bytes_in: bytes_in.iter().sum(),
            handshakes: per_s(&handshakes, 1.0),
            handshakes_sum: handshakes.iter().sum(),
        })
    }

    /// Which hour it is.
    pub fn words(&self, offset_s: i32) -> String {
        let end = units::time(self.end, offset_s);
        format!("the hour to {end}, in slots of 5 minutes")
    }
}

async fn slots<T: DeserializeOwned>(rest: &Rest, what: &str, end: i64) -> Result<Vec<T>, Refusal> {
    let text = |at: i64| Timestamp::from_second(at).map(|at| part(&at.to_string()));
    let (Ok(start), Ok(end)) = (text(end - 3_600), text(end)) else { return Ok(Vec::new()) };
    let path = format!("/statistics/{what}?start={start}&end={end}&interval={SLOT}");
    Ok(rest.read::<Series<T>>(&path).await?.items)
}
