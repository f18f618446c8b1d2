//! The gate of WebSocket: no domain has it before a billing plan is in effect, unless billing is
//! off. The publisher asks it for every snapshot.
//!
//! Not here: who opens a plan, and the refusal of changes (`changes`).

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use jiff::Timestamp;
use tracing::warn;

use super::{Billing, BillingError};
use crate::control::config::{DomainConfig, Loaded};

/// Names of domains that one warning lists.
const NAMES_MAX: usize = 10;
pub const WAY_OUT: &str = "choose a plan (`hawser plan open`, POST /api/v1/plan, OpenDcdnService), \
                           or set [billing] enabled = false in hawser.toml";

/// Whether a plan is in effect, as far as this process has looked. Cheap to clone and to ask.
#[derive(Debug, Clone)]
pub struct Gate(Arc<Looked>);

#[derive(Debug)]
struct Looked {
    /// `None`: of a test, for ever open.
    billing: Option<Billing>,
    in_effect: AtomicBool,
}

impl Gate {
    pub fn new(billing: Billing) -> Gate {
        Gate(Arc::new(Looked { billing: Some(billing), in_effect: AtomicBool::new(false) }))
    }

    /// A gate that nothing closes.
    #[cfg(test)]
    pub fn open() -> Gate {
        Gate(Arc::new(Looked { billing: None, in_effect: AtomicBool::new(true) }))
    }

    /// Looks into the database, unless it is known that a plan is in effect: it stays so. Returns
    /// whether that is news. Blocks.
    ///
    /// # Errors
    /// The database cannot be read; nothing changed.
    pub fn look(&self, now: Timestamp) -> Result<bool, BillingError> {
        let Some(billing) = &self.0.billing else { return Ok(false) };
        if self.0.in_effect.load(Ordering::Acquire) || billing.plans(now)?.current.is_none() {
            return Ok(false);
        }
        Ok(!self.0.in_effect.swap(true, Ordering::AcqRel))
    }

    /// Takes over the settings of a configuration that is about to be published, and gives what of
    /// it may be published now: WebSocket is off in every domain while the gate is closed.
    pub fn allowed<'a>(&self, loaded: &'a Loaded) -> Cow<'a, Loaded> {
        if let Some(billing) = &self.0.billing {
            billing.take_over(&loaded.server.billing);
        }
        if self.is_open() {
            return Cow::Borrowed(loaded);
        }
        let mut allowed = loaded.clone();
        for domain in &mut allowed.domains {
            domain.websocket.enabled = false;
        }
        Cow::Owned(allowed)
    }

    /// Whether WebSocket may be enabled, by the settings that were taken over last.
    pub fn is_open(&self) -> bool {
        let off = |billing: &Billing| !billing.settings().enabled;
        self.0.in_effect.load(Ordering::Acquire) || self.0.billing.as_ref().is_none_or(off)
    }

    /// Warns of the domains that want WebSocket and do not have it.
    pub fn tell(&self, domains: &[DomainConfig]) {
        if self.is_open() {
            return;
        }
        let gated: Vec<&str> =
            domains.iter().filter(|d| d.websocket.enabled).map(|d| &*d.name).collect();
        if !gated.is_empty() {
            warn!(domains = %listed(&gated), way_out = WAY_OUT,
                "no billing plan is in effect: WebSocket stays off");
        }
    }
}

/// The first names, and how many more there are.
fn listed(names: &[&str]) -> String {
    let shown = names[..names.len().min(NAMES_MAX)].join(", ");
    match names.len().saturating_sub(NAMES_MAX) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warning_names_a_few() {
        let names: Vec<String> = (0..12).map(|n| format!("d{n}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        assert_eq!(listed(&names[..2]), "d0, d1");
        assert!(listed(&names).ends_with("d9 and 2 more"), "{}", listed(&names));
    }
}
