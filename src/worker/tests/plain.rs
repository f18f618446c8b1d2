//! Requests that go to an origin and their answers: framing, streaming, keep-alive, the pool.

use super::*;

#[test]
fn keep_alive_on_both_sides() {
    let (addr, seen) = scripted("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi");
    let mut edge = edge(domain(&[addr]));
    let mut client = edge.client();
    for i in 0..3 {
        let answer = client.send(&get(&format!("/{i}"))).answer();
        assert_eq!((answer.status, answer.body.as_str()), (200, "hi"));
        let head = seen.recv_timeout(WAIT).unwrap();
        assert!(head.starts_with(&format!("GET /{i} HTTP/1.1\r\n")), "{head}");
        assert_eq!(field(&head, "host"), Some(HOST));
        assert_eq!(field(&head, "x-forwarded-for"), Some("127.0.0.1"));
        assert_eq!(edge.logged(), (200, None, format!("/{i}")));
    }
    let codes: Vec<String> = edge.stats.cores()[0]
        .domain(0)
        .requests
        .iter()
        .filter(|(_, n)| *n > 0)
        .map(|(code, n)| format!("{code}={n}"))
        .collect();
    assert_eq!(codes, ["200=3"]);
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let addr = origin(|mut peer| {
        loop {
            let head = peer.head();
            let target = head.split(' ').nth(1).unwrap().to_owned();
            peer.send(&format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{target}",
                target.len()
            ));
        }
    });
    let edge = edge(domain(&[addr]));
    let mut client = edge.client();
    client.send(&(0..20).map(|i| get(&format!("/{i}"))).collect::<String>());
    for i in 0..20 {
        assert_eq!(client.answer().body, format!("/{i}"));
    }
}

#[test]
fn chunked_both_ways_with_trailers() {
    let (addr, seen) = scripted(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
         3;ext=1\r\nabc\r\n2\r\nde\r\n0\r\nX-Sum: 5\r\n\r\n",
    );
    let edge = edge(domain(&[addr]));
    let mut client = edge.client();
    client.send(&format!(
        "POST /up HTTP/1.1\r\nHost: {HOST}\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"
    ));
    client.send("6\r\n world\r\n0\r\n\r\n");
    let answer = client.answer();
    assert_eq!(answer.body, "abcde|X-Sum: 5");
    assert!(seen.recv_timeout(WAIT).unwrap().ends_with("\r\n\r\nhello world"));
    assert_eq!(client.send(&get("/next")).answer().status, 200);
}

#[test]
fn a_large_body_streams_both_ways() {
    const LEN: usize = 5_000_000;
    let addr = origin(|mut peer| {
        let head = peer.head();
        assert_eq!(field(&head, "content-length"), Some("5000000"));
        peer.send(&format!("HTTP/1.1 200 OK\r\nContent-Length: {LEN}\r\n\r\n"));
        let mut left = LEN;
        let mut buf = vec![0; 10_000];
        while left > 0 {
            let n = peer.0.read(&mut buf).unwrap();
            peer.0.get_mut().write_all(&buf[..n]).unwrap();
            left -= n;
        }
    });
    let edge = edge(domain(&[addr]));
    let mut client = edge.client();
    let mut writer = client.0.get_ref().try_clone().unwrap();
    thread::spawn(move || {
        let head = format!("POST /echo HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: {LEN}\r\n\r\n");
        writer.write_all(head.as_bytes()).unwrap();
        let body: Vec<u8> = (0..LEN).map(|i| b'a' + (i % 23) as u8).collect();
        writer.write_all(&body).unwrap();
    });
    let answer = client.answer();
    assert_eq!(answer.body.len(), LEN);
    assert!(answer.body.bytes().enumerate().all(|(i, byte)| byte == b'a' + (i % 23) as u8));
}

#[test]
fn max_forwards_ends_at_the_edge_or_counts_down_rfc9110_7_6_2() {
    let (addr, seen) = scripted("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\norigin");
    let mut edge = edge(domain(&[addr]));
    let mut client = edge.client();
    for (hops, from_origin) in [("0", None), ("1", Some("0")), ("00", None)] {
        client.send(&format!("OPTIONS * HTTP/1.1\r\nHost: {HOST}\r\nMax-Forwards: {hops}\r\n\r\n"));
        let answer = client.answer();
        assert_eq!(answer.status, 200);
        assert_eq!(answer.body == "origin", from_origin.is_some(), "{answer:?}");
        assert_eq!(field(&answer.head, "allow").is_some(), from_origin.is_none());
        let head = seen.try_recv().ok();
        assert_eq!(head.as_deref().and_then(|head| field(head, "max-forwards")), from_origin);
        assert_eq!(edge.logged(), (200, None, "*".into()));
    }
}

#[test]
fn head_204_and_304_have_no_body() {
    for (method, answer) in [
        ("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n"),
        ("GET", "HTTP/1.1 204 No Content\r\n\r\n"),
        ("GET", "HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\n\r\n"),
    ] {
        let (addr, _seen) = scripted(answer);
        let edge = edge(domain(&[addr]));
        let mut client = edge.client();
        for _ in 0..2 {
            client.send(&format!("{method} / HTTP/1.1\r\nHost: {HOST}\r\n\r\n"));
            let head = client.head();
            assert_eq!(head.split(' ').nth(1), answer.split(' ').nth(1), "{head}");
        }
    }
}

#[test]
fn http_1_0_gets_an_unframed_body_and_a_close() {
    let (addr, _seen) =
        scripted("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
    let edge = edge(domain(&[addr]));
    let mut client = edge.client();
    client.send(&format!("GET / HTTP/1.0\r\nHost: {HOST}\r\n\r\n"));
    let head = client.head();
    assert_eq!(field(&head, "transfer-encoding"), None);
    assert_eq!(client.rest(), "abc");
}

#[test]
fn a_body_until_close_becomes_chunked() {
    let addr = origin(|mut peer| {
        peer.head();
        peer.send("HTTP/1.1 200 OK\r\n\r\nall of it");
    });
    let edge = edge(domain(&[addr]));
    let mut client = edge.client();
    for _ in 0..2 {
        assert_eq!(client.send(&get("/")).answer().body, "all of it");
    }
}

#[test]
fn interim_answers_and_expect_pass_end_to_end() {
    let addr = origin(|mut peer| {
        let head = peer.head();
        assert_eq!(field(&head, "expect"), Some("100-continue"));
        peer.send("HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n");
        let body = peer.exactly(4);
        peer.send(&format!("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n{body}"));
    });
    let edge = edge(domain(&[addr]));
    let mut client = edge.client();
    client.send(&format!(
        "PUT / HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n"
    ));
    assert!(client.head().starts_with("HTTP/1.1 103"));
    assert!(client.head().starts_with("HTTP/1.1 100"));
    assert_eq!(client.send("body").answer().body, "body");
}

#[test]
fn an_early_answer_reaches_the_client_while_its_body_still_flows() {
    let addr = origin(|mut peer| {
        peer.head();
        peer.send(
            "HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nno!",
        );
    });
    let mut edge = edge(domain(&[addr]));
    let mut client = edge.client();
    client.send(&format!("POST /big HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 1000000\r\n\r\n"));
    client.send(&"x".repeat(1000));
    let answer = client.answer();
    assert_eq!((answer.status, answer.body.as_str()), (413, "no!"));
    assert_eq!(field(&answer.head, "connection"), Some("close"));
    assert!(client.ended());
    assert_eq!(edge.logged(), (413, None, "/big".into()));
}

#[test]
fn a_stale_pooled_connection_is_replaced() {
    // Answers once, then closes as soon as the next request comes: what a server at its keep-alive
    // limit does.
    let addr = origin(|mut peer| {
        peer.head();
        peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        let _ = peer.0.fill_buf();
    });
    let edge = edge(domain(&[addr]));
    let mut client = edge.client();
    for _ in 0..3 {
        assert_eq!(client.send(&get("/")).answer().body, "ok");
    }
    // RFC 9110 9.2.2: a POST is not sent twice.
    client.send(&format!("POST / HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 0\r\n\r\n"));
    assert_eq!(client.answer().status, 502);
}

#[test]
fn every_address_is_tried() {
    let (addr, _seen) = scripted("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let edge = edge(domain(&[refused_port(), refused_port(), addr]));
    assert_eq!(edge.client().send(&get("/")).answer().status, 200);
}

#[test]
fn an_origin_is_let_go_when_its_client_goes() {
    let (gone, told) = channel();
    let gone = std::sync::Mutex::new(gone);
    let addr = origin(move |mut peer| {
        let head = peer.head();
        if head.starts_with("GET /stream") {
            peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n");
        }
        // Only the edge's closing ends this read.
        assert_eq!(peer.0.read(&mut [0]).unwrap_or(0), 0);
        gone.lock().unwrap().send(head).unwrap();
    });
    let mut edge = edge(domain(&[addr]));
    for target in ["/answerless", "/stream"] {
        let mut client = edge.client();
        client.send(&get(target));
        if target == "/stream" {
            client.head();
        }
        drop(client);
        assert!(told.recv_timeout(WAIT).unwrap().contains(target));
        assert_eq!(edge.logged().1, Some(Refusal::ClientClosed));
    }
}

#[test]
fn one_origin_connection_serves_many_requests() {
    let (accepted, count) = channel();
    let accepted = std::sync::Mutex::new(accepted);
    let addr = origin(move |mut peer| {
        accepted.lock().unwrap().send(()).unwrap();
        loop {
            peer.head();
            peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
    });
    let edge = edge(domain(&[addr]));
    for _ in 0..5 {
        let mut client = edge.client();
        for _ in 0..5 {
            assert_eq!(client.send(&get("/")).answer().status, 200);
        }
    }
    assert_eq!(count.try_iter().count(), 1);
}

#[test]
fn bytes_behind_an_answer_are_never_the_next_one() {
    let addr = origin(|mut peer| {
        peer.head();
        peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n");
        peer.send("Content-Length: 4\r\n\r\nevil");
        assert_eq!(peer.0.read(&mut [0]).unwrap_or(0), 0);
    });
    let edge = edge(domain(&[addr]));
    let mut client = edge.client();
    for _ in 0..3 {
        assert_eq!(client.send(&get("/")).answer().body, "ok");
    }
}

#[test]
fn a_cut_body_that_only_the_end_delimits_ends_in_a_reset() {
    let (cut, go) = channel();
    let go = std::sync::Mutex::new(go);
    let addr = origin(move |mut peer| {
        peer.head();
        peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
        go.lock().unwrap().recv().unwrap();
    });
    let edge = edge(domain(&[addr]));
    let mut client = edge.client();
    client.send(&format!("GET / HTTP/1.0\r\nHost: {HOST}\r\n\r\n"));
    client.head();
    assert_eq!(client.exactly(3), "abc");
    cut.send(()).unwrap();
    let error = client.0.read(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
}

/// An origin whose answer is longer than any socket buffer.
fn pouring() -> SocketAddr {
    origin(|mut peer| {
        peer.head();
        peer.send("HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n");
        let piece = vec![b'x'; 1 << 20];
        while peer.0.get_mut().write_all(&piece).is_ok() {}
    })
}

#[test]
fn a_client_that_stops_reading_holds_nothing_up_for_long() {
    let mut slow = domain(&[pouring()]);
    slow.http.body_timeout = Duration::from_millis(200);
    let mut edge = edge(slow);
    let mut client = edge.client();
    client.send(&get("/"));
    assert_eq!(edge.logged().1, Some(Refusal::BodyTimeout));
}

#[test]
fn a_body_that_trickles_is_answered_408() {
    let (addr, _seen) = scripted("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let mut impatient = domain(&[addr]);
    impatient.http.body_timeout = Duration::from_millis(300);
    let mut edge = edge(impatient);
    let framed = ["Content-Length: 100000", "Transfer-Encoding: chunked"];
    for (framing, piece) in framed.into_iter().zip(["x", "1\r\nx\r\n"]) {
        let mut client = edge.client();
        client.send(&format!("POST / HTTP/1.1\r\nHost: {HOST}\r\n{framing}\r\n\r\n"));
        // Each pause between two bytes is well within the timeout.
        client.0.get_ref().set_read_timeout(Some(Duration::from_millis(30))).unwrap();
        let begun = Instant::now();
        while client.0.fill_buf().is_err_and(|e| e.kind() == ErrorKind::WouldBlock) {
            assert!(begun.elapsed() < WAIT, "it may trickle for ever");
            client.send(piece);
        }
        assert_eq!(client.answer().status, 408, "{framing}");
        assert_eq!(edge.logged().1, Some(Refusal::BodyTimeout));
    }
}

#[test]
fn a_slow_body_that_moves_enough_in_each_window_passes() {
    let (addr, seen) = scripted("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let mut impatient = domain(&[addr]);
    impatient.http.body_timeout = Duration::from_millis(1000);
    let edge = edge(impatient);
    let mut client = edge.client();
    let piece = "x".repeat(limits::BODY_WINDOW_BYTES_MIN as usize);
    let (pieces, last) = (6, 10);
    let len = pieces * piece.len() + last;
    client.send(&format!("POST / HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: {len}\r\n\r\n"));
    for _ in 0..pieces {
        thread::sleep(Duration::from_millis(200));
        client.send(&piece);
    }
    client.send(&"x".repeat(last));
    assert_eq!(client.answer().status, 200);
    assert!(seen.recv_timeout(WAIT).unwrap().ends_with(&piece));
}

#[test]
fn a_client_that_reads_a_little_now_and_then_is_given_up() {
    let mut slow = domain(&[pouring()]);
    slow.http.body_timeout = Duration::from_millis(300);
    let mut edge = edge(slow);
    let mut client = edge.client();
    client.send(&get("/"));
    let begun = Instant::now();
    let given_up = loop {
        assert!(begun.elapsed() < WAIT, "it may read slowly for ever");
        match edge.events.pop() {
            Ok(Event::Request(request)) => break request.refusal.map(|(why, _)| why),
            Ok(other) => panic!("{other:?}"),
            Err(_) => {
                client.0.get_mut().read_exact(&mut [0; 50]).unwrap();
                thread::sleep(Duration::from_millis(20));
            }
        }
    };
    assert_eq!(given_up, Some(Refusal::BodyTimeout));
}

#[test]
fn an_origin_may_trickle_events() {
    let addr = origin(|mut peer| {
        peer.head();
        peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        for _ in 0..8 {
            peer.send("1\r\nx\r\n");
            thread::sleep(Duration::from_millis(100));
        }
        peer.send("0\r\n\r\n");
    });
    let mut patient = domain(&[addr]);
    patient.http.body_timeout = Duration::from_millis(500);
    let edge = edge(patient);
    assert_eq!(edge.client().send(&get("/")).answer().body, "xxxxxxxx");
}

#[test]
fn a_body_that_does_not_come_is_answered_408() {
    let (addr, _seen) = scripted("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let mut impatient = domain(&[addr]);
    impatient.http.body_timeout = Duration::from_millis(100);
    let mut edge = edge(impatient);
    let mut client = edge.client();
    client.send(&format!("POST / HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 10\r\n\r\nabc"));
    assert_eq!(client.answer().status, 408);
    assert!(client.ended());
    assert_eq!(edge.logged().1, Some(Refusal::BodyTimeout));
}

#[test]
fn a_trusted_proxy_is_believed_and_others_are_not() {
    for (trusted, forwarded) in [(true, "192.0.2.9, 127.0.0.1"), (false, "127.0.0.1")] {
        let (addr, seen) = scripted("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        let mut http = Http::default();
        if trusted {
            http.trusted_proxies = Arc::new(["127.0.0.0/8".parse().unwrap()]);
        }
        let edge = edge_with(domain(&[addr]), http);
        let mut client = edge.client();
        client.send(&format!(
            "GET / HTTP/1.1\r\nHost: {HOST}\r\nX-Forwarded-For: 192.0.2.9\r\n\
             X-Request-Id: mine\r\n\r\n"
        ));
        let answer = client.answer();
        let head = seen.recv_timeout(WAIT).unwrap();
        assert_eq!(field(&head, "x-forwarded-for"), Some(forwarded));
        assert_eq!(field(&head, "x-request-id") == Some("mine"), trusted);
        assert_eq!(field(&head, "x-request-id"), field(&answer.head, "x-request-id"));
    }
}
