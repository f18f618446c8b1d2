//! Who is signed in to the console: random tokens in cookies, each for one access key, kept in
//! memory only. A restart signs everybody out.
//!
//! Not here: the sign-in itself and its pages (`console`), keys (`keys`), what a key may do
//! (`api`).

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest;
use axum::http::{HeaderMap, header};
use cookie::Cookie;
use rand::distr::{Alphanumeric, SampleString};
use zeroize::Zeroizing;

use crate::limits::{
    CONSOLE_SESSION_IDLE, CONSOLE_SESSION_LIFE, CONSOLE_SESSIONS_MAX, CONSOLE_SESSIONS_OF_ONE_MAX,
};

/// The cookie that a browser carries.
pub const COOKIE: &str = "hawser_session";
/// The header by which scripts of the console show that they are of the console.
pub const CSRF_HEADER: &str = "x-csrf-token";
/// What a page that is open asks by itself carries this header: it keeps nobody signed in.
pub const BACKGROUND_HEADER: &str = "x-background";

/// 256 bits and more.
const TOKEN_LETTERS: usize = 43;

/// What the rest of the console knows of a session.
#[derive(Clone, PartialEq, Eq)]
pub struct Session {
    pub key_id: String,
    /// Goes into every form and, as [`CSRF_HEADER`], with every script's request that changes
    /// something.
    pub csrf: Zeroizing<String>,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("key_id", &self.key_id).finish_non_exhaustive()
    }
}

impl Session {
    /// Compares in constant time.
    pub fn is_csrf(&self, sent: &str) -> bool {
        verify_slices_are_equal(self.csrf.as_bytes(), sent.as_bytes()).is_ok()
    }
}

/// The sessions of one process.
#[derive(Default)]
pub struct Sessions(Mutex<HashMap<Hash, Kept>>);

/// Of a token: the table holds nothing that could be sent.
type Hash = [u8; digest::SHA256_OUTPUT_LEN];

struct Kept {
    session: Session,
    begun: Instant,
    seen: Instant,
    notice: Option<String>,
}

impl Kept {
    fn is_over(&self, now: Instant) -> bool {
        now.duration_since(self.begun) >= CONSOLE_SESSION_LIFE
            || now.duration_since(self.seen) >= CONSOLE_SESSION_IDLE
    }
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions").field("open", &self.kept().len()).finish()
    }
}

impl Sessions {
    /// Begins a session and returns its token: nobody else has it. Beyond
    /// [`CONSOLE_SESSIONS_OF_ONE_MAX`] of one key, and [`CONSOLE_SESSIONS_MAX`] of all, the one
    /// that was not used for longest ends.
    pub fn begin(&self, key_id: &str, now: Instant) -> Zeroizing<String> {
        let random = &mut rand::rng();
        let token = Zeroizing::new(Alphanumeric.sample_string(random, TOKEN_LETTERS));
        let csrf = Zeroizing::new(Alphanumeric.sample_string(random, TOKEN_LETTERS));
        let session = Session { key_id: key_id.to_owned(), csrf };
        let mut all = self.kept();
        all.retain(|_, kept| !kept.is_over(now));
        let own = |kept: &Kept| kept.session.key_id == key_id;
        if all.values().filter(|kept| own(kept)).count() >= CONSOLE_SESSIONS_OF_ONE_MAX {
            end_oldest(&mut all, own);
        }
        if all.len() >= CONSOLE_SESSIONS_MAX {
            end_oldest(&mut all, |_| true);
        }
        all.insert(hash(&token), Kept { session, begun: now, seen: now, notice: None });
        token
    }

    /// The session that a token is of; being asked for keeps it going.
    pub fn find(&self, token: &str, now: Instant) -> Option<Session> {
        let (mut all, hash) = (self.kept(), hash(token));
        let kept = all.get_mut(&hash)?;
        if kept.is_over(now) {
            all.remove(&hash);
            return None;
        }
        kept.seen = now;
        Some(kept.session.clone())
    }

    /// The same for what a browser does by itself: it keeps nothing going.
    pub fn look(&self, token: &str, now: Instant) -> Option<Session> {
        let all = self.kept();
        all.get(&hash(token)).filter(|kept| !kept.is_over(now)).map(|kept| kept.session.clone())
    }

    pub fn end(&self, token: &str) {
        self.kept().remove(&hash(token));
    }

    /// Keeps a line for the next page that this session sees.
    pub fn leave_notice(&self, token: &str, notice: String) {
        if let Some(kept) = self.kept().get_mut(&hash(token)) {
            kept.notice = Some(notice);
        }
    }

    pub fn take_notice(&self, token: &str) -> Option<String> {
        self.kept().get_mut(&hash(token))?.notice.take()
    }

    fn kept(&self) -> MutexGuard<'_, HashMap<Hash, Kept>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// RFC 6265 4.2: the value of a cookie of this name.
pub fn cookie(headers: &HeaderMap, name: &str) -> Option<String> {
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    let mut all = lines.flat_map(Cookie::split_parse).flatten();
    all.find(|cookie| cookie.name() == name).map(|cookie| cookie.value().to_owned())
}

/// Ends the session that was not used for longest among these.
fn end_oldest(all: &mut HashMap<Hash, Kept>, among: impl Fn(&Kept) -> bool) {
    let those = all.iter().filter(|(_, kept)| among(kept));
    let oldest = those.min_by_key(|(_, kept)| kept.seen).map(|(hash, _)| *hash);
    oldest.and_then(|hash| all.remove(&hash));
}

fn hash(token: &str) -> Hash {
    let mut hash = [0; digest::SHA256_OUTPUT_LEN];
    hash.copy_from_slice(digest::digest(&digest::SHA256, token.as_bytes()).as_ref());
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_lasts_while_it_is_used_and_not_for_ever() {
        let (sessions, start) = (Sessions::default(), Instant::now());
        let token = sessions.begin("HK1", start);
        assert_eq!(sessions.find(&token, start).unwrap().key_id, "HK1");
        assert_eq!(sessions.find("x", start), None);
        let mut now = start;
        while now + CONSOLE_SESSION_IDLE / 2 < start + CONSOLE_SESSION_LIFE {
            now += CONSOLE_SESSION_IDLE / 2;
            assert!(sessions.find(&token, now).is_some());
        }
        assert_eq!(sessions.find(&token, start + CONSOLE_SESSION_LIFE), None);
        let idle = sessions.begin("HK1", start);
        assert_eq!(sessions.find(&idle, start + CONSOLE_SESSION_IDLE), None);
        assert_eq!(sessions.find(&idle, start), None, "what is over stays over");
        let looked_at = sessions.begin("HK1", start);
        assert!(sessions.look(&looked_at, start + CONSOLE_SESSION_IDLE / 2).is_some());
        assert!(sessions.look(&looked_at, start + CONSOLE_SESSION_IDLE).is_none());
    }

    #[test]
    fn signing_out_ends_one_session() {
        let (sessions, now) = (Sessions::default(), Instant::now());
        let [one, other] = [0, 0].map(|_| sessions.begin("HK1", now));
        assert_ne!(*one, *other);
        sessions.end(&one);
        assert!(sessions.find(&one, now).is_none() && sessions.find(&other, now).is_some());
    }

    #[test]
    fn the_number_of_sessions_is_bounded() {
        let (sessions, now) = (Sessions::default(), Instant::now());
        let first = sessions.begin("HK1", now);
        let used = sessions.begin("HK1", now);
        for n in 0..CONSOLE_SESSIONS_MAX - 1 {
            let later = now + std::time::Duration::from_millis(1 + n as u64);
            assert!(sessions.find(&used, later).is_some());
            drop(sessions.begin(&format!("HK2-{n}"), later));
        }
        assert!(sessions.find(&first, now).is_none(), "the one that was used least recently");
        assert!(sessions.find(&used, now + std::time::Duration::from_secs(1)).is_some());
    }

    #[test]
    fn a_key_that_signs_in_again_and_again_ends_its_own_sessions_only() {
        let (sessions, now) = (Sessions::default(), Instant::now());
        let other = sessions.begin("HK1", now);
        let later = |n: usize| now + std::time::Duration::from_millis(1 + n as u64);
        let first = sessions.begin("HK2", later(0));
        for n in 1..=CONSOLE_SESSIONS_OF_ONE_MAX {
            drop(sessions.begin("HK2", later(n)));
        }
        assert!(sessions.find(&first, later(100)).is_none());
        assert!(sessions.find(&other, later(100)).is_some());
        assert_eq!(sessions.kept().len(), CONSOLE_SESSIONS_OF_ONE_MAX + 1);
    }

    #[test]
    fn a_notice_is_shown_once() {
        let (sessions, now) = (Sessions::default(), Instant::now());
        let token = sessions.begin("HK1", now);
        sessions.leave_notice(&token, "saved".into());
        assert_eq!(sessions.take_notice(&token).as_deref(), Some("saved"));
        assert_eq!(sessions.take_notice(&token), None);
    }

    // RFC 6265 4.2.1.
    #[test]
    fn cookies_are_found_by_name() {
        let headers = |line: &str| HeaderMap::from_iter([(header::COOKIE, line.parse().unwrap())]);
        for (line, value) in [
            ("hawser_session=a", Some("a")),
            ("x=1; hawser_session=a; y=2", Some("a")),
            ("xhawser_session=a", None),
            ("hawser_session", None),
            ("", None),
        ] {
            assert_eq!(cookie(&headers(line), COOKIE).as_deref(), value, "{line}");
        }
    }

    #[test]
    fn nothing_secret_is_shown() {
        let (sessions, now) = (Sessions::default(), Instant::now());
        let token = sessions.begin("HK1", now);
        let session = sessions.find(&token, now).unwrap();
        let shown = format!("{sessions:?} {session:?}");
        assert!(!shown.contains(&**token) && !shown.contains(&**session.csrf), "{shown}");
        assert!(session.is_csrf(&session.csrf) && !session.is_csrf("") && !session.is_csrf("x"));
    }
}
