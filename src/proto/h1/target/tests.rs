//! The one canonical form of hosts, and what is forwarded as target.

use super::*;

#[test]
fn hosts_rfc9110_7_2() {
    for (text, name, port) in [
        ("a", "a", None),
        ("Example.COM", "example.com", None),
        ("example.com.", "example.com", None),
        ("EXAMPLE.com.:8080", "example.com", Some(8080)),
        ("example.com:", "example.com", None),
        ("example.com:0080", "example.com", Some(80)),
        ("xn--bcher-kva.example", "xn--bcher-kva.example", None),
        ("my_service-1:80", "my_service-1", Some(80)),
        ("192.0.2.1:65535", "192.0.2.1", Some(65535)),
        ("[::1]", "[::1]", None),
        ("[2001:DB8:0:0:0:0:0:1]:443", "[2001:db8::1]", Some(443)),
    ] {
        let host = Host::parse(text.as_bytes()).unwrap();
        assert_eq!((host.name.as_ref(), host.port), (name, port), "{text}");
    }
}

#[test]
fn names_at_their_bounds_rfc1035_2_3_4() {
    let label = "a".repeat(63);
    let name = [label.as_str(), &label, &label, &label[..61]].join(".");
    assert_eq!(name.len(), 253);
    assert!(canonical_name(&name).is_some());
    assert!(canonical_name(&format!("{name}.")).is_some());
    assert!(canonical_name(&format!("{name}a")).is_none());
    assert!(canonical_name(&format!("{label}a.b")).is_none());
    for wrong in
        ["", ".", "*", "*.a", "a,b", "a;b", "a b", "[", "]", "[]", "[::1", "::1]", "[1.2.3.4]"]
    {
        assert!(canonical_name(wrong).is_none(), "{wrong}");
    }
}

#[test]
fn what_is_forwarded_rfc9112_3_2() {
    for (method, text, forwarded, host) in [
        ("GET", "/", "/", None),
        ("GET", "/a//../%2e?b=c", "/a//../%2e?b=c", None),
        ("GET", "//a/b", "//a/b", None),
        ("GET", "/http://a/", "/http://a/", None),
        ("OPTIONS", "*", "*", None),
        ("GET", "http://A.example", "/", Some("a.example")),
        ("GET", "http://a/b?c", "/b?c", Some("a")),
        ("GET", "http://a?b/c", "/?b/c", Some("a")),
        ("GET", "HtTp://a:8080//b", "//b", Some("a:8080")),
        ("GET", "http://a/http://b/", "/http://b/", Some("a")),
        ("OPTIONS", "http://a", "*", Some("a")),
        ("OPTIONS", "http://a/", "/", Some("a")),
    ] {
        let (target, authority) = Target::parse(text, method, Scheme::Http).unwrap();
        assert_eq!(target.as_str(), forwarded, "{method} {text}");
        assert_eq!(authority.map(|a| a.to_string()).as_deref(), host, "{method} {text}");
    }
    assert!(Target::parse("https://a/", "GET", Scheme::Https).is_ok());
    assert!(Target::parse("http://a/", "GET", Scheme::Https).is_err());
}

#[test]
fn default_ports_are_none() {
    let host = |text: &'static str| Host::parse(text.as_bytes()).unwrap();
    assert!(host("a").same(&host("A.:80"), Scheme::Http));
    assert!(!host("a").same(&host("a:80"), Scheme::Https));
    assert!(host("a").same(&host("a:443"), Scheme::Https));
    assert!(!host("a:1").same(&host("a:2"), Scheme::Http));
    assert!(!host("a").same(&host("b"), Scheme::Http));
}
