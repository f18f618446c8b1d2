//! TLS handshakes on set-up connections, with rustls' unbuffered API: bytes are held only while
//! there are some. What follows the handshake is [`super::records`]'s. Not here: which pair answers
//! which name (`snapshot::certs`), and what is said over the connection.

mod drive;
mod layer;
mod subject;
#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::ServerName;
use rustls::server::{Acceptor, ClientHello, UnbufferedServerConnection};
use rustls::{CertificateError, Error, HandshakeKind};

use self::drive::{Opening, Stop, Wire, opening};
pub(super) use self::layer::Layer;
use super::records::{Alert, Session};
use super::stream::{Patience, Queue, Stream};
use crate::limits::{CLIENT_FLIGHT_BYTES_MAX, LOG_TEXT_BYTES_MAX, ORIGIN_FLIGHT_BYTES_MAX};
use crate::snapshot::certs::{Certificates, OriginTls, ServerTls};

/// RFC 8737 6.2.
const ACME: &[u8] = b"acme-tls/1";

/// A TLS connection that leaves the set-up.
#[derive(Debug)]
pub struct Secured {
    pub session: Box<Session>,
    /// Received bytes that were not opened yet: records, the last of them perhaps not whole.
    pub undigested: Vec<u8>,
    /// Records that the session had to send and that found no room in the socket: they go before
    /// anything else.
    pub unsent: Vec<u8>,
}

/// A client behind its handshake.
#[derive(Debug)]
pub struct AcceptedTls {
    /// The pair that it was served with.
    pub server: Arc<ServerTls>,
    /// The name that it asked for (SNI), in lower case.
    pub asked_for: Option<Box<str>>,
    pub resumed: bool,
    /// Of its verified certificate: RFC 4514 text in ASCII, at most
    /// [`CERTIFICATE_SUBJECT_BYTES_MAX`](crate::limits::CERTIFICATE_SUBJECT_BYTES_MAX) long.
    pub subject: Option<Box<str>>,
    /// A validation server's TLS-ALPN-01 look (RFC 8737 3): nothing is said over it, close it.
    pub challenge: bool,
}

/// A handshake with a client that failed. What TLS wants to be said was said: the alert is sent and
/// the writing half is shut down, but for plain HTTP, where nothing was sent.
#[derive(Debug)]
pub struct AcceptTlsError {
    pub reason: AcceptFailure,
    /// What happened, for people.
    pub detail: Box<str>,
}

/// Why a handshake with a client failed; `stats::TlsFailure` says more of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AcceptFailure {
    UnknownName,
    NoName,
    /// Its bytes are back in `received`, for an answer in the clear.
    PlainHttp,
    NotTls,
    NothingInCommon,
    ClientCertificate,
    Protocol,
    Alert,
    Closed,
    Timeout,
    Internal,
}

/// An origin behind its handshake.
#[derive(Debug, Clone, Copy)]
pub struct ConnectedTls {
    pub resumed: bool,
}

/// A handshake with an origin that failed.
#[derive(Debug)]
pub struct ConnectTlsError {
    pub reason: ConnectFailure,
    /// What happened, for people.
    pub detail: Box<str>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectFailure {
    /// It sent bytes before our hello (CVE-2026-1642).
    SpokeFirst,
    NotTls,
    /// Expired, of an unknown issuer, for another name.
    Certificate,
    /// It answered with a fatal alert.
    Alert,
    /// It broke TLS, or has nothing in common with us.
    Protocol,
    /// More bytes in one flight than [`crate::limits::ORIGIN_FLIGHT_BYTES_MAX`].
    TooLarge,
    Closed,
    Timeout,
    Internal,
}

/// The server's side. `received` is taken over, and given back when it is plain HTTP.
pub(super) async fn accept(
    stream: &Stream,
    received: &mut Vec<u8>,
    certificates: &Certificates,
    patience: Patience,
) -> Result<(AcceptedTls, Secured), AcceptTlsError> {
    let input = std::mem::take(received);
    let mut wire = Wire::new(stream, patience, input, CLIENT_FLIGHT_BYTES_MAX);
    match serve(&mut wire, certificates).await {
        Ok(accepted) => Ok(accepted),
        Err((error, _)) if error.reason == AcceptFailure::PlainHttp => {
            *received = wire.input;
            Err(error)
        }
        Err((error, alert)) => {
            wire.give_up(alert).await;
            Err(error)
        }
    }
}

/// Why, and the alert for it if rustls has none.
type Refused = (AcceptTlsError, Option<Alert>);

async fn serve(
    wire: &mut Wire<'_>,
    certificates: &Certificates,
) -> Result<(AcceptedTls, Secured), Refused> {
    look(wire).await?;
    let chosen = choose(wire, certificates).await?;
    let mut connection = UnbufferedServerConnection::new(Arc::clone(&chosen.server.config))
        .map_err(|error| client_stopped(Stop::Rustls(error)))?;
    wire.drive(&mut connection).await.map_err(client_stopped)?;
    let accepted = AcceptedTls {
        server: chosen.server,
        asked_for: chosen.asked_for,
        resumed: connection.handshake_kind() == Some(HandshakeKind::Resumed),
        // rustls has them only of a client that it verified, in this handshake or in the one that
        // its ticket comes from.
        subject: connection.peer_certificates().and_then(|chain| subject::subject(chain.first()?)),
        challenge: chosen.challenge,
    };
    let session =
        Session::from_server(connection).map_err(|error| client_stopped(Stop::Rustls(error)))?;
    Ok((accepted, secured(session, wire)))
}

fn secured(session: Session, wire: &mut Wire<'_>) -> Secured {
    let mut undigested = std::mem::take(&mut wire.input);
    undigested.shrink_to_fit();
    Secured { session: Box::new(session), undigested, unsent: Vec::new() }
}

/// Reads until it is clear that this is TLS.
async fn look(wire: &mut Wire<'_>) -> Result<(), Refused> {
    loop {
        match opening(&wire.input) {
            Some(Opening::Tls) => return Ok(()),
            Some(Opening::Http) => {
                let detail = "plain HTTP where TLS is spoken";
                return Err((AcceptFailure::PlainHttp.error(detail), None));
            }
            Some(Opening::Sslv2) => {
                let error = AcceptFailure::NotTls.error("an SSL 2.0 hello");
                return Err((error, Some(Alert::PROTOCOL_VERSION)));
            }
            Some(Opening::Other) => return Err(client_stopped(Stop::NotTls)),
            None => wire.receive().await.map_err(client_stopped)?,
        }
    }
}

struct Chosen {
    server: Arc<ServerTls>,
    asked_for: Option<Box<str>>,
    challenge: bool,
}

/// Reads the whole ClientHello, and finds who answers it. The same bytes are then given to the
/// connection, which needs its configuration before it can read any.
async fn choose(wire: &mut Wire<'_>, certificates: &Certificates) -> Result<Chosen, Refused> {
    let mut acceptor = Acceptor::default();
    let mut seen = 0;
    loop {
        while seen < wire.input.len() {
            let mut unseen = &wire.input[seen..];
            let Ok(n @ 1..) = acceptor.read_tls(&mut unseen) else {
                return Err(client_stopped(Stop::TooLarge));
            };
            seen += n;
            match acceptor.accept() {
                Ok(Some(accepted)) => return find(&accepted.client_hello(), certificates),
                Ok(None) => {}
                Err((error, mut alert)) => {
                    let mut records = Vec::new();
                    // Writing to a Vec does not fail.
                    let _ = alert.write_all(&mut records);
                    wire.push(&records);
                    return Err(client_stopped(Stop::Rustls(error)));
                }
            }
        }
        if seen > CLIENT_FLIGHT_BYTES_MAX {
            return Err(client_stopped(Stop::TooLarge));
        }
        wire.receive().await.map_err(client_stopped)?;
    }
}

fn find(hello: &ClientHello<'_>, certificates: &Certificates) -> Result<Chosen, Refused> {
    let asked_for: Option<Box<str>> = hello.server_name().map(Into::into);
    // RFC 8737 3: a validation server offers this protocol and no other.
    let validates = hello
        .alpn()
        .is_some_and(|mut offered| offered.next() == Some(ACME) && offered.next().is_none());
    if let (true, Some(name)) = (validates, &asked_for)
        && let Some(config) = certificates.challenge(name)
    {
        let server = ServerTls { config: Arc::clone(config), domain: None };
        return Ok(Chosen { server: Arc::new(server), asked_for, challenge: true });
    }
    if let Some(server) = certificates.find(asked_for.as_deref()) {
        return Ok(Chosen { server: Arc::clone(server), asked_for, challenge: false });
    }
    Err(match asked_for {
        Some(name) => {
            let detail = format!("no certificate for {name}");
            (AcceptFailure::UnknownName.error(detail), Some(Alert::UNRECOGNIZED_NAME))
        }
        None => {
            let detail = "no server name was asked for, and there is no default certificate";
            (AcceptFailure::NoName.error(detail), Some(Alert::MISSING_EXTENSION))
        }
    })
}

impl AcceptFailure {
    fn error(self, detail: impl Into<Box<str>>) -> AcceptTlsError {
        AcceptTlsError { reason: self, detail: detail.into() }
    }
}

fn client_stopped(stop: Stop) -> Refused {
    match stop {
        Stop::Rustls(error) => {
            let alert = match error {
                Error::InvalidMessage(_) => Alert::DECODE_ERROR,
                Error::AlertReceived(_) => {
                    return (client_failure(&error).error(error.to_string()), None);
                }
                _ => Alert::UNEXPECTED_MESSAGE,
            };
            (client_failure(&error).error(error.to_string()), Some(alert))
        }
        Stop::NotTls => {
            let error = AcceptFailure::NotTls.error("neither TLS nor HTTP");
            (error, Some(Alert::UNEXPECTED_MESSAGE))
        }
        Stop::TooLarge => {
            let detail = format!("more than {CLIENT_FLIGHT_BYTES_MAX} bytes of handshake at once");
            (AcceptFailure::Protocol.error(detail), Some(Alert::DECODE_ERROR))
        }
        Stop::Closed => (AcceptFailure::Closed.error("closed within the handshake"), None),
        Stop::Io(error) if error.kind() == io::ErrorKind::TimedOut => {
            (AcceptFailure::Timeout.error("the handshake did not end in time"), None)
        }
        Stop::Io(error) => (AcceptFailure::Closed.error(error.to_string()), None),
        Stop::Unexpected(what) => {
            (AcceptFailure::Internal.error(what), Some(Alert::INTERNAL_ERROR))
        }
    }
}

fn client_failure(error: &Error) -> AcceptFailure {
    match error {
        Error::AlertReceived(_) => AcceptFailure::Alert,
        Error::NoCertificatesPresented | Error::InvalidCertificate(_) => {
            AcceptFailure::ClientCertificate
        }
        Error::PeerIncompatible(_) | Error::NoApplicationProtocol => AcceptFailure::NothingInCommon,
        // What rustls says when no pair fits the client's signature schemes.
        Error::General(text) if text.contains("no server certificate chain resolved") => {
            AcceptFailure::NothingInCommon
        }
        Error::InappropriateMessage { .. }
        | Error::InappropriateHandshakeMessage { .. }
        | Error::InvalidMessage(_)
        | Error::PeerMisbehaved(_)
        | Error::DecryptError
        | Error::PeerSentOversizedRecord => AcceptFailure::Protocol,
        _ => AcceptFailure::Internal,
    }
}

/// The client's side, towards the origin at `addr`.
pub(super) async fn connect(
    stream: &Stream,
    tls: &OriginTls,
    addr: SocketAddr,
    patience: Patience,
) -> Result<(ConnectedTls, Secured), ConnectTlsError> {
    // What stands in the queue now was sent in the clear, by the origin or by somebody on the way,
    // and must never pass for its answer.
    match stream.peek() {
        Queue::Empty => {}
        Queue::Bytes => {
            let detail = "the origin sent bytes before the TLS handshake had begun";
            return Err(ConnectFailure::SpokeFirst.error(detail));
        }
        Queue::Ended | Queue::Broken => return Err(origin_stopped(Stop::Closed)),
    }
    let mut wire = Wire::new(stream, patience, Vec::new(), ORIGIN_FLIGHT_BYTES_MAX);
    match call(&mut wire, tls, addr).await {
        Ok(connected) => Ok(connected),
        Err(Stop::Rustls(Error::InvalidMessage(_))) if wire.is_not_tls() => {
            Err(origin_stopped(Stop::NotTls))
        }
        Err(stop) => {
            wire.give_up(None).await;
            Err(origin_stopped(stop))
        }
    }
}

async fn call(
    wire: &mut Wire<'_>,
    tls: &OriginTls,
    addr: SocketAddr,
) -> Result<(ConnectedTls, Secured), Stop> {
    let name = tls.server_name.clone().unwrap_or_else(|| ServerName::from(addr.ip()));
    let mut connection = UnbufferedClientConnection::new(Arc::clone(&tls.config), name)?;
    wire.drive(&mut connection).await?;
    let resumed = connection.handshake_kind() == Some(HandshakeKind::Resumed);
    let session = Session::from_client(connection)?;
    Ok((ConnectedTls { resumed }, secured(session, wire)))
}

impl ConnectFailure {
    fn error(self, detail: impl Into<String>) -> ConnectTlsError {
        // A certificate may name thousands of names that it is good for.
        let mut detail = detail.into();
        detail.truncate(detail.floor_char_boundary(LOG_TEXT_BYTES_MAX));
        ConnectTlsError { reason: self, detail: detail.into() }
    }
}

fn origin_stopped(stop: Stop) -> ConnectTlsError {
    match stop {
        Stop::Rustls(error) => origin_error(&error),
        Stop::NotTls => ConnectFailure::NotTls.error("the origin does not speak TLS on this port"),
        Stop::TooLarge => {
            let bound = ORIGIN_FLIGHT_BYTES_MAX;
            let detail = format!("the origin sent more than {bound} bytes of handshake at once");
            ConnectFailure::TooLarge.error(detail)
        }
        Stop::Closed => ConnectFailure::Closed
            .error("the origin closed the connection within the TLS handshake"),
        Stop::Io(error) if error.kind() == io::ErrorKind::TimedOut => {
            ConnectFailure::Timeout.error("the TLS handshake with the origin did not end in time")
        }
        Stop::Io(error) => {
            let detail = format!("the connection broke within the TLS handshake: {error}");
            ConnectFailure::Closed.error(detail)
        }
        Stop::Unexpected(what) => ConnectFailure::Internal.error(what),
    }
}

fn origin_error(error: &Error) -> ConnectTlsError {
    match error {
        Error::InvalidCertificate(fault) => {
            ConnectFailure::Certificate.error(certificate_fault(fault))
        }
        Error::NoCertificatesPresented => {
            ConnectFailure::Certificate.error("the origin sent no certificate")
        }
        Error::AlertReceived(alert) => {
            let detail = format!("the origin refused the TLS handshake with the alert {alert:?}");
            ConnectFailure::Alert.error(detail)
        }
        Error::PeerIncompatible(what) => {
            let detail = format!("the origin and the edge have no TLS in common: {what:?}");
            ConnectFailure::Protocol.error(detail)
        }
        Error::InappropriateMessage { .. }
        | Error::InappropriateHandshakeMessage { .. }
        | Error::InvalidMessage(_)
        | Error::PeerMisbehaved(_)
        | Error::DecryptError
        | Error::PeerSentOversizedRecord
        | Error::NoApplicationProtocol => {
            ConnectFailure::Protocol.error(format!("the origin broke TLS: {error}"))
        }
        _ => ConnectFailure::Internal.error(error.to_string()),
    }
}

fn certificate_fault(fault: &CertificateError) -> String {
    match fault {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            format!("the origin's certificate has expired ({fault})")
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            format!("the origin's certificate is not valid yet ({fault})")
        }
        CertificateError::UnknownIssuer => {
            "the origin's certificate is of an issuer that is not trusted for it".into()
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            format!("the origin's certificate is for another name ({fault})")
        }
        _ => format!("the origin's certificate is not valid: {fault}"),
    }
}

impl fmt::Display for AcceptTlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

impl fmt::Display for ConnectTlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}
