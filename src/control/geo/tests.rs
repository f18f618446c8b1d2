//! Whole atlases, from files. The databases are those of tests/geo; where `HAWSER_TEST_DEPS` has
//! the official test databases, they are read too.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use super::*;

struct Dir(tempfile::TempDir);

impl Dir {
    fn new() -> Dir {
        Dir(tempfile::tempdir().unwrap())
    }

    fn file(&self, name: &str, contents: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, contents).unwrap();
        path
    }
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/geo").join(name)
}

fn read(config: &GeoConfig) -> Atlas {
    Atlas::read(config, &Atlas::default()).unwrap_or_else(|problems| panic!("{problems}"))
}

fn refused(config: &GeoConfig) -> String {
    Atlas::read(config, &Atlas::default()).unwrap_err().to_string()
}

/// Region and provider.
fn place(atlas: &Atlas, ip: &str) -> (String, String) {
    let geo = atlas.geo();
    let place = geo.place(ip.parse().unwrap());
    (geo.region(place).to_string(), geo.isp(place).to_string())
}

fn is(atlas: &Atlas, cases: &[(&str, &str, &str)]) {
    for (ip, region, isp) in cases {
        assert_eq!(place(atlas, ip), ((*region).to_owned(), (*isp).to_owned()), "{ip}");
    }
}

fn city_and_asn() -> GeoConfig {
    GeoConfig {
        city: Some(fixture("city.mmdb")),
        asn: Some(fixture("asn.mmdb")),
        ..GeoConfig::default()
    }
}

#[test]
fn nothing_configured_knows_nothing() {
    let atlas = read(&GeoConfig::default());
    is(&atlas, &[("127.0.1.1", "unknown", "unknown"), ("::1", "unknown", "unknown")]);
}

#[test]
fn databases_of_cities_and_autonomous_systems() {
    let mut config = city_and_asn();
    config.isps = BTreeMap::from([(64_500, "acme".into())]);
    is(
        &read(&config),
        &[
            ("127.0.1.9", "beijing", "unicom"),
            ("::ffff:127.0.1.9", "beijing", "unicom"),
            ("2001:db8:1::7", "beijing", "unicom"),
            ("127.0.2.9", "guangdong", "telecom"),
            ("2001:db8:2::7", "guangdong", "unknown"),
            ("203.0.113.1", "jilin", "acme"),
            ("203.0.113.65", "shaanxi", "acme"),
            ("203.0.113.129", "shanxi", "acme"),
            ("203.0.113.193", "cn", "acme"),
            ("198.51.100.1", "xianggang", "unknown"),
            ("198.51.100.65", "taiwan", "unknown"),
            ("198.51.100.129", "gb", "unknown"),
            ("198.51.100.193", "de", "unknown"),
            ("192.0.2.1", "unknown", "unknown"),
            ("8.8.8.8", "unknown", "unknown"),
            ("2001:db8:3::", "unknown", "unknown"),
        ],
    );
    config.isps.clear();
    is(&read(&config), &[("203.0.113.1", "jilin", "other")]);
}

#[test]
fn flat_countries_and_providers_by_their_words() {
    let config = GeoConfig {
        city: Some(fixture("flat.mmdb")),
        asn: Some(fixture("isp.mmdb")),
        ..GeoConfig::default()
    };
    is(
        &read(&config),
        &[
            ("127.0.1.1", "cn", "unicom"),
            ("127.0.2.1", "cn", "other"),
            ("192.0.2.1", "fr", "unknown"),
            ("2001:db8::", "unknown", "unknown"),
        ],
    );
}

#[test]
fn rules_come_before_databases_and_long_prefixes_before_short_ones() {
    let dir = Dir::new();
    let rules = "# ours\nisp, network ,region\n,127.0.0.0/8,home\nlab,127.0.1.0/25,\n\n\
                 office,127.0.1.128/32,tibet-2\nunknown,2001:db8:1::/64,unknown\n";
    let config = GeoConfig { rules: Some(dir.file("rules.csv", rules)), ..city_and_asn() };
    is(
        &read(&config),
        &[
            ("127.0.1.1", "home", "lab"),
            ("127.0.1.128", "tibet-2", "office"),
            ("127.0.1.129", "home", "unicom"),
            ("127.9.9.9", "home", "unknown"),
            ("203.0.113.1", "jilin", "other"),
            ("2001:db8:1::1", "unknown", "unknown"),
            ("2001:db8:1:1::", "beijing", "unicom"),
        ],
    );
}

#[test]
fn rules_that_are_no_good_are_told_with_their_lines() {
    let dir = Dir::new();
    let cases = [
        ("", "has no line"),
        ("network,land\n", "\"land\" is not a column"),
        ("region,isp\n", "no column is called network"),
        ("network\n10.0.0.0/8\n", "no column is called region or isp"),
        ("network,region\n10.0.0.1/8,a\n", "rules.csv:2:1: geo.rules: network \"10.0.0.1/8\""),
        ("network,region\n\n# x\n10.0.0.0/33,a\n", "rules.csv:4:1"),
        ("network,region\r\n\r\n10.0.0.0/33,a\r\n", "rules.csv:3:1"),
        ("network,region\n10.0.0.0/8,Home\n", "region \"Home\""),
        ("network,region\n10.0.0.0/8,*\n", "region \"*\""),
        ("network,region,isp\n10.0.0.0/8,,\n", "neither a region nor a provider"),
        ("network,region\n10.0.0.0/8\n", "neither a region nor a provider"),
        ("network,region\n10.0.0.0/8,a\n10.0.0.0/8,b\n", "stands on line 2 already"),
    ];
    for (text, expected) in cases {
        let rules = Some(dir.file("rules.csv", text));
        let said = refused(&GeoConfig { rules, ..GeoConfig::default() });
        assert!(said.contains(expected) && said.contains("accepted:"), "{text:?}: {said}");
    }
    let both = "network,region\n10.0.0.0/33,a\n10.0.0.0/8,B\n";
    let said =
        refused(&GeoConfig { rules: Some(dir.file("rules.csv", both)), ..GeoConfig::default() });
    assert!(said.contains("2 problems in 1 file"), "{said}");
    let rules = Some(dir.file("rules.csv", b"network,region\n10.0.0.0/8,\xff\n"));
    assert!(refused(&GeoConfig { rules, ..GeoConfig::default() }).contains("is not UTF-8"));
}

#[test]
fn there_are_only_so_many_names() {
    let dir = Dir::new();
    let rules = |names: usize| {
        let lines = (0..names).map(|n| format!("10.{}.{}.0/24,r{n}\n", n / 256, n % 256));
        let text = "network,region\n".to_owned() + &lines.collect::<String>();
        GeoConfig { rules: Some(dir.file("rules.csv", text)), ..GeoConfig::default() }
    };
    assert_eq!(read(&rules(GEO_NAMES_MAX - 1)).geo().regions().len(), GEO_NAMES_MAX);
    assert!(refused(&rules(GEO_NAMES_MAX)).contains("there are more than"));
}

#[test]
fn files_that_are_no_databases_are_told_with_what_was_found() {
    let dir = Dir::new();
    let whole = fs::read(fixture("city.mmdb")).unwrap();
    let missing = dir.0.path().join("missing.mmdb");
    let cases = [
        (missing, "there is no such file"),
        (dir.0.path().to_owned(), "is not a regular file"),
        (dir.file("empty", ""), "is not an mmdb database"),
        (dir.file("text", "network,region\n"), "is not an mmdb database"),
        (dir.file("cut", &whole[..whole.len() / 2]), "is not an mmdb database"),
        (
            fixture("asn.mmdb"),
            "\"Test-ASN\", with records of autonomous_system_number, autonomous_system_org",
        ),
    ];
    for (path, expected) in cases {
        let city = Some(path.clone());
        let said = refused(&GeoConfig { city, ..GeoConfig::default() });
        assert!(said.contains(expected), "{said}");
        assert!(said.contains("geo.city") && said.contains("accepted:"), "{said}");
    }
    let asn = Some(fixture("city.mmdb"));
    let said = refused(&GeoConfig { asn, ..GeoConfig::default() });
    assert!(said.contains("records of country") && said.contains("geo.asn"), "{said}");
}

/// Whatever a byte is changed to: an atlas or a refusal, and never a panic.
#[test]
fn damaged_databases_end_in_an_answer() {
    let dir = Dir::new();
    let whole = fs::read(fixture("city.mmdb")).unwrap();
    for at in (0..whole.len()).step_by(3) {
        for flip in [0x01, 0x80, 0xff] {
            let mut damaged = whole.clone();
            damaged[at] ^= flip;
            let config =
                GeoConfig { city: Some(dir.file("damaged", damaged)), ..GeoConfig::default() };
            if let Ok(atlas) = Atlas::read(&config, &Atlas::default()) {
                place(&atlas, "127.0.1.1");
            }
        }
    }
}

#[test]
fn what_did_not_change_is_the_same_atlas() {
    let dir = Dir::new();
    let mut config = city_and_asn();
    config.rules = Some(dir.file("rules.csv", "network,region\n10.0.0.0/8,a\n"));
    let first = read(&config);
    let same = |other: &Atlas| Arc::ptr_eq(first.geo(), other.geo());
    assert!(same(&Atlas::read(&config, &first).unwrap()));

    dir.file("rules.csv", "network,region\n10.0.0.0/8,b\n");
    let changed = Atlas::read(&config, &first).unwrap();
    assert!(!same(&changed));
    is(&changed, &[("10.0.0.1", "b", "unknown")]);

    config.isps = BTreeMap::from([(4134, "mine".into())]);
    is(&Atlas::read(&config, &changed).unwrap(), &[("127.0.2.1", "guangdong", "mine")]);
    // The old one does not look at its files any more.
    drop(dir);
    is(&first, &[("10.0.0.1", "a", "unknown"), ("127.0.2.1", "guangdong", "telecom")]);
}

/// PyPI `maxminddb`, tests/data: what those who invented the format test with.
#[test]
fn official_test_databases() {
    // `./tests/run` brings them, and sets this.
    let Some(deps) = std::env::var_os("HAWSER_TEST_DEPS") else { return };
    let data = PathBuf::from(deps).join("mmdb");
    let official = |name: &str| Some(data.join("test-data").join(name));
    for (city, asked, region) in [
        ("GeoLite2-City-Test.mmdb", "175.16.199.10", "jilin"),
        ("GeoIP2-City-Test.mmdb", "175.16.199.10", "jilin"),
        ("GeoIP2-Enterprise-Test.mmdb", "175.16.199.10", "jilin"),
        ("GeoLite2-Country-Test.mmdb", "2001:250::1", "cn"),
        ("GeoIP2-Country-Test.mmdb", "175.16.199.10", "cn"),
    ] {
        let atlas = read(&GeoConfig { city: official(city), ..GeoConfig::default() });
        is(&atlas, &[("81.2.69.160", "gb", "unknown"), (asked, region, "unknown")]);
    }
    let asn = read(&GeoConfig { asn: official("GeoLite2-ASN-Test.mmdb"), ..Default::default() });
    is(&asn, &[("27.192.1.1", "unknown", "unicom"), ("36.192.1.1", "unknown", "tietong")]);
    let isp = read(&GeoConfig { asn: official("GeoIP2-ISP-Test.mmdb"), ..Default::default() });
    is(&isp, &[("27.192.1.1", "unknown", "unicom"), ("1.128.1.1", "unknown", "other")]);

    let mut broken = 0;
    for folder in ["test-data", "bad-data/libmaxminddb", "bad-data/maxminddb-golang"] {
        for file in fs::read_dir(data.join(folder)).unwrap() {
            let path = file.unwrap().path();
            if path.extension().is_some_and(|e| e == "mmdb") {
                let config = GeoConfig { city: Some(path), ..GeoConfig::default() };
                broken += usize::from(Atlas::read(&config, &Atlas::default()).is_err());
            }
        }
    }
    assert!(broken > 30, "{broken}");
}
