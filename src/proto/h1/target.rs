//! Where does a request want to go: request target and Host, in their one canonical form.

use std::borrow::Cow;

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

/// What goes to the origin: origin-form (`/path?query`) or `*`, byte for byte as the client sent it. Of an absolute-form
/// the scheme and authority are cut off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target<'a>(pub(super) Cow<'a, str>);

impl Target<'_> {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The host that a request names, canonical.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host<'a> {
    /// Lower case, no port, no trailing dot; an IPv6 address in brackets and in its shortest form (RFC 5952).
    pub name: Cow<'a, str>,
    /// As written; `None` when the scheme's own is meant.
    pub port: Option<u16>,
}
