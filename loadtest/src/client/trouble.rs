//! What can go wrong with a connection: its kind, under which it is counted, and whose fault that
//! is. Not here: counts.

use std::fmt;
use std::io::{self, ErrorKind};

#[derive(Debug)]
pub enum Trouble {
    /// This process may open no further descriptors.
    Descriptors,
    /// No port of the source address is free for this target.
    Ports,
    /// The source address is not one of this machine.
    Source,
    Unreachable(io::Error),
    Refused,
    Reset,
    TimedOut,
    Tls(String),
    /// The handshake or request was answered with this status.
    Status(u16),
    /// What came is no answer to what was asked.
    Answer(String),
    /// The connection ended without a Close frame, or before its handshake was answered.
    Ended,
    /// Closed by the other side with this code.
    Closed(u16),
    /// WebSocket frames that the protocol does not allow.
    Protocol(String),
    Other(io::Error),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    Generator,
    Network,
    Target,
    /// Somebody whom the target asked.
    BehindTarget,
}

impl Trouble {
    pub fn kind(&self) -> String {
        match self {
            Trouble::Descriptors => "descriptors".into(),
            Trouble::Ports => "ports".into(),
            Trouble::Source => "source-address".into(),
            Trouble::Unreachable(_) => "unreachable".into(),
            Trouble::Refused => "refused".into(),
            Trouble::Reset => "reset".into(),
            Trouble::TimedOut => "timed-out".into(),
            Trouble::Tls(_) => "tls".into(),
            Trouble::Status(status) => format!("status-{status}"),
            Trouble::Answer(_) => "bad-answer".into(),
            Trouble::Ended => "ended".into(),
            Trouble::Closed(code) => format!("closed-{code}"),
            Trouble::Protocol(_) => "protocol".into(),
            Trouble::Other(_) => "other".into(),
        }
    }

    pub fn fault(&self) -> Fault {
        match self {
            Trouble::Descriptors | Trouble::Ports | Trouble::Source => Fault::Generator,
            Trouble::Unreachable(_) => Fault::Network,
            // RFC 9110 15.6: what a gateway says of those behind it.
            Trouble::Status(502..=504) => Fault::BehindTarget,
            _ => Fault::Target,
        }
    }
}

impl Fault {
    pub fn name(self) -> &'static str {
        match self {
            Fault::Generator => "generator",
            Fault::Network => "network",
            Fault::Target => "target",
            Fault::BehindTarget => "behind-target",
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trouble::Descriptors => {
                f.write_str("more connections need more descriptors: raise `ulimit -n`")
            }
            Trouble::Ports => {
                f.write_str("no free port is left on the source address: give more --sources")
            }
            Trouble::Source => f.write_str("the source address is not one of this machine"),
            Trouble::Unreachable(e) => write!(f, "unreachable: {e}"),
            Trouble::Refused => f.write_str("connection refused: nobody listens there"),
            Trouble::Reset => f.write_str("connection reset by the other side"),
            Trouble::TimedOut => f.write_str("timed out"),
            Trouble::Tls(why) => write!(f, "TLS: {why}"),
            Trouble::Status(status) => write!(f, "answered with status {status}"),
            Trouble::Answer(what) => write!(f, "no such answer was expected: {what}"),
            Trouble::Ended => f.write_str("closed by the other side"),
            Trouble::Closed(code) => write!(f, "closed by the other side with {code}"),
            Trouble::Protocol(what) => write!(f, "protocol error: {what}"),
            Trouble::Other(e) => e.fmt(f),
        }
    }
}

impl std::error::Error for Trouble {}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Trouble {
        match error.kind() {
            ErrorKind::ConnectionRefused => Trouble::Refused,
            ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => Trouble::Reset,
            ErrorKind::TimedOut => Trouble::TimedOut,
            ErrorKind::AddrNotAvailable | ErrorKind::AddrInUse => Trouble::Ports,
            ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => {
                Trouble::Unreachable(error)
            }
            // What links make of errors of their TLS.
            ErrorKind::Other => Trouble::Tls(error.to_string()),
            _ => match error.raw_os_error() {
                Some(libc::EMFILE | libc::ENFILE) => Trouble::Descriptors,
                _ => Trouble::Other(error),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_the_kernel_have_a_kind_and_somebody_at_fault() {
        for (code, kind, fault) in [
            (libc::ECONNREFUSED, "refused", Fault::Target),
            (libc::ECONNRESET, "reset", Fault::Target),
            (libc::EMFILE, "descriptors", Fault::Generator),
            (libc::EADDRNOTAVAIL, "ports", Fault::Generator),
            (libc::ENETUNREACH, "unreachable", Fault::Network),
        ] {
            let trouble = Trouble::from(io::Error::from_raw_os_error(code));
            assert_eq!((&*trouble.kind(), trouble.fault()), (kind, fault));
        }
        assert_eq!(Trouble::Status(503).fault(), Fault::BehindTarget);
        assert_eq!(Trouble::Status(403).fault(), Fault::Target);
    }
}
