//! The test's own WebSocket frames (RFC 6455 5.2): built with every freedom to be wrong, and
//! parsed.

use super::show;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Op(pub u8);

impl Op {
    pub const CONTINUE: Op = Op(0);
    pub const TEXT: Op = Op(1);
    pub const BINARY: Op = Op(2);
    pub const CLOSE: Op = Op(8);
    pub const PING: Op = Op(9);
    pub const PONG: Op = Op(10);
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    pub fin: bool,
    /// The three bits where they stand: 0x40, 0x20, 0x10.
    pub rsv: u8,
    pub op: Op,
    pub mask: Option<[u8; 4]>,
    /// Not masked.
    pub payload: Vec<u8>,
}

/// How the length is written; anything but `Minimal` may be wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Length {
    Minimal,
    Bits16,
    Bits64,
}

impl Frame {
    pub fn new(op: Op, payload: impl AsRef<[u8]>) -> Frame {
        Frame { fin: true, rsv: 0, op, mask: None, payload: payload.as_ref().to_vec() }
    }

    pub fn text(payload: impl AsRef<[u8]>) -> Frame {
        Frame::new(Op::TEXT, payload)
    }

    pub fn binary(payload: impl AsRef<[u8]>) -> Frame {
        Frame::new(Op::BINARY, payload)
    }

    pub fn ping(payload: impl AsRef<[u8]>) -> Frame {
        Frame::new(Op::PING, payload)
    }

    pub fn pong(payload: impl AsRef<[u8]>) -> Frame {
        Frame::new(Op::PONG, payload)
    }

    pub fn close(code: u16, reason: &str) -> Frame {
        Frame::new(Op::CLOSE, [&code.to_be_bytes()[..], reason.as_bytes()].concat())
    }

    /// As a client must send it.
    pub fn masked(mut self) -> Frame {
        self.mask = Some([0x12, 0x9a, 0xc3, 0x5f]);
        self
    }

    pub fn unmasked(mut self) -> Frame {
        self.mask = None;
        self
    }

    pub fn unfinished(mut self) -> Frame {
        self.fin = false;
        self
    }

    pub fn rsv(mut self, bits: u8) -> Frame {
        self.rsv = bits;
        self
    }

    /// Code and reason of a Close; `None` when it carries no code.
    pub fn close_code(&self) -> Option<(u16, String)> {
        assert_eq!(self.op, Op::CLOSE, "a Close frame, got {self:?}");
        let code = self.payload.get(..2)?;
        let reason = String::from_utf8(self.payload[2..].to_vec()).expect("UTF-8 reason");
        Some((u16::from_be_bytes([code[0], code[1]]), reason))
    }

    pub fn bytes(&self) -> Vec<u8> {
        let length = match self.payload.len() {
            0..=125 => Length::Minimal,
            126..=0xffff => Length::Bits16,
            _ => Length::Bits64,
        };
        self.bytes_with(length)
    }

    pub fn bytes_with(&self, length: Length) -> Vec<u8> {
        let mut out = vec![u8::from(self.fin) << 7 | self.rsv | self.op.0];
        let masked = u8::from(self.mask.is_some()) << 7;
        let n = self.payload.len();
        match length {
            Length::Minimal => out.push(masked | u8::try_from(n).expect("a 7-bit length")),
            Length::Bits16 => {
                out.push(masked | 126);
                out.extend(u16::try_from(n).expect("a 16-bit length").to_be_bytes());
            }
            Length::Bits64 => {
                out.push(masked | 127);
                out.extend((n as u64).to_be_bytes());
            }
        }
        match self.mask {
            None => out.extend(&self.payload),
            Some(mask) => {
                out.extend(mask);
                out.extend(self.payload.iter().zip(mask.iter().cycle()).map(|(b, m)| b ^ m));
            }
        }
        out
    }

    /// Only the first bytes of a frame that announces `length` bytes of payload.
    pub fn header(op: Op, mask: Option<[u8; 4]>, length: u64) -> Vec<u8> {
        let mut out = vec![0x80 | op.0, u8::from(mask.is_some()) << 7 | 127];
        out.extend(length.to_be_bytes());
        out.extend(mask.unwrap_or_default());
        out.truncate(if mask.is_some() { 14 } else { 10 });
        out
    }

    /// The first frame of `bytes` and its size on the wire; `None` when it is not whole.
    pub fn parse(bytes: &[u8]) -> Option<(Frame, usize)> {
        let (&first, &second) = (bytes.first()?, bytes.get(1)?);
        let (length, mut at) = match second & 0x7f {
            126 => (usize::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?)), 4),
            127 => {
                let length = u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?);
                (usize::try_from(length).expect("a length that fits memory"), 10)
            }
            n => (usize::from(n), 2),
        };
        let mut mask = None;
        if second & 0x80 != 0 {
            mask = Some(<[u8; 4]>::try_from(bytes.get(at..at + 4)?).ok()?);
            at += 4;
        }
        let key = mask.unwrap_or_default();
        let payload = bytes.get(at..at.checked_add(length)?)?;
        let payload = payload.iter().zip(key.iter().cycle()).map(|(b, k)| b ^ k).collect();
        let op = Op(first & 0x0f);
        let frame = Frame { fin: first & 0x80 != 0, rsv: first & 0x70, op, mask, payload };
        Some((frame, at + length))
    }

    /// Every frame of a finished stream.
    pub fn parse_all(mut bytes: &[u8]) -> Vec<Frame> {
        let mut frames = Vec::new();
        while !bytes.is_empty() {
            let (frame, size) =
                Frame::parse(bytes).unwrap_or_else(|| panic!("half a frame: {}", show(bytes)));
            frames.push(frame);
            bytes = &bytes[size..];
        }
        frames
    }
}

#[test]
fn frames_come_back_as_they_were_built() {
    for size in [0, 1, 125, 126, 65_535, 65_536] {
        for frame in [Frame::binary(vec![7; size]), Frame::binary(vec![7; size]).masked()] {
            let bytes = frame.bytes();
            assert_eq!(Frame::parse(&bytes), Some((frame, bytes.len())), "{size}");
            assert_eq!(Frame::parse(&bytes[..bytes.len() - 1]), None, "{size} cut");
        }
    }
}
