//! Notices to systemd (`Type=notify`). Without it every call does nothing. Not here: when they are
//! due.

use std::time::Duration;

use sd_notify::NotifyState;

pub fn ready(status: &str) {
    notify(&[NotifyState::Ready, NotifyState::Status(status)]);
}

pub fn reloading() {
    // systemd 253 and newer want the time with it, older ones ignore that.
    match NotifyState::monotonic_usec_now() {
        Ok(now) => notify(&[NotifyState::Reloading, now]),
        Err(_) => notify(&[NotifyState::Reloading]),
    }
}

pub fn reloaded(status: &str) {
    ready(status);
}

pub fn stopping(status: &str, within: Duration) {
    let within = u32::try_from(within.as_micros()).unwrap_or(u32::MAX);
    let extend = NotifyState::ExtendTimeoutUsec(within);
    notify(&[NotifyState::Stopping, NotifyState::Status(status), extend]);
}

/// The successor takes over as the service's main process.
pub fn main_process(pid: u32) {
    notify(&[NotifyState::MainPid(pid)]);
}

pub fn alive() {
    notify(&[NotifyState::Watchdog]);
}

/// How often to say [`alive`]: twice as often as systemd demands. `None`: it does not.
pub fn watchdog_interval() -> Option<Duration> {
    sd_notify::watchdog_enabled().map(|limit| limit / 2)
}

fn notify(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "the service manager does not take a notice");
    }
}
