//! The admin listener under more than it can take: connections of clients are not touched by it,
//! and who waits without saying anything goes.
//!
//! Not here: limits of the data path (`limits`), what the API answers (`api`).

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::harness::{Api, Dcdn, Edge, Frame, OnDrop, Tunnel, Wire, eventually};

const CLIENTS: usize = 50;

/// The echo of a tunnel goes on, message by message, while fifty clients ask for statistics as fast
/// as they can.
#[test]
fn a_tunnel_does_not_feel_a_flood_of_the_api() {
    let (origin, edge) = Edge::and_origin();
    let mut tunnel = Tunnel::open(&edge, &origin, "a.test");
    let (api, dcdn) = (Api::of(&edge), Dcdn::of(&edge));
    let over = AtomicBool::new(false);
    let answers = Mutex::new(BTreeMap::<u16, u64>::new());
    std::thread::scope(|scope| {
        let _end = OnDrop(|| over.store(true, Ordering::SeqCst));
        for i in 0..CLIENTS {
            let (api, dcdn, over, answers) = (&api, &dcdn, &over, &answers);
            scope.spawn(move || {
                while !over.load(Ordering::SeqCst) {
                    let answer = match i % 3 {
                        0 => api.get("/api/v1/statistics/traffic"),
                        1 => dcdn.call("DescribeDcdnDomainWebsocketTrafficData", &[]).send(),
                        _ => api.get("/metrics"),
                    };
                    let mut answers = answers.lock().expect("unpoisoned");
                    *answers.entry(answer.status).or_default() += 1;
                }
            });
        }
        let answered = || answers.lock().expect("unpoisoned").values().sum::<u64>();
        eventually("the flood is on", || (answered() > 100).then_some(()));
        let before = answered();
        for size in (0..400).map(|i| i * 37) {
            let frame = Frame::binary(vec![0; size]).masked();
            tunnel.client.send_frame(&frame);
            assert_eq!(tunnel.origin.frame(), frame);
            let back = frame.unmasked();
            tunnel.origin.send_frame(&back);
            assert_eq!(tunnel.client.frame(), back);
        }
        Tunnel::open(&edge, &origin, "a.test").check();
        eventually("both went on side by side", || (answered() > before).then_some(()));
    });
    let answers = answers.into_inner().expect("unpoisoned");
    let known = [200, 400, 429, 503];
    assert!(answers.keys().all(|status| known.contains(status)), "{answers:?}");
    assert!(answers.contains_key(&200), "{answers:?}");
    assert_eq!(edge.admin_get("/healthz").0, 200, "and it answers when they are gone");
    assert_eq!(edge.metrics().sum("hawser_panics_total", &[]), 0.0);
}

/// Clients who begin a request and say no more hold nothing for ever, and keep nobody out.
#[test]
fn who_says_nothing_more_is_let_go() {
    let (origin, edge) = Edge::and_origin();
    let silent: Vec<Wire> = (0..70)
        .map(|i| {
            let mut wire = Wire::connect(edge.admin());
            match i % 3 {
                0 => {}
                1 => drop(wire.try_send("GET /api/v1/status HTTP/1.1\r\nHost: localhost\r\n")),
                _ => drop(wire.try_send(
                    "POST /api/v1/domains HTTP/1.1\r\nHost: localhost\r\n\
                     Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n{",
                )),
            }
            wire
        })
        .collect();
    Tunnel::open(&edge, &origin, "a.test").check();
    let api = Api::of(&edge);
    eventually("somebody with a whole request is served", || {
        let mut wire = Wire::connect(edge.admin());
        wire.try_send("GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        wire.try_head().is_ok_and(|head| head.status() == 200).then_some(())
    });
    assert_eq!(api.get("/api/v1/status").status, 200);
    drop(silent);
}

/// A body beyond the bound is refused before it was read, and the next request is served.
#[test]
fn bodies_have_a_bound() {
    let (_origin, edge) = Edge::and_origin();
    let api = Api::of(&edge);
    let huge = vec![b' '; 16 << 20];
    let answer = api.request("POST", "/api/v1/domains").body("application/json", &huge).send();
    assert_eq!(answer.status, 413, "{}", answer.text());
    let form = "application/x-www-form-urlencoded";
    let answer = Api::anonymous(&edge).request("POST", "/").body(form, &huge).send();
    assert_eq!(answer.status, 413, "{}", answer.text());
    assert!(edge.peak_resident() < 512 * 1024, "{} KiB", edge.peak_resident());
    assert_eq!(api.get("/api/v1/status").status, 200);
}
