//! Handshakes over real sockets, with rustls at the other side.

mod clients;
mod data;
mod origins;
mod peers;
