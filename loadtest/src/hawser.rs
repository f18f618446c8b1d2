//! What Hawser is told: the file of its server, and one for each domain. Not here: how it is
//! started, see `edge` and `proxy`.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use crate::certificate::Certificate;

/// The server's file, in the folder that it is started with.
pub const FILE: &str = "hawser.toml";

pub struct Server<'a> {
    pub listen: SocketAddr,
    pub admin: SocketAddr,
    /// TLS towards clients of all domains, with this certificate.
    pub certificate: Option<&'a Certificate>,
    pub workers: usize,
    /// Where its connections to origins come from; any where there are none.
    pub sources: &'a [Ipv4Addr],
    pub drain_seconds: u32,
}

pub struct Domain {
    pub name: &'static str,
    pub heartbeat_seconds: u32,
    /// Time after which a client that does not read is given up; its default without one.
    pub stalled_write_seconds: Option<u32>,
    pub origins: Vec<SocketAddr>,
}

impl Server<'_> {
    /// Writes everything into `folder`, which is its state's too.
    pub fn write(&self, folder: &Path, domains: &[Domain]) -> anyhow::Result<()> {
        fs::create_dir(folder.join("domains"))?;
        for domain in domains {
            domain.write(folder, self.certificate)?;
        }
        Ok(fs::write(folder.join(FILE), self.text(folder))?)
    }

    fn text(&self, folder: &Path) -> String {
        let listen = match self.certificate {
            None => format!("listen = [\"{}\"]", self.listen),
            Some(_) => format!("listen = []\nlisten_tls = [\"{}\"]", self.listen),
        };
        let mut text = format!(
            "version = 1\n[server]\n{listen}\nworkers = {}\nstate_dir = {folder:?}\n",
            self.workers
        );
        if !self.sources.is_empty() {
            let sources: Vec<String> = self.sources.iter().map(|ip| format!("\"{ip}\"")).collect();
            text += &format!("source_addresses = [{}]\n", sources.join(", "));
        }
        text += &format!(
            "[admin]\nlisten = \"{}\"\n[drain]\nwindow = \"{}s\"\n[log]\naccess = \"off\"\n\
             [billing]\nenabled = false\n",
            self.admin, self.drain_seconds,
        );
        text
    }
}

impl Domain {
    /// Whole or not at all: Hawser may read at any moment.
    pub fn write(&self, folder: &Path, certificate: Option<&Certificate>) -> anyhow::Result<()> {
        let file = folder.join("domains").join(format!("{}.toml", self.name));
        let new = folder.join("new");
        fs::write(&new, self.text(certificate))?;
        Ok(fs::rename(new, file)?)
    }

    fn text(&self, certificate: Option<&Certificate>) -> String {
        let mut text = format!(
            "name = \"{}\"\n[websocket]\nheartbeat = {}\n",
            self.name, self.heartbeat_seconds
        );
        if let Some(seconds) = self.stalled_write_seconds {
            text += &format!("stalled_write = \"{seconds}s\"\n");
        }
        text += "origin_scheme = \"http\"\n[balance]\nmode = \"least_connections\"\n";
        if let Some(certificate) = certificate {
            let (chain, key) = (certificate.chain(), certificate.key());
            text += &format!("[tls]\ncertificate = {chain:?}\nkey = {key:?}\n");
        }
        for origin in &self.origins {
            let (ip, port) = (origin.ip(), origin.port());
            text += &format!("[[origin]]\naddress = \"{ip}\"\nport = {port}\n");
        }
        text
    }
}
