//! Where the next keys of a TLS 1.3 connection come from, and where its tickets go: rustls' half of
//! a session. Not here: the keys in use.

use rustls::Error;
use rustls::client::ClientConnectionData;
use rustls::kernel::KernelConnection;
use rustls::server::ServerConnectionData;

use super::protection::Keys;
use super::{Alert, Fault};

pub enum Schedule {
    Server(KernelConnection<ServerConnectionData>),
    Client(KernelConnection<ClientConnectionData>),
    /// Keys that were given, for fuzzing and measurements: the next are the last, turned.
    Given {
        sealing: Keys,
        opening: Keys,
    },
}

impl Schedule {
    pub fn next_sealing(&mut self) -> Result<Keys, Error> {
        match self {
            Schedule::Server(kernel) => Keys::from_secrets(&kernel.update_tx_secret()?.1),
            Schedule::Client(kernel) => Keys::from_secrets(&kernel.update_tx_secret()?.1),
            Schedule::Given { sealing, .. } => Ok(turned(sealing)),
        }
    }

    pub fn next_opening(&mut self) -> Result<Keys, Error> {
        match self {
            Schedule::Server(kernel) => Keys::from_secrets(&kernel.update_rx_secret()?.1),
            Schedule::Client(kernel) => Keys::from_secrets(&kernel.update_rx_secret()?.1),
            Schedule::Given { opening, .. } => Ok(turned(opening)),
        }
    }

    /// RFC 8446 4.6.1.
    pub fn keep_ticket(&mut self, message: &[u8]) -> Result<(), Fault> {
        let Schedule::Client(kernel) = self else { return Ok(()) };
        match kernel.handle_new_session_ticket(message) {
            Err(Error::InvalidMessage(_)) => Err(Fault::Ours(Alert::DECODE_ERROR)),
            // One that cannot be kept is only not used.
            Ok(()) | Err(_) => Ok(()),
        }
    }
}

fn turned(keys: &mut Keys) -> Keys {
    let next = Keys { key: keys.key.map(|byte| byte.rotate_left(1) ^ 1), iv: keys.iv };
    *keys = next.clone();
    next
}
