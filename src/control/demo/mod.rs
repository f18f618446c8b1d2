//! The demo's origin: a live price ticker, a chat room, and the page that shows both in a browser;
//! and sample traffic, so that there is something to see. All of it on loopback.
//!
//! Not here: the edge in front of it, which is the ordinary one (`cli::demo` starts both).

mod origin;
mod prices;
mod traffic;

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::thread;

use tokio::runtime::Builder;
use tokio::sync::oneshot;

/// The demo origin, running on a thread of its own for as long as the process lives.
#[derive(Debug)]
pub struct Origin {
    pub addr: SocketAddr,
    traffic: Option<oneshot::Sender<SocketAddr>>,
}

impl Origin {
    /// Starts it on a free port.
    ///
    /// # Errors
    /// No port, or no thread.
    pub fn start() -> io::Result<Origin> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let addr = listener.local_addr()?;
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (traffic, edge) = oneshot::channel();
        thread::Builder::new().name("demo-origin".to_owned()).spawn(move || {
            runtime.block_on(async {
                tokio::spawn(async move {
                    if let Ok(edge) = edge.await {
                        traffic::run(edge).await;
                    }
                });
                if let Err(error) = origin::serve(listener).await {
                    tracing::error!(%error, "the demo origin ended");
                }
            });
        })?;
        Ok(Origin { addr, traffic: Some(traffic) })
    }

    /// Sends sample clients through the edge at `edge`.
    pub fn start_traffic(&mut self, edge: SocketAddr) {
        if let Some(traffic) = self.traffic.take() {
            // The thread lives as long as the process.
            let _ = traffic.send(edge);
        }
    }
}
