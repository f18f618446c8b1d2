//! What files there are, and what can be wrong with a file.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::super::{Source, load, load_domains};
use super::*;

/// A state directory with a `hawser.toml` beside `domains/`.
struct Site {
    dir: tempfile::TempDir,
}

impl Site {
    fn new(server: &str) -> Site {
        let site = Site { dir: tempfile::tempdir().unwrap() };
        fs::create_dir(site.dir.path().join("domains")).unwrap();
        fs::write(site.file(), server).unwrap();
        site
    }

    fn file(&self) -> std::path::PathBuf {
        self.dir.path().join("hawser.toml")
    }

    fn domain(self, file: &str, text: impl AsRef<[u8]>) -> Site {
        fs::write(self.dir.path().join("domains").join(file), text).unwrap();
        self
    }

    fn source(&self) -> Source {
        Source { file: Some(self.file()), state_dir: Some(self.dir.path().to_owned()) }
    }

    fn problems(&self) -> String {
        let problems = self.source().load().unwrap_err().to_string();
        problems.replace(&self.dir.path().display().to_string(), "DIR")
    }
}

#[test]
fn good_files_come_sorted_by_name() {
    let site = Site::new("[server]\nworkers = 2\n")
        .domain("b.example.com.toml", DOMAIN.replace("a.ex", "b.ex"))
        .domain("a.example.com.toml", DOMAIN)
        .domain("*.example.com.toml", DOMAIN.replace("a.ex", "*.ex"))
        .domain(".c.example.com.toml.1", "half written")
        .domain(".hidden.toml", "half written")
        .domain("notes.txt", "not ours")
        .domain("a.example.com.toml~", "an editor's");
    let loaded = site.source().load().unwrap();
    let names: Vec<&str> = loaded.domains.iter().map(|domain| &*domain.name).collect();
    assert_eq!(names, ["*.example.com", "a.example.com", "b.example.com"]);
    assert_eq!(loaded.server.state_dir, site.dir.path());
    assert_eq!(loaded.domains[1].file, site.dir.path().join("domains/a.example.com.toml"));
    assert_eq!(load_domains(site.dir.path()).unwrap(), loaded.domains);
}

#[test]
fn problems_of_all_files_are_told_together() {
    let site = Site::new("[server]\nworkers = 0\n")
        .domain("a.example.com.toml", "name = \"a.example.com\"\n")
        .domain("b.example.com.toml", "[[origin]\n")
        .domain("c.example.com.toml", DOMAIN)
        .domain("twin.toml", DOMAIN.replace("a.ex", "c.ex"))
        .domain("a1.example.com.toml", DOMAIN.replace("a.ex", "c.ex"));
    insta::assert_snapshot!(site.problems());
}

#[test]
fn two_files_with_one_name_are_both_named() {
    let site = Site::new("").domain("a.example.com.toml", DOMAIN).domain("b.toml", DOMAIN);
    insta::assert_snapshot!(site.problems(), @r#"
    DIR/domains/b.toml: name: "a.example.com" is the domain of DIR/domains/a.example.com.toml too
       = accepted: one file per name

    DIR/domains/b.toml:1:8: name: "a.example.com": the file is not called as its domain
      1 | name = "a.example.com"
        |        ^^^^^^^^^^^^^^^
        = accepted: this name in a file called a.example.com.toml

    2 problems in 1 file
    "#);
}

#[test]
fn files_that_are_none() {
    let site = Site::new("")
        .domain("bytes.toml", b"name = \"\xff\"\n")
        .domain("large.toml", vec![b'#'; (1 << 20) + 1]);
    fs::create_dir(site.dir.path().join("domains/folder.toml")).unwrap();
    insta::assert_snapshot!(site.problems());
    let full = Site::new("").domain("a.example.com.toml", {
        let mut text = DOMAIN.as_bytes().to_vec();
        text.resize(1 << 20, b'\n');
        text
    });
    assert_eq!(full.source().load().unwrap().domains.len(), 1, "exactly at the limit");
}

#[test]
fn a_file_that_was_named_must_be_there() {
    let problems = load(Some(Path::new("/nowhere/hawser.toml"))).unwrap_err();
    insta::assert_snapshot!(problems, @r#"
    /nowhere/hawser.toml: there is no such file

    1 problem in 1 file
    "#);
}

#[test]
fn a_socket_is_refused_without_being_read() {
    let site = Site::new("");
    let socket = site.dir.path().join("domains/x.toml");
    let _listener = std::os::unix::net::UnixListener::bind(socket).unwrap();
    assert!(site.problems().starts_with("DIR/domains/x.toml: is not a regular file\n"));
}

#[test]
fn a_file_that_may_not_be_read_says_so() {
    let site = Site::new("").domain("a.example.com.toml", DOMAIN);
    let file = site.dir.path().join("domains/a.example.com.toml");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o000)).unwrap();
    // Root reads everything.
    if fs::read(&file).is_err() {
        assert!(site.problems().contains("a.example.com.toml: not readable: permission denied"));
    } else {
        assert_eq!(site.source().load().unwrap().domains.len(), 1);
    }
}

#[test]
fn the_state_directory_is_found_in_a_bad_configuration() {
    let site = Site::new("bogus = 1\n[server]\nworkers = 0\nstate_dir = \"/srv/edge\"\n");
    let source = Source { state_dir: None, ..site.source() };
    assert_eq!(source.state_dir().unwrap(), Path::new("/srv/edge"));
    assert_eq!(site.source().state_dir().unwrap(), site.dir.path());
    fs::write(site.file(), "[server\n").unwrap();
    assert!(source.state_dir().is_err(), "no guess is better than a wrong one");
    assert_eq!(site.source().state_dir().unwrap(), site.dir.path());
    fs::remove_file(site.file()).unwrap();
    assert!(source.state_dir().is_err());
}

#[test]
fn a_state_directory_may_be_given_relative_but_not_too_long() {
    let given = |dir: &str| Source { file: None, state_dir: Some(dir.into()) }.state_dir();
    let here = std::env::current_dir().unwrap();
    // The rule is the key's: the absolute path must leave room for the socket's name.
    assert_eq!(given("s").is_ok(), here.as_os_str().len() + 2 <= 94);
    let problems = given(&format!("/{}", "x".repeat(94))).unwrap_err().to_string();
    assert!(problems.contains("too long: the path of the Unix socket in it would not fit"));
}

#[test]
fn no_domains_directory_means_no_domains() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(load_domains(dir.path()), Ok(Vec::new()));
    fs::write(dir.path().join("domains"), "").unwrap();
    let problems = load_domains(dir.path()).unwrap_err().to_string();
    assert!(problems.contains("domains: not readable: "), "{problems}");
}
