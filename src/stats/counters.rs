//! Single-writer counters of one core. Not here: who reads them and when.

use std::sync::atomic::{AtomicU64, Ordering};

use super::histogram::Histogram;
use super::outcome::{Refusal, TlsFailure};

/// A number with one writing thread and any number of readers.
///
/// Relaxed load and store instead of a locked add: a fifth of its cost, and right because nobody
/// else writes.
#[derive(Debug, Default)]
#[repr(transparent)]
pub struct Counter(AtomicU64);

impl Counter {
    #[inline]
    pub fn add(&self, n: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(n), Ordering::Relaxed);
    }

    #[inline]
    pub fn sub(&self, n: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_sub(n), Ordering::Relaxed);
    }

    #[inline]
    pub fn set(&self, n: u64) {
        self.0.store(n, Ordering::Relaxed);
    }

    #[inline]
    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What one core does, over all domains.
#[derive(Debug, Default)]
pub struct CoreCounters {
    /// Connections taken from the listeners.
    pub accepted: Counter,
    /// Connections in accept, HTTP or handshake right now (not tunnels).
    pub setups: Counter,
    /// Tunnels right now.
    pub tunnels: Counter,
    /// Moments at which the core stopped accepting because a limit was reached.
    pub accept_pauses: Counter,
    /// Connections waiting in the accept queues of this core's listeners, as last looked at.
    pub accept_queue: Counter,
    /// Nanoseconds this core was not waiting, and all nanoseconds since its start.
    pub busy_ns: Counter,
    pub elapsed_ns: Counter,
    /// Access-log events lost because the ring was full.
    pub log_drops: Counter,
    /// Receives that found no free buffer in the ring, and completions that overflowed the queue.
    pub buffer_shortages: Counter,
    pub ring_overflows: Counter,
    /// Pooled buffers not in the kernel's hands, and all of them.
    pub buffers_used: Counter,
    pub buffers_total: Counter,
    /// Panics caught at a set-up task: each closed one connection.
    pub panics: Counter,
    /// The generation of the snapshot that this core uses.
    pub snapshot_generation: Counter,
    /// Look-ups that found no room for another series: what they asked for counts under an unknown
    /// place, or under no domain.
    pub series_shortages: Counter,
    /// Refused before a domain was known, by reason (`Refusal as usize`).
    pub refused: [Counter; Refusal::COUNT],
    /// TLS handshakes with clients that succeeded: with certificates, and from a ticket.
    pub tls_full: Counter,
    pub tls_resumed: Counter,
    /// Those that failed, by reason (`TlsFailure as usize`).
    pub tls_failed: [Counter; TlsFailure::COUNT],
    /// Microseconds from the first byte of a ClientHello to the end of its handshake.
    pub tls_handshake_us: Histogram,
    /// TLS handshakes with origins: with certificates, from a ticket, failed.
    pub origin_tls_full: Counter,
    pub origin_tls_resumed: Counter,
    pub origin_tls_failed: Counter,
}

/// Status codes that are counted one by one; any other is counted under its class (`100`, `200`,
/// ... last in the list).
pub const CODES: [u16; 44] = [
    101, 200, 201, 202, 204, 206, 301, 302, 303, 304, 307, 308, 400, 401, 403, 404, 405, 408, 409,
    410, 411, 413, 414, 415, 416, 417, 421, 422, 426, 429, 431, 451, 499, 500, 501, 502, 503, 504,
    505, 100, 299, 399, 498, 599,
];
const CLASS_OTHER: usize = 39;

/// What one core did for one domain in plain HTTP, and round-trip times. What it did for WebSocket
/// stands in [`super::series`].
#[derive(Debug, Default)]
pub struct DomainCounters {
    /// Bytes of plain HTTP sent to clients and received from them, heads included; also those of
    /// upgrade requests while the domain has WebSocket switched off.
    pub http_bytes_out: Counter,
    pub http_bytes_in: Counter,
    /// Answers to those requests, by code.
    pub requests: CodeCounters,
    /// Microseconds from our Ping to its Pong, client leg and origin leg.
    pub client_rtt_us: Histogram,
    pub origin_rtt_us: Histogram,
}

#[derive(Debug)]
pub struct CodeCounters([Counter; CODES.len()]);

impl Default for CodeCounters {
    fn default() -> CodeCounters {
        CodeCounters(std::array::from_fn(|_| Counter::default()))
    }
}

impl CodeCounters {
    pub fn count(&self, status: u16) {
        self.0[code_index(status)].add(1);
    }

    /// Numbers by [`CODES`].
    pub fn values(&self) -> [u64; CODES.len()] {
        self.0.each_ref().map(Counter::value)
    }

    /// Every counted code with its number, in the order of [`CODES`]; a code that stands for the
    /// rest of its class is named `1xx` ... `5xx`.
    pub fn iter(&self) -> impl Iterator<Item = (CodeName, u64)> + '_ {
        self.0.iter().enumerate().map(|(i, c)| (CodeName(i), c.value()))
    }
}

/// A counted status code, for labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CodeName(usize);

impl CodeName {
    /// As a number; of one that stands for the rest of its class, the last of [`CODES`].
    pub fn code(self) -> u16 {
        CODES[self.0]
    }
}

impl std::fmt::Display for CodeName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0.checked_sub(CLASS_OTHER) {
            None => write!(f, "{}", CODES[self.0]),
            Some(class) => write!(f, "{}xx", class + 1),
        }
    }
}

fn code_index(status: u16) -> usize {
    match CODES[..CLASS_OTHER].iter().position(|&c| c == status) {
        Some(i) => i,
        None => CLASS_OTHER + usize::from(status / 100).clamp(1, 5) - 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_counted_by_name_or_by_class() {
        let codes = CodeCounters::default();
        for status in [101, 101, 200, 299, 418, 599, 103, 999] {
            codes.count(status);
        }
        let seen: Vec<String> =
            codes.iter().filter(|(_, n)| *n > 0).map(|(c, n)| format!("{c}={n}")).collect();
        assert_eq!(seen, ["101=2", "200=1", "1xx=1", "2xx=1", "4xx=1", "5xx=2"]);
    }
}
