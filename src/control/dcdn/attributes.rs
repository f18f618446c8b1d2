//! What DCDN knows of a domain and its file has no place for: ids, when it came, tags, how its
//! origins were described. Kept in the node's database, written with the change that it belongs to.
//!
//! Not here: the words of operations, the files.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, PoisonError};

use rusqlite::{Connection, Transaction, params};
use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, MutexGuard};

use super::error::Failure;
use super::operations::functions::{self, FUNCTIONS};
use crate::control::config::Loaded;
use crate::control::database::Schema;
use crate::control::edge::Edge;

pub const SCHEMA: Schema = Schema { part: "dcdn", steps: &[FIRST] };

const FIRST: &str = "
CREATE TABLE dcdn_domain (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    created INTEGER NOT NULL,
    scope TEXT NOT NULL,
    resource_group TEXT NOT NULL,
    scene TEXT NOT NULL,
    function_type TEXT NOT NULL,
    sources TEXT NOT NULL
) STRICT;
CREATE TABLE dcdn_tag (
    domain INTEGER NOT NULL REFERENCES dcdn_domain (id) ON DELETE CASCADE,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (domain, key)
) STRICT, WITHOUT ROWID;
CREATE TABLE dcdn_function (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    domain INTEGER NOT NULL REFERENCES dcdn_domain (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    scheme TEXT,
    UNIQUE (domain, name)
) STRICT;
CREATE TABLE dcdn_certificate (
    domain INTEGER PRIMARY KEY REFERENCES dcdn_domain (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    region TEXT NOT NULL
) STRICT;
CREATE TABLE dcdn_nonce (
    key TEXT NOT NULL,
    nonce BLOB NOT NULL,
    taken INTEGER NOT NULL,
    PRIMARY KEY (key, nonce)
) STRICT, WITHOUT ROWID;
CREATE INDEX dcdn_nonce_taken ON dcdn_nonce (taken);
";

/// How an origin was described: what of it its entry in the file does not say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Described {
    pub content: String,
    pub kind: String,
    pub port: u16,
}

/// One configured function of a domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Configured {
    pub id: i64,
    /// The origin protocol that this function asked for, of those that share one key of the file.
    pub scheme: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attributes {
    pub id: i64,
    /// Milliseconds since the Unix epoch.
    pub created: i64,
    pub scope: String,
    pub resource_group: String,
    pub scene: String,
    pub function_type: String,
    pub sources: Vec<Described>,
    pub tags: BTreeMap<String, String>,
    /// By name.
    pub functions: BTreeMap<String, Configured>,
    /// Name and region that an uploaded certificate was given.
    pub certificate: Option<(String, String)>,
}

impl Attributes {
    /// Of a domain that is new here.
    pub fn new(created: i64) -> Attributes {
        Attributes { created, scope: "domestic".to_owned(), ..Attributes::default() }
    }
}

/// The right to change domains.
pub type Turn<'a> = MutexGuard<'a, ()>;

/// The attributes of all domains, in step with the configuration.
#[derive(Debug, Default)]
pub struct Book {
    /// Held by a call that changes domains, so that what it reads stays true until it is done, and
    /// that what it adds is not taken for left over.
    turn: Mutex<()>,
    /// The configuration that the tables were last compared with.
    seen: std::sync::Mutex<Option<Arc<Loaded>>>,
}

impl Book {
    pub async fn turn(&self) -> Turn<'_> {
        self.turn.lock().await
    }

    /// The attributes of one domain, or of all: also of those that came by file or by REST.
    /// `turn` is that of the caller, if it has one.
    ///
    /// # Errors
    /// The database cannot be used.
    pub async fn read(
        &self,
        edge: &Arc<Edge>,
        name: Option<&str>,
        turn: Option<&Turn<'_>>,
    ) -> Result<BTreeMap<String, Attributes>, Failure> {
        if !self.has_seen(&edge.publisher.configured()) {
            let taken = if turn.is_none() { Some(self.turn().await) } else { None };
            self.compare(edge).await.map_err(|error| Failure::internal(&error))?;
            drop(taken);
        }
        let name = name.map(str::to_owned);
        let found = edge.database.off_the_runtime(move |database| {
            database.read(|connection| read(connection, name.as_deref()))
        });
        found.await.map_err(|error: rusqlite::Error| Failure::internal(&error))
    }
}

impl Book {
    fn has_seen(&self, loaded: &Arc<Loaded>) -> bool {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.as_ref().is_some_and(|seen| Arc::ptr_eq(seen, loaded))
    }

    async fn compare(&self, edge: &Arc<Edge>) -> rusqlite::Result<()> {
        let loaded = edge.publisher.configured();
        if self.has_seen(&loaded) {
            return Ok(());
        }
        let of = Arc::clone(&loaded);
        let compared = edge.database.off_the_runtime(move |database| {
            let known = database.read(|connection| read(connection, None))?;
            if is_in_step(&of, &known) {
                return Ok(());
            }
            database.write(|work| bring_in_step(work, &of))
        });
        compared.await.inspect(|()| {
            *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(loaded);
        })
    }
}

/// When a file was last written, in milliseconds since the Unix epoch. Blocks.
pub fn modified(path: &Path) -> i64 {
    let modified = std::fs::metadata(path).and_then(|file| file.modified());
    let since = modified.ok().and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
    since.and_then(|since| i64::try_from(since.as_millis()).ok()).unwrap_or_default()
}

// === Tables ===

fn read(
    connection: &Connection,
    name: Option<&str>,
) -> rusqlite::Result<BTreeMap<String, Attributes>> {
    let mut domains = BTreeMap::new();
    let mut names = BTreeMap::new();
    let only = "WHERE ?1 IS NULL OR name = ?1";
    let of = "domain IN (SELECT id FROM dcdn_domain WHERE ?1 IS NULL OR name = ?1)";
    let mut rows = connection.prepare_cached(&format!(
        "SELECT id, name, created, scope, resource_group, scene, function_type, sources
         FROM dcdn_domain {only}"
    ))?;
    let mut rows = rows.query([name])?;
    while let Some(row) = rows.next()? {
        let (id, name): (i64, String) = (row.get(0)?, row.get(1)?);
        let sources: String = row.get(7)?;
        let attributes = Attributes {
            id,
            created: row.get(2)?,
            scope: row.get(3)?,
            resource_group: row.get(4)?,
            scene: row.get(5)?,
            function_type: row.get(6)?,
            sources: serde_json::from_str(&sources).unwrap_or_default(),
            ..Attributes::default()
        };
        names.insert(id, name.clone());
        domains.insert(name, attributes);
    }
    let mut of_domain = |id: i64, put: &mut dyn FnMut(&mut Attributes)| {
        if let Some(attributes) = names.get(&id).and_then(|name| domains.get_mut(name)) {
            put(attributes);
        }
    };
    let mut tags = connection
        .prepare_cached(&format!("SELECT domain, key, value FROM dcdn_tag WHERE {of}"))?;
    let mut tags = tags.query([name])?;
    while let Some(row) = tags.next()? {
        let (key, value): (String, String) = (row.get(1)?, row.get(2)?);
        of_domain(row.get(0)?, &mut |a| drop(a.tags.insert(key.clone(), value.clone())));
    }
    let mut functions = connection.prepare_cached(&format!(
        "SELECT domain, name, id, scheme FROM dcdn_function WHERE {of}"
    ))?;
    let mut functions = functions.query([name])?;
    while let Some(row) = functions.next()? {
        let name: String = row.get(1)?;
        let configured = Configured { id: row.get(2)?, scheme: row.get(3)? };
        of_domain(row.get(0)?, &mut |a| {
            drop(a.functions.insert(name.clone(), configured.clone()));
        });
    }
    let mut certificates = connection
        .prepare_cached(&format!("SELECT domain, name, region FROM dcdn_certificate WHERE {of}"))?;
    let mut certificates = certificates.query([name])?;
    while let Some(row) = certificates.next()? {
        let pair: (String, String) = (row.get(1)?, row.get(2)?);
        of_domain(row.get(0)?, &mut |a| a.certificate = Some(pair.clone()));
    }
    Ok(domains)
}

/// The attributes of domains, to be put back one day.
pub fn of(
    work: &Transaction<'_>,
    names: &[Arc<str>],
) -> rusqlite::Result<BTreeMap<String, Attributes>> {
    let mut all = BTreeMap::new();
    for name in names {
        all.append(&mut read(work, Some(name))?);
    }
    Ok(all)
}

/// Makes the attributes of domains what they were, ids and all.
pub fn put_back(
    work: &Transaction<'_>,
    names: &[Arc<str>],
    before: &BTreeMap<String, Attributes>,
) -> rusqlite::Result<()> {
    for name in names {
        remove_domain(work, name)?;
        let Some(attributes) = before.get(&**name) else { continue };
        insert_domain(work, name, Some(attributes.id), attributes)?;
        for (function, Configured { id, scheme }) in &attributes.functions {
            work.execute(
                "INSERT INTO dcdn_function (id, domain, name, scheme) VALUES (?1, ?2, ?3, ?4)",
                params![id, attributes.id, function, scheme],
            )?;
        }
        let certificate = attributes.certificate.as_ref();
        let certificate = certificate.map(|(name, region)| (name.as_str(), region.as_str()));
        put_certificate(work, name, certificate)?;
    }
    Ok(())
}

/// Writes a domain that is new here; what there was under its name goes.
pub fn put_domain(
    work: &Transaction<'_>,
    name: &str,
    attributes: &Attributes,
) -> rusqlite::Result<()> {
    remove_domain(work, name)?;
    insert_domain(work, name, None, attributes)
}

/// All but functions and certificate. `id`: that of before; a new one without.
fn insert_domain(
    work: &Transaction<'_>,
    name: &str,
    id: Option<i64>,
    attributes: &Attributes,
) -> rusqlite::Result<()> {
    work.execute(
        "INSERT INTO dcdn_domain (id, name, created, scope, resource_group, scene, function_type,
            sources) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        params![
            id,
            name,
            attributes.created,
            attributes.scope,
            attributes.resource_group,
            attributes.scene,
            attributes.function_type,
            sources_text(&attributes.sources),
        ],
    )?;
    put_tags(work, name, &attributes.tags)
}

/// Writes what may change of a domain that is there, all but tags and functions.
pub fn update_domain(
    work: &Transaction<'_>,
    name: &str,
    attributes: &Attributes,
) -> rusqlite::Result<()> {
    work.execute(
        "UPDATE dcdn_domain SET scope = ?2, resource_group = ?3, sources = ?4 WHERE name = ?1",
        params![
            name,
            attributes.scope,
            attributes.resource_group,
            sources_text(&attributes.sources),
        ],
    )?;
    Ok(())
}

fn sources_text(sources: &[Described]) -> String {
    serde_json::to_string(sources).unwrap_or_else(|_| "[]".to_owned())
}

pub fn remove_domain(work: &Transaction<'_>, name: &str) -> rusqlite::Result<()> {
    work.execute("DELETE FROM dcdn_domain WHERE name = ?1", [name]).map(drop)
}

/// Adds tags, or gives those that are there other values.
pub fn put_tags(
    work: &Transaction<'_>,
    name: &str,
    tags: &BTreeMap<String, String>,
) -> rusqlite::Result<()> {
    let mut put = work.prepare_cached(
        "REPLACE INTO dcdn_tag (domain, key, value)
         SELECT id, ?2, ?3 FROM dcdn_domain WHERE name = ?1",
    )?;
    for (key, value) in tags {
        put.execute(params![name, key, value])?;
    }
    Ok(())
}

/// Removes tags; all of them without `keys`.
pub fn remove_tags(
    work: &Transaction<'_>,
    name: &str,
    keys: Option<&[String]>,
) -> rusqlite::Result<()> {
    const OF: &str = "domain = (SELECT id FROM dcdn_domain WHERE name = ?1)";
    let Some(keys) = keys else {
        return work.execute(&format!("DELETE FROM dcdn_tag WHERE {OF}"), [name]).map(drop);
    };
    for key in keys {
        work.execute(&format!("DELETE FROM dcdn_tag WHERE {OF} AND key = ?2"), [name, key])?;
    }
    Ok(())
}

/// Notes that a function is configured; its id stays when it was before.
pub fn put_function(
    work: &Transaction<'_>,
    domain: &str,
    function: &str,
    scheme: Option<&str>,
) -> rusqlite::Result<()> {
    work.execute(
        "INSERT INTO dcdn_function (domain, name, scheme)
         SELECT id, ?2, ?3 FROM dcdn_domain WHERE name = ?1
         ON CONFLICT (domain, name) DO UPDATE SET scheme = excluded.scheme",
        params![domain, function, scheme],
    )
    .map(drop)
}

pub fn remove_function(
    work: &Transaction<'_>,
    domain: &str,
    function: &str,
) -> rusqlite::Result<()> {
    work.execute(
        "DELETE FROM dcdn_function
         WHERE domain = (SELECT id FROM dcdn_domain WHERE name = ?1) AND name = ?2",
        [domain, function],
    )
    .map(drop)
}

pub fn put_certificate(
    work: &Transaction<'_>,
    domain: &str,
    certificate: Option<(&str, &str)>,
) -> rusqlite::Result<()> {
    let id = "(SELECT id FROM dcdn_domain WHERE name = ?1)";
    work.execute(&format!("DELETE FROM dcdn_certificate WHERE domain = {id}"), [domain])?;
    let Some((name, region)) = certificate else { return Ok(()) };
    work.execute(
        "INSERT INTO dcdn_certificate (domain, name, region)
         SELECT id, ?2, ?3 FROM dcdn_domain WHERE name = ?1",
        [domain, name, region],
    )
    .map(drop)
}

/// Notes a nonce for good; `false` when it was there. Forgets those taken before `forgotten`.
pub fn take_nonce(
    work: &Transaction<'_>,
    key: &str,
    nonce: &[u8],
    now: i64,
    forgotten: i64,
) -> rusqlite::Result<bool> {
    work.execute("DELETE FROM dcdn_nonce WHERE taken < ?1", [forgotten])?;
    let new = work.execute(
        "INSERT OR IGNORE INTO dcdn_nonce (key, nonce, taken) VALUES (?1, ?2, ?3)",
        params![key, nonce, now],
    )?;
    Ok(new == 1)
}

// === In step with the configuration ===

fn is_in_step(loaded: &Loaded, known: &BTreeMap<String, Attributes>) -> bool {
    loaded.domains.len() == known.len()
        && loaded.domains.iter().all(|config| {
            known.get(&*config.name).is_some_and(|attributes| {
                FUNCTIONS.iter().all(|function| {
                    let has_id = attributes.functions.contains_key(function.name);
                    match functions::standing(function, config) {
                        functions::Standing::Set => has_id,
                        functions::Standing::Unset => !has_id,
                        functions::Standing::Off => true,
                    }
                })
            })
        })
}

/// Domains and functions that came by file or by REST get their ids; what is gone goes.
fn bring_in_step(work: &Transaction<'_>, loaded: &Loaded) -> rusqlite::Result<()> {
    let known = read(work, None)?;
    let is_there =
        |name: &str| loaded.domains.binary_search_by(|config| (*config.name).cmp(name)).is_ok();
    for name in known.keys().filter(|name| !is_there(name)) {
        remove_domain(work, name)?;
    }
    for config in &loaded.domains {
        let attributes = known.get(&*config.name);
        if attributes.is_none() {
            put_domain(work, &config.name, &Attributes::new(modified(&config.file)))?;
        }
        for function in FUNCTIONS {
            let has_id = attributes.is_some_and(|a| a.functions.contains_key(function.name));
            match functions::standing(function, config) {
                functions::Standing::Set if !has_id => {
                    let scheme = functions::scheme_in(function, config);
                    put_function(work, &config.name, function.name, scheme)?;
                }
                functions::Standing::Unset if has_id => {
                    remove_function(work, &config.name, function.name)?;
                }
                _ => {}
            }
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "attributes_tests.rs"]
mod tests;
