//! What is said behind a handshake, through a stream.

use std::cell::Cell;
use std::future::poll_fn;
use std::io::{ErrorKind, Write};
use std::net::{Shutdown, TcpStream};
use std::pin::pin;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use bytes::BytesMut;
use futures_util::future::join;
use rustls::Connection;
use rustls::version::{TLS12, TLS13};
use socket2::SockRef;

use super::peers::*;
use crate::limits::{CALLS_WITHOUT_WAIT_MAX, LATE_HANDSHAKES_MAX};
use crate::net::records::{Alert, Opened, RECORD_BYTES_MAX};
use crate::net::stream::{Patience, Queue, Stream};

/// A client behind its handshake at the far end, the edge at the near one.
fn served<F: Future, P: Send + 'static>(
    version: Version,
    peer: impl FnOnce(Peer) -> P + Send + 'static,
    edge: impl FnOnce(Stream) -> F,
) -> (F::Output, P) {
    let certificates = only(server_config(&PKI.pair(NAME), &[version]));
    let config = Arc::new(client_config(&[version]));
    let peer = move |tcp: TcpStream| {
        let mut client = Peer::client(tcp, &config);
        client.handshake().unwrap();
        peer(client)
    };
    meet(peer, async |stream| {
        stream.accept_tls(&mut BytesMut::new(), &certificates, soon()).await.unwrap();
        edge(stream).await
    })
}

fn noise(len: usize) -> Vec<u8> {
    (0..len as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

async fn read_to_end(stream: &Stream) -> std::io::Result<Vec<u8>> {
    let mut read = BytesMut::new();
    while stream.read(&mut read, 16 * 1024, soon()).await? > 0 {}
    Ok(read.to_vec())
}

#[test]
fn a_mebibyte_goes_both_ways_at_once() {
    for version in VERSIONS {
        let data = noise(1 << 20);
        let expected = data.clone();
        let peer = move |mut peer: Peer| {
            // In turns, while the edge does both at once.
            let mut read = Vec::new();
            for piece in expected.chunks(40_000) {
                peer.write(piece);
                read.extend(peer.read(piece.len()));
            }
            peer.close();
            assert!(peer.read_to_end().unwrap().is_empty());
            (read, expected)
        };
        let (read, (heard, said)) = served(version, peer, async |stream| {
            let writing = async {
                stream.write_all(&data, soon()).await.unwrap();
                stream.shutdown_write().unwrap();
            };
            join(read_to_end(&stream), writing).await.0.unwrap()
        });
        assert!(read == said, "{version:?}");
        assert!(heard == data, "{version:?}");
    }
}

/// They are in our own buffer then, so nothing of the socket ever says that there are more.
#[test]
fn many_small_records_that_came_at_once_are_read_without_more_from_the_socket() {
    for version in VERSIONS {
        let (all_read, wait) = channel();
        let peer = move |mut peer: Peer| {
            for _ in 0..100 {
                peer.tls.writer().write_all(b"x").unwrap();
            }
            let records = peer.sealed(b"");
            peer.tcp.write_all(&records).unwrap();
            wait.recv().unwrap();
        };
        let (read, ()) = served(version, peer, async |stream| {
            let mut read = BytesMut::new();
            while read.len() < 100 {
                stream.read(&mut read, 16 * 1024, soon()).await.unwrap();
            }
            all_read.send(()).unwrap();
            read
        });
        assert_eq!(read.len(), 100, "{version:?}");
    }
}

/// Each byte is followed by as many new keys as are taken in a row, so that opening what is held
/// always ends where more of the socket is needed.
#[test]
fn a_peer_that_never_stops_changing_keys_lets_others_run() {
    const BYTES: usize = 200;
    let (all_read, wait) = channel();
    let peer = move |mut peer: Peer| {
        let mut unit_len = 0;
        for _ in 0..BYTES {
            let mut unit = peer.sealed(b"x");
            for _ in 0..LATE_HANDSHAKES_MAX {
                peer.tls.refresh_traffic_keys().unwrap();
                unit.extend(peer.sealed(b""));
            }
            unit_len = unit.len();
            peer.tcp.write_all(&unit).unwrap();
        }
        // Answers stand unread at its socket, so closing it would be a reset.
        wait.recv().unwrap();
        unit_len
    };
    let (longest, unit_len) = served(&TLS13, peer, async |stream| {
        let seen = Cell::new(0);
        let mut read = BytesMut::new();
        let mut reading = pin!(async {
            while seen.get() < BYTES {
                let n = stream.read(&mut read, 16 * 1024, soon()).await.unwrap();
                seen.set(seen.get() + n);
            }
        });
        // Between two polls whatever else there is can run.
        let mut longest = 0;
        poll_fn(|cx| {
            let before = seen.get();
            let poll = reading.as_mut().poll(cx);
            longest = longest.max(seen.get() - before);
            poll
        })
        .await;
        all_read.send(()).unwrap();
        longest
    });
    let held = RECORD_BYTES_MAX / unit_len + 2;
    assert!(longest <= CALLS_WITHOUT_WAIT_MAX as usize + held, "{longest} of {BYTES} in a row");
}

#[test]
fn only_close_notify_is_an_end() {
    for version in VERSIONS {
        for (orderly, expected) in [(true, Ok(b"data".to_vec())), (false, Err(()))] {
            let peer = move |mut peer: Peer| {
                peer.write(b"data");
                match orderly {
                    true => peer.close(),
                    false => peer.tcp.shutdown(Shutdown::Write).unwrap(),
                }
                peer.read_to_end().unwrap()
            };
            let (read, heard) = served(version, peer, async |stream| {
                let read = read_to_end(&stream).await;
                // RFC 8446 6.1: the other direction goes on.
                stream.write_all(b"answer", soon()).await.unwrap();
                assert_eq!(stream.peek(), Queue::Ended);
                stream.shutdown_write().unwrap();
                let error = stream.write_all(b"more", soon()).await.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::BrokenPipe);
                read.map_err(|error| assert_eq!(error.kind(), ErrorKind::UnexpectedEof))
            });
            assert_eq!((read, heard), (expected, b"answer".to_vec()), "{version:?}");
        }
    }
}

#[test]
fn a_broken_record_is_answered_with_its_alert() {
    for version in VERSIONS {
        let peer = move |mut peer: Peer| {
            let mut record = peer.sealed(b"data");
            *record.last_mut().unwrap() ^= 1;
            peer.tcp.write_all(&record).unwrap();
            alert_of(&peer.read_to_end().unwrap_err())
        };
        let (kinds, alert) = served(version, peer, async |stream| {
            let mut kinds = Vec::new();
            for _ in 0..2 {
                kinds.push(read_to_end(&stream).await.unwrap_err().kind());
            }
            assert_eq!(stream.peek(), Queue::Broken);
            kinds.push(stream.write_all(b"x", soon()).await.unwrap_err().kind());
            kinds
        });
        // RFC 8446 5.2.
        assert_eq!(alert, Some(rustls::AlertDescription::BadRecordMac), "{version:?}");
        assert_eq!(kinds, [ErrorKind::InvalidData; 3]);
    }
}

#[test]
fn a_dropped_write_loses_and_repeats_nothing() {
    for version in VERSIONS {
        let data = noise(16 << 20);
        let (go_on, going_on) = channel();
        let peer = move |mut peer: Peer| {
            going_on.recv().unwrap();
            peer.read_to_end().unwrap()
        };
        let (dropped, heard) = served(version, peer, async |stream| {
            let mut parts = [&data[..100], &data[100..101], &data[101..]];
            let mut dropped = 0;
            let mut go_on = Some(go_on);
            loop {
                let all = parts.iter().all(|part| part.is_empty());
                match stream.write(&mut parts, Patience::Stall(Duration::from_millis(1))).await {
                    Ok(_) if all => break,
                    Ok(_) => {}
                    Err(error) => {
                        assert_eq!(error.kind(), ErrorKind::TimedOut);
                        dropped += 1;
                        if dropped == 3 {
                            go_on.take().unwrap().send(()).unwrap();
                        }
                    }
                }
            }
            stream.shutdown_write().unwrap();
            dropped
        });
        assert!(dropped >= 3);
        assert!(heard == data, "{version:?}: {} bytes", heard.len());
    }
}

#[test]
fn keys_may_be_renewed_at_any_time() {
    // RFC 8446 4.6.3: rustls asks for ours when it renews its own.
    let peer = |mut peer: Peer| {
        for i in 0..10u8 {
            peer.tls.refresh_traffic_keys().unwrap();
            peer.write(&[i; 100]);
            assert_eq!(peer.read(200), [i; 200]);
        }
        peer.close();
        peer.read_to_end().unwrap()
    };
    let (read, heard) = served(&TLS13, peer, async |stream| {
        let mut all = Vec::new();
        loop {
            let mut read = BytesMut::new();
            if stream.read(&mut read, 4096, soon()).await.unwrap() == 0 {
                break;
            }
            all.extend_from_slice(&read);
            stream.write(&mut [&read, &read], soon()).await.unwrap();
        }
        stream.write_all(b"bye", soon()).await.unwrap();
        stream.shutdown_write().unwrap();
        all
    });
    assert_eq!(read, (0..10u8).flat_map(|i| [i; 100]).collect::<Vec<_>>());
    assert_eq!(heard, b"bye");
}

#[test]
fn who_leaves_takes_everything_along() {
    for version in VERSIONS {
        let (tell, told) = channel();
        let (go_on, going_on) = channel::<()>();
        let peer = move |mut peer: Peer| {
            let mut records = peer.sealed(b"abc");
            let mut undigested = peer.sealed(b"defgh");
            undigested.extend(peer.sealed(b"last"));
            let rest = undigested.split_off(undigested.len() - 3);
            records.extend_from_slice(&undigested);
            peer.tcp.write_all(&records).unwrap();
            tell.send(()).unwrap();
            going_on.recv().unwrap();
            peer.tcp.write_all(&rest).unwrap();
            (undigested, rest, peer.read(5))
        };
        let (detached, (undigested, rest, heard)) = served(version, peer, async |stream| {
            told.recv().unwrap();
            let mut read = BytesMut::new();
            stream.read(&mut read, 2, soon()).await.unwrap();
            assert_eq!(read, "ab");
            let mut detached = stream.detach().unwrap();
            let secured = detached.secured.as_mut().unwrap();
            let mut out = [0; 64];
            let head = secured.session.headroom();
            out[head..head + 5].copy_from_slice(b"hello");
            let record = secured.session.seal(&mut out, head..head + 5).unwrap();
            let mut tcp = TcpStream::from(detached.fd.try_clone().unwrap());
            tcp.write_all(&out[record]).unwrap();
            go_on.send(()).unwrap();
            detached
        });
        let secured = detached.secured.unwrap();
        assert_eq!((detached.unread.as_slice(), heard.as_slice()), (&b"c"[..], &b"hello"[..]));
        assert_eq!(secured.undigested, undigested);
        assert!(secured.unsent.is_empty());
        let mut session = secured.session;
        let mut input = [undigested, rest].concat();
        let mut at = 0;
        for expected in [&b"defgh"[..], b"last"] {
            let Ok(Opened::Data { plain, record }) = session.open(&mut input[at..]) else {
                panic!("no data at {at}");
            };
            assert_eq!(&input[at..][plain], expected);
            at += record;
        }
        assert_eq!(at, input.len());
    }
}

#[test]
fn who_leaves_hands_over_what_found_no_room() {
    let (go_on, going_on) = channel();
    let peer = move |mut peer: Peer| {
        going_on.recv().unwrap();
        peer.read_to_end().unwrap()
    };
    let data = noise(16 << 20);
    let (written, heard) = served(&TLS13, peer, async |stream| {
        let mut parts = [data.as_slice()];
        // A buffer that does not grow by itself: once it is full, it stays full.
        SockRef::from(&stream).set_send_buffer_size(20_000).unwrap();
        let short = Patience::Stall(Duration::from_millis(100));
        while stream.write(&mut parts, short).await.is_ok() {}
        let written = data.len() - parts[0].len();
        let detached = stream.detach().unwrap();
        let mut secured = detached.secured.unwrap();
        assert!(!secured.unsent.is_empty());
        let mut tcp = TcpStream::from(detached.fd);
        tcp.set_nonblocking(false).unwrap();
        go_on.send(()).unwrap();
        tcp.write_all(&secured.unsent).unwrap();
        let mut out = [0; 64];
        let len = secured.session.seal_alert(Alert::CLOSE_NOTIFY, &mut out);
        tcp.write_all(&out[..len]).unwrap();
        written
    });
    assert!(heard == data[..written], "{} of {written} bytes", heard.len());
}

#[test]
fn who_was_left_cannot_leave() {
    let (tell, told) = channel();
    let peer = move |mut peer: Peer| {
        peer.close();
        tell.send(()).unwrap();
        peer.read_to_end()
    };
    let (error, _) = served(&TLS13, peer, async |stream| {
        told.recv().unwrap();
        assert_eq!(stream.peek(), Queue::Ended);
        stream.detach().unwrap_err()
    });
    assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
}

#[test]
fn a_read_takes_no_more_than_it_asks_for() {
    let peer = |mut peer: Peer| {
        peer.write(b"0123456789");
        peer.close();
        peer.read_to_end().unwrap()
    };
    let (pieces, heard) = served(&TLS12, peer, async |stream| {
        assert_eq!(stream.tls_description().map(|text| &text[..7]), Some("TLSv1.2"));
        let mut pieces = Vec::new();
        loop {
            let mut read = BytesMut::from(&b"+"[..]);
            stream.readable(soon()).await.unwrap();
            match stream.read_now(&mut read, 4).unwrap().unwrap() {
                0 => break,
                n => assert_eq!(n + 1, read.len()),
            }
            pieces.push(String::from_utf8(read.to_vec()).unwrap());
        }
        stream.shutdown_write().unwrap();
        pieces
    });
    assert_eq!(pieces, ["+0123", "+4567", "+89"]);
    assert!(heard.is_empty());
}

#[test]
fn an_idle_connection_holds_nothing() {
    let (go_on, going_on) = channel::<()>();
    let peer = move |mut peer: Peer| {
        for _ in 0..2 {
            peer.write(&[0; 5000]);
            peer.read(5000);
        }
        going_on.recv().unwrap();
        assert!(matches!(peer.tls, Connection::Client(_)));
    };
    served(&TLS13, peer, async |stream| {
        for _ in 0..2 {
            let mut read = BytesMut::new();
            while read.len() < 5000 {
                stream.read(&mut read, 3000, soon()).await.unwrap();
            }
            stream.write_all(&read, soon()).await.unwrap();
        }
        let short = Patience::Stall(Duration::from_millis(5));
        stream.readable(short).await.unwrap_err();
        assert_eq!(stream.bytes_held(), 0);
        go_on.send(()).unwrap();
    });
}
