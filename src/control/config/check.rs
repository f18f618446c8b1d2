//! From a document to typed values. Walks everything and collects every problem: an operator wants
//! to see all of them at once, not one per attempt.

mod tls;

use std::cell::RefCell;
use std::net::SocketAddr;
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::file::Text;
use super::keys::{self, BalanceMode, DOMAIN_FILE, Key, SERVER_FILE, Section};
use super::problem::Problem;
use super::{Admin, ChosenBy, DomainConfig, GeoConfig, Health, OriginConfig, Rates, ServerConfig};
use crate::control::billing;
use crate::limits;
use crate::snapshot::domain::{Access, AccessLog, DomainHttp, WebSocket};
use crate::snapshot::{self, Balance, HashKey, OriginScheme, ProxyProtocol};
use crate::stats::admission::Allowance;

/// Checks a `hawser.toml`.
pub fn server(text: &Text, problems: &mut Vec<Problem>) -> Option<ServerConfig> {
    let document = parse(text, problems)?;
    checked(problems, |found| server_config(&Walk::new(text, SERVER_FILE, "", &document, found)))
}

/// The state directory of a `hawser.toml` that may be wrong in every other respect.
pub fn state_dir(text: &Text) -> Option<PathBuf> {
    let document = text.parse().ok()?;
    let key = &keys::server::STATE_DIR_KEY;
    let server = document.get_ref().get(keys::server::SECTION.name);
    match server.and_then(|server| server.get_ref().get(key.name)) {
        Some(value) => key.shape.read(value).ok(),
        None => Some((key.default)()),
    }
}

/// Checks a domain file. Whether the file has the right name is for the caller to say.
pub fn domain(text: &Text, problems: &mut Vec<Problem>) -> Option<DomainConfig> {
    let document = parse(text, problems)?;
    checked(problems, |found| domain_config(&Walk::new(text, DOMAIN_FILE, "", &document, found)))
}

/// Checks a text with several domains, each a `[[domain]]` table, or with one as in its own file.
pub fn domain_list(text: &Text, problems: &mut Vec<Problem>) -> Vec<DomainConfig> {
    let Some(document) = parse(text, problems) else { return Vec::new() };
    if document.get_ref().contains_key(keys::domain::NAME.name) {
        return domain(text, problems).into_iter().collect();
    }
    let only = "one or more [[domain]] tables, as `hawser domain export` prints them";
    for (key, _) in document.get_ref().iter().filter(|(key, _)| key.get_ref() != "domain") {
        let what = format!("unknown key `{}`", key.get_ref());
        problems.push(Problem::at(text, key.span(), key.get_ref(), what).accepted(only));
    }
    let Some(list) = document.get_ref().get("domain") else { return Vec::new() };
    let Some(tables) = list.get_ref().as_array() else {
        problems.push(
            Problem::at(text, list.span(), "domain", "not a list of tables".to_owned())
                .accepted(only),
        );
        return Vec::new();
    };
    let one = |(index, item): (usize, &Spanned<DeValue<'_>>)| {
        let path = format!("domain[{index}]");
        let DeValue::Table(table) = item.get_ref() else {
            let what = "not a table".to_owned();
            problems.push(Problem::at(text, item.span(), &path, what).accepted(only));
            return None;
        };
        let table = Spanned::new(item.span(), table.clone());
        checked(problems, |found| {
            domain_config(&Walk::new(text, DOMAIN_FILE, &path, &table, found))
        })
    };
    tables.iter().enumerate().filter_map(one).collect()
}

fn parse<'a>(text: &'a Text, problems: &mut Vec<Problem>) -> Option<Spanned<DeTable<'a>>> {
    text.parse().map_err(|found| problems.extend(found)).ok()
}

/// The value, unless reading it found a problem.
fn checked<T>(
    problems: &mut Vec<Problem>,
    read: impl FnOnce(&RefCell<Vec<Problem>>) -> T,
) -> Option<T> {
    let found = RefCell::default();
    let value = read(&found);
    let found = found.into_inner();
    let sound = found.is_empty();
    problems.extend(found);
    sound.then_some(value)
}

// === Rules of hawser.toml ===

fn server_config(walk: &Walk<'_>) -> ServerConfig {
    let top = walk.section(&keys::top::SECTION);
    top.read(&keys::top::VERSION);
    let (server, admin) =
        (walk.section(&keys::server::SECTION), walk.section(&keys::admin::SECTION));
    let timeouts = walk.section(&keys::timeouts::SECTION);
    let http = snapshot::Http {
        trusted_proxies: server.read(&keys::server::TRUSTED_PROXIES).into(),
        proxy_protocol: server.read(&keys::server::PROXY_PROTOCOL),
        head_timeout: timeouts.read(&keys::timeouts::HEAD),
        keepalive_timeout: timeouts.read(&keys::timeouts::KEEPALIVE),
        source_addresses: server.read(&keys::server::SOURCE_ADDRESSES).into(),
        node: server.read(&keys::server::NODE_KEY),
    };
    let written = server.has(keys::server::LISTEN.name);
    let config = ServerConfig {
        listen: server.read(&keys::server::LISTEN),
        listen_by: if written { ChosenBy::Operator } else { ChosenBy::Default },
        listen_tls: server.read(&keys::server::LISTEN_TLS),
        workers: server.read(&keys::server::WORKERS),
        state_dir: server.read(&keys::server::STATE_DIR_KEY),
        http,
        tls: tls::server(&walk.section(&keys::tls::SECTION)),
        acme: tls::acme(&walk.section(&keys::acme::SECTION)),
        admin: admin_listener(&admin),
        drain_window: walk.section(&keys::drain::SECTION).read(&keys::drain::WINDOW),
        access_log: walk.section(&keys::log::SECTION).read(&keys::log::ACCESS),
        health: health(&walk.section(&keys::health::SECTION)),
        name_servers: walk.section(&keys::dns::SECTION).read(&keys::dns::SERVERS),
        geo: geo(&walk.section(&keys::geo::SECTION)),
        billing: billing(&walk.section(&keys::billing::SECTION)),
    };
    if config.http.proxy_protocol != ProxyProtocol::Off && config.http.trusted_proxies.is_empty() {
        server.refuse(
            keys::server::PROXY_PROTOCOL.name,
            "with no trusted_proxies, every connection would be refused",
            "\"off\", or trusted_proxies with the addresses that send the header",
        );
    }
    apart(&config, &server, &admin);
    config
}

fn admin_listener(table: &Table<'_>) -> Admin {
    use keys::admin as key;
    let listen = table.read(&key::LISTEN);
    let files = tls::files(table, &key::CERTIFICATE, &key::KEY);
    if listen.is_some_and(|addr| !addr.ip().to_canonical().is_loopback())
        && files.certificate.is_empty()
    {
        table.refuse(
            key::LISTEN.name,
            "access keys would cross the network in the clear",
            "certificate = \"FILE.pem\" and key = \"FILE.pem\" beside it, an address of loopback \
             such as \"127.0.0.1:9080\", or \"off\"",
        );
    }
    Admin {
        listen,
        files,
        hosts: table.read(&key::HOSTS),
        rates: Rates {
            rest: table.read(&key::RATE_REST),
            statistics: table.read(&key::RATE_STATISTICS),
            domains: table.read(&key::RATE_DOMAINS),
            lists: table.read(&key::RATE_LISTS),
            deletions: table.read(&key::RATE_DELETIONS),
            service: table.read(&key::RATE_SERVICE),
        },
    }
}

/// There is a listener, and none stands in another's place.
fn apart(config: &ServerConfig, server: &Table<'_>, admin: &Table<'_>) {
    if config.listen.is_empty() && config.listen_tls.is_empty() {
        server.refuse(
            keys::server::LISTEN.name,
            "with no listen_tls, nobody could connect",
            "addresses here, or in listen_tls",
        );
    }
    let taken = |by: &[SocketAddr], addr| by.iter().find(|l| overlap(addr, **l)).copied();
    let both = config.listen_tls.iter().find_map(|addr| taken(&config.listen, *addr));
    if let Some(plain) = both {
        server.refuse(
            keys::server::LISTEN_TLS.name,
            &format!("overlaps with {plain} of server.listen"),
            "addresses of its own: a listener speaks either plain or TLS",
        );
    }
    let lists = [("server.listen", &config.listen), ("server.listen_tls", &config.listen_tls)];
    for (name, list) in lists {
        if let Some(taken) = config.admin.listen.and_then(|addr| taken(list, addr)) {
            admin.refuse(
                keys::admin::LISTEN.name,
                &format!("overlaps with {taken} of {name}"),
                "a port of its own, or \"off\"",
            );
        }
    }
}

fn geo(table: &Table<'_>) -> GeoConfig {
    let geo = GeoConfig {
        rules: table.read(&keys::geo::RULES),
        city: table.read(&keys::geo::CITY),
        asn: table.read(&keys::geo::ASN),
        isps: table.read(&keys::geo::ISPS),
    };
    // Written as false, it is off for a while.
    if geo.asn.is_none() && !geo.isps.is_empty() && !table.has(keys::geo::ASN.name) {
        table.refuse(
            keys::geo::ISPS.name,
            "has no effect: there is no database of autonomous systems",
            "asn = \"PATH\" beside it, or no isps",
        );
    }
    geo
}

fn billing(table: &Table<'_>) -> billing::Settings {
    use keys::billing as key;
    billing::Settings {
        enabled: table.read(&key::ENABLED),
        utc_offset: table.read(&key::UTC_OFFSET_KEY),
        pending: table.read(&key::PENDING),
        overhead: table.read(&key::OVERHEAD),
        price_file: table.read(&key::PRICES),
        prices: None,
    }
}

fn health(table: &Table<'_>) -> Health {
    let health = Health {
        interval: table.read(&keys::health::INTERVAL),
        timeout: table.read(&keys::health::TIMEOUT),
        failures_down: table.read(&keys::health::FAILURES),
    };
    if health.timeout > health.interval {
        let key = &keys::health::TIMEOUT;
        let key = if table.has(key.name) { key.name } else { keys::health::INTERVAL.name };
        table.refuse(
            key,
            &format!(
                "a check may take {:?}, but the next one comes after {:?}",
                health.timeout, health.interval
            ),
            "a timeout that is at most the interval",
        );
    }
    health
}

/// Whether the second bind of these two would fail.
fn overlap(a: SocketAddr, b: SocketAddr) -> bool {
    let any = a.ip().is_unspecified() || b.ip().is_unspecified();
    a.port() == b.port() && a.port() != 0 && a.is_ipv4() == b.is_ipv4() && (any || a.ip() == b.ip())
}

// === Rules of a domain ===

fn domain_config(walk: &Walk<'_>) -> DomainConfig {
    let top = walk.section(&keys::domain::SECTION);
    let websocket = websocket(&walk.section(&keys::websocket::SECTION));
    let client = walk.section(&keys::domain_tls::SECTION);
    let origin = walk.section(&keys::origin_tls::SECTION);
    let config = DomainConfig {
        name: top.read(&keys::domain::NAME),
        enabled: top.read(&keys::domain::ENABLED),
        file: walk.text.path.clone(),
        tls: tls::domain(&client),
        origin_tls: tls::origin(&origin),
        http: http(&walk.section(&keys::http::SECTION)),
        origins: origins(walk, websocket.origin_scheme),
        websocket,
        balance: balance(&walk.section(&keys::balance::SECTION)),
        close_on_origin_down: top.read(&keys::domain::CLOSE_ON_ORIGIN_DOWN),
        access: {
            let table = walk.section(&keys::access::SECTION);
            let (allow, deny) = (table.read(&keys::access::ALLOW), table.read(&keys::access::DENY));
            Access { allow: allow.into(), deny: deny.into() }
        },
        log: {
            let table = walk.section(&keys::access_log::SECTION);
            AccessLog {
                enabled: table.read(&keys::access_log::ENABLED),
                interval: table.read(&keys::access_log::INTERVAL),
            }
        },
    };
    tls::of_domain(&config, &client);
    config
}

fn websocket(table: &Table<'_>) -> WebSocket {
    use keys::websocket as key;
    WebSocket {
        enabled: table.read(&key::ENABLED),
        heartbeat: table.read(&key::HEARTBEAT),
        heartbeat_mode: table.read(&key::HEARTBEAT_MODE),
        origin_scheme: table.read(&key::ORIGIN_SCHEME_KEY),
        origin_rule: table.read(&key::ALLOWED_ORIGINS),
        strict_frames: table.read(&key::STRICT_FRAMES),
        max_frame: table.read(&key::MAX_FRAME),
        max_message: table.read(&key::MAX_MESSAGE),
        messages_per_second: table.read(&key::MESSAGES_PER_SECOND),
        max_lifetime: table.read(&key::MAX_LIFETIME),
        stalled_write: table.read(&key::STALLED_WRITE),
        allowance: Allowance {
            connections: table.read(&key::MAX_CONNECTIONS),
            connections_per_ip: table.read(&key::MAX_CONNECTIONS_PER_IP),
            handshakes_per_second: table.read(&key::HANDSHAKES_PER_SECOND),
        },
    }
}

fn http(table: &Table<'_>) -> DomainHttp {
    use keys::http as key;
    DomainHttp {
        connect_timeout: table.read(&key::CONNECT_TIMEOUT),
        response_timeout: table.read(&key::RESPONSE_TIMEOUT),
        body_timeout: table.read(&key::BODY_TIMEOUT),
        max_body: table.read(&key::MAX_BODY),
        host: table.read(&key::HOST_KEY),
        send_proxy: table.read(&key::SEND_PROXY),
    }
}

fn balance(table: &Table<'_>) -> Balance {
    let key: HashKey = table.read(&keys::balance::KEY);
    let mode = table.read(&keys::balance::MODE);
    if mode != BalanceMode::Hash && table.has(keys::balance::KEY.name) {
        table.refuse(
            keys::balance::KEY.name,
            "has no effect: the mode is not \"hash\"",
            "mode = \"hash\", or no key",
        );
    }
    match mode {
        BalanceMode::Weighted => Balance::Weighted,
        BalanceMode::LeastConnections => Balance::LeastConnections,
        BalanceMode::Hash => Balance::Hash(key),
    }
}

fn origins(walk: &Walk<'_>, scheme: OriginScheme) -> Vec<OriginConfig> {
    let tables = walk.repeated(&keys::origin::SECTION);
    let mut origins: Vec<OriginConfig> = Vec::new();
    for table in tables {
        let problems = walk.problems.borrow().len();
        let origin = OriginConfig {
            address: table.read(&keys::origin::ADDRESS_KEY),
            port: table.read(&keys::origin::PORT),
            https_port: table.read(&keys::origin::HTTPS_PORT),
            priority: table.read(&keys::origin::PRIORITY),
            weight: table.read(&keys::origin::WEIGHT),
        };
        // With `follow` too: plain clients are the ones that surely come.
        let port = |o: &OriginConfig| match scheme {
            OriginScheme::Http | OriginScheme::Follow => o.port,
            OriginScheme::Https => o.https_port,
        };
        let same = |o: &OriginConfig| o.address == origin.address && port(o) == port(&origin);
        let sound = walk.problems.borrow().len() == problems;
        if sound && origins.iter().any(same) {
            let port = port(&origin);
            table.refuse(
                keys::origin::ADDRESS_KEY.name,
                &format!("port {port} of this address is an origin already"),
                "each address and port once; use weight for a larger share",
            );
        }
        origins.push(origin);
    }
    origins.sort_by_key(|origin| origin.priority);
    origins
}

// === The walk ===

/// One document, or one table of a list of documents.
struct Walk<'a> {
    text: &'a Text,
    sections: &'static [&'static Section],
    /// Of this document inside the file: empty, or `domain[3]`.
    path: &'a str,
    document: &'a Spanned<DeTable<'a>>,
    problems: &'a RefCell<Vec<Problem>>,
}

/// One section of a document; `None` when it is not there, and every key has its default.
struct Table<'a> {
    walk: &'a Walk<'a>,
    path: String,
    table: Option<(Range<usize>, &'a DeTable<'a>)>,
}

impl<'a> Walk<'a> {
    fn new(
        text: &'a Text,
        sections: &'static [&'static Section],
        path: &'a str,
        document: &'a Spanned<DeTable<'a>>,
        problems: &'a RefCell<Vec<Problem>>,
    ) -> Walk<'a> {
        Walk { text, sections, path, document, problems }
    }

    fn add(&self, span: Range<usize>, path: &str, what: String, accepted: String) {
        let mut problems = self.problems.borrow_mut();
        if problems.len() < limits::CONFIG_PROBLEMS_MAX {
            problems.push(Problem::at(self.text, span, path, what).accepted(accepted));
        }
    }

    /// A section that stands at most once; the top of the document has no name.
    fn section(&'a self, section: &'static Section) -> Table<'a> {
        let path = joined(self.path, section.name);
        if section.name.is_empty() {
            let table = Some((self.document.span(), self.document.get_ref()));
            return Table { walk: self, path, table }.known(section);
        }
        let table = match self.document.get_ref().get(section.name) {
            None => None,
            Some(value) => match value.get_ref() {
                DeValue::Table(table) => Some((value.span(), table)),
                other => {
                    let repeated = matches!(other, DeValue::Array(_));
                    let what = if repeated { "stands more than once" } else { "not a table" };
                    let accepted = format!("one [{}]", section.name);
                    self.add(value.span(), &path, what.to_owned(), accepted);
                    None
                }
            },
        };
        Table { walk: self, path, table }.known(section)
    }

    /// A section that stands at least once.
    fn repeated(&'a self, section: &'static Section) -> Vec<Table<'a>> {
        let path = joined(self.path, section.name);
        let accepted = format!("1 to {} [[{}]]", limits::ORIGINS_PER_DOMAIN_MAX, section.name);
        let Some(value) = self.document.get_ref().get(section.name) else {
            let what = format!("there is no [[{}]]", section.name);
            self.add(self.document.span().start..0, &path, what, accepted);
            return Vec::new();
        };
        let DeValue::Array(items) = value.get_ref() else {
            let table = matches!(value.get_ref(), DeValue::Table(_));
            let what = if table { "written with one pair of brackets" } else { "not a table" };
            self.add(value.span(), &path, what.to_owned(), accepted);
            return Vec::new();
        };
        if !(1..=limits::ORIGINS_PER_DOMAIN_MAX).contains(&items.len()) {
            let what = format!("there are {}", items.len());
            self.add(value.span(), &path, what, accepted.clone());
        }
        let one = |(index, item): (usize, &'a Spanned<DeValue<'a>>)| {
            let path = format!("{path}[{index}]");
            let DeValue::Table(table) = item.get_ref() else {
                self.add(item.span(), &path, "not a table".to_owned(), accepted.clone());
                return None;
            };
            Some(Table { walk: self, path, table: Some((item.span(), table)) }.known(section))
        };
        items.iter().enumerate().filter_map(one).collect()
    }
}

impl Table<'_> {
    /// Reports keys that `section` does not have.
    fn known(self, section: &Section) -> Self {
        let Some((_, table)) = &self.table else { return self };
        let top = section.name.is_empty();
        let names = || {
            let sections = self.walk.sections.iter().filter(|s| top && !s.name.is_empty());
            section.keys.iter().map(|key| key.name()).chain(sections.map(|s| s.name))
        };
        let unknown = table.iter().filter(|(key, _)| names().all(|name| name != key.get_ref()));
        for (key, _) in unknown.take(limits::CONFIG_PROBLEMS_MAX) {
            let name = key.get_ref().as_ref();
            let what = match self.advice(name, section, names()) {
                Some(advice) => format!("unknown key; {advice}"),
                None => "unknown key".to_owned(),
            };
            let accepted = names().collect::<Vec<_>>().join(", ");
            self.walk.add(key.span(), &joined(&self.path, name), what, accepted);
        }
        self
    }

    /// What an unknown key may have been meant to be.
    fn advice(
        &self,
        name: &str,
        section: &Section,
        names: impl Iterator<Item = &'static str>,
    ) -> Option<String> {
        if let Some(known) = nearest(name, names) {
            return Some(format!("did you mean `{known}`?"));
        }
        let others = || self.walk.sections.iter().filter(|other| other.name != section.name);
        let keys = |other: &&&Section| other.keys.iter().map(|key| key.name());
        if let Some(other) = others().find(|other| keys(other).any(|key| key == name)) {
            return Some(match (other.name, other.repeated) {
                ("", _) => {
                    format!("`{name}` stands at the top of the file, before the first table")
                }
                (other, true) => format!("`{name}` belongs to [[{other}]]"),
                (other, false) => format!("`{name}` belongs to [{other}]"),
            });
        }
        let known = |other: &&Section| Some((nearest(name, keys(&other))?, other.name));
        let (known, other) = others().filter(|other| !other.name.is_empty()).find_map(known)?;
        Some(format!("did you mean `{known}` of [{other}]?"))
    }

    /// The value of `key`: what is written, else its default. What is wrong is reported; the
    /// default stands in for it then.
    fn read<T>(&self, key: &Key<T>) -> T {
        let path = joined(&self.path, key.name);
        let Some(value) = self.value(key.name) else {
            if let (true, Some((span, _))) = (key.required, &self.table) {
                let what = "is missing".to_owned();
                self.walk.add(span.start..span.start, &path, what, key.shape.accepts());
            }
            return (key.default)();
        };
        key.shape.read(value).unwrap_or_else(|wrong| {
            for wrong in wrong {
                let seen = self.walk.text.seen(wrong.span.clone());
                let what = match wrong.why {
                    Some(why) => format!("{seen}: {why}"),
                    None => format!("{seen} is not accepted"),
                };
                let index = wrong.index.map(|index| format!("[{index}]")).unwrap_or_default();
                self.walk.add(wrong.span, &format!("{path}{index}"), what, wrong.accepts);
            }
            (key.default)()
        })
    }

    fn value(&self, name: &str) -> Option<&Spanned<DeValue<'_>>> {
        self.table.as_ref().and_then(|(_, table)| table.get(name))
    }

    /// Whether the key is written.
    fn has(&self, name: &str) -> bool {
        self.value(name).is_some()
    }

    /// Reports the value of a key that is fine by itself; the table when the key is not written.
    fn refuse(&self, name: &str, why: &str, accepted: &str) {
        let whole = || self.table.as_ref().map_or(0..0, |(span, _)| span.clone());
        let (span, what) = match self.value(name).map(Spanned::span) {
            Some(span) => (span.clone(), format!("{}: {why}", self.walk.text.seen(span))),
            None => (whole(), why.to_owned()),
        };
        self.walk.add(span, &joined(&self.path, name), what, accepted.to_owned());
    }
}

/// The known name that `name` is a slip of.
fn nearest(name: &str, known: impl Iterator<Item = &'static str>) -> Option<&'static str> {
    let slips = |known: &'static str| (strsim::damerau_levenshtein(known, name), known);
    let near = |(slips, known): &(usize, &str)| *slips <= known.len().div_ceil(4).min(3);
    known.map(slips).filter(near).min().map(|(_, known)| known)
}

fn joined(path: &str, name: &str) -> String {
    match (path, name) {
        ("", name) => name.to_owned(),
        (path, "") => path.to_owned(),
        (path, name) => format!("{path}.{name}"),
    }
}

/// Reports a domain file that is not called as its domain, whatever else is wrong in it.
pub fn file_name(text: &Text, problems: &mut Vec<Problem>) {
    let Ok(document) = text.parse() else { return };
    let Some(value) = document.get_ref().get(keys::domain::NAME.name) else { return };
    let Some(name) = value.get_ref().as_str() else { return };
    let wanted = format!("{name}.toml");
    if text.path.file_name() == Some(Path::new(&wanted).as_os_str()) {
        return;
    }
    let what = format!("{}: the file is not called as its domain", text.seen(value.span()));
    let problem = Problem::at(text, value.span(), keys::domain::NAME.name, what);
    problems.push(problem.accepted(format!("this name in a file called {wanted}")));
}
