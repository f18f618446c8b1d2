//! The audit log: what it says, its pages, its bounds.

use super::*;
use crate::control::database::Database;

fn author() -> Author {
    Author { name: "ann".into(), via: Via::Api, address: Some("192.0.2.1".parse().unwrap()) }
}

fn database() -> (tempfile::TempDir, Database) {
    let dir = tempfile::tempdir().unwrap();
    let database = Database::open(dir.path()).unwrap();
    (dir, database)
}

fn change(work: &Transaction<'_>, domain: &str, before: Option<&str>, after: Option<&str>) -> i64 {
    let (change, author) = (next(work).unwrap(), author());
    let head = Head { change, author: &author, action: "set", about: None };
    let text = |text: Option<&str>| text.map(str::to_owned);
    let one = Change { domain: domain.into(), before: text(before), after: text(after) };
    changed(work, &head, &one).unwrap();
    change
}

fn written<T>(database: &Database, work: impl FnOnce(&Transaction<'_>) -> T) -> T {
    database.write(|transaction| Ok::<_, rusqlite::Error>(work(transaction))).unwrap()
}

fn read(
    database: &Database,
    domain: Option<&str>,
    before: Option<i64>,
    limit: usize,
) -> Vec<Entry> {
    database.read(|reader| entries(reader, Of { domain, author: None }, before, limit)).unwrap()
}

fn count(work: &Transaction<'_>, table: &str) -> i64 {
    work.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
}

#[test]
fn entries_say_who_when_what_before_and_after() {
    let (_dir, database) = database();
    written(&database, |work| {
        change(work, "a.test", None, Some("one"));
        note(work, &author(), "key create", "HK1").unwrap();
        change(work, "a.test", Some("one"), None);
    });
    let all = read(&database, None, None, 10);
    assert_eq!(all.iter().map(|entry| entry.id).collect::<Vec<_>>(), [3, 2, 1]);
    let Entry { author: who, at, before, after, domain, .. } = &all[0];
    assert_eq!(*who, author());
    assert!(at.ends_with('Z') && at.len() == 20, "{at}");
    assert_eq!((before.as_deref(), after.as_deref()), (Some("one"), None));
    assert_eq!(domain.as_deref(), Some("a.test"));
    assert_eq!((all[1].about.as_deref(), all[1].domain.as_deref()), (Some("HK1"), None));
    assert_eq!(read(&database, Some("a.test"), None, 10).len(), 2);
    assert_eq!(read(&database, Some("b.test"), None, 10), []);
    let known = database.read(|reader| known_text(reader, "a.test")).unwrap();
    assert_eq!(known, Some(None), "removed, and known to be");
    assert_eq!(database.read(|reader| known_text(reader, "b.test")).unwrap(), None);
}

#[test]
fn pages_are_bounded_in_number_and_in_bytes() {
    let (_dir, database) = database();
    let large = |n: usize| format!("{n}{}", "x".repeat(AUDIT_PAGE_BYTES / 4));
    written(&database, |work| {
        for n in 0..10 {
            change(work, "a.test", None, Some(&large(n)));
        }
    });
    let first = read(&database, None, None, usize::MAX);
    assert_eq!(first.len(), 3, "a fourth would be too much");
    let next = read(&database, None, Some(first[2].id), 2);
    assert_eq!(next.iter().map(|entry| entry.id).collect::<Vec<_>>(), [7, 6]);
    assert_eq!(read(&database, None, Some(1), 10), []);
}

#[test]
fn a_text_is_kept_once() {
    let (_dir, database) = database();
    written(&database, |work| {
        for _ in 0..10 {
            change(work, "a.test", Some("on"), Some("off"));
            change(work, "a.test", Some("off"), Some("on"));
        }
        assert_eq!(count(work, "texts"), 2);
    });
}

#[test]
fn the_oldest_go_but_not_what_a_domain_says_now() {
    let (_dir, database) = database();
    written(&database, |work| {
        change(work, "kept.test", None, Some("kept"));
        for n in 0..20 {
            change(work, "a.test", None, Some(&format!("text {n}")));
        }
        change(work, "gone.test", None, Some("gone"));
        change(work, "gone.test", Some("gone"), None);
        trim(work, 3, i64::MAX).unwrap();
        assert_eq!(count(work, "audit"), 3);
        assert_eq!(known_text(work, "kept.test").unwrap(), Some(Some("kept".into())));
        assert_eq!(known_text(work, "a.test").unwrap(), Some(Some("text 19".into())));
        assert_eq!(known_text(work, "gone.test").unwrap(), Some(None));
        trim(work, 2, i64::MAX).unwrap();
        assert_eq!(known_text(work, "gone.test").unwrap(), None, "not for ever");
        assert_eq!(count(work, "texts"), 2);
    });
}

#[test]
fn large_texts_go_before_there_are_many_entries() {
    let (_dir, database) = database();
    written(&database, |work| {
        for n in 0..600 {
            change(work, "a.test", None, Some(&format!("{n:>1000}")));
        }
        trim(work, i64::MAX, 100_000).unwrap();
        let bytes = "SELECT sum(bytes) FROM texts";
        let bytes: i64 = work.query_row(bytes, [], |row| row.get(0)).unwrap();
        assert!(bytes <= 100_000, "{bytes}");
        assert_eq!(known_text(work, "a.test").unwrap(), Some(Some(format!("{:>1000}", 599))));
    });
}
