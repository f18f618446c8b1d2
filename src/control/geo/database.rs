//! mmdb databases: every network in one, with the region or provider that its record tells of.
//!
//! Not here: what the data path does with it; a database is read once and forgotten.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use maxminddb::{MaxMindDbError, Reader, WithinOptions};
use serde::de::{DeserializeOwned, Error, IgnoredAny, Visitor};
use serde::{Deserialize, Deserializer};

use super::Names;
use super::file::Opened;
use super::providers::Providers;
use super::regions::{Subdivision, region};
use super::spans::{Blocks, Range};
use crate::control::config::Problem;
use crate::limits::{GEO_DATABASE_BYTES_MAX, GEO_NAMES_MAX, GEO_NETWORKS_MAX};

const CITY: &str = "an mmdb database whose records have country.iso_code (the City and Country \
                    schemas) or country_code (flat)";
const ASN: &str = "an mmdb database whose records have autonomous_system_number (the ASN and ISP \
                   schemas) or isp";
/// Field names of a strange record that a message shows.
const FIELDS_SHOWN: usize = 12;

/// The City, Country and flat schemas.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct CityRecord {
    country: Country,
    registered_country: Country,
    subdivisions: Vec<SubdivisionRecord>,
    country_code: Option<String>,
    /// Beside a flat `country_code`.
    state1: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Country {
    iso_code: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct SubdivisionRecord {
    iso_code: Option<String>,
    names: NamesRecord,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct NamesRecord {
    en: Option<String>,
}

/// The ASN and ISP schemas.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct AsnRecord {
    #[serde(deserialize_with = "number")]
    autonomous_system_number: Option<u32>,
    autonomous_system_organization: Option<String>,
    isp: Option<String>,
    organization: Option<String>,
}

/// A whole number in whichever of the format's widths it was written.
fn number<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u32>, D::Error> {
    struct Any;
    impl Visitor<'_> for Any {
        type Value = Option<u32>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a whole number of at most 32 bits")
        }

        fn visit_i32<E: Error>(self, number: i32) -> Result<Option<u32>, E> {
            u32::try_from(number).map(Some).map_err(E::custom)
        }

        fn visit_u64<E: Error>(self, number: u64) -> Result<Option<u32>, E> {
            u32::try_from(number).map(Some).map_err(E::custom)
        }
    }
    from.deserialize_any(Any)
}

/// What a record tells.
enum Told {
    Name(String),
    /// Not a word about what is asked, or nothing that can be understood.
    Nothing,
}

pub fn regions(file: Opened, names: &mut Names) -> Result<Blocks, Problem> {
    blocks(&file, CITY, names, |record: CityRecord| {
        let CityRecord { country, registered_country, subdivisions, country_code, state1 } = record;
        let code = country.iso_code.or(registered_country.iso_code).or(country_code);
        let first = subdivisions.first();
        let subdivision = Subdivision {
            code: first.and_then(|first| first.iso_code.as_deref()),
            name: first.and_then(|first| first.names.en.as_deref()).or(state1.as_deref()),
        };
        let name = code.and_then(|code| region(&code, subdivision));
        name.map_or(Told::Nothing, Told::Name)
    })
}

pub fn isps(
    file: Opened,
    own: &BTreeMap<u32, Arc<str>>,
    names: &mut Names,
) -> Result<Blocks, Problem> {
    let providers = Providers::new(own);
    blocks(&file, ASN, names, |record: AsnRecord| {
        let words = [&record.isp, &record.organization, &record.autonomous_system_organization];
        if record.autonomous_system_number.is_none() && words.iter().all(|word| word.is_none()) {
            return Told::Nothing;
        }
        let words = words.map(|word| word.as_deref());
        Told::Name(providers.name(record.autonomous_system_number, &words).to_owned())
    })
}

fn blocks<R: DeserializeOwned>(
    file: &Opened,
    accepted: &str,
    names: &mut Names,
    tell: impl Fn(R) -> Told,
) -> Result<Blocks, Problem> {
    let bytes = file.bytes(GEO_DATABASE_BYTES_MAX)?;
    let broken = |error: MaxMindDbError| file.refuse(said(&error), accepted);
    let reader = Reader::from_source(bytes).map_err(broken)?;
    let kind = &reader.metadata().database_type;
    let mut walk = Walk { known: HashMap::new(), told: 0, fields: None };
    let mut blocks = Blocks::default();
    // Empty networks too, so that a broken tree cannot keep the walk going unseen.
    let options = WithinOptions::default().include_networks_without_data();
    for (n, network) in reader.networks(options).map_err(broken)?.enumerate() {
        if n >= GEO_NETWORKS_MAX {
            let what = format!("has more than {GEO_NETWORKS_MAX} networks, or a broken tree");
            return Err(file.refuse(what, accepted));
        }
        let network = network.map_err(broken)?;
        let Some(offset) = network.offset() else { continue };
        let value = match walk.known.get(&offset) {
            Some(value) => *value,
            None => {
                let decode = || {
                    network.decode::<R>().map_err(|error| {
                        let what = format!("is of type {kind:?}, and a record in it is strange");
                        file.refuse(format!("{what}: {}", said(&error)), accepted)
                    })
                };
                let told = decode()?.map_or(Told::Nothing, &tell);
                let value = match told {
                    Told::Nothing => {
                        let fields = || fields(network.decode().ok().flatten());
                        walk.fields.get_or_insert_with(fields);
                        0
                    }
                    Told::Name(name) => {
                        walk.told += 1;
                        names.of(&name).ok_or_else(|| {
                            let what = format!("brings more than {GEO_NAMES_MAX} names");
                            file.refuse(what, accepted)
                        })?
                    }
                };
                walk.known.insert(offset, value);
                value
            }
        };
        let range = network.network().map_err(broken)?;
        if value != 0 {
            blocks.push(Range::new(range.ip(), range.prefix()), value);
        }
    }
    if walk.told == 0 {
        let found = walk.fields.map_or("no records".to_owned(), |f| format!("records of {f}"));
        return Err(file.refuse(format!("is of type {kind:?}, with {found}"), accepted));
    }
    Ok(blocks)
}

/// What was learnt on the way through a database.
struct Walk {
    /// Values by the place of the record: most networks share one.
    known: HashMap<usize, u16>,
    /// Records that told something.
    told: usize,
    /// Of the first record that told nothing.
    fields: Option<String>,
}

fn fields(record: Option<BTreeMap<String, IgnoredAny>>) -> String {
    let Some(record) = record else { return "another kind than maps".to_owned() };
    let names: Vec<&str> = record.keys().take(FIELDS_SHOWN).map(String::as_str).collect();
    match names.as_slice() {
        [] => "no fields".to_owned(),
        names => names.join(", ").escape_debug().to_string(),
    }
}

/// A library's words about a file may hold bytes of it.
fn said(error: &MaxMindDbError) -> String {
    let text = match error {
        MaxMindDbError::InvalidDatabase { message, offset: None } => {
            format!("is not an mmdb database: {message}")
        }
        other => other.to_string(),
    };
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).take(300).collect()
}
