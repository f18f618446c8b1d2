//! The DCDN wire API (OpenAPI 2018-01-15) from outside: real sockets, real signatures, the fields
//! and the codes that clients of it rely on.
//!
//! Not here: the official clients themselves (`tests/peers`), vectors with keys of somebody else's
//! choice (unit tests of `control::dcdn`), plans (`plans`), numbers of traffic (`accounting`).

use serde_json::{Value, json};

use crate::harness::dcdn::{Scheme, Way};
use crate::harness::{Dcdn, DomainFile, Edge, EdgeBuilder, Origin, upgrade_request};

mod access;
mod batches;
mod domains;
mod requests;
mod shapes;
mod shares;
mod signing;
mod statistics;

/// An edge with an origin that sends frames back, and a client of the wire API.
struct Site {
    origin: Origin,
    edge: Edge,
    dcdn: Dcdn,
}

impl Site {
    /// With these domains, WebSocket off.
    fn with(names: &[&str]) -> Site {
        Site::built(names, |edge| edge)
    }

    fn built(names: &[&str], change: impl Fn(EdgeBuilder) -> EdgeBuilder) -> Site {
        let origin = Origin::echoing();
        let mut builder = Edge::builder();
        for name in names {
            builder = builder.domain(DomainFile::to(name, &origin).websocket("enabled = false"));
        }
        let edge = change(builder).start();
        let dcdn = Dcdn::of(&edge);
        Site { origin, edge, dcdn }
    }

    /// `Sources` that name the origin.
    fn sources(&self) -> String {
        let port = self.origin.addr.port();
        json!([{ "type": "ipaddr", "content": "127.0.0.1", "port": port }]).to_string()
    }

    fn add(&self, name: &str) {
        self.dcdn.ask("AddDcdnDomain", &[("DomainName", name), ("Sources", &self.sources())]);
    }

    /// The status that a client sees who asks this domain for an upgrade.
    fn handshake(&self, name: &str) -> u16 {
        let mut client = self.edge.connect();
        client.send(upgrade_request(name, ""));
        client.head().status()
    }

    /// Back when the domain has passed through `configuring`; its detail.
    fn settled(&self, name: &str) -> Value {
        crate::harness::eventually(&format!("{name} is configured"), || {
            let answer = self.dcdn.ask("DescribeDcdnDomainDetail", &[("DomainName", name)]);
            let detail = answer["DomainDetail"].clone();
            assert_eq!(detail["DomainName"], name);
            (detail["DomainStatus"] != "configuring").then_some(detail)
        })
    }

    /// Whether WebSocket is off there, be it that nobody ever said anything.
    fn is_off(&self, name: &str) -> bool {
        let enabled = &self.arguments(name, "websocket")["enabled"];
        enabled.is_null() || enabled == "off"
    }

    /// Arguments of a domain's function by name.
    fn arguments(&self, domain: &str, function: &str) -> Value {
        let params = [("DomainName", domain), ("FunctionNames", function)];
        let answer = self.dcdn.ask("DescribeDcdnDomainConfigs", &params);
        let Some(config) = answer["DomainConfigs"]["DomainConfig"].get(0) else {
            return Value::Null;
        };
        let arguments = config["FunctionArgs"]["FunctionArg"].as_array().expect("arguments");
        let pair =
            |a: &Value| (a["ArgName"].as_str().expect("a name").to_owned(), a["ArgValue"].clone());
        Value::Object(arguments.iter().map(pair).collect())
    }
}

/// `Functions` with one function.
pub fn function(name: &str, arguments: &[(&str, &str)]) -> String {
    let argument = |(name, value): &(&str, &str)| json!({ "argName": name, "argValue": value });
    let arguments: Vec<_> = arguments.iter().map(argument).collect();
    json!([{ "functionName": name, "functionArgs": arguments }]).to_string()
}

fn websocket_on(more: &[(&str, &str)]) -> String {
    function("websocket", &[&[("enabled", "on"), ("origin_scheme", "http")], more].concat())
}

#[test]
fn the_same_calls_work_with_either_signature_in_every_way() {
    let site = Site::with(&[]);
    for (i, scheme) in crate::harness::dcdn::SCHEMES.into_iter().enumerate() {
        for (j, way) in crate::harness::dcdn::WAYS.into_iter().enumerate() {
            script(&site, &site.dcdn.by(scheme, way), &format!("s{i}w{j}.test"));
        }
    }
}

/// A domain's life: added, made a WebSocket domain, used, looked at, deleted.
fn script(site: &Site, dcdn: &Dcdn, name: &str) {
    dcdn.ask("AddDcdnDomain", &[("DomainName", name), ("Sources", &site.sources())]);
    assert_ne!(site.handshake(name), 101, "{name}: off until it is switched on");
    let functions = websocket_on(&[("heartbeat", "30")]);
    dcdn.ask("BatchSetDcdnDomainConfigs", &[("DomainNames", name), ("Functions", &functions)]);
    assert_eq!(site.handshake(name), 101, "{name}: live once the call has been answered");
    let arguments = json!({ "enabled": "on", "heartbeat": "30", "origin_scheme": "http" });
    assert_eq!(site.arguments(name, "websocket"), arguments);
    for action in STATISTICS {
        let answer = dcdn.ask(action, &[("DomainName", name)]);
        assert_eq!(answer["DomainName"], name, "{action}: {answer}");
    }
    dcdn.ask("DeleteDcdnDomain", &[("DomainName", name)]);
    let gone = (404, "InvalidDomain.NotFound");
    dcdn.refused("DescribeDcdnDomainDetail", &[("DomainName", name)], gone);
    assert_eq!(site.handshake(name), 421);
}

const TRAFFIC: &str = "DescribeDcdnDomainWebsocketTrafficData";
const BPS: &str = "DescribeDcdnDomainWebsocketBpsData";
const CODES: &str = "DescribeDcdnDomainWebsocketHttpCodeData";
const STATISTICS: [&str; 3] = [TRAFFIC, BPS, CODES];

#[test]
fn spaces_and_awkward_characters_survive_every_spelling() {
    use crate::harness::dcdn::Spaces;
    let site = Site::with(&["a.test"]);
    for scheme in crate::harness::dcdn::SCHEMES {
        for way in crate::harness::dcdn::WAYS {
            for (i, spaces) in [Spaces::Percent, Spaces::Plus].into_iter().enumerate() {
                let value = format!("x y*~+é中/?&=%\"'{scheme:?}{way:?}{i}");
                let tag = [
                    ("ResourceType", "DOMAIN"),
                    ("ResourceId.1", "a.test"),
                    ("Tag.1.Key", "odd"),
                    ("Tag.1.Value", &value),
                ];
                let call = site.dcdn.call("TagDcdnResources", &tag).spaces(spaces);
                let answer = call.scheme(scheme).way(way).send();
                assert_eq!(answer.status, 200, "{scheme:?} {way:?} {spaces:?}: {}", answer.text());
                let read = site.dcdn.ask("DescribeDcdnTagResources", &tag[..2]);
                let tags = &read["TagResources"][0]["Tag"];
                assert_eq!(tags, &json!([{ "Key": "odd", "Value": value }]), "{read}");
            }
        }
    }
}

#[test]
fn it_is_spoken_over_tls_where_the_listener_has_a_certificate() {
    use crate::harness::{Authority, TlsClient};
    let authority = Authority::new("root");
    let pair = authority.pair(&["edge.test"]);
    let site = Site::built(&["a.test"], |edge| {
        let (certificate, key) = (pair.certificate(), pair.key());
        edge.admin(&format!("certificate = \"{}\"", certificate.display()))
            .admin(&format!("key = \"{}\"", key.display()))
    });
    let client = TlsClient::trusting(&authority);
    let api = site.dcdn.api.over_tls(&client, "edge.test");
    let dcdn = Dcdn { api, ..site.dcdn };
    for scheme in crate::harness::dcdn::SCHEMES {
        let list = dcdn.by(scheme, Way::PostForm).ask("DescribeDcdnUserDomains", &[]);
        assert_eq!(list["TotalCount"], 1, "{list}");
    }
}

#[test]
fn what_every_call_may_carry_is_ignored() {
    let site = Site::with(&["a.test"]);
    let params = [
        ("OwnerId", "17"),
        ("OwnerAccount", "x"),
        ("SecurityToken", "y"),
        ("RegionId", "cn-hangzhou"),
        ("CheckDomainShow", "False"),
        ("DomainName", ""),
    ];
    for scheme in crate::harness::dcdn::SCHEMES {
        let answer = site.dcdn.by(scheme, Way::PostQuery).ask("DescribeDcdnUserDomains", &params);
        assert_eq!(answer["TotalCount"], 1, "{answer}");
    }
    // The classic SDK signs this empty value.
    let call = site.dcdn.call("DescribeDcdnService", &[("SignatureType", "")]);
    let answer = call.scheme(Scheme::V1).send();
    assert!(!answer.text().contains("SignatureDoesNotMatch"), "{}", answer.text());
}
