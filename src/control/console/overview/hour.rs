//! The last hour in slots of five minutes, as the statistics have it.

use jiff::Timestamp;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::control::console::rest::{Refusal, Rest, part};
use crate::control::console::units;
use crate::control::statistics::SLOT;
use crate::limits::STATISTICS_FLUSH_PERIOD;

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

/// The statistics are brought up to date so often, at multiples of it.
const COUNTED_EVERY: i64 = STATISTICS_FLUSH_PERIOD.as_secs() as i64;
/// A slot that is younger says nothing about a second of it.
const YOUNGEST: i64 = 30;

/// Whole slots, and what is counted of the one that is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    start: i64,
    end: i64,
    /// Seconds of the last slot that are counted.
    last: i64,
}

impl Span {
    fn before(now: i64) -> Span {
        let counted = now - now.rem_euclid(COUNTED_EVERY);
        let whole = counted - counted.rem_euclid(SLOT);
        match counted - whole {
            young if young < YOUNGEST => Span { start: whole - 3_600, end: whole, last: SLOT },
            last => Span { start: whole - 3_300, end: counted, last },
        }
    }

    fn per_second(self, sums: &[u64]) -> Track {
        let last = sums.len().saturating_sub(1);
        let seconds = |i: usize| if i == last { self.last } else { SLOT };
        let each = sums.iter().enumerate();
        Track(each.map(|(i, sum)| *sum as f64 / seconds(i) as f64).collect())
    }
}

impl Hour {
    /// `None` when the statistics cannot be read: the page has enough without them.
    pub async fn before(rest: &Rest, now: i64) -> Option<Hour> {
        let span = Span::before(now);
        let (traffic, messages, connections, codes) = tokio::join!(
            slots::<Traffic>(rest, "traffic", span),
            slots::<Messages>(rest, "messages", span),
            slots::<Connections>(rest, "connections", span),
            slots::<Codes>(rest, "http-codes", span),
        );
        let (traffic, messages) = (traffic.ok()?, messages.ok()?);
        let (connections, codes) = (connections.ok()?, codes.ok()?);
        let messages = each(&messages, |slot| slot.messages_out + slot.messages_in);
        let handshakes = each(&codes, |slot| slot.codes.iter().map(|code| code.count).sum());
        let bytes_out = each(&traffic, |slot| slot.bytes_out);
        let bytes_in = each(&traffic, |slot| slot.bytes_in);
        let bits =
            |bytes: &[u64]| span.per_second(&bytes.iter().map(|n| n * 8).collect::<Vec<_>>());
        Some(Hour {
            end: span.end,
            connections: Track(connections.iter().map(|slot| slot.peak as f64).collect()),
            opened: connections.iter().map(|slot| slot.opened).sum(),
            messages: span.per_second(&messages),
            messages_sum: messages.iter().sum(),
            bits_out: bits(&bytes_out),
            bytes_out: bytes_out.iter().sum(),
            bits_in: bits(&bytes_in),
            bytes_in: bytes_in.iter().sum(),
            handshakes: span.per_second(&handshakes),
            handshakes_sum: handshakes.iter().sum(),
        })
    }

    /// Which hour it is.
    pub fn words(&self, offset_s: i32) -> String {
        let end = units::time(self.end, offset_s);
        format!("the hour to {end}, averaged over 5 minutes")
    }
}

fn each<T>(slots: &[T], value: impl Fn(&T) -> u64) -> Vec<u64> {
    slots.iter().map(value).collect()
}

async fn slots<T: DeserializeOwned>(
    rest: &Rest,
    what: &str,
    span: Span,
) -> Result<Vec<T>, Refusal> {
    let text = |at: i64| Timestamp::from_second(at).map(|at| part(&at.to_string()));
    let (Ok(start), Ok(end)) = (text(span.start), text(span.end)) else { return Ok(Vec::new()) };
    let path = format!("/statistics/{what}?start={start}&end={end}&interval={SLOT}");
    Ok(rest.read::<Series<T>>(&path).await?.items)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slot_under_way_is_shown_once_it_tells_something() {
        let noon = 12 * 3_600;
        for (now, start, end, last) in [
            (noon, noon - 3_600, noon, SLOT),
            (noon + 39, noon - 3_300, noon + 30, 30),
            (noon + 29, noon - 3_600, noon, SLOT),
            (noon + 299, noon - 3_300, noon + 290, 290),
        ] {
            assert_eq!(Span::before(now), Span { start, end, last }, "{now}");
        }
    }

    #[test]
    fn a_part_of_a_slot_is_averaged_over_what_is_counted() {
        let span = Span::before(12 * 3_600 + 60);
        assert_eq!(span.per_second(&[3_000, 600, 600]).0, [10.0, 2.0, 10.0]);
        assert!(span.per_second(&[]).0.is_empty());
    }
}
