//! Uploaded certificates through the API and the command line: checked, kept, live in the next
//! snapshot, noted in the audit log. The log has fingerprints and dates, never a text of a key.
//!
//! Not here: how pairs are checked and kept (`certs`).

use std::fs;
use std::path::Path;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use jiff::Timestamp;
use zeroize::Zeroizing;

use super::journal::Journal;
use super::offline::Writer;
use super::{Author, ChangeError, Turn, Via, blocking, joined};
use crate::control::certs::pair::{Facts, Pair};
use crate::control::certs::store::PairStore;
use crate::control::certs::upload::{self, upload};
use crate::control::config::store::StoreError;
use crate::control::edge::Edge;
use crate::control::publish::Rejected;

/// A pair that is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uploaded {
    /// Of the snapshot that has it.
    pub generation: u64,
    pub facts: Facts,
    /// SHA-256 of the leaf, hexadecimal.
    pub fingerprint: String,
}

#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// Nothing was changed: what is wrong with the name, the chain or the key.
    #[error(transparent)]
    Refused(#[from] upload::Refused),
    /// The edge did not take it; what was there before is back.
    #[error("{0}")]
    Rejected(#[from] Rejected),
    #[error(transparent)]
    Change(#[from] ChangeError),
}

impl From<StoreError> for CertificateError {
    fn from(error: StoreError) -> CertificateError {
        CertificateError::Change(error.into())
    }
}

/// Keeps a pair for `domain`, PEM both, the chain with its leaf first, and makes it live. Whoever
/// stops waiting for the answer does not stop it.
pub async fn set(
    edge: &Arc<Edge>,
    author: &Author,
    domain: &str,
    chain: &[u8],
    key: &[u8],
) -> Result<Uploaded, CertificateError> {
    let (edge, author, domain) = (Arc::clone(edge), author.clone(), domain.to_owned());
    let (chain, key) = (chain.to_vec(), Zeroizing::new(key.to_vec()));
    let work = tokio::spawn(async move {
        let (turn, journal) = (edge.changes.turn().await?, edge.changes.journal.clone());
        let kept = blocking(&journal, move |journal| {
            Ok(keep(journal, &author, &domain, &chain, &key, Timestamp::now()))
        });
        let (pair, former) = kept.await??;
        let (facts, fingerprint) = (pair.facts.clone(), fingerprint(&pair));
        let generation = live(&edge, &journal, turn, former).await?;
        Ok(Uploaded { generation, facts, fingerprint })
    });
    joined(work.await)
}

/// Takes the pair of `domain` away. Returns the generation without it; `None` when there was none.
pub async fn remove(
    edge: &Arc<Edge>,
    author: &Author,
    domain: &str,
) -> Result<Option<u64>, CertificateError> {
    let (edge, author, domain) = (Arc::clone(edge), author.clone(), domain.to_owned());
    let work = tokio::spawn(async move {
        let (turn, journal) = (edge.changes.turn().await?, edge.changes.journal.clone());
        let taken = blocking(&journal, move |journal| Ok(take_away(journal, &author, &domain)));
        let Some(former) = taken.await?? else { return Ok(None) };
        live(&edge, &journal, turn, former).await.map(Some)
    });
    joined(work.await)
}

/// Reloads; a pair that is refused after all gives way to the one of before.
async fn live(
    edge: &Edge,
    journal: &Journal,
    turn: Turn,
    former: Former,
) -> Result<u64, CertificateError> {
    let result = match edge.reload().await {
        Ok(reloaded) => Ok(reloaded.generation),
        Err(rejected) => {
            let why = rejected.detail.clone();
            blocking(journal, move |journal| former.put_back(journal, &why)).await?;
            Err(rejected.into())
        }
    };
    drop(turn);
    result
}

impl Writer {
    /// As [`set`], from the command line; the reload is for the caller.
    pub fn set_certificate(
        &self,
        author: &Author,
        domain: &str,
        chain: &[u8],
        key: &[u8],
    ) -> Result<(Arc<Pair>, Former), CertificateError> {
        keep(&self.journal, author, domain, chain, key, Timestamp::now())
    }

    /// As [`remove`]; `None` when there was none.
    pub fn remove_certificate(
        &self,
        author: &Author,
        domain: &str,
    ) -> Result<Option<Former>, CertificateError> {
        take_away(&self.journal, author, domain)
    }

    /// Puts the pair of before back: the edge did not take the new one.
    pub fn put_certificate_back(&self, former: &Former, why: &str) -> Result<(), ChangeError> {
        former.put_back(&self.journal, why)
    }
}

/// What was there before.
pub struct Former {
    domain: String,
    /// Chain and key.
    pair: Option<(Vec<u8>, Zeroizing<Vec<u8>>)>,
}

impl Former {
    fn of(store: &PairStore, domain: &str) -> Result<Former, StoreError> {
        let read = |path: &Path| {
            let failed = |error| StoreError::Io { doing: "read", path: path.to_owned(), error };
            fs::read(path).map_err(failed)
        };
        let pair = match store.find(domain)? {
            Some(paths) => Some((read(&paths.certificate)?, Zeroizing::new(read(&paths.key)?))),
            None => None,
        };
        Ok(Former { domain: domain.to_owned(), pair })
    }

    fn put_back(&self, journal: &Journal, why: &str) -> Result<(), ChangeError> {
        let store = PairStore::uploaded(&journal.state_dir);
        match &self.pair {
            Some((chain, key)) => store.write(&self.domain, chain, key)?,
            None => drop(store.remove(&self.domain)?),
        }
        let author = Author { name: "hawser".to_owned(), via: Via::Edge, address: None };
        let about = format!("{}: the change was refused: {why}", self.domain);
        journal.note(&author, "certificate put back", &about).map(drop)
    }
}

fn keep(
    journal: &Journal,
    author: &Author,
    domain: &str,
    chain: &[u8],
    key: &[u8],
    now: Timestamp,
) -> Result<(Arc<Pair>, Former), CertificateError> {
    let store = PairStore::uploaded(&journal.state_dir);
    let former = Former::of(&store, domain)?;
    let pair = upload(&journal.state_dir, domain, chain, key, now)?;
    let until = Timestamp::from_second(pair.facts.not_after).map(|end| end.to_string());
    let until = until.unwrap_or_default();
    let about = format!("{domain}: SHA-256 {}, valid until {until}", fingerprint(&pair));
    if let Err(error) = journal.note(author, "certificate set", &about) {
        // What nobody can look up later must not be there.
        former.put_back(journal, &error.to_string())?;
        return Err(error.into());
    }
    Ok((pair, former))
}

fn take_away(
    journal: &Journal,
    author: &Author,
    domain: &str,
) -> Result<Option<Former>, CertificateError> {
    let store = PairStore::uploaded(&journal.state_dir);
    let former = Former::of(&store, domain)?;
    if !store.remove(domain)? {
        return Ok(None);
    }
    journal.note(author, "certificate remove", domain)?;
    Ok(Some(former))
}

/// Of the leaf.
fn fingerprint(pair: &Pair) -> String {
    let leaf = pair.certified.cert.first().map(|leaf| digest(&SHA256, leaf));
    leaf.iter().flat_map(|d| d.as_ref()).map(|byte| format!("{byte:02x}")).collect()
}
