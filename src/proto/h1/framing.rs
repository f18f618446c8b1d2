//! How long is a body (RFC 9112 6.3).

use super::head::{Field, HeadError, Version, bad, values};

/// Length of a message's body as it comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyLength {
    /// There is none, whatever Content-Length says (answers to HEAD, 1xx, 204, 304).
    None,
    Exact(u64),
    Chunked,
    /// Answers only: all bytes until the connection ends.
    UntilClose,
}

/// What a response answers, as far as it decides about the response's framing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerTo {
    Head,
    /// A request that was sent with `Upgrade: websocket`.
    WebSocket,
    Other,
}

/// RFC 9112 6.3 for requests. Both headers together are an error (6.1 only allows it to be one), so
/// there is no order of precedence to get wrong.
pub(super) fn request_body(
    version: Version,
    fields: &[Field<'_>],
) -> Result<BodyLength, HeadError> {
    match (transfer_coding(version, fields)?, content_length(fields)?) {
        (Some(Chunked), Some(_)) => Err(BOTH),
        // Rule 4.
        (Some(Chunked), None) => Ok(BodyLength::Chunked),
        // Rule 6.
        (None, Some(len)) => Ok(BodyLength::Exact(len)),
        // Rule 7.
        (None, None) => Ok(BodyLength::None),
    }
}

/// RFC 9112 6.3 for responses.
pub(super) fn response_body(
    to: AnswerTo,
    status: u16,
    version: Version,
    fields: &[Field<'_>],
) -> Result<BodyLength, HeadError> {
    let (coding, len) = (transfer_coding(version, fields)?, content_length(fields)?);
    if coding.is_some() && len.is_some() {
        return Err(BOTH);
    }
    if status < 200 || status == 204 {
        // RFC 9110 8.6 and RFC 9112 6.1 forbid both here. `Content-Length: 0` says what is true
        // anyway, and enough servers send it with a 204 that it is dropped instead.
        return match (coding, len) {
            (None, None | Some(0)) => Ok(BodyLength::None),
            _ => Err(bad("an answer that has no body announces one")),
        };
    }
    match (coding, len) {
        // Rule 1.
        _ if to == AnswerTo::Head || status == 304 => Ok(BodyLength::None),
        // Rule 4.
        (Some(Chunked), _) => Ok(BodyLength::Chunked),
        // Rule 6.
        (None, Some(len)) => Ok(BodyLength::Exact(len)),
        // Rule 8.
        (None, None) => Ok(BodyLength::UntilClose),
    }
}

const BOTH: HeadError = bad("both Content-Length and Transfer-Encoding");

/// The one transfer coding that is understood.
struct Chunked;

/// RFC 9112 6.1, 7: exactly one `chunked`, in one field, without parameters, and not in HTTP/1.0.
fn transfer_coding(version: Version, fields: &[Field<'_>]) -> Result<Option<Chunked>, HeadError> {
    let mut codings = values(fields, "transfer-encoding");
    let Some(coding) = codings.next() else { return Ok(None) };
    if version == Version::Http10 {
        return Err(bad("Transfer-Encoding in HTTP/1.0"));
    }
    if !coding.eq_ignore_ascii_case(b"chunked") || codings.next().is_some() {
        return Err(bad("Transfer-Encoding is not exactly chunked"));
    }
    Ok(Some(Chunked))
}

/// RFC 9110 8.6: one number. Repeated ones are refused even when they are equal (RFC 9112 6.3 rule
/// 5 allows either).
pub(super) fn content_length(fields: &[Field<'_>]) -> Result<Option<u64>, HeadError> {
    let mut lengths = values(fields, "content-length");
    let Some(text) = lengths.next() else { return Ok(None) };
    if lengths.next().is_some() {
        return Err(bad("more than one Content-Length"));
    }
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return Err(bad("Content-Length is not one number of digits"));
    }
    let len = text
        .iter()
        .try_fold(0_u64, |sum, digit| sum.checked_mul(10)?.checked_add(u64::from(digit - b'0')));
    match len {
        Some(len) if len <= LENGTH_MAX => Ok(Some(len)),
        _ => Err(bad("Content-Length is too large")),
    }
}

/// Largest body or chunk that is believed: above it, the signed 64-bit numbers of other parsers
/// overflow.
pub(super) const LENGTH_MAX: u64 = i64::MAX as u64;
