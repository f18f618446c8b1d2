//! The model by hand, and the document against the recorded slopes.

use std::fmt::Write as _;
use std::fs;

use super::text::{GIB, rows};
use super::*;
use crate::report::look::number;

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/sizing.md");

/// Easy to reckon with.
const SLOPES: Slopes = Slopes {
    base_bytes: 1e6,
    user_ws_bytes: 500.0,
    user_wss_bytes: 1_500.0,
    kernel_bytes: 7_500.0,
    socket_bytes: 3_500.0,
    message_ws_us: 5.0,
    message_wss_us: 8.0,
    kib_ws_us: 1.0,
    kib_wss_us: 2.0,
    heartbeat_us: 30.0,
    handshake_ws_us: 100.0,
    handshake_wss_us: 500.0,
};

fn load(transport: Transport) -> Load {
    Load {
        connections: 2e6,
        transport,
        messages_per_second: 1e5,
        message_bytes: 64.0 + 2048.0,
        heartbeat_seconds: 64.0,
    }
}

#[test]
fn a_load_is_sized_as_by_hand() {
    let need = Need::of(&load(Transport::Ws), &SLOPES);
    assert_eq!(
        need,
        Need {
            user_bytes: 1.001e9,
            kernel_bytes: 15e9,
            cores_messages: 0.7,
            cores_heartbeats: 0.9375,
            come_back_core_seconds: 200.0,
            routes: 37.0,
            conntrack_bytes: 1.536e9,
        }
    );
    let need = Need::of(&load(Transport::Wss), &SLOPES);
    assert_eq!((need.user_bytes, need.cores_messages), (3.001e9, 1.2));
    assert_eq!(need.come_back_core_seconds, 1000.0);
}

#[test]
fn workers_are_enough_for_the_work_and_for_the_tables() {
    let busy = Load { messages_per_second: 1e6, ..load(Transport::Ws) };
    let quiet = Load { messages_per_second: 0.0, heartbeat_seconds: 300.0, ..busy };
    let tiny = Load { connections: 10.0, ..quiet };
    for (load, workers) in [(busy, 14.0), (quiet, 4.0), (tiny, 1.0)] {
        assert_eq!(Need::of(&load, &SLOPES).workers(&load), workers, "{load:?}");
    }
}

#[test]
fn the_limit_that_comes_first_is_in_front() {
    let load = load(Transport::Ws);
    let need = Need::of(&load, &SLOPES);
    let small = Host { cores: 16.0, memory_bytes: 8e9 };
    let narrow = Host { cores: 1.0, memory_bytes: 640e9 };
    assert_eq!(need.hosts(&load, &small)[0].0, "memory");
    assert_eq!(need.hosts(&load, &narrow)[0], ("processors", 4.0));
}

#[test]
fn what_is_recorded_is_of_the_size_that_it_should_be() {
    let slopes = recorded().unwrap().slopes;
    for row in &ROWS {
        let value = (row.value)(&slopes);
        assert!(value.is_finite() && value > 0.0, "{}: {value}", row.name);
    }
    assert!(slopes.user_wss_bytes > slopes.user_ws_bytes);
    assert!(slopes.handshake_wss_us > slopes.handshake_ws_us);
}

/// `HAWSER_WRITE_DOCS=1 cargo test -p hawser-loadtest the_sizing_document` writes its tables anew.
#[test]
fn the_sizing_document_has_the_recorded_slopes() {
    let recorded = recorded().unwrap();
    let mut wanted = fs::read_to_string(DOCUMENT).unwrap();
    let tables = [("slopes", recorded_table(&recorded)), ("examples", examples(&recorded.slopes))];
    for (name, table) in tables {
        let (begin, end) = (format!("<!-- sizing: {name} -->\n"), "<!-- end -->");
        let at = wanted.find(&begin).unwrap_or_else(|| panic!("no {begin}")) + begin.len();
        let until = at + wanted[at..].find(end).unwrap_or_else(|| panic!("no end of {begin}"));
        wanted.replace_range(at..until, &table);
    }
    if std::env::var_os("HAWSER_WRITE_DOCS").is_some() {
        fs::write(DOCUMENT, &wanted).unwrap();
    }
    let written = fs::read_to_string(DOCUMENT).unwrap();
    assert!(
        written == wanted,
        "docs/sizing.md differs from loadtest/slopes.json; write it anew with \
         HAWSER_WRITE_DOCS=1 cargo test -p hawser-loadtest the_sizing_document"
    );
}

/// The worked examples of the document.
const EXAMPLES: [(&str, Load); 4] = [
    (
        "100 k people chat: each writes a message in 10 s and reads five",
        Load {
            connections: 100_000.0,
            transport: Transport::Wss,
            messages_per_second: 60_000.0,
            message_bytes: 256.0,
            heartbeat_seconds: 60.0,
        },
    ),
    (
        "1 M apps get a pushed message of 1 KiB in 10 s",
        Load {
            connections: 1_000_000.0,
            transport: Transport::Wss,
            messages_per_second: 100_000.0,
            message_bytes: 1024.0,
            heartbeat_seconds: 60.0,
        },
    ),
    (
        "10 M devices idle, in the clear behind something that ends TLS",
        Load {
            connections: 10_000_000.0,
            transport: Transport::Ws,
            messages_per_second: 10_000.0,
            message_bytes: 64.0,
            heartbeat_seconds: 60.0,
        },
    ),
    (
        "10 M devices idle under TLS",
        Load {
            connections: 10_000_000.0,
            transport: Transport::Wss,
            messages_per_second: 10_000.0,
            message_bytes: 64.0,
            heartbeat_seconds: 60.0,
        },
    ),
];

/// A host as many have it, for the examples.
const HOST: Host = Host { cores: 16.0, memory_bytes: 64.0 * GIB };

/// The slopes with where they were measured, as Markdown.
fn recorded_table(recorded: &Recorded) -> String {
    let machine = &recorded.machine;
    let mut text = String::from("| slope | value |\n|---|---|\n");
    for row in &ROWS {
        let value = number((row.value)(&recorded.slopes));
        writeln!(text, "| {} | {value} {} |", row.name, row.unit).unwrap();
    }
    let (date, cpus) = (recorded.measured.strftime("%Y-%m-%d"), machine.cpus);
    writeln!(
        text,
        "\nMeasured {date} with {} on Linux {}, {}, {cpus} processors{}.",
        recorded.hawser,
        machine.kernel,
        machine.cpu,
        if machine.virtualised.starts_with("yes") { ", virtual" } else { "" },
    )
    .unwrap();
    text
}

/// The worked examples, as Markdown: a column each.
fn examples(slopes: &Slopes) -> String {
    let columns: Vec<Vec<(&str, String)>> =
        EXAMPLES.iter().map(|(_, load)| rows(load, slopes, &HOST)).collect();
    let heads: Vec<&str> = EXAMPLES.iter().map(|(title, _)| *title).collect();
    let mut text = format!("| | {} |\n|---|{}\n", heads.join(" | "), "---|".repeat(heads.len()));
    for row in 0..columns[0].len() {
        let values: Vec<&str> = columns.iter().map(|column| column[row].1.as_str()).collect();
        writeln!(text, "| {} | {} |", columns[0][row].0, values.join(" | ")).unwrap();
    }
    text
}
