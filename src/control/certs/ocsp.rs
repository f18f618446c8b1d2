//! OCSP responses that are stapled (RFC 6960 4.2.1): enough is read to refuse what is none, and to
//! warn of one that is stale. Not here: fetching them, and their signatures, which clients verify.

use jiff::Timestamp;
use x509_parser::asn1_rs::{Any, Class, FromDer, Tag};
use x509_parser::time::ASN1Time;

/// What a response says, as far as it is read.
#[derive(Debug, PartialEq, Eq)]
pub struct Staple {
    /// Of the certificate that it is about.
    pub serial: Vec<u8>,
    /// Unix time; `None`: it does not say when the next one is due.
    pub next_update: Option<i64>,
}

impl Staple {
    /// # Errors
    /// What is wrong, and what is accepted.
    pub fn of(der: &[u8]) -> Result<Staple, (String, String)> {
        let accepted = "a DER file as `openssl ocsp -respout FILE` writes it";
        let wrong = |what: &str| (what.to_owned(), accepted.to_owned());
        if der.starts_with(b"-----") {
            return Err(wrong("is PEM"));
        }
        let (rest, response) = element(der, SEQUENCE).ok_or_else(|| wrong("is not DER"))?;
        if !rest.is_empty() {
            return Err(wrong("has bytes behind its OCSP response"));
        }
        let (body, status) =
            element(response, ENUMERATED).ok_or_else(|| wrong("is not an OCSP response"))?;
        if status != [0] {
            let what = "is the responder's refusal, not an answer about a certificate";
            return Err(wrong(what));
        }
        basic(body).ok_or_else(|| wrong("is not an OCSP response of the basic type"))
    }

    pub fn is_stale(&self, now: Timestamp) -> bool {
        self.next_update.is_some_and(|next| next < now.as_second())
    }
}

type Kind = (Class, u32);

const SEQUENCE: Kind = (Class::Universal, Tag::Sequence.0);
const ENUMERATED: Kind = (Class::Universal, Tag::Enumerated.0);
const OID: Kind = (Class::Universal, Tag::Oid.0);
const OCTETS: Kind = (Class::Universal, Tag::OctetString.0);
const INTEGER: Kind = (Class::Universal, Tag::Integer.0);

const fn context(tag: u32) -> Kind {
    (Class::ContextSpecific, tag)
}

/// The first element, if it is of that kind: what stands behind it, and its content.
fn element(der: &[u8], kind: Kind) -> Option<(&[u8], &[u8])> {
    let (rest, any) = Any::from_der(der).ok()?;
    (any.class() == kind.0 && any.tag().0 == kind.1).then_some((rest, any.data))
}

/// Skips one element of whatever kind.
fn skip(der: &[u8]) -> Option<&[u8]> {
    Any::from_der(der).ok().map(|(rest, _)| rest)
}

/// responseBytes: a BasicOCSPResponse, of which the first SingleResponse counts.
fn basic(body: &[u8]) -> Option<Staple> {
    let (_, bytes) = element(body, context(0))?;
    let (_, bytes) = element(bytes, SEQUENCE)?;
    let (bytes, _) = element(bytes, OID)?;
    let (_, basic) = element(bytes, OCTETS)?;
    let (_, basic) = element(basic, SEQUENCE)?;
    let (_, mut data) = element(basic, SEQUENCE)?;
    if let Some((rest, _)) = element(data, context(0)) {
        data = rest;
    }
    // responderID, producedAt.
    let (_, responses) = element(skip(skip(data)?)?, SEQUENCE)?;
    let (_, single) = element(responses, SEQUENCE)?;
    let (single, id) = element(single, SEQUENCE)?;
    // hashAlgorithm, issuerNameHash, issuerKeyHash, serialNumber.
    let (_, serial) = element(skip(skip(skip(id)?)?)?, INTEGER)?;
    // certStatus, thisUpdate, nextUpdate.
    let behind = skip(skip(single)?)?;
    let next = element(behind, context(0)).and_then(|(_, time)| ASN1Time::from_der(time).ok());
    let next_update = next.map(|(_, time)| time.timestamp());
    Some(Staple { serial: serial.to_vec(), next_update })
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// As `openssl ocsp -respout` wrote it: good, serial 0x1234567890, next update 2026-11-29.
    const RESPONSE: &str = "308201070a0100a08201003081fd06092b06010505073001010481ef3081ec30\
        8193a21604145aa786a310073161e08b19b62b12d4a3bab05561180f32303236313132323232333930305a30\
        683066303e300906052b0e03021a05000414e4d940d9599ddacdb09364b946125df46bb3a62304145aa786a3\
        10073161e08b19b62b12d4a3bab05561020512345678908000180f32303236313132323232333930305aa011\
        180f32303236313132393232333930305a300a06082a8648ce3d040302034800304502210087fc37ad620ee6\
        54553093cdae012db6cdec1748b095edf01b0c8ad4499e071d022059288f19b250159a60d9c107a6101fe1e0\
        28397ea23ce11ec6106f258817915d";

    pub fn response() -> Vec<u8> {
        let digit = |at: usize| u8::from_str_radix(&RESPONSE[at..at + 2], 16).unwrap();
        (0..RESPONSE.len()).step_by(2).map(digit).collect()
    }

    #[test]
    fn a_response_says_whom_it_is_about_and_how_long_it_is_good() {
        let staple = Staple::of(&response()).unwrap();
        assert_eq!(staple.serial, [0x12, 0x34, 0x56, 0x78, 0x90]);
        let due: Timestamp = "2026-11-29T22:39:00Z".parse().unwrap();
        assert_eq!(staple.next_update, Some(due.as_second()));
        assert!(!staple.is_stale(due));
        assert!(staple.is_stale("2026-11-29T22:39:01Z".parse().unwrap()));
    }

    #[test]
    fn what_is_no_response_is_refused_with_a_reason() {
        let good = response();
        let refused = |der: &[u8]| Staple::of(der).unwrap_err().0;
        for cut in 0..good.len() {
            refused(&good[..cut]);
        }
        assert_eq!(refused(b"-----BEGIN OCSP RESPONSE-----"), "is PEM");
        assert_eq!(refused(&[&good[..], &[0]].concat()), "has bytes behind its OCSP response");
        // RFC 6960 4.2.1: tryLater (3).
        assert!(refused(&[0x30, 3, 0x0a, 1, 3]).contains("refusal"));
        for at in 0..good.len() {
            let mut bent = good.clone();
            bent[at] ^= 0x55;
            // Whatever it makes of it, it does not panic.
            let _ = Staple::of(&bent).map(|staple| staple.is_stale(Timestamp::UNIX_EPOCH));
        }
    }
}
