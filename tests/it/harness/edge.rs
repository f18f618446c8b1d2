//! The real binary, run as an operator runs it: files in a directory of its own, ports that the
//! kernel picks, readiness by systemd's protocol, and an end that leaves nothing behind.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{Clock, DEADLINE, DomainFile, Metrics, Origin, Pair, TlsClient, Wire, eventually};

/// Of the access log, when a test fails.
const LOG_LINES_SHOWN: usize = 40;

pub const HAWSER: &str = env!("CARGO_BIN_EXE_hawser");

#[derive(Debug, Clone)]
pub struct EdgeBuilder {
    listen: Vec<String>,
    listen_tls: Vec<String>,
    /// Lines of `[tls]`.
    tls_lines: Vec<String>,
    workers: String,
    server: Vec<String>,
    /// Lines of `[admin]`.
    admin: Vec<String>,
    /// Lines of `[billing]`.
    billing: Vec<String>,
    /// Whole further tables of `hawser.toml`.
    tables: String,
    drain_window: &'static str,
    domains: Vec<DomainFile>,
    /// Words put before the binary's own, such as `prlimit --nofile=64:64`.
    wrapper: Vec<String>,
    clock: Option<Clock>,
}

impl EdgeBuilder {
    pub fn domain(mut self, domain: DomainFile) -> EdgeBuilder {
        self.domains.push(domain);
        self
    }

    /// A number, or `"auto"` with its quotes.
    pub fn workers(mut self, workers: impl ToString) -> EdgeBuilder {
        self.workers = workers.to_string();
        self
    }

    pub fn listen(mut self, addresses: &[&str]) -> EdgeBuilder {
        self.listen = addresses.iter().map(|&a| a.to_owned()).collect();
        self
    }

    /// With a TLS listener beside the plain one.
    pub fn tls(self) -> EdgeBuilder {
        self.tls_at("127.0.0.1:0")
    }

    pub fn tls_at(mut self, address: &str) -> EdgeBuilder {
        self.listen_tls = vec![address.into()];
        self
    }

    /// A pair for clients who ask for no name, or for an unknown one.
    pub fn default_pair(self, pair: &Pair) -> EdgeBuilder {
        let (certificate, key) = (pair.certificate(), pair.key());
        self.tls_table(&format!("default_certificate = \"{}\"", certificate.display()))
            .tls_table(&format!("default_key = \"{}\"", key.display()))
    }

    /// A line of `[tls]`.
    pub fn tls_table(mut self, line: &str) -> EdgeBuilder {
        self.tls_lines.push(line.into());
        self
    }

    /// A line of `[server]`.
    pub fn server(mut self, line: &str) -> EdgeBuilder {
        self.server.push(line.into());
        self
    }

    /// A line of `[admin]`; it replaces one with the same key, such as the loopback address or the
    /// rates that no test reaches by being quick.
    pub fn admin(mut self, line: &str) -> EdgeBuilder {
        let key = |line: &str| line.split('=').next().map(|key| key.trim().to_owned());
        self.admin.retain(|other| key(other) != key(line));
        self.admin.push(line.into());
        self
    }

    /// The lines of `[billing]`, which is off unless said otherwise.
    pub fn billing(mut self, lines: &[&str]) -> EdgeBuilder {
        self.billing = lines.iter().map(|&l| l.to_owned()).collect();
        self
    }

    pub fn table(mut self, text: &str) -> EdgeBuilder {
        self.tables.push_str(text);
        self.tables.push('\n');
        self
    }

    pub fn drain_window(mut self, window: &'static str) -> EdgeBuilder {
        self.drain_window = window;
        self
    }

    pub fn wrapped(mut self, words: &[&str]) -> EdgeBuilder {
        self.wrapper = words.iter().map(|&w| w.to_owned()).collect();
        self
    }

    /// It, and its command line, see this clock.
    pub fn clock(mut self, clock: &Clock) -> EdgeBuilder {
        self.clock = Some(clock.clone());
        self
    }

    /// `hawser.toml` for a state directory.
    pub fn config(&self, dir: &Path) -> String {
        let list = |addresses: &[String]| {
            let quoted: Vec<_> = addresses.iter().map(|a| format!("\"{a}\"")).collect();
            quoted.join(", ")
        };
        let table = |name: &str, lines: &[String]| match lines {
            [] => String::new(),
            lines => format!("[{name}]\n{}\n", lines.join("\n")),
        };
        format!(
            "version = 1\n[server]\nlisten = [{}]\nlisten_tls = [{}]\n\
             workers = {}\nstate_dir = \"{}\"\n{}\n\
             [log]\naccess = \"{}\"\n[drain]\nwindow = \"{}\"\n{}{}{}{}",
            list(&self.listen),
            list(&self.listen_tls),
            self.workers,
            dir.display(),
            self.server.join("\n"),
            dir.join("access.log").display(),
            self.drain_window,
            table("admin", &self.admin),
            table("billing", &self.billing),
            table("tls", &self.tls_lines),
            self.tables
        )
    }

    /// Writes the files and nothing more.
    pub fn files(&self) -> tempfile::TempDir {
        let dir = tempfile::Builder::new().prefix("hawser-it-").tempdir().expect("a directory");
        let write = |path: PathBuf, text: String| {
            std::fs::write(&path, text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        };
        write(dir.path().join("hawser.toml"), self.config(dir.path()));
        std::fs::create_dir(dir.path().join("domains")).expect("domains/");
        for domain in &self.domains {
            write(domain_path(dir.path(), &domain.name), domain.text());
        }
        dir
    }

    pub fn start(self) -> Edge {
        let dir = self.files();
        self.start_in(dir)
    }

    fn start_in(self, dir: tempfile::TempDir) -> Edge {
        let running = self.launch(dir.path()).unwrap_or_else(|e| panic!("no start: {e}"));
        let Running { child, stderr, notify } = running;
        let (pid, (listen, listen_tls)) = (child.id(), (vec![], vec![]));
        let mut edge = Edge {
            builder: self,
            child,
            pid,
            dir,
            listen,
            listen_tls,
            admin: None,
            stderr,
            notify,
        };
        edge.learn_addresses();
        edge
    }

    /// Starts and expects it to end by itself.
    pub fn start_and_end(self) -> (Option<i32>, String) {
        self.run_to_its_end(self.files().path())
    }

    /// The same on files that are there: its exit code and what it said.
    pub fn run_to_its_end(&self, dir: &Path) -> (Option<i32>, String) {
        let mut command = self.command(&dir.join("hawser.toml"));
        let output = command.stdin(Stdio::null()).output().expect("the binary starts");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    }

    /// Starts after a few starts that were killed this long after they began.
    pub fn start_after_kills(self, wait: Duration) -> Edge {
        let dir = self.files();
        for _ in 0..3 {
            let mut command = self.command(&dir.path().join("hawser.toml"));
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            let mut child = command.spawn().expect("the binary starts");
            std::thread::sleep(wait);
            child.kill().expect("killed");
            child.wait().expect("its end");
        }
        self.start_in(dir)
    }

    fn command(&self, config: &Path) -> Command {
        let mut command = match self.wrapper.split_first() {
            None => Command::new(HAWSER),
            Some((first, rest)) => {
                let mut command = Command::new(first);
                command.args(rest).arg(HAWSER);
                command
            }
        };
        command.args(["run", "-c"]).arg(config);
        self.under_its_clock(command)
    }

    fn under_its_clock(&self, mut command: Command) -> Command {
        command.envs(self.clock.iter().flat_map(Clock::environment));
        command
    }

    /// Starts it on files that are there; back when it is ready.
    fn launch(&self, dir: &Path) -> Result<Running, String> {
        let notify = Notify::bind(dir);
        let mut command = self.command(&dir.join("hawser.toml"));
        command.env("NOTIFY_SOCKET", &notify.path).env_remove("LISTEN_FDS");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|e| format!("{HAWSER}: {e}"))?;
        let stderr = Stderr::follow(child.stderr.take().expect("piped"));
        let deadline = Instant::now() + DEADLINE;
        while !notify.says("READY=1") {
            if let Ok(Some(status)) = child.try_wait() {
                return Err(format!("{status}\n{}", stderr.text()));
            }
            if Instant::now() > deadline {
                let _ = child.kill();
                let _ = child.wait();
                return Err(format!("not ready within {DEADLINE:?}\n{}", stderr.text()));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(Running { child, stderr, notify })
    }
}

/// A process that said it is ready.
struct Running {
    child: Child,
    stderr: Stderr,
    notify: Notify,
}

fn admin_lines() -> Vec<String> {
    let rates = ["rest", "statistics", "domains", "lists", "deletions", "service"];
    let mut lines: Vec<String> = rates.map(|name| format!("rate_{name} = 100000")).into();
    lines.push("listen = \"127.0.0.1:0\"".into());
    lines
}

fn domain_path(dir: &Path, name: &str) -> PathBuf {
    dir.join("domains").join(format!("{name}.toml"))
}

pub struct Edge {
    builder: EdgeBuilder,
    child: Child,
    pub pid: u32,
    dir: tempfile::TempDir,
    pub listen: Vec<SocketAddr>,
    pub listen_tls: Vec<SocketAddr>,
    admin: Option<SocketAddr>,
    stderr: Stderr,
    notify: Notify,
}

impl Edge {
    pub fn builder() -> EdgeBuilder {
        EdgeBuilder {
            listen: vec!["127.0.0.1:0".into()],
            listen_tls: vec![],
            tls_lines: vec![],
            workers: "1".into(),
            server: vec![],
            admin: admin_lines(),
            billing: vec!["enabled = false".into()],
            tables: String::new(),
            drain_window: "0s",
            domains: vec![],
            wrapper: vec![],
            clock: None,
        }
    }

    pub fn with(domain: DomainFile) -> Edge {
        Edge::builder().domain(domain).start()
    }

    /// One domain, `a.test`, in front of this origin.
    pub fn to(origin: &Origin) -> Edge {
        Edge::with(DomainFile::to("a.test", origin))
    }

    /// The same with an origin that the test plays.
    pub fn and_origin() -> (Origin, Edge) {
        let origin = Origin::bind();
        let edge = Edge::to(&origin);
        (origin, edge)
    }

    fn learn_addresses(&mut self) {
        let status = self.control("GET", "/v1/status", None);
        let parse = |v: &Value| v.as_str().and_then(|s| s.parse().ok());
        let list = |key: &str| -> Vec<SocketAddr> {
            let values = status[key].as_array().map(Vec::as_slice).unwrap_or_default();
            let address = |v| parse(v).unwrap_or_else(|| panic!("an address in {status}"));
            values.iter().map(address).collect()
        };
        self.listen = list("listen");
        self.listen_tls = list("listen_tls");
        self.admin = parse(&status["admin"]);
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub fn addr(&self) -> SocketAddr {
        self.listen[0]
    }

    pub fn admin(&self) -> SocketAddr {
        self.admin.expect("an admin listener")
    }

    pub fn connect(&self) -> Wire {
        Wire::connect(self.addr())
    }

    pub fn tls_addr(&self) -> SocketAddr {
        *self.listen_tls.first().expect("a TLS listener")
    }

    /// A TLS connection with this name as SNI.
    pub fn connect_tls(&self, client: &TlsClient, name: &str) -> Wire {
        client.connect(self.tls_addr(), name)
    }

    // --- as an operator

    /// A verb of the command line against this edge.
    pub fn hawser(&self, words: &[&str]) -> Output {
        let mut command = self.builder.under_its_clock(Command::new(HAWSER));
        command.args(words).arg("-c").arg(self.dir.path().join("hawser.toml"));
        command.stdin(Stdio::null()).output().expect("the binary runs")
    }

    /// A verb that goes on until it is ended: drop it, and read its lines meanwhile.
    pub fn hawser_going_on(&self, words: &[&str]) -> GoingOn {
        let mut command = Command::new(HAWSER);
        command.args(words).arg("-c").arg(self.dir.path().join("hawser.toml"));
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("the binary runs");
        let lines = BufReader::new(child.stdout.take().expect("it was piped"));
        GoingOn { child, lines }
    }

    /// The same, which must succeed; its standard output.
    pub fn hawser_done(&self, words: &[&str]) -> String {
        let output = self.hawser(words);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "hawser {words:?}: {}: {errors}", output.status);
        String::from_utf8(output.stdout).expect("UTF-8 output")
    }

    /// The key that the first start made, as `ID.SECRET`.
    pub fn admin_key(&self) -> String {
        let path = self.dir.path().join("admin.key");
        let text = std::fs::read_to_string(&path);
        text.unwrap_or_else(|e| panic!("{}: {e}", path.display())).trim_end().to_owned()
    }

    /// A new key of this role, as `ID.SECRET`.
    pub fn key(&self, role: &str) -> String {
        let words = ["key", "create", "--name", role, "--role", role, "--json"];
        let text = self.hawser_done(&words);
        let made: Value = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"));
        let part = |name: &str| made[name].as_str().unwrap_or_else(|| panic!("{name}: {text}"));
        format!("{}.{}", part("access_key_id"), part("access_key_secret"))
    }

    /// Asks the control socket; the JSON of a 2xx answer.
    pub fn control(&self, method: &str, path: &str, body: Option<Value>) -> Value {
        let (status, text) = self.control_raw(method, path, body);
        assert!((200..300).contains(&status), "{method} {path}: {status} {text}");
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("{method} {path}: {e}: {text}"))
    }

    pub fn control_raw(&self, method: &str, path: &str, body: Option<Value>) -> (u16, String) {
        let socket = self.dir.path().join("control.sock");
        let stream = UnixStream::connect(&socket).unwrap_or_else(|e| panic!("control.sock: {e}"));
        stream.set_read_timeout(Some(DEADLINE)).expect("a time-out");
        http(stream, method, path, &body.map(|b| b.to_string()).unwrap_or_default())
    }

    /// Rows of `hawser conns --json`.
    pub fn conns(&self) -> Vec<Value> {
        let text = self.hawser_done(&["conns", "--json"]);
        let value: Value = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"));
        let rows = value.get("connections").or_else(|| value.get("conns")).unwrap_or(&value);
        rows.as_array().unwrap_or_else(|| panic!("rows in {text}")).clone()
    }

    pub fn admin_get(&self, path: &str) -> (u16, String) {
        let wire = Wire::connect(self.admin());
        http(wire.socket(), "GET", path, "")
    }

    pub fn metrics(&self) -> Metrics {
        let (status, text) = self.admin_get("/metrics");
        assert_eq!(status, 200, "{text}");
        Metrics::parse(text)
    }

    /// Waits until a sum of samples is what it should be.
    pub fn await_metric(&self, name: &str, labels: &[(&str, &str)], value: f64) {
        eventually(&format!("{name} {labels:?} = {value}"), || {
            (self.metrics().sum(name, labels) == value).then_some(())
        });
    }

    /// Lines of the access log so far.
    pub fn log(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.dir.path().join("access.log")).unwrap_or_default();
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        let line = |l: &str| serde_json::from_str(l).unwrap_or_else(|e| panic!("{e}: {l}"));
        whole.lines().map(line).collect()
    }

    /// Waits for a line of the access log that fits.
    pub fn await_log(&self, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
        eventually(&format!("a log line: {what}"), || self.log().into_iter().find(&fits))
    }

    pub fn stderr(&self) -> String {
        self.stderr.text()
    }

    pub fn write_domain(&self, domain: &DomainFile) {
        std::fs::write(domain_path(self.dir(), &domain.name), domain.text()).expect("domain file");
    }

    pub fn remove_domain(&self, name: &str) {
        std::fs::remove_file(domain_path(self.dir(), name)).expect("domain file");
    }

    pub fn generation(&self) -> u64 {
        let status = self.control("GET", "/v1/status", None);
        status["generation"].as_u64().unwrap_or_else(|| panic!("generation in {status}"))
    }

    /// Writes the domain's file and reloads; back when it holds on every core.
    pub fn reload_with(&self, domain: &DomainFile) {
        self.write_domain(domain);
        self.hawser_done(&["reload"]);
    }

    // --- its process

    /// Its memory now, in KiB.
    pub fn resident(&self) -> u64 {
        self.memory("VmRSS:")
    }

    /// The most it ever had, in KiB.
    pub fn peak_resident(&self) -> u64 {
        self.memory("VmHWM:")
    }

    fn memory(&self, field: &str) -> u64 {
        let path = format!("/proc/{}/status", self.pid);
        let text = std::fs::read_to_string(path).expect("a living process");
        let line = text.lines().find(|line| line.starts_with(field)).expect("a known field");
        line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("KiB")
    }

    pub fn signal(&self, name: &str) {
        signal(self.pid, name);
    }

    /// Waits for the end by itself; its exit code.
    pub fn exit(&mut self) -> Option<i32> {
        self.exit_within(DEADLINE).code()
    }

    pub fn exit_within(&mut self, wait: Duration) -> ExitStatus {
        let deadline = Instant::now() + wait;
        loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                return status;
            }
            assert!(Instant::now() < deadline, "still running after {wait:?}\n{}", self.stderr());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Ends it at once, as a crash would.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Starts it anew on what it left behind, after [`Edge::kill`] or an end of its own. Its ports
    /// are others; what the next start says stands after what the last one said.
    pub fn start_again(&mut self) {
        assert!(!self.is_running(), "it still runs");
        let running = self.builder.launch(self.dir.path());
        let Running { child, stderr, notify } =
            running.unwrap_or_else(|e| panic!("no further start: {e}"));
        stderr.put_before(&self.stderr.text());
        self.pid = child.id();
        (self.child, self.stderr, self.notify) = (child, stderr, notify);
        self.learn_addresses();
    }

    /// A further start that must fail: its exit code and what it said.
    pub fn fails_to_start_again(&mut self) -> (Option<i32>, String) {
        assert!(!self.is_running(), "it still runs");
        self.builder.run_to_its_end(self.dir.path())
    }

    /// What a crash and the next start come to.
    pub fn crash_and_start_again(&mut self) {
        self.kill();
        self.start_again();
    }

    /// Whether it told systemd this, up to now or within the deadline.
    pub fn notified(&self, state: &str) {
        eventually(&format!("{state} on NOTIFY_SOCKET"), || self.notify.says(state).then_some(()));
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        // Gone already, and yet there is a socket: it handed over to a successor.
        if !self.is_running() && self.dir().join("control.sock").exists() {
            self.hawser(&["stop"]);
        }
        self.kill();
        if std::thread::panicking() {
            eprintln!("--- the edge's standard error\n{}", self.stderr());
            let log = self.log();
            for line in &log[log.len().saturating_sub(LOG_LINES_SHOWN)..] {
                eprintln!("--- log {line}");
            }
        } else {
            let stderr = self.stderr();
            assert!(!stderr.contains("panicked at"), "a panic in the edge:\n{stderr}");
        }
    }
}

pub fn signal(pid: u32, name: &str) {
    let done = Command::new("sh").arg("-c").arg(format!("kill -{name} {pid}")).status();
    assert!(done.is_ok_and(|s| s.success()), "kill -{name} {pid}");
}

/// One request with `Connection: close` on any stream.
fn http<S: Read + Write>(mut stream: S, method: &str, path: &str, body: &str) -> (u16, String) {
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).expect("a request");
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let answer = String::from_utf8(answer).expect("UTF-8");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{answer:?}"));
    let status = head.get(9..12).and_then(|s| s.parse().ok());
    let chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
    let body = if chunked { unchunk(body) } else { body.to_owned() };
    (status.unwrap_or_else(|| panic!("{head}")), body)
}

fn unchunk(mut text: &str) -> String {
    let mut out = String::new();
    while let Some((size, rest)) = text.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).expect("a chunk size");
        out.push_str(&rest[..size]);
        text = rest[size..].trim_start_matches("\r\n");
        if size == 0 {
            break;
        }
    }
    out
}

// === What the process says ===

struct Stderr(Arc<Mutex<String>>);

impl Stderr {
    fn follow(pipe: std::process::ChildStderr) -> Stderr {
        let text = Arc::new(Mutex::new(String::new()));
        let into = Arc::clone(&text);
        std::thread::spawn(move || {
            let mut lines = BufReader::new(pipe);
            let mut line = Vec::new();
            while matches!(lines.read_until(b'\n', &mut line), Ok(1..)) {
                into.lock().expect("unpoisoned").push_str(&String::from_utf8_lossy(&line));
                line.clear();
            }
        });
        Stderr(text)
    }

    fn text(&self) -> String {
        self.0.lock().map(|t| t.clone()).unwrap_or_default()
    }

    fn put_before(&self, earlier: &str) {
        self.0.lock().expect("unpoisoned").insert_str(0, earlier);
    }
}

/// The receiving end of systemd's notification protocol.
pub struct Notify {
    socket: UnixDatagram,
    pub path: PathBuf,
    said: Arc<Mutex<String>>,
}

impl Notify {
    pub fn bind(dir: &Path) -> Notify {
        let path = dir.join("notify.sock");
        // Of a process that is over.
        let _ = std::fs::remove_file(&path);
        let socket = UnixDatagram::bind(&path).expect("notify.sock");
        let said = Arc::new(Mutex::new(String::new()));
        let (reader, into) = (socket.try_clone().expect("a handle"), Arc::clone(&said));
        // Read as it comes: a sender waits when a handful of datagrams is not taken.
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(n @ 1..) = reader.recv(&mut buffer) {
                let mut said = into.lock().expect("unpoisoned");
                said.push_str(&String::from_utf8_lossy(&buffer[..n]));
                said.push('\n');
            }
        });
        Notify { socket, path, said }
    }

    /// Whether that state was said so far.
    pub fn says(&self, state: &str) -> bool {
        self.said.lock().expect("unpoisoned").lines().any(|line| line.starts_with(state))
    }
}

impl Drop for Notify {
    fn drop(&mut self) {
        let _ = self.socket.shutdown(std::net::Shutdown::Both);
    }
}

/// A running verb.
pub struct GoingOn {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl GoingOn {
    /// Reads up to the first line that contains `text`.
    pub fn says(&mut self, text: &str) {
        let mut line = String::new();
        while !line.contains(text) {
            line.clear();
            assert_ne!(self.lines.read_line(&mut line).expect("a line"), 0, "it ended");
        }
    }
}

impl Drop for GoingOn {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
