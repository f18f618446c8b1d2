//! Batches of certificates: whole or not at all, also when the edge is killed in between; nothing
//! of a key stays anywhere but in its file.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{BATCH, audit, batch, files_below};
use crate::harness::edge::signal;
use crate::harness::{Api, Authority, Dcdn, DomainFile, Edge, Origin, Pair, TlsClient, eventually};

/// Pairs that batches take in turn.
const PAIRS: usize = 5;

struct Stream {
    edge: Edge,
    pairs: Vec<Pair>,
    client: TlsClient,
    _origin: Origin,
}

impl Stream {
    fn new() -> Stream {
        let origin = Origin::answering("fine");
        let mut builder = Edge::builder().tls().admin("rate_domains = 10000");
        for domain in batch() {
            builder = builder.domain(DomainFile::to(&domain, &origin));
        }
        let authority = Authority::new("root");
        let names = batch();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let pairs = (0..PAIRS).map(|_| authority.pair(&names)).collect();
        let client = TlsClient::trusting(&authority);
        Stream { edge: builder.start(), pairs, client, _origin: origin }
    }

    fn texts(&self, n: usize) -> (String, String) {
        let pair = &self.pairs[n % PAIRS];
        (pair.chain_pem(), fs::read_to_string(pair.key()).expect("a key"))
    }

    /// The parameters of the call that gives all domains the `n`th pair.
    fn call(&self, n: usize) -> Vec<(String, String)> {
        let (chain, key) = self.texts(n);
        let pairs = [
            ("DomainName", batch().join(",")),
            ("SSLProtocol", "on".to_owned()),
            ("CertName", format!("number {n}")),
            ("SSLPub", chain),
            ("SSLPri", key),
        ];
        pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    fn certs(&self) -> PathBuf {
        self.edge.dir().join("certs")
    }

    /// Where the name of a domain leads to: another place with each pair.
    fn place(&self, domain: &str) -> Option<PathBuf> {
        fs::read_link(self.certs().join(domain)).ok()
    }

    /// The number of the pair that all domains have, in their files.
    fn together(&self) -> usize {
        let kept: BTreeSet<(String, String)> = batch()
            .iter()
            .map(|domain| {
                let read = |file: &str| fs::read_to_string(self.certs().join(domain).join(file));
                let chain = read("certificate.pem").expect("a certificate");
                // DER for DER: the edge writes the chain in its own lines.
                (chain.split_whitespace().collect(), read("key.pem").expect("a key"))
            })
            .collect();
        assert_eq!(kept.len(), 1, "half of a batch");
        let kept = kept.into_iter().next().expect("one");
        let is_it = |n: &usize| {
            let (chain, key) = self.texts(*n);
            kept == (chain.split_whitespace().collect(), key)
        };
        (0..PAIRS).find(is_it).expect("a chain with its own key")
    }

    /// Lines of all private keys.
    fn secrets(&self) -> Vec<String> {
        let keys = (0..PAIRS).map(|n| self.texts(n).1);
        let lines = keys.flat_map(|key| key.lines().map(str::to_owned).collect::<Vec<_>>());
        lines.filter(|line| line.len() > 40).collect()
    }

    /// No key is anywhere but in the files of the pairs in use.
    fn keys_are_in_their_files_only(&self) {
        let secrets = self.secrets();
        let inside = |text: &[u8]| {
            let has = |s: &String| text.windows(s.len()).any(|window| window == s.as_bytes());
            secrets.iter().any(has)
        };
        assert!(!inside(self.edge.stderr().as_bytes()), "a key in the log");
        let in_use = |domain: &String| {
            self.certs().join(domain).join("key.pem").canonicalize().expect("a key")
        };
        let in_use: BTreeSet<PathBuf> = batch().iter().map(in_use).collect();
        for file in files_below(self.edge.dir()) {
            let text = fs::read(&file).unwrap_or_default();
            let is_key = in_use.contains(&file.canonicalize().expect("a file"));
            assert_eq!(inside(&text), is_key, "{}", file.display());
        }
        let database = self.edge.dir().join("hawser.db");
        let database = rusqlite::Connection::open(database).expect("the database opens");
        for table in ["pending", "pending_pairs"] {
            let count = format!("SELECT count(*) FROM {table}");
            let rows: i64 = database.query_row(&count, [], |row| row.get(0)).expect("a table");
            assert_eq!(rows, 0, "{table}");
        }
    }
}

#[test]
fn an_edge_that_is_killed_in_a_stream_of_certificates_has_whole_batches_only() {
    let mut stream = Stream::new();
    let mut last = 0;
    let first = stream.call(0);
    let first: Vec<(&str, &str)> = first.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    Dcdn::of(&stream.edge).ask("BatchSetDcdnDomainCertificate", &first);
    for round in 0..BATCH {
        let acknowledged = AtomicUsize::new(last);
        let dcdn = Dcdn::of(&stream.edge);
        let (calls, from) = ((last..last + 200).map(|n| stream.call(n)).collect::<Vec<_>>(), last);
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| {
                for n in from + 1..from + 200 {
                    let call = &calls[n - from];
                    let call: Vec<_> = call.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
                    match dcdn.call("BatchSetDcdnDomainCertificate", &call).try_send() {
                        Some(answer) => assert_eq!(answer.status, 200, "{}", answer.text()),
                        None => return n,
                    }
                    acknowledged.store(n, Ordering::Release);
                }
                from + 200
            });
            eventually("some batches", || {
                (acknowledged.load(Ordering::Acquire) >= last + 1 + round % 3).then_some(())
            });
            in_the_middle(&stream, round);
            signal(stream.edge.pid, "KILL");
            let tried = writer.join().expect("the writer");
            let acknowledged = acknowledged.load(Ordering::Acquire);
            assert!(tried <= acknowledged + 1, "one at a time: {tried} after {acknowledged}");
        });
        stream.edge.kill();
        stream.edge.start_again();
        let (now, acknowledged) = (stream.together(), acknowledged.into_inner());
        let next = [acknowledged, acknowledged + 1];
        last = next.into_iter().find(|n| n % PAIRS == now).expect("what was asked for last");
        stream.keys_are_in_their_files_only();
        for domain in ["d0.test", "d9.test"] {
            stream.edge.connect_tls(&stream.client, domain);
        }
        // What DCDN keeps of it is as whole.
        let info = [("DomainName", "d9.test")];
        let info = Dcdn::of(&stream.edge).ask("DescribeDcdnDomainCertificateInfo", &info);
        let name = &info["CertInfos"]["CertInfo"][0]["CertName"];
        assert_eq!(name, &json!(format!("number {last}")));
    }
    let said = stream.edge.stderr();
    assert!(said.contains("finishing a change that was cut short"), "never in the middle: {said}");
}

/// Waits until some domains of a batch have their new pair and the last one has not, or for another
/// moment of its life.
fn in_the_middle(stream: &Stream, round: usize) {
    let (done, last) = (format!("d{round}.test"), format!("d{}.test", BATCH - 1));
    let before = (stream.place(&done), stream.place(&last));
    let deadline = Instant::now() + Duration::from_secs(20);
    if round < BATCH - 1 {
        while Instant::now() < deadline {
            let now = (stream.place(&done), stream.place(&last));
            if now.0 != before.0 && now.1 == before.1 {
                return;
            }
            std::hint::spin_loop();
        }
    }
}

#[test]
fn a_batch_with_one_domain_that_cannot_have_it_changes_nothing() {
    let stream = Stream::new();
    let dcdn = Dcdn::of(&stream.edge);
    let call = stream.call(0);
    let mut call: Vec<(&str, &str)> = call.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    let log = |edge: &Edge| audit(&Api::of(edge), None).len();
    let entries = log(&stream.edge);
    let others = Authority::new("root").pair(&["d0.test"]).chain_pem();
    call[3].1 = &others;
    let answer = dcdn.call("BatchSetDcdnDomainCertificate", &call).send();
    assert_eq!(answer.status, 400, "{}", answer.text());
    assert!(!stream.certs().exists() && log(&stream.edge) == entries);
}

#[test]
fn a_batch_stands_in_the_audit_log_as_one_change() {
    let stream = Stream::new();
    let call = stream.call(3);
    let call: Vec<(&str, &str)> = call.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    Dcdn::of(&stream.edge).ask("BatchSetDcdnDomainCertificate", &call);
    let log = audit(&Api::of(&stream.edge), None);
    let set = |entry: &&Value| entry["action"] == "certificate set";
    let changes: BTreeSet<i64> =
        log.iter().filter(set).map(|entry| entry["change"].as_i64().expect("a number")).collect();
    assert_eq!((log.iter().filter(set).count(), changes.len()), (BATCH, 1), "{log:?}");
}
