//! The cube: each series is counted in a cell of its own and in the seven that leave out its
//! domain, its region, its provider or several of them, so that most questions are answered by one
//! cell.
//!
//! Not here: what is counted in a cell.

use std::collections::BTreeSet;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Transaction};

use crate::control::statistics::{Dimension, Selection, StatisticsError};
use crate::limits::{STATISTICS_CELLS_MAX, STATISTICS_CELLS_PER_QUERY_MAX};
use crate::snapshot::geo::UNKNOWN;
use crate::stats::{Layer, SeriesName};

/// In place of a name: any. What stands for regions and providers of our own begins with it too; a
/// domain may.
pub(super) const ANY: &str = "*";

/// A series, with [`ANY`] for what is left out.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Cell {
    pub domain: Arc<str>,
    pub region: Arc<str>,
    pub isp: Arc<str>,
}

/// Identifiers of cells: which names are left out, then the place, then a number. So what is read
/// together, all domains of a place above all, stands together in each day.
pub(super) const CELL_BITS: u32 = KIND_BITS + PLACE_BITS + NUMBER_BITS;
const KIND_BITS: u32 = 3;
const PLACE_BITS: u32 = 17;
const NUMBER_BITS: u32 = 20;
/// A place never runs out of numbers.
const _: () = assert!(STATISTICS_CELLS_MAX <= 1 << NUMBER_BITS);

impl Cell {
    /// Which names are left out.
    fn kind(&self) -> i64 {
        let left_out = |name: &Arc<str>| i64::from(**name == *ANY);
        left_out(&self.domain) << 2 | left_out(&self.region) << 1 | left_out(&self.isp)
    }

    /// The same place for any domain.
    fn place(&self) -> Option<Cell> {
        let place = Cell { domain: ANY.into(), ..self.clone() };
        (place != *self).then_some(place)
    }
}

/// All cells in which a series is counted.
pub(super) fn cube(series: &SeriesName) -> [Cell; 8] {
    let any: Arc<str> = ANY.into();
    let pick = |kept: bool, name: &Arc<str>| if kept { name.clone() } else { any.clone() };
    std::array::from_fn(|i| Cell {
        domain: pick(i & 4 == 0, &series.domain),
        region: pick(i & 2 == 0, &series.region),
        isp: pick(i & 1 == 0, &series.isp),
    })
}

/// The cells in which a layer of a domain is counted: its own, and that of all domains. A layer
/// stands there as a place does, so that what it counts is packed, rolled up and forgotten as all
/// else is: its version of IP for the region, its protocol for the provider.
pub(super) fn of_layer(domain: &Arc<str>, layer: Layer) -> [Cell; 2] {
    let (network, protocol) = match layer {
        Layer::Ipv4Http => ("*ipv4", "*http"),
        Layer::Ipv4Https => ("*ipv4", "*https"),
        Layer::Ipv6Http => ("*ipv6", "*http"),
        Layer::Ipv6Https => ("*ipv6", "*https"),
    };
    [domain.clone(), ANY.into()].map(|domain| Cell {
        domain,
        region: network.into(),
        isp: protocol.into(),
    })
}

/// Whether there is room for cells of further places.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Room {
    Free,
    Full,
}

impl Room {
    pub(super) fn of(work: &Transaction<'_>, most: i64) -> rusqlite::Result<Room> {
        let count: i64 = work
            .prepare_cached("SELECT count(*) FROM statistics_cell")?
            .query_row([], |row| row.get(0))?;
        Ok(if count < most { Room::Free } else { Room::Full })
    }
}

/// Under which series a row is counted: its own, or where there is no room for it one without its
/// place.
pub(super) fn place(
    work: &Transaction<'_>,
    series: &SeriesName,
    room: Room,
) -> rusqlite::Result<SeriesName> {
    let named = |name: &Arc<str>, dimension| match is_a_name(name, dimension) {
        true => name.clone(),
        false => UNKNOWN.into(),
    };
    let series = SeriesName {
        domain: named(&series.domain, Dimension::Domain),
        region: named(&series.region, Dimension::Region),
        isp: named(&series.isp, Dimension::Isp),
    };
    let [own, ..] = cube(&series);
    if room == Room::Free || find(work, &own)?.is_some() {
        return Ok(series);
    }
    Ok(SeriesName { domain: series.domain, region: UNKNOWN.into(), isp: UNKNOWN.into() })
}

fn find(reader: &Connection, cell: &Cell) -> rusqlite::Result<Option<i64>> {
    reader
        .prepare_cached(
            "SELECT id FROM statistics_cell WHERE domain = ?1 AND region = ?2 AND isp = ?3",
        )?
        .query_row((&cell.domain, &cell.region, &cell.isp), |row| row.get(0))
        .optional()
}

pub(super) fn find_or_make(work: &Transaction<'_>, cell: &Cell) -> rusqlite::Result<i64> {
    if let Some(id) = find(work, cell)? {
        return Ok(id);
    }
    // Places are numbered by their own cell, those without a number of their own come last.
    let place = match cell.place() {
        Some(place) => {
            let number = find_or_make(work, &place)? & ((1 << (CELL_BITS - KIND_BITS)) - 1);
            number.min((1 << PLACE_BITS) - 1)
        }
        None => 0,
    };
    let first = cell.kind() << (CELL_BITS - KIND_BITS) | place << NUMBER_BITS;
    let last = first + (1 << NUMBER_BITS) - 1;
    work.prepare_cached(
        "INSERT INTO statistics_cell (id, domain, region, isp) \
         SELECT coalesce(max(id), ?1) + 1, ?3, ?4, ?5 FROM statistics_cell \
         WHERE id BETWEEN ?1 AND ?2",
    )?
    .insert((first, last, &cell.domain, &cell.region, &cell.isp))
}

/// The cells that a selection is the sum of; those in which nothing was ever counted are left out.
pub(super) fn selected(
    reader: &Connection,
    selection: &Selection,
) -> Result<Vec<i64>, StatisticsError> {
    let domains = listed(reader, &selection.domains, Dimension::Domain)?;
    if !selection.layers.is_empty() {
        return layers(reader, selection, &domains);
    }
    let regions = listed(reader, &selection.regions, Dimension::Region)?;
    let isps = listed(reader, &selection.isps, Dimension::Isp)?;
    let asked = domains.len().saturating_mul(regions.len()).saturating_mul(isps.len());
    if asked > STATISTICS_CELLS_PER_QUERY_MAX {
        return Err(StatisticsError::TooMany { asked, most: STATISTICS_CELLS_PER_QUERY_MAX });
    }
    let mut cells = Vec::new();
    for domain in &domains {
        for region in &regions {
            for isp in &isps {
                let cell =
                    Cell { domain: domain.clone(), region: region.clone(), isp: isp.clone() };
                cells.extend(find(reader, &cell)?);
            }
        }
    }
    // In the order in which their chunks are kept.
    cells.sort_unstable();
    Ok(cells)
}

fn is_a_name(name: &str, dimension: Dimension) -> bool {
    match dimension {
        Dimension::Domain => name != ANY,
        Dimension::Region | Dimension::Isp => !name.starts_with(ANY),
    }
}

fn layers(
    reader: &Connection,
    selection: &Selection,
    domains: &[Arc<str>],
) -> Result<Vec<i64>, StatisticsError> {
    if !selection.regions.is_empty() || !selection.isps.is_empty() {
        return Err(StatisticsError::LayersOfPlace);
    }
    let asked = domains.len().saturating_mul(selection.layers.len());
    if asked > STATISTICS_CELLS_PER_QUERY_MAX {
        return Err(StatisticsError::TooMany { asked, most: STATISTICS_CELLS_PER_QUERY_MAX });
    }
    let mut cells = BTreeSet::new();
    for (domain, layer) in domains.iter().flat_map(|d| selection.layers.iter().map(move |l| (d, l)))
    {
        let [own, _] = of_layer(domain, *layer);
        cells.extend(find(reader, &own)?);
    }
    Ok(cells.into_iter().collect())
}

/// Each name once. A list of all names there are is the same as none, and cheaper.
fn listed(
    reader: &Connection,
    list: &[Arc<str>],
    dimension: Dimension,
) -> Result<Vec<Arc<str>>, StatisticsError> {
    if list.is_empty() {
        return Ok(vec![ANY.into()]);
    }
    let list: BTreeSet<&Arc<str>> = list.iter().filter(|name| is_a_name(name, dimension)).collect();
    if list.len() > 1 && names(reader, dimension)?.iter().all(|name| list.contains(name)) {
        return Ok(vec![ANY.into()]);
    }
    Ok(list.into_iter().cloned().collect())
}

/// All names of one kind, in order.
pub(super) fn names(reader: &Connection, dimension: Dimension) -> rusqlite::Result<Vec<Arc<str>>> {
    let query = match dimension {
        Dimension::Domain => {
            "SELECT domain FROM statistics_cell WHERE region = '*' AND isp = '*' \
             AND domain <> '*' ORDER BY domain"
        }
        Dimension::Region => {
            "SELECT region FROM statistics_cell WHERE domain = '*' AND isp = '*' \
             AND region <> '*' ORDER BY region"
        }
        Dimension::Isp => {
            "SELECT isp FROM statistics_cell WHERE domain = '*' AND region = '*' \
             AND isp <> '*' ORDER BY isp"
        }
    };
    reader.prepare_cached(query)?.query_map([], |row| row.get(0))?.collect()
}

/// For messages.
pub(super) fn describe(reader: &Connection, id: i64) -> String {
    let cell = reader.query_row(
        "SELECT domain, region, isp FROM statistics_cell WHERE id = ?1",
        [id],
        |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, row.get::<_, String>(2)?)),
    );
    match cell {
        Ok((domain, region, isp)) => {
            format!("cell {id} (domain {domain}, region {region}, provider {isp})")
        }
        Err(_) => format!("cell {id}"),
    }
}
