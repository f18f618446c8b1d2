//! The client's side of a handshake.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use rustls::pki_types::CertificateDer;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ServerConfig};

use super::peers::*;
use crate::net::stream::{Patience, Queue, Stream};
use crate::net::tls::{ConnectFailure, ConnectTlsError, ConnectedTls};
use crate::snapshot::certs::OriginTls;

const ADDR: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 443);

async fn connect(
    stream: &Stream,
    config: &Arc<ClientConfig>,
) -> Result<ConnectedTls, ConnectTlsError> {
    stream.connect_tls(&origin(config), ADDR, soon()).await
}

/// An origin that shakes hands and says `hi`.
fn greeter(config: ServerConfig) -> impl FnOnce(TcpStream) -> std::io::Result<()> + Send {
    let config = Arc::new(config);
    move |tcp| {
        let mut peer = Peer::server(tcp, &config);
        let shaken = peer.handshake();
        let mut records = peer.records();
        if shaken.is_ok() {
            records.extend(peer.sealed(b"hi"));
        }
        // The edge may have all it wanted, and be gone.
        let _ = peer.tcp.write_all(&records);
        shaken
    }
}

#[test]
fn origins_are_reached_and_their_tickets_kept() {
    for version in VERSIONS {
        let config = Arc::new(client_config(&[version]));
        let mut server = server_config(&PKI.pair(NAME), &[version]);
        // Small records, and one hello more (RFC 8446 4.1.4).
        server.max_fragment_size = Some(64);
        let server = Arc::new(server);
        for resumed in [false, true] {
            let server = Arc::clone(&server);
            let peer = move |tcp| {
                let mut peer = Peer::server(tcp, &server);
                peer.handshake().unwrap();
                peer.write(b"hi");
            };
            let (connected, ()) = meet(peer, async |stream| {
                let connected = connect(&stream, &config).await.unwrap();
                let mut read = BytesMut::new();
                stream.read(&mut read, 100, soon()).await.unwrap();
                assert_eq!(read, "hi");
                connected
            });
            assert_eq!(connected.resumed, resumed, "{version:?}");
        }
    }
}

#[test]
fn a_second_hello_may_be_asked_for() {
    let mut provider = (*provider()).clone();
    provider.kx_groups.reverse();
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .with_root_certificates(PKI.roots())
        .with_no_client_auth();
    config.enable_secret_extraction = true;
    let mut server_provider = (*super::peers::provider()).clone();
    server_provider.kx_groups.truncate(1);
    let pair = PKI.pair(NAME);
    let server = ServerConfig::builder_with_provider(Arc::new(server_provider))
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(pair.chain.clone(), pair.key())
        .unwrap();
    let (connected, shaken) =
        meet(greeter(server), async |stream| connect(&stream, &Arc::new(config)).await);
    shaken.unwrap();
    assert!(!connected.unwrap().resumed);
}

#[test]
fn an_address_is_a_name_where_there_is_no_other() {
    let config = Arc::new(client_config(&VERSIONS));
    for (name, reason) in [("127.0.0.1", None), (NAME, Some(ConnectFailure::Certificate))] {
        let server = server_config(&PKI.pair(name), &VERSIONS);
        let (connected, _) = meet(greeter(server), async |stream| {
            let tls = OriginTls { config: Arc::clone(&config), server_name: None };
            stream.connect_tls(&tls, ADDR, soon()).await
        });
        assert_eq!(connected.err().map(|error| error.reason), reason);
    }
}

#[test]
fn failures_say_what_an_operator_needs() {
    for version in VERSIONS {
        let other = if version == &TLS12 { &TLS13 } else { &TLS12 };
        let stranger = Pki::new("another CA").pair(NAME);
        for (server, reason, words) in [
            (
                server_config(&PKI.expired(NAME), &[version]),
                ConnectFailure::Certificate,
                "has expired",
            ),
            (
                server_config(&stranger, &[version]),
                ConnectFailure::Certificate,
                "an issuer that is not trusted",
            ),
            (
                server_config(&PKI.pair("other.test"), &[version]),
                ConnectFailure::Certificate,
                "for another name",
            ),
            (
                server_config(&PKI.pair(NAME), &[other]),
                ConnectFailure::Alert,
                "alert ProtocolVersion",
            ),
        ] {
            let config = Arc::new(client_config(&[version]));
            let (error, shaken) =
                meet(greeter(server), async |stream| connect(&stream, &config).await.unwrap_err());
            assert_eq!(error.reason, reason, "{error}");
            assert!(error.detail.contains(words), "{error}");
            let told = alert_of(&shaken.unwrap_err()).is_some();
            assert_eq!(told, reason == ConnectFailure::Certificate, "{error}");
        }
    }
}

#[test]
fn an_origin_that_asks_for_a_certificate_refuses_us() {
    // In TLS 1.3 it says so only when the handshake is over for us.
    let config = Arc::new(client_config(&[&TLS12]));
    let server = asking_config(&PKI.pair(NAME), &[&TLS12]);
    let (error, _) =
        meet(greeter(server), async |stream| connect(&stream, &config).await.unwrap_err());
    assert_eq!(error.reason, ConnectFailure::Alert);
    let config = Arc::new(client_config(&[&TLS13]));
    let server = asking_config(&PKI.pair(NAME), &[&TLS13]);
    let (error, _) = meet(greeter(server), async |stream| {
        connect(&stream, &config).await.unwrap();
        stream.read(&mut BytesMut::new(), 100, soon()).await.unwrap_err()
    });
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidData);
}

/// What a peer that says `bytes` behind our hello makes of the handshake.
fn answered(bytes: Vec<u8>) -> ConnectTlsError {
    let config = Arc::new(client_config(&VERSIONS));
    let peer = move |mut tcp: TcpStream| {
        tcp.read_exact(&mut [0; 100]).unwrap();
        // We may have refused it before it is all written.
        let _ = tcp.write_all(&bytes);
        let _ = tcp.shutdown(Shutdown::Write);
        let _ = std::io::copy(&mut tcp, &mut std::io::sink());
    };
    meet(peer, async |stream| connect(&stream, &config).await.unwrap_err()).0
}

#[test]
fn what_is_no_server_hello_is_refused() {
    // A message in records of one byte each: six on the wire for every one of content.
    let mut spread = Vec::new();
    for byte in [2, 0, 0xff, 0xff].into_iter().chain(std::iter::repeat_n(0, 40_000)) {
        spread.extend_from_slice(&[22, 3, 3, 0, 1, byte]);
    }
    for (bytes, reason) in [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(), ConnectFailure::NotTls),
        (b"SSH-2.0-OpenSSH_9\r\n".to_vec(), ConnectFailure::NotTls),
        (b"\x16\x03\x03\x00\x04\x02\0\0\0".to_vec(), ConnectFailure::Protocol),
        (b"\x15\x03\x03\x00\x02\x02\x28".to_vec(), ConnectFailure::Alert),
        (spread, ConnectFailure::TooLarge),
        (b"\x16\x03".to_vec(), ConnectFailure::Closed),
        (Vec::new(), ConnectFailure::Closed),
    ] {
        let what = String::from_utf8_lossy(&bytes[..bytes.len().min(16)]).into_owned();
        let error = answered(bytes);
        assert_eq!(error.reason, reason, "{what:?}: {error}");
    }
}

#[test]
fn a_huge_chain_is_refused() {
    for version in VERSIONS {
        let mut pair = PKI.pair(NAME);
        let junk = CertificateDer::from(vec![0x30; 15_000]);
        pair.chain.extend(std::iter::repeat_n(junk, 5));
        let config = Arc::new(client_config(&[version]));
        let server = server_config(&pair, &[version]);
        let (error, shaken) =
            meet(greeter(server), async |stream| connect(&stream, &config).await.unwrap_err());
        assert!(
            matches!(error.reason, ConnectFailure::Protocol | ConnectFailure::TooLarge),
            "{error}"
        );
        shaken.unwrap_err();
    }
}

#[test]
fn an_origin_that_speaks_first_is_refused() {
    // CVE-2026-1642.
    let config = Arc::new(client_config(&VERSIONS));
    let peer = |mut tcp: TcpStream| {
        tcp.write_all(b"HTTP/1.1 101 Switching Protocols\r\n\r\n").unwrap();
        heard(&mut tcp)
    };
    let (error, heard) = meet(peer, async |stream| {
        stream.readable(soon()).await.unwrap();
        let error = connect(&stream, &config).await.unwrap_err();
        stream.shutdown_write().unwrap();
        stream.read(&mut BytesMut::new(), 100, soon()).await.unwrap();
        error
    });
    assert_eq!((error.reason, heard), (ConnectFailure::SpokeFirst, Vec::new()));
}

#[test]
fn a_silent_origin_runs_out_of_patience() {
    let (near, _far) = sockets();
    on_core(async {
        let stream = adopt(near);
        let config = Arc::new(client_config(&VERSIONS));
        let patience = Patience::Until(Instant::now() + Duration::from_millis(30));
        let error = stream.connect_tls(&origin(&config), ADDR, patience).await.unwrap_err();
        assert_eq!(error.reason, ConnectFailure::Timeout);
    });
}

#[test]
fn an_idle_connection_is_quiet_whatever_tickets_come() {
    let config = Arc::new(client_config(&[&TLS13]));
    let server = Arc::new(server_config(&PKI.pair(NAME), &[&TLS13]));
    let first = Arc::clone(&server);
    let (tell, told) = channel();
    let (go_on, going_on) = channel::<()>();
    let peer = move |tcp| {
        let mut peer = Peer::server(tcp, &first);
        peer.handshake().unwrap();
        // The tickets are in the edge's queue: loopback keeps nothing back.
        tell.send(()).unwrap();
        going_on.recv().unwrap();
        let mut records = peer.sealed(b"unasked");
        let rest = records.split_off(7);
        peer.tcp.write_all(&records).unwrap();
        tell.send(()).unwrap();
        going_on.recv().unwrap();
        peer.tcp.write_all(&rest).unwrap();
        peer.close();
        going_on.recv().unwrap();
    };
    let ((), ()) = meet(peer, async |stream| {
        connect(&stream, &config).await.unwrap();
        told.recv().unwrap();
        assert_eq!(stream.peek(), Queue::Empty);
        go_on.send(()).unwrap();
        told.recv().unwrap();
        // Half a record is a part of something.
        assert_eq!(stream.peek(), Queue::Bytes);
        let short = Patience::Stall(Duration::from_millis(20));
        let error = stream.readable(short).await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
        go_on.send(()).unwrap();
        stream.readable(soon()).await.unwrap();
        assert_eq!(stream.peek(), Queue::Bytes);
        let mut read = BytesMut::new();
        stream.read(&mut read, 100, soon()).await.unwrap();
        assert_eq!(read, "unasked");
        stream.readable(soon()).await.unwrap();
        assert_eq!(stream.peek(), Queue::Ended);
        go_on.send(()).unwrap();
    });
    // And the ticket counts.
    let again = move |tcp| Peer::server(tcp, &server).handshake();
    let (connected, _) = meet(again, async |stream| connect(&stream, &config).await.unwrap());
    assert!(connected.resumed);
}
