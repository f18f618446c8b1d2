//! Snapshots of as many domains as a node may have: built at first, and built again when one of
//! them has changed, with all that a reload compares. Not here: reading and checking their files,
//! certificates, names that have to be asked for.

use std::collections::HashMap;
use std::hint::black_box;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use hawser::control::certs::{Challenges, Keyring};
use hawser::control::config::{DomainConfig, Loaded, Text, from_texts};
use hawser::control::publish::{Tls, build, lost, missing_from};
use hawser::control::registry::Registry;
use hawser::limits::DOMAINS_MAX;
use hawser::snapshot::Snapshot;

use super::Case;

const DOMAINS: u64 = DOMAINS_MAX as u64;

/// An operator's domain of the usual kind.
const DOMAIN: &str = r#"
name = "live.example.com"
close_on_origin_down = 500

[websocket]
enabled = true
heartbeat = 60
allowed_origins = ["https://www.example.com", "https://m.example.com"]
max_message = "64KiB"
max_connections_per_ip = 200

[[origin]]
address = "10.0.0.5"
port = 8080

[[origin]]
address = "10.0.0.6"
port = 8080
priority = 30
"#;

pub fn cases() -> Vec<Case> {
    vec![built(), reloaded(), filled()]
}

/// Generation 1 with domains of these names.
pub fn snapshot_of(names: impl Iterator<Item = String>) -> Snapshot {
    publish(&loaded(names), &mut Registry::default())
}

fn built() -> Case {
    let units = (DOMAINS, "domain");
    Case::new("build a snapshot of 65,536 domains", units, || {
        let loaded = loaded(names());
        move || drop(black_box(publish(black_box(&loaded), &mut Registry::default())))
    })
}

/// What runs between a checked configuration and the next answer of a core.
fn reloaded() -> Case {
    let units = (DOMAINS, "domain");
    Case::new("reload 65,536 domains of which one has changed", units, || {
        let mut loaded = loaded(names());
        let mut registry = Registry::default();
        let mut running = publish(&loaded, &mut registry);
        let mut port = 8080;
        move || {
            port += 1;
            loaded.domains[4711].origins[0].port = port;
            let next = publish(black_box(&loaded), &mut registry);
            assert!(missing_from(&running, &next).is_empty());
            assert!(missing_from(&next, &running).is_empty());
            assert_eq!(lost(&running, &next).len(), 1);
            running = next;
            registry.forget_endpoints();
        }
    })
}

/// The least that has to be done for one: a place for each name.
fn filled() -> Case {
    let case = Case::new("fill a plain hash map with as many names", (DOMAINS, "domain"), || {
        let names: Vec<Arc<str>> = names().map(Arc::from).collect();
        move || {
            let named = names.iter().map(|name| (Arc::clone(name), Arc::new(())));
            drop(black_box(named.collect::<HashMap<_, _>>()));
        }
    });
    case.floor()
}

fn names() -> impl Iterator<Item = String> {
    (0..DOMAINS).map(|i| format!("live{i}.example.com"))
}

/// Copies of one checked domain: to check as many texts takes longer than all that is counted.
fn loaded(names: impl Iterator<Item = String>) -> Loaded {
    let text = Text { path: PathBuf::new(), text: DOMAIN.to_owned() };
    let one = from_texts(&Text::default(), &[text]).unwrap_or_else(|problems| panic!("{problems}"));
    let domain = &one.domains[0];
    let domains = names.map(|name| DomainConfig { name: name.into(), ..domain.clone() }).collect();
    Loaded { domains, ..one }
}

fn publish(loaded: &Loaded, registry: &mut Registry) -> Snapshot {
    let (keyring, challenges) = (Keyring::default(), Challenges::default());
    let tls = Tls { keyring: &keyring, challenges: &challenges, listening: false };
    let unasked = |_: &str| -> Arc<[IpAddr]> { Arc::new([]) };
    build(loaded, &Snapshot::default(), 1, registry, &tls, unasked, |_| false)
        .expect("they are as many as may be")
}
