//! Tests of `question`.

use super::*;

const BEIJING: i64 = 8 * HOUR;

fn now() -> i64 {
    "2026-11-23T04:02:03Z".parse::<Timestamp>().unwrap().as_second()
}

fn ask(query: &str) -> Result<Question, Refusal> {
    Asked::read(query).question(now(), BEIJING)
}

/// Pointer, what is wrong and what would be accepted of everything that is refused.
fn refused(query: &str) -> Vec<(String, String, String)> {
    let errors = ask(query).expect_err(query).errors.into_iter();
    errors.map(|wrong| (wrong.pointer.unwrap(), wrong.detail, wrong.accepted.unwrap())).collect()
}

fn ago(range: i64, interval: &str) -> String {
    format!("from={}&to={}&interval={interval}", format(now() - range), format(now()))
}

// The product's page on WebSocket: granularity by time dimension.
#[test]
fn only_what_the_range_offers() {
    for (range, accepted) in [
        (DAY, "5 minutes or 1 hour"),
        (3 * DAY, "5 minutes or 1 hour"),
        (3 * DAY + 1, "1 hour or 1 day"),
        (31 * DAY, "1 hour or 1 day"),
        (31 * DAY + 1, "1 day"),
        (32 * DAY, "1 day"),
        (93 * DAY, "1 day"),
    ] {
        for (interval, name) in [("300", "5 minutes"), ("3600", "1 hour"), ("86400", "1 day")] {
            let query = ago(range, interval);
            if accepted.split(" or ").any(|offered| offered == name) {
                assert_eq!(ask(&query).unwrap().step.to_string(), interval, "{range}");
                continue;
            }
            let [(pointer, detail, offered)] = &refused(&query)[..] else { panic!("{query}") };
            assert_eq!((&**pointer, &**offered), ("/interval", accepted), "{query}");
            assert!(detail.starts_with(&format!("{name} is not offered")), "{detail}");
        }
        let finest = ask(&ago(range, "")).unwrap().step;
        assert!(accepted.starts_with(granularity(finest)), "{range}: {finest}");
    }
}

#[test]
fn what_is_wrong_stands_at_its_field() {
    for (query, pointer, detail, accepted) in [
        ("from=x&to=2026-11-23T00:00", "/from", "\"x\" is not a time", "2026-11-23T12:02, or"),
        ("from=2026-11-22T00:00", "/to", "it is missing", "a time such as"),
        ("from=2026-11-22T00:00&to=2026-11-22T00:00", "/to", "not after", "after 2026-11-22T00:00"),
        ("from=2026-11-24T00:00&to=2026-11-25T00:00", "/from", "not come yet", "before 2026-11-23"),
        (&ago(93 * DAY + 1, ""), "/from", "a range of 93 d 1 s", "at most: 2026-08-22T12:02:03"),
        (&ago(HOUR, "60"), "/interval", "\"60\" is no granularity", "5 minutes or 1 hour"),
        (
            "from=2026-01-01T00:00Z&to=2026-01-02T00:00Z&interval=300",
            "/from",
            "slots of 5 minutes are not kept",
            "2026-08-22T12:00 at the earliest",
        ),
    ] {
        let [(place, what, instead)] = &refused(query)[..] else { panic!("{query}") };
        assert_eq!(place, pointer, "{query}");
        assert!(what.contains(detail) && instead.contains(accepted), "{what}; {instead}");
    }
    assert_eq!(refused("from=x&to=y").len(), 2);
    let many: String =
        (0..=CONSOLE_STATISTICS_DOMAINS_MAX).map(|i| format!("&domain=d{i}.a")).collect();
    assert_eq!(refused(&many)[0].0, "/domain");
}

#[test]
fn times_of_the_node_and_of_anybody() {
    let at = |text: &str| text.parse::<Timestamp>().unwrap().as_second();
    for (text, time) in [
        ("2026-11-23T12:00", Some("2026-11-23T04:00:00Z")),
        ("2026-11-23 12:00:01", Some("2026-11-23T04:00:01Z")),
        ("2026-11-23", Some("2026-11-22T16:00:00Z")),
        ("2026-11-23T12:00Z", Some("2026-11-23T12:00:00Z")),
        ("2026-11-23T12:00-05:00", Some("2026-11-23T17:00:00Z")),
        ("2026-02-29T00:00", None),
        ("yesterday", None),
        ("", None),
    ] {
        assert_eq!(instant(text, BEIJING), time.map(at), "{text}");
    }
    assert_eq!(local(at("2026-11-23T04:00:00Z"), BEIJING), "2026-11-23T12:00");
}

#[test]
fn presets_are_at_most_three_months() {
    for (last, start, end) in [
        ("hour", "2026-11-23T03:05:00Z", "2026-11-23T04:05:00Z"),
        ("24h", "2026-11-22T04:05:00Z", "2026-11-23T04:05:00Z"),
        ("today", "2026-11-22T16:00:00Z", "2026-11-23T04:05:00Z"),
        ("yesterday", "2026-11-21T16:00:00Z", "2026-11-22T16:00:00Z"),
        ("3d", "2026-11-20T04:05:00Z", "2026-11-23T04:05:00Z"),
        ("7d", "2026-11-16T04:05:00Z", "2026-11-23T04:05:00Z"),
        ("30d", "2026-10-24T04:05:00Z", "2026-11-23T04:05:00Z"),
        ("month", "2026-10-31T16:00:00Z", "2026-11-23T04:05:00Z"),
        ("3months", "2026-08-22T16:00:00Z", "2026-11-23T04:05:00Z"),
    ] {
        let found = ask(&format!("last={last}&interval=300")).unwrap();
        assert_eq!((&*format(found.start), &*format(found.end)), (start, end), "{last}");
    }
    // The longest three months there are, at their last moment.
    for now in ["2026-10-01T15:59:59Z", "2024-02-29T15:59:59Z", "2026-05-31T15:59:59Z"] {
        let now = now.parse::<Timestamp>().unwrap().as_second();
        let found = Asked::read("last=3months").question(now, BEIJING).unwrap();
        let again = Asked::read(found.url().split_once('?').unwrap().1);
        assert_eq!(again.question(now, BEIJING).unwrap(), found);
    }
}

#[test]
fn a_url_means_the_same_again() {
    let query = "view=codes&domain=b.example&domain=a.example&domain=*.c&region=beijing&isp=x%26y\
                 &last=7d&interval=86400&page=2";
    let found = ask(query).unwrap();
    let url = found.url();
    assert_eq!(ask(url.split_once('?').unwrap().1).unwrap(), found, "{url}");
    assert_eq!(
        found.series("http-codes"),
        "/statistics/http-codes?start=2026-11-16T04:05:00Z&end=2026-11-23T04:05:00Z&interval=86400\
         &domain=%2A.c,a.example,b.example&region=beijing&isp=x%26y"
    );
    // Whole days of +08:00.
    assert!(found.whole("top?").contains("start=2026-11-15T16:00:00Z&end=2026-11-23T16:00:00Z"));
    assert_eq!(
        ask("domain=*.c&region=beijing").unwrap().file_name("traffic"),
        "hawser-traffic-any.c-beijing-20261122T0405Z-20261123T0405Z-5minutes.csv"
    );
}
