//! Certificates that the edge orders itself (RFC 8555).

pub mod challenges;

pub use challenges::Challenges;
