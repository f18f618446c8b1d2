//! The state directory of one running edge: claimed by a lock, with the control socket in it.
//!
//! Not here: the domain files in it (`config`), what the socket answers (`control_socket`).

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

const LOCK: &str = "hawser.lock";
const SOCKET: &str = "control.sock";

/// Why the directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ClaimError {
    #[error(
        "another hawser{} is running with state directory {path}: stop it (`hawser stop \
         --state-dir {path}`) or give this one a directory of its own (server.state_dir)",
        process(*.pid), path = .path.display()
    )]
    Taken { pid: Option<u32>, path: PathBuf },
    #[error("cannot use state directory {}: {step}: {error}{}", .path.display(), hint(.error))]
    Io { path: PathBuf, step: &'static str, error: io::Error },
}

impl ClaimError {
    /// Whether the user who runs hawser lacks a permission.
    pub fn is_permission(&self) -> bool {
        matches!(self, ClaimError::Io { error, .. }
            if error.kind() == io::ErrorKind::PermissionDenied)
    }
}

fn process(pid: Option<u32>) -> String {
    pid.map(|pid| format!(" (process {pid})")).unwrap_or_default()
}

fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            "; make it writable for the user who runs hawser, or name another one with \
             --state-dir or server.state_dir"
        }
        io::ErrorKind::InvalidInput => "; the path of a Unix socket has at most 107 bytes",
        _ => "",
    }
}

/// A claimed directory. The claim ends with the process, however it ends; a successor inherits it
/// with the descriptor.
#[derive(Debug)]
pub struct StateDir {
    path: PathBuf,
    lock: File,
}

/// A socket of this process; its file is removed with [`ControlSocket::remove`], unless a
/// successor replaced it.
#[derive(Debug)]
pub struct ControlSocket {
    path: PathBuf,
    inode: u64,
}

impl StateDir {
    /// Makes the directory if there is none, and claims it; `inherited` is the claim of a
    /// predecessor that handed over.
    pub fn claim(path: &Path, inherited: Option<OwnedFd>) -> Result<StateDir, ClaimError> {
        let failed = failed(path);
        DirBuilder::new()
            .recursive(true)
            .mode(0o750)
            .create(path)
            .map_err(|e| failed("create it", e))?;
        let mut lock = match inherited {
            Some(fd) => File::from(fd),
            None => {
                let mut options = OpenOptions::new();
                options.read(true).write(true).create(true).truncate(false).mode(0o640);
                options.open(path.join(LOCK)).map_err(|e| failed("open its lock file", e))?
            }
        };
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                let _ = lock.read_to_string(&mut text);
                let pid = text.trim().parse().ok();
                return Err(ClaimError::Taken { pid, path: path.to_owned() });
            }
            Err(TryLockError::Error(error)) => return Err(failed("lock it", error)),
        }
        // For people and for the error above; the lock is what counts.
        let pid = format!("{}\n", std::process::id());
        lock.set_len(0)
            .and_then(|()| lock.write_all_at(pid.as_bytes(), 0))
            .map_err(|e| failed("write its lock file", e))?;
        Ok(StateDir { path: path.to_owned(), lock })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The claim, to be passed on.
    pub fn lock(&self) -> BorrowedFd<'_> {
        self.lock.as_fd()
    }

    /// Opens the control socket. One that is there belongs to a process that was killed, or to a
    /// predecessor that is handing over: it is replaced in one step, so there is a socket at every
    /// moment. Sockets that processes left behind which were killed while they retired are removed.
    pub fn control_socket(&self) -> Result<(UnixListener, ControlSocket), ClaimError> {
        for pid in retiring(&self.path) {
            let path = retiring_socket(&self.path, pid);
            let dead = UnixStream::connect(&path)
                .is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused);
            if dead {
                let _ = fs::remove_file(path);
            }
        }
        self.open(self.path.join(SOCKET), "control.new")
    }

    /// Opens a further control socket, for a process whose successor has the first one: by it the
    /// tunnels that this one still has are seen and closed.
    pub fn retiring_socket(&self) -> Result<(UnixListener, ControlSocket), ClaimError> {
        let pid = std::process::id();
        self.open(retiring_socket(&self.path, pid), &format!("control.{pid}.new"))
    }

    fn open(
        &self,
        path: PathBuf,
        fresh: &str,
    ) -> Result<(UnixListener, ControlSocket), ClaimError> {
        let failed = failed(&self.path);
        let fresh = self.path.join(fresh);
        match fs::remove_file(&fresh) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(failed("remove an old control socket", error));
            }
            _ => {}
        }
        let listener = UnixListener::bind(&fresh).map_err(|e| failed("open control.sock", e))?;
        // Nobody knows the name of the fresh socket before it is for its owner only.
        fs::set_permissions(&fresh, Permissions::from_mode(0o600))
            .map_err(|e| failed("restrict control.sock", e))?;
        listener.set_nonblocking(true).map_err(|e| failed("open control.sock", e))?;
        let inode = fs::metadata(&fresh).map_err(|e| failed("open control.sock", e))?.ino();
        fs::rename(&fresh, &path).map_err(|e| failed("open control.sock", e))?;
        Ok((listener, ControlSocket { path, inode }))
    }
}

/// The processes that handed over and may still have tunnels, by their sockets. One that was killed
/// is among them until the next start.
pub fn retiring(state_dir: &Path) -> Vec<u32> {
    let pid = |name: &str| name.strip_prefix("control.")?.strip_suffix(".sock")?.parse().ok();
    let entries = fs::read_dir(state_dir).into_iter().flatten().flatten();
    let mut all: Vec<u32> = entries.filter_map(|entry| pid(entry.file_name().to_str()?)).collect();
    all.sort_unstable();
    all
}

/// Where the process `pid` answers after it handed over.
pub fn retiring_socket(state_dir: &Path, pid: u32) -> PathBuf {
    state_dir.join(format!("control.{pid}.sock"))
}

impl ControlSocket {
    pub fn remove(&self) {
        if fs::metadata(&self.path).is_ok_and(|file| file.ino() == self.inode) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn failed(path: &Path) -> impl Fn(&'static str, io::Error) -> ClaimError + Copy + '_ {
    move |step, error| ClaimError::Io { path: path.to_owned(), step, error }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_live_claim_is_refused_and_a_dead_ones_socket_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state");
        let first = StateDir::claim(&path, None).unwrap();
        let (listener, socket) = first.control_socket().unwrap();
        let refused = StateDir::claim(&path, None).unwrap_err().to_string();
        let pid = std::process::id().to_string();
        assert!(refused.contains(&pid) && refused.contains("hawser stop"), "{refused}");

        // Killed: the socket file stays, nobody listens.
        drop((listener, first));
        assert!(UnixStream::connect(path.join(SOCKET)).is_err());
        let second = StateDir::claim(&path, None).unwrap();
        let (_listener, ours) = second.control_socket().unwrap();
        UnixStream::connect(path.join(SOCKET)).unwrap();
        let mode = fs::metadata(path.join(SOCKET)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);

        socket.remove();
        assert!(path.join(SOCKET).exists(), "the predecessor leaves its successor's socket alone");
        ours.remove();
        assert!(!path.join(SOCKET).exists());
    }

    #[test]
    fn a_successor_inherits_the_claim() {
        let dir = tempfile::tempdir().unwrap();
        let old = StateDir::claim(dir.path(), None).unwrap();
        let passed = old.lock().try_clone_to_owned().unwrap();
        let new = StateDir::claim(dir.path(), Some(passed)).unwrap();
        drop(old);
        assert!(matches!(StateDir::claim(dir.path(), None), Err(ClaimError::Taken { .. })));
        drop(new);
        StateDir::claim(dir.path(), None).unwrap();
    }

    #[test]
    fn a_process_that_retires_has_a_socket_of_its_own_and_a_dead_one_is_cleared_away() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::claim(dir.path(), None).unwrap();
        let (_serving, first) = state.control_socket().unwrap();
        assert!(retiring(dir.path()).is_empty());
        let (listener, socket) = state.retiring_socket().unwrap();
        let pid = std::process::id();
        assert_eq!(retiring(dir.path()), [pid]);
        let path = retiring_socket(dir.path(), pid);
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);

        // The next start leaves it alone while somebody answers there, and only then.
        drop(UnixListener::bind(retiring_socket(dir.path(), 1)).unwrap());
        let (_next, _) = state.control_socket().unwrap();
        assert_eq!(retiring(dir.path()), [pid]);
        UnixStream::connect(&path).unwrap();
        first.remove();
        socket.remove();
        assert!(retiring(dir.path()).is_empty());
        drop(listener);
    }

    #[test]
    fn a_path_that_is_too_long_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let claimed = StateDir::claim(&dir.path().join("x".repeat(120)), None).unwrap();
        let error = claimed.control_socket().unwrap_err().to_string();
        assert!(error.contains("107 bytes"), "{error}");
    }
}
