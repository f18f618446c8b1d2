//! Where does a request want to go: request target and Host, in their one canonical form.

use std::borrow::Cow;
use std::net::Ipv6Addr;

use super::head::{HeadError, bad};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    Http,
    Https,
}

impl Scheme {
    pub fn name(self) -> &'static str {
        match self {
            Scheme::Http => "http",
            Scheme::Https => "https",
        }
    }

    pub fn default_port(self) -> u16 {
        match self {
            Scheme::Http => 80,
            Scheme::Https => 443,
        }
    }
}

/// What goes to the origin: origin-form (`/path?query`) or `*`, byte for byte as the client sent
/// it. Of an absolute-form the scheme and authority are cut off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target<'a>(pub(super) Cow<'a, str>);

impl<'a> Target<'a> {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// RFC 9112 3.2. The second value is the authority of an absolute-form.
    pub(super) fn parse(
        text: &'a str,
        method: &str,
        scheme: Scheme,
    ) -> Result<(Target<'a>, Option<Host<'a>>), HeadError> {
        // RFC 3986 2: a URI is printable ASCII. A fragment never travels (RFC 9110 7.1), and
        // parsers disagree about where the path ends when it does. The rest of what RFC 3986
        // forbids is in daily use and means the same to everybody.
        if text.bytes().any(|b| !b.is_ascii_graphic()) {
            return Err(bad("the request target is not printable ASCII"));
        }
        if text.contains('#') {
            return Err(bad("the request target holds a fragment"));
        }
        if text.starts_with('/') {
            return Ok((Target(Cow::Borrowed(text)), None));
        }
        if text == "*" {
            return match method {
                "OPTIONS" => Ok((Target(Cow::Borrowed(text)), None)),
                _ => Err(bad("the request target is * and the method is not OPTIONS")),
            };
        }
        let (named, rest) = text
            .split_once("://")
            .ok_or(bad("the request target is neither a path nor an absolute URI"))?;
        // RFC 9110 7.4: a request for another scheme has come to the wrong place.
        if !named.eq_ignore_ascii_case(scheme.name()) {
            return Err(bad("the scheme of the request target is not that of the connection"));
        }
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        // RFC 9110 4.2.4: userinfo is refused along with everything else that is no host.
        let authority = Host::parse(authority.as_bytes())?;
        let path = match path.as_bytes().first() {
            // RFC 9112 3.2.4
            None if method == "OPTIONS" => Cow::Borrowed("*"),
            None => Cow::Borrowed("/"),
            Some(b'?') => Cow::Owned(format!("/{path}")),
            Some(_) => Cow::Borrowed(path),
        };
        Ok((Target(path), Some(authority)))
    }
}

/// The host that a request names, canonical.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host<'a> {
    /// Lower case, no port, no trailing dot; an IPv6 address in brackets and in its shortest form
    /// (RFC 5952).
    pub name: Cow<'a, str>,
    /// As written; `None` when the scheme's own is meant.
    pub port: Option<u16>,
}

impl<'a> Host<'a> {
    /// RFC 9110 7.2: `uri-host [ ":" port ]`, of which only names as DNS has them and IP addresses
    /// are accepted: no percent-encoding, no sub-delims, nothing empty.
    pub fn parse(text: &'a [u8]) -> Result<Host<'a>, HeadError> {
        let text = std::str::from_utf8(text).map_err(|_| NO_HOST_NAME)?;
        let (name, port) = match text.rfind(':') {
            Some(colon) if !text.ends_with(']') => (&text[..colon], Some(&text[colon + 1..])),
            _ => (text, None),
        };
        Ok(Host { name: canonical_name(name).ok_or(NO_HOST_NAME)?, port: parse_port(port)? })
    }

    /// Whether both mean the same place when the scheme is the same.
    pub(super) fn same(&self, other: &Host<'_>, scheme: Scheme) -> bool {
        self.name == other.name && self.other_port(scheme) == other.other_port(scheme)
    }

    /// The port, unless it is the one that `scheme` means anyway.
    pub(super) fn other_port(&self, scheme: Scheme) -> Option<u16> {
        self.port.filter(|port| *port != scheme.default_port())
    }
}

impl std::fmt::Display for Host<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.port {
            Some(port) => write!(f, "{}:{port}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

const NO_HOST_NAME: HeadError = bad("Host is not a host name or an IP address");

/// The one form of a host name by which domains are found: lower case, without the trailing dot; an
/// IPv6 address in brackets and in its shortest form. `None`: not a name.
pub fn canonical_name(name: &str) -> Option<Cow<'_, str>> {
    if let Some(address) = name.strip_prefix('[') {
        let address: Ipv6Addr = address.strip_suffix(']')?.parse().ok()?;
        return Some(Cow::Owned(format!("[{address}]")));
    }
    let name = name.strip_suffix('.').unwrap_or(name);
    let label = |label: &str| {
        // RFC 1035 2.3.4. The underscore is no letter of host names, but container networks use it.
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    if name.len() > 253 || !name.split('.').all(label) {
        return None;
    }
    Some(match name.bytes().any(|b| b.is_ascii_uppercase()) {
        true => Cow::Owned(name.to_ascii_lowercase()),
        false => Cow::Borrowed(name),
    })
}

/// RFC 3986 3.2.3 allows an empty one.
fn parse_port(port: Option<&str>) -> Result<Option<u16>, HeadError> {
    let Some(port) = port.filter(|port| !port.is_empty()) else { return Ok(None) };
    if !port.bytes().all(|b| b.is_ascii_digit()) {
        return Err(bad("the port of Host is not a number"));
    }
    match port.parse() {
        Ok(0) | Err(_) => Err(bad("the port of Host is not between 1 and 65535")),
        Ok(port) => Ok(Some(port)),
    }
}

#[cfg(test)]
mod tests;
