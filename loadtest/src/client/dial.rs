//! Connections that are being made, from any of several addresses in turn: each address has some
//! 28,000 ports for one target. Not here: what is said on them.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;

use anyhow::{Context as _, ensure};
use mio::net::TcpStream;
use socket2::{Domain, Socket, Type};

use super::trouble::Trouble;

/// Addresses `first` to `last`, used in turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sources {
    first: IpAddr,
    count: u32,
    next: u32,
}

impl Sources {
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Part `part` of `parts` of them, for a process of its own; shared where there are too few.
    pub fn part(&self, part: u32, parts: u32) -> Sources {
        let (each, extra) = (self.count / parts, self.count % parts);
        match each {
            0 => Sources { first: self.at(part % self.count), count: 1, next: 0 },
            _ => {
                let first = self.at(part * each + part.min(extra));
                Sources { first, count: each + u32::from(part < extra), next: 0 }
            }
        }
    }

    /// The next one.
    pub fn turn(&mut self) -> IpAddr {
        let address = self.at(self.next);
        self.next = (self.next + 1) % self.count;
        address
    }

    fn at(&self, place: u32) -> IpAddr {
        match self.first {
            IpAddr::V4(ip) => Ipv4Addr::from_bits(ip.to_bits() + place).into(),
            one @ IpAddr::V6(_) => one,
        }
    }
}

impl FromStr for Sources {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Sources> {
        let way = || format!("{text:?} is no address and no range like 127.0.0.2-127.0.0.40");
        let Some((first, last)) = text.split_once('-') else {
            return Ok(Sources { first: text.parse().with_context(way)?, count: 1, next: 0 });
        };
        let first: Ipv4Addr = first.parse().with_context(way)?;
        let last: Ipv4Addr = last.parse().with_context(way)?;
        ensure!(first <= last, "{text:?} ends before it begins");
        let count = (last.to_bits() - first.to_bits()).saturating_add(1);
        Ok(Sources { first: first.into(), count, next: 0 })
    }
}

impl fmt::Display for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.count {
            1 => self.first.fmt(f),
            count => write!(f, "{}-{}", self.first, self.at(count - 1)),
        }
    }
}

/// A connection from any port of `source`, or from wherever the kernel chooses.
pub fn connecting(source: Option<IpAddr>, target: SocketAddr) -> Result<TcpStream, Trouble> {
    let socket = Socket::new(Domain::for_address(target), Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.set_tcp_nodelay(true)?;
    if let Some(source) = source {
        socket.bind(&SocketAddr::from((source, 0)).into()).map_err(|e| match e.kind() {
            io::ErrorKind::AddrNotAvailable => Trouble::Source,
            _ => e.into(),
        })?;
    }
    match socket.connect(&target.into()) {
        Ok(()) => {}
        // EINPROGRESS, which std has no name for.
        Err(e) if e.raw_os_error() == Some(libc::EINPROGRESS) => {}
        Err(e) => return Err(e.into()),
    }
    Ok(TcpStream::from_std(socket.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_come_in_turn_and_are_divided_among_processes() {
        let all: Sources = "127.0.0.2-127.0.0.6".parse().expect("a range");
        assert_eq!((all.count(), all.to_string()), (5, "127.0.0.2-127.0.0.6".to_owned()));
        let parts: Vec<String> = (0..2).map(|part| all.part(part, 2).to_string()).collect();
        assert_eq!(parts, ["127.0.0.2-127.0.0.4", "127.0.0.5-127.0.0.6"]);
        let few: Vec<String> = (0..6).map(|part| all.part(part, 6).to_string()).collect();
        assert_eq!((&*few[0], &*few[4], &*few[5]), ("127.0.0.2", "127.0.0.6", "127.0.0.2"));
        let mut two = parts[1].parse::<Sources>().expect("what is printed is read");
        let turns: Vec<String> = (0..3).map(|_| two.turn().to_string()).collect();
        assert_eq!(turns, ["127.0.0.5", "127.0.0.6", "127.0.0.5"]);
    }

    #[test]
    fn what_is_no_range_is_refused() {
        for text in ["", "127.0.0.9-127.0.0.2", "127.0.0.1-", "localhost"] {
            assert!(text.parse::<Sources>().is_err(), "{text:?}");
        }
    }
}
