//! Curves over figures that were measured one by one.

use indexmap::IndexMap;

use super::medians;
use crate::figures::{Curve, Document};

/// CPU per message over its length, as far as it was measured.
pub fn refresh(document: &mut Document) {
    for speech in ["ws", "wss"] {
        let name = format!("cpu-{speech}-by-size");
        document.curves.retain(|curve| curve.name != name);
        let mut lines: IndexMap<String, Vec<[f64; 2]>> = IndexMap::new();
        let mut sizes = 0;
        for figure in &document.figures {
            let rest = figure.name.strip_prefix(&format!("cpu-{speech}-"));
            let Some(bytes) = rest.and_then(|rest| rest.parse::<f64>().ok()) else { continue };
            sizes += 1;
            for (proxy, us) in medians(figure) {
                lines.entry(proxy.to_owned()).or_default().push([bytes, us]);
            }
        }
        if sizes < 2 {
            continue;
        }
        lines.values_mut().for_each(|line| line.sort_by(|a, b| a[0].total_cmp(&b[0])));
        // In the order of the figures, which has the first proxy first.
        if let Some(figure) = document.figures.iter().find(|figure| figure.name.starts_with("cpu-"))
        {
            lines.sort_by_cached_key(|proxy, _| figure.rounds.get_index_of(proxy));
        }
        document.curves.push(Curve {
            name,
            title: format!("CPU per message over its length, {speech}"),
            x_label: "bytes".into(),
            y_label: "µs".into(),
            lines,
        });
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::figures::{Better, Figure};

    #[test]
    fn a_curve_has_the_lengths_that_were_measured_and_nothing_else() {
        let mut document = Document::begun(Vec::new(), BTreeMap::new());
        let figures = [("cpu-ws-1024", 8.0), ("cpu-ws-64", 7.0), ("cpu-ws-64-8-of-200", 6.0)];
        for (name, us) in figures.into_iter().chain([("cpu-wss-64", 9.0)]) {
            let proxies = [("hawser".to_owned(), vec![us]), ("envoy".to_owned(), vec![2.0 * us])];
            let texts = (name, "title", "µs");
            let rounds = proxies.into_iter().collect();
            document.figures.push(Figure::new(texts, Better::Less, rounds, &[]).unwrap());
        }
        refresh(&mut document);
        refresh(&mut document);
        let [curve] = &document.curves[..] else { panic!("one curve: {:?}", document.curves) };
        assert_eq!(curve.name, "cpu-ws-by-size");
        assert_eq!(curve.lines.keys().collect::<Vec<_>>(), ["hawser", "envoy"]);
        assert_eq!(curve.lines["envoy"], [[64.0, 14.0], [1024.0, 16.0]]);
    }
}
