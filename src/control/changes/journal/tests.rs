//! The journal, cut short at every step.

use std::fs;

use super::*;
use crate::control::changes::Entry;

const DOMAIN: &str = "a.test";

fn text(port: u16) -> String {
    format!("# ours\nname = \"a.test\"\n[[origin]]\naddress = \"10.0.0.1\"\nport = {port}\n")
}

fn journal() -> (tempfile::TempDir, Journal) {
    let dir = tempfile::tempdir().unwrap();
    let database = Database::open(dir.path()).unwrap();
    let journal = Journal::new(dir.path(), database);
    (dir, journal)
}

fn set(changes: Vec<Change>) -> Set {
    let author = Author { name: "ann".into(), via: Via::Api, address: None };
    let pairs = Vec::new();
    Set { author, action: "set".into(), about: None, changes, records: None, pairs }
}

fn change(domain: &str, before: Option<&str>, after: Option<&str>) -> Change {
    let text = |text: Option<&str>| text.map(str::to_owned);
    Change { domain: domain.into(), before: text(before), after: text(after) }
}

/// Domain, action, before and after, oldest first.
fn log(journal: &Journal) -> Vec<(String, String, Option<String>, Option<String>)> {
    let all = journal
        .database
        .read(|reader| audit::entries(reader, audit::Of::default(), None, 100))
        .unwrap();
    let one = |Entry { domain, action, before, after, .. }| {
        (domain.unwrap_or_default(), action, before, after)
    };
    all.into_iter().rev().map(one).collect()
}

/// A process that was killed right behind its transaction.
fn cut_short(journal: &Journal, changes: &[Change]) -> i64 {
    let author = Author { name: "ann".into(), via: Via::Api, address: None };
    let write = |work: &rusqlite::Transaction<'_>| -> rusqlite::Result<i64> {
        let number = audit::next(work)?;
        let head = Head { change: number, author: &author, action: "set", about: None };
        for change in changes {
            audit::changed(work, &head, change)?;
        }
        audit::begin(work, number)?;
        Ok(number)
    };
    journal.database.write(write).unwrap()
}

fn hidden(journal: &Journal) -> usize {
    let dir = journal.state_dir.join("domains");
    let names = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name());
    names.filter(|name| name.to_string_lossy().starts_with('.')).count()
}

#[test]
fn a_set_is_written_logged_and_done() {
    let (_dir, journal) = journal();
    let (one, two) = (text(1), text(2));
    journal.commit(set(vec![change(DOMAIN, None, Some(&one))])).unwrap();
    assert_eq!(journal.text(DOMAIN).unwrap(), Some(one.clone()));
    journal.commit(set(vec![change(DOMAIN, Some(&one), Some(&two))])).unwrap();
    journal.commit(set(vec![change(DOMAIN, Some(&two), None)])).unwrap();
    assert_eq!(journal.text(DOMAIN).unwrap(), None);
    let afters: Vec<_> = log(&journal).into_iter().map(|(.., after)| after).collect();
    assert_eq!(afters, [Some(one), Some(two), None]);
    assert_eq!(journal.database.read(audit::pending).unwrap(), [0; 0]);
    assert_eq!(hidden(&journal), 0);
}

#[test]
fn a_file_that_somebody_changed_meanwhile_stops_the_whole_set() {
    let (_dir, journal) = journal();
    let one = text(1);
    journal.commit(set(vec![change(DOMAIN, None, Some(&one))])).unwrap();
    let both = vec![
        change("b.test", None, Some("name = \"b.test\"")),
        change(DOMAIN, Some("something else"), Some(&text(2))),
    ];
    let error = journal.commit(set(both)).err().unwrap();
    assert!(matches!(error, ChangeError::Store(StoreError::Raced(_))), "{error}");
    assert_eq!(journal.text(DOMAIN).unwrap(), Some(one));
    assert_eq!(journal.text("b.test").unwrap(), None);
    assert_eq!((log(&journal).len(), hidden(&journal)), (1, 0));
}

#[test]
fn records_are_part_of_the_set() {
    let (_dir, journal) = journal();
    let failing = Set {
        records: Some(Box::new(|_| Err(rusqlite::Error::InvalidQuery))),
        ..set(vec![change(DOMAIN, None, Some(&text(1)))])
    };
    assert!(matches!(journal.commit(failing).err(), Some(ChangeError::Database(_))));
    assert_eq!((journal.text(DOMAIN).unwrap(), log(&journal).len()), (None, 0));
    let marking = Set {
        records: Some(Box::new(|work| {
            work.execute_batch("CREATE TABLE mark (a); INSERT INTO mark VALUES (1)")?;
            Ok(Box::new(|work| work.execute("DELETE FROM mark", []).map(drop)))
        })),
        ..set(vec![change(DOMAIN, None, Some(&text(1)))])
    };
    let done = journal.commit(marking).unwrap();
    let marked = || -> rusqlite::Result<i64> {
        journal
            .database
            .read(|reader| reader.query_row("SELECT count(*) FROM mark", [], |row| row.get(0)))
    };
    assert_eq!(marked(), Ok(1));
    journal.put_back(done, "no").unwrap();
    assert_eq!(marked(), Ok(0), "records outlive a set that was put back");
}

#[test]
fn what_was_cut_short_is_finished_by_whoever_comes_next() {
    let (dir, journal) = journal();
    let (one, two) = (text(1), text(2));
    journal.commit(set(vec![change("gone.test", None, Some("name = \"gone.test\""))])).unwrap();
    journal.commit(set(vec![change(DOMAIN, None, Some(&one))])).unwrap();
    let path = journal.store.path(DOMAIN).unwrap();
    let changes = [
        change(DOMAIN, Some(&one), Some(&two)),
        change("new.test", None, Some("name = \"new.test\"")),
        change("gone.test", Some("name = \"gone.test\""), None),
    ];
    cut_short(&journal, &changes);
    // One of the files was there already.
    journal.store.prepare("new.test", "name = \"new.test\"").unwrap().place().unwrap();
    std::mem::forget(journal.store.prepare(DOMAIN, &two).unwrap());
    super::super::before_start(dir.path()).unwrap();
    assert_eq!(fs::read_to_string(path).unwrap(), two);
    assert_eq!(journal.text("new.test").unwrap().as_deref(), Some("name = \"new.test\""));
    assert_eq!(journal.text("gone.test").unwrap(), None);
    assert_eq!(journal.database.read(audit::pending).unwrap(), [0; 0]);
    assert_eq!((log(&journal).len(), hidden(&journal)), (5, 0));
}

#[test]
fn a_file_that_was_edited_before_the_set_was_finished_is_left_alone() {
    let (_dir, journal) = journal();
    let (one, two, edited) = (text(1), text(2), text(3));
    journal.commit(set(vec![change(DOMAIN, None, Some(&one))])).unwrap();
    cut_short(&journal, &[change(DOMAIN, Some(&one), Some(&two))]);
    fs::write(journal.store.path(DOMAIN).unwrap(), &edited).unwrap();
    drop(journal.files().unwrap());
    assert_eq!(journal.text(DOMAIN).unwrap(), Some(edited.clone()));
    let last = log(&journal).pop().unwrap();
    assert_eq!(last, (DOMAIN.into(), "edit".into(), Some(two), Some(edited)));
    assert_eq!(journal.database.read(audit::pending).unwrap(), [0; 0]);
}

#[test]
fn a_set_that_cannot_be_served_is_put_back() {
    let (_dir, journal) = journal();
    let (one, two) = (text(1), text(2));
    journal.commit(set(vec![change(DOMAIN, None, Some(&one))])).unwrap();
    let both = vec![
        change(DOMAIN, Some(&one), Some(&two)),
        change("new.test", None, Some("name = \"new.test\"")),
    ];
    let done = journal.commit(set(both)).unwrap();
    journal.put_back(done, "no").unwrap();
    assert_eq!(journal.text(DOMAIN).unwrap(), Some(one.clone()));
    assert_eq!(journal.text("new.test").unwrap(), None);
    let log = log(&journal);
    assert_eq!(log[3], (DOMAIN.into(), "put back".into(), Some(two), Some(one)));
    assert_eq!((log[4].1.as_str(), &log[4].3), ("put back", &None));
}

#[test]
fn a_file_that_cannot_be_written_puts_the_others_back() {
    let (_dir, journal) = journal();
    let one = text(1);
    journal.commit(set(vec![change(DOMAIN, None, Some(&one))])).unwrap();
    // Nothing can be renamed over a directory that is not empty; as a text it is not there.
    let both = vec![
        change(DOMAIN, Some(&one), Some(&text(2))),
        change("b.test", None, Some("name = \"b.test\"")),
    ];
    let b = journal.store.path("b.test").unwrap();
    let prepared: Vec<_> = both
        .iter()
        .map(|change| {
            let after = change.after.as_deref().unwrap();
            let prepared = journal.store.prepare(&change.domain, after).unwrap();
            (Arc::clone(&change.domain), Some(prepared))
        })
        .collect();
    let number = cut_short(&journal, &both);
    fs::create_dir_all(b.join("full")).unwrap();
    let error = journal.place(prepared).unwrap_err();
    assert!(error.to_string().contains("b.test.toml"), "{error}");
    fs::remove_dir_all(&b).unwrap();
    let done = Done { number, records: None, pairs: Vec::new() };
    journal.reverse(done, "no room").unwrap();
    assert_eq!(journal.text(DOMAIN).unwrap(), Some(one));
    assert_eq!((journal.text("b.test").unwrap(), hidden(&journal)), (None, 0));
}

#[test]
fn edits_by_hand_are_noticed_once() {
    let (_dir, journal) = journal();
    let (one, two) = (text(1), text(2));
    journal.commit(set(vec![change(DOMAIN, None, Some(&one))])).unwrap();
    journal.notice().unwrap();
    assert_eq!(log(&journal).len(), 1, "that is known");
    fs::write(journal.store.path(DOMAIN).unwrap(), &two).unwrap();
    fs::write(journal.store.path("new.test").unwrap(), "new").unwrap();
    journal.notice().unwrap();
    journal.notice().unwrap();
    fs::remove_file(journal.store.path("new.test").unwrap()).unwrap();
    journal.notice().unwrap();
    let log: Vec<_> = log(&journal).split_off(1);
    assert_eq!(
        log,
        [
            (DOMAIN.into(), "edit".into(), Some(one), Some(two)),
            ("new.test".into(), "create".into(), None, Some("new".into())),
            ("new.test".into(), "remove".into(), Some("new".into()), None),
        ]
    );
    let all = journal
        .database
        .read(|reader| audit::entries(reader, audit::Of::default(), None, 10))
        .unwrap();
    let owner = crate::control::owner::running_user();
    assert!(all.iter().take(3).all(|entry| entry.author.via == Via::File));
    assert_eq!((all[0].author.name.as_str(), &all[1].author.name), ("unknown", &owner));
}

#[test]
fn an_edit_that_nobody_noticed_yet_stands_before_the_change_on_top_of_it() {
    let (_dir, journal) = journal();
    let (one, edited, two) = (text(1), text(3), text(2));
    journal.commit(set(vec![change(DOMAIN, None, Some(&one))])).unwrap();
    fs::write(journal.store.path(DOMAIN).unwrap(), &edited).unwrap();
    journal.commit(set(vec![change(DOMAIN, Some(&edited), Some(&two))])).unwrap();
    let steps: Vec<_> = log(&journal).into_iter().map(|(_, action, ..)| action).collect();
    assert_eq!(steps, ["set", "edit", "set"]);
}

#[test]
fn two_writers_take_turns() {
    let (dir, journal) = journal();
    let text = |n: usize| format!("name = \"a.test\" # {n}\n");
    journal.commit(set(vec![change(DOMAIN, None, Some(&text(0)))])).unwrap();
    let write = || {
        let journal = Journal::new(dir.path(), Database::open(dir.path()).unwrap());
        for _ in 0..20 {
            let _turn = journal.turn().unwrap();
            let before = journal.text(DOMAIN).unwrap().unwrap();
            let n: usize = before.trim_end().rsplit_once("# ").unwrap().1.parse().unwrap();
            journal.commit(set(vec![change(DOMAIN, Some(&before), Some(&text(n + 1)))])).unwrap();
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(write);
        scope.spawn(write);
    });
    assert_eq!(journal.text(DOMAIN).unwrap().unwrap(), text(40));
    assert_eq!(log(&journal).len(), 41);
}
