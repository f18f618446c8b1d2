//! Certificates that the edge orders itself (RFC 8555).

pub mod ca;
pub mod challenges;
pub mod order;
pub mod schedule;
pub mod store;

pub use challenges::Challenges;
