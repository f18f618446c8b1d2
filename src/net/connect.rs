//! Connections to origins. Not here: which origin, and how often to try.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};

use super::runtime::now;
use super::sockopt;
use super::stream::{Patience, Stream};

/// Why there is no connection. The origin's fault: try the next address. Ours: no other address
/// will do better.
#[derive(Debug)]
pub enum ConnectError {
    Refused(io::Error),
    TimedOut,
    /// No route, or a firewall said no.
    Unreachable(io::Error),
    /// No free source port towards this address (EADDRNOTAVAIL).
    Ports,
    /// A source address that is none of this host.
    Source(IpAddr, io::Error),
    /// No free descriptor (EMFILE, ENFILE) or no memory for a socket.
    Descriptors(io::Error),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    Origin,
    Ours,
}

impl ConnectError {
    pub fn fault(&self) -> Fault {
        match self {
            ConnectError::Refused(_) | ConnectError::TimedOut | ConnectError::Unreachable(_) => {
                Fault::Origin
            }
            ConnectError::Ports | ConnectError::Source(..) | ConnectError::Descriptors(_) => {
                Fault::Ours
            }
        }
    }

    fn from_os(error: io::Error) -> ConnectError {
        match error.raw_os_error() {
            Some(libc::EADDRNOTAVAIL | libc::EADDRINUSE | libc::EAGAIN) => ConnectError::Ports,
            Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM) => {
                ConnectError::Descriptors(error)
            }
            Some(
                libc::ENETUNREACH
                | libc::EHOSTUNREACH
                | libc::EACCES
                | libc::EPERM
                | libc::EAFNOSUPPORT,
            ) => ConnectError::Unreachable(error),
            Some(libc::ETIMEDOUT) => ConnectError::TimedOut,
            _ => ConnectError::Refused(error),
        }
    }
}

impl std::fmt::Display for ConnectError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ConnectError::Refused(e) => write!(f, "refused ({e})"),
            ConnectError::TimedOut => f.write_str("no answer in time"),
            ConnectError::Unreachable(e) => write!(f, "unreachable ({e})"),
            ConnectError::Ports => f.write_str(
                "no free source port towards this address: widen net.ipv4.ip_local_port_range, or \
                 give server.source_addresses or the origin more addresses",
            ),
            ConnectError::Source(ip, e) => {
                write!(f, "source address {ip} cannot be used ({e}), see server.source_addresses")
            }
            ConnectError::Descriptors(e) => write!(f, "no socket to be had ({e})"),
        }
    }
}

/// Connects to `addr` within `limit`, from `source` if one is given.
pub async fn connect(
    addr: SocketAddr,
    source: Option<IpAddr>,
    limit: Duration,
) -> Result<Stream, ConnectError> {
    let deadline = now() + limit;
    let socket = open(addr).map_err(ConnectError::from_os)?;
    if let Some(source) = source {
        bind(&socket, source).map_err(|error| ConnectError::Source(source, error))?;
    }
    let done = begin(&socket, addr).map_err(ConnectError::from_os)?;
    let stream = Stream::adopt(OwnedFd::from(socket), addr).map_err(ConnectError::from_os)?;
    if !done {
        stream.connected(Patience::Until(deadline)).await.map_err(|e| match e.kind() {
            io::ErrorKind::TimedOut => ConnectError::TimedOut,
            _ => ConnectError::from_os(e),
        })?;
    }
    Ok(stream)
}

/// Sends the SYN. True when the connection is there already, as with an origin on this host: its
/// answer came within the first call, which does not look at it. A second call costs less than a
/// wait on the ring.
fn begin(socket: &Socket, addr: SocketAddr) -> io::Result<bool> {
    let addr = addr.into();
    for _ in 0..2 {
        match socket.connect(&addr) {
            Ok(()) => return Ok(true),
            Err(e) if matches!(e.raw_os_error(), Some(libc::EINPROGRESS | libc::EALREADY)) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(false)
}

fn open(addr: SocketAddr) -> io::Result<Socket> {
    let kind = Type::STREAM.nonblocking();
    let socket = Socket::new(Domain::for_address(addr), kind, Some(Protocol::TCP))?;
    sockopt::apply_tcp_options(&socket)?;
    sockopt::acknowledge_with_data(&socket)?;
    Ok(socket)
}

/// The port is left to connect(): chosen here it would have to be free towards every origin.
fn bind(socket: &Socket, source: IpAddr) -> io::Result<()> {
    sockopt::bind_address_no_port(socket)?;
    socket.bind(&SocketAddr::new(source, 0).into())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;
    use crate::net::runtime::Runtime;

    const LIMIT: Duration = Duration::from_secs(5);

    #[test]
    fn a_listening_port_accepts_and_a_closed_one_refuses() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let open = listener.local_addr().unwrap();
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let (mut runtime, _) = Runtime::new().unwrap();
        runtime.block_on(async {
            let source = IpAddr::from([127, 0, 0, 9]);
            let stream = connect(open, Some(source), LIMIT).await.unwrap();
            assert_eq!(stream.peer_addr(), open);
            assert!(socket2::SockRef::from(&stream).tcp_nodelay().unwrap());
            let (_, seen) = listener.accept().unwrap();
            assert_eq!(seen.ip(), source);
            let strange = IpAddr::from([192, 0, 2, 1]);
            let error = connect(open, Some(strange), LIMIT).await.unwrap_err();
            assert!(matches!(error, ConnectError::Source(..)), "{error}");
            assert_eq!(error.fault(), Fault::Ours);
            let error = connect(closed, None, LIMIT).await.unwrap_err();
            assert!(matches!(error, ConnectError::Refused(_)), "{error}");
            assert_eq!(error.fault(), Fault::Origin);
        });
    }

    #[test]
    fn a_connection_on_this_host_needs_no_wait() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let socket = open(addr).unwrap();
        assert!(begin(&socket, addr).unwrap());
        drop(listener);
        let error = begin(&open(addr).unwrap(), addr).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ECONNREFUSED));
    }

    #[test]
    fn a_full_backlog_times_out() {
        // Linux admits backlog + 1 connections and then drops further SYNs.
        let full = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        full.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        full.listen(0).unwrap();
        let addr = full.local_addr().unwrap().as_socket().unwrap();
        let (mut runtime, _) = Runtime::new().unwrap();
        runtime.block_on(async {
            let first = connect(addr, None, LIMIT).await.unwrap();
            // The queue has it with its first bytes.
            first.write_all(b"x", Patience::Stall(LIMIT)).await.unwrap();
            let error = connect(addr, None, Duration::from_millis(50)).await.unwrap_err();
            assert!(matches!(error, ConnectError::TimedOut), "{error}");
        });
    }

    #[test]
    fn whose_fault() {
        for (errno, fault) in [
            (libc::ECONNREFUSED, Fault::Origin),
            (libc::ENETUNREACH, Fault::Origin),
            (libc::ETIMEDOUT, Fault::Origin),
            (libc::EADDRNOTAVAIL, Fault::Ours),
            (libc::EMFILE, Fault::Ours),
        ] {
            let error = ConnectError::from_os(io::Error::from_raw_os_error(errno));
            assert_eq!(error.fault(), fault, "{error}");
        }
    }
}
