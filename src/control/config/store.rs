//! The domain files as a store: look up, write, remove. A file is replaced as a whole by an atomic
//! rename, so that a reader, or a crash, meets the old text or the new one.
//!
//! Not here: which files change together, and who may write (`control::changes`).

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, chown};
use std::path::{Path, PathBuf};

use super::file::Text;
use super::load::{domain_file, domains_dir};
use super::problem::{Problem, Problems};
use super::words::DOMAIN_NAME;
use super::{DomainConfig, render};
use crate::control::owner::{Owner, make_dir};

/// The domain files of one state directory.
#[derive(Debug, Clone)]
pub struct Store {
    dir: PathBuf,
}

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("{name:?} is not a domain name{}: accepted is {}",
        .why.as_ref().map(|w| format!(" ({w})")).unwrap_or_default(), DOMAIN_NAME.accepts)]
    Name { name: String, why: Option<String> },
    #[error("there is no domain {name:?}: no file {}", .path.display())]
    Unknown { name: String, path: PathBuf },
    #[error("{0}")]
    Refused(Problems),
    #[error("{} was changed by somebody else in the meantime; nothing was written", .0.display())]
    Raced(PathBuf),
    #[error("cannot {doing} {}: {error}", .path.display())]
    Io { doing: &'static str, path: PathBuf, error: io::Error },
}

impl StoreError {
    fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
        move |error| StoreError::Io { doing, path: path.to_owned(), error }
    }
}

impl Store {
    pub fn of(state_dir: &Path) -> Store {
        Store { dir: domains_dir(state_dir) }
    }

    /// The file of a domain. The name is checked first: it becomes a path.
    pub fn path(&self, name: &str) -> Result<PathBuf, StoreError> {
        checked_name(name).map(|()| self.dir.join(format!("{name}.toml")))
    }

    /// The text of a domain's file as it is, or `None` when there is no such file.
    pub fn text(&self, name: &str) -> Result<Option<Text>, StoreError> {
        let path = self.path(name)?;
        if !path.try_exists().map_err(StoreError::io("read", &path))? {
            return Ok(None);
        }
        Text::read(&path).map(Some).map_err(|problem| StoreError::Refused(Problems(vec![problem])))
    }

    /// As [`Store::text`], for a domain that has to be there.
    pub fn known(&self, name: &str) -> Result<Text, StoreError> {
        self.text(name)?.ok_or_else(|| match self.path(name) {
            Ok(path) => StoreError::Unknown { name: name.to_owned(), path },
            Err(error) => error,
        })
    }

    /// Checks `after` as the new text of a domain, without writing it.
    pub fn checked(&self, name: &str, after: &str) -> Result<DomainConfig, StoreError> {
        let refused = |problem| StoreError::Refused(Problems(vec![problem]));
        let text = Text::of(self.path(name)?, after.to_owned()).map_err(refused)?;
        let mut problems: Vec<Problem> = Vec::new();
        let config = domain_file(&text, &mut problems);
        let config = Problems::none_or(problems, config).map_err(StoreError::Refused)?;
        Ok(config.expect("refused only with a problem"))
    }

    /// Writes the new text of a domain beside its file: whatever can fail for want of room has
    /// happened when this returns. The text has been checked.
    pub fn prepare(&self, name: &str, after: &str) -> Result<Prepared, StoreError> {
        let path = self.path(name)?;
        make_dir(&self.dir, 0o750).map_err(StoreError::io("create", &self.dir))?;
        let unique = format!("{FRESH}{name}.toml.{:08x}", rand::random::<u32>());
        let prepared = Prepared { fresh: self.dir.join(unique), path };
        write_new(&prepared.fresh, &prepared.path, after)
            .map_err(StoreError::io("write", &prepared.path))?;
        Ok(prepared)
    }

    /// Removes the file of a domain; it is gone for good after [`Store::sync`].
    pub fn remove(&self, name: &str) -> Result<(), StoreError> {
        let path = self.path(name)?;
        fs::remove_file(&path).map_err(StoreError::io("remove", &path))
    }

    /// Puts names on disk: a rename is there when its directory is.
    pub fn sync(&self) -> Result<(), StoreError> {
        let synced = File::open(&self.dir).and_then(|dir| dir.sync_all());
        synced.map_err(StoreError::io("write", &self.dir))
    }

    /// Removes what a process that was killed had prepared. Nobody else may be preparing.
    pub fn sweep(&self) -> io::Result<()> {
        let entries = match fs::read_dir(&self.dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            if is_fresh(&entry.file_name().to_string_lossy()) {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }
}

/// How the names of prepared files begin. Hidden, so that no reader takes one for a domain.
const FRESH: &str = ".";

/// `.NAME.toml.01234567`.
fn is_fresh(name: &str) -> bool {
    let unique = name.strip_prefix(FRESH).and_then(|rest| rest.rsplit_once(".toml."));
    unique.is_some_and(|(_, unique)| {
        unique.len() == 8 && unique.bytes().all(|b| b.is_ascii_hexdigit())
    })
}

/// A text on its way to be a domain's file; removed when it does not get there.
#[derive(Debug)]
pub struct Prepared {
    fresh: PathBuf,
    path: PathBuf,
}

impl Prepared {
    /// Puts it in the place of the file; it is there for good after [`Store::sync`].
    pub fn place(self) -> Result<(), StoreError> {
        fs::rename(&self.fresh, &self.path).map_err(StoreError::io("write", &self.path))
    }
}

impl Drop for Prepared {
    fn drop(&mut self) {
        // Placed, it is not there any more; else it is hidden and harmless.
        let _ = fs::remove_file(&self.fresh);
    }
}

/// Whether a domain may have this name; whatever becomes a path is asked here first.
pub fn checked_name(name: &str) -> Result<(), StoreError> {
    match (DOMAIN_NAME.read)(name) {
        Ok(_) => Ok(()),
        Err(why) => Err(StoreError::Name { name: name.to_owned(), why }),
    }
}

/// A domain with every default filled in, in the shape of its file, as JSON.
pub fn json(config: &DomainConfig) -> serde_json::Value {
    let text = render::domain(config, render::Form::File);
    toml::from_str(&text).expect("what is rendered is TOML, and TOML without dates is JSON")
}

/// Keeps mode and owner of the old file; a new one belongs to whom its directory belongs to.
fn write_new(fresh: &Path, path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o644).open(fresh)?;
    if let Ok(old) = fs::metadata(path) {
        file.set_permissions(old.permissions())?;
        if (old.uid(), old.gid()) != Owner::of(fresh)?.ids() {
            // Only root may give files away; for anybody else the new file is their own.
            let _ = chown(fresh, Some(old.uid()), Some(old.gid()));
        }
    } else if let Some(dir) = path.parent() {
        let _ = Owner::of(dir)?.take(fresh);
    }
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const ONE: &str = "name = \"a.example.com\"\n[[origin]]\naddress = \"10.0.0.1\"\n";

    fn names(store: &Store) -> Vec<String> {
        let entries = fs::read_dir(&store.dir).unwrap();
        let mut names: Vec<String> =
            entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_domain_comes_changes_and_goes() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::of(dir.path());
        assert!(store.text("a.example.com").unwrap().is_none());
        store.prepare("a.example.com", ONE).unwrap().place().unwrap();
        assert_eq!(store.known("a.example.com").unwrap().text, ONE);
        let two = ONE.replace("10.0.0.1", "10.0.0.2");
        let path = store.path("a.example.com").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let prepared = store.prepare("a.example.com", &two).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), ONE, "not yet");
        prepared.place().unwrap();
        store.sync().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), two);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
        assert_eq!(names(&store), ["a.example.com.toml"]);
        store.remove("a.example.com").unwrap();
        assert_eq!(names(&store), [""; 0]);
        let error = store.known("a.example.com").unwrap_err().to_string();
        assert!(error.starts_with("there is no domain \"a.example.com\": no file "), "{error}");
    }

    #[test]
    fn a_bad_text_is_refused() {
        let store = Store::of(Path::new("/nowhere"));
        let large = format!("{ONE}#{}", "x".repeat(1 << 20));
        for bad in ["name = \"a.example.com\"", "x", &ONE.replace("a.ex", "b.ex"), &large] {
            let error = store.checked("a.example.com", bad).unwrap_err();
            assert!(matches!(error, StoreError::Refused(_)), "{error}");
        }
        store.checked("a.example.com", ONE).unwrap();
    }

    #[test]
    fn what_is_prepared_and_not_placed_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::of(dir.path());
        let prepared = store.prepare("a.example.com", ONE).unwrap();
        assert_eq!(names(&store).len(), 1);
        drop(prepared);
        assert_eq!(names(&store), [""; 0]);
        // Of a process that was killed; other hidden files are not ours.
        std::mem::forget(store.prepare("*.example.com", ONE).unwrap());
        for other in [".swp", ".a.toml.swp", ".a.toml.0123456x"] {
            fs::write(store.dir.join(other), "").unwrap();
        }
        store.sweep().unwrap();
        assert_eq!(names(&store), [".a.toml.0123456x", ".a.toml.swp", ".swp"]);
    }

    #[test]
    fn a_write_that_fails_leaves_the_old_file_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::of(dir.path());
        // The new text cannot be renamed over a directory: the last step fails after all the
        // others.
        let path = store.path("a.example.com").unwrap();
        fs::create_dir_all(path.join("full")).unwrap();
        let error = store.prepare("a.example.com", ONE).unwrap().place().unwrap_err();
        assert!(matches!(error, StoreError::Io { doing: "write", .. }), "{error}");
        assert!(path.join("full").is_dir());
        assert_eq!(names(&store), ["a.example.com.toml"]);
    }

    #[test]
    fn a_name_that_is_not_one_never_becomes_a_path() {
        let store = Store::of(Path::new("/nowhere"));
        for name in ["../../etc/passwd", "a/b", "", ".", "..", "A.example.com", "a\0b", "*"] {
            assert!(matches!(store.path(name), Err(StoreError::Name { .. })), "{name:?}");
        }
        let path = store.path("*.example.com").unwrap();
        assert_eq!(path, Path::new("/nowhere/domains/*.example.com.toml"));
    }
}
