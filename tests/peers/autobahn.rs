//! The cases of the Autobahn test suite through the edge: a transparent proxy gives the verdicts of
//! a direct run against the same echo, or stricter ones for a reason that stands in [`STRICTER`].

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use super::harness::{DomainFile, Edge, eventually};
use super::{Server, deps, python, succeeds, tungstenite_echo};

/// Cases in which a sound message comes right before a wrong frame. Directly, the echo of the
/// message arrives before the close; behind the edge, which closes at the wrong frame before the
/// origin has seen it, the echo need not come any more. The suite calls both right: `OK` with the
/// echo, `NON-STRICT` without. Every other case has to have the verdict of the direct run.
const STRICTER: &[&str] =
    &["3.2", "3.3", "3.4", "4.1.3", "4.1.4", "4.1.5", "4.2.3", "4.2.4", "4.2.5", "5.15"];

/// By case: how it went, how it was closed, and with which code.
type Verdicts = BTreeMap<String, (String, String, Value)>;

fn verdicts(index: &Path) -> Verdicts {
    let text =
        std::fs::read_to_string(index).unwrap_or_else(|e| panic!("{}: {e}", index.display()));
    let value: Value = serde_json::from_str(&text).expect("JSON");
    let agents = value.as_object().expect("agents");
    let cases = agents.values().next().and_then(Value::as_object).expect("cases of one agent");
    let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
    let verdict =
        |v: &Value| (text(&v["behavior"]), text(&v["behaviorClose"]), v["remoteCloseCode"].clone());
    cases.iter().map(|(case, v)| (case.clone(), verdict(v))).collect()
}

fn rank(behavior: &str) -> u8 {
    match behavior {
        "OK" | "INFORMATIONAL" => 0,
        "NON-STRICT" => 1,
        _ => 2,
    }
}

fn compare(direct: &Verdicts, through: &Verdicts) {
    assert_eq!(direct.len(), through.len(), "not the same cases");
    assert!(direct.len() >= 200, "only {} cases ran", direct.len());
    let (mut wrong, mut told) = (Vec::new(), Vec::new());
    for (case, (before, close_before, code_before)) in direct {
        let (after, close_after, code_after) = &through[case];
        let stricter = rank(before) == 0 && rank(after) == 1 && STRICTER.contains(&case.as_str());
        if stricter {
            told.push(case.as_str());
        }
        let better = rank(after) < rank(before);
        let close_same = close_after == close_before || rank(close_after) < rank(close_before);
        if !(after == before || stricter || better) || !close_same {
            wrong.push(format!(
                "{case}: {before}/{close_before} ({code_before}) became {after}/{close_after} \
                 ({code_after})"
            ));
        }
    }
    eprintln!("stricter than a direct run: {}", told.join(" "));
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), direct.len(), wrong.join("\n"));
}

/// All but the mass and compression groups, which test speed and take minutes.
const QUICK: &[&str] = &["-x", "9.*", "-x", "12.*", "-x", "13.*"];

fn kosoku(deps: &Path, words: &[&str], address: &str) -> Verdicts {
    let out = tempfile::tempdir().expect("a directory");
    let mut command = Command::new(deps.join("py/bin/kosoku"));
    command.args(["-m", "fuzzingclient", "-p", "4"]).args(words);
    command.arg("-o").arg(out.path()).arg(address).stdin(Stdio::null());
    // Its exit code says whether every case passed; the verdicts are compared here instead.
    let output = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let index = out.path().join("index.json");
    assert!(index.exists(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    verdicts(&index)
}

fn edge_to(origin: SocketAddr) -> Edge {
    Edge::with(DomainFile::new("localhost").origin(origin, ""))
}

fn at(addr: SocketAddr) -> String {
    format!("localhost:{}", addr.port())
}

#[test]
fn every_case_through_the_edge_is_judged_as_in_a_direct_run() {
    let Some(deps) = deps() else { return };
    let python = Server::start(python(&deps, "echo_server.py"));
    let tungstenite = tungstenite_echo();
    for origin in [python.addr, tungstenite.addr] {
        let direct = kosoku(&deps, QUICK, &at(origin));
        let edge = edge_to(origin);
        let through = kosoku(&deps, QUICK, &at(edge.addr()));
        compare(&direct, &through);
    }
}

/// Compressed messages pass as they are: a sample of each window size and direction.
#[test]
fn compressed_cases_through_the_edge_are_judged_as_in_a_direct_run() {
    let Some(deps) = deps() else { return };
    let origin = Server::start(python(&deps, "echo_server.py"));
    let edge = edge_to(origin.addr);
    let some: Vec<String> = (1..=5)
        .flat_map(|group| ["1", "5", "10"].map(|case| format!("12.{group}.{case}")))
        .chain((1..=7).map(|group| format!("13.{group}.3")))
        .collect();
    let words: Vec<&str> = some.iter().flat_map(|case| ["-i", case]).collect();
    let direct = kosoku(&deps, &words, &at(origin.addr));
    let through = kosoku(&deps, &words, &at(edge.addr()));
    assert_eq!(through.len(), some.len());
    assert_eq!(direct, through);
}

/// The heavy group: messages up to 16 MiB, in chops down to 64 bytes.
#[test]
fn large_messages_through_the_edge_are_judged_as_in_a_direct_run() {
    let Some(deps) = deps() else { return };
    let origin = tungstenite_echo();
    let edge = edge_to(origin.addr);
    let words = ["-i", "9.1.*", "-i", "9.2.*", "-i", "9.5.*"];
    let through = kosoku(&deps, &words, &at(edge.addr()));
    assert!(through.len() >= 12, "{through:?}");
    let failed: Vec<_> = through.iter().filter(|(_, (behavior, ..))| behavior != "OK").collect();
    assert!(failed.is_empty(), "{failed:?}");
}

/// The other way round: the suite is the origin, and a client library behind the edge is judged.
#[test]
fn a_client_behind_the_edge_is_judged_as_in_a_direct_run() {
    let Some(deps) = deps() else { return };
    let run = |through_edge: bool| {
        let out = tempfile::tempdir().expect("a directory");
        let free = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port");
        let mut command = Command::new(deps.join("py/bin/kosoku"));
        command.args(["-m", "fuzzingserver"]).args(QUICK).arg("-o").arg(out.path());
        command.arg(free.to_string()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().unwrap_or_else(|e| panic!("{command:?}: {e}"));
        let _suite = Server { child, addr: free };
        eventually("the suite listens", || std::net::TcpStream::connect(free).ok());
        let edge = through_edge.then(|| edge_to(free));
        let target = edge.as_ref().map_or(free, Edge::addr);
        let mut client = python(&deps, "autobahn_client.py");
        client.args([at(target), "websockets".to_owned()]);
        succeeds(client);
        let index = out.path().join("index.json");
        eventually("the reports are written", || {
            let text = std::fs::read_to_string(&index).ok()?;
            serde_json::from_str::<Value>(&text).ok().map(drop)
        });
        verdicts(&index)
    };
    compare(&run(false), &run(true));
}

/// The original suite needs CPython 2.7, which few machines have; `tests/run` prepares it where one
/// is.
#[test]
fn the_original_suite_judges_as_in_a_direct_run() {
    let Some(deps) = deps() else { return };
    let wstest = deps.join("autobahn/bin/wstest");
    if !wstest.exists() {
        eprintln!("skipped: no CPython 2.7 with ssl here, so the original Autobahn cannot run");
        return;
    }
    let origin = tungstenite_echo();
    let edge = edge_to(origin.addr);
    let run = |addr: SocketAddr| {
        let out = tempfile::tempdir().expect("a directory");
        let spec = serde_json::json!({
            "outdir": out.path(),
            "servers": [{"agent": "edge", "url": format!("ws://{}/", at(addr))}],
            "cases": ["*"],
            "exclude-cases": ["9.*", "12.*", "13.*"],
            "exclude-agent-cases": {},
        });
        let file = out.path().join("spec.json");
        std::fs::write(&file, spec.to_string()).expect("written");
        let mut command = Command::new(&wstest);
        command.args(["-m", "fuzzingclient", "-s"]).arg(&file).current_dir(out.path());
        succeeds(command);
        verdicts(&out.path().join("index.json"))
    };
    compare(&run(origin.addr), &run(edge.addr()));
}
