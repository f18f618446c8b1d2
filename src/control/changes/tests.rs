//! What needs no running edge: revisions and names. The rest is in `tests/it/changes.rs`.

use super::*;

#[test]
fn a_revision_is_short_and_of_the_text() {
    assert_eq!(revision("a").len(), 16);
    assert_eq!(revision("a"), revision("a"));
    assert_ne!(revision("a"), revision("b"));
}

#[test]
fn every_way_has_a_name() {
    for via in [Via::Api, Via::Dcdn, Via::Cli, Via::File, Via::Edge] {
        assert_eq!(Via::of(via.name()), via);
        assert_eq!(serde_json::json!(via), via.name());
    }
}
