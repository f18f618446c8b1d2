//! The proxies under test: their configuration, their start, and when they are ready. Not here:
//! what is measured.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use std::{fs, io};

use anyhow::{Context as _, bail};
use serde_json::{Value, json};

use crate::certificate::{self, Certificate};
use crate::children::{Process, command};

const NGINX: &str = include_str!("../peers/nginx.conf.in");
const HAPROXY: &str = include_str!("../peers/haproxy.cfg.in");
const ENVOY: &str = include_str!("../peers/envoy.yaml.in");

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Hawser,
    Nginx,
    Haproxy,
    Envoy,
    /// A relay that only receives and sends.
    Floor,
}

impl Kind {
    pub const IN_THE_CLEAR: [Kind; 4] = [Kind::Hawser, Kind::Nginx, Kind::Haproxy, Kind::Floor];
    pub const UNDER_TLS: [Kind; 4] = [Kind::Hawser, Kind::Nginx, Kind::Haproxy, Kind::Envoy];

    /// The proxy of that name, for the command line.
    pub fn named(name: &str) -> Result<Kind, String> {
        let all = Kind::UNDER_TLS.into_iter().chain([Kind::Floor]);
        let known = all.into_iter().find(|kind| kind.name() == name);
        known.ok_or_else(|| "not hawser, nginx, haproxy, envoy or floor".to_owned())
    }

    pub fn name(self) -> &'static str {
        match self {
            Kind::Hawser => "hawser",
            Kind::Nginx => "nginx",
            Kind::Haproxy => "haproxy",
            Kind::Envoy => "envoy",
            Kind::Floor => "floor",
        }
    }

    /// Ours stand beside this program; others are the distribution's, or what the environment
    /// names by `NGINX`, `HAPROXY` or `ENVOY`.
    fn program(self) -> anyhow::Result<PathBuf> {
        match self {
            Kind::Hawser => beside("hawser"),
            Kind::Floor => beside("relay_floor"),
            Kind::Nginx | Kind::Haproxy | Kind::Envoy => {
                match std::env::var_os(self.name().to_uppercase()) {
                    Some(path) => Ok(path.into()),
                    None => found(self.name()),
                }
            }
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
    /// Configuration and state; removed with the proxy.
    folder: tempfile::TempDir,
}

impl Proxy {
    /// Starts a proxy and waits until it accepts connections.
    pub fn start(kind: Kind, setup: &Setup) -> anyhow::Result<Proxy> {
        let addr = setup.listen.map_or_else(free_address, Ok)?;
        let admin = free_address()?;
        let folder = tempfile::tempdir()?;
        let arguments = match kind {
            Kind::Hawser => {
                write_hawser(folder.path(), addr, admin, setup)?;
                vec!["run".into(), "-c".into(), text(&folder.path().join("hawser.toml"))]
            }
            Kind::Nginx => {
                let config = fill(NGINX, folder.path(), addr, setup, "nginx.conf")?;
                vec!["-c".into(), config, "-p".into(), text(folder.path())]
            }
            Kind::Haproxy => {
                let config = fill(HAPROXY, folder.path(), addr, setup, "haproxy.cfg")?;
                vec!["-db".into(), "-f".into(), config]
            }
            Kind::Envoy => {
                let config = fill(ENVOY, folder.path(), addr, setup, "envoy.yaml")?;
                let mut arguments = vec!["-c".to_owned(), config];
                let others =
                    ["--concurrency", "1", "--disable-hot-restart", "--log-level", "error"];
                arguments.extend(others.map(str::to_owned));
                arguments
            }
            Kind::Floor => vec![addr.to_string(), setup.origins[0].to_string()],
        };
        let mut command = command(setup.cpu, setup.descriptors, &text(&kind.program()?));
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
    let listen = match setup.certificate {
        None => format!("listen = [\"{addr}\"]"),
        Some(_) => format!("listen = []\nlisten_tls = [\"{addr}\"]"),
    };
    let server = format!(
        "version = 1\n[server]\n{listen}\nworkers = {}\nstate_dir = \"{}\"\n\
         [admin]\nlisten = \"{admin}\"\n[drain]\nwindow = \"{}s\"\n[log]\naccess = \"off\"\n\
         [billing]\nenabled = false\n",
        setup.workers,
        folder.display(),
        setup.drain_seconds,
    );
    let mut domain = format!(
        "name = \"{}\"\n[websocket]\nheartbeat = {}\norigin_scheme = \"http\"\n\
         [balance]\nmode = \"least_connections\"\n",
        certificate::NAME,
        setup.heartbeat_seconds
    );
    if let Some(certificate) = setup.certificate {
        let (chain, key) = (certificate.chain(), certificate.key());
        domain += &format!("[tls]\ncertificate = {chain:?}\nkey = {key:?}\n");
    }
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
    let origin = setup.origins[0];
    let mut config = String::new();
    for line in template.lines() {
        // Such lines hold under this condition only; others see comments.
        let marks = [
            ("#tls#", setup.certificate.is_some()),
            ("#clear#", setup.certificate.is_none()),
            ("#large#", setup.large_messages),
        ];
        let mark = marks.iter().find(|(mark, holds)| *holds && line.contains(mark));
        config += &mark.map_or_else(|| line.to_owned(), |(mark, _)| line.replace(mark, ""));
        config.push('\n');
    }
    let mut values = vec![
        ("@DIR@", text(folder)),
        ("@LISTEN@", addr.to_string()),
        ("@LISTEN_IP@", addr.ip().to_string()),
        ("@LISTEN_PORT@", addr.port().to_string()),
        ("@ORIGIN@", origin.to_string()),
        ("@ORIGIN_IP@", origin.ip().to_string()),
        ("@ORIGIN_PORT@", origin.port().to_string()),
    ];
    if let Some(certificate) = setup.certificate {
        values.extend([
            ("@CHAIN@", text(&certificate.chain())),
            ("@KEY@", text(&certificate.key())),
            ("@BOTH@", text(&certificate.both())),
        ]);
    }
    for (name, value) in values {
        config = config.replace(name, &value);
    }
    let path = folder.join(name);
    fs::write(&path, config)?;
    Ok(text(&path))
}

/// What the programs say of their versions.
pub fn versions(kinds: &[Kind]) -> Value {
    let version = |kind: Kind| -> Option<String> {
        let flag = match kind {
            Kind::Hawser | Kind::Envoy => "--version",
            Kind::Nginx | Kind::Haproxy => "-v",
            Kind::Floor => return None,
        };
        let output = Command::new(kind.program().ok()?).arg(flag).output().ok()?;
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        said.lines().find(|line| !line.trim().is_empty()).map(|line| line.trim().to_owned())
    };
    kinds.iter().map(|kind| (kind.name().to_owned(), json!(version(*kind)))).collect()
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
