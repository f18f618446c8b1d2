//! Connected pairs for tests: a session of ours, and rustls' own connection as its peer, joined in
//! memory. Not here: sockets, and what is tested.

use std::io::{Read, Write};
use std::sync::{Arc, LazyLock};

use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256};
use rustls::client::UnbufferedClientConnection;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, UnbufferedStatus};
use rustls::{
    CipherSuite, ClientConfig, ClientConnection, Connection, Error, RootCertStore, ServerConfig,
    ServerConnection, SupportedCipherSuite, SupportedProtocolVersion, version,
};

use super::{Duty, Opened, Session};

pub const NAME: &str = "edge.test";

/// Every suite of the provider.
pub fn suites() -> Vec<SupportedCipherSuite> {
    aws_lc_rs::ALL_CIPHER_SUITES.to_vec()
}

/// Both ends' configurations for one suite; extraction is on in both.
pub fn configs(suite: SupportedCipherSuite) -> (Arc<ServerConfig>, Arc<ClientConfig>) {
    static ECDSA: LazyLock<Certified> = LazyLock::new(|| Certified::new(&PKCS_ECDSA_P256_SHA256));
    static RSA: LazyLock<Certified> = LazyLock::new(|| Certified::new(&PKCS_RSA_SHA256));
    let certified = match suite.suite() {
        CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
        | CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384
        | CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256 => &*RSA,
        _ => &*ECDSA,
    };
    let provider = CryptoProvider { cipher_suites: vec![suite], ..aws_lc_rs::default_provider() };
    let provider = Arc::new(provider);
    let versions: [&'static SupportedProtocolVersion; 1] = match suite {
        SupportedCipherSuite::Tls13(_) => [&version::TLS13],
        SupportedCipherSuite::Tls12(_) => [&version::TLS12],
    };
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(certified.key.clone()));
    let mut server = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&versions)
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certified.certificate.clone()], key)
        .unwrap();
    server.enable_secret_extraction = true;
    server.ticketer = aws_lc_rs::Ticketer::new().unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(certified.certificate.clone()).unwrap();
    let mut client = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&versions)
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    client.enable_secret_extraction = true;
    (Arc::new(server), Arc::new(client))
}

/// Our server session, and the client that it serves.
pub fn server(server: &Arc<ServerConfig>, client: &Arc<ClientConfig>) -> (Session, Connection) {
    let mut peer: Connection = ClientConnection::new(client.clone(), name()).unwrap().into();
    let mut ours = UnbufferedServerConnection::new(server.clone()).unwrap();
    shake(&mut peer, |input, out| step(ours.process_tls_records(input), out));
    let session = Session::from_server(ours).unwrap();
    (session, peer)
}

/// Our client session, and the server that it talks to. Tickets of TLS 1.3 are still under way.
pub fn client(server: &Arc<ServerConfig>, client: &Arc<ClientConfig>) -> (Session, Connection) {
    let mut peer: Connection = ServerConnection::new(server.clone()).unwrap().into();
    let mut ours = UnbufferedClientConnection::new(client.clone(), name()).unwrap();
    shake(&mut peer, |input, out| step(ours.process_tls_records(input), out));
    let session = Session::from_client(ours).unwrap();
    (session, peer)
}

/// Lets the session seal 2^`log2` records with the same keys, and no more.
pub fn limit(session: &mut Session, log2: u8) {
    session.limit_log2 = log2;
}

/// What the peer has to send.
pub fn output(peer: &mut Connection) -> Vec<u8> {
    let mut out = Vec::new();
    while peer.wants_write() {
        peer.write_tls(&mut out).unwrap();
    }
    out
}

/// The peer takes `bytes`; answers what it read of them.
pub fn input(peer: &mut Connection, mut bytes: &[u8]) -> Result<Vec<u8>, Error> {
    let mut read = Vec::new();
    loop {
        while !bytes.is_empty() && peer.wants_read() {
            peer.read_tls(&mut bytes).unwrap();
            peer.process_new_packets()?;
        }
        let before = read.len();
        let mut chunk = [0; 4096];
        while let Ok(len @ 1..) = peer.reader().read(&mut chunk) {
            read.extend_from_slice(&chunk[..len]);
        }
        if bytes.is_empty() || read.len() == before {
            return Ok(read);
        }
    }
}

/// The peer says `data`; answers the records.
pub fn said(peer: &mut Connection, data: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for piece in data.chunks(16 * 1024) {
        peer.writer().write_all(piece).unwrap();
        out.extend(output(peer));
    }
    out
}

/// `data` as one record of the session.
pub fn sealed(session: &mut Session, data: &[u8]) -> Vec<u8> {
    let (head, tail) = (session.headroom(), session.tailroom());
    let mut buffer = vec![0; head + data.len() + tail];
    buffer[head..head + data.len()].copy_from_slice(data);
    let record = session.seal(&mut buffer, head..head + data.len()).unwrap();
    assert_eq!(record, 0..buffer.len());
    buffer
}

/// What the session has to send, as records; a due close is left alone.
pub fn duties(session: &mut Session) -> Vec<u8> {
    let mut sent = Vec::new();
    let mut out = [0; super::CONTROL_RECORD_BYTES_MAX];
    while let Some(duty) = session.duty() {
        let len = match duty {
            Duty::KeyUpdate => session.seal_key_update(&mut out),
            Duty::Warning(alert) => session.seal_alert(alert, &mut out),
            Duty::Close => break,
        };
        sent.extend_from_slice(&out[..len]);
    }
    sent
}

/// Opens every whole record of `input`, and takes it out; answers the data.
pub fn opened(session: &mut Session, input: &mut Vec<u8>) -> Result<Vec<u8>, super::Fault> {
    let mut data = Vec::new();
    loop {
        let done = match session.open(input)? {
            Opened::Partial { .. } => return Ok(data),
            Opened::Closed { .. } => {
                input.clear();
                return Ok(data);
            }
            Opened::Data { plain, record } => {
                data.extend_from_slice(&input[plain]);
                record
            }
            Opened::Handled { record } => record,
        };
        input.drain(..done);
    }
}

struct Certified {
    certificate: CertificateDer<'static>,
    key: Vec<u8>,
}

impl Certified {
    fn new(algorithm: &'static rcgen::SignatureAlgorithm) -> Certified {
        let key = KeyPair::generate_for(algorithm).unwrap();
        let params = CertificateParams::new(vec![NAME.to_owned()]).unwrap();
        let certificate = params.self_signed(&key).unwrap().into();
        Certified { certificate, key: key.serialize_der() }
    }
}

fn name() -> ServerName<'static> {
    NAME.try_into().unwrap()
}

enum Step {
    Again,
    /// More input is needed.
    Blocked,
    Over,
}

/// Goes on until ours may send data; it is given one record at a time, as on the wire.
fn shake(peer: &mut Connection, mut ours: impl FnMut(&mut [u8], &mut Vec<u8>) -> (usize, Step)) {
    let (mut waiting, mut given) = (Vec::new(), Vec::new());
    for _ in 0..100 {
        let mut out = Vec::new();
        let step = loop {
            let (used, step) = ours(&mut given, &mut out);
            given.drain(..used);
            if !matches!(step, Step::Again) {
                break step;
            }
        };
        assert_eq!(input(peer, &out).unwrap(), b"");
        if matches!(step, Step::Over) && !peer.is_handshaking() {
            assert!(waiting.is_empty() && given.is_empty(), "data behind the handshake");
            return;
        }
        if waiting.is_empty() {
            waiting = output(peer);
        }
        if let Some(&[.., high, low]) = waiting.first_chunk::<5>() {
            given.extend(waiting.drain(..5 + usize::from(u16::from_be_bytes([high, low]))));
        }
    }
    panic!("the handshake does not end");
}

/// Acts on one state; answers the bytes used, and what to do next.
fn step<Data>(status: UnbufferedStatus<'_, '_, Data>, out: &mut Vec<u8>) -> (usize, Step) {
    let UnbufferedStatus { discard, state } = status;
    let step = match state.unwrap() {
        ConnectionState::EncodeTlsData(mut encode) => {
            let from = out.len();
            out.resize(from + 32 * 1024, 0);
            let len = encode.encode(&mut out[from..]).unwrap();
            out.truncate(from + len);
            Step::Again
        }
        ConnectionState::TransmitTlsData(transmit) => {
            transmit.done();
            Step::Again
        }
        ConnectionState::WriteTraffic(_) => Step::Over,
        ConnectionState::BlockedHandshake => Step::Blocked,
        other => panic!("{other:?} in a handshake"),
    };
    (discard, step)
}
