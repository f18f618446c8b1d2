//! Hawser: a frame-aware edge proxy for WebSocket and HTTP/1.1 that stays as cheap as a byte pipe.
//!
//! Two planes meet only in [`snapshot`] (what to do) and [`stats`] (what happened); ARCHITECTURE.md
//! has the map.

pub mod cli;
pub mod control;
pub mod limits;
pub mod net;
pub mod proto;
pub mod snapshot;
pub mod stats;
pub mod tunnel;
pub mod worker;
