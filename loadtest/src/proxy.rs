//! The proxies under test: which there are, their start, and when they are ready. Not here: what
//! they are told (`peers`), and what is measured.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};
use std::{fs, io};

use anyhow::{Context as _, bail};

use crate::certificate::Certificate;
use crate::children::{Process, command};
use crate::{admin, measure, peers};

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Kind {
    Hawser,
    Nginx,
    Haproxy,
    Envoy,
    Caddy,
    Traefik,
    /// A relay that only receives and sends, on the rings of Hawser.
    IoUringFloor,
    /// The same on epoll.
    EpollFloor,
    /// Nobody: the client speaks with the origin itself.
    Direct,
}

impl Kind {
    pub const ALL: [Kind; 8] = [
        Kind::Hawser,
        Kind::Nginx,
        Kind::Haproxy,
        Kind::Envoy,
        Kind::Caddy,
        Kind::Traefik,
        Kind::IoUringFloor,
        Kind::EpollFloor,
    ];
    /// Whom the single questions are asked, unless others are named.
    pub const IN_THE_CLEAR: [Kind; 4] =
        [Kind::Hawser, Kind::Nginx, Kind::Haproxy, Kind::IoUringFloor];
    pub const UNDER_TLS: [Kind; 4] = [Kind::Hawser, Kind::Nginx, Kind::Haproxy, Kind::Envoy];

    /// The proxy of that name, for the command line.
    pub fn named(name: &str) -> Result<Kind, String> {
        Kind::ALL
            .into_iter()
            .find(|kind| kind.name() == name)
            .ok_or_else(|| format!("not one of {}", Kind::ALL.map(Kind::name).join(", ")))
    }

    pub fn name(self) -> &'static str {
        match self {
            Kind::Hawser => "hawser",
            Kind::Nginx => "nginx",
            Kind::Haproxy => "haproxy",
            Kind::Envoy => "envoy",
            Kind::Caddy => "caddy",
            Kind::Traefik => "traefik",
            Kind::IoUringFloor => "io_uring_floor",
            Kind::EpollFloor => "epoll_floor",
            Kind::Direct => "direct",
        }
    }

    /// Somebody else's.
    pub fn is_peer(self) -> bool {
        !self.is_floor() && !matches!(self, Kind::Hawser | Kind::Direct)
    }

    /// Relays bytes and knows neither HTTP nor TLS.
    pub fn is_floor(self) -> bool {
        matches!(self, Kind::IoUringFloor | Kind::EpollFloor)
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

pub struct Setup<'a> {
    /// Any free address where it is `None`.
    pub listen: Option<SocketAddr>,
    pub origins: &'a [SocketAddr],
    pub workers: usize,
    pub cpu: Option<usize>,
    pub descriptors: u64,
    pub heartbeat_seconds: u32,
    pub drain_seconds: u32,
    /// TLS towards clients, with this certificate.
    pub certificate: Option<&'a Certificate>,
    /// Buffers of peers that have to be told are made for messages of many kilobytes.
    pub large_messages: bool,
}

impl Default for Setup<'_> {
    fn default() -> Self {
        Setup {
            listen: None,
            origins: &[],
            workers: 1,
            cpu: None,
            descriptors: crate::children::DESCRIPTORS,
            heartbeat_seconds: 60,
            drain_seconds: 10,
            certificate: None,
            large_messages: false,
        }
    }
}

pub struct Proxy {
    pub process: Process,
    pub addr: SocketAddr,
    pub admin: SocketAddr,
    /// Its own and those of its children, as they were when it was ready.
    processes: Vec<u32>,
    /// Configuration and state; removed with the proxy.
    folder: tempfile::TempDir,
}

impl Proxy {
    /// Starts a proxy and waits until it accepts connections.
    pub fn start(kind: Kind, setup: &Setup) -> anyhow::Result<Proxy> {
        let program = peers::program(kind)?;
        let addr = setup.listen.map_or_else(free_address, Ok)?;
        let admin = free_address()?;
        let folder = tempfile::tempdir()?;
        let arguments = peers::configure(kind, folder.path(), addr, admin, setup)?;
        let mut command = command(setup.cpu, setup.descriptors, &program);
        // Threads of Go programs that run at a time; others have it in their configuration. What
        // they keep for themselves belongs to the run.
        command.env("GOMAXPROCS", setup.workers.to_string()).env("HOME", folder.path());
        command.env("XDG_DATA_HOME", folder.path()).env("XDG_CONFIG_HOME", folder.path());
        let log = fs::File::create(folder.path().join("output"))?;
        command.args(arguments).stdout(log.try_clone()?).stderr(log);
        let process = Process::start(command)?;
        let mut proxy = Proxy { process, addr, admin, processes: Vec::new(), folder };
        proxy.await_ready(kind).with_context(|| format!("{kind} did not start"))?;
        proxy.processes = measure::family(proxy.id())?;
        Ok(proxy)
    }

    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// What all its processes have run.
    pub fn cpu_ns(&self) -> anyhow::Result<u64> {
        self.processes.iter().map(|pid| measure::cpu_ns(*pid)).sum()
    }

    /// What all its processes hold.
    pub fn pss_bytes(&self) -> anyhow::Result<u64> {
        self.processes.iter().map(|pid| measure::pss_bytes(*pid)).sum()
    }

    fn is_ready(&self, kind: Kind) -> bool {
        let routes =
            || admin::ask(self.admin, "/").is_ok_and(|text| !text.starts_with("HTTP/1.1 404"));
        TcpStream::connect(self.addr).is_ok() && (kind != Kind::Traefik || routes())
    }

    fn await_ready(&mut self, kind: Kind) -> anyhow::Result<()> {
        let since = Instant::now();
        while since.elapsed() < Duration::from_secs(15) {
            if self.is_ready(kind) {
                return Ok(());
            }
            if let Some(status) = self.process.child.try_wait()? {
                let output = fs::read_to_string(self.folder.path().join("output"))?;
                bail!("it ended with {status}:\n{output}");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        bail!("it does not serve on {} after 15 s", self.addr)
    }
}

/// An address that was free a moment ago.
pub fn free_address() -> io::Result<SocketAddr> {
    TcpListener::bind("127.0.0.1:0")?.local_addr()
}
