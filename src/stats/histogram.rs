//! A small log-linear histogram with one writer. Not here: quantiles, which belong to whoever
//! reads.

use super::counters::Counter;

/// Buckets by powers of four from 64 microseconds to 67 seconds, so 12 numbers cover a LAN and a
/// dead peer.
pub const BOUNDS_US: [u64; 11] =
    [64, 256, 1_024, 4_096, 16_384, 65_536, 262_144, 1_048_576, 4_194_304, 16_777_216, 67_108_864];

#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [Counter; BOUNDS_US.len() + 1],
    sum_us: Counter,
}

impl Histogram {
    pub fn record_us(&self, us: u64) {
        let i = BOUNDS_US.iter().position(|&bound| us <= bound).unwrap_or(BOUNDS_US.len());
        self.buckets[i].add(1);
        self.sum_us.add(us);
    }

    /// Counts per bucket, the last one above every bound.
    pub fn counts(&self) -> [u64; BOUNDS_US.len() + 1] {
        std::array::from_fn(|i| self.buckets[i].value())
    }

    pub fn sum_us(&self) -> u64 {
        self.sum_us.value()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_on_a_bound_belongs_to_the_bucket_below() {
        let h = Histogram::default();
        for us in [0, 64, 65, 1_000_000_000] {
            h.record_us(us);
        }
        let counts = h.counts();
        assert_eq!((counts[0], counts[1], counts[11]), (2, 1, 1));
        assert_eq!(h.sum_us(), 1_000_000_129);
    }
}
