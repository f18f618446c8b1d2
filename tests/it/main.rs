//! Black-box tests: the real binary between peers that the tests play, over real sockets.
//! One binary, one module per theme. Not here: peers written by others (`tests/peers.rs`).

mod accounting;
mod api;
mod billing;
mod changes;
mod dcdn;
mod doctor;
mod domains;
mod drain;
mod durability;
mod flood;
mod geo;
mod harness;
mod http1;
mod limits;
mod live;
mod monitoring;
mod observe;
mod origins;
mod plans;
mod program;
mod properties;
mod reload;
mod security;
mod sign_ins;
mod smuggling;
mod tls;
mod tunnel;
mod upgrade;
mod workers;
