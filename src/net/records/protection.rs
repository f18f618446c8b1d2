//! The cipher suites, and how each protects one record: nonces, additional data, keys. Not here:
//! what a record says, and when keys change.

use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Algorithm, CHACHA20_POLY1305};
use aws_lc_rs::aead::{LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use rustls::{CipherSuite, ConnectionTrafficSecrets, Error};
use zeroize::Zeroize;

/// Bytes of the tag of every suite.
pub const TAG_BYTES: usize = 16;
/// RFC 5288 3: bytes of the nonce that are sent with each record.
pub const EXPLICIT_NONCE_BYTES: usize = 8;
const KEY_BYTES_MAX: usize = 32;
const SALT_BYTES: usize = NONCE_LEN - EXPLICIT_NONCE_BYTES;

/// What protects a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// RFC 8446 5.2: the content type is inside.
    Tls13,
    /// RFC 5288: TLS 1.2 with a part of the nonce in each record.
    Tls12Explicit,
    /// RFC 7905: TLS 1.2 with a nonce that is counted.
    Tls12Counted,
}

impl Scheme {
    /// Bytes between a record's header and its ciphertext.
    pub fn prefix(self) -> usize {
        match self {
            Scheme::Tls12Explicit => EXPLICIT_NONCE_BYTES,
            Scheme::Tls13 | Scheme::Tls12Counted => 0,
        }
    }

    /// Bytes behind the plaintext: an inner content type, and the tag.
    pub fn suffix(self) -> usize {
        match self {
            Scheme::Tls13 => 1 + TAG_BYTES,
            Scheme::Tls12Explicit | Scheme::Tls12Counted => TAG_BYTES,
        }
    }
}

pub struct Suite {
    id: CipherSuite,
    pub name: &'static str,
    pub scheme: Scheme,
    aead: &'static Algorithm,
}

/// Every suite of rustls' provider. A session keeps the index.
pub static SUITES: [Suite; 9] = [
    Suite {
        id: CipherSuite::TLS13_AES_128_GCM_SHA256,
        name: "TLSv1.3 AES_128_GCM",
        scheme: Scheme::Tls13,
        aead: &AES_128_GCM,
    },
    Suite {
        id: CipherSuite::TLS13_AES_256_GCM_SHA384,
        name: "TLSv1.3 AES_256_GCM",
        scheme: Scheme::Tls13,
        aead: &AES_256_GCM,
    },
    Suite {
        id: CipherSuite::TLS13_CHACHA20_POLY1305_SHA256,
        name: "TLSv1.3 CHACHA20_POLY1305",
        scheme: Scheme::Tls13,
        aead: &CHACHA20_POLY1305,
    },
    Suite {
        id: CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        name: "TLSv1.2 ECDHE_ECDSA_AES_128_GCM",
        scheme: Scheme::Tls12Explicit,
        aead: &AES_128_GCM,
    },
    Suite {
        id: CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
        name: "TLSv1.2 ECDHE_ECDSA_AES_256_GCM",
        scheme: Scheme::Tls12Explicit,
        aead: &AES_256_GCM,
    },
    Suite {
        id: CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
        name: "TLSv1.2 ECDHE_ECDSA_CHACHA20_POLY1305",
        scheme: Scheme::Tls12Counted,
        aead: &CHACHA20_POLY1305,
    },
    Suite {
        id: CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
        name: "TLSv1.2 ECDHE_RSA_AES_128_GCM",
        scheme: Scheme::Tls12Explicit,
        aead: &AES_128_GCM,
    },
    Suite {
        id: CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
        name: "TLSv1.2 ECDHE_RSA_AES_256_GCM",
        scheme: Scheme::Tls12Explicit,
        aead: &AES_256_GCM,
    },
    Suite {
        id: CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
        name: "TLSv1.2 ECDHE_RSA_CHACHA20_POLY1305",
        scheme: Scheme::Tls12Counted,
        aead: &CHACHA20_POLY1305,
    },
];

impl Suite {
    /// The index in [`SUITES`].
    pub fn find(id: CipherSuite) -> Option<u8> {
        SUITES.iter().position(|suite| suite.id == id).map(|index| index as u8)
    }

    /// Expands a key.
    pub fn context(&self, keys: &Keys) -> LessSafeKey {
        let key = UnboundKey::new(self.aead, &keys.key[..self.aead.key_len()])
            .expect("the length is the algorithm's");
        LessSafeKey::new(key)
    }
}

/// Key and initialization vector of one direction; the rest of a shorter key is zero.
#[derive(Clone)]
pub struct Keys {
    pub key: [u8; KEY_BYTES_MAX],
    pub iv: [u8; NONCE_LEN],
}

impl Keys {
    pub fn from_secrets(secrets: &ConnectionTrafficSecrets) -> Result<Keys, Error> {
        let (from, iv) = match secrets {
            ConnectionTrafficSecrets::Aes128Gcm { key, iv }
            | ConnectionTrafficSecrets::Aes256Gcm { key, iv }
            | ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => (key.as_ref(), iv.as_ref()),
            _ => return Err(Error::General("secrets of an unknown kind".into())),
        };
        let mut keys = Keys { key: [0; KEY_BYTES_MAX], iv: [0; NONCE_LEN] };
        keys.key[..from.len()].copy_from_slice(from);
        keys.iv.copy_from_slice(iv);
        Ok(keys)
    }

    /// RFC 8446 5.3 and RFC 7905 2; for what we send it is our choice under RFC 5288 3 as well.
    pub fn counted_nonce(&self, sequence: u64) -> [u8; NONCE_LEN] {
        let mut nonce = self.iv;
        for (byte, of_sequence) in nonce[SALT_BYTES..].iter_mut().zip(sequence.to_be_bytes()) {
            *byte ^= of_sequence;
        }
        nonce
    }

    /// RFC 5288 3: the salt, and what came with the record.
    pub fn explicit_nonce(&self, explicit: [u8; EXPLICIT_NONCE_BYTES]) -> [u8; NONCE_LEN] {
        let mut nonce = self.iv;
        nonce[SALT_BYTES..].copy_from_slice(&explicit);
        nonce
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        self.key.zeroize();
        self.iv.zeroize();
    }
}

/// No two records of one key share a nonce: each takes the next sequence number.
pub fn nonce(bytes: [u8; NONCE_LEN]) -> Nonce {
    Nonce::assume_unique_for_key(bytes)
}

/// RFC 5246 6.2.3.3: sequence number, type, version, length of the plaintext.
pub fn tls12_additional_data(sequence: u64, kind: u8, len: usize) -> [u8; 13] {
    let mut data = [0; 13];
    data[..8].copy_from_slice(&sequence.to_be_bytes());
    data[8..11].copy_from_slice(&[kind, 3, 3]);
    data[11..].copy_from_slice(&(len as u16).to_be_bytes());
    data
}
