//! HTTP/1.1 heads, framing and rewriting (RFC 9110, RFC 9112).
//!
//! How a worker uses it: [`HeadScanner`] finds the end of a head in what has been read so far,
//! [`parse_request`] or [`parse_response`] turn it into a value that cannot be wrong, [`rewrite`]
//! writes what the other side gets, and [`chunked`] walks over a chunked body in place. Not here:
//! reading, writing, deadlines, choosing a domain.

pub mod chunked;
pub mod date;
mod fields;
pub mod framing;
pub mod head;
pub mod rewrite;
pub mod target;
pub mod upgrade;

pub use date::Date;
pub use framing::{AnswerTo, BodyLength};
pub use head::{
    Expect, Field, HeadError, HeadErrorKind, HeadScanner, Persistence, RequestHead, ResponseHead,
    Version, parse_request, parse_response,
};
pub use target::{Host, Scheme, Target};
pub use upgrade::{Agreed, OriginPolicy, Upgrade};
