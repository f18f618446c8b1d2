//! PROXY protocol v1 and v2: who connected to the proxy before us, and telling the origin who
//! connected to us. Not here: whom to believe (`snapshot::Http::trusted_proxies`).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::limits::{PROXY_V1_BYTES_MAX, PROXY_V2_BYTES_MAX};

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

/// `buf`: all bytes since the connection began. Nothing of what they are is guessed: a connection
/// that does not begin with an accepted header is refused.
pub fn decode(buf: &[u8], accepted: Accepted) -> Result<Decoded, ProxyError> {
    let may_be = |start: &[u8]| buf.iter().zip(start).all(|(a, b)| a == b);
    if accepted != Accepted::V1 && may_be(V2_SIGNATURE) {
        return decode_v2(buf);
    }
    if accepted != Accepted::V2 && may_be(V1_START) {
        return decode_v1(buf);
    }
    Err(ProxyError("the connection does not begin with a PROXY header of an accepted version"))
}

/// The line for a connection from `source` to `destination`; of mixed families, IPv4 is written as
/// mapped IPv6.
pub fn write_v1(out: &mut Vec<u8>, source: SocketAddr, destination: SocketAddr) {
    let (from, to) = (source.port(), destination.port());
    let line = match one_family(source, destination) {
        Family::V4(a, b) => format!("PROXY TCP4 {a} {b} {from} {to}\r\n"),
        // Not as `Display` writes mapped addresses: half of the parsers do not know the dotted
        // form.
        Family::V6(a, b) => format!("PROXY TCP6 {} {} {from} {to}\r\n", Hex(a), Hex(b)),
    };
    out.extend_from_slice(line.as_bytes());
}

pub fn write_v2(out: &mut Vec<u8>, source: SocketAddr, destination: SocketAddr) {
    out.extend_from_slice(V2_SIGNATURE);
    out.push(0x21);
    match one_family(source, destination) {
        Family::V4(a, b) => {
            out.extend_from_slice(&[0x11, 0, 12]);
            out.extend_from_slice(&a.octets());
            out.extend_from_slice(&b.octets());
        }
        Family::V6(a, b) => {
            out.extend_from_slice(&[0x21, 0, 36]);
            out.extend_from_slice(&a.octets());
            out.extend_from_slice(&b.octets());
        }
    }
    out.extend_from_slice(&source.port().to_be_bytes());
    out.extend_from_slice(&destination.port().to_be_bytes());
}

const V1_START: &[u8] = b"PROXY ";
const V2_SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
const V2_FIXED: usize = 16;

/// PROXY protocol 2.1: one line, single spaces, at most 107 bytes.
fn decode_v1(buf: &[u8]) -> Result<Decoded, ProxyError> {
    let within = &buf[..buf.len().min(PROXY_V1_BYTES_MAX)];
    let Some(feed) = within.iter().position(|b| *b == b'\n') else {
        if within.len() == PROXY_V1_BYTES_MAX {
            return Err(ProxyError("the PROXY line is longer than 107 bytes"));
        }
        return Ok(Decoded::Partial);
    };
    let line = within[..feed].strip_suffix(b"\r").ok_or(V1_MALFORMED)?;
    let line = std::str::from_utf8(line).map_err(|_| V1_MALFORMED)?;
    let words: Vec<&str> = line.split(' ').collect();
    let header = match words[..] {
        // The rest of the line MUST be ignored.
        ["PROXY", "UNKNOWN", ..] => Header::Local,
        ["PROXY", family @ ("TCP4" | "TCP6"), source, destination, from, to] => Header::Proxied {
            source: v1_address(family, source, from)?,
            destination: v1_address(family, destination, to)?,
        },
        _ => return Err(V1_MALFORMED),
    };
    Ok(Decoded::Complete { header, len: feed + 1 })
}

const V1_MALFORMED: ProxyError = ProxyError("the PROXY line is malformed");

fn v1_address(family: &str, address: &str, port: &str) -> Result<SocketAddr, ProxyError> {
    let address: IpAddr = match family {
        "TCP4" => IpAddr::V4(address.parse().map_err(|_| V1_MALFORMED)?),
        _ => IpAddr::V6(address.parse().map_err(|_| V1_MALFORMED)?),
    };
    let digits = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
    if !digits || (port.len() > 1 && port.starts_with('0')) {
        return Err(V1_MALFORMED);
    }
    Ok(SocketAddr::new(address.to_canonical(), port.parse().map_err(|_| V1_MALFORMED)?))
}

/// PROXY protocol 2.2.
fn decode_v2(buf: &[u8]) -> Result<Decoded, ProxyError> {
    let Some((fixed, rest)) = buf.split_first_chunk::<V2_FIXED>() else {
        return Ok(Decoded::Partial);
    };
    let (version_command, family) = (fixed[12], fixed[13]);
    let announced = usize::from(u16::from_be_bytes([fixed[14], fixed[15]]));
    if V2_FIXED + announced > PROXY_V2_BYTES_MAX {
        return Err(ProxyError("the PROXY v2 header is longer than 536 bytes"));
    }
    let Some(body) = rest.get(..announced) else { return Ok(Decoded::Partial) };
    let header = match (version_command, family) {
        (0x20, _) => Header::Local,
        (0x21, 0x11) => v2_addresses::<4>(body)?,
        (0x21, 0x21) => v2_addresses::<16>(body)?,
        // AF_UNSPEC, datagrams and Unix sockets: nothing that a TCP client's address could be.
        (0x21, 0x00 | 0x12 | 0x22 | 0x31 | 0x32) => Header::Local,
        (0x21, _) => return Err(ProxyError("the PROXY v2 address family is not defined")),
        _ => return Err(ProxyError("the PROXY v2 version or command is not defined")),
    };
    Ok(Decoded::Complete { header, len: V2_FIXED + announced })
}

/// Two addresses of `N` bytes and two ports; TLVs behind them are not read.
fn v2_addresses<const N: usize>(body: &[u8]) -> Result<Header, ProxyError>
where
    IpAddr: From<[u8; N]>,
{
    const SHORT: ProxyError = ProxyError("the PROXY v2 header is shorter than its addresses");
    let (source, rest) = body.split_first_chunk::<N>().ok_or(SHORT)?;
    let (destination, rest) = rest.split_first_chunk::<N>().ok_or(SHORT)?;
    let (from, rest) = rest.split_first_chunk::<2>().ok_or(SHORT)?;
    let (to, _) = rest.split_first_chunk::<2>().ok_or(SHORT)?;
    let address = |ip: &[u8; N], port: &[u8; 2]| {
        SocketAddr::new(IpAddr::from(*ip).to_canonical(), u16::from_be_bytes(*port))
    };
    Ok(Header::Proxied { source: address(source, from), destination: address(destination, to) })
}

enum Family {
    V4(Ipv4Addr, Ipv4Addr),
    V6(Ipv6Addr, Ipv6Addr),
}

fn one_family(source: SocketAddr, destination: SocketAddr) -> Family {
    let v6 = |ip: IpAddr| match ip {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    };
    match (source.ip().to_canonical(), destination.ip().to_canonical()) {
        (IpAddr::V4(a), IpAddr::V4(b)) => Family::V4(a, b),
        (a, b) => Family::V6(v6(a), v6(b)),
    }
}

/// An IPv6 address in eight groups without `::` and without a dotted end.
struct Hex(Ipv6Addr);

impl std::fmt::Display for Hex {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [first, rest @ ..] = self.0.segments();
        write!(f, "{first:x}")?;
        rest.iter().try_for_each(|group| write!(f, ":{group:x}"))
    }
}

#[cfg(test)]
mod tests;
