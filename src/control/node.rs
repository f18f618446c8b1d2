//! The control plane of one process, put together: config, build, run.
//!
//! Not here: sockets and threads of the data plane, which `cli::run` makes and joins to this.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use jiff::Timestamp;
use rtrb::Consumer;
use tokio::sync::{mpsc, watch};
use tracing::{error, info, warn};

use super::access_log::AccessLog;
use super::acme;
use super::admin;
use super::billing::gate::Gate;
use super::billing::{self, Billing};
use super::certs::expiry;
use super::changes::Changes;
use super::closings::Closings;
use super::config::Loaded;
use super::control_socket;
use super::cores::Cores;
use super::database::{Database, DatabaseError};
use super::dns::{Names, SystemResolver};
use super::edge::{Edge, Files, Order, Phase};
use super::handover::{Program, Sockets};
use super::health::{self, TcpConnect};
use super::keys::{KeyError, Keys};
use super::lifecycle::{Ended, LastAnswers, Lifecycle};
use super::live::sampler::Sampler;
use super::metrics::{Metrics, Sources};
use super::publish::{FIRST_NAMES_WAIT, First, Load, Publisher};
use super::server::{self, Bounds, Speech};
use super::state_dir::{ClaimError, StateDir};
use super::statistics::Store;
use super::statistics::fold::{self, Fold};
use super::statistics::sqlite::SqliteStore;
use crate::limits;
use crate::snapshot::{CoreHandle, SnapshotCell, Transport};
use crate::stats::{Event, Stats};

/// Orders that wait for the lifecycle; more are refused.
const ORDERS_MAX: usize = 8;

/// What a node is made of.
pub struct NodeConfig {
    pub first: First,
    pub load: Load,
    pub stats: Arc<Stats>,
    pub state: StateDir,
    /// Where the workers listen.
    pub listen: Vec<SocketAddr>,
    pub listen_tls: Vec<SocketAddr>,
    pub admin: Option<TcpListener>,
    /// The ends of the cores' access-log rings.
    pub rings: Vec<Consumer<Event>>,
}

/// A node with its first snapshot published, waiting for its cores.
pub struct Node {
    edge: Arc<Edge>,
    orders: mpsc::Receiver<Order>,
    loaded: Loaded,
    state: StateDir,
    admin: Option<TcpListener>,
}

/// The data plane, running.
pub struct DataPlane {
    pub cores: Vec<CoreHandle>,
    /// One message per core that ended; closed when all have.
    pub core_ends: mpsc::Receiver<String>,
    /// Copies of all listeners, to be passed on to a successor.
    pub listeners: Vec<(Transport, SocketAddr, OwnedFd)>,
    pub program: Option<Program>,
}

#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    #[error("{0}")]
    Names(String),
    #[error("{0}")]
    Full(#[from] super::registry::Full),
    #[error("{0}")]
    State(#[from] ClaimError),
    #[error("{0}")]
    Database(#[from] DatabaseError),
    #[error("{0}")]
    Keys(#[from] KeyError),
    #[error("{step}: {error}")]
    Io { step: &'static str, error: io::Error },
}

fn io(step: &'static str) -> impl Fn(io::Error) -> NodeError {
    move |error| NodeError::Io { step, error }
}

impl NodeConfig {
    /// Opens the access log, resolves names (for a bounded time) and publishes the first snapshot.
    ///
    /// # Errors
    /// What keeps the node from starting.
    pub async fn build(self) -> Result<Node, NodeError> {
        let NodeConfig { first, load, stats, state, listen, listen_tls, admin, rings } = self;
        let loaded = first.loaded.clone();
        let log = AccessLog::start(&loaded.server.access_log, rings).map_err(io("access log"))?;
        let database = Database::open(state.path())?;
        let resolver =
            SystemResolver::new(&loaded.server.name_servers).map_err(NodeError::Names)?;
        let names = Names::new(resolver);
        let cores = Cores::default();
        let changes = Changes::new(state.path(), database.clone());
        // As at a reload: a log that cannot be written keeps nobody from serving.
        if let Err(error) = changes.notice() {
            error!(%error, "files that were edited by hand could not be noted in the audit log");
        }
        let files = Files(changes.reading(Arc::clone(&load)));
        let load = changes.noticing(load);
        let billing = Billing::new(database.clone(), loaded.server.billing.clone());
        let gate = Gate::new(billing.clone());
        let publisher = Publisher::new(first, load, names, Arc::clone(&stats), cores.clone(), gate);
        publisher.first(FIRST_NAMES_WAIT).await?;
        let (order, orders) = mpsc::channel(ORDERS_MAX);
        let day_offset = loaded.server.billing.utc_offset.seconds();
        let statistics: Arc<dyn Store> = Arc::new(SqliteStore::new(database.clone(), day_offset));
        let fold = Fold::new(Arc::clone(&stats), Arc::clone(&statistics), fold::wall_ms());
        let edge = Edge {
            listen,
            listen_tls,
            admin: admin.as_ref().and_then(|listener| listener.local_addr().ok()),
            publisher,
            cores,
            stats,
            keys: keys(&state, &database)?,
            sign_ins: Arc::default(),
            changes,
            files,
            billing,
            statistics,
            fold: Arc::new(fold),
            sampler: Sampler::default(),
            database,
            closings: Closings::default(),
            ends: log.ends(),
            access_log: Arc::new(log),
            phase: watch::Sender::new(Phase::Starting),
            orders: order,
            started: Instant::now(),
        };
        Ok(Node { edge: Arc::new(edge), orders, loaded, state, admin })
    }
}

/// The access keys; the first start makes one.
fn keys(state: &StateDir, database: &Database) -> Result<Keys, NodeError> {
    let keys = Keys::open(state.path(), database.clone())?;
    match keys.first(state.path()) {
        Ok(Some(path)) => {
            info!(path = %path.display(), "first start: an admin key of the API is in this file");
        }
        Ok(None) => {}
        Err(error) => error!(%error, "no admin key of the API could be made; the next start tries \
            again, and so does hawser key create --name NAME --role admin"),
    }
    let lost = keys.sealed_by_another()?;
    if !lost.is_empty() {
        warn!(
            keys = lost.join(" "),
            "signatures with these keys cannot be checked: node.key is not the one that they were \
             made with; put it back from a backup, or make new keys (hawser key create)"
        );
    }
    Ok(keys)
}

impl Node {
    /// Where the cores read.
    pub fn cell(&self) -> SnapshotCell {
        self.edge.publisher.cell().clone()
    }

    /// Serves until the end; `ready` is told when everything does.
    ///
    /// # Errors
    /// What kept the control plane from serving. Workers are still running then.
    pub async fn run(self, data: DataPlane, ready: impl FnOnce()) -> Result<Ended, NodeError> {
        let DataPlane { cores, core_ends, listeners, program } = data;
        self.edge.cores.started(cores);
        let (listener, control_socket) = self.state.control_socket()?;
        let listener =
            tokio::net::UnixListener::from_std(listener).map_err(io("control socket"))?;
        let control = control_socket::router(Arc::clone(&self.edge));
        let (last, end) = watch::channel(false);
        let answers = tokio::spawn(server::serve(
            listener,
            control,
            Bounds::default(),
            || Speech::Plain,
            end,
        ));
        let mut sockets = Sockets { listeners, admin: None };
        let mut admin = None;
        if let Some(listener) = &self.admin {
            sockets.admin = Some(listener.try_clone().map_err(io("admin listener"))?.into());
            listener.set_nonblocking(true).map_err(io("admin listener"))?;
            let own = listener.try_clone().map_err(io("admin listener"))?;
            let own = tokio::net::TcpListener::from_std(own).map_err(io("admin listener"))?;
            let router = admin::router(Arc::clone(&self.edge), Arc::new(self.metrics()));
            let end = last.subscribe();
            let edge = Arc::clone(&self.edge);
            let speech = move || admin::speech(&edge);
            let connections = limits::ADMIN_CONNECTIONS_MAX;
            let bounds = Bounds { connections, ..Bounds::default() };
            let serving = tokio::spawn(server::serve(own, router, bounds, speech, end));
            admin = Some(serving.abort_handle());
        }
        self.follow();
        let lifecycle = Lifecycle {
            log: Arc::clone(&self.edge.access_log),
            edge: self.edge,
            orders: self.orders,
            core_ends,
            state: self.state,
            control_sockets: vec![control_socket],
            last_answers: LastAnswers { ask: last, given: vec![answers] },
            program,
            sockets,
            admin,
        };
        lifecycle.run(ready).await.map_err(io("signals"))
    }

    fn metrics(&self) -> Metrics {
        let (edge, log) = (Arc::clone(&self.edge), Arc::clone(&self.edge.access_log));
        let serving = Arc::clone(&self.edge);
        Metrics::new(Sources {
            cell: self.cell(),
            stats: Arc::clone(&self.edge.stats),
            reloads: Arc::clone(&self.edge.publisher.reloads),
            statistics: Arc::clone(&self.edge.fold.progress),
            certificates: Box::new(move || serving.publisher.served()),
            log_lines: Box::new(move || log.lines()),
            sign_ins: Arc::clone(&self.edge.sign_ins),
            ready: Box::new(move || edge.is_ready()),
            started: SystemTime::now(),
        })
    }

    /// Statistics, names, health and certificates, for as long as the process lives.
    fn follow(&self) {
        tokio::spawn(Arc::clone(&self.edge.fold).run());
        let edge = Arc::clone(&self.edge);
        tokio::spawn(async move { edge.sampler.run(Arc::clone(&edge)).await });
        let (edge, state_dir) = (Arc::clone(&self.edge), self.state.path().to_owned());
        tokio::spawn(async move { acme::run(edge, &state_dir).await });
        let edge = Arc::clone(&self.edge);
        tokio::spawn(async move { edge.publisher.follow_names().await });
        tokio::spawn(billing::live::follow(Arc::clone(&self.edge)));
        let edge = Arc::clone(&self.edge);
        tokio::spawn(expiry::watch(
            move || edge.publisher.served(),
            |served| expiry::tell(served, Timestamp::now()),
        ));
        let (changes, mut changed) = mpsc::channel(health::CHANGES_MAX);
        let published = self.edge.publisher.published();
        let settings = self.loaded.server.health;
        tokio::spawn(health::run(settings, TcpConnect, self.cell(), published, changes));
        let edge = Arc::clone(&self.edge);
        tokio::spawn(async move {
            while let Some(change) = changed.recv().await {
                if !change.up {
                    edge.publisher.endpoint_down(change.addr).await;
                }
            }
        });
    }
}
