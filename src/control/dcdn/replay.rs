//! Keeps a signed request from being sent twice: its time must be near ours, and its nonce must be
//! new.
//!
//! Nonces are in memory; those of calls that change something are on disk too, so that a restart
//! does not let one in again. Not here: signatures.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};

use aws_lc_rs::digest::{SHA256, digest};

use super::attributes;
use super::error::{self, Failure};
use super::request::time;
use crate::control::database::Database;
use crate::limits::DCDN_NONCES_MAX;

/// Seconds by which a time stamp may differ from our clock, either way.
const WINDOW: i64 = 15 * 60;
/// Seconds for which a nonce is remembered at least: for as long as its time stamp, of either end
/// of the window, is accepted.
const KEPT: i64 = 2 * WINDOW;

/// `yyyy-MM-ddTHH:mm:ssZ`, within the window.
///
/// # Errors
/// `InvalidTimeStamp.Format`, `InvalidTimeStamp.Expired`.
pub fn check_time(text: &str, now: i64) -> Result<(), Failure> {
    let time = time(text).ok_or(error::TIMESTAMP_FORMAT)?;
    if (time - now).abs() > WINDOW {
        return Err(error::TIMESTAMP_EXPIRED.into());
    }
    Ok(())
}

/// Nonces that were used, by access key.
#[derive(Debug)]
pub struct Nonces {
    keys: Mutex<HashMap<String, Seen>>,
    /// For new ones of one key within [`KEPT`].
    room: usize,
}

impl Default for Nonces {
    fn default() -> Nonces {
        Nonces::with_room(DCDN_NONCES_MAX)
    }
}

/// Two halves, so that forgetting is one assignment: nonces stay for one to two times [`KEPT`].
#[derive(Debug, Default)]
struct Seen {
    since: i64,
    young: HashSet<Nonce>,
    old: HashSet<Nonce>,
}

/// The beginning of the SHA-256 of the nonce: callers choose its length. Two that begin alike by
/// chance cost one call.
type Nonce = [u8; 8];

impl Nonces {
    fn with_room(room: usize) -> Nonces {
        Nonces { keys: Mutex::default(), room }
    }

    /// Notes the nonce of a request whose signature was right.
    ///
    /// # Errors
    /// `SignatureNonceUsed`; `ServiceUnavailable` when the key used up its share of memory.
    pub fn take(&self, key: &str, nonce: &str, now: i64) -> Result<(), Failure> {
        let nonce = hashed(nonce);
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        keys.retain(|_, seen| now - seen.since < 2 * KEPT);
        let seen = keys.entry(key.to_owned()).or_insert_with(|| Seen::since(now));
        if now - seen.since >= KEPT {
            *seen = Seen { old: std::mem::take(&mut seen.young), ..Seen::since(now) };
        }
        if seen.old.contains(&nonce) || seen.young.contains(&nonce) {
            return Err(error::NONCE_USED.into());
        }
        if seen.young.len() >= self.room {
            return Err(error::UNAVAILABLE.into());
        }
        seen.young.insert(nonce);
        Ok(())
    }
}

/// The same across restarts and processes, for a call that changes something.
///
/// # Errors
/// `SignatureNonceUsed`, or the database cannot be written.
pub async fn take_for_good(
    database: &Database,
    key: &str,
    nonce: &str,
    now: i64,
) -> Result<(), Failure> {
    let (key, nonce) = (key.to_owned(), hashed(nonce));
    let taken = database.off_the_runtime(move |database| {
        database.write(|work| attributes::take_nonce(work, &key, &nonce, now, now - 2 * KEPT))
    });
    match taken.await {
        Ok(true) => Ok(()),
        Ok(false) => Err(error::NONCE_USED.into()),
        Err(error) => Err(Failure::from(error)),
    }
}

fn hashed(nonce: &str) -> Nonce {
    let hash = digest(&SHA256, nonce.as_bytes());
    let mut first = Nonce::default();
    first.copy_from_slice(&hash.as_ref()[..8]);
    first
}

impl Seen {
    fn since(since: i64) -> Seen {
        Seen { since, ..Seen::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_795_339_767;

    // DCDN OpenAPI 2018-01-15, signing: 15 minutes either way.
    #[test]
    fn times_near_ours_are_accepted() {
        let stamp = |time: i64| jiff::Timestamp::from_second(time).unwrap().to_string();
        for (offset, fits) in [(0, true), (-900, true), (900, true), (-901, false), (901, false)] {
            let found = check_time(&stamp(NOW + offset), NOW);
            assert_eq!(found.is_ok(), fits, "{offset}");
            if let Err(error) = found {
                assert_eq!(error.code, "InvalidTimeStamp.Expired");
            }
        }
        let table = ["", "now", "2026-11-22", "2026-11-22T09:29:27", "2026-11-22 09:29:27Z"];
        for text in table.into_iter().chain(["2026-11-22T09:29:27.1Z", "2026-13-22T09:29:27Z"]) {
            let error = check_time(text, NOW).unwrap_err();
            assert_eq!(error.code, "InvalidTimeStamp.Format", "{text:?}");
        }
    }

    // DCDN OpenAPI 2018-01-15, signing: a nonce is unique per key for 15 minutes; ours for 30.
    #[test]
    fn a_nonce_is_taken_once() {
        let nonces = Nonces::default();
        nonces.take("a", "n", NOW).unwrap();
        for later in [0, 1, KEPT - 1, KEPT, 2 * KEPT - 1] {
            let error = nonces.take("a", "n", NOW + later).unwrap_err();
            assert_eq!(error.code, "SignatureNonceUsed", "{later}");
        }
        nonces.take("b", "n", NOW).unwrap();
        nonces.take("a", "m", NOW).unwrap();
        nonces.take("a", "n", NOW + 4 * KEPT).unwrap();
    }

    #[tokio::test]
    async fn a_nonce_is_taken_once_across_restarts() {
        let dir = tempfile::tempdir().unwrap();
        let open = || Database::open(dir.path()).unwrap();
        take_for_good(&open(), "a", "n", NOW).await.unwrap();
        let error = take_for_good(&open(), "a", "n", NOW + WINDOW).await.unwrap_err();
        assert_eq!(error.code, "SignatureNonceUsed");
        take_for_good(&open(), "b", "n", NOW).await.unwrap();
        take_for_good(&open(), "a", "n", NOW + 2 * KEPT + 1).await.unwrap();
    }

    #[test]
    fn memory_is_bounded_and_comes_back() {
        let nonces = Nonces::with_room(100);
        for n in 0..100 {
            nonces.take("a", &n.to_string(), NOW).unwrap();
        }
        assert_eq!(nonces.take("a", "x", NOW).unwrap_err().code, "ServiceUnavailable");
        nonces.take("b", "x", NOW).unwrap();
        nonces.take("a", "x", NOW + KEPT).unwrap();
        assert_eq!(nonces.take("a", "7", NOW + KEPT).unwrap_err().code, "SignatureNonceUsed");
        nonces.take("a", "x", NOW + 3 * KEPT).unwrap();
        assert_eq!(nonces.keys.lock().unwrap().len(), 1, "keys that are not used are forgotten");
    }
}
