//! Files with certificates, keys and staples: from bytes to DER. Not here: what the certificates
//! say (`pair`).

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::pem::{self, PemObject, SectionKind};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use zeroize::Zeroizing;

use crate::control::config::Problem;
use crate::limits::PEM_FILE_BYTES_MAX;

/// The bytes of a file; what is wrong with it names `key`, which names the file.
pub fn read(path: &Path, key: &str) -> Result<Zeroizing<Vec<u8>>, Problem> {
    let problem = |what: String, accepted: &str| {
        Problem::of_file(path, format!("{key}: {what}"), Some(accepted.to_owned()))
    };
    let unreadable = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => {
            problem("there is no such file".to_owned(), "the path of a file that exists")
        }
        io::ErrorKind::PermissionDenied => problem(
            "not readable: permission denied".to_owned(),
            "a file that the user who runs hawser may read",
        ),
        _ => problem(format!("not readable: {error}"), "a readable file"),
    };
    // Asked before opening: opening a named pipe would wait for its writer.
    let metadata = fs::metadata(path).map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(problem("is not a regular file".to_owned(), "a regular file"));
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(metadata.len() as usize + 1));
    let file = File::open(path).map_err(unreadable)?;
    file.take(PEM_FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > PEM_FILE_BYTES_MAX {
        let what = format!("is larger than {PEM_FILE_BYTES_MAX} bytes");
        return Err(problem(what, "a file of at most 1 MiB"));
    }
    Ok(bytes)
}

/// All certificates of a text, at least one.
///
/// # Errors
/// What is wrong, and what is accepted.
pub fn certificates(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, (String, String)> {
    let accepted =
        || "a PEM file with the chain, leaf first: -----BEGIN CERTIFICATE----- ...".to_owned();
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
    let chain = chain.map_err(|error| (broken(&error), accepted()))?;
    if chain.is_empty() {
        return Err((format!("holds no certificate{}", instead(text)), accepted()));
    }
    Ok(chain)
}

/// The first private key of a text; `None` when there is none.
///
/// # Errors
/// What is wrong, and what is accepted. Never a part of the key.
pub fn private_key(text: &[u8]) -> Result<Option<PrivateKeyDer<'static>>, (String, String)> {
    let accepted = || {
        "a PEM file with an unencrypted key in PKCS#8, PKCS#1 or SEC1: -----BEGIN PRIVATE KEY-----"
            .to_owned()
    };
    match PrivateKeyDer::from_pem_slice(text) {
        Ok(key) => Ok(Some(key)),
        Err(pem::Error::NoItemsFound) if contains(text, "ENCRYPTED PRIVATE KEY") => {
            let decrypt = "; decrypt it with `openssl pkey -in FILE -out KEY`".to_owned();
            Err(("the private key is encrypted".to_owned(), accepted() + &decrypt))
        }
        Err(pem::Error::NoItemsFound) => Ok(None),
        Err(error) => Err((broken(&error), accepted())),
    }
}

/// A chain as text, with nothing else in it.
pub fn of_chain(chain: &[CertificateDer<'_>]) -> String {
    let mut text = String::new();
    for certificate in chain {
        text += "-----BEGIN CERTIFICATE-----\n";
        let base64 = STANDARD.encode(certificate);
        for line in base64.as_bytes().chunks(64) {
            text.extend(line.iter().map(|&byte| byte as char));
            text.push('\n');
        }
        text += "-----END CERTIFICATE-----\n";
    }
    text
}

/// Whether others than its owner may read the file.
pub fn is_open_to_others(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|file| file.permissions().mode() & 0o044 != 0)
}

/// What a file holds that has not what was looked for.
fn instead(text: &[u8]) -> &'static str {
    let mut sections = Sections::pem_slice_iter(text);
    match sections.next() {
        Some(Ok(Sections(SectionKind::PrivateKey | SectionKind::EcPrivateKey))) => {
            ", but a private key"
        }
        Some(Ok(Sections(SectionKind::RsaPrivateKey))) => ", but a private key",
        Some(Ok(Sections(SectionKind::Csr))) => {
            ", but a signing request: the certificate is what its issuer answers"
        }
        Some(_) => "",
        None if text.first() == Some(&0x30) => {
            ": it looks like DER; convert it with `openssl x509 -inform der -in FILE -out PEM`"
        }
        None => ": it is not PEM",
    }
}

/// Any section, by its kind alone.
struct Sections(SectionKind);

impl PemObject for Sections {
    fn from_pem(kind: SectionKind, _: Vec<u8>) -> Option<Sections> {
        Some(Sections(kind))
    }
}

/// Never the content: it may be a key.
fn broken(error: &pem::Error) -> String {
    let why = match error {
        pem::Error::MissingSectionEnd { .. } => "a section has no END line",
        pem::Error::IllegalSectionStart { .. } => "a BEGIN line is malformed",
        pem::Error::Base64Decode(_) => "a section is not base64",
        _ => "it cannot be read as PEM",
    };
    format!("is not sound PEM: {why}")
}

fn contains(text: &[u8], word: &str) -> bool {
    text.windows(word.len()).any(|window| window == word.as_bytes())
}
