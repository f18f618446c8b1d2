//! TLS on both legs, as peers see it: rustls on the other side, and hellos and records as no
//! library would send them.
//!
//! Not here: programs of others (`tests/peers/tls.rs`), ACME.

use crate::harness::{Authority, DomainFile, Edge, Origin, Pair, TlsClient, Tunnel, Wire};

mod bad_input;
mod certificates;
mod client_certificates;
mod handshakes;
mod hellos;
mod origins;
mod records;
mod resumption;
mod termination;
mod tunnels;
mod uploads;

/// One domain with a pair of its own, in front of a plain origin that the test plays.
struct Site {
    authority: Authority,
    pair: Pair,
    origin: Origin,
    edge: Edge,
}

impl Site {
    fn new() -> Site {
        Site::with(|domain| domain)
    }

    fn with(change: impl Fn(DomainFile) -> DomainFile) -> Site {
        let authority = Authority::new("root");
        let pair = authority.pair(&["a.test"]);
        let origin = Origin::bind();
        let domain = change(DomainFile::to("a.test", &origin).tls(&pair));
        let edge = Edge::builder().tls().domain(domain).start();
        Site { authority, pair, origin, edge }
    }

    fn client(&self) -> TlsClient {
        TlsClient::trusting(&self.authority)
    }

    fn connect(&self) -> Wire {
        self.edge.connect_tls(&self.client(), "a.test")
    }

    fn tunnel(&self) -> Tunnel {
        self.tunnel_of(&self.client())
    }

    fn tunnel_of(&self, client: &TlsClient) -> Tunnel {
        let client = self.edge.connect_tls(client, "a.test");
        Tunnel::over(client, &self.origin, "a.test", "", "")
    }

    /// Somebody else is served as ever.
    fn serves(&self) {
        self.tunnel().check();
    }
}

/// One request and its answer's status and text.
fn ask(wire: &mut Wire, host: &str) -> (u16, String) {
    wire.send(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"));
    let (head, body) = wire.answer();
    (head.status(), String::from_utf8_lossy(&body).into_owned())
}

/// Handshakes with clients that failed for this reason, since the start.
fn await_failures(edge: &Edge, reason: &str, count: usize) {
    edge.await_metric("hawser_tls_handshake_failures_total", &[("reason", reason)], count as f64);
}
