//! The tables of journal and audit log, and what is asked of them. Each text is kept once, under
//! its hash: toggling a domain to and fro costs a line each time and not two files.

use std::collections::HashMap;

use aws_lc_rs::digest::{SHA256, digest};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};

use super::{Author, Change, Entry, Via};
use crate::control::database::Schema;
use crate::limits::{AUDIT_BYTES_MAX, AUDIT_ENTRIES_MAX, AUDIT_PAGE_BYTES, AUDIT_PAGE_MAX};

pub const SCHEMA: Schema = Schema {
    part: "changes",
    steps: &[
        "
        CREATE TABLE texts (
            id INTEGER PRIMARY KEY,
            hash BLOB NOT NULL UNIQUE,
            bytes INTEGER NOT NULL,
            text TEXT NOT NULL
        ) STRICT;
        CREATE INDEX texts_bytes ON texts (bytes);
        CREATE TABLE audit (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            change INTEGER NOT NULL,
            at TEXT NOT NULL,
            author TEXT NOT NULL,
            via TEXT NOT NULL,
            address TEXT,
            action TEXT NOT NULL,
            about TEXT,
            domain TEXT,
            before INTEGER REFERENCES texts,
            after INTEGER REFERENCES texts
        ) STRICT;
        CREATE INDEX audit_domain ON audit (domain, id);
        CREATE INDEX audit_change ON audit (change);
        CREATE INDEX audit_before ON audit (before);
        CREATE INDEX audit_after ON audit (after);
        -- The text of each domain as the audit log knows it, and the entry that says so.
        CREATE TABLE known (
            domain TEXT PRIMARY KEY,
            entry INTEGER NOT NULL,
            text INTEGER REFERENCES texts
        ) STRICT, WITHOUT ROWID;
        CREATE INDEX known_entry ON known (entry);
        CREATE INDEX known_text ON known (text);
        -- Change sets whose files may not be written yet.
        CREATE TABLE pending (change INTEGER PRIMARY KEY) STRICT;
    ",
        "
        -- Certificates that the log has and that may not be kept, or taken away, yet.
        CREATE TABLE pending_certificates (
            domain TEXT PRIMARY KEY,
            fingerprint TEXT
        ) STRICT, WITHOUT ROWID;
    ",
        "
        DROP TABLE pending_certificates;
        -- Pairs of pending change sets. `before` and `after` are digests of what is kept: NULL for
        -- nothing, empty for what is no pair. Without a chain none is to be kept.
        CREATE TABLE pending_pairs (
            change INTEGER NOT NULL REFERENCES pending ON DELETE CASCADE,
            domain TEXT NOT NULL,
            before BLOB,
            after BLOB,
            chain BLOB,
            sealed BLOB,
            PRIMARY KEY (change, domain)
        ) STRICT;
    ",
    ],
};

/// What is the same in all entries of a change set.
#[derive(Debug, Clone)]
pub struct Head<'a> {
    pub change: i64,
    pub author: &'a Author,
    pub action: &'a str,
    pub about: Option<&'a str>,
}

/// The number that the next entry gets; a change set has that of its first entry.
pub fn next(work: &Transaction<'_>) -> rusqlite::Result<i64> {
    let last = "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'audit'";
    work.query_row(last, [], |row| row.get::<_, i64>(0)).map(|last| last + 1)
}

/// Notes a change of a domain's text, which is the known one from now on.
pub fn changed(
    work: &Transaction<'_>,
    head: &Head<'_>,
    Change { domain, before, after }: &Change,
) -> rusqlite::Result<()> {
    let before = before.as_deref().map(|text| text_id(work, text)).transpose()?;
    let after = after.as_deref().map(|text| text_id(work, text)).transpose()?;
    let entry = insert(work, head, Some(domain), before, after)?;
    work.prepare_cached("REPLACE INTO known VALUES (?1, ?2, ?3)")?
        .execute(params![domain, entry, after])?;
    trimmed(work, entry)
}

/// Notes what is not about the text of a domain.
pub fn note(
    work: &Transaction<'_>,
    author: &Author,
    action: &str,
    about: &str,
) -> rusqlite::Result<i64> {
    noted(work, &Head { change: next(work)?, author, action, about: Some(about) })
}

/// The same as part of a change set.
pub fn noted(work: &Transaction<'_>, head: &Head<'_>) -> rusqlite::Result<i64> {
    let entry = insert(work, head, None, None, None)?;
    trimmed(work, entry)?;
    Ok(entry)
}

fn insert(
    work: &Transaction<'_>,
    Head { change, author, action, about }: &Head<'_>,
    domain: Option<&str>,
    before: Option<i64>,
    after: Option<i64>,
) -> rusqlite::Result<i64> {
    let now = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let address = author.address.map(|address| address.to_string());
    let mut insert = work.prepare_cached(
        "INSERT INTO audit (change, at, author, via, address, action, about, domain, before, after)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    )?;
    insert.insert(params![
        change,
        now,
        author.name,
        author.via.name(),
        address,
        action,
        about,
        domain,
        before,
        after
    ])
}

fn text_id(work: &Transaction<'_>, text: &str) -> rusqlite::Result<i64> {
    let hash = hash(text);
    let mut known = work.prepare_cached("SELECT id FROM texts WHERE hash = ?1")?;
    if let Some(id) = known.query_row([&hash], |row| row.get(0)).optional()? {
        return Ok(id);
    }
    work.prepare_cached("INSERT INTO texts (hash, bytes, text) VALUES (?1, ?2, ?3)")?
        .insert(params![hash, text.len() as i64, text])
}

pub fn hash(text: &str) -> Vec<u8> {
    digest(&SHA256, text.as_bytes()).as_ref().to_vec()
}

/// The texts that the log knows, by their hashes; `None` for a domain that was removed.
pub fn known(reader: &Connection) -> rusqlite::Result<HashMap<String, Option<Vec<u8>>>> {
    let mut all = reader
        .prepare("SELECT domain, hash FROM known LEFT JOIN texts ON texts.id = known.text")?;
    all.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
}

/// The text of one domain that the log knows; the outer `None`: it knows nothing of it.
pub fn known_text(reader: &Connection, domain: &str) -> rusqlite::Result<Option<Option<String>>> {
    let mut one = reader.prepare_cached(
        "SELECT text.text FROM known LEFT JOIN texts AS text ON text.id = known.text
         WHERE domain = ?1",
    )?;
    one.query_row([domain], |row| row.get(0)).optional()
}

// === Journal ===

pub fn begin(work: &Transaction<'_>, change: i64) -> rusqlite::Result<()> {
    work.execute("INSERT INTO pending VALUES (?1)", [change]).map(drop)
}

/// The set is done: its sealed keys go, out of the free pages of the file too. In the write-ahead
/// log they stay, sealed, until it is begun anew.
pub fn finish(work: &Transaction<'_>, change: i64) -> rusqlite::Result<()> {
    work.pragma_update(None, "secure_delete", true)?;
    let finished = work.execute("DELETE FROM pending WHERE change = ?1", [change]);
    work.pragma_update(None, "secure_delete", false)?;
    finished.map(drop)
}

pub fn pending(reader: &Connection) -> rusqlite::Result<Vec<i64>> {
    let mut all = reader.prepare("SELECT change FROM pending ORDER BY change")?;
    all.query_map([], |row| row.get(0))?.collect()
}

/// The changes of a change set.
pub fn changes(reader: &Connection, change: i64) -> rusqlite::Result<Vec<Change>> {
    let mut all = reader.prepare(
        "SELECT audit.domain, before.text, after.text FROM audit
         LEFT JOIN texts AS before ON before.id = audit.before
         LEFT JOIN texts AS after ON after.id = audit.after
         WHERE change = ?1 AND domain IS NOT NULL ORDER BY audit.id",
    )?;
    let change = all.query_map([change], |row| {
        let domain: String = row.get(0)?;
        Ok(Change { domain: domain.into(), before: row.get(1)?, after: row.get(2)? })
    })?;
    change.collect()
}

// === The log ===

const ENTRY: &str = "SELECT audit.id, change, at, author, via, address, action, about, domain, \
    before.text, after.text FROM audit \
    LEFT JOIN texts AS before ON before.id = audit.before \
    LEFT JOIN texts AS after ON after.id = audit.after WHERE";

/// Which entries are asked for; `None`: all.
#[derive(Debug, Clone, Copy, Default)]
pub struct Of<'a> {
    pub domain: Option<&'a str>,
    pub author: Option<&'a str>,
}

/// The newest first. A page ends early when its texts are large; an empty one is the last.
pub fn entries(
    reader: &Connection,
    of: Of<'_>,
    before: Option<i64>,
    limit: usize,
) -> rusqlite::Result<Vec<Entry>> {
    let (before, limit) = (before.unwrap_or(i64::MAX), limit.min(AUDIT_PAGE_MAX) as i64);
    let domain = if of.domain.is_some() { "domain = ?3" } else { "?3 IS NULL" };
    let author = if of.author.is_some() { "author = ?4" } else { "?4 IS NULL" };
    let order = "ORDER BY audit.id DESC LIMIT ?2";
    let sql = format!("{ENTRY} audit.id < ?1 AND {domain} AND {author} {order}");
    let mut statement = reader.prepare_cached(&sql)?;
    let mut rows = statement.query(params![before, limit, of.domain, of.author])?;
    let (mut page, mut bytes) = (Vec::new(), 0);
    while let Some(row) = rows.next()? {
        let entry = entry(row)?;
        bytes +=
            [&entry.before, &entry.after].into_iter().flatten().map(String::len).sum::<usize>();
        if bytes > AUDIT_PAGE_BYTES && !page.is_empty() {
            break;
        }
        page.push(entry);
    }
    Ok(page)
}

pub fn one(reader: &Connection, id: i64) -> rusqlite::Result<Option<Entry>> {
    let sql = format!("{ENTRY} audit.id = ?1");
    reader.prepare_cached(&sql)?.query_row([id], entry).optional()
}

/// When the log saw a domain come to be, the last time.
pub fn created(reader: &Connection, domain: &str) -> rusqlite::Result<Option<String>> {
    let mut one = reader.prepare_cached(
        "SELECT at FROM audit
         WHERE domain = ?1 AND before IS NULL AND after IS NOT NULL ORDER BY id DESC LIMIT 1",
    )?;
    one.query_row([domain], |row| row.get(0)).optional()
}

fn entry(row: &Row<'_>) -> rusqlite::Result<Entry> {
    let (via, address): (String, Option<String>) = (row.get(4)?, row.get(5)?);
    Ok(Entry {
        id: row.get(0)?,
        change: row.get(1)?,
        at: row.get(2)?,
        author: Author {
            name: row.get(3)?,
            via: Via::of(&via),
            address: address.and_then(|address| address.parse().ok()),
        },
        action: row.get(6)?,
        about: row.get(7)?,
        domain: row.get(8)?,
        before: row.get(9)?,
        after: row.get(10)?,
    })
}

// === Bounds ===

/// Entries between two looks at the size of the log.
const TRIM_EVERY: i64 = 64;
/// Entries that go at a time when their texts are too large.
const TRIM_STEP: i64 = 256;

/// Keeps the log within its bounds now and then.
fn trimmed(work: &Transaction<'_>, entry: i64) -> rusqlite::Result<()> {
    if entry % TRIM_EVERY != 0 {
        return Ok(());
    }
    trim(work, AUDIT_ENTRIES_MAX, AUDIT_BYTES_MAX)
}

/// Forgets the oldest entries, but not the newest of a domain that is there, nor what is pending.
fn trim(work: &Transaction<'_>, entries_max: i64, bytes_max: i64) -> rusqlite::Result<()> {
    let count = |sql: &str| work.query_row(sql, [], |row| row.get::<_, i64>(0));
    let surplus = count("SELECT count(*) FROM audit")? - entries_max;
    if surplus > 0 {
        forget(work, surplus)?;
    }
    while count("SELECT coalesce(sum(bytes), 0) FROM texts")? > bytes_max {
        if forget(work, TRIM_STEP)? == 0 {
            break;
        }
    }
    Ok(())
}

fn forget(work: &Transaction<'_>, entries: i64) -> rusqlite::Result<usize> {
    let forgotten = work.execute(
        "DELETE FROM audit WHERE id IN (
            SELECT id FROM audit
            WHERE id NOT IN (SELECT entry FROM known WHERE text IS NOT NULL)
              AND change NOT IN (SELECT change FROM pending)
            ORDER BY id LIMIT ?1)",
        [entries],
    )?;
    if forgotten > 0 {
        work.execute_batch(
            "DELETE FROM known WHERE text IS NULL AND entry NOT IN (SELECT id FROM audit);
             DELETE FROM texts WHERE id NOT IN (SELECT before FROM audit WHERE before IS NOT NULL)
                AND id NOT IN (SELECT after FROM audit WHERE after IS NOT NULL);",
        )?;
    }
    Ok(forgotten)
}

#[cfg(test)]
mod tests;
