//! The exact text of problems: it is what an operator reads at night.

use super::*;

#[test]
fn a_value_out_of_range_is_shown_where_it_stands() {
    let problems = server_problems("# ours\n[server]\nworkers = 0 # auto?\n");
    insta::assert_snapshot!(problems, @r#"
    hawser.toml:3:11: server.workers: 0 is not accepted
      3 | workers = 0 # auto?
        |           ^
        = accepted: "auto" or a whole number from 1 to 4096

    1 problem in 1 file
    "#);
}

#[test]
fn every_problem_is_told_at_once() {
    let problems = server_problems(
        r#"version = 2
lisen = 3
[server]
listen = ["0.0.0.0:80", "10.0.0.1", "localhost:80", "0.0.0.0:80"]
listen_tls = ["0.0.0.0:443", "443"]
workrs = 4
state_dir = "state"
window = 3
node = "höst"
[drain]
window = 30
[admin]
listen = 5
[bogus]
"#,
    );
    insta::assert_snapshot!(problems);
}

#[test]
fn rules_that_join_keys() {
    let problems = server_problems(
        "[server]\nlisten = [\"0.0.0.0:9080\"]\nproxy_protocol = \"v2\"\n\
         [health]\ninterval = \"2s\"\n",
    );
    insta::assert_snapshot!(problems);
}

#[test]
fn what_a_domain_gets_wrong() {
    let problems = domain_problems(
        r#"name = "Live.example.com"
heartbeat = 3
[websocket]
heartbeat = "60s"
heartbeat_mode = "activ"
origin_scheme = "wss"
allowed_origins = ["https://a.example/", "a.example", "https://*.a.example", "https://ok.example"]
max_frame = "1MB"
messages_per_second = true
[balance]
key = "client"
[access]
allow = ["10.0.0.1/8", "1.2.3.4/40", "somewhere"]
"#,
    );
    insta::assert_snapshot!(problems);
}

#[test]
fn what_an_origin_gets_wrong() {
    let problems = domain_problems(
        r#"name = "a.example.com"
[[origin]]
port = 0
[[origin]]
address = "10.0.0.1:8080"
[[origin]]
address = "http://inner"
priority = 25
weight = 101
[[origin]]
address = "10.0.0.2"
[[origin]]
address = "10.0.0.2"
https_port = 8443
"#,
    );
    insta::assert_snapshot!(problems);
}

#[test]
fn tables_in_the_wrong_form() {
    insta::assert_snapshot!(domain_problems("name = \"a.example.com\"\n"), @r#"
    a.example.com.toml:1:1: origin: there is no [[origin]]
      1 | name = "a.example.com"
        | ^
        = accepted: 1 to 64 [[origin]]

    1 problem in 1 file
    "#);
    let single = "name = \"a.example.com\"\n[origin]\naddress = \"10.0.0.1\"\n";
    insta::assert_snapshot!(domain_problems(single), @r#"
    a.example.com.toml:2:1: origin: written with one pair of brackets
      2 | [origin]
        | ^^^^^^^^
        = accepted: 1 to 64 [[origin]]

    1 problem in 1 file
    "#);
    let twice = "name = \"a.example.com\"\nwebsocket = true\n[[http]]\n[[http]]\n[[origin]]\n\
        address = \"10.0.0.1\"\n";
    insta::assert_snapshot!(domain_problems(twice), @r#"
    a.example.com.toml:2:13: websocket: not a table
      2 | websocket = true
        |             ^^^^
        = accepted: one [websocket]

    a.example.com.toml:3:1: http: stands more than once
      3 | [[http]]
        | ^^^^^^^^
        = accepted: one [http]

    2 problems in 1 file
    "#);
    let numbers = "name = \"a.example.com\"\norigin = [1]\n";
    insta::assert_snapshot!(domain_problems(numbers), @r#"
    a.example.com.toml:2:11: origin[0]: not a table
      2 | origin = [1]
        |           ^
        = accepted: 1 to 64 [[origin]]

    1 problem in 1 file
    "#);
}

#[test]
fn syntax_errors_have_a_place_too() {
    insta::assert_snapshot!(server_problems("[server\nworkers = 1\n"), @r#"
    hawser.toml:1:8: TOML: unclosed table, expected `]`
      1 | [server
        |        ^

    1 problem in 1 file
    "#);
    insta::assert_snapshot!(server_problems("a = 1\na = 2\n[x]\n[x]\n"), @r#"
    hawser.toml:2:1: TOML: duplicate key
      2 | a = 2
        | ^

    hawser.toml:4:2: TOML: duplicate key
      4 | [x]
        |  ^

    2 problems in 1 file
    "#);
    insta::assert_snapshot!(server_problems("[server]\nnode = edge\n"), @r#"
    hawser.toml:2:8: TOML: string values must be quoted, expected literal string
      2 | node = edge
        |        ^^^^

    1 problem in 1 file
    "#);
    let unclosed = "[server]\nnode = \"edge\n[drain]\nwindow = \"\n";
    insta::assert_snapshot!(server_problems(unclosed), @r#"
    hawser.toml:2:13: TOML: invalid basic string, expected `"`
      2 | node = "edge
        |             ^

    hawser.toml:4:11: TOML: invalid basic string, expected `"`
      4 | window = "
        |           ^

    2 problems in 1 file
    "#);
}

#[test]
fn did_you_mean() {
    let cases = [
        ("heartbeet = 1", Some("heartbeat")),
        ("heart_beat = 1", Some("heartbeat")),
        ("enable = true", Some("enabled")),
        ("max_conections_per_ip = 1", Some("max_connections_per_ip")),
        ("maxframe = 1", Some("max_frame")),
        ("colour = 1", None),
        ("x = 1", None),
    ];
    for (line, meant) in cases {
        let problems = domain_problems(&format!("{DOMAIN}[websocket]\n{line}\n"));
        let what = &problems.0[0].what;
        match meant {
            Some(key) => assert_eq!(what, &format!("unknown key; did you mean `{key}`?")),
            None => assert_eq!(what, "unknown key", "{line}"),
        }
    }
    let cases = [
        ("[http]\nheartbeat = 1", "unknown key; `heartbeat` belongs to [websocket]"),
        (
            "[balance]\nallowed_origin = 1",
            "unknown key; did you mean `allowed_origins` of [websocket]?",
        ),
        ("[http]\nweight = 1", "unknown key; `weight` belongs to [[origin]]"),
        (
            "[balance]\nclose_on_origin_down = 1",
            "unknown key; `close_on_origin_down` stands at the top of the file, before the first \
             table",
        ),
    ];
    for (lines, said) in cases {
        assert_eq!(domain_problems(&format!("{DOMAIN}{lines}\n")).0[0].what, said);
    }
}

#[test]
fn a_terminal_is_told_nothing_but_text() {
    let long = format!("[server]\nnode = \"\\u001b[31m{}\"\n", "x".repeat(300));
    let raw = long.replace("\\u001b", "\t\u{7f}");
    for server in [long, raw] {
        let shown = server_problems(&server).to_string();
        assert!(shown.chars().all(|c| c == '\n' || !c.is_control()), "{shown:?}");
        assert!(shown.lines().all(|line| line.chars().count() < 180), "{shown}");
    }
}

#[test]
fn a_place_far_to_the_right_is_still_pointed_at() {
    let many: Vec<String> = (0..60).map(|n| format!("\"10.0.0.{n}\"")).collect();
    let server = format!("[server]\ntrusted_proxies = [{}, \"nowhere\"]\n", many.join(", "));
    insta::assert_snapshot!(server_problems(&server));
}

#[test]
fn problems_as_json() {
    let problems = server_problems("[server]\nworkers = 0\n");
    insta::assert_snapshot!(serde_json::to_string(&problems).unwrap());
}

#[test]
fn nesting_without_end_is_a_problem_and_not_the_end() {
    for open in ["[", "{a="] {
        let server = format!("a = {}", open.repeat(20_000));
        assert!(!server_problems(&server).0.is_empty());
    }
    let server = format!("[{}]", vec!["a"; 20_000].join("."));
    assert!(!server_problems(&server).0.is_empty());
}

#[test]
fn a_file_of_nothing_but_problems_is_told_of_in_part() {
    use crate::limits::CONFIG_PROBLEMS_MAX;
    let keys: String = (0..80_000).map(|n| format!("k{n}=1\n")).collect();
    assert_eq!(server_problems(&keys).0.len(), CONFIG_PROBLEMS_MAX);
    assert!(server_problems(&"[x\n".repeat(100_000)).0.len() <= CONFIG_PROBLEMS_MAX);
}

#[test]
fn a_wrong_file_name_is_told_beside_other_problems_and_four_numbers_are_no_name() {
    let domain = text(
        "a.example.com.toml",
        "name = \"other.example.com\"\n[websocket]\nheartbeat = 900\n\
         [[origin]]\naddress = \"10.0.0.300\"\n",
    );
    let mut problems = Vec::new();
    assert!(crate::control::config::load::domain_file(&domain, &mut problems).is_none());
    let problems = Problems(problems).to_string();
    assert!(problems.contains("the file is not called as its domain"), "{problems}");
    assert!(problems.contains("heartbeat: 900"), "{problems}");
    let address = "origin[0].address: \"10.0.0.300\": ends in a number, but is not an IPv4 address";
    assert!(problems.contains(address), "{problems}");
}
