//! The control plane: decide, keep, show. Runs on tokio, on its own unpinned threads; never imports `worker`.

pub mod config;
