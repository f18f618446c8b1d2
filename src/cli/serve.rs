//! Joins the two planes in one process: sockets and threads of the workers, the control plane's
//! runtime, and their common end. Behind `hawser run` and `hawser demo`.
//!
//! Not here: what a verb's flags mean, and everything after the start (`control::lifecycle`).

use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use anyhow::Context;
use rtrb::{Consumer, Producer, RingBuffer};
use tokio::sync::mpsc;
use tracing::{info, warn};

use super::Exit;
use crate::control::config::{ChosenBy, Loaded, ServerConfig, Workers};
use crate::control::handover::Program;
use crate::control::lifecycle::Ended;
use crate::control::node::{DataPlane, Node, NodeConfig};
use crate::control::publish::{First, Load};
use crate::control::state_dir::StateDir;
use crate::limits::LOG_RING_EVENTS;
use crate::net::listener::{self, ListenError};
use crate::net::probe::{Capacity, FileKind};
use crate::net::{probe, process, runtime};
use crate::snapshot::{CoreHandle, SnapshotCell, Transport};
use crate::stats::{Event, Stats};
use crate::worker::{self, Worker, WorkerConfig};

/// Threads of the control plane's runtime; they are not pinned and sleep most of the time.
const CONTROL_THREADS: usize = 2;
/// Those that wait for disks and the database; more work waits its turn. Each API bounds what it
/// has there at once, so that a reload or a flush always finds one.
const CONTROL_BLOCKING_THREADS: usize = 64;

/// What to serve.
pub struct Serving {
    pub loaded: Loaded,
    pub load: Load,
    pub inherited: Inherited,
    /// `None`: not able to hand over.
    pub program: Option<Program>,
}

/// What this process was started with, by a predecessor or by systemd.
#[derive(Debug, Default)]
pub struct Inherited {
    pub listeners: Vec<(Transport, SocketAddr, TcpListener)>,
    pub origin: InheritedFrom,
    pub admin: Option<TcpListener>,
    pub lock: Option<OwnedFd>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum InheritedFrom {
    #[default]
    Nobody,
    /// It has the same configuration, more or less: what is missing is bound, what is not wanted
    /// any more is closed.
    Predecessor,
    /// Its units say where to listen, instead of `server.listen`.
    ServiceManager,
}

/// Where it serves, for people.
#[derive(Debug, Clone)]
pub struct Addresses {
    pub listen: Vec<SocketAddr>,
    pub listen_tls: Vec<SocketAddr>,
    pub admin: Option<SocketAddr>,
}

/// What [`listener::listen`] gives: the listeners of each worker on one address.
type Shares = Result<Vec<Vec<TcpListener>>, ListenError>;

/// Listeners of each worker, and copies of all of them.
struct Sockets {
    of_workers: Vec<Vec<(Transport, TcpListener)>>,
    copies: Vec<(Transport, SocketAddr, OwnedFd)>,
    addresses: Vec<(Transport, SocketAddr)>,
}

impl Sockets {
    fn addresses(&self, transport: Transport) -> Vec<SocketAddr> {
        let of = self.addresses.iter().filter(|(of, _)| *of == transport);
        of.map(|(_, addr)| *addr).collect()
    }
}

/// Serves until the end; `started` is told when everything does.
///
/// # Errors
/// What kept it from starting, with the way out.
pub fn serve(serving: Serving, started: impl FnOnce(&Addresses)) -> anyhow::Result<Exit> {
    let Serving { loaded, load, inherited, program } = serving;
    let Inherited { mut listeners, origin, admin, lock } = inherited;
    let report = match probe::probe() {
        Ok(report) => report,
        Err(error) => return Ok(refused(&error, true)),
    };
    let server = &loaded.server;
    let cpus = cpus(server.workers);
    let capacity = capacity(cpus.len(), report.files)?;
    let state = match StateDir::claim(&server.state_dir, lock) {
        Ok(state) => state,
        Err(error) => return Ok(refused(&error, error.is_permission())),
    };
    if origin == InheritedFrom::ServiceManager {
        as_configured(&mut listeners, &server.listen_tls);
    }
    let wanted = wanted(server, &listeners, origin);
    let listening = wanted.iter().any(|place| place.transport == Transport::Tls);
    let first = First::of(loaded.clone(), listening)?;
    let sockets = match bind(wanted, listeners, cpus.len(), listener::listen) {
        Ok(sockets) => sockets,
        Err(error) => {
            let denied = error.error.kind() == io::ErrorKind::PermissionDenied;
            return Ok(refused(&error, denied));
        }
    };
    let admin = bind_admin(server.admin.listen, admin)?;
    let addresses = Addresses {
        listen: sockets.addresses(Transport::Plain),
        listen_tls: sockets.addresses(Transport::Tls),
        admin: admin.as_ref().map(TcpListener::local_addr).transpose()?,
    };
    let stats = Stats::new(cpus.len());
    let (logs, rings): (Vec<Producer<Event>>, Vec<Consumer<Event>>) =
        cpus.iter().map(|_| RingBuffer::new(LOG_RING_EVENTS)).unzip();
    let control = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(CONTROL_THREADS)
        .max_blocking_threads(CONTROL_BLOCKING_THREADS)
        .thread_name("control")
        .enable_all()
        .build()
        .context("cannot start the control plane")?;
    let config = NodeConfig {
        first,
        load,
        stats: Arc::clone(&stats),
        state,
        listen: addresses.listen.clone(),
        listen_tls: addresses.listen_tls.clone(),
        admin,
        rings,
    };
    let node = control.block_on(config.build())?;
    let (cores, core_ends) =
        start_workers(&cpus, sockets.of_workers, logs, capacity, &node.cell(), &stats)?;
    let admin = addresses.admin.map_or("off".to_owned(), |addr| addr.to_string());
    let (plain, tls) = (listed(&addresses.listen), listed(&addresses.listen_tls));
    info!(listen = %plain, listen_tls = %tls, %admin, workers = cpus.len(), %report,
        version = env!("CARGO_PKG_VERSION"), "serving");
    let data = DataPlane { cores, core_ends, listeners: sockets.copies, program };
    run(control, node, data, || started(&addresses))
}

/// As the log shows addresses.
fn listed(addresses: &[SocketAddr]) -> String {
    addresses.iter().map(SocketAddr::to_string).collect::<Vec<_>>().join(", ")
}

/// Says why it does not start; a missing permission has an exit code of its own.
fn refused(error: &dyn std::error::Error, permission: bool) -> Exit {
    eprintln!("hawser: {error}");
    if permission { Exit::NotPermitted } else { Exit::Failed }
}

fn run(
    control: tokio::runtime::Runtime,
    node: Node,
    data: DataPlane,
    started: impl FnOnce(),
) -> anyhow::Result<Exit> {
    let ended = control.block_on(node.run(data, started));
    // Requests of the admin listener may still be running; nobody waits for them.
    control.shutdown_background();
    Ok(match ended? {
        Ended::Asked => Exit::Done,
        Ended::CoreLost => Exit::Failed,
    })
}

/// A processor for each worker; `None` where there are more workers than processors.
fn cpus(workers: Workers) -> Vec<Option<usize>> {
    let allowed = runtime::allowed_cores();
    let wanted = match workers {
        Workers::Auto => allowed.len().max(1),
        Workers::Count(n) => n.get() as usize,
    };
    if wanted > allowed.len() {
        warn!(
            wanted,
            allowed = allowed.len(),
            "more workers than processors: the rest is not pinned"
        );
    }
    (0..wanted).map(|i| allowed.get(i).copied()).collect()
}

/// Capacity of one worker, and says what the descriptor limit makes of that.
fn capacity(workers: usize, files: FileKind) -> anyhow::Result<Capacity> {
    let limit = process::raise_descriptor_limit().context("cannot read the descriptor limit")?;
    let capacity = Capacity::of(limit, files, workers);
    info!(
        "{limit} descriptors allow {} tunnels ({} on each of {workers} workers) and {} \
         connections in set-up at once",
        u64::from(capacity.tunnels) * workers as u64,
        capacity.tunnels,
        capacity.setups * workers,
    );
    if files == FileKind::Descriptors {
        warn!(
            "this kernel holds closed sockets of io_uring back, so each tunnel takes two \
             descriptors: raise LimitNOFILE= to hold more, or run Linux 6.13 or newer, where \
             tunnels take none"
        );
    }
    if limit < 4096 {
        warn!("set LimitNOFILE= in the unit, or `ulimit -n`, to at least 65536");
    }
    Ok(capacity)
}

/// Where to listen, and who says so.
struct Wanted {
    transport: Transport,
    addr: SocketAddr,
    by: ChosenBy,
}

/// Sockets of the service manager on addresses of `server.listen_tls` need no name that says so.
fn as_configured(listeners: &mut [(Transport, SocketAddr, TcpListener)], tls: &[SocketAddr]) {
    for (transport, addr, _) in listeners {
        if tls.contains(addr) {
            *transport = Transport::Tls;
        }
    }
}

fn wanted(
    server: &ServerConfig,
    inherited: &[(Transport, SocketAddr, TcpListener)],
    from: InheritedFrom,
) -> Vec<Wanted> {
    let activated = from == InheritedFrom::ServiceManager && !inherited.is_empty();
    let mut all = Vec::new();
    for (transport, configured, by, key) in [
        (Transport::Plain, &server.listen, server.listen_by, "server.listen"),
        (Transport::Tls, &server.listen_tls, ChosenBy::Operator, "server.listen_tls"),
    ] {
        let given = inherited.iter().filter(|(of, ..)| *of == transport).map(|(_, addr, _)| *addr);
        let mut given: Vec<SocketAddr> = given.collect();
        given.sort_unstable();
        given.dedup();
        // Units that say nothing of TLS leave it to the configuration; plain ports are theirs.
        let (addresses, by) =
            match activated && (transport == Transport::Plain || !given.is_empty()) {
                true => {
                    info!(listen = %listed(&given), "listening where systemd says, not on {key}");
                    (given, ChosenBy::Operator)
                }
                false => (configured.clone(), by),
            };
        all.extend(addresses.into_iter().map(|addr| Wanted { transport, addr, by }));
    }
    all
}

/// Binds everything before any thread starts, so that a failure leaves nothing behind.
fn bind(
    wanted: Vec<Wanted>,
    inherited: Vec<(Transport, SocketAddr, TcpListener)>,
    workers: usize,
    mut listen: impl FnMut(SocketAddr, Vec<TcpListener>, usize) -> Shares,
) -> Result<Sockets, ListenError> {
    let mut known: Known = HashMap::new();
    for (transport, addr, listener) in inherited {
        known.entry((transport, addr)).or_default().push(listener);
    }
    let mut sockets = Sockets {
        of_workers: (0..workers).map(|_| Vec::new()).collect(),
        copies: Vec::new(),
        addresses: Vec::new(),
    };
    for Wanted { transport, addr, by } in wanted {
        let inherited = take(&mut known, transport, addr);
        if inherited.is_empty() {
            warn_if_shared(addr);
        }
        let shares = match listen(addr, inherited, workers) {
            // The first of the default addresses is of IPv4 and is bound by now.
            Err(error) if by == ChosenBy::Default && error.is_lack_of_ipv6() => {
                warn!(%addr, error = %error.error,
                    "this host has no IPv6: only clients of IPv4 are served");
                continue;
            }
            other => other?,
        };
        for (of_worker, share) in sockets.of_workers.iter_mut().zip(shares) {
            for listener in share {
                let failed = |step| move |error| ListenError { addr: Some(addr), step, error };
                let bound = listener.local_addr().map_err(failed("getsockname"))?;
                let copy = listener.try_clone().map_err(failed("dup"))?;
                sockets.copies.push((transport, bound, copy.into()));
                if !sockets.addresses.contains(&(transport, bound)) {
                    sockets.addresses.push((transport, bound));
                }
                of_worker.push((transport, listener));
            }
        }
    }
    for (_, addr) in known.keys() {
        info!(%addr, "no longer configured: closing the inherited socket");
    }
    Ok(sockets)
}

/// Inherited listeners that nobody has taken yet.
type Known = HashMap<(Transport, SocketAddr), Vec<TcpListener>>;

/// The inherited listeners for `addr`. Port 0 means whatever port the predecessor got.
fn take(inherited: &mut Known, transport: Transport, addr: SocketAddr) -> Vec<TcpListener> {
    let any_port =
        |(of, known): &&(Transport, SocketAddr)| *of == transport && known.ip() == addr.ip();
    let key = match addr.port() {
        0 => inherited.keys().find(any_port).copied(),
        _ => Some((transport, addr)),
    };
    key.and_then(|key| inherited.remove(&key)).unwrap_or_default()
}

/// SO_REUSEPORT lets any process of the same user listen on the same port. That is how one edge
/// takes over from another side by side; by mistake it halves the traffic without a word, so say
/// so.
fn warn_if_shared(addr: SocketAddr) {
    if is_shared(addr) {
        warn!(%addr, "another process listens here too: the kernel shares connections out");
    }
}

/// Without SO_REUSEPORT the kernel refuses a port that has a listener, so try once without.
fn is_shared(addr: SocketAddr) -> bool {
    let busy = |error: io::Error| error.kind() == io::ErrorKind::AddrInUse;
    addr.port() != 0 && TcpListener::bind(addr).is_err_and(busy)
}

fn bind_admin(
    addr: Option<SocketAddr>,
    inherited: Option<TcpListener>,
) -> anyhow::Result<Option<TcpListener>> {
    let Some(addr) = addr else { return Ok(None) };
    if let Some(listener) = inherited
        && listener.local_addr().is_ok_and(|bound| bound == addr || addr.port() == 0)
    {
        return Ok(Some(listener));
    }
    let listener = TcpListener::bind(addr).with_context(|| {
        format!("cannot open the admin listener on {addr}; set admin.listen to a free address")
    })?;
    Ok(Some(listener))
}

fn start_workers(
    cpus: &[Option<usize>],
    listeners: Vec<Vec<(Transport, TcpListener)>>,
    logs: Vec<Producer<Event>>,
    capacity: Capacity,
    snapshot: &SnapshotCell,
    stats: &Arc<Stats>,
) -> anyhow::Result<(Vec<CoreHandle>, mpsc::Receiver<String>)> {
    let boot = Instant::now();
    let (ends, core_ends) = mpsc::channel(cpus.len());
    let mut cores = Vec::with_capacity(cpus.len());
    for (core, ((&cpu, listeners), log)) in cpus.iter().zip(listeners).zip(logs).enumerate() {
        let config = WorkerConfig {
            core,
            cpu,
            listeners,
            snapshot: snapshot.clone(),
            stats: Arc::clone(stats),
            log,
            capacity,
            boot,
        };
        let worker =
            worker::start(config).with_context(|| format!("cannot start worker {core}"))?;
        cores.push(worker.handle.clone());
        watch(core, worker, ends.clone())?;
    }
    Ok((cores, core_ends))
}

/// Waits for the end of a worker on a thread of its own: a few kilobytes of stack for a sleeping
/// thread, and nothing to poll.
fn watch(core: usize, worker: Worker, ends: mpsc::Sender<String>) -> io::Result<()> {
    let wait = move || {
        let how = match worker.join() {
            Ok(()) => format!("worker {core} ended"),
            Err(error) => format!("worker {core}: {error}"),
        };
        // The lifecycle does not listen any more when the process ends.
        let _ = ends.blocking_send(how);
    };
    thread::Builder::new().name(format!("watch-{core}")).stack_size(64 * 1024).spawn(wait)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_somebody_listens_on_is_noticed_in_spite_of_reuseport() {
        let free = SocketAddr::from(([127, 0, 0, 1], 0));
        let held = listener::listen(free, Vec::new(), 1).unwrap();
        let addr = held[0][0].local_addr().unwrap();
        assert!(is_shared(addr));
        drop(held);
        assert!(!is_shared(addr));
    }

    #[test]
    fn without_ipv6_the_default_addresses_are_those_of_ipv4() {
        let [v4, v6, own] =
            ["127.0.0.1:0", "[::]:0", "[2001:db8::1]:0"].map(|addr| addr.parse().unwrap());
        let bound = |addresses: &[SocketAddr], by, errno| {
            let plain = |addr: &SocketAddr| Wanted { transport: Transport::Plain, addr: *addr, by };
            let sockets = bind(
                addresses.iter().map(plain).collect(),
                Vec::new(),
                2,
                |addr, inherited, workers| {
                    if addr.is_ipv4() {
                        return listener::listen(addr, inherited, workers);
                    }
                    let error = io::Error::from_raw_os_error(errno);
                    Err(ListenError { addr: Some(addr), step: "socket", error })
                },
            );
            sockets.map(|sockets| sockets.addresses.len()).map_err(|error| error.to_string())
        };
        const EADDRINUSE: i32 = 98;
        const EAFNOSUPPORT: i32 = 97;
        const EADDRNOTAVAIL: i32 = 99;
        for errno in [EAFNOSUPPORT, EADDRNOTAVAIL] {
            assert_eq!(bound(&[v4, v6], ChosenBy::Default, errno), Ok(1));
            let error = bound(&[v4, v6], ChosenBy::Operator, errno).unwrap_err();
            assert!(error.contains("[::]:0") && error.contains("server.listen"), "{error}");
        }
        assert!(bound(&[v4, v6], ChosenBy::Default, EADDRINUSE).is_err());
        let error = bound(&[v4, own], ChosenBy::Operator, EADDRNOTAVAIL).unwrap_err();
        assert!(error.contains("no interface of this host has that address"), "{error}");
    }

    #[test]
    fn a_busy_admin_port_is_named() {
        let held = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = held.local_addr().unwrap();
        let error = bind_admin(Some(addr), None).unwrap_err().to_string();
        assert!(error.contains(&addr.to_string()) && error.contains("admin.listen"), "{error}");
        let inherited = bind_admin(Some(addr), Some(held)).unwrap().unwrap();
        assert_eq!(inherited.local_addr().unwrap(), addr);
    }

    #[test]
    fn inherited_listeners_stay_what_they_were() {
        let listener = || TcpListener::bind("127.0.0.1:0").unwrap();
        let (plain, tls) = (listener(), listener());
        let addr = |listener: &TcpListener| listener.local_addr().unwrap();
        let (plain_addr, tls_addr) = (addr(&plain), addr(&tls));
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let wish = |transport| Wanted { transport, addr: any, by: ChosenBy::Operator };
        let inherited =
            vec![(Transport::Tls, tls_addr, tls), (Transport::Plain, plain_addr, plain)];
        // Both on port 0: whatever the predecessor got, but never one for the other.
        let wanted = vec![wish(Transport::Plain), wish(Transport::Tls)];
        let sockets = bind(wanted, inherited, 1, listener::listen).unwrap();
        assert_eq!(sockets.addresses(Transport::Plain), [plain_addr]);
        assert_eq!(sockets.addresses(Transport::Tls), [tls_addr]);
        let of_worker: Vec<Transport> = sockets.of_workers[0].iter().map(|(of, _)| *of).collect();
        assert_eq!(of_worker, [Transport::Plain, Transport::Tls]);
    }

    #[test]
    fn systemd_needs_no_name_for_what_is_configured() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let mut listeners = vec![(Transport::Plain, addr, listener)];
        as_configured(&mut listeners, &[]);
        assert_eq!(listeners[0].0, Transport::Plain);
        as_configured(&mut listeners, &[addr]);
        assert_eq!(listeners[0].0, Transport::Tls);
    }
}
