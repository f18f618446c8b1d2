//! Reloads against fake cores and names.

use super::*;
use crate::control::config::tls::{
    Acme, AcmeChallenge, Certificate, DomainTls, Files, MinVersion, OriginTls, ServerTls, Verify,
};
use crate::control::config::{Admin, ChosenBy, GeoConfig, Health, LogDestination, Rates, Workers};
use crate::control::cores::fake;
use crate::control::dns::Answer;
use crate::limits;
use crate::snapshot::Balance;
use crate::snapshot::domain::{Access, AccessLog, DomainHttp, SendProxy, WebSocket};
use crate::snapshot::{ClientAuth, HeartbeatMode, Http, OriginRule, OriginScheme, Tls};
use crate::stats::admission::Allowance;

struct NoNames;

impl Lookup for NoNames {
    async fn lookup(&self, _name: &str) -> Result<Answer, String> {
        Err("no such name".to_owned())
    }
}

/// A configuration with these domains and their origins' addresses.
pub fn config(domains: &[(&str, &[&str])]) -> Loaded {
    let second = Duration::from_secs(1);
    let websocket = WebSocket {
        enabled: true,
        heartbeat: second * 60,
        heartbeat_mode: HeartbeatMode::Active,
        origin_scheme: OriginScheme::Follow,
        origin_rule: OriginRule::Any,
        strict_frames: true,
        max_frame: 1 << 20,
        max_message: 1 << 20,
        messages_per_second: None,
        max_lifetime: None,
        stalled_write: second * 60,
        allowance: Allowance::default(),
    };
    let http = DomainHttp {
        connect_timeout: second,
        response_timeout: second,
        body_timeout: second,
        max_body: 1 << 20,
        host: None,
        send_proxy: SendProxy::Off,
    };
    let origin = |address: &&str| OriginConfig {
        address: match address.parse() {
            Ok(ip) => OriginAddress::Ip(ip),
            Err(_) => OriginAddress::Name((*address).into()),
        },
        port: 80,
        https_port: 443,
        priority: 20,
        weight: 10,
    };
    let domain = |(name, origins): &(&str, &[&str])| DomainConfig {
        name: (*name).into(),
        enabled: true,
        file: Default::default(),
        websocket: websocket.clone(),
        tls: client_tls(),
        origin_tls: origin_tls(),
        http: http.clone(),
        origins: origins.iter().map(origin).collect(),
        balance: Balance::default(),
        close_on_origin_down: Some(10),
        access: Access::default(),
        log: AccessLog { enabled: true, interval: None },
    };
    let server = ServerConfig {
        listen: vec!["127.0.0.1:80".parse().unwrap()],
        listen_by: ChosenBy::Operator,
        listen_tls: Vec::new(),
        workers: Workers::Auto,
        state_dir: "/var/lib/hawser".into(),
        http: Http::default(),
        tls: server_tls(),
        acme: acme(),
        admin: admin(),
        drain_window: second * 30,
        access_log: LogDestination::Off,
        health: Health { interval: second * 5, timeout: second * 3, failures_down: 3 },
        name_servers: Vec::new(),
        geo: GeoConfig::default(),
        billing: Default::default(),
    };
    Loaded { server, domains: domains.iter().map(domain).collect(), hash: "0123".into() }
}

fn client_tls() -> DomainTls {
    DomainTls {
        certificate: Certificate::Uploaded,
        key: Vec::new(),
        ocsp: Vec::new(),
        client_auth: ClientAuth::Off,
        client_ca: None,
    }
}

fn origin_tls() -> OriginTls {
    OriginTls { verify: Verify::Webpki, server_name: None, pair: Files::default() }
}

fn admin() -> Admin {
    let rates = Rates {
        rest: limits::DEFAULT_REST_RATE,
        statistics: limits::DEFAULT_DCDN_RATES[0],
        domains: limits::DEFAULT_DCDN_RATES[1],
        lists: limits::DEFAULT_DCDN_RATES[2],
        deletions: limits::DEFAULT_DCDN_RATES[3],
        service: limits::DEFAULT_DCDN_RATES[4],
    };
    Admin { listen: None, files: Files::default(), hosts: Vec::new(), rates }
}

fn server_tls() -> ServerTls {
    ServerTls {
        default: Files::default(),
        handshakes: Tls::default(),
        min_version: MinVersion::Tls12,
    }
}

fn acme() -> Acme {
    Acme {
        directory: "https://acme.test/".into(),
        contact: Vec::new(),
        root: None,
        challenge: AcmeChallenge::Http01,
    }
}

fn no_tls() -> super::Tls<'static> {
    static NONE: std::sync::LazyLock<(Keyring, Challenges)> =
        std::sync::LazyLock::new(Default::default);
    super::Tls { keyring: &NONE.0, challenges: &NONE.1, listening: false }
}

/// Generation 1 of it.
pub fn snapshot(domains: &[(&str, &[&str])]) -> Snapshot {
    let none = |_: &str| -> Arc<[IpAddr]> { Arc::new([]) };
    build(
        &config(domains),
        &Snapshot::default(),
        1,
        &mut Registry::default(),
        &no_tls(),
        none,
        |_| false,
    )
    .unwrap()
}

type Next = Arc<std::sync::Mutex<Result<Loaded, Rejected>>>;

async fn publisher(first: Loaded) -> (Publisher<NoNames>, Next, fake::Asked) {
    behind(Gate::open(), first).await
}

async fn behind(gate: Gate, first: Loaded) -> (Publisher<NoNames>, Next, fake::Asked) {
    let next: Next = Arc::new(std::sync::Mutex::new(Ok(first.clone())));
    let load: Load = {
        let next = Arc::clone(&next);
        Arc::new(move |_: &WouldBe| next.lock().unwrap().clone())
    };
    let (cores, asked) = fake::cores(2);
    let first = First::of(first, false).unwrap();
    let publisher = Publisher::new(first, load, Names::new(NoNames), Stats::new(2), cores, gate);
    publisher.first(Duration::ZERO).await.unwrap();
    asked.lock().unwrap().clear();
    (publisher, next, asked)
}

#[tokio::test]
async fn a_bad_file_changes_nothing_and_says_why() {
    let (publisher, next, asked) = publisher(config(&[("a.test", &["192.0.2.1"])])).await;
    let before = publisher.cell().current();
    *next.lock().unwrap() = Err(reject("hawser.toml:3:1 server.listn: unknown key".to_owned()));
    let rejected = publisher.reload().await.unwrap_err();
    assert!(rejected.detail.contains("listn"), "{rejected}");
    assert!(Arc::ptr_eq(&before, &publisher.cell().current()));
    assert!(asked.lock().unwrap().is_empty());
    assert_eq!(publisher.reloads.failed.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_reload_keeps_slots_and_endpoint_states_and_tells_the_cores() {
    let first = config(&[("a.test", &["192.0.2.1"]), ("b.test", &["192.0.2.2"])]);
    let (publisher, next, asked) = publisher(first).await;
    let before = publisher.cell().current();
    let b = before.hosts.find("b.test").unwrap();
    b.origins[0].endpoints[0].state.tunnel_opened();

    let mut second = config(&[("b.test", &["192.0.2.2"]), ("c.test", &["192.0.2.3"])]);
    second.server.listen.push("127.0.0.1:81".parse().unwrap());
    second.server.drain_window = Duration::from_secs(5);
    *next.lock().unwrap() = Ok(second);
    let reloaded = publisher.reload().await.unwrap();
    assert_eq!((reloaded.generation, reloaded.domains), (2, 2));
    assert_eq!((reloaded.added, reloaded.removed), (vec!["c.test".into()], vec!["a.test".into()]));
    assert_eq!(reloaded.restart_needed, ["server.listen".into()]);
    assert_eq!(publisher.drain_window().await, Duration::from_secs(5));

    let after = publisher.cell().current();
    let b2 = after.hosts.find("b.test").unwrap();
    assert_eq!(b2.slot, b.slot);
    assert_eq!(b2.origins[0].endpoints[0].state.tunnels(), 1);
    assert_eq!(after.hosts.find("c.test").unwrap().slot, 2, "a's slot is not reused yet");
    assert_eq!(*asked.lock().unwrap(), ["0: snapshot", "1: snapshot"]);
}

#[tokio::test]
async fn challenges_waited_for_a_reload_that_read_a_large_file() {
    let (publisher, next, _) = publisher(config(&[("a.test", &["192.0.2.1"])])).await;
    let (slow, is_slow) = std::sync::mpsc::sync_channel(0);
    let (done, is_done) = std::sync::mpsc::sync_channel::<()>(0);
    std::thread::spawn(move || {
        let _disk = next.lock().unwrap();
        slow.send(()).unwrap();
        let _ = is_done.recv();
    });
    is_slow.recv().unwrap();
    let reload = publisher.reload();
    tokio::pin!(reload);
    tokio::select! {
        biased;
        _ = &mut reload => panic!("it has nothing to read yet"),
        generation = publisher.challenge(|_| ()) => assert_eq!(generation, 2),
    }
    drop(done);
    assert_eq!(reload.await.unwrap().generation, 3);
}

#[tokio::test]
async fn tunnels_of_a_lost_endpoint_are_closed_at_the_domains_pace() {
    let first = config(&[("a.test", &["192.0.2.1", "192.0.2.2"])]);
    let (publisher, _, asked) = publisher(first.clone()).await;
    publisher.endpoint_down("192.0.2.2:80".parse().unwrap()).await;
    publisher.endpoint_down("192.0.2.77:80".parse().unwrap()).await;
    let closes = [
        "0: list",
        "1: list",
        "0: close a.test 192.0.2.2:80 origin_down 1012 5/s from 1",
        "1: close a.test 192.0.2.2:80 origin_down 1012 5/s from 0.5",
    ];
    assert_eq!(*asked.lock().unwrap(), closes);

    let old = publisher.cell().current();
    let mut registry = Registry::default();
    let none = |_: &str| -> Arc<[IpAddr]> { Arc::new([]) };
    let moved = config(&[("a.test", &["192.0.2.1", "192.0.2.3"])]);
    let new = build(&moved, &old, 2, &mut registry, &no_tls(), none, |_| false).unwrap();
    let addr = "192.0.2.2:80".parse().unwrap();
    assert_eq!(lost(&old, &new), [Lost { domain: "a.test".into(), addr, rate: 10 }]);
    let gone = build(&config(&[]), &old, 3, &mut registry, &no_tls(), none, |_| false).unwrap();
    assert_eq!(lost(&old, &gone), [], "the cores close those of a vanished domain");
}

#[test]
fn what_a_name_stood_for_keeps_its_tunnels_until_the_name_leaves_the_configuration() {
    let named = config(&[("a.test", &["origin.test"])]);
    let mut registry = Registry::default();
    let mut after = |config: &Loaded, before: &Snapshot, answer: &str| {
        let answer: Arc<[IpAddr]> = Arc::new([answer.parse().unwrap()]);
        let addresses = |_: &str| Arc::clone(&answer);
        build(config, before, 1, &mut registry, &no_tls(), addresses, |_| false).unwrap()
    };
    let origin =
        |snapshot: &Snapshot| Arc::clone(&snapshot.hosts.find("a.test").unwrap().origins[0]);
    let former = |snapshot: &Snapshot| -> Vec<String> {
        origin(snapshot).former.iter().map(|endpoint| endpoint.addr.to_string()).collect()
    };
    let first = after(&named, &Snapshot::default(), "192.0.2.1");
    let busy = Arc::clone(&origin(&first).endpoints[0].state);
    busy.tunnel_opened();
    let second = after(&named, &first, "192.0.2.2");
    let third = after(&named, &second, "192.0.2.3");
    let fourth = after(&named, &third, "192.0.2.4");
    assert_eq!(former(&second), ["192.0.2.1:80"]);
    assert_eq!(former(&third), ["192.0.2.2:80", "192.0.2.1:80"]);
    assert_eq!(former(&fourth), ["192.0.2.3:80", "192.0.2.1:80"], "nobody is at .2 any more");
    for (old, new) in [(&first, &second), (&second, &third), (&third, &fourth)] {
        assert_eq!(lost(old, new), []);
    }
    let back = after(&named, &fourth, "192.0.2.1");
    assert_eq!(former(&back), ["192.0.2.4:80"]);
    assert!(Arc::ptr_eq(&busy, &origin(&back).endpoints[0].state), "it is what it was");

    let gone = after(&config(&[("a.test", &["192.0.2.9"])]), &fourth, "192.0.2.9");
    let mut addresses: Vec<String> =
        lost(&fourth, &gone).into_iter().map(|lost| lost.addr.to_string()).collect();
    addresses.sort_unstable();
    assert_eq!(addresses, ["192.0.2.1:80", "192.0.2.3:80", "192.0.2.4:80"]);
    let mut moved = named.clone();
    moved.domains[0].origins[0].port = 81;
    let moved = after(&moved, &fourth, "192.0.2.4");
    assert_eq!((former(&moved).len(), lost(&fourth, &moved).len()), (0, 3), "another port");
}

#[tokio::test(start_paused = true)]
async fn a_name_without_an_answer_starts_without_endpoints() {
    let (publisher, ..) = publisher(config(&[("a.test", &["origin.test"])])).await;
    let snapshot = publisher.cell().current();
    let domain = snapshot.hosts.find("a.test").unwrap();
    assert!(domain.origins[0].endpoints.is_empty());
    assert_eq!(&*domain.origins[0].address, "origin.test");
}

#[tokio::test]
async fn endpoints_are_those_of_the_transports_that_can_come() {
    use OriginScheme::{Follow, Http, Https};
    let none = |_: &str| -> Arc<[IpAddr]> { Arc::new([]) };
    for (scheme, listening, plain, tls) in
        [(Http, true, 1, 0), (Https, false, 0, 1), (Follow, false, 1, 0), (Follow, true, 1, 1)]
    {
        let mut config = config(&[("a.test", &["192.0.2.1"])]);
        config.domains[0].websocket.origin_scheme = scheme;
        let with = super::Tls { listening, ..no_tls() };
        let snapshot =
            build(&config, &Snapshot::default(), 1, &mut Registry::default(), &with, none, |_| {
                false
            })
            .unwrap();
        let origin = &snapshot.hosts.find("a.test").unwrap().origins[0];
        assert_eq!(
            (origin.endpoints.len(), origin.tls_endpoints.len()),
            (plain, tls),
            "{scheme:?}"
        );
        assert!(origin.tls_endpoints.iter().all(|endpoint| endpoint.addr.port() == 443));
        assert_eq!(origin.all_endpoints().count(), plain + tls);
    }
}

#[tokio::test]
async fn a_bad_pair_refuses_the_reload_and_the_good_one_stays() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.pem");
    let write = |name: &str| {
        let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
        std::fs::write(&file, made.cert.pem() + &made.signing_key.serialize_pem()).unwrap();
    };
    write("a.test");
    let mut first = config(&[("a.test", &["192.0.2.1"])]);
    first.domains[0].tls.certificate = Certificate::Files(vec![file.clone()]);
    let (publisher, ..) = publisher(first).await;
    let before = publisher.cell().current();
    let found =
        |snapshot: &Snapshot| Arc::clone(snapshot.certificates.find(Some("a.test")).unwrap());
    assert_eq!(publisher.served().len(), 1);

    write("b.test");
    let rejected = publisher.reload().await.unwrap_err();
    assert!(rejected.detail.contains("does not cover a.test, but b.test"), "{rejected}");
    assert!(Arc::ptr_eq(&before, &publisher.cell().current()));

    write("a.test");
    publisher.reload().await.unwrap();
    let after = publisher.cell().current();
    assert!(!Arc::ptr_eq(&found(&before), &found(&after)), "the file changed under its path");
    publisher.reload().await.unwrap();
    assert!(Arc::ptr_eq(&found(&after), &found(&publisher.cell().current())));
}

#[tokio::test]
async fn answers_to_challenges_are_published_and_outlive_a_reload() {
    let (publisher, ..) = publisher(config(&[("a.test", &["192.0.2.1"])])).await;
    let set = |c: &mut Challenges| drop(c.http.insert("token".into(), "answer".into()));
    let generation = publisher.challenge(set).await;
    publisher.reload().await.unwrap();
    let snapshot = publisher.cell().current();
    assert_eq!(snapshot.generation, generation + 1);
    assert_eq!(snapshot.http_challenges.get("token").map(|answer| &**answer), Some("answer"));
    publisher.challenge(|c| c.http.clear()).await;
    assert!(publisher.cell().current().http_challenges.is_empty());
}

#[tokio::test]
async fn without_a_plan_no_domain_has_websocket() {
    use crate::control::billing::{Billing, ChargeType, Settings, WebsocketBillType};
    use crate::control::changes::{Author, Via};
    use crate::control::database::Database;

    let dir = tempfile::tempdir().unwrap();
    let process = || Billing::new(Database::open(dir.path()).unwrap(), Settings::default());
    let mut first = config(&[("a.test", &["192.0.2.1"]), ("b.test", &["192.0.2.1"])]);
    first.domains[1].websocket.enabled = false;
    let (publisher, next, asked) = behind(Gate::new(process()), first.clone()).await;
    let has = |name: &str| publisher.cell().current().hosts.find(name).unwrap().websocket.enabled;
    assert_eq!((has("a.test"), has("b.test"), publisher.gate().is_open()), (false, false, false));
    assert!(publisher.configured().domains[0].websocket.enabled, "the file says what it says");
    publisher.reload().await.unwrap();
    assert!(!has("a.test"));
    assert!(!publisher.look_at_plans().await.unwrap(), "no news");

    // Without billing, nothing is gated; with it again, it is.
    let mut off = first.clone();
    off.server.billing.enabled = false;
    *next.lock().unwrap() = Ok(off);
    publisher.reload().await.unwrap();
    assert_eq!((has("a.test"), has("b.test"), publisher.gate().is_open()), (true, false, true));
    *next.lock().unwrap() = Ok(first);
    publisher.reload().await.unwrap();
    assert!(!has("a.test"));

    // Another process opens a plan: the next look publishes it, and it stays.
    let author = Author { name: "ada".to_owned(), via: Via::Cli, address: None };
    let method = (ChargeType::PayByTraffic, WebsocketBillType::WebsocketTraffic);
    process().open(method.0, method.1, Timestamp::now(), &author).unwrap();
    asked.lock().unwrap().clear();
    assert!(publisher.look_at_plans().await.unwrap());
    assert_eq!((has("a.test"), has("b.test"), publisher.gate().is_open()), (true, false, true));
    assert_eq!(*asked.lock().unwrap(), ["0: snapshot", "1: snapshot"]);
    assert!(!publisher.look_at_plans().await.unwrap(), "no news");
    publisher.reload().await.unwrap();
    assert!(has("a.test"));
}
