//! The program itself: verbs, exit codes, help, checks, and what it says when it cannot start.

use std::process::{Command, Output, Stdio};

use crate::harness::edge::HAWSER;
use crate::harness::{DomainFile, Edge, Origin, Wire, eventually, upgrade_request};

fn hawser(words: &[&str]) -> Output {
    let mut command = Command::new(HAWSER);
    command.args(words).env("COLUMNS", "100").env("NO_COLOR", "1").stdin(Stdio::null());
    command.output().expect("the binary runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

const VERBS: &[&str] = &[
    "run",
    "demo",
    "check",
    "reload",
    "drain",
    "stop",
    "domain",
    "conns",
    "kill",
    "plan",
    "usage",
    "completions",
    "man",
    "version",
];

#[test]
fn help_of_every_verb() {
    let mut all = text(&hawser(&["--help"]).stdout);
    for verb in VERBS {
        let output = hawser(&[verb, "--help"]);
        assert_eq!(output.status.code(), Some(0), "{verb}");
        all += &format!("\n=== {verb} ===\n{}", text(&output.stdout));
    }
    insta::assert_snapshot!("help", all);
}

#[test]
fn usage_errors_exit_with_2() {
    for words in [
        &[][..],
        &["frob"],
        &["run", "--frob"],
        &["run", "-t", "-T"],
        &["kill"],
        &["kill", "--code", "70000", "--domain", "a.test"],
        &["drain", "--window", "soon"],
        &["conns", "--ip", "x"],
        &["completions", "nosuchshell"],
    ] {
        let output = hawser(words);
        assert_eq!(output.status.code(), Some(2), "{words:?}");
        assert!(!output.stderr.is_empty(), "{words:?} says nothing");
    }
}

#[test]
fn version_names_what_it_is() {
    let short = text(&hawser(&["version"]).stdout);
    assert!(short.contains(env!("CARGO_PKG_VERSION")), "{short}");
    let verbose = text(&hawser(&["version", "--verbose"]).stdout);
    assert!(verbose.contains(env!("CARGO_PKG_VERSION")) && verbose.len() > short.len());
}

#[test]
fn completions_and_manual_are_made_from_the_same_definitions() {
    for shell in ["bash", "zsh", "fish"] {
        let output = hawser(&["completions", shell]);
        assert_eq!(output.status.code(), Some(0), "{shell}");
        let script = text(&output.stdout);
        assert!(VERBS.iter().all(|verb| script.contains(verb)), "{shell}: {script}");
    }
    let bash = hawser(&["completions", "bash"]).stdout;
    let mut check = Command::new("bash").arg("-n").stdin(Stdio::piped()).spawn().expect("bash");
    std::io::Write::write_all(&mut check.stdin.take().expect("piped"), &bash).expect("written");
    assert!(check.wait().expect("bash ends").success(), "bash does not understand its script");
    let man = text(&hawser(&["man"]).stdout);
    assert!(man.contains(".TH") && man.contains("reload"), "{man}");
}

/// A whole configuration in a directory; `-t` and `check` are asked about it.
fn checked(builder: crate::harness::EdgeBuilder, spoil: impl Fn(&std::path::Path)) -> Output {
    let dir = builder.files();
    spoil(dir.path());
    let config = dir.path().join("hawser.toml");
    let output = hawser(&["check", "-c", config.to_str().expect("UTF-8")]);
    let test = hawser(&["run", "-t", "-c", config.to_str().expect("UTF-8")]);
    assert_eq!(test.status.code(), output.status.code(), "run -t differs from check");
    assert_eq!(test.stderr, output.stderr, "run -t differs from check");
    output
}

#[test]
fn a_sound_configuration_checks_out() {
    let origin = Origin::bind();
    let output = checked(Edge::builder().domain(DomainFile::to("a.test", &origin)), |_| {});
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let empty = checked(Edge::builder(), |dir| {
        let own = format!("[server]\nstate_dir = \"{}\"\n", dir.display());
        std::fs::write(dir.join("hawser.toml"), own).expect("written");
    });
    assert_eq!(empty.status.code(), Some(0), "every key has a default: {}", text(&empty.stderr));
}

#[test]
fn check_names_every_problem_at_once_with_its_place() {
    let origin = Origin::bind();
    let output = checked(Edge::builder().domain(DomainFile::to("a.test", &origin)), |dir| {
        let config = dir.join("hawser.toml");
        let sound = std::fs::read_to_string(&config).expect("a file");
        let bad = sound.replace("workers = 1", "workers = 0\nfrobnicate = true");
        std::fs::write(&config, bad.replace("\"127.0.0.1:0\"]", "\"nowhere\"]")).expect("written");
        std::fs::write(
            dir.join("domains/a.test.toml"),
            "name = \"a.test\"\n[websocket]\nheartbeat = 1000\nheartbeat_mode = \"lazy\"\n\
             [[origin]]\naddress = \"10.0.0.1\"\nport = 70000\nprio = 1\n",
        )
        .expect("written");
    });
    assert_eq!(output.status.code(), Some(78));
    let said = text(&output.stderr);
    for (what, parts) in [
        ("the key that is none", &["hawser.toml:", "frobnicate"][..]),
        ("workers", &["workers", "0"]),
        ("the listener", &["nowhere"]),
        ("the heartbeat", &["a.test.toml:3", "heartbeat", "1000", "300"]),
        ("the mode", &["a.test.toml:4", "lazy", "active", "passive"]),
        ("the port", &["a.test.toml:7", "70000", "65"]),
        ("the misspelled key", &["a.test.toml:8", "prio"]),
    ] {
        for part in parts {
            assert!(said.contains(part), "{what}: {part} in\n{said}");
        }
    }
}

#[test]
fn broken_toml_and_missing_files_are_78() {
    let origin = Origin::bind();
    let broken = checked(Edge::builder().domain(DomainFile::to("a.test", &origin)), |dir| {
        std::fs::write(dir.join("domains/b.test.toml"), "name = \"b.test\nx").expect("written");
    });
    assert_eq!(broken.status.code(), Some(78));
    assert!(text(&broken.stderr).contains("b.test.toml:1"), "{}", text(&broken.stderr));
    for verb in [&["check"][..], &["run"], &["run", "-t"]] {
        let output = hawser(&[verb, &["-c", "/nonexistent/hawser.toml"]].concat());
        assert_eq!(output.status.code(), Some(78), "{verb:?}");
        assert!(text(&output.stderr).contains("/nonexistent/hawser.toml"), "{verb:?}");
    }
    let (code, said) = Edge::builder()
        .domain(DomainFile::to("a.test", &origin).websocket("heartbeat = 0"))
        .start_and_end();
    assert_eq!(code, Some(78), "{said}");
    assert!(said.contains("heartbeat"), "{said}");
}

#[test]
fn the_effective_configuration_is_printed_and_is_itself_sound() {
    let origin = Origin::bind();
    let dir = Edge::builder().domain(DomainFile::to("a.test", &origin)).files();
    let config = dir.path().join("hawser.toml");
    let printed = text(&hawser(&["run", "-T", "-c", config.to_str().expect("UTF-8")]).stdout);
    for part in ["heartbeat = 60", "strict_frames = true", "a.test", "window", "[timeouts]"] {
        assert!(printed.contains(part), "{part} in\n{printed}");
    }
}

#[test]
fn a_busy_port_is_a_failure_that_names_the_port() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let addr = taken.local_addr().expect("bound").to_string();
    let origin = Origin::bind();
    let (code, said) =
        Edge::builder().listen(&[&addr]).domain(DomainFile::to("a.test", &origin)).start_and_end();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains(&addr), "{said}");
}

#[test]
fn a_state_directory_that_another_edge_holds_is_refused() {
    let (_origin, edge) = Edge::and_origin();
    let config = edge.dir().join("hawser.toml");
    let output = hawser(&["run", "-c", config.to_str().expect("UTF-8")]);
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stderr);
    assert!(said.contains(edge.dir().to_str().expect("UTF-8")), "{said}");
    assert_eq!(edge.admin_get("/healthz").0, 200);
}

/// The program that makes system calls fail; `None`, with a word about it, where it is missing.
pub fn strace() -> Option<&'static str> {
    if Command::new("strace").arg("-V").stdout(Stdio::null()).status().is_ok() {
        return Some("strace");
    }
    let required = std::env::var_os("HAWSER_TEST_DEPS").is_some();
    assert!(!required, "strace is missing; tests/run installs it");
    eprintln!("skipped: strace is not installed (tests/run installs it)");
    None
}

fn without_io_uring(error: &str) -> Option<(Option<i32>, String)> {
    let strace = strace()?;
    let origin = Origin::bind();
    let inject = format!("inject=io_uring_setup:error={error}");
    Some(
        Edge::builder()
            .domain(DomainFile::to("a.test", &origin))
            .wrapped(&[strace, "-f", "-qq", "-o", "/dev/null", "-e", &inject])
            .start_and_end(),
    )
}

#[test]
fn io_uring_that_is_forbidden_is_77_with_the_cause_and_the_fix() {
    let Some((code, said)) = without_io_uring("EPERM") else { return };
    assert_eq!(code, Some(77), "{said}");
    for part in ["io_uring", "EPERM", "kernel.io_uring_disabled", "seccomp"] {
        assert!(said.contains(part), "{part} in {said}");
    }
}

#[test]
fn io_uring_that_is_missing_is_77_with_the_cause_and_the_fix() {
    let Some((code, said)) = without_io_uring("ENOSYS") else { return };
    assert_eq!(code, Some(77), "{said}");
    assert!(said.contains("io_uring") && said.contains("ENOSYS"), "{said}");
}

#[test]
fn the_start_says_where_it_listens_and_how_many_connections_it_can_hold() {
    let (_origin, edge) = Edge::and_origin();
    eventually("the start is told", || {
        let said = edge.stderr();
        (said.contains(&edge.addr().to_string()) && said.contains("tunnels")).then_some(())
    });
}

#[test]
fn the_demo_needs_no_file_and_serves_a_page_a_ticker_and_an_echo() {
    let mut child = Command::new(HAWSER)
        .args(["demo", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the binary runs");
    let mut said = std::io::BufReader::new(child.stdout.take().expect("piped"));
    let page = first_address(&mut said);
    let served = std::panic::catch_unwind(|| {
        let mut client = Wire::connect(page);
        client.send(format!("GET / HTTP/1.1\r\nHost: {page}\r\n\r\n"));
        let (head, body) = client.answer();
        assert_eq!(head.status(), 200);
        assert!(text(&body).contains("WebSocket"), "the page works with both rooms");
        let paths = websocket_paths(&text(&body));
        assert!(paths.len() >= 2, "{paths:?}");
        let mut pushed = false;
        for path in paths {
            let mut client = Wire::connect(page);
            let host = page.to_string();
            client.send(upgrade_request(&host, "").replacen("/chat", &path, 1));
            assert_eq!(client.head().status(), 101, "{path}");
            client.send_frame(&crate::harness::Frame::text("hello").masked());
            let frame = client.frame();
            assert!(!frame.payload.is_empty());
            pushed |= frame.payload != b"hello";
        }
        assert!(pushed, "the ticker pushes");
    });
    crate::harness::edge::signal(child.id(), "TERM");
    let status = child.wait().expect("ends");
    if let Err(panic) = served {
        std::panic::resume_unwind(panic);
    }
    assert_eq!(status.code(), Some(0));
    let mut rest = String::new();
    std::io::Read::read_to_string(&mut said, &mut rest).expect("UTF-8");
    assert!(rest.contains("plan"), "it opened one for itself, and says so: {rest}");
}

/// The first http address that the demo prints.
fn first_address(said: &mut impl std::io::BufRead) -> std::net::SocketAddr {
    let mut line = String::new();
    loop {
        line.clear();
        assert!(said.read_line(&mut line).expect("UTF-8") > 0, "no address was printed");
        let Some((_, rest)) = line.split_once("http://") else { continue };
        let end = rest.find(|c: char| !(c.is_ascii_digit() || ".:[]".contains(c)));
        return rest[..end.unwrap_or(rest.len())].parse().expect("an address with its port");
    }
}

/// Paths in quotes that the page mentions beside `ws`.
fn websocket_paths(page: &str) -> Vec<String> {
    let mut paths: Vec<String> = ["\"", "'", "`"]
        .iter()
        .flat_map(|quote| page.split(quote))
        .filter(|part| part.starts_with('/') && part.len() > 1 && part.len() < 30)
        .filter(|part| part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'/' || b == b'-'))
        .map(str::to_owned)
        .collect();
    paths.sort_unstable();
    paths.dedup();
    paths
}
