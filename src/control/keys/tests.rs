//! Access keys: made, found, revoked, and never shown.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::control::changes::{Changes, Of};

fn keys() -> (tempfile::TempDir, Keys) {
    let dir = tempfile::tempdir().unwrap();
    let database = Database::open(dir.path()).unwrap();
    let keys = Keys::open(dir.path(), database).unwrap();
    (dir, keys)
}

fn author() -> Author {
    Author { name: "ann".into(), via: Via::Cli, address: None }
}

fn create(keys: &Keys, name: &str, role: Role) -> Result<NewKey, KeyError> {
    keys.create(&author(), name, role)
}

fn revoke(keys: &Keys, id: &str) -> Result<Key, KeyError> {
    keys.revoke(&author(), id)
}

fn token(key: &NewKey) -> String {
    format!("{}.{}", key.access_key_id, *key.access_key_secret)
}

#[test]
fn a_pair_is_a_bearer_key_and_signs() {
    let (dir, keys) = keys();
    let new = create(&keys, " deploy ", Role::Operate).unwrap();
    assert!(new.access_key_id.starts_with("HK") && new.access_key_id.len() == 20);
    assert_eq!(new.access_key_secret.len(), 40);
    assert!(token(&new).chars().all(|c| c.is_ascii_alphanumeric() || c == '.'));
    let key = keys.bearer(&token(&new)).unwrap().unwrap();
    assert_eq!((key.name.as_str(), key.role), ("deploy", Role::Operate));
    let (signing, secret) = keys.signing(&new.access_key_id).unwrap().unwrap();
    assert_eq!((&signing, &*secret), (&key, &*new.access_key_secret));
    assert_eq!(keys.list().unwrap(), [key]);
    assert!(!format!("{new:?}").contains(&**new.access_key_secret));
    for file in fs::read_dir(dir.path()).unwrap() {
        let bytes = fs::read(file.unwrap().path()).unwrap();
        let secret = new.access_key_secret.as_bytes();
        assert!(!bytes.windows(secret.len()).any(|part| part == secret));
    }
}

#[test]
fn anything_else_is_nobody() {
    let (_dir, keys) = keys();
    let new = create(&keys, "a", Role::Admin).unwrap();
    let (id, secret) = (&new.access_key_id, &*new.access_key_secret);
    let other = create(&keys, "b", Role::Read).unwrap();
    for wrong in [
        String::new(),
        ".".into(),
        id.clone(),
        format!("{id}."),
        format!("{id}.{}", &secret[1..]),
        format!("{id}.{secret}x"),
        format!("{id}.{}", *other.access_key_secret),
        format!("HK000000000000000000.{secret}"),
        format!("{}.{secret}", id.to_lowercase()),
        format!("{id}.{}", "x".repeat(10_000)),
        format!("{id}.\0"),
    ] {
        let denied = keys.bearer(&wrong).unwrap().unwrap_err();
        // What is told of it names nothing but a key that there is.
        assert!(denied.key().is_none_or(|known| known == id), "{wrong}: {denied:?}");
        assert!(!format!("{denied:?}").contains(secret));
    }
    assert_eq!(keys.bearer(&format!("{id}.x")).unwrap(), Err(Denied::WrongSecret(id.clone())));
    assert_eq!(keys.bearer(&format!("x.{secret}")).unwrap(), Err(Denied::Unknown));
    assert_eq!(keys.bearer(id).unwrap(), Err(Denied::Missing));
    assert_eq!(keys.signing("HK000000000000000000").unwrap(), Err(Denied::Unknown));
}

#[test]
fn a_revoked_key_is_refused_at_once_and_stays_listed() {
    let (_dir, keys) = keys();
    create(&keys, "root", Role::Admin).unwrap();
    let new = create(&keys, "a", Role::Operate).unwrap();
    let revoked = revoke(&keys, &new.access_key_id).unwrap();
    assert!(revoked.revoked.is_some());
    assert_eq!(revoke(&keys, &new.access_key_id).unwrap(), revoked, "again: nothing changes");
    let denied = Denied::Revoked(new.access_key_id.clone());
    assert_eq!(keys.bearer(&token(&new)).unwrap(), Err(denied.clone()));
    assert_eq!(keys.bearer(&format!("{}.", new.access_key_id)).unwrap(), Err(denied.clone()));
    assert_eq!(keys.signing(&new.access_key_id).unwrap(), Err(denied));
    assert_eq!(keys.list().unwrap().len(), 2);
    assert!(matches!(revoke(&keys, "HKnobody"), Err(KeyError::Unknown(_))));
}

#[test]
fn the_log_knows_each_key_and_no_secret() {
    let (dir, keys) = keys();
    keys.first(dir.path()).unwrap();
    let new = create(&keys, "deploy", Role::Read).unwrap();
    revoke(&keys, &new.access_key_id).unwrap();
    let changes = Changes::new(dir.path(), keys.database);
    let log = changes.entries(Of::default(), None, 10).unwrap();
    let said: Vec<_> = log.iter().map(|e| (e.author.name.as_str(), e.action.as_str())).collect();
    assert_eq!(said, [("ann", "key revoke"), ("ann", "key create"), ("hawser", "key create")]);
    let about = log[1].about.as_deref().unwrap();
    assert_eq!(about, format!("{} (read, deploy)", new.access_key_id));
    assert!(!format!("{log:?}").contains(&**new.access_key_secret));
}

#[test]
fn the_last_admin_key_stays() {
    let (_dir, keys) = keys();
    let first = create(&keys, "one", Role::Admin).unwrap();
    create(&keys, "reader", Role::Read).unwrap();
    let error = revoke(&keys, &first.access_key_id).unwrap_err();
    assert!(matches!(error, KeyError::LastAdmin(_)), "{error}");
    let second = create(&keys, "two", Role::Admin).unwrap();
    revoke(&keys, &first.access_key_id).unwrap();
    assert!(matches!(revoke(&keys, &second.access_key_id), Err(KeyError::LastAdmin(_))));
}

#[test]
fn the_first_start_makes_one_admin_key_in_a_private_file() {
    let (dir, keys) = keys();
    let path = keys.first(dir.path()).unwrap().unwrap();
    assert_eq!(path, dir.path().join("admin.key"));
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let line = fs::read_to_string(&path).unwrap();
    let key = keys.bearer(line.strip_suffix('\n').unwrap()).unwrap().unwrap();
    assert_eq!(key.role, Role::Admin);
    assert_eq!(keys.first(dir.path()).unwrap(), None);
    assert_eq!(fs::read_to_string(&path).unwrap(), line);
    assert_eq!(keys.list().unwrap().len(), 1);
}

#[test]
fn a_first_key_that_cannot_be_written_is_not_made() {
    let (dir, keys) = keys();
    fs::create_dir_all(dir.path().join("admin.key/full")).unwrap();
    let error = keys.first(dir.path()).unwrap_err().to_string();
    assert!(error.contains("cannot write") && error.contains("admin.key"), "{error}");
    assert_eq!(keys.list().unwrap(), []);
}

#[test]
fn names_and_numbers_have_bounds() {
    let (_dir, keys) = keys();
    for name in ["", "  ", "a\nb", &"x".repeat(65)] {
        let error = create(&keys, name, Role::Read).unwrap_err().to_string();
        assert!(error.contains("1 to 64 bytes"), "{error}");
    }
    for number in 0..KEYS_MAX {
        create(&keys, &format!("key {number}"), Role::Read).unwrap();
    }
    let error = create(&keys, "one more", Role::Read).unwrap_err().to_string();
    assert!(error.contains("hawser key revoke"), "{error}");
    revoke(&keys, &keys.list().unwrap()[0].id).unwrap();
    create(&keys, "one more", Role::Read).unwrap();
}

#[test]
fn a_lost_node_key_keeps_bearer_keys_and_says_what_is_lost() {
    let (dir, keys) = keys();
    let new = create(&keys, "a", Role::Admin).unwrap();
    assert_eq!(keys.sealed_by_another().unwrap(), [""; 0]);
    fs::remove_file(dir.path().join("node.key")).unwrap();
    let keys = Keys::open(dir.path(), keys.database).unwrap();
    assert!(keys.bearer(&token(&new)).unwrap().is_ok());
    let error = keys.signing(&new.access_key_id).unwrap_err().to_string();
    assert!(error.contains("backup") && error.contains("hawser key create"), "{error}");
    assert_eq!(keys.sealed_by_another().unwrap(), [new.access_key_id]);
}

#[test]
fn roles_are_ordered_and_have_names() {
    assert!(Role::Read < Role::Operate && Role::Operate < Role::Admin);
    for role in Role::ALL {
        assert_eq!(role.name().parse(), Ok(role));
    }
    assert!("root".parse::<Role>().unwrap_err().contains("operate"));
}
