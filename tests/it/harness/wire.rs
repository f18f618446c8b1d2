//! One connection seen from outside, plain or TLS: says exact bytes, sees exact bytes, and every
//! wait ends.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use rustls::AlertDescription;

use super::tls::{self, Agreed, TlsStream};
use super::{DEADLINE, Frame, Head, show};

pub struct Wire {
    stream: Stream,
    /// Received and not yet taken by the test.
    ahead: Vec<u8>,
}

enum Stream {
    Plain(TcpStream),
    Tls(TlsStream),
}

/// How the peer ended its direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// In order: FIN, or over TLS close_notify.
    Fin,
    Reset,
    /// TLS: FIN without close_notify.
    Truncated,
    /// TLS: a fatal alert.
    Alert(AlertDescription),
    /// TLS: the peer broke it, in the eyes of rustls.
    Nonsense,
}

fn end(error: &io::Error) -> End {
    match error.get_ref().and_then(|e| e.downcast_ref::<rustls::Error>()) {
        None => End::Reset,
        Some(rustls::Error::AlertReceived(alert)) => End::Alert(*alert),
        Some(e) if tls::is_truncated(e) => End::Truncated,
        Some(e) => {
            eprintln!("rustls on what the edge said: {e}");
            End::Nonsense
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(stream) => stream.read(buffer),
            Stream::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(stream) => stream.write(bytes),
            Stream::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Stream::Plain(stream) => stream.flush(),
            Stream::Tls(stream) => stream.flush(),
        }
    }
}

impl Wire {
    pub fn new(stream: TcpStream) -> Wire {
        stream.set_nodelay(true).expect("nodelay");
        stream.set_read_timeout(Some(DEADLINE)).expect("read timeout");
        stream.set_write_timeout(Some(DEADLINE)).expect("write timeout");
        Wire { stream: Stream::Plain(stream), ahead: Vec::new() }
    }

    pub fn secured(stream: TlsStream) -> Wire {
        Wire { stream: Stream::Tls(stream), ahead: Vec::new() }
    }

    pub fn connect(addr: SocketAddr) -> Wire {
        let stream = TcpStream::connect_timeout(&addr, DEADLINE);
        Wire::new(stream.unwrap_or_else(|e| panic!("connect to {addr}: {e}")))
    }

    /// With a small receive buffer, so that a peer feels soon that nobody reads.
    pub fn connect_small(addr: SocketAddr, receive_buffer: usize) -> Wire {
        let socket =
            socket2::Socket::new(socket2::Domain::for_address(addr), socket2::Type::STREAM, None)
                .expect("a socket");
        socket.set_recv_buffer_size(receive_buffer).expect("SO_RCVBUF");
        socket.connect(&addr.into()).unwrap_or_else(|e| panic!("connect to {addr}: {e}"));
        Wire::new(socket.into())
    }

    pub fn local(&self) -> SocketAddr {
        self.socket().local_addr().expect("a bound socket")
    }

    pub fn peer(&self) -> SocketAddr {
        self.socket().peer_addr().expect("a connected socket")
    }

    /// The same connection for another thread; bytes already taken ahead stay here.
    pub fn also(&self) -> Wire {
        match &self.stream {
            Stream::Plain(stream) => Wire::new(stream.try_clone().expect("a second handle")),
            Stream::Tls(stream) => Wire::secured(stream.clone()),
        }
    }

    pub fn socket(&self) -> &TcpStream {
        match &self.stream {
            Stream::Plain(stream) => stream,
            Stream::Tls(stream) => stream.tcp(),
        }
    }

    pub fn is_tls(&self) -> bool {
        matches!(self.stream, Stream::Tls(_))
    }

    /// The TLS side of it.
    pub fn tls(&self) -> &TlsStream {
        match &self.stream {
            Stream::Plain(_) => panic!("not a TLS connection"),
            Stream::Tls(stream) => stream,
        }
    }

    pub fn agreed(&self) -> Agreed {
        self.tls().agreed()
    }

    // --- saying

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let bytes = bytes.as_ref();
        // The flush is for what an earlier write that stalled had sealed already.
        if let Err(e) = self.stream.write_all(bytes).and_then(|()| self.stream.flush()) {
            panic!("sending {}: {e}; the peer had said {}", show(bytes), show(&self.ahead));
        }
    }

    /// For bytes that the peer may answer by closing before it has read them all.
    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream.write_all(bytes.as_ref()).is_ok()
    }

    pub fn send_frame(&mut self, frame: &Frame) {
        self.send(frame.bytes());
    }

    /// Bytes for the socket itself, under whatever TLS there is.
    pub fn send_raw(&mut self, bytes: impl AsRef<[u8]>) {
        let bytes = bytes.as_ref();
        assert!(self.try_send_raw(bytes), "could not send {}", show(bytes));
    }

    /// The same where the peer may be gone already.
    pub fn try_send_raw(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        let sent = match &mut self.stream {
            Stream::Plain(stream) => stream.write_all(bytes.as_ref()),
            Stream::Tls(stream) => stream.tcp().write_all(bytes.as_ref()),
        };
        sent.is_ok()
    }

    /// The end after everything sent so far: FIN, over TLS behind close_notify.
    pub fn finish(&self) {
        if let Stream::Tls(stream) = &self.stream {
            stream.close_notify();
        }
        let _ = self.socket().shutdown(Shutdown::Write);
    }

    /// Sends `bytes` again and again until nothing moves for half a second; how many went. It must
    /// stall before `bound`.
    pub fn push_until_it_stalls(&mut self, bytes: &[u8], bound: usize) -> usize {
        let wait = |wire: &Wire, time| {
            wire.socket().set_write_timeout(Some(time)).expect("a time-out");
        };
        wait(self, Duration::from_millis(500));
        let mut pushed = 0;
        'full: loop {
            let mut rest = bytes;
            while !rest.is_empty() {
                match self.stream.write(rest) {
                    Ok(n) => {
                        pushed += n;
                        rest = &rest[n..];
                    }
                    Err(_) => break 'full,
                }
                assert!(pushed < bound, "{pushed} bytes went nowhere");
            }
        }
        wait(self, DEADLINE);
        pushed
    }

    /// RST.
    pub fn reset(self) {
        socket2::SockRef::from(self.socket()).set_linger(Some(Duration::ZERO)).expect("SO_LINGER");
    }

    // --- seeing

    /// One more read; `Err` at the end of the stream.
    fn more(&mut self) -> Result<(), End> {
        let mut buffer = [0; 65_536];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return Err(End::Fin),
                Ok(n) => {
                    self.ahead.extend(&buffer[..n]);
                    return Ok(());
                }
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    panic!("nothing within {DEADLINE:?}; so far: {}", show(&self.ahead))
                }
                Err(e) => return Err(end(&e)),
            }
        }
    }

    /// What reading ends with, where nothing but an error is to come.
    pub fn read_error(mut self) -> io::Error {
        match self.read_once() {
            Ok(n) => panic!("{n} bytes or an end instead of an error"),
            Err(e) => e,
        }
    }

    fn read_once(&mut self) -> io::Result<usize> {
        self.stream.read(&mut [0; 4096])
    }

    /// Waits until `whole` finds something in what was received, and takes that many bytes.
    fn take<T>(&mut self, mut whole: impl FnMut(&[u8]) -> Option<(T, usize)>) -> Result<T, End> {
        loop {
            if let Some((value, size)) = whole(&self.ahead) {
                self.ahead.drain(..size);
                return Ok(value);
            }
            self.more()?;
        }
    }

    pub fn try_head(&mut self) -> Result<Head, End> {
        let mut from = 0;
        self.take(|bytes| {
            let at = bytes[from..].windows(4).position(|w| w == b"\r\n\r\n");
            let Some(at) = at else {
                from = bytes.len().saturating_sub(3);
                return None;
            };
            let size = from + at + 4;
            Some((Head::parse(&bytes[..size]), size))
        })
    }

    pub fn head(&mut self) -> Head {
        self.try_head()
            .unwrap_or_else(|end| panic!("{end:?} instead of a head after {}", show(&self.ahead)))
    }

    pub fn exactly(&mut self, n: usize) -> Vec<u8> {
        let got = self.take(|bytes| Some((bytes.get(..n)?.to_vec(), n)));
        got.unwrap_or_else(|end| panic!("{end:?} before {n} bytes: {}", show(&self.ahead)))
    }

    pub fn expect(&mut self, bytes: impl AsRef<[u8]>) {
        let want = bytes.as_ref();
        let got = self.exactly(want.len());
        assert!(got == want, "expected {}\n     got {}", show(want), show(&got));
    }

    /// Everything up to and including `mark`.
    pub fn until(&mut self, mark: &[u8]) -> Vec<u8> {
        let got = self.take(|bytes| {
            let end = bytes.windows(mark.len()).position(|w| w == mark)? + mark.len();
            Some((bytes[..end].to_vec(), end))
        });
        got.unwrap_or_else(|end| panic!("{end:?} before {}: {}", show(mark), show(&self.ahead)))
    }

    pub fn try_frame(&mut self) -> Result<Frame, End> {
        self.take(Frame::parse)
    }

    pub fn frame(&mut self) -> Frame {
        self.try_frame()
            .unwrap_or_else(|end| panic!("{end:?} instead of a frame after {}", show(&self.ahead)))
    }

    /// Everything until the peer's end.
    pub fn rest(&mut self) -> (Vec<u8>, End) {
        loop {
            if let Err(end) = self.more() {
                return (std::mem::take(&mut self.ahead), end);
            }
        }
    }

    /// The peer ends, and has said nothing more.
    pub fn ends(&mut self) -> End {
        let (rest, end) = self.rest();
        assert!(rest.is_empty(), "expected the end, got {}", show(&rest));
        end
    }

    /// A body as RFC 9112 6.3 frames it, and the raw bytes it came in.
    pub fn body(&mut self, head: &Head) -> Vec<u8> {
        if head.lists("transfer-encoding", "chunked") {
            return self.chunked().0;
        }
        match head.content_length() {
            Some(n) => self.exactly(n),
            None if head.start.starts_with("HTTP/") => self.rest().0,
            None => Vec::new(),
        }
    }

    /// Decodes a chunked body; the second value is the trailer section's lines.
    pub fn chunked(&mut self) -> (Vec<u8>, Vec<String>) {
        let mut body = Vec::new();
        loop {
            let line = String::from_utf8(self.until(b"\r\n")).expect("a size line");
            let size = line.trim_end().split(';').next().unwrap_or_default();
            let size = usize::from_str_radix(size, 16).unwrap_or_else(|e| panic!("{line:?}: {e}"));
            if size == 0 {
                break;
            }
            body.extend(self.exactly(size));
            self.expect("\r\n");
        }
        let mut trailers = Vec::new();
        loop {
            let line = String::from_utf8(self.until(b"\r\n")).expect("a trailer");
            if line == "\r\n" {
                return (body, trailers);
            }
            trailers.push(line.trim_end().to_owned());
        }
    }

    /// A whole final answer to a request that may have a body in its answer.
    pub fn answer(&mut self) -> (Head, Vec<u8>) {
        let head = self.head();
        let body = match head.status() {
            100..=199 | 204 | 304 => Vec::new(),
            _ => self.body(&head),
        };
        (head, body)
    }
}
