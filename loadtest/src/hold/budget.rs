//! What very many connections cost, from what the kernel writes of itself: its memory by name, and
//! how many connections the rest is enough for. Text in, figures out. Not here: reading files, or
//! when to stop.

use std::collections::BTreeMap;

const PAGE: u64 = 4096;
const GIB: f64 = (1u64 << 30) as f64;

/// Bytes of each kind of kernel object, free places in its pages included, from `/proc/slabinfo`.
pub fn slabs(text: &str) -> BTreeMap<String, u64> {
    let bytes = |line: &str| {
        let (objects, slabs) = line.split_once(" : slabdata ")?;
        let mut words = objects.split_whitespace();
        let name = words.next()?.to_owned();
        // Active, all, size, for each slab; then its pages.
        let pages: u64 = words.nth(4)?.parse().ok()?;
        let count: u64 = slabs.split_whitespace().nth(1)?.parse().ok()?;
        Some((name, count * pages * PAGE))
    };
    text.lines().filter_map(bytes).collect()
}

/// What grew most from one look to another, in bytes for each of `connections`; what is less than
/// `least` bytes each is summed up as `other`.
pub fn growth(
    before: &BTreeMap<String, u64>,
    after: &BTreeMap<String, u64>,
    connections: usize,
    least: f64,
) -> Vec<(String, f64)> {
    let each = |name: &String, bytes: u64| {
        let was = before.get(name).copied().unwrap_or(0);
        (bytes as f64 - was as f64) / connections.max(1) as f64
    };
    let all = after.iter().map(|(name, bytes)| (name.clone(), each(name, *bytes)));
    let (mut named, rest): (Vec<_>, Vec<_>) = all.partition(|(_, bytes)| *bytes >= least);
    named.sort_by(|a, b| b.1.total_cmp(&a.1));
    named.push(("other".into(), rest.into_iter().map(|(_, bytes)| bytes).sum()));
    named
}

/// Whether `more` connections of `each` bytes fit into what is available without touching `leave`.
///
/// # Errors
/// How much is missing, and how many connections would fit.
pub fn fits(more: usize, each: f64, available: u64, leave: u64) -> Result<(), String> {
    let room = available as f64 - leave as f64;
    let needed = more as f64 * each;
    if needed <= room {
        return Ok(());
    }
    let fit = (room / each).max(0.0) as usize / 1000 * 1000;
    Err(format!(
        "{more} more connections need {:.1} GiB at {each:.0} bytes each, and there are {:.1} GiB \
         of which {:.1} stay free (--leave): {fit} more fit",
        needed / GIB,
        available as f64 / GIB,
        leave as f64 / GIB,
    ))
}

/// Workers whose tables, with `table` places each, hold `connections` that the kernel spreads over
/// them by chance: five standard deviations of room, so that the fullest of hundreds is not full.
pub fn workers(connections: usize, table: usize) -> usize {
    let fits = |workers: usize| {
        let mean = connections as f64 / workers as f64;
        workers == 1 && connections <= table || mean + 5.0 * mean.sqrt() <= table as f64
    };
    (1..).find(|workers| fits(*workers)).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLABINFO: &str = "\
slabinfo - version: 2.1
# name <active_objs> <num_objs> <objsize> <objperslab> <pagesperslab> : tunables <limit>
TCP      130    130   2368   13    8 : tunables 0 0 0 : slabdata     10     10      0
dentry 401037 401037  192   21    1 : tunables 0 0 0 : slabdata  19097  19097      0
";

    #[test]
    fn a_slab_counts_with_its_free_places() {
        let slabs = slabs(SLABINFO);
        assert_eq!(
            slabs.into_iter().collect::<Vec<_>>(),
            [("TCP".to_owned(), 10 * 8 * 4096), ("dentry".to_owned(), 19_097 * 4096),]
        );
    }

    #[test]
    fn growth_is_named_from_the_largest_on() {
        let map = |rows: &[(&str, u64)]| rows.iter().map(|(n, b)| (n.to_string(), *b)).collect();
        let before = map(&[("TCP", 1000), ("dentry", 5000), ("filp", 10)]);
        let after = map(&[("TCP", 3000), ("dentry", 4900), ("filp", 60), ("io_kiocb", 4000)]);
        assert_eq!(
            growth(&before, &after, 10, 100.0),
            [("io_kiocb".to_owned(), 400.0), ("TCP".to_owned(), 200.0), ("other".to_owned(), -5.0),]
        );
    }

    #[test]
    fn what_does_not_fit_says_how_many_would() {
        let gib = 1 << 30;
        assert_eq!(fits(500_000, 20_000.0, 12 * gib, 2 * gib), Ok(()));
        let error = fits(1_000_000, 20_000.0, 12 * gib, 2 * gib).unwrap_err();
        assert!(error.contains("18.6 GiB") && error.contains("536000 more fit"), "{error}");
        assert!(fits(1, 20_000.0, gib, 2 * gib).unwrap_err().contains("0 more fit"));
    }

    #[test]
    fn workers_have_room_for_what_chance_brings() {
        for (connections, table, expected) in [
            (10_000, 10_000, 1),
            (10_001, 10_000, 2),
            (50_000, 10_000, 6),
            (1_000_000, 10_000, 106),
        ] {
            assert_eq!(workers(connections, table), expected, "{connections} {table}");
        }
    }
}
