//! Whose the files of a state directory are, and who runs this process. What root writes there must
//! be readable for the user who runs hawser.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, chown};
use std::path::Path;

/// User and group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner(u32, u32);

impl Owner {
    pub fn of(path: &Path) -> io::Result<Owner> {
        let file = fs::symlink_metadata(path)?;
        Ok(Owner(file.uid(), file.gid()))
    }

    pub fn ids(self) -> (u32, u32) {
        (self.0, self.1)
    }

    /// Gives `path` to this user, unless it belongs to them already.
    pub fn take(self, path: &Path) -> io::Result<()> {
        if Owner::of(path)?.0 == self.0 {
            return Ok(());
        }
        chown(path, Some(self.0), Some(self.1))
    }

    /// The user's name on this host, else their number.
    pub fn name(self) -> String {
        user_name(self.0, &fs::read_to_string("/etc/passwd").unwrap_or_default())
    }
}

/// Makes a folder and those above it with `mode`; each belongs to whom the one above belongs to.
pub fn make_dir(dir: &Path, mode: u32) -> io::Result<Owner> {
    let there = dir.ancestors().find(|dir| dir.exists()).unwrap_or(Path::new("/"));
    let owner = Owner::of(there)?;
    let missing: Vec<&Path> = dir.ancestors().take_while(|dir| *dir != there).collect();
    for dir in missing.into_iter().rev() {
        DirBuilder::new().recursive(true).mode(mode).create(dir)?;
        owner.take(dir)?;
    }
    Ok(owner)
}

/// What becomes of a file that is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    Replace,
    /// The write fails with [`io::ErrorKind::AlreadyExists`].
    Keep,
}

/// Writes a whole file that only its owner may read: under its name it is there with all of its
/// bytes, or not at all.
pub fn write_private(path: &Path, bytes: &[u8], existing: Existing) -> io::Result<()> {
    let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let fresh = dir.join(format!(".{}.{:08x}", name.to_string_lossy(), rand::random::<u32>()));
    let written = write_new(&fresh, bytes, dir).and_then(|()| match existing {
        Existing::Replace => fs::rename(&fresh, path),
        Existing::Keep => fs::hard_link(&fresh, path).and_then(|()| fs::remove_file(&fresh)),
    });
    if written.is_err() {
        // The first error is the one that counts.
        let _ = fs::remove_file(&fresh);
    }
    written?;
    // A name is on disk when its directory is.
    File::open(dir)?.sync_all()
}

fn write_new(fresh: &Path, bytes: &[u8], dir: &Path) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(fresh)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    Owner::of(dir)?.take(fresh)
}

/// The user who runs this process. Behind sudo, both names: the audit log is to say who it was.
pub fn running_user() -> String {
    let name = Owner::of(Path::new("/proc/self")).map_or_else(|_| "?".to_owned(), Owner::name);
    let plain = |name: &String| name.chars().all(|c| c.is_alphanumeric() || "._-@\\".contains(c));
    match std::env::var("SUDO_USER").ok().filter(plain) {
        Some(user) if name == "root" && !user.is_empty() && user != "root" => {
            format!("{user} (as root)")
        }
        _ => name,
    }
}

fn user_name(uid: u32, passwd: &str) -> String {
    let line = passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    });
    line.unwrap_or_else(|| uid.to_string())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_user_is_a_name_or_a_number() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nbroken\nann:x:1000:1000::/home/ann:/bin/sh\n";
        assert_eq!(user_name(1000, passwd), "ann");
        assert_eq!(user_name(0, passwd), "root");
        assert_eq!(user_name(7, passwd), "7");
        assert!(!running_user().is_empty());
    }

    #[test]
    fn a_private_file_is_whole_and_for_its_owner_only() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        write_private(&path, b"one", Existing::Keep).unwrap();
        let kept = write_private(&path, b"two", Existing::Keep).unwrap_err();
        assert_eq!(kept.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).unwrap(), b"one");
        write_private(&path, b"three", Existing::Replace).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"three");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left beside it");
    }
}
