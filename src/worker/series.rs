//! Which series an upgrade request of this core counts in: by domain, and by the place of its
//! client and the layer that it came by. Not here: the counters (`stats::series`), and how a place
//! is found (`snapshot::geo`).

use std::net::IpAddr;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::limits::{DOMAINS_MAX, SERIES_MAX};
use crate::proto::h1::Scheme;
use crate::snapshot::geo::{Geo, Place, UNKNOWN};
use crate::stats::{CoreStats, Layer, SeriesName};

/// The domain of what is counted when not even a domain can begin a series. Not a host name.
pub const NO_DOMAIN: &str = "(other)";

/// The series of one core.
#[derive(Debug, Default)]
pub struct SeriesIndex {
    /// Every series that there is: one name never has two.
    by_name: FxHashMap<(SeriesName, Option<Layer>), u32>,
    /// A shorter way to the same, by counter slot of the domain. Another domain may have taken the
    /// slot over, so each entry says whose it is.
    by_place: FxHashMap<(u32, Place, Layer), (Arc<str>, u32)>,
    /// What gave the places of `by_place`: those of another one mean other names.
    geo: Option<Arc<Geo>>,
}

impl SeriesIndex {
    /// The series of a client that asks `domain`, which has the counter slot `slot`; begun if it is
    /// the first. `from`: its address, and how it came.
    pub fn find(
        &mut self,
        stats: &CoreStats,
        domain: &Arc<str>,
        slot: u32,
        geo: &Arc<Geo>,
        from: (IpAddr, Scheme),
    ) -> u32 {
        if self.geo.as_ref().is_none_or(|known| !Arc::ptr_eq(known, geo)) {
            self.by_place.clear();
            self.geo = Some(Arc::clone(geo));
        }
        let (place, layer) = (geo.place(from.0), layer(from));
        if let Some((name, series)) = self.by_place.get(&(slot, place, layer))
            && name == domain
        {
            return *series;
        }
        let (region, isp) = (Arc::clone(geo.region(place)), Arc::clone(geo.isp(place)));
        let name = SeriesName { domain: Arc::clone(domain), region, isp };
        let series = self.named(stats, name, layer);
        // Places that share a series for want of room could be more than there are series.
        if self.by_place.len() >= SERIES_MAX as usize {
            self.by_place.clear();
        }
        self.by_place.insert((slot, place, layer), (Arc::clone(domain), series));
        series
    }

    /// The series of this name, or what stands for it where there is no room for another.
    fn named(&mut self, stats: &CoreStats, name: SeriesName, layer: Layer) -> u32 {
        let domain = Arc::clone(&name.domain);
        let nowhere = |domain| SeriesName { domain, region: UNKNOWN.into(), isp: UNKNOWN.into() };
        // The last series is kept for all domains that come when every other is taken.
        let ways = [
            ((name, Some(layer)), DOMAINS_MAX as u32),
            ((nowhere(domain), None), 1),
            ((nowhere(NO_DOMAIN.into()), None), 0),
        ];
        for (way, reserved) in ways {
            if let Some(&series) = self.by_name.get(&way) {
                return series;
            }
            if let Some(series) = stats.begin_series(way.0.clone(), way.1, reserved) {
                self.by_name.insert(way, series);
                return series;
            }
            stats.core.series_shortages.add(1);
        }
        unreachable!("nobody else takes the last series")
    }
}

fn layer((ip, scheme): (IpAddr, Scheme)) -> Layer {
    match (ip.to_canonical().is_ipv4(), scheme) {
        (true, Scheme::Http) => Layer::Ipv4Http,
        (true, Scheme::Https) => Layer::Ipv4Https,
        (false, Scheme::Http) => Layer::Ipv6Http,
        (false, Scheme::Https) => Layer::Ipv6Https,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::Locate;
    use crate::stats::Stats;

    /// The last byte of the address is the region.
    #[derive(Debug)]
    struct LastByte;

    impl Locate for LastByte {
        fn place(&self, ip: IpAddr) -> Place {
            let IpAddr::V4(v4) = ip else { return Place::default() };
            Place { region: u16::from(v4.octets()[3]), isp: 0 }
        }
    }

    fn geo(regions: &[&str]) -> Arc<Geo> {
        let regions = [UNKNOWN].iter().chain(regions).map(|name| (*name).into()).collect();
        Arc::new(Geo::new(regions, Box::new([UNKNOWN.into()]), Box::new(LastByte)))
    }

    fn ip(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    /// What a look-up finds, as text.
    fn found(
        index: &mut SeriesIndex,
        stats: &CoreStats,
        domain: &str,
        slot: u32,
        geo: &Arc<Geo>,
        last: u8,
    ) -> String {
        let series = index.find(stats, &domain.into(), slot, geo, (ip(last), Scheme::Http));
        let name = stats.series(series).name().unwrap();
        format!("{series} {} {}", name.domain, name.region)
    }

    #[test]
    fn one_name_has_one_series_whatever_changes_around_it() {
        let stats = Stats::new(1);
        let stats = &stats.cores()[0];
        let mut index = SeriesIndex::default();
        let (first, swapped) = (geo(&["x", "y"]), geo(&["y", "x"]));
        let steps = [
            ("a.test", 0, &first, 1, "0 a.test x"),
            ("a.test", 0, &first, 1, "0 a.test x"),
            ("a.test", 0, &first, 2, "1 a.test y"),
            ("a.test", 0, &first, 9, "2 a.test unknown"),
            // A reload brings other indices for the same names.
            ("a.test", 0, &swapped, 1, "1 a.test y"),
            ("a.test", 0, &swapped, 2, "0 a.test x"),
            // Another domain takes the slot over, and the first comes back in another one.
            ("b.test", 0, &swapped, 1, "3 b.test y"),
            ("a.test", 7, &swapped, 1, "1 a.test y"),
            ("a.test", 0, &swapped, 1, "1 a.test y"),
            ("b.test", 0, &first, 2, "3 b.test y"),
        ];
        for (i, (domain, slot, geo, last, expected)) in steps.into_iter().enumerate() {
            assert_eq!(found(&mut index, stats, domain, slot, geo, last), expected, "step {i}");
        }
        assert_eq!(stats.core.series_shortages.value(), 0);
    }

    #[test]
    fn each_layer_is_a_series_of_its_own() {
        let stats = Stats::new(1);
        let stats = &stats.cores()[0];
        let mut index = SeriesIndex::default();
        let geo = geo(&[]);
        let mut look = |ip: &str, scheme| {
            let from = (ip.parse().unwrap(), scheme);
            let series = stats.series(index.find(stats, &"a.test".into(), 0, &geo, from));
            assert_eq!(&*series.name().unwrap().domain, "a.test");
            series.layer()
        };
        for _ in 0..2 {
            assert_eq!(look("192.0.2.1", Scheme::Http), Some(Layer::Ipv4Http));
            assert_eq!(look("::ffff:192.0.2.1", Scheme::Https), Some(Layer::Ipv4Https));
            assert_eq!(look("2001:db8::1", Scheme::Http), Some(Layer::Ipv6Http));
            assert_eq!(look("2001:db8::1", Scheme::Https), Some(Layer::Ipv6Https));
        }
        assert_eq!(stats.series_used(), 4);
    }

    #[test]
    fn without_room_places_are_unknown_then_domains_are() {
        let stats = Stats::new(1);
        let stats = &stats.cores()[0];
        let fill = |reserved| {
            let mut i = 0;
            let name = |i: u32| SeriesName {
                domain: format!("{reserved}-{i}").into(),
                region: "r".into(),
                isp: "i".into(),
            };
            while stats.begin_series(name(i), None, reserved).is_some() {
                i += 1;
            }
        };
        let mut index = SeriesIndex::default();
        let geo = geo(&["x", "y"]);
        let mut look = |domain: &str, last| {
            let text = found(&mut index, stats, domain, 0, &geo, last);
            text.split_once(' ').unwrap().1.to_owned()
        };
        assert_eq!(look("a.test", 1), "a.test x");
        fill(DOMAINS_MAX as u32);
        assert_eq!(look("a.test", 1), "a.test x");
        assert_eq!(look("a.test", 2), "a.test unknown");
        assert_eq!(stats.core.series_shortages.value(), 1);
        fill(1);
        assert_eq!(look("b.test", 2), "(other) unknown");
        assert_eq!(look("c.test", 1), "(other) unknown");
        assert_eq!(look("a.test", 2), "a.test unknown");
        assert_eq!(
            stats.begin_series(
                SeriesName { domain: "d".into(), region: "r".into(), isp: "i".into() },
                None,
                0
            ),
            None
        );
    }
}
