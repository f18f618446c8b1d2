//! The REST API of the real binary: keys and roles, conditions, dry runs, problem documents,
//! batches, and the listener that all of it is on.
//!
//! Not here: the DCDN API (`dcdn`), figures (`accounting`), generated requests (`tests/peers`).

mod connections;

use serde_json::{Value, json};

use crate::harness::api::Answer;
use crate::harness::tunnel::closes;
use crate::harness::{
    Api, Authority, DomainFile, Edge, End, Origin, TlsClient, Tunnel, eventually, upgrade_request,
};

pub const DOMAINS: &str = "/api/v1/domains";
pub const A: &str = "/api/v1/domains/a.test";

/// A problem document of this status (RFC 9457 3).
pub fn refused(answer: &Answer, status: u16) -> Value {
    assert_eq!(answer.status, status, "{}", answer.text());
    assert_eq!(answer.head.field("content-type"), Some("application/problem+json"));
    let problem = answer.json();
    assert_eq!(problem["status"], status);
    for field in ["type", "title", "detail"] {
        assert!(problem[field].as_str().is_some_and(|text| !text.is_empty()), "{field}: {problem}");
    }
    problem
}

pub fn done(answer: Answer, status: u16) -> Value {
    assert_eq!(answer.status, status, "{}", answer.text());
    answer.json()
}

fn document(name: &str, origin: &Origin) -> Value {
    let (address, port) = (origin.addr.ip().to_string(), origin.addr.port());
    json!({
        "name": name,
        "websocket": { "enabled": true, "origin_scheme": "http" },
        "origin": [{ "address": address, "port": port }],
    })
}

pub fn patch(api: &Api, path: &str, condition: &str, patch: Value) -> Answer {
    api.request("PATCH", path).field("If-Match", condition).json(patch).send()
}

pub fn tag(answer: &Answer) -> String {
    answer.head.field("etag").expect("an entity tag").to_owned()
}

/// The file of `a.test`.
pub fn text_of(edge: &Edge) -> String {
    std::fs::read_to_string(edge.dir().join("domains").join("a.test.toml")).expect("a file")
}

// === Who may do what ===

#[test]
fn without_a_key_nothing_is_told() {
    let (_origin, edge) = Edge::and_origin();
    let nobody = Api::anonymous(&edge);
    let key = edge.admin_key();
    let (id, _) = key.split_once('.').unwrap();
    let wrong = [format!("{id}.{}", "x".repeat(40)), format!("{id}."), "x".into(), String::new()];
    for path in [DOMAINS, A, "/api/v1/nothing", "/api/v1/keys"] {
        let answers = wrong.iter().map(|key| nobody.bearing(key).get(path));
        for answer in answers.chain([nobody.get(path)]) {
            refused(&answer, 401);
            let challenge = answer.head.field("www-authenticate").unwrap_or_default();
            assert!(challenge.starts_with("Bearer"), "RFC 9110 11.6.1: {challenge:?}");
            assert!(!answer.text().contains(&key), "{}", answer.text());
        }
    }
    assert_eq!(nobody.get("/api/openapi.json").status, 200);
}

#[test]
fn a_role_may_do_what_it_may_do() {
    let (_origin, edge) = Edge::and_origin();
    let admin = Api::of(&edge);
    let calls: [(&str, &str, Value, &str); 8] = [
        ("GET", DOMAINS, Value::Null, "read"),
        ("GET", "/api/v1/plan", Value::Null, "read"),
        ("GET", "/api/v1/audit", Value::Null, "read"),
        ("POST", "/api/v1/reload", Value::Null, "operate"),
        ("POST", "/api/v1/domains/a.test/start", Value::Null, "operate"),
        ("POST", "/api/v1/connections/close", json!({ "domain": "x.test" }), "operate"),
        ("GET", "/api/v1/keys", Value::Null, "admin"),
        ("POST", "/api/v1/keys", json!({ "name": "n", "role": "read" }), "admin"),
    ];
    for role in ["read", "operate"] {
        let api = admin.bearing(&edge.key(role));
        for (method, path, body, needed) in &calls {
            let request = api.request(method, path);
            let request = if body.is_null() { request } else { request.json(body.clone()) };
            let answer = request.send();
            let may = *needed == "read" || (role, *needed) == ("operate", "operate");
            if may {
                assert!((200..300).contains(&answer.status), "{path}: {}", answer.text());
            } else {
                let problem = refused(&answer, 403);
                let detail = problem["detail"].as_str().unwrap();
                assert!(detail.contains(role) && detail.contains(needed), "{detail}");
            }
        }
    }
}

#[test]
fn a_key_lives_until_it_is_revoked() {
    let (_origin, edge) = Edge::and_origin();
    let admin = Api::of(&edge);
    let wanted = json!({ "name": "deploy", "role": "operate" });
    let made = done(admin.post("/api/v1/keys", wanted), 201);
    let part = |name: &str| made[name].as_str().unwrap().to_owned();
    let bearer = format!("{}.{}", part("access_key_id"), part("access_key_secret"));
    assert_eq!(part("bearer"), bearer);
    let deploy = admin.bearing(&bearer);
    done(deploy.get(DOMAINS), 200);
    let listed = admin.get("/api/v1/keys").text();
    assert!(
        listed.contains(&part("access_key_id")) && !listed.contains(&part("access_key_secret"))
    );
    let path = format!("/api/v1/keys/{}", part("access_key_id"));
    done(admin.request("DELETE", &path).send(), 200);
    refused(&deploy.get(DOMAINS), 401);
    let own = edge.admin_key();
    let last = format!("/api/v1/keys/{}", own.split_once('.').unwrap().0);
    refused(&admin.request("DELETE", &last).send(), 409);
    refused(&admin.request("DELETE", "/api/v1/keys/HKnothing").send(), 404);
    let audit = admin.get("/api/v1/audit").text();
    assert!(audit.contains("key create") && audit.contains("key revoke"), "{audit}");
    assert!(!audit.contains(&part("access_key_secret")));
    assert!(!edge.stderr().contains(&part("access_key_secret")));
}

#[test]
fn too_many_requests_of_one_key_wait_and_others_do_not() {
    let edge = Edge::builder().admin("rate_rest = 5").start();
    let admin = Api::of(&edge);
    let other = admin.bearing(&edge.key("read"));
    let refusal = eventually("a refusal", || {
        let answer = admin.get("/api/v1/status");
        (answer.status != 200).then_some(answer)
    });
    let problem = refused(&refusal, 429);
    assert!(problem["detail"].as_str().unwrap().contains("rate_rest"), "{problem}");
    let wait: u64 = refusal.head.field("retry-after").unwrap().parse().unwrap();
    assert!(wait >= 1);
    done(other.get("/api/v1/status"), 200);
}

/// Statistics flush every 10 s; the access log tells within moments.
#[test]
fn the_status_tells_of_lost_log_lines_and_of_statistics() {
    let origin = Origin::answering("hello");
    let edge = Edge::to(&origin);
    let api = Api::of(&edge);
    let ask = || {
        let mut wire = edge.connect();
        wire.send("GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n");
        assert_eq!(wire.answer().0.status(), 200);
    };
    let log = |field: &str| api.read("/api/v1/status")["access_log"][field].as_u64();
    ask();
    eventually("a line", || (log("lines_written")? >= 1).then_some(()));
    assert_eq!(log("lines_lost"), Some(0));
    // A full disk.
    let path = edge.dir().join("access.log");
    std::fs::remove_file(&path).expect("removed");
    std::os::unix::fs::symlink("/dev/full", &path).expect("linked");
    edge.signal("USR1");
    eventually("a lost line", || {
        ask();
        (log("lines_lost")? >= 1).then_some(())
    });
    assert_eq!(log("events_dropped"), Some(0));
    std::fs::remove_file(&path).expect("removed");
    let written =
        || api.read("/api/v1/status")["statistics"]["last_written"].as_str()?.parse().ok();
    let at: jiff::Timestamp = eventually("written statistics", written);
    assert!((jiff::Timestamp::now() - at).get_hours() < 1, "{at}");
    let statistics = &api.read("/api/v1/status")["statistics"];
    assert_eq!(statistics["writes_failed"], 0, "{statistics}");
    assert_eq!(statistics["rows_coarsened"], 0, "{statistics}");
}

// === Domains ===

#[test]
fn a_domain_comes_changes_and_goes_and_serves_meanwhile() {
    let origin = Origin::bind();
    let edge = Edge::builder().start();
    let api = Api::of(&edge);
    let made = api.post(DOMAINS, document("a.test", &origin));
    let first = tag(&made);
    let made = done(made, 201);
    assert_eq!(made["domains"][0]["action"], "created");
    Tunnel::open(&edge, &origin, "a.test").check();
    refused(&api.post(DOMAINS, document("a.test", &origin)), 409);

    let changed = patch(&api, A, &first, json!({ "websocket": { "heartbeat": 30 } }));
    let second = tag(&changed);
    let changed = done(changed, 200);
    assert!(changed["domains"][0]["diff"].as_str().unwrap().contains("+heartbeat = 30"));
    assert!(changed["generation"].as_u64() > made["generation"].as_u64());
    let shown = api.get(A);
    assert_eq!(tag(&shown), second);
    let shown = shown.json();
    assert_eq!(shown["websocket"]["heartbeat"], 30);
    assert_eq!(format!("\"{}\"", shown["revision"].as_str().unwrap()), second);

    // What was shown can be sent back: nothing differs, nothing is written.
    let back = api.request("PUT", A).field("If-Match", &second).json(shown).send();
    let back = done(back, 200);
    assert_eq!(
        (&back["domains"][0]["action"], &back["change"]),
        (&json!("unchanged"), &Value::Null)
    );

    done(api.request("DELETE", A).field("If-Match", &second).send(), 200);
    refused(&api.get(A), 404);
    let mut client = edge.connect();
    client.send(upgrade_request("a.test", ""));
    assert_eq!(client.head().status(), 421);
    let items = api.read(&format!("{A}/history"))["items"].clone();
    let actions: Vec<_> = items.as_array().unwrap().iter().map(|e| e["action"].clone()).collect();
    assert_eq!(actions, ["remove", "change", "create"]);

    let rollback = format!("/api/v1/audit/{}/rollback", items[1]["id"]);
    done(api.request("POST", &rollback).send(), 200);
    assert_eq!(api.read(A)["websocket"]["heartbeat"], 30);
    Tunnel::open(&edge, &origin, "a.test").check();
}

// RFC 9110 13.1.1 and RFC 6585 3.
#[test]
fn a_write_says_what_it_is_for() {
    let (_origin, edge) = Edge::and_origin();
    let api = Api::of(&edge);
    let before = text_of(&edge);
    let now = tag(&api.get(A));
    let body = json!({ "websocket": { "heartbeat": 7 } });
    let settings = json!({ "enabled": false });
    let writes = [
        ("PATCH", A.to_owned(), body.clone()),
        ("PUT", A.to_owned(), body),
        ("DELETE", A.to_owned(), Value::Null),
        ("PUT", format!("{A}/websocket"), settings),
    ];
    for (method, path, body) in &writes {
        let request = || match body {
            Value::Null => api.request(method, path),
            body => api.request(method, path).json(body.clone()),
        };
        refused(&request().send(), 428);
        refused(&request().field("If-Match", "\"0123456789abcdef\"").send(), 412);
        refused(&request().field("If-Match", &format!("W/{now}")).send(), 412);
        refused(&request().field("If-Match", now.trim_matches('"')).send(), 400);
    }
    assert_eq!(text_of(&edge), before);
    for condition in [&*now, "*", "\"x\", *"] {
        let answer = patch(&api, A, condition, json!({ "websocket": { "heartbeat": 7 } }));
        let expected = if condition.contains("\"x\"") { 400 } else { 200 };
        assert_eq!(answer.status, expected, "{condition}: {}", answer.text());
    }
    refused(&patch(&api, "/api/v1/domains/b.test", "*", json!({})), 404);
    let new = "/api/v1/domains/new.test";
    let put = |condition: &str| {
        let body = json!({ "origin": [{ "address": "127.0.0.1" }] });
        api.request("PUT", new).field("If-None-Match", condition).json(body).send()
    };
    done(put("*"), 201);
    refused(&put("*"), 412);
}

#[test]
fn a_dry_run_tells_and_changes_nothing() {
    let (origin, edge) = Edge::and_origin();
    let api = Api::of(&edge);
    let state = || {
        let [snapshot, audit] = ["snapshot", "audit"].map(|p| api.read(&format!("/api/v1/{p}")));
        (text_of(&edge), snapshot, audit)
    };
    let before = state();
    let batch = json!({ "changes": [
        { "action": "patch", "name": "a.test", "document": { "websocket": { "heartbeat": 9 } } },
        { "action": "create", "name": "b.test", "document": document("b.test", &origin) },
    ] });
    let dry = "?dry_run=true";
    let told = [
        patch(&api, &format!("{A}{dry}"), "*", json!({ "websocket": { "heartbeat": 9 } })),
        api.request("DELETE", &format!("{A}{dry}")).field("If-Match", "*").send(),
        api.post(&format!("{DOMAINS}{dry}"), document("b.test", &origin)),
        api.request("POST", &format!("{A}/stop{dry}")).send(),
        api.post(&format!("/api/v1/changes{dry}"), batch),
    ];
    for (answer, action) in
        told.into_iter().zip(["changed", "removed", "created", "changed", "changed"])
    {
        let told = done(answer, 200);
        assert_eq!((&told["dry_run"], &told["change"]), (&json!(true), &Value::Null));
        assert_eq!(told["domains"][0]["action"], action, "{told}");
        assert!(!told["domains"][0]["diff"].as_str().unwrap().is_empty(), "{told}");
    }
    let wrong = json!({ "websocket": { "heartbeat": 301 } });
    refused(&patch(&api, &format!("{A}{dry}"), "*", wrong), 422);
    assert_eq!(state(), before);
}

#[test]
fn a_batch_applies_whole_or_not_at_all() {
    let (origin, edge) = Edge::and_origin();
    let api = Api::of(&edge);
    let beat = |name: &str, beat: u64| {
        let document = json!({ "websocket": { "heartbeat": beat } });
        json!({ "action": "patch", "name": name, "document": document })
    };
    let before = text_of(&edge);
    let bad = [
        (json!([beat("a.test", 30), beat("gone.test", 30)]), 404, None),
        (json!([beat("a.test", 30), beat("a.test", 31)]), 400, None),
        (json!([beat("a.test", 301)]), 422, None),
        (json!([]), 422, Some("/changes")),
        (json!(vec![beat("a.test", 30); 51]), 422, Some("/changes")),
        (json!([{ "action": "patch", "name": "a.test" }]), 422, Some("/changes/0/document")),
        (json!([{ "action": "explode", "name": "a.test" }]), 422, Some("/changes/0/action")),
        (json!([beat("../a", 30)]), 422, Some("/changes/0/name")),
    ];
    for (changes, status, pointer) in bad {
        let problem = refused(&api.post("/api/v1/changes", json!({ "changes": changes })), status);
        if let Some(pointer) = pointer {
            assert_eq!(problem["errors"][0]["pointer"], pointer, "{problem}");
        }
        assert_eq!(text_of(&edge), before, "{problem}");
    }
    let mut stale = beat("a.test", 30);
    stale["if_match"] = "0123456789abcdef".into();
    refused(&api.post("/api/v1/changes", json!({ "changes": [stale] })), 412);

    let many: Vec<Value> = (0..49)
        .map(|i| {
            let name = format!("d{i}.test");
            json!({ "action": "create", "name": name, "document": document(&name, &origin) })
        })
        .chain([beat("a.test", 30)])
        .collect();
    let applied = done(api.post("/api/v1/changes", json!({ "changes": many })), 200);
    assert_eq!(applied["domains"].as_array().unwrap().len(), 50);
    Tunnel::open(&edge, &origin, "d48.test").check();
    let list = api.read(&format!("{DOMAINS}?limit=20&search=d"));
    assert_eq!((&list["total"], list["items"].as_array().unwrap().len()), (&json!(49), 20));
    let next = list["next"].as_str().unwrap();
    let rest = api.read(&format!("{DOMAINS}?limit=500&search=d&after={next}"));
    assert_eq!((rest["items"].as_array().unwrap().len(), &rest["next"]), (29, &Value::Null));
}

#[test]
fn a_stopped_domain_keeps_its_file_and_serves_nobody() {
    let (origin, edge) = Edge::and_origin();
    let api = Api::of(&edge);
    let mut open = Tunnel::open(&edge, &origin, "a.test");
    open.check();
    done(api.request("POST", &format!("{A}/stop")).send(), 200);
    closes(&mut open.client, 1001);
    let mut client = edge.connect();
    client.send(upgrade_request("a.test", ""));
    assert_eq!(client.head().status(), 421);
    let list = api.read(&format!("{DOMAINS}?state=offline"));
    assert_eq!(
        (&list["items"][0]["name"], &list["items"][0]["enabled"]),
        (&json!("a.test"), &json!(false))
    );
    done(api.request("POST", &format!("{A}/start")).send(), 200);
    Tunnel::open(&edge, &origin, "a.test").check();
}

#[test]
fn the_toggle_is_three_settings() {
    let (origin, edge) = Edge::and_origin();
    let api = Api::of(&edge);
    let path = format!("{A}/websocket");
    let set =
        |settings: Value| api.request("PUT", &path).field("If-Match", "*").json(settings).send();
    for (heartbeat, status) in [(0, 422), (1, 200), (300, 200), (301, 422)] {
        let answer = set(json!({ "enabled": true, "heartbeat": heartbeat }));
        assert_eq!(answer.status, status, "{heartbeat}: {}", answer.text());
    }
    for wrong in [json!({}), json!({ "enabled": "on" }), json!({ "enabled": true, "x": 1 })] {
        refused(&set(wrong), 422);
    }
    done(set(json!({ "enabled": false })), 200);
    let shown = api.read(&path);
    assert_eq!(shown, json!({ "enabled": false, "heartbeat": 60, "origin_scheme": "follow" }));
    let mut client = edge.connect();
    client.send(upgrade_request("a.test", ""));
    let mut at_origin = origin.accept();
    assert!(at_origin.head().field("upgrade").is_none(), "plain HTTP");
}

// === Bad input ===

#[test]
fn what_is_wrong_is_named_with_what_would_be_accepted() {
    let (origin, edge) = Edge::and_origin();
    let api = Api::of(&edge);
    let with = |path: &[&str], value: Value| {
        let mut wrong = document("b.test", &origin);
        let mut place = &mut wrong;
        for step in path {
            place = match step.parse::<usize>() {
                Ok(at) => &mut place[at],
                Err(_) => &mut place[*step],
            };
        }
        *place = value;
        wrong
    };
    let cases = [
        (with(&["websocket", "heartbeat"], json!(301)), "/websocket/heartbeat"),
        (with(&["websocket", "heartbeat"], json!("abc")), "/websocket/heartbeat"),
        (with(&["websocket", "heartbeet"], json!(30)), "/websocket/heartbeet"),
        (with(&["origin", "0", "port"], json!(70_000)), "/origin/0/port"),
        (with(&["access"], json!({ "allow": ["10.0.0.0/8", "x"] })), "/access/allow/1"),
        (with(&["name"], json!("B.test")), "/name"),
        (with(&["name"], json!("../../etc/passwd")), "/name"),
        (with(&["name"], Value::Null), "/name"),
    ];
    for (document, pointer) in cases {
        let problem = refused(&api.post(DOMAINS, document), 422);
        let wrong = &problem["errors"][0];
        assert_eq!(wrong["pointer"], pointer, "{problem}");
        assert!(wrong["accepted"].as_str().is_some_and(|text| !text.is_empty()), "{problem}");
    }
    let odd: [(&str, &[u8], u16); 7] = [
        ("application/json", b"", 400),
        ("application/json", b"{", 400),
        ("application/json", b"[]", 422),
        ("application/json", b"\xff", 400),
        ("application/json", b"{\"name\":\"b.test\",\"websocket\":null}", 422),
        ("text/plain", b"{}", 415),
        ("application/x-www-form-urlencoded", b"name=b.test", 415),
    ];
    for (content_type, body, status) in odd {
        let answer = api.request("POST", DOMAINS).body(content_type, body).send();
        refused(&answer, status);
    }
    for query in ["limit=0", "limit=501", "limit=x", "state=on", "nothing=1"] {
        refused(&api.get(&format!("{DOMAINS}?{query}")), 400);
    }
    for path in ["/api/v1/connections/zz", "/api/v1/domains/A.test", "/api/v1/audit/x/rollback"] {
        let method = if path.ends_with("rollback") { "POST" } else { "GET" };
        refused(&api.request(method, path).send(), 400);
    }
    refused(&api.get("/api/v1/nothing"), 404);
    let answer = api.request("DELETE", DOMAINS).send();
    refused(&answer, 405);
    assert!(answer.head.field("allow").unwrap().contains("POST"), "RFC 9110 15.5.6");
    refused(&api.get("/api/v1/domains/b.test"), 404);
    Tunnel::open(&edge, &origin, "a.test").check();
}

#[test]
fn a_file_broken_by_hand_stops_no_other_domain() {
    let (origin, edge) = Edge::and_origin();
    let api = Api::of(&edge);
    let path = edge.dir().join("domains").join("broken.test.toml");
    std::fs::write(&path, "name = \"broken.test\"\n[websocket]\nheartbeat = 0\n").unwrap();
    let problem = refused(&api.request("POST", "/api/v1/reload").send(), 422);
    let told = problem["errors"].to_string();
    assert!(told.contains("broken.test.toml") && told.contains("/websocket/heartbeat"), "{told}");
    refused(&api.get("/api/v1/snapshot/diff"), 422);
    refused(&api.get("/api/v1/domains/broken.test"), 422);
    Tunnel::open(&edge, &origin, "a.test").check();
    std::fs::remove_file(&path).unwrap();
    let diff = api.read("/api/v1/snapshot/diff");
    assert_eq!((&diff["added"], &diff["removed"]), (&json!([]), &json!([])));
    edge.write_domain(&DomainFile::to("c.test", &origin));
    edge.write_domain(&DomainFile::to("a.test", &origin).websocket("heartbeat = 44"));
    let diff = api.read("/api/v1/snapshot/diff");
    assert_eq!(diff["added"], json!(["c.test"]));
    assert!(diff["changed"][0]["diff"].as_str().unwrap().contains("+heartbeat = 44"), "{diff}");
    done(api.request("POST", "/api/v1/reload").send(), 200);
    Tunnel::open(&edge, &origin, "c.test").check();
}

// === Certificates ===

#[test]
fn an_uploaded_pair_serves_and_its_key_never_comes_back() {
    let authority = Authority::new("root");
    let origin = Origin::bind();
    let file = DomainFile::to("a.test", &origin).websocket("origin_scheme = \"http\"");
    let edge = Edge::builder().tls().domain(file).start();
    let api = Api::of(&edge);
    let path = format!("{A}/certificate");
    let put = |certificate: &str, key: &str| {
        let body = json!({ "certificate": certificate, "key": key });
        api.request("PUT", &path).field("If-Match", "*").json(body).send()
    };
    let pair = authority.pair(&["a.test"]);
    let other = authority.pair(&["b.test"]);
    let key = std::fs::read_to_string(pair.key()).unwrap();
    let other_key = std::fs::read_to_string(other.key()).unwrap();
    for (certificate, key, pointer) in [
        (pair.chain_pem(), &other_key, "/key"),
        (other.chain_pem(), &other_key, "/certificate"),
        ("nonsense".to_owned(), &key, "/certificate"),
    ] {
        let answer = put(&certificate, key);
        let problem = refused(&answer, 422);
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{problem}");
        assert!(!answer.text().contains(key.lines().nth(1).unwrap()));
    }
    let answer = put(&pair.chain_pem(), &key);
    let secret = key.lines().nth(1).unwrap();
    assert!(!answer.text().contains(secret), "{}", answer.text());
    let first = tag(&answer);
    done(answer, 200);
    assert_eq!(tag(&api.get(&path)), first);
    let renewed = authority.pair(&["a.test"]);
    let renew = |condition: Option<(&str, &str)>| {
        let key = std::fs::read_to_string(renewed.key()).unwrap();
        let body = json!({ "certificate": renewed.chain_pem(), "key": key });
        let request = api.request("PUT", &path).json(body);
        match condition {
            Some((name, value)) => request.field(name, value).send(),
            None => request.send(),
        }
    };
    refused(&renew(None), 428);
    refused(&renew(Some(("If-Match", "\"0123\""))), 412);
    refused(&renew(Some(("If-None-Match", "*"))), 412);
    let second = renew(Some(("If-Match", &first)));
    assert_ne!(tag(&second), first);
    done(second, 200);
    let answer = api.request("PUT", &path).field("If-Match", "*").json(json!(key)).send();
    assert!(!answer.text().contains("PRIVATE"), "{}", answer.text());
    refused(&answer, 422);
    let client = TlsClient::trusting(&authority);
    let client = edge.connect_tls(&client, "a.test");
    Tunnel::over(client, &origin, "a.test", "", "").check();
    for path in [&*path, "/api/v1/certificates", "/api/v1/audit?texts=true", A] {
        let text = api.get(path).text();
        assert!(!text.contains(secret), "{path}");
    }
    assert_eq!(api.read(&path)["items"][0]["names"], json!(["a.test"]));
    assert!(!edge.stderr().contains(secret));
    refused(&api.request("DELETE", &path).field("If-Match", &first).send(), 412);
    done(api.request("DELETE", &path).field("If-Match", "*").send(), 200);
    refused(&api.request("DELETE", &path).field("If-Match", "*").send(), 404);
}

// === The listener ===

#[test]
fn pages_of_other_sites_and_other_names_get_nothing() {
    let edge = Edge::builder().admin("hosts = [\"edge.test\"]").start();
    let api = Api::of(&edge);
    for (name, status) in [("edge.test", 200), ("evil.test", 421), ("localhost:1", 200)] {
        let answer = api.request("GET", "/api/v1/status").field("Host", name).send();
        assert_eq!(answer.status, status, "{name}");
    }
    refused(&api.request("GET", "/api/v1/status").field("Host", "evil.test").send(), 421);
    let own = format!("http://{}", edge.admin());
    for (name, value, status) in [
        ("Origin", "http://evil.test", 403),
        ("Origin", "null", 403),
        ("Sec-Fetch-Site", "cross-site", 403),
        ("Sec-Fetch-Site", "same-site", 403),
        ("Origin", &own, 200),
        ("Sec-Fetch-Site", "same-origin", 200),
    ] {
        let answer = api.request("POST", "/api/v1/reload").field(name, value).send();
        assert_eq!(answer.status, status, "{name}: {value}: {}", answer.text());
        let answer = api.request("GET", "/api/v1/status").field(name, value).send();
        assert_eq!(answer.status, 200, "reading changes nothing");
    }
    let answer = api.get("/api/v1/status");
    assert_eq!(answer.head.field("x-content-type-options"), Some("nosniff"));
    assert_eq!(answer.head.field("cache-control"), Some("no-store"));
}

#[test]
fn a_body_without_end_is_refused_before_it_came() {
    let (origin, edge) = Edge::and_origin();
    let api = Api::of(&edge);
    let key = edge.admin_key();
    let mut wire = api.connect();
    wire.send(format!(
        "POST {DOMAINS} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\n\
         Content-Type: application/json\r\nContent-Length: 1000000000\r\n\r\n"
    ));
    let (head, _) = wire.answer();
    assert_eq!(head.status(), 413);
    // The same where the length is not said.
    let mut wire = api.connect();
    wire.send(format!(
        "POST {DOMAINS} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\n\
         Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    ));
    let chunk = format!("10000\r\n{}\r\n", " ".repeat(0x10000));
    while wire.try_send(&chunk) {}
    Tunnel::open(&edge, &origin, "a.test").check();
    done(api.get("/api/v1/status"), 200);
}

#[test]
fn who_sends_slowly_keeps_nobody_out() {
    let (_origin, edge) = Edge::and_origin();
    let api = Api::of(&edge);
    let key = edge.admin_key();
    let slow: Vec<_> = (0..80)
        .map(|_| {
            let mut wire = api.connect();
            wire.send(format!(
                "POST {DOMAINS} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\n\
                 Content-Type: application/json\r\nContent-Length: 9\r\n\r\n{{"
            ));
            wire
        })
        .collect();
    done(api.get("/api/v1/status"), 200);
    for mut wire in slow {
        assert_eq!(wire.head().status(), 408);
        assert_eq!(wire.rest().1, End::Fin);
    }
}

#[test]
fn a_listener_for_others_needs_a_certificate_and_then_speaks_tls() {
    let (code, text) = Edge::builder().admin("listen = \"0.0.0.0:0\"").start_and_end();
    assert_eq!(code, Some(78), "{text}");
    assert!(text.contains("admin.listen") && text.contains("certificate"), "{text}");

    let authority = Authority::new("root");
    let pair = authority.pair(&["edge.test"]);
    let line = |key: &str, path: std::path::PathBuf| format!("{key} = \"{}\"", path.display());
    let edge = Edge::builder()
        .admin("listen = \"0.0.0.0:0\"")
        .admin("hosts = [\"edge.test\"]")
        .admin(&line("certificate", pair.certificate()))
        .admin(&line("key", pair.key()))
        .start();
    let mut api = Api::of(&edge).over_tls(&TlsClient::trusting(&authority), "edge.test");
    api.addr.set_ip([127, 0, 0, 1].into());
    done(api.get("/api/v1/status"), 200);
    for path in ["/healthz", "/readyz"] {
        let answer = api.bearing("").get(path);
        assert_eq!(answer.status, 200, "{path}");
    }
    let answer = api.bearing("x.y").get("/metrics");
    assert_eq!(answer.status, 401, "{}", answer.text());
    assert!(answer.head.field("www-authenticate").is_some());
    assert_eq!(api.get("/metrics").status, 200);

    // In the clear nothing is said.
    let mut plain = crate::harness::Wire::connect(api.addr);
    plain.send("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let (bytes, _) = plain.rest();
    assert!(!bytes.starts_with(b"HTTP/"), "{}", crate::harness::show(&bytes));

    // Another certificate by reload, without a restart.
    let fresh = Authority::new("fresh");
    pair.overwrite_with(&fresh.pair(&["edge.test"]));
    done(api.request("POST", "/api/v1/reload").send(), 200);
    let api = api.over_tls(&TlsClient::trusting(&fresh), "edge.test");
    done(api.get("/api/v1/status"), 200);
}
