//! The verbs that need no running edge, over the real program: `check`, `domain` and `key`, with
//! the files that they leave behind. Not here: everything that needs an edge (`it`).

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixListener;
use std::process::{Command, Output, Stdio};

/// A state directory of its own.
struct Site(tempfile::TempDir);

impl Site {
    fn new() -> Site {
        Site(tempfile::tempdir().unwrap())
    }

    /// Without plans: WebSocket needs none.
    fn command(&self, words: &[&str]) -> Command {
        let config = self.0.path().join("hawser.toml");
        fs::write(&config, "[billing]\nenabled = false\n").unwrap();
        let mut command = self.with_plans(words);
        command.arg("-c").arg(config);
        command
    }

    fn with_plans(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hawser"));
        command.args(words).arg("--state-dir").arg(self.0.path()).stdin(Stdio::null());
        command
    }

    fn run(&self, words: &[&str]) -> Output {
        self.command(words).output().unwrap()
    }

    /// What it prints; the exit code is 0.
    fn done(&self, words: &[&str]) -> String {
        let output = self.run(words);
        assert_eq!(output.status.code(), Some(0), "{words:?}: {}", said(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    fn fails(&self, words: &[&str], code: i32) -> String {
        let output = self.run(words);
        assert_eq!(output.status.code(), Some(code), "{words:?}: {}", said(&output));
        said(&output).replace(&self.0.path().display().to_string(), "DIR")
    }

    fn file(&self, name: &str) -> String {
        fs::read_to_string(self.0.path().join("domains").join(name)).unwrap_or_default()
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

const NO_EDGE: &str = "no edge is running; it will be used at the next start\n";

#[test]
fn a_domain_is_made_changed_shown_and_removed() {
    let site = Site::new();
    let name = "live.example.com";
    let made = site.done(&["domain", "set", name, "-o", "10.0.0.5:8080", "websocket.heartbeat=30"]);
    assert_eq!(made, format!("created {name}\n{NO_EDGE}"));
    assert_eq!(
        site.file("live.example.com.toml"),
        "name = \"live.example.com\"\n\n[[origin]]\naddress = \"10.0.0.5\"\nport = 8080\n\n\
         [websocket]\nheartbeat = 30\n"
    );
    let shown = site.done(&["domain", "show", name]);
    assert_eq!(shown, site.file("live.example.com.toml"));
    let effective = site.done(&["domain", "show", name, "--effective"]);
    assert!(effective.contains("heartbeat = 30\n") && effective.contains("strict_frames = true\n"));
    let json: serde_json::Value =
        serde_json::from_str(&site.done(&["domain", "show", name, "--json"])).unwrap();
    assert_eq!(json["websocket"]["heartbeat"], 30);
    assert_eq!(json["origin"][0]["port"], 8080);
    let list = site.done(&["domain", "list"]);
    assert_eq!(
        list,
        "DOMAIN            WEBSOCKET  HEARTBEAT       ORIGINS\n\
         live.example.com  on         30 s, active    10.0.0.5:8080\n"
    );
    assert_eq!(site.done(&["check", "-v"]).split(',').next(), Some("configuration ok: 1 domain"));
    assert_eq!(site.done(&["check"]), "");
    assert_eq!(site.done(&["domain", "remove", name]), format!("removed {name}\n{NO_EDGE}"));
    assert_eq!(site.file("live.example.com.toml"), "");
    let unknown = site.fails(&["domain", "remove", name], 1);
    assert!(unknown.contains("there is no domain \"live.example.com\""), "{unknown}");
}

#[test]
fn a_bad_change_changes_nothing_and_says_why() {
    let site = Site::new();
    site.done(&["domain", "set", "a.test", "-o", "10.0.0.5"]);
    let before = site.file("a.test.toml");
    let cases: [(&[&str], i32, &str); 7] = [
        (
            &["websocket.heartbeat=301"],
            78,
            "DIR/domains/a.test.toml:7:13: websocket.heartbeat: 301",
        ),
        (&["websocket.heartbeet=30"], 78, "did you mean `heartbeat`?"),
        (&["origin[0]="], 78, "there is no [[origin]]"),
        (&["origin[4].address=10.0.0.6"], 2, "the next one is origin[1]"),
        (&["name=b.test"], 2, "the name of a domain cannot be changed"),
        (&["heartbeat"], 2, "write KEY=VALUE"),
        (&["-o", "10.0.0.5:http"], 2, "\"http\" is not a port"),
    ];
    for (change, code, why) in cases {
        let error = site.fails(&[&["domain", "set", "a.test"], change].concat(), code);
        assert!(error.contains(why), "{change:?}: {error}");
        assert_eq!(site.file("a.test.toml"), before, "{change:?}");
    }
    let error = site.fails(&["domain", "set", "../evil", "-o", "10.0.0.5"], 2);
    assert!(error.contains("is not a domain name"), "{error}");
    let error = site.fails(&["domain", "set", "new.test", "websocket.heartbeat=30"], 78);
    assert!(
        error.starts_with("hawser: nothing was changed\nDIR/domains/new.test.toml:1:1: origin")
    );
    assert_eq!(site.file("new.test.toml"), "");
    assert_eq!(fs::read_dir(site.0.path().join("domains")).unwrap().count(), 1);
}

#[test]
fn comments_outlive_a_change_and_an_export() {
    let site = Site::new();
    site.done(&["domain", "set", "a.test", "-o", "10.0.0.5"]);
    site.done(&["domain", "set", "*.test", "-o", "inner.test:81"]);
    let text = "# Ours.\nname = \"a.test\"\n\n[[origin]] # old rack\naddress = \"10.0.0.5\"\n";
    fs::write(site.0.path().join("domains/a.test.toml"), text).unwrap();
    site.done(&["domain", "set", "a.test", "origin[0].port=8080"]);
    assert_eq!(site.file("a.test.toml"), format!("{text}port = 8080\n"));

    let export = site.done(&["domain", "export"]);
    assert!(export.contains("# Ours.\nname = \"a.test\"") && export.contains("# old rack"));
    let list = site.0.path().join("list.toml");
    let list = list.to_str().unwrap();
    fs::write(list, &export).unwrap();
    assert_eq!(site.done(&["domain", "apply", list]), "nothing differs\n");
    fs::write(list, export.replace("8080", "9090")).unwrap();
    let difference = site.done(&["domain", "apply", "-n", list]);
    assert!(difference.contains("-port = 8080\n+port = 9090\n"), "{difference}");
    assert!(site.file("a.test.toml").contains("8080"), "a dry run writes nothing");
    let applied = site.done(&["domain", "apply", "-f", list, "--yes"]);
    assert!(applied.ends_with(&format!("changed a.test\n{NO_EDGE}")), "{applied}");
    assert_eq!(site.file("a.test.toml"), format!("{text}port = 9090\n"));
    assert_eq!(site.done(&["domain", "export", "*.test"]).matches("[[domain]]").count(), 1);
}

#[test]
fn a_list_with_one_bad_domain_is_refused_as_a_whole() {
    let site = Site::new();
    let origin = "[[domain.origin]]\naddress = \"10.0.0.5\"\n";
    let list = format!(
        "[[domain]]\nname = \"a.test\"\n{origin}[[domain]]\nname = \"b.test\"\n{origin}port = 0\n"
    );
    let mut apply = site
        .command(&["domain", "apply", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    apply.stdin.take().unwrap().write_all(list.as_bytes()).unwrap();
    let output = apply.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(78));
    let place = "standard input:9:8: domain[1].origin[0].port: 0 is not accepted";
    assert!(said(&output).contains(place), "{}", said(&output));
    assert_eq!(site.file("a.test.toml"), "");
}

#[test]
fn a_running_edge_is_told_and_its_answer_shown() {
    let site = Site::new();
    let listener = UnixListener::bind(site.0.path().join("control.sock")).unwrap();
    let edge = std::thread::spawn(move || {
        for (request, status, body) in [
            ("GET /v1/status", "200 OK", r#"{"plan_in_effect":true}"#),
            ("POST /v1/reload", "200 OK", r#"{"generation":7,"hash":"x","domains":1}"#),
            (
                "POST /v1/reload",
                "422 Unprocessable Content",
                r#"{"detail":"b.toml:1:1: no","problems":[]}"#,
            ),
        ] {
            let (mut stream, _) = listener.accept().unwrap();
            let mut line = String::new();
            BufReader::new(&stream).read_line(&mut line).unwrap();
            assert_eq!(line, format!("{request} HTTP/1.1\r\n"));
            let length = body.len();
            write!(stream, "HTTP/1.1 {status}\r\ncontent-length: {length}\r\n\r\n{body}").unwrap();
        }
    });
    let made = site.done(&["domain", "set", "a.test", "-o", "10.0.0.5"]);
    assert_eq!(made, "created a.test\nthe edge runs with it: generation 7\n");
    let refused = site.fails(&["domain", "set", "a.test", "origin[0].port=81"], 78);
    assert_eq!(
        refused,
        "hawser: the edge keeps its old configuration, and what was written is put back:\n\
         b.toml:1:1: no\n"
    );
    assert!(!site.file("a.test.toml").contains("81"));
    edge.join().unwrap();
}

#[test]
fn websocket_needs_a_plan_unless_nobody_bills() {
    let site = Site::new();
    let set = ["domain", "set", "a.test", "-o", "10.0.0.5"];
    let refused = site.with_plans(&set).output().unwrap();
    assert_eq!(refused.status.code(), Some(1));
    let said = said(&refused);
    assert!(said.contains("no billing plan") && said.contains("hawser plan open"), "{said}");
    assert_eq!(site.file("a.test.toml"), "");
    let off = [&set[..], &["websocket.enabled=false"]].concat();
    assert!(site.with_plans(&off).output().unwrap().status.success());
    site.done(&["domain", "set", "a.test", "websocket.enabled=true"]);
}

#[test]
fn keys_are_made_listed_and_revoked() {
    let site = Site::new();
    let create = ["key", "create", "--name", "deploy", "--role", "admin", "--json"];
    let made: serde_json::Value = serde_json::from_str(&site.done(&create)).unwrap();
    let (id, secret) = (made["access_key_id"].as_str(), made["access_key_secret"].as_str());
    let (id, secret) = (id.unwrap(), secret.unwrap());
    assert_eq!((id.len(), secret.len()), (20, 40));
    let list = site.done(&["key", "list"]);
    assert!(list.contains(id) && list.contains("deploy") && !list.contains(secret), "{list}");
    let error = site.fails(&["key", "revoke", id], 1);
    assert!(error.contains("is the last admin key"), "{error}");
    site.done(&["key", "create", "--name", "other", "--role", "admin"]);
    assert_eq!(site.done(&["key", "revoke", id]), format!("revoked {id} (deploy)\n"));
    let list: serde_json::Value =
        serde_json::from_str(&site.done(&["key", "list", "--json"])).unwrap();
    assert!(list[0]["revoked"].is_string() && list[1]["revoked"].is_null());
    let error = site.fails(&["key", "create", "--name", "x", "--role", "root"], 2);
    assert!(error.contains("accepted is read, operate or admin"), "{error}");
}

#[test]
fn check_as_json_is_a_list_for_programs() {
    let site = Site::new();
    assert_eq!(site.done(&["check", "--json"]), "[]\n");
    site.done(&["domain", "set", "a.test", "-o", "10.0.0.5"]);
    fs::write(site.0.path().join("domains/a.test.toml"), "name = 1\n").unwrap();
    let output = site.run(&["check", "--json"]);
    assert_eq!((output.status.code(), said(&output).as_str()), (Some(78), ""));
    let problems: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(problems[1]["path"], "name");
    assert_eq!((&problems[1]["line"], &problems[1]["column"]), (&1.into(), &8.into()));
}

#[test]
fn a_reader_that_has_enough_is_no_failure() {
    let site = Site::new();
    let mut child = site
        .command(&["check", "-T"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), said(&output).as_str()), (Some(0), ""));
}
