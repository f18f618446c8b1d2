//! Origins that the tests play themselves. A connection counts as one once something was said on
//! it; connections that say nothing (health checks) are dropped here and never seen by a test.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use rustls::ServerConfig;

use super::tls_peer::accept_tls;
use super::{DEADLINE, Frame, Op, Wire, switching};

pub struct Origin {
    pub addr: SocketAddr,
    /// Empty for origins that serve by themselves.
    connections: Mutex<Receiver<Wire>>,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    accepted: AtomicUsize,
    spoken: AtomicUsize,
    silent: AtomicUsize,
    closed: AtomicBool,
    /// How TLS handshakes failed, as rustls says it.
    failures: Mutex<Vec<String>>,
}

impl Counts {
    fn fail(&self, error: &std::io::Error) {
        self.failures.lock().expect("unpoisoned").push(error.to_string());
    }
}

impl Origin {
    /// The test itself takes each connection with [`Origin::accept`].
    pub fn bind() -> Origin {
        Origin::bind_to("127.0.0.1:0")
    }

    pub fn bind_to(addr: &str) -> Origin {
        let listener = TcpListener::bind(addr).unwrap_or_else(|e| panic!("{addr}: {e}"));
        let (send, connections) = channel();
        // The test may be over while a connection still comes in.
        Origin::start(listener, None, connections, move |wire| drop(send.send(wire)))
    }

    /// The same over TLS; a connection counts once its handshake is done.
    pub fn bind_tls(config: ServerConfig) -> Origin {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let (send, connections) = channel();
        let serve = move |wire| drop(send.send(wire));
        Origin::start(listener, Some(config.into()), connections, serve)
    }

    pub fn serving_tls(
        config: ServerConfig,
        serve: impl Fn(Wire) + Send + Sync + 'static,
    ) -> Origin {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        Origin::start(listener, Some(config.into()), channel().1, serve)
    }

    /// Serves each connection with `serve`, on a thread of its own.
    pub fn serving(serve: impl Fn(Wire) + Send + Sync + 'static) -> Origin {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        Origin::start(listener, None, channel().1, serve)
    }

    /// Answers every request with 200 and `text`, keep-alive.
    pub fn answering(text: &'static str) -> Origin {
        Origin::serving(move |mut wire| {
            while let Ok(head) = wire.try_head() {
                wire.body(&head);
                let length = text.len();
                wire.try_send(format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{text}"));
            }
        })
    }

    /// The same, and ends the connection with each answer, so that nothing is pooled.
    pub fn answering_once(text: &'static str) -> Origin {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        Origin::listening(listener, text)
    }

    /// The same on a listener that is there.
    pub fn listening(listener: TcpListener, text: &'static str) -> Origin {
        Origin::start(listener, None, channel().1, move |mut wire| {
            let Ok(head) = wire.try_head() else { return };
            wire.body(&head);
            let length = text.len();
            wire.try_send(format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{text}"
            ));
        })
    }

    /// Accepts every upgrade and sends each frame back, unmasked, until the Close, which it
    /// answers.
    pub fn echoing() -> Origin {
        Origin::serving(echo)
    }

    fn start(
        listener: TcpListener,
        tls: Option<Arc<ServerConfig>>,
        connections: Receiver<Wire>,
        serve: impl Fn(Wire) + Send + Sync + 'static,
    ) -> Origin {
        let addr = listener.local_addr().expect("a bound listener");
        let counts = Arc::new(Counts::default());
        let (shared, serve) = (Arc::clone(&counts), Arc::new(serve));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if shared.closed.load(Ordering::SeqCst) {
                    return;
                }
                shared.accepted.fetch_add(1, Ordering::SeqCst);
                let (shared, serve) = (Arc::clone(&shared), Arc::clone(&serve));
                let tls = tls.clone();
                thread::spawn(move || {
                    if matches!(stream.peek(&mut [0]), Ok(1)) {
                        shared.spoken.fetch_add(1, Ordering::SeqCst);
                        match &tls {
                            None => serve(Wire::new(stream)),
                            Some(config) => match accept_tls(stream, config) {
                                Ok(wire) => serve(wire),
                                Err(e) => shared.fail(&e),
                            },
                        }
                    } else {
                        shared.silent.fetch_add(1, Ordering::SeqCst);
                    }
                });
            }
        });
        Origin { addr, connections: Mutex::new(connections), counts }
    }

    /// The next connection on which the edge said something.
    pub fn accept(&self) -> Wire {
        self.accept_within(DEADLINE)
            .unwrap_or_else(|| panic!("no connection reached the origin {}", self.addr))
    }

    pub fn accept_within(&self, wait: Duration) -> Option<Wire> {
        let receiver = self.connections.lock().unwrap_or_else(|e| e.into_inner());
        receiver.recv_timeout(wait).ok()
    }

    /// Connections so far, health checks included.
    pub fn accepted(&self) -> usize {
        self.counts.accepted.load(Ordering::SeqCst)
    }

    /// Connections so far on which at least one byte came.
    pub fn spoken(&self) -> usize {
        self.counts.spoken.load(Ordering::SeqCst)
    }

    /// How TLS handshakes with the edge failed so far.
    pub fn failures(&self) -> Vec<String> {
        self.counts.failures.lock().expect("unpoisoned").clone()
    }

    /// Waits until every connection made so far has either said something or ended. Only for an
    /// edge that is gone, whose connections are therefore all over.
    pub fn settle(&self) {
        let fence = TcpStream::connect(self.addr).expect("the origin's own listener");
        drop(fence);
        super::eventually("every connection is judged", || {
            let silent = self.counts.silent.load(Ordering::SeqCst);
            (silent > 0 && silent + self.spoken() == self.accepted()).then_some(())
        });
    }

    /// From now on connections are refused; those that are open live on.
    pub fn close(&self) {
        self.counts.closed.store(true, Ordering::SeqCst);
        super::eventually("a closed listener refuses", || {
            TcpStream::connect(self.addr).is_err().then_some(())
        });
    }
}

/// An echo without a library: frames come back exactly as they were sent, only unmasked. Who asks
/// for no upgrade gets 426.
pub fn echo(mut wire: Wire) {
    let Ok(head) = wire.try_head() else { return };
    if !head.has("upgrade") {
        wire.try_send("HTTP/1.1 426 Upgrade Required\r\nContent-Length: 0\r\n\r\n");
        return wire.finish();
    }
    wire.try_send(switching(&head));
    while let Ok(frame) = wire.try_frame() {
        let op = frame.op;
        let reply = match op {
            Op::PING => Frame::pong(&frame.payload),
            Op::PONG => continue,
            _ => frame.unmasked(),
        };
        if !wire.try_send(reply.bytes()) || op == Op::CLOSE {
            wire.finish();
            return;
        }
    }
}
