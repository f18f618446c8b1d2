//! Follows the frames of one direction by their headers only: where may a foreign frame be put in,
//! which control frames concern the edge, which rule is broken. Not here: what is done about it
//! (`tunnel`).
//!
//! Bytes come in pieces of any size. A header that is not all there, a Close whose code is not all
//! there and a Pong that could answer the edge's own Ping are *held*: the caller keeps those few
//! bytes (at most [`HELD_BYTES_MAX`](crate::limits::HELD_BYTES_MAX)) and hands them in again in
//! front of the next piece. So nothing of a frame leaves before its header was judged.

use super::close;
use super::frame::{Header, HeaderError, Opcode};
use crate::limits::{CONTROL_PAYLOAD_MAX, HELD_BYTES_MAX};

/// Payload of the edge's own Pings.
pub const PING_PAYLOAD_BYTES: usize = 8;

const _: () = assert!(2 + 4 + PING_PAYLOAD_BYTES <= HELD_BYTES_MAX);

/// What holds for the frames of one direction.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// RFC 6455 5.1: frames of a client are masked, those of a server are not.
    pub masked: bool,
    /// RSV bits that the agreed extensions give a meaning (RFC 6455 5.2).
    pub reserved_allowed: u8,
    /// Whether all of RFC 6455 5 is enforced, or only what framing itself needs.
    pub strict: bool,
    pub max_frame: u64,
    pub max_message: u64,
    /// Stop after every data message, for a caller that counts them against a rate.
    pub each_message: bool,
}

/// The state of one direction between two pieces.
#[derive(Clone, Copy, Debug, Default)]
pub struct Scanner {
    /// Payload bytes of the current frame that are still to come; 0 at a frame boundary.
    remaining: u64,
    /// Payload bytes of the open message, over its fragments.
    message: u64,
    /// A fragmented data message is open.
    fragmented: bool,
    /// The frame in `remaining` ends a data message.
    ends_message: bool,
    /// Of the last header: its opcode and, capped, its payload's length. For whoever looks at a
    /// connection; they fill what alignment leaves empty, and are written beside `remaining`.
    last: Option<Opcode>,
    last_payload: u32,
}

/// What an idle connection pays for each of its directions.
const _: () = assert!(std::mem::size_of::<Scanner>() == 24);

/// How far [`Scanner::advance`] came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Advance {
    /// Bytes from the start of the piece that were judged and may be passed on.
    pub pass: usize,
    /// Data messages that ended within them.
    pub messages: u32,
    pub stop: Stop,
}

/// Why it came no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The piece is used up.
    End,
    /// A data message ended ([`Rules::each_message`]).
    Message,
    /// The bytes behind `pass` are the start of something that cannot be judged yet.
    Held,
    /// A Close begins behind `pass`; `code` is 0 when it has none. The next advance passes it on.
    Close { code: u16 },
    /// A whole Pong of the edge's size: `size` bytes behind `pass`, its payload in the last
    /// [`PING_PAYLOAD_BYTES`]. The next advance must start behind it.
    Pong { size: usize, mask: Option<[u8; 4]> },
    /// The frame that begins behind `pass` breaks a rule. Nothing behind can be trusted.
    Violation(Violation),
}

/// Which rule of RFC 6455 5, or which limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Violation {
    ReservedBits,
    ReservedOpcode,
    ControlFragmented,
    ControlTooLong,
    NotMasked,
    Masked,
    LengthForm,
    LengthOverflow,
    ContinuationWithoutStart,
    MessageInterrupted,
    CloseCode,
    FrameTooBig,
    MessageTooBig,
}

impl Violation {
    /// The reason text of the Close frame, and the log's detail.
    pub fn reason(self) -> &'static str {
        match self {
            Violation::ReservedBits => "reserved bits without an agreed extension",
            Violation::ReservedOpcode => "reserved opcode",
            Violation::ControlFragmented => "fragmented control frame",
            Violation::ControlTooLong => "control frame longer than 125 bytes",
            Violation::NotMasked => "client frame is not masked",
            Violation::Masked => "server frame is masked",
            Violation::LengthForm => "length is not in its shortest form",
            Violation::LengthOverflow => "length of 2^63 or more",
            Violation::ContinuationWithoutStart => "continuation without a message",
            Violation::MessageInterrupted => "new message inside a fragmented one",
            Violation::CloseCode => "invalid close code",
            Violation::FrameTooBig => "frame larger than allowed",
            Violation::MessageTooBig => "message larger than allowed",
        }
    }

    /// The close code that its sender gets (RFC 6455 7.4.1).
    pub fn close_code(self) -> u16 {
        match self {
            Violation::FrameTooBig | Violation::MessageTooBig => close::TOO_BIG,
            _ => close::PROTOCOL_ERROR,
        }
    }
}

impl Scanner {
    /// Whether a frame of another origin may stand here: between frames, be it inside a fragmented
    /// message (RFC 6455 5.4 allows control frames there).
    #[inline]
    pub fn at_boundary(&self) -> bool {
        self.remaining == 0
    }

    /// Bytes that are left of the current frame.
    pub fn bytes_to_boundary(&self) -> u64 {
        self.remaining
    }

    /// Opcode and payload bytes (`u32::MAX`: so many or more) of the last frame that began.
    pub fn last_frame(&self) -> Option<(Opcode, u32)> {
        self.last.map(|opcode| (opcode, self.last_payload))
    }

    /// Judges `bytes`, which begin where the last call's `pass` ended, held bytes again included.
    ///
    /// `own_pong`: stop at a Pong that has the size of the edge's own Ping. After any [`Stop`] but
    /// `End` and `Held` call again with the rest (not after a violation).
    #[inline]
    pub fn advance(&mut self, bytes: &[u8], rules: &Rules, own_pong: bool) -> Advance {
        let (mut at, mut messages) = (0, 0);
        let stop = loop {
            let left = (bytes.len() - at) as u64;
            if self.remaining > 0 {
                let taken = self.remaining.min(left);
                self.remaining -= taken;
                at += taken as usize;
                if self.remaining > 0 {
                    break Stop::End;
                }
                messages += u32::from(std::mem::take(&mut self.ends_message));
                if messages > 0 && rules.each_message {
                    break Stop::Message;
                }
            }
            let rest = &bytes[at..];
            if rest.is_empty() {
                break Stop::End;
            }
            let judged = match Header::parse(rest) {
                Ok(Some(header)) => self.judge(&header, rules).map(|()| header),
                Ok(None) => match self.judge_start(rest, rules) {
                    Ok(()) => break Stop::Held,
                    Err(violation) => Err(violation),
                },
                Err(HeaderError::LengthOverflow) => {
                    self.judge_start(rest, rules).and(Err(Violation::LengthOverflow))
                }
            };
            let header = match judged {
                Ok(header) => header,
                Err(violation) => break Stop::Violation(violation),
            };
            match self.control_stop(&header, rest, rules, own_pong) {
                Some(stop @ Stop::Close { .. }) => {
                    self.enter(&header);
                    // The header goes with the next advance's `pass`; `remaining` must cover it
                    // too.
                    self.remaining += header.size as u64;
                    break stop;
                }
                Some(stop) => {
                    if matches!(stop, Stop::Pong { .. }) {
                        self.note(&header);
                    }
                    break stop;
                }
                None => {}
            }
            self.enter(&header);
            at += header.size;
            if self.remaining == 0 {
                messages += u32::from(std::mem::take(&mut self.ends_message));
                if messages > 0 && rules.each_message {
                    break Stop::Message;
                }
            }
        };
        Advance { pass: at, messages, stop }
    }

    fn judge(&self, header: &Header, rules: &Rules) -> Result<(), Violation> {
        let control = header.opcode.is_control();
        if rules.strict {
            self.judge_bits(header.fin, header.reserved, header.opcode, rules)?;
            // RFC 6455 5.1, 5.5, 5.2
            match header {
                _ if header.mask.is_some() != rules.masked => return Err(mask_violation(rules)),
                _ if control && header.payload > CONTROL_PAYLOAD_MAX as u64 => {
                    return Err(Violation::ControlTooLong);
                }
                _ if header.long_form => return Err(Violation::LengthForm),
                _ => {}
            }
        }
        if control {
            return Ok(());
        }
        if header.payload > rules.max_frame {
            return Err(Violation::FrameTooBig);
        }
        let before = if header.opcode == Opcode::Continuation { self.message } else { 0 };
        match before.checked_add(header.payload) {
            Some(total) if total <= rules.max_message => Ok(()),
            _ => Err(Violation::MessageTooBig),
        }
    }

    /// Judges a header of which bytes are missing by its first two, so that garbage is not waited
    /// for and the verdict does not depend on how the bytes were split.
    fn judge_start(&self, rest: &[u8], rules: &Rules) -> Result<(), Violation> {
        let (true, &[first, ref more @ ..]) = (rules.strict, rest) else { return Ok(()) };
        let opcode = Opcode::from_bits(first & 0x0f);
        self.judge_bits(first & 0x80 != 0, first & 0x70, opcode, rules)?;
        match more.first() {
            Some(second) if (second & 0x80 != 0) != rules.masked => Err(mask_violation(rules)),
            _ => Ok(()),
        }
    }

    /// The rules that the first byte alone can break.
    fn judge_bits(
        &self,
        fin: bool,
        reserved: u8,
        opcode: Opcode,
        rules: &Rules,
    ) -> Result<(), Violation> {
        // RFC 7692 7.2.3.1: permessage-deflate sets RSV1 on the first frame of a message only.
        let allowed = match (rules.reserved_allowed, opcode) {
            (0x40, Opcode::Text | Opcode::Binary) => 0x40,
            (0x40, _) => 0,
            (bits, _) => bits,
        };
        // RFC 6455 5.2, 5.5, 5.4
        let broken = match opcode {
            _ if reserved & !allowed != 0 => Violation::ReservedBits,
            Opcode::Reserved(_) => Violation::ReservedOpcode,
            Opcode::Close | Opcode::Ping | Opcode::Pong if !fin => Violation::ControlFragmented,
            Opcode::Continuation if !self.fragmented => Violation::ContinuationWithoutStart,
            Opcode::Text | Opcode::Binary if self.fragmented => Violation::MessageInterrupted,
            _ => return Ok(()),
        };
        Err(broken)
    }

    /// The stop that a control frame asks for, its header being sound.
    fn control_stop(
        &self,
        header: &Header,
        rest: &[u8],
        rules: &Rules,
        own_pong: bool,
    ) -> Option<Stop> {
        match header.opcode {
            Opcode::Close => Some(close_stop(header, rest, rules)),
            Opcode::Pong
                // A long form (possible only when not strict) would not fit the held bytes.
                if own_pong
                    && header.payload == PING_PAYLOAD_BYTES as u64
                    && !header.long_form =>
            {
                let size = header.size + PING_PAYLOAD_BYTES;
                match rest.len() >= size {
                    true => Some(Stop::Pong { size, mask: header.mask }),
                    false => Some(Stop::Held),
                }
            }
            _ => None,
        }
    }

    fn note(&mut self, header: &Header) {
        self.last = Some(header.opcode);
        self.last_payload = u32::try_from(header.payload).unwrap_or(u32::MAX);
    }

    fn enter(&mut self, header: &Header) {
        self.note(header);
        self.remaining = header.payload;
        if header.opcode.is_control() {
            return;
        }
        let before = if header.opcode == Opcode::Continuation { self.message } else { 0 };
        self.fragmented = !header.fin;
        self.ends_message = header.fin;
        self.message = if header.fin { 0 } else { before + header.payload };
    }
}

fn mask_violation(rules: &Rules) -> Violation {
    if rules.masked { Violation::NotMasked } else { Violation::Masked }
}

/// A Close is judged with its code (RFC 6455 5.5.1, 7.4), so the two bytes of it are waited for.
fn close_stop(header: &Header, rest: &[u8], rules: &Rules) -> Stop {
    let code = match header.payload {
        0 => return Stop::Close { code: 0 },
        1 if rules.strict => return Stop::Violation(Violation::CloseCode),
        1 => return Stop::Close { code: 0 },
        _ => match rest[header.size..].first_chunk::<2>() {
            None => return Stop::Held,
            Some(&bytes) => {
                let key = header.mask.unwrap_or_default();
                u16::from_be_bytes([bytes[0] ^ key[0], bytes[1] ^ key[1]])
            }
        },
    };
    match close::is_sendable(code) || !rules.strict {
        true => Stop::Close { code },
        false => Stop::Violation(Violation::CloseCode),
    }
}

#[cfg(test)]
#[path = "scan_tests.rs"]
mod tests;
