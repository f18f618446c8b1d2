//! What do these bytes mean: bytes in, values out. No sockets, no clock, no randomness, no
//! allocation on the hot path.
#![forbid(unsafe_code)]

pub mod fuzz;
pub mod h1;
pub mod proxy_protocol;
pub mod ws;
