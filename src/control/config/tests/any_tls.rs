//! Any configuration of TLS, for the tests of the round trip.

use std::path::PathBuf;

use proptest::collection::btree_set;
use proptest::option;
use proptest::prelude::*;

use super::super::tls::{
    Acme, AcmeChallenge, Certificate, DomainTls, Files, MinVersion, OriginTls, ServerTls, Verify,
};
use super::round_trip::{ms, name};
use crate::limits::PAIRS_PER_DOMAIN_MAX;
use crate::snapshot::{ClientAuth, Tls};

fn path() -> impl Strategy<Value = PathBuf> {
    "/[ -~]{0,40}".prop_map(PathBuf::from)
}

/// As many different paths as `n` says.
fn paths(n: usize) -> impl Strategy<Value = Vec<PathBuf>> {
    btree_set("/[ -~]{1,40}", n..=n).prop_map(|set| set.into_iter().map(PathBuf::from).collect())
}

/// Certificates, and for each of two companions either nothing or as many.
pub fn files(min: usize) -> impl Strategy<Value = [Vec<PathBuf>; 3]> {
    let beside = |n| prop_oneof![Just(0), Just(n)].prop_flat_map(paths);
    let all = move |n| (paths(n), beside(n), beside(n));
    (min..=PAIRS_PER_DOMAIN_MAX).prop_flat_map(all).prop_map(|(a, b, c)| [a, b, c])
}

pub fn server() -> impl Strategy<Value = ServerTls> {
    let rate = option::of(1..=1_000_000u32);
    (files(0), ms(1_000, 60_000), rate, any::<bool>()).prop_map(|(files, timeout, rate, new)| {
        let [certificate, key, _] = files;
        ServerTls {
            default: Files { certificate, key },
            handshakes: Tls { handshake_timeout: timeout, handshakes_per_second: rate },
            min_version: if new { MinVersion::Tls13 } else { MinVersion::Tls12 },
        }
    })
}

pub fn acme() -> impl Strategy<Value = Acme> {
    let contact = btree_set("mailto:[a-z]{1,9}@[a-z]{1,9}", 0..4)
        .prop_map(|set| set.into_iter().map(String::into_boxed_str).collect());
    let directory = "https://[a-z]{1,9}(:8[0-9]{3})?(/[a-z]{0,9})?";
    (directory, contact, option::of(path()), any::<bool>()).prop_map(
        |(directory, contact, root, alpn)| Acme {
            directory: directory.into(),
            contact,
            root,
            challenge: if alpn { AcmeChallenge::TlsAlpn01 } else { AcmeChallenge::Http01 },
        },
    )
}

pub fn domain() -> impl Strategy<Value = DomainTls> {
    let uploaded = Just((Certificate::Uploaded, Vec::new(), Vec::new()));
    let files = files(1).prop_map(|[a, b, c]| (Certificate::Files(a), b, c));
    let auth = prop_oneof![
        Just((ClientAuth::Off, None)),
        path().prop_map(|ca| (ClientAuth::Optional, Some(ca))),
        path().prop_map(|ca| (ClientAuth::Required, Some(ca))),
    ];
    (prop_oneof![uploaded, files], auth).prop_map(
        |((certificate, key, ocsp), (client_auth, client_ca))| DomainTls {
            certificate,
            key,
            ocsp,
            client_auth,
            client_ca,
        },
    )
}

/// Always with a server name, which a wildcard domain needs.
pub fn origin() -> impl Strategy<Value = OriginTls> {
    let verify = prop_oneof![Just(Verify::Webpki), Just(Verify::Off), path().prop_map(Verify::Ca)];
    (verify, name(), option::of((path(), option::of(path())))).prop_map(|(verify, name, pair)| {
        let (certificate, key) = pair.unzip();
        let pair = Files {
            certificate: certificate.into_iter().collect(),
            key: key.flatten().into_iter().collect(),
        };
        OriginTls { verify, server_name: Some(name.into()), pair }
    })
}
