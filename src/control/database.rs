//! The one SQLite file of a node, `STATE_DIR/hawser.db`: statistics, ledger, keys, audit. Opens it,
//! brings its tables up to date, and lends connections: one that writes, a few that read.
//!
//! Not here: any table; each part declares its own in [`SCHEMAS`] and asks in its own words.

use std::fs::{OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};

use super::owner::Owner;
use super::{billing, changes, dcdn, keys, statistics};

pub const FILE: &str = "hawser.db";

/// Wait for another process (a predecessor, the command line) that writes.
const BUSY_WAIT: Duration = Duration::from_secs(5);
/// Connections for reading that are kept open.
const READERS_KEPT: usize = 4;

/// Steps that bring the tables of one part up to date, oldest first. A released step never changes;
/// a change is a further step.
pub struct Schema {
    pub part: &'static str,
    pub steps: &'static [&'static str],
}

const SCHEMAS: &[&Schema] =
    &[&keys::SCHEMA, &changes::SCHEMA, &statistics::SCHEMA, &billing::SCHEMA, &dcdn::SCHEMA];

#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    #[error("database {}: {error}{}", .path.display(), hint(.error))]
    Sqlite { path: PathBuf, error: rusqlite::Error },
    #[error("cannot create database {}: {error}", .path.display())]
    Create { path: PathBuf, error: io::Error },
    #[error(
        "database {} was written by a newer hawser: its part {part:?} is of version {found}, this \
         program knows {known}; start the newer program, or move the file away",
        .path.display()
    )]
    Newer { path: PathBuf, part: &'static str, found: i64, known: i64 },
}

fn hint(error: &rusqlite::Error) -> &'static str {
    use rusqlite::ErrorCode::{CannotOpen, DatabaseBusy, DatabaseCorrupt, DiskFull, NotADatabase};
    match error.sqlite_error_code() {
        Some(DiskFull) => "; make room on its file system: what was not written is tried again",
        Some(DatabaseBusy) => "; another process holds it for longer than 5 s",
        Some(CannotOpen) => "; it must be writable for the user who runs hawser",
        Some(DatabaseCorrupt | NotADatabase) => {
            "; restore it from a backup, or move it away to begin with an empty one"
        }
        _ => "",
    }
}

/// The database of one state directory; cheap to clone.
#[derive(Debug, Clone)]
pub struct Database(Arc<Lent>);

#[derive(Debug)]
struct Lent {
    path: PathBuf,
    writer: Mutex<Connection>,
    readers: Mutex<Vec<Connection>>,
}

impl Database {
    /// Opens the file, makes it (mode 0600) if there is none, and brings its tables up to date.
    ///
    /// # Errors
    /// The file cannot be used, or a newer program wrote it.
    pub fn open(state_dir: &Path) -> Result<Database, DatabaseError> {
        let path = state_dir.join(FILE);
        let create = |error| DatabaseError::Create { path: path.clone(), error };
        // SQLite gives its -wal and -shm the mode and the owner of the file.
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).write(true).mode(0o600);
        let file = options.open(&path).map_err(create)?;
        file.set_permissions(Permissions::from_mode(0o600)).map_err(create)?;
        drop(file);
        // Root may be the first who asks, on the command line.
        Owner::of(state_dir).and_then(|owner| owner.take(&path)).map_err(create)?;
        let failed = |error| DatabaseError::Sqlite { path: path.clone(), error };
        let mut writer = connect(&path, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(failed)?;
        writer
            .pragma_update(None, "journal_mode", "wal")
            .and_then(|()| writer.pragma_update(None, "synchronous", "full"))
            .and_then(|()| writer.pragma_update(None, "foreign_keys", true))
            .map_err(failed)?;
        bring_up_to_date(&mut writer, &path, SCHEMAS)?;
        let lent = Lent { path, writer: Mutex::new(writer), readers: Mutex::default() };
        Ok(Database(Arc::new(lent)))
    }

    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// Does `work` as one transaction: all of it is on disk when this returns `Ok`, none of it
    /// after an error. Blocks: on the runtime's threads, use [`Database::off_the_runtime`].
    ///
    /// # Errors
    /// Of `work`, or of the database.
    pub fn write<T, E: From<rusqlite::Error>>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut writer = self.0.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let value = work(&transaction)?;
        transaction.commit()?;
        Ok(value)
    }

    /// Reads one consistent state. Never waits for a writer. Blocks, as [`Database::write`].
    ///
    /// # Errors
    /// Of `work`, or of the database.
    pub fn read<T, E: From<rusqlite::Error>>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, E>,
    ) -> Result<T, E> {
        let kept = self.0.readers.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut reader = match kept {
            Some(reader) => reader,
            None => connect(&self.0.path, OpenFlags::SQLITE_OPEN_READ_ONLY)?,
        };
        let transaction = reader.transaction()?;
        let value = work(&transaction)?;
        drop(transaction);
        let mut readers = self.0.readers.lock().unwrap_or_else(PoisonError::into_inner);
        if readers.len() < READERS_KEPT {
            readers.push(reader);
        }
        Ok(value)
    }

    /// Runs blocking `work` where it may block.
    pub async fn off_the_runtime<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Database) -> T + Send + 'static,
    ) -> T {
        let database = self.clone();
        match tokio::task::spawn_blocking(move || work(&database)).await {
            Ok(value) => value,
            // Only a panic of `work` ends here: it goes on where it would have been seen.
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        }
    }
}

fn connect(path: &Path, mode: OpenFlags) -> rusqlite::Result<Connection> {
    let flags = mode | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_WAIT)?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

/// Writes only when there is something to write: a full disk keeps nobody from reading.
fn bring_up_to_date(
    writer: &mut Connection,
    path: &Path,
    schemas: &[&Schema],
) -> Result<(), DatabaseError> {
    let failed = |error| DatabaseError::Sqlite { path: path.to_owned(), error };
    if missing(writer, path, schemas)?.is_empty() {
        return Ok(());
    }
    let work = writer.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
    work.execute_batch(
        "CREATE TABLE IF NOT EXISTS schema (
            part TEXT PRIMARY KEY,
            version INTEGER NOT NULL
        ) STRICT",
    )
    .map_err(failed)?;
    // Asked anew: another process may have done it meanwhile.
    for (schema, found) in missing(&work, path, schemas)? {
        for step in &schema.steps[found..] {
            work.execute_batch(step).map_err(failed)?;
        }
        work.execute(
            "REPLACE INTO schema VALUES (?1, ?2)",
            (schema.part, schema.steps.len() as i64),
        )
        .map_err(failed)?;
    }
    work.commit().map_err(failed)
}

/// The parts that have steps to take, with how many are taken.
fn missing<'a>(
    reader: &Connection,
    path: &Path,
    schemas: &[&'a Schema],
) -> Result<Vec<(&'a Schema, usize)>, DatabaseError> {
    let failed = |error| DatabaseError::Sqlite { path: path.to_owned(), error };
    let mut missing = Vec::new();
    let made = reader.table_exists(None, "schema").map_err(failed)?;
    for schema in schemas {
        let found = "SELECT coalesce(max(version), 0) FROM schema WHERE part = ?1";
        let found: i64 = match made {
            true => reader.query_row(found, [schema.part], |row| row.get(0)).map_err(failed)?,
            false => 0,
        };
        let known = schema.steps.len();
        let part = schema.part;
        match usize::try_from(found) {
            Ok(found) if found < known => missing.push((*schema, found)),
            Ok(found) if found == known => {}
            _ => {
                let (path, known) = (path.to_owned(), known as i64);
                return Err(DatabaseError::Newer { path, part, found, known });
            }
        }
    }
    Ok(missing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_made_once_and_found_again() {
        let dir = tempfile::tempdir().unwrap();
        let database = Database::open(dir.path()).unwrap();
        let mode = std::fs::metadata(database.path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        drop(database);
        Database::open(dir.path()).unwrap();
    }

    #[test]
    fn work_that_fails_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let database = Database::open(dir.path()).unwrap();
        let failed: rusqlite::Result<()> = database.write(|work| {
            work.execute("INSERT INTO schema VALUES ('x', 1)", [])?;
            Err(rusqlite::Error::QueryReturnedNoRows)
        });
        assert!(failed.is_err());
        let count = "SELECT count(*) FROM schema WHERE part = 'x'";
        let rows: rusqlite::Result<u32> =
            database.read(|reader| reader.query_row(count, [], |row| row.get(0)));
        assert_eq!(rows, Ok(0));
    }

    #[test]
    fn a_file_of_a_newer_program_is_refused_and_left_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let database = Database::open(dir.path()).unwrap();
        let newer: rusqlite::Result<usize> = database
            .write(|work| work.execute("UPDATE schema SET version = 99 WHERE part = 'keys'", []));
        newer.unwrap();
        drop(database);
        let error = Database::open(dir.path()).unwrap_err().to_string();
        assert!(error.contains("newer hawser") && error.contains("\"keys\""), "{error}");
    }

    #[test]
    fn what_is_up_to_date_is_opened_without_a_word_to_the_disk() {
        let dir = tempfile::tempdir().unwrap();
        let database = Database::open(dir.path()).unwrap();
        // Another process is writing, for longer than anybody would wait.
        let held: rusqlite::Result<()> = database.write(|_| {
            Database::open(dir.path()).unwrap();
            Ok(())
        });
        held.unwrap();
    }

    #[test]
    fn steps_are_taken_once() {
        const ONE: Schema = Schema { part: "t", steps: &["CREATE TABLE t (a)"] };
        const TWO: Schema =
            Schema { part: "t", steps: &["CREATE TABLE t (a)", "ALTER TABLE t ADD COLUMN b"] };
        let mut connection = Connection::open_in_memory().unwrap();
        for schemas in [&[&ONE], &[&ONE], &[&TWO], &[&TWO]] {
            bring_up_to_date(&mut connection, Path::new("x"), schemas).unwrap();
        }
        connection.execute("INSERT INTO t (a, b) VALUES (1, 2)", []).unwrap();
    }
}
