//! Idle origin connections of one core. Not here: which connections may come back (`http`), and who
//! wants one.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use rustc_hash::FxHashMap;

use crate::limits::{POOL_IDLE_MAX, POOL_IDLE_PER_ENDPOINT};
use crate::net::stream::{Queue, Stream};
use crate::snapshot::OriginTls;

#[derive(Debug, Default)]
pub struct Pool {
    idle: RefCell<FxHashMap<Key, Vec<Idle>>>,
}

/// Where a connection goes, and the address of its TLS configuration in memory, 0 for a plain one.
/// That is nobody else's while an entry is there, because the entry holds it.
type Key = (SocketAddr, usize);

/// How the origin of a connection was spoken to and verified; `None`: in the clear.
pub type Verified = Option<Arc<OriginTls>>;

#[derive(Debug)]
struct Idle {
    stream: Stream,
    tls: Verified,
    since: Instant,
}

fn key(addr: SocketAddr, tls: Option<&OriginTls>) -> Key {
    (addr, tls.map_or(0, |tls| Arc::as_ptr(&tls.config).addr()))
}

/// A connection that was verified by one domain's rules is no use to another with other rules.
fn is_verified_for(tls: &Verified, wanted: Option<&OriginTls>) -> bool {
    match (tls, wanted) {
        (None, None) => true,
        (Some(tls), Some(wanted)) => {
            Arc::ptr_eq(&tls.config, &wanted.config) && tls.server_name == wanted.server_name
        }
        _ => false,
    }
}

impl Idle {
    /// Unread bytes on an idle connection are nobody's answer: such a connection is never used
    /// again.
    fn is_usable(&self, now: Instant) -> bool {
        now.duration_since(self.since) < POOL_IDLE_MAX && self.stream.peek() == Queue::Empty
    }
}

impl Pool {
    /// The connection that was idle for the shortest time and is still quiet, among those that were
    /// made by the rules of `tls`.
    pub fn take(
        &self,
        addr: SocketAddr,
        tls: Option<&OriginTls>,
        now: Instant,
    ) -> Option<(Stream, Verified)> {
        let mut idle = self.idle.borrow_mut();
        let connections = idle.get_mut(&key(addr, tls))?;
        while let Some(at) = connections.iter().rposition(|c| is_verified_for(&c.tls, tls)) {
            let connection = connections.remove(at);
            if connection.is_usable(now) {
                return Some((connection.stream, connection.tls));
            }
        }
        None
    }

    /// Keeps a connection whose last answer was read to its end.
    pub fn give(&self, addr: SocketAddr, stream: Stream, tls: Verified, now: Instant) {
        let mut idle = self.idle.borrow_mut();
        let connections = idle.entry(key(addr, tls.as_deref())).or_default();
        if connections.len() < POOL_IDLE_PER_ENDPOINT {
            stream.rest();
            connections.push(Idle { stream, tls, since: now });
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

    use rustls::{ClientConfig, RootCertStore};

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
            assert!(pool.take(addr, None, start).is_none());

            let (quiet, _kept) = open().await;
            pool.give(addr, quiet, None, start);
            let (quiet, _) = pool.take(addr, None, start).expect("a quiet connection is reused");
            pool.give(addr, quiet, None, start);
            assert!(pool.take(addr, None, start + POOL_IDLE_MAX).is_none());

            let (closed, peer) = open().await;
            drop(peer);
            closed.readable(Patience::Stall(LIMIT)).await.unwrap();
            pool.give(addr, closed, None, start);
            assert!(pool.take(addr, None, start).is_none());

            let (talking, mut peer) = open().await;
            peer.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
            talking.readable(Patience::Stall(LIMIT)).await.unwrap();
            pool.give(addr, talking, None, start);
            assert!(pool.take(addr, None, start).is_none());
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
                pool.give(addr, connect(addr, None, LIMIT).await.unwrap(), None, start);
            }
            assert_eq!(pool.idle.borrow()[&key(addr, None)].len(), POOL_IDLE_PER_ENDPOINT);
            pool.sweep(start + POOL_IDLE_MAX);
            assert!(pool.idle.borrow().is_empty());
        });
    }

    fn config() -> Arc<ClientConfig> {
        let roots = RootCertStore::empty();
        Arc::new(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth())
    }

    fn tls(config: &Arc<ClientConfig>, name: &'static str) -> Arc<OriginTls> {
        let server_name = Some(name.try_into().unwrap());
        Arc::new(OriginTls { config: Arc::clone(config), server_name })
    }

    #[test]
    fn a_connection_serves_only_those_with_the_rules_that_it_was_verified_by() {
        let origin = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = origin.local_addr().unwrap();
        let (mut runtime, _) = Runtime::new().unwrap();
        runtime.block_on(async {
            let pool = Pool::default();
            let start = now();
            let (rules, others) = (config(), config());
            let made = tls(&rules, "a.test");
            let stream = connect(addr, None, LIMIT).await.unwrap();
            pool.give(addr, stream, Some(made), start);
            for wrong in [None, Some(tls(&rules, "b.test")), Some(tls(&others, "a.test"))] {
                assert!(pool.take(addr, wrong.as_deref(), start).is_none(), "{wrong:?}");
            }
            // The same rules in a newer snapshot.
            let (stream, made) = pool.take(addr, Some(&tls(&rules, "a.test")), start).unwrap();
            pool.give(addr, stream, None, start);
            assert!(pool.take(addr, made.as_deref(), start).is_none());
            assert!(pool.take(addr, None, start).is_some());
        });
    }
}
