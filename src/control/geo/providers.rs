//! From the number of an autonomous system, and the words of a database about it, to the name of a
//! provider.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::names::OTHER;

static TABLE: &str = include_str!("providers.csv");

/// What databases call those providers, for numbers that no table has. Longer ones first.
static WORDS: &[(&str, &str)] = &[
    ("china education and research network", "cernet"),
    ("cernet", "cernet"),
    ("tietong", "tietong"),
    ("china unicom", "unicom"),
    ("china169", "unicom"),
    ("china telecom", "telecom"),
    ("chinanet", "telecom"),
    ("china mobile", "mobile"),
    ("dr.peng", "drpeng"),
    ("drpeng", "drpeng"),
];

/// An operator's table, and the one of this program.
pub struct Providers<'a> {
    own: &'a BTreeMap<u32, Arc<str>>,
    known: HashMap<u32, &'static str>,
}

impl<'a> Providers<'a> {
    pub fn new(own: &'a BTreeMap<u32, Arc<str>>) -> Providers<'a> {
        Providers { own, known: rows().collect() }
    }

    /// [`OTHER`] when neither a table nor a word tells. `words` come in the order in which they
    /// are to be believed.
    pub fn name(&self, number: Option<u32>, words: &[Option<&str>]) -> &str {
        let own = number.and_then(|number| self.own.get(&number)).map(|name| &**name);
        let known = || number.and_then(|number| self.known.get(&number)).copied();
        own.or_else(known)
            .or_else(|| words.iter().flatten().find_map(|said| by_words(said)))
            .unwrap_or(OTHER)
    }
}

fn rows() -> impl Iterator<Item = (u32, &'static str)> {
    let lines = TABLE.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| {
        let (number, rest) = line.split_once(',')?;
        Some((number.parse().ok()?, rest.split(',').next()?))
    })
}

fn by_words(said: &str) -> Option<&'static str> {
    let said = said.to_lowercase();
    WORDS.iter().find(|(words, _)| said.contains(words)).map(|(_, name)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::geo::names::ISPS;

    /// DescribeDcdnRegionAndIsp, DCDN OpenAPI 2018-01-15.
    #[test]
    fn the_table_is_sound_and_names_every_provider() {
        let lines = TABLE.lines().filter(|line| !line.starts_with('#')).count();
        let all: Vec<_> = rows().collect();
        assert_eq!(all.len(), lines, "a row that is not understood");
        let numbers: HashMap<u32, &str> = all.iter().copied().collect();
        assert_eq!(numbers.len(), lines, "a number that stands twice");
        for (name, _) in ISPS {
            assert!(all.iter().any(|row| row.1 == *name), "{name}");
        }
        let names = all.iter().map(|row| row.1).chain(WORDS.iter().map(|word| word.1));
        for name in names {
            assert!(ISPS.iter().any(|isp| isp.0 == name), "{name}");
        }
    }

    #[test]
    fn the_operator_comes_first_then_numbers_then_words() {
        let own = BTreeMap::from([(4134, "mine".into()), (64_500, "unicom".into())]);
        let providers = Providers::new(&own);
        type Case<'a> = (Option<u32>, &'a [Option<&'a str>], &'a str);
        let cases: [Case<'_>; 8] = [
            (Some(4134), &[Some("Chinanet")], "mine"),
            (Some(64_500), &[], "unicom"),
            (Some(4837), &[Some("China Mobile")], "unicom"),
            (Some(9394), &[], "tietong"),
            (Some(64_501), &[None, Some("CHINA UNICOM China169 Backbone")], "unicom"),
            (Some(64_501), &[Some("China Mobile Tietong")], "tietong"),
            (Some(15_169), &[Some("GOOGLE")], "other"),
            (None, &[], "other"),
        ];
        for (number, words, expected) in cases {
            assert_eq!(providers.name(number, words), expected, "{number:?} {words:?}");
        }
    }
}
