//! Changes from the command line: the same journal and audit log, whether an edge runs or not. A
//! running one is told to reload by whoever calls this.

use jiff::Timestamp;

use super::journal::{Done, Journal, Set};
use super::lock::Held;
use super::{Author, Change, ChangeError, differs, would_be};
use crate::control::billing::Billing;
use crate::control::certs::Keyring;
use crate::control::config::{Problems, Source};
use crate::control::database::Database;
use crate::control::owner::make_dir;

/// The turn to change something. Blocks, as everything here.
#[derive(Debug)]
pub struct Writer {
    pub(super) journal: Journal,
    source: Source,
    _turn: Held,
}

impl Writer {
    pub fn open(source: &Source) -> Result<Writer, ChangeError> {
        let state_dir = source.state_dir().map_err(rejected)?;
        let made = make_dir(&state_dir, 0o750);
        made.map_err(|e| ChangeError::Io(format!("cannot create {}: {e}", state_dir.display())))?;
        let journal = Journal::new(&state_dir, Database::open(&state_dir)?);
        let turn = journal.turn()?;
        journal.sweep_in_turn(&turn)?;
        Ok(Writer { journal, source: source.clone(), _turn: turn })
    }

    /// Checks the whole with `changes` in it and applies them all, or none. `None` when nothing
    /// differed. `plan_in_effect` is what a running edge says
    /// of it.
    pub fn apply(
        &self,
        author: &Author,
        action: &str,
        mut changes: Vec<Change>,
        plan_in_effect: impl FnOnce() -> Option<bool>,
    ) -> Result<Option<Done>, ChangeError> {
        changes.retain(differs);
        if changes.is_empty() {
            return Ok(None);
        }
        let enabling = self.journal.enabling(&changes)?;
        let loaded = self.source.load_with(&would_be(&changes)).map_err(rejected)?;
        Keyring::checked(&loaded).map_err(rejected)?;
        if let Some(domain) = enabling {
            let billing = Billing::new(self.journal.database.clone(), loaded.server.billing);
            let here = || billing.plan_in_effect(Timestamp::now());
            if !plan_in_effect().map_or_else(here, Ok)? {
                return Err(ChangeError::NoPlan { domain });
            }
        }
        let (author, action) = (author.clone(), action.to_owned());
        let pairs = Vec::new();
        let set = Set { author, action, about: None, changes, records: None, pairs };
        self.journal.commit(set).map(Some)
    }

    /// Puts back what was there before: the edge did not take it.
    pub fn put_back(&self, done: Done, why: &str) -> Result<(), ChangeError> {
        self.journal.put_back(done, why)
    }
}

fn rejected(problems: Problems) -> ChangeError {
    ChangeError::Rejected(problems.into())
}
