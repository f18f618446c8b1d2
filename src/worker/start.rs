//! One worker thread from its start to its end. Not here: how many there are, and when they stop.

use std::io;
use std::net::TcpListener;
use std::rc::{Rc, Weak};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rtrb::Producer;

use super::accept;

use super::core::Core;
use super::engine::{Engine, EngineConfig};
use super::latch::{First, first};
use super::log::Log;
use super::mailbox::Mailbox;
use crate::limits::{SETUP_WATCH, TICK};
use crate::net::listener::Listener;
use crate::net::probe::Capacity;
use crate::net::runtime::{self, Runtime, now, sleep, spawn};
use crate::net::sockopt::{block_signals, thread_cpu_time};
use crate::snapshot::{Command, CoreHandle, SnapshotCell, Transport};
use crate::stats::{Event, Stats};

pub struct WorkerConfig {
    /// Index of its counters in `stats`.
    pub core: usize,
    /// Processor to run on; `None` lets the kernel choose.
    pub cpu: Option<usize>,
    /// Bound and listening, this worker's own ([`crate::net::listener::listen`]).
    pub listeners: Vec<(Transport, TcpListener)>,
    pub snapshot: SnapshotCell,
    pub stats: Arc<Stats>,
    pub log: Producer<Event>,
    pub capacity: Capacity,
    /// Clock of the process, the same for all workers.
    pub boot: Instant,
}

/// A running worker.
pub struct Worker {
    pub handle: CoreHandle,
    thread: thread::JoinHandle<io::Result<()>>,
}

impl Worker {
    /// Whether the thread has ended, in order or not.
    pub fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }

    /// Waits for the end of the thread.
    ///
    /// # Errors
    /// What ended it, unless that was [`Command::Stop`]; a panic outside of any task is reported
    /// the same way.
    pub fn join(self) -> io::Result<()> {
        self.thread.join().unwrap_or_else(|_| Err(io::Error::other("the worker thread panicked")))
    }
}

/// Starts a worker and returns when it accepts connections.
///
/// # Errors
/// What kept it from starting; the thread is gone then.
pub fn start(config: WorkerConfig) -> io::Result<Worker> {
    let (ready, started) = sync_channel(1);
    let name = format!("worker-{}", config.core);
    let thread = thread::Builder::new().name(name).spawn(move || {
        // A start-up failure is told through the channel, so that the caller gets it and not the
        // thread's end.
        block_signals()?;
        if let Some(cpu) = config.cpu {
            // Without its own processor a worker is slower, not wrong.
            runtime::pin_to(cpu);
        }
        let (mut runtime, _) = match Runtime::new() {
            Ok(built) => built,
            Err(error) => return tell(&ready, Err(error)),
        };
        runtime.block_on(run(config, ready))
    })?;
    let handle = wait_for(&started)?;
    Ok(Worker { handle, thread })
}

fn wait_for(started: &Receiver<io::Result<CoreHandle>>) -> io::Result<CoreHandle> {
    let gone = |_| Err(io::Error::other("the worker thread ended before it had started"));
    started.recv().unwrap_or_else(gone)
}

fn tell(
    ready: &SyncSender<io::Result<CoreHandle>>,
    news: io::Result<CoreHandle>,
) -> io::Result<()> {
    // The caller waits for this; if it is gone there is nobody left to tell.
    let _ = ready.send(news);
    Ok(())
}

async fn run(config: WorkerConfig, ready: SyncSender<io::Result<CoreHandle>>) -> io::Result<()> {
    let (core, listeners, mailbox, handle) = match build(config) {
        Ok(parts) => parts,
        Err(error) => return tell(&ready, Err(error)),
    };
    for listener in &listeners {
        let accepting = accept::accept(Rc::clone(&core), Rc::clone(listener));
        let counting = Rc::clone(&core);
        spawn(accepting, move || counting.own().core.panics.add(1));
    }
    let watched = listeners.iter().map(Rc::downgrade).collect();
    spawn(tick(Rc::clone(&core), watched), || {});
    drop(listeners);
    let engine = core.engine.clone();
    tell(&ready, Ok(handle))?;
    // Not a task of its own: a panic in the engine ends the thread, for the table that all its
    // tunnels live in may be half changed then.
    match first(obey(&core, &mailbox), first(engine.clone().drive(), engine.tick())).await {
        First::Left(stopped) => stopped,
        First::Right(First::Left(failed)) => failed,
        First::Right(First::Right(())) => Ok(()),
    }
}

/// Carries out commands until [`Command::Stop`].
async fn obey(core: &Rc<Core>, mailbox: &Mailbox) -> io::Result<()> {
    loop {
        mailbox.wait().await?;
        while let Some(command) = mailbox.take() {
            let command = match command {
                Command::Stop => return Ok(()),
                Command::Drain { window, code, reason, reply } => {
                    let both = Arc::new(Mutex::new(WhenDropped(Some(reply))));
                    drain_setups(core, window, Arc::clone(&both));
                    let reply = Box::new(move |()| drop(both));
                    Command::Drain { window, code, reason, reply }
                }
                other => other,
            };
            core.engine.command(command, &core.snapshot());
        }
    }
}

type Parts = (Rc<Core>, Vec<Rc<Listener>>, Mailbox, CoreHandle);

fn build(config: WorkerConfig) -> io::Result<Parts> {
    let WorkerConfig { core, listeners, snapshot, stats, log, capacity, boot, .. } = config;
    let (mailbox, handle) = Mailbox::new()?;
    let log = Log::new(log, Arc::clone(&stats.cores()[core]));
    let engine = Engine::new(EngineConfig {
        core,
        files: capacity.files,
        tunnels: capacity.tunnels,
        stats: Arc::clone(&stats),
        log: log.clone(),
        boot,
    })?;
    let reader = snapshot.reader();
    let core = Rc::new(Core::new(core, stats, engine, reader, log, boot, capacity.setups));
    let adopt = |(transport, listener)| Listener::adopt(transport, listener).map(Rc::new);
    let listeners: io::Result<Vec<_>> = listeners.into_iter().map(adopt).collect();
    Ok((core, listeners?, mailbox, handle))
}

/// Answers a drain when the last holder, tunnels or set-ups, has let go.
struct WhenDropped(Option<crate::snapshot::command::Reply<()>>);

impl Drop for WhenDropped {
    fn drop(&mut self) {
        if let Some(reply) = self.0.take() {
            reply(());
        }
    }
}

/// Ends the set-up side: accepting stops, idle connections close, what is being served is served to
/// its end or for `window`.
fn drain_setups(core: &Rc<Core>, window: Duration, done: Arc<Mutex<WhenDropped>>) {
    core.draining.set();
    core.pool.clear();
    let draining = Rc::clone(core);
    let deadline = now() + window;
    let wait = async move {
        // The first look comes after a pause: the accepting tasks have yet to wake and to take what
        // is in their queues, and until then none of that counts as a set-up.
        loop {
            sleep(SETUP_WATCH).await;
            if draining.setups() == 0 || now() >= deadline {
                break;
            }
        }
        drop(done);
    };
    spawn(wait, || {});
}

/// Once a second: the numbers that are looked at and not counted, and the pool.
async fn tick(core: Rc<Core>, listeners: Vec<Weak<Listener>>) {
    let begun = now();
    let mut busy_before = thread_cpu_time();
    let mut accepted_before = 0;
    loop {
        sleep(TICK).await;
        let counters = &core.own().core;
        let accepted = counters.accepted.value();
        let freed = accepted != accepted_before || core.engine.has_cooled();
        if freed && core.setups() == 0 {
            core.engine.clear_cooled();
            runtime::give_back_memory();
            accepted_before = accepted;
        }
        let busy = thread_cpu_time();
        counters.busy_ns.add((busy - busy_before).as_nanos() as u64);
        busy_before = busy;
        counters.elapsed_ns.set((now() - begun).as_nanos() as u64);
        let open = listeners.iter().filter_map(Weak::upgrade);
        counters.accept_queue.set(open.map(|listener| u64::from(listener.queue_len())).sum());
        counters.snapshot_generation.set(core.snapshot().generation);
        core.pool.sweep(now());
        core.refresh_limit();
    }
}
