//! What orders leave on disk beside the pairs: accounts with their keys, and how the orders went.
//! Not here: the pairs themselves (`certs`).

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use instant_acme::AccountCredentials;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::schedule::Attempts;

const ACCOUNTS: &str = "account.json";
const ORDERS: &str = "orders.json";

/// `STATE_DIR/acme`.
#[derive(Debug, Clone)]
pub struct Store {
    dir: PathBuf,
}

/// One account of ours.
#[derive(Serialize, Deserialize)]
pub struct Account {
    /// As the CA knows it.
    pub contact: Vec<Box<str>>,
    pub credentials: AccountCredentials,
}

/// What is known of the domains' orders, for the next process and for listings.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Orders {
    /// The directory that the stored pair of a domain came from.
    pub issued_by: BTreeMap<Arc<str>, Box<str>>,
    /// Domains whose last order failed.
    pub failed: BTreeMap<Arc<str>, Attempts>,
}

impl Store {
    pub fn of(state_dir: &Path) -> Store {
        Store { dir: state_dir.join("acme") }
    }

    /// The account at `directory`, if there is one.
    ///
    /// # Errors
    /// The file with the accounts cannot be read: in words.
    pub fn account(&self, directory: &str) -> Result<Option<Account>, String> {
        Ok(self.accounts()?.remove(directory))
    }

    /// Keeps, or with `None` forgets, the account at `directory`. Its key is for its owner only.
    ///
    /// # Errors
    /// In words.
    pub fn keep_account(&self, directory: &str, account: Option<Account>) -> Result<(), String> {
        let mut accounts = self.accounts()?;
        match account {
            Some(account) => accounts.insert(directory.to_owned(), account),
            None => accounts.remove(directory),
        };
        self.write(ACCOUNTS, &accounts)
    }

    /// What earlier processes left; nothing when it cannot be read.
    ///
    /// # Errors
    /// In words.
    pub fn orders(&self) -> Result<Orders, String> {
        Ok(self.read(ORDERS)?.unwrap_or_default())
    }

    /// # Errors
    /// In words.
    pub fn keep_orders(&self, orders: &Orders) -> Result<(), String> {
        self.write(ORDERS, orders)
    }

    fn accounts(&self) -> Result<BTreeMap<String, Account>, String> {
        let accounts = self
            .read(ACCOUNTS)
            .map_err(|error| format!("{error}; move the file away to begin with a new account"))?;
        Ok(accounts.unwrap_or_default())
    }

    fn read<T: DeserializeOwned>(&self, file: &str) -> Result<Option<T>, String> {
        let path = self.dir.join(file);
        match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map(Some)
                .map_err(|error| format!("cannot read {}: {error}", path.display())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(format!("cannot read {}: {error}", path.display())),
        }
    }

    fn write(&self, file: &str, value: &impl Serialize) -> Result<(), String> {
        let path = self.dir.join(file);
        let bytes = serde_json::to_vec_pretty(value).expect("maps with text keys are JSON");
        self.replace(&path, &bytes)
            .map_err(|error| format!("cannot write {}: {error}", path.display()))
    }

    /// The old content until the new one is on disk.
    fn replace(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.dir)?;
        let fresh = path.with_extension(format!("{:08x}.new", rand::random::<u32>()));
        let written = (|| {
            let mut file =
                OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(&fresh, path)
        })();
        if written.is_err() {
            // The error that counts is the first one.
            let _ = fs::remove_file(&fresh);
        }
        written?;
        File::open(&self.dir)?.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const CREDENTIALS: &str = r#"{"id": "https://ca.test/1", "key_pkcs8": "AAAA",
        "directory": "https://ca.test/dir"}"#;

    fn account(contact: &str) -> Account {
        let credentials = serde_json::from_str(CREDENTIALS).unwrap();
        Account { contact: vec![contact.into()], credentials }
    }

    #[test]
    fn accounts_are_kept_by_directory_and_for_their_owner_only() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::of(dir.path());
        assert!(store.account("https://ca.test/dir").unwrap().is_none());
        store.keep_account("https://ca.test/dir", Some(account("mailto:a@a.test"))).unwrap();
        store.keep_account("https://other.test/dir", Some(account("mailto:b@a.test"))).unwrap();
        let kept = store.account("https://ca.test/dir").unwrap().unwrap();
        assert_eq!(kept.contact, ["mailto:a@a.test".into()]);
        let path = dir.path().join("acme/account.json");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(dir.path().join("acme")).unwrap().count(), 1);

        store.keep_account("https://ca.test/dir", None).unwrap();
        assert!(store.account("https://ca.test/dir").unwrap().is_none());
        assert!(store.account("https://other.test/dir").unwrap().is_some());

        fs::write(&path, "{").unwrap();
        let error = store.account("https://ca.test/dir").err().unwrap();
        assert!(error.contains("account.json") && error.contains("new account"), "{error}");
        let error = store.keep_account("https://ca.test/dir", Some(account("x"))).unwrap_err();
        assert!(error.contains("account.json"), "a file that is not understood is not replaced");
    }

    #[test]
    fn orders_outlast_the_process() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::of(dir.path());
        assert_eq!(store.orders().unwrap(), Orders::default());
        let mut orders = Orders::default();
        orders.issued_by.insert("a.test".into(), "https://ca.test/dir".into());
        let attempts = Attempts {
            failures: 2,
            last_error: "refused".into(),
            failed_at: 1_000,
            next_at: 1_200,
        };
        orders.failed.insert("b.test".into(), attempts);
        store.keep_orders(&orders).unwrap();
        assert_eq!(store.orders().unwrap(), orders);
        // Keys of another version are no reason to order everything anew.
        fs::write(dir.path().join("acme/orders.json"), "{\"new\": 1}").unwrap();
        assert_eq!(store.orders().unwrap(), Orders::default());
    }
}
