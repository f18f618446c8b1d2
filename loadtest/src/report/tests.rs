//! A report of a made-up document: its texts as snapshots, and what a page and a plot must not be.

use std::collections::BTreeMap;

use indexmap::IndexMap;

use super::sections::Section;
use super::*;
use crate::figures::{Against, Better, Bound, Curve, Figure, Machine};

/// Something of every kind: both directions, a goal of each kind and outcome, floors, a proxy that
/// nobody knows, a figure of one round, a curve with and one without powers of ten.
fn document() -> Document {
    let mut document = Document::begun(
        vec!["loadtest/peers/install".into(), "loadtest/compare --out loadtest/results/v1".into()],
        BTreeMap::from([
            ("hawser".into(), "hawser 1.0.0 (abc)".into()),
            ("haproxy".into(), "HAProxy 2.6 <1>".into()),
        ]),
    );
    document.measured = "2026-11-23T06:00:00Z".parse().unwrap();
    document.machine = Machine {
        kernel: "6.18.0".into(),
        cpu: "A & B 9000".into(),
        cpus: 2,
        memory_bytes: 24 << 30,
        mitigations: BTreeMap::from([("retbleed".into(), "Mitigation: untrained".into())]),
        virtualised: "yes".into(),
        last_cache: "32768K".into(),
        governor: "unknown".into(),
        distribution: "Debian 12".into(),
    };
    document.notes = vec!["Numbers of nothing & nobody.".into(), "µ".repeat(300)];
    document.figures = vec![cpu(), memory(), handshakes()];
    document.curves = curves();
    document
}

fn rounds(each: &[(&str, &[f64])]) -> IndexMap<String, Vec<f64>> {
    each.iter().map(|(name, values)| ((*name).to_owned(), values.to_vec())).collect()
}

fn cpu() -> Figure {
    let rounds = rounds(&[
        ("hawser", &[4.61, 4.9, 4.71]),
        ("nginx", &[6.0, 6.4, 6.1]),
        ("haproxy", &[7.9, 8.4, 8.0]),
        ("pound", &[11.0, 18.0, 12.0]),
        ("io_uring_floor", &[4.5, 4.8, 4.4]),
    ]);
    let goals = [
        (Against::Proxy("nginx".into()), Bound::AtMost(0.85)),
        (Against::Proxy("io_uring_floor".into()), Bound::AtMost(1.0)),
        (Against::Proxy("envoy".into()), Bound::AtMost(0.5)),
    ];
    let texts = ("cpu-ws-64", "CPU per message of 64 B, 200 busy connections, ws", "us");
    Figure::new(texts, Better::Less, rounds, &goals).unwrap()
}

fn memory() -> Figure {
    let rounds = rounds(&[("hawser", &[480.0]), ("nginx", &[4712.0])]);
    let goals = [(Against::Absolute, Bound::AtMost(512.0))];
    let texts = ("memory-ws", "User memory per idle connection, ws", "B");
    Figure::new(texts, Better::Less, rounds, &goals).unwrap()
}

fn handshakes() -> Figure {
    let rounds = rounds(&[("hawser", &[14_000.0, 14_500.0]), ("haproxy", &[9_000.0, 9_100.0])]);
    let goals = [(Against::BestPeer, Bound::AtLeast(1.0))];
    let texts = ("handshakes-ws", "Handshakes per core-second, ws", "1/s");
    Figure::new(texts, Better::More, rounds, &goals).unwrap()
}

fn curves() -> Vec<Curve> {
    let curve = |name: &str, title: &str, labels: [&str; 2], lines: &[(&str, &[[f64; 2]])]| Curve {
        name: name.into(),
        title: title.into(),
        x_label: labels[0].into(),
        y_label: labels[1].into(),
        lines: lines.iter().map(|(name, at)| ((*name).into(), at.to_vec())).collect(),
    };
    vec![
        curve(
            "cpu-size",
            "CPU per message against its size",
            ["bytes of a message", "µs per message"],
            &[
                ("hawser", &[[64.0, 4.7], [1024.0, 5.0], [16384.0, 12.0], [1048576.0, 600.0]]),
                ("nginx", &[[64.0, 6.1], [1024.0, 6.6], [16384.0, 14.0], [1048576.0, 640.0]]),
            ],
        ),
        curve(
            "latency-ws",
            "Added latency, p99",
            ["messages per second", "µs"],
            &[
                ("hawser", &[[1000.0, 110.0], [10000.0, 130.0], [20000.0, 190.0]]),
                ("nginx", &[[1000.0, 120.0], [10000.0, 160.0], [20000.0, 310.0]]),
                ("haproxy", &[[1000.0, 130.0], [10000.0, 180.0], [20000.0, 420.0]]),
                ("envoy", &[[1000.0, 150.0], [10000.0, 280.0], [20000.0, 700.0]]),
            ],
        ),
    ]
}

#[test]
fn the_markdown_reads_like_this() {
    let document = document();
    insta::assert_snapshot!(markdown::text("v1.0.0", &document, &sections(&document)));
}

#[test]
fn the_text_of_the_page_reads_like_this() {
    let document = document();
    let page = page::text("v1.0.0", &document, &sections(&document));
    let body = page.split("<body>").nth(1).unwrap();
    insta::assert_snapshot!(words(body));
}

#[test]
fn the_page_asks_nobody_for_anything() {
    let document = document();
    let page = page::text("v1.0.0", &document, &sections(&document));
    for foreign in ["://", "url(", "@import", "<script", "src=", "<img", "srcset", "<iframe"] {
        assert!(!page.contains(foreign), "{foreign}");
    }
    // Links that remain are to places of the page itself, and to an icon that is none.
    for link in page.split("href=\"").skip(1) {
        assert!(link.starts_with('#') || link.starts_with("data:,\""), "{}", &link[..20]);
    }
    // What came from the document is text, not markup.
    assert!(page.contains("HAProxy 2.6 &lt;1&gt;") && page.contains("A &amp; B 9000"));
}

#[test]
fn every_plot_of_the_page_can_be_heard() {
    let document = document();
    let sections = sections(&document);
    let page = page::text("v1.0.0", &document, &sections);
    for drawing in sections.iter().flat_map(Section::drawings) {
        assert!(drawing.description.contains("Hawser"), "{}", drawing.description);
        assert!(page.contains(&format!("{}</desc>", drawing.description)));
    }
    assert_eq!(page.matches("role=\"img\"").count(), 5);
}

#[test]
fn the_files_are_there_and_the_plots_show_something() {
    let folder = tempfile::tempdir().unwrap();
    let paths = write(&document(), folder.path()).unwrap();
    let name = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().into_owned();
    let names: Vec<String> = paths.iter().map(name).collect();
    let expected =
        ["README.md", "index.html", "cpu.png", "memory.png", "handshakes.png", "latency.png"];
    assert_eq!(names, expected);
    for path in paths.iter().filter(|path| path.extension().is_some_and(|e| e == "png")) {
        let pixels = tiny_skia::Pixmap::load_png(path).unwrap();
        let count = |rgb: [u8; 3]| {
            let same = |p: &tiny_skia::PremultipliedColorU8| [p.red(), p.green(), p.blue()] == rgb;
            pixels.pixels().iter().filter(|pixel| same(pixel)).count()
        };
        let (all, paper) = (pixels.pixels().len(), count(look::Ink::Paper.rgb()));
        // Letters, Hawser's colour, and mostly paper.
        assert!(count(look::Ink::Text.rgb()) > 500, "{path:?}");
        assert!(count(look::Ink::of("hawser").rgb()) > 200, "{path:?}");
        assert!(paper > all / 2 && paper < all, "{path:?}");
    }
}

#[test]
fn a_folder_without_a_document_is_named_with_the_way_out() {
    let folder = tempfile::tempdir().unwrap();
    let error = run(&Options { folder: folder.path().to_owned() }).unwrap_err();
    let error = format!("{error:#}");
    assert!(error.contains("result.json") && error.contains("loadtest/compare"), "{error}");
}

/// Text of a page: tags away, a line for each piece.
fn words(html: &str) -> String {
    let pieces = html.split('<').map(|piece| piece.split_once('>').map_or(piece, |(_, text)| text));
    let lines = pieces.map(str::trim).filter(|text| !text.is_empty());
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn an_outlier_leaves_the_plot_and_noise_below_zero_has_no_bar() {
    let rounds = rounds(&[("hawser", &[-5.0, -4.0, -3.0]), ("nginx", &[10.0, 11.0, 1000.0])]);
    let figure = Figure::new(("memory-x", "x", "B"), Better::Less, rounds, &[]).unwrap();
    let drawing = chart::bars(&figure);
    assert!(drawing.description.contains("arrows: rounds beyond the plot"));
    assert!(drawing.description.contains("-4.00 (-5.00 to -3.00)"));
    for shape in &drawing.shapes {
        if let drawing::Shape::Rect { x, width, .. } = shape {
            assert!(*width >= 0.0 && x + width <= drawing.width, "{shape:?}");
        }
    }
}
