//! Locks between processes on one state directory: the edge, its predecessor, the command line.
//! They end with the process that holds them, however it ends.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::ChangeError;
use crate::control::owner::{Owner, make_dir};
use crate::limits::CHANGES_WAIT;

/// What is locked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// The whole of one change: read, change, check, write, reload.
    Turn,
    /// Domain files and journal, while the one runs ahead of the other.
    Files,
}

impl What {
    fn file(self) -> &'static str {
        match self {
            What::Turn => "changes.lock",
            What::Files => "domains.lock",
        }
    }
}

/// Held until it is dropped.
#[derive(Debug)]
pub struct Held {
    _file: File,
}

/// Waits for at most [`CHANGES_WAIT`]. Blocks.
pub fn hold(state_dir: &Path, what: What) -> Result<Held, ChangeError> {
    let until = Instant::now() + CHANGES_WAIT;
    loop {
        if let Some(held) = hold_now(state_dir, what)? {
            return Ok(held);
        }
        if Instant::now() >= until {
            return Err(ChangeError::Busy(format!(
                "another process is changing the domains of {} and holds {} for longer than {} s; \
                 try again, or end it",
                state_dir.display(),
                what.file(),
                CHANGES_WAIT.as_secs()
            )));
        }
        sleep(POLL);
    }
}

/// `None`: somebody else has it.
pub fn hold_now(state_dir: &Path, what: What) -> Result<Option<Held>, ChangeError> {
    let path = state_dir.join(what.file());
    let failed = |error: io::Error| {
        let path = path.display();
        ChangeError::Io(format!(
            "cannot lock {path}: {error}; it must be writable for the user who runs hawser"
        ))
    };
    let owner = make_dir(state_dir, 0o750).map_err(failed)?;
    let mut options = OpenOptions::new();
    let file = options.write(true).create(true).truncate(false).mode(0o600).open(&path);
    let file = file.map_err(failed)?;
    if Owner::of(&path).map_err(failed)? != owner {
        // Root made it; only root can give it to the user who runs hawser.
        let _ = owner.take(&path);
    }
    match file.try_lock() {
        Ok(()) => Ok(Some(Held { _file: file })),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}

/// Between two looks: short against the milliseconds for which a lock is usually held.
const POLL: Duration = Duration::from_millis(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_holds_it_until_it_is_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let held = hold(dir.path(), What::Turn).unwrap();
        assert!(hold_now(dir.path(), What::Turn).unwrap().is_none());
        assert!(hold_now(dir.path(), What::Files).unwrap().is_some(), "the other one is free");
        drop(held);
        assert!(hold_now(dir.path(), What::Turn).unwrap().is_some());
    }
}
