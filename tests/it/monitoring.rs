//! The dashboard and the alert rules of `packaging/monitoring` name only metrics that the binary
//! exports. Not here: what they make of them.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::harness::Edge;

const DASHBOARD: &str = include_str!("../../packaging/monitoring/grafana-dashboard.json");
const RULES: &str = include_str!("../../packaging/monitoring/prometheus-rules.yml");

/// Names of metrics in an expression: what is no keyword, function, label, string or number.
fn metrics_of(expression: &str) -> BTreeSet<String> {
    const KEYWORDS: [&str; 13] = [
        "and",
        "or",
        "unless",
        "bool",
        "offset",
        "by",
        "without",
        "on",
        "ignoring",
        "group_left",
        "group_right",
        "inf",
        "nan",
    ];
    let mut names = BTreeSet::new();
    let mut rest = expression;
    // Behind one of the words that a list of labels follows.
    let mut labels_follow = false;
    while let Some(first) = rest.chars().next() {
        let end = match first {
            '"' | '\'' => end_of_string(rest),
            '{' => end_of_matchers(rest),
            '[' => rest.find(']').map_or(rest.len(), |end| end + 1),
            '(' if labels_follow => rest.find(')').map_or(rest.len(), |end| end + 1),
            c if c.is_ascii_digit() => word_end(rest),
            c if is_of_word(c) => {
                let end = word_end(rest);
                let (word, behind) = (&rest[..end], rest[end..].trim_start());
                labels_follow = KEYWORDS[5..11].contains(&word);
                if !KEYWORDS.contains(&word) && !behind.starts_with('(') && !is_aggregation(word) {
                    names.insert(word.to_owned());
                }
                rest = &rest[end..];
                continue;
            }
            c => c.len_utf8(),
        };
        labels_follow &= first.is_whitespace();
        rest = &rest[end..];
    }
    names
}

/// `sum by (label) (...)`: no parenthesis behind it.
fn is_aggregation(word: &str) -> bool {
    ["sum", "min", "max", "avg", "count", "topk", "bottomk", "quantile", "group"].contains(&word)
}

/// A variable of a dashboard counts as part of a word.
fn is_of_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | ':')
}

fn word_end(text: &str) -> usize {
    text.find(|c| !is_of_word(c)).unwrap_or(text.len())
}

fn end_of_string(text: &str) -> usize {
    let quote = text.as_bytes()[0];
    let mut escaped = false;
    for (i, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            byte if byte == quote => return i + 1,
            _ => {}
        }
    }
    text.len()
}

fn end_of_matchers(text: &str) -> usize {
    let mut at = 1;
    while let Some(byte) = text.as_bytes().get(at) {
        match byte {
            b'}' => return at + 1,
            b'"' | b'\'' => at += end_of_string(&text[at..]),
            _ => at += 1,
        }
    }
    text.len()
}

/// Names of series of an OpenMetrics page, by its declarations: also those without a value yet.
fn exported(page: &str) -> BTreeSet<String> {
    let declarations = page.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let series = declarations.flat_map(|declaration| {
        let (name, kind) = declaration.split_once(' ').expect("name and type");
        let suffixes: &[&str] = match kind {
            "counter" => &["_total"],
            "histogram" => &["_bucket", "_sum", "_count"],
            "info" => &["_info"],
            _ => &[""],
        };
        suffixes.iter().map(move |suffix| format!("{name}{suffix}"))
    });
    series.collect()
}

/// Every expression of the dashboard, with the title of its panel or the name of its variable.
fn dashboard_expressions() -> Vec<(String, String)> {
    let dashboard: Value = serde_json::from_str(DASHBOARD).expect("the dashboard is JSON");
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut all = Vec::new();
    for panel in list(&dashboard["panels"]) {
        for target in list(&panel["targets"]) {
            all.push((text(&panel["title"]), text(&target["expr"])));
        }
    }
    for variable in list(&dashboard["templating"]["list"]) {
        if let Some(query) = variable["query"]["query"].as_str() {
            // label_values(metric{...}, label)
            let inner = query.strip_prefix("label_values(").expect("the only function in use");
            let (metric, _label) = inner.rsplit_once(',').expect("a metric and a label");
            all.push((text(&variable["name"]), metric.to_owned()));
        }
    }
    all
}

/// Every expression of the rules, with the name of its alert.
fn rule_expressions() -> Vec<(String, String)> {
    let lines = RULES.lines().map(str::trim_start);
    let alerts = lines.clone().filter_map(|line| line.strip_prefix("- alert: "));
    let expressions = lines.filter_map(|line| line.strip_prefix("expr: "));
    let all: Vec<_> = alerts.zip(expressions).map(|(a, e)| (a.into(), e.into())).collect();
    assert_eq!(all.len(), RULES.matches("- alert:").count());
    assert_eq!(all.len(), RULES.matches("expr:").count());
    all
}

#[test]
fn dashboard_and_rules_name_only_what_is_exported() {
    let (_origin, edge) = Edge::and_origin();
    let exported = exported(&edge.metrics().text);
    assert!(exported.contains("hawser_tunnels_closed_total"), "{exported:?}");
    let (dashboard, rules) = (dashboard_expressions(), rule_expressions());
    assert!(dashboard.len() > 40 && rules.len() > 15, "{} {}", dashboard.len(), rules.len());
    for (place, expression) in dashboard.into_iter().chain(rules) {
        let named = metrics_of(&expression);
        assert!(!named.is_empty(), "{place}: no metric in {expression}");
        for name in named {
            assert!(exported.contains(&name), "{place}: {name} is not exported: {expression}");
        }
    }
}

#[test]
fn metrics_are_found_in_expressions() {
    let cases: [(&str, &[&str]); 12] = [
        ("up", &["up"]),
        ("hawser_ready == 0", &["hawser_ready"]),
        ("sum by (a, le) (rate(x_total{b=~\"c|d}\", e='f'}[5m]))", &["x_total"]),
        ("sum(rate(x_total[$__rate_interval])) by (domain)", &["x_total"]),
        ("sum (x) without (instance) / 1e3", &["x"]),
        ("x - on (job, instance) group_right () y > 0", &["x", "y"]),
        ("x * on(a) group_left(b) y offset 5m", &["x", "y"]),
        ("histogram_quantile(0.99, sum by (le) (rate(h_bucket{d=~\"$d\"}[5m])))", &["h_bucket"]),
        ("time() - (x_seconds > 0) > 120 or y > bool 0", &["x_seconds", "y"]),
        ("x and y unless z", &["x", "y", "z"]),
        ("label_replace(x, \"to\", \"$1\", \"from\", \"(.*)\")", &["x"]),
        ("rate(no_such_metric_total[5m])", &["no_such_metric_total"]),
    ];
    for (expression, expected) in cases {
        let expected: BTreeSet<String> = expected.iter().map(|&name| name.to_owned()).collect();
        assert_eq!(metrics_of(expression), expected, "{expression}");
    }
}

#[test]
fn a_name_is_exported_under_the_suffix_of_its_type_only() {
    let page = "# HELP a_b x\n# TYPE a_b counter\na_b_total 1\n# TYPE c gauge\n# TYPE d histogram\n\
                # TYPE e info\n# EOF\n";
    let names = exported(page);
    let expected = ["a_b_total", "c", "d_bucket", "d_count", "d_sum", "e_info"];
    assert_eq!(names.iter().map(String::as_str).collect::<Vec<_>>(), expected);
    assert!(
        !metrics_of("rate(a_b[5m])").is_subset(&names),
        "a wrong name is told from a right one"
    );
}
