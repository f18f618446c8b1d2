//! A core's mailbox: commands from the control plane, taken between two batches of work. Not here:
//! what they do (`worker::engine`).

use std::io;
use std::sync::mpsc::{Receiver, sync_channel};

use crate::limits::COMMANDS_WAITING_MAX;
use crate::net::event::Event;
use crate::snapshot::{Command, CoreHandle};

/// The core's end.
pub struct Mailbox {
    commands: Receiver<Command>,
    event: Event,
}

impl Mailbox {
    /// Must be called on the core's thread, inside its runtime.
    ///
    /// # Errors
    /// When no descriptor is left.
    pub fn new() -> io::Result<(Mailbox, CoreHandle)> {
        let event = Event::new()?;
        let waker = event.waker();
        let (sender, commands) = sync_channel(COMMANDS_WAITING_MAX);
        let handle = CoreHandle::new(move |command| {
            let taken = sender.try_send(command).is_ok();
            waker.wake();
            taken
        });
        Ok((Mailbox { commands, event }, handle))
    }

    /// Waits until there may be commands. Dropping the future loses nothing.
    ///
    /// # Errors
    /// The core's runtime failed.
    pub async fn wait(&self) -> io::Result<()> {
        self.event.wait().await
    }

    pub fn take(&self) -> Option<Command> {
        self.commands.try_recv().ok()
    }
}
