//! Certificates from a real ACME server: Pebble, which Let's Encrypt makes for tests of clients. It
//! refuses one nonce in twenty, gives a validation again half of the time, and validates for real,
//! by asking the edge's own listeners.

use std::net::{IpAddr, SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{AlertDescription, RootCertStore};
use serde_json::{Value, json};

use super::harness::name_server::{Answer, name_server};
use super::harness::{
    Authority, DomainFile, Edge, Origin, Pair, TlsClient, Tunnel, Wire, eventually,
};

const DIRECTORY_PORT: u16 = 14_000;
const MANAGEMENT_PORT: u16 = 15_000;

/// A CA with an address of its own, so that its ports are free; it runs from [`Pebble::start`] on.
struct Pebble {
    ip: IpAddr,
    /// Of its own https, not of what it issues.
    authority: Authority,
    pair: Pair,
    dir: tempfile::TempDir,
    child: Option<Child>,
}

impl Pebble {
    /// `None`, with a word about it, where there is no Pebble.
    fn new() -> Option<Pebble> {
        static NEXT: AtomicU8 = AtomicU8::new(1);
        if Command::new("pebble").arg("-h").stderr(Stdio::null()).status().is_err() {
            eprintln!("SKIPPED: no `pebble` in PATH (Debian package pebble; ./tests/run installs)");
            return None;
        }
        let pid = std::process::id().to_le_bytes();
        let ip =
            IpAddr::from([127, 77 ^ (pid[1] & 63), pid[0], NEXT.fetch_add(1, Ordering::Relaxed)]);
        let authority = Authority::new("Pebble's own");
        let pair = authority.pair(&[&ip.to_string()]);
        let dir = tempfile::tempdir().expect("a directory");
        Some(Pebble { ip, authority, pair, dir, child: None })
    }

    fn directory(&self) -> String {
        format!("https://{}:{DIRECTORY_PORT}/dir", self.ip)
    }

    /// `[acme]` of `hawser.toml`.
    fn table(&self, challenge: &str) -> String {
        format!(
            "[acme]\ndirectory = \"{}\"\nroot = \"{}\"\ncontact = [\"mailto:ops@example.com\"]\n\
             challenge = \"{challenge}\"",
            self.directory(),
            self.authority.file().display()
        )
    }

    /// Issues for names that lead to this edge; `more` holds further settings of Pebble.
    fn start(&mut self, edge: &Edge, more: Value) {
        let names = name_server(Answer::shared([127, 0, 0, 1]));
        let mut settings = json!({
            "listenAddress": format!("{}:{DIRECTORY_PORT}", self.ip),
            "managementListenAddress": format!("{}:{MANAGEMENT_PORT}", self.ip),
            "certificate": self.pair.certificate(),
            "privateKey": self.pair.key(),
            "httpPort": edge.addr().port(),
            "tlsPort": edge.tls_addr().port(),
        });
        settings.as_object_mut().expect("a table").extend(more.as_object().cloned().expect("one"));
        let file = self.dir.path().join("pebble.json");
        std::fs::write(&file, json!({ "pebble": settings }).to_string()).expect("written");
        let log = std::fs::File::create(self.dir.path().join("log")).expect("a file");
        let child = Command::new("pebble")
            .args(["-strict", "-dnsserver", &names.to_string(), "-config"])
            .arg(&file)
            // No pauses before it validates.
            .env("PEBBLE_VA_NOSLEEP", "1")
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a handle"))
            .stderr(log)
            .spawn();
        self.child = Some(child.expect("pebble starts"));
        eventually("pebble listens", || {
            TcpStream::connect((self.ip, DIRECTORY_PORT)).ok().map(drop)
        });
    }

    /// A client that trusts what it issues.
    fn client(&self) -> TlsClient {
        let addr = SocketAddr::new(self.ip, MANAGEMENT_PORT);
        let mut wire = TlsClient::trusting(&self.authority).connect(addr, &self.ip.to_string());
        wire.send("GET /roots/0 HTTP/1.1\r\nHost: pebble\r\n\r\n");
        let (_, pem) = wire.answer();
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(&pem).expect("a root")).expect("a root");
        TlsClient::trusting_roots(roots)
    }
}

impl Drop for Pebble {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
            eprintln!("--- pebble\n{log}");
        }
    }
}

fn domain(origin: &Origin) -> DomainFile {
    DomainFile::to("a.test", origin)
        .websocket("origin_scheme = \"http\"")
        .set("tls", "certificate = \"acme\"")
}

/// It starts at once although there is no CA yet.
fn edge_without_ca(pebble: &Pebble, origin: &Origin, challenge: &str) -> Edge {
    Edge::builder().tls().workers(2).domain(domain(origin)).table(&pebble.table(challenge)).start()
}

/// Waits for a handshake that this client accepts.
fn served(edge: &Edge, client: &TlsClient) -> Wire {
    eventually("a certificate of this CA", || client.try_connect(edge.tls_addr(), "a.test").ok())
}

fn certificate(wire: &Wire) -> Vec<u8> {
    wire.agreed().certificate.expect("servers have one")
}

fn await_said(edge: &Edge, what: &str) {
    eventually(&format!("{what:?} in the log"), || edge.stderr().contains(what).then_some(()));
}

fn mode(path: &Path) -> u32 {
    let found = std::fs::metadata(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    found.permissions().mode() & 0o777
}

fn is_ordered_by(challenge: &str) {
    let Some(mut pebble) = Pebble::new() else { return };
    let origin = Origin::bind();
    let mut edge = edge_without_ca(&pebble, &origin, challenge);
    await_said(&edge, "no new certificate");
    assert!(edge.stderr().contains("refused"), "the cause is said:\n{}", edge.stderr());
    let strange = TlsClient::trusting(&pebble.authority);
    let alert = strange.refused(edge.tls_addr(), "a.test");
    assert_eq!(alert, AlertDescription::UnrecognisedName, "no certificate yet");

    pebble.start(&edge, json!({}));
    // A pause of a minute began with the failure; a reload ends it.
    edge.hawser_done(&["reload"]);
    let client = pebble.client();
    let mut tunnel = Tunnel::over(served(&edge, &client), &origin, "a.test", "", "");
    tunnel.check();
    let dir = edge.dir().join("acme");
    assert_eq!(mode(&dir.join("account.json")), 0o600);
    assert_eq!(mode(&dir.join("certs/a.test/key.pem")), 0o600);

    // A good pair is neither ordered again by a reload nor by the next process.
    edge.hawser_done(&["reload"]);
    tunnel.check();
    let first = certificate(&served(&edge, &client));
    edge.signal("USR2");
    tunnel.closed_by_edge(1012, 1012);
    assert_eq!(edge.exit(), Some(0));
    assert_eq!(certificate(&served(&edge, &pebble.client())), first);
    assert_eq!(edge.stderr().matches("ordering a certificate").count(), 2, "{}", edge.stderr());
}

/// RFC 8555 8.3.
#[test]
fn a_certificate_is_ordered_by_http_01() {
    is_ordered_by("http-01");
}

/// RFC 8737 3.
#[test]
fn a_certificate_is_ordered_by_tls_alpn_01() {
    is_ordered_by("tls-alpn-01");
}

#[test]
fn a_certificate_is_renewed_under_a_live_tunnel() {
    let Some(mut pebble) = Pebble::new() else { return };
    let origin = Origin::bind();
    let edge = edge_without_ca(&pebble, &origin, "tls-alpn-01");
    // Renewed when a third of it is left.
    pebble.start(&edge, json!({ "certificateValidityPeriod": 12 }));
    edge.hawser_done(&["reload"]);
    let client = pebble.client();
    let wire = served(&edge, &client);
    let first = certificate(&wire);
    let mut tunnel = Tunnel::over(wire, &origin, "a.test", "", "");
    tunnel.check();
    let new = eventually("a second certificate", || {
        // A client of its own: tickets would bring the session of the first one back.
        let wire = pebble.client().try_connect(edge.tls_addr(), "a.test").ok()?;
        (certificate(&wire) != first).then_some(wire)
    });
    tunnel.check();
    Tunnel::over(new, &origin, "a.test", "", "").check();
}

/// A CA that refuses, and one that cannot reach the edge: quoted, and the old pair stays.
#[test]
fn a_ca_that_issues_nothing_leaves_the_old_pair() {
    let Some(mut pebble) = Pebble::new() else { return };
    let origin = Origin::bind();
    let edge = edge_without_ca(&pebble, &origin, "http-01");
    pebble.start(&edge, json!({}));
    edge.hawser_done(&["reload"]);
    let client = pebble.client();
    let first = certificate(&served(&edge, &client));

    let nobody_listens = 1;
    let cases = [
        (json!({ "domainBlocklist": ["a.test"] }), "forbidden by policy"),
        (json!({ "httpPort": nobody_listens }), "could not see that the name is ours"),
    ];
    let file = edge.dir().join("hawser.toml");
    let before = std::fs::read_to_string(&file).expect("the configuration");
    for (settings, reason) in cases {
        let mut other = Pebble::new().expect("there was one before");
        other.start(&edge, settings);
        let table = (pebble.table("http-01"), other.table("http-01"));
        assert!(before.contains(&table.0));
        std::fs::write(&file, before.replace(&table.0, &table.1)).expect("written");
        // A pair of another CA is ordered anew at once.
        edge.hawser_done(&["reload"]);
        await_said(&edge, reason);
        let wire = pebble.client().connect(edge.tls_addr(), "a.test");
        assert_eq!(certificate(&wire), first, "the old pair stays");
        eventually("the reason is kept for listings", || {
            let kept = std::fs::read_to_string(edge.dir().join("acme/orders.json")).ok()?;
            let kept: Value = serde_json::from_str(&kept).ok()?;
            let failed = &kept["failed"]["a.test"];
            let pause = failed["next_at"].as_u64()? - failed["failed_at"].as_u64()?;
            let said = failed["last_error"].as_str()?;
            (said.contains(reason) && (60..=120).contains(&pause)).then_some(())
        });
    }
}

#[test]
fn what_no_ca_would_issue_is_refused_by_the_check() {
    let origin = Origin::bind();
    let wildcard = DomainFile::to("*.a.test", &origin).set("tls", "certificate = \"acme\"");
    let (code, said) = Edge::builder().tls().domain(wildcard).start_and_end();
    assert_eq!(code, Some(78), "{said}");
    assert!(said.contains("dns-01"), "{said}");
}
