//! What is checked of a pair that somebody uploads, before anything is written. The same for the
//! command line and for whoever else may ask. Not here: how it is kept (`store`, `changes`).

use std::sync::Arc;

use jiff::Timestamp;

use super::pair::{Pair, Wrong};
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
