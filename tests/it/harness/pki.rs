//! Certificates that a test issues for itself: authorities, chains, and pairs that are good or
//! wrong in one way. Each pair has a folder of its own for as long as it lives.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, RsaKeySize,
};
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

const DAY: Duration = Duration::from_secs(86_400);

pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    /// What stands between the root and the pairs that it issues.
    intermediates: Vec<CertificateDer<'static>>,
    dir: tempfile::TempDir,
}

/// What a pair is to be like; [`Authority::issue`] makes it.
#[derive(Debug, Clone)]
pub struct Wish {
    names: Vec<String>,
    common_name: String,
    key: KeyKind,
    /// From now; negative ones are seconds ago.
    days_left: i64,
    usage: ExtendedKeyUsagePurpose,
    /// Bytes of an extension that nobody reads.
    ballast: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyKind {
    EcdsaP256,
    Rsa2048,
}

/// A certificate with its chain, and its key, in memory and in files.
pub struct Pair {
    pub chain: Vec<CertificateDer<'static>>,
    key: Vec<u8>,
    key_pem: String,
    dir: tempfile::TempDir,
}

impl Authority {
    pub fn new(name: &str) -> Authority {
        let issuer = CertifiedIssuer::self_signed(authority_params(name), key(KeyKind::EcdsaP256));
        Authority::over(issuer.expect("a root"), vec![])
    }

    /// One that signs with RSA, for peers who know nothing else.
    pub fn rsa(name: &str) -> Authority {
        let issuer = CertifiedIssuer::self_signed(authority_params(name), key(KeyKind::Rsa2048));
        Authority::over(issuer.expect("a root"), vec![])
    }

    /// An intermediate of this one.
    pub fn intermediate(&self, name: &str) -> Authority {
        let issuer = CertifiedIssuer::signed_by(
            authority_params(name),
            key(KeyKind::EcdsaP256),
            &self.issuer,
        )
        .expect("an intermediate");
        let mut above = vec![issuer.der().clone()];
        above.extend(self.intermediates.iter().cloned());
        Authority::over(issuer, above)
    }

    fn over(
        issuer: CertifiedIssuer<'static, KeyPair>,
        intermediates: Vec<CertificateDer<'static>>,
    ) -> Authority {
        let dir = folder();
        std::fs::write(dir.path().join("ca.pem"), issuer.pem()).expect("ca.pem");
        Authority { issuer, intermediates, dir }
    }

    /// A good ECDSA pair for servers of these names.
    pub fn pair(&self, names: &[&str]) -> Pair {
        self.issue(Wish::server(names))
    }

    pub fn issue(&self, wish: Wish) -> Pair {
        let mut params = CertificateParams::new(wish.names.clone()).expect("names");
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, wish.common_name);
        let now = SystemTime::now();
        params.not_before = (now - 100 * DAY).into();
        let left = DAY * u32::try_from(wish.days_left.unsigned_abs()).expect("days");
        let end = if wish.days_left < 0 { now - left } else { now + left };
        params.not_after = end.into();
        params.key_usages =
            vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
        params.extended_key_usages = vec![wish.usage];
        params.use_authority_key_identifier_extension = true;
        if wish.ballast > 0 {
            let ballast = vec![0x42; wish.ballast];
            let oid = [1, 3, 6, 1, 4, 1, 99_999, 1];
            params.custom_extensions.push(rcgen::CustomExtension::from_oid_content(&oid, ballast));
        }
        let key = key(wish.key);
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        let mut chain = vec![certificate.der().clone()];
        chain.extend(self.intermediates.iter().cloned());
        Pair::new(chain, &key)
    }

    /// What this authority, by OpenSSL, makes of a certificate request: PEM, with the names that
    /// were asked for.
    pub fn sign(&self, request: &str) -> String {
        let at = |name: &str| self.dir.path().join(name);
        std::fs::write(at("ca.key"), self.issuer.key().serialize_pem()).expect("ca.key");
        std::fs::write(at("request.pem"), request).expect("request.pem");
        let mut command = std::process::Command::new("openssl");
        command.args(["x509", "-req", "-days", "30", "-copy_extensions", "copyall", "-in"]);
        command.arg(at("request.pem")).arg("-CA").arg(self.file()).arg("-CAkey").arg(at("ca.key"));
        let output = command.output().expect("openssl");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}\n{request}");
        String::from_utf8(output.stdout).expect("PEM")
    }

    /// The certificate of the authority as a file.
    pub fn file(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }

    /// An OCSP response that calls this pair good, made by OpenSSL.
    pub fn ocsp_response(&self, pair: &Pair) -> Vec<u8> {
        let (_, certificate) = x509_parser::parse_x509_certificate(&pair.chain[0]).expect("DER");
        let serial: String =
            certificate.raw_serial().iter().map(|byte| format!("{byte:02X}")).collect();
        let at = |name: &str| self.dir.path().join(name);
        std::fs::write(at("ca.key"), self.issuer.key().serialize_pem()).expect("ca.key");
        let entry = format!("V\t350101000000Z\t\t{serial}\tunknown\t/CN=x\n");
        std::fs::write(at("index"), entry).expect("index");
        let mut command = std::process::Command::new("openssl");
        command.args(["ocsp", "-ndays", "7", "-index"]);
        command.arg(at("index")).arg("-CA").arg(self.file()).arg("-rsigner").arg(self.file());
        command.arg("-rkey").arg(at("ca.key")).arg("-issuer").arg(self.file());
        command.args(["-serial", &format!("0x{serial}")]);
        let output = command.arg("-respout").arg(at("response")).output().expect("openssl");
        let said = String::from_utf8_lossy(&output.stderr);
        std::fs::read(at("response")).unwrap_or_else(|e| panic!("{e}: {said}"))
    }

    pub fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).expect("a root");
        roots
    }
}

impl Wish {
    pub fn server(names: &[&str]) -> Wish {
        Wish {
            names: names.iter().map(|&n| n.to_owned()).collect(),
            common_name: names.first().copied().unwrap_or("nobody").to_owned(),
            key: KeyKind::EcdsaP256,
            days_left: 365,
            usage: ExtendedKeyUsagePurpose::ServerAuth,
            ballast: 0,
        }
    }

    /// For a client of this common name.
    pub fn client(common_name: &str) -> Wish {
        let usage = ExtendedKeyUsagePurpose::ClientAuth;
        Wish { common_name: common_name.to_owned(), usage, ..Wish::server(&["client.test"]) }
    }

    pub fn rsa(self) -> Wish {
        Wish { key: KeyKind::Rsa2048, ..self }
    }

    pub fn days_left(self, days_left: i64) -> Wish {
        Wish { days_left, ..self }
    }

    pub fn ballast(self, ballast: usize) -> Wish {
        Wish { ballast, ..self }
    }
}

impl Pair {
    fn new(chain: Vec<CertificateDer<'static>>, key: &KeyPair) -> Pair {
        let pair =
            Pair { chain, key: key.serialize_der(), key_pem: key.serialize_pem(), dir: folder() };
        pair.write();
        pair
    }

    fn write(&self) {
        std::fs::write(self.certificate(), self.chain_pem()).expect("certificate.pem");
        write_key(&self.key(), &self.key_pem);
    }

    /// Puts another pair into the files of this one, as a renewal does.
    pub fn overwrite_with(&self, other: &Pair) {
        std::fs::write(self.certificate(), other.chain_pem()).expect("certificate.pem");
        write_key(&self.key(), &other.key_pem);
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub fn certificate(&self) -> PathBuf {
        self.dir.path().join("certificate.pem")
    }

    pub fn key(&self) -> PathBuf {
        self.dir.path().join("key.pem")
    }

    pub fn chain_pem(&self) -> String {
        let pem = |der: &CertificateDer<'_>| {
            use base64::Engine as _;
            let text = base64::engine::general_purpose::STANDARD.encode(der);
            let lines: Vec<_> =
                text.as_bytes().chunks(64).map(|l| str::from_utf8(l).expect("ASCII")).collect();
            let (begin, end) = ("-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----");
            format!("{begin}\n{}\n{end}\n", lines.join("\n"))
        };
        self.chain.iter().map(pem).collect()
    }

    pub fn private_key(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.key.clone()).into()
    }
}

fn authority_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::<String>::new()).expect("no names");
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

/// RSA keys are made once: each takes longer than most tests.
fn key(kind: KeyKind) -> KeyPair {
    static RSA: OnceLock<String> = OnceLock::new();
    match kind {
        KeyKind::EcdsaP256 => KeyPair::generate().expect("a key"),
        KeyKind::Rsa2048 => {
            let pem = RSA.get_or_init(|| {
                KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, RsaKeySize::_2048)
                    .expect("a key")
                    .serialize_pem()
            });
            KeyPair::from_pem(pem).expect("its own text")
        }
    }
}

/// For its owner alone, as the edge wants to see it.
fn write_key(path: &Path, pem: &str) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::write(path, pem).expect("key.pem");
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o600)).expect("a mode");
}

fn folder() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("hawser-pki-").tempdir().expect("a directory")
}
