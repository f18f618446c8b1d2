//! Which of 100,000 domains is meant. Not here: parsing the Host field (`heads`).

use std::collections::HashMap;
use std::hint::black_box;
use std::sync::Arc;

use hawser::snapshot::{Domain, Hosts};

use super::snapshot::snapshot_of;
use super::{Case, mix};

/// As many exact names as wildcards.
const EACH: u64 = 50_000;
/// Look-ups in one run, each of another name: hashes are keyed at random, so only many of them cost
/// the same from run to run.
const LOOKUPS: u64 = 10_000;

pub fn cases() -> Vec<Case> {
    let exact = |i: u64| format!("live{}.example.com", mix(i) % EACH);
    let below = |i: u64| format!("a{i}.tenant{}.example.net", mix(i) % EACH);
    let nobodys = |i: u64| format!("live{i}.tenant{i}.example.org");
    vec![
        lookup("find an exact name among 100,000 domains", exact, LOOKUPS),
        lookup("find a name below a wildcard among them", below, LOOKUPS),
        lookup("find nothing among them", nobodys, 0),
        in_a_plain_map("find the exact name in a plain hash map", exact),
    ]
}

fn domains() -> impl Iterator<Item = Arc<Domain>> {
    let exact = snapshot_of((0..EACH).map(|i| format!("live{i}.example.com")));
    let wildcard = snapshot_of((0..EACH).map(|i| format!("*.tenant{i}.example.net")));
    let found: Vec<_> = exact.hosts.iter().chain(wildcard.hosts.iter()).cloned().collect();
    found.into_iter()
}

fn lookup(name: &str, asked: fn(u64) -> String, hits: u64) -> Case {
    Case::new(name, (LOOKUPS, "look-up"), move || {
        let hosts = Hosts::new(domains());
        let names: Vec<String> = (0..LOOKUPS).map(asked).collect();
        move || {
            let found = names.iter().filter(|name| hosts.find(black_box(name)).is_some()).count();
            assert_eq!(found as u64, hits);
        }
    })
}

fn in_a_plain_map(name: &str, asked: fn(u64) -> String) -> Case {
    let case = Case::new(name, (LOOKUPS, "look-up"), move || {
        let named = |domain: Arc<Domain>| (Arc::clone(&domain.name), domain);
        let map: HashMap<Arc<str>, Arc<Domain>> = domains().map(named).collect();
        let names: Vec<String> = (0..LOOKUPS).map(asked).collect();
        move || {
            let found = names.iter().filter(|name| map.contains_key(black_box(name.as_str())));
            assert_eq!(found.count() as u64, LOOKUPS);
        }
    });
    case.floor()
}
