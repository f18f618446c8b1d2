//! The operator's own word on addresses: a CSV file with a range on each line.
//!
//! ```text
//! network,region,isp
//! 10.1.0.0/16,beijing,unicom
//! 10.1.2.0/24,,my-lab
//! ```

use std::collections::HashMap;

use csv::{ReaderBuilder, StringRecord, Trim};

use super::Names;
use super::file::Opened;
use super::spans::{Blocks, Range};
use crate::control::config::words::{PLACE_NAME, RANGE};
use crate::control::config::{Problem, Text};
use crate::limits::{CONFIG_PROBLEMS_MAX, GEO_NAMES_MAX, GEO_RULES_BYTES_MAX, GEO_RULES_MAX};
use crate::snapshot::Cidr;

const COLUMNS: &str =
    "a first line that names the columns: network, and region or isp or both, in any order";
const ROW: &str = "a range, then a region or a provider or both, such as \
                   10.1.0.0/16,beijing,unicom under network,region,isp";

/// What the rules say, the longest prefix first; a rule without a region leaves the region to
/// shorter ones, and likewise for providers.
#[derive(Debug, Default)]
pub struct Rules {
    pub regions: Blocks,
    pub isps: Blocks,
}

pub fn read(file: Opened, regions: &mut Names, isps: &mut Names) -> Result<Rules, Vec<Problem>> {
    let bytes = file.bytes(GEO_RULES_BYTES_MAX).map_err(|problem| vec![problem])?;
    let text = String::from_utf8(bytes)
        .map_err(|_| vec![file.refuse("is not UTF-8", "a CSV file in UTF-8")])?;
    let text = Text { path: file.path().to_owned(), text };
    let mut reader = Lines { text: &text, problems: Vec::new(), seen: HashMap::new() };
    let (mut region_ranges, mut isp_ranges) = (Vec::new(), Vec::new());
    reader.each(|range, region, isp| {
        let full = || format!("with this name there are more than {GEO_NAMES_MAX}");
        if let Some(region) = region {
            region_ranges.push((range, regions.of(region).ok_or_else(full)?));
        }
        if let Some(isp) = isp {
            isp_ranges.push((range, isps.of(isp).ok_or_else(full)?));
        }
        Ok(())
    });
    if !reader.problems.is_empty() {
        return Err(reader.problems);
    }
    Ok(Rules { regions: Blocks::nested(region_ranges), isps: Blocks::nested(isp_ranges) })
}

struct Lines<'a> {
    text: &'a Text,
    problems: Vec<Problem>,
    /// Lines, from 1, by their range.
    seen: HashMap<Cidr, u64>,
}

/// Which column is which.
struct Columns {
    network: usize,
    region: Option<usize>,
    isp: Option<usize>,
}

impl Lines<'_> {
    fn each(
        &mut self,
        mut rule: impl FnMut(Range, Option<&str>, Option<&str>) -> Result<(), String>,
    ) {
        let mut csv = ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .trim(Trim::All)
            .comment(Some(b'#'))
            .from_reader(self.text.text.as_bytes());
        let mut columns = None;
        for (n, record) in csv.records().enumerate() {
            if self.problems.len() >= CONFIG_PROBLEMS_MAX {
                return;
            }
            let record = match record {
                Ok(record) => record,
                Err(error) => return self.add(&StringRecord::new(), error.to_string(), ROW),
            };
            let Some(columns) = &columns else {
                match Columns::of(&record) {
                    Ok(found) => columns = Some(found),
                    Err(what) => return self.add(&record, what, COLUMNS),
                }
                continue;
            };
            if n > GEO_RULES_MAX {
                let what = format!("there are more than {GEO_RULES_MAX} rules");
                return self.add(&record, what, "fewer rules, or a database");
            }
            let told = self.row(&record, columns);
            if let Err(what) = told.and_then(|(range, region, isp)| rule(range, region, isp)) {
                self.add(&record, what, ROW);
            }
        }
        if columns.is_none() {
            self.add(&StringRecord::new(), "has no line".to_owned(), COLUMNS);
        }
    }

    fn row<'r>(
        &mut self,
        record: &'r StringRecord,
        columns: &Columns,
    ) -> Result<(Range, Option<&'r str>, Option<&'r str>), String> {
        let network = record.get(columns.network).unwrap_or_default();
        let cidr = (RANGE.read)(network).map_err(|why| refused("network", network, why))?;
        let name = |column: &'static str, at: Option<usize>| {
            let name = at.and_then(|at| record.get(at)).filter(|name| !name.is_empty());
            if let Some(name) = name {
                (PLACE_NAME.read)(name).map_err(|why| refused(column, name, why))?;
            }
            Ok::<_, String>(name)
        };
        let (region, isp) = (name("region", columns.region)?, name("isp", columns.isp)?);
        if region.is_none() && isp.is_none() {
            return Err(format!("{network} has neither a region nor a provider"));
        }
        let line = record.position().map_or(0, |at| at.line());
        if let Some(first) = self.seen.insert(cidr, line) {
            return Err(format!("{cidr} stands on line {first} already"));
        }
        Ok((Range::new(cidr.address(), cidr.prefix()), region, isp))
    }

    /// At the line of `record`.
    fn add(&mut self, record: &StringRecord, what: String, accepted: &str) {
        let start = record.position().map_or(0, |at| at.byte() as usize);
        let start = start.min(self.text.text.len());
        let rest = self.text.text.get(start..).unwrap_or_default();
        // What the reader skips, it skips in front of a record: comments and empty lines.
        let skipped = rest
            .split_inclusive('\n')
            .take_while(|line| line.trim_end().is_empty() || line.starts_with('#'));
        let start = start + skipped.map(str::len).sum::<usize>();
        let rest = self.text.text.get(start..).unwrap_or_default();
        let end = start + rest.lines().next().unwrap_or_default().len();
        let problem = Problem::at(self.text, start..end, "geo.rules", what);
        self.problems.push(problem.accepted(accepted));
    }
}

impl Columns {
    fn of(record: &StringRecord) -> Result<Columns, String> {
        let at = |wanted: &str| record.iter().position(|name| name == wanted);
        if let Some(strange) = record.iter().find(|c| !["network", "region", "isp"].contains(c)) {
            return Err(format!("{strange:?} is not a column"));
        }
        let columns = Columns {
            network: at("network").ok_or("no column is called network")?,
            region: at("region"),
            isp: at("isp"),
        };
        match columns {
            Columns { region: None, isp: None, .. } => {
                Err("no column is called region or isp".to_owned())
            }
            columns => Ok(columns),
        }
    }
}

fn refused(column: &str, seen: &str, why: Option<String>) -> String {
    let why = why.unwrap_or_else(|| "not accepted".to_owned());
    let seen: String = seen.chars().take(60).collect();
    format!("{column} {seen:?}: {why}")
}
