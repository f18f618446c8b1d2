//! Changes of domains: whole or not at all, also when somebody is killed in between; live within a
//! second; in the audit log with what was before.

mod certificates;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::api::Answer;
use crate::harness::edge::HAWSER;
use crate::harness::{Api, Authority, DomainFile, Edge, Origin, Tunnel, eventually};

/// Domains that always change together.
const BATCH: usize = 10;

fn file(edge: &Edge, domain: &str) -> PathBuf {
    edge.dir().join("domains").join(format!("{domain}.toml"))
}

fn text(edge: &Edge, domain: &str) -> String {
    fs::read_to_string(file(edge, domain)).expect("the domain's file")
}

/// What an operator wrote, comments and all.
fn commented(domain: &str, origin: &Origin) -> String {
    format!(
        "# Ours since spring.\nname = \"{domain}\" # as in DNS\n[websocket]\nheartbeat = 1 # s\n\
         [[origin]] # the rack by the window\naddress = \"{}\"\nport = {}\n",
        origin.addr.ip(),
        origin.addr.port()
    )
}

fn batch_edge(origin: &Origin) -> Edge {
    let edge = Edge::to(origin);
    for domain in batch() {
        fs::write(file(&edge, &domain), commented(&domain, origin)).expect("a domain file");
    }
    edge.hawser_done(&["reload"]);
    edge
}

fn batch() -> Vec<String> {
    (0..BATCH).map(|n| format!("d{n}.test")).collect()
}

/// The heartbeat of each domain of the batch, as its file says.
fn heartbeats(edge: &Edge) -> Vec<u64> {
    let heartbeat = |domain: &String| {
        let text = text(edge, domain);
        assert!(text.contains("# Ours since spring.") && text.contains("# s\n"), "{text}");
        let line = text.lines().find(|line| line.starts_with("heartbeat")).expect("a heartbeat");
        let number = line.split(['=', '#']).nth(1).expect("a value").trim();
        number.parse().unwrap_or_else(|e| panic!("{line}: {e}"))
    };
    batch().iter().map(heartbeat).collect()
}

/// What all of them say.
fn together(edge: &Edge) -> u64 {
    let all = heartbeats(edge);
    assert!(all.iter().all(|one| *one == all[0]), "half of a batch: {all:?}");
    all[0]
}

fn patches(heartbeat: u64) -> Value {
    let patch = |name: String| {
        json!({
            "action": "patch",
            "name": name,
            "document": { "websocket": { "heartbeat": heartbeat } },
        })
    };
    json!({ "changes": batch().into_iter().map(patch).collect::<Vec<_>>() })
}

/// A file with the whole batch, for `hawser domain apply`.
fn list(edge: &Edge, origin: &Origin, heartbeat: u64) -> String {
    let path = edge.dir().join("list.toml");
    let one = |domain: String| {
        format!(
            "[[domain]]\nname = \"{domain}\"\n[domain.websocket]\nheartbeat = {heartbeat}\n\
             [[domain.origin]]\naddress = \"{}\"\nport = {}\n",
            origin.addr.ip(),
            origin.addr.port()
        )
    };
    fs::write(&path, batch().into_iter().map(one).collect::<String>()).expect("a list");
    path.display().to_string()
}

fn post(api: &Api, path: &str, body: Value) -> Answer {
    api.request("POST", path).json(body).send()
}

/// Every entry of the audit log, newest first.
fn audit(api: &Api, domain: Option<&str>) -> Vec<Value> {
    let (mut all, mut before) = (Vec::new(), String::new());
    let of = domain.map(|domain| format!("&domain={domain}")).unwrap_or_default();
    loop {
        let page = api.read(&format!("/api/v1/audit?limit=100&texts=true{of}{before}"));
        let items = page["items"].as_array().expect("items").clone();
        let Some(last) = items.last() else { return all };
        before = format!("&before={}", last["id"]);
        all.extend(items);
    }
}

/// The log's last word on each domain is what its file says, and each step starts where the one
/// before it ended.
fn log_and_files_agree(edge: &Edge, api: &Api) {
    let mut newest: BTreeMap<String, Value> = BTreeMap::new();
    for entry in audit(api, None).into_iter().filter(|entry| !entry["domain"].is_null()) {
        let domain = entry["domain"].as_str().expect("a name").to_owned();
        if let Some(later) = newest.insert(domain, entry.clone()) {
            assert_eq!(later["before"], entry["after"], "a step is missing: {later}");
        } else {
            let domain = entry["domain"].as_str().expect("a name");
            assert_eq!(
                entry["after"].as_str(),
                fs::read_to_string(file(edge, domain)).ok().as_deref()
            );
        }
    }
    assert!(newest.len() >= BATCH, "{newest:?}");
}

fn hidden(edge: &Edge) -> Vec<PathBuf> {
    let entries = fs::read_dir(edge.dir().join("domains")).expect("domains/");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let hidden =
        |path: &PathBuf| path.file_name().is_some_and(|n| n.to_string_lossy().starts_with('.'));
    paths.filter(hidden).collect()
}

#[test]
fn an_edge_that_is_killed_in_a_stream_of_changes_has_whole_ones_only() {
    let origin = Origin::answering("fine");
    let mut edge = batch_edge(&origin);
    let mut last = 1;
    for round in 0..8 {
        let api = Api::of(&edge);
        let acknowledged = AtomicU64::new(last);
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| {
                for heartbeat in last + 1..300 {
                    match api.request("POST", "/api/v1/changes").json(patches(heartbeat)).try_send()
                    {
                        Some(answer) => assert_eq!(answer.status, 200, "{}", answer.text()),
                        None => return heartbeat,
                    }
                    acknowledged.store(heartbeat, Ordering::Release);
                }
                300
            });
            // Killed at another moment each time: behind so many answers, and a bit.
            eventually("some changes", || {
                (acknowledged.load(Ordering::Acquire) >= last + 1 + round % 3).then_some(())
            });
            let moment = Instant::now() + Duration::from_millis(round * 7);
            while Instant::now() < moment {
                std::hint::spin_loop();
            }
            edge.kill();
            let tried = writer.join().expect("the writer");
            let acknowledged = acknowledged.load(Ordering::Acquire);
            assert!(tried <= acknowledged + 1, "one at a time: {tried} after {acknowledged}");
        });
        edge.start_again();
        let now = together(&edge);
        let acknowledged = acknowledged.into_inner();
        assert!((acknowledged..=acknowledged + 1).contains(&now), "{now} after {acknowledged}");
        assert_eq!(hidden(&edge), Vec::<PathBuf>::new());
        let api = Api::of(&edge);
        log_and_files_agree(&edge, &api);
        let live = api.read("/api/v1/domains/d0.test");
        assert_eq!(live["websocket"]["heartbeat"], now);
        last = now;
    }
}

#[test]
fn a_command_that_is_killed_leaves_a_whole_batch_or_none() {
    let origin = Origin::answering("fine");
    let edge = batch_edge(&origin);
    let api = Api::of(&edge);
    let domains = edge.dir().join("domains");
    let mut last = 1;
    for round in 0..12_usize {
        let path = list(&edge, &origin, last + 1);
        let config = edge.dir().join("hawser.toml");
        let mut command = Command::new(HAWSER);
        command.args(["domain", "apply", "--yes", &path, "-c"]).arg(&config);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut apply = command.spawn().expect("the binary starts");
        // While it prepares its files, and then a little later each time.
        let prepared = if round < 2 { round * BATCH / 2 + 1 } else { BATCH };
        let deadline = Instant::now() + Duration::from_secs(60);
        while count_hidden(&domains) < prepared
            && apply.try_wait().expect("a child").is_none()
            && Instant::now() < deadline
        {
            std::hint::spin_loop();
        }
        let moment = Instant::now() + Duration::from_millis(round.saturating_sub(2) as u64);
        while Instant::now() < moment {
            std::hint::spin_loop();
        }
        let _ = apply.kill();
        let _ = apply.wait();
        edge.hawser_done(&["reload"]);
        assert_eq!(hidden(&edge), Vec::<PathBuf>::new());
        let now = together(&edge);
        assert!((last..=last + 1).contains(&now), "{now} after {last}");
        log_and_files_agree(&edge, &api);
        last = now;
    }
    // The next writer goes on from there.
    edge.hawser_done(&["domain", "set", "d0.test", "websocket.heartbeat=200"]);
    log_and_files_agree(&edge, &api);
}

fn count_hidden(domains: &Path) -> usize {
    let Ok(entries) = fs::read_dir(domains) else { return 0 };
    entries.flatten().filter(|e| e.file_name().to_string_lossy().starts_with('.')).count()
}

#[test]
fn a_batch_with_one_bad_change_changes_nothing() {
    let origin = Origin::answering("fine");
    let edge = batch_edge(&origin);
    let api = Api::of(&edge);
    let (generation, entries) = (edge.generation(), audit(&api, None).len());
    let bad = [
        json!({ "websocket": { "heartbeat": 301 } }),
        json!({ "tls": { "certificate": "/nowhere/cert.pem", "key": "/nowhere/key.pem" } }),
    ];
    for document in bad {
        let mut changes = patches(77);
        changes["changes"][BATCH - 1]["document"] = document;
        let answer = post(&api, "/api/v1/changes", changes);
        assert!((400..500).contains(&answer.status), "{}: {}", answer.status, answer.text());
        assert_eq!(together(&edge), 1);
        assert_eq!((edge.generation(), audit(&api, None).len()), (generation, entries));
        assert_eq!(hidden(&edge), Vec::<PathBuf>::new());
    }
}

#[test]
fn two_writers_lose_nothing_of_each_other() {
    let origin = Origin::answering("fine");
    let edge = batch_edge(&origin);
    let api = Api::of(&edge);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for heartbeat in 2..12 {
                let answer = post(&api, "/api/v1/changes", patches(heartbeat));
                assert_eq!(answer.status, 200, "{}", answer.text());
            }
        });
        for weight in 20..25 {
            let weight = format!("origin[0].weight={weight}");
            edge.hawser_done(&["domain", "set", "d0.test", &weight]);
        }
    });
    assert_eq!(together(&edge), 11);
    assert!(text(&edge, "d0.test").contains("weight = 24"), "{}", text(&edge, "d0.test"));
    log_and_files_agree(&edge, &api);
    let of = |via: &str| {
        let all = audit(&api, Some("d0.test")).into_iter();
        all.filter(|entry| entry["author"]["via"] == via).count()
    };
    assert_eq!((of("api"), of("cli")), (10, 5));
}

#[test]
fn edits_by_hand_are_noticed_at_reload_and_at_start() {
    let origin = Origin::answering("fine");
    let mut edge = Edge::to(&origin);
    let api = Api::of(&edge);
    let first = audit(&api, Some("a.test"));
    assert_eq!((first.len(), &first[0]["action"]), (1, &json!("create")));
    let before = text(&edge, "a.test");
    edge.reload_with(&DomainFile::to("a.test", &origin).websocket("heartbeat = 9"));
    let edited = audit(&api, Some("a.test"));
    assert_eq!((edited.len(), &edited[0]["action"]), (2, &json!("edit")));
    assert_eq!(edited[0]["author"]["via"], "file");
    assert_eq!(edited[0]["before"], before);
    assert_eq!(edited[0]["after"], text(&edge, "a.test"));
    assert!(!edited[0]["author"]["name"].as_str().expect("a name").is_empty());
    edge.write_domain(&DomainFile::to("a.test", &origin).websocket("heartbeat = 10"));
    edge.signal("HUP");
    eventually("the signal is heard", || (audit(&api, Some("a.test")).len() == 3).then_some(()));
    edge.kill();
    edge.write_domain(&DomainFile::to("a.test", &origin).websocket("heartbeat = 11"));
    edge.start_again();
    let api = Api::of(&edge);
    assert_eq!(audit(&api, Some("a.test")).len(), 4);
    edge.hawser_done(&["reload"]);
    assert_eq!(audit(&api, Some("a.test")).len(), 4, "noticed once");
}

#[test]
fn a_domain_goes_back_to_any_version() {
    let origin = Origin::answering("fine");
    let edge = batch_edge(&origin);
    let api = Api::of(&edge);
    let original = text(&edge, "d0.test");
    let answer = api.request("PATCH", "/api/v1/domains/d0.test").field("If-Match", "*");
    let answer = answer.json(json!({ "websocket": { "heartbeat": 50 } })).send();
    assert_eq!(answer.status, 200, "{}", answer.text());
    edge.hawser_done(&["domain", "remove", "d0.test"]);
    assert!(!file(&edge, "d0.test").exists());
    let log = audit(&api, Some("d0.test"));
    let back = |entry: &Value| {
        let answer = post(&api, &format!("/api/v1/audit/{}/rollback", entry["id"]), json!({}));
        assert_eq!(answer.status, 200, "{}", answer.text());
    };
    // Oldest of all: as it was found. The removal is the newest.
    back(&log[2]);
    assert_eq!(text(&edge, "d0.test"), original, "to the letter");
    back(&log[1]);
    assert!(text(&edge, "d0.test").contains("heartbeat = 50 # s"));
    back(&log[0]);
    assert!(!file(&edge, "d0.test").exists(), "back to no file");
    let after = audit(&api, Some("d0.test"));
    assert_eq!(after.len(), log.len() + 3, "each is an entry of its own");
    assert!(after.iter().take(3).all(|entry| entry["action"] == "rollback"), "{after:?}");
    let answer = post(&api, "/api/v1/audit/999999/rollback", json!({}));
    assert_eq!(answer.status, 404, "{}", answer.text());
}

#[test]
fn the_audit_log_is_read_on_the_command_line() {
    let origin = Origin::answering("fine");
    let mut edge = batch_edge(&origin);
    edge.hawser_done(&["domain", "set", "d0.test", "websocket.heartbeat=50"]);
    let list = |edge: &Edge, words: &[&str]| -> Vec<Value> {
        let words = [&["audit", "list", "--json"], words].concat();
        serde_json::from_str(&edge.hawser_done(&words)).expect("JSON")
    };
    let of_one = list(&edge, &["--domain", "d0.test"]);
    let actions: Vec<_> = of_one.iter().map(|entry| entry["action"].clone()).collect();
    assert_eq!(actions, ["set", "create"]);
    let all = list(&edge, &["--limit", "1000"]);
    assert!(all.len() > BATCH && all[0] == of_one[0], "{all:?}");
    let id = of_one[0]["id"].to_string();
    let before = list(&edge, &["--limit", "1", "--before", &id]);
    assert_eq!(before, all[1..2], "going on from there");
    // Also while no edge runs.
    edge.kill();
    let shown = edge.hawser_done(&["audit", "show", &id]);
    for part in ["action  set", "domain  d0.test", "\n-heartbeat = 1 # s", "\n+heartbeat = 50 # s"]
    {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let shown = edge.hawser_done(&["audit", "show", &id, "--json"]);
    let shown: Value = serde_json::from_str(&shown).expect("JSON");
    assert_eq!(shown["after"], text(&edge, "d0.test"));
    let unknown = edge.hawser(&["audit", "show", "999999"]);
    assert_eq!(unknown.status.code(), Some(1));
    let table = edge.hawser_done(&["audit", "list", "--limit", "3"]);
    assert_eq!(table.lines().count(), 4, "{table}");
}

#[test]
fn a_stopped_domain_is_gone_and_comes_back() {
    let (origin, edge) = Edge::and_origin();
    let mut tunnel = Tunnel::open(&edge, &origin, "a.test");
    tunnel.check();
    let before = text(&edge, "a.test");
    edge.hawser_done(&["domain", "set", "a.test", "enabled=false"]);
    assert!(tunnel.client.frame().close_code().is_some(), "not closed");
    let mut client = edge.connect();
    client.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    assert_eq!(client.answer().0.status(), 421);
    let listed = edge.hawser_done(&["domain", "list"]);
    assert!(listed.contains("a.test  stopped"), "{listed}");
    edge.hawser_done(&["domain", "set", "a.test", "enabled="]);
    assert_eq!(text(&edge, "a.test"), before);
    Tunnel::open(&edge, &origin, "a.test").check();
}

#[test]
fn a_change_is_live_for_the_next_handshake() {
    let (one, two) = (Origin::bind(), Origin::bind());
    let edge = Edge::to(&one);
    let api = Api::of(&edge);
    Tunnel::open(&edge, &one, "a.test").check();
    let started = Instant::now();
    let origin = json!([{ "address": two.addr.ip(), "port": two.addr.port() }]);
    let answer = api.request("PATCH", "/api/v1/domains/a.test").field("If-Match", "*");
    let answer = answer.json(json!({ "origin": origin })).send();
    assert_eq!(answer.status, 200, "{}", answer.text());
    Tunnel::open(&edge, &two, "a.test").check();
    // One second for people; a loaded machine gets some more to notice.
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
}

#[test]
fn a_private_key_is_in_its_file_and_nowhere_else() {
    let origin = Origin::answering("fine");
    let mut edge = Edge::builder().tls().domain(DomainFile::to("a.test", &origin)).start();
    let api = Api::of(&edge);
    let pair = Authority::new("root").pair(&["a.test"]);
    let key = fs::read_to_string(pair.key()).expect("the key");
    let certificate = fs::read_to_string(pair.certificate()).expect("the certificate");
    let body = json!({ "certificate": certificate, "key": key });
    let put = || api.request("PUT", "/api/v1/domains/a.test/certificate").field("If-Match", "*");
    let answer = put().json(body).send();
    assert!((200..300).contains(&answer.status), "{}: {}", answer.status, answer.text());
    let other = fs::read_to_string(Authority::new("b").pair(&["a.test"]).key()).expect("a key");
    let refused = put().json(json!({ "certificate": certificate, "key": other })).send();
    assert!((400..500).contains(&refused.status), "{}", refused.text());
    let parts = |key: &str| -> Vec<String> {
        key.lines().filter(|line| line.len() > 40).map(str::to_owned).collect()
    };
    let secrets = [parts(&key), parts(&other)].concat();
    assert!(secrets.len() >= 4, "a key has lines");
    let log = audit(&api, None);
    assert!(log.iter().any(|entry| entry["action"] == "certificate set"), "{log:?}");
    edge.crash_and_start_again();
    let api = Api::of(&edge);
    let said = [
        edge.stderr(),
        refused.text(),
        answer.text(),
        format!("{log:?}"),
        api.get("/api/v1/domains/a.test/certificate").text(),
        edge.hawser_done(&["cert", "list", "--json"]),
    ];
    let inside = |text: &[u8]| {
        let has = |part: &String| text.windows(part.len()).any(|window| window == part.as_bytes());
        secrets.iter().any(has)
    };
    assert!(said.iter().all(|text| !inside(text.as_bytes())), "{said:?}");
    let kept = edge.dir().join("certs/a.test/key.pem");
    for file in files_below(edge.dir()) {
        let is_key = file.canonicalize().ok() == kept.canonicalize().ok();
        let text = fs::read(&file).unwrap_or_default();
        assert_eq!(inside(&text), is_key, "{}", file.display());
    }
}

/// Every file below a directory, links not followed.
fn files_below(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).expect("a directory") {
        let entry = entry.expect("an entry");
        let kind = entry.file_type().expect("a kind");
        match (kind.is_dir(), kind.is_file()) {
            (true, _) => files.extend(files_below(&entry.path())),
            (_, true) => files.push(entry.path()),
            _ => {}
        }
    }
    files
}
