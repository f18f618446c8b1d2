//! Who may call what, how often, and what stays secret.

use super::{STATISTICS, Site, TRAFFIC, websocket_on};
use crate::harness::dcdn::SCHEMES;
use crate::harness::{Authority, Dcdn, eventually};

const FORBIDDEN: (u16, &str) = (403, "Forbidden.RAM");

#[test]
fn a_role_may_do_its_own_and_what_those_below_it_may() {
    let site = Site::with(&["a.test"]);
    let read = Dcdn::with(&site.edge, &site.edge.key("read"));
    let operate = Dcdn::with(&site.edge, &site.edge.key("operate"));
    let sources = site.sources();
    let on = websocket_on(&[]);
    let set = [("DomainNames", "a.test"), ("Functions", on.as_str())];
    let one = [("DomainName", "a.test")];
    for scheme in SCHEMES {
        for action in STATISTICS {
            assert_eq!(read.call(action, &one).scheme(scheme).send().status, 200, "{action}");
        }
        read.call("BatchSetDcdnDomainConfigs", &set).scheme(scheme).refused(FORBIDDEN);
    }
    for action in ["DescribeDcdnUserDomains", "DescribeDcdnRegionAndIsp"] {
        read.ask(action, &[]);
    }
    let add = [("DomainName", "b.test"), ("Sources", sources.as_str())];
    read.refused("AddDcdnDomain", &add, FORBIDDEN);
    for action in ["StopDcdnDomain", "StartDcdnDomain", "DeleteDcdnDomain"] {
        read.refused(action, &one, FORBIDDEN);
    }
    assert!(site.is_off("a.test"));
    operate.ask("AddDcdnDomain", &add);
    operate.ask("BatchSetDcdnDomainConfigs", &set);
    let plan = [("BillType", "PayByTraffic"), ("WebsocketBillType", "websockettraffic")];
    for dcdn in [&read, &operate] {
        dcdn.refused("OpenDcdnService", &plan, FORBIDDEN);
    }
    site.dcdn.ask("OpenDcdnService", &plan);
}

#[test]
fn a_caller_in_a_hurry_is_slowed_down_alone() {
    let site = Site::built(&["a.test"], |edge| edge.admin("rate_statistics = 3"));
    let dcdn = &site.dcdn;
    let other = Dcdn::with(&site.edge, &site.edge.key("read"));
    let mut answered = 0;
    let refused = eventually("a call is refused", || {
        let answer = dcdn.call(TRAFFIC, &[]).send();
        answered += u32::from(answer.status == 200);
        (answer.status != 200).then_some(answer)
    });
    assert!(answered >= 3, "{answered} before the first refusal");
    let body = refused.json();
    assert_eq!((refused.status, &body["Code"]), (400, &"Throttling.User".into()), "{body}");
    assert_eq!(body["Message"], "Request was denied due to user flow control.");
    let wait = refused.head.field("x-acs-retry-after");
    assert!(wait.is_none_or(|wait| wait.parse::<u32>().is_ok()), "{wait:?}");
    other.ask(TRAFFIC, &[]);
    dcdn.ask("DescribeDcdnUserDomains", &[]);
    eventually("the caller may go on", || {
        (dcdn.call(TRAFFIC, &[]).send().status == 200).then_some(())
    });
}

/// Access keys and private keys are in no log, no listing, no error and no file that others read.
#[test]
fn secrets_are_told_to_nobody() {
    let authority = Authority::new("root");
    let pair = authority.pair(&["a.test"]);
    let key_pem = std::fs::read_to_string(pair.key()).expect("a key");
    let secret_line = key_pem.lines().nth(1).expect("base64").to_owned();
    let site = Site::with(&["a.test"]);
    let upload = [
        ("DomainName", "a.test"),
        ("SSLProtocol", "on"),
        ("CertType", "upload"),
        ("CertName", "one"),
        ("SSLPub", &pair.chain_pem()),
        ("SSLPri", &key_pem),
    ];
    let mut seen = String::new();
    seen += &site.dcdn.ask("SetDcdnDomainSSLCertificate", &upload).to_string();
    let other = authority.pair(&["a.test"]);
    let mut mismatch = upload;
    let other_pem = other.chain_pem();
    mismatch[4].1 = &other_pem;
    seen += &site.dcdn.call("SetDcdnDomainSSLCertificate", &mismatch).send().text();
    for action in
        ["DescribeDcdnDomainCertificateInfo", "DescribeDcdnDomainDetail", "DescribeDcdnUserDomains"]
    {
        seen += &site.dcdn.ask(action, &[("DomainName", "a.test")]).to_string();
    }
    seen += &site.edge.hawser_done(&["key", "list"]);
    seen += &site.edge.hawser_done(&["cert", "list"]);
    seen += &site.edge.stderr();
    seen += &site.edge.log().iter().map(ToString::to_string).collect::<String>();
    assert!(!seen.contains(&secret_line), "a private key in {seen}");
    assert!(!seen.contains(&site.dcdn.secret), "a secret in {seen}");
    for name in ["hawser.db", "hawser.db-wal"] {
        let Ok(bytes) = std::fs::read(site.edge.dir().join(name)) else { continue };
        let contains = |text: &str| bytes.windows(text.len()).any(|w| w == text.as_bytes());
        assert!(!contains(&site.dcdn.secret), "{name} holds a secret in the clear");
        assert!(!contains(&secret_line), "{name} holds a private key");
    }
    for name in ["hawser.db", "admin.key", "node.key"] {
        use std::os::unix::fs::PermissionsExt as _;
        let path = site.edge.dir().join(name);
        let mode = std::fs::metadata(&path).expect(name).permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}
