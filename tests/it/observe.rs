//! What can be seen of a running edge: health, metrics, the access log, and its connections.

use std::time::{Duration, Instant};

use crate::harness::tunnel::closes;
use crate::harness::{DomainFile, Edge, Frame, Origin, Tunnel, Wire, eventually, upgrade_request};

#[test]
fn the_admin_listener_answers_health_and_readiness() {
    let (_origin, edge) = Edge::and_origin();
    for path in ["/healthz", "/readyz"] {
        let (status, body) = edge.admin_get(path);
        assert_eq!(status, 200, "{path}: {body}");
    }
    assert_eq!(edge.admin_get("/nothing").0, 404);
}

#[test]
fn the_admin_listener_answers_only_local_names() {
    let (_origin, edge) = Edge::and_origin();
    let mut page = Wire::connect(edge.admin());
    page.send("GET /metrics HTTP/1.1\r\nHost: evil.test\r\nConnection: close\r\n\r\n");
    assert!(matches!(page.head().status(), 400 | 403 | 421));
}

#[test]
fn metrics_name_everything_that_operators_need() {
    let (origin, edge) = Edge::and_origin();
    Tunnel::open(&edge, &origin, "a.test").check();
    edge.await_metric("hawser_tunnels_active", &[("domain", "a.test")], 0.0);
    let metrics = edge.metrics();
    for name in [
        "hawser_connections_accepted_total",
        "hawser_tunnels_opened_total",
        "hawser_tunnels_closed_total",
        "hawser_handshakes_total",
        "hawser_client_sent_bytes_total",
        "hawser_client_received_bytes_total",
        "hawser_client_sent_messages_total",
        "hawser_client_received_messages_total",
        "hawser_rtt_seconds_bucket",
        "hawser_handshake_seconds_bucket",
        "hawser_core_busy_seconds_total",
        "hawser_core_elapsed_seconds_total",
        "hawser_accept_queue",
        "hawser_accept_pauses_total",
        "hawser_access_log_dropped_events_total",
        "hawser_ring_overflows_total",
        "hawser_snapshot_generation",
        "process_resident_memory_bytes",
    ] {
        assert!(metrics.has(name), "{name} in {}", metrics.text);
    }
    let of = |name: &str| metrics.sum(name, &[("domain", "a.test")]);
    assert_eq!(of("hawser_tunnels_opened_total"), 1.0);
    assert_eq!(metrics.sum("hawser_handshakes_total", &[("code", "101")]), 1.0);
    assert_eq!(of("hawser_client_sent_messages_total"), 1.0);
    assert_eq!(of("hawser_client_received_messages_total"), 1.0);
    assert_eq!(of("hawser_handshake_seconds_count"), 1.0);
    for line in metrics.text.lines().filter(|l| l.starts_with("# TYPE hawser_")) {
        let name = line.split(' ').nth(2).expect("a name");
        assert!(metrics.text.contains(&format!("# HELP {name} ")), "{name} has no help");
    }
}

#[test]
fn labels_hold_only_configured_names_however_many_hosts_are_asked_for() {
    let origin = Origin::answering("x");
    let wild = DomainFile::to("*.wild.test", &origin);
    let edge = Edge::builder().domain(DomainFile::to("a.test", &origin)).domain(wild).start();
    for i in 0..50 {
        for host in [format!("attack{i}.test"), format!("h{i}.wild.test")] {
            let mut client = edge.connect();
            client.send(format!("GET /p{i} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
            client.answer();
        }
    }
    edge.await_metric("hawser_requests_total", &[("domain", "*.wild.test")], 50.0);
    let metrics = edge.metrics();
    assert_eq!(metrics.values_of("domain"), ["*.wild.test", "a.test"]);
    assert!(!metrics.text.contains("attack") && !metrics.text.contains("/p1"));
}

#[test]
fn requests_are_counted_by_code() {
    let (origin, edge) = Edge::and_origin();
    for status in ["200 OK", "204 No Content", "404 Not Found", "500 Oops"] {
        let mut client = edge.connect();
        client.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
        let mut at = origin.accept();
        at.head();
        let length = if status.starts_with("204") { "" } else { "Content-Length: 0\r\n" };
        at.send(format!("HTTP/1.1 {status}\r\n{length}Connection: close\r\n\r\n"));
        client.answer();
        let code = &status[..3];
        edge.await_metric("hawser_requests_total", &[("domain", "a.test"), ("code", code)], 1.0);
    }
}

#[test]
fn the_access_log_has_a_line_at_open_each_interval_and_close() {
    let origin = Origin::bind();
    let edge = Edge::with(DomainFile::to("a.test", &origin).set("access_log", "interval = \"1s\""));
    let mut client = edge.connect();
    let from = client.local();
    client.send(upgrade_request(
        "a.test",
        "User-Agent: tester \"1\"\r\nSec-WebSocket-Protocol: chat\r\n",
    ));
    let mut at = origin.accept();
    let head = at.head();
    let agreed = "Sec-WebSocket-Protocol: chat\r\n";
    at.send(crate::harness::tunnel::switching_with(&head, agreed));
    assert_eq!(client.head().status(), 101);
    let mut tunnel = Tunnel { client, origin: at };
    tunnel.check();
    let open = edge.await_log("open", |line| line["event"] == "open");
    assert_eq!(open["domain"], "a.test");
    assert_eq!(open["client"], from.to_string());
    assert_eq!(open["origin"], origin.addr.to_string());
    assert_eq!(open["target"], "/chat");
    assert_eq!(open["subprotocol"], "chat");
    assert_eq!(open["user_agent"], "tester \"1\"");
    assert_eq!(open["request_id"], head.field("x-request-id").expect("an id"));
    assert!(open["handshake_us"].as_u64().is_some_and(|us| us > 0), "{open}");
    let id = open["id"].clone();
    edge.await_log("interval", |line| line["event"] == "interval" && line["id"] == id);
    tunnel.client.send_frame(&Frame::close(4000, "").masked());
    tunnel.origin.frame();
    tunnel.origin.send_frame(&Frame::close(4000, ""));
    tunnel.origin.finish();
    tunnel.client.frame();
    tunnel.client.finish();
    let close = edge.await_log("close", |line| line["event"] == "close");
    assert_eq!(close["id"], id);
    assert_eq!((&close["side"], &close["cause"]), (&"client".into(), &"peer_close".into()));
    assert_eq!(close["close_code"], 4000);
    assert!(close["age_ms"].as_u64().is_some_and(|ms| ms >= 900), "{close}");
    assert!(close["bytes_in"].as_u64() > Some(0) && close["bytes_out"].as_u64() > Some(0));
}

#[test]
fn plain_requests_and_refusals_are_logged_with_their_cause() {
    let origin = Origin::answering("ok");
    let edge = Edge::to(&origin);
    for request in [
        "GET /fine HTTP/1.1\r\nHost: a.test\r\n\r\n",
        "GET /b ad HTTP/1.1\r\nHost: a.test\r\n\r\n",
        "GET /who HTTP/1.1\r\nHost: unknown.test\r\n\r\n",
    ] {
        let mut client = edge.connect();
        client.send(request);
        client.answer();
    }
    let fine = edge.await_log("the answered one", |line| line["target"] == "/fine");
    assert_eq!((&fine["event"], &fine["status"]), (&"request".into(), &200.into()));
    assert_eq!(fine["client"].as_str().map(|c| c.starts_with("127.0.0.1")), Some(true));
    assert!(fine["refused"].is_null(), "{fine}");
    let bad = edge.await_log("the bad one", |line| line["status"] == 400);
    assert_eq!((&bad["refused"], &bad["side"]), (&"bad_request".into(), &"client".into()));
    let unknown = edge.await_log("the unknown one", |line| line["refused"] == "unknown_domain");
    assert!(unknown["domain"].is_null(), "{unknown}");
}

#[test]
fn what_clients_choose_cannot_break_a_log_line() {
    let origin = Origin::answering("ok");
    let edge = Edge::to(&origin);
    let mut client = edge.connect();
    let target = format!("/%0a\"}}{{\"event\":\"forged\",\\{}", "x".repeat(3_000));
    client.send(format!("GET {target} HTTP/1.1\r\nHost: a.test\r\n\r\n"));
    let status = client.answer().0.status();
    let line = edge.await_log("its line", |line| line["event"] == "request");
    assert_eq!(line["status"], status);
    assert!(line["target"].as_str().is_some_and(|t| t.len() <= 512), "{line}");
    assert!(edge.log().iter().all(|line| line["event"] != "forged"));
}

#[test]
fn the_access_log_can_be_switched_off_for_a_domain() {
    let origin = Origin::answering("ok");
    let quiet = DomainFile::to("b.test", &origin).set("access_log", "enabled = false");
    let edge = Edge::builder().domain(DomainFile::to("a.test", &origin)).domain(quiet).start();
    for host in ["b.test", "a.test"] {
        let mut client = edge.connect();
        client.send(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        client.answer();
    }
    edge.await_log("the one that is logged", |line| line["domain"] == "a.test");
    assert!(edge.log().iter().all(|line| line["domain"] != "b.test"));
}

#[test]
fn conns_lists_what_is_connected() {
    let (one, two) = (Origin::bind(), Origin::bind());
    let edge = Edge::builder()
        .workers(2)
        .domain(DomainFile::to("a.test", &one))
        .domain(DomainFile::to("b.test", &two))
        .start();
    let mut first = Tunnel::open(&edge, &one, "a.test");
    let _second = Tunnel::open(&edge, &two, "b.test");
    first.check();
    let rows = edge.conns();
    assert_eq!(rows.len(), 2, "{rows:?}");
    let row = rows.iter().find(|row| row["domain"] == "a.test").expect("a row");
    assert_eq!(row["client"], first.client.local().to_string());
    assert_eq!(row["origin"], one.addr.to_string());
    assert_eq!(row["state"], "open");
    assert_eq!((&row["messages_in"], &row["messages_out"]), (&1.into(), &1.into()));
    for name in ["id", "age_ms", "idle_ms", "bytes_in", "bytes_out"] {
        assert!(!row[name].is_null(), "{name} in {row}");
    }
    let text = edge.hawser_done(&["conns", "--domain", "b.test"]);
    assert!(text.contains("b.test") && !text.contains("a.test"), "{text}");
    let none = edge.hawser_done(&["conns", "--ip", "192.0.2.1", "--json"]);
    assert!(!none.contains("a.test"), "{none}");
    let by_origin = edge.hawser_done(&["conns", "--origin", &one.addr.to_string(), "--json"]);
    assert!(by_origin.contains("a.test") && !by_origin.contains("b.test"), "{by_origin}");
}

#[test]
fn conns_can_be_watched() {
    let (origin, edge) = Edge::and_origin();
    let mut watching = edge.hawser_going_on(&["conns", "--watch"]);
    watching.says("no tunnels");
    let tunnel = Tunnel::open(&edge, &origin, "a.test");
    watching.says(&tunnel.client.local().to_string());
    drop(tunnel);
    watching.says("no tunnels");
}

#[test]
fn the_state_of_a_half_closed_tunnel_is_shown() {
    let (origin, edge) = Edge::and_origin();
    let mut tunnel = Tunnel::open(&edge, &origin, "a.test");
    tunnel.client.finish();
    tunnel.origin.ends();
    assert_eq!(edge.conns()[0]["state"], "half_closed");
}

#[test]
fn kill_by_id_closes_that_one() {
    let origin = Origin::bind();
    let edge = Edge::builder().workers(2).domain(DomainFile::to("a.test", &origin)).start();
    let goes = Tunnel::open(&edge, &origin, "a.test");
    let mut stays: Vec<_> = (0..5).map(|_| Tunnel::open(&edge, &origin, "a.test")).collect();
    let from = goes.client.local().to_string();
    let rows = edge.conns();
    let row = rows.iter().find(|row| row["client"] == from.as_str()).expect("a row");
    edge.hawser_done(&["kill", row["id"].as_str().expect("an id"), "--code", "4001"]);
    goes.closed_by_edge(4001, 4001);
    stays.iter_mut().for_each(Tunnel::check);
    let line = edge.await_log("the end", |line| line["cause"] == "killed");
    assert_eq!((&line["id"], &line["close_code"]), (&row["id"], &4001.into()));
}

#[test]
fn kill_by_domain_address_and_origin() {
    let (one, two) = (Origin::bind(), Origin::bind());
    let edge = Edge::builder()
        .workers(2)
        .domain(DomainFile::to("a.test", &one))
        .domain(DomainFile::to("b.test", &two))
        .start();
    let two_addr = two.addr.to_string();
    for (what, code) in [
        (["--domain", "b.test"], 1012),
        (["--origin", &two_addr], 1012),
        (["--ip", "127.0.0.1"], 1012),
    ] {
        let mut stays = Tunnel::open(&edge, &one, "a.test");
        let goes: Vec<_> = (0..3).map(|_| Tunnel::open(&edge, &two, "b.test")).collect();
        edge.hawser_done(&[&["kill"][..], &what].concat());
        for tunnel in goes {
            tunnel.closed_by_edge(code, code);
        }
        if what[0] == "--ip" {
            stays.closed_by_edge(code, code);
        } else {
            stays.check();
            edge.hawser_done(&["kill", "--domain", "a.test"]);
            stays.closed_by_edge(code, code);
        }
        eventually("nothing is left", || edge.conns().is_empty().then_some(()));
    }
}

#[test]
fn kill_can_be_paced_and_says_why() {
    let (origin, edge) = Edge::and_origin();
    let tunnels: Vec<_> = (0..6).map(|_| Tunnel::open(&edge, &origin, "a.test")).collect();
    let started = Instant::now();
    let said = edge.hawser_done(&[
        "kill",
        "--domain",
        "a.test",
        "--rate",
        "4",
        "--code",
        "1013",
        "--reason",
        "try later",
    ]);
    assert!(said.contains('6'), "how many: {said}");
    let ends: Vec<_> = tunnels
        .into_iter()
        .map(|mut tunnel| {
            std::thread::spawn(move || {
                let frame = tunnel.origin.frame();
                assert_eq!(frame.close_code(), Some((1013, "try later".into())));
                closes(&mut tunnel.client, 1013);
                Instant::now()
            })
        })
        .collect();
    let last = ends.into_iter().map(|t| t.join().expect("closed")).max().expect("some");
    assert!(last - started > Duration::from_millis(700), "six at four per second, at once");
}

#[test]
fn kill_without_a_match_says_so_and_bad_ids_are_refused() {
    let (origin, edge) = Edge::and_origin();
    let mut tunnel = Tunnel::open(&edge, &origin, "a.test");
    let none = edge.hawser(&["kill", "--domain", "other.test"]);
    assert_eq!(none.status.code(), Some(1), "so that a script notices");
    let said = String::from_utf8_lossy(&none.stdout);
    assert!(said.contains("0 tunnels"), "{said}");
    assert_eq!(edge.hawser(&["kill", "not-an-id"]).status.code(), Some(2));
    assert_eq!(edge.hawser(&["kill"]).status.code(), Some(2));
    tunnel.check();
}

#[test]
fn the_control_socket_is_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let (_origin, edge) = Edge::and_origin();
    let mode = std::fs::metadata(edge.dir().join("control.sock")).expect("a socket");
    assert_eq!(mode.permissions().mode() & 0o777, 0o600);
    let (status, _) = edge.control_raw("POST", "/v1/kill", Some(serde_json::json!({"x": 1})));
    assert!((400..500).contains(&status), "{status}");
    let everything = serde_json::json!({"code": 1000, "reason": ""});
    let (status, text) = edge.control_raw("POST", "/v1/kill", Some(everything));
    assert!((400..500).contains(&status), "a kill of everything by an empty filter: {text}");
}
