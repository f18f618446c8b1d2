//! What the REST API says about the node, with the words of the page for it.

use maud::Markup;
use serde::Deserialize;

use super::super::node::Node;
use super::super::units;

#[derive(Debug, Deserialize)]
pub struct Status {
    pub version: String,
    pub pid: u32,
    pub phase: String,
    pub uptime_s: u64,
    pub listen: Vec<String>,
    pub listen_tls: Vec<String>,
    pub domains: u64,
    pub cores: u64,
    pub connections: u64,
    pub access_log: AccessLog,
    pub statistics: Statistics,
    /// Of the node's days, east of UTC.
    pub utc_offset_s: i32,
}

#[derive(Debug, Deserialize)]
pub struct AccessLog {
    pub lines_written: u64,
    pub lines_lost: u64,
    pub events_dropped: u64,
}

#[derive(Debug, Deserialize)]
pub struct Statistics {
    pub last_written: Option<String>,
    pub writes_failed: u64,
    pub rows_waiting: u64,
    pub rows_coarsened: u64,
}

impl Status {
    pub fn is_serving(&self) -> bool {
        self.phase == "serving"
    }

    pub fn phase_title(&self) -> &str {
        match &*self.phase {
            "starting" => "Starting",
            "serving" => "Serving",
            "draining" => "Draining",
            other => other,
        }
    }

    pub fn phase_words(&self) -> &'static str {
        match &*self.phase {
            "serving" => "Takes new connections",
            "draining" => "Takes no new connections and ends soon",
            _ => "Takes no new connections yet",
        }
    }

    /// A moment of the API, RFC 3339, as this node's people read it.
    pub fn time(&self, moment: &str) -> Markup {
        Node { utc_offset_s: self.utc_offset_s }.time(moment)
    }
}

/// What a reload came to.
#[derive(Debug, Deserialize)]
pub struct Reloaded {
    generation: u64,
    added: Vec<String>,
    removed: Vec<String>,
    restart_needed: Vec<String>,
}

impl Reloaded {
    pub fn words(&self) -> String {
        let mut words = format!("The files are live: generation {}", self.generation);
        for (what, list) in [("added", &self.added), ("removed", &self.removed)] {
            if !list.is_empty() {
                words += &format!(", {} {what}", units::count(list.len() as u64));
            }
        }
        words.push('.');
        if !self.restart_needed.is_empty() {
            words += " Only a restart takes over: ";
            words += &self.restart_needed.join(", ");
            words.push('.');
        }
        words
    }
}

#[derive(Debug, Deserialize)]
pub struct Drained {
    window_ms: Option<u64>,
}

impl Drained {
    pub fn words(&self) -> String {
        match self.window_ms {
            Some(ms) if ms > 0 => {
                format!("Draining: every connection is closed within {}.", units::duration(ms))
            }
            _ => "Draining: every connection is closed at once.".to_owned(),
        }
    }
}

#[derive(Debug, Deserialize)]
pub struct Snapshot {
    pub generation: u64,
    pub hash: String,
    pub generation_by_core: Vec<u64>,
}

#[derive(Debug, Deserialize)]
pub struct Differences {
    pub server: Option<String>,
    pub added: Vec<String>,
    pub removed: Vec<String>,
    pub changed: Vec<Changed>,
    pub truncated: bool,
}

impl Differences {
    pub fn is_empty(&self) -> bool {
        let lists = self.added.is_empty() && self.removed.is_empty() && self.changed.is_empty();
        lists && self.server.is_none()
    }
}

#[derive(Debug, Deserialize)]
pub struct Changed {
    pub name: String,
    pub diff: String,
}

/// A part of a list.
#[derive(Debug, Deserialize)]
pub struct Part<T> {
    pub items: Vec<T>,
    pub next: Option<String>,
}

#[derive(Debug, Deserialize)]
pub struct Endpoint {
    pub domain: String,
    pub origin: String,
    pub address: String,
    pub tls: bool,
    pub up: bool,
    pub connections: u64,
}

#[derive(Debug, Deserialize)]
pub struct Certificate {
    pub domain: String,
    pub source: String,
    pub names: Vec<String>,
    pub issuer: String,
    pub kind: String,
    pub not_after: String,
    pub days_left: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reload_says_what_it_did() {
        let reloaded = |text: &str| serde_json::from_str::<Reloaded>(text).unwrap().words();
        assert_eq!(
            reloaded(r#"{"generation": 7, "added": [], "removed": [], "restart_needed": []}"#),
            "The files are live: generation 7."
        );
        assert_eq!(
            reloaded(
                r#"{"generation": 8, "added": ["a", "b"], "removed": ["c"],
                    "restart_needed": ["server.workers", "admin.listen"]}"#
            ),
            "The files are live: generation 8, 2 added, 1 removed. \
             Only a restart takes over: server.workers, admin.listen."
        );
    }

    #[test]
    fn a_drain_says_how_long_it_takes() {
        for (window_ms, words) in [
            (Some(90_000), "Draining: every connection is closed within 1 min 30 s."),
            (Some(0), "Draining: every connection is closed at once."),
            (None, "Draining: every connection is closed at once."),
        ] {
            assert_eq!(Drained { window_ms }.words(), words);
        }
    }
}
