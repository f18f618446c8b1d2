//! Rules of the TLS tables.

use super::super::render;
use super::super::tls::{Certificate, Verify};
use super::*;

#[test]
fn rules_that_join_keys_of_the_server() {
    let problems = server_problems(
        r#"[server]
listen = ["0.0.0.0:443"]
listen_tls = ["10.0.0.1:443", "[::]:8443"]
[admin]
listen = "[::1]:8443"
[tls]
default_certificate = ["/a.pem", "/b.pem"]
default_key = "/a.key"
"#,
    );
    insta::assert_snapshot!(problems);
}

#[test]
fn what_a_domain_gets_wrong() {
    let problems = domain_problems(
        r#"name = "*.example.com"
[websocket]
origin_scheme = "https"
[tls]
certificate = "acme"
key = "/etc/tls/key.pem"
ocsp = "ocsp.der"
client_auth = "required"
[origin_tls]
key = "/etc/tls/key.pem"
[[origin]]
address = "10.0.0.1"
"#,
    );
    insta::assert_snapshot!(problems);
    let problems = domain_problems(
        r#"name = "10.0.0.1"
[tls]
certificate = ["/a.pem", "/b.pem"]
ocsp = ["/a.der"]
client_ca = "/ca.pem"
[[origin]]
address = "10.0.0.1"
"#,
    );
    insta::assert_snapshot!("of_another", problems);
}

#[test]
fn an_edge_listens_somewhere() {
    let load = |server: &str| from_texts(&text("hawser.toml", server), &[]);
    let only_tls = load("[server]\nlisten = []\nlisten_tls = [\"0.0.0.0:443\"]\n").unwrap();
    assert!(only_tls.server.listen.is_empty());
    let problems = server_problems("[server]\nlisten = []\n");
    assert_eq!(problems.0[0].what, "[]: with no listen_tls, nobody could connect");
}

#[test]
fn the_name_of_origins_is_the_nearest_that_is_written() {
    let name = |lines: &str| {
        let domain = text("x.toml", &format!("{lines}\n[[origin]]\naddress = \"10.0.0.1\"\n"));
        let mut loaded = from_texts(&Text::default(), &[domain]).unwrap();
        loaded.domains.remove(0).origin_name().map(str::to_owned)
    };
    let own = "name = \"a.test\"\n";
    let wild = "name = \"*.test\"\n";
    let host = "[http]\nhost = \"inner.test:8443\"\n";
    let set = "[origin_tls]\nserver_name = \"set.test\"\n";
    assert_eq!(name(own).as_deref(), Some("a.test"));
    assert_eq!(name(wild), None);
    assert_eq!(name(&format!("{wild}{host}")).as_deref(), Some("inner.test"));
    assert_eq!(name(&format!("{own}{host}{set}")).as_deref(), Some("set.test"));
    let v6 = "[http]\nhost = \"[::1]\"\n";
    assert_eq!(name(&format!("{own}{v6}")).as_deref(), Some("[::1]"));
}

#[test]
fn origins_of_one_address_differ_by_the_port_that_is_used() {
    let load = |scheme: &str, second: &str| {
        let domain = format!(
            "name = \"a.test\"\n[websocket]\norigin_scheme = \"{scheme}\"\n\
             [[origin]]\naddress = \"10.0.0.1\"\n[[origin]]\naddress = \"10.0.0.1\"\n{second}\n"
        );
        from_texts(&Text::default(), &[text("a.test.toml", &domain)])
    };
    for (scheme, second, good) in [
        ("http", "port = 81", true),
        ("http", "https_port = 444", false),
        ("https", "port = 81", false),
        ("https", "https_port = 444", true),
        ("follow", "port = 81", true),
        ("follow", "https_port = 444", false),
    ] {
        assert_eq!(load(scheme, second).is_ok(), good, "{scheme} {second}");
    }
}

#[test]
fn one_file_may_stand_without_a_list() {
    let domain = format!(
        "{DOMAIN}[tls]\ncertificate = \"/a.pem\"\nkey = [\"/a.key\"]\n\
         [origin_tls]\nverify = \"/ca.pem\"\n"
    );
    let loaded = from_texts(&Text::default(), &[text("a.example.com.toml", &domain)]).unwrap();
    let domain = &loaded.domains[0];
    assert_eq!(domain.tls.certificate, Certificate::Files(vec!["/a.pem".into()]));
    assert_eq!(domain.origin_tls.verify, Verify::Ca("/ca.pem".into()));
    let printed = render::domain(domain, render::Form::File);
    assert!(printed.contains("certificate = \"/a.pem\"\nkey = \"/a.key\"\n"), "{printed}");
}

#[test]
fn an_admin_listener_that_others_can_reach_speaks_tls() {
    let load = |listen: &str, tls: &str| {
        let text = format!("[admin]\nlisten = \"{listen}\"\n{tls}");
        from_texts(&super::text("hawser.toml", &text), &[]).map(|loaded| loaded.server.admin.listen)
    };
    let pair = "certificate = \"/a.pem\"\nkey = \"/a.key\"";
    for local in ["127.0.0.1:9080", "127.8.0.1:9080", "[::1]:9080", "[::ffff:127.0.0.1]:9080"] {
        assert!(load(local, "").is_ok(), "{local}");
    }
    for listen in ["0.0.0.0:9080", "192.0.2.1:9080", "[::]:9080", "[2001:db8::1]:9080"] {
        assert_eq!(load(listen, pair).unwrap(), Some(listen.parse().unwrap()));
        let problems = load(listen, "").unwrap_err().to_string();
        assert!(problems.contains("certificate = ") && problems.contains(listen), "{problems}");
    }
    let alone = load("127.0.0.1:9080", "key = \"/a.key\"").unwrap_err().to_string();
    assert!(alone.contains("admin.key"), "{alone}");
}
