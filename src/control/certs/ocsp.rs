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
