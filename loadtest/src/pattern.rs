//! What messages are filled with, and how an echo is compared with it: cheap, and different at
//! every place of a message, so that bytes which are lost, doubled or exchanged are found.

use std::sync::LazyLock;

/// Prime, so that the pattern meets every place in every buffer and record.
const PERIOD: usize = 65_521;
/// Upper bits of a seed change more than lower ones.
const SHIFT: u32 = 20;

/// Two periods, so that a piece that begins anywhere in the first is in one slice.
static TABLE: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let period: Vec<u8> = (0..PERIOD)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 32) as u8
        })
        .collect();
    [&period[..], &period[..]].concat()
});

/// The seed of the message that has this number.
pub fn seed(number: u64) -> u64 {
    number << SHIFT
}

/// Appends `len` bytes from `at` on of the message that belongs to `seed`.
pub fn append(seed: u64, mut at: usize, len: usize, out: &mut Vec<u8>) {
    let end = at + len;
    while at < end {
        let piece = piece(seed, at, end - at);
        out.extend_from_slice(piece);
        at += piece.len();
    }
}

/// How many of these bytes are not those that stand at `at` in that message.
pub fn wrong_bytes(seed: u64, mut at: usize, mut bytes: &[u8]) -> u64 {
    let mut wrong = 0;
    while !bytes.is_empty() {
        let piece = piece(seed, at, bytes.len());
        let (now, rest) = bytes.split_at(piece.len());
        if now != piece {
            wrong += now.iter().zip(piece).filter(|(a, b)| a != b).count() as u64;
        }
        at += piece.len();
        bytes = rest;
    }
    wrong
}

/// The bytes from `at` on, at most `len` and a period.
fn piece(seed: u64, at: usize, len: usize) -> &'static [u8] {
    let from = ((seed >> SHIFT) as usize + at) % PERIOD;
    &TABLE[from..from + len.min(PERIOD)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_in_pieces_is_right_and_every_change_is_counted() {
        let (seed, len) = (u64::MAX, 2 * PERIOD + 77);
        let mut message = Vec::new();
        append(seed, 0, 70_000, &mut message);
        append(seed, 70_000, len - 70_000, &mut message);
        assert_eq!(message.len(), len);
        for cut in [0, 1, PERIOD - 1, PERIOD, len] {
            let (first, second) = message.split_at(cut);
            assert_eq!(wrong_bytes(seed, 0, first) + wrong_bytes(seed, cut, second), 0);
        }
        message[PERIOD] ^= 1;
        message[len - 1] ^= 1;
        assert_eq!(wrong_bytes(seed, 0, &message), 2);
        assert!(wrong_bytes(seed, 1, &message[..1000]) > 900);
    }
}
