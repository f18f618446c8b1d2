//! An eventfd that a task of a core waits for: how the engine's ring and other threads wake a core.
//! Not here: what for.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::Arc;

use monoio::net::UnixStream;

/// The waiting end; belongs to one core.
#[derive(Debug)]
pub struct Event {
    fd: Arc<OwnedFd>,
    /// monoio polls any descriptor through this handle; no stream call is ever made on it.
    poll: UnixStream,
}

/// The waking end; any thread.
#[derive(Debug, Clone)]
pub struct Waker(Arc<OwnedFd>);

impl Event {
    /// Must be called inside the core's runtime.
    ///
    /// # Errors
    /// When no descriptor is left.
    pub fn new() -> io::Result<Event> {
        // SAFETY: plain system call; the result is checked before it is owned.
        let raw = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if raw < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: `raw` was just created and nobody else owns it.
        let fd = unsafe { OwnedFd::from_raw_fd(raw) };
        let poll = UnixStream::from_std(std::os::unix::net::UnixStream::from(fd.try_clone()?))?;
        Ok(Event { fd: Arc::new(fd), poll })
    }

    pub fn waker(&self) -> Waker {
        Waker(Arc::clone(&self.fd))
    }

    /// Waits for a wake-up since the last wait. Dropping the future loses nothing.
    ///
    /// # Errors
    /// None that can be recovered from: the poll itself failed.
    pub async fn wait(&self) -> io::Result<()> {
        self.poll.readable(true).await?;
        let mut count = [0_u8; 8];
        // SAFETY: reads at most 8 bytes into 8 bytes of ours. EAGAIN (already taken) is as good as
        // a count.
        unsafe { libc::read(self.fd.as_raw_fd(), count.as_mut_ptr().cast(), count.len()) };
        Ok(())
    }
}

impl AsRawFd for Event {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

impl Waker {
    /// Never blocks: a full counter (2^64 - 2) means that a wake-up is waiting anyway.
    pub fn wake(&self) {
        let one = 1_u64.to_ne_bytes();
        // SAFETY: writes 8 bytes of ours to a descriptor that the Arc keeps open.
        unsafe { libc::write(self.0.as_raw_fd(), one.as_ptr().cast(), one.len()) };
    }
}
