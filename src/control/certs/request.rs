//! Certificate requests (PKCS #10, RFC 2986): a key that is made here and stays here, and what an
//! authority is asked to sign. Keys are files of `STATE_DIR/requests/`, for their owner only, named
//! by their public key: that is how the certificate finds its key when it comes.
//!
//! Not here: requests to an ACME server (`acme`), what becomes of the pair (`upload`).

use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use aws_lc_rs::digest::{SHA256, digest};
use rcgen::string::{Ia5String, PrintableString};
use rcgen::{
    CertificateParams, DistinguishedName, DnType, DnValue, KeyPair, PKCS_ECDSA_P256_SHA256,
    PublicKeyData, SanType,
};
use x509_parser::prelude::{FromDer, X509Certificate};
use zeroize::Zeroizing;

use super::pem;
use crate::control::owner::{Existing, make_dir, write_private};
use crate::limits::{CERTIFICATE_REQUEST_KEPT, CERTIFICATE_REQUESTS_MAX};

/// PKCS #9 emailAddress, 1.2.840.113549.1.9.1.
const EMAIL_ADDRESS: [u64; 7] = [1, 2, 840, 113_549, 1, 9, 1];

/// Whom a certificate shall be for; what is not there does not stand in the request.
#[derive(Debug, Default)]
pub struct Subject {
    pub common_name: String,
    /// Names and addresses of subjectAltName.
    pub names: Vec<String>,
    pub organization: Option<String>,
    pub organization_unit: Option<String>,
    /// ISO 3166-1 alpha-2.
    pub country: Option<String>,
    pub state: Option<String>,
    pub city: Option<String>,
    pub email: Option<String>,
}

#[derive(Debug)]
pub struct Request {
    pub pem: String,
    /// SubjectPublicKeyInfo, DER.
    pub public_key: Vec<u8>,
}

/// Nothing was kept.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    #[error("the request cannot be written: {0}")]
    Subject(#[from] rcgen::Error),
    #[error(
        "{} holds the keys of {CERTIFICATE_REQUESTS_MAX} requests of the last {} days, which is \
         as many as there may be; remove those that no certificate will come for",
        .dir.display(), CERTIFICATE_REQUEST_KEPT.as_secs() / 86_400
    )]
    Full { dir: PathBuf },
    #[error("cannot {doing} {}: {error}", .path.display())]
    Io { doing: &'static str, path: PathBuf, error: io::Error },
}

/// The requests that were made here.
#[derive(Debug)]
pub struct Requests {
    dir: PathBuf,
}

impl Requests {
    pub fn new(state_dir: &Path) -> Requests {
        Requests { dir: state_dir.join("requests") }
    }

    /// Makes a key (ECDSA on P-256, which every authority and every client takes) and a request for
    /// it. The key is kept before anybody hears of the request. Blocks.
    ///
    /// # Errors
    /// A text that no certificate may hold, too many keys, or the disk.
    pub fn make(&self, subject: &Subject) -> Result<Request, RequestError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let pem = parameters(subject)?.serialize_request(&key)?.pem()?;
        let public_key = key.subject_public_key_info();
        make_dir(&self.dir, 0o700).map_err(self.failed("create"))?;
        self.make_room()
            .map_err(self.failed("read"))?
            .then_some(())
            .ok_or_else(|| RequestError::Full { dir: self.dir.clone() })?;
        let text = Zeroizing::new(key.serialize_pem());
        write_private(&self.path(&public_key), text.as_bytes(), Existing::Keep)
            .map_err(self.failed("write"))?;
        Ok(Request { pem, public_key })
    }

    /// The key, PEM, whose public half the first certificate of `chain` has, if it was made here.
    /// Blocks.
    ///
    /// # Errors
    /// `chain` holds no certificate that can be read.
    pub fn key_of(&self, chain: &[u8]) -> Result<Option<Zeroizing<Vec<u8>>>, (String, String)> {
        let chain = pem::certificates(chain)?;
        let (_, leaf) = X509Certificate::from_der(&chain[0]).map_err(|error| {
            let what = format!("the first certificate cannot be parsed: {error}");
            (what, "a certificate of X.509 version 3".to_owned())
        })?;
        // A key that cannot be read is no better than one that is not there.
        Ok(fs::read(self.path(leaf.public_key().raw)).ok().map(Zeroizing::new))
    }

    fn path(&self, public_key: &[u8]) -> PathBuf {
        let digest = digest(&SHA256, public_key);
        let name: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        self.dir.join(format!("{name}.key"))
    }

    /// Whether another key may be kept. Keys that are old give way when it is needed.
    fn make_room(&self) -> io::Result<bool> {
        let keys = || -> io::Result<Vec<PathBuf>> {
            let entries = fs::read_dir(&self.dir)?.map(|entry| entry.map(|entry| entry.path()));
            let is_key = |path: &PathBuf| path.extension().is_some_and(|kind| kind == "key");
            entries.filter(|path| path.as_ref().map_or(true, is_key)).collect()
        };
        let all = keys()?;
        if all.len() < CERTIFICATE_REQUESTS_MAX {
            return Ok(true);
        }
        for path in all {
            let age = SystemTime::now().duration_since(fs::metadata(&path)?.modified()?);
            if age.is_ok_and(|age| age > CERTIFICATE_REQUEST_KEPT) {
                fs::remove_file(path)?;
            }
        }
        Ok(keys()?.len() < CERTIFICATE_REQUESTS_MAX)
    }

    fn failed(&self, doing: &'static str) -> impl FnOnce(io::Error) -> RequestError + use<> {
        let path = self.dir.clone();
        move |error| RequestError::Io { doing, path, error }
    }
}

fn parameters(subject: &Subject) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new([])?;
    for name in &subject.names {
        params.subject_alt_names.push(match name.parse::<IpAddr>() {
            Ok(address) => SanType::IpAddress(address),
            Err(_) => SanType::DnsName(Ia5String::try_from(&**name)?),
        });
    }
    let mut name = DistinguishedName::new();
    if let Some(country) = &subject.country {
        let country = DnValue::PrintableString(PrintableString::try_from(&**country)?);
        name.push(DnType::CountryName, country);
    }
    for (kind, text) in [
        (DnType::StateOrProvinceName, subject.state.as_ref()),
        (DnType::LocalityName, subject.city.as_ref()),
        (DnType::OrganizationName, subject.organization.as_ref()),
        (DnType::OrganizationalUnitName, subject.organization_unit.as_ref()),
        (DnType::CommonName, Some(&subject.common_name)),
    ] {
        text.into_iter().for_each(|text| name.push(kind.clone(), text.clone()));
    }
    if let Some(email) = &subject.email {
        let email = DnValue::Ia5String(Ia5String::try_from(&**email)?);
        name.push(DnType::CustomDnType(EMAIL_ADDRESS.to_vec()), email);
    }
    params.distinguished_name = name;
    Ok(params)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::time::Duration;

    use x509_parser::prelude::{ParsedExtension, X509CertificationRequest};

    use super::*;

    #[test]
    fn a_request_says_what_was_asked_for_and_its_certificate_finds_its_key() {
        let dir = tempfile::tempdir().unwrap();
        let requests = Requests::new(dir.path());
        let subject = Subject {
            common_name: "a.test".to_owned(),
            names: vec!["a.test".to_owned(), "*.b.test".to_owned(), "192.0.2.1".to_owned()],
            organization: Some("Ümläut & Co".to_owned()),
            country: Some("DE".to_owned()),
            email: Some("who@a.test".to_owned()),
            ..Subject::default()
        };
        let made = requests.make(&subject).unwrap();
        let (_, der) = x509_parser::pem::parse_x509_pem(made.pem.as_bytes()).unwrap();
        let (_, parsed) = X509CertificationRequest::from_der(&der.contents).unwrap();
        let info = &parsed.certification_request_info;
        assert_eq!(info.subject.to_string(), "C=DE, O=Ümläut & Co, CN=a.test, Email=who@a.test");
        assert_eq!(info.subject_pki.raw, made.public_key);
        let names = parsed.requested_extensions().unwrap().find_map(|extension| match extension {
            ParsedExtension::SubjectAlternativeName(names) => Some(names.general_names.len()),
            _ => None,
        });
        assert_eq!(names, Some(3));

        let path = requests.path(&made.public_key);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let text = fs::read_to_string(&path).unwrap();
        let key = KeyPair::from_pem(&text).unwrap();
        let signed = CertificateParams::new(["a.test".to_owned()]).unwrap().self_signed(&key);
        let chain = signed.unwrap().pem();
        assert_eq!(&**requests.key_of(chain.as_bytes()).unwrap().unwrap(), text.as_bytes());

        let other = rcgen::generate_simple_self_signed(["a.test".to_owned()]).unwrap();
        assert!(requests.key_of(other.cert.pem().as_bytes()).unwrap().is_none());
        assert!(requests.key_of(b"x").is_err());
    }

    #[test]
    fn keys_are_bounded_and_old_ones_give_way() {
        let dir = tempfile::tempdir().unwrap();
        let requests = Requests::new(dir.path());
        let subject = Subject { common_name: "a.test".to_owned(), ..Subject::default() };
        let first = requests.make(&subject).unwrap();
        for n in 1..CERTIFICATE_REQUESTS_MAX {
            fs::write(requests.dir.join(format!("{n}.key")), "").unwrap();
        }
        let full = requests.make(&subject).unwrap_err().to_string();
        assert!(full.contains("requests") && full.contains("remove those"), "{full}");
        let old = SystemTime::now() - CERTIFICATE_REQUEST_KEPT - Duration::from_secs(60);
        let file = fs::File::options().write(true).open(requests.path(&first.public_key)).unwrap();
        file.set_modified(old).unwrap();
        requests.make(&subject).unwrap();
        assert!(!requests.path(&first.public_key).exists());
    }
}
