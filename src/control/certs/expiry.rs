//! Certificates that end soon, or have ended: told at start, at every reload, and once a day.
//! Not here: the metric (`metrics`), and renewal (`acme`, or whoever issued it).

use std::sync::Arc;

use jiff::Timestamp;
use tokio::time::{Instant, sleep_until};
use tracing::{error, warn};

use super::keyring::{Served, Source};
use super::pair::day;
use crate::limits::{EXPIRY_WARNING, EXPIRY_WATCH};

/// What is to be said of one certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Fine,
    /// Ends within [`EXPIRY_WARNING`].
    Soon,
    Over,
}

pub fn verdict(served: &Served, now: Timestamp) -> Verdict {
    let left = served.pair.facts.not_after - now.as_second();
    if left < 0 {
        Verdict::Over
    } else if left <= EXPIRY_WARNING.as_secs() as i64 {
        Verdict::Soon
    } else {
        Verdict::Fine
    }
}

/// For people; `None` when there is nothing to say.
pub fn said(served: &Served, now: Timestamp) -> Option<String> {
    let Served { domain, source, pair } = served;
    let (kind, ends) = (pair.facts.kind.name(), day(pair.facts.not_after));
    let how = match verdict(served, now) {
        Verdict::Fine => return None,
        Verdict::Soon => "ends",
        Verdict::Over => "HAS EXPIRED",
    };
    Some(format!("certificate of {domain} ({}, {kind}): {how} {ends}", source.name()))
}

/// Says which certificates end soon or have ended.
pub fn tell(served: &[Served], now: Timestamp) {
    for one in served {
        let Served { domain, source, pair } = one;
        let (kind, ends) = (pair.facts.kind.name(), day(pair.facts.not_after));
        let way_out = match source {
            Source::Acme => "see the log for why it was not renewed",
            Source::Uploaded => "hawser cert set",
            Source::Files | Source::Default | Source::Origins | Source::Admin => {
                "replace the file, then reload"
            }
        };
        let source = source.name();
        match verdict(one, now) {
            Verdict::Fine => {}
            Verdict::Soon => {
                let days = pair.facts.days_left(now);
                warn!(%domain, source, kind, ends, days, way_out, "a certificate ends soon");
            }
            Verdict::Over => {
                error!(%domain, source, kind, ends, way_out, "a certificate has expired");
            }
        }
    }
}

/// Calls `tell` once a day with what is served then, for ever.
pub async fn watch(served: impl Fn() -> Arc<[Served]>, tell: impl Fn(&[Served])) {
    let mut next = Instant::now();
    loop {
        next += EXPIRY_WATCH;
        sleep_until(next).await;
        tell(&served());
    }
}
