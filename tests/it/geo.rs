//! Regions and providers of clients: whose address is known, what a reload takes over, what is
//! refused. Clients say in a PROXY header who they are.

use std::path::{Path, PathBuf};

use crate::harness::{Api, Dcdn, DomainFile, Edge, EdgeBuilder, Origin, Tunnel};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/geo").join(name)
}

fn builder(origin: &Origin, geo: &str) -> EdgeBuilder {
    Edge::builder()
        .server("proxy_protocol = \"v1\"")
        .server("trusted_proxies = [\"127.0.0.0/8\"]")
        .table(&format!("[geo]\n{geo}"))
        .domain(DomainFile::to("a.test", origin))
}

fn databases() -> String {
    format!("city = \"{}\"\nasn = \"{}\"", path(&fixture("city.mmdb")), path(&fixture("asn.mmdb")))
}

fn path(path: &Path) -> String {
    path.display().to_string()
}

/// A tunnel of the client with this address.
fn tunnel_of(edge: &Edge, origin: &Origin, ip: &str) -> Tunnel {
    let mut wire = edge.connect();
    let (family, here) =
        if ip.contains(':') { ("TCP6", "2001:db8::ffff") } else { ("TCP4", "192.0.2.255") };
    wire.send(format!("PROXY {family} {ip} {here} 4711 80\r\n"));
    Tunnel::over(wire, origin, "a.test", "", "")
}

/// Region and provider of the only tunnel of this client.
fn place(edge: &Edge, ip: &str) -> (String, String) {
    let is = |row: &serde_json::Value| {
        let client = row["client"].as_str().expect("an address");
        client.starts_with(&format!("{ip}:")) || client.starts_with(&format!("[{ip}]:"))
    };
    let rows: Vec<_> = edge.conns().into_iter().filter(is).collect();
    assert_eq!(rows.len(), 1, "{ip} in {:?}", edge.conns());
    let text = |key: &str| rows[0][key].as_str().expect("a name").to_owned();
    (text("region"), text("isp"))
}

fn is(edge: &Edge, cases: &[(&str, &str, &str)]) {
    for (ip, region, isp) in cases {
        assert_eq!(place(edge, ip), ((*region).to_owned(), (*isp).to_owned()), "{ip}");
    }
}

#[test]
fn clients_are_where_the_databases_say() {
    let origin = Origin::bind();
    let edge = builder(&origin, &(databases() + "\nisps = { 64500 = \"acme\" }")).start();
    let places = [
        ("127.0.1.9", "beijing", "unicom"),
        ("127.0.2.9", "guangdong", "telecom"),
        ("2001:db8:1::9", "beijing", "unicom"),
        ("203.0.113.70", "shaanxi", "acme"),
        ("198.51.100.1", "xianggang", "unknown"),
        ("198.51.100.130", "gb", "unknown"),
        ("8.8.8.8", "unknown", "unknown"),
    ];
    let mut tunnels: Vec<_> = places.iter().map(|(ip, ..)| tunnel_of(&edge, &origin, ip)).collect();
    is(&edge, &places);
    tunnels.iter_mut().for_each(Tunnel::check);
}

/// Handshakes in the statistics by both APIs.
fn handshakes(edge: &Edge, region: &str, isp: &str) -> (f64, f64) {
    let path = format!("/api/v1/statistics/http-codes?domain=a.test&region={region}&isp={isp}");
    let rest = Api::of(edge).read(&path);
    let list = |value: &serde_json::Value| value.as_array().expect("a list").clone();
    let rest = list(&rest["items"])
        .iter()
        .flat_map(|slot| list(&slot["codes"]))
        .map(|code| code["count"].as_f64().expect("a number"))
        .sum();
    let filter = [("DomainName", "a.test"), ("LocationNameEn", region), ("IspNameEn", isp)];
    let dcdn = Dcdn::of(edge).ask("DescribeDcdnDomainWebsocketHttpCodeData", &filter);
    let dcdn = list(&dcdn["HttpCodeDataPerInterval"]["DataModule"])
        .iter()
        .flat_map(|slot| list(&slot["WebsocketHttpCode"]["HttpCodeDataModule"]))
        .map(|code| code["Count"].as_f64().expect("a number"))
        .sum();
    (rest, dcdn)
}

/// DCDN OpenAPI 2018-01-15: `LocationNameEn` and `IspNameEn` are names of these databases too.
#[test]
fn statistics_are_asked_by_the_names_of_the_databases() {
    let origin = Origin::bind();
    let edge = builder(&origin, &databases()).start();
    let clients = ["127.0.1.1", "127.0.1.2", "127.0.2.1", "198.51.100.130", "8.8.8.8"];
    let _tunnels: Vec<_> = clients.iter().map(|ip| tunnel_of(&edge, &origin, ip)).collect();
    // A client sees the answer a moment before its core has counted it.
    edge.await_metric("hawser_handshakes_total", &[("domain", "a.test")], clients.len() as f64);
    assert_eq!(edge.control_raw("POST", "/v1/flush", None).0, 204);
    let cases = [
        ("beijing", "unicom", 2.0),
        ("guangdong", "telecom", 1.0),
        ("guangdong", "unicom", 0.0),
        ("gb", "unknown", 1.0),
        ("unknown", "unknown", 1.0),
        ("nowhere", "unicom", 0.0),
    ];
    for (region, isp, n) in cases {
        assert_eq!(handshakes(&edge, region, isp), (n, n), "{region} {isp}");
    }
}

#[test]
fn a_reload_takes_over_what_is_good_and_nothing_else() {
    let origin = Origin::bind();
    let dir = tempfile::tempdir().expect("a directory");
    let rules = dir.path().join("places.csv");
    let write = |text: &str| std::fs::write(&rules, text).expect("written");
    write("network,region,isp\n10.0.0.0/8,here,ours\n");
    let geo = format!("{}\nrules = \"{}\"", databases(), path(&rules));
    let edge = builder(&origin, &geo).start();
    let mut first = tunnel_of(&edge, &origin, "10.0.0.1");

    write("network,region,isp\n10.0.0.0/8,there,ours\n10.0.0.2/32,,theirs\n");
    edge.hawser_done(&["reload"]);
    let mut second = tunnel_of(&edge, &origin, "10.0.0.2");
    let places = [("10.0.0.1", "here", "ours"), ("10.0.0.2", "there", "theirs")];
    is(&edge, &places);

    for broken in ["network,region\n10.0.0.0/8,No Such Name\n", "nonsense\n"] {
        write(broken);
        let refused = edge.hawser(&["reload"]);
        let said = String::from_utf8_lossy(&refused.stderr);
        assert!(!refused.status.success() && said.contains("geo.rules"), "{said}");
        assert!(said.contains("places.csv:") && said.contains("accepted:"), "{said}");
    }
    std::fs::remove_file(&rules).expect("removed");
    assert!(!edge.hawser(&["reload"]).status.success());
    let mut third = tunnel_of(&edge, &origin, "10.0.0.3");
    is(&edge, &[("10.0.0.3", "there", "ours")]);
    is(&edge, &places);
    [&mut first, &mut second, &mut third].into_iter().for_each(Tunnel::check);
}

/// A database is replaced while the edge runs: first cut short, then whole.
#[test]
fn a_database_may_be_replaced_at_any_time() {
    let origin = Origin::bind();
    let dir = tempfile::tempdir().expect("a directory");
    let city = dir.path().join("city.mmdb");
    let whole = std::fs::read(fixture("city.mmdb")).expect("a database");
    std::fs::write(&city, std::fs::read(fixture("flat.mmdb")).expect("a database")).expect("done");
    let edge = builder(&origin, &format!("city = \"{}\"", path(&city))).start();
    let _first = tunnel_of(&edge, &origin, "127.0.1.1");
    std::fs::write(&city, &whole[..whole.len() / 2]).expect("written");
    assert!(!edge.hawser(&["reload"]).status.success());
    let _second = tunnel_of(&edge, &origin, "127.0.1.2");
    std::fs::write(&city, &whole).expect("written");
    edge.hawser_done(&["reload"]);
    let _third = tunnel_of(&edge, &origin, "127.0.1.3");
    is(
        &edge,
        &[
            ("127.0.1.1", "cn", "unknown"),
            ("127.0.1.2", "cn", "unknown"),
            ("127.0.1.3", "beijing", "unknown"),
        ],
    );
}

#[test]
fn files_that_are_no_good_keep_the_edge_from_starting() {
    let origin = Origin::bind();
    let cases = [
        (format!("city = \"{}\"", path(&fixture("asn.mmdb"))), "autonomous_system_number"),
        (format!("asn = \"{}\"", path(&fixture("city.mmdb"))), "country"),
        (format!("city = \"{}\"", path(&fixture("make.py"))), "is not an mmdb database"),
        ("rules = \"/nowhere/places.csv\"".to_owned(), "there is no such file"),
        ("isps = { 64500 = \"acme\" }".to_owned(), "has no effect"),
    ];
    for (geo, found) in cases {
        let (code, said) = builder(&origin, &geo).start_and_end();
        assert_eq!(code, Some(78), "{said}");
        assert!(said.contains(found) && said.contains("accepted:"), "{said}");
    }
}
