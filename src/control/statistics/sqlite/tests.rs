//! The store against a model that keeps every row, and what becomes of it in bad circumstances.

use std::collections::BTreeSet;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::control::statistics::{HOUR, Step};

/// A local midnight of Beijing, in the middle of a UTC day.
const BEGIN: i64 = 1_795_132_800 - 8 * HOUR;
const BEIJING: i64 = 8 * HOUR;
const DOMAINS: [&str; 4] = ["a.example", "b.example", "c.example", "*.d.example"];
const REGIONS: [&str; 3] = ["beijing", "guangdong", "unknown"];
const ISPS: [&str; 3] = ["unicom", "telecom", "other"];

fn open(dir: &TempDir) -> SqliteStore {
    SqliteStore::new(Database::open(dir.path()).unwrap(), BEIJING)
}

fn new() -> (TempDir, SqliteStore) {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    (dir, store)
}

fn series(domain: &str, region: &str, isp: &str) -> SeriesName {
    SeriesName { domain: domain.into(), region: region.into(), isp: isp.into() }
}

fn measures(n: u64) -> Measures {
    let mut measures = Measures {
        bytes_out: 1000 * n,
        bytes_in: 10 * n,
        messages_out: n,
        messages_in: 2 * n,
        opened: n,
        peak: n,
        handshakes: BTreeMap::from([(101, n), (if n.is_multiple_of(2) { 403 } else { 502 }, 1)]),
        closed: BTreeMap::from([((n % 5) as u8, n)]),
        handshake_us: 77 * n,
        ..Measures::default()
    };
    measures.handshake_times[n as usize % 12] = n;
    measures
}

fn row(slot: i64, domain: &str, region: &str, isp: &str, n: u64) -> Row {
    let layer = Layer::ALL.get(n as usize % 5).copied();
    Row { slot, series: series(domain, region, isp), layer, measures: measures(n) }
}

fn all(start: i64, end: i64, step: Step) -> Query {
    Query { selection: Selection::default(), start, end, step, wanted: Wanted::All }
}

fn list(names: &[&str]) -> Vec<Arc<str>> {
    names.iter().map(|name| (*name).into()).collect()
}

// === The model ===

fn matches(selection: &Selection, Row { series, layer, .. }: &Row) -> bool {
    let asked = &selection.layers;
    let of_layer = asked.is_empty() || layer.is_some_and(|layer| asked.contains(&layer));
    let within = |list: &[Arc<str>], name: &Arc<str>| list.is_empty() || list.contains(name);
    of_layer
        && within(&selection.domains, &series.domain)
        && within(&selection.regions, &series.region)
        && within(&selection.isps, &series.isp)
}

/// What was added, call by call.
type Added = Vec<Vec<Row>>;

fn model(added: &Added, query: &Query) -> Vec<Slot> {
    let step = query.step.seconds();
    let starts = (query.start..query.end).step_by(step as usize);
    starts
        .map(|start| {
            let mut slot = Slot { start, most_bytes_out_at: start, ..Slot::default() };
            let mut peak = 0;
            for five in (start..start + step).step_by(SLOT as usize) {
                let mut merged = Measures::default();
                let mut peak_of_slot = 0;
                for call in added {
                    let mut peak_of_call = 0;
                    let rows = call.iter().filter(|row| row.slot == five);
                    for row in rows.filter(|row| matches(&query.selection, row)) {
                        merged += &row.measures;
                        peak_of_call += row.measures.peak;
                    }
                    peak_of_slot = peak_of_slot.max(peak_of_call);
                }
                slot.measures += &merged;
                if merged.bytes_out > slot.most_bytes_out {
                    slot.most_bytes_out = merged.bytes_out;
                    slot.most_bytes_out_at = five;
                }
                slot.most_bytes_in = slot.most_bytes_in.max(merged.bytes_in);
                peak = peak.max(peak_of_slot);
            }
            slot.measures.peak = peak;
            only(query.wanted, slot)
        })
        .collect()
}

/// What a query may leave out is not looked at.
fn only(wanted: Wanted, mut slot: Slot) -> Slot {
    let m = &mut slot.measures;
    if !matches!(wanted, Wanted::Traffic | Wanted::All) {
        (m.bytes_out, m.bytes_in, m.messages_out, m.messages_in) = (0, 0, 0, 0);
        (slot.most_bytes_out, slot.most_bytes_in) = (0, 0);
        slot.most_bytes_out_at = slot.start;
    }
    if !matches!(wanted, Wanted::Handshakes | Wanted::All) {
        m.handshakes.clear();
        m.handshake_us = 0;
        m.handshake_times = Default::default();
    }
    if !matches!(wanted, Wanted::Connections | Wanted::All) {
        (m.opened, m.peak) = (0, 0);
        m.closed.clear();
    }
    slot
}

/// The peak of cells that are merged at reading is a sum of theirs, which the model does not have.
fn without_peak(slots: Vec<Slot>) -> Vec<Slot> {
    let without = |mut slot: Slot| {
        slot.measures.peak = 0;
        slot
    };
    slots.into_iter().map(without).collect()
}

#[derive(Debug, Clone)]
enum Act {
    Add(Vec<Row>),
    Tidy(i64),
    Reopen,
    Ask(Query),
}

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let row = (0..900i64, 0..4usize, 0..3usize, 0..3usize, 0..50u64)
        .prop_map(|(t, d, r, i, n)| row(BEGIN + t * SLOT, DOMAINS[d], REGIONS[r], ISPS[i], n));
    // One slot in each call, as `fold` does it, or any.
    (prop::collection::vec(row, 1..12), any::<bool>()).prop_map(|(mut rows, same)| {
        if same {
            let slot = rows[0].slot;
            rows.iter_mut().for_each(|row| row.slot = slot);
        }
        rows
    })
}

fn query() -> impl Strategy<Value = Query> {
    let some = |names: &'static [&'static str]| {
        prop_oneof![
            3 => Just(Vec::new()),
            3 => prop::sample::select(names).prop_map(|name| vec![Arc::from(name)]),
            1 => prop::collection::vec(prop::sample::select(names).prop_map(Arc::from), 1..5),
            1 => Just(vec![Arc::from("nobody")]),
        ]
    };
    let step = prop::sample::select(vec![
        Step::FiveMinutes,
        Step::Hour,
        Step::Day { offset: BEIJING },
        Step::Day { offset: 0 },
        Step::Day { offset: -5 * HOUR - HOUR / 2 },
    ]);
    let wanted = prop::sample::select(vec![
        Wanted::Traffic,
        Wanted::Handshakes,
        Wanted::Connections,
        Wanted::All,
    ]);
    let range = (-300..1000i64, 1..1000i64);
    // Places and layers are not kept together.
    let places = (some(&REGIONS), some(&ISPS), Just(Vec::new()));
    let layers = prop::sample::subsequence(Layer::ALL.to_vec(), 1..=3);
    let rest = prop_oneof![
        3 => places,
        1 => (Just(Vec::new()), Just(Vec::new()), layers),
    ];
    (some(&DOMAINS), rest, range, step, wanted).prop_map(
        |(domains, (regions, isps, layers), (start, length), step, wanted)| {
            let selection = Selection { domains, regions, isps, layers };
            let start = step.floor(BEGIN + start * SLOT);
            Query { selection, start, end: start + length * SLOT, step, wanted }
        },
    )
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => rows().prop_map(Act::Add),
        2 => (0..1000i64).prop_map(|t| Act::Tidy(BEGIN + t * SLOT + 17)),
        1 => Just(Act::Reopen),
        4 => query().prop_map(Act::Ask),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn answers_are_those_of_a_list_of_all_rows(acts in prop::collection::vec(act(), 1..40)) {
        let (dir, mut store) = new();
        let mut added = Added::new();
        for act in acts {
            match act {
                Act::Add(rows) => {
                    store.add(&rows).unwrap();
                    added.push(rows);
                }
                Act::Tidy(now) => store.tidy(now).unwrap(),
                Act::Reopen => {
                    drop(store);
                    store = open(&dir);
                }
                Act::Ask(query) => {
                    let found = store.query(&query).unwrap();
                    let expected = model(&added, &query);
                    let one_cell = [Dimension::Domain, Dimension::Region, Dimension::Isp]
                        .iter()
                        .all(|d| query.selection.of(*d).len() <= 1);
                    if one_cell && query.selection.layers.len() <= 1 {
                        let found = found.into_iter().map(|slot| only(query.wanted, slot));
                        prop_assert_eq!(found.collect::<Vec<_>>(), expected);
                    } else {
                        let found = found.into_iter().map(|slot| only(query.wanted, slot));
                        prop_assert_eq!(without_peak(found.collect()), without_peak(expected));
                    }
                }
            }
        }
    }

    #[test]
    fn rolling_up_and_forgetting_keep_the_sums(
        calls in prop::collection::vec(rows(), 1..20),
        age in 0..400i64,
        offset in prop::sample::select(vec![0, BEIJING, 19_800, -3 * HOUR]),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let store = SqliteStore::new(Database::open(dir.path()).unwrap(), offset);
        for rows in &calls {
            store.add(rows).unwrap();
        }
        let now = BEGIN + 5 * DAY + age * DAY;
        store.tidy(now).unwrap();
        let step = if age < 180 { Step::Hour } else { Step::Day { offset } };
        // From here on everything is kept whole.
        let earliest = step.floor(now - 366 * DAY);
        let start = step.floor(BEGIN - DAY).max(earliest);
        let query = all(start, BEGIN + 5 * DAY, step);
        prop_assert_eq!(store.query(&query).unwrap(), model(&calls, &query));
    }
}

// === Roll-up ===

// DCDN OpenAPI 2018-01-15: at 3600 and 86400 traffic is the sum, bandwidth the maximum; every
// slot is there.
#[test]
fn traffic_is_the_sum_and_bandwidth_the_largest_of_five_minutes() {
    let (_dir, store) = new();
    for (i, n) in [5, 9, 2].into_iter().enumerate() {
        store.add(&[row(BEGIN + i as i64 * SLOT, "a.example", "beijing", "unicom", n)]).unwrap();
        store.add(&[row(BEGIN + i as i64 * SLOT, "b.example", "beijing", "telecom", 1)]).unwrap();
    }
    for round in ["open", "closed"] {
        for (step, count) in
            [(Step::FiveMinutes, 288), (Step::Hour, 24), (Step::Day { offset: BEIJING }, 1)]
        {
            let slots = store.query(&all(BEGIN, BEGIN + DAY, step)).unwrap();
            assert_eq!(slots.len(), count, "{round}");
            let starts: Vec<_> = slots.iter().map(|slot| slot.start).collect();
            let expected: Vec<_> = (BEGIN..BEGIN + DAY).step_by(step.seconds() as usize).collect();
            assert_eq!(starts, expected, "{round}");
            let sum: u64 = slots.iter().map(|slot| slot.measures.bytes_out).sum();
            let most = slots.iter().map(|slot| slot.most_bytes_out).max();
            assert_eq!((sum, most), (19_000, Some(10_000)), "{round}");
            assert_eq!(slots.last().unwrap().measures == Measures::default(), count > 1);
        }
        store.tidy(BEGIN + 2 * HOUR).unwrap();
    }
}

#[test]
fn a_merged_series_is_the_sum_of_its_parts() {
    let (_dir, store) = new();
    let mut rows = Vec::new();
    for (d, domain) in DOMAINS.into_iter().enumerate() {
        for (r, region) in REGIONS.into_iter().enumerate() {
            for (i, isp) in ISPS.into_iter().enumerate() {
                rows.push(row(BEGIN, domain, region, isp, 1 + (d * 9 + r * 3 + i) as u64));
            }
        }
    }
    store.add(&rows).unwrap();
    let ask = |domains: &[&str], regions: &[&str], isps: &[&str]| {
        let selection = Selection {
            domains: list(domains),
            regions: list(regions),
            isps: list(isps),
            ..Selection::default()
        };
        let query = Query { selection, ..all(BEGIN, BEGIN + SLOT, Step::FiveMinutes) };
        store.query(&query).unwrap().pop().unwrap().measures
    };
    let whole = ask(&[], &[], &[]);
    assert_eq!(whole.bytes_out, 36 * 37 / 2 * 1000);
    let mut sums = [const { Vec::new() }; 4];
    for domain in DOMAINS {
        sums[0].push(ask(&[domain], &[], &[]));
        for region in REGIONS {
            sums[1].push(ask(&[domain], &[region], &[]));
            for isp in ISPS {
                sums[2].push(ask(&[domain], &[region], &[isp]));
            }
        }
    }
    sums[3].extend(REGIONS.map(|region| ask(&DOMAINS, &[region], &ISPS)));
    for parts in sums {
        let mut sum = Measures::default();
        parts.iter().for_each(|part| sum += part);
        assert_eq!(sum, whole);
    }
    assert_eq!(
        ask(&["a.example", "a.example", "nobody", "*"], &[], &[]),
        ask(&["a.example"], &[], &[])
    );
    assert_eq!(ask(&["*"], &[], &[]), Measures::default());
}

#[test]
fn layers_are_kept_by_domain_and_are_no_places() {
    let (_dir, store) = new();
    let rows = [("a.example", 1), ("a.example", 2), ("b.example", 6), ("b.example", 4)];
    for (domain, n) in rows {
        store.add(&[row(BEGIN, domain, "beijing", "unicom", n)]).unwrap();
    }
    let ask = |domains: &[&str], layers: &[Layer], regions: &[&str]| {
        let (domains, regions) = (list(domains), list(regions));
        let selection =
            Selection { domains, regions, layers: layers.to_vec(), ..Selection::default() };
        let query = Query { selection, ..all(BEGIN, BEGIN + SLOT, Step::FiveMinutes) };
        store.query(&query).map(|mut slots| slots.pop().unwrap().measures.bytes_out)
    };
    for _ in ["open", "closed"] {
        assert_eq!(ask(&[], &[], &[]).unwrap(), 13_000);
        // 1 and 6 are IPv4 with TLS, 2 is IPv6 without, and of 4 it was not counted.
        assert_eq!(ask(&[], &[Layer::Ipv4Https], &[]).unwrap(), 7000);
        assert_eq!(ask(&["b.example"], &[Layer::Ipv4Https], &[]).unwrap(), 6000);
        assert_eq!(ask(&[], &Layer::ALL, &[]).unwrap(), 9000);
        assert_eq!(ask(&["a.example"], &[Layer::Ipv6Http, Layer::Ipv6Https], &[]).unwrap(), 2000);
        assert_eq!(ask(&[], &[Layer::Ipv6Https], &[]).unwrap(), 0);
        assert_eq!(ask(&[], &[], &["*ipv4"]).unwrap(), 0, "names of our own are nobody's");
        store.tidy(BEGIN + 2 * HOUR).unwrap();
    }
    let refused = ask(&[], &[Layer::Ipv4Http], &["beijing"]).unwrap_err();
    assert!(refused.to_string().contains("not kept by region"), "{refused}");
    let names = store.names().unwrap();
    assert_eq!(names, [list(&["a.example", "b.example"]), list(&["beijing"]), list(&["unicom"])]);
}

#[test]
fn totals_by_each_dimension() {
    let (_dir, store) = new();
    store.add(&[row(BEGIN, "b.example", "beijing", "unicom", 3)]).unwrap();
    store.add(&[row(BEGIN + SLOT, "a.example", "beijing", "telecom", 4)]).unwrap();
    store.add(&[row(BEGIN + 2 * SLOT, "a.example", "guangdong", "unicom", 5)]).unwrap();
    let ask = |selection: &Selection, by| -> Vec<(String, u64, u64)> {
        let (start, end) = (BEGIN, BEGIN + HOUR);
        let found = store.totals(selection, start, end, Wanted::Traffic, by).unwrap();
        let brief = |(name, slot): (Arc<str>, Slot)| {
            (name.to_string(), slot.measures.bytes_out, slot.most_bytes_out)
        };
        found.into_iter().map(brief).collect()
    };
    let named = |name: &str, sum, most| (name.to_owned(), sum, most);
    let any = Selection::default();
    let a_and_b = [named("a.example", 9000, 5000), named("b.example", 3000, 3000)];
    assert_eq!(ask(&any, Dimension::Domain), a_and_b);
    let by_isp = [named("telecom", 4000, 4000), named("unicom", 8000, 5000)];
    assert_eq!(ask(&any, Dimension::Isp), by_isp);
    let beijing = any.with(Dimension::Region, list(&["beijing"]));
    let expected = [named("a.example", 4000, 4000), named("b.example", 3000, 3000)];
    assert_eq!(ask(&beijing, Dimension::Domain), expected);
    let listed = any.with(Dimension::Domain, list(&["nobody", "b.example", "b.example"]));
    let expected = [named("b.example", 3000, 3000), named("nobody", 0, 0)];
    assert_eq!(ask(&listed, Dimension::Domain), expected);
    let bytes = store.bytes_by_domain(BEGIN + 1, BEGIN + HOUR).unwrap();
    let expected =
        [("a.example".into(), BEGIN + SLOT, 4000), ("a.example".into(), BEGIN + 2 * SLOT, 5000)];
    assert_eq!(bytes, expected);
    assert_eq!(
        store.names().unwrap(),
        [
            list(&["a.example", "b.example"]),
            list(&["beijing", "guangdong"]),
            list(&["telecom", "unicom"])
        ]
    );
}

// === Age ===

fn chunk_rows<P: chunk::Part>(store: &SqliteStore) -> usize {
    let count = format!("SELECT id, data FROM {}", P::TABLE);
    store
        .database
        .read(|reader| -> rusqlite::Result<usize> {
            let mut query = reader.prepare(&count)?;
            let rows = query.query_map([], |row| row.get::<_, Vec<u8>>(1))?;
            let entries = |bytes: rusqlite::Result<Vec<u8>>| {
                bytes.map(|bytes| chunk::entries::<P>(&bytes).unwrap().len())
            };
            rows.map(entries).sum()
        })
        .unwrap()
}

// DCDN OpenAPI 2018-01-15: slots are kept for 93, 186 and 366 days.
#[test]
fn what_is_old_is_rolled_up_and_then_forgotten() {
    let (_dir, store) = new();
    let day = BEGIN + 8 * HOUR;
    assert_eq!(day % DAY, 0);
    let rows: Vec<Row> = (0..288)
        .map(|i| row(day + i * SLOT, "a.example", "beijing", "unicom", 1 + i as u64))
        .map(|row| Row { layer: None, ..row })
        .collect();
    store.import(&rows).unwrap();
    let cells = 8;
    let entries = |store: &SqliteStore| {
        let counts = [
            chunk_rows::<chunk::Traffic>(store),
            chunk_rows::<chunk::Handshakes>(store),
            chunk_rows::<chunk::Connections>(store),
        ];
        counts.map(|count| count / cells)
    };
    let sum: u64 = rows.iter().map(|row| row.measures.handshakes[&101]).sum();
    for (days, expected) in [
        (93, [288, 288, 288]),
        (94, [288, 24, 24]),
        (186, [288, 24, 24]),
        // A UTC day has parts of two days of Beijing.
        (187, [288, 2, 2]),
        (367, [288, 2, 2]),
    ] {
        for _ in 0..2 {
            store.tidy(day + days * DAY + HOUR).unwrap();
            assert_eq!(entries(&store), expected, "after {days} days");
        }
        let slots = store.query(&all(BEGIN, BEGIN + 2 * DAY, Step::Day { offset: BEIJING }));
        let slots = slots.unwrap();
        let found: Vec<u64> = slots.iter().map(|slot| slot.measures.handshakes[&101]).collect();
        assert_eq!(found.iter().sum::<u64>(), sum, "after {days} days");
        let peaks: Vec<_> = slots.iter().map(|slot| slot.measures.peak).collect();
        assert_eq!(peaks, [192, 288]);
    }
    store.tidy(day + 368 * DAY).unwrap();
    assert_eq!(entries(&store), [0, 0, 0]);
    assert_eq!(store.names().unwrap(), [vec![], vec![], vec![]]);
    let empty = store.query(&all(BEGIN, BEGIN + DAY, Step::Hour)).unwrap();
    assert!(empty.len() == 24 && empty.iter().all(|slot| slot.measures == Measures::default()));
}

// DCDN OpenAPI 2018-01-15: 366 days of days; the first of them begins up to a day earlier.
#[test]
fn the_oldest_day_that_can_be_asked_for_is_whole() {
    for offset in [BEIJING, 0, 19_800, -3 * HOUR] {
        let dir = tempfile::tempdir().unwrap();
        let store = SqliteStore::new(Database::open(dir.path()).unwrap(), offset);
        let step = Step::Day { offset };
        for hour in 0..24 {
            let now = BEGIN + 400 * DAY + hour * HOUR;
            let start = step.floor(now - 366 * DAY);
            let rows = [row(start, "a.example", "beijing", "unicom", 1)];
            store.import(&rows).unwrap();
            store.tidy(now).unwrap();
            let slots = store.query(&all(start, start + DAY, step)).unwrap();
            assert!(slots[0].measures.bytes_out >= 1000, "{offset} {hour}");
        }
    }
}

#[test]
fn a_clock_that_was_ahead_stops_no_tidying() {
    let (_dir, store) = new();
    store.tidy(BEGIN + 5000 * DAY).unwrap();
    let rows: Vec<Row> =
        (0..12).map(|i| row(BEGIN + i * SLOT, "a.example", "beijing", "unicom", 1)).collect();
    store.add(&rows).unwrap();
    for (days, entries) in [(1, 12), (95, 1), (400, 0)] {
        store.tidy(BEGIN + days * DAY).unwrap();
        assert_eq!(chunk_rows::<chunk::Handshakes>(&store), 10 * entries, "after {days} days");
    }
}

#[test]
fn rows_of_a_closed_slot_are_added_to_it() {
    let (_dir, store) = new();
    let late = row(BEGIN, "a.example", "beijing", "unicom", 7);
    let mut expected = Measures::default();
    for age in [0, 1, 100, 200] {
        store.add(std::slice::from_ref(&late)).unwrap();
        expected += &late.measures;
        expected.peak = late.measures.peak;
        for _ in 0..2 {
            let slots = store.query(&all(BEGIN, BEGIN + HOUR, Step::Hour)).unwrap();
            assert_eq!(slots[0].measures, expected, "after {age} days");
            assert_eq!(slots[0].most_bytes_out, expected.bytes_out);
            store.tidy(BEGIN + age * DAY + 2 * HOUR).unwrap();
        }
    }
}

// === Two processes, full disks, damage ===

#[test]
fn two_processes_add_to_the_same_slots() {
    let (dir, store) = new();
    let second = open(&dir);
    let adds = 50;
    std::thread::scope(|scope| {
        for store in [&store, &second] {
            scope.spawn(move || {
                for i in 0..adds {
                    let rows = [
                        row(BEGIN + i % 3 * SLOT, "a.example", "beijing", "unicom", 1),
                        row(BEGIN, "b.example", ["beijing", "unknown"][i as usize % 2], "other", 1),
                    ];
                    store.add(&rows).unwrap();
                    if i % 10 == 9 {
                        store.tidy(BEGIN + DAY).unwrap();
                    }
                }
            });
        }
    });
    let slots = store.query(&all(BEGIN, BEGIN + HOUR, Step::Hour)).unwrap();
    assert_eq!(slots[0].measures.bytes_out, 2 * 2 * adds as u64 * 1000);
    assert_eq!(slots[0].measures.handshakes[&101], 2 * 2 * adds as u64);
}

#[test]
fn a_full_disk_takes_nothing_and_loses_nothing() {
    let (dir, store) = new();
    let first = [row(BEGIN, "a.example", "beijing", "unicom", 1)];
    store.add(&first).unwrap();
    let pages = |most: i64| {
        store.database.write(|work| work.pragma_update(None, "max_page_count", most)).unwrap();
    };
    pages(1);
    let many: Vec<Row> =
        (0..400).map(|i| row(BEGIN, &format!("{i}.example"), "beijing", "unicom", 1)).collect();
    for _ in 0..3 {
        let error = store.add(&many).unwrap_err();
        assert!(error.to_string().contains("full"), "{error}");
    }
    let brief = |store: &SqliteStore| {
        let slots = store.query(&all(BEGIN, BEGIN + HOUR, Step::Hour)).unwrap();
        (slots[0].measures.bytes_out, store.names().unwrap()[0].len())
    };
    assert_eq!(brief(&store), (1000, 1));
    assert_eq!(brief(&open(&dir)), (1000, 1));
    pages(1_000_000);
    store.add(&many).unwrap();
    assert_eq!(brief(&store), (401_000, 401));
    store.tidy(BEGIN + DAY).unwrap();
    assert_eq!(brief(&store), (401_000, 401));
}

#[test]
fn a_damaged_chunk_is_named_and_disturbs_nothing_else() {
    let (_dir, store) = new();
    store.add(&[row(BEGIN, "a.example", "beijing", "unicom", 1)]).unwrap();
    store.add(&[row(BEGIN, "b.example", "unknown", "other", 2)]).unwrap();
    store.tidy(BEGIN + DAY).unwrap();
    let broken = store.database.write(|work| {
        work.execute(
            "UPDATE statistics_handshakes SET data = x'ff' WHERE id % (1 << 40) IN (SELECT id FROM \
             statistics_cell WHERE domain = 'a.example' AND region = '*' AND isp = '*')",
            [],
        )
    });
    assert_eq!(broken.unwrap(), 1);
    let ask = |domain: &str, wanted| {
        let selection = Selection { domains: list(&[domain]), ..Selection::default() };
        store.query(&Query { selection, wanted, ..all(BEGIN, BEGIN + HOUR, Step::Hour) })
    };
    let error = ask("a.example", Wanted::Handshakes).unwrap_err().to_string();
    for part in ["statistics_handshakes", "domain a.example, region *, provider *", "on 2026-11-"] {
        assert!(error.contains(part), "{error}");
    }
    assert_eq!(ask("a.example", Wanted::Traffic).unwrap()[0].measures.bytes_out, 1000);
    assert_eq!(ask("b.example", Wanted::All).unwrap()[0].measures.handshakes[&101], 2);
    assert!(store.query(&all(BEGIN, BEGIN + HOUR, Step::Hour)).is_ok());

    // What comes late stays open, is read from there, and is not added twice.
    store.add(&[row(BEGIN, "a.example", "beijing", "unicom", 3)]).unwrap();
    for _ in 0..2 {
        let error = store.tidy(BEGIN + DAY).unwrap_err().to_string();
        assert!(error.contains("statistics_handshakes of cell"), "{error}");
        assert_eq!(ask("a.example", Wanted::Traffic).unwrap()[0].measures.bytes_out, 4000);
    }
    let error = store.tidy(BEGIN + 95 * DAY).unwrap_err().to_string();
    assert!(error.contains("is damaged"), "{error}");
    store.tidy(BEGIN + 400 * DAY).unwrap_err();
    store.tidy(BEGIN + 400 * DAY).unwrap();
}

#[test]
fn a_damaged_open_slot_is_set_aside() {
    let (_dir, store) = new();
    let rows = [row(BEGIN, "a.example", "beijing", "unicom", 1)];
    store.add(&rows).unwrap();
    let broken = "UPDATE statistics_live SET data = x'01' WHERE cell IN (SELECT id FROM \
                  statistics_cell WHERE domain = 'a.example' AND region = 'beijing' \
                  AND isp = 'unicom')";
    store.database.write(|work| work.execute(broken, [])).unwrap();
    let one = |name: &str| list(&[name]);
    let (domains, regions, isps) = (one("a.example"), one("beijing"), one("unicom"));
    let selection = Selection { domains, regions, isps, ..Selection::default() };
    assert!(store.query(&all(BEGIN, BEGIN + HOUR, Step::Hour)).is_ok());
    assert!(store.tidy(BEGIN + DAY).unwrap_err().to_string().contains("statistics_live of cell"));
    store.add(&rows).unwrap();
    store.tidy(BEGIN + DAY).unwrap();
    let query = Query { selection, ..all(BEGIN, BEGIN + HOUR, Step::Hour) };
    assert_eq!(store.query(&query).unwrap()[0].measures.bytes_out, 1000);
    let aside: rusqlite::Result<Vec<u8>> = store.database.read(|reader| {
        reader.query_row("SELECT data FROM statistics_damaged", [], |row| row.get(0))
    });
    assert_eq!(aside.unwrap(), [1]);
}

// === Bounds ===

#[test]
fn too_much_at_once_is_refused_by_name() {
    let (_dir, store) = new();
    let names: Vec<String> = (0..70).map(|i| format!("n{i}")).collect();
    let names: Vec<Arc<str>> = names.iter().map(|name| (**name).into()).collect();
    let selection = Selection { domains: names.clone(), regions: names, ..Selection::default() };
    let query = Query { selection, ..all(BEGIN, BEGIN + HOUR, Step::Hour) };
    store.add(&[row(BEGIN, "a.example", "beijing", "unicom", 1)]).unwrap();
    let error = store.query(&query).unwrap_err().to_string();
    assert!(error.contains("4900 combinations") && error.contains("512"), "{error}");
    let error = store.query(&all(0, BEGIN, Step::Hour)).unwrap_err().to_string();
    assert!(error.contains("at most 31795200 s"), "{error}");
    assert_eq!(store.query(&all(BEGIN, BEGIN, Step::Hour)).unwrap(), []);
    assert_eq!(store.query(&all(BEGIN, BEGIN - HOUR, Step::Hour)).unwrap(), []);
}

#[test]
fn places_that_there_is_no_room_for_are_unknown() {
    let (_dir, store) = new();
    store.add(&[row(BEGIN, "a.example", "beijing", "unicom", 1)]).unwrap();
    let place = |series: SeriesName, most| {
        let place = |work: &Transaction<'_>| cells::place(work, &series, Room::of(work, most)?);
        store.database.write(place).unwrap()
    };
    let known = series("a.example", "beijing", "unicom");
    let new = series("b.example", "beijing", "unicom");
    assert_eq!(place(new.clone(), 11), new);
    assert_eq!(place(new, 10), series("b.example", "unknown", "unknown"));
    assert_eq!(place(known.clone(), 10), known);
}

#[test]
fn a_name_that_means_any_is_unknown() {
    let (_dir, store) = new();
    store.add(&[row(BEGIN, "a.example", "*", "*ipv4", 1)]).unwrap();
    let expected = [list(&["a.example"]), list(&["unknown"]), list(&["unknown"])];
    assert_eq!(store.names().unwrap(), expected);
    let slots = store.query(&all(BEGIN, BEGIN + HOUR, Step::Hour)).unwrap();
    assert_eq!(slots[0].measures, measures(1));
}

#[test]
fn the_domains_of_a_place_stand_together() {
    let (_dir, store) = new();
    for domain in DOMAINS {
        for region in REGIONS {
            store.add(&[row(BEGIN, domain, region, "unicom", 1)]).unwrap();
        }
    }
    let ids = |region: &str, isp: &str| -> Vec<i64> {
        let selection = "SELECT id FROM statistics_cell WHERE domain <> '*' AND region = ?1 \
                         AND isp = ?2 ORDER BY id";
        let ids: rusqlite::Result<_> = store.database.read(|reader| {
            reader.prepare(selection)?.query_map([region, isp], |row| row.get(0))?.collect()
        });
        ids.unwrap()
    };
    for (region, isp) in [("*", "*"), ("beijing", "*"), ("*", "unicom"), ("unknown", "unicom")] {
        let ids = ids(region, isp);
        assert_eq!((ids.len(), ids[3] - ids[0]), (4, 3), "{region} {isp}");
    }
}

#[test]
fn every_cell_has_its_own_name() {
    let cells = cells::cube(&series("a.example", "beijing", "unicom"));
    assert_eq!(cells.iter().collect::<BTreeSet<_>>().len(), 8);
}
