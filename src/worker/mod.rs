//! One per core: joins `net`, `proto` and `tunnel`. Never imports `control`.
//!
//! A connection's way through here: [`accept`] takes it, [`mod@tls`] sees to its handshake,
//! [`connection`] reads its heads, [`http`] decides, [`forward`] serves plain HTTP, [`upgrade`]
//! leads to the [`engine`], where it stays as plain data. [`start`] puts a core together.

pub mod accept;
pub mod balance;
pub mod body;
pub mod connection;
pub mod core;
pub mod dial;
pub mod engine;
pub mod forward;
pub mod http;
pub mod latch;
pub mod log;
pub mod mailbox;
pub mod pace;
pub mod pool;
pub mod record;
pub mod series;
pub mod start;
pub mod table;
#[cfg(test)]
mod tests;
pub mod tls;
pub mod upgrade;
pub mod wheel;

pub use start::{Worker, WorkerConfig, start};
