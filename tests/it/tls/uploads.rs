//! Pairs that an operator uploads with `hawser cert`: good ones serve at once, bad ones change
//! nothing.

use std::os::unix::fs::PermissionsExt as _;

use super::ask;
use super::certificates::presented;
use crate::harness::{Authority, DomainFile, Edge, Origin, Pair, TlsClient, Wish};

#[test]
fn an_uploaded_pair_serves_at_once_and_goes_at_once() {
    let authority = Authority::new("root");
    let origin = Origin::answering("fine");
    let domain = DomainFile::to("a.test", &origin).websocket("origin_scheme = \"http\"");
    let edge = Edge::builder().tls().domain(domain).start();
    let client = TlsClient::trusting(&authority);
    assert!(client.try_connect(edge.tls_addr(), "a.test").is_err(), "no pair yet");
    let set = |pair: &Pair| {
        let (certificate, key) = (pair.certificate(), pair.key());
        edge.hawser_done(&[
            "cert",
            "set",
            "a.test",
            "--certificate",
            certificate.to_str().expect("UTF-8"),
            "--key",
            key.to_str().expect("UTF-8"),
        ]);
    };
    let (one, two) = (authority.pair(&["a.test"]), authority.pair(&["a.test"]));
    set(&one);
    assert!(presented(&edge, &client) == one.chain[0].to_vec());
    let mut open = edge.connect_tls(&client, "a.test");
    set(&two);
    assert!(presented(&edge, &client) == two.chain[0].to_vec());
    assert_eq!(ask(&mut open, "a.test").0, 200, "a connection of the first pair lives on");
    let kept = edge.dir().join("certs/a.test/key.pem");
    let mode = std::fs::metadata(&kept).expect("the key").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let listed = edge.hawser_done(&["cert", "list"]);
    assert!(listed.contains("a.test"), "{listed}");
    let rows = edge.hawser_done(&["cert", "list", "--json"]);
    let rows: serde_json::Value = serde_json::from_str(&rows).expect("JSON");
    assert!(rows.to_string().contains("a.test"), "{rows}");
    edge.hawser_done(&["cert", "remove", "a.test"]);
    assert!(client.try_connect(edge.tls_addr(), "a.test").is_err(), "it is gone");
}

#[test]
fn bad_pairs_are_refused_by_upload() {
    let authority = Authority::new("root");
    let pair = authority.pair(&["a.test"]);
    let (good, other) = (authority.pair(&["a.test"]), authority.pair(&["a.test"]));
    let expired = authority.issue(Wish::server(&["a.test"]).days_left(-2));
    let origin = Origin::answering("fine");
    let domain = DomainFile::to("a.test", &origin).websocket("origin_scheme = \"http\"");
    let edge = Edge::builder().tls().domain(domain).start();
    let path = |p: std::path::PathBuf| p.display().to_string();
    let set = |certificate: String, key: String| {
        edge.hawser(&["cert", "set", "a.test", "--certificate", &certificate, "--key", &key])
    };
    assert!(set(path(pair.certificate()), path(pair.key())).status.success());
    let garbage = pair.dir().join("garbage.pem");
    std::fs::write(&garbage, [0xff; 300]).expect("written");
    let missing = path(pair.dir().join("missing.pem"));
    let rows = [
        (path(expired.certificate()), path(expired.key()), "expired"),
        (path(good.certificate()), path(other.key()), "key"),
        (path(garbage.clone()), path(good.key()), "garbage.pem"),
        (path(good.certificate()), path(garbage), "garbage.pem"),
        (missing, path(good.key()), "missing.pem"),
    ];
    for (certificate, key, word) in rows {
        let output = set(certificate, key);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success(), "{word}: {said}");
        assert!(said.contains(word), "{word}: {said}");
        let now = presented(&edge, &TlsClient::trusting(&authority));
        assert!(now == pair.chain[0].to_vec(), "{word}: another pair answers");
    }
}
