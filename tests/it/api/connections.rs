//! Connections over the REST API: what is listed and shown of them, and how they are closed.

use serde_json::{Value, json};

use super::{done, refused};
use crate::harness::{Api, DomainFile, Edge, Frame, Origin, Tunnel, eventually};

const ALL: &str = "/api/v1/connections";

#[test]
fn connections_are_listed_by_what_they_are() {
    let origin = Origin::bind();
    let edge = Edge::builder()
        .domain(DomainFile::to("a.test", &origin))
        .domain(DomainFile::to("b.test", &origin))
        .start();
    let api = Api::of(&edge);
    let of = |query: &str| -> Vec<Value> {
        api.read(&format!("{ALL}?{query}"))["items"].as_array().unwrap().clone()
    };
    let mut first = Tunnel::open(&edge, &origin, "a.test");
    first.check();
    // Ages are told in tenths of a second.
    eventually("it is older than the next", || (of("min_age_ms=200").len() == 1).then_some(()));
    let mut second = Tunnel::open(&edge, &origin, "b.test");
    second.check();
    let both = api.read(&format!("{ALL}?limit=1"));
    assert_eq!((&both["matched"], &both["truncated"]), (&json!(2), &json!(true)));
    let oldest = of("sort=age&limit=1");
    assert_eq!((oldest.len(), &oldest[0]["domain"]), (1, &json!("a.test")));
    assert_eq!(of("domain=b.test&ip=127.0.0.1").len(), 1);
    assert_eq!(of("ip=127.0.0.0/8").len(), 2);
    assert_eq!(of("region=nowhere").len() + of("min_age_ms=3600000").len(), 0);
    for (query, parameter) in
        [("ip=10.0.0.1/8", "ip"), ("origin=x", "origin"), ("min_age_ms=99999999999", "min_age_ms")]
    {
        let problem = refused(&api.get(&format!("{ALL}?{query}")), 400);
        assert_eq!(problem["errors"][0]["parameter"], parameter);
        assert!(problem["errors"][0]["accepted"].is_string(), "{problem}");
    }

    let one = format!("{ALL}/{}", oldest[0]["id"].as_str().unwrap());
    assert_eq!(api.read(&one)["client"], first.client.local().to_string());
    first.client.send_frame(&Frame::text("hello").masked());
    assert_eq!(first.origin.frame().payload, b"hello");
    let shown = api.read(&one);
    let frame = json!({ "opcode": "text", "bytes": 5, "missing_bytes": 0 });
    assert_eq!(shown["client_leg"]["last_frame"], frame);
    assert_eq!(shown["client_leg"]["close"], "none");
    assert_eq!(shown["origin_leg"]["stream"], "open");
}

#[test]
fn one_is_closed_and_its_end_is_told() {
    let origin = Origin::bind();
    let edge = Edge::builder().domain(DomainFile::to("a.test", &origin)).start();
    let api = Api::of(&edge);
    let mut tunnel = Tunnel::open(&edge, &origin, "a.test");
    tunnel.check();
    let one = format!("{ALL}/{}", api.read(ALL)["items"][0]["id"].as_str().unwrap());
    refused(&api.get(&format!("{one}/end")), 404);
    let long = "x".repeat(124);
    for (query, status, parameter) in [
        ("code=1006", 422, "code"),
        ("code=99", 422, "code"),
        (&*format!("reason={long}"), 422, "reason"),
        ("code=x", 400, ""),
    ] {
        let problem = refused(&api.request("DELETE", &format!("{one}?{query}")).send(), status);
        assert_eq!(problem["errors"][0]["parameter"].as_str().unwrap_or_default(), parameter);
    }
    tunnel.check();
    let closing = api.request("DELETE", &format!("{one}?code=4001&reason=enough")).send();
    assert_eq!(done(closing, 202)["closing"], 1);
    tunnel.closed_by_edge(4001, 4001);
    eventually("it is gone", || (api.get(&one).status == 404).then_some(()));
    refused(&api.request("DELETE", &one).send(), 404);
    let end = eventually("its end is known", || {
        let answer = api.get(&format!("{one}/end"));
        (answer.status == 200).then(|| answer.json())
    });
    assert_eq!((&end["side"], &end["cause"]), (&json!("edge"), &json!("killed")));
    assert_eq!(end["close_code"], 4001);
    assert_eq!(end["detail"], "The edge closed it for an operator, with code 4001.");
}

#[test]
fn those_that_match_are_closed() {
    let origin = Origin::bind();
    let edge = Edge::builder().domain(DomainFile::to("b.test", &origin)).start();
    let api = Api::of(&edge);
    let mut tunnel = Tunnel::open(&edge, &origin, "b.test");
    let close = format!("{ALL}/close");
    refused(&api.post(&close, json!({})), 422);
    assert_eq!(done(api.post(&close, json!({ "domain": "x.test" })), 202)["closing"], 0);
    tunnel.check();
    let wanted = json!({ "domain": "b.test", "rate_per_second": 10 });
    assert_eq!(done(api.post(&close, wanted), 202)["closing"], 1);
    tunnel.closed_by_edge(1012, 1012);
    let audit = api.get("/api/v1/audit").text();
    assert!(audit.contains("close connections") && audit.contains("b.test: 1"), "{audit}");
}

#[test]
fn a_closing_at_a_pace_is_followed_and_stopped() {
    let origin = Origin::bind();
    let edge = Edge::builder().domain(DomainFile::to("a.test", &origin)).workers(1).start();
    let api = Api::of(&edge);
    let mut tunnels: Vec<Tunnel> = (0..3).map(|_| Tunnel::open(&edge, &origin, "a.test")).collect();
    let close = format!("{ALL}/close");
    for (wanted, pointer) in [
        (json!({ "ip": "10.0.0.1/8" }), "/ip"),
        (json!({ "region": "x", "code": 1005 }), "/code"),
        (json!({ "region": "x", "reason": "é".repeat(62) }), "/reason"),
        (json!({ "region": "x", "rate_per_second": 1_000_001 }), "/rate_per_second"),
        (json!({ "min_idle_ms": 99_999_999_999_u64 }), "/min_idle_ms"),
        (json!({ "code": 1012 }), ""),
        (json!({ "min_idle_ms": 0, "min_age_ms": 0 }), ""),
    ] {
        let problem = refused(&api.post(&close, wanted), 422);
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{problem}");
    }
    let none = json!({ "domain": "a.test", "min_age_ms": 3_600_000 });
    let none = done(api.post(&close, none), 202);
    assert_eq!(none["closing"], 0);
    let over = api.read(&format!("{ALL}/closings/{}", none["id"]));
    assert_eq!((&over["state"], &over["told"]), (&json!("done"), &json!(0)));

    let wanted = json!({ "ip": "127.0.0.0/8", "region": "unknown", "min_age_ms": 0,
                         "rate_per_second": 1, "code": 4002, "reason": "slowly" });
    let begun = done(api.post(&close, wanted), 202);
    assert_eq!(begun["closing"], 3);
    let one = format!("{ALL}/closings/{}", begun["id"]);
    let stopped = done(api.request("DELETE", &one).send(), 200);
    let told = stopped["told"].as_u64().unwrap() as usize;
    assert!((1..3).contains(&told), "{stopped}");
    assert_eq!((&stopped["state"], &stopped["matched"]), (&json!("stopped"), &json!(3)));
    assert_eq!(api.read(&one), stopped);
    assert_eq!(api.read(&format!("{ALL}/closings"))["items"][0], stopped);
    let mut kept = tunnels.split_off(told);
    for tunnel in tunnels {
        tunnel.closed_by_edge(4002, 4002);
    }
    for tunnel in &mut kept {
        tunnel.check();
    }
    refused(&api.get(&format!("{ALL}/closings/99")), 404);
    refused(&api.request("DELETE", &format!("{ALL}/closings/99")).send(), 404);
}
