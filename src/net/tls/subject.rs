//! The subject of a certificate as one line of text (RFC 4514), in ASCII, so that it can stand in a
//! header field. Not here: whether the certificate is to be believed.

use std::fmt::Write as _;

use x509_parser::asn1_rs::ToDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;
use x509_parser::x509::{AttributeTypeAndValue, RelativeDistinguishedName};

use crate::limits::CERTIFICATE_SUBJECT_BYTES_MAX;

/// `None`: not to be read, or longer than the bound. A name cut short could be somebody else's.
pub(super) fn subject(certificate: &[u8]) -> Option<Box<str>> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let names: Vec<&RelativeDistinguishedName<'_>> = certificate.subject().iter_rdn().collect();
    let mut text = String::new();
    // RFC 4514 2.1: the last one first.
    for (i, name) in names.into_iter().rev().enumerate() {
        if i > 0 {
            text.push(',');
        }
        for (j, attribute) in name.iter().enumerate() {
            if j > 0 {
                text.push('+');
            }
            write_attribute(&mut text, attribute)?;
        }
        if text.len() > CERTIFICATE_SUBJECT_BYTES_MAX {
            return None;
        }
    }
    Some(text.into_boxed_str())
}

fn write_attribute(text: &mut String, attribute: &AttributeTypeAndValue<'_>) -> Option<()> {
    let oid = attribute.attr_type().to_id_string();
    let keyword = keyword(&oid);
    text.push_str(keyword.unwrap_or(&oid));
    text.push('=');
    match (keyword, attribute.as_str()) {
        (Some(_), Ok(value)) => write_value(text, value),
        _ => {
            // RFC 4514 2.4: what has no name or is no string is the DER itself.
            text.push('#');
            for byte in attribute.attr_value().to_der_vec().ok()? {
                let _ = write!(text, "{byte:02X}");
            }
        }
    }
    Some(())
}

/// RFC 4514 3 and RFC 4519, and the two that every CA uses besides.
fn keyword(oid: &str) -> Option<&'static str> {
    Some(match oid {
        "2.5.4.3" => "CN",
        "2.5.4.5" => "serialNumber",
        "2.5.4.6" => "C",
        "2.5.4.7" => "L",
        "2.5.4.8" => "ST",
        "2.5.4.9" => "STREET",
        "2.5.4.10" => "O",
        "2.5.4.11" => "OU",
        "0.9.2342.19200300.100.1.1" => "UID",
        "0.9.2342.19200300.100.1.25" => "DC",
        "1.2.840.113549.1.9.1" => "emailAddress",
        _ => return None,
    })
}

/// RFC 4514 2.4, with everything outside of printable ASCII as escaped bytes.
fn write_value(text: &mut String, value: &str) {
    let last = value.len().saturating_sub(1);
    for (i, byte) in value.bytes().enumerate() {
        match byte {
            b'"' | b'+' | b',' | b';' | b'<' | b'>' | b'\\' => {
                text.push('\\');
                text.push(char::from(byte));
            }
            b' ' if i == 0 || i == last => text.push_str("\\ "),
            b'#' if i == 0 => text.push_str("\\#"),
            b' '..=b'~' => text.push(char::from(byte)),
            _ => {
                let _ = write!(text, "\\{byte:02X}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};

    use super::*;

    fn of(names: &[(DnType, &str)]) -> Option<Box<str>> {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name = DistinguishedName::new();
        for (kind, value) in names {
            params.distinguished_name.push(kind.clone(), *value);
        }
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        subject(certificate.der())
    }

    #[test]
    fn names_are_written_as_in_rfc_4514() {
        use DnType::{CommonName, CountryName, OrganizationName};
        for (names, expected) in [
            ([].as_slice(), ""),
            (
                &[(CountryName, "CH"), (OrganizationName, "Acme"), (CommonName, "a b")],
                "CN=a b,O=Acme,C=CH",
            ),
            (&[(CommonName, " #x, \"y\"+z;<q>\\ ")], "CN=\\ #x\\, \\\"y\\\"\\+z\\;\\<q\\>\\\\\\ "),
            (&[(CommonName, "#1")], "CN=\\#1"),
            (&[(CommonName, " ")], "CN=\\ "),
            (&[(CommonName, "Zo\u{eb}\r\nX-Evil: 1")], "CN=Zo\\C3\\AB\\0D\\0AX-Evil: 1"),
            (&[(DnType::CustomDnType(vec![1, 2, 3, 4]), "ab")], "1.2.3.4=#0C026162"),
        ] {
            assert_eq!(of(names).as_deref(), Some(expected));
        }
    }

    #[test]
    fn a_name_beyond_the_bound_is_none() {
        let name = "x".repeat(CERTIFICATE_SUBJECT_BYTES_MAX - 3);
        assert_eq!(of(&[(DnType::CommonName, &name)]), Some(format!("CN={name}").into()));
        assert_eq!(of(&[(DnType::CommonName, &format!("{name}x"))]), None);
        assert_eq!(subject(b"\x30\x03\x02\x01\x00"), None);
    }
}
