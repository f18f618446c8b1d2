//! Black-box tests: the real binary between peers that the tests play, over real sockets.
//! One binary, one module per theme. Not here: peers written by others (`tests/peers.rs`).

mod harness;
mod http1;
mod smuggling;
mod tunnel;
mod upgrade;
