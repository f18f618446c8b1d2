//! Functions of domains: what is accepted, what is refused by which code, and that a batch applies
//! whole or not at all.

use serde_json::{Value, json};

use super::{Site, function, websocket_on};
use crate::harness::dcdn::SCHEMES;

const SET: &str = "BatchSetDcdnDomainConfigs";

/// Item 8: 1 to 300, in whole seconds.
#[test]
fn a_heartbeat_is_one_to_three_hundred() {
    let site = Site::with(&["a.test"]);
    let set = |heartbeat: &str| {
        let functions = websocket_on(&[("heartbeat", heartbeat)]);
        site.dcdn.call(SET, &[("DomainNames", "a.test"), ("Functions", &functions)]).send()
    };
    for good in ["1", "300", "60"] {
        let answer = set(good);
        assert_eq!(answer.status, 200, "{good}: {}", answer.text());
        assert_eq!(site.arguments("a.test", "websocket")["heartbeat"], good);
    }
    for bad in ["0", "301", "abc", "-1", "1.5", " 60", "99999999999999999999"] {
        let answer = set(bad);
        let code = answer.json()["Code"].as_str().unwrap_or_default().to_owned();
        let fits = code.starts_with("Invalid") && code.ends_with(".Malformed");
        assert!(answer.status == 400 && fits, "{bad:?}: {}", answer.text());
    }
    assert_eq!(site.arguments("a.test", "websocket")["heartbeat"], "60", "nothing was changed");
}

#[test]
fn what_is_left_out_has_the_products_default() {
    let site = Site::with(&["a.test"]);
    let functions = function("websocket", &[("enabled", "on")]);
    site.dcdn.ask(SET, &[("DomainNames", "a.test"), ("Functions", &functions)]);
    let arguments = site.arguments("a.test", "websocket");
    assert_eq!((&arguments["enabled"], &arguments["heartbeat"]), (&json!("on"), &json!("60")));
    assert_eq!(site.handshake("a.test"), 101, "ws goes to the plain origin");
}

#[test]
fn functions_that_are_none_are_refused_and_change_nothing() {
    let site = Site::with(&["a.test"]);
    let arguments = |pairs| function("websocket", pairs);
    let cases = [
        ("no JSON", "websocket=on".to_owned()),
        ("no list", json!({ "functionName": "websocket" }).to_string()),
        ("an empty list", "[]".into()),
        ("no name", json!([{ "functionArgs": [] }]).to_string()),
        ("no such function", function("teleport", &[("enabled", "on")])),
        ("no such argument", arguments(&[("enabled", "on"), ("heartbeet", "60")])),
        ("no switch", arguments(&[("heartbeat", "60")])),
        ("half a switch", arguments(&[("enabled", "maybe")])),
        ("a scheme of nobody", arguments(&[("enabled", "on"), ("origin_scheme", "ftp")])),
        ("a number", json!([{ "functionName": "websocket", "functionArgs": 7 }]).to_string()),
        ("deep", "[".repeat(100_000)),
    ];
    for (what, functions) in cases {
        let call = site.dcdn.call(SET, &[("DomainNames", "a.test"), ("Functions", &functions)]);
        let way = crate::harness::dcdn::Way::PostForm;
        let answer = call.way(way).send();
        let code = answer.json()["Code"].as_str().unwrap_or_default().to_owned();
        let fits = code.starts_with("Invalid") || code.starts_with("Missing");
        assert!(answer.status == 400 && fits, "{what}: {}", answer.text());
    }
    assert!(site.is_off("a.test"));
}

/// Item 22.
#[test]
fn fifty_domains_at_once_and_no_more() {
    let names: Vec<String> = (0..51).map(|i| format!("d{i:02}.test")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let site = Site::with(&names);
    let functions = websocket_on(&[]);
    let too_many =
        site.dcdn.call(SET, &[("DomainNames", &names.join(",")), ("Functions", &functions)]);
    let answer = too_many.send();
    assert_eq!(answer.status, 400, "{}", answer.text());
    for name in [names[0], names[50]] {
        assert!(site.is_off(name));
    }
    let fifty = [("DomainNames", &*names[..50].join(",")), ("Functions", &*functions)];
    let answer = site.dcdn.ask(SET, &fifty);
    let models = answer["DomainConfigList"]["DomainConfigModel"].as_array().expect("models");
    assert_eq!(models.len(), 50);
    assert_eq!(site.arguments(names[49], "websocket")["enabled"], "on");
    assert_eq!(site.handshake(names[49]), 101);
    assert!(site.is_off(names[50]));
    for action in ["BatchStopDcdnDomain", "BatchStartDcdnDomain"] {
        let all = names.join(",");
        let answer = site.dcdn.call(action, &[("DomainNames", &all)]).send();
        assert_eq!(answer.status, 400, "{action}: {}", answer.text());
    }
}

/// Item 22: one wrong part, and nothing of the whole is done.
#[test]
fn a_batch_that_fails_in_part_changes_nothing() {
    let site = Site::with(&["a.test", "b.test"]);
    let files = || {
        ["a.test", "b.test"].map(|name| {
            let path = site.edge.dir().join("domains").join(format!("{name}.toml"));
            std::fs::read_to_string(path).expect("a domain file")
        })
    };
    let (before, generation) = (files(), site.edge.generation());
    let on = websocket_on(&[]);
    let half = json!([
        { "functionName": "websocket",
          "functionArgs": [{ "argName": "enabled", "argValue": "on" }] },
        { "functionName": "websocket",
          "functionArgs": [{ "argName": "enabled", "argValue": "on" },
                           { "argName": "heartbeat", "argValue": "1000" }] },
    ])
    .to_string();
    for scheme in SCHEMES {
        let stranger = [("DomainNames", "a.test,gone.test,b.test"), ("Functions", on.as_str())];
        let call = site.dcdn.call(SET, &stranger).scheme(scheme);
        call.refused((404, "InvalidDomain.NotFound"));
        let answer = site.dcdn.call(SET, &[("DomainNames", "a.test,b.test"), ("Functions", &half)]);
        assert_eq!(answer.scheme(scheme).send().status, 400);
        for action in ["BatchStopDcdnDomain", "BatchStartDcdnDomain"] {
            let call = site.dcdn.call(action, &[("DomainNames", "a.test,gone.test")]);
            call.scheme(scheme).refused((404, "InvalidDomain.NotFound"));
        }
    }
    assert_eq!(files(), before);
    assert_eq!(site.edge.generation(), generation, "no snapshot was made");
}

/// Terraform names the record that it changes, and sends its number as a string.
#[test]
fn a_record_is_changed_by_its_id_in_either_spelling() {
    let site = Site::with(&["a.test"]);
    let set = |functions: Value| {
        let functions = functions.to_string();
        site.dcdn.ask(SET, &[("DomainNames", "a.test"), ("Functions", &functions)])
    };
    let arguments = |heartbeat: &str| {
        json!([{ "argName": "enabled", "argValue": "on" },
               { "argName": "heartbeat", "argValue": heartbeat }])
    };
    let first = set(json!([{ "functionName": "websocket", "functionArgs": arguments("10") }]));
    let model = &first["DomainConfigList"]["DomainConfigModel"][0];
    let id = model["ConfigId"].as_i64().expect("a number");
    let names = (&model["DomainName"], &model["FunctionName"]);
    assert_eq!(names, (&json!("a.test"), &json!("websocket")));
    for (id_as_sent, heartbeat) in [(json!(id.to_string()), "20"), (json!(id), "30")] {
        let again = set(json!([{ "functionName": "websocket", "configId": id_as_sent,
            "functionArgs": arguments(heartbeat) }]));
        assert_eq!(again["DomainConfigList"]["DomainConfigModel"][0]["ConfigId"], id);
        assert_eq!(site.arguments("a.test", "websocket")["heartbeat"], heartbeat);
    }
    let by_id = [("DomainName", "a.test"), ("ConfigId", &id.to_string())];
    let read = site.dcdn.ask("DescribeDcdnDomainConfigs", &by_id);
    let config = &read["DomainConfigs"]["DomainConfig"][0];
    assert_eq!(config["ConfigId"], id.to_string(), "a string where it is read");
    assert_eq!(config["Status"], "success");
    site.dcdn.ask("DeleteDcdnSpecificConfig", &by_id);
    let read = site.dcdn.ask("DescribeDcdnDomainConfigs", &by_id);
    assert_eq!(read["DomainConfigs"]["DomainConfig"], json!([]), "the poll of Terraform ends");
    assert_ne!(site.handshake("a.test"), 101, "without the function, WebSocket is off");
}

#[test]
fn a_function_that_is_deleted_is_off() {
    let site = Site::with(&["a.test", "b.test"]);
    let both = "a.test,b.test";
    site.dcdn.ask(SET, &[("DomainNames", both), ("Functions", &websocket_on(&[]))]);
    assert_eq!(site.handshake("b.test"), 101);
    let which = [("DomainNames", both), ("FunctionNames", "websocket")];
    site.dcdn.ask("BatchDeleteDcdnDomainConfigs", &which);
    for name in ["a.test", "b.test"] {
        assert_ne!(site.handshake(name), 101, "{name}");
        assert!(site.is_off(name), "{name}");
    }
}

/// What was set is there to be read: a client polls until it is.
#[test]
fn a_function_that_is_switched_off_is_still_one() {
    let site = Site::with(&["a.test"]);
    for state in ["off", "on", "off"] {
        let functions = function("websocket", &[("enabled", state), ("heartbeat", "25")]);
        site.dcdn.ask(SET, &[("DomainNames", "a.test"), ("Functions", &functions)]);
        let arguments = site.arguments("a.test", "websocket");
        assert_eq!((&arguments["enabled"], &arguments["heartbeat"]), (&json!(state), &json!("25")));
    }
}

#[test]
fn an_open_tunnel_outlives_the_switch() {
    use crate::harness::{Op, Wire, upgrade_request};
    let site = Site::with(&["a.test"]);
    site.dcdn.ask(SET, &[("DomainNames", "a.test"), ("Functions", &websocket_on(&[]))]);
    let mut client: Wire = site.edge.connect();
    client.send(upgrade_request("a.test", ""));
    assert_eq!(client.head().status(), 101);
    let off = function("websocket", &[("enabled", "off")]);
    site.dcdn.ask(SET, &[("DomainNames", "a.test"), ("Functions", &off)]);
    assert_ne!(site.handshake("a.test"), 101, "new handshakes go as plain HTTP");
    client.send_frame(&crate::harness::Frame::text("still").masked());
    let echo = client.frame();
    assert_eq!((echo.op, echo.payload), (Op::TEXT, b"still".to_vec()));
}
