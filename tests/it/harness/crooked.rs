//! TLS as no library would say it: records that are sealed rightly around any content (RFC 8446
//! 5.2) and ClientHellos with any version, name and extension (RFC 8446 4.1.2).

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Prk};

use super::tls_peer::Seen;

pub const CHANGE_CIPHER_SPEC: u8 = 20;
pub const ALERT: u8 = 21;
pub const HANDSHAKE: u8 = 22;
pub const DATA: u8 = 23;

/// One sending direction of a TLS 1.3 connection over AES_128_GCM_SHA256.
pub struct Sealer {
    secret: Vec<u8>,
    /// Of the next record.
    pub sequence: u64,
}

impl Sealer {
    /// `sequence`: records that this side has already sent under its traffic secret.
    pub fn client(seen: &Seen, sequence: u64) -> Sealer {
        Sealer::of(seen, "CLIENT_TRAFFIC_SECRET_0", sequence)
    }

    pub fn server(seen: &Seen, sequence: u64) -> Sealer {
        Sealer::of(seen, "SERVER_TRAFFIC_SECRET_0", sequence)
    }

    fn of(seen: &Seen, label: &str, sequence: u64) -> Sealer {
        let secrets = seen.secrets.lock().expect("unpoisoned");
        let secret = secrets.iter().find(|(name, _)| name == label);
        let secret = secret.unwrap_or_else(|| panic!("no {label}")).1.clone();
        assert_eq!(secret.len(), 32, "not of a suite with SHA-256");
        Sealer { secret, sequence }
    }

    /// A record with this content and inner type.
    pub fn record(&mut self, inner: u8, content: impl AsRef<[u8]>) -> Vec<u8> {
        self.padded(inner, content, 0)
    }

    /// With zeros behind the inner type (RFC 8446 5.4).
    pub fn padded(&mut self, inner: u8, content: impl AsRef<[u8]>, zeros: usize) -> Vec<u8> {
        let mut body = content.as_ref().to_vec();
        body.push(inner);
        body.resize(body.len() + zeros, 0);
        self.inner(body)
    }

    /// A record around these bytes, as if they ended with a type.
    pub fn inner(&mut self, mut body: Vec<u8>) -> Vec<u8> {
        let length = u16::try_from(body.len() + 16).expect("a length of 16 bits");
        let header = [&[DATA, 3, 3][..], &length.to_be_bytes()].concat();
        let key = UnboundKey::new(&AES_128_GCM, &expand(&self.secret, "key", 16)).expect("a key");
        let mut nonce: [u8; 12] = expand(&self.secret, "iv", 12).try_into().expect("12 bytes");
        for (byte, s) in nonce[4..].iter_mut().zip(self.sequence.to_be_bytes()) {
            *byte ^= s;
        }
        let nonce = Nonce::assume_unique_for_key(nonce);
        LessSafeKey::new(key)
            .seal_in_place_append_tag(nonce, Aad::from(&header), &mut body)
            .expect("sealed");
        self.sequence += 1;
        [header, body].concat()
    }

    /// A KeyUpdate (RFC 8446 4.6.3), and the next keys for what follows.
    pub fn key_update(&mut self, request: u8) -> Vec<u8> {
        let record = self.record(HANDSHAKE, [24, 0, 0, 1, request]);
        self.turn_keys();
        record
    }

    /// RFC 8446 7.2.
    pub fn turn_keys(&mut self) {
        self.secret = expand(&self.secret, "traffic upd", 32);
        self.sequence = 0;
    }
}

/// HKDF-Expand-Label with an empty context (RFC 8446 7.1).
fn expand(secret: &[u8], label: &str, length: usize) -> Vec<u8> {
    struct Length(usize);
    impl KeyType for Length {
        fn len(&self) -> usize {
            self.0
        }
    }
    let size = u16::try_from(length).expect("a length of 16 bits").to_be_bytes();
    let label = format!("tls13 {label}");
    let label_size = [u8::try_from(label.len()).expect("a short label")];
    let info = [&size[..], &label_size, label.as_bytes(), &[0]];
    let mut out = vec![0; length];
    Prk::new_less_safe(HKDF_SHA256, secret)
        .expand(&info, Length(length))
        .and_then(|okm| okm.fill(&mut out))
        .expect("expanded");
    out
}

/// A ClientHello by hand.
#[derive(Debug, Clone)]
pub struct Hello {
    pub legacy_version: u16,
    pub suites: Vec<u16>,
    pub compression: Vec<u8>,
    pub extensions: Vec<(u16, Vec<u8>)>,
}

impl Hello {
    /// TLS 1.2 at most, and otherwise agreeable.
    pub fn tls12(name: &str) -> Hello {
        let mut extensions = vec![
            (10, vec![0, 4, 0, 23, 0, 29]),
            (11, vec![1, 0]),
            (13, vec![0, 6, 4, 3, 8, 4, 4, 1]),
            (23, vec![]),
        ];
        if !name.is_empty() {
            extensions.push((0, server_name(name)));
        }
        let suites = vec![0xc02b, 0xc02f, 0xc02c, 0xc030];
        Hello { legacy_version: 0x0303, suites, compression: vec![0], extensions }
    }

    pub fn version(self, legacy_version: u16) -> Hello {
        Hello { legacy_version, ..self }
    }

    pub fn extension(mut self, id: u16, body: &[u8]) -> Hello {
        self.extensions.push((id, body.to_vec()));
        self
    }

    /// The handshake message.
    pub fn message(&self) -> Vec<u8> {
        let mut body = self.legacy_version.to_be_bytes().to_vec();
        body.extend([0x5a; 32]);
        body.push(0);
        let suites: Vec<u8> = self.suites.iter().flat_map(|s| s.to_be_bytes()).collect();
        body.extend(vector16(&suites));
        body.push(u8::try_from(self.compression.len()).expect("few"));
        body.extend(&self.compression);
        let extensions: Vec<u8> = self
            .extensions
            .iter()
            .flat_map(|(id, body)| [id.to_be_bytes().to_vec(), vector16(body)].concat())
            .collect();
        body.extend(vector16(&extensions));
        let length = u32::try_from(body.len()).expect("a length of 24 bits").to_be_bytes();
        [&[1], &length[1..], &body].concat()
    }

    /// In one record.
    pub fn record(&self) -> Vec<u8> {
        record(HANDSHAKE, &self.message())
    }

    /// In records of at most this many bytes.
    pub fn records(&self, size: usize) -> Vec<u8> {
        self.message().chunks(size).flat_map(|piece| record(HANDSHAKE, piece)).collect()
    }
}

/// RFC 6066 3.
pub fn server_name(name: &str) -> Vec<u8> {
    let entry = [&[0][..], &vector16(name.as_bytes())].concat();
    vector16(&entry)
}

/// A record in the clear.
pub fn record(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind, 3, 1], &vector16(body)[..]].concat()
}

fn vector16(bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).expect("a length of 16 bits");
    [&length.to_be_bytes()[..], bytes].concat()
}

/// The alert in the clear at the start of what a server said: level and description.
pub fn alert_in_the_clear(said: &[u8]) -> Option<(u8, u8)> {
    match said {
        [ALERT, 3, _, 0, 2, level, description, ..] => Some((*level, *description)),
        _ => None,
    }
}

/// rustls itself opens what is sealed here, key updates and padding included.
#[test]
fn sealed_records_are_opened_by_rustls() {
    use super::tls_peer::{TlsClient, tls_server};
    use super::{Authority, Origin};

    let authority = Authority::new("root");
    let origin = Origin::bind_tls(tls_server(&authority.pair(&["a.test"])));
    let suite = rustls::CipherSuite::TLS13_AES_128_GCM_SHA256;
    let client = TlsClient::only_suite(&authority, suite);
    let mut wire = client.connect(origin.addr, "a.test");
    let mut sealer = Sealer::client(client.seen(), 0);
    wire.send_raw(sealer.record(DATA, "one"));
    let mut peer = origin.accept();
    wire.send_raw(sealer.padded(DATA, "two", 100));
    wire.send_raw(sealer.key_update(1));
    wire.send_raw(sealer.record(DATA, "three"));
    peer.expect("onetwothree");
    peer.send("back");
    wire.expect("back");
    wire.send_raw(sealer.record(ALERT, [1, 0]));
    assert_eq!(peer.ends(), super::End::Fin);
    let mut bare = Sealer::client(client.seen(), 0);
    assert_ne!(bare.record(DATA, "one"), sealer.record(DATA, "one"));
}
