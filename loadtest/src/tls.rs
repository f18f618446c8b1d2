//! The client's side of TLS under a connection of the load: rustls, where proxies are compared with
//! one suite and one group, so that all do the same arithmetic. Not here: sockets; certificates of
//! the proxies, see `certificate`.

use std::collections::VecDeque;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use anyhow::{Context as _, ensure};
use rustls::client::{
    ClientSessionStore, Tls12ClientSessionValue, Tls13ClientSessionValue,
    UnbufferedClientConnection,
};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::unbuffered::{ConnectionState, EncryptError, UnbufferedStatus};
use rustls::{ClientConfig, HandshakeKind, NamedGroup, RootCertStore, SupportedProtocolVersion};

/// Plaintext of one record, and what a record adds to it.
const RECORD_PLAINTEXT: usize = 1 << 14;
const RECORD_EXTRA: usize = 5 + 1 + 16;
/// Tickets that are kept; the latest are used first.
pub const TICKETS_MAX: usize = 1 << 15;

const ONE_VERSION: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];

/// What a client offers.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Offer {
    /// TLS 1.3 with AES-128-GCM and X25519.
    One,
    /// What rustls offers of itself, TLS 1.2 included.
    Usual,
}

/// How connections of one process speak TLS.
pub struct Dialect {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
    tickets: Arc<Tickets>,
}

impl Dialect {
    /// For servers named `host`, a port behind it aside, whose certificates come from one of the
    /// authorities in the file `authority`.
    pub fn new(authority: &Path, host: &str, offer: Offer) -> anyhow::Result<Dialect> {
        let pem = fs::read(authority).with_context(|| authority.display().to_string())?;
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(&pem) {
            roots.add(certificate.with_context(|| authority.display().to_string())?)?;
        }
        ensure!(!roots.is_empty(), "{}: no certificate (PEM) in it", authority.display());
        let name = without_port(host);
        let usual = aws_lc_rs::default_provider();
        let (provider, versions) = match offer {
            Offer::Usual => (usual, rustls::ALL_VERSIONS),
            Offer::One => {
                let cipher_suites = vec![aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256];
                let kx_groups = vec![aws_lc_rs::kx_group::X25519];
                (CryptoProvider { cipher_suites, kx_groups, ..usual }, ONE_VERSION)
            }
        };
        let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(versions)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let tickets = Arc::new(Tickets::default());
        let store: Arc<dyn ClientSessionStore> = tickets.clone();
        config.resumption = rustls::client::Resumption::store(store);
        let name = ServerName::try_from(name.to_owned())
            .with_context(|| format!("{host:?} is no name that a certificate can be for"))?;
        Ok(Dialect { config: Arc::new(config), name, tickets })
    }

    /// Whether the next connections use the tickets that were received.
    pub fn resume(&self, resume: bool) {
        self.tickets.in_use.store(resume, Ordering::Relaxed);
    }

    pub fn tickets(&self) -> usize {
        self.tickets.kept().len()
    }

    pub fn layer(&self) -> anyhow::Result<Layer> {
        let connection = UnbufferedClientConnection::new(self.config.clone(), self.name.clone())?;
        Ok(Layer { connection, ready: false, peer_closed: false })
    }
}

/// The name or address of a Host header.
fn without_port(host: &str) -> &str {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    name.trim_start_matches('[').trim_end_matches(']')
}

#[derive(Debug, Default)]
struct Tickets {
    in_use: AtomicBool,
    kept: Mutex<VecDeque<Tls13ClientSessionValue>>,
}

impl Tickets {
    fn kept(&self) -> MutexGuard<'_, VecDeque<Tls13ClientSessionValue>> {
        self.kept.lock().expect("nothing panics with the lock held")
    }
}

impl ClientSessionStore for Tickets {
    fn set_kx_hint(&self, _: ServerName<'static>, _: NamedGroup) {}

    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        None
    }

    fn set_tls12_session(&self, _: ServerName<'static>, _: Tls12ClientSessionValue) {}

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        None
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {}

    fn insert_tls13_ticket(&self, _: ServerName<'static>, ticket: Tls13ClientSessionValue) {
        let mut kept = self.kept();
        if kept.len() == TICKETS_MAX {
            kept.pop_front();
        }
        kept.push_back(ticket);
    }

    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.in_use.load(Ordering::Relaxed).then(|| self.kept().pop_back())?
    }
}

/// TLS of one connection, without any buffer of its own.
pub struct Layer {
    connection: UnbufferedClientConnection,
    /// The handshake is over, as far as this side is concerned.
    pub ready: bool,
    /// The peer said close_notify; nothing more will come.
    pub peer_closed: bool,
}

/// What became of received bytes.
pub struct Digested {
    /// Bytes that were used up, at the front of the input.
    pub used: usize,
    /// Bytes of plaintext that were written to the front of the output.
    pub plain: usize,
}

impl Layer {
    pub fn kind(&self) -> Option<HandshakeKind> {
        self.connection.handshake_kind()
    }

    /// Opens what is whole of `received` into `plain`, which is at least as long, and appends what
    /// the protocol itself has to send to `out`.
    pub fn digest(
        &mut self,
        received: &mut [u8],
        plain: &mut [u8],
        out: &mut Vec<u8>,
    ) -> Result<Digested, String> {
        let mut done = Digested { used: 0, plain: 0 };
        loop {
            let status = self.connection.process_tls_records(&mut received[done.used..]);
            let UnbufferedStatus { discard, state } = status;
            done.used += discard;
            match state.map_err(|e| e.to_string())? {
                ConnectionState::ReadTraffic(mut traffic) => {
                    while let Some(record) = traffic.next_record() {
                        let record = record.map_err(|e| e.to_string())?;
                        let end = done.plain + record.payload.len();
                        plain[done.plain..end].copy_from_slice(record.payload);
                        done.plain = end;
                        done.used += record.discard;
                    }
                }
                ConnectionState::EncodeTlsData(mut data) => {
                    let from = out.len();
                    out.resize(from + RECORD_PLAINTEXT + RECORD_EXTRA, 0);
                    let n = data.encode(&mut out[from..]).map_err(|e| e.to_string())?;
                    out.truncate(from + n);
                }
                ConnectionState::TransmitTlsData(data) => data.done(),
                ConnectionState::PeerClosed => self.peer_closed = true,
                ConnectionState::WriteTraffic(_) => {
                    self.ready = true;
                    break;
                }
                _ => break,
            }
        }
        Ok(done)
    }

    /// Appends `plain` as records to `out`.
    pub fn seal(&mut self, plain: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
        let records = plain.len().div_ceil(RECORD_PLAINTEXT);
        self.write(out, plain.len() + records * RECORD_EXTRA, |traffic, room| {
            traffic.encrypt(plain, room)
        })
    }

    /// Appends close_notify.
    pub fn close(&mut self, out: &mut Vec<u8>) -> Result<(), String> {
        self.write(out, 64, |traffic, room| traffic.queue_close_notify(room))
    }

    fn write(
        &mut self,
        out: &mut Vec<u8>,
        room: usize,
        write: impl FnOnce(&mut WriteTraffic<'_>, &mut [u8]) -> Result<usize, EncryptError>,
    ) -> Result<(), String> {
        let UnbufferedStatus { state, .. } = self.connection.process_tls_records(&mut []);
        let ConnectionState::WriteTraffic(mut traffic) = state.map_err(|e| e.to_string())? else {
            return Err("the TLS connection is not ready for data".into());
        };
        let from = out.len();
        out.resize(from + room, 0);
        let n = write(&mut traffic, &mut out[from..]).map_err(|e| e.to_string())?;
        out.truncate(from + n);
        Ok(())
    }
}

type WriteTraffic<'c> = rustls::unbuffered::WriteTraffic<'c, rustls::client::ClientConnectionData>;
