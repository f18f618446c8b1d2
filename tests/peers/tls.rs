//! TLS with programs of others: OpenSSL as client and as origin, curl, Python and Node over wss,
//! headless Chromium, and sslyze as an examiner.
//!
//! Not here: tlsfuzzer (`tlsfuzzer.rs`).

use std::io::{Read, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Instant;

use super::harness::{Authority, DEADLINE, DomainFile, Edge, Origin, Pair, Wish};
use super::{Server, deps, mirror, node, python, succeeds};

/// `a.test` behind TLS, with the pair that a test likes.
struct Site {
    authority: Authority,
    pair: Pair,
    edge: Edge,
}

impl Site {
    fn new(origin: &Origin) -> Site {
        Site::with(DomainFile::to("a.test", origin), |authority| authority.pair(&["a.test"]))
    }

    fn with(domain: DomainFile, pair: impl Fn(&Authority) -> Pair) -> Site {
        let authority = Authority::new("root");
        let pair = pair(&authority);
        let domain = domain.tls(&pair);
        let edge = Edge::builder().tls().workers(2).default_pair(&pair).domain(domain).start();
        Site { authority, pair, edge }
    }

    fn port(&self) -> String {
        self.edge.tls_addr().port().to_string()
    }

    fn ca(&self) -> String {
        self.authority.file().display().to_string()
    }
}

// === OpenSSL ===

/// A program that is talked with: what it said so far, on both of its outputs.
struct Conversation {
    child: Child,
    input: Option<ChildStdin>,
    said: Arc<(Mutex<String>, Condvar)>,
    followers: Vec<std::thread::JoinHandle<()>>,
    /// How much of it was already looked at.
    seen: usize,
}

impl Conversation {
    fn start(mut command: Command) -> Conversation {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|e| panic!("{command:?}: {e}"));
        let said = Arc::new((Mutex::new(String::new()), Condvar::new()));
        let follow = |mut from: Box<dyn Read + Send>| {
            let said = Arc::clone(&said);
            std::thread::spawn(move || {
                let mut buffer = [0; 4096];
                while let Ok(n @ 1..) = from.read(&mut buffer) {
                    let text = String::from_utf8_lossy(&buffer[..n]);
                    said.0.lock().expect("unpoisoned").push_str(&text);
                    said.1.notify_all();
                }
            })
        };
        let followers = vec![
            follow(Box::new(child.stdout.take().expect("piped"))),
            follow(Box::new(child.stderr.take().expect("piped"))),
        ];
        let input = child.stdin.take();
        Conversation { child, input, said, followers, seen: 0 }
    }

    fn say(&mut self, text: &str) {
        let input = self.input.as_mut().expect("not ended");
        input.write_all(text.as_bytes()).and_then(|()| input.flush()).expect("it listens");
    }

    /// Waits for a word behind everything that was waited for before.
    fn hears(&mut self, word: &str) {
        let started = Instant::now();
        let mut said = self.said.0.lock().expect("unpoisoned");
        loop {
            if let Some(at) = said[self.seen..].find(word) {
                self.seen += at + word.len();
                return;
            }
            assert!(started.elapsed() < DEADLINE, "no {word:?} in {said}");
            let wait = std::time::Duration::from_millis(200);
            said = self.said.1.wait_timeout(said, wait).expect("unpoisoned").0;
        }
    }

    /// Ends its input and waits for its end; everything that it said.
    fn end(mut self) -> String {
        self.input = None;
        let started = Instant::now();
        while self.child.try_wait().expect("a child").is_none() && started.elapsed() < DEADLINE {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        let _ = self.child.kill();
        self.followers.drain(..).for_each(|f| f.join().expect("no panic"));
        let said = self.said.0.lock().expect("unpoisoned");
        said.clone()
    }
}

impl Drop for Conversation {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn s_client(site: &Site, words: &[&str]) -> Conversation {
    let mut command = Command::new("openssl");
    command.args(["s_client", "-connect", &site.edge.tls_addr().to_string()]);
    command.args(["-servername", "a.test", "-CAfile", &site.ca(), "-verify_return_error"]);
    command.args(["-verify_hostname", "a.test"]).args(words);
    Conversation::start(command)
}

const REQUEST: &str = "GET /openssl HTTP/1.1\r\nHost: a.test\r\n\r\n";

#[test]
fn openssl_asks_over_both_versions_and_ends_in_order() {
    if deps().is_none() {
        return;
    }
    let origin = mirror();
    let site = Site::new(&origin);
    for (option, version) in [("-tls1_3", "TLSv1.3"), ("-tls1_2", "TLSv1.2")] {
        let mut client = s_client(&site, &[option, "-alpn", "h2,http/1.1"]);
        client.hears("ALPN protocol: http/1.1");
        client.hears("Verify return code: 0 (ok)");
        for _ in 0..3 {
            client.say(REQUEST);
            client.hears("GET /openssl HTTP/1.1\n");
        }
        client.say("Q\n");
        let said = client.end();
        assert!(said.contains(version), "{said}");
    }
    for option in ["-tls1_1", "-tls1"] {
        let client = s_client(&site, &[option, "-cipher", "ALL:@SECLEVEL=0"]);
        let said = client.end();
        assert!(said.contains("alert") && said.contains("Cipher is (NONE)"), "{option}: {said}");
    }
}

/// RFC 8446 4.6.3: `k` updates its own keys, `K` asks for ours too.
#[test]
fn openssl_updates_keys() {
    if deps().is_none() {
        return;
    }
    let origin = mirror();
    let site = Site::new(&origin);
    let mut client = s_client(&site, &["-tls1_3"]);
    client.hears("Verify return code: 0 (ok)");
    for command in ["K\n", "k\n", "K\n", "K\n", "k\n"] {
        client.say(command);
        client.hears("KEYUPDATE");
        client.say(REQUEST);
        client.hears("GET /openssl HTTP/1.1\n");
    }
    client.say("Q\n");
    client.end();
}

/// Renegotiation is refused; whoever insists is alone with it.
#[test]
fn openssl_may_not_renegotiate() {
    if deps().is_none() {
        return;
    }
    let origin = mirror();
    let site = Site::new(&origin);
    let mut client = s_client(&site, &["-tls1_2"]);
    client.hears("Verify return code: 0 (ok)");
    client.say("R\n");
    client.hears("RENEGOTIATING");
    client.hears("no renegotiation");
    client.end();
    let mut client = s_client(&site, &["-tls1_2"]);
    client.say(REQUEST);
    client.hears("GET /openssl HTTP/1.1\n");
}

#[test]
fn openssl_resumes_and_sends_no_early_data() {
    if deps().is_none() {
        return;
    }
    let origin = mirror();
    let site = Site::new(&origin);
    let said = s_client(&site, &["-tls1_2", "-reconnect"]).end();
    assert_eq!(said.matches("Reused, TLSv1.2").count(), 5, "{said}");
    let session = site.pair.dir().join("session.pem");
    let session = session.to_str().expect("UTF-8");
    let mut client = s_client(&site, &["-tls1_3", "-sess_out", session]);
    client.say(REQUEST);
    client.hears("GET /openssl HTTP/1.1\n");
    client.say("Q\n");
    client.end();
    let early = site.pair.dir().join("early");
    std::fs::write(&early, "GET /early HTTP/1.1\r\nHost: a.test\r\n\r\n").expect("written");
    let early = early.to_str().expect("UTF-8");
    let mut client = s_client(&site, &["-tls1_3", "-sess_in", session, "-early_data", early]);
    client.hears("Reused, TLSv1.3");
    client.hears("Early data was not sent");
    client.say(REQUEST);
    client.hears("GET /openssl HTTP/1.1\n");
    client.say("Q\n");
    let said = client.end();
    assert!(!said.contains("GET /early"), "{said}");
}

#[test]
fn openssl_shows_its_certificate() {
    if deps().is_none() {
        return;
    }
    let clients = Authority::new("clients");
    let origin = mirror();
    let ca = format!("client_ca = \"{}\"", clients.file().display());
    let domain =
        DomainFile::to("a.test", &origin).set("tls", "client_auth = \"required\"").set("tls", &ca);
    let site = Site::with(domain, |authority| authority.pair(&["a.test"]));
    let own = clients.issue(Wish::client("openssl"));
    let path = |p: std::path::PathBuf| p.display().to_string();
    for version in ["-tls1_3", "-tls1_2"] {
        let (certificate, key) = (path(own.certificate()), path(own.key()));
        let mut client = s_client(&site, &[version, "-cert", &certificate, "-key", &key]);
        client.say(REQUEST);
        client.hears("GET /openssl HTTP/1.1\n");
        let mut client = s_client(&site, &[version]);
        client.hears(if version == "-tls1_3" { "certificate required" } else { "alert" });
    }
}

#[test]
fn openssl_is_an_origin_and_resumes() {
    if deps().is_none() {
        return;
    }
    let authority = Authority::new("root");
    let pair = authority.pair(&["a.test"]);
    for version in ["-tls1_3", "-tls1_2"] {
        let mut command = Command::new("openssl");
        command.args(["s_server", "-accept", "127.0.0.1:0", "-www", version]);
        command.arg("-cert").arg(pair.certificate()).arg("-key").arg(pair.key());
        let mut server = Conversation::start(command);
        server.hears("ACCEPT 127.0.0.1:");
        server.hears("\n");
        let said = server.said.0.lock().expect("unpoisoned").clone();
        let port = said.split("ACCEPT 127.0.0.1:").nth(1).and_then(|s| s.lines().next());
        let port: u16 = port.and_then(|p| p.trim().parse().ok()).expect("a port");
        let addr = std::net::SocketAddr::from(([127, 0, 0, 1], port));
        let domain = DomainFile::new("a.test")
            .websocket("origin_scheme = \"https\"")
            .set("origin_tls", &format!("verify = \"{}\"", authority.file().display()))
            .origin(addr, &format!("https_port = {port}"));
        let edge = Edge::with(domain);
        let mut kinds = Vec::new();
        for _ in 0..3 {
            let mut wire = edge.connect();
            wire.send("GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n");
            let (head, body) = wire.answer();
            let body = String::from_utf8_lossy(&body).into_owned();
            assert_eq!(head.status(), 200, "{body}");
            assert!(body.contains("Cipher"), "{body}");
            kinds.push(body.contains("Reused, "));
        }
        assert_eq!(kinds, [false, true, true], "{version}");
    }
}

// === curl ===

fn curl(site: &Site, words: &[&str], path: &str) -> std::process::Output {
    let mut command = Command::new("curl");
    command.args(["--silent", "--show-error", "--max-time", "30", "--cacert", &site.ca()]);
    command.args(["--resolve", &format!("a.test:{}:127.0.0.1", site.port())]).args(words);
    command.arg(format!("https://a.test:{}{path}", site.port()));
    command.stdin(Stdio::null()).output().unwrap_or_else(|e| panic!("{command:?}: {e}"))
}

fn curl_gets(site: &Site, words: &[&str], path: &str) -> String {
    let output = curl(site, words, path);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "curl {words:?} {path}: {errors}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

#[test]
fn curl_speaks_https_and_keeps_its_connection() {
    if deps().is_none() {
        return;
    }
    let origin = mirror();
    let site = Site::new(&origin);
    for version in [&["--tlsv1.3"][..], &["--tlsv1.2", "--tls-max", "1.2"]] {
        assert_eq!(curl_gets(&site, version, "/a"), "GET /a HTTP/1.1\n");
        let post = [version, &["--data", "hello"]].concat();
        assert_eq!(curl_gets(&site, &post, "/post"), "POST /post HTTP/1.1\nhello");
        let chunked =
            [version, &["--header", "Transfer-Encoding: chunked", "--data", "x"]].concat();
        assert_eq!(curl_gets(&site, &chunked, "/chunked"), "POST /chunked HTTP/1.1\nx");
        let again = format!("https://a.test:{}/second", site.port());
        let twice = [version, &[&again, "--write-out", "%{num_connects}"]].concat();
        let both = curl_gets(&site, &twice, "/first");
        assert_eq!(both, "GET /second HTTP/1.1\n1GET /first HTTP/1.1\n0");
    }
    assert_eq!(curl_gets(&site, &["--http2"], "/h2"), "GET /h2 HTTP/1.1\n", "by ALPN");
    let old = curl(&site, &["--tls-max", "1.1"], "/");
    assert_eq!(old.status.code(), Some(35), "no TLS connection");
}

#[test]
fn curl_sends_a_large_file_over_tls_and_gets_it_back() {
    if deps().is_none() {
        return;
    }
    let origin = mirror();
    let site = Site::new(&origin);
    let (up, down) = (site.pair.dir().join("up"), site.pair.dir().join("down"));
    let bytes: Vec<u8> =
        (0..10_000_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    std::fs::write(&up, &bytes).expect("written");
    let paths = [up.to_str().expect("UTF-8"), down.to_str().expect("UTF-8")];
    curl_gets(&site, &["--upload-file", paths[0], "--output", paths[1]], "/file");
    let back = std::fs::read(&down).expect("read");
    assert!(back.strip_prefix(b"PUT /file HTTP/1.1\n") == Some(&bytes[..]));
}

// === Libraries ===

fn wss_clients(deps: &Path, edge: &Edge, authority: &Authority) {
    let port = edge.tls_addr().port().to_string();
    for (mut client, conversations) in
        [(python(deps, "client.py"), 9), (node(deps, "client.mjs"), 7)]
    {
        client.arg(&port).env("HAWSER_TEST_CA", authority.file());
        let said = succeeds(client);
        assert_eq!(said.matches("ok ").count(), conversations, "{said}");
    }
}

/// wss on both legs, in every pairing of the two libraries.
#[test]
fn python_and_node_converse_over_wss_on_both_legs() {
    let Some(deps) = deps() else { return };
    let authority = Authority::new("root");
    let [pair, own] = [(); 2].map(|()| authority.pair(&["a.test"]));
    for mut server in [python(&deps, "echo_server.py"), node(&deps, "echo_server.mjs")] {
        server.arg(own.certificate()).arg(own.key());
        let server = Server::start(server);
        let port = format!("https_port = {}", server.addr.port());
        let domain = DomainFile::new("a.test")
            .tls(&pair)
            .websocket("origin_scheme = \"https\"")
            .set("origin_tls", &format!("verify = \"{}\"", authority.file().display()))
            .origin(server.addr, &port);
        let edge = Edge::builder().tls().workers(2).domain(domain).start();
        wss_clients(&deps, &edge, &authority);
    }
}

#[test]
fn python_and_node_converse_over_wss_with_a_plain_origin() {
    let Some(deps) = deps() else { return };
    let server = Server::start(python(&deps, "echo_server.py"));
    let domain =
        DomainFile::new("a.test").websocket("origin_scheme = \"http\"").origin(server.addr, "");
    let site = Site::with(domain, |authority| authority.issue(Wish::server(&["a.test"]).rsa()));
    wss_clients(&deps, &site.edge, &site.authority);
}

// === Chromium ===

/// A page that opens wss to where it came from, and posts what came of it.
const PAGE: &str = include_str!("page.html");

#[test]
fn chromium_opens_wss_from_a_page_of_the_edge() {
    if deps().is_none() {
        return;
    }
    let (send, results) = std::sync::mpsc::channel();
    let send = Mutex::new(send);
    let origin = Origin::serving(move |mut wire| {
        while let Ok(head) = wire.try_head() {
            if head.has("upgrade") {
                wire.try_send(super::harness::switching(&head));
                while let Ok(frame) = wire.try_frame() {
                    let close = frame.op == super::harness::Op::CLOSE;
                    if !wire.try_send(frame.unmasked().bytes()) || close {
                        return;
                    }
                }
                return;
            }
            let body = wire.body(&head);
            let page = if head.target() == "/" { PAGE } else { "" };
            if head.target() == "/result" {
                let text = String::from_utf8_lossy(&body).into_owned();
                let _ = send.lock().expect("unpoisoned").send(text);
            }
            wire.try_send(format!(
                "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {}\r\n\r\n{page}",
                page.len()
            ));
        }
    });
    let site = Site::new(&origin);
    let profile = tempfile::tempdir().expect("a directory");
    let mut command = Command::new("chromium");
    command.args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic"]);
    command.args(["--no-first-run", "--disable-background-networking", "--disable-sync"]);
    command.args(["--disable-component-update", "--host-resolver-rules=MAP a.test 127.0.0.1"]);
    command.arg(format!("--ignore-certificate-errors-spki-list={}", key_hash(&site.pair)));
    command.arg(format!("--user-data-dir={}", profile.path().display()));
    command.arg(format!("https://a.test:{}/", site.port()));
    let browser = Conversation::start(command);
    let result = results.recv_timeout(DEADLINE);
    let said = browser.said.0.lock().expect("unpoisoned").clone();
    assert_eq!(result.as_deref(), Ok("wss: text binary 1000000 close 4001"), "{said}");
}

/// SHA-256 of the public key, as Chromium names certificates that it should take.
fn key_hash(pair: &Pair) -> String {
    use base64::Engine as _;
    let (_, certificate) = x509_parser::parse_x509_certificate(&pair.chain[0]).expect("DER");
    let key = certificate.tbs_certificate.subject_pki.raw;
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, key);
    base64::engine::general_purpose::STANDARD.encode(hash)
}

// === Examiners ===

/// Mozilla's recommendations (intermediate), and the known holes that sslyze looks for.
#[test]
fn sslyze_finds_nothing() {
    let Some(deps) = deps() else { return };
    let origin = mirror();
    let site = Site::with(DomainFile::to("a.test", &origin), |authority| {
        authority.issue(Wish::server(&["a.test"]).days_left(90))
    });
    let mut command = Command::new(deps.join("py/bin/python"));
    command.args(["-m", "sslyze", "--mozilla_config=intermediate", "--sni=a.test"]);
    command.args(["--certinfo", &format!("--certinfo_ca_file={}", site.ca())]);
    command.args(["--sslv2", "--sslv3", "--tlsv1", "--tlsv1_1", "--tlsv1_2", "--tlsv1_3", "--ems"]);
    command.args(["--heartbleed", "--openssl_ccs", "--reneg", "--robot", "--compression"]);
    command.args(["--fallback", "--resum", "--early_data", "--elliptic_curves"]);
    command.arg(site.edge.tls_addr().to_string());
    let said = succeeds(command);
    for line in [
        "Compliant",
        "OK - Compression disabled",
        "OK - Not vulnerable to OpenSSL CCS injection",
        "OK - Not vulnerable to Heartbleed",
        "OK - Not vulnerable, RSA cipher suites not supported",
        "Client Renegotiation DoS Attack:   OK - Not vulnerable",
        "Forward Secrecy                    OK - Supported",
    ] {
        assert!(said.contains(line), "no {line:?} in\n{said}");
    }
    let early = said.split("TLS 1.3 Early Data:").nth(1).expect("a verdict");
    assert!(early.trim_start().starts_with("Not Supported"), "{said}");
}
