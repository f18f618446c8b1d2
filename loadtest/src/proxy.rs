//! The proxies under test: their configuration, their start, and when they are ready. Not here:
//! what is measured.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use std::{fs, io};

use anyhow::{Context as _, bail};

use crate::children::{Process, command};

const NGINX: &str = include_str!("../peers/nginx.conf.in");
const HAPROXY: &str = include_str!("../peers/haproxy.cfg.in");

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Hawser,
    Nginx,
    Haproxy,
    /// A relay that only receives and sends.
    Floor,
}

impl Kind {
    pub const ALL: [Kind; 4] = [Kind::Hawser, Kind::Nginx, Kind::Haproxy, Kind::Floor];

    /// The proxy of that name, for the command line.
    pub fn named(name: &str) -> Result<Kind, String> {
        let known = Kind::ALL.into_iter().find(|kind| kind.name() == name);
        known.ok_or_else(|| "not hawser, nginx, haproxy or floor".to_owned())
    }

    pub fn name(self) -> &'static str {
        match self {
            Kind::Hawser => "hawser",
            Kind::Nginx => "nginx",
            Kind::Haproxy => "haproxy",
            Kind::Floor => "floor",
        }
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
        }
    }
}

pub struct Proxy {
    pub process: Process,
    pub addr: SocketAddr,
    pub admin: SocketAddr,
    /// Configuration and state; removed with the proxy.
    folder: tempfile::TempDir,
}

impl Proxy {
    /// Starts a proxy and waits until it accepts connections.
    pub fn start(kind: Kind, setup: &Setup) -> anyhow::Result<Proxy> {
        let addr = setup.listen.map_or_else(free_address, Ok)?;
        let admin = free_address()?;
        let folder = tempfile::tempdir()?;
        let (program, arguments) = match kind {
            Kind::Hawser => {
                write_hawser(folder.path(), addr, admin, setup)?;
                let config = folder.path().join("hawser.toml");
                (beside("hawser")?, vec!["run".into(), "-c".into(), text(&config)])
            }
            Kind::Nginx => {
                let config = fill(NGINX, folder.path(), addr, setup, "nginx.conf")?;
                let prefix = text(folder.path());
                (found("nginx")?, vec!["-c".into(), config, "-p".into(), prefix])
            }
            Kind::Haproxy => {
                let config = fill(HAPROXY, folder.path(), addr, setup, "haproxy.cfg")?;
                (found("haproxy")?, vec!["-db".into(), "-f".into(), config])
            }
            Kind::Floor => {
                (beside("relay_floor")?, vec![addr.to_string(), setup.origins[0].to_string()])
            }
        };
        let mut command = command(setup.cpu, setup.descriptors, &text(&program));
        let log = fs::File::create(folder.path().join("output"))?;
        command.args(arguments).stdout(log.try_clone()?).stderr(log);
        let mut proxy = Proxy { process: Process::start(command)?, addr, admin, folder };
        proxy.await_ready().with_context(|| format!("{} did not start", kind.name()))?;
        Ok(proxy)
    }

    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// The value of one series of `/metrics`, summed over its labels.
    pub fn metric(&self, name: &str) -> anyhow::Result<f64> {
        use io::{Read as _, Write as _};
        let mut stream = TcpStream::connect(self.admin)?;
        write!(
            stream,
            "GET /metrics HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
            self.admin
        )?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        let lines = text.lines().filter_map(|line| line.strip_prefix(name));
        let values = lines.filter(|rest| rest.starts_with(['{', ' ']));
        Ok(values.filter_map(|rest| rest.rsplit(' ').next()?.parse::<f64>().ok()).sum())
    }

    fn await_ready(&mut self) -> anyhow::Result<()> {
        let since = Instant::now();
        while since.elapsed() < Duration::from_secs(15) {
            if TcpStream::connect(self.addr).is_ok() {
                return Ok(());
            }
            if let Some(status) = self.process.child.try_wait()? {
                let output = fs::read_to_string(self.folder.path().join("output"))?;
                bail!("it ended with {status}:\n{output}");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        bail!("nothing listens on {} after 15 s", self.addr)
    }
}

fn write_hawser(
    folder: &Path,
    addr: SocketAddr,
    admin: SocketAddr,
    setup: &Setup,
) -> anyhow::Result<()> {
    let server = format!(
        "version = 1\n[server]\nlisten = [\"{addr}\"]\nworkers = {}\nstate_dir = \"{}\"\n\
         [admin]\nlisten = \"{admin}\"\n[drain]\nwindow = \"{}s\"\n[log]\naccess = \"off\"\n",
        setup.workers,
        folder.display(),
        setup.drain_seconds,
    );
    let mut domain = format!(
        "name = \"load.test\"\n[websocket]\nheartbeat = {}\n\
         [balance]\nmode = \"least_connections\"\n",
        setup.heartbeat_seconds
    );
    for origin in setup.origins {
        let (ip, port) = (origin.ip(), origin.port());
        domain.push_str(&format!("[[origin]]\naddress = \"{ip}\"\nport = {port}\n"));
    }
    fs::create_dir(folder.join("domains"))?;
    fs::write(folder.join("domains/load.test.toml"), domain)?;
    Ok(fs::write(folder.join("hawser.toml"), server)?)
}

fn fill(
    template: &str,
    folder: &Path,
    addr: SocketAddr,
    setup: &Setup,
    name: &str,
) -> anyhow::Result<String> {
    let config = template
        .replace("@DIR@", &text(folder))
        .replace("@LISTEN@", &addr.to_string())
        .replace("@ORIGIN@", &setup.origins[0].to_string());
    let path = folder.join(name);
    fs::write(&path, config)?;
    Ok(text(&path))
}

/// An address that was free a moment ago.
pub fn free_address() -> io::Result<SocketAddr> {
    TcpListener::bind("127.0.0.1:0")?.local_addr()
}

/// A program built together with this one.
fn beside(name: &str) -> anyhow::Result<PathBuf> {
    let path = std::env::current_exe()?.with_file_name(name);
    anyhow::ensure!(path.exists(), "{} is missing: cargo build --release", path.display());
    Ok(path)
}

/// A program of the distribution.
fn found(name: &str) -> anyhow::Result<PathBuf> {
    let folders = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/usr/local/sbin";
    let mut paths = folders.split(':').map(|folder| Path::new(folder).join(name));
    paths.find(|path| path.exists()).with_context(|| format!("{name} is not installed"))
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
