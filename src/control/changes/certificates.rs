//! Uploaded certificates through the API and the command line: checked, kept, live in the next
//! snapshot, noted in the audit log. The log has fingerprints and dates, never a text of a key.
//!
//! Not here: how pairs are checked and kept (`certs`), and what of them the journal has (`pairs`).

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use jiff::Timestamp;
use zeroize::Zeroizing;

use super::journal::{Done, Journal, Set};
use super::offline::Writer;
use super::pairs::{Kept, Side, Swap, Texts};
use super::{Applied, Author, Beside, ChangeError, Order, blocking, carried_out, joined};
use crate::control::certs::chain_pem;
use crate::control::certs::pair::{Facts, Pair};
use crate::control::certs::request::Requests;
use crate::control::certs::store::PairStore;
use crate::control::certs::upload;
use crate::control::config::store::StoreError;
use crate::control::edge::Edge;

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
    /// Also: the edge did not take it; what was there before is back.
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

/// The fingerprint of the pair that is kept for `domain`, in use or not. Blocks.
pub fn kept_now(edge: &Edge, domain: &str) -> Option<String> {
    let store = PairStore::uploaded(&edge.changes.journal.state_dir);
    store.pair(domain).ok().flatten().map(|pair| fingerprint(&pair))
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
    let texts = Texts { chain: chain.to_vec(), key: Zeroizing::new(key.to_vec()) };
    let (edge, author, domain) = (Arc::clone(edge), author.clone(), Arc::from(domain));
    let work = tokio::spawn(async move {
        let (turn, journal) = (edge.changes.turn().await?, edge.changes.journal.clone());
        let kept = blocking(&journal, move |journal| Ok(kept(journal, &domain, &expected, &texts)));
        let (pair, swap) = kept.await??;
        let (facts, fingerprint) = (pair.facts.clone(), fingerprint(&pair));
        let applied = carried_out(journal, edge, turn, set_of(author, swap)).await?;
        Ok(Uploaded { generation: applied.generation, facts, fingerprint })
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
    let (edge, author, domain) = (Arc::clone(edge), author.clone(), Arc::from(domain));
    let work = tokio::spawn(async move {
        let (turn, journal) = (edge.changes.turn().await?, edge.changes.journal.clone());
        let taken = blocking(&journal, move |journal| Ok(taken_away(journal, &domain, &expected)));
        let Some(swap) = taken.await?? else { return Ok(None) };
        let applied = carried_out(journal, edge, turn, set_of(author, swap)).await?;
        Ok(Some(applied.generation))
    });
    joined(work.await)
}

/// As [`super::Changes::apply`], and all domains of the order get this pair, or lose theirs: the
/// texts and the certificates are live together, or none of them.
pub async fn apply(
    edge: &Arc<Edge>,
    order: Order<'_>,
    pair: Option<(&[u8], &[u8])>,
    edit: impl FnMut(&str, Option<&str>) -> Result<Option<String>, ChangeError> + Send,
) -> Result<Applied, ChangeError> {
    let texts = |(chain, key): (&[u8], &[u8])| Texts {
        chain: chain.to_vec(),
        key: Zeroizing::new(key.to_vec()),
    };
    let beside = Beside { about: None, pair: Some(pair.map(texts)) };
    edge.changes.apply_with(edge, order, beside, edit).await
}

impl Writer {
    /// As [`set`], from the command line; the reload is for the caller.
    pub fn set_certificate(
        &self,
        author: &Author,
        domain: &str,
        chain: &[u8],
        key: &[u8],
    ) -> Result<(Arc<Pair>, Done), CertificateError> {
        let texts = Texts { chain: chain.to_vec(), key: Zeroizing::new(key.to_vec()) };
        let (pair, swap) = kept(&self.journal, &domain.into(), &Expected::Anything, &texts)?;
        Ok((pair, self.journal.commit(set_of(author.clone(), swap))?))
    }

    /// As [`remove`]; `None` when there was none.
    pub fn remove_certificate(
        &self,
        author: &Author,
        domain: &str,
    ) -> Result<Option<Done>, CertificateError> {
        let swap = taken_away(&self.journal, &domain.into(), &Expected::Anything)?;
        let commit = |swap| self.journal.commit(set_of(author.clone(), swap));
        Ok(swap.map(commit).transpose()?)
    }
}

/// The change of one certificate by itself.
fn set_of(author: Author, swap: Swap) -> Set {
    let (action, pairs) = (swap.action.to_owned(), vec![swap]);
    Set { author, action, about: None, changes: Vec::new(), records: None, pairs }
}

/// What is to become of the pairs of `domains`: all get these texts, or lose what they have.
/// Everything is checked; nothing is written.
pub(super) fn swaps(
    journal: &Journal,
    domains: &[Arc<str>],
    wanted: Option<&Texts>,
) -> Result<Vec<Swap>, CertificateError> {
    let swap = |domain: &Arc<str>| match wanted {
        Some(texts) => {
            kept(journal, domain, &Expected::Anything, texts).map(|(_, swap)| Some(swap))
        }
        None => taken_away(journal, domain, &Expected::Anything),
    };
    domains.iter().filter_map(|domain| swap(domain).transpose()).collect()
}

fn kept(
    journal: &Journal,
    domain: &Arc<str>,
    expected: &Expected,
    texts: &Texts,
) -> Result<(Arc<Pair>, Swap), CertificateError> {
    let before = present(journal, domain, expected)?;
    let pair = upload::checked(domain, &texts.chain, &texts.key, Timestamp::now())?;
    let until = Timestamp::from_second(pair.facts.not_after);
    let until = until.map(|end| end.to_string()).unwrap_or_default();
    let about = format!("{domain}: SHA-256 {}, valid until {until}", fingerprint(&pair));
    // A file with both in it has its key left out of what others may one day read.
    let chain = chain_pem(&pair).into_bytes();
    let texts = Texts { chain, key: texts.key.clone() };
    let after = Side { kept: Kept::Pair(pair.digest), texts: Some(texts) };
    let domain = Arc::clone(domain);
    Ok((pair, Swap { domain, before, after, action: "certificate set", about }))
}

/// `None`: there is nothing to take away.
fn taken_away(
    journal: &Journal,
    domain: &Arc<str>,
    expected: &Expected,
) -> Result<Option<Swap>, CertificateError> {
    let before = present(journal, domain, expected)?;
    if before.kept == Kept::Nothing {
        return Ok(None);
    }
    let after = Side { kept: Kept::Nothing, texts: None };
    let (domain, about) = (Arc::clone(domain), domain.to_string());
    Ok(Some(Swap { domain, before, after, action: "certificate remove", about }))
}

/// What is kept now, when it is what the caller expects. The caller has the turn.
fn present(journal: &Journal, domain: &str, expected: &Expected) -> Result<Side, ChangeError> {
    let _files = journal.files()?;
    let store = PairStore::uploaded(&journal.state_dir);
    expected.holds(&store, domain)?;
    Ok(Side::present(&store, domain)?)
}

/// SHA-256 of the leaf, hexadecimal.
pub fn fingerprint(pair: &Pair) -> String {
    let leaf = pair.certified.cert.first().map(|leaf| digest(&SHA256, leaf));
    leaf.iter().flat_map(|d| d.as_ref()).map(|byte| format!("{byte:02x}")).collect()
}
