//! Admission to one domain: the limits that hold for the node as a whole and so must be seen by
//! every core.
//!
//! This and [`super::rate`] are the places where cores write the same words. It is touched when a
//! handshake asks to begin and when its tunnel ends, never by a message, and only by domains that
//! set the limit in question.

use std::net::IpAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rustc_hash::FxHashMap;

use super::outcome::Refusal;
use super::rate::Rate;

/// What the domain allows; `None` where it sets no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Allowance {
    pub connections: Option<u32>,
    pub connections_per_ip: Option<u32>,
    /// Handshakes per second; a burst of one second's worth is let through at once.
    pub handshakes_per_second: Option<u32>,
}

#[derive(Debug, Default)]
pub struct Admission {
    active: AtomicU32,
    per_ip: Mutex<FxHashMap<IpAddr, u32>>,
    handshakes: Rate,
}

/// The right to one tunnel; give it back with [`Admission::leave`].
#[derive(Debug, PartialEq, Eq)]
#[must_use = "an admission that is not given back blocks a place for ever"]
pub struct Admitted {
    ip: Option<IpAddr>,
}

impl Admission {
    /// Asks for one more tunnel from `ip` at `now` (any clock that starts with the process).
    ///
    /// # Errors
    /// The limit that was reached, and after how long it is worth trying again; nothing is counted
    /// then.
    pub fn enter(
        &self,
        allowance: Allowance,
        ip: IpAddr,
        now: Duration,
    ) -> Result<Admitted, (Refusal, Duration)> {
        const RETRY: Duration = Duration::from_secs(1);
        if let Some(per_second) = allowance.handshakes_per_second {
            self.handshakes
                .take(per_second, now, Duration::ZERO)
                .map_err(|wait| (Refusal::HandshakeRate, wait))?;
        }
        let before = self.active.fetch_add(1, Ordering::Relaxed);
        if allowance.connections.is_some_and(|max| before >= max) {
            self.active.fetch_sub(1, Ordering::Relaxed);
            return Err((Refusal::ConnectionLimit, RETRY));
        }
        let Some(max) = allowance.connections_per_ip else { return Ok(Admitted { ip: None }) };
        let mut per_ip = self.per_ip.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let count = per_ip.entry(ip).or_insert(0);
        if *count >= max {
            drop(per_ip);
            self.active.fetch_sub(1, Ordering::Relaxed);
            return Err((Refusal::AddressLimit, RETRY));
        }
        *count += 1;
        Ok(Admitted { ip: Some(ip) })
    }

    pub fn leave(&self, admitted: Admitted) {
        self.active.fetch_sub(1, Ordering::Relaxed);
        let Some(ip) = admitted.ip else { return };
        let mut per_ip = self.per_ip.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(count) = per_ip.get_mut(&ip) {
            *count -= 1;
            if *count == 0 {
                per_ip.remove(&ip);
            }
        }
    }

    pub fn active(&self) -> u32 {
        self.active.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    const B: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));

    #[test]
    fn places_are_given_back() {
        let admission = Admission::default();
        let allowance =
            Allowance { connections: Some(3), connections_per_ip: Some(2), ..Allowance::default() };
        let enter = |ip| admission.enter(allowance, ip, Duration::ZERO).map_err(|e| e.0);
        let (first, _second) = (enter(A).unwrap(), enter(A).unwrap());
        assert_eq!(enter(A), Err(Refusal::AddressLimit));
        assert_eq!(admission.active(), 2);
        let _third = enter(B).unwrap();
        assert_eq!(enter(B), Err(Refusal::ConnectionLimit));
        admission.leave(first);
        assert!(enter(A).is_ok());
    }

    #[test]
    fn a_burst_of_one_second_then_the_rate() {
        let admission = Admission::default();
        let allowance = Allowance { handshakes_per_second: Some(10), ..Allowance::default() };
        let enter = |ms| admission.enter(allowance, A, Duration::from_millis(ms));
        for _ in 0..10 {
            let _ = enter(5).unwrap();
        }
        let (refusal, wait) = enter(5).unwrap_err();
        assert_eq!((refusal, wait), (Refusal::HandshakeRate, Duration::from_millis(100)));
        assert!(enter(104).is_err());
        assert!(enter(105).is_ok());
    }
}
