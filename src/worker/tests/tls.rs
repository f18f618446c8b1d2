//! TLS on either side, with rustls as the other one. Not here: what records and alerts look like
//! (`net`), and tunnels in depth (`engine`).

use std::collections::HashMap;

use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned,
};

use super::upgrades::{SWITCH, UPGRADE};
use super::*;
use crate::snapshot::{Certificates, OriginTls, ProxyProtocol, ServerTls, Tls};
use crate::stats::TlsFailure;

const OTHER: &str = "other.example.com";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

// === Pairs ===

struct Pair {
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
}

fn pair(name: &str) -> Pair {
    pair_for(&[name])
}

fn pair_for(names: &[&str]) -> Pair {
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    let key = made.signing_key.serialize_der().try_into().unwrap();
    Pair { certificate: made.cert.der().clone(), key }
}

fn trusting(pairs: &[&Pair]) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    for pair in pairs {
        roots.add(pair.certificate.clone()).unwrap();
    }
    roots
}

/// For the edge or for an origin; clients need a certificate if `clients` are given.
fn server(pair: &Pair, clients: Option<&Pair>) -> Arc<ServerConfig> {
    let builder = ServerConfig::builder();
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(clients) => {
            let roots = Arc::new(trusting(&[clients]));
            builder.with_client_cert_verifier(WebPkiClientVerifier::builder(roots).build().unwrap())
        }
    };
    let chain = vec![pair.certificate.clone()];
    let mut config = builder.with_single_cert(chain, pair.key.clone_key()).unwrap();
    config.enable_secret_extraction = true;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Arc::new(config)
}

/// For a client or for the edge.
fn client(trusted: &[&Pair], own: Option<&Pair>) -> ClientConfig {
    let builder = ClientConfig::builder().with_root_certificates(trusting(trusted));
    let mut config = match own {
        None => builder.with_no_client_auth(),
        Some(own) => {
            let chain = vec![own.certificate.clone()];
            builder.with_client_auth_cert(chain, own.key.clone_key()).unwrap()
        }
    };
    config.enable_secret_extraction = true;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config
}

// === The edge ===

type Secured = (Domain, Option<Arc<ServerConfig>>);

fn secured(domains: Vec<Secured>, default: Option<&Pair>, tls: Tls) -> Edge {
    let pairs = domains.iter().filter_map(|(domain, config)| {
        let name = &domain.name;
        let (config, domain) = (Arc::clone(config.as_ref()?), Some(Arc::clone(name)));
        Some((Arc::clone(name), Arc::new(ServerTls { config, domain })))
    });
    let default =
        default.map(|default| Arc::new(ServerTls { config: server(default, None), domain: None }));
    let certificates = Certificates::new(pairs, default, HashMap::new());
    let hosts = Hosts::new(domains.into_iter().map(|(domain, _)| Arc::new(domain)));
    let snapshot = Snapshot { hosts, tls, certificates, ..Snapshot::default() };
    edge_of(Transport::Tls, snapshot)
}

fn tls_edge(domain: Domain, pair: &Pair) -> Edge {
    secured(vec![(plain_origin(domain), Some(server(pair, None)))], None, Tls::default())
}

/// Its origins are spoken to in the clear, however the client came.
fn plain_origin(mut domain: Domain) -> Domain {
    domain.websocket.origin_scheme = OriginScheme::Http;
    domain
}

/// Its origins are spoken to over TLS by `config`, and have to be `name`.
fn tls_origins(mut domain: Domain, config: &Arc<ClientConfig>, name: &'static str) -> Domain {
    let origin = |origin: &Arc<Origin>| {
        Arc::new(Origin {
            address: Arc::clone(&origin.address),
            priority: origin.priority,
            weight: origin.weight,
            endpoints: Box::default(),
            tls_endpoints: origin.endpoints.clone(),
            former: Box::default(),
        })
    };
    domain.origins = domain.origins.iter().map(origin).collect();
    domain.websocket.origin_scheme = OriginScheme::Https;
    let server_name = Some(ServerName::try_from(name).unwrap());
    domain.origin_tls = Some(Arc::new(OriginTls { config: Arc::clone(config), server_name }));
    domain
}

impl Edge {
    fn failures(&self, failure: TlsFailure) -> u64 {
        self.stats.cores()[0].core.tls_failed[failure as usize].value()
    }

    /// Waits until handshakes failed this often for this reason.
    fn failed(&self, failure: TlsFailure, times: u64) {
        let until = Instant::now() + WAIT;
        while self.failures(failure) < times {
            assert!(Instant::now() < until, "{failure:?} was not counted {times} times");
            thread::yield_now();
        }
    }
}

// === Peers ===

type Secure<C> = StreamOwned<C, TcpStream>;

fn connect(
    addr: SocketAddr,
    name: &str,
    config: &ClientConfig,
) -> Client<Secure<ClientConnection>> {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let connection = ClientConnection::new(Arc::new(config.clone()), name).unwrap();
    let stream = Client::connect(addr).0.into_inner();
    Client(BufReader::new(StreamOwned::new(connection, stream)))
}

/// The handshake alone.
fn shake(client: &mut Client<Secure<ClientConnection>>) -> std::io::Result<()> {
    let stream = client.0.get_mut();
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock)?;
    }
    Ok(())
}

fn tls_origin(
    config: Arc<ServerConfig>,
    serve: impl Fn(Client<Secure<ServerConnection>>) + Send + Sync + 'static,
) -> SocketAddr {
    origin(move |peer| {
        let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
        let mut stream = StreamOwned::new(connection, peer.0.into_inner());
        if stream.conn.complete_io(&mut stream.sock).is_ok() {
            serve(Client(BufReader::new(stream)));
        }
    })
}

fn tls_scripted(config: Arc<ServerConfig>, answer: &'static str) -> (SocketAddr, Receiver<String>) {
    let (heads, seen) = channel();
    (tls_origin(config, move |peer| follow(peer, answer, |head| heads.send(head).is_ok())), seen)
}

// === Clients over TLS ===

#[test]
fn keep_alive_pipelining_and_the_scheme() {
    let (addr, seen) = scripted(OK);
    let live = pair(HOST);
    let mut edge = tls_edge(domain(&[addr]), &live);
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        let config = ClientConfig::builder_with_protocol_versions(&[version])
            .with_root_certificates(trusting(&[&live]))
            .with_no_client_auth();
        let mut client = connect(edge.addr, HOST, &config);
        assert_eq!(client.send(&get("/")).answer().body, "ok");
        let head = seen.recv_timeout(WAIT).unwrap();
        assert_eq!(field(&head, "x-forwarded-proto"), Some("https"));
        assert!(field(&head, "forwarded").unwrap().contains(";proto=https;"), "{head}");
        client.send(&get("/1").repeat(3));
        for _ in 0..3 {
            assert_eq!(client.answer().status, 200);
        }
        client.send(&format!("GET https://{HOST}/abs HTTP/1.1\r\nHost: {HOST}\r\n\r\n"));
        assert_eq!(client.answer().status, 200);
        client.send(&format!("GET http://{HOST}/ HTTP/1.1\r\nHost: {HOST}\r\n\r\n"));
        assert_eq!(client.answer().status, 400);
        // The end comes with close_notify: without it rustls makes an error of this.
        assert!(client.ended());
        assert_eq!(edge.logged(), (200, None, "/".into()));
        for _ in 0..5 {
            edge.logged();
        }
    }
    let counters = &edge.stats.cores()[0].core;
    assert_eq!(counters.tls_full.value() + counters.tls_resumed.value(), 2);
    assert_eq!(counters.tls_handshake_us.counts().iter().sum::<u64>(), 2);
}

#[test]
fn a_second_connection_resumes() {
    let (addr, _seen) = scripted(OK);
    let live = pair(HOST);
    let edge = tls_edge(domain(&[addr]), &live);
    let config = client(&[&live], None);
    for _ in 0..3 {
        let mut client = connect(edge.addr, HOST, &config);
        assert_eq!(client.send(&get("/")).answer().status, 200);
    }
    let counters = &edge.stats.cores()[0].core;
    assert_eq!((counters.tls_full.value(), counters.tls_resumed.value()), (1, 2));
}

#[test]
fn large_bodies_stream_both_ways_over_tls_on_both_sides() {
    let (live, theirs) = (pair(HOST), pair("origin.test"));
    let body = "0123456789abcdef".repeat(1 << 16);
    let expected = body.clone();
    let addr = tls_origin(server(&theirs, None), move |mut peer| {
        while peer.0.fill_buf().is_ok_and(|bytes| !bytes.is_empty()) {
            peer.head();
            let got = peer.exactly(expected.len());
            assert_eq!(got, expected);
            peer.send(&format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", got.len()));
            peer.send(&got);
        }
    });
    let rules = Arc::new(client(&[&theirs], None));
    let domain = tls_origins(domain(&[addr]), &rules, "origin.test");
    let mut edge = secured(vec![(domain, Some(server(&live, None)))], None, Tls::default());
    let mut client = connect(edge.addr, HOST, &client(&[&live], None));
    let len = body.len();
    for _ in 0..3 {
        client.send(&format!("POST / HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: {len}\r\n\r\n"));
        client.send(&body);
        assert!(client.answer().body == body);
        edge.logged();
    }
    // What is counted is what was said, not what TLS made of it.
    let counters = edge.stats.cores()[0].domain(0);
    let (bytes_in, bytes_out) = (counters.http_bytes_in.value(), counters.http_bytes_out.value());
    let whole = 3 * len as u64..3 * len as u64 + 3000;
    assert!(whole.contains(&bytes_in) && whole.contains(&bytes_out), "{bytes_in} {bytes_out}");
}

#[test]
fn an_origin_is_let_go_when_its_client_goes() {
    let live = pair(HOST);
    let (gone, told) = channel();
    let gone = std::sync::Mutex::new(gone);
    let addr = origin(move |mut peer| {
        peer.head();
        // Only the edge's closing ends this read.
        assert_eq!(peer.0.read(&mut [0]).unwrap_or(0), 0);
        gone.lock().unwrap().send(()).unwrap();
    });
    let mut edge = tls_edge(domain(&[addr]), &live);
    let mut client = connect(edge.addr, HOST, &client(&[&live], None));
    client.send(&get("/"));
    client.0.get_mut().conn.send_close_notify();
    client.0.get_mut().flush().unwrap();
    told.recv_timeout(WAIT).unwrap();
    assert_eq!(edge.logged().1, Some(Refusal::ClientClosed));
}

#[test]
fn a_request_for_another_name_than_the_handshake_is_421_rfc9110_7_4() {
    const BARE: &str = "bare.example.com";
    const ASKING: &str = "asking.example.com";
    let (addr, _seen) = scripted(OK);
    let (live, other, default) =
        (pair(HOST), pair(OTHER), pair_for(&["default.test", BARE, ASKING]));
    let named = |name: &str| Domain { name: name.into(), ..plain_origin(domain(&[addr])) };
    let asking = Domain { client_auth: ClientAuth::Optional, ..named(ASKING) };
    let domains = vec![
        (named(HOST), Some(server(&live, None))),
        (named(OTHER), Some(server(&other, None))),
        (named(BARE), None),
        (asking, None),
    ];
    let mut edge = secured(domains, Some(&default), Tls::default());
    let mut config = client(&[&live, &other, &default], None);
    for (name, sni, host, status) in [
        (HOST, true, HOST, 200),
        (HOST, true, OTHER, 421),
        (OTHER, true, HOST, 421),
        (OTHER, true, OTHER, 200),
        // The default pair.
        ("default.test", true, HOST, 421),
        (BARE, true, BARE, 200),
        (BARE, true, HOST, 421),
        (ASKING, true, ASKING, 421),
        (BARE, true, "unknown.test", 421),
        ("default.test", false, HOST, 200),
        ("default.test", false, BARE, 200),
        ("default.test", false, ASKING, 421),
    ] {
        config.enable_sni = sni;
        let mut client = connect(edge.addr, name, &config);
        client.send(&format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        assert_eq!(client.answer().status, status, "{name} {sni} {host}");
        let refusal = match (status, host) {
            (200, _) => None,
            (_, "unknown.test") => Some(Refusal::UnknownDomain),
            _ => Some(Refusal::Misdirected),
        };
        assert_eq!(edge.logged().1, refusal, "{name} {sni} {host}");
    }
}

#[test]
fn client_certificates_are_asked_for_and_told_to_the_origin() {
    let (addr, seen) = scripted(OK);
    let (live, known, stranger) = (pair(HOST), pair("known.test"), pair("stranger.test"));
    let asking = Domain { client_auth: ClientAuth::Required, ..plain_origin(domain(&[addr])) };
    let edge = secured(vec![(asking, Some(server(&live, Some(&known))))], None, Tls::default());
    let client_of = |own| connect(edge.addr, HOST, &client(&[&live], own));
    let mut right = client_of(Some(&known));
    for request in [get("/"), UPGRADE.into()] {
        let forged = "\r\nX-Client-Cert-Subject: CN=forged\r\n\r\n";
        right.send(&request.replace("\r\n\r\n", forged));
        assert_eq!(right.answer().status, 200);
        let head = seen.recv_timeout(WAIT).unwrap();
        let told = head.lines().filter(|line| line.starts_with("X-Client-Cert-Subject:"));
        let told: Vec<_> = told.collect();
        assert_eq!(told, ["X-Client-Cert-Subject: CN=rcgen self signed cert"], "{head}");
    }
    for own in [None, Some(&stranger)] {
        let mut wrong = client_of(own);
        let _ = wrong.0.get_mut().write_all(get("/").as_bytes());
        assert!(wrong.0.fill_buf().is_err(), "no handshake, no answer");
    }
    edge.failed(TlsFailure::ClientCertificate, 2);
}

#[test]
fn a_domain_that_asks_for_certificates_is_not_served_without_one() {
    let (addr, _seen) = scripted(OK);
    let asking = Domain { client_auth: ClientAuth::Required, ..domain(&[addr]) };
    // In the clear.
    let mut edge = edge(asking);
    assert_eq!(edge.client().send(&get("/")).answer().status, 421);
    assert_eq!(edge.logged().1, Some(Refusal::Misdirected));
    // Over TLS that was set up before a reload made it ask.
    let live = pair(HOST);
    let asking = Domain { client_auth: ClientAuth::Required, ..plain_origin(domain(&[addr])) };
    let edge = secured(vec![(asking, Some(server(&live, None)))], None, Tls::default());
    let mut client = connect(edge.addr, HOST, &client(&[&live], None));
    assert_eq!(client.send(&get("/")).answer().status, 421);
}

#[test]
fn plain_http_is_answered_400_in_the_clear() {
    let (addr, _seen) = scripted(OK);
    let mut edge = tls_edge(domain(&[addr]), &pair(HOST));
    let mut client = edge.client();
    let answer = client.send(&get("/")).answer();
    assert_eq!((answer.status, field(&answer.head, "connection")), (400, Some("close")));
    let body = "plain_http: this port speaks TLS: use https:// or wss://\n";
    assert_eq!(answer.body, body);
    assert!(client.ended());
    assert_eq!(edge.logged().1, Some(Refusal::PlainHttp));
    let refused = &edge.stats.cores()[0].core.refused[Refusal::PlainHttp as usize];
    assert_eq!((refused.value(), edge.failures(TlsFailure::PlainHttp)), (1, 1));
}

#[test]
fn a_proxy_header_comes_before_the_hello() {
    let (addr, seen) = scripted(OK);
    let live = pair(HOST);
    let tls = ServerTls { config: server(&live, None), domain: Some(HOST.into()) };
    let certificates = Certificates::new([(HOST.into(), Arc::new(tls))], None, HashMap::new());
    let hosts = Hosts::new([Arc::new(plain_origin(domain(&[addr])))]);
    let http = Http {
        proxy_protocol: ProxyProtocol::V1,
        trusted_proxies: Arc::new(["127.0.0.0/8".parse().unwrap()]),
        ..Http::default()
    };
    let snapshot = Snapshot { hosts, http, certificates, ..Snapshot::default() };
    let edge = edge_of(Transport::Tls, snapshot);
    let header = b"PROXY TCP4 192.0.2.9 192.0.2.1 4711 443\r\n";
    for together in [true, false] {
        let mut client = connect(edge.addr, HOST, &client(&[&live], None));
        let stream = client.0.get_mut();
        let mut first = header.to_vec();
        if together {
            stream.conn.write_tls(&mut first).unwrap();
        }
        stream.sock.write_all(&first).unwrap();
        assert_eq!(client.send(&get("/")).answer().status, 200);
        let head = seen.recv_timeout(WAIT).unwrap();
        assert_eq!(field(&head, "x-forwarded-for"), Some("192.0.2.9"));
    }
    let mut plain = edge.client();
    plain.0.get_mut().write_all(&[&header[..], get("/").as_bytes()].concat()).unwrap();
    assert_eq!(plain.answer().status, 400);
    assert!(plain.ended());
}

#[test]
fn handshakes_that_fail_are_counted_and_logged() {
    let live = pair(HOST);
    let mut edge = tls_edge(domain(&[refused_port()]), &live);
    let mut config = client(&[&live], None);
    let mut unknown = connect(edge.addr, "unknown.test", &config);
    let error = shake(&mut unknown).unwrap_err().to_string();
    assert!(error.contains("UnrecognisedName"), "{error}");
    config.enable_sni = false;
    let error = shake(&mut connect(edge.addr, HOST, &config)).unwrap_err().to_string();
    assert!(error.contains("MissingExtension"), "{error}");
    let mut nonsense = edge.client();
    nonsense.send("SSH-2.0-nonsense\r\n");
    nonsense.0.read_to_end(&mut Vec::new()).unwrap();
    let untrusting = client(&[&pair(HOST)], None);
    assert!(shake(&mut connect(edge.addr, HOST, &untrusting)).is_err());
    for failure in
        [TlsFailure::UnknownName, TlsFailure::NoName, TlsFailure::NotTls, TlsFailure::Alert]
    {
        edge.failed(failure, 1);
        let until = Instant::now() + WAIT;
        let event = loop {
            match edge.events.pop() {
                Ok(event) => break event,
                Err(_) => assert!(Instant::now() < until, "{failure:?} was not logged"),
            }
        };
        let Event::Handshake(failed) = event else { panic!("{event:?}") };
        assert_eq!((failed.failure, failed.detail.is_empty()), (failure, false));
    }
    // A port check says nothing, and nothing is said about it.
    drop(edge.client());
    edge.failed(TlsFailure::Closed, 1);
    assert!(edge.events.pop().is_err());
}

#[test]
fn a_handshake_that_takes_too_long_is_over() {
    let live = pair(HOST);
    let tls = Tls { handshake_timeout: Duration::from_millis(200), ..Tls::default() };
    let config = Some(server(&live, None));
    let edge = secured(vec![(domain(&[refused_port()]), config)], None, tls);
    let mut silent = edge.client();
    assert_eq!(silent.0.read(&mut [0]).unwrap(), 0);
    edge.failed(TlsFailure::Timeout, 1);
    // The header of a record that never comes.
    let mut slow = edge.client();
    slow.0.get_mut().write_all(&[22, 3, 1, 2, 0, 1]).unwrap();
    slow.0.read_to_end(&mut Vec::new()).unwrap();
    edge.failed(TlsFailure::Timeout, 2);
}

#[test]
fn handshakes_over_the_rate_wait_for_their_turn_or_are_closed() {
    let (addr, _seen) = scripted(OK);
    let live = pair(HOST);
    let config = client(&[&live], None);
    let limited = |patience| {
        let tls = Tls {
            handshake_timeout: Duration::from_secs(patience),
            handshakes_per_second: Some(1),
        };
        secured(vec![(plain_origin(domain(&[addr])), Some(server(&live, None)))], None, tls)
    };
    let edge = limited(10);
    // A connection that says nothing takes no turn.
    let _silent = edge.client();
    for _ in 0..2 {
        assert_eq!(connect(edge.addr, HOST, &config).send(&get("/")).answer().status, 200);
    }
    let edge = limited(2);
    let mut all: Vec<_> = (0..6).map(|_| connect(edge.addr, HOST, &config)).collect();
    for client in &mut all {
        let stream = client.0.get_mut();
        stream.conn.write_tls(&mut stream.sock).unwrap();
    }
    edge.failed(TlsFailure::Rate, 1);
    assert!(all.iter_mut().any(|client| shake(client).is_err()));
}

#[test]
fn a_validation_server_sees_the_pair_of_its_challenge_and_the_end_rfc8737_3() {
    let (live, challenge) = (pair(HOST), pair(HOST));
    let mut config = ServerConfig::clone(&server(&challenge, None));
    config.alpn_protocols = vec![b"acme-tls/1".to_vec()];
    let challenges = [(HOST.into(), Arc::new(config))].into();
    let tls = ServerTls { config: server(&live, None), domain: Some(HOST.into()) };
    let certificates = Certificates::new([(HOST.into(), Arc::new(tls))], None, challenges);
    let hosts = Hosts::new([Arc::new(domain(&[refused_port()]))]);
    let snapshot = Snapshot { hosts, certificates, ..Snapshot::default() };
    let edge = edge_of(Transport::Tls, snapshot);
    let mut config = client(&[&challenge], None);
    config.alpn_protocols = vec![b"acme-tls/1".to_vec()];
    let mut validator = connect(edge.addr, HOST, &config);
    shake(&mut validator).unwrap();
    assert_eq!(validator.0.get_ref().conn.alpn_protocol(), Some(&b"acme-tls/1"[..]));
    assert!(validator.ended());
}

#[test]
fn a_drain_ends_idle_connections_in_order() {
    let (addr, _seen) = scripted(OK);
    let live = pair(HOST);
    let edge = tls_edge(domain(&[addr]), &live);
    let mut idle = connect(edge.addr, HOST, &client(&[&live], None));
    assert_eq!(idle.send(&get("/")).answer().status, 200);
    let done = edge.drain();
    assert!(idle.ended());
    done.recv_timeout(WAIT).unwrap();
}

// === Origins over TLS ===

#[test]
fn an_origin_is_verified_and_its_connection_is_kept_for_those_with_the_same_rules() {
    let theirs = pair("origin.test");
    let (accepted, count) = channel();
    let accepted = std::sync::Mutex::new(accepted);
    let addr = tls_origin(server(&theirs, None), move |mut peer| {
        accepted.lock().unwrap().send(()).unwrap();
        while peer.0.fill_buf().is_ok_and(|bytes| !bytes.is_empty()) {
            peer.head();
            peer.send(OK);
        }
    });
    let rules = Arc::new(client(&[&theirs], None));
    let (unlike, strict) =
        (Arc::new(client(&[&theirs], None)), Arc::new(client(&[&pair("origin.test")], None)));
    let named = |name: &str, rules, server_name| Domain {
        name: name.into(),
        ..tls_origins(domain(&[addr]), rules, server_name)
    };
    let hosts = [
        named("a.test", &rules, "origin.test"),
        named("b.test", &rules, "origin.test"),
        named("c.test", &unlike, "origin.test"),
        named("d.test", &strict, "origin.test"),
        named("e.test", &rules, "elsewhere.test"),
    ];
    let hosts = Hosts::new(hosts.map(Arc::new));
    let mut edge = edge_of(Transport::Plain, Snapshot { hosts, ..Snapshot::default() });
    let mut client = edge.client();
    for (host, status, connections) in [
        ("a.test", 200, 1),
        ("a.test", 200, 0),
        ("b.test", 200, 0),
        ("c.test", 200, 1),
        ("a.test", 200, 0),
        ("d.test", 502, 0),
        ("e.test", 502, 0),
        ("b.test", 200, 0),
    ] {
        client.send(&format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        let answer = client.answer();
        assert_eq!(answer.status, status, "{host}: {answer:?}");
        assert_eq!(count.try_iter().count(), connections, "{host}");
        let refusal = (status == 502).then_some(Refusal::OriginTls);
        assert_eq!(edge.logged().1, refusal, "{host}");
        if status == 502 {
            assert!(answer.body.starts_with("origin_tls: "), "{answer:?}");
            assert!(answer.body.to_ascii_lowercase().contains("certificate"), "{answer:?}");
        }
    }
    let counters = &edge.stats.cores()[0].core;
    assert_eq!((counters.origin_tls_full.value(), counters.origin_tls_failed.value()), (2, 2));
}

#[test]
fn an_origin_without_tls_or_that_speaks_first_is_passed_over() {
    let theirs = pair("origin.test");
    let (addr, _seen) = tls_scripted(server(&theirs, None), OK);
    let greeting = origin(|mut peer| {
        peer.send("220 ready\r\n");
        let _ = peer.0.read_to_end(&mut Vec::new());
    });
    let gone = origin(drop);
    let mute = origin(|mut peer| {
        let _ = peer.0.read_to_end(&mut Vec::new());
    });
    let rules = Arc::new(client(&[&theirs], None));
    let addresses = [greeting, gone, mute, refused_port(), addr];
    let mut good = tls_origins(domain(&addresses), &rules, "origin.test");
    good.http.connect_timeout = Duration::from_millis(1500);
    let edge = edge(good);
    assert_eq!(edge.client().send(&get("/")).answer().status, 200);
    assert_eq!(edge.stats.cores()[0].core.origin_tls_failed.value(), 3);
    let mut edge = self::edge(tls_origins(domain(&[greeting]), &rules, "origin.test"));
    assert_eq!(edge.client().send(&get("/")).answer().status, 502);
    assert_eq!(edge.logged().1, Some(Refusal::OriginTls));
}

#[test]
fn a_stale_pooled_connection_is_replaced() {
    let theirs = pair("origin.test");
    // Answers once, then ends as soon as the next request comes.
    let addr = tls_origin(server(&theirs, None), |mut peer| {
        peer.head();
        peer.send(OK);
        let _ = peer.0.fill_buf();
    });
    let rules = Arc::new(client(&[&theirs], None));
    let edge = edge(tls_origins(domain(&[addr]), &rules, "origin.test"));
    let mut client = edge.client();
    for _ in 0..3 {
        assert_eq!(client.send(&get("/")).answer().body, "ok");
    }
    let counters = &edge.stats.cores()[0].core;
    assert_eq!((counters.origin_tls_full.value(), counters.origin_tls_resumed.value()), (1, 2));
}

#[test]
fn an_answer_that_a_bare_fin_cuts_short_is_not_whole() {
    let theirs = pair("origin.test");
    let addr = tls_origin(server(&theirs, None), |mut peer| {
        peer.head();
        peer.send("HTTP/1.1 200 OK\r\n\r\nuntil the en");
        // Without close_notify anybody may have ended it (RFC 8446 6.1).
        peer.0.get_ref().sock.shutdown(std::net::Shutdown::Write).unwrap();
    });
    let rules = Arc::new(client(&[&theirs], None));
    let mut edge = edge(tls_origins(domain(&[addr]), &rules, "origin.test"));
    let mut client = edge.client();
    client.send(&get("/"));
    assert!(!client.rest().ends_with("0\r\n\r\n"));
    assert_eq!(edge.logged().1, Some(Refusal::OriginClosed));
}

#[test]
fn a_proxy_header_goes_in_the_clear_before_tls_to_the_origin() {
    let theirs = pair("origin.test");
    let config = server(&theirs, None);
    let (lines, seen) = channel();
    let lines = std::sync::Mutex::new(lines);
    let addr = origin(move |mut peer| {
        let mut line = [0; 256];
        let n = peer.0.get_mut().peek(&mut line).unwrap();
        let text = String::from_utf8_lossy(&line[..n]).into_owned();
        let end = text.find("\r\n").unwrap() + 2;
        peer.0.get_mut().read_exact(&mut line[..end]).unwrap();
        lines.lock().unwrap().send(text[..end].to_owned()).unwrap();
        let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
        let stream = StreamOwned::new(connection, peer.0.into_inner());
        let mut peer = Client(BufReader::new(stream));
        peer.head();
        peer.send(OK);
        let _ = peer.0.fill_buf();
    });
    let rules = Arc::new(client(&[&theirs], None));
    let mut announced = tls_origins(domain(&[addr]), &rules, "origin.test");
    announced.http.send_proxy = SendProxy::V1;
    let edge = edge(announced);
    for _ in 0..2 {
        let mut client = edge.client();
        let port = client.0.get_ref().local_addr().unwrap().port();
        assert_eq!(client.send(&get("/")).answer().status, 200);
        let line = seen.recv_timeout(WAIT).unwrap();
        let expected = format!("PROXY TCP4 127.0.0.1 127.0.0.1 {port} {}\r\n", edge.addr.port());
        assert_eq!(line, expected);
    }
}

#[test]
fn origins_follow_the_client() {
    let (live, theirs) = (pair(HOST), pair("origin.test"));
    let (plain, _a) = scripted("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nplain");
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\ntls";
    let (secret, _b) = tls_scripted(server(&theirs, None), answer);
    let rules = Arc::new(client(&[&theirs], None));
    let both = || {
        let mut both = tls_origins(domain(&[secret]), &rules, "origin.test");
        let in_the_clear = domain(&[plain]);
        both.origins = [&both.origins[0], &in_the_clear.origins[0]].map(Arc::clone).into();
        both.websocket.origin_scheme = OriginScheme::Follow;
        both
    };
    assert_eq!(edge(both()).client().send(&get("/")).answer().body, "plain");
    let edge = secured(vec![(both(), Some(server(&live, None)))], None, Tls::default());
    let mut client = connect(edge.addr, HOST, &client(&[&live], None));
    assert_eq!(client.send(&get("/")).answer().body, "tls");
}

// === Tunnels ===

#[test]
fn upgrades_open_tunnels_over_every_mixture() {
    let (live, theirs) = (pair(HOST), pair("origin.test"));
    let rules = Arc::new(client(&[&theirs], None));
    let config = client(&[&live], None);
    let plain = || plain_origin(domain(&[origin(tunnel)]));
    let secret = || {
        let addr = tls_origin(server(&theirs, None), tunnel);
        tls_origins(domain(&[addr]), &rules, "origin.test")
    };
    let secured = |domain| secured(vec![(domain, Some(server(&live, None)))], None, Tls::default());
    for (mut edge, to_client, to_origin) in [
        (secured(plain()), true, false),
        (secured(secret()), true, true),
        (edge(secret()), false, true),
    ] {
        match to_client {
            true => converse(&mut connect(edge.addr, HOST, &config)),
            false => converse(&mut edge.client()),
        }
        let until = Instant::now() + WAIT;
        let opened = loop {
            match edge.events.pop() {
                Ok(Event::Open(opened)) => break opened,
                Ok(other) => panic!("{other:?}"),
                Err(_) => assert!(Instant::now() < until),
            }
        };
        let told = (opened.client_tls.is_some(), opened.origin_tls.is_some());
        assert_eq!(told, (to_client, to_origin));
    }
}

const EARLY: [u8; 8] = [0x81, 0x82, 0, 0, 0, 0, b'h', b'i'];

/// The origin's part: a frame right behind the 101, then every message of the client is said back.
fn tunnel<S: Read + Write>(mut peer: Client<S>) {
    peer.head();
    peer.0.get_mut().write_all(&[SWITCH.as_bytes(), &[0x81, 2, b'y', b'o']].concat()).unwrap();
    loop {
        let mut frame = [0; 8];
        if peer.0.read_exact(&mut frame).is_err() {
            return;
        }
        peer.0.get_mut().write_all(&[0x81, 2, frame[6], frame[7]]).unwrap();
        peer.0.get_mut().flush().unwrap();
    }
}

/// The client's part: a frame right behind the request, and more when that was answered.
fn converse<S: Read + Write>(client: &mut Client<S>) {
    client.0.get_mut().write_all(&[UPGRADE.as_bytes(), &EARLY].concat()).unwrap();
    let head = client.head();
    assert!(head.starts_with("HTTP/1.1 101"), "{head}");
    let mut got = [0; 8];
    client.0.read_exact(&mut got).unwrap();
    assert_eq!(got, [0x81, 2, b'y', b'o', 0x81, 2, b'h', b'i']);
    for _ in 0..3 {
        client.0.get_mut().write_all(&EARLY).unwrap();
        client.0.read_exact(&mut got[..4]).unwrap();
        assert_eq!(got[..4], [0x81, 2, b'h', b'i']);
    }
}
