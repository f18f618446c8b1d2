//! Names of counted things.

use std::fmt;
use std::str::FromStr;

/// One tunnel, unique in the process for as long as anybody remembers it: core, table key and a
/// reuse generation.
///
/// Shown as 16 hexadecimal digits. Layout: core in bits 52..64, generation in bits 24..52, table
/// key in bits 0..24.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnId(u64);

impl ConnId {
    pub const CORES_MAX: u32 = 1 << 12;
    pub const KEYS_MAX: u32 = 1 << 24;
    const GENERATION_MASK: u32 = (1 << 28) - 1;

    /// `core` < [`Self::CORES_MAX`], `key` < [`Self::KEYS_MAX`]; the generation wraps at 28 bits.
    pub fn new(core: u32, generation: u32, key: u32) -> ConnId {
        debug_assert!(core < Self::CORES_MAX && key < Self::KEYS_MAX);
        ConnId(
            u64::from(core) << 52
                | u64::from(generation & Self::GENERATION_MASK) << 24
                | u64::from(key),
        )
    }

    pub fn core(self) -> u32 {
        (self.0 >> 52) as u32
    }

    pub fn generation(self) -> u32 {
        (self.0 >> 24) as u32 & Self::GENERATION_MASK
    }

    pub fn key(self) -> u32 {
        (self.0 & 0xff_ffff) as u32
    }
}

impl fmt::Display for ConnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for ConnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ConnId({self})")
    }
}

impl FromStr for ConnId {
    type Err = String;

    fn from_str(text: &str) -> Result<ConnId, String> {
        let wrong = || {
            format!(
                "connection id {text:?} is not 16 hexadecimal digits, as `hawser conns` prints them"
            )
        };
        if text.len() != 16 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(wrong());
        }
        u64::from_str_radix(text, 16).map(ConnId).map_err(|_| wrong())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_survives_its_text() {
        let id = ConnId::new(4095, (1 << 28) - 1, (1 << 24) - 1);
        assert_eq!(id.to_string().parse(), Ok(id));
        let id = ConnId::new(1, 2, 3);
        assert_eq!((id.core(), id.generation(), id.key()), (1, 2, 3));
        assert!("+000000000000001".parse::<ConnId>().is_err());
        assert!("12".parse::<ConnId>().is_err());
    }
}
