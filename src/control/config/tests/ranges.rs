//! Both ends of every range, and every grammar.

use super::super::keys::{DOMAIN_FILE, SERVER_FILE, Section};
use super::*;

/// `[section] key = value` in an otherwise good configuration.
fn with(server: bool, section: &Section, key: &str, value: &str) -> Result<(), Problems> {
    let line = format!("{key} = {value}\n");
    let table = match (section.name, section.repeated) {
        ("", _) => line,
        (name, false) => format!("[{name}]\n{line}"),
        (name, true) => format!("[[{name}]]\n{line}"),
    };
    if server {
        let asn = if (section.name, key) == ("geo", "isps") { "asn = false\n" } else { "" };
        return from_texts(&text("hawser.toml", &(table + asn)), &[]).map(drop);
    }
    let name = if key == "name" { "" } else { "name = \"a.example.com\"\n" };
    let other = if section.repeated && key != "address" { "address = \"10.0.0.9\"\n" } else { "" };
    let origin = if section.repeated { "" } else { "[[origin]]\naddress = \"10.0.0.1\"\n" };
    let mode = if (section.name, key) == ("balance", "key") { "mode = \"hash\"\n" } else { "" };
    let domain = format!("{name}{table}{mode}{other}{origin}");
    from_texts(&Text::default(), &[text("a.example.com.toml", &domain)]).map(drop)
}

fn section(server: bool, name: &str) -> &'static Section {
    let sections = if server { SERVER_FILE } else { DOMAIN_FILE };
    sections.iter().find(|section| section.name == name).unwrap()
}

/// Section, key, values that are accepted, values that are not.
type Case<'a> = (&'a str, &'a str, &'a [&'a str], &'a [&'a str]);

fn judge(server: bool, cases: &[Case<'_>]) {
    for (name, key, good, bad) in cases {
        for value in *good {
            let result = with(server, section(server, name), key, value);
            assert_eq!(result, Ok(()), "{name}.{key} = {value}");
        }
        for value in *bad {
            let result = with(server, section(server, name), key, value);
            assert!(result.is_err(), "{name}.{key} = {value}");
        }
    }
}

const SIZES: &[&str] = &["1", "\"1KiB\"", "\"8388607TiB\"", "9223372036854775807", "false"];
const NO_SIZES: &[&str] = &["0", "-1", "\"0KiB\"", "\"8388608TiB\"", "\"1kB\"", "true", "1.5"];
const RATES: &[&str] = &["1", "1000000", "false"];
const NO_RATES: &[&str] = &["0", "1000001", "true", "\"off\""];
const COUNTS: &[&str] = &["1", "100000000", "false"];
const NO_COUNTS: &[&str] = &["0", "100000001", "-5"];

#[test]
fn no_key_takes_a_date_and_every_key_names_itself() {
    let mut keys = 0;
    for (server, sections) in [(true, SERVER_FILE), (false, DOMAIN_FILE)] {
        for section in sections {
            for key in section.keys {
                let problems = with(server, section, key.name(), "1979-05-27").unwrap_err();
                let index = if section.repeated { "[0]" } else { "" };
                let dot = if section.name.is_empty() { "" } else { "." };
                let path = format!("{}{index}{dot}{}", section.name, key.name());
                let [problem] = &problems.0[..] else { panic!("{path}: {problems}") };
                assert_eq!(problem.path, path);
                assert_eq!(problem.what, "1979-05-27 is not accepted");
                assert_eq!(problem.accepted, Some(key.accepts()));
                keys += 1;
            }
        }
    }
    assert!(keys > 40, "{keys}");
}

#[test]
fn every_default_is_accepted() {
    for (server, sections) in [(true, SERVER_FILE), (false, DOMAIN_FILE)] {
        for section in sections {
            for key in section.keys {
                if let Some(default) = key.default_text() {
                    let result = with(server, section, key.name(), &default);
                    assert_eq!(result, Ok(()), "{} = {default}", key.name());
                }
            }
        }
    }
}

#[test]
fn server_values() {
    let v6 = "\"[::1]:80\"";
    let long = format!("\"/{}\"", "x".repeat(93));
    let longer = format!("\"/{}\"", "x".repeat(94));
    let cases: &[Case<'_>] = &[
        ("", "version", &["1"], &["0", "2", "\"1\"", "1.0"]),
        ("server", "workers", &["\"auto\"", "1", "4096", "0x10"], &["0", "4097", "-1", "\"4\""]),
        ("server", "listen", &["[\"127.0.0.1:0\"]", "[\"[::1]:80\"]"], &["[]", v6, "[80]"]),
        ("server", "listen_tls", &["[]", "[\"0.0.0.0:443\"]"], &["[\"0.0.0.0:80\"]", "\"\""]),
        ("server", "state_dir", &[&long], &[&longer, "\"\"", "\"x\"", "1"]),
        ("server", "node", &["\"edge-1.fra_2\""], &["\"\"", "\"a b\"", "\"a/b\""]),
        ("server", "trusted_proxies", &["[\"10.0.0.0/8\", \"::1\"]"], &["[\"10.0.0.0/8\", 1]"]),
        ("server", "source_addresses", &["[]", "[\"::1\"]"], &["[\"10.0.0.0/8\"]", "\"::1\""]),
        ("admin", "listen", &["\"off\"", "\"[::1]:1\""], &["\"on\"", "false", "\"localhost:1\""]),
        ("admin", "hosts", &["[]", "[\"a.test\"]"], &["[\"a.test:1\"]", "[\"A\"]", "\"a\""]),
        ("admin", "rate_rest", &["1", "1000000"], &["0", "1000001", "false"]),
        ("drain", "window", &["\"0s\"", "\"1h\"", "\"60m\""], &["\"61m\"", "\"1\"", "\"-1s\""]),
        ("timeouts", "head", &["\"1s\"", "\"5m\""], &["\"999ms\"", "\"301s\"", "10"]),
        ("timeouts", "keepalive", &["\"1s\"", "\"1h\""], &["\"999ms\"", "\"3601s\"", "\"1 h\""]),
        ("log", "access", &["\"off\"", "\"/var/log/x\""], &["\"x\"", "\"stdout\"", "true"]),
        ("health", "failures", &["1", "100"], &["0", "101"]),
        ("health", "timeout", &["\"100ms\"", "\"5s\""], &["\"99ms\"", "\"5001ms\""]),
        (
            "billing",
            "utc_offset",
            &["\"+08:00\"", "\"-03:30\"", "\"+05:45\""],
            &["\"+8\"", "8", "\"+08:01\"", "\"+15:00\"", "\"UTC\""],
        ),
        (
            "billing",
            "overhead",
            &["1", "1.0", "1.1", "1.075", "2.0"],
            &["0.9", "2.001", "1.0001", "\"1.1\"", "1e0", "-1.0", "inf", "10"],
        ),
        ("billing", "pending", &["\"refuse\"", "\"replace\""], &["\"keep\"", "true"]),
        ("billing", "prices", &["false", "\"/etc/hawser/prices.toml\""], &["true", "\"\""]),
        ("dns", "servers", &["[]", "[\"192.0.2.1:53\"]"], &["[\"192.0.2.1\"]", "[53]"]),
        ("geo", "rules", &["false", "\"/etc/hawser/places.csv\""], &["true", "\"places.csv\""]),
        ("geo", "city", &["false", "\"/c.mmdb\""], &["true", "\"c.mmdb\"", "\"\""]),
        ("geo", "asn", &["false", "\"/a.mmdb\""], &["true", "[\"/a.mmdb\"]"]),
        (
            "geo",
            "isps",
            &["{}", "{ 0 = \"a\" }", "{ 4294967295 = \"acme-2.net\", \"7\" = \"b_c\" }"],
            &["[]", "{ 4294967296 = \"a\" }", "{ AS1 = \"a\" }", "{ \"+1\" = \"a\" }"],
        ),
        (
            "geo",
            "isps",
            &[],
            &["{ 1 = \"*\" }", "{ 1 = \"A\" }", "{ 1 = 2 }", "{ 01 = \"a\", 1 = \"b\" }"],
        ),
    ];
    judge(true, cases);
}

#[test]
fn values_at_the_top() {
    let label = format!("\"{}.example\"", "x".repeat(63));
    let long_label = format!("\"{}.example\"", "x".repeat(64));
    let long_name = format!("\"{}\"", ["x".repeat(50).as_str(); 6].join("."));
    let cases: &[Case<'_>] = &[
        (
            "",
            "name",
            &["\"a\"", "\"*.a\"", "\"127.0.0.1\"", "\"a_b.xn--4ca\"", &label],
            &[
                "\"\"",
                "\"*\"",
                "\"a.*.b\"",
                "\"A\"",
                "\"a.\"",
                "\"ä\"",
                "\"-a\"",
                "\"a:80\"",
                "\"a/b\"",
                "\"..\"",
                &long_label,
                &long_name,
            ],
        ),
        ("", "close_on_origin_down", RATES, NO_RATES),
    ];
    judge(false, cases);
}

#[test]
fn websocket_values() {
    let cases: &[Case<'_>] = &[
        ("websocket", "enabled", &["true", "false"], &["1", "\"true\""]),
        ("websocket", "heartbeat", &["1", "300"], &["0", "301", "-1", "60.0", "\"60s\"", "false"]),
        ("websocket", "origin_scheme", &["\"http\"", "\"https\"", "\"follow\""], &["\"\"", "1"]),
        (
            "websocket",
            "allowed_origins",
            &["\"any\"", "\"same-host\"", "[\"HTTPS://A.example:8443\"]", "[\"app://localhost\"]"],
            &["\"all\"", "[]", "[\"a.example\"]", "[\"https://a.example/x\"]", "[\"null\"]"],
        ),
        ("websocket", "max_frame", SIZES, NO_SIZES),
        ("websocket", "max_message", SIZES, NO_SIZES),
        ("websocket", "messages_per_second", RATES, NO_RATES),
        ("websocket", "handshakes_per_second", RATES, NO_RATES),
        ("websocket", "max_connections", COUNTS, NO_COUNTS),
        ("websocket", "max_connections_per_ip", COUNTS, NO_COUNTS),
        ("websocket", "max_lifetime", &["\"1s\"", "\"365d\"", "false"], &["\"0s\"", "\"366d\""]),
        ("websocket", "stalled_write", &["\"1s\"", "\"1h\""], &["\"999ms\"", "false"]),
    ];
    judge(false, cases);
}

#[test]
fn values_of_the_other_tables() {
    let cases: &[Case<'_>] = &[
        ("http", "connect_timeout", &["\"100ms\"", "\"60s\""], &["\"99ms\"", "\"61s\""]),
        ("http", "response_timeout", &["\"1s\"", "\"1h\""], &["\"0s\"", "\"2h\""]),
        ("http", "body_timeout", &["\"1s\"", "\"1h\""], &["\"0s\"", "\"2h\""]),
        ("http", "max_body", SIZES, NO_SIZES),
        (
            "http",
            "host",
            &["false", "\"a.example\"", "\"a:8080\"", "\"10.0.0.1\"", "\"[::1]:80\"", "\"[::1]\""],
            &[
                "true",
                "\"\"",
                "\"a:x\"",
                "\"a:70000\"",
                "\"a b\"",
                "\"::1\"",
                "\"[x]\"",
                "\"a:+1\"",
            ],
        ),
        ("http", "send_proxy", &["\"off\"", "\"v1\"", "\"v2\""], &["\"any\"", "true"]),
        ("balance", "mode", &["\"weighted\"", "\"hash\""], &["\"round_robin\"", "1"]),
        (
            "balance",
            "key",
            &["\"client\"", "\"header:X-User\"", "\"cookie:sid\""],
            &["\"header:\"", "\"header:a b\"", "\"query:x\"", "\"\"", "\"cookie:a;b\""],
        ),
        ("access", "allow", &["[]", "[\"10.0.0.0/8\", \"::/0\"]"], &["[\"10.0.0.1/8\"]", "\"::\""]),
        ("access", "deny", &["[\"192.0.2.1\"]"], &["[\"192.0.2.1\", \"192.0.2.1/32\"]"]),
        ("access_log", "interval", &["\"1s\"", "\"1d\"", "false"], &["\"0s\"", "\"25h\"", "60"]),
        (
            "origin",
            "address",
            &["\"10.0.0.5\"", "\"::1\"", "\"[::1]\"", "\"inner\"", "\"a.example\""],
            &["\"\"", "\"10.0.0.5:80\"", "\"http://a\"", "\"A\"", "\"a b\"", "\"a.example.\""],
        ),
        ("origin", "port", &["1", "65535"], &["0", "65536", "\"80\""]),
        ("origin", "https_port", &["1", "65535"], &["0", "65536"]),
        ("origin", "priority", &["20", "30"], &["0", "10", "25", "40"]),
        ("origin", "weight", &["1", "100"], &["0", "101"]),
    ];
    judge(false, cases);
}

#[test]
fn values_of_the_tls_tables() {
    let pem = "\"/a.pem\"";
    let five = "[\"/1\", \"/2\", \"/3\", \"/4\", \"/5\"]";
    let cases: &[Case<'_>] = &[
        ("tls", "default_certificate", &["[]", pem, "[\"/a\", \"/b\"]"], &["\"a\"", five, "1"]),
        ("tls", "handshake_timeout", &["\"1s\"", "\"60s\""], &["\"999ms\"", "\"61s\"", "10"]),
        ("tls", "handshakes_per_second", RATES, NO_RATES),
        ("tls", "min_version", &["\"1.2\"", "\"1.3\""], &["\"1.1\"", "1.2", "\"TLSv1.2\""]),
        (
            "acme",
            "directory",
            &["\"https://a.example/dir\"", "\"https://127.0.0.1:14000/dir\""],
            &["\"http://a.example\"", "\"a.example\"", "\"https://\"", "\"https://a b\""],
        ),
        (
            "acme",
            "contact",
            &["[]", "\"mailto:a@b.example\"", "[\"mailto:a@b\", \"mailto:c@d\"]"],
            &["\"a@b.example\"", "\"mailto:a\"", "\"mailto:@b\"", "\"mailto:a@b,c@d\"", "false"],
        ),
        ("acme", "root", &["false", pem], &["\"a.pem\"", "true"]),
        ("acme", "challenge", &["\"http-01\"", "\"tls-alpn-01\""], &["\"dns-01\"", "\"\""]),
    ];
    judge(true, cases);
    let cases: &[Case<'_>] = &[
        (
            "tls",
            "certificate",
            &["\"uploaded\"", "\"acme\"", pem, "[\"/a\", \"/b\"]"],
            &["\"none\"", "\"\"", "[]", "[\"acme\"]", "false", five],
        ),
        ("tls", "key", &["[]"], &[pem, "\"k.pem\"", "false"]),
        ("tls", "client_auth", &["\"off\""], &["\"required\"", "true"]),
        ("origin_tls", "verify", &["\"webpki\"", "\"off\"", pem], &["\"on\"", "false"]),
        (
            "origin_tls",
            "server_name",
            &["false", "\"a.example\"", "\"10.0.0.1\"", "\"[::1]\""],
            &["\"a:443\"", "\"A\"", "\"\"", "true"],
        ),
        ("origin_tls", "certificate", &["false", pem], &["\"a\"", "[]"]),
        ("origin_tls", "key", &["false"], &[pem, "\"a\""]),
    ];
    judge(false, cases);
}

#[test]
fn lists_are_bounded() {
    let origins = |n: usize| -> String {
        let one = |n| format!("[[origin]]\naddress = \"10.0.0.1\"\nport = {}\n", n + 1);
        "name = \"a.example.com\"\n".to_owned() + &(0..n).map(one).collect::<String>()
    };
    let load =
        |domain: String| from_texts(&Text::default(), &[text("a.example.com.toml", &domain)]);
    assert_eq!(load(origins(64)).unwrap().domains[0].origins.len(), 64);
    let problems = load(origins(65)).unwrap_err();
    assert_eq!(problems.0[0].what, "there are 65");
    assert_eq!(problems.0[0].accepted.as_deref(), Some("1 to 64 [[origin]]"));
    let ranges = |n: usize| -> String {
        let one = |n| format!("\"10.{}.{}.0/24\", ", n / 256, n % 256);
        format!("{DOMAIN}[access]\ndeny = [{}]\n", (0..n).map(one).collect::<String>())
    };
    assert_eq!(load(ranges(1024)).unwrap().domains[0].access.deny.len(), 1024);
    assert!(load(ranges(1025)).unwrap_err().0[0].what.ends_with("the list has 1025 entries"));
}
