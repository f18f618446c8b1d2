//! Changes to domains: the one way in which the APIs, the console and the command line write domain
//! files. A change set is journalled, applied as a whole, live in the next snapshot, and stands in
//! the audit log with its author and the texts before and after.
//!
//! Not here: what a change means in the words of one API (`api`, `dcdn`), texts (`config::edit`),
//! one file (`config::store`), the snapshot (`publish`).

mod audit;
pub mod certificates;
mod journal;
mod lock;
mod notice;
pub mod offline;
mod pairs;

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use rusqlite::Transaction;
use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, OwnedMutexGuard};

pub use self::audit::{Of, SCHEMA};
use self::certificates::CertificateError;
pub use self::journal::Done;
use self::journal::{Journal, Set};
use self::lock::Held;
pub use self::notice::before_start;
use self::pairs::{Swap, Texts};
use super::billing::BillingError;
use super::config::WouldBe;
use super::config::store::StoreError;
use super::database::{Database, DatabaseError};
use super::edge::Edge;
use super::publish::{Load, Rejected};

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
    Console,
    /// Found at a reload: somebody edited the file.
    File,
    /// The edge itself.
    Edge,
}

impl Via {
    pub fn name(self) -> &'static str {
        match self {
            Via::Api => "api",
            Via::Dcdn => "dcdn",
            Via::Cli => "cli",
            Via::Console => "console",
            Via::File => "file",
            Via::Edge => "edge",
        }
    }

    /// What is written here is one of the names.
    fn of(name: &str) -> Via {
        let all = [Via::Api, Via::Dcdn, Via::Cli, Via::Console, Via::File];
        all.into_iter().find(|via| via.name() == name).unwrap_or(Via::Edge)
    }
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
        "{domain} is at revision {found:?}, not {expected:?}: somebody changed it meanwhile; read \
         it again"
    )]
    Revision { domain: Arc<str>, expected: String, found: Option<String> },
    /// WebSocket is asked for, and no plan is in effect.
    #[error(
        "WebSocket cannot be enabled on {domain}: no billing plan is in effect; choose one first \
         (OpenDcdnService, POST /api/v1/plan or `hawser plan open`), or set [billing] enabled = \
         false in hawser.toml; with websocket.enabled = false the domain can be set up before"
    )]
    NoPlan { domain: Arc<str> },
    #[error("database: {0}; nothing was changed")]
    Database(#[from] rusqlite::Error),
    #[error(transparent)]
    Open(#[from] DatabaseError),
    #[error(transparent)]
    Billing(#[from] BillingError),
    /// Another process is at work; it can be tried again.
    #[error("{0}")]
    Busy(String),
    #[error("{0}")]
    Io(String),
    #[error("there is no entry {0} in the audit log, or it is older than what is kept")]
    NoEntry(i64),
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
    /// What it was about, where that is no domain; why, where somebody else than a person did it.
    pub about: Option<String>,
    /// `None`: it was not about a domain.
    pub domain: Option<String>,
    /// Texts of the domain's file, `None` for no file. Never of certificates or secrets.
    pub before: Option<String>,
    pub after: Option<String>,
}

/// Writes that belong to a change set and are part of its transaction, such as tags. They return
/// what undoes them, for a set that is put back.
pub type Records = Box<dyn FnOnce(&Transaction<'_>) -> rusqlite::Result<Undo> + Send>;
pub type Undo = Box<dyn FnOnce(&Transaction<'_>) -> rusqlite::Result<()> + Send>;

/// What to do to domains, and who wants it.
pub struct Order<'a> {
    pub author: &'a Author,
    /// As it stands in the audit log.
    pub action: &'a str,
    pub domains: &'a [Arc<str>],
    /// `If-Match`: the revision that each of `domains` must be at; empty: there is none of them.
    pub expected: Option<String>,
    /// Written also when no text differs; the audit log then has an entry for each of `domains`.
    pub records: Option<Records>,
}

/// What a change set has beside the texts of its domains.
#[derive(Default)]
struct Beside {
    about: Option<String>,
    /// The certificate that all of its domains get; the inner `None`: theirs is taken away.
    pair: Option<Option<Texts>>,
}

/// Applies change sets one after another, and knows what was applied.
#[derive(Debug)]
pub struct Changes {
    journal: Journal,
    /// The turn among those who ask in this process.
    here: Arc<Mutex<()>>,
}

/// The turn among everybody.
#[derive(Debug)]
struct Turn {
    _here: OwnedMutexGuard<()>,
    _everywhere: Held,
}

impl Changes {
    pub fn new(state_dir: &Path, database: Database) -> Changes {
        Changes { journal: Journal::new(state_dir, database), here: Arc::default() }
    }

    /// `load` as the reloads of an edge are to use it: it never reads a change set that is half
    /// written, and what was edited by hand goes into the audit log.
    pub fn noticing(&self, load: Load) -> Load {
        notice::reading(self.journal.clone(), load)
    }

    /// `load` as whoever only looks is to use it: the same, and nothing goes into the audit log.
    pub fn reading(&self, load: Load) -> Load {
        notice::looking(self.journal.clone(), load)
    }

    /// Puts into the audit log what was edited by hand while no edge ran. Blocks.
    pub fn notice(&self) -> Result<(), ChangeError> {
        let _files = self.journal.files()?;
        self.journal.notice()
    }

    /// What `edit` would do, checked as far as [`Changes::apply`] checks before it writes.
    pub async fn preview(
        &self,
        edge: &Arc<Edge>,
        domains: &[Arc<str>],
        edit: impl FnMut(&str, Option<&str>) -> Result<Option<String>, ChangeError> + Send,
    ) -> Result<Vec<Change>, ChangeError> {
        let mut changes = self.wanted(domains, None, edit).await?;
        changes.retain(differs);
        self.check(edge, &changes).await?;
        Ok(changes)
    }

    /// Asks `edit` for the new text of each domain (name, present text) and applies them all, or
    /// none: journal, files, snapshot, audit log. A process that is killed in between finishes at
    /// its next start. Whoever stops waiting for the answer does not stop the change.
    pub async fn apply(
        &self,
        edge: &Arc<Edge>,
        order: Order<'_>,
        edit: impl FnMut(&str, Option<&str>) -> Result<Option<String>, ChangeError> + Send,
    ) -> Result<Applied, ChangeError> {
        self.apply_with(edge, order, Beside::default(), edit).await
    }

    async fn apply_with(
        &self,
        edge: &Arc<Edge>,
        order: Order<'_>,
        Beside { about, pair }: Beside,
        edit: impl FnMut(&str, Option<&str>) -> Result<Option<String>, ChangeError> + Send,
    ) -> Result<Applied, ChangeError> {
        let Order { author, action, domains, expected, records } = order;
        let turn = self.turn().await?;
        let mut changes = self.wanted(domains, expected.as_deref(), edit).await?;
        let pairs = match pair {
            Some(wanted) => self.pairs(domains.to_vec(), wanted).await?,
            None => Vec::new(),
        };
        if records.is_none() || !pairs.is_empty() {
            changes.retain(differs);
        }
        if changes.is_empty() && pairs.is_empty() {
            let generation = edge.publisher.cell().current().generation;
            return Ok(Applied { change: None, generation, domains: Vec::new() });
        }
        self.check(edge, &changes).await?;
        let (author, action) = (author.clone(), action.to_owned());
        let set = Set { author, action, about, changes, records, pairs };
        let (journal, edge) = (self.journal.clone(), Arc::clone(edge));
        joined(tokio::spawn(carried_out(journal, edge, turn, set)).await)
    }

    /// Notes in the audit log what is not about the text of a domain (keys, plans, certificates,
    /// connections, drain). Blocks.
    pub fn note(&self, author: &Author, action: &str, about: &str) -> Result<(), ChangeError> {
        self.journal.note(author, action, about).map(drop)
    }

    /// The newest entries first; `before` is an entry's id, to page on. A page is bounded in number
    /// and in bytes; an empty one is the last. Blocks.
    pub fn entries(
        &self,
        of: Of<'_>,
        before: Option<i64>,
        limit: usize,
    ) -> Result<Vec<Entry>, ChangeError> {
        let database = &self.journal.database;
        Ok(database.read(|reader| audit::entries(reader, of, before, limit))?)
    }

    /// When a domain came to be, as RFC 3339; `None`: before what is kept. Blocks.
    pub fn created(&self, domain: &str) -> Result<Option<String>, ChangeError> {
        Ok(self.journal.database.read(|reader| audit::created(reader, domain))?)
    }

    /// One entry. Blocks.
    pub fn entry(&self, id: i64) -> Result<Entry, ChangeError> {
        entry(&self.journal, id)
    }

    /// Puts a domain back to what it was after entry `id` (which may be: away). `expected` as in
    /// [`Order`].
    pub async fn roll_back(
        &self,
        edge: &Arc<Edge>,
        author: &Author,
        id: i64,
        expected: Option<String>,
    ) -> Result<Applied, ChangeError> {
        let (domain, after) = self.former(id).await?;
        let domains = [domain];
        let order =
            Order { author, action: "rollback", domains: &domains, expected, records: None };
        let beside = Beside { about: Some(format!("to entry {id}")), ..Beside::default() };
        self.apply_with(edge, order, beside, |_, _| Ok(after.clone())).await
    }

    /// What [`Changes::roll_back`] would do; a text that would not differ is told of too.
    pub async fn roll_back_preview(
        &self,
        edge: &Arc<Edge>,
        id: i64,
        expected: Option<String>,
    ) -> Result<Vec<Change>, ChangeError> {
        let (domain, after) = self.former(id).await?;
        let edit = |_: &str, _: Option<&str>| Ok(after.clone());
        let changes = self.wanted(&[domain], expected.as_deref(), edit).await?;
        self.check(edge, &changes).await?;
        Ok(changes)
    }

    /// A domain and its text after entry `id`.
    async fn former(&self, id: i64) -> Result<(Arc<str>, Option<String>), ChangeError> {
        let entry = blocking(&self.journal, move |journal| entry(journal, id)).await?;
        match entry.domain {
            Some(domain) => Ok((domain.into(), entry.after)),
            None => Err(ChangeError::Refused(format!(
                "entry {id} ({}) is not about the text of a domain: there is nothing to go back to",
                entry.action
            ))),
        }
    }

    /// The certificates of `domains` as they are and as they are to be.
    async fn pairs(
        &self,
        domains: Vec<Arc<str>>,
        wanted: Option<Texts>,
    ) -> Result<Vec<Swap>, ChangeError> {
        let swaps = blocking(&self.journal, move |journal| {
            Ok(certificates::swaps(journal, &domains, wanted.as_ref()))
        });
        swaps.await?.map_err(|error| match error {
            CertificateError::Change(error) => error,
            other => ChangeError::Refused(other.to_string()),
        })
    }

    async fn turn(&self) -> Result<Turn, ChangeError> {
        let here = Arc::clone(&self.here).lock_owned().await;
        let everywhere = blocking(&self.journal, |journal| journal.turn()).await?;
        Ok(Turn { _here: here, _everywhere: everywhere })
    }

    /// Each domain as it is and as it is to be.
    async fn wanted(
        &self,
        domains: &[Arc<str>],
        expected: Option<&str>,
        mut edit: impl FnMut(&str, Option<&str>) -> Result<Option<String>, ChangeError> + Send,
    ) -> Result<Vec<Change>, ChangeError> {
        let names = domains.to_vec();
        let read = blocking(&self.journal, move |journal| {
            let text = |domain: Arc<str>| Ok((journal.text(&domain)?, domain));
            names.into_iter().map(text).collect::<Result<Vec<_>, ChangeError>>()
        });
        let mut changes: Vec<Change> = Vec::with_capacity(domains.len());
        for (before, domain) in read.await? {
            let found = before.as_deref().map(revision);
            let now = found.as_deref().unwrap_or_default();
            if let Some(expected) = expected.filter(|expected| now != *expected) {
                let expected = expected.to_owned();
                return Err(ChangeError::Revision { domain, expected, found });
            }
            match changes.iter_mut().find(|change| change.domain == domain) {
                // Named twice: the second edit goes on from the first.
                Some(change) => change.after = edit(&domain, change.after.as_deref())?,
                None => {
                    let after = edit(&domain, before.as_deref())?;
                    changes.push(Change { domain, before, after });
                }
            }
        }
        Ok(changes)
    }

    /// Each text by itself, the plan that WebSocket needs, then the whole as a reload would.
    async fn check(&self, edge: &Arc<Edge>, changes: &[Change]) -> Result<(), ChangeError> {
        let changes: Vec<Change> = changes.iter().filter(|c| differs(c)).cloned().collect();
        if changes.is_empty() {
            return Ok(());
        }
        let would_be = would_be(&changes);
        let enabling = blocking(&self.journal, move |journal| journal.enabling(&changes)).await?;
        if let Some(domain) = enabling
            && !edge.plan_in_effect()
        {
            return Err(ChangeError::NoPlan { domain });
        }
        Ok(edge.publisher.check(would_be).await?)
    }
}

/// Journal, files, reload; or everything as it was before.
async fn carried_out(
    journal: Journal,
    edge: Arc<Edge>,
    turn: Turn,
    set: Set,
) -> Result<Applied, ChangeError> {
    let domains = set.changes.iter().map(|change| Arc::clone(&change.domain)).collect();
    let reload = !set.pairs.is_empty() || set.changes.iter().any(differs);
    let done = blocking(&journal, move |journal| journal.commit(set)).await?;
    let number = done.number;
    let mut generation = edge.publisher.cell().current().generation;
    if reload {
        generation = match edge.reload().await {
            Ok(reloaded) => reloaded.generation,
            Err(rejected) => {
                let why = rejected.detail.clone();
                blocking(&journal, move |journal| journal.put_back(done, &why)).await?;
                return Err(rejected.into());
            }
        };
    }
    drop(turn);
    Ok(Applied { change: Some(number), generation, domains })
}

fn entry(journal: &Journal, id: i64) -> Result<Entry, ChangeError> {
    let entry = journal.database.read(|reader| audit::one(reader, id))?;
    entry.ok_or(ChangeError::NoEntry(id))
}

/// As [`Changes::note`], for whoever has no edge.
pub fn note_to(
    database: &Database,
    author: &Author,
    action: &str,
    about: &str,
) -> Result<(), ChangeError> {
    Ok(database.write(|work| audit::note(work, author, action, about)).map(drop)?)
}

/// The same as part of a transaction: it is noted when it is done, and only then.
pub fn note_within(
    work: &Transaction<'_>,
    author: &Author,
    action: &str,
    about: &str,
) -> rusqlite::Result<()> {
    audit::note(work, author, action, about).map(drop)
}

/// The revision of a domain's text: what `ETag` and `If-Match` carry, without the quotes.
pub fn revision(text: &str) -> String {
    audit::hash(text).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

fn differs(change: &Change) -> bool {
    change.before != change.after
}

fn would_be(changes: &[Change]) -> WouldBe {
    changes.iter().map(|change| (Arc::clone(&change.domain), change.after.clone())).collect()
}

/// Does what waits for disks and locks where it may wait.
async fn blocking<T: Send + 'static>(
    journal: &Journal,
    work: impl FnOnce(&Journal) -> Result<T, ChangeError> + Send + 'static,
) -> Result<T, ChangeError> {
    let journal = journal.clone();
    joined(tokio::task::spawn_blocking(move || work(&journal)).await)
}

fn joined<T>(done: Result<T, tokio::task::JoinError>) -> T {
    match done {
        Ok(value) => value,
        // Only a panic ends here: it goes on where it would have been seen.
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    }
}

#[cfg(test)]
mod tests;
