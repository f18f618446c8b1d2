//! The server's side of a handshake.

use std::collections::HashMap;
use std::io::Write;
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use rustls::AlertDescription as Description;
use rustls::client::Resumption;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ServerConfig};

use super::peers::*;
use crate::limits::CLIENT_FLIGHT_BYTES_MAX;
use crate::net::stream::{Patience, Stream};
use crate::net::tls::{AcceptFailure, AcceptTlsError, AcceptedTls};
use crate::snapshot::certs::{Certificates, ServerTls, Transport};

async fn accept(
    stream: &Stream,
    certificates: &Certificates,
) -> Result<AcceptedTls, AcceptTlsError> {
    stream.accept_tls(&mut BytesMut::new(), certificates, soon()).await
}

#[test]
fn a_hello_may_be_cut_anywhere() {
    for version in VERSIONS {
        let certificates = only(server_config(&PKI.pair(NAME), &[version]));
        let mut config = client_config(&[version]);
        config.resumption = Resumption::disabled();
        let config = Arc::new(config);
        let mut cut = 1;
        loop {
            let (near, far) = sockets();
            let mut peer = Peer::client(far, &config);
            let hello = peer.records();
            if cut >= hello.len() {
                break;
            }
            let mut received = BytesMut::from(&hello[..cut]);
            let peer = std::thread::spawn(move || {
                peer.tcp.write_all(&hello[cut..]).unwrap();
                peer.handshake().unwrap();
                peer.write(b"hi");
            });
            on_core(async {
                let stream = adopt(near);
                let accepted = stream.accept_tls(&mut received, &certificates, soon()).await;
                let accepted = accepted.unwrap();
                assert_eq!(accepted.asked_for.as_deref(), Some(NAME));
                assert!(!accepted.resumed && !accepted.challenge && received.is_empty());
                assert_eq!(stream.transport(), Transport::Tls);
                let mut read = BytesMut::new();
                stream.read(&mut read, 100, soon()).await.unwrap();
                assert_eq!(read, "hi");
            });
            peer.join().unwrap();
            // Every byte of the first hundred, then in steps: the rest is extensions.
            cut += if cut < 100 { 1 } else { 7 };
        }
    }
}

#[test]
fn a_handshake_may_come_byte_by_byte() {
    for version in VERSIONS {
        let certificates = only(server_config(&PKI.pair(NAME), &[version]));
        let config = Arc::new(client_config(&[version]));
        let peer = move |tcp| {
            let mut peer = Peer::client(tcp, &config);
            while peer.tls.is_handshaking() || peer.tls.wants_write() {
                for byte in peer.records() {
                    peer.tcp.write_all(&[byte]).unwrap();
                }
                if peer.tls.is_handshaking() {
                    peer.tls.read_tls(&mut peer.tcp).unwrap();
                    peer.tls.process_new_packets().unwrap();
                }
            }
        };
        let (accepted, ()) = meet(peer, async |stream| accept(&stream, &certificates).await);
        accepted.unwrap();
    }
}

#[test]
fn a_handshake_may_come_in_many_records() {
    for version in VERSIONS {
        let certificates = only(asking_config(&PKI.pair(NAME), &[version]));
        let mut config = client_config_with(&PKI.pair("fragments"), &[version]);
        config.max_fragment_size = Some(37);
        let config = Arc::new(config);
        let peer = move |tcp| {
            let mut peer = Peer::client(tcp, &config);
            peer.handshake().unwrap();
            peer.write(&[b'x'; 100]);
        };
        let (read, ()) = meet(peer, async |stream| {
            accept(&stream, &certificates).await.unwrap();
            read_exactly(&stream, 100).await
        });
        assert_eq!(read, vec![b'x'; 100]);
    }
}

async fn read_exactly(stream: &Stream, len: usize) -> Vec<u8> {
    let mut read = BytesMut::new();
    while read.len() < len {
        let n = stream.read(&mut read, len, soon()).await.unwrap();
        assert!(n > 0, "the end after {} of {len} bytes", read.len());
    }
    read.to_vec()
}

#[test]
fn slow_handshakes_run_out_of_patience() {
    let certificates = only(server_config(&PKI.pair(NAME), &VERSIONS));
    let hello = Peer::client(sockets().1, &Arc::new(client_config(&VERSIONS))).records();
    for pause in [Duration::from_secs(10), Duration::from_millis(2)] {
        let (near, mut far) = sockets();
        let hello = hello.clone();
        let peer = std::thread::spawn(move || {
            for byte in &hello[..hello.len() - 1] {
                // The edge is gone when this fails.
                if far.write_all(&[*byte]).is_err() {
                    break;
                }
                if pause < Duration::from_secs(1) {
                    sleep(pause);
                }
            }
            far
        });
        on_core(async {
            let stream = adopt(near);
            let patience = Patience::Until(Instant::now() + Duration::from_millis(60));
            let mut received = BytesMut::new();
            let error = stream.accept_tls(&mut received, &certificates, patience).await;
            assert_eq!(error.unwrap_err().reason, AcceptFailure::Timeout);
        });
        drop(peer.join().unwrap());
    }
}

/// What a client that speaks TLS hears.
fn refused(certificates: &Certificates, config: ClientConfig) -> (AcceptFailure, Description) {
    let config = Arc::new(config);
    let peer = move |tcp| {
        let mut peer = Peer::client(tcp, &config);
        // In TLS 1.3 a client may be done before it is refused.
        let error = peer.handshake().and_then(|()| peer.read_to_end()).unwrap_err();
        alert_of(&error).unwrap_or_else(|| panic!("no alert: {error:?}"))
    };
    let (failure, alert) = meet(peer, async |stream| {
        let error = accept(&stream, certificates).await.unwrap_err();
        assert_eq!(stream.transport(), Transport::Plain);
        linger(&stream).await;
        error
    });
    assert!(!failure.detail.is_empty());
    (failure.reason, alert)
}

async fn linger(stream: &Stream) {
    let mut thrown_away = BytesMut::new();
    while let Ok(1..) = stream.read(&mut thrown_away, 4096, soon()).await {}
}

#[test]
fn what_cannot_be_served_is_refused_with_its_alert() {
    for version in VERSIONS {
        let pair = PKI.pair(NAME);
        let plain = only(server_config(&pair, &[version]));
        let other = if version == &TLS12 { &TLS13 } else { &TLS12 };
        let empty = Certificates::new([], None, HashMap::new());
        let mut anonymous = client_config(&[version]);
        anonymous.enable_sni = false;
        let mut http2 = client_config(&[version]);
        http2.alpn_protocols = vec![b"h2".to_vec()];
        let asking = only(asking_config(&pair, &[version]));
        let stranger = client_config_with(&Pki::new("another CA").pair("stranger"), &[version]);
        for (certificates, config, reason, alert) in [
            // RFC 6066 3.
            (
                &empty,
                client_config(&[version]),
                AcceptFailure::UnknownName,
                Description::UnrecognisedName,
            ),
            (&plain, anonymous, AcceptFailure::NoName, Description::MissingExtension),
            (
                &plain,
                client_config(&[other]),
                AcceptFailure::NothingInCommon,
                Description::ProtocolVersion,
            ),
            // RFC 7301 3.2.
            (&plain, http2, AcceptFailure::NothingInCommon, Description::NoApplicationProtocol),
            (
                &asking,
                client_config(&[version]),
                AcceptFailure::ClientCertificate,
                Description::CertificateRequired,
            ),
            (&asking, stranger, AcceptFailure::ClientCertificate, Description::UnknownCA),
        ] {
            assert_eq!(refused(certificates, config), (reason, alert), "{version:?}");
        }
    }
}

/// What a peer hears that says `bytes`, and then ends its half if `end` says so.
fn said(bytes: Vec<u8>, end: End) -> (Result<AcceptedTls, AcceptTlsError>, Vec<u8>, Vec<u8>) {
    let certificates = only(server_config(&PKI.pair(NAME), &VERSIONS));
    let peer = move |mut tcp: TcpStream| {
        // The edge may have refused it before it is all written.
        let _ = tcp.write_all(&bytes);
        if end == End::Fin {
            tcp.shutdown(Shutdown::Write).unwrap();
        }
        heard(&mut tcp)
    };
    let ((accepted, received), heard) = meet(peer, async |stream| {
        let mut received = BytesMut::new();
        let accepted = stream.accept_tls(&mut received, &certificates, soon()).await;
        if let Err(error) = &accepted
            && error.reason == AcceptFailure::PlainHttp
        {
            stream.write_all(b"400", soon()).await.unwrap();
            stream.shutdown_write().unwrap();
        }
        linger_shortly(&stream).await;
        (accepted, received.to_vec())
    });
    (accepted, received, heard)
}

/// As the edge does: for what is there, and a moment.
async fn linger_shortly(stream: &Stream) {
    let mut thrown_away = BytesMut::new();
    let moment = Patience::Until(Instant::now() + Duration::from_millis(100));
    while let Ok(1..) = stream.read(&mut thrown_away, 4096, moment).await {}
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Open,
    Fin,
}

#[test]
fn what_is_not_a_hello_is_refused() {
    let hello = Peer::client(sockets().1, &Arc::new(client_config(&VERSIONS))).records();
    let half = hello[..hello.len() / 2].to_vec();
    let mut huge = Vec::new();
    for piece in 0..=CLIENT_FLIGHT_BYTES_MAX / 16000 {
        huge.extend_from_slice(&[22, 3, 1]);
        huge.extend_from_slice(&16000u16.to_be_bytes());
        let head: &[u8] = if piece == 0 { &[1, 0, 0xff, 0xff, 3, 3] } else { &[] };
        huge.extend_from_slice(head);
        huge.resize(huge.len() + 16000 - head.len(), 0);
    }
    let alert = |description| vec![21, 3, 3, 0, 2, 2, description];
    for (bytes, end, reason, expected) in [
        (b"GET / HTTP/1.1\r\n".to_vec(), End::Open, AcceptFailure::PlainHttp, b"400".to_vec()),
        (b"\x80\x2e\x01\x00\x02\0\0".to_vec(), End::Open, AcceptFailure::NotTls, alert(70)),
        (b"SSH-2.0-OpenSSH_9\r\n".to_vec(), End::Open, AcceptFailure::NotTls, alert(10)),
        (b"\x16\x03\x01\x00\x04\x01\0\0\0".to_vec(), End::Open, AcceptFailure::Protocol, alert(50)),
        (b"\x16\x03\x01\x50\x00".to_vec(), End::Open, AcceptFailure::Protocol, alert(50)),
        (b"\x17\x03\x03\x00\x01x".to_vec(), End::Open, AcceptFailure::Protocol, alert(10)),
        (huge, End::Open, AcceptFailure::Protocol, alert(50)),
        (b"\x15\x03\x01\x00\x02\x02\x28".to_vec(), End::Open, AcceptFailure::Protocol, alert(10)),
        (half, End::Fin, AcceptFailure::Closed, Vec::new()),
        (Vec::new(), End::Fin, AcceptFailure::Closed, Vec::new()),
        (b"GE".to_vec(), End::Fin, AcceptFailure::Closed, Vec::new()),
    ] {
        let what = String::from_utf8_lossy(&bytes[..bytes.len().min(16)]).into_owned();
        let plain = reason == AcceptFailure::PlainHttp;
        let (accepted, received, heard) = said(bytes, end);
        let error = accepted.unwrap_err();
        assert_eq!((error.reason, heard), (reason, expected), "{what:?}: {error}");
        assert_eq!(received.starts_with(b"GET /"), plain, "{what:?}");
    }
}

#[test]
fn an_alert_of_the_client_is_told() {
    for version in VERSIONS {
        let certificates = only(server_config(&Pki::new("another CA").pair(NAME), &[version]));
        let config = Arc::new(client_config(&[version]));
        let peer = move |tcp| {
            let mut peer = Peer::client(tcp, &config);
            peer.handshake().unwrap_err();
            let records = peer.records();
            peer.tcp.write_all(&records).unwrap();
        };
        let (error, ()) =
            meet(peer, async |stream| accept(&stream, &certificates).await.unwrap_err());
        assert_eq!(error.reason, AcceptFailure::Alert);
        assert!(error.detail.contains("UnknownCA"), "{error}");
    }
}

#[test]
fn data_right_behind_the_handshake_is_kept() {
    for version in VERSIONS {
        let certificates = only(server_config(&PKI.pair(NAME), &[version]));
        let config = Arc::new(client_config(&[version]));
        let peer = move |tcp| {
            let mut peer = Peer::client(tcp, &config);
            while peer.tls.is_handshaking() {
                if peer.tls.wants_write() {
                    let records = peer.records();
                    peer.tcp.write_all(&records).unwrap();
                }
                peer.tls.read_tls(&mut peer.tcp).unwrap();
                peer.tls.process_new_packets().unwrap();
                // TLS 1.3: the end is reached with Finished still in the queue. TLS 1.2: the end is
                // the server's Finished.
            }
            let mut records = peer.sealed(b"one");
            records.extend(peer.sealed(&[b'2'; 20_000]));
            peer.tcp.write_all(&records).unwrap();
        };
        let (read, ()) = meet(peer, async |stream| {
            accept(&stream, &certificates).await.unwrap();
            read_exactly(&stream, 20_003).await
        });
        assert_eq!(read, [b"one".as_slice(), &[b'2'; 20_000]].concat());
    }
}

#[test]
fn tickets_resume() {
    for version in VERSIONS {
        let certificates = only(asking_config(&PKI.pair(NAME), &[version]));
        let config = Arc::new(client_config_with(&PKI.pair("a client"), &[version]));
        for resumed in [false, true] {
            let config = Arc::clone(&config);
            let peer = move |tcp| {
                let mut peer = Peer::client(tcp, &config);
                peer.handshake().unwrap();
                peer.read(2)
            };
            let (accepted, _) = meet(peer, async |stream| {
                let accepted = accept(&stream, &certificates).await.unwrap();
                stream.write_all(b"hi", soon()).await.unwrap();
                accepted
            });
            assert_eq!(accepted.resumed, resumed, "{version:?}");
            // The ticket carries who was verified.
            assert_eq!(accepted.subject.as_deref(), Some("CN=a client"));
        }
    }
}

#[test]
fn names_choose_the_pair() {
    let pair = |name: &str| {
        let config = server_config(&PKI.pair(name), &VERSIONS);
        Arc::new(ServerTls { config: Arc::new(config), domain: Some(name.into()) })
    };
    let domains = [(NAME.into(), pair(NAME)), ("*.wild.test".into(), pair("*.wild.test"))];
    let mut challenge = server_config(&PKI.pair(NAME), &[&TLS13]);
    challenge.alpn_protocols = vec![b"acme-tls/1".to_vec()];
    let challenges: HashMap<Box<str>, Arc<ServerConfig>> =
        [(NAME.into(), Arc::new(challenge))].into();
    let certificates = Certificates::new(domains, None, challenges);
    for (name, alpn, domain, is_challenge) in [
        ("Edge.TEST", ["http/1.1"].as_slice(), Some(NAME), false),
        ("other.wild.test", [].as_slice(), Some("*.wild.test"), false),
        // RFC 8737 3.
        (NAME, ["acme-tls/1"].as_slice(), None, true),
    ] {
        let mut config = client_config(&[&TLS13]);
        config.alpn_protocols = alpn.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        let config = Arc::new(config);
        let peer = move |tcp| {
            let name = rustls::pki_types::ServerName::try_from(name).unwrap();
            let tls = rustls::ClientConnection::new(config, name).unwrap().into();
            Peer { tcp, tls }.handshake().unwrap();
        };
        let (accepted, ()) =
            meet(peer, async |stream| accept(&stream, &certificates).await.unwrap());
        assert_eq!(accepted.server.domain.as_deref(), domain, "{name}");
        assert_eq!(accepted.challenge, is_challenge, "{name}");
        assert_eq!(accepted.asked_for, Some(name.to_lowercase().into()));
    }
    // No challenge is open for this name, and nothing else is spoken by who asks for one.
    let mut config = client_config(&[&TLS13]);
    config.alpn_protocols = vec![b"acme-tls/1".to_vec()];
    let plain = only(server_config(&PKI.pair(NAME), &VERSIONS));
    let expected = (AcceptFailure::NothingInCommon, Description::NoApplicationProtocol);
    assert_eq!(refused(&plain, config), expected);
}
