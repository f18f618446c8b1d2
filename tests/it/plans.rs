//! Activation: nothing upgrades before a plan is in effect; the first one is at once, a later one
//! at the end of its cycle, whether the process is up at that moment or not.
//!
//! Not here: what is owed under a plan (`accounting`, unit tests of `control::billing`).

use serde_json::{Value, json};

use crate::harness::{Api, Clock, Dcdn, DomainFile, Edge, EdgeBuilder, Origin, upgrade_request};

const ON: &[&str] = &["enabled = true"];
const OPEN: [(&str, &str); 2] =
    [("BillType", "PayByTraffic"), ("WebsocketBillType", "websockettraffic")];

fn handshake(edge: &Edge, name: &str) -> u16 {
    let mut client = edge.connect();
    client.send(upgrade_request(name, ""));
    client.head().status()
}

/// a.test says that WebSocket is on, b.test that it is off.
fn edge_with(origin: &Origin, change: impl Fn(EdgeBuilder) -> EdgeBuilder) -> Edge {
    let builder = Edge::builder()
        .billing(ON)
        .domain(DomainFile::to("a.test", origin))
        .domain(DomainFile::to("b.test", origin).websocket("enabled = false"));
    change(builder).start()
}

fn websocket_on() -> String {
    json!([{ "functionName": "websocket",
             "functionArgs": [{ "argName": "enabled", "argValue": "on" }] }])
    .to_string()
}

/// Item 36.
#[test]
fn without_a_plan_nothing_upgrades_and_every_way_says_why() {
    let origin = Origin::echoing();
    let edge = edge_with(&origin, |edge| edge);
    let (dcdn, api) = (Dcdn::of(&edge), Api::of(&edge));
    assert_ne!(handshake(&edge, "a.test"), 101, "the file says on, and nobody chose a plan");
    let warned = edge.stderr();
    let line = warned.lines().find(|line| line.contains("plan"));
    let line = line.unwrap_or_else(|| panic!("a warning about plans in {warned}"));
    assert!(line.contains("WARN") && line.contains("hawser plan"), "{line}");
    assert_eq!(dcdn.call("DescribeDcdnService", &[]).send().status, 403);
    let on = websocket_on();
    let refused = |name: &str| {
        let set = [("DomainNames", name), ("Functions", on.as_str())];
        let answer = dcdn.call("BatchSetDcdnDomainConfigs", &set).send();
        let body = answer.json();
        assert!((400..404).contains(&answer.status), "{name}: {body}");
        let message = body["Message"].as_str().unwrap_or_default();
        assert!(message.contains("plan") && message.contains("OpenDcdnService"), "{body}");
    };
    refused("b.test");
    for (method, path, body) in [
        ("PUT", "/api/v1/domains/b.test/websocket", json!({ "enabled": true })),
        ("PATCH", "/api/v1/domains/b.test", json!({ "websocket": { "enabled": true } })),
    ] {
        let answer = api.request(method, path).field("If-Match", "*").json(body).send();
        assert!((400..500).contains(&answer.status), "{method}: {}", answer.text());
        assert!(answer.text().contains("plan"), "{method}: {}", answer.text());
    }
    let output = edge.hawser(&["domain", "set", "b.test", "websocket.enabled=true"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("plan"), "{said}");
    // Everything else goes on: such a domain serves HTTP.
    assert_eq!(handshake(&edge, "b.test"), 426);
    assert_eq!(edge.admin_get("/readyz").0, 200);
}

/// Before anybody chooses.
#[test]
fn the_api_says_when_a_change_would_take_effect_and_what_the_prices_are() {
    let origin = Origin::echoing();
    let prices = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/prices.toml");
    let prices = format!("prices = \"{prices}\"");
    let edge = edge_with(&origin, |edge| edge.billing(&["enabled = true", &prices]));
    let api = Api::of(&edge);
    let none = api.read("/api/v1/plan");
    assert_eq!((&none["current"], &none["change_effective_from"]), (&Value::Null, &Value::Null));
    assert_eq!((&none["utc_offset"], &none["pending"]), (&json!("+08:00"), &json!("refuse")));
    let wanted = json!({ "charge_type": "PayByTraffic", "websocket_bill_type": "websocketbps" });
    let by_day = api.post("/api/v1/plan", wanted).json();
    let moment = by_day["change_effective_from"].as_str().expect("a time").to_owned();
    assert!(moment.ends_with("T16:00:00Z"), "00:00 at +08:00: {moment}");
    let wanted = json!({ "charge_type": "PayByBandwidth95" });
    let changed = api.post("/api/v1/plan/change", wanted).json();
    assert_eq!(changed["next"]["effective_from"], moment);

    let prices = api.read("/api/v1/plan/prices");
    assert_eq!(
        (&prices["currency"], prices["items"].as_array().map(Vec::len)),
        (&json!("CNY"), Some(7))
    );
    assert_eq!(
        prices["items"][0],
        json!({ "method": "websockettraffic", "unit": "GB", "rule": "progressive", "tiers": [
            { "from": 0, "price": "0.250000" },
            { "from": 10240, "price": "0.200000" },
            { "from": 51200, "price": "0.150000" },
        ] })
    );
    assert_eq!(prices["items"][1]["unit"], "Mbps");
}

/// Item 34: in effect at once, for what is there and for what is set; and only once.
#[test]
fn the_first_plan_is_in_effect_at_once() {
    let origin = Origin::echoing();
    let edge = edge_with(&origin, |edge| edge);
    let dcdn = Dcdn::of(&edge);
    dcdn.ask("OpenDcdnService", &OPEN);
    assert_eq!(handshake(&edge, "a.test"), 101, "live once the call has been answered");
    let on = websocket_on();
    let set = [("DomainNames", "b.test"), ("Functions", on.as_str())];
    dcdn.ask("BatchSetDcdnDomainConfigs", &set);
    assert_eq!(handshake(&edge, "b.test"), 101);
    let message = dcdn.refused("OpenDcdnService", &OPEN, (400, "DcdnService.HasOpened"));
    assert_eq!(message, "Your DCDN service has been activated.");
    let service = dcdn.ask("DescribeDcdnService", &[]);
    assert_eq!(service["InternetChargeType"], "PayByTraffic");
    assert_eq!(service["WebsocketType"], "websockettraffic");
    let said = edge.hawser_done(&["plan", "show", "--json"]);
    assert!(said.contains("websockettraffic"), "{said}");
}

#[test]
fn it_opens_once_however_many_ask_at_once() {
    let origin = Origin::echoing();
    let edge = edge_with(&origin, |edge| edge);
    let dcdn = Dcdn::of(&edge);
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let open = |_| scope.spawn(|| dcdn.call("OpenDcdnService", &OPEN).send().status);
        let asked: Vec<_> = (0..8).map(open).collect();
        asked.into_iter().map(|one| one.join().expect("an answer")).collect()
    });
    assert_eq!(statuses.iter().filter(|&&s| s == 200).count(), 1, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|&&s| s == 400).count(), 7, "{statuses:?}");
}

#[test]
fn a_plan_outlives_a_crash() {
    let origin = Origin::echoing();
    let mut edge = edge_with(&origin, |edge| edge);
    Dcdn::of(&edge).ask("OpenDcdnService", &OPEN);
    edge.crash_and_start_again();
    assert_eq!(handshake(&edge, "a.test"), 101);
    assert!(!edge.stderr().lines().last().unwrap_or_default().contains("hawser plan"));
}

#[test]
fn plans_that_are_none_are_refused() {
    let origin = Origin::echoing();
    let edge = edge_with(&origin, |edge| edge);
    let dcdn = Dcdn::of(&edge);
    for params in [
        &[][..],
        &[("BillType", "PayByTraffic")],
        &[("WebsocketBillType", "websocketbps")],
        &[("BillType", "PayByNothing"), ("WebsocketBillType", "websockettraffic")],
        &[("BillType", "PayByTraffic"), ("WebsocketBillType", "free")],
    ] {
        let answer = dcdn.call("OpenDcdnService", params).send();
        assert_eq!(answer.status, 400, "{params:?}: {}", answer.text());
    }
    assert_ne!(handshake(&edge, "a.test"), 101);
    let change = [("WebsocketBillType", "websocketbps")];
    let answer = dcdn.call("ModifyDcdnService", &change).send();
    assert!((400..404).contains(&answer.status), "nothing is open: {}", answer.text());
}

#[test]
fn without_billing_nothing_is_gated() {
    let origin = Origin::echoing();
    let edge = edge_with(&origin, |edge| edge.billing(&["enabled = false"]));
    assert_eq!(handshake(&edge, "a.test"), 101);
    let on = websocket_on();
    let set = [("DomainNames", "b.test"), ("Functions", on.as_str())];
    Dcdn::of(&edge).ask("BatchSetDcdnDomainConfigs", &set);
    assert_eq!(handshake(&edge, "b.test"), 101);
    assert!(!edge.stderr().contains("hawser plan"), "{}", edge.stderr());
}

/// An edge under a clock, with a plan by the day and a client of its wire API.
struct Watched {
    _origin: Origin,
    edge: Edge,
    clock: Clock,
}

impl Watched {
    /// Opened at that moment; `None` where no clock can be moved.
    fn opened_at(moment: &str) -> Option<Watched> {
        let clock = Clock::at(moment)?;
        let origin = Origin::echoing();
        let edge = edge_with(&origin, |edge| edge.clock(&clock));
        let watched = Watched { _origin: origin, edge, clock };
        watched.dcdn().ask("OpenDcdnService", &OPEN);
        Some(watched)
    }

    fn dcdn(&self) -> Dcdn {
        Dcdn { clock: Some(self.clock.clone()), ..Dcdn::of(&self.edge) }
    }

    /// Current and next method of WebSocket, and when the next one is in effect.
    fn websocket(&self) -> (String, String, String) {
        let service = self.dcdn().ask("DescribeDcdnService", &[]);
        let field = |name: &str| service[name].as_str().unwrap_or_default().to_owned();
        (field("WebsocketType"), field("WebsocketChangingType"), field("WebsocketChangingTime"))
    }

    fn change(&self, params: &[(&str, &str)]) {
        self.dcdn().ask("ModifyDcdnService", params);
    }
}

fn triple(current: &str, next: &str, at: &str) -> (String, String, String) {
    (current.into(), next.into(), at.into())
}

const TRAFFIC: &str = "websockettraffic";
const BPS: &str = "websocketbps";
const TO_BPS: [(&str, &str); 1] = [("WebsocketBillType", BPS)];

/// Item 35: by the day, at the next 00:00 of +08:00, without a restart.
#[test]
fn a_change_by_the_day_is_in_effect_at_midnight() {
    let Some(watched) = Watched::opened_at("2026-11-10T02:00:00Z") else { return };
    assert_eq!(watched.websocket(), triple(TRAFFIC, "", ""));
    watched.change(&TO_BPS);
    let pending = triple(TRAFFIC, BPS, "2026-11-10T16:00:00Z");
    assert_eq!(watched.websocket(), pending);
    let again = watched.dcdn().call("ModifyDcdnService", &TO_BPS).send();
    assert_eq!(again.status, 400, "one change at a time: {}", again.text());
    let plan = Api::of(&watched.edge).read("/api/v1/plan");
    assert!(plan.to_string().contains("2026-11-10T16:00:00Z"), "{plan}");
    watched.clock.set("2026-11-10T15:59:50Z");
    assert_eq!(watched.websocket(), pending);
    watched.clock.set("2026-11-10T16:00:00Z");
    assert_eq!(watched.websocket(), triple(BPS, "", ""));
    assert_eq!(handshake(&watched.edge, "a.test"), 101, "nothing is cut by it");
    // And the next change is pending again.
    watched.change(&[("WebsocketBillType", TRAFFIC)]);
    assert_eq!(watched.websocket(), triple(BPS, TRAFFIC, "2026-11-11T16:00:00Z"));
}

/// Item 35: by the month, at 00:00 of the first.
#[test]
fn a_change_by_the_month_is_in_effect_on_the_first() {
    let Some(watched) = Watched::opened_at("2026-11-10T02:00:00Z") else { return };
    watched.change(&[("BillType", "PayByBandwidth95")]);
    let service = watched.dcdn().ask("DescribeDcdnService", &[]);
    let field = |name: &str| service[name].clone();
    assert_eq!(field("InternetChargeType"), "PayByTraffic");
    assert_eq!(field("ChangingChargeType"), "PayByBandwidth95");
    assert_eq!(field("ChangingAffectTime"), "2026-11-10T16:00:00Z", "from a plan by the day");
    watched.clock.set("2026-11-15T00:00:00Z");
    watched.change(&TO_BPS);
    let pending = triple(TRAFFIC, BPS, "2026-11-30T16:00:00Z");
    assert_eq!(watched.websocket(), pending);
    watched.clock.set("2026-11-30T15:59:59Z");
    assert_eq!(watched.websocket(), pending);
    watched.clock.set("2026-11-30T16:00:01Z");
    assert_eq!(watched.websocket(), triple(BPS, "", ""));
}

/// Down at the moment, and the plan changed all the same, then.
#[test]
fn a_change_happens_while_nobody_runs() {
    let Some(mut watched) = Watched::opened_at("2026-11-10T02:00:00Z") else { return };
    watched.change(&TO_BPS);
    watched.edge.kill();
    watched.clock.set("2026-11-13T05:00:00Z");
    watched.edge.start_again();
    assert_eq!(watched.websocket(), triple(BPS, "", ""));
    assert_eq!(handshake(&watched.edge, "a.test"), 101);
    let times = [("StartTime", "2026-11-09T16:00:00Z"), ("EndTime", "2026-11-12T16:00:00Z")];
    let types = watched.dcdn().ask("DescribeDcdnUserBillType", &times);
    let rows = types["BillTypeData"]["BillTypeDataItem"].as_array().expect("rows").clone();
    let websocket: Vec<&Value> = rows.iter().filter(|r| r["Dimension"] == "websocket").collect();
    let starts = |kind: &str| {
        let row = websocket.iter().find(|row| row["BillType"] == kind);
        row.map(|row| row["StartTime"].clone()).unwrap_or_else(|| panic!("{kind} in {types}"))
    };
    assert_eq!(starts("day_bandwidth"), "2026-11-10T16:00:00Z", "from its moment on: {types}");
}

/// Days begin elsewhere where the operator says so.
#[test]
fn midnight_is_that_of_the_operators_zone() {
    let Some(clock) = Clock::at("2026-11-10T02:00:00Z") else { return };
    let origin = Origin::echoing();
    let lines = &["enabled = true", "utc_offset = \"-05:00\""];
    let edge = edge_with(&origin, |edge| edge.clock(&clock).billing(lines));
    let watched = Watched { _origin: origin, edge, clock };
    watched.dcdn().ask("OpenDcdnService", &OPEN);
    watched.change(&TO_BPS);
    assert_eq!(watched.websocket(), triple(TRAFFIC, BPS, "2026-11-10T05:00:00Z"));
}

/// Who did what to the plan stands in the audit log.
#[test]
fn plans_are_in_the_audit_log() {
    let origin = Origin::echoing();
    let edge = edge_with(&origin, |edge| edge);
    let dcdn = Dcdn::of(&edge);
    dcdn.ask("OpenDcdnService", &OPEN);
    let audit = Api::of(&edge).read("/api/v1/audit");
    let items = audit["items"].as_array().expect("entries");
    let entry = items.iter().find(|entry| entry["action"].to_string().contains("plan"));
    let entry = entry.unwrap_or_else(|| panic!("the plan in {audit}"));
    assert_eq!(entry["author"]["name"], dcdn.id.as_str(), "{entry}");
}
