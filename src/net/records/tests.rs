//! The record layer against rustls as the other side, and against every kind of broken input. Each
//! test names the rule that it proves.

use rustls::Connection;

use super::testing::{self, duties, opened, sealed};
use super::*;

/// Both roles with every suite.
fn each(mut check: impl FnMut(Session, Connection)) {
    for suite in testing::suites() {
        let (of_server, of_client) = testing::configs(suite);
        let (session, peer) = testing::server(&of_server, &of_client);
        check(session, peer);
        let (session, peer) = testing::client(&of_server, &of_client);
        check(session, peer);
    }
}

#[test]
fn data_goes_both_ways_rfc_8446_5_2_rfc_5288_3_rfc_7905_2() {
    each(|mut session, mut peer| {
        let mut input = testing::output(&mut peer);
        for len in [1, 2, 100, 16_383, 16_384] {
            let data: Vec<u8> = (0..len).map(|i| i as u8).collect();
            let record = sealed(&mut session, &data);
            assert_eq!(testing::input(&mut peer, &record).unwrap(), data);
            input.extend(testing::said(&mut peer, &data));
            assert_eq!(opened(&mut session, &mut input).unwrap(), data);
        }
        let mut out = [0; CONTROL_RECORD_BYTES_MAX];
        let len = session.seal_alert(Alert::CLOSE_NOTIFY, &mut out);
        testing::input(&mut peer, &out[..len]).unwrap();
        assert!(peer.process_new_packets().unwrap().peer_has_closed());
        peer.send_close_notify();
        let mut record = testing::output(&mut peer);
        let len = record.len();
        assert_eq!(session.open(&mut record), Ok(Opened::Closed { record: len }));
    });
}

#[test]
fn keys_change_when_either_side_wants_rfc_8446_4_6_3() {
    each(|mut session, mut peer| {
        let tls13 = session.suite().scheme == Scheme::Tls13;
        if !tls13 {
            return;
        }
        let mut input = testing::output(&mut peer);
        for round in 0..70_u8 {
            // rustls asks for an answer.
            if round % 2 == 0 {
                peer.refresh_traffic_keys().unwrap();
            } else {
                let mut out = [0; CONTROL_RECORD_BYTES_MAX];
                let len = session.seal_key_update(&mut out);
                testing::input(&mut peer, &out[..len]).unwrap();
            }
            input.extend(testing::said(&mut peer, &[round]));
            assert_eq!(opened(&mut session, &mut input).unwrap(), [round]);
            let mut out = duties(&mut session);
            assert_eq!(out.is_empty(), round % 2 == 1);
            out.extend(sealed(&mut session, &[round, round]));
            assert_eq!(testing::input(&mut peer, &out).unwrap(), [round, round]);
        }
    });
}

#[test]
fn idle_sessions_are_small() {
    assert_eq!(size_of::<Session>(), 128);
    assert!(size_of::<Schedule>() <= 568);
}
