//! The WebSocket protocol as far as a load generator speaks it: the opening handshake's accept
//! value, and frames that arrive in any pieces. Written apart from Hawser's own parser on purpose,
//! so that one checks the other.

use base64::Engine as _;
use sha1::{Digest as _, Sha1};

const CONTINUATION: u8 = 0;
pub const BINARY: u8 = 2;
pub const CLOSE: u8 = 8;
pub const PING: u8 = 9;
pub const PONG: u8 = 10;
/// RFC 6455 5.5: bytes that a control frame carries at most.
const CONTROL_MAX: u64 = 125;

/// RFC 6455 4.1: a client's request.
pub fn request(path: &str, host: &str, key: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n"
    )
}

/// RFC 6455 4.2.2: the answer to a request with this head; none when it has no key.
pub fn answer(head: &str) -> Option<String> {
    let accept = accept_value(field(head, "sec-websocket-key")?);
    Some(format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    ))
}

/// Whether a head is a 101 to the request with this key.
pub fn is_accepted(head: &str, key: &str) -> bool {
    let accept = field(head, "sec-websocket-accept");
    head.starts_with("HTTP/1.1 101 ") && accept == Some(accept_value(key).as_str())
}

/// A field of an HTTP head, by its name in any case.
pub fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| {
        let (field, value) = line.split_once(':')?;
        field.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

/// RFC 6455 4.2.2: what the server answers to a key.
fn accept_value(key: &str) -> String {
    let mut hash = Sha1::new();
    hash.update(key.as_bytes());
    hash.update(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    base64::engine::general_purpose::STANDARD.encode(hash.finalize())
}

/// A key of 16 bytes out of a number; keys need not be secret here.
pub fn key(seed: u64) -> String {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    bytes[8..].copy_from_slice(&(!seed).to_le_bytes());
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// Appends a frame's header.
pub fn header(out: &mut Vec<u8>, fin: bool, opcode: u8, len: u64, mask: Option<[u8; 4]>) {
    out.push(u8::from(fin) << 7 | opcode);
    let masked = u8::from(mask.is_some()) << 7;
    match len {
        0..=125 => out.push(masked | len as u8),
        126..=0xffff => {
            out.push(masked | 126);
            out.extend_from_slice(&(len as u16).to_be_bytes());
        }
        _ => {
            out.push(masked | 127);
            out.extend_from_slice(&len.to_be_bytes());
        }
    }
    out.extend_from_slice(mask.as_ref().map_or(&[], |mask| &mask[..]));
}

/// Appends a whole frame.
pub fn frame(out: &mut Vec<u8>, opcode: u8, payload: &[u8], mask: Option<[u8; 4]>) {
    header(out, true, opcode, payload.len() as u64, mask);
    let from = out.len();
    out.extend_from_slice(payload);
    if let Some(mask) = mask {
        apply_mask(&mut out[from..], mask, 0);
    }
}

/// Appends a whole masked binary frame whose payload of `len` bytes is appended by `payload`.
pub fn masked_frame(
    out: &mut Vec<u8>,
    len: usize,
    mask: [u8; 4],
    payload: impl FnOnce(&mut Vec<u8>),
) {
    header(out, true, BINARY, len as u64, Some(mask));
    let from = out.len();
    payload(out);
    apply_mask(&mut out[from..], mask, 0);
}

/// Masks or unmasks bytes whose first one stands at `offset` of its frame's payload.
pub fn apply_mask(bytes: &mut [u8], mask: [u8; 4], offset: u64) {
    let turned: [u8; 8] = std::array::from_fn(|i| mask[(offset as usize + i) % 4]);
    let word = u64::from_ne_bytes(turned);
    let (words, rest) = bytes.as_chunks_mut::<8>();
    for bytes in words {
        *bytes = (u64::from_ne_bytes(*bytes) ^ word).to_ne_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip(turned) {
        *byte ^= mask;
    }
}

/// What a stream of bytes turned out to hold, payload unmasked.
pub enum Piece<'a> {
    /// A data frame begins.
    Start { fin: bool, opcode: u8, len: u64 },
    /// Some of its payload.
    Data(&'a [u8]),
    /// All of its payload has been given.
    End { fin: bool },
    /// A whole control frame.
    Control { opcode: u8, payload: &'a [u8] },
}

/// Frames of one direction, fed in any pieces.
pub struct Reader {
    expect_masked: bool,
    head: [u8; 14],
    have: u8,
    frame: Option<Frame>,
    control: Vec<u8>,
}

struct Frame {
    fin: bool,
    opcode: u8,
    len: u64,
    got: u64,
    mask: Option<[u8; 4]>,
}

impl Reader {
    /// A client masks its frames, a server does not.
    pub fn of_client() -> Reader {
        Reader { expect_masked: true, head: [0; 14], have: 0, frame: None, control: Vec::new() }
    }

    pub fn of_server() -> Reader {
        Reader { expect_masked: false, ..Reader::of_client() }
    }

    /// Unmasks in place and reports every piece.
    ///
    /// # Errors
    /// What is wrong with a header; nothing can be read after that.
    pub fn feed(
        &mut self,
        mut bytes: &mut [u8],
        mut each: impl FnMut(Piece<'_>),
    ) -> Result<(), String> {
        loop {
            if self.frame.is_none() {
                if bytes.is_empty() {
                    return Ok(());
                }
                self.head[usize::from(self.have)] = bytes[0];
                self.have += 1;
                bytes = &mut bytes[1..];
                self.frame = self.header_read()?;
                if let Some(Frame { fin, opcode, len, .. }) = self.frame
                    && opcode < CLOSE
                {
                    each(Piece::Start { fin, opcode, len });
                }
            }
            let Some(frame) = &mut self.frame else { continue };
            let take = (frame.len - frame.got).min(bytes.len() as u64) as usize;
            let (now, rest) = bytes.split_at_mut(take);
            if let Some(mask) = frame.mask {
                apply_mask(now, mask, frame.got);
            }
            frame.got += take as u64;
            match frame.opcode {
                CLOSE.. => self.control.extend_from_slice(now),
                _ if !now.is_empty() => each(Piece::Data(now)),
                _ => {}
            }
            bytes = rest;
            if frame.got < frame.len {
                return Ok(());
            }
            match frame.opcode {
                opcode @ CLOSE.. => each(Piece::Control { opcode, payload: &self.control }),
                _ => each(Piece::End { fin: frame.fin }),
            }
            self.control.clear();
            self.frame = None;
            self.have = 0;
        }
    }

    /// The frame whose header is complete now, if it is.
    fn header_read(&self) -> Result<Option<Frame>, String> {
        let head = &self.head[..usize::from(self.have)];
        if head.len() < 2 {
            return Ok(None);
        }
        let (fin, opcode) = (head[0] & 0x80 != 0, head[0] & 0x0f);
        let masked = head[1] & 0x80 != 0;
        if head[0] & 0x70 != 0 || masked != self.expect_masked {
            return Err(format!("frame header {head:02x?}: reserved bits or masking are wrong"));
        }
        if !matches!(opcode, CONTINUATION..=BINARY | CLOSE..=PONG) {
            return Err(format!("frame header {head:02x?}: opcode {opcode} is reserved"));
        }
        if opcode >= CLOSE && (!fin || u64::from(head[1] & 0x7f) > CONTROL_MAX) {
            return Err(format!(
                "frame header {head:02x?}: a control frame in parts or of over {CONTROL_MAX} bytes"
            ));
        }
        let (extended, short) = match head[1] & 0x7f {
            126 => (2, 0),
            127 => (8, 0),
            n => (0, u64::from(n)),
        };
        let all = 2 + extended + if masked { 4 } else { 0 };
        if head.len() < all {
            return Ok(None);
        }
        let long = head[2..2 + extended].iter().fold(0, |n, &b| n << 8 | u64::from(b));
        let len = if extended == 0 { short } else { long };
        let mask = masked.then(|| std::array::from_fn(|i| head[2 + extended + i]));
        Ok(Some(Frame { fin, opcode, len, got: 0, mask }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_cut_at_every_byte_gives_the_same_pieces() {
        let mut stream = Vec::new();
        frame(&mut stream, BINARY, b"hello", Some([1, 2, 3, 4]));
        frame(&mut stream, PING, b"", Some([5, 6, 7, 8]));
        frame(&mut stream, BINARY, &vec![7; 70_000], Some([9, 9, 0, 0]));
        frame(&mut stream, CLOSE, &1000u16.to_be_bytes(), Some([1, 1, 1, 1]));
        for cut in (0..stream.len()).step_by(997).chain(0..40) {
            let mut bytes = stream.clone();
            let (mut data, mut seen) = (Vec::new(), Vec::new());
            let mut reader = Reader::of_client();
            let (first, second) = bytes.split_at_mut(cut);
            for part in [first, second] {
                let result = reader.feed(part, |piece| match piece {
                    Piece::Start { opcode, len, .. } => seen.push((opcode, len)),
                    Piece::Data(bytes) => data.extend_from_slice(bytes),
                    Piece::End { fin } => assert!(fin),
                    Piece::Control { opcode, payload } => seen.push((opcode, payload.len() as u64)),
                });
                assert_eq!(result, Ok(()));
            }
            assert_eq!(seen, [(BINARY, 5), (PING, 0), (BINARY, 70_000), (CLOSE, 2)]);
            assert_eq!(data[..5], *b"hello");
            assert!(data[5..] == [7; 70_000]);
        }
    }

    #[test]
    fn headers_that_the_protocol_does_not_know_are_refused() {
        for (mut header, named) in [
            ([0xc2_u8, 5], "reserved bits"),
            ([0x82, 0x85], "masking"),
            ([0x83, 5], "opcode 3 is reserved"),
            ([0x8b, 5], "opcode 11 is reserved"),
            ([0x09, 5], "control frame"),
            ([0x89, 126], "control frame"),
        ] {
            let why = Reader::of_server().feed(&mut header, |_| {}).unwrap_err();
            assert!(why.contains(named), "{header:02x?}: {why}");
        }
    }

    #[test]
    fn an_answer_fits_the_request_of_its_key_alone() {
        let answer = answer(&request("/echo", "load.test", &key(7))).expect("it has a key");
        assert!(is_accepted(&answer, &key(7)) && !is_accepted(&answer, &key(8)));
        assert!(super::answer("GET / HTTP/1.1\r\nHost: load.test\r\n\r\n").is_none());
    }

    #[test]
    fn the_accept_value_of_rfc_6455_1_3() {
        assert_eq!(accept_value("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }
}
