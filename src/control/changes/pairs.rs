//! Certificates with their keys as parts of a change set: with the texts of its domain files they
//! are kept together or not at all, also when the process is killed in between.
//!
//! Until its set is done a pair stands in the journal, its key sealed with the node's own key, so
//! that whoever comes next can finish. Not here: what is checked before (`certificates`), the files
//! (`certs::store`).

use std::fs;
use std::path::Path;
use std::sync::Arc;

use rusqlite::{Connection, Transaction, params};
use tracing::error;
use zeroize::Zeroizing;

use super::audit::{self, Head};
use super::journal::Journal;
use super::{Author, ChangeError, Via};
use crate::control::certs::pair::Digest;
use crate::control::certs::store::PairStore;
use crate::control::config::store::StoreError;
use crate::control::keys::NodeKey;

/// Chain and key in PEM.
#[derive(Clone)]
pub struct Texts {
    pub chain: Vec<u8>,
    pub key: Zeroizing<Vec<u8>>,
}

/// What is kept for a domain, to be told from something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    Nothing,
    Pair(Digest),
    /// It is there, and no pair.
    Unreadable,
}

#[derive(Clone)]
pub struct Side {
    pub kept: Kept,
    /// `None`: nothing.
    pub texts: Option<Texts>,
}

/// The pair of one domain before and after.
pub struct Swap {
    pub domain: Arc<str>,
    pub before: Side,
    pub after: Side,
    /// What the audit log says of it.
    pub action: &'static str,
    pub about: String,
}

impl Kept {
    fn of(store: &PairStore, domain: &str) -> Kept {
        match store.pair(domain) {
            Ok(None) => Kept::Nothing,
            Ok(Some(pair)) => Kept::Pair(pair.digest),
            Err(_) => Kept::Unreadable,
        }
    }

    fn column(&self) -> Option<&[u8]> {
        match self {
            Kept::Nothing => None,
            Kept::Pair(digest) => Some(digest),
            Kept::Unreadable => Some(&[]),
        }
    }

    fn of_column(column: Option<Vec<u8>>) -> Kept {
        match column {
            None => Kept::Nothing,
            Some(digest) => digest.try_into().map_or(Kept::Unreadable, Kept::Pair),
        }
    }
}

impl Side {
    /// What is there now. Of what somebody left half there, only what it is not is known: it gives
    /// way, and does not come back.
    pub fn present(store: &PairStore, domain: &str) -> Result<Side, StoreError> {
        let kept = Kept::of(store, domain);
        let Some(paths) = store.find(domain)? else { return Ok(Side { kept, texts: None }) };
        let read = |path: &Path| match fs::read(path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(_) if kept == Kept::Unreadable => Ok(None),
            Err(error) => Err(StoreError::Io { doing: "read", path: path.to_owned(), error }),
        };
        let texts = match (read(&paths.certificate)?, read(&paths.key)?) {
            (Some(chain), Some(key)) => Some(Texts { chain, key: Zeroizing::new(key) }),
            _ => None,
        };
        Ok(Side { kept, texts })
    }
}

impl Swap {
    /// The opposite.
    fn back(self, why: &str) -> Swap {
        let Swap { domain, before, after, .. } = self;
        let about = format!("{domain}: the change was refused: {why}");
        Swap { domain, before: after, after: before, action: "certificate put back", about }
    }
}

/// A pair of a set that is not done yet.
struct Pending {
    domain: String,
    before: Kept,
    after: Kept,
    chain: Option<Vec<u8>>,
    sealed: Option<Vec<u8>>,
}

/// Journals and notes the pairs of a set that has begun.
pub fn begin(
    work: &Transaction<'_>,
    node: &NodeKey,
    (change, author): (i64, &Author),
    swaps: &[Swap],
) -> rusqlite::Result<()> {
    for Swap { domain, before, after, action, about } in swaps {
        audit::noted(work, &Head { change, author, action, about: Some(about) })?;
        let (chain, key) = after.texts.as_ref().map(|texts| (&texts.chain, &texts.key)).unzip();
        let sealed = key.map(|key| node.seal(&sealed_for(change, domain), key));
        work.prepare_cached("REPLACE INTO pending_pairs VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?
            .execute(params![
                change,
                domain,
                before.kept.column(),
                after.kept.column(),
                chain,
                sealed
            ])?;
    }
    Ok(())
}

/// A sealed key opens for its own row only.
fn sealed_for(change: i64, domain: &str) -> String {
    format!("certificate {change} {domain}")
}

fn pending(reader: &Connection, change: i64) -> rusqlite::Result<Vec<Pending>> {
    let mut all = reader.prepare(
        "SELECT domain, before, after, chain, sealed FROM pending_pairs WHERE change = ?1
         ORDER BY domain",
    )?;
    let pairs = all.query_map([change], |row| {
        Ok(Pending {
            domain: row.get(0)?,
            before: Kept::of_column(row.get(1)?),
            after: Kept::of_column(row.get(2)?),
            chain: row.get(3)?,
            sealed: row.get(4)?,
        })
    })?;
    pairs.collect()
}

impl Journal {
    fn pairs(&self) -> PairStore {
        PairStore::uploaded(&self.state_dir)
    }

    /// What seals keys, for a set that has any.
    pub(super) fn node_key(&self) -> Result<NodeKey, ChangeError> {
        NodeKey::open(&self.state_dir).map_err(|error| ChangeError::Io(error.to_string()))
    }

    /// What is kept must still be what the set began with. The caller holds the files.
    pub(super) fn unchanged_pairs(&self, swaps: &[Swap]) -> Result<(), ChangeError> {
        let store = self.pairs();
        match swaps.iter().find(|swap| Kept::of(&store, &swap.domain) != swap.before.kept) {
            None => Ok(()),
            Some(swap) => {
                let path = store.find(&swap.domain)?.map(|paths| paths.certificate);
                let path = path.unwrap_or_else(|| self.state_dir.join("certs"));
                Err(StoreError::Raced(path).into())
            }
        }
    }

    /// Journals the way back of the pairs of a set.
    pub(super) fn begin_back(
        &self,
        work: &Transaction<'_>,
        (change, author): (i64, &Author),
        swaps: Vec<Swap>,
        why: &str,
    ) -> Result<(), ChangeError> {
        if swaps.is_empty() {
            return Ok(());
        }
        let swaps: Vec<Swap> = swaps.into_iter().map(|swap| swap.back(why)).collect();
        Ok(begin(work, &self.node_key()?, (change, author), &swaps)?)
    }

    /// Makes the pairs that are kept those that a set wants. The caller holds the files.
    pub(super) fn roll_pairs(&self, change: i64) -> Result<(), ChangeError> {
        let pairs = self.database.read(|reader| pending(reader, change))?;
        if pairs.is_empty() {
            return Ok(());
        }
        let (store, node) = (self.pairs(), self.node_key()?);
        for Pending { domain, before, after, chain, sealed } in pairs {
            let now = Kept::of(&store, &domain);
            if now == after {
                continue;
            }
            if now != before {
                let why = "somebody replaced it before the change could be finished";
                self.pair_left_alone(change, &domain, why)?;
                continue;
            }
            let (Some(chain), Some(sealed)) = (chain, sealed) else {
                store.remove(&domain)?;
                continue;
            };
            match node.opened(&sealed_for(change, &domain), sealed) {
                Some(key) => store.write(&domain, &chain, &key)?,
                None => {
                    let why = "node.key is not the one that its key was sealed with";
                    self.pair_left_alone(change, &domain, why)?;
                }
            }
        }
        Ok(())
    }

    fn pair_left_alone(&self, change: i64, domain: &str, why: &str) -> Result<(), ChangeError> {
        error!(domain, change, why, "the certificate is left as it is");
        let author = Author { name: "hawser".to_owned(), via: Via::Edge, address: None };
        let about = format!("{domain}: {why} (change {change}): it is left as it is");
        let note = |work: &Transaction<'_>| {
            audit::note(work, &author, "certificate left alone", &about).map(drop)
        };
        Ok(self.database.write::<_, rusqlite::Error>(note)?)
    }

    /// Left-over folders of processes that were killed. The caller has the turn.
    pub(super) fn sweep_pairs(&self) -> Result<(), ChangeError> {
        Ok(self.pairs().sweep()?)
    }
}

#[cfg(test)]
mod tests;
