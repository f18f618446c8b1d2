//! What a proxy says on its admin listener: whether it answers at all, and Hawser's counters. Not
//! here: what the counters are held against.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, ensure};

/// The whole answer to a GET.
pub fn ask(admin: SocketAddr, path: &str) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect(admin).with_context(|| format!("connect to {admin}"))?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}

/// One scrape of Hawser.
pub struct Metrics(String);

impl Metrics {
    pub fn read(admin: SocketAddr) -> anyhow::Result<Metrics> {
        let text = ask(admin, "/metrics").context("admin listener of Hawser")?;
        ensure!(text.starts_with("HTTP/1.1 200 "), "metrics: {text:.80}");
        Ok(Metrics(text))
    }

    /// The sum of a series over all its labels.
    pub fn sum(&self, name: &str) -> f64 {
        self.of(name, "")
    }

    /// What the series of this name count that have this label, by another of their labels.
    pub fn by(&self, name: &str, label: &str, by: &str) -> BTreeMap<String, u64> {
        let lines = self.0.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix('{'));
        let wanted = lines.filter(|rest| rest.contains(label)).filter_map(|rest| {
            let (_, value) = rest.split_once(&format!("{by}=\""))?;
            let count: f64 = rest.trim().rsplit(' ').next()?.parse().ok()?;
            Some((value.split('"').next()?.to_owned(), count as u64))
        });
        wanted.filter(|(_, count)| *count > 0).collect()
    }

    /// One series, named with all of its labels.
    pub fn exact(&self, series: &str) -> f64 {
        let line = self.0.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.and_then(|value| value.trim().parse().ok()).unwrap_or(0.0)
    }

    /// The sum over those that have this label, such as `cause="drain"`.
    pub fn of(&self, name: &str, label: &str) -> f64 {
        let lines = self.0.lines().filter_map(|line| line.strip_prefix(name));
        let wanted = lines.filter(|rest| rest.starts_with(['{', ' ']) && rest.contains(label));
        wanted.filter_map(|rest| rest.trim().rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_is_summed_over_the_labels_that_are_meant() {
        let metrics = Metrics(
            "hawser_closed_total{domain=\"a\",cause=\"drain\"} 4\n\
             hawser_closed_total{domain=\"b\",cause=\"drain\"} 5\n\
             hawser_closed_total{domain=\"b\",cause=\"other\"} 7\n\
             hawser_closed_total_more 9\nhawser_ready 1\n"
                .into(),
        );
        for (name, label, sum) in [
            ("hawser_closed_total", "", 16.0),
            ("hawser_closed_total", "cause=\"drain\"", 9.0),
            ("hawser_closed_total", "domain=\"b\"", 12.0),
            ("hawser_ready", "", 1.0),
            ("hawser", "", 0.0),
        ] {
            assert_eq!(metrics.of(name, label), sum, "{name} {label}");
        }
        let causes = metrics.by("hawser_closed_total", "domain=\"b\"", "cause");
        assert_eq!(causes, [("drain".to_owned(), 5), ("other".to_owned(), 7)].into());
        let series = "hawser_closed_total{domain=\"b\",cause=\"drain\"}";
        assert_eq!(metrics.exact(series), 5.0);
        assert_eq!(metrics.exact("hawser_closed_total"), 0.0);
    }
}
