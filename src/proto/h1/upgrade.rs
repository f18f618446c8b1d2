//! The WebSocket handshake as an intermediary checks it: request (RFC 6455 4.2.1), answer (4.1),
//! Origin (10.2).

use base64::Engine;
use sha1::{Digest, Sha1};

use super::framing::BodyLength;
use super::head::{
    Field, HeadError, HeadErrorKind, RequestHead, ResponseHead, Version, bad, error, is_token,
    list, values,
};
use super::target::{Host, Scheme};
use crate::limits::EXTENSIONS_AGREED_MAX;

/// What a request asks to upgrade to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Upgrade<'a> {
    /// Nothing, or nothing that is ever forwarded: another protocol than websocket (h2c, TLS, ...),
    /// an Upgrade that Connection does not name, or one in HTTP/1.0. Served as plain HTTP.
    None,
    WebSocket {
        key: &'a str,
    },
    /// websocket, but against RFC 6455 4.2.1: 400 or 426. Where the domain has WebSocket switched
    /// off, the request may be served as plain HTTP all the same.
    Invalid(HeadError),
}

/// What origin and client agreed on in a verified 101.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Agreed {
    /// RSV bits that the agreed extensions allow: 0x40 for permessage-deflate, 0x70 for another
    /// extension, 0 for none.
    pub reserved_bits: u8,
}

/// RFC 6455 4.2.1 for a request that asks for websocket; every other Upgrade is `None`.
pub(super) fn asked_for<'a>(
    method: &str,
    version: Version,
    body: BodyLength,
    fields: &[Field<'a>],
) -> Upgrade<'a> {
    let websocket = list(fields, "upgrade").any(|p| p.eq_ignore_ascii_case(b"websocket"));
    let nominated = list(fields, "connection").any(|o| o.eq_ignore_ascii_case(b"upgrade"));
    // RFC 9110 7.8: an Upgrade in HTTP/1.0 MUST be ignored, and one that Connection does not name
    // is not meant for us.
    if !websocket || !nominated || version == Version::Http10 {
        return Upgrade::None;
    }
    match checked_key(method, body, fields) {
        Ok(key) => Upgrade::WebSocket { key },
        Err(e) => Upgrade::Invalid(e),
    }
}

fn checked_key<'a>(
    method: &str,
    body: BodyLength,
    fields: &[Field<'a>],
) -> Result<&'a str, HeadError> {
    if method != "GET" {
        return Err(bad("a WebSocket upgrade with another method than GET"));
    }
    // Nothing may stand between the head and the first frame: whoever frames it differently reads
    // other bytes as frames.
    if !matches!(body, BodyLength::None | BodyLength::Exact(0)) {
        return Err(bad("a WebSocket upgrade with a body"));
    }
    if !values(fields, "sec-websocket-version").eq([b"13".as_slice()]) {
        let detail = "Sec-WebSocket-Version is not exactly 13";
        return Err(error(HeadErrorKind::UpgradeVersion, detail));
    }
    let mut keys = values(fields, "sec-websocket-key");
    match (keys.next(), keys.next()) {
        (Some(key), None) => nonce(key).ok_or(bad("Sec-WebSocket-Key is not 16 bytes in base64")),
        (None, _) => Err(bad("a WebSocket upgrade without Sec-WebSocket-Key")),
        (Some(_), Some(_)) => Err(bad("more than one Sec-WebSocket-Key")),
    }
}

/// 16 bytes are 22 base64 digits and two pads. The 4 bits left over in the last digit are not
/// looked at: the server signs the text, not the bytes.
fn nonce(key: &[u8]) -> Option<&str> {
    let digits = key.strip_suffix(b"==")?;
    let base64 = |b: &u8| b.is_ascii_alphanumeric() || *b == b'+' || *b == b'/';
    if digits.len() == 22 && digits.iter().all(base64) {
        std::str::from_utf8(key).ok()
    } else {
        None
    }
}

/// RFC 6455 4.1, the numbered list about the server's answer. Any error means 502, and nothing of
/// the answer may reach the client.
pub fn verify_answer(
    request: &RequestHead<'_>,
    answer: &ResponseHead<'_>,
) -> Result<Agreed, HeadError> {
    let Upgrade::WebSocket { key } = request.upgrade else {
        return Err(bad("a 101 that nobody asked for"));
    };
    if answer.status != 101 {
        return Err(bad("the answer is not a 101"));
    }
    // RFC 9110 7.8: HTTP/1.0 knows no Upgrade.
    if answer.version == Version::Http10 {
        return Err(bad("a 101 in HTTP/1.0"));
    }
    let fields = &answer.fields;
    // Rule 2. More protocols than one (RFC 9110 7.8 has layers) were never offered.
    let mut protocols = list(fields, "upgrade");
    let websocket = protocols.next().is_some_and(|p| p.eq_ignore_ascii_case(b"websocket"));
    if !websocket || protocols.next().is_some() {
        return Err(bad("Upgrade of the 101 is not websocket"));
    }
    // Rule 3.
    if !list(fields, "connection").any(|o| o.eq_ignore_ascii_case(b"upgrade")) {
        return Err(bad("Connection of the 101 does not name upgrade"));
    }
    // Rule 4.
    if !values(fields, "sec-websocket-accept").eq([accept(key).as_bytes()]) {
        return Err(bad("Sec-WebSocket-Accept does not match the key"));
    }
    agreed_subprotocol(request, fields)?;
    Ok(Agreed { reserved_bits: agreed_extensions(request, fields)? })
}

/// RFC 6455 4.2.2: the value of Sec-WebSocket-Accept for a key.
fn accept(key: &str) -> String {
    let mut hash = Sha1::new();
    hash.update(key);
    hash.update("258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    base64::engine::general_purpose::STANDARD.encode(hash.finalize())
}

/// Rule 6: at most one subprotocol, and one of those offered.
fn agreed_subprotocol(request: &RequestHead<'_>, fields: &[Field<'_>]) -> Result<(), HeadError> {
    let name = "sec-websocket-protocol";
    let mut chosen = values(fields, name);
    match (chosen.next(), chosen.next()) {
        (None, _) => Ok(()),
        (Some(one), None) if list(&request.fields, name).any(|offered| offered == one) => Ok(()),
        _ => Err(bad("the subprotocol of the 101 is not one of those offered")),
    }
}

/// Rule 5: extensions are among those offered. Their reserved bits.
fn agreed_extensions(request: &RequestHead<'_>, fields: &[Field<'_>]) -> Result<u8, HeadError> {
    let name = "sec-websocket-extensions";
    let (mut bits, mut deflate) = (0, false);
    for (i, extension) in values(fields, name).flat_map(extensions).enumerate() {
        let extension = extension.ok_or(bad("Sec-WebSocket-Extensions of the 101 is malformed"))?;
        if i == EXTENSIONS_AGREED_MAX {
            return Err(bad("the 101 agrees to too many extensions"));
        }
        let (mut offered, mut window_offered) = (false, false);
        let offers = values(&request.fields, name).flat_map(extensions).flatten();
        for offer in offers.filter(|o| o.name.eq_ignore_ascii_case(extension.name)) {
            offered = true;
            window_offered |=
                offer.parameters().flatten().any(|(n, _)| n == b"client_max_window_bits");
        }
        if !offered {
            return Err(bad("an extension of the 101 was not offered"));
        }
        if !extension.name.eq_ignore_ascii_case(b"permessage-deflate") {
            bits |= 0x70;
        } else if deflate || !is_deflate_answer(&extension, window_offered) {
            return Err(bad("permessage-deflate of the 101 does not fit the offer"));
        } else {
            deflate = true;
            bits |= 0x40;
        }
    }
    Ok(bits)
}

/// RFC 7692 7.1.1, 7.1.2: four parameters, none twice, windows of 8 to 15 bits, and the client's
/// window only when the client said that it can have one.
fn is_deflate_answer(extension: &Extension<'_>, window_offered: bool) -> bool {
    let mut seen = 0_u8;
    for parameter in extension.parameters() {
        let Some((name, value)) = parameter else { return false };
        let bits = || match value {
            Some([digit @ b'8'..=b'9']) => Some(digit - b'0'),
            Some([b'1', digit @ b'0'..=b'5']) => Some(10 + digit - b'0'),
            _ => None,
        };
        let (bit, sane) = match name {
            b"server_no_context_takeover" => (1, value.is_none()),
            b"client_no_context_takeover" => (2, value.is_none()),
            b"server_max_window_bits" => (4, bits().is_some()),
            b"client_max_window_bits" => (8, bits().is_some() && window_offered),
            _ => return false,
        };
        if !sane || seen & bit != 0 {
            return false;
        }
        seen |= bit;
    }
    true
}

/// One element of Sec-WebSocket-Extensions (RFC 6455 9.1).
#[derive(Clone, Copy, Debug)]
struct Extension<'a> {
    name: &'a [u8],
    /// Everything behind the name, well formed as far as commas and quotes go.
    rest: &'a [u8],
}

/// The elements of one field value; `None` for a malformed one.
fn extensions(value: &[u8]) -> impl Iterator<Item = Option<Extension<'_>>> {
    split_unquoted(value, b',').filter(|element| !element.is_empty()).map(|element| {
        let end = element.iter().position(|b| *b == b';').unwrap_or(element.len());
        let (name, rest) = (element[..end].trim_ascii(), &element[end..]);
        let extension = Extension { name, rest };
        let sound = is_token(name) && extension.parameters().all(|p| p.is_some());
        sound.then_some(extension)
    })
}

type Parameter<'a> = (&'a [u8], Option<&'a [u8]>);

impl<'a> Extension<'a> {
    /// Names and values (without their quotes); `None` for a malformed one.
    fn parameters(&self) -> impl Iterator<Item = Option<Parameter<'a>>> + use<'a> {
        split_unquoted(self.rest, b';').skip(1).map(|parameter| {
            let mut sides = parameter.splitn(2, |b| *b == b'=');
            let name = sides.next().unwrap_or_default().trim_ascii();
            let value = sides.next().map(<[u8]>::trim_ascii);
            let unquoted = match value {
                Some([b'"', inner @ .., b'"']) => Some(inner),
                other => other,
            };
            // RFC 6455 9.1: a quoted value must be a token once it is unquoted.
            let sound = is_token(name) && unquoted.is_none_or(is_token);
            sound.then_some((name, unquoted))
        })
    }
}

/// The pieces between `separator`s that stand outside quotes, trimmed.
fn split_unquoted(value: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    let mut quoted = false;
    value
        .split(move |b| {
            quoted ^= *b == b'"';
            *b == separator && !quoted
        })
        .map(<[u8]>::trim_ascii)
}

/// Which Origin headers may open a WebSocket.
#[derive(Clone, Copy, Debug)]
pub enum OriginPolicy<'p> {
    Any,
    /// Host and port equal those of the request, and the scheme is http or https. `Scheme`: how the
    /// client came.
    SameHost(Scheme),
    /// Lower-case serialised origins.
    List(&'p [Box<str>]),
}

/// RFC 6455 10.2. Without an Origin header, or with several, only `Any` says yes.
pub fn origin_allowed(request: &RequestHead<'_>, policy: OriginPolicy<'_>) -> bool {
    let mut origins = values(&request.fields, "origin");
    let one = match (origins.next(), origins.next()) {
        (Some(origin), None) => Some(origin),
        _ => None,
    };
    match (policy, one) {
        (OriginPolicy::Any, _) => true,
        (_, None) => false,
        (OriginPolicy::SameHost(scheme), Some(origin)) => {
            is_same_host(origin, &request.host, scheme)
        }
        (OriginPolicy::List(list), Some(origin)) => {
            list.iter().any(|allowed| allowed.as_bytes().eq_ignore_ascii_case(origin))
        }
    }
}

/// RFC 6454 6.2. The schemes may differ: behind a proxy that ends TLS, pages are https and we see
/// http. Each side's default port then counts as none.
fn is_same_host(origin: &[u8], host: &Host<'_>, scheme: Scheme) -> bool {
    let lower = origin.to_ascii_lowercase();
    [Scheme::Http, Scheme::Https].into_iter().any(|origin_scheme| {
        let rest = lower
            .strip_prefix(origin_scheme.name().as_bytes())
            .and_then(|rest| rest.strip_prefix(b"://"));
        rest.and_then(|rest| Host::parse(rest).ok()).is_some_and(|origin| {
            origin.name == host.name && origin.other_port(origin_scheme) == host.other_port(scheme)
        })
    })
}

#[cfg(test)]
mod tests;
