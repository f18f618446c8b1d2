//! Tables of the PROXY protocol 2.1 and 2.2.

use proptest::prelude::*;

use super::*;

fn v2(version_command: u8, family: u8, body: &[u8]) -> Vec<u8> {
    let len = u16::try_from(body.len()).unwrap().to_be_bytes();
    [V2_SIGNATURE, &[version_command, family], &len, body].concat()
}

fn proxied(source: &str, destination: &str) -> Header {
    Header::Proxied { source: source.parse().unwrap(), destination: destination.parse().unwrap() }
}

#[test]
fn v1_rfc_proxy_2_1() {
    for (line, header) in [
        (
            "PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n",
            proxied("192.0.2.1:56324", "198.51.100.1:443"),
        ),
        (
            "PROXY TCP6 2001:db8::1 2001:db8::2 0 65535\r\n",
            proxied("[2001:db8::1]:0", "[2001:db8::2]:65535"),
        ),
        (
            "PROXY TCP6 ::ffff:192.0.2.1 ::ffff:198.51.100.1 1 2\r\n",
            proxied("192.0.2.1:1", "198.51.100.1:2"),
        ),
        ("PROXY UNKNOWN\r\n", Header::Local),
        ("PROXY UNKNOWN what ever\r\n", Header::Local),
    ] {
        let complete = Ok(Decoded::Complete { header, len: line.len() });
        let with_rest = format!("{line}GET / HTTP/1.1\r\n");
        assert_eq!(decode(with_rest.as_bytes(), Accepted::V1), complete, "{line:?}");
        assert_eq!(decode(with_rest.as_bytes(), Accepted::Any), complete, "{line:?}");
        assert!(decode(line.as_bytes(), Accepted::V2).is_err(), "{line:?}");
        for cut in 0..line.len() {
            let verdict = decode(&line.as_bytes()[..cut], Accepted::Any);
            assert_eq!(verdict, Ok(Decoded::Partial), "{:?}", &line[..cut]);
        }
    }
}

#[test]
fn v1_malformed() {
    for line in [
        "GET / HTTP/1.1\r\n",
        "proxy TCP4 192.0.2.1 198.51.100.1 1 2\r\n",
        "PROXY\r\n",
        "PROXY \r\n",
        "PROXY  TCP4 192.0.2.1 198.51.100.1 1 2\r\n",
        "PROXY TCP4 192.0.2.1  198.51.100.1 1 2\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.1 1 2 \r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.1 1 2 3\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.1 1\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.1 1 2\n",
        "PROXY TCP4 192.0.2.1\t198.51.100.1 1 2\r\n",
        "PROXY TCP4 192.0.2.256 198.51.100.1 1 2\r\n",
        "PROXY TCP4 192.0.2.01 198.51.100.1 1 2\r\n",
        "PROXY TCP4 192.0.2 198.51.100.1 1 2\r\n",
        "PROXY TCP4 ::1 ::1 1 2\r\n",
        "PROXY TCP6 192.0.2.1 198.51.100.1 1 2\r\n",
        "PROXY TCP6 [::1] [::1] 1 2\r\n",
        "PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.1 65536 2\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.1 +1 2\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.1 01 2\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.1 -1 2\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.1  2\r\n",
        "PROXY TCP4 example.com 198.51.100.1 1 2\r\n",
        "PROXY UDP4 192.0.2.1 198.51.100.1 1 2\r\n",
        "PROXY tcp4 192.0.2.1 198.51.100.1 1 2\r\n",
        "PROXY UNKNOWNX\r\n",
    ] {
        assert!(decode(line.as_bytes(), Accepted::Any).is_err(), "{line:?}");
    }
}

#[test]
fn v1_is_at_most_107_bytes() {
    let line = |n: usize| format!("PROXY UNKNOWN {}\r\n", "a".repeat(n - 16)).into_bytes();
    assert!(decode(&line(107), Accepted::V1).is_ok());
    assert!(decode(&line(108), Accepted::V1).is_err());
    assert_eq!(decode(&line(107)[..106], Accepted::V1), Ok(Decoded::Partial));
    assert!(decode(&line(200)[..107], Accepted::V1).is_err());
}

#[test]
fn v2_rfc_proxy_2_2() {
    let tcp4 = [192, 0, 2, 1, 198, 51, 100, 1, 0xdc, 4, 1, 0xbb];
    let expected = proxied("192.0.2.1:56324", "198.51.100.1:443");
    let tlv = [tcp4.as_slice(), &[4, 0, 1, 0]].concat();
    let mut mapped = Vec::new();
    for ip in [Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(198, 51, 100, 1)] {
        mapped.extend_from_slice(&ip.to_ipv6_mapped().octets());
    }
    mapped.extend_from_slice(&tcp4[8..]);
    for (bytes, header) in [
        (v2(0x21, 0x11, &tcp4), expected),
        (v2(0x21, 0x11, &tlv), expected),
        (v2(0x21, 0x21, &mapped), expected),
        (v2(0x20, 0x00, b""), Header::Local),
        (v2(0x20, 0x11, &tcp4), Header::Local),
        (v2(0x21, 0x00, b"abc"), Header::Local),
        (v2(0x21, 0x31, &[b'a'; 216]), Header::Local),
    ] {
        let complete = Ok(Decoded::Complete { header, len: bytes.len() });
        let with_rest = [bytes.as_slice(), b"GET"].concat();
        assert_eq!(decode(&with_rest, Accepted::V2), complete);
        assert_eq!(decode(&with_rest, Accepted::Any), complete);
        assert!(decode(&with_rest, Accepted::V1).is_err());
        for cut in 0..bytes.len() {
            assert_eq!(decode(&bytes[..cut], Accepted::V2), Ok(Decoded::Partial), "{cut}");
        }
    }
}

#[test]
fn v2_malformed() {
    let wrong_signature = [b"\r\n\r\n\0\r\nQUIT\r".as_slice(), &[0x21, 0x11, 0, 0]].concat();
    for bytes in [
        wrong_signature,
        v2(0x11, 0x11, &[0; 12]),
        v2(0x31, 0x11, &[0; 12]),
        v2(0x22, 0x11, &[0; 12]),
        v2(0x21, 0x11, &[0; 11]),
        v2(0x21, 0x21, &[0; 35]),
        v2(0x21, 0x41, &[0; 36]),
        v2(0x21, 0x13, &[0; 36]),
        v2(0x21, 0x11, &[0; 521]),
        v2(0x20, 0x00, &[0; 521])[..V2_FIXED].to_vec(),
    ] {
        assert!(decode(&bytes, Accepted::Any).is_err(), "{}", bytes.escape_ascii());
    }
    assert!(decode(&v2(0x21, 0x11, &[0; 520]), Accepted::Any).is_ok());
}

#[test]
fn v1_of_mixed_families_is_written_in_one() {
    let mut out = Vec::new();
    write_v1(&mut out, "192.0.2.1:1".parse().unwrap(), "[2001:db8::1]:2".parse().unwrap());
    assert_eq!(
        String::from_utf8(out).unwrap(),
        "PROXY TCP6 0:0:0:0:0:ffff:c000:201 2001:db8:0:0:0:0:0:1 1 2\r\n"
    );
}

proptest! {
    #[test]
    fn decoding_undoes_encoding(source: SocketAddr, destination: SocketAddr) {
        let plain = |a: SocketAddr| SocketAddr::new(a.ip().to_canonical(), a.port());
        let header = Header::Proxied { source: plain(source), destination: plain(destination) };
        for (write, accepted) in [
            (write_v1 as fn(&mut Vec<u8>, SocketAddr, SocketAddr), Accepted::V1),
            (write_v2, Accepted::V2),
        ] {
            let mut out = Vec::new();
            write(&mut out, source, destination);
            prop_assert!(out.len() <= PROXY_V1_BYTES_MAX);
            let len = out.len();
            out.extend_from_slice(b"GET");
            prop_assert_eq!(decode(&out, accepted), Ok(Decoded::Complete { header, len }));
        }
    }

    #[test]
    fn random_bytes(v1: bool, rest in prop::collection::vec(any::<u8>(), 0..600)) {
        crate::proto::fuzz::proxy_header(&rest);
        let start = if v1 { V1_START } else { V2_SIGNATURE };
        crate::proto::fuzz::proxy_header(&[start, rest.as_slice()].concat());
    }
}
