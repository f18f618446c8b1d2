//! The record layer behind the handshake, through the engine (RFC 8446 5): records and frames need
//! not fit each other in any way.

use std::time::Duration;

use rustls::CipherSuite;

use super::Site;
use crate::harness::crooked::{ALERT, DATA, HANDSHAKE, Sealer};
use crate::harness::road::{Legs, Road};
use crate::harness::tls_peer::crooked_server;
use crate::harness::{Authority, DomainFile, Edge, Frame, Origin, TlsClient, Tunnel, tls_server};

/// A tunnel whose client's records are the test's own.
fn crooked(site: &Site) -> (Tunnel, Sealer) {
    let client = TlsClient::only_suite(&site.authority, CipherSuite::TLS13_AES_128_GCM_SHA256);
    let tunnel = site.tunnel_of(&client);
    // The upgrade request was one record.
    let sealer = Sealer::client(client.seen(), 1);
    (tunnel, sealer)
}

#[test]
fn a_frame_may_be_cut_into_records_at_every_byte() {
    let site = Site::new();
    let mut tunnel = site.tunnel();
    let frame = Frame::binary([0x5a; 150]).masked();
    let bytes = frame.bytes();
    for at in 1..bytes.len() {
        let records =
            [tunnel.client.tls().sealed(&bytes[..at]), tunnel.client.tls().sealed(&bytes[at..])];
        tunnel.client.send_raw(records.concat());
        assert_eq!(tunnel.origin.frame(), frame, "cut at {at}");
    }
    // A record for each byte, in one segment and in many.
    let records: Vec<_> = bytes.iter().map(|b| tunnel.client.tls().sealed(&[*b])).collect();
    tunnel.client.send_raw(records.concat());
    assert_eq!(tunnel.origin.frame(), frame);
    for byte in &bytes {
        tunnel.client.send([*byte]);
    }
    assert_eq!(tunnel.origin.frame(), frame);
}

#[test]
fn a_record_may_be_cut_into_segments_at_every_byte() {
    let site = Site::new();
    let mut tunnel = site.tunnel();
    let frame = Frame::text("somewhere in here").masked();
    for at in 1.. {
        let record = tunnel.client.tls().sealed(&frame.bytes());
        if at == record.len() {
            tunnel.client.send_raw(record);
            break;
        }
        tunnel.client.send_raw(&record[..at]);
        std::thread::sleep(Duration::from_micros(300));
        tunnel.client.send_raw(&record[at..]);
        assert_eq!(tunnel.origin.frame(), frame, "cut at {at}");
    }
    assert_eq!(tunnel.origin.frame(), frame);
    for byte in tunnel.client.tls().sealed(&frame.bytes()) {
        tunnel.client.send_raw([byte]);
    }
    assert_eq!(tunnel.origin.frame(), frame);
}

#[test]
fn many_small_records_in_one_segment_all_arrive() {
    let site = Site::new();
    let mut tunnel = site.tunnel();
    let frames: Vec<_> = (0..2_000).map(|i| Frame::text(i.to_string()).masked()).collect();
    let records: Vec<_> = frames.iter().map(|f| tunnel.client.tls().sealed(&f.bytes())).collect();
    tunnel.client.send_raw(records.concat());
    for frame in &frames {
        assert_eq!(tunnel.origin.frame(), *frame);
    }
    tunnel.check();
}

#[test]
fn the_largest_records_pass() {
    let site = Site::new();
    let (mut tunnel, mut sealer) = crooked(&site);
    let frame = Frame::binary(vec![0x42; 100_000]).masked();
    for piece in frame.bytes().chunks(16_384) {
        tunnel.client.send_raw(sealer.record(DATA, piece));
    }
    assert!(tunnel.origin.frame() == frame);
    // Padding takes the place of data (RFC 8446 5.4).
    let frame = Frame::text("padded").masked();
    let zeros = 16_384 - frame.bytes().len();
    for zeros in [1, 100, 10_000, zeros] {
        tunnel.client.send_raw(sealer.padded(DATA, frame.bytes(), zeros));
        assert_eq!(tunnel.origin.frame(), frame, "{zeros}");
    }
}

/// RFC 8446 5.1 allows records without content; 6.1: user_canceled is only a word.
#[test]
fn records_without_content_are_passed_over() {
    let site = Site::new();
    let (mut tunnel, mut sealer) = crooked(&site);
    let frame = Frame::text("between").masked();
    for _ in 0..20 {
        let records = [
            sealer.record(DATA, b""),
            sealer.padded(DATA, b"", 30),
            sealer.record(DATA, &frame.bytes()[..3]),
            sealer.record(DATA, b""),
            sealer.record(DATA, &frame.bytes()[3..]),
        ];
        tunnel.client.send_raw(records.concat());
        assert_eq!(tunnel.origin.frame(), frame);
    }
    tunnel.client.send_raw(sealer.record(ALERT, [1, 90]));
    tunnel.client.send_raw(sealer.record(DATA, frame.bytes()));
    assert_eq!(tunnel.origin.frame(), frame);
}

/// RFC 8446 4.6.3, asked for one in return (1) and not (0).
#[test]
fn key_updates_of_the_client_may_come_anywhere() {
    let site = Site::new();
    let (mut tunnel, mut sealer) = crooked(&site);
    let up = Frame::binary(vec![7; 3_000]).masked();
    let bytes = up.bytes();
    for round in 0..40 {
        let at = round * 70 % bytes.len();
        let first = sealer.record(DATA, &bytes[..at]);
        let update = sealer.key_update(u8::from(round % 2 == 0));
        let second = sealer.record(DATA, &bytes[at..]);
        if round % 4 < 2 {
            tunnel.client.send_raw([first, update, second].concat());
        } else {
            tunnel.client.send_raw([first, update].concat());
            tunnel.client.send_raw(second);
        }
        assert!(tunnel.origin.frame() == up, "round {round}");
        // What the edge says next is sealed with the keys that it promised.
        let down = Frame::binary(vec![8; 20_000]);
        tunnel.origin.send_frame(&down);
        assert!(tunnel.client.frame() == down, "round {round}");
    }
}

/// A message in two records is still one message.
#[test]
fn a_key_update_may_come_in_two_pieces() {
    let site = Site::new();
    let (mut tunnel, mut sealer) = crooked(&site);
    let records = [sealer.record(22, [24, 0]), sealer.record(22, [0, 1, 1])];
    sealer.turn_keys();
    tunnel.client.send_raw(records.concat());
    let frame = Frame::text("with new keys").masked();
    tunnel.client.send_raw(sealer.record(DATA, frame.bytes()));
    assert_eq!(tunnel.origin.frame(), frame);
    tunnel.origin.send_frame(&Frame::text("back"));
    assert_eq!(tunnel.client.frame(), Frame::text("back"));
}

/// No more than rustls takes without data between (32).
#[test]
fn key_updates_of_both_peers_at_once() {
    let authority = Authority::new("root");
    let pairs = [(); 2].map(|()| authority.pair(&["a.test"]));
    let origin = Origin::bind_tls(tls_server(&pairs[1]));
    let domain = DomainFile::new("a.test").tls(&pairs[0]).tls_origin(&origin, &authority);
    let edge = Edge::builder().tls().domain(domain).start();
    let client = edge.connect_tls(&TlsClient::trusting(&authority), "a.test");
    let Tunnel { mut client, mut origin } = Tunnel::over(client, &origin, "a.test", "", "");
    let message = |i: usize| Frame::binary(vec![i as u8; i * 41 % 30_000]);
    let (mut up, mut down) = (client.also(), origin.also());
    let count = 600;
    std::thread::scope(|scope| {
        scope.spawn(move || {
            for i in 0..count {
                if i % 40 == 7 {
                    up.tls().update_keys().expect("an open connection");
                }
                up.send_frame(&message(i).masked());
            }
        });
        scope.spawn(move || {
            for i in 0..count {
                if i % 40 == 0 {
                    down.tls().update_keys().expect("an open connection");
                }
                down.send_frame(&message(i));
            }
        });
        scope.spawn(move || (0..count).for_each(|i| assert!(client.frame() == message(i))));
        scope.spawn(move || {
            (0..count).for_each(|i| assert!(origin.frame() == message(i).masked()));
        });
    });
}

/// RFC 8446 4.6.1: tickets may come at any time, and KeyUpdates too.
#[test]
fn tickets_and_key_updates_of_an_origin_may_come_anywhere() {
    let authority = Authority::new("root");
    let suite = CipherSuite::TLS13_AES_128_GCM_SHA256;
    let (config, seen) = crooked_server(&authority.pair(&["a.test"]), suite);
    let origin = Origin::bind_tls(config);
    let edge = Edge::with(DomainFile::new("a.test").tls_origin(&origin, &authority));
    let mut tunnel = Tunnel::open(&edge, &origin, "a.test");
    // A ticket, and the 101.
    let mut sealer = Sealer::server(&seen, 2);
    // Lifetime, age_add, nonce, ticket, no extensions.
    let ticket =
        [&[4, 0, 0, 18, 0, 0, 2, 0, 1, 2, 3, 4, 1, 9, 0, 4][..], &[7; 4], &[0, 0]].concat();
    let down = Frame::binary(vec![9; 5_000]);
    let bytes = down.bytes();
    for round in 0..20 {
        let at = round * 200 + 1;
        let records = [
            sealer.record(DATA, &bytes[..at]),
            sealer.record(HANDSHAKE, &ticket),
            sealer.key_update(u8::from(round % 2 == 0)),
            sealer.record(DATA, &bytes[at..]),
        ];
        tunnel.origin.send_raw(records.concat());
        assert!(tunnel.client.frame() == down, "round {round}");
        let up = Frame::binary(vec![8; 20_000]).masked();
        tunnel.client.send_frame(&up);
        assert!(tunnel.origin.frame() == up, "round {round}");
    }
}

/// What is dropped while a connection is idle comes back by itself.
#[test]
fn tunnels_of_every_kind_wake_from_idleness() {
    let roads = Legs::TLS.map(Road::new);
    let mut tunnels: Vec<_> = roads.iter().map(Road::tunnel).collect();
    for _ in 0..2 {
        tunnels.iter_mut().for_each(Tunnel::check);
        // Longer than AEAD contexts are kept; nothing announces that they are gone.
        std::thread::sleep(Duration::from_millis(2_500));
    }
    for tunnel in &mut tunnels {
        tunnel.check();
        let big = Frame::binary(vec![7; 100_000]);
        tunnel.origin.send_frame(&big);
        assert!(tunnel.client.frame() == big);
        tunnel.client.send_frame(&big.clone().masked());
        assert!(tunnel.origin.frame() == big.masked());
    }
}

#[test]
fn a_huge_message_streams_through_with_constant_memory() {
    const BYTES: usize = 128 << 20;
    let site = Site::new();
    let mut tunnel = site.tunnel();
    tunnel.check();
    let before = site.edge.resident();
    let mut server = tunnel.origin.also();
    let header = Frame::header(crate::harness::Op::BINARY, None, BYTES as u64);
    let head = header.clone();
    let push = std::thread::spawn(move || {
        server.send(head);
        let block = vec![0x5a; 1 << 20];
        (0..BYTES / block.len()).for_each(|_| server.send(&block));
    });
    tunnel.client.expect(header);
    let mut seen = 0;
    while seen < BYTES {
        let piece = tunnel.client.exactly((BYTES - seen).min(1 << 16));
        assert!(piece.iter().all(|&b| b == 0x5a));
        seen += piece.len();
    }
    push.join().expect("pushed");
    tunnel.check();
    let after = site.edge.peak_resident();
    assert!(after < before + (24 << 10), "grew from {before} to {after} KiB");
}
