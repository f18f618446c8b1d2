//! Plans: when each of them is in effect.

use super::*;
use crate::control::changes::Via;

use BillingError as Error;
use ChargeType::{MonthAverage, PayByBandwidth, PayByTraffic};
use WebsocketBillType::{WebsocketBps, WebsocketTraffic};

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn author() -> Author {
    Author { name: "ada".to_owned(), via: Via::Cli, address: None }
}

fn billing(dir: &tempfile::TempDir, offset: &str, pending: Pending) -> Billing {
    let utc_offset = offset.parse().unwrap();
    let settings = Settings { utc_offset, pending, ..Settings::default() };
    Billing::new(Database::open(dir.path()).unwrap(), settings)
}

/// What is current and what is next, in short.
fn said(plans: &Plans) -> (Option<String>, Option<String>) {
    (plans.current.map(|plan| plan.to_string()), plans.next.map(|plan| plan.to_string()))
}

#[test]
fn the_first_plan_is_in_effect_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let billing = billing(&dir, "+08:00", Pending::Refuse);
    let now = at("2026-11-23T03:04:05.678Z");
    assert_eq!(billing.plans(now).unwrap(), Plans::default());
    assert!(!billing.plan_in_effect(now).unwrap());
    let change = billing.change(Some(PayByTraffic), None, now, &author());
    assert!(matches!(change, Err(Error::NotOpen)));
    let plans = billing.open(PayByTraffic, WebsocketTraffic, now, &author()).unwrap();
    let current = "PayByTraffic, websockettraffic, from 2026-11-23T03:04:05Z".to_owned();
    assert_eq!(said(&plans), (Some(current), None));
    assert_eq!(plans.opened, Some(at("2026-11-23T03:04:05Z")));
    assert!(billing.plan_in_effect(now).unwrap());
    let set_back = billing.plans(at("2026-11-23T03:00:00Z")).unwrap();
    assert_eq!(set_back, plans, "a clock that is set back takes no plan away");
    let again = billing.open(PayByBandwidth, WebsocketBps, at("2027-01-01T00:00:00Z"), &author());
    let error = again.unwrap_err();
    assert!(matches!(error, Error::AlreadyOpen(_)) && error.to_string().contains("plan change"));
    assert_eq!(billing.plans(now).unwrap(), plans, "nothing was changed");
    let back = at("2026-11-23T03:00:00Z");
    let changed = billing.change(None, Some(WebsocketBps), back, &author()).unwrap();
    assert_eq!((changed.opened, changed.current), (plans.opened, plans.current));
    let effect = changed.next.unwrap().effective_from;
    assert_eq!(billing.plans(effect).unwrap().opened, plans.opened);
}

#[test]
fn a_change_takes_effect_when_the_cycle_ends() {
    // Product page, "Activate Websocket": the next natural day, or 00:00 of the 1st of the next
    // month. At +08:00, 00:00 is 16:00 UTC (DCDN OpenAPI 2018-01-15).
    for (offset, charge, now, effect) in [
        ("+08:00", PayByTraffic, "2026-11-23T03:00:00Z", "2026-11-23T16:00:00Z"),
        ("+08:00", PayByBandwidth, "2026-11-23T15:59:59Z", "2026-11-23T16:00:00Z"),
        ("+08:00", PayByTraffic, "2026-11-23T16:00:00Z", "2026-11-24T16:00:00Z"),
        ("+08:00", MonthAverage, "2026-11-23T03:00:00Z", "2026-11-30T16:00:00Z"),
        ("+08:00", MonthAverage, "2026-11-30T15:59:59Z", "2026-11-30T16:00:00Z"),
        ("+08:00", MonthAverage, "2026-11-30T16:00:00Z", "2026-12-31T16:00:00Z"),
        ("+00:00", MonthAverage, "2028-02-29T23:59:59Z", "2028-03-01T00:00:00Z"),
        ("+00:00", PayByTraffic, "2028-02-28T12:00:00Z", "2028-02-29T00:00:00Z"),
        ("+00:00", PayByTraffic, "2027-02-28T12:00:00Z", "2027-03-01T00:00:00Z"),
        ("-03:30", PayByTraffic, "2026-12-31T12:00:00Z", "2027-01-01T03:30:00Z"),
        ("+05:45", MonthAverage, "2026-01-31T18:14:59Z", "2026-01-31T18:15:00Z"),
        ("+14:00", MonthAverage, "2026-12-31T09:59:59Z", "2026-12-31T10:00:00Z"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let billing = billing(&dir, offset, Pending::Refuse);
        billing.open(charge, WebsocketTraffic, at("2026-01-01T00:00:00Z"), &author()).unwrap();
        let (now, effect) = (at(now), at(effect));
        let plans = billing.change(None, Some(WebsocketBps), now, &author()).unwrap();
        let next = plans.next.unwrap();
        assert_eq!((next.effective_from, next.submitted), (effect, now), "{offset} {charge:?}");
        assert_eq!((next.charge, next.websocket), (charge, WebsocketBps));
        let second = jiff::SignedDuration::from_secs(1);
        let before = billing.plans(effect - second).unwrap();
        assert_eq!(before.current.unwrap().websocket, WebsocketTraffic);
        assert_eq!(before.next, Some(next));
        // DCDN OpenAPI 2018-01-15: WebsocketChangingTime is shown only while in the future.
        let after = billing.plans(effect).unwrap();
        assert_eq!((after.current, after.next), (Some(next), None), "{offset} {charge:?}");
    }
}

#[test]
fn a_moment_that_came_while_nobody_ran_counts() {
    let dir = tempfile::tempdir().unwrap();
    let one = billing(&dir, "+08:00", Pending::Refuse);
    one.open(PayByTraffic, WebsocketTraffic, at("2026-11-01T00:00:00Z"), &author()).unwrap();
    one.change(None, Some(WebsocketBps), at("2026-11-02T00:00:00Z"), &author()).unwrap();
    drop(one);
    let later = billing(&dir, "+08:00", Pending::Refuse);
    let plans = later.plans(at("2027-05-01T00:00:00Z")).unwrap();
    let current = plans.current.unwrap();
    assert_eq!(current.websocket, WebsocketBps);
    assert_eq!(current.effective_from, at("2026-11-02T16:00:00Z"));
    assert_eq!((plans.next, plans.opened), (None, Some(at("2026-11-01T00:00:00Z"))));
}

#[test]
fn the_plan_in_effect_is_kept_when_it_is_asked_for() {
    // Product page: "Keep the current billing items if the billing method has not changed."
    let dir = tempfile::tempdir().unwrap();
    let billing = billing(&dir, "+08:00", Pending::Refuse);
    let now = at("2026-11-01T00:00:00Z");
    let plans = billing.open(PayByTraffic, WebsocketTraffic, now, &author()).unwrap();
    for (charge, websocket) in
        [(None, None), (Some(PayByTraffic), None), (Some(PayByTraffic), Some(WebsocketTraffic))]
    {
        let same = billing.change(charge, websocket, now, &author());
        assert!(matches!(same, Err(Error::SamePlan)));
        assert_eq!(billing.plans(now).unwrap(), plans);
    }
}

#[test]
fn a_second_change_is_refused_until_the_first_took_effect() {
    let dir = tempfile::tempdir().unwrap();
    let billing = billing(&dir, "+08:00", Pending::Refuse);
    billing.open(PayByTraffic, WebsocketTraffic, at("2026-11-01T00:00:00Z"), &author()).unwrap();
    let first = billing.change(Some(MonthAverage), None, at("2026-11-02T00:00:00Z"), &author());
    let first = first.unwrap();
    for websocket in [WebsocketBps, WebsocketTraffic] {
        let now = at("2026-11-02T15:59:59Z");
        let second = billing.change(Some(PayByTraffic), Some(websocket), now, &author());
        let error = second.unwrap_err();
        assert!(matches!(error, Error::Pending(at_) if at_ == at("2026-11-02T16:00:00Z")));
        assert!(error.to_string().contains("2026-11-02T16:00:00Z"), "{error}");
        assert_eq!(billing.plans(now).unwrap(), first);
    }
    // Now on a monthly cycle.
    let now = at("2026-11-02T16:00:00Z");
    let third = billing.change(Some(PayByTraffic), None, now, &author()).unwrap();
    assert_eq!(third.next.unwrap().effective_from, at("2026-11-30T16:00:00Z"));
}

#[test]
fn a_second_change_replaces_the_first_where_it_may() {
    let dir = tempfile::tempdir().unwrap();
    let billing = billing(&dir, "+08:00", Pending::Replace);
    let opened = at("2026-11-01T00:00:00Z");
    billing.open(MonthAverage, WebsocketTraffic, opened, &author()).unwrap();
    let now = at("2026-11-02T00:00:00Z");
    billing.change(Some(PayByTraffic), None, now, &author()).unwrap();
    let plans = billing.change(Some(PayByBandwidth), None, now, &author()).unwrap();
    let effect = at("2026-11-30T16:00:00Z");
    let next = plans.next.unwrap();
    assert_eq!((next.charge, next.effective_from), (PayByBandwidth, effect));
    assert_eq!(billing.plans(effect).unwrap().current, Some(next));
    // Asking for the plan in effect calls the change off.
    let off = billing.change(Some(MonthAverage), None, now, &author()).unwrap();
    assert_eq!(off.next, None);
    let after = billing.plans(effect).unwrap();
    assert_eq!((after.current.unwrap().charge, after.next), (MonthAverage, None));
}

#[test]
fn names_are_those_of_the_product() {
    for charge in ChargeType::ALL {
        assert_eq!(charge.name().parse(), Ok(charge));
        assert_eq!(serde_json::to_value(charge).unwrap(), charge.name());
    }
    for method in WebsocketBillType::ALL {
        assert_eq!(method.name().parse(), Ok(method));
        assert_eq!(serde_json::to_value(method).unwrap(), method.name());
    }
    assert!("Free".parse::<ChargeType>().unwrap_err().contains("PayByBandwidth_monthavg"));
}
