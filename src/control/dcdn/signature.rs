//! Both signature schemes of the official clients, from what was sent to whether the secret's owner
//! sent it: version 1 (HMAC-SHA1 over the parameters) and ACS3-HMAC-SHA256 (over the request).
//!
//! Pure. Not here: which parameters are required, times and nonces (`replay`), keys.

use std::fmt::Write;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::error::{self, Failure};

/// RFC 3986 2.3: what stays as it is.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
const ACS3: &str = "ACS3-HMAC-SHA256";

type Pair = (String, String);

// === Version 1 ===

/// What is signed: the method and all pairs of query and form body but the signature.
pub fn v1_string_to_sign(method: &str, pairs: &[Pair]) -> String {
    let signed = pairs.iter().filter(|(name, _)| name != "Signature");
    format!("{method}&%2F&{}", encoded(&canonical(signed)))
}

/// Compares in constant time. `signature` is base64.
pub fn v1_matches(secret: &str, string_to_sign: &str, signature: &str) -> bool {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, format!("{secret}&").as_bytes());
    let tag = STANDARD.decode(signature);
    tag.is_ok_and(|tag| hmac::verify(&key, string_to_sign.as_bytes(), &tag).is_ok())
}

// === Version 3 ===

/// `ACS3-HMAC-SHA256 Credential=ID,SignedHeaders=a;b,Signature=HEX`.
#[derive(Debug, PartialEq, Eq)]
pub struct Authorization<'a> {
    pub credential: &'a str,
    pub signed_headers: &'a str,
    pub signature: &'a str,
}

impl<'a> Authorization<'a> {
    /// `None`: not of a scheme whose name begins with `ACS3-`.
    ///
    /// # Errors
    /// `IncompleteSignature`: another algorithm of that family, or a part that is not there.
    pub fn read(header: &'a str) -> Result<Option<Authorization<'a>>, Failure> {
        let (scheme, rest) = header.trim().split_once(' ').unwrap_or((header.trim(), ""));
        if !scheme.starts_with("ACS3-") {
            return Ok(None);
        }
        if scheme != ACS3 {
            return Err(error::INCOMPLETE_SIGNATURE.into());
        }
        let (mut credential, mut signed_headers, mut signature) = (None, None, None);
        for part in rest.split(',') {
            let (name, value) = part.trim().split_once('=').ok_or(error::INCOMPLETE_SIGNATURE)?;
            let place = match name {
                "Credential" => &mut credential,
                "SignedHeaders" => &mut signed_headers,
                "Signature" => &mut signature,
                _ => return Err(error::INCOMPLETE_SIGNATURE.into()),
            };
            if place.replace(value).is_some() {
                return Err(error::INCOMPLETE_SIGNATURE.into());
            }
        }
        match (credential, signed_headers, signature) {
            (Some(credential), Some(signed_headers), Some(signature)) => {
                Ok(Some(Authorization { credential, signed_headers, signature }))
            }
            _ => Err(error::INCOMPLETE_SIGNATURE.into()),
        }
    }
}

/// A request as it came.
#[derive(Debug, Clone, Copy)]
pub struct Sent<'a> {
    pub method: &'a str,
    pub path: &'a str,
    /// Of the query alone: a body is signed by its hash.
    pub query: &'a [Pair],
    /// Names in lower case. Those with a value that is not ASCII have an empty one.
    pub headers: &'a [(&'a str, &'a str)],
    pub body: &'a [u8],
}

/// What is signed.
///
/// # Errors
/// `IncompleteSignature`: `host` or an `x-acs-*` header is not among the signed ones, a signed
/// header is not there or there twice, or the hash of the body is not that of the body.
pub fn v3_string_to_sign(sent: &Sent<'_>, signed_headers: &str) -> Result<String, Failure> {
    let signed: Vec<&str> = signed_headers.split(';').collect();
    let must = |name: &str| name == "host" || name.starts_with("x-acs-");
    if sent.headers.iter().any(|(name, _)| must(name) && !signed.contains(name))
        || !signed.contains(&"host")
    {
        return Err(error::INCOMPLETE_SIGNATURE.into());
    }
    let body_hash = sha256_hex(sent.body);
    let mut headers = String::new();
    for name in &signed {
        let mut values = sent.headers.iter().filter(|(known, _)| known == name);
        let (Some((_, value)), None) = (values.next(), values.next()) else {
            return Err(error::INCOMPLETE_SIGNATURE.into());
        };
        if *name == "x-acs-content-sha256" && !value.eq_ignore_ascii_case(&body_hash) {
            return Err(error::INCOMPLETE_SIGNATURE.into());
        }
        let _ = writeln!(headers, "{name}:{}", value.trim());
    }
    let Sent { method, path, query, .. } = sent;
    let query = canonical(query.iter());
    let request = format!("{method}\n{path}\n{query}\n{headers}\n{signed_headers}\n{body_hash}");
    Ok(format!("{ACS3}\n{}", sha256_hex(request.as_bytes())))
}

/// Compares in constant time. `signature` is hexadecimal.
pub fn v3_matches(secret: &str, string_to_sign: &str, signature: &str) -> bool {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let tag = from_hex(signature);
    tag.is_some_and(|tag| hmac::verify(&key, string_to_sign.as_bytes(), &tag).is_ok())
}

// === Both ===

/// Sorted and encoded anew: clients disagree on how a query is written (`+` or `%20`, `*` or
/// `%2A`), not on what it says.
fn canonical<'a>(pairs: impl Iterator<Item = &'a Pair>) -> String {
    let mut pairs: Vec<&Pair> = pairs.collect();
    pairs.sort();
    let written: Vec<String> =
        pairs.iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(value))).collect();
    written.join("&")
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, ENCODED).to_string()
}

fn sha256_hex(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in digest(&SHA256, bytes).as_ref() {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> =
        text.chars().map(|c| c.to_digit(16).map(|digit| digit as u8)).collect();
    let digits = digits.filter(|digits| digits.len() % 2 == 0)?;
    Some(digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}

#[cfg(test)]
#[path = "signature_tests.rs"]
mod tests;
