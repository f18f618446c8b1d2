//! What the other side gets: heads rewritten for the origin and for the client, and the edge's own
//! answers.
//!
//! Nothing is passed on unread: framing is written anew from the parsed [`BodyLength`], hop-by-hop
//! fields and what Connection nominates end here (RFC 9110 7.6.1), and what the edge says about the
//! client replaces what the client says.

use std::fmt::Display;
use std::io::Write as _;
use std::net::IpAddr;

use super::date::Date;
use super::fields::{self, Direction, is_nominated};
use super::framing::{self, AnswerTo, BodyLength};
use super::head::{
    Expect, Field, Persistence, RequestHead, ResponseHead, Version, is_token, list, values,
};
use super::target::{Host, Scheme};
use super::upgrade::Upgrade;

/// What the edge adds to a request.
#[derive(Clone, Copy, Debug)]
pub struct ToOrigin<'a> {
    /// The client as the edge sees it (PROXY header respected, X-Forwarded-For not).
    pub client: IpAddr,
    /// How the client came.
    pub scheme: Scheme,
    pub peer: Peer,
    /// Name of this node in Via and Forwarded.
    pub node: &'a str,
    /// From [`request_id`].
    pub request_id: &'a str,
    /// Host to send instead of the client's.
    pub host: Option<&'a str>,
    /// Subject of the client's verified certificate.
    pub certificate: Option<&'a str>,
    pub websocket: ForwardUpgrade,
}

/// Whether the peer's own X-Forwarded-*, X-Real-IP, Forwarded and X-Request-Id are believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// A configured proxy: kept, and appended to.
    Trusted,
    /// Anybody: dropped and replaced.
    Untrusted,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForwardUpgrade {
    /// `Upgrade` and `Connection: Upgrade` go to the origin if the request is
    /// [`Upgrade::WebSocket`].
    Yes,
    /// Plain HTTP, whatever the request asked for: Upgrade and Sec-WebSocket-* are stripped.
    No,
}

/// The id of a request: the one that a trusted peer brought, if it is 1 to 128 bytes of printable
/// ASCII, else `fresh` in 32 hexadecimal digits.
pub fn request_id(head: &RequestHead<'_>, peer: Peer, fresh: u128) -> String {
    let mut brought = values(&head.fields, "x-request-id");
    match (peer, brought.next(), brought.next()) {
        (Peer::Trusted, Some(id @ [_, ..]), None)
            if id.len() <= 128 && id.iter().all(u8::is_ascii_graphic) =>
        {
            String::from_utf8_lossy(id).into_owned()
        }
        _ => format!("{fresh:032x}"),
    }
}

/// Writes the request head for the origin, always as HTTP/1.1 and keep-alive. The body follows with
/// the framing of `head.body`: as it is, or as chunks written anew. Returns what the answer is to
/// be parsed for.
pub fn write_request(out: &mut Vec<u8>, head: &RequestHead<'_>, edge: &ToOrigin<'_>) -> AnswerTo {
    let upgrade =
        edge.websocket == ForwardUpgrade::Yes && matches!(head.upgrade, Upgrade::WebSocket { .. });
    append(out, [head.method, " ", head.target.as_str(), " HTTP/1.1\r\nHost: "]);
    match edge.host {
        Some(host) => append(out, [host]),
        None => write_host(out, &head.host),
    }
    out.extend_from_slice(b"\r\n");
    let hops = head.max_forwards();
    let (peer, chunked, counted) = (edge.peer, is_chunked(head.body), hops.is_some());
    let direction = Direction::Request { peer, upgrade, chunked, counted };
    copy_fields(out, &head.fields, direction);
    match head.body {
        BodyLength::Chunked => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
        BodyLength::Exact(len) if !upgrade => push(out, format_args!("Content-Length: {len}\r\n")),
        _ => {}
    }
    if head.expect == Expect::Continue {
        out.extend_from_slice(b"Expect: 100-continue\r\n");
    }
    if let Some(hops) = hops {
        // RFC 9110 7.6.2. The worker forwards none that is at 0.
        push(out, format_args!("Max-Forwards: {}\r\n", hops.saturating_sub(1)));
    }
    if upgrade {
        out.extend_from_slice(b"Upgrade: websocket\r\nConnection: Upgrade\r\n");
    } else if head.takes_trailers() {
        // RFC 9110 10.1.4: said anew for our own connection, because trailers pass.
        out.extend_from_slice(b"TE: trailers\r\nConnection: TE\r\n");
    }
    write_forwarding(out, head, edge);
    out.extend_from_slice(b"\r\n");
    match head.method {
        "HEAD" => AnswerTo::Head,
        _ if upgrade => AnswerTo::WebSocket,
        _ => AnswerTo::Other,
    }
}

/// The client connection on which an answer goes out.
#[derive(Clone, Copy, Debug)]
pub struct ToClient<'a> {
    pub version: Version,
    /// What the edge and the client would like; the result says what was announced.
    pub persistence: Persistence,
    pub to: AnswerTo,
    pub node: &'a str,
    /// As the request had it.
    pub request_id: &'a str,
    /// The present, for answers that do not say when they were made.
    pub date: Option<Date>,
}

/// How the body goes on the wire behind a written head, and what was announced about the
/// connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Announced {
    pub body: Coding,
    pub persistence: Persistence,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// Body bytes as they are (or none).
    Identity,
    /// [`super::chunked::write_chunk_head`] before each piece and [`super::chunked::write_end`] at
    /// the end.
    Chunked,
}

/// Writes a final answer (not 1xx) of an origin.
pub fn write_response(
    out: &mut Vec<u8>,
    head: &ResponseHead<'_>,
    client: &ToClient<'_>,
) -> Announced {
    let delimited = match (head.body, client.version) {
        // Of HTTP/1.0 only the end of the connection ends such a body (RFC 9112 6.3 rule 8, 7.1).
        (BodyLength::Chunked | BodyLength::UntilClose, Version::Http10) => None,
        (BodyLength::Chunked | BodyLength::UntilClose, Version::Http11) => Some(Coding::Chunked),
        (BodyLength::None | BodyLength::Exact(_), _) => Some(Coding::Identity),
    };
    let body = delimited.unwrap_or(Coding::Identity);
    let persistence = if delimited.is_some() { client.persistence } else { Persistence::Close };
    write_status_line(out, head);
    copy_fields(out, &head.fields, Direction::Response { chunked: body == Coding::Chunked });
    match head.body {
        _ if body == Coding::Chunked => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
        BodyLength::Exact(len) => push(out, format_args!("Content-Length: {len}\r\n")),
        // RFC 9110 8.6: what a GET would have had; only answers to HEAD and 304 may say so.
        BodyLength::None if head.status != 204 => {
            if let Ok(Some(len)) = framing::content_length(&head.fields) {
                push(out, format_args!("Content-Length: {len}\r\n"));
            }
        }
        _ => {}
    }
    write_answer_tail(out, head, client);
    // RFC 9110 15.5.22: a 426 names the protocol; websocket is the only one that passes here.
    let websocket = || list(&head.fields, "upgrade").any(|p| p.eq_ignore_ascii_case(b"websocket"));
    let upgrade = head.status == 426 && websocket();
    write_connection(out, client.version, persistence, upgrade);
    out.extend_from_slice(b"\r\n");
    Announced { body, persistence }
}

/// Writes an interim answer (1xx but 101); nothing for a client of HTTP/1.0 (RFC 9110 15.2).
pub fn write_interim(out: &mut Vec<u8>, head: &ResponseHead<'_>, client: &ToClient<'_>) {
    if client.version == Version::Http11 {
        write_status_line(out, head);
        copy_fields(out, &head.fields, Direction::Response { chunked: false });
        out.extend_from_slice(b"\r\n");
    }
}

/// Writes the 101 that [`super::upgrade::verify_answer`] accepted.
pub fn write_switching(out: &mut Vec<u8>, head: &ResponseHead<'_>, client: &ToClient<'_>) {
    write_status_line(out, head);
    out.extend_from_slice(b"Upgrade: websocket\r\nConnection: Upgrade\r\n");
    copy_fields(out, &head.fields, Direction::Response { chunked: false });
    write_answer_tail(out, head, client);
    out.extend_from_slice(b"\r\n");
}

/// `100 Continue` of the edge itself.
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// An answer of the edge itself.
#[derive(Clone, Copy, Debug)]
pub struct OwnAnswer<'a> {
    pub status: u16,
    /// The one-line body, without line end.
    pub text: &'a str,
    /// Seconds; for 429 and 503.
    pub retry_after: Option<u32>,
    /// For an answer to OPTIONS; a 405 has it anyway.
    pub allow: Allow,
    pub persistence: Persistence,
    pub to: AnswerTo,
    /// Empty when no request was understood.
    pub request_id: &'a str,
    pub date: Option<Date>,
}

/// Whether the answer says which methods there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allow {
    Unsaid,
    Said,
}

/// Adds what its status asks for: Upgrade and Sec-WebSocket-Version with 426, Allow with 405.
pub fn write_own_answer(out: &mut Vec<u8>, answer: &OwnAnswer<'_>) {
    let (status, len) = (answer.status, answer.text.len() + 1);
    push(out, format_args!("HTTP/1.1 {status} {}\r\n", reason(status)));
    out.extend_from_slice(b"Content-Type: text/plain; charset=utf-8\r\n");
    out.extend_from_slice(b"Cache-Control: no-store\r\n");
    write_date(out, answer.date);
    push(out, format_args!("Content-Length: {len}\r\n"));
    // RFC 9110 9.3.7, 15.5.6
    if status == 405 || answer.allow == Allow::Said {
        out.extend_from_slice(b"Allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n");
    }
    if status == 426 {
        // RFC 6455 4.2.2 rule 4
        out.extend_from_slice(b"Sec-WebSocket-Version: 13\r\n");
    }
    if let Some(seconds) = answer.retry_after {
        push(out, format_args!("Retry-After: {seconds}\r\n"));
    }
    if !answer.request_id.is_empty() {
        write_field(out, "X-Request-Id", answer.request_id.as_bytes());
    }
    // The version of the client may be unknown here; HTTP/1.1 takes `keep-alive` for what it does
    // anyway.
    write_connection(out, Version::Http10, answer.persistence, status == 426);
    out.extend_from_slice(b"\r\n");
    if answer.to != AnswerTo::Head {
        out.extend_from_slice(answer.text.as_bytes());
        out.push(b'\n');
    }
}

/// Reason phrase of a status that the edge itself answers.
pub fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        413 => "Content Too Large",
        414 => "URI Too Long",
        417 => "Expectation Failed",
        421 => "Misdirected Request",
        426 => "Upgrade Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        // RFC 9112 4: the phrase may be empty.
        _ => "",
    }
}

pub(super) fn write_field(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

fn copy_fields(out: &mut Vec<u8>, all: &[Field<'_>], direction: Direction) {
    for field in all {
        if fields::is_copied(field.name, direction) && !is_nominated(field.name, all) {
            write_field(out, field.name, field.value);
        }
    }
}

/// What the edge tells about the client. Each field is written once, as one list.
fn write_forwarding(out: &mut Vec<u8>, head: &RequestHead<'_>, edge: &ToOrigin<'_>) {
    let brought = match edge.peer {
        Peer::Trusted => head.fields.as_slice(),
        Peer::Untrusted => &[],
    };
    let client = edge.client.to_canonical();
    write_brought(out, "X-Forwarded-For", brought);
    push(out, client);
    out.extend_from_slice(b"\r\n");

    let mut protos = values(brought, "x-forwarded-proto");
    let proto = match (protos.next(), protos.next()) {
        (Some(b"https" | b"wss"), None) => Scheme::Https,
        (Some(b"http" | b"ws"), None) => Scheme::Http,
        _ => edge.scheme,
    };
    write_field(out, "X-Forwarded-Proto", proto.name().as_bytes());

    let mut hosts = values(brought, "x-forwarded-host");
    let host = match (hosts.next(), hosts.next()) {
        (Some(host), None) => Host::parse(host).ok(),
        _ => None,
    };
    out.extend_from_slice(b"X-Forwarded-Host: ");
    write_host(out, host.as_ref().unwrap_or(&head.host));
    out.extend_from_slice(b"\r\n");

    write_brought(out, "Forwarded", brought);
    write_forwarded_element(out, client, head, edge);
    write_via(out, &head.fields, head.version, edge.node);
    write_field(out, "X-Request-Id", edge.request_id.as_bytes());
    // An issuer chose these bytes: nothing but one line of text may come of them.
    if let Some(subject) = edge.certificate.filter(|s| s.bytes().all(|b| matches!(b, b' '..=b'~')))
    {
        write_field(out, "X-Client-Cert-Subject", subject.as_bytes());
    }
}

/// RFC 7239 4: this node's element.
fn write_forwarded_element(
    out: &mut Vec<u8>,
    client: IpAddr,
    head: &RequestHead<'_>,
    edge: &ToOrigin<'_>,
) {
    // RFC 7239 6: IPv6 in brackets, and what is no token in quotes.
    match client {
        IpAddr::V4(v4) => push(out, format_args!("for={v4}")),
        IpAddr::V6(v6) => push(out, format_args!("for=\"[{v6}]\"")),
    }
    let host = &head.host;
    if host.port.is_none() && is_token(host.name.as_bytes()) {
        append(out, [";host=", &host.name]);
    } else {
        push(out, format_args!(";host=\"{host}\""));
    }
    // RFC 7239 6.3: a name that is no address begins with an underscore.
    append(out, [";proto=", edge.scheme.name(), ";by=_", pseudonym(edge.node), "\r\n"]);
}

/// RFC 9110 7.6.3
fn write_via(out: &mut Vec<u8>, brought: &[Field<'_>], version: Version, node: &str) {
    write_brought(out, "Via", brought);
    append(out, [version_number(version), " ", pseudonym(node), "\r\n"]);
}

/// All that `brought` says under this name; what this node says is still to follow.
fn write_brought(out: &mut Vec<u8>, name: &str, brought: &[Field<'_>]) {
    append(out, [name, ": "]);
    for value in values(brought, name).filter(|value| !value.is_empty() && is_closed(value)) {
        out.extend_from_slice(value);
        out.extend_from_slice(b", ");
    }
}

/// Every quoted string in it ends (RFC 9110 5.6.4): an open one would swallow what is appended.
fn is_closed(value: &[u8]) -> bool {
    let (mut quoted, mut escaped) = (false, false);
    for byte in value {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = quoted,
            b'"' => quoted = !quoted,
            _ => {}
        }
    }
    !quoted
}

/// What every answer with a request behind it ends in.
fn write_answer_tail(out: &mut Vec<u8>, head: &ResponseHead<'_>, client: &ToClient<'_>) {
    write_via(out, &head.fields, head.version, client.node);
    write_field(out, "X-Request-Id", client.request_id.as_bytes());
    // RFC 9110 6.6.1: who forwards an answer without one adds the time at which it came.
    if values(&head.fields, "date").next().is_none() {
        write_date(out, client.date);
    }
}

fn write_date(out: &mut Vec<u8>, date: Option<Date>) {
    if let Some(date) = date {
        write_field(out, "Date", date.as_bytes());
    }
}

fn write_connection(out: &mut Vec<u8>, version: Version, persistence: Persistence, upgrade: bool) {
    let option = match (persistence, version) {
        (Persistence::Close, _) => "close",
        (Persistence::KeepAlive, Version::Http10) => "keep-alive",
        (Persistence::KeepAlive, Version::Http11) => "",
    };
    match (upgrade, option) {
        (false, "") => {}
        (false, option) => push(out, format_args!("Connection: {option}\r\n")),
        (true, "") => out.extend_from_slice(b"Upgrade: websocket\r\nConnection: Upgrade\r\n"),
        (true, option) => {
            push(out, format_args!("Upgrade: websocket\r\nConnection: Upgrade, {option}\r\n"));
        }
    }
}

/// RFC 9112 2.3: always with our own version, whatever the peers speak.
fn write_status_line(out: &mut Vec<u8>, head: &ResponseHead<'_>) {
    push(out, format_args!("HTTP/1.1 {} {}\r\n", head.status, head.reason));
}

fn is_chunked(body: BodyLength) -> bool {
    body == BodyLength::Chunked
}

fn version_number(version: Version) -> &'static str {
    match version {
        Version::Http10 => "1.0",
        Version::Http11 => "1.1",
    }
}

/// RFC 9110 7.6.3: a token.
fn pseudonym(node: &str) -> &str {
    if is_token(node.as_bytes()) { node } else { "hawser" }
}

fn write_host(out: &mut Vec<u8>, host: &Host<'_>) {
    append(out, [&host.name]);
    if let Some(port) = host.port {
        push(out, format_args!(":{port}"));
    }
}

/// The formatter costs some 30 ns each time: what is text already goes without it.
fn append<const N: usize>(out: &mut Vec<u8>, parts: [&str; N]) {
    for part in parts {
        out.extend_from_slice(part.as_bytes());
    }
}

fn push(out: &mut Vec<u8>, text: impl Display) {
    write!(out, "{text}").expect("a Vec takes every byte, and these values always format");
}

#[cfg(test)]
mod tests;
