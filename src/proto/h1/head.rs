//! Request and response heads: finding their end, and parsing them strictly.

use super::framing::{self, AnswerTo, BodyLength};
use super::target::{Host, Scheme, Target};
use super::upgrade::{self, Upgrade};
use crate::limits::{
    CONNECTION_OPTIONS_MAX, HEAD_BYTES_MAX, HEADERS_MAX, LEADING_CRLF_MAX, TARGET_BYTES_MAX,
};

/// One field line: `name` is a token as it was sent, `value` has no surrounding white space, no
/// control byte but HTAB.
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

/// Finds the end of a head, and refuses on the way what no head may contain: bare CR or LF, control
/// bytes. Remembers how far it looked, so that a head that comes byte by byte costs linear time.
/// One scanner per head.
#[derive(Clone, Debug)]
pub struct HeadScanner {
    looked: usize,
    /// Empty lines that may still come before the first line.
    empty_lines: usize,
    at: At,
    first_line: FirstLine,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    LineStart,
    Line,
    /// Behind the CR of an empty line.
    EmptyLineCr,
    /// Behind the CR of any other.
    LineCr,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FirstLine {
    Awaited,
    Begun,
    Over,
}

impl HeadScanner {
    /// Tolerates empty lines before the request line (RFC 9112 2.2).
    pub fn request() -> HeadScanner {
        HeadScanner::new(LEADING_CRLF_MAX)
    }

    pub fn response() -> HeadScanner {
        HeadScanner::new(0)
    }

    fn new(empty_lines: usize) -> HeadScanner {
        HeadScanner { looked: 0, empty_lines, at: At::LineStart, first_line: FirstLine::Awaited }
    }

    /// `buf`: all bytes since the head began; the same bytes as at the last call, and perhaps more
    /// behind them. `Some(end)`: `buf[..end]` is what [`parse_request`] or [`parse_response`] want,
    /// the rest belongs to the body, the tunnel or the next message. Not to be called again after
    /// that, or after an error.
    pub fn find(&mut self, buf: &[u8]) -> Result<Option<usize>, HeadError> {
        let within = buf.len().min(HEAD_BYTES_MAX);
        while self.looked < within {
            let byte = buf[self.looked];
            self.looked += 1;
            if self.over_behind(byte).map_err(|e| explain_tls(e, buf))? {
                return Ok(Some(self.looked));
            }
            if self.at == At::Line {
                let rest = &buf[self.looked..within];
                self.looked += first_control(rest).unwrap_or(rest.len());
            }
        }
        match self.first_line {
            _ if buf.len() < HEAD_BYTES_MAX => Ok(None),
            FirstLine::Over => Err(error(HeadErrorKind::TooLarge, "the head is too large")),
            _ => Err(error(HeadErrorKind::TargetTooLong, "the first line is too long")),
        }
    }

    /// No byte of a message has come: silence now is an idle connection, not a slow head. Empty
    /// lines do not count.
    pub fn is_idle(&self) -> bool {
        self.first_line == FirstLine::Awaited
    }

    /// Takes the next byte; true when the head ends behind it.
    fn over_behind(&mut self, byte: u8) -> Result<bool, HeadError> {
        self.at = match (self.at, byte) {
            (At::LineCr, b'\n') => {
                self.first_line = FirstLine::Over;
                At::LineStart
            }
            (At::EmptyLineCr, b'\n') if self.first_line == FirstLine::Over => return Ok(true),
            (At::EmptyLineCr, b'\n') => {
                let left = self.empty_lines.checked_sub(1);
                self.empty_lines = left.ok_or(bad("empty lines before the first line"))?;
                At::LineStart
            }
            // RFC 9112 2.2: a bare CR is invalid anywhere in a head.
            (At::LineCr | At::EmptyLineCr, _) => return Err(bad("a CR without LF in the head")),
            (At::LineStart, b'\r') => At::EmptyLineCr,
            (At::Line, b'\r') => At::LineCr,
            // RFC 9112 2.2 lets a recipient take a bare LF as a line end; two parsers on one path
            // then disagree.
            (_, b'\n') => return Err(bad("a line in the head ends in LF without CR")),
            // RFC 9110 5.5: CTL but HTAB is invalid.
            (_, byte) if is_control(&byte) => return Err(bad("a control byte in the head")),
            (_, _) => {
                if self.first_line == FirstLine::Awaited {
                    self.first_line = FirstLine::Begun;
                }
                At::Line
            }
        };
        Ok(false)
    }
}

/// Looks at eight bytes at a time: every byte of a head comes through here twice.
fn first_control(bytes: &[u8]) -> Option<usize> {
    let (words, _) = bytes.as_chunks::<8>();
    let clean = |word: &&[u8; 8]| !may_have_control(u64::from_ne_bytes(**word));
    let skipped = 8 * words.iter().take_while(clean).count();
    bytes[skipped..].iter().position(is_control).map(|at| skipped + at)
}

/// Whether one of the bytes is below a space or DEL. (A byte below the subtrahend borrows into its
/// top bit; nothing does where there is none.)
const fn may_have_control(word: u64) -> bool {
    const EACH: u64 = u64::from_ne_bytes([1; 8]);
    let below_space = word.wrapping_sub(EACH * 32) & !word;
    let from_del = word ^ (EACH * 127);
    let is_del = from_del.wrapping_sub(EACH) & !from_del;
    (below_space | is_del) & (EACH << 7) != 0
}

/// CTL but HTAB.
fn is_control(byte: &u8) -> bool {
    matches!(byte, 0..=8 | 10..=31 | 127)
}

fn explain_tls(e: HeadError, buf: &[u8]) -> HeadError {
    let tls = buf.first() == Some(&0x16);
    if tls { bad("a TLS handshake where plain HTTP is spoken") } else { e }
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

    /// RFC 9110 9.2.2: may be sent again on a fresh connection when a pooled one turns out to be
    /// stale.
    pub fn is_idempotent(&self) -> bool {
        matches!(self.method, "GET" | "HEAD" | "OPTIONS" | "PUT" | "DELETE")
    }

    /// RFC 9110 7.6.2: how often this request may still be forwarded. Of other methods than OPTIONS
    /// it means nothing (TRACE is refused), and neither does what is no number.
    pub fn max_forwards(&self) -> Option<u64> {
        let mut numbers = values(&self.fields, "max-forwards");
        match (self.method, numbers.next(), numbers.next()) {
            ("OPTIONS", Some(number), None) if number.iter().all(u8::is_ascii_digit) => {
                std::str::from_utf8(number).ok()?.parse().ok()
            }
            _ => None,
        }
    }

    /// RFC 9110 10.1.4: the client reads trailers.
    pub fn takes_trailers(&self) -> bool {
        self.version == Version::Http11
            && list(&self.fields, "te").any(|coding| coding.eq_ignore_ascii_case(b"trailers"))
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

impl Version {
    fn of(minor: u8) -> Version {
        if minor == 0 { Version::Http10 } else { Version::Http11 }
    }
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
pub fn parse_request(head: &[u8], scheme: Scheme) -> Result<RequestHead<'_>, HeadError> {
    is_one_head(head, HeadScanner::request())?;
    let mut lines = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut parsed = httparse::Request::new(&mut lines);
    match parsed.parse(head) {
        Ok(httparse::Status::Complete(len)) if len == head.len() => {}
        Ok(_) => return Err(bad("the head does not end in an empty line")),
        Err(e) => return Err(request_error(e, head)),
    }
    let (Some(method), Some(target), Some(minor)) = (parsed.method, parsed.path, parsed.version)
    else {
        return Err(bad("no request line"));
    };
    let (version, fields) = (Version::of(minor), parsed.headers.to_vec());
    // RFC 9110 9.3.6, 9.3.8: a tunnel to anywhere, and an echo of credentials. PRI begins HTTP/2
    // (RFC 9113 3.4).
    if ["CONNECT", "TRACE", "PRI"].iter().any(|m| m.eq_ignore_ascii_case(method)) {
        return Err(error(HeadErrorKind::Method, "the method is not served here"));
    }
    if target.len() > TARGET_BYTES_MAX {
        return Err(error(HeadErrorKind::TargetTooLong, "the request target is too long"));
    }
    let (target, authority) = Target::parse(target, method, scheme)?;
    let host = request_host(&fields, version, authority, scheme)?;
    let body = framing::request_body(version, &fields)?;
    bounded_connection_options(&fields)?;
    Ok(RequestHead {
        upgrade: upgrade::asked_for(method, version, body, &fields),
        expect: expectation(version, body, &fields)?,
        persistence: persistence(version, &fields),
        method,
        target,
        host,
        version,
        body,
        fields,
    })
}

/// `head`: exactly what [`HeadScanner::find`] delimited. A 101 is accepted only when `to` asked for
/// one, and then still wants [`super::upgrade::verify_answer`].
pub fn parse_response(head: &[u8], to: AnswerTo) -> Result<ResponseHead<'_>, HeadError> {
    is_one_head(head, HeadScanner::response())?;
    let mut lines = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut parsed = httparse::Response::new(&mut lines);
    match parsed.parse(head) {
        Ok(httparse::Status::Complete(len)) if len == head.len() => {}
        Ok(_) => return Err(bad("the head does not end in an empty line")),
        Err(e) => return Err(line_error(e, "the status line is malformed")),
    }
    let (Some(status), Some(minor)) = (parsed.code, parsed.version) else {
        return Err(bad("no status line"));
    };
    let (version, fields) = (Version::of(minor), parsed.headers.to_vec());
    // RFC 9110 15: values outside 100 to 599 are invalid.
    if !(100..600).contains(&status) {
        return Err(bad("the status code is not between 100 and 599"));
    }
    // RFC 9110 15.2.2: only in answer to an Upgrade, and only to the protocol that was asked for.
    if status == 101 && to != AnswerTo::WebSocket {
        return Err(bad("a 101 that nobody asked for"));
    }
    bounded_connection_options(&fields)?;
    let body = framing::response_body(to, status, version, &fields)?;
    let persistence = match body {
        BodyLength::UntilClose => Persistence::Close,
        _ => persistence(version, &fields),
    };
    let reason = parsed.reason.unwrap_or_default();
    Ok(ResponseHead { version, status, reason, body, persistence, fields })
}

/// The fields of a trailer section: `section` is its lines, each with CRLF, and the final empty
/// line.
pub(super) fn parse_trailers(section: &[u8]) -> Result<Vec<Field<'_>>, HeadError> {
    let mut lines = [httparse::EMPTY_HEADER; HEADERS_MAX];
    match httparse::parse_headers(section, &mut lines) {
        Ok(httparse::Status::Complete((len, fields))) if len == section.len() => {
            Ok(fields.to_vec())
        }
        Ok(_) => Err(bad("the trailer section does not end in an empty line")),
        Err(e) => Err(line_error(e, "the trailer section is malformed")),
    }
}

/// httparse takes a bare LF for a line end, and empty lines without number: the scanner is what
/// forbids both, so no head is parsed that it has not seen to the end.
fn is_one_head(head: &[u8], mut scanner: HeadScanner) -> Result<(), HeadError> {
    match scanner.find(head)? {
        Some(end) if end == head.len() => Ok(()),
        _ => Err(bad("the head does not end in an empty line")),
    }
}

/// What is wrong with a request that httparse refused.
fn request_error(e: httparse::Error, head: &[u8]) -> HeadError {
    let line = head.split(|b| *b == b'\r' || *b == b'\n').find(|line| !line.is_empty());
    let mut words = line.unwrap_or_default().split(|b| *b == b' ');
    let version = words.nth(2).filter(|_| words.next().is_none());
    match e {
        // RFC 9110 15.6.6: a version that exists, only not here.
        httparse::Error::Version if version.is_some_and(is_http_version) => {
            error(HeadErrorKind::Version, "the version is not HTTP/1.0 or HTTP/1.1")
        }
        e => line_error(e, "the request line is malformed"),
    }
}

fn line_error(e: httparse::Error, first_line: &'static str) -> HeadError {
    match e {
        httparse::Error::TooManyHeaders => {
            error(HeadErrorKind::TooLarge, "the head has too many fields")
        }
        // RFC 9112 5.1, 5.2: white space around a name, an empty name, a line that begins with
        // white space.
        httparse::Error::HeaderName => {
            bad("a field name is not a token right before its colon, or a line is folded")
        }
        httparse::Error::HeaderValue => bad("a field value holds a control byte"),
        _ => bad(first_line),
    }
}

/// `HTTP/` DIGIT `.` DIGIT
fn is_http_version(word: &[u8]) -> bool {
    matches!(word, [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
        if major.is_ascii_digit() && minor.is_ascii_digit())
}

/// RFC 9110 5.6.2: tchar.
pub(super) fn is_token_byte(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte)
}

pub(super) fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(is_token_byte)
}

/// RFC 9112 3.2: exactly one valid Host, which agrees with the authority of an absolute-form
/// target.
fn request_host<'a>(
    fields: &[Field<'a>],
    version: Version,
    authority: Option<Host<'a>>,
    scheme: Scheme,
) -> Result<Host<'a>, HeadError> {
    let mut hosts = values(fields, "host");
    let host = hosts.next().map(Host::parse).transpose()?;
    if hosts.next().is_some() {
        return Err(bad("more than one Host"));
    }
    match (host, authority) {
        (Some(host), None) => Ok(host),
        (Some(host), Some(authority)) if host.same(&authority, scheme) => Ok(host),
        (Some(_), Some(_)) => Err(bad("Host and the request target name different hosts")),
        (None, Some(authority)) if version == Version::Http10 => Ok(authority),
        // HTTP/1.0 need not send one, but the domain is chosen by it.
        (None, _) => Err(bad("no Host")),
    }
}

/// RFC 9112 9.3.
fn persistence(version: Version, fields: &[Field<'_>]) -> Persistence {
    let named = |option: &str| {
        list(fields, "connection").any(|o| o.eq_ignore_ascii_case(option.as_bytes()))
    };
    match version {
        _ if named("close") => Persistence::Close,
        Version::Http11 => Persistence::KeepAlive,
        Version::Http10 if named("keep-alive") => Persistence::KeepAlive,
        Version::Http10 => Persistence::Close,
    }
}

/// Every field is held against every option when the head is rewritten.
fn bounded_connection_options(fields: &[Field<'_>]) -> Result<(), HeadError> {
    if list(fields, "connection").nth(CONNECTION_OPTIONS_MAX).is_some() {
        return Err(error(HeadErrorKind::TooLarge, "Connection names too many options"));
    }
    Ok(())
}

/// RFC 9110 10.1.1.
fn expectation(
    version: Version,
    body: BodyLength,
    fields: &[Field<'_>],
) -> Result<Expect, HeadError> {
    let mut expect = Expect::Nothing;
    for value in list(fields, "expect") {
        if !value.eq_ignore_ascii_case(b"100-continue") {
            return Err(error(HeadErrorKind::Expectation, "Expect is not 100-continue"));
        }
        expect = Expect::Continue;
    }
    // It MUST be ignored in HTTP/1.0, and means nothing without a body.
    match (version, body) {
        (Version::Http10, _) | (_, BodyLength::None | BodyLength::Exact(0)) => Ok(Expect::Nothing),
        _ => Ok(expect),
    }
}

pub(super) const fn bad(detail: &'static str) -> HeadError {
    error(HeadErrorKind::Bad, detail)
}

pub(super) const fn error(kind: HeadErrorKind, detail: &'static str) -> HeadError {
    HeadError { kind, detail }
}

/// All values of the fields of one name.
pub fn values<'a, 'f>(
    fields: &'f [Field<'a>],
    name: &'f str,
) -> impl Iterator<Item = &'a [u8]> + use<'a, 'f> {
    fields.iter().filter(move |f| f.name.eq_ignore_ascii_case(name)).map(|f| f.value)
}

/// The elements of a comma-separated list of tokens, over all fields of one name; empty ones are
/// skipped (RFC 9110 5.6.1).
pub(super) fn list<'a, 'f>(
    fields: &'f [Field<'a>],
    name: &'f str,
) -> impl Iterator<Item = &'a [u8]> + use<'a, 'f> {
    values(fields, name)
        .flat_map(|value| value.split(|b| *b == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|element| !element.is_empty())
}

#[cfg(test)]
mod tests;
