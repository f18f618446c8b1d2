//! One running edge as the admin listener, the control socket and the signals see it.
//!
//! Not here: what each of them makes of it, and when it ends (`lifecycle`).

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};

use super::access_log::AccessLog;
use super::billing::Billing;
use super::changes::Changes;
use super::closings::Closings;
use super::cores::Cores;
use super::database::Database;
use super::dns::SystemResolver;
use super::ends::Ends;
use super::keys::Keys;
use super::live::sampler::Sampler;
use super::live::{self, ByDomain};
use super::publish::{Load, Publisher, Rejected, Reloaded};
use super::service_manager;
use super::sign_ins::SignIns;
use super::statistics::fold::{self, Fold};
use super::statistics::{StatisticsError, Store};
use crate::stats::Stats;

/// How far the process is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    Starting,
    Serving,
    /// Not accepting any more; ends when the last tunnel does, or at the deadline.
    Draining,
}

impl Phase {
    pub fn name(self) -> &'static str {
        match self {
            Phase::Starting => "starting",
            Phase::Serving => "serving",
            Phase::Draining => "draining",
        }
    }
}

/// What the control socket asks of the lifecycle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// `None`: the configured window.
    Drain {
        window: Option<Duration>,
    },
    Stop,
}

/// Reads the configuration as the files have it, and does nothing with it. Blocks.
#[derive(Clone)]
pub struct Files(pub Load);

impl std::fmt::Debug for Files {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Files")
    }
}

#[derive(Debug)]
pub struct Edge {
    /// Where it really listens: port 0 of the configuration has become a number.
    pub listen: Vec<SocketAddr>,
    pub listen_tls: Vec<SocketAddr>,
    pub admin: Option<SocketAddr>,
    pub publisher: Publisher<SystemResolver>,
    pub cores: Cores,
    pub stats: Arc<Stats>,
    pub database: Database,
    pub keys: Keys,
    pub sign_ins: Arc<SignIns>,
    pub changes: Changes,
    pub files: Files,
    pub billing: Billing,
    pub statistics: Arc<dyn Store>,
    pub fold: Arc<Fold>,
    pub sampler: Sampler,
    pub access_log: Arc<AccessLog>,
    pub phase: watch::Sender<Phase>,
    pub closings: Closings,
    /// How the last tunnels ended.
    pub ends: Arc<Ends>,
    pub orders: mpsc::Sender<Order>,
    pub started: Instant,
}

impl Edge {
    pub fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// Whether new connections are welcome: there is a snapshot, and the process is not on its way
    /// out.
    pub fn is_ready(&self) -> bool {
        self.phase() == Phase::Serving && self.publisher.cell().current().generation > 0
    }

    /// Reloads, and tells the service manager.
    ///
    /// # Errors
    /// Why nothing changed.
    pub async fn reload(&self) -> Result<Reloaded, Rejected> {
        service_manager::reloading();
        let result = self.publisher.reload().await;
        let billing = &self.publisher.configured().server.billing;
        self.statistics.days_begin(billing.utc_offset.seconds());
        service_manager::reloaded(&match &result {
            Ok(reloaded) => self.status(reloaded.domains, &reloaded.hash),
            Err(_) => "last reload refused, see the log; serving what was before".to_owned(),
        });
        result
    }

    /// Brings the statistics up to date; without it they are, at most
    /// [`crate::limits::STATISTICS_FLUSH_PERIOD`] ago.
    ///
    /// # Errors
    /// Of the store; nothing is lost.
    pub async fn flush(&self) -> Result<(), StatisticsError> {
        let fold = Arc::clone(&self.fold);
        match tokio::task::spawn_blocking(move || fold.flush(fold::wall_ms())).await {
            Ok(result) => result,
            // A fault of our own must not keep the process from ending in order.
            Err(panic) => {
                let (what, why) = ("the writing of statistics".to_owned(), panic.to_string());
                Err(StatisticsError::Damaged { what, why })
            }
        }
    }

    /// What goes on right now and since the start of the process, by domain.
    pub fn live(&self) -> ByDomain {
        live::by_domain(&self.stats, &self.publisher.cell().current())
    }

    /// One line for `systemctl status`.
    pub fn status(&self, domains: usize, hash: &str) -> String {
        format!("serving {domains} domains on {} cores, configuration {hash}", self.cores.len())
    }
}
