//! The Prometheus text of /metrics, as far as tests ask about it.

use std::collections::BTreeMap;

#[derive(Debug, Clone)]
pub struct Metrics {
    pub text: String,
    samples: Vec<(String, BTreeMap<String, String>, f64)>,
}

impl Metrics {
    pub fn parse(text: String) -> Metrics {
        let lines = text.lines().filter(|l| !l.is_empty() && !l.starts_with('#'));
        let samples = lines.map(sample).collect();
        Metrics { text, samples }
    }

    /// Sum over every sample of that name whose labels include these.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let fits = |l: &BTreeMap<String, String>| {
            labels.iter().all(|(key, value)| l.get(*key).is_some_and(|v| v == value))
        };
        self.samples.iter().filter(|(n, l, _)| n == name && fits(l)).map(|(_, _, v)| v).sum()
    }

    pub fn has(&self, name: &str) -> bool {
        self.samples.iter().any(|(n, _, _)| n == name)
    }

    /// Every value that a label takes anywhere.
    pub fn values_of(&self, label: &str) -> Vec<&str> {
        let mut all: Vec<_> =
            self.samples.iter().filter_map(|(_, l, _)| Some(l.get(label)?.as_str())).collect();
        all.sort_unstable();
        all.dedup();
        all
    }
}

fn sample(line: &str) -> (String, BTreeMap<String, String>, f64) {
    let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("a sample: {line}"));
    let value = value.parse().unwrap_or_else(|e| panic!("{line}: {e}"));
    let Some((name, labels)) = series.split_once('{') else {
        return (series.to_owned(), BTreeMap::new(), value);
    };
    let labels = labels.strip_suffix('}').unwrap_or_else(|| panic!("labels: {line}"));
    let pairs = labels.split("\",").filter(|p| !p.is_empty()).map(|pair| {
        let (key, value) = pair.split_once("=\"").unwrap_or_else(|| panic!("a label: {line}"));
        (key.to_owned(), value.trim_end_matches('"').to_owned())
    });
    (name.to_owned(), pairs.collect(), value)
}
