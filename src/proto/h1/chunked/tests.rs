//! Tables of RFC 9112 7.1, and that neither pieces nor re-encoding change a body.

use proptest::prelude::*;

use super::*;

/// Everything that was read, where it ended, and the trailers.
fn read(input: &[u8]) -> Result<(Vec<u8>, Option<usize>, String), HeadError> {
    let (mut decoder, mut data, mut at) = (Decoder::new(), Vec::new(), 0);
    loop {
        match decoder.step(&input[at..])? {
            Step::Data(range) => {
                data.extend_from_slice(&input[at..][range.clone()]);
                at += range.end;
            }
            Step::More => return Ok((data, None, String::new())),
            Step::End { consumed } => {
                let trailers = String::from_utf8(decoder.trailers().to_vec()).unwrap();
                return Ok((data, Some(at + consumed), trailers));
            }
        }
    }
}

#[test]
fn sound_rfc9112_7_1() {
    for (input, body, rest) in [
        ("0\r\n\r\n", "", ""),
        ("5\r\nhello\r\n0\r\n\r\n", "hello", ""),
        ("5\r\nhello\r\n6\r\n world\r\n0\r\n\r\nGET /", "hello world", "GET /"),
        ("a\r\n0123456789\r\n0\r\n\r\n", "0123456789", ""),
        ("A\r\n0123456789\r\n0\r\n\r\n", "0123456789", ""),
        ("0000000000000005\r\nhello\r\n0000000000000000\r\n\r\n", "hello", ""),
        ("2\r\n\r\n\r\n0\r\n\r\n", "\r\n", ""),
        ("5;a\r\nhello\r\n0;b=c\r\n\r\n", "hello", ""),
        ("5;a=\"b;c\\\"\";d\r\nhello\r\n0\r\n\r\n", "hello", ""),
        ("5; a\r\nhello\r\n0\r\n\r\n", "hello", ""),
    ] {
        let (data, end, trailers) = read(input.as_bytes()).unwrap();
        assert_eq!(data, body.as_bytes(), "{input:?}");
        assert_eq!(&input[end.unwrap()..], rest, "{input:?}");
        assert_eq!(trailers, "", "{input:?}");
    }
}

#[test]
fn malformed_rfc9112_7_1() {
    for input in [
        // Sizes.
        "\r\n",
        ";a\r\n",
        " 5\r\n",
        "5 \r\n",
        "5\t\r\n",
        "5 ;a\r\n",
        "0x5\r\n",
        "x5\r\n",
        "+5\r\n",
        "-5\r\n",
        "5h\r\n",
        "5_0\r\n",
        "5,\r\n",
        "5.0\r\n",
        "\"5\"\r\n",
        "g\r\n",
        "\u{665}\r\n",
        "00000000000000005\r\n",
        "ffffffffffffffff\r\n",
        "8000000000000000\r\n",
        "10000000000000000\r\n",
        "10000000000000005\r\n",
        // Line ends.
        "5\n",
        "5\r\r\n",
        "5\n\r\n",
        "0\n\r\n",
        "5;a\n",
        "5;a\r\r\n",
        "5\x0b\r\n",
        "5\x0c\r\n",
        "5\0\r\n",
        // Extensions.
        "5;a=\"b\r\n",
        "5;a=\"\r\n\"\r\n",
        "5;\0\r\n",
        "5;a=\x7f\r\n",
        "5;a=\"\\\r\n",
        // The end of data.
        "5\r\nhello\n0\r\n\r\n",
        "5\r\nhello0\r\n\r\n",
        "5\r\nhello\r0\r\n",
        "5\r\nhello!\r\n0\r\n\r\n",
        "5\r\nhello \r\n",
        "5\r\nhell\r\n0\r\n\r\n",
        "5\r\nhello\r\n\r\n0\r\n\r\n",
        // Trailers.
        "0\r\n\n",
        "0\r\n\r\r\n",
        "0\r\nX: a\n\r\n",
        "0\r\nX: a\r\r\n\r\n",
        "0\r\nX: a\rb\r\n\r\n",
        "0\r\nX: \0\r\n\r\n",
        "0\r\nX: a\r\n b\r\n\r\n",
        "0\r\n X: a\r\n\r\n",
        "0\r\nX : a\r\n\r\n",
        "0\r\n: a\r\n\r\n",
        "0\r\nX\r\n\r\n",
        "0\r\nGET / HTTP/1.1\r\n\r\n",
    ] {
        // By its own bytes: what comes behind it must not be what gives it away.
        assert!(read(input.as_bytes()).is_err(), "{input:?}");
    }
}

#[test]
fn largest_chunk_is_believed_and_bounded() {
    let (data, end, _) = read(b"7fffffffffffffff\r\nhello").unwrap();
    assert_eq!((data.as_slice(), end), (b"hello".as_slice(), None));
}

#[test]
fn trailers_rfc9110_6_5_1() {
    let section = "X-Sum: 1\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\nHost: b\r\n\
        Cookie: a\r\n\
        Authorization: a\r\nX-Forwarded-For: a\r\nX_Forwarded_For: a\r\nConnection: a\r\n\
        Trailer: a\r\n\
        Server-Timing:  db;dur=5 \r\n";
    let input = format!("1\r\na\r\n0\r\n{section}\r\nGET");
    let (data, end, trailers) = read(input.as_bytes()).unwrap();
    assert_eq!(data, b"a");
    assert_eq!(&input[end.unwrap()..], "GET");
    assert_eq!(trailers, "X-Sum: 1\r\nServer-Timing: db;dur=5\r\n");
}

#[test]
fn bounds() {
    let line = |n: usize| format!("5;{}\r\nhello\r\n0\r\n\r\n", "a".repeat(n));
    assert!(read(line(CHUNK_LINE_BYTES_MAX - 4).as_bytes()).is_ok());
    assert!(read(line(CHUNK_LINE_BYTES_MAX - 3).as_bytes()).is_err());
    let trailer = |n: usize| format!("0\r\nX: {}\r\n\r\n", "a".repeat(n));
    assert!(read(trailer(TRAILER_BYTES_MAX - 7).as_bytes()).is_ok());
    let error = read(trailer(TRAILER_BYTES_MAX - 6).as_bytes()).map_err(|e| e.kind);
    assert_eq!(error.err(), Some(HeadErrorKind::TooLarge));
    // The line counter starts anew with each chunk.
    let many = format!("{}0\r\n\r\n", "1;aaaaaaaaaa\r\nx\r\n".repeat(100));
    assert_eq!(read(many.as_bytes()).unwrap().0.len(), 100);
}

#[test]
fn heads_of_chunks() {
    for (len, text) in [(1, "1\r\n"), (15, "f\r\n"), (16, "10\r\n"), (4096, "1000\r\n")] {
        let mut out = Vec::new();
        write_chunk_head(&mut out, len);
        assert_eq!(out, text.as_bytes());
    }
}

/// Bytes about which chunk parsers disagree.
fn chunklike() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop::sample::select(vec![
        "0\r\n",
        "5\r\nhello\r\n",
        "1;a=\"b\"\r\nx\r\n",
        "\r\n",
        "\n",
        "\r",
        "0",
        "5",
        "a",
        ";",
        "\"",
        " ",
        "X: a\r\n",
        "Host: a\r\n",
        "0\r\n\r\n",
        "3\r\nabc\r\n",
    ]);
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat().into_bytes())
}

proptest! {
    #[test]
    fn decoding_undoes_encoding(pieces in prop::collection::vec(
        prop::collection::vec(any::<u8>(), 1..40), 0..8,
    )) {
        let mut coded = Vec::new();
        for piece in &pieces {
            write_chunk_head(&mut coded, piece.len());
            coded.extend_from_slice(piece);
            coded.extend_from_slice(CHUNK_END);
        }
        write_end(&mut coded, b"X: a\r\n");
        let end = Some(coded.len());
        coded.extend_from_slice(b"GET");
        prop_assert_eq!(read(&coded), Ok((pieces.concat(), end, "X: a\r\n".to_owned())));
    }

    #[test]
    fn pieces_and_rewriting_change_nothing(input in chunklike()) {
        crate::proto::fuzz::chunked(&input);
    }

    #[test]
    fn random_bytes(input in prop::collection::vec(any::<u8>(), 0..200)) {
        crate::proto::fuzz::chunked(&input);
    }
}
