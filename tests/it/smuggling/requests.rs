//! Requests that must be refused before anything of them crosses.

use super::{Row, bad, none_crosses, row};

/// `POST` with these header lines and a body that some parser would take for a request.
fn post(name: &'static str, lines: &str) -> Row {
    bad(name, format!("POST / HTTP/1.1\r\n<H>\r\n{lines}\r\n\r\n0\r\n\r\n"))
}

#[test]
fn content_length() {
    none_crosses(vec![
        post("twice the same", "Content-Length: 5\r\nContent-Length: 5"),
        post("twice, different", "Content-Length: 5\r\nContent-Length: 6"),
        post("twice, spelled differently", "Content-Length: 5\r\ncontent-length: 05"),
        post("a list of the same", "Content-Length: 5, 5"),
        post("a list", "Content-Length: 5, 6"),
        post("plus", "Content-Length: +5"),
        post("minus", "Content-Length: -5"),
        post("minus zero", "Content-Length: -0"),
        post("two numbers", "Content-Length: 5 5"),
        post("hexadecimal", "Content-Length: 0x5"),
        post("hexadecimal digit", "Content-Length: 5a"),
        post("empty", "Content-Length:"),
        post("blank", "Content-Length:   "),
        post("exponent", "Content-Length: 1e1"),
        post("fraction", "Content-Length: 5.0"),
        post("semicolon", "Content-Length: 5;"),
        post("quoted", "Content-Length: \"5\""),
        post("other digits", "Content-Length: \u{665}"),
        post("underscore", "Content-Length: 1_0"),
        post("64 bits and one", "Content-Length: 18446744073709551616"),
        post("very long", "Content-Length: 99999999999999999999999999999999999999"),
        post("space before the colon", "Content-Length : 5"),
        post("tab before the colon", "Content-Length\t: 5"),
        post("vertical tab in it", "Content-Length: \x0b5"),
        post("folded", "Content-Length:\r\n 5"),
        post("on a folded line", "X: y\r\n Content-Length: 5"),
        bad("on the first line, indented", "POST / HTTP/1.1\r\n Content-Length: 5\r\n<H>\r\n\r\n"),
    ]);
}

#[test]
fn transfer_encoding() {
    none_crosses(vec![
        post("with length", "Content-Length: 5\r\nTransfer-Encoding: chunked"),
        post("before length", "Transfer-Encoding: chunked\r\nContent-Length: 5"),
        post("with length zero", "Content-Length: 0\r\nTransfer-Encoding: chunked"),
        post("twice", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"),
        post("twice, the other first", "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked"),
        post("twice, the other last", "Transfer-Encoding: chunked\r\nTransfer-Encoding: x"),
        post("chunked twice in a list", "Transfer-Encoding: chunked, chunked"),
        post("gzip before", "Transfer-Encoding: gzip, chunked"),
        post("gzip behind", "Transfer-Encoding: chunked, gzip"),
        post("gzip", "Transfer-Encoding: gzip"),
        post("deflate", "Transfer-Encoding: deflate"),
        post("identity", "Transfer-Encoding: identity"),
        post("identity before", "Transfer-Encoding: identity, chunked"),
        post("identity with length", "Transfer-Encoding: identity\r\nContent-Length: 5"),
        post("a longer word", "Transfer-Encoding: xchunked"),
        post("a longer word behind", "Transfer-Encoding: chunkedx"),
        post("a shorter word", "Transfer-Encoding: chunke"),
        post("a parameter", "Transfer-Encoding: chunked;a=b"),
        post("quoted", "Transfer-Encoding: \"chunked\""),
        post("single quotes", "Transfer-Encoding: 'chunked'"),
        post("empty element behind", "Transfer-Encoding: chunked,"),
        post("empty element before", "Transfer-Encoding: ,chunked"),
        post("empty", "Transfer-Encoding:"),
        post("vertical tab", "Transfer-Encoding:\x0bchunked"),
        post("form feed behind", "Transfer-Encoding: chunked\x0c"),
        post("NUL behind", "Transfer-Encoding: chunked\0"),
        post("no-break space", "Transfer-Encoding:\u{a0}chunked"),
        post("folded", "Transfer-Encoding:\r\n chunked"),
        post("folded by a tab", "Transfer-Encoding:\r\n\tchunked"),
        post("on a folded line", "X: y\r\n Transfer-Encoding: chunked"),
        post("space before the colon", "Transfer-Encoding : chunked"),
        post("tab before the colon", "Transfer-Encoding\t: chunked"),
        post("behind a bare LF", "X: y\nTransfer-Encoding: chunked"),
        post("behind a bare CR", "X: y\rTransfer-Encoding: chunked"),
        post("in a name with CR", "\rTransfer-Encoding: chunked"),
        bad("in HTTP/1.0", "POST / HTTP/1.0\r\n<H>\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        bad(
            "in HTTP/1.0 with length",
            "POST / HTTP/1.0\r\n<H>\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        ),
        bad(
            "of a GET, with length",
            "GET / HTTP/1.1\r\n<H>\r\nContent-Length: 3\r\n\
             Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        ),
    ]);
}

fn get(name: &'static str, line: &[u8]) -> Row {
    bad(name, [b"GET / HTTP/1.1\r\n<H>\r\n", line, b"\r\n\r\n"].concat())
}

#[test]
fn header_lines() {
    none_crosses(vec![
        get("obs-fold", b"X: a\r\n b"),
        get("obs-fold by a tab", b"X: a\r\n\tb"),
        get("obs-fold of nothing", b"X: a\r\n "),
        get("bare CR in a value", b"X: a\rb"),
        get("bare CR at the end", b"X: a\r\r"),
        get("bare LF", b"X: a\nY: b"),
        get("NUL in a value", b"X: a\0b"),
        get("NUL at the end of a value", b"X: a\0"),
        get("control byte in a value", b"X: a\x01b"),
        get("backspace in a value", b"X: a\x08b"),
        get("escape in a value", b"X: a\x1b[2J"),
        get("DEL in a value", b"X: a\x7fb"),
        get("vertical tab in a value", b"X: a\x0bb"),
        get("NUL in a name", b"X\0Y: a"),
        get("control byte in a name", b"X\x01: a"),
        get("a byte above 127 in a name", b"X\xe4: a"),
        get("space in a name", b"X Y: a"),
        get("space before the colon", b"X : a"),
        get("tab before the colon", b"X\t: a"),
        get("no name", b": a"),
        get("no colon", b"X"),
        get("no colon, with a value", b"X a"),
        get("parenthesis in a name", b"X(: a"),
        get("quote in a name", b"\"X\": a"),
        get("comma in a name", b"X,Y: a"),
        get("slash in a name", b"X/Y: a"),
        get("equals in a name", b"X=Y: a"),
        get("at sign in a name", b"X@Y: a"),
        bad("every line ends with LF", "GET / HTTP/1.1\n<H>\n\n"),
        bad("the request line ends with LF", "GET / HTTP/1.1\n<H>\r\n\r\n"),
        bad("a header line ends with LF", "GET / HTTP/1.1\r\n<H>\nX: y\r\n\r\n"),
        bad("the empty line is LF", "GET / HTTP/1.1\r\n<H>\r\n\n"),
        bad("every line ends with CR", "GET / HTTP/1.1\r<H>\r\r\r\n\r\n"),
        bad("the first header line is indented", "GET / HTTP/1.1\r\n X: y\r\n<H>\r\n\r\n"),
        bad("the first header line begins with a tab", "GET / HTTP/1.1\r\n\t<H>\r\n\r\n"),
    ]);
}

#[test]
fn request_lines() {
    none_crosses(vec![
        bad("two spaces before the target", "GET  / HTTP/1.1\r\n<H>\r\n\r\n"),
        bad("two spaces behind the target", "GET /  HTTP/1.1\r\n<H>\r\n\r\n"),
        bad("tab before the target", "GET\t/ HTTP/1.1\r\n<H>\r\n\r\n"),
        bad("tab behind the target", "GET /\tHTTP/1.1\r\n<H>\r\n\r\n"),
        bad("space at the start", " GET / HTTP/1.1\r\n<H>\r\n\r\n"),
        bad("space at the end", "GET / HTTP/1.1 \r\n<H>\r\n\r\n"),
        bad("something behind the version", "GET / HTTP/1.1 x\r\n<H>\r\n\r\n"),
        bad("CR in it", "GET /\rx HTTP/1.1\r\n<H>\r\n\r\n"),
        bad("no version", "GET /\r\n<H>\r\n\r\n"),
        bad("no target", "GET HTTP/1.1\r\n<H>\r\n\r\n"),
        bad("no method", " / HTTP/1.1\r\n<H>\r\n\r\n"),
        bad("nothing but lines", "\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\n<H>\r\n\r\n"),
        bad("version in lower case", "GET / http/1.1\r\n<H>\r\n\r\n"),
        bad("another protocol", "GET / HTTPS/1.1\r\n<H>\r\n\r\n"),
        row("version 1.2", "GET / HTTP/1.2\r\n<H>\r\n\r\n", &[400, 505]),
        row("version 2.0", "GET / HTTP/2.0\r\n<H>\r\n\r\n", &[400, 505]),
        row("version 0.9", "GET / HTTP/0.9\r\n<H>\r\n\r\n", &[400, 505]),
        bad("version 1.10", "GET / HTTP/1.10\r\n<H>\r\n\r\n"),
        bad("version 01.1", "GET / HTTP/01.1\r\n<H>\r\n\r\n"),
        bad("version 1.", "GET / HTTP/1.\r\n<H>\r\n\r\n"),
        bad("version 1,1", "GET / HTTP/1,1\r\n<H>\r\n\r\n"),
        bad("version with a letter", "GET / HTTP/1.1x\r\n<H>\r\n\r\n"),
        bad("version with a space", "GET / HTTP/ 1.1\r\n<H>\r\n\r\n"),
        row("the preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &[400, 505]),
        row("a method that is no token", "G@T / HTTP/1.1\r\n<H>\r\n\r\n", &[400, 405]),
        row("a method with NUL", "GE\0T / HTTP/1.1\r\n<H>\r\n\r\n", &[400, 405]),
        row("a method with a colon", "GET: / HTTP/1.1\r\n<H>\r\n\r\n", &[400, 405]),
        row("CONNECT", "CONNECT a.test:80 HTTP/1.1\r\n<H>:80\r\n\r\n", &[405, 501]),
        row("CONNECT with a path", "CONNECT / HTTP/1.1\r\n<H>\r\n\r\n", &[400, 405, 501]),
        row("TRACE", "TRACE / HTTP/1.1\r\n<H>\r\n\r\n", &[405, 501]),
        row(
            "CONNECT with a body",
            "CONNECT a.test:80 HTTP/1.1\r\n<H>:80\r\nContent-Length: 40\r\n\r\n",
            &[400, 405, 501],
        ),
    ]);
}

#[test]
fn targets() {
    fn target(name: &'static str, target: impl AsRef<[u8]>) -> Row {
        bad(name, [b"GET ", target.as_ref(), b" HTTP/1.1\r\n<H>\r\n\r\n"].concat())
    }
    none_crosses(vec![
        target("fragment", "/a#b"),
        target("fragment at the start", "#"),
        target("asterisk for GET", "*"),
        target("no slash", "a"),
        target("only a query", "?a"),
        target("authority form", "a.test:80"),
        target("empty authority", "http:///a"),
        target("another scheme", "ftp://a.test/"),
        target("userinfo", "http://u@a.test/"),
        target("userinfo of another host", "http://a.test@b.test/"),
        target("another host than Host", "http://b.test/"),
        target("another port than Host", "http://a.test:81/"),
        target("a port that is none", "http://a.test:x/"),
        target("a fragment in absolute form", "http://a.test/#x"),
        target("a backslash as a slash", "http:\\\\a.test\\"),
        target("NUL", "/a\0b"),
        target("control byte", "/a\x01b"),
        target("DEL", "/a\x7f"),
        target("a byte above 127", b"/\xff"),
        row("too long", format!("GET /{} HTTP/1.1\r\n<H>\r\n\r\n", "a".repeat(9_000)), &[414]),
    ]);
}

#[test]
fn hosts() {
    fn host(name: &'static str, lines: impl AsRef<[u8]>) -> Row {
        bad(name, [b"GET / HTTP/1.1\r\n", lines.as_ref(), b"\r\n\r\n"].concat())
    }
    none_crosses(vec![
        bad("missing", "GET / HTTP/1.1\r\nX: y\r\n\r\n"),
        bad("missing with absolute form", "GET http://a.test/ HTTP/1.1\r\nX: y\r\n\r\n"),
        row("missing in HTTP/1.0", "GET / HTTP/1.0\r\nX: y\r\n\r\n", &[400, 421]),
        host("twice the same", "Host: a.test\r\nHost: a.test"),
        host("twice, other case", "Host: a.test\r\nhOST: A.test"),
        host("twice, different", "Host: a.test\r\nHost: b.test"),
        host("twice, apart", "Host: a.test\r\nX: y\r\nHost: b.test"),
        host("a list", "Host: a.test, b.test"),
        host("a list of the same", "Host: a.test,a.test"),
        host("two words", "Host: a.test b.test"),
        host("empty", "Host:"),
        host("blank", "Host:  "),
        host("only a port", "Host: :80"),
        host("a port that is no number", "Host: a.test:http"),
        host("a port with a sign", "Host: a.test:+80"),
        host("a negative port", "Host: a.test:-80"),
        host("a port too large", "Host: a.test:65536"),
        host("two ports", "Host: a.test:80:80"),
        host("a port and a space", "Host: a.test: 80"),
        host("userinfo", "Host: u@a.test"),
        host("a path", "Host: a.test/x"),
        host("a query", "Host: a.test?x"),
        host("a fragment", "Host: a.test#x"),
        host("a scheme", "Host: http://a.test"),
        host("a backslash", "Host: a.test\\x"),
        host("NUL", "Host: a.test\0"),
        host("NUL and another", "Host: a.test\0b.test"),
        host("control byte", "Host: a.test\x01"),
        host("a byte above 127", b"Host: \xe4.test"),
        host("percent-encoded", "Host: a%2etest"),
        host("percent-encoded NUL", "Host: a.test%00"),
        host("an open bracket", "Host: [::1"),
        host("no brackets", "Host: ::1"),
        host("brackets around a name", "Host: [a.test]"),
        host("empty label", "Host: a..test"),
        host("a leading dot", "Host: .a.test"),
        host("quotes", "Host: \"a.test\""),
        host("angle brackets", "Host: <a.test>"),
        host("folded", "Host:\r\n a.test"),
        host("space before the colon", "Host : a.test"),
        host("tab before the colon", "Host\t: a.test"),
        host("indented", " Host: a.test"),
        row(
            "a label too long",
            format!("GET / HTTP/1.1\r\nHost: {}.test\r\n\r\n", "a".repeat(300)),
            &[400, 421],
        ),
    ]);
}

#[test]
fn floods_of_headers() {
    let many: String = (0..200).map(|i| format!("X-{i}: y\r\n")).collect();
    let long = "y".repeat(20_000);
    none_crosses(vec![
        row("too many", format!("GET / HTTP/1.1\r\n<H>\r\n{many}\r\n"), &[431]),
        row("one too long", format!("GET / HTTP/1.1\r\n<H>\r\nX: {long}\r\n\r\n"), &[431]),
        row("a name too long", format!("GET / HTTP/1.1\r\n<H>\r\n{long}: x\r\n\r\n"), &[431]),
        row("a line without an end", format!("GET / HTTP/1.1\r\n<H>\r\nX: {long}"), &[431]),
        row("a method without an end", "A".repeat(20_000), &[400, 405, 414, 431]),
    ]);
}
