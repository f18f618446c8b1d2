//! What a client has counted since it began, and how it says so. Not here: latencies, see `work`.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::trouble::{Fault, Trouble};

#[derive(Default)]
pub struct Tally {
    pub opened: u64,
    /// Handshakes that failed since the last `open` or `herd` began.
    pub failed: u64,
    pub sent: u64,
    pub echoed: u64,
    /// Payload of the answers as far as they have come.
    pub echoed_bytes: u64,
    pub wrong_bytes: u64,
    /// Messages of the origin that came whole.
    pub pushed: u64,
    /// Messages that came without being asked for.
    pub unasked: u64,
    /// Messages whose answer can no longer come.
    pub lost: u64,
    pub pings: u64,
    pub protocol_errors: u64,
    /// Connections that ended with this close code first seen; 1006 where there was none.
    pub ended: BTreeMap<u16, u64>,
    last_failure: String,
    errors: BTreeMap<String, Errors>,
}

struct Errors {
    fault: Fault,
    count: u64,
    /// The first of them, in words.
    first: String,
}

impl Tally {
    pub fn handshake_failed(&mut self, trouble: &Trouble) {
        self.failed += 1;
        self.last_failure = trouble.to_string();
        self.error(trouble);
    }

    pub fn error(&mut self, trouble: &Trouble) {
        let (fault, first) = (trouble.fault(), trouble.to_string());
        let new = Errors { fault, count: 0, first };
        self.errors.entry(trouble.kind()).or_insert(new).count += 1;
    }

    pub fn report(&self) -> Map<String, Value> {
        let ended: Value = self.ended.iter().map(|(c, n)| (c.to_string(), json!(n))).collect();
        let errors: Value =
            self.errors.iter().map(|(kind, e)| (kind.clone(), e.report())).collect();
        let figures = json!({
            "opened": self.opened,
            "failed": self.failed,
            "last_failure": self.last_failure,
            "sent": self.sent,
            "echoed": self.echoed,
            "echoed_bytes": self.echoed_bytes,
            "wrong_bytes": self.wrong_bytes,
            "pushed": self.pushed,
            "unasked": self.unasked,
            "lost": self.lost,
            "pings": self.pings,
            "protocol_errors": self.protocol_errors,
            "ended": ended,
            "errors": errors,
        });
        match figures {
            Value::Object(figures) => figures,
            _ => Map::new(),
        }
    }
}

impl Errors {
    fn report(&self) -> Value {
        json!({ "count": self.count, "fault": self.fault.name(), "first": self.first })
    }
}
