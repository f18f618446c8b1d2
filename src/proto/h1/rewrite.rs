//! What the other side gets: heads rewritten for the origin and for the client, and the edge's own answers.

use std::net::IpAddr;

use super::framing::AnswerTo;
use super::head::{Persistence, RequestHead, ResponseHead, Version};
use super::target::Scheme;

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
    /// Sent as 32 hexadecimal digits, unless a trusted peer brought an X-Request-Id of its own.
    pub request_id: u128,
    /// Host to send instead of the client's.
    pub host: Option<&'a str>,
    /// Forward a verified upgrade, or strip it.
    pub websocket: ForwardUpgrade,
}

/// Whether the peer's own X-Forwarded-*, Forwarded and X-Request-Id are believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// A configured proxy: kept, and appended to.
    Trusted,
    /// Anybody: replaced.
    Untrusted,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForwardUpgrade {
    /// `Upgrade` and `Connection: upgrade` go to the origin if the request is [`super::Upgrade::WebSocket`].
    Yes,
    /// Plain HTTP, whatever the request asked for.
    No,
}

/// Writes the request head for the origin, always as HTTP/1.1 and keep-alive. The body follows with the framing of
/// `head.body`: as it is, or as chunks written anew.
pub fn write_request(_out: &mut Vec<u8>, _head: &RequestHead<'_>, _edge: &ToOrigin<'_>) {
    unimplemented!()
}

/// The client connection on which an answer goes out.
#[derive(Clone, Copy, Debug)]
pub struct ToClient<'a> {
    pub version: Version,
    /// What the edge and the client would like; the result says what was announced.
    pub persistence: Persistence,
    pub to: AnswerTo,
    pub node: &'a str,
    pub request_id: u128,
}

/// How the body goes on the wire behind a written head, and what was announced about the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Announced {
    pub body: Coding,
    pub persistence: Persistence,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// Body bytes as they are (or none).
    Identity,
    /// [`super::chunked::write_chunk_head`] before each piece and [`super::chunked::write_end`] at the end.
    Chunked,
}

/// Writes a final answer (not 1xx) of an origin.
pub fn write_response(
    _out: &mut Vec<u8>,
    _head: &ResponseHead<'_>,
    _client: &ToClient<'_>,
) -> Announced {
    unimplemented!()
}

/// Writes an interim answer (1xx but 101); nothing for a client of HTTP/1.0 (RFC 9110 15.2).
pub fn write_interim(_out: &mut Vec<u8>, _head: &ResponseHead<'_>, _client: &ToClient<'_>) {
    unimplemented!()
}

/// Writes the 101 that [`super::upgrade::verify_answer`] accepted.
pub fn write_switching(_out: &mut Vec<u8>, _head: &ResponseHead<'_>, _client: &ToClient<'_>) {
    unimplemented!()
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
    pub persistence: Persistence,
    pub to: AnswerTo,
    pub request_id: u128,
}

/// Adds what its status asks for: Sec-WebSocket-Version with 426, Allow with 405.
pub fn write_own_answer(_out: &mut Vec<u8>, _answer: &OwnAnswer<'_>) {
    unimplemented!()
}

/// Reason phrase of a status that the edge itself answers.
pub fn reason(_status: u16) -> &'static str {
    unimplemented!()
}
