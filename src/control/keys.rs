//! Access keys of the API: pairs of an id and a secret, each with a role. The same pair signs DCDN
//! calls and, as `ID.SECRET`, is a bearer key.
//!
//! At rest a secret is a SHA-256 hash (bearer keys) and sealed with the node's own key, a 0600 file
//! (signatures need the secret itself). Not here: signatures (`dcdn`), headers (`api`).

use std::path::Path;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::database::{Database, DatabaseError, Schema};

pub const SCHEMA: Schema = Schema { part: "keys", steps: &[] };

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
    #[error("{0}")]
    Refused(String),
}

/// The keys of one state directory. Every call reads the database: a revoked key is refused at once.
#[derive(Debug, Clone)]
pub struct Keys {
    database: Database,
}

impl Keys {
    /// # Errors
    /// The node's own key can be neither read nor made.
    pub fn open(_state_dir: &Path, database: Database) -> Result<Keys, KeyError> {
        Ok(Keys { database })
    }

    pub fn create(&self, _name: &str, _role: Role) -> Result<NewKey, KeyError> {
        todo!("{:?}", self.database)
    }

    pub fn list(&self) -> Result<Vec<Key>, KeyError> {
        todo!()
    }

    pub fn revoke(&self, _id: &str) -> Result<Key, KeyError> {
        todo!()
    }

    /// At first start: one admin key, written to `STATE_DIR/admin.key` (0600); `None` when there are
    /// keys already. Returns the path of the file.
    pub fn first(&self, _state_dir: &Path) -> Result<Option<std::path::PathBuf>, KeyError> {
        todo!()
    }

    /// The key that `ID.SECRET` is; `None` for anything else. Compares in constant time.
    pub fn bearer(&self, _token: &str) -> Result<Option<Key>, KeyError> {
        todo!()
    }

    /// A key that is in force with its secret, to check a signature.
    pub fn signing(&self, _id: &str) -> Result<Option<(Key, Zeroizing<String>)>, KeyError> {
        todo!()
    }
}
