//! The official SDKs of DCDN (two for Python, two for Node), unchanged but for endpoint and
//! protocol, and the calls of the public Terraform provider.

use std::path::Path;
use std::process::Command;

use super::harness::{Authority, Clock, Edge, EdgeBuilder, Origin};
use super::{deps, node, peer, succeeds};

/// Nobody's domains yet, and no plan. Clients of 127.0.0.1 are in Beijing.
fn builder() -> EdgeBuilder {
    let rules = peer("places.csv");
    let geo = format!("[geo]\nrules = \"{}\"", rules.display());
    Edge::builder().workers(2).billing(&["enabled = true"]).table(&geo)
}

fn python(deps: &Path, script: &str) -> Command {
    let mut command = Command::new(deps.join("api/bin/python"));
    command.arg(peer(script)).env("PYTHONUNBUFFERED", "1");
    command
}

/// Which program, which client of it, and what they talk about.
fn talk(program: fn(&Path) -> Command, client: &str, conversation: &str) {
    let Some(deps) = deps() else { return };
    let (origin, edge) = (Origin::echoing(), builder().start());
    let pair = Authority::new("of the test").pair(&["terraform.example.com"]);
    let mut command = program(&deps);
    command.env("HAWSER_TEST_CERTIFICATE", pair.certificate());
    command.env("HAWSER_TEST_PRIVATE_KEY", pair.key());
    said(command, client, conversation, (&edge, &origin));
}

/// What the client prints on its way to a good end.
fn said(
    mut command: Command,
    client: &str,
    conversation: &str,
    (edge, origin): (&Edge, &Origin),
) -> String {
    command.args([client, conversation]);
    command.args([edge.admin(), edge.addr(), origin.addr].map(|addr| addr.port().to_string()));
    command.env("HAWSER_TEST_KEY", edge.admin_key());
    let said = succeeds(command);
    assert!(said.contains(&format!("ok {client} {conversation}")), "{said}");
    said
}

/// Traffic in one hour; the bill of it when that hour is closed, by the same client.
fn is_billed(program: fn(&Path) -> Command, client: &str) {
    let Some(deps) = deps() else { return };
    let Some(clock) = Clock::at("2026-06-10T12:10:00Z") else { return };
    let (origin, mut edge) = (Origin::echoing(), builder().clock(&clock).start());
    let in_its_time = || {
        let mut command = program(&deps);
        command.envs(clock.environment());
        command
    };
    let used = said(in_its_time(), client, "use", (&edge, &origin));
    let bytes = used.lines().find_map(|line| line.strip_prefix("used "));
    let bytes = bytes.unwrap_or_else(|| panic!("no bytes in {used}"));
    edge.kill();
    clock.set("2026-06-10T22:00:00Z");
    edge.start_again();
    let mut later = in_its_time();
    later.env("HAWSER_TEST_BYTES", bytes);
    said(later, client, "bill", (&edge, &origin));
}

fn with_python(deps: &Path) -> Command {
    python(deps, "dcdn.py")
}

fn with_node(deps: &Path) -> Command {
    node(deps, "dcdn.mjs")
}

#[test]
fn the_current_python_sdk_runs_the_whole_script() {
    talk(with_python, "tea", "script");
}

/// `signature_algorithm = "v2"`.
#[test]
fn the_current_python_sdk_runs_it_with_its_older_signature() {
    talk(with_python, "tea-v2", "script");
}

#[test]
fn the_classic_python_sdk_runs_the_whole_script() {
    talk(with_python, "classic", "script");
}

#[test]
fn the_current_node_sdk_runs_the_whole_script() {
    talk(with_node, "tea", "script");
}

#[test]
fn pop_core_runs_the_whole_script_with_get() {
    talk(with_node, "pop", "script");
}

#[test]
fn pop_core_runs_the_whole_script_with_forms() {
    talk(with_node, "pop-post", "script");
}

#[test]
fn the_python_sdks_read_the_bill_of_their_own_traffic() {
    is_billed(with_python, "tea");
    is_billed(with_python, "classic");
}

#[test]
fn the_node_sdks_read_the_bill_of_their_own_traffic() {
    is_billed(with_node, "tea");
    is_billed(with_node, "pop");
}

/// DCDN OpenAPI 2018-01-15: the classic client takes the string to sign out of the message and
/// finds that only the secret can be wrong.
#[test]
fn every_sdk_is_told_of_a_wrong_secret() {
    for client in ["tea", "tea-v2", "classic"] {
        talk(with_python, client, "wrong-secret");
    }
    for client in ["tea", "pop", "pop-post"] {
        talk(with_node, client, "wrong-secret");
    }
}

#[test]
fn the_calls_of_the_terraform_provider_come_to_their_ends() {
    talk(with_python, "tea", "terraform");
    talk(with_python, "tea-v2", "terraform");
}
