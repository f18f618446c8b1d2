//! The domain files as a store: look up, write, remove. A file is replaced as a whole by an atomic
//! rename, so that a reader, or a crash, meets the old text or the new one.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::file::Text;
use super::load::{domain_file, domains_dir};
use super::problem::{Problem, Problems};
use super::words::DOMAIN_NAME;
use super::{DomainConfig, render};

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
        let text = Text { path: self.path(name)?, text: after.to_owned() };
        let mut problems: Vec<Problem> = Vec::new();
        let config = domain_file(&text, &mut problems);
        let config = Problems::none_or(problems, config).map_err(StoreError::Refused)?;
        Ok(config.expect("refused only with a problem"))
    }

    /// Checks and writes the new text of a domain. `before` is the text that the change began with:
    /// if the file says something else by now, nothing is written.
    pub fn replace(&self, name: &str, before: Option<&str>, after: &str) -> Result<(), StoreError> {
        self.checked(name, after)?;
        let path = self.path(name)?;
        self.unchanged(name, before)?;
        fs::create_dir_all(&self.dir).map_err(StoreError::io("create", &self.dir))?;
        write_atomically(&path, after).map_err(StoreError::io("write", &path))
    }

    /// Removes the file of a domain, if it still says `before`.
    pub fn remove(&self, name: &str, before: &str) -> Result<(), StoreError> {
        let path = self.path(name)?;
        self.unchanged(name, Some(before))?;
        fs::remove_file(&path).map_err(StoreError::io("remove", &path))?;
        sync_dir(&self.dir).map_err(StoreError::io("write", &self.dir))
    }

    fn unchanged(&self, name: &str, before: Option<&str>) -> Result<(), StoreError> {
        let now = self.text(name)?;
        if now.as_ref().map(|text| text.text.as_str()) == before {
            return Ok(());
        }
        Err(StoreError::Raced(self.path(name)?))
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

/// Writes beside the file, then renames: the name stands for the old text until the new one is on
/// disk. Keeps the mode of the old file.
fn write_atomically(path: &Path, text: &str) -> io::Result<()> {
    let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let fresh = dir.join(format!(".{}.{:08x}", name.to_string_lossy(), rand::random::<u32>()));
    let written = write_new(&fresh, path, text).and_then(|()| fs::rename(&fresh, path));
    if written.is_err() {
        // The error that counts is the first one; a left-over file is hidden and harmless.
        let _ = fs::remove_file(&fresh);
    }
    written?;
    sync_dir(dir)
}

fn write_new(fresh: &Path, path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o644).open(fresh)?;
    if let Ok(old) = fs::metadata(path) {
        file.set_permissions(old.permissions())?;
    }
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// A rename is on disk when its directory is.
fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
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
        store.replace("a.example.com", None, ONE).unwrap();
        assert_eq!(store.known("a.example.com").unwrap().text, ONE);
        let two = ONE.replace("10.0.0.1", "10.0.0.2");
        let path = store.path("a.example.com").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        store.replace("a.example.com", Some(ONE), &two).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), two);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
        assert_eq!(names(&store), ["a.example.com.toml"]);
        store.remove("a.example.com", &two).unwrap();
        assert_eq!(names(&store), [""; 0]);
        let error = store.known("a.example.com").unwrap_err().to_string();
        assert!(error.starts_with("there is no domain \"a.example.com\": no file "), "{error}");
    }

    #[test]
    fn a_bad_text_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::of(dir.path());
        store.replace("a.example.com", None, ONE).unwrap();
        for bad in ["name = \"a.example.com\"", "x", &ONE.replace("a.ex", "b.ex")] {
            let error = store.replace("a.example.com", Some(ONE), bad).unwrap_err();
            assert!(matches!(error, StoreError::Refused(_)), "{error}");
        }
        assert_eq!(store.known("a.example.com").unwrap().text, ONE);
        assert_eq!(names(&store), ["a.example.com.toml"]);
    }

    #[test]
    fn a_change_by_somebody_else_is_not_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::of(dir.path());
        store.replace("a.example.com", None, ONE).unwrap();
        for before in [None, Some("something else")] {
            let error = store.replace("a.example.com", before, ONE).unwrap_err();
            assert!(matches!(error, StoreError::Raced(_)), "{error}");
        }
        assert!(matches!(store.remove("a.example.com", "x"), Err(StoreError::Raced(_))));
        assert_eq!(store.known("a.example.com").unwrap().text, ONE);
    }

    #[test]
    fn a_write_that_fails_leaves_the_old_file_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        // The new text cannot be renamed over a directory: the last step fails after all the
        // others.
        let path = dir.path().join("a.example.com.toml");
        fs::create_dir_all(path.join("full")).unwrap();
        let error = write_atomically(&path, ONE).unwrap_err();
        assert!(matches!(error.kind(), io::ErrorKind::IsADirectory), "{error}");
        assert!(path.join("full").is_dir());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        let gone = dir.path().join("gone").join("a.toml");
        assert_eq!(write_atomically(&gone, ONE).unwrap_err().kind(), io::ErrorKind::NotFound);
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
