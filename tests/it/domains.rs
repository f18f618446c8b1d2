//! What the REST API tells of domains beyond their settings, their files as texts, and rollbacks
//! that are looked at first. Not here: writes and what they need (`api`).

use serde_json::{Value, json};

use crate::api::{A, DOMAINS, done, patch, refused, tag, text_of};
use crate::harness::{Api, Edge, Tunnel, eventually};

#[test]
fn a_rollback_can_be_looked_at_first() {
    let (_origin, edge) = Edge::and_origin();
    let api = Api::of(&edge);
    let before = text_of(&edge);
    done(patch(&api, A, "*", json!({ "websocket": { "heartbeat": 9 } })), 200);
    let changed = text_of(&edge);
    let entries = api.read(&format!("{A}/history"))["items"].clone();
    let rollback = format!("/api/v1/audit/{}/rollback", entries[1]["id"]);
    let told = done(api.request("POST", &format!("{rollback}?dry_run=true")).send(), 200);
    let domain = &told["domains"][0];
    assert_eq!((&told["dry_run"], &domain["action"]), (&json!(true), &json!("changed")));
    assert!(domain["diff"].as_str().unwrap().contains("-heartbeat = 9"), "{told}");
    assert_eq!(text_of(&edge), changed);
    let seen = format!("{}", domain["before_revision"]);
    done(api.request("POST", &rollback).field("If-Match", &seen).send(), 200);
    assert_eq!(text_of(&edge), before);
    refused(&api.request("POST", &rollback).field("If-Match", &seen).send(), 412);
    // Back to a domain that is away, if it still is.
    done(api.request("DELETE", A).field("If-Match", "*").send(), 200);
    let back = || api.request("POST", &rollback).field("If-None-Match", "*").send();
    done(back(), 200);
    refused(&back(), 412);
}

#[test]
fn a_file_is_written_as_it_was_sent() {
    let (origin, edge) = Edge::and_origin();
    let api = Api::of(&edge);
    let path = format!("{A}/file");
    let file = api.get(&path);
    let first = tag(&file);
    assert_eq!(file.json()["text"], text_of(&edge));
    let text = format!("# by hand\n{}\n[access]\ndeny = [\"192.0.2.0/24\"]\n", text_of(&edge));
    let put = |query: &str, tag: &str, text: &str| {
        let request = api.request("PUT", &format!("{path}{query}"));
        request.field("If-Match", tag).json(json!({ "text": text })).send()
    };
    let told = done(put("?dry_run=true", &first, &text), 200);
    assert!(told["domains"][0]["diff"].as_str().unwrap().contains("+# by hand"), "{told}");
    assert_eq!(told["domains"][0]["action"], "changed");
    done(put("", &first, &text), 200);
    assert_eq!(text_of(&edge), text);
    Tunnel::open(&edge, &origin, "a.test").check();
    refused(&put("", &first, &text), 412);

    let lines = text.lines().count() as u64;
    for (wrong, line, place) in [
        (format!("{text}[websocket]\nheartbeat = 301\n"), lines + 2, "/websocket/heartbeat"),
        (format!("{text}[access\n"), lines + 1, ""),
        (text.replace("a.test", "b.test"), 2, "/name"),
    ] {
        let problem = refused(&put("", "*", &wrong), 422);
        let found =
            problem["errors"].as_array().unwrap().iter().any(|one| {
                one["line"] == line && one["pointer"].as_str().unwrap_or_default() == place
            });
        assert!(found, "{line} {place}: {problem}");
        assert_eq!(text_of(&edge), text);
    }
    // Also one that somebody broke can be read, and mended.
    std::fs::write(edge.dir().join("domains").join("a.test.toml"), "broken = [").unwrap();
    refused(&api.get(A), 422);
    assert_eq!(api.read(&path)["text"], "broken = [");
    done(put("", "*", &text), 200);
    assert_eq!(api.read(A)["access"]["deny"][0], "192.0.2.0/24");
}

#[test]
fn a_patch_of_origins_fills_the_file_with_no_defaults() {
    let (origin, edge) = Edge::and_origin();
    let api = Api::of(&edge);
    let mut list = api.read(A)["origin"].clone();
    list.as_array_mut().unwrap().push(json!({ "address": "192.0.2.9", "weight": 5, "port": 80 }));
    done(patch(&api, A, "*", json!({ "origin": list })), 200);
    let text = text_of(&edge);
    assert!(text.contains("192.0.2.9") && text.contains("weight = 5"), "{text}");
    // With the key: the origin's own port may have these digits in it.
    assert!(!text.contains("= 443\n") && !text.contains("port = 80\n"), "{text}");
    Tunnel::open(&edge, &origin, "a.test").check();
}

#[test]
fn a_list_tells_what_domains_do_today() {
    let (origin, edge) = Edge::and_origin();
    let api = Api::of(&edge);
    Tunnel::open(&edge, &origin, "a.test").check();
    assert_eq!(api.read(&format!("{DOMAINS}?name=a"))["total"], 0);
    let listed = || api.read(&format!("{DOMAINS}?name=a.test&today=true"))["items"][0].clone();
    eventually("the traffic of today", || {
        listed()["today"]["bytes_out"].as_u64().filter(|bytes| *bytes > 0)
    });
    let listed = listed();
    assert_eq!(listed["origins"], json!({ "configured": 1, "up": 1 }));
    assert_eq!((&listed["heartbeat"], &listed["websocket"]), (&json!(60), &json!(true)));
    let created = api.read(A)["created"].as_str().map(str::to_owned);
    assert!(created.is_some_and(|at| at.ends_with('Z')));
    done(api.request("POST", &format!("{A}/stop")).send(), 200);
    let stopped = api.read(DOMAINS)["items"][0].clone();
    assert_eq!(stopped["origins"], json!({ "configured": 1, "up": null }));
    assert_eq!(stopped["today"], Value::Null);
    let offset = api.read("/api/v1/status")["utc_offset_s"].clone();
    assert_eq!(offset, 8 * 60 * 60);
}
