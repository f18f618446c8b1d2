//! WebSocket framing (RFC 6455 5): headers, rules, masking, close codes. Payload stays where it is.
//!
//! Not here: extensions (permessage-deflate is never undone), and what a tunnel does about a frame.

pub mod close;
pub mod frame;
pub mod mask;
pub mod scan;

pub use frame::{Header, HeaderError, Opcode};
pub use scan::{Advance, Rules, Scanner, Stop, Violation};
