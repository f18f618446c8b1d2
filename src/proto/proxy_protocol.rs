//! PROXY protocol v1 and v2: who connected to the proxy before us, and telling the origin who connected to us.
//! Not here: whom to believe (`snapshot::Http::trusted_proxies`).

use std::net::SocketAddr;

/// Which versions an incoming connection may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accepted {
    V1,
    V2,
    Any,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decoded {
    /// No verdict yet: read more (never more than `limits::PROXY_V2_BYTES_MAX` in all).
    Partial,
    /// `len` bytes were the header; the connection's own bytes follow.
    Complete { header: Header, len: usize },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Header {
    /// LOCAL or UNKNOWN, or an address family that is not IP: the connection stands for itself.
    Local,
    Proxied {
        source: SocketAddr,
        destination: SocketAddr,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProxyError(pub &'static str);

impl std::fmt::Display for ProxyError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for ProxyError {}

/// `buf`: all bytes since the connection began.
pub fn decode(_buf: &[u8], _accepted: Accepted) -> Result<Decoded, ProxyError> {
    unimplemented!()
}

/// The line for a connection from `source` to `destination`; of mixed families, IPv4 is written as mapped IPv6.
pub fn write_v1(_out: &mut Vec<u8>, _source: SocketAddr, _destination: SocketAddr) {
    unimplemented!()
}

pub fn write_v2(_out: &mut Vec<u8>, _source: SocketAddr, _destination: SocketAddr) {
    unimplemented!()
}
