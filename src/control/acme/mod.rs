//! Certificates that the edge orders itself (RFC 8555).

pub mod answer;
pub mod ca;
pub mod order;
pub mod schedule;
pub mod store;
