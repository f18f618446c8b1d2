//! What the fuzz targets run (`fuzz/`): any bytes in, and a panic where a promise of this folder
//! does not hold. The corpora under `fuzz/corpus` are replayed here by `cargo test`.

use super::h1::chunked::{self, Decoder, Step};
use super::h1::rewrite::{self, Coding, ForwardUpgrade, Peer, ToClient, ToOrigin};
use super::h1::{
    AnswerTo, BodyLength, HeadError, HeadErrorKind, HeadScanner, Persistence, RequestHead,
    ResponseHead, Scheme, Upgrade, Version, parse_request, parse_response,
};
use super::proxy_protocol::{self, Accepted, Decoded};
use super::ws::scan::{Rules, Scanner, Stop, Violation};
use crate::limits::{HELD_BYTES_MAX, PROXY_V2_BYTES_MAX};

/// A head is found at the same place however it comes, and what is written of it means what was
/// read.
pub fn head(data: &[u8]) {
    if let Some(end) = found(data, HeadScanner::request)
        && let Ok(request) = parse_request(&data[..end], Scheme::Http)
    {
        request_means_the_same(&request);
    }
    if let Some(end) = found(data, HeadScanner::response) {
        for to in [AnswerTo::Other, AnswerTo::Head, AnswerTo::WebSocket] {
            if let Ok(answer) = parse_response(&data[..end], to) {
                answer_means_the_same(&answer, to);
            }
        }
    }
}

/// A chunked body is the same however it comes, and what is written of it reads back.
pub fn chunked(data: &[u8]) {
    let whole = Body::read(data, usize::MAX);
    for piece in [1, 2, 3, 7] {
        assert_eq!(Body::read(data, piece), whole, "in pieces of {piece}");
    }
    let Ok(body) = whole else { return };
    let mut again = Vec::new();
    for data in body.data.chunks(11) {
        chunked::write_chunk_head(&mut again, data.len());
        again.extend_from_slice(data);
        again.extend_from_slice(chunked::CHUNK_END);
    }
    chunked::write_end(&mut again, &body.trailers);
    let trailers = body.trailers.clone();
    let end = body.end.map(|_| again.len());
    if end.is_some() {
        assert_eq!(Body::read(&again, usize::MAX), Ok(Body { data: body.data, trailers, end }));
    }
}

/// Frames are judged the same however they come, nothing of a frame passes before its header was
/// judged, and no more is held back than the table's entry has room for.
pub fn frame(data: &[u8]) {
    let Some((&bits, stream)) = data.split_first() else { return };
    let rules = Rules {
        masked: bits & 1 != 0,
        reserved_allowed: [0, 0x40, 0x70, 0][usize::from(bits >> 1 & 3)],
        strict: bits & 8 != 0,
        max_frame: if bits & 16 != 0 { 20 } else { u64::MAX >> 1 },
        max_message: if bits & 32 != 0 { 40 } else { u64::MAX >> 1 },
        each_message: bits & 128 != 0,
    };
    let own_pong = bits & 64 != 0;
    let whole = Frames::read(stream, usize::MAX, &rules, own_pong);
    for piece in [1, 2, 3, 7] {
        assert_eq!(Frames::read(stream, piece, &rules, own_pong), whole, "in pieces of {piece}");
    }
}

/// A header is never longer than its bound, and comes out the same however it comes.
pub fn proxy_header(data: &[u8]) {
    for accepted in [Accepted::V1, Accepted::V2, Accepted::Any] {
        let whole = proxy_protocol::decode(data, accepted);
        match whole {
            Ok(Decoded::Complete { len, .. }) => {
                assert!(len <= data.len() && len <= PROXY_V2_BYTES_MAX);
                assert_eq!(proxy_protocol::decode(&data[..len], accepted), whole);
                let before = proxy_protocol::decode(&data[..len - 1], accepted);
                assert_eq!(before, Ok(Decoded::Partial));
            }
            Ok(Decoded::Partial) => assert!(data.len() < PROXY_V2_BYTES_MAX),
            Err(_) => {}
        }
    }
}

fn found(data: &[u8], scanner: impl Fn() -> HeadScanner) -> Option<usize> {
    let whole = scanner().find(data);
    let mut bytewise = scanner();
    let last = (0..=data.len()).map(|len| bytewise.find(&data[..len])).find(|v| *v != Ok(None));
    assert_eq!(last.unwrap_or(Ok(None)), whole);
    whole.ok().flatten()
}

fn request_means_the_same(request: &RequestHead<'_>) {
    for websocket in [ForwardUpgrade::Yes, ForwardUpgrade::No] {
        for peer in [Peer::Trusted, Peer::Untrusted] {
            let id = rewrite::request_id(request, peer, 7);
            let edge = ToOrigin {
                client: [192, 0, 2, 1].into(),
                scheme: Scheme::Http,
                peer,
                node: "edge",
                request_id: &id,
                host: None,
                certificate: None,
                websocket,
            };
            let mut out = Vec::new();
            let to = rewrite::write_request(&mut out, request, &edge);
            let Some(again) =
                reparsed(&out, HeadScanner::request(), |head| parse_request(head, Scheme::Http))
            else {
                continue;
            };
            assert_eq!(again.method, request.method);
            assert_eq!(again.target, request.target);
            assert_eq!(again.host, request.host);
            assert_eq!(again.expect, request.expect);
            if to == AnswerTo::WebSocket {
                assert_eq!(again.upgrade, request.upgrade);
                assert_eq!(again.body, BodyLength::None);
            } else {
                assert_eq!(again.upgrade, Upgrade::None);
                assert_eq!(again.body, request.body);
                assert_eq!(again.persistence, Persistence::KeepAlive);
            }
        }
    }
}

fn answer_means_the_same(answer: &ResponseHead<'_>, to: AnswerTo) {
    if answer.status < 200 {
        return;
    }
    for version in [Version::Http10, Version::Http11] {
        let client = ToClient {
            version,
            persistence: Persistence::KeepAlive,
            to,
            node: "edge",
            request_id: "7",
            date: None,
        };
        let mut out = Vec::new();
        let announced = rewrite::write_response(&mut out, answer, &client);
        let Some(again) = reparsed(&out, HeadScanner::response(), |head| parse_response(head, to))
        else {
            continue;
        };
        assert_eq!(again.status, answer.status);
        let expected = match (answer.body, announced.body) {
            (BodyLength::None, Coding::Identity) => BodyLength::None,
            (BodyLength::Exact(len), Coding::Identity) => BodyLength::Exact(len),
            (BodyLength::Chunked | BodyLength::UntilClose, Coding::Chunked) => BodyLength::Chunked,
            (BodyLength::Chunked | BodyLength::UntilClose, Coding::Identity) => {
                assert_eq!((announced.persistence, version), (Persistence::Close, Version::Http10));
                BodyLength::UntilClose
            }
            wrong => panic!("{wrong:?}"),
        };
        assert_eq!(again.body, expected);
        assert_eq!(again.persistence, announced.persistence);
    }
}

/// What was written, read again; `None` only when the fields of the edge made it too large.
fn reparsed<'a, T>(
    out: &'a [u8],
    mut scanner: HeadScanner,
    parse: impl Fn(&'a [u8]) -> Result<T, HeadError>,
) -> Option<T> {
    let end = match scanner.find(out) {
        Ok(end) => end,
        Err(e) if e.kind == HeadErrorKind::TooLarge => return None,
        Err(e) => panic!("{e}: {}", out.escape_ascii()),
    };
    assert_eq!(end, Some(out.len()), "{}", out.escape_ascii());
    match parse(out) {
        Ok(head) => Some(head),
        Err(e) if e.kind == HeadErrorKind::TooLarge => None,
        Err(e) => panic!("{e}: {}", out.escape_ascii()),
    }
}

/// What a stream of frames came to.
#[derive(Debug, Default, PartialEq, Eq)]
struct Frames {
    passed: Vec<u8>,
    messages: u64,
    closes: Vec<u16>,
    pongs: u64,
    violation: Option<Violation>,
    bytes_to_boundary: u64,
}

impl Frames {
    /// `stream` through the scanner, at most `piece` bytes at a time.
    fn read(stream: &[u8], piece: usize, rules: &Rules, own_pong: bool) -> Frames {
        let (mut scanner, mut frames) = (Scanner::default(), Frames::default());
        let mut held = Vec::new();
        for given in stream.chunks(piece.min(stream.len()).max(1)) {
            let piece = [held.as_slice(), given].concat();
            let mut rest = piece.as_slice();
            held = loop {
                let advance = scanner.advance(rest, rules, own_pong);
                let (passed, behind) = rest.split_at(advance.pass);
                frames.passed.extend_from_slice(passed);
                frames.messages += u64::from(advance.messages);
                rest = behind;
                match advance.stop {
                    Stop::End => break Vec::new(),
                    Stop::Message => {}
                    Stop::Held => break rest.to_vec(),
                    Stop::Close { code } => frames.closes.push(code),
                    Stop::Pong { size, .. } => {
                        frames.pongs += 1;
                        rest = &rest[size..];
                    }
                    Stop::Violation(violation) => {
                        frames.violation = Some(violation);
                        return frames;
                    }
                }
            };
            assert!(held.len() <= HELD_BYTES_MAX, "{} bytes are held", held.len());
        }
        frames.bytes_to_boundary = scanner.bytes_to_boundary();
        frames
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Body {
    data: Vec<u8>,
    trailers: Vec<u8>,
    /// Bytes consumed, when the body ended.
    end: Option<usize>,
}

impl Body {
    /// `input` through the decoder, at most `piece` bytes at a time.
    fn read(input: &[u8], piece: usize) -> Result<Body, HeadError> {
        let mut decoder = Decoder::new();
        let mut data = Vec::new();
        let mut at = 0;
        while at < input.len() {
            let given = &input[at..input.len().min(at.saturating_add(piece))];
            match decoder.step(given)? {
                Step::Data(range) => {
                    assert!(!range.is_empty());
                    data.extend_from_slice(&given[range.clone()]);
                    at += range.end;
                }
                Step::More => at += given.len(),
                Step::End { consumed } => {
                    let end = Some(at + consumed);
                    return Ok(Body { data, trailers: decoder.trailers().to_vec(), end });
                }
            }
        }
        Ok(Body { data, trailers: Vec::new(), end: None })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn replay(target: &str, run: impl Fn(&[u8])) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
        let inputs = std::fs::read_dir(&folder).expect("the corpus is committed");
        let mut count = 0;
        for input in inputs {
            run(&std::fs::read(input.unwrap().path()).unwrap());
            count += 1;
        }
        assert!(count >= 10, "{count} inputs in {}", folder.display());
    }

    #[test]
    fn corpus_of_head() {
        replay("head", head);
    }

    #[test]
    fn corpus_of_chunked() {
        replay("chunked", chunked);
    }

    #[test]
    fn corpus_of_frame() {
        replay("frame", frame);
    }

    #[test]
    fn corpus_of_proxy_header() {
        replay("proxy_header", proxy_header);
    }
}
