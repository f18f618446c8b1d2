//! What a peer may not do: each case ends with one clear fault, or is ignored where the rules say
//! so.

use super::*;

const TLS13: &str = "TLSv1.3 CHACHA20_POLY1305";
const TLS12: &str = "TLSv1.2 ECDHE_ECDSA_AES_256_GCM";
const KEY_UPDATE_ASKED: [u8; 5] = [24, 0, 0, 1, 1];

/// A record with any content type inside, and padding.
fn made(sender: &mut Session, kind: u8, content: &[u8], padding: usize) -> Vec<u8> {
    let (head, tail) = (sender.headroom(), sender.tailroom());
    let mut buffer = vec![0; head];
    buffer.extend_from_slice(content);
    let mut outer = kind;
    if padding > 0 {
        buffer.push(kind);
        buffer.resize(buffer.len() + padding - 1, 0);
        outer = 0;
    }
    let plain = head..buffer.len();
    buffer.resize(buffer.len() + tail, 0);
    sender.seal_record(outer, &mut buffer, plain);
    buffer
}

fn ours(alert: Alert) -> Result<Opened, Fault> {
    Err(Fault::Ours(alert))
}

#[test]
fn any_flipped_bit_is_noticed_rfc_8446_5_2_rfc_5246_6_2_3_3() {
    for suite in &SUITES {
        let [mut server, mut client] = pair(suite.name);
        let record = sealed(&mut client, b"0123456789");
        for bit in 0..record.len() * 8 {
            let mut flipped = record.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let opened = server.open(&mut flipped);
            match opened {
                Err(Fault::Ours(alert)) => assert!(
                    [
                        Alert::BAD_RECORD_MAC,
                        Alert::RECORD_OVERFLOW,
                        Alert::UNEXPECTED_MESSAGE,
                        Alert::PROTOCOL_VERSION
                    ]
                    .contains(&alert),
                    "{alert:?} for bit {bit}"
                ),
                Ok(Opened::Partial { needed }) => {
                    assert!((24..40).contains(&bit) && needed > record.len());
                }
                other => panic!("{other:?} for bit {bit} of {}", suite.name),
            }
            (server.inbound, server.opened) = (Inbound::Open, 0);
        }
        assert_eq!(opened(&mut server, &mut record.clone()).unwrap(), b"0123456789");
    }
}

#[test]
fn order_counts_rfc_8446_5_3() {
    for suite in &SUITES {
        let [mut server, mut client] = pair(suite.name);
        let [first, second] = [b"first", b"other"].map(|data| sealed(&mut client, data));
        assert_eq!(server.open(&mut second.clone()), ours(Alert::BAD_RECORD_MAC), "reordered");
        let [mut server, _] = pair(suite.name);
        assert_eq!(opened(&mut server, &mut first.clone()).unwrap(), b"first");
        assert_eq!(server.open(&mut first.clone()), ours(Alert::BAD_RECORD_MAC), "replayed");
        let [_, mut reflected] = pair(suite.name);
        assert_eq!(reflected.open(&mut first.clone()), ours(Alert::BAD_RECORD_MAC), "reflected");
    }
}

#[test]
fn a_record_is_judged_when_it_is_whole() {
    for suite in &SUITES {
        let [mut server, mut client] = pair(suite.name);
        let record = sealed(&mut client, b"0123456789");
        for len in 0..record.len() {
            let needed = if len < HEADER_BYTES { HEADER_BYTES } else { record.len() };
            let opened = server.open(&mut record[..len].to_vec());
            assert_eq!(opened, Ok(Opened::Partial { needed }));
        }
        let mut with_more = [&*record, &[1; 3]].concat();
        let Ok(Opened::Data { plain, record: end }) = server.open(&mut with_more) else {
            panic!("{} does not open", suite.name)
        };
        assert_eq!((&with_more[plain], end), (&b"0123456789"[..], record.len()));
        assert_eq!(with_more[end..], [1; 3]);
    }
}

#[test]
fn records_are_bounded_rfc_8446_5_2_rfc_5246_6_2_3() {
    for name in [TLS13, TLS12] {
        let [mut server, mut client] = pair(name);
        let largest = (RECORD_PLAINTEXT_MAX + RECORD_EXPANSION_MAX) as u16;
        let [high, low] = largest.to_be_bytes();
        let needed = RECORD_BYTES_MAX;
        assert_eq!(server.open(&mut [23, 3, 3, high, low]), Ok(Opened::Partial { needed }));
        let [high, low] = (largest + 1).to_be_bytes();
        assert_eq!(server.open(&mut [23, 3, 3, high, low]), ours(Alert::RECORD_OVERFLOW));
        let [mut server, _] = pair(name);
        let data = vec![7; RECORD_PLAINTEXT_MAX];
        let mut record = made(&mut client, APPLICATION_DATA, &data, 0);
        assert_eq!(opened(&mut server, &mut record).unwrap(), data);
        let mut record = made(&mut client, APPLICATION_DATA, &[&*data, &[7]].concat(), 0);
        assert_eq!(server.open(&mut record), ours(Alert::RECORD_OVERFLOW));
    }
}

#[test]
fn padding_is_taken_off_rfc_8446_5_4() {
    let [mut server, mut client] = pair(TLS13);
    for (content, padding) in [(&b"abc"[..], 1), (b"", 9), (b"ends in zeros\0\0", 300), (b"x", 0)] {
        let mut record = made(&mut client, APPLICATION_DATA, content, padding);
        assert_eq!(opened(&mut server, &mut record).unwrap(), content);
    }
    let full = vec![7; RECORD_PLAINTEXT_MAX - 5];
    let mut record = made(&mut client, APPLICATION_DATA, &full, 5);
    assert_eq!(opened(&mut server, &mut record).unwrap(), full);
    let mut record = made(&mut client, APPLICATION_DATA, &full, 6);
    assert_eq!(server.open(&mut record), ours(Alert::RECORD_OVERFLOW), "padding counts");
    for zeros in [0, 1, 77, RECORD_PLAINTEXT_MAX] {
        let [mut server, mut client] = pair(TLS13);
        let mut record = made(&mut client, 0, &vec![0; zeros], 0);
        assert_eq!(server.open(&mut record), ours(Alert::UNEXPECTED_MESSAGE), "{zeros} zeros");
    }
}

#[test]
fn short_records_are_not_authentic_rfc_8446_6_2() {
    for name in [TLS13, TLS12] {
        for len in 0..24 {
            let [mut server, _] = pair(name);
            let mut record = vec![23, 3, 3, 0, len];
            record.resize(5 + usize::from(len), 9);
            assert_eq!(server.open(&mut record), ours(Alert::BAD_RECORD_MAC), "{len} bytes");
        }
    }
}

#[test]
fn outer_headers_are_checked_rfc_8446_5_1_rfc_5246_6_2_1() {
    for (name, header, alert) in [
        (TLS13, [20, 3, 3, 0, 1], Alert::UNEXPECTED_MESSAGE),
        (TLS13, [21, 3, 3, 0, 2], Alert::UNEXPECTED_MESSAGE),
        (TLS13, [22, 3, 3, 0, 9], Alert::UNEXPECTED_MESSAGE),
        (TLS13, [0, 0, 0, 0, 0], Alert::UNEXPECTED_MESSAGE),
        (TLS13, *b"GET /", Alert::UNEXPECTED_MESSAGE),
        (TLS12, [20, 3, 3, 0, 1], Alert::UNEXPECTED_MESSAGE),
        (TLS12, [24, 3, 3, 0, 1], Alert::UNEXPECTED_MESSAGE),
        (TLS12, [23, 3, 1, 0, 9], Alert::PROTOCOL_VERSION),
        (TLS12, [23, 3, 4, 0, 9], Alert::PROTOCOL_VERSION),
        (TLS12, *b"GET /", Alert::UNEXPECTED_MESSAGE),
    ] {
        let [mut server, _] = pair(name);
        assert_eq!(server.open(&mut header.clone()), ours(alert), "{name} {header:?}");
        assert_eq!(server.open(&mut header.clone()), ours(alert), "a fault stays");
        assert_eq!(server.duty(), None);
        assert!(!super::alert(&mut server, alert).is_empty());
    }
}

#[test]
fn contents_are_checked() {
    let ticket = [4, 0, 0, 1, 0];
    let unexpected = Fault::Ours(Alert::UNEXPECTED_MESSAGE);
    let decode = Fault::Ours(Alert::DECODE_ERROR);
    let cases: &[(&str, &str, u8, &[u8], Fault)] = &[
        ("RFC 8446 5.1: an empty alert", TLS13, ALERT, b"", unexpected),
        ("RFC 8446 5.1: an empty fragment", TLS13, HANDSHAKE, b"", unexpected),
        ("RFC 5246 6.2.1: an empty alert", TLS12, ALERT, b"", unexpected),
        ("RFC 5246 6.2.1: an empty fragment", TLS12, HANDSHAKE, b"", unexpected),
        ("RFC 8446 5.1: half an alert", TLS13, ALERT, &[2], decode),
        ("RFC 8446 5.1: two alerts", TLS13, ALERT, &[2, 40, 2, 40], decode),
        ("RFC 8446 6: fatal as a warning", TLS13, ALERT, &[1, 40], Fault::Peer(Alert(40))),
        ("RFC 8446 6.2: unknown", TLS13, ALERT, &[1, 211], Fault::Peer(Alert(211))),
        ("RFC 5246 7.2: no level", TLS12, ALERT, &[3, 40], Fault::Ours(Alert::ILLEGAL_PARAMETER)),
        ("RFC 5246 7.2.2: fatal", TLS12, ALERT, &[2, 40], Fault::Peer(Alert(40))),
        ("RFC 8446 5: change_cipher_spec", TLS13, 20, &[1], unexpected),
        ("RFC 8446 5: an unknown type", TLS13, 24, b"heart", unexpected),
        ("RFC 8446 4.6.1: a ticket for a server", TLS13, HANDSHAKE, &ticket, unexpected),
        ("RFC 8446 4.6.2: late authentication", TLS13, HANDSHAKE, &[13, 0], unexpected),
        ("RFC 8446 4.6: a ClientHello", TLS13, HANDSHAKE, &[1], unexpected),
        (
            "RFC 8446 4.6.3: neither form",
            TLS13,
            HANDSHAKE,
            &[24, 0, 0, 1, 2],
            Fault::Ours(Alert::ILLEGAL_PARAMETER),
        ),
        ("RFC 8446 4.6.3: too short", TLS13, HANDSHAKE, &[24, 0, 0, 0], decode),
        ("RFC 8446 4.6.3: too long", TLS13, HANDSHAKE, &[24, 0, 0, 2, 0, 0], decode),
        (
            "RFC 8446 5.1: more behind new keys",
            TLS13,
            HANDSHAKE,
            &[24, 0, 0, 1, 0, 24, 0, 0, 1, 0],
            unexpected,
        ),
        ("a message without bound", TLS13, HANDSHAKE, &[24, 0, 0x40, 1], unexpected),
        ("RFC 5246 7.4: a KeyUpdate in 1.2", TLS12, HANDSHAKE, &KEY_UPDATE_ASKED, unexpected),
        ("RFC 5246 7.4: HelloRequest for a server", TLS12, HANDSHAKE, &[0; 4], unexpected),
    ];
    for (rule, name, kind, content, expected) in cases {
        let [mut server, mut client] = pair(name);
        let mut record = made(&mut client, *kind, content, 0);
        assert_eq!(server.open(&mut record), Err(*expected), "{rule}");
    }
}

#[test]
fn user_canceled_and_warnings_are_ignored_but_bounded_rfc_8446_6_1_rfc_5246_7_2_2() {
    for (name, content) in [(TLS13, [1, 90]), (TLS13, [2, 90]), (TLS12, [1, 90]), (TLS12, [1, 112])]
    {
        let [mut server, mut client] = pair(name);
        for _ in 0..EMPTY_RECORDS_MAX {
            let mut record = made(&mut client, ALERT, &content, 0);
            assert!(matches!(server.open(&mut record), Ok(Opened::Handled { .. })));
        }
        let mut record = made(&mut client, ALERT, &content, 0);
        assert_eq!(server.open(&mut record), ours(Alert::UNEXPECTED_MESSAGE));
    }
}

#[test]
fn empty_records_are_bounded_rfc_8446_5_1() {
    for name in [TLS13, TLS12] {
        let [mut server, mut client] = pair(name);
        for round in 0..3 * EMPTY_RECORDS_MAX {
            let data: &[u8] = if round % 8 == 0 { b"x" } else { b"" };
            let mut record = sealed(&mut client, data);
            assert_eq!(opened(&mut server, &mut record).unwrap(), data);
        }
        let faulty = (0..=EMPTY_RECORDS_MAX).find_map(|_| {
            let mut record = sealed(&mut client, b"");
            server.open(&mut record).err()
        });
        assert_eq!(faulty, Some(Fault::Ours(Alert::UNEXPECTED_MESSAGE)));
    }
}

#[test]
fn key_updates_are_bounded_and_answered_once_rfc_8446_4_6_3() {
    let [mut server, mut client] = pair(TLS13);
    let mut update = |server: &mut Session| {
        let mut record = made(&mut client, HANDSHAKE, &KEY_UPDATE_ASKED, 0);
        client.sealing = client.schedule.as_mut().unwrap().next_sealing().unwrap();
        (client.sealed, client.working) = (0, None);
        server.open(&mut record)
    };
    for _ in 0..LATE_HANDSHAKES_MAX {
        assert!(matches!(update(&mut server), Ok(Opened::Handled { .. })));
        assert_eq!(server.duty(), Some(Duty::KeyUpdate));
    }
    assert_eq!(duties(&mut server).len(), 5 + 5 + 17, "one answer");
    assert_eq!(update(&mut server), ours(Alert::UNEXPECTED_MESSAGE));
}

#[test]
fn messages_come_in_pieces_rfc_8446_5_1() {
    let [mut server, mut client] = pair(TLS13);
    for at in 1..KEY_UPDATE_ASKED.len() {
        let (first, second) = KEY_UPDATE_ASKED.split_at(at);
        for piece in [first, second] {
            assert_eq!(server.duty(), None);
            let mut record = made(&mut client, HANDSHAKE, piece, 3);
            assert!(matches!(server.open(&mut record), Ok(Opened::Handled { .. })));
            server.cool();
            assert!(!server.is_warm());
        }
        assert!(server.working.is_none(), "nothing is kept of a message that is over");
        client.sealing = client.schedule.as_mut().unwrap().next_sealing().unwrap();
        (client.sealed, client.working) = (0, None);
        opened(&mut client, &mut duties(&mut server)).unwrap();
        let mut record = sealed(&mut client, b"on");
        assert_eq!(opened(&mut server, &mut record).unwrap(), b"on");
    }
    for between in [&b"data"[..], b""] {
        let [mut server, mut client] = pair(TLS13);
        let mut record = made(&mut client, HANDSHAKE, &KEY_UPDATE_ASKED[..2], 0);
        server.open(&mut record).unwrap();
        let mut record = sealed(&mut client, between);
        assert_eq!(server.open(&mut record), ours(Alert::UNEXPECTED_MESSAGE));
    }
}

#[test]
fn what_is_kept_of_a_message_is_bounded() {
    let [mut server, mut client] = pair(TLS13);
    // The longest message that is taken, byte by byte in large records.
    let [high, low] = (LATE_HANDSHAKE_BYTES_MAX as u16).to_be_bytes();
    let mut message = vec![4, 0, high, low];
    message.resize(4 + LATE_HANDSHAKE_BYTES_MAX, 0);
    for piece in message[..message.len() - 1].chunks(1000) {
        let mut record = made(&mut server, HANDSHAKE, piece, 0);
        assert!(matches!(client.open(&mut record), Ok(Opened::Handled { .. })));
        let kept = client.working.as_ref().map_or(0, |working| working.partial.len());
        assert!(kept <= 4 + LATE_HANDSHAKE_BYTES_MAX);
    }
    let last = &message[message.len() - 1..];
    let mut record = made(&mut server, HANDSHAKE, last, 0);
    assert!(matches!(client.open(&mut record), Ok(Opened::Handled { .. })));
    assert!(client.working.as_ref().unwrap().partial.is_empty());
}

#[test]
fn a_ticket_that_makes_no_sense_is_an_error_rfc_8446_4_6_1() {
    let suite = rustls::crypto::aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256;
    let (of_server, of_client) = testing::configs(suite);
    let (mut session, _) = testing::client(&of_server, &of_client);
    let broken = session.take_handshake(&[4, 0, 0, 3, 1, 2, 3]);
    assert_eq!(broken, Err(Fault::Ours(Alert::DECODE_ERROR)));
}

#[test]
fn renegotiation_is_refused_and_bounded_rfc_5246_7_4_1_1_and_7_2_2() {
    let mut hello = vec![1, 0, 1, 0];
    hello.resize(4 + 256, 3);
    for (to_server, message) in [(true, &hello[..]), (false, &[0, 0, 0, 0])] {
        let [server, client] = pair(TLS12);
        let (mut us, mut peer) = if to_server { (server, client) } else { (client, server) };
        for round in 1..=LATE_HANDSHAKES_MAX {
            let pieces = message.chunks(if round % 2 == 0 { 100 } else { 1000 });
            for piece in pieces {
                let mut record = made(&mut peer, HANDSHAKE, piece, 0);
                assert!(matches!(us.open(&mut record), Ok(Opened::Handled { .. })));
            }
            assert_eq!(us.duty(), Some(Duty::Warning(Alert::NO_RENEGOTIATION)));
            let mut warning = duties(&mut us);
            assert!(matches!(peer.open(&mut warning), Ok(Opened::Handled { .. })));
            peer.empties = 0;
        }
        let mut record = made(&mut peer, HANDSHAKE, message, 0);
        assert_eq!(us.open(&mut record), ours(Alert::UNEXPECTED_MESSAGE));
    }
}

#[test]
fn a_failed_session_can_still_say_why() {
    each(|mut session, mut peer| {
        let mut record = [23, 3, 3, 0, 40].to_vec();
        record.resize(45, 1);
        assert_eq!(session.open(&mut record), ours(Alert::BAD_RECORD_MAC));
        let told = alert(&mut session, Alert::BAD_RECORD_MAC);
        let error = testing::input(&mut peer, &told).unwrap_err();
        assert_eq!(error, rustls::Error::AlertReceived(rustls::AlertDescription::BadRecordMac));
    });
}
