//! Which calls are answered in which language.

use super::*;

fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
    pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
}

// DCDN OpenAPI 2018-01-15: `Format`; without it XML in version 1, JSON in version 3.
#[test]
fn the_language_of_an_answer() {
    let v3 = ("authorization", "ACS3-HMAC-SHA256 Credential=a");
    for (uri, pairs, expected) in [
        ("/", &[][..], Format::Xml),
        ("/?Format=json", &[], Format::Json),
        ("/?Format=JSON", &[], Format::Json),
        ("/?Format=XML", &[v3], Format::Xml),
        ("/?Format=other", &[], Format::Xml),
        ("/", &[v3], Format::Json),
        ("/", &[v3, ("accept", "application/json")], Format::Json),
        ("/", &[v3, ("accept", "text/xml")], Format::Xml),
        ("/", &[("accept", "application/json")], Format::Xml),
    ] {
        let uri: Uri = uri.parse().unwrap();
        assert_eq!(format(&uri, &headers(pairs)), expected, "{uri} {pairs:?}");
    }
}

#[test]
fn a_look_is_no_call() {
    let uri = |text: &str| text.parse::<Uri>().unwrap();
    assert!(is_a_look(&Method::GET, &uri("/"), &headers(&[])));
    assert!(!is_a_look(&Method::POST, &uri("/"), &headers(&[])));
    assert!(!is_a_look(&Method::GET, &uri("/?Action=DescribeDcdnService"), &headers(&[])));
    assert!(!is_a_look(&Method::GET, &uri("/"), &headers(&[("x-acs-action", "x")])));
}

// RFC 9110 12.5.1.
#[test]
fn who_looks_with_a_browser() {
    for (accept, html) in [
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", true),
        ("TEXT/HTML", true),
        ("text/plain;q=0.5, text/html;q=0.5", true),
        ("text/plain, text/html;q=0.5", false),
        ("text/html;q=0", false),
        ("*/*", false),
        ("application/json", false),
        ("", false),
    ] {
        assert_eq!(prefers_html(accept), html, "{accept}");
    }
}
