//! Encrypted legs: whatever the records, the bytes inside arrive as they were, records of ours are
//! rustls' to read, and a leg that breaks TLS ends alone. Not here: single records
//! (`net::records`).

use rustls::crypto::aws_lc_rs::cipher_suite::{
    TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, TLS13_AES_128_GCM_SHA256,
    TLS13_CHACHA20_POLY1305_SHA256,
};
use rustls::{Connection, SupportedCipherSuite};

use super::*;
use crate::net::records::{Session, testing};
use crate::net::tls::Secured;

const TLS13: SupportedCipherSuite = TLS13_AES_128_GCM_SHA256;

/// What each leg may speak in these tests.
const TRANSPORTS: [Option<SupportedCipherSuite>; 4] = [
    None,
    Some(TLS13),
    Some(TLS13_CHACHA20_POLY1305_SHA256),
    Some(TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384),
];

/// One side of a tunnel as seen from outside, in the clear or as rustls speaks it.
struct Peer {
    stream: TcpStream,
    tls: Option<Connection>,
    /// In the clear and not looked at yet.
    read: Vec<u8>,
}

impl Peer {
    fn say(&mut self, bytes: &[u8]) {
        let out = self.sealed(bytes);
        self.stream.write_all(&out).unwrap();
    }

    /// What saying `bytes` puts on the wire.
    fn sealed(&mut self, bytes: &[u8]) -> Vec<u8> {
        match &mut self.tls {
            Some(tls) => testing::said(tls, bytes),
            None => bytes.to_vec(),
        }
    }

    /// Reads once; false at the end.
    fn read_once(&mut self) -> bool {
        let mut chunk = [0; 16 * 1024];
        let n = self.stream.read(&mut chunk).unwrap();
        match &mut self.tls {
            Some(tls) => {
                self.read.extend(testing::input(tls, &chunk[..n]).unwrap());
                self.stream.write_all(&testing::output(tls)).unwrap_or_default();
            }
            None => self.read.extend_from_slice(&chunk[..n]),
        }
        n > 0
    }

    fn expect(&mut self, bytes: &[u8]) {
        while self.read.len() < bytes.len() {
            assert!(self.read_once(), "ended after {} of {}", self.read.len(), bytes.len());
        }
        assert!(self.read[..bytes.len()] == *bytes, "{} bytes differ", bytes.len());
        self.read.drain(..bytes.len());
    }

    /// First byte and unmasked payload of the next frame.
    fn frame(&mut self) -> (u8, Vec<u8>) {
        loop {
            if let Some(header) = Header::parse(&self.read).unwrap() {
                let end = header.size + header.payload as usize;
                if self.read.len() >= end {
                    let first = self.read[0];
                    let mut payload: Vec<u8> = self.read.drain(..end).skip(header.size).collect();
                    crate::proto::ws::mask::apply(header.mask.unwrap_or_default(), &mut payload);
                    return (first, payload);
                }
            }
            assert!(self.read_once(), "ended within a frame");
        }
    }

    /// Reads to the end; whether it was announced (close_notify, where it is TLS).
    fn ended(&mut self) -> bool {
        while self.read_once() {}
        match &mut self.tls {
            Some(tls) => tls.reader().read(&mut [0]).is_ok_and(|n| n == 0),
            None => true,
        }
    }
}

impl Core {
    fn secured(
        &self,
        domain: &Arc<Domain>,
        [client, origin]: [Option<SupportedCipherSuite>; 2],
    ) -> (Peer, Peer) {
        self.secured_by(domain, [(client, testing::server), (origin, testing::client)])
    }

    fn secured_by(
        &self,
        domain: &Arc<Domain>,
        [client, origin]: [(Option<SupportedCipherSuite>, Pair); 2],
    ) -> (Peer, Peer) {
        let (client, client_session) = secure(client);
        let (origin, origin_session) = secure(origin);
        let secured = [client_session, origin_session].map(|session| {
            let session = Box::new(session?);
            Some(Secured { session, undigested: vec![], unsent: vec![] })
        });
        let peer = |stream, tls| Peer { stream, tls, read: vec![] };
        let (client_stream, origin_stream) = self.tunnel_over(domain, [vec![], vec![]], secured);
        (peer(client_stream, client), peer(origin_stream, origin))
    }
}

type Pair = fn(&Arc<rustls::ServerConfig>, &Arc<rustls::ClientConfig>) -> (Session, Connection);

fn secure(
    (suite, pair): (Option<SupportedCipherSuite>, Pair),
) -> (Option<Connection>, Option<Session>) {
    let Some(suite) = suite else { return (None, None) };
    let (server, client) = testing::configs(suite);
    let (session, peer) = pair(&server, &client);
    (Some(peer), Some(session))
}

#[test]
fn messages_cross_every_pair_of_transports() {
    let core = Core::start();
    for client in TRANSPORTS {
        for origin in TRANSPORTS {
            let (mut client, mut origin) = core.secured(&domain(websocket()), [client, origin]);
            let (mut sum_up, mut sum_down) = (0, 0);
            for n in [0, 1, 125, 126, 1400, 4000, 4010, 4033, 16_384, 16_390, 70_000, 300_000] {
                let (up, down) = (message(&pattern(n), true), message(&pattern(n), false));
                std::thread::scope(|scope| {
                    scope.spawn(|| client.say(&up));
                    origin.expect(&up);
                });
                std::thread::scope(|scope| {
                    scope.spawn(|| origin.say(&down));
                    client.expect(&down);
                });
                (sum_up, sum_down) = (sum_up + up.len(), sum_down + down.len());
            }
            // Plaintext is what counts, whatever carries it.
            let figures = core.wake().last().unwrap().figures;
            assert_eq!((figures.bytes_in, figures.bytes_out), (sum_up as u64, sum_down as u64));
            assert_eq!((figures.messages_in, figures.messages_out), (12, 12));
        }
    }
}

#[test]
fn records_may_come_in_any_pieces() {
    let core = Core::start();
    for origin in [None, Some(TLS13)] {
        let (mut client, mut origin) = core.secured(&domain(websocket()), [Some(TLS13), origin]);
        let short = [message(b"one", true), message(b"two", true)].concat();
        for byte in client.sealed(&short) {
            client.stream.write_all(&[byte]).unwrap();
            core.wake();
        }
        origin.expect(&short);
        let long = message(&pattern(50_000), true);
        let sealed = client.sealed(&long);
        for piece in
            [1, 4, 5, 6, 21, 22, 4031, 4032, 4033, 16_000].iter().cycle().scan(0, |at, n| {
                let from = *at;
                *at = (*at + n).min(sealed.len());
                (from < sealed.len()).then(|| &sealed[from..*at])
            })
        {
            client.stream.write_all(piece).unwrap();
            core.wake();
        }
        origin.expect(&long);
    }
}

#[test]
fn small_records_of_one_segment_become_one_record() {
    let core = Core::start();
    let (mut client, mut origin) = core.secured(&domain(websocket()), [Some(TLS13); 2]);
    let messages: Vec<Vec<u8>> = (0..40).map(|n| message(&pattern(n), true)).collect();
    let records: Vec<u8> = messages.iter().flat_map(|m| client.sealed(m)).collect();
    client.stream.write_all(&records).unwrap();
    let mut wire = vec![0; 4096];
    let mut have = 0;
    let plain = messages.concat();
    // One record of all: its plaintext, and 22 bytes of TLS.
    while have < plain.len() + 22 {
        have += origin.stream.read(&mut wire[have..]).unwrap();
    }
    assert_eq!(have, plain.len() + 22);
    let tls = origin.tls.as_mut().unwrap();
    assert_eq!(testing::input(tls, &wire[..have]).unwrap(), plain);
}

#[test]
fn keys_change_in_the_middle_of_messages() {
    let core = Core::start();
    let (mut client, mut origin) = core.secured(&domain(websocket()), [Some(TLS13); 2]);
    let (up, down) = (message(&pattern(9000), true), message(&pattern(9000), false));
    for cut in [1, 7, 3000, 8999] {
        client.say(&up[..cut]);
        client.tls.as_mut().unwrap().refresh_traffic_keys().unwrap();
        client.say(&up[cut..]);
        origin.expect(&up);
        origin.say(&down[..cut]);
        origin.tls.as_mut().unwrap().refresh_traffic_keys().unwrap();
        origin.say(&down[cut..]);
        client.expect(&down);
    }
}

#[test]
fn worn_keys_are_renewed_or_end_the_tunnel() {
    // RFC 8446 5.5: 64 records are many more than the keys of TLS 1.3 may seal here, so all of them
    // arrive only if the keys changed; those of TLS 1.2 cannot.
    let mut core = Core::start();
    for (suite, renews) in [(TLS13, true), (TRANSPORTS[3].unwrap(), false)] {
        let pair: Pair = |server, client| {
            let (mut session, peer) = testing::server(server, client);
            testing::limit(&mut session, 5);
            (session, peer)
        };
        let (mut client, mut origin) =
            core.secured_by(&domain(websocket()), [(Some(suite), pair), (None, testing::client)]);
        let frames = (0..64u8).map_while(|n| {
            origin.stream.write_all(&message(&[n], false)).ok()?;
            Some(client.frame())
        });
        let seen: Vec<_> = frames.take_while(|(first, _)| *first == 0x82).collect();
        assert!(seen.iter().enumerate().all(|(n, (_, payload))| payload == &[n as u8]));
        drop((client, origin));
        let cause = core.closed().outcome.cause;
        match renews {
            true => assert_eq!(seen.len(), 64),
            false => {
                assert!((1..32).contains(&seen.len()), "{} of 32 records", seen.len());
                assert_eq!(cause, Cause::TlsKeysWorn);
            }
        }
    }
}

#[test]
fn a_pong_of_ours_is_taken_out_of_a_record() {
    let core = Core::start();
    for transports in [[Some(TLS13), None], [Some(TLS13); 2], [None, Some(TLS13)]] {
        let fast = WebSocket { heartbeat: Duration::from_secs(1), ..websocket() };
        let (mut client, mut origin) = core.secured(&domain(fast), transports);
        let (first, payload) = client.frame();
        assert_eq!(first, 0x89);
        let mut pong = vec![0x8a, 0x80 | payload.len() as u8, 0, 0, 0, 0];
        pong.extend(&payload);
        let (before, after) = (message(&pattern(100), true), message(&pattern(5000), true));
        client.say(&[&before[..], &pong, &after, &pong, &pong, &before].concat());
        let (first, _) = origin.frame();
        assert_eq!(first, 0x89, "its own Ping");
        for message in [&before, &after, &before] {
            origin.expect(message);
        }
        assert!(core.wake().iter().any(|row| row.figures.client_rtt_us > 0));
    }
}

#[test]
fn the_end_is_announced_and_half_of_it_passes() {
    // RFC 8446 6.1
    let mut core = Core::start();
    for transports in [[Some(TLS13); 2], [Some(TLS13), None], [None, Some(TLS13)]] {
        let (mut client, mut origin) = core.secured(&domain(websocket()), transports);
        let up = message(&pattern(20_000), true);
        client.say(&up);
        match &mut client.tls {
            Some(tls) => {
                tls.send_close_notify();
                let out = testing::output(tls);
                client.stream.write_all(&out).unwrap();
            }
            None => client.stream.shutdown(std::net::Shutdown::Write).unwrap(),
        }
        origin.expect(&up);
        assert!(origin.ended(), "close_notify before the FIN");
        let down = message(&pattern(20_000), false);
        origin.say(&down);
        client.expect(&down);
        drop(origin);
        assert!(client.ended() || client.tls.is_some());
        assert_eq!(core.closed().outcome.cause, Cause::PeerEof);
    }
}

#[test]
fn a_close_of_ours_comes_between_frames_and_before_the_end() {
    let mut core = Core::start();
    let (mut client, mut origin) = core.secured(&domain(websocket()), [Some(TLS13); 2]);
    let up = message(&pattern(3000), true);
    client.say(&up[..2000]);
    origin.expect(&up[..2000]);
    let (reply, count) = sync_channel(1);
    core.handle.send(Command::Close {
        filter: Filter::default(),
        cause: Cause::Killed,
        code: 1012,
        reason: "again".into(),
        pace: None,
        number: 0,
        reply: Box::new(move |n| reply.send(n).unwrap()),
    });
    assert_eq!(count.recv().unwrap(), 1);
    assert_eq!(client.frame(), (0x88, [&1012u16.to_be_bytes()[..], b"again"].concat()));
    client.say(&up[2000..]);
    origin.expect(&up[2000..]);
    assert_eq!(origin.frame().0, 0x88);
    assert!(client.ended() && origin.ended());
    assert_eq!(core.closed().outcome.cause, Cause::Killed);
}

#[test]
fn a_leg_that_breaks_tls_gets_an_alert_and_the_other_a_close() {
    // RFC 8446 5.2: bad_record_mac.
    let mut core = Core::start();
    for transports in [[Some(TLS13), None], [Some(TLS13); 2], [TRANSPORTS[3]; 2]] {
        let (mut client, mut origin) = core.secured(&domain(websocket()), transports);
        let good = message(b"good", true);
        let mut records = client.sealed(&good);
        records.extend(client.sealed(&message(b"bad", true)));
        *records.last_mut().unwrap() ^= 1;
        client.stream.write_all(&records).unwrap();
        origin.expect(&good);
        assert_eq!(origin.frame(), (0x88, [&1001u16.to_be_bytes()[..], b"TLS failed"].concat()));
        let mut rest = vec![];
        client.stream.read_to_end(&mut rest).unwrap();
        let error = testing::input(client.tls.as_mut().unwrap(), &rest).unwrap_err();
        assert_eq!(error, rustls::Error::AlertReceived(rustls::AlertDescription::BadRecordMac));
        assert_eq!(core.closed().outcome.cause, Cause::TlsError);
    }
}

#[test]
fn what_was_received_before_the_tunnel_comes_first() {
    let core = Core::start();
    let (server, client) = testing::configs(TLS13);
    let (session, mut peer) = testing::server(&server, &client);
    let messages: Vec<Vec<u8>> = [10, 9000, 20_000].map(|n| message(&pattern(n), true)).into();
    let records: Vec<u8> = messages[1..].iter().flat_map(|m| testing::said(&mut peer, m)).collect();
    let (undigested, rest) = records.split_at(12_345);
    let secured =
        Secured { session: Box::new(session), undigested: undigested.to_vec(), unsent: vec![] };
    let early = [messages[0].clone(), vec![]];
    let (mut stream, mut origin) =
        core.tunnel_over(&domain(websocket()), early, [Some(secured), None]);
    stream.write_all(rest).unwrap();
    expect(&mut origin, &messages.concat());
    assert_eq!(core.wake()[0].tls, [Some("TLSv1.3 AES_128_GCM"), None]);
}
