//! The table of what is refused and what is not, each row with the rule it proves; and that
//! splitting never matters.

use proptest::prelude::*;

use super::HeadErrorKind::{self, Bad, Expectation, Method, TargetTooLong, TooLarge};
use super::*;
use crate::proto::h1::upgrade::Upgrade;

fn request(head: &[u8]) -> Result<RequestHead<'_>, HeadError> {
    match HeadScanner::request().find(head)? {
        Some(end) => parse_request(&head[..end], Scheme::Http),
        None => panic!("no end in {}", head.escape_ascii()),
    }
}

fn response(head: &[u8], to: AnswerTo) -> Result<ResponseHead<'_>, HeadError> {
    match HeadScanner::response().find(head)? {
        Some(end) => parse_response(&head[..end], to),
        None => panic!("no end in {}", head.escape_ascii()),
    }
}

/// Whole request heads that are refused.
const REFUSED: &[(&str, &[u8], HeadErrorKind)] = &[
    // Lines (RFC 9112 2.2).
    ("9112 2.2 bare LF ends the request line", b"GET / HTTP/1.1\nHost: a\r\n\r\n", Bad),
    ("9112 2.2 bare LF ends a field", b"GET / HTTP/1.1\r\nHost: a\n\r\n", Bad),
    ("9112 2.2 bare LF ends the head", b"GET / HTTP/1.1\r\nHost: a\r\n\n", Bad),
    ("9112 2.2 LF LF ends the head", b"GET / HTTP/1.1\r\nHost: a\n\n", Bad),
    ("9112 2.2 bare CR in a value", b"GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n", Bad),
    ("9112 2.2 bare CR in a name", b"GET / HTTP/1.1\r\nHost: a\r\nX\rY: a\r\n\r\n", Bad),
    ("9112 2.2 bare CR in the target", b"GET /\r HTTP/1.1\r\nHost: a\r\n\r\n", Bad),
    ("9112 2.2 CR CR LF", b"GET / HTTP/1.1\r\r\nHost: a\r\n\r\n", Bad),
    ("9112 2.2 CR CR LF ends the head", b"GET / HTTP/1.1\r\nHost: a\r\n\r\r\n", Bad),
    ("9112 2.2 CR before a field", b"GET / HTTP/1.1\r\n\rHost: a\r\n\r\n", Bad),
    ("9112 2.2 three empty lines first", b"\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", Bad),
    ("9112 2.2 an empty line of LF first", b"\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", Bad),
    ("9112 2.2 white space before the first field", b"GET / HTTP/1.1\r\n Host: a\r\n\r\n", Bad),
    ("9112 2.2 white space before the request line", b" GET / HTTP/1.1\r\nHost: a\r\n\r\n", Bad),
    ("TLS on a plain port", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", Bad),
    ("NUL first", b"\0GET / HTTP/1.1\r\nHost: a\r\n\r\n", Bad),
    // Request line (RFC 9112 3).
    ("9112 3 two spaces before the target", b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", Bad),
    ("9112 3 two spaces before the version", b"GET /  HTTP/1.1\r\nHost: a\r\n\r\n", Bad),
    ("9112 3 space behind the version", b"GET / HTTP/1.1 \r\nHost: a\r\n\r\n", Bad),
    ("9112 3 HTAB as separator", b"GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", Bad),
    ("9112 3 HTAB before the version", b"GET /\tHTTP/1.1\r\nHost: a\r\n\r\n", Bad),
    ("9112 3 VT as separator", b"GET\x0b/ HTTP/1.1\r\nHost: a\r\n\r\n", Bad),
    ("9112 3 space in the target", b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", Bad),
    ("9112 3 no version (HTTP/0.9)", b"GET /\r\nHost: a\r\n\r\n", Bad),
    ("9112 3 no target", b"GET HTTP/1.1\r\nHost: a\r\n\r\n", Bad),
    ("9112 3 empty target", b"GET  HTTP/1.1\r\nHost: a\r\n\r\n", Bad),
    ("9112 3 method only", b"GET\r\nHost: a\r\n\r\n", Bad),
    ("9112 3 a field instead", b"Host: a\r\n\r\n", Bad),
    ("9112 3.1 method with a slash", b"G/T / HTTP/1.1\r\nHost: a\r\n\r\n", Bad),
    ("9112 3.1 method with a quote", b"\"GET\" / HTTP/1.1\r\nHost: a\r\n\r\n", Bad),
    ("9112 3.1 method beyond ASCII", b"GE\xc3\x89 / HTTP/1.1\r\nHost: a\r\n\r\n", Bad),
    ("9110 9.3.6 CONNECT", b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", Method),
    ("9110 9.3.6 connect", b"connect / HTTP/1.1\r\nHost: a\r\n\r\n", Method),
    ("9110 9.3.8 TRACE", b"TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", Method),
    ("9113 3.4 PRI in HTTP/1.1", b"PRI / HTTP/1.1\r\nHost: a\r\n\r\n", Method),
    // Version (RFC 9112 2.3).
    ("9113 3.4 HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", HeadErrorKind::Version),
    ("9112 2.3 HTTP/2.0", b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", HeadErrorKind::Version),
    ("9112 2.3 HTTP/1.2", b"GET / HTTP/1.2\r\nHost: a\r\n\r\n", HeadErrorKind::Version),
    ("9112 2.3 HTTP/0.9", b"GET / HTTP/0.9\r\nHost: a\r\n\r\n", HeadErrorKind::Version),
    ("9112 2.3 HTTP/9.9", b"GET / HTTP/9.9\r\nHost: a\r\n\r\n", HeadErrorKind::Version),
    ("9112 2.3 lower case", b"GET / http/1.1\r\nHost: a\r\n\r\n", Bad),
    ("9112 2.3 HTTP/1.10", b"GET / HTTP/1.10\r\nHost: a\r\n\r\n", Bad),
    ("9112 2.3 HTTP/01.1", b"GET / HTTP/01.1\r\nHost: a\r\n\r\n", Bad),
    ("9112 2.3 HTTP/1", b"GET / HTTP/1\r\nHost: a\r\n\r\n", Bad),
    ("9112 2.3 HTTP/1,1", b"GET / HTTP/1,1\r\nHost: a\r\n\r\n", Bad),
    ("9112 2.3 another protocol", b"GET / RTSP/1.0\r\nHost: a\r\n\r\n", Bad),
    ("9112 2.3 ICE/1.0", b"GET / HTTPS/1.1\r\nHost: a\r\n\r\n", Bad),
    // Target (RFC 9112 3.2).
    ("9110 7.1 fragment", b"GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", Bad),
    ("9110 7.1 fragment of an absolute URI", b"GET http://a/#b HTTP/1.1\r\nHost: a\r\n\r\n", Bad),
    ("9110 7.1 fragment in the authority", b"GET http://a#/ HTTP/1.1\r\nHost: a\r\n\r\n", Bad),
    ("3986 2 NUL in the target", b"GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n", Bad),
    ("3986 2 DEL in the target", b"GET /\x7f HTTP/1.1\r\nHost: a\r\n\r\n", Bad),
    ("3986 2 UTF-8 in the target", b"GET /\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n", Bad),
    ("3986 2 Latin-1 in the target", b"GET /\xe9 HTTP/1.1\r\nHost: a\r\n\r\n", Bad),
    ("9112 3.2.1 no slash", b"GET a HTTP/1.1\r\nHost: a\r\n\r\n", Bad),
    ("9112 3.2.1 query only", b"GET ?a HTTP/1.1\r\nHost: a\r\n\r\n", Bad),
    ("9112 3.2.3 authority-form", b"GET a:80 HTTP/1.1\r\nHost: a\r\n\r\n", Bad),
    ("9112 3.2.4 * with GET", b"GET * HTTP/1.1\r\nHost: a\r\n\r\n", Bad),
    ("9112 3.2.4 ** with OPTIONS", b"OPTIONS ** HTTP/1.1\r\nHost: a\r\n\r\n", Bad),
    ("9112 3.2.2 another scheme", b"GET https://a/ HTTP/1.1\r\nHost: a\r\n\r\n", Bad),
    ("9112 3.2.2 ftp", b"GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", Bad),
    ("9112 3.2.2 no scheme", b"GET ://a/ HTTP/1.1\r\nHost: a\r\n\r\n", Bad),
    ("9112 3.2.2 one slash", b"GET http:/a/ HTTP/1.1\r\nHost: a\r\n\r\n", Bad),
    ("9112 3.2.2 no authority", b"GET http:///a HTTP/1.1\r\nHost: a\r\n\r\n", Bad),
    ("9110 4.2.4 userinfo", b"GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n", Bad),
    ("9110 4.2.4 userinfo with password", b"GET http://u:p@a/ HTTP/1.1\r\nHost: a\r\n\r\n", Bad),
    ("9112 3.2.2 another host", b"GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n", Bad),
    ("9112 3.2.2 another port", b"GET http://a:81/ HTTP/1.1\r\nHost: a\r\n\r\n", Bad),
    ("9112 3.2.2 port only in Host", b"GET http://a/ HTTP/1.1\r\nHost: a:81\r\n\r\n", Bad),
    ("9112 3.2.2 no Host", b"GET http://a/ HTTP/1.1\r\n\r\n", Bad),
    ("9112 3.2.2 bad port in the target", b"GET http://a:b/ HTTP/1.1\r\nHost: a\r\n\r\n", Bad),
    // Host (RFC 9112 3.2).
    ("9112 3.2 no Host", b"GET / HTTP/1.1\r\n\r\n", Bad),
    ("9112 3.2 no Host in HTTP/1.0", b"GET / HTTP/1.0\r\n\r\n", Bad),
    ("9112 3.2 two Hosts", b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", Bad),
    ("9112 3.2 two equal Hosts", b"GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n", Bad),
    ("9112 3.2 empty Host", b"GET / HTTP/1.1\r\nHost:\r\n\r\n", Bad),
    ("9112 3.2 Host of white space", b"GET / HTTP/1.1\r\nHost: \t \r\n\r\n", Bad),
    ("9112 3.2 a list", b"GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", Bad),
    ("9112 3.2 two words", b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", Bad),
    ("9112 3.2 userinfo", b"GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", Bad),
    ("9112 3.2 a path", b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", Bad),
    ("9112 3.2 a query", b"GET / HTTP/1.1\r\nHost: a?b\r\n\r\n", Bad),
    ("9112 3.2 a fragment", b"GET / HTTP/1.1\r\nHost: a#b\r\n\r\n", Bad),
    ("9112 3.2 a scheme", b"GET / HTTP/1.1\r\nHost: http://a\r\n\r\n", Bad),
    ("9112 3.2 percent-encoding", b"GET / HTTP/1.1\r\nHost: %61\r\n\r\n", Bad),
    ("9112 3.2 UTF-8", b"GET / HTTP/1.1\r\nHost: \xc3\xa9\r\n\r\n", Bad),
    ("9112 3.2 a port that is no number", b"GET / HTTP/1.1\r\nHost: a:b\r\n\r\n", Bad),
    ("9112 3.2 a port with a sign", b"GET / HTTP/1.1\r\nHost: a:+80\r\n\r\n", Bad),
    ("9112 3.2 a negative port", b"GET / HTTP/1.1\r\nHost: a:-1\r\n\r\n", Bad),
    ("9112 3.2 a port with a space", b"GET / HTTP/1.1\r\nHost: a: 80\r\n\r\n", Bad),
    ("9112 3.2 port 65536", b"GET / HTTP/1.1\r\nHost: a:65536\r\n\r\n", Bad),
    ("9112 3.2 port 0", b"GET / HTTP/1.1\r\nHost: a:0\r\n\r\n", Bad),
    ("9112 3.2 two ports", b"GET / HTTP/1.1\r\nHost: a:80:80\r\n\r\n", Bad),
    ("9112 3.2 a port only", b"GET / HTTP/1.1\r\nHost: :80\r\n\r\n", Bad),
    ("9112 3.2 an empty label", b"GET / HTTP/1.1\r\nHost: a..b\r\n\r\n", Bad),
    ("9112 3.2 a leading dot", b"GET / HTTP/1.1\r\nHost: .a\r\n\r\n", Bad),
    ("9112 3.2 two trailing dots", b"GET / HTTP/1.1\r\nHost: a..\r\n\r\n", Bad),
    ("9112 3.2 IPv6 without brackets", b"GET / HTTP/1.1\r\nHost: ::1\r\n\r\n", Bad),
    ("9112 3.2 half a bracket", b"GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", Bad),
    ("9112 3.2 IPv6 with a zone", b"GET / HTTP/1.1\r\nHost: [fe80::1%25eth0]\r\n\r\n", Bad),
    ("9112 3.2 text behind the bracket", b"GET / HTTP/1.1\r\nHost: [::1]a:80\r\n\r\n", Bad),
    ("9112 3.2 folded Host", b"GET / HTTP/1.1\r\nHost:\r\n a\r\n\r\n", Bad),
];

/// Lines added to an otherwise sound POST, for which it is refused.
const REFUSED_FIELDS: &[(&str, &[u8], HeadErrorKind)] = &[
    // Field lines (RFC 9112 5).
    ("9112 5.1 space before the colon", b"X : a\r\n", Bad),
    ("9112 5.1 HTAB before the colon", b"X\t: a\r\n", Bad),
    ("9112 5.1 space before the colon of a framing field", b"Content-Length : 5\r\n", Bad),
    ("9112 5.1 empty name", b": a\r\n", Bad),
    ("9112 5.1 space in a name", b"X Y: a\r\n", Bad),
    ("9112 5.1 no colon", b"X\r\n", Bad),
    ("9110 5.1 a parenthesis in a name", b"X(: a\r\n", Bad),
    ("9110 5.1 a name beyond ASCII", b"\xc3\xa9: a\r\n", Bad),
    ("9110 5.1 NUL in a name", b"X\0: a\r\n", Bad),
    ("9112 5.2 obs-fold", b"X: a\r\n b\r\n", Bad),
    ("9112 5.2 obs-fold with HTAB", b"X: a\r\n\tb\r\n", Bad),
    ("9112 5.2 obs-fold of Transfer-Encoding", b"Transfer-Encoding:\r\n chunked\r\n", Bad),
    ("9112 5.2 a line of white space", b"X: a\r\n \r\n", Bad),
    ("9110 5.5 NUL in a value", b"X: a\0b\r\n", Bad),
    ("9110 5.5 control byte in a value", b"X: a\x01b\r\n", Bad),
    ("9110 5.5 ESC in a value", b"X: a\x1b[0m\r\n", Bad),
    ("9110 5.5 DEL in a value", b"X: a\x7f\r\n", Bad),
    ("9110 5.5 VT before a value", b"Transfer-Encoding: \x0bchunked\r\n", Bad),
    ("9110 5.5 FF behind a value", b"Content-Length: 5\x0c\r\n", Bad),
    // Both lengths (RFC 9112 6.1, 6.3 rule 3).
    ("9112 6.1 CL and TE", b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", Bad),
    ("9112 6.1 TE and CL", b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", Bad),
    ("9112 6.1 TE and CL 0", b"Transfer-Encoding: chunked\r\nContent-Length: 0\r\n", Bad),
    ("9112 6.1 TE and a bad CL", b"Transfer-Encoding: chunked\r\nContent-Length: x\r\n", Bad),
    ("9112 6.1 CL and a bad TE", b"Content-Length: 5\r\nTransfer-Encoding: x\r\n", Bad),
    // Content-Length (RFC 9110 8.6, RFC 9112 6.3 rule 5).
    ("9112 6.3 rule 5 two", b"Content-Length: 5\r\nContent-Length: 6\r\n", Bad),
    ("9112 6.3 rule 5 two equal", b"Content-Length: 5\r\nContent-Length: 5\r\n", Bad),
    ("9112 6.3 rule 5 two in other case", b"Content-Length: 5\r\ncontent-length: 5\r\n", Bad),
    ("9112 6.3 rule 5 one empty", b"Content-Length: 5\r\nContent-Length:\r\n", Bad),
    ("9112 6.3 rule 5 a list", b"Content-Length: 5, 6\r\n", Bad),
    ("9112 6.3 rule 5 an equal list", b"Content-Length: 5, 5\r\n", Bad),
    ("9112 6.3 rule 5 a trailing comma", b"Content-Length: 5,\r\n", Bad),
    ("9110 8.6 empty", b"Content-Length:\r\n", Bad),
    ("9110 8.6 white space", b"Content-Length: \t\r\n", Bad),
    ("9110 8.6 plus", b"Content-Length: +5\r\n", Bad),
    ("9110 8.6 minus", b"Content-Length: -5\r\n", Bad),
    ("9110 8.6 minus 0", b"Content-Length: -0\r\n", Bad),
    ("9110 8.6 hexadecimal", b"Content-Length: 0x5\r\n", Bad),
    ("9110 8.6 hexadecimal digits", b"Content-Length: a\r\n", Bad),
    ("9110 8.6 a fraction", b"Content-Length: 5.0\r\n", Bad),
    ("9110 8.6 an exponent", b"Content-Length: 5e0\r\n", Bad),
    ("9110 8.6 an underscore", b"Content-Length: 5_0\r\n", Bad),
    ("9110 8.6 two words", b"Content-Length: 5 5\r\n", Bad),
    ("9110 8.6 quoted", b"Content-Length: \"5\"\r\n", Bad),
    ("9110 8.6 a parameter", b"Content-Length: 5;a\r\n", Bad),
    ("9110 8.6 a digit beyond ASCII", b"Content-Length: \xd9\xa5\r\n", Bad),
    ("9110 8.6 2^63", b"Content-Length: 9223372036854775808\r\n", Bad),
    ("9110 8.6 2^64", b"Content-Length: 18446744073709551616\r\n", Bad),
    ("9110 8.6 2^64 + 5", b"Content-Length: 18446744073709551621\r\n", Bad),
    ("9110 8.6 forty digits", b"Content-Length: 1000000000000000000000000000000000000000\r\n", Bad),
    // Transfer-Encoding (RFC 9112 6.1, 7).
    ("9112 6.1 identity", b"Transfer-Encoding: identity\r\n", Bad),
    ("9112 6.1 gzip", b"Transfer-Encoding: gzip\r\n", Bad),
    ("9112 6.1 gzip, chunked", b"Transfer-Encoding: gzip, chunked\r\n", Bad),
    ("9112 6.1 chunked, gzip", b"Transfer-Encoding: chunked, gzip\r\n", Bad),
    ("9112 6.1 chunked, identity", b"Transfer-Encoding: chunked, identity\r\n", Bad),
    ("9112 6.1 chunked twice", b"Transfer-Encoding: chunked, chunked\r\n", Bad),
    ("9112 6.1 two fields", b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", Bad),
    ("9112 6.1 two fields, one x", b"Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n", Bad),
    (
        "9112 6.1 two fields, one empty",
        b"Transfer-Encoding:\r\nTransfer-Encoding: chunked\r\n",
        Bad,
    ),
    ("9112 6.1 empty", b"Transfer-Encoding:\r\n", Bad),
    ("9112 6.1 a leading comma", b"Transfer-Encoding: ,chunked\r\n", Bad),
    ("9112 6.1 a trailing comma", b"Transfer-Encoding: chunked,\r\n", Bad),
    ("9112 6.1 a parameter", b"Transfer-Encoding: chunked;q=1\r\n", Bad),
    ("9112 6.1 quoted", b"Transfer-Encoding: \"chunked\"\r\n", Bad),
    ("9112 6.1 single quotes", b"Transfer-Encoding: 'chunked'\r\n", Bad),
    ("9112 6.1 xchunked", b"Transfer-Encoding: xchunked\r\n", Bad),
    ("9112 6.1 chunk", b"Transfer-Encoding: chunk\r\n", Bad),
    ("9112 6.1 chunkedx", b"Transfer-Encoding: chunked x\r\n", Bad),
    ("9112 6.1 NBSP", b"Transfer-Encoding: \xa0chunked\r\n", Bad),
    ("9112 6.1 deflate", b"Transfer-Encoding: deflate\r\n", Bad),
    // Others.
    ("9110 10.1.1 another expectation", b"Content-Length: 5\r\nExpect: x\r\n", Expectation),
    ("9110 10.1.1 two", b"Content-Length: 5\r\nExpect: 100-continue, x\r\n", Expectation),
];

/// Whole request heads that are served.
const SERVED: &[(&str, &[u8], BodyLength)] = &[
    ("9112 2.2 one empty line first", b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", BodyLength::None),
    ("9112 2.2 two empty lines", b"\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", BodyLength::None),
    ("9112 3 unknown method", b"FROB / HTTP/1.1\r\nHost: a\r\n\r\n", BodyLength::None),
    ("9112 3.2.1 double slash", b"GET //b/ HTTP/1.1\r\nHost: a\r\n\r\n", BodyLength::None),
    ("9112 3.2.1 dots", b"GET /../%2e%2e HTTP/1.1\r\nHost: a\r\n\r\n", BodyLength::None),
    ("what browsers leave", b"GET /?a=\"<>\\^`{|} HTTP/1.1\r\nHost: a\r\n\r\n", BodyLength::None),
    ("9112 3.2.2 absolute", b"GET http://a/b HTTP/1.1\r\nHost: a\r\n\r\n", BodyLength::None),
    ("9112 3.2.2 default port", b"GET http://a:80/ HTTP/1.1\r\nHost: A.\r\n\r\n", BodyLength::None),
    (
        "9112 3.2.2 scheme in capitals",
        b"GET HTTP://a/ HTTP/1.1\r\nHost: a\r\n\r\n",
        BodyLength::None,
    ),
    ("9112 3.2.2 no Host, 1.0", b"GET http://a/ HTTP/1.0\r\n\r\n", BodyLength::None),
    ("9112 3.2.4 asterisk", b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", BodyLength::None),
    ("9110 5.5 no space", b"GET / HTTP/1.1\r\nHost:a\r\n\r\n", BodyLength::None),
    ("9110 5.5 much white space", b"GET / HTTP/1.1\r\nHost: \t a \t\r\n\r\n", BodyLength::None),
    ("9110 5.5 empty value", b"GET / HTTP/1.1\r\nHost: a\r\nX:\r\n\r\n", BodyLength::None),
    ("9110 5.5 obs-text", b"GET / HTTP/1.1\r\nHost: a\r\nX: \xe9\r\n\r\n", BodyLength::None),
    ("9110 8.6", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n", BodyLength::Exact(5)),
    (
        "9110 8.6 0",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
        BodyLength::Exact(0),
    ),
    (
        "9110 8.6 zeros",
        b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 007\r\n\r\n",
        BodyLength::Exact(7),
    ),
    (
        "9110 8.6 in 1.0",
        b"PUT / HTTP/1.0\r\nHost: a\r\nContent-Length: 7\r\n\r\n",
        BodyLength::Exact(7),
    ),
    (
        "9112 7.1",
        b"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
        BodyLength::Chunked,
    ),
    (
        "9112 7",
        b"PUT / HTTP/1.1\r\nHost: a\r\ntransfer-encoding:CHUNKED \r\n\r\n",
        BodyLength::Chunked,
    ),
    (
        "an alias is only a name",
        b"PUT / HTTP/1.1\r\nHost: a\r\nContent_Length: 5\r\n\r\n",
        BodyLength::None,
    ),
];

#[test]
fn refused() {
    for (rule, head, kind) in REFUSED {
        let verdict = request(head).map(|_| "served").map_err(|e| e.kind);
        assert_eq!(verdict, Err(*kind), "{rule}: {}", head.escape_ascii());
    }
    for (rule, lines, kind) in REFUSED_FIELDS {
        let head = [b"POST / HTTP/1.1\r\nHost: a\r\n", *lines, b"\r\n"].concat();
        let verdict = request(&head).map(|_| "served").map_err(|e| e.kind);
        assert_eq!(verdict, Err(*kind), "{rule}: {}", head.escape_ascii());
        // The same line as the first field, where some parsers look less closely.
        let first = [b"POST / HTTP/1.1\r\n", *lines, b"Host: a\r\n\r\n"].concat();
        assert_eq!(request(&first).map_err(|e| e.kind).err(), Some(*kind), "{rule}, first");
    }
    assert!(REFUSED.len() + REFUSED_FIELDS.len() > 150);
}

#[test]
fn served() {
    for (rule, head, body) in SERVED {
        assert_eq!(request(head).map(|r| r.body), Ok(*body), "{rule}: {}", head.escape_ascii());
    }
}

#[test]
fn transfer_encoding_in_http_1_0_rfc9112_6_1() {
    let head = b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(request(head).map_err(|e| e.kind).err(), Some(Bad));
}

#[test]
fn bounds() {
    let start = b"GET / HTTP/1.1\r\nHost: a\r\n".as_slice();
    let long = |len: usize| [start, b"X: ", &vec![b'a'; len], b"\r\n\r\n"].concat();
    assert!(request(&long(HEAD_BYTES_MAX - start.len() - 7)).is_ok());
    let error = HeadScanner::request().find(&long(HEAD_BYTES_MAX - start.len() - 6));
    assert_eq!(error.map_err(|e| e.kind), Err(TooLarge));

    let fields = |n: usize| [start, "X: a\r\n".repeat(n - 1).as_bytes(), b"\r\n"].concat();
    assert!(request(&fields(HEADERS_MAX)).is_ok());
    assert_eq!(request(&fields(HEADERS_MAX + 1)).map_err(|e| e.kind).err(), Some(TooLarge));

    let target =
        |n: usize| format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(n - 1)).into_bytes();
    assert!(request(&target(TARGET_BYTES_MAX)).is_ok());
    let error = request(&target(TARGET_BYTES_MAX + 1)).map_err(|e| e.kind).err();
    assert_eq!(error, Some(TargetTooLong));
    let error = HeadScanner::request().find(&target(HEAD_BYTES_MAX)).map_err(|e| e.kind);
    assert_eq!(error, Err(TargetTooLong));

    let options = |n: usize| format!("Connection: {}\r\n\r\n", "a,".repeat(n));
    let with = |n: usize| [start, options(n).as_bytes()].concat();
    assert!(request(&with(CONNECTION_OPTIONS_MAX)).is_ok());
    let error = request(&with(CONNECTION_OPTIONS_MAX + 1)).map_err(|e| e.kind).err();
    assert_eq!(error, Some(TooLarge));
}

#[test]
fn persistence_rfc9112_9_3() {
    use Persistence::{Close, KeepAlive};
    for (version, connection, expected) in [
        ("1.1", "", KeepAlive),
        ("1.1", "Connection: close\r\n", Close),
        ("1.1", "Connection: keep-alive, CLOSE\r\n", Close),
        ("1.1", "Connection: x\r\nConnection: close\r\n", Close),
        ("1.1", "Connection: closed\r\n", KeepAlive),
        ("1.0", "", Close),
        ("1.0", "Connection: Keep-Alive\r\n", KeepAlive),
        ("1.0", "Connection: keep-alive, close\r\n", Close),
        ("1.0", "Proxy-Connection: keep-alive\r\n", Close),
    ] {
        let head = format!("GET / HTTP/{version}\r\nHost: a\r\n{connection}\r\n");
        assert_eq!(request(head.as_bytes()).unwrap().persistence, expected, "{head}");
    }
}

#[test]
fn expect_rfc9110_10_1_1() {
    for (version, lines, expected) in [
        ("1.1", "Content-Length: 5\r\nExpect: 100-Continue\r\n", Expect::Continue),
        ("1.1", "Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n", Expect::Continue),
        ("1.1", "Expect: 100-continue\r\n", Expect::Nothing),
        ("1.0", "Content-Length: 5\r\nExpect: 100-continue\r\n", Expect::Nothing),
    ] {
        let head = format!("POST / HTTP/{version}\r\nHost: a\r\n{lines}\r\n");
        assert_eq!(request(head.as_bytes()).unwrap().expect, expected, "{head}");
    }
}

/// Answers that are refused whatever was asked.
const REFUSED_ANSWERS: &[(&str, &[u8])] = &[
    ("9112 2.2 bare LF", b"HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n"),
    ("9112 2.2 bare CR", b"HTTP/1.1 200 OK\r\nX: a\rb\r\n\r\n"),
    ("9112 2.2 an empty line first", b"\r\nHTTP/1.1 200 OK\r\n\r\n"),
    ("9112 4 another protocol", b"ICY 200 OK\r\n\r\n"),
    ("9112 4 HTTP/2.0", b"HTTP/2.0 200 OK\r\n\r\n"),
    ("9112 4 HTTP/1.2", b"HTTP/1.2 200 OK\r\n\r\n"),
    ("9112 4 two spaces", b"HTTP/1.1  200 OK\r\n\r\n"),
    ("9112 4 two digits", b"HTTP/1.1 20 OK\r\n\r\n"),
    ("9112 4 four digits", b"HTTP/1.1 2000 OK\r\n\r\n"),
    ("9112 4 letters", b"HTTP/1.1 2OO OK\r\n\r\n"),
    ("9112 4 a sign", b"HTTP/1.1 +20 OK\r\n\r\n"),
    ("9112 4 no status", b"HTTP/1.1 OK\r\n\r\n"),
    ("9110 15 status 099", b"HTTP/1.1 099 X\r\n\r\n"),
    ("9110 15 status 600", b"HTTP/1.1 600 X\r\n\r\n"),
    ("9112 4 control byte in the phrase", b"HTTP/1.1 200 O\x01K\r\n\r\n"),
    ("9112 4 NUL in the phrase", b"HTTP/1.1 200 O\0K\r\n\r\n"),
    ("9112 4 HTML", b"<html>\r\n\r\n"),
    ("9112 5.1 space before the colon", b"HTTP/1.1 200 OK\r\nX : a\r\n\r\n"),
    ("9112 5.1 empty name", b"HTTP/1.1 200 OK\r\n: a\r\n\r\n"),
    ("9112 5.1 no colon", b"HTTP/1.1 200 OK\r\nX\r\n\r\n"),
    ("9112 5.2 obs-fold", b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n"),
    ("9112 5.2 folded first line", b"HTTP/1.1 200 OK\r\n X: a\r\n\r\n"),
    ("9110 5.5 NUL", b"HTTP/1.1 200 OK\r\nX: \0\r\n\r\n"),
    (
        "9112 6.1 CL and TE",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
    ),
    ("9112 6.3 two CL", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n"),
    ("9112 6.3 equal CL", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n"),
    ("9112 6.3 list", b"HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\n"),
    ("9110 8.6 sign", b"HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\n"),
    ("9110 8.6 empty", b"HTTP/1.1 200 OK\r\nContent-Length: \r\n\r\n"),
    ("9112 6.1 gzip", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n"),
    ("9112 6.1 gzip, chunked", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"),
    (
        "9112 6.1 two TE",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
    ),
    ("9112 6.1 TE in HTTP/1.0", b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
    ("9110 8.6 CL in 204", b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n"),
    ("9112 6.1 TE in 204", b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n"),
    ("9110 8.6 CL in 100", b"HTTP/1.1 100 Continue\r\nContent-Length: 5\r\n\r\n"),
    ("9112 6.1 TE in 103", b"HTTP/1.1 103 Early Hints\r\nTransfer-Encoding: chunked\r\n\r\n"),
    ("9110 8.6 CL in 101", b"HTTP/1.1 101 Switching Protocols\r\nContent-Length: 5\r\n\r\n"),
    (
        "9112 6.1 TE in 101",
        b"HTTP/1.1 101 Switching Protocols\r\nTransfer-Encoding: chunked\r\n\r\n",
    ),
    (
        "9112 6.3 two CL in 304",
        b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
    ),
];

#[test]
fn refused_answers() {
    for (rule, head) in REFUSED_ANSWERS {
        for to in [AnswerTo::Head, AnswerTo::Other, AnswerTo::WebSocket] {
            let verdict = response(head, to).map(|_| "passed on").map_err(|e| e.kind);
            assert_eq!(verdict, Err(Bad), "{rule} {to:?}: {}", head.escape_ascii());
        }
    }
}

#[test]
fn answer_bodies_rfc9112_6_3() {
    use AnswerTo::{Head, Other, WebSocket};
    let (exact, chunked) = ("Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n");
    for (to, start, lines, body) in [
        (Other, "1.1 200 OK", exact, BodyLength::Exact(5)),
        (Other, "1.1 200 OK", chunked, BodyLength::Chunked),
        (Other, "1.1 200 OK", "", BodyLength::UntilClose),
        (Other, "1.0 200 OK", exact, BodyLength::Exact(5)),
        (Other, "1.1 200", exact, BodyLength::Exact(5)),
        (Other, "1.1 200 ", exact, BodyLength::Exact(5)),
        (Other, "1.1 200 Tr\u{e8}s bien", exact, BodyLength::Exact(5)),
        (Other, "1.1 205 Reset Content", "Content-Length: 0\r\n", BodyLength::Exact(0)),
        (Other, "1.1 500 X", "", BodyLength::UntilClose),
        (Other, "1.1 204 No Content", "", BodyLength::None),
        (Other, "1.1 204 No Content", "Content-Length: 0\r\n", BodyLength::None),
        (Other, "1.1 304 Not Modified", exact, BodyLength::None),
        (Other, "1.1 304 Not Modified", chunked, BodyLength::None),
        (Other, "1.1 100 Continue", "", BodyLength::None),
        (Other, "1.1 103 Early Hints", "Link: a\r\n", BodyLength::None),
        (Head, "1.1 200 OK", exact, BodyLength::None),
        (Head, "1.1 200 OK", chunked, BodyLength::None),
        (Head, "1.1 200 OK", "", BodyLength::None),
        (WebSocket, "1.1 101 Switching Protocols", "", BodyLength::None),
        (WebSocket, "1.1 200 OK", "", BodyLength::UntilClose),
        (WebSocket, "1.1 400 Bad Request", exact, BodyLength::Exact(5)),
    ] {
        let head = format!("HTTP/{start}\r\n{lines}\r\n");
        assert_eq!(response(head.as_bytes(), to).map(|r| r.body), Ok(body), "{to:?} {head}");
    }
}

#[test]
fn a_101_that_nobody_asked_for_rfc9110_15_2_2() {
    let head =
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
    assert!(response(head, AnswerTo::Other).is_err());
    assert!(response(head, AnswerTo::Head).is_err());
    assert!(response(head, AnswerTo::WebSocket).is_ok());
}

#[test]
fn persistence_of_answers_rfc9112_9_3() {
    for (head, expected) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", Persistence::KeepAlive),
        ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", Persistence::Close),
        ("HTTP/1.1 200 OK\r\n\r\n", Persistence::Close),
        ("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", Persistence::Close),
        (
            "HTTP/1.0 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n",
            Persistence::KeepAlive,
        ),
    ] {
        let answer = response(head.as_bytes(), AnswerTo::Other).unwrap();
        assert_eq!(answer.persistence, expected, "{head}");
    }
}

#[test]
fn what_is_behind_a_head_stays_behind_it() {
    let buf = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n\x81\x80\0\n\r\nrest";
    let end = HeadScanner::request().find(buf).unwrap().unwrap();
    assert_eq!(&buf[end..], b"\x81\x80\0\n\r\nrest");
    // And a caller that cut wrongly gets an error instead of a head with a second one inside.
    assert!(parse_request(buf, Scheme::Http).is_err());
    assert!(parse_request(&buf[..end - 1], Scheme::Http).is_err());
    assert!(parse_request(b"", Scheme::Http).is_err());
}

#[test]
fn idle_until_the_first_byte_of_a_message() {
    let mut scanner = HeadScanner::request();
    assert_eq!(scanner.find(b""), Ok(None));
    assert_eq!(scanner.find(b"\r\n"), Ok(None));
    assert!(scanner.is_idle());
    assert_eq!(scanner.find(b"\r\nG"), Ok(None));
    assert!(!scanner.is_idle());
}

fn find_in_pieces(buf: &[u8], cuts: &[usize]) -> Result<Option<usize>, HeadError> {
    let mut scanner = HeadScanner::request();
    for cut in cuts {
        match scanner.find(&buf[..*cut]) {
            Ok(None) => {}
            verdict => return verdict,
        }
    }
    scanner.find(buf)
}

/// Heads made of the pieces about which parsers disagree.
pub(crate) fn headlike() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop::sample::select(vec![
        b"\r\n".to_vec(),
        b"\n".to_vec(),
        b"\r".to_vec(),
        b"\r\n\r\n".to_vec(),
        b" ".to_vec(),
        b"\t".to_vec(),
        b":".to_vec(),
        b": ".to_vec(),
        b"\0".to_vec(),
        b"GET / HTTP/1.1\r\n".to_vec(),
        b"POST /a?b HTTP/1.1\r\n".to_vec(),
        b"HEAD / HTTP/1.0\r\n".to_vec(),
        b"Host: a\r\n".to_vec(),
        b"Host: B.example:8080\r\n".to_vec(),
        b"Content-Length: 5\r\n".to_vec(),
        b"Content-Length: 0\r\n".to_vec(),
        b"Transfer-Encoding: chunked\r\n".to_vec(),
        b"Connection: upgrade\r\n".to_vec(),
        b"Connection: close, x\r\n".to_vec(),
        b"Upgrade: websocket\r\n".to_vec(),
        b"Sec-WebSocket-Version: 13\r\n".to_vec(),
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n".to_vec(),
        b"X_Forwarded_For: 1\r\n".to_vec(),
        b"X-Forwarded-For: 1\r\n".to_vec(),
        b"Expect: 100-continue\r\n".to_vec(),
        b"Trailer: x\r\n".to_vec(),
        b"X: \xff\r\n".to_vec(),
        b"HTTP/1.1 200 OK\r\n".to_vec(),
        b"HTTP/1.0 304 X\r\n".to_vec(),
        b"HTTP/1.1 101 Switching Protocols\r\n".to_vec(),
        b"OPTIONS * HTTP/1.1\r\n".to_vec(),
        b"GET http://a/b HTTP/1.1\r\n".to_vec(),
    ]);
    let sound =
        (0..4_usize, prop::collection::vec(piece.clone(), 0..8)).prop_map(|(line, tail)| {
            let start = [
                "GET / HTTP/1.1\r\nHost: a\r\n",
                "POST / HTTP/1.1\r\nHost: a\r\n",
                "HTTP/1.1 200 OK\r\n",
                "",
            ];
            [start[line].as_bytes(), &tail.concat(), b"\r\n"].concat()
        });
    prop_oneof![sound, prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())]
}

proptest! {
    #[test]
    fn a_head_is_the_same_however_it_is_split(
        buf in headlike(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
    ) {
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(buf.len() + 1)).collect();
        cuts.sort_unstable();
        let whole = HeadScanner::request().find(&buf);
        prop_assert_eq!(find_in_pieces(&buf, &cuts), whole);
        let every: Vec<usize> = (0..=buf.len()).collect();
        prop_assert_eq!(find_in_pieces(&buf, &every), whole);
    }

    #[test]
    fn nothing_panics_and_what_is_written_parses_back(buf in headlike()) {
        crate::proto::fuzz::head(&buf);
    }

    #[test]
    fn random_bytes(buf in prop::collection::vec(any::<u8>(), 0..300)) {
        crate::proto::fuzz::head(&buf);
        let _ = parse_request(&buf, Scheme::Http).map(|r| matches!(r.upgrade, Upgrade::None));
    }
}

#[test]
fn controls_are_found_by_words_as_by_bytes() {
    for length in 0..20 {
        for (fill, at) in
            [b'x', b'\t', 0x80, 0xff].into_iter().flat_map(|b| (0..length).map(move |at| (b, at)))
        {
            for byte in 0..=u8::MAX {
                let mut line = vec![fill; length];
                line[at] = byte;
                assert_eq!(first_control(&line), line.iter().position(is_control), "{line:?}");
            }
        }
    }
}
