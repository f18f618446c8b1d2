//! Origins as DCDN writes them, `Sources`, and as a domain file has them (DCDN OpenAPI 2018-01-15).
//!
//! DCDN gives an origin one port. 80 is the http port here and 443 the https port, each beside the
//! default of the other; any other port is both.

use std::net::IpAddr;

use serde_json::{Map, Value, json};

use super::super::attributes::Described;
use super::super::error::{self, Failure, Known};
use crate::control::config::{OriginAddress, OriginConfig};
use crate::limits::{DCDN_IP_ORIGINS_MAX, DCDN_ORIGINS_MAX};

const HTTP: u16 = 80;
const HTTPS: u16 = 443;

/// Origins as they were asked for.
#[derive(Debug, PartialEq, Eq)]
pub struct Sources {
    pub described: Vec<Described>,
    /// `[[origin]]` of the file.
    pub origins: Value,
}

/// `mismatch` is the error of a content that is not of its type: the operations disagree on it.
///
/// # Errors
/// The first thing that is wrong, under the code that DCDN has for it.
pub fn read(text: &str, mismatch: Known) -> Result<Sources, Failure> {
    let list: Value = serde_json::from_str(text).map_err(|_| error::SOURCES_MALFORMED)?;
    let list = list.as_array().filter(|list| !list.is_empty()).ok_or(error::SOURCES_MALFORMED)?;
    if list.len() > DCDN_ORIGINS_MAX {
        return Err(error::SOURCE_EXCEED.into());
    }
    let (mut described, mut origins) = (Vec::new(), Vec::new());
    for entry in list {
        let (source, origin) = one(entry.as_object().ok_or(error::SOURCES_MALFORMED)?, mismatch)?;
        described.push(source);
        origins.push(origin);
    }
    let addresses = described.iter().filter(|source| source.kind == "ipaddr").count();
    if addresses > DCDN_IP_ORIGINS_MAX {
        return Err(error::SOURCE_EXCEED.into());
    }
    Ok(Sources { described, origins: Value::Array(origins) })
}

fn one(entry: &Map<String, Value>, mismatch: Known) -> Result<(Described, Value), Failure> {
    let kind = text(entry, "type").ok_or(error::SOURCE_TYPE_MISSING)?;
    let content = text(entry, "content").ok_or(error::SOURCE_CONTENT_MISSING)?;
    let is_address = content.parse::<IpAddr>().is_ok();
    match (&*kind, is_address) {
        ("ipaddr", true) | ("domain" | "oss", false) => {}
        ("ipaddr" | "domain" | "oss", _) => return Err(mismatch.into()),
        _ => return Err(error::SOURCE_TYPE_MALFORMED.into()),
    }
    if !is_address && super::names::own(&content).is_err() && !is_host(&content) {
        return Err(error::SOURCE_CONTENT_MALFORMED.into());
    }
    let port = match text(entry, "port") {
        None => HTTP,
        Some(port) => {
            let port = port.parse().ok().filter(|port| *port != 0);
            port.ok_or(error::SOURCE_PORT_MALFORMED)?
        }
    };
    let priority = match text(entry, "priority").as_deref() {
        None | Some("20") => 20,
        Some("30") => 30,
        Some(_) => return Err(error::SOURCE_PRIORITY_MALFORMED.into()),
    };
    let weight = match text(entry, "weight") {
        None => 10,
        Some(weight) => {
            let weight = weight.parse().ok().filter(|weight| (1..=100).contains(weight));
            weight.ok_or(error::SOURCE_WEIGHT_MALFORMED)?
        }
    };
    // As the file will have it, so that it is found again.
    let address = content.parse::<IpAddr>().map(|address| address.to_string());
    let content = address.unwrap_or_else(|_| content.to_ascii_lowercase());
    let mut origin = json!({"address": content, "priority": priority, "weight": weight});
    if port != HTTPS {
        origin["port"] = Value::from(port);
    }
    if port != HTTP {
        origin["https_port"] = Value::from(port);
    }
    Ok((Described { content, kind, port }, origin))
}

/// A field by its name in any case (clients write `content` and `Content`), as a text (clients
/// write some numbers as numbers). An empty one counts as not given.
fn text(entry: &Map<String, Value>, name: &str) -> Option<String> {
    let (_, value) = entry.iter().find(|(key, _)| key.eq_ignore_ascii_case(name))?;
    match value {
        Value::String(text) => Some(text.trim().to_owned()).filter(|text| !text.is_empty()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// A name in a private network may have one label only.
fn is_host(content: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.' || c == '_';
    content.len() <= 253 && content.chars().all(fits) && !content.starts_with(['.', '-'])
}

/// Whether all origins speak https, by their ports.
pub fn are_https(described: &[Described]) -> bool {
    !described.is_empty() && described.iter().all(|source| source.port == HTTPS)
}

/// One origin of a file in the words of DCDN. What was said of it holds as long as the file still
/// says the same.
pub fn shown(origin: &OriginConfig, described: &[Described]) -> Value {
    let content = origin.address.to_string();
    let said = described.iter().find(|source| {
        source.content == content
            && match source.port {
                HTTP => origin.port == HTTP,
                HTTPS => origin.https_port == HTTPS,
                port => origin.port == port,
            }
    });
    let kind = match (&origin.address, said) {
        (OriginAddress::Ip(_), _) => "ipaddr",
        (OriginAddress::Name(_), Some(source)) if source.kind == "oss" => "oss",
        (OriginAddress::Name(_), _) => "domain",
    };
    json!({
        "Type": kind,
        "Content": content,
        "Port": said.map_or(origin.port, |source| source.port),
        "Priority": origin.priority.to_string(),
        "Weight": origin.weight.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Sources, Failure> {
        super::read(text, error::SOURCE_MISMATCH)
    }

    // DCDN OpenAPI 2018-01-15, `Sources`: names in any case, numbers as numbers or texts.
    #[test]
    fn origins_are_read_as_clients_write_them() {
        let lower = r#"[{"type":"ipaddr","content":"10.0.0.1","port":8080,
                "priority":"20","weight":"15"},
            {"type":"domain","content":"Inner.example.com","priority":30}]"#;
        let upper = r#"[{"Type":"ipaddr","Content":"10.0.0.1","Port":"8080",
                "Priority":20,"Weight":15},
            {"TYPE":"domain","CONTENT":"inner.example.com","PRIORITY":"30"}]"#;
        let read_lower = read(lower).unwrap();
        assert_eq!(read_lower, read(upper).unwrap());
        assert_eq!(
            read_lower.origins,
            json!([
                {"address": "10.0.0.1", "priority": 20, "weight": 15, "port": 8080,
                    "https_port": 8080},
                {"address": "inner.example.com", "priority": 30, "weight": 10, "port": 80},
            ])
        );
        let https = read(r#"[{"type":"oss","content":"b.oss.example","port":443}]"#).unwrap();
        assert_eq!(
            https.origins,
            json!([{"address": "b.oss.example", "priority": 20, "weight": 10, "https_port": 443}])
        );
        assert!(are_https(&https.described) && !are_https(&read_lower.described));
        let inner = r#"[{"type":"domain","content":"origin"}]"#;
        assert_eq!(read(inner).unwrap().described[0].content, "origin");
    }

    // DCDN OpenAPI 2018-01-15, AddDcdnDomain: codes of errors.
    #[test]
    fn wrong_origins_have_their_codes() {
        let many: Vec<Value> =
            (1..=11).map(|n| json!({"type": "ipaddr", "content": format!("10.0.0.{n}")})).collect();
        let many = Value::Array(many).to_string();
        let added = super::read(
            r#"[{"type":"ipaddr","content":"999.1.1.1"}]"#,
            error::SOURCE_CONTENT_MALFORMED,
        );
        assert_eq!(added.unwrap_err().code, "InvalidSource.Content.Malformed");
        for (text, code) in [
            ("", "InvalidSources.Malformed"),
            ("[]", "InvalidSources.Malformed"),
            ("[1]", "InvalidSources.Malformed"),
            (r#"[{"content":"10.0.0.1"}]"#, "MissingSource.Type"),
            (r#"[{"type":"ipaddr","content":""}]"#, "MissingSource.Content"),
            (r#"[{"type":"x","content":"10.0.0.1"}]"#, "InvalidSource.Type.Malformed"),
            (r#"[{"type":"ipaddr","content":"a.b"}]"#, "InvalidTypeContent.Mismatch"),
            (r#"[{"type":"domain","content":"10.0.0.1"}]"#, "InvalidTypeContent.Mismatch"),
            (r#"[{"type":"domain","content":"a b"}]"#, "InvalidSource.Content.Malformed"),
            (
                r#"[{"type":"ipaddr","content":"10.0.0.1","priority":"25"}]"#,
                "InvalidSource.Priority.Malformed",
            ),
            (
                r#"[{"type":"ipaddr","content":"10.0.0.1","port":0}]"#,
                "InvalidSource.Port.Malformed",
            ),
            (
                r#"[{"type":"ipaddr","content":"10.0.0.1","port":65536}]"#,
                "InvalidSource.Port.Malformed",
            ),
            (
                r#"[{"type":"ipaddr","content":"10.0.0.1","weight":"101"}]"#,
                "InvalidSource.Weight.Malformed",
            ),
            (&many, "SourceIp.Exceed"),
        ] {
            assert_eq!(read(text).unwrap_err().code, code, "{text}");
        }
    }

    #[test]
    fn origins_are_shown_as_they_were_said_or_as_the_file_has_them() {
        let origin = |port, https_port| OriginConfig {
            address: OriginAddress::Name("inner".into()),
            port,
            https_port,
            priority: 30,
            weight: 7,
        };
        let said = |kind: &str, port| {
            vec![Described { content: "inner".to_owned(), kind: kind.to_owned(), port }]
        };
        let expected = json!({"Type": "oss", "Content": "inner", "Port": 443, "Priority": "30",
            "Weight": "7"});
        assert_eq!(shown(&origin(80, 443), &said("oss", 443)), expected);
        for (origin, said, port) in [
            (origin(8080, 8080), said("domain", 8080), 8080),
            (origin(81, 443), said("domain", 80), 81),
            (origin(80, 8443), said("domain", 443), 80),
            (origin(80, 443), Vec::new(), 80),
        ] {
            let found = shown(&origin, &said);
            assert_eq!((&found["Type"], &found["Port"]), (&json!("domain"), &json!(port)));
        }
    }
}
