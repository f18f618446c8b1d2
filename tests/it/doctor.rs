//! `hawser doctor` and `/api/v1/doctor`: the host as it is, judged for a size.

use std::process::{Command, Output};

use serde_json::Value;

use crate::harness::edge::HAWSER;
use crate::harness::{Api, Edge};

/// The verb, in a shell that has this many descriptors.
fn doctor(edge: &Edge, descriptors: u32, words: &[&str]) -> Output {
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n \"$1\"; shift; exec \"$@\"", "sh", &descriptors.to_string()]);
    command.arg(HAWSER).arg("doctor").arg("-c").arg(edge.dir().join("hawser.toml"));
    command.args(words).output().expect("a shell")
}

fn of(report: &Value, name: &str) -> Value {
    let items = report["items"].as_array().expect("items");
    items.iter().find(|item| item["name"] == name).unwrap_or_else(|| panic!("{name}")).clone()
}

#[test]
fn the_limits_of_this_host_are_read_and_what_they_allow_is_said() {
    let mut edge = Edge::builder().workers(2).start();
    edge.kill();
    let output = doctor(&edge, 1024, &["--connections", "5000"]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{text}");
    let seen = "problem  LimitNOFILE=: 1,024; wanted: at least 65,536";
    assert!(text.contains(seen), "{text}");
    assert!(text.contains("fix: LimitNOFILE=65536"), "{text}");
    assert!(text.ends_with("1,024 connections: LimitNOFILE= 1,024\n"), "{text}");
    assert!(text.contains("no edge runs"), "{text}");
    let output = doctor(&edge, 1024, &["--connections", "100", "--json"]);
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(output.status.code(), Some(0), "{report}");
    assert_eq!(of(&report, "LimitNOFILE=")["state"], "notice");
    assert_eq!(report["connections"]["allowed"], 1024);
    assert_eq!(of(&report, "io_uring")["state"], "ok");
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").expect("a release");
    assert_eq!(of(&report, "Linux")["seen"], release.trim());
}

#[test]
fn a_running_edge_is_asked_for_its_own_limits() {
    let edge = Edge::builder().workers(1).start();
    let output = doctor(&edge, 1024, &["--connections", "5", "--json"]);
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(report["pid"], edge.pid);
    assert_ne!(of(&report, "LimitNOFILE=")["seen"], "1,024");
    let api = Api::of(&edge).bearing(&edge.key("read"));
    let own = api.read("/api/v1/doctor?connections=5");
    assert_eq!(own["pid"], edge.pid);
    assert_eq!(of(&own, "LimitNOFILE="), of(&report, "LimitNOFILE="));
    assert_eq!((&own["workers"], &own["size"]["from"]), (&1.into(), &"asked".into()));
    for wrong in ["0", "-1", "100000001", "x"] {
        assert_eq!(api.get(&format!("/api/v1/doctor?connections={wrong}")).status, 400, "{wrong}");
    }
}

#[test]
fn a_file_that_others_may_read_is_a_problem_with_its_fix() {
    let edge = Edge::builder().start();
    let path = edge.dir().join("admin.key");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    std::fs::set_permissions(&path, mode).expect("a mode");
    let output = doctor(&edge, 4096, &["--connections", "5"]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains(&format!("fix: chmod go= {}", path.display())), "{text}");
}

/// `tuning/affinity` names what is not there, and shows what it would write without writing it.
#[test]
fn the_affinity_script_refuses_what_this_host_does_not_have() {
    let affinity = |words: &[&str]| {
        let output = Command::new("tuning/affinity").args(words).output().expect("the script");
        let said = [&output.stdout[..], &output.stderr].concat();
        (output.status.code(), String::from_utf8_lossy(&said).into_owned())
    };
    for (words, code, said) in [
        (&["--dry-run", "hawser-none0"][..], 1, "no interface hawser-none0"),
        (&["--dry-run", "--cpus", "99999", "lo"], 1, "there is no processor 99999"),
        (&["--dry-run", "--cpus", "0-", "lo"], 1, "is no list such as"),
        (&["--dry-run", "../lo"], 1, "no name of an interface"),
        (&["--dry-run"], 2, "--undo INTERFACE"),
    ] {
        let (ended, text) = affinity(words);
        assert!(ended == Some(code) && text.contains(said), "{words:?}: {ended:?}\n{text}");
    }
    let queue = "/sys/class/net/lo/queues/rx-0/rps_cpus";
    // Kernels without RPS have no such file.
    let Ok(before) = std::fs::read_to_string(queue) else { return };
    let (ended, text) = affinity(&["--dry-run", "--rps", "--cpus", "0", "lo"]);
    assert!(ended == Some(0) && text.contains(&format!("1 > {queue}")), "{ended:?}\n{text}");
    assert_eq!(std::fs::read_to_string(queue).ok(), Some(before));
}
