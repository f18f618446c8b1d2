//! One connection through several slots of time, under a clock that the test moves.

use serde_json::Value;

use super::{BPS, CODES, TRAFFIC, flush};
use crate::harness::{Clock, Dcdn, DomainFile, Edge, Frame, Origin, Tunnel, eventually};

/// Slots of an answer with anything in them: when, and how much.
fn filled(answer: &Value, list: &str, value: &str) -> Vec<(String, f64)> {
    let slots = answer[list]["DataModule"].as_array().unwrap_or_else(|| panic!("{answer}"));
    let row = |slot: &Value| {
        let at = slot["TimeStamp"].as_str().expect("a time stamp").to_owned();
        (at, rounded(slot[value].as_f64().expect("a number")))
    };
    slots.iter().map(row).filter(|(_, n)| *n > 0.0).collect()
}

/// What is left of a number on its way through decimal digits.
fn rounded(number: f64) -> f64 {
    (number * 1000.0).round() / 1000.0
}

/// One domain under a clock.
pub struct Watched {
    pub origin: Origin,
    pub edge: Edge,
    pub clock: Clock,
}

impl Watched {
    pub fn at(moment: &str) -> Option<Watched> {
        Watched::with(moment, "enabled = false")
    }

    /// With a line of `[billing]`.
    pub fn with(moment: &str, billing: &str) -> Option<Watched> {
        let clock = Clock::at(moment)?;
        let origin = Origin::bind();
        let domain = DomainFile::to("a.test", &origin).websocket("heartbeat = 300");
        let edge = Edge::builder().clock(&clock).billing(&[billing]).domain(domain).start();
        Some(Watched { origin, edge, clock })
    }

    pub fn dcdn(&self) -> Dcdn {
        Dcdn { clock: Some(self.clock.clone()), ..Dcdn::of(&self.edge) }
    }

    /// A jump leaves no reading at the ends of the slots that it jumps over, but one after it.
    pub fn turn_to(&self, moment: &str) {
        self.clock.set(moment);
        flush(&self.edge);
    }

    /// Sends a message of which the client's socket gets exactly `bytes`; it is in the store when
    /// this returns.
    pub fn send(&self, tunnel: &mut Tunnel, bytes: usize) {
        let before = self.sent();
        let frame = Frame::binary(vec![0; bytes - 4]);
        assert_eq!(frame.bytes().len(), bytes);
        tunnel.origin.send_frame(&frame);
        assert_eq!(tunnel.client.frame(), frame);
        eventually("the core has counted it", || {
            (self.sent() >= before + bytes as f64).then_some(())
        });
        flush(&self.edge);
    }

    fn sent(&self) -> f64 {
        self.edge.metrics().sum("hawser_client_sent_bytes_total", &[("domain", "a.test")])
    }

    pub fn open(&self) -> Tunnel {
        let tunnel = Tunnel::open(&self.edge, &self.origin, "a.test");
        let labels = [("domain", "a.test"), ("code", "101")];
        self.edge.await_metric("hawser_handshakes_total", &labels, 1.0);
        flush(&self.edge);
        tunnel
    }

    /// Traffic and bandwidth of the slots between two moments that have any.
    pub fn ask(&self, start: &str, end: &str, interval: &str) -> [Vec<(String, f64)>; 2] {
        let dcdn = self.dcdn();
        let params = [
            ("DomainName", "a.test"),
            ("StartTime", start),
            ("EndTime", end),
            ("Interval", interval),
        ];
        let traffic = dcdn.ask(TRAFFIC, &params);
        assert_eq!(traffic["DataInterval"], interval);
        let codes = dcdn.ask(CODES, &params);
        let codes = codes["HttpCodeDataPerInterval"]["DataModule"].to_string();
        assert_eq!(codes.matches("\"Code\":101").count(), 1, "one handshake in one slot: {codes}");
        [
            filled(&traffic, "TrafficDataPerInterval", "WebsocketTraffic"),
            filled(&dcdn.ask(BPS, &params), "BpsDataPerInterval", "WebsocketBps"),
        ]
    }
}

fn rows(list: &[(&str, f64)]) -> Vec<(String, f64)> {
    list.iter().map(|&(at, n)| (at.to_owned(), n)).collect()
}

/// Item 26: it adds to every slot that it sent in. Item 30: an hour's traffic is the sum of its
/// slots, its bandwidth that of the largest; and so is a day's, which begins at 16:00 UTC.
#[test]
fn a_connection_adds_to_every_slot_it_lives_in() {
    let Some(watched) = Watched::at("2026-06-10T12:01:00Z") else { return };
    let mut tunnel = watched.open();
    let range = ("2026-06-10T12:00:00Z", "2026-06-10T17:00:00Z");
    let [head, _] = watched.ask(range.0, range.1, "300");
    let head = head[0].1;
    for (moment, bytes) in [
        ("2026-06-10T12:04:30Z", 1000),
        ("2026-06-10T12:05:30Z", 6000),
        ("2026-06-10T12:14:00Z", 3000),
        ("2026-06-10T15:59:00Z", 2000),
        ("2026-06-10T16:01:00Z", 4000),
    ] {
        watched.turn_to(moment);
        watched.send(&mut tunnel, bytes);
    }
    let traffic = rows(&[
        ("2026-06-10T12:00:00Z", head + 1000.0),
        ("2026-06-10T12:05:00Z", 6000.0),
        ("2026-06-10T12:10:00Z", 3000.0),
        ("2026-06-10T15:55:00Z", 2000.0),
        ("2026-06-10T16:00:00Z", 4000.0),
    ]);
    let bps = |rows: &[(String, f64)]| -> Vec<(String, f64)> {
        rows.iter().map(|(at, n)| (at.clone(), rounded(n * 8.0 / 300.0))).collect()
    };
    assert_eq!(watched.ask(range.0, range.1, "300"), [traffic.clone(), bps(&traffic)]);
    let hours = rows(&[
        ("2026-06-10T12:00:00Z", head + 10_000.0),
        ("2026-06-10T15:00:00Z", 2000.0),
        ("2026-06-10T16:00:00Z", 4000.0),
    ]);
    let peaks = rows(&[
        ("2026-06-10T12:00:00Z", 6000.0),
        ("2026-06-10T15:00:00Z", 2000.0),
        ("2026-06-10T16:00:00Z", 4000.0),
    ]);
    assert_eq!(watched.ask(range.0, range.1, "3600"), [hours, bps(&peaks)]);
    let days = rows(&[("2026-06-09T16:00:00Z", head + 12_000.0), ("2026-06-10T16:00:00Z", 4000.0)]);
    let peaks = rows(&[("2026-06-09T16:00:00Z", 6000.0), ("2026-06-10T16:00:00Z", 4000.0)]);
    assert_eq!(watched.ask(range.0, range.1, "86400"), [days.clone(), bps(&peaks)]);
    // Months later, what is no longer kept by the hour is there by the day.
    watched.turn_to("2026-12-31T00:00:00Z");
    watched.send(&mut tunnel, 5000);
    assert_eq!(watched.ask(range.0, range.1, "86400"), [days, bps(&peaks)]);
    assert_eq!(watched.edge.conns().len(), 1, "one connection all the time");
}

/// A clock that goes back changes nothing of what was counted, and counts on.
#[test]
fn a_clock_that_goes_back_loses_nothing() {
    let Some(watched) = Watched::at("2026-06-10T12:31:00Z") else { return };
    let mut tunnel = watched.open();
    watched.send(&mut tunnel, 1000);
    let range = ("2026-06-10T12:00:00Z", "2026-06-10T13:00:00Z");
    let sum = |rows: &[(String, f64)]| rows.iter().map(|(_, n)| n).sum::<f64>();
    let before = sum(&watched.ask(range.0, range.1, "300")[0]);
    watched.turn_to("2026-06-10T12:11:00Z");
    watched.send(&mut tunnel, 2000);
    watched.turn_to("2026-06-10T12:32:00Z");
    watched.send(&mut tunnel, 3000);
    let after = sum(&watched.ask(range.0, range.1, "300")[0]);
    assert_eq!(after, before + 5000.0);
}
