//! The journal: how a change set becomes files. First the new texts are written beside the files,
//! then journal and audit log have the set in one transaction, then the files get their new texts
//! and certificates are kept (`pairs`), then the set is done. A process that is killed before the
//! transaction leaves nothing, and after it, what the next start finishes.
//!
//! Everything here blocks. Not here: what is checked before, and the reload after (the parent).

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tracing::{error, info, warn};

use super::audit::{self, Head};
use super::lock::{self, Held, What};
use super::pairs::{self, Swap};
use super::{Author, Change, ChangeError, Records, Undo, Via};
use crate::control::config::store::{Prepared, Store, StoreError};
use crate::control::database::Database;
use crate::control::owner::Owner;

/// The change sets of one state directory; cheap to clone.
#[derive(Debug, Clone)]
pub struct Journal {
    pub(super) state_dir: Arc<Path>,
    pub(super) store: Store,
    pub(super) database: Database,
}

/// What is to be done, checked.
pub struct Set {
    pub author: Author,
    pub action: String,
    pub about: Option<String>,
    pub changes: Vec<Change>,
    pub records: Option<Records>,
    /// Certificates that are kept, or taken away.
    pub pairs: Vec<Swap>,
}

/// A set that is done, and what it takes to put it back.
pub struct Done {
    pub number: i64,
    records: Option<Undo>,
    pairs: Vec<Swap>,
}

/// What became of one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rolled {
    Done,
    /// It says neither what it said before nor what it should say now.
    LeftAlone,
}

impl Journal {
    pub fn new(state_dir: &Path, database: Database) -> Journal {
        Journal { state_dir: state_dir.into(), store: Store::of(state_dir), database }
    }

    /// The turn of this process to change something.
    pub fn turn(&self) -> Result<Held, ChangeError> {
        lock::hold(&self.state_dir, What::Turn)
    }

    /// The files as the journal says, for as long as it is held: no change set is half there.
    pub fn files(&self) -> Result<Held, ChangeError> {
        let held = lock::hold(&self.state_dir, What::Files)?;
        self.recover()?;
        Ok(held)
    }

    /// The text of a domain's file.
    pub fn text(&self, domain: &str) -> Result<Option<String>, ChangeError> {
        Ok(self.store.text(domain)?.map(|text| text.text))
    }

    /// Checks each text by itself. Returns the first domain that gets WebSocket and had it not.
    pub fn enabling(&self, changes: &[Change]) -> Result<Option<Arc<str>>, ChangeError> {
        let mut first = None;
        for Change { domain, before, after } in changes {
            let Some(after) = after else { continue };
            let enabled = self.store.checked(domain, after)?.websocket.enabled;
            let before = before.as_deref().map(|before| self.store.checked(domain, before));
            let had = before.is_some_and(|before| before.is_ok_and(|b| b.websocket.enabled));
            if enabled && !had {
                first.get_or_insert_with(|| Arc::clone(domain));
            }
        }
        Ok(first)
    }

    /// Journals a set and writes its files.
    ///
    /// # Errors
    /// Nothing was changed; or what was, is as it was before.
    pub fn commit(&self, set: Set) -> Result<Done, ChangeError> {
        let mut prepared = Vec::with_capacity(set.changes.len());
        for change in set.changes.iter().filter(|change| change.before != change.after) {
            let after = change.after.as_deref();
            prepared.push((
                Arc::clone(&change.domain),
                after.map(|after| self.store.prepare(&change.domain, after)).transpose()?,
            ));
        }
        let _files = self.files()?;
        self.unchanged_pairs(&set.pairs)?;
        let node = if set.pairs.is_empty() { None } else { Some(self.node_key()?) };
        let done = self.database.write(|work| -> Result<Done, ChangeError> {
            for change in &set.changes {
                self.adopt(work, change)?;
            }
            let Set { author, action, about, changes, records, pairs } = set;
            let number = audit::next(work)?;
            let about = about.as_deref();
            let head = Head { change: number, author: &author, action: &action, about };
            for change in &changes {
                audit::changed(work, &head, change)?;
            }
            let records = records.map(|records| records(work)).transpose()?;
            audit::begin(work, number)?;
            if let Some(node) = &node {
                pairs::begin(work, node, (number, &author), &pairs)?;
            }
            Ok(Done { number, records, pairs })
        })?;
        match self.place(prepared).and_then(|()| self.roll_pairs(done.number)) {
            Ok(()) => self.finish(done.number),
            Err(error) => {
                self.reverse(done, &format!("a file could not be written: {error}"))?;
                return Err(error);
            }
        }
        Ok(done)
    }

    /// Puts back what was there before: the set could not be served after all.
    pub fn put_back(&self, done: Done, why: &str) -> Result<(), ChangeError> {
        let _files = self.files()?;
        self.reverse(done, why)
    }

    /// Notes what is not about the text of a domain.
    pub fn note(&self, author: &Author, action: &str, about: &str) -> Result<i64, ChangeError> {
        Ok(self.database.write(|work| audit::note(work, author, action, about))?)
    }

    /// The file must still say what the change began with; what the log does not know of it goes
    /// into the log first.
    fn adopt(&self, work: &rusqlite::Transaction<'_>, change: &Change) -> Result<(), ChangeError> {
        let Change { domain, before, .. } = change;
        if self.text(domain)? != *before {
            return Err(StoreError::Raced(self.store.path(domain)?).into());
        }
        let known = audit::known_text(work, domain)?.flatten();
        if known != *before {
            let edited =
                Change { domain: Arc::clone(domain), before: known, after: before.clone() };
            self.edited(work, &edited, None)?;
        }
        Ok(())
    }

    /// Notes that somebody edited a file.
    pub(super) fn edited(
        &self,
        work: &rusqlite::Transaction<'_>,
        change: &Change,
        about: Option<&str>,
    ) -> Result<(), ChangeError> {
        let action = match (&change.before, &change.after) {
            (_, None) => "remove",
            (None, Some(_)) => "create",
            (Some(_), Some(_)) => "edit",
        };
        // Of a file that is gone nobody knows who took it.
        let owner = self.store.path(&change.domain).ok().and_then(|path| Owner::of(&path).ok());
        let name = owner.map_or_else(|| "unknown".to_owned(), Owner::name);
        let author = Author { name, via: Via::File, address: None };
        let head = Head { change: audit::next(work)?, author: &author, action, about };
        Ok(audit::changed(work, &head, change)?)
    }

    fn place(&self, prepared: Vec<(Arc<str>, Option<Prepared>)>) -> Result<(), ChangeError> {
        if prepared.is_empty() {
            return Ok(());
        }
        for (domain, prepared) in prepared {
            match prepared {
                Some(prepared) => prepared.place()?,
                None => self.store.remove(&domain)?,
            }
        }
        Ok(self.store.sync()?)
    }

    /// A set that stays pending does no harm: it is finished once more by whoever comes next.
    fn finish(&self, number: i64) {
        if let Err(error) = self.database.write(|work| audit::finish(work, number)) {
            warn!(change = number, %error, "the change is made, but the journal could not say so");
        }
    }

    /// Another set, to the opposite. The caller holds the files.
    fn reverse(&self, done: Done, why: &str) -> Result<(), ChangeError> {
        let Done { number, records, pairs } = done;
        let author = Author { name: "hawser".to_owned(), via: Via::Edge, address: None };
        let back = self.database.write(|work| -> Result<_, ChangeError> {
            let back = audit::next(work)?;
            let about: String = format!("change {number}: {why}").chars().take(ABOUT_MAX).collect();
            let about = Some(about.as_str());
            let head = Head { change: back, author: &author, action: "put back", about };
            for Change { domain, before, after } in audit::changes(work, number)? {
                let change = Change { domain, before: after, after: before };
                audit::changed(work, &head, &change)?;
            }
            if let Some(records) = records {
                records(work)?;
            }
            audit::finish(work, number)?;
            audit::begin(work, back)?;
            self.begin_back(work, (back, &author), pairs, why)?;
            Ok(back)
        })?;
        warn!(change = number, why, "the change was put back");
        self.roll(back)
    }

    /// Finishes what a process that was killed, or failed, has left. The caller holds the files.
    fn recover(&self) -> Result<(), ChangeError> {
        for number in self.database.read(audit::pending)? {
            info!(change = number, "finishing a change that was cut short");
            self.roll(number)?;
        }
        Ok(())
    }

    /// Makes the files say what a set wants.
    fn roll(&self, number: i64) -> Result<(), ChangeError> {
        let changes = self.database.read(|reader| audit::changes(reader, number))?;
        let mut wrote = false;
        for change in &changes {
            match self.rolled(change, &mut wrote)? {
                Rolled::Done => {}
                Rolled::LeftAlone => self.left_alone(number, change)?,
            }
        }
        if wrote {
            self.store.sync()?;
        }
        self.roll_pairs(number)?;
        self.finish(number);
        Ok(())
    }

    fn rolled(&self, change: &Change, wrote: &mut bool) -> Result<Rolled, ChangeError> {
        let Change { domain, before, after } = change;
        // A file that cannot be read was edited too.
        let Ok(now) = self.text(domain) else { return Ok(Rolled::LeftAlone) };
        if now == *after {
            return Ok(Rolled::Done);
        }
        if now != *before {
            return Ok(Rolled::LeftAlone);
        }
        match after {
            Some(after) => self.store.prepare(domain, after)?.place()?,
            None => self.store.remove(domain)?,
        }
        *wrote = true;
        Ok(Rolled::Done)
    }

    fn left_alone(&self, number: i64, change: &Change) -> Result<(), ChangeError> {
        let domain = &change.domain;
        error!(%domain, change = number,
            "the file was edited before the change could be finished: it is left as it is");
        let Ok(now) = self.text(domain) else { return Ok(()) };
        let edited =
            Change { domain: Arc::clone(domain), before: change.after.clone(), after: now };
        let about = format!("edited before change {number} could be finished: left as it is");
        self.database.write(|work| self.edited(work, &edited, Some(&about)))
    }

    /// Removes left-over files of processes that were killed, unless somebody is at work.
    pub fn sweep(&self) -> Result<(), ChangeError> {
        match lock::hold_now(&self.state_dir, What::Turn)? {
            Some(turn) => self.sweep_in_turn(&turn),
            None => Ok(()),
        }
    }

    /// The same, of whoever has the turn and has prepared nothing yet.
    pub fn sweep_in_turn(&self, _turn: &Held) -> Result<(), ChangeError> {
        let dir = || PathBuf::from(&*self.state_dir);
        self.sweep_pairs()?;
        self.store.sweep().map_err(|error| {
            StoreError::Io { doing: "clear of left-over files", path: dir(), error }.into()
        })
    }
}

/// Characters of a reason that are kept; the whole of it is in the log.
const ABOUT_MAX: usize = 1000;

#[cfg(test)]
mod tests;
