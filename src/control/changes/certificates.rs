//! Uploaded certificates through the API and the command line: checked, kept, live in the next
//! snapshot, noted in the audit log. The log has fingerprints and dates, never a text of a key.
//!
//! Not here: how pairs are checked and kept (`certs`).

use std::fs;
use std::path::Path;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use jiff::Timestamp;
use tracing::warn;
use zeroize::Zeroizing;

use super::audit;
use super::journal::Journal;
use super::offline::Writer;
use super::{Author, ChangeError, Turn, Via, blocking, joined};
use crate::control::certs::pair::{Facts, Pair};
use crate::control::certs::request::Requests;
use crate::control::certs::store::PairStore;
use crate::control::certs::upload;
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

/// Requests whose keys this node keeps.
pub fn requests(edge: &Edge) -> Requests {
    Requests::new(&edge.changes.journal.state_dir)
}

/// What must be kept for a domain when its pair is changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expected {
    Anything,
    Nothing,
    /// A pair whose leaf has one of these fingerprints.
    OneOf(Vec<String>),
}

impl Expected {
    fn holds(&self, store: &PairStore, domain: &str) -> Result<(), ChangeError> {
        // One that cannot be read any more is nobody's.
        let found = store.pair(domain).ok().flatten().map(|pair| fingerprint(&pair));
        let expected = match self {
            Expected::Anything => return Ok(()),
            Expected::Nothing if found.is_none() => return Ok(()),
            Expected::Nothing => "no certificate".to_owned(),
            Expected::OneOf(known) if found.as_ref().is_some_and(|f| known.contains(f)) => {
                return Ok(());
            }
            Expected::OneOf(known) => known.join(" or "),
        };
        Err(ChangeError::Revision { domain: domain.into(), expected, found })
    }
}

/// Keeps a pair for `domain`, PEM both, the chain with its leaf first, and makes it live. Whoever
/// stops waiting for the answer does not stop it.
pub async fn set(
    edge: &Arc<Edge>,
    author: &Author,
    domain: &str,
    expected: Expected,
    chain: &[u8],
    key: &[u8],
) -> Result<Uploaded, CertificateError> {
    let (edge, author, domain) = (Arc::clone(edge), author.clone(), domain.to_owned());
    let (chain, key) = (chain.to_vec(), Zeroizing::new(key.to_vec()));
    let work = tokio::spawn(async move {
        let (turn, journal) = (edge.changes.turn().await?, edge.changes.journal.clone());
        let kept = blocking(&journal, move |journal| {
            Ok(keep(journal, &author, &domain, &expected, (&chain, &key)))
        });
        let (pair, former) = kept.await??;
        let (facts, fingerprint) = (pair.facts.clone(), fingerprint(&pair));
        let generation = live(&edge, &journal, turn, vec![former]).await?;
        Ok(Uploaded { generation, facts, fingerprint })
    });
    joined(work.await)
}

/// Takes the pair of `domain` away. Returns the generation without it; `None` when there was none.
pub async fn remove(
    edge: &Arc<Edge>,
    author: &Author,
    domain: &str,
    expected: Expected,
) -> Result<Option<u64>, CertificateError> {
    let (edge, author, domain) = (Arc::clone(edge), author.clone(), domain.to_owned());
    let work = tokio::spawn(async move {
        let (turn, journal) = (edge.changes.turn().await?, edge.changes.journal.clone());
        let taken =
            blocking(&journal, move |journal| Ok(take_away(journal, &author, &domain, &expected)));
        let Some(former) = taken.await?? else { return Ok(None) };
        live(&edge, &journal, turn, vec![former]).await.map(Some)
    });
    joined(work.await)
}

/// As [`set`], or without a pair as [`remove`], for several domains: live together, or not at all.
/// Returns the generation that has it.
pub async fn set_all(
    edge: &Arc<Edge>,
    author: &Author,
    domains: &[Arc<str>],
    pair: Option<(&[u8], &[u8])>,
) -> Result<u64, CertificateError> {
    let (edge, author, domains) = (Arc::clone(edge), author.clone(), domains.to_vec());
    let pair = pair.map(|(chain, key)| (chain.to_vec(), Zeroizing::new(key.to_vec())));
    let work = tokio::spawn(async move {
        let (turn, journal) = (edge.changes.turn().await?, edge.changes.journal.clone());
        let replaced = blocking(&journal, move |journal| {
            let mut formers = Vec::new();
            for domain in &domains {
                let former = match &pair {
                    Some((chain, key)) => {
                        keep(journal, &author, domain, &Expected::Anything, (chain, key))
                            .map(|(_, former)| Some(former))
                    }
                    None => take_away(journal, &author, domain, &Expected::Anything),
                };
                match former {
                    Ok(former) => formers.extend(former),
                    Err(error) => {
                        put_all_back(journal, &formers, &error.to_string())?;
                        return Ok(Err(error));
                    }
                }
            }
            Ok(Ok(formers))
        });
        let formers = replaced.await??;
        live(&edge, &journal, turn, formers).await
    });
    joined(work.await)
}

fn put_all_back(journal: &Journal, formers: &[Former], why: &str) -> Result<(), ChangeError> {
    formers.iter().try_for_each(|former| former.put_back(journal, why))
}

/// Reloads; pairs that are refused after all give way to those of before.
async fn live(
    edge: &Edge,
    journal: &Journal,
    turn: Turn,
    formers: Vec<Former>,
) -> Result<u64, CertificateError> {
    let result = match edge.reload().await {
        Ok(reloaded) => Ok(reloaded.generation),
        Err(rejected) => {
            let why = rejected.detail.clone();
            blocking(journal, move |journal| put_all_back(journal, &formers, &why)).await?;
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
        keep(&self.journal, author, domain, &Expected::Anything, (chain, key))
    }

    /// As [`remove`]; `None` when there was none.
    pub fn remove_certificate(
        &self,
        author: &Author,
        domain: &str,
    ) -> Result<Option<Former>, CertificateError> {
        take_away(&self.journal, author, domain, &Expected::Anything)
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

    /// What was there before is there again. The log says why, as far as it can be written.
    fn put_back(&self, journal: &Journal, why: &str) -> Result<(), ChangeError> {
        let store = PairStore::uploaded(&journal.state_dir);
        match &self.pair {
            Some((chain, key)) => store.write(&self.domain, chain, key)?,
            None => drop(store.remove(&self.domain)?),
        }
        journal.certificate_is_as_before(&self.domain, &format!("the change was refused: {why}"))
    }
}

fn keep(
    journal: &Journal,
    author: &Author,
    domain: &str,
    expected: &Expected,
    (chain, key): (&[u8], &[u8]),
) -> Result<(Arc<Pair>, Former), CertificateError> {
    let store = PairStore::uploaded(&journal.state_dir);
    let former = Former::of(&store, domain)?;
    expected.holds(&store, domain)?;
    let pair = upload::checked(domain, chain, key, Timestamp::now())?;
    let (fingerprint, until) = (fingerprint(&pair), pair.facts.not_after);
    let until = Timestamp::from_second(until).map(|end| end.to_string()).unwrap_or_default();
    let about = format!("{domain}: SHA-256 {fingerprint}, valid until {until}");
    let noted = Noted { author, action: "certificate set", about: &about };
    journal.certificate(noted, domain, Some(&fingerprint), || {
        Ok(upload::keep(&journal.state_dir, domain, &pair, key)?)
    })?;
    Ok((pair, former))
}

fn take_away(
    journal: &Journal,
    author: &Author,
    domain: &str,
    expected: &Expected,
) -> Result<Option<Former>, CertificateError> {
    let store = PairStore::uploaded(&journal.state_dir);
    let former = Former::of(&store, domain)?;
    if former.pair.is_none() {
        return Ok(None);
    }
    expected.holds(&store, domain)?;
    let noted = Noted { author, action: "certificate remove", about: domain };
    journal.certificate(noted, domain, None, || Ok(store.remove(domain).map(drop)?))?;
    Ok(Some(former))
}

/// What the log is to say.
struct Noted<'a> {
    author: &'a Author,
    action: &'a str,
    about: &'a str,
}

impl Journal {
    /// First the log has it, then it is done: who is killed in between leaves an entry that the
    /// next start corrects, and never a certificate that came from nowhere.
    fn certificate(
        &self,
        Noted { author, action, about }: Noted<'_>,
        domain: &str,
        fingerprint: Option<&str>,
        work: impl FnOnce() -> Result<(), CertificateError>,
    ) -> Result<(), CertificateError> {
        let _files = self.files()?;
        let begun = self.database.write(|work| {
            audit::note(work, author, action, about)?;
            audit::begin_certificate(work, domain, fingerprint)
        });
        begun.map_err(ChangeError::from)?;
        if let Err(error) = work() {
            self.certificate_is_as_before(domain, &error.to_string())?;
            return Err(error);
        }
        let done = self.database.write(|work| audit::finish_certificate(work, domain));
        // Looked at again by whoever comes next; it is as the log says.
        Ok(done.or_else(|error: rusqlite::Error| {
            warn!(domain, %error, "the certificate is kept, but the journal could not say so");
            Ok::<(), ChangeError>(())
        })?)
    }

    fn certificate_is_as_before(&self, domain: &str, why: &str) -> Result<(), ChangeError> {
        let author = Author { name: "hawser".to_owned(), via: Via::Edge, address: None };
        let about = format!("{domain}: {why}");
        Ok(self.database.write(|work| {
            audit::note(work, &author, "certificate put back", &about)?;
            audit::finish_certificate(work, domain)
        })?)
    }

    /// The log has a certificate that a process that was killed did not come to keep. The caller
    /// holds the files.
    pub(super) fn recover_certificates(&self) -> Result<(), ChangeError> {
        let store = PairStore::uploaded(&self.state_dir);
        for (domain, wanted) in self.database.read(audit::pending_certificates)? {
            // One that cannot be read is none of ours.
            let found = store.pair(&domain).ok().flatten().map(|pair| fingerprint(&pair));
            if found == wanted {
                self.database.write(|work| audit::finish_certificate(work, &domain))?;
            } else {
                self.certificate_is_as_before(&domain, "it was cut short before it was kept")?;
            }
        }
        Ok(())
    }
}

/// SHA-256 of the leaf, hexadecimal.
pub fn fingerprint(pair: &Pair) -> String {
    let leaf = pair.certified.cert.first().map(|leaf| digest(&SHA256, leaf));
    leaf.iter().flat_map(|d| d.as_ref()).map(|byte| format!("{byte:02x}")).collect()
}
