//! rustls as the peer of the edge, behind the same calls as a TCP stream: blocking, and usable from
//! two threads at once. Also what only a peer that is in a test needs: records that are sealed and
//! not sent yet, and hellos in pieces.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex, MutexGuard};

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, Connection, HandshakeKind, ServerConfig};
use rustls::{ProtocolVersion, ServerConnection};

/// One TLS connection; a clone is the same one.
#[derive(Clone)]
pub struct TlsStream(Arc<Shared>);

struct Shared {
    tcp: TcpStream,
    inner: Mutex<Inner>,
    /// Sealed and not sent yet. Taken before `inner` by whoever sends, so that records leave in
    /// the order in which they were sealed.
    out: Mutex<Vec<u8>>,
}

struct Inner {
    connection: Connection,
    /// Opened and not read yet.
    plain: Vec<u8>,
    /// How receiving ended.
    end: Option<Result<(), rustls::Error>>,
}

/// What a finished handshake agreed on.
#[derive(Debug, Clone)]
pub struct Agreed {
    pub version: ProtocolVersion,
    pub alpn: Option<String>,
    pub resumed: bool,
    /// Whether the server's ticket let the client send data before its handshake.
    pub early_data: bool,
    /// DER of the peer's certificate.
    pub certificate: Option<Vec<u8>>,
    /// What the client asked for; only a server knows.
    pub server_name: Option<String>,
}

/// How the bytes of a handshake leave the test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pieces {
    Whole,
    /// One byte per segment.
    Bytes,
    /// Cut once, behind this many bytes.
    CutAt(usize),
    /// The last flight waits for the first data and leaves with it.
    WithData,
}

impl TlsStream {
    pub fn connect(
        tcp: TcpStream,
        config: Arc<ClientConfig>,
        name: &str,
        pieces: Pieces,
    ) -> io::Result<TlsStream> {
        let name = ServerName::try_from(name.to_owned()).expect("a server name");
        let connection = ClientConnection::new(config, name).map_err(io::Error::other)?;
        TlsStream::handshake(tcp, connection.into(), pieces)
    }

    pub fn accept(tcp: TcpStream, config: Arc<ServerConfig>) -> io::Result<TlsStream> {
        let connection = ServerConnection::new(config).map_err(io::Error::other)?;
        TlsStream::handshake(tcp, connection.into(), Pieces::Whole)
    }

    fn handshake(tcp: TcpStream, connection: Connection, how: Pieces) -> io::Result<TlsStream> {
        let mut inner = Inner { connection, plain: Vec::new(), end: None };
        inner.connection.set_buffer_limit(None);
        let shared = Shared { tcp, inner: Mutex::new(inner), out: Mutex::default() };
        let stream = TlsStream(Arc::new(shared));
        loop {
            if how == Pieces::WithData && !stream.inner().connection.is_handshaking() {
                return Ok(stream);
            }
            if matches!(how, Pieces::Whole | Pieces::WithData) {
                stream.flush_records()?;
            } else {
                send_in_pieces(&stream.0.tcp, &stream.sealed(b""), how)?;
            }
            let inner = stream.inner();
            if !inner.connection.is_handshaking() {
                return Ok(stream.clone());
            }
            if inner.end.is_some() {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            drop(inner);
            if how == Pieces::WithData {
                stream.take_in()?
            } else {
                stream.receive()?
            };
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.inner.lock().expect("unpoisoned")
    }

    pub fn tcp(&self) -> &TcpStream {
        &self.0.tcp
    }

    pub fn agreed(&self) -> Agreed {
        let mut inner = self.inner();
        let early_data = match &mut inner.connection {
            Connection::Client(client) => client.early_data().is_some(),
            Connection::Server(server) => server.early_data().is_some(),
        };
        let connection = &inner.connection;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Agreed {
            version: connection.protocol_version().expect("a finished handshake"),
            alpn: connection.alpn_protocol().map(text),
            resumed: connection.handshake_kind() == Some(HandshakeKind::Resumed),
            early_data,
            certificate: connection.peer_certificates().map(|chain| chain[0].to_vec()),
            server_name: match connection {
                Connection::Client(_) => None,
                Connection::Server(server) => server.server_name().map(str::to_owned),
            },
        }
    }

    /// Records with these bytes, each of at most 16 KiB, behind whatever TLS itself had to say. Not
    /// sent: that is up to the test.
    pub fn sealed(&self, plain: &[u8]) -> Vec<u8> {
        let mut inner = self.inner();
        inner.connection.writer().write_all(plain).expect("no limit");
        take_records(&mut inner.connection)
    }

    /// A KeyUpdate that asks for one in return (RFC 8446 4.6.3), and the new keys from there on.
    pub fn update_keys(&self) -> io::Result<()> {
        self.inner().connection.refresh_traffic_keys().map_err(io::Error::other)?;
        self.flush_records()
    }

    /// close_notify and no FIN.
    pub fn close_notify(&self) {
        self.inner().connection.send_close_notify();
        let _ = self.flush_records();
    }

    /// Takes one read's worth of bytes in, and sends what TLS itself has to say to that.
    fn receive(&self) -> io::Result<()> {
        let taken = self.take_in();
        if self.inner().connection.wants_write() {
            // An alert may find nobody there any more.
            let _ = self.flush_records();
        }
        taken
    }

    fn take_in(&self) -> io::Result<()> {
        let mut raw = [0; 32_768];
        let n = (&self.0.tcp).read(&mut raw)?;
        let mut inner = self.inner();
        let mut rest = &raw[..n];
        loop {
            inner.connection.read_tls(&mut rest)?;
            let processed = inner.connection.process_new_packets();
            let mut plain = [0; 16_384];
            loop {
                match inner.connection.reader().read(&mut plain) {
                    Ok(0) => inner.end = Some(Ok(())),
                    Ok(n) => {
                        inner.plain.extend(&plain[..n]);
                        continue;
                    }
                    Err(e) if e.kind() == ErrorKind::WouldBlock => {}
                    Err(_) => inner.end = inner.end.take().or(Some(Err(truncated()))),
                }
                break;
            }
            if let Err(error) = processed {
                inner.end = Some(Err(error));
            }
            if rest.is_empty() || inner.end.is_some() {
                break;
            }
        }
        match inner.end.clone() {
            Some(Err(error)) => Err(io::Error::new(ErrorKind::InvalidData, error)),
            Some(Ok(())) | None => Ok(()),
        }
    }

    fn flush_records(&self) -> io::Result<()> {
        let mut out = self.0.out.lock().expect("unpoisoned");
        out.extend(take_records(&mut self.inner().connection));
        self.send_all(&mut out)
    }

    /// What was taken from rustls already.
    fn flush_sealed(&self) -> io::Result<()> {
        self.send_all(&mut self.0.out.lock().expect("unpoisoned"))
    }

    fn send_all(&self, out: &mut Vec<u8>) -> io::Result<()> {
        while !out.is_empty() {
            let n = (&self.0.tcp).write(out)?;
            out.drain(..n);
        }
        Ok(())
    }
}

fn take_records(connection: &mut Connection) -> Vec<u8> {
    let mut records = Vec::new();
    while connection.wants_write() {
        connection.write_tls(&mut records).expect("into memory");
    }
    records
}

/// A FIN without close_notify before it (RFC 8446 6.1).
fn truncated() -> rustls::Error {
    rustls::Error::General("FIN without close_notify".into())
}

pub fn is_truncated(error: &rustls::Error) -> bool {
    *error == truncated()
}

/// The alert that the peer ended the connection with.
pub fn alert_in(error: &io::Error) -> Option<rustls::AlertDescription> {
    match error.get_ref()?.downcast_ref::<rustls::Error>()? {
        rustls::Error::AlertReceived(alert) => Some(*alert),
        _ => None,
    }
}

/// Sends bytes so that the peer can see each piece by itself.
pub fn send_in_pieces(mut tcp: &TcpStream, bytes: &[u8], how: Pieces) -> io::Result<()> {
    let piece = match how {
        Pieces::Whole | Pieces::WithData => bytes.len().max(1),
        Pieces::Bytes => 1,
        Pieces::CutAt(at) => at.clamp(1, bytes.len().max(1)),
    };
    let (first, rest) = bytes.split_at(piece.min(bytes.len()));
    tcp.write_all(first)?;
    let size = if how == Pieces::Bytes { 1 } else { rest.len().max(1) };
    for piece in rest.chunks(size) {
        // Long enough for a segment of its own, as Nagle is off.
        std::thread::sleep(std::time::Duration::from_micros(200));
        tcp.write_all(piece)?;
    }
    Ok(())
}

impl Read for &TlsStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let mut inner = self.inner();
            if !inner.plain.is_empty() {
                let n = inner.plain.len().min(buffer.len());
                buffer[..n].copy_from_slice(&inner.plain[..n]);
                inner.plain.drain(..n);
                return Ok(n);
            }
            match &inner.end {
                Some(Ok(())) => return Ok(0),
                Some(Err(e)) => return Err(io::Error::new(ErrorKind::InvalidData, e.clone())),
                None => {}
            }
            drop(inner);
            if let Err(error) = self.receive()
                && self.inner().plain.is_empty()
            {
                return Err(error);
            }
        }
    }
}

impl Write for &TlsStream {
    /// Seals as much as one record holds once everything before has left.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.flush_sealed()?;
        let n = bytes.len().min(16_384);
        self.inner().connection.writer().write_all(&bytes[..n])?;
        match self.flush_records() {
            // Sealed: the rest leaves before anything else does.
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Ok(n),
            sent => sent.map(|()| n),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.flush_records()
    }
}

impl Read for TlsStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        (&*self).read(buffer)
    }
}

impl Write for TlsStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (&*self).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        (&*self).flush()
    }
}
