//! Takes connections from one listener and starts a set-up for each. Not here: what a set-up does.

use std::rc::Rc;

use super::connection;
use super::core::Core;
use super::latch::{First, first};
use crate::limits::{ACCEPT_BURST_MAX, ACCEPT_PAUSE};
use crate::net::listener::{Accepted, Listener};
use crate::net::runtime::{sleep, spawn};
use crate::net::stream::Stream;
use crate::snapshot::Transport;

/// Serves `listener` until the core drains.
pub async fn accept(core: Rc<Core>, listener: Rc<Listener>) {
    let mut state = State::Accepting;
    loop {
        if core.draining.is_set() {
            return take_the_rest(&core, &listener);
        }
        if !core.room.is_set() {
            // At the limit newcomers wait in the backlog, whose end the kernel answers; those
            // inside are served on.
            state = pause(&core, state);
            first(core.room.wait(), core.draining.wait()).await;
            continue;
        }
        if let First::Right(()) = first(listener.readable(), core.draining.wait()).await {
            continue;
        }
        state = match take_burst(&core, &listener) {
            Burst::Taken => State::Accepting,
            Burst::NoRoom => pause(&core, state),
            Burst::Exhausted => {
                // The listener stays readable, so without a rest this would spin. What is open is
                // served on, and each connection that ends gives a descriptor back.
                let paused = pause(&core, state);
                core.shed();
                first(sleep(ACCEPT_PAUSE), core.draining.wait()).await;
                paused
            }
        };
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Accepting,
    Paused,
}

/// Counts the moment at which accepting stopped, once, however long it lasts.
fn pause(core: &Core, state: State) -> State {
    if state == State::Accepting {
        core.own().core.accept_pauses.add(1);
    }
    State::Paused
}

enum Burst {
    Taken,
    NoRoom,
    Exhausted,
}

fn take_burst(core: &Rc<Core>, listener: &Listener) -> Burst {
    for _ in 0..ACCEPT_BURST_MAX {
        if !core.room.is_set() {
            return Burst::NoRoom;
        }
        match listener.accept_now() {
            Ok(Accepted::Connection(stream)) => start(core, stream, listener.transport()),
            Ok(Accepted::Empty) => break,
            // An unknown error of accept is met like a shortage: with a rest, then another try.
            Ok(Accepted::Exhausted) | Err(_) => return Burst::Exhausted,
        }
    }
    Burst::Taken
}

fn start(core: &Rc<Core>, stream: Stream, transport: Transport) {
    core.own().core.accepted.add(1);
    let setup = core.begin_setup();
    let (serving, counting) = (Rc::clone(core), Rc::clone(core));
    let task = async move {
        connection::serve(serving, stream, transport).await;
        drop(setup);
    };
    spawn(task, move || counting.own().core.panics.add(1));
}

/// Closing a listener resets what waits in its queue, so the queue is emptied right before, also
/// beyond the limit of set-ups: the backlog bounds it.
fn take_the_rest(core: &Rc<Core>, listener: &Listener) {
    while let Ok(Accepted::Connection(stream)) = listener.accept_now() {
        start(core, stream, listener.transport());
    }
}
