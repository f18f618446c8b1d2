//! What is removed, added and replaced on the way.

use std::time::Duration;

use crate::harness::{DomainFile, Edge, Head, Origin, Wire};

use super::OK;

fn crossed(edge: &Edge, origin: &Origin, lines: &str) -> Head {
    let mut client = edge.connect();
    client.send(format!("GET / HTTP/1.1\r\nHost: a.test\r\n{lines}\r\n"));
    let mut at = origin.accept();
    let head = at.head();
    at.send("HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");
    at.finish();
    assert_eq!(client.answer().0.status(), 204);
    head
}

#[test]
fn hop_by_hop_headers_end_at_the_edge() {
    let (origin, edge) = Edge::and_origin();
    let lines = "Connection: close, X-Hop , x-other\r\nX-Hop: 1\r\nX-Other: 2\r\nKeep-Alive: 5\r\n\
                 Proxy-Connection: x\r\nTE: gzip\r\nProxy-Authorization: x\r\nX-Stays: 3\r\n";
    let head = crossed(&edge, &origin, lines);
    for name in ["x-hop", "x-other", "keep-alive", "proxy-connection", "te"] {
        assert!(!head.has(name), "{name} in {head:?}");
    }
    assert!(!head.lists("connection", "x-hop"), "{head:?}");
    assert_eq!(head.field("x-stays"), Some("3"));
}

#[test]
fn an_origin_learns_that_trailers_are_read_rfc9110_10_1_4() {
    let (origin, edge) = Edge::and_origin();
    let head = crossed(&edge, &origin, "TE: gzip, trailers\r\nConnection: TE, X-Hop\r\n");
    assert_eq!(head.field("te"), Some("trailers"), "{head:?}");
    assert_eq!(head.field("connection"), Some("TE"), "{head:?}");
}

#[test]
fn hop_by_hop_headers_of_answers_end_at_the_edge() {
    let (origin, edge) = Edge::and_origin();
    let mut client = edge.connect();
    client.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    let mut at = origin.accept();
    at.head();
    at.send(
        "HTTP/1.1 200 OK\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\n\
         Proxy-Authenticate: Basic\r\nUpgrade: h2c\r\nX-Stays: 3\r\nContent-Length: 2\r\n\r\nok",
    );
    let (answer, _) = client.answer();
    for name in ["x-hop", "keep-alive", "upgrade"] {
        assert!(!answer.has(name), "{name} in {answer:?}");
    }
    assert_eq!(answer.field("x-stays"), Some("3"));
    // The origin's close is not the client's.
    client.send("GET /next HTTP/1.1\r\nHost: a.test\r\n\r\n");
    let mut next = origin.accept();
    assert_eq!(next.head().target(), "/next");
    next.send(OK);
    assert_eq!(client.answer().1, b"ok");
}

#[test]
fn an_answer_without_a_date_gets_one_rfc9110_6_6_1() {
    let (origin, edge) = Edge::and_origin();
    let theirs = "Tue, 15 Nov 1994 08:12:31 GMT";
    for line in [String::new(), format!("Date: {theirs}\r\n")] {
        let mut client = edge.connect();
        client.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
        let mut at = origin.accept();
        at.head();
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n";
        at.send(format!("{head}{line}\r\n"));
        let (answer, _) = client.answer();
        let date = answer.field("date").unwrap_or_else(|| panic!("no Date in {answer:?}"));
        assert_eq!(date == theirs, !line.is_empty(), "{answer:?}");
        assert!(date.ends_with(" GMT"), "{answer:?}");
    }
    let mut stranger = edge.connect();
    stranger.send("GET / HTTP/1.1\r\nHost: nobody.test\r\n\r\n");
    let (own, _) = stranger.answer();
    assert!(own.has("date"), "{own:?}");
}

#[test]
fn a_nomination_removes_nothing_that_the_edge_sets_or_needs() {
    let (origin, edge) = Edge::and_origin();
    let lines = "Connection: close, Host, X-Forwarded-For, X-Forwarded-Proto, X-Forwarded-Host, \
                 Forwarded, Via, X-Request-Id, Content-Length, Transfer-Encoding\r\n";
    let mut client = edge.connect();
    client.send(format!("GET / HTTP/1.1\r\nHost: a.test\r\n{lines}\r\n"));
    let Some(mut at) = origin.accept_within(Duration::from_secs(2)) else {
        assert_eq!(client.answer().0.status(), 400, "or refused");
        return;
    };
    let head = at.head();
    for name in
        ["host", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "forwarded", "via"]
    {
        assert!(head.has(name), "{name} in {head:?}");
    }
}

#[test]
fn a_nominated_length_keeps_its_body() {
    let (origin, edge) = Edge::and_origin();
    let mut client = edge.connect();
    client.send(
        "POST / HTTP/1.1\r\nHost: a.test\r\nConnection: Content-Length\r\n\
         Content-Length: 5\r\n\r\nhello",
    );
    let Some(mut at) = origin.accept_within(Duration::from_secs(2)) else {
        assert_eq!(client.answer().0.status(), 400, "or refused");
        return;
    };
    let head = at.head();
    assert_eq!(at.body(&head), b"hello");
}

#[test]
fn the_edge_says_who_asked() {
    let (origin, edge) = Edge::and_origin();
    let head = crossed(&edge, &origin, "");
    assert_eq!(head.field("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(head.field("x-forwarded-proto"), Some("http"));
    assert_eq!(head.field("x-forwarded-host"), Some("a.test"));
    let forwarded = head.field("forwarded").expect("Forwarded").to_ascii_lowercase();
    for part in ["for=127.0.0.1", "proto=http", "host=a.test"] {
        assert!(forwarded.replace('"', "").contains(part), "{part} in {forwarded}");
    }
    let via = head.field("via").expect("Via");
    assert!(via.starts_with("1.1 "), "{via}");
    let id = head.field("x-request-id").expect("a request id").to_owned();
    assert!(id.len() >= 16 && id.is_ascii());
    let second = crossed(&edge, &origin, "");
    assert_ne!(second.field("x-request-id"), Some(id.as_str()), "each request has its own");
}

#[test]
fn what_a_client_says_about_itself_is_replaced() {
    let (origin, edge) = Edge::and_origin();
    let lines = "X-Forwarded-For: 8.8.8.8\r\nX-Forwarded-For: 9.9.9.9\r\n\
                 X-Forwarded-Proto: https\r\nX-Forwarded-Host: evil.test\r\n\
                 X-Forwarded-Port: 443\r\nX-Real-IP: 8.8.8.8\r\nForwarded: for=8.8.8.8\r\n\
                 X_Forwarded_For: 8.8.8.8\r\nX_Forwarded_Proto: https\r\n";
    let head = crossed(&edge, &origin, lines);
    let text = String::from_utf8_lossy(&head.raw).into_owned();
    for lie in ["8.8.8.8", "9.9.9.9", "evil.test", "https"] {
        assert!(!text.contains(lie), "{lie} crossed: {text}");
    }
    assert_eq!(head.field("x-forwarded-for"), Some("127.0.0.1"));
}

#[test]
fn what_a_trusted_proxy_says_is_kept_and_added_to() {
    let origin = Origin::bind();
    let edge = Edge::builder()
        .server("trusted_proxies = [\"127.0.0.0/8\"]")
        .domain(DomainFile::to("a.test", &origin))
        .start();
    let lines = "X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: https\r\n\
                 X-Forwarded-Host: public.test\r\nForwarded: for=192.0.2.7;proto=https\r\n";
    let head = crossed(&edge, &origin, lines);
    assert_eq!(head.field("x-forwarded-for"), Some("192.0.2.7, 127.0.0.1"));
    assert_eq!(head.field("x-forwarded-proto"), Some("https"));
    assert_eq!(head.field("x-forwarded-host"), Some("public.test"));
    let forwarded = head.all("forwarded").join(", ");
    assert!(forwarded.starts_with("for=192.0.2.7;proto=https"), "{forwarded}");
    assert!(forwarded.contains("127.0.0.1"), "{forwarded}");
}

#[test]
fn a_peer_outside_the_trusted_ranges_is_not_believed() {
    let origin = Origin::bind();
    let edge = Edge::builder()
        .server("trusted_proxies = [\"192.0.2.0/24\"]")
        .domain(DomainFile::to("a.test", &origin))
        .start();
    let head = crossed(&edge, &origin, "X-Forwarded-For: 192.0.2.7\r\n");
    assert_eq!(head.field("x-forwarded-for"), Some("127.0.0.1"));
}

#[test]
fn the_host_for_the_origin_can_be_set() {
    let origin = Origin::bind();
    let edge =
        Edge::with(DomainFile::to("a.test", &origin).set("http", "host = \"inner.test:8000\""));
    let head = crossed(&edge, &origin, "");
    assert_eq!(head.field("host"), Some("inner.test:8000"));
    assert_eq!(head.field("x-forwarded-host"), Some("a.test"));
}

#[test]
fn opaque_values_pass_unchanged() {
    let (origin, edge) = Edge::and_origin();
    let mut client = edge.connect();
    let value: &[u8] = b"X-Opaque: caf\xe9 \xff\xfe \"quoted, list\"; a=b\r\n";
    client.send([b"GET / HTTP/1.1\r\nHost: a.test\r\n", value, b"X-Empty:\r\n\r\n"].concat());
    let mut at = origin.accept();
    let head = at.head();
    assert!(head.raw.windows(value.len()).any(|w| w == value), "{head:?}");
    assert_eq!(head.field("x-empty"), Some(""));
}

// PROXY protocol (haproxy.org, proxy-protocol.txt): who the client really is.

const V2_SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

fn v2(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len()).expect("a short body").to_be_bytes();
    [V2_SIGNATURE, &[0x20 | command, family], &length, body].concat()
}

fn v2_tcp4() -> Vec<u8> {
    v2(1, 0x11, &[192, 0, 2, 7, 10, 0, 0, 1, 0x30, 0x39, 0, 80])
}

fn edge_with_proxy(origin: &Origin, mode: &str, trusted: &str) -> Edge {
    Edge::builder()
        .server(&format!("proxy_protocol = \"{mode}\"\ntrusted_proxies = [\"{trusted}\"]"))
        .domain(DomainFile::to("a.test", origin))
        .start()
}

#[test]
fn a_proxy_header_names_the_client() {
    let origin = Origin::bind();
    let v1 = b"PROXY TCP4 192.0.2.7 10.0.0.1 12345 80\r\n".to_vec();
    let v1_six = b"PROXY TCP6 2001:db8::7 ::1 12345 80\r\n".to_vec();
    let with_tlv =
        [&[192, 0, 2, 7, 10, 0, 0, 1, 0x30, 0x39, 0, 80][..], &[4, 0, 3, 1, 2, 3]].concat();
    let rows = [
        ("v1", v1.clone(), "192.0.2.7"),
        ("any", v1, "192.0.2.7"),
        ("any", v1_six, "2001:db8::7"),
        ("any", b"PROXY UNKNOWN\r\n".to_vec(), "127.0.0.1"),
        ("v2", v2_tcp4(), "192.0.2.7"),
        ("any", v2_tcp4(), "192.0.2.7"),
        ("v2", v2(1, 0x11, &with_tlv), "192.0.2.7"),
        ("v2", v2(0, 0, &[]), "127.0.0.1"),
    ];
    for (mode, header, client_ip) in rows {
        let edge = edge_with_proxy(&origin, mode, "127.0.0.1/32");
        let mut client = edge.connect();
        // In pieces, as a network may bring it.
        let (first, second) = header.split_at(header.len() / 2);
        client.send(first);
        client.send([second, b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n"].concat());
        let mut at = origin.accept();
        let head = at.head();
        assert_eq!(head.field("x-forwarded-for"), Some(client_ip), "{mode}");
        at.send(OK);
        assert_eq!(client.answer().1, b"ok");
    }
}

#[test]
fn a_bad_or_missing_proxy_header_ends_the_connection() {
    let origin = Origin::bind();
    let long = format!("PROXY TCP4 192.0.2.7 10.0.0.1 1 80{}\r\n", " ".repeat(100));
    let rows: Vec<(&str, Vec<u8>)> = vec![
        ("any", vec![]),
        ("v1", v2_tcp4()),
        ("v2", b"PROXY TCP4 192.0.2.7 10.0.0.1 12345 80\r\n".to_vec()),
        ("any", b"PROXY TCP4 192.0.2.7 10.0.0.1 12345\r\n".to_vec()),
        ("any", b"PROXY TCP4 192.0.2.999 10.0.0.1 12345 80\r\n".to_vec()),
        ("any", b"PROXY TCP4 192.0.2.7 10.0.0.1 99999 80\r\n".to_vec()),
        ("any", b"PROXY TCP4 192.0.2.7 10.0.0.1 12345 80\n".to_vec()),
        ("any", b"PROXY TCP4 2001:db8::7 ::1 12345 80\r\n".to_vec()),
        ("any", b"PROXY  TCP4 192.0.2.7 10.0.0.1 12345 80\r\n".to_vec()),
        ("any", long.into_bytes()),
        ("any", v2(1, 0x11, &[1, 2, 3])),
        ("any", v2(7, 0x11, &[0; 12])),
        ("any", v2(1, 0x11, &[0; 4000])),
        ("any", b"PROXY TCP4 192.0.2.7 10.0.0.1 1 80\r\nPROXY TCP4 1.2.3.4 1.2.3.4 1 1\r\n".into()),
    ];
    for (mode, header) in rows {
        let edge = edge_with_proxy(&origin, mode, "127.0.0.1/32");
        let mut client = edge.connect();
        client.try_send([&header[..], b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n"].concat());
        let (said, _) = client.rest();
        let text = String::from_utf8_lossy(&said);
        assert!(said.is_empty() || text.starts_with("HTTP/1.1 400"), "{header:?}: {text}");
    }
    assert_eq!(origin.spoken(), 0);
}

#[test]
fn a_proxy_header_of_an_untrusted_peer_is_refused() {
    let origin = Origin::bind();
    let edge = edge_with_proxy(&origin, "any", "192.0.2.0/24");
    let mut client = edge.connect();
    client.try_send(
        "PROXY TCP4 10.1.1.1 10.0.0.1 12345 80\r\nGET / HTTP/1.1\r\nHost: a.test\r\n\r\n",
    );
    let (said, _) = client.rest();
    assert!(said.is_empty() || said.starts_with(b"HTTP/1.1 400"), "{said:?}");
    assert_eq!(origin.spoken(), 0);
}

#[test]
fn the_edge_can_send_a_proxy_header() {
    for version in ["v1", "v2"] {
        let origin = Origin::bind();
        let edge = Edge::with(
            DomainFile::to("a.test", &origin).set("http", &format!("send_proxy = \"{version}\"")),
        );
        let mut client = edge.connect();
        let (from, to) = (client.local(), edge.addr());
        client.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
        let mut at = origin.accept();
        let header = v_header(&mut at, version);
        match version {
            "v1" => {
                let want = format!("PROXY TCP4 127.0.0.1 127.0.0.1 {} ", from.port());
                let text = String::from_utf8_lossy(&header);
                assert!(text.starts_with(&want), "{text}");
                assert!(text.ends_with(&format!(" {}\r\n", to.port())), "{text}");
            }
            _ => {
                assert_eq!(header[12..14], [0x21, 0x11]);
                assert_eq!(header[16..20], [127, 0, 0, 1]);
                assert_eq!(header[24..26], from.port().to_be_bytes());
                assert_eq!(header[26..28], to.port().to_be_bytes());
            }
        }
        assert_eq!(at.head().target(), "/");
        at.send(OK);
        assert_eq!(client.answer().1, b"ok");
    }
}

fn v_header(at: &mut Wire, version: &str) -> Vec<u8> {
    if version == "v1" {
        return at.until(b"\r\n");
    }
    let mut header = at.exactly(16);
    assert_eq!(&header[..12], V2_SIGNATURE);
    let more = usize::from(u16::from_be_bytes([header[14], header[15]]));
    header.extend(at.exactly(more));
    header
}

#[test]
fn a_connection_with_a_proxy_header_serves_only_its_own_client() {
    let origin = Origin::bind();
    let edge = Edge::with(DomainFile::to("a.test", &origin).set("http", "send_proxy = \"v1\""));
    for _ in 0..2 {
        let mut client = edge.connect();
        let port = client.local().port();
        client.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
        let mut at = origin.accept();
        let line = String::from_utf8(at.until(b"\r\n")).expect("a line");
        assert!(line.contains(&format!(" {port} ")), "{line} for port {port}");
        at.head();
        at.send(OK);
        client.answer();
    }
}
