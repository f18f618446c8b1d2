//! Request and response heads: finding their end, and parsing them strictly.

use super::framing::{AnswerTo, BodyLength};
use super::target::{Host, Scheme, Target};
use super::upgrade::Upgrade;

/// One field line: `name` is a token as it was sent, `value` has no surrounding white space, no control byte but HTAB.
pub type Field<'a> = httparse::Header<'a>;

/// Why a head, a body or an upgrade cannot be served. For an origin's answer every kind means 502.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadError {
    pub kind: HeadErrorKind,
    /// One sentence without a full stop that names the cause; never holds bytes of the peer.
    pub detail: &'static str,
}

impl std::fmt::Display for HeadError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.detail)
    }
}

impl std::error::Error for HeadError {}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadErrorKind {
    /// 400
    Bad,
    /// 405
    Method,
    /// 414
    TargetTooLong,
    /// 417
    Expectation,
    /// 426
    UpgradeVersion,
    /// 431
    TooLarge,
    /// 505
    Version,
}

/// Finds the end of a head. Remembers how far it looked, so that a head that comes byte by byte costs linear time.
/// One scanner per head; `Clone` and small.
#[derive(Clone, Debug)]
pub struct HeadScanner {}

impl HeadScanner {
    /// Tolerates empty lines before the request line.
    pub fn request() -> HeadScanner {
        HeadScanner {}
    }

    pub fn response() -> HeadScanner {
        HeadScanner {}
    }

    /// `buf`: all bytes since the head began; the same bytes as at the last call, and perhaps more behind them.
    /// `Some(end)`: `buf[..end]` is what [`parse_request`] or [`parse_response`] want, the rest belongs to the body, the
    /// tunnel or the next message.
    pub fn find(&mut self, _buf: &[u8]) -> Result<Option<usize>, HeadError> {
        unimplemented!()
    }

    /// No byte of a message has come: silence now is an idle connection, not a slow head. Empty lines do not count.
    pub fn is_idle(&self) -> bool {
        unimplemented!()
    }
}

/// A request that may be served.
#[derive(Clone, Debug)]
pub struct RequestHead<'a> {
    pub method: &'a str,
    pub target: Target<'a>,
    pub host: Host<'a>,
    pub version: Version,
    pub body: BodyLength,
    /// What the client wants to happen with the connection behind this exchange.
    pub persistence: Persistence,
    pub upgrade: Upgrade<'a>,
    pub expect: Expect,
    pub fields: Vec<Field<'a>>,
}

impl<'a> RequestHead<'a> {
    pub fn is_head(&self) -> bool {
        self.method == "HEAD"
    }

    /// RFC 9110 9.2.2: may be sent again on a fresh connection when a pooled one turns out to be stale.
    pub fn is_idempotent(&self) -> bool {
        matches!(self.method, "GET" | "HEAD" | "OPTIONS" | "PUT" | "DELETE")
    }

    /// Value of the first field of this name, in any case of letters.
    pub fn field(&self, name: &str) -> Option<&'a [u8]> {
        values(&self.fields, name).next()
    }
}

/// An answer that may be passed on.
#[derive(Clone, Debug)]
pub struct ResponseHead<'a> {
    pub version: Version,
    /// 100 to 599.
    pub status: u16,
    pub reason: &'a str,
    pub body: BodyLength,
    /// What the origin will do with the connection behind this answer.
    pub persistence: Persistence,
    pub fields: Vec<Field<'a>>,
}

impl<'a> ResponseHead<'a> {
    /// 1xx but 101: another answer follows.
    pub fn is_interim(&self) -> bool {
        (100..200).contains(&self.status) && self.status != 101
    }

    /// Value of the first field of this name, in any case of letters.
    pub fn field(&self, name: &str) -> Option<&'a [u8]> {
        values(&self.fields, name).next()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    Http10,
    Http11,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Persistence {
    KeepAlive,
    Close,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    Nothing,
    /// The client waits for 100 before it sends its body.
    Continue,
}

/// `head`: exactly what [`HeadScanner::find`] delimited. `scheme`: how the client came.
pub fn parse_request(_head: &[u8], _scheme: Scheme) -> Result<RequestHead<'_>, HeadError> {
    unimplemented!()
}

/// `head`: exactly what [`HeadScanner::find`] delimited. A 101 is accepted only when `to` asked for one, and then still
/// wants [`super::upgrade::verify_answer`].
pub fn parse_response(_head: &[u8], _to: AnswerTo) -> Result<ResponseHead<'_>, HeadError> {
    unimplemented!()
}

/// All values of the fields of one name.
pub fn values<'a, 'f>(
    fields: &'f [Field<'a>],
    name: &'f str,
) -> impl Iterator<Item = &'a [u8]> + use<'a, 'f> {
    fields.iter().filter(move |f| f.name.eq_ignore_ascii_case(name)).map(|f| f.value)
}
