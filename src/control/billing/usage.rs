//! What was used, for the calls that ask for it as such: from the statistics, whoever pays how.
//!
//! Not here: statements (`statement`).

use std::collections::BTreeMap;
use std::sync::Arc;

use super::calendar::Offset;
use crate::control::statistics::{SLOT, StatisticsError, Store};

/// One step of a range.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct UsagePoint {
    pub start: i64,
    pub bytes: u64,
    /// Of the largest slot of five minutes, over all chosen domains, and where it begins.
    pub peak_bps: f64,
    pub peak_at: i64,
}

/// Traffic and peak of each step of `start..end`, empty steps too. `domains`: none is all. Steps
/// are multiples of five minutes and begin at 00:00 of `offset`.
///
/// # Errors
/// The store cannot be read.
pub fn by_step(
    store: &dyn Store,
    domains: &[Arc<str>],
    start: i64,
    end: i64,
    step: i64,
    offset: Offset,
) -> Result<Vec<UsagePoint>, StatisticsError> {
    let mut slots: BTreeMap<i64, u64> = BTreeMap::new();
    for (domain, slot, bytes) in store.bytes_by_domain(start, end)? {
        if domains.is_empty() || domains.contains(&domain) {
            *slots.entry(slot).or_default() += bytes;
        }
    }
    let step = step.max(SLOT);
    let first = (start + offset.seconds()).div_euclid(step) * step - offset.seconds();
    let bps = |bytes: u64| bytes as f64 * 8.0 / SLOT as f64;
    let point = |start: i64| {
        let (mut total, mut most, mut at) = (0, 0, start);
        for (slot, bytes) in slots.range(start..start + step) {
            total += bytes;
            if *bytes > most {
                (most, at) = (*bytes, *slot);
            }
        }
        UsagePoint { start, bytes: total, peak_bps: bps(most), peak_at: at }
    };
    Ok((first..end).step_by(usize::try_from(step).unwrap_or(1)).map(point).collect())
}
