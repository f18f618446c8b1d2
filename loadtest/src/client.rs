//! `client`: holds connections and does with them what its standard input says, one line at a time;
//! each line is answered with one line of JSON. Pings are answered at any time. Every byte that
//! comes back is checked.
//!
//! | line | does | answered |
//! |---|---|---|
//! | `open N [AT_ONCE]` | opens connections until N are open | when each is open or has failed |
//! | `echo LEN` | one message of LEN bytes on each | when each has its echo, checked |
//! | `echo LEN AT_ONCE` | the same, so many at a time | the same |
//! | `pingpong LEN [N]` | on each, or N, the next message as soon as the last is back | at once |
//! | `steady LEN RATE [RAMP]` | RATE messages a second over all, each at its own time | at once |
//! | `http RATE LEN [RAMP]` | the same with GETs (`--http`); rate 0: as pingpong | at once |
//! | `listen` | counts what the origin pushes (`/push?bytes=&interval_ms=`) | at once |
//! | `push LEN MS` | the origin in this process (`--serve`) pushes; counted | at once |
//! | `churn RATE [LEN [N [RAMP]]]` | handshake, echo, Close, again; N at once | at once |
//! | `stop [SECONDS]` | no further messages | when the last answers are there, with the figures |
//! | `herd` | resets all connections and opens all at once | when all are open again |
//! | `close [SECONDS]` | Close 1000 on each | when each has got its Close and its end |
//! | `await-end` | nothing | when all were closed by the other side |
//! | `status` | nothing | at once, whatever else waits for its answer |
//!
//! A churn of rate 0 is as fast as N at once allow. Every answer names the verb that it answers.
//!
//! Not here: what a scenario makes of the figures.

mod commands;
mod connection;
pub mod dial;
mod duty;
mod http;
mod population;
mod pushed;
mod schedule;
mod tally;
pub mod trouble;
mod work;

use std::io::{self, BufRead as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::mpsc::{self, TryRecvError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use mio::{Events, Poll, Token, Waker};
use slab::Slab;

use crate::link::{Drain, READ_BYTES};
use crate::origin::{self, Server};
use crate::timer::{Timer, earlier};
use crate::tls::{Dialect, Offer};
use crate::ws;
use commands::{Command, PATIENCE};
use connection::{Conn, Purpose, Shared};
use dial::Sources;
use duty::{Goal, GoalKind};
use schedule::Schedule;
use tally::Tally;
use work::{Churn, Work};

const WAKER: Token = Token(usize::MAX);
const TIMER: Token = Token(usize::MAX - 1);

#[derive(clap::Args)]
pub struct Options {
    #[arg(long)]
    target: SocketAddr,
    /// Host header, and the name that its certificate is for.
    #[arg(long, default_value = "load.test")]
    host: String,
    /// Path of the requests; /echo, or /bytes/LEN with --http.
    #[arg(long)]
    path: Option<String>,
    /// Addresses that the connections come from in turn, one or a range like 127.0.0.2-127.0.0.40;
    /// each has some 28,000 ports.
    #[arg(long)]
    source: Option<Sources>,
    /// Also be the origin on this address, in the same thread.
    #[arg(long)]
    serve: Option<SocketAddr>,
    /// Never read after the handshake.
    #[arg(long)]
    silent: bool,
    /// Plain requests: no upgrade.
    #[arg(long, conflicts_with = "silent")]
    http: bool,
    /// Speak TLS and accept certificates of these authorities (PEM).
    #[arg(long)]
    authority: Option<PathBuf>,
    /// What is offered in TLS: `one` suite and group, so that all servers do the same arithmetic,
    /// or the `usual` ones.
    #[arg(long, default_value = "one")]
    offer: Offer,
}

impl Options {
    fn upgrade(&self, key: &str) -> String {
        ws::request(self.path.as_deref().unwrap_or("/echo"), &self.host, key)
    }

    fn purpose(&self) -> Purpose {
        match &self.path {
            _ if self.silent => Purpose::Silence,
            _ if self.http => Purpose::Http,
            Some(path) if path.starts_with("/push") => Purpose::Pushes,
            _ => Purpose::Echoes,
        }
    }
}

pub fn run(options: Options) -> anyhow::Result<()> {
    let poll = Poll::new()?;
    let lines = lines_of_input(Waker::new(poll.registry(), WAKER)?);
    let authority = options.authority.as_deref();
    let dialect =
        authority.map(|path| Dialect::new(path, &options.host, options.offer)).transpose()?;
    let origin = match options.serve {
        Some(addr) => Some(Server::listen(addr, poll.registry())?),
        None => None,
    };
    let timer = Timer::new(poll.registry(), TIMER)?;
    Client {
        purpose: options.purpose(),
        sources: options.source,
        options,
        dialect,
        poll,
        timer,
        origin,
        conns: Slab::new(),
        goal: None,
        held_line: None,
        wanted: 0,
        at_once: 0,
        connecting: 0,
        churning: 0,
        retry: Retry::Never,
        begun: 0,
        to_ask: Vec::new(),
        asking: (0, 0),
        again: Vec::new(),
        ready: Vec::new(),
        shared: Shared {
            tally: Tally::default(),
            work: Work::Nothing,
            opening: None,
            request: None,
            under_way: 0,
        },
    }
    .serve(&lines)
}

/// Lines of standard input, each announced by the waker; its end closes the channel.
pub fn lines_of_input(waker: Waker) -> mpsc::Receiver<String> {
    let (send, lines) = mpsc::sync_channel(16);
    std::thread::spawn(move || {
        for line in io::stdin().lock().lines().map_while(Result::ok) {
            if send.send(line).is_err() || waker.wake().is_err() {
                return;
            }
        }
        drop(send);
        let _ = waker.wake();
        // A waker that is dropped takes its wake with it when nobody has polled yet.
        std::mem::forget(waker);
    });
    lines
}

/// What follows a handshake that failed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Retry {
    Never,
    Now,
    At(Instant),
}

struct Client {
    options: Options,
    purpose: Purpose,
    sources: Option<Sources>,
    dialect: Option<Dialect>,
    poll: Poll,
    timer: Timer,
    origin: Option<Server>,
    conns: Slab<Conn>,
    goal: Option<Goal>,
    /// A line that waits for the answer to the one before.
    held_line: Option<String>,
    /// Connections that are to be open, without those of a churn.
    wanted: usize,
    /// Handshakes that may be under way at once, and are.
    at_once: usize,
    connecting: usize,
    /// Connections of a churn.
    churning: usize,
    retry: Retry,
    /// Connections that were ever begun.
    begun: u64,
    /// What an `echo` has still to ask, its length, and how many may be under way.
    to_ask: Vec<usize>,
    asking: (usize, usize),
    /// Connections that may have more to read.
    again: Vec<usize>,
    /// Room for the connections whose time has come.
    ready: Vec<usize>,
    shared: Shared,
}

impl Client {
    fn serve(mut self, lines: &mpsc::Receiver<String>) -> anyhow::Result<()> {
        let mut events = Events::with_capacity(1024);
        let mut buffer = vec![0; READ_BYTES];
        let mut more = false;
        loop {
            self.wait(&mut events, more)?;
            for event in events.iter().filter(|event| event.token().0 < TIMER.0) {
                let token = event.token();
                let drain = Drain::after(event);
                match &mut self.origin {
                    Some(origin) if token.0 & origin::MARK != 0 => {
                        origin.advance(token, drain, self.poll.registry(), &mut buffer)?;
                    }
                    _ => self.advance(token.0, drain, &mut buffer),
                }
            }
            for key in std::mem::take(&mut self.again) {
                self.advance(key, Drain::UntilEnd, &mut buffer);
            }
            if let Some(origin) = &mut self.origin {
                origin.turn(&mut buffer);
            }
            more = self.proceed()?;
            loop {
                let line = match self.held_line.take().map_or_else(|| lines.try_recv(), Ok) {
                    Ok(line) => line,
                    Err(TryRecvError::Disconnected) if self.goal.is_none() => return Ok(()),
                    Err(_) => break,
                };
                // Only a question may pass a line that has no answer yet.
                if self.goal.is_some() && line != "status" {
                    self.held_line = Some(line);
                    break;
                }
                self.obey(&line)?;
                more = self.proceed()?;
            }
        }
    }

    fn wait(&mut self, events: &mut Events, more: bool) -> anyhow::Result<()> {
        let retry = match self.retry {
            Retry::At(time) => Some(time),
            Retry::Never | Retry::Now => None,
        };
        let mut wakes_at = earlier(self.shared.work.wakes_at(), retry);
        if let Some(origin) = &self.origin {
            wakes_at = earlier(wakes_at, origin.wakes_at());
        }
        let mut wait = self.goal.as_ref().map(|_| Duration::from_millis(100));
        if more || !self.again.is_empty() {
            wait = Some(Duration::ZERO);
        } else {
            self.timer.wake_at(wakes_at)?;
        }
        match self.poll.poll(events, wait) {
            Err(e) if e.kind() != io::ErrorKind::Interrupted => Err(e.into()),
            _ => Ok(()),
        }
    }

    /// Does what is to be done now, whatever happened; true when there is more of it.
    fn proceed(&mut self) -> anyhow::Result<bool> {
        let more = self.connect_more()?;
        let more = self.send_due() || more;
        self.ask_more();
        self.answer_if_done()?;
        Ok(more)
    }

    fn obey(&mut self, line: &str) -> anyhow::Result<()> {
        let verb = line.split_whitespace().next().unwrap_or_default();
        let kind = match line.parse()? {
            Command::Open { count, at_once } => {
                self.open(count, at_once, Retry::Never);
                Some((GoalKind::Opened, PATIENCE))
            }
            Command::Herd => {
                self.herd();
                Some((GoalKind::Opened, PATIENCE))
            }
            Command::Echo { len, at_once } => {
                self.echo(len, at_once);
                Some((GoalKind::Answered, PATIENCE))
            }
            Command::Stop { drain } => {
                self.shared.work.stop(drain);
                if let Some(origin) = &mut self.origin {
                    origin.stop_pushing();
                }
                Some((GoalKind::Stopped, drain))
            }
            Command::Close { patience } => {
                self.wanted = 0;
                self.close_all();
                Some((GoalKind::Ended, patience))
            }
            Command::AwaitEnd => {
                self.wanted = 0;
                Some((GoalKind::Ended, PATIENCE))
            }
            Command::Status => None,
            work => {
                self.begin(work).with_context(|| format!("{line:?}"))?;
                None
            }
        };
        match kind {
            Some((kind, patience)) => {
                let verb = verb.to_owned();
                self.goal = Some(Goal { verb, kind, since: Instant::now(), patience });
            }
            None => self.report(verb, None)?,
        }
        Ok(())
    }

    /// Work that goes on until it is stopped.
    fn begin(&mut self, work: Command) -> anyhow::Result<()> {
        let now = Instant::now();
        ensure!(!matches!(self.shared.work, Work::Churn(_)), "say `stop` before");
        match work {
            Command::Pingpong { len, connections } => self.pingpong(len, connections),
            Command::Steady { len, rate, ramp } => {
                ensure!(self.purpose != Purpose::Http, "wants a client without --http");
                self.steady(len, Schedule::new(now, rate, ramp)?)?;
            }
            Command::Http { len, rate, ramp } => {
                ensure!(self.purpose == Purpose::Http, "wants a client with --http");
                self.http(len, rate, ramp)?;
            }
            Command::Churn(churn) => {
                ensure!(self.purpose == Purpose::Echoes, "wants a client that echoes");
                let schedule = churn.rate.map(|rate| Schedule::new(now, rate, churn.ramp));
                self.shared.work = Work::Churn(Box::new(Churn::new(churn, schedule.transpose()?)));
                self.retry = Retry::Now;
            }
            Command::Listen => self.listen(),
            Command::Push { len, interval } => {
                self.origin.as_mut().context("wants --serve")?.push(len, interval)?;
                self.listen();
            }
            _ => {}
        }
        Ok(())
    }
}
