//! A worker thread on loopback, real sockets on both sides. Not here: the command line and
//! configuration files (`tests/`).

mod drain;
mod own_answers;
mod plain;
mod tls;
mod upgrades;

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use super::{Worker, WorkerConfig, start};
use crate::limits;
use crate::net::listener::listen;
use crate::net::probe::{Capacity, FileKind};
use crate::snapshot::domain::{AccessLog, DomainHttp, SendProxy};
use crate::snapshot::{
    Balance, ClientAuth, Command, Domain, Endpoint, HeartbeatMode, Hosts, Http, Origin, OriginRule,
    OriginScheme, Snapshot, SnapshotCell, Transport, WebSocket,
};
use crate::stats::admission::Allowance;
use crate::stats::{Event, Refusal, Stats};

const HOST: &str = "live.example.com";
const WAIT: Duration = Duration::from_secs(10);

// === The edge ===

struct Edge {
    addr: SocketAddr,
    stats: Arc<Stats>,
    events: rtrb::Consumer<Event>,
    worker: Worker,
}

fn domain(origins: &[SocketAddr]) -> Domain {
    let origin = |(i, addr): (usize, &SocketAddr)| {
        Arc::new(Origin {
            address: addr.ip().to_string().into(),
            // In the order given.
            priority: 20 + i as u16,
            weight: 10,
            endpoints: Box::new([Endpoint { addr: *addr, state: Arc::default() }]),
            tls_endpoints: Box::default(),
            former: Box::default(),
        })
    };
    Domain {
        name: HOST.into(),
        slot: 0,
        websocket: WebSocket {
            enabled: true,
            heartbeat: limits::DEFAULT_HEARTBEAT,
            heartbeat_mode: HeartbeatMode::Active,
            origin_scheme: OriginScheme::Follow,
            origin_rule: OriginRule::Any,
            strict_frames: true,
            max_frame: limits::DEFAULT_FRAME_MAX,
            max_message: limits::DEFAULT_MESSAGE_MAX,
            messages_per_second: None,
            max_lifetime: None,
            stalled_write: limits::DEFAULT_STALLED_WRITE,
            allowance: Allowance::default(),
        },
        http: DomainHttp {
            connect_timeout: limits::DEFAULT_CONNECT_TIMEOUT,
            response_timeout: limits::DEFAULT_RESPONSE_TIMEOUT,
            body_timeout: limits::DEFAULT_BODY_TIMEOUT,
            max_body: 1 << 30,
            host: None,
            send_proxy: SendProxy::Off,
        },
        origins: origins.iter().enumerate().map(origin).collect(),
        origin_tls: None,
        client_auth: ClientAuth::Off,
        balance: Balance::Weighted,
        close_on_origin_down: None,
        access: Default::default(),
        log: AccessLog { enabled: true, interval: None },
    }
}

fn edge(domain: Domain) -> Edge {
    edge_with(domain, Http::default())
}

fn edge_with(domain: Domain, http: Http) -> Edge {
    let hosts = Hosts::new([Arc::new(domain)]);
    edge_of(Transport::Plain, Snapshot { hosts, http, ..Snapshot::default() })
}

fn edge_of(transport: Transport, snapshot: Snapshot) -> Edge {
    let loopback = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let listeners = listen(loopback, Vec::new(), 1).unwrap().remove(0);
    let addr = listeners[0].local_addr().unwrap();
    let listeners = listeners.into_iter().map(|l| (transport, l)).collect();
    let stats = Stats::new(1);
    let (log, events) = rtrb::RingBuffer::new(limits::LOG_RING_EVENTS);
    let worker = start(WorkerConfig {
        core: 0,
        cpu: None,
        listeners,
        snapshot: SnapshotCell::new(snapshot),
        stats: Arc::clone(&stats),
        log,
        capacity: Capacity { files: FileKind::Registered, tunnels: 64, setups: 64 },
        boot: Instant::now(),
    })
    .unwrap();
    Edge { addr, stats, events, worker }
}

impl Edge {
    fn client(&self) -> Client {
        Client::connect(self.addr)
    }

    /// Begins a drain; what comes back is told when it is over.
    fn drain(&self) -> Receiver<()> {
        let (drained, done) = channel();
        self.worker.handle.send(Command::Drain {
            window: WAIT,
            code: 1001,
            reason: "bye".into(),
            reply: Box::new(move |()| drained.send(()).unwrap()),
        });
        done
    }

    /// Status, refusal and target of the next plain request in the log.
    fn logged(&mut self) -> (u16, Option<Refusal>, String) {
        let until = Instant::now() + WAIT;
        loop {
            match self.events.pop() {
                Ok(Event::Request(r)) => {
                    return (r.status, r.refusal.map(|(why, _)| why), r.target.into());
                }
                Ok(other) => panic!("{other:?}"),
                Err(_) if Instant::now() > until => panic!("nothing was logged"),
                Err(_) => thread::yield_now(),
            }
        }
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        self.worker.handle.send(Command::Stop);
    }
}

// === Peers ===

struct Client<S = TcpStream>(BufReader<S>);

#[derive(Debug, PartialEq, Eq)]
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Client {
    fn connect(addr: SocketAddr) -> Client {
        let stream = TcpStream::connect(addr).unwrap();
        Client::over(stream)
    }

    fn over(stream: TcpStream) -> Client {
        stream.set_read_timeout(Some(WAIT)).unwrap();
        stream.set_write_timeout(Some(WAIT)).unwrap();
        Client(BufReader::new(stream))
    }
}

impl<S: Read + Write> Client<S> {
    fn send(&mut self, text: &str) -> &mut Client<S> {
        self.0.get_mut().write_all(text.as_bytes()).unwrap();
        self
    }

    fn head(&mut self) -> String {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            let before = head.len();
            self.0.read_line(&mut head).unwrap();
            assert_ne!(head.len(), before, "the connection ended within a head: {head:?}");
        }
        head
    }

    fn exactly(&mut self, n: usize) -> String {
        let mut body = vec![0; n];
        self.0.read_exact(&mut body).unwrap();
        String::from_utf8(body).unwrap()
    }

    fn chunked(&mut self) -> String {
        let mut body = String::new();
        loop {
            let mut line = String::new();
            self.0.read_line(&mut line).unwrap();
            let n = usize::from_str_radix(line.trim_end(), 16).unwrap();
            if n == 0 {
                let mut trailers = String::new();
                while !trailers.ends_with("\r\n\r\n") && trailers != "\r\n" {
                    assert_ne!(self.0.read_line(&mut trailers).unwrap(), 0);
                }
                if trailers != "\r\n" {
                    body.push('|');
                    body.push_str(trailers.trim_end());
                }
                return body;
            }
            body.push_str(&self.exactly(n));
            assert_eq!(self.exactly(2), "\r\n");
        }
    }

    fn answer(&mut self) -> Answer {
        let head = self.head();
        let status: u16 = head.split(' ').nth(1).unwrap().parse().unwrap();
        let body = match (field(&head, "content-length"), field(&head, "transfer-encoding")) {
            (Some(n), None) => self.exactly(n.parse().unwrap()),
            (None, Some("chunked")) => self.chunked(),
            (None, None) if matches!(status, 100..200 | 204 | 304) => String::new(),
            (None, None) => self.rest(),
            both => panic!("{both:?}"),
        };
        Answer { status, head, body }
    }

    fn rest(&mut self) -> String {
        let mut rest = String::new();
        self.0.read_to_string(&mut rest).unwrap();
        rest
    }

    fn ended(&mut self) -> bool {
        self.rest().is_empty()
    }
}

fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then_some(value.trim())
    })
}

/// An origin whose connections are each handled by `serve`, one thread per connection.
fn origin(serve: impl Fn(Client) + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let serve = Arc::new(serve);
    thread::spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            let serve = Arc::clone(&serve);
            thread::spawn(move || serve(Client::over(stream)));
        }
    });
    addr
}

/// An origin that hands each request head to the test and answers it with a fixed text.
fn scripted(answer: &'static str) -> (SocketAddr, Receiver<String>) {
    let (heads, seen) = channel();
    (origin(move |peer| follow(peer, answer, |head| heads.send(head).is_ok())), seen)
}

/// Answers every request, until `told` of one says that this is enough.
fn follow<S: Read + Write>(mut peer: Client<S>, answer: &str, told: impl Fn(String) -> bool) {
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if peer.0.read_line(&mut head).unwrap_or(0) == 0 {
                return;
            }
        }
        if let Some(n) = field(&head, "content-length") {
            let body = peer.exactly(n.parse().unwrap());
            head.push_str(&body);
        } else if field(&head, "transfer-encoding").is_some() {
            let body = peer.chunked();
            head.push_str(&body);
        }
        if !told(head) {
            return;
        }
        peer.send(answer);
    }
}

fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: {HOST}\r\n\r\n")
}

fn refused_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}
