//! What crosses the edge, line by line.

use super::super::head::{parse_request, parse_response};
use super::*;

const EDGE: ToOrigin<'_> = ToOrigin {
    client: IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7)),
    scheme: Scheme::Http,
    peer: Peer::Untrusted,
    node: "edge1",
    request_id: "id1",
    host: None,
    certificate: None,
    websocket: ForwardUpgrade::Yes,
};

/// The lines that an origin gets, without those that every request gets (`ADDED`).
fn forwarded(start: &str, lines: &str, edge: &ToOrigin<'_>) -> Vec<String> {
    let head = format!("{start}\r\n{lines}\r\n");
    let request = parse_request(head.as_bytes(), Scheme::Http).unwrap();
    let mut out = Vec::new();
    write_request(&mut out, &request, edge);
    let text = String::from_utf8(out).unwrap();
    let text = text.strip_suffix("\r\n\r\n").expect("an empty line at the end");
    text.split("\r\n").map(str::to_owned).collect()
}

fn added(lines: &[String]) -> Vec<&str> {
    let names = ["X-Forwarded-", "Forwarded:", "Via:", "X-Request-Id:"];
    lines.iter().map(String::as_str).filter(|l| names.iter().any(|n| l.starts_with(n))).collect()
}

fn rest(lines: &[String]) -> Vec<&str> {
    let added = added(lines);
    lines.iter().map(String::as_str).filter(|line| !added.contains(line)).collect()
}

#[test]
fn a_plain_request() {
    let lines = forwarded(
        "GET http://A.example.:80/b?c HTTP/1.0",
        "Host: a.EXAMPLE\r\nAccept: */*\r\nX-Empty:\r\n",
        &EDGE,
    );
    assert_eq!(
        lines,
        [
            "GET /b?c HTTP/1.1",
            "Host: a.example",
            "Accept: */*",
            "X-Empty: ",
            "X-Forwarded-For: 192.0.2.7",
            "X-Forwarded-Proto: http",
            "X-Forwarded-Host: a.example",
            "Forwarded: for=192.0.2.7;host=a.example;proto=http;by=_edge1",
            "Via: 1.0 edge1",
            "X-Request-Id: id1",
        ]
    );
}

#[test]
fn hop_by_hop_rfc9110_7_6_1() {
    let lines = forwarded(
        "POST / HTTP/1.1",
        "Connection: close, X-Hop, x-other\r\nHost: a\r\nKeep-Alive: timeout=5\r\nTE: trailers\r\n\
         X-Hop: 1\r\n\
         Proxy-Connection: keep-alive\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\
         X-OTHER: 2\r\n\
         Proxy-Authorization: Basic a\r\nTrailer: X\r\nContent-Length: 005\r\nX-Kept: 3\r\n",
        &EDGE,
    );
    let kept = ["POST / HTTP/1.1", "Host: a", "X-Kept: 3", "Content-Length: 5"];
    assert_eq!(rest(&lines), [&kept[..], &["TE: trailers", "Connection: TE"]].concat());
}

#[test]
fn who_takes_trailers_rfc9110_10_1_4() {
    for (version, lines, told) in [
        ("1.1", "TE: trailers\r\nConnection: TE\r\n", true),
        ("1.1", "te: gzip;q=0.5, Trailers\r\n", true),
        ("1.1", "TE: gzip\r\n", false),
        ("1.1", "TE: trailers;q=0\r\n", false),
        ("1.1", "Connection: TE\r\n", false),
        ("1.0", "TE: trailers\r\n", false),
    ] {
        let lines =
            forwarded(&format!("GET / HTTP/{version}"), &format!("Host: a\r\n{lines}"), &EDGE);
        let expected = if told { ["TE: trailers", "Connection: TE"].as_slice() } else { &[] };
        assert_eq!(rest(&lines)[2..], *expected, "{version} {lines:?}");
    }
}

#[test]
fn max_forwards_rfc9110_7_6_2() {
    for (method, lines, expected) in [
        ("OPTIONS", "Max-Forwards: 5\r\n", &["Max-Forwards: 4"][..]),
        ("OPTIONS", "Connection: Max-Forwards\r\nMAX-FORWARDS: 10\r\n", &["Max-Forwards: 9"]),
        ("OPTIONS", "Max-Forwards: x\r\n", &["Max-Forwards: x"]),
        ("OPTIONS", "", &[]),
        ("GET", "Max-Forwards: 5\r\n", &["Max-Forwards: 5"]),
    ] {
        let lines =
            forwarded(&format!("{method} / HTTP/1.1"), &format!("Host: a\r\n{lines}"), &EDGE);
        assert_eq!(rest(&lines)[2..], *expected, "{method} {lines:?}");
    }
}

#[test]
fn nominations_do_not_reach_what_everybody_needs() {
    let lines = forwarded(
        "POST / HTTP/1.1",
        "Host: a\r\n\
         Connection: Host, Content-Length, Content-Type, Cookie, Authorization, Origin, Via\r\n\
         Connection: X-Forwarded-For, X-Forwarded-Port, Forwarded, X-Request-Id, Cache-Control\r\n\
         Content-Type: b\r\nCookie: c\r\nAuthorization: d\r\nOrigin: e\r\nCache-Control: f\r\n\
         Via: 1.1 g\r\n\
         X-Forwarded-For: 10.0.0.1\r\nX-Forwarded-Port: 81\r\nContent-Length: 5\r\n",
        &ToOrigin { peer: Peer::Trusted, ..EDGE },
    );
    assert_eq!(
        lines[2..],
        [
            "Content-Type: b",
            "Cookie: c",
            "Authorization: d",
            "Origin: e",
            "Cache-Control: f",
            "X-Forwarded-Port: 81",
            "Content-Length: 5",
            "X-Forwarded-For: 10.0.0.1, 192.0.2.7",
            "X-Forwarded-Proto: http",
            "X-Forwarded-Host: a",
            "Forwarded: for=192.0.2.7;host=a;proto=http;by=_edge1",
            "Via: 1.1 g, 1.1 edge1",
            "X-Request-Id: id1",
        ]
    );
}

const FORWARDED_BY_PEER: &str = "Host: a:8080\r\nX-Forwarded-For: 10.0.0.1\r\n\
    X-Forwarded-For: 10.0.0.2\r\n\
    X-Forwarded-Proto: https\r\nX-Forwarded-Host: B.example\r\nX-Forwarded-Port: 443\r\n\
    X-Real-IP: 10.0.0.1\r\n\
    Forwarded: for=10.0.0.1\r\nVia: 1.0 old\r\nX-Request-Id: theirs\r\n\
    X_Forwarded_For: 10.0.0.9\r\n\
    X_Real-IP: 10.0.0.9\r\nuser_id: 5\r\n";

#[test]
fn an_untrusted_peer_says_nothing_about_the_client() {
    let edge = ToOrigin { client: "2001:db8::1".parse().unwrap(), ..EDGE };
    assert_eq!(
        forwarded("GET / HTTP/1.1", FORWARDED_BY_PEER, &edge)[1..],
        [
            "Host: a:8080",
            "user_id: 5",
            "X-Forwarded-For: 2001:db8::1",
            "X-Forwarded-Proto: http",
            "X-Forwarded-Host: a:8080",
            "Forwarded: for=\"[2001:db8::1]\";host=\"a:8080\";proto=http;by=_edge1",
            "Via: 1.0 old, 1.1 edge1",
            "X-Request-Id: id1",
        ]
    );
}

#[test]
fn a_trusted_peer_is_kept_and_appended_to() {
    let edge = ToOrigin { peer: Peer::Trusted, client: "::ffff:10.9.9.9".parse().unwrap(), ..EDGE };
    assert_eq!(
        forwarded("GET / HTTP/1.1", FORWARDED_BY_PEER, &edge)[1..],
        [
            "Host: a:8080",
            "X-Forwarded-Port: 443",
            "X-Real-IP: 10.0.0.1",
            "user_id: 5",
            "X-Forwarded-For: 10.0.0.1, 10.0.0.2, 10.9.9.9",
            "X-Forwarded-Proto: https",
            "X-Forwarded-Host: b.example",
            "Forwarded: for=10.0.0.1, for=10.9.9.9;host=\"a:8080\";proto=http;by=_edge1",
            "Via: 1.0 old, 1.1 edge1",
            "X-Request-Id: id1",
        ]
    );
}

#[test]
fn nonsense_of_a_trusted_peer_is_replaced() {
    let lines = "Host: a\r\nX-Forwarded-Proto: gopher\r\nX-Forwarded-Host: a b\r\n";
    let edge = ToOrigin { peer: Peer::Trusted, ..EDGE };
    let lines = forwarded("GET / HTTP/1.1", lines, &edge);
    assert!(lines.contains(&"X-Forwarded-Proto: http".to_owned()));
    assert!(lines.contains(&"X-Forwarded-Host: a".to_owned()));
}

#[test]
fn an_open_quote_does_not_swallow_what_is_appended_rfc9110_5_6_4() {
    let edge = ToOrigin { peer: Peer::Trusted, ..EDGE };
    let own = "for=192.0.2.7;host=a;proto=http;by=_edge1";
    for (brought, kept) in [
        ("for=\"[::1]\"", "for=\"[::1]\", "),
        ("for=\"a\\\"b\"", "for=\"a\\\"b\", "),
        ("for=a\\", "for=a\\, "),
        ("for=\"a", ""),
        ("for=\"a\\\"", ""),
        ("for=\"a\\\\\"\"", ""),
    ] {
        let lines = format!("Host: a\r\nForwarded: {brought}\r\n");
        let lines = forwarded("GET / HTTP/1.1", &lines, &edge);
        assert!(lines.contains(&format!("Forwarded: {kept}{own}")), "{brought}: {lines:?}");
    }
}

#[test]
fn request_ids() {
    for (peer, lines, expected) in [
        (Peer::Trusted, "X-Request-Id: abc-1\r\n", "abc-1"),
        (Peer::Untrusted, "X-Request-Id: abc-1\r\n", "000000000000000000000000000000ff"),
        (Peer::Trusted, "", "000000000000000000000000000000ff"),
        (Peer::Trusted, "X-Request-Id:\r\n", "000000000000000000000000000000ff"),
        (Peer::Trusted, "X-Request-Id: a b\r\n", "000000000000000000000000000000ff"),
        (
            Peer::Trusted,
            "X-Request-Id: a\r\nX-Request-Id: b\r\n",
            "000000000000000000000000000000ff",
        ),
    ] {
        let head = format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n");
        let request = parse_request(head.as_bytes(), Scheme::Http).unwrap();
        assert_eq!(request_id(&request, peer, 255), expected, "{peer:?} {lines}");
    }
}

#[test]
fn host_override_keeps_the_clients_host_visible() {
    let edge = ToOrigin { host: Some("internal:81"), ..EDGE };
    let lines = forwarded("GET / HTTP/1.1", "Host: a\r\n", &edge);
    assert_eq!(rest(&lines), ["GET / HTTP/1.1", "Host: internal:81"]);
    assert!(lines.contains(&"X-Forwarded-Host: a".to_owned()));
}

#[test]
fn only_the_edge_says_whose_certificate_it_verified() {
    let lines = "Host: a\r\nConnection: X-Client-Cert-Subject\r\n\
        X-Client-Cert-Subject: CN=forged\r\nx_client-CERT_subject: CN=forged\r\n";
    for websocket in [ForwardUpgrade::Yes, ForwardUpgrade::No] {
        for peer in [Peer::Trusted, Peer::Untrusted] {
            for (certificate, expected) in [
                (None, &[][..]),
                (Some("CN=J\\C3\\B6rg,O=a b"), &["X-Client-Cert-Subject: CN=J\\C3\\B6rg,O=a b"]),
                (Some("CN=a\r\nCookie: b"), &[]),
                (Some("CN=Jörg"), &[]),
            ] {
                let edge = ToOrigin { peer, certificate, websocket, ..EDGE };
                let lines = forwarded("GET / HTTP/1.1", lines, &edge);
                assert_eq!(rest(&lines)[2..], *expected, "{lines:?}");
            }
        }
    }
    let edge = ToOrigin { certificate: Some("CN=a"), ..EDGE };
    let lines = forwarded("GET /chat HTTP/1.1", HANDSHAKE, &edge);
    assert_eq!(lines.last().unwrap(), "X-Client-Cert-Subject: CN=a");
    assert!(lines.contains(&"Upgrade: websocket".to_owned()));
}

#[test]
fn the_scheme_is_that_of_the_connection() {
    let edge = ToOrigin { scheme: Scheme::Https, ..EDGE };
    let lines = forwarded("GET / HTTP/1.1", "Host: a\r\nX-Forwarded-Proto: http\r\n", &edge);
    assert!(lines.contains(&"X-Forwarded-Proto: https".to_owned()), "{lines:?}");
    let forwarded = "Forwarded: for=192.0.2.7;host=a;proto=https;by=_edge1";
    assert!(lines.contains(&forwarded.to_owned()), "{lines:?}");
}

const HANDSHAKE: &str = "Host: a\r\nUpgrade: h2c, WebSocket\r\n\
    Connection: Upgrade, HTTP2-Settings, X-Auth, Origin\r\n\
    HTTP2-Settings: x\r\nX-Auth: 1\r\nOrigin: http://a\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: chat\r\nContent-Length: 0\r\n";

#[test]
fn only_a_verified_websocket_upgrade_is_forwarded() {
    assert_eq!(
        rest(&forwarded("GET /chat HTTP/1.1", HANDSHAKE, &EDGE)),
        [
            "GET /chat HTTP/1.1",
            "Host: a",
            "Origin: http://a",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Protocol: chat",
            "Upgrade: websocket",
            "Connection: Upgrade",
        ]
    );
    let plain = ["GET /chat HTTP/1.1", "Host: a", "Origin: http://a", "Content-Length: 0"];
    let off = ToOrigin { websocket: ForwardUpgrade::No, ..EDGE };
    assert_eq!(rest(&forwarded("GET /chat HTTP/1.1", HANDSHAKE, &off)), plain);
    // RFC 9110 7.8: ignored in HTTP/1.0. And an invalid one is never forwarded, whatever the worker
    // says.
    assert_eq!(rest(&forwarded("GET /chat HTTP/1.0", HANDSHAKE, &EDGE))[3..], plain[3..]);
    let invalid = HANDSHAKE.replace("Version: 13", "Version: 12");
    assert_eq!(rest(&forwarded("GET /chat HTTP/1.1", &invalid, &EDGE)), plain);
}

#[test]
fn what_an_answer_is_parsed_for() {
    for (start, lines, websocket, expected) in [
        ("GET / HTTP/1.1", HANDSHAKE, ForwardUpgrade::Yes, AnswerTo::WebSocket),
        ("GET / HTTP/1.1", HANDSHAKE, ForwardUpgrade::No, AnswerTo::Other),
        ("GET / HTTP/1.1", "Host: a\r\n", ForwardUpgrade::Yes, AnswerTo::Other),
        ("HEAD / HTTP/1.1", "Host: a\r\n", ForwardUpgrade::Yes, AnswerTo::Head),
    ] {
        let head = format!("{start}\r\n{lines}\r\n");
        let request = parse_request(head.as_bytes(), Scheme::Http).unwrap();
        let to = write_request(&mut Vec::new(), &request, &ToOrigin { websocket, ..EDGE });
        assert_eq!(to, expected, "{start} {websocket:?}");
    }
}

#[test]
fn framing_is_written_anew() {
    for (lines, expected) in [
        (
            "Transfer-Encoding: CHUNKED\r\nTrailer: X\r\n",
            ["Trailer: X", "Transfer-Encoding: chunked"],
        ),
        (
            "Content-Length: 5\r\nExpect: 100-Continue\r\n",
            ["Content-Length: 5", "Expect: 100-continue"],
        ),
    ] {
        let lines = forwarded("POST / HTTP/1.1", &format!("Host: a\r\n{lines}"), &EDGE);
        assert_eq!(rest(&lines)[2..], expected);
    }
    // An Expect that means nothing is not forwarded.
    let lines = forwarded("GET / HTTP/1.1", "Host: a\r\nExpect: 100-continue\r\n", &EDGE);
    assert_eq!(rest(&lines), ["GET / HTTP/1.1", "Host: a"]);
}

#[test]
fn a_node_name_that_is_no_token_does_not_break_via() {
    let lines = forwarded("GET / HTTP/1.1", "Host: a\r\n", &ToOrigin { node: "a b\r\n", ..EDGE });
    assert!(lines.contains(&"Via: 1.1 hawser".to_owned()), "{lines:?}");
}

const CLIENT: ToClient<'_> = ToClient {
    version: Version::Http11,
    persistence: Persistence::KeepAlive,
    to: AnswerTo::Other,
    node: "edge1",
    request_id: "id1",
    date: None,
};

fn passed_on(head: &str, client: &ToClient<'_>) -> (Vec<String>, Announced) {
    let head = head.replace('\n', "\r\n") + "\r\n";
    let answer = parse_response(head.as_bytes(), client.to).unwrap();
    let mut out = Vec::new();
    let announced = write_response(&mut out, &answer, client);
    let text = String::from_utf8(out).unwrap();
    let text = text.strip_suffix("\r\n\r\n").expect("an empty line at the end");
    (text.split("\r\n").map(str::to_owned).collect(), announced)
}

#[test]
fn an_answer() {
    let (lines, announced) = passed_on(
        "HTTP/1.0 200 Fine\nConnection: keep-alive, X-Hop\nKeep-Alive: timeout=5\nX-Hop: 1\n\
         Server: b\nUpgrade: h2c\n\
         Proxy-Connection: close\nContent-Length: 005\nVia: 1.1 c\nX-Request-Id: theirs\n\
         Trailer: X\nSet-Cookie: d\n\
         Set-Cookie: e\n",
        &CLIENT,
    );
    assert_eq!(
        lines,
        [
            "HTTP/1.1 200 Fine",
            "Server: b",
            "Set-Cookie: d",
            "Set-Cookie: e",
            "Content-Length: 5",
            "Via: 1.1 c, 1.0 edge1",
            "X-Request-Id: id1",
        ]
    );
    let expected = Announced { body: Coding::Identity, persistence: Persistence::KeepAlive };
    assert_eq!(announced, expected);
}

#[test]
fn framing_and_persistence_of_answers() {
    use Coding::{Chunked, Identity};
    use Persistence::{Close, KeepAlive};
    let old = ToClient { version: Version::Http10, ..CLIENT };
    let closing = ToClient { persistence: Close, ..CLIENT };
    let old_closing = ToClient { persistence: Close, ..old };
    let head = ToClient { to: AnswerTo::Head, ..CLIENT };
    let te = "Transfer-Encoding: chunked";
    let cl = "Content-Length: 5";
    for (client, start, line, written, coding, persistence) in [
        (&CLIENT, "200 OK", te, [te, ""], Chunked, KeepAlive),
        (&CLIENT, "200 OK", "X: a", [te, ""], Chunked, KeepAlive),
        (&CLIENT, "200 OK", cl, [cl, ""], Identity, KeepAlive),
        (&closing, "200 OK", te, [te, "Connection: close"], Chunked, Close),
        (&closing, "200 OK", cl, [cl, "Connection: close"], Identity, Close),
        (&old, "200 OK", te, ["", "Connection: close"], Identity, Close),
        (&old, "200 OK", "X: a", ["", "Connection: close"], Identity, Close),
        (&old, "200 OK", cl, [cl, "Connection: keep-alive"], Identity, KeepAlive),
        (&old_closing, "200 OK", cl, [cl, "Connection: close"], Identity, Close),
        (&head, "200 OK", cl, [cl, ""], Identity, KeepAlive),
        (&head, "200 OK", te, ["", ""], Identity, KeepAlive),
        (&head, "200 OK", "X: a", ["", ""], Identity, KeepAlive),
        (&CLIENT, "304 Not Modified", cl, [cl, ""], Identity, KeepAlive),
        (&CLIENT, "304 Not Modified", te, ["", ""], Identity, KeepAlive),
        (&CLIENT, "204 No Content", "Content-Length: 0", ["", ""], Identity, KeepAlive),
        (&old, "204 No Content", "X: a", ["", "Connection: keep-alive"], Identity, KeepAlive),
    ] {
        let (lines, announced) = passed_on(&format!("HTTP/1.1 {start}\n{line}\n"), client);
        let names = ["Transfer-Encoding:", "Content-Length:", "Connection:"];
        let framing: Vec<&str> = lines
            .iter()
            .map(String::as_str)
            .filter(|line| names.iter().any(|name| line.starts_with(name)))
            .collect();
        let written: Vec<&str> = written.into_iter().filter(|line| !line.is_empty()).collect();
        assert_eq!(framing, written, "{client:?} {start} {line}");
        assert_eq!(announced, Announced { body: coding, persistence }, "{client:?} {start} {line}");
    }
}

#[test]
fn upgrade_required_names_websocket_only_rfc9110_15_5_22() {
    let head = "HTTP/1.1 426 Upgrade Required\nUpgrade: h2c, websocket\nConnection: upgrade\n\
        Content-Length: 0\n\
        Sec-WebSocket-Version: 13\n";
    let (lines, _) = passed_on(head, &ToClient { to: AnswerTo::WebSocket, ..CLIENT });
    assert_eq!(lines[1], "Sec-WebSocket-Version: 13");
    assert_eq!(lines[lines.len() - 2..], ["Upgrade: websocket", "Connection: Upgrade"]);
    let (lines, _) = passed_on("HTTP/1.1 426 X\nUpgrade: h2c\nContent-Length: 0\n", &CLIENT);
    assert!(!lines.iter().any(|line| line.starts_with("Upgrade")), "{lines:?}");
}

#[test]
fn interim_answers_rfc9110_15_2() {
    let head = b"HTTP/1.1 103 Early Hints\r\nLink: a\r\nConnection: X\r\nX: 1\r\n\r\n";
    let answer = parse_response(head, AnswerTo::Other).unwrap();
    let mut out = Vec::new();
    write_interim(&mut out, &answer, &CLIENT);
    assert_eq!(out, b"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n");
    out.clear();
    write_interim(&mut out, &answer, &ToClient { version: Version::Http10, ..CLIENT });
    assert!(out.is_empty());
}

#[test]
fn a_101_of_verified_parts() {
    let head = b"HTTP/1.1 101 Switching\r\nUpgrade: WebSocket\r\n\
        Connection: keep-alive, Upgrade, X-Hop\r\nX-Hop: 1\r\n\
        Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: chat\r\n\
        Keep-Alive: a\r\n\
        Set-Cookie: b\r\nContent-Length: 0\r\n\r\n";
    let answer = parse_response(head, AnswerTo::WebSocket).unwrap();
    let mut out = Vec::new();
    write_switching(&mut out, &answer, &ToClient { to: AnswerTo::WebSocket, ..CLIENT });
    assert_eq!(
        String::from_utf8(out).unwrap(),
        "HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: chat\r\n\
         Set-Cookie: b\r\n\
         Via: 1.1 edge1\r\nX-Request-Id: id1\r\n\r\n"
    );
}

#[test]
fn every_answer_has_one_date_rfc9110_6_6_1() {
    let client = ToClient { date: Date::new(784_111_777), ..CLIENT };
    for (brought, expected) in [
        ("", "Date: Sun, 06 Nov 1994 08:49:37 GMT"),
        ("dATE: Tue, 15 Nov 1994 08:12:31 GMT\n", "dATE: Tue, 15 Nov 1994 08:12:31 GMT"),
        // The origin's word, whatever it is worth.
        ("Connection: date\nDate: now\n", "Date: now"),
    ] {
        let head = format!("HTTP/1.1 200 OK\n{brought}Content-Length: 0\n");
        let (lines, _) = passed_on(&head, &client);
        let is_date = |line: &&String| line.to_ascii_lowercase().starts_with("date:");
        assert_eq!(lines.iter().filter(is_date).collect::<Vec<_>>(), [expected], "{brought}");
    }
    let own = OwnAnswer {
        status: 502,
        text: "x",
        retry_after: None,
        allow: Allow::Unsaid,
        persistence: Persistence::Close,
        to: AnswerTo::Other,
        request_id: "",
        date: client.date,
    };
    let mut out = Vec::new();
    write_own_answer(&mut out, &own);
    let text = String::from_utf8(out).unwrap();
    assert!(text.contains("\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n"), "{text}");
}

#[test]
fn own_answers() {
    let answer = OwnAnswer {
        status: 429,
        text: "too many connections",
        retry_after: Some(3),
        allow: Allow::Unsaid,
        persistence: Persistence::KeepAlive,
        to: AnswerTo::Other,
        request_id: "id1",
        date: None,
    };
    let written = |answer: &OwnAnswer<'_>| {
        let mut out = Vec::new();
        write_own_answer(&mut out, answer);
        String::from_utf8(out).unwrap()
    };
    assert_eq!(
        written(&answer),
        "HTTP/1.1 429 Too Many Requests\r\nContent-Type: text/plain; charset=utf-8\r\n\
         Cache-Control: no-store\r\n\
         Content-Length: 21\r\nRetry-After: 3\r\nX-Request-Id: id1\r\nConnection: keep-alive\r\n\
         \r\n\
         too many connections\n"
    );
    let upgrade = written(&OwnAnswer {
        status: 426,
        retry_after: None,
        persistence: Persistence::Close,
        to: AnswerTo::Head,
        request_id: "",
        ..answer
    });
    assert_eq!(
        upgrade,
        "HTTP/1.1 426 Upgrade Required\r\nContent-Type: text/plain; charset=utf-8\r\n\
         Cache-Control: no-store\r\n\
         Content-Length: 21\r\nSec-WebSocket-Version: 13\r\nUpgrade: websocket\r\n\
         Connection: Upgrade, close\r\n\r\n"
    );
    let is_said = |status, allow| {
        written(&OwnAnswer { status, allow, ..answer }).contains("\r\nAllow: GET, HEAD")
    };
    assert!(is_said(405, Allow::Unsaid) && is_said(200, Allow::Said));
    assert!(!is_said(200, Allow::Unsaid));
    for status in [400, 403, 405, 408, 413, 414, 417, 421, 426, 429, 431, 500, 502, 503, 504, 505] {
        assert!(!reason(status).is_empty(), "{status}");
    }
}
