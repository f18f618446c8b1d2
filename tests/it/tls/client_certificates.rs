//! Clients who have to prove who they are, and what origins learn of it.

use rustls::{AlertDescription, version};

use super::{ask, await_failures};
use crate::harness::{Authority, DomainFile, Edge, Origin, Pair, TlsClient, Wire, Wish};

const SUBJECT: &str = "x-client-cert-subject";

struct Gate {
    authority: Authority,
    clients: Authority,
    origin: Origin,
    edge: Edge,
    _pair: Pair,
}

fn gate(client_auth: &str) -> Gate {
    let (authority, clients) = (Authority::new("root"), Authority::new("clients"));
    let pair = authority.pair(&["a.test"]);
    let origin = Origin::bind();
    let mut domain = DomainFile::to("a.test", &origin)
        .tls(&pair)
        .set("tls", &format!("client_auth = \"{client_auth}\""));
    if client_auth != "off" {
        let file = clients.file();
        domain = domain.set("tls", &format!("client_ca = \"{}\"", file.display()));
    }
    let edge = Edge::builder().tls().domain(domain).start();
    Gate { authority, clients, origin, edge, _pair: pair }
}

impl Gate {
    fn versions(&self) -> [TlsClient; 2] {
        [&version::TLS13, &version::TLS12].map(|v| TlsClient::only(&self.authority, v))
    }

    /// The subject that the origin is told about a request with a forged one.
    fn told(&self, mut wire: Wire) -> Option<String> {
        wire.send(format!("GET / HTTP/1.1\r\nHost: a.test\r\n{SUBJECT}: CN=forged\r\n\r\n"));
        let mut origin = self.origin.accept();
        let head = origin.head();
        origin.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        assert_eq!(wire.answer().0.status(), 200);
        head.field(SUBJECT).map(str::to_owned)
    }

    fn refused(&self, client: &TlsClient) -> AlertDescription {
        client.refused(self.edge.tls_addr(), "a.test")
    }
}

#[test]
fn off_asks_for_nothing_and_removes_a_forged_subject() {
    let gate = gate("off");
    let pair = gate.clients.issue(Wish::client("somebody"));
    for client in gate.versions() {
        assert_eq!(gate.told(gate.edge.connect_tls(&client, "a.test")), None);
        let client = client.presenting(&pair);
        assert_eq!(gate.told(gate.edge.connect_tls(&client, "a.test")), None, "not asked for");
    }
    // The same header is removed on plain connections.
    assert_eq!(gate.told(gate.edge.connect()), None);
}

#[test]
fn optional_takes_everybody_whose_certificate_verifies_or_is_none() {
    let gate = gate("optional");
    let pair = gate.clients.issue(Wish::client("Jane Doe"));
    let stranger = Authority::new("strangers").issue(Wish::client("Jane Doe"));
    let late = gate.clients.issue(Wish::client("Jane Doe").days_left(-1));
    for client in gate.versions() {
        assert_eq!(gate.told(gate.edge.connect_tls(&client, "a.test")), None);
        let known = client.clone().presenting(&pair);
        let told = gate.told(gate.edge.connect_tls(&known, "a.test"));
        assert_eq!(told.as_deref(), Some("CN=Jane Doe"));
        let unknown = gate.refused(&client.clone().presenting(&stranger));
        assert_eq!(unknown, AlertDescription::UnknownCA);
        let expired = gate.refused(&client.presenting(&late));
        assert_eq!(expired, AlertDescription::CertificateExpired);
    }
    await_failures(&gate.edge, "client_certificate", 4);
}

#[test]
fn required_takes_nobody_without_one() {
    let gate = gate("required");
    let pair = gate.clients.issue(Wish::client("Jane Doe"));
    let [new, old] = gate.versions();
    assert_eq!(gate.refused(&new), AlertDescription::CertificateRequired);
    // RFC 5246 7.4.6: the alert of TLS 1.3 is not known there.
    let alert = gate.refused(&old);
    let known = [AlertDescription::HandshakeFailure, AlertDescription::CertificateRequired];
    assert!(known.contains(&alert), "{alert:?}");
    await_failures(&gate.edge, "client_certificate", 2);
    for client in gate.versions() {
        let known = client.presenting(&pair);
        for resumed in [false, true] {
            let wire = gate.edge.connect_tls(&known, "a.test");
            // Who it is outlives resumption.
            let told = gate.told(wire);
            assert_eq!(told.as_deref(), Some("CN=Jane Doe"), "resumed: {resumed}");
        }
    }
}

/// The subject is text of the client: nothing in it may end a field.
#[test]
fn a_subject_with_odd_characters_is_escaped() {
    let gate = gate("required");
    let pair = gate.clients.issue(Wish::client("a,b+c\"\u{fc}\u{2028}\r\nX-Evil: 1"));
    let client = TlsClient::trusting(&gate.authority).presenting(&pair);
    let mut wire = gate.edge.connect_tls(&client, "a.test");
    wire.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    let mut origin = gate.origin.accept();
    let head = origin.head();
    assert!(!head.has("x-evil"), "{head:?}");
    let subject = head.field(SUBJECT).expect("a subject");
    assert!(subject.starts_with("CN=") && subject.is_ascii(), "{subject:?}");
    assert!(subject.bytes().all(|b| (b' '..=b'~').contains(&b)), "{subject:?}");
}

#[test]
fn a_domain_that_requires_one_is_not_reached_by_another_name() {
    let (authority, clients) = (Authority::new("root"), Authority::new("clients"));
    let names = ["open.test", "closed.test"];
    let pair = authority.pair(&names);
    let origin = Origin::answering("fine");
    let ca = format!("client_ca = \"{}\"", clients.file().display());
    let edge = Edge::builder()
        .tls()
        .default_pair(&pair)
        .domain(DomainFile::to("open.test", &origin).tls(&pair))
        .domain(
            DomainFile::to("closed.test", &origin)
                .tls(&pair)
                .set("tls", "client_auth = \"required\"")
                .set("tls", &ca),
        )
        .start();
    let client = TlsClient::trusting(&authority);
    let mut open = edge.connect_tls(&client, "open.test");
    assert_eq!(ask(&mut open, "closed.test").0, 421);
    let mut nameless = edge.connect_tls(&client.clone().without_sni(), "open.test");
    assert_eq!(ask(&mut nameless, "closed.test").0, 421);
    let mut nameless = edge.connect_tls(&client.without_sni(), "open.test");
    assert_eq!(ask(&mut nameless, "open.test").0, 200);
}
