//! Moves bytes: all of monoio, io-uring, libc and `unsafe`. Not here: what the bytes mean.

pub mod connect;
pub mod listener;
pub mod probe;
pub mod runtime;
pub mod sockopt;
pub mod stream;
