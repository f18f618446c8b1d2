//! The Date of answers (RFC 9110 6.6.1). Not here: the clock.

use std::io::Write as _;
use std::time::{Duration, UNIX_EPOCH};

use httpdate::HttpDate;

/// IMF-fixdate (RFC 9110 5.6.7): always so many bytes.
const LEN: usize = 29;
/// The end of the year 9999, behind which that form has no room.
const SECONDS_END: u64 = 253_402_300_800;

/// One second, as Date says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Date([u8; LEN]);

impl Date {
    /// Of so many seconds since 1970. `None`: the form cannot say it, so that clock is not set.
    pub fn new(seconds: u64) -> Option<Date> {
        if seconds >= SECONDS_END {
            return None;
        }
        let mut text = [0; LEN];
        write!(
            text.as_mut_slice(),
            "{}",
            HttpDate::from(UNIX_EPOCH + Duration::from_secs(seconds))
        )
        .ok()?;
        Some(Date(text))
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn imf_fixdate_rfc9110_5_6_7() {
        for (seconds, expected) in [
            (784_111_777, Some("Sun, 06 Nov 1994 08:49:37 GMT")),
            (0, Some("Thu, 01 Jan 1970 00:00:00 GMT")),
            (1_709_164_800, Some("Thu, 29 Feb 2024 00:00:00 GMT")),
            (SECONDS_END - 1, Some("Fri, 31 Dec 9999 23:59:59 GMT")),
            (SECONDS_END, None),
            (u64::MAX, None),
        ] {
            let date = Date::new(seconds);
            let text = date.as_ref().map(|date| std::str::from_utf8(date.as_bytes()).unwrap());
            assert_eq!(text, expected, "{seconds}");
        }
    }
}
