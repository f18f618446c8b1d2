//! TCP health checks: is somebody listening at each endpoint? Three failures in a row mean down,
//! one success up.
//!
//! Not here: what follows from a change (`publish` closes tunnels, cores choose another endpoint).

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use rand::RngExt;
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use super::config;
use crate::snapshot::{Endpoint, SnapshotCell};

/// Checks under way at once, over all endpoints; each holds a descriptor.
const CHECKS_MAX: usize = 128;
/// Changes that wait to be acted on; more makes the checks wait, never the memory grow.
pub const CHANGES_MAX: usize = 1024;

/// Tries one endpoint; a trait so that tests can.
pub trait Probe: Clone + Send + Sync + 'static {
    fn probe(&self, addr: SocketAddr) -> impl Future<Output = io::Result<()>> + Send;
}

/// Connects and closes. An origin sees a connection without a request.
#[derive(Debug, Clone, Copy)]
pub struct TcpConnect;

impl Probe for TcpConnect {
    async fn probe(&self, addr: SocketAddr) -> io::Result<()> {
        TcpStream::connect(addr).await.map(drop)
    }
}

/// An endpoint changed its state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    pub addr: SocketAddr,
    pub up: bool,
}

/// Watches every endpoint of the current snapshot; follows `published`. Ends when that does.
pub async fn run<P: Probe>(
    settings: config::Health,
    prober: P,
    cell: SnapshotCell,
    mut published: watch::Receiver<u64>,
    changes: mpsc::Sender<Change>,
) {
    let permits = Arc::new(Semaphore::new(CHECKS_MAX));
    let mut tasks = JoinSet::new();
    let mut watched: HashMap<SocketAddr, AbortHandle> = HashMap::new();
    loop {
        let endpoints = endpoints(&cell);
        watched.retain(|addr, task| {
            let keep = endpoints.contains_key(addr) && !task.is_finished();
            if !keep {
                task.abort();
            }
            keep
        });
        while tasks.try_join_next().is_some() {}
        for (addr, endpoint) in endpoints {
            watched.entry(addr).or_insert_with(|| {
                let permits = Arc::clone(&permits);
                tasks.spawn(watch(settings, prober.clone(), endpoint, permits, changes.clone()))
            });
        }
        if published.changed().await.is_err() {
            return;
        }
    }
}

fn endpoints(cell: &SnapshotCell) -> HashMap<SocketAddr, Endpoint> {
    let snapshot = cell.current();
    let origins = snapshot.hosts.iter().flat_map(|domain| &domain.origins);
    let watched = origins.flat_map(|origin| {
        // Where nobody is any more, a failure would alarm for nothing.
        let former = origin.former.iter().filter(|endpoint| endpoint.state.tunnels() > 0);
        origin.all_endpoints().chain(former)
    });
    watched.map(|e| (e.addr, e.clone())).collect()
}

/// Checks one endpoint for ever.
async fn watch<P: Probe>(
    settings: config::Health,
    prober: P,
    endpoint: Endpoint,
    permits: Arc<Semaphore>,
    changes: mpsc::Sender<Change>,
) {
    // Spread over the interval, so that a reload does not make every check fall together.
    sleep(random_part(settings.interval, 0.0..1.0)).await;
    let mut failures = 0;
    loop {
        let answer = {
            let Ok(_permit) = permits.acquire().await else { return };
            timeout(settings.timeout, prober.probe(endpoint.addr)).await
        };
        let failed = match answer {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some(format!("no answer within {:?}", settings.timeout)),
        };
        failures = if failed.is_some() { failures + 1 } else { 0 };
        if let Some(up) = verdict(&endpoint, failures, settings.failures_down) {
            let Endpoint { addr, state } = &endpoint;
            match failed {
                None => info!(endpoint = %addr, "endpoint is up"),
                Some(error) => {
                    let tunnels = state.tunnels();
                    warn!(endpoint = %addr, %error, failures, tunnels, "endpoint is down");
                }
            }
            if changes.send(Change { addr: *addr, up }).await.is_err() {
                return;
            }
        }
        // A tenth more or less.
        sleep(random_part(settings.interval, 0.9..1.1)).await;
    }
}

/// The new state, when it is another one.
fn verdict(endpoint: &Endpoint, failures: u32, failures_down: u32) -> Option<bool> {
    let up = match failures {
        0 => true,
        n if n >= failures_down => false,
        _ => return None,
    };
    (endpoint.state.set_up(up) != up).then_some(up)
}

fn random_part(interval: Duration, range: Range<f64>) -> Duration {
    interval.mul_f64(rand::rng().random_range(range))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::{EndpointState, SnapshotCell};
    use std::sync::Mutex;

    const SETTINGS: config::Health = config::Health {
        interval: Duration::from_secs(5),
        timeout: Duration::from_secs(3),
        failures_down: 3,
    };

    /// Answers from a script, the last one for ever; remembers when it was asked.
    #[derive(Clone)]
    struct Script(Arc<Mutex<Vec<bool>>>);

    impl Probe for Script {
        async fn probe(&self, _addr: SocketAddr) -> io::Result<()> {
            let up = {
                let mut script = self.0.lock().unwrap();
                if script.len() > 1 { script.remove(0) } else { script[0] }
            };
            if up { Ok(()) } else { std::future::pending().await }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn three_failures_down_one_success_up() {
        let script = vec![true, false, false, true, false, false, false, false, true];
        let endpoint = Endpoint {
            addr: "192.0.2.1:80".parse().unwrap(),
            state: Arc::new(EndpointState::default()),
        };
        let (send, mut changes) = mpsc::channel(8);
        let permits = Arc::new(Semaphore::new(1));
        let prober = Script(Arc::new(Mutex::new(script)));
        let task = tokio::spawn(watch(SETTINGS, prober.clone(), endpoint.clone(), permits, send));
        let addr = endpoint.addr;
        assert_eq!(changes.recv().await, Some(Change { addr, up: false }));
        assert!(!endpoint.state.is_up());
        assert_eq!(prober.0.lock().unwrap().len(), 2, "down at the third failure in a row");
        assert_eq!(changes.recv().await, Some(Change { addr, up: true }));
        assert!(endpoint.state.is_up());
        task.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn watching_ends_with_the_publisher() {
        let (published, follow) = watch::channel(0);
        let (send, _changes) = mpsc::channel(8);
        drop(published);
        run(SETTINGS, TcpConnect, SnapshotCell::default(), follow, send).await;
    }
}
