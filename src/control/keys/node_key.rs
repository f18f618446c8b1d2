//! The node's own key, `STATE_DIR/node.key`: 32 random bytes that only their owner may read. Seals
//! the secrets of access keys, and private keys while the journal holds them.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use zeroize::Zeroizing;

use super::KeyError;
use crate::control::owner::{Existing, write_private};

const FILE: &str = "node.key";
const KEY_BYTES: usize = 32;

pub struct NodeKey(RandomizedNonceKey);

impl fmt::Debug for NodeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NodeKey(..)")
    }
}

impl NodeKey {
    /// Reads the key, or makes one.
    pub fn open(state_dir: &Path) -> Result<NodeKey, KeyError> {
        let path = state_dir.join(FILE);
        let failed = |doing| {
            let path = path.clone();
            move |error| KeyError::File { doing, path, error }
        };
        let bytes = match File::open(&path) {
            Ok(file) => read(&path, file)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let fresh: Zeroizing<[u8; KEY_BYTES]> = Zeroizing::new(rand::random());
                match write_private(&path, &*fresh, Existing::Keep) {
                    Ok(()) => fresh,
                    // Another process made it meanwhile.
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                        read(&path, File::open(&path).map_err(failed("read"))?)?
                    }
                    Err(error) => return Err(failed("write")(error)),
                }
            }
            Err(error) => return Err(failed("read")(error)),
        };
        let key = RandomizedNonceKey::new(&AES_256_GCM, &*bytes);
        Ok(NodeKey(key.expect("the key has the length that the algorithm takes")))
    }

    /// Nonce and sealed secret. It opens only for the same id, so that rows cannot be swapped.
    pub fn seal(&self, id: &str, secret: &[u8]) -> Vec<u8> {
        let mut sealed = Zeroizing::new(Vec::with_capacity(secret.len() + 16));
        sealed.extend_from_slice(secret);
        let nonce = self.0.seal_in_place_append_tag(Aad::from(id.as_bytes()), &mut *sealed);
        let nonce = nonce.expect("what fits into memory can be sealed");
        [nonce.as_ref(), sealed.as_slice()].concat()
    }

    pub fn opened(&self, id: &str, sealed: Vec<u8>) -> Option<Zeroizing<Vec<u8>>> {
        let mut sealed = Zeroizing::new(sealed);
        let (nonce, sealed) = sealed.split_at_mut_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let secret = self.0.open_in_place(nonce, Aad::from(id.as_bytes()), sealed).ok()?;
        Some(Zeroizing::new(secret.to_vec()))
    }
}

fn read(path: &Path, mut file: File) -> Result<Zeroizing<[u8; KEY_BYTES]>, KeyError> {
    let failed = |error| KeyError::File { doing: "read", path: path.to_owned(), error };
    let refused = |what: String| KeyError::NodeKey { path: path.to_owned(), what };
    let mode = file.metadata().map_err(failed)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        let way_out = format!("chmod 600 {}", path.display());
        return Err(KeyError::Refused(format!(
            "{} has mode {mode:03o}: others than its owner can read what seals the access keys. \
             Accepted is 600 ({way_out}); if somebody may have read it, remove it and make new \
             keys",
            path.display()
        )));
    }
    let mut bytes = Zeroizing::new([0; KEY_BYTES]);
    let right = "32 bytes are right";
    file.read_exact(&mut *bytes).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => refused(format!("it is too short, {right}")),
        _ => failed(error),
    })?;
    match file.read(&mut [0]).map_err(failed)? {
        0 => Ok(bytes),
        _ => Err(refused(format!("it is too long, {right}"))),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_is_sealed_opens_for_the_same_id_and_key_only() {
        let dir = tempfile::tempdir().unwrap();
        let key = NodeKey::open(dir.path()).unwrap();
        let sealed = key.seal("HK1", b"secret");
        assert!(!sealed.windows(6).any(|part| part == b"secret"));
        let again = NodeKey::open(dir.path()).unwrap();
        assert_eq!(&**again.opened("HK1", sealed.clone()).unwrap(), b"secret");
        assert!(again.opened("HK2", sealed.clone()).is_none());
        assert!(again.opened("HK1", Vec::new()).is_none());
        fs::remove_file(dir.path().join(FILE)).unwrap();
        assert!(NodeKey::open(dir.path()).unwrap().opened("HK1", sealed).is_none());
        assert_eq!(format!("{again:?}"), "NodeKey(..)");
    }

    #[test]
    fn a_file_that_is_none_is_refused_with_the_way_out() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE);
        for bytes in [0, 31, 33] {
            write_private(&path, &vec![7; bytes], Existing::Replace).unwrap();
            let error = NodeKey::open(dir.path()).unwrap_err().to_string();
            assert!(error.contains("32 bytes") && error.contains("backup"), "{error}");
        }
        write_private(&path, &[7; 32], Existing::Replace).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let error = NodeKey::open(dir.path()).unwrap_err().to_string();
        assert!(error.contains("mode 640") && error.contains("chmod 600"), "{error}");
    }
}
