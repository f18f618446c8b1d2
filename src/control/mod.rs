//! The control plane: decide, keep, show. Runs on tokio, on its own unpinned threads; never imports
//! `worker`. `node` puts the parts together.

pub mod access_log;
pub mod acme;
pub mod admin;
pub mod api;
pub mod billing;
pub mod bodies;
pub mod certs;
pub mod changes;
pub mod config;
pub mod console;
pub mod control_socket;
pub mod cores;
pub mod database;
pub mod dcdn;
pub mod demo;
pub mod dns;
pub mod edge;
pub mod geo;
pub mod handover;
pub mod health;
pub mod keys;
pub mod lifecycle;
pub mod live;
pub mod metrics;
pub mod node;
pub mod operational_log;
pub mod owner;
pub mod publish;
pub mod registry;
pub mod server;
pub mod service_manager;
pub mod sessions;
pub mod sign_ins;
pub mod state_dir;
pub mod statistics;
