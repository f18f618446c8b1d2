//! Prices that move: a random walk per symbol, pulled back a little towards where it began.

use rand::{Rng, RngExt};
use serde::Serialize;

/// Invented companies with the price that they begin at.
const SYMBOLS: [(&str, &str, f64); 8] = [
    ("ANKR", "Anchor & Sons", 184.20),
    ("BOLL", "Bollard Steel", 61.75),
    ("CAPS", "Capstan Works", 342.10),
    ("FRTH", "Forth Ferries", 27.48),
    ("HLYD", "Halyard Textiles", 96.33),
    ("KEEL", "Keel Insurance", 512.90),
    ("PILT", "Pilot Stations", 138.05),
    ("TIDE", "Tidewater Energy", 74.62),
];

/// Size of one step, and pull towards the beginning.
const STEP: f64 = 0.0035;
const PULL: f64 = 0.004;

#[derive(Debug, Clone, Serialize)]
pub struct Quote {
    pub symbol: &'static str,
    pub name: &'static str,
    pub price: f64,
    /// Since the beginning, in per cent.
    pub change: f64,
}

/// All symbols; each call of [`Market::step`] moves some of them.
#[derive(Debug)]
pub struct Market {
    prices: [f64; SYMBOLS.len()],
}

impl Default for Market {
    fn default() -> Market {
        Market { prices: SYMBOLS.map(|(_, _, begin)| begin) }
    }
}

impl Market {
    /// Moves about half of the symbols; returns those.
    pub fn step(&mut self, rng: &mut impl Rng) -> Vec<Quote> {
        let mut moved = Vec::new();
        for (i, (_, _, begin)) in SYMBOLS.iter().enumerate() {
            if rng.random_bool(0.5) {
                let pull = PULL * (begin / self.prices[i] - 1.0);
                self.prices[i] *= 1.0 + pull + rng.random_range(-STEP..STEP);
                moved.push(self.quote(i));
            }
        }
        moved
    }

    pub fn all(&self) -> Vec<Quote> {
        (0..SYMBOLS.len()).map(|i| self.quote(i)).collect()
    }

    fn quote(&self, i: usize) -> Quote {
        let (symbol, name, begin) = SYMBOLS[i];
        let cents = |x: f64| (x * 100.0).round() / 100.0;
        let price = cents(self.prices[i]);
        Quote { symbol, name, price, change: cents((price / begin - 1.0) * 100.0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_stay_near_where_they_began() {
        let mut market = Market::default();
        let mut rng = rand::rng();
        for _ in 0..20_000 {
            market.step(&mut rng);
        }
        for quote in market.all() {
            assert!(quote.price > 0.0 && quote.change.abs() < 80.0, "{quote:?}");
        }
    }
}
