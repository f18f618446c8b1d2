//! The OpenAPI document against the running edge, by schemathesis: it makes up requests, good and
//! bad, and compares every answer with what the document says.

use std::process::Command;

use super::harness::{DomainFile, Edge, Origin, Tunnel};
use super::{deps, peer};

#[test]
fn the_document_says_what_the_api_does() {
    let Some(deps) = deps() else { return };
    let origin = Origin::bind();
    let mut edge = Edge::builder()
        .workers(2)
        .admin("rate_rest = 100000")
        .domain(DomainFile::to("live.example.com", &origin))
        .start();
    // The examples of the document speak of this domain, and may end what it has.
    let _tunnel = Tunnel::open(&edge, &origin, "live.example.com");
    let dir = tempfile::tempdir().expect("a directory");
    let mut command = Command::new(deps.join("api/bin/schemathesis"));
    command.current_dir(dir.path());
    command.arg("--config-file").arg(peer("schemathesis.toml")).arg("run");
    command.arg(format!("http://{}/api/openapi.json", edge.admin()));
    command.arg("--header").arg(format!("Authorization: Bearer {}", edge.key("admin")));
    command.args(["--generation-deterministic", "--max-examples", "15"]);
    command.args(["--workers", "2", "--no-shrink", "--no-color", "--continue-on-failure"]);
    // They would end the edge, and go on for half a minute.
    command.args(["--exclude-path", "/api/v1/drain", "--exclude-path", "/api/v1/live/events"]);
    let output = command.output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(edge.is_running(), "{}", edge.stderr());
    assert!(!edge.stderr().contains("panicked"), "{}", edge.stderr());
    assert_eq!(edge.admin_get("/healthz").0, 200);
}
