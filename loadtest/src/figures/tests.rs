//! What is computed from rounds, and what a reader refuses.

use indexmap::IndexMap;

use super::{Against, Better, Bound, Document, Figure, Goal, Spread};

fn rounds(each: &[(&str, &[f64])]) -> IndexMap<String, Vec<f64>> {
    each.iter().map(|(name, values)| ((*name).to_owned(), values.to_vec())).collect()
}

fn figure(better: Better, goals: &[(Against, Bound)]) -> Figure {
    let rounds = rounds(&[
        ("hawser", &[2.0, 3.0, 8.0]),
        ("nginx", &[4.0, 4.0, 4.0]),
        ("haproxy", &[5.0, 6.0, 7.0]),
        ("io_uring_floor", &[2.0, 2.0, 2.0]),
    ]);
    Figure::new(("cpu-ws-64", "CPU per message", "us"), better, rounds, goals).unwrap()
}

#[test]
fn a_spread_is_least_middle_and_most() {
    let cases: [(&[f64], [f64; 3]); 4] = [
        (&[7.0], [7.0, 7.0, 7.0]),
        (&[3.0, 1.0], [1.0, 2.0, 3.0]),
        (&[9.0, 1.0, 2.0], [1.0, 2.0, 9.0]),
        (&[4.0, -1.0, 2.0, 3.0], [-1.0, 2.5, 4.0]),
    ];
    for (values, [min, median, max]) in cases {
        assert_eq!(Spread::of(values), Spread { min, median, max }, "{values:?}");
    }
}

#[test]
fn ratios_are_made_within_a_round() {
    let figure = figure(Better::Less, &[]);
    // Median of 2/5, 3/6 and 8/7, not 3/6 of medians by chance: the most is 8/7, not 8/5.
    let expected = Spread { min: 0.4, median: 0.5, max: 8.0 / 7.0 };
    assert_eq!(figure.ratios["haproxy"], expected);
    assert_eq!(figure.ratios.keys().collect::<Vec<_>>(), ["nginx", "haproxy", "io_uring_floor"]);
    assert_eq!((figure.first(), figure.group()), ("hawser", "cpu"));
}

#[test]
fn the_best_peer_is_no_floor_and_follows_what_is_better() {
    assert_eq!(figure(Better::Less, &[]).best_peer(), Some("nginx"));
    assert_eq!(figure(Better::More, &[]).best_peer(), Some("haproxy"));
    let alone = Figure::new(
        ("memory-ws", "", "B"),
        Better::Less,
        rounds(&[("hawser", &[1.0]), ("epoll_floor", &[2.0])]),
        &[(Against::BestPeer, Bound::AtMost(1.0))],
    );
    let alone = alone.unwrap();
    assert_eq!(alone.best_peer(), None);
    assert_eq!((alone.goals[0].seen, alone.goals[0].met), (None, None));
}

#[test]
fn goals_are_judged_by_medians() {
    let nginx = || Against::Proxy("nginx".into());
    let floor = || Against::Proxy("io_uring_floor".into());
    let cases = [
        ((nginx(), Bound::AtMost(0.75)), (Some(0.75), Some(true))),
        ((nginx(), Bound::AtMost(0.7)), (Some(0.75), Some(false))),
        ((floor(), Bound::AtMost(1.05)), (Some(1.5), Some(false))),
        ((Against::BestPeer, Bound::AtLeast(0.75)), (Some(0.75), Some(true))),
        ((Against::Absolute, Bound::AtMost(2.9)), (Some(3.0), Some(false))),
        ((Against::Proxy("envoy".into()), Bound::AtMost(0.5)), (None, None)),
    ];
    for (goal, expected) in cases {
        let figure = figure(Better::Less, std::slice::from_ref(&goal));
        assert_eq!((figure.goals[0].seen, figure.goals[0].met), expected, "{goal:?}");
    }
}

#[test]
fn rounds_that_are_none_are_refused() {
    let cases = [
        (rounds(&[]), "no proxy was measured"),
        (rounds(&[("hawser", &[])]), "hawser has no rounds"),
        (rounds(&[("hawser", &[1.0]), ("nginx", &[1.0, 2.0])]), "hawser has 1 rounds, nginx has 2"),
        (rounds(&[("hawser", &[f64::NAN])]), "hawser has a round that is no number"),
    ];
    for (rounds, expected) in cases {
        let made = Figure::new(("f", "", ""), Better::Less, rounds, &[]);
        let error = format!("{:#}", made.unwrap_err());
        assert!(error.starts_with("figure f: ") && error.contains(expected), "{error}");
    }
}

#[test]
fn nothing_is_so_many_times_zero() {
    let rounds = rounds(&[("hawser", &[1.0]), ("nginx", &[0.0])]);
    let goal = (Against::Proxy("nginx".into()), Bound::AtMost(1.0));
    let figure = Figure::new(("f", "", ""), Better::Less, rounds, &[goal]).unwrap();
    assert!(figure.ratios.is_empty());
    assert_eq!(figure.goals[0].met, None);
}

#[test]
fn goals_read_as_they_are_written_down() {
    let goal: Goal = serde_json::from_str(
        r#"{"against": "best_peer", "at_most": 0.85, "seen": 0.9, "met": false}"#,
    )
    .unwrap();
    assert_eq!((&goal.against, goal.bound), (&Against::BestPeer, Bound::AtMost(0.85)));
    let text = serde_json::to_string(&goal).unwrap();
    assert_eq!(text, r#"{"against":"best_peer","at_most":0.85,"seen":0.9,"met":false}"#);
}

#[test]
fn a_document_comes_back_as_it_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new/result.json");
    let mut document = Document::begun(vec!["loadtest/compare".into()], Default::default());
    document.figures.push(figure(Better::Less, &[(Against::BestPeer, Bound::AtMost(0.7))]));
    document.write(&path).unwrap();
    assert_eq!(Document::read(&path).unwrap(), document);
    let left: Vec<_> = std::fs::read_dir(path.parent().unwrap()).unwrap().collect();
    assert_eq!(left.len(), 1, "a file beside it: {left:?}");
}

#[test]
fn a_document_that_contradicts_itself_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("result.json");
    let mut document = Document::begun(Vec::new(), Default::default());
    document.figures.push(figure(Better::Less, &[(Against::BestPeer, Bound::AtMost(0.7))]));
    document.write(&path).unwrap();
    let good = std::fs::read_to_string(&path).unwrap();
    let cases = [
        (good.replace("\"schema\": 1", "\"schema\": 2"), "schema 2; this program reads 1"),
        (good.replace("\"median\": 0.75", "\"median\": 0.65"), "ratios are not of its rounds"),
        (good.replace("\"median\": 4.0", "\"median\": 4.5"), "spread is not of its rounds"),
        (good.replace("\"met\": false", "\"met\": true"), "goals are not of its rounds"),
        (good.replace("\"unit\"", "\"units\""), "unknown field `units`"),
        ("{}".into(), "not a document of figures"),
    ];
    for (text, expected) in cases {
        assert_ne!(text, good, "{expected}");
        std::fs::write(&path, &text).unwrap();
        let error = format!("{:#}", Document::read(&path).unwrap_err());
        assert!(error.contains(expected), "{error}");
    }
    document.figures.push(document.figures[0].clone());
    let error = format!("{:#}", document.write(&path).unwrap_err());
    assert!(error.contains("two figures or curves are called cpu-ws-64"), "{error}");
}
