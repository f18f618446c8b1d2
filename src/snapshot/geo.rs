//! Where a client is: region and service provider, looked up once per connection.
//!
//! Not here: databases and rule files, which `control::geo` reads.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

/// Name of the region, or of the provider, of an address that nothing is known of.
pub const UNKNOWN: &str = "unknown";

/// Region and provider of an address, as indices into the names of the [`Geo`] that found it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Place {
    pub region: u16,
    pub isp: u16,
}

/// Finds places. Called on the data path at most once per connection: it must neither block nor
/// write anything that cores share.
pub trait Locate: Send + Sync + fmt::Debug {
    fn place(&self, ip: IpAddr) -> Place;
}

/// Names of places, and how to find one. Index 0 of both lists is [`UNKNOWN`].
#[derive(Debug)]
pub struct Geo {
    regions: Box<[Arc<str>]>,
    isps: Box<[Arc<str>]>,
    /// `None`: nothing is known of anybody.
    locate: Option<Box<dyn Locate>>,
}

impl Default for Geo {
    fn default() -> Geo {
        Geo { regions: Box::new([UNKNOWN.into()]), isps: Box::new([UNKNOWN.into()]), locate: None }
    }
}

impl Geo {
    /// Places of `locate` are indices into `regions` and `isps`, of which the first is [`UNKNOWN`].
    pub fn new(regions: Box<[Arc<str>]>, isps: Box<[Arc<str>]>, locate: Box<dyn Locate>) -> Geo {
        Geo { regions, isps, locate: Some(locate) }
    }

    pub fn place(&self, ip: IpAddr) -> Place {
        self.locate.as_ref().map_or_else(Place::default, |locate| locate.place(ip.to_canonical()))
    }

    /// An index that this `Geo` did not give is [`UNKNOWN`].
    pub fn region(&self, place: Place) -> &Arc<str> {
        self.regions.get(usize::from(place.region)).unwrap_or(&self.regions[0])
    }

    /// As [`Geo::region`].
    pub fn isp(&self, place: Place) -> &Arc<str> {
        self.isps.get(usize::from(place.isp)).unwrap_or(&self.isps[0])
    }

    pub fn regions(&self) -> &[Arc<str>] {
        &self.regions
    }

    pub fn isps(&self) -> &[Arc<str>] {
        &self.isps
    }
}
