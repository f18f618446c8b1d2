//! What is printed can be read back, and says the same.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use proptest::collection::{btree_map, btree_set, vec};
use proptest::option;
use proptest::prelude::*;

use super::super::tls::Files;
use super::super::*;
use super::{any_tls, *};
use crate::control::billing::{Overhead, Pending};
use crate::snapshot::domain::SendProxy;
use crate::snapshot::{Cidr, HashKey, HeartbeatMode, OriginRule, OriginScheme, ProxyProtocol};
use crate::stats::admission::Allowance;

#[test]
fn nothing_written_means_the_documented_defaults() {
    let loaded = from_texts(&Text::default(), &[text("a.example.com.toml", DOMAIN)]).unwrap();
    insta::assert_snapshot!(render::effective(&loaded, None));
    assert_eq!(loaded.server.listen_by, ChosenBy::Default);
    assert_eq!(loaded.server.workers, Workers::Auto);
    assert_eq!(loaded.server.admin.listen, Some("127.0.0.1:9080".parse().unwrap()));
    assert_eq!(loaded.server.http, snapshot::Http::default());
    let domain = &loaded.domains[0];
    assert_eq!(domain.websocket.heartbeat, Duration::from_secs(60));
    assert_eq!(domain.websocket.heartbeat_mode, HeartbeatMode::Active);
    assert_eq!(domain.websocket.origin_scheme, OriginScheme::Follow);
    assert_eq!(domain.websocket.allowance, Allowance::default());
    assert_eq!(domain.origins[0].port, 80);
    assert_eq!(domain.close_on_origin_down, None);
}

#[test]
fn every_key_is_printed() {
    let hash = DOMAIN.to_owned() + "[balance]\nmode = \"hash\"\n";
    let loaded = from_texts(&Text::default(), &[text("a.example.com.toml", &hash)]).unwrap();
    let printed = render::domain(&loaded.domains[0], render::Form::File);
    for (text, sections) in
        [(render::server(&loaded.server), keys::SERVER_FILE), (printed, keys::DOMAIN_FILE)]
    {
        let table: toml::Table = text.parse().unwrap();
        for section in sections {
            let keys = match (section.name, section.repeated) {
                ("", _) => &table,
                (name, true) => table[name][0].as_table().unwrap(),
                (name, false) => table[name].as_table().unwrap(),
            };
            for key in section.keys {
                assert!(keys.contains_key(key.name()), "[{}] {}", section.name, key.name());
            }
        }
    }
}

#[test]
fn the_hash_is_of_the_meaning() {
    let hash = |server: &str, domain: &str| {
        let domain = text("/somewhere/a.example.com.toml", domain);
        from_texts(&text("hawser.toml", server), &[domain]).unwrap().hash
    };
    let plain = hash("", DOMAIN);
    assert!(plain.len() == 16 && plain.bytes().all(|b| b.is_ascii_hexdigit()), "{plain}");
    assert_eq!(plain, hash("# hello\n[drain]\nwindow = \"30000ms\"\n", DOMAIN));
    assert_eq!(plain, hash("", &(DOMAIN.to_owned() + "port = 80 # the usual\n")));
    assert_ne!(plain, hash("[drain]\nwindow = \"31s\"\n", DOMAIN));
    assert_ne!(plain, hash("", &(DOMAIN.to_owned() + "port = 81\n")));
}

#[test]
fn spellings_of_one_value_mean_the_same() {
    let read = |lines: &str| {
        let domain = text("a.example.com.toml", &format!("{DOMAIN}{lines}\n"));
        let mut loaded = from_texts(&Text::default(), &[domain]).unwrap();
        loaded.domains.remove(0)
    };
    let same = [
        ("[http]\nmax_body = 65536", "[http]\nmax_body = \"64KiB\""),
        ("[http]\nmax_body = 0x1_0000", "[http]\nmax_body = \"64 KiB\""),
        ("[http]\nbody_timeout = \"60s\"", "[http]\nbody_timeout = \"1m\""),
        ("[access]\nallow = [\"10.0.0.1\"]", "[access]\nallow = [\"10.0.0.1/32\"]"),
        ("[websocket]\nheartbeat = 60", "websocket = {}"),
        (
            "[websocket]\nallowed_origins = [\"HTTPS://A.example:443\"]",
            "[websocket]\nallowed_origins = [\"https://a.example\"]",
        ),
        (
            "[balance]\nmode = \"hash\"\nkey = \"header:X-User\"",
            "[balance]\nmode = \"hash\"\nkey = \"header:x-user\"",
        ),
    ];
    for (one, other) in same {
        let other = other.replace("websocket = {}", "");
        assert_eq!(read(one), read(&other), "{one}");
    }
}

#[test]
fn origins_are_ordered_by_priority() {
    let domain = "name = \"a.example.com\"\n[[origin]]\naddress = \"b\"\npriority = 30\n\
        [[origin]]\naddress = \"a\"\n[[origin]]\naddress = \"c\"\n";
    let loaded = from_texts(&Text::default(), &[text("a.example.com.toml", domain)]).unwrap();
    let order: Vec<String> =
        loaded.domains[0].origins.iter().map(|origin| origin.address.to_string()).collect();
    assert_eq!(order, ["a", "c", "b"]);
}

// === Any configuration ===

pub fn ms(min: u64, max: u64) -> impl Strategy<Value = Duration> {
    (min..=max).prop_map(Duration::from_millis)
}

pub fn name() -> impl Strategy<Value = String> {
    "[a-z0-9_]{1,12}(-[a-z0-9]{1,5})?(\\.[a-z0-9]{1,8}){0,3}"
}

fn size() -> impl Strategy<Value = u64> {
    prop_oneof![
        1..u64::MAX >> 1,
        Just(u64::MAX >> 1),
        (1..1024u64).prop_map(|n| n << 20),
        (1..1024u64).prop_map(|n| n << 10),
    ]
}

fn ranges() -> impl Strategy<Value = Vec<Cidr>> {
    let range = (any::<IpAddr>(), 0..=32u8).prop_map(|(ip, bits)| match ip.to_canonical() {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
            Cidr::new(IpAddr::V4((u32::from(v4) & mask).into()), bits).unwrap()
        }
        v6 => Cidr::new(v6, 128).unwrap(),
    });
    vec(range, 0..4).prop_map(|mut list| {
        let mut seen = Vec::new();
        list.retain(|range| {
            !seen.contains(range) && {
                seen.push(*range);
                true
            }
        });
        list
    })
}

fn geo() -> impl Strategy<Value = GeoConfig> {
    let file = || option::of("/[ -~]{0,40}".prop_map(PathBuf::from));
    let isps = btree_map(any::<u32>(), "[a-z0-9._-]{1,64}".prop_map(Arc::from), 0..4);
    (file(), file(), file(), isps).prop_map(|(rules, city, asn, isps)| GeoConfig {
        rules,
        city,
        asn,
        isps,
    })
}

fn server() -> impl Strategy<Value = ServerConfig> {
    let http =
        (ranges(), 0..4usize, ms(1_000, 300_000), ms(1_000, 3_600_000), "[A-Za-z0-9._-]{1,64}")
            .prop_map(|(trusted, proxy, head_timeout, keepalive_timeout, node)| {
                use ProxyProtocol::{Any, Off, V1, V2};
                let proxy_protocol =
                    if trusted.is_empty() { Off } else { [Off, V1, V2, Any][proxy] };
                let sources: BTreeSet<_> = trusted.iter().map(Cidr::address).collect();
                let source_addresses = sources.into_iter().collect();
                snapshot::Http {
                    trusted_proxies: trusted.into(),
                    source_addresses,
                    proxy_protocol,
                    head_timeout,
                    keepalive_timeout,
                    node: node.into(),
                }
            });
    let log = prop_oneof![
        Just(LogDestination::Off),
        Just(LogDestination::Stderr),
        "/[ -~]{0,40}".prop_map(|path| LogDestination::File(path.into())),
    ];
    let workers = prop_oneof![
        Just(Workers::Auto),
        (1..=4096u32).prop_map(|n| Workers::Count(NonZeroU32::new(n).unwrap())),
    ];
    let listen = btree_set(any::<(IpAddr, u16)>(), 1..5).prop_map(|set| {
        // Port 1 is the admin listener's below, 3 that of TLS.
        let port = |port: u16| if port < 4 { 4 } else { port };
        let all = set.into_iter().map(|(ip, p)| SocketAddr::new(ip, port(p)));
        all.collect::<std::collections::BTreeSet<_>>().into_iter().collect()
    });
    let admin = admin();
    let health = (ms(100, 60_000), ms(0, 3_540_000), 1..=100u32).prop_map(|(timeout, more, n)| {
        Health { interval: timeout + more, timeout, failures_down: n }
    });
    let state_dir = "/[ -~]{0,60}".prop_map(PathBuf::from);
    let servers = btree_set(any::<(IpAddr, u16)>(), 0..4)
        .prop_map(|set| set.into_iter().map(SocketAddr::from).collect::<Vec<_>>());
    // Ports of their own here too: the two lists must not overlap.
    let tls = (btree_set(any::<IpAddr>(), 0..3), any_tls::server(), any_tls::acme());
    let rest = (log, health, servers, tls, geo(), billing());
    (listen, workers, state_dir, http, admin, ms(0, 3_600_000), rest).prop_map(
        |(listen, workers, state_dir, http, admin, drain_window, rest)| {
            let (access_log, health, name_servers, (listen_tls, tls, acme), geo, billing) = rest;
            let listen_tls = listen_tls.into_iter().map(|ip| SocketAddr::new(ip, 3)).collect();
            ServerConfig {
                listen,
                listen_by: ChosenBy::Operator,
                listen_tls,
                workers,
                state_dir,
                http,
                tls,
                acme,
                admin,
                drain_window,
                access_log,
                health,
                name_servers,
                geo,
                billing,
            }
        },
    )
}

fn billing() -> impl Strategy<Value = billing::Settings> {
    let pending = [Pending::Refuse, Pending::Replace];
    let file = option::of("/[ -~]{0,40}".prop_map(PathBuf::from));
    (any::<bool>(), -48..=56i32, 0..2usize, Overhead::THOUSANDTHS, file).prop_map(
        move |(enabled, quarters, which, thousandths, price_file)| {
            let (hours, minutes) = (quarters.abs() / 4, quarters.abs() % 4 * 15);
            let sign = if quarters < 0 { '-' } else { '+' };
            billing::Settings {
                enabled,
                utc_offset: format!("{sign}{hours:02}:{minutes:02}").parse().unwrap(),
                pending: pending[which],
                overhead: Overhead::from_thousandths(thousandths).unwrap(),
                price_file,
                prices: None,
            }
        },
    )
}

fn admin() -> impl Strategy<Value = Admin> {
    let listen = option::of(any::<IpAddr>().prop_map(|ip| SocketAddr::new(ip, 1)));
    let hosts = btree_set("[a-z]{1,9}(\\.[a-z]{1,9})?", 0..3);
    (listen, hosts, proptest::array::uniform6(1..=1_000_000u32), any_tls::files(1)).prop_map(
        |(listen, hosts, rates, files)| {
            let [certificate, key, _] = files;
            let files = Files { certificate, key };
            let [rest, statistics, domains, lists, deletions, service] =
                rates.map(|rate| NonZeroU32::new(rate).unwrap());
            Admin {
                listen,
                files,
                hosts: hosts.into_iter().map(String::into_boxed_str).collect(),
                rates: Rates { rest, statistics, domains, lists, deletions, service },
            }
        },
    )
}

fn websocket() -> impl Strategy<Value = WebSocket> {
    let rule = prop_oneof![
        Just(OriginRule::Any),
        Just(OriginRule::SameHost),
        btree_set("https?://[a-z]{1,9}(:8[0-9]{3})?", 1..4).prop_map(|set| {
            OriginRule::List(set.into_iter().map(String::into_boxed_str).collect())
        }),
    ];
    let rate = || option::of(1..=1_000_000u32);
    let count = || option::of(1..=100_000_000u32);
    let allowance = (count(), count(), rate()).prop_map(
        |(connections, connections_per_ip, handshakes_per_second)| Allowance {
            connections,
            connections_per_ip,
            handshakes_per_second,
        },
    );
    let life = option::of(ms(1_000, 86_400_000));
    let flags = any::<(bool, bool, usize, bool)>();
    let parts = (flags, 1..=300u64, rule, size(), size(), rate(), life, ms(1_000, 3_600_000));
    (parts, allowance).prop_map(|(parts, allowance)| {
        let (
            (enabled, active, scheme, strict_frames),
            beat,
            rule,
            frame,
            message,
            rate,
            life,
            stall,
        ) = parts;
        use {HeartbeatMode as Mode, OriginScheme as Scheme};
        WebSocket {
            enabled,
            heartbeat: Duration::from_secs(beat),
            heartbeat_mode: if active { Mode::Active } else { Mode::Passive },
            origin_scheme: [Scheme::Http, Scheme::Https, Scheme::Follow][scheme % 3],
            origin_rule: rule,
            strict_frames,
            max_frame: frame,
            max_message: message,
            messages_per_second: rate,
            max_lifetime: life,
            stalled_write: stall,
            allowance,
        }
    })
}

fn http() -> impl Strategy<Value = DomainHttp> {
    let host = option::of(name().prop_map(String::into_boxed_str));
    let hour = || ms(1_000, 3_600_000);
    (ms(100, 60_000), hour(), hour(), size(), host, 0..3usize).prop_map(
        |(connect_timeout, response_timeout, body_timeout, max_body, host, proxy)| DomainHttp {
            connect_timeout,
            response_timeout,
            body_timeout,
            max_body,
            host,
            send_proxy: [SendProxy::Off, SendProxy::V1, SendProxy::V2][proxy],
        },
    )
}

fn origins() -> impl Strategy<Value = Vec<OriginConfig>> {
    let address = prop_oneof![
        any::<IpAddr>().prop_map(OriginAddress::Ip),
        "[a-z]{1,8}(\\.[a-z]{1,8}){0,2}".prop_map(|name| OriginAddress::Name(name.into())),
    ];
    let origin = (address, 4..=65_528u16, any::<bool>(), 1..=100u16);
    vec(origin, 1..5).prop_map(|list| {
        let one = |(index, (address, https_port, backup, weight))| OriginConfig {
            address,
            // Different ports make them different origins, whatever the scheme.
            port: 1_000 + index as u16,
            https_port: https_port / 4 * 4 + index as u16,
            priority: if backup { 30 } else { 20 },
            weight,
        };
        let mut list: Vec<OriginConfig> = list.into_iter().enumerate().map(one).collect();
        list.sort_by_key(|origin| origin.priority);
        list
    })
}

fn domain() -> impl Strategy<Value = DomainConfig> {
    let balance = prop_oneof![
        Just(Balance::Weighted),
        Just(Balance::LeastConnections),
        Just(Balance::Hash(HashKey::ClientAddress)),
        "[a-z-]{1,20}".prop_map(|name| Balance::Hash(HashKey::Header(name.into()))),
        "[A-Za-z_.~]{1,20}".prop_map(|name| Balance::Hash(HashKey::Cookie(name.into()))),
    ];
    let name = (any::<bool>(), name())
        .prop_map(|(wild, name)| Arc::from(if wild { format!("*.{name}") } else { name }));
    let access = (ranges(), ranges())
        .prop_map(|(allow, deny)| Access { allow: allow.into(), deny: deny.into() });
    let log = (any::<bool>(), option::of(ms(1_000, 86_400_000)))
        .prop_map(|(enabled, interval)| AccessLog { enabled, interval });
    let close = option::of(1..=1_000_000u32);
    let tls = (any_tls::domain(), any_tls::origin());
    let name = (name, any::<bool>());
    (name, websocket(), (http(), tls), origins(), balance, close, access, log).prop_map(
        |(name, websocket, (http, tls), origins, balance, close_on_origin_down, access, log)| {
            let ((name, enabled), (tls, origin_tls)) = (name, tls);
            DomainConfig {
                file: format!("{name}.toml").into(),
                name,
                enabled,
                websocket,
                tls,
                origin_tls,
                http,
                origins,
                balance,
                close_on_origin_down,
                access,
                log,
            }
        },
    )
}

proptest! {
    #[test]
    fn what_is_printed_is_read_back_as_the_same(
        server in server(),
        domains in vec(domain(), 0..3),
    ) {
        let files: Vec<Text> = domains
            .iter()
            .map(|config| Text {
                path: config.file.clone(),
                text: render::domain(config, render::Form::File),
            })
            .collect();
        let mut wanted = domains;
        wanted.sort_by(|a, b| a.name.cmp(&b.name));
        prop_assume!(wanted.windows(2).all(|pair| pair[0].name != pair[1].name));
        let loaded = from_texts(&text("hawser.toml", &render::server(&server)), &files);
        let loaded = loaded.map_err(|problems| TestCaseError::fail(problems.to_string()))?;
        prop_assert_eq!(&loaded.server, &server);
        prop_assert_eq!(&loaded.domains, &wanted);

        // The whole of -T: a hawser.toml, then a list of domains.
        let printed = render::effective(&loaded, None);
        let cut = printed.find("[[domain]]").unwrap_or(printed.len());
        let (head, list) = printed.split_at(cut);
        let again = from_texts(&text("-", head), &[]);
        let again = again.map_err(|problems| TestCaseError::fail(problems.to_string()))?;
        prop_assert_eq!(again.server, server);
        let list = check_list(&text("-", list));
        let mut list = list.map_err(|problems| TestCaseError::fail(problems.to_string()))?;
        list.iter_mut().for_each(|config| config.file = format!("{}.toml", config.name).into());
        prop_assert_eq!(list, wanted);
    }

    #[test]
    fn a_document_becomes_another_by_merging(before in domain(), after in domain()) {
        let before = DomainConfig { name: Arc::clone(&after.name), ..before };
        let text = render::domain(&before, render::Form::File);
        let list = render::domain(&after, render::Form::Listed);
        let (name, table) = edit::listed(&list).unwrap().remove(0);
        prop_assert_eq!(&*name, &*after.name);
        let merged = edit::merged(&text, &table).unwrap();
        let file = Text { path: after.file.clone(), text: merged.clone() };
        let loaded = from_texts(&Text::default(), &[file]);
        let loaded = loaded.map_err(|problems| TestCaseError::fail(problems.to_string()))?;
        prop_assert_eq!(&loaded.domains[0], &after);
        prop_assert_eq!(&edit::merged(&merged, &table).unwrap(), &merged, "once is enough");
        let exported = edit::exported([merged.as_str()]).unwrap();
        let mut again = check_list(&self::text("-", &exported))
            .map_err(|problems| TestCaseError::fail(problems.to_string()))?;
        again[0].file = after.file.clone();
        prop_assert_eq!(&again[0], &after);
    }

    #[test]
    fn no_text_makes_the_check_panic(
        server in "[\\[\\]\"=a-z0-9. \\n#é{}-]{0,80}",
        word in ".{0,30}",
    ) {
        let lines = format!("{server}\n[server]\nnode = \"{word}\"\nlisten = [\"{word}\"]\n");
        let domain = format!("name = '{word}'\n{server}");
        let _ = from_texts(&text("s", &lines), &[text("d", &domain)]).map_err(|p| p.to_string());
    }
}
