//! What keeps its identity from one snapshot to the next: the counter slot of a domain, and the
//! state of an endpoint.
//!
//! Not here: building snapshots (`publish`), judging health (`health`).

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;

use crate::limits::DOMAINS_MAX;
use crate::snapshot::{Endpoint, EndpointState};

/// Hands out slots by domain name and endpoint states by address.
#[derive(Debug)]
pub struct Registry {
    slots: HashMap<Arc<str>, u32>,
    /// Slots of vanished domains, oldest first, until somebody else needs one.
    retired: VecDeque<(Arc<str>, u32)>,
    next: u32,
    slots_max: u32,
    endpoints: HashMap<SocketAddr, Arc<EndpointState>>,
}

/// Every slot belongs to a domain, or to one whose tunnels have not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "no room for another domain: this node counts at most {slots_max}, and the places of removed \
     ones are free only when their last tunnel has ended; remove domains, or try again later"
)]
pub struct Full {
    slots_max: u32,
}

impl Default for Registry {
    fn default() -> Registry {
        Registry::with_slots(DOMAINS_MAX as u32)
    }
}

impl Registry {
    fn with_slots(slots_max: u32) -> Registry {
        Registry {
            slots: HashMap::new(),
            retired: VecDeque::new(),
            next: 0,
            slots_max,
            endpoints: HashMap::new(),
        }
    }

    /// The slot of `name`: the one it has, the one it had, a fresh one, or one whose domain
    /// vanished longest ago and for which `in_use` finds no tunnel. Fresh before used, because
    /// counters go on from where they stand.
    pub fn slot(&mut self, name: &Arc<str>, in_use: impl Fn(u32) -> bool) -> Result<u32, Full> {
        if let Some(&slot) = self.slots.get(name) {
            return Ok(slot);
        }
        let slot = if let Some(i) = self.retired.iter().position(|(had, _)| had == name) {
            self.retired.remove(i).expect("position() found it").1
        } else if self.next < self.slots_max {
            self.next += 1;
            self.next - 1
        } else {
            let idle = self.retired.iter().position(|(_, slot)| !in_use(*slot));
            let i = idle.ok_or(Full { slots_max: self.slots_max })?;
            self.retired.remove(i).expect("position() found it").1
        };
        self.slots.insert(Arc::clone(name), slot);
        Ok(slot)
    }

    /// Retires the slots of all domains but those for which `exists` holds.
    pub fn retire(&mut self, exists: impl Fn(&str) -> bool) {
        let gone: Vec<_> = self.slots.extract_if(|name, _| !exists(name)).collect();
        self.retired.extend(gone);
    }

    /// The endpoint at `addr`, with the state that it has had since it first appeared.
    pub fn endpoint(&mut self, addr: SocketAddr) -> Endpoint {
        Endpoint { addr, state: Arc::clone(self.endpoints.entry(addr).or_default()) }
    }

    /// Forgets the endpoints that nobody else knows: no snapshot, no tunnel, no health check.
    pub fn forget_endpoints(&mut self) {
        self.endpoints.retain(|_, state| Arc::strong_count(state) > 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Arc<str> {
        text.into()
    }

    #[test]
    fn a_slot_is_stable_and_returns_to_its_own_domain() {
        let mut registry = Registry::with_slots(3);
        let (a, b) = (name("a.test"), name("b.test"));
        let idle = |_| false;
        assert_eq!(registry.slot(&a, idle), Ok(0));
        assert_eq!(registry.slot(&b, idle), Ok(1));
        registry.retire(|n| n == "b.test");
        assert_eq!(registry.slot(&b, idle), Ok(1));
        assert_eq!(registry.slot(&name("c.test"), idle), Ok(2), "fresh before used");
        assert_eq!(registry.slot(&a, idle), Ok(0), "its own again");
    }

    #[test]
    fn a_slot_is_not_reused_while_its_tunnels_live() {
        let mut registry = Registry::with_slots(1);
        assert_eq!(registry.slot(&name("a.test"), |_| true), Ok(0));
        registry.retire(|_| false);
        assert_eq!(registry.slot(&name("b.test"), |_| true), Err(Full { slots_max: 1 }));
        assert_eq!(registry.slot(&name("b.test"), |_| false), Ok(0));
    }

    #[test]
    fn an_endpoint_keeps_its_state_while_anybody_knows_it() {
        let mut registry = Registry::default();
        let addr = "192.0.2.1:80".parse().unwrap();
        let endpoint = registry.endpoint(addr);
        endpoint.state.tunnel_opened();
        registry.forget_endpoints();
        assert_eq!(registry.endpoint(addr).state.tunnels(), 1);
        drop(endpoint);
        registry.forget_endpoints();
        assert_eq!(registry.endpoint(addr).state.tunnels(), 0);
    }
}
