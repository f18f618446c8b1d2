//! Functions of DCDN that Hawser has: what their arguments mean in a domain file, and how what
//! stands there reads as arguments. A function that is not listed here is refused: nothing is
//! stored that has no effect.
//!
//! Pure. Not here: ids, and who may change what (`configs`).

use serde_json::{Map, Value, json};

use crate::control::config::DomainConfig;
use crate::control::dcdn::attributes::Configured;
use crate::control::dcdn::error::{self, Failure};
use crate::limits::{DEFAULT_RESPONSE_TIMEOUT, HEARTBEAT_SECONDS_RANGE};
use crate::snapshot::{Cidr, OriginScheme};

/// Arguments as they are written: all values are texts.
pub type Arguments = Vec<(String, String)>;

pub struct Function {
    pub name: &'static str,
    /// FuncId. That of `websocket` is not public: ours.
    pub id: u32,
    arguments: &'static [&'static str],
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    WebSocket,
    OriginHost,
    OriginSni,
    /// The protocol towards origins: `scheme_origin`, for plain requests.
    ForwardScheme,
    /// `dynamic_route_origin`, for all that is not cached, so for all.
    Dynamic,
    Allow,
    Deny,
    Timeout,
}

pub static FUNCTIONS: &[Function] = &[
    Function {
        name: "websocket",
        id: 10_001,
        arguments: &["enabled", "heartbeat", "origin_scheme"],
        kind: Kind::WebSocket,
    },
    Function {
        name: "dynamic",
        id: 46,
        arguments: &["enable", "dynamic_route_origin"],
        kind: Kind::Dynamic,
    },
    Function {
        name: "forward_scheme",
        id: 47,
        arguments: &["enable", "scheme_origin"],
        kind: Kind::ForwardScheme,
    },
    Function {
        name: "set_req_host_header",
        id: 18,
        arguments: &["domain_name"],
        kind: Kind::OriginHost,
    },
    Function {
        name: "https_origin_sni",
        id: 114,
        arguments: &["enabled", "https_origin_sni"],
        kind: Kind::OriginSni,
    },
    Function { name: "ip_allow_list_set", id: 69, arguments: &["ip_list"], kind: Kind::Allow },
    Function { name: "ip_black_list_set", id: 13, arguments: &["ip_list"], kind: Kind::Deny },
    Function {
        name: "forward_timeout",
        id: 10_002,
        arguments: &["forward_timeout"],
        kind: Kind::Timeout,
    },
];

/// DCDN's `forward_timeout`, in seconds.
const TIMEOUT_RANGE: std::ops::RangeInclusive<u64> = 1..=900;
const HOST_BYTES_MAX: usize = 255;

/// What a call wants of one function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// A merge patch (RFC 7396) of the domain file.
    pub patch: Value,
    /// The origin protocol: it shares one key with that of other functions.
    pub scheme: Option<String>,
}

/// How a domain's file stands to a function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// The file says something of it.
    Set,
    /// It does not, and the function has a way to say so: it may be listed as switched off.
    Off,
    /// It does not, and so the function is not configured.
    Unset,
}

/// # Errors
/// `InvalidFunctionName.ValueNotSupported`.
pub fn find(name: &str) -> Result<&'static Function, Failure> {
    let found = FUNCTIONS.iter().find(|function| function.name == name);
    found.ok_or_else(|| {
        let way_out = REFUSED.iter().find(|(known, _)| *known == name).map(|(_, way_out)| way_out);
        let way_out = way_out.map(|text| format!(" {text}")).unwrap_or_default();
        let message = format!("FunctionName [{name}] is not supported.{way_out}");
        Failure::bad("InvalidFunctionName.ValueNotSupported", message)
    })
}

/// Functions that somebody might well expect here: why they are not, and what there is instead.
const REFUSED: &[(&str, &str)] = &[
    (
        "ipv6",
        "A domain is served at every address that the edge listens on: listen and listen_tls of \
         hawser.toml say whether those of IPv6 are among them.",
    ),
    (
        "referer_white_list_set",
        "Browsers send no Referer with a WebSocket handshake, but an Origin: list those that may \
         connect as websocket.allowed_origins of the domain, by its file or by the REST API.",
    ),
    (
        "referer_black_list_set",
        "Browsers send no Referer with a WebSocket handshake, but an Origin: list those that may \
         connect as websocket.allowed_origins of the domain, by its file or by the REST API.",
    ),
    (
        "https_option",
        "The edge speaks HTTP/1.1 to clients, as WebSocket needs it; to enable HTTPS, set a \
         certificate.",
    ),
    ("https_tls_version", "They are the same for all domains: tls.min_version of hawser.toml."),
];

pub fn standing(function: &Function, config: &DomainConfig) -> Standing {
    let is_set = match function.kind {
        Kind::WebSocket => config.websocket.enabled,
        Kind::OriginHost => config.http.host.is_some(),
        Kind::OriginSni => config.origin_tls.server_name.is_some(),
        Kind::ForwardScheme | Kind::Dynamic => false,
        Kind::Allow => !config.access.allow.is_empty(),
        Kind::Deny => !config.access.deny.is_empty(),
        Kind::Timeout => config.http.response_timeout != DEFAULT_RESPONSE_TIMEOUT,
    };
    let has_switch = !matches!(function.kind, Kind::OriginHost | Kind::Allow | Kind::Deny);
    match (is_set, has_switch) {
        (true, _) => Standing::Set,
        (false, true) => Standing::Off,
        (false, false) => Standing::Unset,
    }
}

/// The origin protocol that the file of a domain asks for, as an argument of this function.
pub fn scheme_in(function: &Function, config: &DomainConfig) -> Option<&'static str> {
    let is_asked = config.websocket.origin_scheme != OriginScheme::Follow;
    (function.kind == Kind::WebSocket && is_asked).then(|| scheme_name(config))
}

/// What a domain's file says, as arguments of a function that is configured.
pub fn arguments(function: &Function, config: &DomainConfig, configured: &Configured) -> Arguments {
    let switch = |on: bool| if on { "on" } else { "off" }.to_owned();
    let asks = configured.scheme.is_some();
    let scheme = asks.then(|| scheme_name(config).to_owned());
    let all: Vec<(&str, Option<String>)> = match function.kind {
        Kind::WebSocket => vec![
            ("enabled", Some(switch(config.websocket.enabled))),
            ("heartbeat", Some(config.websocket.heartbeat.as_secs().to_string())),
            ("origin_scheme", scheme),
        ],
        Kind::Dynamic => {
            vec![("enable", Some(switch(true))), ("dynamic_route_origin", scheme)]
        }
        Kind::ForwardScheme => {
            vec![("enable", Some(switch(asks))), ("scheme_origin", scheme)]
        }
        Kind::OriginHost => vec![("domain_name", config.http.host.as_deref().map(str::to_owned))],
        Kind::OriginSni => {
            let name = config.origin_tls.server_name.as_deref().map(str::to_owned);
            vec![("enabled", Some(switch(name.is_some()))), ("https_origin_sni", name)]
        }
        Kind::Allow => vec![("ip_list", Some(listed(&config.access.allow)))],
        Kind::Deny => vec![("ip_list", Some(listed(&config.access.deny)))],
        Kind::Timeout => {
            vec![("forward_timeout", Some(config.http.response_timeout.as_secs().to_string()))]
        }
    };
    all.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

/// The merge patch that makes a function as if it had never been configured.
pub fn cleared(function: &Function) -> Value {
    match function.kind {
        Kind::WebSocket => json!({"websocket": {"enabled": false, "heartbeat": null}}),
        Kind::OriginHost => json!({"http": {"host": null}}),
        Kind::OriginSni => json!({"origin_tls": {"server_name": null}}),
        Kind::ForwardScheme | Kind::Dynamic => json!({}),
        Kind::Allow => json!({"access": {"allow": null}}),
        Kind::Deny => json!({"access": {"deny": null}}),
        Kind::Timeout => json!({"http": {"response_timeout": null}}),
    }
}

/// # Errors
/// An argument that is not known, missing, or has a value that is not accepted.
pub fn written(function: &Function, arguments: &Arguments) -> Result<Written, Failure> {
    let given = Given { arguments };
    given.known(function.arguments)?;
    let (patch, scheme) = match function.kind {
        Kind::WebSocket => (websocket(given)?, given.scheme("origin_scheme")?),
        Kind::Dynamic => {
            // WebSocket needs it, and nothing here is cached: it cannot be switched off.
            if !given.switch("enable")? {
                return Err(not_supported("enable", "off"));
            }
            (json!({}), given.scheme("dynamic_route_origin")?)
        }
        Kind::ForwardScheme => {
            let scheme = given.scheme("scheme_origin")?;
            match given.switch("enable")? {
                true if scheme.is_none() => return Err(error::FUNCTIONS_MALFORMED.into()),
                true => (json!({}), scheme),
                false => (json!({}), None),
            }
        }
        Kind::OriginHost => (json!({"http": {"host": given.host("domain_name")?}}), None),
        Kind::OriginSni => {
            let name = match given.switch("enabled")? {
                true => Value::from(given.host("https_origin_sni")?),
                false => Value::Null,
            };
            (json!({"origin_tls": {"server_name": name}}), None)
        }
        Kind::Allow => (json!({"access": {"allow": given.ranges("ip_list")?}}), None),
        Kind::Deny => (json!({"access": {"deny": given.ranges("ip_list")?}}), None),
        Kind::Timeout => {
            let seconds = given.whole("forward_timeout", TIMEOUT_RANGE)?;
            let seconds = seconds.ok_or(error::FUNCTIONS_MALFORMED)?;
            (json!({"http": {"response_timeout": format!("{seconds}s")}}), None)
        }
    };
    Ok(Written { patch, scheme })
}

fn websocket(given: Given<'_>) -> Result<Value, Failure> {
    let enabled = given.switch("enabled")?;
    let heartbeat = given.whole("heartbeat", HEARTBEAT_SECONDS_RANGE)?;
    Ok(json!({"websocket": {"enabled": enabled, "heartbeat": heartbeat}}))
}

/// RFC 7396: what `over` says, in the place of what `patch` says.
pub fn merge(patch: &mut Value, over: Value) {
    let Value::Object(over) = over else {
        *patch = over;
        return;
    };
    if !patch.is_object() {
        *patch = Value::Object(Map::new());
    }
    for (key, value) in over {
        match value {
            Value::Object(_) => merge(&mut patch[key], value),
            value => patch[key] = value,
        }
    }
}

// === Arguments ===

#[derive(Clone, Copy)]
struct Given<'a> {
    arguments: &'a Arguments,
}

impl<'a> Given<'a> {
    fn known(self, accepted: &[&str]) -> Result<(), Failure> {
        let unknown = self.arguments.iter().find(|(name, _)| !accepted.contains(&&**name));
        if let Some((name, _)) = unknown {
            let message = format!("ArgName [{name}] is not supported.");
            return Err(Failure::bad("InvalidArgName.ValueNotSupported", message));
        }
        let is_twice = |name: &str| self.arguments.iter().filter(|(n, _)| n == name).count() > 1;
        match accepted.iter().any(|name| is_twice(name)) {
            true => Err(error::FUNCTIONS_MALFORMED.into()),
            false => Ok(()),
        }
    }

    /// An empty value counts as not given.
    fn text(self, name: &str) -> Option<&'a str> {
        let found = self.arguments.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    /// Required.
    fn switch(self, name: &str) -> Result<bool, Failure> {
        match self.text(name) {
            Some("on") => Ok(true),
            Some("off") => Ok(false),
            Some(other) => Err(not_supported(name, other)),
            None => Err(error::FUNCTIONS_MALFORMED.into()),
        }
    }

    fn scheme(self, name: &str) -> Result<Option<String>, Failure> {
        match self.text(name) {
            None => Ok(None),
            Some(scheme @ ("http" | "https" | "follow")) => Ok(Some(scheme.to_owned())),
            Some(other) => Err(not_supported(name, other)),
        }
    }

    fn whole(
        self,
        name: &str,
        range: std::ops::RangeInclusive<u64>,
    ) -> Result<Option<u64>, Failure> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let number = text.parse().ok().filter(|number| range.contains(number));
        number.map(Some).ok_or_else(|| malformed(name, text))
    }

    /// Required.
    fn host(self, name: &str) -> Result<&'a str, Failure> {
        let text = self.text(name).ok_or(error::FUNCTIONS_MALFORMED)?;
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':' | '[' | ']');
        match text.len() <= HOST_BYTES_MAX && text.chars().all(fits) {
            true => Ok(text),
            false => Err(malformed(name, text)),
        }
    }

    /// Required.
    fn ranges(self, name: &str) -> Result<Vec<&'a str>, Failure> {
        let text = self.text(name).ok_or(error::FUNCTIONS_MALFORMED)?;
        let entries: Vec<&str> = text.split(',').map(str::trim).collect();
        match entries.iter().find(|entry| entry.parse::<Cidr>().is_err()) {
            Some(wrong) => Err(malformed(name, wrong)),
            None => Ok(entries),
        }
    }
}

/// `Invalid<Arg>.Malformed`.
fn malformed(argument: &str, value: &str) -> Failure {
    let message = format!("The specified ArgValue [{value}] is invalid.");
    Failure::bad(format!("Invalid{}.Malformed", camel_case(argument)), message)
}

/// `Invalid<Arg>.ValueNotSupported`.
fn not_supported(argument: &str, value: &str) -> Failure {
    let message = format!("[{value}] is not supported.");
    Failure::bad(format!("Invalid{}.ValueNotSupported", camel_case(argument)), message)
}

/// `origin_scheme` is `OriginScheme` in the code of an error.
fn camel_case(name: &str) -> String {
    let capitalised = |word: &str| {
        let mut letters = word.chars();
        letters
            .next()
            .map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
    };
    name.split('_').map(capitalised).collect()
}

fn scheme_name(config: &DomainConfig) -> &'static str {
    match config.websocket.origin_scheme {
        OriginScheme::Http => "http",
        OriginScheme::Https => "https",
        OriginScheme::Follow => "follow",
    }
}

fn listed(ranges: &[Cidr]) -> String {
    let shown = |range: &Cidr| {
        let text = range.to_string();
        let full = if range.address().is_ipv4() { "/32" } else { "/128" };
        text.strip_suffix(full).unwrap_or(&text).to_owned()
    };
    ranges.iter().map(shown).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(arguments: &[(&str, &str)]) -> Arguments {
        arguments.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    // DCDN OpenAPI 2018-01-15: the arguments of `websocket`, heartbeat 1 to 300.
    #[test]
    fn websocket_arguments() {
        let websocket = find("websocket").unwrap();
        let write = |arguments: &[(&str, &str)]| written(websocket, &given(arguments));
        let on = write(&[("enabled", "on")]).unwrap();
        assert_eq!(on.patch, json!({"websocket": {"enabled": true, "heartbeat": null}}));
        assert_eq!(on.scheme, None);
        for heartbeat in ["1", "60", "300"] {
            let arguments =
                [("enabled", "off"), ("heartbeat", heartbeat), ("origin_scheme", "https")];
            let found = write(&arguments).unwrap();
            assert_eq!(found.patch["websocket"]["enabled"], false);
            assert_eq!(found.patch["websocket"]["heartbeat"].to_string(), heartbeat);
            assert_eq!(found.scheme.as_deref(), Some("https"));
        }
        for heartbeat in ["0", "301", "abc", "-1", "1.5", " 5"] {
            let error = write(&[("enabled", "on"), ("heartbeat", heartbeat)]).unwrap_err();
            assert_eq!(error.code, "InvalidHeartbeat.Malformed", "{heartbeat:?}");
            assert_eq!(error.message, format!("The specified ArgValue [{heartbeat}] is invalid."));
        }
        for (arguments, code) in [
            (&[][..], "InvalidFunctions.Malformed"),
            (&[("enabled", "ON")], "InvalidEnabled.ValueNotSupported"),
            (&[("enabled", "on"), ("enabled", "off")], "InvalidFunctions.Malformed"),
            (
                &[("enabled", "on"), ("origin_scheme", "ftp")],
                "InvalidOriginScheme.ValueNotSupported",
            ),
            (&[("enabled", "on"), ("more", "1")], "InvalidArgName.ValueNotSupported"),
        ] {
            assert_eq!(write(arguments).unwrap_err().code, code, "{arguments:?}");
        }
    }

    #[test]
    fn other_functions() {
        let table = [
            (
                "set_req_host_header",
                &[("domain_name", "a.b")][..],
                json!({"http": {"host": "a.b"}}),
            ),
            (
                "https_origin_sni",
                &[("enabled", "on"), ("https_origin_sni", "a.b")],
                json!({"origin_tls": {"server_name": "a.b"}}),
            ),
            (
                "https_origin_sni",
                &[("enabled", "off")],
                json!({"origin_tls": {"server_name": null}}),
            ),
            (
                "ip_allow_list_set",
                &[("ip_list", "10.0.0.0/8, 2001:db8::1")],
                json!({"access": {"allow": ["10.0.0.0/8", "2001:db8::1"]}}),
            ),
            (
                "ip_black_list_set",
                &[("ip_list", "10.0.0.1")],
                json!({"access": {"deny": ["10.0.0.1"]}}),
            ),
            (
                "forward_timeout",
                &[("forward_timeout", "45")],
                json!({"http": {"response_timeout": "45s"}}),
            ),
            ("dynamic", &[("enable", "on")], json!({})),
        ];
        for (name, arguments, patch) in table {
            assert_eq!(written(find(name).unwrap(), &given(arguments)).unwrap().patch, patch);
        }
        let scheme = |name: &str, arguments: &[(&str, &str)]| {
            written(find(name).unwrap(), &given(arguments)).map(|written| written.scheme)
        };
        let asked = scheme("dynamic", &[("enable", "on"), ("dynamic_route_origin", "http")]);
        assert_eq!(asked, Ok(Some("http".to_owned())));
        let off = scheme("forward_scheme", &[("enable", "off"), ("scheme_origin", "http")]);
        assert_eq!(off, Ok(None));
        for (name, arguments, code) in [
            ("dynamic", &[("enable", "off")][..], "InvalidEnable.ValueNotSupported"),
            (
                "dynamic",
                &[("enable", "on"), ("dynamic_route_origin", "follow-port")],
                "InvalidDynamicRouteOrigin.ValueNotSupported",
            ),
            ("forward_scheme", &[("enable", "on")], "InvalidFunctions.Malformed"),
            ("set_req_host_header", &[("domain_name", "a b")], "InvalidDomainName.Malformed"),
            ("ip_allow_list_set", &[("ip_list", "10.0.0.1/33")], "InvalidIpList.Malformed"),
            ("ip_allow_list_set", &[], "InvalidFunctions.Malformed"),
            ("forward_timeout", &[("forward_timeout", "901")], "InvalidForwardTimeout.Malformed"),
        ] {
            assert_eq!(scheme(name, arguments).unwrap_err().code, code, "{name} {arguments:?}");
        }
        let error = find("range").err().unwrap();
        assert_eq!(error.code, "InvalidFunctionName.ValueNotSupported");
        assert_eq!(error.message, "FunctionName [range] is not supported.");
    }

    #[test]
    fn patches_are_merged() {
        let mut patch = json!({"websocket": {"enabled": true, "heartbeat": 1}});
        merge(&mut patch, json!({"websocket": {"heartbeat": null}, "http": {"host": "x"}}));
        let merged =
            json!({"websocket": {"enabled": true, "heartbeat": null}, "http": {"host": "x"}});
        assert_eq!(patch, merged);
    }
}
