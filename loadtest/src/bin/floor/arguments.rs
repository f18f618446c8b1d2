//! What the relays are told: `LISTEN ORIGIN [BUFFER_BYTES]`. Not here: what they do with it.

use std::io;
use std::net::{SocketAddr, TcpListener};

pub struct Arguments {
    pub listen: SocketAddr,
    pub origin: SocketAddr,
    /// A power of two.
    pub buffer_bytes: usize,
}

impl Arguments {
    /// Those of this process; `buffer_bytes` where they say nothing of buffers.
    pub fn read(buffer_bytes: usize) -> io::Result<Arguments> {
        let words: Vec<String> = std::env::args().skip(1).collect();
        let (listen, origin, bytes) = match &words[..] {
            [listen, origin] => (listen, origin, buffer_bytes),
            [listen, origin, bytes] => (listen, origin, power_of_two(bytes)?),
            _ => return Err(io::Error::other("usage: LISTEN ORIGIN [BUFFER_BYTES]")),
        };
        Ok(Arguments { listen: address(listen)?, origin: address(origin)?, buffer_bytes: bytes })
    }

    pub fn listener(&self) -> io::Result<TcpListener> {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
        socket.set_reuse_address(true)?;
        socket.bind(&self.listen.into())?;
        socket.listen(4096)?;
        Ok(socket.into())
    }
}

fn address(word: &str) -> io::Result<SocketAddr> {
    let wrong = || io::Error::other(format!("{word:?} is no address like 127.0.0.1:8080"));
    word.parse().map_err(|_| wrong())
}

fn power_of_two(word: &str) -> io::Result<usize> {
    let bytes: Option<usize> = word.parse().ok();
    bytes.filter(|bytes| (1024..=1 << 20).contains(bytes) && bytes.is_power_of_two()).ok_or_else(
        || io::Error::other(format!("{word:?} bytes: not a power of two from 1024 to 1048576")),
    )
}
