//! Statements over statistics in memory, and over the real store.

use std::sync::Mutex;

use super::*;
use crate::control::billing::calendar::HOUR;
use crate::control::billing::prices::testing::prices;
use crate::control::billing::prices::{GB, MBPS};
use crate::control::billing::statement::Statement;
use crate::control::billing::{ChargeType, Overhead};
use crate::control::changes::{Author, Via};
use crate::control::database::Database;
use crate::control::statistics::sqlite::SqliteStore;
use crate::control::statistics::{
    Dimension, Measures, Query, Row, Selection, Slot, StatisticsError, Wanted,
};
use crate::stats::SeriesName;

const PRICES: &str = "currency = \"CNY\"\n\
    traffic = [{ from_gb = 0, price = \"0.24\" }, { from_gb = 10240, price = \"0.20\" }]\n\
    daily_peak = [{ from_mbps = 0, price = \"0.6\" }, { from_mbps = 500, price = \"0.5\" }]\n\
    month_95 = [{ from_mbps = 0, price = \"30\" }]\n";

/// 2026-11-01T00:00:00+08:00.
const NOVEMBER: i64 = 1_793_462_400;

#[derive(Debug, Default)]
struct Memory(Mutex<BTreeMap<(Arc<str>, i64), u64>>);

impl Memory {
    fn sent(&self, domain: &str, at: i64, bytes: u64) {
        let slot = at.div_euclid(SLOT) * SLOT;
        *self.0.lock().unwrap().entry((domain.into(), slot)).or_default() += bytes;
    }

    fn forget(&self) {
        self.0.lock().unwrap().clear();
    }
}

impl Store for Memory {
    fn add(&self, rows: &[Row]) -> Result<(), StatisticsError> {
        rows.iter().for_each(|row| self.sent(&row.series.domain, row.slot, row.measures.bytes_out));
        Ok(())
    }

    fn query(&self, query: &Query) -> Result<Vec<Slot>, StatisticsError> {
        let starts = (query.start..query.end).step_by(query.step.seconds() as usize);
        let mut slots: Vec<Slot> = starts.map(|start| Slot { start, ..Slot::default() }).collect();
        for (domain, at, bytes) in self.bytes_by_domain(query.start, query.end)? {
            let listed = &query.selection.domains;
            if listed.is_empty() || listed.contains(&domain) {
                let index = (at - query.start) / query.step.seconds();
                slots[index as usize].measures.bytes_out += bytes;
            }
        }
        Ok(slots)
    }

    fn totals(
        &self,
        _selection: &Selection,
        _start: i64,
        _end: i64,
        _wanted: Wanted,
        _by: Dimension,
    ) -> Result<Vec<(Arc<str>, Slot)>, StatisticsError> {
        Ok(Vec::new())
    }

    fn bytes_by_domain(
        &self,
        start: i64,
        end: i64,
    ) -> Result<Vec<(Arc<str>, i64, u64)>, StatisticsError> {
        let rows = self.0.lock().unwrap();
        let within = rows.iter().filter(|((_, slot), _)| (start..end).contains(slot));
        Ok(within.map(|((domain, slot), bytes)| (Arc::clone(domain), *slot, *bytes)).collect())
    }

    fn names(&self) -> Result<[Vec<Arc<str>>; 3], StatisticsError> {
        let rows = self.0.lock().unwrap();
        let domains: std::collections::BTreeSet<_> = rows.keys().map(|(name, _)| name).collect();
        Ok([domains.into_iter().cloned().collect(), Vec::new(), Vec::new()])
    }

    fn days_begin(&self, _offset: i64) {}

    fn tidy(&self, _now: i64) -> Result<(), StatisticsError> {
        Ok(())
    }
}

/// A state directory with a plan since the beginning of November, and what was counted.
struct Site {
    dir: tempfile::TempDir,
    store: Arc<Memory>,
    settings: Settings,
}

impl Site {
    fn new(websocket: WebsocketBillType) -> Site {
        let settings =
            Settings { prices: Some(Arc::new(prices(PRICES).unwrap())), ..Settings::default() };
        let site = Site { dir: tempfile::tempdir().unwrap(), store: Arc::default(), settings };
        let charge = ChargeType::PayByTraffic;
        site.billing().open(charge, websocket, time(NOVEMBER), &author()).unwrap();
        site
    }

    /// As another process has it.
    fn billing(&self) -> Billing {
        Billing::new(Database::open(self.dir.path()).unwrap(), self.settings.clone())
    }

    fn ledger(&self) -> Ledger {
        Ledger::new(&self.billing(), self.store.clone())
    }

    fn close(&self, at: i64) -> Pass {
        self.ledger().close_due(time(at)).unwrap()
    }

    fn statement(&self, at: i64) -> Statement {
        self.ledger().statement("2026-11".parse().unwrap(), None, time(at), true).unwrap()
    }

    fn total(&self) -> u64 {
        self.store.0.lock().unwrap().values().sum()
    }

    /// Every row of hours: hour of November, domain, revision, bytes, position, amount.
    fn hours(&self) -> Vec<(i64, String, i64, i64, i64, Option<i64>)> {
        let all = "SELECT hour, domain, revision, bytes, position, amount FROM billing_hours \
                   ORDER BY hour, domain, revision";
        let billing = self.billing();
        let read = |reader: &Connection| -> rusqlite::Result<Vec<_>> {
            let mut all = reader.prepare(all)?;
            let rows = all.query_map([], |row| {
                let hour = (row.get::<_, i64>(0)? - NOVEMBER) / HOUR;
                Ok((hour, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?))
            })?;
            rows.collect()
        };
        billing.database.read(read).unwrap()
    }

    fn count(&self, table: &str) -> i64 {
        let count = format!("SELECT count(*) FROM {table}");
        let read = |reader: &Connection| reader.query_row(&count, [], |row| row.get(0));
        self.billing().database.read::<_, rusqlite::Error>(read).unwrap()
    }
}

fn time(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap()
}

fn author() -> Author {
    Author { name: "ada".to_owned(), via: Via::Cli, address: None }
}

const TRAFFIC: WebsocketBillType = WebsocketBillType::WebsocketTraffic;
const BPS: WebsocketBillType = WebsocketBillType::WebsocketBps;
const SETTLED: i64 = 15 * 60;

#[test]
fn hours_are_charged_progressively_over_the_month() {
    // DCDN OpenAPI 2018-01-15, billing: 10,200 GB, then 90 GB in one hour: 40 GB at the first
    // price, 50 GB at the second.
    let site = Site::new(TRAFFIC);
    site.store.sent("a.test", NOVEMBER, 10_000 * GB);
    site.store.sent("b.test", NOVEMBER + 10, 200 * GB);
    site.store.sent("a.test", NOVEMBER + 5 * HOUR + 299, 60 * GB);
    site.store.sent("b.test", NOVEMBER + 5 * HOUR + 301, 30 * GB);
    let pass = site.close(NOVEMBER + 6 * HOUR + SETTLED);
    assert_eq!((pass.hours, pass.days, pass.adjustments), (6, 0, 0));
    let gb = |n: u64| (n * GB) as i64;
    let (a, b) = ("a.test".to_owned(), "b.test".to_owned());
    let first = (0, a.clone(), 0, gb(10_000), 0, Some(2_400_000_000));
    let second = (0, b.clone(), 0, gb(200), gb(10_000), Some(48_000_000));
    // 40 at 0.24 and 20 at 0.20; then 30 at 0.20.
    let third = (5, a, 0, gb(60), gb(10_200), Some(13_600_000));
    let fourth = (5, b, 0, gb(30), gb(10_260), Some(6_000_000));
    assert_eq!(site.hours(), [first, second, third, fourth]);
    let statement = site.statement(NOVEMBER + 6 * HOUR + SETTLED);
    assert_eq!(statement.totals.amount.unwrap().to_string(), "2467.600000");
    assert_eq!((statement.totals.bytes, statement.totals.open_bytes), (10_290 * GB, 0));
}

#[test]
fn nothing_is_closed_before_it_is_settled_or_twice() {
    let site = Site::new(TRAFFIC);
    site.store.sent("a.test", NOVEMBER + HOUR - 1, 100);
    for (at, hours) in [(HOUR - 1, 0), (HOUR + SETTLED - 1, 0), (HOUR + SETTLED, 1), (2 * HOUR, 0)]
    {
        assert_eq!(site.close(NOVEMBER + at).hours, hours, "{at}");
    }
    assert_eq!(site.count("billing_hours"), 1);
    assert_eq!(site.count("billing_periods"), 1);
}

#[test]
fn without_billing_hours_are_metered_and_cost_nothing() {
    let mut site = Site::new(TRAFFIC);
    for hour in 0..3 {
        site.store.sent("a.test", NOVEMBER + hour * HOUR, GB);
    }
    site.close(NOVEMBER + HOUR + SETTLED);
    site.settings.enabled = false;
    site.close(NOVEMBER + 2 * HOUR + SETTLED);
    site.settings.enabled = true;
    site.close(NOVEMBER + 3 * HOUR + SETTLED);
    let costs: Vec<_> = site.hours().iter().map(|row| (row.4, row.5)).collect();
    // The month goes on where it was: what was free takes no place in it.
    assert_eq!(costs, [(0, Some(240_000)), (0, None), (GB as i64, Some(240_000))]);
    assert_eq!(site.statement(NOVEMBER + 4 * HOUR).totals.bytes, 3 * GB);
    let bills = site.ledger().bills(NOVEMBER, NOVEMBER + DAY).unwrap();
    assert_eq!(bills.len(), 2);
    let never = Site { store: Arc::default(), dir: tempfile::tempdir().unwrap(), ..site };
    assert_eq!(never.close(NOVEMBER + 100 * HOUR), Pass::default(), "never opened");
}

#[test]
fn late_bytes_become_an_adjustment_once() {
    let site = Site::new(TRAFFIC);
    site.store.sent("a.test", NOVEMBER, GB);
    site.store.sent("a.test", NOVEMBER + HOUR, GB);
    site.close(NOVEMBER + 2 * HOUR + SETTLED);
    site.store.sent("a.test", NOVEMBER + 600, 5 * GB);
    site.store.sent("late.test", NOVEMBER + 600, GB);
    let pass = site.close(NOVEMBER + 3 * HOUR + SETTLED);
    assert_eq!((pass.hours, pass.adjustments), (1, 2));
    let gb = |n: u64| (n * GB) as i64;
    let late = |domain: &str, bytes, position, amount| {
        (0, domain.to_owned(), 1, gb(bytes), gb(position), Some(amount))
    };
    let hours = site.hours();
    assert_eq!(hours[1], late("a.test", 5, 2, 1_200_000), "at its place in the month");
    assert_eq!(hours[2], late("late.test", 1, 7, 240_000));
    let statement = site.statement(NOVEMBER + 4 * HOUR);
    assert_eq!((statement.totals.bytes, statement.totals.adjusted_bytes), (8 * GB, 6 * GB));
    assert_eq!(statement.totals.open_bytes, 0);
    assert_eq!(site.ledger().adjust(NOVEMBER, NOVEMBER + 4 * HOUR).unwrap(), 0);
    // Statistics that are not kept any longer take nothing back.
    site.store.forget();
    assert_eq!(site.ledger().adjust(NOVEMBER, NOVEMBER + 4 * HOUR).unwrap(), 0);
    assert_eq!(site.statement(NOVEMBER + 4 * HOUR).totals.bytes, 8 * GB);
}

#[test]
fn processes_that_close_at_once_state_everything_once() {
    let site = Site::new(TRAFFIC);
    for hour in 0..48 {
        site.store.sent("a.test", NOVEMBER + hour * HOUR, 1_000_000 + hour as u64);
    }
    let ledgers = [site.ledger(), site.ledger(), site.ledger()];
    std::thread::scope(|scope| {
        for ledger in &ledgers {
            scope.spawn(|| ledger.close_due(time(NOVEMBER + 49 * HOUR)).unwrap());
        }
    });
    let hours = site.hours();
    assert_eq!(hours.len(), 48);
    assert!(hours.iter().all(|row| row.2 == 0), "no revision");
    let mut position = 0;
    for row in &hours {
        assert_eq!(row.4, position, "{row:?}");
        position += row.3;
    }
    assert_eq!((site.count("billing_days"), site.count("billing_periods")), (2, 50));
    assert_eq!(position as u64, site.total());
}

#[test]
fn what_is_cut_in_the_middle_leaves_nothing() {
    let site = Site::new(TRAFFIC);
    site.store.sent("a.test", NOVEMBER, 1);
    site.store.sent("b.test", NOVEMBER, 2);
    let billing = site.billing();
    let batch = |text: &str| billing.database.write(|work| work.execute_batch(text)).unwrap();
    // As a disk that is full at the second row.
    batch(
        "CREATE TRIGGER cut BEFORE INSERT ON billing_hours WHEN new.domain = 'b.test' \
           BEGIN SELECT raise(ABORT, 'cut'); END",
    );
    let at = NOVEMBER + HOUR + SETTLED;
    let error = site.ledger().close_due(time(at)).unwrap_err().to_string();
    assert!(error.contains("cut"), "{error}");
    assert_eq!((site.count("billing_hours"), site.count("billing_periods")), (0, 0));
    batch("DROP TRIGGER cut");
    assert_eq!(site.close(at).hours, 1);
    assert_eq!(site.count("billing_hours"), 2);
}

/// The process of [`killed_again_and_again_everything_is_stated_once`]: one pass after the other,
/// with a line for each period that it has closed.
#[test]
fn closes_for_another_test() {
    use std::io::Write;
    let Some(dir) = std::env::var_os(KILLED_DIR) else { return };
    let database = Database::open(dir.as_ref()).unwrap();
    let prices = Some(Arc::new(prices(PRICES).unwrap()));
    let billing = Billing::new(database.clone(), Settings { prices, ..Settings::default() });
    let store = SqliteStore::new(database, Offset::BEIJING.seconds());
    let ledger = Ledger::new(&billing, Arc::new(store));
    for kind in Kind::ALL {
        while ledger.close_next(kind, NOVEMBER + 6 * DAY).unwrap() {
            writeln!(std::io::stdout(), "closed").unwrap();
        }
    }
    writeln!(std::io::stdout(), "done").unwrap();
}

const KILLED_DIR: &str = "HAWSER_TEST_LEDGER";

#[test]
fn killed_again_and_again_everything_is_stated_once() {
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};
    let mut site = Site::new(TRAFFIC);
    let database = Database::open(site.dir.path()).unwrap();
    let real = SqliteStore::new(database, Offset::BEIJING.seconds());
    for hour in 0..6 * 24 {
        for domain in ["a.test", "b.test"] {
            site.store.sent(domain, NOVEMBER + hour * HOUR, GB + hour as u64);
        }
    }
    let row = |((domain, slot), bytes): (&(Arc<str>, i64), &u64)| Row {
        slot: *slot,
        series: SeriesName { domain: domain.clone(), region: "us".into(), isp: "other".into() },
        layer: None,
        measures: Measures { bytes_out: *bytes, ..Measures::default() },
    };
    let rows: Vec<Row> = site.store.0.lock().unwrap().iter().map(row).collect();
    real.add(&rows).unwrap();
    let (mut kills, mut done) = (0, false);
    while !done {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "--nocapture"])
            .arg("control::billing::ledger::tests::closes_for_another_test")
            .env(KILLED_DIR, site.dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        // Killed wherever it is then: between two periods, or within the next transaction.
        let mut closed = 0;
        for line in lines {
            closed += usize::from(line.ends_with("closed"));
            done |= line.ends_with("done");
            if closed == 3 + kills * 7 % 11 && !done {
                child.kill().unwrap();
                kills += 1;
            }
        }
        child.wait().unwrap();
    }
    assert!(kills >= 5, "{kills}");
    let hours = site.hours();
    let of_month = hours.iter().fold(0, |position, row| {
        assert_eq!((row.2, row.4), (0, position), "{row:?}");
        position + row.3
    });
    assert_eq!((hours.len(), of_month as u64), (2 * 6 * 24 - 2, site.total() - 2 * (GB + 143)));
    assert_eq!(site.count("billing_days"), 5);
    let tiers = site.settings.prices.take().unwrap();
    let cost: i64 = hours.iter().filter_map(|row| row.5).sum();
    assert_eq!(Money(cost), tiers.traffic.as_ref().unwrap().progressive(of_month as u64));
}

#[test]
fn the_ledger_is_only_added_to() {
    let site = Site::new(TRAFFIC);
    site.store.sent("a.test", NOVEMBER, 1);
    site.close(NOVEMBER + 25 * HOUR);
    let billing = site.billing();
    for table in ["billing_plans", "billing_hours", "billing_days"] {
        for change in [format!("DELETE FROM {table}"), format!("UPDATE {table} SET month = 'x'")] {
            let change = change.replace("billing_plans SET month", "billing_plans SET author");
            let done = billing.database.write(|work| work.execute(&change, []));
            let error: rusqlite::Error = done.unwrap_err();
            assert!(error.to_string().contains("only added to"), "{change}: {error}");
        }
    }
}

#[test]
fn a_day_is_charged_by_its_peak() {
    let site = Site::new(BPS);
    let bytes = |mbps: u64| mbps * MBPS / 8 * 300;
    // 400 Mbps at the first price; 1,000 Mbps of two domains together at the second.
    site.store.sent("a.test", NOVEMBER + 7 * HOUR, bytes(400));
    site.store.sent("a.test", NOVEMBER + 9 * HOUR, bytes(399));
    site.store.sent("a.test", NOVEMBER + DAY + HOUR, bytes(600));
    site.store.sent("b.test", NOVEMBER + DAY + HOUR, bytes(400));
    site.store.sent("b.test", NOVEMBER + DAY + 2 * HOUR, bytes(700));
    assert_eq!(site.close(NOVEMBER + 3 * DAY + SETTLED).days, 3);
    let statement = site.statement(NOVEMBER + 3 * DAY + SETTLED);
    let days = &statement.days;
    for (day, name, bps, at, tier, amount) in [
        (&days[0], "2026-11-01", 4e8, "2026-10-31T23:00:00Z", 0, "240.000000"),
        (&days[1], "2026-11-02", 1e9, "2026-11-01T17:00:00Z", 500, "500.000000"),
        (&days[2], "2026-11-03", 0.0, "2026-11-02T16:00:00Z", 0, "0.000000"),
    ] {
        assert_eq!((&*day.day, day.points, day.closed), (name, 288, true));
        assert_eq!((day.peak_bps, &*day.peak_at), (bps, at), "{name}");
        let cost = day.amount.unwrap().to_string();
        assert_eq!((day.tier_from_mbps, &*cost), (Some(tier), amount), "{name}");
    }
    let today = &days[3];
    assert_eq!((&*today.day, today.points, today.closed), ("2026-11-04", 3, false));
    assert_eq!(statement.totals.amount.unwrap().to_string(), "740.000000");
    assert!(site.hours().iter().all(|row| row.5.is_none()), "hours are only metered");
    // Late bytes make the first day's peak 500 Mbps: 250 in all, 10 more.
    site.store.sent("a.test", NOVEMBER + 7 * HOUR, bytes(100));
    assert_eq!(site.ledger().adjust(NOVEMBER, NOVEMBER + 4 * DAY).unwrap(), 2);
    let statement = site.statement(NOVEMBER + 3 * DAY + SETTLED);
    assert_eq!(statement.days[0].amount.unwrap().to_string(), "250.000000");
    assert!((statement.days[0].peak_bps - 5e8).abs() < 1.0);
}

#[test]
fn a_plan_charges_from_its_moment_on() {
    let site = Site::new(TRAFFIC);
    let billing = site.billing();
    billing.change(None, Some(BPS), time(NOVEMBER + 12 * HOUR), &author()).unwrap();
    for hour in 0..48 {
        site.store.sent("a.test", NOVEMBER + hour * HOUR, GB);
    }
    // The process was down in between: everything is closed later, under the plan of its time.
    let pass = site.close(NOVEMBER + 5 * DAY);
    assert_eq!((pass.hours, pass.days, pass.more), (119, 4, false));
    let charged = site.hours().iter().filter(|row| row.5.is_some()).count();
    assert_eq!(charged, 24);
    let ledger = site.ledger();
    let bills = ledger.bills(NOVEMBER, NOVEMBER + 5 * DAY).unwrap();
    let by_hour = bills.iter().filter(|bill| bill.method == TRAFFIC).count();
    assert_eq!((by_hour, bills.len()), (24, 27), "24 hours, then 3 days");
    assert_eq!(bills[0].amount.unwrap().to_string(), "0.240000");
    assert_eq!((bills[24].start, bills[24].end), (NOVEMBER + DAY, NOVEMBER + 2 * DAY));
    assert_eq!(bills[24].peak_at, Some(NOVEMBER + DAY));
    let spans = ledger.spans(NOVEMBER - DAY, NOVEMBER + 5 * DAY).unwrap();
    let short: Vec<_> = spans.iter().map(|s| (s.plan.websocket, s.start, s.end)).collect();
    let (middle, end) = (NOVEMBER + DAY, NOVEMBER + 5 * DAY);
    assert_eq!(short, [(TRAFFIC, NOVEMBER, middle), (BPS, middle, end)]);
}

#[test]
fn a_month_by_every_method() {
    let site = Site::new(TRAFFIC);
    for day in 0..30 {
        for slot in 0..20 {
            let bytes = (day + 1) * 37_500_000;
            site.store.sent("a.test", NOVEMBER + day * DAY + slot * SLOT, bytes as u64);
        }
    }
    let mut passes = 0;
    while site.close(NOVEMBER + 31 * DAY).more {
        passes += 1;
    }
    assert_eq!((passes, site.count("billing_months")), (3, 1), "200 hours a pass");
    let statement = site.statement(NOVEMBER + 31 * DAY);
    assert_eq!(statement.totals.bytes, site.total());
    let what_if: Vec<(&str, Option<f64>, Option<String>)> = statement
        .what_if
        .iter()
        .map(|w| (w.method, w.bps, w.amount.map(|amount| amount.to_string())))
        .collect();
    let traffic = statement.totals.amount.unwrap().to_string();
    let amount = |text: &str| Some(text.to_owned());
    assert_eq!(
        what_if,
        [
            ("websockettraffic", None, amount(&traffic)),
            // A point of 37.5 MB is 1 Mbps: 1 + 2 + ... + 30 at 0.6.
            ("websocketbps", Some(30e6), amount("279.000000")),
            // 432 dropped: 21 days of 20 points, and 12 of the day of 9 Mbps.
            ("PayByBandwidth95", Some(9e6), amount("270.000000")),
            ("PayByBandwidth_monthavg", Some(15.5e6), None),
            ("PayByBandwidth_month4th", Some(27e6), None),
            ("PayByBandwidth_monthday95avg", Some(15.5e6), None),
            ("PayByBandwidth_nighthalf95", Some(4.5e6), None),
        ]
    );
    assert_eq!(statement.what_if[2].dropped_points, Some(432));
    assert_eq!((statement.what_if[2].days, statement.what_if[2].days_of_month), (30, 30));
}

#[test]
fn a_month_that_is_not_over_is_charged_by_its_days() {
    let site = Site::new(TRAFFIC);
    for slot in 0..288 {
        site.store.sent("a.test", NOVEMBER + slot * SLOT, 37_500_000);
    }
    let statement = site.statement(NOVEMBER + DAY);
    let p95 = &statement.what_if[2];
    assert_eq!((p95.days, p95.days_of_month), (1, 30));
    // 1 Mbps at 30 a month, for one day of thirty.
    assert_eq!(p95.amount.unwrap().to_string(), "1.000000");
    assert_eq!(statement.totals.open_bytes, statement.totals.bytes);
    assert_eq!(statement.totals.amount, None, "nothing is closed yet");
}

#[test]
fn overhead_is_billed_and_shown_beside_what_was_counted() {
    let mut site = Site::new(TRAFFIC);
    site.settings.overhead = Overhead::from_thousandths(1_100).unwrap();
    site.store.sent("a.test", NOVEMBER, 10 * GB);
    site.close(NOVEMBER + 2 * HOUR);
    let Statement { totals, overhead, .. } = site.statement(NOVEMBER + 2 * HOUR);
    assert_eq!((totals.bytes, totals.billed_bytes), (10 * GB, 11 * GB));
    assert_eq!((totals.amount.unwrap().to_string(), overhead), ("2.640000".into(), "1.10".into()));
}

#[test]
fn without_prices_there_are_quantities() {
    let mut site = Site::new(TRAFFIC);
    site.settings.prices = None;
    site.store.sent("a.test", NOVEMBER, 10 * GB);
    site.close(NOVEMBER + 2 * HOUR);
    let statement = site.statement(NOVEMBER + 2 * HOUR);
    assert_eq!((statement.totals.billed_bytes, statement.totals.amount), (10 * GB, None));
    assert_eq!(statement.currency, None);
    assert!(statement.what_if.iter().all(|what_if| what_if.amount.is_none()));
}

#[test]
fn another_offset_leaves_no_gap_and_no_overlap() {
    let mut site = Site::new(TRAFFIC);
    for slot in 0..(4 * DAY / SLOT) {
        site.store.sent("a.test", NOVEMBER + slot * SLOT, 1_000);
    }
    site.close(NOVEMBER + DAY + 10 * HOUR);
    site.settings.utc_offset = "-03:30".parse().unwrap();
    site.close(NOVEMBER + 4 * DAY + 12 * HOUR);
    let periods = site.ledger().billing.database.read(|r| closed_since(r, Kind::Day, 0)).unwrap();
    assert!(periods.len() >= 4 && periods.windows(2).all(|pair| pair[0].until == pair[1].start));
    assert_eq!(periods[0].start, NOVEMBER);
    // The first whole day of the new offset begins at its midnight.
    assert_eq!((periods[2].start + -12_600).rem_euclid(DAY), 0);
    let hours = site.ledger().billing.database.read(|r| closed_since(r, Kind::Hour, 0)).unwrap();
    assert!(hours.windows(2).all(|pair| pair[0].until == pair[1].start));
    let stated: i64 = site.hours().iter().map(|row| row.3).sum();
    assert_eq!(stated as u64, site.total());
}

#[test]
fn the_statement_equals_the_statistics_to_the_byte() {
    let site = Site::new(TRAFFIC);
    let database = Database::open(site.dir.path()).unwrap();
    let store = Arc::new(SqliteStore::new(database, Offset::BEIJING.seconds()));
    let ledger = Ledger::new(&site.billing(), store.clone());
    let mut random: u64 = 7;
    let rows: Vec<Row> = (0..600)
        .map(|n| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let domain = ["a.test", "b.test", "*.c.test"][n % 3];
            let slot = NOVEMBER + (random >> 33) as i64 % (3 * DAY / SLOT) * SLOT;
            let measures = Measures { bytes_out: random >> 20, ..Measures::default() };
            let series = SeriesName {
                domain: domain.into(),
                region: ["beijing", "us"][n % 2].into(),
                isp: "other".into(),
            };
            Row { slot, series, layer: None, measures }
        })
        .collect();
    store.add(&rows).unwrap();
    let month = "2026-11".parse().unwrap();
    let day = |row: &Row| Offset::BEIJING.date(row.slot).to_string();
    let expected = |wanted: &dyn Fn(&Row) -> bool| -> u64 {
        rows.iter().filter(|row| wanted(row)).map(|row| row.measures.bytes_out).sum()
    };
    for closed_at in [0, DAY + 5 * HOUR, 4 * DAY] {
        let now = time(NOVEMBER + closed_at.max(3 * DAY));
        ledger.close_due(time(NOVEMBER + closed_at)).unwrap();
        let statement = ledger.statement(month, None, now, false).unwrap();
        assert_eq!(statement.totals.bytes, expected(&|_| true));
        for line in &statement.lines {
            let own = |row: &Row| day(row) == line.day && *row.series.domain == *line.domain;
            assert_eq!(line.bytes, expected(&own), "{line:?}");
        }
        let one = ledger.statement(month, Some("b.test"), now, false).unwrap();
        assert_eq!(one.totals.bytes, expected(&|row| *row.series.domain == *"b.test"));
        assert!(one.lines.iter().all(|line| line.domain == "b.test"));
    }
    let hours: i64 = site.hours().iter().map(|row| row.3).sum();
    assert_eq!(hours as u64, expected(&|_| true), "the ledger itself");
    let csv = ledger.statement(month, None, time(NOVEMBER + 4 * DAY), false).unwrap().csv();
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    let bytes = reader.records().map(|record| record.unwrap()[2].parse().unwrap_or(0)).sum::<u64>();
    assert_eq!(bytes, expected(&|_| true), "{csv}");
    assert!(csv.starts_with("day,domain,bytes,") && csv.contains("\r\n2026-11-01,*.c.test,"));
}
