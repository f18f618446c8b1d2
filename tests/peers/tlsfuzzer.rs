//! The conversations of tlsfuzzer with the edge and, for comparison, with bare rustls: no script
//! that passes there fails through the edge, and of the others no more of its conversations fail.
//!
//! tlsfuzzer is in no package registry and its runs take minutes, so this is a developer's test: it
//! runs where `HAWSER_TLSFUZZER` names a checkout and `HAWSER_TLSFUZZER_PYTHON` a Python with
//! `tlslite-ng` 0.9 and `ecdsa`. What came of it stands in docs/tls-conformance.md, which this
//! writes when `HAWSER_WRITE_DOCS` is set.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;

use super::harness::{Authority, Edge, Origin, Wire, Wish, tls_server};

/// TLS 1.3; `test-tls13-` comes before each.
const TLS13: &[&str] = &[
    "conversation",
    "ccs",
    "multiple-ccs-messages",
    "finished",
    "finished-plaintext",
    "empty-alert",
    "record-layer-limits",
    "record-padding",
    "zero-length-data",
    "zero-content-type",
    "large-number-of-extensions",
    "keyupdate",
    "keyupdate-from-server",
    "hrr",
    "unrecognised-groups",
    "version-negotiation",
    "invalid-ciphers",
    "nociphers",
    "legacy-version",
    "lengths",
    "session-resumption",
    "0rtt-garbage",
    "unencrypted-alert",
    "symetric-ciphers",
    "shuffled-extentions",
    "pkcs-signature",
    "rsa-signatures",
    "signature-algorithms",
    "ffdhe-sanity",
    "connection-abort",
    "certificate-compression",
    "dhe-shared-secret-padding",
    "ecdhe-curves",
    "serverhello-random",
    "unsupported-curve-fallback",
];

/// TLS 1.2 and the negotiation of versions; `test-` comes before each.
const TLS12: &[&str] = &[
    "alpn-negotiation",
    "ccs",
    "connection-abort",
    "early-application-data",
    "fallback-scsv",
    "fuzzed-plaintext",
    "fuzzed-finished",
    "fuzzed-padding",
    "hello-request-by-client",
    "interleaved-application-data-and-fragmented-handshakes-in-renegotiation",
    "interleaved-application-data-in-renegotiation",
    "invalid-client-hello",
    "invalid-client-hello-w-record-overflow",
    "invalid-compression-methods",
    "invalid-content-type",
    "invalid-session-id",
    "invalid-version",
    "large-hello",
    "large-number-of-extensions",
    "message-duplication",
    "message-skipping",
    "openssl-3712",
    "record-layer-fragmentation",
    "SSLv3-padding",
    "sessionID-resumption",
    "truncating-of-client-hello",
    "unsupported-curve-fallback",
    "version-numbers",
    "x25519",
    "zero-length-data",
    "TLSv1_2-rejected-without-TLSv1_2",
    "sslv2-force-cipher",
];

/// Seconds for one script.
const PATIENCE: &str = "120";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// Conversations that went as the script expects, and the others.
    Ran {
        passed: u32,
        failed: u32,
    },
    TimedOut,
}

impl Verdict {
    fn is_clean(self) -> bool {
        matches!(self, Verdict::Ran { failed: 0, .. })
    }

    fn is_no_worse_than(self, bare: Verdict) -> bool {
        match (self, bare) {
            (_, Verdict::TimedOut) => true,
            (Verdict::TimedOut, _) => false,
            (Verdict::Ran { failed, .. }, Verdict::Ran { failed: bare, .. }) => failed <= bare,
        }
    }
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Verdict::Ran { passed, failed } => write!(f, "{passed} / {failed}"),
            Verdict::TimedOut => f.write_str("out of time"),
        }
    }
}

struct Fuzzer {
    checkout: PathBuf,
    python: PathBuf,
}

impl Fuzzer {
    fn here() -> Option<Fuzzer> {
        let path = |name| std::env::var_os(name).map(PathBuf::from);
        let found = path("HAWSER_TLSFUZZER").zip(path("HAWSER_TLSFUZZER_PYTHON"));
        if found.is_none() {
            eprintln!("skipped: HAWSER_TLSFUZZER and HAWSER_TLSFUZZER_PYTHON name no tlsfuzzer");
        }
        let (checkout, python) = found?;
        Some(Fuzzer { checkout, python })
    }

    /// Every script that this checkout has, as its file name.
    fn scripts(&self) -> Vec<String> {
        let names13 = TLS13.iter().map(|n| format!("test-tls13-{n}.py"));
        let all = names13.chain(TLS12.iter().map(|n| format!("test-{n}.py")));
        let only = std::env::var("HAWSER_TLSFUZZER_ONLY").unwrap_or_default();
        all.filter(|n| n.contains(&only) && self.checkout.join("scripts").join(n).exists())
            .collect()
    }

    fn run(&self, script: &str, addr: SocketAddr) -> (Verdict, String) {
        let mut command = Command::new("timeout");
        command.arg(PATIENCE).arg(&self.python).arg(format!("scripts/{script}"));
        command.args(["-h", "127.0.0.1", "-p", &addr.port().to_string()]);
        command.args(self.suite_words(script));
        command.current_dir(&self.checkout).env("PYTHONPATH", &self.checkout);
        command.stdin(Stdio::null());
        let output = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
        let said = String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr);
        if output.status.code() == Some(124) {
            return (Verdict::TimedOut, said);
        }
        let number = |names: [&str; 2]| {
            let line = said.lines().find(|l| names.iter().any(|n| l.starts_with(n)));
            line.and_then(|l| l.split_once(':')?.1.trim().parse().ok())
        };
        let passed = number(["PASS:", "successful:"]).unwrap_or(0);
        let failed = number(["FAIL:", "failed:"]);
        // A script that fell over counted nothing.
        let failed = failed.unwrap_or(u32::from(!output.status.success()));
        (Verdict::Ran { passed, failed }, said)
    }

    /// Scripts of TLS 1.2 mean RSA key exchange or CBC unless told otherwise; rustls has neither.
    fn suite_words(&self, script: &str) -> &'static [&'static str] {
        let module = script.trim_end_matches(".py").replace('-', "_");
        let app = self.checkout.join(format!("tlsfuzzer/_apps/{module}.py"));
        let own = self.checkout.join("scripts").join(script);
        let text =
            [app, own].map(|path| std::fs::read_to_string(path).unwrap_or_default()).concat();
        match (script.contains("tls13"), text.contains("\" -C "), text.contains("\" -d ")) {
            (true, _, _) | (_, false, false) => &[],
            (_, true, _) => &["-C", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"],
            (_, false, true) => &["-d"],
        }
    }

    /// Every script, several at a time.
    fn run_all(&self, addr: SocketAddr, logs: &Path) -> Vec<(String, Verdict)> {
        std::fs::create_dir_all(logs).expect("a folder for logs");
        let queue: Mutex<VecDeque<_>> = Mutex::new(self.scripts().into());
        let done = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    while let Some(script) = { queue.lock().expect("unpoisoned").pop_front() } {
                        let (verdict, said) = self.run(&script, addr);
                        std::fs::write(logs.join(&script), said).expect("a log");
                        done.lock().expect("unpoisoned").push((script, verdict));
                    }
                });
            }
        });
        let mut done = done.into_inner().expect("unpoisoned");
        done.sort_by(|a, b| a.0.cmp(&b.0));
        done
    }
}

/// Any request: an answer as the edge gives it to one without Host, and an end.
fn answer(mut wire: Wire) {
    if wire.try_head().is_ok() {
        wire.try_send(
            "HTTP/1.1 400 Bad Request\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbad\n",
        );
    }
    wire.finish();
    let _ = wire.rest();
}

#[test]
fn tlsfuzzer_finds_no_more_than_in_bare_rustls() {
    let Some(fuzzer) = Fuzzer::here() else { return };
    let authority = Authority::rsa("tlsfuzzer");
    let pair = authority.issue(Wish::server(&["localhost", "127.0.0.1"]).rsa());
    let logs = std::env::temp_dir().join("hawser-tlsfuzzer");
    let server = Origin::serving_tls(tls_server(&pair), answer);
    let mut bare = fuzzer.run_all(server.addr, &logs.join("bare"));
    let edge = Edge::builder().tls().workers(2).default_pair(&pair).start();
    let mut through = fuzzer.run_all(edge.tls_addr(), &logs.join("edge"));
    for ((script, bare), (_, seen)) in bare.iter_mut().zip(&mut through) {
        // Scripts draw their conversations at random, and several at a time may be late.
        for _ in 0..3 {
            if seen.is_no_worse_than(*bare) {
                break;
            }
            let once_more = fuzzer.run(script, edge.tls_addr()).0;
            let bare_too = fuzzer.run(script, server.addr).0;
            if once_more.is_no_worse_than(bare_too) {
                (*bare, *seen) = (bare_too, once_more);
                break;
            }
        }
    }
    let mut table = String::from("| script | bare rustls | Hawser |\n|---|---|---|\n");
    let mut worse = Vec::new();
    for ((script, bare), (_, edge)) in bare.iter().zip(&through) {
        let name = script.trim_end_matches(".py");
        let _ = writeln!(table, "| {name} | {bare} | {edge} |");
        if !edge.is_no_worse_than(*bare) {
            worse.push(format!("{script}: {bare} became {edge}"));
        }
    }
    let clean = |all: &[(String, Verdict)]| all.iter().filter(|(_, v)| v.is_clean()).count();
    let (bare, edge) = (clean(&bare), clean(&through));
    let _ = write!(
        table,
        "\nScripts without a failed conversation: {bare} with bare rustls, {edge} with Hawser, of \
         {}.\n",
        through.len()
    );
    println!("{table}");
    if std::env::var_os("HAWSER_WRITE_DOCS").is_some() {
        write_into_the_document(&table);
    }
    assert!(worse.is_empty(), "{}\nlogs in {}", worse.join("\n"), logs.display());
}

/// Puts the table where the last one stood.
fn write_into_the_document(table: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/tls-conformance.md");
    let text = std::fs::read_to_string(&path).expect("the document");
    let (begin, end) = ("<!-- tlsfuzzer: begin -->\n", "<!-- tlsfuzzer: end -->");
    let (head, rest) = text.split_once(begin).expect("a place for the table");
    let (_, tail) = rest.split_once(end).expect("an end of the table");
    std::fs::write(path, format!("{head}{begin}\n{table}\n{end}{tail}")).expect("written");
}
