//! Signatures, time stamps and nonces, and what a caller reads who got one of them wrong.

use serde_json::Value;

use super::{Site, TRAFFIC};
use crate::harness::dcdn::{SCHEMES, Scheme, WAYS, Way};
use crate::harness::{Api, Dcdn};

const MISMATCH: (u16, &str) = (400, "SignatureDoesNotMatch");
/// The classic Python SDK cuts the message at its first colon.
const PREFIX: &str = "Specified signature is not matched with our calculation. \
                      server string to sign is:";

fn site() -> Site {
    Site::with(&["a.test"])
}

/// DCDN OpenAPI 2018-01-15, gateway: a signature over something else.
#[test]
fn a_changed_call_is_not_the_one_that_was_signed() {
    let site = site();
    for scheme in SCHEMES {
        for way in WAYS {
            let call = || site.dcdn.call(TRAFFIC, &[]).scheme(scheme).way(way);
            assert_eq!(call().send().status, 200, "{scheme:?} {way:?}");
            let message = call().unsigned("DomainName", "a.test").refused(MISMATCH);
            if scheme == Scheme::V1 {
                assert!(message.starts_with(PREFIX), "{message:?}");
            }
        }
    }
}

/// Item 20: the SDK finds its own string to sign behind the colon and knows that only the secret is
/// wrong.
#[test]
fn a_wrong_secret_is_told_with_the_callers_own_string_to_sign() {
    let site = site();
    let wrong = Dcdn { secret: "w".repeat(40), ..site.dcdn.clone() };
    for way in WAYS {
        let call = wrong.call(TRAFFIC, &[("DomainName", "a.test")]).scheme(Scheme::V1).way(way);
        let own = call.string_to_sign();
        let message = call.refused(MISMATCH);
        assert_eq!(message.strip_prefix(PREFIX).map(str::trim), Some(own.as_str()), "{way:?}");
    }
    let message = wrong.call(TRAFFIC, &[]).scheme(Scheme::V3).refused(MISMATCH);
    assert!(!message.contains(&site.dcdn.secret), "{message}");
}

/// The string to sign of this call would hold a private key.
#[test]
fn a_mismatch_of_an_upload_says_nothing_of_its_parameters() {
    let site = site();
    let params =
        [("DomainName", "a.test"), ("SSLProtocol", "on"), ("SSLPub", "P"), ("SSLPri", "topsecret")];
    let wrong = Dcdn { secret: "w".repeat(40), ..site.dcdn.clone() };
    for scheme in SCHEMES {
        for action in ["SetDcdnDomainSSLCertificate", "SetDcdnDomainCertificate"] {
            let call = wrong.call(action, &params).scheme(scheme);
            let text = call.send().text();
            assert!(!text.contains("topsecret"), "{scheme:?} {action}: {text}");
        }
    }
    assert!(!site.edge.stderr().contains("topsecret"));
}

#[test]
fn a_call_is_good_for_fifteen_minutes_either_way() {
    let site = site();
    for scheme in SCHEMES {
        let call = || site.dcdn.call(TRAFFIC, &[]).scheme(scheme);
        for seconds in [-14 * 60, 14 * 60] {
            assert_eq!(call().seconds_off(seconds).send().status, 200, "{scheme:?} {seconds}");
        }
        for seconds in [-16 * 60, 16 * 60] {
            let message = call().seconds_off(seconds).refused((400, "InvalidTimeStamp.Expired"));
            assert_eq!(message, "Specified time stamp or date value is expired.");
        }
        for text in ["yesterday", "", "2026-11-22 09:31:00", "1700000000"] {
            let answer = call().timestamp(text).send();
            assert_eq!(answer.status, 400, "{scheme:?} {text:?}");
            let code = answer.json()["Code"].as_str().unwrap_or_default().to_owned();
            let missing = text.is_empty() && code.starts_with("Missing");
            assert!(missing || code == "InvalidTimeStamp.Format", "{scheme:?} {text:?}: {code}");
        }
    }
}

#[test]
fn a_nonce_is_good_once_for_each_key() {
    let site = site();
    let other = Dcdn::with(&site.edge, &site.edge.key("read"));
    for scheme in SCHEMES {
        let nonce = format!("one-{scheme:?}");
        let call = || site.dcdn.call(TRAFFIC, &[]).scheme(scheme).nonce(&nonce);
        // One that did not verify spends nothing.
        call().unsigned("X", "y").refused(MISMATCH);
        assert_eq!(call().send().status, 200, "{scheme:?}");
        let message = call().refused((400, "SignatureNonceUsed"));
        assert_eq!(message, "Specified signature nonce was used already.");
        // The same call once more, a minute older.
        call().seconds_off(-60).refused((400, "SignatureNonceUsed"));
        let other = other.call(TRAFFIC, &[]).scheme(scheme).nonce(&nonce);
        assert_eq!(other.send().status, 200, "{scheme:?}: another key's");
    }
}

/// Of calls that change something.
#[test]
fn a_change_that_was_recorded_is_not_repeated_after_a_restart() {
    let mut site = site();
    let at = crate::harness::dcdn::stamp(jiff::Timestamp::now());
    let tag = [
        ("ResourceType", "DOMAIN"),
        ("ResourceId.1", "a.test"),
        ("Tag.1.Key", "k"),
        ("Tag.1.Value", "v"),
    ];
    for scheme in SCHEMES {
        let nonce = format!("n{scheme:?}");
        let call = |dcdn: &Dcdn| {
            let call = dcdn.call("TagDcdnResources", &tag).scheme(scheme);
            call.nonce(&nonce).timestamp(&at).send()
        };
        assert_eq!(call(&site.dcdn).status, 200);
        site.edge.crash_and_start_again();
        site.dcdn = Dcdn::of(&site.edge);
        let answer = call(&site.dcdn);
        assert_eq!(answer.status, 400, "{}", answer.text());
        assert_eq!(answer.json()["Code"], "SignatureNonceUsed");
    }
}

#[test]
fn unknown_keys_actions_and_versions_are_named() {
    let site = site();
    let stranger = Dcdn { id: "HKnosuchkeynosuchkey".into(), ..site.dcdn.clone() };
    for scheme in SCHEMES {
        let unknown = stranger.call(TRAFFIC, &[]).scheme(scheme);
        let message = unknown.refused((404, "InvalidAccessKeyId.NotFound"));
        assert_eq!(message, "Specified access key is not found.");
        let action = site.dcdn.call("DescribeNothing", &[]).scheme(scheme);
        let message = action.refused((404, "InvalidAction.NotFound"));
        assert_eq!(message, "Specified api is not found, please check your url and method.");
        let version = site.dcdn.call(TRAFFIC, &[]).scheme(scheme).version("2019-01-01");
        let message = version.refused((400, "InvalidVersion"));
        assert_eq!(message, "Specified parameter Version is not valid.");
    }
}

#[test]
fn a_revoked_key_is_unknown_at_once() {
    let site = site();
    let key = site.edge.key("operate");
    let dcdn = Dcdn::with(&site.edge, &key);
    dcdn.ask(TRAFFIC, &[]);
    site.edge.hawser_done(&["key", "revoke", &dcdn.id]);
    for scheme in SCHEMES {
        dcdn.call(TRAFFIC, &[]).scheme(scheme).refused((404, "InvalidAccessKeyId.NotFound"));
    }
    site.dcdn.ask(TRAFFIC, &[]);
}

#[test]
fn fields_of_the_protocol_have_to_be_signed() {
    let site = site();
    let call = || site.dcdn.call(TRAFFIC, &[]).scheme(Scheme::V3);
    let answer = call().unsigned_field("x-acs-security-token", "t").send();
    assert_eq!(answer.json()["Code"], "IncompleteSignature", "{}", answer.text());
    assert_eq!(answer.status, 400);
    // A field of nobody's protocol may come from a proxy in between.
    assert_eq!(call().unsigned_field("X-Trace", "t").send().status, 200);
}

#[test]
fn what_is_no_signature_is_refused_as_an_incomplete_one() {
    let site = site();
    let api = Api::anonymous(&site.edge);
    let v1 = "Version=2018-01-15&Timestamp=2026-11-22T09%3A30%3A00Z&SignatureNonce=n\
              &AccessKeyId=x&SignatureMethod=HMAC-SHA1&SignatureVersion=1.0&Format=JSON";
    let acs3 = |authorization: &str| {
        api.request("POST", "/")
            .field("x-acs-action", TRAFFIC)
            .field("x-acs-version", "2018-01-15")
            .field("x-acs-date", "2026-11-22T09:30:00Z")
            .field("x-acs-signature-nonce", "n")
            .field("Authorization", authorization)
            .send()
    };
    let cases = [
        ("no signature", api.get(&format!("/?Action={TRAFFIC}&{v1}"))),
        ("an unknown method", {
            let other = v1.replace("HMAC-SHA1", "HMAC-MD5");
            api.get(&format!("/?Action={TRAFFIC}&{other}&Signature=x"))
        }),
        ("nothing but an action", api.get(&format!("/?Action={TRAFFIC}&Format=JSON"))),
        ("half a header", acs3("ACS3-HMAC-SHA256 Credential=x")),
        ("SM3", acs3("ACS3-HMAC-SM3 Credential=x,SignedHeaders=host,Signature=00")),
        ("RSA", acs3("ACS3-RSA-SHA256 Credential=x,SignedHeaders=host,Signature=00")),
        ("nonsense", acs3("ACS3-HMAC-SHA256 ,,,==;;")),
    ];
    for (what, answer) in cases {
        let body = answer.json();
        let code = body["Code"].as_str().unwrap_or_default();
        let known = ["IncompleteSignature", "MissingParameter", "InvalidAccessKeyId.NotFound"];
        let fits = known.contains(&code) || code.starts_with("Missing");
        assert!(fits && (400..=404).contains(&answer.status), "{what}: {body}");
    }
}

#[test]
fn other_methods_are_not_supported() {
    let site = site();
    for method in ["PUT", "DELETE", "PATCH"] {
        let answer = Api::anonymous(&site.edge).request(method, "/?Action=x&Format=JSON").send();
        assert!(matches!(answer.status, 403 | 405), "{method}: {}", answer.status);
    }
}

/// `Format` decides for V1, where its absence means XML, and `accept` for V3.
#[test]
fn errors_come_in_the_form_that_was_asked_for() {
    let site = site();
    let gone = [("DomainName", "gone.test")];
    let call = |scheme, format| {
        let call = site.dcdn.call("DescribeDcdnDomainDetail", &gone).scheme(scheme);
        call.way(Way::Get).format(format).send()
    };
    for (scheme, format, xml) in [
        (Scheme::V1, None, true),
        (Scheme::V1, Some("XML"), true),
        (Scheme::V1, Some("xml"), true),
        (Scheme::V1, Some("JSON"), false),
        (Scheme::V1, Some("json"), false),
        (Scheme::V3, None, false),
        (Scheme::V3, Some("JSON"), false),
    ] {
        let answer = call(scheme, format);
        assert_eq!(answer.status, 404, "{scheme:?} {format:?}");
        let content_type = answer.head.field("content-type").unwrap_or_default();
        if xml {
            // The Tea SDKs compare the whole value.
            assert_eq!(content_type, "text/xml;charset=utf-8", "{scheme:?} {format:?}");
            let (root, leaves) = crate::harness::shape::xml_leaves(&answer.text());
            assert_eq!(root, "Error");
            let code = ("/Code".to_owned(), "InvalidDomain.NotFound".to_owned());
            assert!(leaves.contains(&code), "{leaves:?}");
        } else {
            assert_eq!(content_type, "application/json;charset=utf-8", "{scheme:?} {format:?}");
            assert_eq!(answer.json()["Code"], Value::from("InvalidDomain.NotFound"));
        }
    }
}
