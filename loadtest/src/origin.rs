//! `origin`: a server for the far side, for any number of clients.
//!
//! | path | is answered with |
//! |---|---|
//! | `/push?bytes=LEN&interval_ms=I`, upgraded | LEN bytes every I ms; with 0 when `push` says so |
//! | `/firehose`, upgraded | messages of 1 KiB for as long as they are read |
//! | any other, upgraded | every message echoed as it streams in, of any size |
//! | `/bytes/LEN` | a body of LEN bytes |
//! | `/counts` | what it has counted, as JSON |
//! | any other | `ok` |
//!
//! Not here: any check; the client makes them.

mod peer;
pub mod pusher;

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use mio::net::TcpListener;
use mio::{Events, Interest, Poll, Registry, Token};
use serde_json::{Value, json};
use slab::Slab;

use crate::link::{Drain, READ_BYTES};
use crate::timer::{Timer, earlier};
use peer::{Peer, Pumped};
use pusher::Pusher;

/// Tells an origin's tokens from a client's on one poll.
pub const MARK: usize = 1 << 62;
const LISTENER: Token = Token(MARK | (MARK - 1));
/// Of an origin on a poll of its own.
const TIMER: Token = Token(0);

#[derive(clap::Args)]
pub struct Options {
    /// Where to listen; port 0 lets the kernel choose.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
}

/// Serves for ever. Prints the address that it listens on.
pub fn run(options: &Options) -> anyhow::Result<()> {
    let mut poll = Poll::new()?;
    let mut server = Server::listen(options.listen, poll.registry())?;
    let mut timer = Timer::new(poll.registry(), TIMER)?;
    println!("{}", server.listener.local_addr()?);
    let mut events = Events::with_capacity(1024);
    let mut buffer = vec![0; READ_BYTES];
    loop {
        timer.wake_at(server.wakes_at())?;
        if let Err(e) = poll.poll(&mut events, None)
            && e.kind() != io::ErrorKind::Interrupted
        {
            return Err(e.into());
        }
        for event in events.iter().filter(|event| event.token() != TIMER) {
            server.advance(event.token(), Drain::after(event), poll.registry(), &mut buffer)?;
        }
        server.turn(&mut buffer);
    }
}

/// A listener on somebody's poll.
pub fn listening(
    addr: SocketAddr,
    registry: &Registry,
    token: Token,
) -> anyhow::Result<TcpListener> {
    let domain = socket2::Domain::for_address(addr);
    let socket = socket2::Socket::new(domain, socket2::Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into()).with_context(|| format!("bind {addr}"))?;
    socket.listen(4096)?;
    let mut listener = TcpListener::from_std(socket.into());
    registry.register(&mut listener, token, Interest::READABLE)?;
    Ok(listener)
}

/// An origin on somebody's poll: its tokens have [`MARK`] set.
pub struct Server {
    listener: TcpListener,
    peers: Slab<Peer>,
    /// Peers that may have more to read or to write.
    again: Vec<usize>,
    pusher: Pusher,
    counts: Counts,
}

#[derive(Default)]
pub struct Counts {
    accepted: u64,
    pushed: u64,
    /// Pushes that a peer did not get since it had not read those before.
    skipped: u64,
}

impl Server {
    pub fn listen(addr: SocketAddr, registry: &Registry) -> anyhow::Result<Server> {
        Ok(Server {
            listener: listening(addr, registry, LISTENER)?,
            peers: Slab::new(),
            again: Vec::new(),
            pusher: Pusher::default(),
            counts: Counts::default(),
        })
    }

    /// Something happened to `token`, one of ours.
    pub fn advance(
        &mut self,
        token: Token,
        drain: Drain,
        registry: &Registry,
        buffer: &mut [u8],
    ) -> io::Result<()> {
        if token == LISTENER {
            return self.accept_all(registry);
        }
        self.pump(token.0 & !MARK, drain, buffer);
        Ok(())
    }

    /// Goes on with what was left and pushes what is due; once in every turn of the loop.
    pub fn turn(&mut self, buffer: &mut [u8]) {
        for key in std::mem::take(&mut self.again) {
            self.pump(key, Drain::UntilEnd, buffer);
        }
        self.pusher.push_due(Instant::now(), &mut self.peers, &mut self.counts);
    }

    /// When the next turn has to be, whatever happens.
    pub fn wakes_at(&self) -> Option<Instant> {
        let now = (!self.again.is_empty()).then(Instant::now);
        earlier(now, self.pusher.wakes_at())
    }

    /// Pushes to those who wait for being told.
    pub fn push(&mut self, len: usize, interval: Duration) -> anyhow::Result<()> {
        self.pusher.begin(len, interval)
    }

    pub fn stop_pushing(&mut self) {
        self.pusher.stop();
    }

    pub fn counts(&self) -> Value {
        json!({
            "open": self.peers.len(),
            "accepted": self.counts.accepted,
            "pushed": self.counts.pushed,
            "skipped": self.counts.skipped,
        })
    }

    fn pump(&mut self, key: usize, drain: Drain, buffer: &mut [u8]) {
        let Some(peer) = self.peers.get_mut(key) else { return };
        let pumped = peer.pump(drain, buffer);
        match pumped {
            Ok(Pumped::Dry) => {}
            Ok(Pumped::More) => self.again.push(key),
            Ok(Pumped::Subscribed { bytes, interval }) => {
                self.pusher.subscribe(key, self.peers[key].id, bytes, interval);
                self.again.push(key);
            }
            Ok(Pumped::AskedForCounts) => {
                let body = self.counts().to_string();
                self.peers[key].answer_with(&body);
                self.again.push(key);
            }
            Err(peer::Over) => {
                self.peers.remove(key);
            }
        }
    }

    fn accept_all(&mut self, registry: &Registry) -> io::Result<()> {
        loop {
            match self.listener.accept() {
                Ok((mut stream, _)) => {
                    stream.set_nodelay(true)?;
                    let entry = self.peers.vacant_entry();
                    let interest = Interest::READABLE | Interest::WRITABLE;
                    registry.register(&mut stream, Token(entry.key() | MARK), interest)?;
                    self.counts.accepted += 1;
                    entry.insert(Peer::new(stream, self.counts.accepted));
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                // One connection that failed before it was taken is no reason to stop.
                Err(e) if e.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(e) => return Err(e),
            }
        }
    }
}
