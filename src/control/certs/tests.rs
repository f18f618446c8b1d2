//! Pairs that are good and pairs that are not, and what a reload makes of them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair,
    PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, SerialNumber, SignatureAlgorithm,
    date_time_ymd,
};

use super::keyring::{ANY_DOMAIN, Circumstances, Keyring, Occasion, Reading};
use super::pair::Kind;
use super::store::PairStore;
use super::upload::{Refused, checked};
use super::{Challenges, chain_pem, expiry};
use crate::control::config::{Loaded, Text, from_texts};
use crate::snapshot::Certificates;

fn upload(dir: &Path, domain: &str, chain: &str, key: &str, now: Timestamp) -> Result<(), Refused> {
    let pair = checked(domain, chain.as_bytes(), key.as_bytes(), now)?;
    let chain = chain_pem(&pair);
    Ok(PairStore::uploaded(dir).write(domain, chain.as_bytes(), key.as_bytes())?)
}

/// Within the life of every certificate of [`Site::pair`].
const NOW: &str = "2026-06-15T12:00:00Z";

/// A folder with PEM files, and configurations that name them.
struct Site(tempfile::TempDir);

struct Wish<'a> {
    names: &'a [&'a str],
    kind: &'static SignatureAlgorithm,
    until: i32,
}

impl<'a> Wish<'a> {
    fn of(names: &'a [&'a str]) -> Wish<'a> {
        Wish { names, kind: &PKCS_ECDSA_P256_SHA256, until: 2027 }
    }
}

impl Site {
    fn new() -> Site {
        Site(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    /// Writes `NAME.pem` and `NAME.key`.
    fn pair(&self, name: &str, wish: &Wish<'_>) -> (String, String) {
        let (chain, key) = texts(wish);
        self.write(&format!("{name}.pem"), &chain);
        self.write(&format!("{name}.key"), &key);
        (chain, key)
    }

    /// DIR in both stands for the folder.
    fn loaded(&self, server: &str, domains: &[(&str, &str)]) -> Loaded {
        let dir = self.0.path().display().to_string();
        let text = |name: &str, text: String| Text { path: name.into(), text };
        let server = format!("[server]\nstate_dir = \"DIR\"\n{server}").replace("DIR", &dir);
        let domain = |(name, more): &(&str, &str)| {
            let origin = "[[origin]]\naddress = \"192.0.2.1\"\n";
            let all = format!("name = \"{name}\"\n{more}\n{origin}").replace("DIR", &dir);
            text(&format!("{name}.toml"), all)
        };
        let domains: Vec<Text> = domains.iter().map(domain).collect();
        from_texts(&text("hawser.toml", server), &domains).unwrap()
    }

    /// What is told of problems, with DIR for the folder.
    fn problems(&self, reading: Reading) -> String {
        let problems = reading.accepted().unwrap_err().to_string();
        problems.replace(&self.0.path().display().to_string(), "DIR")
    }
}

fn texts(wish: &Wish<'_>) -> (String, String) {
    let key = KeyPair::generate_for(wish.kind).unwrap();
    (params(wish).self_signed(&key).unwrap().pem(), key.serialize_pem())
}

fn params(wish: &Wish<'_>) -> CertificateParams {
    let names: Vec<String> = wish.names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.not_before = date_time_ymd(2026, 1, 1);
    params.not_after = date_time_ymd(wish.until, 1, 1);
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "Hawser tests");
    params
}

fn now() -> Timestamp {
    NOW.parse().unwrap()
}

fn read_at(loaded: &Loaded, before: &Keyring, occasion: Occasion, now: Timestamp) -> Reading {
    Keyring::read(loaded, before, Circumstances { occasion, now, listening: true })
}

fn read(loaded: &Loaded, before: &Keyring) -> Reading {
    read_at(loaded, before, Occasion::Change, now())
}

fn first(loaded: &Loaded) -> Keyring {
    read(loaded, &Keyring::default()).accepted().unwrap()
}

fn certificates(keyring: &Keyring) -> Certificates {
    keyring.certificates(&Challenges::default())
}

const A: &str = "[tls]\ncertificate = \"DIR/a.pem\"\nkey = \"DIR/a.key\"\n";

#[test]
fn each_name_gets_its_own_pair_else_the_default() {
    let site = Site::new();
    site.pair("a", &Wish::of(&["a.test"]));
    site.pair("w", &Wish::of(&["*.w.test"]));
    let (chain, key) = site.pair("d", &Wish::of(&["else.test"]));
    site.write("both.pem", chain + &key);
    let wild = A.replace("/a.", "/w.") + "[http]\nhost = \"inner.test\"\n";
    let server = "[tls]\ndefault_certificate = \"DIR/both.pem\"\n";
    let domains = [("a.test", A), ("*.w.test", &*wild), ("plain.test", "")];
    let keyring = first(&site.loaded(server, &domains));
    let certificates = certificates(&keyring);
    let domain = |name: &str| {
        certificates.find(Some(name)).map(|tls| tls.domain.as_deref().unwrap_or(ANY_DOMAIN))
    };
    assert_eq!(domain("a.test"), Some("a.test"));
    assert_eq!(domain("x.w.test"), Some("*.w.test"));
    assert_eq!(domain("w.test"), Some("*"));
    assert_eq!(domain("plain.test"), Some("*"));
    let config = &certificates.find(Some("a.test")).unwrap().config;
    assert!(config.enable_secret_extraction && config.max_early_data_size == 0);
    assert_eq!(config.alpn_protocols, [b"http/1.1"]);
    assert_eq!(keyring.served().len(), 3);
    assert_eq!(keyring.served()[0].pair.facts.names, ["else.test"]);
}

#[test]
fn a_bad_pair_is_told_with_its_file_and_the_way_out() {
    let site = Site::new();
    site.pair("a", &Wish::of(&["a.test"]));
    site.pair("b", &Wish::of(&["b.test", "*.b.test", "192.0.2.7"]));
    site.pair("old", &Wish { until: 2026, ..Wish::of(&["old.test"]) });
    site.write("none.pem", "nothing here\n");
    site.write("cut.pem", "-----BEGIN CERTIFICATE-----\nMIIB\n");
    site.write(
        "csr.pem",
        "-----BEGIN CERTIFICATE REQUEST-----\nMIIB\n-----END CERTIFICATE REQUEST-----\n",
    );
    site.write(
        "secret.key",
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIB\n-----END ENCRYPTED PRIVATE KEY-----\n",
    );
    let tls = |certificate: &str, key: &str| {
        format!("[tls]\ncertificate = \"DIR/{certificate}\"\nkey = \"DIR/{key}\"\n")
    };
    let cases = [
        ("a1.test", tls("gone.pem", "a.key")),
        ("a2.test", tls("none.pem", "a.key")),
        ("a3.test", tls("cut.pem", "a.key")),
        ("a4.test", tls("csr.pem", "a.key")),
        ("a5.test", tls("a.key", "a.key")),
        ("a6.test", tls("a.pem", "b.key")),
        ("a7.test", tls("a.pem", "secret.key")),
        ("a8.test", "[tls]\ncertificate = \"DIR/a.pem\"\n".to_owned()),
        ("a9.test", tls("b.pem", "b.key")),
        ("old.test", tls("old.pem", "old.key")),
    ];
    let domains: Vec<(&str, &str)> = cases.iter().map(|(name, more)| (*name, &**more)).collect();
    let loaded = site.loaded("", &domains);
    insta::assert_snapshot!(site.problems(read(&loaded, &Keyring::default())));
}

#[test]
fn a_key_of_another_certificate_of_the_chain_is_recognised() {
    let site = Site::new();
    let (leaf, _) = texts(&Wish::of(&["a.test"]));
    let (other, key) = texts(&Wish::of(&["ca.test"]));
    site.write("a.pem", leaf + &other);
    site.write("a.key", key);
    let problems = site.problems(read(&site.loaded("", &[("a.test", A)]), &Keyring::default()));
    assert!(problems.contains("belongs to certificate 2 of the chain"), "{problems}");
    assert!(!problems.contains("PRIVATE KEY-----\n"), "{problems}");
}

#[test]
fn an_expired_pair_is_refused_when_new_and_kept_when_in_use() {
    let site = Site::new();
    site.pair("a", &Wish::of(&["a.test"]));
    let loaded = site.loaded("", &[("a.test", A)]);
    let running = first(&loaded);
    let later: Timestamp = "2027-03-01T00:00:00Z".parse().unwrap();
    let none = Keyring::default();
    let at = |before: &Keyring, occasion| read_at(&loaded, before, occasion, later).accepted();
    assert!(at(&running, Occasion::Change).is_ok(), "in use");
    assert!(at(&none, Occasion::Start).is_ok(), "better than none");
    let refused = at(&none, Occasion::Change).unwrap_err().to_string();
    assert!(refused.contains("the certificate expired 2027-01-01 00:00 UTC"), "{refused}");
    let early: Timestamp = "2025-03-01T00:00:00Z".parse().unwrap();
    let refused = read_at(&loaded, &none, Occasion::Change, early).accepted().unwrap_err();
    assert!(refused.to_string().contains("valid only from 2026-01-01"), "{refused}");
    let started = read_at(&loaded, &none, Occasion::Start, early).accepted().unwrap();
    assert!(started.warnings().iter().any(|w| w.what.contains("valid only from")));
}

#[test]
fn what_did_not_change_keeps_its_identity() {
    let site = Site::new();
    site.pair("a", &Wish::of(&["a.test"]));
    site.pair("b", &Wish::of(&["b.test"]));
    let b = A.replace("/a.", "/b.");
    let origin = "[origin_tls]\nserver_name = \"inner.test\"\n";
    let domains = [("a.test", &*(A.to_owned() + origin)), ("b.test", &*b)];
    let loaded = site.loaded("", &domains);
    let before = first(&loaded);
    let server =
        |keyring: &Keyring, name| Arc::clone(certificates(keyring).find(Some(name)).unwrap());
    let same = read(&loaded, &before).accepted().unwrap();
    for name in ["a.test", "b.test"] {
        assert!(Arc::ptr_eq(&server(&before, name), &server(&same, name)), "{name}");
        let (old, new) = (before.origin(name).unwrap(), same.origin(name).unwrap());
        assert!(Arc::ptr_eq(&old, &new), "{name}");
    }

    // The same path, other bytes.
    site.pair("a", &Wish::of(&["a.test"]));
    let after = read(&loaded, &same).accepted().unwrap();
    assert!(!Arc::ptr_eq(&server(&same, "a.test"), &server(&after, "a.test")));
    assert!(Arc::ptr_eq(&server(&same, "b.test"), &server(&after, "b.test")));
    let tickets = |keyring: &Keyring, name| Arc::clone(&server(keyring, name).config.ticketer);
    assert!(Arc::ptr_eq(&tickets(&same, "a.test"), &tickets(&after, "a.test")), "same rules");
    assert!(!Arc::ptr_eq(&tickets(&after, "a.test"), &tickets(&after, "b.test")), "no domain's");

    // Other rules for clients: whoever got a ticket before has not shown a certificate.
    site.pair("ca", &Wish::of(&["ca.test"]));
    let strict = A.to_owned() + "client_auth = \"required\"\nclient_ca = \"DIR/ca.pem\"\n";
    let strict = read(&site.loaded("", &[("a.test", &strict)]), &after).accepted().unwrap();
    assert!(!Arc::ptr_eq(&tickets(&after, "a.test"), &tickets(&strict, "a.test")));
    let renamed = A.to_owned() + "[origin_tls]\nserver_name = \"other.test\"\n";
    let renamed = read(&site.loaded("", &[("a.test", &renamed)]), &after).accepted().unwrap();
    let names = [&after, &renamed].map(|keyring| keyring.origin("a.test").unwrap());
    assert!(!Arc::ptr_eq(&names[0], &names[1]));
}

#[test]
fn origins_are_spoken_to_over_tls_only_where_it_can_come_to_it() {
    let site = Site::new();
    let scheme = |scheme: &str| format!("[websocket]\norigin_scheme = \"{scheme}\"\n");
    let (http, https) = (scheme("http"), scheme("https"));
    let domains = [("a.test", &*http), ("b.test", &*https), ("c.test", "")];
    let loaded = site.loaded("", &domains);
    for listening in [false, true] {
        let circumstances = Circumstances { occasion: Occasion::Change, now: now(), listening };
        let keyring =
            Keyring::read(&loaded, &Keyring::default(), circumstances).accepted().unwrap();
        let has = |name: &str| keyring.origin(name).is_some();
        assert_eq!([has("a.test"), has("b.test"), has("c.test")], [false, true, listening]);
        let name = keyring.origin("b.test").unwrap().server_name.clone().unwrap();
        assert_eq!(name.to_str(), "b.test");
    }
    let wild = first(&site.loaded("", &[("*.w.test", "")]));
    let wild = wild.origin("*.w.test").unwrap();
    assert!(wild.server_name.is_none(), "it is that of each request");
    let named = wild.for_host("one.w.test").unwrap();
    assert_eq!(named.server_name.unwrap().to_str(), "one.w.test");
    let off = first(&site.loaded("", &[("*.w.test", "[origin_tls]\nverify = \"off\"\n")]));
    assert!(off.origin("*.w.test").unwrap().server_name.is_none());
    assert!(off.warnings().iter().any(|w| w.what.contains("NOT VERIFIED")));
}

#[test]
fn roots_and_keys_beside_them_are_checked() {
    let site = Site::new();
    site.pair("a", &Wish::of(&["a.test"]));
    let key = KeyPair::generate().unwrap();
    let mut authority = params(&Wish::of(&[]));
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, key).unwrap();
    site.write("ca.pem", authority.pem());
    let auth = "client_auth = \"optional\"\nclient_ca = \"DIR/ca.pem\"\n";
    let origin = "[origin_tls]\nverify = \"DIR/ca.pem\"\ncertificate = \"DIR/a.pem\"\n\
                  key = \"DIR/a.key\"\n";
    let keyring = first(&site.loaded("", &[("a.test", &format!("{A}{auth}{origin}"))]));
    assert_eq!(keyring.served().len(), 2, "its own, and the one that origins are shown");
    for bad in ["gone.pem", "a.key"] {
        let auth = auth.replace("ca.pem", bad);
        let loaded = site.loaded("", &[("a.test", &format!("{A}{auth}"))]);
        let problems = site.problems(read(&loaded, &Keyring::default()));
        assert!(problems.contains(&format!("DIR/{bad}: tls.client_ca of a.test: ")), "{problems}");
    }
}

#[test]
fn a_key_that_others_may_read_is_warned_of() {
    let site = Site::new();
    site.pair("a", &Wish::of(&["a.test"]));
    fs::set_permissions(site.path("a.key"), fs::Permissions::from_mode(0o640)).unwrap();
    let keyring = first(&site.loaded("listen_tls = [\"0.0.0.0:443\"]\n", &[("a.test", A)]));
    let [warning] = keyring.warnings() else { panic!("{:?}", keyring.warnings()) };
    assert!(warning.to_string().ends_with(&format!("chmod 600 {}/a.key", site.0.path().display())));
    let nobody = first(&site.loaded("listen_tls = [\"0.0.0.0:443\"]\n", &[("a.test", "")]));
    assert!(nobody.warnings()[0].what.contains("every TLS handshake is refused"));
}

#[test]
fn several_kinds_of_key_stand_side_by_side() {
    let site = Site::new();
    site.pair("a", &Wish::of(&["a.test"]));
    site.pair("b", &Wish { kind: &PKCS_ECDSA_P384_SHA384, ..Wish::of(&["a.test"]) });
    let two = "[tls]\ncertificate = [\"DIR/a.pem\", \"DIR/b.pem\"]\n\
               key = [\"DIR/a.key\", \"DIR/b.key\"]\n";
    let keyring = first(&site.loaded("", &[("a.test", two)]));
    assert!(keyring.served().iter().all(|served| served.pair.facts.kind == Kind::Ecdsa));
    assert_eq!(keyring.served().len(), 2);
}

#[test]
fn a_staple_is_for_its_own_certificate() {
    let site = Site::new();
    site.write("a.der", super::ocsp::tests::response());
    let key = KeyPair::generate().unwrap();
    let mut about = params(&Wish::of(&["a.test"]));
    about.serial_number = Some(SerialNumber::from_slice(&[0x12, 0x34, 0x56, 0x78, 0x90]));
    site.write("a.pem", about.self_signed(&key).unwrap().pem());
    site.write("a.key", key.serialize_pem());
    let stapled = A.to_owned() + "ocsp = \"DIR/a.der\"\n";
    let loaded = site.loaded("listen_tls = [\"0.0.0.0:443\"]\n", &[("a.test", &stapled)]);
    let before = first(&loaded);
    assert_eq!(before.warnings(), []);
    let plain = first(&site.loaded("", &[("a.test", A)]));
    let config =
        |keyring: &Keyring| Arc::clone(certificates(keyring).find(Some("a.test")).unwrap());
    assert!(!Arc::ptr_eq(&config(&plain), &config(&before)));
    let later: Timestamp = "2026-12-15T00:00:00Z".parse().unwrap();
    let stale = read_at(&loaded, &before, Occasion::Change, later).accepted().unwrap();
    assert!(stale.warnings()[0].what.contains("due 2026-11-29"), "{:?}", stale.warnings());

    site.pair("a", &Wish::of(&["a.test"]));
    let problems = site.problems(read(&loaded, &before));
    assert!(problems.contains("DIR/a.der: tls.ocsp of a.test: is about another"), "{problems}");
}

// === What the state directory keeps ===

#[test]
fn an_upload_comes_is_replaced_and_goes() {
    let site = Site::new();
    let dir = site.0.path();
    let (chain, key) = texts(&Wish::of(&["a.test", "*.w.test"]));
    for name in ["a.test", "*.w.test"] {
        upload(dir, name, &chain, &key, now()).unwrap();
    }
    let store = PairStore::uploaded(dir);
    assert_eq!(store.names().unwrap(), ["*.w.test", "a.test"]);
    assert!(dir.join("certs/+.w.test/key.pem").is_file());
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let paths = store.find("a.test").unwrap().unwrap();
    assert_eq!((mode(&paths.key), mode(&dir.join("certs"))), (0o600, 0o700));

    let loaded =
        site.loaded("", &[("a.test", ""), ("*.w.test", "[websocket]\norigin_scheme = \"http\"\n")]);
    let before = first(&loaded);
    let (other, its_key) = texts(&Wish::of(&["a.test"]));
    // A file that holds both: the key is left out of the certificate's.
    let both = other + &its_key;
    upload(dir, "a.test", &both, &both, now()).unwrap();
    assert!(!fs::read_to_string(&paths.certificate).unwrap().contains("PRIVATE"));
    let after = read(&loaded, &before).accepted().unwrap();
    let digest =
        |keyring: &Keyring| keyring.served().iter().map(|s| s.pair.digest).collect::<Vec<_>>();
    assert_ne!(digest(&before), digest(&after));
    let left: Vec<_> = fs::read_dir(dir.join("certs")).unwrap().collect();
    assert_eq!(left.len(), 4, "two links and their two folders");

    assert!(store.remove("a.test").unwrap() && !store.remove("a.test").unwrap());
    assert!(store.pair("a.test").unwrap().is_none());
    assert_eq!(first(&loaded).served().len(), 1);
}

#[test]
fn a_bad_upload_writes_nothing() {
    let site = Site::new();
    let (chain, key) = texts(&Wish::of(&["a.test"]));
    let (_, other) = texts(&Wish::of(&["a.test"]));
    let up = |name: &str, chain: &str, key: &str, now| {
        upload(site.0.path(), name, chain, key, now).unwrap_err()
    };
    let later = now() + SignedDuration::from_hours(24 * 365);
    assert!(matches!(up("b.test", &chain, &key, now()), Refused::Certificate { .. }));
    assert!(matches!(up("a.test", &chain, &key, later), Refused::Certificate { .. }));
    assert!(matches!(up("a.test", &chain, &other, now()), Refused::Key { .. }));
    assert!(matches!(up("a.test", &key, &key, now()), Refused::Certificate { .. }));
    assert!(matches!(up("../x", &chain, &key, now()), Refused::Store(_)));
    assert_eq!(fs::read_dir(site.0.path()).unwrap().count(), 0);
}

#[test]
fn a_folder_made_by_hand_gives_way_to_an_upload() {
    let site = Site::new();
    let folder = site.path("certs/a.test");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("certificate.pem"), "junk").unwrap();
    let (chain, key) = texts(&Wish::of(&["a.test"]));
    upload(site.0.path(), "a.test", &chain, &key, now()).unwrap();
    let store = PairStore::uploaded(site.0.path());
    assert_eq!(store.pair("a.test").unwrap().unwrap().facts.names, ["a.test"]);
    assert_eq!(store.names().unwrap(), ["a.test"]);
}

#[test]
fn an_issued_pair_is_taken_over_whatever_else_is_broken() {
    let site = Site::new();
    site.pair("b", &Wish::of(&["b.test"]));
    let acme = "[tls]\ncertificate = \"acme\"\n";
    let b = A.replace("/a.", "/b.");
    let loaded = site.loaded("", &[("a.test", acme), ("b.test", &b), ("c.test", acme)]);
    let before = first(&loaded);
    assert!(certificates(&before).find(Some("a.test")).is_none(), "not issued yet");
    let issued = PairStore::issued(site.0.path());
    let (chain, key) = texts(&Wish::of(&["a.test"]));
    issued.write("a.test", chain.as_bytes(), key.as_bytes()).unwrap();
    issued.write("c.test", chain.as_bytes(), key.as_bytes()).unwrap();
    site.write("b.key", "junk");
    let circumstances = Circumstances { occasion: Occasion::Change, now: now(), listening: true };
    let Reading { keyring, problems } = Keyring::read_issued(&loaded, &before, circumstances);
    let found = |name: &str| certificates(&keyring).find(Some(name)).is_some();
    assert_eq!([found("a.test"), found("b.test"), found("c.test")], [true, true, false]);
    assert_eq!(problems.len(), 1, "that of c.test, which the pair does not cover");
    assert_eq!(keyring.served().len(), 2);
}

#[test]
fn a_damaged_issued_pair_keeps_nothing_from_starting_or_reloading() {
    let site = Site::new();
    let loaded = site.loaded("", &[("a.test", "[tls]\ncertificate = \"acme\"\n")]);
    let issued = PairStore::issued(site.0.path());
    let (chain, key) = texts(&Wish::of(&["a.test"]));
    let (_, other) = texts(&Wish::of(&["a.test"]));
    issued.write("a.test", chain.as_bytes(), key.as_bytes()).unwrap();
    let before = first(&loaded);
    for damaged in [other.as_str(), "junk"] {
        issued.write("a.test", chain.as_bytes(), damaged.as_bytes()).unwrap();
        let started = first(&loaded);
        assert!(certificates(&started).find(Some("a.test")).is_none());
        assert_eq!(started.warnings()[0].way_out, "it is ordered anew");

        // What is in use stays: the same server, so that tickets stay good.
        let reloaded = read(&loaded, &before).accepted().unwrap();
        let (old, new) = (certificates(&before), certificates(&reloaded));
        let [old, new] = [old, new].map(|all| Arc::clone(all.find(Some("a.test")).unwrap()));
        assert!(Arc::ptr_eq(&old, &new));
        assert_eq!(reloaded.served().len(), 1);
    }
}

// === Time ===

#[tokio::test(start_paused = true)]
async fn the_end_is_told_of_once_a_day() {
    let site = Site::new();
    site.pair("a", &Wish::of(&["a.test"]));
    let served = Arc::clone(first(&site.loaded("", &[("a.test", A)])).served());
    let at = |text: &str| expiry::verdict(&served[0], text.parse().unwrap());
    assert_eq!(at("2026-12-01T23:59:59Z"), expiry::Verdict::Fine);
    assert_eq!(at("2026-12-02T00:00:00Z"), expiry::Verdict::Soon);
    assert_eq!(at("2027-01-01T00:00:01Z"), expiry::Verdict::Over);
    let days = std::cell::Cell::new(0);
    let started = tokio::time::Instant::now();
    let count = |told: &[super::Served]| {
        assert_eq!(told.len(), 1);
        days.set(days.get() + 1);
        assert_eq!(started.elapsed().as_secs(), 86_400 * days.get());
    };
    let watch = expiry::watch(|| Arc::clone(&served), count);
    let week = std::time::Duration::from_secs(7 * 86_400 + 1);
    tokio::time::timeout(week, watch).await.unwrap_err();
    assert_eq!(days.get(), 7);
}

#[test]
fn nothing_printed_shows_a_key() {
    let site = Site::new();
    let (_, key) = site.pair("a", &Wish::of(&["a.test"]));
    let keyring = first(&site.loaded("", &[("a.test", A)]));
    let certificates = certificates(&keyring);
    let config = &certificates.find(Some("a.test")).unwrap().config;
    let printed = format!("{keyring:?} {certificates:?} {config:?}");
    let secret = key.lines().nth(1).unwrap();
    assert!(!printed.contains(secret), "{printed}");
}
