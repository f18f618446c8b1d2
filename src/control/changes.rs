//! Changes to domains: the one way in which the APIs, the console and the command line write domain
//! files. A change set is journalled, applied as a whole, live in the next snapshot, and stands in
//! the audit log with its author and the texts before and after.
//!
//! Not here: what a change means in the words of one API (`api`, `dcdn`), texts (`config::edit`),
//! one file (`config::store`), the snapshot (`publish`).

use std::net::IpAddr;
use std::sync::Arc;

use rusqlite::Transaction;
use serde::{Deserialize, Serialize};

use super::config::store::{Store, StoreError};
use super::database::{Database, Schema};
use super::edge::Edge;
use super::publish::Rejected;

pub const SCHEMA: Schema = Schema { part: "changes", steps: &[] };

/// Who changes something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Author {
    /// Key id, user name on this host, or `hawser`.
    pub name: String,
    pub via: Via,
    /// Where the request came from.
    #[schema(value_type = Option<String>)]
    pub address: Option<IpAddr>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Via {
    Api,
    Dcdn,
    Cli,
    /// Found at a reload: somebody edited the file.
    File,
    /// The edge itself.
    Edge,
}

/// One domain's file before and after; `None` is no file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    pub domain: Arc<str>,
    pub before: Option<String>,
    pub after: Option<String>,
}

/// A change set that is live.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Applied {
    /// Number of the change set in the audit log; `None` when nothing differed.
    pub change: Option<i64>,
    /// Of the snapshot that has it.
    pub generation: u64,
    #[schema(value_type = Vec<String>)]
    pub domains: Vec<Arc<str>>,
}

#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// Nothing was changed: a name, a text, a file.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Nothing was changed: the whole would not be a configuration that can be served.
    #[error("{0}")]
    Rejected(#[from] Rejected),
    /// `If-Match` named another revision.
    #[error(
        "{domain} is at revision {found:?}, not {expected:?}: somebody changed it meanwhile; read it again"
    )]
    Revision { domain: Arc<str>, expected: String, found: Option<String> },
    /// WebSocket is asked for, and no plan is in effect.
    #[error(
        "WebSocket cannot be enabled on {domain}: no billing plan is in effect; choose one first \
         (OpenDcdnService, POST /api/v1/plan or `hawser plan open`), or set [billing] enabled = \
         false in hawser.toml"
    )]
    NoPlan { domain: Arc<str> },
    #[error("database: {0}")]
    Database(#[from] rusqlite::Error),
    /// What the caller's own function said.
    #[error("{0}")]
    Refused(String),
}

/// One entry of the audit log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Entry {
    pub id: i64,
    /// Entries of one change set have the same number.
    pub change: i64,
    /// RFC 3339, UTC.
    pub at: String,
    pub author: Author,
    /// Such as `set`, `remove`, `rollback`, `AddDcdnDomain`, `key create`, `plan change`.
    pub action: String,
    /// `None`: it was not about a domain.
    pub domain: Option<String>,
    /// Texts of the domain's file. Never of certificates or secrets.
    pub before: Option<String>,
    pub after: Option<String>,
}

/// Writes that belong to a change set and are part of its transaction, such as tags.
pub type Records = Box<dyn FnOnce(&Transaction<'_>) -> rusqlite::Result<()> + Send>;

/// What to do to domains, and who wants it.
pub struct Order<'a> {
    pub author: &'a Author,
    /// As it stands in the audit log.
    pub action: &'a str,
    pub domains: &'a [Arc<str>],
    /// `If-Match`: the revision that each of `domains` must be at.
    pub expected: Option<String>,
    pub records: Option<Records>,
}

/// Applies change sets one after another, and knows what was applied.
#[derive(Debug)]
pub struct Changes {
    store: Store,
    database: Database,
}

impl Changes {
    pub fn new(store: Store, database: Database) -> Changes {
        Changes { store, database }
    }

    /// What `edit` would do, checked as far as [`Changes::apply`] checks before it writes.
    pub async fn preview(
        &self,
        _edge: &Edge,
        _domains: &[Arc<str>],
        _edit: impl FnMut(&str, Option<&str>) -> Result<Option<String>, ChangeError> + Send,
    ) -> Result<Vec<Change>, ChangeError> {
        todo!("{:?} {:?}", self.store, self.database)
    }

    /// Asks `edit` for the new text of each domain (name, present text) and applies them all, or
    /// none: journal, files, snapshot, audit log. A process that is killed in between finishes at
    /// its next start.
    pub async fn apply(
        &self,
        _edge: &Edge,
        _order: Order<'_>,
        _edit: impl FnMut(&str, Option<&str>) -> Result<Option<String>, ChangeError> + Send,
    ) -> Result<Applied, ChangeError> {
        todo!()
    }

    /// Notes in the audit log what is not about the text of a domain (keys, plans, certificates,
    /// connections, drain).
    pub fn note(&self, _author: &Author, _action: &str, _about: &str) -> Result<(), ChangeError> {
        todo!()
    }

    /// The newest entries first; `before` is an entry's id, to page on.
    pub fn entries(
        &self,
        _domain: Option<&str>,
        _before: Option<i64>,
        _limit: usize,
    ) -> Result<Vec<Entry>, ChangeError> {
        todo!()
    }

    /// Puts a domain back to what it was after entry `id` (which may be: away).
    pub async fn roll_back(
        &self,
        _edge: &Edge,
        _author: &Author,
        _id: i64,
    ) -> Result<Applied, ChangeError> {
        todo!()
    }
}

/// The revision of a domain's text: what `ETag` and `If-Match` carry, without the quotes.
pub fn revision(_text: &str) -> String {
    todo!()
}
