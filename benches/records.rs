//! What encryption costs per record: sealed by one side and opened by the other in one buffer, with
//! AEAD contexts at hand and built anew, and the same through rustls' own connections. Not here:
//! sockets, handshakes.

use std::hint::black_box;
use std::io::{Read, Write};
use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use hawser::net::records::fuzz::pair;
use hawser::net::records::{HEADROOM_MAX, Opened, Session, TAILROOM_MAX};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};

const SIZES: [usize; 3] = [64, 1024, 16 * 1024];
const SUITES: [&str; 4] = [
    "TLSv1.3 AES_128_GCM",
    "TLSv1.3 AES_256_GCM",
    "TLSv1.3 CHACHA20_POLY1305",
    "TLSv1.2 ECDHE_ECDSA_AES_128_GCM",
];

fn hop(from: &mut Session, to: &mut Session, buffer: &mut [u8], size: usize) {
    let record = from.seal(buffer, HEADROOM_MAX..HEADROOM_MAX + size).expect("no limit is near");
    match to.open(&mut buffer[record]) {
        Ok(Opened::Data { plain, .. }) => assert_eq!(plain.len(), size),
        other => panic!("{other:?}"),
    }
}

fn records(c: &mut Criterion) {
    for suite in SUITES {
        let mut group = c.benchmark_group(suite);
        group.warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2));
        for size in SIZES {
            group.throughput(Throughput::Bytes(size as u64));
            let [mut server, mut client] = pair(suite);
            let mut buffer = vec![7; HEADROOM_MAX + size + TAILROOM_MAX];
            group.bench_function(format!("seal and open {size}, warm"), |b| {
                b.iter(|| hop(&mut server, &mut client, black_box(&mut buffer), size));
            });
            group.bench_function(format!("seal and open {size}, cold"), |b| {
                b.iter(|| {
                    server.cool();
                    client.cool();
                    hop(&mut server, &mut client, black_box(&mut buffer), size);
                });
            });
        }
    }
}

/// Through `rustls::Connection`, as a program without a record layer of its own does it.
fn rustls_itself(c: &mut Criterion) {
    let (mut server, mut client) = connected();
    let mut group = c.benchmark_group("rustls itself, TLSv1.3 AES_128_GCM");
    group.warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2));
    for size in SIZES {
        group.throughput(Throughput::Bytes(size as u64));
        let mut data = vec![7; size];
        let mut wire = Vec::new();
        group.bench_function(format!("write and read {size}"), |b| {
            b.iter(|| {
                wire.clear();
                server.writer().write_all(black_box(&data)).expect("there is room");
                while server.wants_write() {
                    server.write_tls(&mut wire).expect("a Vec takes all");
                }
                let mut rest = &wire[..];
                while !rest.is_empty() {
                    client.read_tls(&mut rest).expect("a slice gives all");
                    client.process_new_packets().expect("what was sealed opens");
                }
                client.reader().read_exact(&mut data).expect("it has arrived");
            });
        });
    }
}

fn connected() -> (ServerConnection, ClientConnection) {
    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(vec!["edge.test".to_owned()]).expect("a valid name");
    let suite = aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256;
    let provider = CryptoProvider { cipher_suites: vec![suite], ..aws_lc_rs::default_provider() };
    let provider = Arc::new(provider);
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(signing_key.serialize_der()));
    let mut roots = RootCertStore::empty();
    roots.add(cert.der().clone()).expect("a certificate");
    let server = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("the suite is of this version")
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .expect("they belong together");
    let client = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("the suite is of this version")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let mut server = ServerConnection::new(Arc::new(server)).expect("a valid configuration");
    let name = "edge.test".try_into().expect("a valid name");
    let mut client = ClientConnection::new(Arc::new(client), name).expect("a valid configuration");
    let mut wire = Vec::new();
    while server.is_handshaking() || client.is_handshaking() || server.wants_write() {
        wire.clear();
        client.write_tls(&mut wire).expect("a Vec takes all");
        server.read_tls(&mut &wire[..]).expect("a slice gives all");
        server.process_new_packets().expect("a good handshake");
        wire.clear();
        server.write_tls(&mut wire).expect("a Vec takes all");
        client.read_tls(&mut &wire[..]).expect("a slice gives all");
        client.process_new_packets().expect("a good handshake");
    }
    (server, client)
}

criterion_group!(benches, records, rustls_itself);
criterion_main!(benches);
