//! What to do: the contract from the control plane to the data plane. Immutable, built and checked
//! off the data path, swapped as a whole ([`cell`]). No serde here: how it is written in files is
//! `control::config`.
//!
//! Two kinds of word inside are not immutable, and each says so: whether an endpoint is up, and how
//! many tunnels it has.

pub mod cell;
pub mod certs;
pub mod command;
pub mod domain;
pub mod geo;
pub mod hosts;
pub mod origin;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

pub use cell::{Reader, SnapshotCell};
pub use certs::{Certificates, ClientAuth, OriginTls, ServerTls, Tls, Transport};
pub use command::{Command, ConnRow, CoreHandle, Filter, Listed, Order, Pace};
pub use domain::{Domain, HeartbeatMode, OriginRule, OriginScheme, WebSocket};
pub use geo::{Geo, Locate, Place};
pub use hosts::Hosts;
pub use origin::{Balance, Endpoint, EndpointState, HashKey, Origin};

/// One whole configuration as the cores see it.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// Counts published snapshots from 1; 0 is the empty one before the first.
    pub generation: u64,
    /// Of the configuration text; 16 hexadecimal digits.
    pub hash: Box<str>,
    pub hosts: Hosts,
    pub geo: Arc<Geo>,
    pub http: Http,
    pub tls: Tls,
    pub certificates: Certificates,
    /// Key authorizations of HTTP-01 (RFC 8555 8.3), by token.
    pub http_challenges: HashMap<Box<str>, Box<str>>,
}

/// Rules for HTTP/1.1 that hold for every domain and may change by reload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Http {
    /// Peers whose X-Forwarded-* and Forwarded headers are kept, and who may send a PROXY header.
    pub trusted_proxies: Arc<[Cidr]>,
    /// PROXY header on incoming connections: off, required v1, required v2, required either.
    pub proxy_protocol: ProxyProtocol,
    /// From the first byte of a request (or from accept) to its last head byte.
    pub head_timeout: Duration,
    /// Between two requests of one connection.
    pub keepalive_timeout: Duration,
    /// Where connections to origins come from, in turn; empty lets the kernel choose.
    pub source_addresses: Arc<[IpAddr]>,
    /// Name of this node in Via and Forwarded.
    pub node: Arc<str>,
}

impl Default for Http {
    fn default() -> Http {
        Http {
            trusted_proxies: Arc::new([]),
            proxy_protocol: ProxyProtocol::Off,
            head_timeout: crate::limits::DEFAULT_HEAD_TIMEOUT,
            keepalive_timeout: crate::limits::DEFAULT_KEEPALIVE_TIMEOUT,
            source_addresses: Arc::new([]),
            node: "hawser".into(),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ProxyProtocol {
    #[default]
    Off,
    V1,
    V2,
    Any,
}

/// An address range; IPv4-mapped IPv6 addresses match IPv4 ranges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Cidr {
    address: IpAddr,
    prefix: u8,
}

impl Cidr {
    /// `None` when `prefix` is longer than the address, or bits behind the prefix are set.
    pub fn new(address: IpAddr, prefix: u8) -> Option<Cidr> {
        let address = address.to_canonical();
        let width = if address.is_ipv4() { 32 } else { 128 };
        let cidr = Cidr { address, prefix };
        (prefix <= width && masked(address, prefix) == bits(address)).then_some(cidr)
    }

    /// The range of one address.
    pub fn host(address: IpAddr) -> Cidr {
        let address = address.to_canonical();
        Cidr { address, prefix: if address.is_ipv4() { 32 } else { 128 } }
    }

    /// The first address of the range.
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// Of an IPv4 range at most 32.
    pub fn prefix(&self) -> u8 {
        self.prefix
    }

    pub fn contains(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        ip.is_ipv4() == self.address.is_ipv4() && masked(ip, self.prefix) == bits(self.address)
    }
}

impl std::fmt::Display for Cidr {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl std::str::FromStr for Cidr {
    type Err = String;

    fn from_str(text: &str) -> Result<Cidr, String> {
        let accepted =
            || "an address like 192.0.2.7 or a range like 10.0.0.0/8 or 2001:db8::/32".to_owned();
        let (address, prefix) = match text.split_once('/') {
            Some((a, p)) => (a, Some(p.parse::<u8>().map_err(|_| accepted())?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| accepted())?;
        let full = if address.to_canonical().is_ipv4() { 32 } else { 128 };
        Cidr::new(address, prefix.unwrap_or(full))
            .ok_or_else(|| format!("{} whose bits behind the prefix are zero", accepted()))
    }
}

/// The address as a number, left-aligned in 128 bits.
fn bits(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(v4) => u128::from(u32::from(v4)) << 96,
        IpAddr::V6(v6) => u128::from(v6),
    }
}

fn masked(ip: IpAddr, prefix: u8) -> u128 {
    bits(ip) & u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        let cases = [
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("10.0.0.0/8", "::ffff:10.1.1.1", true),
            ("0.0.0.0/0", "8.8.8.8", true),
            ("0.0.0.0/0", "::1", false),
            ("::/0", "2001:db8::1", true),
            ("2001:db8::/32", "2001:db8:1::1", true),
            ("192.0.2.7", "192.0.2.7", true),
            ("192.0.2.7", "192.0.2.8", false),
        ];
        for (range, ip, inside) in cases {
            let cidr: Cidr = range.parse().unwrap();
            assert_eq!(cidr.contains(ip.parse().unwrap()), inside, "{range} {ip}");
        }
        for wrong in ["10.0.0.1/8", "10.0.0.0/33", "::1/129", "x", "10.0.0.0/", ""] {
            assert!(wrong.parse::<Cidr>().is_err(), "{wrong}");
        }
    }
}
