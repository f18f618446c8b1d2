//! Serves a router on the admin listener or the control socket with bounds that `axum::serve` does
//! not have: whoever connects and is slow, or says nothing, holds a place for a short time only.
//! Not here: what is answered.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::serve::Listener;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::{Request, service};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Semaphore, watch};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use crate::limits;

#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// At once; newcomers wait in the backlog.
    pub connections: usize,
    /// For a TLS handshake.
    pub handshake: Duration,
    /// For a request head, and between two requests.
    pub head: Duration,
    /// After this much a connection takes no further request.
    pub life: Duration,
    /// What is then under way has this long to end.
    pub last_request: Duration,
}

impl Default for Bounds {
    fn default() -> Bounds {
        Bounds {
            connections: limits::CONTROL_CONNECTIONS_MAX,
            handshake: limits::ADMIN_HANDSHAKE_TIMEOUT,
            head: limits::DEFAULT_HEAD_TIMEOUT,
            life: limits::CONTROL_CONNECTION_LIFE,
            last_request: limits::CONTROL_REQUEST_TIMEOUT,
        }
    }
}

/// How one connection is spoken to.
pub enum Speech {
    Plain,
    Tls(Arc<rustls::ServerConfig>),
    /// Not at all.
    Refused,
}

/// Answers for as long as it is polled, or until `end` is true and the answers under way are
/// written. Connections are tasks of their own; `speech` is asked for each. Handlers find the
/// client's address as [`ConnectInfo`].
pub async fn serve<L>(
    mut listener: L,
    router: Router,
    bounds: Bounds,
    speech: impl Fn() -> Speech + Send,
    end: watch::Receiver<bool>,
) where
    L: Listener,
    L::Addr: Clone + Sync + 'static,
{
    let places = Arc::new(Semaphore::new(bounds.connections));
    loop {
        let next = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, (io, peer)) = tokio::select! {
            next = next => next,
            () = ended(end.clone()) => {
                let all = u32::try_from(bounds.connections).unwrap_or(u32::MAX);
                drop(places.acquire_many(all).await);
                return;
            }
        };
        let (router, end, speech) = (router.clone(), ended(end.clone()), speech());
        tokio::spawn(async move {
            match speech {
                Speech::Plain => converse(io, peer, router, bounds, end).await,
                Speech::Tls(config) => {
                    let handshake = TlsAcceptor::from(config).accept(io);
                    if let Ok(Ok(io)) = timeout(bounds.handshake, handshake).await {
                        converse(io, peer, router, bounds, end).await;
                    }
                }
                Speech::Refused => drop(io),
            }
            drop(place);
        });
    }
}

/// One connection, from its first request to its last.
async fn converse<A: Clone + Send + Sync + 'static>(
    io: impl AsyncRead + AsyncWrite + Unpin,
    peer: A,
    router: Router,
    bounds: Bounds,
    end: impl Future<Output = ()>,
) {
    let answers = TowerToHyperService::new(router);
    let answer = service::service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer.clone()));
        service::Service::call(&answers, request.map(Body::new))
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(bounds.head);
    http.max_buf_size(limits::ADMIN_READ_AHEAD_BYTES_MAX);
    let mut connection = pin!(http.serve_connection(TokioIo::new(io), answer));
    tokio::select! {
        // How a connection ended is nobody's concern here.
        _ = connection.as_mut() => {}
        () = first(sleep(bounds.life), end) => {
            connection.as_mut().graceful_shutdown();
            let _ = timeout(bounds.last_request, connection).await;
        }
    }
}

async fn first(one: impl Future<Output = ()>, other: impl Future<Output = ()>) {
    tokio::select! {
        () = one => {}
        () = other => {}
    }
}

/// Never, when nobody is left who could say so.
async fn ended(mut end: watch::Receiver<bool>) {
    if end.wait_for(|end| *end).await.is_err() {
        std::future::pending::<()>().await;
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::net::SocketAddr;

    use axum::routing::post;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    const WAIT: Duration = Duration::from_secs(20);

    async fn served(bounds: Bounds) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let router = Router::new().route("/", post(|body: String| async move { body }));
        let plain = || Speech::Plain;
        tokio::spawn(serve(listener, router, bounds, plain, watch::channel(false).1));
        addr
    }

    fn short() -> Bounds {
        let [head, life] = [100, 500].map(Duration::from_millis);
        Bounds { connections: 2, handshake: head, head, life, last_request: head }
    }

    async fn connected(addr: SocketAddr, text: &str) -> TcpStream {
        let mut stream = TcpStream::connect(addr).await.unwrap();
        stream.write_all(text.as_bytes()).await.unwrap();
        stream
    }

    /// All that comes until the end, while `drip` goes out now and then.
    async fn rest(mut stream: TcpStream, drip: &str) -> String {
        let (mut read, mut write) = stream.split();
        let mut all = Vec::new();
        let dripping = async {
            loop {
                sleep(Duration::from_millis(20)).await;
                if drip.is_empty() || write.write_all(drip.as_bytes()).await.is_err() {
                    return std::future::pending::<io::Result<usize>>().await;
                }
            }
        };
        let ended = async {
            tokio::select! {
                ended = read.read_to_end(&mut all) => ended,
                never = dripping => never,
            }
        };
        let ended = timeout(WAIT, ended).await.expect("the connection lives on");
        if let Err(error) = ended {
            assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        }
        String::from_utf8(all).unwrap()
    }

    const REQUEST: &str = "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\nhi";

    #[tokio::test]
    async fn who_says_nothing_or_little_keeps_nobody_out() {
        let addr = served(short()).await;
        let silent = connected(addr, "").await;
        let slow = connected(addr, "POST / HTTP/1.1\r\nX: ").await;
        let third = connected(addr, REQUEST).await;
        let (silent, slow, third) =
            tokio::join!(rest(silent, ""), rest(slow, "x"), rest(third, ""));
        assert!(!silent.contains("200") && !slow.contains("200"), "{silent} {slow}");
        assert!(third.starts_with("HTTP/1.1 200") && third.ends_with("hi"), "{third}");
    }

    #[tokio::test]
    async fn a_slow_body_ends_with_the_life_of_its_connection() {
        let addr = served(short()).await;
        let head = "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n";
        assert!(!rest(connected(addr, head).await, "x").await.contains("200"));
    }
}
