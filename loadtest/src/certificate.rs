//! The certificate that all proxies of one run present: ECDSA P-256 for `load.test`, from an
//! authority that is made with it and forgotten.

use std::fs;
use std::path::PathBuf;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tempfile::TempDir;

pub const NAME: &str = "load.test";

pub struct Certificate {
    folder: TempDir,
}

impl Certificate {
    pub fn make() -> anyhow::Result<Certificate> {
        let mut authority = CertificateParams::new([])?;
        authority.distinguished_name.push(DnType::CommonName, "Authority of a load test");
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(authority, ec_key()?)?;
        let key = ec_key()?;
        let own = CertificateParams::new([NAME.to_owned()])?.signed_by(&key, &authority)?;
        let certificate = Certificate { folder: tempfile::tempdir()? };
        fs::write(certificate.authority(), authority.pem())?;
        fs::write(certificate.chain(), own.pem())?;
        fs::write(certificate.key(), key.serialize_pem())?;
        fs::write(certificate.both(), own.pem() + &key.serialize_pem())?;
        Ok(certificate)
    }

    /// What clients trust.
    pub fn authority(&self) -> PathBuf {
        self.folder.path().join("authority.pem")
    }

    pub fn chain(&self) -> PathBuf {
        self.folder.path().join("chain.pem")
    }

    pub fn key(&self) -> PathBuf {
        self.folder.path().join("key.pem")
    }

    /// Chain and key in one file.
    pub fn both(&self) -> PathBuf {
        self.folder.path().join("both.pem")
    }
}

fn ec_key() -> Result<KeyPair, rcgen::Error> {
    KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)
}
