//! How many connections the limit of open descriptors allows each core, by where their sockets are.
//! Not here: reading it, and what happens beyond it (`worker::core`).

use super::FileKind;
use crate::limits::{
    DESCRIPTORS_RESERVED, REGISTERED_FILES_MAX, SETUPS_PER_CORE_MAX, SETUPS_PER_CORE_MIN,
};

/// Of one core.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capacity {
    /// Where the sockets of tunnels are.
    pub files: FileKind,
    pub tunnels: u32,
    /// Connections that are in accept, HTTP or handshake at once.
    pub setups: usize,
}

impl Capacity {
    /// For a process that may have `limit` descriptors open.
    pub fn of(limit: u64, files: FileKind, cores: usize) -> Capacity {
        let cores = cores.max(1) as u64;
        let left = limit.saturating_sub(DESCRIPTORS_RESERVED) / cores;
        let (tunnels, setups) = match files {
            // RLIMIT_NOFILE bounds each table of registered files by itself.
            FileKind::Registered => (limit / 2, left),
            // Tunnels and set-ups share one: so many that a quarter of all can come back at once.
            FileKind::Descriptors => {
                let setups = (left / 4).min(2 * SETUPS_PER_CORE_MAX as u64);
                ((left - setups) / 2, setups)
            }
        };
        // A set-up needs two descriptors, one of them when its client has long been accepted:
        // taking more clients than that would refuse them all later.
        let setups = usize::try_from(setups / 2).unwrap_or(usize::MAX);
        Capacity {
            files,
            tunnels: tunnels.clamp(1, REGISTERED_FILES_MAX / 2) as u32,
            setups: setups.clamp(SETUPS_PER_CORE_MIN, SETUPS_PER_CORE_MAX),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tunnels_take_descriptors_only_where_they_have_to() {
        for (limit, cores, registered, descriptors) in [
            (20_000, 2, (10_000, 4_984), (3_738, 1_246)),
            (20_000, 1, (10_000, 8_192), (7_476, 2_492)),
            (1 << 20, 8, (524_288, 8_192), (57_340, 8_192)),
            (u64::MAX, 4, (524_288, 8_192), (524_288, 8_192)),
            (100, 4, (50, 8), (3, 8)),
            (0, 0, (1, 8), (1, 8)),
        ] {
            let of = |files| Capacity::of(limit, files, cores);
            let seen = |capacity: Capacity| (capacity.tunnels, capacity.setups);
            let both = (seen(of(FileKind::Registered)), seen(of(FileKind::Descriptors)));
            assert_eq!(both, (registered, descriptors), "{limit} on {cores}");
        }
    }
}
