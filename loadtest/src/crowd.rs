//! `crowd`: one of many processes that hold very many quiet WebSocket connections, as clients or as
//! an origin, in little memory: 16 bytes of state each, no buffer. Obeys standard input like
//! `client`, one line of JSON for each line, and ends with it.
//!
//! | line | does | answered |
//! |---|---|---|
//! | `open N AT_ONCE` | opens until N are open (clients) | when all are, or one failed |
//! | `echo LEN COUNT AT_ONCE` | a message on the first COUNT (clients) | when each is back |
//! | `await-end SECONDS` | nothing | when all have ended, or after that time |
//! | `status` | nothing | at once |
//!
//! Not here: streams, rates, TLS; messages that do not fit a socket's buffer are an error. `client`
//! has all of that, at a kilobyte a connection.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::mpsc::{self, TryRecvError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use mio::event::Event;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token, Waker};
use serde_json::{Value, json};
use slab::Slab;

use crate::client::lines_of_input;
use crate::origin::listening;
use crate::pattern;
use crate::ws;

const WAKER: Token = Token(usize::MAX);
const LISTENER: Token = Token(usize::MAX - 1);
const READ_BYTES: usize = 16 * 1024;
const HEAD_MAX: usize = 16 * 1024;
/// How often a wait for an end looks at the clock.
const LOOK: Duration = Duration::from_millis(200);
/// Ports that clients bind, below those that the kernel chooses from on any usual host: a port that
/// was bound before it connects is of no use to connections that were not, whatever their address,
/// so that clients would take the ports of the proxy.
const PORTS: std::ops::Range<u16> = 2_048..32_768;

#[derive(clap::Args)]
pub struct Options {
    /// Be an origin on this address.
    #[arg(long, conflicts_with_all = ["target", "source"])]
    listen: Option<SocketAddr>,
    /// Be clients of this address.
    #[arg(long, required_unless_present = "listen", requires = "source")]
    target: Option<SocketAddr>,
    /// Address that they come from, for nobody else's use: 30,720 ports.
    #[arg(long)]
    source: Option<Ipv4Addr>,
}

/// Says where it listens, if it does, and obeys until standard input ends.
pub fn run(options: &Options) -> anyhow::Result<()> {
    let poll = Poll::new()?;
    let lines = lines_of_input(Waker::new(poll.registry(), WAKER)?);
    let listener =
        options.listen.map(|addr| listening(addr, poll.registry(), LISTENER)).transpose()?;
    if let Some(listener) = &listener {
        println!("{}", json!({ "listen": listener.local_addr()?.to_string() }));
    }
    let route = options.target.zip(options.source);
    Crowd::new(poll, listener, route).serve(&lines)
}

struct Crowd {
    poll: Poll,
    listener: Option<TcpListener>,
    /// Target and source of clients.
    route: Option<(SocketAddr, Ipv4Addr)>,
    conns: Slab<Conn>,
    /// Beginnings of heads and frames: there are some while a handshake is under way, and hardly
    /// any else.
    begun: HashMap<usize, Vec<u8>>,
    /// Messages whose echo is awaited.
    asked: HashMap<usize, Instant>,
    goal: Option<Goal>,
    connecting: usize,
    next_port: u16,
    round: u64,
    tally: Tally,
}

/// One connection: a descriptor and what it is about.
struct Conn {
    stream: TcpStream,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// Of a client that has not sent its request yet.
    Connecting,
    /// A request or its answer is awaited.
    Head,
    Open,
    /// A Close came and was answered; its code, 1005 where it had none.
    Closed(u16),
}

#[cfg(not(debug_assertions))]
const _: () = assert!(size_of::<Conn>() == 8);

/// What the last line waits for.
enum Goal {
    Open { wanted: usize, at_once: usize },
    Echo { len: usize, left: Vec<usize>, at_once: usize },
    End { until: Instant },
}

#[derive(Default)]
struct Tally {
    opened: u64,
    failed: u64,
    last_failure: String,
    pings: u64,
    echoed: u64,
    wrong_bytes: u64,
    protocol_errors: u64,
    /// By close code; 1006 where none came.
    ended: BTreeMap<u16, u64>,
    /// Of the last `echo`, in microseconds.
    echo_us: Vec<u32>,
}

impl Crowd {
    fn new(
        poll: Poll,
        listener: Option<TcpListener>,
        route: Option<(SocketAddr, Ipv4Addr)>,
    ) -> Crowd {
        Crowd {
            poll,
            listener,
            route,
            conns: Slab::new(),
            begun: HashMap::new(),
            asked: HashMap::new(),
            goal: None,
            connecting: 0,
            next_port: PORTS.start,
            round: 0,
            tally: Tally::default(),
        }
    }

    fn serve(mut self, lines: &mpsc::Receiver<String>) -> anyhow::Result<()> {
        let mut events = Events::with_capacity(512);
        let mut buffer = vec![0; READ_BYTES];
        loop {
            let wait = matches!(self.goal, Some(Goal::End { .. })).then_some(LOOK);
            match self.poll.poll(&mut events, wait) {
                Err(e) if e.kind() != ErrorKind::Interrupted => return Err(e.into()),
                _ => {}
            }
            for event in &events {
                match event.token() {
                    WAKER => {}
                    LISTENER => self.accept_all()?,
                    Token(key) => self.advance(key, event, &mut buffer),
                }
            }
            self.pursue()?;
            while self.goal.is_none() {
                match lines.try_recv() {
                    Ok(line) => self.obey(&line)?,
                    Err(TryRecvError::Empty) => break,
                    Err(TryRecvError::Disconnected) => return Ok(()),
                }
                self.pursue()?;
            }
        }
    }

    fn obey(&mut self, line: &str) -> anyhow::Result<()> {
        let mut words = line.split(' ');
        let verb = words.next().unwrap_or_default();
        let numbers: Vec<usize> = words
            .map(|word| word.parse().with_context(|| format!("no number in {line:?}")))
            .collect::<Result<_, _>>()?;
        self.goal = match (verb, &numbers[..]) {
            ("open", &[wanted, at_once]) => {
                self.tally.failed = 0;
                Some(Goal::Open { wanted, at_once })
            }
            ("echo", &[len, count, at_once]) => {
                self.round += 1;
                self.tally.echo_us.clear();
                let open = self.conns.iter().filter(|(_, conn)| conn.state == State::Open);
                let left = open.map(|(key, _)| key).take(count).collect();
                Some(Goal::Echo { len, left, at_once })
            }
            ("await-end", &[seconds]) => {
                let until = Instant::now() + Duration::from_secs(seconds as u64);
                Some(Goal::End { until })
            }
            ("status", []) => None,
            _ => bail!("unknown line {line:?}; known are open, echo, await-end and status"),
        };
        if self.goal.is_none() { self.report() } else { Ok(()) }
    }

    /// Goes on with what the last line wants, and answers it when that is done.
    fn pursue(&mut self) -> anyhow::Result<()> {
        let done = match &mut self.goal {
            None => return Ok(()),
            Some(Goal::Open { wanted, at_once }) => {
                let (wanted, at_once) = (*wanted, *at_once);
                while self.conns.len() < wanted
                    && self.connecting < at_once
                    && self.tally.failed == 0
                {
                    self.connect()?;
                }
                self.connecting == 0
            }
            Some(Goal::Echo { len, left, at_once }) => {
                let len = *len;
                let room = at_once.saturating_sub(self.asked.len()).min(left.len());
                for key in left.split_off(left.len() - room) {
                    self.ask(key, len);
                }
                self.asked.is_empty() && self.is_asked_out()
            }
            Some(Goal::End { until }) => self.conns.is_empty() || Instant::now() >= *until,
        };
        if done {
            self.goal = None;
            self.report()?;
        }
        Ok(())
    }

    /// Whether nobody is left to be asked.
    fn is_asked_out(&self) -> bool {
        matches!(&self.goal, Some(Goal::Echo { left, .. }) if left.is_empty())
    }

    fn report(&mut self) -> anyhow::Result<()> {
        let tally = &mut self.tally;
        let ended: Value = tally.ended.iter().map(|(c, n)| (c.to_string(), json!(n))).collect();
        tally.echo_us.sort_unstable();
        let at = |share: f64| {
            let last = tally.echo_us.len().checked_sub(1)?;
            Some(tally.echo_us[(last as f64 * share) as usize])
        };
        let figures = json!({
            "open": self.conns.len() - self.connecting,
            "opened": tally.opened,
            "failed": tally.failed,
            "last_failure": tally.last_failure,
            "pings": tally.pings,
            "echoed": tally.echoed,
            "wrong_bytes": tally.wrong_bytes,
            "protocol_errors": tally.protocol_errors,
            "ended": ended,
            "echo_us": { "p50": at(0.5), "p99": at(0.99), "max": at(1.0) },
        });
        let mut out = io::stdout().lock();
        writeln!(out, "{figures}")?;
        Ok(out.flush()?)
    }

    fn connect(&mut self) -> anyhow::Result<()> {
        let (target, source) = self.route.context("an origin opens no connections")?;
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)
            .context("more connections need more descriptors: raise `ulimit -n`")?;
        socket.set_nonblocking(true)?;
        socket.set_tcp_nodelay(true)?;
        // What an earlier run left in TIME_WAIT does not matter: the target's port is another.
        socket.set_reuse_address(true)?;
        loop {
            anyhow::ensure!(PORTS.contains(&self.next_port), "{source} has no port left");
            let from = SocketAddr::from((source, self.next_port));
            self.next_port += 1;
            match socket.bind(&from.into()) {
                Ok(()) => break,
                // Somebody listens there on all addresses.
                Err(e) if e.kind() == ErrorKind::AddrInUse => {}
                Err(e) => bail!("bind {from}: {e}"),
            }
        }
        match socket.connect(&target.into()) {
            Err(e) if e.raw_os_error() != Some(libc::EINPROGRESS) => bail!("connect: {e}"),
            _ => {}
        }
        self.insert(TcpStream::from_std(socket.into()), State::Connecting)?;
        self.connecting += 1;
        Ok(())
    }

    fn accept_all(&mut self) -> anyhow::Result<()> {
        let Some(listener) = self.listener.take() else { return Ok(()) };
        loop {
            match listener.accept() {
                Ok((stream, _)) => {
                    stream.set_nodelay(true)?;
                    self.insert(stream, State::Head)?;
                }
                Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                Err(e) if e.kind() == ErrorKind::ConnectionAborted => {}
                Err(e) => return Err(e).context("accept"),
            }
        }
        self.listener = Some(listener);
        Ok(())
    }

    fn insert(&mut self, mut stream: TcpStream, state: State) -> io::Result<()> {
        let entry = self.conns.vacant_entry();
        // An origin never waits for room to write, so it need not be told of it.
        let interest = match state {
            State::Connecting => Interest::READABLE | Interest::WRITABLE,
            _ => Interest::READABLE,
        };
        self.poll.registry().register(&mut stream, Token(entry.key()), interest)?;
        entry.insert(Conn { stream, state });
        Ok(())
    }

    fn ask(&mut self, key: usize, len: usize) {
        let mut message = Vec::with_capacity(len + 14);
        let seed = self.seed(key);
        ws::masked_frame(&mut message, len, mask(key), |out| pattern::append(seed, 0, len, out));
        let Some(conn) = self.conns.get_mut(key) else { return };
        match send(&mut conn.stream, &message) {
            Ok(()) => {
                self.asked.insert(key, Instant::now());
            }
            Err(why) => self.end(key, &why),
        }
    }

    /// Of the message that a connection carries in this round.
    fn seed(&self, key: usize) -> u64 {
        pattern::seed(key as u64 * 2_654_435_761 + self.round)
    }

    fn advance(&mut self, key: usize, event: &Event, buffer: &mut [u8]) {
        let Some(conn) = self.conns.get_mut(key) else { return };
        if conn.state == State::Connecting {
            if !event.is_writable() {
                return;
            }
            conn.state = State::Head;
            if let Err(why) = send(&mut conn.stream, request(key).as_bytes()) {
                return self.end(key, &why);
            }
        }
        let to_the_end = event.is_read_closed() || event.is_error();
        while let Some(conn) = self.conns.get_mut(key) {
            let count = match conn.stream.read(buffer) {
                Ok(0) => return self.end(key, "closed by the other side"),
                Ok(count) => count,
                Err(e) if e.kind() == ErrorKind::WouldBlock => return,
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                Err(e) => return self.end(key, &e.to_string()),
            };
            if let Err(why) = self.take(key, &mut buffer[..count]) {
                self.tally.protocol_errors += 1;
                return self.end(key, &why);
            }
            if count < buffer.len() && !to_the_end {
                return;
            }
        }
    }

    /// Does what whole heads and frames say, and keeps the beginning of a further one.
    fn take(&mut self, key: usize, bytes: &mut [u8]) -> Result<(), String> {
        let mut joined = self.begun.remove(&key);
        let mut rest: &mut [u8] = match &mut joined {
            None => bytes,
            Some(begun) => {
                begun.extend_from_slice(bytes);
                begun
            }
        };
        while !rest.is_empty() {
            let used = match self.conns[key].state {
                State::Head => self.head(key, rest)?,
                _ => self.frame(key, rest)?,
            };
            if used == 0 {
                self.begun.insert(key, rest.to_vec());
                break;
            }
            rest = &mut rest[used..];
        }
        Ok(())
    }

    /// The length of the head that `bytes` begin with, 0 if it is not whole.
    fn head(&mut self, key: usize, bytes: &[u8]) -> Result<usize, String> {
        let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
            return match bytes.len() > HEAD_MAX {
                true => Err(format!("a head of more than {HEAD_MAX} bytes")),
                false => Ok(0),
            };
        };
        let head = String::from_utf8_lossy(&bytes[..end]);
        if self.route.is_some() {
            if !ws::is_accepted(&head, &ws::key(key as u64)) {
                return Err(head.lines().next().unwrap_or_default().to_owned());
            }
            self.connecting -= 1;
        } else {
            let answer = ws::answer(&head).ok_or("a request without a key")?;
            send(&mut self.conns[key].stream, answer.as_bytes())?;
        }
        self.conns[key].state = State::Open;
        self.tally.opened += 1;
        Ok(end + 4)
    }

    /// The length of the frame that `bytes` begin with, 0 if it is not whole.
    fn frame(&mut self, key: usize, bytes: &mut [u8]) -> Result<usize, String> {
        let is_client = self.route.is_some();
        let Some(header) = Header::read(bytes)? else { return Ok(0) };
        if header.mask.is_some() == is_client {
            return Err("clients mask and servers do not: this frame has it the other way".into());
        }
        let all = header.bytes + header.payload;
        let Some(payload) = bytes.get_mut(header.bytes..all) else { return Ok(0) };
        if let Some(mask) = header.mask {
            ws::apply_mask(payload, mask, 0);
        }
        let own_mask = is_client.then(|| mask(key));
        let answers = match header.opcode {
            ws::PING => {
                self.tally.pings += 1;
                Some(ws::PONG)
            }
            ws::CLOSE => {
                let code = payload.first_chunk().map_or(1005, |code| u16::from_be_bytes(*code));
                self.conns[key].state = State::Closed(code);
                Some(ws::CLOSE)
            }
            ws::BINARY if is_client => {
                self.compare(key, payload);
                None
            }
            ws::BINARY => Some(ws::BINARY),
            other => return Err(format!("nobody sends frames of opcode {other} here")),
        };
        if let Some(opcode) = answers {
            let mut answer = Vec::with_capacity(payload.len() + 14);
            ws::frame(&mut answer, opcode, payload, own_mask);
            send(&mut self.conns[key].stream, &answer)?;
        }
        Ok(all)
    }

    fn compare(&mut self, key: usize, echo: &[u8]) {
        let wrong = pattern::wrong_bytes(self.seed(key), 0, echo);
        match self.asked.remove(&key) {
            Some(since) => {
                let us = u32::try_from(since.elapsed().as_micros()).unwrap_or(u32::MAX);
                self.tally.echo_us.push(us);
                self.tally.echoed += 1;
                self.tally.wrong_bytes += wrong;
            }
            // Nobody asked for it.
            None => self.tally.wrong_bytes += echo.len() as u64,
        }
    }

    fn end(&mut self, key: usize, why: &str) {
        let conn = self.conns.remove(key);
        self.begun.remove(&key);
        self.asked.remove(&key);
        let code = match conn.state {
            State::Closed(code) => code,
            State::Open => 1006,
            State::Connecting | State::Head => {
                self.connecting -= usize::from(self.route.is_some());
                self.tally.failed += 1;
                self.tally.last_failure = why.to_owned();
                return;
            }
        };
        *self.tally.ended.entry(code).or_default() += 1;
    }
}

/// Of a whole message in one frame, or a control frame.
struct Header {
    opcode: u8,
    bytes: usize,
    payload: usize,
    mask: Option<[u8; 4]>,
}

impl Header {
    /// `None` while it is not whole.
    fn read(bytes: &[u8]) -> Result<Option<Header>, String> {
        let &[first, second, ..] = bytes else { return Ok(None) };
        if first & 0xf0 != 0x80 {
            return Err(format!(
                "frame begins with {first:#04x}: a part of a message, or RSV bits"
            ));
        }
        let (payload, at) = match second & 0x7f {
            127 => return Err("a message of more than 64 KiB".into()),
            126 => match bytes.get(2..4) {
                Some(length) => (usize::from(length[0]) << 8 | usize::from(length[1]), 4),
                None => return Ok(None),
            },
            short => (usize::from(short), 2),
        };
        let masked = second & 0x80 != 0;
        let mask = bytes.get(at..).and_then(|rest| rest.first_chunk()).copied();
        if masked && mask.is_none() {
            return Ok(None);
        }
        let bytes = at + if masked { 4 } else { 0 };
        Ok(Some(Header { opcode: first & 0x0f, bytes, payload, mask: mask.filter(|_| masked) }))
    }
}

/// All of it, at once: what is sent here fits an empty socket.
fn send(stream: &mut TcpStream, bytes: &[u8]) -> Result<(), String> {
    match stream.write(bytes) {
        Ok(count) if count == bytes.len() => Ok(()),
        Ok(_) => Err("a message did not fit the socket's buffer".into()),
        Err(e) => Err(e.to_string()),
    }
}

fn request(key: usize) -> String {
    ws::request("/echo", "load.test", &ws::key(key as u64))
}

fn mask(key: usize) -> [u8; 4] {
    (key as u32).wrapping_mul(2_654_435_761).wrapping_add(0x0101_0101).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_read_when_it_is_whole_and_not_before() {
        for (len, mask) in
            [(0, None), (125, Some([1, 2, 3, 4])), (126, None), (60_000, Some([0; 4]))]
        {
            let mut bytes = Vec::new();
            ws::frame(&mut bytes, ws::BINARY, &vec![7; len], mask);
            let header = Header::read(&bytes).unwrap().expect("it is whole");
            assert_eq!((header.opcode, header.payload, header.mask), (ws::BINARY, len, mask));
            assert_eq!(header.bytes + header.payload, bytes.len());
            for cut in 0..header.bytes {
                assert!(Header::read(&bytes[..cut]).unwrap().is_none(), "{len} {cut}");
            }
        }
    }

    #[test]
    fn parts_of_messages_and_long_ones_are_refused() {
        for bytes in [[0x02, 5], [0xc2, 5], [0x82, 127]] {
            assert!(Header::read(&bytes).is_err(), "{bytes:?}");
        }
    }
}
