//! Answers to plain GETs on a connection that is kept open, in any pieces; their bodies are checked
//! where it is known what they hold. Not here: the requests' times.

use super::trouble::Trouble;
use crate::pattern;
use crate::ws::field;

const HEAD_MAX: usize = 16 * 1024;

/// What the next body has to be.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Body {
    /// Of that length, and of the pattern's bytes.
    Pattern(usize),
    /// Whatever it is.
    Any,
}

/// A plain GET, and what its answer has to be.
pub struct Request {
    pub bytes: Vec<u8>,
    pub body: Body,
}

#[derive(Default)]
pub struct Answer {
    head: Vec<u8>,
    body: Option<Length>,
}

struct Length {
    all: u64,
    got: u64,
    closes: bool,
}

/// What some bytes brought.
#[derive(Default, Debug, PartialEq, Eq)]
pub struct Took {
    pub complete: bool,
    pub body_bytes: u64,
    pub wrong_bytes: u64,
    /// The server is going to end the connection.
    pub closes: bool,
}

impl Answer {
    /// Bytes of the answer that is awaited.
    ///
    /// # Errors
    /// A status other than 200, or what is no answer to a GET.
    pub fn feed(&mut self, mut bytes: &[u8], expected: Body) -> Result<Took, Trouble> {
        let mut took = Took::default();
        if self.body.is_none() {
            let held = self.head.len();
            self.head.extend_from_slice(bytes);
            let Some(end) = self.head.windows(4).position(|w| w == b"\r\n\r\n") else {
                return match self.head.len() > HEAD_MAX {
                    true => Err(Trouble::Answer(format!("a head of more than {HEAD_MAX} bytes"))),
                    false => Ok(took),
                };
            };
            let head = String::from_utf8_lossy(&self.head[..end]).into_owned();
            let all = content_length(&head)?;
            let closes =
                field(&head, "connection").is_some_and(|v| v.eq_ignore_ascii_case("close"));
            bytes = &bytes[end + 4 - held..];
            self.head = Vec::new();
            self.body = Some(Length { all, got: 0, closes });
            if let Body::Pattern(len) = expected {
                took.wrong_bytes += all.abs_diff(len as u64);
            }
        }
        let Some(body) = &mut self.body else { return Ok(took) };
        if bytes.len() as u64 > body.all - body.got {
            return Err(Trouble::Answer("more bytes than Content-Length says".into()));
        }
        if matches!(expected, Body::Pattern(_)) {
            took.wrong_bytes += pattern::wrong_bytes(0, body.got as usize, bytes);
        }
        body.got += bytes.len() as u64;
        took.body_bytes = bytes.len() as u64;
        took.complete = body.got == body.all;
        took.closes = body.closes;
        if took.complete {
            self.body = None;
        }
        Ok(took)
    }
}

fn content_length(head: &str) -> Result<u64, Trouble> {
    let first = head.lines().next().unwrap_or_default();
    let status: Option<u16> =
        first.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
    match status {
        Some(200) => {}
        Some(status) => return Err(Trouble::Status(status)),
        None => return Err(Trouble::Answer(first.chars().take(80).collect())),
    }
    let length = field(head, "content-length").and_then(|value| value.parse().ok());
    length.ok_or_else(|| Trouble::Answer("a body without Content-Length".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_taken_in_pieces_one_after_the_other() {
        let mut bytes = b"HTTP/1.1 200 OK\r\nX: y\r\ncontent-LENGTH: 300\r\n\r\n".to_vec();
        pattern::append(0, 0, 300, &mut bytes);
        let mut answer = Answer::default();
        for cut in [1, 10, 46, 47, 48, 100] {
            let (first, second) = bytes.split_at(cut);
            let body = Body::Pattern(300);
            assert!(!answer.feed(first, body).expect("right so far").complete);
            let took = answer.feed(second, body).expect("right to the end");
            assert!(took.complete && took.wrong_bytes == 0, "cut at {cut}: {took:?}");
        }
        bytes[100] ^= 1;
        let took = answer.feed(&bytes, Body::Pattern(301)).expect("only its bytes are wrong");
        assert_eq!(took, Took { complete: true, body_bytes: 300, wrong_bytes: 2, closes: false });
    }

    #[test]
    fn other_answers_are_named() {
        for (bytes, kind) in [
            ("HTTP/1.1 503 Busy\r\n\r\n", "status-503"),
            ("SSH-2.0-x\r\n\r\n", "bad-answer"),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "bad-answer"),
            ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nxy", "bad-answer"),
        ] {
            let trouble = Answer::default().feed(bytes.as_bytes(), Body::Any).expect_err(bytes);
            assert_eq!(trouble.kind(), kind);
        }
    }
}
