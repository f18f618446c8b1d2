//! A TCP connection of the set-up plane: readiness from the ring, bytes by non-blocking calls.
//!
//! monoio loses bytes when a pending read is dropped, so no buffer is ever handed to the kernel
//! here: a wait that is dropped loses nothing, an idle connection holds no buffer, and one task may
//! read and write at once through `&self`. Not here: tunnels, which the engine drives on its own
//! ring, and what the bytes mean.

use std::cell::Cell;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use monoio::net::UnixStream as Pollable;
use socket2::SockRef;

use super::tls::{
    AcceptFailure, AcceptTlsError, AcceptedTls, ConnectFailure, ConnectTlsError, ConnectedTls,
    Secured,
};
use super::{runtime, sockopt};
use crate::limits::CALLS_WITHOUT_WAIT_MAX;
use crate::snapshot::certs::{Certificates, OriginTls, Transport};

/// How long an operation may wait for its peer. Running out of it is [`io::ErrorKind::TimedOut`].
#[derive(Debug, Clone, Copy)]
pub enum Patience {
    /// Absolute: a peer that sends a byte now and then does not get more.
    Until(Instant),
    /// For every single wait, so any progress starts it anew.
    Stall(Duration),
}

/// What stands in a socket's receive queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Queue {
    Empty,
    Bytes,
    /// FIN.
    Ended,
    /// Reset, or given up by the network.
    Broken,
}

/// A connection that left the set-up.
#[derive(Debug)]
pub struct Detached {
    pub fd: OwnedFd,
    pub secured: Option<Secured>,
    /// Opened and not read.
    pub unread: Vec<u8>,
}

pub struct Stream {
    /// monoio has no type for "a descriptor to wait for"; its Unix stream is the smallest handle
    /// over any descriptor (8 bytes, io.md 3). Only its readiness and its closing are used.
    io: Pollable,
    peer: SocketAddr,
    /// Calls that may still succeed without a wait before the ring must be asked: a task whose
    /// socket is always ready would never let another one run.
    credit: Cell<u32>,
    /// A wait is pending, or was dropped while it was.
    waits: Waits,
}

impl Stream {
    /// Takes over a socket that is non-blocking already.
    pub(super) fn adopt(fd: OwnedFd, peer: SocketAddr) -> io::Result<Stream> {
        let io = Pollable::from_std(fd.into())?;
        let credit = Cell::new(CALLS_WITHOUT_WAIT_MAX);
        Ok(Stream { io, peer, credit, waits: Waits::default() })
    }

    pub fn peer_addr(&self) -> SocketAddr {
        self.peer
    }

    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        let addr = self.socket().local_addr()?.as_socket();
        addr.ok_or_else(|| io::ErrorKind::AddrNotAvailable.into())
    }

    /// Waits until a read would not block: bytes, FIN or an error. Dropping it loses nothing.
    pub async fn readable(&self, patience: Patience) -> io::Result<()> {
        self.waits.begin();
        let wait = self.io.readable(true);
        let result = within(patience, wait).await;
        self.waits.end();
        result
    }

    /// Waits for the end of a non-blocking connect.
    pub(super) async fn connected(&self, patience: Patience) -> io::Result<()> {
        self.writable(patience).await?;
        sockopt::stored_error(self)
    }

    async fn writable(&self, patience: Patience) -> io::Result<()> {
        self.waits.begin();
        let wait = self.io.writable(true);
        let result = within(patience, wait).await;
        self.waits.end();
        result
    }

    /// Appends what is there, at most `max` bytes, waiting for the first of them. 0 means FIN.
    pub async fn read(
        &self,
        into: &mut BytesMut,
        max: usize,
        patience: Patience,
    ) -> io::Result<usize> {
        loop {
            if self.take_credit()
                && let Some(n) = self.read_now(into, max)?
            {
                return Ok(n);
            }
            self.readable(patience).await?;
            self.credit.set(CALLS_WITHOUT_WAIT_MAX);
        }
    }

    /// The same without waiting; `None` when nothing is there.
    pub fn read_now(&self, into: &mut BytesMut, max: usize) -> io::Result<Option<usize>> {
        into.reserve(max);
        let spare = into.spare_capacity_mut();
        let room = spare.len().min(max);
        match self.socket().recv(&mut spare[..room]) {
            Ok(n) => {
                // SAFETY: recv initialised the first `n` <= `room` bytes of the spare capacity.
                unsafe { into.set_len(into.len() + n) };
                Ok(Some(n))
            }
            Err(e) if would_block(&e) => Ok(None),
            Err(e) => Err(e),
        }
    }

    pub async fn write_all(&self, bytes: &[u8], patience: Patience) -> io::Result<()> {
        let mut parts = [bytes];
        while !parts[0].is_empty() {
            self.write(&mut parts, patience).await?;
        }
        Ok(())
    }

    /// Writes several pieces as one, as far as there is room, waiting for the first of it. What was
    /// written is cut off their front.
    pub async fn write<const N: usize>(
        &self,
        parts: &mut [&[u8]; N],
        patience: Patience,
    ) -> io::Result<usize> {
        loop {
            if self.take_credit() {
                let slices = parts.map(IoSlice::new);
                match self.socket().send_vectored_with_flags(&slices, libc::MSG_NOSIGNAL) {
                    Ok(n) => {
                        advance(parts, n);
                        return Ok(n);
                    }
                    Err(e) if would_block(&e) => {}
                    Err(e) => return Err(e),
                }
            }
            self.writable(patience).await?;
            self.credit.set(CALLS_WITHOUT_WAIT_MAX);
        }
    }

    /// Looks at the receive queue without taking anything from it.
    pub fn peek(&self) -> Queue {
        match self.socket().peek(&mut [MaybeUninit::uninit()]) {
            Ok(0) => Queue::Ended,
            Ok(_) => Queue::Bytes,
            Err(e) if would_block(&e) => Queue::Empty,
            Err(_) => Queue::Broken,
        }
    }

    /// Sends FIN; reading goes on.
    pub fn shutdown_write(&self) -> io::Result<()> {
        self.socket().shutdown(Shutdown::Write)
    }

    /// Makes closing send RST instead of FIN, where a FIN would pass for the end of a body that was
    /// cut short.
    pub fn reset_on_close(&self) {
        // Failure means that the peer is gone already.
        let _ = self.socket().set_linger(Some(Duration::ZERO));
    }

    /// The server's side of a TLS handshake. `received`: what was read already, taken over.
    pub async fn accept_tls(
        &self,
        received: &mut BytesMut,
        certificates: &Certificates,
        patience: Patience,
    ) -> Result<AcceptedTls, AcceptTlsError> {
        let _ = (received, certificates, patience);
        Err(AcceptTlsError { reason: AcceptFailure::Internal, detail: "".into() })
    }

    /// The client's side. Fails if anything stands in the receive queue before our hello.
    pub async fn connect_tls(
        &self,
        tls: &OriginTls,
        addr: SocketAddr,
        patience: Patience,
    ) -> Result<ConnectedTls, ConnectTlsError> {
        let _ = (tls, addr, patience);
        Err(ConnectTlsError { reason: ConnectFailure::Internal, detail: "".into() })
    }

    pub fn transport(&self) -> Transport {
        Transport::Plain
    }

    /// Version and cipher suite, for people.
    pub fn tls_description(&self) -> Option<&'static str> {
        None
    }

    /// Gives back what only a busy connection needs. It comes back by itself.
    pub fn rest(&self) {}

    /// Leaves the runtime, with no operation in flight on the descriptor, which is still
    /// non-blocking.
    ///
    /// # Errors
    /// No descriptor was left, or the peer has ended its half already (close_notify).
    pub fn detach(self) -> io::Result<Detached> {
        Ok(Detached { fd: self.into_fd()?, secured: None, unread: Vec::new() })
    }

    fn into_fd(self) -> io::Result<OwnedFd> {
        if self.waits.may_be_in_flight() {
            // monoio panics in `into_raw_fd` while an operation holds the descriptor, which a
            // dropped wait does until its cancellation came back. A duplicate is free of it; the
            // old number is closed when the wait ends.
            return self.as_fd().try_clone_to_owned();
        }
        let fd = self.io.into_raw_fd();
        // SAFETY: `into_raw_fd` gave up ownership of an open descriptor to us alone.
        Ok(unsafe { OwnedFd::from_raw_fd(fd) })
    }

    fn take_credit(&self) -> bool {
        match self.credit.get().checked_sub(1) {
            Some(left) => {
                self.credit.set(left);
                true
            }
            None => false,
        }
    }

    fn socket(&self) -> SockRef<'_> {
        SockRef::from(self)
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: the descriptor stays open for as long as `self.io` lives, which the borrow of
        // `self` guarantees.
        unsafe { BorrowedFd::borrow_raw(self.io.as_raw_fd()) }
    }
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Stream({})", self.peer)
    }
}

/// Whether an operation of the ring may still hold the descriptor.
#[derive(Debug, Default)]
struct Waits {
    begun: Cell<u32>,
    ended: Cell<u32>,
}

impl Waits {
    fn begin(&self) {
        self.begun.set(self.begun.get() + 1);
    }

    fn end(&self) {
        self.ended.set(self.ended.get() + 1);
    }

    fn may_be_in_flight(&self) -> bool {
        self.begun.get() != self.ended.get()
    }
}

pub(super) async fn within(
    patience: Patience,
    wait: impl Future<Output = io::Result<()>>,
) -> io::Result<()> {
    let left = match patience {
        Patience::Stall(duration) => duration,
        Patience::Until(instant) => instant.saturating_duration_since(runtime::now()),
    };
    runtime::timeout(left, wait).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// Cuts the `n` bytes that were written off the front.
fn advance(parts: &mut [&[u8]], mut n: usize) {
    for part in parts {
        let cut = n.min(part.len());
        *part = &part[cut..];
        n -= cut;
    }
}

fn would_block(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
