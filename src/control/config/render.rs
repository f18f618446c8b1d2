//! The effective configuration as text: every key with its value. What is printed can be read back.

use std::fmt::Write;
use std::path::Path;

use sha1::{Digest, Sha1};

use super::keys::{self, BalanceMode, Key, Section};
use super::tls::OriginTls;
use super::{DomainConfig, Loaded, OriginConfig, ServerConfig};
use crate::snapshot::{Balance, HashKey};

/// Where the tables of a domain stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Alone in its file.
    File,
    /// One `[[domain]]` of a list.
    Listed,
}

/// All of it, for `-T`: the part before the first `[[domain]]` is a `hawser.toml`, the rest is a
/// list of domains.
pub fn effective(loaded: &Loaded, file: Option<&Path>) -> String {
    let from = file.map_or("no file: all defaults".into(), |file| file.display().to_string());
    let mut text = format!("# Effective configuration, hash {}\n# from {from}\n", loaded.hash);
    text.push_str(&server(&loaded.server));
    for config in &loaded.domains {
        let _ =
            write!(text, "\n# from {}\n{}", config.file.display(), domain(config, Form::Listed));
    }
    text
}

/// 16 hexadecimal digits of the effective configuration. Names no file, so that a copy of a
/// configuration has the hash of the original.
pub fn hash(server_config: &ServerConfig, domains: &[DomainConfig]) -> Box<str> {
    let mut hash = Sha1::new();
    hash.update(server(server_config));
    for config in domains {
        hash.update(domain(config, Form::Listed));
    }
    hash.finalize()
        .iter()
        .take(8)
        .fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
        .into()
}

pub fn server(config: &ServerConfig) -> String {
    let mut out = Out::new("");
    out.section(&keys::top::SECTION);
    out.key(&keys::top::VERSION, &1);
    out.section(&keys::server::SECTION);
    out.key(&keys::server::LISTEN, &config.listen);
    out.key(&keys::server::LISTEN_TLS, &config.listen_tls);
    out.key(&keys::server::WORKERS, &config.workers);
    out.key(&keys::server::STATE_DIR_KEY, &config.state_dir);
    out.key(&keys::server::PROXY_PROTOCOL, &config.http.proxy_protocol);
    out.key(&keys::server::TRUSTED_PROXIES, &config.http.trusted_proxies.to_vec());
    out.key(&keys::server::SOURCE_ADDRESSES, &config.http.source_addresses.to_vec());
    out.key(&keys::server::NODE_KEY, &config.http.node);
    out.section(&keys::tls::SECTION);
    out.key(&keys::tls::DEFAULT_CERTIFICATE, &config.tls.default.certificate);
    out.key(&keys::tls::DEFAULT_KEY, &config.tls.default.key);
    out.key(&keys::tls::HANDSHAKE_TIMEOUT, &config.tls.handshakes.handshake_timeout);
    out.key(&keys::tls::HANDSHAKES_PER_SECOND, &config.tls.handshakes.handshakes_per_second);
    out.key(&keys::tls::MIN_VERSION, &config.tls.min_version);
    out.section(&keys::acme::SECTION);
    out.key(&keys::acme::DIRECTORY_KEY, &config.acme.directory);
    out.key(&keys::acme::CONTACT, &config.acme.contact);
    out.key(&keys::acme::ROOT, &config.acme.root);
    out.key(&keys::acme::CHALLENGE, &config.acme.challenge);
    out.section(&keys::admin::SECTION);
    out.key(&keys::admin::LISTEN, &config.admin.listen);
    out.key(&keys::admin::CERTIFICATE, &config.admin.files.certificate);
    out.key(&keys::admin::KEY, &config.admin.files.key);
    out.key(&keys::admin::HOSTS, &config.admin.hosts);
    out.key(&keys::admin::RATE_REST, &config.admin.rates.rest);
    out.key(&keys::admin::RATE_STATISTICS, &config.admin.rates.statistics);
    out.key(&keys::admin::RATE_DOMAINS, &config.admin.rates.domains);
    out.key(&keys::admin::RATE_LISTS, &config.admin.rates.lists);
    out.key(&keys::admin::RATE_DELETIONS, &config.admin.rates.deletions);
    out.key(&keys::admin::RATE_SERVICE, &config.admin.rates.service);
    out.section(&keys::drain::SECTION);
    out.key(&keys::drain::WINDOW, &config.drain_window);
    out.section(&keys::timeouts::SECTION);
    out.key(&keys::timeouts::HEAD, &config.http.head_timeout);
    out.key(&keys::timeouts::KEEPALIVE, &config.http.keepalive_timeout);
    out.section(&keys::log::SECTION);
    out.key(&keys::log::ACCESS, &config.access_log);
    out.section(&keys::health::SECTION);
    out.key(&keys::health::INTERVAL, &config.health.interval);
    out.key(&keys::health::TIMEOUT, &config.health.timeout);
    out.key(&keys::health::FAILURES, &config.health.failures_down);
    out.section(&keys::dns::SECTION);
    out.key(&keys::dns::SERVERS, &config.name_servers);
    out.section(&keys::geo::SECTION);
    out.key(&keys::geo::RULES, &config.geo.rules);
    out.key(&keys::geo::CITY, &config.geo.city);
    out.key(&keys::geo::ASN, &config.geo.asn);
    out.key(&keys::geo::ISPS, &config.geo.isps);
    out.section(&keys::billing::SECTION);
    out.key(&keys::billing::ENABLED, &config.billing.enabled);
    out.key(&keys::billing::UTC_OFFSET_KEY, &config.billing.utc_offset);
    out.key(&keys::billing::PRICES, &config.billing.price_file);
    out.key(&keys::billing::OVERHEAD, &config.billing.overhead);
    out.key(&keys::billing::PENDING, &config.billing.pending);
    out.text
}

pub fn domain(config: &DomainConfig, form: Form) -> String {
    let mut out = Out::new(if form == Form::Listed { "domain" } else { "" });
    out.section(&keys::domain::SECTION);
    out.key(&keys::domain::NAME, &config.name);
    out.key(&keys::domain::ENABLED, &config.enabled);
    out.key(&keys::domain::CLOSE_ON_ORIGIN_DOWN, &config.close_on_origin_down);
    websocket(&mut out, config);
    tls(&mut out, config);
    http(&mut out, config);
    out.section(&keys::balance::SECTION);
    let (mode, key) = match &config.balance {
        Balance::Weighted => (BalanceMode::Weighted, None),
        Balance::LeastConnections => (BalanceMode::LeastConnections, None),
        Balance::Hash(key) => (BalanceMode::Hash, Some(key)),
    };
    out.key(&keys::balance::MODE, &mode);
    if let Some(key) = key {
        let key: &HashKey = key;
        out.key(&keys::balance::KEY, key);
    }
    out.section(&keys::access::SECTION);
    out.key(&keys::access::ALLOW, &config.access.allow.to_vec());
    out.key(&keys::access::DENY, &config.access.deny.to_vec());
    out.section(&keys::access_log::SECTION);
    out.key(&keys::access_log::ENABLED, &config.log.enabled);
    out.key(&keys::access_log::INTERVAL, &config.log.interval);
    for config in &config.origins {
        origin(&mut out, config);
    }
    out.text
}

fn websocket(out: &mut Out, config: &DomainConfig) {
    use keys::websocket as key;
    let config = &config.websocket;
    out.section(&key::SECTION);
    out.key(&key::ENABLED, &config.enabled);
    out.key(&key::HEARTBEAT, &config.heartbeat);
    out.key(&key::HEARTBEAT_MODE, &config.heartbeat_mode);
    out.key(&key::ORIGIN_SCHEME_KEY, &config.origin_scheme);
    out.key(&key::ALLOWED_ORIGINS, &config.origin_rule);
    out.key(&key::STRICT_FRAMES, &config.strict_frames);
    out.key(&key::MAX_FRAME, &config.max_frame);
    out.key(&key::MAX_MESSAGE, &config.max_message);
    out.key(&key::MESSAGES_PER_SECOND, &config.messages_per_second);
    out.key(&key::MAX_CONNECTIONS, &config.allowance.connections);
    out.key(&key::MAX_CONNECTIONS_PER_IP, &config.allowance.connections_per_ip);
    out.key(&key::HANDSHAKES_PER_SECOND, &config.allowance.handshakes_per_second);
    out.key(&key::MAX_LIFETIME, &config.max_lifetime);
    out.key(&key::STALLED_WRITE, &config.stalled_write);
}

fn tls(out: &mut Out, config: &DomainConfig) {
    out.section(&keys::domain_tls::SECTION);
    out.key(&keys::domain_tls::CERTIFICATE, &config.tls.certificate);
    out.key(&keys::domain_tls::KEY, &config.tls.key);
    out.key(&keys::domain_tls::OCSP, &config.tls.ocsp);
    out.key(&keys::domain_tls::CLIENT_AUTH, &config.tls.client_auth);
    out.key(&keys::domain_tls::CLIENT_CA, &config.tls.client_ca);
    out.section(&keys::origin_tls::SECTION);
    let OriginTls { verify, server_name, pair } = &config.origin_tls;
    out.key(&keys::origin_tls::VERIFY_KEY, verify);
    out.key(&keys::origin_tls::SERVER_NAME_KEY, server_name);
    out.key(&keys::origin_tls::CERTIFICATE, &pair.certificate.first().cloned());
    out.key(&keys::origin_tls::KEY, &pair.key.first().cloned());
}

fn http(out: &mut Out, config: &DomainConfig) {
    use keys::http as key;
    let config = &config.http;
    out.section(&key::SECTION);
    out.key(&key::CONNECT_TIMEOUT, &config.connect_timeout);
    out.key(&key::RESPONSE_TIMEOUT, &config.response_timeout);
    out.key(&key::BODY_TIMEOUT, &config.body_timeout);
    out.key(&key::MAX_BODY, &config.max_body);
    out.key(&key::HOST_KEY, &config.host);
    out.key(&key::SEND_PROXY, &config.send_proxy);
}

fn origin(out: &mut Out, config: &OriginConfig) {
    use keys::origin as key;
    out.section(&key::SECTION);
    out.key(&key::ADDRESS_KEY, &config.address);
    out.key(&key::PORT, &config.port);
    out.key(&key::HTTPS_PORT, &config.https_port);
    out.key(&key::PRIORITY, &config.priority);
    out.key(&key::WEIGHT, &config.weight);
}

/// The text so far, and the table in which all of it stands.
struct Out {
    text: String,
    path: &'static str,
}

impl Out {
    fn new(path: &'static str) -> Out {
        Out { text: String::new(), path }
    }

    fn section(&mut self, section: &Section) {
        let dotted = match (self.path, section.name) {
            ("", name) => name.to_owned(),
            (path, "") => path.to_owned(),
            (path, name) => format!("{path}.{name}"),
        };
        if dotted.is_empty() {
            return;
        }
        let blank = if self.text.is_empty() { "" } else { "\n" };
        self.text += &match section.repeated || dotted == self.path {
            true => format!("{blank}[[{dotted}]]\n"),
            false => format!("{blank}[{dotted}]\n"),
        };
    }

    fn key<T>(&mut self, key: &Key<T>, value: &T) {
        let _ = writeln!(self.text, "{} = {}", key.name, key.shape.write(value));
    }
}
