//! What questions to the statistics cost: a store of 50 domains, 40 regions and 6 providers, full
//! over all that is kept, with one series in twenty active in any slot, asked while a node's
//! figures are being written.
//!
//! `cargo bench --bench statistics` makes the store (gigabytes, minutes) below the target folder,
//! and finds it there the next time. In the environment: HAWSER_BENCH_DOMAINS, _REGIONS, _ISPS,
//! _DAYS (back from a fixed moment), _ROUNDS (of each question), and _DIR (where the store is).
//!
//! Not here: how fast a disk is. The store is as warm as the memory of the host lets it be.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use hawser::control::database::Database;
use hawser::control::statistics::sqlite::SqliteStore;
use hawser::control::statistics::{
    DAY, Dimension, HOUR, Measures, Query, Row, SLOT, Selection, Step, Store, Wanted,
};
use hawser::stats::{Layer, SeriesName};

/// 2026-11-23T10:32:00Z: the moment at which all is asked.
const NOW: i64 = 1_795_429_920;
const BEIJING: i64 = 8 * HOUR;
/// One series in so many is active in a slot.
const ACTIVE: u64 = 20;
/// Days that are counted one by one for each age; the others are their copies.
const TEMPLATES: i64 = 2;
/// Ages in days from which on chunks have hours, days, and are gone: see `statistics::sqlite`.
const AGES: [i64; 4] = [0, 94, 187, 367];

struct Size {
    domains: u64,
    regions: u64,
    isps: u64,
    days: i64,
    rounds: usize,
}

fn main() {
    let number = |name: &str, default: u64| {
        let text = std::env::var(format!("HAWSER_BENCH_{name}")).ok();
        text.map_or(default, |text| text.parse().expect("a number"))
    };
    let size = Size {
        domains: number("DOMAINS", 50),
        regions: number("REGIONS", 40),
        isps: number("ISPS", 6),
        days: number("DAYS", 366) as i64,
        rounds: number("ROUNDS", 5) as usize,
    };
    let Size { domains, regions, isps, days, .. } = size;
    let dir = std::env::var("HAWSER_BENCH_DIR").map_or_else(
        |_| {
            let name = format!("statistics-{domains}-{regions}-{isps}-{days}");
            PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name)
        },
        PathBuf::from,
    );
    std::fs::create_dir_all(&dir).expect("a folder for the store");
    let database = Database::open(&dir).expect("a database");
    let store = SqliteStore::new(database.clone(), BEIJING);
    fill(&size, &database, &store);
    ask(&size, &store);
}

// === The store ===

fn fill(size: &Size, database: &Database, store: &SqliteStore) {
    let done = dir_of(database).join("filled");
    let Size { domains, regions, isps, days, .. } = size;
    println!(
        "{}: {domains} domains, {regions} regions, {isps} providers",
        database.path().display()
    );
    if done.exists() {
        println!("found as it was left, {}", megabytes(database));
        return;
    }
    let start = Instant::now();
    let today = NOW / DAY;
    for ages in AGES.windows(2) {
        let oldest = ages[1].min(size.days + 1) - 1;
        for age in (ages[0]..=oldest).rev().take(TEMPLATES as usize) {
            let rows: Vec<Row> = (0..DAY / SLOT)
                .flat_map(|i| active(size, (today - age) * DAY + i * SLOT))
                .collect();
            // What is older than a day is all there; today is still being counted.
            match age {
                0 => {}
                _ => store.import(&rows).expect("a day"),
            }
        }
    }
    store.tidy(NOW).expect("roll-up");
    println!("counted one by one: {:.0} s", start.elapsed().as_secs_f64());
    for ages in AGES.windows(2) {
        let oldest = ages[1].min(size.days + 1) - 1;
        for age in (ages[0].max(1)..=oldest - TEMPLATES).rev() {
            let template = oldest - age % TEMPLATES;
            copy(database, today - template, today - age);
        }
    }
    let midnight = today * DAY;
    let begun: Vec<Row> = (midnight..NOW - NOW % HOUR)
        .step_by(SLOT as usize)
        .flat_map(|slot| active(size, slot))
        .collect();
    store.import(&begun).expect("today");
    for slot in (NOW - NOW % HOUR..NOW).step_by(SLOT as usize) {
        store.add(&active(size, slot)).expect("an open slot");
    }
    std::fs::write(done, "").expect("a mark");
    println!(
        "filled {days} days in {:.0} s, {}",
        start.elapsed().as_secs_f64(),
        megabytes(database)
    );
}

/// The chunks of one day as those of another.
fn copy(database: &Database, from: i64, to: i64) {
    let copied = database.write(|work| {
        for table in ["statistics_traffic", "statistics_handshakes", "statistics_connections"] {
            work.execute(
                &format!(
                    "INSERT INTO {table} (id, data) SELECT id + ((?2 - ?1) << 40), data \
                     FROM {table} WHERE id >= ?1 << 40 AND id < (?1 + 1) << 40 ORDER BY id"
                ),
                (from, to),
            )?;
        }
        Ok::<(), rusqlite::Error>(())
    });
    copied.expect("a copied day");
}

/// What one flush would add for a slot.
fn active(size: &Size, slot: i64) -> Vec<Row> {
    let series = size.domains * size.regions * size.isps;
    let is_active = |i: &u64| mix(i ^ (slot as u64) << 20).is_multiple_of(ACTIVE);
    let row = |i: u64| {
        let series = SeriesName {
            domain: domain(i / size.isps / size.regions),
            region: region(i / size.isps % size.regions),
            isp: isp(i % size.isps),
        };
        let layer = Some(Layer::ALL[mix(i) as usize % Layer::COUNT]);
        Row { slot, series, layer, measures: measures(mix(i.wrapping_mul(31) ^ slot as u64)) }
    };
    (0..series).filter(is_active).map(row).collect()
}

fn measures(seed: u64) -> Measures {
    let part = |i: u64, most: u64| mix(seed ^ i) % most;
    let opened = part(1, 40);
    let mut measures = Measures {
        // Few are large, as it is with traffic.
        bytes_out: part(2, 1 << (10 + part(3, 16))),
        bytes_in: part(4, 1 << (8 + part(5, 10))),
        messages_out: part(6, 5000),
        messages_in: part(7, 500),
        opened,
        peak: opened + part(8, 200),
        handshakes: BTreeMap::from([(101, opened)]),
        closed: BTreeMap::from([(0, part(9, 30)), (1 + part(10, 4) as u8, part(11, 5))]),
        handshake_us: opened * (2000 + part(12, 30_000)),
        ..Measures::default()
    };
    for (i, code) in [403, 502, 504].into_iter().enumerate() {
        if part(13 + i as u64, 4) == 0 {
            measures.handshakes.insert(code, 1 + part(17, 5));
        }
    }
    let bucket = 3 + part(18, 3) as usize;
    measures.handshake_times[bucket] = opened / 2;
    measures.handshake_times[bucket + 1] = opened - opened / 2;
    measures
}

/// The finalizer of SplitMix64: what is drawn is the same each time.
fn mix(seed: u64) -> u64 {
    let z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn domain(i: u64) -> Arc<str> {
    format!("ws{i}.example.com").into()
}

fn region(i: u64) -> Arc<str> {
    format!("region{i}").into()
}

fn isp(i: u64) -> Arc<str> {
    format!("isp{i}").into()
}

fn dir_of(database: &Database) -> PathBuf {
    database.path().parent().expect("a folder").to_owned()
}

fn megabytes(database: &Database) -> String {
    let pages = database.read(|reader| {
        let pragma = |name: &str| reader.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
        Ok::<_, rusqlite::Error>((
            pragma("page_size")?,
            pragma("page_count")?,
            pragma("freelist_count")?,
        ))
    });
    let (size, count, free) = pages.expect("pragmas");
    format!("{} MB, of which {} MB are free", size * count / 1_000_000, size * free / 1_000_000)
}

// === The questions ===

fn ask(size: &Size, store: &SqliteStore) {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| write(size, store, &stop));
        println!(
            "\nmilliseconds: median and largest of {} rounds, of the median on a CPU:",
            size.rounds
        );
        let slowest = tables(size, store);
        stop.store(true, Ordering::Relaxed);
        let (mut adds, tidying) = writer.join().expect("the writer");
        adds.sort_unstable();
        let (median, most) = (adds[adds.len() / 2], adds[adds.len() - 1]);
        println!("\n{} flushes meanwhile: median {median:.1?}, largest {most:.1?}", adds.len());
        println!("largest of its tidyings: {tidying:.1?}");
        println!("slowest question: {slowest:.1?}");
    });
}

/// Once a second what a node adds every ten.
fn write(size: &Size, store: &SqliteStore, stop: &AtomicBool) -> (Vec<Duration>, Duration) {
    let rows = active(size, NOW - NOW % SLOT);
    let mut adds = Vec::new();
    let mut tidying = Duration::ZERO;
    while !stop.load(Ordering::Relaxed) {
        let start = Instant::now();
        store.add(&rows).expect("a flush");
        adds.push(start.elapsed());
        let tidy = Instant::now();
        store.tidy(NOW).expect("a tidying");
        tidying = tidying.max(tidy.elapsed());
        std::thread::sleep(Duration::from_secs(1).saturating_sub(start.elapsed()));
    }
    (adds, tidying)
}

fn selections(size: &Size) -> Vec<(&'static str, Selection)> {
    let domains = |n: u64| (0..n.min(size.domains)).map(domain).collect::<Vec<_>>();
    let most = size.domains.saturating_sub(1);
    let lists = |n| Selection {
        domains: domains(n),
        regions: (0..n.min(size.regions)).map(region).collect(),
        isps: (0..size.isps.saturating_sub(1)).map(isp).collect(),
        layers: Vec::new(),
    };
    let of = |domains, regions, isps| Selection { domains, regions, isps, layers: Vec::new() };
    let (one_region, one_isp) = (vec![region(7 % size.regions)], vec![isp(1 % size.isps)]);
    let none = Vec::new;
    vec![
        ("all", of(none(), none(), none())),
        ("a region", of(none(), one_region.clone(), none())),
        ("a provider", of(none(), none(), one_isp.clone())),
        ("a region and provider", of(none(), one_region.clone(), one_isp.clone())),
        ("a domain", of(domains(1), none(), none())),
        ("a domain, region and provider", of(domains(1), one_region.clone(), one_isp.clone())),
        ("10 domains", of(domains(10), none(), none())),
        ("all domains, listed", of(domains(size.domains), none(), none())),
        ("all domains but one", of(domains(most), none(), none())),
        ("the same, a region", of(domains(most), one_region.clone(), none())),
        ("the same, a provider", of(domains(most), none(), one_isp.clone())),
        ("the same, region and provider", of(domains(most), one_region, one_isp)),
        ("10 domains × 10 regions × 5 providers", lists(10)),
    ]
}

fn tables(size: &Size, store: &SqliteStore) -> Duration {
    let kinds = [
        ("traffic, bandwidth", Wanted::Traffic),
        ("codes", Wanted::Handshakes),
        ("connections", Wanted::Connections),
    ];
    let ranges = [
        (3 * DAY, Step::FiveMinutes),
        (31 * DAY, Step::Hour),
        (366 * DAY, Step::Day { offset: BEIJING }),
    ];
    let mut slowest = Duration::ZERO;
    for (kind, wanted) in kinds {
        println!("\n| {kind} | 3 days at 300 s | 31 days at 3600 s | 366 days at 86400 s |");
        println!("|---|---|---|---|");
        for (name, selection) in selections(size) {
            let cells = ranges.map(|(range, step)| {
                let start = step.floor(NOW - range);
                let query = Query { selection: selection.clone(), start, end: NOW, step, wanted };
                let (text, most) = measure(size, || {
                    assert!(!store.query(&query).expect("an answer").is_empty());
                });
                slowest = slowest.max(most);
                text
            });
            println!("| {name} | {} |", cells.join(" | "));
        }
    }
    println!("\n| tables | 3 days | 31 days | 366 days |\n|---|---|---|---|");
    for (name, by) in [
        ("by domain", Dimension::Domain),
        ("by region", Dimension::Region),
        ("by provider", Dimension::Isp),
    ] {
        let cells = ranges.map(|(range, _)| {
            let (start, any) = (NOW - NOW % SLOT - range, Selection::default());
            let ask = || store.totals(&any, start, NOW, Wanted::Traffic, by).expect("totals");
            let (text, most) = measure(size, || assert!(!ask().is_empty()));
            slowest = slowest.max(most);
            text
        });
        println!("| {name} | {} |", cells.join(" | "));
    }
    let ledger = ranges.map(|(range, _)| {
        let ask = || store.bytes_by_domain(NOW - range, NOW).expect("bytes");
        measure(size, || assert!(!ask().is_empty())).0
    });
    println!("| bytes by domain and slot | {} |", ledger.join(" | "));
    slowest
}

fn measure(size: &Size, work: impl Fn()) -> (String, Duration) {
    let mut times: Vec<(Duration, Duration)> = (0..size.rounds.max(1))
        .map(|_| {
            let (start, cpu) = (Instant::now(), on_cpu());
            work();
            (start.elapsed(), on_cpu().saturating_sub(cpu))
        })
        .collect();
    times.sort_unstable();
    let ((median, cpu), (most, _)) = (times[times.len() / 2], times[times.len() - 1]);
    let ms = |time: Duration| time.as_secs_f64() * 1000.0;
    (format!("{:.1} / {:.1} ({:.1})", ms(median), ms(most), ms(cpu)), most)
}

/// Time that this thread has been running.
fn on_cpu() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let ns = text.split_whitespace().next().and_then(|ns| ns.parse().ok());
    Duration::from_nanos(ns.unwrap_or(0))
}
