//! A TCP connection of the set-up plane: readiness from the ring, bytes by non-blocking calls.
//!
//! monoio loses bytes when a pending read is dropped, so no buffer is ever handed to the kernel
//! here: a wait that is dropped loses nothing, an idle connection holds no buffer, and one task may
//! read and write at once through `&self`. Behind a TLS handshake the same calls move plaintext.
//! Not here: tunnels, which the engine drives on its own ring, TLS itself (`net::tls`), and what
//! the bytes mean.

use std::cell::{Cell, OnceCell, RefCell};
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd};
use std::time::{Duration, Instant};

use bytes::{BufMut, BytesMut};
use monoio::net::UnixStream as Pollable;
use socket2::SockRef;

use super::tls::{
    self, AcceptTlsError, AcceptedTls, ConnectTlsError, ConnectedTls, Layer, Secured,
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

impl Patience {
    /// The same for several waits of which only all together are progress.
    fn as_a_whole(self) -> Patience {
        match self {
            Patience::Stall(duration) => Patience::Until(runtime::now() + duration),
            until @ Patience::Until(_) => until,
        }
    }
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
    /// Set by a handshake. Borrowed only between waits.
    tls: OnceCell<Box<RefCell<Layer>>>,
}

impl Stream {
    /// Takes over a socket that is non-blocking already.
    pub(super) fn adopt(fd: OwnedFd, peer: SocketAddr) -> io::Result<Stream> {
        let io = Pollable::from_std(fd.into())?;
        let credit = Cell::new(CALLS_WITHOUT_WAIT_MAX);
        Ok(Stream { io, peer, credit, waits: Waits::default(), tls: OnceCell::new() })
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
        if let Some(tls) = self.tls.get() {
            // In a box of its own: a plain connection that waits here is to stay small.
            return Box::pin(self.record_readable(tls, patience.as_a_whole())).await;
        }
        self.waits.begin();
        let result = within(patience, self.io.readable(true)).await;
        self.waits.end(&result);
        result
    }

    /// Bytes of a record that is not whole are no progress.
    async fn record_readable(&self, tls: &RefCell<Layer>, patience: Patience) -> io::Result<()> {
        while !tls.borrow_mut().is_readable(&self.socket()) {
            self.rest();
            self.socket_readable(patience).await?;
        }
        Ok(())
    }

    async fn socket_readable(&self, patience: Patience) -> io::Result<()> {
        self.waits.begin();
        let result = within(patience, self.io.readable(true)).await;
        self.waits.end(&result);
        result
    }

    /// Waits for the end of a non-blocking connect.
    pub(super) async fn connected(&self, patience: Patience) -> io::Result<()> {
        self.writable(patience).await?;
        sockopt::stored_error(self)
    }

    async fn writable(&self, patience: Patience) -> io::Result<()> {
        self.waits.begin();
        let result = within(patience, self.io.writable(true)).await;
        self.waits.end(&result);
        result
    }

    /// The peer was just asked: what it answers cannot be there yet, so the next read or write
    /// waits before it looks.
    pub fn expect_wait(&self) {
        self.credit.set(0);
    }

    /// Appends what is there, at most `max` bytes, waiting for the first of them. 0 means that no
    /// more will come: FIN, and under TLS a close_notify.
    ///
    /// # Errors
    /// Under TLS also a FIN without close_notify, as `UnexpectedEof`: the end may be anybody's. And
    /// `InvalidData` where the peer broke TLS; the alert is sent.
    pub async fn read(
        &self,
        into: &mut BytesMut,
        max: usize,
        mut patience: Patience,
    ) -> io::Result<usize> {
        if self.tls.get().is_some() {
            patience = patience.as_a_whole();
        }
        loop {
            let read = match self.take_credit() {
                true => self.read_now(into, max)?,
                false => self.read_held(into, max)?,
            };
            if let Some(n) = read {
                return Ok(n);
            }
            self.socket_readable(patience).await?;
            self.credit.set(CALLS_WITHOUT_WAIT_MAX);
        }
    }

    /// The same without waiting; `None` when nothing is there.
    pub fn read_now(&self, into: &mut BytesMut, max: usize) -> io::Result<Option<usize>> {
        if let Some(tls) = self.tls.get() {
            return tls.borrow_mut().read_now(&self.socket(), into, max);
        }
        into.reserve(max);
        receive_now(&self.socket(), into, max)
    }

    /// Ciphertext of a handshake. Nothing is held while nothing is there.
    pub(super) async fn receive(
        &self,
        into: &mut Vec<u8>,
        max: usize,
        patience: Patience,
    ) -> io::Result<usize> {
        loop {
            if self.take_credit() {
                into.reserve(max);
                match receive_now(&self.socket(), into, max)? {
                    Some(n) => return Ok(n),
                    None => into.shrink_to_fit(),
                }
            }
            self.socket_readable(patience).await?;
            self.credit.set(CALLS_WITHOUT_WAIT_MAX);
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
    /// written is cut off their front; under TLS also what a dropped call had sealed, which the
    /// next one sends first.
    pub async fn write<const N: usize>(
        &self,
        parts: &mut [&[u8]; N],
        patience: Patience,
    ) -> io::Result<usize> {
        let mut sealed = 0;
        loop {
            if self.take_credit()
                && let Some(n) = self.write_now(parts, &mut sealed)?
            {
                return Ok(n);
            }
            self.writable(patience).await?;
            self.credit.set(CALLS_WITHOUT_WAIT_MAX);
        }
    }

    fn write_now<const N: usize>(
        &self,
        parts: &mut [&[u8]; N],
        sealed: &mut usize,
    ) -> io::Result<Option<usize>> {
        if let Some(tls) = self.tls.get() {
            return tls.borrow_mut().write_now(&self.socket(), parts, sealed);
        }
        let sent = send_now(&self.socket(), parts)?;
        if let Some(n) = sent {
            advance(parts, n);
        }
        Ok(sent)
    }

    /// Looks at the receive queue. Nothing is taken from it but, under TLS, what is none of a
    /// reader's: tickets, key updates, the end.
    pub fn peek(&self) -> Queue {
        if let Some(tls) = self.tls.get() {
            return tls.borrow_mut().peek(&self.socket());
        }
        match self.socket().peek(&mut [MaybeUninit::uninit()]) {
            Ok(0) => Queue::Ended,
            Ok(_) => Queue::Bytes,
            Err(e) if would_block(&e) => Queue::Empty,
            Err(_) => Queue::Broken,
        }
    }

    /// Sends FIN, under TLS behind a close_notify; reading goes on.
    pub fn shutdown_write(&self) -> io::Result<()> {
        if let Some(tls) = self.tls.get() {
            tls.borrow_mut().end(&self.socket());
        }
        self.socket().shutdown(Shutdown::Write)
    }

    /// Makes closing send RST instead of FIN, where a FIN would pass for the end of a body that was
    /// cut short.
    pub fn reset_on_close(&self) {
        // Failure means that the peer is gone already.
        let _ = self.socket().set_linger(Some(Duration::ZERO));
    }

    /// The server's side of a TLS handshake. `received`: what was read already, taken over; it
    /// comes back when it is plain HTTP.
    pub async fn accept_tls(
        &self,
        received: &mut BytesMut,
        certificates: &Certificates,
        patience: Patience,
    ) -> Result<AcceptedTls, AcceptTlsError> {
        let mut input = std::mem::take(received).into();
        let accepted = Box::pin(tls::accept(self, &mut input, certificates, patience)).await;
        received.extend_from_slice(&input);
        let (accepted, secured) = accepted?;
        self.secure(secured);
        Ok(accepted)
    }

    /// The client's side. Fails if anything stands in the receive queue before our hello.
    pub async fn connect_tls(
        &self,
        tls: &OriginTls,
        addr: SocketAddr,
        patience: Patience,
    ) -> Result<ConnectedTls, ConnectTlsError> {
        let (connected, secured) = Box::pin(tls::connect(self, tls, addr, patience)).await?;
        self.secure(secured);
        Ok(connected)
    }

    fn secure(&self, secured: Secured) {
        let set = self.tls.set(Box::new(RefCell::new(Layer::new(secured))));
        assert!(set.is_ok(), "one TLS handshake on a connection");
    }

    pub fn transport(&self) -> Transport {
        if self.tls.get().is_some() { Transport::Tls } else { Transport::Plain }
    }

    /// Version and cipher suite, for people.
    pub fn tls_description(&self) -> Option<&'static str> {
        self.tls.get().map(|tls| tls.borrow().describe())
    }

    /// Gives back what only a busy connection needs; it comes back by itself.
    pub fn rest(&self) {
        if let Some(tls) = self.tls.get() {
            tls.borrow_mut().rest();
        }
    }

    #[cfg(test)]
    pub(super) fn bytes_held(&self) -> usize {
        self.tls.get().map_or(0, |tls| tls.borrow().bytes_held())
    }

    /// Leaves the runtime, with no operation in flight on the descriptor, which is still
    /// non-blocking.
    ///
    /// # Errors
    /// No descriptor was left, or the peer has ended its half already (close_notify).
    pub fn detach(mut self) -> io::Result<Detached> {
        let Some(tls) = self.tls.take() else {
            return Ok(Detached { fd: self.into_fd()?, secured: None, unread: Vec::new() });
        };
        let (secured, unread) = tls.into_inner().into_secured(&self.socket())?;
        Ok(Detached { fd: self.into_fd()?, secured: Some(secured), unread })
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

    /// Of what was received under TLS and not read: the socket does not become readable for it.
    fn read_held(&self, into: &mut BytesMut, max: usize) -> io::Result<Option<usize>> {
        match self.tls.get() {
            Some(tls) => tls.borrow_mut().read_held(&self.socket(), into, max),
            None => Ok(None),
        }
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

    fn end(&self, result: &io::Result<()>) {
        // A wait whose time ran out was dropped like any other: the ring has yet to let go of it.
        if !matches!(result, Err(e) if e.kind() == io::ErrorKind::TimedOut) {
            self.ended.set(self.ended.get() + 1);
        }
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

/// Appends what is there, at most `max` bytes for which there is room. 0 means FIN, `None` that
/// nothing is there.
pub(super) fn receive_now(
    socket: &SockRef<'_>,
    into: &mut impl BufMut,
    max: usize,
) -> io::Result<Option<usize>> {
    // SAFETY: only recv writes there, and it does not de-initialise anything.
    let spare = unsafe { into.chunk_mut().as_uninit_slice_mut() };
    let room = spare.len().min(max);
    match socket.recv(&mut spare[..room]) {
        Ok(n) => {
            // SAFETY: recv initialised the first `n` <= `room` bytes of the chunk.
            unsafe { into.advance_mut(n) };
            Ok(Some(n))
        }
        Err(e) if would_block(&e) => Ok(None),
        Err(e) => Err(e),
    }
}

/// Sends several pieces as one, as far as there is room; `None` when there is none.
pub(super) fn send_now<const N: usize>(
    socket: &SockRef<'_>,
    parts: &[&[u8]; N],
) -> io::Result<Option<usize>> {
    let sent = match parts.as_slice() {
        // Without a list that the kernel would have to copy first.
        [part] => socket.send_with_flags(part, libc::MSG_NOSIGNAL),
        _ => socket.send_vectored_with_flags(&parts.map(IoSlice::new), libc::MSG_NOSIGNAL),
    };
    match sent {
        Ok(n) => Ok(Some(n)),
        Err(e) if would_block(&e) => Ok(None),
        Err(e) => Err(e),
    }
}

/// Cuts the `n` bytes that were written off the front.
pub(super) fn advance(parts: &mut [&[u8]], mut n: usize) {
    for part in parts {
        let cut = n.min(part.len());
        *part = &part[cut..];
        n -= cut;
    }
}

fn would_block(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
