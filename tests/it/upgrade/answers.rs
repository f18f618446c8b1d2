//! RFC 6455 4.1, what a server must have answered: a 101 that does not hold is 502, and neither a
//! byte of it nor of what came behind reaches the client.

use crate::harness::{Edge, KEY, Tunnel, accept_value, show, upgrade_request};

struct Row {
    name: &'static str,
    ask: &'static str,
    lines: String,
}

fn row(name: &'static str, lines: impl Into<String>) -> Row {
    Row { name, ask: "", lines: lines.into() }
}

fn asked(name: &'static str, ask: &'static str, more: &str) -> Row {
    Row { name, ask, lines: format!("{}{more}", sound()) }
}

fn sound() -> String {
    format!("Upgrade: websocket\r\nConnection: Upgrade\r\n{}", accept())
}

fn accept() -> String {
    format!("Sec-WebSocket-Accept: {}\r\n", accept_value(KEY))
}

fn rows() -> Vec<Row> {
    const UP: &str = "Upgrade: websocket\r\n";
    const CON: &str = "Connection: Upgrade\r\n";
    let acc = accept();
    let other = accept_value("AAAAAAAAAAAAAAAAAAAAAA==");
    let lower = accept_value(KEY).to_lowercase();
    vec![
        row("no accept", format!("{UP}{CON}")),
        row("empty accept", format!("{UP}{CON}Sec-WebSocket-Accept:\r\n")),
        row("accept of another key", format!("{UP}{CON}Sec-WebSocket-Accept: {other}\r\n")),
        row("accept in lower case", format!("{UP}{CON}Sec-WebSocket-Accept: {lower}\r\n")),
        row("the key as accept", format!("{UP}{CON}Sec-WebSocket-Accept: {KEY}\r\n")),
        row("accept and more", format!("{UP}{CON}{}", acc.replace("=\r\n", "=x\r\n"))),
        row("two accepts", format!("{UP}{CON}{acc}{acc}")),
        row("two accepts, one wrong", format!("{UP}{CON}{acc}Sec-WebSocket-Accept: {other}\r\n")),
        row("no Upgrade", format!("{CON}{acc}")),
        row("another protocol", format!("Upgrade: h2c\r\n{CON}{acc}")),
        row("a longer token", format!("Upgrade: websocket2\r\n{CON}{acc}")),
        row("no Connection", format!("{UP}{acc}")),
        row("another Connection", format!("{UP}Connection: keep-alive\r\n{acc}")),
        row("Connection: close", format!("{UP}Connection: close\r\n{acc}")),
        asked("a subprotocol that nobody offered", "", "Sec-WebSocket-Protocol: chat\r\n"),
        asked(
            "a subprotocol other than those offered",
            "Sec-WebSocket-Protocol: v1, v2\r\n",
            "Sec-WebSocket-Protocol: v3\r\n",
        ),
        asked(
            "two subprotocols",
            "Sec-WebSocket-Protocol: v1, v2\r\n",
            "Sec-WebSocket-Protocol: v1, v2\r\n",
        ),
        asked(
            "two subprotocol headers",
            "Sec-WebSocket-Protocol: v1, v2\r\n",
            "Sec-WebSocket-Protocol: v1\r\nSec-WebSocket-Protocol: v2\r\n",
        ),
        asked(
            "a subprotocol in another case",
            "Sec-WebSocket-Protocol: Chat\r\n",
            "Sec-WebSocket-Protocol: chat\r\n",
        ),
        asked(
            "an extension that nobody offered",
            "",
            "Sec-WebSocket-Extensions: permessage-deflate\r\n",
        ),
        asked(
            "an extension other than those offered",
            "Sec-WebSocket-Extensions: permessage-deflate\r\n",
            "Sec-WebSocket-Extensions: x-other\r\n",
        ),
        asked(
            "one extension too many",
            "Sec-WebSocket-Extensions: permessage-deflate\r\n",
            "Sec-WebSocket-Extensions: permessage-deflate, x-other\r\n",
        ),
        row("a length", format!("{}Content-Length: 4\r\n", sound())),
        row("a chunked body", format!("{}Transfer-Encoding: chunked\r\n", sound())),
        row("obs-fold", format!("{}X: a\r\n b\r\n", sound())),
        row("NUL", format!("{}X: a\0\r\n", sound())),
    ]
}

#[test]
fn a_101_that_does_not_hold_is_502() {
    let (origin, edge) = Edge::and_origin();
    let mut wrong = Vec::new();
    for Row { name, ask, lines } in rows() {
        let mut client = edge.connect();
        client.send(upgrade_request("a.test", ask));
        let mut at = origin.accept();
        at.head();
        at.send(format!("HTTP/1.1 101 LEAK\r\n{lines}X-Leak: LEAK\r\n\r\nLEAK"));
        let (said, _) = client.rest();
        let text = String::from_utf8_lossy(&said);
        if !text.starts_with("HTTP/1.1 502 ") || text.contains("LEAK") {
            wrong.push(format!("{name}: {}", show(&said)));
        }
    }
    assert!(wrong.is_empty(), "{} rows are wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert!(edge.conns().is_empty());
}

#[test]
fn a_101_of_http_1_0_is_502() {
    let (origin, edge) = Edge::and_origin();
    let mut client = edge.connect();
    client.send(upgrade_request("a.test", ""));
    let mut at = origin.accept();
    at.head();
    at.send(format!("HTTP/1.0 101 Switching Protocols\r\n{}\r\n", sound()));
    assert_eq!(client.answer().0.status(), 502);
}

#[test]
fn sound_variants_open_a_tunnel() {
    let (origin, edge) = Edge::and_origin();
    let rows = [
        ("", String::new()),
        (
            "Sec-WebSocket-Protocol: v1\r\nSec-WebSocket-Protocol: v2\r\n",
            "Sec-WebSocket-Protocol: v2\r\n".to_owned(),
        ),
        ("Sec-WebSocket-Protocol: v1, v2\r\n", String::new()),
        (
            "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n",
            "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover\r\n".into(),
        ),
        ("Sec-WebSocket-Extensions: permessage-deflate\r\n", String::new()),
        (
            "Sec-WebSocket-Extensions: x-a, permessage-deflate\r\n",
            "Sec-WebSocket-Extensions: x-a\r\n".into(),
        ),
    ];
    for (ask, agree) in rows {
        let mut tunnel = Tunnel::open_with(&edge, &origin, "a.test", ask, &agree);
        tunnel.check();
    }
    for lines in [
        format!("upgrade: WebSocket\r\nconnection: keep-alive, upgrade\r\n{}", accept()),
        format!("{}Server: x\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\n", sound()),
    ] {
        let mut client = edge.connect();
        client.send(upgrade_request("a.test", ""));
        let mut at = origin.accept();
        at.head();
        at.send(format!("HTTP/1.1 101 Whatever\r\n{lines}\r\n"));
        assert_eq!(client.head().status(), 101, "{lines}");
        Tunnel { client, origin: at }.check();
    }
}
