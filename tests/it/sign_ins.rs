//! Sign-ins that fail: counted by API and reason, logged with the address and never with a secret.

use serde_json::Value;

use crate::harness::{Api, Dcdn, Edge};

fn failed(edge: &Edge, api: &str, reason: &str) -> f64 {
    edge.metrics().sum("hawser_sign_ins_failed_total", &[("api", api), ("reason", reason)])
}

/// Lines of the log about sign-ins.
fn lines(edge: &Edge) -> Vec<String> {
    let text = edge.stderr();
    text.lines().filter(|line| line.contains("a sign-in failed")).map(str::to_owned).collect()
}

#[test]
fn a_sign_in_that_fails_is_counted_and_logged_without_what_was_sent() {
    let edge = Edge::builder().start();
    let admin = edge.admin_key();
    let (id, secret) = admin.split_once('.').expect("ID.SECRET");
    let api = Api::of(&edge);
    let revoked: Value = serde_json::from_str(
        &edge.hawser_done(&["key", "create", "--name", "old", "--role", "read", "--json"]),
    )
    .expect("JSON");
    let of_revoked = |field: &str| revoked[field].as_str().expect("a text").to_owned();
    let (old, old_secret) = (of_revoked("access_key_id"), of_revoked("access_key_secret"));
    edge.hawser_done(&["key", "revoke", &old]);
    assert_eq!(failed(&edge, "rest", "missing"), 0.0);
    for token in ["", "HKnobody.guess", &format!("{id}.guess"), &format!("{old}.{old_secret}")] {
        assert_eq!(api.bearing(token).get("/api/v1/status").status, 401, "{token}");
    }
    for reason in ["missing", "unknown_key", "wrong_secret", "revoked_key"] {
        assert_eq!(failed(&edge, "rest", reason), 1.0, "{reason}");
    }
    api.read("/api/v1/status");
    let said = lines(&edge);
    assert_eq!(said.len(), 4, "{said:?}");
    assert!(said.iter().all(|line| line.contains("127.0.0.1")), "{said:?}");
    let naming = |name: &str| said.iter().filter(|line| line.contains(name)).count();
    assert_eq!((naming(id), naming(&old), naming("HKnobody")), (1, 1, 0), "{said:?}");
    assert_eq!((naming(secret), naming(&old_secret), naming("guess")), (0, 0, 0), "{said:?}");
}

#[test]
fn a_signature_that_fails_is_counted_by_its_reason() {
    let edge = Edge::builder().start();
    let dcdn = Dcdn::of(&edge);
    let call = |dcdn: &Dcdn| dcdn.call("DescribeDcdnUserDomains", &[]).send().status;
    assert_eq!(call(&dcdn), 200);
    assert_ne!(call(&Dcdn { id: "HKnobody".into(), ..dcdn.clone() }), 200);
    assert_ne!(call(&Dcdn { secret: "x".into(), ..dcdn.clone() }), 200);
    assert_ne!(dcdn.call("DescribeDcdnUserDomains", &[]).seconds_off(-3600).send().status, 200);
    let once = dcdn.call("DescribeDcdnUserDomains", &[]).nonce("once");
    assert_eq!(once.clone().send().status, 200);
    assert_ne!(once.send().status, 200);
    assert_ne!(Api::anonymous(&edge).get("/?Action=DescribeDcdnUserDomains").status, 200);
    // What is wrong with the call and not with the caller is none.
    assert_ne!(dcdn.call("NoSuchAction", &[]).send().status, 200);
    for reason in ["missing", "unknown_key", "wrong_secret", "stale", "replayed"] {
        assert_eq!(failed(&edge, "dcdn", reason), 1.0, "{reason}");
    }
    let all = edge.metrics().sum("hawser_sign_ins_failed_total", &[]);
    assert_eq!((all, lines(&edge).len()), (5.0, 5));
}

#[test]
fn a_guesser_does_not_fill_the_log() {
    let edge = Edge::builder().start();
    let guesser = Api::of(&edge).bearing("HKnobody.guess");
    for _ in 0..50 {
        assert_eq!(guesser.get("/api/v1/status").status, 401);
    }
    assert_eq!(failed(&edge, "rest", "unknown_key"), 50.0);
    assert_eq!(lines(&edge).len(), 5, "{}", edge.stderr());
}
