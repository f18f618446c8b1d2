//! The WebSocket handshake as an intermediary checks it: request (RFC 6455 4.2.1), answer (4.1), Origin (10.2).

use super::head::{HeadError, RequestHead, ResponseHead};
use super::target::Scheme;

/// What a request asks to upgrade to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Upgrade<'a> {
    /// Nothing, or nothing that is ever forwarded: another protocol than websocket (h2c, TLS, ...), an Upgrade that
    /// Connection does not name, or one in HTTP/1.0. Served as plain HTTP.
    None,
    WebSocket {
        key: &'a str,
    },
    /// websocket, but against RFC 6455 4.2.1: 400 or 426. Where the domain has WebSocket switched off, the request may be
    /// served as plain HTTP all the same.
    Invalid(HeadError),
}

/// What origin and client agreed on in a verified 101.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Agreed {
    /// RSV bits that the agreed extensions allow: 0x40 for permessage-deflate, 0x70 for another extension, 0 for none.
    pub reserved_bits: u8,
}

/// RFC 6455 4.1, the numbered list about the server's answer. Any error means 502, and nothing of the answer may reach the
/// client.
pub fn verify_answer(
    _request: &RequestHead<'_>,
    _answer: &ResponseHead<'_>,
) -> Result<Agreed, HeadError> {
    unimplemented!()
}

/// Which Origin headers may open a WebSocket.
#[derive(Clone, Copy, Debug)]
pub enum OriginPolicy<'p> {
    Any,
    /// Host and port equal those of the request, and the scheme is http or https. `Scheme`: how the client came.
    SameHost(Scheme),
    /// Lower-case serialised origins.
    List(&'p [Box<str>]),
}

/// Without an Origin header, or with several, only `Any` says yes.
pub fn origin_allowed(_request: &RequestHead<'_>, _policy: OriginPolicy<'_>) -> bool {
    unimplemented!()
}
