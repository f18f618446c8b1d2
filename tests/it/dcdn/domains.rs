//! Domains: added, listed, found, changed, stopped, started, deleted; their certificates and tags.

use serde_json::{Value, json};

use super::{Site, websocket_on};
use crate::harness::{Authority, Frame, TlsClient, Wish, upgrade_request};

#[test]
fn a_domain_is_what_it_was_added_as() {
    let site = Site::with(&[]);
    let sources = json!([
        { "type": "ipaddr", "content": "127.0.0.1", "port": 8080, "priority": "20",
          "weight": "10" },
        { "type": "domain", "content": "origin.invalid", "port": 443, "priority": "30",
          "weight": "20" },
    ])
    .to_string();
    let add = [
        ("DomainName", "a.test"),
        ("Sources", sources.as_str()),
        ("Scope", "global"),
        ("Tag.1.Key", "env"),
        ("Tag.1.Value", "x"),
    ];
    site.dcdn.ask("AddDcdnDomain", &add);
    let detail = site.settled("a.test");
    assert_eq!(detail["DomainStatus"], "online");
    assert_eq!(detail["Scope"], "global");
    assert_eq!(detail["SSLProtocol"], "off");
    let source = detail["Sources"]["Source"].as_array().expect("sources");
    let brief = |s: &Value| {
        json!([s["Type"], s["Content"], s["Port"], s["Priority"], s["Weight"], s["Enabled"]])
    };
    let brief: Vec<Value> = source.iter().map(brief).collect();
    assert_eq!(
        brief,
        [
            json!(["ipaddr", "127.0.0.1", 8080, "20", "10", "online"]),
            json!(["domain", "origin.invalid", 443, "30", "20", "online"])
        ]
    );
    let tags = [("ResourceType", "DOMAIN"), ("ResourceId.1", "a.test")];
    let tags = site.dcdn.ask("DescribeDcdnTagResources", &tags);
    let wanted = json!([{ "ResourceId": "a.test", "Tag": [{ "Key": "env", "Value": "x" }] }]);
    assert_eq!(tags["TagResources"], wanted);
}

/// Terraform sends lower-case keys when it adds, capitalised ones when it updates, and numbers
/// where others send strings.
#[test]
fn sources_are_read_as_each_client_writes_them() {
    let site = Site::with(&[]);
    let port = site.origin.addr.port();
    for (i, sources) in [
        json!([{ "type": "ipaddr", "content": "127.0.0.1", "port": port }]),
        json!([{ "Type": "ipaddr", "Content": "127.0.0.1", "Port": port.to_string() }]),
        json!([{ "type": "ipaddr", "content": "127.0.0.1", "port": port, "priority": 20,
                 "weight": 15 }]),
        json!([{ "TYPE": "ipaddr", "content": "127.0.0.1", "port": port, "priority": "20",
                 "weight": "15", "enabled": "online" }]),
    ]
    .into_iter()
    .enumerate()
    {
        let (name, sources) = (format!("d{i}.test"), sources.to_string());
        site.dcdn.ask("AddDcdnDomain", &[("DomainName", &name), ("Sources", &sources)]);
        let on = websocket_on(&[]);
        let set = [("DomainNames", name.as_str()), ("Functions", on.as_str())];
        site.dcdn.ask("BatchSetDcdnDomainConfigs", &set);
        assert_eq!(site.handshake(&name), 101, "{sources}");
        site.dcdn.ask("UpdateDcdnDomain", &[("DomainName", &name), ("Sources", &sources)]);
        assert_eq!(site.handshake(&name), 101, "after an update with {sources}");
    }
}

#[test]
fn what_cannot_be_added_is_told_by_its_code() {
    let site = Site::with(&["a.test"]);
    let source = |change: Value| {
        let mut source = json!({ "type": "ipaddr", "content": "127.0.0.1" });
        for (key, value) in change.as_object().expect("an object") {
            source[key] = value.clone();
        }
        json!([source]).to_string()
    };
    let good = site.sources();
    let no_content = json!([{ "type": "ipaddr" }]).to_string();
    let no_type = json!([{ "content": "127.0.0.1" }]).to_string();
    let eleven: Vec<_> =
        (1..12).map(|i| json!({ "type": "ipaddr", "content": format!("10.0.0.{i}") })).collect();
    for (name, sources, code) in [
        ("..test", good.as_str(), "InvalidDomainName.Malformed"),
        ("a b.test", &good, "InvalidDomainName.Malformed"),
        ("../../etc/passwd", &good, "InvalidDomainName.Malformed"),
        ("b.test", &no_content, "MissingSource.Content"),
        ("b.test", &no_type, "MissingSource.Type"),
        ("b.test", &source(json!({ "type": "ftp" })), "InvalidSource.Type.Malformed"),
        ("b.test", &source(json!({ "content": "999.1.1.1" })), "InvalidSource.Content.Malformed"),
        ("b.test", &source(json!({ "priority": "25" })), "InvalidSource.Priority.Malformed"),
        ("b.test", &Value::from(eleven).to_string(), "SourceIp.Exceed"),
    ] {
        let params = [("DomainName", name), ("Sources", sources)];
        site.dcdn.refused("AddDcdnDomain", &params, (400, code));
    }
    let scope = [("DomainName", "b.test"), ("Sources", good.as_str()), ("Scope", "moon")];
    site.dcdn.refused("AddDcdnDomain", &scope, (400, "InvalidScope.Malformed"));
    // Whoever is there already is not overwritten.
    let before = site.settled("a.test");
    let again = [("DomainName", "a.test"), ("Sources", &*source(json!({ "port": 1 })))];
    let answer = site.dcdn.call("AddDcdnDomain", &again).send();
    assert!((400..500).contains(&answer.status), "{}", answer.text());
    assert_eq!(site.settled("a.test"), before);
    let list = site.dcdn.ask("DescribeDcdnUserDomains", &[]);
    assert_eq!(list["TotalCount"], 1, "none of them is there: {list}");
}

#[test]
fn a_list_is_paged_and_searched() {
    let names: Vec<String> = (0..25).map(|i| format!("n{i:02}.a.test")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let site = Site::with(&names);
    let list = |params: &[(&str, &str)]| {
        let answer = site.dcdn.ask("DescribeDcdnUserDomains", params);
        let rows = answer["Domains"]["PageData"].as_array().expect("rows").clone();
        let names: Vec<String> =
            rows.iter().map(|r| r["DomainName"].as_str().expect("a name").to_owned()).collect();
        (answer["TotalCount"].as_u64().expect("a number"), names)
    };
    let (total, first) = list(&[]);
    assert_eq!((total, first.len()), (25, 20), "20 a page unless said otherwise");
    let (_, second) = list(&[("PageNumber", "2")]);
    let mut all = [first, second].concat();
    all.sort();
    assert_eq!(all, names);
    assert_eq!(list(&[("PageNumber", "9")]), (25, vec![]));
    assert_eq!(list(&[("PageSize", "500")]).1.len(), 25);
    for (kind, text, found) in [
        ("full_match", "n07.a.test", 1),
        ("full_match", "n07", 0),
        ("fuzzy_match", "07.a", 1),
        ("fuzzy_match", "N1", 10),
        ("pre_match", "n1", 10),
        ("pre_match", "1", 0),
        ("suf_match", "a.test", 25),
        ("suf_match", "n", 0),
    ] {
        let params = [("DomainName", text), ("DomainSearchType", kind), ("PageSize", "500")];
        assert_eq!(list(&params).0, found, "{kind} {text}");
    }
    assert_eq!(list(&[("DomainName", "n07.a.test")]).0, 1, "full_match is the default");
    for (name, value, code) in [
        ("PageNumber", "0", "InvalidPageNumber.ValueNotSupported"),
        ("PageNumber", "100001", "InvalidPageNumber.ValueNotSupported"),
        ("PageSize", "0", "InvalidPageSize.ValueNotSupported"),
        ("PageSize", "501", "InvalidPageSize.ValueNotSupported"),
        ("DomainStatus", "asleep", "InvalidDomainStatus.ValueNotSupported"),
        ("DomainSearchType", "regex", "InvalidDomainSearchType.ValueNotSupported"),
    ] {
        site.dcdn.refused("DescribeDcdnUserDomains", &[(name, value)], (400, code));
    }
}

#[test]
fn a_stopped_domain_serves_nobody_and_comes_back_as_it_was() {
    let site = Site::with(&["a.test", "b.test"]);
    let both = "a.test,b.test";
    let on = websocket_on(&[("heartbeat", "77")]);
    site.dcdn.ask("BatchSetDcdnDomainConfigs", &[("DomainNames", both), ("Functions", &on)]);
    let mut tunnel = site.edge.connect();
    tunnel.send(upgrade_request("a.test", ""));
    assert_eq!(tunnel.head().status(), 101);
    site.dcdn.ask("StopDcdnDomain", &[("DomainName", "a.test")]);
    assert_eq!(site.handshake("a.test"), 421);
    assert_eq!(site.handshake("b.test"), 101, "the other one is not disturbed");
    assert_eq!(site.settled("a.test")["DomainStatus"], "offline");
    let offline = site.dcdn.ask("DescribeDcdnUserDomains", &[("DomainStatus", "offline")]);
    assert_eq!(offline["TotalCount"], 1);
    let close = tunnel.frame();
    assert!(close.close_code().is_some(), "its tunnels are closed: {close:?}");
    site.dcdn.ask("StartDcdnDomain", &[("DomainName", "a.test")]);
    assert_eq!(site.handshake("a.test"), 101);
    assert_eq!(site.settled("a.test")["DomainStatus"], "online");
    assert_eq!(site.arguments("a.test", "websocket")["heartbeat"], "77");
    site.dcdn.ask("BatchStopDcdnDomain", &[("DomainNames", both)]);
    assert_eq!((site.handshake("a.test"), site.handshake("b.test")), (421, 421));
    site.dcdn.ask("BatchStartDcdnDomain", &[("DomainNames", both)]);
    assert_eq!((site.handshake("a.test"), site.handshake("b.test")), (101, 101));
}

/// Item 13: live for new handshakes, and still there after any restart.
#[test]
fn what_was_answered_is_live_and_outlives_a_crash() {
    let mut site = Site::with(&[]);
    site.add("a.test");
    let on = websocket_on(&[("heartbeat", "42")]);
    let set = [("DomainNames", "a.test"), ("Functions", on.as_str())];
    site.dcdn.ask("BatchSetDcdnDomainConfigs", &set);
    assert_eq!(site.handshake("a.test"), 101);
    site.edge.crash_and_start_again();
    site.dcdn = crate::harness::Dcdn::of(&site.edge);
    assert_eq!(site.handshake("a.test"), 101);
    assert_eq!(site.arguments("a.test", "websocket")["heartbeat"], "42");
    site.dcdn.ask("DeleteDcdnDomain", &[("DomainName", "a.test")]);
    site.edge.crash_and_start_again();
    assert_eq!(site.handshake("a.test"), 421);
}

#[test]
fn a_wildcard_is_written_with_its_dot() {
    let site = Site::with(&[]);
    site.add(".w.test");
    let on = websocket_on(&[]);
    let set = [("DomainNames", ".w.test"), ("Functions", on.as_str())];
    site.dcdn.ask("BatchSetDcdnDomainConfigs", &set);
    assert_eq!(site.handshake("x.w.test"), 101);
    assert_eq!(site.settled(".w.test")["DomainStatus"], "online");
    let list = site.dcdn.ask("DescribeDcdnUserDomains", &[]);
    assert_eq!(list["Domains"]["PageData"][0]["DomainName"], ".w.test");
}

/// The calls of the Terraform provider in their order, each poll with its condition (2.4, 2.5).
#[test]
fn the_sequence_of_the_terraform_provider_comes_to_its_end() {
    let site = Site::with(&[]);
    let name = ("DomainName", "t.test");
    site.add("t.test");
    assert_eq!(site.settled("t.test")["DomainStatus"], "online", "the create poll ends");
    let certificates = site.dcdn.ask("DescribeDcdnDomainCertificateInfo", &[name]);
    let info = &certificates["CertInfos"]["CertInfo"];
    assert_eq!(info.as_array().map(Vec::len), Some(1), "one also with HTTPS off: {info}");
    assert_eq!(info[0]["SSLProtocol"], "off");
    let tags = [("ResourceType", "DOMAIN"), ("ResourceId.1", "t.test")];
    assert!(site.dcdn.ask("DescribeDcdnTagResources", &tags)["TagResources"].is_array());
    let sources = site.sources().replace("type", "Type").replace("content", "Content");
    let way = crate::harness::dcdn::Way::PostForm;
    let update = site.dcdn.call("UpdateDcdnDomain", &[name, ("Sources", &sources)]).way(way);
    assert_eq!(update.send().status, 200);
    assert_eq!(site.settled("t.test")["DomainStatus"], "online");
    site.dcdn.ask("DeleteDcdnDomain", &[name]);
    let gone = (404, "InvalidDomain.NotFound");
    site.dcdn.refused("DescribeDcdnDomainDetail", &[name], gone);
}

#[test]
fn every_operation_on_a_domain_knows_which_there_are() {
    let site = Site::with(&["a.test"]);
    let sources = site.sources();
    let on = websocket_on(&[]);
    for (action, params) in [
        ("UpdateDcdnDomain", vec![("DomainName", "gone.test"), ("Sources", &*sources)]),
        ("StartDcdnDomain", vec![("DomainName", "gone.test")]),
        ("StopDcdnDomain", vec![("DomainName", "gone.test")]),
        ("DeleteDcdnDomain", vec![("DomainName", "gone.test")]),
        ("DescribeDcdnDomainDetail", vec![("DomainName", "gone.test")]),
        ("DescribeDcdnDomainConfigs", vec![("DomainName", "gone.test")]),
        ("BatchSetDcdnDomainConfigs", vec![("DomainNames", "gone.test"), ("Functions", &*on)]),
        ("DescribeDcdnDomainCertificateInfo", vec![("DomainName", "gone.test")]),
        (super::TRAFFIC, vec![("DomainName", "gone.test")]),
        (super::BPS, vec![("DomainName", "a.test,gone.test")]),
        (super::CODES, vec![("DomainName", "gone.test")]),
    ] {
        site.dcdn.refused(action, &params, (404, "InvalidDomain.NotFound"));
    }
    for (action, params) in [
        ("AddDcdnDomain", vec![("Sources", &*sources)]),
        ("DeleteDcdnDomain", vec![]),
        ("DescribeDcdnDomainDetail", vec![("DomainName", "")]),
        ("BatchSetDcdnDomainConfigs", vec![("DomainNames", "a.test")]),
        ("BatchSetDcdnDomainConfigs", vec![("Functions", &*on)]),
        ("SetDcdnDomainSSLCertificate", vec![("DomainName", "a.test")]),
    ] {
        let answer = site.dcdn.call(action, &params).send();
        let body = answer.json();
        let code = body["Code"].as_str().unwrap_or_default();
        assert!(answer.status == 400 && code.starts_with("Missing"), "{action}: {body}");
    }
}

/// Item 4: uploaded by the API, serving at once; every bad pair by its code, and nothing changed.
#[test]
fn certificates_serve_at_once_and_bad_ones_are_told_by_their_codes() {
    let site = Site::built(&["a.test"], |edge| edge.tls());
    let on = websocket_on(&[]);
    let set = [("DomainNames", "a.test"), ("Functions", on.as_str())];
    site.dcdn.ask("BatchSetDcdnDomainConfigs", &set);
    let authority = Authority::new("root");
    let client = TlsClient::trusting(&authority);
    let pem = |pair: &crate::harness::Pair| {
        (pair.chain_pem(), std::fs::read_to_string(pair.key()).expect("a key"))
    };
    let good = pem(&authority.pair(&["a.test"]));
    let other = pem(&authority.pair(&["a.test"]));
    let expired = pem(&authority.issue(Wish::server(&["a.test"]).days_left(-2)));
    let upload = |certificate: &str, key: &str| {
        let params = [
            ("DomainName", "a.test"),
            ("SSLProtocol", "on"),
            ("CertType", "upload"),
            ("CertName", "one"),
            ("SSLPub", certificate),
            ("SSLPri", key),
        ];
        site.dcdn.call("SetDcdnDomainSSLCertificate", &params).send()
    };
    assert_eq!(upload(&good.0, &good.1).status, 200);
    let mut wss = site.edge.connect_tls(&client, "a.test");
    wss.send(upgrade_request("a.test", ""));
    assert_eq!(wss.head().status(), 101);
    for (what, pair, code) in [
        ("another key", (good.0.as_str(), other.1.as_str()), "Certificate.MissMatch"),
        ("expired", (&expired.0, &expired.1), "Certificate.Expired"),
        ("no certificate", ("x", &good.1), "InvalidSSLPub"),
        ("no key", (&good.0, "x"), "InvalidSSLPri"),
        ("none", ("", &good.1), "SSLPub.MissingParameter"),
        ("none of the key", (&good.0, ""), "SSLPri.MissingParameter"),
    ] {
        let answer = upload(pair.0, pair.1);
        assert_eq!(answer.json()["Code"], code, "{what}: {}", answer.text());
        assert_eq!(answer.status, 400, "{what}");
    }
    site.edge.connect_tls(&client, "a.test");
    let name = [("DomainName", "a.test")];
    let info = site.dcdn.ask("DescribeDcdnDomainCertificateInfo", &name);
    let info = &info["CertInfos"]["CertInfo"][0];
    assert_eq!((&info["SSLProtocol"], &info["Status"]), (&json!("on"), &json!("success")));
    assert_eq!(info["CertName"], "one");
    assert_eq!(site.settled("a.test")["SSLProtocol"], "on");
    let off = [("DomainName", "a.test"), ("SSLProtocol", "off")];
    site.dcdn.ask("SetDcdnDomainSSLCertificate", &off);
    assert!(client.try_connect(site.edge.tls_addr(), "a.test").is_err(), "HTTPS is off");
    wss.send_frame(&Frame::text("still").masked());
    assert_eq!(wss.frame().payload, b"still", "an open connection lives on");
    let bad = [("DomainName", "a.test"), ("SSLProtocol", "maybe")];
    let code = (400, "InvalidSSLProtocol.ValueNotSupported");
    site.dcdn.refused("SetDcdnDomainSSLCertificate", &bad, code);
}

#[test]
fn tags_come_and_go() {
    let site = Site::with(&["a.test", "b.test"]);
    let read = |name: &str| {
        let params = [("ResourceType", "DOMAIN"), ("ResourceId.1", name)];
        let answer = site.dcdn.ask("DescribeDcdnTagResources", &params);
        let mut tags = answer["TagResources"][0]["Tag"].as_array().cloned().unwrap_or_default();
        tags.sort_by_key(ToString::to_string);
        Value::from(tags)
    };
    let tag = [
        ("ResourceType", "DOMAIN"),
        ("ResourceId.1", "a.test"),
        ("ResourceId.2", "b.test"),
        ("Tag.1.Key", "env"),
        ("Tag.1.Value", "x"),
        ("Tag.2.Key", "team"),
        ("Tag.2.Value", "edge"),
    ];
    site.dcdn.ask("TagDcdnResources", &tag);
    let both = json!([{ "Key": "env", "Value": "x" }, { "Key": "team", "Value": "edge" }]);
    assert_eq!((read("a.test"), read("b.test")), (both.clone(), both));
    let listed = [("Tag.1.Key", "env"), ("Tag.1.Value", "x")];
    assert_eq!(site.dcdn.ask("DescribeDcdnUserDomains", &listed)["TotalCount"], 2);
    let off = [("ResourceType", "DOMAIN"), ("ResourceId.1", "a.test"), ("TagKey.1", "env")];
    site.dcdn.ask("UntagDcdnResources", &off);
    assert_eq!(read("a.test"), json!([{ "Key": "team", "Value": "edge" }]));
    assert_eq!(site.dcdn.ask("DescribeDcdnUserDomains", &listed)["TotalCount"], 1);
    // A domain of the same name begins without them.
    site.dcdn.ask("DeleteDcdnDomain", &[("DomainName", "a.test")]);
    site.add("a.test");
    assert_eq!(read("a.test"), json!([]));
}
