//! Certificates by request, lists of certificates, and SM certificates (DCDN OpenAPI 2018-01-15,
//! section 2.5 of the specification). OpenSSL plays the authority.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use md5::Digest as _;
use serde_json::json;
use x509_parser::prelude::{FromDer as _, X509CertificationRequest};

use super::{Site, function};
use crate::harness::{Api, Authority, Dcdn, TlsClient};

const CREATE: &str = "CreateDcdnCertificateSigningRequest";
const SET: &str = "SetDcdnDomainCSRCertificate";

/// Every file below a folder.
fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries
        .flat_map(|entry| match entry.path() {
            path if path.is_dir() => files(&path),
            path => vec![path],
        })
        .collect()
}

fn secure() -> Site {
    Site::built(&["a.test", "b.test"], |edge| edge.tls())
}

fn fingerprint(pem: &str) -> String {
    let (_, pem) = x509_parser::pem::parse_x509_pem(pem.as_bytes()).expect("PEM");
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &pem.contents);
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Of the SubjectPublicKeyInfo, DER.
fn md5_of_public_key(request: &str) -> String {
    let (_, pem) = x509_parser::pem::parse_x509_pem(request.as_bytes()).expect("PEM");
    let (_, parsed) = X509CertificationRequest::from_der(&pem.contents).expect("a request");
    let digest = md5::Md5::digest(parsed.certification_request_info.subject_pki.raw);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_certificate_comes_by_request_and_its_key_never_leaves() {
    let site = secure();
    let authority = Authority::new("root");
    let asked = [
        ("CommonName", "a.test"),
        ("SANs", "b.test, www.a.test"),
        ("Organization", "Ümläut & Co"),
        ("Country", "DE"),
        ("City", "Köln"),
        ("Email", "who@a.test"),
    ];
    let made = site.dcdn.ask(CREATE, &asked);
    assert_eq!(made["CommonName"], "a.test");
    let request = made["Csr"].as_str().expect("a text");
    assert!(request.starts_with("-----BEGIN CERTIFICATE REQUEST-----\n"), "{request}");
    assert_eq!(made["PubMd5"], md5_of_public_key(request));
    let again = site.dcdn.ask(CREATE, &asked);
    assert_ne!(again["PubMd5"], made["PubMd5"], "each request has a key of its own");

    // Its key is in one file for its owner only, and in nothing that the edge says or logs.
    let keys = files(&site.edge.dir().join("requests"));
    assert_eq!(keys.len(), 2, "{keys:?}");
    for key in &keys {
        let mode = std::fs::metadata(key).expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{key:?}");
        let text = std::fs::read_to_string(key).expect("a key");
        let secret = text.lines().nth(1).expect("base64");
        assert!(!made.to_string().contains(secret) && !site.edge.stderr().contains(secret));
    }

    let audit = Api::of(&site.edge).read("/api/v1/audit");
    let said = audit.to_string();
    assert!(said.contains("certificate request for a.test"), "{said}");

    let signed = authority.sign(request);
    let packed = base64::engine::general_purpose::STANDARD.encode(&signed);
    let client = TlsClient::trusting(&authority);
    // In base64, as DCDN wants it, and as it is.
    for (domain, text) in [("a.test", &packed), ("b.test", &signed)] {
        site.dcdn.ask(SET, &[("DomainName", domain), ("ServerCertificate", text)]);
        client.connect(site.edge.tls_addr(), domain);
        let info = site.dcdn.ask("DescribeDcdnDomainCertificateInfo", &[("DomainName", domain)]);
        let info = &info["CertInfos"]["CertInfo"][0];
        assert_eq!((&info["SSLProtocol"], &info["CertType"]), (&json!("on"), &json!("upload")));
        assert_eq!(info["SSLPub"], signed, "{info}");
    }
}

#[test]
fn what_cannot_be_requested_or_set_is_told_by_its_code() {
    let site = secure();
    let authority = Authority::new("root");
    for (params, code) in [
        (&[][..], "MissingCommonName"),
        (&[("CommonName", "")], "MissingCommonName"),
        (&[("CommonName", "a\nb")], "InvalidCommonName.Malformed"),
        (&[("CommonName", "a.test"), ("Country", "CHN")], "InvalidValue.Malformed"),
        (&[("CommonName", "a.test"), ("SANs", "a b")], "InvalidSANs.Malformed"),
        (&[("CommonName", "a.test"), ("Email", "x")], "InvalidEmail.Malformed"),
    ] {
        site.dcdn.refused(CREATE, params, (400, code));
    }
    assert!(files(&site.edge.dir().join("requests")).is_empty(), "nothing was kept");

    let made = site.dcdn.ask(CREATE, &[("CommonName", "a.test")]);
    let signed = authority.sign(made["Csr"].as_str().expect("a text"));
    let stranger = authority.pair(&["a.test"]).chain_pem();
    let name = ("DomainName", "a.test");
    for (params, error) in [
        (vec![("ServerCertificate", &*signed)], (400, "MissingDomainName")),
        (vec![name], (400, "Certificate.MissingParameter")),
        (vec![name, ("ServerCertificate", "!")], (400, "Certificate.DecodeError")),
        (vec![name, ("ServerCertificate", "YWJj")], (400, "Certificate.FormatError")),
        (vec![name, ("ServerCertificate", &stranger)], (400, "Certificate.NoPrivateKey")),
        (
            vec![("DomainName", "b.test"), ("ServerCertificate", &signed)],
            (400, "Certificate.MissMatch"),
        ),
        (
            vec![("DomainName", "no.test"), ("ServerCertificate", &signed)],
            (404, "InvalidDomain.NotFound"),
        ),
    ] {
        let message = site.dcdn.refused(SET, &params, error);
        assert!(!message.contains("CERTIFICATE-----"), "{message}");
    }
    let reader = Dcdn::with(&site.edge, &site.edge.key("read"));
    reader.refused(CREATE, &[("CommonName", "a.test")], (403, "Forbidden.RAM"));
}

#[test]
fn certificates_are_listed_and_shown_without_their_keys() {
    let site = secure();
    let authority = Authority::new("root");
    let mut chains = Vec::new();
    for (domain, name) in [("a.test", "one"), ("b.test", "two")] {
        let pair = authority.pair(&[domain]);
        let key = std::fs::read_to_string(pair.key()).expect("a key");
        let chain = pair.chain_pem();
        let upload = [
            ("DomainName", domain),
            ("SSLProtocol", "on"),
            ("CertType", "upload"),
            ("CertName", name),
            ("SSLPub", &*chain),
            ("SSLPri", &*key),
        ];
        site.dcdn.ask("SetDcdnDomainSSLCertificate", &upload);
        chains.push((name, chain));
    }
    let list = |params: &[(&str, &str)]| {
        let answer = site.dcdn.ask("DescribeDcdnCertificateList", params);
        let model = &answer["CertificateListModel"];
        let found = model["CertList"]["Cert"].as_array().expect("a list").clone();
        assert_eq!(model["Count"], found.len());
        found
    };
    let all = list(&[]);
    assert_eq!(all.len(), 2);
    for (entry, (name, chain)) in all.iter().zip(&chains) {
        assert_eq!((&entry["CertName"], &entry["CertId"]), (&json!(name), &json!(0)));
        assert_eq!(entry["Fingerprint"], fingerprint(chain));
        assert!(entry["Issuer"].as_str().is_some_and(|issuer| issuer.contains("root")), "{entry}");
        assert!(entry["LastTime"].as_i64().is_some_and(|at| at > 1_700_000_000_000), "{entry}");
        let detail = site.dcdn.ask("DescribeDcdnCertificateDetail", &[("CertName", name)]);
        assert_eq!((&detail["Cert"], &detail["Key"]), (&json!(chain), &json!("")));
        assert_eq!((&detail["CertName"], &detail["CertId"]), (&json!(name), &json!(0)));
    }
    assert_eq!(list(&[("DomainName", "b.test")]), all[1..]);
    assert!(list(&[("DomainName", "nobody.test")]).is_empty());
    let detail = "DescribeDcdnCertificateDetail";
    site.dcdn.refused(detail, &[], (400, "MissingCertName"));
    site.dcdn.refused(detail, &[("CertName", "three")], (400, "Certificate.NotFind"));
    site.dcdn.refused(
        "DescribeDcdnCertificateList",
        &[("DomainName", "a b")],
        (400, "InvalidDomainName.Malformed"),
    );
}

/// There is no SM2 in this edge's TLS: nothing is made up, and nothing is taken.
#[test]
fn sm_certificates_are_none_and_none_can_be_set() {
    let site = Site::with(&["a.test"]);
    let name = ("DomainName", "a.test");
    let id = ("CertIdentifier", "123-cn-hangzhou");
    let list = site.dcdn.ask("DescribeDcdnSMCertificateList", &[name]);
    assert_eq!(list["CertificateListModel"], json!({ "Count": 0, "CertList": [] }));
    let set = "SetDcdnDomainSMCertificate";
    let on = [name, id, ("SSLProtocol", "on")];
    let said = site.dcdn.refused(set, &on, (400, "SMCertificate.NotSupported"));
    assert!(said.contains("SM2") && said.contains("SetDcdnDomainSSLCertificate"), "{said}");
    site.dcdn.ask(set, &[name, id, ("SSLProtocol", "off")]);
    let gone = ("DomainName", "no.test");
    let detail = "DescribeDcdnSMCertificateDetail";
    for (action, params, error) in [
        (detail, vec![id], (400, "Certificate.NotFind")),
        (detail, vec![], (400, "MissingCertIdentifier")),
        ("DescribeDcdnSMCertificateList", vec![], (400, "MissingDomainName")),
        ("DescribeDcdnSMCertificateList", vec![gone], (404, "InvalidDomain.NotFound")),
        (set, vec![gone, id, ("SSLProtocol", "on")], (404, "InvalidDomain.NotFound")),
        (set, vec![name, ("SSLProtocol", "on")], (400, "MissingCertIdentifier")),
        (set, vec![name, id], (400, "MissingSSLProtocol")),
        (
            set,
            vec![name, id, ("SSLProtocol", "yes")],
            (400, "InvalidSSLProtocol.ValueNotSupported"),
        ),
    ] {
        site.dcdn.refused(action, &params, error);
    }
}

/// What the edge has no part of is refused with the way that there is.
#[test]
fn functions_that_are_not_here_are_refused_with_what_there_is_instead() {
    let site = Site::with(&["a.test"]);
    for (name, instead) in [
        ("ipv6", "listen"),
        ("referer_white_list_set", "allowed_origins"),
        ("referer_black_list_set", "allowed_origins"),
        ("https_option", "certificate"),
        ("https_tls_version", "min_version"),
        ("range", "not supported"),
    ] {
        let functions = function(name, &[("switch", "on")]);
        let params = [("DomainNames", "a.test"), ("Functions", functions.as_str())];
        let code = (400, "InvalidFunctionName.ValueNotSupported");
        let said = site.dcdn.refused("BatchSetDcdnDomainConfigs", &params, code);
        assert!(said.contains(name) && said.contains(instead), "{said}");
    }
}
