//! `origin`: a server for the far side. Accepts every upgrade and echoes messages as they stream
//! in, of any size, or under `/firehose` pushes messages for as long as they are read. Not here:
//! any check; the client makes them.

use std::io;
use std::net::{Shutdown, SocketAddr};

use anyhow::Context as _;
use mio::net::TcpListener;
use mio::{Events, Interest, Poll, Registry, Token};
use slab::Slab;

use crate::link::{Drain, Got, Link, READ_BYTES};
use crate::ws::{self, Piece, Reader};

/// Tells an origin's tokens from a client's on one poll.
pub const MARK: usize = 1 << 62;
const LISTENER: Token = Token(MARK | (MARK - 1));
const FIREHOSE_PAYLOAD: [u8; 1024] = [0x5a; 1024];

#[derive(clap::Args)]
pub struct Options {
    /// Where to listen; port 0 lets the kernel choose.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
}

enum State {
    Head(Vec<u8>),
    Echo(Reader),
    Firehose,
    /// Our half is closed; the peer's end is awaited.
    Closing,
}

struct Peer {
    link: Link,
    state: State,
}

/// Serves for ever. Prints the address that it listens on.
pub fn run(options: &Options) -> anyhow::Result<()> {
    let mut poll = Poll::new()?;
    let mut server = Server::listen(options.listen, poll.registry())?;
    println!("{}", server.listener.local_addr()?);
    let mut events = Events::with_capacity(1024);
    let mut buffer = vec![0; READ_BYTES];
    loop {
        if let Err(e) = poll.poll(&mut events, None)
            && e.kind() != io::ErrorKind::Interrupted
        {
            return Err(e.into());
        }
        for event in &events {
            server.advance(event.token(), Drain::after(event), poll.registry(), &mut buffer)?;
        }
    }
}

/// An origin on somebody's poll: its tokens have [`MARK`] set.
pub struct Server {
    listener: TcpListener,
    peers: Slab<Peer>,
}

impl Server {
    pub fn listen(addr: SocketAddr, registry: &Registry) -> anyhow::Result<Server> {
        let domain = socket2::Domain::for_address(addr);
        let socket = socket2::Socket::new(domain, socket2::Type::STREAM, None)?;
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&addr.into()).with_context(|| format!("bind {addr}"))?;
        socket.listen(4096)?;
        let mut listener = TcpListener::from_std(socket.into());
        registry.register(&mut listener, LISTENER, Interest::READABLE)?;
        Ok(Server { listener, peers: Slab::new() })
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
        let key = token.0 & !MARK;
        if let Some(peer) = self.peers.get_mut(key)
            && peer.pump(drain, buffer).is_err()
        {
            self.peers.remove(key);
        }
        Ok(())
    }

    fn accept_all(&mut self, registry: &Registry) -> io::Result<()> {
        loop {
            match self.listener.accept() {
                Ok((mut stream, _)) => {
                    stream.set_nodelay(true)?;
                    let entry = self.peers.vacant_entry();
                    let interest = Interest::READABLE | Interest::WRITABLE;
                    registry.register(&mut stream, Token(entry.key() | MARK), interest)?;
                    entry.insert(Peer { link: Link::new(stream), state: State::Head(Vec::new()) });
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                // One connection that failed before it was taken is no reason to stop.
                Err(e) if e.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(e) => return Err(e),
            }
        }
    }
}

/// The connection is over.
struct Over;

impl From<io::Error> for Over {
    fn from(_: io::Error) -> Over {
        Over
    }
}

impl Peer {
    /// Reads and answers for as long as there is something to read and room to answer.
    fn pump(&mut self, drain: Drain, buffer: &mut [u8]) -> Result<(), Over> {
        while self.link.flush()? {
            if matches!(self.state, State::Firehose) {
                ws::frame(self.link.out(), ws::BINARY, &FIREHOSE_PAYLOAD, None);
                continue;
            }
            match self.link.read(buffer)? {
                Got::Later => return Ok(()),
                Got::End => return Err(Over),
                Got::Bytes { count, drained } => {
                    self.take(&mut buffer[..count])?;
                    let echoes = matches!(self.state, State::Echo(_));
                    if echoes && drain.is_done(drained) {
                        self.link.flush()?;
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }

    fn take(&mut self, bytes: &mut [u8]) -> Result<(), Over> {
        match &mut self.state {
            State::Head(head) => {
                head.extend_from_slice(bytes);
                let Some(end) = head.windows(4).position(|w| w == b"\r\n\r\n") else {
                    return Ok(());
                };
                let mut rest = head.split_off(end + 4);
                let head = String::from_utf8_lossy(head).into_owned();
                self.answer(&head);
                if rest.is_empty() { Ok(()) } else { self.take(&mut rest) }
            }
            State::Echo(reader) => {
                let (out, mut closing) = (self.link.out(), false);
                let fed = reader.feed(bytes, |piece| match piece {
                    Piece::Start { fin, opcode, len } => ws::header(out, fin, opcode, len, None),
                    Piece::Data(bytes) => out.extend_from_slice(bytes),
                    Piece::End { .. } => {}
                    Piece::Control { opcode: ws::PING, payload } => {
                        ws::frame(out, ws::PONG, payload, None);
                    }
                    Piece::Control { opcode: ws::CLOSE, payload } => {
                        ws::frame(out, ws::CLOSE, payload, None);
                        closing = true;
                    }
                    Piece::Control { .. } => {}
                });
                if closing {
                    self.link.flush()?;
                    self.link.stream.shutdown(Shutdown::Write)?;
                    self.state = State::Closing;
                }
                fed.map_err(|_| Over)
            }
            State::Firehose | State::Closing => Ok(()),
        }
    }

    fn answer(&mut self, head: &str) {
        let key = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("sec-websocket-key").then(|| value.trim())
        });
        let Some(key) = key else {
            self.link.out().extend_from_slice(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
            self.state = State::Head(Vec::new());
            return;
        };
        let answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {}\r\n\r\n",
            ws::accept_value(key)
        );
        self.link.out().extend_from_slice(answer.as_bytes());
        let firehose = head.split(' ').nth(1).is_some_and(|path| path.starts_with("/firehose"));
        self.state = if firehose { State::Firehose } else { State::Echo(Reader::of_client()) };
    }
}
