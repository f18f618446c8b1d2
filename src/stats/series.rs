//! What is counted of WebSocket per domain, region, provider and layer: the numbers behind
//! statistics and bills.
//!
//! Not here: slots of time, which the control plane makes of differences between two readings.

use std::sync::Arc;
use std::sync::OnceLock;

use super::counters::{CodeCounters, Counter};
use super::histogram::Histogram;
use super::outcome::Cause;

/// Whose numbers they are. Those of several layers share a name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SeriesName {
    pub domain: Arc<str>,
    pub region: Arc<str>,
    pub isp: Arc<str>,
}

/// By which version of IP a client came, and whether under TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Layer {
    Ipv4Http,
    Ipv4Https,
    Ipv6Http,
    Ipv6Https,
}

impl Layer {
    pub const ALL: [Layer; Layer::COUNT] =
        [Layer::Ipv4Http, Layer::Ipv4Https, Layer::Ipv6Http, Layer::Ipv6Https];
    pub const COUNT: usize = 4;
    pub const IPV4: [Layer; 2] = [Layer::Ipv4Http, Layer::Ipv4Https];
    pub const IPV6: [Layer; 2] = [Layer::Ipv6Http, Layer::Ipv6Https];
    pub const HTTP: [Layer; 2] = [Layer::Ipv4Http, Layer::Ipv6Http];
    pub const HTTPS: [Layer; 2] = [Layer::Ipv4Https, Layer::Ipv6Https];
}

/// What one core did for WebSocket connections of one series. Bytes are those of TCP payload in
/// the clear: frame headers and handshake heads count, TLS does not.
///
/// What a message touches comes first and shares one cache line, on which nothing of another series
/// stands.
#[derive(Debug, Default)]
#[repr(C, align(64))]
pub struct SeriesCounters {
    /// Bytes sent to clients (the billed figure) and received from them: upgrade requests with
    /// their answers, and tunnels. Counted when sent.
    pub bytes_out: Counter,
    pub bytes_in: Counter,
    /// Whole messages to clients and from them.
    pub messages_out: Counter,
    pub messages_in: Counter,
    /// Tunnels opened, and open now.
    pub opened: Counter,
    pub active: Counter,
    /// Most tunnels open at once since `peak_period` began; see [`SeriesCounters::open`].
    pub peak: Counter,
    pub peak_period: Counter,
    /// Tunnels closed, by cause (`Cause as usize`).
    pub closed: [Counter; Cause::COUNT],
    identity: OnceLock<(SeriesName, Option<Layer>)>,
    /// Answers to upgrade requests of domains whose toggle is on, by code.
    pub handshakes: CodeCounters,
    /// Microseconds from the first byte of an upgrade request to its answer.
    pub handshake_us: Histogram,
}

const _: () = assert!(std::mem::offset_of!(SeriesCounters, messages_in) < 64);
/// `limits::SERIES_MAX` speaks of about 1 KB.
const _: () = assert!(size_of::<SeriesCounters>() <= 1024);

impl SeriesCounters {
    /// `None` before its first use.
    pub fn name(&self) -> Option<&SeriesName> {
        self.identity.get().map(|(name, _)| name)
    }

    /// `None` where there was no room to keep layers apart.
    pub fn layer(&self) -> Option<Layer> {
        self.identity.get().and_then(|(_, layer)| *layer)
    }

    /// Names it, once.
    pub fn begin(&self, name: SeriesName, layer: Option<Layer>) {
        let _ = self.identity.set((name, layer));
    }

    /// Counts an opened tunnel. `period` is [`super::Stats::period`]: the first tunnel of a new
    /// period begins a new peak.
    pub fn open(&self, period: u64) {
        if self.peak_period.value() != period {
            self.peak_period.set(period);
            self.peak.set(self.active.value());
        }
        self.opened.add(1);
        self.active.add(1);
        if self.active.value() > self.peak.value() {
            self.peak.set(self.active.value());
        }
    }

    /// Counts the end of a tunnel.
    pub fn close(&self, cause: Cause) {
        self.active.sub(1);
        self.closed[cause as usize].add(1);
    }

    /// Most tunnels open at once in `period`: those that were open at its start, `active_before`,
    /// or more.
    pub fn peak_in(&self, period: u64, active_before: u64) -> u64 {
        let opened = if self.peak_period.value() == period { self.peak.value() } else { 0 };
        opened.max(active_before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peak_belongs_to_its_period() {
        let series = SeriesCounters::default();
        for _ in 0..3 {
            series.open(1);
        }
        series.close(Cause::PeerClose);
        assert_eq!((series.peak_in(1, 0), series.active.value()), (3, 2));
        assert_eq!(series.peak_in(2, 2), 2, "nothing opened in the second period");
        series.close(Cause::PeerClose);
        series.open(2);
        assert_eq!((series.peak_in(2, 2), series.peak.value()), (2, 2));
    }
}
