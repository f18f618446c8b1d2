//! A bench: a proxy between a client and an origin of its own, or the two without a proxy. Not
//! here: what is measured on it.

use std::net::Ipv4Addr;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::certificate::Certificate;
use crate::children::{Client, Connects};
use crate::measure::ran_ns;
use crate::proxy::{Kind, Proxy, Setup, free_address};

/// Answers settle for so long before a window begins.
const WARM: Duration = Duration::from_millis(100);

/// Connections come from so many addresses from this one on: each has some 28,000 ports, an ended
/// connection blocks its own for a minute, and all benches share them.
const SOURCE: Ipv4Addr = Ipv4Addr::new(127, 0, 8, 1);
const SOURCES: u8 = 60;

#[derive(Clone, Copy)]
pub struct Load<'a> {
    pub connections: usize,
    pub path: &'static str,
    /// TLS between client and proxy.
    pub certificate: Option<&'a Certificate>,
    /// Buffers of those who have to be told are made for messages of many kilobytes.
    pub large_messages: bool,
    /// Core of the proxy; origin and client share the other one.
    pub cpu: usize,
    pub load_cpu: usize,
}

pub struct Bench {
    pub client: Client,
    /// Nobody under [`Kind::Direct`].
    proxy: Option<Proxy>,
}

/// What happened between two looks at a busy bench.
pub struct Window {
    pub length: Duration,
    pub cpu_ns: u64,
    /// Payload that came back to the client.
    pub echoed_bytes: u64,
    /// What the client said when it had stopped.
    pub end: Value,
}

impl Bench {
    pub fn start(kind: Kind, load: &Load) -> anyhow::Result<Bench> {
        // One thread is client and origin, so that the core of the load always has something to do
        // and the proxy seldom has to wake it.
        let (origin, listen) = (free_address()?, free_address()?);
        let target = if kind == Kind::Direct { origin } else { listen };
        let authority = load.certificate.map(Certificate::authority);
        let mut client = Client::start(&Connects {
            serve: Some(origin),
            path: load.path,
            cpu: Some(load.load_cpu),
            authority: authority.as_deref(),
            source: SOURCE,
            sources: SOURCES,
            ..Connects::to(target)
        })?;
        client.ask("status")?;
        let setup = Setup {
            listen: Some(listen),
            origins: &[origin],
            cpu: Some(load.cpu),
            certificate: load.certificate,
            large_messages: load.large_messages,
            ..Setup::default()
        };
        let proxy = match kind {
            Kind::Direct => None,
            _ => Some(Proxy::start(kind, &setup)?),
        };
        if load.connections > 0 {
            client.open(load.connections)?;
        }
        Ok(Bench { client, proxy })
    }

    /// What all processes of the proxy have run.
    pub fn cpu_ns(&self) -> anyhow::Result<u64> {
        self.proxy.as_ref().map_or(Ok(0), Proxy::cpu_ns)
    }

    /// Echoes for so long, counted while it is busy.
    pub fn window(&mut self, line: &str, length: Duration) -> anyhow::Result<Window> {
        self.client.ask(line)?;
        sleep(WARM);
        let before = (self.client.ask("status")?, self.cpu_ns()?, Instant::now());
        sleep(length);
        let after = (self.client.ask("status")?, self.cpu_ns()?, Instant::now());
        let end = self.client.ask("stop")?;
        // By bytes, since few large messages are whole within a window. What is under way towards
        // the origin is as much at its end as at its beginning.
        let bytes = |answer: &Value| answer["echoed_bytes"].as_u64().unwrap_or(0);
        Ok(Window {
            length: after.2 - before.2,
            cpu_ns: ran_ns(before.1, after.1)?,
            echoed_bytes: bytes(&after.0) - bytes(&before.0),
            end,
        })
    }

    /// All that one line begins until it was stopped, from silence to silence: what the proxy ran
    /// and what the client said when it had stopped.
    pub fn whole(&mut self, line: &str, length: Duration) -> anyhow::Result<(u64, Value)> {
        let before = self.cpu_ns()?;
        self.client.ask(line)?;
        sleep(length);
        let end = self.client.ask("stop")?;
        Ok((ran_ns(before, self.cpu_ns()?)?, end))
    }
}
