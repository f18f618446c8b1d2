//! Sets with certificates, cut short at every step.

use std::path::PathBuf;

use rcgen::{CertificateParams, KeyPair};

use super::*;
use crate::control::changes::Entry;
use crate::control::changes::certificates::swaps;
use crate::control::changes::journal::{Done, Set};
use crate::control::database::Database;

struct Site {
    dir: tempfile::TempDir,
    journal: Journal,
}

impl Site {
    fn new() -> Site {
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::new(dir.path(), Database::open(dir.path()).unwrap());
        Site { dir, journal }
    }

    /// What would be done to the pairs of these domains.
    fn set(&self, domains: &[&str], texts: Option<&Texts>) -> Set {
        let domains: Vec<Arc<str>> = domains.iter().map(|domain| (*domain).into()).collect();
        let pairs = swaps(&self.journal, &domains, texts).unwrap();
        let author = Author { name: "ann".into(), via: Via::Api, address: None };
        let action = "certificate set".into();
        Set { author, action, about: None, changes: Vec::new(), records: None, pairs }
    }

    fn commit(&self, domains: &[&str], texts: Option<&Texts>) -> Done {
        self.journal.commit(self.set(domains, texts)).unwrap()
    }

    /// A process that was killed right behind its transaction.
    fn cut_short(&self, set: Set) -> i64 {
        let node = self.journal.node_key().unwrap();
        let write = |work: &Transaction<'_>| -> rusqlite::Result<i64> {
            let number = audit::next(work)?;
            audit::begin(work, number)?;
            begin(work, &node, (number, &set.author), &set.pairs)?;
            Ok(number)
        };
        self.journal.database.write(write).unwrap()
    }

    fn recover(&self) {
        drop(self.journal.files().unwrap());
    }

    fn kept(&self, domain: &str) -> Kept {
        Kept::of(&self.journal.pairs(), domain)
    }

    fn actions(&self) -> Vec<String> {
        let all = self
            .journal
            .database
            .read(|reader| audit::entries(reader, audit::Of::default(), None, 100));
        let action = |Entry { action, .. }| action;
        all.unwrap().into_iter().rev().map(action).collect()
    }

    /// Rows of sets that are not done.
    fn rows(&self) -> i64 {
        let count = "SELECT count(*) FROM pending_pairs";
        let count = |reader: &Connection| reader.query_row(count, [], |row| row.get(0));
        self.journal.database.read::<_, rusqlite::Error>(count).unwrap()
    }

    /// Names in the folder of pairs that people do not see.
    fn hidden(&self) -> Vec<PathBuf> {
        let Ok(entries) = fs::read_dir(self.dir.path().join("certs")) else { return Vec::new() };
        let paths = entries.map(|entry| entry.unwrap().path());
        paths.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with('.')).collect()
    }
}

fn texts(domains: &[&str]) -> Texts {
    let key = KeyPair::generate().unwrap();
    let names: Vec<String> = domains.iter().map(|&name| name.to_owned()).collect();
    let params = CertificateParams::new(names).unwrap();
    let chain = params.self_signed(&key).unwrap().pem().into_bytes();
    Texts { chain, key: Zeroizing::new(key.serialize_pem().into_bytes()) }
}

const BOTH: [&str; 2] = ["a.test", "b.test"];

#[test]
fn a_set_that_was_cut_short_is_finished_as_a_whole() {
    let site = Site::new();
    let (old, new) = (texts(&BOTH), texts(&BOTH));
    site.commit(&["a.test"], Some(&old));
    site.cut_short(site.set(&BOTH, Some(&new)));
    // It had come as far as one of the two.
    site.journal.pairs().write("b.test", &new.chain, &new.key).unwrap();
    site.recover();
    assert_eq!(site.kept("a.test"), site.kept("b.test"));
    let store = site.journal.pairs();
    let kept = fs::read(store.find("a.test").unwrap().unwrap().key).unwrap();
    assert_eq!(&kept, &*new.key);
    assert_eq!((site.rows(), site.actions()), (0, vec!["certificate set".to_owned(); 3]));
    // So is one that takes them away.
    site.cut_short(site.set(&BOTH, None));
    site.recover();
    assert_eq!([site.kept("a.test"), site.kept("b.test")], [Kept::Nothing; 2]);
    assert_eq!((site.rows(), site.hidden()), (0, Vec::new()));
}

#[test]
fn a_set_that_is_put_back_leaves_what_was_there() {
    let site = Site::new();
    let old = texts(&["a.test"]);
    site.commit(&["a.test"], Some(&old));
    let before = site.kept("a.test");
    let done = site.commit(&BOTH, Some(&texts(&BOTH)));
    assert_ne!(site.kept("a.test"), before);
    site.journal.put_back(done, "no").unwrap();
    assert_eq!([site.kept("a.test"), site.kept("b.test")], [before, Kept::Nothing]);
    assert_eq!(site.rows(), 0);
    assert_eq!(site.actions()[3..], ["certificate put back", "certificate put back"]);
}

#[test]
fn a_pair_that_cannot_be_kept_puts_the_others_back() {
    let site = Site::new();
    // Its folder has a name that fits, and the link on the way there has none.
    let long = [["l"; 63].concat(), ["m"; 63].concat(), ["n"; 63].concat(), ["o"; 50].concat()];
    let both = ["a.test", &long.join(".")];
    site.commit(&["a.test"], Some(&texts(&["a.test"])));
    let before = site.kept("a.test");
    let refused = site.journal.commit(site.set(&both, Some(&texts(&both)))).err().unwrap();
    assert!(refused.to_string().contains("long"), "{refused}");
    assert_eq!(both.map(|domain| site.kept(domain)), [before, Kept::Nothing]);
    assert_eq!((site.rows(), site.hidden().len()), (0, 1));
    assert_eq!(site.actions().last().unwrap(), "certificate put back");
}

#[test]
fn a_pair_that_was_half_there_could_be_neither_replaced_nor_removed() {
    let site = Site::new();
    let (new, folder) = (texts(&BOTH), site.dir.path().join("certs/a.test"));
    let half = || {
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("certificate.pem"), &new.chain).unwrap();
    };
    half();
    assert_eq!(site.kept("a.test"), Kept::Unreadable);
    let done = site.commit(&["a.test"], Some(&new));
    assert!(matches!(site.kept("a.test"), Kept::Pair(_)));
    site.journal.put_back(done, "no").unwrap();
    assert_eq!((site.kept("a.test"), site.rows()), (Kept::Nothing, 0));
    half();
    site.commit(&["a.test"], None);
    assert_eq!((site.kept("a.test"), folder.exists()), (Kept::Nothing, false));
}

#[test]
fn a_pair_that_somebody_replaced_meanwhile_is_left_alone() {
    let site = Site::new();
    let (old, new, own) = (texts(&BOTH), texts(&BOTH), texts(&BOTH));
    site.commit(&BOTH, Some(&old));
    let set = site.set(&BOTH, Some(&new));
    site.journal.pairs().write("a.test", &own.chain, &own.key).unwrap();
    let refused = site.journal.commit(set).err().unwrap();
    assert!(matches!(refused, ChangeError::Store(StoreError::Raced(_))), "{refused}");
    site.cut_short(site.set(&BOTH, Some(&new)));
    site.journal.pairs().write("a.test", &old.chain, &old.key).unwrap();
    let edited = site.kept("a.test");
    site.recover();
    assert_eq!((site.kept("a.test"), site.rows()), (edited, 0));
    assert_ne!(site.kept("b.test"), edited, "the other one is finished");
    assert_eq!(site.actions().last().unwrap(), "certificate left alone");
}

#[test]
fn a_key_in_the_journal_opens_with_the_nodes_key_only() {
    let site = Site::new();
    let new = texts(&BOTH);
    site.cut_short(site.set(&BOTH, Some(&new)));
    let part = new.key.split(|&byte| byte == b'\n').nth(1).unwrap();
    for file in fs::read_dir(site.dir.path()).unwrap() {
        let bytes = fs::read(file.unwrap().path()).unwrap_or_default();
        assert!(!bytes.windows(part.len()).any(|window| window == part));
    }
    fs::remove_file(site.dir.path().join("node.key")).unwrap();
    site.recover();
    assert_eq!([site.kept("a.test"), site.kept("b.test")], [Kept::Nothing; 2]);
    assert_eq!((site.rows(), site.actions().len()), (0, 4));
}

#[test]
fn folders_of_a_process_that_was_killed_are_swept() {
    let site = Site::new();
    site.commit(&BOTH, Some(&texts(&BOTH)));
    let certs = site.dir.path().join("certs");
    let before = site.hidden();
    for folder in [".a.test.0123abcd", ".old.00000000"] {
        fs::create_dir(certs.join(folder)).unwrap();
        fs::write(certs.join(folder).join("key.pem"), "secret").unwrap();
    }
    std::os::unix::fs::symlink(".a.test.0123abcd", certs.join(".a.test.0123abcd.link")).unwrap();
    fs::write(certs.join(".mine"), "an operator's").unwrap();
    site.journal.sweep().unwrap();
    let mut after = site.hidden();
    after.retain(|path| !path.ends_with(".mine"));
    assert_eq!((after.len(), before.len()), (2, 2));
    assert!(certs.join(".mine").exists());
    assert_ne!(site.kept("a.test"), Kept::Nothing);
}
