//! Tables of DCDN over a real database, and how they follow the configuration.

use std::path::Path;

use super::*;
use crate::control::config::{Text, from_texts};
use crate::control::database::Database;

fn loaded(domains: &[&str]) -> Loaded {
    let text = |text: &str| Text { text: text.to_owned(), ..Text::default() };
    let domains: Vec<Text> = domains.iter().map(|domain| text(domain)).collect();
    from_texts(&text(""), &domains).unwrap()
}

fn opened(dir: &Path) -> Database {
    Database::open(dir).unwrap()
}

fn all(database: &Database) -> BTreeMap<String, Attributes> {
    database.read(|connection| read(connection, None)).unwrap()
}

fn write(database: &Database, work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<()>) {
    database.write(work).unwrap();
}

const PLAIN: &str = "name = \"a.example.com\"\nwebsocket.enabled = false\n\
                     [[origin]]\naddress = \"10.0.0.1\"\n";
const FULL: &str = "name = \"b.example.com\"\nwebsocket.origin_scheme = \"https\"\n\
                    http.host = \"c.test\"\n[[origin]]\naddress = \"10.0.0.1\"\n";

#[test]
fn what_is_written_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let database = opened(dir.path());
    let described = Described { content: "x".to_owned(), kind: "oss".to_owned(), port: 443 };
    let new = Attributes {
        scope: "global".to_owned(),
        resource_group: "rg".to_owned(),
        scene: "apiscene".to_owned(),
        function_type: "routine".to_owned(),
        sources: vec![described],
        tags: BTreeMap::from([("env".to_owned(), "x".to_owned())]),
        ..Attributes::new(7)
    };
    write(&database, |work| put_domain(work, "a", &new));
    let found = all(&database).remove("a").unwrap();
    assert_eq!(found, Attributes { id: found.id, ..new.clone() });
    write(&database, |work| {
        put_function(work, "a", "websocket", Some("http"))?;
        put_function(work, "a", "dynamic", None)?;
        put_certificate(work, "a", Some(("n", "cn-hangzhou")))?;
        put_tags(work, "a", &BTreeMap::from([("b".to_owned(), "y".to_owned())]))?;
        remove_tags(work, "a", Some(&["env".to_owned()]))
    });
    let first = all(&database).remove("a").unwrap();
    assert_eq!(first.tags.keys().collect::<Vec<_>>(), ["b"]);
    assert_eq!(first.certificate, Some(("n".to_owned(), "cn-hangzhou".to_owned())));
    assert_eq!(first.functions["websocket"].scheme.as_deref(), Some("http"));
    write(&database, |work| {
        put_function(work, "a", "websocket", None)?;
        remove_function(work, "a", "dynamic")?;
        put_certificate(work, "a", None)?;
        remove_tags(work, "a", None)?;
        update_domain(work, "a", &Attributes { scope: "overseas".to_owned(), ..new.clone() })
    });
    let second = all(&database).remove("a").unwrap();
    assert_eq!(second.functions.len(), 1);
    assert_eq!(second.functions["websocket"].id, first.functions["websocket"].id, "ids stay");
    assert_eq!(second.functions["websocket"].scheme, None);
    assert_eq!((second.tags.len(), second.certificate), (0, None));
    assert_eq!((second.scope.as_str(), second.id), ("overseas", first.id));
    write(&database, |work| put_domain(work, "a", &new));
    let third = all(&database).remove("a").unwrap();
    assert!(third.id > first.id && third.functions.is_empty(), "added anew is another domain");
    write(&database, |work| remove_domain(work, "a"));
    assert!(all(&database).is_empty());
}

#[test]
fn what_is_put_back_is_what_it_was_ids_and_all() {
    let dir = tempfile::tempdir().unwrap();
    let database = opened(dir.path());
    let tags = |key: &str| BTreeMap::from([(key.to_owned(), "x".to_owned())]);
    let old = Attributes { tags: tags("old"), ..Attributes::new(7) };
    write(&database, |work| {
        put_domain(work, "a", &old)?;
        put_domain(work, "z", &old)?;
        put_function(work, "a", "websocket", Some("http"))?;
        put_certificate(work, "a", Some(("n", "cn-hangzhou")))
    });
    let before = all(&database);
    let names = ["a", "b"].map(Arc::from);
    let mut kept = BTreeMap::new();
    write(&database, |work| {
        kept = of(work, &names)?;
        put_domain(work, "a", &Attributes { tags: tags("new"), ..Attributes::new(8) })?;
        put_domain(work, "b", &Attributes::new(9))
    });
    assert_ne!(all(&database), before);
    write(&database, |work| put_back(work, &names, &kept));
    assert_eq!(all(&database), before);
}

// A domain is the same thing whoever made it.
#[test]
fn domains_that_came_by_file_get_their_ids_and_those_that_went_lose_them() {
    let dir = tempfile::tempdir().unwrap();
    let database = opened(dir.path());
    let both = loaded(&[PLAIN, FULL]);
    assert!(!is_in_step(&both, &all(&database)));
    write(&database, |work| bring_in_step(work, &both));
    let first = all(&database);
    assert!(is_in_step(&both, &first));
    assert!(first["a.example.com"].functions.is_empty());
    let full = &first["b.example.com"].functions;
    assert_eq!(full.keys().collect::<Vec<_>>(), ["set_req_host_header", "websocket"]);
    assert_eq!(full["websocket"].scheme.as_deref(), Some("https"));

    // Switched off it is still configured; without a host there is no host to set.
    let less = FULL.replace("http.host = \"c.test\"\n", "websocket.enabled = false\n");
    let less = loaded(&[&less]);
    assert!(!is_in_step(&less, &first));
    write(&database, |work| bring_in_step(work, &less));
    let second = all(&database);
    assert_eq!(second.keys().collect::<Vec<_>>(), ["b.example.com"]);
    let functions = &second["b.example.com"].functions;
    assert_eq!(functions.keys().collect::<Vec<_>>(), ["websocket"]);
    assert_eq!(functions["websocket"].id, full["websocket"].id);
    assert!(is_in_step(&less, &second));
}
