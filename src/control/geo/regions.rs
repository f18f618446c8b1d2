//! From a country and its subdivision to the name of a region: DCDN's for China, the ISO 3166-1
//! code in lower case for everybody else.

use super::names::REGIONS;

/// Codes of ISO 3166-2:CN, without `CN-`: letters since 2017, numbers before; and first words of
/// the English names in use. Columns: letters, number, name, other words.
static SUBDIVISIONS: &[(&str, &str, &str, &[&str])] = &[
    ("BJ", "11", "beijing", &[]),
    ("TJ", "12", "tianjin", &[]),
    ("HE", "13", "hebei", &[]),
    ("SX", "14", "shanxi", &[]),
    ("NM", "15", "neimenggu", &["inner", "nei", "neimongol"]),
    ("LN", "21", "liaoning", &[]),
    ("JL", "22", "jilin", &[]),
    ("HL", "23", "heilongjiang", &[]),
    ("SH", "31", "shanghai", &[]),
    ("JS", "32", "jiangsu", &[]),
    ("ZJ", "33", "zhejiang", &[]),
    ("AH", "34", "anhui", &[]),
    ("FJ", "35", "fujian", &[]),
    ("JX", "36", "jiangxi", &[]),
    ("SD", "37", "shandong", &[]),
    ("HA", "41", "henan", &[]),
    ("HB", "42", "hubei", &[]),
    ("HN", "43", "hunan", &[]),
    ("GD", "44", "guangdong", &[]),
    ("GX", "45", "guangxi", &[]),
    ("HI", "46", "hainan", &[]),
    ("CQ", "50", "chongqing", &[]),
    ("SC", "51", "sichuan", &[]),
    ("GZ", "52", "guizhou", &[]),
    ("YN", "53", "yunnan", &[]),
    ("XZ", "54", "xizang", &["tibet"]),
    ("SN", "61", "shaanxi", &[]),
    ("GS", "62", "gansu", &[]),
    ("QH", "63", "qinghai", &[]),
    ("NX", "64", "ningxia", &[]),
    ("XJ", "65", "xinjiang", &[]),
    ("TW", "71", "taiwan", &[]),
    ("HK", "91", "xianggang", &["hong", "hongkong"]),
    ("MO", "92", "aomen", &["macao", "macau"]),
];

/// The name of a region. `None`: that is no country code.
pub fn region(country: &str, subdivision: Subdivision<'_>) -> Option<String> {
    let country = country.to_ascii_lowercase();
    match country.as_str() {
        "cn" => {}
        "hk" => return Some("xianggang".to_owned()),
        "mo" => return Some("aomen".to_owned()),
        "tw" => return Some("taiwan".to_owned()),
        code if code.len() == 2 && code.bytes().all(|b| b.is_ascii_lowercase()) => {
            return Some(country);
        }
        _ => return None,
    }
    Some(subdivision.of_china().unwrap_or("cn").to_owned())
}

/// The first subdivision of a country, as a database has it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Subdivision<'a> {
    pub code: Option<&'a str>,
    /// In English.
    pub name: Option<&'a str>,
}

impl Subdivision<'_> {
    fn of_china(self) -> Option<&'static str> {
        let code = self.code.map(|code| code.strip_prefix("CN-").unwrap_or(code));
        let by_code = code.and_then(|code| {
            SUBDIVISIONS.iter().find(|(letters, number, ..)| [*letters, *number].contains(&code))
        });
        let word = self.name.map(first_word);
        let by_name = || {
            let word = word.as_deref()?;
            SUBDIVISIONS.iter().find(|(_, _, name, others)| *name == word || others.contains(&word))
        };
        by_code.or_else(by_name).map(|(_, _, name, _)| *name)
    }
}

/// "Jilin Sheng" and "Ningxia Hui Autonomous Region" are told by their first words.
fn first_word(name: &str) -> String {
    name.split_whitespace().next().unwrap_or_default().to_ascii_lowercase()
}

const _: () = assert!(SUBDIVISIONS.len() == REGIONS.len());

#[cfg(test)]
mod tests {
    use super::*;

    /// DescribeDcdnRegionAndIsp, DCDN OpenAPI 2018-01-15.
    #[test]
    fn every_subdivision_has_a_name_that_clients_know() {
        for ((.., name, _), (known, _)) in SUBDIVISIONS.iter().zip(REGIONS) {
            assert!(REGIONS.iter().any(|(known, _)| known == name), "{name}");
            assert!(SUBDIVISIONS.iter().any(|(.., name, _)| name == known), "{known}");
        }
    }

    #[test]
    fn countries_and_subdivisions() {
        let cases = [
            ("CN", Some("BJ"), None, Some("beijing")),
            ("CN", Some("CN-GD"), None, Some("guangdong")),
            ("CN", Some("22"), Some("Jilin Sheng"), Some("jilin")),
            ("CN", Some("SX"), None, Some("shanxi")),
            ("CN", Some("SN"), None, Some("shaanxi")),
            ("CN", None, Some("Shaanxi"), Some("shaanxi")),
            ("CN", None, Some("Shanxi Province"), Some("shanxi")),
            ("CN", Some("?"), Some("Inner Mongolia Autonomous Region"), Some("neimenggu")),
            ("CN", None, Some("Ningxia Hui Autonomous Region"), Some("ningxia")),
            ("CN", None, Some("Tibet"), Some("xizang")),
            ("CN", Some("HK"), None, Some("xianggang")),
            ("CN", None, None, Some("cn")),
            ("CN", Some("ZZ"), Some("Atlantis"), Some("cn")),
            ("HK", None, None, Some("xianggang")),
            ("MO", None, None, Some("aomen")),
            ("TW", Some("TPE"), Some("Taipei City"), Some("taiwan")),
            ("GB", Some("ENG"), Some("England"), Some("gb")),
            ("us", Some("SD"), Some("South Dakota"), Some("us")),
            ("", None, None, None),
            ("United States", None, None, None),
            ("*", None, None, None),
        ];
        for (country, code, name, expected) in cases {
            let found = region(country, Subdivision { code, name });
            assert_eq!(found.as_deref(), expected, "{country} {code:?} {name:?}");
        }
    }
}
