//! A timer of the kernel on a mio poll, exact to microseconds where epoll's own timeout counts
//! milliseconds, and the clock that origins write into messages. Not here: what is due when.

use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::time::{Duration, Instant};

use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use rustix::time::{
    ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec,
};

pub struct Timer {
    fd: OwnedFd,
    armed: Option<Instant>,
}

impl Timer {
    pub fn new(registry: &Registry, token: Token) -> io::Result<Timer> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let fd = rustix::time::timerfd_create(TimerfdClockId::Monotonic, flags)?;
        registry.register(&mut SourceFd(&fd.as_raw_fd()), token, Interest::READABLE)?;
        Ok(Timer { fd, armed: None })
    }

    /// Makes an event at this time, or at once when it has passed; none without a time. It is never
    /// read: setting it anew takes back what it counted.
    pub fn wake_at(&mut self, at: Option<Instant>) -> io::Result<()> {
        if at == self.armed && at.is_none_or(|at| at > Instant::now()) {
            return Ok(());
        }
        let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
        let it_value = match at {
            None => zero,
            Some(at) => {
                // Zero would disarm it.
                let wait =
                    at.saturating_duration_since(Instant::now()).max(Duration::from_nanos(1));
                Timespec::try_from(wait).map_err(io::Error::other)?
            }
        };
        let spec = Itimerspec { it_interval: zero, it_value };
        rustix::time::timerfd_settime(&self.fd, TimerfdTimerFlags::empty(), &spec)?;
        self.armed = at;
        Ok(())
    }
}

/// The earlier of two times, where there are any.
pub fn earlier(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (one, other) => one.or(other),
    }
}

/// Nanoseconds of the machine's monotonic clock: the same for all its processes.
pub fn monotonic_ns() -> u64 {
    let now = rustix::time::clock_gettime(ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}
