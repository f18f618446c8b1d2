//! What is published about the configuration is true: the examples are accepted, the reference is
//! written from the keys.

use std::fs;
use std::path::{Path, PathBuf};

use super::super::{Source, manual};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn the_examples_are_accepted() {
    let examples = root().join("examples");
    let source =
        Source { file: Some(examples.join("hawser.toml")), state_dir: Some(examples.clone()) };
    // A checkout may lie deeper than a state directory may; what is checked is the text.
    let short = tempfile::tempdir().unwrap();
    copy(&examples, short.path());
    let source = Source { state_dir: Some(short.path().to_owned()), ..source };
    let loaded = source.load().unwrap_or_else(|problems| panic!("{problems}"));
    let files = fs::read_dir(examples.join("domains")).unwrap().count();
    assert!(files >= 3 && loaded.domains.len() == files, "every example is a domain");
}

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            fs::create_dir(&target).unwrap();
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// `HAWSER_WRITE_DOCS=1 cargo test the_reference` writes it anew.
#[test]
fn the_reference_is_what_the_keys_say() {
    let path = root().join("docs/configuration.md");
    let wanted = manual::markdown();
    if std::env::var_os("HAWSER_WRITE_DOCS").is_some() {
        fs::write(&path, &wanted).unwrap();
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == wanted,
        "docs/configuration.md differs from src/control/config/keys.rs; write it anew with \
         HAWSER_WRITE_DOCS=1 cargo test --lib the_reference"
    );
}

#[test]
fn the_manual_page_is_clean_roff() {
    let page = manual::roff();
    let requests = [".TH", ".SH", ".SS", ".TP", ".B", ".br"];
    for line in page.lines().filter(|line| line.starts_with(['.', '\''])) {
        let request = line.split(' ').next().unwrap();
        assert!(requests.contains(&request), "{line}");
    }
    assert!(page.contains(".B heartbeat\n") && page.contains("Default: 60."));
}
