//! Options of sockets and threads, each with its reason. Not here: sockets themselves, and what the
//! process asks for itself (`net::process`).

use std::io;
use std::mem;
use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

use socket2::{SockRef, Socket, TcpKeepalive};

use crate::limits::{KEEPALIVE_IDLE, KEEPALIVE_INTERVAL, USER_TIMEOUT};

/// What every TCP socket of ours carries, to clients and to origins; accepted sockets inherit it
/// from their listener.
pub fn apply_tcp_options(socket: &Socket) -> io::Result<()> {
    // Frames and heads are written whole: Nagle's algorithm would only hold the last one back.
    socket.set_tcp_nodelay(true)?;
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE_IDLE).with_interval(KEEPALIVE_INTERVAL);
    // Half-open peers send no FIN: without probes a silent connection would stay for ever.
    socket.set_tcp_keepalive(&keepalive)?;
    // The same for a connection with unacknowledged bytes, where keepalive does not run; and the
    // end of the probes, in place of their number (tcp(7)).
    socket.set_tcp_user_timeout(Some(USER_TIMEOUT))
}

/// The SYN-ACK of a connect is acknowledged by the segment with the first bytes, which follow at
/// once on every connection of ours, or after 200 ms.
pub fn acknowledge_with_data(socket: &Socket) -> io::Result<()> {
    socket.set_tcp_quickack(false)
}

/// Lets the kernel choose the port at connect, when it knows the whole four-tuple, so that one
/// source address serves 28,000 connections per origin address and not 28,000 in all.
pub fn bind_address_no_port(socket: &Socket) -> io::Result<()> {
    let on: libc::c_int = 1;
    // SAFETY: the pointer and the length describe `on`, which outlives the call; the kernel only
    // reads it.
    let rc = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_IP,
            libc::IP_BIND_ADDRESS_NO_PORT,
            (&raw const on).cast(),
            mem::size_of_val(&on) as libc::socklen_t,
        )
    };
    if rc == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Connections that wait in the accept queue of a listening socket.
pub fn accept_queue(listener: impl AsFd) -> io::Result<u32> {
    // SAFETY: tcp_info holds only integers, for which zero is a value.
    let mut info: libc::tcp_info = unsafe { mem::zeroed() };
    let mut len = mem::size_of::<libc::tcp_info>() as libc::socklen_t;
    // SAFETY: the kernel writes at most `len` bytes into `info`, which is as large, and outlives
    // the call.
    let rc = unsafe {
        libc::getsockopt(
            listener.as_fd().as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            (&raw mut info).cast(),
            &raw mut len,
        )
    };
    if rc != 0 {
        return Err(io::Error::last_os_error());
    }
    // For a listening socket the kernel reports its queue here (tcp_diag does the same).
    Ok(info.tcpi_unacked)
}

/// Keeps signals away from this thread: the control plane's threads take them.
pub fn block_signals() -> io::Result<()> {
    // SAFETY: sigset_t is plain data that sigfillset initialises before pthread_sigmask reads it;
    // both outlive the calls.
    let rc = unsafe {
        let mut all: libc::sigset_t = mem::zeroed();
        libc::sigfillset(&raw mut all);
        libc::pthread_sigmask(libc::SIG_BLOCK, &raw const all, std::ptr::null_mut())
    };
    if rc == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(rc)) }
}

/// Processor time of this thread. With deferred task work the kernel's share of our I/O runs on it
/// too.
pub fn thread_cpu_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel writes one timespec into `time`, which outlives the call.
    let rc = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    debug_assert_eq!(rc, 0, "the clock of one's own thread always exists");
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Error that the kernel stored on a socket, such as the result of a non-blocking connect.
pub fn stored_error(socket: impl AsFd) -> io::Result<()> {
    match SockRef::from(&socket.as_fd()).take_error()? {
        Some(error) => Err(error),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_accept_queue_counts_connections_not_yet_taken() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        assert_eq!(accept_queue(&listener).unwrap(), 0);
        let addr = listener.local_addr().unwrap();
        let _a = std::net::TcpStream::connect(addr).unwrap();
        let _b = std::net::TcpStream::connect(addr).unwrap();
        assert_eq!(accept_queue(&listener).unwrap(), 2);
        drop(listener.accept().unwrap());
        assert_eq!(accept_queue(&listener).unwrap(), 1);
    }

    #[test]
    fn thread_time_counts_work() {
        let before = thread_cpu_time();
        let mut sum = 0u64;
        while thread_cpu_time() == before {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        assert!(thread_cpu_time() > before);
    }
}
