//! The chunked transfer coding (RFC 9112 7.1): an incremental decoder that never copies body bytes, and the encoder's
//! framing.

use std::ops::Range;

use super::head::HeadError;

/// Walks over a chunked body. Every byte given is consumed by the step that is returned for it, so the caller never keeps
/// a rest: it reads into a fresh buffer each time.
#[derive(Debug)]
pub struct Decoder {}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// `input[range]` is body; call again with `input[range.end..]`.
    Data(Range<usize>),
    /// All of `input` was framing: read more.
    More,
    /// The body and its trailers are over; `input[consumed..]` belongs to the next message.
    End { consumed: usize },
}

impl Decoder {
    pub fn new() -> Decoder {
        Decoder {}
    }

    /// Not to be called again after [`Step::End`] or an error.
    pub fn step(&mut self, _input: &[u8]) -> Result<Step, HeadError> {
        unimplemented!()
    }

    /// After [`Step::End`]: the trailer section to pass on, without fields that RFC 9110 6.5.1 forbids there; each line
    /// with its CRLF, without the final empty line. Mostly empty.
    pub fn trailers(&self) -> &[u8] {
        unimplemented!()
    }
}

/// Writes the line before `len` > 0 bytes of body; behind them goes [`CHUNK_END`].
pub fn write_chunk_head(_out: &mut Vec<u8>, _len: usize) {
    unimplemented!()
}

pub const CHUNK_END: &[u8] = b"\r\n";

/// Writes the end of the body: last chunk, `trailers` (from [`Decoder::trailers`] or empty), empty line.
pub fn write_end(_out: &mut Vec<u8>, _trailers: &[u8]) {
    unimplemented!()
}
