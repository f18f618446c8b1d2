//! A domain's file as text: what an operator would write, with only what the test is about.

use std::fmt::Write as _;
use std::net::SocketAddr;

use super::{Authority, Origin, Pair};

#[derive(Debug, Clone)]
pub struct DomainFile {
    pub name: String,
    top: Vec<String>,
    tables: Vec<(&'static str, String)>,
    origins: Vec<String>,
}

impl DomainFile {
    pub fn new(name: &str) -> DomainFile {
        DomainFile { name: name.into(), top: vec![], tables: vec![], origins: vec![] }
    }

    pub fn to(name: &str, origin: &Origin) -> DomainFile {
        DomainFile::new(name).origin(origin.addr, "")
    }

    /// A key outside every table.
    pub fn top(mut self, line: &str) -> DomainFile {
        self.top.push(line.into());
        self
    }

    /// A line of `[table]`.
    pub fn set(mut self, table: &'static str, line: &str) -> DomainFile {
        self.tables.push((table, line.into()));
        self
    }

    pub fn websocket(self, line: &str) -> DomainFile {
        self.set("websocket", line)
    }

    /// Served with this pair, and unless said otherwise with plain origins.
    pub fn tls(self, pair: &Pair) -> DomainFile {
        let certificate = format!("certificate = \"{}\"", pair.certificate().display());
        let key = format!("key = \"{}\"", pair.key().display());
        self.set("tls", &certificate).set("tls", &key)
    }

    /// An origin that is spoken to over TLS and verified by this authority.
    pub fn tls_origin(self, origin: &Origin, authority: &Authority) -> DomainFile {
        let verify = format!("verify = \"{}\"", authority.file().display());
        let port = origin.addr.port();
        self.websocket("origin_scheme = \"https\"")
            .set("origin_tls", &verify)
            .origin(origin.addr, &format!("https_port = {port}"))
    }

    /// One more `[[origin]]`; `more` holds further lines of it.
    pub fn origin(self, addr: SocketAddr, more: &str) -> DomainFile {
        self.origin_named(&addr.ip().to_string(), addr.port(), more)
    }

    pub fn origin_named(mut self, address: &str, port: u16, more: &str) -> DomainFile {
        self.origins.push(format!("address = \"{address}\"\nport = {port}\n{more}\n"));
        self
    }

    pub fn text(&self) -> String {
        let mut tables = self.tables.clone();
        let has = |name: &str, key: &str| {
            self.tables.iter().any(|(table, line)| *table == name && line.starts_with(key))
        };
        if has("tls", "certificate") && !has("websocket", "origin_scheme") {
            tables.push(("websocket", "origin_scheme = \"http\"".into()));
        }
        let mut out = format!("name = \"{}\"\n{}\n", self.name, self.top.join("\n"));
        let mut names: Vec<_> = tables.iter().map(|(table, _)| *table).collect();
        names.sort_unstable();
        names.dedup();
        for name in names {
            let _ = writeln!(out, "[{name}]");
            for (_, line) in tables.iter().filter(|(table, _)| *table == name) {
                let _ = writeln!(out, "{line}");
            }
        }
        for origin in &self.origins {
            let _ = writeln!(out, "[[origin]]\n{origin}");
        }
        out
    }
}
