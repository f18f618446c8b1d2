//! Handing over to a new binary: it is started with our listening sockets, the claim on the state
//! directory and a pipe on which it says that it serves. Only then do we leave; if it fails,
//! nothing happened.
//!
//! Descriptors travel by number in the environment. Not here: taking them from it (`cli::run`, by
//! way of `net`).

use std::env;
use std::ffi::OsString;
use std::io::{self, PipeReader, Read};
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::Duration;

use tokio::time::timeout;

use crate::snapshot::Transport;

pub const LISTEN_FDS: &str = "HAWSER_LISTEN_FDS";
pub const LISTEN_TLS_FDS: &str = "HAWSER_LISTEN_TLS_FDS";
pub const ADMIN_FD: &str = "HAWSER_ADMIN_FD";
pub const LOCK_FD: &str = "HAWSER_LOCK_FD";
pub const READY_FD: &str = "HAWSER_READY_FD";
/// Set when the sockets were given by the service manager in the first place.
pub const ACTIVATED: &str = "HAWSER_ACTIVATED";

/// Which variable carries which listeners.
const LISTENERS: [(Transport, &str); 2] =
    [(Transport::Plain, LISTEN_FDS), (Transport::Tls, LISTEN_TLS_FDS)];

/// What the successor writes on the pipe.
pub const READY: &[u8] = b"ready\n";

/// Time for a successor to check its configuration, resolve names and start its workers.
const READY_WAIT: Duration = Duration::from_secs(60);

/// How to start the successor.
#[derive(Debug, Clone)]
pub struct Program {
    /// As it was when this process started: by now the file may be another one, which is the point.
    pub path: PathBuf,
    pub args: Vec<OsString>,
    /// Makes a descriptor survive the start of a program, and gives its number.
    pub pass_on: fn(BorrowedFd<'_>) -> io::Result<RawFd>,
    pub activated: bool,
}

/// The sockets to pass on, apart from the workers' own handles to them. Holding them keeps the
/// sockets open: drop this before workers stop accepting, or connections wait in queues that nobody
/// reads.
#[derive(Debug, Default)]
pub struct Sockets {
    pub listeners: Vec<(Transport, SocketAddr, OwnedFd)>,
    pub admin: Option<OwnedFd>,
}

/// Descriptors that a predecessor passed on, by number.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Inheritance {
    pub listeners: Vec<(Transport, SocketAddr, RawFd)>,
    pub admin: Option<RawFd>,
    pub lock: Option<RawFd>,
    pub ready: Option<RawFd>,
}

impl Inheritance {
    /// Reads the environment. Empty when there is no predecessor.
    ///
    /// # Errors
    /// Which variable is not what a predecessor writes.
    pub fn from_env(var: impl Fn(&str) -> Option<String>) -> Result<Inheritance, String> {
        let number = |name: &str| -> Result<Option<RawFd>, String> {
            let Some(text) = var(name) else { return Ok(None) };
            text.parse().map(Some).map_err(|_| format!("{name}={text}: not a descriptor number"))
        };
        let mut listeners = Vec::new();
        for (transport, name) in LISTENERS {
            let listener = |part: &str| {
                let (addr, fd) = part.rsplit_once('=')?;
                Some((transport, addr.parse().ok()?, fd.parse().ok()?))
            };
            let list = var(name).unwrap_or_default();
            for part in list.split(',').filter(|part| !part.is_empty()) {
                let wrong = || format!("{name}: {part:?} is not ADDRESS=FD");
                listeners.push(listener(part).ok_or_else(wrong)?);
            }
        }
        Ok(Inheritance {
            listeners,
            admin: number(ADMIN_FD)?,
            lock: number(LOCK_FD)?,
            ready: number(READY_FD)?,
        })
    }
}

/// A successor that was started and has not said yet that it serves.
#[derive(Debug)]
pub struct Successor {
    child: Child,
    ready: PipeReader,
}

impl Program {
    /// Starts the successor.
    ///
    /// # Errors
    /// The program cannot be executed, or there is no descriptor left.
    pub fn start(&self, sockets: &Sockets, lock: BorrowedFd<'_>) -> io::Result<Successor> {
        // Copies, so that only this one child inherits, and closed on every way out.
        let mut passed: Vec<OwnedFd> = Vec::new();
        let mut pass = |fd: BorrowedFd<'_>| -> io::Result<RawFd> {
            let copy = fd.try_clone_to_owned()?;
            let number = (self.pass_on)(copy.as_fd())?;
            passed.push(copy);
            Ok(number)
        };
        let (ready, writer) = io::pipe()?;
        let mut command = Command::new(&self.path);
        for (transport, name) in LISTENERS {
            let mut list = Vec::new();
            for (_, addr, fd) in sockets.listeners.iter().filter(|(of, ..)| *of == transport) {
                list.push(format!("{addr}={}", pass(fd.as_fd())?));
            }
            command.env(name, list.join(","));
        }
        command
            .args(&self.args)
            .env(LOCK_FD, pass(lock)?.to_string())
            .env(READY_FD, pass(writer.as_fd())?.to_string())
            // They name the process that systemd started; what they grant is passed on above or by
            // MAINPID.
            .env_remove("WATCHDOG_PID")
            .env_remove("LISTEN_PID")
            .env_remove("LISTEN_FDS")
            .env_remove("LISTEN_FDNAMES");
        match &sockets.admin {
            Some(fd) => command.env(ADMIN_FD, pass(fd.as_fd())?.to_string()),
            None => command.env_remove(ADMIN_FD),
        };
        if self.activated {
            command.env(ACTIVATED, "1");
        }
        let child = command.spawn()?;
        Ok(Successor { child, ready })
    }
}

impl Successor {
    /// Waits until it serves; returns its process id. One that does not in time is killed.
    ///
    /// # Errors
    /// How it failed; it is gone then.
    pub async fn ready(mut self) -> Result<u32, String> {
        let mut pipe = self.ready;
        let said = tokio::task::spawn_blocking(move || {
            let mut text = [0; READY.len()];
            pipe.read_exact(&mut text).is_ok_and(|()| text == READY)
        });
        match timeout(READY_WAIT, said).await {
            Ok(Ok(true)) => Ok(self.child.id()),
            Ok(_) => {
                // The pipe closed, so it is ending, or did something else with its descriptors.
                let _ = self.child.kill();
                let status = self.child.wait().map_err(|error| error.to_string())?;
                Err(format!("it ended with {status} before it served; its own log says why"))
            }
            Err(_) => {
                let _ = self.child.kill();
                let _ = self.child.wait();
                Err(format!("it did not serve within {READY_WAIT:?} and was ended"))
            }
        }
    }
}

/// The program that is running now.
pub fn this_program(
    pass_on: fn(BorrowedFd<'_>) -> io::Result<RawFd>,
    activated: bool,
) -> io::Result<Program> {
    let path = env::current_exe()?;
    Ok(Program { path, args: env::args_os().skip(1).collect(), pass_on, activated })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(pairs: &[(&str, &str)]) -> impl Fn(&str) -> Option<String> {
        let pairs: Vec<_> = pairs.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        move |name| pairs.iter().find(|(k, _)| k == name).map(|(_, v)| v.clone())
    }

    #[test]
    fn what_is_passed_on_is_understood() {
        let fds = "127.0.0.1:80=7,[::1]:80=8,127.0.0.1:80=9";
        let pairs = [(LISTEN_FDS, fds), (LISTEN_TLS_FDS, "127.0.0.1:443=11"), (LOCK_FD, "10")];
        let found = Inheritance::from_env(env(&pairs)).unwrap();
        let (v4, v6) = ("127.0.0.1:80".parse().unwrap(), "[::1]:80".parse().unwrap());
        let tls = (Transport::Tls, "127.0.0.1:443".parse().unwrap(), 11);
        let plain = |addr, fd| (Transport::Plain, addr, fd);
        assert_eq!(found.listeners, [plain(v4, 7), plain(v6, 8), plain(v4, 9), tls]);
        assert_eq!((found.lock, found.admin, found.ready), (Some(10), None, None));
        assert_eq!(Inheritance::from_env(env(&[])).unwrap(), Inheritance::default());
        let wrong = [(LISTEN_FDS, "80=7"), (LISTEN_TLS_FDS, "127.0.0.1:80"), (READY_FD, "x")];
        for (name, wrong) in wrong {
            assert!(Inheritance::from_env(env(&[(name, wrong)])).unwrap_err().contains(name));
        }
    }

    fn successor(script: &str) -> Successor {
        let (ready, writer) = io::pipe().unwrap();
        let child =
            Command::new("sh").args(["-c", script]).stdout(writer).spawn().expect("sh exists");
        Successor { child, ready }
    }

    #[tokio::test]
    async fn only_the_word_makes_a_successor() {
        let serving = successor("echo ready; exec sleep 60");
        let pid = serving.child.id();
        assert_eq!(serving.ready().await, Ok(pid));
        Command::new("kill").arg(pid.to_string()).status().unwrap();
        let error = successor("exit 78").ready().await.unwrap_err();
        assert!(error.contains("78"), "{error}");
        successor("echo hello; sleep 60").ready().await.unwrap_err();
    }
}
