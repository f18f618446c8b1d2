//! Domain by host name: exact first, then the wildcard one label up. Not here: parsing a Host
//! header (`proto::h1::target`).

use std::collections::HashMap;
use std::sync::Arc;

use super::domain::Domain;

/// Keyed by attackers' choice of name, so std's keyed hash.
#[derive(Debug, Default)]
pub struct Hosts {
    exact: HashMap<Arc<str>, Arc<Domain>>,
    /// Keyed without the `*.`.
    wildcard: HashMap<Arc<str>, Arc<Domain>>,
}

impl Hosts {
    pub fn new(domains: impl IntoIterator<Item = Arc<Domain>>) -> Hosts {
        let mut hosts = Hosts::default();
        for domain in domains {
            match domain.name.strip_prefix("*.") {
                Some(parent) => hosts.wildcard.insert(parent.into(), domain),
                None => hosts.exact.insert(Arc::clone(&domain.name), domain),
            };
        }
        hosts
    }

    /// `host`: lower case, no port, no trailing dot. A wildcard stands for exactly one label, as in
    /// a certificate (RFC 6125 6.4.3).
    pub fn find(&self, host: &str) -> Option<&Arc<Domain>> {
        self.exact.get(host).or_else(|| {
            let (label, parent) = host.split_once('.')?;
            if label.is_empty() { None } else { self.wildcard.get(parent) }
        })
    }

    /// Whether a domain of exactly this configured name, wildcard or not, exists.
    pub fn contains(&self, name: &str) -> bool {
        match name.strip_prefix("*.") {
            Some(parent) => self.wildcard.contains_key(parent),
            None => self.exact.contains_key(name),
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = &Arc<Domain>> {
        self.exact.values().chain(self.wildcard.values())
    }

    pub fn len(&self) -> usize {
        self.exact.len() + self.wildcard.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
