//! Certificates by request (DCDN OpenAPI 2018-01-15): the key is made here, an authority signs, and
//! what it signed comes back. Private keys are in no answer, no log and no error.
//!
//! Not here: how keys are made and kept (`certs::request`).

use std::net::IpAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest, Md5};
use serde_json::json;

use super::super::Dcdn;
use super::super::error::{self, Failure};
use super::super::request::Parameters;
use super::certificates::{self, Wanted};
use super::{Answer, Call, names};
use crate::control::certs::request::{RequestError, Subject};
use crate::control::changes::certificates::requests;
use crate::limits::{DCDN_CERTIFICATE_BYTES_MAX, DCDN_REQUEST_NAMES_MAX};

/// RFC 5280, appendix A: ub-common-name and ub-organization-name.
const NAME_CHARS_MAX: usize = 64;
/// ub-state-name and ub-locality-name.
const PLACE_CHARS_MAX: usize = 128;
const EMAIL_CHARS_MAX: usize = 255;
const PEM_BEGINS: &str = "-----BEGIN";

/// DCDN fills what is not given with its own company; here it is left out.
pub async fn create(call: &Call<'_>) -> Answer {
    let common_name = line(call.parameters, "CommonName", NAME_CHARS_MAX)?;
    let common_name = common_name.ok_or_else(|| Failure::missing("CommonName"))?;
    let subject = subject(call.parameters, common_name)?;
    let Dcdn { edge, .. } = &**call.dcdn;
    let requests = requests(edge);
    let made = edge.database.off_the_runtime(move |_| requests.make(&subject)).await;
    let made = made.map_err(|error| match error {
        RequestError::Full { .. } => Failure::bad("CertificateRequest.Exceed", error.to_string()),
        RequestError::Subject(_) => Failure::bad("InvalidParameter", error.to_string()),
        RequestError::Io { .. } => Failure::internal(&error),
    })?;
    let public_key = hexadecimal(&Md5::digest(&made.public_key));
    let about = format!("certificate request for {common_name}, public key MD5 {public_key}");
    call.note(about, Box::new(|_| Ok(()))).await?;
    Ok(json!({"CommonName": common_name, "Csr": made.pem, "PubMd5": public_key}))
}

pub async fn set(call: &Call<'_>) -> Answer {
    let name = names::own(call.parameters.required("DomainName")?)?;
    let given = call.parameters.text("ServerCertificate");
    let chain = decoded(given.ok_or(error::CERTIFICATE_MISSING)?)?;
    let domains = [name];
    call.known_domains(&domains).await?;
    let Dcdn { edge, .. } = &**call.dcdn;
    let (requests, text) = (requests(edge), chain.clone());
    let key = edge.database.off_the_runtime(move |_| requests.key_of(text.as_bytes())).await;
    let key = key.map_err(|_| error::CERTIFICATE_FORMAT)?.ok_or(error::CERTIFICATE_NO_KEY)?;
    let key = std::str::from_utf8(&key).map_err(|_| error::CERTIFICATE_NO_KEY)?;
    let wanted = Wanted { chain: &chain, key, name: None, region: "" };
    certificates::replace(call, &domains, Some(wanted)).await
}

fn subject(parameters: &Parameters, common_name: &str) -> Result<Subject, Failure> {
    let country = parameters.text("Country");
    if country.is_some_and(|c| c.len() != 2 || !c.bytes().all(|b| b.is_ascii_uppercase())) {
        return Err(error::COUNTRY_MALFORMED.into());
    }
    let email = line(parameters, "Email", EMAIL_CHARS_MAX)?;
    if email.is_some_and(|email| !email.is_ascii() || !email.contains('@')) {
        return Err(malformed("Email", "an address in ASCII"));
    }
    let given = |name, most| line(parameters, name, most).map(|text| text.map(str::to_owned));
    Ok(Subject {
        common_name: common_name.to_owned(),
        names: alternative_names(parameters, common_name)?,
        organization: given("Organization", NAME_CHARS_MAX)?,
        organization_unit: given("OrganizationUnit", NAME_CHARS_MAX)?,
        country: country.map(str::to_owned),
        state: given("State", PLACE_CHARS_MAX)?,
        city: given("City", PLACE_CHARS_MAX)?,
        email: email.map(str::to_owned),
    })
}

/// Each name once. Clients read these and not the common name (RFC 9525), so that one comes first
/// if it is a name of a host.
fn alternative_names(parameters: &Parameters, common_name: &str) -> Result<Vec<String>, Failure> {
    let mut all: Vec<String> = host(common_name).into_iter().collect();
    for text in parameters.listed("SANs") {
        let accepted = "names of hosts and addresses, with commas between them";
        let name = host(text).ok_or_else(|| malformed("SANs", accepted))?;
        if !all.contains(&name) {
            all.push(name);
        }
    }
    match all.len() {
        ..=DCDN_REQUEST_NAMES_MAX => Ok(all),
        _ => Err(malformed("SANs", &format!("at most {DCDN_REQUEST_NAMES_MAX} names"))),
    }
}

fn host(text: &str) -> Option<String> {
    match text.parse::<IpAddr>() {
        Ok(address) => Some(address.to_string()),
        Err(_) => {
            names::own(text).ok().filter(|name| name.contains('.')).map(|name| (*name).into())
        }
    }
}

/// A text of one line that is not too long for its place in a certificate.
fn line<'a>(
    parameters: &'a Parameters,
    name: &str,
    most: usize,
) -> Result<Option<&'a str>, Failure> {
    let Some(text) = parameters.text(name).map(str::trim).filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    match text.chars().count() <= most && !text.chars().any(char::is_control) {
        true => Ok(Some(text)),
        false => Err(malformed(name, &format!("one line of at most {most} characters"))),
    }
}

/// DCDN asks for PEM in base64; PEM as it is is taken too.
fn decoded(text: &str) -> Result<String, Failure> {
    if text.len() > DCDN_CERTIFICATE_BYTES_MAX {
        return Err(error::CERTIFICATE_TOO_LONG.into());
    }
    if text.trim_start().starts_with(PEM_BEGINS) {
        return Ok(text.to_owned());
    }
    let packed: String = text.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    let bytes = STANDARD.decode(packed).map_err(|_| error::CERTIFICATE_DECODE)?;
    String::from_utf8(bytes).map_err(|_| error::CERTIFICATE_DECODE.into())
}

/// `Invalid<Param>.Malformed`.
fn malformed(parameter: &str, accepted: &str) -> Failure {
    let message = format!("The specified {parameter} is invalid: accepted is {accepted}.");
    Failure::bad(format!("Invalid{parameter}.Malformed"), message)
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str) -> Parameters {
        Parameters::read(query, b"").unwrap()
    }

    #[test]
    fn names_of_a_request() {
        let names = |common_name: &str, query: &str| alternative_names(&read(query), common_name);
        let found = names("A.test", "SANs=b.test,%20.c.test,a.test,192.0.2.1,2001:DB8::1").unwrap();
        assert_eq!(found, ["a.test", "b.test", "*.c.test", "192.0.2.1", "2001:db8::1"]);
        assert_eq!(names("testName", "").unwrap(), [""; 0], "a name, but of no host");
        for wrong in ["a b.test", "x", "a/b.test", "a.test,%00.test"] {
            let error = names("a.test", &format!("SANs={wrong}")).unwrap_err();
            assert_eq!(error.code, "InvalidSANs.Malformed", "{wrong}");
        }
        let many: Vec<String> = (0..=DCDN_REQUEST_NAMES_MAX).map(|n| format!("{n}.test")).collect();
        assert!(names("x", &format!("SANs={}", many.join(","))).is_err());
    }

    #[test]
    fn texts_that_no_certificate_may_hold() {
        let long = format!("Organization={}", "x".repeat(65));
        for (query, code) in [
            ("Country=CHN", "InvalidValue.Malformed"),
            ("Country=cn", "InvalidValue.Malformed"),
            (&*long, "InvalidOrganization.Malformed"),
            ("City=a%0Ab", "InvalidCity.Malformed"),
            ("Email=%C3%A4@a.test", "InvalidEmail.Malformed"),
            ("Email=nobody", "InvalidEmail.Malformed"),
        ] {
            assert_eq!(subject(&read(query), "a.test").unwrap_err().code, code, "{query}");
        }
        assert_eq!(decoded("!").unwrap_err().code, "Certificate.DecodeError");
        assert_eq!(decoded("LS0tLS1C\n RUdJTg==").unwrap(), "-----BEGIN");
        assert_eq!(decoded(" -----BEGIN x").unwrap(), " -----BEGIN x");
    }
}
