//! Names of regions and providers (DCDN OpenAPI 2018-01-15): those that DCDN has, and those that
//! this edge gives clients besides.

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde_json::{Value, json};

use super::super::error;
use super::{Answer, Call};
use crate::control::geo::names::{ISPS, REGIONS};

pub async fn describe(call: &Call<'_>) -> Answer {
    let snapshot = call.dcdn.edge.publisher.cell().current();
    let geo = &snapshot.geo;
    let regions = listed(REGIONS, geo.regions().iter().map(|name| &**name));
    let isps = listed(ISPS, geo.isps().iter().map(|name| &**name));
    Ok(json!({"Regions": {"Region": regions}, "Isps": {"Isp": isps}}))
}

/// Where an address is. Whether it is one of the edge's own: only those that it listens on by
/// name are known.
pub async fn of_address(call: &Call<'_>) -> Answer {
    let address: IpAddr =
        call.parameters.required("IP")?.trim().parse().map_err(|_| error::IP_MALFORMED)?;
    let edge = &call.dcdn.edge;
    let snapshot = edge.publisher.cell().current();
    let place = snapshot.geo.place(address);
    let (region, isp) = (snapshot.geo.region(place), snapshot.geo.isp(place));
    let is_own = edge.listen.iter().chain(&edge.listen_tls).any(|own| own.ip() == address);
    Ok(json!({
        "DcdnIp": if is_own { "True" } else { "False" },
        "Region": chinese(REGIONS, region),
        "RegionEname": region,
        "ISP": chinese(ISPS, isp),
        "IspEname": isp,
    }))
}

/// The name itself where DCDN has none.
pub fn chinese<'a>(known: &[(&'a str, &'a str)], name: &'a str) -> &'a str {
    known.iter().find(|(english, _)| *english == name).map_or(name, |(_, chinese)| chinese)
}

fn listed<'a>(known: &[(&'a str, &'a str)], others: impl Iterator<Item = &'a str>) -> Vec<Value> {
    let others: BTreeSet<&str> =
        others.filter(|other| known.iter().all(|(name, _)| name != other)).collect();
    let others = others.into_iter().map(|name| (name, name));
    known
        .iter()
        .copied()
        .chain(others)
        .map(|(english, chinese)| json!({"NameEn": english, "NameZh": chinese}))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_dcdn_come_first_and_each_once() {
        let names = listed(&[("beijing", "北京市")], ["unknown", "beijing", "de"].into_iter());
        let expected = json!([
            {"NameEn": "beijing", "NameZh": "北京市"},
            {"NameEn": "de", "NameZh": "de"},
            {"NameEn": "unknown", "NameZh": "unknown"},
        ]);
        assert_eq!(Value::from(names), expected);
    }
}
