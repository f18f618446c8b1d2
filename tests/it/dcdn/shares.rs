//! How known traffic is shared among layers, domains, regions and providers (DCDN OpenAPI
//! 2018-01-15, section 2.6 of the specification), and where addresses are.
//!
//! Not here: the three calls about WebSocket, which `accounting` compares with what clients saw.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::harness::dcdn::{Scheme, stamp};
use crate::harness::shape::{assert_shape, leaves, xml_leaves};
use crate::harness::{
    Api, Authority, Dcdn, DomainFile, Edge, Frame, Op, Origin, TlsClient, Wire, eventually,
    upgrade_request,
};

const BY_LAYER: &str = "DescribeDcdnDomainBpsDataByLayer";
const USAGE: &str = "DescribeDcdnDomainUsageData";
const TOP: &str = "DescribeDcdnTopDomainsByFlow";
const REGIONS: &str = "DescribeDcdnDomainRegionData";
const ISPS: &str = "DescribeDcdnDomainIspData";

const RULES: &str = "network,region,isp\n10.1.0.0/16,beijing,unicom\n\
                     10.2.0.0/16,guangdong,telecom\n2001:db8:1::/48,beijing,mobile\n\
                     2001:db8:2::/48,shanghai,unicom\n";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ip {
    V4,
    V6,
}

/// One client: where it says it is, how it comes, what it asks, and the size of its message.
#[derive(Debug, Clone, Copy)]
struct Visit {
    header: &'static str,
    ip: Ip,
    scheme: &'static str,
    region: &'static str,
    isp: &'static str,
    domain: &'static str,
    size: usize,
}

const VISITS: [Visit; 4] = [
    Visit {
        header: "PROXY TCP4 10.1.0.7 10.0.0.1 4711 80\r\n",
        ip: Ip::V4,
        scheme: "http",
        region: "beijing",
        isp: "unicom",
        domain: "a.test",
        size: 1000,
    },
    Visit {
        header: "PROXY TCP4 10.2.0.7 10.0.0.1 4711 443\r\n",
        ip: Ip::V4,
        scheme: "https",
        region: "guangdong",
        isp: "telecom",
        domain: "a.test",
        size: 20_000,
    },
    Visit {
        header: "PROXY TCP6 2001:db8:1::7 2001:db8::1 4711 80\r\n",
        ip: Ip::V6,
        scheme: "http",
        region: "beijing",
        isp: "mobile",
        domain: "a.test",
        size: 300_000,
    },
    Visit {
        header: "PROXY TCP6 2001:db8:2::7 2001:db8::1 4711 443\r\n",
        ip: Ip::V6,
        scheme: "https",
        region: "shanghai",
        isp: "unicom",
        domain: "b.test",
        size: 7000,
    },
];

/// What the socket of each client got, in order of [`VISITS`], and who can tell of it.
struct Visited {
    edge: Edge,
    dcdn: Dcdn,
    bytes: [u64; 4],
    _files: (Authority, tempfile::TempDir, Origin),
}

impl Visited {
    fn new() -> Visited {
        let authority = Authority::new("root");
        let origin = Origin::echoing();
        let files = tempfile::tempdir().expect("a directory");
        let rules = files.path().join("places.csv");
        std::fs::write(&rules, RULES).expect("written");
        let pair = authority.pair(&["a.test", "b.test", "c.test"]);
        let domain = |name: &str| DomainFile::to(name, &origin).tls(&pair);
        let edge = Edge::builder()
            .tls()
            .workers(2)
            .server("proxy_protocol = \"v1\"\ntrusted_proxies = [\"127.0.0.0/8\"]")
            .table(&format!("[geo]\nrules = \"{}\"", rules.display()))
            .domain(domain("a.test"))
            .domain(domain("b.test"))
            .domain(domain("c.test"))
            .start();
        let client = TlsClient::trusting(&authority);
        let bytes = VISITS.map(|visit| visit.make(&edge, &client));
        let all: u64 = bytes.iter().sum();
        eventually(&format!("{all} bytes are counted"), || {
            let sent = edge.metrics();
            let sum = |d| sent.sum("hawser_client_sent_bytes_total", &[("domain", d)]) as u64;
            (sum("a.test") + sum("b.test") >= all).then_some(())
        });
        let (status, text) = edge.control_raw("POST", "/v1/flush", None);
        assert_eq!(status, 204, "{text}");
        let dcdn = Dcdn::of(&edge);
        Visited { edge, dcdn, bytes, _files: (authority, files, origin) }
    }

    /// Bytes of the clients that fit.
    fn of(&self, fits: impl Fn(&Visit) -> bool) -> u64 {
        let all = VISITS.iter().zip(self.bytes);
        all.filter(|(visit, _)| fits(visit)).map(|(_, bytes)| bytes).sum()
    }
}

impl Visit {
    /// Connects, sends a message, gets it back, closes; the bytes that came.
    fn make(self, edge: &Edge, client: &TlsClient) -> u64 {
        let addr = if self.scheme == "https" { edge.tls_addr() } else { edge.addr() };
        let mut wire = Wire::connect(addr);
        wire.send(self.header);
        if self.scheme == "https" {
            wire = client.over(wire, self.domain).expect("a handshake behind the header");
        }
        wire.send(upgrade_request(self.domain, ""));
        let head = wire.head();
        assert_eq!(head.status(), 101);
        wire.send_frame(&Frame::binary(vec![b'x'; self.size]).masked());
        let message = wire.frame();
        assert_eq!(message.payload.len(), self.size);
        wire.send_frame(&Frame::close(1000, "done").masked());
        let close = wire.frame();
        assert_eq!(close.op, Op::CLOSE);
        wire.ends();
        (head.raw.len() + message.bytes().len() + close.bytes().len()) as u64
    }
}

/// A range around now, in slots of this length.
fn around_now(interval: &str) -> Vec<(&'static str, String)> {
    let now = Timestamp::now();
    vec![
        ("StartTime", stamp(now - SignedDuration::from_hours(1))),
        ("EndTime", stamp(now + SignedDuration::from_mins(10))),
        ("Interval", interval.to_owned()),
    ]
}

fn ask(dcdn: &Dcdn, action: &str, interval: &str, more: &[(&str, &str)]) -> Value {
    let times = around_now(interval);
    let times: Vec<(&str, &str)> = times.iter().map(|(name, value)| (*name, &**value)).collect();
    dcdn.ask(action, &[&times[..], more].concat())
}

fn number(value: &Value) -> f64 {
    let text = value.as_str().unwrap_or_else(|| panic!("{value} is no text"));
    text.parse().unwrap_or_else(|e| panic!("{text}: {e}"))
}

/// Bytes by layer, all slots together; and that each slot is what it should be.
fn by_layer(visited: &Visited, interval: &str, more: &[(&str, &str)]) -> u64 {
    let answer = ask(&visited.dcdn, BY_LAYER, interval, more);
    let module = json!({ "TimeStamp": "time", "Value": "str", "TrafficValue": "str",
        "DynamicValue": "str", "DynamicTrafficValue": "str", "StaticValue": "=0",
        "StaticTrafficValue": "=0" });
    let shape = json!({ "RequestId": "id", "DataInterval": format!("={interval}"),
        "BpsDataInterval": { "DataModule": ["+", module] } });
    assert_shape(BY_LAYER, &answer, &shape);
    let slots = answer["BpsDataInterval"]["DataModule"].as_array().expect("slots");
    let mut sum = 0;
    for slot in slots {
        let (bits, bytes) = (number(&slot["Value"]), number(&slot["TrafficValue"]));
        let five_minutes = bytes * 8.0 / 300.0;
        match interval {
            "300" => assert!((bits - five_minutes).abs() < 0.01, "{slot}"),
            _ => assert!(bits <= five_minutes + 0.01 && (bits > 0.0) == (bytes > 0.0), "{slot}"),
        }
        assert_eq!(slot["DynamicValue"], slot["Value"]);
        assert_eq!(slot["DynamicTrafficValue"], slot["TrafficValue"]);
        sum += bytes as u64;
    }
    sum
}

/// The same by the REST API.
fn by_rest(visited: &Visited, layer: &str, domains: &str) -> u64 {
    let layer = if layer.is_empty() { String::new() } else { format!("&layer={layer}") };
    let path = format!("/api/v1/statistics/traffic?domain={domains}{}", layer.to_lowercase());
    let slots = Api::of(&visited.edge).read(&path)["items"].as_array().expect("slots").clone();
    slots.iter().map(|slot| slot["bytes_out"].as_u64().expect("a number")).sum()
}

type Fits = Box<dyn Fn(&Visit) -> bool>;

#[test]
fn bytes_are_told_by_layer() {
    let visited = Visited::new();
    let everybody = |_: &Visit| true;
    let ip = |wanted: Ip| move |visit: &Visit| visit.ip == wanted;
    let scheme = |wanted: &'static str| move |visit: &Visit| visit.scheme == wanted;
    let layers: [(&str, Fits); 6] = [
        ("all", Box::new(everybody)),
        ("", Box::new(everybody)),
        ("IPv4", Box::new(ip(Ip::V4))),
        ("IPv6", Box::new(ip(Ip::V6))),
        ("http", Box::new(scheme("http"))),
        ("https", Box::new(scheme("https"))),
    ];
    for (layer, fits) in &layers {
        for interval in ["300", "3600", "86400"] {
            let asked = by_layer(&visited, interval, &[("Layer", layer)]);
            assert_eq!(asked, visited.of(fits), "{layer} {interval}");
        }
        for domains in ["a.test", "b.test", "c.test", "a.test,b.test"] {
            let wanted = visited.of(|visit| fits(visit) && domains.contains(visit.domain));
            let params = [("Layer", *layer), ("DomainName", domains)];
            assert_eq!(by_layer(&visited, "300", &params), wanted, "{layer} {domains}");
            if *layer != "all" {
                assert_eq!(by_rest(&visited, layer, domains), wanted, "{layer} {domains}");
            }
        }
    }
    assert_eq!(by_layer(&visited, "300", &[("Layer", "quic")]), 0);
    // Without a layer, places are as everywhere.
    let beijing = visited.of(|visit| visit.region == "beijing");
    assert_eq!(by_layer(&visited, "300", &[("LocationNameEn", "beijing")]), beijing);
    let place = [("LocationNameEn", "beijing"), ("IspNameEn", "mobile"), ("Layer", "all")];
    assert_eq!(by_layer(&visited, "300", &place), visited.bytes[2]);

    // The protocols of usage are the same numbers.
    for (protocol, fits) in [("http", &layers[4].1), ("https", &layers[5].1), ("all", &layers[0].1)]
    {
        let usage = |field| {
            let params = [("Field", field), ("DataProtocol", protocol)];
            let answer = ask(&visited.dcdn, USAGE, "300", &params);
            let slots = answer["UsageDataPerInterval"]["DataModule"].as_array().expect("slots");
            slots.iter().map(|slot| number(&slot["Value"])).sum::<f64>() as u64
        };
        let visits = VISITS.iter().filter(|visit| fits(visit)).count() as u64;
        assert_eq!((usage("traf"), usage("acc")), (visited.of(fits), visits), "{protocol}");
    }
}

#[test]
fn what_is_asked_by_layer_and_has_no_answer() {
    let visited = Visited::new();
    let dcdn = &visited.dcdn;
    for (params, error) in [
        (vec![("Layer", "ipv4")], (400, "InvalidLayer.ValueNotSupported")),
        (vec![("Layer", "HTTP")], (400, "InvalidLayer.ValueNotSupported")),
        (vec![("DomainName", "no.test")], (404, "InvalidDomain.NotFound")),
        (vec![("StartTime", "2026-01-01T00:00:00Z")], (400, "MissingTimeParameter")),
        (vec![("Layer", "http"), ("LocationNameEn", "beijing")], (400, "InvalidParameter")),
        (vec![("Layer", "IPv6"), ("IspNameEn", "mobile")], (400, "InvalidParameter")),
    ] {
        let said = dcdn.refused(BY_LAYER, &params, error);
        assert!(error.1 != "InvalidParameter" || said.contains("leave the layer out"), "{said}");
    }
    let api = Api::of(&visited.edge);
    for query in ["layer=ipv4&region=beijing", "layer=http&isp=mobile", "layer=quic"] {
        assert_eq!(api.get(&format!("/api/v1/statistics/traffic?{query}")).status, 400, "{query}");
    }
}

/// Every one of them as XML: the same leaves.
#[test]
fn shares_are_the_same_as_xml() {
    let visited = Visited::new();
    for (action, params) in [
        (BY_LAYER, vec![("Layer", "IPv6")]),
        (TOP, vec![]),
        (REGIONS, vec![("DomainName", "a.test")]),
        (ISPS, vec![]),
        ("DescribeDcdnIpInfo", vec![("IP", "10.1.0.7")]),
    ] {
        let times = around_now("300");
        let mut all: Vec<(&str, &str)> = params;
        if action != "DescribeDcdnIpInfo" {
            all.extend(times.iter().map(|(name, value)| (*name, &**value)));
        }
        let json = visited.dcdn.ask(action, &all);
        let xml = visited.dcdn.call(action, &all).scheme(Scheme::V1).format(Some("XML")).send();
        let (root, mut seen) = xml_leaves(&xml.text());
        assert_eq!(root, format!("{action}Response"));
        let mut wanted = leaves(&json);
        for list in [&mut seen, &mut wanted] {
            list.retain(|(path, _)| path != "/RequestId");
        }
        assert_eq!(seen, wanted, "{action}");
    }
}

#[test]
fn domains_are_ranked_by_their_bytes() {
    let visited = Visited::new();
    let (a, b) = (visited.of(|v| v.domain == "a.test"), visited.of(|v| v.domain == "b.test"));
    let answer = ask(&visited.dcdn, TOP, "300", &[]);
    let row = json!({ "DomainName": "str", "Rank": "int", "TotalTraffic": "str",
        "TrafficPercent": "str", "MaxBps": "int", "MaxBpsTime": "time", "TotalAccess": "int" });
    let shape = json!({ "RequestId": "id", "StartTime": "time", "EndTime": "time",
        "DomainCount": "int", "DomainOnlineCount": "int",
        "TopDomains": { "TopDomain": ["+", row] } });
    assert_shape(TOP, &answer, &shape);
    assert_eq!((&answer["DomainCount"], &answer["DomainOnlineCount"]), (&json!(3), &json!(3)));
    let rows = answer["TopDomains"]["TopDomain"].as_array().expect("rows");
    for (i, (row, (name, bytes, visits))) in
        rows.iter().zip([("a.test", a, 3), ("b.test", b, 1)]).enumerate()
    {
        assert_eq!((&row["DomainName"], &row["Rank"]), (&json!(name), &json!(i + 1)));
        assert_eq!(
            (&row["TotalTraffic"], &row["TotalAccess"]),
            (&json!(bytes.to_string()), &json!(visits))
        );
        let share = 100.0 * bytes as f64 / (a + b) as f64;
        assert!((number(&row["TrafficPercent"]) - share).abs() < 1e-9, "{row}");
        let most = row["MaxBps"].as_u64().expect("a number");
        assert!(most > 0 && most <= bytes * 8 / 300, "{row}");
        let at: Timestamp = row["MaxBpsTime"].as_str().expect("a time").parse().expect("a time");
        let age = Timestamp::now().as_second() - at.as_second();
        assert!(at.as_second() % 300 == 0 && (0..1200).contains(&age), "{row}");
    }
    assert_eq!(rows.len(), 2);
    let one = ask(&visited.dcdn, TOP, "300", &[("Limit", "1")]);
    assert_eq!(one["TopDomains"]["TopDomain"].as_array().map(Vec::len), Some(1));
    for wrong in ["0", "101", "x"] {
        let code = (400, "InvalidLimit.ValueNotSupported");
        visited.dcdn.refused(TOP, &[("Limit", wrong)], code);
    }
    visited.dcdn.refused(TOP, &[("EndTime", "x")], (400, "MissingTimeParameter"));
}

/// Rows by region or provider: all of `VISITS` that are in it.
#[test]
fn regions_and_providers_have_their_shares() {
    let visited = Visited::new();
    type Name = fn(&Visit) -> &'static str;
    for (action, list, english, chinese, name) in [
        (REGIONS, "RegionProportionData", "RegionEname", "Region", (|v| v.region) as Name),
        (ISPS, "IspProportionData", "IspEname", "Isp", |v| v.isp),
    ] {
        for domain in ["", "a.test", "c.test"] {
            let asked = |visit: &Visit| domain.is_empty() || visit.domain == domain;
            let answer = ask(&visited.dcdn, action, "300", &[("DomainName", domain)]);
            let row = json!({ english: "str", chinese: "str", "TotalBytes": "str",
                "BytesProportion": "str", "Bps": "str", "TotalQuery": "str", "Proportion": "str",
                "Qps": "str", "AvgObjectSize": "str", "AvgResponseTime": "str" });
            let shape = json!({ "RequestId": "id", "DomainName": format!("={domain}"),
                "StartTime": "time", "EndTime": "time", "DataInterval": "str",
                "Value": { list: [row] } });
            assert_shape(action, &answer, &shape);
            let rows = answer["Value"][list].as_array().expect("rows");
            let mut names: Vec<&str> =
                VISITS.iter().filter(|visit| asked(visit)).map(name).collect();
            names.sort_unstable();
            names.dedup();
            let found: Vec<&str> = rows.iter().filter_map(|row| row[english].as_str()).collect();
            assert_eq!(found, names, "{action} {domain}");
            let (all, visits) =
                (visited.of(asked), VISITS.iter().filter(|visit| asked(visit)).count() as f64);
            for row in rows {
                let is_in = |visit: &Visit| asked(visit) && row[english] == name(visit);
                let bytes = visited.of(is_in);
                assert_eq!(row["TotalBytes"], bytes.to_string(), "{row}");
                let share = 100.0 * bytes as f64 / all as f64;
                assert!((number(&row["BytesProportion"]) - share).abs() < 1e-9, "{row}");
                let count = VISITS.iter().filter(|visit| is_in(visit)).count() as f64;
                assert!((number(&row["TotalQuery"]) - count).abs() < 1e-9, "{row}");
                assert!((number(&row["Proportion"]) - 100.0 * count / visits).abs() < 1e-9);
                assert!((number(&row["AvgObjectSize"]) - bytes as f64 / count).abs() < 1e-6);
                assert!(number(&row["AvgResponseTime"]) > 0.0, "{row}");
                assert_ne!(row[chinese], row[english], "a name that DCDN has");
            }
        }
        visited.dcdn.refused(action, &[("DomainName", "no.test")], (404, "InvalidDomain.NotFound"));
        let half = [("StartTime", "2026-01-01T00:00:00Z")];
        visited.dcdn.refused(action, &half, (400, "MissingTimeParameter"));
    }
}

#[test]
fn an_address_has_a_place_or_is_our_own() {
    let visited = Visited::new();
    let own = visited.edge.addr().ip().to_string();
    for (ip, region, isp, is_own) in [
        ("10.1.0.7", ("beijing", "北京市"), ("unicom", "联通"), "False"),
        ("10.2.255.255", ("guangdong", "广东省"), ("telecom", "电信"), "False"),
        ("2001:db8:1::9", ("beijing", "北京市"), ("mobile", "移动"), "False"),
        ("192.0.2.1", ("unknown", "unknown"), ("unknown", "unknown"), "False"),
        (&*own, ("unknown", "unknown"), ("unknown", "unknown"), "True"),
    ] {
        let mut found = visited.dcdn.ask("DescribeDcdnIpInfo", &[("IP", ip)]);
        let fields = found.as_object_mut().expect("fields");
        fields.remove("RequestId").expect("an id");
        let wanted = json!({ "DcdnIp": is_own, "RegionEname": region.0, "Region": region.1,
            "IspEname": isp.0, "ISP": isp.1 });
        assert_eq!(found, wanted, "{ip}");
    }
    let code = (400, "InvalidIP.Malformed");
    for wrong in ["10.1.0", "10.1.0.7/16", "a.test"] {
        visited.dcdn.refused("DescribeDcdnIpInfo", &[("IP", wrong)], code);
    }
    visited.dcdn.refused("DescribeDcdnIpInfo", &[], (400, "MissingIP"));
}
