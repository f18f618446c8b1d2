//! Which fields pass, by name. One table per direction, so that no rule about a name stands
//! anywhere else.

use super::head::{Field, list};
use super::rewrite::Peer;

/// Where a head goes, as far as it decides which fields go along.
#[derive(Clone, Copy, Debug)]
pub(super) enum Direction {
    Request {
        peer: Peer,
        /// An upgrade to websocket goes along.
        upgrade: bool,
        /// The body goes on as chunks, so it may have trailers.
        chunked: bool,
        /// Max-Forwards is written anew.
        counted: bool,
    },
    Response {
        chunked: bool,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    /// For one connection only, or written anew from what was parsed.
    Connection,
    /// Written anew by the edge in requests.
    Edge,
    /// Told by a proxy about its client: from anybody else it is a lie.
    Forwarding,
    /// Of the WebSocket handshake.
    Handshake,
    MaxForwards,
    /// Announces trailers.
    Trailer,
    Via,
    RequestId,
    EndToEnd,
}

pub(super) fn is_copied(name: &str, direction: Direction) -> bool {
    match (class(name), direction) {
        (Class::Connection | Class::Via | Class::RequestId, _) => false,
        (Class::EndToEnd, Direction::Request { .. }) => !is_alias(name),
        (Class::Edge, Direction::Request { .. }) => false,
        (Class::Forwarding, Direction::Request { peer, .. }) => peer == Peer::Trusted,
        // An origin that sees a key might take an Upgrade for granted.
        (Class::Handshake, Direction::Request { upgrade, .. }) => upgrade,
        (Class::MaxForwards, Direction::Request { counted, .. }) => !counted,
        (Class::Trailer, Direction::Request { chunked, .. } | Direction::Response { chunked }) => {
            chunked
        }
        (
            Class::EndToEnd
            | Class::Edge
            | Class::Forwarding
            | Class::Handshake
            | Class::MaxForwards,
            Direction::Response { .. },
        ) => true,
    }
}

/// RFC 9110 7.6.1: Connection nominates this field, so it ends here. Nominations do not reach what
/// every recipient needs: otherwise a client could make the edge drop what it, or a proxy before
/// it, says about the client.
pub(super) fn is_nominated(name: &str, all: &[Field<'_>]) -> bool {
    let nominated =
        list(all, "connection").any(|option| option.eq_ignore_ascii_case(name.as_bytes()));
    nominated && !is_for_every_recipient(name)
}

/// Whether a trailer field of this name is passed on: RFC 9110 6.5.1 forbids what frames, routes,
/// authenticates, modifies the request or controls the answer, because it would be merged into a
/// head that was already acted upon.
pub(super) fn may_trail(name: &str) -> bool {
    let mut buffer = [0; NAME_MAX];
    let Some(lower) = lower(name, &mut buffer, |b| b) else { return true };
    let acted_upon = matches!(
        lower,
        b"host"
            | b"cache-control"
            | b"pragma"
            | b"range"
            | b"authorization"
            | b"www-authenticate"
            | b"proxy-authentication-info"
            | b"authentication-info"
            | b"cookie"
            | b"set-cookie"
            | b"origin"
            | b"referer"
            | b"age"
            | b"date"
            | b"expires"
            | b"location"
            | b"retry-after"
            | b"vary"
            | b"warning"
            | b"alt-svc"
            | b"etag"
            | b"strict-transport-security"
    );
    let prefixed = [b"content-".as_slice(), b"if-", b"access-control-", b"accept"]
        .iter()
        .any(|prefix| lower.starts_with(prefix));
    class(name) == Class::EndToEnd && !is_alias(name) && !acted_upon && !prefixed
}

/// Names longer than this are none of ours.
const NAME_MAX: usize = 40;

fn class(name: &str) -> Class {
    let mut buffer = [0; NAME_MAX];
    lower(name, &mut buffer, |b| b).map_or(Class::EndToEnd, class_of_lower)
}

fn class_of_lower(lower: &[u8]) -> Class {
    match lower {
        b"connection"
        | b"keep-alive"
        | b"proxy-connection"
        | b"te"
        | b"transfer-encoding"
        | b"content-length"
        | b"upgrade"
        | b"http2-settings"
        | b"proxy-authorization"
        | b"proxy-authenticate" => Class::Connection,
        b"host"
        | b"expect"
        | b"x-forwarded-for"
        | b"x-forwarded-proto"
        | b"x-forwarded-host"
        | b"forwarded"
        | b"x-client-cert-subject" => Class::Edge,
        b"x-real-ip" => Class::Forwarding,
        b"trailer" => Class::Trailer,
        b"max-forwards" => Class::MaxForwards,
        b"via" => Class::Via,
        b"x-request-id" => Class::RequestId,
        _ if lower.starts_with(b"x-forwarded-") => Class::Forwarding,
        _ if lower.starts_with(b"sec-websocket-") => Class::Handshake,
        _ => Class::EndToEnd,
    }
}

/// A name that becomes one of ours where an application server maps every other byte to `_`, as CGI
/// and its heirs do: `X_Forwarded_For` would arrive beside the edge's own X-Forwarded-For. Other
/// names with `_` are left alone.
fn is_alias(name: &str) -> bool {
    let mut buffer = [0; NAME_MAX];
    let hyphens = |b: u8| if b.is_ascii_alphanumeric() { b } else { b'-' };
    let Some(mapped) = lower(name, &mut buffer, hyphens) else { return false };
    !mapped.eq_ignore_ascii_case(name.as_bytes()) && class_of_lower(mapped) != Class::EndToEnd
}

fn is_for_every_recipient(name: &str) -> bool {
    let mut buffer = [0; NAME_MAX];
    let Some(lower) = lower(name, &mut buffer, |b| b) else { return false };
    let class = class_of_lower(lower);
    matches!(class, Class::Forwarding | Class::Handshake)
        || lower.starts_with(b"content-")
        || matches!(
            lower,
            b"authorization"
                | b"cookie"
                | b"set-cookie"
                | b"origin"
                | b"cache-control"
                | b"date"
                | b"location"
                | b"vary"
                | b"etag"
                | b"expires"
                | b"www-authenticate"
                | b"strict-transport-security"
        )
}

/// `name` in lower case and mapped; `None` when it is longer than the buffer.
fn lower<'b>(
    name: &str,
    buffer: &'b mut [u8; NAME_MAX],
    map: impl Fn(u8) -> u8,
) -> Option<&'b [u8]> {
    let lower = buffer.get_mut(..name.len())?;
    for (to, from) in lower.iter_mut().zip(name.bytes()) {
        *to = map(from.to_ascii_lowercase());
    }
    Some(lower)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes() {
        for (name, expected) in [
            ("Connection", Class::Connection),
            ("Proxy-Connection", Class::Connection),
            ("HTTP2-Settings", Class::Connection),
            ("X-Forwarded-For", Class::Edge),
            ("x-forwarded-PORT", Class::Forwarding),
            ("Sec-WebSocket-Key", Class::Handshake),
            ("Accept", Class::EndToEnd),
        ] {
            assert_eq!(class(name), expected, "{name}");
        }
        assert_eq!(class(&"x".repeat(1000)), Class::EndToEnd);
    }

    #[test]
    fn aliases_of_fields_that_the_edge_sets_or_ends() {
        for name in [
            "X_Forwarded_For",
            "X_Forwarded-Proto",
            "x.forwarded.port",
            "X_Real_IP",
            "X_Client_Cert_Subject",
            "Content_Length",
            "Transfer_Encoding",
            "Sec_WebSocket_Key",
            "x_request_id",
            "Proxy_Connection",
        ] {
            assert!(is_alias(name), "{name}");
        }
        for name in ["X-Forwarded-For", "user_id", "session_token", "X_Forwarding", "Accept"] {
            assert!(!is_alias(name), "{name}");
        }
    }

    #[test]
    fn trailers_rfc9110_6_5_1() {
        for name in [
            "Content-Length",
            "Transfer-Encoding",
            "Host",
            "Trailer",
            "Authorization",
            "Cookie",
            "Content-Type",
            "If-Match",
            "X-Forwarded-For",
            "X_Forwarded_For",
            "Connection",
            "Via",
            "Expect",
            "Sec-WebSocket-Key",
        ] {
            assert!(!may_trail(name), "{name}");
        }
        for name in ["X-Checksum", "Server-Timing", "grpc-status", "Digest"] {
            assert!(may_trail(name), "{name}");
        }
    }
}
