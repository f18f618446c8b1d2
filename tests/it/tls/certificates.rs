//! Pairs that change, run out or are wrong while the edge runs. What is open lives on.

use super::Site;
use crate::harness::{Authority, DomainFile, Edge, Frame, Origin, TlsClient, Wish};

pub(super) fn presented(edge: &Edge, client: &TlsClient) -> Vec<u8> {
    edge.connect_tls(client, "a.test").agreed().certificate.expect("a certificate")
}

/// Words about a pair that was not taken; nothing changed by it.
fn refused(site: &Site, words: &[&str]) -> String {
    let before = site.edge.generation();
    let output = site.edge.hawser(words);
    let said = String::from_utf8_lossy(&output.stderr) + String::from_utf8_lossy(&output.stdout);
    assert!(!output.status.success(), "{words:?} was taken: {said}");
    assert_eq!(site.edge.generation(), before, "{said}");
    let now = presented(&site.edge, &site.client());
    assert!(now == site.pair.chain[0].to_vec(), "another pair answers: {said}");
    said.into_owned()
}

#[test]
fn a_reload_takes_the_renewed_files_and_touches_no_tunnel() {
    let site = Site::new();
    let mut tunnel = site.tunnel();
    let next = site.authority.pair(&["a.test"]);
    site.pair.overwrite_with(&next);
    site.edge.hawser_done(&["reload"]);
    assert!(presented(&site.edge, &site.client()) == next.chain[0].to_vec());
    tunnel.check();
    tunnel.client.tls().update_keys().expect("keys of the old handshake");
    tunnel.check();
    site.serves();
}

#[test]
fn bad_pairs_are_refused_by_reload_with_the_reason_and_the_old_one_stays() {
    let site = Site::new();
    let mut tunnel = site.tunnel();
    let good = site.authority.pair(&["a.test"]);
    let expired = site.authority.issue(Wish::server(&["a.test"]).days_left(-2));
    site.pair.overwrite_with(&expired);
    let said = refused(&site, &["reload"]);
    assert!(said.contains("expired") && said.contains("certificate.pem"), "{said}");
    site.pair.overwrite_with(&good);
    std::fs::copy(expired.key(), site.pair.key()).expect("copied");
    let said = refused(&site, &["reload"]);
    assert!(said.contains("key.pem"), "{said}");
    std::fs::write(site.pair.certificate(), "no certificate\n").expect("written");
    let said = refused(&site, &["reload"]);
    assert!(said.contains("certificate.pem"), "{said}");
    std::fs::remove_file(site.pair.certificate()).expect("removed");
    let said = refused(&site, &["reload"]);
    assert!(said.contains("certificate.pem"), "{said}");
    site.edge.await_metric("hawser_reloads_total", &[("result", "failure")], 4.0);
    tunnel.check();
    // And once it is mended, it is taken.
    site.pair.overwrite_with(&good);
    site.edge.hawser_done(&["reload"]);
    assert!(presented(&site.edge, &site.client()) == good.chain[0].to_vec());
    tunnel.check();
}

#[test]
fn at_start_a_pair_that_cannot_be_used_is_a_configuration_error() {
    let authority = Authority::new("root");
    let origin = Origin::bind();
    let broken = authority.pair(&["a.test"]);
    std::fs::copy(authority.pair(&["a.test"]).key(), broken.key()).expect("copied");
    let domain = DomainFile::to("a.test", &origin).tls(&broken);
    let (code, said) = Edge::builder().tls().domain(domain.clone()).start_and_end();
    assert_eq!(code, Some(78), "{said}");
    assert!(said.contains("a.test") && said.contains("key.pem"), "{said}");
    std::fs::remove_file(broken.certificate()).expect("removed");
    let (code, said) = Edge::builder().tls().domain(domain).start_and_end();
    assert_eq!(code, Some(78), "{said}");
    assert!(said.contains("certificate.pem"), "{said}");
}

/// Better to serve what clients may still take than nothing; but loudly.
#[test]
fn at_start_an_expired_pair_is_served_and_said() {
    let authority = Authority::new("root");
    let origin = Origin::bind();
    let expired = authority.issue(Wish::server(&["a.test"]).days_left(-2));
    let domain = DomainFile::to("a.test", &origin).tls(&expired);
    let edge = Edge::builder().tls().domain(domain).start();
    let said = edge.stderr();
    assert!(
        said.contains("ERROR") && said.contains("expired") && said.contains("a.test"),
        "{said}"
    );
    let refused = TlsClient::trusting(&authority).try_connect(edge.tls_addr(), "a.test");
    let why = refused.map(|_| ()).expect_err("a client that looks").to_string();
    assert!(why.contains("xpired"), "{why}");
}

#[test]
fn expiry_is_a_metric_and_a_warning_from_thirty_days_on() {
    let authority = Authority::new("root");
    let origin = Origin::bind();
    let near = authority.issue(Wish::server(&["near.test"]).days_left(20));
    let far = authority.issue(Wish::server(&["far.test"]).days_left(200));
    let edge = Edge::builder()
        .tls()
        .domain(DomainFile::to("near.test", &origin).tls(&near))
        .domain(DomainFile::to("far.test", &origin).tls(&far))
        .start();
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .expect("after 1970")
        .as_secs_f64();
    let metrics = edge.metrics();
    for (domain, days) in [("near.test", 20.0), ("far.test", 200.0)] {
        let expiry = metrics.sum("hawser_certificate_not_after_seconds", &[("domain", domain)]);
        let left = (expiry - now) / 86_400.0;
        assert!((left - days).abs() < 0.1, "{domain}: {left} days in\n{}", metrics.text);
    }
    let said = edge.stderr();
    let warned = |domain: &str| {
        said.lines().any(|l| l.contains("WARN") && l.contains(domain) && l.contains("ends soon"))
    };
    assert!(warned("near.test") && !warned("far.test"), "{said}");
}

/// What is in use and runs out stays in use: a reload for another reason must not fail for it.
#[test]
fn other_changes_are_taken_while_a_pair_in_use_is_not_touched() {
    let site = Site::new();
    let mut tunnel = site.tunnel();
    for heartbeat in [30, 40] {
        let domain = DomainFile::to("a.test", &site.origin).tls(&site.pair);
        site.edge.reload_with(&domain.websocket(&format!("heartbeat = {heartbeat}")));
        tunnel.check();
        let frame = Frame::binary(vec![1; 100_000]).masked();
        tunnel.client.send_frame(&frame);
        assert_eq!(tunnel.origin.frame(), frame);
        site.serves();
    }
}
