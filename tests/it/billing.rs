//! Plans and statements from the command line, with a running edge and without.
//!
//! Not here: plans over the APIs (`plans`), the same bytes everywhere (`accounting`).

use crate::harness::{DomainFile, Edge, Frame, Origin, Tunnel, eventually, upgrade_request};

const ON: &[&str] = &["enabled = true"];

fn handshake(edge: &Edge) -> u16 {
    let mut client = edge.connect();
    client.send(upgrade_request("a.test", ""));
    client.head().status()
}

fn json(edge: &Edge, words: &[&str]) -> serde_json::Value {
    serde_json::from_str(&edge.hawser_done(words)).expect("JSON")
}

#[test]
fn a_plan_of_the_command_line_is_in_effect_at_once() {
    let origin = Origin::echoing();
    let edge = Edge::builder().billing(ON).domain(DomainFile::to("a.test", &origin)).start();
    let warned = edge.stderr();
    assert!(warned.contains("no billing plan is in effect"), "{warned}");
    assert!(warned.contains("a.test") && warned.contains("hawser plan open"), "{warned}");
    assert_ne!(handshake(&edge), 101);
    let none = edge.hawser_done(&["plan", "show"]);
    assert!(none.contains("hawser plan open"), "{none}");
    let refused = edge.hawser(&["plan", "change", "--websocket", "websocketbps"]);
    assert_eq!(refused.status.code(), Some(1), "there is no plan to change");

    let opened = json(&edge, &["plan", "open", "--json"]);
    assert_eq!(opened["current"]["charge"], "PayByTraffic");
    assert_eq!(handshake(&edge), 101, "the edge knows before the command ends");
    assert_eq!(edge.hawser(&["plan", "open"]).status.code(), Some(1), "it opens once");

    let changed = json(&edge, &["plan", "change", "--websocket", "websocketbps", "--json"]);
    assert_eq!(changed["current"], opened["current"]);
    assert_eq!(changed["next"]["websocket"], "websocketbps");
    let moment = changed["next"]["effective_from"].as_str().expect("a time").to_owned();
    assert!(moment.ends_with("T16:00:00Z"), "00:00 at +08:00: {moment}");
    let pending = edge.hawser(&["plan", "change", "--charge", "PayByBandwidth"]);
    let said = String::from_utf8_lossy(&pending.stderr).into_owned();
    assert_eq!(pending.status.code(), Some(1), "{said}");
    assert!(said.contains(&moment), "{said}");
    assert_eq!(json(&edge, &["plan", "show", "--json"]), changed);
}

#[test]
fn an_edge_notices_a_plan_that_nobody_told_it_of() {
    let origin = Origin::echoing();
    let edge = Edge::builder().billing(ON).domain(DomainFile::to("a.test", &origin)).start();
    // With a socket that is not there, the command takes the edge for one that does not run.
    let (socket, away) = (edge.dir().join("control.sock"), edge.dir().join("away.sock"));
    std::fs::rename(&socket, &away).expect("a socket");
    edge.hawser_done(&["plan", "open", "--websocket", "websocketbps"]);
    std::fs::rename(&away, &socket).expect("a socket");
    eventually("WebSocket is on", || (handshake(&edge) == 101).then_some(()));
}

#[test]
fn usage_is_that_of_this_second() {
    let origin = Origin::bind();
    let prices = "currency = \"CNY\"\ntraffic = [{ from_gb = 0, price = \"1000000\" }]\n";
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("prices.toml");
    std::fs::write(&file, prices).expect("a file");
    let key = format!("prices = \"{}\"", file.display());
    let builder = Edge::builder().billing(&["enabled = true", &key]);
    let edge = builder.domain(DomainFile::to("a.test", &origin)).start();
    edge.hawser_done(&["plan", "open"]);
    let mut tunnel = Tunnel::open(&edge, &origin, "a.test");
    let payload = vec![b'x'; 10_000];
    tunnel.origin.send_frame(&Frame::binary(&payload));
    tunnel.client.frame();
    let statement = json(&edge, &["usage", "--json", "--what-if"]);
    let bytes = statement["totals"]["bytes"].as_u64().expect("a number");
    assert!((10_004..11_000).contains(&bytes), "{statement}");
    assert_eq!(statement["totals"]["open_bytes"], bytes, "the hour is not over");
    assert_eq!(statement["lines"][0]["domain"], "a.test");
    assert_eq!(statement["currency"], "CNY");
    assert_eq!(statement["plans"][0]["websocket"], "websockettraffic");
    let cost = statement["what_if"][0]["amount"].as_str().expect("an amount");
    // 10^6 units for 2^30 bytes, rounded half up at the sixth place.
    let micro = (u128::from(bytes) * 1_000_000_000_000 * 2 + (1 << 30)) / (1 << 31);
    assert_eq!(cost, format!("{}.{:06}", micro / 1_000_000, micro % 1_000_000));
    let csv = edge.hawser_done(&["usage", "--csv", "--domain", "a.test"]);
    assert!(csv.contains(&format!(",a.test,{bytes},0,{bytes},0,,,,")), "{csv}");
    let people = edge.hawser_done(&["usage", "--what-if"]);
    assert!(people.contains("PayByBandwidth95") && people.contains(&bytes.to_string()), "{people}");
    let wrong = edge.hawser(&["usage", "--month", "2026-13"]);
    assert_eq!(wrong.status.code(), Some(2));
}
