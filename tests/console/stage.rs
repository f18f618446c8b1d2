//! What a script of the browser finds: an edge in front of origins that behave and origins that do
//! not, with a key of each role; and the run of the script itself.
//!
//! Not here: clients of the edge, and origins that come and go (`traffic.mjs`).

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::json;

use super::harness::edge::HAWSER;
use super::harness::{
    Api, Authority, Clock, DomainFile, Edge, EdgeBuilder, Frame, Op, Origin, Pair, Wire, Wish,
    switching,
};

/// Longer than any script takes on a machine with much else to do.
const PATIENCE: Duration = Duration::from_secs(1800);

/// A browser keeps a core busy; more of them would only wait for each other.
const BROWSERS_MAX: usize = 2;

static BROWSERS: (Mutex<usize>, Condvar) = (Mutex::new(0), Condvar::new());

pub struct Stage {
    builder: EdgeBuilder,
    pair: Pair,
    origin: Origin,
    has_plan: bool,
    clock: Option<Clock>,
    first: fn(&Edge),
}

impl Stage {
    /// Domains `live.`, `chat.` and `secure.example.com` in front of one origin (see [`converse`]),
    /// `down.example.com` in front of nobody; billing with a plan; clients of 127.0.0.1 in Beijing.
    pub fn new() -> Stage {
        let origin = Origin::serving(converse);
        let pair = Authority::new("of the test")
            .issue(Wish::server(&["secure.example.com"]).days_left(20));
        let builder = Edge::builder()
            .tls()
            .workers(2)
            .billing(&["enabled = true"])
            .table(&format!("[geo]\nrules = \"{}\"", folder("peers").join("places.csv").display()))
            .table("[health]\ninterval = \"1s\"\ntimeout = \"1s\"")
            .domain(DomainFile::to("live.example.com", &origin))
            .domain(DomainFile::to("chat.example.com", &origin))
            .domain(DomainFile::to("secure.example.com", &origin).tls(&pair))
            .domain(DomainFile::new("down.example.com").origin(nobody(), ""));
        Stage { builder, pair, origin, has_plan: true, clock: None, first: |_| () }
    }

    /// The edge another way: a clock, limits, further domains.
    pub fn edge(mut self, change: impl FnOnce(EdgeBuilder) -> EdgeBuilder) -> Stage {
        self.builder = change(self.builder);
        self
    }

    /// The edge sees this clock, and the script may move it.
    pub fn clock(mut self, clock: Clock) -> Stage {
        self.builder = self.builder.clock(&clock);
        self.clock = Some(clock);
        self
    }

    /// Billing is on, and nobody chose a plan.
    pub fn without_plan(mut self) -> Stage {
        self.has_plan = false;
        self
    }

    /// Something that is done to the running edge before the script begins.
    pub fn first(mut self, act: fn(&Edge)) -> Stage {
        self.first = act;
        self
    }

    /// Runs `console/SCRIPT.mjs` to its end, which must be a success.
    pub fn plays(self, script: &str) {
        let Some(deps) = std::env::var_os("HAWSER_TEST_DEPS") else {
            return eprintln!("skipped: ./tests/run installs the browser's driver");
        };
        let _turn = Turn::take();
        let edge = self.builder.start();
        if self.has_plan {
            let plan = json!({ "charge_type": "PayByTraffic",
                               "websocket_bill_type": "websockettraffic" });
            let answer = Api::of(&edge).post("/api/v1/plan", plan);
            assert!(answer.status < 300, "{}", answer.text());
        }
        (self.first)(&edge);
        let scratch =
            tempfile::Builder::new().prefix("console-").tempdir_in(env!("CARGO_TARGET_TMPDIR"));
        let scratch = scratch.expect("a directory under target/tmp");
        let url = |scheme: &str, addr: std::net::SocketAddr| format!("{scheme}://{addr}");
        let told = json!({
            "script": script,
            "url": url("http", edge.admin()),
            "edge": edge.addr().port(),
            "edge_tls": edge.tls_addr().port(),
            "origin": self.origin.addr.port(),
            "keys": { "read": edge.key("read"), "operate": edge.key("operate"),
                      "admin": edge.admin_key() },
            "hawser": HAWSER,
            "config": edge.dir().join("hawser.toml"),
            "clock": self.clock.as_ref().map(Clock::file),
            "pid": edge.pid,
            "certificate": self.pair.certificate(),
            "private_key": self.pair.key(),
            "screenshots": screenshots(),
        });
        let mut command = Command::new("node");
        command.arg("--test-reporter=spec").arg(folder("console").join(format!("{script}.mjs")));
        command.env("HAWSER_CONSOLE", told.to_string()).env("HAWSER_TEST_DEPS", deps);
        // The browser's profile, and whatever else it leaves.
        command.env("TMPDIR", scratch.path());
        succeeds(command, scratch.path());
    }
}

/// Names of the scripts that are there.
pub fn scripts() -> Vec<String> {
    let entries = std::fs::read_dir(folder("console")).expect("the folder of the scripts");
    let names = entries.map(|entry| entry.expect("an entry").file_name());
    let names = names.map(|name| name.into_string().expect("UTF-8"));
    let names: Vec<_> = names.filter_map(|n| Some(n.strip_suffix(".mjs")?.to_owned())).collect();
    assert!(names.len() > 5, "the scripts were not found");
    names.into_iter().filter(|name| !matches!(&**name, "browser" | "forms" | "traffic")).collect()
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(name)
}

fn screenshots() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("the target folder");
    target.join("console-screenshots")
}

/// An address that refuses connections.
fn nobody() -> std::net::SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("a bound listener")
}

/// `/status/503` answers that, with or without an upgrade; other upgrades echo, where a text
/// `close 4001` closes with that code and `send 1000` sends that many bytes; other requests get
/// 200 and `hello`.
fn converse(mut wire: Wire) {
    // Clients of a page may say nothing for as long as a check takes.
    wire.socket().set_read_timeout(None).expect("no time-out");
    while let Ok(head) = wire.try_head() {
        wire.body(&head);
        let status = head.target().strip_prefix("/status/");
        if status.is_none() && head.has("upgrade") {
            wire.try_send(switching(&head));
            return echo(&mut wire);
        }
        let status = status.unwrap_or("200");
        let answer = format!("HTTP/1.1 {status} Said\r\nContent-Length: 5\r\n\r\nhello");
        if !wire.try_send(answer) {
            return;
        }
    }
}

fn echo(wire: &mut Wire) {
    while let Ok(frame) = wire.try_frame() {
        let (op, text) = (frame.op, String::from_utf8_lossy(&frame.payload));
        let number = |word: &str| text.strip_prefix(word).and_then(|n| n.parse::<usize>().ok());
        let reply = match (op, number("close "), number("send ")) {
            (Op::PONG, ..) => continue,
            (Op::PING, ..) => Frame::pong(&frame.payload),
            (Op::TEXT, Some(code), _) => {
                Frame::close(u16::try_from(code).expect("a close code"), "as you wish")
            }
            (Op::TEXT, _, Some(size)) => Frame::binary(vec![0x5a; size]),
            _ => frame.unmasked(),
        };
        if !wire.try_send(reply.bytes()) || op == Op::CLOSE {
            return wire.finish();
        }
    }
}

/// The right to run a browser.
struct Turn;

impl Turn {
    fn take() -> Turn {
        let (running, ended) = &BROWSERS;
        let running = running.lock().unwrap_or_else(PoisonError::into_inner);
        let free = ended.wait_while(running, |running| *running >= BROWSERS_MAX);
        *free.unwrap_or_else(PoisonError::into_inner) += 1;
        Turn
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let (running, ended) = &BROWSERS;
        *running.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        ended.notify_one();
    }
}

/// Runs it to its end, which must be a success and come in time. The browser goes with it: the two
/// speak over a pipe.
fn succeeds(mut command: Command, scratch: &Path) {
    let said = scratch.join("said");
    let file = std::fs::File::create(&said).expect("a file");
    let also = file.try_clone().expect("a second handle");
    command.stdin(Stdio::null()).stdout(file).stderr(also);
    let child = command.spawn().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let status = ends_within(child, PATIENCE);
    let said = std::fs::read_to_string(&said).unwrap_or_default();
    let status = status.unwrap_or_else(|| panic!("still running after {PATIENCE:?}\n{said}"));
    println!("{said}");
    assert!(status.success(), "{status}");
}

fn ends_within(mut child: Child, patience: Duration) -> Option<std::process::ExitStatus> {
    let started = Instant::now();
    loop {
        if let Some(status) = child.try_wait().expect("a child") {
            return Some(status);
        }
        if started.elapsed() > patience {
            let _ = child.kill();
            let _ = child.wait();
            return None;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
