//! Taking over a pair that somebody uploads: everything is checked before anything is written. The
//! same for the command line and for whoever else may ask. Not here: the reload that follows.

use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;

use super::pair::{Pair, Wrong};
use super::pem;
use super::store::PairStore;
use crate::control::config::store::{StoreError, checked_name};

/// Why a pair was not taken. Nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    #[error("the certificate {what}: accepted is {accepted}")]
    Certificate { what: String, accepted: String },
    #[error("the key {what}: accepted is {accepted}")]
    Key { what: String, accepted: String },
    #[error("{0}")]
    Store(#[from] StoreError),
}

impl From<Wrong> for Refused {
    fn from(wrong: Wrong) -> Refused {
        match wrong {
            Wrong::Chain((what, accepted)) => Refused::Certificate { what, accepted },
            Wrong::Key((what, accepted)) => Refused::Key { what, accepted },
        }
    }
}

/// A pair for `domain`, both texts PEM, the chain with its leaf first; nothing is written yet.
///
/// # Errors
/// What is wrong with the name, the chain or the key; a pair that is expired, not valid yet or for
/// other names is refused too.
pub fn checked(
    domain: &str,
    chain: &[u8],
    key: &[u8],
    now: Timestamp,
) -> Result<Arc<Pair>, Refused> {
    checked_name(domain)?;
    let pair = Pair::of_texts(chain, key, |_| None)?;
    if let Some((what, accepted)) = pair.facts.wrong_for(Some(domain), now) {
        return Err(Refused::Certificate { what, accepted });
    }
    Ok(pair)
}

/// Keeps a pair that was checked, in the place of the one of before.
pub fn keep(state_dir: &Path, domain: &str, pair: &Pair, key: &[u8]) -> Result<(), Refused> {
    // A file with both in it has its key left out of what others may one day read.
    let chain = pem::of_chain(&pair.certified.cert);
    Ok(PairStore::uploaded(state_dir).write(domain, chain.as_bytes(), key)?)
}
