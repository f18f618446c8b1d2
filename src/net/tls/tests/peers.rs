//! The other side of a test: rustls' own blocking connection in a thread, and the certificates that
//! both sides know. Not here: what is tested.

use std::io::{Error, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, LazyLock};
use std::thread::{JoinHandle, spawn};
use std::time::{Duration, Instant};

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd,
};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::version::{TLS12, TLS13};
use rustls::{
    ClientConfig, ClientConnection, Connection, RootCertStore, ServerConfig, ServerConnection,
    SupportedProtocolVersion,
};

use crate::net::runtime::Runtime;
use crate::net::stream::{Patience, Stream};
use crate::snapshot::certs::{Certificates, OriginTls, ServerTls};

pub(super) const NAME: &str = "edge.test";
pub(super) type Version = &'static SupportedProtocolVersion;
pub(super) const VERSIONS: [Version; 2] = [&TLS13, &TLS12];

/// For what has to happen; beyond it a test fails.
pub(super) fn soon() -> Patience {
    Patience::Until(Instant::now() + Duration::from_secs(20))
}

pub(super) fn on_core<F: Future>(future: F) -> F::Output {
    Runtime::new().unwrap().0.block_on(future)
}

/// One CA and what it signed.
pub(super) struct Pki {
    pub(super) root: Certificate,
    issuer: Issuer<'static, KeyPair>,
}

pub(super) struct Pair {
    pub(super) chain: Vec<CertificateDer<'static>>,
    key: Vec<u8>,
}

pub(super) static PKI: LazyLock<Pki> = LazyLock::new(|| Pki::new("a CA of tests"));

impl Pki {
    pub(super) fn new(name: &str) -> Pki {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let root = params.self_signed(&key).unwrap();
        Pki { root, issuer: Issuer::new(params, key) }
    }

    pub(super) fn pair(&self, name: &str) -> Pair {
        self.signed(name, |_| {})
    }

    pub(super) fn expired(&self, name: &str) -> Pair {
        self.signed(name, |params| params.not_after = date_time_ymd(2001, 2, 3))
    }

    fn signed(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> Pair {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Pair { chain: vec![certificate.der().clone()], key: key.serialize_der() }
    }

    pub(super) fn roots(&self) -> Arc<RootCertStore> {
        let mut roots = RootCertStore::empty();
        roots.add(self.root.der().clone()).unwrap();
        Arc::new(roots)
    }
}

impl Pair {
    pub(super) fn key(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.key.clone()).into()
    }
}

/// Without post-quantum groups, so that a hello is a few hundred bytes and not two thousand.
pub(super) fn provider() -> Arc<CryptoProvider> {
    let kx_groups = vec![aws_lc_rs::kx_group::X25519, aws_lc_rs::kx_group::SECP256R1];
    Arc::new(CryptoProvider { kx_groups, ..aws_lc_rs::default_provider() })
}

pub(super) fn server_config(pair: &Pair, versions: &[Version]) -> ServerConfig {
    let config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(versions)
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(pair.chain.clone(), pair.key())
        .unwrap();
    finished(config)
}

/// One that asks its clients for a certificate of the tests' CA.
pub(super) fn asking_config(pair: &Pair, versions: &[Version]) -> ServerConfig {
    let verifier =
        WebPkiClientVerifier::builder_with_provider(PKI.roots(), provider()).build().unwrap();
    let config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(versions)
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(pair.chain.clone(), pair.key())
        .unwrap();
    finished(config)
}

fn finished(mut config: ServerConfig) -> ServerConfig {
    config.enable_secret_extraction = true;
    config.ticketer = aws_lc_rs::Ticketer::new().unwrap();
    config.send_tls13_tickets = 1;
    config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config
}

pub(super) fn client_config(versions: &[Version]) -> ClientConfig {
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(PKI.roots())
        .with_no_client_auth();
    config.enable_secret_extraction = true;
    config
}

pub(super) fn client_config_with(pair: &Pair, versions: &[Version]) -> ClientConfig {
    ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(PKI.roots())
        .with_client_auth_cert(pair.chain.clone(), pair.key())
        .unwrap()
}

/// Certificates of a node that serves [`NAME`] and nothing else.
pub(super) fn only(config: ServerConfig) -> Certificates {
    let server = ServerTls { config: Arc::new(config), domain: Some(NAME.into()) };
    Certificates::new([(NAME.into(), Arc::new(server))], None, Default::default())
}

pub(super) fn origin(config: &Arc<ClientConfig>) -> OriginTls {
    let server_name = Some(ServerName::try_from(NAME).unwrap());
    OriginTls { config: Arc::clone(config), server_name }
}

/// Two ends of one connection: the edge's, and the peer's.
pub(super) fn sockets() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let far = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (near, _) = listener.accept().unwrap();
    far.set_nodelay(true).unwrap();
    (near, far)
}

/// Must be called on a core.
pub(super) fn adopt(near: TcpStream) -> Stream {
    near.set_nonblocking(true).unwrap();
    let addr = near.peer_addr().unwrap();
    Stream::adopt(near.into(), addr).unwrap()
}

/// Runs `edge` on one end of a connection and `peer` in a thread at the other.
pub(super) fn meet<F: Future, P: Send + 'static>(
    peer: impl FnOnce(TcpStream) -> P + Send + 'static,
    edge: impl FnOnce(Stream) -> F,
) -> (F::Output, P) {
    let (near, far) = sockets();
    let peer: JoinHandle<P> = spawn(move || peer(far));
    let output = on_core(async move { edge(adopt(near)).await });
    (output, peer.join().unwrap())
}

/// rustls over a socket.
pub(super) struct Peer {
    pub(super) tcp: TcpStream,
    pub(super) tls: Connection,
}

impl Peer {
    pub(super) fn client(tcp: TcpStream, config: &Arc<ClientConfig>) -> Peer {
        let name = ServerName::try_from(NAME).unwrap();
        let tls = ClientConnection::new(Arc::clone(config), name).unwrap().into();
        Peer { tcp, tls }
    }

    pub(super) fn server(tcp: TcpStream, config: &Arc<ServerConfig>) -> Peer {
        let tls = ServerConnection::new(Arc::clone(config)).unwrap().into();
        Peer { tcp, tls }
    }

    /// To the end of the handshake, or to why not.
    pub(super) fn handshake(&mut self) -> std::io::Result<()> {
        while self.tls.is_handshaking() || self.tls.wants_write() {
            self.tls.complete_io(&mut self.tcp)?;
        }
        Ok(())
    }

    pub(super) fn write(&mut self, bytes: &[u8]) {
        for piece in bytes.chunks(16 * 1024) {
            let records = self.sealed(piece);
            self.tcp.write_all(&records).unwrap();
        }
    }

    /// Exactly so many bytes.
    pub(super) fn read(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        while bytes.len() < len {
            let piece = self.read_some(len - bytes.len()).unwrap();
            assert!(!piece.is_empty(), "the end after {} of {len} bytes", bytes.len());
            bytes.extend(piece);
        }
        bytes
    }

    /// Everything up to close_notify, or why not.
    pub(super) fn read_to_end(&mut self) -> std::io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        loop {
            let piece = self.read_some(64 * 1024)?;
            if piece.is_empty() {
                return Ok(bytes);
            }
            bytes.extend(piece);
        }
    }

    fn read_some(&mut self, max: usize) -> std::io::Result<Vec<u8>> {
        let mut piece = vec![0; max];
        loop {
            match self.tls.reader().read(&mut piece) {
                Ok(n) => {
                    piece.truncate(n);
                    return Ok(piece);
                }
                Err(e) if e.kind() == ErrorKind::WouldBlock => {}
                Err(e) => return Err(e),
            }
            self.tls.read_tls(&mut self.tcp)?;
            let processed = self.tls.process_new_packets();
            let records = self.records();
            self.tcp.write_all(&records)?;
            processed.map_err(|error| Error::new(ErrorKind::InvalidData, error))?;
        }
    }

    /// What it has to send.
    pub(super) fn records(&mut self) -> Vec<u8> {
        let mut records = Vec::new();
        while self.tls.wants_write() {
            self.tls.write_tls(&mut records).unwrap();
        }
        records
    }

    pub(super) fn sealed(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.tls.writer().write_all(bytes).unwrap();
        self.records()
    }

    pub(super) fn close(&mut self) {
        self.tls.send_close_notify();
        let records = self.records();
        self.tcp.write_all(&records).unwrap();
    }
}

/// What the edge says in the clear until it closes.
pub(super) fn heard(tcp: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    tcp.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    tcp.read_to_end(&mut bytes).unwrap();
    bytes
}

/// The description of the fatal alert that ended a peer.
pub(super) fn alert_of(error: &std::io::Error) -> Option<rustls::AlertDescription> {
    match error.get_ref()?.downcast_ref::<rustls::Error>()? {
        rustls::Error::AlertReceived(alert) => Some(*alert),
        _ => None,
    }
}
