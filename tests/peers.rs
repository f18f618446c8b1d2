//! Peers written by others, through the edge: Python `websockets`, npm `ws`, curl, tungstenite,
//! OpenSSL, Chromium, sslyze, Pebble (a CA), the official SDKs of DCDN, schemathesis, and the
//! cases of the Autobahn test suite (kosoku runs them on any machine; the original where a CPython
//! 2.7 exists). What they need stands in `target/test-deps`, which `tests/run` fills.
//!
//! Not here: peers that the tests play themselves (`tests/it`).

#[path = "peers/acme.rs"]
mod acme;
#[path = "peers/autobahn.rs"]
mod autobahn;
#[path = "peers/dcdn.rs"]
mod dcdn;
#[allow(dead_code, unused_imports, reason = "the harness of tests/it; this uses a part of it")]
#[path = "it/harness/mod.rs"]
mod harness;
#[path = "peers/openapi.rs"]
mod openapi;
#[path = "peers/tls.rs"]
mod tls;
#[path = "peers/tlsfuzzer.rs"]
mod tlsfuzzer;

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use harness::{DomainFile, Edge, Origin};

/// Where `tests/run` put the peers; `None`, with a word about it, in a plain `cargo test`.
fn deps() -> Option<PathBuf> {
    let deps = std::env::var_os("HAWSER_TEST_DEPS").map(PathBuf::from);
    if deps.is_none() {
        eprintln!("skipped: ./tests/run installs the peers and sets HAWSER_TEST_DEPS");
    }
    deps
}

fn peer(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers").join(file)
}

fn python(deps: &Path, script: &str) -> Command {
    let mut command = Command::new(deps.join("py/bin/python"));
    command.arg(peer(script)).env("PYTHONUNBUFFERED", "1");
    command
}

fn node(deps: &Path, script: &str) -> Command {
    let mut command = Command::new("node");
    command.arg(peer(script)).env("HAWSER_TEST_DEPS", deps);
    command
}

/// Runs it to its end, which must be a success.
fn succeeds(mut command: Command) -> String {
    let output = command.stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let (said, errors) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}: {}\n{said}\n{errors}", output.status);
    said.into_owned()
}

/// A server written by others, which prints its port; ends with this value.
struct Server {
    child: Child,
    addr: SocketAddr,
}

impl Server {
    fn start(mut command: Command) -> Server {
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
        let mut child = child.unwrap_or_else(|e| panic!("{command:?}: {e}"));
        let mut line = String::new();
        let mut said = BufReader::new(child.stdout.take().expect("piped"));
        said.read_line(&mut line).expect("UTF-8");
        let port: u16 =
            line.trim().parse().unwrap_or_else(|e| panic!("{command:?}: {line:?}: {e}"));
        Server { child, addr: ([127, 0, 0, 1], port).into() }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An echo on tungstenite, which answers every case of Autobahn soundly.
fn tungstenite_echo() -> Origin {
    Origin::serving(|wire| {
        let stream = wire.socket().try_clone().expect("a handle");
        let config = tungstenite::protocol::WebSocketConfig::default()
            .max_message_size(None)
            .max_frame_size(None);
        let Ok(mut socket) = tungstenite::accept_with_config(stream, Some(config)) else { return };
        while let Ok(message) = socket.read() {
            if (message.is_text() || message.is_binary()) && socket.send(message).is_err() {
                return;
            }
        }
    })
}

fn edge_to(addr: SocketAddr) -> Edge {
    Edge::builder().workers(2).domain(DomainFile::new("a.test").origin(addr, "")).start()
}

fn clients(deps: &Path, edge: &Edge) {
    let port = edge.addr().port().to_string();
    let mut client = python(deps, "client.py");
    client.arg(&port);
    let said = succeeds(client);
    assert_eq!(said.matches("ok ").count(), 9, "{said}");
    let mut client = node(deps, "client.mjs");
    client.arg(&port);
    let said = succeeds(client);
    assert_eq!(said.matches("ok ").count(), 7, "{said}");
}

#[test]
fn python_websockets_serves_python_and_npm_clients() {
    let Some(deps) = deps() else { return };
    let server = Server::start(python(&deps, "echo_server.py"));
    clients(&deps, &edge_to(server.addr));
}

#[test]
fn npm_ws_serves_python_and_npm_clients() {
    let Some(deps) = deps() else { return };
    let server = Server::start(node(&deps, "echo_server.mjs"));
    clients(&deps, &edge_to(server.addr));
}

/// The libraries answer the edge's Pings by themselves, on both legs.
#[test]
fn libraries_answer_heartbeats_and_never_show_them() {
    let Some(deps) = deps() else { return };
    for server in [python(&deps, "echo_server.py"), node(&deps, "echo_server.mjs")] {
        let server = Server::start(server);
        let domain = DomainFile::new("a.test").origin(server.addr, "");
        let edge = Edge::with(domain.websocket("heartbeat = 1"));
        let mut client = python(&deps, "client.py");
        client.arg(edge.addr().port().to_string()).arg("heartbeat");
        succeeds(client);
        let measured = |leg| edge.metrics().sum("hawser_rtt_seconds_count", &[("leg", leg)]);
        assert!(measured("client") >= 1.0 && measured("origin") >= 1.0);
    }
}

// curl

fn curl(edge: &Edge, words: &[&str], path: &str) -> String {
    let mut command = Command::new("curl");
    command.args(["--silent", "--show-error", "--max-time", "30", "--http1.1"]);
    command.args(["--header", "Host: a.test"]).args(words);
    command.arg(format!("http://{}{path}", edge.addr()));
    succeeds(command)
}

/// Answers with what it was asked: the request line, then the body.
fn mirror() -> Origin {
    Origin::serving(|mut wire| {
        while let Ok(head) = wire.try_head() {
            if head.has("expect") {
                wire.try_send("HTTP/1.1 100 Continue\r\n\r\n");
            }
            let body = wire.body(&head);
            let answer = [head.start.as_bytes(), b"\n", &body].concat();
            let length = if head.target() == "/chunked" {
                "Transfer-Encoding: chunked".to_owned()
            } else {
                format!("Content-Length: {}", answer.len())
            };
            wire.try_send(format!(
                "HTTP/1.1 200 OK\r\nX-Method: {}\r\n{length}\r\n\r\n",
                head.method()
            ));
            if head.method() == "HEAD" {
                continue;
            }
            if head.target() == "/chunked" {
                for part in answer.chunks(7) {
                    let size = format!("{:x}\r\n", part.len());
                    wire.try_send([size.as_bytes(), part, b"\r\n"].concat());
                }
                wire.try_send("0\r\nX-Trailer: yes\r\n\r\n");
            } else {
                wire.try_send(answer);
            }
        }
    })
}

#[test]
fn curl_gets_posts_and_keeps_its_connection() {
    if deps().is_none() {
        return;
    }
    let origin = mirror();
    let edge = edge_to(origin.addr);
    assert_eq!(curl(&edge, &[], "/a?b=c"), "GET /a?b=c HTTP/1.1\n");
    assert_eq!(curl(&edge, &["--http1.0"], "/old"), "GET /old HTTP/1.1\n");
    assert_eq!(curl(&edge, &["--data", "hello"], "/post"), "POST /post HTTP/1.1\nhello");
    let head = curl(&edge, &["--head"], "/head");
    assert!(head.starts_with("HTTP/1.1 200 OK") && head.contains("X-Method: HEAD"), "{head}");
    let chunked = ["--header", "Transfer-Encoding: chunked", "--data", "in chunks"];
    assert_eq!(curl(&edge, &chunked, "/up"), "POST /up HTTP/1.1\nin chunks");
    assert_eq!(curl(&edge, &[], "/chunked"), "GET /chunked HTTP/1.1\n");
    let expect = ["--header", "Expect: 100-continue", "--data", "after a while"];
    assert_eq!(curl(&edge, &expect, "/expect"), "POST /expect HTTP/1.1\nafter a while");
    let again = format!("http://{}/second", edge.addr());
    let both = curl(&edge, &[&again, "--write-out", "%{num_connects}"], "/first");
    assert_eq!(both, "GET /second HTTP/1.1\n1GET /first HTTP/1.1\n0");
}

#[test]
fn curl_uploads_a_large_file_and_gets_it_back() {
    if deps().is_none() {
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    let (up, down) = (dir.path().join("up"), dir.path().join("down"));
    let bytes: Vec<u8> =
        (0..10_000_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    std::fs::write(&up, &bytes).expect("written");
    let origin = mirror();
    let edge = edge_to(origin.addr);
    let paths = [up.to_str().expect("UTF-8"), down.to_str().expect("UTF-8")];
    curl(&edge, &["--upload-file", paths[0], "--output", paths[1]], "/file");
    let back = std::fs::read(&down).expect("read");
    assert_eq!(back.strip_prefix(b"PUT /file HTTP/1.1\n"), Some(&bytes[..]));
}

#[test]
fn curl_sees_refusals_with_their_causes() {
    if deps().is_none() {
        return;
    }
    let origin = mirror();
    let edge = edge_to(origin.addr);
    let url = format!("http://{}/", edge.addr());
    let mut command = Command::new("curl");
    command.args(["--silent", "--max-time", "30", "--write-out", " %{http_code}", &url]);
    let said = succeeds(command);
    assert!(said.ends_with(" 421") || said.ends_with(" 404"), "{said}");
    assert!(said.trim().len() > 10, "names its cause: {said}");
}
