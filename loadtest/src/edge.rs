//! Hawser alone, for scenarios that know it: several domains with origins of their own, source
//! addresses, reloads. Not here: other proxies, see `proxy`; its counters, see `admin`.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::bail;

use crate::admin::Metrics;
use crate::children::{self, Process};
use crate::hawser::{self, Domain, Server};
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
        let server = Server {
            listen: addr,
            admin,
            certificate: None,
            workers: plan.workers,
            sources: &plan.sources,
            drain_seconds: plan.drain_seconds,
        };
        server.write(folder.path(), &plan.domains)?;
        let mut command = children::command(None, plan.descriptors, &children::beside("hawser")?);
        let log = fs::File::create(folder.path().join("output"))?;
        command.arg("run").arg("-c").arg(folder.path().join(hawser::FILE));
        command.stdout(log.try_clone()?).stderr(log);
        let mut edge = Edge { process: Process::start(command)?, addr, admin, folder };
        edge.await_ready()?;
        Ok(edge)
    }

    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// What it wrote, for whoever looks for a reason.
    pub fn output(&self) -> String {
        fs::read_to_string(self.folder.path().join("output")).unwrap_or_default()
    }

    /// Takes the domain over as it is given now, and returns when it has.
    pub fn reload(&self, domain: &Domain) -> anyhow::Result<()> {
        let generation = self.metrics()?.sum("hawser_snapshot_generation");
        domain.write(self.folder.path(), None)?;
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
        Metrics::read(self.admin)
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
