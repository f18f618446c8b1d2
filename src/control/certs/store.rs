//! Pairs that the state directory keeps: uploaded ones in `certs/NAME/`, issued ones in
//! `acme/certs/NAME/`, each with `certificate.pem` and `key.pem`.
//!
//! The name is a link to a hidden folder beside it, so that both files change in one step, and a
//! reader or a crash meets the old pair or the new one. Not here: what is in them (`pair`).

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::{self, DirBuilder, DirEntry, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::pair::{Pair, Place};
use crate::control::config::Problem;
use crate::control::config::store::{StoreError, checked_name};
use crate::control::owner::{Owner, make_dir};

const CERTIFICATE: &str = "certificate.pem";
const KEY: &str = "key.pem";

#[derive(Debug, Clone)]
pub struct PairStore {
    dir: PathBuf,
}

/// The files of one pair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

impl Paths {
    pub fn place(self, name: &str) -> Place {
        let named_by = format!("certificate of {name}");
        Place { certificate: self.certificate, key: Some(self.key), ocsp: None, named_by }
    }
}

impl PairStore {
    pub fn uploaded(state_dir: &Path) -> PairStore {
        PairStore { dir: state_dir.join("certs") }
    }

    pub fn issued(state_dir: &Path) -> PairStore {
        PairStore { dir: state_dir.join("acme").join("certs") }
    }

    /// The pair of a domain; `None` when there is none.
    pub fn find(&self, name: &str) -> Result<Option<Paths>, StoreError> {
        let folder = self.folder(name)?;
        if !folder.try_exists().map_err(io("read", &folder))? {
            return Ok(None);
        }
        Ok(Some(Paths { certificate: folder.join(CERTIFICATE), key: folder.join(KEY) }))
    }

    /// The pair of a domain as it is, read and checked but for its names and its time.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn pair(&self, name: &str) -> Result<Option<Arc<Pair>>, Problem> {
        let found = self.find(name);
        let found = found.map_err(|e| Problem::of_file(&self.dir, e.to_string(), None))?;
        let Some(paths) = found else { return Ok(None) };
        Pair::load(&paths.place(name), |_| None).map(Some)
    }

    /// Domains that have a pair, sorted.
    pub fn names(&self) -> Result<Vec<String>, StoreError> {
        let entries = match fs::read_dir(&self.dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(io("read", &self.dir))?,
        };
        let mut names = Vec::new();
        for entry in entries {
            let name = entry.map_err(io("read", &self.dir))?.file_name();
            let Some(name) = name.to_str().filter(|name| !name.starts_with('.')) else { continue };
            let name = name.strip_prefix('+').map_or_else(|| name.into(), |n| format!("*{n}"));
            if checked_name(&name).is_ok() {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    /// Keeps a pair, which the caller has checked, in the place of the one of before.
    pub fn write(&self, name: &str, chain: &[u8], key: &[u8]) -> Result<(), StoreError> {
        let folder = self.folder(name)?;
        // For their owner only, who is that of the state directory.
        let owner = make_dir(&self.dir, 0o700).map_err(io("create", &self.dir))?;
        let unique = format!(".{}.{:08x}", file_name(name), rand::random::<u32>());
        let fresh = self.dir.join(&unique);
        let link = self.dir.join(format!("{unique}.link"));
        let written = fill(&fresh, chain, key, owner).and_then(|()| {
            symlink(&unique, &link)?;
            let before = Before::of(&folder)?;
            fs::rename(&link, &folder)?;
            sync(&self.dir)?;
            before.remove()
        });
        if written.is_err() {
            // The first error is the one that counts; what is left over is hidden and harmless.
            let _ = fs::remove_file(&link);
            if fs::read_link(&folder).ok().as_deref() != Some(Path::new(&unique)) {
                let _ = fs::remove_dir_all(&fresh);
            }
        }
        written.map_err(io("write", &folder))
    }

    /// Removes the pair of a domain; `false` when there was none.
    pub fn remove(&self, name: &str) -> Result<bool, StoreError> {
        let folder = self.folder(name)?;
        let remove = || -> io::Result<bool> {
            if fs::symlink_metadata(&folder).is_err() {
                return Ok(false);
            }
            let before = Before::of(&folder)?;
            if folder.is_symlink() {
                fs::remove_file(&folder)?;
            }
            sync(&self.dir)?;
            before.remove().map(|()| true)
        };
        remove().map_err(io("remove", &folder))
    }

    /// Removes what a writer that was killed left over. Nobody may be writing.
    pub fn sweep(&self) -> Result<(), StoreError> {
        let sweep = || -> io::Result<()> {
            let entries = match fs::read_dir(&self.dir) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
                entries => entries?.collect::<io::Result<Vec<_>>>()?,
            };
            let targets = entries.iter().filter(|entry| !is_fresh(&entry.file_name()));
            let used: HashSet<PathBuf> =
                targets.filter_map(|entry| fs::read_link(entry.path()).ok()).collect();
            let left = |entry: &&DirEntry| {
                let name = entry.file_name();
                is_fresh(&name) && !used.contains(Path::new(&name))
            };
            entries.iter().filter(left).try_for_each(|entry| match entry.file_type()?.is_dir() {
                true => fs::remove_dir_all(entry.path()),
                false => fs::remove_file(entry.path()),
            })
        };
        sweep().map_err(io("clear of left-over folders", &self.dir))
    }

    /// The name is checked first: it becomes a path.
    fn folder(&self, name: &str) -> Result<PathBuf, StoreError> {
        checked_name(name)?;
        Ok(self.dir.join(file_name(name)))
    }
}

/// Whether a name is one that [`PairStore::write`] or [`Before::of`] makes up.
fn is_fresh(name: &OsStr) -> bool {
    let name = name.to_str().filter(|name| name.starts_with('.'));
    let unique = name.and_then(|name| name.strip_suffix(".link").unwrap_or(name).rsplit_once('.'));
    let is_unique = |end: &str| end.len() == 8 && end.bytes().all(|c| c.is_ascii_hexdigit());
    unique.is_some_and(|(_, end)| is_unique(end))
}

/// `*` is nothing for a shell to meet in a path, and `+` stands in no domain name.
fn file_name(name: &str) -> String {
    name.strip_prefix('*').map_or_else(|| name.to_owned(), |below| format!("+{below}"))
}

/// What stood under a name, to be removed once the name means something else.
struct Before(Option<PathBuf>);

impl Before {
    /// A folder that somebody made by hand is moved aside here: a link cannot take its place.
    fn of(folder: &Path) -> io::Result<Before> {
        let beside = |name: &Path| folder.with_file_name(name);
        match fs::symlink_metadata(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Before(None)),
            Err(error) => Err(error),
            Ok(file) if file.is_symlink() => {
                let target = fs::read_link(folder)?;
                // Only a folder of ours, never one that the operator linked to.
                let ours = target.components().count() == 1
                    && target.as_os_str().as_encoded_bytes().starts_with(b".");
                Ok(Before(ours.then(|| beside(&target))))
            }
            Ok(_) => {
                let aside = beside(Path::new(&format!(".old.{:08x}", rand::random::<u32>())));
                fs::rename(folder, &aside)?;
                Ok(Before(Some(aside)))
            }
        }
    }

    fn remove(self) -> io::Result<()> {
        match self.0 {
            Some(path) if path.is_dir() => fs::remove_dir_all(path),
            Some(path) if path.exists() => fs::remove_file(path),
            _ => Ok(()),
        }
    }
}

fn fill(folder: &Path, chain: &[u8], key: &[u8], owner: Owner) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(folder)?;
    for (name, text) in [(CERTIFICATE, chain), (KEY, key)] {
        let path = folder.join(name);
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create_new(true).mode(0o600).open(&path)?;
        file.write_all(text)?;
        file.sync_all()?;
        owner.take(&path)?;
    }
    owner.take(folder)?;
    sync(folder)
}

/// Names are on disk when their directory is.
fn sync(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    move |error| StoreError::Io { doing, path: path.to_owned(), error }
}
