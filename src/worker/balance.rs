//! In which order one request tries the endpoints of its domain. Pure: chance comes in as a number.

use std::hash::Hasher;
use std::net::IpAddr;
use std::sync::Arc;

use rustc_hash::FxHasher;

use crate::snapshot::{Balance, Endpoint, Origin, Transport};

/// What decides between endpoints of the same priority, from [`Balance`] and the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// A fresh random number each time.
    Weighted(u64),
    /// Fewest live tunnels per weight; a random number breaks ties.
    LeastConnections(u64),
    /// The same number goes to the same endpoint while that is up.
    Hash(u64),
}

impl Choice {
    /// `key`: what the domain hashes by; `None` where the request does not have it, and then its
    /// client's address counts.
    pub fn new(balance: &Balance, client: IpAddr, key: Option<&[u8]>, random: u64) -> Choice {
        match (balance, key) {
            (Balance::Weighted, _) => Choice::Weighted(random),
            (Balance::LeastConnections, _) => Choice::LeastConnections(random),
            (Balance::Hash(_), Some(key)) => Choice::Hash(hash(key)),
            (Balance::Hash(_), None) => match client.to_canonical() {
                IpAddr::V4(v4) => Choice::Hash(hash(&v4.octets())),
                IpAddr::V6(v6) => Choice::Hash(hash(&v6.octets())),
            },
        }
    }
}

/// The endpoints for `transport` that are up, best first: by priority, then as `choice` says. Empty
/// when none is up.
pub fn order(origins: &[Arc<Origin>], transport: Transport, choice: Choice) -> Vec<&Endpoint> {
    let mut candidates: Vec<(u16, f64, f64, &Endpoint)> = Vec::new();
    for origin in origins {
        // A name's weight is the share of the name, however many addresses it has.
        let endpoints = origin.endpoints(transport);
        let weight = f64::from(origin.weight.max(1)) / endpoints.len().max(1) as f64;
        for endpoint in endpoints.iter().filter(|endpoint| endpoint.state.is_up()) {
            let (load, seed) = match choice {
                Choice::LeastConnections(random) => {
                    (f64::from(endpoint.state.tunnels() + 1) / weight, random)
                }
                Choice::Weighted(random) => (0.0, random),
                Choice::Hash(key) => (0.0, key),
            };
            candidates.push((origin.priority, load, draw(seed, endpoint, weight), endpoint));
        }
    }
    candidates.sort_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)).then(a.2.total_cmp(&b.2)));
    candidates.into_iter().map(|candidate| candidate.3).collect()
}

/// An exponential variate with rate `weight`, drawn from seed and address: the least of several is
/// each one with a probability in proportion to its weight. With a random seed that is a weighted
/// choice, with a key's hash it is weighted rendezvous hashing: an endpoint that goes takes only
/// its own keys along.
fn draw(seed: u64, endpoint: &Endpoint, weight: f64) -> f64 {
    let mut hasher = FxHasher::default();
    match endpoint.addr.ip() {
        IpAddr::V4(v4) => hasher.write(&v4.octets()),
        IpAddr::V6(v6) => hasher.write(&v6.octets()),
    }
    hasher.write_u16(endpoint.addr.port());
    let mixed = mix(seed ^ mix(hasher.finish()));
    // 53 bits, as many as a float holds, and never 0.
    let uniform = ((mixed >> 11) + 1) as f64 / (1u64 << 53) as f64;
    -uniform.ln() / weight
}

fn hash(key: &[u8]) -> u64 {
    let mut hasher = FxHasher::default();
    hasher.write(key);
    mix(hasher.finish())
}

/// The finaliser of splitmix64: every bit of the result depends on every bit of the input.
fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::net::SocketAddr;

    use super::*;

    const PLAIN: Transport = Transport::Plain;

    fn origin(priority: u16, weight: u16, ports: &[u16]) -> Arc<Origin> {
        let endpoint = |port: u16| Endpoint {
            addr: SocketAddr::from(([127, 0, 0, 1], port)),
            state: Arc::default(),
        };
        Arc::new(Origin {
            address: "origin".into(),
            priority,
            weight,
            endpoints: ports.iter().map(|&port| endpoint(port)).collect(),
            tls_endpoints: ports.iter().take(1).map(|&port| endpoint(port + 400)).collect(),
            former: Box::default(),
        })
    }

    fn ports(endpoints: &[&Endpoint]) -> Vec<u16> {
        endpoints.iter().map(|endpoint| endpoint.addr.port()).collect()
    }

    /// How often each port comes first over many choices.
    fn firsts(
        origins: &[Arc<Origin>],
        n: u64,
        choice: impl Fn(u64) -> Choice,
    ) -> HashMap<u16, u64> {
        let mut firsts = HashMap::new();
        for i in 0..n {
            *firsts.entry(order(origins, PLAIN, choice(mix(i)))[0].addr.port()).or_default() += 1;
        }
        firsts
    }

    #[test]
    fn backups_come_last_and_the_dead_not_at_all() {
        let origins = [origin(30, 10, &[3]), origin(20, 10, &[1]), origin(20, 10, &[2])];
        for seed in 0..50 {
            let order = ports(&order(&origins, PLAIN, Choice::Weighted(mix(seed))));
            assert_eq!(order[2], 3);
            assert_eq!(order[0] + order[1], 3);
        }
        origins[1].endpoints[0].state.set_up(false);
        assert_eq!(ports(&order(&origins, PLAIN, Choice::Weighted(7))), [2, 3]);
        origins[0].endpoints[0].state.set_up(false);
        origins[2].endpoints[0].state.set_up(false);
        assert!(order(&origins, PLAIN, Choice::Weighted(7)).is_empty());
    }

    #[test]
    fn each_transport_has_endpoints_of_its_own() {
        let origins = [origin(30, 10, &[43]), origin(20, 10, &[1, 2])];
        origins[1].endpoints[0].state.set_up(false);
        let order = |transport| ports(&order(&origins, transport, Choice::Weighted(7)));
        assert_eq!((order(PLAIN), order(Transport::Tls)), (vec![2, 43], vec![401, 443]));
    }

    #[test]
    fn weights_are_shares() {
        let origins = [origin(20, 30, &[1]), origin(20, 10, &[2, 3])];
        for choice in [Choice::Weighted as fn(u64) -> Choice, Choice::Hash] {
            let firsts = firsts(&origins, 40_000, choice);
            assert!((29_000..31_000).contains(&firsts[&1]), "{firsts:?}");
            assert!((4_500..5_500).contains(&firsts[&2]), "{firsts:?}");
        }
    }

    #[test]
    fn least_connections_by_weight() {
        let origins = [origin(20, 10, &[1]), origin(20, 20, &[2])];
        origins[0].endpoints[0].state.tunnel_opened();
        assert_eq!(ports(&order(&origins, PLAIN, Choice::LeastConnections(1))), [2, 1]);
        for _ in 0..4 {
            origins[1].endpoints[0].state.tunnel_opened();
        }
        assert_eq!(ports(&order(&origins, PLAIN, Choice::LeastConnections(1))), [1, 2]);
    }

    #[test]
    fn a_key_keeps_its_endpoint_when_another_goes() {
        let origins = [origin(20, 10, &[1, 2, 3, 4])];
        let before: Vec<u16> =
            (0..1000).map(|i| ports(&order(&origins, PLAIN, Choice::Hash(mix(i))))[0]).collect();
        origins[0].endpoints[2].state.set_up(false);
        for (i, first) in before.iter().enumerate().filter(|(_, first)| **first != 3) {
            assert_eq!(ports(&order(&origins, PLAIN, Choice::Hash(mix(i as u64))))[0], *first);
        }
    }

    #[test]
    fn what_is_hashed() {
        let by = Balance::Hash(crate::snapshot::HashKey::ClientAddress);
        let client = |text: &str| text.parse::<IpAddr>().unwrap();
        let choice = |ip, key| Choice::new(&by, client(ip), key, 1);
        assert_eq!(choice("192.0.2.1", None), choice("::ffff:192.0.2.1", None));
        assert_ne!(choice("192.0.2.1", None), choice("192.0.2.2", None));
        assert_eq!(choice("192.0.2.1", Some(b"user")), choice("192.0.2.2", Some(b"user")));
    }
}
