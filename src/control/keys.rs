//! Access keys of the API: pairs of an id and a secret, each with a role. The same pair signs DCDN
//! calls and, as `ID.SECRET`, is a bearer key.
//!
//! At rest a secret is a SHA-256 hash (bearer keys) and sealed with the node's own key, a 0600 file
//! (signatures need the secret itself). Not here: signatures (`dcdn`), headers (`api`).

mod node_key;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest;
use jiff::Timestamp;
use rand::distr::{Alphanumeric, SampleString};
use rusqlite::{OptionalExtension, Row, Transaction};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

pub use self::node_key::NodeKey;
use super::changes::{Author, Via, note_within};
use super::database::{Database, DatabaseError, Schema};
use super::owner::{Existing, write_private};
use super::sign_ins::Denied;
use crate::limits::{KEY_NAME_BYTES_MAX, KEYS_MAX, KEYS_REVOKED_KEPT};

pub const SCHEMA: Schema = Schema {
    part: "keys",
    steps: &["CREATE TABLE keys (
        number INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        name TEXT NOT NULL,
        role TEXT NOT NULL,
        created TEXT NOT NULL,
        revoked TEXT,
        hash BLOB NOT NULL,
        sealed BLOB NOT NULL
    ) STRICT"],
};

/// Where the key of the first start is.
pub const FIRST_FILE: &str = "admin.key";

const ID_START: &str = "HK";
const ID_LETTERS: usize = 18;
const SECRET_LETTERS: usize = 40;
/// Names that a key can have.
pub const NAMES: &str = "1 to 64 bytes without control characters, such as \"deploy\"";
const _: () = assert!(KEY_NAME_BYTES_MAX == 64);

/// What a key may do. Each role may do what those before it may.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Everything that changes nothing, but keys.
    Read,
    /// Domains, certificates, connections, drain.
    Operate,
    /// Keys, plans, rollback.
    Admin,
}

impl Role {
    pub const ALL: [Role; 3] = [Role::Read, Role::Operate, Role::Admin];

    pub fn name(self) -> &'static str {
        match self {
            Role::Read => "read",
            Role::Operate => "operate",
            Role::Admin => "admin",
        }
    }
}

impl std::str::FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Role, String> {
        let role = Role::ALL.into_iter().find(|role| role.name() == text);
        role.ok_or_else(|| format!("{text:?} is not a role: accepted is read, operate or admin"))
    }
}

/// A key, without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Key {
    pub id: String,
    pub name: String,
    pub role: Role,
    /// RFC 3339, UTC.
    pub created: String,
    /// When it was revoked; a revoked key is kept for the audit log.
    pub revoked: Option<String>,
}

/// A key that was just made: the only moment at which its secret can be read.
pub struct NewKey {
    pub access_key_id: String,
    pub access_key_secret: Zeroizing<String>,
    pub name: String,
    pub role: Role,
}

impl fmt::Debug for NewKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let NewKey { access_key_id, access_key_secret: _, name, role } = self;
        f.debug_struct("NewKey")
            .field("access_key_id", access_key_id)
            .field("name", name)
            .field("role", role)
            .finish_non_exhaustive()
    }
}

#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error(transparent)]
    Database(#[from] DatabaseError),
    #[error("database: {0}")]
    Sqlite(#[from] rusqlite::Error),
    #[error("there is no key {0:?}; `hawser key list` shows those that there are")]
    Unknown(String),
    #[error(
        "key {0:?} is the last admin key; make another one first (hawser key create --role admin)"
    )]
    LastAdmin(String),
    #[error("{0:?} is no name of a key: accepted are {NAMES}")]
    Name(String),
    /// One key too many.
    #[error("{0}")]
    Refused(String),
    #[error("cannot {doing} {}: {error}", .path.display())]
    File { doing: &'static str, path: PathBuf, error: io::Error },
    #[error(
        "{} is no key of a node: {what}; put it back from a backup, or remove it: then the keys of \
         before stay good as bearer keys, but signatures with them cannot be checked any more",
        .path.display()
    )]
    NodeKey { path: PathBuf, what: String },
    #[error(
        "signatures with key {0} cannot be checked: node.key in the state directory is not the one \
         that was there when the key was made; put that file back from a backup, or make a new key \
         (hawser key create) and revoke this one"
    )]
    Sealed(String),
}

/// The keys of one state directory. Every call reads the database: a revoked key is refused at
/// once.
#[derive(Debug, Clone)]
pub struct Keys {
    database: Database,
    node: Arc<NodeKey>,
}

impl Keys {
    /// # Errors
    /// The node's own key can be neither read nor made.
    pub fn open(state_dir: &Path, database: Database) -> Result<Keys, KeyError> {
        Ok(Keys { database, node: Arc::new(NodeKey::open(state_dir)?) })
    }

    /// Makes a key, and notes it in the audit log. Blocks, as everything here: it asks the
    /// database.
    ///
    /// # Errors
    /// The name is none, or there are too many keys.
    pub fn create(&self, author: &Author, name: &str, role: Role) -> Result<NewKey, KeyError> {
        self.database.write(|work| self.insert(work, author, name, role, Timestamp::now()))
    }

    fn insert(
        &self,
        work: &Transaction<'_>,
        author: &Author,
        name: &str,
        role: Role,
        now: Timestamp,
    ) -> Result<NewKey, KeyError> {
        let name = checked_name(name)?;
        let count = "SELECT count(*) FROM keys WHERE revoked IS NULL";
        let count: u32 = work.query_row(count, [], |row| row.get(0))?;
        if count >= KEYS_MAX {
            return Err(KeyError::Refused(format!(
                "there are {count} keys in force already, and {KEYS_MAX} are the most: revoke \
                 those that nobody uses (hawser key list, hawser key revoke ID)"
            )));
        }
        let random = &mut rand::rng();
        let id = format!("{ID_START}{}", Alphanumeric.sample_string(random, ID_LETTERS));
        let secret = Zeroizing::new(Alphanumeric.sample_string(random, SECRET_LETTERS));
        work.execute(
            "INSERT INTO keys (id, name, role, created, hash, sealed)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            (
                &id,
                name,
                role.name(),
                at_second(now),
                hash(&secret).as_ref(),
                self.node.seal(&id, secret.as_bytes()),
            ),
        )?;
        note_within(work, author, "key create", &format!("{id} ({}, {name})", role.name()))?;
        let name = name.to_owned();
        Ok(NewKey { access_key_id: id, access_key_secret: secret, name, role })
    }

    /// All keys, oldest first; of the revoked ones the last [`KEYS_REVOKED_KEPT`].
    pub fn list(&self) -> Result<Vec<Key>, KeyError> {
        self.database.read(|reader| {
            let mut keys = reader.prepare_cached("SELECT * FROM keys ORDER BY number")?;
            let keys = keys.query_map([], key)?.collect::<rusqlite::Result<_>>()?;
            Ok(keys)
        })
    }

    /// Takes a key out of force, for ever, and notes it. Revoking it again changes nothing.
    pub fn revoke(&self, author: &Author, id: &str) -> Result<Key, KeyError> {
        self.database.write(|work| {
            let known = find(work, id)?.ok_or_else(|| KeyError::Unknown(shown(id)))?;
            if known.key.revoked.is_some() {
                return Ok(known.key);
            }
            let others = "SELECT count(*) FROM keys \
                          WHERE revoked IS NULL AND role = 'admin' AND id <> ?1";
            let others: u32 = work.query_row(others, [id], |row| row.get(0))?;
            if known.key.role == Role::Admin && others == 0 {
                return Err(KeyError::LastAdmin(id.to_owned()));
            }
            // Its secret is of no more use to anybody.
            let now = at_second(Timestamp::now());
            work.execute(
                "UPDATE keys SET revoked = ?2, hash = x'', sealed = x'' WHERE id = ?1",
                (id, &now),
            )?;
            work.execute(
                "DELETE FROM keys WHERE revoked IS NOT NULL AND number NOT IN (
                    SELECT number FROM keys WHERE revoked IS NOT NULL
                    ORDER BY revoked DESC, number DESC LIMIT ?1)",
                [KEYS_REVOKED_KEPT],
            )?;
            let Key { name, role, .. } = &known.key;
            note_within(work, author, "key revoke", &format!("{id} ({}, {name})", role.name()))?;
            Ok(Key { revoked: Some(now), ..known.key })
        })
    }

    /// At first start: one admin key, written to `STATE_DIR/admin.key` (0600); `None` when there is
    /// an admin key already. Returns the path of the file.
    pub fn first(&self, state_dir: &Path) -> Result<Option<PathBuf>, KeyError> {
        let path = state_dir.join(FIRST_FILE);
        self.database.write(|work| {
            let admins = "SELECT count(*) FROM keys WHERE revoked IS NULL AND role = 'admin'";
            let admins: u32 = work.query_row(admins, [], |row| row.get(0))?;
            if admins > 0 {
                return Ok(None);
            }
            let author = Author { name: "hawser".to_owned(), via: Via::Edge, address: None };
            let NewKey { access_key_id: id, access_key_secret: secret, .. } =
                self.insert(work, &author, "first start", Role::Admin, Timestamp::now())?;
            // Before the commit: a process that is killed in between leaves a file that the next
            // start replaces, and not a key that nobody knows.
            let line = Zeroizing::new(format!("{id}.{}\n", *secret));
            write_private(&path, line.as_bytes(), Existing::Replace)
                .map_err(|error| KeyError::File { doing: "write", path: path.clone(), error })?;
            Ok(Some(path.clone()))
        })
    }

    /// The key that `ID.SECRET` is, or why it is none. Compares in constant time, and as long when
    /// there is no such id.
    pub fn bearer(&self, token: &str) -> Result<Result<Key, Denied>, KeyError> {
        let Some((id, secret)) = token.split_once('.').filter(|_| token.len() <= TOKEN_BYTES_MAX)
        else {
            return Ok(Err(Denied::Missing));
        };
        let known = self.database.read(|reader| find(reader, id))?;
        let nobody = [0; digest::SHA256_OUTPUT_LEN];
        let right = known.as_ref().map_or(&nobody[..], |known| &known.hash);
        let same = verify_slices_are_equal(hash(secret).as_ref(), right).is_ok();
        Ok(match known.map(|known| known.key) {
            None => Err(Denied::Unknown),
            Some(key) if key.revoked.is_some() => Err(Denied::Revoked(key.id)),
            Some(key) if !same => Err(Denied::WrongSecret(key.id)),
            Some(key) => Ok(key),
        })
    }

    /// The key of this id, while it is in force.
    pub fn in_force(&self, id: &str) -> Result<Option<Key>, KeyError> {
        let known = self.database.read(|reader| find(reader, id))?;
        Ok(known.map(|known| known.key).filter(|key| key.revoked.is_none()))
    }

    /// A key that is in force with its secret, to check a signature; or why there is none.
    ///
    /// # Errors
    /// [`KeyError::Sealed`]: the secret cannot be known any more.
    pub fn signing(&self, id: &str) -> Result<Result<(Key, Zeroizing<String>), Denied>, KeyError> {
        let known = self.database.read(|reader| find(reader, id))?;
        let Some(Known { key, sealed, .. }) = known else { return Ok(Err(Denied::Unknown)) };
        if key.revoked.is_some() {
            return Ok(Err(Denied::Revoked(key.id)));
        }
        let secret = self.node.opened(&key.id, sealed);
        let secret = secret.as_deref().and_then(|secret| std::str::from_utf8(secret).ok());
        let secret = secret.ok_or_else(|| KeyError::Sealed(key.id.clone()))?;
        let secret = Zeroizing::new(secret.to_owned());
        Ok(Ok((key, secret)))
    }

    /// Ids of keys in force with which nobody can sign any more: `node.key` is another one than it
    /// was.
    pub fn sealed_by_another(&self) -> Result<Vec<String>, KeyError> {
        let ids = self.list()?.into_iter().filter(|key| key.revoked.is_none()).map(|key| key.id);
        let mut lost = Vec::new();
        for id in ids {
            match self.signing(&id) {
                Err(KeyError::Sealed(id)) => lost.push(id),
                other => drop(other?),
            }
        }
        Ok(lost)
    }
}

/// Longer than any `ID.SECRET`; nothing beyond it is looked at.
const TOKEN_BYTES_MAX: usize = 128;

/// A row.
struct Known {
    key: Key,
    hash: Vec<u8>,
    sealed: Vec<u8>,
}

fn find(reader: &rusqlite::Connection, id: &str) -> Result<Option<Known>, KeyError> {
    let mut row = reader.prepare_cached("SELECT * FROM keys WHERE id = ?1")?;
    let known = |row: &Row<'_>| {
        Ok(Known { key: key(row)?, hash: row.get("hash")?, sealed: row.get("sealed")? })
    };
    Ok(row.query_row([id], known).optional()?)
}

fn key(row: &Row<'_>) -> rusqlite::Result<Key> {
    let role: String = row.get("role")?;
    Ok(Key {
        id: row.get("id")?,
        name: row.get("name")?,
        // What is written here is one of the names; anything else may do least.
        role: role.parse().unwrap_or(Role::Read),
        created: row.get("created")?,
        revoked: row.get("revoked")?,
    })
}

fn hash(secret: &str) -> digest::Digest {
    digest::digest(&digest::SHA256, secret.as_bytes())
}

fn checked_name(name: &str) -> Result<&str, KeyError> {
    let name = name.trim();
    if !name.is_empty() && name.len() <= KEY_NAME_BYTES_MAX && !name.chars().any(char::is_control) {
        return Ok(name);
    }
    Err(KeyError::Name(shown(name)))
}

/// What somebody sent, cut to what an error shows.
fn shown(text: &str) -> String {
    text.chars().take(KEY_NAME_BYTES_MAX).collect()
}

fn at_second(now: Timestamp) -> String {
    now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests;
