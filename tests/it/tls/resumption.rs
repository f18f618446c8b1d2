//! Tickets: no state in the edge, good on every core and across reloads, and never for another
//! domain (Envoy CVE-2025-64763, nginx CVE-2025-23419).

use std::sync::{Arc, Mutex};

use rustls::client::Tls13ClientSessionValue;
use rustls::client::{ClientSessionStore, Resumption, Tls12ClientSessionValue};
use rustls::pki_types::ServerName;
use rustls::{AlertDescription, NamedGroup, version};

use super::{Site, ask};
use crate::harness::{Authority, DomainFile, Edge, Origin, TlsClient};

/// Whether a connection resumes; takes the tickets that come with its first answer.
fn resumes(edge: &Edge, client: &TlsClient, name: &str) -> bool {
    let mut wire = edge.connect_tls(client, name);
    assert_eq!(ask(&mut wire, name).0, 200);
    wire.agreed().resumed
}

fn site(workers: u32) -> (Authority, Origin, Edge, DomainFile, crate::harness::Pair) {
    let authority = Authority::new("root");
    let pair = authority.pair(&["a.test"]);
    let origin = Origin::answering("fine");
    let domain = DomainFile::to("a.test", &origin).tls(&pair);
    let edge = Edge::builder().tls().workers(workers).domain(domain.clone()).start();
    (authority, origin, edge, domain, pair)
}

#[test]
fn tickets_are_good_on_every_core() {
    let (authority, _origin, edge, _, _pair) = site(2);
    for version in [&version::TLS13, &version::TLS12] {
        let client = TlsClient::only(&authority, version);
        assert!(!resumes(&edge, &client, "a.test"), "the first one cannot");
        for i in 0..16 {
            assert!(resumes(&edge, &client, "a.test"), "{version:?}: {i}");
        }
    }
    edge.await_metric("hawser_tls_handshakes_total", &[("result", "full")], 2.0);
    edge.await_metric("hawser_tls_handshakes_total", &[("result", "resumed")], 32.0);
    let sessions = (0..2).map(|core: u32| {
        let core = core.to_string();
        edge.metrics().sum("hawser_tls_handshakes_total", &[("core", &core)])
    });
    let sessions: Vec<_> = sessions.collect();
    if sessions.iter().sum::<f64>() > 0.0 {
        assert!(sessions.iter().all(|n| *n > 0.0), "one core did it all: {sessions:?}");
    }
}

#[test]
fn tickets_outlive_reloads_and_renewed_pairs() {
    let (authority, _origin, edge, domain, pair) = site(1);
    for version in [&version::TLS13, &version::TLS12] {
        let client = TlsClient::only(&authority, version);
        assert!(!resumes(&edge, &client, "a.test"));
        edge.reload_with(&domain.clone().websocket("heartbeat = 33"));
        assert!(resumes(&edge, &client, "a.test"), "{version:?} after a reload");
        pair.overwrite_with(&authority.pair(&["a.test"]));
        edge.hawser_done(&["reload"]);
        assert!(resumes(&edge, &client, "a.test"), "{version:?} after a renewal");
    }
}

/// Hands out every ticket for any name.
#[derive(Debug, Default)]
struct Careless {
    tls12: Mutex<Option<Tls12ClientSessionValue>>,
    tls13: Mutex<Vec<Tls13ClientSessionValue>>,
}

impl ClientSessionStore for Careless {
    fn set_kx_hint(&self, _: ServerName<'static>, _: NamedGroup) {}

    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        None
    }

    fn set_tls12_session(&self, _: ServerName<'static>, value: Tls12ClientSessionValue) {
        *self.tls12.lock().expect("unpoisoned") = Some(value);
    }

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.tls12.lock().expect("unpoisoned").clone()
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {}

    fn insert_tls13_ticket(&self, _: ServerName<'static>, value: Tls13ClientSessionValue) {
        self.tls13.lock().expect("unpoisoned").push(value);
    }

    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.tls13.lock().expect("unpoisoned").pop()
    }
}

#[test]
fn a_ticket_of_one_domain_is_worth_nothing_at_another() {
    let authority = Authority::new("root");
    let pair = authority.pair(&["a.test", "b.test"]);
    let origin = Origin::answering("fine");
    let edge = Edge::builder()
        .tls()
        .domain(DomainFile::to("a.test", &origin).tls(&pair))
        .domain(DomainFile::to("b.test", &origin).tls(&pair))
        .start();
    for version in [&version::TLS13, &version::TLS12] {
        let store = Arc::new(Careless::default());
        let client = TlsClient::only(&authority, version).resuming(Resumption::store(store));
        assert!(!resumes(&edge, &client, "a.test"));
        assert!(resumes(&edge, &client, "a.test"), "the store works");
        assert!(!resumes(&edge, &client, "b.test"), "{version:?}: a ticket of a.test at b.test");
        assert!(!resumes(&edge, &client, "a.test"), "{version:?}: and the other way round");
    }
}

#[test]
fn tickets_are_void_once_the_domain_asks_for_certificates() {
    let (authority, _origin, edge, domain, _pair) = site(1);
    let clients = Authority::new("clients");
    let client = TlsClient::only(&authority, &version::TLS13);
    assert!(!resumes(&edge, &client, "a.test"));
    let ca = format!("client_ca = \"{}\"", clients.file().display());
    edge.reload_with(&domain.set("tls", "client_auth = \"required\"").set("tls", &ca));
    let alert = client.refused(edge.tls_addr(), "a.test");
    assert_eq!(alert, AlertDescription::CertificateRequired);
}

/// RFC 8446 4.2.10: a ticket that allows no early data is never followed by any.
#[test]
fn no_ticket_allows_early_data() {
    let site = Site::with(|domain| domain.websocket("enabled = true"));
    let client = site.client().early_data();
    for resumed in [false, true, true] {
        let wire = site.edge.connect_tls(&client, "a.test");
        assert_eq!(wire.agreed().resumed, resumed);
        assert!(!wire.agreed().early_data, "early data was allowed");
        let mut tunnel = crate::harness::Tunnel::over(wire, &site.origin, "a.test", "", "");
        tunnel.check();
    }
}
