//! What `[billing]` of `hawser.toml` says. Not here: how it is written (`config`).

use std::path::PathBuf;
use std::sync::Arc;

use super::calendar::Offset;
use super::prices::Prices;

/// `[billing]`; all of it is taken over by reload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Off: nothing is gated by a plan, and nothing is charged.
    pub enabled: bool,
    pub utc_offset: Offset,
    pub pending: Pending,
    pub overhead: Overhead,
    pub price_file: Option<PathBuf>,
    /// What stands in `price_file`, once it was read.
    pub prices: Option<Arc<Prices>>,
}

/// What becomes of a change of plan while another one has not taken effect yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pending {
    /// It is refused.
    Refuse,
    /// The last one wins.
    Replace,
}

/// Factor on counted bytes for what is not counted (TCP/IP headers, retransmission), in
/// thousandths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Overhead(u16);

impl Overhead {
    pub const NONE: Overhead = Overhead(1_000);
    pub const THOUSANDTHS: std::ops::RangeInclusive<u16> = 1_000..=2_000;

    /// `None` out of [`Overhead::THOUSANDTHS`].
    pub fn from_thousandths(thousandths: u16) -> Option<Overhead> {
        Overhead::THOUSANDTHS.contains(&thousandths).then_some(Overhead(thousandths))
    }

    pub fn thousandths(self) -> u16 {
        self.0
    }

    /// What is billed for `bytes`, rounded half up.
    pub fn of(self, bytes: u64) -> u64 {
        let thousandths = u128::from(bytes) * u128::from(self.0);
        u64::try_from((thousandths + 500) / 1_000).unwrap_or(u64::MAX)
    }
}

impl std::fmt::Display for Overhead {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = format!("{}.{:03}", self.0 / 1_000, self.0 % 1_000);
        // Two places at least, as such factors are written.
        f.write_str(text.strip_suffix('0').unwrap_or(&text))
    }
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            enabled: true,
            utc_offset: Offset::BEIJING,
            pending: Pending::Refuse,
            overhead: Overhead::NONE,
            price_file: None,
            prices: None,
        }
    }
}
