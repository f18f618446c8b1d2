//! One frame header (RFC 6455 5.2), read in place, and the control frames that the edge itself
//! writes.

use super::mask;
use crate::limits::CONTROL_PAYLOAD_MAX;

/// Longest header: 2 bytes, 8 of length, 4 of masking key.
pub const HEADER_BYTES_MAX: usize = 14;
/// Longest control frame.
pub const CONTROL_BYTES_MAX: usize = 2 + 4 + CONTROL_PAYLOAD_MAX;

/// The four bits of RFC 6455 5.2, known or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opcode {
    Continuation,
    Text,
    Binary,
    Close,
    Ping,
    Pong,
    Reserved(u8),
}

impl Opcode {
    pub(super) fn from_bits(bits: u8) -> Opcode {
        match bits {
            0x0 => Opcode::Continuation,
            0x1 => Opcode::Text,
            0x2 => Opcode::Binary,
            0x8 => Opcode::Close,
            0x9 => Opcode::Ping,
            0xa => Opcode::Pong,
            other => Opcode::Reserved(other),
        }
    }

    fn bits(self) -> u8 {
        match self {
            Opcode::Continuation => 0x0,
            Opcode::Text => 0x1,
            Opcode::Binary => 0x2,
            Opcode::Close => 0x8,
            Opcode::Ping => 0x9,
            Opcode::Pong => 0xa,
            Opcode::Reserved(bits) => bits,
        }
    }

    /// As RFC 6455 5.2 calls it.
    pub fn name(self) -> &'static str {
        match self {
            Opcode::Continuation => "continuation",
            Opcode::Text => "text",
            Opcode::Binary => "binary",
            Opcode::Close => "close",
            Opcode::Ping => "ping",
            Opcode::Pong => "pong",
            Opcode::Reserved(_) => "reserved",
        }
    }

    /// Control frames have the high bit of the opcode set (RFC 6455 5.5), reserved ones included.
    pub fn is_control(self) -> bool {
        self.bits() & 0x8 != 0
    }
}

/// A whole frame header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    pub fin: bool,
    /// RSV1 to RSV3 where they stand in the first byte: 0x40, 0x20, 0x10.
    pub reserved: u8,
    pub opcode: Opcode,
    pub mask: Option<[u8; 4]>,
    /// Payload bytes, below 2^63.
    pub payload: u64,
    /// Bytes of the header itself, 2 to [`HEADER_BYTES_MAX`].
    pub size: usize,
    /// The length could have been written in fewer bytes (RFC 6455 5.2 forbids it).
    pub long_form: bool,
}

/// A header that no receiver could frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderError {
    /// RFC 6455 5.2: the most significant bit of a 64-bit length must be 0.
    LengthOverflow,
}

impl Header {
    /// Reads the header at the start of `bytes`; `None` when it is not all there.
    ///
    /// # Errors
    /// [`HeaderError::LengthOverflow`]: nothing behind such a header can be framed.
    #[inline]
    pub fn parse(bytes: &[u8]) -> Result<Option<Header>, HeaderError> {
        let &[first, second, ref rest @ ..] = bytes else { return Ok(None) };
        let (payload, long_form, length_bytes) = match second & 0x7f {
            126 => {
                let Some(&length) = rest.first_chunk::<2>() else { return Ok(None) };
                let payload = u64::from(u16::from_be_bytes(length));
                (payload, payload < 126, 2)
            }
            127 => {
                let Some(&length) = rest.first_chunk::<8>() else { return Ok(None) };
                let payload = u64::from_be_bytes(length);
                if payload >> 63 != 0 {
                    return Err(HeaderError::LengthOverflow);
                }
                (payload, payload <= 0xffff, 8)
            }
            short => (u64::from(short), false, 0),
        };
        let (mask, mask_bytes) = match second & 0x80 {
            0 => (None, 0),
            _ => match rest[length_bytes..].first_chunk::<4>() {
                Some(&key) => (Some(key), 4),
                None => return Ok(None),
            },
        };
        Ok(Some(Header {
            fin: first & 0x80 != 0,
            reserved: first & 0x70,
            opcode: Opcode::from_bits(first & 0x0f),
            mask,
            payload,
            size: 2 + length_bytes + mask_bytes,
            long_form,
        }))
    }
}

/// Writes a whole control frame to the start of `out` and returns its length.
///
/// `mask` is the masking key towards an origin (RFC 6455 5.3), `None` towards a client. A payload
/// longer than [`CONTROL_PAYLOAD_MAX`] is cut there (RFC 6455 5.5). `out` has room for
/// [`CONTROL_BYTES_MAX`] bytes.
pub fn write_control(
    out: &mut [u8],
    opcode: Opcode,
    mask: Option<[u8; 4]>,
    payload: &[u8],
) -> usize {
    debug_assert!(opcode.is_control());
    let payload = &payload[..payload.len().min(CONTROL_PAYLOAD_MAX)];
    out[0] = 0x80 | opcode.bits();
    out[1] = payload.len() as u8;
    let mut at = 2;
    if let Some(key) = mask {
        out[1] |= 0x80;
        out[at..at + 4].copy_from_slice(&key);
        at += 4;
    }
    let end = at + payload.len();
    out[at..end].copy_from_slice(payload);
    if let Some(key) = mask {
        mask::apply(key, &mut out[at..end]);
    }
    end
}

/// Writes a Close frame (RFC 6455 5.5.1) with `code` and `reason`, cut at a character so that it
/// fits.
pub fn write_close(out: &mut [u8], mask: Option<[u8; 4]>, code: u16, reason: &str) -> usize {
    debug_assert!(super::close::is_sendable(code), "{code} must not stand on the wire");
    let reason = &reason[..reason.floor_char_boundary(CONTROL_PAYLOAD_MAX - 2)];
    let mut payload = [0; CONTROL_PAYLOAD_MAX];
    payload[..2].copy_from_slice(&code.to_be_bytes());
    payload[2..2 + reason.len()].copy_from_slice(reason.as_bytes());
    write_control(out, Opcode::Close, mask, &payload[..2 + reason.len()])
}

#[cfg(test)]
mod tests {
    use super::*;

    // RFC 6455 5.7: examples.
    #[test]
    fn headers_of_the_rfc() {
        let hello = Header::parse(&[0x81, 0x05, b'H']).unwrap().unwrap();
        assert_eq!(
            (hello.fin, hello.opcode, hello.payload, hello.size),
            (true, Opcode::Text, 5, 2)
        );
        let masked = Header::parse(&[0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d]).unwrap().unwrap();
        assert_eq!((masked.mask, masked.size), (Some([0x37, 0xfa, 0x21, 0x3d]), 6));
        let k = Header::parse(&[0x82, 0x7e, 0x01, 0x00]).unwrap().unwrap();
        assert_eq!((k.opcode, k.payload, k.size, k.long_form), (Opcode::Binary, 256, 4, false));
        let big = Header::parse(&[0x82, 0x7f, 0, 0, 0, 0, 0, 1, 0, 0]).unwrap().unwrap();
        assert_eq!((big.payload, big.size, big.long_form), (65536, 10, false));
    }

    // RFC 6455 5.2: minimal number of bytes; most significant bit 0.
    #[test]
    fn lengths_at_their_borders() {
        let long = |bytes: &[u8]| Header::parse(bytes).unwrap().unwrap().long_form;
        assert!(long(&[0x82, 126, 0, 125]));
        assert!(!long(&[0x82, 126, 0, 126]));
        assert!(long(&[0x82, 127, 0, 0, 0, 0, 0, 0, 0xff, 0xff]));
        assert_eq!(
            Header::parse(&[0x82, 127, 0x80, 0, 0, 0, 0, 0, 0, 0]),
            Err(HeaderError::LengthOverflow)
        );
        let huge = [0x82, 127, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
        assert_eq!(Header::parse(&huge).unwrap().unwrap().payload, (1 << 63) - 1);
    }

    #[test]
    fn no_header_before_its_last_byte() {
        let whole = [0x82, 0xff, 0, 0, 0, 0, 0, 1, 0, 0, 1, 2, 3, 4];
        for n in 0..whole.len() {
            assert_eq!(Header::parse(&whole[..n]), Ok(None), "{n}");
        }
        assert_eq!(Header::parse(&whole).unwrap().unwrap().size, HEADER_BYTES_MAX);
    }

    #[test]
    fn a_close_reason_is_cut_at_a_character() {
        let mut out = [0; CONTROL_BYTES_MAX];
        let reason = "é".repeat(100);
        let n = write_close(&mut out, None, 1001, &reason);
        let header = Header::parse(&out[..n]).unwrap().unwrap();
        assert_eq!(header.payload, 124);
        assert!(std::str::from_utf8(&out[4..n]).is_ok());
        let masked = write_close(&mut out, Some([1, 2, 3, 4]), 1001, "bye");
        mask::apply([1, 2, 3, 4], &mut out[6..masked]);
        assert_eq!(&out[6..masked], b"\x03\xe9bye");
    }
}
