//! The chunked transfer coding (RFC 9112 7.1): an incremental decoder that never copies body bytes,
//! and the encoder's framing.

use std::ops::Range;

use super::framing::LENGTH_MAX;
use super::head::{self, HeadError, HeadErrorKind, bad, error};
use super::{fields, rewrite};
use crate::limits::{CHUNK_LINE_BYTES_MAX, TRAILER_BYTES_MAX};

/// Walks over a chunked body. Every byte given is consumed by the step that is returned for it, so
/// the caller never keeps a rest: it reads into a fresh buffer each time.
#[derive(Debug)]
pub struct Decoder {
    at: At,
    /// Of the chunk that is being announced or walked over.
    left: u64,
    /// Bytes of the current chunk-size line.
    line: usize,
    /// The trailer section as it came, then what may be passed on of it. Allocates only when there
    /// is one.
    trailers: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// In the chunk size, behind so many digits.
    Size(u8),
    Extension(Quotes),
    /// Behind the CR of a chunk-size line.
    SizeCr,
    Data,
    /// Behind the last byte of a chunk's data.
    DataEnd,
    DataCr,
    TrailerStart,
    Trailer,
    /// Behind the CR of a trailer line.
    TrailerCr,
    /// Behind the CR of the empty line.
    EndCr,
    End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Quotes {
    Outside,
    Inside,
    /// Behind a backslash inside.
    Escaped,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// `input[range]` is body; call again with `input[range.end..]`.
    Data(Range<usize>),
    /// All of `input` was framing: read more.
    More,
    /// The body and its trailers are over; `input[consumed..]` belongs to the next message.
    End { consumed: usize },
}

impl Default for Decoder {
    fn default() -> Decoder {
        Decoder { at: At::Size(0), left: 0, line: 0, trailers: Vec::new() }
    }
}

impl Decoder {
    pub fn new() -> Decoder {
        Decoder::default()
    }

    /// Not to be called again after [`Step::End`] or an error.
    pub fn step(&mut self, input: &[u8]) -> Result<Step, HeadError> {
        for (i, byte) in input.iter().enumerate() {
            if self.at == At::Data {
                let here = input.len() - i;
                let taken = usize::try_from(self.left).map_or(here, |left| left.min(here));
                self.left -= taken as u64;
                if self.left == 0 {
                    self.at = At::DataEnd;
                }
                return Ok(Step::Data(i..i + taken));
            }
            self.at = self.behind(*byte)?;
            if self.at == At::End {
                self.trailers = allowed_trailers(&self.trailers)?;
                return Ok(Step::End { consumed: i + 1 });
            }
        }
        Ok(Step::More)
    }

    /// After [`Step::End`]: the trailer section to pass on, without the fields that RFC 9110 6.5.1
    /// forbids there; each line with its CRLF, without the final empty line. Mostly empty.
    pub fn trailers(&self) -> &[u8] {
        &self.trailers
    }

    /// Where the body stands behind a byte that is not data.
    fn behind(&mut self, byte: u8) -> Result<At, HeadError> {
        match self.at {
            At::Size(_) | At::Extension(_) | At::SizeCr => self.behind_size_line(byte),
            At::Data | At::DataEnd | At::DataCr => match (self.at, byte) {
                (At::DataEnd, b'\r') => Ok(At::DataCr),
                (At::DataCr, b'\n') => {
                    self.line = 0;
                    Ok(At::Size(0))
                }
                _ => Err(bad("the data of a chunk does not end in CRLF")),
            },
            At::TrailerStart | At::Trailer | At::TrailerCr | At::EndCr | At::End => {
                self.behind_trailer(byte)
            }
        }
    }

    /// RFC 9112 7.1: chunk-size [ chunk-ext ] CRLF. The white space that 7.1.1 calls bad is refused
    /// where it stands before an extension: some take it for the end of the number, some for part
    /// of it.
    fn behind_size_line(&mut self, byte: u8) -> Result<At, HeadError> {
        const EXTENSION: HeadError = bad("a chunk extension is malformed");
        self.line += 1;
        if self.line > CHUNK_LINE_BYTES_MAX {
            return Err(bad("a chunk-size line is too long"));
        }
        match (self.at, byte) {
            (At::Size(digits), b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                if digits == 16 {
                    return Err(bad("a chunk size has more than 16 digits"));
                }
                self.left = self.left << 4 | u64::from(hex(byte));
                Ok(At::Size(digits + 1))
            }
            (At::Size(1..), b'\r') => Ok(At::SizeCr),
            (At::Size(1..), b';') => Ok(At::Extension(Quotes::Outside)),
            (At::Size(_), _) => Err(bad("a chunk size is not hexadecimal")),
            (At::Extension(Quotes::Outside), b'\r') => Ok(At::SizeCr),
            (At::Extension(_), 0..=8 | 10..=31 | 127) => Err(EXTENSION),
            (At::Extension(quotes), byte) => Ok(At::Extension(match (quotes, byte) {
                (Quotes::Outside, b'"') | (Quotes::Escaped, _) => Quotes::Inside,
                (Quotes::Inside, b'"') => Quotes::Outside,
                (Quotes::Inside, b'\\') => Quotes::Escaped,
                (same, _) => same,
            })),
            (At::SizeCr, b'\n') if self.left > LENGTH_MAX => Err(bad("a chunk is too large")),
            (At::SizeCr, b'\n') if self.left == 0 => Ok(At::TrailerStart),
            (At::SizeCr, b'\n') => Ok(At::Data),
            _ => Err(bad("a chunk-size line does not end in CRLF")),
        }
    }

    /// RFC 9112 7.1.2: field lines, then an empty one.
    fn behind_trailer(&mut self, byte: u8) -> Result<At, HeadError> {
        if self.trailers.len() == TRAILER_BYTES_MAX {
            return Err(error(HeadErrorKind::TooLarge, "the trailer section is too large"));
        }
        let next = match (self.at, byte) {
            (At::TrailerStart, b'\r') => At::EndCr,
            (At::EndCr, b'\n') => At::End,
            (At::Trailer, b'\r') => At::TrailerCr,
            (At::TrailerCr, b'\n') => At::TrailerStart,
            (At::EndCr | At::TrailerCr, _) => return Err(bad("a CR without LF in a trailer")),
            (_, 0..=8 | 10..=31 | 127) => return Err(bad("a control byte in a trailer")),
            _ => At::Trailer,
        };
        let no_fields = self.trailers.is_empty() && matches!(next, At::EndCr | At::End);
        if !no_fields {
            self.trailers.push(byte);
        }
        Ok(next)
    }
}

fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        letter => (letter | 0x20) - b'a' + 10,
    }
}

fn allowed_trailers(section: &[u8]) -> Result<Vec<u8>, HeadError> {
    let mut kept = Vec::new();
    if !section.is_empty() {
        for field in head::parse_trailers(section)? {
            if fields::may_trail(field.name) {
                rewrite::write_field(&mut kept, field.name, field.value);
            }
        }
    }
    Ok(kept)
}

/// Writes the line before `len` > 0 bytes of body; behind them goes [`CHUNK_END`].
pub fn write_chunk_head(out: &mut Vec<u8>, len: usize) {
    debug_assert!(len > 0, "an empty chunk is the end of the body");
    let digits = (usize::BITS - len.leading_zeros()).div_ceil(4).max(1);
    for i in (0..digits).rev() {
        out.push(b"0123456789abcdef"[len >> (4 * i) & 15]);
    }
    out.extend_from_slice(b"\r\n");
}

pub const CHUNK_END: &[u8] = b"\r\n";

/// Writes the end of the body: last chunk, `trailers` (from [`Decoder::trailers`] or empty), empty
/// line.
pub fn write_end(out: &mut Vec<u8>, trailers: &[u8]) {
    out.extend_from_slice(b"0\r\n");
    out.extend_from_slice(trailers);
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests;
