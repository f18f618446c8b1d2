//! Regions and providers of addresses, from a CIDR rules file or mmdb databases, as a
//! `snapshot::Geo`.
//!
//! Everything is read, checked and boiled down when a configuration is loaded: what is left for
//! the data path is a search in two sorted tables, however large or odd the files were. Files are
//! read into memory and closed; whoever replaces one disturbs nobody. Not here: when a connection
//! is looked up.

mod database;
mod file;
pub mod names;
mod providers;
mod regions;
mod rules;
mod spans;

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use file::{Opened, Stamp};
use spans::{Blocks, Spans};

use crate::control::config::{GeoConfig, Problem, Problems};
use crate::limits::GEO_NAMES_MAX;
use crate::snapshot::geo::UNKNOWN;
use crate::snapshot::{Geo, Locate, Place};

/// The places that a configuration knows, and which files they were read from.
#[derive(Debug, Clone, Default)]
pub struct Atlas {
    geo: Arc<Geo>,
    /// `None`: nothing was read.
    of: Option<Arc<(GeoConfig, Vec<Stamp>)>>,
}

impl Atlas {
    /// Reads what `config` names. Blocks. With the same settings and files as `before` it is that
    /// one, so that nobody has to learn places anew.
    ///
    /// # Errors
    /// Every problem of the files.
    pub fn read(config: &GeoConfig, before: &Atlas) -> Result<Atlas, Problems> {
        let mut problems = Vec::new();
        let mut open = |key, path: &Option<_>| {
            let opened = path.as_deref().map(|path| Opened::open(key, path));
            opened.and_then(|opened| opened.map_err(|problem| problems.push(problem)).ok())
        };
        let files = Files {
            rules: open("geo.rules", &config.rules),
            city: open("geo.city", &config.city),
            asn: open("geo.asn", &config.asn),
        };
        let stamps: Vec<Stamp> = files.all().map(|file| file.stamp.clone()).collect();
        let files = Problems::none_or(problems, files)?;
        let of = (config.clone(), stamps);
        if before.of.as_deref() == Some(&of) {
            return Ok(before.clone());
        }
        if of.1.is_empty() {
            return Ok(Atlas::default());
        }
        let geo = geo(config, files)?;
        Ok(Atlas { geo: Arc::new(geo), of: Some(Arc::new(of)) })
    }

    pub fn geo(&self) -> &Arc<Geo> {
        &self.geo
    }
}

struct Files {
    rules: Option<Opened>,
    city: Option<Opened>,
    asn: Option<Opened>,
}

impl Files {
    fn all(&self) -> impl Iterator<Item = &Opened> {
        [&self.rules, &self.city, &self.asn].into_iter().flatten()
    }
}

fn geo(config: &GeoConfig, files: Files) -> Result<Geo, Problems> {
    let mut problems = Vec::new();
    let (mut regions, mut isps) = (Names::default(), Names::default());
    let mut told = |result: Result<Blocks, Problem>| {
        result.unwrap_or_else(|problem| {
            problems.push(problem);
            Blocks::default()
        })
    };
    let city = files.city.map(|file| database::regions(file, &mut regions));
    let city = told(city.unwrap_or_else(|| Ok(Blocks::default())));
    let asn = files.asn.map(|file| database::isps(file, &config.isps, &mut isps));
    let asn = told(asn.unwrap_or_else(|| Ok(Blocks::default())));
    let rules = files.rules.map(|file| rules::read(file, &mut regions, &mut isps));
    let rules = rules.unwrap_or_else(|| Ok(rules::Rules::default())).unwrap_or_else(|found| {
        problems.extend(found);
        rules::Rules::default()
    });
    Problems::none_or(problems, ())?;
    let places = Places {
        regions: Spans::new(&city.painted_over(rules.regions)),
        isps: Spans::new(&asn.painted_over(rules.isps)),
    };
    Ok(Geo::new(regions.list.into(), isps.list.into(), Box::new(places)))
}

/// Names and their places in the list; the first is [`UNKNOWN`].
struct Names {
    list: Vec<Arc<str>>,
    index: HashMap<Arc<str>, u16>,
}

impl Default for Names {
    fn default() -> Names {
        let unknown: Arc<str> = UNKNOWN.into();
        Names { list: vec![Arc::clone(&unknown)], index: HashMap::from([(unknown, 0)]) }
    }
}

impl Names {
    /// `None`: there are too many names.
    fn of(&mut self, name: &str) -> Option<u16> {
        if let Some(index) = self.index.get(name) {
            return Some(*index);
        }
        let index = u16::try_from(self.list.len()).ok()?;
        if self.list.len() >= GEO_NAMES_MAX {
            return None;
        }
        let name: Arc<str> = name.into();
        self.list.push(Arc::clone(&name));
        self.index.insert(name, index);
        Some(index)
    }
}

/// A problem with the file that `key` names.
fn problem(key: &str, path: &Path, what: impl Into<String>, accepted: &str) -> Problem {
    let problem = Problem::of_file(path, what, Some(accepted.to_owned()));
    Problem { path: key.to_owned(), ..problem }
}

/// What the data path asks.
struct Places {
    regions: Spans,
    isps: Spans,
}

impl Locate for Places {
    fn place(&self, ip: IpAddr) -> Place {
        Place { region: self.regions.find(ip), isp: self.isps.find(ip) }
    }
}

impl fmt::Debug for Places {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Places").finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "geo/tests.rs"]
mod tests;
