//! `client`: holds WebSocket connections and does with them what its standard input says, one line
//! at a time; each line is answered with one line of JSON. Pings are answered at any time. Every
//! byte that comes back is checked.
//!
//! | line | does | answered |
//! |---|---|---|
//! | `open N` | opens connections until N are open | when each is open or has failed |
//! | `echo LEN` | one message of LEN bytes on each | when each has its echo, checked |
//! | `echo LEN N` | the same, N at a time | the same |
//! | `pingpong LEN` | on each, the next message as soon as the last is back | at once |
//! | `stop` | no further messages | when the last echoes are there |
//! | `close` | Close 1000 on each | when each has got its Close and its end |
//! | `await-end` | nothing | when all were closed by the other side |
//! | `status` | nothing | at once |
//!
//! Not here: what a scenario makes of the figures.

use std::collections::BTreeMap;
use std::io::{self, BufRead as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::mpsc::{self, TryRecvError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token, Waker};
use serde_json::{Value, json};
use slab::Slab;

use crate::latency::Latency;
use crate::link::{Drain, Got, Link, READ_BYTES};
use crate::origin::{self, Server};
use crate::pattern;
use crate::tls::Dialect;
use crate::ws::{self, Piece, Reader};

const WAKER: Token = Token(usize::MAX);
/// Handshakes under way at once; below every listen backlog, so that none waits for a SYN retry.
const HANDSHAKES_MAX: usize = 256;
/// A command that has not come true after this long is answered as it stands.
const PATIENCE: Duration = Duration::from_secs(120);

#[derive(clap::Args)]
pub struct Options {
    #[arg(long)]
    target: SocketAddr,
    /// Host header.
    #[arg(long, default_value = "load.test")]
    host: String,
    #[arg(long, default_value = "/echo")]
    path: String,
    /// Address that the connections come from; each has some 28,000 ports.
    #[arg(long, default_value = "127.0.0.1")]
    source: Ipv4Addr,
    /// Also be the origin on this address, in the same thread.
    #[arg(long)]
    serve: Option<SocketAddr>,
    /// Never read after the handshake.
    #[arg(long)]
    silent: bool,
    /// Speak TLS 1.3 and accept certificates of this authority (PEM).
    #[arg(long)]
    authority: Option<PathBuf>,
}

pub fn run(options: Options) -> anyhow::Result<()> {
    let poll = Poll::new()?;
    let lines = lines_of_input(Waker::new(poll.registry(), WAKER)?);
    let authority = options.authority.as_deref();
    let dialect = authority.map(|path| Dialect::new(path, &options.host)).transpose()?;
    let origin = match options.serve {
        Some(addr) => Some(Server::listen(addr, poll.registry())?),
        None => None,
    };
    Client {
        options,
        dialect,
        poll,
        origin,
        conns: Slab::new(),
        goal: None,
        wanted: 0,
        connecting: 0,
        pingpong: None,
        to_ask: Vec::new(),
        asked: 0,
        at_once: usize::MAX,
        length: 0,
        tally: Tally::default(),
        latency: Latency::default(),
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
    });
    lines
}

/// A connection from any port of `source` that is being made.
pub fn connecting(source: Ipv4Addr, target: SocketAddr) -> anyhow::Result<TcpStream> {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)
        .context("more connections need more descriptors: raise `ulimit -n`")?;
    socket.set_nonblocking(true)?;
    socket.set_tcp_nodelay(true)?;
    socket.bind(&SocketAddr::from((source, 0)).into())?;
    match socket.connect(&target.into()) {
        Ok(()) => {}
        // EINPROGRESS, which std has no name for.
        Err(e) if e.raw_os_error() == Some(libc::EINPROGRESS) => {}
        Err(e) => anyhow::bail!("connect from {source}: {e}"),
    }
    Ok(TcpStream::from_std(socket.into()))
}

#[derive(Default)]
struct Tally {
    opened: u64,
    failed: u64,
    echoed: u64,
    /// Payload of the echoes as far as they have come.
    echoed_bytes: u64,
    wrong_bytes: u64,
    pings: u64,
    protocol_errors: u64,
    /// Connections that ended with this close code first seen; 1006 where there was none.
    ended: BTreeMap<u16, u64>,
    last_failure: String,
}

/// What the last line waits for.
struct Goal {
    kind: GoalKind,
    since: Instant,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum GoalKind {
    Opened,
    Answered,
    Ended,
}

struct Client {
    options: Options,
    dialect: Option<Dialect>,
    poll: Poll,
    origin: Option<Server>,
    conns: Slab<Conn>,
    goal: Option<Goal>,
    wanted: usize,
    connecting: usize,
    /// Length of the messages that go back and forth.
    pingpong: Option<usize>,
    /// What an `echo` has still to ask, how many it has asked without an answer, and its limit.
    to_ask: Vec<usize>,
    asked: usize,
    at_once: usize,
    length: usize,
    tally: Tally,
    latency: Latency,
}

struct Conn {
    link: Link,
    state: State,
    seed: u64,
    /// Length of the message whose echo is awaited; 0 when none is.
    awaited: usize,
    got: usize,
    sent_at: Instant,
    closing: Closing,
    silent: bool,
}

enum State {
    /// The answer's head as far as it has come.
    Handshake(Vec<u8>),
    Open(Reader),
    /// Open, and never read again.
    Silent,
}

/// Who sent a Close frame first.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Closing {
    No,
    ByUs,
    /// Its code, 1005 where it had none.
    Received(u16),
}

impl Client {
    fn serve(mut self, lines: &mpsc::Receiver<String>) -> anyhow::Result<()> {
        let mut events = Events::with_capacity(1024);
        let mut buffer = vec![0; READ_BYTES];
        loop {
            let wait = self.goal.as_ref().map(|_| Duration::from_millis(100));
            if let Err(e) = self.poll.poll(&mut events, wait)
                && e.kind() != io::ErrorKind::Interrupted
            {
                return Err(e.into());
            }
            for event in events.iter().filter(|event| event.token() != WAKER) {
                let token = event.token();
                let drain = Drain::after(event);
                match &mut self.origin {
                    Some(origin) if token.0 & origin::MARK != 0 => {
                        origin.advance(token, drain, self.poll.registry(), &mut buffer)?;
                    }
                    _ => self.advance(token.0, drain, &mut buffer),
                }
            }
            self.connect_more()?;
            self.ask_more();
            self.answer_if_done()?;
            while self.goal.is_none() {
                let line = match lines.try_recv() {
                    Ok(line) => line,
                    Err(TryRecvError::Empty) => break,
                    Err(TryRecvError::Disconnected) => return Ok(()),
                };
                self.obey(&line)?;
                self.connect_more()?;
                self.ask_more();
                self.answer_if_done()?;
            }
        }
    }

    fn obey(&mut self, line: &str) -> anyhow::Result<()> {
        let mut words = line.split(' ');
        let verb = words.next().unwrap_or_default();
        let numbers: Vec<usize> = words
            .map(|word| word.parse().with_context(|| format!("no number in {line:?}")))
            .collect::<Result<_, _>>()?;
        let number = numbers.first().copied().unwrap_or(0);
        let kind = match verb {
            "open" => {
                self.wanted = number;
                self.tally.failed = 0;
                Some(GoalKind::Opened)
            }
            "echo" => {
                self.to_ask = self.conns.iter().map(|(key, _)| key).collect();
                self.asked = 0;
                self.at_once = numbers.get(1).copied().unwrap_or(usize::MAX);
                self.length = number;
                Some(GoalKind::Answered)
            }
            "pingpong" => {
                self.latency = Latency::default();
                self.pingpong = Some(number);
                let keys: Vec<usize> = self.conns.iter().map(|(key, _)| key).collect();
                keys.into_iter().for_each(|key| self.ask(key, number));
                None
            }
            "stop" => {
                self.pingpong = None;
                Some(GoalKind::Answered)
            }
            "close" => {
                self.wanted = 0;
                self.close_all();
                Some(GoalKind::Ended)
            }
            "await-end" => {
                self.wanted = 0;
                Some(GoalKind::Ended)
            }
            "status" => None,
            _ => anyhow::bail!("unknown command {line:?}"),
        };
        match kind {
            Some(kind) => self.goal = Some(Goal { kind, since: Instant::now() }),
            None => self.report()?,
        }
        Ok(())
    }

    fn answer_if_done(&mut self) -> anyhow::Result<()> {
        let Some(goal) = &self.goal else { return Ok(()) };
        let done = match goal.kind {
            GoalKind::Opened => {
                self.connecting == 0 && (self.conns.len() >= self.wanted || self.tally.failed > 0)
            }
            GoalKind::Answered => {
                self.to_ask.is_empty() && self.conns.iter().all(|(_, conn)| conn.awaited == 0)
            }
            GoalKind::Ended => self.conns.is_empty(),
        };
        if done || goal.since.elapsed() > PATIENCE {
            // What ends from now on is not opened again.
            self.wanted = 0;
            self.report()?;
            self.goal = None;
        }
        Ok(())
    }

    fn report(&self) -> anyhow::Result<()> {
        let tally = &self.tally;
        let ended: Value = tally.ended.iter().map(|(c, n)| (c.to_string(), json!(n))).collect();
        let figures = json!({
            "open": self.conns.len() - self.connecting,
            "opened": tally.opened,
            "failed": tally.failed,
            "last_failure": tally.last_failure,
            "echoed": tally.echoed,
            "echoed_bytes": tally.echoed_bytes,
            "wrong_bytes": tally.wrong_bytes,
            "pings": tally.pings,
            "protocol_errors": tally.protocol_errors,
            "ended": ended,
            "ms": self.goal.as_ref().map(|goal| goal.since.elapsed().as_millis() as u64),
            "latency_us": self.latency.summary(),
        });
        let mut out = io::stdout().lock();
        writeln!(out, "{figures}")?;
        Ok(out.flush()?)
    }

    fn connect_more(&mut self) -> anyhow::Result<()> {
        while self.conns.len() < self.wanted
            && self.connecting < HANDSHAKES_MAX
            && self.tally.failed == 0
        {
            let mut stream = connecting(self.options.source, self.options.target)?;
            let entry = self.conns.vacant_entry();
            let interest = Interest::READABLE | Interest::WRITABLE;
            self.poll.registry().register(&mut stream, Token(entry.key()), interest)?;
            let seed = self.tally.opened << 20 | entry.key() as u64;
            let link = match &self.dialect {
                None => Link::new(stream),
                Some(dialect) => Link::secured(stream, dialect.layer()?)?,
            };
            entry.insert(Conn::new(link, seed, &self.options));
            self.connecting += 1;
        }
        Ok(())
    }

    /// Goes on with an `echo`, as far as its answers have come.
    fn ask_more(&mut self) {
        while self.asked < self.at_once
            && let Some(key) = self.to_ask.pop()
        {
            self.asked += 1;
            self.ask(key, self.length);
        }
    }

    fn ask(&mut self, key: usize, len: usize) {
        let Some(conn) = self.conns.get_mut(key) else { return };
        if matches!(conn.state, State::Open(_)) && conn.awaited == 0 {
            conn.say(len);
            if let Err(e) = conn.link.flush() {
                self.end(key, &e.to_string());
            }
        }
    }

    fn close_all(&mut self) {
        for (_, conn) in &mut self.conns {
            let mask = conn.mask();
            ws::frame(conn.link.out(), ws::CLOSE, &1000u16.to_be_bytes(), Some(mask));
            conn.closing = Closing::ByUs;
            // A failure shows as the end of the connection.
            let _ = conn.link.flush();
        }
    }

    /// Something happened to connection `key`.
    fn advance(&mut self, key: usize, drain: Drain, buffer: &mut [u8]) {
        let Some(conn) = self.conns.get_mut(key) else { return };
        let was_open = !matches!(conn.state, State::Handshake(_));
        let echoed = self.tally.echoed;
        let result = conn.pump(drain, buffer, &mut self.tally, &mut self.latency, self.pingpong);
        self.asked -= self.asked.min((self.tally.echoed - echoed) as usize);
        let is_open = !matches!(conn.state, State::Handshake(_));
        if is_open && !was_open {
            self.connecting -= 1;
            self.tally.opened += 1;
        }
        if let Err(why) = result {
            self.end(key, &why);
        }
    }

    fn end(&mut self, key: usize, why: &str) {
        let conn = self.conns.remove(key);
        self.asked -= self.asked.min(usize::from(conn.awaited > 0));
        if matches!(conn.state, State::Handshake(_)) {
            self.connecting -= 1;
            self.tally.failed += 1;
            self.tally.last_failure = why.to_owned();
        } else {
            let code = match conn.closing {
                Closing::Received(code) => code,
                Closing::No | Closing::ByUs => 1006,
            };
            *self.tally.ended.entry(code).or_default() += 1;
        }
    }
}

impl Conn {
    fn new(mut link: Link, seed: u64, options: &Options) -> Conn {
        let request = format!(
            "GET {} HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {}\r\n\r\n",
            options.path,
            options.host,
            ws::key(seed)
        );
        link.out().extend_from_slice(request.as_bytes());
        Conn {
            link,
            state: State::Handshake(Vec::new()),
            seed,
            awaited: 0,
            got: 0,
            sent_at: Instant::now(),
            closing: Closing::No,
            silent: options.silent,
        }
    }

    /// Writes what waits and reads what has come, until there is neither.
    fn pump(
        &mut self,
        drain: Drain,
        buffer: &mut [u8],
        tally: &mut Tally,
        latency: &mut Latency,
        pingpong: Option<usize>,
    ) -> Result<(), String> {
        loop {
            self.flush()?;
            if matches!(self.state, State::Silent) {
                return Ok(());
            }
            let (count, drained) = match self.link.read(buffer).map_err(|e| e.to_string())? {
                Got::Later => return Ok(()),
                Got::End => return Err("closed by the other side".into()),
                Got::Bytes { count, drained } => (count, drained),
            };
            self.take(&mut buffer[..count], tally)?;
            if self.awaited > 0 && self.got == self.awaited {
                latency.record(self.sent_at.elapsed());
                tally.echoed += 1;
                (self.awaited, self.got) = (0, 0);
                if let Some(len) = pingpong {
                    self.say(len);
                }
            }
            if drain.is_done(drained) {
                return self.flush();
            }
        }
    }

    fn flush(&mut self) -> Result<(), String> {
        match self.link.flush() {
            Err(e) if e.kind() != io::ErrorKind::NotConnected => Err(e.to_string()),
            _ => Ok(()),
        }
    }

    fn take(&mut self, bytes: &mut [u8], tally: &mut Tally) -> Result<(), String> {
        match &mut self.state {
            State::Handshake(head) => {
                head.extend_from_slice(bytes);
                let Some(end) = head.windows(4).position(|w| w == b"\r\n\r\n") else {
                    return Ok(());
                };
                let mut rest = head.split_off(end + 4);
                let head = String::from_utf8_lossy(head).into_owned();
                let accept = ws::accept_value(&ws::key(self.seed));
                if !head.starts_with("HTTP/1.1 101 ") || !head.contains(&accept) {
                    return Err(head.lines().next().unwrap_or_default().to_owned());
                }
                if self.silent {
                    self.state = State::Silent;
                    return Ok(());
                }
                self.state = State::Open(Reader::of_server());
                if rest.is_empty() { Ok(()) } else { self.take(&mut rest, tally) }
            }
            State::Open(_) => self.frames(bytes, tally),
            State::Silent => Ok(()),
        }
    }

    fn frames(&mut self, bytes: &mut [u8], tally: &mut Tally) -> Result<(), String> {
        let mask = self.mask();
        let State::Open(reader) = &mut self.state else { return Ok(()) };
        let (out, expected, got) = (self.link.out(), self.seed, &mut self.got);
        let (awaited, closing) = (self.awaited, &mut self.closing);
        reader
            .feed(bytes, |piece| match piece {
                Piece::Start { len, .. } => tally.wrong_bytes += u64::from(len != awaited as u64),
                Piece::Data(bytes) => {
                    tally.wrong_bytes += pattern::wrong_bytes(expected, *got, bytes);
                    tally.echoed_bytes += bytes.len() as u64;
                    *got += bytes.len();
                }
                Piece::End { .. } => {}
                Piece::Control { opcode: ws::PING, payload } => {
                    tally.pings += 1;
                    ws::frame(out, ws::PONG, payload, Some(mask));
                }
                Piece::Control { opcode: ws::CLOSE, payload } => {
                    let code = payload.first_chunk().map_or(1005, |code| u16::from_be_bytes(*code));
                    // The answer to our own Close needs no answer.
                    if *closing == Closing::No {
                        ws::frame(out, ws::CLOSE, payload, Some(mask));
                    }
                    *closing = Closing::Received(code);
                }
                Piece::Control { .. } => {}
            })
            .inspect_err(|_| tally.protocol_errors += 1)
    }

    /// Sends the connection's next message.
    fn say(&mut self, len: usize) {
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let (seed, mask) = (self.seed, self.mask());
        ws::masked_frame(self.link.out(), len, mask, |out| pattern::append(seed, len, out));
        (self.awaited, self.got, self.sent_at) = (len, 0, Instant::now());
    }

    fn mask(&self) -> [u8; 4] {
        ((self.seed >> 17) as u32 | 0x0101_0101).to_le_bytes()
    }
}
