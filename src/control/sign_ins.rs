//! Failed sign-ins: counted for /metrics by API and reason, and logged at a bounded rate with the
//! address they came from.
//!
//! Nobody is locked out: a secret has 40 random letters and digits, so that guessing leads nowhere,
//! and a lock would also shut out whoever shares an address with a guesser. Not here: who checks
//! keys (`keys`), and what each API answers.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use axum::extract::ConnectInfo;
use axum::http::Extensions;
use tracing::warn;

use crate::limits::{SIGN_IN_LINES_MAX, SIGN_IN_LINES_OF_ONE_MAX, SIGN_IN_LINES_PERIOD};

/// Where somebody wanted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Api {
    Rest,
    Dcdn,
    Console,
    /// `/metrics`, where it needs a key.
    Metrics,
}

impl Api {
    pub const ALL: [Api; 4] = [Api::Rest, Api::Dcdn, Api::Console, Api::Metrics];

    pub fn name(self) -> &'static str {
        match self {
            Api::Rest => "rest",
            Api::Dcdn => "dcdn",
            Api::Console => "console",
            Api::Metrics => "metrics",
        }
    }
}

/// Why somebody was not let in. Only ids of keys that there are stand in it, never what was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Denied {
    /// Credentials are missing, or not all of them are there.
    Missing,
    /// No key has this id.
    Unknown,
    /// The key was revoked.
    Revoked(String),
    /// The secret is not that of the key, or the signature was not made with it.
    WrongSecret(String),
    /// The time stamp, or the session, is out of its time; of a session nobody may know whose it
    /// was.
    Stale(Option<String>),
    /// The same signed request came before.
    Replayed(String),
}

impl Denied {
    /// What [`Denied::reason`] can be, as [`Denied::index`] counts.
    const REASONS: [&'static str; 6] =
        ["missing", "unknown_key", "revoked_key", "wrong_secret", "stale", "replayed"];

    fn index(&self) -> usize {
        match self {
            Denied::Missing => 0,
            Denied::Unknown => 1,
            Denied::Revoked(_) => 2,
            Denied::WrongSecret(_) => 3,
            Denied::Stale(_) => 4,
            Denied::Replayed(_) => 5,
        }
    }

    pub fn reason(&self) -> &'static str {
        Denied::REASONS[self.index()]
    }

    /// The id of a key that there is, or was.
    pub fn key(&self) -> Option<&str> {
        match self {
            Denied::Missing | Denied::Unknown => None,
            Denied::Revoked(key) | Denied::WrongSecret(key) | Denied::Replayed(key) => Some(key),
            Denied::Stale(key) => key.as_deref(),
        }
    }
}

/// The failed sign-ins of one edge.
#[derive(Debug, Default)]
pub struct SignIns {
    counts: [[AtomicU64; Denied::REASONS.len()]; Api::ALL.len()],
    lines: Mutex<Lines>,
}

impl SignIns {
    /// Counts a sign-in that failed, and logs it unless too many others were logged just now.
    pub fn failed(&self, api: Api, denied: &Denied, address: Option<IpAddr>) {
        self.counts[api as usize][denied.index()].fetch_add(1, Ordering::Relaxed);
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(left_out) = lines.take(address, Instant::now()) else { return };
        drop(lines);
        let address = address.map(tracing::field::display);
        let (api, reason, key) = (api.name(), denied.reason(), denied.key());
        let left_out = (left_out > 0).then_some(left_out);
        warn!(api, reason, key, address, left_out, "a sign-in failed");
    }

    /// API, reason and number of each that happened at least once; those that did not with 0.
    pub fn counts(&self) -> impl Iterator<Item = (Api, &'static str, u64)> {
        Api::ALL.into_iter().zip(&self.counts).flat_map(|(api, counts)| {
            let counts = Denied::REASONS.into_iter().zip(counts);
            counts.map(move |(reason, count)| (api, reason, count.load(Ordering::Relaxed)))
        })
    }
}

/// Where a request came from, as the admin listener noted it.
pub fn address(extensions: &Extensions) -> Option<IpAddr> {
    let peer = extensions.get::<ConnectInfo<SocketAddr>>();
    peer.map(|ConnectInfo(peer)| peer.ip().to_canonical())
}

/// Lines that were written within the present period.
#[derive(Debug, Default)]
struct Lines {
    since: Option<Instant>,
    /// At most as many addresses as lines.
    by_address: HashMap<Option<IpAddr>, u32>,
    written: u32,
    left_out: u64,
}

impl Lines {
    /// Whether a line may be written, with the number of those that were left out since the last.
    fn take(&mut self, address: Option<IpAddr>, now: Instant) -> Option<u64> {
        let fresh = |since: Instant| now.duration_since(since) < SIGN_IN_LINES_PERIOD;
        if !self.since.is_some_and(fresh) {
            *self = Lines { since: Some(now), left_out: self.left_out, ..Lines::default() };
        }
        let of_address = self.by_address.get(&address).copied().unwrap_or(0);
        if self.written >= SIGN_IN_LINES_MAX || of_address >= SIGN_IN_LINES_OF_ONE_MAX {
            self.left_out += 1;
            return None;
        }
        self.by_address.insert(address, of_address + 1);
        self.written += 1;
        Some(std::mem::take(&mut self.left_out))
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn address(last: u8) -> Option<IpAddr> {
        Some(Ipv4Addr::new(192, 0, 2, last).into())
    }

    #[test]
    fn each_reason_counts_by_itself() {
        let sign_ins = SignIns::default();
        let key = || "HK1".to_owned();
        let all = [
            Denied::Missing,
            Denied::Unknown,
            Denied::Revoked(key()),
            Denied::WrongSecret(key()),
            Denied::Stale(Some(key())),
            Denied::Replayed(key()),
        ];
        for (n, denied) in all.iter().enumerate() {
            for _ in 0..=n {
                sign_ins.failed(Api::Dcdn, denied, None);
            }
        }
        let of_dcdn = sign_ins.counts().filter(|(api, ..)| *api == Api::Dcdn);
        let of_dcdn: Vec<_> = of_dcdn.map(|(_, reason, count)| (reason, count)).collect();
        let expected: Vec<_> = all.iter().map(Denied::reason).zip(1..).collect();
        assert_eq!(of_dcdn, expected);
        assert_eq!(sign_ins.counts().map(|(.., count)| count).sum::<u64>(), 21);
        assert_eq!(sign_ins.counts().count(), Api::ALL.len() * all.len());
    }

    #[test]
    fn lines_are_bounded_and_one_address_does_not_use_them_up() {
        let (mut lines, now) = (Lines::default(), Instant::now());
        for _ in 0..SIGN_IN_LINES_OF_ONE_MAX {
            assert_eq!(lines.take(address(1), now), Some(0));
        }
        assert_eq!(lines.take(address(1), now), None);
        assert_eq!(lines.take(address(2), now), Some(1), "another one, and what was left out");
        let written = (3..=255).filter(|last| lines.take(address(*last), now).is_some()).count();
        assert_eq!(written as u32 + SIGN_IN_LINES_OF_ONE_MAX + 1, SIGN_IN_LINES_MAX);
        assert!(lines.by_address.len() <= SIGN_IN_LINES_MAX as usize);
        let left_out = 253 - written as u64;
        let later = now + SIGN_IN_LINES_PERIOD;
        assert_eq!(lines.take(address(1), later), Some(left_out), "the next period");
    }
}
