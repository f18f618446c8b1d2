//! The console in a browser: Debian's Chromium, driven by Playwright, on the real edge with real
//! clients and origins. One script per page (`console/*.mjs`), one test per script. What they need
//! stands in `target/test-deps`, which `tests/run` fills; screenshots go to
//! `target/console-screenshots`.
//!
//! Not here: the REST API below the pages (`tests/it/api.rs`).

#[allow(dead_code, unused_imports, reason = "the harness of tests/it; this uses a part of it")]
#[path = "it/harness/mod.rs"]
mod harness;
#[path = "console/history.rs"]
mod history;
#[path = "console/stage.rs"]
mod stage;

use stage::Stage;

#[test]
fn pages() {
    Stage::new().plays("pages");
}

#[test]
fn security() {
    Stage::new().plays("security");
}

#[test]
fn sign_in() {
    Stage::new().plays("sign_in");
}

#[test]
fn keys() {
    Stage::new().plays("keys");
}

#[test]
fn audit() {
    Stage::new().plays("audit");
}

#[test]
fn units() {
    Stage::new().plays("units");
}

#[test]
fn overview() {
    Stage::new().plays("overview");
}

#[test]
fn domains() {
    Stage::new().plays("domains");
}

#[test]
fn domain() {
    Stage::new().plays("domain");
}

#[test]
fn domains_without_plan() {
    Stage::new().without_plan().plays("domains_without_plan");
}

#[test]
fn statistics() {
    Stage::new().first(|edge| history::fill(edge.dir())).plays("statistics");
}

#[test]
fn connections() {
    Stage::new().plays("connections");
}

#[test]
fn usage() {
    let now = jiff::Timestamp::now().to_string();
    let Some(clock) = harness::Clock::at(&now) else { return };
    let prices = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/prices.toml");
    let billing = ["enabled = true", &format!("prices = \"{prices}\"")];
    Stage::new().without_plan().clock(clock).edge(|edge| edge.billing(&billing)).plays("usage");
}

#[test]
fn health() {
    Stage::new().plays("health");
}

/// A script that no test plays would pass for ever.
#[test]
fn every_script_is_played() {
    let tests = include_str!("console.rs");
    for script in stage::scripts() {
        assert!(tests.contains(&format!("plays(\"{script}\")")), "no test plays {script}.mjs");
    }
}
