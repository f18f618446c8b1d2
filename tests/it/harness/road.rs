//! A domain with TLS on either leg, both or none, and tunnels over it: for what has to hold
//! whatever the transports are.

use super::{
    Authority, DomainFile, Edge, EdgeBuilder, Origin, Pair, TlsClient, Tunnel, Wire, tls_server,
};

/// Which legs of a tunnel are encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Legs {
    Plain,
    Client,
    Origin,
    Both,
}

impl Legs {
    /// Those with TLS in them.
    pub const TLS: [Legs; 3] = [Legs::Client, Legs::Origin, Legs::Both];

    pub fn client_is_tls(self) -> bool {
        matches!(self, Legs::Client | Legs::Both)
    }

    pub fn origin_is_tls(self) -> bool {
        matches!(self, Legs::Origin | Legs::Both)
    }
}

pub struct Road {
    pub edge: Edge,
    /// Played by the test.
    pub origin: Origin,
    client: Option<TlsClient>,
    /// Whose files the edge may read again.
    _files: (Authority, [Pair; 2]),
}

impl Road {
    pub fn new(legs: Legs) -> Road {
        Road::with(legs, |domain| domain, |edge| edge)
    }

    /// With a domain and an edge that are changed before they start.
    pub fn with(
        legs: Legs,
        domain: impl Fn(DomainFile) -> DomainFile,
        edge: impl Fn(EdgeBuilder) -> EdgeBuilder,
    ) -> Road {
        let authority = Authority::new("root");
        let pairs = [(); 2].map(|()| authority.pair(&["a.test"]));
        let base = DomainFile::new("a.test").tls(&pairs[0]);
        let (origin, base) = if legs.origin_is_tls() {
            let origin = Origin::bind_tls(tls_server(&pairs[1]));
            let base = base.tls_origin(&origin, &authority);
            (origin, base)
        } else {
            let origin = Origin::bind();
            let base = base.origin(origin.addr, "").websocket("origin_scheme = \"http\"");
            (origin, base)
        };
        let edge = edge(Edge::builder().tls().domain(domain(base))).start();
        let client = legs.client_is_tls().then(|| TlsClient::trusting(&authority));
        Road { edge, origin, client, _files: (authority, pairs) }
    }

    pub fn connect(&self) -> Wire {
        match &self.client {
            None => self.edge.connect(),
            Some(client) => self.edge.connect_tls(client, "a.test"),
        }
    }

    pub fn tunnel(&self) -> Tunnel {
        Tunnel::over(self.connect(), &self.origin, "a.test", "", "")
    }
}
