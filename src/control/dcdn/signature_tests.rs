//! The test vectors of the DCDN OpenAPI 2018-01-15, recorded from the official clients with the key
//! `testid` and the secret `testsecret`.

use super::*;

const SECRET: &str = "testsecret";

fn pairs(text: &str) -> Vec<Pair> {
    form_urlencoded::parse(text.as_bytes()).into_owned().collect()
}

/// What no test may accept in the place of `text`: each of its bytes replaced by another.
fn flipped(text: &str) -> impl Iterator<Item = String> {
    (0..text.len()).map(|at| {
        let mut bytes = text.as_bytes().to_vec();
        bytes[at] = if bytes[at] == b'b' { b'c' } else { b'b' };
        String::from_utf8(bytes).unwrap()
    })
}

// === Version 1 ===

fn v1(method: &str, sent: &str) -> (String, String) {
    let pairs = pairs(sent);
    let signature = pairs.iter().find(|(name, _)| name == "Signature").unwrap().1.clone();
    (v1_string_to_sign(method, &pairs), signature)
}

/// Classic Python SDK, `SignatureType` is empty and signed.
const CLASSIC: &str = "DomainName=a.example.com%2Cb.example.com&StartTime=2026-10-01T00%3A00%3A00Z\
    &EndTime=2026-10-01T00%3A10%3A00Z&Interval=300&IspNameEn=unicom&LocationNameEn=beijing\
    &Version=2018-01-15&Action=DescribeDcdnDomainWebsocketTrafficData&Format=JSON\
    &RegionId=cn-hangzhou&Timestamp=2026-11-22T09%3A30%3A00Z&SignatureMethod=HMAC-SHA1\
    &SignatureType=&SignatureVersion=1.0&SignatureNonce=6e9789b8da4b104aa448580dba6fa69d\
    &AccessKeyId=testid&Signature=t4DXsvElJvguMExbqLiTi%2Fhl%2Fgg%3D";
/// pop-core, all of it in a form body.
const POP_CORE: &str = "AccessKeyId=testid&Action=BatchSetDcdnDomainConfigs\
    &DomainNames=a.example.com&Format=JSON&Functions=%5B%7B%22functionArgs%22%3A%5B%7B%22argName\
    %22%3A%22enabled%22%2C%22argValue%22%3A%22on%22%7D%5D%2C%22functionName%22%3A%22websocket%22\
    %2C%22x%22%3A%22a%20b%2A~%22%7D%5D&SignatureMethod=HMAC-SHA1\
    &SignatureNonce=ded814bbca125a19d8ab89d1854bc612&SignatureVersion=1.0\
    &Timestamp=2026-11-22T09%3A30%3A26Z&Version=2018-01-15\
    &Signature=sRD9w%2BykVYEl9sCKhDK%2BJgmlMaE%3D";
/// Current Python SDK with `signature_algorithm='v2'`: a space is a plus sign.
const TEA_V2: &str = "Action=BatchSetDcdnDomainConfigs&Format=json&Version=2018-01-15\
    &Timestamp=2026-11-22T09%3A31%3A00Z&SignatureNonce=274b4f3bb849b472bc02addb35ea2d73\
    &DomainNames=a.example.com&Functions=%5B%7B%22a%22%3A%22x+y%2A~%2B%C3%A9%E4%B8%AD%2F%3F%26%3D\
    %25%22%7D%5D&SignatureMethod=HMAC-SHA1&SignatureVersion=1.0&AccessKeyId=testid\
    &Signature=ZGx1bCPK1%2FkzPvH%2BjEVaskncpc0%3D";

// DCDN OpenAPI 2018-01-15, vectors V1-1, V1-2 and V1-3.
#[test]
fn v1_vectors() {
    for sent in [CLASSIC, POP_CORE, TEA_V2] {
        let (string_to_sign, signature) = v1("POST", sent);
        assert!(v1_matches(SECRET, &string_to_sign, &signature), "{string_to_sign}");
        assert!(!v1_matches("testsecreT", &string_to_sign, &signature));
        let (get, _) = v1("GET", sent);
        assert!(!v1_matches(SECRET, &get, &signature), "the method is signed");
        for wrong in flipped(&string_to_sign) {
            assert!(!v1_matches(SECRET, &wrong, &signature), "{wrong}");
        }
        for wrong in ["", "x", "t4DX", &signature[1..], &format!("{signature}=")] {
            assert!(!v1_matches(SECRET, &string_to_sign, wrong), "{wrong:?}");
        }
    }
}

#[test]
fn v1_string_to_sign_is_the_one_of_the_clients() {
    let (string_to_sign, _) = v1("POST", CLASSIC);
    assert_eq!(
        string_to_sign,
        "POST&%2F&AccessKeyId%3Dtestid%26Action%3DDescribeDcdnDomainWebsocketTrafficData\
         %26DomainName%3Da.example.com%252Cb.example.com\
         %26EndTime%3D2026-10-01T00%253A10%253A00Z%26Format%3DJSON%26Interval%3D300\
         %26IspNameEn%3Dunicom%26LocationNameEn%3Dbeijing%26RegionId%3Dcn-hangzhou\
         %26SignatureMethod%3DHMAC-SHA1%26SignatureNonce%3D6e9789b8da4b104aa448580dba6fa69d\
         %26SignatureType%3D%26SignatureVersion%3D1.0\
         %26StartTime%3D2026-10-01T00%253A00%253A00Z\
         %26Timestamp%3D2026-11-22T09%253A30%253A00Z%26Version%3D2018-01-15"
    );
}

// === Version 3 ===

const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const AGENT: &str = "AlibabaCloud (Linux; x86_64) Python/3.11.7 Core/0.4.3 TeaDSL/2";
const SIGNED: &str = "accept;host;user-agent;x-acs-action;x-acs-content-sha256;\
    x-acs-credentials-provider;x-acs-date;x-acs-signature-nonce;x-acs-version";

struct Vector {
    query: &'static str,
    headers: Vec<(&'static str, &'static str)>,
    signature: &'static str,
}

fn headers(
    host: &'static str,
    action: &'static str,
    date: &'static str,
    nonce: &'static str,
) -> Vec<(&'static str, &'static str)> {
    vec![
        ("accept-encoding", "identity"),
        ("host", host),
        ("x-acs-version", "2018-01-15"),
        ("x-acs-action", action),
        ("user-agent", AGENT),
        ("x-acs-date", date),
        ("x-acs-signature-nonce", nonce),
        ("accept", " application/json "),
        ("x-acs-content-sha256", EMPTY),
        ("x-acs-credentials-provider", "static_ak"),
    ]
}

fn vectors() -> [Vector; 2] {
    [
        Vector {
            query: "DomainNames=a.example.com&Functions=%5B%7B%22a%22%3A%22x+y%2A~%2B%C3%A9%E4%B8\
                    %AD%2F%3F%26%3D%25%22%7D%5D",
            headers: headers(
                "127.0.0.1:18082",
                "BatchSetDcdnDomainConfigs",
                "2026-11-22T09:31:00Z",
                "5e5e86febbf5c9f80ce94772d72826b5",
            ),
            signature: "60b19a8cd33b07e82d7e369b6346d9c40c850ce563ca588ae21beb3a2f68c8b1",
        },
        Vector {
            query: "DomainName=a.example.com%2Cb.example.com&EndTime=2026-10-01T00%3A10%3A00Z\
                    &Interval=300&IspNameEn=unicom&LocationNameEn=beijing\
                    &StartTime=2026-10-01T00%3A00%3A00Z",
            headers: headers(
                "127.0.0.1:18080",
                "DescribeDcdnDomainWebsocketTrafficData",
                "2026-11-22T09:29:27Z",
                "996670689691f98ca51835d719304800",
            ),
            signature: "3591dcd5e5839f09945a8d8446d85381a8e9354874e843564a1f551b672a3ea8",
        },
    ]
}

fn v3(vector: &Vector, body: &[u8], signed: &str) -> Result<String, Failure> {
    let query = pairs(vector.query);
    let headers = &vector.headers;
    v3_string_to_sign(&Sent { method: "POST", path: "/", query: &query, headers, body }, signed)
}

// DCDN OpenAPI 2018-01-15, vectors V3-1 and V3-2.
#[test]
fn v3_vectors() {
    for vector in vectors() {
        let string_to_sign = v3(&vector, b"", SIGNED).unwrap();
        assert!(v3_matches(SECRET, &string_to_sign, vector.signature), "{string_to_sign}");
        assert!(v3_matches(SECRET, &string_to_sign, &vector.signature.to_uppercase()));
        assert!(!v3_matches("testsecreT", &string_to_sign, vector.signature));
        for wrong in flipped(vector.signature) {
            assert!(!v3_matches(SECRET, &string_to_sign, &wrong), "{wrong}");
        }
        for wrong in ["", "6", "zz", &vector.signature[2..]] {
            assert!(!v3_matches(SECRET, &string_to_sign, wrong), "{wrong:?}");
        }
        // `%5b` and `%5B` are the same byte.
        let others = flipped(vector.query).filter(|query| pairs(query) != pairs(vector.query));
        for query in others {
            let mut headers = vector.headers.clone();
            let sent = Sent {
                method: "POST",
                path: "/",
                query: &pairs(&query),
                headers: &headers,
                body: b"",
            };
            let other = v3_string_to_sign(&sent, SIGNED).unwrap();
            assert!(!v3_matches(SECRET, &other, vector.signature), "{query}");
            let at = headers.iter().position(|(name, _)| *name == "x-acs-date").unwrap();
            headers[at].1 = "2026-11-22T09:31:01Z";
            let vector = Vector { headers, ..vector_like(&vector) };
            let other = v3(&vector, b"", SIGNED).unwrap();
            assert!(!v3_matches(SECRET, &other, vector.signature));
        }
    }
    let first = v3(&vectors()[0], b"", SIGNED).unwrap();
    assert_eq!(
        first,
        "ACS3-HMAC-SHA256\n48d7b069076bf140f9891f292055905f7b7b8eb6a486a890d3b7659ee4580979"
    );
}

fn vector_like(vector: &Vector) -> Vector {
    Vector { query: vector.query, headers: Vec::new(), signature: vector.signature }
}

// DCDN OpenAPI 2018-01-15, signing: `host` and every `x-acs-*` header are signed, once; the hash is
// that of the body.
#[test]
fn v3_signs_all_that_matters() {
    let [vector, _] = vectors();
    let incomplete = |vector: &Vector, body: &[u8], signed: &str| {
        let error = v3(vector, body, signed).unwrap_err();
        assert_eq!(error.code, "IncompleteSignature", "{signed}");
    };
    for name in SIGNED.split(';').filter(|name| *name == "host" || name.starts_with("x-acs-")) {
        let fewer: Vec<&str> = SIGNED.split(';').filter(|signed| *signed != name).collect();
        incomplete(&vector, b"", &fewer.join(";"));
    }
    incomplete(&vector, b"", "");
    incomplete(&vector, b"", &format!("{SIGNED};x-acs-missing"));
    incomplete(&vector, b"x", SIGNED);
    let mut twice = vector_like(&vector);
    twice.headers = [vector.headers.clone(), vec![("x-acs-action", "DeleteDcdnDomain")]].concat();
    incomplete(&twice, b"", SIGNED);
    let fewer = "host;x-acs-action;x-acs-content-sha256;x-acs-credentials-provider;x-acs-date;\
                 x-acs-signature-nonce;x-acs-version";
    assert!(v3(&vector, b"", fewer).is_ok(), "Node signs no other headers");
}

#[test]
fn authorizations() {
    let read = Authorization::read;
    let good = "ACS3-HMAC-SHA256 Credential=testid,SignedHeaders=a;b, Signature=0f";
    let expected = Authorization { credential: "testid", signed_headers: "a;b", signature: "0f" };
    assert_eq!(read(good), Ok(Some(expected)));
    assert_eq!(read("Bearer x"), Ok(None));
    assert_eq!(read(""), Ok(None));
    for wrong in [
        "ACS3-HMAC-SM3 Credential=testid,SignedHeaders=a,Signature=0f",
        "ACS3-RSA-SHA256 Credential=testid,SignedHeaders=a,Signature=0f",
        "ACS3-HMAC-SHA256",
        "ACS3-HMAC-SHA256 Credential=testid,SignedHeaders=a",
        "ACS3-HMAC-SHA256 Credential=testid,SignedHeaders=a,Signature",
        "ACS3-HMAC-SHA256 Credential=a,Credential=b,SignedHeaders=a,Signature=0f",
        "ACS3-HMAC-SHA256 Credential=testid,SignedHeaders=a,Signature=0f,More=x",
    ] {
        assert_eq!(read(wrong).unwrap_err().code, "IncompleteSignature", "{wrong}");
    }
}
