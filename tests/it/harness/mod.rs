//! What every theme stands on: the real binary as a child process, raw peers that say and see exact
//! bytes, and the test's own view of heads and frames. Nothing here uses the product's own code, so
//! that a mistake cannot hide on both sides.

pub mod api;
pub mod clock;
pub mod crooked;
pub mod dcdn;
pub mod domain;
pub mod edge;
pub mod frame;
pub mod head;
pub mod metrics;
pub mod name_server;
pub mod origin;
pub mod pki;
pub mod road;
pub mod shape;
pub mod tls;
pub mod tls_peer;
pub mod tunnel;
pub mod wire;

use std::time::{Duration, Instant};

pub use api::Api;
pub use clock::Clock;
pub use dcdn::Dcdn;
pub use domain::DomainFile;
pub use edge::{Edge, EdgeBuilder};
pub use frame::{Frame, Op};
pub use head::Head;
pub use metrics::Metrics;
pub use origin::Origin;
pub use pki::{Authority, Pair, Wish};
pub use tls::Pieces;
pub use tls_peer::{TlsClient, tls_server, tls_server_for};
pub use tunnel::{KEY, Tunnel, accept_value, switching, upgrade_request};
pub use wire::{End, Wire};

/// How long a test waits for an event that must come. Generous: it is only reached by a failure.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// Waits until `seen` gives a value; for states that announce themselves to nobody (a counter, a
/// port that closed).
pub fn eventually<T>(what: &str, mut seen: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(value) = seen() {
            return value;
        }
        assert!(started.elapsed() < DEADLINE, "not within {DEADLINE:?}: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Does something at the end of a scope, however that comes.
pub struct OnDrop<F: Fn()>(pub F);

impl<F: Fn()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// Bytes as people read them in a failure message, cut at a length that fits a screen.
pub fn show(bytes: &[u8]) -> String {
    let cut = &bytes[..bytes.len().min(600)];
    let more =
        if bytes.len() > cut.len() { format!("... {} bytes", bytes.len()) } else { "".into() };
    format!("{}{more}", cut.escape_ascii())
}
