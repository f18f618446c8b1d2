//! What the edge answers itself, to clients and for origins that fail.

use super::*;

#[test]
fn what_the_edge_answers_itself() {
    let (addr, _seen) = scripted("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let mut limited = domain(&[addr]);
    limited.http.max_body = 10;
    let mut edge = edge(limited);
    let cases = [
        ("GET / HTTP/1.1\r\nHost: other.example.com\r\n\r\n", Refusal::UnknownDomain),
        ("GET / HTTP/1.1\r\n\r\n", Refusal::BadRequest),
        ("BAD\r\n\r\n", Refusal::BadRequest),
        (
            "CONNECT live.example.com:443 HTTP/1.1\r\nHost: live.example.com:443\r\n\r\n",
            Refusal::Method,
        ),
        (
            "POST / HTTP/1.1\r\nHost: live.example.com\r\nContent-Length: 11\r\n\r\n",
            Refusal::BodyTooLarge,
        ),
        (
            "POST / HTTP/1.1\r\nHost: live.example.com\r\nTransfer-Encoding: chunked\r\n\r\n\
             b\r\n12345678901\r\n0\r\n\r\n",
            Refusal::BodyTooLarge,
        ),
        (
            "POST / HTTP/1.1\r\nHost: live.example.com\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            Refusal::BadRequest,
        ),
    ];
    for (request, refusal) in cases {
        let mut client = edge.client();
        let answer = client.send(request).answer();
        assert_eq!(answer.status, refusal.status(), "{request:?}: {answer:?}");
        assert!(field(&answer.head, "date").is_some_and(|date| date.ends_with(" GMT")));
        assert!(answer.body.starts_with(refusal.name()), "{answer:?}");
        assert_eq!(edge.logged().1, Some(refusal), "{request:?}");
    }
}

#[test]
fn a_client_lives_on_after_a_refusal_without_a_body() {
    let edge = edge(domain(&[refused_port()]));
    let mut client = edge.client();
    for _ in 0..2 {
        let answer = client.send(&get("/")).answer();
        assert_eq!(answer.status, 502);
        assert!(answer.body.starts_with("origin_refused: "), "{answer:?}");
    }
}

#[test]
fn no_origin_that_is_up() {
    let dead = domain(&[refused_port()]);
    dead.origins[0].endpoints[0].state.set_up(false);
    let edge = edge(dead);
    let answer = edge.client().send(&get("/")).answer();
    assert_eq!(answer.status, 503);
    assert_eq!(field(&answer.head, "retry-after"), Some("5"));
}

#[test]
fn a_slow_head_is_answered_408_and_a_silent_connection_is_closed() {
    let (addr, _seen) = scripted("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let http = Http { head_timeout: Duration::from_millis(100), ..Http::default() };
    let mut edge = edge_with(domain(&[addr]), http);
    let answer = edge.client().send("GET / HTTP/1.1\r\nHos").answer();
    assert_eq!(answer.status, 408);
    assert_eq!(edge.logged().1, Some(Refusal::HeadTimeout));
    assert!(edge.client().ended());
}

#[test]
fn bad_or_missing_answers_of_an_origin() {
    let cases = [
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            502,
            Refusal::OriginAnswer,
        ),
        ("nonsense\r\n\r\n", 502, Refusal::OriginAnswer),
        (
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n",
            502,
            Refusal::OriginAnswer,
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n",
            502,
            Refusal::OriginAnswer,
        ),
        ("", 502, Refusal::OriginClosed),
        ("HTTP/1.1 2", 502, Refusal::OriginClosed),
    ];
    for (text, status, refusal) in cases {
        let addr = origin(move |mut peer| {
            peer.head();
            peer.send(text);
        });
        let mut edge = edge(domain(&[addr]));
        let answer = edge.client().send(&get("/")).answer();
        assert_eq!(answer.status, status, "{text:?}");
        assert_eq!(edge.logged().1, Some(refusal), "{text:?}");
    }
}

#[test]
fn an_answer_cut_short_is_never_taken_for_a_whole_one() {
    let cases = [
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
    ];
    for text in cases {
        let addr = origin(move |mut peer| {
            peer.head();
            peer.send(text);
        });
        let mut edge = edge(domain(&[addr]));
        let mut client = edge.client();
        client.send(&get("/"));
        let head = client.head();
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        let rest = client.rest();
        assert!(!rest.contains("0\r\n\r\n") && rest.len() < 10, "{rest:?}");
        assert!(edge.logged().1.is_some());
    }
}

#[test]
fn an_origin_too_slow_is_504() {
    let addr = origin(|mut peer| {
        peer.head();
        let _ = peer.0.fill_buf();
    });
    let mut slow = domain(&[addr]);
    slow.http.response_timeout = Duration::from_millis(100);
    let edge = edge(slow);
    assert_eq!(edge.client().send(&get("/")).answer().status, 504);
}

#[test]
fn proxy_protocol_in_and_out() {
    let (addr, seen) = scripted("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let mut proxied = domain(&[addr]);
    proxied.http.send_proxy = SendProxy::V1;
    let http = Http {
        proxy_protocol: crate::snapshot::ProxyProtocol::Any,
        trusted_proxies: Arc::new(["127.0.0.1".parse().unwrap()]),
        ..Http::default()
    };
    let edge_ = edge_with(proxied, http);
    let mut client = edge_.client();
    client.send("PROXY TCP4 192.0.2.7 198.51.100.1 4711 80\r\n").send(&get("/"));
    let _ = seen.recv_timeout(WAIT);
    drop(client);

    let echo = origin(|mut peer| {
        let mut line = String::new();
        peer.0.read_line(&mut line).unwrap();
        let head = peer.head();
        let body = format!("{line}{}", field(&head, "x-forwarded-for").unwrap());
        peer.send(&format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
    });
    let mut proxied = domain(&[echo]);
    proxied.http.send_proxy = SendProxy::V1;
    let http = Http {
        proxy_protocol: crate::snapshot::ProxyProtocol::Any,
        trusted_proxies: Arc::new(["127.0.0.1".parse().unwrap()]),
        ..Http::default()
    };
    let edge = edge_with(proxied, http);
    let mut client = edge.client();
    client.send("PROXY TCP4 192.0.2.7 198.51.100.1 4711 80\r\n").send(&get("/"));
    assert_eq!(client.answer().body, "PROXY TCP4 192.0.2.7 198.51.100.1 4711 80\r\n192.0.2.7");
    assert!(edge.client().send(&get("/")).ended());
    assert_eq!(edge.stats.cores()[0].core.refused[Refusal::ProxyHeader as usize].value(), 1);
}

#[test]
fn address_lists() {
    use crate::snapshot::domain::Access;
    let list = |text: &str| Box::new([text.parse().unwrap()]) as Box<[_]>;
    let cases = [
        (Access { allow: list("127.0.0.0/8"), deny: list("127.0.0.1") }, 403),
        (Access { allow: list("192.0.2.0/24"), deny: Box::default() }, 403),
        (Access { allow: list("127.0.0.1"), deny: Box::default() }, 200),
    ];
    for (access, status) in cases {
        let (addr, _seen) = scripted("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        let edge = edge(Domain { access, ..domain(&[addr]) });
        assert_eq!(edge.client().send(&get("/")).answer().status, status);
    }
}

#[test]
fn challenges_are_answered_for_every_domain_rfc8555_8_3() {
    let (addr, seen) = scripted("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\norigin");
    let mut private = domain(&[addr]);
    private.access.deny = ["127.0.0.0/8".parse().unwrap()].into();
    let snapshot = Snapshot {
        hosts: Hosts::new(
            [private, Domain { name: "open.example.com".into(), ..domain(&[addr]) }].map(Arc::new),
        ),
        http_challenges: [("t0ken".into(), "t0ken.thumb".into())].into(),
        ..Snapshot::default()
    };
    let edge = edge_of(Transport::Plain, snapshot);
    let mut client = edge.client();
    for host in [HOST, "open.example.com"] {
        let ask = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n");
        let answer = client.send(&ask("/.well-known/acme-challenge/t0ken")).answer();
        assert_eq!((answer.status, answer.body.as_str()), (200, "t0ken.thumb\n"));
        assert!(field(&answer.head, "content-type").unwrap().starts_with("text/plain"));
        assert_eq!(field(&answer.head, "allow"), None);
    }
    let target = "/.well-known/acme-challenge/other";
    client.send(&format!("GET {target} HTTP/1.1\r\nHost: open.example.com\r\n\r\n"));
    assert_eq!(client.answer().body, "origin");
    assert!(seen.recv_timeout(WAIT).unwrap().starts_with(&format!("GET {target} ")));
    client.send("GET /.well-known/acme-challenge/t0ken HTTP/1.1\r\nHost: b.example.com\r\n\r\n");
    assert_eq!(client.answer().status, 421);
}
