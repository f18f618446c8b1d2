//! The life of the process after its start: signals, orders from the control socket, drain,
//! hand-over, end.
//!
//! Not here: starting (`node`, `cli::run`), and what each core does of a drain (`worker`).

use std::error::Error;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::net::UnixListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, JoinHandle};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tracing::{error, info, warn};

use super::access_log::AccessLog;
use super::control_socket;
use super::edge::{Edge, Order, Phase};
use super::handover::{Program, Sockets};
use super::server::{self, Bounds, Speech};
use super::service_manager;
use super::state_dir::{ControlSocket, StateDir};
use crate::limits::CLOSE_WAIT;

/// RFC 6455 7.4.1: 1001 going away; 1012 (IANA) service restart: a successor is there already.
const CLOSE_GOING_AWAY: u16 = 1001;
const CLOSE_RESTART: u16 = 1012;
/// After the drain window: the last close handshakes, and the way of the answer.
const DRAIN_GRACE: Duration = CLOSE_WAIT.saturating_add(Duration::from_secs(1));
/// Time for workers to end after [`crate::snapshot::Command::Stop`]; then the process ends under
/// them.
const STOP_WAIT: Duration = Duration::from_secs(1);
/// Time for the last statistics to be written, another process that holds the database included.
const LAST_FLUSH_WAIT: Duration = Duration::from_secs(6);

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// As it was asked to.
    Asked,
    /// A core ended by itself; the others were drained.
    CoreLost,
}

/// What ends with the process, or is asked by signals.
pub struct Lifecycle {
    pub edge: Arc<Edge>,
    pub orders: mpsc::Receiver<Order>,
    /// One message per core that ended, saying how.
    pub core_ends: mpsc::Receiver<String>,
    pub log: Arc<AccessLog>,
    pub state: StateDir,
    pub control_sockets: Vec<ControlSocket>,
    pub last_answers: LastAnswers,
    /// `None`: this process cannot hand over (the demo).
    pub program: Option<Program>,
    pub sockets: Sockets,
    /// The admin server; ended when a successor has its socket.
    pub admin: Option<AbortHandle>,
}

/// The end of the servers on control sockets: whoever asked for the end is still to hear so.
pub struct LastAnswers {
    pub ask: watch::Sender<bool>,
    pub given: Vec<JoinHandle<()>>,
}

/// The signals that mean something.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    quit: Signal,
    hangup: Signal,
    user1: Signal,
    user2: Signal,
}

enum Asked {
    Drain,
    Reload,
    ReopenLogs,
    HandOver,
}

/// What the main loop woke up for.
enum Event {
    Asked(Asked),
    Order(Order),
    CoreEnded(String),
    Successor(Result<u32, String>),
    Watchdog,
}

/// Why and how to drain.
struct Drain {
    window: Duration,
    code: u16,
    reason: &'static str,
    ended: Ended,
}

impl Signals {
    fn listen() -> io::Result<Signals> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
            hangup: signal(SignalKind::hangup())?,
            user1: signal(SignalKind::user_defined1())?,
            user2: signal(SignalKind::user_defined2())?,
        })
    }

    async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.terminate.recv() => Asked::Drain,
            _ = self.interrupt.recv() => Asked::Drain,
            _ = self.quit.recv() => Asked::Drain,
            _ = self.hangup.recv() => Asked::Reload,
            _ = self.user1.recv() => Asked::ReopenLogs,
            _ = self.user2.recv() => Asked::HandOver,
        }
    }
}

impl Lifecycle {
    /// Serves until the end; `ready` is told when signals are heard.
    ///
    /// # Errors
    /// Signals cannot be listened to.
    pub async fn run(mut self, ready: impl FnOnce()) -> io::Result<Ended> {
        let mut signals = Signals::listen()?;
        self.edge.phase.send_replace(Phase::Serving);
        let snapshot = self.edge.publisher.cell().current();
        service_manager::ready(&self.edge.status(snapshot.hosts.len(), &snapshot.hash));
        ready();
        let drain = self.serve(&mut signals).await;
        let ended = match drain {
            Some(drain) => self.drain(&mut signals, drain).await,
            None => Ended::Asked,
        };
        self.end().await;
        Ok(ended)
    }

    /// Until something ends the serving; `None`: at once.
    async fn serve(&mut self, signals: &mut Signals) -> Option<Drain> {
        let (successor, mut successors) = mpsc::channel(1);
        let mut watchdog = service_manager::watchdog_interval().map(|every| {
            let mut ticks = interval(every);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            ticks
        });
        loop {
            let event = tokio::select! {
                asked = signals.next() => Event::Asked(asked),
                Some(order) = self.orders.recv() => Event::Order(order),
                Some(how) = self.core_ends.recv() => Event::CoreEnded(how),
                Some(result) = successors.recv() => Event::Successor(result),
                () = tick(&mut watchdog) => Event::Watchdog,
            };
            match event {
                Event::Asked(Asked::Reload) => {
                    let edge = Arc::clone(&self.edge);
                    tokio::spawn(async move { edge.reload().await.map(drop) });
                }
                Event::Asked(Asked::ReopenLogs) => self.log.reopen(),
                Event::Asked(Asked::HandOver) => self.start_successor(&successor),
                Event::Asked(Asked::Drain) => return Some(self.going_away(None).await),
                Event::Order(Order::Drain { window }) => {
                    return Some(self.going_away(window).await);
                }
                Event::Order(Order::Stop) => {
                    info!("stopping at once, as asked");
                    return None;
                }
                Event::CoreEnded(how) => {
                    error!(%how, "a core ended; draining the others");
                    let drain = self.going_away(None).await;
                    return Some(Drain { ended: Ended::CoreLost, ..drain });
                }
                Event::Successor(Ok(pid)) => return Some(self.handed_over(pid).await),
                Event::Successor(Err(error)) => {
                    error!(%error, "the new binary did not take over; this one keeps serving");
                }
                Event::Watchdog => self.confirm_alive(),
            }
        }
    }

    async fn going_away(&self, window: Option<Duration>) -> Drain {
        let window = match window {
            Some(window) => window,
            None => self.edge.publisher.drain_window().await,
        };
        Drain { window, code: CLOSE_GOING_AWAY, reason: "going away", ended: Ended::Asked }
    }

    async fn handed_over(&mut self, pid: u32) -> Drain {
        info!(successor = pid, "the new binary serves; draining this one");
        service_manager::main_process(pid);
        if let Some(admin) = self.admin.take() {
            admin.abort();
        }
        if let Err(error) = self.answer_apart() {
            let tunnels = self.tunnels();
            warn!(%error, tunnels, "hawser conns and kill do not reach this process any more");
        }
        let window = self.edge.publisher.drain_window().await;
        Drain { window, code: CLOSE_RESTART, reason: "restart", ended: Ended::Asked }
    }

    /// Answers on a socket of this process alone: the successor has the one that everybody knows.
    fn answer_apart(&mut self) -> Result<(), Box<dyn Error>> {
        let (listener, socket) = self.state.retiring_socket()?;
        self.control_sockets.push(socket);
        let listener = UnixListener::from_std(listener)?;
        let router = control_socket::router(Arc::clone(&self.edge));
        let end = self.last_answers.ask.subscribe();
        let serving = server::serve(listener, router, Bounds::default(), || Speech::Plain, end);
        self.last_answers.given.push(tokio::spawn(serving));
        Ok(())
    }

    /// Only if every core answers: a process whose cores hang is not alive.
    fn confirm_alive(&self) {
        let cores = self.edge.cores.clone();
        tokio::spawn(async move {
            if cores.alive().await {
                service_manager::alive();
            } else {
                error!("a core does not answer; the watchdog is not told that all is well");
            }
        });
    }

    fn start_successor(&self, done: &mpsc::Sender<Result<u32, String>>) {
        let Some(program) = &self.program else {
            warn!("this process cannot hand over to a new binary");
            return;
        };
        // Reserved before the start, so that a second USR2 does not start a second successor.
        let Ok(permit) = done.clone().try_reserve_owned() else {
            warn!("a new binary is starting already");
            return;
        };
        info!(program = %program.path.display(), "starting a new binary to hand over to");
        match program.start(&self.sockets, self.state.lock()) {
            Ok(successor) => drop(tokio::spawn(async move {
                permit.send(successor.ready().await);
            })),
            Err(error) => {
                error!(%error, "the new binary cannot be started; this one keeps serving");
            }
        }
    }

    async fn drain(&mut self, signals: &mut Signals, drain: Drain) -> Ended {
        let Drain { window, code, reason, ended } = drain;
        self.edge.phase.send_replace(Phase::Draining);
        info!(?window, "draining");
        service_manager::stopping("draining", window + DRAIN_GRACE + STOP_WAIT + LAST_FLUSH_WAIT);
        // Our copies of the listeners would keep queues open that no core reads any more.
        self.sockets = Sockets::default();
        let started = Instant::now();
        let cores = self.edge.cores.clone();
        let drained = cores.drain(window, DRAIN_GRACE, code, reason);
        tokio::pin!(drained);
        loop {
            tokio::select! {
                empty = &mut drained => {
                    let left = self.tunnels();
                    info!(after = ?started.elapsed(), empty, left, "drained");
                    return ended;
                }
                asked = signals.next() => match asked {
                    Asked::Drain => {
                        warn!(left = self.tunnels(), "stopping at once, asked a second time");
                        return ended;
                    }
                    Asked::ReopenLogs => self.log.reopen(),
                    Asked::Reload | Asked::HandOver => warn!("draining: too late for this signal"),
                },
                Some(order) = self.orders.recv() => match order {
                    Order::Stop => {
                        warn!(left = self.tunnels(), "stopping at once, as asked");
                        return ended;
                    }
                    Order::Drain { .. } => warn!("draining already"),
                },
            }
        }
    }

    fn tunnels(&self) -> u64 {
        self.edge.stats.cores().iter().map(|core| core.core.tunnels.value()).sum()
    }

    /// What was counted since the last look; an error is in the log already.
    async fn flush(&self) {
        if timeout(LAST_FLUSH_WAIT, self.edge.flush()).await.is_err() {
            warn!("the last statistics were not written in time");
        }
    }

    async fn end(mut self) {
        self.edge.cores.stop();
        // Cores drop their end of this when they end, by whatever way.
        let ends = async { while self.core_ends.recv().await.is_some() {} };
        if timeout(STOP_WAIT, ends).await.is_err() {
            warn!("a core did not end in time");
        }
        self.flush().await;
        self.control_sockets.iter().for_each(ControlSocket::remove);
        let LastAnswers { ask, given } = self.last_answers;
        ask.send_replace(true);
        if timeout(STOP_WAIT, join_all(given)).await.is_err() {
            warn!("an answer on the control socket was not taken in time");
        }
        let log = self.log;
        let _ = tokio::task::spawn_blocking(move || log.finish()).await;
    }
}

async fn tick(watchdog: &mut Option<tokio::time::Interval>) {
    match watchdog {
        Some(ticks) => drop(ticks.tick().await),
        None => std::future::pending().await,
    }
}
