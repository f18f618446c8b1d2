//! `hawser demo`: the edge with an origin of its own, nothing to set up.

use std::fs;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context;
use jiff::Timestamp;
use tracing_subscriber::filter::LevelFilter;

use super::run::load;
use super::serve::{Addresses, Inherited, Serving, serve};
use super::{Exit, say};
use crate::control::billing::{Billing, ChargeType, WebsocketBillType};
use crate::control::changes::{Author, Via};
use crate::control::config::{ServerConfig, Source};
use crate::control::database::Database;
use crate::control::demo::Origin;
use crate::control::operational_log;

/// Run the edge with a live demo origin on loopback; needs no file
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where the edge listens
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Where the admin listener listens
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9080")]
    admin: SocketAddr,
}

pub fn run(args: Args) -> anyhow::Result<Exit> {
    operational_log::start(LevelFilter::WARN);
    for (addr, flag) in [(args.listen, "--listen"), (args.admin, "--admin")] {
        TcpListener::bind(addr).map_err(|error| busy(addr, flag, &error))?;
    }
    let mut origin = Origin::start().context("cannot start the demo origin")?;
    let dir = StateDir::create(&args, origin.addr)?;
    let source = Source { file: Some(dir.0.join("hawser.toml")), state_dir: None };
    let loaded = source.load()?;
    open_plan(&dir.0, &loaded.server)?;
    let serving =
        Serving { loaded, load: load(source), inherited: Inherited::default(), program: None };
    serve(serving, |addresses| {
        origin.start_traffic(addresses.listen[0]);
        // A closed stdout does not keep the edge from serving.
        let _ = say(&welcome(addresses, &dir.0));
    })
}

/// Without a plan, no domain has WebSocket: a demo is to show it.
fn open_plan(state_dir: &Path, server: &ServerConfig) -> anyhow::Result<()> {
    let billing = Billing::new(Database::open(state_dir)?, server.billing.clone());
    let author = Author { name: "hawser demo".to_owned(), via: Via::Edge, address: None };
    let (charge, websocket) = (ChargeType::PayByTraffic, WebsocketBillType::WebsocketTraffic);
    billing.open(charge, websocket, Timestamp::now(), &author).context("cannot open a plan")?;
    Ok(())
}

fn busy(addr: SocketAddr, flag: &str, error: &io::Error) -> anyhow::Error {
    let any = SocketAddr::new(addr.ip(), 0);
    anyhow::anyhow!(
        "cannot listen on {addr}: {error}; choose another address, or let the kernel find a free \
         port: hawser demo {flag} {any}"
    )
}

fn welcome(addresses: &Addresses, dir: &Path) -> String {
    let Addresses { listen, listen_tls: _, admin } = addresses;
    let edge = listen[0];
    let admin = admin.map_or("off".to_owned(), |admin| format!("http://{admin}"));
    let dir = dir.display();
    format!(
        "\
Hawser demo: a price ticker and a chat room behind the edge.

  page     http://{edge}/          (open it in a browser)
  console  {admin}/console/   (sign in with the key below)
  metrics  {admin}/metrics
  log      {dir}/access.log
  key      {dir}/admin.key   (admin key of console and API)

WebSocket needs a billing plan: the demo has opened one for itself (PayByTraffic, websockettraffic).

Try, in another terminal:

  curl http://{edge}/hello
  hawser conns  --state-dir {dir} --watch
  hawser kill   --state-dir {dir} --ip 127.0.0.1 --code 1012 --rate 2
  hawser plan   show --state-dir {dir}
  hawser usage  --state-dir {dir} --what-if
  hawser reload --state-dir {dir}     after editing {dir}/domains/*.toml

Ctrl-C drains and ends it; a second one ends it at once.
"
    )
}

/// A state directory of its own, removed at the end.
struct StateDir(PathBuf);

impl StateDir {
    fn create(args: &Args, origin: SocketAddr) -> anyhow::Result<StateDir> {
        // Not guessable, and `create` below fails if somebody was there first: /tmp is everybody's.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let name = format!("hawser-demo-{}-{:x}", std::process::id(), now.subsec_nanos());
        let path = std::env::temp_dir().join(name);
        let create = |path: &Path| fs::DirBuilder::new().mode(0o700).create(path);
        create(&path).with_context(|| format!("cannot make {}", path.display()))?;
        let dir = StateDir(path);
        create(&dir.0.join("domains"))?;
        fs::write(dir.0.join("hawser.toml"), server_text(args, &dir.0))?;
        for name in names(args.listen) {
            let file = dir.0.join("domains").join(format!("{name}.toml"));
            fs::write(file, domain_text(&name, origin))?;
        }
        Ok(dir)
    }
}

impl Drop for StateDir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// What a browser on this host may call the edge.
fn names(listen: SocketAddr) -> Vec<String> {
    let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    if listen.is_ipv4() && !listen.ip().is_unspecified() {
        names.push(listen.ip().to_string());
    }
    names.dedup();
    names
}

fn server_text(args: &Args, dir: &Path) -> String {
    let (listen, admin, dir) = (args.listen, args.admin, dir.display());
    format!(
        "\
version = 1
[server]
listen = [\"{listen}\"]
state_dir = \"{dir}\"
[admin]
listen = \"{admin}\"
[drain]
window = \"2s\"
[log]
access = \"{dir}/access.log\"
"
    )
}

fn domain_text(name: &str, origin: SocketAddr) -> String {
    let (address, port) = (origin.ip(), origin.port());
    format!(
        "\
name = \"{name}\"
close_on_origin_down = 100
[websocket]
# Short, so that round-trip times are soon to be seen.
heartbeat = 5
[access_log]
interval = \"30s\"
[[origin]]
address = \"{address}\"
port = {port}
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_demo_writes_a_configuration_that_passes_the_check() {
        let args = Args {
            listen: "127.0.0.2:8080".parse().unwrap(),
            admin: "127.0.0.1:9080".parse().unwrap(),
        };
        let dir = StateDir::create(&args, "127.0.0.1:4000".parse().unwrap()).unwrap();
        let source = Source { file: Some(dir.0.join("hawser.toml")), state_dir: None };
        let loaded = source.load().unwrap();
        let names: Vec<&str> = loaded.domains.iter().map(|domain| &*domain.name).collect();
        assert_eq!(names, ["127.0.0.1", "127.0.0.2", "localhost"]);
        assert_eq!(loaded.server.admin.listen, Some(args.admin));
        let path = dir.0.clone();
        drop(dir);
        assert!(!path.exists());
    }

    #[test]
    fn a_busy_port_names_the_flag() {
        let held = TcpListener::bind("127.0.0.1:0").unwrap();
        let listen = held.local_addr().unwrap();
        let admin = "127.0.0.1:0".parse().unwrap();
        let error = run(Args { listen, admin }).unwrap_err().to_string();
        assert!(error.contains("--listen 127.0.0.1:0"), "{error}");
    }
}
