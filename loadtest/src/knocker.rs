//! `knocker`: makes TLS connections and ends them, some at once, for as long as its standard input
//! says, one line at a time; each line is answered with one line of JSON.
//!
//! | line | does | answered |
//! |---|---|---|
//! | `full-close N` | N at a time: full handshake, close | at once |
//! | `full-get N` | N at a time: full handshake, GET, its answer, close | at once |
//! | `resumed-close N`, `resumed-get N` | the same with a ticket of an earlier one | at once |
//! | `stock N` | full handshakes and GETs until N tickets are kept | when they are, or one failed |
//! | `stop` | no further connections | when the last have ended |
//! | `status` | nothing | at once |
//!
//! A connection counts when the server has closed it in answer to our close_notify: then it has
//! done all its work. Tickets come at the latest with the answer to a GET, and each serves once.

use std::io::{self, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::mpsc::{self, TryRecvError};

use anyhow::{Context as _, ensure};
use mio::{Events, Interest, Poll, Token, Waker};
use rustls::HandshakeKind;
use serde_json::json;
use slab::Slab;

use crate::certificate;
use crate::client::dial::connecting;
use crate::client::lines_of_input;
use crate::link::{Drain, Got, Link, READ_BYTES};
use crate::origin::{self, Server};
use crate::tls::{Dialect, Offer, TICKETS_MAX};

const WAKER: Token = Token(usize::MAX);
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: load.test\r\n\r\n";
/// Addresses that connections come from in turn: an ended connection blocks its port for a minute.
const SOURCES: u8 = 32;
/// Bytes of `ok` and of whatever head a proxy puts before it.
const ANSWER_MAX: usize = 16 * 1024;
/// Connections at a time that fetch tickets.
const STOCKING: usize = 32;

#[derive(clap::Args)]
pub struct Options {
    #[arg(long)]
    target: SocketAddr,
    /// Also be the origin on this address, in the same thread.
    #[arg(long)]
    serve: SocketAddr,
    /// Authority of the proxy's certificate (PEM).
    #[arg(long)]
    authority: PathBuf,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Tickets {
    Unused,
    Used,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Then {
    Close,
    Get,
}

#[derive(Default)]
struct Tally {
    full: u64,
    resumed: u64,
    failed: u64,
    last_failure: String,
}

struct Knocker {
    target: SocketAddr,
    dialect: Dialect,
    poll: Poll,
    origin: Server,
    knocks: Slab<Knock>,
    /// Keys of ended ones, taken out when all events of a batch were looked at.
    over: Vec<usize>,
    wanted: usize,
    how: (Tickets, Then),
    next_source: u8,
    /// Tickets that are to be kept; the connections stop then.
    stock: Option<usize>,
    stopping: bool,
    tally: Tally,
}

struct Knock {
    link: Link,
    then: Then,
    stage: Stage,
    answer: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Handshake,
    /// An answer is awaited.
    Waiting,
    /// Our end is said, the server's is awaited.
    Closing,
}

pub fn run(options: &Options) -> anyhow::Result<()> {
    let poll = Poll::new()?;
    let lines = lines_of_input(Waker::new(poll.registry(), WAKER)?);
    let dialect = Dialect::new(&options.authority, certificate::NAME, Offer::One)?;
    let origin = Server::listen(options.serve, poll.registry())?;
    Knocker {
        target: options.target,
        dialect,
        poll,
        origin,
        knocks: Slab::new(),
        over: Vec::new(),
        wanted: 0,
        how: (Tickets::Unused, Then::Close),
        next_source: 0,
        stock: None,
        stopping: false,
        tally: Tally::default(),
    }
    .serve(&lines)
}

impl Knocker {
    fn serve(mut self, lines: &mpsc::Receiver<String>) -> anyhow::Result<()> {
        let mut events = Events::with_capacity(1024);
        let mut buffer = vec![0; READ_BYTES];
        loop {
            if let Err(e) = self.poll.poll(&mut events, None)
                && e.kind() != io::ErrorKind::Interrupted
            {
                return Err(e.into());
            }
            for event in events.iter().filter(|event| event.token() != WAKER) {
                let (token, drain) = (event.token(), Drain::after(event));
                if token.0 & origin::MARK != 0 {
                    self.origin.advance(token, drain, self.poll.registry(), &mut buffer)?;
                } else {
                    self.advance(token.0, drain, &mut buffer);
                }
            }
            for key in self.over.drain(..) {
                self.knocks.remove(key);
            }
            loop {
                match lines.try_recv() {
                    Ok(line) => self.obey(&line)?,
                    Err(TryRecvError::Empty) => break,
                    Err(TryRecvError::Disconnected) => return Ok(()),
                }
            }
            // After a failure there will be no further ones.
            let (dialect, failed) = (&self.dialect, self.tally.failed > 0);
            if self.stock.is_some_and(|stock| failed || dialect.tickets() >= stock) {
                (self.stock, self.wanted, self.stopping) = (None, 0, true);
            }
            if self.stopping && self.knocks.is_empty() {
                self.stopping = false;
                self.report()?;
            }
            self.connect_more()?;
        }
    }

    fn obey(&mut self, line: &str) -> anyhow::Result<()> {
        let (verb, argument) = line.split_once(' ').unwrap_or((line, "0"));
        let number: usize = argument.parse().with_context(|| format!("no number in {line:?}"))?;
        self.how = match verb {
            "status" => return self.report(),
            "stop" => {
                (self.wanted, self.stopping) = (0, true);
                return Ok(());
            }
            "stock" => {
                ensure!(number <= TICKETS_MAX, "{line:?}: at most {TICKETS_MAX} tickets are kept");
                self.stock = Some(number);
                (self.wanted, self.how) = (STOCKING, (Tickets::Unused, Then::Get));
                return Ok(());
            }
            "full-close" => (Tickets::Unused, Then::Close),
            "full-get" => (Tickets::Unused, Then::Get),
            "resumed-close" => (Tickets::Used, Then::Close),
            "resumed-get" => (Tickets::Used, Then::Get),
            _ => anyhow::bail!("unknown command {line:?}"),
        };
        self.wanted = number;
        self.report()
    }

    fn report(&self) -> anyhow::Result<()> {
        let figures = json!({
            "full": self.tally.full,
            "resumed": self.tally.resumed,
            "failed": self.tally.failed,
            "last_failure": self.tally.last_failure,
        });
        let mut out = io::stdout().lock();
        writeln!(out, "{figures}")?;
        Ok(out.flush()?)
    }

    fn connect_more(&mut self) -> anyhow::Result<()> {
        while self.knocks.len() < self.wanted && self.tally.failed == 0 {
            let source = Ipv4Addr::new(127, 0, 9, 1 + self.next_source);
            self.next_source = (self.next_source + 1) % SOURCES;
            let mut stream = connecting(Some(source.into()), self.target)?;
            let entry = self.knocks.vacant_entry();
            let interest = Interest::READABLE | Interest::WRITABLE;
            self.poll.registry().register(&mut stream, Token(entry.key()), interest)?;
            let (tickets, then) = self.how;
            self.dialect.resume(tickets == Tickets::Used);
            let link = Link::secured(stream, self.dialect.layer()?)?;
            entry.insert(Knock { link, then, stage: Stage::Handshake, answer: Vec::new() });
        }
        Ok(())
    }

    fn advance(&mut self, key: usize, drain: Drain, buffer: &mut [u8]) {
        let Some(knock) = self.knocks.get_mut(key) else { return };
        match knock.pump(drain, buffer) {
            Ok(Progress::UnderWay) => return,
            Ok(Progress::Over(HandshakeKind::Resumed)) => self.tally.resumed += 1,
            Ok(Progress::Over(_)) => self.tally.full += 1,
            Err(why) => {
                self.tally.failed += 1;
                self.tally.last_failure = why;
            }
        }
        self.over.push(key);
    }
}

enum Progress {
    UnderWay,
    Over(HandshakeKind),
}

impl Knock {
    fn pump(&mut self, drain: Drain, buffer: &mut [u8]) -> Result<Progress, String> {
        self.link.flush().map_err(|e| e.to_string())?;
        loop {
            let got = self.link.read(buffer).map_err(|e| e.to_string())?;
            if let Got::Bytes { count, .. } = got {
                self.answer.extend_from_slice(&buffer[..count]);
                if self.answer.len() > ANSWER_MAX {
                    return Err(format!("an answer of more than {ANSWER_MAX} bytes"));
                }
            }
            if !matches!(got, Got::End) || self.stage != Stage::Closing {
                self.proceed()?;
            }
            match got {
                Got::End => return self.ended(),
                Got::Later => return Ok(Progress::UnderWay),
                Got::Bytes { drained, .. } if drain.is_done(drained) => {
                    return Ok(Progress::UnderWay);
                }
                Got::Bytes { .. } => {}
            }
        }
    }

    /// Takes the next step if what it waits for is there.
    fn proceed(&mut self) -> Result<(), String> {
        let Some(layer) = self.link.layer() else { return Ok(()) };
        if self.stage == Stage::Handshake && layer.ready {
            self.stage = Stage::Waiting;
            if self.then == Then::Get {
                self.link.out().extend_from_slice(REQUEST);
                self.link.flush().map_err(|e| e.to_string())?;
            }
        }
        let answered = self.then == Then::Close || self.answer.ends_with(b"\r\n\r\nok");
        if self.stage == Stage::Waiting && answered {
            self.stage = Stage::Closing;
            self.link.finish().map_err(|e| e.to_string())?;
        }
        Ok(())
    }

    fn ended(&self) -> Result<Progress, String> {
        let kind = self.link.layer().and_then(|layer| layer.kind());
        match (self.stage, self.then, &self.answer[..]) {
            (Stage::Closing, Then::Close, []) => {}
            (Stage::Closing, Then::Get, answer) if answer.starts_with(b"HTTP/1.1 200 ") => {}
            (_, _, answer) => {
                let answer = String::from_utf8_lossy(answer);
                return Err(format!("closed by the server too early, or answered {answer:?}"));
            }
        }
        kind.map(Progress::Over).ok_or_else(|| "no handshake".to_owned())
    }
}
