//! Idle origin connections of one core. Not here: which connections may come back (`http`), and who
//! wants one.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::time::Instant;

use rustc_hash::FxHashMap;

use crate::limits::{POOL_IDLE_MAX, POOL_IDLE_PER_ENDPOINT};
use crate::net::stream::{Queue, Stream};

#[derive(Debug, Default)]
pub struct Pool {
    idle: RefCell<FxHashMap<SocketAddr, Vec<Idle>>>,
}

#[derive(Debug)]
struct Idle {
    stream: Stream,
    since: Instant,
}

impl Idle {
    /// Unread bytes on an idle connection are nobody's answer: such a connection is never used
    /// again.
    fn is_usable(&self, now: Instant) -> bool {
        now.duration_since(self.since) < POOL_IDLE_MAX && self.stream.peek() == Queue::Empty
    }
}

impl Pool {
    /// The connection that was idle for the shortest time and is still quiet.
    pub fn take(&self, addr: SocketAddr, now: Instant) -> Option<Stream> {
        let mut idle = self.idle.borrow_mut();
        let connections = idle.get_mut(&addr)?;
        while let Some(connection) = connections.pop() {
            if connection.is_usable(now) {
                return Some(connection.stream);
            }
        }
        None
    }

    /// Keeps a connection whose last answer was read to its end.
    pub fn give(&self, addr: SocketAddr, stream: Stream, now: Instant) {
        let mut idle = self.idle.borrow_mut();
        let connections = idle.entry(addr).or_default();
        if connections.len() < POOL_IDLE_PER_ENDPOINT {
            connections.push(Idle { stream, since: now });
        }
    }

    /// Closes what is too old or was closed by its origin.
    pub fn sweep(&self, now: Instant) {
        self.idle.borrow_mut().retain(|_, connections| {
            connections.retain(|connection| connection.is_usable(now));
            !connections.is_empty()
        });
    }

    pub fn clear(&self) {
        self.idle.borrow_mut().clear();
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::TcpListener;
    use std::time::Duration;

    use super::*;
    use crate::net::connect::connect;
    use crate::net::runtime::{Runtime, now};
    use crate::net::stream::Patience;

    const LIMIT: Duration = Duration::from_secs(5);

    #[test]
    fn only_quiet_and_young_connections_come_back() {
        let origin = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = origin.local_addr().unwrap();
        let (mut runtime, _) = Runtime::new().unwrap();
        runtime.block_on(async {
            let pool = Pool::default();
            let open = async || {
                let stream = connect(addr, None, LIMIT).await.unwrap();
                (stream, origin.accept().unwrap().0)
            };
            let start = now();
            assert!(pool.take(addr, start).is_none());

            let (quiet, _kept) = open().await;
            pool.give(addr, quiet, start);
            let quiet = pool.take(addr, start).expect("a quiet connection is reused");
            pool.give(addr, quiet, start);
            assert!(pool.take(addr, start + POOL_IDLE_MAX).is_none());

            let (closed, peer) = open().await;
            drop(peer);
            closed.readable(Patience::Stall(LIMIT)).await.unwrap();
            pool.give(addr, closed, start);
            assert!(pool.take(addr, start).is_none());

            let (talking, mut peer) = open().await;
            peer.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
            talking.readable(Patience::Stall(LIMIT)).await.unwrap();
            pool.give(addr, talking, start);
            assert!(pool.take(addr, start).is_none());
        });
    }

    #[test]
    fn the_pool_is_bounded_and_swept() {
        let origin = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = origin.local_addr().unwrap();
        let (mut runtime, _) = Runtime::new().unwrap();
        runtime.block_on(async {
            let pool = Pool::default();
            let start = now();
            for _ in 0..POOL_IDLE_PER_ENDPOINT + 3 {
                pool.give(addr, connect(addr, None, LIMIT).await.unwrap(), start);
            }
            assert_eq!(pool.idle.borrow()[&addr].len(), POOL_IDLE_PER_ENDPOINT);
            pool.sweep(start + POOL_IDLE_MAX);
            assert!(pool.idle.borrow().is_empty());
        });
    }
}
