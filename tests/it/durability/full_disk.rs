//! A full disk: a small file system of the test's own, in a mount namespace of its own.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use super::{counted, flush};
use crate::harness::dcdn::{Scheme, Way};
use crate::harness::{Api, Dcdn, DomainFile, Edge, Origin, Tunnel, eventually, upgrade_request};

/// Names the namespace to the test that runs itself in it.
const INSIDE: &str = "HAWSER_TEST_SMALL_DISK";

/// Runs the test of this name again where its temporary directory is a small file system of its
/// own; `true` where that is so.
fn on_a_small_disk(test: &str) -> bool {
    if let Some(dir) = std::env::var_os(INSIDE) {
        let mount = ["-t", "tmpfs", "-o", "size=12m", "tmpfs"];
        let done = Command::new("mount").args(mount).arg(&dir).status();
        assert!(done.is_ok_and(|s| s.success()), "mount {}", Path::new(&dir).display());
        return true;
    }
    let unshare = |words: &[&str]| {
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--mount"]).args(words);
        command
    };
    if !unshare(&["true"]).output().is_ok_and(|o| o.status.success()) {
        let required = std::env::var_os("HAWSER_TEST_DEPS").is_some();
        assert!(!required, "no mount namespace can be made here");
        eprintln!("skipped: no mount namespace can be made here");
        return false;
    }
    let dir = tempfile::tempdir().expect("a directory");
    let program = std::env::current_exe().expect("its own path");
    let output = unshare(&[program.to_str().expect("UTF-8"), "--exact", test, "--nocapture"])
        .env(INSIDE, dir.path())
        .env("TMPDIR", dir.path())
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}\n{errors}");
    assert!(said.contains("1 passed"), "{test} was not run: {said}");
    false
}

/// Takes all the room that is left until it is dropped.
struct Ballast(PathBuf);

impl Ballast {
    fn fill(dir: &Path) -> Ballast {
        let path = dir.join("ballast");
        let mut file = File::create(&path).expect("a file");
        let (mut size, block) = (65_536, [0; 65_536]);
        while size > 0 {
            match file.write(&block[..size]) {
                Ok(n) if n > 0 => {}
                _ => size /= 2,
            }
        }
        Ballast(path)
    }
}

impl Drop for Ballast {
    fn drop(&mut self) {
        // The next test's directory goes with it in any case.
        let _ = std::fs::remove_file(&self.0);
    }
}

#[test]
fn it_serves_on_says_so_and_loses_nothing() {
    let test = "durability::full_disk::it_serves_on_says_so_and_loses_nothing";
    if !on_a_small_disk(test) {
        return;
    }
    let (origin, edge) = Edge::and_origin();
    let api = Api::of(&edge);
    let mut tunnel = Tunnel::open(&edge, &origin, "a.test");
    tunnel.check();
    flush(&edge);
    let before = counted(&api);
    let ballast = Ballast::fill(edge.dir());
    // What cannot be written is owed.
    for _ in 0..5 {
        tunnel.check();
    }
    let (status, text) = eventually("a flush fails", || {
        tunnel.check();
        let answer = edge.control_raw("POST", "/v1/flush", None);
        (answer.0 != 204).then_some(answer)
    });
    assert!(status >= 500 && text.contains("disk") || text.contains("full"), "{status} {text}");
    eventually("the log says so", || {
        let said = edge.stderr();
        (said.contains("ERROR") && said.contains("statistics")).then_some(())
    });
    let metrics = edge.metrics();
    assert!(metrics.sum("hawser_statistics_waiting_rows", &[]) > 0.0);
    assert!(metrics.sum("hawser_statistics_flushes_total", &[("result", "failure")]) > 0.0);
    let mut another = Tunnel::open(&edge, &origin, "a.test");
    another.check();
    assert_eq!(edge.admin_get("/healthz").0, 200);
    assert_eq!(counted(&api).opened, before.opened, "reading works");
    drop(ballast);
    flush(&edge);
    assert_eq!(edge.metrics().sum("hawser_statistics_waiting_rows", &[]), 0.0);
    let after = counted(&api);
    assert_eq!(after.opened, before.opened + 1);
    let live = edge.metrics();
    let sent = live.sum("hawser_client_sent_messages_total", &[("domain", "a.test")]);
    assert_eq!(after.messages_out, sent as u64, "all that was counted is there");
    tunnel.check();
    another.check();
}

/// A change that cannot be written is refused whole; what was live stays live and can be changed
/// once there is room.
#[test]
fn changes_are_refused_whole() {
    let test = "durability::full_disk::changes_are_refused_whole";
    if !on_a_small_disk(test) {
        return;
    }
    let origin = Origin::echoing();
    let edge = Edge::with(DomainFile::to("a.test", &origin).websocket("heartbeat = 50"));
    let (api, dcdn) = (Api::of(&edge), Dcdn::of(&edge));
    let file = edge.dir().join("domains/a.test.toml");
    let text = std::fs::read_to_string(&file).expect("a file");
    let ballast = Ballast::fill(edge.dir());
    let patch = || {
        let body = json!({ "websocket": { "heartbeat": 51 } }).to_string();
        let request = api.request("PATCH", "/api/v1/domains/a.test").field("If-Match", "*");
        request.body("application/merge-patch+json", body).send()
    };
    // Its first few bytes may still find room in a page that is there.
    let refused = eventually("a change is refused", || {
        let answer = patch();
        (answer.status >= 400).then_some(answer)
    });
    assert!(matches!(refused.status, 500..=599), "{}: {}", refused.status, refused.text());
    let functions = super::super::dcdn::function("websocket", &[("enabled", "off")]);
    let set = [("DomainNames", "a.test"), ("Functions", functions.as_str())];
    let call = dcdn.call("BatchSetDcdnDomainConfigs", &set).scheme(Scheme::V1).way(Way::PostForm);
    let answer = call.send();
    assert!(matches!(answer.status, 500..=599), "{}", answer.text());
    assert_eq!(std::fs::read_to_string(&file).expect("a file"), text, "the file is as it was");
    let handshake = || {
        let mut client = edge.connect();
        client.send(upgrade_request("a.test", ""));
        client.head().status()
    };
    assert_eq!(handshake(), 101);
    drop(ballast);
    let answer = patch();
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(std::fs::read_to_string(&file).expect("a file").contains("heartbeat = 51"));
    assert_eq!(handshake(), 101);
}

/// An edge that starts where nothing can be written says what is wrong.
#[test]
fn a_start_without_room_says_so() {
    if !on_a_small_disk("durability::full_disk::a_start_without_room_says_so") {
        return;
    }
    let origin = Origin::bind();
    let dir = std::env::temp_dir();
    let builder = Edge::builder().domain(DomainFile::to("a.test", &origin));
    let files = builder.files();
    let ballast = Ballast::fill(&dir);
    let (code, said) = builder.run_to_its_end(files.path());
    drop(ballast);
    assert!(code.is_some_and(|code| code != 0), "{code:?} {said}");
    assert!(said.contains("space") || said.contains("room") || said.contains("full"), "{said}");
}
