//! Files that somebody edited by hand: found at the start and at each reload, and put into the
//! audit log with what they said before.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use tracing::{error, info};

use super::audit;
use super::journal::Journal;
use super::{Change, ChangeError};
use crate::control::config::load::domain_files;
use crate::control::config::store::{StoreError, checked_name};
use crate::control::config::{Problems, Text};
use crate::control::database::Database;
use crate::control::publish::{Load, Rejected};

/// Files whose texts are in memory at once.
const CHUNK: usize = 256;

/// Reads the configuration with no change set half written, and notes what was edited by hand.
pub fn reading(journal: Journal, load: Load) -> Load {
    Arc::new(move |would_be| {
        if !would_be.is_empty() {
            return load(would_be);
        }
        let _files = journal.files().map_err(rejected)?;
        let loaded = load(would_be)?;
        // A log that cannot be written keeps nobody from reloading.
        if let Err(error) = journal.notice().and_then(|()| journal.sweep()) {
            error!(%error, "edits by hand could not be noted, or left-over files not be removed");
        }
        Ok(loaded)
    })
}

/// Reads the configuration with no change set half written.
pub fn looking(journal: Journal, load: Load) -> Load {
    Arc::new(move |would_be| {
        let _files = journal.files().map_err(rejected)?;
        load(would_be)
    })
}

fn rejected(error: ChangeError) -> Rejected {
    let detail = error.to_string();
    Rejected { problems: vec![serde_json::json!({ "message": detail })], detail }
}

/// Finishes what was cut short, before anything reads the configuration. `None`: nothing was ever
/// written there.
pub fn before_start(state_dir: &Path) -> Result<(), ChangeError> {
    if !state_dir.join(crate::control::database::FILE).exists() {
        return Ok(());
    }
    let journal = Journal::new(state_dir, Database::open(state_dir)?);
    drop(journal.files()?);
    journal.sweep()
}

impl Journal {
    /// Puts into the log what it does not know of the files. The caller holds them, so that none is
    /// on its way to a text that the log knows already.
    pub(super) fn notice(&self) -> Result<(), ChangeError> {
        let refused = |problem| StoreError::Refused(Problems(vec![problem]));
        let mut known = self.database.read(audit::known)?;
        let files = domain_files(&self.state_dir).map_err(refused)?;
        for files in files.chunks(CHUNK) {
            let edited = files.iter().filter_map(|file| edited(file, &mut known));
            self.note_edits(&edited.collect::<Vec<_>>())?;
        }
        // What is left has no file any more.
        let gone = known.into_iter().filter(|(_, hash)| hash.is_some());
        let gone: Vec<_> = gone.map(|(domain, _)| (Arc::from(domain), None)).collect();
        for gone in gone.chunks(CHUNK) {
            self.note_edits(gone)?;
        }
        Ok(())
    }

    fn note_edits(&self, found: &[(Arc<str>, Option<String>)]) -> Result<(), ChangeError> {
        if found.is_empty() {
            return Ok(());
        }
        self.database.write(|work| {
            for (domain, after) in found {
                let before = audit::known_text(work, domain)?.flatten();
                let change = Change { domain: Arc::clone(domain), before, after: after.clone() };
                self.edited(work, &change, None)?;
            }
            Ok::<(), ChangeError>(())
        })?;
        info!(files = found.len(), "edits by hand are in the audit log now");
        Ok(())
    }
}

/// The domain and the text of a file that says something else than the log knows.
fn edited(
    file: &Path,
    known: &mut HashMap<String, Option<Vec<u8>>>,
) -> Option<(Arc<str>, Option<String>)> {
    let domain = file.file_stem()?.to_str().filter(|name| checked_name(name).is_ok())?;
    let before = known.remove(domain).flatten();
    // One that cannot be read has kept the reload from getting here.
    let text = Text::read(file).ok()?.text;
    (before != Some(audit::hash(&text))).then(|| (domain.into(), Some(text)))
}
