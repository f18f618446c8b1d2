//! Texts with a grammar: addresses, host names, origins of browsers, and the few keys that take
//! more than one kind of value.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use toml::Spanned;
use toml::de::DeValue;

use super::shape::{Many, Parsed, Shape, Whole, Wrong, quoted, whole};
use super::{LogDestination, OriginAddress, Workers};
use crate::control::billing::Overhead;
use crate::control::billing::calendar::Offset;
use crate::limits;
use crate::proto::h1::target::canonical_name;
use crate::snapshot::{Cidr, HashKey, OriginRule};
use crate::stats::ConnId;

type Because = Option<String>;

// === Addresses ===

pub static SOCKET: Parsed<SocketAddr> = Parsed {
    accepts: "an address with a port, such as \"0.0.0.0:80\" or \"[::]:80\"",
    read: socket,
    write: SocketAddr::to_string,
};

fn socket(text: &str) -> Result<SocketAddr, Because> {
    text.parse().map_err(|_| {
        if text.parse::<IpAddr>().is_ok() {
            return Some("the port is missing".to_owned());
        }
        let is_name = |host: &str| !host.starts_with('[') && host_name(host).is_ok();
        let name = text.rsplit_once(':').is_some_and(|(host, _)| is_name(host));
        name.then(|| "a listener needs an IP address, not a name".to_owned())
    })
}

/// Length of `sun_path` in Linux's `sockaddr_un`, its closing NUL, and `/control.sock`.
const STATE_DIR_BYTES_MAX: usize = 108 - 1 - "/control.sock".len();

pub static STATE_DIR: Parsed<PathBuf> = Parsed {
    accepts: "an absolute path of at most 94 bytes, such as \"/var/lib/hawser\"",
    read: |text| {
        if !Path::new(text).is_absolute() || text.contains('\0') {
            return Err(Some("not an absolute path".to_owned()));
        }
        if text.len() > STATE_DIR_BYTES_MAX {
            let why = "too long: the path of the Unix socket in it would not fit";
            return Err(Some(why.to_owned()));
        }
        Ok(PathBuf::from(text))
    },
    write: |path| path.display().to_string(),
};

pub static ADMIN: Parsed<Option<SocketAddr>> = Parsed {
    accepts: "an address with a port, such as \"127.0.0.1:9080\", or \"off\"",
    read: |text| if text == "off" { Ok(None) } else { socket(text).map(Some) },
    write: |addr| addr.map_or_else(|| "off".to_owned(), |addr| addr.to_string()),
};

/// A rate that cannot be zero.
pub struct PerSecond;
pub static PER_SECOND: PerSecond = PerSecond;

impl PerSecond {
    const WHOLE: Whole = whole(1, 1_000_000, "per second");
}

impl Shape<NonZeroU32> for PerSecond {
    fn accepts(&self) -> String {
        Shape::<u32>::accepts(&PerSecond::WHOLE)
    }

    fn read(&self, value: &Spanned<DeValue<'_>>) -> Result<NonZeroU32, Vec<Wrong>> {
        let number: u32 = PerSecond::WHOLE.read(value)?;
        NonZeroU32::new(number).ok_or_else(|| Wrong::new(value, self.accepts()))
    }

    fn write(&self, value: &NonZeroU32) -> String {
        value.to_string()
    }
}

pub static RANGE: Parsed<Cidr> = Parsed {
    accepts: "an address like \"192.0.2.7\" or a range like \"10.0.0.0/8\" or \"2001:db8::/32\"",
    read: |text| {
        text.parse().map_err(|_| {
            let (address, prefix) = text.split_once('/')?;
            let (address, prefix) = (address.parse::<IpAddr>().ok()?, prefix.parse::<u8>().ok()?);
            let width = if address.is_ipv4() { 32 } else { 128 };
            let why = if prefix > width {
                "the prefix is too long"
            } else {
                "bits behind the prefix are set"
            };
            Some(why.to_owned())
        })
    },
    write: Cidr::to_string,
};

pub static SOURCE: Parsed<IpAddr> = Parsed {
    accepts: "an IP address of this host, such as \"192.0.2.7\" or \"2001:db8::7\"",
    read: |text| text.parse().map_err(|_| None),
    write: IpAddr::to_string,
};

pub static ADDRESS: Parsed<OriginAddress> = Parsed {
    accepts: "an IP address or a host name in lower case, without port or scheme",
    read: |text| {
        if let Ok(ip) = text.trim_matches(['[', ']']).parse::<IpAddr>() {
            return Ok(OriginAddress::Ip(ip));
        }
        if text.contains("://") {
            return Err(Some("a URL is not an address".to_owned()));
        }
        if let Some((_, port)) = text.rsplit_once(':') {
            let why = format!("the port has a key of its own: port = {port}");
            let numeric = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
            return Err(numeric.then_some(why));
        }
        // Resolvers take such a name for an IPv4 address (RFC 3986 3.2.2), or refuse it.
        let last = text.rsplit('.').next().unwrap_or_default();
        if !last.is_empty() && last.bytes().all(|b| b.is_ascii_digit()) {
            return Err(Some("ends in a number, but is not an IPv4 address".to_owned()));
        }
        host_name(text).map(|()| OriginAddress::Name(text.into()))
    },
    write: OriginAddress::to_string,
};

// === Names ===

/// A name in the one form by which requests find their domain, or an IPv6 address in brackets.
fn host_name(text: &str) -> Result<(), Because> {
    // RFC 1123 2.1: no registry gives such a name, though a Host header may say it.
    let hyphen = |label: &&str| label.starts_with('-') || label.ends_with('-');
    if let Some(label) = text.split('.').find(hyphen) {
        return Err(Some(format!("the label \"{label}\" begins or ends with -")));
    }
    match canonical_name(text) {
        Some(canonical) if canonical == text => Ok(()),
        Some(canonical) => Err(Some(format!("the same is written {canonical}"))),
        None => Err(Some(why_no_name(text))),
    }
}

/// What [`canonical_name`] found in a text that is none, for people.
fn why_no_name(text: &str) -> String {
    if text.is_empty() {
        return "empty".to_owned();
    }
    if !text.is_ascii() {
        return "not ASCII: write the name in its xn-- form".to_owned();
    }
    if text.starts_with('[') {
        return "not an IPv6 address in brackets".to_owned();
    }
    if text.trim_end_matches('.').len() > 253 {
        return "longer than 253 bytes".to_owned();
    }
    match text.split('.').find(|label| !(1..=63).contains(&label.len())) {
        Some(label) => format!("the label \"{label}\" is not 1 to 63 bytes long"),
        None => "more than letters, digits, -, _ and dots".to_owned(),
    }
}

pub static DOMAIN_NAME: Parsed<Arc<str>> = Parsed {
    accepts: "a host name in lower case, such as \"live.example.com\" or \"*.example.com\"",
    read: |text| {
        if text == "*" {
            return Err(Some("there is no domain for all names".to_owned()));
        }
        match text.strip_prefix("*.") {
            Some(name) if name.starts_with('[') => {
                Err(Some("there are no names below an address".to_owned()))
            }
            parent => host_name(parent.unwrap_or(text)).map(|()| text.into()),
        }
    },
    write: |name| name.to_string(),
};

/// A token of RFC 9110 5.6.2 that is also fit for a file name: it stands in Via.
pub static NODE: Parsed<Arc<str>> = Parsed {
    accepts: "1 to 64 letters, digits, dots, - or _",
    read: |text| {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
        let fits = (1..=64).contains(&text.len()) && text.bytes().all(plain);
        if fits { Ok(text.into()) } else { Err(None) }
    },
    write: |name| name.to_string(),
};

pub static HOST: Parsed<Box<str>> = Parsed {
    accepts: "a host name in lower case or an IP address, with or without a port",
    read: |text| {
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) if !host.ends_with(':') && !text.ends_with(']') => {
                (host, Some(port))
            }
            _ => (text, None),
        };
        if port.is_some_and(|p| p.parse::<u16>().is_err() || p.starts_with('+')) {
            return Err(Some("the port is not a number from 0 to 65535".to_owned()));
        }
        host_name(host)?;
        Ok(text.into())
    },
    write: |host| host.to_string(),
};

pub static HOST_NAME: Parsed<Box<str>> = Parsed {
    accepts: "a host name in lower case, without a port, such as \"edge.example.com\"",
    read: |text| {
        if text.contains(':') {
            return Err(Some("a port does not belong here, and addresses are accepted".to_owned()));
        }
        host_name(text).map(|_| text.into())
    },
    write: |host| host.to_string(),
};

/// Of a region or a provider: it stands in queries, file names and metrics.
pub static PLACE_NAME: Parsed<Arc<str>> = Parsed {
    accepts: "1 to 64 letters in lower case, digits, dots, - or _",
    read: |text| {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b);
        let fits = (1..=64).contains(&text.len()) && text.bytes().all(plain);
        if fits { Ok(text.into()) } else { Err(None) }
    },
    write: |name| name.to_string(),
};

// === Bills ===

pub static UTC_OFFSET: Parsed<Offset> = Parsed {
    accepts: "an offset from \"-12:00\" to \"+14:00\" in quarters of an hour, such as \"+08:00\"",
    read: |text| text.parse().map_err(|()| None),
    write: Offset::to_string,
};

/// A factor with at most three decimals.
pub struct Factor;

impl Shape<Overhead> for Factor {
    fn accepts(&self) -> String {
        "a factor from 1.0 to 2.0 with at most three decimals, such as 1.10".to_owned()
    }

    fn read(&self, value: &Spanned<DeValue<'_>>) -> Result<Overhead, Vec<Wrong>> {
        let text = match value.get_ref() {
            DeValue::Float(number) => number.as_str().to_owned(),
            DeValue::Integer(number) if number.radix() == 10 => number.as_str().to_owned(),
            _ => String::new(),
        };
        let thousandths = || -> Option<u16> {
            let (units, decimals) = text.split_once('.').unwrap_or((&text, "0"));
            let plain = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
            if !plain(units) || !plain(decimals) || decimals.len() > 3 {
                return None;
            }
            format!("{units}{decimals:0<3}").parse().ok()
        };
        thousandths()
            .and_then(Overhead::from_thousandths)
            .ok_or_else(|| Wrong::new(value, self.accepts()))
    }

    fn write(&self, value: &Overhead) -> String {
        value.to_string()
    }
}

// === Where logs go, what is hashed ===

pub static LOG: Parsed<LogDestination> = Parsed {
    accepts: "\"stderr\", \"off\" or the absolute path of a file",
    read: |text| match text {
        "off" => Ok(LogDestination::Off),
        "stderr" => Ok(LogDestination::Stderr),
        path if Path::new(path).is_absolute() && !path.contains('\0') => {
            Ok(LogDestination::File(path.into()))
        }
        _ => Err(None),
    },
    write: |log| match log {
        LogDestination::Off => "off".to_owned(),
        LogDestination::Stderr => "stderr".to_owned(),
        LogDestination::File(path) => path.display().to_string(),
    },
};

pub static HASH_KEY: Parsed<HashKey> = Parsed {
    accepts: "\"client\", \"header:NAME\" or \"cookie:NAME\"",
    read: |text| {
        // RFC 9110 5.6.2: header names are tokens; RFC 6265 4.1.1: so are cookie names.
        let token = |name: &str| {
            let plain = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
            (1..=128).contains(&name.len()) && name.bytes().all(plain)
        };
        match text.split_once(':') {
            None if text == "client" => Ok(HashKey::ClientAddress),
            Some(("header", name)) if token(name) => {
                Ok(HashKey::Header(name.to_ascii_lowercase().into()))
            }
            Some(("cookie", name)) if token(name) => Ok(HashKey::Cookie(name.into())),
            _ => Err(None),
        }
    },
    write: |key| match key {
        HashKey::ClientAddress => "client".to_owned(),
        HashKey::Header(name) => format!("header:{name}"),
        HashKey::Cookie(name) => format!("cookie:{name}"),
    },
};

// === Keys that take more than one kind of value ===

/// `"auto"` or a number.
pub struct WorkersShape;

static WORKER_COUNT: Whole = whole(1, ConnId::CORES_MAX as u64, "");

impl Shape<Workers> for WorkersShape {
    fn accepts(&self) -> String {
        format!("\"auto\" or {}", Shape::<u32>::accepts(&WORKER_COUNT))
    }

    fn read(&self, value: &Spanned<DeValue<'_>>) -> Result<Workers, Vec<Wrong>> {
        if value.get_ref().as_str() == Some("auto") {
            return Ok(Workers::Auto);
        }
        let count: Result<u32, _> = WORKER_COUNT.read(value);
        count
            .ok()
            .and_then(NonZeroU32::new)
            .map(Workers::Count)
            .ok_or_else(|| Wrong::new(value, self.accepts()))
    }

    fn write(&self, value: &Workers) -> String {
        match value {
            Workers::Auto => quoted("auto"),
            Workers::Count(n) => n.to_string(),
        }
    }
}

/// Names by numbers of autonomous systems.
pub struct ProvidersShape;

pub static PROVIDERS: ProvidersShape = ProvidersShape;

impl Shape<BTreeMap<u32, Arc<str>>> for ProvidersShape {
    fn accepts(&self) -> String {
        format!(
            "a table of at most {} entries, each the number of an autonomous system and a name of \
             {}, such as {{ 64500 = \"acme\" }}",
            limits::GEO_PROVIDERS_MAX,
            PLACE_NAME.accepts
        )
    }

    fn read(&self, value: &Spanned<DeValue<'_>>) -> Result<BTreeMap<u32, Arc<str>>, Vec<Wrong>> {
        let accepts = || Shape::accepts(self);
        let table = value.get_ref().as_table().ok_or_else(|| Wrong::new(value, accepts()))?;
        if table.len() > limits::GEO_PROVIDERS_MAX {
            let why = format!("the table has {} entries", table.len());
            return Err(Wrong::because(value, Some(why), accepts()));
        }
        let mut names = BTreeMap::new();
        for (number, name) in table {
            let plain = number.get_ref().bytes().all(|b| b.is_ascii_digit());
            let Some(number) = number.get_ref().parse().ok().filter(|_| plain) else {
                let why = format!("{:?} is no number of an autonomous system", number.get_ref());
                return Err(Wrong::because(name, Some(why), accepts()));
            };
            if names.insert(number, PLACE_NAME.read(name)?).is_some() {
                let why = format!("{number} stands in the table twice");
                return Err(Wrong::because(name, Some(why), accepts()));
            }
        }
        Ok(names)
    }

    fn write(&self, value: &BTreeMap<u32, Arc<str>>) -> String {
        let entry = |(number, name): (&u32, &Arc<str>)| format!("{number} = {}", quoted(name));
        match value.is_empty() {
            true => "{}".to_owned(),
            false => format!("{{ {} }}", value.iter().map(entry).collect::<Vec<_>>().join(", ")),
        }
    }
}

/// Primary or backup; other numbers are kept free.
pub struct Priority;

impl Shape<u16> for Priority {
    fn accepts(&self) -> String {
        "20 (primary) or 30 (backup)".to_owned()
    }

    fn read(&self, value: &Spanned<DeValue<'_>>) -> Result<u16, Vec<Wrong>> {
        let number: Result<u16, _> = whole(20, 30, "").read(value);
        number
            .ok()
            .filter(|n| [20, 30].contains(n))
            .ok_or_else(|| Wrong::new(value, self.accepts()))
    }

    fn write(&self, value: &u16) -> String {
        value.to_string()
    }
}

/// `"any"`, `"same-host"` or a list of origins.
pub struct AllowedOrigins;

static ORIGIN: Parsed<Box<str>> = Parsed {
    accepts: "an origin such as \"https://app.example.com\" or \"http://localhost:3000\"",
    read: web_origin,
    write: |origin| origin.to_string(),
};
static ORIGINS: Many<Box<str>> = Many { shape: &ORIGIN, min: 1, max: limits::ACCESS_ENTRIES_MAX };

impl Shape<OriginRule> for AllowedOrigins {
    fn accepts(&self) -> String {
        format!("\"any\", \"same-host\" or {}", ORIGINS.accepts())
    }

    fn read(&self, value: &Spanned<DeValue<'_>>) -> Result<OriginRule, Vec<Wrong>> {
        match value.get_ref() {
            DeValue::String(word) if word == "any" => Ok(OriginRule::Any),
            DeValue::String(word) if word == "same-host" => Ok(OriginRule::SameHost),
            DeValue::Array(_) => ORIGINS.read(value).map(|list| OriginRule::List(list.into())),
            _ => Err(Wrong::new(value, self.accepts())),
        }
    }

    fn write(&self, value: &OriginRule) -> String {
        match value {
            OriginRule::Any => quoted("any"),
            OriginRule::SameHost => quoted("same-host"),
            OriginRule::List(list) => ORIGINS.write(&list.to_vec()),
        }
    }
}

/// RFC 6454 6.2: scheme, host and a port that is not the scheme's own, as browsers send it.
fn web_origin(text: &str) -> Result<Box<str>, Because> {
    let lower = text.to_ascii_lowercase();
    let (scheme, rest) = lower.split_once("://").ok_or(Some("no scheme".to_owned()))?;
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"+-.".contains(&b);
    if !scheme.starts_with(|c: char| c.is_ascii_lowercase()) || !scheme.bytes().all(plain) {
        return Err(Some(format!("\"{scheme}\" is not a scheme")));
    }
    if rest.contains('/') {
        return Err(Some("an origin has no path, not even /".to_owned()));
    }
    if rest.contains('*') {
        return Err(Some("wildcards are not supported here".to_owned()));
    }
    (HOST.read)(rest).map_err(|why| why.or(Some(format!("\"{rest}\" is not a host"))))?;
    let own_port = match scheme {
        "http" => ":80",
        "https" => ":443",
        _ => return Ok(lower.into()),
    };
    Ok(lower.strip_suffix(own_port).unwrap_or(&lower).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_domain_name_is_one_that_a_host_header_can_say() {
        for name in ["a", "a_b", "a-1.example.com", "127.0.0.1", "[::1]", "[2001:db8::5]"] {
            assert_eq!((DOMAIN_NAME.read)(name), Ok(name.into()), "{name}");
            assert_eq!(canonical_name(name).as_deref(), Some(name));
        }
        let wrong =
            ["[::]x", "[0::1]", "[::1", "*.[::1]", "[::FF]", "::1", "A", "a.", "a..b", "-a"];
        for name in wrong.into_iter().chain(["", "*", "*.", "a.*", "a b", "a:80", "\u{e4}"]) {
            assert!((DOMAIN_NAME.read)(name).is_err(), "{name}");
        }
        for name in ["*.example.com", "*.a"] {
            assert_eq!((DOMAIN_NAME.read)(name), Ok(name.into()), "{name}");
        }
        for host in ["a", "a:80", "127.0.0.1:80", "[::1]", "[::1]:80"] {
            assert_eq!((HOST.read)(host), Ok(host.into()), "{host}");
        }
        for host in ["A", "[0::1]:80", "::1", "[::1]:x", "a:+1", "a:", "[a]:1"] {
            assert!((HOST.read)(host).is_err(), "{host}");
        }
    }
}
