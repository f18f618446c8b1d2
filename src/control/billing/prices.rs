//! Prices: a TOML file of tiers, and what a quantity costs under them. All amounts are whole
//! millionths of the currency's unit; no floating point comes near them.
//!
//! Rounding: what is rounded is the sum of a month so far, half up, and a statement's amount is the
//! difference of two such sums. So the amounts of a month add up to the price of its total, however
//! many statements it was cut into.
//!
//! Not here: quantities (`quantity`), which of them is charged (`ledger`).

use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize, Serializer};
use toml::Spanned;

use super::settings::Overhead;
use crate::control::config::{Problem, Text};
use crate::limits::PRICE_TIERS_MAX;

/// DCDN's price list: 10 TB are 10,240 GB, so a GB is 2^30 bytes.
pub const GB: u64 = 1 << 30;
/// And 1 Gbps is 1,000 Mbps.
pub const MBPS: u64 = 1_000_000;
const MICRO: i64 = 1_000_000;
/// Units of the currency that a price may be: far beyond any real one, and far from overflow.
const PRICE_MAX: i64 = 1_000_000_000;

/// An amount, in millionths of the currency's unit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, utoipa::ToSchema)]
#[schema(value_type = String, example = "19.600000")]
pub struct Money(pub i64);

impl Money {
    /// Half up. Beyond the range of an amount it stays at its end: 9 * 10^12 units.
    fn rounded(numerator: i128, denominator: i128) -> Money {
        let rounded = (2 * numerator + denominator).div_euclid(2 * denominator);
        Money(i64::try_from(rounded).unwrap_or(i64::MAX))
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let (units, micro) = (self.0.unsigned_abs() / 1_000_000, self.0.unsigned_abs() % 1_000_000);
        write!(f, "{sign}{units}.{micro:06}")
    }
}

impl std::str::FromStr for Money {
    type Err = ();

    /// Digits, and at most six behind a point.
    fn from_str(text: &str) -> Result<Money, ()> {
        let (units, decimals) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        if !digits(units) || !digits(decimals) || decimals.len() > 6 {
            return Err(());
        }
        let units: i64 = units.parse().map_err(drop)?;
        let micro: i64 = format!("{decimals:0<6}").parse().map_err(drop)?;
        units.checked_mul(MICRO).and_then(|all| all.checked_add(micro)).map(Money).ok_or(())
    }
}

impl std::iter::Sum for Money {
    fn sum<I: Iterator<Item = Money>>(amounts: I) -> Money {
        Money(amounts.fold(0, |sum, amount| sum.saturating_add(amount.0)))
    }
}

impl std::ops::Sub for Money {
    type Output = Money;

    fn sub(self, other: Money) -> Money {
        Money(self.0.saturating_sub(other.0))
    }
}

/// As a decimal text: JSON numbers are floating point to most who read them.
impl Serialize for Money {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Tiers of one kind of quantity: the first begins at 0, each at more than the one before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tiers(Vec<Tier>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tier {
    /// In GB, or in Mbps.
    pub from: u64,
    pub price: Money,
}

/// The part of a quantity that fell into one tier.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Slice {
    /// Where the tier begins, in GB of the month.
    pub from_gb: u64,
    pub bytes: u64,
    /// Per GB.
    pub price: String,
}

impl From<(Tier, u64)> for Slice {
    fn from((tier, bytes): (Tier, u64)) -> Slice {
        Slice { from_gb: tier.from, bytes, price: tier.price.to_string() }
    }
}

impl Tiers {
    pub fn all(&self) -> &[Tier] {
        &self.0
    }

    /// Progressive: what stands between two bounds of tiers costs the price of its own tier. The
    /// price of the first `bytes` of a month.
    pub fn progressive(&self, bytes: u64) -> Money {
        let parts = self.slices(0, bytes);
        let sum = parts.map(|(tier, bytes)| i128::from(tier.price.0) * i128::from(bytes)).sum();
        Money::rounded(sum, i128::from(GB))
    }

    /// The tiers that `bytes` more fall into when the month stands at `position`.
    pub fn slices(&self, position: u64, bytes: u64) -> impl Iterator<Item = (Tier, u64)> {
        let end = position.saturating_add(bytes);
        let bounds = self.0.iter().skip(1).map(|next| next.from.saturating_mul(GB));
        let bounds = bounds.chain([u64::MAX]);
        self.0.iter().zip(bounds).filter_map(move |(tier, until)| {
            let (start, stop) = (position.max(tier.from.saturating_mul(GB)), end.min(until));
            (start < stop).then(|| (*tier, stop - start))
        })
    }

    /// Reach: the whole quantity at the price of the tier that it reaches.
    pub fn reached(&self, bandwidth: Bandwidth) -> (Tier, Money) {
        self.reached_in(bandwidth, 1, 1)
    }

    /// The same for `days` of a month that has `of`.
    pub fn reached_in(&self, bandwidth: Bandwidth, days: u64, of: u64) -> (Tier, Money) {
        let Bandwidth { numerator, denominator } = bandwidth;
        let reaches = |tier: &&Tier| i128::from(tier.from) * denominator <= numerator;
        let tier = *self.0.iter().rev().find(reaches).unwrap_or(&self.0[0]);
        let whole = i128::from(tier.price.0) * numerator * i128::from(days);
        (tier, Money::rounded(whole, denominator * i128::from(of)))
    }
}

/// Mbps as an exact fraction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bandwidth {
    numerator: i128,
    denominator: i128,
}

impl Bandwidth {
    /// The mean of `n` slots of five minutes with `bytes` in all, times `overhead`.
    pub fn mean(bytes: u128, n: u64, overhead: Overhead) -> Bandwidth {
        let bits = i128::try_from(bytes * 8).unwrap_or(i128::MAX / 4_000);
        let slots = i128::from(n.max(1)) * i128::from(crate::control::statistics::SLOT);
        Bandwidth {
            numerator: bits * i128::from(overhead.thousandths()),
            denominator: slots * i128::from(MBPS) * 1_000,
        }
    }

    /// In bit/s, for people.
    pub fn bps(self) -> f64 {
        self.numerator as f64 * MBPS as f64 / self.denominator as f64
    }
}

/// A price file. What it does not price has no amount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prices {
    pub currency: String,
    /// Per GB, progressive over the month.
    pub traffic: Option<Tiers>,
    /// Per Mbps and day.
    pub daily_peak: Option<Tiers>,
    /// Per Mbps and month.
    pub month_95: Option<Tiers>,
    pub month_average: Option<Tiers>,
    pub month_fourth: Option<Tiers>,
    pub month_day_95: Option<Tiers>,
    pub month_night_half_95: Option<Tiers>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    currency: Spanned<String>,
    traffic: Option<Spanned<Vec<TrafficTier>>>,
    daily_peak: Option<Spanned<Vec<BandwidthTier>>>,
    month_95: Option<Spanned<Vec<BandwidthTier>>>,
    month_average: Option<Spanned<Vec<BandwidthTier>>>,
    month_fourth: Option<Spanned<Vec<BandwidthTier>>>,
    month_day_95: Option<Spanned<Vec<BandwidthTier>>>,
    month_night_half_95: Option<Spanned<Vec<BandwidthTier>>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TrafficTier {
    from_gb: Spanned<u64>,
    price: Spanned<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BandwidthTier {
    from_mbps: Spanned<u64>,
    price: Spanned<String>,
}

type WrittenTier = (Spanned<u64>, Spanned<String>);

impl Prices {
    /// Reads and checks a price file.
    ///
    /// # Errors
    /// The first problem of it.
    pub fn read(path: &Path) -> Result<Prices, Problem> {
        Prices::of(&Text::read(path)?)
    }

    fn of(text: &Text) -> Result<Prices, Problem> {
        let written: Written = toml::from_str(&text.text).map_err(|error| {
            let span = error.span().unwrap_or(0..0);
            Problem::at(text, span, "", error.message().to_owned())
                .accepted("a price file as examples/prices.toml and docs/billing.md show it")
        })?;
        let currency = written.currency.get_ref();
        let plain = |c: char| c.is_alphanumeric() || "$€£¥ .-".contains(c);
        if !(1..=16).contains(&currency.chars().count()) || !currency.chars().all(plain) {
            let what = format!("{currency:?} is no name of a currency");
            return Err(Problem::at(text, written.currency.span(), "currency", what)
                .accepted("1 to 16 letters or digits, such as \"CNY\""));
        }
        let bandwidth = |name, tiers: Option<Spanned<Vec<BandwidthTier>>>| {
            let pair = |tier: BandwidthTier| (tier.from_mbps, tier.price);
            let written = tiers.map(|t| (t.span(), t.into_inner().into_iter().map(pair).collect()));
            tiers_of(text, name, written)
        };
        let pair = |tier: TrafficTier| (tier.from_gb, tier.price);
        let traffic = written.traffic;
        let traffic = traffic.map(|t| (t.span(), t.into_inner().into_iter().map(pair).collect()));
        Ok(Prices {
            traffic: tiers_of(text, "traffic", traffic)?,
            daily_peak: bandwidth("daily_peak", written.daily_peak)?,
            month_95: bandwidth("month_95", written.month_95)?,
            month_average: bandwidth("month_average", written.month_average)?,
            month_fourth: bandwidth("month_fourth", written.month_fourth)?,
            month_day_95: bandwidth("month_day_95", written.month_day_95)?,
            month_night_half_95: bandwidth("month_night_half_95", written.month_night_half_95)?,
            currency: written.currency.into_inner(),
        })
    }
}

fn tiers_of(
    text: &Text,
    name: &str,
    written: Option<(std::ops::Range<usize>, Vec<WrittenTier>)>,
) -> Result<Option<Tiers>, Problem> {
    let Some((span, written)) = written else { return Ok(None) };
    if !(1..=PRICE_TIERS_MAX).contains(&written.len()) {
        let what = format!("has {} tiers", written.len());
        let accepted = format!("1 to {PRICE_TIERS_MAX} tiers");
        return Err(Problem::at(text, span, name, what).accepted(accepted));
    }
    let mut tiers: Vec<Tier> = Vec::with_capacity(written.len());
    for (from, price) in written {
        let rises = tiers.last().map_or(*from.get_ref() == 0, |last| *from.get_ref() > last.from);
        // A bound beyond this would be more bytes than are counted.
        if !rises || *from.get_ref() > u64::MAX / GB {
            let what = format!("a tier from {}", from.get_ref());
            let accepted = "0 for the first tier, and more than before for each that follows";
            return Err(Problem::at(text, from.span(), name, what).accepted(accepted));
        }
        let known = price.get_ref().parse().ok().filter(|p: &Money| p.0 <= PRICE_MAX * MICRO);
        let Some(known) = known else {
            let what = format!("{:?} is not a price", price.get_ref());
            let accepted = "digits with at most six decimals, such as \"0.25\"";
            return Err(Problem::at(text, price.span(), name, what).accepted(accepted));
        };
        tiers.push(Tier { from: *from.get_ref(), price: known });
    }
    Ok(Some(Tiers(tiers)))
}

#[cfg(test)]
pub mod testing {
    use super::*;

    pub fn prices(text: &str) -> Result<Prices, Problem> {
        Prices::of(&Text { path: "prices.toml".into(), text: text.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::testing::prices;
    use super::*;

    const TWO: &str = "currency = \"CNY\"\n\
        [[traffic]]\nfrom_gb = 0\nprice = \"0.24\"\n\
        [[traffic]]\nfrom_gb = 10240\nprice = \"0.20\"\n\
        [[daily_peak]]\nfrom_mbps = 0\nprice = \"0.6\"\n\
        [[daily_peak]]\nfrom_mbps = 500\nprice = \"0.5\"\n";

    #[test]
    fn traffic_is_progressive() {
        // DCDN OpenAPI 2018-01-15, billing: 10,200 GB used, then 90 GB in one hour: 40 GB at the
        // first price and 50 GB at the second, because 10 TB are 10,240 GB.
        let tiers = prices(TWO).unwrap().traffic.unwrap();
        let slices: Vec<(u64, u64)> =
            tiers.slices(10_200 * GB, 90 * GB).map(|(tier, bytes)| (tier.from, bytes)).collect();
        assert_eq!(slices, [(0, 40 * GB), (10_240, 50 * GB)]);
        let hour = tiers.progressive(10_290 * GB) - tiers.progressive(10_200 * GB);
        assert_eq!(hour, Money(40 * 240_000 + 50 * 200_000));
        assert_eq!(hour.to_string(), "19.600000");
        assert_eq!(tiers.slices(7, 0).count(), 0);
        assert_eq!(tiers.progressive(0), Money(0));
    }

    #[test]
    fn bandwidth_is_charged_at_the_tier_it_reaches() {
        // DCDN OpenAPI 2018-01-15, billing: 400 Mbps all at the first price; 1 Gbps is 1,000 Mbps,
        // all at the second.
        let tiers = prices(TWO).unwrap().daily_peak.unwrap();
        let mbps = |n: u128| Bandwidth::mean(n * 1_000_000 / 8 * 300, 1, Overhead::NONE);
        for (n, from, amount) in [
            (0, 0, 0),
            (400, 0, 240_000_000),
            (499, 0, 299_400_000),
            (500, 500, 250_000_000),
            (1_000, 500, 500_000_000),
        ] {
            let (tier, money) = tiers.reached(mbps(n));
            assert_eq!((tier.from, money), (from, Money(amount)), "{n} Mbps");
        }
        let overhead = Overhead::from_thousandths(1_100).unwrap();
        let more = Bandwidth::mean(400 * 1_000_000 / 8 * 300, 1, overhead);
        assert_eq!(tiers.reached(more).1, Money(264_000_000));
        assert!((more.bps() - 440e6).abs() < 1.0);
    }

    #[test]
    fn a_month_costs_the_same_however_it_is_cut() {
        let tiers = prices(TWO).unwrap().traffic.unwrap();
        let total = 10_300 * GB + 12_345;
        for pieces in [1, 7, 744, 8_928] {
            let at = |n: u64| total / pieces * n + if n == pieces { total % pieces } else { 0 };
            let one = |n| tiers.progressive(at(n + 1)) - tiers.progressive(at(n));
            assert_eq!((0..pieces).map(one).sum::<Money>(), tiers.progressive(total), "{pieces}");
        }
    }

    #[test]
    fn amounts_are_exact_texts() {
        for (text, micro) in [("0", 0), ("0.24", 240_000), ("12.000001", 12_000_001)] {
            assert_eq!(text.parse(), Ok(Money(micro)), "{text}");
        }
        for text in ["", ".", "1.", ".5", "-1", "+1", "1e3", "0.0000001", "1,5", "9999999999999999"]
        {
            assert_eq!(text.parse::<Money>(), Err(()), "{text}");
        }
        assert_eq!(Money(-1_500_000).to_string(), "-1.500000");
        assert_eq!((Money::rounded(5, 10), Money::rounded(4, 10)), (Money(1), Money(0)));
    }

    #[test]
    fn the_example_is_sound() {
        let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/prices.toml");
        let prices = Prices::read(&example).unwrap();
        assert_eq!(prices.traffic.unwrap().0.len(), 3);
        assert!(prices.month_night_half_95.is_some());
    }

    #[test]
    fn a_bad_file_is_told_with_its_place() {
        let bad = |from: &str, to: &str| prices(&TWO.replacen(from, to, 1)).unwrap_err();
        for (from, to, said) in [
            ("currency = \"CNY\"\n", "", "currency"),
            ("CNY", "", "no name of a currency"),
            ("\"0.24\"", "0.24", "prices.toml:4"),
            ("\"0.24\"", "\"-1\"", "is not a price"),
            ("from_gb = 0", "from_gb = 1", "a tier from 1"),
            ("from_gb = 10240", "from_gb = 0", "a tier from 0"),
            ("daily_peak", "dayly_peak", "dayly_peak"),
            ("from_mbps = 500", "from_gb = 500", "from_gb"),
        ] {
            let problem = bad(from, to).to_string();
            assert!(problem.contains(said), "{said}: {problem}");
            assert!(problem.contains("accepted: "), "{problem}");
        }
        assert!(prices("currency = \"x\"\ntraffic = []\n").unwrap_err().what.contains("0 tiers"));
    }
}
