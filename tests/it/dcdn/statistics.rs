//! The range and the interval that a statistics call means (DCDN OpenAPI 2018-01-15, section 2.2 of
//! the specification), its five errors, and the slots of its answer.
//!
//! Not here: numbers, which `accounting` compares with what clients saw.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{BPS, CODES, STATISTICS, Site, TRAFFIC};
use crate::harness::dcdn::stamp;

const HOUR: i64 = 3600;
const DAY: i64 = 86_400;

/// The list of slots, and the name of the field with a slot's value.
fn slots(action: &str, answer: &Value) -> (Vec<Value>, &'static str) {
    let (list, value) = match action {
        TRAFFIC => ("TrafficDataPerInterval", "WebsocketTraffic"),
        BPS => ("BpsDataPerInterval", "WebsocketBps"),
        _ => ("HttpCodeDataPerInterval", "WebsocketHttpCode"),
    };
    let slots = answer[list]["DataModule"].as_array();
    (slots.unwrap_or_else(|| panic!("{action}: {list} in {answer}")).clone(), value)
}

fn seconds(slot: &Value) -> i64 {
    let text = slot["TimeStamp"].as_str().unwrap_or_else(|| panic!("a time stamp in {slot}"));
    text.parse::<Timestamp>().unwrap_or_else(|e| panic!("{text}: {e}")).as_second()
}

fn at(second: i64) -> String {
    stamp(Timestamp::from_second(second).expect("a moment"))
}

fn now() -> i64 {
    Timestamp::now().as_second()
}

/// A call about a.test that must succeed.
fn ask(site: &Site, action: &str, start: i64, end: i64, interval: Option<&str>) -> Value {
    let (start, end) = (at(start), at(end));
    let mut params = vec![("DomainName", "a.test"), ("StartTime", &*start), ("EndTime", &*end)];
    params.extend(interval.map(|interval| ("Interval", interval)));
    site.dcdn.ask(action, &params)
}

/// Item 27: what is absent or not allowed takes the default of the span, without a word.
#[test]
fn the_interval_is_the_one_that_the_span_allows() {
    let site = Site::with(&["a.test"]);
    let start = now() / DAY * DAY - 60 * DAY;
    for (span, interval, used) in [
        (HOUR, None, 300),
        (HOUR, Some("300"), 300),
        (HOUR, Some("3600"), 3600),
        (HOUR, Some("86400"), 86_400),
        (HOUR, Some("7"), 300),
        (HOUR, Some(""), 300),
        (HOUR, Some("five"), 300),
        (3 * DAY - 1, None, 300),
        (3 * DAY - 1, Some("300"), 300),
        (3 * DAY, None, 3600),
        (3 * DAY, Some("300"), 3600),
        (3 * DAY, Some("86400"), 86_400),
        (31 * DAY - 1, Some("300"), 3600),
        (31 * DAY - 1, None, 3600),
        (31 * DAY, None, 86_400),
        (31 * DAY, Some("300"), 86_400),
        (31 * DAY, Some("3600"), 86_400),
    ] {
        for action in STATISTICS {
            let answer = ask(&site, action, start, start + span, interval);
            let what = format!("{action} {span} s, {interval:?}");
            assert_eq!(answer["DataInterval"], used.to_string(), "{what}");
            let (slots, _) = slots(action, &answer);
            let starts: Vec<i64> = slots.iter().map(seconds).collect();
            assert!(starts.windows(2).all(|w| w[1] - w[0] == used), "{what}: every slot, in order");
            let first = starts.first().copied().unwrap_or_else(|| panic!("{what}: no slots"));
            assert!(first <= start && first > start - used, "{what}: begins at {}", at(first));
            let last = starts.last().copied().unwrap_or(first);
            let end = start + span;
            assert!(last < end && last + used >= end, "{what}: ends with {}", at(last));
        }
    }
}

/// Item 28.
#[test]
fn slots_stand_on_their_boundaries() {
    let site = Site::with(&["a.test"]);
    let hour = now() / HOUR * HOUR - 30 * HOUR;
    for (interval, zone) in [(300, 0), (3600, 0), (86_400, 8 * HOUR)] {
        let answer = ask(&site, TRAFFIC, hour + 123, hour + 7000, Some(&interval.to_string()));
        let (slots, _) = slots(TRAFFIC, &answer);
        for slot in &slots {
            assert_eq!((seconds(slot) + zone).rem_euclid(interval), 0, "{interval}: {slot}");
        }
        let text = slots[0]["TimeStamp"].as_str().unwrap_or_default();
        assert!(interval != 86_400 || text.ends_with("T16:00:00Z"), "{text}: midnight of +08:00");
        assert_eq!(answer["StartTime"], slots[0]["TimeStamp"], "rounded down to its slot");
        assert_eq!(answer["EndTime"], at(hour + 7000));
    }
}

#[test]
fn days_begin_at_midnight_of_the_operators_zone() {
    let site = Site::built(&["a.test"], |edge| {
        edge.billing(&["enabled = false", "utc_offset = \"-03:30\""])
    });
    let start = now() / DAY * DAY - 5 * DAY;
    let answer = ask(&site, TRAFFIC, start, start + 3 * DAY, Some("86400"));
    for slot in slots(TRAFFIC, &answer).0 {
        let text = slot["TimeStamp"].as_str().unwrap_or_default().to_owned();
        assert!(text.ends_with("T03:30:00Z"), "{text}");
    }
}

/// Item 28: nothing happened, and the answer says so in every slot.
#[test]
fn empty_slots_are_there() {
    let site = Site::with(&["a.test"]);
    let start = now() / HOUR * HOUR - 2 * HOUR;
    for action in STATISTICS {
        let answer = ask(&site, action, start, start + HOUR, None);
        let (slots, value) = slots(action, &answer);
        assert_eq!(slots.len(), 12, "{action}");
        for slot in slots {
            if action == CODES {
                assert_eq!(slot[value], json!({ "HttpCodeDataModule": [] }), "{action}: {slot}");
            } else {
                assert_eq!(slot[value].as_f64(), Some(0.0), "{action}: {slot}");
            }
        }
    }
}

#[test]
fn without_times_it_is_the_last_day() {
    let site = Site::with(&["a.test"]);
    for action in STATISTICS {
        let answer = site.dcdn.ask(action, &[("DomainName", "a.test")]);
        assert_eq!(answer["DataInterval"], "300", "{action}");
        let (slots, _) = slots(action, &answer);
        assert!((288..=289).contains(&slots.len()), "{action}: {} slots", slots.len());
        let now = now();
        let last = slots.last().map(seconds).unwrap_or_default();
        assert!(last <= now && last > now - 601, "{action}: ends with {}", at(last));
        // Empty texts are what an SDK sends for what its caller left empty.
        let empty = [("DomainName", "a.test"), ("StartTime", ""), ("EndTime", "")];
        assert_eq!(site.dcdn.ask(action, &empty)["DataInterval"], "300");
    }
}

/// Item 32, for each of the three operations.
#[test]
fn the_five_time_errors() {
    const MALFORMED_START: (&str, &str) =
        ("InvalidStartTime.Malformed", "The specified StartTime is invalid.");
    const MALFORMED_END: (&str, &str) =
        ("InvalidEndTime.Malformed", "The specified EndTime is invalid.");
    const MISSING: (&str, &str) =
        ("MissingTimeParameter", "The StartTime and EndTime must be both specified.");
    const MISMATCH: (&str, &str) =
        ("InvalidEndTime.Mismatch", "The specified EndTime is earlier than the StartTime.");
    const UNSUPPORTED: (&str, &str) =
        ("InvalidStartTime.ValueNotSupported", "The specified StartTime is invalid.");
    let site = Site::with(&["a.test"]);
    let now = now();
    let (hour, good) = (at(now - HOUR), at(now));
    let ago = |days: i64| at(now - days * DAY);
    let odd = ["yesterday", "2026-11-22", "2026-11-22 10:00:00", "2026-13-22T10:00:00Z"];
    for action in STATISTICS {
        let refused = |start: Option<&str>, end: Option<&str>, interval, expected: (&str, &str)| {
            let mut params = vec![("DomainName", "a.test"), ("Interval", interval)];
            params.extend(start.map(|start| ("StartTime", start)));
            params.extend(end.map(|end| ("EndTime", end)));
            let message = site.dcdn.refused(action, &params, (400, expected.0));
            assert_eq!(message, expected.1, "{action} {start:?} {end:?}");
        };
        refused(Some(&hour), None, "300", MISSING);
        refused(None, Some(&good), "300", MISSING);
        for odd in odd {
            refused(Some(odd), Some(&good), "300", MALFORMED_START);
            refused(Some(&hour), Some(odd), "300", MALFORMED_END);
        }
        refused(Some(&good), Some(&hour), "300", MISMATCH);
        refused(Some(&good), Some(&good), "300", MISMATCH);
        // Item 31: older than is kept for the interval, and a longer span than is answered.
        refused(Some(&ago(95)), Some(&ago(94)), "300", UNSUPPORTED);
        refused(Some(&ago(200)), Some(&ago(190)), "3600", UNSUPPORTED);
        refused(Some(&ago(400)), Some(&ago(380)), "86400", UNSUPPORTED);
        refused(Some(&ago(400)), Some(&good), "86400", UNSUPPORTED);
        refused(Some("0001-01-01T00:00:00Z"), Some(&good), "86400", UNSUPPORTED);
    }
}

/// What each interval keeps is served up to its edge.
#[test]
fn what_is_kept_is_answered() {
    let site = Site::with(&["a.test"]);
    let now = now();
    for (days, span, interval) in
        [(92, DAY, "300"), (185, 10 * DAY, "3600"), (365, 364 * DAY, "86400")]
    {
        let start = now - days * DAY;
        let answer = ask(&site, TRAFFIC, start, start + span, Some(interval));
        assert_eq!(answer["DataInterval"], interval, "{days} days ago");
    }
}

#[test]
fn every_domain_at_once_or_some_or_none() {
    let site = Site::with(&["a.test", "b.test"]);
    for action in [TRAFFIC, BPS] {
        for domains in ["", "a.test", "a.test,b.test", "b.test, a.test"] {
            let params = [("DomainName", domains)];
            assert_eq!(site.dcdn.call(action, &params).send().status, 200, "{action} {domains:?}");
        }
        site.dcdn.ask(action, &[]);
    }
    site.dcdn.refused(CODES, &[], (400, "MissingParameter"));
    site.dcdn.refused(CODES, &[("DomainName", "")], (400, "MissingParameter"));
    let gone = (404, "InvalidDomain.NotFound");
    site.dcdn.refused(CODES, &[("DomainName", "a.test,gone.test")], gone);
}

#[test]
fn places_that_nobody_knows_had_no_traffic() {
    let site = Site::with(&["a.test"]);
    for action in STATISTICS {
        for (name, value) in [
            ("LocationNameEn", "atlantis"),
            ("IspNameEn", "pigeon"),
            ("LocationNameEn", "beijing"),
            ("IspNameEn", "unicom"),
            ("LocationNameEn", ""),
        ] {
            let params = [("DomainName", "a.test"), (name, value)];
            let answer = site.dcdn.ask(action, &params);
            assert!(!slots(action, &answer).0.is_empty(), "{action} {name}={value}");
        }
    }
    let old = [("DomainName", "a.test"), ("FixTimeGap", "false"), ("TimeMerge", "1")];
    site.dcdn.ask(TRAFFIC, &old);
}

#[test]
fn times_are_read_in_utc_and_may_be_a_minute_ahead() {
    let site = Site::with(&["a.test"]);
    let start = Timestamp::now() - SignedDuration::from_secs(600);
    let end = Timestamp::now() + SignedDuration::from_secs(60);
    let (start, end) = (stamp(start), stamp(end));
    let params =
        [("DomainName", "a.test"), ("StartTime", start.as_str()), ("EndTime", end.as_str())];
    let answer = site.dcdn.ask(TRAFFIC, &params);
    assert_eq!(answer["EndTime"], end.as_str());
}
