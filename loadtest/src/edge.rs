//! Hawser alone, for scenarios that know it: several domains with origins of their own, source
//! addresses, reloads, its counters. Not here: other proxies, see `proxy`.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use crate::children::{self, Process};
use crate::proxy;

/// How it runs.
pub struct Plan {
    pub workers: usize,
    /// Limit of open descriptors.
    pub descriptors: u64,
    /// Where its connections to origins come from; any where there are none.
    pub sources: Vec<Ipv4Addr>,
    pub drain_seconds: u32,
    pub domains: Vec<Domain>,
}

pub struct Domain {
    pub name: &'static str,
    pub heartbeat_seconds: u32,
    /// Time after which a client that does not read is given up.
    pub stalled_write_seconds: u32,
    pub origins: Vec<SocketAddr>,
}

pub struct Edge {
    pub process: Process,
    pub addr: SocketAddr,
    admin: SocketAddr,
    /// Configuration and state; removed with the process.
    folder: tempfile::TempDir,
}

impl Edge {
    /// Starts Hawser and waits until it accepts connections.
    pub fn start(plan: &Plan) -> anyhow::Result<Edge> {
        let (addr, admin) = (proxy::free_address()?, proxy::free_address()?);
        let folder = tempfile::tempdir()?;
        fs::create_dir(folder.path().join("domains"))?;
        for domain in &plan.domains {
            domain.write(folder.path())?;
        }
        let file = folder.path().join("hawser.toml");
        fs::write(&file, plan.text(folder.path(), addr, admin))?;
        let mut command = children::command(None, plan.descriptors, &path_text(&program()?));
        let log = fs::File::create(folder.path().join("output"))?;
        command.arg("run").arg("-c").arg(&file).stdout(log.try_clone()?).stderr(log);
        let mut edge = Edge { process: Process::start(command)?, addr, admin, folder };
        edge.await_ready()?;
        Ok(edge)
    }

    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// What it wrote to standard error, for whoever looks for a reason.
    pub fn output(&self) -> String {
        fs::read_to_string(self.folder.path().join("output")).unwrap_or_default()
    }

    /// Takes the domain over as it is given now, and returns when it has.
    pub fn reload(&self, domain: &Domain) -> anyhow::Result<()> {
        let generation = self.metrics()?.sum("hawser_snapshot_generation");
        domain.write(self.folder.path())?;
        self.process.signal("HUP")?;
        let since = Instant::now();
        while self.metrics()?.sum("hawser_snapshot_generation") <= generation {
            if since.elapsed() > Duration::from_secs(15) {
                bail!("Hawser did not take {} over within 15 s:\n{}", domain.name, self.output());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    pub fn metrics(&self) -> anyhow::Result<Metrics> {
        let mut stream = TcpStream::connect(self.admin).context("admin listener of Hawser")?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        let host = self.admin;
        write!(stream, "GET /metrics HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        anyhow::ensure!(text.starts_with("HTTP/1.1 200 "), "metrics: {:.80}", text);
        Ok(Metrics(text))
    }

    fn await_ready(&mut self) -> anyhow::Result<()> {
        let since = Instant::now();
        while since.elapsed() < Duration::from_secs(60) {
            if let Some(status) = self.process.child.try_wait()? {
                bail!("Hawser ended at once with {status}:\n{}", self.output());
            }
            if self.metrics().is_ok_and(|metrics| metrics.sum("hawser_ready") == 1.0) {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        bail!("Hawser was not ready within 60 s:\n{}", self.output())
    }
}

/// One scrape.
pub struct Metrics(String);

impl Metrics {
    /// The sum of a series over all its labels.
    pub fn sum(&self, name: &str) -> f64 {
        self.of(name, "")
    }

    /// What the series of this name count that have this label, by another of their labels.
    pub fn by(&self, name: &str, label: &str, by: &str) -> BTreeMap<String, u64> {
        let lines = self.0.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix('{'));
        let wanted = lines.filter(|rest| rest.contains(label)).filter_map(|rest| {
            let (_, value) = rest.split_once(&format!("{by}=\""))?;
            let count: f64 = rest.trim().rsplit(' ').next()?.parse().ok()?;
            Some((value.split('"').next()?.to_owned(), count as u64))
        });
        wanted.filter(|(_, count)| *count > 0).collect()
    }

    /// One series, named with all of its labels.
    pub fn exact(&self, series: &str) -> f64 {
        let line = self.0.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.and_then(|value| value.trim().parse().ok()).unwrap_or(0.0)
    }

    /// The sum over those that have this label, such as `cause="drain"`.
    pub fn of(&self, name: &str, label: &str) -> f64 {
        let lines = self.0.lines().filter_map(|line| line.strip_prefix(name));
        let wanted = lines.filter(|rest| rest.starts_with(['{', ' ']) && rest.contains(label));
        wanted.filter_map(|rest| rest.trim().rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }
}

impl Plan {
    fn text(&self, folder: &Path, addr: SocketAddr, admin: SocketAddr) -> String {
        let sources: Vec<String> = self.sources.iter().map(|ip| format!("\"{ip}\"")).collect();
        format!(
            "version = 1\n[server]\nlisten = [\"{addr}\"]\nworkers = {}\nstate_dir = {:?}\n\
             source_addresses = [{}]\n[admin]\nlisten = \"{admin}\"\n[drain]\nwindow = \"{}s\"\n\
             [log]\naccess = \"off\"\n[billing]\nenabled = false\n",
            self.workers,
            folder,
            sources.join(", "),
            self.drain_seconds,
        )
    }
}

impl Domain {
    fn write(&self, folder: &Path) -> anyhow::Result<()> {
        let mut text = format!(
            "name = \"{}\"\n[websocket]\nheartbeat = {}\nstalled_write = \"{}s\"\n\
             origin_scheme = \"http\"\n[balance]\nmode = \"least_connections\"\n",
            self.name, self.heartbeat_seconds, self.stalled_write_seconds,
        );
        for origin in &self.origins {
            let (ip, port) = (origin.ip(), origin.port());
            text += &format!("[[origin]]\naddress = \"{ip}\"\nport = {port}\n");
        }
        // Whole or not at all: Hawser may read at any moment.
        let file = folder.join("domains").join(format!("{}.toml", self.name));
        let new = folder.join("new");
        fs::write(&new, text)?;
        Ok(fs::rename(new, file)?)
    }
}

/// Hawser stands beside this program.
fn program() -> anyhow::Result<PathBuf> {
    let path = std::env::current_exe()?.with_file_name("hawser");
    anyhow::ensure!(path.exists(), "{} is missing: cargo build --release", path.display());
    Ok(path)
}

fn path_text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_is_summed_over_the_labels_that_are_meant() {
        let metrics = Metrics(
            "hawser_closed_total{domain=\"a\",cause=\"drain\"} 4\n\
             hawser_closed_total{domain=\"b\",cause=\"drain\"} 5\n\
             hawser_closed_total{domain=\"b\",cause=\"other\"} 7\n\
             hawser_closed_total_more 9\nhawser_ready 1\n"
                .into(),
        );
        for (name, label, sum) in [
            ("hawser_closed_total", "", 16.0),
            ("hawser_closed_total", "cause=\"drain\"", 9.0),
            ("hawser_closed_total", "domain=\"b\"", 12.0),
            ("hawser_ready", "", 1.0),
            ("hawser", "", 0.0),
        ] {
            assert_eq!(metrics.of(name, label), sum, "{name} {label}");
        }
        let causes = metrics.by("hawser_closed_total", "domain=\"b\"", "cause");
        assert_eq!(causes, [("drain".to_owned(), 5), ("other".to_owned(), 7)].into());
        let series = "hawser_closed_total{domain=\"b\",cause=\"drain\"}";
        assert_eq!(metrics.exact(series), 5.0);
        assert_eq!(metrics.exact("hawser_closed_total"), 0.0);
    }
}
