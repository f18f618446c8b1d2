//! Masking of payload (RFC 6455 5.3). Only control frames that the edge reads or writes pass
//! through here.

/// Masks or unmasks `payload`, which starts at the first payload byte of its frame.
pub fn apply(key: [u8; 4], payload: &mut [u8]) {
    for (byte, key) in payload.iter_mut().zip(key.into_iter().cycle()) {
        *byte ^= key;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // RFC 6455 5.7: "Hello" masked with 37 fa 21 3d.
    #[test]
    fn the_example_of_the_rfc() {
        let mut bytes = *b"Hello";
        apply([0x37, 0xfa, 0x21, 0x3d], &mut bytes);
        assert_eq!(bytes, [0x7f, 0x9f, 0x4d, 0x51, 0x58]);
    }
}
