//! Files that may be replaced at any time: what they are told apart by, and how one is read whole.

use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::problem;
use crate::control::config::Problem;

/// What changes when a file is written to or replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamp {
    path: PathBuf,
    device: u64,
    inode: u64,
    bytes: u64,
    /// Seconds and nanoseconds; the second pair cannot be set by anybody.
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(path: &Path, metadata: &Metadata) -> Stamp {
        Stamp {
            path: path.to_owned(),
            device: metadata.dev(),
            inode: metadata.ino(),
            bytes: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// A file that is there and may be read.
pub struct Opened {
    /// Of the setting that names it.
    pub key: &'static str,
    pub stamp: Stamp,
    file: File,
}

impl Opened {
    pub fn open(key: &'static str, path: &Path) -> Result<Opened, Problem> {
        let accepted = "a regular file that the user who runs hawser may read, or false";
        let refuse = |what: String| problem(key, path, what, accepted);
        let unreadable = |error: io::Error| match error.kind() {
            io::ErrorKind::NotFound => refuse("there is no such file".to_owned()),
            _ => refuse(format!("not readable: {error}")),
        };
        // Asked before opening: opening a named pipe would wait for its writer.
        if !std::fs::metadata(path).map_err(unreadable)?.is_file() {
            return Err(refuse("is not a regular file".to_owned()));
        }
        let file = File::open(path).map_err(unreadable)?;
        let stamp = Stamp::of(path, &file.metadata().map_err(unreadable)?);
        Ok(Opened { key, stamp, file })
    }

    pub fn path(&self) -> &Path {
        &self.stamp.path
    }

    pub fn refuse(&self, what: impl Into<String>, accepted: &str) -> Problem {
        problem(self.key, self.path(), what, accepted)
    }

    /// All of it, as it was when it was opened.
    pub fn bytes(&self, most: u64) -> Result<Vec<u8>, Problem> {
        let too_large = || {
            let what = format!("is larger than {most} bytes");
            self.refuse(what, "a smaller file")
        };
        if self.stamp.bytes > most {
            return Err(too_large());
        }
        let mut bytes = Vec::new();
        let again = "hawser reload, once the file is whole";
        let mut read = || -> io::Result<Stamp> {
            (&self.file).take(most + 1).read_to_end(&mut bytes)?;
            Ok(Stamp::of(self.path(), &self.file.metadata()?))
        };
        let after = read().map_err(|error| self.refuse(format!("not readable: {error}"), again))?;
        // A rename over it or its removal changes no byte of the file that is open.
        let written = |stamp: &Stamp| (stamp.bytes, stamp.modified);
        if written(&after) != written(&self.stamp) || bytes.len() as u64 != self.stamp.bytes {
            return Err(self.refuse("was written to while it was read", again));
        }
        Ok(bytes)
    }
}
