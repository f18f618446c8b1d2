//! One per core: joins `net`, `proto` and `tunnel`. Never imports `control`.

pub mod engine;
pub mod log;
pub mod mailbox;
pub mod table;
pub mod wheel;
