//! A past for the statistics: 100 days of figures that `statistics.mjs` can tell by itself (see
//! `PLACES`, `HOURS` and `WEEK` there), put into the store of a running edge as its own fold would,
//! one week slot by slot and the weeks before as copies of it.
//!
//! Not here: today, which is what clients of the script do.

use std::collections::BTreeMap;
use std::path::Path;

use hawser::control::database::Database;
use hawser::control::statistics::sqlite::SqliteStore;
use hawser::control::statistics::{DAY, HOUR, Measures, Row, SLOT};
use hawser::stats::SeriesName;
use jiff::Timestamp;

const BEIJING: i64 = 8 * HOUR;
const DAYS: i64 = 100;
/// Domain, region, provider, and how much is done there.
const PLACES: [(&str, &str, &str, u64); 8] = [
    ("live.example.com", "beijing", "unicom", 9),
    ("live.example.com", "guangdong", "telecom", 7),
    ("live.example.com", "shanghai", "telecom", 5),
    ("live.example.com", "beijing", "mobile", 3),
    ("live.example.com", "us", "unknown", 1),
    ("chat.example.com", "guangdong", "telecom", 4),
    ("chat.example.com", "zhejiang", "mobile", 2),
    ("chat.example.com", "gb", "unknown", 1),
];
/// By the hour of UTC.
const HOURS: [u64; 24] =
    [20, 26, 30, 32, 34, 33, 35, 38, 40, 42, 44, 52, 60, 66, 62, 48, 30, 18, 12, 8, 6, 6, 9, 14];
/// By days since the Unix epoch; 0 is a Thursday.
const WEEK: [u64; 7] = [10, 11, 14, 13, 9, 9, 10];

/// All days that are over.
pub fn fill(state_dir: &Path) {
    let database = Database::open(state_dir).expect("the database of the edge");
    let store = SqliteStore::new(database.clone(), BEIJING);
    let today = Timestamp::now().as_second().div_euclid(DAY);
    for day in today - 7..today {
        let slots = (day * DAY..(day + 1) * DAY).step_by(SLOT as usize);
        let rows: Vec<Row> = slots.flat_map(rows).collect();
        store.import(&rows).expect("a day");
    }
    for day in today - DAYS..today - 7 {
        let like = today - 7 + (day - today).rem_euclid(7);
        copy(&database, like, day);
    }
}

fn rows(slot: i64) -> impl Iterator<Item = Row> {
    let day = slot.div_euclid(DAY).rem_euclid(7) as usize;
    let hour = slot.div_euclid(HOUR).rem_euclid(24) as usize;
    let busy = HOURS[hour] * WEEK[day];
    PLACES.into_iter().map(move |(domain, region, isp, weight)| Row {
        slot,
        series: SeriesName { domain: domain.into(), region: region.into(), isp: isp.into() },
        layer: None,
        measures: measures(weight * busy, slot),
    })
}

fn measures(n: u64, slot: i64) -> Measures {
    let opened = n / 50;
    let failed = u64::from(slot.rem_euclid(HOUR) == 0);
    let mut measures = Measures {
        bytes_out: n * 1000,
        bytes_in: n * 70,
        messages_out: n * 4,
        messages_in: n,
        opened,
        peak: n,
        handshakes: BTreeMap::from([(101, opened), (403, n % 3), (404, 1), (502, failed)]),
        closed: BTreeMap::from([(0, opened), (1, failed)]),
        handshake_us: opened * 2500,
        ..Measures::default()
    };
    measures.handshakes.retain(|_, count| *count > 0);
    measures.handshake_times[3] = opened - opened / 10;
    measures.handshake_times[5] = opened / 10;
    measures
}

/// The chunks of one day as those of another: identifiers begin with the day
/// (`statistics::sqlite`).
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
