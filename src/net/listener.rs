//! Listening sockets: bound, inherited, shared out to workers, accepted from. Not here: what
//! accepted connections do.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream as StdUnixStream;

use monoio::net::UnixStream as Pollable;
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use super::sockopt;
use super::stream::Stream;
use crate::limits::BACKLOG;
use crate::snapshot::certs::Transport;

/// A listener that cannot be had, for the operator.
#[derive(Debug)]
pub struct ListenError {
    pub addr: Option<SocketAddr>,
    pub step: &'static str,
    pub error: io::Error,
}

impl std::error::Error for ListenError {}

impl ListenError {
    /// This host has no IPv6 at all: built or started without it, or switched off.
    pub fn is_lack_of_ipv6(&self) -> bool {
        let Some(SocketAddr::V6(addr)) = self.addr else { return false };
        match self.error.raw_os_error() {
            Some(libc::EAFNOSUPPORT) => true,
            // An address of its own may be one that only this interface lacks.
            Some(libc::EADDRNOTAVAIL) => addr.ip().is_unspecified(),
            _ => false,
        }
    }
}

impl fmt::Display for ListenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.addr {
            Some(addr) => write!(f, "cannot listen on {addr}: {}: {}", self.step, self.error)?,
            None => write!(f, "inherited socket: {}: {}", self.step, self.error)?,
        }
        if self.is_lack_of_ipv6() {
            return f.write_str(
                "; this host has no IPv6: take that address out of server.listen, or enable IPv6",
            );
        }
        match (self.error.raw_os_error(), self.addr) {
            (Some(libc::EADDRINUSE), Some(addr)) => {
                write!(f, "; see who holds it with `ss -ltnp 'sport = :{}'`", addr.port())
            }
            (Some(libc::EACCES), Some(addr)) => write!(
                f,
                "; ports below 1024 need CAP_NET_BIND_SERVICE or \
                 `sysctl -w net.ipv4.ip_unprivileged_port_start={}`",
                addr.port()
            ),
            (Some(libc::EADDRNOTAVAIL), _) => {
                f.write_str("; no interface of this host has that address, see `ip addr`")
            }
            _ => Ok(()),
        }
    }
}

/// Listeners on `addr`, at least one for each of `workers`, made from the inherited ones as far as
/// there are any.
///
/// Each worker gets its own SO_REUSEPORT listener, so the kernel spreads connections and no accept
/// queue is shared. All inherited ones are kept, whatever their number: each has a queue of
/// connections that nobody else could take. One without SO_REUSEPORT (systemd makes such) cannot be
/// joined by others and is shared instead.
pub fn listen(
    addr: SocketAddr,
    inherited: Vec<TcpListener>,
    workers: usize,
) -> Result<Vec<Vec<TcpListener>>, ListenError> {
    let mut shares: Vec<Vec<TcpListener>> = (0..workers).map(|_| Vec::new()).collect();
    let reusable =
        inherited.iter().all(|socket| SockRef::from(socket).reuse_port().unwrap_or(false));
    // The first of several listeners on port 0 decides the port of all.
    let mut bound = addr;
    if let Some(first) = inherited.first() {
        bound = first.local_addr().map_err(failed(addr, "getsockname"))?;
    }
    for (i, listener) in inherited.into_iter().enumerate() {
        if !reusable {
            for share in &mut shares {
                share.push(listener.try_clone().map_err(failed(addr, "dup"))?);
            }
        } else {
            shares[i % workers].push(listener);
        }
    }
    for share in shares.iter_mut().filter(|share| share.is_empty()) {
        let listener = bind(bound)?;
        bound = listener.local_addr().map_err(failed(addr, "getsockname"))?;
        share.push(listener);
    }
    Ok(shares)
}

fn bind(addr: SocketAddr) -> Result<TcpListener, ListenError> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))
        .map_err(failed(addr, "socket"))?;
    if addr.is_ipv6() {
        // `[::]` and `0.0.0.0` are two listeners, whatever net.ipv6.bindv6only says.
        socket.set_only_v6(true).map_err(failed(addr, "IPV6_V6ONLY"))?;
    }
    // A restart must not wait for connections in TIME_WAIT.
    socket.set_reuse_address(true).map_err(failed(addr, "SO_REUSEADDR"))?;
    socket.set_reuse_port(true).map_err(failed(addr, "SO_REUSEPORT"))?;
    sockopt::apply_tcp_options(&socket).map_err(failed(addr, "TCP options"))?;
    socket.bind(&addr.into()).map_err(failed(addr, "bind"))?;
    socket.listen(BACKLOG).map_err(failed(addr, "listen"))?;
    Ok(socket.into())
}

/// Checks a descriptor that another process handed over (socket activation, a predecessor): it must
/// be a listening TCP socket. Returns it with its address.
pub fn inherit(fd: OwnedFd) -> Result<(SocketAddr, TcpListener), ListenError> {
    let wrong = |step| move |error| ListenError { addr: None, step, error };
    let socket = Socket::from(fd);
    let not_ours = |what: &str| io::Error::new(io::ErrorKind::InvalidInput, what.to_owned());
    if socket.r#type().map_err(wrong("SO_TYPE"))? != Type::STREAM {
        return Err(wrong("check")(not_ours("not a stream socket: use ListenStream=")));
    }
    if !socket.is_listener().map_err(wrong("SO_ACCEPTCONN"))? {
        return Err(wrong("check")(not_ours("not listening: use Accept=no")));
    }
    let addr = socket.local_addr().map_err(wrong("getsockname"))?.as_socket();
    let addr = addr.ok_or_else(|| wrong("check")(not_ours("not an IPv4 or IPv6 socket")))?;
    socket.set_cloexec(true).map_err(wrong("FD_CLOEXEC"))?;
    sockopt::apply_tcp_options(&socket).map_err(wrong("TCP options"))?;
    Ok((addr, socket.into()))
}

fn failed(addr: SocketAddr, step: &'static str) -> impl FnOnce(io::Error) -> ListenError {
    move |error| ListenError { addr: Some(addr), step, error }
}

// === A listener on a worker's runtime ===

pub struct Listener {
    /// As in `stream.rs`: only readiness and closing are used.
    io: Pollable,
    addr: SocketAddr,
    transport: Transport,
}

/// What one look at the accept queue brought.
#[derive(Debug)]
pub enum Accepted {
    Connection(Stream),
    Empty,
    /// No descriptor or memory for another connection; it stays in the queue.
    Exhausted,
}

impl Listener {
    pub fn adopt(transport: Transport, listener: TcpListener) -> io::Result<Listener> {
        listener.set_nonblocking(true)?;
        let addr = listener.local_addr()?;
        let io = Pollable::from_std(StdUnixStream::from(OwnedFd::from(listener)))?;
        Ok(Listener { io, addr, transport })
    }

    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// What its clients are expected to speak first.
    pub fn transport(&self) -> Transport {
        self.transport
    }

    /// Waits until a connection waits. Dropping it loses nothing.
    pub async fn readable(&self) -> io::Result<()> {
        self.io.readable(true).await
    }

    /// Takes one connection. Close-on-exec is set with it, so a successor that is executed inherits
    /// no connection.
    pub fn accept_now(&self) -> io::Result<Accepted> {
        loop {
            match SockRef::from(self).accept4(libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK) {
                Ok((socket, peer)) => {
                    let Some(peer) = peer.as_socket() else { continue };
                    return Stream::adopt(socket.into(), peer).map(Accepted::Connection);
                }
                Err(e) => match e.raw_os_error() {
                    Some(libc::EAGAIN) => return Ok(Accepted::Empty),
                    Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM) => {
                        return Ok(Accepted::Exhausted);
                    }
                    // accept(2): errors of the connection itself, which is gone: the next one is as
                    // good.
                    Some(
                        libc::ECONNABORTED
                        | libc::EINTR
                        | libc::EPROTO
                        | libc::ENETDOWN
                        | libc::EHOSTDOWN
                        | libc::EHOSTUNREACH
                        | libc::ENETUNREACH
                        | libc::EPERM,
                    ) => {}
                    _ => return Err(e),
                },
            }
        }
    }

    /// Connections waiting right now.
    pub fn queue_len(&self) -> u32 {
        sockopt::accept_queue(self).unwrap_or(0)
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: the descriptor stays open for as long as `self.io` lives, which the borrow of
        // `self` guarantees.
        unsafe { BorrowedFd::borrow_raw(self.io.as_raw_fd()) }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;
    use crate::net::runtime::Runtime;

    fn loopback() -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], 0))
    }

    #[test]
    fn every_worker_gets_a_listener_on_the_same_port() {
        let shares = listen(loopback(), Vec::new(), 3).unwrap();
        let ports: Vec<_> =
            shares.iter().map(|share| share[0].local_addr().unwrap().port()).collect();
        assert!(shares.iter().all(|share| share.len() == 1));
        assert!(ports[0] != 0 && ports.iter().all(|&port| port == ports[0]), "{ports:?}");
    }

    #[test]
    fn inherited_listeners_are_all_kept() {
        let old = listen(loopback(), Vec::new(), 3).unwrap();
        let addr = old[0][0].local_addr().unwrap();
        let shares = listen(addr, old.into_iter().flatten().collect(), 2).unwrap();
        assert_eq!(shares.iter().map(Vec::len).collect::<Vec<_>>(), [2, 1]);

        let (_, single) = inherit(TcpListener::bind(loopback()).unwrap().into()).unwrap();
        let addr = single.local_addr().unwrap();
        let shares = listen(addr, vec![single], 2).unwrap();
        assert!(shares.iter().all(|share| share[0].local_addr().unwrap() == addr));
    }

    #[test]
    fn only_a_listening_tcp_socket_is_inherited() {
        let udp = std::net::UdpSocket::bind(loopback()).unwrap();
        let error = inherit(udp.into()).unwrap_err().to_string();
        assert!(error.contains("ListenStream="), "{error}");
        let bound = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let error = inherit(bound.into()).unwrap_err().to_string();
        assert!(error.contains("not listening"), "{error}");
    }

    #[test]
    fn accepted_sockets_are_close_on_exec_and_carry_the_options() {
        let (mut runtime, _) = Runtime::new().unwrap();
        runtime.block_on(async {
            let listener = listen(loopback(), Vec::new(), 1).unwrap().remove(0).remove(0);
            let listener = Listener::adopt(Transport::Plain, listener).unwrap();
            assert!(matches!(listener.accept_now().unwrap(), Accepted::Empty));
            let client = TcpStream::connect(listener.addr()).unwrap();
            listener.readable().await.unwrap();
            assert_eq!(listener.queue_len(), 1);
            let Accepted::Connection(stream) = listener.accept_now().unwrap() else {
                panic!("a connection waits")
            };
            assert_eq!(stream.peer_addr(), client.local_addr().unwrap());
            let socket = SockRef::from(&stream);
            assert!(socket.tcp_nodelay().unwrap() && socket.keepalive().unwrap());
            assert_eq!(socket.tcp_user_timeout().unwrap(), Some(crate::limits::USER_TIMEOUT));
            // SAFETY: F_GETFD reads a flag of a descriptor that `stream` keeps open.
            let flags = unsafe { libc::fcntl(stream.as_fd().as_raw_fd(), libc::F_GETFD) };
            assert_eq!(flags & libc::FD_CLOEXEC, libc::FD_CLOEXEC);
        });
    }
}
