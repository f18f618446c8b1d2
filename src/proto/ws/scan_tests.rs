//! Tests of the scanner: every rule once, and the same verdict however the bytes are split.

use proptest::prelude::*;

use super::super::frame::{CONTROL_BYTES_MAX, write_close, write_control};
use super::*;

const CLIENT: Rules = Rules {
    masked: true,
    reserved_allowed: 0,
    strict: true,
    max_frame: u64::MAX >> 1,
    max_message: u64::MAX >> 1,
    each_message: false,
};
const ORIGIN: Rules = Rules { masked: false, ..CLIENT };

fn frame(first: u8, payload: &[u8], mask: bool) -> Vec<u8> {
    let bit = if mask { 0x80 } else { 0 };
    let mut out = vec![first];
    match payload.len() {
        n @ 0..=125 => out.push(bit | n as u8),
        n @ 126..=0xffff => {
            out.push(bit | 126);
            out.extend((n as u16).to_be_bytes());
        }
        n => {
            out.push(bit | 127);
            out.extend((n as u64).to_be_bytes());
        }
    }
    if mask {
        out.extend([0; 4]);
    }
    out.extend(payload);
    out
}

/// What happened to a whole stream fed in pieces: bytes that left, messages, and how it ended.
#[derive(Debug, PartialEq, Eq)]
struct Verdict {
    passed: Vec<u8>,
    messages: u32,
    closes: Vec<u16>,
    pongs: u32,
    end: Option<Violation>,
    boundary: bool,
    last: Option<(Opcode, u32)>,
}

fn run(stream: &[u8], cuts: &[usize], rules: &Rules) -> Verdict {
    let mut scanner = Scanner::default();
    let mut held = Vec::new();
    let mut verdict = Verdict {
        passed: vec![],
        messages: 0,
        closes: vec![],
        pongs: 0,
        end: None,
        boundary: true,
        last: None,
    };
    let mut from = 0;
    for &cut in cuts.iter().chain([&stream.len()]) {
        let mut piece = std::mem::take(&mut held);
        piece.extend(&stream[from..cut]);
        from = cut;
        let mut rest = &piece[..];
        loop {
            let advance = scanner.advance(rest, rules, true);
            verdict.passed.extend(&rest[..advance.pass]);
            verdict.messages += advance.messages;
            rest = &rest[advance.pass..];
            match advance.stop {
                Stop::End => break,
                Stop::Message => {}
                Stop::Held => {
                    assert!(rest.len() <= HELD_BYTES_MAX, "{} bytes held", rest.len());
                    held = rest.to_vec();
                    break;
                }
                Stop::Close { code } => verdict.closes.push(code),
                Stop::Pong { size, .. } => {
                    verdict.pongs += 1;
                    rest = &rest[size..];
                }
                Stop::Violation(violation) => {
                    verdict.end = Some(violation);
                    return verdict;
                }
            }
        }
    }
    verdict.boundary = scanner.at_boundary();
    verdict.last = scanner.last_frame();
    verdict
}

#[test]
fn the_last_frame_is_the_last_that_began() {
    let begun = |parts: &[Vec<u8>]| run(&parts.concat(), &[], &CLIENT).last;
    let long = frame(0x82, &[0; 70_000], true);
    for (parts, last) in [
        (vec![], None),
        (vec![frame(0x81, b"hello", true)], Some((Opcode::Text, 5))),
        (vec![frame(0x81, b"hello", true), vec![0x8a]], Some((Opcode::Text, 5))),
        (vec![long[..20].to_vec()], Some((Opcode::Binary, 70_000))),
        (vec![frame(0x01, b"a", true), frame(0x00, b"bc", true)], Some((Opcode::Continuation, 2))),
        (vec![frame(0x81, b"a", true), frame(0x8a, &[5; 8], true)], Some((Opcode::Pong, 8))),
        (vec![frame(0x88, &[0x03, 0xe8], true)], Some((Opcode::Close, 2))),
        (
            vec![vec![0x82, 0xff, 0, 0, 0, 1, 0, 0, 0, 0, 1, 2, 3, 4]],
            Some((Opcode::Binary, u32::MAX)),
        ),
    ] {
        assert_eq!(begun(&parts), last, "{parts:?}");
    }
}

fn violation(stream: &[u8], rules: &Rules) -> Option<Violation> {
    run(stream, &[], rules).end
}

// RFC 6455 5.1, 5.2, 5.4, 5.5, 7.4
#[test]
fn every_rule_once() {
    for (name, stream, rules, expected) in bits_and_opcodes().into_iter().chain(lengths()) {
        assert_eq!(violation(&stream, &rules), expected, "{name}");
    }
}

type Case = (&'static str, Vec<u8>, Rules, Option<Violation>);

fn bits_and_opcodes() -> Vec<Case> {
    let deflate = Rules { reserved_allowed: 0x40, ..ORIGIN };
    let other = Rules { reserved_allowed: 0x70, ..ORIGIN };
    let cat = |parts: &[Vec<u8>]| parts.concat();
    vec![
        ("text", frame(0x81, b"x", true), CLIENT, None),
        ("unmasked client", frame(0x81, b"x", false), CLIENT, Some(Violation::NotMasked)),
        ("masked server", frame(0x81, b"x", true), ORIGIN, Some(Violation::Masked)),
        ("rsv1", frame(0xc1, b"x", false), ORIGIN, Some(Violation::ReservedBits)),
        ("rsv1 with deflate", frame(0xc1, b"x", false), deflate, None),
        ("rsv1 on ping", frame(0xc9, b"x", false), deflate, Some(Violation::ReservedBits)),
        ("rsv2 with deflate", frame(0xa1, b"x", false), deflate, Some(Violation::ReservedBits)),
        (
            "rsv1 on continuation",
            cat(&[frame(0x41, b"x", false), frame(0xc0, b"x", false)]),
            deflate,
            Some(Violation::ReservedBits),
        ),
        ("rsv3 with another extension", frame(0x91, b"x", false), other, None),
        ("opcode 3", frame(0x83, b"", false), ORIGIN, Some(Violation::ReservedOpcode)),
        ("opcode 15", frame(0x8f, b"", false), ORIGIN, Some(Violation::ReservedOpcode)),
        ("ping without fin", frame(0x09, b"", false), ORIGIN, Some(Violation::ControlFragmented)),
    ]
}

fn lengths() -> Vec<Case> {
    let small = Rules { max_frame: 10, max_message: 15, ..ORIGIN };
    let cat = |parts: &[Vec<u8>]| parts.concat();
    vec![
        ("ping of 125", frame(0x89, &[0; 125], false), ORIGIN, None),
        ("ping of 126", frame(0x89, &[0; 126], false), ORIGIN, Some(Violation::ControlTooLong)),
        (
            "continuation first",
            frame(0x80, b"", false),
            ORIGIN,
            Some(Violation::ContinuationWithoutStart),
        ),
        (
            "text inside a message",
            cat(&[frame(0x01, b"a", false), frame(0x81, b"b", false)]),
            ORIGIN,
            Some(Violation::MessageInterrupted),
        ),
        (
            "ping inside a message",
            cat(&[frame(0x01, b"a", false), frame(0x89, b"", false), frame(0x80, b"b", false)]),
            ORIGIN,
            None,
        ),
        ("long form", vec![0x82, 126, 0, 5], ORIGIN, Some(Violation::LengthForm)),
        (
            "2^63",
            vec![0x82, 127, 0x80, 0, 0, 0, 0, 0, 0, 0],
            ORIGIN,
            Some(Violation::LengthOverflow),
        ),
        ("frame of 11", frame(0x82, &[0; 11], false), small, Some(Violation::FrameTooBig)),
        (
            "message of 16",
            cat(&[frame(0x02, &[0; 8], false), frame(0x80, &[0; 8], false)]),
            small,
            Some(Violation::MessageTooBig),
        ),
        (
            "two messages of 10",
            cat(&[frame(0x82, &[0; 10], false), frame(0x82, &[0; 10], false)]),
            small,
            None,
        ),
        ("close of 1", frame(0x88, b"x", false), ORIGIN, Some(Violation::CloseCode)),
        (
            "close 1005",
            frame(0x88, &1005_u16.to_be_bytes(), false),
            ORIGIN,
            Some(Violation::CloseCode),
        ),
        ("close 1000", frame(0x88, &1000_u16.to_be_bytes(), false), ORIGIN, None),
    ]
}

#[test]
fn not_strict_lets_pass_what_can_be_framed() {
    let lax = Rules { strict: false, ..ORIGIN };
    for stream in [
        frame(0xf1, b"x", true),
        frame(0x83, b"x", false),
        frame(0x09, &[0; 200], false),
        vec![0x82, 126, 0, 0],
        frame(0x88, &1005_u16.to_be_bytes(), false),
    ] {
        let verdict = run(&stream, &[], &lax);
        assert_eq!((verdict.end, verdict.passed), (None, stream));
    }
}

#[test]
fn a_close_is_seen_and_passes() {
    let mut out = [0; CONTROL_BYTES_MAX];
    let n = write_close(&mut out, Some([9, 8, 7, 6]), 4001, "bye");
    let verdict = run(&out[..n], &[], &CLIENT);
    assert_eq!((verdict.closes, verdict.passed), (vec![4001], out[..n].to_vec()));
    let bare = frame(0x88, b"", true);
    assert_eq!(run(&bare, &[], &CLIENT).closes, [0]);
}

#[test]
fn nothing_of_a_bad_frame_passes() {
    let good = frame(0x81, b"fine", true);
    let stream = [good.clone(), frame(0x81, b"bad", false)].concat();
    for cut in 0..=stream.len() {
        let verdict = run(&stream, &[cut], &CLIENT);
        assert_eq!((&verdict.passed, verdict.end), (&good, Some(Violation::NotMasked)), "{cut}");
    }
}

/// One random frame, sound or not, of the client's direction.
fn any_frame() -> impl Strategy<Value = Vec<u8>> {
    let sound = (
        prop_oneof![Just(0x81_u8), Just(0x82), Just(0x01), Just(0x00), Just(0x80), Just(0x89)],
        prop_oneof![0..20_usize, 120..130_usize, 65_530..65_540_usize],
    )
        .prop_map(|(first, n)| frame(first, &vec![7; n], true));
    let pong = Just({
        let mut out = [0; CONTROL_BYTES_MAX];
        let n = write_control(&mut out, Opcode::Pong, Some([1, 2, 3, 4]), &[5; 8]);
        out[..n].to_vec()
    });
    let close = any::<u16>().prop_map(|code| frame(0x88, &code.to_be_bytes(), true));
    let noise = prop::collection::vec(any::<u8>(), 0..20);
    prop_oneof![6 => sound, 2 => pong, 1 => close, 1 => noise]
}

proptest! {
    // RFC 6455 5: framing decisions agree however the bytes are split.
    #[test]
    fn verdicts_do_not_depend_on_the_split(
        frames in prop::collection::vec(any_frame(), 1..8),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
        strict in any::<bool>(),
    ) {
        let stream = frames.concat();
        let mut cuts: Vec<usize> = cuts.iter().map(|c| c.index(stream.len() + 1)).collect();
        cuts.sort_unstable();
        let rules = Rules { strict, ..CLIENT };
        let whole = run(&stream, &[], &rules);
        prop_assert_eq!(&run(&stream, &cuts, &rules), &whole);
        let stepwise = Rules { each_message: true, ..rules };
        prop_assert_eq!(&run(&stream, &cuts, &stepwise), &whole);
    }

    #[test]
    fn every_single_split_agrees(frames in prop::collection::vec(any_frame(), 1..4)) {
        let mut stream = frames.concat();
        stream.truncate(400);
        let whole = run(&stream, &[], &CLIENT);
        for cut in 0..=stream.len() {
            prop_assert_eq!(&run(&stream, &[cut], &CLIENT), &whole);
        }
    }
}
