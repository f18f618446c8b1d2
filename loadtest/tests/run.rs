//! `hawser-loadtest run` as a process: every scenario against an origin of its own, where nothing
//! may be found, and against origins that misbehave, where everything has to be. Not here: figures;
//! no time is judged but by its order.

#[path = "run/strange.rs"]
mod strange;

use std::io::Read as _;
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::Value;
use tungstenite::Message;
use tungstenite::protocol::CloseFrame;
use tungstenite::protocol::frame::coding::CloseCode;

use strange::{Origin, Ran, command, run, until_end};

#[test]
fn every_scenario_finds_nothing_wrong_with_its_own_origin() {
    for (scenario, options, figure, least) in [
        ("idle", "--connections 200 --duration 100ms --processes 2", "/totals/received", 200),
        ("ping-pong", "--connections 10 --duration 200ms", "/totals/received", 10),
        ("ping-pong", "--connections 10 --rates 100,200 --duration 300ms", "/steps/1/received", 10),
        ("push", "--connections 10 --interval 20ms --duration 300ms", "/totals/pushed", 10),
        ("stream", "--bytes 5000000 --connections 2", "/totals/received_bytes", 10_000_000),
        ("churn", "--connections 4 --duration 200ms", "/steps/0/made", 4),
        ("churn", "--rate 100 --bytes 64 --duration 200ms", "/steps/0/made", 10),
        ("herd", "--connections 100 --processes 2", "/steps/0/open", 100),
        ("slow-readers", "--connections 5 --duration 200ms", "/steps/1/readers_open", 5),
        ("http", "--rate 200 --duration 200ms --bytes 100000", "/totals/received", 20),
        ("http", "--connections 4 --duration 200ms --bytes 0", "/totals/received", 4),
    ] {
        let ran = run(scenario, options);
        let case = format!("{scenario} {options}: {}", ran.said);
        assert_eq!(ran.code, Some(0), "{case}");
        assert_eq!(ran.json["passed"], true, "{case}");
        assert!(ran.said.contains("nothing was lost or wrong"), "{case}");
        let seen = ran.json.pointer(figure).and_then(Value::as_u64);
        assert!(seen >= Some(least), "{figure} is {seen:?}: {case}");
        for sum in ["lost", "unsent", "repeated", "unasked", "wrong_bytes", "protocol_errors"] {
            assert_eq!(ran.json["totals"][sum], 0, "{sum}: {case}");
        }
    }
}

#[test]
fn messages_that_are_lost_changed_or_doubled_are_found() {
    type Answers = fn(usize, Vec<u8>) -> Vec<Vec<u8>>;
    let lose: Answers = |n, message| if n == 2 { vec![] } else { vec![message] };
    let change: Answers = |n, mut message| {
        message[40] ^= u8::from(n == 2);
        vec![message]
    };
    let cut: Answers = |_, message| vec![message[..60].to_vec()];
    let double: Answers = |_, message| vec![message.clone(), message];
    for (answers, scenario, figure, count, named) in [
        (lose, "ping-pong", "lost", 1, "1 messages were lost"),
        (change, "ping-pong", "wrong_bytes", 1, "1 bytes were wrong"),
        // One message on each connection, so that its double cannot be taken for the next.
        (cut, "idle", "wrong_bytes", 4, "4 bytes were wrong"),
        (double, "idle", "unasked", 1, "1 messages came that nobody asked for"),
    ] {
        let origin = Origin::echoing(answers);
        let options = "--connections 1 --duration 200ms --drain 500ms --target";
        let ran = run(scenario, &format!("{options} {}", origin.url()));
        assert_eq!(ran.code, Some(1), "{named}: {}", ran.said);
        assert_eq!(ran.json["totals"][figure], count, "{named}: {}", ran.said);
        assert!(ran.wrong().contains(named), "{named}: {}", ran.wrong());
    }
}

#[test]
fn pushes_that_are_repeated_or_left_out_are_found() {
    let origin = Origin::upgraded(|socket| {
        for number in [7_u64, 8, 8, 9, 12] {
            let message = [number.to_le_bytes(), 0_u64.to_le_bytes()].concat();
            let _ = socket.send(Message::binary(message));
        }
    });
    let options = "--connections 1 --bytes 16 --duration 300ms --target";
    let ran = run("push", &format!("{options} {}/push", origin.url()));
    let totals = &ran.json["totals"];
    assert_eq!(ran.code, Some(1), "{}", ran.said);
    assert_eq!(
        (&totals["pushed"], &totals["repeated"], &totals["lost"]),
        (&5.into(), &1.into(), &2.into())
    );
    let silent = Origin::upgraded(until_end);
    let ran = run("push", &format!("{options} {}/push", silent.url()));
    assert!(ran.code == Some(1) && ran.wrong().contains("nothing was pushed"), "{}", ran.said);
}

#[test]
fn pushes_behind_the_last_that_came_are_found_by_what_the_origin_counted() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let addr = listener.local_addr().expect("it is bound");
    drop(listener);
    let relay = Origin::upgraded(move |socket| {
        let url = format!("ws://{addr}/push?bytes=16&interval_ms=10");
        let (mut origin, _) = tungstenite::connect(url).expect("the origin of the run listens");
        for _ in 0..3 {
            let message = origin.read().expect("it pushes");
            socket.send(message).expect("the client listens");
        }
        until_end(socket);
    });
    let options = "--connections 1 --bytes 16 --duration 300ms --drain 1s";
    let ran = run("push", &format!("{options} --origin {addr} --target {}", relay.url()));
    assert_eq!(ran.code, Some(1), "{}", ran.said);
    assert_eq!(ran.json["totals"]["pushed"], 3, "{}", ran.said);
    assert!(ran.wrong().contains("were pushed and never came"), "{}", ran.wrong());
}

#[test]
fn what_ends_a_connection_has_a_name_and_somebody_at_fault() {
    let closing = Origin::upgraded(|socket| {
        let _ = socket.read();
        let frame = CloseFrame { code: CloseCode::Error, reason: "no".into() };
        let _ = socket.close(Some(frame));
    });
    let vanishing = Origin::plain(|stream| {
        if let Ok(mut socket) = tungstenite::accept(stream) {
            let _ = socket.read();
        }
    });
    let nobody = {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        format!("ws://{}", listener.local_addr().expect("it is bound"))
    };
    let forbidden = Origin::http("HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n");
    let busy = Origin::http("HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n");
    let another = Origin::http("220 mail.test ESMTP\r\n\r\n");
    for (url, scenario, kind, fault) in [
        (closing.url(), "ping-pong", "closed-1011", "target"),
        (vanishing.url(), "ping-pong", "ended", "target"),
        (nobody, "ping-pong", "refused", "target"),
        (forbidden.url(), "idle", "status-403", "target"),
        (busy.url(), "idle", "status-503", "behind-target"),
        (busy.url(), "http", "status-503", "behind-target"),
        (another.url(), "herd", "bad-answer", "target"),
    ] {
        let options = "--connections 1 --duration 200ms --drain 500ms --target";
        let ran = run(scenario, &format!("{options} {url}"));
        let error = &ran.json["errors"][kind];
        assert_eq!(ran.code, Some(1), "{kind}: {}", ran.said);
        assert!(error["count"].as_u64() >= Some(1), "{kind}: {}", ran.json["errors"]);
        assert_eq!(error["fault"], fault, "{kind}");
        assert!(ran.wrong().contains(kind), "{kind}: {}", ran.wrong());
    }
}

#[test]
fn bodies_are_checked_and_connections_that_servers_end_are_made_again() {
    let other = Origin::http("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nxyz");
    let options = "--connections 1 --bytes 3 --rate 10 --duration 250ms --target";
    let ran = run("http", &format!("{options} {}", other.url()));
    assert_eq!(ran.code, Some(1), "{}", ran.said);
    assert!(ran.json["totals"]["wrong_bytes"].as_u64() >= Some(3), "{}", ran.said);
    // With a path of the target's own, nobody can know what its bodies are.
    let ending =
        Origin::http("HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nxyz");
    let ran = run("http", &format!("{options} {}/page", ending.url()));
    assert_eq!(ran.code, Some(0), "{}", ran.said);
    let made_again = ran.json["closed"]["1000"].as_u64();
    assert!(made_again >= Some(2), "{}", ran.said);
}

#[test]
fn a_stall_is_in_the_latency_of_all_that_was_due_meanwhile() {
    let origin = Origin::echoing(|n, message| {
        if n == 20 {
            thread::sleep(Duration::from_millis(300));
        }
        vec![message]
    });
    let options = "--connections 1 --rate 200 --duration 1s --target";
    let ran = run("ping-pong", &format!("{options} {}", origin.url()));
    assert_eq!(ran.code, Some(0), "{}", ran.said);
    let step = &ran.json["steps"][0];
    let us = |times: &str, quantile: &str| step[times][quantile].as_f64().expect("a time");
    assert_eq!((&step["received"], &step["unsent"]), (&step["scheduled"], &0.into()));
    // Forty messages fell due while two thirds of the stall were still to come: more than a tenth.
    // One was under way, so one alone was served slowly.
    for quantile in ["p90", "p99", "max"] {
        assert!(us("latency", quantile) >= 100_000.0, "{quantile}: {}", ran.said);
    }
    assert!(us("service", "p90") < us("latency", "p90"), "{}", ran.said);
    assert!(us("service", "max") >= 300_000.0, "{}", ran.said);
}

#[test]
fn connections_come_from_all_sources_of_all_processes() {
    let origin = Origin::echoing(|_, message| vec![message]);
    let options = "--connections 8 --sources 127.0.0.2-127.0.0.5 --processes 2 --duration 50ms";
    let ran = run("ping-pong", &format!("{options} --target {}", origin.url()));
    assert_eq!(ran.code, Some(0), "{}", ran.said);
    let peers = origin.peers.lock().expect("nobody panics with it");
    let peers: Vec<String> = peers.iter().map(ToString::to_string).collect();
    assert_eq!(peers, ["127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.5"]);
}

#[test]
fn ctrl_c_ends_a_run_in_order_and_shows_what_was_measured() {
    let (send, first_message) = mpsc::sync_channel(1);
    let send = Mutex::new(Some(send));
    let origin = Origin::upgraded(move |socket| {
        while let Ok(message @ Message::Binary(_)) = socket.read() {
            if let Some(send) = send.lock().expect("nobody panics with it").take() {
                let _ = send.send(());
            }
            if socket.send(message).is_err() {
                return;
            }
        }
    });
    let options = format!("--connections 3 --duration 1h --target {}", origin.url());
    let mut command = command("ping-pong", &options);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().expect("the generator starts");
    first_message.recv().expect("messages go back and forth");
    let id = child.id().to_string();
    assert!(Command::new("kill").args(["-s", "INT", &id]).status().expect("kill").success());
    let ran = Ran::of(child.wait_with_output().expect("it ends"));
    assert_eq!(ran.code, Some(0), "{}", ran.said);
    assert_eq!(ran.json["interrupted"], true);
    assert_eq!(ran.json["closed"]["1000"], 3, "{}", ran.said);
    assert!(ran.json["steps"][0]["received"].as_u64() >= Some(1), "{}", ran.said);
}

#[test]
fn what_cannot_run_says_why_and_what_to_do() {
    for (options, named) in [
        ("--target ws://203.0.113.7:80", "--i-own-this-host"),
        ("--target wss://127.0.0.1:1", "--authority FILE"),
        ("--target tcp://127.0.0.1:1", "ws://HOST:PORT/PATH"),
        ("--rate 0", "more than 0"),
        ("--bytes 0", "at least 1"),
    ] {
        let ran = run("ping-pong", options);
        assert_eq!(ran.code, Some(2), "{options}: {}", ran.said);
        assert!(ran.said.contains(named), "{options}: {}", ran.said);
    }
}

#[test]
fn wss_is_checked_against_the_authority() {
    let key = rcgen::KeyPair::generate().expect("a key");
    let own = rcgen::CertificateParams::new(["load.test".to_owned()]).expect("a name");
    let own = own.self_signed(&key).expect("a certificate");
    let authority = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(authority.path(), own.pem()).expect("the file is written");
    let origin = secured(own.der().clone(), key.serialize_der().try_into().expect("a key"));
    let options = format!(
        "--connections 2 --duration 100ms --bytes 40000 --authority {} --target wss://{}",
        authority.path().display(),
        origin.addr
    );
    let ran = run("ping-pong", &format!("{options} --host load.test"));
    assert_eq!(ran.code, Some(0), "{}", ran.said);
    assert!(ran.json["totals"]["received"].as_u64() >= Some(2), "{}", ran.said);
    let ran = run("ping-pong", &format!("{options} --host other.test"));
    assert_eq!(ran.code, Some(1), "{}", ran.said);
    assert!(ran.json["errors"]["tls"]["count"].as_u64() >= Some(1), "{}", ran.said);
}

/// An echoing origin behind TLS.
fn secured(certificate: CertificateDer<'static>, key: PrivateKeyDer<'static>) -> Origin {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|config| config.with_no_client_auth().with_single_cert(vec![certificate], key))
        .expect("the key is the certificate's");
    let config = Arc::new(config);
    Origin::plain(move |stream| {
        let connection = ServerConnection::new(config.clone()).expect("the configuration is right");
        let mut stream = StreamOwned::new(connection, stream);
        // An empty read takes the handshake to its end.
        if stream.read(&mut []).is_err() {
            return;
        }
        let Ok(mut socket) = tungstenite::accept(stream) else { return };
        while let Ok(message @ Message::Binary(_)) = socket.read() {
            let _ = socket.send(message);
        }
        until_end(&mut socket);
        let _ = socket.get_mut().sock.shutdown(std::net::Shutdown::Write);
    })
}
