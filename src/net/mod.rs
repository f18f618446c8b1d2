//! Moves bytes: all of monoio, io-uring, libc and `unsafe`. Not here: what the bytes mean.

pub mod buffers;
pub mod connect;
pub mod event;
pub mod files;
pub mod listener;
pub mod probe;
pub mod process;
pub mod records;
pub mod ring;
pub mod runtime;
pub mod sockopt;
pub mod stream;
pub mod tls;
