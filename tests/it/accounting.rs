//! Bytes and codes that clients saw, and the same bytes and codes wherever the edge shows them: the
//! three DCDN calls, the REST API, /metrics, the bill and its CSV.
//!
//! What is counted: payload of TCP in the clear that went to the client of an upgrade request,
//! whatever its answer, and through its tunnel, when it was sent (heads and frame headers count,
//! TLS does not).

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;

use crate::harness::dcdn::stamp;
use crate::harness::{
    Api, Authority, Dcdn, DomainFile, Edge, Frame, Op, Origin, TlsClient, Wire, eventually,
    upgrade_request,
};

mod bills;
mod live;
mod slots;

const TRAFFIC: &str = "DescribeDcdnDomainWebsocketTrafficData";
const BPS: &str = "DescribeDcdnDomainWebsocketBpsData";
const CODES: &str = "DescribeDcdnDomainWebsocketHttpCodeData";

/// What clients of one kind saw and sent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Seen {
    bytes_out: u64,
    bytes_in: u64,
    messages_out: u64,
    messages_in: u64,
    codes: BTreeMap<u64, u64>,
}

impl Seen {
    fn add(&mut self, other: &Seen) {
        self.bytes_out += other.bytes_out;
        self.bytes_in += other.bytes_in;
        self.messages_out += other.messages_out;
        self.messages_in += other.messages_in;
        for (code, n) in &other.codes {
            *self.codes.entry(*code).or_default() += n;
        }
    }
}

/// Where a client is, by its address and by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    address: &'static str,
    region: &'static str,
    isp: &'static str,
}

const PLACES: [Place; 3] = [
    Place { address: "10.1.0.7", region: "beijing", isp: "unicom" },
    Place { address: "10.2.0.7", region: "guangdong", isp: "telecom" },
    Place { address: "10.3.0.7", region: "beijing", isp: "mobile" },
];

const RULES: &str = "network,region,isp\n10.1.0.0/16,beijing,unicom\n\
                     10.2.0.0/16,guangdong,telecom\n10.3.0.0/16,beijing,mobile\n";

/// Two WebSocket domains, one without, and one whose origin is away; behind a proxy that says where
/// each client is.
struct Town {
    edge: Edge,
    client: TlsClient,
    seen: BTreeMap<(&'static str, Place), Seen>,
    _files: (Authority, tempfile::TempDir, Origin),
}

/// 403 and 404 with a body for the paths that say so; an echo for all others.
fn origin() -> Origin {
    Origin::serving(|mut wire| {
        let Ok(head) = wire.try_head() else { return };
        let status = match head.target() {
            "/403" => "403 Forbidden",
            "/404" => "404 Not Found",
            _ if head.has("upgrade") => return echo_behind(wire, &head),
            _ => "200 OK",
        };
        wire.try_send(format!("HTTP/1.1 {status}\r\nContent-Length: 5\r\n\r\nhello"));
    })
}

fn echo_behind(mut wire: Wire, head: &crate::harness::Head) {
    wire.try_send(crate::harness::switching(head));
    while let Ok(frame) = wire.try_frame() {
        let close = frame.op == Op::CLOSE;
        if !wire.try_send(frame.unmasked().bytes()) || close {
            return wire.finish();
        }
    }
}

impl Town {
    fn new() -> Town {
        let authority = Authority::new("root");
        let origin = origin();
        let files = tempfile::tempdir().expect("a directory");
        let rules = files.path().join("places.csv");
        std::fs::write(&rules, RULES).expect("written");
        let pair = authority.pair(&["a.test", "b.test"]);
        let domain = |name: &str| DomainFile::to(name, &origin).tls(&pair);
        // Nobody listens behind a port that was free a moment ago.
        let away = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr();
        let edge = Edge::builder()
            .tls()
            .workers(2)
            .server("proxy_protocol = \"v1\"\ntrusted_proxies = [\"127.0.0.0/8\"]")
            .table(&format!("[geo]\nrules = \"{}\"", rules.display()))
            .domain(domain("a.test"))
            .domain(domain("b.test"))
            .domain(DomainFile::to("plain.test", &origin).websocket("enabled = false"))
            .domain(DomainFile::new("down.test").origin(away.expect("an address"), ""))
            .start();
        let client = TlsClient::trusting(&authority);
        Town { edge, client, seen: BTreeMap::new(), _files: (authority, files, origin) }
    }

    fn connect(&self, place: Place) -> Wire {
        self.connect_to(place, self.edge.addr())
    }

    fn connect_to(&self, place: Place, to: std::net::SocketAddr) -> Wire {
        let mut wire = Wire::connect(to);
        wire.send(format!("PROXY TCP4 {} 10.0.0.1 4711 80\r\n", place.address));
        wire
    }

    fn connect_tls(&self, place: Place, name: &str) -> Wire {
        let wire = self.connect_to(place, self.edge.tls_addr());
        self.client.over(wire, name).expect("a handshake behind the header")
    }

    /// Asks for an upgrade of this path; counts what came back, its body too.
    fn ask(&mut self, wire: &mut Wire, domain: &'static str, place: Place, path: &str) -> u16 {
        let request = upgrade_request(domain, "").replacen("/chat", path, 1);
        wire.send(&request);
        let (head, body) = wire.answer();
        let status = head.status();
        if domain != "plain.test" {
            let row = self.seen.entry((domain, place)).or_default();
            row.bytes_in += request.len() as u64;
            row.bytes_out += (head.raw.len() + body.len()) as u64;
            *row.codes.entry(u64::from(status)).or_default() += 1;
        }
        status
    }

    /// An echo of a message of this size through an open tunnel.
    fn echo(&mut self, wire: &mut Wire, domain: &'static str, place: Place, size: usize) {
        let message = Frame::binary(vec![b'x'; size]).masked();
        wire.send_frame(&message);
        let back = wire.frame();
        assert_eq!(back.payload.len(), size);
        let row = self.seen.entry((domain, place)).or_default();
        row.bytes_in += message.bytes().len() as u64;
        row.bytes_out += back.bytes().len() as u64;
        row.messages_in += 1;
        row.messages_out += 1;
    }

    /// The close handshake, both of its frames counted.
    fn close(&mut self, mut wire: Wire, domain: &'static str, place: Place) {
        let close = Frame::close(1000, "done").masked();
        wire.send_frame(&close);
        let back = wire.frame();
        assert_eq!(back.op, Op::CLOSE);
        wire.ends();
        let row = self.seen.entry((domain, place)).or_default();
        row.bytes_in += close.bytes().len() as u64;
        row.bytes_out += back.bytes().len() as u64;
    }

    /// Every client does something else, in every place, over ws and wss.
    fn live(&mut self) {
        for (i, place) in PLACES.into_iter().enumerate() {
            for domain in ["a.test", "b.test"] {
                let mut ws = self.connect(place);
                assert_eq!(self.ask(&mut ws, domain, place, "/chat"), 101);
                let mut wss = self.connect_tls(place, domain);
                assert_eq!(self.ask(&mut wss, domain, place, "/chat"), 101);
                for size in [0, 125, 126, 65_535, 65_536, 300_000 + 1000 * i] {
                    self.echo(&mut ws, domain, place, size);
                    self.echo(&mut wss, domain, place, size + i);
                }
                self.close(ws, domain, place);
                self.close(wss, domain, place);
            }
            for (path, code) in [("/403", 403), ("/404", 404), ("/404", 404)] {
                let mut wire = self.connect(place);
                assert_eq!(self.ask(&mut wire, "a.test", place, path), code);
            }
            let mut wire = self.connect(place);
            let code = self.ask(&mut wire, "down.test", place, "/chat");
            assert!(matches!(code, 502 | 503), "{code}");
            // Neither traffic nor a code of WebSocket.
            let mut wire = self.connect(place);
            assert_eq!(self.ask(&mut wire, "plain.test", place, "/chat"), 200);
        }
        // A client sees bytes a moment before the core that sent them has counted them.
        let (out, codes) = self.seen.values().fold((0, 0), |(out, codes), seen| {
            (out + seen.bytes_out, codes + seen.codes.values().sum::<u64>())
        });
        eventually(&format!("{out} bytes and {codes} answers are counted"), || {
            let metrics = self.edge.metrics();
            let sum = |name: &str| -> u64 {
                let domains = ["a.test", "b.test", "down.test"];
                domains.iter().map(|d| metrics.sum(name, &[("domain", d)]) as u64).sum()
            };
            let counted = (sum("hawser_client_sent_bytes_total"), sum("hawser_handshakes_total"));
            (counted.0 >= out && counted.1 >= codes).then_some(())
        });
        flush(&self.edge);
    }

    fn total(&self, fits: impl Fn(&str, Place) -> bool) -> Seen {
        let mut sum = Seen::default();
        for ((domain, place), seen) in &self.seen {
            if fits(domain, *place) {
                sum.add(seen);
            }
        }
        sum
    }
}

/// Brings the statistics up to date now instead of within ten seconds.
fn flush(edge: &Edge) {
    let (status, text) = edge.control_raw("POST", "/v1/flush", None);
    assert_eq!(status, 204, "{text}");
}

/// A range around now, whatever slot that is in.
fn around_now() -> (String, String) {
    let now = Timestamp::now();
    let hour = jiff::SignedDuration::from_hours(1);
    (stamp(now - hour), stamp(now + jiff::SignedDuration::from_mins(10)))
}

/// The three DCDN calls about one selection: bytes, and codes when domains are named.
fn by_dcdn(dcdn: &Dcdn, filter: &[(&str, &str)]) -> (f64, BTreeMap<u64, u64>) {
    let (start, end) = around_now();
    let times = [("StartTime", start.as_str()), ("EndTime", end.as_str()), ("Interval", "300")];
    let params = [&times[..], filter].concat();
    let traffic = dcdn.ask(TRAFFIC, &params);
    let traffic = traffic["TrafficDataPerInterval"]["DataModule"].as_array().expect("slots");
    let bps = dcdn.ask(BPS, &params);
    let bps = bps["BpsDataPerInterval"]["DataModule"].as_array().expect("slots");
    assert_eq!(traffic.len(), bps.len());
    let mut sum = 0.0;
    for (traffic, bps) in traffic.iter().zip(bps) {
        assert_eq!(traffic["TimeStamp"], bps["TimeStamp"]);
        let bytes = traffic["WebsocketTraffic"].as_f64().expect("a number");
        let rate = bps["WebsocketBps"].as_f64().expect("a number");
        // Item 30: five minutes' bytes as bits per second.
        assert!((rate - bytes * 8.0 / 300.0).abs() < 0.01, "{traffic} {bps}");
        sum += bytes;
    }
    let mut codes = BTreeMap::new();
    if filter.iter().any(|(name, _)| *name == "DomainName") {
        let answer = dcdn.ask(CODES, &params);
        let slots = answer["HttpCodeDataPerInterval"]["DataModule"].as_array().expect("slots");
        for slot in slots {
            let rows = slot["WebsocketHttpCode"]["HttpCodeDataModule"].as_array().expect("codes");
            let share: f64 = rows.iter().map(|r| r["Proportion"].as_f64().expect("a share")).sum();
            assert!(rows.is_empty() || (share - 100.0).abs() < 1e-6, "{slot}");
            for row in rows {
                let code = row["Code"].as_u64().expect("a code");
                let count = row["Count"].as_f64().expect("a count");
                *codes.entry(code).or_default() += count as u64;
            }
        }
    }
    (sum, codes)
}

/// The same by the REST API.
fn by_rest(api: &Api, filter: &str) -> Seen {
    let (start, end) = around_now();
    let read = |what: &str| {
        let path =
            format!("/api/v1/statistics/{what}?start={start}&end={end}&interval=300{filter}");
        api.read(&path)["items"].as_array().expect("slots").clone()
    };
    let sum = |rows: &[Value], field: &str| -> u64 {
        rows.iter().map(|row| row[field].as_u64().unwrap_or_else(|| panic!("{field}: {row}"))).sum()
    };
    let (traffic, messages) = (read("traffic"), read("messages"));
    let mut codes = BTreeMap::new();
    for row in read("http-codes") {
        for row in row["codes"].as_array().expect("codes") {
            let (code, count) = (row["code"].as_u64(), row["count"].as_u64());
            *codes.entry(code.expect("a code")).or_default() += count.expect("a count");
        }
    }
    Seen {
        bytes_out: sum(&traffic, "bytes_out"),
        bytes_in: sum(&traffic, "bytes_in"),
        messages_out: sum(&messages, "messages_out"),
        messages_in: sum(&messages, "messages_in"),
        codes,
    }
}

/// Items 25 and 29: what clients saw, by every filter, in every place where it can be read.
#[test]
fn the_same_bytes_and_codes_everywhere() {
    let mut town = Town::new();
    town.live();
    let (dcdn, api) = (Dcdn::of(&town.edge), Api::of(&town.edge));
    let all = "a.test,b.test,plain.test,down.test";
    for domains in ["a.test", "b.test", "plain.test", "down.test", "a.test,b.test", all] {
        let wanted = town.total(|domain, _| domains.split(',').any(|d| d == domain));
        let (bytes, codes) = by_dcdn(&dcdn, &[("DomainName", domains)]);
        assert_eq!((bytes as u64, &codes), (wanted.bytes_out, &wanted.codes), "{domains}");
        assert_eq!(by_rest(&api, &format!("&domain={domains}")), wanted, "{domains}");
    }
    let wanted = town.total(|_, _| true);
    assert_eq!(by_dcdn(&dcdn, &[]).0 as u64, wanted.bytes_out, "unfiltered is the sum of all");
    assert_eq!(by_rest(&api, ""), wanted);
    for (region, isp) in [
        ("beijing", ""),
        ("guangdong", ""),
        ("shanghai", ""),
        ("", "unicom"),
        ("", "mobile"),
        ("beijing", "mobile"),
        ("beijing", "telecom"),
    ] {
        for domain in ["a.test", "b.test", "down.test", all] {
            let wanted = town.total(|name, place| {
                domain.split(',').any(|d| d == name)
                    && (region.is_empty() || place.region == region)
                    && (isp.is_empty() || place.isp == isp)
            });
            let filter = [("DomainName", domain), ("LocationNameEn", region), ("IspNameEn", isp)];
            let (bytes, codes) = by_dcdn(&dcdn, &filter);
            let what = format!("{domain} {region} {isp}");
            assert_eq!((bytes as u64, &codes), (wanted.bytes_out, &wanted.codes), "{what}");
            let mut query = format!("&domain={domain}");
            for (name, value) in [("region", region), ("isp", isp)] {
                if !value.is_empty() {
                    query += &format!("&{name}={value}");
                }
            }
            assert_eq!(by_rest(&api, &query), wanted, "{what}");
        }
    }
    by_place(&town, &api);
    in_the_metrics(&town);
    bills::in_the_ledger(&town, &dcdn, &api);
}

/// Where it went, and which domains did it: the same bytes, and no more of them.
fn by_place(town: &Town, api: &Api) {
    let (start, end) = around_now();
    let read = |path: &str| api.read(&format!("/api/v1/statistics/{path}&start={start}&end={end}"));
    let list = |value: &Value| value.as_array().expect("a list").clone();
    for (filter, domain) in [("", ""), ("&domain=a.test", "a.test"), ("&domain=b.test", "b.test")] {
        let fits = |name: &str| domain.is_empty() || name == domain;
        let places = read(&format!("places?limit=10{filter}"));
        let items = list(&places["items"]);
        assert_eq!(items.len(), PLACES.len(), "{places}");
        for Place { region, isp, .. } in PLACES {
            let wanted = town.total(|name, at| fits(name) && (at.region, at.isp) == (region, isp));
            let item = items.iter().find(|item| item["region"] == region && item["isp"] == isp);
            let item = item.unwrap_or_else(|| panic!("{region} {isp}: {places}"));
            assert_eq!(item["bytes_out"], wanted.bytes_out, "{places}");
            assert_eq!(item["bytes_in"], wanted.bytes_in, "{places}");
        }
        assert_eq!(places["bytes_out"], town.total(|name, _| fits(name)).bytes_out, "{places}");
        let regions: Vec<u64> =
            list(&places["regions"]).iter().filter_map(|r| r["bytes_out"].as_u64()).collect();
        assert!(regions.len() == 2 && regions[0] >= regions[1], "{places}");
        assert_eq!(places["truncated"], false);
    }
    assert_eq!(read("places?limit=1")["truncated"], true);
    let csv = api.get(&format!("/api/v1/statistics/places?format=csv&start={start}&end={end}"));
    assert_eq!(csv.text().lines().count(), 1 + PLACES.len(), "{}", csv.text());
    let top = read("top?by=domain&region=beijing&isp=mobile");
    for item in list(&top["items"]) {
        let wanted = town.total(|name, at| item["name"] == name && at.isp == "mobile");
        assert_eq!(item["bytes_out"], wanted.bytes_out, "{top}");
    }
    let chinese = &api.read("/api/v1/statistics/names")["chinese"];
    assert_eq!((&chinese["beijing"], &chinese["telecom"]), (&"北京市".into(), &"电信".into()));
}

fn in_the_metrics(town: &Town) {
    let metrics = town.edge.metrics();
    for domain in ["a.test", "b.test", "down.test"] {
        let wanted = town.total(|name, _| name == domain);
        let labels = [("domain", domain)];
        let sum = |name: &str| metrics.sum(name, &labels) as u64;
        assert_eq!(sum("hawser_client_sent_bytes_total"), wanted.bytes_out, "{domain}");
        assert_eq!(sum("hawser_client_received_bytes_total"), wanted.bytes_in, "{domain}");
        assert_eq!(sum("hawser_client_sent_messages_total"), wanted.messages_out, "{domain}");
        assert_eq!(sum("hawser_client_received_messages_total"), wanted.messages_in, "{domain}");
        for (code, n) in &wanted.codes {
            let code = code.to_string();
            let labels = [("domain", domain), ("code", code.as_str())];
            let seen = metrics.sum("hawser_handshakes_total", &labels) as u64;
            assert_eq!(seen, *n, "{domain} {code}");
        }
    }
}

/// Every answer of an upgrade request is a code, the edge's own refusals too.
#[test]
fn codes_are_those_that_clients_saw() {
    let origin = origin();
    let edge = Edge::builder()
        .domain(
            DomainFile::to("a.test", &origin)
                .websocket("allowed_origins = [\"https://good.test\"]"),
        )
        .start();
    let mut seen = BTreeMap::<u64, u64>::new();
    for (path, field) in [
        ("/chat", "Origin: https://good.test\r\n"),
        ("/chat", "Origin: https://bad.test\r\n"),
        ("/404", "Origin: https://good.test\r\n"),
        ("/chat", "Origin: https://good.test\r\nSec-WebSocket-Extensions: x\r\n"),
    ] {
        let mut wire = edge.connect();
        wire.send(upgrade_request("a.test", field).replacen("/chat", path, 1));
        *seen.entry(u64::from(wire.head().status())).or_default() += 1;
    }
    // A version that nobody speaks, and a key that is none.
    for (from, to) in [("Version: 13", "Version: 8"), (crate::harness::KEY, "short")] {
        let mut wire = edge.connect();
        let more = "Origin: https://good.test\r\n";
        wire.send(upgrade_request("a.test", more).replacen(from, to, 1));
        *seen.entry(u64::from(wire.head().status())).or_default() += 1;
    }
    assert!(seen.contains_key(&101) && seen.contains_key(&403), "{seen:?}");
    eventually("the codes are counted", || {
        flush(&edge);
        let (_, codes) = by_dcdn(&Dcdn::of(&edge), &[("DomainName", "a.test")]);
        let rest = by_rest(&Api::of(&edge), "&domain=a.test").codes;
        assert_eq!(codes, rest);
        (codes == seen).then_some(())
    });
}
