//! Close codes (RFC 6455 7.4). Not here: the close handshake, which is `tunnel`.

/// Whether `code` may stand in a Close frame: the registered codes that are not reserved for local
/// use (RFC 6455 7.4.1; 1012 to 1014 are in the IANA registry), libraries' 3000s and applications'
/// 4000s.
pub fn is_sendable(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

pub const GOING_AWAY: u16 = 1001;
pub const PROTOCOL_ERROR: u16 = 1002;
pub const POLICY: u16 = 1008;
pub const TOO_BIG: u16 = 1009;
pub const INTERNAL: u16 = 1011;
pub const RESTART: u16 = 1012;
pub const TRY_LATER: u16 = 1013;

#[cfg(test)]
mod tests {
    use super::is_sendable;

    // RFC 6455 7.4.1, 7.4.2
    #[test]
    fn codes_that_never_stand_on_the_wire() {
        for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535] {
            assert!(!is_sendable(code), "{code}");
        }
        for code in [1000, 1001, 1003, 1007, 1011, 1012, 1014, 3000, 3999, 4000, 4999] {
            assert!(is_sendable(code), "{code}");
        }
    }
}
